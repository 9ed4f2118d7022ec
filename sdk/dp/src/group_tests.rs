//! Tests of groups of lanes (row A9): what a group is charged bounds every change one person can make,
//! by brute force over small cases, and a vector is charged the sum of its primitive releases.

use super::*;
use cloister_terms::OneOf;

fn lane(steps: u64, noise: Noise, one_of: Option<(u32, u64)>) -> LaneShape {
    let one_of = one_of.map(|(group, total_steps)| OneOf { group, total_steps, norm_steps: None });
    LaneShape { name: "n".into(), grid_bits: 0, sensitivity_steps: steps, noise, one_of }
}

fn laplace(t: u128, s: u128) -> Noise {
    Noise::DiscreteLaplace { scale: Ratio::new(t, s).unwrap() }
}

fn gaussian(a: u128, b: u128) -> Noise {
    Noise::DiscreteGaussian { sigma_sq: Ratio::new(a, b).unwrap() }
}

/// Every change one person can make in one cell: up to `rows` rows, each in one of `leaves` leaves or
/// in none; with `once` she counts at most once a leaf.
fn changes(leaves: usize, rows: usize, once: bool) -> Vec<Vec<i64>> {
    let mut found = vec![vec![0i64; leaves]];
    for _ in 0..rows {
        let mut more = found.clone();
        for change in &found {
            for leaf in 0..leaves {
                let mut next = change.clone();
                next[leaf] = if once { 1 } else { next[leaf] + 1 };
                more.push(next);
            }
        }
        more.sort_unstable();
        more.dedup();
        found = more;
    }
    found
}

#[test]
fn a09_the_charge_of_a_group_bounds_every_change_of_one_person() {
    let (b, sigma_sq) = ((7, 2), (9, 4));
    for leaves in 1..=4usize {
        for rows in 1..=4usize {
            for once in [false, true] {
                let steps = if once { 1 } else { rows as u64 };
                let total = if once { rows.min(leaves) } else { rows } as u64;
                let group = |noise| vec![lane(steps, noise, Some((0, total))); leaves];
                let epsilon = cost_of_lanes(1, &group(laplace(b.0, b.1))).unwrap().epsilon;
                let rho = cost_of_lanes(1, &group(gaussian(sigma_sq.0, sigma_sq.1))).unwrap().rho;
                let (mut most_epsilon, mut most_rho) = (0f64, 0f64);
                for change in changes(leaves, rows, once) {
                    // The true losses: |v|_1 / b, and |v|_2^2 / (2 sigma^2).
                    let l1: i64 = change.iter().map(|v| v.abs()).sum();
                    let l2: i64 = change.iter().map(|v| v * v).sum();
                    most_epsilon = most_epsilon.max(l1 as f64 / 3.5);
                    most_rho = most_rho.max(l2 as f64 / 4.5);
                }
                let near = |charged: u64, true_loss: f64| {
                    let charged = charged as f64 / 1e9;
                    charged >= true_loss - 1e-12 && charged <= true_loss + 1e-8
                };
                assert!(near(epsilon.units(), most_epsilon), "{leaves} leaves, {rows} rows");
                assert!(near(rho.units(), most_rho), "{leaves} leaves, {rows} rows");
            }
        }
    }
}

/// The privacy loss of a group's Laplace noise itself, outcome by outcome, not by its formula.
#[test]
fn a09_no_outcome_of_a_histogram_loses_more_than_its_charge() {
    let (leaves, rows) = (2, 2);
    let scale = laplace_scale(1, rows, Epsilon::from_units(700_000_000).unwrap()).unwrap();
    let noise = Noise::DiscreteLaplace { scale };
    let group = vec![lane(rows, noise, Some((3, rows))); leaves];
    assert_eq!(cost_of_lanes(1, &group).unwrap().epsilon.units(), 700_000_000);
    let log_mass = |x: i64| -(x.abs() as f64) / scale.to_f64();
    let mut worst = 0f64;
    for change in changes(leaves, rows as usize, false) {
        for x in -30..=30i64 {
            for y in -30..=30i64 {
                let loss =
                    log_mass(x) + log_mass(y) - log_mass(x - change[0]) - log_mass(y - change[1]);
                worst = worst.max(loss.abs());
            }
        }
    }
    assert!(worst <= 0.7 + 1e-12 && worst > 0.7 - 1e-9, "{worst}");
}

#[test]
fn a09_a_vector_is_charged_the_sum_of_its_primitive_releases() {
    let histogram = vec![lane(20, gaussian(400, 1), Some((1, 20))); 64];
    let people = vec![lane(1, laplace(30, 1), Some((2, 6))); 9];
    let plain = [lane(20, gaussian(100, 3), None), lane(1, laplace(5, 2), None)];
    let all: Vec<_> = [&plain[..1], &histogram, &people, &plain[1..]].concat();
    let charged = cost_of_lanes(3, &all).unwrap();
    // rho: 3*400*3/200 + 3*400/800; epsilon: 3*6/30 + 3*2/5.
    assert_eq!((charged.rho.units(), charged.epsilon.units()), (19_500_000_000, 1_800_000_000));
    let parts = [cost_of_lanes(3, &histogram), cost_of_lanes(3, &people), cost_of_lanes(3, &plain)];
    let sum = |of: fn(&Cost) -> u64| parts.iter().map(|p| of(p.as_ref().unwrap())).sum::<u64>();
    assert_eq!(sum(|cost| cost.rho.units()), charged.rho.units());
    assert_eq!(sum(|cost| cost.epsilon.units()), charged.epsilon.units());
    // Without groups every lane is charged, as `cost_of` does.
    let pairs: Vec<_> = plain.iter().map(|l| (l.sensitivity_steps, l.noise)).collect();
    assert_eq!(cost_of_lanes(3, &plain).unwrap(), cost_of(3, &pairs).unwrap());
}

