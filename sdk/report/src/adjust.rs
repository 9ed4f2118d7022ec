//! Free post-processing of figures, on request: counts not below zero, shares within [0, 1], totals that
//! their parts add up to. It reads released figures alone, so it costs nothing; it says what it did, and
//! is never done unasked, since adjusted figures no longer add up without bias.

use crate::cell::{Cell, Estimate};
use crate::lane_error::{LaneError, deviation};
use crate::linear::{Linear, Quotient};
use crate::quantile::Confidence;
use crate::table::{HeadingKind, Report, ReportError};
use cloister_terms::{FigureOp, Formula, OutputShape};
use std::collections::BTreeSet;

/// What holds of adjusted figures; told with every answer that has some.
pub(crate) const WHAT_HOLDS: &str = "adjusted figures: intervals are those of the noise before, cut to the same range or moved with the figure, and hold only if what was asked for is true of the figure itself; do not add up or average adjusted figures, they err to one side. Rows were chosen and ordered before";

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
    /// A figure below 0 becomes 0, with what of its interval is not below 0; where nothing is, with the
    /// half-width it had.
    NonNegative {
        /// The figure.
        column: String,
    },
    /// A figure outside [0, 1] moves to the nearer end, with what of its interval is inside; where nothing
    /// is, with the half-width it had. Only for figures that are divided by another.
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

impl ReportOptions {
    /// Options from headings as people write them: totals as `total=part+part`, each heading trimmed.
    /// Totals come first, then cuts, so that cuts hold in what is shown. Errors on totals in other words.
    pub fn adjusting(
        totals: &[String],
        non_negative: &[String],
        shares: &[String],
    ) -> Result<Self, ReportError> {
        let totals = totals.iter().map(|words| {
            let wrong = || ReportError::TotalWords(words.clone());
            let (total, parts) = words.split_once('=').ok_or_else(wrong)?;
            let parts = parts.split('+').map(|part| part.trim().to_owned()).collect();
            Ok(Adjustment::Total { total: total.trim().to_owned(), parts })
        });
        let mut adjustments = totals.collect::<Result<Vec<_>, ReportError>>()?;
        let cut = |column: &String| Adjustment::NonNegative { column: column.clone() };
        adjustments.extend(non_negative.iter().map(cut));
        adjustments.extend(shares.iter().map(|c| Adjustment::Share { column: c.clone() }));
        Ok(Self { adjustments, ..Self::default() })
    }

    /// Checks that answers of `shape` have the figures to adjust, before anything is asked or spent.
    pub fn check(&self, shape: &OutputShape) -> Result<(), ReportError> {
        let is_figure = |name: &String| {
            let mut columns = shape.columns.iter();
            columns.any(|c| c.name == *name && !matches!(c.formula, Formula::Key { .. }))
        };
        for adjustment in &self.adjustments {
            let names: Vec<&String> = match adjustment {
                Adjustment::NonNegative { column } | Adjustment::Share { column } => vec![column],
                Adjustment::Total { total, parts } => std::iter::once(total).chain(parts).collect(),
            };
            if let Some(name) = names.iter().find(|name| !is_figure(name)) {
                return Err(ReportError::NoFigure((*name).clone()));
            }
            if let Adjustment::Share { column } = adjustment
                && !shape.columns.iter().any(|c| c.name == *column && c.formula.any(&divides))
            {
                return Err(ReportError::NotAShare(column.clone()));
            }
            let Adjustment::Total { total, parts } = adjustment else { continue };
            for name in &names {
                sum_of_lanes(shape, name)?;
            }
            let distinct: BTreeSet<_> = names.iter().collect();
            if parts.is_empty() || distinct.len() != names.len() {
                return Err(ReportError::Parts(total.clone()));
            }
        }
        Ok(())
    }
}

/// Whether a formula divides by a noised figure, as every share does; sums divided by a constant are sums.
fn divides(formula: &Formula) -> bool {
    match formula {
        Formula::Ratio { .. } => true,
        Formula::Arithmetic { op: FigureOp::Divide, right, .. } => {
            right.any(&|part| !matches!(part, Formula::Constant { .. }) && part.parts().is_empty())
        }
        _ => false,
    }
}

/// Adjusts every row of a report. Errors on figures that are not there, that are no share, or that do not add
/// up at all.
pub(crate) fn adjust(
    report: &mut Report,
    shape: &OutputShape,
    errors: &[LaneError],
    options: &ReportOptions,
) -> Result<(), ReportError> {
    options.check(shape)?;
    for adjustment in &options.adjustments {
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
    if !report.adjusted.is_empty() {
        report.adjusted.push(WHAT_HOLDS.to_owned());
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
    Ok(deviation(&sum_of_lanes(shape, name)?, errors).powi(2))
}

/// A count's or sum's formula. Errors on any other.
fn sum_of_lanes(shape: &OutputShape, name: &str) -> Result<Linear, ReportError> {
    let column = shape.columns.iter().find(|column| column.name == name);
    let quotient = column.and_then(|column| Quotient::of(&column.formula));
    let linear = quotient.and_then(|quotient| quotient.as_linear());
    linear.ok_or_else(|| ReportError::NotASum(name.to_owned()))
}

fn each(report: &mut Report, at: usize, of: impl Fn(Estimate) -> Option<Estimate>) {
    for row in &mut report.rows {
        let Some(cell) = row.figures.get_mut(at) else { continue };
        let moved = cell.estimate().copied().and_then(&of);
        *cell = match (*cell, moved) {
            (Cell::Said(_), Some(estimate)) => Cell::Said(estimate),
            (Cell::Otherwise(value), _) => {
                let point = Estimate::new(value, value, value).and_then(&of);
                Cell::Otherwise(point.map_or(value, |point| point.value))
            }
            (_, estimate) => Cell::TooNoisy(estimate),
        };
    }
}

/// The part of an estimate within `[low, high]`; where none is, the nearer end with the half-width it had,
/// since a figure that contradicts its range is no more certain than another.
fn kept(estimate: Estimate, low: f64, high: f64) -> Option<Estimate> {
    let inside = |number: f64| number.clamp(low, high);
    let (value, half) = (inside(estimate.value), estimate.plus_minus);
    let (from, to) = if estimate.high < low || estimate.low > high {
        (inside(value - half), inside(value + half))
    } else {
        (inside(estimate.low), inside(estimate.high))
    };
    Estimate::new(value, from, to)
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
        let moved = places.iter().enumerate().map(|(index, (at, variance))| {
            let share = if all > 0.0 { variance / all } else { 0.0 };
            let by = if index == 0 { -gap * share } else { gap * share };
            let before = row.figures.get(*at)?.estimate()?;
            Some((*at, Estimate::new(before.value + by, before.low + by, before.high + by)?))
        });
        // All of a row or nothing: half a sum would be neither.
        let Some(moved) = moved.collect::<Option<Vec<_>>>() else { continue };
        for (at, estimate) in moved {
            let Some(cell) = row.figures.get_mut(at) else { continue };
            *cell = if estimate.plus_minus <= estimate.value.abs() {
                Cell::Said(estimate)
            } else {
                Cell::TooNoisy(Some(estimate))
            };
        }
    }
}
