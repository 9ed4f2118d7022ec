//! The interval of one noisy lane divided by another (Fieller 1954). An interval that would be
//! unbounded, or a denominator that may be zero, is said to be too noisy; it is never invented.

use crate::cell::{Cell, Estimate};

/// A ratio whose denominator's own half-width is above this share of it is held to the same rule as
/// a total: too noisy when its half-width exceeds its size. Below, a ratio near zero is a finding.
const DENOMINATOR_ERROR_MAX: f64 = 0.1;

/// A noisy figure and the standard deviation of its noise, in the same units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The noisy figure.
    pub value: f64,
    /// Standard deviation of its noise.
    pub deviation: f64,
}

/// The interval of `numerator / denominator` by Fieller's theorem (Fieller 1954, JRSS B 16): all `r`
/// for which `(a - r b)^2 <= factor^2 (s_a^2 + r^2 s_b^2)`. The noises must be independent. `factor`
/// is the two-sided quantile in standard deviations (1.96 for a Gaussian at 95 %; the larger of the
/// two lanes' and the normal law's for others, since that of a weighted sum lies between). Total: whatever is undefined
/// is [`Cell::TooNoisy`].
pub fn fieller(numerator: Measured, denominator: Measured, factor: f64) -> Cell {
    let (a, b) = (numerator.value, denominator.value);
    let error_b = factor * denominator.deviation;
    // Written so that NaN is doubtful too.
    let is_clear = b > 0.0 && b > error_b && factor >= 0.0;
    if !is_clear {
        return Cell::TooNoisy(None);
    }
    let ratio = a / b;
    let share = error_b / b;
    let g = share * share;
    let (error_a, error_rb) = (factor * numerator.deviation, ratio * error_b);
    let root = (error_a * error_a * (1.0 - g) + error_rb * error_rb).sqrt();
    let half = root / (b * (1.0 - g));
    let centre = ratio / (1.0 - g);
    // Rounding must not put the figure outside its own interval.
    let (low, high) = ((centre - half).min(ratio), (centre + half).max(ratio));
    match Estimate::new(ratio, low, high) {
        Some(estimate) => Doubtful::of_denominator(b, error_b).cell(estimate),
        None => Cell::TooNoisy(None),
    }
}

/// As [`fieller`] for noises with a covariance, which sums that share lanes have: all `r` for which
/// `(a - r b)^2 <= factor^2 (s_a^2 - 2 r s_ab + r^2 s_b^2)`. The denominator may be below zero, clearly.
pub(crate) fn fieller_correlated(
    numerator: Measured,
    denominator: Measured,
    covariance: f64,
    factor: f64,
) -> Cell {
    let sign = if denominator.value < 0.0 { -1.0 } else { 1.0 };
    let (a, b) = (numerator.value * sign, denominator.value * sign);
    let error_b = factor * denominator.deviation;
    let is_clear = b > 0.0 && b > error_b && factor >= 0.0;
    if !is_clear {
        return Cell::TooNoisy(None);
    }
    let ratio = a / b;
    let square = factor * factor;
    // Divided by b^2, so that nothing overflows: (1 - g) r^2 - 2 (ratio - h) r + (ratio^2 - k) <= 0.
    let g = (error_b / b).powi(2);
    let h = square * covariance / b / b;
    let k = (factor * numerator.deviation / b).powi(2);
    if ![g, h, k].iter().all(|part| part.is_finite()) {
        return Cell::TooNoisy(None);
    }
    let centre = (ratio - h) / (1.0 - g);
    // Half of the distance between the roots, from the variance of `a - r b` at the figure: what is
    // subtracted nearly cancels where numerator and denominator share their noise.
    let own = (k - 2.0 * ratio * h + ratio * ratio * g).max(0.0);
    let inner = (own - (k * g - h * h)).max(0.0);
    let half = inner.sqrt() / (1.0 - g);
    let (low, high) = ((centre - half).min(ratio), (centre + half).max(ratio));
    match Estimate::new(ratio, low, high) {
        Some(estimate) => Doubtful::of_denominator(b, error_b).cell(estimate),
        None => Cell::TooNoisy(None),
    }
}

