//! Public tables as people write them in an agreement's draft: rows of plain values, `{}` for a missing
//! one. Whatever does not fit its column's type is refused, never turned into something near it.

use super::{DraftError, key_values, seconds};
use cloister_terms::{Bounds, ColumnType, FloatText, Name, PublicField, PublicTable, PublicValue};
use serde::Deserialize;

/// A public table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublicDraft {
    name: Name,
    description: String,
    columns: Vec<FieldDraft>,
    rows: Vec<Vec<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldDraft {
    name: Name,
    #[serde(rename = "type")]
    column_type: ColumnType,
    description: String,
    bounds: Option<Bounds>,
    domain: Option<Vec<toml::Value>>,
}

impl PublicDraft {
    /// The table it describes; its agreement checks it.
    pub(super) fn table(self) -> Result<PublicTable, DraftError> {
        let types: Vec<ColumnType> = self.columns.iter().map(|column| column.column_type).collect();
        let row = |row: Vec<toml::Value>| {
            let mut types = types.iter();
            row.iter().map(|cell| value(cell, types.next().copied())).collect::<Result<_, _>>()
        };
        Ok(PublicTable {
            name: self.name,
            description: self.description,
            rows: self.rows.into_iter().map(row).collect::<Result<_, _>>()?,
            columns: self.columns.into_iter().map(FieldDraft::field).collect::<Result<_, _>>()?,
        })
    }
}

impl FieldDraft {
    fn field(self) -> Result<PublicField, DraftError> {
        Ok(PublicField {
            name: self.name,
            column_type: self.column_type,
            description: self.description,
            bounds: self.bounds,
            domain: self.domain.as_deref().map(key_values).transpose()?,
        })
    }
}

fn value(
    cell: &toml::Value,
    column_type: Option<ColumnType>,
) -> Result<Option<PublicValue>, DraftError> {
    let wrong = || DraftError::PublicValue(cell.to_string().chars().take(40).collect());
    let float = |value: f64| FloatText::new(value).map(PublicValue::Float).ok_or_else(wrong);
    let value = match (cell, column_type) {
        (toml::Value::Table(none), _) if none.is_empty() => return Ok(None),
        (toml::Value::String(text), Some(ColumnType::Text)) => PublicValue::Text(text.clone()),
        (toml::Value::Integer(int), Some(ColumnType::Int64)) => PublicValue::Int(*int),
        (toml::Value::Float(value), Some(ColumnType::Float64)) => float(*value)?,
        // Whole numbers that a float holds exactly.
        (toml::Value::Integer(int), Some(ColumnType::Float64)) if int.unsigned_abs() <= 1 << 53 => {
            float(*int as f64)?
        }
        (toml::Value::Boolean(value), Some(ColumnType::Bool)) => PublicValue::Bool(*value),
        (toml::Value::String(text), Some(ColumnType::Timestamp)) => {
            let micros = seconds("rows", text)?.checked_mul(1_000_000);
            PublicValue::Timestamp(micros.ok_or_else(wrong)?)
        }
        _ => return Err(wrong()),
    };
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> Result<PublicTable, DraftError> {
        let text = format!(
            "name = \"stations\"\ndescription = \"\"\nrows = {rows}\n\
             [[columns]]\nname = \"station\"\ntype = \"text\"\ndescription = \"\"\n\
             [[columns]]\nname = \"latitude\"\ntype = \"float64\"\ndescription = \"\"\n\
             [[columns]]\nname = \"opened\"\ntype = \"timestamp\"\ndescription = \"\"\n"
        );
        toml::from_str::<PublicDraft>(&text).unwrap().table()
    }

    #[test]
    fn rows_are_plain_values_of_their_columns_types() {
        let rows =
            table(r#"[["Main St", 42.25, "1970-01-02"], ["Pleasant St", 42, {}]]"#).unwrap().rows;
        assert_eq!(rows[0][2], Some(PublicValue::Timestamp(86_400_000_000)));
        assert_eq!(
            (rows[1][1].clone(), rows[1][2].clone()),
            (FloatText::new(42.0).map(PublicValue::Float), None)
        );
        for wrong in [
            r#"[[1, 1.0, {}]]"#,
            r#"[["a", "1.0", {}]]"#,
            r#"[["a", nan, {}]]"#,
            r#"[["a", -9223372036854775808, {}]]"#,
            r#"[["a", 1.0, "soon"]]"#,
            r#"[["a", 1.0, {}, 1]]"#,
            r#"[["a", 1.0, {x = 1}]]"#,
        ] {
            assert!(table(wrong).is_err(), "{wrong}");
        }
    }
}
