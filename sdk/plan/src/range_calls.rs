//! Ranges of functions: what their results keep to when their arguments keep to theirs. One that is not
//! known is none, or infinite on that side; it must never be narrower than what the function can give.

use crate::expr::{ArithmeticOp, Expr, Literal};
use crate::function::Function;
use crate::limits::{FINE_GRID_BITS, FLOAT_GRID_BITS};
use crate::range::{Range, is_never_null};
use crate::row::{Datum, apply};
use crate::scope::Scope;
use cloister_terms::ColumnType;
use std::f64::consts::{FRAC_PI_2, PI};

impl Range {
    /// The range of a call; an end is infinite where it is not known.
    pub(crate) fn of_call(function: &Function, of: &[Expr], scope: &Scope<'_>) -> Option<Self> {
        let first = || Self::reach(of.first()?, scope);
        let both = || Some((first()?, Self::reach(of.get(1)?, scope)?));
        match function {
            Function::Add => both().and_then(|(a, b)| a.combined(ArithmeticOp::Add, b)),
            Function::Subtract => both().and_then(|(a, b)| a.combined(ArithmeticOp::Subtract, b)),
            Function::Multiply => both().and_then(|(a, b)| a.combined(ArithmeticOp::Multiply, b)),
            Function::Modulo => Self::of_remainder(of.first()?, of.get(1)?, scope),
            Function::Least | Function::Greatest => Self::of_extreme(function, of, scope),
            Function::Abs => first().map(Self::magnitude),
            Function::Sign => Some(Self::integers(-1.0, 1.0)),
            Function::Sine | Function::Cosine => Some(Self::fine(-1.0, 1.0)),
            Function::ArcSine | Function::ArcTangent => Some(Self::fine(-FRAC_PI_2, FRAC_PI_2)),
            Function::ArcCosine => Some(Self::fine(0.0, PI)),
            Function::ArcTangent2 => Some(Self::fine(-PI, PI)),
            Function::WidthBucket { buckets, .. } => {
                Some(Self::integers(0.0, f64::from(*buckets) + 1.0))
            }
            Function::Length | Function::Position => Some(Self::integers(0.0, f64::INFINITY)),
            Function::DatePart { field } => field.span().map(|(low, high)| {
                // Fields are at most 366.
                Self::integers(low as f64, high as f64)
            }),
            Function::Cast { to: ColumnType::Int64 } => match first() {
                Some(range) => Some(range.rising(function, 0)),
                None if column_type(of.first()?, scope) == Some(ColumnType::Bool) => {
                    Some(Self::integers(0.0, 1.0))
                }
                None => None,
            },
            Function::Round { digits } | Function::Truncate { digits } => {
                let range = first()?;
                let grid_bits = if *digits <= 0 { 0 } else { range.grid_bits };
                Some(range.rising(function, grid_bits))
            }
            Function::Floor | Function::Ceiling => first().map(|range| range.rising(function, 0)),
            Function::SquareRoot => {
                let range = first()?;
                Some(Self { low: range.low.max(0.0), ..range }.rising(function, FINE_GRID_BITS))
            }
            Function::NaturalLog | Function::Log10 | Function::Log2 => {
                first().map(|range| range.rising(function, FINE_GRID_BITS))
            }
            Function::Exponential => {
                let range = first()?.rising(function, FINE_GRID_BITS);
                Some(Self { low: range.low.max(0.0), ..range })
            }
            Function::Radians | Function::Degrees => {
                first().map(|range| range.rising(function, FINE_GRID_BITS))
            }
            Function::Power => Self::of_power(first()?, of.get(1)?),
            _ => None,
        }
    }

    fn integers(low: f64, high: f64) -> Self {
        Self { low, high, grid_bits: 0 }
    }

    fn fine(low: f64, high: f64) -> Self {
        Self { low, high, grid_bits: FINE_GRID_BITS }
    }

    fn magnitude(self) -> Self {
        if self.is_empty() {
            return self;
        }
        let low = self.low.max(-self.high).max(0.0);
        Self { low, high: self.high.max(-self.low), ..self }
    }

    /// The range of a function that never falls: its values at the ends, infinite where it has none.
    fn rising(self, function: &Function, grid_bits: u8) -> Self {
        if self.is_empty() {
            return Self::EMPTY;
        }
        let at = |end: f64, none: f64| {
            let given = end.is_finite().then(|| apply(function, &[Some(Datum::Float(end))]));
            match given.flatten() {
                Some(Datum::Float(value)) => value,
                Some(Datum::Int(value)) => value as f64,
                _ => none,
            }
        };
        Self { low: at(self.low, f64::NEG_INFINITY), high: at(self.high, f64::INFINITY), grid_bits }
    }

    /// Remainders keep the sign of what is divided and stay below the divisor.
    fn of_remainder(of: &Expr, by: &Expr, scope: &Scope<'_>) -> Option<Self> {
        let by = Self::reach(by, scope).map(Self::magnitude)?;
        let of = Self::reach(of, scope).unwrap_or_else(|| Self::unknown(of, scope));
        if of.is_empty() || by.is_empty() {
            return Some(Self::EMPTY);
        }
        let grid_bits = of.grid_bits.max(by.grid_bits);
        let most = if grid_bits == 0 { (by.high - 1.0).max(0.0) } else { by.high };
        Some(Self {
            low: if of.low >= 0.0 { 0.0 } else { of.low.max(-most) },
            high: if of.high <= 0.0 { 0.0 } else { of.high.min(most) },
            grid_bits,
        })
    }

    /// Any number of the expression's type.
    fn unknown(of: &Expr, scope: &Scope<'_>) -> Self {
        let is_float = column_type(of, scope) == Some(ColumnType::Float64);
        let grid_bits = if is_float { FLOAT_GRID_BITS } else { 0 };
        Self { low: f64::NEG_INFINITY, high: f64::INFINITY, grid_bits }
    }

    /// `LEAST`: at most as large as any argument that is never NULL, at least as large as the smallest.
    /// An argument that may be NULL bounds nothing from above, since the others may stand alone.
    fn of_extreme(function: &Function, of: &[Expr], scope: &Scope<'_>) -> Option<Self> {
        let range = |expr| Self::reach(expr, scope).unwrap_or_else(|| Self::unknown(expr, scope));
        let ranges: Vec<(Self, bool)> =
            of.iter().map(|expr| (range(expr), is_never_null(expr))).collect();
        let any = Self::union(ranges.iter().map(|(range, _)| Some(*range)))?;
        let sure = ranges.iter().filter(|(_, is_sure)| *is_sure).map(|(range, _)| range);
        Some(match function {
            Function::Least => {
                let high = sure.map(|range| range.high).fold(any.high, f64::min);
                Self { high, ..any }
            }
            _ => {
                let low = sure.map(|range| range.low).fold(any.low, f64::max);
                Self { low, ..any }
            }
        })
    }

    /// Powers of what is not below 0 by a constant not below 0, and squares of anything.
    fn of_power(base: Self, exponent: &Expr) -> Option<Self> {
        let Expr::Literal { value: Literal::Float(exponent) } = exponent else { return None };
        let exponent = exponent.value();
        let base = if exponent == 2.0 { base.magnitude() } else { base };
        if base.is_empty() {
            return Some(Self::EMPTY);
        }
        if base.low < 0.0 || exponent < 0.0 {
            return None;
        }
        Some(Self::fine(libm::pow(base.low, exponent), libm::pow(base.high, exponent)))
    }
}

fn column_type(expr: &Expr, scope: &Scope<'_>) -> Option<ColumnType> {
    expr.column_type(&|name| scope.entry(name).map(|column| column.column_type))
}
