//! Discrete Gaussian noise, drawn exactly. Never rounds a continuous draw: every probability is that
//! of the definition.

use crate::bits::{Bits, NARROW_MAX};
use crate::entropy::Entropy;
use crate::laplace::DiscreteLaplace;
use crate::sampler::SampleError;
use crate::wide::Wide;
use cloister_terms::Ratio;

/// The discrete Gaussian distribution with parameter `sigma^2 = a/b` squared steps:
/// `Pr[x]` proportional to `e^(-x^2 / (2 sigma^2))` for every integer x.
///
/// **Accepted:** every nonzero ratio, that is `0 < a, b < 2^127`.
///
/// **Guarantee.** Let f map data to lanes of integers such that adding or removing one privacy unit
/// changes at most `L0` cells, each by at most `D_l` steps in lane l. Then f plus independent draws
/// with `sigma_l^2` is `L0 * sum D_l^2 / (2 sigma_l^2)`-zCDP (Bun, Steinke 2016, definition 1.1;
/// Canonne, Kamath, Steinke 2020, theorem 4, summed over cells and lanes). It is never calibrated
/// by the classical `sqrt(2 ln(1.25/delta))` formula, which fails for epsilon above 1. The draw has
/// exactly the stated probabilities (algorithm 3 there) if the entropy is uniform and independent;
/// the time a draw takes depends on the draw.
///
/// **Why nothing overflows.** With `t = floor(sigma) + 1`: `t <= 2^64`; `t b < 2^128`, because it is b
/// for sigma below 1 and at most `2 sqrt(a b)` otherwise; `t^2 b <= max(4a, b) < 2^129` and
/// `2 a b t^2 < 2^257`. The proposal is at most `(2^32 + 1) t` or an error, so
/// `(y t b - a)^2 < 2^324`; 384 bits hold both, with room for the 32 bits of a lazy comparison.
#[derive(Debug, Clone, Copy)]
pub struct DiscreteGaussian {
    proposal: DiscreteLaplace,
    /// a.
    numerator: u128,
    /// t b.
    step: u128,
    /// 2 a b t^2, where narrow arithmetic has room for it.
    narrow: Option<u128>,
    /// 2 a b t^2.
    wide: Wide,
}

impl DiscreteGaussian {
    /// The distribution of one sigma^2, in squared steps. Errors on 0.
    pub fn new(sigma_sq: Ratio) -> Result<Self, SampleError> {
        let (numerator, denominator) = (sigma_sq.numerator(), sigma_sq.denominator());
        if numerator == 0 {
            return Err(SampleError::NoNoise);
        }
        // floor(sqrt(a/b)) = floor(sqrt(floor(a/b))).
        let floor = numerator.checked_div(denominator).ok_or(SampleError::NoNoise)?.isqrt();
        let scale = floor + 1;
        let step =
            scale.checked_mul(denominator).ok_or(SampleError::TooWide { scale: sigma_sq })?;
        let wide = Wide::from(numerator)
            .checked_mul(step)
            .and_then(|w| w.checked_mul(scale)?.checked_mul_limb(2));
        let wide = wide.ok_or(SampleError::TooWide { scale: sigma_sq })?;
        let narrow = wide.to_u128().filter(|narrow| *narrow < NARROW_MAX);
        Ok(Self { proposal: DiscreteLaplace::whole(scale), numerator, step, narrow, wide })
    }

    /// One draw, in steps. Errors when entropy does.
    pub fn sample(&self, entropy: &mut dyn Entropy) -> Result<i128, SampleError> {
        self.draw(&mut Bits::new(entropy))
    }

    pub(crate) fn draw(&self, bits: &mut Bits<'_>) -> Result<i128, SampleError> {
        loop {
            let candidate = self.proposal.draw(bits)?;
            let magnitude = candidate.unsigned_abs();
            let accepted = match self.narrow_exponent(magnitude) {
                Some((numerator, denominator)) => bits.exp_minus(numerator, denominator)?,
                None => bits.exp_minus_wide(self.wide_exponent(magnitude)?, self.wide)?,
            };
            if accepted {
                return Ok(candidate);
            }
        }
    }

