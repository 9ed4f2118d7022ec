//! The columns of a source, from Parquet footers and CSV headers alone: no row is read, and no type
//! is guessed from rows, since a guess would depend on the data.

use crate::catalog::config::{CsvConfig, FileFormat, SourceConfig};
use crate::catalog::error::CatalogError;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest CSV header line, in bytes.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// The columns that a source's files have, all nullable.
#[derive(Debug, Clone)]
pub struct SourceSchema {
    /// Columns in the files, as the engine reads them.
    pub files: SchemaRef,
    /// Columns on which files disagree: an error once an expression uses one.
    pub differing: BTreeMap<String, Difference>,
}

/// How a file's column differs from that of the first file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub path: PathBuf,
    /// What the column is there.
    pub found: String,
    /// What it is in the first file.
    pub wanted: String,
}

/// Reads the schema of every file. Errors on a file that cannot be opened as its format.
pub fn source_schema(
    source: &SourceConfig,
    paths: &[PathBuf],
) -> Result<SourceSchema, CatalogError> {
    let csv = source.csv.clone().unwrap_or_default();
    let mut first: Option<Schema> = None;
    let mut differing = BTreeMap::new();
    for path in paths {
        let schema = match source.format {
            FileFormat::Parquet => parquet_schema(path)?,
            FileFormat::Csv => csv_schema(path, &csv)?,
        };
        match &first {
            None => first = Some(schema),
            Some(first) if source.format == FileFormat::Csv => same_header(first, &schema, path)?,
            Some(first) => compare(first, &schema, path, &mut differing),
        }
    }
    let fields = first.unwrap_or_else(Schema::empty).fields;
    let nullable =
        fields.iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Ok(SourceSchema { files: Arc::new(Schema::new(nullable.collect::<Vec<_>>())), differing })
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File, CatalogError> {
    File::open(path)
        .map_err(|error| CatalogError::Path { path: path.to_owned(), kind: error.kind() })
}

fn parquet_schema(path: &Path) -> Result<Schema, CatalogError> {
    let file = open(path)?;
    let footer = ArrowReaderMetadata::load(&file, Default::default());
    let footer = footer.map_err(|error| CatalogError::Unreadable {
        path: path.to_owned(),
        format: "Parquet",
        detail: error.to_string(),
    })?;
    let fields = footer.schema().fields().iter().map(|field| viewed(field));
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// Texts are read as views of the file's pages. A reader that copied them would hold a long one once for each
/// row that it stands in, and would fail where those of one batch have more than 2 GiB: the rows of one person
/// would end the scan of all.
fn viewed(field: &Field) -> Field {
    match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => field.clone().with_data_type(DataType::Utf8View),
        _ => field.clone(),
    }
}

/// The reader's settings of a CSV source.
pub fn csv_format(csv: &CsvConfig) -> Format {
    let format = Format::default()
        .with_header(csv.header)
        .with_delimiter(one_byte(csv.delimiter))
        .with_quote(one_byte(csv.quote));
    match csv.escape {
        Some(escape) => format.with_escape(one_byte(escape)),
        None => format,
    }
}

/// The character as a byte; opening a catalog has refused every other one.
pub fn one_byte(character: char) -> u8 {
    u8::try_from(character).unwrap_or(b',')
}

fn csv_schema(path: &Path, csv: &CsvConfig) -> Result<Schema, CatalogError> {
    use std::io::Read;
    // The header alone, or without one the first line's number of fields.
    let lines = if csv.header { 0 } else { 1 };
    let head = open(path)?.take(HEADER_BYTES_MAX);
    let unreadable =
        |detail: String| CatalogError::Unreadable { path: path.to_owned(), format: "CSV", detail };
    let (schema, _) = csv_format(csv)
        .infer_schema(head, Some(lines))
        .map_err(|error| unreadable(error.to_string()))?;
    if schema.fields().is_empty() {
        return Err(unreadable("it has no columns".to_owned()));
    }
    let texts = schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
    let texts: Vec<Field> = texts.collect();
    for (place, field) in texts.iter().enumerate() {
        if texts.iter().take(place).any(|before| before.name() == field.name()) {
            return Err(unreadable(format!(
                "column `{}` stands twice in its header",
                field.name()
            )));
        }
    }
    Ok(Schema::new(texts))
}

/// Checks that a Parquet file still has the columns of its source that are used. Reads its footer alone.
pub fn check_footer(
    path: &Path,
    wanted: &Schema,
    used: &BTreeSet<String>,
) -> Result<(), CatalogError> {
    let mut differing = BTreeMap::new();
    compare(wanted, &parquet_schema(path)?, path, &mut differing);
    match differing.into_iter().find(|(column, _)| used.contains(column)) {
        None => Ok(()),
        Some((column, Difference { path, found, wanted })) => {
            Err(CatalogError::Differs { path, column, found, wanted })
        }
    }
}

/// Checks that a CSV file still has the columns of its source.
pub fn check_header(path: &Path, csv: &CsvConfig, wanted: &Schema) -> Result<(), CatalogError> {
    same_header(wanted, &csv_schema(path, csv)?, path)
}

/// CSV columns are known by their place, so headers must be equal.
fn same_header(first: &Schema, schema: &Schema, path: &Path) -> Result<(), CatalogError> {
    let names = |schema: &Schema| {
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    let (wanted, found) = (names(first), names(schema));
    let Some(place) =
        (0..wanted.len().max(found.len())).find(|place| wanted.get(*place) != found.get(*place))
    else {
        return Ok(());
    };
    let shown =
        |name: Option<&String>| name.map_or("missing".to_owned(), |name| format!("`{name}`"));
    Err(CatalogError::Differs {
        path: path.to_owned(),
        column: format!("number {}", place + 1),
        found: shown(found.get(place)),
        wanted: shown(wanted.get(place)),
    })
}

fn compare(
    first: &Schema,
    schema: &Schema,
    path: &Path,
    differing: &mut BTreeMap<String, Difference>,
) {
    for wanted in first.fields() {
        let found = schema.field_with_name(wanted.name()).ok();
        if found.is_some_and(|found| found.data_type() == wanted.data_type()) {
            continue;
        }
        let difference = Difference {
            path: path.to_owned(),
            found: found.map_or("missing".to_owned(), |found| found.data_type().to_string()),
            wanted: wanted.data_type().to_string(),
        };
        differing.entry(wanted.name().clone()).or_insert(difference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        ArrayRef, Int64Array, LargeStringArray, RecordBatch, StringArray,
    };
    use datafusion::parquet::arrow::ArrowWriter;

    fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }

    fn schema_of(path: &Path) -> SchemaRef {
        let text = "dataset = \"events\"\nformat = \"parquet\"\npath = \"x\"\n[columns]\n";
        let source: SourceConfig = toml::from_str(text).unwrap();
        source_schema(&source, &[path.to_owned()]).unwrap().files
    }

    #[test]
    fn texts_of_parquet_files_are_read_as_views() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("who", Arc::new(StringArray::from(vec!["a"]))),
            ("note", Arc::new(LargeStringArray::from(vec!["b"]))),
            ("n", Arc::new(Int64Array::from(vec![1]))),
        ];
        write(&path, columns);
        let types = [DataType::Utf8View, DataType::Utf8View, DataType::Int64];
        let schema = schema_of(&path);
        assert!(schema.fields().iter().map(|field| field.data_type()).eq(&types), "{schema:?}");
    }

    #[test]
    fn a_parquet_file_that_changed_must_still_have_the_columns_that_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let ints = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        let texts = || Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
        write(&path, vec![("who", texts()), ("n", ints())]);
        let schema = schema_of(&path);
        let used: BTreeSet<String> = ["who", "n"].map(str::to_owned).into();
        check_footer(&path, &schema, &used).unwrap();
        // More columns, and others in place of those that nothing reads.
        write(&path, vec![("new", ints()), ("n", ints()), ("who", texts())]);
        check_footer(&path, &schema, &used).unwrap();
        for columns in [vec![("who", texts()), ("n", texts())], vec![("who", texts())]] {
            write(&path, columns);
            check_footer(&path, &schema, &["who".to_owned()].into()).unwrap();
            let found = check_footer(&path, &schema, &used);
            let is_found =
                matches!(&found, Err(CatalogError::Differs { column, .. }) if column == "n");
            assert!(is_found, "{found:?}");
        }
        std::fs::write(&path, b"PAR1").unwrap();
        let found = check_footer(&path, &schema, &used);
        assert!(matches!(found, Err(CatalogError::Unreadable { .. })), "{found:?}");
    }
}