#[test]
fn a09_a_calibrated_group_costs_at_most_what_it_was_given() {
    for units in [1, 7, 50_000_000, 999_999_999, 8_000_000_003] {
        for (l0, steps, total) in [(1, 1, 1), (6, 20, 20), (97, 1, 64), (1, 1 << 53, 1 << 53)] {
            let rho = Rho::from_units(units).unwrap();
            if let Ok(sigma_sq) = gaussian_sigma_sq_of_group(l0, (steps, total), rho) {
                let group =
                    vec![lane(steps, Noise::DiscreteGaussian { sigma_sq }, Some((0, total))); 5];
                let charged = cost_of_lanes(l0, &group).unwrap().rho;
                assert!(charged <= rho && charged.units() + 1 >= units, "{l0} {steps} {total}");
            }
            let epsilon = Epsilon::from_units(units).unwrap();
            if let Ok(scale) = laplace_scale(l0, total, epsilon) {
                let group =
                    vec![lane(steps, Noise::DiscreteLaplace { scale }, Some((0, total))); 5];
                assert_eq!(cost_of_lanes(l0, &group).unwrap().epsilon, epsilon);
            }
        }
    }
}

/// A vector clipped to a norm: every integer vector of that length, and the charge that bounds them all.
#[test]
fn a09_the_charge_of_a_clipped_vector_bounds_every_change_of_one_person() {
    let norm = 5i64;
    for lanes in 1..=3usize {
        // The most that absolute values sum to: sqrt(lanes) times the norm, at most.
        let total = (norm as f64 * (lanes as f64).sqrt()).floor() as u64;
        let one_of = OneOf { group: 0, total_steps: total, norm_steps: Some(norm as u64) };
        let group = |noise| {
            vec![LaneShape { one_of: Some(one_of), ..lane(norm as u64, noise, None) }; lanes]
        };
        let epsilon = cost_of_lanes(1, &group(laplace(7, 2))).unwrap().epsilon.units() as f64 / 1e9;
        let rho = cost_of_lanes(1, &group(gaussian(9, 4))).unwrap().rho.units() as f64 / 1e9;
        let (mut most_epsilon, mut most_rho) = (0f64, 0f64);
        let mut vector = vec![-norm; lanes];
        loop {
            let squared: i64 = vector.iter().map(|v| v * v).sum();
            if squared <= norm * norm {
                let sum: i64 = vector.iter().map(|v| v.abs()).sum();
                most_epsilon = most_epsilon.max(sum as f64 / 3.5);
                most_rho = most_rho.max(squared as f64 / 4.5);
            }
            let Some(place) = vector.iter().position(|v| *v < norm) else { break };
            vector[..place].fill(-norm);
            vector[place] += 1;
        }
        assert!(epsilon >= most_epsilon - 1e-12 && rho >= most_rho - 1e-12, "{lanes} lanes");
        // A single axis reaches the whole norm.
        assert!((rho - most_rho).abs() < 1e-8, "{lanes} lanes: {rho} {most_rho}");
        let sigma_sq = gaussian_sigma_sq_of_group(
            3,
            one_of.squared_norm_factors(norm as u64),
            Rho::from_units(100_000_000).unwrap(),
        );
        let drawn = Noise::DiscreteGaussian { sigma_sq: sigma_sq.unwrap() };
        assert_eq!(cost_of_lanes(3, &group(drawn)).unwrap().rho.units(), 100_000_000);
    }
}

#[test]
fn a21_hostile_groups_are_refused() {
    let noise = gaussian(4, 1);
    let own = |group, total| lane(2, noise, Some((group, total)));
    assert_eq!(cost_of_lanes(1, &[]), Err(CalibrateError::NoLanes));
    for wrong in [
        vec![own(0, 1)],
        vec![own(0, 2), own(0, 3)],
        vec![own(0, 2), lane(1, noise, Some((0, 2)))],
        vec![own(0, 2), lane(2, gaussian(5, 1), Some((0, 2)))],
        vec![own(0, 2), lane(2, noise, None), own(0, 2)],
        vec![own(0, 2), own(1, 2), own(0, 2)],
    ] {
        assert_eq!(cost_of_lanes(1, &wrong), Err(CalibrateError::UnevenGroup));
    }
    for norm in [1, 3] {
        let one_of = Some(OneOf { group: 0, total_steps: 2, norm_steps: Some(norm) });
        let wrong = vec![LaneShape { one_of, ..lane(2, noise, None) }];
        assert_eq!(cost_of_lanes(1, &wrong), Err(CalibrateError::UnevenGroup));
    }
    let rho = Rho::from_units(1).unwrap();
    for none in [(1, 0), (0, 1)] {
        let refused = gaussian_sigma_sq_of_group(1, none, rho);
        assert_eq!(refused, Err(CalibrateError::NoSensitivity));
    }
    let zero = vec![lane(0, noise, Some((0, 0)))];
    assert_eq!(cost_of_lanes(1, &zero), Err(CalibrateError::NoSensitivity));
}
