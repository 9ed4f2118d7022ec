//! Exact integer sums over persons. An `Exact` is what the data says: it must never be shown,
//! logged, serialised, copied or sent, and the noise stage alone may open it.

use crate::bound::Bounded;
use cloister_terms::OutputShape;
use cloister_terms::shape::ShapeError;
use std::fmt;

/// Exact lanes of every cell, cell-major. No `Clone`, no `Serialize`, no `Display`, and a `Debug`
/// without figures.
pub struct Exact {
    sums: Vec<i128>,
    lanes: usize,
}

/// A sum left i128. At most 2^64 persons add at most 2^53 steps each, so no data can cause it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an exact sum left the range of 128-bit integers: report this, no data can cause it")]
pub struct SumOverflow;

impl Exact {
    /// Zero in every cell of `shape`. Errors when the shape is beyond its limits.
    pub(crate) fn zero(shape: &OutputShape) -> Result<Self, ShapeError> {
        Ok(Self { sums: vec![0; shape.vector_len()?], lanes: shape.lanes.len() })
    }

    /// Adds what one person contributes to one cell. A cell outside the shape adds nothing.
    pub(crate) fn add(&mut self, bounded: Bounded<'_>) -> Result<(), SumOverflow> {
        let start = bounded.cell().saturating_mul(self.lanes);
        let sums = self.sums.get_mut(start..).unwrap_or_default();
        for (sum, steps) in sums.iter_mut().take(self.lanes).zip(bounded.steps()) {
            *sum = sum.checked_add(i128::from(*steps)).ok_or(SumOverflow)?;
        }
        Ok(())
    }

    /// Adds another partition's sums: integer addition, so the order of partitions cannot be seen.
    pub(crate) fn merge(mut self, other: Self) -> Result<Self, SumOverflow> {
        if self.sums.len() != other.sums.len() {
            return Err(SumOverflow);
        }
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.checked_add(*more).ok_or(SumOverflow)?;
        }
        Ok(self)
    }

    /// The sums, for the noise stage alone.
    pub(crate) fn into_sums(self) -> Vec<i128> {
        self.sums
    }

    /// The exact lanes, for tests of the stages before the noise. Not in any shipped binary.
    #[cfg(feature = "for-tests")]
    pub fn lanes_for_tests(&self) -> &[i128] {
        &self.sums
    }

    /// The same sums again, so that audits draw noise many times for one measurement.
    #[cfg(feature = "for-tests")]
    pub fn copy_for_tests(&self) -> Self {
        Self { sums: self.sums.clone(), lanes: self.lanes }
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

    #[test]
    fn a28_an_exact_result_shows_nothing() {
        let exact = Exact { sums: vec![424_242], lanes: 1 };
        assert_eq!(format!("{exact:?}"), "Exact(never shown)");
    }

    #[test]
    fn a04_sums_fail_rather_than_wrap() {
        let exact = |sum| Exact { sums: vec![sum], lanes: 1 };
        assert_eq!(exact(i128::MAX).merge(exact(1)).err(), Some(SumOverflow));
        let longer = Exact { sums: vec![0, 0], lanes: 1 };
        assert_eq!(exact(1).merge(longer).err(), Some(SumOverflow));
        assert_eq!(
            exact(i128::MAX).merge(exact(-1)).map(Exact::into_sums),
            Ok(vec![i128::MAX - 1])
        );
    }
}
