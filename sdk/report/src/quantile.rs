//! The noise that stands on a combined lane: the sum of independent copies, one a node. It says how
//! wide an interval must be to hold the true figure as often as promised, never less often.

use crate::laplace::LaplaceSum;
use crate::lattice::{LATTICE_DEVIATION_MAX, least_half_width};
use crate::normal::two_sided_quantile;
use cloister_terms::Noise;
use cloister_terms::limits::PARTIES_MAX;

/// Below this variance parameter a discrete Gaussian's moments and characteristic function are
/// summed term by term; above, Poisson's summation formula gives them to double precision.
const SIGMA_SQ_SUMMED_MAX: f64 = 16.0;
/// Terms of those sums: at the largest variance above, the first left out is below exp(-51).
const TERMS: i32 = 41;
/// Widens continuous quantiles by more than they are rounded.
const OUTWARD: f64 = 1.0 + 1e-12;

/// The least share that an interval may miss: quantiles are not worked out beyond.
const EACH_MISSED_MIN: f64 = 1e-9;

/// Most Laplace draws whose sum's quantile is worked out term by term. That of more lies between theirs and the
/// normal law's, in standard deviations; both differ by less than 1 in 1,000.
const LAPLACE_COPIES_MAX: usize = 4_096;

/// How often an interval must hold the true figure.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Confidence(f64);

/// A confidence outside 0.5 to 0.999999.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("`{0}` is not a usable confidence: give a number from 0.5 to 0.999999, such as 0.95")]
pub struct NotAConfidence(f64);

/// The sum of independent copies of one noise, in grid steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseSum {
    law: Law,
    copies: usize,
}

/// Why a noise cannot be summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// No copies, or more than an agreement has partners.
    #[error("noise of {found} partners: an answer has between 1 and {PARTIES_MAX}")]
    Copies {
        /// Copies asked for.
        found: usize,
    },
}

/// One copy's law, in floats.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Law {
    /// Scale 0: no noise.
    None,
    Laplace {
        scale: f64,
    },
    Gaussian {
        sigma_sq: f64,
    },
}

impl Confidence {
    /// 95 in 100.
    pub const DEFAULT: Self = Self(0.95);

    /// Checks `level`. Errors outside [0.5, 0.999999] and on NaN.
    pub fn new(level: f64) -> Result<Self, NotAConfidence> {
        if (0.5..=0.999_999).contains(&level) {
            Ok(Self(level))
        } else {
            Err(NotAConfidence(level))
        }
    }

    /// The share of intervals that hold the true figure.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// What each of `count` independent intervals must hold so that all do at once. At most 1 - 1e-9,
    /// which 1,000 intervals at the largest confidence need.
    pub(crate) fn each_of(self, count: usize) -> Self {
        // ln_1p and exp_m1 keep the digits of what is missed.
        let missed = -((-(1.0 - self.0)).ln_1p() / count.max(1) as f64).exp_m1();
        Self(1.0 - missed.max(EACH_MISSED_MIN))
    }

    /// As [`Self::each_of`] for intervals that may depend on one another, such as those of figures that share
    /// lanes (Bonferroni).
    pub(crate) fn each_of_dependent(self, count: usize) -> Self {
        let missed = (1.0 - self.0) / count.max(1) as f64;
        Self(1.0 - missed.max(EACH_MISSED_MIN))
    }
}

impl Default for Confidence {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl NoiseSum {
    /// The sum of `copies` independent draws of `noise`. Errors on 0 copies or more than the largest
    /// agreement has partners.
    pub fn new(noise: Noise, copies: usize) -> Result<Self, NoiseError> {
        if !(1..=PARTIES_MAX).contains(&copies) {
            return Err(NoiseError::Copies { found: copies });
        }
        Ok(Self::of_rows(noise, copies))
    }

    /// The sum of any number of draws, at least 1: those of several rows.
    pub(crate) fn of_rows(noise: Noise, copies: usize) -> Self {
        let law = match noise {
            Noise::DiscreteLaplace { scale } => Law::Laplace { scale: scale.to_f64() },
            Noise::DiscreteGaussian { sigma_sq } => Law::Gaussian { sigma_sq: sigma_sq.to_f64() },
        };
        let law = match law {
            Law::Laplace { scale: size } | Law::Gaussian { sigma_sq: size } if size <= 0.0 => {
                Law::None
            }
            noisy => noisy,
        };
        Self { law, copies: copies.max(1) }
    }

