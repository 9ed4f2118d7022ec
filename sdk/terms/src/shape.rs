//! The shape of what an analysis releases: the grid of cells, the lanes of integers in each cell,
//! the noise on each lane, and how combined lanes read as a table. Fixed before anything runs, part
//! of what is approved, and the same at every node, so that vectors add up.

use crate::diagnostics::Diagnostic;
use crate::formula::{Formula, FormulaError};
use crate::limits::{CELLS_MAX, DIMENSIONS_MAX, FIGURES_MAX, LANES_MAX};
use crate::private_keys::{PrivateKeys, PrivateKeysError};
use crate::served::{Served, ServedError};
use crate::value::KeyValue;
use crate::{Ratio, Recipe};
use serde::{Deserialize, Serialize};

/// Shape of a released vector: `cells() * lanes.len()` integers, cell-major
/// (`index = cell * lanes.len() + lane`), cells in mixed radix with the last dimension fastest, then one
/// integer a diagnostic. Where keys are private the cells are those found, in ascending order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputShape {
    /// Key dimensions, public; empty for a single total.
    pub keys: Vec<KeyDimension>,
    /// Lanes, the same in every cell.
    pub lanes: Vec<LaneShape>,
    /// Columns of the answer, keys included, in the order they are shown.
    pub columns: Vec<ResultColumn>,
    /// Partners with keys of their own, sorted; empty when every partner answers every cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served: Vec<Served>,
    /// Which rows are shown, and in which order.
    #[serde(default, skip_serializing_if = "Recipe::is_empty")]
    pub recipe: Recipe,
    /// Set when a key has no public values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_keys: Option<PrivateKeys>,
    /// Counts of people behind the cells, where they were asked for, in the order of their kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

/// One key dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyDimension {
    /// Column name in the answer.
    pub name: String,
    /// Its public values, in the order they are shown; none where they are private.
    pub values: Vec<KeyValue>,
}

/// One lane: integers in steps of `2^-grid_bits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneShape {
    /// What it sums, for people.
    pub name: String,
    /// One step is `2^-grid_bits`; 0 for counts.
    pub grid_bits: u8,
    /// The largest absolute change, in steps, that one person can make in one cell after all caps.
    pub sensitivity_steps: u64,
    /// Noise that every node adds to each cell of this lane, in steps.
    pub noise: Noise,
    /// The group of lanes that share one person's rows, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<OneOf>,
}

/// A group of lanes that share a bound on what one person brings, and are charged once: leaves of a
/// histogram and people by value, of which each row changes at most one; the parts of a vector whose length is
/// clipped. All lanes of a group stand side by side, with the same grid, sensitivity, noise and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneOf {
    /// The group's number.
    pub group: u32,
    /// The largest sum of absolute changes, in steps, that one person can make in all lanes of the
    /// group in one cell, at least the sensitivity of each.
    pub total_steps: u64,
    /// The largest Euclidean norm, in steps, of her changes in all lanes of the group in one cell, from the
    /// sensitivity of each up to the total. Without it, sensitivity and total bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_steps: Option<u64>,
}

impl OneOf {
    /// Two factors whose product bounds the squared norm of one person's changes in one cell, in squared
    /// steps, when she changes no lane by more than `sensitivity_steps`: `|v|_2^2 <= max |v_i| * sum |v_i|`.
    pub fn squared_norm_factors(&self, sensitivity_steps: u64) -> (u64, u64) {
        self.norm_steps.map_or((sensitivity_steps, self.total_steps), |norm| (norm, norm))
    }

    /// Whether its bounds and the lanes' sensitivity fit together.
    pub fn is_consistent(&self, sensitivity_steps: u64) -> bool {
        let fits = |norm| (sensitivity_steps..=self.total_steps).contains(&norm);
        sensitivity_steps <= self.total_steps && self.norm_steps.is_none_or(fits)
    }
}

/// Integer noise, in grid steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Noise {
    /// Discrete Laplace: `Pr[x]` proportional to `exp(-|x| / scale)` (Ghosh, Roughgarden, Sundararajan 2009).
    DiscreteLaplace {
        /// Scale, in steps.
        scale: Ratio,
    },
    /// Discrete Gaussian: `Pr[x]` proportional to `exp(-x^2 / (2 sigma_sq))` (Canonne, Kamath, Steinke 2020).
    DiscreteGaussian {
        /// Variance parameter sigma^2, in squared steps.
        sigma_sq: Ratio,
    },
}

/// One column of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultColumn {
    /// Its heading.
    pub name: String,
    /// How it is computed from keys and combined lanes.
    pub formula: Formula,
}

