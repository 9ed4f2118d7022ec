//! The error of combined lanes, alone and in weighted sums. No rule here promises more than its noise
//! law keeps: where a sum's law is not known closely, a wider bound that always holds is taken.

use crate::cell::Cell;
use crate::linear::Linear;
use crate::quantile::{Confidence, NoiseError, NoiseSum};
use crate::ratio::Measured;
use crate::table::LaneNote;
use cloister_terms::{LaneShape, Noise};

/// Whole numbers up to this size are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// From this combined standard deviation on, in steps, a weighted sum of lanes is treated as continuous.
const SMOOTH_STEPS_MIN: f64 = 3.0;

/// Error of one combined lane, in units.
#[derive(Clone, Copy)]
pub(crate) struct LaneError {
    sum: NoiseSum,
    unit: f64,
    deviation: f64,
    /// Half-width of an interval.
    pub(crate) half_width: f64,
    /// Half-width by standard deviation, see [`NoiseSum::factor`].
    pub(crate) factor: f64,
    smooth_factor: f64,
    /// Standard deviation of a normal law whose tails bound this noise's, if there is one.
    sub_gaussian: Option<f64>,
}

impl LaneError {
    /// For `copies` partners' noise on `lane`.
    pub(crate) fn new(
        lane: &LaneShape,
        copies: usize,
        confidence: Confidence,
    ) -> Result<Self, NoiseError> {
        Ok(Self::with(lane, NoiseSum::new(lane.noise, copies)?, confidence))
    }

    /// For any number of draws, at least 1, of noise on `lane`: several rows of several partners.
    pub(crate) fn of_rows(lane: &LaneShape, copies: usize, confidence: Confidence) -> Self {
        Self::with(lane, NoiseSum::of_rows(lane.noise, copies), confidence)
    }

    fn with(lane: &LaneShape, sum: NoiseSum, confidence: Confidence) -> Self {
        let unit = 2f64.powi(-i32::from(lane.grid_bits));
        let sub_gaussian = match lane.noise {
            Noise::DiscreteGaussian { sigma_sq } => {
                Some((sigma_sq.to_f64() * sum.copies() as f64).sqrt() * unit)
            }
            Noise::DiscreteLaplace { .. } => None,
        };
        Self {
            unit,
            deviation: sum.standard_deviation_steps() * unit,
            half_width: sum.half_width_steps(confidence) * unit,
            factor: sum.factor(confidence),
            smooth_factor: sum.smooth_factor(confidence),
            sub_gaussian,
            sum,
        }
    }

    /// The same noise at another confidence.
    fn at(&self, confidence: Confidence) -> Self {
        Self {
            half_width: self.sum.half_width_steps(confidence) * self.unit,
            factor: self.sum.factor(confidence),
            smooth_factor: self.sum.smooth_factor(confidence),
            ..*self
        }
    }

    pub(crate) fn note(&self, lane: &LaneShape) -> LaneNote {
        let noise = match lane.noise {
            Noise::DiscreteLaplace { scale } => format!("discrete Laplace, scale {scale} steps"),
            Noise::DiscreteGaussian { sigma_sq } => {
                format!("discrete Gaussian, sigma^2 {sigma_sq} steps^2")
            }
        };
        LaneNote {
            name: lane.name.clone(),
            noise,
            grid_bits: lane.grid_bits,
            deviation: self.deviation,
            plus_minus: self.half_width,
        }
    }

    /// Standard deviation, in units.
    pub(crate) fn deviation(&self) -> f64 {
        self.deviation
    }

    /// The lane's value, in units.
    pub(crate) fn value(&self, steps: i128) -> f64 {
        steps as f64 * self.unit
    }

    pub(crate) fn measured(&self, steps: i128) -> Measured {
        Measured { value: self.value(steps), deviation: self.deviation }
    }

    pub(crate) fn total(&self, steps: i128) -> Cell {
        let value = self.value(steps);
        // Beyond 2^53 steps the float itself is off by up to half a unit in the last place.
        let inexact = (steps as f64).abs() > EXACT_MAX;
        let rounding = if inexact { value.abs() * f64::EPSILON } else { 0.0 };
        Cell::total(value, self.half_width + rounding)
    }

    /// Whether its noise spreads over enough steps to be treated as continuous in weighted sums.
    pub(crate) fn is_smooth(&self) -> bool {
        self.deviation >= SMOOTH_STEPS_MIN * self.unit
    }
}

/// All errors, those of `lanes` (sorted) at another confidence.
pub(crate) fn at_confidence(
    errors: &[LaneError],
    lanes: &[u32],
    confidence: Confidence,
) -> Vec<LaneError> {
    // Lanes of a group have one noise: its quantiles are worked out once.
    let mut known: Vec<LaneError> = Vec::new();
    let at = |(index, error): (u32, &LaneError)| {
        if lanes.binary_search(&index).is_err() {
            return *error;
        }
        let is_alike = |other: &&LaneError| other.sum == error.sum && other.unit == error.unit;
        if let Some(found) = known.iter().find(is_alike) {
            return *found;
        }
        let found = error.at(confidence);
        known.push(found);
        found
    };
    (0u32..).zip(errors).map(at).collect()
}

