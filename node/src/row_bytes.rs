//! Canonical bytes of a row and of a unit: type-tagged and length-prefixed, so that no two different
//! rows share bytes and equal rows always do, whatever file, batch or partition they came from.

use crate::fault::Fault;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use std::cmp::Ordering;
use std::ops::Range;

const TAG_NULL: u8 = 0;
const TAG_INT: u8 = 1;
const TAG_FLOAT: u8 = 2;
const TAG_TEXT: u8 = 3;
const TAG_TIMESTAMP: u8 = 4;
const TAG_BOOL: u8 = 5;

/// A column of a known type. Row numbers given to its methods are those of the batch it came from.
/// No `Debug`: it holds records.
#[derive(Clone)]
pub enum TypedColumn {
    /// int64.
    Int(Int64Array),
    /// float64, settled.
    Float(Float64Array),
    /// UTF-8 text.
    Text(StringArray),
    /// Microseconds without a zone.
    Timestamp(TimestampMicrosecondArray),
    /// True or false.
    Bool(BooleanArray),
}

impl TypedColumn {
    /// Types an array; `index` is its place in the scan's output, for the error alone.
    pub fn new(array: &ArrayRef, index: usize) -> Result<Self, Fault> {
        let timestamps = || array.as_primitive_opt::<TimestampMicrosecondType>().cloned();
        let typed = match array.data_type() {
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().cloned().map(Self::Int),
            DataType::Float64 => array.as_primitive_opt::<Float64Type>().cloned().map(Self::Float),
            DataType::Utf8 => array.as_string_opt::<i32>().cloned().map(Self::Text),
            DataType::Timestamp(_, None) => timestamps().map(Self::Timestamp),
            DataType::Boolean => array.as_boolean_opt().cloned().map(Self::Bool),
            _ => None,
        };
        typed.ok_or(Fault::Layout { index })
    }

    /// Whether a row holds no value.
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Int(column) => column.is_null(row),
            Self::Float(column) => column.is_null(row),
            Self::Text(column) => column.is_null(row),
            Self::Timestamp(column) => column.is_null(row),
            Self::Bool(column) => column.is_null(row),
        }
    }

    /// Appends tag, length (u32, little endian) and value; a null is its tag alone.
    pub fn write(&self, row: usize, into: &mut Vec<u8>) {
        if self.is_null(row) {
            into.push(TAG_NULL);
            return;
        }
        let mut put = |tag: u8, bytes: &[u8]| {
            into.push(tag);
            // Arrow's text offsets are i32, so no value is longer.
            into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            into.extend_from_slice(bytes);
        };
        match self {
            Self::Int(column) => put(TAG_INT, &column.value(row).to_le_bytes()),
            // Settled once more: equal numbers must have equal bytes.
            Self::Float(column) => {
                put(TAG_FLOAT, &(column.value(row) + 0.0).to_bits().to_le_bytes())
            }
            Self::Text(column) => put(TAG_TEXT, column.value(row).as_bytes()),
            Self::Timestamp(column) => put(TAG_TIMESTAMP, &column.value(row).to_le_bytes()),
            Self::Bool(column) => put(TAG_BOOL, &[u8::from(column.value(row))]),
        }
    }

    /// Whether every value of these rows is known and above the one before. Only numbers and timestamps
    /// are looked at: false tells nothing.
    pub fn is_climbing(&self, rows: Range<usize>) -> bool {
        let (values, nulls) = match self {
            Self::Int(column) => (column.values(), column.nulls()),
            Self::Timestamp(column) => (column.values(), column.nulls()),
            Self::Float(_) | Self::Text(_) | Self::Bool(_) => return false,
        };
        let values = values.get(rows).unwrap_or_default();
        // Without a value nothing is shown, as with a NULL.
        nulls.is_none_or(|nulls| nulls.null_count() == 0)
            && !values.is_empty()
            && values.is_sorted_by(|left, right| left < right)
    }

    /// Whether no value stands behind a greater one.
    pub fn is_ascending(&self) -> bool {
        let rows = match self {
            Self::Int(column) if column.null_count() == 0 => return column.values().is_sorted(),
            Self::Timestamp(column) if column.null_count() == 0 => {
                return column.values().is_sorted();
            }
            Self::Int(column) => column.len(),
            Self::Timestamp(column) => column.len(),
            Self::Float(column) => column.len(),
            Self::Text(column) => column.len(),
            Self::Bool(column) => column.len(),
        };
        (1..rows).all(|row| self.order(row.saturating_sub(1), row) != Ordering::Greater)
    }

    /// Order of what [`TypedColumn::write`] appends for two rows, byte by byte, without writing it.
    pub fn bytes_order(&self, left: usize, right: usize) -> Ordering {
        let known = self.is_null(right).cmp(&self.is_null(left));
        if known != Ordering::Equal || self.is_null(left) {
            return known;
        }
        let reversed = |value: i64| value.cast_unsigned().swap_bytes();
        match self {
            Self::Int(column) => reversed(column.value(left)).cmp(&reversed(column.value(right))),
            Self::Timestamp(column) => {
                reversed(column.value(left)).cmp(&reversed(column.value(right)))
            }
            Self::Float(column) => {
                let bits = |row| (column.value(row) + 0.0).to_bits().swap_bytes();
                bits(left).cmp(&bits(right))
            }
            Self::Text(column) => {
                let (left, right) = (column.value(left).as_bytes(), column.value(right).as_bytes());
                let length = |bytes: &[u8]| (bytes.len() as u32).swap_bytes();
                length(left).cmp(&length(right)).then_with(|| left.cmp(right))
            }
            Self::Bool(column) => column.value(left).cmp(&column.value(right)),
        }
    }

    /// Order of two rows by value: numbers by size, text by bytes, false before true, nulls last.
    pub fn order(&self, left: usize, right: usize) -> Ordering {
        // A column is of its own type.
        self.order_between(left, self, right).unwrap_or(Ordering::Equal)
    }

    /// As [`Self::order`], of a row here and a row of another column; `None` when that column is of
    /// another type.
    pub fn order_between(&self, left: usize, other: &Self, right: usize) -> Option<Ordering> {
        let nulls = match (self.is_null(left), other.is_null(right)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        };
        let first = |known: Ordering| nulls.unwrap_or(known);
        Some(match (self, other) {
            (Self::Int(here), Self::Int(there)) => first(here.value(left).cmp(&there.value(right))),
            (Self::Float(here), Self::Float(there)) => {
                first(here.value(left).total_cmp(&there.value(right)))
            }
            (Self::Text(here), Self::Text(there)) => {
                first(here.value(left).as_bytes().cmp(there.value(right).as_bytes()))
            }
            (Self::Timestamp(here), Self::Timestamp(there)) => {
                first(here.value(left).cmp(&there.value(right)))
            }
            (Self::Bool(here), Self::Bool(there)) => {
                first(here.value(left).cmp(&there.value(right)))
            }
            _ => return None,
        })
    }

    /// Bytes of text in rows `start..end`; 0 for other types. Depends on the rows alone.
    pub fn text_bytes(&self, start: usize, end: usize) -> usize {
        let Self::Text(column) = self else { return 0 };
        known_text_bytes(column, start..end)
    }
}

