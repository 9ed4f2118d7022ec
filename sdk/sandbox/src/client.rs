//! The node's side of a job: start a worker, send batches of persons, take their raw outputs.
//!
//! Must never trust the worker: every answer is checked against what was asked, since a module that breaks
//! out of its instance would speak with the worker's voice.

use std::io::{self, PipeReader, PipeWriter};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::batch::PersonBatch;
use crate::cache::CompileCache;
use crate::frames::{
    Abort, Answer, Counters, FrameError, Outputs, PersonOutput, ReadError, Refusal, Setup,
    read_answer_into, read_frame, write_batch, write_finish, write_setup,
};
use crate::isolation::Protections;
use crate::limits::{FINISH_MS_MAX, SETUP_MS_MAX, WATCHDOG_MS_MAX, WORKER_STACK_BYTES};
use crate::process::{
    WorkerLease, WorkerProcess, WorkerProgram, read_artefact, read_greeting, write_artefact,
};
use crate::shape::Shape;
use crate::worker::{WorkerError, serve};

/// Where workers live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// A thread of this process: a module that breaks out of the engine has all that this process has, and
    /// nobody can end one before its fuel does. For tests and benches.
    Thread,
    /// A process of its own that can open, send and start nothing.
    Process {
        /// What it runs.
        program: WorkerProgram,
        /// Refuse to run a module where the kernel lacks a protection.
        requires_isolation: bool,
    },
}

/// How a node runs modules: chosen once, at its start.
#[derive(Clone, Debug)]
pub struct Workers {
    kind: WorkerKind,
    cache: Option<Arc<CompileCache>>,
}

/// A running job. Dropping it ends the worker.
#[derive(Debug)]
pub struct Runner {
    shape: Shape,
    module_sha256: [u8; 32],
    /// How long one batch may take before the worker is killed.
    batch_ms_max: u64,
    to_worker: Option<PipeWriter>,
    from_worker: PipeReader,
    frame: Vec<u8>,
    /// For the next outputs.
    room: Outputs,
    worker: Worker,
}

#[derive(Debug)]
enum Worker {
    Thread(Option<JoinHandle<Result<(), WorkerError>>>),
    Process(WorkerProcess),
}

/// Why a job cannot start or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// The module, or its fit to the shape, was refused.
    #[error("the module was refused (`{}`): {}", .0.reason, .0.detail)]
    Refused(Refusal),
    /// The worker gave up the job; outputs so far must not be used.
    #[error("the worker gave up the job (`{0:?}`): withhold the answer and run the job again")]
    Aborted(Abort),
    /// The worker's answer breaks the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The worker is gone.
    #[error("the worker ended without an answer: withhold the answer and run the job again")]
    Closed,
    /// The stream or the thread failed.
    #[error("the worker cannot be reached: {0}; run the job again")]
    Io(io::ErrorKind),
    /// The worker was killed since it did not answer.
    #[error(
        "the worker said nothing for {waited_ms} ms and was ended: lower the fuel of a person, or run the job again when the machine is less busy"
    )]
    Silent {
        /// How long it had.
        waited_ms: u64,
    },
    /// The worker was killed since it had not even greeted: the machine is overloaded, or starts nothing.
    #[error(
        "the worker did not start within {waited_ms} ms: run the job again when the machine is less busy"
    )]
    NoGreeting {
        /// How long it had.
        waited_ms: u64,
    },
    /// Something else than a worker was started.
    #[error(
        "the program that was started is no module worker of this version: its `main` must begin with `worker_main_if_asked`"
    )]
    NotAWorker,
    /// The kernel lacks protections that are required.
    #[error(
        "this kernel does not offer `{missing}`, so modules would run behind fewer walls: use Linux 5.13 or later with landlock and seccomp, or set `require_kernel_isolation = false` under `[sandbox]` in node.toml"
    )]
    NotIsolated {
        /// Which.
        missing: String,
    },
    /// The batch was made for another shape.
    #[error("the batch was made for another shape: make it with the runner's")]
    OtherShape,
    /// An earlier call failed: the job is over.
    #[error("the job is over since an earlier call failed: start another")]
    Over,
}

impl From<ReadError> for RunnerError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => RunnerError::Closed,
            ReadError::Io(kind) => RunnerError::Io(kind),
            ReadError::Frame(error) => RunnerError::Frame(error),
        }
    }
}

