//! Random tables and random questions: what one person can change, what cannot change anything, and that
//! lanes mean what plain SQL says. Rows A3, A5, A22, A26.

use super::questions::{Kind, question};
use super::world::{Cut, Draws, Row, WHOLE, World, batch, epsilon, planned, rho};
use cloister_plan::{ContributionPlan, Planned};
use cloister_report::{Combined, report};
use cloister_terms::{FigureOp, Formula, KeyValue, Name, OutputShape, Quantile};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::prelude::SessionContext;
use std::collections::BTreeMap;

const PERSONS: std::ops::Range<i64> = 0..6;
/// Questions that each property is tried on.
const QUESTIONS: usize = 40;
/// Values and constants of tame questions are whole in steps of this grid.
const TAME_GRID_BITS: u8 = 4;
/// What float64 may round an average by, in steps of its sum.
const FLOAT_SLACK: f64 = 1e-6;

/// Whether what one person adds keeps the declared bounds: at most `group_cap` cells, in each of them each
/// lane at most its sensitivity, and the lanes of a group together at most its total.
pub fn within_bounds(plan: &ContributionPlan, hers: &[i128]) -> Result<(), String> {
    let lanes = &plan.shape.lanes;
    let cells = hers.chunks(lanes.len());
    let touched = cells.clone().filter(|cell| cell.iter().any(|steps| *steps != 0)).count();
    if touched > plan.group_cap as usize {
        return Err(format!("{touched} cells, where {} are allowed", plan.group_cap));
    }
    for cell in cells {
        let mut totals: BTreeMap<u32, (u128, u64)> = BTreeMap::new();
        for (steps, lane) in cell.iter().zip(lanes) {
            if steps.unsigned_abs() > u128::from(lane.sensitivity_steps) {
                return Err(format!(
                    "{steps} steps of `{}`: {}",
                    lane.name, lane.sensitivity_steps
                ));
            }
            if let Some(own) = lane.one_of {
                totals.entry(own.group).or_insert((0, own.total_steps)).0 += steps.unsigned_abs();
            }
        }
        if let Some((sum, total)) = totals.values().find(|(sum, total)| *sum > u128::from(*total)) {
            return Err(format!("{sum} steps in a group of lanes, where {total} are allowed"));
        }
    }
    Ok(())
}

/// Questions that have a plan, with tight caps, over rows of each shape in turn. Most must have one, and
/// some of each shape, or nothing was tried.
fn plans(draws: &mut Draws, kind: Kind) -> Vec<(String, Planned)> {
    let (mut plans, mut asked) = (Vec::new(), 0);
    let mut of_shape: BTreeMap<&str, usize> =
        kind.shapes().iter().map(|shape| (*shape, 0)).collect();
    while plans.len() < QUESTIONS {
        // A shape that never has a plan is asked for until too many are refused.
        let turn = plans.len() % kind.shapes().len();
        let shape = kind.shapes()[turn];
        let text = question(draws, kind, Some(turn));
        let (row_cap, group_cap) = (1 + draws.below(4) as u32, 1 + draws.below(3) as u32);
        asked += 1;
        assert!(asked <= 9 * QUESTIONS, "most are refused, the last over {shape}: `{text}`");
        let spend = if draws.below(2) == 0 { epsilon("1") } else { rho("0.5") };
        if let Ok(planned) = planned(&text, row_cap, group_cap, spend) {
            *of_shape.entry(shape).or_insert(0) += 1;
            plans.push((text, planned));
        }
    }
    for (shape, planned) in of_shape {
        assert!(planned > 0, "no question over rows of the shape {shape} has a plan");
    }
    plans
}

