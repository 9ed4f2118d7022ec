//! A SQL plan's raw contributions: which cell each row falls into and what it adds to each lane,
//! column by column. Rows alone decide; caps come later, and nothing is summed here.

use crate::bound::{LaneValues, NO_CELL, RowValues, float_steps, int_steps};
use crate::contribute::domain::{DomainIndex, NO_CODE};
use crate::evaluate::{Columns, EvaluateError, evaluate};
use crate::fault::Fault;
use cloister_plan::{Expr, LaneExpr, SqlContribution};
use cloister_terms::{Bounds, OutputShape};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};

/// A SQL plan made ready to evaluate.
#[derive(Debug, Clone)]
pub struct SqlRows {
    keys: Vec<(Expr, DomainIndex)>,
    /// Values of each key dimension, the radix of its digit.
    sizes: Vec<u32>,
    lanes: Vec<LaneExpr>,
}

impl SqlRows {
    /// Checks the plan against its shape. Errors when keys or lanes do not match it.
    pub fn new(sql: &SqlContribution, shape: &OutputShape) -> Result<Self, Fault> {
        let keys_match = sql.keys.len() == shape.keys.len()
            && sql
                .keys
                .iter()
                .zip(&shape.keys)
                .all(|(key, dimension)| key.domain == dimension.values);
        if !keys_match {
            return Err(Fault::PlanShape { what: "keys" });
        }
        if sql.lanes.len() != shape.lanes.len() {
            return Err(Fault::PlanShape { what: "lanes" });
        }
        shape.cells()?;
        let mut keys = Vec::with_capacity(sql.keys.len());
        let mut sizes = Vec::with_capacity(sql.keys.len());
        for key in &sql.keys {
            let index = DomainIndex::new(&key.domain).ok_or(Fault::PlanShape { what: "keys" })?;
            keys.push((key.expr.clone(), index));
            sizes.push(
                u32::try_from(key.domain.len()).map_err(|_| Fault::PlanShape { what: "keys" })?,
            );
        }
        Ok(Self { keys, sizes, lanes: sql.lanes.clone() })
    }

    /// Cells and lanes of every row of a batch.
    pub fn values(&self, columns: Columns<'_>) -> Result<RowValues, EvaluateError> {
        let mut cells = vec![0u32; columns.rows];
        for ((expr, domain), size) in self.keys.iter().zip(&self.sizes) {
            let codes = domain.codes(&evaluate(expr, columns)?)?;
            for (cell, code) in cells.iter_mut().zip(codes) {
                // A checked shape has at most 10^6 cells: the product only saturates for no cell.
                *cell = match (*cell, code) {
                    (NO_CELL, _) | (_, NO_CODE) => NO_CELL,
                    (before, code) => before.saturating_mul(*size).saturating_add(code),
                };
            }
        }
        let lanes =
            self.lanes.iter().map(|lane| lane_values(lane, columns)).collect::<Result<_, _>>()?;
        Ok(RowValues { cells, lanes })
    }
}

fn lane_values(lane: &LaneExpr, columns: Columns<'_>) -> Result<LaneValues, EvaluateError> {
    Ok(match lane {
        LaneExpr::CountRows => LaneValues::EveryRow,
        LaneExpr::CountUnits => LaneValues::OncePerPerson,
        LaneExpr::CountUnitsWith { expr } => {
            LaneValues::OncePerPersonWith(not_null(expr, columns)?)
        }
        LaneExpr::CountNonNull { expr } => LaneValues::Counted(not_null(expr, columns)?),
        LaneExpr::SumClamped { expr, bounds } => LaneValues::Steps(summed(expr, *bounds, columns)?),
    })
}

/// The rows where an expression is not NULL.
fn not_null(expr: &Expr, columns: Columns<'_>) -> Result<BooleanBuffer, EvaluateError> {
    let array = evaluate(expr, columns)?;
    let known = array.nulls().map(|nulls| nulls.inner().clone());
    Ok(known.unwrap_or_else(|| BooleanBuffer::new_set(array.len())))
}

fn summed(expr: &Expr, bounds: Bounds, columns: Columns<'_>) -> Result<Vec<i64>, EvaluateError> {
    let array = evaluate(expr, columns)?;
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Ok(float_steps(floats, bounds));
    }
    let ints = array.as_primitive_opt::<Int64Type>();
    Ok(int_steps(ints.ok_or(EvaluateError::Type { expected: "a number" })?, bounds))
}
