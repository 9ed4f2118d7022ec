//! Functions of a plan over columns: each row's values go through `cloister_plan::row`, which planner and
//! node share, so that nothing here may say what a function gives.

use super::{EvaluateError, Value, arrow_type};
use cloister_plan::Function;
use cloister_plan::row::{Datum, apply};
use cloister_terms::ColumnType;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Float64Array, Float64Builder,
    Int64Array, Int64Builder, StringArray, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use std::borrow::Cow;
use std::sync::Arc;

/// The value of a function in each row; one value when all its arguments are one. Errors when their types
/// do not fit.
pub(super) fn call(function: &Function, of: &[Value], rows: usize) -> Result<Value, EvaluateError> {
    let wrong = || EvaluateError::Type { expected: "of the types its function takes" };
    let columns = of.iter().map(Column::of).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let types: Vec<ColumnType> = columns.iter().map(Column::column_type).collect();
    let result = function.result_type(&types).ok_or_else(wrong)?;
    let is_one = of.iter().all(Value::is_one);
    let mut made = Made::new(result, if is_one { 1 } else { rows });
    let mut arguments = Vec::with_capacity(columns.len());
    for row in 0..if is_one { 1 } else { rows } {
        arguments.clear();
        for (column, value) in columns.iter().zip(of) {
            arguments.push(column.datum(if value.is_one() { 0 } else { row }));
        }
        made.push(apply(function, &arguments));
    }
    let array = made.finish();
    if *array.data_type() != arrow_type(result) {
        return Err(wrong());
    }
    Ok(if is_one { Value::One(array) } else { Value::Rows(array) })
}

/// An array in its own type.
enum Column<'a> {
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Text(&'a StringArray),
    Bool(&'a BooleanArray),
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> Column<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        let array = value.array();
        match array.data_type() {
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().map(Self::Int),
            DataType::Float64 => array.as_primitive_opt::<Float64Type>().map(Self::Float),
            DataType::Utf8 => array.as_string_opt::<i32>().map(Self::Text),
            DataType::Boolean => array.as_boolean_opt().map(Self::Bool),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                array.as_primitive_opt::<TimestampMicrosecondType>().map(Self::Timestamp)
            }
            _ => None,
        }
    }

    fn column_type(&self) -> ColumnType {
        match self {
            Self::Int(_) => ColumnType::Int64,
            Self::Float(_) => ColumnType::Float64,
            Self::Text(_) => ColumnType::Text,
            Self::Bool(_) => ColumnType::Bool,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }

    /// The value of a row; `None` for NULL and for a row there is not.
    fn datum(&self, row: usize) -> Option<Datum<'a>> {
        let is_known = |array: &dyn Array| row < array.len() && array.is_valid(row);
        match self {
            Self::Int(array) => is_known(array).then(|| Datum::Int(array.value(row))),
            Self::Float(array) => is_known(array).then(|| Datum::Float(array.value(row))),
            Self::Text(array) => {
                is_known(array).then(|| Datum::Text(Cow::Borrowed(array.value(row))))
            }
            Self::Bool(array) => is_known(array).then(|| Datum::Bool(array.value(row))),
            Self::Timestamp(array) => is_known(array).then(|| Datum::Timestamp(array.value(row))),
        }
    }
}

/// An array that is made.
enum Made {
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Bool(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Made {
    fn new(column_type: ColumnType, rows: usize) -> Self {
        match column_type {
            ColumnType::Int64 => Self::Int(Int64Builder::with_capacity(rows)),
            ColumnType::Float64 => Self::Float(Float64Builder::with_capacity(rows)),
            ColumnType::Text => Self::Text(StringBuilder::with_capacity(rows, rows)),
            ColumnType::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            ColumnType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows))
            }
        }
    }

    /// Adds a value; one of another type, which no function gives, is NULL.
    fn push(&mut self, value: Option<Datum<'_>>) {
        match (self, value) {
            (Self::Int(made), Some(Datum::Int(value))) => made.append_value(value),
            (Self::Float(made), Some(Datum::Float(value))) => made.append_value(value),
            (Self::Text(made), Some(Datum::Text(value))) => made.append_value(value),
            (Self::Bool(made), Some(Datum::Bool(value))) => made.append_value(value),
            (Self::Timestamp(made), Some(Datum::Timestamp(value))) => made.append_value(value),
            (Self::Int(made), _) => made.append_null(),
            (Self::Float(made), _) => made.append_null(),
            (Self::Text(made), _) => made.append_null(),
            (Self::Bool(made), _) => made.append_null(),
            (Self::Timestamp(made), _) => made.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Int(mut made) => Arc::new(made.finish()),
            Self::Float(mut made) => Arc::new(made.finish()),
            Self::Text(mut made) => Arc::new(made.finish()),
            Self::Bool(mut made) => Arc::new(made.finish()),
            Self::Timestamp(mut made) => Arc::new(made.finish()),
        }
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
