//! The questions of the sample data, with caps that do not bind: exact lanes equal the exact answers.
//! Without the sample data the same questions run over generated trips and a plain count.

use crate::modules::{sha256, town_flows};
use crate::world::{Draws, charge, options, plan_body, plan_sql, write_parquet};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::measure::measure;
use cloister_plan::{Contribute, LaneExpr};
use cloister_terms::{Body, Dictionary};
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CITIES: [&str; 6] =
    ["Amherst", "Easthampton", "Holyoke", "Northampton", "South Hadley", "Springfield"];
const WHERE: &str = "start_time_local >= TIMESTAMP '2019-07-01' AND start_time_local < TIMESTAMP '2019-10-01' \
     AND start_city IS NOT NULL AND end_city IS NOT NULL AND distance_m >= 200";
/// 2019-06-30 and 2019-10-02, in microseconds.
const SEASON: std::ops::Range<i64> = 1_561_852_800_000_000..1_569_974_400_000_000;
/// 2019-07-01 and 2019-10-01, in microseconds.
const QUARTER: std::ops::Range<i64> = 1_561_939_200_000_000..1_569_888_000_000_000;

/// One generated trip.
#[derive(Debug, Clone, Copy)]
struct Trip {
    id: i64,
    person: i64,
    time: i64,
    distance: f64,
    start: Option<&'static str>,
    end: Option<&'static str>,
}

/// (riders, trips, trips to another city) a start city, and riders a pair.
#[derive(Debug, PartialEq)]
struct Answers {
    cities: Vec<(i128, i128, i128)>,
    flows: Vec<i128>,
}

fn dictionary() -> Dictionary {
    let cities: Vec<_> = CITIES.iter().map(|city| serde_json::json!({ "text": city })).collect();
    let dictionary = serde_json::json!({ "datasets": [{
        "name": "trips", "description": "", "unit_column": "person_id", "rows_per_unit_max": 2_000,
        "order_columns": ["start_time_utc", "trip_id"], "columns": [
            { "name": "trip_id", "type": "int64", "description": "", "identifier": true },
            { "name": "person_id", "type": "int64", "description": "", "identifier": true },
            { "name": "start_time_utc", "type": "timestamp", "description": "" },
            { "name": "start_time_local", "type": "timestamp", "description": "" },
            { "name": "distance_m", "type": "float64", "description": "", "bounds": { "min": "0", "max": "50000" } },
            { "name": "start_city", "type": "text", "description": "", "domain": cities },
            { "name": "end_city", "type": "text", "description": "", "domain": cities } ] }] });
    serde_json::from_value(dictionary).unwrap()
}

fn catalog(path: PathBuf) -> Catalog {
    let dictionary = dictionary();
    let columns: String = dictionary.datasets[0]
        .columns
        .iter()
        .map(|column| format!("{0} = \"{0}\"\n", column.name))
        .collect();
    let text =
        format!("dataset = \"trips\"\nformat = \"parquet\"\npath = \"x\"\n[columns]\n{columns}");
    Catalog::open(&[SourceConfig { path, ..toml::from_str(&text).unwrap() }], &dictionary).unwrap()
}

async fn measured(catalog: &Catalog) -> Answers {
    let sql = format!(
        "SELECT start_city, COUNT(DISTINCT person_id) AS riders, COUNT(*) AS trips, \
         SUM(CASE WHEN end_city <> start_city THEN 1.0 ELSE 0.0 END) AS crossing FROM trips WHERE {WHERE} GROUP BY start_city"
    );
    let plan = plan_sql(&dictionary(), &sql, 2_000, 6);
    let Contribute::Sql(contribution) = &plan.contribute else { panic!("a SQL plan") };
    let place = |wanted: fn(&LaneExpr) -> bool| contribution.lanes.iter().position(wanted).unwrap();
    let riders = place(|lane| matches!(lane, LaneExpr::CountUnits));
    let trips = place(|lane| matches!(lane, LaneExpr::CountRows));
    let crossing = place(|lane| matches!(lane, LaneExpr::SumClamped { .. }));
    let grid = 1i128 << plan.shape.lanes[crossing].grid_bits;
    let exact = measure(&charge(&plan, None, 1), catalog, &options(2, 4_096)).await.unwrap();
    let cells = exact.lanes_for_tests().chunks(plan.shape.lanes.len());
    let cities = cells.map(|cell| (cell[riders], cell[trips], cell[crossing] / grid)).collect();
    Answers { cities, flows: flows(catalog).await }
}

async fn flows(catalog: &Catalog) -> Vec<i128> {
    let wasm = town_flows();
    let values: Vec<_> = CITIES.iter().map(|city| serde_json::json!({ "text": city })).collect();
    let body = serde_json::json!({ "module": {
        "sha256": sha256(&wasm), "rows": format!("SELECT start_city, end_city FROM trips WHERE {WHERE}"),
        "keys": [{ "name": "from", "values": values }, { "name": "to", "values": values }],
        "lanes": [{ "name": "riders", "value": { "min": "0", "max": "1" } }],
        "numbers": "int", "outputs": "sparse", "fuel_per_person": 10_000_000 } });
    let body: Body = serde_json::from_value(body).unwrap();
    let plan = plan_body(&dictionary(), &body, 512, 4);
    let paid = charge(&plan, Some(wasm), 1);
    measure(&paid, catalog, &options(2, 4_096)).await.unwrap().lanes_for_tests().to_vec()
}