    /// `(|y| - sigma^2/t)^2 / (2 sigma^2) = (|y| t b - a)^2 / (2 a b t^2)`, if u128 holds it.
    #[inline]
    fn narrow_exponent(&self, magnitude: u128) -> Option<(u128, u128)> {
        let denominator = self.narrow?;
        let root = magnitude.checked_mul(self.step)?.abs_diff(self.numerator);
        Some((root.checked_mul(root)?, denominator))
    }

    /// The numerator of the same exponent, in 384 bits.
    fn wide_exponent(&self, magnitude: u128) -> Result<Wide, SampleError> {
        let root = Wide::product(magnitude, self.step).abs_diff(Wide::from(self.numerator));
        match root.to_u128() {
            Some(narrow) => Ok(Wide::product(narrow, narrow)),
            None => root.checked_square().ok_or(SampleError::OutOfRange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailingEntropy, SeededEntropy};

    const LARGE: u128 = (1 << 127) - 1;

    #[test]
    fn a01_every_nonzero_ratio_draws() {
        let mut entropy = SeededEntropy::new(5);
        for (a, b) in [
            (1, LARGE),
            (1, 1 << 40),
            (LARGE, LARGE - 1),
            (LARGE - 1, LARGE),
            (LARGE, 1),
            (LARGE, 2),
            (1 << 126, 3),
            (1 << 120, 1),
            (1 << 110, 2 * 16_666_667),
            (1 << 80, (1 << 75) - 1),
            (49, 9),
        ] {
            let law = DiscreteGaussian::new(Ratio::new(a, b).unwrap()).unwrap();
            // 40 sigma: beyond with probability below e^-800.
            let bound = 40 * ((a / b).isqrt() + 1) as i128;
            for _ in 0..100 {
                let drawn = law.sample(&mut entropy).unwrap();
                assert!(drawn.abs() <= bound, "{a}/{b} drew {drawn}");
            }
        }
        assert_eq!(
            DiscreteGaussian::new(Ratio::new(0, 1).unwrap()).unwrap_err(),
            SampleError::NoNoise
        );
    }

    /// The largest products the bounds allow fit, and what cannot fit is an error.
    #[test]
    fn a01_the_stated_overflow_bounds_hold_at_the_extremes() {
        for (a, b) in [
            (LARGE, 1),
            (LARGE, LARGE - 1),
            (LARGE - 1, LARGE),
            (1, LARGE),
            (LARGE, 1 << 63),
            (LARGE, 3),
        ] {
            let law = DiscreteGaussian::new(Ratio::new(a, b).unwrap()).unwrap();
            let scale = (a / b).isqrt() + 1;
            assert!(scale <= 1 << 64);
            assert!(law.wide.checked_mul_limb(1 << 32).is_some());
            assert!(law.wide_exponent((scale << 32) + scale).is_ok(), "{a}/{b}");
        }
        let law = DiscreteGaussian::new(Ratio::new(LARGE, LARGE - 1).unwrap()).unwrap();
        assert_eq!(law.wide_exponent(u128::MAX), Err(SampleError::OutOfRange));
    }

    #[test]
    fn a01_narrow_and_wide_exponents_are_equal() {
        let law = DiscreteGaussian::new(Ratio::new(49, 9).unwrap()).unwrap();
        for magnitude in 0..100 {
            let (numerator, denominator) = law.narrow_exponent(magnitude).unwrap();
            assert_eq!(law.wide_exponent(magnitude).unwrap(), Wide::from(numerator));
            assert_eq!(law.wide, Wide::from(denominator));
        }
    }

    #[test]
    fn a01_no_draw_without_entropy() {
        let law = DiscreteGaussian::new(Ratio::new(1_000_000, 1).unwrap()).unwrap();
        for bytes in 0..200 {
            let drawn = law.sample(&mut FailingEntropy::after(bytes));
            assert_eq!(drawn, Err(SampleError::Entropy(crate::EntropyFault)));
        }
    }
}
