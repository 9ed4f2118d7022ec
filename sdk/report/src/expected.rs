//! How precise an answer will be, told before anything is spent: it depends on the approved shape and
//! the number of partners alone, so asking costs nothing.

use crate::digits::error_text;
use crate::quantile::Confidence;
use crate::table::{LaneError, ReportError, check_columns};
use cloister_terms::{Formula, OutputShape};
use serde::Serialize;
use std::fmt;

/// What to expect of one column of the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    /// Its heading, as written by the researcher: untrusted text.
    pub column: String,
    /// Its error.
    pub accuracy: Accuracy,
}

/// The error that noise will put on a column, at 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// A key: public, no error.
    Key,
    /// A count or a sum.
    Total {
        /// Half-width of its interval, in units.
        plus_minus: f64,
    },
    /// An average or a share: its own error depends on the data.
    Ratio {
        /// Half-width of what is divided, in units.
        numerator_plus_minus: f64,
        /// Half-width of what it is divided by, in units.
        denominator_plus_minus: f64,
    },
}

/// What to expect of each of the shape's columns when `nodes` partners answer, in the columns' order.
/// Errors when the shape is unusable or `nodes` is 0 or beyond the largest agreement.
pub fn expected_plus_minus(
    shape: &OutputShape,
    nodes: usize,
) -> Result<Vec<Expected>, ReportError> {
    shape.check()?;
    check_columns(shape)?;
    let half_widths = shape
        .lanes
        .iter()
        .map(|lane| Ok(LaneError::new(lane, nodes, Confidence::DEFAULT)?.half_width))
        .collect::<Result<Vec<f64>, ReportError>>()?;
    let missing = |column: &str| cloister_terms::shape::ShapeError::Formula(column.to_owned());
    shape
        .columns
        .iter()
        .map(|column| {
            let half_width = |lane: u32| {
                half_widths.get(lane as usize).copied().ok_or_else(|| missing(&column.name))
            };
            let accuracy = match column.formula {
                Formula::Key { .. } => Accuracy::Key,
                Formula::Total { lane } => Accuracy::Total { plus_minus: half_width(lane)? },
                Formula::Ratio { numerator, denominator } => Accuracy::Ratio {
                    numerator_plus_minus: half_width(numerator)?,
                    denominator_plus_minus: half_width(denominator)?,
                },
            };
            Ok(Expected { column: column.name.clone(), accuracy })
        })
        .collect()
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("exact"),
            Self::Total { plus_minus } => write!(f, "± {}", error_text(*plus_minus)),
            Self::Ratio { numerator_plus_minus, denominator_plus_minus } => write!(
                f,
                "depends on the data: (sum ± {}) / (count ± {})",
                error_text(*numerator_plus_minus),
                error_text(*denominator_plus_minus)
            ),
        }
    }
}
