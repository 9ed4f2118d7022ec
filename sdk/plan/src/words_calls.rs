//! Functions in words, in the SQL people write. One spelling each, never parsed again.

use crate::expr::{Expr, Literal};
use crate::function::{DateField, DateUnit, Function, TrimSide};
use crate::words::Inner;
use cloister_terms::ColumnType;
use cloister_terms::moment::DAY_MICROS;
use std::fmt::{self, Formatter};

/// A call.
pub(crate) fn call(f: &mut Formatter<'_>, function: &Function, of: &[Expr]) -> fmt::Result {
    if let Some(written) = like(f, function, of, "") {
        return written;
    }
    match function {
        Function::Add => between(f, of, " + "),
        Function::Subtract => between(f, of, " - "),
        Function::Multiply => between(f, of, " * "),
        Function::Modulo => between(f, of, " % "),
        Function::Join => between(f, of, " || "),
        Function::AddInterval { months, micros } => {
            write!(f, "{} + interval '{}'", Operand(of), Interval(*months, micros.0))
        }
        Function::Cast { to } => {
            write!(f, "cast({} as {})", Arguments(of), type_name(*to))
        }
        Function::DateTrunc { unit } => write!(f, "date_trunc('{unit}', {})", Arguments(of)),
        Function::DateDiff { unit } => write!(f, "date_diff('{unit}', {})", Arguments(of)),
        Function::DatePart { field } => write!(f, "extract({field} from {})", Arguments(of)),
        Function::Epoch => write!(f, "extract(epoch from {})", Arguments(of)),
        Function::Round { digits: 0 } => write!(f, "round({})", Arguments(of)),
        Function::Truncate { digits: 0 } => write!(f, "trunc({})", Arguments(of)),
        Function::Round { digits } => write!(f, "round({}, {digits})", Arguments(of)),
        Function::Truncate { digits } => write!(f, "trunc({}, {digits})", Arguments(of)),
        Function::WidthBucket { low, high, buckets } => {
            let ends = (Literal::Float(*low), Literal::Float(*high));
            write!(f, "width_bucket({}, {}, {}, {buckets})", Arguments(of), ends.0, ends.1)
        }
        Function::Trim { side, characters } => {
            let name = match side {
                TrimSide::Both => "trim",
                TrimSide::Leading => "ltrim",
                TrimSide::Trailing => "rtrim",
            };
            write!(f, "{name}({}", Arguments(of))?;
            if characters != " " {
                write!(f, ", {}", Literal::Text(characters.clone()))?;
            }
            f.write_str(")")
        }
        Function::Replace { from, to } => {
            let (from, to) = (Literal::Text(from.clone()), Literal::Text(to.clone()));
            write!(f, "replace({}, {from}, {to})", Arguments(of))
        }
        Function::SplitPart { delimiter, part } => {
            let delimiter = Literal::Text(delimiter.clone());
            write!(f, "split_part({}, {delimiter}, {})", Arguments(of), part.0)
        }
        _ => write!(f, "{}({})", name(function), Arguments(of)),
    }
}

/// `x LIKE 'a%'`, with a word before LIKE; `None` for every other function.
pub(crate) fn like(
    f: &mut Formatter<'_>,
    function: &Function,
    of: &[Expr],
    not: &str,
) -> Option<fmt::Result> {
    let Function::Like { pattern, escape, ignore_case } = function else { return None };
    let word = if *ignore_case { "ilike" } else { "like" };
    let pattern = Literal::Text(pattern.clone());
    let written = write!(f, "{} {not}{word} {pattern}", Operand(of));
    Some(written.and_then(|()| match escape {
        Some('\\') => Ok(()),
        Some(escape) => write!(f, " escape {}", Literal::Text(escape.to_string())),
        None => f.write_str(" escape ''"),
    }))
}

