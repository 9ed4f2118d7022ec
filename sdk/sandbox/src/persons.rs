//! A batch of persons in columns: bytes that are checked once and then only sliced.
//!
//! Must never hand out a row of another person, nor allocate for each person.

use crate::frames::{Cursor, FrameError, Pair};
use crate::limits::{FRAME_BYTES_MAX, PERSONS_PER_BATCH_MAX};
use crate::shape::{Shape, VALUE_BYTES, bitmap_bytes};

/// In a column's head: every row has a value, so no bitmap follows.
pub(crate) const ALL_VALID: u8 = 0;
/// In a column's head: a bitmap over all rows follows.
pub(crate) const BITMAP: u8 = 1;

/// The persons of a batch, one after the other in every column.
#[derive(Clone, Debug)]
pub struct Persons<'b> {
    pub(crate) rows: &'b [[u8; 4]],
    pub(crate) columns: Vec<Column<'b>>,
}

/// One column of all persons.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'b> {
    /// Bit i: row i of the batch has a value. `None`: all have.
    pub(crate) valid: Option<&'b [[u8; 8]]>,
    /// 8 bytes a row.
    pub(crate) values: &'b [u8],
}

/// Where one person's rows stand in every column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PersonRows {
    /// First row, counted over the whole batch.
    pub(crate) first: usize,
    /// Number of rows, at most the row cap.
    pub(crate) rows: usize,
}

impl<'b> Persons<'b> {
    /// Number of persons.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without persons.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Decodes a batch frame's body; nothing runs unless all of it is right.
    ///
    /// # Errors
    /// [`FrameError`] names the first count, bitmap or length that is wrong.
    pub(crate) fn read(body: &'b [u8], shape: &Shape) -> Result<Persons<'b>, FrameError> {
        let mut at = Cursor(body);
        let count = at.count("persons", PERSONS_PER_BATCH_MAX.into())?;
        // The answer must fit a frame; one person's always does.
        let outputs = count.saturating_mul(shape.outputs_max() as usize * Pair::ENCODED_BYTES);
        if count > 1 && outputs > FRAME_BYTES_MAX as usize {
            let found = outputs as u64;
            let max = u64::from(FRAME_BYTES_MAX);
            return Err(FrameError::TooMany { what: "bytes of output", found, max });
        }
        let (rows, _) = at.bytes(count.saturating_mul(4))?.as_chunks::<4>();
        let mut total = 0_usize;
        for rows in rows {
            let mut at = Cursor(rows);
            total = total.saturating_add(at.count("rows", shape.row_cap().into())?);
        }
        let mut columns = Vec::with_capacity(shape.columns().len());
        for _ in shape.columns() {
            let valid = match at.byte()? {
                ALL_VALID => None,
                BITMAP => {
                    let bitmap = at.bytes(bitmap_bytes(total))?;
                    if marks_past(bitmap, total) {
                        return Err(FrameError::BitmapPastRows);
                    }
                    Some(bitmap.as_chunks::<8>().0)
                }
                byte => return Err(FrameError::Choice { what: "kind of validity", byte }),
            };
            let values = at.bytes(total.saturating_mul(VALUE_BYTES))?;
            columns.push(Column { valid, values });
        }
        at.end()?;
        Ok(Persons { rows, columns })
    }

    /// Each person's rows, in the batch's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PersonRows> + use<'b> {
        self.rows.iter().scan(0_usize, |first, rows| {
            let person = PersonRows { first: *first, rows: u32::from_le_bytes(*rows) as usize };
            *first = first.saturating_add(person.rows);
            Some(person)
        })
    }

    /// Writes a person's rows into an input buffer that is zero but for the first `rows_before` rows, and
    /// zeroes what is left of those; `None` when it is too small.
    pub(crate) fn write(
        &self,
        person: PersonRows,
        rows_before: usize,
        shape: &Shape,
        input: &mut [u8],
    ) -> Option<()> {
        let (column_bytes, values_offset) = (shape.column_bytes(), shape.values_offset());
        let from = person.first.checked_mul(VALUE_BYTES)?;
        let bytes = person.rows.checked_mul(VALUE_BYTES)?;
        let to = from.checked_add(bytes)?;
        let mut rest = input;
        for column in &self.columns {
            let (place, after) = rest.split_at_mut_checked(column_bytes)?;
            rest = after;
            let (bitmap, values) = place.split_at_mut_checked(values_offset)?;
            let (words, _) = bitmap.as_chunks_mut::<8>();
            let (mut first, mut left) = (person.first, person.rows);
            for word in words.get_mut(..person.rows.div_ceil(64))? {
                *word = column.valid_bits(first, left.min(64)).to_le_bytes();
                first = first.saturating_add(64);
                left = left.saturating_sub(64);
            }
            values.get_mut(..bytes)?.copy_from_slice(column.values.get(from..to)?);
            if rows_before > person.rows {
                zero_rows(person.rows, rows_before, words, values)?;
            }
        }
        Some(())
    }

