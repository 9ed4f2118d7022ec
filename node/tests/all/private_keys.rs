//! Groups whose keys are private: summed by key whatever the cut, capped by the person's own rows, and
//! shown from the threshold on.

use crate::world::*;
use cloister_dp::SeededEntropy;
use cloister_node::measure::measure;
use cloister_node::noise::noise;
use cloister_plan::{ContributionPlan, Question, Spend, plan};
use cloister_terms::limits::PRIVATE_KEY_BYTES_MAX;
use cloister_terms::{Body, Key, KeyValue, PrivateKeys};
use std::collections::BTreeMap;

/// By the numbers `n`, of which the dictionary lists none.
const BY_N: &str = "SELECT n, COUNT(*) AS trips, COUNT(DISTINCT rider) AS riders, SUM(clamp(zone, 0, 999)) AS zones \
     FROM trips WHERE zone BETWEEN 0 AND 999 GROUP BY n";

fn private(world: &World, sql: &str, row_cap: u32, group_cap: u32) -> ContributionPlan {
    private_for(world, sql, row_cap, group_cap, "1")
}

fn private_for(
    world: &World,
    sql: &str,
    row_cap: u32,
    group_cap: u32,
    epsilon: &str,
) -> ContributionPlan {
    let body = Body::Sql { text: sql.to_owned() };
    let spend = Spend {
        epsilon: Some(epsilon.parse().unwrap()),
        rho: None,
        delta: Some("0.01".parse().unwrap()),
    };
    let question =
        Question { body: &body, row_cap, group_cap, spend, diagnostics: false, rounds: 1 };
    plan(&world.dictionary, &question).unwrap().plan
}

/// The exact sums of the cells that `keys` name, those with anybody in them.
async fn cells(
    world: &World,
    plan: &ContributionPlan,
    cut: (usize, usize),
    keys: &[Key],
) -> BTreeMap<Key, Vec<i128>> {
    let (partitions, batch_rows) = cut;
    let options = options(partitions, batch_rows);
    let exact = measure(&charge(plan, None, 9), &world.catalog, &options).await.unwrap();
    let of = |key: &Key| Some((key.clone(), exact.cell_for_tests(key)?.to_vec()));
    keys.iter().filter_map(of).collect()
}

