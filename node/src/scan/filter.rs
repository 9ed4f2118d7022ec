//! A plan's filter as the engine sees it: plain comparisons of a column with a constant, which it may
//! push into files, and one opaque function for everything else, which it cannot rewrite. Both mean
//! exactly what `cloister_plan::expr` says.

use crate::evaluate::{Columns, arrow_type, evaluate};
use cloister_plan::{CompareOp, Expr as PlanExpr, Literal};
use cloister_terms::{ColumnType, Name};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, binary_expr, ident,
};
use datafusion::scalar::ScalarValue;
use std::hash::{Hash, Hasher};

/// The conditions whose AND keeps a row; a row is kept when all are TRUE, which for the whole filter
/// is the same as when its AND is.
pub fn conditions(filter: &PlanExpr, columns: &[(Name, ColumnType)]) -> Vec<Expr> {
    let mut waiting = vec![filter];
    let mut found = Vec::new();
    while let Some(part) = waiting.pop() {
        match part {
            PlanExpr::And { all } => waiting.extend(all.iter().rev()),
            other => found.push(plain(other, columns).unwrap_or_else(|| opaque(other, columns))),
        }
    }
    found
}

/// `column op constant`, of one type, in the engine's own terms. Floats are left to the opaque form.
fn plain(condition: &PlanExpr, columns: &[(Name, ColumnType)]) -> Option<Expr> {
    let PlanExpr::Compare { op, left, right } = condition else { return None };
    let (PlanExpr::Column { name }, PlanExpr::Literal { value }) = (left.as_ref(), right.as_ref())
    else {
        return None;
    };
    let (_, column_type) = columns.iter().find(|(known, _)| known == name)?;
    if *column_type != value.column_type() {
        return None;
    }
    let value = match value {
        Literal::Int(int) => ScalarValue::Int64(Some(int.0)),
        Literal::Text(text) => ScalarValue::Utf8(Some(text.clone())),
        Literal::Timestamp(micros) => ScalarValue::TimestampMicrosecond(Some(micros.0), None),
        Literal::Bool(_) | Literal::Float(_) => return None,
    };
    let op = match op {
        CompareOp::Equal => Operator::Eq,
        CompareOp::NotEqual => Operator::NotEq,
        CompareOp::Less => Operator::Lt,
        CompareOp::LessOrEqual => Operator::LtEq,
        CompareOp::Greater => Operator::Gt,
        CompareOp::GreaterOrEqual => Operator::GtEq,
        CompareOp::Distinct | CompareOp::NotDistinct => return None,
    };
    Some(binary_expr(ident(name.as_str()), op, Expr::Literal(value, None)))
}

fn opaque(condition: &PlanExpr, columns: &[(Name, ColumnType)]) -> Expr {
    let mut names = Vec::new();
    condition.each_column(&mut |name| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    });
    let types = names.iter().map(|name| {
        let known = columns.iter().find(|(column, _)| column == name);
        known.map_or(DataType::Null, |(_, column_type)| arrow_type(*column_type))
    });
    let signature = Signature::exact(types.collect(), Volatility::Immutable);
    let signature =
        if names.is_empty() { Signature::nullary(Volatility::Immutable) } else { signature };
    let arguments = names.iter().map(|name| ident(name.as_str())).collect();
    let function = PlanFilter { condition: condition.clone(), names, signature };
    ScalarUDF::new_from_impl(function).call(arguments)
}

/// A condition of the plan over the columns it reads.
#[derive(Debug, PartialEq, Eq)]
struct PlanFilter {
    condition: PlanExpr,
    names: Vec<Name>,
    signature: Signature,
}

impl Hash for PlanFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Equal conditions print alike; the plan's expressions have no `Hash` of their own.
        format!("{:?}", self.condition).hash(state);
        self.names.hash(state);
    }
}

impl ScalarUDFImpl for PlanFilter {
    fn name(&self) -> &str {
        "plan_filter"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.into_iter().map(|value| value.into_array(args.number_rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let columns = Columns { names: &self.names, arrays: &arrays, rows: args.number_rows };
        let kept = evaluate(&self.condition, columns);
        kept.map(ColumnarValue::Array).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}
