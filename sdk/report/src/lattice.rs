//! Exact quantiles of symmetric integer-valued noise from its characteristic function. It serves
//! distributions narrow enough to sum; wide ones have continuous limits elsewhere.

use std::f64::consts::PI;

/// Widest standard deviation, in steps, that is summed exactly.
pub(crate) const LATTICE_DEVIATION_MAX: f64 = 512.0;
/// The period in standard deviations. The mass beyond half of it (20 deviations; exp(-28) for the
/// heaviest tail, one Laplace) folds back and is covered by [`OUTWARD`].
const PERIOD_DEVIATIONS: f64 = 40.0;
/// Steps added to the period, for distributions far narrower than a step.
const PERIOD_STEPS_MIN: f64 = 128.0;
/// Values of the characteristic function below this are dropped.
const NEGLIGIBLE: f64 = 1e-18;
/// Added to the level asked for: more than folding, dropping and rounding lose together.
const OUTWARD: f64 = 1e-10;

/// The least whole `w` with `Pr[|S| <= w] >= level`, in steps, for an integer `S` with standard
/// deviation `deviation <= LATTICE_DEVIATION_MAX` and the real characteristic function `phi`, which
/// must not grow on [0, pi]. `level` at most `1 - 1e-6`.
pub(crate) fn least_half_width(phi: impl Fn(f64) -> f64, deviation: f64, level: f64) -> f64 {
    let inverse = Inverse::new(phi, deviation);
    let (mut low, mut high) = (0u32, inverse.half_period);
    while low < high {
        let middle = low.midpoint(high);
        if inverse.mass_within(middle) >= level + OUTWARD {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    f64::from(low)
}

/// A characteristic function at the points of a discrete Fourier transform.
struct Inverse {
    /// Half of the period, in steps.
    half_period: u32,
    /// `phi(2 pi j / period)` for j = 1, 2, ..., as far as it is not negligible.
    values: Vec<f64>,
}

impl Inverse {
    fn new(phi: impl Fn(f64) -> f64, deviation: f64) -> Self {
        let deviation = deviation.clamp(0.0, LATTICE_DEVIATION_MAX);
        let half_period = ((PERIOD_DEVIATIONS * deviation + PERIOD_STEPS_MIN) / 2.0).ceil() as u32;
        let values = (1..=half_period)
            .map(|j| phi(PI * f64::from(j) / f64::from(half_period)))
            .take_while(|value| *value > NEGLIGIBLE)
            .collect();
        Self { half_period, values }
    }

    /// `Pr[|S| <= w]`: the sum of phi against the Dirichlet kernel
    /// `sin((2w + 1) t / 2) / sin(t / 2)`, whose transform is the indicator of `|x| <= w`.
    fn mass_within(&self, w: u32) -> f64 {
        let width = f64::from(w) * 2.0 + 1.0;
        let mut sum = width;
        for (j, value) in (1..=self.half_period).zip(&self.values) {
            let half_angle = PI * f64::from(j) / f64::from(self.half_period) / 2.0;
            let kernel = (width * half_angle).sin() / half_angle.sin();
            // Every point stands for its mirror image too, but for the one at pi.
            let weight = if j == self.half_period { 1.0 } else { 2.0 };
            sum += weight * value * kernel;
        }
        sum / (2.0 * f64::from(self.half_period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_of_a_fair_three_sided_step_are_exact() {
        // S is -1, 0 or 1 with 1/4, 1/2, 1/4: phi(t) = cos^2(t/2).
        let phi = |t: f64| (t / 2.0).cos().powi(2);
        let inverse = Inverse::new(phi, 0.5f64.sqrt());
        assert!((inverse.mass_within(0) - 0.5).abs() < 1e-14);
        assert!((inverse.mass_within(1) - 1.0).abs() < 1e-14);
        assert_eq!(least_half_width(phi, 0.5f64.sqrt(), 0.49), 0.0);
        assert_eq!(least_half_width(phi, 0.5f64.sqrt(), 0.51), 1.0);
    }
}
