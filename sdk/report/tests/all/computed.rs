//! Functions of figures, and figures computed from quantiles, distinct counts and others that have intervals
//! of their own: intervals hold the true figure at least as often as they say, values are those of the parts,
//! and a constant for what is not defined claims nothing.

use crate::support::*;
use cloister_report::{Cell, Combined, Confidence, Report, TextOptions, report, report_at};
use cloister_terms::{
    Condition, FigureCompare, FigureFunction, FigureOp, Formula, KeyValue, Name, Noise,
    OutputShape, Real, Recipe, Served, SortKey,
};

/// Leaves of a histogram, from lane 0.
const LEAVES: u32 = 16;
/// People by value: two lists of six values each.
const VALUES: u32 = 6;
/// Lanes of a count and a sum, after those.
const COUNT: u32 = LEAVES + 2 * VALUES;
const SUM: u32 = COUNT + 1;

fn op(op: FigureOp, left: Formula, right: Formula) -> Formula {
    Formula::arithmetic(op, left, right)
}

fn over(left: Formula, right: Formula) -> Formula {
    op(FigureOp::Divide, left, right)
}

fn less(left: Formula, right: Formula) -> Formula {
    op(FigureOp::Subtract, left, right)
}

fn round(of: Formula, digits: i8) -> Formula {
    call(FigureFunction::Round { digits }, of)
}

fn quarter(quarters: u128) -> Formula {
    quantile(LEAVES, (quarters, 4), 160, false)
}

fn distinct(list: u32) -> Formula {
    Formula::Distinct { first_lane: LEAVES + list * VALUES, values: VALUES }
}

fn mean() -> Formula {
    Formula::Ratio { numerator: SUM, denominator: COUNT }
}

/// The exact lanes of one row.
fn exact() -> Vec<i128> {
    let leaves = (0..i128::from(LEAVES)).map(|leaf| 500 - (leaf - 5).abs() * 30);
    let people = [0, 40, 3, 900, 0, 70, 60, 0, 0, 1, 500, 90];
    leaves.chain(people).chain([4_000, 68_920]).collect()
}

fn lanes(noise: Noise) -> Vec<(Noise, u8)> {
    vec![(noise, 0); SUM as usize + 1]
}

fn cells(formulas: Vec<Formula>, noise: Noise, exact: Vec<i128>) -> Vec<Cell> {
    answer(&shape(1, &lanes(noise), formulas), exact).rows[0].figures.clone()
}

#[test]
fn computed_figures_hold_the_true_one_at_least_as_often_as_they_say() {
    let formulas = [
        less(quarter(3), quarter(1)),
        over(quarter(2), number(60.0)),
        round(quarter(2), 0),
        over(quarter(2), total(COUNT)),
        over(distinct(0), distinct(1)),
        round(over(op(FigureOp::Multiply, number(100.0), total(7)), total(COUNT)), 1),
        over(less(quarter(2), mean()), distinct(0)),
        call(FigureFunction::SquareRoot, total(COUNT)),
        call(FigureFunction::Absolute, less(mean(), number(17.5))),
        less(round(total(COUNT), -2), number(3_900.0)),
        coalesce(mean(), 0.0),
        op(FigureOp::Multiply, coalesce(over(quarter(1), mean()), 1.0), total(3)),
    ];
    for (case, noise) in [gaussian(400), laplace(14), gaussian(1)].into_iter().enumerate() {
        for (index, formula) in formulas.iter().enumerate() {
            let seed = (10_000 + case * 100 + index) as u64;
            let (held, silent) = coverage(&lanes(noise), &exact(), formula, seed);
            assert!(held >= COVERAGE_MIN, "{formula:?} under {noise:?}: {held}");
            assert_eq!(silent, 0.0, "{formula:?} under {noise:?}");
        }
    }
}

#[test]
fn a22_without_noise_computed_figures_are_those_of_their_parts() {
    let formulas = vec![
        quarter(1),
        quarter(3),
        less(quarter(3), quarter(1)),
        distinct(0),
        distinct(1),
        over(distinct(0), distinct(1)),
        mean(),
        round(mean(), 1),
        call(FigureFunction::SquareRoot, total(COUNT)),
        call(FigureFunction::Absolute, less(number(10.0), mean())),
        coalesce(mean(), 5.0),
    ];
    let found = cells(formulas, none(), exact());
    let value = |at: usize| found[at].value().unwrap();
    assert_eq!(value(2), value(1) - value(0));
    assert_eq!((value(3), value(4), value(5)), (4.0, 4.0, 1.0));
    assert_eq!((value(6), value(7), value(10)), (17.23, 17.2, 17.23));
    assert_eq!((value(8), value(9)), (4_000f64.sqrt(), 7.23));
    assert!(found.iter().all(|cell| !cell.is_too_noisy()));
}

