//! The error function and the two-sided normal quantile, to about 1e-14. Nothing here knows of noise
//! or of lanes.

use std::f64::consts::{PI, SQRT_2};

/// Terms after which the series has converged for every argument up to [`ERF_ONE`].
const TERMS_MAX: u32 = 400;
/// Beyond this the error function is 1 to double precision.
const ERF_ONE: f64 = 6.5;
/// Halvings of the quantile's bracket.
const HALVINGS: u32 = 80;

/// `erf(x)` for `x >= 0`, by the series with positive terms only (Abramowitz, Stegun 1964, 7.1.6),
/// so that nothing cancels.
pub(crate) fn erf(x: f64) -> f64 {
    if x >= ERF_ONE {
        return 1.0;
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..=TERMS_MAX {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// The `z` with `Pr[|Z| <= z] >= level` for a standard normal `Z`, rounded outward;
/// `level` in [0, 1 - 1e-9].
pub(crate) fn two_sided_quantile(level: f64) -> f64 {
    let (mut low, mut high) = (0.0, ERF_ONE * SQRT_2);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if erf(middle / SQRT_2) >= level {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_function_and_quantiles_match_published_values() {
        // DLMF table 7.23 (i), and the usual two-sided normal quantiles.
        for (x, expected) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (4.0, 0.999_999_984_582_742_1),
            (9.0, 1.0),
        ] {
            assert!((erf(x) - expected).abs() < 1e-14, "erf({x}) = {}", erf(x));
        }
        for (level, expected) in [
            (0.5, 0.674_489_750_196_081_7),
            (0.95, 1.959_963_984_540_054),
            (0.99, 2.575_829_303_548_900_4),
            (0.999_999, 4.891_638_475_698_59),
        ] {
            let z = two_sided_quantile(level);
            assert!((z - expected).abs() < 1e-9, "z({level}) = {z}");
        }
    }
}
