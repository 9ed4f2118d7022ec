//! What errors come to in a cell that holds what cells are taken to hold: to first order around the figure
//! there. It tells before anything is spent what an average's or a quantile's error may be; no interval of an
//! answer may rest on it.

use crate::histogram::QuantileFigure;
use crate::interval::Interval;
use crate::lane_error::LaneError;
use crate::quantile::Confidence;
use crate::statistics::{arithmetic, over};
use cloister_terms::{FigureFunction, Formula, Quantile};
use serde::Serialize;

/// By how much of a lane's largest value the slope of a figure is taken.
const SLOPE_STEP: f64 = 1e-6;

/// A figure in a typical cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Typical {
    /// The figure without noise.
    pub value: f64,
    /// Half-width of its interval, in units; infinite where noise drowns the figure.
    pub plus_minus: f64,
}

/// What a cell is taken to hold.
#[derive(Debug, Clone, Copy)]
pub struct TypicalCell<'a> {
    /// Rows.
    pub rows: f64,
    /// What a row adds to each lane of the shape.
    pub lanes: &'a [TypicalLane],
}

/// What a row adds to a lane, in units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TypicalLane {
    /// As a rule.
    pub value: f64,
    /// At most, without its sign; above 0.
    pub size: f64,
}

/// The lanes of a typical cell, in units.
pub(crate) struct Held<'e> {
    rows: f64,
    lanes: Vec<HeldLane>,
    errors: &'e [LaneError],
}

#[derive(Clone, Copy)]
struct HeldLane {
    value: f64,
    size: f64,
}

/// Where lanes and quantiles are.
struct At<'f> {
    lane: &'f dyn Fn(u32) -> Option<Interval>,
    quantile: &'f dyn Fn(&Quantile) -> Option<Interval>,
}

impl<'e> Held<'e> {
    /// Of a cell whose further lanes are sums of lanes over so many other cells. `errors` are those of all
    /// lanes, the further ones included.
    pub(crate) fn new(
        cell: TypicalCell<'_>,
        others: impl Iterator<Item = (u32, f64)>,
        errors: &'e [LaneError],
    ) -> Self {
        let rows = cell.rows;
        let own =
            |lane: &TypicalLane| HeldLane { value: rows * lane.value, size: rows * lane.size };
        let mut lanes: Vec<HeldLane> = cell.lanes.iter().map(own).collect();
        let others = others.map(|(lane, cells)| {
            let own =
                lanes.get(lane as usize).copied().unwrap_or(HeldLane { value: 0.0, size: 0.0 });
            HeldLane { value: cells * own.value, size: cells * own.size }
        });
        let others: Vec<HeldLane> = others.collect();
        lanes.extend(others);
        Self { rows, lanes, errors }
    }

    /// A figure with its error; `None` of keys, of distinct values, and of what is undefined there.
    pub(crate) fn typical(&self, formula: &Formula) -> Option<Typical> {
        let (lanes, quantiles) = parts(formula);
        let quantiles: Vec<(Quantile, Typical)> =
            quantiles.into_iter().map(|quantile| (quantile, self.quantile(&quantile))).collect();
        let known = |quantile: &Quantile| {
            quantiles.iter().find(|(other, _)| other == quantile).map(|(_, typical)| *typical)
        };
        let lane_at = |lane: u32| self.lanes.get(lane as usize).map(|held| held.value);
        let value = |lane: Option<(u32, f64)>, quantile: Option<(Quantile, f64)>| {
            let lane_by = |at: u32| lane.filter(|(lane, _)| *lane == at).map_or(0.0, |(_, by)| by);
            let by = |at: &Quantile| quantile.filter(|(q, _)| q == at).map_or(0.0, |(_, by)| by);
            let at = At {
                lane: &|lane| Interval::point(lane_at(lane)? + lane_by(lane)),
                quantile: &|quantile| Interval::point(known(quantile)?.value + by(quantile)),
            };
            range(formula, &at).map(Interval::middle)
        };
        let figure = value(None, None)?;
        let mut variance = 0.0f64;
        for lane in lanes {
            let (error, held) = (self.errors.get(lane as usize)?, self.lanes.get(lane as usize)?);
            let step = held.size * SLOPE_STEP;
            let slope = value(Some((lane, step)), None)? - value(Some((lane, -step)), None)?;
            variance += (slope / (2.0 * step) * error.half_width).powi(2);
        }
        for (quantile, Typical { plus_minus, .. }) in &quantiles {
            if plus_minus.is_finite() {
                let ends =
                    [1.0f64, -1.0].map(|sign| value(None, Some((*quantile, sign * plus_minus))));
                let [high, low] = ends;
                variance += ((high? - low?) / 2.0).powi(2);
            } else {
                variance = f64::INFINITY;
            }
        }
        // Where the parts' own intervals leave the figure undefined, none can be told for it.
        let around = At {
            lane: &|lane| {
                Interval::around(lane_at(lane)?, self.errors.get(lane as usize)?.half_width)
            },
            quantile: &|quantile| Interval::point(known(quantile)?.value),
        };
        let is_drowned = range(formula, &around).is_none();
        let plus_minus = if is_drowned { f64::INFINITY } else { variance.sqrt() };
        (!plus_minus.is_nan()).then_some(Typical { value: figure, plus_minus })
    }