impl Workers {
    /// Workers of this kind, without a compile cache.
    pub fn new(kind: WorkerKind) -> Workers {
        Workers { kind, cache: None }
    }

    /// Worker processes of this very program, behind every protection: see [`WorkerProgram::this_one`].
    pub fn of_this_program(requires_isolation: bool) -> Workers {
        let program = WorkerProgram::this_one();
        Workers::new(WorkerKind::Process { program, requires_isolation })
    }

    /// With a compile cache; worker processes alone use it.
    #[must_use]
    pub fn with_cache(self, cache: CompileCache) -> Workers {
        Workers { cache: Some(Arc::new(cache)), ..self }
    }

    /// Starts a worker, asks what protects it, and ends it. `None` in threads, which nothing protects.
    ///
    /// # Errors
    /// [`RunnerError::NotIsolated`] and whatever else keeps a worker from starting.
    pub fn protections(&self) -> Result<Option<Protections>, RunnerError> {
        match &self.kind {
            WorkerKind::Thread => Ok(None),
            WorkerKind::Process { program, requires_isolation } => {
                let (_, _, _, protections) = start_process(program, *requires_isolation)?;
                Ok(Some(protections))
            }
        }
    }

    /// Starts a worker and has it vet and compile the module. Its process is killed, and the job is over, when a
    /// batch takes longer than `batch_ms_max`, as [`crate::limits::WATCHDOG_MS`] and the fuel of a batch say; a
    /// thread is not.
    ///
    /// # Errors
    /// [`RunnerError::Refused`] names the module's fault; anything else is the machine's.
    pub fn start(&self, setup: &Setup, batch_ms_max: u64) -> Result<Runner, RunnerError> {
        setup.check()?;
        self.begin()?.set_up(setup, batch_ms_max)
    }

    /// The first half of [`Workers::start`], for whoever may abandon the job before the module is compiled: the
    /// worker's lease is to be had at once.
    ///
    /// # Errors
    /// [`RunnerError::NotIsolated`] and whatever else keeps a worker from starting.
    pub fn begin(&self) -> Result<Starting, RunnerError> {
        let WorkerKind::Process { program, requires_isolation } = &self.kind else {
            return Starting::thread();
        };
        let (process, to_worker, from_worker, _) = start_process(program, *requires_isolation)?;
        let worker = Worker::Process(process);
        Ok(Starting { worker, to_worker, from_worker, cache: self.cache.clone() })
    }
}

/// A worker that knows no module yet. Dropping it ends the worker.
#[derive(Debug)]
pub struct Starting {
    worker: Worker,
    to_worker: PipeWriter,
    from_worker: PipeReader,
    cache: Option<Arc<CompileCache>>,
}

impl Starting {
    fn thread() -> Result<Starting, RunnerError> {
        let (worker_input, to_worker) = io::pipe().map_err(io_kind)?;
        let (from_worker, worker_output) = io::pipe().map_err(io_kind)?;
        let worker = thread::Builder::new()
            .name("cloister-worker".to_owned())
            .stack_size(WORKER_STACK_BYTES)
            .spawn(move || serve(worker_input, worker_output))
            .map_err(io_kind)?;
        Ok(Starting { worker: Worker::Thread(Some(worker)), to_worker, from_worker, cache: None })
    }

    /// Ends the worker when dropped, wherever its runner is then.
    pub fn lease(&self) -> WorkerLease {
        match &self.worker {
            Worker::Thread(_) => WorkerLease::of_thread(),
            Worker::Process(process) => process.lease(),
        }
    }

