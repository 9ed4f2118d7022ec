//! The side that holds the engine: setup, batches, finish, over any byte stream.
//!
//! Must never act on a frame that breaks the protocol, nor answer anything but what the client asked, nor
//! run a person before the process around it, if there is one, is limited to running.

use std::io::{self, Read, Write};

use crate::engine::{CompileError, Compiled, compile};
use crate::frames::{
    Abort, Answer, FrameError, Outputs, ReadError, Refusal, Request, Setup, read_frame,
    read_request, write_answer, write_outputs,
};
use crate::isolation::{NotLimited, Streams, filter_before_persons};
use crate::job::{Job, JobError};
use crate::limits::Limits;
use crate::persons::Persons;
use crate::precompiled::compile_or_load;
use crate::process::write_artefact;
use crate::vet::{VetError, Vetted, vet};

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
    #[error(transparent)]
    NotLimited(#[from] NotLimited),
}

/// What surrounds a job.
pub(crate) enum Room {
    /// This process does other things too.
    Thread,
    /// A process for this job alone.
    Process {
        /// What the compile cache holds for the module, or nothing.
        cached: Vec<u8>,
        /// Put on the filter for running, with these streams.
        narrow_to: Option<Streams>,
    },
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
pub fn serve(input: impl Read, output: impl Write) -> Result<(), WorkerError> {
    serve_in(Room::Thread, input, output)
}

/// As [`serve`], in a room.
pub(crate) fn serve_in(
    mut room: Room,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), WorkerError> {
    let served = serve_frames(&mut room, &mut input, &mut output);
    if let Err(error) = &served {
        let abort = match error {
            WorkerError::Job(JobError::Sandbox { .. }) => Abort::Sandbox,
            WorkerError::Read(_) | WorkerError::Order { .. } => Abort::Protocol,
            WorkerError::Write(_) => return served,
        };
        // The stream may be gone already; the error returned says what happened.
        let _ = write_answer(&mut output, &Answer::Aborted(abort));
    }
    served
}

fn serve_frames(
    room: &mut Room,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<(), WorkerError> {
    let mut frame = Vec::new();
    read_frame(input, &mut frame)?;
    let setup = match read_request(&frame)? {
        Request::Setup(setup) => setup,
        Request::Batch(_) => return Err(WorkerError::Order { frame: "batch" }),
        Request::Finish => return Err(WorkerError::Order { frame: "finish" }),
    };
    let mut job = match prepare(room, setup) {
        Ok((job, sha256, fresh)) => {
            answer(output, &Answer::Ready { sha256 })?;
            if matches!(room, Room::Process { .. }) {
                write_artefact(output, &fresh).map_err(|error| WorkerError::Write(error.kind()))?;
            }
            job
        }
        Err(error) => return answer(output, &Answer::Refused(error.refusal())),
    };
    // Batches and answers are of one size mostly: their room is kept.
    let (mut outputs, mut written) = (Outputs::default(), Vec::new());
    loop {
        read_frame(input, &mut frame)?;
        match read_request(&frame)? {
            Request::Setup(_) => return Err(WorkerError::Order { frame: "setup" }),
            Request::Batch(body) => {
                let persons = Persons::read(body, job.shape())?;
                outputs.clear();
                job.run_batch(&persons, &mut outputs)?;
                write_outputs(output, &outputs, &mut written)
                    .map_err(|error| WorkerError::Write(error.kind()))?;
            }
            Request::Finish => return answer(output, &Answer::Finished(*job.counters())),
        }
    }
}

/// Vets, compiles, binds, and gives up what only that needed: the worker trusts no check but its own. The
/// last value is machine code that the cache does not hold yet.
fn prepare(room: &mut Room, setup: Setup) -> Result<(Job, [u8; 32], Vec<u8>), SetupError> {
    let vetted = vet(&setup.wasm, &Limits::V1)?;
    let (compiled, fresh) = room.compile(&vetted)?;
    let job = Job::new(compiled, setup.shape, setup.fuel_per_person)?;
    if let Room::Process { narrow_to: Some(streams), .. } = room {
        filter_before_persons(streams)?;
    }
    Ok((job, *vetted.sha256(), fresh))
}

impl Room {
    fn compile(&mut self, vetted: &Vetted) -> Result<(Compiled, Vec<u8>), CompileError> {
        match self {
            Room::Thread => Ok((compile(vetted)?, Vec::new())),
            Room::Process { cached, .. } => {
                let (compiled, fresh) = compile_or_load(vetted, cached)?;
                *cached = Vec::new();
                Ok((compiled, fresh.unwrap_or_default()))
            }
        }
    }
}

fn answer(output: &mut impl Write, answer: &Answer) -> Result<(), WorkerError> {
    write_answer(output, answer).map_err(|error| WorkerError::Write(error.kind()))
}

impl SetupError {
    fn refusal(&self) -> Refusal {
        let reason = match self {
            SetupError::Vet(error) => error.reason(),
            SetupError::Compile(error) => error.reason(),
            // Like an engine that cannot start: this machine's fault, not the module's.
            SetupError::NotLimited(_) => "engine",
        };
        Refusal { reason: reason.to_owned(), detail: self.to_string() }
    }
}