    /// Zeroes the first `rows` rows.
    pub(crate) fn erase(rows: usize, shape: &Shape, input: &mut [u8]) -> Option<()> {
        for place in input.chunks_exact_mut(shape.column_bytes()) {
            let (bitmap, values) = place.split_at_mut_checked(shape.values_offset())?;
            zero_rows(0, rows, bitmap.as_chunks_mut().0, values)?;
        }
        Some(())
    }
}

/// Zeroes the values of rows `from..to` and the bitmap's words that hold no earlier row's bit; in the word
/// before them no later row's bit is set.
fn zero_rows(from: usize, to: usize, words: &mut [[u8; 8]], values: &mut [u8]) -> Option<()> {
    words.get_mut(from.div_ceil(64)..to.div_ceil(64))?.fill([0; 8]);
    let (from, to) = (from.checked_mul(VALUE_BYTES)?, to.checked_mul(VALUE_BYTES)?);
    values.get_mut(from..to)?.fill(0);
    Some(())
}

impl Column<'_> {
    /// Validity of `count` rows (at most 64) from row `first` on, least bit first.
    fn valid_bits(&self, first: usize, count: usize) -> u64 {
        let mask = 1_u64.checked_shl(count as u32).map_or(u64::MAX, |bit| bit - 1);
        let Some(words) = self.valid else { return mask };
        let word = |nth: usize| words.get(nth).map_or(0, |word| u64::from_le_bytes(*word));
        let (nth, shift) = (first / 64, (first % 64) as u32);
        let high = 64_u32.checked_sub(shift).and_then(|left| word(nth + 1).checked_shl(left));
        (word(nth) >> shift | high.unwrap_or(0)) & mask
    }
}

/// True when a bit at or past `rows` is set; only the last word can hold one.
fn marks_past(bitmap: &[u8], rows: usize) -> bool {
    let used = rows % 64;
    match bitmap.last_chunk::<8>() {
        Some(word) if used > 0 => u64::from_le_bytes(*word) >> used != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ColumnKind;

    #[test]
    fn bits_of_a_person_are_cut_out_of_the_batch_wherever_they_start() {
        let flags: Vec<bool> = (0..300).map(|row| row * row % 7 < 3).collect();
        let words: Vec<[u8; 8]> = flags
            .chunks(64)
            .map(|word| word.iter().rev().fold(0_u64, |bits, bit| bits << 1 | u64::from(*bit)))
            .map(u64::to_le_bytes)
            .collect();
        let column = Column { valid: Some(&words), values: &[] };
        for first in 0..300 {
            for count in 0..=64.min(300 - first) {
                let bits = column.valid_bits(first, count);
                for bit in 0..64 {
                    let want = bit < count && flags[first + bit];
                    assert_eq!(bits >> bit & 1 == 1, want, "{first} {count} {bit}");
                }
            }
        }
        assert_eq!(Column { valid: None, values: &[] }.valid_bits(9, 3), 0b111);
        assert_eq!(Column { valid: None, values: &[] }.valid_bits(9, 64), u64::MAX);
    }

    #[test]
    fn erase_leaves_the_buffer_zero_after_write() {
        let shape = Shape::new(70, vec![ColumnKind::Int; 2], 1).unwrap();
        let values = vec![0xff; 100 * 8];
        let column = Column { valid: None, values: &values };
        let persons = Persons { rows: &[], columns: vec![column; 2] };
        let mut input = vec![0; shape.input_bytes()];
        for rows in [0, 1, 63, 64, 65, 70] {
            let person = PersonRows { first: 3, rows };
            persons.write(person, 0, &shape, &mut input).unwrap();
            let written = input.iter().filter(|byte| **byte == 0xff).count();
            assert!(written >= 2 * 8 * rows, "{rows}");
            Persons::erase(rows, &shape, &mut input).unwrap();
            assert!(input.iter().all(|byte| *byte == 0), "{rows}");
        }
        let too_many = PersonRows { first: 0, rows: 71 };
        assert_eq!(persons.write(too_many, 0, &shape, &mut input), None);
        assert_eq!(persons.write(PersonRows { first: 99, rows: 2 }, 0, &shape, &mut input), None);
    }

    #[test]
    fn nothing_of_the_person_before_is_left_whoever_comes_next() {
        let shape = Shape::new(130, vec![ColumnKind::Int; 2], 1).unwrap();
        let values: Vec<u8> = (0..200 * 8).map(|byte| byte as u8 | 1).collect();
        let column = Column { valid: None, values: &values };
        let persons = Persons { rows: &[], columns: vec![column; 2] };
        let sizes = [0, 1, 2, 63, 64, 65, 127, 128, 129, 130];
        for before in sizes {
            for rows in sizes {
                let mut input = vec![0; shape.input_bytes()];
                let mut want = input.clone();
                let one = PersonRows { first: 5, rows: before };
                let next = PersonRows { first: 9, rows };
                persons.write(one, 0, &shape, &mut input).unwrap();
                persons.write(next, before, &shape, &mut input).unwrap();
                persons.write(next, 0, &shape, &mut want).unwrap();
                assert_eq!(input, want, "{rows} after {before}");
            }
        }
        let mut input = vec![0; shape.input_bytes()];
        let one = PersonRows { first: 0, rows: 1 };
        assert_eq!(persons.write(one, 131, &shape, &mut input), None);
    }
}
