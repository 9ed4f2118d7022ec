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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::scan::persons::PersonLimits;
    use datafusion::arrow::array::Int64Array;

    /// Three persons with two, one and three rows.
    fn rows(column: &str) -> PersonRows {
        let names: Arc<[Name]> = vec![column.parse().unwrap()].into();
        let array: ArrayRef = Arc::new(Int64Array::from(vec![10, 11, 20, 30, 31, 32]));
        PersonRows::new(names, vec![array], vec![0, 2, 3, 6]).unwrap()
    }

    fn run(
        rows_max: usize,
        kernel: impl FnMut(Range<u32>, Range<u32>, &mut Pen),
    ) -> Result<PersonRows, StepStop> {
        let (left, right) = (rows("l"), rows("r"));
        let names: Arc<[Name]> = vec!["l".parse().unwrap(), "r".parse().unwrap()].into();
        let limits = PersonLimits { rows: rows_max, ..PersonLimits::default() };
        let mut room = Room::new(limits, &[true, true, true]);
        pairs(&left, Right::Persons(&right), &names, &mut room, kernel)
    }

    fn all(mine: Range<u32>, partners: Range<u32>, pen: &mut Pen) {
        for left in mine {
            for right in partners.clone() {
                pen.pair(left, right);
            }
        }
    }

    #[test]
    fn a_pair_across_a_border_is_a_fault() {
        let sizes = |rows: PersonRows| (0..3).map(|p| rows.person(p).len()).collect::<Vec<_>>();
        assert_eq!(run(100, all).map(sizes).ok(), Some(vec![4, 1, 9]));
        type Kernel = fn(Range<u32>, Range<u32>, &mut Pen);
        let strangers: [Kernel; 3] = [
            |mine, partners, pen| all(mine, partners.start..partners.end + 1, pen),
            |mine, partners, pen| all(mine.start.saturating_sub(1)..mine.end, partners, pen),
            |_, _, pen| all(0..1, 0..1, pen),
        ];
        for stranger in strangers {
            let stopped = run(100, stranger);
            let is_border =
                matches!(stopped, Err(StepStop::Fault(Fault::Relation(RelationError::Border))));
            assert!(is_border);
        }
    }

    #[test]
    fn a14_pairs_beyond_the_limit_are_not_held() {
        let mut most = 0;
        let found = run(4, |mine, partners, pen| {
            // A kernel that never stops by itself.
            for _ in 0..1_000 {
                all(mine.clone(), partners.clone(), pen);
            }
            most = most.max(pen.left.len());
        });
        assert_eq!(found.map(|rows| rows.rows()).ok(), Some(0));
        assert_eq!(most, 5);
    }
}
