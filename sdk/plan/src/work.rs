//! What finding public values may cost one question, counted in steps and never in time, so that every machine
//! refuses the same questions. Whatever lists, compares or tries values must count here before it does so.

use crate::error::{Place, PlanError};
use crate::limits::DOMAIN_STEPS_MAX;
use std::cell::Cell;
use std::rc::Rc;

/// Bytes that are read in one step.
const BYTES_A_STEP: usize = 64;

/// Steps that one question has taken so far. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work(Rc<Cell<usize>>);

/// One question's steps are all taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl Work {
    /// Counts steps that are about to be taken. Errors when they are too many: they must not be taken then.
    pub fn take(&self, steps: usize) -> Result<(), UsedUp> {
        let taken = self.0.get().saturating_add(steps);
        self.0.set(taken);
        if taken > DOMAIN_STEPS_MAX { Err(UsedUp) } else { Ok(()) }
    }

    /// As [`Self::take`], for one value for which so many bytes are read.
    pub fn take_value(&self, bytes: usize) -> Result<(), UsedUp> {
        self.take(1 + bytes / BYTES_A_STEP)
    }

    /// Steps taken so far.
    #[cfg(test)]
    pub fn taken(&self) -> usize {
        self.0.get()
    }
}

impl UsedUp {
    /// The refusal, with the place in the text where the steps ran out.
    pub fn at(self, place: Place) -> PlanError {
        PlanError::TooMuchWork { place }
    }
}
