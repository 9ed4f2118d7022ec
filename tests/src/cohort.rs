//! Four partners' mapped tables and the two questions whose intervals are looked at: made up by the
//! scenario's generator, or the mobility records of the developer data. It reads what it is given
//! and asks nobody.

use cloister_examples::scenario::population::REGIONS;
use cloister_examples::scenario::{
    PartnerKind, ScenarioSize, SourceLayout, mapping, write_partner,
};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_plan::{ContributionPlan, Question, Spend, plan};
use cloister_terms::{Body, Bounds, Dictionary, KeyDimension, ModuleBody};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Towns of the mobility records, in the module's order.
const TOWNS: [&str; 6] =
    ["Amherst", "Easthampton", "Holyoke", "Northampton", "South Hadley", "Springfield"];
/// The rows of the first question on mobility: cross-town trips of one summer.
const SUMMER: &str = "start_time_local >= TIMESTAMP '2019-07-01' \
     AND start_time_local < TIMESTAMP '2019-10-01' AND start_city IS NOT NULL \
     AND end_city IS NOT NULL AND distance_m >= 200";
/// The rows of both questions on made-up sightings: two seasons.
const SEASONS: &str = "(event_time >= TIMESTAMP '2024-01-01' AND event_time < TIMESTAMP '2024-04-01') \
     OR (event_time >= TIMESTAMP '2024-07-01' AND event_time < TIMESTAMP '2024-10-01')";

/// Four partners and two questions.
#[derive(Debug)]
pub struct Cohort {
    /// The partners' tables.
    pub catalogs: Vec<Catalog>,
    /// SQL, then the flow matrix.
    pub questions: Vec<Asked>,
}

/// One planned question.
#[derive(Debug)]
pub struct Asked {
    /// Its name.
    pub name: &'static str,
    /// Its plan.
    pub plan: ContributionPlan,
    /// Its module.
    pub module: Option<Vec<u8>>,
}

/// Made-up people, `people` at each partner, written below `folder`.
pub fn made_up(people: u32, folder: &Path) -> Cohort {
    let dictionary = dictionary(json!({
        "name": "events", "description": "", "unit_column": "person_id",
        "order_columns": ["event_time"], "rows_per_unit_max": 2000,
        "columns": [
            column("person_id", "text", json!({ "identifier": true })),
            column("event_time", "timestamp", json!({})),
            column("region", "text", json!({ "domain": texts(&REGIONS) })),
            column("amount_eur", "float64",
                json!({ "bounds": { "min": "0", "max": "500", "grid_bits": 7 } })),
        ]
    }));
    let source = |kind: PartnerKind| {
        let data = folder.join(kind.name());
        write_partner(kind, &ScenarioSize { people, ..ScenarioSize::default() }, &data).unwrap();
        made_up_source(kind, &data)
    };
    let catalogs = PartnerKind::ALL.map(source).iter().map(|s| open(s, &dictionary)).collect();
    let sql = format!(
        "SELECT region, COUNT(DISTINCT person_id) AS people, COUNT(*) AS events,
           AVG(CASE WHEN event_time < TIMESTAMP '2024-04-01' THEN 1.0 ELSE 0.0 END) AS in_winter
         FROM events WHERE {SEASONS} GROUP BY region"
    );
    let rows = format!("SELECT event_time, region FROM events WHERE {SEASONS}");
    let keys = [("from", &REGIONS[..]), ("to", &REGIONS[..])];
    let questions = vec![
        ask(&dictionary, "people by region", Body::Sql { text: sql }, (20, 4, "0.05"), None),
        ask_module(
            &dictionary,
            "moves between regions",
            "usual-region",
            rows,
            keys,
            (512, 1, "0.02"),
        ),
    ];
    Cohort { catalogs, questions }
}

