//! Diagnostics are counts of people: each person adds 0 or 1 to each, once, by their own rows alone, and they
//! are noised like all else (A2 to A9).

use crate::modules::sha256;
use crate::world::*;
use cloister_dp::SeededEntropy;
use cloister_node::ledger::Charge;
use cloister_node::measure::{MeasureOptions, measure};
use cloister_node::noise::noise;
use cloister_node::scan::persons::PersonLimits;
use cloister_plan::{ContributionPlan, Question, Spend, plan};
use cloister_terms::{Body, Dictionary, Name, Served};

/// Ways to cut the same rows into partitions and batches.
const CUTS: [(usize, usize); 4] = [(1, 8_192), (2, 7), (8, 1), (3, 64)];
/// So large a loss that the noise of a count is none.
const NO_NOISE: &str = "1000000";

fn told(
    dictionary: &Dictionary,
    body: &Body,
    caps: (u32, u32),
    delta: Option<&str>,
) -> ContributionPlan {
    let epsilon = Some(NO_NOISE.parse().unwrap());
    let delta = delta.map(|delta| delta.parse().unwrap());
    let spend = Spend { epsilon, rho: None, delta };
    let (row_cap, group_cap) = caps;
    let question = Question { body, row_cap, group_cap, spend, diagnostics: true, rounds: 1 };
    plan(dictionary, &question).unwrap().plan
}

fn sql(text: &str) -> Body {
    Body::Sql { text: text.to_owned() }
}

/// Exact cells and diagnostics of rows.
async fn measured(
    world: &World,
    charge: &Charge,
    options: &MeasureOptions,
) -> (Vec<i128>, Vec<i128>) {
    let exact = measure(charge, &world.catalog, options).await.unwrap();
    (exact.lanes_for_tests().to_vec(), exact.diagnostics_for_tests().to_vec())
}

/// Rows of one kind of rider with what they are to be counted as: contributing, capped, clipped. At most 6
/// rows of the table, 3 of those used, in 2 towns; `n` within -1000..1000, `x` from 0.
fn kinds() -> Vec<(Vec<Row>, [i128; 3])> {
    let of = |town: &'static str, n: i64| Row { town: Some(town), n: Some(n), ..row(0) };
    let stray = |n| of("Nowhere", n);
    let home = |n| of(TOWNS[0], n);
    vec![
        (vec![home(5); 2], [1, 0, 0]),
        (vec![home(2_000); 5], [1, 1, 1]),
        (vec![home(0), of(TOWNS[1], 0), of(TOWNS[2], 0)], [1, 1, 0]),
        (vec![stray(0); 8], [0, 1, 0]),
        (vec![stray(0); 5], [0, 0, 0]),
        (vec![stray(9_999), of(TOWNS[1], 1)], [1, 0, 0]),
        (vec![home(i64::MIN), Row { n: None, ..home(0) }], [1, 0, 1]),
        (vec![home(1_000), home(-1_000)], [1, 0, 0]),
        (vec![Row { x: Some(-0.25), ..home(1) }], [1, 0, 1]),
        (vec![Row { x: Some(f64::NAN), ..home(1) }, Row { x: Some(3.0), ..home(1) }], [1, 0, 0]),
        // Beyond the range of a clamp in the question, not of its column.
        (vec![Row { zone: Some(700), ..home(1) }], [1, 0, 1]),
    ]
}

