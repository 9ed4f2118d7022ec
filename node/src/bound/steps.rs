//! Values in steps of a grid: rounded to the nearest, ties to even, and clamped to a range, with the marks of
//! those that were clamped.

use cloister_terms::Bounds;
use datafusion::arrow::array::{Array, Float64Array, Int64Array};

/// Each value in grid steps: rounded to the nearest (ties to even), clamped to the bounds; null is 0.
///
/// The float is clamped before it is rounded, so that neither an overflow of the product nor 1e308
/// ever reaches an integer. The order does not matter: both ends are whole steps below 2^53, rounding
/// is monotone and leaves whole steps alone, so round(clamp(x)) = clamp(round(x)). Multiplying by
/// `2^grid_bits` is exact, but for an overflow to infinity, which clamps to the end it passed.
pub fn float_steps(floats: &Float64Array, bounds: Bounds) -> Vec<i64> {
    let (min, max) = (bounds.min_steps() as f64, bounds.max_steps() as f64);
    let scale = (1u64 << bounds.grid_bits()) as f64;
    // A NaN passes `max` and `min` as the lower end; it is null in settled columns, and 0 here.
    let clamped =
        |value: &f64| if value.is_nan() { 0.0 } else { (value * scale).max(min).min(max) };
    let values = floats.values().iter();
    let mut steps: Vec<i64> = if min.abs().max(max.abs()) < ROUNDER / 3.0 {
        values.map(|value| rounded(clamped(value))).collect()
    } else {
        values.map(|value| clamped(value).round_ties_even() as i64).collect()
    };
    if let Some(nulls) = floats.nulls() {
        let rows = steps.iter_mut().zip(nulls.iter());
        rows.filter(|(_, is_known)| !is_known).for_each(|(steps, _)| *steps = 0);
    }
    steps
}

/// 1.5 * 2^52: a float of its size has no room for digits behind the point.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// The nearest integer, ties to even, of a float below 2^51 in size: adding [`ROUNDER`] rounds so (IEEE 754,
/// section 4.3.1) and leaves the integer in the sum's low bits. Several at once on every processor.
fn rounded(value: f64) -> i64 {
    (value + ROUNDER).to_bits().cast_signed().wrapping_sub(ROUNDER.to_bits().cast_signed())
}

/// As [`float_steps`], for integers: exact.
pub fn int_steps(ints: &Int64Array, bounds: Bounds) -> Vec<i64> {
    let (min, max) = (i128::from(bounds.min_steps()), i128::from(bounds.max_steps()));
    // |value| < 2^63 and at most 30 bits of grid: far inside i128.
    let steps = |value: i64| (i128::from(value) << bounds.grid_bits()).clamp(min, max);
    let steps = |value: i64| i64::try_from(steps(value)).unwrap_or(0);
    let values = ints.values().iter();
    match ints.nulls() {
        None => values.map(|value| steps(*value)).collect(),
        Some(nulls) => {
            let known = values.zip(nulls.iter());
            known.map(|(value, known)| if known { steps(*value) } else { 0 }).collect()
        }
    }
}

/// Marks in `clipped` the rows whose value [`float_steps`] clamps. NaN is no value.
pub fn mark_floats(floats: &Float64Array, bounds: Bounds, clipped: &mut [bool]) {
    let (min, max) = (bounds.min_steps() as f64, bounds.max_steps() as f64);
    let scale = (1u64 << bounds.grid_bits()) as f64;
    for (row, clipped) in clipped.iter_mut().enumerate().take(floats.len()) {
        let steps = floats.value(row) * scale;
        *clipped |= floats.is_valid(row) && (steps < min || steps > max);
    }
}

/// As [`mark_floats`], for [`int_steps`].
pub fn mark_ints(ints: &Int64Array, bounds: Bounds, clipped: &mut [bool]) {
    let range = i128::from(bounds.min_steps())..=i128::from(bounds.max_steps());
    for (row, clipped) in clipped.iter_mut().enumerate().take(ints.len()) {
        let steps = i128::from(ints.value(row)) << bounds.grid_bits();
        *clipped |= ints.is_valid(row) && !range.contains(&steps);
    }
}
