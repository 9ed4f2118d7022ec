//! Row-wise expressions of a plan: total, typed, free of any engine. Every expression has a value on
//! every row; there is no failing cast, no overflow and no division error, and there must never be.
//!
//! Rules an evaluator must keep, whatever engine it uses:
//! - A float read from a column or made by arithmetic is *settled*: NaN and infinities become NULL,
//!   -0 becomes 0. Comparisons then agree in every engine.
//! - `Arithmetic` is float64 only, IEEE 754 round-to-nearest-even, one operation at a time (no fused
//!   multiply-add, no reordering), each result settled. `x / 0` is NULL. Whole numbers are added,
//!   subtracted and multiplied by functions of their own, exactly.
//! - A `Call` gives what [`crate::row::apply`] gives for its arguments on each row.
//! - Both sides of a comparison, all results of a `Case` and all parts of a `Coalesce` have one type;
//!   the planner writes every conversion out as `ToFloat`.
//! - NULL is SQL's: comparisons and arithmetic with NULL are NULL, `And`/`Or`/`Not` are three-valued,
//!   a `Case` branch is taken only when its condition is TRUE.
//! - Text compares by its UTF-8 bytes; FALSE is below TRUE.

use crate::function::Function;
use crate::limits::CHEAP_PARTS_MAX;
use crate::row::Datum;
use cloister_terms::{ColumnType, KeyValue, Name};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A row-wise expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expr {
    /// A column of the dataset.
    Column {
        /// Its name.
        name: Name,
    },
    /// A constant.
    Literal {
        /// Its value.
        value: Literal,
    },
    /// The NULL of a type.
    Null {
        /// The type.
        column_type: ColumnType,
    },
    /// int64 to the nearest float64, ties to even.
    ToFloat {
        /// The integer.
        of: Box<Expr>,
    },
    /// A comparison; NULL when a side is NULL, but for the two that count NULL as a value.
    Compare {
        /// Which.
        op: CompareOp,
        /// Left side.
        left: Box<Expr>,
        /// Right side, of the same type.
        right: Box<Expr>,
    },
    /// Three-valued AND of two or more conditions.
    And {
        /// The conditions.
        all: Vec<Expr>,
    },
    /// Three-valued OR of two or more conditions.
    Or {
        /// The conditions.
        any: Vec<Expr>,
    },
    /// Three-valued NOT.
    Not {
        /// The condition.
        of: Box<Expr>,
    },
    /// TRUE when NULL, else FALSE; never NULL.
    IsNull {
        /// What is tested.
        of: Box<Expr>,
    },
    /// Whether a value equals one of the literals; NULL when the value is NULL.
    InList {
        /// The value.
        of: Box<Expr>,
        /// Literals of the same type, none NULL.
        list: Vec<Literal>,
    },
    /// `low <= of AND of <= high`, three-valued.
    Between {
        /// The value.
        of: Box<Expr>,
        /// Lower end, included.
        low: Box<Expr>,
        /// Upper end, included.
        high: Box<Expr>,
    },
    /// The result of the first branch taken, else `otherwise`, else NULL.
    Case {
        /// With an operand, a branch is taken when `operand = when` is TRUE; else when `when` is TRUE.
        operand: Option<Box<Expr>>,
        /// Branches, in order.
        branches: Vec<Branch>,
        /// Result when no branch is taken.
        otherwise: Option<Box<Expr>>,
    },
    /// The first value that is not NULL, else NULL.
    Coalesce {
        /// The values, in order.
        of: Vec<Expr>,
    },
    /// NULL when both sides are equal, else the left side.
    NullIf {
        /// The value.
        left: Box<Expr>,
        /// What makes it NULL.
        right: Box<Expr>,
    },
    /// `0 - of` of a float64.
    Negate {
        /// The number.
        of: Box<Expr>,
    },
    /// Float64 arithmetic, settled.
    Arithmetic {
        /// Which.
        op: ArithmeticOp,
        /// Left operand, float64.
        left: Box<Expr>,
        /// Right operand, float64.
        right: Box<Expr>,
    },
    /// `min(max(of, low), high)`; NULL when `of` is NULL.
    Clamp {
        /// The number, int64 or float64.
        of: Box<Expr>,
        /// Lower end, of the same type.
        low: Literal,
        /// Upper end, of the same type, not below `low`.
        high: Literal,
    },
    /// A function of the list.
    Call {
        /// Which.
        function: Function,
        /// Its arguments, of the types it takes.
        of: Vec<Expr>,
    },
}

