//! One person's columns as the module sees them: row -> value, or nothing.
//!
//! Must never show a value where the row has none, nor a row past the person's last.

use crate::buffer::{bitmap_words, column_words};

/// A column of some kind, cut out of the input words.
pub trait Column<'a> {
    /// The kind's number in a module's signature.
    const NUMBER: u8;

    /// The column at position `index` of a person with `rows` rows, in buffers for `rows_max`.
    fn cut(words: &'a [u64], index: usize, rows: usize, rows_max: usize) -> Self;
}

/// Bitmap and values of one column.
#[derive(Clone, Copy, Debug)]
struct Raw<'a> {
    bitmap: &'a [u64],
    values: &'a [u64],
}

impl<'a> Raw<'a> {
    fn cut(words: &'a [u64], index: usize, rows: usize, rows_max: usize) -> Self {
        let column = words.get(index.saturating_mul(column_words(rows_max))..).unwrap_or_default();
        let (bitmap, values) = column.split_at_checked(bitmap_words(rows_max)).unwrap_or_default();
        Raw { bitmap, values: values.get(..rows.min(rows_max)).unwrap_or_default() }
    }

    fn get(&self, row: usize) -> Option<u64> {
        let value = *self.values.get(row)?;
        let word = *self.bitmap.get(row / 64)?;
        (word >> (row % 64) & 1 == 1).then_some(value)
    }
}

macro_rules! column {
    ($(#[$doc:meta])* $name:ident = $number:literal, $value:ty, $word:ident => $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a>(Raw<'a>);

        impl<'a> $name<'a> {
            /// The value of a row; `None` if it has none.
            pub fn get(&self, row: usize) -> Option<$value> {
                let $word = self.0.get(row)?;
                $read
            }

            /// Number of rows of this person.
            pub fn len(&self) -> usize {
                self.0.values.len()
            }

            /// True if the person has no rows.
            pub fn is_empty(&self) -> bool {
                self.0.values.is_empty()
            }

            /// Every row in order, `None` where it has no value.
            pub fn iter(&self) -> impl Iterator<Item = Option<$value>> + use<'a> {
                let column = *self;
                (0..column.len()).map(move |row| column.get(row))
            }
        }

        impl<'a> Column<'a> for $name<'a> {
            const NUMBER: u8 = $number;

            fn cut(words: &'a [u64], index: usize, rows: usize, rows_max: usize) -> Self {
                $name(Raw::cut(words, index, rows, rows_max))
            }
        }
    };
}

column! {
    /// Integers or timestamps (microseconds UTC).
    Int = 1, i64, word => Some(word as i64)
}
column! {
    /// Floats; one NaN, one zero.
    Float = 2, f64, word => Some(f64::from_bits(word))
}
column! {
    /// Index into a public domain, of text or of booleans; a word that is no index counts as no value.
    Code = 3, u32, word => u32::try_from(word).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_shows_valid_rows_of_this_person_only() {
        // Two columns, room for 65 rows: 2 bitmap words and 65 values each.
        let mut words = [0_u64; 2 * 67];
        words[67] = 0b101;
        words[68] = 1;
        words[67 + 2] = 10;
        words[67 + 2 + 1] = 11;
        words[67 + 2 + 2] = u64::MAX;
        words[67 + 2 + 64] = 12;
        let all = Int::cut(&words, 1, 65, 65);
        assert_eq!((all.get(0), all.get(1), all.get(2)), (Some(10), None, Some(-1)));
        assert_eq!((all.get(64), all.get(65)), (Some(12), None));
        let three = Code::cut(&words, 1, 3, 65);
        assert!(three.iter().eq([Some(10), None, None]));
        assert_eq!(three.len(), 3);
        assert!(Float::cut(&words, 0, 0, 65).is_empty());
    }

    #[test]
    fn a_buffer_too_short_shows_nothing() {
        assert_eq!(Int::cut(&[1], 0, 5, 64).get(0), None);
        assert_eq!(Int::cut(&[1, 2, 3], 7, 5, 1).get(0), None);
        assert_eq!(Int::cut(&[1, 2], usize::MAX, 1, 1).get(0), None);
    }
}
