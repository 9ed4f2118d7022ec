//! A thousand hostile modules in a row, twice, in a process that does nothing else: what they leave behind
//! would show in its memory.
//!
//! Must never share its process with another test: it is the whole process's memory that is looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with evil.rs, which uses the rest")]
#[path = "../../../sdk/sandbox/tests/crowd/mod.rs"]
mod crowd;
#[allow(dead_code, reason = "shared with tiers.rs, which uses the rest")]
mod smith;

use cloister_sandbox::{ColumnKind, PersonOutput, Runner, RunnerError};
use crowd::{batch, crowd, evil, evil_names, setup};
use smith::{Random, Reach, random_module};

const MODULES: usize = 1000;
/// By how much the process may grow in the second pass: 8 KiB a module, an eighth of the smallest memory.
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// Where a module comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The generator, its addresses as they are.
    Wild,
    /// The generator, its addresses bent.
    Tame,
    /// An evil module, with a few of its bytes changed.
    Changed,
}

#[test]
fn a_thousand_hostile_modules_in_a_row_leave_no_trace() {
    let modules = modules();
    // To warm up, the very same modules: the allocator keeps what the largest needed at its most, however
    // many come after it, and does so once. What the second pass adds is lost.
    let first: Vec<_> = modules.iter().map(|(_, wasm)| ended(wasm)).collect();
    let resident = resident_kib();
    let second: Vec<_> = modules.iter().map(|(_, wasm)| ended(wasm)).collect();
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

/// One in ten wild, one in ten tame, the rest changed from all evil modules.
fn modules() -> Vec<(Origin, Vec<u8>)> {
    let mut random = Random(1000);
    let seeds: Vec<Vec<u8>> = evil_names().iter().map(|name| evil(name)).collect();
    let changed = |random: &mut Random| {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
        bytes
    };
    (0..MODULES)
        .map(|nth| match nth % 10 {
            0 => (Origin::Wild, random_module(&mut random, Reach::Anywhere)),
            1 => (Origin::Tame, random_module(&mut random, Reach::HalfPage)),
            _ => (Origin::Changed, changed(&mut random)),
        })
        .collect()
}

/// What the usual crowd gets from a module, or by which name it is refused.
fn ended(wasm: &[u8]) -> Result<Vec<PersonOutput>, String> {
    let mut setup = setup(wasm, ColumnKind::Int, 20_000);
    setup.watchdog_ms = 10_000;
    match Runner::start(&setup) {
        Ok(mut runner) => {
            let outputs = runner.run_batch(&batch(&setup.shape, &crowd())).unwrap();
            assert_eq!(outputs.len(), 4);
            Ok(outputs)
        }
        Err(RunnerError::Refused(refusal)) => Err(refusal.reason),
        Err(other) => panic!("{other}"),
    }
}

/// Memory that the process holds; zero where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