/// A figure is the same wherever it stands, though its interval beside others is wider.
#[test]
fn values_of_parts_are_those_of_their_own_columns() {
    let formulas = vec![
        distinct(0),
        distinct(1),
        over(distinct(0), distinct(1)),
        quarter(1),
        op(FigureOp::Add, quarter(1), distinct(0)),
    ];
    let rows = 400;
    let (noise, shape) = (laplace(14), shape(rows, &lanes(laplace(14)), formulas));
    let (table, mut random) = (table(noise), Random(77));
    let noised = (0..rows).flat_map(|_| exact()).map(|lane| lane + random.draw(&table));
    let noised = noised.collect::<Vec<_>>();
    for row in answer(&shape, noised).rows {
        let value = |at: usize| row.figures[at].value().unwrap();
        assert_eq!(value(2), value(0) / value(1));
        assert_eq!(value(4), value(3) + value(0));
        let width = |at: usize| row.figures[at].estimate().unwrap().plus_minus;
        assert!(width(4) + 1e-9 >= width(3).max(width(0)));
    }
}

#[test]
fn functions_of_one_figure_keep_its_own_interval() {
    let formulas = vec![
        mean(),
        round(mean(), 15),
        round(mean(), 1),
        quarter(2),
        over(quarter(2), number(4.0)),
        less(quarter(2), number(68.0)),
        round(total(COUNT), 0),
        total(COUNT),
    ];
    let shape = shape(1, &lanes(gaussian(400)), formulas);
    for confidence in [0.9, 0.95] {
        let sums = combined(&shape, exact());
        let report = report_at(&shape, &sums, Confidence::new(confidence).unwrap()).unwrap();
        let ends = |at: usize| {
            let estimate = report.rows[0].figures[at].estimate().unwrap();
            (estimate.low, estimate.value, estimate.high)
        };
        assert_eq!(ends(1), ends(0));
        assert_eq!(ends(6), ends(7));
        let tenths = |x: f64| (x * 10.0).round() / 10.0;
        assert_eq!(ends(2), (tenths(ends(0).0), tenths(ends(0).1), tenths(ends(0).2)));
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(near(ends(4).0, ends(3).0 / 4.0) && near(ends(4).2, ends(3).2 / 4.0));
        // A place on a scale may be near 0; it is no less certain there.
        assert!(near(ends(5).1, ends(3).1 - 68.0) && !report.rows[0].figures[5].is_too_noisy());
    }
}

#[test]
fn what_is_mostly_noise_stays_so() {
    let mut lanes_of_few = exact();
    lanes_of_few[COUNT as usize] = 25;
    let formulas = vec![
        round(total(COUNT), 0),
        call(FigureFunction::Absolute, total(COUNT)),
        less(round(total(SUM), 0), number(68_915.0)),
        round(mean(), 2),
    ];
    let found = cells(formulas, gaussian(400), lanes_of_few);
    assert!(found.iter().all(Cell::is_too_noisy), "{found:?}");
    let below = vec![call(FigureFunction::SquareRoot, less(total(COUNT), number(9_000.0)))];
    assert_eq!(cells(below, gaussian(400), exact()), [Cell::TooNoisy(None)]);
}

#[test]
fn a_constant_for_what_is_not_defined_is_shown_without_an_interval() {
    let formulas = vec![
        mean(),
        coalesce(mean(), 7.25),
        op(FigureOp::Multiply, number(2.0), coalesce(mean(), 7.25)),
        round(coalesce(mean(), 7.25), 1),
        coalesce(call(FigureFunction::SquareRoot, total(SUM)), -1.0),
    ];
    let mut nobody = exact();
    (nobody[COUNT as usize], nobody[SUM as usize]) = (0, -3_000);
    let shape = shape(1, &lanes(gaussian(400)), formulas);
    let report = answer(&shape, nobody);
    let constants = [7.25, 14.5, 7.3, -1.0].map(Cell::Otherwise);
    assert_eq!(report.rows[0].figures[0], Cell::TooNoisy(None));
    assert_eq!(&report.rows[0].figures[1..], constants.as_slice());
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    let figure = &json["rows"][0]["figures"][1];
    assert!(figure["value"] == 7.25 && figure["low"].is_null() && figure["too_noisy"] == false);
    assert!(report.to_csv().contains(",7.25,,,,,false,"), "{}", report.to_csv());
    let text = report.to_text(&TextOptions { width: 200, ..TextOptions::default() });
    assert!(text.contains("7.3") && text.contains("figures without ± are not defined"), "{text}");
}

#[test]
fn a_constant_stands_for_no_partners_figure() {
    let mut shape = shape(2, &lanes(none()), vec![coalesce(mean(), 1.0), coalesce(total(0), 1.0)]);
    let names = ["a", "b"].map(|name| Name::new(name).unwrap());
    let served =
        |(name, key): (&Name, u32)| Served { partner: name.clone(), positions: vec![vec![key]] };
    shape.served = names.iter().zip(0u32..).map(served).collect();
    let only_a = [(names[0].clone(), exact())];
    let report = report(&shape, &Combined::new(&shape, &names, &only_a).unwrap()).unwrap();
    assert!(report.rows[0].figures.iter().all(|cell| cell.value().is_some()));
    assert_eq!(report.rows[1].figures, [Cell::TooNoisy(None); 2]);
}

