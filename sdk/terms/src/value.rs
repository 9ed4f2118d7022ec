//! Column types, key values and clamping ranges. A range's ends lie on the grid `2^-k`, so that
//! rounding and clamping are exact integer work (DESIGN section 6).

use crate::decimal::{Decimal, DecimalError};
use crate::limits::{BOUND_STEPS_MAX, GRID_BITS_MAX};
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of a dictionary column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Signed 64-bit integer.
    Int64,
    /// IEEE 754 double; NaN and infinities count as null.
    Float64,
    /// UTF-8 text.
    Text,
    /// Microseconds since 1970-01-01 00:00, no time zone.
    Timestamp,
    /// True or false.
    Bool,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Text => "text",
            Self::Timestamp => "timestamp",
            Self::Bool => "bool",
        })
    }
}

/// One value of a public key domain. Integers are written as decimal strings, since JSON numbers
/// beyond 2^53 do not survive every reader (RFC 8785, appendix D).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyValue {
    /// Text.
    Text(String),
    /// Integer.
    Int(#[serde(with = "int_as_text")] i64),
    /// True or false.
    Bool(bool),
    /// Microseconds since 1970-01-01 00:00, no time zone, written like an integer.
    Timestamp(#[serde(with = "int_as_text")] i64),
}

impl KeyValue {
    /// The column type this value belongs to.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Text(_) => ColumnType::Text,
            Self::Int(_) => ColumnType::Int64,
            Self::Bool(_) => ColumnType::Bool,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(int) => write!(f, "{int}"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Timestamp(micros) => write!(f, "{}", Moment(*micros)),
        }
    }
}

pub(crate) mod int_as_text {
    //! Integers as decimal strings, one spelling each.
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(int: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(int)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text = String::deserialize(from)?;
        let int: i64 = text.parse().map_err(|_| D::Error::custom("expected a whole number"))?;
        if int.to_string() != text {
            return Err(D::Error::custom("expected a whole number without padding"));
        }
        Ok(int)
    }
}

/// A clamping range `[min, max]` in steps of `2^-grid_bits`; both ends lie on the grid and
/// `|end| <= BOUND_STEPS_MAX` steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BoundsText", into = "BoundsText")]
pub struct Bounds {
    min_steps: i64,
    max_steps: i64,
    grid_bits: u8,
}

/// How bounds are written: decimals, with the grid's bits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundsText {
    min: String,
    max: String,
    #[serde(default)]
    grid_bits: u8,
}

/// Why bounds are unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// An end is not a decimal.
    #[error(transparent)]
    Decimal(#[from] DecimalError),
    /// An end lies off the grid or out of range.
    #[error(
        "bound `{end}` is not a multiple of 2^-{grid_bits} within range: round it, or raise `grid_bits` (at most {GRID_BITS_MAX})"
    )]
    OffGrid {
        /// The end as written.
        end: String,
        /// The grid.
        grid_bits: u8,
    },
    /// `min` above `max`.
    #[error("bounds run from `{min}` down to `{max}`: swap them")]
    Reversed {
        /// The lower end as written.
        min: String,
        /// The upper end as written.
        max: String,
    },
}

impl Bounds {
    /// From ends in steps of `2^-grid_bits`.
    pub fn from_steps(min_steps: i64, max_steps: i64, grid_bits: u8) -> Result<Self, BoundsError> {
        for end in [min_steps, max_steps] {
            if grid_bits > GRID_BITS_MAX || end.unsigned_abs() > BOUND_STEPS_MAX.unsigned_abs() {
                return Err(BoundsError::OffGrid { end: end.to_string(), grid_bits });
            }
        }
        if min_steps > max_steps {
            return Err(BoundsError::Reversed {
                min: min_steps.to_string(),
                max: max_steps.to_string(),
            });
        }
        Ok(Self { min_steps, max_steps, grid_bits })
    }

    /// From decimals, which must lie on the grid exactly.
    pub fn parse(min: &str, max: &str, grid_bits: u8) -> Result<Self, BoundsError> {
        let steps = |end: &str| -> Result<i64, BoundsError> {
            let off = || BoundsError::OffGrid { end: end.chars().take(40).collect(), grid_bits };
            if grid_bits > GRID_BITS_MAX {
                return Err(off());
            }
            let steps = Decimal::parse(end)?.in_steps(grid_bits).ok_or_else(off)?;
            i64::try_from(steps).map_err(|_| off())
        };
        Self::from_steps(steps(min)?, steps(max)?, grid_bits)
    }

