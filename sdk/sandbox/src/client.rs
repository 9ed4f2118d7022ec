//! The node's side of a job: start a worker, send batches of persons, take their raw outputs.
//!
//! Must never trust the worker: every answer is checked against what was asked, since a module that breaks
//! out of its instance would speak with the worker's voice.

use std::io::{self, PipeReader, PipeWriter};
use std::thread::{self, JoinHandle};

use crate::batch::PersonBatch;
use crate::frames::{
    Abort, Answer, Counters, FrameError, Outputs, PersonOutput, ReadError, Refusal, Setup,
    read_answer, read_frame, write_batch, write_finish, write_setup,
};
use crate::limits::WORKER_STACK_BYTES;
use crate::shape::Shape;
use crate::worker::{WorkerError, serve};

/// A running job. Dropping it ends the worker.
#[derive(Debug)]
pub struct Runner {
    shape: Shape,
    module_sha256: [u8; 32],
    to_worker: Option<PipeWriter>,
    from_worker: PipeReader,
    frame: Vec<u8>,
    worker: Option<JoinHandle<Result<(), WorkerError>>>,
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

impl Runner {
    /// Starts a worker and has it vet and compile the module.
    ///
    /// # Errors
    /// [`RunnerError::Refused`] names the module's fault; anything else is the machine's.
    pub fn start(setup: &Setup) -> Result<Runner, RunnerError> {
        setup.check()?;
        let io = |error: io::Error| RunnerError::Io(error.kind());
        let (worker_input, to_worker) = io::pipe().map_err(io)?;
        let (from_worker, worker_output) = io::pipe().map_err(io)?;
        let worker = thread::Builder::new()
            .name("cloister-worker".to_owned())
            .stack_size(WORKER_STACK_BYTES)
            .spawn(move || serve(worker_input, worker_output))
            .map_err(io)?;
        let mut runner = Runner {
            shape: setup.shape.clone(),
            module_sha256: [0; 32],
            to_worker: Some(to_worker),
            from_worker,
            frame: Vec::new(),
            worker: Some(worker),
        };
        match runner.ask(|to_worker| write_setup(to_worker, setup), 0)? {
            Answer::Ready { sha256 } => runner.module_sha256 = sha256,
            Answer::Refused(refusal) => return Err(RunnerError::Refused(refusal)),
            other => return Err(runner.unexpected(&other)),
        }
        Ok(runner)
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
        match self.ask(|to_worker| write_batch(to_worker, batch), batch.len())? {
            Answer::Outputs(outputs) => Ok(outputs),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Ends the job and returns its local counters, which must stay inside the node.
    ///
    /// # Errors
    /// Any [`RunnerError`] when the worker failed before.
    pub fn finish(mut self) -> Result<Counters, RunnerError> {
        match self.ask(write_finish, 0)? {
            Answer::Finished(counters) => Ok(counters),
            other => Err(self.unexpected(&other)),
        }
    }

    /// One question, one answer. A failure ends the job.
    fn ask(
        &mut self,
        write: impl FnOnce(&mut PipeWriter) -> io::Result<()>,
        persons: usize,
    ) -> Result<Answer, RunnerError> {
        let to_worker = self.to_worker.as_mut().ok_or(RunnerError::Over)?;
        let written = write(to_worker);
        // A worker that gave up says why before it closes: read even when the write failed.
        let answer = read_frame(&mut self.from_worker, &mut self.frame)
            .map_err(RunnerError::from)
            .and_then(|()| Ok(read_answer(&self.frame, persons, self.shape.outputs_max())?));
        let answer = match (answer, written) {
            (Ok(answer), _) => Ok(answer),
            (Err(RunnerError::Closed), Err(error)) => Err(RunnerError::Io(error.kind())),
            (Err(error), _) => Err(error),
        };
        if answer.is_err() {
            self.to_worker = None;
        }
        answer
    }

    /// An answer to another question than was asked: the job is over.
    fn unexpected(&mut self, answer: &Answer) -> RunnerError {
        self.to_worker = None;
        match answer {
            Answer::Aborted(abort) => RunnerError::Aborted(*abort),
            Answer::Refused(refusal) => RunnerError::Refused(refusal.clone()),
            _ => RunnerError::Closed,
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // The closed stream ends the worker's loop.
        self.to_worker = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
