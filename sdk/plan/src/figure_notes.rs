//! What computed figures give and what of them is approximate, in plain words, from the shape alone. For
//! people only, never part of a digest.

use cloister_report::Accuracy;
use cloister_report::expected_plus_minus;
use cloister_terms::{Formula, OutputShape, PairStatistic};

/// Notes on the figures of a shape, a line each, none twice.
pub(crate) fn figure_notes(shape: &OutputShape) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut say = |note: String| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    let expected = expected_plus_minus(shape, 1).unwrap_or_default();
    for (index, column) in shape.columns.iter().enumerate() {
        let name = &column.name;
        match shown(&column.formula) {
            Formula::Variance { .. } => say(format!(
                "`{name}` is computed from n, sum(d) and sum(d^2) of the deviations d from the middle \
                 of the range: max(0, sum(d^2)/n - (sum(d)/n)^2), times n/(n-1) for a sample, its root for a deviation"
            )),
            Formula::Pair { statistic, .. } => say(pair(name, *statistic)),
            Formula::Quantile(quantile) => {
                let (low, high) = quantile.leaf_range(0);
                say(format!(
                    "`{name}` is read off the noised counts of {} bands of the range, each about {} wide: it \
                     is known within one band at best",
                    quantile.leaves,
                    (high - low).max(quantile.leaf_range(1).0 - low)
                ));
            }
            Formula::Distinct { values, .. } => {
                let accuracy = expected.get(index).map(|expected| expected.accuracy);
                let people = match accuracy {
                    Some(Accuracy::Distinct { people }) => people,
                    _ => 0.0,
                };
                say(format!(
                    "`{name}` counts those of {values} public values whose noised number of people reaches {people} at \
                     one partner: values that fewer people have are mostly missed, and at most 1 in 40 of \
                     those that nobody has is counted"
                ));
            }
            Formula::Arithmetic { .. } => {
                say(format!(
                    "`{name}` is computed from released figures; dividing keeps fractions"
                ));
            }
            _ => {}
        }
        if matches!(column.formula, Formula::Call { .. } | Formula::Coalesce { .. }) {
            say(format!("`{name}` is a function of a released figure, taken after the noise"));
        }
        if column.formula.is_across() {
            say(format!(
                "`{name}` adds up the noised figures of all groups in the answer, before any LIMIT"
            ));
        }
    }
    let recipe = &shape.recipe;
    if recipe.having.is_some() {
        say("rows are chosen by their noised figures or keys, after the noise".to_owned());
    }
    if !recipe.order.is_empty() {
        say("rows are ordered by their noised figures or keys, after the noise".to_owned());
    }
    if recipe.limit.is_some() || recipe.offset.is_some() {
        say("rows are cut from the noised answer: every group is released and paid for".to_owned());
    }
    notes
}

/// The figure that a function is of, however many stand around it.
fn shown(mut formula: &Formula) -> &Formula {
    while let Formula::Call { of, .. } | Formula::Coalesce { of, .. } = formula {
        formula = of;
    }
    formula
}

fn pair(name: &str, statistic: PairStatistic) -> String {
    let what = match statistic {
        PairStatistic::CovariancePopulation | PairStatistic::CovarianceSample => {
            "n, sum(u), sum(v) and sum(uv)"
        }
        PairStatistic::Correlation => "n, sum(u), sum(v), sum(uv), sum(u^2) and sum(v^2)",
        PairStatistic::Slope | PairStatistic::Intercept => {
            "n, sum(u), sum(v), sum(uv) and sum(u^2)"
        }
    };
    format!(
        "`{name}` is computed from {what} of the deviations u of x and v of y from the middles of their \
         ranges, over rows where neither is missing"
    )
}
