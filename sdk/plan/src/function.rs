//! The functions a plan may call on the values of one row. Each has a value on every input; what other
//! systems make an error is NULL here. Patterns, units and other parts that shape the work are constants
//! of the plan, never values of a row: for one plan, work grows with the length of the input, but a long
//! pattern or list of characters makes each byte of it cost more ([`Function::is_dear`]).
//!
//! What each gives is written beside it, and [`crate::row`] does it: planner and node call the same code,
//! so that every node agrees. Unless said otherwise the result is NULL when any argument is.

use crate::expr::{FloatBits, IntText};
use cloister_terms::ColumnType;
use serde::{Deserialize, Serialize};

/// A function. Float results are settled (see [`crate::expr`]); texts made longer than
/// [`crate::limits::MADE_TEXT_BYTES_MAX`] are NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Function {
    /// int64 sum; NULL beyond int64.
    Add,
    /// int64 difference; NULL beyond int64.
    Subtract,
    /// int64 product; NULL beyond int64.
    Multiply,
    /// Remainder with the sign of the first, of two int64 or two float64; NULL when the second is 0.
    Modulo,
    /// Smallest of the arguments that are not NULL, of any one type; NULL when all are.
    Least,
    /// Largest of the arguments that are not NULL, of any one type; NULL when all are.
    Greatest,
    /// Magnitude of an int64 or float64; NULL for the least int64.
    Abs,
    /// -1, 0 or 1, of the argument's type: int64 or float64.
    Sign,
    /// float64 to the nearest multiple of 10^-digits, halves away from 0.
    Round {
        /// Digits after the point, at most [`crate::limits::DIGITS_MAX`] either way.
        digits: i8,
    },
    /// float64 toward 0 to a multiple of 10^-digits.
    Truncate {
        /// Digits after the point, at most [`crate::limits::DIGITS_MAX`] either way.
        digits: i8,
    },
    /// The largest whole float64 not above.
    Floor,
    /// The least whole float64 not below.
    Ceiling,
    /// Square root; NULL below 0.
    SquareRoot,
    /// e to the power.
    Exponential,
    /// Natural logarithm; NULL unless above 0.
    NaturalLog,
    /// Logarithm to base 10; NULL unless above 0.
    Log10,
    /// Logarithm to base 2; NULL unless above 0.
    Log2,
    /// Logarithm of the second to the base of the first: the quotient of their natural logarithms.
    LogOf,
    /// First to the power of the second; NULL where it is no real number.
    Power,
    /// Sine, in radians.
    Sine,
    /// Cosine, in radians.
    Cosine,
    /// Tangent, in radians.
    Tangent,
    /// Arc sine; NULL beyond -1 to 1.
    ArcSine,
    /// Arc cosine; NULL beyond -1 to 1.
    ArcCosine,
    /// Arc tangent.
    ArcTangent,
    /// Angle of the point (second, first), from -pi to pi.
    ArcTangent2,
    /// Degrees to radians.
    Radians,
    /// Radians to degrees.
    Degrees,
    /// The bucket of a float64 among equal ones from `low` to `high`: 0 below, `buckets + 1` from
    /// `high` on.
    WidthBucket {
        /// Lower end, included.
        low: FloatBits,
        /// Upper end, left out, above `low`.
        high: FloatBits,
        /// Buckets, at least 1.
        buckets: u32,
    },
    /// Small letters, by Unicode's full mapping.
    Lower,
    /// Capital letters, by Unicode's full mapping.
    Upper,
    /// Without any of the characters at its ends.
    Trim {
        /// Which ends.
        side: TrimSide,
        /// The characters.
        characters: String,
    },
    /// Characters from a position counted from 1, as many as the third argument says, to the end
    /// without one. Positions before the text count; a negative number is NULL.
    Substring,
    /// The first characters; a negative number leaves out so many at the end.
    Left,
    /// The last characters; a negative number leaves out so many at the start.
    Right,
    /// Number of characters (code points), int64.
    Length,
    /// Texts joined, NULL when any is.
    Join,
    /// Texts joined, NULL counting as empty.
    Concat,
    /// Every `from` replaced by `to`, from left to right; an empty `from` replaces nothing.
    Replace {
        /// What is replaced.
        from: String,
        /// What stands instead.
        to: String,
    },
    /// One of the parts between delimiters; empty when there are fewer.
    SplitPart {
        /// The delimiter; an empty one splits nothing.
        delimiter: String,
        /// Which part, from 1, or from -1 at the end; never 0.
        part: IntText,
    },
    /// Position of the second text in the first, in characters from 1; 0 when it is not there.
    Position,
    /// Whether the first text starts with the second.
    StartsWith,
    /// Whether the first text ends with the second.
    EndsWith,
    /// Whether the first text contains the second.
    Contains,
    /// Whether the whole text fits a pattern, `%` any text, `_` any character. A step for each
    /// character of the text and 64 of the pattern.
    Like {
        /// The pattern, with escapes before `%`, `_` and the escape itself.
        pattern: String,
        /// The escape character, if any; never the last of the pattern without one before it.
        escape: Option<char>,
        /// Whether small and capital letters are equal, by Unicode's mapping of each character.
        ignore_case: bool,
    },
    /// The value as another type; NULL where it is none of that type.
    Cast {
        /// The type.
        to: ColumnType,
    },
    /// The start of the unit a timestamp lies in; weeks start on Monday. NULL before int64.
    DateTrunc {
        /// The unit.
        unit: DateUnit,
    },
    /// A field of a timestamp, int64.
    DatePart {
        /// The field.
        field: DateField,
    },
    /// Seconds since 1970-01-01 00:00, with fractions, float64.
    Epoch,
    /// A timestamp some months and microseconds later, months first: a day the month does not have
    /// becomes its last. NULL beyond int64.
    AddInterval {
        /// Months.
        months: i32,
        /// Microseconds.
        micros: IntText,
    },
    /// How many starts of the unit lie between two timestamps: above 0 when the second is later.
    DateDiff {
        /// The unit.
        unit: DateUnit,
    },
}

