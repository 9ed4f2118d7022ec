//! Quantiles from noised counts by leaf, and distinct values from noised person counts by value. What
//! the counts do not settle is said to be too noisy; a leaf is never cut finer than it was counted.

use crate::cell::{Cell, Estimate};
use crate::lane_error::{Joint, LaneError, half_width};
use crate::linear::Linear;
use crate::quantile::Confidence;
use cloister_terms::Quantile;

/// A quantile with the errors of its cumulative counts, worked out once for all rows.
pub(crate) struct QuantileFigure {
    quantile: Quantile,
    q: f64,
    /// Half-width of `(values up to leaf j) - q (all values)`, at `j`.
    cumulative: Vec<f64>,
    /// Half-width of all values.
    all: f64,
}

/// Distinct values with the errors of their counts.
pub(crate) struct DistinctFigure {
    first_lane: u32,
    values: u32,
    /// Half-width of one count: noise alone lifts an empty value over it in 2.5 % of cases at most, at a
    /// confidence of 95 %.
    one: f64,
    joint: Joint,
}

impl QuantileFigure {
    pub(crate) fn new(quantile: Quantile, errors: &[LaneError], confidence: Confidence) -> Self {
        let q = quantile.q.to_f64();
        let lanes = || (0..quantile.leaves).map(|leaf| quantile.first_lane.saturating_add(leaf));
        let sum = |up_to: u32, below: f64, above: f64| {
            let factors = lanes()
                .zip(0..)
                .map(|(lane, leaf)| (lane, if leaf <= up_to { below } else { above }));
            Linear { constant: 0.0, factors: factors.collect() }
        };
        let width = |linear: Linear| half_width(&linear, errors, confidence);
        let cumulative = (0..quantile.leaves).map(|leaf| width(sum(leaf, 1.0 - q, -q))).collect();
        let all = width(sum(quantile.leaves, 1.0, 1.0));
        Self { quantile, q, cumulative, all }
    }

    /// Half-width of the number of values at or below the quantile, in rows, where it is widest.
    pub(crate) fn rank_half_width(&self) -> f64 {
        self.cumulative.iter().copied().fold(0.0, f64::max)
    }

    /// The quantile by linear interpolation in the leaf at which the noised cumulative count passes q, and
    /// the hull of the leaves that cannot be ruled out.
    ///
    /// Let `F_j` be the true values up to leaf j less q times all values. The quantile is in the first leaf
    /// with `F_j >= 0`. A leaf is ruled out when the noised `F_{j-1}` is above its half-width or the noised
    /// `F_j` below minus its half-width; for the true leaf each happens with half the chance of an error at
    /// most, so that it is kept as often as promised, whatever the other leaves.
    pub(crate) fn cell(&self, lane: &dyn Fn(u32) -> Option<f64>) -> Cell {
        let quantile = &self.quantile;
        let counts: Option<Vec<f64>> = (0..quantile.leaves)
            .map(|leaf| lane(quantile.first_lane.saturating_add(leaf)))
            .collect();
        let Some(counts) = counts else { return Cell::TooNoisy(None) };
        let all: f64 = counts.iter().sum();
        // Written so that NaN is doubtful too.
        let is_clear = all > 0.0 && all > self.all && all.is_finite();
        if !is_clear {
            return Cell::TooNoisy(None);
        }
        let mut up_to = 0.0;
        let noised: Vec<f64> = counts
            .iter()
            .map(|count| {
                up_to += count;
                up_to - self.q * all
            })
            .collect();
        let (mut first, mut last) = (None, 0u32);
        let (mut before, mut before_width) = (f64::NEG_INFINITY, 0.0);
        let mut below = 0u32;
        for (leaf, (now, width)) in (0u32..).zip(noised.iter().zip(&self.cumulative)) {
            if before <= before_width && *now >= -*width {
                first = first.or(Some(leaf));
                last = leaf;
            }
            below += u32::from(*now < 0.0);
            (before, before_width) = (*now, *width);
        }
        // How many cumulative counts are below q is steadier than the first that is not.
        let leaf = below.min(quantile.leaves.saturating_sub(1));
        let value = self.inside(leaf, &noised);
        let low = quantile.leaf_range(first.unwrap_or(leaf).min(leaf)).0;
        let high = quantile.leaf_range(last.max(leaf)).1;
        let spans_all = low <= quantile.leaf_range(0).0
            && high >= quantile.leaf_range(quantile.leaves.saturating_sub(1)).1;
        match Estimate::new(value, low.min(value), high.max(value)) {
            Some(estimate) if spans_all && quantile.leaves > 1 => Cell::TooNoisy(Some(estimate)),
            Some(estimate) => Cell::Said(estimate),
            None => Cell::TooNoisy(None),
        }
    }

    fn inside(&self, leaf: u32, noised: &[f64]) -> f64 {
        let at = |leaf: Option<u32>| leaf.and_then(|leaf| noised.get(leaf as usize)).copied();
        let (low, high) = self.quantile.leaf_range(leaf);
        let start = leaf.checked_sub(1).map_or(Some(-self.q), |before| at(Some(before)));
        let (Some(start), Some(end)) = (start, at(Some(leaf))) else { return low };
        let share = -start / (end - start);
        let share = if start <= 0.0 && end > 0.0 && share.is_finite() { share } else { 0.5 };
        let value = low + (high - low) * share.clamp(0.0, 1.0);
        // Whole values have no fractions; the ends of a leaf are whole.
        let unit = (1u64 << self.quantile.bounds.grid_bits()) as f64;
        if self.quantile.whole { (value * unit).round() / unit } else { value }
    }
}

impl DistinctFigure {
    pub(crate) fn new(
        first_lane: u32,
        values: u32,
        errors: &[LaneError],
        confidence: Confidence,
    ) -> Self {
        let lanes: Vec<u32> = (0..values).map(|value| first_lane.saturating_add(value)).collect();
        let one = lanes.iter().filter_map(|lane| errors.get(*lane as usize));
        let one = one.map(|error| error.half_width).fold(0.0, f64::max);
        Self { first_lane, values, one, joint: Joint::new(errors, &lanes, confidence) }
    }

    /// People a value needs to be counted.
    pub(crate) fn threshold(&self) -> f64 {
        self.one + 1.0
    }

    /// How many counts reach the threshold; from those that are surely not empty to those that may not be.
    pub(crate) fn cell(&self, lane: &dyn Fn(u32) -> Option<f64>) -> Cell {
        let (mut low, mut counted, mut high) = (0u32, 0u32, 0u32);
        for value in 0..self.values {
            let index = self.first_lane.saturating_add(value);
            let (Some(people), Some(joint)) = (lane(index), self.joint.half_width(index)) else {
                return Cell::TooNoisy(None);
            };
            low += u32::from(people - joint >= 1.0);
            counted += u32::from(people >= self.threshold());
            high += u32::from(people + joint >= 1.0);
        }
        let figures =
            (f64::from(counted), f64::from(low.min(counted)), f64::from(high.max(counted)));
        match Estimate::new(figures.0, figures.1, figures.2) {
            Some(estimate) if estimate.plus_minus > estimate.value => {
                Cell::TooNoisy(Some(estimate))
            }
            Some(estimate) => Cell::Said(estimate),
            None => Cell::TooNoisy(None),
        }
    }
}
