//! Reads sample files and counts what each column holds. Local to the node: its figures are exact.

use crate::catalog::CatalogError;
use crate::catalog::config::{CsvConfig, FileFormat};
use crate::catalog::records::{RecordError, RecordProblem, check_records};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are looked at in all.
pub const ROWS_MAX: usize = 2_000_000;
/// Different values of a column that are told apart.
pub const VALUES_MAX: usize = 200_000;
/// Rows of a CSV file that its types are guessed from.
const GUESS_ROWS: usize = 10_000;

/// Why files cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// No files given.
    #[error("no files were given: name one or more .parquet or .csv files of one table")]
    NoFiles,
    /// A file that cannot be opened.
    #[error("`{path}` cannot be read: {cause}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Neither Parquet nor CSV.
    #[error("`{path}` does not end in .parquet or .csv: give such a file", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// Not readable Parquet.
    #[error("`{path}` is not readable Parquet: {cause}; replace it", path = path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reader's words.
        cause: ParquetError,
    },
    /// Not readable rows.
    #[error("`{path}` cannot be read to its end: {cause}; replace it", path = path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// The reader's words.
        cause: ArrowError,
    },
    /// A CSV record that the node would refuse when it opens the file.
    #[error(transparent)]
    Record(CatalogError),
    /// Nothing to describe.
    #[error("`{path}` holds no column: a CSV file begins with a line that names its columns", path = path.display())]
    NoColumns {
        /// The file.
        path: PathBuf,
    },
    /// Files of two tables.
    #[error("`{path}` has other columns than the first file: describe one table at a time", path = path.display())]
    Columns {
        /// The file.
        path: PathBuf,
    },
}

/// What was seen in one table.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Whether values of CSV files hold line ends, which a source must declare.
    pub newlines: bool,
    /// Rows looked at.
    pub rows: usize,
    /// Columns, in the files' order.
    pub columns: Vec<ObservedColumn>,
}

/// What was seen in one column.
#[derive(Debug, Clone)]
pub struct ObservedColumn {
    /// Its name in the files.
    pub name: String,
    /// Its type in the files; for CSV, guessed.
    pub data_type: DataType,
    /// Rows without a value.
    pub nulls: usize,
    /// Times each value was seen, as text; incomplete once [`VALUES_MAX`] differ.
    pub values: HashMap<String, u64>,
    /// Whether more values were seen than are told apart.
    pub many: bool,
    /// Values that were seen, repetitions included, when there were too many to tell apart; all before that.
    pub seen: u64,
    /// Finite numbers, sorted.
    pub numbers: Vec<f64>,
}

/// Reads the files of one table. Errors name the file.
pub fn observe(files: &[PathBuf]) -> Result<Observed, DescribeError> {
    let first = files.first().ok_or(DescribeError::NoFiles)?;
    let mut observed = Observed { newlines: false, rows: 0, columns: Vec::new() };
    for path in files {
        let (schema, batches) = opened(path)?;
        if format_of(path)? == FileFormat::Csv {
            observed.newlines |= holds_newlines(path, schema.fields().len())?;
        }
        observed.read(path, &schema, batches)?;
    }
    if observed.columns.is_empty() {
        return Err(DescribeError::NoColumns { path: first.clone() });
    }
    for column in &mut observed.columns {
        column.numbers.sort_by(f64::total_cmp);
    }
    Ok(observed)
}

/// How a file is encoded, by its ending.
pub(super) fn format_of(path: &Path) -> Result<FileFormat, DescribeError> {
    let name = path.to_string_lossy();
    let known = [FileFormat::Parquet, FileFormat::Csv];
    let format = known.into_iter().find(|format| name.ends_with(format.ending()));
    format.ok_or_else(|| DescribeError::Format { path: path.to_owned() })
}

fn open(path: &Path) -> Result<File, DescribeError> {
    File::open(path).map_err(|cause| DescribeError::Open { path: path.to_owned(), cause })
}

/// The columns of a file, and its rows.
type OpenedFile = (SchemaRef, Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>);

/// Opens a file to be read from its start. The values of CSV are texts.
pub(super) fn opened(path: &Path) -> Result<OpenedFile, DescribeError> {
    match format_of(path)? {
        FileFormat::Parquet => opened_parquet(path),
        FileFormat::Csv => opened_csv(path),
    }
}

fn opened_parquet(path: &Path) -> Result<OpenedFile, DescribeError> {
    let wrong = |cause| DescribeError::Parquet { path: path.to_owned(), cause };
    let builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?).map_err(wrong)?;
    let schema = Arc::clone(builder.schema());
    Ok((schema, Box::new(builder.build().map_err(wrong)?)))
}

