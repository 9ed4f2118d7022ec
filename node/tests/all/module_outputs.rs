//! The forms in which a module gives its numbers: all of them in order, as floats, clipped as a vector (A4, A26),
//! with the shipped module that learns a line.

use crate::modules::sha256;
use crate::world::*;
use cloister_node::catalog::Catalog;
use cloister_node::fault::Fault;
use cloister_node::measure::measure;
use cloister_node::mutant::Mutant;
use cloister_plan::{ContributionPlan, Question, Spend, plan};
use cloister_sandbox::RunnerError;
use cloister_terms::{Body, Noise};
use std::path::PathBuf;

/// Steps of a minute, and of a kilometre.
const GRID_BITS: u8 = 6;
/// The longest vector of a person, in steps: 50.
const NORM_STEPS: i64 = 50 << GRID_BITS;

fn gradient_module() -> Vec<u8> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/modules/speed-gradient.wasm");
    std::fs::read(path).expect("examples/modules/speed-gradient.wasm is part of the checkout")
}

/// `trips` with a distance and a time, both floats and perhaps absent.
fn world(rows: &[Row]) -> World {
    let mut world = World::new(rows, 2, 600);
    let float =
        |name: &str| serde_json::json!({ "name": name, "type": "float64", "description": "" });
    let dictionary = serde_json::json!({ "datasets": [{
        "name": "trips", "description": "", "unit_column": "rider", "order_columns": ["at"],
        "rows_per_unit_max": 64,
        "columns": [
            { "name": "rider", "type": "int64", "description": "", "identifier": true },
            { "name": "at", "type": "timestamp", "description": "" },
            float("km"), float("minutes"),
            { "name": "legs", "type": "int64", "description": "" } ] }] });
    world.dictionary = serde_json::from_value(dictionary).unwrap();
    let mut source = source(world.folder.path().to_owned());
    source.columns = [
        ("rider", "rider"),
        ("at", "at"),
        ("km", "x"),
        ("minutes", "CAST(n AS DOUBLE)"),
        ("legs", "n"),
    ]
    .map(|(column, sql)| (column.parse().unwrap(), sql.to_owned()))
    .into();
    world.catalog = Catalog::open(&[source], &world.dictionary).unwrap();
    world
}

fn trip(rider: i64, at: i64, km: Option<f64>, minutes: Option<i64>) -> Row {
    Row { x: km, n: minutes, at, ..row(rider) }
}

fn body(wasm: &[u8], rows: &str, norm_max_steps: Option<i64>) -> Body {
    let lane = |name: &str| {
        serde_json::json!({ "name": name,
            "value": { "min": "-1000", "max": "1000", "grid_bits": GRID_BITS } })
    };
    let mut module = serde_json::json!({
        "sha256": sha256(wasm), "rows": rows, "keys": [],
        "lanes": [lane("level"), lane("slope"), lane("people")],
        "numbers": "float", "outputs": "dense", "fuel_per_person": 1_000_000 });
    if let Some(steps) = norm_max_steps {
        module["norm_max_steps"] = steps.into();
    }
    serde_json::from_value(serde_json::json!({ "module": module })).unwrap()
}

fn planned(world: &World, body: &Body) -> ContributionPlan {
    let spend = Spend { rho: Some("0.1".parse().unwrap()), ..Spend::default() };
    let question =
        Question { body, row_cap: 64, group_cap: 1, spend, diagnostics: false, rounds: 1 };
    plan(&world.dictionary, &question).unwrap().plan
}

async fn sums(
    world: &World,
    plan: &ContributionPlan,
    wasm: &[u8],
    cut: (usize, usize),
) -> Vec<i128> {
    let paid = charge(plan, Some(wasm.to_vec()), 5);
    let exact = measure(&paid, &world.catalog, &options(cut.0, cut.1)).await.unwrap();
    exact.lanes_for_tests().to_vec()
}

/// What the module and the host make of one person, in native code: the mean gradient, on the grid, within its
/// range, and no longer than the norm.
fn person(trips: &[(f64, f64)], norm_steps: Option<i64>) -> [i128; 3] {
    let mut values = [0.0; 3];
    for (km, minutes) in trips {
        let too_long = 4.0 + 3.0 * km - minutes;
        values[0] += 2.0 * too_long;
        values[1] += 2.0 * too_long * km;
    }
    if !trips.is_empty() {
        let count = trips.len() as f64;
        values = [values[0] / count, values[1] / count, 1.0];
    }
    let range = f64::from(1_000 << GRID_BITS);
    let steps = values.map(|value| {
        (value * f64::from(1 << GRID_BITS)).clamp(-range, range).round_ties_even() as i128
    });
    let squared: i128 = steps.iter().map(|part| part * part).sum();
    match norm_steps.map(i128::from) {
        Some(norm) if squared > norm * norm => {
            let length = (1..).find(|length: &i128| length * length >= squared).unwrap();
            steps.map(|part| part * norm / length)
        }
        _ => steps,
    }
}

