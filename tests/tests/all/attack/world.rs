//! One small partner: a dictionary, rows in Parquet files, and the way from a question to exact or noised
//! lanes, with or without a defence. It must never be kinder than a partner's own node.

use cloister_dp::{PrfKey, SeededEntropy};
use cloister_node::aggregate::Exact;
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::fixtures::thread_workers;
use cloister_node::ledger::Charge;
use cloister_node::measure::{MeasureOptions, measure};
use cloister_node::mutant::Mutant;
use cloister_node::noise::{Noised, noise};
use cloister_plan::{ContributionPlan, PlanError, Planned, Question, Spend, plan};
use cloister_terms::{Body, Dictionary};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Towns of the public domain; rows also hold others.
pub const TOWNS: [&str; 3] = ["Ashford", "Bramley", "Corston"];
/// Rows of one person that a table keeps.
const ROWS_PER_UNIT_MAX: u32 = 40;

/// One row of the partner's table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub rider: i64,
    pub town: Option<&'static str>,
    /// Within -20 to 20 by the dictionary.
    pub n: Option<i64>,
    /// Within 0 to 8 by the dictionary, in sixteenths.
    pub x: Option<f64>,
    pub ok: Option<bool>,
    pub at: i64,
}

/// A row of `rider` in the first town, with no values.
pub fn row(rider: i64) -> Row {
    Row { rider, town: Some(TOWNS[0]), n: None, x: None, ok: None, at: 0 }
}

/// The dataset `trips`, and the public table `places`: each town's region and stations, of which one has two
/// and one has none; a place that no row is in, and one that is NULL.
pub fn dictionary() -> Dictionary {
    let towns: Vec<_> = TOWNS.iter().map(|town| serde_json::json!({ "text": town })).collect();
    let text = |text: &str| serde_json::json!({ "text": text });
    let (docks, null) =
        (|docks: &str| serde_json::json!({ "int": docks }), serde_json::Value::Null);
    let places = [
        [text(TOWNS[0]), text("east"), docks("4")],
        [text(TOWNS[0]), text("east"), docks("11")],
        [text(TOWNS[1]), text("west"), docks("-3")],
        [text("Nowhere"), null.clone(), null.clone()],
        [text("Elsewhere"), text("west"), docks("7")],
        [null, text("east"), docks("2")],
    ];
    let dictionary = serde_json::json!({ "datasets": [
        { "name": "trips", "description": "", "unit_column": "rider", "order_columns": ["at"],
          "rows_per_unit_max": ROWS_PER_UNIT_MAX, "columns": [
            { "name": "rider", "type": "int64", "description": "", "identifier": true },
            { "name": "town", "type": "text", "description": "", "domain": towns },
            { "name": "n", "type": "int64", "description": "", "bounds": { "min": "-20", "max": "20" } },
            { "name": "x", "type": "float64", "description": "",
              "bounds": { "min": "0", "max": "8", "grid_bits": 4 } },
            { "name": "ok", "type": "bool", "description": "" },
            { "name": "at", "type": "timestamp", "description": "" } ] } ],
        "public_tables": [
        { "name": "places", "description": "", "rows": places, "columns": [
            { "name": "town", "type": "text", "description": "" },
            { "name": "region", "type": "text", "description": "" },
            { "name": "docks", "type": "int64", "description": "" } ] } ] });
    let dictionary: Dictionary = serde_json::from_value(dictionary).unwrap();
    dictionary.check().unwrap();
    dictionary
}

/// The rows as the partner holds them.
pub fn batch(rows: &[Row]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 6] = [
        ("rider", Arc::new(rows.iter().map(|row| Some(row.rider)).collect::<Int64Array>())),
        ("town", Arc::new(rows.iter().map(|row| row.town).collect::<StringArray>())),
        ("n", Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>())),
        ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>())),
        ("ok", Arc::new(rows.iter().map(|row| row.ok).collect::<BooleanArray>())),
        (
            "at",
            Arc::new(rows.iter().map(|row| Some(row.at)).collect::<TimestampMicrosecondArray>()),
        ),
    ];
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A partner whose rows lie in a few files.
pub struct World {
    pub catalog: Catalog,
    _folder: tempfile::TempDir,
}

