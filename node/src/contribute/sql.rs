//! A SQL plan's raw contributions: which cell each row falls into and what it adds to each lane,
//! column by column. Rows alone decide; caps come later, and nothing is summed here.

use crate::bound::{
    LaneValues, NO_CELL, RowValues, float_steps, int_steps, mark_floats, mark_ints,
};
use crate::contribute::domain::{DomainIndex, NO_CODE};
use crate::evaluate::{Columns, EvaluateError, evaluate};
use crate::fault::Fault;
use crate::private_cells::{BatchKeys, append, written};
use crate::work;
use cloister_plan::{Expr, KeyExpr, LaneExpr, Literal, SqlContribution};
use cloister_terms::{Bounds, Diagnostic, DiagnosticKind, OutputShape};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use std::collections::HashSet;
use std::sync::Arc;

/// A SQL plan made ready to evaluate.
#[derive(Debug, Clone)]
pub struct SqlRows {
    keys: Vec<KeyRows>,
    /// Cells are numbered by their private keys, not by positions in public domains.
    is_private: bool,
    /// The keys that are answered, where an earlier round has found them, as [`written`].
    asked: Option<Arc<HashSet<Vec<u8>>>>,
    lanes: Vec<LaneExpr>,
    /// Somebody asks which rows are clipped.
    tells_clipped: bool,
}

/// One key dimension.
#[derive(Debug, Clone)]
struct KeyRows {
    expr: Expr,
    /// The public values; `None` where they are private.
    domain: Option<DomainIndex>,
    /// How many there are: the radix of this digit.
    size: u32,
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
        let is_private = shape.private_keys.is_some();
        let found = shape.private_keys.as_ref().filter(|private| private.threshold.is_none());
        let asked = found.map(|private| Arc::new(private.found.iter().map(written).collect()));
        let key = |key: &KeyExpr| {
            let wrong = Fault::PlanShape { what: "keys" };
            let size = u32::try_from(key.domain.len()).ok();
            let is_open = is_private && key.domain.is_empty();
            let domain = if is_open { None } else { DomainIndex::new(&key.domain) };
            match (size, is_open || domain.is_some()) {
                (Some(size), true) => Ok(KeyRows { expr: key.expr.clone(), domain, size }),
                _ => Err(wrong),
            }
        };
        let keys = sql.keys.iter().map(key).collect::<Result<_, _>>()?;
        let is_clipped = |one: &Diagnostic| one.kind == DiagnosticKind::Clipped;
        let tells_clipped = shape.diagnostics.iter().any(is_clipped);
        Ok(Self { keys, is_private, asked, lanes: sql.lanes.clone(), tells_clipped })
    }

    /// How much work the keys and lanes of a batch are.
    pub(crate) fn work(&self, columns: Columns<'_>) -> u64 {
        let keys = self.keys.iter().map(|key| &key.expr);
        work::of_lanes(keys.chain(self.lanes.iter().filter_map(LaneExpr::expr)), columns)
    }

    /// Cells and lanes of every row of a batch.
    pub fn values(&self, columns: Columns<'_>) -> Result<RowValues, EvaluateError> {
        let (cells, keys) = if self.is_private {
            let (cells, keys) = self.private_cells(columns)?;
            (cells, Some(keys))
        } else {
            (self.public_cells(columns)?, None)
        };
        let mut clipped = vec![false; if self.tells_clipped { columns.rows } else { 0 }];
        let lanes = self.lanes.iter().map(|lane| lane_values(lane, columns, &mut clipped));
        let lanes = lanes.collect::<Result<_, _>>()?;
        Ok(RowValues { cells, keys, lanes, clipped })
    }

    fn public_cells(&self, columns: Columns<'_>) -> Result<Vec<u32>, EvaluateError> {
        let mut cells = vec![0u32; columns.rows];
        for KeyRows { expr, domain, size } in &self.keys {
            let Some(domain) = domain else { continue };
            let codes = domain.codes(&evaluate(expr, columns)?)?;
            for (cell, code) in cells.iter_mut().zip(codes) {
                // A checked shape has at most 10^6 cells: the product only saturates for no cell.
                *cell = match (*cell, code) {
                    (NO_CELL, _) | (_, NO_CODE) => NO_CELL,
                    (before, code) => before.saturating_mul(*size).saturating_add(code),
                };
            }
        }
        Ok(cells)
    }

    /// The number of each row's key in this batch; none where a value is missing, outside a domain, or not
    /// asked for: such a row is dropped before any cap counts it.
    fn private_cells(&self, columns: Columns<'_>) -> Result<(Vec<u32>, BatchKeys), EvaluateError> {
        let mut rows = vec![Some(Vec::new()); columns.rows];
        for KeyRows { expr, domain, .. } in &self.keys {
            let values = evaluate(expr, columns)?;
            append(&values, &mut rows)?;
            if let Some(domain) = domain {
                let codes = domain.codes(&values)?;
                let outside = rows.iter_mut().zip(codes).filter(|(_, code)| *code == NO_CODE);
                outside.for_each(|(key, _)| *key = None);
            }
        }
        let mut keys = BatchKeys::default();
        let is_asked = |key: &Vec<u8>| self.asked.as_ref().is_none_or(|asked| asked.contains(key));
        let number =
            |key: Option<Vec<u8>>| key.filter(is_asked).map_or(NO_CELL, |key| keys.number(&key));
        let cells = rows.into_iter().map(number).collect();
        Ok((cells, keys))
    }
}

