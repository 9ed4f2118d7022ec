//! Rows that the files hold person by person are measured as they lie; the sums are those of sorted rows, and
//! rows that lie otherwise are never taken for standing (A3, A26).

use crate::world::*;
use cloister_node::catalog::Catalog;
use cloister_node::measure::MeasureOptions;
use cloister_node::scan::persons::PersonLimits;
use cloister_node::scan::scan_standing;
use cloister_plan::ContributionPlan;

const SQL: &str = "SELECT zone, COUNT(*) AS rows_there, COUNT(DISTINCT rider) AS riders, SUM(n) AS n_total FROM trips GROUP BY zone";

/// One file for each list of rows.
fn world(files: &[&[Row]]) -> World {
    let folder = tempfile::tempdir().unwrap();
    for (file, rows) in files.iter().enumerate() {
        write_parquet(&folder.path().join(format!("{file}.parquet")), &batch(rows), 16);
    }
    let dictionary = dictionary(600);
    let catalog = Catalog::open(&[source(folder.path().to_owned())], &dictionary).unwrap();
    World { folder, dictionary, catalog }
}

/// Riders 0 and up, each with some rows: enough that caps choose.
fn rows(riders: i64, draws: &mut Draws) -> Vec<Row> {
    let mut rows = Vec::new();
    for rider in 0..riders {
        for _ in 0..1 + draws.below(9) {
            let zone = Some(draws.below(7) as i64);
            let n = Some(draws.below(2_000) as i64 - 1_000);
            rows.push(Row { zone, n, at: draws.below(5) as i64, ..row(rider) });
        }
    }
    rows
}

fn sql_plan(world: &World) -> ContributionPlan {
    world.plan(SQL, 6, 3)
}