/// Ends of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrimSide {
    /// Both.
    Both,
    /// The start.
    Leading,
    /// The end.
    Trailing,
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateUnit {
    /// From 1 January.
    Year,
    /// Three months, from January.
    Quarter,
    /// Month.
    Month,
    /// Seven days, from Monday.
    Week,
    /// Day.
    Day,
    /// Hour.
    Hour,
    /// Minute.
    Minute,
    /// Second.
    Second,
}

/// A field of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateField {
    /// Year; year 0 is 1 BC.
    Year,
    /// Year of the ISO 8601 week.
    IsoYear,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// ISO 8601 week, 1 to 53.
    Week,
    /// Day of the month, 1 to 31.
    Day,
    /// Day of the week, Sunday 0 to Saturday 6.
    DayOfWeek,
    /// Day of the week, Monday 1 to Sunday 7 (ISO 8601).
    IsoDayOfWeek,
    /// Day of the year, 1 to 366.
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// Whole seconds, 0 to 59.
    Second,
}

impl DateField {
    /// The values it can have, where they are few.
    pub fn span(self) -> Option<(i64, i64)> {
        Some(match self {
            Self::Year | Self::IsoYear => return None,
            Self::Quarter => (1, 4),
            Self::Month => (1, 12),
            Self::Week => (1, 53),
            Self::Day => (1, 31),
            Self::DayOfWeek => (0, 6),
            Self::IsoDayOfWeek => (1, 7),
            Self::DayOfYear => (1, 366),
            Self::Hour => (0, 23),
            Self::Minute | Self::Second => (0, 59),
        })
    }
}

