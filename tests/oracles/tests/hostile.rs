//! A thousand hostile modules in a row, twice, in a process that does nothing else: what they leave behind
//! would show in its memory.
//!
//! Must never share its process with another test: it is the whole process's memory that is looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with evil.rs, which uses the rest")]
#[path = "../../../sdk/sandbox/tests/crowd/mod.rs"]
mod crowd;
mod hostile_modules;
#[allow(dead_code, reason = "shared with tiers.rs, which uses the rest")]
mod smith;

use cloister_sandbox::Runner;
use hostile_modules::{Origin, ended, modules, resident_kib};

const MODULES: usize = 1000;
/// By how much the process may grow in the second pass: 8 KiB a module, an eighth of the smallest memory.
const GROWTH_KIB_MAX: u64 = 8 << 10;

#[test]
fn a_thousand_hostile_modules_in_a_row_leave_no_trace() {
    let modules = modules(MODULES);
    // To warm up, the very same modules: the allocator keeps what the largest needed at its most, however
    // many come after it, and does so once. What the second pass adds is lost.
    let first: Vec<_> = modules.iter().map(|(_, wasm)| ended(wasm, Runner::start)).collect();
    let resident = resident_kib();
    let second: Vec<_> = modules.iter().map(|(_, wasm)| ended(wasm, Runner::start)).collect();
    let grown = resident_kib().saturating_sub(resident);
    assert!(first == second, "a module or a person was judged in two ways");
    assert!(resident > 0 || cfg!(not(target_os = "linux")), "the system does not say");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more after {MODULES} modules");
    let ran = first.iter().filter(|ended| ended.is_ok()).count();
    let refused = first.len() - ran;
    assert!(ran > 100 && refused > 100, "{ran} ran, {refused} were refused");
    // The generator's own are worth something only when many are taken.
    let wild = modules.iter().zip(&first).filter(|((origin, _), _)| *origin == Origin::Wild);
    let wild_ran = wild.filter(|(_, ended)| ended.is_ok()).count();
    assert!(wild_ran > 30, "{wild_ran} of the wild ones ran");
}
