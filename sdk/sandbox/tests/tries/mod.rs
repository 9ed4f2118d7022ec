//! Workers that try what no worker may, and say what came of it, one `what: outcome` line each.
//!
//! Must never be reached but through an argument of this test binary.

mod still;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread;

use cloister_sandbox::isolation::{Streams, deny_files, filter_before_persons, limit_this_process};

/// Tries under everything a worker puts on before it reads a byte.
pub const BEFORE_SETUP: &str = "--try-before-setup";
/// Tries under the narrower filter.
pub const BEFORE_PERSONS: &str = "--try-before-persons";
/// Tries under landlock alone.
pub const LANDLOCK: &str = "--try-landlock";
/// Runs persons where every system call ends the process, and says so afterwards.
pub const WITHOUT_CALLS: &str = "--run-without-calls";
/// The same, but makes a call before it says so.
pub const WITH_A_CALL: &str = "--run-with-a-call";
/// Greets like a worker on a kernel without landlock and seccomp, and ends.
pub const BARE_WORKER: &str = "--bare-worker";

/// The test-only worker that the first argument names, if it names one.
pub fn main_if_asked() -> Option<ExitCode> {
    let lines = match std::env::args().nth(1)?.as_str() {
        BEFORE_SETUP => before_setup(),
        BEFORE_PERSONS => return Some(before_persons()),
        LANDLOCK => landlock(),
        WITHOUT_CALLS => still::run(|| {}),
        WITH_A_CALL => still::run(|| drop(File::open("/etc/passwd"))),
        BARE_WORKER => "persons\x03\x01".to_owned(),
        _ => return None,
    };
    Some(match io::stdout().write_all(lines.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// Starts this binary with `argument` and reads what it says.
pub fn outcomes(argument: &str) -> BTreeMap<String, String> {
    let out = said(argument);
    assert!(out.status.success(), "{:?}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines()
        .map(|line| {
            let (what, outcome) = line.split_once(": ").unwrap();
            (what.to_owned(), outcome.to_owned())
        })
        .collect()
}

/// All that this binary says with `argument`, and how it ends.
pub fn said(argument: &str) -> Output {
    let own = std::env::current_exe().unwrap();
    Command::new(own).arg(argument).stdin(Stdio::null()).output().unwrap()
}

fn before_setup() -> String {
    // As left open by whoever started the node.
    let mut other = File::open("/etc/passwd").unwrap();
    let (protections, _) = limit_this_process();
    let mut lines = format!("protections: {protections}\n");
    lines += &tries();
    lines += &line("start a thread", start_a_thread());
    lines += &line("read another descriptor", other.read(&mut [0; 8]).map(drop));
    lines += &line("write another descriptor", other.write(b"x").map(drop));
    lines
}

fn before_persons() -> ExitCode {
    let mut other = File::open("/etc/passwd").unwrap();
    let (protections, inherited) = limit_this_process();
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned().unwrap());
    let streams = Streams { input: 0, output: output.as_raw_fd(), inherited };
    filter_before_persons(&streams).unwrap();
    let mut lines = format!("protections: {protections}\n");
    lines += &tries();
    lines += &line("start a thread", start_a_thread());
    lines += &line("read another descriptor", other.read(&mut [0; 8]).map(drop));
    lines += &line("write another descriptor", io::stderr().write(b"x").map(drop));
    match output.write_all(lines.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn landlock() -> String {
    assert!(deny_files());
    tries()
}

fn tries() -> String {
    let made = std::env::temp_dir().join(format!("made-by-a-worker-{}", std::process::id()));
    [
        line("open a file", File::open("/etc/passwd").map(drop)),
        line("open itself", File::open("/proc/self/exe").map(drop)),
        line("make a file", File::create(made).map(drop)),
        line("list a folder", fs::read_dir("/").map(drop)),
        line("read the environment of its parent", File::open("/proc/1/environ").map(drop)),
        line("udp socket", UdpSocket::bind("127.0.0.1:0").map(drop)),
        line("tcp socket", TcpStream::connect("127.0.0.1:9").map(drop)),
        line("unix socket", UnixStream::pair().map(drop)),
        line("start a program", Command::new("/bin/true").spawn().map(|mut c| drop(c.wait()))),
        line("copy a descriptor", io::stdout().as_fd().try_clone_to_owned().map(drop)),
        line("ask for the flags of a descriptor", flags_of_a_descriptor()),
        line("1 MiB of memory", reserve(1 << 20)),
        line("2 GiB of memory", reserve(2 << 30)),
    ]
    .concat()
}

fn reserve(bytes: usize) -> io::Result<()> {
    let mut room: Vec<u8> = Vec::new();
    room.try_reserve_exact(bytes).map_err(io::Error::other)?;
    room.resize(bytes.min(1 << 20), 7);
    Ok(())
}

/// Whether a command of `fcntl` that the worker does not need (`F_GETFL`) is answered: the standard library
/// shows how a file was opened only then.
fn flags_of_a_descriptor() -> io::Result<()> {
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    if format!("{output:?}").contains("write:") {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

fn start_a_thread() -> io::Result<()> {
    let thread = thread::Builder::new().spawn(|| 7)?;
    if thread.join().is_ok_and(|seven| seven == 7) { Ok(()) } else { Err(io::Error::other("")) }
}

fn line(what: &str, outcome: io::Result<()>) -> String {
    let outcome = match outcome {
        Ok(()) => "done".to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(number) => format!("denied {number}"),
            None => "denied".to_owned(),
        },
    };
    format!("{what}: {outcome}\n")
}
