//! One person at a time through a fresh instance: zero, write, run, read.
//!
//! Must never let a trap, the fuel left, or anything else but the returned pairs reach the caller, save
//! as counters that stay inside the node.

use wasmtime::{Extern, Store, Trap};

use crate::engine::{Buffer, CompileError, Compiled};
use crate::frames::{Counters, Pair, PersonOutput, PersonRows};
use crate::limits::FUEL_PER_PERSON_MAX;
use crate::shape::{PAIR_BYTES, Shape};
use crate::watchdog::Watchdog;

/// A compiled module bound to a shape and a fuel allowance.
pub struct Job {
    compiled: Compiled,
    shape: Shape,
    input: Buffer,
    output: Buffer,
    fuel_per_person: u64,
    watchdog: Watchdog,
    counters: Counters,
}

/// Why a whole job ends without an answer. Nothing here depends on one person's result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The watchdog fired.
    #[error(
        "the batch outran the watchdog and the job was given up: raise its limit or lower the fuel"
    )]
    Watchdog,
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
    /// [`CompileError`] when the module was built for another shape, or no watchdog can be started.
    pub fn new(
        compiled: Compiled,
        shape: Shape,
        fuel_per_person: u64,
        watchdog_ms: u64,
    ) -> Result<Job, CompileError> {
        let (input, output) = compiled.buffers(&shape)?;
        let watchdog = Watchdog::start(&compiled.engine, watchdog_ms)
            .map_err(|error| CompileError::Engine { detail: error.to_string() })?;
        let fuel_per_person = fuel_per_person.min(FUEL_PER_PERSON_MAX);
        let counters = Counters::default();
        Ok(Job { compiled, shape, input, output, fuel_per_person, watchdog, counters })
    }

    /// The shape that persons must have.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What happened so far. Local to the node: these counts depend on the data.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Runs every person of a batch, each in an instance of its own.
    ///
    /// # Errors
    /// [`JobError`]; the job is over then and no output of the batch may be used.
    pub fn run_batch<'b>(
        &mut self,
        persons: impl Iterator<Item = PersonRows<'b>>,
    ) -> Result<Vec<PersonOutput>, JobError> {
        self.watchdog.arm();
        let outputs: Result<Vec<_>, _> = persons.map(|person| self.run_person(&person)).collect();
        self.watchdog.disarm();
        if self.watchdog.expired() {
            return Err(JobError::Watchdog);
        }
        outputs
    }

    fn run_person(&mut self, person: &PersonRows<'_>) -> Result<PersonOutput, JobError> {
        if self.watchdog.expired() {
            return Err(JobError::Watchdog);
        }
        self.counters.persons += 1;
        let mut store = Store::new(&self.compiled.engine, ());
        store.set_fuel(self.fuel_per_person).map_err(sandbox)?;
        store.set_epoch_deadline(1);
        let instance = self.compiled.ready.instantiate(&mut store).map_err(sandbox)?;
        let memory = instance.get_module_export(&mut store, &self.compiled.memory);
        let function = instance.get_module_export(&mut store, &self.compiled.person_map);
        let (Some(Extern::Memory(memory)), Some(Extern::Func(function))) = (memory, function)
        else {
            return Err(JobError::Sandbox { detail: "an export is gone".to_owned() });
        };
        let function = function.typed::<i32, i32>(&store).map_err(sandbox)?;
        self.write_input(memory.data_mut(&mut store), person)?;
        // Instantiation may have used fuel: the allowance counts from here, the same for each person.
        store.set_fuel(self.fuel_per_person).map_err(sandbox)?;
        let count = match function.call(&mut store, person.rows.cast_signed()) {
            Ok(count) => count,
            Err(error) => return self.trapped(&error),
        };
        let pairs = usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.shape.outputs_max() as usize)
            .and_then(|count| self.read_pairs(memory.data(&store), count));
        match pairs {
            Some(pairs) => Ok(PersonOutput::Pairs(pairs)),
            None => {
                self.counters.bad_returns += 1;
                Ok(PersonOutput::Default)
            }
        }
    }

    /// Zeroes the whole input buffer, then writes the person's columns at their fixed offsets.
    fn write_input(&self, data: &mut [u8], person: &PersonRows<'_>) -> Result<(), JobError> {
        let outside = || JobError::Sandbox { detail: "the input buffer is gone".to_owned() };
        let end = self.input.start.saturating_add(self.input.bytes);
        let input = data.get_mut(self.input.start..end).ok_or_else(outside)?;
        input.fill(0);
        let columns = input.chunks_exact_mut(self.shape.column_bytes());
        for (place, column) in columns.zip(&person.columns) {
            let (bitmap, values) =
                place.split_at_mut_checked(self.shape.values_offset()).ok_or_else(outside)?;
            let bitmap = bitmap.get_mut(..column.bitmap.len()).ok_or_else(outside)?;
            bitmap.copy_from_slice(column.bitmap);
            let values = values.get_mut(..column.values.len()).ok_or_else(outside)?;
            values.copy_from_slice(column.values);
        }
        Ok(())
    }

    /// Copies the pairs out; `None` when the zero word of one is not zero.
    fn read_pairs(&self, data: &[u8], count: usize) -> Option<Vec<Pair>> {
        let end = self.output.start.checked_add(self.output.bytes)?;
        let (pairs, _) = data.get(self.output.start..end)?.as_chunks::<PAIR_BYTES>();
        pairs.get(..count)?.iter().map(Pair::from_module).collect()
    }

    /// A trap of the module gives the default contribution; the watchdog's or the engine's ends the job.
    fn trapped(&mut self, error: &wasmtime::Error) -> Result<PersonOutput, JobError> {
        match error.downcast_ref::<Trap>() {
            None => return Err(JobError::Sandbox { detail: format!("{error:#}") }),
            Some(Trap::Interrupt) => return Err(JobError::Watchdog),
            Some(Trap::OutOfFuel) => self.counters.out_of_fuel += 1,
            Some(Trap::StackOverflow) => self.counters.stack_overflows += 1,
            Some(_) => self.counters.traps += 1,
        }
        Ok(PersonOutput::Default)
    }
}

fn sandbox(error: wasmtime::Error) -> JobError {
    JobError::Sandbox { detail: format!("{error:#}") }
}
