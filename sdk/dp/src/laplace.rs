//! Discrete Laplace noise, drawn exactly. Never rounds a continuous draw: every probability is that
//! of the definition.

use crate::bits::Bits;
use crate::entropy::Entropy;
use crate::sampler::SampleError;
use cloister_terms::Ratio;

/// Largest scale: 2^64 steps. Sums over 2^40 such draws stay within i128.
pub const SCALE_BITS_MAX: u32 = 64;

/// Most successes of the geometric part of one draw. More happen with probability `exp(-2^32)`.
const TURNS_MAX: u64 = 1 << 32;

/// The discrete Laplace distribution with scale `b = t/s` steps:
/// `Pr[x] = (1 - e^(-1/b)) / (1 + e^(-1/b)) * e^(-|x|/b)` for every integer x.
///
/// **Accepted:** every ratio with `0 < t/s <= 2^64`, whatever its parts below 2^127.
///
/// **Guarantee.** Let f map data to lanes of integers such that adding or removing one privacy unit
/// changes at most `L0` cells of the lane, each by at most `D` steps. Then f plus independent draws
/// is `L0 * D / b`-differentially private (pure epsilon): each changed cell multiplies a
/// probability by at most `e^(D/b)`, because `|x - D| >= |x| - D`. The draw has exactly the stated
/// probabilities (Canonne, Kamath, Steinke 2020, algorithm 2) if the entropy is uniform and
/// independent; the time a draw takes depends on the draw.
#[derive(Debug, Clone, Copy)]
pub struct DiscreteLaplace {
    numerator: u128,
    denominator: u128,
    quotient: u128,
    remainder: u128,
}

impl DiscreteLaplace {
    /// The distribution of one scale, in steps. Errors on 0 and above 2^64.
    pub fn new(scale: Ratio) -> Result<Self, SampleError> {
        let (numerator, denominator) = (scale.numerator(), scale.denominator());
        if numerator == 0 {
            return Err(SampleError::NoNoise);
        }
        let quotient = numerator.checked_div(denominator).ok_or(SampleError::NoNoise)?;
        let remainder = numerator.checked_rem(denominator).ok_or(SampleError::NoNoise)?;
        let most = 1u128 << SCALE_BITS_MAX;
        if quotient > most || (quotient == most && remainder != 0) {
            return Err(SampleError::TooWide { scale });
        }
        Ok(Self { numerator, denominator, quotient, remainder })
    }

    /// A whole scale, between 1 and 2^64: the proposal of the discrete Gaussian.
    pub(crate) const fn whole(scale: u128) -> Self {
        Self { numerator: scale, denominator: 1, quotient: scale, remainder: 0 }
    }

    /// One draw, in steps. Errors when entropy does.
    pub fn sample(&self, entropy: &mut dyn Entropy) -> Result<i128, SampleError> {
        self.draw(&mut Bits::new(entropy))
    }

    pub(crate) fn draw(&self, bits: &mut Bits<'_>) -> Result<i128, SampleError> {
        loop {
            let offset = bits.below(self.numerator)?;
            if !bits.exp_minus(offset, self.numerator)? {
                continue;
            }
            let magnitude = self.magnitude(offset, bits)?;
            let negative = bits.bit()?;
            if negative && magnitude == 0 {
                // Zero would otherwise be counted twice.
                continue;
            }
            let value = i128::try_from(magnitude).map_err(|_| SampleError::OutOfRange)?;
            return Ok(if negative { -value } else { value });
        }
    }

    /// `floor((offset + numerator * turns) / denominator)` with `turns` geometric, kept as a whole
    /// part and a rest so that no product is ever formed: below 2^64 * (2^32 + 2).
    #[inline]
    fn magnitude(&self, offset: u128, bits: &mut Bits<'_>) -> Result<u128, SampleError> {
        let (mut whole, mut rest) = match self.denominator {
            1 => (offset, 0),
            denominator => (offset / denominator, offset % denominator),
        };
        let mut turns = 0;
        while bits.exp_minus_one()? {
            turns += 1;
            if turns > TURNS_MAX {
                return Err(SampleError::OutOfRange);
            }
            whole += self.quotient;
            rest += self.remainder;
            if rest >= self.denominator {
                rest -= self.denominator;
                whole += 1;
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailingEntropy, SeededEntropy};

    #[test]
    fn a01_every_accepted_scale_draws_and_the_rest_is_refused() {
        let mut entropy = SeededEntropy::new(3);
        let large = (1u128 << 127) - 1;
        for (t, s) in
            [(1, large), (1, 1 << 20), (large, large - 1), (large, 1 << 63), (1 << 64, 1), (7, 3)]
        {
            let law = DiscreteLaplace::new(Ratio::new(t, s).unwrap()).unwrap();
            let bound = 200 * (t / s + 1) as i128;
            for _ in 0..100 {
                assert!(law.sample(&mut entropy).unwrap().abs() <= bound, "{t}/{s}");
            }
        }
        assert_eq!(
            DiscreteLaplace::new(Ratio::new(0, 1).unwrap()).unwrap_err(),
            SampleError::NoNoise
        );
        for (t, s) in [((1 << 64) + 1, 1), (large, 1), (large, 1 << 62)] {
            let scale = Ratio::new(t, s).unwrap();
            assert_eq!(DiscreteLaplace::new(scale).unwrap_err(), SampleError::TooWide { scale });
        }
    }

    #[test]
    fn a01_a_tiny_scale_is_nearly_always_zero() {
        let law = DiscreteLaplace::new(Ratio::new(1, 1 << 20).unwrap()).unwrap();
        let mut entropy = SeededEntropy::new(4);
        assert!((0..1_000).all(|_| law.sample(&mut entropy) == Ok(0)));
    }

    #[test]
    fn a01_no_draw_without_entropy() {
        let law = DiscreteLaplace::new(Ratio::new(1_000, 1).unwrap()).unwrap();
        for bytes in 0..200 {
            let drawn = law.sample(&mut FailingEntropy::after(bytes));
            assert_eq!(drawn, Err(SampleError::Entropy(crate::EntropyFault)));
        }
    }
}