fn of(rows: &[Row], is_kept: impl Fn(i64) -> bool) -> Vec<Row> {
    rows.iter().filter(|row| is_kept(row.rider)).copied().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_one_person_changes_what_the_shape_declares_and_nobody_elses_part() {
    let mut draws = Draws(26);
    let rows = draws.rows(PERSONS, 9, true);
    let whole = World::new(&rows, 2);
    let alone: Vec<World> =
        PERSONS.map(|who| World::new(&of(&rows, |rider| rider == who), 1)).collect();
    let without: Vec<World> =
        PERSONS.map(|who| World::new(&of(&rows, |rider| rider != who), 3)).collect();
    let mut moved = 0;
    for (turn, (text, planned)) in plans(&mut draws, Kind::Wild).into_iter().enumerate() {
        let plan = &planned.plan;
        let lanes = whole.lanes(plan, WHOLE, None).await;
        let mut sum = vec![0; lanes.len()];
        let mut parts = Vec::new();
        for world in &alone {
            let hers = world.lanes(plan, WHOLE, None).await;
            within_bounds(plan, &hers).unwrap_or_else(|misdeed| panic!("{text}: {misdeed}"));
            moved += usize::from(hers.iter().any(|steps| *steps != 0));
            sum.iter_mut().zip(&hers).for_each(|(sum, steps)| *sum += steps);
            parts.push(hers);
        }
        assert_eq!(lanes, sum, "{text}");
        let who = turn % parts.len();
        let fewer = without[who].lanes(plan, Cut { partitions: 2, batch_rows: 3 }, None).await;
        let hers: Vec<i128> = lanes.iter().zip(fewer).map(|(all, fewer)| all - fewer).collect();
        assert_eq!(hers, parts[who], "{text}: without person {who}");
    }
    assert!(moved > QUESTIONS, "most questions see somebody, not {moved}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_order_files_partitions_and_batches_change_no_bit_of_any_question() {
    let mut draws = Draws(3);
    let mut rows = draws.rows(PERSONS, 9, true);
    let plans = plans(&mut draws, Kind::Wild);
    let mut expected: Option<Vec<Vec<i128>>> = None;
    for (files, partitions, batch_rows) in [(1, 1, 8_192), (3, 2, 1), (2, 8, 5)] {
        let world = World::new(&rows, files);
        let mut found = Vec::new();
        for (_, planned) in &plans {
            found.push(world.lanes(&planned.plan, Cut { partitions, batch_rows }, None).await);
        }
        let before = expected.get_or_insert_with(|| found.clone());
        for (((text, _), found), before) in plans.iter().zip(&found).zip(before) {
            assert_eq!(found, before, "{text}: {files} files, {partitions} partitions");
        }
        draws.shuffle(&mut rows);
    }
}

/// Caps that nobody reaches and a loss so large that noise is 0 or next to it: what is released is what
/// plain SQL says of rows within their bounds, but for noise and the grid of sums. Before the noise it is
/// that exactly, where the grid holds every value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_released_lanes_equal_plain_sql_at_epsilon_a_million() {
    let mut draws = Draws(22);
    let rows = draws.rows(PERSONS, 9, false);
    let world = World::new(&rows, 2);
    let context = SessionContext::new();
    context.register_batch("trips", batch(&rows)).unwrap();
    let (mut compared, mut asked, mut told, mut fine) = (0, 0, 0, 0);
    while compared < QUESTIONS {
        asked += 1;
        assert!(asked <= 9 * QUESTIONS, "most random questions are refused");
        let text = question(&mut draws, Kind::Tame, None);
        let Ok(planned) = planned(&text, 40, 9, epsilon("1000000")) else { continue };
        let mut released = Vec::new();
        world
            .releases(&planned.plan, None, 1, asked as u64, |lanes| released = lanes.to_vec())
            .await;
        // The engine cannot run some questions for a fault of its own (it loses which columns may be NULL).
        let Some(expected) = plain(&context, &text, &planned.plan).await else { continue };
        // Each row is rounded to the nearest step; a join makes at most three of one.
        let rounded = rows.len() as f64 * 1.5;
        compare(&text, &planned.plan, &released, &expected, |_| rounded);
        let exact = world.lanes(&planned.plan, WHOLE, None).await;
        fine += compare(&text, &planned.plan, &exact, &expected, |grid_bits| {
            if grid_bits >= TAME_GRID_BITS { 0.0 } else { rounded }
        });
        compared += 1;
        told += expected.values().flatten().filter(|figure| **figure != 0.0).count();
    }
    assert!(told > QUESTIONS, "plain SQL said next to nothing: {told} figures");
    assert!(fine > 0, "no sum on a fine grid was compared");
}

/// Averages of exact lanes are those of plain SQL: within half a step, since each row is rounded to the
/// nearest, and but for the rounding of float64 where the grid holds every value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_averages_of_exact_lanes_equal_plain_sql_within_their_grid() {
    let mut draws = Draws(220);
    let rows = draws.rows(PERSONS, 9, false);
    let world = World::new(&rows, 2);
    let context = SessionContext::new();
    context.register_batch("trips", batch(&rows)).unwrap();
    let (mut compared, mut asked, mut fine) = (0, 0, 0);
    while compared < QUESTIONS || fine < QUESTIONS / 2 {
        asked += 1;
        assert!(asked <= 9 * QUESTIONS, "{compared} questions, {fine} averages on a fine grid");
        let text = question(&mut draws, Kind::Mean, Some(asked % Kind::Mean.shapes().len()));
        let Ok(planned) = planned(&text, 40, 9, epsilon("1")) else { continue };
        // The engine cannot run some questions, see above.
        let Some(expected) = plain(&context, &text, &planned.plan).await else { continue };
        let exact = world.lanes(&planned.plan, WHOLE, None).await;
        fine += compare(&text, &planned.plan, &exact, &expected, |grid_bits| {
            if grid_bits >= TAME_GRID_BITS { FLOAT_SLACK } else { 0.5 }
        });
        compared += 1;
    }
}

