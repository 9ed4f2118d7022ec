//! What a filter says about the values of an expression, from its constants alone: the rows it keeps have
//! one of a list of values, or one between two ends. It must never claim more than every kept row keeps.
//! A filter is read once for all expressions, in work that grows with its length.

use crate::expr::{CompareOp, Expr, IntText, Literal};
use crate::function::{DateField, DateUnit, Function};
use crate::row::{next_unit, truncated};
use crate::work::{UsedUp, Work};
use cloister_terms::Civil;
use cloister_terms::moment::DAY_MICROS;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// What is so on every row that a filter keeps; nothing by default.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    /// The values that conditions list, in the order of the first list.
    values: HashMap<Expr, Vec<Literal>>,
    /// The least and the largest value.
    spans: HashMap<Expr, Ends>,
}

/// A lower and an upper end.
type Ends = (Option<i64>, Option<i64>);

/// Expressions with the values that a condition leaves to each, distinct.
type Lists<'f> = Vec<(&'f Expr, Vec<&'f Literal>)>;

impl Pinned {
    /// From a filter. Errors when reading it is too much work.
    pub fn of(filter: &Expr, work: &Work) -> Result<Self, UsedUp> {
        let mut values: HashMap<&Expr, Vec<&Literal>> = HashMap::new();
        let mut compared: HashMap<&Expr, Ends> = HashMap::new();
        for condition in conditions(filter) {
            work.take(1)?;
            for (of, list) in listed(condition, work)? {
                match values.entry(of) {
                    Entry::Vacant(free) => {
                        free.insert(list);
                    }
                    Entry::Occupied(mut known) => {
                        let list: HashSet<&Literal> = list.into_iter().collect();
                        known.get_mut().retain(|value| list.contains(value));
                    }
                }
            }
            for (of, ends) in between(condition) {
                narrow(compared.entry(of).or_default(), ends);
            }
        }
        for (of, list) in &values {
            let numbers = list.iter().map(|value| whole(value)).collect::<Option<Vec<_>>>();
            let numbers = numbers.unwrap_or_default();
            let ends = (numbers.iter().min().copied(), numbers.iter().max().copied());
            narrow(compared.entry(*of).or_default(), ends);
        }
        let owned = |(of, list): (&Expr, Vec<&Literal>)| {
            (of.clone(), list.into_iter().cloned().collect::<Vec<_>>())
        };
        Ok(Self { values: values.into_iter().map(owned).collect(), spans: spans(compared) })
    }

    /// The values an expression can have, in the order of the first list that names them; `None` when
    /// no condition lists them.
    pub fn values(&self, expr: &Expr) -> Option<&[Literal]> {
        self.values.get(expr).map(Vec::as_slice)
    }

    /// The least and the largest value of an int64 or a timestamp; `None` unless both are known. Empty
    /// when the first is above the second.
    pub fn span(&self, expr: &Expr) -> Option<(i64, i64)> {
        let (low, high) = self.spans.get(expr)?;
        Some(((*low)?, (*high)?))
    }
}

/// The conditions that are all TRUE on every row, in the order in which they are written.
fn conditions(filter: &Expr) -> Vec<&Expr> {
    let (mut conditions, mut waiting) = (Vec::new(), vec![filter]);
    while let Some(condition) = waiting.pop() {
        match condition {
            Expr::And { all } => waiting.extend(all.iter().rev()),
            other => conditions.push(other),
        }
    }
    conditions
}

/// The ends of expressions from those that comparisons of themselves, of their year and of the start of
/// their unit set. The order of what is compared makes no difference.
fn spans(compared: HashMap<&Expr, Ends>) -> HashMap<Expr, Ends> {
    let mut spans: HashMap<Expr, Ends> = HashMap::new();
    for (of, ends) in compared {
        narrow(spans.entry(of.clone()).or_default(), ends);
        let Expr::Call { function, of: arguments } = of else { continue };
        let [time] = arguments.as_slice() else { continue };
        let ends = match function {
            Function::DatePart { field: DateField::Year } => of_years(ends),
            Function::DateTrunc { unit } => of_starts(*unit, ends),
            _ => continue,
        };
        narrow(spans.entry(time.clone()).or_default(), ends);
    }
    spans
}

