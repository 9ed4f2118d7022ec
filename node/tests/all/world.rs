//! One small partner: a dictionary, rows, Parquet files, and the way from a question to exact lanes.

use cloister_dp::PrfKey;
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::fault::Fault;
use cloister_node::ledger::Charge;
use cloister_node::measure::{MeasureOptions, measure};
use cloister_plan::{ContributionPlan, Question, Spend, plan};
use cloister_sandbox::{WorkerKind, WorkerProgram, Workers};
use cloister_terms::{Body, Dictionary};
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Towns of the public domain; rows also hold others.
pub const TOWNS: [&str; 4] = ["Amherst", "Holyoke", "Springfield", "Ware"];
/// Zones of the public domain, 0 to 999.
pub const ZONES: i64 = 1_000;

/// One row of the partner's table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub rider: Option<i64>,
    pub town: Option<&'static str>,
    pub zone: Option<i64>,
    pub n: Option<i64>,
    pub x: Option<f64>,
    pub at: i64,
}

/// A row of `rider` in the first town, zone 0, all else null.
pub fn row(rider: i64) -> Row {
    Row { rider: Some(rider), town: Some(TOWNS[0]), zone: Some(0), n: None, x: None, at: 0 }
}

/// `trips`, with `n` within -1000..1000 and `x` within 0..2^53 on whole steps.
pub fn dictionary(rows_per_unit_max: u32) -> Dictionary {
    let towns: Vec<_> = TOWNS.iter().map(|town| serde_json::json!({ "text": town })).collect();
    let zones: Vec<_> =
        (0..ZONES).map(|zone| serde_json::json!({ "int": zone.to_string() })).collect();
    let dictionary = serde_json::json!({ "datasets": [
        { "name": "trips", "description": "", "unit_column": "rider", "order_columns": ["at"],
          "rows_per_unit_max": rows_per_unit_max, "columns": [
            { "name": "rider", "type": "int64", "description": "", "identifier": true },
            { "name": "town", "type": "text", "description": "", "domain": towns },
            { "name": "zone", "type": "int64", "description": "", "domain": zones },
            { "name": "n", "type": "int64", "description": "", "bounds": { "min": "-1000", "max": "1000" } },
            { "name": "x", "type": "float64", "description": "",
              "bounds": { "min": "0", "max": "9007199254740992", "grid_bits": 0 } },
            { "name": "at", "type": "timestamp", "description": "" } ] },
        { "name": "absent", "description": "", "unit_column": "who", "rows_per_unit_max": 5, "columns": [
            { "name": "who", "type": "text", "description": "", "identifier": true },
            { "name": "town", "type": "text", "description": "", "domain": towns } ] } ] });
    serde_json::from_value(dictionary).unwrap()
}

