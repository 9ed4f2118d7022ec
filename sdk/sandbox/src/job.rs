//! One person at a time through an instance: write, run, read, restore. One way in and out for all tiers.
//!
//! Must never let a trap, the fuel left, or anything else but the returned pairs reach the caller, save
//! as counters that stay inside the node; nor run a person in an instance that is not as the image says.

use wasmtime::Trap;

use crate::engine::{Buffer, CompileError, Compiled, Restore};
use crate::frames::Counters;
use crate::image::Image;
use crate::limits::{COMPARED_EVERY, FUEL_PER_PERSON_MAX};
use crate::live::{Live, Spare, sandbox};
use crate::outputs::Outputs;
use crate::persons::{PersonRows, Persons};
use crate::shape::Shape;
use crate::tier::Tier;

/// A compiled module bound to a shape and a fuel allowance.
pub struct Job {
    compiled: Compiled,
    shape: Shape,
    input: Buffer,
    output: Buffer,
    fuel_per_person: u64,
    counters: Counters,
    /// The instance that the next person gets; none at the start, in the fresh tier, and after a trap in a large
    /// memory.
    live: Option<Live>,
    /// In the fresh tier, the store of the person before.
    spare: Option<Spare>,
    /// What that instance must be; none before the first and in the fresh tier.
    image: Option<Image>,
    compared_every: u64,
    /// A seeded fault: where the restore is left out.
    #[cfg(feature = "for-tests")]
    keeps_state: Option<Ended>,
}

/// How a person's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Returned,
    Trapped,
}

/// What a person's run left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The instance as the image says, but for the rows in its input buffer: the next person's are written over
    /// them.
    Restored,
    /// One that serves nobody else.
    Served,
    /// One that trapped and was not restored.
    Trapped,
}

/// Why a whole job ends without an answer. Nothing here depends on one person's result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The machine could not give an instance, or the engine failed.
    #[error("the sandbox failed: {detail}; run the job again")]
    Sandbox {
        /// The engine's words, local to the node.
        detail: String,
    },
}

impl Job {
    /// Binds a module to a shape.
    ///
    /// # Errors
    /// [`CompileError`] when the module was built for another shape.
    pub fn new(
        compiled: Compiled,
        shape: Shape,
        fuel_per_person: u64,
    ) -> Result<Job, CompileError> {
        let (input, output) = compiled.buffers(&shape)?;
        let fuel_per_person = fuel_per_person.min(FUEL_PER_PERSON_MAX);
        Ok(Job {
            compiled,
            shape,
            input,
            output,
            fuel_per_person,
            counters: Counters::default(),
            live: None,
            spare: None,
            image: None,
            compared_every: COMPARED_EVERY,
            #[cfg(feature = "for-tests")]
            keeps_state: None,
        })
    }

    /// Compares memory and globals with the image after one person in so many.
    #[cfg(feature = "for-tests")]
    #[must_use]
    pub fn compared_every(self, persons: u64) -> Job {
        Job { compared_every: persons.max(1), ..self }
    }

    /// A seeded fault: the restore after a return is left out.
    #[cfg(feature = "for-tests")]
    #[must_use]
    pub fn keeping_state(self) -> Job {
        Job { keeps_state: Some(Ended::Returned), ..self }
    }

    /// A seeded fault: the restore after a trap is left out.
    #[cfg(feature = "for-tests")]
    #[must_use]
    pub fn keeping_state_of_traps(self) -> Job {
        Job { keeps_state: Some(Ended::Trapped), ..self }
    }

    #[cfg(feature = "for-tests")]
    fn restores(&self, ended: Ended) -> bool {
        self.keeps_state != Some(ended)
    }

    #[cfg(not(feature = "for-tests"))]
    fn restores(&self, _: Ended) -> bool {
        true
    }

    /// The shape that persons must have.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What happened so far. Local to the node: these counts depend on the data.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Runs every person of a batch and adds their outputs, in order.
    ///
    /// # Errors
    /// [`JobError`]; the job is over then and no output of the batch may be used.
    pub fn run_batch(
        &mut self,
        persons: &Persons<'_>,
        outputs: &mut Outputs,
    ) -> Result<(), JobError> {
        let ran = persons.iter().try_for_each(|person| self.run_person(persons, person, outputs));
        let ran = ran.and_then(|()| self.erase_input());
        if ran.is_err() {
            // What stopped half-way is used for nobody any more.
            (self.live, self.spare) = (None, None);
        }
        ran
    }

    fn run_person(
        &mut self,
        persons: &Persons<'_>,
        person: PersonRows,
        outputs: &mut Outputs,
    ) -> Result<(), JobError> {
        self.counters.persons += 1;
        let after = self.run_in_instance(persons, person, outputs);
        match after {
            Ok(After::Restored) => {}
            Ok(After::Served) => self.spare = self.live.take().and_then(Live::spare),
            // The instance goes with its store: whatever was half done goes with them.
            Ok(After::Trapped) | Err(_) => self.live = None,
        }
        after.map(|_| ())
    }