/// Why a shape is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// More cells, lanes or dimensions than the limits allow, or none.
    #[error(
        "the answer would have {found} {what}: it must have between 1 and {max}; group by fewer values"
    )]
    Size {
        /// What was counted.
        what: &'static str,
        /// How many were found.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The cells of partners do not fit.
    #[error(transparent)]
    Served(#[from] ServedError),
    /// The private keys are unusable.
    #[error(transparent)]
    PrivateKeys(#[from] PrivateKeysError),
    /// A column's formula is unusable.
    #[error("column `{column}` {error}")]
    Formula {
        /// Its heading.
        column: String,
        /// Why.
        error: FormulaError,
    },
    /// The condition on rows, or a sort key, is unusable.
    #[error("the choice or order of rows {0}")]
    Recipe(FormulaError),
    /// Lanes of one group that do not belong together.
    #[error("lane `{0}` differs from the group of lanes it is in: plan the analysis again")]
    Group(String),
    /// Diagnostics out of order, or one twice.
    #[error("diagnostics must stand in their order, each once: plan the analysis again")]
    Diagnostics,
}

impl OutputShape {
    /// Number of cells: the product of the dimensions' sizes, 1 without keys; with private keys those
    /// found, 0 before any release. Errors beyond the limit.
    pub fn cells(&self) -> Result<u64, ShapeError> {
        if let Some(private) = &self.private_keys {
            let found = private.found.len() as u64;
            return if found == 0 { Ok(0) } else { size("cells", found, CELLS_MAX) };
        }
        let cells = self
            .keys
            .iter()
            .try_fold(1u64, |cells, dimension| cells.checked_mul(dimension.values.len() as u64));
        let found = cells.unwrap_or(u64::MAX);
        size("cells", found, CELLS_MAX)
    }

    /// Length of the released vector; of groups that partners found, of all of them together. Errors as
    /// [`Self::cells`], or on too many lanes.
    pub fn vector_len(&self) -> Result<usize, ShapeError> {
        let lanes = size("lanes", self.lanes.len() as u64, LANES_MAX as u64)?;
        // At most 2^20 cells of 2^10 lanes.
        let closing = self.diagnostics.len() as u64;
        let found = self.cells()?.saturating_mul(lanes).saturating_add(closing);
        let max = self.values_max();
        let too_many = ShapeError::Size { what: "integers", found, max };
        if found > max {
            return Err(too_many);
        }
        usize::try_from(found).map_err(|_| too_many)
    }

    /// Checks sizes, that every formula names keys and lanes that exist and is total, and that lanes of
    /// a group are alike.
    pub fn check(&self) -> Result<(), ShapeError> {
        self.vector_len()?;
        if self.keys.len() > DIMENSIONS_MAX {
            let found = self.keys.len() as u64;
            return Err(ShapeError::Size { what: "keys", found, max: DIMENSIONS_MAX as u64 });
        }
        let figures = self.cells()?.saturating_mul(self.columns.len() as u64);
        if figures > FIGURES_MAX {
            return Err(ShapeError::Size { what: "figures", found: figures, max: FIGURES_MAX });
        }
        let (keys, lanes) = (self.keys.len(), self.lanes.len());
        for ResultColumn { name, formula } in &self.columns {
            let wrong = |error| ShapeError::Formula { column: name.clone(), error };
            formula.check(keys, lanes).map_err(wrong)?;
        }
        self.recipe.check(keys, lanes).map_err(ShapeError::Recipe)?;
        self.check_groups()?;
        self.check_diagnostics()?;
        crate::served::check(&self.served, self)?;
        self.private_keys.iter().try_for_each(|private| private.check(self))?;
        Ok(())
    }

    fn check_groups(&self) -> Result<(), ShapeError> {
        let mut closed: Vec<u32> = Vec::new();
        let mut last: Option<(&LaneShape, OneOf)> = None;
        for lane in &self.lanes {
            let Some(own) = lane.one_of else {
                last = None;
                continue;
            };
            let is_alike = match last {
                Some((first, group)) if group.group == own.group => {
                    let same =
                        |l: &LaneShape| (l.grid_bits, l.sensitivity_steps, l.noise, l.one_of);
                    same(first) == same(lane)
                }
                _ => !closed.contains(&own.group),
            };
            if !is_alike || !own.is_consistent(lane.sensitivity_steps) {
                return Err(ShapeError::Group(lane.name.clone()));
            }
            if last.is_none_or(|(_, group)| group.group != own.group) {
                closed.push(own.group);
            }
            last = Some((lane, own));
        }
        Ok(())
    }

    /// The key values of a cell, one a dimension; `None` when there is no such cell.
    pub fn key_of(&self, cell: u64) -> Option<Vec<&KeyValue>> {
        if let Some(private) = &self.private_keys {
            return Some(private.found.get(usize::try_from(cell).ok()?)?.iter().collect());
        }
        let mut rest = cell;
        let mut values = Vec::with_capacity(self.keys.len());
        for dimension in self.keys.iter().rev() {
            let radix = dimension.values.len() as u64;
            let digit = rest.checked_rem(radix)?;
            rest = rest.checked_div(radix)?;
            values.push(dimension.values.get(usize::try_from(digit).ok()?)?);
        }
        values.reverse();
        (rest == 0).then_some(values)
    }
}

fn size(what: &'static str, found: u64, max: u64) -> Result<u64, ShapeError> {
    if (1..=max).contains(&found) { Ok(found) } else { Err(ShapeError::Size { what, found, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sizes: &[usize]) -> OutputShape {
        let values = |n: &usize| (0..*n).map(|i| KeyValue::Int(i as i64)).collect();
        let keys = sizes.iter().map(|n| KeyDimension { name: "k".into(), values: values(n) });
        let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
        let lane =
            LaneShape { name: "n".into(), grid_bits: 0, sensitivity_steps: 1, noise, one_of: None };
        OutputShape {
            keys: keys.collect(),
            lanes: vec![lane],
            columns: vec![],
            served: vec![],
            recipe: Recipe::default(),
            private_keys: None,
            diagnostics: vec![],
        }
    }

    #[test]
    fn lanes_of_a_group_stand_together_and_are_alike() {
        let mut shape = shape(&[]);
        fn own(group: u32, total_steps: u64) -> Option<OneOf> {
            Some(OneOf { group, total_steps, norm_steps: None })
        }
        let lane = shape.lanes.remove(0);
        let grouped = |group| LaneShape { one_of: own(group, 3), ..lane.clone() };
        shape.lanes = vec![lane.clone(), grouped(1), grouped(1), grouped(0), grouped(0)];
        assert_eq!(shape.check(), Ok(()));
        let json = serde_json::to_string(&shape).unwrap();
        assert_eq!(serde_json::from_str::<OutputShape>(&json).unwrap(), shape);
        assert!(!json.contains("recipe") && json.matches("one_of").count() == 4);
        let changes: [fn(&mut OutputShape); 8] = [
            |s| s.lanes[2].sensitivity_steps = 2,
            |s| s.lanes[2].grid_bits = 1,
            |s| s.lanes[2].one_of = own(1, 4),
            |s| s.lanes[0].one_of = own(0, 3),
            |s| s.lanes[2].one_of.as_mut().unwrap().norm_steps = Some(2),
            |s| {
                s.lanes[1..3]
                    .iter_mut()
                    .for_each(|l| l.one_of.as_mut().unwrap().norm_steps = Some(0))
            },
            |s| {
                s.lanes[1..3]
                    .iter_mut()
                    .for_each(|l| l.one_of.as_mut().unwrap().norm_steps = Some(4))
            },
            |s| s.lanes[1..3].iter_mut().for_each(|l| l.sensitivity_steps = 4),
        ];
        for change in changes {
            let mut wrong = shape.clone();
            change(&mut wrong);
            assert!(matches!(wrong.check(), Err(ShapeError::Group(_))));
        }
    }

    #[test]
    fn vectors_are_bounded_as_a_whole() {
        let mut shape = shape(&[1_000, 1_000]);
        shape.lanes = vec![shape.lanes.remove(0); 65];
        assert!(matches!(shape.check(), Err(ShapeError::Size { what: "integers", .. })));
    }

    #[test]
    fn cells_are_mixed_radix_with_the_last_dimension_fastest() {
        let shape = shape(&[2, 3]);
        assert_eq!(shape.cells().unwrap(), 6);
        assert_eq!(shape.key_of(4).unwrap(), [&KeyValue::Int(1), &KeyValue::Int(1)]);
        assert_eq!(shape.key_of(6), None);
    }

    #[test]
    fn oversized_and_empty_shapes_are_refused() {
        assert!(shape(&[]).check().is_ok());
        assert!(shape(&[0]).check().is_err());
        assert!(shape(&[1001, 1000]).check().is_err());
        let mut wrong = shape(&[2]);
        let formula = Formula::Ratio { numerator: 0, denominator: 7 };
        wrong.columns.push(ResultColumn { name: "x".into(), formula });
        let error = FormulaError::Missing;
        assert_eq!(wrong.check(), Err(ShapeError::Formula { column: "x".into(), error }));
    }
}