fn keys(report: &Report) -> Vec<i64> {
    let key = |row: &cloister_report::Row| match row.keys[0] {
        KeyValue::Int(int) => int,
        _ => panic!("an int"),
    };
    report.rows.iter().map(key).collect()
}

/// Five rows with a count and a sum each; row 2 counts nobody.
fn chosen(having: Option<Condition>, order: Vec<SortKey>) -> (OutputShape, Vec<i128>) {
    let formulas = vec![Formula::Ratio { numerator: 1, denominator: 0 }];
    let mut shape = shape(5, &[(none(), 0); 2], formulas);
    shape.recipe = Recipe { having, order, ..Recipe::default() };
    (shape, vec![30, 60, 10, 90, 0, 7, 50, 50, 30, 30])
}

#[test]
fn conditions_on_keys_and_on_being_defined_choose_rows() {
    let show = |having| {
        let (shape, lanes) = chosen(Some(having), vec![]);
        keys(&answer(&shape, lanes))
    };
    let key = |op, value| Condition::Key { op, dimension: 0, value };
    let int = KeyValue::Int;
    assert_eq!(show(key(FigureCompare::NotEqual, int(2))), [0, 1, 3, 4]);
    assert_eq!(show(key(FigureCompare::LessOrEqual, int(1))), [0, 1]);
    let ends = vec![key(FigureCompare::Equal, int(4)), key(FigureCompare::Equal, int(0))];
    assert_eq!(show(Condition::Or { any: ends.clone() }), [0, 4]);
    assert!(show(Condition::And { all: ends }).is_empty());
    // Of another type than the keys: neither it nor its opposite.
    for op in [FigureCompare::Equal, FigureCompare::NotEqual] {
        assert!(show(key(op, KeyValue::Text("2".into()))).is_empty());
    }
    let share = || Formula::Ratio { numerator: 1, denominator: 0 };
    assert_eq!(show(Condition::Defined { of: share(), defined: true }), [0, 1, 3, 4]);
    assert_eq!(show(Condition::Defined { of: share(), defined: false }), [2]);
    let (op, right) = (FigureCompare::Less, number(1.5));
    let left = coalesce(share(), 0.0);
    assert_eq!(show(Condition::Compare { op, left, right }), [2, 3, 4]);
    assert_eq!(show(Condition::And { all: vec![] }), [0, 1, 2, 3, 4], "nothing to hold");
    assert!(show(Condition::Or { any: vec![] }).is_empty());
}

#[test]
fn rows_are_ordered_by_computed_figures() {
    let share = Formula::Ratio { numerator: 1, denominator: 0 };
    let by = |formula, descending| vec![SortKey { formula, descending }];
    let show = |order| {
        let (shape, lanes) = chosen(None, order);
        keys(&answer(&shape, lanes))
    };
    assert_eq!(show(by(less(number(0.0), total(0)), false)), [3, 0, 4, 1, 2]);
    assert_eq!(show(by(coalesce(share.clone(), 5.0), true)), [1, 2, 0, 3, 4]);
    assert_eq!(show(by(round(share, -1), false)), [0, 3, 4, 1, 2], "ties stay in order");
}

#[test]
fn rounded_figures_show_no_finer_digits() {
    let shape = shape(1, &lanes(gaussian(400)), vec![round(mean(), 1), round(total(COUNT), -2)]);
    let text = answer(&shape, exact()).to_text(&TextOptions::default());
    assert!(text.contains(" 17.2 ") && text.contains(" 4,000 "), "{text}");
    assert!(!text.contains("17.20"), "{text}");
}

#[test]
fn a_root_of_what_may_be_below_zero_holds_the_constant_and_noise_is_never_shown_without_its_interval()
 {
    let constant = |of| Formula::Coalesce { of: Box::new(of), otherwise: Real::new(-1.0).unwrap() };
    let root = constant(call(FigureFunction::SquareRoot, total(0)));
    let rows = 400;
    let shape = shape(rows, &[(laplace(20), 0)], vec![root]);
    let (table, mut random) = (table(laplace(20)), Random(5));
    // Without noise the sum is below 0, so that the figure is the constant.
    let report = answer(&shape, (0..rows).map(|_| random.draw(&table) - 5).collect());
    let (mut held, mut said) = (0, 0);
    for row in &report.rows {
        match row.figures[0] {
            Cell::Otherwise(value) => assert_eq!(value, -1.0),
            cell => {
                let estimate = cell.estimate().unwrap();
                held += usize::from(estimate.low <= -1.0);
                said += 1;
            }
        }
    }
    assert!(said > rows / 5 && held * 100 >= 90 * said, "{held} of {said}");
    // An average that is not defined, beside a count that is noised.
    let mixed = op(FigureOp::Add, constant(mean()), total(COUNT));
    let mut lanes = exact();
    lanes[COUNT as usize] = 0;
    let found = cells(vec![constant(mean()), mixed], laplace(20), lanes);
    assert_eq!(found, [Cell::Otherwise(-1.0), Cell::TooNoisy(None)]);
}
