//! Rows as the tour itself reads them from the files it can see, to compute the exact answer beside
//! the private one. It shares nothing with a node's pipeline but the partner's own mapping, so that
//! the two can disagree. No node ever does this.

use crate::cast::{Cast, Partner, TOWNS, TruthKind, table_path};
use cloister_examples::scenario::population::REGIONS;
use cloister_examples::scenario::{PartnerKind, SourceLayout, mapping};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use futures::StreamExt;
use std::collections::HashMap;
use std::path::Path;

/// One row: its place in the person's order, and up to two keys as indices (`None`: null).
#[derive(Clone, Copy)]
pub struct Row {
    /// Order of the person's rows.
    pub order: (i64, i64),
    /// Region, or start town.
    pub first: Option<u8>,
    /// End town.
    pub second: Option<u8>,
}

/// Rows by person, of one partner.
pub type Persons = Vec<Vec<Row>>;

/// Reads the rows that the questions are about.
pub async fn read(cast: &Cast, partner: &Partner, root: &Path) -> Result<Persons, DataFusionError> {
    let context = SessionContext::new();
    let path = table_path(partner, &root.join(partner.name).join("data"));
    let path = path.to_string_lossy().into_owned();
    register(&context, partner, &path).await?;
    let sql = match (cast.truth, partner.kind) {
        (TruthKind::Regions, Some(kind)) => format!(
            "SELECT person_id AS person, CAST(event_time AS BIGINT) AS a, CAST(0 AS BIGINT) AS b, region AS first, CAST(NULL AS VARCHAR) AS second FROM ({}) WHERE person_id IS NOT NULL AND event_time >= TIMESTAMP '2024-01-01' AND event_time < TIMESTAMP '2024-10-01'",
            mapping::view_sql(kind, "source")
        ),
        _ => "SELECT CAST(person_id AS VARCHAR) AS person, CAST(start_time_utc AS BIGINT) AS a, trip_id AS b, start_city AS first, end_city AS second FROM source WHERE person_id IS NOT NULL AND start_time_local >= TIMESTAMP '2019-07-01' AND start_time_local < TIMESTAMP '2019-10-01' AND start_city IS NOT NULL AND end_city IS NOT NULL AND distance_m >= 200".to_owned(),
    };
    let domain: &[&str] = if cast.truth == TruthKind::Regions { &REGIONS } else { &TOWNS };
    let mut stream = context.sql(&sql).await?.execute_stream().await?;
    let mut places = HashMap::new();
    let mut persons = Persons::new();
    while let Some(batch) = stream.next().await {
        gather(&batch?, domain, &mut places, &mut persons)?;
    }
    for rows in &mut persons {
        rows.sort_by_key(|row| row.order);
    }
    Ok(persons)
}

async fn register(
    context: &SessionContext,
    partner: &Partner,
    path: &str,
) -> Result<(), DataFusionError> {
    let layout = partner.kind.map_or(SourceLayout::ParquetFile, PartnerKind::layout);
    match (layout, partner.kind) {
        (SourceLayout::CsvFolder, Some(kind)) => {
            let schema = mapping::source_schema(kind);
            context.register_csv("source", path, CsvReadOptions::new().schema(&schema)).await
        }
        (_, kind) => {
            let columns = kind.map(mapping::partition_columns).unwrap_or_default();
            let columns = columns.iter().map(|c| ((*c).to_owned(), DataType::Utf8)).collect();
            let options = ParquetReadOptions::default().table_partition_cols(columns);
            context.register_parquet("source", path, options).await
        }
    }
}

fn gather(
    batch: &RecordBatch,
    domain: &[&str],
    places: &mut HashMap<String, usize>,
    persons: &mut Persons,
) -> Result<(), DataFusionError> {
    let text = |name: &str| -> Result<_, DataFusionError> {
        let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
        Ok(datafusion::arrow::compute::cast(column, &DataType::Utf8)?)
    };
    let int = |name: &str| -> Result<_, DataFusionError> {
        let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
        Ok(datafusion::arrow::compute::cast(column, &DataType::Int64)?)
    };
    let (person, first, second) = (text("person")?, text("first")?, text("second")?);
    let (a, b) = (int("a")?, int("b")?);
    let (person, first, second) =
        (person.as_string::<i32>(), first.as_string::<i32>(), second.as_string::<i32>());
    let (a, b) = (a.as_primitive::<Int64Type>(), b.as_primitive::<Int64Type>());
    let index = |array: &datafusion::arrow::array::StringArray, row: usize| {
        let value = array.is_valid(row).then(|| array.value(row))?;
        domain.iter().position(|known| *known == value).and_then(|at| u8::try_from(at).ok())
    };
    for row in 0..batch.num_rows() {
        let next = persons.len();
        let place = *places.entry(person.value(row).to_owned()).or_insert(next);
        if place == next {
            persons.push(Vec::new());
        }
        let order = (a.value(row), b.value(row));
        let found = Row { order, first: index(first, row), second: index(second, row) };
        if let Some(rows) = persons.get_mut(place) {
            rows.push(found);
        }
    }
    Ok(())
}

fn missing(name: &str) -> DataFusionError {
    DataFusionError::Plan(format!("no column `{name}`"))
}
