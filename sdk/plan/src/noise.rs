//! The noise of a round, from what it may cost. The same offer always gives the same noise, and a
//! plan made again from its own cost gives that noise again; no noise may cost more than was offered.

use crate::error::PlanError;
use cloister_dp::calibrate::{cost_of, gaussian_sigma_sq, laplace_scale};
use cloister_terms::{Cost, Epsilon, Noise, Rho};

/// What one round may cost, by each measure that is offered. Offering both lets the planner choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spend {
    /// Pure epsilon, above 0.
    pub epsilon: Option<Epsilon>,
    /// Zero-concentrated rho, above 0.
    pub rho: Option<Rho>,
}

/// Noise for each lane, its cost and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub noise: Vec<Noise>,
    pub cost: Cost,
    pub mechanism: String,
    pub why: String,
}

/// Chooses the noise of lanes with these sensitivities, in steps, for persons in at most `l0` cells.
///
/// The offer is shared equally, in whole units of the measure, the remainder going to the first lane;
/// each lane's noise is calibrated to its share. The charge is the offer, all of it.
pub(crate) fn choose(l0: u32, sensitivities: &[u64], spend: Spend) -> Result<Chosen, PlanError> {
    let lanes = sensitivities.len();
    let epsilon = spend.epsilon.filter(|epsilon| *epsilon > Epsilon::ZERO);
    let rho = spend.rho.filter(|rho| *rho > Rho::ZERO);
    let (measure, why) = match (epsilon, rho) {
        (None, None) => return Err(PlanError::NoSpend),
        (Some(epsilon), None) => (Measure::Pure(epsilon), "epsilon is the measure offered"),
        (None, Some(rho)) => (Measure::Concentrated(rho), "rho is the measure offered"),
        (Some(epsilon), Some(rho)) => {
            if laplace_is_closer(l0, lanes, epsilon, rho) {
                (Measure::Pure(epsilon), "its expected error is the smaller of the two offered")
            } else {
                (Measure::Concentrated(rho), "its expected error is the smaller of the two offered")
            }
        }
    };
    let noise = shares(measure.units(), lanes)?
        .into_iter()
        .zip(sensitivities)
        .map(|(units, steps)| measure.noise(l0, *steps, units))
        .collect::<Result<Vec<_>, _>>()?;
    let cost = measure.cost();
    let drawn: Vec<_> = sensitivities.iter().copied().zip(noise.iter().copied()).collect();
    if !cost_of(l0, &drawn)?.within(cost) {
        return Err(PlanError::CostAboveSpend);
    }
    Ok(Chosen { noise, cost, mechanism: measure.name().to_owned(), why: why.to_owned() })
}

/// Splits an offer equally over lanes, the remainder to the first. Errors on a lane without a unit.
fn shares(units: u64, lanes: usize) -> Result<Vec<u64>, PlanError> {
    let too_small = PlanError::SpendTooSmall { lanes };
    let count = u64::try_from(lanes).unwrap_or(u64::MAX);
    let (Some(share), Some(rest)) = (units.checked_div(count), units.checked_rem(count)) else {
        return Err(too_small);
    };
    if share == 0 {
        return Err(too_small);
    }
    let mut shares = vec![share; lanes];
    if let Some(first) = shares.first_mut() {
        *first += rest;
    }
    Ok(shares)
}

/// Whether Laplace noise has the smaller mean squared error (or the same) when n lanes share each
/// offer equally. Variances are `2 (L0 D n / epsilon)^2` and `L0 D^2 n / (2 rho)`, so it has iff
/// `4 L0 n rho <= epsilon^2`, here in exact integers: below 2^121 on the left and
/// 2^126 on the right.
fn laplace_is_closer(l0: u32, lanes: usize, epsilon: Epsilon, rho: Rho) -> bool {
    const UNITS: u128 = 10u128.pow(Epsilon::UNIT_SCALE);
    let left = 4 * u128::from(l0) * lanes as u128;
    let left = left.saturating_mul(rho.units().into()).saturating_mul(UNITS);
    left <= u128::from(epsilon.units()).pow(2)
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

    fn noise(self, l0: u32, steps: u64, units: u64) -> Result<Noise, PlanError> {
        let beyond = |_| PlanError::CostAboveSpend;
        Ok(match self {
            Self::Pure(_) => {
                let epsilon = Epsilon::from_units(units).map_err(beyond)?;
                Noise::DiscreteLaplace { scale: laplace_scale(l0, steps, epsilon)? }
            }
            Self::Concentrated(_) => {
                let rho = Rho::from_units(units).map_err(beyond)?;
                Noise::DiscreteGaussian { sigma_sq: gaussian_sigma_sq(l0, steps, rho)? }
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pure(_) => "discrete Laplace noise",
            Self::Concentrated(_) => "discrete Gaussian noise",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::limits::{GROUP_CAP_MAX, LANES_MAX};

    #[test]
    fn the_noise_never_costs_more_than_the_offer_and_nearly_all_of_it() {
        for units in [3, 7, 1_000_000_000, 333_333_333, i64::MAX as u64] {
            for sensitivities in [&[1][..], &[50, 1, 1 << 53], &[7, 11, 13]] {
                let rho = Rho::from_units(units).unwrap();
                let epsilon = Epsilon::from_units(units).unwrap();
                for spend in [
                    Spend { rho: Some(rho), epsilon: None },
                    Spend { rho: None, epsilon: Some(epsilon) },
                ] {
                    // Too much noise for exact sums is an error, never a smaller charge.
                    let Ok(chosen) = choose(6, sensitivities, spend) else { continue };
                    let lanes = sensitivities.iter().copied().zip(chosen.noise.iter().copied());
                    let drawn = cost_of(6, &lanes.collect::<Vec<_>>()).unwrap();
                    assert!(drawn.within(chosen.cost));
                    let total = chosen.cost.rho.units() + chosen.cost.epsilon.units();
                    assert_eq!(total, units);
                    assert!(drawn.rho.units() + drawn.epsilon.units() >= units - 1);
                }
            }
        }
    }

    #[test]
    fn the_mechanism_with_the_smaller_error_is_taken() {
        let spend = |epsilon: &str, rho: &str| Spend {
            epsilon: Some(epsilon.parse().unwrap()),
            rho: Some(rho.parse().unwrap()),
        };
        let one = choose(1, &[1], spend("1", "0.05")).unwrap();
        assert!(one.cost.epsilon > Epsilon::ZERO && one.cost.rho == Rho::ZERO);
        let many = choose(20, &[1, 1, 1], spend("1", "0.05")).unwrap();
        assert!(many.cost.rho > Rho::ZERO && many.cost.epsilon == Epsilon::ZERO);
        let most = Spend {
            epsilon: Some(Epsilon::from_units(1).unwrap()),
            rho: Some(Rho::from_units(i64::MAX as u64).unwrap()),
        };
        assert!(!laplace_is_closer(
            GROUP_CAP_MAX,
            LANES_MAX,
            most.epsilon.unwrap(),
            most.rho.unwrap()
        ));
    }

    #[test]
    fn a21_offers_of_nothing_and_of_next_to_nothing_are_refused() {
        let rho = |units| Spend { rho: Some(Rho::from_units(units).unwrap()), epsilon: None };
        assert_eq!(choose(1, &[1], Spend::default()), Err(PlanError::NoSpend));
        assert_eq!(choose(1, &[1], rho(0)), Err(PlanError::NoSpend));
        assert_eq!(choose(1, &[1, 1], rho(1)), Err(PlanError::SpendTooSmall { lanes: 2 }));
    }
}
