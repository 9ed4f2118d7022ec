//! A report on the mapped data for the steward: counts of everything that the pipeline drops, clamps
//! or caps in silence. Every figure in it is exact, so it must never leave the node, nor be logged
//! where others read.

use crate::catalog::{Catalog, FileFormat, Source, schema};
use crate::contribute::domain::{DomainIndex, NO_CODE};
use crate::fault::Fault;
use crate::row_bytes::TypedColumn;
use crate::scan::{BATCH_ROWS, EngineOptions, engine_state};
use cloister_terms::{Bounds, Column, Dataset, Name};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What the mapped data is like, dataset by dataset. Local: never to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataReport {
    /// Every dataset of the dictionary.
    pub datasets: Vec<DatasetReport>,
}

/// One dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// Its name.
    pub dataset: Name,
    /// Sources that feed it; 0 where the partner lacks it.
    pub sources: u64,
    /// Files of them.
    pub files: u64,
    /// Files that cannot be read to their end. A run that needs one gives no answer.
    pub unreadable: Vec<UnreadableFile>,
    /// Rows read.
    pub rows: u64,
    /// Rows without a unit: dropped in every run.
    pub rows_without_unit: u64,
    /// Persons.
    pub persons: u64,
    /// Persons with more rows than `rows_per_unit_max`, when no filter takes any.
    pub persons_over_cap: u64,
    /// Their rows beyond it: a fair sample is kept, these are left out.
    pub rows_over_cap: u64,
    /// Every column.
    pub columns: Vec<ColumnReport>,
}

/// One column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub column: Name,
    /// Rows without a value, values that could not be converted included.
    pub nulls: u64,
    /// Values outside the public domain: their rows fall into no group.
    pub outside_domain: u64,
    /// Values outside the bounds: sums clamp them.
    pub outside_bounds: u64,
    /// Whether values are expected: a source maps it to something else than `NULL`, or it is the
    /// column that names persons.
    pub expected: bool,
}

/// A file that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableFile {
    /// The file.
    pub path: PathBuf,
    /// The reader's words.
    pub detail: String,
}

/// Reads every row of every source once. Errors only when the engine cannot plan the views; files
/// that cannot be read are part of the report.
pub async fn check_data(catalog: &Catalog) -> Result<DataReport, Fault> {
    let mut datasets = Vec::new();
    for dataset in &catalog.dictionary().datasets {
        let mut tally = Tally::new(dataset)?;
        for source in catalog.sources(&dataset.name) {
            tally.report.sources += 1;
            tally.expect(source);
            tally.report.files += source.paths().len() as u64;
            read_source(source, dataset, &mut tally).await?;
        }
        datasets.push(tally.finish(dataset.rows_per_unit_max));
    }
    Ok(DataReport { datasets })
}

async fn read_source(source: &Source, dataset: &Dataset, tally: &mut Tally) -> Result<(), Fault> {
    let names: Vec<Name> = dataset.columns.iter().map(|column| column.name.clone()).collect();
    let state = engine_state(&EngineOptions::default())?;
    let plan = state.create_physical_plan(&source.view(&names)?).await?;
    let mut stream = execute_stream(plan, state.task_ctx())?;
    while let Some(batch) = stream.next().await {
        match batch {
            Ok(batch) => tally.add(&batch)?,
            Err(error) => {
                tally.report.unreadable.extend(unreadable_files(source, &error));
                break;
            }
        }
    }
    Ok(())
}

/// Counts while rows go by.
struct Tally {
    report: DatasetReport,
    checks: Vec<(Option<DomainIndex>, Option<Bounds>)>,
    unit: usize,
    rows_of: HashMap<Vec<u8>, u64>,
}

impl Tally {
    fn new(dataset: &Dataset) -> Result<Self, Fault> {
        let check = |column: &Column| {
            let domain = column.domain.as_deref().and_then(DomainIndex::new);
            (domain, column.bounds)
        };
        let column = |column: &Column| ColumnReport {
            column: column.name.clone(),
            nulls: 0,
            outside_domain: 0,
            outside_bounds: 0,
            expected: column.name == dataset.unit_column,
        };
        let unit = dataset.columns.iter().position(|column| column.name == dataset.unit_column);
        let missing = Fault::UnknownColumn {
            dataset: dataset.name.clone(),
            column: dataset.unit_column.clone(),
        };
        Ok(Self {
            checks: dataset.columns.iter().map(check).collect(),
            unit: unit.ok_or(missing)?,
            rows_of: HashMap::new(),
            report: DatasetReport {
                dataset: dataset.name.clone(),
                sources: 0,
                files: 0,
                unreadable: Vec::new(),
                rows: 0,
                rows_without_unit: 0,
                persons: 0,
                persons_over_cap: 0,
                rows_over_cap: 0,
                columns: dataset.columns.iter().map(column).collect(),
            },
        })
    }

