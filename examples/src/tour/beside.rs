//! A private answer beside the exact and the bounded one, and whether they agree: a released figure is a
//! bounded one with noise, so one that lies far from both is not what the partners' tables give. It must
//! never pass an answer with a row or a figure too many or too few.

use crate::truth::{Bounded, Truth};
use serde_json::Value;
use std::fmt::Write;

/// Rows of a comparison that are shown.
const ROWS_SHOWN: usize = 16;
/// The figure of a row that is a share, where a row has as many.
const SHARE: usize = 2;
/// A released figure may lie outside the bounded ones by this many half-widths of its 95 % interval: 7.8
/// deviations of its noise for a sum (5 * 10^-15); for a share at least 5.5 (3 * 10^-8), since its
/// half-width is that at the released share.
const HALF_WIDTHS_MAX: f64 = 4.0;
/// And by this many times what the bounded ones span: the nodes keep other rows of capped persons than any
/// of the 20 secrets here. Where that spreads figures more than noise does (a made-up population of
/// millions), one in 10^7 still lies farther out; at the sizes of the tour fewer than one in 10^13. A tour
/// has about a hundred figures, so fewer than one in a million tours of those sizes stops without a fault.
const SPANS_MAX: f64 = 2.0;

/// One answer, compared.
pub struct Beside {
    /// The largest rows, for readers.
    pub text: String,
    /// What does not agree, in words.
    pub wrong: Vec<String>,
}

/// One row of a report.
struct Row<'a> {
    keys: Vec<String>,
    figures: &'a [Value],
}

/// Compares the report of an answer, as JSON, with what the tour computed itself.
pub fn beside(report: &Value, truth: &Truth) -> Beside {
    let mut rows: Vec<Row<'_>> = list(report, "rows").iter().map(Row::of).collect();
    let largest = |row: &Row<'_>| exact(truth, row, 0);
    rows.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
    Beside { text: table(&rows, truth), wrong: disagreements(&rows, truth) }
}

impl<'a> Row<'a> {
    fn of(row: &'a Value) -> Self {
        let keys = list(row, "keys").iter().map(|key| key.as_str().unwrap_or_default().to_owned());
        Self { keys: keys.collect(), figures: list(row, "figures") }
    }

    fn name(&self) -> String {
        self.keys.join(" / ")
    }
}

/// A list in a JSON object; empty where there is none.
fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A figure and the half-width of its interval; `None` where noise leaves it undefined.
fn released(figure: &Value) -> Option<(f64, f64)> {
    let number = |key: &str| figure.get(key).and_then(Value::as_f64);
    number("value").zip(number("plus_minus"))
}

fn exact(truth: &Truth, row: &Row<'_>, place: usize) -> f64 {
    let figures = truth.exact.get(&row.keys);
    figures.and_then(|figures| figures.get(place)).copied().unwrap_or(0.0)
}

fn bounded<'a>(truth: &'a Truth, row: &Row<'_>) -> &'a [Bounded] {
    truth.bounded.get(&row.keys).map(Vec::as_slice).unwrap_or_default()
}

fn table(rows: &[Row<'_>], truth: &Truth) -> String {
    let mut text = format!(
        "{:<28} {:>22} {:>12} {:>34}\n",
        "", "released", "exact", "bounded: mean (range over 20)"
    );
    for row in rows.iter().take(ROWS_SHOWN) {
        let bounded = bounded(truth, row);
        for (place, figure) in row.figures.iter().enumerate() {
            let digits = if place == SHARE { 4 } else { 0 };
            let exact = exact(truth, row, place);
            let released = match released(figure) {
                Some((value, plus_minus)) => format!("{value:.digits$} ± {plus_minus:.digits$}"),
                None => "too noisy to say".to_owned(),
            };
            let bounded = bounded.get(place).map_or(String::new(), |figure| {
                let Bounded { mean, least, most } = figure;
                format!("{mean:.digits$} ({least:.digits$} to {most:.digits$})")
            });
            let name = if place == 0 { row.name() } else { String::new() };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<28} {released:>22} {exact:>12.digits$} {bounded:>34}");
        }
    }
    let left = rows.len().saturating_sub(ROWS_SHOWN);
    if left > 0 {
        let _ = writeln!(text, "... and {left} smaller rows, which `--json FILE` writes too");
    }
    text
}

