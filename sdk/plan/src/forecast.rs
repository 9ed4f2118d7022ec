//! Error against cost before anything is spent: the same question planned at other costs, and the
//! cost at which one column's error is as small as wanted. From plans alone; it must never need a
//! record, and it decides nothing: what is charged stands in the analysis.

use crate::error::PlanError;
use crate::noise::Spend;
use crate::planned::{Planned, Question, plan};
use crate::typical::{TYPICAL_ROWS, expected};
use cloister_report::{Accuracy, Expected, meaning, printable};
use cloister_terms::{Budget, Cost, Delta, Dictionary, Epsilon, Rho};
use serde::Serialize;
use std::fmt;

/// Multiples of the cost asked for that are shown: numerator, denominator.
const MULTIPLES: [(u64, u64); 5] = [(1, 4), (1, 2), (1, 1), (2, 1), (4, 1)];
/// Factor by which a cost is stepped until it brackets the error wanted.
const STEP: u64 = 4;
/// Largest cost that is tried, in units of 10^-9: a million.
const UNITS_TRIED_MAX: u64 = 1_000_000_000_000_000;

/// What other costs would buy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Headings of the figures, in the answer's order.
    pub columns: Vec<String>,
    /// One row a cost, the cheapest first.
    pub options: Vec<CostOption>,
    /// Rows that a cell is taken to hold, for errors that depend on the data.
    pub typical_rows: f64,
}

/// One cost and what it buys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostOption {
    /// Against the cost asked for: `x 1/4`, `x 1`, `x 4`.
    pub times: String,
    /// The cost of one round at each partner.
    pub cost: Cost,
    /// How sure someone 50 % sure can become, in percent.
    pub at_most_percent: f64,
    /// Share of the budget left, in percent; `None` when the budget is not known, or has none of it.
    pub share_percent: Option<f64>,
    /// Whether the budget left covers it; `None` when it is not known.
    pub covered: Option<bool>,
    /// Expected error of each column, 95 times in 100 at most, in words.
    pub plus_minus: Vec<String>,
}

/// The cost that reaches an error wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proposal {
    /// The column.
    pub column: String,
    /// The error wanted, in the column's units.
    pub wanted: f64,
    /// The error expected at that cost.
    pub plus_minus: f64,
    /// Whether both are about so much, in a typical cell: the column's own error depends on the data.
    pub is_about: bool,
    /// The cost of one round at each partner, rounded up to two digits.
    pub cost: Cost,
    /// What to write into the analysis: `spend = { rho = "0.1" }`.
    pub write: String,
    /// How sure someone 50 % sure can become, in words.
    pub means: String,
    /// Whether the budget left covers it; `None` when it is not known.
    pub covered: Option<bool>,
}

/// An error that is aimed at.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The heading of the column; the first count or sum without, or else the first figure.
    pub column: Option<&'a str>,
    /// The error wanted, in the column's units.
    pub wanted: f64,
    /// Rows that a cell is taken to hold.
    pub rows: f64,
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// The question cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No figure of that heading whose error is told beforehand.
    #[error(
        "`{wanted}` is no figure whose error can be told beforehand: set the target for one of {known}"
    )]
    Column {
        /// What was asked for.
        wanted: String,
        /// The columns that can be asked for.
        known: String,
    },
    /// No figure whose error is told beforehand.
    #[error(
        "this answer has no figure whose error can be told beforehand: a target is for counts, sums, averages, shares, quantiles and statistics"
    )]
    NoColumn,
    /// The error wanted is no positive number.
    #[error("an error of {0} cannot be aimed at: give a number above 0, such as 50 or 5%")]
    Target(f64),
    /// No cost reaches it.
    #[error("no cost reaches ± {0}: the answer is too coarse; ask a smaller question")]
    OutOfReach(f64),
}

