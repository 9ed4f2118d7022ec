//! The shape of what an analysis releases: the grid of cells, the lanes of integers in each cell,
//! the noise on each lane, and how combined lanes read as a table. Fixed before anything runs, part
//! of what is approved, and the same at every node, so that vectors add up.

use crate::Ratio;
use crate::limits::{CELLS_MAX, DIMENSIONS_MAX, LANES_MAX};
use crate::served::{Served, ServedError};
use crate::value::KeyValue;
use serde::{Deserialize, Serialize};

/// Shape of a released vector: `cells() * lanes.len()` integers, cell-major
/// (`index = cell * lanes.len() + lane`), cells in mixed radix with the last dimension fastest.
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
}

/// One public key dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyDimension {
    /// Column name in the answer.
    pub name: String,
    /// Its public values, in the order they are shown.
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

/// How a column of the answer is computed. Numbers index `keys` or `lanes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Formula {
    /// The value of a key dimension.
    Key {
        /// Index into `keys`.
        dimension: u32,
    },
    /// A lane, divided by its grid: counts and sums.
    Total {
        /// Index into `lanes`.
        lane: u32,
    },
    /// One lane divided by another: averages and shares.
    Ratio {
        /// Index of the numerator's lane.
        numerator: u32,
        /// Index of the denominator's lane.
        denominator: u32,
    },
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
    /// A formula names a key or lane that does not exist.
    #[error("column `{0}` is computed from a key or lane that does not exist")]
    Formula(String),
    /// The cells of partners do not fit.
    #[error(transparent)]
    Served(#[from] ServedError),
}

impl OutputShape {
    /// Number of cells: the product of the dimensions' sizes, 1 without keys. Errors beyond the limit.
    pub fn cells(&self) -> Result<u64, ShapeError> {
        let cells = self
            .keys
            .iter()
            .try_fold(1u64, |cells, dimension| cells.checked_mul(dimension.values.len() as u64));
        let found = cells.unwrap_or(u64::MAX);
        size("cells", found, CELLS_MAX)
    }

    /// Length of the released vector. Errors as [`Self::cells`], or on too many lanes.
    pub fn vector_len(&self) -> Result<usize, ShapeError> {
        let lanes = size("lanes", self.lanes.len() as u64, LANES_MAX as u64)?;
        let cells = self.cells()?;
        usize::try_from(cells * lanes).map_err(|_| ShapeError::Size {
            what: "cells",
            found: cells,
            max: CELLS_MAX,
        })
    }

    /// Checks sizes and that every formula names a key or lane that exists.
    pub fn check(&self) -> Result<(), ShapeError> {
        self.vector_len()?;
        if self.keys.len() > DIMENSIONS_MAX {
            let found = self.keys.len() as u64;
            return Err(ShapeError::Size { what: "keys", found, max: DIMENSIONS_MAX as u64 });
        }
        for column in &self.columns {
            let key = |index: u32| self.keys.get(index as usize).is_some();
            let lane = |index: u32| self.lanes.get(index as usize).is_some();
            let exists = match column.formula {
                Formula::Key { dimension } => key(dimension),
                Formula::Total { lane: index } => lane(index),
                Formula::Ratio { numerator, denominator } => lane(numerator) && lane(denominator),
            };
            if !exists {
                return Err(ShapeError::Formula(column.name.clone()));
            }
        }
        crate::served::check(&self.served, self)?;
        Ok(())
    }

    /// The key values of a cell, one a dimension; `None` when there is no such cell.
    pub fn key_of(&self, cell: u64) -> Option<Vec<&KeyValue>> {
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
        let lane = LaneShape { name: "n".into(), grid_bits: 0, sensitivity_steps: 1, noise };
        OutputShape { keys: keys.collect(), lanes: vec![lane], columns: vec![], served: vec![] }
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
        assert_eq!(wrong.check(), Err(ShapeError::Formula("x".into())));
    }
}
