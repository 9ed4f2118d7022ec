//! Finite numbers of formulas, written as text in one spelling, since a document holds no JSON floats.
//! NaN, infinities and numbers beyond every figure do not exist here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest constant a formula may hold, in absolute value: beyond every sum and every bound.
pub const REAL_MAX: f64 = 1e30;

/// A finite float64 of at most [`REAL_MAX`], never -0; written as the shortest decimal that reads back
/// as the same number.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Real(f64);

/// A number or text that no formula may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a number a formula can use: write a finite one of at most 1e30, without padding"
)]
pub struct NotAReal(String);

impl Real {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// Checks a float. Errors on NaN, infinities and numbers beyond [`REAL_MAX`].
    pub fn new(value: f64) -> Result<Self, NotAReal> {
        if value.is_finite() && value.abs() <= REAL_MAX {
            // Adding 0 turns -0 into 0 and changes nothing else (IEEE 754, section 6.3).
            Ok(Self(value + 0.0))
        } else {
            Err(NotAReal(value.to_string()))
        }
    }

    /// The float.
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Real {}

impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl TryFrom<String> for Real {
    type Error = NotAReal;
    fn try_from(text: String) -> Result<Self, NotAReal> {
        let wrong = || NotAReal(text.chars().take(40).collect());
        let real = text.parse().ok().and_then(|value| Self::new(value).ok()).ok_or_else(wrong)?;
        if real.to_string() == text { Ok(real) } else { Err(wrong()) }
    }
}

impl From<Real> for String {
    fn from(real: Real) -> Self {
        real.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling_and_are_finite() {
        for value in [0.0, 1.5, -43_200.0, 0.1, 1e30, -1e-300, f64::MIN_POSITIVE] {
            let text = Real::new(value).unwrap().to_string();
            assert_eq!(Real::try_from(text).unwrap().value(), value);
        }
        assert_eq!(Real::new(-0.0).unwrap(), Real::ZERO);
        for bad in ["", "1", "1.50", "+1.0", "-0.0", "NaN", "inf", "1e31", "1e999", " 1.0", "1e0"] {
            assert!(Real::try_from(bad.to_owned()).is_err(), "{bad:?} must be refused");
        }
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.1e30] {
            assert!(Real::new(bad).is_err());
        }
    }
}
