//! From a formula to figures with intervals, row after row. Each formula gets the closest interval whose
//! coverage is known; what has none is bounded, and what cannot be bounded is too noisy to say.
//!
//! | formula | interval at 95 % | coverage |
//! |---|---|---|
//! | one lane, times and plus constants | quantile of the noise itself | exact, at least 95 % |
//! | sums of lanes | see [`crate::lane_error::half_width`] | at least 95 % |
//! | a sum divided by a sum | Fieller, shared lanes by their covariance; joined with the box below where noise is a few steps only | about 95 %, never less but by rounding |
//! | quantile | leaves that a test of the cumulative counts does not rule out | at least 95 % |
//! | distinct values | values surely there to values maybe there, all counts at once | at least 95 % |
//! | computed from these, or with a function | interval arithmetic over parts that hold at once, see [`crate::computed`] | at least 95 %, usually more |
//! | anything else | every value over the box in which all lanes are at once | at least 95 %, usually more |

use crate::cell::{Cell, Estimate};
use crate::computed::{Computed, is_whole};
use crate::histogram::{DistinctFigure, QuantileFigure};
use crate::interval::Interval;
use crate::lane_error::{Joint, LaneError, deviation, half_width};
use crate::linear::{Linear, Quotient};
use crate::quantile::Confidence;
use crate::ratio::{Doubtful, Measured, fieller, fieller_correlated};
use crate::statistics::over;
use cloister_terms::{Formula, PairStatistic};

/// A count of rows whose own half-width is above this share of it leaves a statistic near zero doubtful.
const COUNT_ERROR_MAX: f64 = 0.1;
/// A correlation whose interval is at least this wide says nothing.
const CORRELATION_WIDTH_MAX: f64 = 1.0;

/// A formula made ready for all rows.
pub(crate) enum Figure {
    /// No figure: a key.
    Key,
    /// One lane as it is.
    Total(u32),
    /// A sum of lanes with its half-width.
    Linear(Linear, f64),
    /// A sum of lanes divided by another.
    Quotient(Fraction),
    /// A quantile.
    Quantile(QuantileFigure),
    /// Distinct values.
    Distinct(DistinctFigure),
    /// Computed from parts with intervals of their own.
    Computed(Computed),
    /// Anything else.
    Box(Formula, Joint),
}

/// One sum of lanes divided by another, with what Fieller's theorem needs.
pub(crate) struct Fraction {
    above: Linear,
    below: Linear,
    /// Standard deviations of both, and the covariance.
    spread: (f64, f64, f64),
    factor: f64,
    /// Half-widths of both at once, where the noise is not smooth.
    joint: Option<(f64, f64)>,
    /// Lanes, when both sides are one lane as it is, of which neither is the other.
    plain: Option<(u32, u32)>,
}

impl Figure {
    /// For all rows of an answer.
    pub(crate) fn new(formula: &Formula, errors: &[LaneError], confidence: Confidence) -> Self {
        match formula {
            Formula::Key { .. } => return Self::Key,
            Formula::Total { lane } => return Self::Total(*lane),
            Formula::Quantile(quantile) => {
                return Self::Quantile(QuantileFigure::new(*quantile, errors, confidence));
            }
            Formula::Distinct { first_lane, values } => {
                let figure = DistinctFigure::new(*first_lane, *values, errors, confidence);
                return Self::Distinct(figure);
            }
            other if !is_whole(other) => {
                return Self::Computed(Computed::new(other, errors, confidence));
            }
            _ => {}
        }
        let quotient = Quotient::of(formula);
        if let Some(linear) = quotient.as_ref().and_then(Quotient::as_linear) {
            let half_width = half_width(&linear, errors, confidence);
            return Self::Linear(linear, half_width);
        }
        match quotient {
            Some(quotient) => Self::Quotient(Fraction::new(quotient, errors, confidence)),
            None => Self::Box(formula.clone(), Joint::new(errors, &formula.lanes(), confidence)),
        }
    }

    /// The figure of one row; `steps` are its lanes. `None` for a key.
    pub(crate) fn cell(
        &self,
        errors: &[LaneError],
        steps: &dyn Fn(u32) -> Option<i128>,
    ) -> Option<Cell> {
        // A checked shape's lanes exist; a missing one still is no figure, never a zero.
        let lane = |index: u32| Some((errors.get(index as usize)?, steps(index)?));
        let value = |index: u32| lane(index).map(|(error, steps)| error.value(steps));
        Some(match self {
            Self::Key => return None,
            Self::Total(index) => {
                let total = |(error, steps): (&LaneError, i128)| {
                    error.total(steps).with_standard_error(error.deviation())
                };
                lane(*index).map_or(Cell::TooNoisy(None), total)
            }
            Self::Linear(linear, half_width) => match linear.value(&value) {
                Some(sum) => {
                    let size = |(index, factor): (&u32, &f64)| {
                        value(*index).map_or(0.0, |value| (value * factor).abs())
                    };
                    let sizes: f64 = linear.factors.iter().map(size).sum();
                    Cell::total(sum, half_width + sizes * f64::EPSILON)
                        .with_standard_error(deviation(linear, errors))
                }
                None => Cell::TooNoisy(None),
            },
            Self::Quotient(fraction) => {
                let error = fraction.standard_error(&value);
                fraction.cell(errors, steps).with_standard_error(error.unwrap_or(f64::NAN))
            }
            Self::Quantile(quantile) => quantile.cell(&value),
            Self::Distinct(distinct) => distinct.cell(&value),
            Self::Computed(computed) => computed.cell(errors, steps),
            Self::Box(formula, joint) => boxed(formula, joint, &value),
        })
    }
}

