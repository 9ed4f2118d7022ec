//! The noise of a round, from what it may cost. The same offer always gives the same noise, and a
//! plan made again from its own cost gives that noise again; no noise may cost more than was offered.
//!
//! The offer is split by expected error, not evenly. Let release i (a lane, or a group of lanes charged once)
//! have the total sensitivity T, squared sensitivity S (D T, or the clipped norm squared) and weight w, the part of its squared noise in
//! the figures' expected squared error relative to S. Minimising the sum of w Var / S:
//! - Gaussian, `Var = L0 S / (2 rho_i)`: rho_i proportional to `w^(1/2)`; error `L0 (sum w^(1/2))^2 / (2 rho)`;
//! - Laplace, `Var = 2 (L0 T / epsilon_i)^2`: with `g = w T^2 / S`, epsilon_i proportional to
//!   `g^(1/3)`; error `2 L0^2 (sum g^(1/3))^3 / epsilon^2`.
//! (Lagrange: the derivatives `w / rho_i^2` and `g / epsilon_i^3` are equal at the least error.) Roots are whole
//! numbers of fixed point, shares whole units of the measure: exact integers throughout.

use crate::error::{PlanError, excerpt};
use cloister_dp::calibrate::{cost_of_lanes, gaussian_sigma_sq_of_group, laplace_scale};
use cloister_terms::{Cost, Delta, Epsilon, LaneShape, Noise, OneOf, Rho};

/// Bits after the point of roots.
const ROOT_BITS: u32 = 12;
/// Shares that `why` lists; the rest is told as a sum.
const SHARES_TOLD_MAX: usize = 6;

/// What one round may cost, by each measure that is offered. Offering both lets the planner choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spend {
    /// Pure epsilon, above 0.
    pub epsilon: Option<Epsilon>,
    /// Zero-concentrated rho, above 0.
    pub rho: Option<Rho>,
    /// The chance that a private key of one person is shown, above 0; only where keys are private.
    pub delta: Option<Delta>,
}

/// A lane that needs noise.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    /// What it sums, for people.
    pub name: String,
    /// The figures that read it, for people.
    pub figures: String,
    /// The largest change one person makes in one cell, in steps, from 1.
    pub sensitivity_steps: u64,
    /// The group of lanes that is charged once.
    pub one_of: Option<OneOf>,
    /// How much its noise matters, see [`crate::lanes::FIGURE_WEIGHT`]; 0 counts as 1.
    pub weight: u32,
}

/// Noise for each lane, its cost and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub noise: Vec<Noise>,
    pub cost: Cost,
    pub mechanism: String,
    pub why: String,
    /// The same in plain words.
    pub plain: String,
}

/// Chooses the noise of lanes for persons in at most `l0` cells. The charge is the offer, all of it.
pub(crate) fn choose(l0: u32, needs: &[Need], spend: Spend) -> Result<Chosen, PlanError> {
    let releases = releases(needs);
    let epsilon = spend.epsilon.filter(|epsilon| *epsilon > Epsilon::ZERO);
    let rho = spend.rho.filter(|rho| *rho > Rho::ZERO);
    let (measure, why) = match (epsilon, rho) {
        (None, None) => return Err(PlanError::NoSpend),
        (Some(epsilon), None) => (Measure::Pure(epsilon), "epsilon is the measure offered"),
        (None, Some(rho)) => (Measure::Concentrated(rho), "rho is the measure offered"),
        (Some(epsilon), Some(rho)) => {
            if laplace_is_closer(l0, &releases, epsilon, rho) {
                (Measure::Pure(epsilon), "its expected error is the smaller of the two offered")
            } else {
                (Measure::Concentrated(rho), "its expected error is the smaller of the two offered")
            }
        }
    };
    let roots: Vec<u128> = releases.iter().map(|release| measure.root(release)).collect();
    let shares = shares(measure.units(), &roots)?;
    let mut noise = Vec::with_capacity(needs.len());
    for (release, units) in releases.iter().zip(&shares) {
        let drawn = measure.noise(l0, release, *units)?;
        noise.extend(std::iter::repeat_n(drawn, release.lanes));
    }
    let cost = measure.cost();
    let drawn = needs.iter().zip(&noise).map(|(need, noise)| LaneShape {
        name: String::new(),
        grid_bits: 0,
        sensitivity_steps: need.sensitivity_steps,
        noise: *noise,
        one_of: need.one_of,
    });
    if !cost_of_lanes(l0, &drawn.collect::<Vec<_>>())?.within(cost) {
        return Err(PlanError::CostAboveSpend);
    }
    let by_lane = split(releases.iter().map(Release::named), &shares);
    let by_figure = split(releases.iter().map(|release| release.figures.to_owned()), &shares);
    let plain = match (epsilon, rho) {
        (Some(_), Some(_)) => "chosen since its expected error is the smaller of the two offered",
        _ => "which goes with the one measure that is offered",
    };
    let plain = format!("the noise is {}, {plain}{by_figure}", measure.plain_name());
    let why = format!("{why}{by_lane}");
    Ok(Chosen { noise, cost, mechanism: measure.name().to_owned(), why, plain })
}

