//! Random tables and random questions: what one person can change, what cannot change anything, and that
//! lanes mean what plain SQL says. Rows A3, A5, A22, A26.

use super::questions::{Kind, question};
use super::world::{Cut, Draws, Row, WHOLE, World, batch, epsilon, planned, rho};
use cloister_plan::{ContributionPlan, Planned};
use cloister_terms::{Formula, KeyValue};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::prelude::SessionContext;
use std::collections::BTreeMap;

const PERSONS: std::ops::Range<i64> = 0..6;
/// Questions that each property is tried on.
const QUESTIONS: usize = 40;

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

/// Questions that have a plan, with tight caps. Most must have one, or nothing was tried.
fn plans(draws: &mut Draws, kind: Kind) -> Vec<(String, Planned)> {
    let (mut plans, mut asked) = (Vec::new(), 0);
    while plans.len() < QUESTIONS {
        let text = question(draws, kind);
        let (row_cap, group_cap) = (1 + draws.below(4) as u32, 1 + draws.below(3) as u32);
        asked += 1;
        assert!(asked <= 9 * QUESTIONS, "most random questions are refused, as `{text}`");
        let spend = if draws.below(2) == 0 { epsilon("1") } else { rho("0.5") };
        if let Ok(planned) = planned(&text, row_cap, group_cap, spend) {
            plans.push((text, planned));
        }
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

/// Caps that nobody reaches and a loss so large that noise is 0 but for a chance below 1e-9 a question:
/// what is released is what plain SQL says of rows within their bounds, but for the grid of sums.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_released_lanes_equal_plain_sql_at_epsilon_a_million() {
    let mut draws = Draws(22);
    let rows = draws.rows(PERSONS, 9, false);
    let world = World::new(&rows, 2);
    let context = SessionContext::new();
    context.register_batch("trips", batch(&rows)).unwrap();
    let (mut compared, mut asked, mut told) = (0, 0, 0);
    while compared < QUESTIONS {
        asked += 1;
        assert!(asked <= 9 * QUESTIONS, "most random questions are refused");
        let text = question(&mut draws, Kind::Tame);
        let Ok(planned) = planned(&text, 40, 9, epsilon("1000000")) else { continue };
        let mut released = Vec::new();
        world
            .releases(&planned.plan, None, 1, asked as u64, |lanes| released = lanes.to_vec())
            .await;
        // The engine cannot run some questions for a fault of its own (it loses which columns may be NULL).
        let Some(expected) = plain(&context, &text, &planned.plan).await else { continue };
        compare(&text, &planned.plan, &released, &expected, rows.len());
        compared += 1;
        told += expected.values().flatten().filter(|figure| **figure != 0.0).count();
    }
    assert!(told > QUESTIONS, "plain SQL said next to nothing: {told} figures");
}

/// Plain SQL's figures by the keys of their row, as text; `None` where the engine fails.
async fn plain(
    context: &SessionContext,
    text: &str,
    plan: &ContributionPlan,
) -> Option<BTreeMap<Vec<String>, Vec<f64>>> {
    let keys = plan.shape.keys.len();
    let mut expected = BTreeMap::new();
    for batch in context.sql(text).await.unwrap().collect().await.ok()? {
        let column = |at: usize, to: DataType| cast(batch.column(at), &to).unwrap();
        for row in 0..batch.num_rows() {
            let is_null = (0..keys).any(|at| batch.column(at).is_null(row));
            let key = (0..keys)
                .map(|at| column(at, DataType::Utf8).as_string::<i32>().value(row).to_owned());
            // A sum over no rows is NULL in plain SQL and 0 here.
            let figures = (keys..batch.num_columns()).map(|at| {
                let figures = column(at, DataType::Float64);
                let figures = figures.as_primitive::<Float64Type>();
                if figures.is_null(row) { 0.0 } else { figures.value(row) }
            });
            let (key, figures) = (key.collect(), figures.collect());
            if !is_null {
                expected.insert(key, figures);
            }
        }
    }
    Some(expected)
}

fn compare(
    text: &str,
    plan: &ContributionPlan,
    released: &[i128],
    expected: &BTreeMap<Vec<String>, Vec<f64>>,
    rows: usize,
) {
    let shape = &plan.shape;
    for cell in 0..shape.cells().unwrap() {
        let key: Vec<String> = shape.key_of(cell).unwrap().into_iter().map(shown).collect();
        let totals = shape.columns.iter().filter_map(|column| match &column.formula {
            Formula::Total { lane } => Some(*lane as usize),
            Formula::Key { .. } => None,
            other => panic!("{text}: a tame question gave {other:?}"),
        });
        for (place, lane) in totals.enumerate() {
            let step = 2f64.powi(-i32::from(shape.lanes[lane].grid_bits));
            let found = released[cell as usize * shape.lanes.len() + lane] as f64 * step;
            let wanted = expected.get(&key).map_or(0.0, |figures| figures[place]);
            // Each row is rounded to the nearest step; a join makes at most three of one.
            let off = (found - wanted).abs();
            assert!(off <= rows as f64 * 1.5 * step, "{text} at {key:?}: {found}, not {wanted}");
            let is_count = shape.lanes[lane].grid_bits == 0 && wanted.fract() == 0.0;
            assert!(!is_count || off == 0.0, "{text} at {key:?}: {found}, not {wanted}");
        }
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
