//! Row A1: 10^6 draws of each mechanism against its exact probabilities. Each trial's false alarm is
//! 10^-6; its power against the mutant with half the width is computed, and the mutant is run too.
//! Seeds are fixed, so an outcome repeats.

use crate::trial::{Bins, Law};
use crate::{SeededEntropy, sample_vector};
use cloister_terms::{Noise, Ratio};

const DRAWS: usize = 1_000_000;
const FALSE_ALARM: f64 = 1e-6;
/// Standard deviations above the critical value that make a power of 0.99.
const POWER_DEVIATIONS: f64 = 2.33;

fn ratio(numerator: u128, denominator: u128) -> Ratio {
    Ratio::new(numerator, denominator).unwrap()
}

fn draw(noise: Noise, seed: u64) -> Vec<i128> {
    sample_vector(&[noise], DRAWS as u64, &mut SeededEntropy::new(seed)).unwrap()
}

fn laplace(scale: Ratio) -> (Noise, Law) {
    (Noise::DiscreteLaplace { scale }, Law::Laplace { scale: scale.to_f64() })
}

fn gaussian(sigma_sq: Ratio) -> (Noise, Law) {
    (Noise::DiscreteGaussian { sigma_sq }, Law::Gaussian { sigma_sq: sigma_sq.to_f64() })
}

fn passes(bins: &Bins, noise: Noise, seed: u64) {
    let fit = bins.against_law(&draw(noise, seed));
    assert!(fit.p_value > FALSE_ALARM, "{noise:?}: {fit:?}");
}

/// One trial of `right`, one of the mutant, which must be rejected.
fn trial(right: (Noise, Law), halved: (Noise, Law), seed: u64) {
    let bins = right.1.bins(DRAWS);
    passes(&bins, right.0, seed);
    let deviations = bins.power_deviations(halved.1, DRAWS, FALSE_ALARM);
    assert!(deviations > POWER_DEVIATIONS, "{:?}: power is only {deviations} deviations", right.0);
    let caught = bins.against_law(&draw(halved.0, seed + 1));
    assert!(caught.p_value < FALSE_ALARM, "a halved {:?} passed: {caught:?}", right.0);
}

#[test]
fn a01_gaussian_draws_have_the_exact_probabilities() {
    for (seed, (p, q)) in
        [(1, 2), (1, 1), (7, 3), (1_000, 1), (1_000_000, 1)].into_iter().enumerate()
    {
        let (right, halved) = (ratio(p * p, q * q), ratio(p * p, 4 * q * q));
        trial(gaussian(right), gaussian(halved), 100 + 2 * seed as u64);
    }
}

#[test]
fn a01_laplace_draws_have_the_exact_probabilities() {
    for (seed, (p, q)) in
        [(1, 2), (1, 1), (7, 3), (1_000, 1), (1_000_000, 1)].into_iter().enumerate()
    {
        trial(laplace(ratio(p, q)), laplace(ratio(p, 2 * q)), 200 + 2 * seed as u64);
    }
}

/// Ratios whose parts leave the fast arithmetic: the same laws by other paths.
#[test]
fn a01_wide_ratios_draw_from_the_same_laws() {
    let big = 1u128 << 80;
    for (seed, noise) in [
        gaussian(ratio(1_000_000 * big + 1, big)),
        gaussian(ratio(49 * (big << 30) + 1, 9 * (big << 30))),
        gaussian(ratio((1 << 126) - 1, (1 << 127) - 1)),
        laplace(ratio(7 * (big << 40) + 1, 3 * (big << 40))),
        laplace(ratio((1 << 127) - 1, (1 << 120) - 1)),
    ]
    .into_iter()
    .enumerate()
    {
        passes(&noise.1.bins(DRAWS), noise.0, 300 + seed as u64);
    }
}

/// Off-by-a-little mutants that halving would not show: zero counted twice, one sign preferred, a
/// shift by one step.
#[test]
fn a01_small_biases_are_caught() {
    let (noise, law) = gaussian(ratio(49, 9));
    let bins = law.bins(DRAWS);
    let drawn = draw(noise, 400);
    let rejected = |mutant: Vec<i128>| bins.against_law(&mutant).p_value < FALSE_ALARM;
    assert!(rejected(drawn.iter().map(|x| x + 1).collect()));
    assert!(rejected(
        drawn.iter().enumerate().map(|(i, x)| if i % 50 == 0 { x.abs() } else { *x }).collect()
    ));
    assert!(rejected(
        drawn.iter().enumerate().map(|(i, x)| if i % 50 == 0 { 0 } else { *x }).collect()
    ));
}
