//! Shares of a total of the answer's own: each row's noise is in the total once, and intervals hold the true
//! share at least as often as they say, whoever stands behind the rows.

use crate::support::*;
use cloister_report::{Accuracy, Cell, Combined, HeadingKind, expected_plus_minus, report};
use cloister_terms::{
    FigureOp, Formula, KeyDimension, KeyValue, LaneShape, Name, Noise, OutputShape, Recipe,
    ResultColumn, Served, SortKey,
};

/// Trials of a coverage test: values of the first key, each with a total of its own.
const TRIALS: usize = 3_000;
/// 95 % less 5 standard deviations of a share of 3,000: false alarm below 1e-6 over seeds.
const COVERAGE_MIN: f64 = 0.95 - 0.02;

fn across(lane: u32, by: &[u32]) -> Formula {
    Formula::Across { lane, by: by.to_vec() }
}

fn over(left: Formula, right: Formula) -> Formula {
    Formula::arithmetic(FigureOp::Divide, left, right)
}

/// An answer by two keys of these sizes over one lane.
fn shape(sizes: [usize; 2], noise: Noise, formulas: Vec<Formula>) -> OutputShape {
    let key = |(name, size): (&str, usize)| KeyDimension {
        name: name.into(),
        values: (0..size).map(|i| KeyValue::Int(i as i64)).collect(),
    };
    let lane =
        LaneShape { name: "rows".into(), grid_bits: 0, sensitivity_steps: 1, noise, one_of: None };
    let columns = formulas.into_iter().zip(0..);
    OutputShape {
        keys: ["town", "month"].into_iter().zip(sizes).map(key).collect(),
        lanes: vec![lane],
        columns: columns
            .map(|(formula, i)| ResultColumn { name: format!("f{i}"), formula })
            .collect(),
        served: vec![],
        recipe: Recipe::default(),
        private_keys: None,
        diagnostics: vec![],
    }
}

fn values(shape: &OutputShape, lanes: &[i128]) -> Vec<Vec<f64>> {
    let value = |cell: &Cell| cell.estimate().unwrap().value;
    let rows = answer(shape, lanes.to_vec()).rows;
    rows.iter().map(|row| row.figures.iter().map(value).collect()).collect()
}

#[test]
fn totals_are_over_the_rows_with_the_same_keys() {
    let formulas =
        vec![total(0), across(0, &[]), across(0, &[0]), across(0, &[1]), across(0, &[0, 1])];
    let shape = shape([2, 3], none(), formulas);
    let found = values(&shape, &[1, 2, 3, 10, 20, 30]);
    assert_eq!(found[0], [1.0, 66.0, 6.0, 11.0, 1.0]);
    assert_eq!(found[4], [20.0, 66.0, 60.0, 22.0, 20.0]);
    let headings = answer(&shape, vec![0; 6]).columns;
    assert!(headings.iter().all(|h| h.kind == HeadingKind::Total { whole: true }));
}

/// Share of trials whose interval holds the figure of each row, where `partners` partners answer the first row
/// of each trial and one the others.
fn coverage(noise: Noise, exact: &[i128], formula: &Formula, partners: usize) -> Vec<f64> {
    let rows = exact.len();
    let truth = values(&shape([1, rows], none(), vec![formula.clone()]), exact);
    let mut shape = shape([TRIALS, rows], noise, vec![formula.clone()]);
    let names: Vec<Name> = (0..partners).map(|i| Name::new(format!("p{i}")).unwrap()).collect();
    let all: Vec<u32> = (0..TRIALS as u32).collect();
    let served =
        |partner: &Name| Served { partner: partner.clone(), positions: vec![all.clone(), vec![0]] };
    shape.served = names.iter().map(served).collect();
    shape.served[0].positions[1] = (0..rows as u32).collect();
    let (table, mut random) = (table(noise), Random(rows as u64));
    let mut draw = |exact: i128| exact + random.draw(&table);
    let whole = (0..TRIALS).flat_map(|_| exact).map(|exact| draw(*exact)).collect();
    let mut vectors = vec![(names[0].clone(), whole)];
    for name in &names[1..] {
        vectors.push((name.clone(), (0..TRIALS).map(|_| draw(0)).collect()));
    }
    let report = report(&shape, &Combined::new(&shape, &names, &vectors).unwrap()).unwrap();
    let mut held = vec![0; rows];
    for (at, row) in report.rows.iter().enumerate() {
        let (at, cell) = (at % rows, &row.figures[0]);
        let truth = truth[at][0];
        held[at] += usize::from(cell.estimate().is_none_or(|e| e.low <= truth && truth <= e.high));
    }
    held.into_iter().map(|held| held as f64 / TRIALS as f64).collect()
}

