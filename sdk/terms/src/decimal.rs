//! Exact decimal numbers as people write them in documents (`0.05`, `-12`, `50000`). No float is
//! ever involved, so what was signed is what is charged.

use std::fmt;

/// A number `mantissa * 10^-scale`, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    mantissa: i128,
    scale: u32,
}

/// Digits a decimal may have in all: a bound of 2^53 steps of 2^-30 has 7 before the point and 30 after.
/// Any 38 fit in i128.
const DIGITS_MAX: usize = 37;

/// Why a text is not a usable decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not of the form `-?digits(.digits)?`.
    #[error("`{0}` is not a plain decimal number: write it like `0.05`, without an exponent")]
    Form(String),
    /// More digits than any unit of Cloister resolves.
    #[error("`{0}` has more than {DIGITS_MAX} digits: write fewer")]
    TooLong(String),
    /// The number is not a multiple of the unit it must be a multiple of.
    #[error("`{text}` is finer than {unit}, the smallest step: write fewer decimals")]
    OffUnit {
        /// The number as written.
        text: String,
        /// The unit, in words.
        unit: &'static str,
    },
    /// The number is below zero where none may be.
    #[error("`{0}` is below zero: write a number from 0 on")]
    Negative(String),
    /// The number does not fit.
    #[error("`{text}` is too large: write at most {max}")]
    TooLarge {
        /// The number as written.
        text: String,
        /// The largest whole number that fits, in words.
        max: &'static str,
    },
}

impl Decimal {
    /// Parses `-?digits(.digits)?`. Errors on anything else, exponents and infinities included.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let shown = || text.chars().take(40).collect::<String>();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let has_bare_point = digits.contains('.') && fraction.is_empty();
        if whole.is_empty() || has_bare_point || !all_digits(whole) || !all_digits(fraction) {
            return Err(DecimalError::Form(shown()));
        }
        if whole.len() + fraction.len() > DIGITS_MAX {
            return Err(DecimalError::TooLong(shown()));
        }
        let magnitude = whole
            .bytes()
            .chain(fraction.bytes())
            .fold(0i128, |sum, b| sum * 10 + i128::from(b - b'0'));
        let scale = u32::try_from(fraction.len()).map_err(|_| DecimalError::TooLong(shown()))?;
        Ok(Self { mantissa: if negative { -magnitude } else { magnitude }, scale })
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// Digits after the point, as written.
    pub fn decimals(self) -> u32 {
        self.scale
    }

    /// The exact count of units `10^-unit_scale` in this number, or `None` when it is not a whole
    /// count or does not fit.
    pub fn in_units(self, unit_scale: u32) -> Option<i128> {
        if unit_scale >= self.scale {
            return self.mantissa.checked_mul(pow10(unit_scale - self.scale)?);
        }
        let divisor = pow10(self.scale - unit_scale)?;
        (self.mantissa % divisor == 0).then_some(self.mantissa / divisor)
    }

    /// The exact count of steps `2^-bits` in this number, or `None` when it lies off that grid.
    pub fn in_steps(self, bits: u8) -> Option<i128> {
        // m 10^-s = (m / 5^s) 2^-s, so m must be a multiple of 5^s: dividing first keeps all in i128.
        let fifths = 5i128.checked_pow(self.scale)?;
        if self.mantissa % fifths != 0 {
            return None;
        }
        let (halves, bits) = (self.mantissa / fifths, u32::from(bits));
        if bits >= self.scale {
            return halves.checked_mul(1i128.checked_shl(bits - self.scale)?);
        }
        let divisor = 1i128.checked_shl(self.scale - bits)?;
        (halves % divisor == 0).then_some(halves / divisor)
    }
}

/// Writes `units * 10^-unit_scale` without trailing zeros.
pub fn format_units(units: i128, unit_scale: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sign = if units < 0 { "-" } else { "" };
    let digits = units.unsigned_abs().to_string();
    let width = unit_scale as usize;
    let padded = format!("{digits:0>w$}", w = width + 1);
    let (whole, fraction) = padded.split_at(padded.len().saturating_sub(width));
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        write!(f, "{sign}{whole}")
    } else {
        write!(f, "{sign}{whole}.{fraction}")
    }
}

fn pow10(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(Decimal::parse("0.05").unwrap().in_units(9), Some(50_000_000));
        assert_eq!(Decimal::parse("-12").unwrap().in_units(0), Some(-12));
        assert_eq!(Decimal::parse("0.5").unwrap().in_steps(1), Some(1));
        assert_eq!(Decimal::parse("0.1").unwrap().in_steps(30), None);
        assert_eq!(Decimal::parse("0.0000000001").unwrap().in_units(9), None);
        for bad in ["", "-", ".5", "5.", "1e3", "NaN", "inf", "1_000", "+1", " 1", "0x1", "1.2.3"] {
            assert!(Decimal::parse(bad).is_err(), "{bad:?} must be refused");
        }
        let nines = |count| Decimal::parse(&"9".repeat(count));
        assert!(matches!(nines(DIGITS_MAX + 1), Err(DecimalError::TooLong(_))));
        assert_eq!(nines(DIGITS_MAX).unwrap().in_units(18), None);
        assert_eq!(nines(DIGITS_MAX).unwrap().in_steps(30), None);
        assert_eq!(nines(DIGITS_MAX).unwrap().in_steps(255), None);
        let finest = format!("0.{}1", "0".repeat(DIGITS_MAX - 2));
        assert_eq!(Decimal::parse(&finest).unwrap().in_steps(30), None);
        assert_eq!(Decimal::parse("-2.50").unwrap().in_steps(1), Some(-5));
        assert_eq!(Decimal::parse("2.50").unwrap().in_steps(0), None);
    }
}
