//! Modules see one person in canonical order, a fair sample of rows over the cap, and what they return is bounded
//! (A12, A20, A26).

use crate::world::*;
use cloister_node::catalog::Catalog;
use cloister_node::fault::Fault;
use cloister_node::measure::measure;
use cloister_plan::ContributionPlan;
use cloister_terms::{Body, Digest};
use std::path::PathBuf;

/// The sample module: the first four distinct (start, end) pairs of six towns, over 512 rows.
pub fn town_flows() -> Vec<u8> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/modules/town-flows.wasm");
    std::fs::read(path).expect("examples/modules/town-flows.wasm is part of the checkout")
}

pub fn sha256(bytes: &[u8]) -> Digest {
    cloister_wire::sha256(bytes)
}

/// Flow cell `from * 6 + to` counts riders with that pair among their first four.
fn flow_plan(world: &World, wasm: &[u8]) -> ContributionPlan {
    let towns: Vec<_> = (0..6).map(|town| serde_json::json!({ "int": town.to_string() })).collect();
    let body = serde_json::json!({ "module": {
        "sha256": sha256(wasm), "rows": "SELECT from_town, to_town FROM trips WHERE start IS NOT NULL",
        "keys": [{ "name": "from", "values": towns }, { "name": "to", "values": towns }],
        "lanes": [{ "name": "riders", "value": { "min": "0", "max": "1" } }],
        "numbers": "int", "outputs": "sparse", "fuel_per_person": 10_000_000 } });
    let body: Body = serde_json::from_value(body).unwrap();
    plan_body(&world.dictionary, &body, 512, 4)
}

/// `trips` with `start` and `finish` of domain 0 to 5, over the columns zone and n, and as texts, which a module
/// sees as their places in the domain.
fn world(rows: &[Row]) -> World {
    let mut world = World::new(rows, 2, 600);
    let towns: Vec<_> = (0..6).map(|town| serde_json::json!({ "int": town.to_string() })).collect();
    let names: Vec<_> =
        (0..6).map(|town| serde_json::json!({ "text": town.to_string() })).collect();
    let dictionary = serde_json::json!({ "datasets": [{
        "name": "trips", "description": "", "unit_column": "rider", "order_columns": ["at"], "rows_per_unit_max": 600,
        "columns": [
            { "name": "rider", "type": "int64", "description": "", "identifier": true },
            { "name": "at", "type": "timestamp", "description": "" },
            { "name": "start", "type": "int64", "description": "", "domain": towns },
            { "name": "finish", "type": "int64", "description": "", "domain": towns },
            { "name": "from_town", "type": "text", "description": "", "domain": names },
            { "name": "to_town", "type": "text", "description": "", "domain": names } ] }] });
    world.dictionary = serde_json::from_value(dictionary).unwrap();
    let mut source = source(world.folder.path().to_owned());
    source.columns = [
        ("rider", "rider"),
        ("at", "at"),
        ("start", "zone"),
        ("finish", "n"),
        ("from_town", "CAST(zone AS VARCHAR)"),
        ("to_town", "CAST(n AS VARCHAR)"),
    ]
    .map(|(column, sql)| (column.parse().unwrap(), sql.to_owned()))
    .into();
    world.catalog = Catalog::open(&[source], &world.dictionary).unwrap();
    world
}

fn trip(rider: i64, at: i64, start: i64, finish: i64) -> Row {
    Row { zone: Some(start), n: Some(finish), at, ..row(rider) }
}

