//! Pairs of rows: one of a person's on the left, and on the right one of the same person's or of a
//! public table. A pair that reached across the border to another person would be a fault, and pairs
//! of a person beyond her limits are never held.

use crate::relate::RelationError;
use crate::relate::rows::{
    NO_ROW, PersonRows, Room, StepStop, row_number, take_rows, text_bytes, texts_of,
};
use cloister_terms::Name;
use datafusion::arrow::array::ArrayRef;
use std::ops::Range;
use std::sync::Arc;

/// What stands on the right.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// The same persons' rows.
    Persons(&'a PersonRows),
    /// The rows of a public table, so many of them.
    Public(&'a [ArrayRef], usize),
}

impl Right<'_> {
    fn arrays(&self) -> &[ArrayRef] {
        match self {
            Self::Persons(rows) => rows.arrays(),
            Self::Public(arrays, _) => arrays,
        }
    }

    /// The rows that a person may be paired with.
    fn person(&self, person: usize) -> Range<usize> {
        match self {
            Self::Persons(rows) => rows.person(person),
            Self::Public(_, rows) => 0..*rows,
        }
    }
}

/// Takes down one person's pairs, up to her limit.
pub struct Pen {
    left: Vec<u32>,
    right: Vec<u32>,
    /// Where this person's pairs begin, and where they are too many.
    start: usize,
    full: usize,
}

impl Pen {
    /// A pair; the right one may be [`NO_ROW`]. False when the person has too many, and no more of
    /// hers need be told.
    pub fn pair(&mut self, left: u32, right: u32) -> bool {
        if self.left.len() > self.full {
            return false;
        }
        self.left.push(left);
        self.right.push(right);
        true
    }
}

/// All persons' pairs, as rows of the left columns and then the right ones under these names.
/// `kernel` is given one person's rows on both sides, and tells her pairs.
pub fn pairs(
    left: &PersonRows,
    right: Right<'_>,
    names: &Arc<[Name]>,
    room: &mut Room,
    mut kernel: impl FnMut(Range<u32>, Range<u32>, &mut Pen),
) -> Result<PersonRows, StepStop> {
    let (left_texts, right_texts) = (left.texts(), texts_of(right.arrays()));
    let mut pen = Pen { left: Vec::new(), right: Vec::new(), start: 0, full: 0 };
    let (mut borders, mut all_text) = (vec![0], 0usize);
    for person in 0..left.persons() {
        let (here, there) = (left.person(person), right.person(person));
        if !room.is_gone(person) && !here.is_empty() {
            pen.start = pen.left.len();
            pen.full = pen.start.saturating_add(room.rows_max());
            kernel(numbers(&here)?, numbers(&there)?, &mut pen);
            let mut text = 0usize;
            let told = pen.left.iter().zip(&pen.right).skip(pen.start);
            for (left, right) in told {
                let (left, right) = (*left as usize, *right as usize);
                let is_hers = here.contains(&left);
                if !is_hers || (right != NO_ROW as usize && !there.contains(&right)) {
                    return Err(RelationError::Border.into());
                }
                let bytes = text_bytes(&left_texts, left) + text_bytes(&right_texts, right);
                text = text.saturating_add(bytes);
            }
            let rows = pen.left.len() - pen.start;
            if room.stays(person, rows, text, names.len()) {
                all_text = all_text.saturating_add(text);
            } else {
                pen.left.truncate(pen.start);
                pen.right.truncate(pen.start);
            }
            room.hold(pen.left.len(), all_text)?;
        }
        borders.push(pen.left.len());
    }
    let mut arrays = take_rows(left.arrays(), pen.left)?;
    arrays.extend(take_rows(right.arrays(), pen.right)?);
    Ok(PersonRows::new(Arc::clone(names), arrays, borders)?)
}

fn numbers(rows: &Range<usize>) -> Result<Range<u32>, RelationError> {
    Ok(row_number(rows.start)?..row_number(rows.end)?)
}
