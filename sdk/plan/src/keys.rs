//! Public domains of group keys, from the dictionary and the text alone. A key whose values are not
//! known before any row is read must be refused: which keys exist would itself be an answer.
//!
//! A domain comes from the dictionary, from constants of the text, from what a function can give at all
//! (months are 1 to 12), from a filter that lists the values or sets both ends of a range, or from
//! applying functions to values that have one. Values in the data outside it are dropped.

use crate::error::{PlanError, excerpt};
use crate::expr::{Expr, Literal};
use crate::function::{DateField, DateUnit, Function};
use crate::ir::KeyExpr;
use crate::limits::{DOMAIN_BYTES_MAX, DOMAIN_TRIALS_MAX};
use crate::range::Range;
use crate::row::{self, Datum, next_unit, truncated};
use crate::scope::Scope;
use crate::sql::Unlisted;
use crate::typed::Typed;
use crate::work::UsedUp;
use cloister_terms::limits::DOMAIN_VALUES_MAX;
use cloister_terms::{ColumnType, KeyValue, Name};
use std::collections::BTreeSet;

/// What lets a group key without a public list pass.
pub(crate) const OR_A_DELTA: &str =
    ", or add a `delta` to `spend`: groups that enough people share are then shown";

/// A key with its public domain, on the rows a filter keeps. Without one it is private where `unlisted`
/// says so, and its domain empty. Errors when it has none otherwise, an empty one or one too large, and when
/// finding it is more work than the question has left.
pub(crate) fn key(
    typed: &Typed,
    scope: &Scope<'_>,
    unlisted: Unlisted,
) -> Result<KeyExpr, PlanError> {
    let place = typed.place;
    let none = |otherwise| PlanError::NoDomain {
        expression: excerpt(&typed.expr.to_string()),
        place,
        otherwise,
    };
    if typed.column_type == ColumnType::Float64 {
        let expression = excerpt(&typed.expr.to_string());
        return Err(PlanError::FractionKey { expression, place });
    }
    match domain_of(&typed.expr, scope) {
        Err(Stopped::TooLarge) => {
            Err(PlanError::TooMany { what: "values of a key", max: DOMAIN_VALUES_MAX, place })
        }
        Err(Stopped::UsedUp) => Err(UsedUp.at(place)),
        Ok(Some(domain)) if !domain.is_empty() => Ok(KeyExpr { expr: typed.expr.clone(), domain }),
        Ok(None) => match unlisted {
            Unlisted::Never => Err(none("")),
            Unlisted::Refused => Err(none(OR_A_DELTA)),
            Unlisted::Shown | Unlisted::Found => {
                Ok(KeyExpr { expr: typed.expr.clone(), domain: Vec::new() })
            }
        },
        Ok(Some(_)) => Err(none("")),
    }
}

/// Why values are not listed to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// More values than a domain may have, or more than can be tried to find them.
    TooLarge,
    /// More work than the question has left.
    UsedUp,
}

impl From<UsedUp> for Stopped {
    fn from(_: UsedUp) -> Self {
        Self::UsedUp
    }
}

/// Every value an expression can have but NULL on the rows the scope's filter keeps; `None` when they are not known.
fn domain_of(expr: &Expr, scope: &Scope<'_>) -> Result<Option<Vec<KeyValue>>, Stopped> {
    let mut domain = Domain::new(scope);
    let is_known = domain.add(expr)?;
    Ok(is_known.then_some(domain.values))
}

/// Every value an expression can have but NULL, when they are public and few enough for a key. Errors when
/// finding them is more work than the question has left.
pub(crate) fn values(expr: &Expr, scope: &Scope<'_>) -> Result<Option<Vec<KeyValue>>, UsedUp> {
    match domain_of(expr, scope) {
        Ok(known) => Ok(known.filter(|values| values.len() <= DOMAIN_VALUES_MAX)),
        Err(Stopped::TooLarge) => Ok(None),
        Err(Stopped::UsedUp) => Err(UsedUp),
    }
}

