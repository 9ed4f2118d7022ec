//! Constants as they are written: numbers, texts, times. A constant that would not survive exactly
//! as an int64, a finite float64 or a microsecond must be refused, never rounded silently away.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{FloatBits, IntText, Literal};
use crate::row::parse_time;
use sqlparser::ast::{DataType, TimezoneInfo, TypedString, Value};

/// Length of a date as it is written.
const DATE_BYTES: usize = "2019-07-01".len();
/// Length of a time without seconds as it is written.
const MINUTE_BYTES: usize = "2019-07-01 10:00".len();

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

/// `TIMESTAMP '2019-07-01 10:00:00.25'`, without a zone, or `DATE '2019-07-01'`, which is its midnight.
/// Errors on every other typed text.
pub(crate) fn timestamp(typed: &TypedString, place: Place) -> Result<Literal, PlanError> {
    let is_date = typed.data_type == DataType::Date;
    let without_zone = matches!(
        typed.data_type,
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
    );
    let (true, false, Value::SingleQuotedString(text)) =
        (without_zone || is_date, typed.uses_odbc_syntax, &typed.value.value)
    else {
        return Err(PlanError::refused(Construct::TypedText, place));
    };
    if is_date && text.len() != DATE_BYTES {
        return Err(PlanError::Timestamp { text: excerpt(text), place });
    }
    time_in(text, place)
}

/// The time a text of the question spells, seconds left out or not. Errors on any other text.
pub(crate) fn time_in(text: &str, place: Place) -> Result<Literal, PlanError> {
    // Values of rows are read by the stricter rule, which every node knows.
    let whole = (text.len() == MINUTE_BYTES).then(|| format!("{text}:00"));
    let micros = parse_time(whole.as_deref().unwrap_or(text));
    let micros = micros.ok_or_else(|| PlanError::Timestamp { text: excerpt(text), place })?;
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
    fn a_time_of_the_question_may_leave_out_seconds_and_nothing_else() {
        let read = |text: &str| time_in(text, Place::default());
        let ten = Ok(Literal::Timestamp(IntText(1_561_975_200_000_000)));
        assert_eq!(read("2019-07-01 10:00"), ten);
        assert_eq!(read("2019-07-01T10:00"), ten);
        assert_eq!(read("2019-07-01 10:00:00"), ten);
        for bad in ["2019-07-01 10", "2019-07-01 24:00", "2019-07-01 1:000", "2019-07-01 10:0", ""]
        {
            assert!(matches!(read(bad), Err(PlanError::Timestamp { .. })), "{bad:?}");
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
