//! Noise from a privacy loss, and back: the charge is computed from the noise that will really be
//! drawn. Exact rationals, rounded outward only: never less noise, never a smaller charge. No delta
//! is traded for noise here, so no formula in epsilon and delta can be misused.

use crate::gaussian::DiscreteGaussian;
use crate::laplace::DiscreteLaplace;
use crate::sampler::SampleError;
use crate::wide::Wide;
use cloister_terms::decimal::DecimalError;
use cloister_terms::{Cost, Epsilon, LaneShape, Noise, Ratio, Rho};

/// Units of a loss in one whole: `Epsilon` and `Rho` both count billionths.
const UNITS: u128 = 1_000_000_000;
const _: () = assert!(Epsilon::UNIT_SCALE == 9 && Rho::UNIT_SCALE == 9);

/// Why noise and loss do not match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrateError {
    /// Nobody may contribute to any cell.
    #[error("a person may contribute to `0` cells: give a group cap of at least 1")]
    NoCells,
    /// A lane that no person can change.
    #[error("a lane has sensitivity `0`: drop the lane, or widen its range")]
    NoSensitivity,
    /// A loss of zero buys no answer.
    #[error("a privacy loss of `0` allows no answer: give a loss above zero")]
    NoLoss,
    /// No lanes at all.
    #[error("there are no lanes to charge for: give at least one")]
    NoLanes,
    /// The loss is so small that the noise would not fit.
    #[error(
        "so small a loss needs noise beyond the range of exact sums: use a coarser grid or a larger loss"
    )]
    TooMuchNoise,
    /// The noise is so small that its charge fits no account.
    #[error(
        "noise this small costs more than any account can hold: use a larger scale or variance"
    )]
    TooCostly,
    /// Lanes of one group whose noise, sensitivity or total differ, or that do not stand together.
    #[error("the lanes of a group differ: give all of them the same noise and sensitivity")]
    UnevenGroup,
    /// The noise itself cannot be drawn.
    #[error(transparent)]
    Noise(#[from] SampleError),
}

impl From<DecimalError> for CalibrateError {
    fn from(_: DecimalError) -> Self {
        Self::TooCostly
    }
}

/// Variance that makes a lane cost at most `rho`: `L0 * D^2 / (2 rho)` squared steps, exactly where
/// a [`Ratio`] holds it, otherwise rounded up to a whole number (by less than one part in 2^62).
///
/// `l0`: cells one person may contribute to. `sensitivity_steps`: D, her largest change in one cell.
/// Canonne, Kamath, Steinke 2020, theorem 4. Errors on zeros, and beyond 2^127.
pub fn gaussian_sigma_sq(
    l0: u32,
    sensitivity_steps: u64,
    rho: Rho,
) -> Result<Ratio, CalibrateError> {
    gaussian_sigma_sq_of_group(l0, (sensitivity_steps, sensitivity_steps), rho)
}

/// As [`gaussian_sigma_sq`] for a group of lanes that is charged once (see [`cost_of_lanes`]):
/// `L0 * a * b / (2 rho)`, with `squared` the factors a and b of the bound on the squared norm of her changes in
/// all lanes of one cell ([`cloister_terms::OneOf::squared_norm_factors`]). The whole group then costs at most `rho`. For Laplace
/// noise pass the group's total to [`laplace_scale`].
pub fn gaussian_sigma_sq_of_group(
    l0: u32,
    squared: (u64, u64),
    rho: Rho,
) -> Result<Ratio, CalibrateError> {
    check(l0, squared.0)?;
    check(l0, squared.1)?;
    let (a, b) = (u128::from(squared.0), u128::from(squared.1));
    let sigma_sq = divide([u128::from(l0), a, b, UNITS], 2 * u128::from(rho.units()))?;
    DiscreteGaussian::new(sigma_sq)?;
    Ok(sigma_sq)
}

/// Scale that makes a lane cost at most `epsilon`: `L0 * D / epsilon` steps, exactly.
///
/// Arguments as for [`gaussian_sigma_sq`]. Ghosh, Roughgarden, Sundararajan 2009. Errors on zeros,
/// and where [`DiscreteLaplace`] does not accept the scale.
pub fn laplace_scale(
    l0: u32,
    sensitivity_steps: u64,
    epsilon: Epsilon,
) -> Result<Ratio, CalibrateError> {
    check(l0, sensitivity_steps)?;
    let factors = [u128::from(l0), u128::from(sensitivity_steps), UNITS, 1];
    let scale = divide(factors, u128::from(epsilon.units()))?;
    DiscreteLaplace::new(scale).map_err(|_| CalibrateError::TooMuchNoise)?;
    Ok(scale)
}