impl World {
    /// The rows dealt round robin over `files` files, in the order given.
    pub fn new(rows: &[Row], files: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..files {
            let here: Vec<Row> = rows.iter().skip(file).step_by(files).copied().collect();
            let batch = batch(&here);
            let path = folder.path().join(format!("{file}.parquet"));
            let mut writer =
                ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
        let columns: String = ["rider", "town", "n", "x", "ok", "at"]
            .map(|name| format!("{name} = \"{name}\"\n"))
            .concat();
        let text = format!(
            "dataset = \"trips\"\nformat = \"parquet\"\npath = \"x\"\n[columns]\n{columns}"
        );
        let path: PathBuf = folder.path().to_owned();
        let source = SourceConfig { path, ..toml::from_str(&text).unwrap() };
        let catalog = Catalog::open(&[source], &dictionary()).unwrap();
        Self { catalog, _folder: folder }
    }

    /// Exact lanes of a node that may lack a defence.
    pub async fn lanes(
        &self,
        plan: &ContributionPlan,
        cut: Cut,
        lacks: Option<Mutant>,
    ) -> Vec<i128> {
        let paid = charge(plan, None, lacks);
        let exact = measure(&paid, &self.catalog, &cut.options()).await.unwrap();
        exact.lanes_for_tests().to_vec()
    }

    /// The same of a plan for this module.
    pub async fn module_lanes(
        &self,
        plan: &ContributionPlan,
        wasm: &[u8],
        cut: Cut,
        lacks: Option<Mutant>,
    ) -> Vec<i128> {
        let paid = charge(plan, Some(wasm.to_vec()), lacks);
        let options = MeasureOptions { workers: thread_workers(), ..cut.options() };
        let exact = measure(&paid, &self.catalog, &options).await.unwrap();
        exact.lanes_for_tests().to_vec()
    }

    /// What an honest node's noise is drawn on.
    pub async fn exact(&self, plan: &ContributionPlan) -> Exact {
        measure(&charge(plan, None, None), &self.catalog, &WHOLE.options()).await.unwrap()
    }

    /// The lanes of `draws` releases of one measurement, one after the other to `each`.
    pub async fn releases(
        &self,
        plan: &ContributionPlan,
        lacks: Option<Mutant>,
        draws: usize,
        seed: u64,
        mut each: impl FnMut(&[i128]),
    ) {
        self.noised(plan, lacks, draws, seed, |noised| each(noised.lanes_for_tests())).await;
    }

    /// `draws` noisings of one measurement, one after the other to `each`.
    pub async fn noised(
        &self,
        plan: &ContributionPlan,
        lacks: Option<Mutant>,
        draws: usize,
        seed: u64,
        mut each: impl FnMut(&Noised),
    ) {
        let cut = Cut { partitions: 1, batch_rows: 64 };
        let paid = charge(plan, None, lacks);
        let exact = measure(&paid, &self.catalog, &cut.options()).await.unwrap();
        let mut entropy = SeededEntropy::new(seed);
        for _ in 0..draws {
            let noised = noise(exact.copy_for_tests(), charge(plan, None, lacks), &mut entropy);
            each(&noised.unwrap());
        }
    }
}

/// How a measurement is cut up.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub partitions: usize,
    pub batch_rows: usize,
}

impl Cut {
    fn options(self) -> MeasureOptions {
        let Self { partitions, batch_rows } = self;
        MeasureOptions { partitions, batch_rows, ..MeasureOptions::default() }
    }
}

/// One partition, large batches.
pub const WHOLE: Cut = Cut { partitions: 1, batch_rows: 8_192 };

fn charge(plan: &ContributionPlan, module: Option<Vec<u8>>, lacks: Option<Mutant>) -> Charge {
    let charge = Charge::for_tests(plan.clone(), module, PrfKey::from_bytes([24; 16]));
    match lacks {
        Some(mutant) => charge.lacking(mutant),
        None => charge,
    }
}

/// A pure loss.
pub fn epsilon(text: &str) -> Spend {
    Spend { epsilon: Some(text.parse().unwrap()), rho: None, delta: None }
}

/// A concentrated loss.
pub fn rho(text: &str) -> Spend {
    Spend { epsilon: None, rho: Some(text.parse().unwrap()), delta: None }
}

/// Plans SQL over [`dictionary`].
pub fn planned(
    sql: &str,
    row_cap: u32,
    group_cap: u32,
    spend: Spend,
) -> Result<Planned, PlanError> {
    planned_body(&Body::Sql { text: sql.to_owned() }, row_cap, group_cap, spend)
}

/// Plans SQL or a module over [`dictionary`].
pub fn planned_body(
    body: &Body,
    row_cap: u32,
    group_cap: u32,
    spend: Spend,
) -> Result<Planned, PlanError> {
    plan(
        &dictionary(),
        &Question { body, row_cap, group_cap, spend, diagnostics: false, rounds: 1 },
    )
}

/// A repeatable generator (SplitMix64, Steele, Lea, Flood 2014), for rows, questions and orders.
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end as u64) as usize
    }

    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Rows of `riders` persons, up to `most` each. Tame rows lie within the dictionary's bounds and on
    /// its grid; wild ones hold what a partner's table should not.
    pub fn rows(&mut self, riders: std::ops::Range<i64>, most: usize, wild: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for rider in riders {
            for at in 0..1 + self.below(most) {
                let towns = [Some(TOWNS[0]), Some(TOWNS[1]), Some(TOWNS[2]), None, Some("Nowhere")];
                let mut n = self.of(&[Some(0), Some(1), Some(7), Some(-20), Some(20), None]);
                let mut x = self.of(&[Some(0.0), Some(0.5), Some(2.25), Some(8.0), None]);
                if wild {
                    n = self.of(&[n, Some(i64::MIN), Some(i64::MAX), Some(900)]);
                    x = self.of(&[
                        x,
                        Some(f64::NAN),
                        Some(-1e300),
                        Some(f64::INFINITY),
                        Some(-0.0),
                    ]);
                }
                let ok = self.of(&[Some(true), Some(false), None]);
                let at = (at % 3) as i64;
                rows.push(Row { rider, town: self.of(&towns), n, x, ok, at });
            }
        }
        rows
    }
}
