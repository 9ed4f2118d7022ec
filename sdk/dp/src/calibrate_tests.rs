//! Tests of calibration and cost: rows A21 and A23, rounding outward, and the true divergence of the
//! calibrated noise, summed in floats.

use super::*;
use crate::sampler::Sampler;

fn rho(units: u64) -> Rho {
    Rho::from_units(units).unwrap()
}

fn epsilon(units: u64) -> Epsilon {
    Epsilon::from_units(units).unwrap()
}

fn laplace(t: u128, s: u128) -> Noise {
    Noise::DiscreteLaplace { scale: Ratio::new(t, s).unwrap() }
}

fn gaussian(a: u128, b: u128) -> Noise {
    Noise::DiscreteGaussian { sigma_sq: Ratio::new(a, b).unwrap() }
}

#[test]
fn a21_zero_tiny_and_huge_losses_are_refused_or_rounded_up() {
    assert_eq!(gaussian_sigma_sq(1, 1, Rho::ZERO), Err(CalibrateError::NoLoss));
    assert_eq!(laplace_scale(1, 1, Epsilon::ZERO), Err(CalibrateError::NoLoss));
    assert_eq!(gaussian_sigma_sq(0, 1, rho(1)), Err(CalibrateError::NoCells));
    assert_eq!(laplace_scale(1, 0, epsilon(1)), Err(CalibrateError::NoSensitivity));
    assert_eq!(gaussian_sigma_sq(u32::MAX, u64::MAX, rho(1)), Err(CalibrateError::TooMuchNoise));
    assert_eq!(laplace_scale(u32::MAX, u64::MAX, epsilon(1)), Err(CalibrateError::TooMuchNoise));
    assert_eq!(laplace_scale(1, 1, epsilon(1)).unwrap().to_string(), "1000000000/1");
    // The largest loss an account holds still buys drawable noise.
    let most = i64::MAX as u64;
    assert!(
        Sampler::new(&Noise::DiscreteGaussian {
            sigma_sq: gaussian_sigma_sq(1, 1, rho(most)).unwrap()
        })
        .is_ok()
    );
    assert!(laplace_scale(1, 1, epsilon(most)).is_ok());
}

#[test]
fn a21_hostile_lanes_are_refused() {
    assert_eq!(cost_of(1, &[]), Err(CalibrateError::NoLanes));
    assert_eq!(cost_of(0, &[(1, laplace(1, 1))]), Err(CalibrateError::NoCells));
    assert_eq!(
        cost_of(1, &[(1, laplace(1, 1)), (0, gaussian(1, 1))]),
        Err(CalibrateError::NoSensitivity)
    );
    let none = Err(CalibrateError::Noise(SampleError::NoNoise));
    assert_eq!(cost_of(1, &[(1, laplace(0, 1))]), none);
    assert_eq!(cost_of(1, &[(1, gaussian(0, 1))]), none);
    assert!(matches!(
        cost_of(1, &[(1, laplace(1 << 65, 1))]),
        Err(CalibrateError::Noise(SampleError::TooWide { .. }))
    ));
    let large = (1 << 127) - 1;
    assert_eq!(cost_of(1, &[(1, laplace(1, large))]), Err(CalibrateError::TooCostly));
    assert_eq!(
        cost_of(u32::MAX, &[(u64::MAX, gaussian(1, large))]),
        Err(CalibrateError::TooCostly)
    );
    // Each lane fits, the sum does not.
    let nine = (1, laplace(1, 5_000_000_000));
    assert!(cost_of(1, &[nine]).is_ok());
    assert_eq!(cost_of(1, &[nine, nine]), Err(CalibrateError::TooCostly));
}

#[test]
fn a21_the_cheapest_noise_still_costs_one_unit() {
    let cost = cost_of(1, &[(1, laplace(1 << 64, 1)), (1, gaussian((1 << 127) - 1, 1))]).unwrap();
    assert_eq!((cost.epsilon.units(), cost.rho.units(), cost.delta.units()), (1, 1, 0));
}

#[test]
fn a21_cost_of_calibrated_noise_never_exceeds_the_request_and_is_exact_where_the_ratio_is() {
    let sizes = [1, 2, 3, 1_000, 86_400, (1 << 30) + 1, (1 << 53) - 1, u64::MAX];
    let losses =
        [1, 3, 16_666_667, 50_000_000, 999_999_999, 8_000_000_000, 1_000_000_000_000_000_003];
    let mut inexact = 0;
    for l0 in [1, 5, 97, 1_000_000] {
        for steps in sizes {
            for units in losses {
                if let Ok(sigma_sq) = gaussian_sigma_sq(l0, steps, rho(units)) {
                    let charged =
                        cost_of(l0, &[(steps, Noise::DiscreteGaussian { sigma_sq })]).unwrap();
                    assert_eq!(charged.epsilon, Epsilon::ZERO);
                    assert!(charged.rho <= rho(units), "{l0} {steps} {units}");
                    let exact = product(&[
                        u128::from(l0),
                        steps.into(),
                        steps.into(),
                        UNITS,
                        sigma_sq.denominator(),
                    ]) == product(&[2, units.into(), sigma_sq.numerator()]);
                    inexact += u32::from(!exact);
                    // Rounded outward by less than 2^-62, the charge still meets the same unit unless
                    // the loss itself has more than 62 bits.
                    assert_eq!(charged.rho, rho(units), "{l0} {steps} {units}");
                }
                if let Ok(scale) = laplace_scale(l0, steps, epsilon(units)) {
                    let charged =
                        cost_of(l0, &[(steps, Noise::DiscreteLaplace { scale })]).unwrap();
                    assert_eq!((charged.epsilon, charged.rho), (epsilon(units), Rho::ZERO));
                }
            }
        }
    }
    assert!(inexact > 0, "no case rounded the variance: widen the cases");
}

