//! Numbers as people read them: as many digits as their error supports, thousands set apart. Ends
//! of intervals and errors round outward, so that what is shown promises no more than what was found.

use crate::cell::Estimate;

/// Significant digits of a shown error.
const ERROR_DIGITS: i32 = 2;
/// Significant digits of a figure without error.
const EXACT_DIGITS: i32 = 6;
/// Numbers from here on are shown in scientific notation.
const PLAIN_MAX: f64 = 1e15;
/// Finest decimal place shown.
const PLACE_MIN: i32 = -12;
/// A quotient this close to a whole number is that number: relative to itself, as its own error is.
const WHOLE_WITHIN: f64 = 1e-9;
/// But no further off than this: to a large quotient every number would be close, and no end would round outward.
const WHOLE_WITHIN_MAX: f64 = 1e-3;

/// An estimate's four numbers, as shown.
pub(crate) struct Shown {
    pub(crate) value: String,
    pub(crate) plus_minus: String,
    pub(crate) low: String,
    pub(crate) high: String,
}

impl Shown {
    /// Rounds `estimate` to two digits of its error, and no finer than the decimal place `finest`: 0 for whole
    /// numbers, -1 for tenths.
    pub(crate) fn new(estimate: &Estimate, finest: Option<i32>) -> Self {
        let place = place(estimate, finest);
        Self {
            value: at_place(estimate.value, place, f64::round),
            plus_minus: at_place(estimate.plus_minus, place, f64::ceil),
            low: at_place(estimate.low, place, f64::floor),
            high: at_place(estimate.high, place, f64::ceil),
        }
    }

    /// `1,750 ± 24`.
    pub(crate) fn with_error(&self) -> String {
        format!("{} ± {}", self.value, self.plus_minus)
    }
}

/// A number without an error, no finer than a decimal place.
pub(crate) fn exact_text(value: f64, finest: Option<i32>) -> String {
    at_place(value, exact_place(value, finest), f64::round)
}

/// One error alone, rounded outward: `24`.
pub(crate) fn error_text(error: f64) -> String {
    at_place(error, error_place(error), f64::ceil)
}

/// A whole number with thousands set apart.
pub(crate) fn grouped(number: f64) -> String {
    at_place(number, 0, f64::floor)
}

fn place(estimate: &Estimate, finest: Option<i32>) -> i32 {
    if estimate.plus_minus > 0.0 {
        let place = error_place(estimate.plus_minus);
        return finest.map_or(place, |finest| place.max(finest));
    }
    exact_place(estimate.value, finest)
}

fn exact_place(value: f64, finest: Option<i32>) -> i32 {
    let place = if value == 0.0 { 0 } else { (magnitude(value) - EXACT_DIGITS + 1).min(0) };
    finest.map_or(place, |finest| place.max(finest))
}

fn error_place(error: f64) -> i32 {
    if error > 0.0 { (magnitude(error) - ERROR_DIGITS + 1).max(PLACE_MIN) } else { 0 }
}

/// The decimal place of the first digit of a number that is not zero.
fn magnitude(number: f64) -> i32 {
    number.abs().log10().floor() as i32
}

fn at_place(number: f64, place: i32, round: fn(f64) -> f64) -> String {
    let place = place.max(PLACE_MIN);
    if number.abs() >= PLAIN_MAX {
        return format!("{number:.3e}");
    }
    // Powers with a positive exponent are exact, so 0.3 at place -1 is 0.3 and not 0.30000000000000004.
    let scale = 10f64.powi(place.abs());
    let quotient = if place >= 0 { number / scale } else { number * scale };
    let near = quotient.round();
    let within = (WHOLE_WITHIN * quotient.abs().max(1.0)).min(WHOLE_WITHIN_MAX);
    let is_whole = (quotient - near).abs() <= within;
    let rounded = if is_whole { near } else { round(quotient) };
    let shown = if place >= 0 { rounded * scale } else { rounded / scale };
    let decimals = usize::try_from(-place).unwrap_or(0);
    group_thousands(&format!("{shown:.decimals$}"))
}

fn group_thousands(plain: &str) -> String {
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (digits, String::new()),
    };
    let is_zero = digits.chars().all(|c| c == '0' || c == '.');
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if is_zero { "" } else { sign };
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: f64, half: f64, whole: bool) -> String {
        shown_to(value, half, whole.then_some(0))
    }

    fn shown_to(value: f64, half: f64, finest: Option<i32>) -> String {
        let shown = Shown::new(&Estimate::new(value, value - half, value + half).unwrap(), finest);
        format!("{} ± {} ({} to {})", shown.value, shown.plus_minus, shown.low, shown.high)
    }

    #[test]
    fn digits_follow_the_error() {
        assert_eq!(shown(1_753.0, 24.0, true), "1,753 ± 24 (1,729 to 1,777)");
        assert_eq!(shown(1_234_567.0, 2_345.0, true), "1,234,600 ± 2,400 (1,232,200 to 1,237,000)");
        assert_eq!(shown(12.0, 3.0, true), "12 ± 3 (9 to 15)");
        assert_eq!(shown(-12.3456, 0.0123, false), "-12.346 ± 0.013 (-12.358 to -12.333)");
        assert_eq!(shown(0.31, 0.1, false), "0.31 ± 0.10 (0.21 to 0.41)");
        assert_eq!(shown(-0.001, 5.0, false), "0.0 ± 5.0 (-5.1 to 5.0)");
        assert_eq!(shown(42.0, 0.0, true), "42 ± 0 (42 to 42)");
        assert_eq!(shown(0.0, 0.0, false), "0 ± 0 (0 to 0)");
        assert_eq!(shown(1.0 / 3.0, 0.0, false).split(' ').next(), Some("0.333333"));
        assert_eq!(shown(1e38, 1e30, true), "1.000e38 ± 1.000e30 (1.000e38 to 1.000e38)");
        // Ends round outward however large they are.
        assert_eq!(
            shown(1_200_000_000.6, 50.0, true),
            "1,200,000,001 ± 50 (1,199,999,950 to 1,200,000,051)"
        );
        assert_eq!(
            shown(-1_200_000_000.6, 50.0, true),
            "-1,200,000,001 ± 50 (-1,200,000,051 to -1,199,999,950)"
        );
        // Rounded by the question: no finer than it asks.
        assert_eq!(shown_to(17.3, 0.2, Some(-1)), "17.3 ± 0.2 (17.1 to 17.5)");
        assert_eq!(shown_to(17.3, 0.0, Some(-1)), "17.3 ± 0.0 (17.3 to 17.3)");
        assert_eq!(shown_to(12_300.0, 100.0, Some(2)), "12,300 ± 100 (12,200 to 12,400)");
        assert_eq!(
            (exact_text(2.5, None), exact_text(0.0, Some(-1))),
            ("2.50000".into(), "0".into())
        );
    }

    #[test]
    fn extremes_stay_short_and_finite() {
        for value in [f64::MAX / 4.0, -f64::MAX / 4.0, f64::MIN_POSITIVE, 0.0, i128::MAX as f64] {
            for half in [0.0, f64::MIN_POSITIVE, 1.0, f64::MAX / 4.0] {
                let text = shown(value, half, false);
                assert!(
                    text.len() < 120 && !text.contains("NaN") && !text.contains("inf"),
                    "{text}"
                );
            }
        }
    }
}
