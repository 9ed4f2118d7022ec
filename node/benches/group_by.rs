//! `GROUP BY` with count and sum, 1 M rows of 50,000 persons in 25 groups, noised, beside plain
//! DataFusion on the same Parquet files; and the same question through a relation. Once where each person
//! stands in one group, so that no cap chooses, and once where each stands in many, so that the group cap
//! chooses for everybody. Plain DataFusion has the machine's defaults: as many threads as the node, and
//! footers that it keeps between two turns; once it finds and describes the files in its time, once before.
//! Prints ratios of medians: absolute times are the machine's, and must not be promised.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use cloister_dp::{PrfKey, SeededEntropy};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::ledger::Charge;
use cloister_node::measure::{MeasureOptions, measure};
use cloister_node::noise::noise;
use cloister_plan::{Contribute, ContributionPlan, Question, Relation, Spend, plan};
use cloister_terms::{Body, Dictionary};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROWS: i64 = 1_000_000;
const PERSONS: i64 = 50_000;
const GROUPS: i64 = 25;
const FILES: i64 = 4;
const TURNS: usize = 9;
const SQL: &str = "SELECT town, COUNT(*) AS n, SUM(x) AS total FROM trips GROUP BY town";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(compare());
}

async fn compare() {
    let one_town = |row: i64| row.wrapping_mul(7_919).rem_euclid(GROUPS);
    // A person's rows are `PERSONS` apart: each is in another group than the one before.
    let many_towns = |row: i64| (row.wrapping_mul(7_919) + row / PERSONS * 3).rem_euclid(GROUPS);
    // `one` or `many`, then `plain`, `ready`, `ours` or `through`, measure these alone.
    let which = std::env::args().nth(1).unwrap_or_default();
    if which != "many" {
        compare_over("each person in one group", &one_town).await;
    }
    if which != "one" {
        compare_over("each person in 20 groups, 5 kept", &many_towns).await;
    }
}

async fn compare_over(title: &str, town: &dyn Fn(i64) -> i64) {
    let folder = tempfile::tempdir().expect("a folder");
    (0..FILES).for_each(|file| write(&folder.path().join(format!("{file}.parquet")), file, town));
    let dictionary = dictionary();
    let catalog = Catalog::open(&[source(folder.path())], &dictionary).expect("a catalog");
    let body = Body::Sql { text: SQL.to_owned() };
    let spend = Spend { epsilon: Some("1".parse().unwrap()), rho: None, delta: None };
    let question =
        Question { body: &body, row_cap: 20, group_cap: 5, spend, diagnostics: false, rounds: 1 };
    let direct = plan(&dictionary, &question).expect("a plan").plan;
    let mut related = direct.clone();
    if let Contribute::Sql(sql) = &mut related.contribute {
        let yes = cloister_plan::Expr::literal(cloister_plan::Literal::Bool(true));
        sql.relation =
            Relation::Filter { of: Box::new(Relation::Table { table: 0 }), condition: yes };
    }
    let known = SessionContext::new();
    register(&known, folder.path()).await;
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..TURNS {
        let [plain, ready, ours, through] = &mut times;
        if is_wanted("plain") {
            plain.push(plainly(None, folder.path()).await);
        }
        if is_wanted("ready") {
            ready.push(plainly(Some(&known), folder.path()).await);
        }
        if is_wanted("ours") {
            ours.push(noised(&direct, &catalog).await);
        }
        if is_wanted("through") {
            through.push(noised(&related, &catalog).await);
        }
    }
    let [plain, ready, ours, through] = times.map(median);
    println!("{title}: plain DataFusion {plain:?}, with its table known before {ready:?}");
    for (name, time) in [("one table", ours), ("through a relation", through)] {
        let ratio = |plain: Duration| time.as_secs_f64() / plain.as_secs_f64();
        println!("  {name}: {time:?}, {:.2} x plain, {:.2} x", ratio(plain), ratio(ready));
    }
}

fn is_wanted(name: &str) -> bool {
    std::env::args().nth(2).is_none_or(|only| only == name)
}

async fn noised(plan: &ContributionPlan, catalog: &Catalog) -> Duration {
    let charge = Charge::for_tests(plan.clone(), None, PrfKey::from_bytes([1; 16]));
    let began = Instant::now();
    let exact = measure(&charge, catalog, &MeasureOptions::default()).await.expect("lanes");
    noise(exact, charge, &mut SeededEntropy::new(1)).expect("noise");
    began.elapsed()
}

async fn register(context: &SessionContext, folder: &Path) {
    let path = folder.to_str().expect("a UTF-8 path");
    context.register_parquet("trips", path, ParquetReadOptions::default()).await.expect("files");
}

/// With the table of a context that has it, or of a new one.
async fn plainly(known: Option<&SessionContext>, folder: &Path) -> Duration {
    let began = Instant::now();
    let context = match known {
        Some(context) => context.clone(),
        None => {
            let context = SessionContext::new();
            register(&context, folder).await;
            context
        }
    };
    let rows = context.sql(SQL).await.expect("a query").collect().await.expect("rows");
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), GROUPS as usize);
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Rows of all persons lie in all files, as a partner who never sorted them has them.
fn write(path: &Path, file: i64, town: &dyn Fn(i64) -> i64) {
    let rows = || (file..ROWS).step_by(FILES as usize);
    let columns: [(&str, ArrayRef); 3] = [
        (
            "rider",
            Arc::new(rows().map(|row| row.wrapping_mul(48_271) % PERSONS).collect::<Int64Array>()),
        ),
        (
            "town",
            Arc::new(
                rows().map(|row| Some(format!("town {}", town(row)))).collect::<StringArray>(),
            ),
        ),
        ("x", Arc::new(rows().map(|row| Some((row % 997) as f64 / 4.0)).collect::<Float64Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
}

fn dictionary() -> Dictionary {
    let towns: Vec<_> =
        (0..GROUPS).map(|group| serde_json::json!({ "text": format!("town {group}") })).collect();
    let dictionary = serde_json::json!({ "datasets": [
        { "name": "trips", "description": "", "unit_column": "rider", "rows_per_unit_max": 100, "columns": [
            { "name": "rider", "type": "int64", "description": "", "identifier": true },
            { "name": "town", "type": "text", "description": "", "domain": towns },
            { "name": "x", "type": "float64", "description": "",
              "bounds": { "min": "0", "max": "250", "grid_bits": 2 } } ] } ] });
    serde_json::from_value(dictionary).expect("a dictionary")
}

fn source(folder: &Path) -> SourceConfig {
    let columns: String =
        ["rider", "town", "x"].map(|name| format!("{name} = \"{name}\"\n")).concat();
    let text =
        format!("dataset = \"trips\"\nformat = \"parquet\"\npath = \"x\"\n[columns]\n{columns}");
    SourceConfig { path: folder.to_owned(), ..toml::from_str(&text).expect("a source") }
}
