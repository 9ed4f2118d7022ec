//! A row of hostile modules, twice, each in a worker process of its own: what they leave behind in the process
//! that starts the workers would show in its memory. This binary is its own worker, so it has a `main` of its own.
//!
//! Must never share its process with another test: it is the whole process's memory that is looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with evil.rs, which uses the rest")]
#[path = "../../../sdk/sandbox/tests/crowd/mod.rs"]
mod crowd;
mod hostile_modules;
#[allow(dead_code, reason = "shared with tiers.rs, which uses the rest")]
mod smith;

use cloister_sandbox::{Workers, worker_main_if_asked};
use hostile_modules::{ended, modules, resident_kib};
use std::process::ExitCode;

const MODULES: usize = 250;
/// By how much the process may grow in the second pass: 8 KiB a module, as for workers that are threads.
const GROWTH_KIB_MAX: u64 = 8 * MODULES as u64;

fn main() -> ExitCode {
    if let Some(code) = worker_main_if_asked() {
        return code;
    }
    // A failed test panics: the message and a non-zero exit code are the runtime's.
    hostile_modules_in_processes_leave_no_trace();
    println!("test hostile_modules_in_processes_leave_no_trace ... ok");
    ExitCode::SUCCESS
}

fn hostile_modules_in_processes_leave_no_trace() {
    let modules = modules(MODULES);
    // What the kernel lacks is looked at in the sandbox's own tests.
    let workers = Workers::of_this_program(false);
    let pass = || -> Vec<_> {
        modules.iter().map(|(_, wasm)| ended(wasm, |setup| workers.start(setup, 10_000))).collect()
    };
    // Once to warm up, as with threads.
    let first = pass();
    let resident = resident_kib();
    let second = pass();
    let grown = resident_kib().saturating_sub(resident);
    assert!(first == second, "a module or a person was judged in two ways");
    assert!(resident > 0 || cfg!(not(target_os = "linux")), "the system does not say");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more after {MODULES} modules");
    let ran = first.iter().filter(|ended| ended.is_ok()).count();
    let refused = first.len() - ran;
    assert!(ran > 25 && refused > 25, "{ran} ran, {refused} were refused");
}