/// The ends of a time whose year lies between two ends; none unless both are known.
fn of_years(years: Ends) -> Ends {
    let (Some(low), Some(high)) = years else { return (None, None) };
    let start = |year: i64| Civil { year, month: 1, day: 1 }.day_number()?.checked_mul(DAY_MICROS);
    let end = high.checked_add(1).and_then(start).and_then(|end| end.checked_sub(1));
    (start(low), end)
}

/// The ends of a time whose unit starts between two ends.
fn of_starts(unit: DateUnit, (low, high): Ends) -> Ends {
    // A start that is named need not be one: the unit ends after the one it lies in.
    let end = high.and_then(|high| next_unit(unit, truncated(unit, high)?)?.checked_sub(1));
    (low, end)
}

/// Ends become the narrower of themselves and others.
fn narrow(ends: &mut Ends, others: Ends) {
    // `None` is below every number, so that the larger lower end is the known one.
    ends.0 = ends.0.max(others.0);
    ends.1 = match (ends.1, others.1) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

fn whole(value: &Literal) -> Option<i64> {
    match value {
        Literal::Int(IntText(int)) | Literal::Timestamp(IntText(int)) => Some(*int),
        Literal::Float(_) | Literal::Text(_) | Literal::Bool(_) => None,
    }
}

/// The values that a condition that is TRUE leaves to expressions. Recursion is bounded by the depth of
/// what was read.
fn listed<'f>(condition: &'f Expr, work: &Work) -> Result<Lists<'f>, UsedUp> {
    match condition {
        Expr::InList { of, list } => {
            work.take(list.len())?;
            Ok(vec![(of.as_ref(), distinct(list.iter()))])
        }
        Expr::Compare { op: CompareOp::Equal | CompareOp::NotDistinct, left, right } => {
            let sides = sides(left, right).into_iter();
            Ok(sides.map(|(of, constant, _)| (of, vec![constant])).collect())
        }
        Expr::Or { any } => of_any(any, work),
        _ => Ok(Vec::new()),
    }
}

/// The values of the expressions to which each of several conditions leaves some.
fn of_any<'f>(any: &'f [Expr], work: &Work) -> Result<Lists<'f>, UsedUp> {
    let mut all: Option<Lists<'f>> = None;
    for part in any {
        work.take(1)?;
        let mut found = listed(part, work)?;
        let both = match all {
            None => found,
            Some(mut before) => {
                before.retain_mut(|(of, list)| {
                    let same = found.iter_mut().find(|(other, _)| *other == *of);
                    let Some((_, more)) = same else { return false };
                    list.append(more);
                    true
                });
                before
            }
        };
        if both.is_empty() {
            return Ok(both);
        }
        all = Some(both);
    }
    let all = all.unwrap_or_default().into_iter();
    Ok(all.map(|(of, list)| (of, distinct(list.into_iter()))).collect())
}

/// Each value once, where it first stands.
fn distinct<'f>(list: impl Iterator<Item = &'f Literal>) -> Vec<&'f Literal> {
    let mut seen = HashSet::new();
    list.filter(|value| seen.insert(*value)).collect()
}

/// The sides of a comparison that a constant stands beside, each with that constant, and whether it is the
/// right one.
fn sides<'f>(left: &'f Expr, right: &'f Expr) -> Vec<(&'f Expr, &'f Literal, bool)> {
    let mut found = Vec::new();
    if let Expr::Literal { value } = right {
        found.push((left, value, false));
    }
    if let Expr::Literal { value } = left
        && left != right
    {
        found.push((right, value, true));
    }
    found
}

/// The ends that a condition that is TRUE sets to expressions.
fn between(condition: &Expr) -> Vec<(&Expr, Ends)> {
    let number = |of: &Expr| match of {
        Expr::Literal { value } => whole(value),
        _ => None,
    };
    match condition {
        Expr::Between { of, low, high } => vec![(of.as_ref(), (number(low), number(high)))],
        Expr::Compare { op, left, right } => {
            let end = |(of, constant, is_right): (_, &Literal, bool)| {
                let op = if is_right { turned(*op) } else { *op };
                Some((of, ends(op, whole(constant)?)))
            };
            sides(left, right).into_iter().filter_map(end).collect()
        }
        _ => Vec::new(),
    }
}

/// The comparison with its sides changed.
fn turned(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
        other => other,
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
