//! Runs one target: over a file, over standard input, or over mutations of its seeds for some seconds.
//! What a target must never do is panic, answer what it should refuse, or take long.

mod mutate;
pub mod seeds;

use std::io::Read;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, abort};
use std::time::{Duration, Instant};

pub use mutate::Mutator;

/// Longest input that the driver makes.
const INPUT_BYTES_MAX: usize = 1 << 17;
/// Longest an input may take in a build that is hardly optimised, on a machine that does other things too.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);
/// Inputs that were taken and become seeds themselves, at most.
const SEEDS_MAX: usize = 4_000;
/// Longest message of a refusal, in bytes.
const MESSAGE_BYTES_MAX: usize = 4_000;
/// First seed of the driver's draws, unless another is given.
const FIRST_DRAW: u64 = 0x00c1_0157_e700_0001;

/// How an input ended that did not break anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was refused, as most are.
    Refused,
    /// It was taken.
    Taken,
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its program's name.
    pub name: &'static str,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that mean something to it.
    pub pieces: &'static [&'static str],
    /// Tries one input. An error names what broke.
    pub check: fn(&[u8]) -> Result<Ended, String>,
}

impl Target {
    /// The program: `--seconds N [--seed S]` drives it, files are tried one by one, without arguments standard
    /// input is. In the last two forms a finding aborts the process, which outside fuzzers look for.
    pub fn main(&self) -> ExitCode {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| -> Option<u64> {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at.checked_add(1)?)?.parse().ok()
        };
        if arguments.iter().any(|argument| argument == "--seconds") {
            let Some(seconds) = value("--seconds") else {
                eprintln!("{}: give `--seconds` a whole number", self.name);
                return ExitCode::from(2);
            };
            return self.drive(Duration::from_secs(seconds), value("--seed").unwrap_or(FIRST_DRAW));
        }
        if arguments.is_empty() {
            let mut input = Vec::new();
            if let Err(error) = std::io::stdin().read_to_end(&mut input) {
                eprintln!("{}: standard input cannot be read: {error}", self.name);
                return ExitCode::from(2);
            }
            self.once(&input);
        }
        for path in &arguments {
            match std::fs::read(path) {
                Ok(input) => self.once(&input),
                Err(error) => {
                    eprintln!("{}: `{path}` cannot be read: {error}", self.name);
                    return ExitCode::from(2);
                }
            }
        }
        ExitCode::SUCCESS
    }

    fn once(&self, input: &[u8]) {
        if let Err(misdeed) = (self.check)(input) {
            eprintln!("{}: {misdeed}", self.name);
            abort();
        }
    }

    /// Seeds as they are, then mutations of them and of whatever was taken.
    fn drive(&self, time: Duration, first_draw: u64) -> ExitCode {
        let mut seeds = (self.seeds)();
        let (mut inputs, mut taken, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
        let mut mutator = Mutator::new(first_draw, self.pieces);
        let began = Instant::now();
        let as_they_are = seeds.len();
        while began.elapsed() < time {
            let place = usize::try_from(inputs).unwrap_or(usize::MAX);
            let input = match seeds.get(place).filter(|_| place < as_they_are) {
                Some(seed) => seed.clone(),
                None => mutator.mutated(&seeds, INPUT_BYTES_MAX),
            };
            inputs = inputs.saturating_add(1);
            let started = Instant::now();
            let ended =
                catch_unwind(|| (self.check)(&input)).unwrap_or_else(|_| Err("panicked".into()));
            let took = started.elapsed();
            slowest = slowest.max(took);
            let misdeed = match ended {
                Err(misdeed) => misdeed,
                Ok(_) if took > INPUT_TIME_MAX => format!("took {took:?}"),
                Ok(Ended::Refused) => continue,
                Ok(Ended::Taken) => {
                    taken = taken.saturating_add(1);
                    if seeds.len() < SEEDS_MAX && !seeds.contains(&input) {
                        seeds.push(input);
                    }
                    continue;
                }
            };
            let path = keep(self.name, &input);
            eprintln!("{}: {misdeed}; the input is kept as `{}`", self.name, path.display());
            return ExitCode::FAILURE;
        }
        println!("{}: {inputs} inputs, {taken} of them taken, slowest {slowest:?}", self.name);
        ExitCode::SUCCESS
    }
}

/// An error whose text is too long is a finding: texts of strangers must not pass on whole.
pub fn bounded(error: &dyn std::fmt::Display) -> Result<Ended, String> {
    let bytes = error.to_string().len();
    match bytes {
        0 => Err("a refusal says nothing".to_owned()),
        1..=MESSAGE_BYTES_MAX => Ok(Ended::Refused),
        _ => Err(format!("a refusal of {bytes} bytes")),
    }
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("found-{name}"));
    if let Err(error) = std::fs::write(&path, input) {
        eprintln!("{name}: the input cannot be kept: {error}");
    }
    path
}