async fn flows(
    world: &World,
    plan: &ContributionPlan,
    wasm: &[u8],
    partitions: usize,
    batch_rows: usize,
) -> Vec<i128> {
    let paid = charge(plan, Some(wasm.to_vec()), 5);
    measure(&paid, &world.catalog, &options(partitions, batch_rows))
        .await
        .unwrap()
        .lanes_for_tests()
        .to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_a_module_sees_each_person_alone_and_in_canonical_order() {
    let wasm = town_flows();
    // Rider 1 makes five pairs; by time the last is (4, 5), which the module's cap leaves out.
    let mut rows = vec![
        trip(1, 5, 4, 5),
        trip(1, 1, 0, 1),
        trip(1, 2, 0, 1),
        trip(1, 3, 1, 2),
        trip(1, 3, 2, 2),
        trip(1, 4, 3, 3),
    ];
    rows.extend([trip(2, 9, 4, 5), trip(2, 8, 0, 77), Row { rider: None, ..trip(0, 1, 0, 0) }]);
    let mut expected = vec![0i128; 36];
    for cell in [1, 8, 14, 21, 29] {
        expected[cell] = 1;
    }
    let mut draws = Draws(12);
    for turn in 0..4 {
        let world = world(&rows);
        let plan = flow_plan(&world, &wasm);
        assert_eq!(
            flows(&world, &plan, &wasm, [1, 2, 8][turn % 3], 1 + turn).await,
            expected,
            "turn {turn}"
        );
        draws.shuffle(&mut rows);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_module_contributions_add_up_person_by_person() {
    let wasm = town_flows();
    let mut draws = Draws(77);
    let mut rows = Vec::new();
    for rider in 0..40 {
        // Some riders are over the module's row cap of 512, with equal times to tie on.
        let count = if rider % 13 == 0 { 580 } else { 1 + draws.below(9) };
        rows.extend((0..count).map(|_| {
            trip(rider, draws.below(4) as i64, draws.below(7) as i64, draws.below(7) as i64)
        }));
    }
    let whole = world(&rows);
    let plan = flow_plan(&whole, &wasm);
    let expected = flows(&whole, &plan, &wasm, 1, 8_192).await;
    let mut sum = vec![0i128; 36];
    for mine in [true, false] {
        let mut part: Vec<Row> =
            rows.iter().filter(|row| (row.rider < Some(17)) == mine).copied().collect();
        draws.shuffle(&mut part);
        let world = world(&part);
        let found = flows(&world, &plan, &wasm, 2, 50).await;
        sum.iter_mut().zip(found).for_each(|(sum, lane)| *sum += lane);
    }
    assert_eq!(sum, expected);
    assert!(expected.iter().sum::<i128>() <= 160);
}

/// Gives 1 in the cell of each row's value: one column, four rows, four outputs. Fails on a person whose values
/// do not climb.
const ROWS_SEEN: &str = r#"(module
  (memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\40\00\00\00\00\00\00\00")
  (func (export "person_map") (param $rows i32) (result i32)
    (local $row i32) (local $pair i32) (local $value i64) (local $before i64)
    (local.set $before (i64.const -1))
    (block $done
      (loop $again
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (local.set $value (i64.load offset=1032 (i32.shl (local.get $row) (i32.const 3))))
        (if (i64.le_s (local.get $value) (local.get $before)) (then (unreachable)))
        (local.set $before (local.get $value))
        (local.set $pair (i32.shl (local.get $row) (i32.const 4)))
        (i32.store offset=2048 (local.get $pair) (i32.wrap_i64 (local.get $value)))
        (i64.store offset=2056 (local.get $pair) (i64.const 1))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $again)))
    (local.get $rows)))"#;

/// Riders whose rows are more than a module gets, how many each has, and how many it gets.
const RIDERS: i64 = 400;
const ROWS_EACH: i64 = 40;
const ROWS_GIVEN: u32 = 4;

/// One of 40 rows is kept of each of 400 riders with a chance of a tenth. That any of the 40 is kept of less
/// than 10 or more than 80 of them has a chance below 1e-6 (Chernoff 1952); of the first four in any fixed
/// order 400 are kept, and none of the others.
const FAIR: std::ops::RangeInclusive<i128> = 10..=80;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a20_a26_a_module_gets_a_fair_sample_of_a_persons_rows_over_the_cap() {
    let wasm = wat::parse_str(ROWS_SEEN).unwrap();
    let rows = (0..RIDERS).flat_map(|rider| (0..ROWS_EACH).map(move |at| trip(rider, at, at, 0)));
    let mut rows: Vec<Row> = rows.collect();
    let cells: Vec<_> =
        (0..ROWS_EACH).map(|at| serde_json::json!({ "int": at.to_string() })).collect();
    let body = serde_json::json!({ "module": {
        "sha256": sha256(&wasm), "rows": "SELECT start FROM trips",
        "keys": [{ "name": "at", "values": cells }],
        "lanes": [{ "name": "riders", "value": { "min": "0", "max": "1" } }],
        "numbers": "int", "outputs": "sparse", "fuel_per_person": 100_000 } });
    let body: Body = serde_json::from_value(body).unwrap();
    let whole = world(&rows);
    let plan = plan_body(&whole.dictionary, &body, ROWS_GIVEN, ROWS_GIVEN);
    let kept = flows(&whole, &plan, &wasm, 1, 8_192).await;
    // Of everybody as many rows as the cap leaves, and those in canonical order.
    assert_eq!(kept.iter().sum::<i128>(), i128::from(RIDERS) * i128::from(ROWS_GIVEN));
    assert!(kept.iter().all(|riders| FAIR.contains(riders)), "{kept:?}");
    // Where the rows lie decides nothing.
    Draws(20).shuffle(&mut rows);
    assert_eq!(flows(&world(&rows), &plan, &wasm, 2, 50).await, kept);
    // The secret decides: who does not know it cannot tell whose rows are kept.
    let paid = charge(&plan, Some(wasm.clone()), 6);
    let other = measure(&paid, &whole.catalog, &options(1, 8_192)).await.unwrap();
    assert_ne!(other.lanes_for_tests(), kept);
    // Nor do other persons: each part of them adds what it adds beside the other.
    let mut sum = vec![0i128; kept.len()];
    for mine in [true, false] {
        let part = rows.iter().filter(|row| (row.rider < Some(RIDERS / 3)) == mine);
        let part: Vec<Row> = part.copied().collect();
        let found = flows(&world(&part), &plan, &wasm, 1, 500).await;
        sum.iter_mut().zip(found).for_each(|(sum, lane)| *sum += lane);
    }
    assert_eq!(sum, kept);
}

/// A module of `tests/evil`: one column, four rows, two outputs.
fn evil(name: &str) -> Vec<u8> {
    let path = format!("{}/../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    wat::parse_file(path).unwrap()
}

/// What the riders contribute whose first value is not Bob's, who has 66 and whatever else.
const OTHERS: [(i64, i64); 4] = [(2, 10), (3, 11), (4, 12), (5, 0)];

fn evil_plan(world: &World, wasm: &[u8]) -> ContributionPlan {
    let cells: Vec<_> = (0..2).map(|cell| serde_json::json!({ "int": cell.to_string() })).collect();
    let body = serde_json::json!({ "module": {
        "sha256": sha256(wasm), "rows": "SELECT start FROM trips",
        "keys": [{ "name": "cell", "values": cells }],
        "lanes": [{ "name": "riders", "value": { "min": "0", "max": "1" } }],
        "numbers": "int", "outputs": "sparse", "fuel_per_person": 100_000 } });
    plan_body(&world.dictionary, &serde_json::from_value(body).unwrap(), 4, 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_a_module_that_fails_on_one_person_leaves_the_others_sum() {
    let others: Vec<Row> = OTHERS.iter().map(|(rider, start)| trip(*rider, 1, *start, 0)).collect();
    let mut all = others.clone();
    all.insert(1, trip(1, 1, 66, 0));
    let (with_bob, without) = (world(&all), world(&others));
    for name in [
        "trap_if_bob",
        "spin_if_bob",
        "deep_recursion_if_bob",
        "oom_if_bob",
        "bulk_bomb",
        "ret_negative",
        "state_then_trap",
    ] {
        let wasm = evil(name);
        let found = flows(&with_bob, &evil_plan(&with_bob, &wasm), &wasm, 1, 100).await;
        assert_eq!(found, [OTHERS.len() as i128, 0], "{name}");
        let apart = flows(&without, &evil_plan(&without, &wasm), &wasm, 2, 1).await;
        assert_eq!(found, apart, "{name}: Bob's trouble is the default contribution");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_a_stateful_module_gives_the_same_sum_in_any_order() {
    // Each of these would count or copy what an earlier person left behind.
    let mut rows: Vec<Row> = (0..20).map(|rider| trip(rider, 1, rider * 7 % 67, 0)).collect();
    let mut draws = Draws(3);
    for name in ["state_memory", "state_hidden_global", "state_table", "host_input_residue"] {
        let wasm = evil(name);
        let mut sums = Vec::new();
        for turn in 0..3 {
            let world = world(&rows);
            let plan = evil_plan(&world, &wasm);
            sums.push(flows(&world, &plan, &wasm, [1, 2, 5][turn], 1 + turn * 9).await);
            draws.shuffle(&mut rows);
        }
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{name}: {sums:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_module_than_the_approved_one_is_a_fault() {
    let wasm = town_flows();
    let world = world(&[trip(1, 1, 1, 1)]);
    let plan = flow_plan(&world, b"another module");
    let run = |module| {
        let (plan, catalog) = (plan.clone(), world.catalog.clone());
        async move { measure(&charge(&plan, module, 1), &catalog, &options(1, 9)).await.unwrap_err() }
    };
    assert!(matches!(run(Some(wasm.clone())).await, Fault::OtherModule));
    assert!(matches!(run(None).await, Fault::NoModule));
    assert!(matches!(run(Some(wasm[..100].to_vec())).await, Fault::Sandbox(_)));
}