    /// With values spread evenly over their range, so many rows further are so much of the range.
    fn quantile(&self, quantile: &Quantile) -> Typical {
        let figure = QuantileFigure::new(*quantile, self.errors, Confidence::DEFAULT);
        let widths = (0..quantile.leaves).map(|leaf| quantile.leaf_range(leaf));
        let band = widths.map(|(low, high)| high - low).fold(0.0, f64::max);
        let low = quantile.leaf_range(0).0;
        let span = quantile.leaf_range(quantile.leaves.saturating_sub(1)).1 - low;
        let off = span * figure.rank_half_width() / self.rows + band;
        // An interval over the whole range says nothing.
        let plus_minus = if off < span { off } else { f64::INFINITY };
        Typical { value: low + span * quantile.q.to_f64(), plus_minus }
    }
}

/// The lanes that a formula reads as they are, each once, and its quantiles.
fn parts(formula: &Formula) -> (Vec<u32>, Vec<Quantile>) {
    let (mut lanes, mut quantiles, mut waiting) = (Vec::new(), Vec::new(), vec![formula]);
    while let Some(formula) = waiting.pop() {
        let parts = formula.parts();
        match formula {
            Formula::Quantile(quantile) if quantiles.contains(quantile) => {}
            Formula::Quantile(quantile) => quantiles.push(*quantile),
            _ if parts.is_empty() => formula.each_lane(&mut |lane| lanes.push(lane)),
            _ => waiting.extend(parts),
        }
    }
    lanes.sort_unstable();
    lanes.dedup();
    (lanes, quantiles)
}