impl Function {
    /// Whether its work or its result may be many times the size of what it is given: joined and replaced
    /// texts, patterns, lists of characters to cut. Where that matters, rows are capped before it is called.
    pub fn is_dear(&self) -> bool {
        match self {
            Self::Join | Self::Concat | Self::Replace { .. } | Self::Like { .. } => true,
            // One character, such as the blank that TRIM cuts, is compared as fast as it is read.
            Self::Trim { characters, .. } => characters.chars().nth(1).is_some(),
            _ => false,
        }
    }

    /// Bytes of the texts that are part of it.
    pub(crate) fn constant_bytes(&self) -> usize {
        match self {
            Self::Trim { characters, .. } => characters.len(),
            Self::Replace { from, to } => from.len().saturating_add(to.len()),
            Self::SplitPart { delimiter, .. } => delimiter.len(),
            Self::Like { pattern, .. } => pattern.len(),
            _ => 0,
        }
    }

    /// The type of its result from the types of its arguments; `None` when they do not fit.
    pub fn result_type(&self, of: &[ColumnType]) -> Option<ColumnType> {
        use ColumnType::{Bool, Float64, Int64, Text, Timestamp};
        let fits = |wanted: &[ColumnType], result| (of == wanted).then_some(result);
        let first = of.first().copied()?;
        let alike = of.iter().all(|other| *other == first);
        let number = alike && matches!(first, Int64 | Float64);
        match self {
            Self::Add | Self::Subtract | Self::Multiply => fits(&[Int64, Int64], Int64),
            Self::Modulo => (number && of.len() == 2).then_some(first),
            Self::Least | Self::Greatest => alike.then_some(first),
            Self::Abs | Self::Sign => (number && of.len() == 1).then_some(first),
            Self::Round { .. }
            | Self::Truncate { .. }
            | Self::Floor
            | Self::Ceiling
            | Self::SquareRoot
            | Self::Exponential
            | Self::NaturalLog
            | Self::Log10
            | Self::Log2
            | Self::Sine
            | Self::Cosine
            | Self::Tangent
            | Self::ArcSine
            | Self::ArcCosine
            | Self::ArcTangent
            | Self::Radians
            | Self::Degrees => fits(&[Float64], Float64),
            Self::LogOf | Self::Power | Self::ArcTangent2 => fits(&[Float64, Float64], Float64),
            Self::WidthBucket { .. } => fits(&[Float64], Int64),
            Self::Lower
            | Self::Upper
            | Self::Trim { .. }
            | Self::Replace { .. }
            | Self::SplitPart { .. } => fits(&[Text], Text),
            Self::Substring => {
                fits(&[Text, Int64], Text).or_else(|| fits(&[Text, Int64, Int64], Text))
            }
            Self::Left | Self::Right => fits(&[Text, Int64], Text),
            Self::Length => fits(&[Text], Int64),
            Self::Join | Self::Concat => (alike && first == Text).then_some(Text),
            Self::Position => fits(&[Text, Text], Int64),
            Self::StartsWith | Self::EndsWith | Self::Contains => fits(&[Text, Text], Bool),
            Self::Like { .. } => fits(&[Text], Bool),
            Self::Cast { to } => (of.len() == 1 && can_cast(first, *to)).then_some(*to),
            Self::DateTrunc { .. } | Self::AddInterval { .. } => fits(&[Timestamp], Timestamp),
            Self::DatePart { .. } => fits(&[Timestamp], Int64),
            Self::Epoch => fits(&[Timestamp], Float64),
            Self::DateDiff { .. } => fits(&[Timestamp, Timestamp], Int64),
        }
    }
}

/// Which types a cast joins. int64 to float64 is `ToFloat`, and a type to itself is nothing.
pub(crate) fn can_cast(from: ColumnType, to: ColumnType) -> bool {
    use ColumnType::{Bool, Float64, Int64, Text, Timestamp};
    matches!(
        (from, to),
        (Int64, Text | Bool)
            | (Float64, Int64 | Text)
            | (Bool, Int64 | Text)
            | (Timestamp, Text)
            | (Text, Int64 | Float64 | Bool | Timestamp)
    )
}
