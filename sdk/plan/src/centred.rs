//! Deviations from the middle of a range, and the grids of their sums, squares and products. Middles lie
//! on the grid where they can, so that a deviation is exact; a variance does not see them, an average
//! gets them back.

use crate::expr::{ArithmeticOp, Expr, FloatBits, Literal};
use crate::limits::SENSITIVITY_STEPS_MAX;
use cloister_terms::limits::GRID_BITS_MAX;
use cloister_terms::{Bounds, Real};

/// A value's deviation from the middle of its range, divided by `2^scale_bits`.
#[derive(Debug, Clone)]
pub(crate) struct Centred {
    /// The value, a float64.
    of: Expr,
    /// Ends of the value's range and its middle, in steps of `2^-grid_bits`.
    min: i128,
    max: i128,
    mid: i128,
    grid_bits: u32,
    /// Power of two that deviations are divided by, so that their squares fit.
    pub scale_bits: u8,
    row_cap: u32,
}

impl Centred {
    /// Of a float64 with bounds; deviations are scaled so that `squared` ones fit exact sums of `row_cap`
    /// rows. `None` when none does.
    pub fn new(of: Expr, bounds: Bounds, row_cap: u32, squared: bool) -> Option<Self> {
        let (min, max) = (i128::from(bounds.min_steps()), i128::from(bounds.max_steps()));
        let sum = min + max;
        // An odd sum has its middle between two steps: one bit more, where there is one.
        let finer = sum % 2 != 0 && bounds.grid_bits() < GRID_BITS_MAX;
        let (factor, mid) = if finer { (2, sum) } else { (1, sum.div_euclid(2)) };
        let grid_bits = u32::from(bounds.grid_bits()) + u32::from(finer);
        let (min, max) = (min * factor, max * factor);
        let mut centred = Self { of, min, max, mid, grid_bits, scale_bits: 0, row_cap };
        if squared {
            let fits = |bits: &u8| centred.with_scale(*bits).square_steps(0) <= centred.steps_max();
            centred.scale_bits = (0..=64).find(fits)?;
        }
        centred.bounds().is_some().then_some(centred)
    }

    /// Whether its sum carries less noise than the value's own: whether the range leaves 0 aside.
    pub fn is_closer(&self) -> bool {
        let half = self.half();
        half > 0 && half < self.min.abs().max(self.max.abs())
    }

    /// The middle of the range.
    pub fn mid(&self) -> Option<Real> {
        Real::new(self.unit(self.mid)).ok()
    }

    /// The deviation, unclamped: the sum's bounds clamp it.
    pub fn deviation(&self) -> Option<Expr> {
        self.less_mid(self.of.clone())
    }

    /// The deviation of the clamped value, for squares and products.
    pub fn clamped(&self) -> Option<Expr> {
        let end = |steps: i128| FloatBits::new(self.unit(steps)).map(Literal::Float);
        let (low, high) = (end(self.min)?, end(self.max)?);
        self.less_mid(Expr::Clamp { of: Box::new(self.of.clone()), low, high })
    }

    /// Bounds of the deviation, on the finest grid whose sums fit.
    pub fn bounds(&self) -> Option<Bounds> {
        let fine = self.grid_bits + u32::from(self.scale_bits);
        let (low, high) = (self.min - self.mid, self.max - self.mid);
        (0..=fine.min(GRID_BITS_MAX.into())).rev().find_map(|bits| {
            let divisor = 1i128.checked_shl(fine - bits)?;
            let min = i64::try_from(low.div_euclid(divisor)).ok()?;
            let max = i64::try_from(-(-high).div_euclid(divisor)).ok()?;
            let bounds = Bounds::from_steps(min, max, u8::try_from(bits).ok()?).ok()?;
            (u128::from(bounds.magnitude_steps()) <= self.steps_max()).then_some(bounds)
        })
    }

    /// Bounds of the square, on the finest grid whose sums fit.
    pub fn square_bounds(&self) -> Option<Bounds> {
        let exact = 2 * (self.grid_bits + u32::from(self.scale_bits));
        (0..=exact.min(GRID_BITS_MAX.into())).rev().find_map(|bits| {
            let steps = self.square_steps(bits);
            let max = i64::try_from(steps).ok().filter(|_| steps <= self.steps_max())?;
            Bounds::from_steps(0, max, u8::try_from(bits).ok()?).ok()
        })
    }

