//! The node's rows, in columns of whole persons, in the bytes that the worker reads.
//!
//! Must never carry the value of an invalid row, nor a NaN or zero that tells more than its number.

use crate::limits::{FRAME_BYTES_MAX, PERSONS_PER_BATCH_MAX};
use crate::outputs::Pair;
use crate::persons::{Column, Persons};
use crate::shape::{ColumnKind, Shape, VALUE_BYTES, bitmap_bytes};

/// Bytes that a batch frame and an outputs frame hold beside persons.
const BATCH_HEAD_BYTES: usize = 64;

/// One column: the rows of one person, or of several one after the other, each in canonical order.
#[derive(Clone, Copy, Debug)]
pub enum ColumnData<'a> {
    /// Integers, timestamps (microseconds UTC).
    Int {
        /// One value a row.
        values: &'a [i64],
        /// False: the row has no value here.
        valid: &'a [bool],
    },
    /// Floats; NaN and -0 are normalised here once more.
    Float {
        /// One value a row.
        values: &'a [f64],
        /// False: the row has no value here.
        valid: &'a [bool],
    },
    /// Indices into a public domain, of text or of booleans.
    Code {
        /// One value a row.
        values: &'a [i64],
        /// False: the row has no value here.
        valid: &'a [bool],
    },
}

/// Why a person does not fit into a batch. The batch is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The batch has no room: run it, clear it, push again.
    #[error("the batch is full at {persons} persons: run it, clear it and push again")]
    Full {
        /// Persons in it.
        persons: u32,
    },
    /// More rows than the cap.
    #[error("a person has `{rows}` rows, over the cap of {row_cap}: apply the row cap before")]
    TooManyRows {
        /// As given.
        rows: usize,
        /// The shape's cap.
        row_cap: u32,
    },
    /// Another number of columns than the shape has.
    #[error("`{columns}` columns were given, the shape has {want}: pass every column")]
    Columns {
        /// As given.
        columns: usize,
        /// The shape's.
        want: usize,
    },
    /// A column of another kind than the shape says.
    #[error("column {column} is not `{want:?}`: pass the kind the shape declares")]
    Kind {
        /// Which column.
        column: usize,
        /// The shape's kind.
        want: ColumnKind,
    },
    /// Values or validity of another length than the rows.
    #[error("column {column} does not have `{rows}` values and validity flags: pass one a row")]
    Length {
        /// Which column.
        column: usize,
        /// Rows of the person.
        rows: usize,
    },
}

/// Persons on their way to the module.
#[derive(Clone, Debug)]
pub struct PersonBatch {
    shape: Shape,
    rows: Vec<[u8; 4]>,
    rows_total: usize,
    columns: Vec<ColumnBytes>,
}

/// One column of all persons so far.
#[derive(Clone, Debug, Default)]
struct ColumnBytes {
    /// Bit i: row i has a value.
    valid: Vec<[u8; 8]>,
    /// Some row has none.
    has_invalid: bool,
    /// 8 bytes a row.
    values: Vec<[u8; VALUE_BYTES]>,
}

impl PersonBatch {
    /// An empty batch for this shape.
    pub fn new(shape: &Shape) -> PersonBatch {
        let columns = vec![ColumnBytes::default(); shape.columns().len()];
        PersonBatch { shape: shape.clone(), rows: Vec::new(), rows_total: 0, columns }
    }

    /// Adds one person: `rows` rows in every column of the shape.
    ///
    /// # Errors
    /// [`BatchError::Full`] when the batch must be run first; any other variant is a caller's mistake.
    pub fn push_person(
        &mut self,
        rows: usize,
        columns: &[ColumnData<'_>],
    ) -> Result<(), BatchError> {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        match self.push_persons(&[rows], columns)? {
            0 => Err(BatchError::Full { persons: self.rows.len() as u32 }),
            _ => Ok(()),
        }
    }

    /// Adds as many persons as fit and says how many: `rows` holds each one's number of rows, the columns
    /// all their rows one person after the other. Zero: the batch must be run first.
    ///
    /// # Errors
    /// Any variant but [`BatchError::Full`]: a caller's mistake; nothing was added.
    pub fn push_persons(
        &mut self,
        rows: &[u32],
        columns: &[ColumnData<'_>],
    ) -> Result<usize, BatchError> {
        self.check(rows, columns)?;
        let mut rows_after = self.rows_total;
        let mut taken = 0;
        for rows in rows {
            let more = rows_after.saturating_add(*rows as usize);
            // One person always fits: the limits of a shape are below those of a frame.
            let first = self.rows.len() + taken == 0;
            if !first && !self.has_room(self.rows.len() + taken + 1, more) {
                break;
            }
            rows_after = more;
            taken += 1;
        }
        let rows_added = rows_after - self.rows_total;
        for (bytes, column) in self.columns.iter_mut().zip(columns) {
            bytes.push(self.rows_total, rows_added, column);
        }
        self.rows.extend(rows.iter().take(taken).map(|rows| rows.to_le_bytes()));
        self.rows_total = rows_after;
        Ok(taken)
    }

    /// Persons in the batch.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without persons.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Removes all persons, keeps the room.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.rows_total = 0;
        for column in &mut self.columns {
            column.valid.clear();
            column.has_invalid = false;
            column.values.clear();
        }
    }

    /// The shape that persons must have.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The persons, as a worker sees them.
    pub fn persons(&self) -> Persons<'_> {
        let columns = self.columns.iter().map(|column| Column {
            valid: column.has_invalid.then_some(column.valid.as_slice()),
            values: column.values.as_flattened(),
        });
        Persons { rows: &self.rows, columns: columns.collect() }
    }

