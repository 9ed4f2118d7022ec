//! A worker that is a process of its own: this program once more, with nothing but two pipes.
//!
//! Must never inherit an environment, a descriptor or a folder, nor read a frame before it is limited. What
//! travels beside frames: a greeting (who is there, behind which protections), then what the compile cache
//! holds; after the answer to a setup, what it should hold.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::cache::ARTEFACT_BYTES_MAX;
use crate::isolation::{Protections, Streams, limit_this_process};
use crate::limits::{PIPE_BYTES, WORKER_STACK_BYTES};
use crate::worker::{Room, serve_in};

/// First argument of a process that is a worker.
pub const WORKER_ARGUMENT: &str = "--module-worker";
/// First bytes of every worker; the last is the version of what travels, frames included.
const GREETING: [u8; 8] = *b"persons\x03";

/// Ends the caller's `main` when this process was started as a worker: call it before anything else.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = cloister_sandbox::worker_main_if_asked() {
///         return code;
///     }
///     // the program itself
///     std::process::ExitCode::SUCCESS
/// }
/// ```
pub fn worker_main_if_asked() -> Option<ExitCode> {
    let is_worker = std::env::args_os().nth(1).is_some_and(|first| first == WORKER_ARGUMENT);
    is_worker.then(worker_main)
}

