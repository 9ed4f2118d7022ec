//! A small partner with two private tables of the same persons, and plans written by hand: what a
//! relation makes of the rows, row by row or as exact lanes.

use crate::world::{Draws, options, try_lanes, write_parquet};
use cloister_dp::PrfKey;
use cloister_node::bound::Caps;
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::fault::Fault;
use cloister_node::measure::MeasureOptions;
use cloister_node::relate::Relator;
use cloister_node::scan::merge::PersonMerge;
use cloister_node::scan::scan;
use cloister_plan::*;
use cloister_terms::{
    Bounds, ColumnType, Dictionary, KeyDimension, KeyValue, LaneShape, Name, Noise, OutputShape,
    Ratio,
};
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use std::path::Path;
use std::sync::Arc;

pub const GROUPS: [&str; 3] = ["north", "south", "west"];

/// A row of `visits`; `items` has its first four columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    pub who: i64,
    pub k: Option<i64>,
    pub g: Option<&'static str>,
    pub v: Option<f64>,
    pub b: Option<bool>,
    pub at: i64,
}

pub fn visit(who: i64) -> Visit {
    Visit { who, k: Some(1), g: Some(GROUPS[0]), v: Some(1.0), b: Some(true), at: 0 }
}

/// Rows of some persons, up to `most` each; no two rows of a person have the same `at`.
pub fn draw(draws: &mut Draws, persons: std::ops::Range<i64>, most: usize) -> Vec<Visit> {
    let mut rows = Vec::new();
    for who in persons {
        let mut at: Vec<i64> = (0..most as i64).collect();
        draws.shuffle(&mut at);
        for at in at.into_iter().take(draws.below(most + 1)) {
            let k = [Some(1), Some(2), Some(3), Some(-4), None][draws.below(5)];
            let g = [Some(GROUPS[0]), Some(GROUPS[1]), Some("elsewhere"), None][draws.below(4)];
            // Halves, so that plain SQL's sums do not depend on its order of rows either.
            let v = [Some(0.5), Some(2.0), Some(-3.5), None][draws.below(4)];
            let b = [Some(true), Some(false), None][draws.below(3)];
            rows.push(Visit { who, k, g, v, b, at });
        }
    }
    rows
}

