//! Evaluates a plan's expressions over columns, whole batches at a time. Total: whatever the rows
//! hold, every row has a value. It must keep the rules at the head of `cloister_plan::expr` to the bit.

/// Functions, value by value.
mod call;

use cloister_plan::{ArithmeticOp, Branch, CompareOp, Expr, Literal};
use cloister_terms::{ColumnType, Name};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Datum, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::kernels::{boolean, cmp, nullif, numeric, zip};
use datafusion::arrow::compute::{prep_null_mask_filter, take};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::arrow::error::ArrowError;
use std::collections::HashSet;
use std::sync::Arc;

/// Lists up to this length are compared value by value, longer ones through a set.
const LIST_COMPARED_MAX: usize = 8;

/// Named columns of one batch, all of `rows` rows. No `Debug`: they hold records.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Names, as the plan writes them.
    pub names: &'a [Name],
    /// Arrays, one a name, in the types of [`arrow_type`].
    pub arrays: &'a [ArrayRef],
    /// Rows of each.
    pub rows: usize,
}

/// Why an expression cannot be evaluated. It depends on plan and column types, never on values.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The plan names a column that was not read.
    #[error("the plan uses column `{0}` without reading it: plan the analysis again")]
    NoColumn(Name),
    /// A part is not of the type its place asks for.
    #[error(
        "an expression of the plan is not {expected} where it must be: plan the analysis again"
    )]
    Type {
        /// What the place asks for.
        expected: &'static str,
    },
    /// A kernel refused its types.
    #[error("an expression of the plan mixes types: {0}; plan the analysis again")]
    Arrow(#[from] ArrowError),
}

/// The Arrow type in which a dictionary column travels inside the node.
pub fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Bool => DataType::Boolean,
    }
}

/// The value of `expr` in each row. Errors on a plan that does not fit its columns.
pub fn evaluate(expr: &Expr, columns: Columns<'_>) -> Result<ArrayRef, EvaluateError> {
    value(expr, columns)?.into_rows(columns.rows)
}

/// Settles floats: NaN and infinities become null, -0 becomes 0.
pub fn settle(floats: &Float64Array) -> Float64Array {
    // Adding 0 turns -0 into 0 and changes nothing else (IEEE 754, section 6.3).
    let values: Vec<f64> = floats.values().iter().map(|value| value + 0.0).collect();
    if values.iter().all(|value| value.is_finite()) {
        return Float64Array::new(values.into(), floats.nulls().cloned());
    }
    let finite: BooleanBuffer = values.iter().map(|value| value.is_finite()).collect();
    let nulls = NullBuffer::union(floats.nulls(), Some(&NullBuffer::new(finite)));
    Float64Array::new(values.into(), nulls)
}

/// One value a row, or one value for all of them.
enum Value {
    Rows(ArrayRef),
    One(ArrayRef),
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        match self {
            Self::Rows(array) => (array.as_ref(), false),
            Self::One(array) => (array.as_ref(), true),
        }
    }
}

impl Value {
    fn array(&self) -> &ArrayRef {
        match self {
            Self::Rows(array) | Self::One(array) => array,
        }
    }

    fn is_one(&self) -> bool {
        matches!(self, Self::One(_))
    }

    fn into_rows(self, rows: usize) -> Result<ArrayRef, EvaluateError> {
        match self {
            Self::Rows(array) => Ok(array),
            Self::One(array) => Ok(take(array.as_ref(), &UInt32Array::from(vec![0; rows]), None)?),
        }
    }

    /// The same kind of value, another array.
    fn with(&self, array: ArrayRef) -> Self {
        if self.is_one() { Self::One(array) } else { Self::Rows(array) }
    }
}

/// A result of `left` and `right`: one value when both are.
fn paired(left: &Value, right: &Value, array: ArrayRef) -> Value {
    if left.is_one() { right.with(array) } else { left.with(array) }
}

