//! What enough persons share: values that several have, ends that several reach. A value or an extreme of a
//! few is theirs, and must not be suggested as public.

use crate::describe::observe::{DescribeError, numbers_of, opened, texts_of};
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::error::ArrowError;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Persons who must have a value, or reach an end, before it is suggested.
pub(super) const PERSONS_MIN: usize = 10;

/// What is looked for in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    /// Its values.
    Values,
    /// The ends of its numbers.
    Ends,
    /// Nothing.
    Nothing,
}

/// What enough persons share of one column.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    /// The values that they have, sorted.
    pub values: Vec<String>,
    /// A number that they all go down to, and one that they all come up to.
    pub ends: Option<(f64, f64)>,
}

/// Reads the first `rows` rows of the files of one table again, now that it is known which column names
/// persons: what enough of them share of each column in which something is sought. Errors name the file.
pub(super) fn shared(
    files: &[PathBuf],
    rows: usize,
    person: usize,
    sought: &[Sought],
) -> Result<Vec<Shared>, DescribeError> {
    let mut columns: Vec<Holders> = sought.iter().map(|sought| Holders::new(*sought)).collect();
    let mut left = rows;
    for path in files {
        let wrong = |cause| DescribeError::Rows { path: path.to_owned(), cause };
        let (_, batches) = opened(path)?;
        for batch in batches {
            let batch = batch.map_err(wrong)?;
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            let Some(persons) = batch.columns().get(person).and_then(texts_of) else { continue };
            for (column, array) in columns.iter_mut().zip(batch.columns()) {
                column.add(&persons, array).map_err(wrong)?;
            }
            if left == 0 {
                break;
            }
        }
    }
    Ok(columns.into_iter().map(Holders::shared).collect())
}

/// The persons behind one column, as few of each as tell whether they are enough.
enum Holders {
    /// By value.
    Values(BTreeMap<String, Vec<String>>),
    /// Those who reach down and up furthest.
    Ends {
        low: Furthest,
        high: Furthest,
    },
    Nothing,
}

impl Holders {
    fn new(sought: Sought) -> Self {
        match sought {
            Sought::Values => Self::Values(BTreeMap::new()),
            Sought::Ends => Self::Ends { low: Furthest::default(), high: Furthest::default() },
            Sought::Nothing => Self::Nothing,
        }
    }

    /// Adds the rows of a batch; who a row without a person is of is not known.
    fn add(&mut self, persons: &ArrayRef, array: &ArrayRef) -> Result<(), ArrowError> {
        let persons = persons.as_string::<i32>().iter();
        match self {
            Self::Nothing => {}
            Self::Values(values) => {
                let Some(texts) = texts_of(array) else { return Ok(()) };
                for (person, text) in persons.zip(texts.as_string::<i32>()) {
                    let (Some(person), Some(text)) = (person, text) else { continue };
                    match values.get_mut(text) {
                        Some(known) => join(known, person),
                        None => {
                            values.insert(text.to_owned(), vec![person.to_owned()]);
                        }
                    }
                }
            }
            Self::Ends { low, high } => {
                let numbers = numbers_of(array)?;
                for (person, number) in persons.zip(numbers.as_primitive::<Float64Type>()) {
                    let (Some(person), Some(number)) = (person, number) else { continue };
                    if number.is_finite() {
                        low.add(person, -number);
                        high.add(person, number);
                    }
                }
            }
        }
        Ok(())
    }

    fn shared(self) -> Shared {
        match self {
            Self::Nothing => Shared::default(),
            Self::Values(values) => {
                let enough = values.into_iter().filter(|(_, persons)| persons.len() >= PERSONS_MIN);
                Shared { values: enough.map(|(value, _)| value).collect(), ends: None }
            }
            Self::Ends { low, high } => {
                let ends = low.reached().zip(high.reached()).map(|(low, high)| (-low, high));
                Shared { values: Vec::new(), ends }
            }
        }
    }
}

/// Adds a person to those known, unless they are enough.
fn join(known: &mut Vec<String>, person: &str) {
    if known.len() < PERSONS_MIN && !known.iter().any(|other| other == person) {
        known.push(person.to_owned());
    }
}

/// The persons with the largest numbers, each with her largest, at most [`PERSONS_MIN`] of them.
#[derive(Default)]
struct Furthest {
    persons: Vec<(String, f64)>,
}

impl Furthest {
    fn add(&mut self, person: &str, number: f64) {
        // Most numbers change nothing, and end here.
        if self.reached().is_some_and(|least| number <= least) {
            return;
        }
        match self.persons.iter_mut().find(|(known, _)| known == person) {
            Some((_, own)) => *own = own.max(number),
            None => {
                self.persons.push((person.to_owned(), number));
            }
        }
        self.persons.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        self.persons.truncate(PERSONS_MIN);
    }

    /// The largest number that enough persons reach, if any.
    fn reached(&self) -> Option<f64> {
        let last = PERSONS_MIN.checked_sub(1)?;
        self.persons.get(last).map(|(_, number)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_what_enough_persons_reach_however_their_rows_come() {
        // Person i reaches i, and comes back later with less and with the same.
        let mut up: Vec<(u32, f64)> = (0..30).map(|i| (i, f64::from(i))).collect();
        up.extend((0..30).rev().flat_map(|i| [(i, -1.0), (i, f64::from(i))]));
        let down: Vec<(u32, f64)> = up.iter().rev().copied().collect();
        for rows in [up, down] {
            let mut furthest = Furthest::default();
            for (person, number) in &rows {
                furthest.add(&person.to_string(), *number);
            }
            // 20 to 29 do, and nobody else.
            assert_eq!(furthest.reached(), Some(20.0));
        }
    }

    #[test]
    fn one_person_with_many_rows_is_one_person() {
        let (mut furthest, mut known) = (Furthest::default(), Vec::new());
        for number in 0..1_000 {
            furthest.add("victim", f64::from(number));
            join(&mut known, "victim");
        }
        assert_eq!((furthest.reached(), known.len()), (None, 1));
    }
}
