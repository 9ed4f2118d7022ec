//! The shared data dictionary that an agreement pins: what the partners' tables mean, whichever way
//! each partner stores them. It holds bounds and public domains, never anything read off records.

use crate::Name;
use crate::holdings::{Holdings, HoldingsError};
use crate::limits::{
    COLUMNS_MAX, DATASETS_MAX, DOMAIN_VALUES_MAX, GROUP_CAP_MAX, PUBLIC_TABLES_MAX, ROW_CAP_MAX,
};
use crate::public::PublicTable;
use crate::value::{Bounds, ColumnType, KeyValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The datasets every partner of an agreement maps its tables onto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dictionary {
    /// Datasets, names distinct.
    pub datasets: Vec<Dataset>,
    /// What each partner holds; empty when every partner holds every dataset with its whole domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holdings: Vec<Holdings>,
    /// Public tables, names distinct from each other and from the datasets'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public_tables: Vec<PublicTable>,
}

/// One table of the dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name in SQL.
    pub name: Name,
    /// What it holds, in plain words.
    pub description: String,
    /// The column that names the privacy unit. It can be counted as `COUNT(DISTINCT unit)`, never
    /// selected, grouped by or passed to a module.
    pub unit_column: Name,
    /// Columns, names distinct, the unit column among them.
    pub columns: Vec<Column>,
    /// Columns whose order is the canonical order of one person's rows; ties break by the row itself.
    #[serde(default)]
    pub order_columns: Vec<Name>,
    /// Most rows of one person that any analysis may use, applied after the filters.
    pub rows_per_unit_max: u32,
    /// Most groups that one person may count in, whatever the analysis, where the data owners set a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_per_unit_max: Option<u32>,
}

/// One column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name in SQL.
    pub name: Name,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// What it means, with its unit of measure.
    pub description: String,
    /// Identifier columns can never be selected, grouped by, filtered on or passed to a module.
    #[serde(default)]
    pub identifier: bool,
    /// Clamping range of a numeric column. Without one the column cannot be summed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// Public domain: the values the column may be grouped by, in the order answers show them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Vec<KeyValue>>,
}

/// Why a dictionary is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryError {
    /// Two datasets, or two columns of one dataset, share a name.
    #[error("`{0}` is declared twice: rename one")]
    Twice(Name),
    /// A column that is referred to does not exist.
    #[error("dataset `{dataset}` has no column `{column}`: declare it or correct the name")]
    NoColumn {
        /// The dataset.
        dataset: Name,
        /// The missing column.
        column: Name,
    },
    /// A count is zero or beyond its limit.
    #[error("`{what}` of `{of}` is {found}: it must be between 1 and {max}")]
    OutOfRange {
        /// What was counted.
        what: &'static str,
        /// Of which dataset or column.
        of: Name,
        /// The number found.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A domain value's type is not its column's, or stands twice.
    #[error(
        "domain value `{value}` of column `{column}` is of another type than the column, or stands twice"
    )]
    DomainValue {
        /// The column.
        column: Name,
        /// The value.
        value: String,
    },
    /// What a partner holds is not what the dictionary has.
    #[error(transparent)]
    Holdings(#[from] HoldingsError),
    /// A row of a public table does not fit its columns.
    #[error(
        "row {row} of public table `{table}` does not fit its columns: give one value of the column's type and bounds for each, or null"
    )]
    PublicRow {
        /// The table.
        table: Name,
        /// The row, from 1.
        row: u64,
    },
    /// Bounds on a column that is not numeric.
    #[error("column `{column}` is {column_type}: only int64 and float64 columns have bounds")]
    BoundsOnType {
        /// The column.
        column: Name,
        /// Its type.
        column_type: ColumnType,
    },
}

impl Dictionary {
    /// The dataset of that name.
    pub fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|dataset| dataset.name.as_str() == name)
    }

    /// The public table of that name.
    pub fn public_table(&self, name: &str) -> Option<&PublicTable> {
        self.public_tables.iter().find(|table| table.name.as_str() == name)
    }

    /// Checks everything the type alone does not hold: distinct names, references, limits, domains.
    pub fn check(&self) -> Result<(), DictionaryError> {
        let first = self.datasets.first().map(|d| d.name.clone());
        in_range("datasets", first.as_ref(), self.datasets.len() as u64, DATASETS_MAX as u64)?;
        let datasets = self.datasets.iter().map(|dataset| &dataset.name);
        distinct(datasets.chain(self.public_tables.iter().map(|table| &table.name)))?;
        if self.public_tables.len() > PUBLIC_TABLES_MAX {
            let found = self.public_tables.len() as u64;
            in_range("public_tables", first.as_ref(), found, PUBLIC_TABLES_MAX as u64)?;
        }
        self.datasets.iter().try_for_each(Dataset::check)?;
        self.public_tables.iter().try_for_each(PublicTable::check)?;
        crate::holdings::check(&self.holdings, self)?;
        Ok(())
    }
}

