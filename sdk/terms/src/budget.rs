//! Privacy loss in integer units. Pure epsilon, rho of zero-concentrated differential privacy and
//! delta stand in columns of their own and are never converted into one another; sums are checked,
//! so a ledger can only grow or refuse.

use crate::decimal::{Decimal, DecimalError, format_units};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! loss_unit {
    ($(#[$doc:meta])* $name:ident, $scale:literal, $unit:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u64);

        impl $name {
            /// Decimal places of one unit: the number is `units * 10^-UNIT_SCALE`.
            pub const UNIT_SCALE: u32 = $scale;
            /// No loss.
            pub const ZERO: Self = Self(0);

            /// From whole units. Errors beyond i64, so that a store never wraps.
            pub fn from_units(units: u64) -> Result<Self, DecimalError> {
                if units > i64::MAX as u64 {
                    let text = format!("{units} times {}", $unit);
                    return Err(DecimalError::TooLarge { text, max: $max });
                }
                Ok(Self(units))
            }

            /// Whole units.
            pub const fn units(self) -> u64 {
                self.0
            }

            /// The sum, or `None` beyond i64 units.
            pub fn checked_add(self, other: Self) -> Option<Self> {
                self.0.checked_add(other.0).and_then(|units| Self::from_units(units).ok())
            }

            /// `times` this loss, or `None` beyond i64 units.
            pub fn checked_mul(self, times: u64) -> Option<Self> {
                self.0.checked_mul(times).and_then(|units| Self::from_units(units).ok())
            }

            /// What is left of `self` after `spent`; zero when overspent.
            pub fn left_after(self, spent: Self) -> Self {
                Self(self.0.saturating_sub(spent.0))
            }

            /// The nearest float, for display and error bars only.
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / 10f64.powi($scale)
            }
        }

        impl FromStr for $name {
            type Err = DecimalError;
            fn from_str(text: &str) -> Result<Self, DecimalError> {
                let shown = || text.chars().take(40).collect::<String>();
                let too_large = || DecimalError::TooLarge { text: shown(), max: $max };
                let decimal = Decimal::parse(text)?;
                if decimal.is_negative() {
                    return Err(DecimalError::Negative(shown()));
                }
                let units = decimal.in_units($scale).ok_or_else(|| {
                    if decimal.decimals() > $scale {
                        DecimalError::OffUnit { text: shown(), unit: $unit }
                    } else {
                        too_large()
                    }
                })?;
                let units = u64::try_from(units).map_err(|_| too_large())?;
                Self::from_units(units).map_err(|_| too_large())
            }
        }

        impl TryFrom<String> for $name {
            type Error = DecimalError;
            fn try_from(text: String) -> Result<Self, DecimalError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                format_units(i128::from(self.0), $scale, f)
            }
        }
    };
}

loss_unit!(
    /// Pure epsilon (Dwork, McSherry, Nissim, Smith 2006), in units of 10^-9.
    Epsilon, 9, "0.000000001", "9223372036"
);
loss_unit!(
    /// Rho of zero-concentrated differential privacy (Bun, Steinke 2016, definition 1.1), in units of 10^-9.
    Rho, 9, "0.000000001", "9223372036"
);
loss_unit!(
    /// Delta: the probability that a guarantee fails, in units of 10^-18.
    Delta, 18, "0.000000000000000001", "9"
);

/// Privacy loss of one charge: three columns, never converted into one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Pure epsilon.
    pub epsilon: Epsilon,
    /// Zero-concentrated rho.
    pub rho: Rho,
    /// Delta of key thresholding.
    pub delta: Delta,
}

/// Caps of an account, in the same three columns.
pub type Budget = Cost;

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self { epsilon: Epsilon::ZERO, rho: Rho::ZERO, delta: Delta::ZERO };

    /// Column-wise sum, or `None` when a column leaves its range.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            epsilon: self.epsilon.checked_add(other.epsilon)?,
            rho: self.rho.checked_add(other.rho)?,
            delta: self.delta.checked_add(other.delta)?,
        })
    }

    /// Column-wise multiple, or `None` when a column leaves its range.
    pub fn checked_mul(self, times: u64) -> Option<Self> {
        Some(Self {
            epsilon: self.epsilon.checked_mul(times)?,
            rho: self.rho.checked_mul(times)?,
            delta: self.delta.checked_mul(times)?,
        })
    }

    /// Whether every column stays within `cap`.
    pub fn within(self, cap: Budget) -> bool {
        self.epsilon <= cap.epsilon && self.rho <= cap.rho && self.delta <= cap.delta
    }

    /// Column-wise rest of this cap after `spent`.
    pub fn left_after(self, spent: Self) -> Self {
        Self {
            epsilon: self.epsilon.left_after(spent.epsilon),
            rho: self.rho.left_after(spent.rho),
            delta: self.delta.left_after(spent.delta),
        }
    }

    /// Whether every column is zero.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [
            ("epsilon", self.epsilon.to_string(), self.epsilon != Epsilon::ZERO),
            ("rho", self.rho.to_string(), self.rho != Rho::ZERO),
            ("delta", self.delta.to_string(), self.delta != Delta::ZERO),
        ];
        let mut parts = columns.iter().filter(|c| c.2).map(|c| format!("{} {}", c.0, c.1));
        let Some(first) = parts.next() else {
            return f.write_str("nothing");
        };
        f.write_str(&first)?;
        parts.try_for_each(|part| write!(f, ", {part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a21_hostile_losses_are_refused_and_sums_only_grow() {
        for bad in ["-1", "-0.5", "1e300", "1e-320", "NaN", "inf", "0.0000000001", "9999999999999"]
        {
            assert!(bad.parse::<Epsilon>().is_err(), "{bad:?} must be refused");
        }
        let most = Epsilon::from_units(i64::MAX as u64).unwrap();
        assert_eq!(most.checked_add("0.000000001".parse().unwrap()), None);
        assert_eq!(most.checked_mul(2), None);
        assert_eq!("0.05".parse::<Rho>().unwrap().to_string(), "0.05");
        assert_eq!("0.000001".parse::<Delta>().unwrap().units(), 1_000_000_000_000);
    }

    #[test]
    fn a_loss_that_is_none_is_told_why() {
        let said = |text: &str| text.parse::<Rho>().unwrap_err().to_string();
        assert!(said("-1").contains("below zero"), "{}", said("-1"));
        assert!(said("99999999999").contains("at most 9223372036"), "{}", said("99999999999"));
        let many = format!("1{}", "0".repeat(36));
        assert!(said(&many).contains("too large"), "{}", said(&many));
        assert!(said("0.0000000001").contains("fewer decimals"), "{}", said("0.0000000001"));
        assert!("9".parse::<Delta>().is_ok() && "9223372036".parse::<Rho>().is_ok());
        assert!("10".parse::<Delta>().unwrap_err().to_string().contains("at most 9"));
    }

    #[test]
    fn columns_are_capped_apart() {
        let cap = Cost { epsilon: "1".parse().unwrap(), ..Cost::ZERO };
        let rho = Cost { rho: "0.1".parse().unwrap(), ..Cost::ZERO };
        assert!(!rho.within(cap), "a rho charge must never be paid from an epsilon cap");
        assert!(Cost::ZERO.within(cap));
    }
}
