//! Persons in steady state, where no system call can be made and every page fault is counted.
//!
//! Must never say anything before the last person has run: what it says is that nothing was asked of the system.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;

use cloister_sandbox::{ColumnKind, Job, Limits, Outputs, PersonBatch, Tier, compile_in, vet};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use crate::crowd::{FUEL, batch, evil, setup};

const PERSONS: usize = 2_000;
/// Runs of which one must be without a fault: what the system does for reasons of its own is in some only.
const ROUNDS: usize = 20;

/// A job of a tier that restores, its persons, and where their outputs go.
struct Running {
    job: Job,
    persons: PersonBatch,
    outputs: Outputs,
}

impl Running {
    fn start(tier: Tier) -> Running {
        let setup = setup(&evil("state_memory"), ColumnKind::Int, FUEL);
        let vetted = vet(&setup.wasm, &Limits::V1).unwrap();
        let compiled = compile_in(&vetted, tier).unwrap();
        let job = Job::new(compiled, setup.shape.clone(), FUEL).unwrap();
        let rows: Vec<Vec<i64>> =
            (0..PERSONS as i64).map(|nth| vec![nth; nth as usize % 5]).collect();
        Running { job, persons: batch(&setup.shape, &rows), outputs: Outputs::default() }
    }

    fn run(&mut self) {
        self.outputs.clear();
        self.job.run_batch(&self.persons.persons(), &mut self.outputs).unwrap();
    }

    /// Page faults while all persons run: in the round with the fewest.
    fn faults(&mut self) -> u64 {
        let rounds = (0..ROUNDS).map(|_| {
            let before = faults();
            self.run();
            faults() - before
        });
        rounds.min().unwrap()
    }
}

/// Ends with the process unless nobody asks the system for anything: `before_saying` is run last.
pub fn run(before_saying: impl FnOnce()) -> ! {
    let mut running = [Tier::Window, Tier::Cards].map(Running::start);
    running.iter_mut().for_each(Running::run);
    // What is counted counts: memory that is touched first.
    let before = faults();
    let touched = vec![1_u8; 1 << 22];
    assert!(faults() > before, "{}", touched.len());
    let [window, cards] = running.each_mut().map(Running::faults);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned().unwrap());
    let said = format!("ran without a call, faults {window} and {cards}");
    // It will be killed: without a dump.
    rlimit::Resource::CORE.set(1, 1).unwrap();
    let calls = [(libc::SYS_write, vec![])].into_iter().collect();
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter =
        SeccompFilter::new(calls, SeccompAction::KillProcess, SeccompAction::Allow, arch).unwrap();
    let program = BpfProgram::try_from(filter).unwrap();
    apply_filter(&program).unwrap();
    // A sample is compared with the image meanwhile, as in a worker.
    (0..4).for_each(|_| running.iter_mut().for_each(Running::run));
    before_saying();
    output.write_all(said.as_bytes()).unwrap();
    // An exit is a call too.
    std::process::abort()
}

/// Page faults of this process so far, without those for which something had to be read from a disk.
fn faults() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The second field is a name in parentheses; the tenth counts.
    let fields = stat.rsplit_once(')').unwrap().1;
    fields.split_whitespace().nth(7).unwrap().parse().unwrap()
}
