//! Private keys of cells: rows to keys, keys to bytes, bytes to sums. Everything here is exact and stays in
//! the node; the noise stage alone may open it. A key must be taken in for the cells that a person keeps
//! and for no other, so that the group cap bounds how many keys one person can bring.

use crate::aggregate::SumOverflow;
use crate::evaluate::EvaluateError;
use cloister_terms::limits::PRIVATE_KEY_BYTES_MAX;
use cloister_terms::{Key, KeyValue};
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::collections::{BTreeMap, HashMap};

const TAG_TEXT: u8 = 1;
const TAG_INT: u8 = 2;
const TAG_BOOL: u8 = 3;
const TAG_TIMESTAMP: u8 = 4;

/// The keys of a batch's rows: a small number a row, and the bytes behind each number.
#[derive(Default)]
pub struct BatchKeys {
    numbers: HashMap<Vec<u8>, u32>,
    bytes: Vec<Vec<u8>>,
}

impl BatchKeys {
    /// The number of a key; the same key has one number.
    pub fn number(&mut self, bytes: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(bytes) {
            return *number;
        }
        // A batch has fewer rows than 2^32 - 1, and so fewer keys.
        let number = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.numbers.insert(bytes.to_vec(), number);
        self.bytes.push(bytes.to_vec());
        number
    }

    /// The bytes of a numbered key.
    pub fn bytes(&self, number: u32) -> Option<&[u8]> {
        self.bytes.get(number as usize).map(Vec::as_slice)
    }
}

/// Appends one dimension's value of every row to `rows`' keys, typed and length-prefixed; a row whose
/// value is NULL, or a text longer than [`PRIVATE_KEY_BYTES_MAX`], loses its key. Errors on a type that
/// cannot be a key.
pub fn append(array: &ArrayRef, rows: &mut [Option<Vec<u8>>]) -> Result<(), EvaluateError> {
    let wrong = EvaluateError::Type { expected: "text, int64, bool or timestamp" };
    let mut put = |row: usize, value: Option<KeyRef<'_>>| {
        let Some(key) = rows.get_mut(row) else { return };
        match value {
            Some(value) => key.iter_mut().for_each(|key| value.write(key)),
            None => *key = None,
        }
    };
    if let Some(texts) = array.as_string_opt::<i32>() {
        for (row, text) in texts.iter().enumerate() {
            put(row, text.filter(|text| text.len() <= PRIVATE_KEY_BYTES_MAX).map(KeyRef::Text));
        }
    } else if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        ints.iter().enumerate().for_each(|(row, int)| put(row, int.map(KeyRef::Int)));
    } else if let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() {
        times.iter().enumerate().for_each(|(row, time)| put(row, time.map(KeyRef::Timestamp)));
    } else if let Some(bools) = array.as_boolean_opt() {
        bools.iter().enumerate().for_each(|(row, bool)| put(row, bool.map(KeyRef::Bool)));
    } else {
        return Err(wrong);
    }
    Ok(())
}

/// A value of a row.
enum KeyRef<'a> {
    Text(&'a str),
    Int(i64),
    Bool(bool),
    Timestamp(i64),
}

impl KeyRef<'_> {
    fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                into.push(TAG_TEXT);
                // At most PRIVATE_KEY_BYTES_MAX.
                into.extend_from_slice(&(text.len() as u32).to_le_bytes());
                into.extend_from_slice(text.as_bytes());
            }
            Self::Int(int) => {
                into.push(TAG_INT);
                into.extend_from_slice(&int.to_le_bytes());
            }
            Self::Bool(bool) => into.extend_from_slice(&[TAG_BOOL, u8::from(*bool)]),
            Self::Timestamp(micros) => {
                into.push(TAG_TIMESTAMP);
                into.extend_from_slice(&micros.to_le_bytes());
            }
        }
    }
}

/// The bytes of a key, as [`append`] writes them.
pub fn written(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in key {
        let value = match value {
            KeyValue::Text(text) => KeyRef::Text(text),
            KeyValue::Int(int) => KeyRef::Int(*int),
            KeyValue::Bool(bool) => KeyRef::Bool(*bool),
            KeyValue::Timestamp(micros) => KeyRef::Timestamp(*micros),
        };
        value.write(&mut bytes);
    }
    bytes
}

/// The key that these bytes were written for; `None` for any others.
pub fn read(mut bytes: &[u8]) -> Option<Key> {
    let mut key = Key::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let (value, rest) = match *tag {
            TAG_TEXT => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                let (text, rest) = rest.split_at_checked(length)?;
                (KeyValue::Text(std::str::from_utf8(text).ok()?.to_owned()), rest)
            }
            TAG_INT => {
                let (int, rest) = rest.split_first_chunk::<8>()?;
                (KeyValue::Int(i64::from_le_bytes(*int)), rest)
            }
            TAG_TIMESTAMP => {
                let (int, rest) = rest.split_first_chunk::<8>()?;
                (KeyValue::Timestamp(i64::from_le_bytes(*int)), rest)
            }
            TAG_BOOL => {
                let (bool, rest) = rest.split_first()?;
                (KeyValue::Bool(*bool != 0), rest)
            }
            _ => return None,
        };
        key.push(value);
        bytes = rest;
    }
    Some(key)
}