/// Half-widths of lanes that hold together: with the confidence asked, every lane is within its own at
/// once. The noises are independent, so each needs `confidence^(1/n)` (Sidak 1967).
pub(crate) struct Joint {
    half_widths: Vec<(u32, f64)>,
}

impl Joint {
    /// For these lanes, sorted. Lanes that do not exist are left out.
    pub(crate) fn new(errors: &[LaneError], lanes: &[u32], confidence: Confidence) -> Self {
        let each = confidence.each_of(lanes.len());
        // Lanes of a group have one noise: its quantile is worked out once.
        let mut known: Vec<(NoiseSum, f64)> = Vec::new();
        let mut half_widths = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let Some(error) = errors.get(*lane as usize) else { continue };
            let found = known.iter().find(|(sum, _)| *sum == error.sum).map(|(_, steps)| *steps);
            let steps = found.unwrap_or_else(|| {
                let steps = error.sum.half_width_steps(each);
                known.push((error.sum, steps));
                steps
            });
            half_widths.push((*lane, steps * error.unit));
        }
        Self { half_widths }
    }

    /// The half-width of one of the lanes, in units.
    pub(crate) fn half_width(&self, lane: u32) -> Option<f64> {
        let at = self.half_widths.binary_search_by_key(&lane, |(lane, _)| *lane).ok()?;
        self.half_widths.get(at).map(|(_, half_width)| *half_width)
    }
}

/// Standard deviation of a weighted sum of lanes, in units: variances add up with squared factors.
pub(crate) fn deviation(linear: &Linear, errors: &[LaneError]) -> f64 {
    root_sum_square(linear, errors, |error| error.deviation)
}

/// Half-width of a weighted sum of lanes, in units.
///
/// - One lane, or lanes of one law and one weight: exact.
/// - Lanes that each spread over 3 steps or more: the largest quantile of theirs and the normal law's, in
///   standard deviations (the law of the sum lies between), times the sum's own deviation, plus half a
///   step of the coarsest part, by which a lattice may be off.
/// - Otherwise the least of bounds that always hold: the joint half-widths added up; Chebyshev's
///   inequality; for Gaussian noise alone its sub-Gaussian tail `2 exp(-x^2 / (2 sigma^2))` (Canonne, Kamath,
///   Steinke 2020, section 2.2).
pub(crate) fn half_width(linear: &Linear, errors: &[LaneError], confidence: Confidence) -> f64 {
    let parts: Vec<(&LaneError, f64, u32)> = linear
        .factors
        .iter()
        .filter_map(|(lane, factor)| Some((errors.get(*lane as usize)?, factor.abs(), *lane)))
        .collect();
    if let [(error, factor, _)] = parts.as_slice() {
        return error.half_width * factor;
    }
    if let Some(half_width) = of_one_law(&parts, confidence) {
        return half_width;
    }
    let deviation = deviation(linear, errors);
    if parts.iter().all(|(error, _, _)| error.is_smooth()) {
        let largest =
            |of: fn(&(&LaneError, f64, u32)) -> f64| parts.iter().map(of).fold(0.0, f64::max);
        let factor = largest(|(error, _, _)| error.smooth_factor);
        return factor * deviation + 0.5 * largest(|(error, factor, _)| error.unit * factor);
    }
    let lanes: Vec<u32> = parts.iter().map(|(_, _, lane)| *lane).collect();
    let joint = Joint::new(errors, &lanes, confidence);
    let added: f64 =
        parts.iter().map(|(_, factor, lane)| factor * joint.half_width(*lane).unwrap_or(0.0)).sum();
    let missed = 1.0 - confidence.value();
    let chebyshev = deviation / missed.sqrt();
    let is_gaussian = parts.iter().all(|(error, _, _)| error.sub_gaussian.is_some());
    let bound = added.min(chebyshev);
    if is_gaussian {
        let size = root_sum_square(linear, errors, |error| error.sub_gaussian.unwrap_or(0.0));
        return bound.min(size * (2.0 * (2.0 / missed).ln()).sqrt());
    }
    bound
}

/// Half-width of lanes with one weight whose noise is of one law: that of more draws of it.
fn of_one_law(parts: &[(&LaneError, f64, u32)], confidence: Confidence) -> Option<f64> {
    let ((first, weight, _), rest) = parts.split_first()?;
    let all = rest.iter().try_fold(first.sum, |all, (error, factor, _)| {
        if error.unit == first.unit && factor == weight { all.with(&error.sum) } else { None }
    })?;
    Some(all.half_width_steps(confidence) * first.unit * weight)
}

fn root_sum_square(linear: &Linear, errors: &[LaneError], of: fn(&LaneError) -> f64) -> f64 {
    let square = |(lane, factor): (&u32, &f64)| {
        errors.get(*lane as usize).map_or(0.0, |error| (of(error) * factor).powi(2))
    };
    linear.factors.iter().map(square).sum::<f64>().sqrt()
}