/// The charge of lanes that are in no group: what one person loses at most through the noise given.
///
/// `l0`: cells one person may contribute to; `lanes`: her largest change in one cell, in steps, and
/// the noise of that lane. Epsilon is the sum of `L0 * D / scale` over Laplace lanes, rho the sum
/// of `L0 * D^2 / (2 sigma^2)` over Gaussian ones; delta stays 0 and nothing is converted. Exact
/// sums, rounded up to whole units once; where a common denominator reaches 2^127 the lane that
/// does not fit is rounded up alone. Errors on zeros, on noise that cannot be drawn, and on charges
/// beyond every account.
pub fn cost_of(l0: u32, lanes: &[(u64, Noise)]) -> Result<Cost, CalibrateError> {
    charge(l0, lanes.iter().map(|(steps, noise)| Charged::of_lane(*steps, *noise)))
}

/// The charge of the lanes of a shape: as [`cost_of`], but each group of lanes is charged once.
///
/// A group's lanes share their noise, their sensitivity D and T, the most that one person's changes in
/// all of them sum to in one cell (`total_steps`). Her change v in one cell then has `|v|_inf <= D` and
/// `|v|_1 <= T`, so that `|v|_2^2 = sum v_i^2 <= max |v_i| * sum |v_i| <= D T`, and over at most L0 cells
/// the changes have `|v|_1 <= L0 T` and `|v|_2^2 <= L0 D T`. Where her vector is clipped to a norm N
/// (`norm_steps`), `|v|_2^2 <= N^2` stands in place of `D T`.
/// - Laplace lanes of one scale b lose `|v|_1 / b <= L0 T / b` (each draw's log ratio is at most
///   `|v_i| / b`, and they add up);
/// - Gaussian lanes of one sigma^2 lose `|v|_2^2 / (2 sigma^2) <= L0 D T / (2 sigma^2)` (Canonne, Kamath,
///   Steinke 2020, theorem 14: rho of independent discrete Gaussians adds up over coordinates).
///
/// A histogram of at most R rows has D = T = R: it costs what one of its leaves would, however many there
/// are. People by value, each counted once a value, have D = 1 and T = min(R, values).
pub fn cost_of_lanes(l0: u32, lanes: &[LaneShape]) -> Result<Cost, CalibrateError> {
    let mut charged: Vec<Charged> = Vec::with_capacity(lanes.len());
    let mut groups: Vec<u32> = Vec::new();
    let mut last: Option<&LaneShape> = None;
    for lane in lanes {
        let group = |lane: &LaneShape| lane.one_of.map(|one_of| one_of.group);
        let (steps, noise) = (lane.sensitivity_steps, lane.noise);
        match (lane.one_of, last.filter(|last| group(last) == group(lane))) {
            (None, _) => charged.push(Charged::of_lane(steps, noise)),
            (Some(own), Some(last)) => {
                let same = |l: &LaneShape| (l.sensitivity_steps, l.noise, l.one_of);
                if same(last) != (steps, noise, Some(own)) {
                    return Err(CalibrateError::UnevenGroup);
                }
            }
            (Some(own), None) => {
                if groups.contains(&own.group) || !own.is_consistent(steps) {
                    return Err(CalibrateError::UnevenGroup);
                }
                groups.push(own.group);
                let (total, squared) = (own.total_steps, own.squared_norm_factors(steps));
                charged.push(Charged { total, squared, noise });
            }
        }
        last = Some(lane);
    }
    charge(l0, charged.into_iter())
}

/// What is charged once.
struct Charged {
    /// Bound on the sum of absolute changes in one cell, in steps.
    total: u64,
    /// Factors of the bound on their squared norm.
    squared: (u64, u64),
    noise: Noise,
}

impl Charged {
    fn of_lane(steps: u64, noise: Noise) -> Charged {
        Charged { total: steps, squared: (steps, steps), noise }
    }
}

/// Sums the charges of independent releases.
fn charge(
    l0: u32,
    releases: impl ExactSizeIterator<Item = Charged>,
) -> Result<Cost, CalibrateError> {
    if releases.len() == 0 {
        return Err(CalibrateError::NoLanes);
    }
    let (mut epsilon, mut rho) = (Units::ZERO, Units::ZERO);
    for Charged { total, squared: (a, b), noise } in releases {
        [total, a, b].iter().try_for_each(|steps| check(l0, *steps))?;
        let (cells, total) = (u128::from(l0), u128::from(total));
        match noise {
            Noise::DiscreteLaplace { scale } => {
                DiscreteLaplace::new(scale)?;
                let term =
                    Units::quotient([UNITS, cells, total, scale.denominator()], scale.numerator());
                epsilon = epsilon.plus(term?)?;
            }
            Noise::DiscreteGaussian { sigma_sq } => {
                DiscreteGaussian::new(sigma_sq)?;
                // The denominator is below 2^127, so twice the numerator's is below 2^128.
                let squared = u128::from(a) * u128::from(b);
                let term = Units::quotient(
                    [UNITS, cells, squared, sigma_sq.denominator()],
                    2 * sigma_sq.numerator(),
                );
                rho = rho.plus(term?)?;
            }
        }
    }
    Ok(Cost {
        epsilon: Epsilon::from_units(epsilon.ceil()?)?,
        rho: Rho::from_units(rho.ceil()?)?,
        ..Cost::ZERO
    })
}