/// Sums of the cells that anybody is in, by key. No `Debug`: it holds exact figures.
#[cfg_attr(feature = "for-tests", derive(Clone))]
pub struct CellSums {
    lanes: usize,
    cells: BTreeMap<Vec<u8>, Vec<i128>>,
}

impl CellSums {
    /// No cell yet, each with `lanes` lanes.
    pub fn new(lanes: usize) -> Self {
        Self { lanes, cells: BTreeMap::new() }
    }

    /// Adds what one person contributes to one cell. Errors when a sum overflows.
    pub fn add(&mut self, key: &[u8], steps: &[i64]) -> Result<(), SumOverflow> {
        if !self.cells.contains_key(key) {
            self.cells.insert(key.to_vec(), vec![0; self.lanes]);
        }
        let Some(sums) = self.cells.get_mut(key) else { return Err(SumOverflow) };
        for (sum, steps) in sums.iter_mut().zip(steps) {
            *sum = sum.checked_add(i128::from(*steps)).ok_or(SumOverflow)?;
        }
        Ok(())
    }

    /// Adds another partition's sums, in whatever order.
    pub fn merge(mut self, other: Self) -> Result<Self, SumOverflow> {
        if self.lanes != other.lanes {
            return Err(SumOverflow);
        }
        for (key, more) in other.cells {
            match self.cells.get_mut(&key) {
                None => {
                    self.cells.insert(key, more);
                }
                Some(sums) => {
                    for (sum, more) in sums.iter_mut().zip(more) {
                        *sum = sum.checked_add(more).ok_or(SumOverflow)?;
                    }
                }
            }
        }
        Ok(self)
    }

    /// The cells, ascending by their keys; `None` when one cannot be read back, which no row can cause.
    pub fn into_cells(self) -> Option<Vec<(Key, Vec<i128>)>> {
        let cells = self.cells.into_iter().map(|(bytes, sums)| Some((read(&bytes)?, sums)));
        let mut cells: Vec<_> = cells.collect::<Option<_>>()?;
        cells.sort_by(|left, right| left.0.cmp(&right.0));
        Some(cells)
    }

    /// The sums of a cell.
    #[cfg(any(test, feature = "for-tests"))]
    pub fn of(&self, key: &Key) -> Option<&[i128]> {
        let found = self.cells.iter().find(|(bytes, _)| read(bytes).as_ref() == Some(key));
        found.map(|(_, sums)| sums.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    #[test]
    fn keys_are_told_apart_whatever_their_values() {
        let long = "x".repeat(PRIVATE_KEY_BYTES_MAX + 1);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            Some(""),
            None,
            Some(&long),
            Some("a\u{1}\u{0}"),
        ]));
        let ints: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(0), Some(1), Some(1), None]));
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true, true]));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 0, 1, 2, 3]));
        let mut rows = vec![Some(Vec::new()); 5];
        for array in [&texts, &ints, &bools, &times] {
            append(array, &mut rows).unwrap();
        }
        let text = |value: &str| KeyValue::Text(value.into());
        let (time, bool) = (KeyValue::Timestamp, KeyValue::Bool);
        let want = [
            Some(vec![text("a"), KeyValue::Int(i64::MIN), bool(true), time(-1)]),
            Some(vec![text(""), KeyValue::Int(0), bool(false), time(0)]),
            None,
            None,
            None,
        ];
        let found: Vec<_> = rows.iter().map(|key| key.as_deref().and_then(read)).collect();
        assert_eq!(found, want);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        assert!(append(&floats, &mut [Some(Vec::new())]).is_err());
    }

    #[test]
    fn hostile_bytes_are_no_key() {
        for bytes in [
            &[9][..],
            &[TAG_INT, 1],
            &[TAG_TEXT, 255, 255, 255, 255, 1],
            &[TAG_TEXT, 1, 0, 0, 0, 0xff],
            &[TAG_BOOL],
            &[TAG_TIMESTAMP],
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
        assert_eq!(read(&[]), Some(vec![]));
    }

    #[test]
    fn a04_sums_of_partitions_add_up_or_fail() {
        let one = |key: &[u8], steps| {
            let mut sums = CellSums::new(1);
            sums.add(key, &[steps]).unwrap();
            sums
        };
        let int = |n: i64| {
            let mut key = Vec::new();
            KeyRef::Int(n).write(&mut key);
            key
        };
        let (a, b) = (int(7), int(-7));
        let all = one(&a, 3).merge(one(&b, 4)).unwrap().merge(one(&a, -5)).unwrap();
        let key = |n| vec![KeyValue::Int(n)];
        assert_eq!(all.into_cells().unwrap(), [(key(-7), vec![4]), (key(7), vec![-2])]);
        assert!(one(&a, 1).merge(CellSums::new(2)).is_err());
        let mut full = one(&a, 1);
        full.cells.insert(a.clone(), vec![i128::MAX]);
        assert!(full.merge(one(&a, 1)).is_err());
    }
}
