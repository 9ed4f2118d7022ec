//! Ranges of numeric expressions, and the clamping range and grid of a sum. A range here is what a
//! value is expected to keep to, from the dictionary and the text alone; privacy never rests on it,
//! since the host clamps every value to the bounds that come out of here. An expression without a
//! range must be refused, never given a guess (row A6).

use crate::expr::{ArithmeticOp, CompareOp, Expr, Literal};
use crate::function::Function;
use crate::limits::{FINE_GRID_BITS, FLOAT_GRID_BITS, SENSITIVITY_STEPS_MAX};
use crate::scope::Scope;
use cloister_terms::limits::BOUND_STEPS_MAX;
use cloister_terms::{Bounds, ColumnType};

/// A range with the grid its values lie on, or nearly.
///
/// The grid: whole numbers 0 bits; a float column its declared bits, [`FLOAT_GRID_BITS`] where only
/// `clamp` bounds it; a constant as many bits as it needs, at most [`FINE_GRID_BITS`]; sums the finer
/// of two; products the sum of both, quotients [`FINE_GRID_BITS`], at most that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) grid_bits: u8,
}

impl Range {
    /// No value at all: what NULL adds to a union.
    pub(crate) const EMPTY: Self =
        Self { low: f64::INFINITY, high: f64::NEG_INFINITY, grid_bits: 0 };

    /// The range of an expression; `None` when it has none.
    pub fn of(expr: &Expr, scope: &Scope<'_>) -> Option<Self> {
        Self::reach(expr, scope).filter(|range| range.is_empty() || range.is_bounded())
    }

    /// The range of an expression, with an infinite end where one side is not known.
    pub(crate) fn reach(expr: &Expr, scope: &Scope<'_>) -> Option<Self> {
        let of = |expr: &Expr| Self::reach(expr, scope);
        match expr {
            Expr::Column { name } => scope.entry(name)?.range,
            Expr::Literal { value } => Self::constant(value),
            Expr::Null { .. } => Some(Self::EMPTY),
            Expr::ToFloat { of: inner } => of(inner),
            Expr::NullIf { left, .. } => of(left),
            Expr::Coalesce { of: values } => Self::union(values.iter().map(of)),
            Expr::Case { branches, otherwise, .. } => {
                let thens = branches.iter().map(|branch| &branch.then);
                Self::union(thens.chain(otherwise.as_deref()).map(of))
            }
            Expr::Negate { of: inner } => {
                let Self { low, high, grid_bits } = of(inner)?;
                Some(Self { low: -high, high: -low, grid_bits })
            }
            Expr::Arithmetic { op, left, right } => of(left)?.combined(*op, of(right)?),
            Expr::Clamp { of: inner, low, high } => Self::clamped(of(inner), low, high),
            Expr::Compare { .. }
            | Expr::And { .. }
            | Expr::Or { .. }
            | Expr::Not { .. }
            | Expr::IsNull { .. }
            | Expr::InList { .. }
            | Expr::Between { .. } => None,
            Expr::Call { function, of: arguments } => Self::of_call(function, arguments, scope),
        }
    }

    /// Whether no value is in it.
    pub(crate) fn is_empty(self) -> bool {
        self.low > self.high
    }

