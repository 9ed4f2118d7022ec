//! What a module returned of one person, bounded: outputs outside the shape are ignored, values become steps, and
//! those of 0 steps are as none (every range holds 0); outputs of the same lane and cell are summed, sums are
//! clamped to the lane's range, vectors to their norm, and cells beyond the group cap are left out. It must never
//! trust a number that a module wrote.

use super::{Bounded, Bounder, CellOf, within};
use crate::aggregate::{Exact, SumOverflow};
use crate::told::Told;
use cloister_plan::ModuleContribution;
use cloister_sandbox::Pair;
use cloister_terms::{Bounds, ModuleNumbers};

/// Outputs of one person that are compared each with each to see whether an index comes twice.
const FEW_OUTPUTS: usize = 8;

/// How a module's 8 bytes become steps: what they are, and the range of each lane.
#[derive(Debug, Clone)]
pub struct OutputRanges {
    numbers: ModuleNumbers,
    values: Vec<Bounds>,
}

impl OutputRanges {
    /// Those of a plan.
    pub fn of(module: &ModuleContribution) -> Self {
        Self { numbers: module.numbers, values: module.values.clone() }
    }

    /// One output's value in steps, and whether it was clamped: floats are, since they may lie beyond every
    /// integer; integers wait for their sum. `None`: it is 0 steps before it is clamped.
    fn steps(&self, value: i64, range: Bounds) -> Option<(i128, bool)> {
        match self.numbers {
            ModuleNumbers::Int => (value != 0).then_some((value.into(), false)),
            ModuleNumbers::Float => float_step(f64::from_bits(value.cast_unsigned()), range),
        }
    }
}

impl Bounder {
    /// Adds what a module returned for one person to `exact`. An output's index counts the cells, and
    /// within a cell its lanes; one outside the shape is ignored, repeats are summed, and everything is kept
    /// within `ranges`. `cut`: what happened to their rows before.
    pub fn add_outputs(
        &mut self,
        unit: &[u8],
        outputs: &[Pair],
        ranges: &OutputRanges,
        cut: Told,
        exact: &mut Exact,
    ) -> Result<(), SumOverflow> {
        if let ([range], [limit]) =
            (ranges.values.as_slice(), self.caps.sensitivity_steps.as_slice())
            && outputs.len() <= self.caps.group_cap.min(FEW_OUTPUTS)
            && self.caps.groups.is_empty()
            && are_distinct(outputs)
        {
            // Mostly a person has a few cells, each once: then nothing is ranked, summed or put in order.
            let mut told = cut;
            for pair in outputs.iter().filter(|pair| self.caps.takes(pair.index)) {
                let Some((sum, is_clamped)) = ranges.steps(pair.value, *range) else { continue };
                let clamped = clamp(sum, *range);
                let (cell, steps) =
                    (CellOf::Public(pair.index as usize), [within(clamped, *limit)]);
                exact.add(Bounded { cell, steps: &steps })?;
                told.contributing = true;
                told.clipped |= is_clamped || clamped != sum;
            }
            return exact.tell(told);
        }
        self.unit.clear();
        self.unit.extend_from_slice(unit);
        let is_lost = self.place(outputs, ranges);
        let is_over = self.is_over_groups();
        if is_over {
            self.choose_groups(|cell| Some(CellOf::Public(cell as usize)));
        }
        let lost = Told { contributing: is_lost, clipped: is_lost, ..Told::default() };
        let mut told = cut | lost | Told::capped(is_over);
        let placed = std::mem::take(&mut self.placed);
        for group in placed.chunk_by(|left, right| left.0 == right.0) {
            let Some((cell, _)) = group.first() else { continue };
            if is_over && self.kept.binary_search(cell).is_err() {
                continue;
            }
            told.clipped |= self.sum_cell(group, outputs, ranges);
            exact.add(Bounded { cell: CellOf::Public(*cell as usize), steps: &self.steps })?;
            told.contributing = true;
        }
        self.placed = placed;
        exact.tell(told)
    }