/// The values of a formula over a box; `None` where it is undefined. What rounding and ABS take away is no
/// noise: they are passed over. Recursion is bounded by the depth a checked shape allows.
fn range(formula: &Formula, at: &At<'_>) -> Option<Interval> {
    match formula {
        Formula::Arithmetic { op, left, right } => {
            arithmetic(*op, range(left, at)?, range(right, at)?)
        }
        Formula::Call { function: FigureFunction::SquareRoot, of } => range(of, at)?.root(),
        Formula::Call { of, .. } | Formula::Coalesce { of, .. } => range(of, at),
        Formula::Quantile(quantile) => (at.quantile)(quantile),
        leaf => over(leaf, at.lane),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::{Bounds, FigureOp, LaneShape, Noise, Ratio, Real, Spread};

    fn errors(half_widths: &[u128]) -> Vec<LaneError> {
        let lane = |scale: &u128| LaneShape {
            name: "lane".to_owned(),
            grid_bits: 0,
            sensitivity_steps: 1,
            noise: Noise::DiscreteGaussian { sigma_sq: Ratio::new(*scale, 1).unwrap() },
            one_of: None,
        };
        let error = |scale| LaneError::new(&lane(scale), 1, Confidence::DEFAULT).unwrap();
        half_widths.iter().map(error).collect()
    }

    fn lane(value: f64, size: f64) -> TypicalLane {
        TypicalLane { value, size }
    }

    #[test]
    fn averages_deviations_and_computed_figures_follow_their_lanes_to_first_order() {
        let errors = errors(&[100, 400, 900]);
        let widths: Vec<f64> = errors.iter().map(|error| error.half_width).collect();
        // n, sum of deviations from the middle, sum of their squares in a range 20 wide.
        let lanes = [lane(1.0, 1.0), lane(0.0, 10.0), lane(100.0 / 3.0, 100.0)];
        let held =
            Held::new(TypicalCell { rows: 1_000.0, lanes: &lanes }, std::iter::empty(), &errors);
        let near = |formula: &Formula, value: f64, plus_minus: f64| {
            let found = held.typical(formula).unwrap();
            let is_near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.abs().max(1e-6);
            assert!(
                is_near(found.value, value) && is_near(found.plus_minus, plus_minus),
                "{found:?}"
            );
        };
        let mean = Formula::Ratio { numerator: 1, denominator: 0 };
        near(&mean, 0.0, widths[1] / 1_000.0);
        let five = Formula::Constant { value: Real::new(5.0).unwrap() };
        let moved = Formula::arithmetic(FigureOp::Add, five.clone(), mean.clone());
        near(&moved, 5.0, widths[1] / 1_000.0);
        let round = FigureFunction::Round { digits: 0 };
        near(&Formula::Call { function: round, of: Box::new(moved) }, 5.0, widths[1] / 1_000.0);
        let deviation = Formula::Variance {
            count: 0,
            sum: 1,
            squares: 2,
            scale_bits: 0,
            spread: Spread::DeviationPopulation,
        };
        let (sd, m2) = ((100.0f64 / 3.0).sqrt(), 100.0 / 3.0);
        let by_count = m2 * widths[0] / 1_000.0 / (2.0 * sd);
        let by_squares = widths[2] / 1_000.0 / (2.0 * sd);
        near(&deviation, sd, by_count.hypot(by_squares));
        // A cell that noise drowns has no error to tell.
        let few = Held::new(TypicalCell { rows: 3.0, lanes: &lanes }, std::iter::empty(), &errors);
        assert_eq!(few.typical(&mean).unwrap().plus_minus, f64::INFINITY);
        assert_eq!(held.typical(&Formula::Key { dimension: 0 }), None);
        assert_eq!(held.typical(&Formula::Distinct { first_lane: 0, values: 2 }), None);
    }

    #[test]
    fn quantiles_are_off_by_their_rows_share_of_the_range_and_a_band() {
        let errors = errors(&[100; 4]);
        let quantile = Quantile {
            first_lane: 0,
            leaves: 4,
            q: Ratio::new(1, 2).unwrap(),
            bounds: Bounds::from_steps(0, 100, 0).unwrap(),
            whole: false,
        };
        let lanes = [lane(1.0, 1.0); 4];
        let typical = |rows: f64, formula: &Formula| {
            Held::new(TypicalCell { rows, lanes: &lanes }, std::iter::empty(), &errors)
                .typical(formula)
                .unwrap()
        };
        let median = Formula::Quantile(quantile);
        let rank = QuantileFigure::new(quantile, &errors, Confidence::DEFAULT).rank_half_width();
        let found = typical(1_000.0, &median);
        assert_eq!(found.value, 50.0);
        assert!((found.plus_minus - (100.0 * rank / 1_000.0 + 25.0)).abs() < 1e-9, "{found:?}");
        let two = Formula::Constant { value: Real::new(2.0).unwrap() };
        let half = typical(1_000.0, &Formula::arithmetic(FigureOp::Divide, median.clone(), two));
        assert!((half.plus_minus - found.plus_minus / 2.0).abs() < 1e-9, "{half:?}");
        assert_eq!(typical(10.0, &median).plus_minus, f64::INFINITY);
    }

    #[test]
    fn sums_over_other_cells_hold_as_much_each() {
        let errors = errors(&[100, 900]);
        let lanes = [lane(1.0, 1.0)];
        let cell = TypicalCell { rows: 1_000.0, lanes: &lanes };
        let held = Held::new(cell, [(0, 9.0)].into_iter(), &errors);
        let total = |lane| Formula::Total { lane };
        let all = Formula::arithmetic(FigureOp::Add, total(0), total(1));
        let share = Formula::arithmetic(FigureOp::Divide, total(0), all);
        let found = held.typical(&share).unwrap();
        assert!((found.value - 0.1).abs() < 1e-9 && found.plus_minus.is_finite(), "{found:?}");
    }
}
