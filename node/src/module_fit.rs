//! Whether a module can answer a plan: a worker vets and compiles it, and its buffers are those of the plan's
//! rows, columns and outputs. Asked before a charge, and at the researcher's own prompt, where the whole reason
//! may be told: it is about the module and the plan alone, and no record has been read.

use crate::contribute::module::module_shape;
use cloister_plan::{Contribute, ContributionPlan};
use cloister_sandbox::limits::WATCHDOG_MS;
use cloister_sandbox::{RunnerError, Setup, ShapeError, Workers};

/// The reason that a worker gives when the machine cannot start its engine.
const ENGINE_REASON: &str = "engine";

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
    let setup = Setup { wasm: wasm.to_vec(), shape, fuel_per_person, watchdog_ms: WATCHDOG_MS };
    let Err(error) = workers.start(&setup) else { return Ok(()) };
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

/// The same in a worker of this very program, behind whatever walls this machine offers: the module is only
/// vetted and compiled, never run.
///
/// # Errors
/// As [`module_fits`].
pub fn module_fits_here(plan: &ContributionPlan, wasm: &[u8]) -> Result<(), ModuleFitError> {
    module_fits(plan, wasm, &Workers::of_this_program(false))
}
