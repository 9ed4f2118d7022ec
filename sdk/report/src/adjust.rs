//! Free post-processing of figures, on request: counts not below zero, shares within [0, 1], totals that
//! their parts add up to. It reads released figures alone, so it costs nothing; it says what it did, and
//! is never done unasked, since adjusted figures no longer add up without bias.

use crate::cell::{Cell, Estimate};
use crate::lane_error::{LaneError, deviation};
use crate::linear::Quotient;
use crate::quantile::Confidence;
use crate::table::{HeadingKind, Report, ReportError};
use cloister_terms::OutputShape;

/// How a report is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReportOptions {
    /// How often an interval must hold the true figure.
    pub confidence: Confidence,
    /// Adjustments, done in this order.
    pub adjustments: Vec<Adjustment>,
}

/// One adjustment of every row. Columns are named by their headings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adjustment {
    /// A figure below 0 becomes 0, with what of its interval is not below 0.
    NonNegative {
        /// The figure.
        column: String,
    },
    /// A figure outside [0, 1] moves to the nearer end, with what of its interval is inside.
    Share {
        /// The figure.
        column: String,
    },
    /// Total and parts move by as little as makes them add up, each in proportion to the variance of its
    /// noise (least squares). Intervals keep their widths: the noise of what is moved only shrinks.
    Total {
        /// The total, a count or a sum.
        total: String,
        /// What adds up to it, counts or sums.
        parts: Vec<String>,
    },
}

/// Adjusts every row of a report. Errors on figures that are not there, or that do not add up at all.
pub(crate) fn adjust(
    report: &mut Report,
    shape: &OutputShape,
    errors: &[LaneError],
    adjustments: &[Adjustment],
) -> Result<(), ReportError> {
    for adjustment in adjustments {
        let words = match adjustment {
            Adjustment::NonNegative { column } => {
                let at = place(report, column)?;
                each(report, at, |estimate| kept(estimate, 0.0, f64::MAX));
                format!("`{column}` is not below 0")
            }
            Adjustment::Share { column } => {
                let at = place(report, column)?;
                each(report, at, |estimate| kept(estimate, 0.0, 1.0));
                format!("`{column}` is between 0 and 1")
            }
            Adjustment::Total { total, parts } => {
                let names: Vec<&String> = std::iter::once(total).chain(parts).collect();
                let places = names
                    .iter()
                    .map(|name| Ok((place(report, name)?, variance(shape, errors, name)?)))
                    .collect::<Result<Vec<_>, ReportError>>()?;
                add_up(report, &places);
                let parts: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
                format!("`{total}` is the sum of {}", parts.join(", "))
            }
        };
        report.adjusted.push(words);
    }
    Ok(())
}

/// The place of a figure in [`crate::Row::figures`].
fn place(report: &Report, name: &str) -> Result<usize, ReportError> {
    let figures = report.columns.iter().filter(|c| !matches!(c.kind, HeadingKind::Key(_)));
    let found = figures.enumerate().find(|(_, heading)| heading.name == name);
    found.map(|(at, _)| at).ok_or_else(|| ReportError::NoFigure(name.to_owned()))
}

/// The variance of a count's or sum's noise, in squared units.
fn variance(shape: &OutputShape, errors: &[LaneError], name: &str) -> Result<f64, ReportError> {
    let column = shape.columns.iter().find(|column| column.name == name);
    let quotient = column.and_then(|column| Quotient::of(&column.formula));
    let linear = quotient.and_then(|quotient| quotient.as_linear());
    let linear = linear.ok_or_else(|| ReportError::NotASum(name.to_owned()))?;
    Ok(deviation(&linear, errors).powi(2))
}

fn each(report: &mut Report, at: usize, of: impl Fn(Estimate) -> Option<Estimate>) {
    for row in &mut report.rows {
        let Some(cell) = row.figures.get_mut(at) else { continue };
        let moved = cell.estimate().copied().and_then(&of);
        *cell = match (*cell, moved) {
            (Cell::Said(_), Some(estimate)) => Cell::Said(estimate),
            (_, estimate) => Cell::TooNoisy(estimate),
        };
    }
}

/// The part of an estimate within `[low, high]`; where none is, the nearer end.
fn kept(estimate: Estimate, low: f64, high: f64) -> Option<Estimate> {
    let inside = |number: f64| number.clamp(low, high);
    Estimate::new(inside(estimate.value), inside(estimate.low), inside(estimate.high))
}

/// The total first, then its parts, each with the variance of its noise.
fn add_up(report: &mut Report, places: &[(usize, f64)]) {
    let all: f64 = places.iter().map(|(_, variance)| variance).sum();
    for row in &mut report.rows {
        let values: Option<Vec<f64>> =
            places.iter().map(|(at, _)| Some(row.figures.get(*at)?.estimate()?.value)).collect();
        let Some((total, parts)) = values.as_deref().and_then(<[f64]>::split_first) else {
            continue;
        };
        let gap = total - parts.iter().sum::<f64>();
        for (index, (at, variance)) in places.iter().enumerate() {
            let share = if all > 0.0 { variance / all } else { 0.0 };
            let by = if index == 0 { -gap * share } else { gap * share };
            let Some(cell) = row.figures.get_mut(*at) else { continue };
            let moved =
                cell.estimate().and_then(|e| Estimate::new(e.value + by, e.low + by, e.high + by));
            if let Some(estimate) = moved {
                let half = estimate.plus_minus;
                *cell = if half <= estimate.value.abs() {
                    Cell::Said(estimate)
                } else {
                    Cell::TooNoisy(Some(estimate))
                };
            }
        }
    }
}