const BY_TOWN: &str = "SELECT town, COUNT(*) AS trips, SUM(n) AS total, SUM(clamp(x, 0, 999.5)) AS sum, \
     AVG(clamp(zone, 0, 500) * 0.5) AS zones FROM trips GROUP BY town";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_huge_loss_diagnostics_are_the_figures_of_the_rows() {
    let (kinds, mut draws) = (kinds(), Draws(3));
    let (mut rows, mut expected) = (Vec::new(), vec![0i128; 3]);
    for rider in 0..150 {
        let (own, counted) = &kinds[draws.below(kinds.len())];
        rows.extend(own.iter().map(|row| Row { rider: Some(rider), ..*row }));
        expected.iter_mut().zip(counted).for_each(|(sum, one)| *sum += one);
    }
    rows.extend(kinds[1].0.iter().map(|row| Row { rider: None, ..*row }));
    draws.shuffle(&mut rows);
    assert!(expected.iter().all(|count| (10..140).contains(count)), "{expected:?}");
    let world = World::new(&rows, 3, 6);
    let plan = told(&world.dictionary, &sql(BY_TOWN), (3, 2), None);
    let paid = || charge(&plan, None, 7);
    for (partitions, batch_rows) in CUTS {
        let (cells, found) = measured(&world, &paid(), &options(partitions, batch_rows)).await;
        assert_eq!(found, expected, "{partitions} {batch_rows}");
        assert_eq!(cells.len(), plan.shape.cells_len().unwrap());
    }
    let exact = measure(&paid(), &world.catalog, &options(2, 64)).await.unwrap();
    let noised = noise(exact, paid(), &mut SeededEntropy::new(1)).unwrap();
    let released = noised.lanes_for_tests();
    assert_eq!(released.len(), plan.shape.vector_len().unwrap());
    assert_eq!(released[plan.shape.cells_len().unwrap()..], expected);
    assert_eq!(plan.shape.vector_len().unwrap() - plan.shape.cells_len().unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_wish_nothing_is_counted_or_released() {
    let world = World::new(&Draws(3).rows(0..20, 9), 1, 6);
    let plan = world.plan(BY_TOWN, 3, 2);
    let paid = || charge(&plan, None, 7);
    let exact = measure(&paid(), &world.catalog, &options(1, 64)).await.unwrap();
    assert!(exact.diagnostics_for_tests().is_empty());
    let noised = noise(exact, paid(), &mut SeededEntropy::new(1)).unwrap();
    assert_eq!(noised.lanes_for_tests().len(), plan.shape.cells_len().unwrap());
}

/// What each rider adds alone, added up, is what all add together, whatever the cut: nobody's flag depends on
/// another, and nobody is told of twice. Riders are larger than the memory for one, over the caps, at no cell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_one_person_changes_each_diagnostic_by_at_most_one_and_nothing_else() {
    let questions = [
        BY_TOWN,
        // A step of one table; a join of a table with itself, one of them filtered.
        "SELECT town, COUNT(*) AS days, SUM(clamp(s, -5, 600)) AS total FROM \
         (SELECT rider, town, zone, SUM(n) AS s FROM trips GROUP BY rider, town, zone) GROUP BY town",
        "SELECT a.town, COUNT(*) AS pairs, SUM(a.n) AS total FROM trips a \
         JOIN trips b ON a.rider = b.rider AND a.town = b.town WHERE b.zone > 3 GROUP BY a.town",
    ];
    for (turn, text) in questions.into_iter().enumerate() {
        let mut draws = Draws(turn as u64);
        let mut rows = draws.rows(0..16, 14);
        draws.shuffle(&mut rows);
        let world = World::new(&rows, 3, 5);
        let plan = told(&world.dictionary, &sql(text), (4, 2), None);
        let person_limits = PersonLimits { rows: 11, ..PersonLimits::default() };
        let cut = |(partitions, batch_rows)| MeasureOptions {
            person_limits,
            ..options(partitions, batch_rows)
        };
        let paid = charge(&plan, None, 7);
        let whole = measured(&world, &paid, &cut(CUTS[0])).await;
        for other in CUTS {
            assert_eq!(measured(&world, &paid, &cut(other)).await, whole, "{text} {other:?}");
        }
        assert!(whole.1.iter().all(|count| (1..16).contains(count)), "{text} {:?}", whole.1);
        let mut sum = (vec![0; whole.0.len()], vec![0; whole.1.len()]);
        for rider in 0..16 {
            let is_hers = |row: &&Row| row.rider == Some(rider);
            let hers: Vec<Row> = rows.iter().filter(is_hers).copied().collect();
            let hers = World::new(&hers, 1 + draws.below(3), 5);
            let alone = measured(&hers, &paid, &cut(CUTS[draws.below(4)])).await;
            assert!(alone.1.iter().all(|count| (0..=1).contains(count)), "{text} {:?}", alone.1);
            let adds = alone.0.iter().any(|lane| *lane != 0);
            assert!(!adds || alone.1[0] == 1, "who adds contributes");
            sum.0.iter_mut().zip(&alone.0).for_each(|(sum, one)| *sum += one);
            sum.1.iter_mut().zip(&alone.1).for_each(|(sum, one)| *sum += one);
            let rest: Vec<Row> = rows.iter().filter(|row| !is_hers(row)).copied().collect();
            let rest = World::new(&rest, 2, 5);
            let rest = measured(&rest, &paid, &cut(CUTS[draws.below(4)])).await;
            let changed = |whole: &[i128], rest: &[i128]| -> Vec<i128> {
                whole.iter().zip(rest).map(|(whole, rest)| whole - rest).collect()
            };
            assert_eq!((changed(&whole.0, &rest.0), changed(&whole.1, &rest.1)), alone, "{text}");
        }
        assert_eq!(sum, whole, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_of_some_cells_counts_the_people_of_those() {
    let at = |rider: i64, town: usize| Row { town: Some(TOWNS[town]), n: Some(1), ..row(rider) };
    // 30 riders in the first town, 12 of them also in the second: no more groups than are kept.
    let mut rows: Vec<Row> = (0..30).map(|rider| at(rider, 0)).collect();
    rows.extend((0..12).map(|rider| at(rider, 1)));
    let world = World::new(&rows, 2, 6);
    let mut plan = told(&world.dictionary, &sql(BY_TOWN), (3, 1), None);
    let (own, none): (Name, Name) = ("own".parse().unwrap(), "none".parse().unwrap());
    plan.shape.served = vec![Served { partner: own.clone(), positions: vec![vec![1, 2]] }];
    for (partner, people) in [(&own, Some([12, 0, 0])), (&none, None)] {
        let paid = || charge(&plan, None, 7).at(partner.clone());
        let exact = measure(&paid(), &world.catalog, &options(2, 7)).await.unwrap();
        let noised = noise(exact, paid(), &mut SeededEntropy::new(1)).unwrap();
        let released = noised.lanes_for_tests();
        assert_eq!(released.len(), plan.shape.vector_len_of(partner).unwrap());
        match people {
            Some(people) => assert_eq!(released[2 * plan.shape.lanes.len()..], people),
            None => assert!(released.is_empty()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn diagnostics_close_the_keys_that_are_shown() {
    let mut rows: Vec<Row> = (0..60).map(|rider| Row { n: Some(7), ..row(rider) }).collect();
    // In one group more than is kept.
    rows.extend((0..20).map(|rider| Row { n: Some(1_000 + rider), ..row(rider) }));
    let world = World::new(&rows, 2, 6);
    let text = "SELECT n, COUNT(*) AS trips, COUNT(DISTINCT rider) AS riders FROM trips GROUP BY n";
    let plan = told(&world.dictionary, &sql(text), (3, 1), Some("0.000001"));
    let paid = || charge(&plan, None, 7);
    let exact = measure(&paid(), &world.catalog, &options(2, 7)).await.unwrap();
    assert_eq!(exact.diagnostics_for_tests(), [60, 20, 0]);
    let noised = noise(exact, paid(), &mut SeededEntropy::new(1)).unwrap();
    let (keys, released) = (noised.keys_for_tests().len(), noised.lanes_for_tests());
    assert!(keys > 0, "the largest group is shown");
    let in_cells = keys * plan.shape.lanes.len();
    assert_eq!(released[in_cells..], [60, 20, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persons_on_whom_a_module_gives_up_are_counted() {
    // Traps on 66, in the way the next row says; gives one pair to anybody else.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/evil/trap_if_bob.wat");
    let text = std::fs::read_to_string(path).unwrap();
    // The same, giving a float: the bits of 1.0 instead of 1.
    let float = format!("(call $one (i64.const {}))", 1f64.to_bits());
    let of_floats = text.replace("(call $one (i64.const 1))", &float);
    assert_ne!(of_floats, text);
    // The same, giving a second pair of the same place, of 0: not the short way of few distinct outputs.
    let (one, two) = ("$value))\n    (i32.const 1)", "$value))\n    (i32.const 2)");
    let mut modules = Vec::new();
    for (numbers, text) in [("int", text), ("float", of_floats)] {
        assert!(text.contains(one));
        modules.push((numbers, wat::parse_str(text.replace(one, two)).unwrap()));
        modules.push((numbers, wat::parse_str(text).unwrap()));
    }
    let (mut rows, mut draws) = (Vec::new(), Draws(8));
    let (mut expected, persons) = ([0i128; 4], 70i64);
    for rider in 0..persons {
        let trip = |at: i64, n: i64| Row { at, n: Some(n), ..row(rider) };
        let traps = draws.below(3) == 0;
        let own =
            if traps { vec![trip(0, 66), trip(1, rider % 8)] } else { vec![trip(0, rider % 9)] };
        rows.extend(own);
        expected[if traps { 3 } else { 0 }] += 1;
    }
    // Over the rows that the module sees.
    for rider in persons + 1..persons + 4 {
        rows.extend((0..6).map(|at| Row { at, n: Some(1), ..row(rider) }));
        expected[0] += 1;
        expected[1] += 1;
    }
    // Too large to be held: never shown to the module.
    rows.extend((0..30).map(|at| Row { at, n: Some(1), ..row(persons) }));
    expected[1] += 1;
    assert!(expected[0] > 10 && expected[3] > 10);
    let world = World::new(&rows, 2, 6);
    let cells = serde_json::json!([{ "int": "0" }, { "int": "1" }]);
    let ranges = [(("0", "1"), 0), (("-1", "0"), expected[0])];
    for ((numbers, wasm), (range, clipped)) in
        modules.iter().flat_map(|module| ranges.map(|range| (module, range)))
    {
        let body = serde_json::json!({ "module": {
            "sha256": sha256(wasm), "rows": "SELECT n FROM trips",
            "keys": [{ "name": "cell", "values": cells }],
            "lanes": [{ "name": "people", "value": { "min": range.0, "max": range.1 } }],
            "numbers": numbers, "outputs": "sparse",
            "fuel_per_person": 100_000 } });
        let body: Body = serde_json::from_value(body).unwrap();
        let plan = told(&world.dictionary, &body, (4, 2), None);
        expected[2] = clipped;
        for (partitions, batch_rows) in CUTS {
            let person_limits = PersonLimits { rows: 20, ..PersonLimits::default() };
            let options = MeasureOptions { person_limits, ..options(partitions, batch_rows) };
            let paid = charge(&plan, Some(wasm.clone()), 5);
            let (_, found) = measured(&world, &paid, &options).await;
            assert_eq!(found, expected, "{numbers} {partitions} {batch_rows} {range:?}");
        }
    }
}
