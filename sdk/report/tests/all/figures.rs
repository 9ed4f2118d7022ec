//! Computed figures as a reader gets them: statistics, quantiles, distinct values, shares, the choice and
//! order of rows, adjustments on request. Intervals hold the true figure at least as often as they say;
//! hostile shapes end in typed errors, and no NaN or infinity leaves.

use crate::support::*;
use cloister_report::{
    Accuracy, Adjustment, Cell, Combined, Report, ReportError, ReportOptions, TextOptions,
    expected_plus_minus, report, report_with,
};
use cloister_terms::formula::FormulaError;
use cloister_terms::shape::ShapeError;
use cloister_terms::{
    Condition, FigureCompare, FigureFunction, FigureOp, Formula, KeyValue, Name, Noise,
    OutputShape, PairLanes, PairStatistic, Ratio, Real, Recipe, SortKey, Spread,
};

/// n, sums, squares and products of 2,000 pairs on a grid of 1/16.
fn pair_lanes() -> Vec<i128> {
    let mut random = Random(11);
    let mut sums = [0.0f64; 6];
    for _ in 0..2_000 {
        let x = (random.unit() * 16.0).round() / 4.0 - 2.0;
        let y = x / 2.0 + (random.unit() * 8.0).round() / 4.0 - 1.0;
        for (sum, more) in sums.iter_mut().zip([1.0, x, y, x * y, x * x, y * y]) {
            *sum += more;
        }
    }
    sums.iter()
        .enumerate()
        .map(|(i, sum)| (sum * if i == 0 { 1.0 } else { 16.0 }) as i128)
        .collect()
}

fn pair(statistic: PairStatistic) -> Formula {
    let (x_mid, y_mid) = (Real::new(2.0).unwrap(), Real::new(-1.0).unwrap());
    let lanes = PairLanes {
        count: 0,
        x: 1,
        y: 2,
        products: 3,
        x_squares: 4,
        y_squares: 5,
        x_mid,
        y_mid,
        x_scale_bits: 0,
        y_scale_bits: 0,
    };
    Formula::Pair { statistic, lanes }
}

fn variance(spread: Spread) -> Formula {
    Formula::Variance { count: 0, sum: 1, squares: 4, scale_bits: 0, spread }
}

#[test]
fn computed_figures_hold_the_true_one_at_least_as_often_as_they_say() {
    let add = |left, right| Formula::arithmetic(FigureOp::Add, left, right);
    let times = |left, right| Formula::arithmetic(FigureOp::Multiply, left, right);
    let over = |left, right| Formula::arithmetic(FigureOp::Divide, left, right);
    let mean = Formula::Ratio { numerator: 1, denominator: 0 };
    let formulas = [
        add(total(1), times(number(3.0), total(4))),
        add(total(0), add(total(0), total(2))),
        add(number(2.0), mean.clone()),
        over(add(total(1), total(0)), total(0)),
        over(total(0), add(total(4), total(5))),
        times(mean.clone(), total(5)),
        variance(Spread::VariancePopulation),
        variance(Spread::DeviationSample),
        over(variance(Spread::DeviationSample), add(number(9.0), mean)),
        pair(PairStatistic::CovarianceSample),
        pair(PairStatistic::Correlation),
        pair(PairStatistic::Slope),
        pair(PairStatistic::Intercept),
    ];
    let exact = pair_lanes();
    for (case, noise) in
        [gaussian(400), laplace(14), gaussian(1), laplace(1), none()].into_iter().enumerate()
    {
        let noises: Vec<(Noise, u8)> =
            (0..6).map(|i| (noise, if i == 0 { 0 } else { 4 })).collect();
        for (index, formula) in formulas.iter().enumerate() {
            let seed = (case * 100 + index) as u64;
            let (held, silent) = coverage(&noises, &exact, formula, seed);
            assert!(held >= COVERAGE_MIN, "{formula:?} under {noise:?}: {held}");
            assert_eq!(silent, 0.0, "{formula:?} under {noise:?}");
        }
    }
}

