//! Fields, units and intervals of timestamps, over all of int64's microseconds: proleptic Gregorian
//! calendar, no time zone, every day 86,400 seconds. Weeks are those of ISO 8601. What would lie beyond
//! int64 is none; nothing may wrap.

use super::{Datum, settled};
use crate::function::{DateField, DateUnit, Function};
use cloister_terms::moment::{Civil, DAY_MICROS, Moment};

/// A function of one timestamp.
pub(super) fn of_timestamp<'a>(function: &Function, micros: i64) -> Option<Datum<'a>> {
    match function {
        Function::DateTrunc { unit } => truncated(*unit, micros).map(Datum::Timestamp),
        Function::DatePart { field } => Some(Datum::Int(part(*field, Moment(micros)))),
        Function::Epoch => settled(micros as f64 / 1_000_000.0),
        Function::AddInterval { months, micros: more } => {
            added(micros, *months, more.0).map(Datum::Timestamp)
        }
        _ => None,
    }
}

/// The start of the unit a timestamp lies in; `None` before int64.
pub fn truncated(unit: DateUnit, micros: i64) -> Option<i64> {
    let moment = Moment(micros);
    match clock_micros(unit) {
        Some(length) => micros.div_euclid(length).checked_mul(length),
        None => at_midnight(first_day(unit, moment)?),
    }
}

/// The start of the unit after the one a timestamp starts; `None` beyond int64.
pub fn next_unit(unit: DateUnit, micros: i64) -> Option<i64> {
    match unit {
        DateUnit::Year => added(micros, 12, 0),
        DateUnit::Quarter => added(micros, 3, 0),
        DateUnit::Month => added(micros, 1, 0),
        DateUnit::Week => added(micros, 0, 7 * DAY_MICROS),
        _ => micros.checked_add(clock_micros(unit)?),
    }
}

/// How many starts of the unit lie after `from` and not after `to`, less than 0 when `to` is before.
pub(super) fn difference(unit: DateUnit, from: i64, to: i64) -> Option<i64> {
    index(unit, Moment(to)).checked_sub(index(unit, Moment(from)))
}

/// Units since some fixed one.
fn index(unit: DateUnit, moment: Moment) -> i64 {
    let months = || {
        let date = moment.civil();
        // A timestamp's years have six digits at most.
        date.year * 12 + i64::from(date.month) - 1
    };
    match unit {
        DateUnit::Year => moment.civil().year,
        DateUnit::Quarter => months().div_euclid(3),
        DateUnit::Month => months(),
        DateUnit::Week => (moment.day_number() + 3).div_euclid(7),
        _ => moment.0.div_euclid(clock_micros(unit).unwrap_or(DAY_MICROS)),
    }
}

/// Microseconds of the units that are all of one length and start with 1970.
fn clock_micros(unit: DateUnit) -> Option<i64> {
    Some(match unit {
        DateUnit::Year | DateUnit::Quarter | DateUnit::Month | DateUnit::Week => return None,
        DateUnit::Day => DAY_MICROS,
        DateUnit::Hour => 3_600_000_000,
        DateUnit::Minute => 60_000_000,
        DateUnit::Second => 1_000_000,
    })
}

/// The first day of a unit of days.
fn first_day(unit: DateUnit, moment: Moment) -> Option<i64> {
    let Civil { year, month, .. } = moment.civil();
    match unit {
        DateUnit::Year => Civil { year, month: 1, day: 1 }.day_number(),
        DateUnit::Quarter => Civil { year, month: (month - 1) / 3 * 3 + 1, day: 1 }.day_number(),
        DateUnit::Month => Civil { year, month, day: 1 }.day_number(),
        DateUnit::Week => Some(moment.day_number() - (weekday(moment.day_number()) - 1)),
        _ => Some(moment.day_number()),
    }
}

fn at_midnight(day: i64) -> Option<i64> {
    day.checked_mul(DAY_MICROS)
}

/// Monday 1 to Sunday 7; 1970-01-01 was a Thursday.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7) + 1
}

fn part(field: DateField, moment: Moment) -> i64 {
    let day = moment.day_number();
    let date = moment.civil();
    let of_year = |year: i64| {
        let first = Civil { year, month: 1, day: 1 }.day_number();
        first.map_or(0, |first| day - first)
    };
    let seconds = moment.day_micros() / 1_000_000;
    // The ISO year of a day is the year of its week's Thursday.
    let thursday = day - weekday(day) + 4;
    match field {
        DateField::Year => date.year,
        DateField::IsoYear => Civil::of_day(thursday).year,
        DateField::Quarter => i64::from(date.month - 1) / 3 + 1,
        DateField::Month => date.month.into(),
        DateField::Week => {
            let year = Civil::of_day(thursday).year;
            let first = Civil { year, month: 1, day: 1 }.day_number();
            first.map_or(1, |first| (thursday - first) / 7 + 1)
        }
        DateField::Day => date.day.into(),
        DateField::DayOfWeek => weekday(day) % 7,
        DateField::IsoDayOfWeek => weekday(day),
        DateField::DayOfYear => of_year(date.year) + 1,
        DateField::Hour => seconds / 3_600,
        DateField::Minute => seconds / 60 % 60,
        DateField::Second => seconds % 60,
    }
}

/// Months first, the day kept within its month, then microseconds.
fn added(micros: i64, months: i32, more: i64) -> Option<i64> {
    let moment = Moment(micros);
    let shifted = if months == 0 {
        micros
    } else {
        let date = moment.civil();
        let month = date.year * 12 + i64::from(date.month) - 1 + i64::from(months);
        let year = month.div_euclid(12);
        let month = u8::try_from(month.rem_euclid(12) + 1).ok()?;
        let first = Civil { year, month, day: 1 };
        let day = Civil { day: date.day.min(first.month_days()), ..first }.day_number()?;
        at_midnight_with(day, moment.day_micros())?
    };
    shifted.checked_add(more)
}

/// A time of a day; the first day of int64 starts before it.
fn at_midnight_with(day: i64, micros: i64) -> Option<i64> {
    let whole = i128::from(day) * i128::from(DAY_MICROS) + i128::from(micros);
    i64::try_from(whole).ok()
}