fn product(factors: &[u128]) -> Wide {
    factors.iter().fold(Wide::from(1), |product, factor| product.checked_mul(*factor).unwrap())
}

#[test]
fn a21_sums_are_exact_before_one_rounding_and_the_ledger_is_monotone() {
    // Thirds of a unit: three lanes are one unit together, not three.
    let third = (1, laplace(3_000_000_000, 1));
    assert_eq!(cost_of(1, &[third; 3]).unwrap().epsilon.units(), 1);
    assert_eq!(cost_of(1, &[third; 4]).unwrap().epsilon.units(), 2);
    assert_eq!(cost_of(3, &[third]).unwrap().epsilon.units(), 1);
    let sixth = (1, gaussian(3_000_000_000, 1));
    assert_eq!(cost_of(1, &[sixth; 6]).unwrap().rho.units(), 1);
    assert_eq!(cost_of(1, &[third, sixth]).unwrap().rho.units(), 1);
    // Coprime denominators too large to add exactly: rounded up, at most one unit a lane.
    let primes = [(1u128 << 63) - 25, (1 << 62) - 57, (1 << 61) - 1, (1 << 60) - 93];
    let mut lanes = Vec::new();
    let mut last = Cost::ZERO;
    for prime in primes {
        lanes.push((1, gaussian(prime, 1)));
        lanes.push((1, laplace(prime, 2)));
        let cost = cost_of(1, &lanes).unwrap();
        assert!(last.within(cost), "a longer vector may not cost less");
        last = cost;
    }
    assert!(last.rho.units() <= primes.len() as u64);
    // More persons' cells, more sensitivity, less noise: never cheaper.
    let base = cost_of(2, &[(3, gaussian(50, 7))]).unwrap().rho;
    for dearer in [
        cost_of(3, &[(3, gaussian(50, 7))]),
        cost_of(2, &[(4, gaussian(50, 7))]),
        cost_of(2, &[(3, gaussian(50, 8))]),
    ] {
        assert!(dearer.unwrap().rho > base);
    }
}

/// Probabilities of the discrete Gaussian, normalised, at -reach..=reach.
fn masses(sigma_sq: f64, reach: i64) -> Vec<f64> {
    let weights: Vec<f64> =
        (-reach..=reach).map(|x| (-((x * x) as f64) / (2.0 * sigma_sq)).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

#[test]
fn a23_the_true_renyi_divergence_of_calibrated_noise_stays_within_rho() {
    for units in [1_000_000u64, 50_000_000, 1_000_000_000, 8_000_000_000, 50_000_000_000] {
        for steps in [1u64, 3, 10] {
            let sigma_sq = gaussian_sigma_sq(1, steps, rho(units)).unwrap().to_f64();
            let (reach, shift) = (400 + steps as i64 * 60, steps as usize);
            let mass = |x: i64| (-((x * x) as f64) / (2.0 * sigma_sq)).exp();
            let total: f64 = (-4_000..=4_000).map(mass).sum();
            for alpha in [1.5f64, 2.0, 4.0, 8.0] {
                // log of sum p^alpha q^(1-alpha), with q = p shifted, in exponents so that nothing underflows.
                let exponent = |x: i64| {
                    let y = x - shift as i64;
                    (-alpha * (x * x) as f64 - (1.0 - alpha) * (y * y) as f64) / (2.0 * sigma_sq)
                };
                let top = (-reach..=reach).map(exponent).fold(f64::MIN, f64::max);
                let sum: f64 = (-reach..=reach).map(|x| (exponent(x) - top).exp()).sum();
                let divergence = (top + sum.ln() - total.ln()) / (alpha - 1.0);
                let claimed = alpha * units as f64 * 1e-9;
                assert!(
                    divergence <= claimed * (1.0 + 1e-9),
                    "rho {units}, alpha {alpha}: {divergence} > {claimed}"
                );
            }
        }
    }
}

/// delta at epsilon of one step's shift: the sum of (p(x) - e^epsilon q(x)) where positive.
fn true_delta(sigma_sq: f64, epsilon: f64) -> f64 {
    let p = masses(sigma_sq, 400);
    p.windows(2)
        .map(|pair| (pair[1] - epsilon.exp() * pair[0]).max(0.0))
        .sum::<f64>()
        .max(p.windows(2).map(|pair| (pair[0] - epsilon.exp() * pair[1]).max(0.0)).sum())
}

#[test]
fn a23_the_classical_formula_would_break_its_promise_and_is_not_what_calibration_does() {
    let delta = 1e-6f64;
    let mut broken = 0;
    for epsilon in [2.0f64, 5.0, 10.0, 20.0] {
        // rho with rho + 2 sqrt(rho ln(1/delta)) = epsilon (Bun, Steinke 2016, proposition 1.3).
        let log = (1.0 / delta).ln();
        let loss = (log + epsilon).sqrt() - log.sqrt();
        let units = (loss * loss * 1e9) as u64;
        let sigma_sq = gaussian_sigma_sq(1, 1, rho(units)).unwrap().to_f64();
        assert!((sigma_sq * 2.0 * units as f64 / 1e9 - 1.0).abs() < 1e-12);
        assert!(true_delta(sigma_sq, epsilon) <= delta, "epsilon {epsilon}");
        let classical = 2.0 * (1.25 / delta).ln() / (epsilon * epsilon);
        assert!(classical < sigma_sq);
        broken += u32::from(true_delta(classical, epsilon) > delta);
    }
    assert!(broken > 0, "the classical formula must be seen to fail, or this test shows nothing");
}