/// Plans `question` at a few multiples of the cost it was `planned` with, for `nodes` partners that
/// answer. `left` is what the budget still holds; `typical` the number of rows that a cell is taken to
/// hold, without it [`TYPICAL_ROWS`], for errors that depend on the data.
pub fn forecast(
    dictionary: &Dictionary,
    question: &Question<'_>,
    planned: &Planned,
    nodes: usize,
    left: Option<Budget>,
    typical: Option<f64>,
) -> Result<Forecast, PlanError> {
    let rows = typical.unwrap_or(TYPICAL_ROWS);
    let mut options = Vec::new();
    for (numerator, denominator) in MULTIPLES {
        let units = units_of(planned.cost).saturating_mul(numerator) / denominator;
        // A cost too small to be shared by the figures, or beyond every budget, buys nothing.
        let Some(spend) = spend_of(planned.cost, units) else { continue };
        let Ok(other) = plan(dictionary, &Question { spend, ..*question }) else { continue };
        let times = match denominator {
            1 => format!("x {numerator}"),
            _ => format!("x {numerator}/{denominator}"),
        };
        options.push(CostOption {
            times,
            cost: other.cost,
            at_most_percent: meaning(other.cost_per_run()).at_most_percent,
            share_percent: left.and_then(|left| share_percent(other.cost_per_run(), left)),
            covered: left.map(|left| other.cost_per_run().within(left)),
            plus_minus: figures(&other, nodes, rows).iter().map(in_words).collect(),
        });
    }
    let columns = figures(planned, nodes, rows).iter().map(|one| printable(&one.column)).collect();
    Ok(Forecast { columns, options, typical_rows: rows })
}

/// The least cost, of two digits, at which the column aimed at is expected to be off by at most what is
/// wanted, 95 times in 100, with `nodes` partners.
pub fn propose(
    dictionary: &Dictionary,
    question: &Question<'_>,
    planned: &Planned,
    nodes: usize,
    target: Target<'_>,
    left: Option<Budget>,
) -> Result<Proposal, ForecastError> {
    let Target { column, wanted, rows } = target;
    if !(wanted.is_finite() && wanted > 0.0) {
        return Err(ForecastError::Target(wanted));
    }
    let column = target_column(planned, nodes, column)?;
    let at = |units: u64| -> Option<(f64, Planned)> {
        let spend = spend_of(planned.cost, units)?;
        let other = plan(dictionary, &Question { spend, ..*question }).ok()?;
        Some((error_of(&other, nodes, &column, rows)?, other))
    };
    let reaches = |units: u64| at(units).is_some_and(|(error, _)| error <= wanted);
    let mut high = units_of(planned.cost).max(1);
    while !reaches(high) {
        high = high.saturating_mul(STEP);
        if high > UNITS_TRIED_MAX {
            return Err(ForecastError::OutOfReach(wanted));
        }
    }
    let mut low = high / STEP;
    while low > 0 && reaches(low) {
        high = low;
        low /= STEP;
    }
    // Errors fall as costs rise, so the border lies between; one in two hundred is near enough for two digits.
    while high - low > (high / 200).max(1) {
        let middle = low + (high - low) / 2;
        if reaches(middle) { high = middle } else { low = middle }
    }
    let units = two_digits_up(high);
    let Some((plus_minus, other)) = at(units) else {
        return Err(ForecastError::OutOfReach(wanted));
    };
    let cost = other.cost;
    let measure = if cost.rho > Rho::ZERO { "rho" } else { "epsilon" };
    let number = if cost.rho > Rho::ZERO { cost.rho.to_string() } else { cost.epsilon.to_string() };
    let delta = match cost.delta {
        Delta::ZERO => String::new(),
        delta => format!(", delta = \"{delta}\""),
    };
    Ok(Proposal {
        column: printable(&column),
        wanted,
        plus_minus,
        cost,
        write: format!("spend = {{ {measure} = \"{number}\"{delta} }}"),
        means: meaning(other.cost_per_run()).to_string(),
        covered: left.map(|left| other.cost_per_run().within(left)),
        is_about: !figures(planned, nodes, rows)
            .iter()
            .any(|one| one.column == column && is_total(one)),
    })
}

/// The heading a target is set for: the one asked for, or the first count or sum, or else the first figure.
pub fn target_column(
    planned: &Planned,
    nodes: usize,
    wanted: Option<&str>,
) -> Result<String, ForecastError> {
    let mut told = figures(planned, nodes, TYPICAL_ROWS);
    told.retain(|one| is_total(one) || one.typical.is_some());
    let Some(wanted) = wanted else {
        let first = told.iter().find(|one| is_total(one)).or(told.first());
        return first.map(|one| one.column.clone()).ok_or(ForecastError::NoColumn);
    };
    if let Some(found) = told.iter().find(|one| one.column == wanted) {
        return Ok(found.column.clone());
    }
    let known: Vec<String> =
        told.iter().map(|one| format!("`{}`", printable(&one.column))).collect();
    match known.as_slice() {
        [] => Err(ForecastError::NoColumn),
        known => Err(ForecastError::Column { wanted: printable(wanted), known: known.join(", ") }),
    }
}