impl Fraction {
    fn new(quotient: Quotient, errors: &[LaneError], confidence: Confidence) -> Self {
        let Quotient { above, below } = quotient;
        let lanes: Vec<u32> = {
            let all = above.factors.keys().chain(below.factors.keys());
            let mut lanes: Vec<u32> = all.copied().collect();
            lanes.sort_unstable();
            lanes.dedup();
            lanes
        };
        let of = |lane: &u32| errors.get(*lane as usize);
        let shared = above.factors.iter().filter_map(|(lane, factor)| {
            Some(factor * below.factors.get(lane)? * of(lane)?.deviation().powi(2))
        });
        let covariance = shared.sum();
        let spread = |linear: &Linear| deviation(linear, errors);
        let factor = lanes.iter().filter_map(of).map(|error| error.factor).fold(0.0, f64::max);
        let is_smooth = lanes.iter().filter_map(of).all(LaneError::is_smooth);
        let joint = (!is_smooth).then(|| {
            let joint = Joint::new(errors, &lanes, confidence);
            let width = |linear: &Linear| {
                let parts = linear.factors.iter();
                parts.map(|(lane, f)| f.abs() * joint.half_width(*lane).unwrap_or(0.0)).sum()
            };
            (width(&above), width(&below))
        });
        let only = |linear: &Linear| {
            let mut parts = linear.factors.iter();
            let (first, rest) = (parts.next(), parts.next());
            first
                .filter(|(_, f)| **f == 1.0 && rest.is_none() && linear.constant == 0.0)
                .map(|(lane, _)| *lane)
        };
        let plain = only(&above).zip(only(&below)).filter(|(above, below)| above != below);
        let spread = (spread(&above), spread(&below), covariance);
        Self { spread, factor, joint, plain, above, below }
    }

    /// To first order: the deviation of `a - r b`, divided by b, with r the figure.
    fn standard_error(&self, value: &dyn Fn(u32) -> Option<f64>) -> Option<f64> {
        let (a, b) = (self.above.value(value)?, self.below.value(value)?);
        let (r, (above, below, covariance)) = (a / b, self.spread);
        let variance = above * above - 2.0 * r * covariance + r * r * below * below;
        Some((variance.sqrt() / b).abs())
    }

    fn cell(&self, errors: &[LaneError], steps: &dyn Fn(u32) -> Option<i128>) -> Cell {
        let lane = |index: u32| Some((errors.get(index as usize)?, steps(index)?));
        let value = |index: u32| lane(index).map(|(error, steps)| error.value(steps));
        let (Some(a), Some(b)) = (self.above.value(&value), self.below.value(&value)) else {
            return Cell::TooNoisy(None);
        };
        let cell = match self.plain.and_then(|(above, below)| lane(above).zip(lane(below))) {
            Some((above, below)) => {
                fieller(above.0.measured(above.1), below.0.measured(below.1), self.factor)
            }
            None => {
                let (deviation_a, deviation_b, covariance) = self.spread;
                let above = Measured { value: a, deviation: deviation_a };
                let below = Measured { value: b, deviation: deviation_b };
                fieller_correlated(above, below, covariance, self.factor)
            }
        };
        let Some((width_a, width_b)) = self.joint else { return cell };
        // Noise of few steps: Fieller's quantile may be off, so the box in which all lanes are joins it.
        let Some(found) = cell.estimate() else { return cell };
        let box_of = || Interval::around(a, width_a)?.divide(Interval::around(b, width_b)?);
        let own = Interval::new(found.low, found.high);
        let joined = box_of().zip(own).map(|(boxed, own)| boxed.hull(own));
        match joined.and_then(|all| Estimate::new(found.value, all.low, all.high)) {
            Some(estimate) if cell.is_too_noisy() => Cell::TooNoisy(Some(estimate)),
            Some(estimate) => Doubtful::of_denominator(b, width_b).cell(estimate),
            None => Cell::TooNoisy(None),
        }
    }
}

/// A figure over the box of its lanes.
fn boxed(formula: &Formula, joint: &Joint, value: &dyn Fn(u32) -> Option<f64>) -> Cell {
    let Some(point) = over(formula, &|lane| Interval::point(value(lane)?)) else {
        return Cell::TooNoisy(None);
    };
    let point = point.middle();
    let around = |lane: u32| Interval::around(value(lane)?, joint.half_width(lane)?);
    let Some(interval) = over(formula, &around) else { return Cell::TooNoisy(None) };
    let (low, high) = (interval.low.min(point), interval.high.max(point));
    let Some(estimate) = Estimate::new(point, low, high) else { return Cell::TooNoisy(None) };
    let is_doubtful = match formula {
        Formula::Pair { statistic: PairStatistic::Correlation, .. } => {
            high - low >= CORRELATION_WIDTH_MAX
        }
        // Their sign is a finding: near zero they are said where the rows behind them are clear.
        Formula::Pair { lanes, .. } => {
            let count = value(lanes.count).zip(joint.half_width(lanes.count));
            let is_clear = count.is_some_and(|(n, width)| width <= COUNT_ERROR_MAX * n);
            !is_clear && estimate.plus_minus > point.abs()
        }
        _ => estimate.plus_minus > point.abs(),
    };
    if is_doubtful { Cell::TooNoisy(Some(estimate)) } else { Cell::Said(estimate) }
}
