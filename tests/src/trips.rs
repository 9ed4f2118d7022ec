//! The dataset `trips` of the fixtures as a CSV file, for those who make up its rows.

use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_terms::{ColumnType, Dictionary};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes `text`, whose first line names the dictionary's own columns, and opens it.
pub fn catalog(path: &Path, text: &str, dictionary: &Dictionary) -> Catalog {
    std::fs::write(path, text).unwrap();
    let columns = &dictionary.dataset("trips").unwrap().columns;
    let typed = columns.iter().filter(|column| column.column_type != ColumnType::Text);
    let types: BTreeMap<String, ColumnType> =
        typed.map(|column| (column.name.to_string(), column.column_type)).collect();
    let same = |text: String| (text.clone(), text);
    let columns: BTreeMap<String, String> =
        columns.iter().map(|column| same(column.name.to_string())).collect();
    let source: SourceConfig = serde_json::from_value(json!({
        "dataset": "trips", "format": "csv", "path": path,
        "csv": { "types": types }, "columns": columns,
    }))
    .unwrap();
    Catalog::open(&[source], dictionary).unwrap()
}