    /// Whether so many persons with so many rows fit one frame, and their outputs another.
    fn has_room(&self, persons: usize, rows: usize) -> bool {
        let room = FRAME_BYTES_MAX as usize - BATCH_HEAD_BYTES;
        let column_bytes = 1 + bitmap_bytes(rows) + rows.saturating_mul(VALUE_BYTES);
        let bytes = column_bytes.saturating_mul(self.columns.len()).saturating_add(persons * 4);
        let output_bytes = self.shape.outputs_max() as usize * Pair::ENCODED_BYTES + 4;
        persons <= PERSONS_PER_BATCH_MAX as usize
            && bytes <= room
            && persons.saturating_mul(output_bytes) <= room
    }

    fn check(&self, rows: &[u32], columns: &[ColumnData<'_>]) -> Result<(), BatchError> {
        let kinds = self.shape.columns();
        let row_cap = self.shape.row_cap();
        if let Some(over) = rows.iter().find(|rows| **rows > row_cap) {
            return Err(BatchError::TooManyRows { rows: *over as usize, row_cap });
        }
        if columns.len() != kinds.len() {
            return Err(BatchError::Columns { columns: columns.len(), want: kinds.len() });
        }
        let rows = rows.iter().fold(0_usize, |sum, rows| sum.saturating_add(*rows as usize));
        for (column, (data, want)) in columns.iter().zip(kinds).enumerate() {
            let (kind, values, valid) = data.facts();
            if kind != *want {
                return Err(BatchError::Kind { column, want: *want });
            }
            if values != rows || valid != rows {
                return Err(BatchError::Length { column, rows });
            }
        }
        Ok(())
    }
}

impl ColumnBytes {
    /// Adds the first `count` rows of a column after the `rows` that are there.
    fn push(&mut self, rows: usize, count: usize, column: &ColumnData<'_>) {
        let valid = match column {
            ColumnData::Int { valid, .. }
            | ColumnData::Float { valid, .. }
            | ColumnData::Code { valid, .. } => *valid,
        };
        let valid = valid.get(..count).unwrap_or(valid);
        let all_valid = !valid.contains(&false);
        self.has_invalid |= !all_valid;
        self.push_valid(rows, valid, all_valid);
        match column {
            ColumnData::Int { values, .. } | ColumnData::Code { values, .. } if all_valid => {
                let values = values.get(..count).unwrap_or(values);
                self.values.extend(values.iter().map(|value| value.to_le_bytes()));
            }
            ColumnData::Int { values, .. } | ColumnData::Code { values, .. } => {
                let known = values.iter().zip(valid);
                let number = |(value, valid): (&i64, &bool)| if *valid { *value } else { 0 };
                self.values.extend(known.map(|row| number(row).to_le_bytes()));
            }
            ColumnData::Float { values, .. } => {
                let known = values.iter().zip(valid);
                let number = |(value, valid): (&f64, &bool)| {
                    if *valid { one_nan_one_zero(*value) } else { 0.0 }
                };
                self.values.extend(known.map(|row| number(row).to_le_bytes()));
            }
        }
    }

    /// `all_valid`: no flag is false.
    fn push_valid(&mut self, rows: usize, valid: &[bool], all_valid: bool) {
        let (mut used, mut rest) = (rows % 64, valid);
        while !rest.is_empty() {
            let (now, later) = rest.split_at_checked(64 - used).unwrap_or((rest, &[]));
            let bits = if all_valid {
                u64::MAX >> (64 - now.len())
            } else {
                now.iter().rev().fold(0_u64, |bits, valid| bits << 1 | u64::from(*valid))
            };
            match self.valid.last_mut() {
                Some(word) if used > 0 => {
                    *word = (u64::from_le_bytes(*word) | bits << used).to_le_bytes();
                }
                _ => self.valid.push(bits.to_le_bytes()),
            }
            (used, rest) = (0, later);
        }
    }
}

impl ColumnData<'_> {
    /// Kind, number of values, number of validity flags.
    fn facts(&self) -> (ColumnKind, usize, usize) {
        match self {
            ColumnData::Int { values, valid } => (ColumnKind::Int, values.len(), valid.len()),
            ColumnData::Float { values, valid } => (ColumnKind::Float, values.len(), valid.len()),
            ColumnData::Code { values, valid } => (ColumnKind::Code, values.len(), valid.len()),
        }
    }
}

