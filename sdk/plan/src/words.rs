//! Expressions in words: the SQL text people read in headings, notes and errors. One fixed spelling
//! each, whatever the spelling in the analysis; never parsed again and never part of a digest but as
//! a lane's name.

use crate::expr::{Branch, Expr, Literal};
use std::fmt::{self, Formatter};
use time::OffsetDateTime;

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => write!(f, "{}", int.0),
            Self::Float(float) => write!(f, "{:?}", float.value()),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Timestamp(micros) => write!(f, "timestamp '{}'", Moment(micros.0)),
        }
    }
}

/// Microseconds since 1970 as people write them.
struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1000;
        let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
            return write!(f, "{} us", self.0);
        };
        let (hour, minute, second, micros) = moment.to_hms_micro();
        let month = u8::from(moment.month());
        write!(f, "{:04}-{month:02}-{:02}", moment.year(), moment.day())?;
        if (hour, minute, second, micros) == (0, 0, 0, 0) {
            return Ok(());
        }
        write!(f, " {hour:02}:{minute:02}:{second:02}")?;
        if micros == 0 { Ok(()) } else { write!(f, ".{micros:06}") }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column { name } => f.write_str(name.as_str()),
            Self::Literal { value } => write!(f, "{value}"),
            Self::Null { .. } => f.write_str("null"),
            // Reads as the number it is: the conversion changes no value people would write.
            Self::ToFloat { of } => write!(f, "{of}"),
            Self::Compare { op, left, right } => {
                write!(f, "{} {op} {}", Inner(left), Inner(right))
            }
            Self::And { all } => joined(f, all, " and "),
            Self::Or { any } => joined(f, any, " or "),
            Self::Not { of } => match of.as_ref() {
                Self::IsNull { of } => write!(f, "{} is not null", Inner(of)),
                Self::InList { of, list } => in_list(f, of, " not in ", list),
                Self::Between { of, low, high } => between(f, [of, low, high], " not between "),
                _ => write!(f, "not {}", Inner(of)),
            },
            Self::IsNull { of } => write!(f, "{} is null", Inner(of)),
            Self::InList { of, list } => in_list(f, of, " in ", list),
            Self::Between { of, low, high } => between(f, [of, low, high], " between "),
            Self::Case { operand, branches, otherwise } => {
                case(f, operand.as_deref(), branches, otherwise.as_deref())
            }
            Self::Coalesce { of } => {
                f.write_str("coalesce(")?;
                for (i, value) in of.iter().enumerate() {
                    write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::NullIf { left, right } => write!(f, "nullif({left}, {right})"),
            Self::Negate { of } => write!(f, "-{}", Inner(of)),
            Self::Arithmetic { op, left, right } => {
                write!(f, "{} {op} {}", Inner(left), Inner(right))
            }
            Self::Clamp { of, low, high } => write!(f, "clamp({of}, {low}, {high})"),
        }
    }
}

/// A part of an expression, in parentheses where it has operators of its own.
struct Inner<'e>(&'e Expr);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut shown = self.0;
        while let Expr::ToFloat { of } = shown {
            shown = of;
        }
        match shown {
            Expr::Column { .. }
            | Expr::Literal { .. }
            | Expr::Null { .. }
            | Expr::Case { .. }
            | Expr::Coalesce { .. }
            | Expr::NullIf { .. }
            | Expr::Clamp { .. } => write!(f, "{shown}"),
            _ => write!(f, "({shown})"),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Expr], between: &str) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        match part {
            Expr::And { .. } | Expr::Or { .. } => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

fn in_list(f: &mut Formatter<'_>, of: &Expr, word: &str, list: &[Literal]) -> fmt::Result {
    write!(f, "{}{word}(", Inner(of))?;
    for (i, value) in list.iter().enumerate() {
        write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
    }
    f.write_str(")")
}

fn between(f: &mut Formatter<'_>, parts: [&Expr; 3], word: &str) -> fmt::Result {
    let [of, low, high] = parts.map(Inner);
    write!(f, "{of}{word}{low} and {high}")
}

fn case(
    f: &mut Formatter<'_>,
    operand: Option<&Expr>,
    branches: &[Branch],
    otherwise: Option<&Expr>,
) -> fmt::Result {
    f.write_str("case")?;
    if let Some(operand) = operand {
        write!(f, " {operand}")?;
    }
    for Branch { when, then } in branches {
        write!(f, " when {when} then {then}")?;
    }
    if let Some(otherwise) = otherwise {
        write!(f, " else {otherwise}")?;
    }
    f.write_str(" end")
}
