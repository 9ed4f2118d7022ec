//! Error against cost before anything is spent: the same question planned at other costs, and the
//! cost at which one column's error is as small as wanted. From plans alone; it must never need a
//! record, and it decides nothing: what is charged stands in the analysis.

use crate::error::PlanError;
use crate::noise::Spend;
use crate::planned::{Planned, Question, plan};
use cloister_report::{Accuracy, expected_plus_minus, meaning, printable};
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
    /// The cost of one round at each partner, rounded up to two digits.
    pub cost: Cost,
    /// What to write into the analysis: `spend = { rho = "0.1" }`.
    pub write: String,
    /// How sure someone 50 % sure can become, in words.
    pub means: String,
    /// Whether the budget left covers it; `None` when it is not known.
    pub covered: Option<bool>,
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// The question cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No count or sum of that heading.
    #[error(
        "`{wanted}` is no count or sum of this answer: a target needs one of {known}; an average's own error depends on the data"
    )]
    Column {
        /// What was asked for.
        wanted: String,
        /// The columns that can be asked for.
        known: String,
    },
    /// The error wanted is no positive number.
    #[error("an error of {0} cannot be aimed at: give a number above 0, such as 50 or 5%")]
    Target(f64),
    /// No cost reaches it.
    #[error("no cost reaches ± {0}: the answer is too coarse; ask a smaller question")]
    OutOfReach(f64),
}

/// Plans `question` at a few multiples of the cost it was `planned` with, for `nodes` partners that
/// answer. `left` is what the budget still holds; `typical` the number of rows that a cell is thought to
/// hold, for which averages get a least error.
pub fn forecast(
    dictionary: &Dictionary,
    question: &Question<'_>,
    planned: &Planned,
    nodes: usize,
    left: Option<Budget>,
    typical: Option<f64>,
) -> Result<Forecast, PlanError> {
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
            plus_minus: figures(&other, nodes)
                .iter()
                .map(|(_, accuracy)| in_words(*accuracy, typical))
                .collect(),
        });
    }
    let columns = figures(planned, nodes).into_iter().map(|(name, _)| printable(&name)).collect();
    Ok(Forecast { columns, options })
}

/// The least cost, of two digits, at which `column` (the first count or sum without) is expected to be
/// off by at most `wanted`, 95 times in 100, with `nodes` partners.
pub fn propose(
    dictionary: &Dictionary,
    question: &Question<'_>,
    planned: &Planned,
    nodes: usize,
    column: Option<&str>,
    wanted: f64,
    left: Option<Budget>,
) -> Result<Proposal, ForecastError> {
    if !(wanted.is_finite() && wanted > 0.0) {
        return Err(ForecastError::Target(wanted));
    }
    let column = target_column(planned, nodes, column)?;
    let at = |units: u64| -> Option<(f64, Planned)> {
        let spend = spend_of(planned.cost, units)?;
        let other = plan(dictionary, &Question { spend, ..*question }).ok()?;
        Some((total_error(&other, nodes, &column)?, other))
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
    })
}

/// The heading a target is set for: the one asked for, or the first count or sum.
pub fn target_column(
    planned: &Planned,
    nodes: usize,
    wanted: Option<&str>,
) -> Result<String, ForecastError> {
    let is_total = |(_, accuracy): &(String, Accuracy)| matches!(accuracy, Accuracy::Total { .. });
    let totals: Vec<String> =
        figures(planned, nodes).into_iter().filter(is_total).map(|(name, _)| name).collect();
    let found = totals.iter().find(|name| wanted.is_none_or(|wanted| wanted == name.as_str()));
    found.cloned().ok_or_else(|| {
        let known: Vec<String> =
            totals.iter().map(|name| format!("`{}`", printable(name))).collect();
        let known = if known.is_empty() { "none there is".to_owned() } else { known.join(", ") };
        ForecastError::Column { wanted: printable(wanted.unwrap_or("any column")), known }
    })
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
fn figures(planned: &Planned, nodes: usize) -> Vec<(String, Accuracy)> {
    let expected = expected_plus_minus(&planned.plan.shape, nodes).unwrap_or_default();
    let figures = expected.into_iter().filter(|one| !matches!(one.accuracy, Accuracy::Key));
    figures.map(|one| (one.column, one.accuracy)).collect()
}

fn total_error(planned: &Planned, nodes: usize, column: &str) -> Option<f64> {
    let found = figures(planned, nodes).into_iter().find(|(name, _)| name == column)?;
    match found.1 {
        Accuracy::Total { plus_minus } => Some(plus_minus),
        _ => None,
    }
}

/// An error as a cell of the table: short, and never less than it is.
fn in_words(accuracy: Accuracy, typical: Option<f64>) -> String {
    let total = |plus_minus: f64| Accuracy::Total { plus_minus }.to_string();
    match (accuracy, typical) {
        (Accuracy::Ratio { numerator_plus_minus, .. }, Some(typical)) => {
            // The sum's error alone: what the count is off by comes on top, and depends on the average.
            format!("{} or more at {typical:.0} rows", total(numerator_plus_minus / typical))
        }
        (Accuracy::Ratio { numerator_plus_minus, denominator_plus_minus }, None) => {
            format!("({}) / ({})", total(numerator_plus_minus), total(denominator_plus_minus))
        }
        (other, _) => other.to_string(),
    }
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
        Ok(())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = |plus_minus| Accuracy::Total { plus_minus }.to_string();
        writeln!(f, "To have `{}` within {}, write", self.column, error(self.wanted))?;
        writeln!(f, "  {}", self.write)?;
        writeln!(f, "which gives {}; {}.", error(self.plus_minus), self.means)?;
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
                total_error(&plan(&dictionary, &other).unwrap(), 4, "riders").unwrap()
            };
            let errors: Vec<_> = forecast.options.iter().map(error).collect();
            assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
            let text = forecast.to_string();
            let typical = super::forecast(&dictionary, &question, &planned, 4, None, Some(700.0));
            assert!(typical.unwrap().to_string().contains("or more at 700 rows"));
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
            let found = propose(&dictionary, &question, &planned, 2, None, wanted, None).unwrap();
            assert_eq!(found.column, "riders");
            assert!(found.plus_minus <= wanted, "{found:?}");
            let less = spend_of(found.cost, units_of(found.cost) * 85 / 100).unwrap();
            let less = plan(&dictionary, &Question { spend: less, ..question }).unwrap();
            assert!(total_error(&less, 2, "riders").unwrap() > wanted, "{found:?}");
            assert!(
                found.write.starts_with("spend = { ") && found.to_string().contains(&found.write)
            );
        }
    }

    #[test]
    fn hostile_targets_end_in_a_typed_error() {
        let (body, dictionary) = (body(Q1), dictionary());
        let planned = planned(Q1, rho("0.1")).unwrap();
        let question = question(&body, rho("0.1"));
        let ask =
            |column, wanted| propose(&dictionary, &question, &planned, 2, column, wanted, None);
        for wanted in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(ask(None, wanted), Err(ForecastError::Target(_))));
        }
        assert!(matches!(ask(Some("cross_share"), 1.0), Err(ForecastError::Column { .. })));
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