/// Whether a call is written with operators, and needs parentheses inside others.
pub(crate) fn is_operator(function: &Function) -> bool {
    matches!(
        function,
        Function::Add
            | Function::Subtract
            | Function::Multiply
            | Function::Modulo
            | Function::Join
            | Function::AddInterval { .. }
            | Function::Like { .. }
    )
}

fn name(function: &Function) -> &'static str {
    match function {
        Function::Least => "least",
        Function::Greatest => "greatest",
        Function::Abs => "abs",
        Function::Sign => "sign",
        Function::Floor => "floor",
        Function::Ceiling => "ceil",
        Function::SquareRoot => "sqrt",
        Function::Exponential => "exp",
        Function::NaturalLog => "ln",
        Function::Log10 => "log10",
        Function::Log2 => "log2",
        Function::LogOf => "log",
        Function::Power => "power",
        Function::Sine => "sin",
        Function::Cosine => "cos",
        Function::Tangent => "tan",
        Function::ArcSine => "asin",
        Function::ArcCosine => "acos",
        Function::ArcTangent => "atan",
        Function::ArcTangent2 => "atan2",
        Function::Radians => "radians",
        Function::Degrees => "degrees",
        Function::Lower => "lower",
        Function::Upper => "upper",
        Function::Substring => "substr",
        Function::Left => "left",
        Function::Right => "right",
        Function::Length => "length",
        Function::Concat => "concat",
        Function::Position => "strpos",
        Function::StartsWith => "starts_with",
        Function::EndsWith => "ends_with",
        Function::Contains => "contains",
        // Written by `call`.
        Function::Add
        | Function::Subtract
        | Function::Multiply
        | Function::Modulo
        | Function::Round { .. }
        | Function::Truncate { .. }
        | Function::WidthBucket { .. }
        | Function::Trim { .. }
        | Function::Join
        | Function::Replace { .. }
        | Function::SplitPart { .. }
        | Function::Like { .. }
        | Function::Cast { .. }
        | Function::DateTrunc { .. }
        | Function::DatePart { .. }
        | Function::Epoch
        | Function::AddInterval { .. }
        | Function::DateDiff { .. } => "",
    }
}

/// The name a cast gives a type.
fn type_name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Int64 => "bigint",
        ColumnType::Float64 => "double",
        ColumnType::Text => "text",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Bool => "boolean",
    }
}

fn between(f: &mut Formatter<'_>, of: &[Expr], sign: &str) -> fmt::Result {
    for (i, part) in of.iter().enumerate() {
        write!(f, "{}{}", if i == 0 { "" } else { sign }, Inner(part))?;
    }
    Ok(())
}

/// The one argument of an operator.
struct Operand<'e>(&'e [Expr]);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        between(f, self.0, ", ")
    }
}

struct Arguments<'e>(&'e [Expr]);

impl fmt::Display for Arguments<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Months and microseconds, in the largest units that hold them whole.
struct Interval(i32, i64);

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(months, micros) = *self;
        if months != 0 {
            let (number, unit) =
                if months % 12 == 0 { (months / 12, "years") } else { (months, "months") };
            write!(f, "{number} {unit}")?;
            if micros == 0 {
                return Ok(());
            }
            f.write_str(" ")?;
        }
        let units = [
            (DAY_MICROS, "days"),
            (3_600_000_000, "hours"),
            (60_000_000, "minutes"),
            (1_000_000, "seconds"),
        ];
        let fits = units.iter().find(|(length, _)| micros % length == 0);
        let (length, unit) = fits.copied().unwrap_or((1, "microseconds"));
        write!(f, "{} {unit}", micros / length)
    }
}

impl fmt::Display for DateUnit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
        })
    }
}

impl fmt::Display for DateField {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Year => "year",
            Self::IsoYear => "isoyear",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
            Self::DayOfWeek => "dow",
            Self::IsoDayOfWeek => "isodow",
            Self::DayOfYear => "doy",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
        })
    }
}
