//! Everything that can go wrong after a charge. A fault stays inside the node: outside, every one
//! of them is the same withheld answer, so its text may be frank but must never be sent.

use crate::aggregate::SumOverflow;
use crate::catalog::CatalogError;
use crate::evaluate::EvaluateError;
use crate::relate::RelationError;
use cloister_sandbox::{BatchError, RunnerError, ShapeError as ModuleShapeError};
use cloister_terms::shape::ShapeError;
use cloister_terms::{ColumnType, Name};
use datafusion::error::DataFusionError;

/// Why a charged run gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Reading or sorting the rows failed: an unreadable file, a full memory, a bad page.
    #[error("the rows could not be read: {0}; run `cloister-node check` to find the file")]
    Scan(#[from] DataFusionError),
    /// A file is missing, malformed, or changed while it was read.
    #[error("the tables are not what was checked: {0}")]
    Files(#[from] CatalogError),
    /// The plan reads a column that the dictionary of this catalog does not have.
    #[error(
        "the plan reads `{dataset}.{column}`, which the node's dictionary does not have: plan the analysis again"
    )]
    UnknownColumn {
        /// The dataset.
        dataset: Name,
        /// The column.
        column: Name,
    },
    /// The plan takes a column for another type than the dictionary's.
    #[error(
        "the plan takes `{column}` for {planned}, the node's dictionary says otherwise: plan the analysis again"
    )]
    ColumnType {
        /// The column.
        column: Name,
        /// The type in the plan.
        planned: ColumnType,
    },
    /// The scan gave other columns than were asked for.
    #[error(
        "the scan gave column {index} in another type than the dictionary's: report this with the node's version"
    )]
    Layout {
        /// Position in the scan's output.
        index: usize,
    },
    /// An expression of the plan does not fit its columns.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The plan's relation cannot be executed.
    #[error(transparent)]
    Relation(#[from] RelationError),
    /// The plan's shape is unusable.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The plan's lanes, keys or sensitivities do not fit its shape.
    #[error("the plan's {what} do not fit its shape: plan the analysis again")]
    PlanShape {
        /// Which part.
        what: &'static str,
    },
    /// A module plan without the module's bytes.
    #[error("the plan runs a module, but the charge holds none: admit the request again")]
    NoModule,
    /// The bytes that ran are not those that were approved.
    #[error("the sandbox ran another module than the approved one: admit the request again")]
    OtherModule,
    /// The module's shape is beyond the sandbox's limits.
    #[error(transparent)]
    ModuleShape(#[from] ModuleShapeError),
    /// A person could not be handed to the sandbox.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The sandbox gave up.
    #[error(transparent)]
    Sandbox(#[from] RunnerError),
    /// A sum left i128, which the limits exclude.
    #[error(transparent)]
    Overflow(#[from] SumOverflow),
    /// A worker task stopped before its end.
    #[error("a worker of the run stopped before its end: look at the lines above in the log")]
    Worker,
}
