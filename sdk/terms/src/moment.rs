//! Timestamps as dates and clock times of the proleptic Gregorian calendar, over all of int64's
//! microseconds. It knows no time zone and no leap second, and must never ask a clock.

use std::fmt;

/// Microseconds of a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// Microseconds since 1970-01-01 00:00, shown as `2019-07-01`, `2019-07-01 12:00:00` or with
/// microseconds where there are any. Years have at least four digits, those before year 0 a minus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

/// A date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year; year 0 is 1 BC.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
}

impl Moment {
    /// The day, counted from 1970-01-01.
    pub fn day_number(self) -> i64 {
        self.0.div_euclid(DAY_MICROS)
    }

    /// Microseconds since its midnight.
    pub fn day_micros(self) -> i64 {
        self.0.rem_euclid(DAY_MICROS)
    }

    /// Its date.
    pub fn civil(self) -> Civil {
        Civil::of_day(self.day_number())
    }
}

impl Civil {
    /// The date of a day counted from 1970-01-01, for every day a timestamp can lie on.
    ///
    /// Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2014), `civil_from_days`: years begin in
    /// March, so that the leap day is the last one, and repeat every 400 years, which are 146,097 days.
    pub fn of_day(day_number: i64) -> Self {
        let day = day_number.saturating_add(719_468);
        let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // Both lie in their calendar ranges by the arithmetic above.
        Self { year, month: month as u8, day: day as u8 }
    }

    /// Its day counted from 1970-01-01 (Hinnant, `days_from_civil`). `None` beyond int64.
    pub fn day_number(self) -> Option<i64> {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = self.year.checked_sub(i64::from(month <= 2))?;
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let march_month = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * march_month + 2) / 5 + day - 1;
        let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        era.checked_mul(146_097)?.checked_add(of_era)?.checked_sub(719_468)
    }

    /// Days of its month.
    pub fn month_days(self) -> u8 {
        let is_leap = self.year.rem_euclid(4) == 0
            && (self.year.rem_euclid(100) != 0 || self.year.rem_euclid(400) == 0);
        match self.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day } = self.civil();
        let sign = if year < 0 { "-" } else { "" };
        write!(f, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())?;
        let micros = self.day_micros();
        if micros == 0 {
            return Ok(());
        }
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        write!(f, " {:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
        if micros == 0 { Ok(()) } else { write!(f, ".{micros:06}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_each_others_inverse_over_all_timestamps() {
        let ends = [i64::MIN, i64::MAX].map(|micros| Moment(micros).day_number());
        let near =
            (-1_000..1_000).chain((ends[0]..).take(1_000)).chain((ends[1] - 999..).take(1_000));
        let far = (0..20_000).map(|i| ends[0] + i * (ends[1] / 10_000));
        for day in near.chain(far) {
            let date = Civil::of_day(day);
            assert_eq!(date.day_number(), Some(day));
            assert!((1..=12).contains(&date.month));
            assert!((1..=date.month_days()).contains(&date.day), "{date:?}");
        }
        let leap = Civil { year: 2020, month: 2, day: 29 };
        assert_eq!(leap.day_number().map(Civil::of_day), Some(leap));
        assert_eq!(leap.day_number(), Some(18_321));
        assert_eq!(Civil { year: i64::MAX, month: 1, day: 1 }.day_number(), None);
        assert_eq!(Civil { year: i64::MIN, month: 1, day: 1 }.day_number(), None);
    }

    #[test]
    fn moments_are_shown_as_people_write_them() {
        for (micros, shown) in [
            (0, "1970-01-01"),
            (1_561_939_200_000_000, "2019-07-01"),
            (1_561_982_400_000_000, "2019-07-01 12:00:00"),
            (-1, "1969-12-31 23:59:59.999999"),
            (i64::MAX, "294247-01-10 04:00:54.775807"),
            (i64::MIN, "-290308-12-21 19:59:05.224192"),
        ] {
            assert_eq!(Moment(micros).to_string(), shown);
        }
    }
}