/// Quantiles are as good as their leaves: caps that nobody reaches and noise that is 0 leave each within one
/// leaf of the values' own, kept to the bounds, and its interval holds that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_quantiles_at_epsilon_a_million_lie_within_a_leaf_of_the_values_own() {
    let mut draws = Draws(2_201);
    let rows = draws.rows(PERSONS, 9, false);
    let world = World::new(&rows, 2);
    let context = SessionContext::new();
    context.register_batch("trips", batch(&rows)).unwrap();
    let (mut compared, mut asked, mut found) = (0, 0, 0);
    while compared < QUESTIONS {
        asked += 1;
        assert!(asked <= 9 * QUESTIONS, "most random questions are refused");
        let mut again = Draws(draws.0);
        let text = question(&mut draws, Kind::Quantile, None);
        let listed = question(&mut again, Kind::Values, None);
        let Ok(planned) = planned(&text, 40, 9, epsilon("1000000")) else { continue };
        // The engine cannot run some questions, see above.
        let Some(values) = values(&context, &listed, &planned.plan).await else { continue };
        let mut released = Vec::new();
        world
            .releases(&planned.plan, None, 1, asked as u64, |lanes| released = lanes.to_vec())
            .await;
        found += within_a_leaf(&text, &planned.plan, released, &values);
        compared += 1;
    }
    assert!(found > QUESTIONS, "{found} quantiles of any value were compared");
}

