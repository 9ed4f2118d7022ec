//! Diagnostics: what happened to one person, as yes or no, and how many persons it happened to. The counts are
//! exact and never shown, like any sum: they leave through the noise stage alone. A person must be told of
//! once, with all her rows of all tables and steps behind her, so that she changes each count by 1 at most.

use crate::aggregate::{Exact, SumOverflow};
use crate::scan::persons::PersonBlock;
use cloister_terms::{DiagnosticKind, OutputShape};
use std::ops::BitOr;

/// What happened to one person; nothing by default. It depends on that person's rows and the charge's secret
/// alone.
#[derive(Clone, Copy, Default)]
pub struct Told {
    /// She adds to a cell.
    pub contributing: bool,
    /// A limit left out rows or groups of hers.
    pub capped: bool,
    /// A value of hers that is added was out of its range.
    pub clipped: bool,
    /// The module gave up on her.
    pub trapped: bool,
}

impl Told {
    /// A limit left out rows of hers, or did not.
    pub fn capped(capped: bool) -> Self {
        Self { capped, ..Self::default() }
    }

    /// What a diagnostic adds for her: 0 or 1.
    fn counts(self, kind: DiagnosticKind) -> i128 {
        i128::from(match kind {
            DiagnosticKind::Contributing => self.contributing,
            DiagnosticKind::Capped => self.capped,
            DiagnosticKind::Clipped => self.clipped,
            DiagnosticKind::Trapped => self.trapped,
        })
    }
}

impl BitOr for Told {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self {
            contributing: self.contributing | other.contributing,
            capped: self.capped | other.capped,
            clipped: self.clipped | other.clipped,
            trapped: self.trapped | other.trapped,
        }
    }
}

/// Tells of the persons of a block that are too large to be held: nothing of theirs is used.
pub(crate) fn too_large(block: &PersonBlock, exact: &mut Exact) -> Result<(), SumOverflow> {
    (0..block.too_large()).try_for_each(|_| exact.tell(Told::capped(true)))
}

/// Exact counts, one a diagnostic of the shape. No `Debug`, no `Serialize`.
#[derive(Default)]
#[cfg_attr(feature = "for-tests", derive(Clone))]
pub(crate) struct People {
    kinds: Vec<DiagnosticKind>,
    counts: Vec<i128>,
}

impl People {
    /// Nobody yet.
    pub(crate) fn none(shape: &OutputShape) -> Self {
        let kinds: Vec<_> = shape.diagnostics.iter().map(|one| one.kind).collect();
        Self { counts: vec![0; kinds.len()], kinds }
    }

    /// Counts one person.
    pub(crate) fn add(&mut self, told: Told) -> Result<(), SumOverflow> {
        for (kind, count) in self.kinds.iter().zip(&mut self.counts) {
            *count = count.checked_add(told.counts(*kind)).ok_or(SumOverflow)?;
        }
        Ok(())
    }

    /// Adds another partition's counts.
    pub(crate) fn merge(mut self, other: &Self) -> Result<Self, SumOverflow> {
        if self.kinds != other.kinds {
            return Err(SumOverflow);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.checked_add(*more).ok_or(SumOverflow)?;
        }
        Ok(self)
    }

    /// The counts, one a diagnostic.
    pub(crate) fn counts(&self) -> &[i128] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a04_counts_of_partitions_add_up_or_fail() {
        let people = |kinds: &[DiagnosticKind], counts: &[i128]| People {
            kinds: kinds.to_vec(),
            counts: counts.to_vec(),
        };
        let (of_sql, of_module) = (DiagnosticKind::OF_SQL, DiagnosticKind::OF_MODULE);
        let mut some = people(of_sql, &[1, 2, 3]);
        some.add(Told::capped(true) | Told { contributing: true, ..Told::default() }).unwrap();
        // A kind that the shape does not have is nowhere counted.
        some.add(Told { trapped: true, ..Told::default() }).unwrap();
        let all = some.merge(&people(of_sql, &[10, 20, 30])).unwrap();
        assert_eq!(all.counts(), [12, 23, 33]);
        assert!(all.merge(&people(of_module, &[0; 4])).is_err());
        let mut full = people(of_sql, &[i128::MAX; 3]);
        assert!(full.add(Told::capped(true)).is_err());
        assert!(full.merge(&people(of_sql, &[1; 3])).is_err());
    }
}
