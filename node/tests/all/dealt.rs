//! Rows in any order are dealt to piles of persons: the sums are those of the same question over rows that
//! were sorted and related, whatever the order, the files, the partitions and the caps (A3, A8, A26).

use crate::world::*;
use cloister_node::scan::persons::PersonLimits;
use cloister_plan::{Contribute, ContributionPlan, Expr, Literal, Relation};

/// Every kind of lane, by a key that many rows do not have.
const EVERY_LANE: &str = "SELECT town, COUNT(*) AS rows, COUNT(DISTINCT rider) AS riders, COUNT(n) AS known, \
     SUM(n) AS total, SUM(clamp(x, 0, 8)) AS xs FROM trips GROUP BY town";
const BY_ZONE: &str = "SELECT zone, COUNT(*) AS rows, SUM(n) AS total FROM trips WHERE n > -600 OR n IS NULL GROUP BY zone";

/// The same through a step above the table that keeps every row: its rows are sorted.
fn related(plain: &ContributionPlan) -> ContributionPlan {
    let mut made = plain.clone();
    let Contribute::Sql(sql) = &mut made.contribute else { panic!("not SQL") };
    let condition = Expr::literal(Literal::Bool(true));
    sql.relation = Relation::Filter { of: Box::new(sql.relation.clone()), condition };
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_dealt_rows_give_the_sums_of_sorted_ones() {
    let mut draws = Draws(77);
    for turn in 0..8 {
        let mut rows = draws.rows(0..40, 9);
        draws.shuffle(&mut rows);
        // No cap of the plan's rows chooses in the first turns: which rows that one keeps is decided
        // otherwise for a table and for a relation. The table's own cap chooses in the last ones.
        let table_cap = if turn < 4 { 50 } else { 4 };
        let world = World::new(&rows, 1 + turn % 3, table_cap);
        for sql in [EVERY_LANE, BY_ZONE] {
            for group_cap in [1, 3, 60] {
                let plain = world.plan(sql, 50.min(table_cap), group_cap);
                let made = related(&plain);
                let secret = turn as u8;
                let want = lanes(&made, &world.catalog, &options(2, 64), secret).await;
                assert!(want.iter().any(|lane| *lane != 0));
                for engine in [options(1, 8_192), options(2, 5), options(5, 64)] {
                    let found = lanes(&plain, &world.catalog, &engine, secret).await;
                    assert_eq!(found, want, "turn {turn}, {sql}, {group_cap}, {engine:?}");
                }
            }
        }
    }
}

/// The same with more sums than are dealt: its rows are sorted, without a step above the table.
const PADDED: &str = "SELECT town, COUNT(*) AS rows, COUNT(DISTINCT rider) AS riders, COUNT(n) AS known, \
     SUM(n) AS total, SUM(clamp(x, 0, 8)) AS xs, SUM(clamp(x, 0, 1)) AS a, SUM(clamp(x, 0, 2)) AS b, \
     SUM(clamp(x, 0, 3)) AS c FROM trips GROUP BY town";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_the_plans_row_cap_keeps_the_same_rows_dealt_and_sorted() {
    let mut draws = Draws(80);
    for (turn, (row_cap, table_cap)) in [(1, 50), (3, 50), (2, 5), (4, 4)].into_iter().enumerate() {
        let mut rows = draws.rows(0..40, 9);
        // Copies of rows, of which a cap keeps some.
        rows.extend_from_within(..rows.len() / 3);
        draws.shuffle(&mut rows);
        let world = World::new(&rows, 1 + turn % 3, table_cap);
        for group_cap in [1, 2, 60] {
            let plain = world.plan(EVERY_LANE, row_cap, group_cap);
            let padded = world.plan(PADDED, row_cap, group_cap);
            let (Contribute::Sql(few), Contribute::Sql(many)) =
                (&plain.contribute, &padded.contribute)
            else {
                panic!("not SQL")
            };
            let place = |lane| many.lanes.iter().position(|other| other == lane).unwrap();
            let places: Vec<usize> = few.lanes.iter().map(place).collect();
            assert!(many.lanes.len() > few.lanes.len());
            let secret = 9 + turn as u8;
            let sorted = lanes(&padded, &world.catalog, &options(2, 64), secret).await;
            let cells = sorted.chunks(many.lanes.len());
            let want: Vec<i128> =
                cells.flat_map(|cell| places.iter().map(|place| cell[*place])).collect();
            for engine in [options(1, 8_192), options(3, 7)] {
                let found = lanes(&plain, &world.catalog, &engine, secret).await;
                assert_eq!(found, want, "{row_cap} of {table_cap}, {group_cap}, {engine:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_dealt_rows_in_another_order_or_without_a_person_move_nobody_else() {
    let mut draws = Draws(78);
    let mut rows = draws.rows(0..30, 12);
    let plan_of = |rows: &[Row]| {
        let world = World::new(rows, 2, 6);
        let plan = world.plan(BY_ZONE, 4, 2);
        (world, plan)
    };
    let sums = async |rows: &[Row], engine| {
        let (world, plan) = plan_of(rows);
        lanes(&plan, &world.catalog, &engine, 5).await
    };
    let want = sums(&rows, options(2, 16)).await;
    for turn in 0..6 {
        draws.shuffle(&mut rows);
        assert_eq!(sums(&rows, options(1 + turn % 3, 3 + turn)).await, want);
    }
    // What one person adds is the difference that she makes, and what she adds alone.
    for rider in 0..30 {
        let (hers, others): (Vec<Row>, Vec<Row>) =
            rows.iter().copied().partition(|row| row.rider == Some(rider));
        let (alone, rest) = (sums(&hers, options(1, 64)).await, sums(&others, options(2, 9)).await);
        let both: Vec<i128> = alone.iter().zip(&rest).map(|(one, rest)| one + rest).collect();
        assert_eq!(both, want, "rider {rider}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_a_person_too_large_to_hold_is_left_out_of_dealt_and_of_sorted_rows_alike() {
    let mut draws = Draws(79);
    let mut rows = draws.rows(0..25, 30);
    draws.shuffle(&mut rows);
    let world = World::new(&rows, 3, 40);
    let plain = world.plan(EVERY_LANE, 40, 4);
    for (rows_max, bytes_max) in [(10, usize::MAX), (40, 500), (40, 700), (15, 900), (40, 1)] {
        let limits = PersonLimits { rows: rows_max, bytes: bytes_max };
        let limited = |partitions, batch_rows| cloister_node::measure::MeasureOptions {
            person_limits: limits,
            ..options(partitions, batch_rows)
        };
        let want = lanes(&related(&plain), &world.catalog, &limited(1, 8_192), 3).await;
        for (partitions, batch_rows) in [(1, 8_192), (2, 7), (4, 100)] {
            let found = lanes(&plain, &world.catalog, &limited(partitions, batch_rows), 3).await;
            assert_eq!(found, want, "{rows_max} rows, {bytes_max} bytes");
        }
    }
}
