//! What a steward writes in `node.toml` about one source: where the files lie and how their columns
//! become the dictionary's. It must never hold a bound or a domain: those are the agreement's.

use cloister_terms::{ColumnType, Name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One source: files of one kind that feed one dataset of the dictionary. Several sources may feed
/// the same dataset; their rows are put together.
///
/// ```toml
/// [[source]]
/// dataset = "events"
/// format = "parquet"
/// path = "/data/traces"
/// hive_partitions = { month = "text" }
/// where = "duration_s >= 0"
///
/// [source.columns]
/// person_id = "imsi_hash"
/// event_time = "CAST(to_timestamp_seconds(epoch_s) AS TIMESTAMP(6))"
/// region = "CASE area WHEN 1 THEN 'Ashford' WHEN 2 THEN 'Bramley' END"
/// amount_eur = "NULL"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The dictionary's dataset that these rows belong to.
    pub dataset: Name,
    /// `"parquet"` or `"csv"`.
    pub format: FileFormat,
    /// A file, a folder (every `.parquet` or `.csv` file in it and below, but for names that start
    /// with `.` or `_`), or a pattern with `*` and `?` in names and `**` for any folders.
    /// A relative path counts from the folder of `node.toml`.
    pub path: PathBuf,
    /// Columns that stand in the folders' names, like `month=2024-01`, with their types. The folders
    /// may be nested in any order, the same for every file; `path` is then a folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hive_partitions: BTreeMap<String, ColumnType>,
    /// How CSV files are written. Not allowed for Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvConfig>,
    /// For every column of the dataset: an SQL expression over this source's own columns, names
    /// spelled as in the files. `"NULL"` where the partner has none. One row gives one row: no
    /// aggregates, subqueries or window functions, nothing random, no clock. A value that cannot be
    /// converted is null, never an error; so is a text of more than 64 KiB.
    pub columns: BTreeMap<Name, String>,
    /// Rows are read only when this SQL condition over the source's columns is true.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub only_where: Option<String>,
}

/// How files are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated text, UTF-8.
    Csv,
}

impl FileFormat {
    /// Ending of the files that a folder is searched for, with its dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Parquet => ".parquet",
            Self::Csv => ".csv",
        }
    }
}

/// How CSV files are written. Every field is text; an empty one is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvConfig {
    /// Whether the first line names the columns; without it they are `column_1`, `column_2`, ...
    pub header: bool,
    /// The character between fields, one byte.
    pub delimiter: char,
    /// The character around fields that hold a delimiter, one byte.
    pub quote: char,
    /// The character before a quote inside quotes, one byte; by default a quote is doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// Whether values in quotes may hold line ends. Without it a quote that its line does not close is
    /// refused, so that one record's stray quote never reaches the next.
    #[serde(skip_serializing_if = "is_false")]
    pub newlines: bool,
    /// Types of columns, for use in expressions; the others are text. A field that is not of its
    /// type is null.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, ColumnType>,
}

impl Default for CsvConfig {
    fn default() -> Self {
        let (delimiter, quote) = (',', '"');
        Self {
            header: true,
            delimiter,
            quote,
            escape: None,
            newlines: false,
            types: BTreeMap::new(),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

impl SourceConfig {
    /// Makes a relative path count from `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        if self.path.is_relative() {
            self.path = folder.join(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_reads_and_a_misspelt_key_does_not() {
        let sample = r#"
            dataset = "events"
            format = "csv"
            path = "payments"
            where = "amount > 0"
            csv = { delimiter = ";", types = { amount = "float64" } }
            [columns]
            person_id = "account_no"
        "#;
        let mut source: SourceConfig = toml::from_str(sample).unwrap();
        assert_eq!(source.only_where.as_deref(), Some("amount > 0"));
        assert_eq!(source.csv.as_ref().map(|csv| (csv.delimiter, csv.header)), Some((';', true)));
        source.resolve(Path::new("/etc/node"));
        assert_eq!(source.path, Path::new("/etc/node/payments"));
        let written = toml::to_string(&source).unwrap();
        assert_eq!(toml::from_str::<SourceConfig>(&written).unwrap(), source);
        assert!(toml::from_str::<SourceConfig>(&sample.replace("where", "were")).is_err());
        assert!(toml::from_str::<SourceConfig>(&sample.replace("csv\"", "xml\"")).is_err());
        assert!(toml::from_str::<SourceConfig>(&sample.replace("person_id", "Person")).is_err());
    }
}
