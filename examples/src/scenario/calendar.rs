//! The two seasons, the months of arrival, and the text of a time; all UTC, no leap seconds. It
//! must never read a clock.

/// Microseconds in a second.
pub const MICROS_PER_S: i64 = 1_000_000;
/// Seconds in a day.
pub const S_PER_DAY: i64 = 86_400;

/// A stretch of time, end excluded, in seconds since 1970-01-01 UTC, with its ends as SQL reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Season {
    /// First second.
    pub start_s: i64,
    /// First second after it.
    pub end_s: i64,
    /// First day, as `YYYY-MM-DD`.
    pub start: &'static str,
    /// First day after it, as `YYYY-MM-DD`.
    pub end: &'static str,
}

/// Season A: January to March 2024.
pub const SEASON_A: Season =
    Season { start_s: 1_704_067_200, end_s: 1_711_929_600, start: "2024-01-01", end: "2024-04-01" };

/// Season B: July to September 2024.
pub const SEASON_B: Season =
    Season { start_s: 1_719_792_000, end_s: 1_727_740_800, start: "2024-07-01", end: "2024-10-01" };

/// First second with an event whose clock is right: 2023-12-15.
pub const EVENTS_START_S: i64 = 1_702_598_400;
/// First second after the last event whose clock is right: 2024-10-15.
pub const EVENTS_END_S: i64 = 1_728_950_400;

/// The months in which rows arrive, in order; also the values of the Hive partition.
pub const MONTHS: [&str; 11] = [
    "2023-12", "2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-06", "2024-07",
    "2024-08", "2024-09", "2024-10",
];

/// Ends of [`MONTHS`] but the last, in seconds since 1970.
const MONTH_ENDS_S: [i64; 10] = [
    1_704_067_200,
    1_706_745_600,
    1_709_251_200,
    1_711_929_600,
    1_714_521_600,
    1_717_200_000,
    1_719_792_000,
    1_722_470_400,
    1_725_148_800,
    1_727_740_800,
];

/// Index into [`MONTHS`] of a second between [`EVENTS_START_S`] and [`EVENTS_END_S`]; others go
/// to the first or the last month.
pub fn month_of(second: i64) -> usize {
    MONTH_ENDS_S.partition_point(|end| *end <= second)
}

/// Appends a second of the years 1970 to 2099 as `YYYY-MM-DD HH:MM:SS`; earlier and later ones are
/// moved to that span.
pub fn push_time(text: &mut String, second: i64) {
    let second = second.clamp(0, 130 * 366 * S_PER_DAY);
    let (day, rest) = (second / S_PER_DAY, second % S_PER_DAY);
    let (year, month, day) = date_of(day);
    push_digits(text, year, 4);
    text.push('-');
    push_digits(text, month, 2);
    text.push('-');
    push_digits(text, day, 2);
    text.push(' ');
    push_digits(text, rest / 3_600, 2);
    text.push(':');
    push_digits(text, rest / 60 % 60, 2);
    text.push(':');
    push_digits(text, rest % 60, 2);
}

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian calendar, ISO 8601).
fn date_of(day: i64) -> (i64, i64, i64) {
    let mut year = 1970 + day / 366;
    while days_before(year + 1) <= day {
        year += 1;
    }
    let mut left = day - days_before(year);
    let february = days_before(year + 1) - days_before(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

/// Days from 1970-01-01 to the first day of `year`.
fn days_before(year: i64) -> i64 {
    let leap_days = |last: i64| last / 4 - last / 100 + last / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn push_digits(text: &mut String, number: i64, width: u32) {
    let mut scale = 10_i64.pow(width - 1);
    while scale > 0 {
        let digit = (number / scale % 10) as u8;
        text.push(char::from(b'0' + digit));
        scale /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(second: i64) -> String {
        let mut text = String::new();
        push_time(&mut text, second);
        text
    }

    #[test]
    fn times_read_as_published_epochs() {
        assert_eq!(text_of(0), "1970-01-01 00:00:00");
        assert_eq!(text_of(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(text_of(1_705_326_310), "2024-01-15 13:45:10");
        assert_eq!(text_of(1_735_689_599), "2024-12-31 23:59:59");
        assert_eq!(text_of(4_102_444_799), "2099-12-31 23:59:59");
        assert_eq!(text_of(i64::MIN), "1970-01-01 00:00:00");
    }

    #[test]
    fn seasons_and_months_agree_with_the_calendar() {
        for season in [SEASON_A, SEASON_B] {
            assert_eq!(text_of(season.start_s), format!("{} 00:00:00", season.start));
            assert_eq!(text_of(season.end_s), format!("{} 00:00:00", season.end));
        }
        for second in (EVENTS_START_S..EVENTS_END_S).step_by(43_200) {
            assert_eq!(MONTHS[month_of(second)], &text_of(second)[..7]);
        }
    }
}