/// Serves one job over standard input and output, behind every protection this kernel has.
pub fn worker_main() -> ExitCode {
    let (protections, inherited) = limit_this_process();
    match serve_standard_streams(protections, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve_standard_streams(protections: Protections, inherited: Vec<i32>) -> io::Result<()> {
    // Unbuffered, unlike the standard handles, which look for line ends in what they write.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    greet(&mut output, protections)?;
    let streams = Streams { input: input.as_raw_fd(), output: output.as_raw_fd(), inherited };
    let serving = move || -> io::Result<()> {
        let cached = read_artefact(&mut input)?;
        let room = Room::Process { cached, narrow_to: protections.system_calls.then_some(streams) };
        serve_in(room, input, output).map_err(io::Error::other)
    };
    let thread = thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn(serving)?;
    thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

fn greet(output: &mut impl Write, protections: Protections) -> io::Result<()> {
    let mut bytes = GREETING.to_vec();
    bytes.push(protections.to_byte());
    output.write_all(&bytes)
}

/// `None` when another program speaks.
pub(crate) fn read_greeting(input: &mut impl Read) -> io::Result<Option<Protections>> {
    let mut bytes = [0; GREETING.len()];
    let mut protections = [0; 1];
    input.read_exact(&mut bytes)?;
    if bytes != GREETING {
        return Ok(None);
    }
    input.read_exact(&mut protections)?;
    let [protections] = protections;
    Ok(Protections::from_byte(protections))
}

/// Machine code, length first; nothing is an empty one.
pub(crate) fn write_artefact(output: &mut impl Write, artefact: &[u8]) -> io::Result<()> {
    let length = u32::try_from(artefact.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(artefact)
}

/// As [`write_artefact`] wrote it; room is made only for bytes that came.
pub(crate) fn read_artefact(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length as usize > ARTEFACT_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut artefact = Vec::new();
    input.by_ref().take(length.into()).read_to_end(&mut artefact)?;
    if artefact.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(artefact)
}

/// Which program a worker process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerProgram {
    path: PathBuf,
    argument: OsString,
}

impl WorkerProgram {
    /// This very program, on Linux also when its file was replaced meanwhile. Its `main` must begin with
    /// [`worker_main_if_asked`]. A program that cannot find itself finds no worker either.
    pub fn this_one() -> WorkerProgram {
        let itself = PathBuf::from("/proc/self/exe");
        if cfg!(target_os = "linux") {
            return WorkerProgram::at(itself);
        }
        WorkerProgram::at(std::env::current_exe().unwrap_or(itself))
    }

    /// The program at `path`, whose `main` begins with [`worker_main_if_asked`].
    pub fn at(path: impl Into<PathBuf>) -> WorkerProgram {
        WorkerProgram { path: path.into(), argument: WORKER_ARGUMENT.into() }
    }

    /// Another first argument, for programs that tell several workers apart.
    #[must_use]
    pub fn with_argument(self, argument: impl Into<OsString>) -> WorkerProgram {
        WorkerProgram { argument: argument.into(), ..self }
    }

    /// Starts it with nothing but the two pipes.
    pub(crate) fn start(&self) -> io::Result<(WorkerProcess, PipeWriter, PipeReader)> {
        use std::os::unix::process::CommandExt;
        let (worker_input, to_worker) = io::pipe()?;
        let (from_worker, worker_output) = io::pipe()?;
        widen(&to_worker);
        widen(&from_worker);
        let child = Command::new(&self.path)
            .arg(&self.argument)
            .env_clear()
            .current_dir("/")
            // A ctrl-c is the node's to act on.
            .process_group(0)
            .stdin(worker_input)
            .stdout(worker_output)
            .stderr(Stdio::null())
            .spawn()?;
        Ok((WorkerProcess::watch(child)?, to_worker, from_worker))
    }
}

/// Asks for room for [`PIPE_BYTES`] in a pipe; one that stays small is slower, and nothing else.
fn widen(pipe: &impl std::os::fd::AsFd) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

/// A running worker. Killed and waited for when it stays silent too long, and when this is dropped.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Arc<Mutex<Child>>,
    id: u32,
    /// How long the next answer may take; `None`: none is waited for.
    orders: Sender<Option<Duration>>,
    was_silent: Arc<AtomicBool>,
}

impl WorkerProcess {
    fn watch(child: Child) -> io::Result<WorkerProcess> {
        let id = child.id();
        let child = Arc::new(Mutex::new(child));
        let (orders, inbox) = channel();
        let was_silent = Arc::new(AtomicBool::new(false));
        let process = WorkerProcess { child, id, orders, was_silent };
        let (child, was_silent) = (Arc::clone(&process.child), Arc::clone(&process.was_silent));
        thread::Builder::new()
            .name("cloister-silence".to_owned())
            .spawn(move || kill_when_silent(&inbox, &child, &was_silent))?;
        Ok(process)
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// A handle that kills this worker when it is dropped.
    pub(crate) fn lease(&self) -> WorkerLease {
        WorkerLease(Some(Arc::clone(&self.child)))
    }

    /// Counts down until [`WorkerProcess::answered`]; then the worker is killed, and its pipes close.
    pub(crate) fn expect_answer(&self, within: Duration) {
        // Without the thread nobody counts: dropping the runner still ends the worker.
        let _ = self.orders.send(Some(within));
    }

    /// Ends the countdown.
    pub(crate) fn answered(&self) {
        let _ = self.orders.send(None);
    }

    /// True once it was killed for its silence.
    pub(crate) fn was_silent(&self) -> bool {
        self.was_silent.load(Ordering::SeqCst)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let mut child = locked(&self.child);
        // One that ended by itself is only waited for: no process stays behind as a zombie.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Whoever wants a worker's answers holds this: dropping it kills the worker, even while its runner waits
/// in a call that nobody listens to any more. An abandoned job must not keep a core busy.
#[derive(Debug)]
pub struct WorkerLease(Option<Arc<Mutex<Child>>>);

impl WorkerLease {
    /// For a worker that is a thread, which nobody can kill.
    pub(crate) fn of_thread() -> Self {
        Self(None)
    }
}

impl Drop for WorkerLease {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            // One that was waited for already is left alone by the standard library; the runner waits.
            let _ = locked(child).kill();
        }
    }
}

fn kill_when_silent(
    inbox: &Receiver<Option<Duration>>,
    child: &Mutex<Child>,
    was_silent: &AtomicBool,
) {
    while let Ok(order) = inbox.recv() {
        let Some(within) = order else { continue };
        if inbox.recv_timeout(within) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            was_silent.store(true, Ordering::SeqCst);
            let _ = locked(child).kill();
        }
    }
}

fn locked(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_says_who_is_there() {
        let mut bytes = Vec::new();
        greet(&mut bytes, Protections::ALL).unwrap();
        assert_eq!(read_greeting(&mut &bytes[..]).unwrap(), Some(Protections::ALL));
        let mut other_version = bytes.clone();
        other_version[7] = 1;
        assert_eq!(read_greeting(&mut &other_version[..]).unwrap(), None);
        let unknown = [&GREETING[..], &[0xff]].concat();
        assert_eq!(read_greeting(&mut &unknown[..]).unwrap(), None);
        assert_eq!(read_greeting(&mut &b"\nrunning 3 tests\n"[..]).unwrap(), None);
        for cut in 0..bytes.len() {
            assert!(read_greeting(&mut &bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_silent_worker_is_killed_and_one_that_answered_is_not() {
        let start = || {
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            WorkerProcess::watch(child).unwrap()
        };
        let silent = start();
        silent.expect_answer(Duration::from_millis(5));
        // Blocks until it is dead.
        let status = loop {
            if let Some(status) = locked(&silent.child).try_wait().unwrap() {
                break status;
            }
            thread::yield_now();
        };
        assert!(!status.success() && silent.was_silent());
        let answering = start();
        answering.expect_answer(Duration::from_secs(1000));
        answering.answered();
        assert!(locked(&answering.child).try_wait().unwrap().is_none());
        assert!(!answering.was_silent());
    }

    #[test]
    fn artefacts_arrive_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        write_artefact(&mut bytes, b"code").unwrap();
        assert_eq!(read_artefact(&mut &bytes[..]).unwrap(), b"code");
        for cut in 0..bytes.len() {
            assert!(read_artefact(&mut &bytes[..cut]).is_err());
        }
        let lie = u32::MAX.to_le_bytes();
        assert_eq!(read_artefact(&mut &lie[..]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_artefact(&mut &[0; 4][..]).unwrap(), b"");
    }
}