/// Values in the order they first stand in the dictionary or the text.
struct Domain<'s, 'a> {
    scope: &'s Scope<'a>,
    values: Vec<KeyValue>,
    seen: BTreeSet<KeyValue>,
    /// Columns whose domain is in already: a short text may name a large one in each of many branches.
    columns: BTreeSet<Name>,
    /// Results of functions tried so far.
    trials: usize,
    /// Bytes of the texts among the values.
    bytes: usize,
}

impl<'s, 'a> Domain<'s, 'a> {
    fn new(scope: &'s Scope<'a>) -> Self {
        Self {
            scope,
            values: Vec::new(),
            seen: BTreeSet::new(),
            columns: BTreeSet::new(),
            trials: 0,
            bytes: 0,
        }
    }

    /// Adds every value an expression can have but NULL; false when they are not known.
    fn add(&mut self, expr: &Expr) -> Result<bool, Stopped> {
        let scope = self.scope;
        scope.work.take(1)?;
        if let Some(listed) = scope.pinned.values(expr) {
            return self.listed(expr, listed);
        }
        match expr {
            Expr::Column { name } => self.column(expr, name),
            Expr::Literal { value } => self.literal(value),
            Expr::Null { .. } => Ok(true),
            Expr::Case { branches, otherwise, .. } => {
                let thens = branches.iter().map(|branch| &branch.then);
                self.all(thens.chain(otherwise.as_deref()))
            }
            Expr::Coalesce { of } => self.all(of.iter()),
            Expr::NullIf { left, .. } => self.add(left),
            Expr::Compare { .. }
            | Expr::And { .. }
            | Expr::Or { .. }
            | Expr::Not { .. }
            | Expr::IsNull { .. }
            | Expr::InList { .. }
            | Expr::Between { .. } => self.bools(),
            Expr::Clamp { .. } => self.numbers(expr),
            Expr::Call { function, of } => self.call(expr, function, of),
            Expr::ToFloat { .. } | Expr::Negate { .. } | Expr::Arithmetic { .. } => Ok(false),
        }
    }

