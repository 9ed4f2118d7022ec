//! The count from which a private key may be shown. A key that one person alone has must stay unseen but
//! with probability delta over all her keys; the tail behind that is computed exactly and rounded outward,
//! never read off a formula that only holds for small losses.

use crate::sampler::{SampleError, Sampler};
use crate::span::{ONE, Span};
use cloister_terms::{Delta, Noise, Ratio};

/// Largest threshold: beyond it a key would need more people than any table has.
pub const THRESHOLD_MAX: u64 = 1 << 40;
/// Largest variance of a discrete Gaussian whose tail is summed term by term, in squared steps.
pub const TAIL_VARIANCE_MAX: u128 = 1 << 30;
/// Terms of a tail that are summed at most: 16 standard deviations at the largest variance.
const TERMS_MAX: u64 = 1 << 19;
/// Binary places that sums of terms give up, so that the mass of the widest law fits.
const SUM_PLACES_LESS: u32 = 24;

/// Why there is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// The noise cannot be drawn.
    #[error(transparent)]
    Noise(#[from] SampleError),
    /// A person with no keys.
    #[error("a person may have `0` keys: give a group cap of at least 1")]
    NoCells,
    /// No chance of failure is allowed.
    #[error("a delta of `0` lets no private key be shown: give a delta above zero")]
    NoDelta,
    /// The noise is too wide, or delta too small.
    #[error(
        "no threshold fits this noise and delta: spend more, allow a larger delta, or declare the keys"
    )]
    OutOfReach,
}

/// The least whole number of people `tau` such that a person who alone has each of her `l0` keys sees any
/// of them shown with probability at most `delta`: `1 - (1 - Pr[1 + Z >= tau])^l0 <= delta`, Z drawn from
/// `noise` in steps of one person (Google, "Differentially private SQL with bounded user contribution",
/// 2020, theorem 3.1, with the exact tail of the discrete law).
///
/// Rounded outward: the tail is enclosed between two 120-bit bounds, and its upper one decides.
/// Errors on noise that cannot be drawn, on zeros, and where no number up to [`THRESHOLD_MAX`] does.
pub fn key_threshold(noise: &Noise, l0: u32, delta: Delta) -> Result<u64, ThresholdError> {
    Sampler::new(noise)?;
    if l0 == 0 {
        return Err(ThresholdError::NoCells);
    }
    if delta == Delta::ZERO {
        return Err(ThresholdError::NoDelta);
    }
    let allowed = delta_units(delta).ok_or(ThresholdError::OutOfReach)?;
    let tail = Tail::new(noise)?;
    let is_safe = |tau: u64| tail.shown(tau, l0).is_some_and(|shown| shown.high <= allowed);
    // The tail falls with tau, so the least safe one is found by halving.
    let (mut unsafe_tau, mut safe_tau) = (0u64, tail.farthest());
    if !is_safe(safe_tau) {
        return Err(ThresholdError::OutOfReach);
    }
    while safe_tau - unsafe_tau > 1 {
        let middle = unsafe_tau + (safe_tau - unsafe_tau) / 2;
        if is_safe(middle) { safe_tau = middle } else { unsafe_tau = middle }
    }
    Ok(safe_tau)
}

/// Delta in units of `2^-120`, rounded down; `None` from 1 up, which would protect nobody.
fn delta_units(delta: Delta) -> Option<u128> {
    const WHOLE: u128 = 10u128.pow(Delta::UNIT_SCALE);
    let units = u128::from(delta.units());
    if units >= WHOLE {
        return None;
    }
    let (whole, _) = crate::wide::Wide::product(units, ONE).checked_div_rem(WHOLE)?;
    whole.to_u128()
}

/// `Pr[Z >= k]` for whole k.
enum Tail {
    /// `p^k / (1 + p)` for k of at least 1, with `p = exp(-1 / scale)`.
    Laplace { p: Span, farthest: u64 },
    /// `above[k]`: the mass of k and all beyond, over the whole mass, both in units of `2^-96`.
    Gaussian { above: Vec<Span>, whole: Span },
}

