//! A fair sample of one person's rows: those with the smallest keyed PRF of (unit, row bytes, copy
//! number). It depends on that person's rows and the charge's secret alone, and never on their order.

use crate::row_bytes::CanonicalRows;
use cloister_dp::{PrfKey, prf_wide};
use std::sync::Arc;

/// PRF domains of this file; those of `bound` are others.
const DOMAIN_ROW: u8 = 2;
const DOMAIN_RANK: u8 = 3;
const DOMAIN_MADE: u8 = 5;

/// Which rows a sample is taken of. Samples of different ones are independent: else the rows that one
/// cap left would stand better in the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsOf {
    /// Those of a table, by its place in the plan.
    Table(u32),
    /// Those that a relation made.
    Relation,
}

/// Keeps rows by a secret; holds room that is used again, never anything of an earlier person.
pub struct Sampler {
    secret: Arc<PrfKey>,
    bytes: Vec<u8>,
}

impl Sampler {
    /// With the caps' own secret.
    pub(crate) fn new(secret: Arc<PrfKey>) -> Self {
        Self { secret, bytes: Vec::new() }
    }

    /// Keeps at most `cap` of one person's `rows`, in their order; `unit` are the bytes of her unit,
    /// which makes the samples of two persons independent. Nothing is computed below the cap.
    pub fn keep(
        &mut self,
        rows: &mut Vec<usize>,
        cap: usize,
        of: RowsOf,
        unit: &[u8],
        bytes: &dyn CanonicalRows,
    ) {
        if rows.len() <= cap {
            return;
        }
        let mut named = Vec::with_capacity(rows.len());
        for (place, row) in rows.iter().enumerate() {
            bytes.row(*row, &mut self.bytes);
            named.push((self.name(of, unit), place));
        }
        named.sort_unstable();
        let (mut copy, mut before) = (0u64, None);
        let ranked = named.iter().map(|(name, place)| {
            copy = if before == Some(*name) { copy.saturating_add(1) } else { 0 };
            before = Some(*name);
            let fields: [&[u8]; 2] = [&name.to_le_bytes(), &copy.to_le_bytes()];
            (prf_wide(&self.secret, DOMAIN_RANK, &fields), *place)
        });
        let mut ranked: Vec<(u128, usize)> = ranked.collect();
        keep_smallest(&mut ranked, cap);
        let mut kept: Vec<usize> = ranked.into_iter().map(|(_, place)| place).collect();
        kept.sort_unstable();
        *rows = kept.into_iter().filter_map(|place| rows.get(place).copied()).collect();
    }

    /// The name of the row whose bytes are at hand. Fields are told apart by their number as well, so
    /// the first table's names are those of a plan with one table.
    fn name(&self, of: RowsOf, unit: &[u8]) -> u128 {
        match of {
            RowsOf::Table(0) => prf_wide(&self.secret, DOMAIN_ROW, &[unit, &self.bytes]),
            RowsOf::Table(table) => {
                prf_wide(&self.secret, DOMAIN_ROW, &[unit, &self.bytes, &table.to_le_bytes()])
            }
            RowsOf::Relation => prf_wide(&self.secret, DOMAIN_MADE, &[unit, &self.bytes]),
        }
    }
}

/// Leaves the items of the `count` smallest ranks, in no order.
pub(crate) fn keep_smallest<T: Ord>(ranked: &mut Vec<(u128, T)>, count: usize) {
    if count < ranked.len() {
        ranked.select_nth_unstable(count);
        ranked.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row_bytes::{RowBytes, TypedColumn};
    use datafusion::arrow::array::{ArrayRef, Int64Array};

    #[test]
    fn samples_of_different_tables_and_of_a_relation_are_independent() {
        let values: ArrayRef = Arc::new((0..40).map(Some).collect::<Int64Array>());
        let typed = || TypedColumn::new(&values, 0).unwrap();
        let bytes = RowBytes::new(typed(), vec![typed()]);
        let mut sampler = Sampler::new(Arc::new(PrfKey::from_bytes([3; 16])));
        let mut kept = |of| {
            let mut rows: Vec<usize> = (0..40).collect();
            sampler.keep(&mut rows, 10, of, b"unit", &bytes);
            assert_eq!(rows.len(), 10);
            rows
        };
        let all = [RowsOf::Table(0), RowsOf::Table(1), RowsOf::Table(2), RowsOf::Relation];
        for (place, one) in all.iter().enumerate() {
            assert_eq!(kept(*one), kept(*one));
            for other in all.iter().take(place) {
                assert_ne!(kept(*one), kept(*other), "{one:?} {other:?}");
            }
        }
    }
}
