//! Row A25, the data path: each check passes for the honest node and fails for one that lacks a defence.

use super::chance::at_least;
use super::property::within_bounds;
use super::world::{Cut, Draws, Row, TOWNS, WHOLE, World, epsilon, planned, planned_body, row};
use cloister_node::mutant::Mutant;
use cloister_plan::{
    CompareOp, Contribute, ContributionPlan, Expr, Literal, NamedWindow, Relation, Spend,
    WindowFunction,
};
use cloister_terms::{Body, KeyValue};
use std::collections::BTreeSet;

/// Whether removing person 1 from `rows` changes no more than declared.
async fn removal(sql: &str, rows: &[Row], lacks: Option<Mutant>) -> Result<(), String> {
    let plan = planned(sql, 2, 1, epsilon("1")).unwrap().plan;
    let fewer: Vec<Row> = rows.iter().filter(|row| row.rider != 1).copied().collect();
    let whole = World::new(rows, 1).lanes(&plan, WHOLE, lacks).await;
    let fewer = World::new(&fewer, 1).lanes(&plan, WHOLE, lacks).await;
    let hers: Vec<i128> = whole.iter().zip(fewer).map(|(all, fewer)| all - fewer).collect();
    assert!(hers.iter().any(|steps| *steps != 0), "she adds nothing at all");
    within_bounds(&plan, &hers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a25_cap_off_is_caught() {
    let everywhere = TOWNS.map(|town| Row { town: Some(town), ..row(1) });
    let rows: Vec<Row> = everywhere.into_iter().chain([row(2), row(3)]).collect();
    let sql = "SELECT town, COUNT(*) AS a FROM trips GROUP BY town";
    removal(sql, &rows, None).await.unwrap();
    assert!(removal(sql, &rows, Some(Mutant::CapOff)).await.is_err(), "three towns for one");
    // The cap on rows alone, in one town.
    let rows = vec![row(1); 9];
    let sql = "SELECT COUNT(*) AS a FROM trips";
    removal(sql, &rows, None).await.unwrap();
    assert!(removal(sql, &rows, Some(Mutant::CapOff)).await.is_err(), "nine rows for two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a25_clamp_off_is_caught() {
    let wild = Row { x: Some(1e12), n: Some(-4_000), ..row(1) };
    for sql in ["SELECT SUM(x) AS a FROM trips", "SELECT SUM(n) AS a FROM trips"] {
        let rows = [wild, Row { x: Some(1.0), n: Some(1), ..row(2) }];
        removal(sql, &rows, None).await.unwrap();
        assert!(removal(sql, &rows, Some(Mutant::ClampOff)).await.is_err(), "{sql}");
    }
}

/// Whether neighbouring tables, whose sums are one step apart, can release the same steps (Mironov 2012).
/// Noise of scale 8 is within 5 steps of either sum with a chance of at least 0.033 a step: that one of 11
/// steps is missed in 2,000 honest draws has a chance below 1e-27. On a coarser lattice at most one of any
/// 256 steps can be released at all, so the check fails always.
async fn same_support(lacks: Option<Mutant>) -> Result<(), String> {
    let plan = planned("SELECT SUM(x) AS a FROM trips", 1, 1, epsilon("16")).unwrap().plan;
    let hers = Row { x: Some(0.0625 + 1e-9), ..row(1) };
    let others = [Row { x: Some(0.1 + 0.2), ..row(2) }, Row { x: Some(1.0 / 3.0), ..row(3) }];
    let mut support: Vec<BTreeSet<i128>> = Vec::new();
    let mut sums = Vec::new();
    for (seed, rows) in [others.to_vec(), [others[0], others[1], hers].to_vec()].iter().enumerate()
    {
        let world = World::new(rows, 1);
        sums.push(world.lanes(&plan, WHOLE, None).await[0]);
        let mut seen = BTreeSet::new();
        world
            .releases(&plan, lacks, 2_000, seed as u64, |lanes| {
                seen.insert(lanes[0]);
            })
            .await;
        support.push(seen);
    }
    assert_eq!(sums[1] - sums[0], 1, "the tables are one step apart");
    let missed = (sums[0] - 5..=sums[0] + 5)
        .find(|steps| !support.iter().all(|support| support.contains(steps)));
    missed.map_or(Ok(()), |steps| Err(format!("{steps} steps tell the tables apart")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a25_grid_off_is_caught() {
    same_support(None).await.unwrap();
    assert!(same_support(Some(Mutant::GridOff)).await.is_err());
}

/// The first of each person's rows in canonical order, summed.
fn first_rows() -> ContributionPlan {
    let mut plan = planned("SELECT SUM(n) AS a FROM trips", 1, 1, epsilon("1")).unwrap().plan;
    let Contribute::Sql(sql) = &mut plan.contribute else { panic!("planned from SQL") };
    let place = || "place".parse().unwrap();
    let table = std::mem::replace(&mut sql.relation, Relation::Table { table: 0 });
    let numbered = Relation::Window {
        of: Box::new(table),
        partition: vec![],
        order: vec![],
        columns: vec![NamedWindow { name: place(), function: WindowFunction::RowNumber }],
    };
    let first = Expr::Compare {
        op: CompareOp::Equal,
        left: Box::new(Expr::Column { name: place() }),
        right: Box::new(Expr::literal(Literal::int(1))),
    };
    sql.relation = Relation::Filter { of: Box::new(numbered), condition: first };
    plan
}

/// Whether the order of rows in the files cannot be seen.
async fn order_free(lacks: Option<Mutant>) -> Result<(), String> {
    let plan = first_rows();
    let mut rows: Vec<Row> =
        (0..30).map(|place| Row { n: Some(place / 5), ..row(place % 5) }).collect();
    let (mut draws, mut found) = (Draws(25), BTreeSet::new());
    for turn in 0..8 {
        let cut = Cut { partitions: 1 + turn % 2, batch_rows: 1 + turn };
        found.insert(World::new(&rows, 1).lanes(&plan, cut, lacks).await);
        draws.shuffle(&mut rows);
    }
    if found.len() == 1 { Ok(()) } else { Err(format!("orders of one table gave {found:?}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a25_canonical_order_off_is_caught() {
    order_free(None).await.unwrap();
    assert!(order_free(Some(Mutant::CanonicalOrderOff)).await.is_err());
}

/// From here on floats lie two apart: 1 is lost beside it.
const BIG: f64 = 9_007_199_254_740_992.0;

/// A module that sums a person's floats row by row, so that their order shows in the last bits.
fn float_sums() -> (ContributionPlan, Vec<u8>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/evil/ulp_sum.wat");
    let wasm = wat::parse_file(path).unwrap();
    let cells = [0, 1].map(|cell| serde_json::json!({ "int": cell.to_string() }));
    let body = serde_json::json!({ "module": {
        "sha256": cloister_wire::sha256(&wasm), "rows": "SELECT x FROM trips",
        "keys": [{ "name": "cell", "values": cells }],
        "lanes": [{ "name": "sum", "value": { "min": "-8", "max": "8" } }],
        "numbers": "float", "outputs": "sparse", "fuel_per_person": 100_000 } });
    let body: Body = serde_json::from_value(body).unwrap();
    (planned_body(&body, 4, 2, epsilon("1")).unwrap().plan, wasm)
}

/// Whether a module cannot see the order of rows in the files. Riders 0 to 5 have times that tell an order, in
/// which every second one's values sum to 2 and the others' to 0; all rows of rider 6 have one time.
async fn module_order_free(lacks: Option<Mutant>) -> Result<(), String> {
    let (plan, wasm) = float_sums();
    let values = [[BIG, 1.0, 1.0, -BIG], [1.0, 1.0, BIG, -BIG]];
    let mut rows: Vec<Row> = (0..28)
        .map(|place: usize| {
            let (rider, nth) = (place / 4, place % 4);
            let at = if rider < 6 { nth as i64 } else { 0 };
            Row { x: Some(values[rider % 2][nth]), at, ..row(rider as i64) }
        })
        .collect();
    let (mut draws, mut found) = (Draws(26), BTreeSet::new());
    for turn in 0..8 {
        let cut = Cut { partitions: 1 + turn % 2, batch_rows: 1 + turn };
        found.insert(World::new(&rows, 1).module_lanes(&plan, &wasm, cut, lacks).await);
        draws.shuffle(&mut rows);
    }
    let timed: Vec<Row> = rows.into_iter().filter(|row| row.rider < 6).collect();
    let by_time = World::new(&timed, 1).module_lanes(&plan, &wasm, WHOLE, lacks).await;
    if found.len() == 1 && by_time == [6, 0] {
        Ok(())
    } else {
        Err(format!("orders of one table gave {found:?}, times alone {by_time:?}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a25_canonical_order_off_is_caught_for_modules() {
    module_order_free(None).await.unwrap();
    assert!(module_order_free(Some(Mutant::CanonicalOrderOff)).await.is_err());
}

/// Runs of the noise for row A10, and the chance of a false alarm.
const TRIALS: u64 = 40_000;
const FALSE_ALARM: f64 = 1e-6;

/// Whether a person who is alone in each of their two groups has any shown with a chance of at most delta,
/// by the node's own noise and threshold (Clopper-Pearson lower bound at confidence 1 - 1e-6). Without 5 of
/// the threshold the chance is more than 3 delta, which 40,000 trials tell from delta with power above 0.99.
async fn hides_one(lacks: Option<Mutant>) -> Result<(), String> {
    let delta: f64 = 0.01;
    let spend = Spend { delta: Some("0.01".parse().unwrap()), ..epsilon("1") };
    let plan =
        planned("SELECT at, COUNT(*) AS a FROM trips GROUP BY at", 2, 2, spend).unwrap().plan;
    let crowd = (2..500).map(|rider| Row { at: 7, ..row(rider) });
    let rows: Vec<Row> = (0..2).map(|at| Row { at, ..row(1) }).chain(crowd).collect();
    let hers = [0, 1].map(|at| vec![KeyValue::Timestamp(at)]);
    let mut shown = 0;
    let mut crowd_shown = 0;
    let world = World::new(&rows, 1);
    world
        .noised(&plan, lacks, TRIALS as usize, 10, |noised| {
            let keys = noised.keys_for_tests();
            shown += u64::from(keys.iter().any(|key| hers.contains(key)));
            crowd_shown += u64::from(keys.contains(&vec![KeyValue::Timestamp(7)]));
        })
        .await;
    assert_eq!(crowd_shown, TRIALS, "498 people are far above the threshold");
    let least = at_least(shown, TRIALS, FALSE_ALARM);
    if least <= delta { Ok(()) } else { Err(format!("shown in {shown} of {TRIALS} trials")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_a_key_of_one_person_is_shown_with_a_chance_of_at_most_delta() {
    hides_one(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a25_tau_minus_5_is_caught() {
    assert!(hides_one(Some(Mutant::ThresholdLowered)).await.is_err());
}
