//! Public tables of a dictionary: short lists that everybody may read, such as stations with their
//! places, signed with the agreement. They hold nothing about a person; records must never be put here.

use crate::Name;
use crate::dictionary::{DictionaryError, check_values};
use crate::limits::{COLUMNS_MAX, PUBLIC_BYTES_MAX, PUBLIC_ROWS_MAX};
use crate::value::{Bounds, ColumnType, KeyValue, int_as_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A public table, the same for every partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicTable {
    /// Its name in SQL, no dataset's.
    pub name: Name,
    /// What it holds, in plain words.
    pub description: String,
    /// Columns, names distinct.
    pub columns: Vec<PublicField>,
    /// Rows, one value a column; `null` is NULL.
    pub rows: Vec<Vec<Option<PublicValue>>>,
}

/// A column of a public table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicField {
    /// Its name in SQL.
    pub name: Name,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// What it means, with its unit of measure.
    pub description: String,
    /// Range of a numeric column; without it the range of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// The values it may be grouped by, in the order answers show them; without it its values, in the
    /// order in which they first stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Vec<KeyValue>>,
}

/// One value of a public table. Numbers are written as text, since JSON numbers beyond 2^53 do not
/// survive every reader (RFC 8785, appendix D).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicValue {
    /// Text.
    Text(String),
    /// Integer.
    Int(#[serde(with = "int_as_text")] i64),
    /// Float.
    Float(FloatText),
    /// True or false.
    Bool(bool),
    /// Microseconds since 1970-01-01 00:00, no time zone.
    Timestamp(#[serde(with = "int_as_text")] i64),
}

/// A finite float64, never -0, as the shortest decimal that reads back as it: `42.25`, `5`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FloatText(String);

/// A text that is no float in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a number in its shortest decimal form: write it as 42.25 or 5")]
pub struct NotAFloat {
    text: String,
}

impl FloatText {
    /// From a finite float; -0 becomes 0. `None` for NaN and infinities.
    pub fn new(value: f64) -> Option<Self> {
        // Adding 0 turns -0 into 0 and changes nothing else (IEEE 754, section 6.3).
        value.is_finite().then(|| Self((value + 0.0).to_string()))
    }

    /// The float.
    pub fn value(&self) -> f64 {
        // What was checked when it was made reads back; 0 would only stand for what cannot be here.
        self.0.parse().unwrap_or(0.0)
    }
}

impl TryFrom<String> for FloatText {
    type Error = NotAFloat;
    fn try_from(text: String) -> Result<Self, NotAFloat> {
        let value = text.parse::<f64>().ok().and_then(Self::new);
        value
            .filter(|float| float.0 == text)
            .ok_or_else(|| NotAFloat { text: text.chars().take(40).collect() })
    }
}

impl From<FloatText> for String {
    fn from(float: FloatText) -> Self {
        float.0
    }
}

impl fmt::Debug for FloatText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PublicValue {
    /// The column type this value belongs to.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Text(_) => ColumnType::Text,
            Self::Int(_) => ColumnType::Int64,
            Self::Float(_) => ColumnType::Float64,
            Self::Bool(_) => ColumnType::Bool,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }

    /// The number it is, as a float, when it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(float.value()),
            Self::Text(_) | Self::Bool(_) | Self::Timestamp(_) => None,
        }
    }

    /// Its size, in bytes of text.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Float(float) => float.0.len(),
            Self::Int(_) | Self::Timestamp(_) => 20,
            Self::Bool(_) => 5,
        }
    }
}

