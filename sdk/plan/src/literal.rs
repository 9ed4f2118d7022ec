//! Constants as they are written: numbers, texts, times. A constant that would not survive exactly
//! as an int64, a finite float64 or a microsecond must be refused, never rounded silently away.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{FloatBits, IntText, Literal};
use sqlparser::ast::{DataType, TimezoneInfo, TypedString, Value};
use time::{Date, Month, PrimitiveDateTime, Time};

/// A constant, with a minus sign before it or not. NULL is refused: it is no constant.
pub(crate) fn literal(value: &Value, negative: bool, place: Place) -> Result<Literal, PlanError> {
    match value {
        Value::Number(text, false) => number(text, negative, place),
        Value::Number(text, true) => Err(wrong_number(text, place)),
        _ if negative => Err(PlanError::refused(Construct::Operator, place)),
        Value::SingleQuotedString(text) => Ok(Literal::Text(text.clone())),
        Value::Boolean(value) => Ok(Literal::Bool(*value)),
        Value::Null => Err(PlanError::refused(Construct::NullValue, place)),
        Value::Placeholder(_) => Err(PlanError::refused(Construct::Placeholder, place)),
        _ => Err(PlanError::refused(Construct::StringKind, place)),
    }
}

/// `TIMESTAMP '2019-07-01 10:00:00.25'`, without a zone. Errors on every other typed text.
pub(crate) fn timestamp(typed: &TypedString, place: Place) -> Result<Literal, PlanError> {
    let without_zone = matches!(
        typed.data_type,
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
    );
    let (true, false, Value::SingleQuotedString(text)) =
        (without_zone, typed.uses_odbc_syntax, &typed.value.value)
    else {
        return Err(PlanError::refused(Construct::TypedText, place));
    };
    let micros =
        parse_time(text).ok_or_else(|| PlanError::Timestamp { text: excerpt(text), place })?;
    Ok(Literal::Timestamp(IntText(micros)))
}

fn wrong_number(text: &str, place: Place) -> PlanError {
    PlanError::Number { text: excerpt(text), place }
}

fn number(text: &str, negative: bool, place: Place) -> Result<Literal, PlanError> {
    let signed = if negative { format!("-{text}") } else { text.to_owned() };
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let int = signed.parse().map_err(|_| wrong_number(text, place))?;
        return Ok(Literal::int(int));
    }
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    let float = signed.parse::<f64>().ok().filter(|_| is_plain).and_then(FloatBits::new);
    float.map(Literal::Float).ok_or_else(|| wrong_number(text, place))
}

/// Microseconds since 1970 of `YYYY-MM-DD[ HH:MM:SS[.ffffff]]`, `T` for the blank allowed.
fn parse_time(text: &str) -> Option<i64> {
    let (date, time) = match text.get(10..) {
        Some("") | None => (text, None),
        Some(rest) => (text.get(..10)?, Some(rest.strip_prefix([' ', 'T'])?)),
    };
    let date = parse_date(date)?;
    let time = time.map_or(Some(Time::MIDNIGHT), parse_clock)?;
    let nanos = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp_nanos();
    i64::try_from(nanos / 1000).ok()
}

fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let month = Month::try_from(u8::try_from(digits(parts.next()?, 2)?).ok()?).ok()?;
    let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()
}

fn parse_clock(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.splitn(3, ':');
    let mut two = || u8::try_from(digits(parts.next()?, 2)?).ok();
    let (hour, minute, second) = (two()?, two()?, two()?);
    if fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    let micros = digits(&format!("{fraction:0<6}"), 6)?;
    Time::from_hms_micro(hour, minute, second, micros).ok()
}

fn digits(text: &str, width: usize) -> Option<u32> {
    let is_all_digits = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    if is_all_digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_or_refused() {
        assert_eq!(parse_time("1970-01-01"), Some(0));
        assert_eq!(parse_time("1970-01-01 00:00:01.25"), Some(1_250_000));
        assert_eq!(parse_time("2019-07-01T00:00:00"), Some(1_561_939_200_000_000));
        assert_eq!(parse_time("1969-12-31 23:59:59.999999"), Some(-1));
        for bad in [
            "",
            "2019",
            "2019-7-1",
            "2019-02-29",
            "2019-13-01",
            "2019-01-01 ",
            "2019-01-01 24:00:00",
            "2019-01-01 10:00",
            "2019-01-01 10:00:00Z",
            "2019-01-01 10:00:00.",
            "2019-01-0é",
            "2019-01-01 10:00:00.1234567",
            "2019-01-01 10:00:00+01",
            "-001-01-01",
            "+019-01-01",
        ] {
            assert_eq!(parse_time(bad), None, "{bad:?} must be refused");
        }
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        let read = |text: &str, negative| number(text, negative, Place::default());
        assert_eq!(read("9223372036854775808", true), Ok(Literal::int(i64::MIN)));
        assert!(read("9223372036854775808", false).is_err());
        assert_eq!(read("1.50", false), read("15e-1", false));
        assert_eq!(read("0.0", true), read("0.0", false), "-0 is 0");
        for bad in ["1e999", "1_000", "0x10", "1e", ".", "infinity", "nan"] {
            assert!(read(bad, false).is_err(), "{bad:?} must be refused");
        }
    }
}