/// Bytes of text in some rows. A NULL counts nothing: whether bytes stand behind it depends on how the
/// column was made, and so on the other rows of its batch.
pub fn known_text_bytes(texts: &StringArray, rows: Range<usize>) -> usize {
    let offsets = texts.value_offsets();
    let between = |start: usize, end: usize| {
        let ends = offsets.get(start).zip(offsets.get(end));
        ends.and_then(|(start, end)| usize::try_from(end.saturating_sub(*start)).ok()).unwrap_or(0)
    };
    match texts.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => between(rows.start, rows.end),
        Some(nulls) => {
            let known = rows.filter(|row| *row < nulls.len() && nulls.is_valid(*row));
            known.map(|row| between(row, row.saturating_add(1))).sum()
        }
    }
}

/// The columns of a batch that rows are told apart by, in their order, and the units beside them: one
/// a row, or one a person, as their maker says. No `Debug`: it holds records.
#[derive(Clone)]
pub struct RowBytes {
    unit: TypedColumn,
    columns: Vec<TypedColumn>,
}

impl RowBytes {
    /// From the units and the approved columns.
    pub fn new(unit: TypedColumn, columns: Vec<TypedColumn>) -> Self {
        Self { unit, columns }
    }

    /// The units.
    pub fn units(&self) -> &TypedColumn {
        &self.unit
    }

    /// Overwrites `into` with the unit's bytes in this row of the units.
    pub fn unit(&self, row: usize, into: &mut Vec<u8>) {
        into.clear();
        self.unit.write(row, into);
    }

    /// Overwrites `into` with the row's bytes.
    pub fn row(&self, row: usize, into: &mut Vec<u8>) {
        into.clear();
        for column in &self.columns {
            column.write(row, into);
        }
    }

    /// Order of the bytes of two rows, without writing them: no column's bytes are the beginning of
    /// another value's, so the first column that differs decides.
    pub fn row_order(&self, left: usize, right: usize) -> Ordering {
        let mut columns = self.columns.iter().map(|column| column.bytes_order(left, right));
        columns.find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
    }
}

/// Rows that can be asked for their bytes, wherever they lie; by their numbers, as their maker gives them.
pub trait CanonicalRows {
    /// Overwrites `into` with the bytes of the unit of this row.
    fn unit(&self, row: usize, into: &mut Vec<u8>);
    /// Overwrites `into` with the row's bytes.
    fn row(&self, row: usize, into: &mut Vec<u8>);
}

impl CanonicalRows for RowBytes {
    fn unit(&self, row: usize, into: &mut Vec<u8>) {
        self.unit(row, into);
    }