/// The sample data, when it is beside the checkout.
fn sample_folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("CLOISTER_DATA").map_or(beside, PathBuf::from);
    folder.join("mobility").is_dir().then_some(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q1_and_q4_equal_a_plain_count_of_generated_trips() {
    let trips = generated();
    let folder = tempfile::tempdir().unwrap();
    for (part, here) in trips.chunks(700).enumerate() {
        write_parquet(&folder.path().join(format!("{part}.parquet")), &table(here), 100);
    }
    let found = measured(&catalog(folder.path().to_owned())).await;
    assert_eq!(found, counted(&trips));
    assert!(found.cities.iter().all(|(riders, ..)| *riders > 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q1_and_q4_equal_the_published_answers() {
    let Some(folder) = sample_folder() else {
        // The generated trips above stand in for the sample data.
        assert!(!counted(&generated()).flows.is_empty());
        return;
    };
    let found = measured(&catalog(folder.join("mobility/mobility_*.parquet"))).await;
    let published = [
        (1_475, 11_209, 0.0623),
        (599, 1_953, 0.3963),
        (447, 4_899, 0.0267),
        (1_750, 10_495, 0.1328),
        (61, 160, 0.3063),
        (616, 5_404, 0.0115),
    ];
    for ((riders, trips, crossing), wanted) in found.cities.iter().zip(published) {
        assert_eq!((*riders, *trips), (wanted.0, wanted.1));
        let share = *crossing as f64 / *trips as f64;
        assert!((share - wanted.2).abs() < 0.000_051, "{share} is not {}", wanted.2);
    }
    #[rustfmt::skip]
    let flows = [
        1299, 6, 3, 245, 2, 0,
        3, 381, 7, 336, 0, 0,
        3, 13, 425, 21, 11, 23,
        244, 337, 12, 1402, 0, 1,
        0, 0, 19, 0, 42, 1,
        0, 0, 23, 5, 1, 601,
    ];
    assert_eq!(found.flows, flows);
}

fn generated() -> Vec<Trip> {
    let mut draws = Draws(2019);
    let places = || {
        CITIES.iter().map(|city| Some(*city)).chain([Some("Elsewhere"), None]).collect::<Vec<_>>()
    };
    let places = places();
    let trip = |id| Trip {
        id,
        person: draws.below(120) as i64,
        time: SEASON.start + draws.below((SEASON.end - SEASON.start) as usize) as i64,
        distance: draws.below(1_000) as f64 + 0.5,
        start: places[draws.below(8)],
        end: places[draws.below(8)],
    };
    (0..2_000).map(trip).collect()
}

fn table(trips: &[Trip]) -> RecordBatch {
    let times = || {
        Arc::new(trips.iter().map(|trip| Some(trip.time)).collect::<TimestampMicrosecondArray>())
            as ArrayRef
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("trip_id", Arc::new(trips.iter().map(|trip| Some(trip.id)).collect::<Int64Array>())),
        ("person_id", Arc::new(trips.iter().map(|trip| Some(trip.person)).collect::<Int64Array>())),
        ("start_time_utc", times()),
        ("start_time_local", times()),
        (
            "distance_m",
            Arc::new(trips.iter().map(|trip| Some(trip.distance)).collect::<Float64Array>()),
        ),
        ("start_city", Arc::new(trips.iter().map(|trip| trip.start).collect::<StringArray>())),
        ("end_city", Arc::new(trips.iter().map(|trip| trip.end).collect::<StringArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// The answers by a plain count, with nothing of the node in it.
fn counted(trips: &[Trip]) -> Answers {
    let city = |name: Option<&str>| CITIES.iter().position(|city| Some(*city) == name);
    let mut kept: Vec<&Trip> = trips
        .iter()
        .filter(|trip| {
            QUARTER.contains(&trip.time)
                && trip.start.is_some()
                && trip.end.is_some()
                && trip.distance >= 200.0
        })
        .collect();
    kept.sort_by_key(|trip| (trip.time, trip.id));
    let mut cities = vec![(BTreeSet::new(), 0i128, 0i128); CITIES.len()];
    let mut pairs: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for trip in kept {
        let Some(from) = city(trip.start) else { continue };
        cities[from].0.insert(trip.person);
        cities[from].1 += 1;
        cities[from].2 += i128::from(trip.end != trip.start);
        let Some(to) = city(trip.end) else { continue };
        let seen = pairs.entry(trip.person).or_default();
        if seen.len() < 4 && !seen.contains(&(from * 6 + to)) {
            seen.push(from * 6 + to);
        }
    }
    let mut flows = vec![0; 36];
    pairs.values().flatten().for_each(|pair| flows[*pair] += 1);
    Answers {
        cities: cities
            .into_iter()
            .map(|(riders, trips, crossing)| (riders.len() as i128, trips, crossing))
            .collect(),
        flows,
    }
}
