//! Positive exact rationals, in lowest terms: scales and variances of noise. A `Ratio` that exists
//! has a nonzero denominator, so the samplers need no check of their own.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// `numerator / denominator`, both below 2^127, in lowest terms, denominator at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ratio {
    numerator: u128,
    denominator: u128,
}

/// Why two numbers are not a usable ratio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a ratio: write `numerator/denominator`, both whole, the second at least 1")]
pub struct NotARatio(String);

impl Ratio {
    /// Reduces `numerator / denominator`. Errors when the denominator is 0 or a part is 2^127 or more.
    pub fn new(numerator: u128, denominator: u128) -> Result<Self, NotARatio> {
        if denominator == 0 || numerator >> 127 != 0 || denominator >> 127 != 0 {
            return Err(NotARatio(format!("{numerator}/{denominator}")));
        }
        let divisor = gcd(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// The numerator, in lowest terms.
    pub const fn numerator(self) -> u128 {
        self.numerator
    }

    /// The denominator, in lowest terms, at least 1.
    pub const fn denominator(self) -> u128 {
        self.denominator
    }

    /// The nearest float: for error bars and display only, never for a release or a charge.
    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

impl FromStr for Ratio {
    type Err = NotARatio;
    fn from_str(text: &str) -> Result<Self, NotARatio> {
        let wrong = || NotARatio(text.chars().take(90).collect());
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let (numerator, denominator) = text.split_once('/').ok_or_else(wrong)?;
        if !digits(numerator) || !digits(denominator) {
            return Err(wrong());
        }
        Self::new(
            numerator.parse().map_err(|_| wrong())?,
            denominator.parse().map_err(|_| wrong())?,
        )
    }
}

impl TryFrom<String> for Ratio {
    type Error = NotARatio;
    fn try_from(text: String) -> Result<Self, NotARatio> {
        text.parse()
    }
}

impl From<Ratio> for String {
    fn from(ratio: Ratio) -> Self {
        ratio.to_string()
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_in_lowest_terms_or_refused() {
        assert_eq!(Ratio::new(6, 4).unwrap().to_string(), "3/2");
        assert_eq!(Ratio::new(0, 4).unwrap().to_string(), "0/1");
        assert!(Ratio::new(1, 0).is_err());
        assert!(Ratio::new(u128::MAX, 1).is_err());
        for bad in ["", "1", "1/", "/1", "-1/2", "1/-2", "1/0", "1.5/2", "+1/2", "1//2"] {
            assert!(bad.parse::<Ratio>().is_err(), "{bad:?} must be refused");
        }
    }
}