/// What is charged once: a lane, or a group of lanes side by side.
struct Release<'a> {
    name: &'a str,
    figures: &'a str,
    lanes: usize,
    total_steps: u64,
    /// Factors of the squared sensitivity.
    squared: (u64, u64),
    weight: u128,
}

impl Release<'_> {
    /// Its lanes by name.
    fn named(&self) -> String {
        let (name, more) = (excerpt(self.name), self.lanes.saturating_sub(1));
        if more > 0 { format!("`{name} and {more} beside it`") } else { format!("`{name}`") }
    }
}

fn releases(needs: &[Need]) -> Vec<Release<'_>> {
    let mut releases: Vec<Release<'_>> = Vec::new();
    let mut open: Option<u32> = None;
    for need in needs {
        let group = need.one_of.map(|one_of| one_of.group);
        if let (Some(last), true) = (releases.last_mut(), group.is_some() && group == open) {
            last.lanes += 1;
            continue;
        }
        open = group;
        releases.push(Release {
            name: &need.name,
            figures: &need.figures,
            lanes: 1,
            total_steps: need.one_of.map_or(need.sensitivity_steps, |one_of| one_of.total_steps),
            squared: need
                .one_of
                .map_or((need.sensitivity_steps, need.sensitivity_steps), |one_of| {
                    one_of.squared_norm_factors(need.sensitivity_steps)
                }),
            weight: need.weight.max(1).into(),
        });
    }
    releases
}

/// Splits an offer in proportion to roots, at least one unit each, the remainder to the first. Errors
/// where there are more releases than units.
fn shares(units: u64, roots: &[u128]) -> Result<Vec<u64>, PlanError> {
    let too_small = || PlanError::SpendTooSmall { lanes: roots.len() };
    let count = u64::try_from(roots.len()).unwrap_or(u64::MAX);
    let free = units.checked_sub(count).filter(|_| count > 0).ok_or_else(too_small)?;
    let sum: u128 = roots.iter().sum::<u128>().max(1);
    let share = |root: &u128| {
        // A root is below 2^64, and its part of the offer at most the offer.
        let part = u128::from(free).saturating_mul(*root) / sum;
        u64::try_from(part).unwrap_or(u64::MAX).saturating_add(1)
    };
    let mut shares: Vec<u64> = roots.iter().map(share).collect();
    let given = shares.iter().try_fold(0u64, |sum, share| sum.checked_add(*share));
    let rest = given.and_then(|given| units.checked_sub(given)).ok_or_else(too_small)?;
    if let Some(first) = shares.first_mut() {
        *first += rest;
    }
    Ok(shares)
}

