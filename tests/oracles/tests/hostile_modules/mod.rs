//! A row of hostile modules, what becomes of each, and how much memory this process holds by then.
//!
//! Must never take a module out of the row for what it does: whoever runs it is what is tested.

use crate::crowd::{batch, crowd, evil, evil_names, setup};
use crate::smith::{Random, Reach, random_module};
use cloister_sandbox::{ColumnKind, PersonOutput, Runner, RunnerError, Setup};

/// Where a module comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The generator, its addresses as they are.
    Wild,
    /// The generator, its addresses bent.
    Tame,
    /// An evil module, with a few of its bytes changed.
    Changed,
}

/// One in ten wild, one in ten tame, the rest changed from all evil modules.
pub fn modules(count: usize) -> Vec<(Origin, Vec<u8>)> {
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
    (0..count)
        .map(|nth| match nth % 10 {
            0 => (Origin::Wild, random_module(&mut random, Reach::Anywhere)),
            1 => (Origin::Tame, random_module(&mut random, Reach::HalfPage)),
            _ => (Origin::Changed, changed(&mut random)),
        })
        .collect()
}

/// What the usual crowd gets from a module in a worker that `start` starts, or by which name it is refused.
pub fn ended(
    wasm: &[u8],
    start: impl FnOnce(&Setup) -> Result<Runner, RunnerError>,
) -> Result<Vec<PersonOutput>, String> {
    let setup = setup(wasm, ColumnKind::Int, 20_000);
    match start(&setup) {
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
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
