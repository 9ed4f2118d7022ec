//! What an interval does not include, in plain words. Intervals hold what the noise did; nothing here may
//! promise more.

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
    let mut reasons = vec![SAMPLING, CAPS, NODES];
    match formula {
        Formula::Distinct { .. } => reasons.push(DISTINCT),
        _ => reasons.push(CLIPPING),
    }
    reasons
}
