//! Sums are exact, order-free and bounded, whatever the values (A3, A4, A5, A11, A26).

use crate::world::*;
use cloister_dp::{FailingEntropy, SeededEntropy};
use cloister_node::catalog::Catalog;
use cloister_node::measure::measure;
use cloister_node::noise::noise;
use cloister_terms::Dictionary;
use std::collections::BTreeSet;

const MANY_LANES: &str = "SELECT town, COUNT(*) AS rows, COUNT(DISTINCT rider) AS riders, COUNT(n) AS known, \
     SUM(n) AS total FROM trips GROUP BY town";

/// Mironov 2012: noise added to floats leaves the data in their low bits. Here each of 1,000 cells
/// holds the same five awkward values, then four of them; with noise of scale 8 both must be able to
/// release the same whole steps. False alarm below 1e-6 a run of other seeds: a value within 10 steps
/// of the sum has a chance of at least 0.017 in each of 1,000 draws. On a finer grid the values are
/// smaller by as much, so that sums and noise are the same numbers of steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a02_neighbours_release_the_same_whole_steps() {
    let values = [0.1 + 0.2, 1.0 / 3.0, 1e-17, 5.3, 2.0f64.sqrt()];
    for grid_bits in [0, 3] {
        let step = 0.5f64.powi(grid_bits);
        let (dictionary, most) = (on_grid(grid_bits), 8 >> grid_bits);
        let sql =
            format!("SELECT zone, SUM(clamp(x, 0, {most})) AS total FROM trips GROUP BY zone");
        let plan = plan_sql(&dictionary, &sql, 1, 1);
        let lane = &plan.shape.lanes[0];
        assert_eq!((i32::from(lane.grid_bits), lane.sensitivity_steps), (grid_bits, 8));
        let released = async |kept: usize| {
            let mut rows = Vec::new();
            for zone in 0..ZONES {
                for (x, rider) in values.iter().take(kept).zip(zone * 10..) {
                    rows.push(Row { x: Some(x * step), zone: Some(zone), ..row(rider) });
                }
            }
            let world = World::new(&rows, 2, 10);
            let files = source(world.folder.path().to_owned());
            let catalog = Catalog::open(&[files], &dictionary).unwrap();
            let paid = charge(&plan, None, 1);
            let exact = measure(&paid, &catalog, &options(2, 512)).await.unwrap();
            let sum = exact.lanes_for_tests()[0];
            assert!(exact.lanes_for_tests().iter().all(|lane| *lane == sum), "cells are alike");
            let noised = noise(exact, paid, &mut SeededEntropy::new(2)).unwrap();
            let seen: BTreeSet<i128> = noised.lanes_for_tests().iter().copied().collect();
            (sum, seen)
        };
        let (with, without) = (released(5).await, released(4).await);
        assert_eq!(with.0 - without.0, 1, "sqrt(2) rounds to one step");
        for steps in with.0 - 8..=with.0 + 8 {
            let both = with.1.contains(&steps) && without.1.contains(&steps);
            assert!(both, "{steps} steps of 2^-{grid_bits}");
        }
    }
}

/// The dictionary with `x` within 0..8, on steps of `2^-grid_bits`.
fn on_grid(grid_bits: i32) -> Dictionary {
    let mut dictionary = serde_json::to_value(dictionary(10)).unwrap();
    let x = &mut dictionary["datasets"][0]["columns"][4];
    assert_eq!(x["name"], "x");
    x["bounds"] = serde_json::json!({ "min": "0", "max": "8", "grid_bits": grid_bits });
    serde_json::from_value(dictionary).unwrap()
}

