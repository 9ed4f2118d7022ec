//! Where each value lies in a module's buffers: a function of row cap, columns and outputs alone.
//!
//! Must never depend on a person's rows: a module and its host compute the same offsets beforehand.

use crate::limits::{COLUMNS_MAX, OUTPUTS_MAX, ROW_CAP_MAX};

/// Bytes of one value, whatever its kind.
pub const VALUE_BYTES: usize = 8;
/// Bytes of one output pair: u32 index, u32 zero, 8 bytes of value.
pub const PAIR_BYTES: usize = 16;
/// FNV-1a's offset basis and prime, of 32 bits.
const FNV_START: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// What the 8-byte values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// i64: integers, timestamps (microseconds UTC).
    Int,
    /// f64, with one NaN and one zero.
    Float,
    /// i64 index into a public domain, of text or of booleans.
    Code,
}

/// How a module writes what it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutputLayout {
    /// As many (index, value) pairs as it says, at most the declared outputs; the values are i64.
    #[default]
    Pairs,
    /// The same with values that are f64: for the module's signature alone, since the host reads their bytes.
    FloatPairs,
    /// The values of all declared outputs in order, or nothing.
    Dense(DenseNumbers),
}

/// What values in order are: for the module's signature alone, since the host reads their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenseNumbers {
    /// i64.
    Ints,
    /// f64.
    Floats,
}

impl OutputLayout {
    /// Its number in frames and signatures.
    pub(crate) fn number(self) -> u8 {
        match self {
            OutputLayout::Pairs => 1,
            OutputLayout::Dense(DenseNumbers::Ints) => 2,
            OutputLayout::Dense(DenseNumbers::Floats) => 3,
            OutputLayout::FloatPairs => 4,
        }
    }

    /// As [`OutputLayout::number`] wrote it.
    pub(crate) fn of_number(number: u8) -> Option<OutputLayout> {
        let all = [
            OutputLayout::Pairs,
            OutputLayout::Dense(DenseNumbers::Ints),
            OutputLayout::Dense(DenseNumbers::Floats),
            OutputLayout::FloatPairs,
        ];
        all.into_iter().find(|layout| layout.number() == number)
    }
}

/// What a job gives to its module and takes back. Both sides compute the same offsets from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    row_cap: u32,
    columns: Vec<ColumnKind>,
    outputs_max: u32,
    layout: OutputLayout,
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
        Ok(Shape { row_cap, columns, outputs_max, layout: OutputLayout::Pairs })
    }

    /// The same with outputs written in this way.
    #[must_use]
    pub fn with_layout(self, layout: OutputLayout) -> Shape {
        Shape { layout, ..self }
    }

    /// Most rows of a person.
    pub fn row_cap(&self) -> u32 {
        self.row_cap
    }

    /// Kinds of the columns, in order.
    pub fn columns(&self) -> &[ColumnKind] {
        &self.columns
    }

    /// Most outputs of a person.
    pub fn outputs_max(&self) -> u32 {
        self.outputs_max
    }

    /// How they are written.
    pub fn layout(&self) -> OutputLayout {
        self.layout
    }

    /// What a module may say in its fourth layout word, so that one built for other columns or another way
    /// of writing outputs is refused: FNV-1a of 32 bits (Fowler, Noll, Vo) over a byte a column (1 int, 2
    /// float, 3 code), then one for the outputs (1 pairs of i64, 2 in order as i64, 3 in order as f64, 4 pairs of
    /// f64); 1 where that is 0, which says nothing.
    pub fn signature(&self) -> u32 {
        let bytes = self.columns.iter().map(|kind| kind.number()).chain([self.layout.number()]);
        let hash =
            bytes.fold(FNV_START, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME));
        hash.max(1)
    }

    /// Bytes of the input buffer: all columns.
    pub fn input_bytes(&self) -> usize {
        self.column_bytes() * self.columns.len()
    }

    /// Bytes of the output buffer that the host may read.
    pub fn output_bytes(&self) -> usize {
        let each = match self.layout {
            OutputLayout::Pairs | OutputLayout::FloatPairs => PAIR_BYTES,
            OutputLayout::Dense(_) => VALUE_BYTES,
        };
        self.outputs_max as usize * each
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

impl ColumnKind {
    /// Its number in frames and signatures.
    pub(crate) fn number(self) -> u8 {
        match self {
            ColumnKind::Int => 1,
            ColumnKind::Float => 2,
            ColumnKind::Code => 3,
        }
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
        let dense = shape.with_layout(OutputLayout::Dense(DenseNumbers::Floats));
        assert_eq!(dense.output_bytes(), 32);
        assert_eq!(dense.with_layout(OutputLayout::FloatPairs).output_bytes(), 64);
    }

    #[test]
    fn signatures_tell_kinds_and_layouts_apart_and_are_never_zero() {
        let (int, float, code) = (ColumnKind::Int, ColumnKind::Float, ColumnKind::Code);
        let lists = [vec![int], vec![float], vec![code, float], vec![float, code], vec![int; 64]];
        let shapes = lists.iter().flat_map(|columns| {
            let pairs = Shape::new(9, columns.clone(), 4).unwrap();
            let layouts = [1, 2, 3, 4].map(|number| OutputLayout::of_number(number).unwrap());
            layouts.map(|layout| pairs.clone().with_layout(layout))
        });
        let signatures: Vec<u32> = shapes.map(|shape| shape.signature()).collect();
        let distinct: std::collections::BTreeSet<_> = signatures.iter().collect();
        assert!(distinct.len() == signatures.len() && !signatures.contains(&0));
        // By hand: ((0x811c9dc5 ^ 1) * p ^ 1) * p, p = 0x01000193, modulo 2^32.
        let by_hand = [1u64, 1]
            .iter()
            .fold(0x811c_9dc5_u64, |hash, byte| (hash ^ byte) * 0x0100_0193 % (1 << 32));
        assert_eq!(u64::from(Shape::new(1, vec![int], 1).unwrap().signature()), by_hand);
    }

    /// The table of signatures in ABI.md: columns, outputs, signature.
    #[test]
    fn the_examples_of_abi_md_are_what_the_host_makes() {
        let examples = [
            ("float, float", "pairs of i64", [2, 2, 1], "0x1383518c"),
            ("float, float", "pairs of f64", [2, 2, 4], "0x10834cd3"),
            ("float, float", "in order as f64", [2, 2, 3], "0x158354b2"),
            ("int, code", "pairs of i64", [1, 3, 1], "0x7cd1b214"),
            ("int, code", "in order as i64", [1, 3, 2], "0x7fd1b6cd"),
        ];
        let page = include_str!("../ABI.md");
        for (columns, outputs, [one, two, layout], written) in examples {
            let kinds = [ColumnKind::Int, ColumnKind::Float, ColumnKind::Code];
            let of = |number| kinds.into_iter().find(|kind| kind.number() == number).unwrap();
            let shape = Shape::new(9, vec![of(one), of(two)], 4).unwrap();
            let shape = shape.with_layout(OutputLayout::of_number(layout).unwrap());
            assert_eq!(format!("{:#010x}", shape.signature()), written, "{columns}, {outputs}");
            let line = format!("| {columns} | {outputs} | `{one} {two} {layout}` | `{written}` |");
            assert!(page.contains(&line), "ABI.md lacks {line}");
        }
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
