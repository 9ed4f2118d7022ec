//! Whether a module can answer a plan: a worker vets and compiles it, and its buffers are those of the plan's
//! rows, columns and outputs. Asked before a charge, and at the researcher's own prompt, where the whole reason
//! may be told: it is about the module and the plan alone, and no record has been read.

use crate::contribute::module::module_shape;
use cloister_plan::{Contribute, ContributionPlan};
use cloister_sandbox::limits::WATCHDOG_MS;
use cloister_sandbox::{ColumnKind, RunnerError, Setup, Shape, ShapeError, VetError, Workers};

/// The reason that a worker gives when the machine cannot start its engine.
const ENGINE_REASON: &str = "engine";
/// The reasons that a worker gives for a module that is vetted and compiled, but was built for another shape.
const SHAPE_REASONS: [&str; 3] = ["input_size", "output_too_small", "signature"];

/// Why a module cannot answer a plan.
#[derive(Debug, thiserror::Error)]
pub enum ModuleFitError {
    /// The plan asks for more than the sandbox gives.
    #[error("the module cannot be given what is asked: {0}")]
    Shape(#[from] ShapeError),
    /// The module breaks a rule, or was built for something else.
    #[error("{detail} (`{reason}`)")]
    Refused {
        /// A stable name for the rule.
        reason: String,
        /// What to do.
        detail: String,
    },
    /// The worker ended or said nothing while it compiled the module.
    #[error(
        "the module cannot be compiled within the limits of a worker ({0}): make its functions smaller"
    )]
    Compiling(RunnerError),
    /// This machine could not try it.
    #[error("the module could not be tried on this machine: {0}")]
    Machine(RunnerError),
}

impl From<VetError> for ModuleFitError {
    fn from(error: VetError) -> Self {
        Self::Refused { reason: error.reason().to_owned(), detail: error.to_string() }
    }
}

impl ModuleFitError {
    /// Whether it tells of this machine rather than of the module.
    pub fn is_of_this_machine(&self) -> bool {
        matches!(self, Self::Machine(_))
    }
}

/// Tries whether the module with these bytes can answer `plan`; any other plan needs none, and passes.
///
/// # Errors
/// [`ModuleFitError`].
pub fn module_fits(
    plan: &ContributionPlan,
    wasm: &[u8],
    workers: &Workers,
) -> Result<(), ModuleFitError> {
    let (Contribute::Module(module), Some(shape)) = (&plan.contribute, module_shape(plan)) else {
        return Ok(());
    };
    let (shape, fuel_per_person) = (shape?, module.fuel_per_person);
    started(shape, wasm, fuel_per_person, workers)
}

/// A worker's verdict on a module for this shape.
fn started(
    shape: Shape,
    wasm: &[u8],
    fuel_per_person: u64,
    workers: &Workers,
) -> Result<(), ModuleFitError> {
    let setup = Setup { wasm: wasm.to_vec(), shape, fuel_per_person };
    let Err(error) = workers.start(&setup, WATCHDOG_MS) else { return Ok(()) };
    Err(match error {
        RunnerError::Refused(refusal) if refusal.reason != ENGINE_REASON => {
            ModuleFitError::Refused { reason: refusal.reason, detail: refusal.detail }
        }
        // It greeted, and then ended or fell silent over this module.
        RunnerError::Closed
        | RunnerError::Silent { .. }
        | RunnerError::Aborted(_)
        | RunnerError::Frame(_) => ModuleFitError::Compiling(error),
        _ => ModuleFitError::Machine(error),
    })
}

/// Workers of this very program, behind whatever walls this machine offers: for whoever has no `node.toml`
/// that could say so, and no records that a module could see.
pub fn workers_here() -> Workers {
    Workers::of_this_program(false)
}

/// As [`module_fits`], with [`workers_here`]: the module is only vetted and compiled, never run.
///
/// # Errors
/// As [`module_fits`].
pub fn module_fits_here(plan: &ContributionPlan, wasm: &[u8]) -> Result<(), ModuleFitError> {
    module_fits(plan, wasm, &workers_here())
}

/// The same before there is a plan: whether nodes compile the module at all.
///
/// # Errors
/// As [`module_fits`].
pub fn module_compiles_here(wasm: &[u8]) -> Result<(), ModuleFitError> {
    // Any shape will do: a worker compares the module with it last.
    let shape = Shape::new(1, vec![ColumnKind::Int], 1)?;
    let is_of_the_shape = |reason: &str| SHAPE_REASONS.contains(&reason);
    match started(shape, wasm, 1, &workers_here()) {
        Err(ModuleFitError::Refused { reason, .. }) if is_of_the_shape(&reason) => Ok(()),
        verdict => verdict,
    }
}
