//! What a filter says about the values of an expression, from its constants alone: the rows it keeps have
//! one of a list of values, or one between two ends. It must never claim more than every kept row keeps.

use crate::expr::{CompareOp, Expr, IntText, Literal};
use crate::function::{DateField, DateUnit, Function};
use crate::row::{next_unit, truncated};
use cloister_terms::Civil;
use cloister_terms::moment::DAY_MICROS;

/// Units, the longest first.
const UNITS: [DateUnit; 8] = [
    DateUnit::Year,
    DateUnit::Quarter,
    DateUnit::Month,
    DateUnit::Week,
    DateUnit::Day,
    DateUnit::Hour,
    DateUnit::Minute,
    DateUnit::Second,
];

/// The conditions that are all TRUE on every row.
pub(crate) struct Pinned<'f> {
    conditions: Vec<&'f Expr>,
}

impl<'f> Pinned<'f> {
    /// From a filter, if there is one.
    pub fn of(filter: Option<&'f Expr>) -> Self {
        let mut conditions = Vec::new();
        let mut waiting: Vec<&Expr> = filter.into_iter().collect();
        while let Some(condition) = waiting.pop() {
            match condition {
                Expr::And { all } => waiting.extend(all.iter().rev()),
                other => conditions.push(other),
            }
        }
        Self { conditions }
    }

    /// The values an expression can have, in the order of the first list that names them; `None` when
    /// no condition lists them.
    pub fn values(&self, expr: &Expr) -> Option<Vec<Literal>> {
        let lists = self.conditions.iter().filter_map(|condition| listed(condition, expr));
        lists.reduce(|mut values, other| {
            values.retain(|value| other.contains(value));
            values
        })
    }

    /// The least and the largest value of an int64 or a timestamp; `None` unless both are known. Empty
    /// when the first is above the second.
    pub fn span(&self, expr: &Expr) -> Option<(i64, i64)> {
        let mut ends = self.compared(expr);
        let part = |function| Expr::Call { function, of: vec![expr.clone()] };
        let years = self.compared(&part(Function::DatePart { field: DateField::Year }));
        if let (Some(low), Some(high)) = years {
            let start =
                |year: i64| Civil { year, month: 1, day: 1 }.day_number()?.checked_mul(DAY_MICROS);
            let end = high.checked_add(1).and_then(start).and_then(|end| end.checked_sub(1));
            ends = both(ends, (start(low), end));
        }
        for unit in UNITS {
            let (low, high) = self.compared(&part(Function::DateTrunc { unit }));
            // A start that is named need not be one: the unit ends after the one it lies in.
            let end = high.and_then(|high| next_unit(unit, truncated(unit, high)?)?.checked_sub(1));
            ends = both(ends, (low, end));
        }
        Some((ends.0?, ends.1?))
    }

    /// The ends that comparisons of the expression itself set, each included.
    fn compared(&self, expr: &Expr) -> Ends {
        let mut ends = match self.values(expr) {
            Some(values) => {
                let numbers = values.iter().map(whole).collect::<Option<Vec<_>>>();
                let numbers = numbers.unwrap_or_default();
                (numbers.iter().min().copied(), numbers.iter().max().copied())
            }
            None => (None, None),
        };
        for condition in &self.conditions {
            ends = both(ends, between(condition, expr));
        }
        ends
    }
}

/// A lower and an upper end.
type Ends = (Option<i64>, Option<i64>);

/// The narrower of two pairs of ends.
fn both(a: Ends, b: Ends) -> Ends {
    let high = match (a.1, b.1) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    // `None` is below every number, so that the larger lower end is the known one.
    (a.0.max(b.0), high)
}

fn whole(value: &Literal) -> Option<i64> {
    match value {
        Literal::Int(IntText(int)) | Literal::Timestamp(IntText(int)) => Some(*int),
        Literal::Float(_) | Literal::Text(_) | Literal::Bool(_) => None,
    }
}

/// The values a condition that is TRUE leaves to an expression.
fn listed(condition: &Expr, expr: &Expr) -> Option<Vec<Literal>> {
    match condition {
        Expr::InList { of, list } if of.as_ref() == expr => {
            let mut values: Vec<Literal> = Vec::new();
            for value in list {
                if !values.contains(value) {
                    values.push(value.clone());
                }
            }
            Some(values)
        }
        Expr::Compare { op: CompareOp::Equal | CompareOp::NotDistinct, left, right } => {
            let constant = match (left.as_ref(), right.as_ref()) {
                (of, constant) if of == expr => constant,
                (constant, of) if of == expr => constant,
                _ => return None,
            };
            match constant {
                Expr::Literal { value } => Some(vec![value.clone()]),
                _ => None,
            }
        }
        Expr::Or { any } => {
            let mut values: Vec<Literal> = Vec::new();
            for part in any {
                for value in listed(part, expr)? {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
            Some(values)
        }
        _ => None,
    }
}

/// The ends a condition that is TRUE sets to an expression.
fn between(condition: &Expr, expr: &Expr) -> Ends {
    let number = |of: &Expr| match of {
        Expr::Literal { value } => whole(value),
        _ => None,
    };
    match condition {
        Expr::Between { of, low, high } if of.as_ref() == expr => (number(low), number(high)),
        Expr::Compare { op, left, right } if left.as_ref() == expr => {
            number(right).map_or((None, None), |end| ends(*op, end))
        }
        Expr::Compare { op, left, right } if right.as_ref() == expr => {
            let turned = match op {
                CompareOp::Less => CompareOp::Greater,
                CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
                CompareOp::Greater => CompareOp::Less,
                CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
                other => *other,
            };
            number(left).map_or((None, None), |end| ends(turned, end))
        }
        _ => (None, None),
    }
}

fn ends(op: CompareOp, end: i64) -> Ends {
    match op {
        // Beyond the last number nothing is: an empty span says so.
        CompareOp::Less => (None, end.checked_sub(1)),
        CompareOp::LessOrEqual => (None, Some(end)),
        CompareOp::Greater => (end.checked_add(1), None),
        CompareOp::GreaterOrEqual => (Some(end), None),
        CompareOp::Equal | CompareOp::NotEqual | CompareOp::Distinct | CompareOp::NotDistinct => {
            (None, None)
        }
    }
}
