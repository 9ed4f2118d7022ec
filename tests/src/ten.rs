//! Ten nodes of three partners under one dictionary: the developer data where it is at hand, or
//! made-up tables of the same schemas. It says who holds which table and which keys each node serves,
//! and what plain SQL answers over all tables together; of what nodes release it looks at nothing but the
//! keys that a first round shows.

use crate::coverage::{Coverage, Measured, measured, shown};
use crate::fixtures::name;
use crate::readme::{Asked, Q3_SPEND, QUESTIONS};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_plan::{ContributionPlan, Planned, Question, Spend, plan};
use cloister_terms::{Body, Dictionary, KeyValue, Name, OutputShape};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Node, dataset and file of each.
pub const FILES: [(&str, &str, &str); 10] = [
    ("bank-a", "bank", "bank/bank_a.parquet"),
    ("bank-b", "bank", "bank/bank_b.parquet"),
    ("bank-c", "bank", "bank/bank_c.parquet"),
    ("mobility-amherst", "mob", "mobility/mobility_amherst.parquet"),
    ("mobility-holyoke", "mob", "mobility/mobility_holyoke.parquet"),
    ("mobility-northampton", "mob", "mobility/mobility_northampton.parquet"),
    ("mobility-springfield", "mob", "mobility/mobility_springfield.parquet"),
    ("retail-north-west-europe", "ret", "retail/retail_north_west_europe.parquet"),
    ("retail-rest-of-world", "ret", "retail/retail_rest_of_world.parquet"),
    ("retail-united-kingdom", "ret", "retail/retail_united_kingdom.parquet"),
];
/// A country of the dictionary that no shop serves.
pub const UNSERVED: &str = "Estonia";
/// Grid of money, and of a person's sum of it: fine, since pence lie on no binary grid.
pub const MONEY_GRID_BITS: u8 = 14;
const TOWNS: [&str; 6] =
    ["Amherst", "Easthampton", "Holyoke", "Northampton", "South Hadley", "Springfield"];

/// Exact figures by keys, in the order of the answer's columns; a figure that plain SQL calls NULL is
/// not there.
pub type Exact = BTreeMap<Vec<KeyValue>, Vec<Option<f64>>>;

/// The ten nodes' tables.
#[derive(Debug)]
pub struct Ten {
    /// What the agreement pins.
    pub dictionary: Dictionary,
    folder: PathBuf,
    _kept: Option<tempfile::TempDir>,
}

/// The developer data's folder, when it is beside the checkout.
pub fn sample_folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("CLOISTER_DATA").map_or(beside, PathBuf::from);
    FILES.iter().all(|(.., file)| folder.join(file).is_file()).then_some(folder)
}

impl Ten {
    /// Over made-up tables.
    pub async fn made_up(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        crate::made_up::write(folder.path(), seed);
        let ten = Self::over(folder.path()).await;
        Self { _kept: Some(folder), ..ten }
    }

    /// Over the files in `folder`.
    pub async fn over(folder: &Path) -> Self {
        let served = countries(folder).await;
        let dictionary: Dictionary = serde_json::from_value(dictionary(&served)).unwrap();
        dictionary.check().unwrap();
        Self { dictionary, folder: folder.to_owned(), _kept: None }
    }

    /// The same, with countries that no document lists.
    pub fn with_private_countries(self) -> Self {
        let mut dictionary = self.dictionary.clone();
        dictionary.holdings.iter_mut().for_each(|held| held.domains.clear());
        let columns = dictionary.datasets.iter_mut().flat_map(|dataset| &mut dataset.columns);
        let countries = columns.filter(|column| column.name.as_str() == "country");
        countries.for_each(|column| column.domain = None);
        dictionary.check().unwrap();
        Self { dictionary, ..self }
    }

    /// A node's tables.
    pub fn catalog(&self, node: &Name) -> Catalog {
        let (_, dataset, file) = FILES.into_iter().find(|(held, ..)| name(held) == *node).unwrap();
        let columns = &self.dictionary.dataset(dataset).unwrap().columns;
        let same = |column: &Name| (column.to_string(), json!(column));
        let columns: BTreeMap<_, _> = columns.iter().map(|column| same(&column.name)).collect();
        let source: SourceConfig = serde_json::from_value(json!({
            "dataset": dataset, "format": "parquet", "path": self.folder.join(file), "columns": columns,
        }))
        .unwrap();
        Catalog::open(&[source], &self.dictionary).unwrap()
    }

