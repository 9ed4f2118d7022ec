//! Noise: exact sums and their charge in, noised integers out. The only caller of the samplers, so
//! that nothing can be noised twice or not at all; a fault of the entropy releases nothing.

use crate::aggregate::{Exact, Sums};
use crate::ledger::Charge;
use crate::private_cells::CellSums;
use cloister_dp::{Entropy, SampleError, sample_vector};
use cloister_terms::{Key, KeyThreshold, Noise, PrivateKeys};
use std::fmt;

/// Cells that noise is drawn for at once.
const CELLS_AT_ONCE: usize = 1 << 16;

/// Noised lanes with the charge that paid for them. Private fields: only [`noise`] makes it.
pub struct Noised {
    charge: Charge,
    /// The keys of the cells where this release shows private ones; empty otherwise.
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
/// The outcome does not depend on the sums, but for an overflow that the limits exclude; nor does the time,
/// but for private keys, of which there are as many as the rows have: the slot hides it.
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
        (Sums::Private(sums), Some(private)) => match private.threshold {
            Some(threshold) => shown_cells(sums, threshold, laws, charge, entropy)?,
            None => {
                let sums = asked_sums(sums, &private.found, laws.len())?;
                (Vec::new(), noised_sums(&sums, laws, charge, entropy)?)
            }
        },
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

/// The cells whose noised count of people reaches the threshold, ascending by key, and their noised lanes;
/// where they are more than may be shown, those with the largest counts. Which ones follows from noised
/// counts alone, and the other lanes are drawn for them only: one person's cells must not cost more noise
/// than what can be shown.
fn shown_cells(
    sums: CellSums,
    threshold: KeyThreshold,
    laws: Vec<Noise>,
    charge: &Charge,
    entropy: &mut dyn Entropy,
) -> Result<(Vec<Key>, Vec<i128>), NoiseCause> {
    let wrong = NoiseCause::Length;
    let at = usize::try_from(threshold.persons_lane).map_err(|_| wrong.clone())?;
    let persons_law = *laws.get(at).ok_or(wrong.clone())?;
    let cells = sums.into_cells().ok_or(wrong.clone())?;
    let people = cells.iter().map(|(_, sums)| sums.get(at).copied());
    let people: Vec<i128> = people.collect::<Option<_>>().ok_or(wrong.clone())?;
    let people = noised_sums(&people, vec![persons_law], charge, entropy)?;
    let threshold = i128::from(threshold.people);
    #[cfg(feature = "for-tests")]
    let threshold = crate::mutant::threshold(threshold, charge.mutant());
    let counted = cells.into_iter().zip(people);
    let mut shown: Vec<_> = counted.filter(|(_, people)| *people >= threshold).collect();
    let most = PrivateKeys::shown_max(laws.len());
    if shown.len() > most {
        shown.sort_by(|(left, more), (right, fewer)| {
            fewer.cmp(more).then_with(|| left.0.cmp(&right.0))
        });
        shown.truncate(most);
        shown.sort_by(|(left, _), (right, _)| left.0.cmp(&right.0));
    }
    let mut other_laws = laws;
    other_laws.remove(at);
    let mut other_sums = Vec::new();
    let mut keys = Vec::with_capacity(shown.len());
    let mut counts = Vec::with_capacity(shown.len());
    for ((key, mut sums), people) in shown {
        if sums.len() != other_laws.len().saturating_add(1) {
            return Err(wrong);
        }
        sums.remove(at);
        other_sums.extend(sums);
        keys.push(key);
        counts.push(people);
    }
    let lanes = other_laws.len();
    if lanes == 0 {
        return Ok((keys, counts));
    }
    let others = noised_sums(&other_sums, other_laws, charge, entropy)?;
    let mut noised = Vec::with_capacity(others.len().saturating_add(counts.len()));
    for (people, values) in counts.into_iter().zip(others.chunks(lanes)) {
        let (before, after) = values.split_at_checked(at).ok_or(wrong.clone())?;
        noised.extend_from_slice(before);
        noised.push(people);
        noised.extend_from_slice(after);
    }
    Ok((keys, noised))
}

/// The sums of the cells that an earlier round found, 0 where nobody is in one: which are answered does
/// not depend on the sums. A sum of any other cell is a fault: nobody may be left in one.
fn asked_sums(sums: CellSums, asked: &[Key], lanes: usize) -> Result<Vec<i128>, NoiseCause> {
    let mut cells = sums.into_cells().ok_or(NoiseCause::Length)?.into_iter().peekable();
    let mut all = Vec::with_capacity(asked.len().saturating_mul(lanes));
    for key in asked {
        match cells.next_if(|(found, _)| found == key) {
            Some((_, sums)) if sums.len() == lanes => all.extend(sums),
            Some(_) => return Err(NoiseCause::Length),
            None => all.extend(std::iter::repeat_n(0, lanes)),
        }
    }
    match cells.next() {
        None if !asked.is_empty() => Ok(all),
        _ => Err(NoiseCause::Length),
    }
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
