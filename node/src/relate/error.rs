//! What can be wrong with a relation. All of it can be known from the plan alone, so that a plan that
//! passed the check can fail on no data; an error must never hold a value from a row.

use cloister_terms::Name;

/// Why a plan's relation cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelationError {
    /// A step reads a table that the plan does not list.
    #[error("a step reads table {table}, the plan lists {tables}: plan the analysis again")]
    NoTable {
        /// The index in the step.
        table: u32,
        /// Number of tables.
        tables: usize,
    },
    /// Too deep a nesting of steps or of expressions.
    #[error("the plan's {what} nest deeper than {max}: write the query with fewer levels")]
    Depth {
        /// Steps or expressions.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Too many steps.
    #[error("the plan has more than {max} steps: write the query with fewer subqueries")]
    Steps {
        /// The limit.
        max: usize,
    },
    /// Two columns of a step share a name.
    #[error("a step of the plan has two columns named `{0}`: name one of them otherwise with `AS`")]
    Twice(Name),
    /// A step lacks what it needs.
    #[error("a step of the plan has no {0}: plan the analysis again")]
    Lacks(&'static str),
    /// Values that must be of one type are not.
    #[error("{0} of a step of the plan differ in type or name: plan the analysis again")]
    Differ(&'static str),
    /// A condition, sum or mean over a value of the wrong type.
    #[error("{what} of a step of the plan must be {expected}: plan the analysis again")]
    Type {
        /// Which part.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A public table whose rows do not fit its columns.
    #[error(
        "a public table of the plan has rows that do not fit its columns: plan the analysis again"
    )]
    PublicRows,
    /// The units of the plan's tables are of different types.
    #[error(
        "the plan reads tables whose units are of different types: correct the dictionary's unit columns"
    )]
    UnitTypes,
    /// A step reached across the border between two persons.
    #[error("a step read a row of another person: report this, no plan or data may cause it")]
    Border,
}