/// Shares of the answer's own total are those of plain SQL's windows over its groups.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_shares_of_the_answers_total_equal_plain_sqls() {
    let rows = Draws(2_202).rows(PERSONS, 9, false);
    let world = World::new(&rows, 2);
    let context = SessionContext::new();
    context.register_batch("trips", batch(&rows)).unwrap();
    let mut compared = 0;
    for (keys, figures) in [
        ("town", "CAST(COUNT(*) AS DOUBLE) / SUM(COUNT(*)) OVER () AS a0"),
        ("town", "SUM(COUNT(*)) OVER () AS a0, 100 * SUM(x) / SUM(SUM(x)) OVER () AS a1"),
        ("town, ok", "SUM(x) / SUM(SUM(x)) OVER (PARTITION BY town) AS a0"),
        ("ok, town", "SUM(2 * COUNT(n) - COUNT(*)) OVER (PARTITION BY ok) AS a0"),
        ("ok, town", "CAST(COUNT(*) AS DOUBLE) / SUM(COUNT(*)) OVER (PARTITION BY town) AS a0"),
        ("town, ok", "SUM(COUNT(x)) OVER (PARTITION BY ok, town) AS a0, SUM(SUM(x)) OVER () AS a1"),
    ] {
        let text = format!(
            "SELECT {keys}, {figures} FROM trips WHERE town IN ('Ashford', 'Bramley') AND ok IS NOT NULL GROUP BY {keys}"
        );
        let plan = planned(&text, 40, 9, epsilon("1000000")).unwrap().plan;
        let node: Name = "north".parse().unwrap();
        let vectors = [(node.clone(), world.lanes(&plan, WHOLE, None).await)];
        let combined = Combined::new(&plan.shape, &[node], &vectors).unwrap();
        let answer = report(&plan.shape, &combined).unwrap();
        for (key, figures) in rows_of(&context, &text, &plan).await.unwrap() {
            let is_own =
                |row: &&cloister_report::Row| row.keys.iter().map(shown).eq(key.iter().cloned());
            let row = answer.rows.iter().find(is_own).unwrap();
            for (cell, expected) in row.figures.iter().zip(figures) {
                let Some(found) = cell.estimate() else {
                    // A share of nothing is none in plain SQL either.
                    assert!(expected.is_none_or(f64::is_nan), "{text} at {key:?}: {expected:?}");
                    continue;
                };
                // A sum over no value is NULL in plain SQL and 0 here.
                let (found, expected) = (found.value, expected.unwrap_or(0.0));
                assert!((found - expected).abs() <= 1e-9, "{text}: {found}, {expected}");
                compared += 1;
            }
        }
    }
    assert!(compared > 15, "{compared}");
}

/// Values beyond the bounds of their columns count as the nearest bound, and missing ones not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_values_beyond_their_bounds_count_as_in_plain_sql_over_clamped_columns() {
    let mut draws = Draws(2_200);
    let mut rows = draws.rows(PERSONS, 9, false);
    for row in &mut rows {
        row.n = draws.of(&[row.n, Some(21), Some(-21), Some(900), Some(i64::MIN)]);
        row.x = draws.of(&[row.x, Some(8.0625), Some(-0.0625), Some(1000.5), Some(-1e9)]);
    }
    let clamp = |row: &Row| Row {
        n: row.n.map(|n| n.clamp(-20, 20)),
        x: row.x.map(|x| x.clamp(0.0, 8.0)),
        ..*row
    };
    let clamped: Vec<Row> = rows.iter().map(clamp).collect();
    let moved = rows.iter().zip(&clamped).filter(|(row, clamped)| row != clamped).count();
    assert!(2 * moved > rows.len(), "{moved} rows of {} are beyond bounds", rows.len());
    let world = World::new(&rows, 2);
    let context = SessionContext::new();
    context.register_batch("trips", batch(&clamped)).unwrap();
    let mut fine = 0;
    for figures in ["SUM(n) AS a0, SUM(x) AS a1, AVG(n) AS a2", "AVG(x) AS a0, COUNT(x) AS a1"] {
        for keys in ["", "town", "ok", "town, ok"] {
            for filter in ["", " WHERE ok", " WHERE town <> 'Bramley'", " WHERE ok IS NOT TRUE"] {
                let (first, group) = match keys {
                    "" => (String::new(), String::new()),
                    _ => (format!("{keys}, "), format!(" GROUP BY {keys}")),
                };
                let text = format!("SELECT {first}{figures} FROM trips{filter}{group}");
                let plan = planned(&text, 40, 9, epsilon("1")).unwrap().plan;
                let exact = world.lanes(&plan, WHOLE, None).await;
                let expected = plain(&context, &text, &plan).await.unwrap();
                fine += compare(&text, &plan, &exact, &expected, |_| FLOAT_SLACK);
            }
        }
    }
    assert!(fine > QUESTIONS, "{fine} figures on a fine grid were compared");
}

