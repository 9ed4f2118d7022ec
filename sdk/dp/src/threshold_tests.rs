//! Tests of key thresholds (row A10): the least safe count, from floats, from both bounds, and by trial.

use super::*;
use crate::entropy::SeededEntropy;
use crate::sampler::sample;

fn laplace(numerator: u128, denominator: u128) -> Noise {
    Noise::DiscreteLaplace { scale: Ratio::new(numerator, denominator).unwrap() }
}

fn gaussian(numerator: u128, denominator: u128) -> Noise {
    Noise::DiscreteGaussian { sigma_sq: Ratio::new(numerator, denominator).unwrap() }
}

fn delta(text: &str) -> Delta {
    text.parse().unwrap()
}

/// `Pr[Z >= k]` summed in floats from the law itself, far out to near.
fn tail(noise: &Noise, k: u64) -> f64 {
    let weight = |j: f64| match noise {
        Noise::DiscreteLaplace { scale } => (-j.abs() / scale.to_f64()).exp(),
        Noise::DiscreteGaussian { sigma_sq } => (-j * j / (2.0 * sigma_sq.to_f64())).exp(),
    };
    let far = 40_000i64;
    let sum = |from: i64| (from..=far).rev().map(|j| weight(j as f64)).sum::<f64>();
    sum(k as i64) / sum(-far)
}

#[test]
fn a10_the_threshold_is_the_least_whose_exact_tail_is_within_delta() {
    for noise in [laplace(1, 1), laplace(7, 3), laplace(200, 1), gaussian(1, 4), gaussian(900, 1)] {
        for l0 in [1u32, 6, 1_000] {
            for allowed in ["0.01", "0.000001", "0.000000000001"] {
                let tau = key_threshold(&noise, l0, delta(allowed)).unwrap();
                let shown = |tau: u64| -(f64::from(l0) * (-tail(&noise, tau - 1)).ln_1p()).exp_m1();
                let allowed: f64 = allowed.parse().unwrap();
                assert!(shown(tau) <= allowed * (1.0 + 1e-9), "{noise:?} {l0} {allowed} {tau}");
                assert!(tau > 1 && shown(tau - 1) > allowed * (1.0 - 1e-9), "{noise:?} {tau}");
            }
        }
    }
}

#[test]
fn a10_both_bounds_of_the_tail_agree_on_the_least_threshold() {
    // At tau the upper bound is within delta, at tau - 1 already the lower one is above it: the
    // enclosure is tight enough that rounding outward costs nobody a key.
    for noise in [laplace(3, 1), laplace(1_000_000, 1), gaussian(10_000, 1), gaussian(1 << 29, 1)] {
        let allowed = delta("0.0000000001");
        let tau = key_threshold(&noise, 8, allowed).unwrap();
        let (tail, units) = (Tail::new(&noise).unwrap(), delta_units(allowed).unwrap());
        assert!(tail.shown(tau, 8).unwrap().high <= units);
        assert!(tail.shown(tau - 1, 8).unwrap().low > units, "{noise:?} {tau}");
    }
}

/// Lower end of the Clopper-Pearson interval at confidence 1 - 1e-6, by halving on the binomial tail.
fn clopper_pearson_low(seen: u64, trials: u64) -> f64 {
    let log_choose = |n: u64, k: u64| -> f64 {
        (1..=k).map(|i| ((n - k + i) as f64).ln() - (i as f64).ln()).sum()
    };
    let at_least_seen = |p: f64| -> f64 {
        let term = |k: u64| {
            log_choose(trials, k) + k as f64 * p.ln() + (trials - k) as f64 * (1.0 - p).ln()
        };
        1.0 - (0..seen).map(|k| term(k).exp()).sum::<f64>()
    };
    let (mut low, mut high) = (0.0f64, 1.0f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_least_seen(middle) < 1e-6 { low = middle } else { high = middle }
    }
    low
}

#[test]
fn a10_a_key_of_one_person_is_shown_at_most_as_often_as_delta() {
    // False alarm 1e-6 (Clopper, Pearson 1934); a threshold 5 lower shows the key at least e^(5/3)
    // times as often and is caught with a power above 0.99.
    const TRIALS: u64 = 20_000;
    let (noise, allowed) = (laplace(3, 1), 0.01);
    let tau = key_threshold(&noise, 1, delta("0.01")).unwrap();
    let mut entropy = SeededEntropy::new(10);
    let draws: Vec<i128> = (0..TRIALS).map(|_| sample(&noise, &mut entropy).unwrap()).collect();
    let shown = |tau: u64| draws.iter().filter(|z| 1 + **z >= i128::from(tau)).count() as u64;
    assert!(clopper_pearson_low(shown(tau), TRIALS) <= allowed, "{tau}: {}", shown(tau));
    assert!(shown(tau) > 0, "the trial could see nothing at all");
    assert!(clopper_pearson_low(shown(tau - 5), TRIALS) > allowed, "a25: tau - 5 is not caught");
}

#[test]
fn offers_that_allow_no_threshold_are_refused() {
    let noise = laplace(3, 1);
    assert_eq!(key_threshold(&noise, 0, delta("0.01")), Err(ThresholdError::NoCells));
    assert_eq!(key_threshold(&noise, 1, Delta::ZERO), Err(ThresholdError::NoDelta));
    assert_eq!(key_threshold(&noise, 1, delta("1")), Err(ThresholdError::OutOfReach));
    assert!(matches!(
        key_threshold(&laplace(0, 1), 1, delta("0.1")),
        Err(ThresholdError::Noise(_))
    ));
    let wide = gaussian(1 << 60, 1);
    assert_eq!(key_threshold(&wide, 1, delta("0.1")), Err(ThresholdError::OutOfReach));
    let tiny = delta("0.000000000000000001");
    assert!(key_threshold(&laplace(1 << 20, 1), 1_000_000, tiny).unwrap() > 1 << 24);
}
