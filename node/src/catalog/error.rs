//! What can be wrong with a source before a row is read: each error names file, column and remedy.
//! It must never quote a value from a row.

use crate::catalog::records::RecordProblem;
use cloister_terms::{ColumnType, Name};
use std::io;
use std::path::PathBuf;

/// Why a catalog cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A source for a dataset that the dictionary does not have.
    #[error("source for `{dataset}`: the dictionary has no such dataset; it has {known}")]
    UnknownDataset {
        /// As configured.
        dataset: Name,
        /// The dictionary's datasets.
        known: String,
    },
    /// A path that does not exist or cannot be read.
    #[error("`{path}` cannot be read ({kind}): correct `path` of the source, or the rights on it", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// No file where there should be some.
    #[error("no file matches `{path}`: give a file, a folder that holds `*{ending}` files, or a pattern", path = path.display())]
    NoFiles {
        /// The path or pattern.
        path: PathBuf,
        /// The ending searched for.
        ending: &'static str,
    },
    /// A file whose name the engine would take for a pattern, or that is not UTF-8.
    #[error("the name of `{path}` holds `*`, `?`, `[` or bytes that are not UTF-8: rename it", path = path.display())]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// Folders' names do not hold the partition columns.
    #[error("`{path}` does not lie in folders named {wanted}, one inside the other as in the first file: move it, or correct `hive_partitions`", path = path.display())]
    Partitions {
        /// The file.
        path: PathBuf,
        /// The folders that its path must have.
        wanted: String,
    },
    /// A file that is not what its source says.
    #[error("`{path}` is not a readable {format} file: {detail}; replace it, or correct `format`", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The format it should have.
        format: &'static str,
        /// The reader's words about its structure.
        detail: String,
    },
    /// A CSV record that others' records would be read along with, or that would stop the scan.
    #[error("`{path}`, line {line}: {problem}; correct the file, nothing of it is read until then", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line on which the record begins, from 1.
        line: u64,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A file that changed while it was read.
    #[error("`{path}` changed while it was read: write a new file and move it into place, then ask again", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Two files of one source disagree on a column.
    #[error("`{path}`: column `{column}` is {found}, but {wanted} in the source's first file: write all files alike, or make two sources", path = path.display())]
    Differs {
        /// The file that differs.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it is there.
        found: String,
        /// What it is in the first file.
        wanted: String,
    },
    /// An option that does not belong to the format, or is not one byte.
    #[error("source for `{dataset}`: `{option}` {problem}")]
    Option {
        /// The dataset.
        dataset: Name,
        /// The option.
        option: String,
        /// What is wrong and what to do.
        problem: &'static str,
    },
    /// A dictionary column without an expression.
    #[error(
        "source for `{dataset}`: column `{column}` ({column_type}) is not mapped; add `{column} = \"...\"` to its `columns`, `\"NULL\"` if you hold no such thing"
    )]
    Unmapped {
        /// The dataset.
        dataset: Name,
        /// The column.
        column: Name,
        /// Its type in the dictionary.
        column_type: ColumnType,
    },
    /// An expression for a column that the dictionary does not have.
    #[error(
        "source for `{dataset}`: the dictionary has no column `{column}`; remove it from `columns`, or correct its name"
    )]
    NotInDictionary {
        /// The dataset.
        dataset: Name,
        /// The column.
        column: Name,
    },
    /// An expression that cannot be used.
    #[error("source for `{dataset}`, `{place}` = `{sql}`: {problem}")]
    Expression {
        /// The dataset.
        dataset: Name,
        /// The dictionary column, or `where`.
        place: String,
        /// The expression.
        sql: String,
        /// What is wrong.
        problem: Box<ExpressionProblem>,
    },
    /// The engine refused a table for another reason.
    #[error("source for `{dataset}` cannot be opened: {detail}")]
    Engine {
        /// The dataset.
        dataset: Name,
        /// The engine's words.
        detail: String,
    },
}

/// What is wrong with a mapping expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionProblem {
    /// Longer than any sensible expression.
    #[error("it has {bytes} bytes, at most {max} are allowed: shorten it")]
    TooLong {
        /// As found.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not SQL.
    #[error("it is not an SQL expression: {0}")]
    Syntax(String),
    /// A column that the source does not have.
    #[error("the source has no column `{column}`; it has {known} (names are case-sensitive)")]
    NoColumn {
        /// As written.
        column: String,
        /// The source's columns.
        known: String,
    },
    /// Not row-wise, or not the same each time.
    #[error("{0} is not allowed: an expression sees one row, and gives the same value each time")]
    NotRowWise(String),
    /// A type that does not become the dictionary's by itself.
    #[error(
        "it is {found}, the dictionary says {wanted}: convert it, for example `TRY_CAST(... AS {cast})`"
    )]
    Type {
        /// The expression's type.
        found: String,
        /// The dictionary's.
        wanted: ColumnType,
        /// An SQL type that fits.
        cast: &'static str,
    },
    /// The engine cannot plan it.
    #[error("it cannot be computed: {0}")]
    Engine(String),
}