pub fn batch(rows: &[Visit], columns: &[&'static str]) -> RecordBatch {
    let array = |name: &str| -> ArrayRef {
        match name {
            "who" => Arc::new(rows.iter().map(|row| Some(row.who)).collect::<Int64Array>()),
            "k" => Arc::new(rows.iter().map(|row| row.k).collect::<Int64Array>()),
            "g" => Arc::new(rows.iter().map(|row| row.g).collect::<StringArray>()),
            "v" => Arc::new(rows.iter().map(|row| row.v).collect::<Float64Array>()),
            "b" => Arc::new(rows.iter().map(|row| row.b).collect::<BooleanArray>()),
            _ => {
                Arc::new(rows.iter().map(|row| Some(row.at)).collect::<TimestampMicrosecondArray>())
            }
        }
    };
    let columns = columns.iter().map(|name| (*name, array(name), true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

const VISITS: [&str; 6] = ["who", "k", "g", "v", "b", "at"];
const ITEMS: [&str; 4] = ["who", "k", "g", "v"];

pub fn dictionary() -> Dictionary {
    let column = |name: &str, of: &str| serde_json::json!({ "name": name, "type": of, "description": "", "identifier": name == "who" });
    let all = [
        column("who", "int64"),
        column("k", "int64"),
        column("g", "text"),
        column("v", "float64"),
        column("b", "bool"),
        column("at", "timestamp"),
    ];
    let dictionary = serde_json::json!({ "datasets": [
        { "name": "visits", "description": "", "unit_column": "who", "order_columns": ["at"],
          "rows_per_unit_max": 1_000_000, "columns": all },
        { "name": "items", "description": "", "unit_column": "who",
          "rows_per_unit_max": 1_000_000, "columns": all[..4] },
        { "name": "absent", "description": "", "unit_column": "who",
          "rows_per_unit_max": 10, "columns": all[..4] },
        { "name": "lettered", "description": "", "unit_column": "g",
          "rows_per_unit_max": 10, "columns": all[..4] } ] });
    serde_json::from_value(dictionary).unwrap()
}

fn source(dataset: &str, folder: &Path, columns: &[&str]) -> SourceConfig {
    let columns: String = columns.iter().map(|name| format!("{name} = \"{name}\"\n")).collect();
    let text = format!(
        "dataset = \"{dataset}\"\nformat = \"parquet\"\npath = \"x\"\n[columns]\n{columns}"
    );
    SourceConfig { path: folder.join(dataset), ..toml::from_str(&text).unwrap() }
}

/// Two tables in Parquet files.
pub struct Tables {
    pub catalog: Catalog,
    pub visits: Vec<Visit>,
    pub items: Vec<Visit>,
    _folder: tempfile::TempDir,
}

impl Tables {
    pub fn new(visits: &[Visit], items: &[Visit], files: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, rows, columns) in [("visits", visits, &VISITS[..]), ("items", items, &ITEMS[..])]
        {
            for file in 0..files {
                let here: Vec<Visit> = rows.iter().skip(file).step_by(files).copied().collect();
                let path = folder.path().join(name).join(format!("{file}.parquet"));
                write_parquet(&path, &batch(&here, columns), 5);
            }
        }
        let sources =
            [source("visits", folder.path(), &VISITS), source("items", folder.path(), &ITEMS)];
        let catalog = Catalog::open(&sources, &dictionary()).unwrap();
        Self { catalog, visits: visits.to_vec(), items: items.to_vec(), _folder: folder }
    }

    /// What plain SQL gives, each row as text, sorted.
    pub async fn sql(&self, sql: &str) -> Vec<String> {
        let context = SessionContext::new();
        context.register_batch("visits", batch(&self.visits, &VISITS)).unwrap();
        context.register_batch("items", batch(&self.items, &ITEMS)).unwrap();
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let mut rows: Vec<String> = batches
            .iter()
            .flat_map(|batch| {
                (0..batch.num_rows()).map(|row| shown(batch.columns(), row)).collect::<Vec<_>>()
            })
            .collect();
        rows.sort();
        rows
    }

    /// What a relation makes, each row as text behind its person, sorted.
    pub async fn made(&self, relation: &Relation, options: &MeasureOptions) -> Vec<String> {
        let mut plan = asked(relation.clone(), None, 1, 1);
        // Tables behind the last one that is read would cost a scan each and change nothing.
        let written = serde_json::to_string(relation).unwrap();
        let is_read = |table: &usize| written.contains(&format!("\"table\":{table}}}"));
        plan.tables.truncate(1 + (0..4).rev().find(is_read).unwrap());
        let caps = Caps::new(&plan, &PrfKey::from_bytes([1; 16])).unwrap();
        let mut streams = Vec::new();
        for table in &plan.tables {
            streams.push(scan(&self.catalog, table, options).await.unwrap());
        }
        let mut rows = Vec::new();
        while streams.iter().all(|table| !table.is_empty()) {
            let partition = streams.iter_mut().map(|table| table.remove(0)).collect();
            let mut merge = PersonMerge::new(partition);
            let mut relator = Relator::new(&plan, relation, &caps, options.person_limits).unwrap();
            while let Some(gathering) = merge.next().await.unwrap() {
                let units = gathering.units.as_primitive::<Int64Type>();
                let take = &mut |made: cloister_node::relate::Made| {
                    for (place, person) in made.persons.clone().enumerate() {
                        for row in made.rows.person(place) {
                            let shown = shown(made.rows.arrays(), row);
                            rows.push(format!("{}|{shown}", units.value(person)));
                        }
                    }
                    Ok::<(), Fault>(())
                };
                relator.make(&gathering, take).unwrap();
            }
        }
        rows.sort();
        rows
    }

    /// Exact lanes of a plan.
    pub async fn lanes(&self, plan: &ContributionPlan, options: &MeasureOptions) -> Vec<i128> {
        try_lanes(plan, &self.catalog, options, 1).await.unwrap()
    }
}

fn shown(arrays: &[ArrayRef], row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let one = |array: &ArrayRef| {
        ArrayFormatter::try_new(array.as_ref(), &options).unwrap().value(row).to_string()
    };
    arrays.iter().map(one).collect::<Vec<_>>().join("|")
}

/// Partitions and rows a batch, all of which must give the same.
pub fn every_cut() -> [MeasureOptions; 4] {
    [options(1, 8_192), options(2, 7), options(8, 1), options(8, 8_192)]
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn col(text: &str) -> Expr {
    Expr::Column { name: name(text) }
}

pub fn int(value: i64) -> Expr {
    Expr::literal(Literal::int(value))
}

pub fn compare(left: Expr, op: CompareOp, right: Expr) -> Expr {
    Expr::Compare { op, left: Box::new(left), right: Box::new(right) }
}

/// One of the plan's tables: 0 and 2 are `visits`, 1 is `items`, 3 is one that the node lacks.
pub fn table(table: u32) -> Relation {
    Relation::Table { table }
}

/// The columns `from` of a step under other names.
pub fn named(of: Relation, columns: &[(&str, Expr)]) -> Relation {
    let columns = columns.iter();
    let columns = columns.map(|(to, expr)| NamedExpr { name: name(to), expr: expr.clone() });
    Relation::Project { of: Box::new(of), columns: columns.collect() }
}

/// Table 0 as `k`, `g`, `v`, `b`, `at`; table 1 as `ik`, `ig`, `iv`.
pub fn items() -> Relation {
    named(table(1), &[("ik", col("k")), ("ig", col("g")), ("iv", col("v"))])
}

pub fn join(left: Relation, right: Relation, kind: JoinKind, on: &[(&str, &str)]) -> Relation {
    let on = on.iter().map(|(left, right)| JoinKey { left: col(left), right: col(right) });
    Relation::Join { left: Box::new(left), right: Box::new(right), kind, on: on.collect() }
}

fn read(dataset: &str, columns: &[(&str, ColumnType)], order: &[&str]) -> RowPlan {
    let columns = columns.iter();
    let columns =
        columns.map(|(of, column_type)| ReadColumn { name: name(of), column_type: *column_type });
    RowPlan {
        dataset: name(dataset),
        unit_column: name("who"),
        columns: columns.collect(),
        filter: None,
        order_columns: order.iter().map(|of| name(of)).collect(),
        table_row_cap: 1_000_000,
    }
}

/// A plan over the four tables. Lanes: rows, persons, rows with `number`, and its sum within -3..=3,
/// in the groups of `key`; without a key and number rows and persons in one cell.
pub fn asked(
    relation: Relation,
    key_and_number: Option<(&str, &str)>,
    row_cap: u32,
    group_cap: u32,
) -> ContributionPlan {
    use ColumnType::{Bool, Float64, Int64, Text, Timestamp};
    let visits = [("k", Int64), ("g", Text), ("v", Float64), ("b", Bool), ("at", Timestamp)];
    let tables = vec![
        read("visits", &visits, &["at"]),
        read("items", &visits[..3], &[]),
        read("visits", &visits, &["at"]),
        read("absent", &visits[..3], &[]),
    ];
    let domain: Vec<KeyValue> =
        GROUPS.iter().map(|group| KeyValue::Text((*group).into())).collect();
    let keys = key_and_number.iter();
    let keys: Vec<_> =
        keys.map(|(key, _)| KeyExpr { expr: col(key), domain: domain.clone() }).collect();
    let mut lanes = vec![(LaneExpr::CountRows, u64::from(row_cap)), (LaneExpr::CountUnits, 1)];
    if let Some((_, number)) = key_and_number {
        lanes.push((LaneExpr::CountNonNull { expr: col(number) }, u64::from(row_cap)));
        let bounds = Bounds::from_steps(-6, 6, 1).unwrap();
        let sum = LaneExpr::SumClamped { expr: col(number), bounds };
        lanes.push((sum, 6 * u64::from(row_cap)));
    }
    let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
    let shapes = lanes.iter().map(|(_, sensitivity_steps)| LaneShape {
        name: "lane".into(),
        grid_bits: 0,
        sensitivity_steps: *sensitivity_steps,
        noise,
        one_of: None,
    });
    let dimension = |_| KeyDimension { name: "key".into(), values: domain.clone() };
    ContributionPlan {
        version: PLAN_VERSION,
        tables,
        row_cap,
        group_cap,
        shape: OutputShape {
            keys: keys.iter().map(dimension).collect(),
            lanes: shapes.collect(),
            columns: vec![],
            served: vec![],
            recipe: Default::default(),
            private_keys: None,
            diagnostics: vec![],
        },
        contribute: Contribute::Sql(SqlContribution {
            relation,
            keys,
            lanes: lanes.into_iter().map(|(lane, _)| lane).collect(),
        }),
    }
}

/// The relation of a plan, to spoil it.
pub fn relation_of(plan: &mut ContributionPlan) -> &mut SqlContribution {
    match &mut plan.contribute {
        Contribute::Sql(sql) => sql,
        Contribute::Module(_) => panic!("plans here are SQL"),
    }
}