#[test]
fn quantiles_hold_the_true_leaf_at_least_as_often_as_they_say() {
    let counts: Vec<i128> = (0..64).map(|leaf: i128| 400 - (leaf - 20).abs() * 6).collect();
    for (case, noise) in [gaussian(900), laplace(20), gaussian(2), none()].into_iter().enumerate() {
        for (index, q) in [(1u128, 2u128), (1, 10), (99, 100)].into_iter().enumerate() {
            let noises = vec![(noise, 0); 64];
            let formula = quantile(64, q, 640, false);
            let (held, silent) = coverage(&noises, &counts, &formula, (case * 10 + index) as u64);
            assert!(held >= COVERAGE_MIN, "q {q:?} under {noise:?}: {held}");
            assert_eq!(silent, 0.0);
        }
    }
}

#[test]
fn distinct_values_hold_the_true_number_at_least_as_often_as_they_say() {
    let people: Vec<i128> =
        (0..30).map(|value| if value % 3 == 0 { 0 } else { value * 4 }).collect();
    for (case, noise) in [gaussian(16), laplace(3), none()].into_iter().enumerate() {
        let formula = Formula::Distinct { first_lane: 0, values: 30 };
        let noises = vec![(noise, 0); 30];
        let (held, silent) = coverage(&noises, &people, &formula, case as u64);
        assert!(held >= COVERAGE_MIN, "{noise:?}: {held}");
        assert_eq!(silent, 0.0);
    }
    let exact =
        shape(1, &vec![(none(), 0); 30], vec![Formula::Distinct { first_lane: 0, values: 30 }]);
    assert_eq!(answer(&exact, people).rows[0].figures[0].estimate().unwrap().value, 20.0);
}

#[test]
fn a22_without_noise_quantiles_are_within_one_leaf() {
    // Values 0..=99, each as often as its number: the exact median is 70.
    let counts: Vec<i128> = (0..100).collect();
    for (leaves, whole) in [(100u32, true), (25, true), (10, true)] {
        let width = 100 / leaves as usize;
        let lanes: Vec<i128> = counts.chunks(width).map(|part| part.iter().sum()).collect();
        let noises = vec![(none(), 0); lanes.len()];
        let shape = shape(1, &noises, vec![quantile(leaves, (1, 2), 99, whole)]);
        let report = answer(&shape, lanes);
        let Cell::Said(estimate) = report.rows[0].figures[0] else { panic!("must be said") };
        assert!((estimate.value - 70.0).abs() < width as f64, "{leaves}: {estimate:?}");
        assert!(estimate.low <= 70.0 && 70.0 <= estimate.high);
        assert!(estimate.high - estimate.low <= width as f64);
    }
}

#[test]
fn a_quantile_of_nobody_is_too_noisy() {
    let shape = shape(1, &[(gaussian(900), 0); 8], vec![quantile(8, (1, 2), 80, false)]);
    for lanes in [vec![0; 8], vec![-50; 8], vec![10; 8]] {
        assert_eq!(answer(&shape, lanes).rows[0].figures[0], Cell::TooNoisy(None));
    }
}

fn recipe(having: Option<Condition>, order: Vec<SortKey>, limit: Option<u32>) -> OutputShape {
    let figures = vec![total(0), Formula::Ratio { numerator: 1, denominator: 0 }];
    let mut shape = shape(5, &[(none(), 0), (none(), 0)], figures);
    shape.recipe = Recipe { having, order, limit, offset: None };
    shape
}

fn keys(report: &Report) -> Vec<i64> {
    let key = |row: &cloister_report::Row| match row.keys[0] {
        KeyValue::Int(int) => int,
        _ => panic!("an int"),
    };
    report.rows.iter().map(key).collect()
}

