//! Units, fields and intervals as they are written. An interval is a constant of whole months and
//! microseconds; anything else must be refused, since it would mean another length in another system.

use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::expr::IntText;
use crate::function::{DateField, DateUnit, Function};
use crate::lower_calls::Called;
use cloister_terms::ColumnType;
use cloister_terms::moment::DAY_MICROS;
use sqlparser::ast::{DateTimeField, Expr as Ast, Interval, Value};

/// The unit of that name, in any case.
pub(crate) fn date_unit(name: &str) -> Option<DateUnit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => DateUnit::Year,
        "quarter" => DateUnit::Quarter,
        "month" => DateUnit::Month,
        "week" => DateUnit::Week,
        "day" => DateUnit::Day,
        "hour" => DateUnit::Hour,
        "minute" => DateUnit::Minute,
        "second" => DateUnit::Second,
        _ => return None,
    })
}

/// The function that reads a field of that name, with its type.
pub(crate) fn date_field(name: &str, by: Called<'_>) -> Result<(Function, ColumnType), PlanError> {
    let field = match name.to_ascii_lowercase().as_str() {
        "epoch" => return Ok((Function::Epoch, ColumnType::Float64)),
        "year" => DateField::Year,
        "isoyear" => DateField::IsoYear,
        "quarter" => DateField::Quarter,
        "month" => DateField::Month,
        "week" => DateField::Week,
        "day" => DateField::Day,
        "dow" => DateField::DayOfWeek,
        "isodow" => DateField::IsoDayOfWeek,
        "doy" => DateField::DayOfYear,
        "hour" => DateField::Hour,
        "minute" => DateField::Minute,
        "second" => DateField::Second,
        _ => {
            return Err(by.takes(
                "year, isoyear, quarter, month, week, day, dow, isodow, doy, hour, minute, second or epoch of a time",
            ));
        }
    };
    Ok((Function::DatePart { field }, ColumnType::Int64))
}

/// Adds an interval, or takes it away.
pub(crate) fn shift(
    interval: &Interval,
    is_minus: bool,
    place: Place,
) -> Result<Function, PlanError> {
    let refused = || PlanError::refused(Construct::Interval, place);
    let (months, micros) = length(interval).ok_or_else(refused)?;
    let sign = if is_minus { -1 } else { 1 };
    let months = months.checked_mul(sign).and_then(|months| i32::try_from(months).ok());
    let micros = micros.checked_mul(sign).map(IntText);
    match (months, micros) {
        (Some(months), Some(micros)) => Ok(Function::AddInterval { months, micros }),
        _ => Err(refused()),
    }
}

/// Months and microseconds of `'3' MONTH`, `3 MONTH` or `'1 month 2 days'`.
fn length(interval: &Interval) -> Option<(i64, i64)> {
    let Interval {
        value,
        leading_field,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    } = interval
    else {
        return None;
    };
    let Ast::Value(value) = value.as_ref() else { return None };
    let text = match &value.value {
        Value::SingleQuotedString(text) | Value::Number(text, false) => text,
        _ => return None,
    };
    match leading_field {
        Some(field) => unit_length(text.trim_matches(' ').parse().ok()?, &field_name(field)?),
        None => {
            let mut words = text.split(' ').filter(|word| !word.is_empty());
            let mut total = None;
            while let Some(number) = words.next() {
                let (months, micros) = unit_length(number.parse().ok()?, words.next()?)?;
                let (more_months, more_micros) = total.unwrap_or((0i64, 0i64));
                total = Some((months.checked_add(more_months)?, micros.checked_add(more_micros)?));
            }
            total
        }
    }
}

fn field_name(field: &DateTimeField) -> Option<String> {
    match field {
        DateTimeField::Week(Some(_)) | DateTimeField::Custom(_) => None,
        field => Some(field.to_string()),
    }
}

fn unit_length(number: i64, unit: &str) -> Option<(i64, i64)> {
    let unit = unit.to_ascii_lowercase();
    let (months, micros) = match unit.strip_suffix('s').unwrap_or(&unit) {
        "year" => (12, 0),
        "quarter" => (3, 0),
        "month" => (1, 0),
        "week" => (0, 7 * DAY_MICROS),
        "day" => (0, DAY_MICROS),
        "hour" => (0, 3_600_000_000),
        "minute" => (0, 60_000_000),
        "second" => (0, 1_000_000),
        _ => return None,
    };
    Some((number.checked_mul(months)?, number.checked_mul(micros)?))
}