    fn row(&self, row: usize, into: &mut Vec<u8>) {
        self.row(row, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn typed(array: impl Array + 'static) -> TypedColumn {
        TypedColumn::new(&(Arc::new(array) as ArrayRef), 0).unwrap()
    }

    #[test]
    fn different_rows_never_share_bytes_and_equal_ones_do() {
        let left =
            typed(StringArray::from(vec![Some("ab"), Some("a"), None, Some(""), Some("ab")]));
        let right =
            typed(StringArray::from(vec![Some("c"), Some("bc"), Some("abc"), None, Some("c")]));
        let bytes = RowBytes::new(typed(Int64Array::from(vec![1; 5])), vec![left, right]);
        let row = |row| {
            let mut into = vec![9];
            bytes.row(row, &mut into);
            into
        };
        for first in 0..5 {
            for second in 0..first {
                assert_eq!(row(first) == row(second), (second, first) == (0, 4));
            }
        }
    }

    #[test]
    fn a05_both_zeros_have_the_same_bytes() {
        let zeros = typed(Float64Array::from(vec![0.0, -0.0]));
        let [mut first, mut second] = [vec![], vec![]];
        zeros.write(0, &mut first);
        zeros.write(1, &mut second);
        assert_eq!(first, second);
    }

    #[test]
    fn the_order_of_bytes_is_told_without_writing_them() {
        let floats =
            [Some(0.0), Some(-0.0), Some(f64::NAN), None, Some(1e308), Some(-1.5), Some(2.0)];
        let ints = [Some(1), Some(256), Some(-1), Some(i64::MIN), None, Some(1), Some(65_536)];
        let texts = [Some("b"), Some("ab"), Some(""), None, Some("a"), Some("ba"), Some("b")];
        let bools = [Some(true), None, Some(false), Some(true), Some(true), None, Some(false)];
        let columns = [
            typed(Float64Array::from(floats.to_vec())),
            typed(Int64Array::from(ints.to_vec())),
            typed(StringArray::from(texts.to_vec())),
            typed(BooleanArray::from(bools.to_vec())),
            typed(TimestampMicrosecondArray::from(ints.to_vec())),
        ];
        let unit = || typed(Int64Array::from(vec![1; 7]));
        let mut sets: Vec<Vec<TypedColumn>> =
            columns.iter().map(|column| vec![column.clone()]).collect();
        sets.push(columns.to_vec());
        for columns in sets {
            let bytes = RowBytes::new(unit(), columns);
            let written = |row| {
                let mut into = Vec::new();
                bytes.row(row, &mut into);
                into
            };
            for left in 0..7 {
                for right in 0..7 {
                    let want = written(left).cmp(&written(right));
                    assert_eq!(bytes.row_order(left, right), want, "{left} {right}");
                }
            }
        }
    }

    #[test]
    fn climbing_is_strict_and_knows_every_value() {
        let ints = typed(Int64Array::from(vec![Some(1), Some(2), Some(2), Some(3)]));
        assert!(ints.is_climbing(0..2) && ints.is_climbing(2..4) && ints.is_climbing(1..2));
        assert!(!ints.is_climbing(0..3) && !ints.is_climbing(0..9) && !ints.is_climbing(2..2));
        let with_null = typed(Int64Array::from(vec![Some(1), None, Some(3)]));
        assert!(!with_null.is_climbing(0..1));
        assert!(!typed(StringArray::from(vec!["a", "b"])).is_climbing(0..2));
    }

    #[test]
    fn ascending_allows_equal_values_and_puts_nulls_last() {
        for (values, want) in [
            (vec![], true),
            (vec![Some(3)], true),
            (vec![Some(1), Some(1), Some(2)], true),
            (vec![Some(1), Some(2), Some(1)], false),
            (vec![Some(1), None, None], true),
            (vec![None, Some(1)], false),
        ] {
            assert_eq!(typed(Int64Array::from(values.clone())).is_ascending(), want);
            let texts: Vec<_> =
                values.iter().map(|value| value.map(|v: i64| v.to_string())).collect();
            assert_eq!(typed(StringArray::from(texts)).is_ascending(), want);
            assert_eq!(typed(TimestampMicrosecondArray::from(values)).is_ascending(), want);
        }
    }

    #[test]
    fn order_is_by_value_with_nulls_last() {
        let ints = typed(Int64Array::from(vec![Some(-1), Some(256), None]));
        assert_eq!(ints.order(0, 1), Ordering::Less);
        assert_eq!(ints.order(2, 1), Ordering::Greater);
        assert_eq!(ints.order(2, 2), Ordering::Equal);
    }

    #[test]
    fn another_type_is_a_typed_fault() {
        let narrow: ArrayRef = Arc::new(datafusion::arrow::array::Int8Array::from(vec![1]));
        assert!(matches!(TypedColumn::new(&narrow, 7), Err(Fault::Layout { index: 7 })));
    }
}