/// One branch of a `Case`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Condition, or value compared with the operand.
    pub when: Expr,
    /// Result.
    pub then: Expr,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IS DISTINCT FROM`: never NULL; NULL differs from every value and not from NULL.
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

/// An arithmetic operation on float64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, NULL when the divisor is 0.
    Divide,
}

/// A constant. Numbers are written as text, since a plan holds neither floats nor JSON numbers
/// beyond 2^53.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Literal {
    /// int64.
    Int(IntText),
    /// float64, finite, never -0.
    Float(FloatBits),
    /// Text.
    Text(String),
    /// Bool.
    Bool(bool),
    /// Microseconds since 1970-01-01 00:00, no time zone.
    Timestamp(IntText),
}

/// A whole number, written as a decimal string in its one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IntText(pub i64);

/// A settled float64, written as the 16 hex digits of its IEEE 754 bits, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FloatBits(u64);

/// A text that is not a number in the one spelling a plan uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number of the plan is not in its one spelling: plan the analysis again")]
pub struct NotInPlanForm;

impl FloatBits {
    /// From a finite float; -0 becomes 0. `None` for NaN and infinities.
    pub fn new(value: f64) -> Option<Self> {
        // Adding 0 turns -0 into 0 and changes nothing else (IEEE 754, section 6.3).
        value.is_finite().then(|| Self((value + 0.0).to_bits()))
    }

    /// The float.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl TryFrom<String> for FloatBits {
    type Error = NotInPlanForm;
    fn try_from(text: String) -> Result<Self, NotInPlanForm> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(is_hex) {
            return Err(NotInPlanForm);
        }
        let bits = u64::from_str_radix(&text, 16).map_err(|_| NotInPlanForm)?;
        let float = Self::new(f64::from_bits(bits)).ok_or(NotInPlanForm)?;
        if float.0 == bits { Ok(float) } else { Err(NotInPlanForm) }
    }
}

impl From<FloatBits> for String {
    fn from(float: FloatBits) -> Self {
        format!("{:016x}", float.0)
    }
}

impl TryFrom<String> for IntText {
    type Error = NotInPlanForm;
    fn try_from(text: String) -> Result<Self, NotInPlanForm> {
        let int: i64 = text.parse().map_err(|_| NotInPlanForm)?;
        if int.to_string() == text { Ok(Self(int)) } else { Err(NotInPlanForm) }
    }
}

impl From<IntText> for String {
    fn from(int: IntText) -> Self {
        int.0.to_string()
    }
}

impl Literal {
    /// An int64.
    pub fn int(value: i64) -> Self {
        Self::Int(IntText(value))
    }

    /// Its type.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Int(_) => ColumnType::Int64,
            Self::Float(_) => ColumnType::Float64,
            Self::Text(_) => ColumnType::Text,
            Self::Bool(_) => ColumnType::Bool,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }

    /// The number it is, as a float, when it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(int.0 as f64),
            Self::Float(float) => Some(float.value()),
            Self::Text(_) | Self::Bool(_) | Self::Timestamp(_) => None,
        }
    }

    /// The key value it is, when it can be one.
    pub fn key_value(&self) -> Option<KeyValue> {
        match self {
            Self::Int(int) => Some(KeyValue::Int(int.0)),
            Self::Text(text) => Some(KeyValue::Text(text.clone())),
            Self::Bool(value) => Some(KeyValue::Bool(*value)),
            Self::Timestamp(micros) => Some(KeyValue::Timestamp(micros.0)),
            Self::Float(_) => None,
        }
    }

    /// The value functions see.
    pub fn datum(&self) -> Datum<'_> {
        match self {
            Self::Int(int) => Datum::Int(int.0),
            Self::Float(float) => Datum::Float(float.value()),
            Self::Text(text) => Datum::Text(text.as_str().into()),
            Self::Bool(value) => Datum::Bool(*value),
            Self::Timestamp(micros) => Datum::Timestamp(micros.0),
        }
    }

    /// The constant of a value; `None` for a float that is not settled.
    pub fn of_datum(datum: Datum<'_>) -> Option<Self> {
        Some(match datum {
            Datum::Int(int) => Self::int(int),
            Datum::Float(float) => Self::Float(FloatBits::new(float)?),
            Datum::Text(text) => Self::Text(text.into_owned()),
            Datum::Bool(value) => Self::Bool(value),
            Datum::Timestamp(micros) => Self::Timestamp(IntText(micros)),
        })
    }
}

impl Expr {
    /// A constant.
    pub fn literal(value: Literal) -> Self {
        Self::Literal { value }
    }

    /// Its type, given the types of the columns it reads; `None` when it names an unknown column.
    /// Recursion is bounded by [`crate::limits::EXPRESSION_DEPTH_MAX`].
    pub fn column_type(&self, of: &dyn Fn(&Name) -> Option<ColumnType>) -> Option<ColumnType> {
        match self {
            Self::Column { name } => of(name),
            Self::Literal { value } => Some(value.column_type()),
            Self::Null { column_type } => Some(*column_type),
            Self::ToFloat { .. } | Self::Negate { .. } | Self::Arithmetic { .. } => {
                Some(ColumnType::Float64)
            }
            Self::Compare { .. }
            | Self::And { .. }
            | Self::Or { .. }
            | Self::Not { .. }
            | Self::IsNull { .. }
            | Self::InList { .. }
            | Self::Between { .. } => Some(ColumnType::Bool),
            Self::Case { branches, .. } => branches.first()?.then.column_type(of),
            Self::Coalesce { of: values } => values.first()?.column_type(of),
            Self::NullIf { left, .. } => left.column_type(of),
            Self::Clamp { low, .. } => Some(low.column_type()),
            Self::Call { function, of: arguments } => {
                let types = arguments.iter().map(|argument| argument.column_type(of));
                function.result_type(&types.collect::<Option<Vec<_>>>()?)
            }
        }
    }

    /// The expressions directly inside this one, in the order they are written.
    pub fn parts(&self) -> Vec<&Expr> {
        match self {
            Self::Column { .. } | Self::Literal { .. } | Self::Null { .. } => Vec::new(),
            Self::ToFloat { of }
            | Self::Not { of }
            | Self::IsNull { of }
            | Self::InList { of, .. }
            | Self::Negate { of }
            | Self::Clamp { of, .. } => vec![of],
            Self::Compare { left, right, .. }
            | Self::NullIf { left, right }
            | Self::Arithmetic { left, right, .. } => vec![left, right],
            Self::And { all: parts }
            | Self::Or { any: parts }
            | Self::Coalesce { of: parts }
            | Self::Call { of: parts, .. } => parts.iter().collect(),
            Self::Between { of, low, high } => vec![of, low, high],
            Self::Case { operand, branches, otherwise } => {
                let inner = branches.iter().flat_map(|branch| [&branch.when, &branch.then]);
                operand.as_deref().into_iter().chain(inner).chain(otherwise.as_deref()).collect()
            }
        }
    }

    /// As [`Self::parts`], to be changed in place.
    pub(crate) fn parts_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Column { .. } | Self::Literal { .. } | Self::Null { .. } => Vec::new(),
            Self::ToFloat { of }
            | Self::Not { of }
            | Self::IsNull { of }
            | Self::InList { of, .. }
            | Self::Negate { of }
            | Self::Clamp { of, .. } => vec![of],
            Self::Compare { left, right, .. }
            | Self::NullIf { left, right }
            | Self::Arithmetic { left, right, .. } => vec![left, right],
            Self::And { all: parts }
            | Self::Or { any: parts }
            | Self::Coalesce { of: parts }
            | Self::Call { of: parts, .. } => parts.iter_mut().collect(),
            Self::Between { of, low, high } => vec![of, low, high],
            Self::Case { operand, branches, otherwise } => {
                let inner = branches.iter_mut().flat_map(|b| [&mut b.when, &mut b.then]);
                let operand = operand.as_deref_mut().into_iter();
                operand.chain(inner).chain(otherwise.as_deref_mut()).collect()
            }
        }
    }

    /// Calls `seen` with the name of every column read, repetitions included.
    pub fn each_column<'a>(&'a self, seen: &mut dyn FnMut(&'a Name)) {
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            if let Self::Column { name } = expr {
                seen(name);
            }
            waiting.extend(expr.parts());
        }
    }

    /// Whether working it out may cost many times the row that it is worked out for: it calls a function
    /// that does ([`Function::is_dear`]), or has many parts and terms of lists.
    pub fn is_dear(&self) -> bool {
        let (mut waiting, mut parts) = (vec![self], 0usize);
        while let Some(expr) = waiting.pop() {
            let terms = match expr {
                Self::Call { function, .. } if function.is_dear() => return true,
                Self::InList { list, .. } => list.len(),
                _ => 0,
            };
            parts = parts.saturating_add(terms).saturating_add(1);
            if parts > CHEAP_PARTS_MAX {
                return true;
            }
            waiting.extend(expr.parts());
        }
        false
    }
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Distinct => "is distinct from",
            Self::NotDistinct => "is not distinct from",
        })
    }
}

impl fmt::Display for ArithmeticOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        })
    }
}
