//! What the functions of a plan give, one value at a time: total, deterministic on every machine, and for
//! one plan linear in the size of the input; constants of the plan, such as patterns, say how much a byte
//! costs. Planner and node call this same code. It must never look at more than its arguments: no clock,
//! no locale, no state.

/// Fields, units and intervals of timestamps.
mod calendar;
/// One type as another.
mod cast;
/// `LIKE` patterns.
mod like;
/// Numbers.
mod number;
/// Texts.
mod text;

use crate::function::Function;
use cloister_terms::ColumnType;
use std::borrow::Cow;
use std::cmp::Ordering;

pub use calendar::{next_unit, truncated};
pub use cast::parse_time;
pub(crate) use like::is_pattern;

/// A value that is not NULL. Floats are settled.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'a> {
    /// int64.
    Int(i64),
    /// float64, finite, never -0.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bool.
    Bool(bool),
    /// Microseconds since 1970-01-01 00:00.
    Timestamp(i64),
}

impl Datum<'_> {
    /// Its type.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Int(_) => ColumnType::Int64,
            Self::Float(_) => ColumnType::Float64,
            Self::Text(_) => ColumnType::Text,
            Self::Bool(_) => ColumnType::Bool,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }

    /// The order of two values of one type: texts by their bytes, FALSE before TRUE.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) | (Self::Timestamp(a), Self::Timestamp(b)) => {
                Some(a.cmp(b))
            }
            (Self::Float(a), Self::Float(b)) => Some(a.total_cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// A settled float: `None` for NaN and infinities, 0 for -0.
pub(crate) fn settled<'a>(value: f64) -> Option<Datum<'a>> {
    // Adding 0 turns -0 into 0 and changes nothing else (IEEE 754, section 6.3).
    value.is_finite().then_some(Datum::Float(value + 0.0))
}

/// The value of a function; `None` is NULL, in arguments and result. Arguments whose types do not fit
/// ([`Function::result_type`]) give NULL too.
pub fn apply<'a>(function: &Function, of: &[Option<Datum<'a>>]) -> Option<Datum<'a>> {
    match function {
        Function::Least => extreme(of, Ordering::Less),
        Function::Greatest => extreme(of, Ordering::Greater),
        Function::Concat => text::joined(of),
        _ if of.iter().any(Option::is_none) => None,
        Function::Join => text::joined(of),
        _ => match of {
            [Some(a)] => one(function, a),
            [Some(a), Some(b)] => two(function, a, b),
            [Some(Datum::Text(text)), Some(Datum::Int(start)), Some(Datum::Int(count))] => {
                match function {
                    Function::Substring => text::substring(text, *start, Some(*count)),
                    _ => None,
                }
            }
            _ => None,
        },
    }
}

fn extreme<'a>(of: &[Option<Datum<'a>>], wanted: Ordering) -> Option<Datum<'a>> {
    let known = of.iter().flatten();
    let best =
        known.reduce(|best, next| if next.order(best) == Some(wanted) { next } else { best });
    best.cloned()
}

fn one<'a>(function: &Function, of: &Datum<'a>) -> Option<Datum<'a>> {
    match (function, of) {
        (Function::Cast { to }, of) => cast::cast(of, *to),
        (_, Datum::Float(of)) => number::of_float(function, *of),
        (_, Datum::Int(of)) => number::of_int(function, *of),
        (_, Datum::Text(of)) => text::of_text(function, of),
        (_, Datum::Timestamp(of)) => calendar::of_timestamp(function, *of),
        (_, Datum::Bool(_)) => None,
    }
}

fn two<'a>(function: &Function, left: &Datum<'a>, right: &Datum<'a>) -> Option<Datum<'a>> {
    match (left, right) {
        (Datum::Int(left), Datum::Int(right)) => number::of_ints(function, *left, *right),
        (Datum::Float(left), Datum::Float(right)) => number::of_floats(function, *left, *right),
        (Datum::Text(left), Datum::Text(right)) => text::of_texts(function, left, right),
        (Datum::Text(text), Datum::Int(count)) => text::of_count(function, text, *count),
        (Datum::Timestamp(left), Datum::Timestamp(right)) => match function {
            Function::DateDiff { unit } => {
                calendar::difference(*unit, *left, *right).map(Datum::Int)
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
