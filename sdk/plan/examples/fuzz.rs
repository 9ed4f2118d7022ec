//! Feeds the planner with mutated examples of the reference page for as many seconds as are asked for:
//! `cargo run -p cloister-plan --example fuzz -- SECONDS [SEED]`. A text must end in a plan or in a
//! typed error of bounded length, within a second; a panic ends the program with the text shown.

use cloister_plan::reference::{dictionary, entries, planned};
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longest a text may take in a build without optimisation.
const TEXT_TIME_MAX: Duration = Duration::from_secs(1);
/// Longest message of a refusal, in bytes.
const MESSAGE_BYTES_MAX: usize = 2_000;
/// Longest text that is grown, in bytes: well above what the planner reads at all.
const TEXT_BYTES_MAX: usize = 200_000;
/// Mutations of one text, at most.
const MUTATIONS_MAX: usize = 6;
/// Pieces that are put in.
const PIECES: [&str; 28] = [
    "(",
    ")",
    "((((((((",
    "NOT (",
    "CASE WHEN ",
    " END ",
    "SELECT ",
    " FROM ",
    " UNION ALL ",
    " OVER (",
    "PARTITION BY person_id",
    "person_id",
    "ticket_no",
    "'",
    "\"",
    "--",
    "/*",
    "*/",
    ";",
    "1e308",
    "-9223372036854775808",
    "NULL",
    "::",
    "INTERVAL '1' DAY",
    "\u{202e}",
    "\u{0}",
    " AND 1=1",
    ",",
];

/// Marsaglia's xorshift64*: the same seed gives the same texts.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap_or(0).checked_rem(n).unwrap_or(0)
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }

    /// A byte at which `text` may be cut.
    fn cut(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len().saturating_add(1));
        while !text.is_char_boundary(at) {
            at = at.saturating_sub(1);
        }
        at
    }

    fn mutated(&mut self, examples: &[&str]) -> String {
        let mut text = self.one(examples).to_owned();
        for _ in 0..=self.below(MUTATIONS_MAX) {
            let (a, b) = (self.cut(&text), self.cut(&text));
            let (from, to) = (a.min(b), a.max(b));
            let part = text.get(from..to).unwrap_or_default().to_owned();
            match self.below(7) {
                0 => text.insert_str(from, self.one(&PIECES)),
                1 => text.replace_range(from..to, ""),
                2 => text.insert_str(to, &part),
                3 => text.insert_str(from, &self.one(&PIECES).repeat(1 + self.below(64))),
                4 => {
                    let other = self.one(examples);
                    let (at, end) = (self.cut(other), other.len());
                    text.replace_range(from..to, other.get(at..end).unwrap_or_default());
                }
                5 => {
                    let words: Vec<&str> = text.split(' ').collect();
                    let (x, y) = (self.below(words.len()), self.below(words.len()));
                    let mut words = words;
                    words.swap(x, y);
                    text = words.join(" ");
                }
                _ => text.insert_str(from, &part.repeat(1 + self.below(16))),
            }
            if text.len() > TEXT_BYTES_MAX {
                return text;
            }
        }
        text
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().ok());
    let Some(Some(seconds)) = arguments.next() else {
        eprintln!("give the number of seconds: cargo run -p cloister-plan --example fuzz -- 60");
        return ExitCode::from(2);
    };
    let seed = arguments.next().flatten().unwrap_or(0x00c1_0157_e700_0001).max(1);
    match fuzz(Duration::from_secs(seconds), seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(misdeed) => {
            eprintln!("seed {seed}: {misdeed}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(time: Duration, seed: u64) -> Result<(), String> {
    let dictionary = dictionary().map_err(|error| error.to_string())?;
    let all = entries();
    let examples: Vec<&str> = all.iter().map(|entry| entry.example.as_ref()).collect();
    let mut sequence = Sequence(seed);
    let (mut texts, mut plans, mut slowest) = (0u64, 0u64, Duration::ZERO);
    let start = Instant::now();
    while start.elapsed() < time {
        let text = sequence.mutated(&examples);
        let is_module = sequence.below(8) == 0;
        let delta = [None, Some("0.000001")][sequence.below(2)];
        let began = Instant::now();
        let ended = catch_unwind(|| planned(&dictionary, &text, is_module, delta));
        let took = began.elapsed();
        texts += 1;
        slowest = slowest.max(took);
        match ended {
            Err(_) => return Err(format!("panicked on {text:?}")),
            Ok(_) if took > TEXT_TIME_MAX => return Err(format!("took {took:?}: {text:?}")),
            Ok(Ok(found)) => {
                plans += 1;
                // A plan's canonical form is what nodes compare: it must exist and check.
                found.plan.shape.check().map_err(|error| format!("{error}: {text:?}"))?;
            }
            Ok(Err(error)) => {
                let pointed = error.pointed(&text).map(|pointed| pointed.to_string());
                let length = error.to_string().len() + pointed.unwrap_or_default().len();
                if length > MESSAGE_BYTES_MAX {
                    return Err(format!("a message of {length} bytes: {text:?}"));
                }
            }
        }
    }
    println!("{texts} texts, {plans} of them planned, slowest {slowest:?}");
    Ok(())
}
