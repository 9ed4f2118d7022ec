//! What an interval does not include, in plain words. Intervals hold what the noise did; nothing here may
//! promise more.

use crate::cell::{Cell, TOO_NOISY};
use crate::table::{Report, Row};
use cloister_terms::Formula;

const SAMPLING: &str = "chance in who and what was recorded";
const CAPS: &str = "rows and groups of people above their caps";
const NODES: &str = "partners that are missing, break the rules or hold the same people";
const CLIPPING: &str = "in sums and averages, values outside their range and rounding to its steps";
const DISTINCT: &str = "bias of distinct values towards those that many people have";

/// The reasons that apply to a formula; empty for a key.
pub(crate) fn not_included(formula: &Formula) -> Vec<&'static str> {
    if matches!(formula, Formula::Key { .. }) {
        return Vec::new();
    }
    let is_distinct = |part: &Formula| matches!(part, Formula::Distinct { .. });
    // What is computed from distinct counts alone clips no values.
    let is_other = |part: &Formula| {
        part.parts().is_empty() && !is_distinct(part) && !matches!(part, Formula::Constant { .. })
    };
    let mut reasons = vec![SAMPLING, CAPS, NODES];
    if formula.any(&is_distinct) {
        reasons.push(DISTINCT);
    }
    if formula.any(&is_other) {
        reasons.push(CLIPPING);
    }
    reasons
}

/// What must be known of the rows as a whole, in plain words: which share of the intervals that are shown may
/// hold, and how many keys have no figure because nobody holds them.
pub(crate) fn notes_on_rows(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let is_noisy = |row: &Row| row.figures.iter().any(Cell::is_too_noisy);
    if report.rows_with_partners().any(is_noisy) {
        let percent = report.confidence_percent();
        notes.push(format!(
            "of the intervals beside figures that are said, fewer than {percent} of 100 may hold: {percent} of 100 do over all figures, those that are `{TOO_NOISY}` included"
        ));
    }
    let is_constant = |row: &Row| row.figures.iter().any(|cell| matches!(cell, Cell::Otherwise(_)));
    if report.rows_with_partners().any(is_constant) {
        notes.push(
            "figures without ± are not defined, as far as the noise tells: the question names a constant for them"
                .to_owned(),
        );
    }
    let without = report.rows.len().saturating_sub(report.rows_with_partners().count());
    if without > 0 {
        let (keys, them) = if without == 1 { ("key has", "it") } else { ("keys have", "them") };
        notes.push(format!("{without} {keys} no figure: no partner that answered holds {them}"));
    }
    notes
}