/// The mobility records in the developer data folder `data`: its first question and its flow matrix.
pub fn mobility(data: &Path) -> Cohort {
    let own = [
        "person_id",
        "trip_id",
        "start_time_utc",
        "start_time_local",
        "distance_m",
        "start_city",
        "end_city",
    ];
    let dictionary = dictionary(json!({
        "name": "trips", "description": "", "unit_column": "person_id",
        "order_columns": ["start_time_utc", "trip_id"], "rows_per_unit_max": 2000,
        "columns": [
            column("person_id", "int64", json!({ "identifier": true })),
            column("trip_id", "int64", json!({})),
            column("start_time_utc", "timestamp", json!({})),
            column("start_time_local", "timestamp", json!({})),
            column("distance_m", "float64", json!({ "bounds": { "min": "0", "max": "50000" } })),
            column("start_city", "text", json!({ "domain": texts(&TOWNS) })),
            column("end_city", "text", json!({ "domain": texts(&TOWNS) })),
        ]
    }));
    let columns: Value = own.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
    let source = |town: &str| {
        let path = data.join("mobility").join(format!("mobility_{town}.parquet"));
        json!({ "dataset": "trips", "format": "parquet", "path": path, "columns": columns })
    };
    let towns = ["northampton", "amherst", "springfield", "holyoke"];
    let catalogs = towns.map(source).iter().map(|s| open(s, &dictionary)).collect();
    let sql = format!(
        "SELECT start_city, COUNT(DISTINCT person_id) AS riders, COUNT(*) AS trips,
           AVG(CASE WHEN end_city <> start_city THEN 1.0 ELSE 0.0 END) AS cross_share
         FROM trips WHERE {SUMMER} GROUP BY start_city"
    );
    let rows = format!("SELECT start_city, end_city FROM trips WHERE {SUMMER}");
    let keys = [("from", &TOWNS[..]), ("to", &TOWNS[..])];
    let questions = vec![
        ask(&dictionary, "cross-town mobility", Body::Sql { text: sql }, (30, 6, "0.3"), None),
        ask_module(&dictionary, "flows between towns", "town-flows", rows, keys, (512, 4, "0.1")),
    ];
    Cohort { catalogs, questions }
}

/// Row cap, group cap and rho of a question.
type Caps = (u32, u32, &'static str);

fn ask(
    dictionary: &Dictionary,
    name: &'static str,
    body: Body,
    (row_cap, group_cap, rho): Caps,
    module: Option<Vec<u8>>,
) -> Asked {
    let spend = Spend { epsilon: None, rho: Some(rho.parse().unwrap()) };
    let question = Question { body: &body, row_cap, group_cap, spend };
    Asked { name, plan: plan(dictionary, &question).unwrap().plan, module }
}

fn ask_module(
    dictionary: &Dictionary,
    name: &'static str,
    file: &str,
    rows: String,
    keys: [(&str, &[&str]); 2],
    caps: Caps,
) -> Asked {
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/modules");
    let module = std::fs::read(modules.join(format!("{file}.wasm"))).unwrap();
    let key = |(name, values): (&str, &[&str])| KeyDimension {
        name: name.to_owned(),
        values: serde_json::from_value(texts(values)).unwrap(),
    };
    let body = Body::Module(ModuleBody {
        sha256: cloister_wire::sha256(&module),
        rows,
        keys: keys.map(key).to_vec(),
        value: Bounds::parse("0", "1", 0).unwrap(),
        value_name: "people".to_owned(),
        fuel_per_person: 2_000_000,
    });
    ask(dictionary, name, body, caps, Some(module))
}

fn made_up_source(kind: PartnerKind, data: &Path) -> Value {
    let columns: Value = mapping::mapping(kind)
        .into_iter()
        .map(|(column, expression)| (column.to_owned(), json!(expression)))
        .collect();
    let mut source = json!({ "dataset": "events", "format": "parquet", "columns": columns });
    source["path"] = json!(match kind.layout() {
        SourceLayout::ParquetFile => data.join("pings.parquet"),
        SourceLayout::HiveParquet => {
            source["hive_partitions"] = json!({ "month": "text" });
            data.join("traces")
        }
        SourceLayout::CsvFolder => {
            source["format"] = json!("csv");
            source["csv"] = json!({ "types": { "amount_eur": "float64" } });
            data.join("card")
        }
        SourceLayout::ParquetFolder => data.join("sales"),
    });
    source
}

fn open(source: &Value, dictionary: &Dictionary) -> Catalog {
    let source: SourceConfig = serde_json::from_value(source.clone()).unwrap();
    Catalog::open(&[source], dictionary).unwrap()
}

fn dictionary(dataset: Value) -> Dictionary {
    serde_json::from_value(json!({ "datasets": [dataset] })).unwrap()
}

fn column(name: &str, kind: &str, more: Value) -> Value {
    let mut column = json!({ "name": name, "type": kind, "description": "" });
    if let (Some(column), Value::Object(more)) = (column.as_object_mut(), more) {
        column.extend(more);
    }
    column
}

fn texts(values: &[&str]) -> Value {
    values.iter().map(|value| json!({ "text": value })).collect()
}