/// The rows as one batch of the partner's own columns.
pub fn batch(rows: &[Row]) -> RecordBatch {
    let ints = |of: fn(&Row) -> Option<i64>| {
        Arc::new(rows.iter().map(of).collect::<Int64Array>()) as ArrayRef
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("rider", ints(|row| row.rider)),
        ("town", Arc::new(rows.iter().map(|row| row.town).collect::<StringArray>())),
        ("zone", ints(|row| row.zone)),
        ("n", ints(|row| row.n)),
        ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>())),
        (
            "at",
            Arc::new(rows.iter().map(|row| Some(row.at)).collect::<TimestampMicrosecondArray>()),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// Writes a batch as Parquet, in row groups of `group_rows`.
pub fn write_parquet(path: &Path, batch: &RecordBatch, group_rows: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// A source over `path` that maps every column of `trips` onto its namesake.
pub fn source(path: PathBuf) -> SourceConfig {
    let columns: String = ["rider", "town", "zone", "n", "x", "at"]
        .map(|name| format!("{name} = \"{name}\"\n"))
        .concat();
    let text =
        format!("dataset = \"trips\"\nformat = \"parquet\"\npath = \"x\"\n[columns]\n{columns}");
    SourceConfig { path, ..toml::from_str(&text).unwrap() }
}

/// A partner whose rows lie in a few Parquet files.
pub struct World {
    pub folder: tempfile::TempDir,
    pub dictionary: Dictionary,
    pub catalog: Catalog,
}

impl World {
    /// The rows dealt round robin over `files` files.
    pub fn new(rows: &[Row], files: usize, rows_per_unit_max: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..files {
            let here: Vec<Row> = rows.iter().skip(file).step_by(files).copied().collect();
            write_parquet(&folder.path().join(format!("{file}.parquet")), &batch(&here), 64);
        }
        let dictionary = dictionary(rows_per_unit_max);
        let catalog = Catalog::open(&[source(folder.path().to_owned())], &dictionary).unwrap();
        Self { folder, dictionary, catalog }
    }

    /// Plans SQL over the dictionary, at a pure loss of 1.
    pub fn plan(&self, sql: &str, row_cap: u32, group_cap: u32) -> ContributionPlan {
        plan_sql(&self.dictionary, sql, row_cap, group_cap)
    }
}

pub fn plan_sql(
    dictionary: &Dictionary,
    sql: &str,
    row_cap: u32,
    group_cap: u32,
) -> ContributionPlan {
    plan_body(dictionary, &Body::Sql { text: sql.to_owned() }, row_cap, group_cap)
}

pub fn plan_body(
    dictionary: &Dictionary,
    body: &Body,
    row_cap: u32,
    group_cap: u32,
) -> ContributionPlan {
    let spend = Spend { epsilon: Some("1".parse().unwrap()), rho: None, delta: None };
    plan(dictionary, &Question { body, row_cap, group_cap, spend, diagnostics: false, rounds: 1 })
        .unwrap()
        .plan
}

/// How many partitions and rows a batch.
pub fn options(partitions: usize, batch_rows: usize) -> MeasureOptions {
    MeasureOptions { partitions, batch_rows, workers: workers(), ..MeasureOptions::default() }
}

/// Modules run as in a real node: in processes of its binary.
pub fn workers() -> Workers {
    let program = WorkerProgram::at(env!("CARGO_BIN_EXE_cloister-node"));
    // What the kernel lacks is looked at in the sandbox's own tests.
    Workers::new(WorkerKind::Process { program, requires_isolation: false })
}

/// A charge that decides caps by `secret`.
pub fn charge(plan: &ContributionPlan, module: Option<Vec<u8>>, secret: u8) -> Charge {
    Charge::for_tests(plan.clone(), module, PrfKey::from_bytes([secret; 16]))
}

/// Exact lanes, or the fault.
pub async fn try_lanes(
    plan: &ContributionPlan,
    catalog: &Catalog,
    options: &MeasureOptions,
    secret: u8,
) -> Result<Vec<i128>, Fault> {
    let exact = measure(&charge(plan, None, secret), catalog, options).await?;
    Ok(exact.lanes_for_tests().to_vec())
}

/// Exact lanes.
pub async fn lanes(
    plan: &ContributionPlan,
    catalog: &Catalog,
    options: &MeasureOptions,
    secret: u8,
) -> Vec<i128> {
    try_lanes(plan, catalog, options, secret).await.unwrap()
}

/// A repeatable generator (SplitMix64, Steele, Lea, Flood 2014), for rows and orders.
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Rows of `riders` persons, up to `most` each, with dirt.
    pub fn rows(&mut self, riders: std::ops::Range<i64>, most: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for rider in riders {
            for at in 0..1 + self.below(most) {
                let town = [Some(TOWNS[0]), Some(TOWNS[1]), Some(TOWNS[2]), Some("Nowhere"), None]
                    [self.below(5)];
                let n = [Some(0), Some(5), Some(-700), Some(i64::MIN), None][self.below(5)];
                let x = [Some(0.5), Some(-0.0), Some(f64::NAN), Some(3e9), None][self.below(5)];
                let zone = Some(self.below(1_010) as i64);
                rows.push(Row { rider: Some(rider), town, zone, n, x, at: (at % 3) as i64 });
            }
        }
        rows
    }
}