/// Recursion is bounded by the planner's expression depth.
fn value(expr: &Expr, columns: Columns<'_>) -> Result<Value, EvaluateError> {
    let of = |part: &Expr| value(part, columns);
    Ok(match expr {
        Expr::Column { name } => Value::Rows(column(name, columns)?),
        Expr::Literal { value } => Value::One(literal(value)),
        Expr::Null { column_type } => Value::One(new_null_array(&arrow_type(*column_type), 1)),
        Expr::ToFloat { of: part } => to_float(&of(part)?)?,
        Expr::Compare { op, left, right } => compare(*op, &of(left)?, &of(right)?)?,
        Expr::And { all: parts } => fold(parts, columns, boolean::and_kleene)?,
        Expr::Or { any: parts } => fold(parts, columns, boolean::or_kleene)?,
        Expr::Not { of: part } => {
            let part = of(part)?;
            part.with(Arc::new(boolean::not(as_bools(part.array())?)?))
        }
        Expr::IsNull { of: part } => {
            let part = of(part)?;
            part.with(Arc::new(boolean::is_null(part.array().as_ref())?))
        }
        Expr::InList { of: part, list } => in_list(&of(part)?, list)?,
        Expr::Between { of: part, low, high } => {
            let part = of(part)?;
            let low = compare(CompareOp::GreaterOrEqual, &part, &of(low)?)?;
            let high = compare(CompareOp::LessOrEqual, &part, &of(high)?)?;
            both(&low, &high, columns.rows, boolean::and_kleene)?
        }
        Expr::Case { operand, branches, otherwise } => {
            let operand = operand.as_deref().map(of).transpose()?;
            case(operand.as_ref(), branches, otherwise.as_deref(), columns)?
        }
        Expr::Coalesce { of: parts } => coalesce(parts, columns)?,
        Expr::NullIf { left, right } => null_if(&of(left)?, &of(right)?, columns.rows)?,
        Expr::Negate { of: part } => {
            let zero = Value::One(Arc::new(Float64Array::from(vec![0.0])));
            arithmetic(ArithmeticOp::Subtract, &zero, &of(part)?)?
        }
        Expr::Arithmetic { op, left, right } => arithmetic(*op, &of(left)?, &of(right)?)?,
        Expr::Clamp { of: part, low, high } => clamp(&of(part)?, low, high)?,
        Expr::Call { function, of: parts } => {
            let parts = parts.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            call::call(function, &parts, columns.rows)?
        }
    })
}

fn column(name: &Name, columns: Columns<'_>) -> Result<ArrayRef, EvaluateError> {
    let place = columns.names.iter().position(|known| known == name);
    let array = place.and_then(|place| columns.arrays.get(place));
    array.cloned().ok_or_else(|| EvaluateError::NoColumn(name.clone()))
}