    /// The plan of a question.
    pub fn planned(&self, asked: &Asked, spend: Spend) -> Planned {
        self.planned_in(1, asked, spend)
    }

    fn planned_in(&self, rounds: u32, asked: &Asked, spend: Spend) -> Planned {
        let body = Body::Sql { text: asked.sql.to_owned() };
        let (row_cap, group_cap) = (asked.row_cap, asked.group_cap);
        plan(
            &self.dictionary,
            &Question { body: &body, row_cap, group_cap, spend, diagnostics: false, rounds },
        )
        .unwrap()
    }

    /// The second of two rounds: its plan with the keys that the first one shows, with noise of that seed,
    /// and the nodes that answer.
    async fn second_round(
        &self,
        asked: &Asked,
        spend: Spend,
        seed: u64,
    ) -> (ContributionPlan, Vec<Name>) {
        let Planned { plan, keys_plan, holders, .. } = self.planned_in(2, asked, spend);
        let (first, nodes) = (keys_plan.unwrap(), holders.unwrap());
        let mut found = BTreeSet::new();
        for (node, seed) in nodes.iter().zip(seed..) {
            found.extend(shown(&first, (node, &self.catalog(node)), seed).await);
        }
        let shape = plan.shape.of_keys(found.into_iter().collect());
        (ContributionPlan { shape, ..plan }, nodes)
    }

    /// How many nodes serve a cell, by what they hold: of the partner that a key names, or of the
    /// country; all that hold the table where keys are not about holders.
    pub fn serving(&self, asked: &Asked, keys: &[KeyValue]) -> usize {
        let holding = |dataset: &str| FILES.iter().filter(|(_, held, _)| *held == dataset).count();
        let text = keys[0].to_string();
        match asked.name {
            "q1" => holding("mob"),
            "q2" => match (text.as_str(), keys[1].to_string().as_str()) {
                ("mobility", month) if month.starts_with("2019-") => holding("mob"),
                ("retail", month) if month.starts_with("2011-") => holding("ret"),
                ("bank", month) if month.starts_with("2005-") => holding("bank"),
                _ => 0,
            },
            "q3-spend" => {
                let serves = |held: &&cloister_terms::Holdings| {
                    held.domains.iter().any(|own| own.values.contains(&keys[0]))
                };
                self.dictionary.holdings.iter().filter(serves).count()
            }
            _ => holding("bank"),
        }
    }

    /// Plain SQL over the tables of all nodes together, no cap anywhere.
    pub async fn exact(&self, asked: &Asked) -> Exact {
        self.exact_over(
            asked,
            &[
                ("mob", "mobility/mobility_*.parquet"),
                ("ret", "retail/retail_*.parquet"),
                ("bank", "bank/bank_*.parquet"),
            ],
        )
        .await
    }

    /// Plain SQL over one node's table.
    pub async fn exact_at(&self, node: &str, asked: &Asked) -> Exact {
        let (_, dataset, file) = FILES.into_iter().find(|(held, ..)| *held == node).unwrap();
        self.exact_over(asked, &[(dataset, file)]).await
    }

    async fn exact_over(&self, asked: &Asked, tables: &[(&str, &str)]) -> Exact {
        let context = SessionContext::new();
        for (dataset, files) in tables {
            let path = self.folder.join(files);
            let options = ParquetReadOptions::default();
            context.register_parquet(*dataset, path.to_str().unwrap(), options).await.unwrap();
        }
        let batches = context.sql(asked.sql).await.unwrap().collect().await.unwrap();
        let mut exact = Exact::new();
        for batch in &batches {
            let keys = batch.columns().iter().take_while(|column| is_key(column)).count();
            let figure = |column: &ArrayRef, row| {
                let column = cast(column, &DataType::Float64).unwrap();
                (!column.is_null(row)).then(|| column.as_primitive::<Float64Type>().value(row))
            };
            let (keyed, figures) = batch.columns().split_at(keys);
            // What has no key is in no cell.
            let is_keyed = |row: &usize| keyed.iter().all(|column| !column.is_null(*row));
            for row in (0..batch.num_rows()).filter(is_keyed) {
                let keys = keyed.iter().map(|column| key(column, row)).collect();
                exact.insert(keys, figures.iter().map(|column| figure(column, row)).collect());
            }
        }
        exact
    }

