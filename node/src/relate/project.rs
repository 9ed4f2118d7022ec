//! The same rows with other columns. Row-wise: no row is looked at beside another.

use crate::relate::rows::{PersonRows, Room, StepStop};
use crate::relate::{RelationError, Step, distinct_names};
use cloister_plan::NamedExpr;
use cloister_terms::Name;
use datafusion::arrow::array::ArrayRef;
use std::sync::Arc;

/// A projection made ready.
pub struct Project {
    columns: Vec<NamedExpr>,
    names: Arc<[Name]>,
}

impl Project {
    /// Errors without columns, and on names that stand twice.
    pub fn new(columns: &[NamedExpr]) -> Result<Self, RelationError> {
        if columns.is_empty() {
            return Err(RelationError::Lacks("columns"));
        }
        let names = distinct_names(columns.iter().map(|column| &column.name))?;
        Ok(Self { columns: columns.to_vec(), names })
    }
}

impl Step for Project {
    fn run(&self, below: &[PersonRows], _: &mut Room) -> Result<PersonRows, StepStop> {
        let [below] = below else { return Err(RelationError::Lacks("rows").into()) };
        let arrays = columns(&self.columns, below)?;
        Ok(PersonRows::new(Arc::clone(&self.names), arrays, Arc::clone(below.borders()))?)
    }
}

/// The value of each column on every row.
pub fn columns(columns: &[NamedExpr], rows: &PersonRows) -> Result<Vec<ArrayRef>, StepStop> {
    rows.values(columns.iter().map(|column| &column.expr))
}