/// Plain SQL's figures by the keys of their row, as text; `None` where the engine fails.
async fn plain(
    context: &SessionContext,
    text: &str,
    plan: &ContributionPlan,
) -> Option<BTreeMap<Vec<String>, Vec<f64>>> {
    let rows = rows_of(context, text, plan).await?;
    // A sum over no rows is NULL in plain SQL and 0 here.
    let known = |row: Vec<Option<f64>>| row.into_iter().map(Option::unwrap_or_default).collect();
    Some(rows.into_iter().map(|(key, row)| (key, known(row))).collect())
}

/// The values behind each figure by the keys of their rows, ascending; `None` where the engine fails.
async fn values(
    context: &SessionContext,
    text: &str,
    plan: &ContributionPlan,
) -> Option<BTreeMap<Vec<String>, Vec<Vec<f64>>>> {
    let mut values: BTreeMap<Vec<String>, Vec<Vec<f64>>> = BTreeMap::new();
    for (key, row) in rows_of(context, text, plan).await? {
        let columns = values.entry(key).or_insert_with(|| vec![Vec::new(); row.len()]);
        columns.iter_mut().zip(row).for_each(|(column, value)| column.extend(value));
    }
    values.values_mut().flatten().for_each(|column| column.sort_by(f64::total_cmp));
    Some(values)
}

/// A row's keys, as text, and its figures.
type Keyed = (Vec<String>, Vec<Option<f64>>);

/// Plain SQL's rows but those with a key that is NULL; `None` where the engine fails.
async fn rows_of(
    context: &SessionContext,
    text: &str,
    plan: &ContributionPlan,
) -> Option<Vec<Keyed>> {
    let keys = plan.shape.keys.len();
    let mut rows = Vec::new();
    for batch in context.sql(text).await.unwrap().collect().await.ok()? {
        let column = |at: usize, to: DataType| cast(batch.column(at), &to).unwrap();
        for row in 0..batch.num_rows() {
            if (0..keys).any(|at| batch.column(at).is_null(row)) {
                continue;
            }
            let key = (0..keys)
                .map(|at| column(at, DataType::Utf8).as_string::<i32>().value(row).to_owned());
            let figures = (keys..batch.num_columns()).map(|at| {
                let figures = column(at, DataType::Float64);
                let figures = figures.as_primitive::<Float64Type>();
                (!figures.is_null(row)).then(|| figures.value(row))
            });
            rows.push((key.collect(), figures.collect()));
        }
    }
    Some(rows)
}

/// Compares the quantiles of all cells with the values they are of. How many had any value.
fn within_a_leaf(
    text: &str,
    plan: &ContributionPlan,
    lanes: Vec<i128>,
    values: &BTreeMap<Vec<String>, Vec<Vec<f64>>>,
) -> usize {
    let shape = &plan.shape;
    let node: Name = "north".parse().unwrap();
    let vectors = [(node.clone(), lanes)];
    let answer = report(shape, &Combined::new(shape, &[node], &vectors).unwrap()).unwrap();
    assert_eq!(answer.rows.len() as u64, shape.cells().unwrap(), "{text}");
    let quantiles = shape.columns.iter().filter_map(|column| match &column.formula {
        Formula::Quantile(quantile) => Some(*quantile),
        _ => None,
    });
    let quantiles: Vec<Quantile> = quantiles.collect();
    let mut compared = 0;
    for row in &answer.rows {
        let key: Vec<String> = row.keys.iter().map(shown).collect();
        assert_eq!(row.figures.len(), quantiles.len(), "{text}");
        for (place, (cell, quantile)) in row.figures.iter().zip(&quantiles).enumerate() {
            let own = values.get(&key).map_or(&[] as &[f64], |columns| columns[place].as_slice());
            let Some((low, high)) = exact_quantile(own, quantile) else {
                assert_eq!(cell.estimate(), None, "{text} at {key:?}");
                continue;
            };
            let found = cell.estimate();
            let found = found.unwrap_or_else(|| panic!("{text} at {key:?}: none of {own:?}"));
            let ranges = (0..quantile.leaves).map(|leaf| quantile.leaf_range(leaf));
            let leaf = ranges.map(|(from, to)| to - from).fold(0.0, f64::max);
            let said = format!("{text} at {key:?}: {found:?}, leaves of {leaf}, of {own:?}");
            assert!((low - leaf..=high + leaf).contains(&found.value), "{said}");
            assert!(found.low <= high && low <= found.high, "{said}");
            compared += 1;
        }
    }
    compared
}