#[test]
fn intervals_of_shares_hold_the_true_one_at_least_as_often_as_they_say() {
    let share = over(total(0), across(0, &[0]));
    let rest = Formula::arithmetic(FigureOp::Subtract, across(0, &[0]), total(0));
    let mut widest: f64 = 0.0;
    for partners in [1, 3] {
        for noise in [laplace(20), gaussian(400), laplace(1)] {
            for exact in [&[400, 900, 60, 2_000][..], &[500, 80], &[700]] {
                for formula in [&share, &across(0, &[0]), &rest] {
                    for held in coverage(noise, exact, formula, partners) {
                        assert!(held >= COVERAGE_MIN, "{held} {noise:?} {exact:?} {formula:?}");
                        // The only row is all of its total, whatever its noise; noise of single steps is
                        // coarse.
                        let is_sure = exact.len() == 1 && *formula != across(0, &[0]);
                        let is_wide = is_sure || noise == laplace(1);
                        widest = widest.max(if is_wide { 0.0 } else { held - 0.95 });
                    }
                }
            }
        }
    }
    assert!(widest < 0.02, "intervals are wider than they must be by {widest}");
}

#[test]
fn many_rows_are_no_harder_than_few() {
    let noise = laplace(20);
    let share = over(total(0), across(0, &[]));
    let rows = 20_000;
    let shape = shape([rows, 1], noise, vec![share, across(0, &[])]);
    let report = answer(&shape, vec![100; rows]);
    let figure = |at: usize| *report.rows[7].figures[at].estimate().unwrap();
    assert_eq!(figure(0).value, 1.0 / rows as f64);
    // 1.96 deviations of 20,000 draws of Laplace noise, to one part in 1,000.
    let deviation = (2.0 * 20.0f64.powi(2) * rows as f64).sqrt();
    let ratio = figure(1).plus_minus / (1.96 * deviation);
    assert!((ratio - 1.0).abs() < 2e-3, "{ratio}");
}

#[test]
fn what_is_expected_is_what_comes() {
    let noise = gaussian(900);
    let shape = shape([3, 4], noise, vec![across(0, &[]), over(total(0), across(0, &[1]))]);
    let expected = expected_plus_minus(&shape, 1).unwrap();
    let Accuracy::Total { plus_minus } = expected[0].accuracy else { panic!("{expected:?}") };
    let found = answer(&shape, vec![5_000; 12]).rows[0].figures[0].estimate().unwrap().plus_minus;
    assert!((plus_minus / found - 1.0).abs() < 1e-3, "{plus_minus} against {found}");
    assert!(matches!(expected[1].accuracy, Accuracy::Ratio { .. }));
}

#[test]
fn limits_count_rows_that_somebody_answered_for() {
    let mut shape = shape([4, 1], none(), vec![total(0), across(0, &[])]);
    let names = ["a", "b"].map(|name| Name::new(name).unwrap());
    let served = |name: &Name, keys: [u32; 2]| Served {
        partner: name.clone(),
        positions: vec![keys.to_vec(), vec![0]],
    };
    shape.served = vec![served(&names[0], [0, 1]), served(&names[1], [2, 3])];
    shape
        .columns
        .insert(0, ResultColumn { name: "town".into(), formula: Formula::Key { dimension: 0 } });
    let b = [(names[1].clone(), vec![20, 30])];
    let keys = |recipe: Recipe| {
        let shape = OutputShape { recipe, ..shape.clone() };
        let report = report(&shape, &Combined::new(&shape, &names, &b).unwrap()).unwrap();
        // What nobody answered for adds nothing, to totals neither.
        for row in report.rows.iter().filter(|row| row.behind.answered > 0) {
            assert_eq!(row.figures[1].estimate().unwrap().value, 50.0);
        }
        let keys = report.rows.iter().map(|row| row.keys[0].clone()).collect::<Vec<_>>();
        (keys, report.left_out)
    };
    let int = KeyValue::Int;
    let order = vec![SortKey { formula: Formula::Key { dimension: 0 }, descending: false }];
    assert_eq!(keys(Recipe::default()), (vec![int(0), int(1), int(2), int(3)], 0));
    let first = Recipe { limit: Some(1), ..Recipe::default() };
    assert_eq!(keys(first), (vec![int(2)], 3));
    let second = Recipe { limit: Some(1), offset: Some(1), order, ..Recipe::default() };
    assert_eq!(keys(second), (vec![int(3)], 3));
}

#[test]
fn what_nobody_answered_for_is_no_figure_though_lanes_cancel_out() {
    let difference = Formula::arithmetic(FigureOp::Subtract, total(0), total(0));
    let share = over(total(0), across(0, &[0]));
    let mut shape = shape([2, 1], gaussian(400), vec![share, difference]);
    let names = ["a", "b"].map(|name| Name::new(name).unwrap());
    let served = |(name, town): (&Name, u32)| Served {
        partner: name.clone(),
        positions: vec![vec![town], vec![0]],
    };
    shape.served = names.iter().zip([0, 1]).map(served).collect();
    let b = [(names[1].clone(), vec![3_000])];
    let report = report(&shape, &Combined::new(&shape, &names, &b).unwrap()).unwrap();
    assert_eq!(report.rows[0].figures, [Cell::TooNoisy(None); 2]);
    assert_eq!(report.rows[1].figures[0].estimate().unwrap().value, 1.0);
}