fn opened_csv(path: &Path) -> Result<OpenedFile, DescribeError> {
    let wrong = |cause| DescribeError::Rows { path: path.to_owned(), cause };
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(open(path)?, Some(GUESS_ROWS)).map_err(wrong)?;
    let texts =
        schema.fields().iter().map(|field| field.as_ref().clone().with_data_type(DataType::Utf8));
    let texts = Arc::new(datafusion::arrow::datatypes::Schema::new(texts.collect::<Vec<_>>()));
    // Read as text: a guess that later rows do not keep must not end the description.
    let batches =
        ReaderBuilder::new(texts).with_format(format).build(open(path)?).map_err(wrong)?;
    Ok((Arc::new(schema), Box::new(batches)))
}

/// Whether a CSV file is well-formed only where values may hold line ends. Errors as opening it would.
fn holds_newlines(path: &Path, fields: usize) -> Result<bool, DescribeError> {
    let check = |newlines| {
        let csv = CsvConfig { newlines, ..CsvConfig::default() };
        check_records(open(path)?, &csv, fields).map_err(|error| match error {
            RecordError::Read(cause) => DescribeError::Open { path: path.to_owned(), cause },
            RecordError::Record { line, problem } => {
                DescribeError::Record(CatalogError::Record { path: path.to_owned(), line, problem })
            }
        })
    };
    // Without a column there is nothing to describe, whatever the records are.
    if fields == 0 {
        return Ok(false);
    }
    match check(false) {
        Ok(()) => Ok(false),
        Err(DescribeError::Record(CatalogError::Record { problem, .. }))
            if problem == RecordProblem::LineEnd && check(true).is_ok() =>
        {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// The values of a column as texts; `None` where it is nested or binary, which has no text form.
pub(super) fn texts_of(array: &ArrayRef) -> Option<ArrayRef> {
    cast_with_options(array, &DataType::Utf8, &safe()).ok()
}

/// The values of a column as floats, null where they are no numbers.
pub(super) fn numbers_of(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, &DataType::Float64, &safe())
}

fn safe() -> CastOptions<'static> {
    CastOptions { safe: true, ..CastOptions::default() }
}

impl Observed {
    fn read(
        &mut self,
        path: &Path,
        schema: &SchemaRef,
        batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    ) -> Result<(), DescribeError> {
        if self.columns.is_empty() {
            let column = |field: &Arc<datafusion::arrow::datatypes::Field>| ObservedColumn {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                nulls: 0,
                values: HashMap::new(),
                many: false,
                seen: 0,
                numbers: Vec::new(),
            };
            self.columns = schema.fields().iter().map(column).collect();
        }
        if !self
            .columns
            .iter()
            .map(|column| &column.name)
            .eq(schema.fields().iter().map(|field| field.name()))
        {
            return Err(DescribeError::Columns { path: path.to_owned() });
        }
        for batch in batches {
            let batch =
                batch.map_err(|cause| DescribeError::Rows { path: path.to_owned(), cause })?;
            let batch = batch.slice(0, batch.num_rows().min(ROWS_MAX.saturating_sub(self.rows)));
            self.rows += batch.num_rows();
            for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
                column
                    .add(array)
                    .map_err(|cause| DescribeError::Rows { path: path.to_owned(), cause })?;
            }
            if self.rows >= ROWS_MAX {
                break;
            }
        }
        Ok(())
    }
}

impl ObservedColumn {
    fn add(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        self.nulls += array.null_count();
        let Some(texts) = texts_of(array) else { return Ok(()) };
        for text in texts.as_string::<i32>().iter().flatten() {
            self.seen += u64::from(!self.many);
            if let Some(seen) = self.values.get_mut(text) {
                *seen += 1;
            } else if self.values.len() < VALUES_MAX {
                self.values.insert(text.to_owned(), 1);
            } else {
                self.many = true;
            }
        }
        if self.data_type.is_numeric() {
            let numbers = numbers_of(array)?;
            let numbers = numbers.as_primitive::<Float64Type>().iter().flatten();
            self.numbers.extend(numbers.filter(|number| number.is_finite()));
        }
        Ok(())
    }

    /// Value below which this share (0 to 1) of the numbers lies.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let last = self.numbers.len().checked_sub(1)?;
        self.numbers.get((last as f64 * share).round() as usize).copied()
    }
}