    fn all<'e>(&mut self, parts: impl Iterator<Item = &'e Expr>) -> Result<bool, Stopped> {
        for part in parts {
            if !self.add(part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Values a filter lists: those of a column's own domain in its order, all of any other expression.
    fn listed(&mut self, expr: &Expr, listed: &[Literal]) -> Result<bool, Stopped> {
        let own = match expr {
            Expr::Column { name } => {
                self.scope.entry(name).and_then(|column| column.domain.as_ref())
            }
            _ => None,
        };
        let Some(own) = own else {
            for value in listed {
                if !self.literal(value)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        };
        self.scope.work.take(listed.len().saturating_add(own.len()))?;
        let listed: BTreeSet<_> = listed.iter().filter_map(Literal::key_value).collect();
        for value in own.iter().filter(|value| listed.contains(value)) {
            self.push(value.clone())?;
        }
        Ok(true)
    }

    fn column(&mut self, expr: &Expr, name: &Name) -> Result<bool, Stopped> {
        if self.columns.contains(name) {
            return Ok(true);
        }
        let Some(column) = self.scope.entry(name) else { return Ok(false) };
        let is_known = match (&column.domain, column.column_type) {
            (Some(domain), _) => {
                for value in domain.iter() {
                    self.push(value.clone())?;
                }
                true
            }
            (None, ColumnType::Bool) => self.bools()?,
            (None, ColumnType::Int64) => self.numbers(expr)?,
            (None, _) => false,
        };
        self.columns.insert(name.clone());
        Ok(is_known)
    }

    fn literal(&mut self, value: &Literal) -> Result<bool, Stopped> {
        match value.key_value() {
            Some(value) => self.push(value).map(|()| true),
            None => Ok(false),
        }
    }

    /// The whole numbers between the ends a filter sets.
    fn numbers(&mut self, expr: &Expr) -> Result<bool, Stopped> {
        let is_int = expr
            .column_type(&|name| self.scope.entry(name).map(|column| column.column_type))
            == Some(ColumnType::Int64);
        match self.scope.pinned.span(expr).filter(|_| is_int) {
            Some((low, high)) => self.span(low, high),
            None => Ok(false),
        }
    }

    fn call(&mut self, expr: &Expr, function: &Function, of: &[Expr]) -> Result<bool, Stopped> {
        match (function, of) {
            (Function::DatePart { field }, [time]) => {
                match (field.span(), self.years(*field, time)) {
                    (Some((low, high)), _) | (None, Some((low, high))) => self.span(low, high),
                    (None, None) => self.numbers(expr),
                }
            }
            (Function::WidthBucket { buckets, .. }, _) => self.span(0, i64::from(*buckets) + 1),
            (
                Function::StartsWith
                | Function::EndsWith
                | Function::Contains
                | Function::Like { .. }
                | Function::Cast { to: ColumnType::Bool },
                _,
            ) => self.bools(),
            (Function::DateTrunc { unit }, [time]) => {
                match self.scope.pinned.span(time).or_else(|| self.scope.pinned.span(expr)) {
                    Some((low, high)) => self.units(*unit, low, high),
                    None => self.mapped(function, of),
                }
            }
            (Function::Modulo, [number, Expr::Literal { value: Literal::Int(by) }]) => {
                match self.mapped(function, of) {
                    Ok(true) => Ok(true),
                    Ok(false) | Err(Stopped::TooLarge) => self.remainders(number, by.0),
                    Err(Stopped::UsedUp) => Err(Stopped::UsedUp),
                }
            }
            _ => Ok(self.numbers(expr)? || self.mapped(function, of)?),
        }
    }

    /// Every remainder of a division by a constant, those below 0 only where the number may be.
    fn remainders(&mut self, number: &Expr, by: i64) -> Result<bool, Stopped> {
        let Some(most) = by.checked_abs().and_then(|by| by.checked_sub(1)) else {
            return Err(Stopped::TooLarge);
        };
        let is_natural = Range::of(number, self.scope).is_some_and(|range| range.low >= 0.0);
        self.span(if is_natural { 0 } else { -most }, most)
    }

    /// The years between the ends a filter sets to a time.
    fn years(&self, field: DateField, time: &Expr) -> Option<(i64, i64)> {
        let (low, high) = self.scope.pinned.span(time)?;
        let year = |micros| {
            let year = row::apply(&Function::DatePart { field }, &[Some(Datum::Timestamp(micros))]);
            if let Some(Datum::Int(year)) = year { Some(year) } else { None }
        };
        Some((year(low)?, year(high)?))
    }

    /// The starts of units that hold the times from `low` to `high`.
    fn units(&mut self, unit: DateUnit, low: i64, high: i64) -> Result<bool, Stopped> {
        let mut start = truncated(unit, low);
        while let Some(micros) = start.filter(|start| *start <= high && low <= high) {
            self.push(KeyValue::Timestamp(micros))?;
            start = next_unit(unit, micros);
        }
        Ok(true)
    }

    fn span(&mut self, low: i64, high: i64) -> Result<bool, Stopped> {
        for int in low..=high {
            self.push(KeyValue::Int(int))?;
        }
        Ok(true)
    }

    /// The results of a function for all values of its arguments, NULL among them; the first argument
    /// changes last.
    fn mapped(&mut self, function: &Function, of: &[Expr]) -> Result<bool, Stopped> {
        let Some(lists) = self.lists(of)? else { return Ok(false) };
        let choices: Vec<Vec<Option<Datum<'_>>>> =
            of.iter().zip(&lists).map(|(part, list)| choices(part, list)).collect();
        let count = choices.iter().try_fold(1usize, |count, part| count.checked_mul(part.len()));
        let count = count.filter(|count| *count <= DOMAIN_TRIALS_MAX).ok_or(Stopped::TooLarge)?;
        let mut arguments: Vec<Option<Datum<'_>>> = vec![None; choices.len()];
        for index in 0..count {
            self.trials += 1;
            if self.trials > DOMAIN_TRIALS_MAX {
                return Err(Stopped::TooLarge);
            }
            let mut rest = index;
            for (argument, part) in arguments.iter_mut().zip(&choices).rev() {
                *argument = part.get(rest % part.len()).cloned().flatten();
                rest /= part.len();
            }
            let bytes = arguments.iter().map(bytes);
            let bytes = bytes.fold(function.constant_bytes(), usize::saturating_add);
            self.scope.work.take_value(bytes)?;
            let Some(result) = row::apply(function, &arguments) else { continue };
            let Some(value) = key_value(result) else { return Ok(false) };
            self.insert(value)?;
        }
        Ok(true)
    }

    /// The values of each argument but constants, which have none here; `None` when one's are not known.
    fn lists(&mut self, of: &[Expr]) -> Result<Option<Vec<Vec<KeyValue>>>, Stopped> {
        let mut lists = Vec::new();
        for part in of {
            lists.push(match part {
                Expr::Literal { .. } | Expr::Null { .. } => Vec::new(),
                _ => {
                    let mut inner = Domain::new(self.scope);
                    inner.trials = self.trials;
                    if !inner.add(part)? {
                        return Ok(None);
                    }
                    self.trials = inner.trials;
                    inner.values
                }
            });
        }
        Ok(Some(lists))
    }

    fn bools(&mut self) -> Result<bool, Stopped> {
        self.push(KeyValue::Bool(false))?;
        self.push(KeyValue::Bool(true))?;
        Ok(true)
    }

    fn push(&mut self, value: KeyValue) -> Result<(), Stopped> {
        let text_bytes = if let KeyValue::Text(text) = &value { text.len() } else { 0 };
        self.scope.work.take_value(text_bytes)?;
        self.insert(value)
    }

    /// Adds a value whose work is counted already.
    fn insert(&mut self, value: KeyValue) -> Result<(), Stopped> {
        if self.seen.contains(&value) {
            return Ok(());
        }
        if let KeyValue::Text(text) = &value {
            self.bytes = self.bytes.saturating_add(text.len());
        }
        if self.values.len() >= DOMAIN_VALUES_MAX || self.bytes > DOMAIN_BYTES_MAX {
            return Err(Stopped::TooLarge);
        }
        self.seen.insert(value.clone());
        self.values.push(value);
        Ok(())
    }
}

/// What an argument can be: a constant, or each of its values and NULL.
fn choices<'v>(part: &'v Expr, list: &'v [KeyValue]) -> Vec<Option<Datum<'v>>> {
    match part {
        Expr::Literal { value } => vec![Some(value.datum())],
        Expr::Null { .. } => vec![None],
        _ => list.iter().map(|value| Some(datum(value))).chain([None]).collect(),
    }
}

fn datum(value: &KeyValue) -> Datum<'_> {
    match value {
        KeyValue::Text(text) => Datum::Text(text.as_str().into()),
        KeyValue::Int(int) => Datum::Int(*int),
        KeyValue::Bool(bool) => Datum::Bool(*bool),
        KeyValue::Timestamp(micros) => Datum::Timestamp(*micros),
    }
}

/// The key value that a result is, when it can be one.
fn key_value(datum: Datum<'_>) -> Option<KeyValue> {
    match datum {
        Datum::Int(int) => Some(KeyValue::Int(int)),
        Datum::Text(text) => Some(KeyValue::Text(text.into_owned())),
        Datum::Bool(bool) => Some(KeyValue::Bool(bool)),
        Datum::Timestamp(micros) => Some(KeyValue::Timestamp(micros)),
        Datum::Float(_) => None,
    }
}

/// Bytes of an argument: a list of many numbers is as much to read as a text.
fn bytes(argument: &Option<Datum<'_>>) -> usize {
    let text = if let Some(Datum::Text(text)) = argument { text.len() } else { 0 };
    size_of::<i64>().saturating_add(text)
}
