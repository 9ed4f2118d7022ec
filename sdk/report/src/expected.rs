//! How precise an answer will be, told before anything is spent: it depends on the approved shape, the
//! number of partners and on what a cell is taken to hold, so asking costs nothing.

use crate::across::Across;
use crate::digits::{error_text, grouped};
use crate::histogram::{DistinctFigure, QuantileFigure};
use crate::lane_error::{LaneError, half_width};
use crate::linear::Quotient;
use crate::quantile::Confidence;
use crate::table::{ReportError, check_columns};
use crate::typical::{Held, Typical, TypicalCell};
use cloister_terms::{FigureFunction, FigureOp, Formula, OutputShape};
use serde::Serialize;
use std::fmt;

/// What to expect of one column of the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    /// Its heading, as written by the researcher: untrusted text.
    pub column: String,
    /// Its error.
    pub accuracy: Accuracy,
    /// The figure and its error in a typical cell, where that was asked for and is told.
    pub typical: Option<Typical>,
}

/// The error that noise will put on a column, at 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// A key: public, no error.
    Key,
    /// A count, a sum, or sums of them.
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
    /// A quantile: where it is depends on how many values there are and how densely they stand.
    Quantile {
        /// Half-width of the number of values at or below it, in rows.
        rows_plus_minus: f64,
        /// Width of a band of the range, within which it is never known, in units.
        band: f64,
    },
    /// Distinct values: those that this many people have are counted.
    Distinct {
        /// People a value needs.
        people: f64,
    },
    /// A variance, covariance, correlation or slope: its own error depends on the data.
    Statistic {
        /// Half-width of the sum of squares or products, in units.
        sum_plus_minus: f64,
        /// Half-width of the number of rows.
        count_plus_minus: f64,
    },
    /// Computed from several figures: its own error depends on the data.
    Computed {
        /// Sums with noise that it is computed from.
        sums: u32,
    },
}

/// What to expect of each of the shape's columns when `nodes` partners answer, in the columns' order; where
/// partners have keys of their own, of a cell that most of them answer, which is the noisiest. Errors when the shape is unusable or `nodes` is 0 or beyond the largest agreement.
pub fn expected_plus_minus(
    shape: &OutputShape,
    nodes: usize,
) -> Result<Vec<Expected>, ReportError> {
    expected(shape, nodes, None)
}

/// As [`expected_plus_minus`], with the errors of averages, shares, quantiles and statistics in a cell that
/// holds what `cell` says: to first order, quantiles with values spread evenly over their range.
pub fn expected_in(
    shape: &OutputShape,
    nodes: usize,
    cell: TypicalCell<'_>,
) -> Result<Vec<Expected>, ReportError> {
    expected(shape, nodes, Some(cell))
}

fn expected(
    shape: &OutputShape,
    nodes: usize,
    cell: Option<TypicalCell<'_>>,
) -> Result<Vec<Expected>, ReportError> {
    shape.check()?;
    check_columns(shape)?;
    let (_, nodes) = shape.partners_behind(nodes)?;
    let across = Across::new(shape);
    let others = across.expected(shape, nodes);
    let copies = others.as_deref().unwrap_or_default();
    let errors = across.errors(shape, nodes, copies, Confidence::DEFAULT)?;
    let held = cell.map(|cell| {
        let rows = copies.iter().map(|copies| *copies as f64 / nodes.max(1) as f64);
        Held::new(cell, across.summed().zip(rows), &errors)
    });
    let expected = shape.columns.iter().map(|column| {
        let in_row = others.as_ref().map(|others| across.in_row(&column.formula, others));
        let formula = in_row.as_ref().unwrap_or(&column.formula);
        let accuracy = accuracy(formula, &errors);
        let typical = held.as_ref().and_then(|held| held.typical(formula));
        Expected { column: column.name.clone(), accuracy, typical }
    });
    Ok(expected.collect())
}

