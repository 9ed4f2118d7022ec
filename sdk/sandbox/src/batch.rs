//! The node's rows, person by person, in the bytes that the worker reads.
//!
//! Must never carry the value of an invalid row, nor a NaN or zero that tells more than its number.

use crate::frames::Pair;
use crate::limits::{FRAME_BYTES_MAX, PERSONS_PER_BATCH_MAX};
use crate::shape::{ColumnKind, Shape, VALUE_BYTES, bitmap_bytes};

/// Bytes that a batch frame and an outputs frame hold beside persons.
const BATCH_HEAD_BYTES: usize = 64;

/// One column of one person, in the person's canonical row order.
#[derive(Clone, Copy, Debug)]
pub enum ColumnData<'a> {
    /// Integers, timestamps (microseconds UTC), booleans (0 or 1).
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
    /// Indices into a public text domain.
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
    persons: u32,
    body: Vec<u8>,
}

impl PersonBatch {
    /// An empty batch for this shape.
    pub fn new(shape: &Shape) -> PersonBatch {
        PersonBatch { shape: shape.clone(), persons: 0, body: Vec::new() }
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
        self.check(rows, columns)?;
        let person_bytes =
            4 + columns.len() * (bitmap_bytes(rows) + rows.saturating_mul(VALUE_BYTES));
        let persons_after = self.persons as usize + 1;
        let outputs_bytes = persons_after
            .saturating_mul(self.shape.outputs_max() as usize * Pair::ENCODED_BYTES + 5);
        let room = FRAME_BYTES_MAX as usize - BATCH_HEAD_BYTES;
        let full = self.persons >= PERSONS_PER_BATCH_MAX
            || self.body.len() + person_bytes > room
            || outputs_bytes > room;
        // One person always fits: the limits of a shape are below those of a frame.
        if full && self.persons > 0 {
            return Err(BatchError::Full { persons: self.persons });
        }
        self.body.extend_from_slice(&(rows as u32).to_le_bytes());
        for column in columns {
            self.push_column(column);
        }
        self.persons += 1;
        Ok(())
    }

    /// Persons in the batch.
    pub fn len(&self) -> usize {
        self.persons as usize
    }

    /// True without persons.
    pub fn is_empty(&self) -> bool {
        self.persons == 0
    }

    /// Removes all persons, keeps the room.
    pub fn clear(&mut self) {
        self.persons = 0;
        self.body.clear();
    }

    /// The shape that persons must have.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The persons' bytes, as [`crate::frames`] sends them.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    fn check(&self, rows: usize, columns: &[ColumnData<'_>]) -> Result<(), BatchError> {
        let kinds = self.shape.columns();
        if rows > self.shape.row_cap() as usize {
            return Err(BatchError::TooManyRows { rows, row_cap: self.shape.row_cap() });
        }
        if columns.len() != kinds.len() {
            return Err(BatchError::Columns { columns: columns.len(), want: kinds.len() });
        }
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

    fn push_column(&mut self, column: &ColumnData<'_>) {
        let valid = match column {
            ColumnData::Int { valid, .. }
            | ColumnData::Float { valid, .. }
            | ColumnData::Code { valid, .. } => *valid,
        };
        for word in valid.chunks(64) {
            let bits = word.iter().rev().fold(0_u64, |bits, valid| bits << 1 | u64::from(*valid));
            self.body.extend_from_slice(&bits.to_le_bytes());
        }
        match column {
            ColumnData::Int { values, .. } | ColumnData::Code { values, .. } => {
                for (value, valid) in values.iter().zip(valid) {
                    let value = if *valid { *value } else { 0 };
                    self.body.extend_from_slice(&value.to_le_bytes());
                }
            }
            ColumnData::Float { values, .. } => {
                for (value, valid) in values.iter().zip(valid) {
                    let value = if *valid { one_nan_one_zero(*value) } else { 0.0 };
                    self.body.extend_from_slice(&value.to_le_bytes());
                }
            }
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
        let body = batch.body();
        assert_eq!(body[..4], 66_u32.to_le_bytes());
        assert_eq!(body[4..20], [1, 2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(body[20..28], 7_i64.to_le_bytes());
        assert_eq!(body[28..36], [0; 8]);
        assert_eq!(body.len(), 4 + 16 + 66 * 8);
    }

    #[test]
    fn floats_have_one_nan_and_one_zero() {
        let mut batch = PersonBatch::new(&shape(vec![ColumnKind::Float]));
        let odd = f64::from_bits(0xfff0_0000_dead_beef);
        let column = ColumnData::Float { values: &[odd, -0.0], valid: &[true, true] };
        batch.push_person(2, &[column]).unwrap();
        assert_eq!(batch.body()[12..20], 0x7ff8_0000_0000_0000_u64.to_le_bytes());
        assert_eq!(batch.body()[20..28], [0; 8]);
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
        assert!(batch.is_empty() && batch.body().is_empty());
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
        assert_eq!(full, BatchError::Full { persons: batch.persons });
        batch.clear();
        assert_eq!(batch.push_person(1, &person), Ok(()));
    }
}