/// Over files; a thousand orders over batches stand beside the bounds (`bound_tests.rs`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_order_and_partitions_change_no_bit() {
    let two_53 = 9_007_199_254_740_992.0;
    let mut rows: Vec<Row> = [two_53, 1.0, 1.0, 0.5, 1.5, 3.0, two_53, 1.0]
        .iter()
        .zip(1..)
        .map(|(x, rider)| Row { x: Some(*x), ..row(rider) })
        .collect();
    let mut draws = Draws(3);
    let expected = (1i128 << 54) + 8;
    for turn in 0..12 {
        let world = World::new(&rows, 1 + turn % 3, 10);
        let plan = world.plan("SELECT SUM(x) AS total FROM trips", 1, 1);
        for partitions in [1, 2, 8] {
            let found = lanes(&plan, &world.catalog, &options(partitions, 1 + turn % 5), 1).await;
            assert_eq!(found, [expected], "turn {turn}, {partitions} partitions");
        }
        draws.shuffle(&mut rows);
    }
    // One person less changes the sum by at most the bound.
    let bound = i128::from(
        World::new(&rows, 1, 10).plan("SELECT SUM(x) AS total FROM trips", 1, 1).shape.lanes[0]
            .sensitivity_steps,
    );
    for out in 0..rows.len() {
        let mut fewer = rows.clone();
        fewer.remove(out);
        let world = World::new(&fewer, 2, 10);
        let plan = world.plan("SELECT SUM(x) AS total FROM trips", 1, 1);
        let found = lanes(&plan, &world.catalog, &options(2, 3), 1).await;
        assert!((expected - found[0]).abs() <= bound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a04_integer_limits_are_clamped_never_wrapped() {
    let rows: Vec<Row> = [i64::MIN, i64::MAX, i64::MIN, i64::MIN + 1, 7]
        .iter()
        .zip(1..)
        .map(|(n, rider)| Row { n: Some(*n), ..row(rider) })
        .collect();
    let world = World::new(&rows, 1, 10);
    let plan = world.plan("SELECT SUM(n) AS total FROM trips", 2, 1);
    assert_eq!(
        lanes(&plan, &world.catalog, &options(2, 2), 1).await,
        [-1_000 + 1_000 - 1_000 - 1_000 + 7]
    );
    let one_person: Vec<Row> = (0..9).map(|_| Row { n: Some(i64::MIN), ..row(1) }).collect();
    let world = World::new(&one_person, 2, 10);
    let plan = world.plan("SELECT SUM(n) AS total FROM trips", 4, 1);
    assert_eq!(lanes(&plan, &world.catalog, &options(8, 2), 1).await, [-4_000]);
    assert_eq!(plan.shape.lanes[0].sensitivity_steps, 4_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a05_nan_infinity_null_and_division_by_zero_add_nothing() {
    let odd =
        [Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), None, Some(-0.0), Some(4.0)];
    let rows: Vec<Row> =
        odd.iter().zip(1..).map(|(x, rider)| Row { x: *x, n: Some(rider), ..row(rider) }).collect();
    let world = World::new(&rows, 1, 10);
    let plan =
        world.plan("SELECT COUNT(*) AS rows, COUNT(x) AS known, SUM(x) AS total FROM trips", 1, 1);
    let found = lanes(&plan, &world.catalog, &options(2, 2), 1).await;
    assert_eq!(found, [6, 2, 4]);
    let divided = world.plan("SELECT COUNT(x / (x - 4)) AS known FROM trips", 1, 1);
    assert_eq!(lanes(&divided, &world.catalog, &options(1, 9), 1).await, [1]);
    let filtered = world.plan("SELECT COUNT(*) AS rows FROM trips WHERE 1 / x > 0.2", 1, 1);
    assert_eq!(lanes(&filtered, &world.catalog, &options(1, 9), 1).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_a_nan_among_equal_values_stays_null() {
    // The file's statistics call this column constant, since they leave NaN out.
    let rows = [row(1), row(2), row(3)].map(|row| Row {
        x: if row.rider == Some(2) { Some(f64::NAN) } else { Some(4.0) },
        n: Some(9),
        ..row
    });
    let world = World::new(&rows, 1, 10);
    let plan = world.plan("SELECT COUNT(x) AS known, SUM(x) AS total FROM trips WHERE n = 9", 1, 1);
    assert_eq!(lanes(&plan, &world.catalog, &options(1, 9), 1).await, [2, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_empty_keys_and_absent_tables_are_noised_zeros() {
    let world = World::new(&[row(1), Row { rider: None, ..row(2) }], 1, 10);
    let keyed = world.plan("SELECT town, COUNT(*) AS rows FROM trips GROUP BY town", 1, 1);
    assert_eq!(lanes(&keyed, &world.catalog, &options(1, 9), 1).await, [1, 0, 0, 0]);
    let absent = world.plan("SELECT town, COUNT(*) AS rows FROM absent GROUP BY town", 1, 1);
    assert_eq!(lanes(&absent, &world.catalog, &options(2, 9), 1).await, [0; 4]);
    for plan in [keyed, absent] {
        let mut seen = Vec::new();
        for seed in 0..40 {
            let paid = charge(&plan, None, 1);
            let exact = measure(&paid, &world.catalog, &options(1, 9)).await.unwrap();
            let noised = noise(exact, paid, &mut SeededEntropy::new(seed)).unwrap();
            assert_eq!(noised.lanes_for_tests().len(), 4);
            seen.push(noised.lanes_for_tests()[3]);
        }
        assert!(seen.iter().any(|lane| *lane > 0) && seen.iter().any(|lane| *lane < 0), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entropy_fault_releases_nothing_and_keeps_the_charge() {
    let world = World::new(&[row(1)], 1, 10);
    let plan = world.plan("SELECT town, COUNT(*) AS rows FROM trips GROUP BY town", 1, 1);
    let paid = charge(&plan, None, 1);
    let id = paid.id();
    let exact = measure(&paid, &world.catalog, &options(1, 9)).await.unwrap();
    let fault = noise(exact, paid, &mut FailingEntropy::after(3)).unwrap_err();
    assert_eq!(fault.charge.id(), id);
    let other = world.plan("SELECT COUNT(*) AS rows FROM trips", 1, 1);
    let exact = measure(&charge(&other, None, 1), &world.catalog, &options(1, 9)).await.unwrap();
    assert!(noise(exact, charge(&plan, None, 1), &mut SeededEntropy::new(1)).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_nobody_changes_anybody_elses_contribution() {
    let mut draws = Draws(26);
    let everybody = draws.rows(0..30, 40);
    let reference = World::new(&everybody, 1, 20);
    let plan = reference.plan(MANY_LANES, 6, 2);
    let whole = lanes(&plan, &reference.catalog, &options(1, 8_192), 9).await;
    assert!(whole.iter().any(|lane| *lane != 0));
    for turn in 0..6usize {
        // Contributions of two groups of persons, apart and together, in any order of rows.
        let apart = |mine: bool| {
            everybody
                .iter()
                .filter(|row| row.rider.is_some_and(|r| (r as usize % 7 < turn + 1) == mine))
                .copied()
                .collect::<Vec<_>>()
        };
        let mut sum = vec![0; whole.len()];
        for mut part in [apart(true), apart(false)] {
            draws.shuffle(&mut part);
            let world = World::new(&part, 1 + turn % 3, 20);
            let found =
                lanes(&plan, &world.catalog, &options([1, 2, 8][turn % 3], 1 + turn), 9).await;
            sum.iter_mut().zip(found).for_each(|(sum, lane)| *sum += lane);
        }
        assert_eq!(sum, whole, "turn {turn}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_mean_the_same_pushed_down_or_not() {
    let mut draws = Draws(5);
    let rows = draws.rows(0..20, 30);
    let world = World::new(&rows, 2, 100);
    let count = |kept: fn(&Row) -> bool| rows.iter().filter(|row| kept(row)).count() as i128;
    let in_town = |row: &Row, town: &str| row.town == Some(town);
    let cases: [(&str, i128); 5] = [
        (
            "zone >= 500 AND n <> 5",
            count(|row| row.zone >= Some(500) && row.n.is_some_and(|n| n != 5)),
        ),
        (
            "town = 'Holyoke' OR zone < 100",
            rows.iter().filter(|row| in_town(row, "Holyoke") || row.zone < Some(100)).count()
                as i128,
        ),
        (
            "NOT (town IN ('Holyoke', 'Nowhere'))",
            count(|row| row.town.is_some_and(|town| town != "Holyoke" && town != "Nowhere")),
        ),
        (
            "n IS NULL AND x BETWEEN 0 AND 1",
            count(|row| row.n.is_none() && row.x.is_some_and(|x| (0.0..=1.0).contains(&x))),
        ),
        (
            "CASE WHEN x > 1 THEN n = 5 ELSE zone < 10 END",
            count(|row| {
                if row.x.is_some_and(|x| x > 1.0) { row.n == Some(5) } else { row.zone < Some(10) }
            }),
        ),
    ];
    for (condition, expected) in cases {
        let plan =
            world.plan(&format!("SELECT COUNT(*) AS rows FROM trips WHERE {condition}"), 100, 1);
        let mut pushed = options(2, 16);
        pushed
            .settings
            .push(("datafusion.execution.parquet.pushdown_filters".into(), "true".into()));
        for options in [options(1, 64), pushed] {
            assert_eq!(lanes(&plan, &world.catalog, &options, 1).await, [expected], "{condition}");
        }
    }
}