#[test]
fn a19_rows_stand_in_public_order_unless_the_question_orders_them() {
    // Row 2 counts nobody, so that its average is not defined.
    let lanes: Vec<i128> = vec![30, 60, 10, 90, 0, 7, 50, 50, 30, 30];
    let by = |formula, descending| SortKey { formula, descending };
    let share = || Formula::Ratio { numerator: 1, denominator: 0 };
    let show = |shape: &OutputShape| keys(&answer(shape, lanes.clone()));
    assert_eq!(show(&recipe(None, vec![], None)), [0, 1, 2, 3, 4]);
    let mut other = lanes.clone();
    other.reverse();
    assert_eq!(keys(&answer(&recipe(None, vec![], None), other)), [0, 1, 2, 3, 4]);
    let by_count = |descending| vec![by(total(0), descending)];
    assert_eq!(show(&recipe(None, by_count(true), None)), [3, 0, 4, 1, 2], "ties stay in order");
    assert_eq!(show(&recipe(None, by_count(false), Some(2))), [2, 1]);
    for descending in [false, true] {
        let found = show(&recipe(None, vec![by(share(), descending)], None));
        assert_eq!(found.last(), Some(&2), "what is undefined comes last");
    }
    let key = by(Formula::Key { dimension: 0 }, true);
    assert_eq!(show(&recipe(None, vec![key], None)), [4, 3, 2, 1, 0]);
}

#[test]
fn conditions_choose_rows_by_noised_figures_and_say_so() {
    let lanes: Vec<i128> = vec![30, 60, 10, 90, 0, 7, 50, 50, 30, 30];
    let compare = |op, left, right| Condition::Compare { op, left, right };
    let share = || Formula::Ratio { numerator: 1, denominator: 0 };
    let many = compare(FigureCompare::GreaterOrEqual, total(0), number(30.0));
    let high = compare(FigureCompare::Greater, share(), number(1.5));
    let show = |having| answer(&recipe(Some(having), vec![], None), lanes.clone());
    assert_eq!(keys(&show(many.clone())), [0, 3, 4]);
    let any = Condition::Or { any: vec![many.clone(), high.clone()] };
    assert_eq!(keys(&show(any)), [0, 1, 3, 4]);
    let all = Condition::And { all: vec![many, high] };
    let report = show(all);
    assert_eq!(keys(&report), [0]);
    assert_eq!(report.left_out, 4);
    let text = report.to_text(&TextOptions::default());
    assert!(text.contains("4 rows not shown"), "{text}");
    // An undefined figure meets no condition, nor its opposite.
    for op in [FigureCompare::Less, FigureCompare::GreaterOrEqual, FigureCompare::NotEqual] {
        assert!(!keys(&show(compare(op, share(), number(1.0)))).contains(&2));
    }
}

#[test]
fn adjustments_are_made_on_request_and_told() {
    let figures =
        vec![total(0), total(1), total(2), Formula::Ratio { numerator: 1, denominator: 0 }];
    let noises = [(gaussian(100), 0), (gaussian(100), 0), (gaussian(400), 0)];
    let shape = shape(2, &noises, figures);
    let sums = combined(&shape, vec![1_000, 620, 368, 500, -8, 520]);
    let with = |adjustments| {
        report_with(&shape, &sums, &ReportOptions { adjustments, ..ReportOptions::default() })
    };
    let value = |report: &Report, row: usize, at: usize| {
        report.rows[row].figures[at].estimate().unwrap().value
    };
    let plain = with(vec![]).unwrap();
    assert!(value(&plain, 1, 1) < 0.0 && plain.adjusted.is_empty());
    let parts = vec!["f1".to_owned(), "f2".to_owned()];
    let made = with(vec![
        Adjustment::Total { total: "f0".into(), parts },
        Adjustment::NonNegative { column: "f1".into() },
        Adjustment::Share { column: "f3".into() },
    ])
    .unwrap();
    // The gap of 12 is shared 1 : 1 : 4 by variance.
    assert!((value(&made, 0, 0) - 998.0).abs() < 1e-6 && (value(&made, 0, 2) - 376.0).abs() < 1e-6);
    let sum = value(&made, 0, 1) + value(&made, 0, 2);
    assert!((value(&made, 0, 0) - sum).abs() < 1e-6);
    assert_eq!(value(&made, 1, 1), 0.0);
    for row in &made.rows {
        let share = row.figures[3].estimate().unwrap();
        assert!(share.low >= 0.0 && share.high <= 1.0);
    }
    let text = made.to_text(&TextOptions::default());
    assert!(text.contains("`f0` is the sum of `f1`, `f2`"), "{text}");
    let missing = Adjustment::Share { column: "row".into() };
    assert_eq!(with(vec![missing]), Err(ReportError::NoFigure("row".into())));
    let count = Adjustment::Share { column: "f1".into() };
    assert_eq!(with(vec![count]), Err(ReportError::NotAShare("f1".into())));
    let wrong = Adjustment::Total { total: "f3".into(), parts: vec![] };
    assert_eq!(with(vec![wrong]), Err(ReportError::NotASum("f3".into())));
    let total = |total: &str, parts: &[&str]| {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        with(vec![Adjustment::Total { total: total.into(), parts }])
    };
    for parts in [&[][..], &["f1", "f1"], &["f0", "f1"]] {
        assert_eq!(total("f0", parts), Err(ReportError::Parts("f0".into())));
    }
    assert_eq!(total("f0", &["f9"]), Err(ReportError::NoFigure("f9".into())));
}