/// Whether a column's error depends on the noise alone.
pub(crate) fn is_total(expected: &Expected) -> bool {
    matches!(expected.accuracy, Accuracy::Total { .. })
}

/// Whether the error of a column depends on the noise alone.
pub fn is_count_or_sum(planned: &Planned, nodes: usize, column: &str) -> bool {
    figures(planned, nodes, TYPICAL_ROWS).iter().any(|one| one.column == column && is_total(one))
}

/// What a column that is no count or sum is about in a cell of so many rows; `None` of counts and sums, whose
/// size nobody knows before, and of what is not told.
pub fn typical_figure(planned: &Planned, nodes: usize, column: &str, rows: f64) -> Option<f64> {
    let found = figures(planned, nodes, rows).into_iter().find(|one| one.column == column)?;
    let typical = found.typical.filter(|_| !is_total(&found))?;
    (typical.value != 0.0).then_some(typical.value.abs())
}

/// The share of `left` that `cost` takes, in percent, by the column where it is largest; `None` when a
/// column has nothing left.
pub fn share_percent(cost: Cost, left: Budget) -> Option<f64> {
    [
        (cost.epsilon.units(), left.epsilon.units()),
        (cost.rho.units(), left.rho.units()),
        (cost.delta.units(), left.delta.units()),
    ]
    .into_iter()
    .filter(|(cost, _)| *cost > 0)
    .map(|(cost, left)| (left > 0).then(|| cost as f64 / left as f64 * 100.0))
    .try_fold(0.0, |most: f64, share| share.map(|share| most.max(share)))
}

/// The figures of an answer with their expected error; none when it cannot be told.
fn figures(planned: &Planned, nodes: usize, rows: f64) -> Vec<Expected> {
    let mut figures = expected(&planned.plan, nodes, rows).unwrap_or_default();
    figures.retain(|one| !matches!(one.accuracy, Accuracy::Key));
    figures
}

/// The error expected of a column; infinite where noise drowns it.
fn error_of(planned: &Planned, nodes: usize, column: &str, rows: f64) -> Option<f64> {
    let found = figures(planned, nodes, rows).into_iter().find(|one| one.column == column)?;
    match found.accuracy {
        Accuracy::Total { plus_minus } => Some(plus_minus),
        _ => found.typical.map(|typical| typical.plus_minus),
    }
}

/// An error as a cell of the table.
fn in_words(expected: &Expected) -> String {
    match expected.typical {
        Some(typical) if !is_total(expected) => about(typical.plus_minus),
        _ => expected.accuracy.to_string(),
    }
}

/// An error that depends on the data, in a typical cell.
pub(crate) fn about(plus_minus: f64) -> String {
    if plus_minus.is_infinite() {
        return "too noisy to say".to_owned();
    }
    format!("about {}", Accuracy::Total { plus_minus })
}

/// What such errors stand on.
pub(crate) fn assumed(rows: f64) -> String {
    format!("{rows:.0} rows, each of another person, with values spread evenly over their ranges")
}

fn units_of(cost: Cost) -> u64 {
    cost.rho.units().max(cost.epsilon.units())
}

/// The same measure and delta as `like`, another number; `None` for nothing, or beyond every budget.
fn spend_of(like: Cost, units: u64) -> Option<Spend> {
    if units == 0 {
        return None;
    }
    let delta = (like.delta > Delta::ZERO).then_some(like.delta);
    Some(if like.rho > Rho::ZERO {
        Spend { rho: Some(Rho::from_units(units).ok()?), epsilon: None, delta }
    } else {
        Spend { epsilon: Some(Epsilon::from_units(units).ok()?), rho: None, delta }
    })
}

