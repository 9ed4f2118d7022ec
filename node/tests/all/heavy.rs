//! Rows that would be too much work: whoever has them gives the default contribution, nobody else's changes, and
//! neither depends on how rows are cut into blocks (A13, A14).

use crate::world::*;
use cloister_node::work::WORK_MAX;

/// Every row of a person meets every other of hers, and is looked through for a long text.
fn pairs(pattern: &str) -> String {
    format!(
        "SELECT COUNT(*) AS c, SUM(clamp(n, 0, 9)) AS s FROM (SELECT a.rider, a.n FROM trips AS a \
         JOIN trips AS b ON a.rider = b.rider \
         WHERE (a.town || b.town || '{}') NOT LIKE '{pattern}') AS t",
        "z".repeat(900)
    )
}

fn rows(of_heavy: i64) -> Vec<Row> {
    let others =
        (1..40).flat_map(|rider| (0..3).map(move |at| Row { n: Some(2), at, ..row(rider) }));
    let hers = (0..of_heavy).map(|at| Row { n: Some(5), at, ..row(99) });
    others.chain(hers).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_who_is_too_much_work_contributes_nothing_and_changes_nobody_else() {
    let text = pairs("%q_q%");
    // Pairs times bytes to look through: hers alone are over the limit, and fewer rows than one may have.
    const { assert!(380 * 380 * 900 > WORK_MAX && 380 * 380 < 1 << 18) };
    let measured = async |rows: &[Row], partitions, batch_rows| {
        let world = World::new(rows, 2, 1_000);
        let plan = world.plan(&text, 1_000_000, 1);
        lanes(&plan, &world.catalog, &options(partitions, batch_rows), 1).await
    };
    let without = measured(&rows(0), 1, 8_192).await;
    assert_eq!(without, [39 * 9, 39 * 9 * 2]);
    for (partitions, batch_rows) in [(1, 8_192), (2, 64), (3, 7)] {
        assert_eq!(measured(&rows(380), partitions, batch_rows).await, without);
    }
    // With rows that are little work she counts.
    let with = measured(&rows(20), 2, 64).await;
    assert_eq!(with, [39 * 9 + 400, 39 * 9 * 2 + 400 * 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_columns_of_one_person_are_bounded_together() {
    // 300 x 300 pairs times many averages over expressions: as numbers alone more than one person may have.
    let figures: Vec<String> =
        (0..100).map(|i| format!("SUM(clamp(n * {i} + x, 0, 100)) AS f{i}")).collect();
    let text = format!(
        "SELECT {} FROM (SELECT a.rider, a.n, b.x FROM trips AS a JOIN trips AS b ON a.rider = b.rider) AS t",
        figures.join(", ")
    );
    let measured = async |rows: &[Row], batch_rows| {
        let world = World::new(rows, 1, 1_000);
        let plan = world.plan(&text, 1_000_000, 1);
        lanes(&plan, &world.catalog, &options(2, batch_rows), 1).await
    };
    let of =
        |heavy| rows(heavy).into_iter().map(|row| Row { x: Some(1.0), ..row }).collect::<Vec<_>>();
    let without = measured(&of(0), 64).await;
    assert!(without.iter().all(|lane| *lane > 0));
    assert_eq!(measured(&of(500), 64).await, without);
    assert_eq!(measured(&of(500), 8_192).await, without);
    assert_ne!(measured(&of(20), 64).await, without);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_who_is_too_much_work_is_so_however_the_rows_lie() {
    // No `%` between: each row goes back over the whole pattern.
    let pattern = format!("%{}%", "ab".repeat(250));
    let text = format!("SELECT COUNT(*) FILTER (WHERE town NOT LIKE '{pattern}') AS c FROM trips");
    let measured = async |rows: &[Row], partitions| {
        let world = World::new(rows, 1, 100_000);
        let plan = world.plan(&text, 100_000, 1);
        lanes(&plan, &world.catalog, &options(partitions, 512), 1).await
    };
    for (of_heavy, counted) in [(0, 0), (1_000, 1_000), (9_000, 0)] {
        let mut rows = rows(of_heavy);
        // Person by person as they lie, then in no order.
        assert_eq!(measured(&rows, 2).await, [39 * 3 + counted], "{of_heavy}");
        let mut draws = Draws(3);
        for last in (1..rows.len()).rev() {
            rows.swap(last, draws.below(last + 1));
        }
        for partitions in [1, 3] {
            assert_eq!(measured(&rows, partitions).await, [39 * 3 + counted], "{of_heavy}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_work_is_that_of_the_rows_a_table_cap_leaves_whatever_the_plans_own_cap() {
    // Cheap calls, many of them: such a question may be dealt, where no work is counted.
    let deep = (0..20).fold("n".to_owned(), |of, _| format!("abs({of})"));
    let figures: Vec<String> =
        (0..12).map(|i| format!("COUNT(*) FILTER (WHERE {deep} <> {i}) AS f{i}")).collect();
    let text = format!("SELECT {} FROM trips", figures.join(", "));
    let measured = async |rows: &[Row]| {
        let world = World::new(rows, 1, 100_000);
        let plan = world.plan(&text, 4, 1);
        lanes(&plan, &world.catalog, &options(2, 512), 1).await
    };
    let without = measured(&rows(0)).await;
    let mut heavy = rows(6_000);
    assert_eq!(measured(&heavy).await, without);
    heavy.reverse();
    let (first, second) = (heavy.remove(0), heavy.len() / 2);
    heavy.insert(second, first);
    heavy.rotate_left(7);
    assert_eq!(measured(&heavy).await, without);
    // With rows that are little work she counts, up to the plan's cap.
    assert_ne!(measured(&rows(100)).await, without);
}