/// Whether a ratio is held to the rule of totals.
pub(crate) struct Doubtful(bool);

impl Doubtful {
    /// By the half-width of the denominator.
    pub(crate) fn of_denominator(value: f64, half_width: f64) -> Self {
        let is_clear = half_width <= DENOMINATOR_ERROR_MAX * value.abs();
        Self(!is_clear)
    }

    /// The ratio, or that it is too noisy.
    pub(crate) fn cell(&self, estimate: Estimate) -> Cell {
        if self.0 && estimate.plus_minus > estimate.value.abs() {
            return Cell::TooNoisy(Some(estimate));
        }
        Cell::Said(estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64, deviation: f64) -> Measured {
        Measured { value, deviation }
    }

    #[test]
    fn ends_solve_fiellers_equation() {
        let (a, b) = (measured(300.0, 10.0), measured(120.0, 15.0));
        let Cell::Said(estimate) = fieller(a, b, 1.96) else { panic!("must be said") };
        assert_eq!(estimate.value, 2.5);
        for r in [estimate.low, estimate.high] {
            let left = (300.0 - r * 120.0f64).powi(2);
            let right = 1.96f64.powi(2) * (100.0 + r * r * 225.0);
            assert!((left / right - 1.0).abs() < 1e-12, "at {r}");
        }
        assert!(estimate.high - 2.5 > 2.5 - estimate.low, "the upper side is longer");
    }

    #[test]
    fn doubtful_denominators_are_too_noisy() {
        for b in [0.0, -100.0, 29.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(fieller(measured(10.0, 1.0), measured(b, 15.0), 1.96), Cell::TooNoisy(None));
        }
        for extreme in [f64::MAX, f64::INFINITY, f64::NAN] {
            let cell = fieller(measured(extreme, extreme), measured(1.0, 0.0), 1.96);
            assert!(cell.is_too_noisy());
        }
        assert!(fieller(measured(10.0, 12.0), measured(50.0, 12.0), 1.96).is_too_noisy());
        let none = fieller(measured(10.0, 12.0), measured(10_000.0, 12.0), 1.96);
        assert!(!none.is_too_noisy(), "a share near zero of a large group is a finding");
    }

    #[test]
    fn shared_noise_is_counted_once_with_its_sign() {
        // With no covariance both are the same.
        let (a, b) = (measured(300.0, 10.0), measured(120.0, 15.0));
        let (one, two) = (fieller(a, b, 1.96), fieller_correlated(a, b, 0.0, 1.96));
        let (one, two) = (one.estimate().unwrap(), two.estimate().unwrap());
        assert!((one.low - two.low).abs() < 1e-9 && (one.high - two.high).abs() < 1e-9);
        // Ends solve the equation with a covariance.
        let cell = fieller_correlated(a, b, 90.0, 1.96);
        let estimate = cell.estimate().unwrap();
        for r in [estimate.low, estimate.high] {
            let left = (300.0 - r * 120.0f64).powi(2);
            let right = 1.96f64.powi(2) * (100.0 - 2.0 * r * 90.0 + r * r * 225.0);
            assert!((left / right - 1.0).abs() < 1e-9, "at {r}");
        }
        // A figure divided by itself is one, whatever its noise.
        let same = fieller_correlated(b, b, 225.0, 1.96);
        let same = same.estimate().unwrap();
        assert!((same.value, same.plus_minus < 1e-6) == (1.0, true));
        // Both signs turned round give the same ratio.
        let turned = fieller_correlated(measured(-300.0, 10.0), measured(-120.0, 15.0), 90.0, 1.96);
        let turned = turned.estimate().unwrap();
        assert!((turned.low - estimate.low).abs() < 1e-9);
        for extreme in [f64::MAX, f64::INFINITY, f64::NAN] {
            let noisy = measured(extreme, extreme);
            assert!(fieller_correlated(noisy, measured(1.0, 0.0), extreme, 1.96).is_too_noisy());
        }
    }
}
