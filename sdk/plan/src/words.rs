//! Expressions in words: the SQL text people read in headings, notes and errors. One fixed spelling
//! each, whatever the spelling in the analysis; never parsed again and never part of a digest but as
//! a lane's name.

use crate::expr::{Branch, CompareOp, Expr, Literal};
use crate::words_calls::{call, is_operator, like};
use cloister_terms::Moment;
use std::fmt::{self, Formatter};

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

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column { name } => f.write_str(name.as_str()),
            Self::Literal { value } => write!(f, "{value}"),
            Self::Null { .. } => f.write_str("null"),
            // Reads as the number it is: the conversion changes no value people would write.
            Self::ToFloat { of } => write!(f, "{of}"),
            Self::Compare { op, left, right } => compare(f, *op, left, right),
            Self::And { all } => joined(f, all, " and "),
            Self::Or { any } => joined(f, any, " or "),
            Self::Not { of: inner } => match inner.as_ref() {
                Self::IsNull { of } => write!(f, "{} is not null", Inner(of)),
                Self::InList { of, list } => in_list(f, of, " not in ", list),
                Self::Between { of, low, high } => between(f, [of, low, high], " not between "),
                Self::Call { function, of } => match like(f, function, of, "not ") {
                    Some(written) => written,
                    None => write!(f, "not {}", Inner(inner)),
                },
                _ => write!(f, "not {}", Inner(inner)),
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
            Self::Call { function, of } => call(f, function, of),
        }
    }
}

/// A part of an expression, in parentheses where it has operators of its own.
pub(crate) struct Inner<'e>(pub &'e Expr);

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
            Expr::Call { function, .. } if !is_operator(function) => write!(f, "{shown}"),
            _ => write!(f, "({shown})"),
        }
    }
}

fn compare(f: &mut Formatter<'_>, op: CompareOp, left: &Expr, right: &Expr) -> fmt::Result {
    let word = match op {
        CompareOp::NotDistinct => "is",
        CompareOp::Distinct => "is not",
        _ => "",
    };
    match right {
        Expr::Literal { value: Literal::Bool(value) } if !word.is_empty() => {
            write!(f, "{} {word} {value}", Inner(left))
        }
        _ => write!(f, "{} {op} {}", Inner(left), Inner(right)),
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