    /// The question measured at these nodes, with plain SQL's answer as the truth; a cap that binds is an
    /// error of the test.
    pub async fn measured(
        &self,
        asked: &Asked,
        plan: &ContributionPlan,
        nodes: &[Name],
        exact: &Exact,
    ) -> Measured {
        let nodes: Vec<_> = nodes.iter().map(|node| (node.clone(), self.catalog(node))).collect();
        let nodes: Vec<_> = nodes.iter().map(|(node, catalog)| (node.clone(), catalog)).collect();
        let mut measured = measured(asked.name, plan, None, &nodes).await;
        let truth = self.by_cell(&plan.shape, exact);
        for (bounded, exact) in measured.truth.iter().flatten().zip(truth.iter().flatten()) {
            let (Some(bounded), Some(exact)) = (bounded, exact) else {
                assert_eq!(bounded, exact, "{}", asked.name);
                continue;
            };
            // Rounding to the grid, a person at a time.
            let off = 1e-6 * exact.abs() + 1e-2;
            assert!((bounded - exact).abs() <= off, "{}: {bounded}, exact {exact}", asked.name);
        }
        measured.truth = truth;
        measured
    }

    /// The exact figures cell by cell: a total over nobody is 0, a share over nobody is none.
    pub fn by_cell(&self, shape: &OutputShape, exact: &Exact) -> Vec<Vec<Option<f64>>> {
        let columns = crate::coverage::figures(shape);
        let nobody = |column: &&cloister_terms::ResultColumn| {
            matches!(column.formula, cloister_terms::Formula::Total { .. }).then_some(0.0)
        };
        let cell = |cell: u64| {
            let keys: Vec<KeyValue> = shape.key_of(cell).unwrap().into_iter().cloned().collect();
            let found = exact.get(&keys).cloned();
            found.unwrap_or_else(|| columns.iter().map(nobody).collect())
        };
        (0..shape.cells().unwrap()).map(cell).collect()
    }
}

/// The nodes that answer a question, sorted.
pub fn nodes(shape: &OutputShape) -> Vec<Name> {
    shape.served.iter().map(|served| served.partner.clone()).collect()
}

/// Keys are texts and times here, figures are numbers.
fn is_key(column: &ArrayRef) -> bool {
    !column.data_type().is_numeric()
}

