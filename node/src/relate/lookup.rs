//! A person's rows beside the rows of a public table that have their keys. The table is part of the
//! plan and the same for everybody, so nothing of one person can come to another through it.

use crate::relate::join::{coder, values};
use crate::relate::keys::KeyCoder;
use crate::relate::pairs::{Right, pairs};
use crate::relate::rows::{NO_ROW, PersonRows, Room, StepStop, row_number};
use crate::relate::{RelationError, Step, distinct_names};
use cloister_plan::{JoinKey, JoinKind, Literal, PublicColumn, PublicRows};
use cloister_terms::{ColumnType, Name};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use std::collections::HashMap;
use std::sync::Arc;

/// A look-up made ready: the public rows of each key, in their order.
pub struct Lookup {
    kind: JoinKind,
    on: Vec<JoinKey>,
    coder: KeyCoder,
    names: Arc<[Name]>,
    arrays: Vec<ArrayRef>,
    rows: usize,
    found: HashMap<Vec<u8>, Vec<u32>>,
}

impl Lookup {
    /// Makes columns of the public rows and checks names and key types. Errors on values that are not
    /// of their column's type, and without keys.
    pub fn new(
        kind: JoinKind,
        on: &[JoinKey],
        left: &PersonRows,
        public: &PublicRows,
    ) -> Result<Self, StepStop> {
        if on.is_empty() {
            return Err(RelationError::Lacks("look-up keys").into());
        }
        let own = public.columns.iter().map(|column| &column.name);
        let names = distinct_names(left.names().iter().chain(own.clone()))?;
        if public.rows.iter().any(|row| row.len() != public.columns.len()) {
            return Err(RelationError::PublicRows.into());
        }
        let columns = public.columns.iter().enumerate();
        let arrays: Vec<ArrayRef> = columns
            .map(|(place, column)| public_column(column, place, &public.rows))
            .collect::<Result<_, _>>()?;
        let rows = public.rows.len();
        let table = PersonRows::new(distinct_names(own)?, arrays.clone(), vec![0, rows])?;
        let keys = values(on, &table, |key| &key.right)?;
        let coder = coder(&values(on, left, |key| &key.left)?, &keys)?;
        let keys = coder.keys(&keys)?;
        let mut found: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        for row in 0..rows {
            if let (false, Some(key)) = (keys.has_null(row), keys.key(row)) {
                found.entry(key.data().to_vec()).or_default().push(row_number(row)?);
            }
        }
        Ok(Self { kind, on: on.to_vec(), coder, names, arrays, rows, found })
    }
}

impl Step for Lookup {
    fn run(&self, below: &[PersonRows], room: &mut Room) -> Result<PersonRows, StepStop> {
        let [left] = below else { return Err(RelationError::Lacks("sides").into()) };
        let keys = self.coder.keys(&values(&self.on, left, |key| &key.left)?)?;
        let public = Right::Public(&self.arrays, self.rows);
        pairs(left, public, &self.names, room, |mine, _, pen| {
            for row in mine {
                let key = keys.key(row as usize).filter(|_| !keys.has_null(row as usize));
                let found = key.and_then(|key| self.found.get(key.data()));
                let found = found.map_or(&[][..], Vec::as_slice);
                if found.is_empty() && self.kind == JoinKind::Left && !pen.pair(row, NO_ROW) {
                    return;
                }
                for partner in found {
                    if !pen.pair(row, *partner) {
                        return;
                    }
                }
            }
        })
    }
}

/// One column of a public table. Errors on a value of another type.
fn public_column(
    column: &PublicColumn,
    place: usize,
    rows: &[Vec<Option<Literal>>],
) -> Result<ArrayRef, RelationError> {
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let value = row.get(place).ok_or(RelationError::PublicRows)?.as_ref();
        if value.is_some_and(|value| value.column_type() != column.column_type) {
            return Err(RelationError::PublicRows);
        }
        values.push(value);
    }
    macro_rules! array {
        ($array:ty, $kind:path, $value:expr) => {
            Arc::new(
                values
                    .into_iter()
                    .map(|value| if let Some($kind(value)) = value { $value(value) } else { None })
                    .collect::<$array>(),
            )
        };
    }
    Ok(match column.column_type {
        ColumnType::Int64 => {
            array!(Int64Array, Literal::Int, |int: &cloister_plan::IntText| Some(int.0))
        }
        ColumnType::Float64 => {
            array!(Float64Array, Literal::Float, |float: &cloister_plan::FloatBits| Some(
                float.value()
            ))
        }
        ColumnType::Text => array!(StringArray, Literal::Text, |text: &String| Some(text.clone())),
        ColumnType::Bool => array!(BooleanArray, Literal::Bool, |bool: &bool| Some(*bool)),
        ColumnType::Timestamp => {
            array!(TimestampMicrosecondArray, Literal::Timestamp, |at: &cloister_plan::IntText| {
                Some(at.0)
            })
        }
    })
}