    /// Has the worker vet and compile the module: the second half of [`Workers::start`].
    ///
    /// # Errors
    /// As [`Workers::start`].
    pub fn set_up(self, setup: &Setup, batch_ms_max: u64) -> Result<Runner, RunnerError> {
        setup.check()?;
        let Starting { worker, to_worker, from_worker, cache } = self;
        let is_process = matches!(worker, Worker::Process(_));
        let mut runner = Runner {
            shape: setup.shape.clone(),
            module_sha256: [0; 32],
            batch_ms_max: batch_ms_max.min(WATCHDOG_MS_MAX),
            to_worker: Some(to_worker),
            from_worker,
            frame: Vec::new(),
            room: Outputs::default(),
            worker,
        };
        if is_process {
            let cached = cache.as_ref().and_then(|cache| cache.load(&setup.wasm));
            runner.within(SETUP_MS_MAX, |runner| {
                let to_worker = runner.to_worker.as_mut().ok_or(RunnerError::Over)?;
                write_artefact(to_worker, cached.as_deref().unwrap_or_default()).map_err(io_kind)
            })?;
        }
        runner.set_up(setup)?;
        if is_process {
            let fresh = runner.within(SETUP_MS_MAX, |runner| {
                read_artefact(&mut runner.from_worker).map_err(io_kind)
            })?;
            if let Some(cache) = &cache {
                cache.store(&setup.wasm, &fresh);
            }
        }
        Ok(runner)
    }
}

/// A worker process that greeted, and what protects it.
fn start_process(
    program: &WorkerProgram,
    requires_isolation: bool,
) -> Result<(WorkerProcess, PipeWriter, PipeReader, Protections), RunnerError> {
    let (process, to_worker, mut from_worker) = program.start().map_err(io_kind)?;
    process.expect_answer(Duration::from_millis(SETUP_MS_MAX));
    let greeting = read_greeting(&mut from_worker);
    process.answered();
    let protections = match greeting {
        Ok(Some(protections)) => protections,
        Err(_) if process.was_silent() => {
            return Err(RunnerError::NoGreeting { waited_ms: SETUP_MS_MAX });
        }
        Ok(None) | Err(_) => return Err(RunnerError::NotAWorker),
    };
    if requires_isolation && !protections.are_all_on() {
        return Err(RunnerError::NotIsolated { missing: protections.missing() });
    }
    Ok((process, to_worker, from_worker, protections))
}

fn io_kind(error: io::Error) -> RunnerError {
    RunnerError::Io(error.kind())
}

impl Runner {
    /// Starts a worker in a thread of this process: for tests and benches, and what [`WorkerKind::Thread`]
    /// chooses. A node uses [`Workers`].
    ///
    /// # Errors
    /// [`RunnerError::Refused`] names the module's fault; anything else is the machine's.
    pub fn start(setup: &Setup) -> Result<Runner, RunnerError> {
        setup.check()?;
        Starting::thread()?.set_up(setup, WATCHDOG_MS_MAX)
    }

    fn set_up(&mut self, setup: &Setup) -> Result<(), RunnerError> {
        match self.ask(|to_worker| write_setup(to_worker, setup), 0, SETUP_MS_MAX)? {
            Answer::Ready { sha256 } => self.module_sha256 = sha256,
            Answer::Refused(refusal) => return Err(RunnerError::Refused(refusal)),
            other => return Err(self.unexpected(&other)),
        }
        Ok(())
    }

    /// Id of the worker's process; `None` for a thread.
    pub fn process_id(&self) -> Option<u32> {
        match &self.worker {
            Worker::Thread(_) => None,
            Worker::Process(process) => Some(process.id()),
        }
    }

    /// The shape of this job; batches are made from it.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// SHA-256 of the module that the worker vetted: compare it with the approved one.
    pub fn module_sha256(&self) -> &[u8; 32] {
        &self.module_sha256
    }

    /// Runs a batch: one output a person, in the batch's order.
    ///
    /// # Errors
    /// Any [`RunnerError`] ends the job, but for [`RunnerError::OtherShape`].
    pub fn run_batch(&mut self, batch: &PersonBatch) -> Result<Vec<PersonOutput>, RunnerError> {
        Ok(self.run_batch_flat(batch)?.to_persons())
    }

