//! The rows whose condition is TRUE, in the same order. Row-wise: no row is looked at beside another.

use crate::relate::rows::{PersonRows, Room, StepStop, row_number};
use crate::relate::{RelationError, Step};
use cloister_plan::Expr;
use datafusion::arrow::array::{Array, AsArray};

/// A filter made ready.
pub struct Filter {
    condition: Expr,
}

impl Filter {
    /// Errors when the condition does not fit the columns or is no condition.
    pub fn new(condition: &Expr, below: &PersonRows) -> Result<Self, StepStop> {
        if below.value(condition)?.as_boolean_opt().is_none() {
            return Err(RelationError::Type { what: "a condition", expected: "bool" }.into());
        }
        Ok(Self { condition: condition.clone() })
    }
}

impl Step for Filter {
    fn run(&self, below: &[PersonRows], _: &mut Room) -> Result<PersonRows, StepStop> {
        let [below] = below else { return Err(RelationError::Lacks("rows").into()) };
        let condition = below.value(&self.condition)?;
        let wrong = RelationError::Type { what: "a condition", expected: "bool" };
        let condition = condition.as_boolean_opt().ok_or(wrong)?;
        let is_true =
            |row: usize| row < condition.len() && condition.is_valid(row) && condition.value(row);
        let (mut picked, mut borders) = (Vec::new(), vec![0]);
        for person in 0..below.persons() {
            for row in below.person(person).filter(|row| is_true(*row)) {
                picked.push(row_number(row)?);
            }
            borders.push(picked.len());
        }
        if picked.len() == below.rows() {
            return Ok(below.clone());
        }
        Ok(below.take(picked, borders)?)
    }
}