fn key(column: &ArrayRef, row: usize) -> KeyValue {
    match column.data_type() {
        DataType::Timestamp(..) => {
            let times = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
            KeyValue::Timestamp(times.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        _ => {
            let texts = cast(column, &DataType::Utf8).unwrap();
            KeyValue::Text(texts.as_string::<i32>().value(row).to_owned())
        }
    }
}

/// The countries each shop serves, as its steward would say.
async fn countries(folder: &Path) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut served = BTreeMap::new();
    for (node, _, file) in FILES.into_iter().filter(|(_, dataset, _)| *dataset == "ret") {
        let context = SessionContext::new();
        let path = folder.join(file);
        let options = ParquetReadOptions::default();
        context.register_parquet("ret", path.to_str().unwrap(), options).await.unwrap();
        let text = "SELECT DISTINCT country FROM ret WHERE country IS NOT NULL";
        let batches = context.sql(text).await.unwrap().collect().await.unwrap();
        let rows = |batch: &datafusion::arrow::array::RecordBatch| {
            let texts = cast(batch.column(0), &DataType::Utf8).unwrap();
            texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        };
        served.insert(node, batches.iter().flat_map(rows).collect());
    }
    served
}

fn dictionary(served: &BTreeMap<&'static str, BTreeSet<String>>) -> Value {
    let texts = |values: Vec<&str>| -> Vec<Value> {
        values.into_iter().map(|value| json!({ "text": value })).collect()
    };
    let all: BTreeSet<&str> = served.values().flatten().map(String::as_str).collect();
    let all: Vec<&str> = all.into_iter().chain([UNSERVED]).collect();
    let dataset = |dataset: &str, rows: u32, columns: Vec<Value>| {
        let person =
            json!({ "name": "person_id", "type": "int64", "description": "", "identifier": true });
        let columns: Vec<Value> = std::iter::once(person).chain(columns).collect();
        json!({ "name": dataset, "description": "", "unit_column": "person_id",
                "rows_per_unit_max": rows, "columns": columns })
    };
    let plain =
        |column: &str, kind: &str| json!({ "name": column, "type": kind, "description": "" });
    let ranged = |column: &str, kind: &str, min: &str, max: &str, bits: u8| {
        let bounds = json!({ "min": min, "max": max, "grid_bits": bits });
        json!({ "name": column, "type": kind, "description": "", "bounds": bounds })
    };
    let listed = |column: &str, values: Vec<&str>| json!({ "name": column, "type": "text", "description": "", "domain": texts(values) });
    let holdings = FILES.map(|(node, dataset, _)| {
        let own = served.get(node).map(|values| {
            let values = texts(values.iter().map(String::as_str).collect());
            json!({ "dataset": dataset, "column": "country", "values": values })
        });
        json!({ "partner": node, "datasets": [dataset], "domains": own.into_iter().collect::<Vec<_>>() })
    });
    json!({ "holdings": holdings, "datasets": [
        dataset("mob", 2_000, vec![
            plain("start_time_local", "timestamp"),
            ranged("distance_m", "float64", "0", "50000", 0),
            listed("start_city", TOWNS.to_vec()),
            listed("end_city", TOWNS.to_vec()),
        ]),
        dataset("ret", 10_000, vec![
            plain("invoice_time", "timestamp"),
            ranged("quantity", "int64", "-100000", "100000", 0),
            ranged("amount_gbp", "float64", "-200000", "200000", MONEY_GRID_BITS),
            listed("country", all),
        ]),
        dataset("bank", 6, vec![
            plain("statement_month", "timestamp"),
            plain("repayment_status", "int64"),
            ranged("payment_amount_twd", "float64", "0", "2000000", 0),
            plain("age", "int64"),
        ]),
    ] })
}

/// A spend of rho alone.
pub fn rho(text: &str) -> Spend {
    Spend { epsilon: None, rho: Some(text.parse().unwrap()), delta: None }
}

/// Coverage of every question at every cost it lists: what the intervals should hold is plain SQL's
/// answer, which the bounded one equals but for the grid.
pub async fn covered(ten: &Ten, intervals: usize, seed: u64) -> Vec<Coverage> {
    let mut covered = Vec::new();
    for asked in &QUESTIONS {
        let exact = ten.exact(asked).await;
        let mut measured: Option<Measured> = None;
        for spend in asked.rho {
            let plan = ten.planned(asked, rho(spend)).plan;
            let again = match measured.take() {
                // Lanes do not depend on what is spent.
                Some(before) => Measured { plan, ..before },
                None => ten.measured(asked, &plan, &nodes(&plan.shape), &exact).await,
            };
            let again = Measured { question: format!("{}, rho {spend}", asked.name), ..again };
            covered.push(again.covered(intervals, seed));
            measured = Some(again);
        }
    }
    covered
}

/// Coverage of the second round of Q3 over private countries: those that the first round shows, each of them
/// answered by every shop. `ten` has no public countries.
pub async fn covered_in_two_rounds(ten: &Ten, intervals: usize, seed: u64) -> Coverage {
    let exact = ten.exact(&Q3_SPEND).await;
    let spend = Spend { delta: Some("0.000001".parse().unwrap()), ..rho("1") };
    let (plan, nodes) = ten.second_round(&Q3_SPEND, spend, seed).await;
    let found = plan.shape.cells().unwrap() as usize;
    assert!((3..exact.len()).contains(&found), "{found} countries of {} are shown", exact.len());
    let measured = ten.measured(&Q3_SPEND, &plan, &nodes, &exact).await;
    let question = format!("{}, second round", Q3_SPEND.name);
    // Other noise than the first round's.
    Measured { question, ..measured }.covered(intervals, seed + nodes.len() as u64)
}
