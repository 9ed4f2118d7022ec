//! Where each value lies in a module's buffers: a function of row cap, columns and output count alone.
//!
//! Must never depend on a person's rows: a module and its host compute the same offsets beforehand.

use crate::limits::{COLUMNS_MAX, OUTPUTS_MAX, ROW_CAP_MAX};

/// Bytes of one value, whatever its kind.
pub const VALUE_BYTES: usize = 8;
/// Bytes of one output pair: u32 index, u32 zero, i64 value.
pub const PAIR_BYTES: usize = 16;

/// What the 8-byte values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// i64: integers, timestamps (microseconds UTC), booleans (0 or 1).
    Int,
    /// f64, with one NaN and one zero.
    Float,
    /// i64 index into a public text domain.
    Code,
}

/// What a job gives to its module and takes back. Both sides compute the same offsets from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    row_cap: u32,
    columns: Vec<ColumnKind>,
    outputs_max: u32,
}

/// Why a shape is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Row cap zero or past its limit.
    #[error("row cap `{row_cap}` is not within 1..={ROW_CAP_MAX}: declare another")]
    RowCap {
        /// As asked.
        row_cap: u32,
    },
    /// No column, or too many.
    #[error("`{columns}` columns are not within 1..={COLUMNS_MAX}: select fewer")]
    Columns {
        /// As asked.
        columns: usize,
    },
    /// No output, or too many.
    #[error("`{outputs_max}` outputs a person are not within 1..={OUTPUTS_MAX}: declare fewer")]
    Outputs {
        /// As asked.
        outputs_max: u32,
    },
}

impl Shape {
    /// At most `row_cap` rows a person in these columns, at most `outputs_max` pairs back.
    ///
    /// # Errors
    /// [`ShapeError`] when a number is zero or past its limit.
    pub fn new(
        row_cap: u32,
        columns: Vec<ColumnKind>,
        outputs_max: u32,
    ) -> Result<Shape, ShapeError> {
        if row_cap == 0 || row_cap > ROW_CAP_MAX {
            return Err(ShapeError::RowCap { row_cap });
        }
        if columns.is_empty() || columns.len() > COLUMNS_MAX {
            return Err(ShapeError::Columns { columns: columns.len() });
        }
        if outputs_max == 0 || outputs_max > OUTPUTS_MAX {
            return Err(ShapeError::Outputs { outputs_max });
        }
        Ok(Shape { row_cap, columns, outputs_max })
    }

    /// Most rows of a person.
    pub fn row_cap(&self) -> u32 {
        self.row_cap
    }

    /// Kinds of the columns, in order.
    pub fn columns(&self) -> &[ColumnKind] {
        &self.columns
    }

    /// Most output pairs of a person.
    pub fn outputs_max(&self) -> u32 {
        self.outputs_max
    }

    /// Bytes of the input buffer: all columns.
    pub fn input_bytes(&self) -> usize {
        self.column_bytes() * self.columns.len()
    }

    /// Bytes of the output buffer that the host may read.
    pub fn output_bytes(&self) -> usize {
        self.outputs_max as usize * PAIR_BYTES
    }

    /// Bytes of one column: validity bitmap, then values.
    pub(crate) fn column_bytes(&self) -> usize {
        self.values_offset() + self.row_cap as usize * VALUE_BYTES
    }

    /// Where a column's values start, after its bitmap.
    pub(crate) fn values_offset(&self) -> usize {
        bitmap_bytes(self.row_cap as usize)
    }
}

/// Bytes of a validity bitmap over so many rows: whole 64-bit words.
pub(crate) fn bitmap_bytes(rows: usize) -> usize {
    rows.div_ceil(64) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_from_row_cap_and_columns() {
        let shape = Shape::new(65, vec![ColumnKind::Int, ColumnKind::Code], 4);
        let shape = shape.expect("within limits");
        assert_eq!(shape.values_offset(), 16);
        assert_eq!(shape.column_bytes(), 16 + 65 * 8);
        assert_eq!(shape.input_bytes(), 2 * (16 + 65 * 8));
        assert_eq!(shape.output_bytes(), 64);
    }

    #[test]
    fn zero_and_huge_numbers_are_refused() {
        let int = vec![ColumnKind::Int];
        assert_eq!(Shape::new(0, int.clone(), 1), Err(ShapeError::RowCap { row_cap: 0 }));
        assert_eq!(Shape::new(1, vec![], 1), Err(ShapeError::Columns { columns: 0 }));
        assert_eq!(Shape::new(1, int.clone(), 0), Err(ShapeError::Outputs { outputs_max: 0 }));
        let huge = u32::MAX;
        assert_eq!(Shape::new(huge, int.clone(), 1), Err(ShapeError::RowCap { row_cap: huge }));
        assert_eq!(Shape::new(1, int, huge), Err(ShapeError::Outputs { outputs_max: huge }));
        let many = vec![ColumnKind::Int; COLUMNS_MAX + 1];
        assert_eq!(Shape::new(1, many, 1), Err(ShapeError::Columns { columns: COLUMNS_MAX + 1 }));
    }
}