/// The least number of two significant digits that is not below `units`.
fn two_digits_up(units: u64) -> u64 {
    let mut scale = 1u64;
    while units / scale >= 100 {
        scale = scale.saturating_mul(10);
    }
    units.div_ceil(scale).saturating_mul(scale)
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Error against cost; each ± holds 95 times in 100:")?;
        let knows_left = self.options.iter().any(|option| option.covered.is_some());
        let mut head = vec!["cost".to_owned()];
        if knows_left {
            head.push("of what is left".to_owned());
        }
        head.push("50 % sure becomes at most".to_owned());
        head.extend(self.columns.iter().cloned());
        let mut rows = vec![head];
        for option in &self.options {
            let mut row = vec![option.times.clone()];
            if knows_left {
                row.push(match (option.share_percent, option.covered) {
                    (Some(share), Some(true)) => percent(share),
                    _ => "more than there is".to_owned(),
                });
            }
            row.push(sure(option.at_most_percent));
            row.extend(option.plus_minus.iter().cloned());
            rows.push(row);
        }
        let columns = rows.first().map_or(0, Vec::len);
        let width = |at: usize| {
            rows.iter().filter_map(|row| row.get(at)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let blanks = width.saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(blanks))
            });
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("   ").trim_end())?;
        }
        let mut told = self.options.iter().flat_map(|option| &option.plus_minus);
        if told.any(|words| words.starts_with("about ") || words.starts_with("too ")) {
            writeln!(f, "  (about: in a cell of {})", assumed(self.typical_rows))?;
        }
        Ok(())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = |plus_minus| Accuracy::Total { plus_minus }.to_string();
        let about = if self.is_about { "about " } else { "" };
        writeln!(f, "To have `{}` within {about}{}, write", self.column, error(self.wanted))?;
        writeln!(f, "  {}", self.write)?;
        writeln!(f, "which gives {about}{}; {}.", error(self.plus_minus), self.means)?;
        match self.covered {
            Some(false) => writeln!(f, "The budget left does not cover it."),
            Some(true) | None => Ok(()),
        }
    }
}

/// A share in percent, in words.
fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.1 { "less than 0.1 %".to_owned() } else { format!("{share:.1} %") }
}