#[test]
fn adjusted_answers_say_so_in_every_form() {
    let shape = shape(2, &[(gaussian(100), 0), (gaussian(100), 0)], vec![total(0), total(1)]);
    let sums = combined(&shape, vec![1_000, 620, 500, -80]);
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let options =
        ReportOptions::adjusting(&words(&[" f0 = f1 "]), &words(&["f1"]), &words(&[])).unwrap();
    assert!(matches!(options.adjustments[0], Adjustment::Total { .. }), "totals come first");
    let made = report_with(&shape, &sums, &options).unwrap();
    let told = [made.to_text(&TextOptions::default()), made.to_json().unwrap(), made.to_csv()];
    for told in told {
        assert!(told.contains("`f1` is not below 0") && told.contains("intervals are"), "{told}");
    }
    let plain = report(&shape, &sums).unwrap();
    assert!(!plain.to_csv().contains("adjusted"));
    let lines = |csv: String| csv.lines().map(|l| l.split(',').count()).collect::<Vec<_>>();
    assert!(lines(plain.to_csv()).windows(2).all(|pair| pair[0] == pair[1]));
    for hostile in ["", "f0", "f0+f1"] {
        let refused = ReportOptions::adjusting(&words(&[hostile]), &[], &[]);
        assert_eq!(refused, Err(ReportError::TotalWords(hostile.into())));
    }
}

#[test]
fn a_figure_that_contradicts_its_range_is_no_more_certain_for_it() {
    // A count, and the same divided by one row that is surely there.
    let figures = vec![total(0), Formula::Ratio { numerator: 0, denominator: 1 }];
    let shape = shape(1, &[(gaussian(100), 0), (none(), 0)], figures);
    let named = |column: &str| vec![column.to_owned()];
    for (lane, at, options) in [
        (-500, 0, ReportOptions::adjusting(&[], &named("f0"), &[])),
        (i128::MIN / 4, 0, ReportOptions::adjusting(&[], &named("f0"), &[])),
        (-3, 0, ReportOptions::adjusting(&[], &named("f0"), &[])),
        (-500, 1, ReportOptions::adjusting(&[], &[], &named("f1"))),
        (-3, 1, ReportOptions::adjusting(&[], &[], &named("f1"))),
    ] {
        let sums = combined(&shape, vec![lane, 1]);
        let plain = report(&shape, &sums).unwrap();
        let before = *plain.rows[0].figures[at].estimate().unwrap();
        let made = report_with(&shape, &sums, &options.unwrap()).unwrap();
        let after = made.rows[0].figures[at].estimate().unwrap();
        assert_eq!((after.value, after.low), (0.0, 0.0));
        assert!(after.high > 0.0, "never exactly 0: {after:?}");
        assert!(after.high <= before.plus_minus && after.standard_error.is_none());
    }
    // Above its range, too.
    let options = ReportOptions::adjusting(&[], &[], &["f1".to_owned()]).unwrap();
    let made = report_with(&shape, &combined(&shape, vec![5_000, 1]), &options).unwrap();
    let share = made.rows[0].figures[1].estimate().unwrap();
    assert_eq!((share.value, share.low, share.high), (1.0, 0.0, 1.0));
}