    /// Lower end, in grid steps.
    pub const fn min_steps(self) -> i64 {
        self.min_steps
    }

    /// Upper end, in grid steps.
    pub const fn max_steps(self) -> i64 {
        self.max_steps
    }

    /// The grid: one step is `2^-grid_bits`.
    pub const fn grid_bits(self) -> u8 {
        self.grid_bits
    }

    /// Lower end as a float, exact below 2^53 steps.
    pub fn min(self) -> f64 {
        self.min_steps as f64 / (1u64 << self.grid_bits) as f64
    }

    /// Upper end as a float, exact below 2^53 steps.
    pub fn max(self) -> f64 {
        self.max_steps as f64 / (1u64 << self.grid_bits) as f64
    }

    /// The largest absolute value of an end, in steps.
    pub fn magnitude_steps(self) -> u64 {
        self.min_steps.unsigned_abs().max(self.max_steps.unsigned_abs())
    }
}

impl TryFrom<BoundsText> for Bounds {
    type Error = BoundsError;
    fn try_from(text: BoundsText) -> Result<Self, BoundsError> {
        Self::parse(&text.min, &text.max, text.grid_bits)
    }
}

impl From<Bounds> for BoundsText {
    fn from(bounds: Bounds) -> Self {
        let end = |steps| StepsText { steps, grid_bits: bounds.grid_bits }.to_string();
        Self { min: end(bounds.min_steps), max: end(bounds.max_steps), grid_bits: bounds.grid_bits }
    }
}

/// Writes steps of `2^-grid_bits` as the exact decimal they are.
struct StepsText {
    steps: i64,
    grid_bits: u8,
}

impl fmt::Display for StepsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // steps * 2^-k == steps * 5^k * 10^-k; 2^53 * 5^30 stays below 2^127.
        let bits = u32::from(self.grid_bits);
        let units = i128::from(self.steps) * 5i128.pow(bits);
        crate::decimal::format_units(units, bits, f)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |steps| StepsText { steps, grid_bits: self.grid_bits };
        write!(f, "{} to {}", end(self.min_steps), end(self.max_steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_lie_on_their_grid_and_survive_writing() {
        let bounds = Bounds::parse("-0.25", "50000.5", 2).unwrap();
        assert_eq!((bounds.min_steps(), bounds.max_steps()), (-1, 200_002));
        let text = BoundsText::from(bounds);
        assert_eq!((text.min.as_str(), text.max.as_str()), ("-0.25", "50000.5"));
        assert_eq!(Bounds::try_from(text).unwrap(), bounds);
        let widest = Bounds::from_steps(-BOUND_STEPS_MAX, BOUND_STEPS_MAX, GRID_BITS_MAX).unwrap();
        assert_eq!(Bounds::try_from(BoundsText::from(widest)).unwrap(), widest);
        // An odd number of the finest steps has the most digits: what is signed must be readable.
        let most = BOUND_STEPS_MAX - 1;
        for grid_bits in 0..=GRID_BITS_MAX {
            let longest = Bounds::from_steps(-most, most, grid_bits).unwrap();
            assert_eq!(Bounds::try_from(BoundsText::from(longest)).unwrap(), longest);
        }
    }

    #[test]
    fn a_time_is_a_key_in_one_spelling() {
        let key = KeyValue::Timestamp(1_561_939_200_000_000);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, r#"{"timestamp":"1561939200000000"}"#);
        assert_eq!(serde_json::from_str::<KeyValue>(&json).unwrap(), key);
        assert_eq!(
            (key.to_string().as_str(), key.column_type()),
            ("2019-07-01", ColumnType::Timestamp)
        );
        for bad in [
            "1561939200000000",
            r#""01""#,
            r#""+1""#,
            r#""9223372036854775808""#,
            r#""2019-07-01""#,
        ] {
            let json = format!(r#"{{"timestamp":{bad}}}"#);
            assert!(serde_json::from_str::<KeyValue>(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn hostile_bounds_are_refused() {
        assert!(matches!(Bounds::parse("0.1", "1", 8), Err(BoundsError::OffGrid { .. })));
        assert!(matches!(Bounds::parse("2", "1", 0), Err(BoundsError::Reversed { .. })));
        assert!(matches!(Bounds::parse("0", "1", 255), Err(BoundsError::OffGrid { .. })));
        assert!(matches!(Bounds::parse("0", "NaN", 0), Err(BoundsError::Decimal(_))));
        assert!(Bounds::from_steps(i64::MIN, 0, 0).is_err());
        assert!(Bounds::parse("0", "9007199254740993", 0).is_err());
    }
}