    /// Runs one person; what is to become of the instance.
    fn run_in_instance(
        &mut self,
        persons: &Persons<'_>,
        person: PersonRows,
        outputs: &mut Outputs,
    ) -> Result<After, JobError> {
        if self.live.is_none() {
            self.live = Some(self.start()?);
        }
        let Some(live) = &mut self.live else { return Err(no_buffer()) };
        let rows_before = std::mem::replace(&mut live.rows_left, person.rows);
        let input = input_of(live, self.input)?;
        persons.write(person, rows_before, &self.shape, input).ok_or_else(no_buffer)?;
        live.store.set_fuel(self.fuel_per_person).map_err(sandbox)?;
        // The row cap is far below i32's range.
        match live.person_map.call(&mut live.store, person.rows as i32) {
            Ok(count) => {
                let end = self.output.start.saturating_add(self.output.bytes);
                let data = live.memory.data(&live.store);
                let buffer = data.get(self.output.start..end).ok_or_else(no_buffer)?;
                if !outputs.push_returned(count, buffer, self.shape.layout()) {
                    self.counters.bad_returns += 1;
                }
                self.restore()
            }
            Err(error) => {
                outputs.push_default();
                self.trapped(&error)?;
                self.restore_whole()
            }
        }
    }

    /// A fresh instance, its input buffer zeroed. Its first state is the image.
    fn start(&mut self) -> Result<Live, JobError> {
        let mut live = Live::start(&self.compiled, self.spare.take())?;
        input_of(&mut live, self.input)?.fill(0);
        if self.image.is_none() && self.compiled.restore != Restore::Instance {
            self.image = Some(Image::of(&mut live));
        }
        Ok(live)
    }

    /// Restores the instance for the next person and, on a sample, compares it with the image.
    fn restore(&mut self) -> Result<After, JobError> {
        let restores = self.restores(Ended::Returned);
        let (Some(image), Some(live)) = (&mut self.image, &mut self.live) else {
            return Ok(After::Served);
        };
        if restores {
            image.restore(live, &self.compiled.restore)?;
        }
        self.compare_some()?;
        Ok(After::Restored)
    }

    /// The same after a trap: the whole image, whatever the tier would copy back.
    fn restore_whole(&mut self) -> Result<After, JobError> {
        let restores = self.restores(Ended::Trapped);
        let (Some(image), Some(live)) = (&self.image, &mut self.live) else {
            return Ok(After::Trapped);
        };
        if restores && !image.restore_whole(live)? {
            return Ok(After::Trapped);
        }
        self.compare_some()?;
        Ok(After::Restored)
    }

    fn compare_some(&mut self) -> Result<(), JobError> {
        if (self.counters.persons - 1).is_multiple_of(self.compared_every) {
            self.compare()?;
        }
        Ok(())
    }

    /// # Errors
    /// [`JobError::Sandbox`] when memory or a global is not the image's.
    fn compare(&mut self) -> Result<(), JobError> {
        self.erase_input()?;
        let (Some(image), Some(live)) = (&self.image, &mut self.live) else { return Ok(()) };
        if image.matches(live) {
            return Ok(());
        }
        let detail = format!("a person left state behind in the tier `{}`", self.tier());
        Err(JobError::Sandbox { detail })
    }

    /// Zeroes what the last person's rows left in the input buffer, so that the instance is as the image says.
    fn erase_input(&mut self) -> Result<(), JobError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let rows = std::mem::take(&mut live.rows_left);
        let input = input_of(live, self.input)?;
        Persons::erase(rows, &self.shape, input).ok_or_else(no_buffer)
    }

    /// How this job forgets one person before the next.
    pub fn tier(&self) -> Tier {
        self.compiled.tier()
    }

    /// A trap of the module is the person's; a failure of the engine ends the job.
    fn trapped(&mut self, error: &wasmtime::Error) -> Result<(), JobError> {
        match error.downcast_ref::<Trap>() {
            None => return Err(JobError::Sandbox { detail: format!("{error:#}") }),
            Some(Trap::OutOfFuel) => self.counters.out_of_fuel += 1,
            Some(Trap::StackOverflow) => self.counters.stack_overflows += 1,
            Some(_) => self.counters.traps += 1,
        }
        Ok(())
    }
}

fn input_of(live: &mut Live, input: Buffer) -> Result<&mut [u8], JobError> {
    let data = live.memory.data_mut(&mut live.store);
    data.get_mut(input.start..input.start.saturating_add(input.bytes)).ok_or_else(no_buffer)
}

fn no_buffer() -> JobError {
    JobError::Sandbox { detail: "a buffer is gone".to_owned() }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