/// A literal as an array of one value.
fn literal(literal: &Literal) -> ArrayRef {
    match literal {
        Literal::Int(int) => Arc::new(Int64Array::from(vec![int.0])),
        Literal::Float(float) => Arc::new(Float64Array::from(vec![float.value()])),
        Literal::Text(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        Literal::Bool(bool) => Arc::new(BooleanArray::from(vec![*bool])),
        Literal::Timestamp(micros) => Arc::new(TimestampMicrosecondArray::from(vec![micros.0])),
    }
}

fn to_float(part: &Value) -> Result<Value, EvaluateError> {
    let ints = part.array().as_primitive_opt::<Int64Type>();
    let ints = ints.ok_or(EvaluateError::Type { expected: "int64" })?;
    Ok(part.with(Arc::new(ints.unary::<_, Float64Type>(|int| int as f64))))
}

fn compare(op: CompareOp, left: &Value, right: &Value) -> Result<Value, EvaluateError> {
    // Arrow orders floats totally; on settled floats that is IEEE order.
    let result = match op {
        CompareOp::Equal => cmp::eq(left, right),
        CompareOp::NotEqual => cmp::neq(left, right),
        CompareOp::Less => cmp::lt(left, right),
        CompareOp::LessOrEqual => cmp::lt_eq(left, right),
        CompareOp::Greater => cmp::gt(left, right),
        CompareOp::GreaterOrEqual => cmp::gt_eq(left, right),
        CompareOp::Distinct => cmp::distinct(left, right),
        CompareOp::NotDistinct => cmp::not_distinct(left, right),
    }?;
    Ok(paired(left, right, Arc::new(result)))
}

type Logic = fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>;

fn both(left: &Value, right: &Value, rows: usize, logic: Logic) -> Result<Value, EvaluateError> {
    if left.is_one() == right.is_one() {
        let result = logic(as_bools(left.array())?, as_bools(right.array())?)?;
        return Ok(left.with(Arc::new(result)));
    }
    let spread = |value: &Value| value.with(Arc::clone(value.array())).into_rows(rows);
    let (left, right) = (spread(left)?, spread(right)?);
    Ok(Value::Rows(Arc::new(logic(as_bools(&left)?, as_bools(&right)?)?)))
}

fn fold(parts: &[Expr], columns: Columns<'_>, logic: Logic) -> Result<Value, EvaluateError> {
    let none = EvaluateError::Type { expected: "a list of conditions" };
    let (first, rest) = parts.split_first().ok_or(none)?;
    rest.iter().try_fold(value(first, columns)?, |sum, part| {
        both(&sum, &value(part, columns)?, columns.rows, logic)
    })
}

fn as_bools(array: &ArrayRef) -> Result<&BooleanArray, EvaluateError> {
    array.as_boolean_opt().ok_or(EvaluateError::Type { expected: "bool" })
}

fn in_list(part: &Value, list: &[Literal]) -> Result<Value, EvaluateError> {
    let array = part.array();
    let same_type = list.iter().all(|one| arrow_type(one.column_type()) == *array.data_type());
    if !same_type {
        return Err(EvaluateError::Type { expected: "of the list's type" });
    }
    let hits: BooleanBuffer = if list.len() > LIST_COMPARED_MAX
        && array.as_string_opt::<i32>().is_some()
    {
        let texts: HashSet<&str> = list
            .iter()
            .filter_map(
                |one| if let Literal::Text(text) = one { Some(text.as_str()) } else { None },
            )
            .collect();
        let rows = array.as_string::<i32>().iter();
        rows.map(|text| text.is_some_and(|text| texts.contains(text))).collect()
    } else if list.len() > LIST_COMPARED_MAX && array.as_primitive_opt::<Int64Type>().is_some() {
        let ints: HashSet<i64> = list
            .iter()
            .filter_map(|one| if let Literal::Int(int) = one { Some(int.0) } else { None })
            .collect();
        array.as_primitive::<Int64Type>().values().iter().map(|int| ints.contains(int)).collect()
    } else {
        let nothing = BooleanBuffer::new_unset(array.len());
        list.iter().try_fold(nothing, |hits, one| {
            let hit = cmp::eq(part, &Value::One(literal(one)))?;
            Ok::<_, EvaluateError>(&hits | hit.values())
        })?
    };
    Ok(part.with(Arc::new(BooleanArray::new(hits, array.nulls().cloned()))))
}

/// TRUE where the condition is TRUE, FALSE where it is FALSE or NULL; one value a row.
fn taken(condition: Value, rows: usize) -> Result<BooleanArray, EvaluateError> {
    let condition = condition.into_rows(rows)?;
    let condition = as_bools(&condition)?;
    Ok(if condition.nulls().is_some() {
        prep_null_mask_filter(condition)
    } else {
        condition.clone()
    })
}

fn case(
    operand: Option<&Value>,
    branches: &[Branch],
    otherwise: Option<&Expr>,
    columns: Columns<'_>,
) -> Result<Value, EvaluateError> {
    let mut result = otherwise.map(|otherwise| value(otherwise, columns)).transpose()?;
    // From the last branch to the first, so that the first one taken has the last word.
    for branch in branches.iter().rev() {
        let when = value(&branch.when, columns)?;
        let when = match operand {
            Some(operand) => compare(CompareOp::Equal, operand, &when)?,
            None => when,
        };
        let mask = taken(when, columns.rows)?;
        let then = value(&branch.then, columns)?;
        let rest =
            result.unwrap_or_else(|| Value::One(new_null_array(then.array().data_type(), 1)));
        result = Some(Value::Rows(zip::zip(&mask, &then, &rest)?));
    }
    result.ok_or(EvaluateError::Type { expected: "a case with branches" })
}

fn coalesce(parts: &[Expr], columns: Columns<'_>) -> Result<Value, EvaluateError> {
    let none = EvaluateError::Type { expected: "a list of values" };
    let (last, before) = parts.split_last().ok_or(none)?;
    before.iter().rev().try_fold(value(last, columns)?, |rest, part| {
        let part = value(part, columns)?;
        let known = part.with(Arc::new(boolean::is_not_null(part.array().as_ref())?));
        let mask = taken(known, columns.rows)?;
        Ok(Value::Rows(zip::zip(&mask, &part, &rest)?))
    })
}

fn null_if(left: &Value, right: &Value, rows: usize) -> Result<Value, EvaluateError> {
    let mask = taken(compare(CompareOp::Equal, left, right)?, rows)?;
    let left = left.with(Arc::clone(left.array())).into_rows(rows)?;
    let result = nullif::nullif(left.as_ref(), &mask)?;
    // The kernel hides values behind NULLs and keeps their bytes; what is NULL must hold nothing.
    let result = match result.as_string_opt::<i32>() {
        Some(texts) => Arc::new(texts.iter().collect::<StringArray>()),
        None => result,
    };
    Ok(Value::Rows(result))
}

fn arithmetic(op: ArithmeticOp, left: &Value, right: &Value) -> Result<Value, EvaluateError> {
    for side in [left, right] {
        if *side.array().data_type() != DataType::Float64 {
            return Err(EvaluateError::Type { expected: "float64" });
        }
    }
    let result = match op {
        ArithmeticOp::Add => numeric::add(left, right),
        ArithmeticOp::Subtract => numeric::sub(left, right),
        ArithmeticOp::Multiply => numeric::mul(left, right),
        // x / 0 is an infinity or NaN here, which settling makes null.
        ArithmeticOp::Divide => numeric::div(left, right),
    }?;
    Ok(paired(left, right, Arc::new(settle(result.as_primitive::<Float64Type>()))))
}

fn clamp(part: &Value, low: &Literal, high: &Literal) -> Result<Value, EvaluateError> {
    let wrong = || EvaluateError::Type { expected: "a number with ends of its type" };
    let clamped: ArrayRef = match (low, high) {
        (Literal::Int(low), Literal::Int(high)) => {
            let ints = part.array().as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            Arc::new(ints.unary::<_, Int64Type>(|int| int.max(low.0).min(high.0)))
        }
        (Literal::Float(low), Literal::Float(high)) => {
            let floats = part.array().as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
            let (low, high) = (low.value(), high.value());
            Arc::new(floats.unary::<_, Float64Type>(|float| float.max(low).min(high)))
        }
        _ => return Err(wrong()),
    };
    Ok(part.with(clamped))
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