fn check(l0: u32, sensitivity_steps: u64) -> Result<(), CalibrateError> {
    match (l0, sensitivity_steps) {
        (0, _) => Err(CalibrateError::NoCells),
        (_, 0) => Err(CalibrateError::NoSensitivity),
        _ => Ok(()),
    }
}

/// The product of `factors` over `divisor` in lowest terms, rounded up to a whole number if its
/// parts do not fit in a ratio.
fn divide(mut factors: [u128; 4], divisor: u128) -> Result<Ratio, CalibrateError> {
    if divisor == 0 {
        return Err(CalibrateError::NoLoss);
    }
    let divisor = reduce(&mut factors, divisor);
    let product = multiply(&factors).ok_or(CalibrateError::TooMuchNoise)?;
    if let Some(exact) = product.to_u128().and_then(|n| Ratio::new(n, divisor).ok()) {
        return Ok(exact);
    }
    let (whole, rest) = product.checked_div_rem(divisor).ok_or(CalibrateError::NoLoss)?;
    let up = whole.to_u128().and_then(|whole| whole.checked_add(u128::from(rest != 0)));
    up.and_then(|up| Ratio::new(up, 1).ok()).ok_or(CalibrateError::TooMuchNoise)
}

/// Divides common factors out of `factors` and the divisor; what is left of the divisor is coprime
/// to their product.
fn reduce(factors: &mut [u128; 4], divisor: u128) -> u128 {
    factors.iter_mut().fold(divisor, |divisor, factor| {
        let common = gcd(*factor, divisor);
        *factor /= common;
        divisor / common
    })
}

fn multiply(factors: &[u128; 4]) -> Option<Wide> {
    factors.iter().try_fold(Wide::from(1), |product, factor| product.checked_mul(*factor))
}

/// At least 1, so that dividing by it is safe.
fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// A sum of units: `whole + numerator / denominator`, the fraction below 1 and its denominator
/// below 2^127.
#[derive(Debug, Clone, Copy)]
struct Units {
    whole: u64,
    numerator: u128,
    denominator: u128,
}

impl Units {
    const ZERO: Self = Self { whole: 0, numerator: 0, denominator: 1 };

    fn quotient(mut factors: [u128; 4], divisor: u128) -> Result<Self, CalibrateError> {
        let denominator = reduce(&mut factors, divisor);
        let product = multiply(&factors).ok_or(CalibrateError::TooCostly)?;
        let (whole, numerator) =
            product.checked_div_rem(denominator).ok_or(CalibrateError::TooCostly)?;
        let whole = whole
            .to_u128()
            .and_then(|whole| u64::try_from(whole).ok())
            .ok_or(CalibrateError::TooCostly)?;
        Self { whole, numerator, denominator }.within_range()
    }

    fn within_range(self) -> Result<Self, CalibrateError> {
        if self.denominator >> 127 == 0 {
            return Ok(self);
        }
        Ok(Self { whole: self.ceil()?, ..Self::ZERO })
    }

    fn plus(self, other: Self) -> Result<Self, CalibrateError> {
        let whole = self.whole.checked_add(other.whole).ok_or(CalibrateError::TooCostly)?;
        let common = gcd(self.denominator, other.denominator);
        let [left, right] = [self.denominator / common, other.denominator / common];
        let Some(denominator) = left.checked_mul(other.denominator).filter(|d| d >> 127 == 0)
        else {
            let up = whole
                .checked_add(u64::from(other.numerator != 0))
                .ok_or(CalibrateError::TooCostly)?;
            return Ok(Self { whole: up, ..self });
        };
        // Both fractions are below 1, so their sum over the common denominator is below 2^128.
        let sum = self.numerator * right + other.numerator * left;
        let carry = u64::from(sum >= denominator);
        let numerator = if carry == 1 { sum - denominator } else { sum };
        Ok(Self {
            whole: whole.checked_add(carry).ok_or(CalibrateError::TooCostly)?,
            numerator,
            denominator,
        })
    }

    fn ceil(self) -> Result<u64, CalibrateError> {
        self.whole.checked_add(u64::from(self.numerator != 0)).ok_or(CalibrateError::TooCostly)
    }
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "group_tests.rs"]
mod group_tests;
