//! Noise: exact sums and their charge in, noised integers out. The only caller of the samplers, so
//! that nothing can be noised twice or not at all; a fault of the entropy releases nothing.

use crate::aggregate::{Exact, Sums};
use crate::ledger::Charge;
use cloister_dp::{Entropy, SampleError, sample_vector};
use cloister_terms::limits::KEYS_SHOWN_MAX;
use cloister_terms::{Key, Noise, PrivateKeys};
use std::fmt;

/// Cells that noise is drawn for at once.
const CELLS_AT_ONCE: usize = 1 << 16;

/// Noised lanes with the charge that paid for them. Private fields: only [`noise`] makes it.
pub struct Noised {
    charge: Charge,
    /// The keys of the cells where keys are private; empty otherwise.
    keys: Vec<Key>,
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

/// Adds to every lane of every cell, and to every diagnostic, one independent draw of its noise.
///
/// Guarantee: each released integer is `exact + Z` with `Z` drawn exactly from the distribution that
/// the plan names and the charge paid for, whatever `exact` is; on any error no integer leaves. Where
/// keys are private, a cell leaves only if its noised count of people reaches the plan's threshold.
/// Time and outcome do not depend on the sums, but for an overflow that the limits exclude.
pub fn noise(
    exact: Exact,
    charge: Charge,
    entropy: &mut dyn Entropy,
) -> Result<Noised, NoiseFault> {
    match noised_cells(exact, &charge, entropy) {
        Ok((keys, lanes)) => Ok(Noised { charge, keys, lanes }),
        Err(cause) => Err(NoiseFault { charge: Box::new(charge), cause }),
    }
}

fn noised_cells(
    exact: Exact,
    charge: &Charge,
    entropy: &mut dyn Entropy,
) -> Result<(Vec<Key>, Vec<i128>), NoiseCause> {
    let shape = &charge.plan().shape;
    let whole = shape.cells_len().map_err(|_| NoiseCause::Length)?;
    let (sums, people) = exact.into_sums();
    let laws: Vec<_> = shape.lanes.iter().map(|lane| lane.noise).collect();
    let (keys, mut lanes) = match (sums, &shape.private_keys) {
        (Sums::Public { sums, .. }, None) if sums.len() == whole => {
            let sums = own_cells(sums, charge)?;
            if sums.is_empty() {
                // A partner of no cell has no diagnostics either.
                return Ok((Vec::new(), sums));
            }
            (Vec::new(), noised_sums(&sums, laws, charge, entropy)?)
        }
        (Sums::Private(sums), Some(private)) => {
            let cells = sums.into_cells().ok_or(NoiseCause::Length)?;
            let (keys, sums): (Vec<Key>, Vec<Vec<i128>>) = cells.into_iter().unzip();
            let lanes = noised_sums(&sums.concat(), laws, charge, entropy)?;
            let shown = shown(keys, lanes, private, shape.lanes.len(), charge);
            shown.ok_or(NoiseCause::Length)?
        }
        _ => return Err(NoiseCause::Length),
    };
    let laws: Vec<_> = shape.diagnostics.iter().map(|one| one.noise).collect();
    if people.counts().len() != laws.len() {
        return Err(NoiseCause::Length);
    }
    lanes.extend(noised_sums(people.counts(), laws, charge, entropy)?);
    Ok((keys, lanes))
}

/// Sums of cells that hold one lane a law.
fn noised_sums(
    sums: &[i128],
    laws: Vec<Noise>,
    charge: &Charge,
    entropy: &mut dyn Entropy,
) -> Result<Vec<i128>, NoiseCause> {
    #[cfg(not(feature = "for-tests"))]
    let _ = charge;
    #[cfg(feature = "for-tests")]
    let laws = crate::mutant::drawn(laws, charge.mutant());
    let mut lanes = Vec::with_capacity(sums.len());
    // As many cells at once as a public shape may have.
    for sums in sums.chunks(laws.len().saturating_mul(CELLS_AT_ONCE).max(1)) {
        let cells = (sums.len() / laws.len().max(1)) as u64;
        let draws = sample_vector(&laws, cells, entropy)?;
        #[cfg(feature = "for-tests")]
        let draws = crate::mutant::added(draws, charge.mutant());
        for (draw, sum) in draws.into_iter().zip(sums) {
            lanes.push(draw.checked_add(*sum).ok_or(NoiseCause::Overflow)?);
        }
    }
    Ok(lanes)
}

/// The cells whose noised count of people reaches the threshold, ascending by key; where they are more
/// than may be shown, those with the largest counts. All of it follows from noised figures alone.
fn shown(
    keys: Vec<Key>,
    lanes: Vec<i128>,
    private: &PrivateKeys,
    lanes_a_cell: usize,
    charge: &Charge,
) -> Option<(Vec<Key>, Vec<i128>)> {
    let threshold = i128::from(private.threshold);
    #[cfg(feature = "for-tests")]
    let threshold = crate::mutant::threshold(threshold, charge.mutant());
    #[cfg(not(feature = "for-tests"))]
    let _ = charge;
    let persons_lane = usize::try_from(private.persons_lane).ok()?;
    let mut cells: Vec<(i128, Key, &[i128])> = Vec::new();
    for (key, values) in keys.into_iter().zip(lanes.chunks(lanes_a_cell.max(1))) {
        let people = *values.get(persons_lane)?;
        if people >= threshold {
            cells.push((people, key, values));
        }
    }
    if cells.len() > KEYS_SHOWN_MAX {
        cells.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
        cells.truncate(KEYS_SHOWN_MAX);
    }
    cells.sort_by(|left, right| left.1.cmp(&right.1));
    let (keys, values): (Vec<Key>, Vec<&[i128]>) =
        cells.into_iter().map(|(_, key, values)| (key, values)).unzip();
    Some((keys, values.concat()))
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
    /// Charge, private keys and lanes, for the ledger's release.
    pub(crate) fn into_parts(self) -> (Charge, Vec<Key>, Vec<i128>) {
        (self.charge, self.keys, self.lanes)
    }

    /// The private keys that are shown, for tests.
    #[cfg(feature = "for-tests")]
    pub fn keys_for_tests(&self) -> &[Key] {
        &self.keys
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