/// Whether Laplace noise has the smaller expected error (or the same), each offer split by its own rule:
/// `2 L0^2 c^3 / epsilon^2 <= L0 s^2 / (2 rho)`, with s and c the sums of square and cube roots, so
/// `4 L0 rho c^3 <= epsilon^2 s^2`, here in exact integers of 256 bits, roots carrying [`ROOT_BITS`].
fn laplace_is_closer(l0: u32, releases: &[Release<'_>], epsilon: Epsilon, rho: Rho) -> bool {
    const UNITS: u128 = 10u128.pow(Epsilon::UNIT_SCALE);
    let sum = |measure: Measure| -> u128 { releases.iter().map(|r| measure.root(r)).sum() };
    let (c, s) = (sum(Measure::Pure(epsilon)), sum(Measure::Concentrated(rho)));
    // c^3 has three times the root bits, s^2 twice.
    let cubed = c.checked_pow(3).unwrap_or(u128::MAX);
    let squared = s.saturating_mul(s).saturating_mul(1 << ROOT_BITS);
    // Below 2^22 * 2^63 * 2^30 on the left, below 2^126 on the right.
    let left = (4 * u128::from(l0)).saturating_mul(rho.units().into()).saturating_mul(UNITS);
    wide_product(left, cubed) <= wide_product(u128::from(epsilon.units()).pow(2), squared)
}

/// The product as its high and low halves.
fn wide_product(a: u128, b: u128) -> (u128, u128) {
    let split = |x: u128| (x & u128::from(u64::MAX), x >> 64);
    let ((a0, a1), (b0, b1)) = (split(a), split(b));
    let (low, carry) = split(a0 * b0);
    // (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1, so no sum below overflows.
    let (middle, high) = split(a1 * b0 + carry);
    let (second, carry) = split(a0 * b1 + middle);
    (a1 * b1 + high + carry, second << 64 | low)
}

/// `; split by ...`, where there is something to split; what has one name is told together.
fn split(names: impl Iterator<Item = String>, shares: &[u64]) -> String {
    let mut parts: Vec<(String, u128)> = Vec::new();
    for (name, share) in names.zip(shares) {
        match parts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += u128::from(*share),
            None => parts.push((name, u128::from(*share))),
        }
    }
    if parts.len() < 2 {
        return String::new();
    }
    parts.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
    let whole = parts.iter().map(|(_, share)| share).sum::<u128>().max(1);
    let percent = |share: u128| (share * 100 + whole / 2) / whole;
    let told = parts.iter().take(SHARES_TOLD_MAX);
    let mut told: Vec<String> =
        told.map(|(name, share)| format!("{} % for {name}", percent(*share))).collect();
    let others = parts.iter().skip(SHARES_TOLD_MAX).map(|(_, share)| *share);
    let (count, rest) = (others.clone().count(), others.sum());
    match count {
        0 => {}
        1 => told.push(format!("{} % for 1 other", percent(rest))),
        _ => told.push(format!("{} % for {count} others", percent(rest))),
    }
    format!("; split by how much each adds to the error of the figures: {}", told.join(", "))
}

#[derive(Clone, Copy)]
enum Measure {
    Pure(Epsilon),
    Concentrated(Rho),
}

impl Measure {
    fn units(self) -> u64 {
        match self {
            Self::Pure(epsilon) => epsilon.units(),
            Self::Concentrated(rho) => rho.units(),
        }
    }

    fn cost(self) -> Cost {
        match self {
            Self::Pure(epsilon) => Cost { epsilon, ..Cost::ZERO },
            Self::Concentrated(rho) => Cost { rho, ..Cost::ZERO },
        }
    }

    /// What a release's share is proportional to, times `2^ROOT_BITS`, at least 1.
    fn root(self, release: &Release<'_>) -> u128 {
        let root = match self {
            Self::Concentrated(_) => (release.weight << (2 * ROOT_BITS)).isqrt(),
            Self::Pure(_) => {
                // Both below 2^106, their quotient at most the number of lanes in a group.
                let (a, b) = release.squared;
                let squared = (u128::from(a) * u128::from(b)).max(1);
                let times = u128::from(release.total_steps).pow(2).div_ceil(squared);
                cube_root((release.weight * times) << (3 * ROOT_BITS))
            }
        };
        root.max(1)
    }

    fn noise(self, l0: u32, release: &Release<'_>, units: u64) -> Result<Noise, PlanError> {
        let beyond = |_| PlanError::CostAboveSpend;
        Ok(match self {
            Self::Pure(_) => {
                let epsilon = Epsilon::from_units(units).map_err(beyond)?;
                Noise::DiscreteLaplace { scale: laplace_scale(l0, release.total_steps, epsilon)? }
            }
            Self::Concentrated(_) => {
                let rho = Rho::from_units(units).map_err(beyond)?;
                let sigma_sq = gaussian_sigma_sq_of_group(l0, release.squared, rho)?;
                Noise::DiscreteGaussian { sigma_sq }
            }
        })
    }

    fn plain_name(self) -> &'static str {
        match self {
            Self::Pure(_) => "of the pointed kind (Laplace)",
            Self::Concentrated(_) => "bell-shaped (Gaussian)",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pure(_) => "discrete Laplace noise",
            Self::Concentrated(_) => "discrete Gaussian noise",
        }
    }
}