    fn expect(&mut self, source: &Source) {
        for column in &mut self.report.columns {
            let mapped = source.config().columns.get(&column.column);
            column.expected |= mapped.is_some_and(|sql| !is_null(sql));
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        self.report.rows += batch.num_rows() as u64;
        let columns = self.report.columns.iter_mut().zip(&self.checks).zip(batch.columns());
        for (index, ((report, (domain, bounds)), array)) in columns.enumerate() {
            report.nulls += array.null_count() as u64;
            if let Some(domain) = domain {
                let unknown = domain.codes(array)?.iter().filter(|code| **code == NO_CODE).count();
                report.outside_domain += (unknown - array.null_count()) as u64;
            }
            if let Some(bounds) = bounds {
                report.outside_bounds += outside(&TypedColumn::new(array, index)?, *bounds);
            }
        }
        let unit = batch.columns().get(self.unit).ok_or(Fault::Layout { index: self.unit })?;
        self.add_units(unit)
    }

    fn add_units(&mut self, unit: &ArrayRef) -> Result<(), Fault> {
        let typed = TypedColumn::new(unit, self.unit)?;
        let mut name = Vec::new();
        for row in 0..unit.len() {
            if unit.is_null(row) {
                self.report.rows_without_unit += 1;
                continue;
            }
            name.clear();
            typed.write(row, &mut name);
            match self.rows_of.get_mut(&name) {
                Some(rows) => *rows += 1,
                None => {
                    self.rows_of.insert(name.clone(), 1);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, row_cap: u32) -> DatasetReport {
        self.report.persons = self.rows_of.len() as u64;
        for rows in self.rows_of.values() {
            let over = rows.saturating_sub(row_cap.into());
            self.report.rows_over_cap += over;
            self.report.persons_over_cap += u64::from(over > 0);
        }
        self.report
    }
}

fn outside(column: &TypedColumn, bounds: Bounds) -> u64 {
    let (min, max) = (i128::from(bounds.min_steps()), i128::from(bounds.max_steps()));
    let count = match column {
        TypedColumn::Int(ints) => {
            let steps = ints.iter().flatten().map(|int| i128::from(int) << bounds.grid_bits());
            steps.filter(|steps| steps < &min || steps > &max).count()
        }
        TypedColumn::Float(floats) => floats
            .iter()
            .flatten()
            .filter(|float| *float < bounds.min() || *float > bounds.max())
            .count(),
        TypedColumn::Text(_) | TypedColumn::Timestamp(_) | TypedColumn::Bool(_) => 0,
    };
    count as u64
}

/// The files of a source that cannot be read to their end; the engine's own words when all can.
fn unreadable_files(source: &Source, error: &DataFusionError) -> Vec<UnreadableFile> {
    let probe = |path: &PathBuf| {
        let detail = read_whole(source, path).err()?;
        Some(UnreadableFile { path: path.clone(), detail })
    };
    let found: Vec<_> = source.paths().iter().filter_map(probe).collect();
    if found.is_empty() {
        let path = source.config().path.clone();
        return vec![UnreadableFile { path, detail: error.strip_backtrace() }];
    }
    found
}

fn read_whole(source: &Source, path: &Path) -> Result<(), String> {
    let file = schema::open(path).map_err(|error| error.to_string())?;
    match source.config().format {
        FileFormat::Parquet => {
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
            let mut batches = reader.map_err(|error| error.to_string())?;
            batches.try_for_each(|batch| batch.map(drop)).map_err(|error| error.to_string())
        }
        FileFormat::Csv => {
            let csv = source.config().csv.clone().unwrap_or_default();
            let columns = schema::source_schema(source.config(), &[path.to_owned()]);
            let columns = columns.map_err(|error| error.to_string())?.files;
            let builder = ReaderBuilder::new(columns)
                .with_format(schema::csv_format(&csv))
                .with_batch_size(BATCH_ROWS);
            let mut batches = builder.build(file).map_err(|error| error.to_string())?;
            batches.try_for_each(|batch| batch.map(drop)).map_err(|error| error.to_string())
        }
    }
}

impl DatasetReport {
    /// Columns without a value in any row, though the mapping gives them one: most likely a mistake
    /// in an expression, since what cannot be converted is null.
    pub fn empty_columns(&self) -> Vec<&Name> {
        let is_empty =
            |column: &&ColumnReport| column.expected && self.rows > 0 && column.nulls == self.rows;
        self.columns.iter().filter(is_empty).map(|column| &column.column).collect()
    }
}

/// Whether an expression says `NULL` on purpose, as it is or cast to a type.
fn is_null(sql: &str) -> bool {
    let words = sql.to_ascii_uppercase().replace(['(', ')'], " ");
    let mut words = words.split_whitespace();
    match words.next() {
        Some("NULL") => words.next().is_none(),
        Some("CAST" | "TRY_CAST") => words.next() == Some("NULL") && words.next() == Some("AS"),
        _ => false,
    }
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Exact figures about your own data: do not pass them on.")?;
        for dataset in &self.datasets {
            write!(f, "\n{dataset}")?;
        }
        Ok(())
    }
}

impl fmt::Display for DatasetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sources == 0 {
            return writeln!(f, "{}: no source; every run sees an empty table", self.dataset);
        }
        writeln!(
            f,
            "{}: {} rows of {} persons in {} files",
            self.dataset, self.rows, self.persons, self.files
        )?;
        for file in &self.unreadable {
            writeln!(f, "  UNREADABLE {}: {}", file.path.display(), file.detail)?;
        }
        writeln!(f, "  {} rows without a person are dropped", self.rows_without_unit)?;
        writeln!(
            f,
            "  {} persons are over the row cap; {} of their rows are left out",
            self.persons_over_cap, self.rows_over_cap
        )?;
        let width =
            self.columns.iter().map(|column| column.column.as_str().len()).max().unwrap_or(0);
        for column in &self.columns {
            let name = column.column.as_str();
            write!(f, "  {name:width$}  {} without a value", column.nulls)?;
            for (count, what) in [
                (column.outside_domain, "outside the domain"),
                (column.outside_bounds, "outside the bounds"),
            ] {
                if count > 0 {
                    write!(f, ", {count} {what}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_null;

    #[test]
    fn null_on_purpose_is_told_from_what_turns_out_empty() {
        for said in ["NULL", " null ", "CAST(NULL AS DOUBLE)", "try_cast( null as bigint )"] {
            assert!(is_null(said), "{said}");
        }
        for other in ["", "amount", "TRY_CAST(amount AS DOUBLE)", "NULLIF(a, b)", "NULL + 1"] {
            assert!(!is_null(other), "{other}");
        }
    }
}