/// Persons found when the rows are taken as they lie, or `None` when they do not stand by person.
async fn standing(
    plan: &ContributionPlan,
    world: &World,
    options: &MeasureOptions,
) -> Option<usize> {
    let mut found = scan_standing(&world.catalog, &plan.tables[0], options).await.unwrap()?;
    let (mut persons, mut ends) = (0, Vec::new());
    for mut part in std::mem::take(&mut found.parts) {
        loop {
            match part.blocks.next().await {
                Ok(Some(block)) => persons += block.persons().count(),
                Ok(None) => break,
                Err(_) if part.ends.is_broken() => return None,
                Err(fault) => panic!("{fault}"),
            }
        }
        ends.push(part.ends);
    }
    let mut kept_back = found.kept_back(ends).unwrap()?;
    while let Some(block) = kept_back.next().await.unwrap() {
        persons += block.persons().count();
    }
    Some(persons)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_rows_that_stand_by_person_give_the_sums_of_sorted_ones() {
    let mut draws = Draws(41);
    let in_order = rows(60, &mut draws);
    let mut shuffled = in_order.clone();
    draws.shuffle(&mut shuffled);
    let sorted = World::new(&shuffled, 3, 600);
    let plan = sql_plan(&sorted);
    assert_eq!(standing(&plan, &sorted, &options(1, 100)).await, None);
    let want = lanes(&plan, &sorted.catalog, &options(2, 100), 9).await;
    for turn in 0..12 {
        // Cut anywhere, in the middle of persons too.
        let mut cuts: Vec<usize> = (0..turn % 4).map(|_| draws.below(in_order.len())).collect();
        cuts.extend([0, in_order.len()]);
        cuts.sort_unstable();
        let files: Vec<&[Row]> = cuts.windows(2).map(|ends| &in_order[ends[0]..ends[1]]).collect();
        let world = world(&files);
        for partitions in [1, 2, 5] {
            let options = options(partitions, [1, 3, 50, 8_192][turn % 4]);
            assert_eq!(standing(&plan, &world, &options).await, Some(60), "{cuts:?} {partitions}");
            assert_eq!(
                lanes(&plan, &world.catalog, &options, 9).await,
                want,
                "{cuts:?} {partitions}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_rows_that_lie_otherwise_are_sorted() {
    let mut draws = Draws(42);
    let all = rows(12, &mut draws);
    let of = |riders: &[i64]| -> Vec<Row> {
        let rows_of = |rider: i64| all.iter().filter(move |row| row.rider == Some(rider)).copied();
        riders.iter().flat_map(|rider| rows_of(*rider)).collect()
    };
    let layouts: [&[&[i64]]; 6] = [
        &[&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]],
        // In order but for the last.
        &[&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]],
        // Files in order that reach into one another.
        &[&[0, 2, 4, 6, 8, 10], &[1, 3, 5, 7, 9, 11]],
        &[&[0, 1, 2, 3, 9], &[4, 5, 6, 7, 8, 10, 11]],
        &[&[0, 1, 2, 3, 4, 5], &[6, 7, 8, 11], &[9, 10]],
        // Files whose own order is right, named in another.
        &[&[6, 7, 8, 9, 10, 11], &[0, 1, 2, 3, 4, 5]],
    ];
    let whole = of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let sorted = world(&[&whole]);
    let plan = sql_plan(&sorted);
    let want = lanes(&plan, &sorted.catalog, &options(1, 7), 3).await;
    for (nth, layout) in layouts.iter().enumerate() {
        let files: Vec<Vec<Row>> = layout.iter().map(|riders| of(riders)).collect();
        let world = world(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for (partitions, batch_rows) in [(1, 4), (1, 8_192), (2, 5), (3, 8_192)] {
            let options = options(partitions, batch_rows);
            let found = standing(&plan, &world, &options).await;
            // Files that only change places stand, where each has a stream of its own.
            let may_stand = nth == 5 && partitions > 1;
            assert!(
                found.is_none() || (may_stand && found == Some(12)),
                "{nth} {partitions} {found:?}"
            );
            assert_eq!(lanes(&plan, &world.catalog, &options, 3).await, want, "{nth} {partitions}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_one_person_in_every_file_is_one_person() {
    // Eight rows of one rider in four files, alone, and between others.
    let one: Vec<Row> =
        (0..8).map(|at| Row { zone: Some(at % 3), n: Some(at), at, ..row(5) }).collect();
    let others = [Row { zone: Some(1), ..row(4) }, Row { zone: Some(1), ..row(6) }];
    for (before, after, persons) in [(&[][..], &[][..], 1), (&others[..1], &others[1..], 3)] {
        let first = [before, &one[..2]].concat();
        let last = [&one[6..], after].concat();
        let apart = world(&[&first, &one[2..4], &one[4..6], &last]);
        let together = world(&[&[before, &one, after].concat()]);
        let plan = sql_plan(&apart);
        let want = lanes(&plan, &together.catalog, &options(1, 100), 7).await;
        for partitions in [1, 2, 4] {
            let options = options(partitions, 1);
            assert_eq!(standing(&plan, &apart, &options).await, Some(persons), "{partitions}");
            assert_eq!(lanes(&plan, &apart.catalog, &options, 7).await, want, "{partitions}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_rows_without_a_unit_and_persons_too_large_change_nothing() {
    let mut draws = Draws(43);
    let mut lying = rows(20, &mut draws);
    let huge: Vec<Row> = (0..30).map(|at| Row { zone: Some(at % 7), at, ..row(20) }).collect();
    lying.extend(&huge);
    lying.extend((21..25).map(row));
    let nobody = Row { rider: None, ..row(0) };
    let mut with_nobody = lying.clone();
    (0..10).for_each(|place| with_nobody.insert(place * 7, nobody));
    let mut shuffled = with_nobody.clone();
    draws.shuffle(&mut shuffled);
    let (plain, mixed) = (world(&[&with_nobody]), world(&[&shuffled]));
    let plan = sql_plan(&plain);
    // The huge one in the middle, at the end, at the beginning of what a stream sees.
    let end = lying.len() - 4;
    let edges = [
        (world(&[&lying[..end]]), world(&[&lying[..end - 30]])),
        (world(&[&lying[end - 30..]]), world(&[&lying[end..]])),
    ];
    for batch_rows in [1, 4, 8_192] {
        let person_limits = PersonLimits { rows: 25, ..PersonLimits::default() };
        let options = MeasureOptions { person_limits, ..options(2, batch_rows) };
        let want = lanes(&plan, &mixed.catalog, &options, 1).await;
        assert_eq!(lanes(&plan, &plain.catalog, &options, 1).await, want, "{batch_rows}");
        for (edge, without) in &edges {
            let found = lanes(&plan, &edge.catalog, &options, 1).await;
            assert_eq!(found, lanes(&plan, &without.catalog, &options, 1).await, "{batch_rows}");
            assert!(found.iter().any(|lane| *lane != 0));
        }
    }
    let empty = world(&[&[nobody]]);
    let lanes = lanes(&plan, &empty.catalog, &options(2, 10), 1).await;
    assert!(lanes.iter().all(|lane| *lane == 0));
}