/// One lane of every row; marks the rows that a range clamps in `clipped`, where that has a place for them.
fn lane_values(
    lane: &LaneExpr,
    columns: Columns<'_>,
    clipped: &mut [bool],
) -> Result<LaneValues, EvaluateError> {
    Ok(match lane {
        LaneExpr::CountRows => LaneValues::EveryRow,
        LaneExpr::CountUnits => LaneValues::OncePerPerson,
        LaneExpr::CountUnitsWith { expr } => {
            LaneValues::OncePerPersonWith(not_null(expr, columns)?)
        }
        LaneExpr::CountNonNull { expr } => LaneValues::Counted(not_null(expr, columns)?),
        LaneExpr::SumClamped { expr, bounds } => {
            LaneValues::Steps(summed(expr, *bounds, columns, clipped)?)
        }
    })
}

/// The rows where an expression is not NULL.
fn not_null(expr: &Expr, columns: Columns<'_>) -> Result<BooleanBuffer, EvaluateError> {
    let array = evaluate(expr, columns)?;
    let known = array.nulls().map(|nulls| nulls.inner().clone());
    Ok(known.unwrap_or_else(|| BooleanBuffer::new_set(array.len())))
}

fn summed(
    expr: &Expr,
    bounds: Bounds,
    columns: Columns<'_>,
    clipped: &mut [bool],
) -> Result<Vec<i64>, EvaluateError> {
    mark_clamps(expr, columns, clipped)?;
    let array = evaluate(expr, columns)?;
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        mark_floats(floats, bounds, clipped);
        return Ok(float_steps(floats, bounds));
    }
    let ints = array.as_primitive_opt::<Int64Type>();
    let ints = ints.ok_or(EvaluateError::Type { expected: "a number" })?;
    mark_ints(ints, bounds, clipped);
    Ok(int_steps(ints, bounds))
}

/// Marks the rows of which a `clamp` that the question writes around a summed number, or in the arithmetic
/// that makes it, moves the value. One inside a condition or a branch tells nothing of what is summed.
fn mark_clamps(
    expr: &Expr,
    columns: Columns<'_>,
    clipped: &mut [bool],
) -> Result<(), EvaluateError> {
    let mut waiting = if clipped.is_empty() { vec![] } else { vec![expr] };
    while let Some(part) = waiting.pop() {
        match part {
            Expr::Clamp { of, low, high } => {
                let end = |end: &Literal| Box::new(Expr::literal(end.clone()));
                let (low, high) = (end(low), end(high));
                let inside = evaluate(&Expr::Between { of: of.clone(), low, high }, columns)?;
                let wrong = EvaluateError::Type { expected: "bool" };
                let inside = inside.as_boolean_opt().ok_or(wrong)?;
                for (inside, clipped) in inside.iter().zip(&mut *clipped) {
                    *clipped |= inside == Some(false);
                }
                waiting.push(of);
            }
            Expr::Arithmetic { left, right, .. } => waiting.extend([left.as_ref(), right]),
            Expr::ToFloat { of } | Expr::Negate { of } => waiting.push(of),
            _ => {}
        }
    }
    Ok(())
}