/// The least and the largest value with a share q of all, kept to the bounds, at or below it: any between
/// them is a quantile. `None` of no value.
fn exact_quantile(ascending: &[f64], quantile: &Quantile) -> Option<(f64, f64)> {
    let (bounds, q) = (quantile.bounds, quantile.q);
    let at = |place: u128| {
        ascending.get(place as usize).map(|value| value.clamp(bounds.min(), bounds.max()))
    };
    let ranks = q.numerator() * ascending.len() as u128;
    Some((at(ranks.div_ceil(q.denominator()).saturating_sub(1))?, at(ranks / q.denominator())?))
}

/// Compares the figures of all cells, which may be off by so many steps of a grid. How many on a fine grid
/// are not 0.
fn compare(
    text: &str,
    plan: &ContributionPlan,
    lanes: &[i128],
    expected: &BTreeMap<Vec<String>, Vec<f64>>,
    slack: impl Fn(u8) -> f64,
) -> usize {
    let shape = &plan.shape;
    let mut fine = 0;
    for cell in 0..shape.cells().unwrap() {
        let key: Vec<String> = shape.key_of(cell).unwrap().into_iter().map(shown).collect();
        let steps = &lanes[cell as usize * shape.lanes.len()..][..shape.lanes.len()];
        let formulas = shape.columns.iter().map(|column| &column.formula);
        let figures = formulas.filter(|formula| !matches!(formula, Formula::Key { .. }));
        for (place, formula) in figures.enumerate() {
            let wanted = expected.get(&key).map_or(0.0, |figures| figures[place]);
            let Some((found, grid_bits)) = figure(text, formula, shape, steps) else {
                assert!(wanted == 0.0, "{text} at {key:?}: no average, not {wanted}");
                continue;
            };
            let off = (found - wanted).abs();
            let most = slack(grid_bits) * 2f64.powi(-i32::from(grid_bits));
            assert!(off <= most, "{text} at {key:?}: {found}, not {wanted}");
            let is_count = grid_bits == 0 && wanted.fract() == 0.0;
            assert!(!is_count || off == 0.0, "{text} at {key:?}: {found}, not {wanted}");
            fine += usize::from(grid_bits >= TAME_GRID_BITS && wanted != 0.0);
        }
    }
    fine
}

/// A figure of one cell and the grid of its sum; `None` for an average over no value.
fn figure(text: &str, formula: &Formula, shape: &OutputShape, steps: &[i128]) -> Option<(f64, u8)> {
    let total = |lane: u32| {
        let grid_bits = shape.lanes[lane as usize].grid_bits;
        (steps[lane as usize] as f64 * 2f64.powi(-i32::from(grid_bits)), grid_bits)
    };
    match formula {
        Formula::Total { lane } => Some(total(*lane)),
        Formula::Ratio { numerator, denominator } => {
            let ((sum, grid_bits), (count, _)) = (total(*numerator), total(*denominator));
            (count != 0.0).then_some((sum / count, grid_bits))
        }
        // The middle of the range and the average deviation from it.
        Formula::Arithmetic { op: FigureOp::Add, left, right } => {
            let Formula::Constant { value } = left.as_ref() else {
                panic!("{text}: a tame question adds to {left:?}")
            };
            let deviation = figure(text, right, shape, steps)?;
            Some((value.value() + deviation.0, deviation.1))
        }
        other => panic!("{text}: a tame question gave {other:?}"),
    }
}

fn shown(key: &KeyValue) -> String {
    match key {
        KeyValue::Text(text) => text.clone(),
        KeyValue::Bool(bool) => bool.to_string(),
        KeyValue::Int(int) => int.to_string(),
        other => format!("{other:?}"),
    }
}