    /// The sum of both, which are independent; `None` where they are draws of different laws.
    pub(crate) fn with(&self, other: &Self) -> Option<Self> {
        let copies = self.copies.checked_add(other.copies)?;
        (self.law == other.law).then_some(Self { law: self.law, copies })
    }

    /// Draws in it.
    pub(crate) fn copies(&self) -> usize {
        self.copies
    }

    /// Standard deviation, in steps.
    pub fn standard_deviation_steps(&self) -> f64 {
        let one = match self.law {
            Law::None => 0.0,
            // 2a / (1 - a)^2 with a = exp(-1 / scale).
            Law::Laplace { scale } => 0.5 / (0.5 / scale).sinh().powi(2),
            Law::Gaussian { sigma_sq } => gaussian_variance(sigma_sq),
        };
        (one * self.copies as f64).sqrt()
    }

    /// The least whole `w` with `Pr[|S| <= w] >= confidence`, in steps. Sums up to a standard
    /// deviation of 512 are exact. Beyond, the continuous law is used, less half a step: where its tail is
    /// convex (confidence above 0.69) it holds at least as much as the discrete one loses by the
    /// midpoint rule, so coverage is kept; below, it may fall short by less than 1e-6. The sum of discrete Gaussians is then normal with variance `k sigma^2` to less than
    /// exp(-100) (Canonne, Kamath, Steinke 2020, section 2.4); that of Laplace stays Laplace.
    pub fn half_width_steps(&self, confidence: Confidence) -> f64 {
        let (level, deviation) = (confidence.value(), self.standard_deviation_steps());
        if deviation > LATTICE_DEVIATION_MAX {
            return (self.continuous_half_width(level) * OUTWARD - 0.5).ceil().max(0.0);
        }
        // At most one draw of every partner a row.
        let copies = i32::try_from(self.copies).unwrap_or(i32::MAX);
        match self.law {
            Law::None => 0.0,
            Law::Laplace { scale } => {
                least_half_width(|t| laplace_phi(scale, t).powi(copies), deviation, level)
            }
            Law::Gaussian { sigma_sq } => {
                least_half_width(|t| gaussian_phi(sigma_sq, t).powi(copies), deviation, level)
            }
        }
    }

    /// Half-width by standard deviation, the largest of the continuous law's, the discrete one's and the
    /// normal law's, since a weighted sum of noises lies between each of them and the normal: what
    /// replaces 1.96 where this noise is combined with another.
    pub(crate) fn factor(&self, confidence: Confidence) -> f64 {
        let deviation = self.standard_deviation_steps();
        if deviation <= 0.0 {
            return 0.0;
        }
        self.smooth_factor(confidence).max(self.half_width_steps(confidence) / deviation)
    }

    /// As [`Self::factor`] without the discrete law's: for sums that are widened by half a step instead.
    pub(crate) fn smooth_factor(&self, confidence: Confidence) -> f64 {
        let continuous = match self.law {
            Law::None => 0.0,
            Law::Laplace { .. } => {
                let sum = LaplaceSum::new(self.copies.min(LAPLACE_COPIES_MAX));
                sum.half_width(confidence.value()) / sum.standard_deviation()
            }
            Law::Gaussian { .. } => two_sided_quantile(confidence.value()),
        };
        // Below a confidence of about 0.91 the normal's is the larger one.
        let normal = two_sided_quantile(confidence.value());
        continuous.max(normal)
    }