/// A checked formula's lanes exist.
fn accuracy(formula: &Formula, errors: &[LaneError]) -> Accuracy {
    let level = Confidence::DEFAULT;
    let one = |lane: u32| errors.get(lane as usize).map_or(0.0, |error| error.half_width);
    match formula {
        Formula::Key { .. } => Accuracy::Key,
        Formula::Total { lane } => Accuracy::Total { plus_minus: one(*lane) },
        Formula::Ratio { numerator, denominator } => Accuracy::Ratio {
            numerator_plus_minus: one(*numerator),
            denominator_plus_minus: one(*denominator),
        },
        Formula::Variance { count, squares, scale_bits, .. } => Accuracy::Statistic {
            sum_plus_minus: one(*squares) * 4f64.powi(i32::from(*scale_bits)),
            count_plus_minus: one(*count),
        },
        Formula::Pair { lanes, .. } => {
            let bits = i32::from(lanes.x_scale_bits) + i32::from(lanes.y_scale_bits);
            let sum_plus_minus = one(lanes.products) * 2f64.powi(bits);
            Accuracy::Statistic { sum_plus_minus, count_plus_minus: one(lanes.count) }
        }
        Formula::Quantile(quantile) => {
            let rows_plus_minus = QuantileFigure::new(*quantile, errors, level).rank_half_width();
            let bands = (0..quantile.leaves).map(|leaf| {
                let (low, high) = quantile.leaf_range(leaf);
                high - low
            });
            Accuracy::Quantile { rows_plus_minus, band: bands.fold(0.0, f64::max) }
        }
        Formula::Distinct { first_lane, values } => {
            let people = DistinctFigure::new(*first_lane, *values, errors, level).threshold();
            Accuracy::Distinct { people }
        }
        // Rows that are not known before: so is the number of draws.
        Formula::Across { .. } => Accuracy::Computed { sums: 1 },
        Formula::Call { function, of } => {
            of_function(*function, accuracy(of, errors)).unwrap_or_else(|| computed(formula))
        }
        Formula::Coalesce { of, .. } => accuracy(of, errors),
        Formula::Constant { .. } | Formula::Arithmetic { .. } => {
            let Some(quotient) = Quotient::of(formula) else {
                return of_one_quantile(formula, errors).unwrap_or_else(|| computed(formula));
            };
            let width = |linear| half_width(linear, errors, level);
            match quotient.as_linear() {
                Some(linear) => Accuracy::Total { plus_minus: width(&linear) },
                None => Accuracy::Ratio {
                    numerator_plus_minus: width(&quotient.above),
                    denominator_plus_minus: width(&quotient.below),
                },
            }
        }
    }
}

/// The accuracy of a figure that a function was applied to; `None` where it is not known from the figure's own.
fn of_function(function: FigureFunction, of: Accuracy) -> Option<Accuracy> {
    match (function, of) {
        // The distance of two rounded numbers is a multiple of the unit, less than one unit above that before.
        (FigureFunction::Round { digits }, Accuracy::Total { plus_minus }) => {
            let unit = 10f64.powi(-i32::from(digits));
            Some(Accuracy::Total { plus_minus: (plus_minus / unit).ceil() * unit })
        }
        (FigureFunction::Round { .. } | FigureFunction::Absolute, of) => Some(of),
        (FigureFunction::SquareRoot, _) => None,
    }
}

/// A quantile times and plus constants; `None` of anything else.
fn of_one_quantile(formula: &Formula, errors: &[LaneError]) -> Option<Accuracy> {
    let Formula::Arithmetic { op, left, right } = formula else { return None };
    let (of, factor) = match (op, left.as_ref(), right.as_ref()) {
        (FigureOp::Multiply, Formula::Constant { value }, of)
        | (FigureOp::Multiply, of, Formula::Constant { value }) => (of, value.value()),
        (FigureOp::Divide, of, Formula::Constant { value }) => (of, 1.0 / value.value()),
        (FigureOp::Add | FigureOp::Subtract, Formula::Constant { .. }, of)
        | (FigureOp::Add | FigureOp::Subtract, of, Formula::Constant { .. }) => (of, 1.0),
        _ => return None,
    };
    match accuracy(of, errors) {
        Accuracy::Quantile { rows_plus_minus, band } => {
            Some(Accuracy::Quantile { rows_plus_minus, band: band * factor.abs() })
        }
        _ => None,
    }
}

fn computed(formula: &Formula) -> Accuracy {
    let sums = u32::try_from(formula.lanes().len()).unwrap_or(u32::MAX);
    Accuracy::Computed { sums }
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
            Self::Quantile { rows_plus_minus, band } => write!(
                f,
                "depends on the data: the value ± {} rows further, within a band of {}",
                error_text(*rows_plus_minus),
                error_text(*band)
            ),
            Self::Distinct { people } => {
                write!(f, "counts values that at least {} people have", grouped(people.ceil()))
            }
            Self::Statistic { sum_plus_minus, count_plus_minus } => write!(
                f,
                "depends on the data: from (sum of squares or products ± {}) / (count ± {})",
                error_text(*sum_plus_minus),
                error_text(*count_plus_minus)
            ),
            Self::Computed { sums } => {
                write!(f, "depends on the data: computed from {sums} sums with noise")
            }
        }
    }
}