/// Riders with up to nine trips, some with gaps, some far from any line.
fn riders() -> Vec<Vec<Row>> {
    let mut draws = Draws(31);
    let riders = (0..60).map(|rider| {
        let trips = (0..draws.below(9)).map(|at| {
            let km = (draws.below(6) > 0).then(|| draws.below(400) as f64 / 16.0);
            let wild = if rider % 7 == 0 { 900 } else { 60 };
            let minutes = (draws.below(6) > 0).then(|| draws.below(wild) as i64);
            trip(rider, at as i64, km, minutes)
        });
        trips.collect()
    });
    riders.collect()
}

fn known(rows: &[Row]) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((row.x?, row.n? as f64))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_a_modules_vector_of_floats_is_summed_rounded_and_clipped_person_by_person() {
    let (wasm, riders) = (gradient_module(), riders());
    let rows: Vec<Row> = riders.iter().flatten().copied().collect();
    let world = world(&rows);
    let mut clipped = 0;
    for norm in [None, Some(NORM_STEPS)] {
        let body = body(&wasm, "SELECT km, minutes FROM trips", norm);
        let plan = planned(&world, &body);
        let mut expected = [0i128; 3];
        for rider in &riders {
            let own = person(&known(rider), norm);
            clipped += usize::from(norm.is_some() && own != person(&known(rider), None));
            expected.iter_mut().zip(own).for_each(|(sum, part)| *sum += part);
        }
        for cut in [(1, 8_192), (2, 7), (5, 1)] {
            assert_eq!(sums(&world, &plan, &wasm, cut).await, expected, "{norm:?} {cut:?}");
        }
    }
    assert!((10..50).contains(&clipped), "{clipped} of {} riders were clipped", riders.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a04_a25_removing_a_person_moves_a_clipped_vector_by_its_norm_at_most() {
    let (wasm, riders) = (gradient_module(), riders());
    let all: Vec<Row> = riders.iter().flatten().copied().collect();
    let rows = "SELECT km, minutes FROM trips";
    let everybody = world(&all);
    let plan = planned(&everybody, &body(&wasm, rows, Some(NORM_STEPS)));
    let with = sums(&everybody, &plan, &wasm, (2, 50)).await;
    let mut longest = 0;
    for gone in [0, 7, 14, 21, 33] {
        let others: Vec<Row> = all.iter().filter(|row| row.rider != Some(gone)).copied().collect();
        let without = sums(&world(&others), &plan, &wasm, (1, 50)).await;
        let moved = with.iter().zip(&without).map(|(one, other)| one - other);
        let squared: i128 = moved.map(|part| part * part).sum();
        assert!(squared <= i128::from(NORM_STEPS).pow(2), "rider {gone}: {squared}");
        longest = longest.max(squared);
    }
    assert!(longest > i128::from(NORM_STEPS - 4).pow(2), "somebody reaches the norm: {longest}");
    // And would pass it, were the vector not clipped.
    let paid = charge(&plan, Some(wasm.to_vec()), 5).lacking(Mutant::NormOff);
    let unclipped = measure(&paid, &everybody.catalog, &options(1, 50)).await.unwrap();
    assert_ne!(unclipped.lanes_for_tests(), with, "a25");
    let wild: Vec<Row> = all.iter().filter(|row| row.rider == Some(7)).copied().collect();
    let alone = world(&wild);
    let unclipped = measure(&paid, &alone.catalog, &options(1, 50)).await.unwrap();
    let squared: i128 = unclipped.lanes_for_tests().iter().map(|part| part * part).sum();
    assert!(squared > i128::from(NORM_STEPS).pow(2), "{squared}");
    // The noise is that of one release over the norm: rho = norm^2 / (2 sigma^2).
    for lane in &plan.shape.lanes {
        let Noise::DiscreteGaussian { sigma_sq } = lane.noise else { panic!("offered in rho") };
        let want = (NORM_STEPS as f64).powi(2) / 0.2;
        assert!((sigma_sq.to_f64() / want - 1.0).abs() < 1e-9, "{sigma_sq:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_was_built_for_other_columns_or_outputs_is_refused_by_name() {
    let (wasm, world) = (gradient_module(), world(&[trip(1, 1, Some(2.0), Some(9))]));
    let refused = async |body: &Body| {
        let paid = charge(&planned(&world, body), Some(wasm.clone()), 1);
        match measure(&paid, &world.catalog, &options(1, 9)).await.unwrap_err() {
            Fault::Sandbox(RunnerError::Refused(refusal)) => refusal.reason,
            other => panic!("{other}"),
        }
    };
    let other_kind = body(&wasm, "SELECT km, legs FROM trips", None);
    assert_eq!(refused(&other_kind).await, "signature");
    let one_less = body(&wasm, "SELECT km FROM trips", None);
    assert_eq!(refused(&one_less).await, "input_size");
    let Body::Module(mut sparse) = body(&wasm, "SELECT km, minutes FROM trips", None) else {
        panic!("a module")
    };
    let Body::Module(ints) = body(&wasm, "SELECT km, minutes FROM trips", None) else {
        panic!("a module")
    };
    let numbers = cloister_terms::ModuleNumbers::Int;
    let ints = Body::Module(cloister_terms::ModuleBody { numbers, ..ints });
    assert_eq!(refused(&ints).await, "signature", "floats are not to be read as integers");
    // So few pairs that the buffer for values holds them.
    sparse.outputs = cloister_terms::ModuleOutputs::Sparse;
    sparse.lanes.truncate(1);
    assert_eq!(refused(&Body::Module(sparse)).await, "signature");
}