    /// The same with all pairs in one array: nothing is allocated for each person.
    ///
    /// # Errors
    /// As [`Runner::run_batch`].
    pub fn run_batch_flat(&mut self, batch: &PersonBatch) -> Result<Outputs, RunnerError> {
        if batch.shape() != &self.shape {
            return Err(RunnerError::OtherShape);
        }
        let within_ms = self.batch_ms_max;
        match self.ask(|to_worker| write_batch(to_worker, batch), batch.len(), within_ms)? {
            Answer::Outputs(outputs) => Ok(outputs),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Takes outputs that nobody needs any more: the next batch's are written over them.
    pub fn give_back(&mut self, outputs: Outputs) {
        self.room = outputs;
    }

    /// Ends the job and returns its local counters, which must stay inside the node.
    ///
    /// # Errors
    /// Any [`RunnerError`] when the worker failed before.
    pub fn finish(mut self) -> Result<Counters, RunnerError> {
        match self.ask(write_finish, 0, FINISH_MS_MAX)? {
            Answer::Finished(counters) => Ok(counters),
            other => Err(self.unexpected(&other)),
        }
    }

    /// One question, one answer. A failure ends the job.
    fn ask(
        &mut self,
        write: impl FnOnce(&mut PipeWriter) -> io::Result<()>,
        persons: usize,
        within_ms: u64,
    ) -> Result<Answer, RunnerError> {
        let answer = self.within(within_ms, |runner| {
            let to_worker = runner.to_worker.as_mut().ok_or(RunnerError::Over)?;
            let written = write(to_worker);
            // A worker that gave up says why before it closes: read even when the write failed.
            let answer = read_frame(&mut runner.from_worker, &mut runner.frame)
                .map_err(RunnerError::from)
                .and_then(|()| {
                    let room = std::mem::take(&mut runner.room);
                    let outputs_max = runner.shape.outputs_max();
                    Ok(read_answer_into(room, &runner.frame, persons, outputs_max)?)
                });
            match (answer, written) {
                (Ok(answer), _) => Ok(answer),
                (Err(RunnerError::Closed), Err(error)) => Err(RunnerError::Io(error.kind())),
                (Err(error), _) => Err(error),
            }
        });
        if answer.is_err() {
            self.to_worker = None;
        }
        answer
    }

    /// Does something that waits for the worker; one that stays silent for longer is killed. When its answer came
    /// just then, the next call says so. A thread may
    /// take as long as its fuel lasts.
    fn within<T>(
        &mut self,
        within_ms: u64,
        talk: impl FnOnce(&mut Runner) -> Result<T, RunnerError>,
    ) -> Result<T, RunnerError> {
        if let Worker::Process(process) = &self.worker {
            process.expect_answer(Duration::from_millis(within_ms));
        }
        let said = talk(self);
        if let Worker::Process(process) = &self.worker {
            process.answered();
            let is_new = !matches!(said, Ok(_) | Err(RunnerError::Over));
            if is_new && process.was_silent() {
                return Err(RunnerError::Silent { waited_ms: within_ms });
            }
        }
        said
    }

    /// An answer to another question than was asked: the job is over.
    fn unexpected(&mut self, answer: &Answer) -> RunnerError {
        self.to_worker = None;
        match answer {
            Answer::Aborted(abort) => RunnerError::Aborted(*abort),
            // A refusal belongs to the set-up: after it a worker's words may be what it knows of a person.
            _ => RunnerError::Closed,
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // The closed stream ends the worker's loop; a process is killed besides, when it is dropped.
        self.to_worker = None;
        if let Worker::Thread(thread) = &mut self.worker
            && let Some(thread) = thread.take()
        {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::write_answer;
    use crate::shape::ColumnKind;

    #[test]
    fn a28_a_worker_that_refuses_after_the_set_up_is_not_quoted() {
        let shape = Shape::new(4, vec![ColumnKind::Int], 2).unwrap();
        let wasm = vec![1, 2, 3];
        let setup = Setup { wasm, shape: shape.clone(), fuel_per_person: 1_000 };
        let (mut worker_input, to_worker) = io::pipe().unwrap();
        let (from_worker, mut worker_output) = io::pipe().unwrap();
        let liar = thread::spawn(move || {
            let mut frame = Vec::new();
            let knows = Refusal { reason: "bob".into(), detail: "bob earns 7".into() };
            for answer in [Answer::Ready { sha256: [0; 32] }, Answer::Refused(knows)] {
                read_frame(&mut worker_input, &mut frame).unwrap();
                write_answer(&mut worker_output, &answer).unwrap();
            }
            Ok(())
        });
        let worker = Worker::Thread(Some(liar));
        let starting = Starting { worker, to_worker, from_worker, cache: None };
        let mut runner = starting.set_up(&setup, 1_000).unwrap();
        let batch = PersonBatch::new(&shape);
        assert_eq!(runner.run_batch(&batch), Err(RunnerError::Closed));
        assert_eq!(runner.run_batch(&batch), Err(RunnerError::Over));
    }
}