/// Everything that the tables cannot have given.
fn disagreements(rows: &[Row<'_>], truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    if rows.len() != truth.bounded.len() {
        wrong.push(format!("there are {} rows, not {}", rows.len(), truth.bounded.len()));
    }
    for row in rows {
        let bounded = bounded(truth, row);
        if row.figures.len() != bounded.len() {
            let (found, wanted) = (row.figures.len(), bounded.len());
            wrong.push(format!("`{}` has {found} figures, not {wanted}", row.name()));
        }
        for (figure, bounded) in row.figures.iter().zip(bounded) {
            let Some((value, plus_minus)) = released(figure) else { continue };
            if !agrees(value, plus_minus, *bounded) {
                let Bounded { least, most, .. } = bounded;
                wrong.push(format!(
                    "`{}` says {value} ± {plus_minus}, where bounding gives {least} to {most}",
                    row.name()
                ));
            }
        }
    }
    wrong
}

fn agrees(value: f64, plus_minus: f64, bounded: Bounded) -> bool {
    let Bounded { least, most, .. } = bounded;
    let slack = HALF_WIDTHS_MAX * plus_minus + SPANS_MAX * (most - least);
    (least - slack..=most + slack).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn truth() -> Truth {
        let people = Bounded { mean: 1_000.0, least: 995.0, most: 1_005.0 };
        let cell = |name: &str| vec![name.to_owned()];
        Truth {
            exact: [(cell("a"), vec![1_010.0]), (cell("b"), vec![1_020.0])].into(),
            bounded: [(cell("a"), vec![people]), (cell("b"), vec![people])].into(),
        }
    }

    fn report(a: &Value, b: &Value) -> Value {
        json!({ "rows": [{ "keys": ["a"], "figures": a }, { "keys": ["b"], "figures": b }] })
    }

    fn figure(value: f64) -> Value {
        json!({ "value": value, "plus_minus": 10.0 })
    }

    #[test]
    fn figures_near_the_bounded_ones_agree_and_others_are_named() {
        let near = report(&json!([figure(936.0)]), &json!([figure(1_064.0)]));
        let compared = beside(&near, &truth());
        assert!(compared.wrong.is_empty(), "{:?}", compared.wrong);
        assert!(compared.text.contains("1064 ± 10") && compared.text.contains("(995 to 1005)"));
        for far in [934.0, 1_066.0, 0.0, -1_000.0, 2_000.0] {
            let far = report(&json!([figure(far)]), &json!([figure(1_000.0)]));
            let wrong = beside(&far, &truth()).wrong;
            assert!(wrong.len() == 1 && wrong[0].starts_with("`a` says"), "{wrong:?}");
        }
        let undefined = json!([{ "value": null, "plus_minus": null }]);
        assert!(beside(&report(&undefined, &json!([figure(1_000.0)])), &truth()).wrong.is_empty());
    }

    #[test]
    fn rows_and_figures_too_many_or_too_few_do_not_pass() {
        let fine = json!([figure(1_000.0)]);
        let unknown = json!({ "rows": [
            { "keys": ["a"], "figures": fine }, { "keys": ["other"], "figures": fine }
        ] });
        for report in [
            json!({}),
            json!({ "rows": [{ "keys": ["a"], "figures": fine }] }),
            report(&fine, &json!([])),
            report(&fine, &json!([figure(1_000.0), figure(1_000.0)])),
            unknown,
        ] {
            assert!(!beside(&report, &truth()).wrong.is_empty(), "{report}");
        }
    }
}
