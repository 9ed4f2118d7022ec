//! Dates, shares of budgets and names in words a steward reads. Everything that comes from others is
//! escaped before it reaches a terminal; floats are for display only.

use cloister_report::printable;
use cloister_terms::{Budget, Cost};
use time::macros::format_description;

/// `2026-11-22 03:30 UTC`, or the bare number for a time no calendar has.
pub(super) fn date(at_s: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    time::OffsetDateTime::from_unix_timestamp(at_s)
        .ok()
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_else(|| at_s.to_string())
}

/// The share of `cap` that `cost` takes, in per cent, by the column where it is largest; `None` when
/// a column has no cap at all.
pub(super) fn share_percent(cost: Cost, cap: Budget) -> Option<f64> {
    columns(cost)
        .into_iter()
        .zip(columns(cap))
        .filter(|(cost, _)| *cost > 0)
        .map(|(cost, cap)| (cap > 0).then(|| cost as f64 / cap as f64 * 100.0))
        .try_fold(0.0, |most: f64, share| share.map(|share| most.max(share)))
}

fn columns(cost: Cost) -> [u64; 3] {
    [cost.epsilon.units(), cost.rho.units(), cost.delta.units()]
}

/// The column of an account that a cost uses up first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FirstToEnd {
    /// How much of what is left the cost takes; more than 1 when it is not covered.
    pub taken: f64,
    /// How much of the cap is left, in per cent.
    pub left_percent: f64,
}

/// The column of which `cost` takes the largest part of what is `left` under `cap`; `None` when it takes
/// nothing.
pub(super) fn first_to_end(cost: Cost, left: Budget, cap: Budget) -> Option<FirstToEnd> {
    let columns = columns(cost).into_iter().zip(columns(left)).zip(columns(cap));
    columns
        .filter(|((cost, _), _)| *cost > 0)
        .map(|((cost, left), cap)| FirstToEnd {
            taken: cost as f64 / left as f64,
            left_percent: if cap > 0 { left as f64 / cap as f64 * 100.0 } else { 0.0 },
        })
        .max_by(|a, b| a.taken.total_cmp(&b.taken))
}

/// A share in words.
pub(super) fn percent(share: Option<f64>) -> String {
    match share {
        None => "more than there is".to_owned(),
        Some(share) if share > 0.0 && share < 0.1 => "less than 0.1 %".to_owned(),
        Some(share) => format!("{share:.1} %"),
    }
}

/// Names and the like, escaped, with commas.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| printable(&item.to_string())).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// A labelled line; further lines of the value are indented alike.
pub(super) fn line(label: &str, value: &str) -> String {
    let mut lines = value.lines();
    let mut text = format!("  {label:<10} {}\n", lines.next().unwrap_or_default());
    for more in lines {
        text.push_str(&format!("  {:<10} {more}\n", ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(epsilon: &str, rho: &str) -> Cost {
        Cost { epsilon: epsilon.parse().unwrap(), rho: rho.parse().unwrap(), ..Cost::ZERO }
    }

    #[test]
    fn shares_are_of_the_tightest_column() {
        let cap = cost("10", "1");
        assert_eq!(percent(share_percent(cost("1", "0.5"), cap)), "50.0 %");
        assert_eq!(percent(share_percent(cost("0.001", "0"), cap)), "less than 0.1 %");
        assert_eq!(percent(share_percent(Cost::ZERO, cap)), "0.0 %");
        assert_eq!(share_percent(cost("0", "0.1"), cost("10", "0")), None);
    }

    #[test]
    fn the_column_that_ends_first_tells_what_is_left() {
        let cap = cost("10", "1");
        let found = first_to_end(cost("1", "0.1"), cost("5", "0.2"), cap).unwrap();
        assert_eq!((found.taken, found.left_percent), (0.5, 20.0));
        // A column that the cost does not touch binds nothing.
        let found = first_to_end(cost("1", "0"), cost("5", "0"), cap).unwrap();
        assert_eq!((found.taken, found.left_percent), (0.2, 50.0));
        let none = first_to_end(cost("0", "0.1"), Cost::ZERO, cost("10", "0")).unwrap();
        assert_eq!((none.taken, none.left_percent), (f64::INFINITY, 0.0));
        assert_eq!(first_to_end(Cost::ZERO, cap, cap), None);
    }

    #[test]
    fn dates_and_hostile_names_are_plain_text() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(i64::MAX), i64::MAX.to_string());
        assert!(!list(["a\u{1b}[2J"]).contains('\u{1b}'));
        assert_eq!(line("left", "a\nb"), "  left       a\n             b\n");
    }
}