impl PublicTable {
    /// The column of that name, with its place in each row.
    pub fn column(&self, name: &str) -> Option<(usize, &PublicField)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name.as_str() == name)
    }

    /// The values of one column, row by row.
    pub fn values(&self, index: usize) -> impl Iterator<Item = Option<&PublicValue>> {
        self.rows.iter().map(move |row| row.get(index).and_then(Option::as_ref))
    }

    /// Checks everything the type alone does not hold.
    pub(crate) fn check(&self) -> Result<(), DictionaryError> {
        let in_range = |what, found: usize, max: usize| {
            let (found, max) = (found as u64, max as u64);
            if (1..=max).contains(&found) {
                return Ok(());
            }
            Err(DictionaryError::OutOfRange { what, of: self.name.clone(), found, max })
        };
        in_range("columns", self.columns.len(), COLUMNS_MAX)?;
        in_range("rows", self.rows.len(), PUBLIC_ROWS_MAX)?;
        let bytes = self.rows.iter().flatten().flatten().map(PublicValue::bytes).sum::<usize>();
        in_range("bytes", bytes.max(1), PUBLIC_BYTES_MAX)?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.columns.iter().find(|column| !seen.insert(&column.name)) {
            return Err(DictionaryError::Twice(twice.name.clone()));
        }
        for column in &self.columns {
            let PublicField { name, column_type, bounds, domain, .. } = column;
            check_values(name, *column_type, *bounds, domain.as_deref())?;
        }
        (1u64..).zip(&self.rows).try_for_each(|(row, values)| self.check_row(row, values))
    }

    fn check_row(&self, row: u64, values: &[Option<PublicValue>]) -> Result<(), DictionaryError> {
        let wrong = || DictionaryError::PublicRow { table: self.name.clone(), row };
        if values.len() != self.columns.len() {
            return Err(wrong());
        }
        for (column, value) in self.columns.iter().zip(values) {
            let Some(value) = value else { continue };
            let is_bounded = match (column.bounds, value.number()) {
                (Some(bounds), Some(number)) => (bounds.min()..=bounds.max()).contains(&number),
                _ => true,
            };
            if value.column_type() != column.column_type || !is_bounded {
                return Err(wrong());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Dictionary;

    const DATASET: &str = r#"{"name":"trips","description":"","unit_column":"person_id","rows_per_unit_max":5,
        "columns":[{"name":"person_id","type":"int64","description":""}]}"#;

    fn with(name: &str, columns: &str, rows: &str) -> Result<Dictionary, String> {
        let json = format!(
            r#"{{"datasets":[{DATASET}],"public_tables":[
                {{"name":"{name}","description":"","columns":[{columns}],"rows":{rows}}}]}}"#
        );
        let parsed: Dictionary = serde_json::from_str(&json).map_err(|e| e.to_string())?;
        parsed.check().map_err(|e| e.to_string())?;
        Ok(parsed)
    }

    const STATION: &str = r#"{"name":"station","type":"text","description":""}"#;
    const DOCKS: &str =
        r#"{"name":"docks","type":"int64","description":"","bounds":{"min":"0","max":"40"}}"#;

    #[test]
    fn public_tables_are_checked_whole() {
        let both = format!("{STATION},{DOCKS}");
        let rows = r#"[[{"text":"Pleasant St"},{"int":"11"}],[{"text":"Main St"},null]]"#;
        let table = with("stations", &both, rows).unwrap().public_tables.remove(0);
        assert_eq!(table.values(1).flatten().filter_map(|value| value.number()).sum::<f64>(), 11.0);
        assert!(with("trips", &both, rows).unwrap_err().contains("twice"));
        assert!(with("stations", &format!("{STATION},{STATION}"), "[]").is_err());
        for rows in [
            "[]",
            r#"[[{"text":"a"}]]"#,
            r#"[[{"int":"1"},{"int":"1"}]]"#,
            r#"[[{"text":"a"},{"int":"41"}]]"#,
            r#"[[{"text":"a"},{"int":"01"}]]"#,
            r#"[[{"text":"a"},{"float":"1.50"}]]"#,
            r#"[[{"text":"a"},{"float":"NaN"}]]"#,
            r#"[[{"text":"a"},{"float":"-0"}]]"#,
        ] {
            assert!(with("stations", &both, rows).is_err(), "{rows}");
        }
        let long = format!(r#"[[{{"text":"{}"}}]]"#, "x".repeat(2 << 20));
        assert!(with("stations", STATION, &long).unwrap_err().contains("bytes"));
        let many = format!("[{}]", vec![r#"[{"text":"a"}]"#; 20_000].join(","));
        assert!(with("stations", STATION, &many).unwrap_err().contains("rows"));
    }

    #[test]
    fn a_dictionary_without_public_tables_keeps_its_bytes() {
        let json = format!(r#"{{"datasets":[{DATASET}]}}"#);
        let parsed: Dictionary = serde_json::from_str(&json).unwrap();
        assert!(!serde_json::to_string(&parsed).unwrap().contains("public"));
    }
}