#[test]
fn every_column_says_what_its_interval_leaves_out() {
    let shape = shape(1, &[(gaussian(4), 0)], vec![total(0)]);
    let report = answer(&shape, vec![500]);
    assert!(report.columns[0].not_included.is_empty(), "keys are exact");
    let said = report.columns[1].not_included.join("; ");
    for word in ["recorded", "caps", "partners", "range"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(report.to_text(&TextOptions::default()).contains("not in ±"));
}

#[test]
fn standard_errors_are_told_where_they_are_known() {
    let sum = Formula::arithmetic(FigureOp::Add, total(0), total(1));
    let mean = Formula::Ratio { numerator: 1, denominator: 0 };
    let formulas = vec![total(0), sum, mean, variance(Spread::VarianceSample)];
    let shape = shape(
        1,
        &[(gaussian(900), 0), (gaussian(1_600), 0), (none(), 0), (none(), 0), (none(), 0)],
        formulas,
    );
    let report = answer(&shape, vec![1_000, 2_000, 0, 0, 9_000]);
    let error = |at: usize| report.rows[0].figures[at].estimate().unwrap().standard_error;
    assert!((error(0).unwrap() - 30.0).abs() < 1e-9);
    assert!((error(1).unwrap() - 50.0).abs() < 1e-9);
    // sqrt(40^2 + 2^2 30^2) / 1,000.
    assert!((error(2).unwrap() - 5_200f64.sqrt() / 1_000.0).abs() < 1e-9);
    assert_eq!(error(3), None);
    let json = report.to_json().unwrap();
    assert!(json.contains("\"standard_error\": 30.0"), "{json}");
}

#[test]
fn hostile_shapes_are_typed_errors() {
    let refused = |formula: Formula, error| {
        let shape = shape(1, &[(gaussian(4), 0); 4], vec![formula]);
        let expected = ShapeError::Formula { column: "f0".into(), error };
        assert_eq!(expected_plus_minus(&shape, 1), Err(ReportError::Shape(expected.clone())));
        let north = Name::new("north").unwrap();
        let vectors = [(north.clone(), vec![0; 4])];
        assert!(Combined::new(&shape, &[north], &vectors).is_err());
    };
    let over = |left, right| Formula::arithmetic(FigureOp::Divide, left, right);
    refused(over(total(0), number(0.0)), FormulaError::DivisionByZero);
    refused(over(total(0), total(4)), FormulaError::Missing);
    refused(quantile(5, (1, 2), 100, false), FormulaError::Missing);
    refused(quantile(4, (2, 1), 100, false), FormulaError::Range);
    refused(over(Formula::Key { dimension: 0 }, number(2.0)), FormulaError::Alone);
    refused(over(quantile(5, (1, 2), 100, false), number(2.0)), FormulaError::Missing);
    refused(call(FigureFunction::Round { digits: 16 }, total(0)), FormulaError::Range);
    let mut deep = total(0);
    for _ in 0..100 {
        deep = over(deep, number(1.0));
    }
    refused(deep, FormulaError::Depth);
    let mut wrong = recipe(None, vec![SortKey { formula: total(9), descending: true }], None);
    assert!(matches!(wrong.check(), Err(ShapeError::Recipe(FormulaError::Missing))));
    wrong.recipe = Recipe::default();
    assert!(wrong.check().is_ok());
}

#[test]
fn extreme_lanes_and_constants_give_finite_figures_or_none() {
    let times = |left, right| Formula::arithmetic(FigureOp::Multiply, left, right);
    let over = |left, right| Formula::arithmetic(FigureOp::Divide, left, right);
    let huge = || number(1e30);
    let mut power = times(total(1), huge());
    for _ in 0..11 {
        power = times(power, huge());
    }
    let mut tower = total(1);
    for _ in 0..20 {
        tower = times(tower, total(2));
    }
    let formulas = vec![
        power,
        tower,
        over(over(total(0), huge()), huge()),
        over(number(1e-300), total(0)),
        over(over(total(1), total(0)), over(total(2), total(0))),
        over(total(0), Formula::arithmetic(FigureOp::Subtract, total(1), total(1))),
        variance(Spread::DeviationSample),
        pair(PairStatistic::Correlation),
        pair(PairStatistic::Slope),
        pair(PairStatistic::Intercept),
        call(FigureFunction::Round { digits: 15 }, times(total(0), huge())),
        call(FigureFunction::Round { digits: -15 }, total(0)),
        call(FigureFunction::Absolute, total(1)),
        call(FigureFunction::SquareRoot, times(total(0), total(1))),
        over(number(1e-300), call(FigureFunction::SquareRoot, total(0))),
        coalesce(over(total(0), total(1)), 1e30),
        times(coalesce(over(total(0), total(1)), 1e30), huge()),
        over(quantile(4, (1, 2), 100, false), total(5)),
        over(Formula::Distinct { first_lane: 0, values: 3 }, quantile(4, (1, 2), 100, false)),
    ];
    let most = (1u128 << 127) - 1;
    let tiny = Noise::DiscreteGaussian { sigma_sq: Ratio::new(1, most).unwrap() };
    for noise in [gaussian(most), tiny, laplace(most), none()] {
        let shape = shape(1, &[(noise, 0); 6], formulas.clone());
        for extreme in [i128::MAX, i128::MIN, 1, 0, -1] {
            for other in [i128::MAX, i128::MIN, 2, 0] {
                let lanes = vec![extreme, other, extreme, other, extreme, other];
                let report = answer(&shape, lanes);
                let json = report.to_json().unwrap();
                assert!(!json.contains("NaN") && !json.contains("inf"));
                for estimate in report.rows[0].figures.iter().filter_map(Cell::estimate) {
                    for number in [estimate.value, estimate.low, estimate.high] {
                        assert!(number.is_finite());
                    }
                    assert!(estimate.low <= estimate.value && estimate.value <= estimate.high);
                }
                let csv = report.to_csv();
                assert!(!csv.contains("NaN") && !csv.contains("inf"));
            }
        }
    }
}

#[test]
fn accuracy_is_told_before_anything_is_spent() {
    let sum = Formula::arithmetic(FigureOp::Add, total(0), total(1));
    let mean = Formula::Ratio { numerator: 1, denominator: 0 };
    let formulas = vec![
        sum,
        variance(Spread::VarianceSample),
        pair(PairStatistic::Slope),
        quantile(4, (1, 2), 100, false),
        Formula::Distinct { first_lane: 0, values: 3 },
        Formula::arithmetic(FigureOp::Multiply, total(0), total(1)),
        call(FigureFunction::Round { digits: -1 }, total(0)),
        coalesce(call(FigureFunction::Absolute, mean.clone()), 0.0),
        Formula::arithmetic(FigureOp::Divide, quantile(4, (1, 2), 100, false), number(50.0)),
        call(FigureFunction::SquareRoot, mean),
    ];
    let shape = shape(1, &[(gaussian(100), 0); 6], formulas);
    let expected = expected_plus_minus(&shape, 1).unwrap();
    let accuracy: Vec<Accuracy> = expected[1..].iter().map(|e| e.accuracy).collect();
    assert!(
        matches!(accuracy[0], Accuracy::Total { plus_minus } if (plus_minus - 28.2).abs() < 0.5)
    );
    assert!(matches!(accuracy[1], Accuracy::Statistic { .. }));
    assert!(matches!(accuracy[3], Accuracy::Quantile { band, .. } if band == 25.0));
    assert!(matches!(accuracy[4], Accuracy::Distinct { people } if people == 21.0));
    assert!(matches!(accuracy[5], Accuracy::Computed { sums: 2 }));
    assert!(matches!(accuracy[6], Accuracy::Total { plus_minus } if plus_minus == 20.0));
    assert!(matches!(accuracy[7], Accuracy::Ratio { .. }));
    assert!(matches!(accuracy[8], Accuracy::Quantile { band, .. } if band == 0.5));
    assert!(matches!(accuracy[9], Accuracy::Computed { sums: 2 }));
    for told in accuracy {
        assert!(!told.to_string().contains("inf"), "{told}");
    }
}