impl Dataset {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }

    fn check(&self) -> Result<(), DictionaryError> {
        let name = Some(&self.name);
        in_range("columns", name, self.columns.len() as u64, COLUMNS_MAX as u64)?;
        in_range("rows_per_unit_max", name, self.rows_per_unit_max.into(), ROW_CAP_MAX.into())?;
        if let Some(groups) = self.groups_per_unit_max {
            in_range("groups_per_unit_max", name, groups.into(), GROUP_CAP_MAX.into())?;
        }
        distinct(self.columns.iter().map(|column| &column.name))?;
        for named in std::iter::once(&self.unit_column).chain(&self.order_columns) {
            if self.column(named.as_str()).is_none() {
                return Err(DictionaryError::NoColumn {
                    dataset: self.name.clone(),
                    column: named.clone(),
                });
            }
        }
        self.columns.iter().try_for_each(Column::check)
    }
}

impl Column {
    fn check(&self) -> Result<(), DictionaryError> {
        check_values(&self.name, self.column_type, self.bounds, self.domain.as_deref())
    }
}

/// Checks what is declared of a column's values.
pub(crate) fn check_values(
    name: &Name,
    column_type: ColumnType,
    bounds: Option<Bounds>,
    domain: Option<&[KeyValue]>,
) -> Result<(), DictionaryError> {
    let numeric = matches!(column_type, ColumnType::Int64 | ColumnType::Float64);
    if bounds.is_some() && !numeric {
        return Err(DictionaryError::BoundsOnType { column: name.clone(), column_type });
    }
    let Some(domain) = domain else {
        return Ok(());
    };
    in_range("domain", Some(name), domain.len() as u64, DOMAIN_VALUES_MAX as u64)?;
    let mut seen = BTreeSet::new();
    for value in domain {
        if value.column_type() != column_type || !seen.insert(value) {
            return Err(DictionaryError::DomainValue {
                column: name.clone(),
                value: value.to_string().chars().take(80).collect(),
            });
        }
    }
    Ok(())
}

fn distinct<'a>(names: impl Iterator<Item = &'a Name>) -> Result<(), DictionaryError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(DictionaryError::Twice(name.clone()));
        }
    }
    Ok(())
}

fn in_range(
    what: &'static str,
    of: Option<&Name>,
    found: u64,
    max: u64,
) -> Result<(), DictionaryError> {
    if (1..=max).contains(&found) {
        return Ok(());
    }
    let of = of.cloned().or_else(|| Name::new("dictionary").ok());
    match of {
        Some(of) => Err(DictionaryError::OutOfRange { what, of, found, max }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(json: &str) -> Result<Dictionary, String> {
        let parsed: Dictionary = serde_json::from_str(json).map_err(|e| e.to_string())?;
        parsed.check().map_err(|e| e.to_string())?;
        Ok(parsed)
    }

    const COLUMN: &str =
        r#"{"name":"person_id","type":"int64","description":"","identifier":true}"#;

    fn with(columns: &str, unit: &str, rows: &str) -> Result<Dictionary, String> {
        dictionary(&format!(
            r#"{{"datasets":[{{"name":"trips","description":"","unit_column":"{unit}","columns":[{columns}],"rows_per_unit_max":{rows}}}]}}"#
        ))
    }

    #[test]
    fn dictionaries_are_checked_whole() {
        assert!(with(COLUMN, "person_id", "50").is_ok());
        assert!(with(COLUMN, "rider", "50").unwrap_err().contains("no column"));
        assert!(with(COLUMN, "person_id", "0").unwrap_err().contains("between 1 and"));
        assert!(with(COLUMN, "person_id", "4294967295").is_err());
        assert!(
            with(&format!("{COLUMN},{COLUMN}"), "person_id", "5").unwrap_err().contains("twice")
        );
        assert!(with("", "person_id", "5").is_err());
        assert!(dictionary(r#"{"datasets":[]}"#).is_err());
        let city = |domain: &str| {
            let column = format!(
                r#"{COLUMN},{{"name":"city","type":"text","description":"","domain":{domain}}}"#
            );
            with(&column, "person_id", "5")
        };
        assert!(city(r#"[{"text":"Amherst"},{"text":"Holyoke"}]"#).is_ok());
        assert!(city(r#"[{"text":"Amherst"},{"text":"Amherst"}]"#).is_err());
        assert!(city(r#"[{"int":"1"}]"#).is_err());
        assert!(city("[]").is_err());
        assert!(city(r#"[{"int":"01"}]"#).is_err());
    }
}