/// The whole part of the cube root, bit by bit.
fn cube_root(value: u128) -> u128 {
    // 2^43 cubed is beyond 2^128.
    (0..43u32).rev().fold(0u128, |root, bit| {
        let next = root | 1 << bit;
        match next.checked_pow(3) {
            Some(cube) if cube <= value => next,
            _ => root,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::limits::{GROUP_CAP_MAX, LANES_MAX};

    fn need(sensitivity_steps: u64, weight: u32) -> Need {
        Need { name: "n".into(), figures: String::new(), sensitivity_steps, one_of: None, weight }
    }

    fn group(sensitivity_steps: u64, total_steps: u64, lanes: usize) -> Vec<Need> {
        let one_of = Some(OneOf { group: 1, total_steps, norm_steps: None });
        vec![Need { one_of, ..need(sensitivity_steps, 12) }; lanes]
    }

    fn lanes(needs: &[Need], chosen: &Chosen) -> Vec<LaneShape> {
        let pairs = needs.iter().zip(&chosen.noise);
        let lane = |(need, noise): (&Need, &Noise)| LaneShape {
            name: String::new(),
            grid_bits: 0,
            sensitivity_steps: need.sensitivity_steps,
            noise: *noise,
            one_of: need.one_of,
        };
        pairs.map(lane).collect()
    }

    fn variance(noise: Noise) -> f64 {
        match noise {
            Noise::DiscreteLaplace { scale } => 2.0 * scale.to_f64().powi(2),
            Noise::DiscreteGaussian { sigma_sq } => sigma_sq.to_f64(),
        }
    }

    #[test]
    fn a09_the_noise_never_costs_more_than_the_offer_and_nearly_all_of_it() {
        let cases = [
            vec![need(1, 12)],
            vec![need(50, 12), need(1, 4), need(1 << 53, 1)],
            vec![need(7, 12), need(11, 16), need(13, 0)],
            [vec![need(20, 12)], group(20, 20, 64), vec![need(3, 5)]].concat(),
            group(1, 9, 30),
        ];
        for units in [70, 1_000_000_000, 333_333_333, i64::MAX as u64] {
            for needs in &cases {
                let rho = Rho::from_units(units).unwrap();
                let epsilon = Epsilon::from_units(units).unwrap();
                for spend in [
                    Spend { rho: Some(rho), epsilon: None, delta: None },
                    Spend { rho: None, epsilon: Some(epsilon), delta: None },
                ] {
                    // Too much noise for exact sums is an error, never a smaller charge.
                    let Ok(chosen) = choose(6, needs, spend) else { continue };
                    let drawn = cost_of_lanes(6, &lanes(needs, &chosen)).unwrap();
                    assert!(drawn.within(chosen.cost));
                    let total = chosen.cost.rho.units() + chosen.cost.epsilon.units();
                    assert_eq!(total, units);
                    assert!(drawn.rho.units() + drawn.epsilon.units() >= units - 1);
                }
            }
        }
    }

    #[test]
    fn the_split_has_the_least_weighted_error() {
        let needs = [need(20, 12), need(3, 4), need(700, 1)];
        let error = |noise: &[Noise]| -> f64 {
            let parts = needs.iter().zip(noise);
            let part = |(need, noise): (&Need, &Noise)| {
                f64::from(need.weight) * variance(*noise) / (need.sensitivity_steps as f64).powi(2)
            };
            parts.map(part).sum()
        };
        let offers = [
            Spend { rho: Some("0.5".parse().unwrap()), epsilon: None, delta: None },
            Spend { rho: None, epsilon: Some("1.5".parse().unwrap()), delta: None },
        ];
        for spend in offers {
            let chosen = choose(2, &needs, spend).unwrap();
            let least = error(&chosen.noise);
            let measure = match spend.rho {
                Some(rho) => Measure::Concentrated(rho),
                None => Measure::Pure(spend.epsilon.unwrap()),
            };
            let releases = releases(&needs);
            let units = measure.units() / 100;
            // Every other split in hundredths is at least as far off.
            for a in 1..98 {
                for b in 1..99 - a {
                    let split = [a, b, 100 - a - b].map(|part| part * units);
                    let parts = releases.iter().zip(split);
                    let noise: Vec<Noise> =
                        parts.map(|(r, u)| measure.noise(2, r, u).unwrap()).collect();
                    assert!(error(&noise) >= least * (1.0 - 1e-3), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn lanes_of_a_group_share_one_noise_and_one_charge() {
        let spend = Spend { rho: Some("0.1".parse().unwrap()), epsilon: None, delta: None };
        let one = choose(1, &[need(20, 12)], spend).unwrap();
        let many = choose(1, &group(20, 20, 64), spend).unwrap();
        assert_eq!(many.noise, vec![one.noise[0]; 64]);
    }

    #[test]
    fn the_mechanism_with_the_smaller_error_is_taken() {
        let spend = |epsilon: &str, rho: &str| Spend {
            epsilon: Some(epsilon.parse().unwrap()),
            rho: Some(rho.parse().unwrap()),
            delta: None,
        };
        let one = choose(1, &[need(1, 12)], spend("1", "0.05")).unwrap();
        assert!(one.cost.epsilon > Epsilon::ZERO && one.cost.rho == Rho::ZERO);
        let many = choose(20, &vec![need(1, 12); 3], spend("1", "0.05")).unwrap();
        assert!(many.cost.rho > Rho::ZERO && many.cost.epsilon == Epsilon::ZERO);
        // Whichever is taken has the smaller sum of weighted variances.
        for (epsilon, rho) in [("1", "0.05"), ("2", "0.5"), ("0.3", "0.01"), ("3", "0.4")] {
            for needs in [vec![need(1, 12), need(1, 4)], group(1, 5, 9), group(20, 20, 64)] {
                let both = spend(epsilon, rho);
                let alone = |spend| variance(choose(2, &needs, spend).unwrap().noise[0]);
                let laplace = alone(Spend { rho: None, ..both });
                let gaussian = alone(Spend { epsilon: None, ..both });
                let taken = alone(both);
                if needs.len() != 2 {
                    assert!(taken <= laplace.min(gaussian) * 1.001, "{epsilon} {rho}");
                }
            }
        }
    }

    #[test]
    fn the_choice_stays_exact_at_the_limits() {
        let most = Spend {
            epsilon: Some(Epsilon::from_units(i64::MAX as u64).unwrap()),
            rho: Some(Rho::from_units(1).unwrap()),
            delta: None,
        };
        let needs = vec![need(1, u32::MAX); LANES_MAX];
        let releases = releases(&needs);
        let closer = |epsilon, rho| {
            let (epsilon, rho) = (Epsilon::from_units(epsilon), Rho::from_units(rho));
            laplace_is_closer(GROUP_CAP_MAX, &releases, epsilon.unwrap(), rho.unwrap())
        };
        assert!(closer(most.epsilon.unwrap().units(), 1));
        assert!(!closer(1, i64::MAX as u64));
        for (a, b) in [(u128::MAX, u128::MAX), (1 << 127, 6), (7, 9)] {
            let (high, low) = wide_product(a, b);
            assert_eq!(low, a.wrapping_mul(b));
            assert_eq!(
                high,
                if (a, b) == (7, 9) {
                    0
                } else if b == 6 {
                    3
                } else {
                    u128::MAX - 1
                }
            );
        }
        for value in [0, 1, 7, 8, 26, 27, 1 << 126, u128::MAX] {
            let root = cube_root(value);
            assert!(root.pow(3) <= value && (root + 1).checked_pow(3).is_none_or(|c| c > value));
        }
    }

    #[test]
    fn what_was_chosen_is_told() {
        let spend = Spend { rho: Some("0.1".parse().unwrap()), epsilon: None, delta: None };
        let needs = [vec![need(20, 12)], group(20, 20, 64)].concat();
        let chosen = choose(1, &needs, spend).unwrap();
        assert!(
            chosen.why.contains("50 % for `n`, 50 % for `n and 63 beside it`"),
            "{}",
            chosen.why
        );
        assert!(!choose(1, &[need(1, 12)], spend).unwrap().why.contains("split"));
    }

    #[test]
    fn a21_offers_of_nothing_and_of_next_to_nothing_are_refused() {
        let rho = |units| Spend {
            rho: Some(Rho::from_units(units).unwrap()),
            epsilon: None,
            delta: None,
        };
        let one = [need(1, 12)];
        assert_eq!(choose(1, &one, Spend::default()), Err(PlanError::NoSpend));
        assert_eq!(choose(1, &one, rho(0)), Err(PlanError::NoSpend));
        let two = [need(1, 12), need(1, 12)];
        assert_eq!(choose(1, &two, rho(1)), Err(PlanError::SpendTooSmall { lanes: 2 }));
    }
}
