//! One type as another. A value that the other type cannot hold, or a text that spells none, is NULL; a
//! cast never fails and never rounds but for float64 to int64.

use super::{Datum, settled};
use cloister_terms::ColumnType;
use cloister_terms::moment::{Civil, DAY_MICROS, Moment};
use std::borrow::Cow;

/// Years a timestamp may have to be written as text, so that what is written can be read.
const YEARS: std::ops::RangeInclusive<i64> = 1..=9999;

/// The value as the other type.
pub(super) fn cast<'a>(of: &Datum<'a>, to: ColumnType) -> Option<Datum<'a>> {
    match (of, to) {
        (Datum::Int(int), ColumnType::Text) => Some(owned(int.to_string())),
        (Datum::Int(int), ColumnType::Bool) => Some(Datum::Bool(*int != 0)),
        (Datum::Float(float), ColumnType::Int64) => whole(*float).map(Datum::Int),
        (Datum::Float(float), ColumnType::Text) => Some(owned(format!("{float:?}"))),
        (Datum::Bool(bool), ColumnType::Int64) => Some(Datum::Int(i64::from(*bool))),
        (Datum::Bool(bool), ColumnType::Text) => Some(owned(bool.to_string())),
        (Datum::Timestamp(micros), ColumnType::Text) => time_text(Moment(*micros)).map(owned),
        (Datum::Text(text), to) => of_text(text.trim_matches(' '), to),
        _ => None,
    }
}

fn owned<'a>(text: String) -> Datum<'a> {
    Datum::Text(Cow::Owned(text))
}

/// To the nearest whole number, ties to even; none beyond int64.
fn whole(float: f64) -> Option<i64> {
    let rounded = libm::rint(float);
    // 2^63 is a float, the largest int64 is not.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
        .contains(&rounded)
        .then_some(rounded as i64)
}

fn of_text<'a>(text: &str, to: ColumnType) -> Option<Datum<'a>> {
    match to {
        ColumnType::Int64 => text.parse().ok().map(Datum::Int),
        ColumnType::Float64 => {
            let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
            settled(text.parse().ok().filter(|_| is_plain)?)
        }
        ColumnType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(Datum::Bool(true)),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(Datum::Bool(false)),
            _ => None,
        },
        ColumnType::Timestamp => parse_time(text).map(Datum::Timestamp),
        ColumnType::Text => None,
    }
}

fn time_text(moment: Moment) -> Option<String> {
    let is_plain = YEARS.contains(&moment.civil().year);
    let at_midnight = if moment.day_micros() == 0 { " 00:00:00" } else { "" };
    is_plain.then(|| format!("{moment}{at_midnight}"))
}

/// Microseconds since 1970 of `YYYY-MM-DD[ HH:MM:SS[.ffffff]]`, `T` for the blank allowed.
pub fn parse_time(text: &str) -> Option<i64> {
    let (date, clock) = match text.get(10..) {
        Some("") | None => (text, None),
        Some(rest) => (text.get(..10)?, Some(rest.strip_prefix([' ', 'T'])?)),
    };
    let clock = clock.map_or(Some(0), parse_clock)?;
    parse_date(date)?.checked_mul(DAY_MICROS)?.checked_add(clock)
}

/// The day counted from 1970.
fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let month = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    let date = Civil { year, month, day };
    let is_date = (1..=12).contains(&month) && (1..=date.month_days()).contains(&day);
    if is_date { date.day_number() } else { None }
}

fn parse_clock(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.splitn(3, ':');
    let mut below = |end: i64| digits(parts.next()?, 2).filter(|number| *number < end);
    let (hour, minute, second) = (below(24)?, below(60)?, below(60)?);
    if fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    let micros = digits(&format!("{fraction:0<6}"), 6)?;
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

fn digits(text: &str, width: usize) -> Option<i64> {
    let is_all_digits = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    if is_all_digits { text.parse().ok() } else { None }
}
