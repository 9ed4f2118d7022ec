//! The side that holds the engine: setup, batches, finish, over any byte stream.
//!
//! Must never act on a frame that breaks the protocol, nor answer anything but what the client asked.
//! Today a thread calls `serve`; the same bytes over standard input and output make it a process.

use std::io::{self, Read, Write};

use crate::engine::{CompileError, compile};
use crate::frames::{
    Abort, Answer, FrameError, Outputs, ReadError, Refusal, Request, Setup, read_frame,
    read_request, write_answer,
};
use crate::job::{Job, JobError};
use crate::limits::Limits;
use crate::persons::Persons;
use crate::vet::{VetError, vet};

/// Why a worker ended without a finish frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// No frame could be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The answer could not be written.
    #[error("the answer could not be written: {0}")]
    Write(io::ErrorKind),
    /// A setup came twice, or a batch or finish before it.
    #[error("a `{frame}` frame came out of order: send setup once, then batches, then finish")]
    Order {
        /// Its name.
        frame: &'static str,
    },
    /// The job was given up.
    #[error(transparent)]
    Job(#[from] JobError),
}

/// Why a setup is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum SetupError {
    #[error(transparent)]
    Vet(#[from] VetError),
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl From<FrameError> for WorkerError {
    fn from(error: FrameError) -> Self {
        WorkerError::Read(ReadError::Frame(error))
    }
}

/// Serves one job: reads frames until finish, a refusal, or an error.
///
/// # Errors
/// [`WorkerError`]; the client was told that the job is over, if the stream still took it.
pub fn serve(mut input: impl Read, mut output: impl Write) -> Result<(), WorkerError> {
    let served = serve_frames(&mut input, &mut output);
    if let Err(error) = &served {
        let abort = match error {
            WorkerError::Job(JobError::Watchdog) => Abort::Watchdog,
            WorkerError::Job(JobError::Sandbox { .. }) => Abort::Sandbox,
            WorkerError::Read(_) | WorkerError::Order { .. } => Abort::Protocol,
            WorkerError::Write(_) => return served,
        };
        // The stream may be gone already; the error returned says what happened.
        let _ = write_answer(&mut output, &Answer::Aborted(abort));
    }
    served
}

fn serve_frames(input: &mut impl Read, output: &mut impl Write) -> Result<(), WorkerError> {
    let mut frame = Vec::new();
    read_frame(input, &mut frame)?;
    let setup = match read_request(&frame)? {
        Request::Setup(setup) => setup,
        Request::Batch(_) => return Err(WorkerError::Order { frame: "batch" }),
        Request::Finish => return Err(WorkerError::Order { frame: "finish" }),
    };
    let mut job = match prepare(setup) {
        Ok((job, sha256)) => {
            answer(output, &Answer::Ready { sha256 })?;
            job
        }
        Err(error) => return answer(output, &Answer::Refused(error.refusal())),
    };
    loop {
        read_frame(input, &mut frame)?;
        match read_request(&frame)? {
            Request::Setup(_) => return Err(WorkerError::Order { frame: "setup" }),
            Request::Batch(body) => {
                let persons = Persons::read(body, job.shape())?;
                let mut outputs = Outputs::default();
                job.run_batch(&persons, &mut outputs)?;
                answer(output, &Answer::Outputs(outputs))?;
            }
            Request::Finish => return answer(output, &Answer::Finished(*job.counters())),
        }
    }
}

/// Vets, compiles, binds: the worker trusts no check but its own.
fn prepare(setup: Setup) -> Result<(Job, [u8; 32]), SetupError> {
    let vetted = vet(&setup.wasm, &Limits::V1)?;
    let compiled = compile(&vetted)?;
    let job = Job::new(compiled, setup.shape, setup.fuel_per_person, setup.watchdog_ms)?;
    Ok((job, *vetted.sha256()))
}

fn answer(output: &mut impl Write, answer: &Answer) -> Result<(), WorkerError> {
    write_answer(output, answer).map_err(|error| WorkerError::Write(error.kind()))
}

impl SetupError {
    fn refusal(&self) -> Refusal {
        let reason = match self {
            SetupError::Vet(error) => error.reason(),
            SetupError::Compile(error) => error.reason(),
        };
        Refusal { reason: reason.to_owned(), detail: self.to_string() }
    }
}