/// Rounded up, so that it promises no more than is kept.
fn sure(at_most_percent: f64) -> String {
    if at_most_percent > 99.0 {
        return if at_most_percent >= 100.0 { "100 %".to_owned() } else { "over 99 %".to_owned() };
    }
    format!("{} %", at_most_percent.ceil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Q1, dictionary, epsilon, planned, rho};
    use cloister_terms::Body;

    fn body(text: &str) -> Body {
        Body::Sql { text: text.to_owned() }
    }

    fn question<'a>(body: &'a Body, spend: Spend) -> Question<'a> {
        Question { body, row_cap: 20, group_cap: 6, spend, diagnostics: false, rounds: 1 }
    }

    #[test]
    fn more_cost_buys_less_error_and_shares_are_of_what_is_left() {
        let (body, dictionary) = (body(Q1), dictionary());
        for spend in [rho("0.1"), epsilon("1")] {
            let planned = planned(Q1, spend).unwrap();
            let left =
                Budget { rho: "0.2".parse().unwrap(), epsilon: "2".parse().unwrap(), ..Cost::ZERO };
            let question = question(&body, spend);
            let forecast = forecast(&dictionary, &question, &planned, 4, Some(left), None).unwrap();
            assert_eq!(forecast.columns, ["riders", "trips", "cross_share"]);
            let times: Vec<_> =
                forecast.options.iter().map(|option| option.times.as_str()).collect();
            assert_eq!(times, ["x 1/4", "x 1/2", "x 1", "x 2", "x 4"]);
            assert_eq!(forecast.options[2].cost, planned.cost);
            assert_eq!(forecast.options[2].share_percent, Some(50.0));
            let covered: Vec<_> = forecast.options.iter().map(|option| option.covered).collect();
            assert_eq!(covered, [Some(true), Some(true), Some(true), Some(true), Some(false)]);
            let sure: Vec<_> =
                forecast.options.iter().map(|option| option.at_most_percent).collect();
            assert!(sure.is_sorted_by(|a, b| a < b), "{sure:?}");
            let error = |option: &CostOption| {
                let other = Question {
                    spend: spend_of(planned.cost, units_of(option.cost)).unwrap(),
                    ..question
                };
                error_of(&plan(&dictionary, &other).unwrap(), 4, "riders", 1.0).unwrap()
            };
            let errors: Vec<_> = forecast.options.iter().map(error).collect();
            assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
            let text = forecast.to_string();
            let typical =
                super::forecast(&dictionary, &question, &planned, 4, None, Some(70_000.0));
            let typical = typical.unwrap();
            assert!(typical.to_string().contains("in a cell of 70000 rows"), "{typical}");
            let shares = typical.options.iter().map(|option| option.plus_minus[2].as_str());
            assert!(shares.clone().all(|share| share.starts_with("about ± 0.")), "{typical}");
            assert_eq!(forecast.typical_rows, TYPICAL_ROWS);
            for said in ["x 1/4", "50.0 %", "more than there is", "riders", "±"] {
                assert!(text.contains(said), "`{said}` not in:\n{text}");
            }
            for word in ["rho", "epsilon", "lane"] {
                assert!(!text.contains(word), "`{word}` in:\n{text}");
            }
        }
    }

    #[test]
    fn a_proposal_reaches_the_target_and_a_tenth_less_does_not() {
        let (body, dictionary) = (body(Q1), dictionary());
        for (spend, wanted) in [(rho("0.1"), 12.0), (rho("0.1"), 700.0), (epsilon("1"), 30.0)] {
            let planned = planned(Q1, spend).unwrap();
            let question = question(&body, spend);
            let target = Target { column: None, wanted, rows: 1_000.0 };
            let found = propose(&dictionary, &question, &planned, 2, target, None).unwrap();
            assert!(found.column == "riders" && !found.is_about);
            assert!(found.plus_minus <= wanted, "{found:?}");
            let less = spend_of(found.cost, units_of(found.cost) * 85 / 100).unwrap();
            let less = plan(&dictionary, &Question { spend: less, ..question }).unwrap();
            assert!(error_of(&less, 2, "riders", 1_000.0).unwrap() > wanted, "{found:?}");
            assert!(
                found.write.starts_with("spend = { ") && found.to_string().contains(&found.write)
            );
        }
    }

    #[test]
    fn every_figure_but_distinct_values_has_an_error_in_a_typical_cell_and_a_cost_for_a_target() {
        let dictionary = dictionary();
        for (figure, wanted, is_about) in [
            ("AVG(duration_s)", 900.0, true),
            ("COUNT(*) FILTER (WHERE is_member) / COUNT(*)", 0.05, true),
            ("MEDIAN(duration_s)", 5_000.0, true),
            ("STDDEV(distance_m)", 900.0, true),
            ("CORR(distance_m, duration_s)", 0.05, true),
            ("COUNT(*) / SUM(COUNT(*)) OVER ()", 0.05, true),
            ("SUM(duration_s)", 10_000_000.0, false),
        ] {
            let text = format!("SELECT start_city, {figure} AS x FROM trips GROUP BY start_city");
            let body = body(&text);
            let (spend, rows) = (rho("0.1"), 20_000.0);
            let planned = planned(&text, spend).unwrap();
            let question = question(&body, spend);
            let target = Target { column: Some("x"), wanted, rows };
            let found = propose(&dictionary, &question, &planned, 2, target, None).unwrap();
            assert_eq!((found.is_about, found.plus_minus <= wanted), (is_about, true), "{found:?}");
            let less = spend_of(found.cost, units_of(found.cost) * 85 / 100).unwrap();
            let less = plan(&dictionary, &Question { spend: less, ..question }).unwrap();
            assert!(error_of(&less, 2, "x", rows).unwrap() > wanted, "{figure}: {found:?}");
            // Fewer rows, larger errors.
            let error = |rows| error_of(&planned, 2, "x", rows).unwrap();
            assert!(!is_about || error(10_000.0) > error(rows), "{figure}");
        }
        let text = "SELECT COUNT(DISTINCT end_city) AS cities FROM trips";
        let planned = planned(text, rho("0.1")).unwrap();
        assert_eq!(target_column(&planned, 2, None), Err(ForecastError::NoColumn));
    }

    #[test]
    fn hostile_targets_end_in_a_typed_error() {
        let (body, dictionary) = (body(Q1), dictionary());
        let planned = planned(Q1, rho("0.1")).unwrap();
        let question = question(&body, rho("0.1"));
        let ask = |column, wanted| {
            let target = Target { column, wanted, rows: 1_000.0 };
            propose(&dictionary, &question, &planned, 2, target, None)
        };
        for wanted in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(ask(None, wanted), Err(ForecastError::Target(_))));
        }
        assert!(matches!(ask(Some("start_city"), 1.0), Err(ForecastError::Column { .. })));
        assert!(matches!(ask(Some("nothing"), 1.0), Err(ForecastError::Column { .. })));
        assert!(matches!(ask(None, 1e-9), Err(ForecastError::OutOfReach(_)) | Ok(_)));
        // A cost of one unit cannot be halved, nor shared by the figures.
        let tiny = crate::plan(&dictionary, &Question { spend: rho("0.000000004"), ..question });
        if let Ok(tiny) = tiny {
            assert!(
                forecast(&dictionary, &question, &tiny, 1, None, None).unwrap().options.len() <= 5
            );
        }
        assert_eq!(two_digits_up(1), 1);
        assert_eq!(two_digits_up(101), 110);
        assert_eq!(two_digits_up(99_001), 100_000);
    }
}
