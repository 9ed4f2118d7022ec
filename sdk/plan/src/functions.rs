//! Names of functions: the few that are lowered, and how each other one is refused. A name that is
//! not listed here must be refused, whatever an engine would make of it.

pub(crate) use crate::aggregate_names::{AggregateName, aggregate};
use crate::error::{Place, PlanError, excerpt};

/// Row-wise functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFunction {
    /// `COALESCE`
    Coalesce,
    /// `NULLIF`
    NullIf,
    /// `clamp`
    Clamp,
}

/// The row-wise function of that name, in any case.
pub(crate) fn row_function(name: &str) -> Option<RowFunction> {
    match name.to_ascii_lowercase().as_str() {
        "coalesce" => Some(RowFunction::Coalesce),
        "nullif" => Some(RowFunction::NullIf),
        "clamp" => Some(RowFunction::Clamp),
        _ => None,
    }
}

/// Aggregates that are no sum over people, or not yet one.
const OTHER_AGGREGATES: [&str; 28] = [
    "any_value",
    "array_agg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count_if",
    "every",
    "first",
    "first_value",
    "group_concat",
    "grouping",
    "last",
    "last_value",
    "listagg",
    "mean",
    "median",
    "mode",
    "nth_value",
    "percentile",
    "product",
    "std",
    "stdev",
    "string_agg",
    "total",
    "xmlagg",
];
/// Beginnings of the names of families of aggregates.
const OTHER_AGGREGATE_FAMILIES: [&str; 9] = [
    "approx_",
    "covar",
    "percentile_",
    "quantile",
    "regr_",
    "stddev",
    "var_",
    "variance",
    "json_agg",
];
/// Functions that give another value each time.
const VOLATILE: [&str; 18] = [
    "clock_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "gen_random_uuid",
    "getdate",
    "localtime",
    "localtimestamp",
    "newid",
    "now",
    "rand",
    "random",
    "statement_timestamp",
    "sysdate",
    "timeofday",
    "today",
    "transaction_timestamp",
    "uuid",
];

/// The error for a function that is not on the list.
pub(crate) fn refuse_function(name: &str, place: Place) -> PlanError {
    let folded = name.to_ascii_lowercase();
    let folded = folded.as_str();
    let name = excerpt(name);
    if VOLATILE.contains(&folded) {
        return PlanError::Volatile { name, place };
    }
    if matches!(folded, "min" | "max") {
        return PlanError::Extreme { name, place };
    }
    let in_family = OTHER_AGGREGATE_FAMILIES.iter().any(|family| folded.starts_with(family));
    if in_family || OTHER_AGGREGATES.contains(&folded) {
        return PlanError::Aggregate { name, place };
    }
    PlanError::Function { name, place }
}