    fn continuous_half_width(&self, level: f64) -> f64 {
        match self.law {
            Law::None => 0.0,
            Law::Laplace { scale } => {
                let exact = self.copies.min(LAPLACE_COPIES_MAX);
                let sum = LaplaceSum::new(exact);
                let (half_width, deviation) = (sum.half_width(level), sum.standard_deviation());
                if exact == self.copies {
                    return half_width * scale;
                }
                let widest = (half_width / deviation).max(two_sided_quantile(level));
                widest * scale * (2.0 * self.copies as f64).sqrt()
            }
            Law::Gaussian { sigma_sq } => {
                two_sided_quantile(level) * (sigma_sq * self.copies as f64).sqrt()
            }
        }
    }
}

/// `(1 - a)^2 / (1 - 2 a cos t + a^2)` with `a = exp(-1 / scale)`, written so that nothing cancels.
fn laplace_phi(scale: f64, t: f64) -> f64 {
    let angle = (t / 2.0).sin() / (0.5 / scale).sinh();
    1.0 / (1.0 + angle * angle)
}

fn gaussian_phi(sigma_sq: f64, t: f64) -> f64 {
    if sigma_sq < SIGMA_SQ_SUMMED_MAX {
        let (mut sum, mut mass) = (1.0, 1.0);
        for x in (1..TERMS).map(f64::from) {
            let weight = 2.0 * (-x * x / (2.0 * sigma_sq)).exp();
            sum += weight * (t * x).cos();
            mass += weight;
        }
        return sum / mass;
    }
    // Poisson summation: images of the normal characteristic function, 2 pi apart.
    let image = |shift: f64| (-sigma_sq * (t + shift).powi(2) / 2.0).exp();
    image(0.0) + image(-2.0 * std::f64::consts::PI)
}

fn gaussian_variance(sigma_sq: f64) -> f64 {
    if sigma_sq >= SIGMA_SQ_SUMMED_MAX {
        return sigma_sq;
    }
    let (mut sum, mut mass) = (0.0, 1.0);
    for x in (1..TERMS).map(f64::from) {
        let weight = 2.0 * (-x * x / (2.0 * sigma_sq)).exp();
        sum += weight * x * x;
        mass += weight;
    }
    sum / mass
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::Ratio;

    fn laplace(numerator: u128, denominator: u128) -> Noise {
        Noise::DiscreteLaplace { scale: Ratio::new(numerator, denominator).unwrap() }
    }

    fn gaussian(numerator: u128, denominator: u128) -> Noise {
        Noise::DiscreteGaussian { sigma_sq: Ratio::new(numerator, denominator).unwrap() }
    }

    /// Probability mass of one copy on `-reach..=reach`, straight from the definition.
    fn mass(noise: Noise, reach: i64) -> Vec<f64> {
        let weight = |x: i64| match noise {
            Noise::DiscreteLaplace { scale } => (-(x.abs() as f64) / scale.to_f64()).exp(),
            Noise::DiscreteGaussian { sigma_sq } => {
                (-((x * x) as f64) / (2.0 * sigma_sq.to_f64())).exp()
            }
        };
        let weights: Vec<f64> = (-reach..=reach).map(weight).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; a.len() + b.len() - 1];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                out[i + j] += x * y;
            }
        }
        out
    }

    /// Half-width and standard deviation by direct convolution: the oracle.
    fn direct(noise: Noise, copies: usize, reach: i64, level: f64) -> (f64, f64) {
        let one = mass(noise, reach);
        let sum = (1..copies).fold(one.clone(), |sum, _| convolve(&sum, &one));
        let centre = sum.len() / 2;
        let variance: f64 =
            sum.iter().enumerate().map(|(i, p)| p * (i as f64 - centre as f64).powi(2)).sum();
        let (mut within, mut w) = (sum[centre], 0);
        while within < level {
            w += 1;
            within += 2.0 * sum[centre + w];
        }
        (w as f64, variance.sqrt())
    }

    #[test]
    fn quantiles_equal_direct_convolution() {
        for (noise, copies, reach) in [
            (laplace(1, 3), 1, 60),
            (laplace(1, 1), 1, 60),
            (laplace(1, 1), 4, 60),
            (laplace(20, 1), 1, 900),
            (laplace(9, 2), 3, 250),
            (laplace(20, 1), 4, 800),
            (gaussian(1, 16), 1, 20),
            (gaussian(1, 4), 1, 20),
            (gaussian(1, 4), 9, 20),
            (gaussian(1, 1), 1, 30),
            (gaussian(9, 1), 1, 60),
            (gaussian(9, 1), 4, 60),
            (gaussian(49, 9), 2, 60),
            (gaussian(400, 1), 4, 300),
        ] {
            for level in [0.5, 0.9, 0.95, 0.999] {
                let sum = NoiseSum::new(noise, copies).unwrap();
                let (half_width, deviation) = direct(noise, copies, reach, level);
                let found = sum.half_width_steps(Confidence::new(level).unwrap());
                assert_eq!(found, half_width, "{noise:?} x {copies} at {level}");
                let error = (sum.standard_deviation_steps() / deviation - 1.0).abs();
                assert!(error < 1e-9, "{noise:?} x {copies}: deviation off by {error}");
            }
        }
    }

    #[test]
    fn the_exact_and_the_continuous_side_meet() {
        // Either side of 512 steps of deviation the two methods may differ by one step, outward.
        for (noise, copies) in
            [(laplace(362, 1), 1), (laplace(180, 1), 4), (gaussian(65_000, 1), 4)]
        {
            let sum = NoiseSum::new(noise, copies).unwrap();
            assert!(sum.standard_deviation_steps() <= LATTICE_DEVIATION_MAX);
            let exact = sum.half_width_steps(Confidence::DEFAULT);
            let continuous = (sum.continuous_half_width(0.95) - 0.5).ceil();
            assert!((0.0..=1.0).contains(&(continuous - exact)), "{continuous} against {exact}");
        }
        let wide = NoiseSum::new(laplace(1_000_000, 1), 1).unwrap();
        let expected = 1e6 * 20f64.ln();
        assert!((wide.half_width_steps(Confidence::DEFAULT) - expected).abs() < 1.0);
        let wide = NoiseSum::new(gaussian(1_000_000_000_000, 1), 9).unwrap();
        assert!(
            (wide.half_width_steps(Confidence::DEFAULT) - 1.959_963_984_540_054 * 3e6).abs() < 1.0
        );
    }

    /// Fieller's interval puts one factor on a weighted sum of two noises. For two Laplace draws its tail is
    /// `(a^2 e^(-x/a) - b^2 e^(-x/b)) / (a^2 - b^2)` (partial fractions of the characteristic function).
    #[test]
    fn the_factor_covers_every_weighted_sum_of_two() {
        let factor = |level| {
            let sum = NoiseSum::new(laplace(1_000_000, 1), 1).unwrap();
            sum.factor(Confidence::new(level).unwrap())
        };
        for level in (50..100).map(|percent| f64::from(percent) / 100.0).chain([0.999, 0.999_999]) {
            for share in (1..200).map(|step| f64::from(step) / 200.0) {
                let (a, b) = (1.0, share);
                let x = factor(level) * (2.0 * (a * a + b * b)).sqrt();
                let tail = (a * a * (-x / a).exp() - b * b * (-x / b).exp()) / (a * a - b * b);
                assert!(1.0 - tail >= level - 1e-4, "weights 1 and {b}: {} at {level}", 1.0 - tail);
            }
        }
    }

    #[test]
    fn extreme_scales_stay_finite() {
        let most = (1u128 << 127) - 1;
        for noise in [
            laplace(0, 1),
            laplace(1, most),
            laplace(most, 1),
            gaussian(0, 1),
            gaussian(1, most),
            gaussian(most, 1),
        ] {
            for copies in [1, 4, PARTIES_MAX] {
                let sum = NoiseSum::new(noise, copies).unwrap();
                let level = Confidence::DEFAULT;
                for number in
                    [sum.half_width_steps(level), sum.standard_deviation_steps(), sum.factor(level)]
                {
                    assert!(number.is_finite() && number >= 0.0, "{noise:?} x {copies}: {number}");
                }
            }
        }
        assert!(NoiseSum::new(laplace(1, 1), 0).is_err());
        assert!(NoiseSum::new(laplace(1, 1), PARTIES_MAX + 1).is_err());
        for bad in [f64::NAN, 0.0, 1.0, -1.0, f64::INFINITY] {
            assert!(Confidence::new(bad).is_err());
        }
    }
}