fn ints(numbers: impl IntoIterator<Item = i64>) -> Vec<Key> {
    numbers.into_iter().map(|n| vec![KeyValue::Int(n)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_binding_cap_sums_are_those_of_the_rows() {
    let mut draws = Draws(41);
    let mut rows = Vec::new();
    for rider in 0..200 {
        for _ in 0..1 + draws.below(5) {
            let n = [None, Some(i64::MIN), Some(-3), Some(7), Some(90_000)][draws.below(5)];
            rows.push(Row { n, zone: Some(draws.below(1_100) as i64), ..row(rider) });
        }
    }
    let world = World::new(&rows, 3, 20);
    let plan = private(&world, BY_N, 20, 10);
    let mut want: BTreeMap<Key, Vec<i128>> = BTreeMap::new();
    let mut riders: BTreeMap<(i64, i64), ()> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.zone.is_some_and(|zone| zone < 1_000)) {
        let Some(n) = row.n else { continue };
        let sums = want.entry(vec![KeyValue::Int(n)]).or_insert_with(|| vec![0; 3]);
        sums[0] += 1;
        sums[1] += i128::from(riders.insert((n, row.rider.unwrap()), ()).is_none());
        sums[2] += i128::from(row.zone.unwrap());
    }
    let keys = ints([i64::MIN, -3, 7, 90_000, 0, 8]);
    for cut in [(1, 8_192), (2, 7), (8, 64)] {
        assert_eq!(cells(&world, &plan, cut, &keys).await, want, "{cut:?}");
    }
    assert_eq!(want.len(), 4, "every number is somewhere");
}

/// Each of 40 riders is in 30 groups, of which 3 are kept: which ones must not depend on who else is there,
/// though numbers of keys within a batch do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a20_which_groups_survive_depends_on_the_persons_own_rows() {
    let mut draws = Draws(20);
    let mut rows = Vec::new();
    for rider in 0..40i64 {
        for n in 0..30 {
            rows.push(Row { n: Some((rider * 7 + n) % 60), ..row(rider) });
        }
    }
    draws.shuffle(&mut rows);
    let keys = ints(0..60);
    let world = World::new(&rows, 2, 50);
    let plan = private(&world, BY_N, 50, 3);
    let whole = cells(&world, &plan, (1, 8_192), &keys).await;
    let kept: i128 = whole.values().map(|sums| sums[1]).sum();
    assert_eq!(kept, 120, "three groups for each of 40");
    for gone in [0, 17, 39] {
        let fewer: Vec<Row> = rows.iter().filter(|row| row.rider != Some(gone)).copied().collect();
        let others = World::new(&fewer, 3, 50);
        let fewer = cells(&others, &plan, (2, 11), &keys).await;
        let mut changed = 0;
        for key in &keys {
            let zero = vec![0; 3];
            let (before, after) =
                (whole.get(key).unwrap_or(&zero), fewer.get(key).unwrap_or(&zero));
            if before != after {
                changed += 1;
                assert_eq!(before[1] - after[1], 1, "rider {gone}, {key:?}");
            }
        }
        assert_eq!(changed, 3, "rider {gone}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_shown_from_the_threshold_on_and_public_ones_keep_to_their_list() {
    let mut rows = Vec::new();
    for rider in 0..400i64 {
        // 400 riders at 1, one alone at each number from 1,000 up.
        rows.push(Row { n: Some(1), ..row(rider) });
        rows.push(Row { n: Some(1_000 + rider), town: Some("Nowhere"), ..row(rider) });
    }
    let world = World::new(&rows, 1, 50);
    let sql = "SELECT n, town, COUNT(*) AS trips FROM trips GROUP BY n, town";
    let plan = private(&world, sql, 50, 2);
    let charged = || charge(&plan, None, 9);
    let exact = measure(&charged(), &world.catalog, &options(2, 64)).await.unwrap();
    let noised = noise(exact.copy_for_tests(), charged(), &mut SeededEntropy::new(1)).unwrap();
    let town = |town: &str| KeyValue::Text(town.into());
    let shown = noised.keys_for_tests();
    assert_eq!(shown, [vec![KeyValue::Int(1), town(TOWNS[0])]], "`Nowhere` is not in the list");
    assert_eq!(noised.lanes_for_tests().len(), 2);
    let tau = i128::from(plan.shape.key_threshold().unwrap().people);
    assert!(noised.lanes_for_tests()[1] >= tau);
    // Without the list the lone numbers are keys too, and stay below the threshold but for few.
    let plan = private(&world, "SELECT n, COUNT(*) AS trips FROM trips GROUP BY n", 50, 2);
    let exact = measure(&charge(&plan, None, 9), &world.catalog, &options(2, 64)).await.unwrap();
    assert_eq!(exact.cell_for_tests(&vec![KeyValue::Int(1_399)]), Some(&[1, 1][..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_more_groups_than_may_be_shown_those_with_most_people_are() {
    let most = PrivateKeys::shown_max(2) as i64;
    // Two riders at each number below `most`, three at each of 50 above: at this loss noise is nothing, and
    // the threshold is two.
    let numbers = (0..most).chain(0..most).chain((most..most + 50).flat_map(|n| [n; 3]));
    let rows: Vec<Row> =
        numbers.zip(0..).map(|(n, rider)| Row { n: Some(n), ..row(rider) }).collect();
    let world = World::new(&rows, 1, 50);
    let sql = "SELECT n, COUNT(*) AS trips FROM trips GROUP BY n";
    let plan = private_for(&world, sql, 1, 1, "1000000");
    assert_eq!(plan.shape.key_threshold().unwrap().people, 2);
    let paid = charge(&plan, None, 9);
    let exact = measure(&paid, &world.catalog, &options(2, 8_192)).await.unwrap();
    let noised = noise(exact, paid, &mut SeededEntropy::new(1)).unwrap();
    let shown: Vec<Key> = ints((0..most - 50).chain(most..most + 50));
    assert_eq!(noised.keys_for_tests(), shown);
    let lanes: Vec<i128> = noised.lanes_for_tests().to_vec();
    assert_eq!((lanes[0], lanes[1]), (2, 2));
    assert_eq!(lanes[lanes.len() - 2..], [3, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absurd_text_is_in_no_group() {
    let long: &'static str = Box::leak("x".repeat(PRIVATE_KEY_BYTES_MAX + 1).into_boxed_str());
    let longest = &long[1..];
    let towns = [Some(long), Some(longest), Some(""), None];
    let rows: Vec<Row> =
        towns.iter().zip(0..).map(|(town, rider)| Row { town: *town, ..row(rider) }).collect();
    let world = World::new(&rows, 1, 50);
    let sql = "SELECT upper(town) AS t, COUNT(*) AS trips FROM trips GROUP BY upper(town)";
    let mut dictionary = serde_json::to_value(&world.dictionary).unwrap();
    dictionary["datasets"][0]["columns"][1].as_object_mut().unwrap().remove("domain");
    let world = World { dictionary: serde_json::from_value(dictionary).unwrap(), ..world };
    let plan = private(&world, sql, 50, 2);
    let keys = [long, longest, ""].map(|text| vec![KeyValue::Text(text.to_uppercase())]);
    let found = cells(&world, &plan, (1, 64), &keys).await;
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [keys[2].clone(), keys[1].clone()]);
}

/// The round after: `keys` were found, and each is asked of every partner.
fn asked(
    world: &World,
    sql: &str,
    (row_cap, group_cap): (u32, u32),
    keys: &[Key],
) -> ContributionPlan {
    let body = Body::Sql { text: sql.to_owned() };
    let (epsilon, delta) = ("1000000".parse().unwrap(), "0.01".parse().unwrap());
    let spend = Spend { epsilon: Some(epsilon), rho: None, delta: Some(delta) };
    let question =
        Question { body: &body, row_cap, group_cap, spend, diagnostics: false, rounds: 2 };
    let planned = plan(&world.dictionary, &question).unwrap();
    planned.of_round(2, &planned.plan.shape.of_keys(keys.to_vec()))
}

/// Each of 40 riders is in 30 groups, of which at most 3 are asked for: with room for 3, none of those may
/// lose its place to a group that nobody is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a20_what_is_not_asked_for_takes_no_place_among_a_persons_groups() {
    let rows = (0..40i64).flat_map(|rider| {
        (0..30).map(move |n| Row { n: Some((rider * 7 + n) % 60), ..row(rider) })
    });
    let rows: Vec<Row> = rows.collect();
    let world = World::new(&rows, 2, 50);
    let keys = ints([-1, 5, 25, 45, 1_000]);
    let plan = asked(&world, BY_N, (50, 3), &keys);
    let want = |n: i64| rows.iter().filter(|row| row.n == Some(n)).count() as i128;
    for cut in [(1, 8_192), (3, 16)] {
        let found = cells(&world, &plan, cut, &ints(-1..60)).await;
        let people: Vec<_> = found.iter().map(|(key, sums)| (key.clone(), sums[1])).collect();
        assert_eq!(
            people,
            ints([5, 25, 45]).into_iter().zip([5, 25, 45].map(want)).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_every_group_asked_for_is_answered_also_those_with_nobody_in_them() {
    let rows: Vec<Row> = (0..9).map(|rider| Row { n: Some(rider % 3), ..row(rider) }).collect();
    let world = World::new(&rows, 1, 50);
    let keys = ints([-7, 0, 1, 99]);
    let plan = asked(&world, "SELECT n, COUNT(*) AS trips FROM trips GROUP BY n", (50, 2), &keys);
    assert_eq!(plan.shape.lanes.len(), 1, "nothing is spent on a count of people");
    let paid = charge(&plan, None, 9);
    let exact = measure(&paid, &world.catalog, &options(2, 4)).await.unwrap();
    let noised = noise(exact, paid, &mut SeededEntropy::new(1)).unwrap();
    assert!(noised.keys_for_tests().is_empty(), "they are known");
    assert_eq!(noised.lanes_for_tests(), [0, 3, 3, 0], "at this loss noise is nothing");
    // Before any key is found there is nothing to answer.
    let plan = asked(&world, "SELECT n, COUNT(*) AS trips FROM trips GROUP BY n", (50, 2), &[]);
    let paid = charge(&plan, None, 9);
    let exact = measure(&paid, &world.catalog, &options(2, 4)).await.unwrap();
    assert!(noise(exact, paid, &mut SeededEntropy::new(1)).is_err());
}
