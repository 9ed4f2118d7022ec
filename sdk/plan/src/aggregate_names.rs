//! Names of aggregates, each with its signature, its contract and an example that a test plans: what the
//! reference page is made of. A name without a note here must not be an aggregate.

use cloister_terms::{PairStatistic, Spread};

/// Aggregates over people's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateName {
    /// `COUNT`
    Count,
    /// `SUM`
    Sum,
    /// `AVG`
    Avg,
    /// `VAR_*`, `STDDEV_*`
    Spread(Spread),
    /// `COVAR_*`, `CORR`, `REGR_*`
    Pair(PairStatistic),
    /// `MEDIAN`
    Median,
    /// `APPROX_PERCENTILE_CONT`, `PERCENTILE_CONT`
    Percentile,
}

/// The aggregate of that name, in any case.
pub(crate) fn aggregate(name: &str) -> Option<AggregateName> {
    use AggregateName as A;
    use PairStatistic as P;
    Some(match name.to_ascii_lowercase().as_str() {
        "count" => A::Count,
        "sum" => A::Sum,
        "avg" => A::Avg,
        "var_pop" => A::Spread(Spread::VariancePopulation),
        "var_samp" | "variance" => A::Spread(Spread::VarianceSample),
        "stddev_pop" => A::Spread(Spread::DeviationPopulation),
        "stddev_samp" | "stddev" => A::Spread(Spread::DeviationSample),
        "covar_pop" => A::Pair(P::CovariancePopulation),
        "covar_samp" => A::Pair(P::CovarianceSample),
        "corr" => A::Pair(P::Correlation),
        "regr_slope" => A::Pair(P::Slope),
        "regr_intercept" => A::Pair(P::Intercept),
        "median" => A::Median,
        "approx_percentile_cont" | "percentile_cont" => A::Percentile,
        _ => return None,
    })
}

/// What a reference page says of one aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateNote {
    /// How it is written.
    pub signature: &'static str,
    /// What it gives, on every input, and what of it is approximate.
    pub contract: &'static str,
    /// An example of the mobility sample, as it stands in SELECT.
    pub example: &'static str,
}

const fn note(
    signature: &'static str,
    contract: &'static str,
    example: &'static str,
) -> AggregateNote {
    AggregateNote { signature, contract, example }
}

const SPREAD: &str = "from n, sum(d) and sum(d^2) of the deviations d from the middle of the range: \
    max(0, sum(d^2)/n - (sum(d)/n)^2), times n/(n-1) for a sample, its root for a deviation";
const PAIRS: &str = "over rows where neither is missing, from n and the sums of the deviations u, v from \
    the middles of the ranges, of uv, u^2 and v^2";

/// Every aggregate an analysis may use.
const NOTES: [AggregateNote; 19] = [
    note("COUNT(*)", "rows", "COUNT(*)"),
    note("COUNT(x)", "rows where x is not missing", "COUNT(distance_m)"),
    note(
        "COUNT(DISTINCT unit)",
        "people with a row in the group; a person at several partners counts at each",
        "COUNT(DISTINCT person_id)",
    ),
    note(
        "COUNT(DISTINCT x)",
        "public values of x that someone has: those whose noised number of people reaches a threshold \
         that noise alone rarely reaches, so values that few people have are missed; x needs a public \
         list of values",
        "COUNT(DISTINCT start_city)",
    ),
    note(
        "SUM(x)",
        "sum of x, each rounded to its grid and kept within its bounds; missing values add nothing",
        "SUM(duration_s)",
    ),
    note(
        "AVG(x)",
        "sum of x over the rows where x is not missing, divided by their number; over a range that \
         does not lie around 0 the middle of the range plus the average deviation from it, which \
         carries less noise",
        "AVG(distance_m)",
    ),
    note("VAR_POP(x)", SPREAD, "VAR_POP(duration_s)"),
    note("VAR_SAMP(x), VARIANCE(x)", SPREAD, "VAR_SAMP(duration_s)"),
    note("STDDEV_POP(x)", SPREAD, "STDDEV_POP(distance_m)"),
    note("STDDEV_SAMP(x), STDDEV(x)", SPREAD, "STDDEV(distance_m)"),
    note("COVAR_POP(y, x)", PAIRS, "COVAR_POP(distance_m, duration_s)"),
    note("COVAR_SAMP(y, x)", PAIRS, "COVAR_SAMP(distance_m, duration_s)"),
    note("CORR(y, x)", PAIRS, "CORR(distance_m, duration_s)"),
    note("REGR_SLOPE(y, x)", PAIRS, "REGR_SLOPE(distance_m, duration_s)"),
    note("REGR_INTERCEPT(y, x)", PAIRS, "REGR_INTERCEPT(distance_m, duration_s)"),
    note(
        "MEDIAN(x)",
        "the value with half of all values at or below it, from counts in at most 64 equal bands of \
         the range of x: right within one band",
        "MEDIAN(duration_s)",
    ),
    note(
        "APPROX_PERCENTILE_CONT(x, q)",
        "as MEDIAN, with a share q of all values at or below it, above 0 and below 1",
        "APPROX_PERCENTILE_CONT(duration_s, 0.9)",
    ),
    note(
        "PERCENTILE_CONT(q) WITHIN GROUP (ORDER BY x)",
        "as APPROX_PERCENTILE_CONT(x, q)",
        "PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY duration_s)",
    ),
    note(
        "aggregate FILTER (WHERE condition)",
        "the aggregate over the rows where the condition is true",
        "COUNT(*) FILTER (WHERE zone = 1)",
    ),
];

/// Every aggregate an analysis may use, for a reference page.
pub fn aggregate_notes() -> &'static [AggregateNote] {
    &NOTES
}