    /// Fills `placed` with the outputs inside the shape that are not 0, in the order of their cells: one that
    /// adds nothing must take no place under the group cap. True: one is 0 only since it was clamped.
    fn place(&mut self, outputs: &[Pair], ranges: &OutputRanges) -> bool {
        self.placed.clear();
        let Ok(lanes) = u32::try_from(ranges.values.len()) else { return false };
        let mut is_lost = false;
        let placed = outputs.iter().enumerate().filter_map(|(place, pair)| {
            let (cell, lane) = (pair.index.checked_div(lanes)?, pair.index.checked_rem(lanes)?);
            let range = ranges.values.get(lane as usize)?;
            let (steps, _) = ranges.steps(pair.value, *range)?;
            let (adds, is_taken) = (steps != 0, self.caps.takes(cell));
            is_lost |= is_taken && !adds;
            (adds && is_taken).then_some((cell, place))
        });
        self.placed.extend(placed);
        self.placed.sort_unstable();
        is_lost
    }

    /// Fills `steps` with one person's bounded sums in one cell. True: something was beyond its bounds.
    fn sum_cell(
        &mut self,
        group: &[(u32, usize)],
        outputs: &[Pair],
        ranges: &OutputRanges,
    ) -> bool {
        let lanes = ranges.values.len();
        self.sums.clear();
        self.sums.resize(lanes, None);
        let mut is_clipped = false;
        for pair in group.iter().filter_map(|(_, place)| outputs.get(*place)) {
            let lane = (pair.index as usize).checked_rem(lanes).unwrap_or(0);
            let (Some(sum), Some(range)) = (self.sums.get_mut(lane), ranges.values.get(lane))
            else {
                continue;
            };
            // At most 2^16 outputs of 64 bits: far inside i128.
            let Some((steps, is_clamped)) = ranges.steps(pair.value, *range) else { continue };
            *sum = Some(sum.unwrap_or(0) + steps);
            is_clipped |= is_clamped;
        }
        self.steps.clear();
        for (sum, range) in self.sums.iter().zip(&ranges.values) {
            let clamped = sum.map_or(0, |sum| clamp(sum, *range));
            is_clipped |= sum.is_some_and(|sum| sum != clamped);
            // The ends of a range lie within 2^53 steps.
            self.steps.push(i64::try_from(clamped).unwrap_or(0));
        }
        is_clipped |= self.caps.groups.cut(&mut self.steps);
        for (steps, limit) in self.steps.iter_mut().zip(&self.caps.sensitivity_steps) {
            *steps = within((*steps).into(), *limit);
        }
        is_clipped
    }
}

fn clamp(sum: i128, range: Bounds) -> i128 {
    sum.clamp(range.min_steps().into(), range.max_steps().into())
}

/// A float as the nearest step, ties to even, clamped; whether it lay outside. `None`: the nearest is 0, as of what
/// is no number, or infinite.
fn float_step(value: f64, range: Bounds) -> Option<(i128, bool)> {
    if !value.is_finite() {
        return None;
    }
    let (min, max) = (range.min_steps() as f64, range.max_steps() as f64);
    // Exact, but for an overflow to infinity, which is clamped to the end it passed.
    let scaled = value * (1u64 << range.grid_bits()) as f64;
    if scaled.abs() <= 0.5 {
        return None;
    }
    let steps = scaled.max(min).min(max).round_ties_even();
    // The ends are whole and below 2^53 in size.
    Some((steps as i128, scaled < min || scaled > max))
}

/// Whether no index comes twice; for few outputs.
fn are_distinct(outputs: &[Pair]) -> bool {
    let mut later = outputs;
    while let Some((first, rest)) = later.split_first() {
        if rest.iter().any(|pair| pair.index == first.index) {
            return false;
        }
        later = rest;
    }
    true
}

#[cfg(test)]
#[path = "outputs_tests.rs"]
mod tests;