    /// Bounds of the product with another deviation, on the finest grid whose sums fit.
    pub fn product_bounds(&self, other: &Self) -> Option<Bounds> {
        let scale = |c: &Self| c.grid_bits + u32::from(c.scale_bits);
        let exact = scale(self) + scale(other);
        let largest = self.half().checked_mul(other.half())?;
        (0..=exact.min(GRID_BITS_MAX.into())).rev().find_map(|bits| {
            let steps = shifted_up(largest.unsigned_abs(), exact - bits);
            let max = i64::try_from(steps).ok().filter(|_| steps <= self.steps_max())?;
            Bounds::from_steps(-max, max, u8::try_from(bits).ok()?).ok()
        })
    }

    fn with_scale(&self, scale_bits: u8) -> Self {
        Self { scale_bits, ..self.clone() }
    }

    /// The largest deviation, in steps; at most 2^54.
    fn half(&self) -> i128 {
        (self.max - self.mid).max(self.mid - self.min)
    }

    /// The largest square in steps of `2^-bits`, rounded up.
    fn square_steps(&self, bits: u32) -> u128 {
        let exact = 2 * (self.grid_bits + u32::from(self.scale_bits));
        let half = self.half().unsigned_abs();
        shifted_up(half.saturating_mul(half), exact.saturating_sub(bits))
    }

    /// Steps that one row may add so that all of one person's rows stay countable.
    fn steps_max(&self) -> u128 {
        u128::from(SENSITIVITY_STEPS_MAX / u64::from(self.row_cap.max(1)))
    }

    fn unit(&self, steps: i128) -> f64 {
        // At most 2^54 and even beyond 2^53, so exact.
        steps as f64 / 2f64.powi(self.grid_bits as i32)
    }

    fn less_mid(&self, value: Expr) -> Option<Expr> {
        let number =
            |value: f64| Some(Box::new(Expr::literal(Literal::Float(FloatBits::new(value)?))));
        let mut deviation = value;
        if self.mid != 0 {
            let right = number(self.unit(self.mid))?;
            let left = Box::new(deviation);
            deviation = Expr::Arithmetic { op: ArithmeticOp::Subtract, left, right };
        }
        if self.scale_bits > 0 {
            let right = number(2f64.powi(-i32::from(self.scale_bits)))?;
            let left = Box::new(deviation);
            deviation = Expr::Arithmetic { op: ArithmeticOp::Multiply, left, right };
        }
        Some(deviation)
    }
}

/// `value / 2^bits`, rounded up.
fn shifted_up(value: u128, bits: u32) -> u128 {
    match value.checked_shr(bits) {
        Some(down) if down << bits == value => down,
        Some(down) => down + 1,
        None => u128::from(value != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::Name;

    fn column() -> Expr {
        Expr::Column { name: Name::new("x").unwrap() }
    }

    #[test]
    fn squares_fit_exact_sums_whatever_the_range() {
        let most = 1i64 << 53;
        for (min, max, bits) in [
            (0, 1, 0),
            (0, 86_400, 0),
            (0, 200_000, 2),
            (-5, 6, 30),
            (-most, most, 0),
            (0, most, 30),
        ] {
            for row_cap in [1, 20, 1_000_000] {
                let bounds = Bounds::from_steps(min, max, bits).unwrap();
                let Some(centred) = Centred::new(column(), bounds, row_cap, true) else {
                    assert!(max > 1 << 33, "{min} to {max} at {row_cap} rows");
                    continue;
                };
                let square = centred.square_bounds().unwrap();
                let cap = u64::from(row_cap);
                assert!(square.magnitude_steps() * cap <= SENSITIVITY_STEPS_MAX);
                assert!(centred.bounds().unwrap().magnitude_steps() * cap <= SENSITIVITY_STEPS_MAX);
                let half = (max as f64 - min as f64) / 2.0 / 2f64.powi(bits.into());
                let scaled = half / 2f64.powi(centred.scale_bits.into());
                assert!(square.max() >= scaled * scaled * (1.0 - 1e-12), "nothing is cut off");
                assert!(square.max() <= scaled * scaled * 1.01 + 1.0);
            }
        }
    }

    #[test]
    fn middles_halve_the_sensitivity_where_the_range_is_on_one_side() {
        let centred = |min, max| {
            Centred::new(column(), Bounds::from_steps(min, max, 0).unwrap(), 20, false).unwrap()
        };
        let share = centred(0, 1);
        assert!(share.is_closer());
        assert_eq!(share.mid().unwrap().value(), 0.5);
        let bounds = share.bounds().unwrap();
        assert_eq!((bounds.min_steps(), bounds.max_steps(), bounds.grid_bits()), (-1, 1, 1));
        assert!(!centred(-7, 7).is_closer() && !centred(3, 3).is_closer());
        assert!(centred(-1, 7).is_closer());
    }
}
