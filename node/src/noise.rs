//! Noise: exact sums and their charge in, noised integers out. The only caller of the samplers, so
//! that nothing can be noised twice or not at all; a fault of the entropy releases nothing.

use crate::aggregate::Exact;
use crate::ledger::Charge;
use cloister_dp::{Entropy, SampleError, sample_vector};
use std::fmt;

/// Noised lanes with the charge that paid for them. Private fields: only [`noise`] makes it.
pub struct Noised {
    charge: Charge,
    lanes: Vec<i128>,
}

/// Why there is nothing to release. The charge stands, and is handed back for the journal.
#[derive(Debug, thiserror::Error)]
#[error("nothing was noised, nothing can be released: {cause}")]
pub struct NoiseFault {
    /// What was paid; it is not refunded.
    pub charge: Box<Charge>,
    /// What went wrong.
    #[source]
    pub cause: NoiseCause,
}

/// What went wrong while drawing noise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoiseCause {
    /// No usable noise or no entropy.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The sums are not those of the charge's shape.
    #[error("the sums have another length than the charged shape: measure again under this charge")]
    Length,
    /// Sum and noise left i128, which the limits exclude.
    #[error("a noised sum left the range of 128-bit integers: report this, no data can cause it")]
    Overflow,
}

/// Adds to every lane of every cell one independent draw of that lane's noise.
///
/// Guarantee: each released integer is `exact + Z` with `Z` drawn exactly from the distribution that
/// the plan names and the charge paid for, whatever `exact` is; on any error no integer leaves.
/// Time and outcome do not depend on the sums, but for an overflow that the limits exclude.
pub fn noise(
    exact: Exact,
    charge: Charge,
    entropy: &mut dyn Entropy,
) -> Result<Noised, NoiseFault> {
    match noised_lanes(exact, &charge, entropy) {
        Ok(lanes) => Ok(Noised { charge, lanes }),
        Err(cause) => Err(NoiseFault { charge: Box::new(charge), cause }),
    }
}

fn noised_lanes(
    exact: Exact,
    charge: &Charge,
    entropy: &mut dyn Entropy,
) -> Result<Vec<i128>, NoiseCause> {
    let shape = &charge.plan().shape;
    let whole = shape.vector_len().map_err(|_| NoiseCause::Length)?;
    let sums = exact.into_sums();
    if sums.len() != whole {
        return Err(NoiseCause::Length);
    }
    let sums = own_cells(sums, charge)?;
    let cells = (sums.len() / shape.lanes.len().max(1)) as u64;
    let laws: Vec<_> = shape.lanes.iter().map(|lane| lane.noise).collect();
    #[cfg(feature = "for-tests")]
    let laws = crate::mutant::drawn(laws, charge.mutant());
    let lanes = sample_vector(&laws, cells, entropy)?;
    #[cfg(feature = "for-tests")]
    let lanes = crate::mutant::added(lanes, charge.mutant());
    let mut lanes = lanes;
    for (lane, sum) in lanes.iter_mut().zip(sums) {
        *lane = lane.checked_add(sum).ok_or(NoiseCause::Overflow)?;
    }
    Ok(lanes)
}

/// The sums of the cells that this partner answers: which those are is public.
fn own_cells(sums: Vec<i128>, charge: &Charge) -> Result<Vec<i128>, NoiseCause> {
    let shape = &charge.plan().shape;
    let Some(cells) = shape.cells_of(charge.node()).map_err(|_| NoiseCause::Length)? else {
        return Ok(sums);
    };
    let lanes = shape.lanes.len();
    let own = cells.iter().flat_map(|cell| {
        let start = usize::try_from(*cell).unwrap_or(usize::MAX).saturating_mul(lanes);
        sums.get(start..start.saturating_add(lanes)).unwrap_or_default()
    });
    let own: Vec<i128> = own.copied().collect();
    if own.len() == cells.len().saturating_mul(lanes) { Ok(own) } else { Err(NoiseCause::Length) }
}

impl Noised {
    /// Charge and lanes, for the ledger's release.
    pub(crate) fn into_parts(self) -> (Charge, Vec<i128>) {
        (self.charge, self.lanes)
    }

    /// The noised lanes, for tests.
    #[cfg(feature = "for-tests")]
    pub fn lanes_for_tests(&self) -> &[i128] {
        &self.lanes
    }
}

impl fmt::Debug for Noised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noised").field("charge", &self.charge).finish_non_exhaustive()
    }
}
