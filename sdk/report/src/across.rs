//! Sums over several rows of the answer, which shares of a total divide by. A row's own noise is in such a
//! sum, so each row reads it as its own lane plus the lanes of the other rows together: the noise of those
//! is independent of its own.

use crate::combine::{Behind, Combined};
use crate::lane_error::LaneError;
use crate::quantile::{Confidence, NoiseError};
use cloister_terms::{Formula, KeyValue, OutputShape};
use std::collections::BTreeMap;

/// The lanes that some formula of an answer adds up over rows, each with the keys it is added up by:
/// ascending, each once. Together with a row's own lanes they are numbered on from the shape's last lane.
pub(crate) struct Across {
    lanes: u32,
    wanted: Vec<(u32, Vec<u32>)>,
}

/// [`Across`] with the sums of one answer.
pub(crate) struct AcrossSums<'s> {
    across: &'s Across,
    shape: &'s OutputShape,
    /// By what is wanted, then by the values of its keys.
    sums: Vec<BTreeMap<Vec<&'s KeyValue>, Sum>>,
}

/// One lane over several rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    /// In steps; `None` beyond the range of whole numbers.
    pub(crate) steps: Option<i128>,
    /// Draws of noise in it.
    pub(crate) copies: usize,
}

impl Across {
    /// Of all formulas of a checked shape.
    pub(crate) fn new(shape: &OutputShape) -> Self {
        let mut wanted = Vec::new();
        let mut waiting = shape.recipe.formulas();
        waiting.extend(shape.columns.iter().map(|column| &column.formula));
        while let Some(formula) = waiting.pop() {
            if let Formula::Across { lane, by } = formula {
                wanted.push((*lane, by.clone()));
            }
            waiting.extend(formula.parts());
        }
        wanted.sort_unstable();
        wanted.dedup();
        Self { lanes: u32::try_from(shape.lanes.len()).unwrap_or(u32::MAX), wanted }
    }

    /// Sums over rows that each row reads.
    pub(crate) fn sums_a_row(&self) -> u64 {
        self.wanted.len() as u64
    }

    /// The formula in a row's own lanes and those of the other rows, of which there are `copies` draws of noise
    /// each. Recursion is bounded by the depth a checked shape allows.
    pub(crate) fn in_row(&self, formula: &Formula, copies: &[usize]) -> Formula {
        match formula {
            Formula::Across { lane, by } => {
                let own = Formula::Total { lane: *lane };
                let is_it = |(other, others): &(u32, Vec<u32>)| (other, others) == (lane, by);
                let at = self.wanted.iter().position(is_it).unwrap_or(usize::MAX);
                if copies.get(at).is_none_or(|copies| *copies == 0) {
                    return own;
                }
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                let others = Formula::Total { lane: self.lanes.saturating_add(at) };
                Formula::arithmetic(cloister_terms::FigureOp::Add, own, others)
            }
            Formula::Arithmetic { op, left, right } => {
                Formula::arithmetic(*op, self.in_row(left, copies), self.in_row(right, copies))
            }
            Formula::Call { function, of } => {
                Formula::Call { function: *function, of: Box::new(self.in_row(of, copies)) }
            }
            Formula::Coalesce { of, otherwise } => {
                let of = Box::new(self.in_row(of, copies));
                Formula::Coalesce { of, otherwise: *otherwise }
            }
            other => other.clone(),
        }
    }

    /// The errors of a row's own lanes with `own` draws of noise, then of the other rows' with `copies`.
    pub(crate) fn errors(
        &self,
        shape: &OutputShape,
        own: usize,
        copies: &[usize],
        confidence: Confidence,
    ) -> Result<Vec<LaneError>, NoiseError> {
        let lanes = shape.lanes.iter().map(|lane| LaneError::new(lane, own, confidence));
        let others = self.wanted.iter().zip(copies).filter_map(|((lane, _), copies)| {
            // Where there is no other row the formula does not read this lane: any error will do.
            let lane = shape.lanes.get(*lane as usize)?;
            Some(Ok(LaneError::of_rows(lane, (*copies).max(1), confidence)))
        });
        lanes.chain(others).collect()
    }

    /// Draws of noise in the other rows of the sums a row reads, when `own` partners answer every cell;
    /// `None` where the rows are not known before.
    pub(crate) fn expected(&self, shape: &OutputShape, own: usize) -> Option<Vec<usize>> {
        let others = self.wanted.iter().map(|(_, by)| {
            let dimensions = shape.keys.iter().enumerate();
            let summed = dimensions.filter(|(at, _)| !by.iter().any(|by| *by as usize == *at));
            let rows = summed.map(|(_, key)| key.values.len()).try_fold(1, usize::checked_mul)?;
            rows.checked_sub(1)?.checked_mul(own)
        });
        others.collect()
    }

    /// The lanes that are added up over other rows, in the order of their numbers.
    pub(crate) fn summed(&self) -> impl Iterator<Item = u32> {
        self.wanted.iter().map(|(lane, _)| *lane)
    }

    /// Adds up the rows of an answer with `cells` cells.
    pub(crate) fn sums<'s>(
        &'s self,
        shape: &'s OutputShape,
        combined: &Combined,
        cells: u64,
    ) -> AcrossSums<'s> {
        let sums = vec![BTreeMap::new(); self.wanted.len()];
        let mut all = AcrossSums { across: self, shape, sums };
        let cells = if self.wanted.is_empty() { 0 } else { cells };
        for cell in 0..cells {
            let Some(behind) = combined.behind(cell).filter(|behind| behind.answered > 0) else {
                continue;
            };
            for (at, (lane, _)) in self.wanted.iter().enumerate() {
                let Some(key) = all.key(cell, at) else { continue };
                let Some(sums) = all.sums.get_mut(at) else { continue };
                let sum = sums.entry(key).or_insert(Sum { steps: Some(0), copies: 0 });
                let steps = combined.lane(cell, *lane);
                sum.steps = sum.steps.zip(steps).and_then(|(sum, more)| sum.checked_add(more));
                sum.copies = sum.copies.saturating_add(behind.answered);
            }
        }
        all
    }
}

impl<'s> AcrossSums<'s> {
    /// The values of the keys that a cell is added up by.
    fn key(&self, cell: u64, at: usize) -> Option<Vec<&'s KeyValue>> {
        let (_, by) = self.across.wanted.get(at)?;
        if by.is_empty() {
            return Some(Vec::new());
        }
        let key = self.shape.key_of(cell)?;
        by.iter().map(|dimension| key.get(*dimension as usize).copied()).collect()
    }

    /// What the other rows add to each of the sums that a row reads.
    pub(crate) fn others(&self, combined: &Combined, cell: u64, behind: Behind) -> Vec<Sum> {
        let wanted = self.across.wanted.iter().enumerate();
        let others = wanted.map(|(at, (lane, _))| {
            let sums = self.sums.get(at).zip(self.key(cell, at));
            let all = sums.and_then(|(sums, key)| sums.get(&key).copied());
            let all = all.unwrap_or(Sum { steps: Some(0), copies: 0 });
            let own = combined.lane(cell, *lane).filter(|_| behind.answered > 0).unwrap_or(0);
            Sum {
                steps: all.steps.and_then(|all| all.checked_sub(own)),
                copies: all.copies.saturating_sub(behind.answered),
            }
        });
        others.collect()
    }
}