    fn is_bounded(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// Clamping range on the finest grid up to this range's own on which one person's `row_cap` rows
    /// stay countable; ends rounded outward. `None` when even whole numbers are too many.
    pub fn bounds(self, row_cap: u32) -> Option<Bounds> {
        let (low, high) = if self.low > self.high { (0.0, 0.0) } else { (self.low, self.high) };
        (0..=self.grid_bits).rev().find_map(|grid_bits| {
            let steps = (1u64 << grid_bits) as f64;
            let (min, max) = ((low * steps).floor(), (high * steps).ceil());
            let magnitude = min.abs().max(max.abs());
            if magnitude > BOUND_STEPS_MAX as f64 {
                return None;
            }
            // Both are whole and at most 2^53 in magnitude, so the conversions are exact.
            let bounds = Bounds::from_steps(min as i64, max as i64, grid_bits).ok()?;
            let sum = bounds.magnitude_steps().checked_mul(row_cap.into())?;
            (sum <= SENSITIVITY_STEPS_MAX).then_some(bounds)
        })
    }

    /// The range of a column with these bounds.
    pub fn declared(bounds: Bounds, column_type: ColumnType) -> Self {
        let grid_bits = if column_type == ColumnType::Int64 { 0 } else { bounds.grid_bits() };
        Self { low: bounds.min(), high: bounds.max(), grid_bits }
    }

    /// Whole numbers between two ends.
    pub fn whole(low: u64, high: u64) -> Self {
        Self { low: low as f64, high: high as f64, grid_bits: 0 }
    }

    /// The range of a sum of one to `count` values of this range.
    pub fn summed(self, count: u64) -> Option<Self> {
        if self.low > self.high {
            return Some(self);
        }
        let count = count.max(1) as f64;
        let low = if self.low < 0.0 { self.low * count } else { self.low };
        let high = if self.high > 0.0 { self.high * count } else { self.high };
        (low.is_finite() && high.is_finite()).then_some(Self { low, high, ..self })
    }

    /// The range of a mean of values of this range.
    pub fn averaged(self) -> Self {
        Self { grid_bits: self.grid_bits.max(FINE_GRID_BITS), ..self }
    }

    /// The range of one value.
    pub fn constant(value: &Literal) -> Option<Self> {
        let number = value.number()?;
        let is_on_grid = |bits: &u8| {
            let steps = number * (1u64 << bits) as f64;
            steps.trunc() == steps
        };
        let grid_bits = (0..FINE_GRID_BITS).find(is_on_grid).unwrap_or(FINE_GRID_BITS);
        Some(Self { low: number, high: number, grid_bits })
    }

    /// The range of values that are each in one of several; `None` when one has none.
    pub fn union(ranges: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        ranges.into_iter().try_fold(Self::EMPTY, |all, range| {
            let range = range?;
            Some(Self {
                low: all.low.min(range.low),
                high: all.high.max(range.high),
                grid_bits: all.grid_bits.max(range.grid_bits),
            })
        })
    }

    fn clamped(inner: Option<Self>, low: &Literal, high: &Literal) -> Option<Self> {
        let is_float = low.column_type() == ColumnType::Float64;
        let (low, high) = (Self::constant(low)?, Self::constant(high)?);
        let ends = low.grid_bits.max(high.grid_bits);
        let Some(inner) = inner else {
            let grid_bits = if is_float { ends.max(FLOAT_GRID_BITS) } else { ends };
            return Some(Self { low: low.low, high: high.high, grid_bits });
        };
        Some(Self {
            low: inner.low.clamp(low.low, high.high),
            high: inner.high.clamp(low.low, high.high),
            grid_bits: ends.max(inner.grid_bits),
        })
    }

    pub(crate) fn combined(self, op: ArithmeticOp, other: Self) -> Option<Self> {
        if self.is_empty() || other.is_empty() {
            return Some(Self::EMPTY);
        }
        let is_scaled = matches!(op, ArithmeticOp::Multiply | ArithmeticOp::Divide);
        if is_scaled && !(self.is_bounded() && other.is_bounded()) {
            return None;
        }
        let finer = self.grid_bits.max(other.grid_bits);
        let both = self.grid_bits.saturating_add(other.grid_bits).min(FINE_GRID_BITS.max(finer));
        let range = match op {
            ArithmeticOp::Add => {
                Self { low: self.low + other.low, high: self.high + other.high, grid_bits: finer }
            }
            ArithmeticOp::Subtract => {
                Self { low: self.low - other.high, high: self.high - other.low, grid_bits: finer }
            }
            ArithmeticOp::Multiply => self.corners(other, both, |a, b| a * b),
            ArithmeticOp::Divide if other.low <= 0.0 && other.high >= 0.0 => return None,
            ArithmeticOp::Divide => self.corners(other, FINE_GRID_BITS, |a, b| a / b),
        };
        (!range.low.is_nan() && !range.high.is_nan()).then_some(range)
    }

    fn corners(self, other: Self, grid_bits: u8, of: impl Fn(f64, f64) -> f64) -> Self {
        let lows = (of(self.low, other.low), of(self.low, other.high));
        let highs = (of(self.high, other.low), of(self.high, other.high));
        let low = lows.0.min(lows.1).min(highs.0).min(highs.1);
        let high = lows.0.max(lows.1).max(highs.0).max(highs.1);
        Self { low, high, grid_bits }
    }
}

/// Whether an expression is NULL on no row, whatever the data: constants and what is built of them.
pub(crate) fn is_never_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal { .. } | Expr::IsNull { .. } => true,
        Expr::Column { .. } | Expr::Null { .. } | Expr::NullIf { .. } => false,
        // An operation on unbounded columns may leave the finite numbers, and is NULL then.
        Expr::Negate { .. } | Expr::Arithmetic { .. } => false,
        Expr::Case { branches, otherwise, .. } => {
            let has_else = otherwise.as_deref().is_some_and(is_never_null);
            has_else && branches.iter().all(|branch| is_never_null(&branch.then))
        }
        Expr::Coalesce { of }
        | Expr::Call { function: Function::Least | Function::Greatest, of } => {
            of.iter().any(is_never_null)
        }
        // Most functions are NULL on some values.
        Expr::Call { .. } => false,
        Expr::Compare { op: CompareOp::Distinct | CompareOp::NotDistinct, .. } => true,
        Expr::ToFloat { .. }
        | Expr::Compare { .. }
        | Expr::And { .. }
        | Expr::Or { .. }
        | Expr::Not { .. }
        | Expr::InList { .. }
        | Expr::Between { .. }
        | Expr::Clamp { .. } => expr.parts().into_iter().all(is_never_null),
    }
}