impl Tail {
    fn new(noise: &Noise) -> Result<Self, ThresholdError> {
        match noise {
            Noise::DiscreteLaplace { scale } => {
                let inverse = inverse(*scale)?;
                // At 84 scales out the tail is below the last place.
                let scales = scale.numerator() / scale.denominator() + 1;
                let far = u64::try_from(scales.saturating_mul(84) + 2).unwrap_or(u64::MAX);
                let farthest = far.min(THRESHOLD_MAX);
                Ok(Self::Laplace { p: Span::exp_minus(inverse), farthest })
            }
            Noise::DiscreteGaussian { sigma_sq } => Self::gaussian(*sigma_sq),
        }
    }

    /// Sums `exp(-j^2 / (2 sigma^2))` from the last place up, by the ratio of neighbours
    /// `exp(-(2j + 1) / (2 sigma^2))`.
    fn gaussian(sigma_sq: Ratio) -> Result<Self, ThresholdError> {
        let out_of_reach = ThresholdError::OutOfReach;
        if sigma_sq.numerator() / sigma_sq.denominator() >= TAIL_VARIANCE_MAX {
            return Err(out_of_reach);
        }
        let whole = inverse(sigma_sq)?;
        let half = Ratio::new(whole.numerator(), whole.denominator().saturating_mul(2));
        let half = half.map_err(|_| ThresholdError::OutOfReach)?;
        let (mut ratio, step) = (Span::exp_minus(half), Span::exp_minus(whole));
        let mut above = vec![coarse(Span::ONE)];
        let mut term = Span::ONE;
        for _ in 0..TERMS_MAX {
            term = term.times(ratio);
            ratio = ratio.times(step);
            above.push(coarse(term));
            if term.low == 0 {
                break;
            }
        }
        // Everything beyond the last term: a geometric series with at most its ratio.
        let beyond = Span::quotient(Span { low: 0, high: term.high }, ratio.complement());
        let beyond = beyond.filter(|_| term.low == 0).ok_or(out_of_reach)?;
        // At most 2^19 terms of at most 2^96 each: far inside u128.
        let mut sum = Span { low: 0, high: coarse(beyond).high };
        for term in above.iter_mut().rev() {
            sum = Span { low: sum.low + term.low, high: sum.high + term.high };
            *term = sum;
        }
        // All mass is twice the mass from 0 up, less the mass at 0, which is exactly one.
        let one = ONE >> SUM_PLACES_LESS;
        let whole = Span { low: 2 * sum.low - one, high: 2 * sum.high - one };
        Ok(Self::Gaussian { above, whole })
    }

    /// The largest threshold worth trying.
    fn farthest(&self) -> u64 {
        match self {
            Self::Laplace { farthest, .. } => *farthest,
            Self::Gaussian { above, .. } => above.len() as u64,
        }
    }

    /// `Pr[Z >= k]`, for k of at least 0.
    fn at_least(&self, k: u64) -> Option<Span> {
        match self {
            Self::Laplace { p, .. } => {
                let one_more = Span { low: ONE + p.low, high: ONE + p.high };
                // For k = 0: Pr[Z >= 0] = 1 / (1 + p), the same formula.
                Span::quotient(p.power(k), one_more)
            }
            Self::Gaussian { above, whole } => {
                let above = above.get(usize::try_from(k).ok()?)?;
                Span::quotient(*above, *whole)
            }
        }
    }

    /// The probability that a key is shown to be there, over `l0` keys of one person alone.
    fn shown(&self, tau: u64, l0: u32) -> Option<Span> {
        // From tau = 1 on the count of one person reaches tau iff Z >= tau - 1 >= 0.
        let one = self.at_least(tau.checked_sub(1)?)?;
        Some(one.complement().power(l0.into()).complement())
    }
}

/// In units of the sums, rounded outward.
fn coarse(span: Span) -> Span {
    let high = span.high >> SUM_PLACES_LESS;
    let is_exact = high << SUM_PLACES_LESS == span.high;
    Span { low: span.low >> SUM_PLACES_LESS, high: high + u128::from(!is_exact) }
}

fn inverse(ratio: Ratio) -> Result<Ratio, ThresholdError> {
    Ratio::new(ratio.denominator(), ratio.numerator()).map_err(|_| ThresholdError::OutOfReach)
}

#[cfg(test)]
#[path = "threshold_tests.rs"]
mod tests;