/// Equal numbers get equal bits.
fn one_nan_one_zero(value: f64) -> f64 {
    if value.is_nan() {
        f64::from_bits(0x7ff8_0000_0000_0000)
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(columns: Vec<ColumnKind>) -> Shape {
        Shape::new(70, columns, 2).expect("within limits")
    }

    #[test]
    fn bitmap_is_least_bit_first_and_invalid_rows_are_zero() {
        let mut batch = PersonBatch::new(&shape(vec![ColumnKind::Int]));
        let valid: Vec<bool> = (0..66).map(|row| row == 0 || row == 9 || row == 65).collect();
        batch.push_person(66, &[ColumnData::Int { values: &[7; 66], valid: &valid }]).unwrap();
        let persons = batch.persons();
        assert_eq!(persons.rows, [66_u32.to_le_bytes()]);
        let words = [0x201_u64, 2].map(u64::to_le_bytes);
        assert_eq!(persons.columns[0].valid, Some(&words[..]));
        let values = persons.columns[0].values;
        assert_eq!(values[..8], 7_i64.to_le_bytes());
        assert_eq!(values[8..16], [0; 8]);
        assert_eq!(values.len(), 66 * 8);
    }

    #[test]
    fn floats_have_one_nan_and_one_zero() {
        let mut batch = PersonBatch::new(&shape(vec![ColumnKind::Float]));
        let odd = f64::from_bits(0xfff0_0000_dead_beef);
        let column = ColumnData::Float { values: &[odd, -0.0], valid: &[true, true] };
        batch.push_person(2, &[column]).unwrap();
        let values = batch.persons().columns[0].values;
        assert_eq!(values[..8], 0x7ff8_0000_0000_0000_u64.to_le_bytes());
        assert_eq!(values[8..], [0; 8]);
    }

    #[test]
    fn a_wrong_person_leaves_the_batch_unchanged() {
        let mut batch = PersonBatch::new(&shape(vec![ColumnKind::Int]));
        let int = ColumnData::Int { values: &[1], valid: &[true] };
        let code = ColumnData::Code { values: &[1], valid: &[true] };
        assert_eq!(
            batch.push_person(71, &[int]),
            Err(BatchError::TooManyRows { rows: 71, row_cap: 70 })
        );
        assert_eq!(batch.push_person(1, &[]), Err(BatchError::Columns { columns: 0, want: 1 }));
        assert_eq!(
            batch.push_person(1, &[code]),
            Err(BatchError::Kind { column: 0, want: ColumnKind::Int })
        );
        assert_eq!(batch.push_person(2, &[int]), Err(BatchError::Length { column: 0, rows: 2 }));
        assert!(batch.is_empty() && batch.persons().columns[0].values.is_empty());
    }

    #[test]
    fn a_full_batch_says_so_and_takes_more_after_clear() {
        let shape = Shape::new(1, vec![ColumnKind::Int], crate::limits::OUTPUTS_MAX).unwrap();
        let mut batch = PersonBatch::new(&shape);
        let person = [ColumnData::Int { values: &[1], valid: &[true] }];
        let full = loop {
            if let Err(error) = batch.push_person(1, &person) {
                break error;
            }
        };
        assert_eq!(full, BatchError::Full { persons: batch.len() as u32 });
        batch.clear();
        assert_eq!(batch.push_person(1, &person), Ok(()));
    }

    #[test]
    fn persons_pushed_together_are_those_pushed_one_by_one() {
        let shape = shape(vec![ColumnKind::Int, ColumnKind::Float]);
        let rows: Vec<u32> = (0..50).map(|person| person * 13 % 70).collect();
        let total = rows.iter().sum::<u32>() as usize;
        let ints: Vec<i64> = (0..total as i64).collect();
        let floats: Vec<f64> = ints.iter().map(|value| *value as f64 / 3.0).collect();
        let valid: Vec<bool> = (0..total).map(|row| row % 5 != 2).collect();
        let all = vec![true; total];
        let columns = |from: usize, to: usize| {
            [
                ColumnData::Int { values: &ints[from..to], valid: &valid[from..to] },
                ColumnData::Float { values: &floats[from..to], valid: &all[from..to] },
            ]
        };
        let (mut together, mut single) = (PersonBatch::new(&shape), PersonBatch::new(&shape));
        assert_eq!(together.push_persons(&rows, &columns(0, total)), Ok(50));
        let mut first = 0;
        for rows in &rows {
            let after = first + *rows as usize;
            single.push_person(*rows as usize, &columns(first, after)).unwrap();
            first = after;
        }
        let (one, other) = (together.persons(), single.persons());
        assert_eq!(one.rows, other.rows);
        for (one, other) in one.columns.iter().zip(&other.columns) {
            assert_eq!((one.valid, one.values), (other.valid, other.values));
        }
        assert!(one.columns[0].valid.is_some() && one.columns[1].valid.is_none());
    }
}
