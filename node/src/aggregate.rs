//! Exact integer sums over persons. An `Exact` is what the data says: it must never be shown,
//! logged, serialised, copied or sent, and the noise stage alone may open it.

use crate::bound::{Bounded, CellOf};
use crate::private_cells::CellSums;
use crate::told::{People, Told};
use cloister_terms::OutputShape;
use cloister_terms::shape::ShapeError;
use std::fmt;

/// Exact lanes of every cell, cell-major. No `Clone`, no `Serialize`, no `Display`, and a `Debug`
/// without figures.
pub struct Exact {
    sums: Sums,
    people: People,
}

/// Exact sums, for the noise stage alone.
#[cfg_attr(feature = "for-tests", derive(Clone))]
pub(crate) enum Sums {
    /// Every cell of a public shape.
    Public { sums: Vec<i128>, lanes: usize },
    /// The cells that anybody is in, where keys are private.
    Private(CellSums),
}

/// A sum left i128. At most 2^64 persons add at most 2^53 steps each, so no data can cause it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an exact sum left the range of 128-bit integers: report this, no data can cause it")]
pub struct SumOverflow;

impl Exact {
    /// Zero in every cell of `shape`. Errors when the shape is beyond its limits.
    pub(crate) fn zero(shape: &OutputShape) -> Result<Self, ShapeError> {
        let lanes = shape.lanes.len();
        let sums = match &shape.private_keys {
            Some(_) => Sums::Private(CellSums::new(lanes)),
            None => Sums::Public { sums: vec![0; shape.cells_len()?], lanes },
        };
        Ok(Self { sums, people: People::none(shape) })
    }

    /// Counts what happened to one person; to be called once for each, with all of it.
    pub(crate) fn tell(&mut self, told: Told) -> Result<(), SumOverflow> {
        self.people.add(told)
    }

    /// Adds what one person contributes to one cell. A cell outside the shape adds nothing.
    pub(crate) fn add(&mut self, bounded: Bounded<'_>) -> Result<(), SumOverflow> {
        match (&mut self.sums, bounded.cell()) {
            (Sums::Public { sums, lanes }, CellOf::Public(cell)) => {
                let start = cell.saturating_mul(*lanes);
                let sums = sums.get_mut(start..).unwrap_or_default();
                for (sum, steps) in sums.iter_mut().take(*lanes).zip(bounded.steps()) {
                    *sum = sum.checked_add(i128::from(*steps)).ok_or(SumOverflow)?;
                }
                Ok(())
            }
            (Sums::Private(sums), CellOf::Private(key)) => sums.add(key, bounded.steps()),
            // Both come from one plan.
            _ => Ok(()),
        }
    }

    /// Adds another partition's sums: integer addition, so the order of partitions cannot be seen.
    pub(crate) fn merge(self, other: Self) -> Result<Self, SumOverflow> {
        let people = self.people.merge(&other.people)?;
        let sums = match (self.sums, other.sums) {
            (Sums::Public { mut sums, lanes }, Sums::Public { sums: others, .. })
                if sums.len() == others.len() =>
            {
                for (sum, more) in sums.iter_mut().zip(&others) {
                    *sum = sum.checked_add(*more).ok_or(SumOverflow)?;
                }
                Sums::Public { sums, lanes }
            }
            (Sums::Private(sums), Sums::Private(others)) => Sums::Private(sums.merge(others)?),
            _ => return Err(SumOverflow),
        };
        Ok(Self { sums, people })
    }

    /// The sums, and the counts behind diagnostics, for the noise stage alone.
    pub(crate) fn into_sums(self) -> (Sums, People) {
        (self.sums, self.people)
    }

    /// The exact lanes of a public shape, for tests of the stages before the noise. Not in any shipped
    /// binary.
    #[cfg(feature = "for-tests")]
    pub fn lanes_for_tests(&self) -> &[i128] {
        match &self.sums {
            Sums::Public { sums, .. } => sums,
            Sums::Private(_) => &[],
        }
    }

    /// The exact counts behind diagnostics, for tests. Not in any shipped binary.
    #[cfg(feature = "for-tests")]
    pub fn diagnostics_for_tests(&self) -> &[i128] {
        self.people.counts()
    }

    /// The exact lanes of a cell with a private key; `None` when nobody is in it.
    #[cfg(feature = "for-tests")]
    pub fn cell_for_tests(&self, key: &cloister_terms::Key) -> Option<&[i128]> {
        match &self.sums {
            Sums::Public { .. } => None,
            Sums::Private(sums) => sums.of(key),
        }
    }

    /// The same sums again, so that audits draw noise many times for one measurement.
    #[cfg(feature = "for-tests")]
    pub fn copy_for_tests(&self) -> Self {
        Self { sums: self.sums.clone(), people: self.people.clone() }
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exact(never shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sums: Vec<i128>) -> Exact {
        Exact { sums: Sums::Public { sums, lanes: 1 }, people: People::default() }
    }

    #[test]
    fn a28_an_exact_result_shows_nothing() {
        let exact = of(vec![424_242]);
        assert_eq!(format!("{exact:?}"), "Exact(never shown)");
    }

    #[test]
    fn a04_sums_fail_rather_than_wrap() {
        let exact = |sum| of(vec![sum]);
        let sums = |exact: Exact| match exact.into_sums().0 {
            Sums::Public { sums, .. } => sums,
            Sums::Private(_) => panic!("public"),
        };
        assert_eq!(exact(i128::MAX).merge(exact(1)).err(), Some(SumOverflow));
        let longer = of(vec![0, 0]);
        assert_eq!(exact(1).merge(longer).err(), Some(SumOverflow));
        assert_eq!(exact(i128::MAX).merge(exact(-1)).map(sums), Ok(vec![i128::MAX - 1]));
    }
}
