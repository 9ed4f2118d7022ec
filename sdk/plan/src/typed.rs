//! Expressions with their types, and values made one type. Only whole numbers become floats, and constant
//! texts beside times become times; no other conversion may be made for the reader of a query.

use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::expr::{Expr, FloatBits, Literal};
use crate::literal::time_in;
use cloister_terms::ColumnType;

/// A lowered expression with its type and place.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub expr: Expr,
    pub column_type: ColumnType,
    pub place: Place,
}

impl Typed {
    /// The condition it is. Errors when it is of another type.
    pub fn boolean(self) -> Result<Expr, PlanError> {
        if self.column_type == ColumnType::Bool {
            return Ok(self.expr);
        }
        Err(self.wrong("a condition", "compare it with something"))
    }

    /// The float it is or becomes. Errors when it is no number.
    pub fn float(self) -> Result<Expr, PlanError> {
        match self.column_type {
            ColumnType::Float64 => Ok(self.expr),
            ColumnType::Int64 => Ok(match &self.expr {
                Expr::Literal { value } => value
                    .number()
                    .and_then(FloatBits::new)
                    .map_or(self.expr, |float| Expr::literal(Literal::Float(float))),
                _ => Expr::ToFloat { of: Box::new(self.expr) },
            }),
            _ => Err(self.wrong("a number", "use number columns and number constants")),
        }
    }

    /// The time that a constant text spells; any other value as it is. Errors on a text that spells none.
    fn timed(self) -> Result<Self, PlanError> {
        let Expr::Literal { value: Literal::Text(text) } = &self.expr else { return Ok(self) };
        let expr = Expr::literal(time_in(text, self.place)?);
        Ok(Self { expr, column_type: ColumnType::Timestamp, place: self.place })
    }

    /// The value of exactly that type; a constant text is a time where one is wanted. Errors when it is of
    /// another.
    pub fn exactly(self, wanted: ColumnType) -> Result<Expr, PlanError> {
        if self.column_type == wanted {
            return Ok(self.expr);
        }
        if wanted == ColumnType::Timestamp && self.is_text_constant() {
            return self.timed().map(|typed| typed.expr);
        }
        Err(match wanted {
            ColumnType::Text => self.wrong("a text", "write CAST(x AS TEXT)"),
            ColumnType::Timestamp => {
                self.wrong("a time", "write TIMESTAMP '2019-07-01', or CAST(x AS TIMESTAMP)")
            }
            ColumnType::Int64 => self.wrong("a whole number", "write CAST(x AS BIGINT)"),
            ColumnType::Float64 => self.wrong("a number", "write CAST(x AS DOUBLE)"),
            ColumnType::Bool => self.wrong("a condition", "compare it with something"),
        })
    }

    fn is_text_constant(&self) -> bool {
        matches!(self.expr, Expr::Literal { value: Literal::Text(_) })
    }

    /// Whether it is int64 or float64.
    pub fn is_number(&self) -> bool {
        matches!(self.column_type, ColumnType::Int64 | ColumnType::Float64)
    }

    pub(crate) fn wrong(&self, wanted: &'static str, instead: &'static str) -> PlanError {
        PlanError::Type { found: self.column_type, wanted, place: self.place, instead }
    }
}

/// Makes values one type: all the same, numbers, which become floats, or times with constant texts, which
/// become times. Errors when they differ.
pub(crate) fn unify(values: Vec<Typed>) -> Result<(Vec<Expr>, ColumnType), PlanError> {
    let has_times = values.iter().any(|value| value.column_type == ColumnType::Timestamp);
    let values: Vec<Typed> = match has_times {
        true => values.into_iter().map(Typed::timed).collect::<Result<_, _>>()?,
        false => values,
    };
    let Some(first) = values.first().map(|value| value.column_type) else {
        return Err(PlanError::refused(Construct::Argument, Place::default()));
    };
    let is_number = |t: ColumnType| matches!(t, ColumnType::Int64 | ColumnType::Float64);
    if values.iter().all(|value| value.column_type == first) {
        return Ok((values.into_iter().map(|value| value.expr).collect(), first));
    }
    if let Some(other) = values.iter().find(|value| {
        value.column_type != first && !(is_number(first) && is_number(value.column_type))
    }) {
        let instead =
            "compare and combine values of one type; write times as TIMESTAMP '2019-07-01'";
        return Err(other.wrong("a value of the type beside it", instead));
    }
    let floats = values.into_iter().map(Typed::float).collect::<Result<_, _>>()?;
    Ok((floats, ColumnType::Float64))
}

/// Makes two values one type.
pub(crate) fn unify_pair(left: Typed, right: Typed) -> Result<(Expr, Expr, ColumnType), PlanError> {
    let place = right.place;
    let (values, column_type) = unify(vec![left, right])?;
    let [left, right] = <[Expr; 2]>::try_from(values)
        .map_err(|_| PlanError::refused(Construct::Argument, place))?;
    Ok((left, right, column_type))
}

/// Makes the results of a CASE one type, NULL among them.
pub(crate) fn unify_results(
    results: Vec<Option<Typed>>,
) -> Result<(Vec<Expr>, ColumnType), PlanError> {
    let is_value: Vec<bool> = results.iter().map(Option::is_some).collect();
    let (values, column_type) = match results.into_iter().flatten().collect::<Vec<_>>() {
        none if none.is_empty() => {
            return Err(PlanError::refused(Construct::NullValue, Place::default()));
        }
        values => unify(values)?,
    };
    let mut values = values.into_iter();
    let filled = is_value.into_iter().map(|is_value| {
        let value = if is_value { values.next() } else { None };
        value.unwrap_or(Expr::Null { column_type })
    });
    Ok((filled.collect(), column_type))
}
