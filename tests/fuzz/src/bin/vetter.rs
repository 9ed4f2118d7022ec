//! Bytes of a module: the vetter takes them, or refuses with a named reason and a short text; and what it took
//! compiles or is refused by name. It must never panic, nor judge the same bytes in two ways.

use cloister_fuzz::{Ended, Target, bounded, seeds};
use cloister_sandbox::{Limits, compile, vet};
use std::process::ExitCode;

fn main() -> ExitCode {
    Target { name: "vetter", seeds: seeds::modules, pieces: &PIECES, check }.main()
}

/// Section heads, types, and operators.
const PIECES: [&str; 16] = [
    "\0asm\u{1}\0\0\0",
    "\u{0}\u{2}\u{1}x",
    "\u{1}\u{4}\u{1}\u{60}\0\0",
    "\u{5}\u{3}\u{1}\0\u{1}",
    "\u{8}\u{1}\0",
    "\u{b}\u{1}\0",
    "\u{3f}\0",
    "\u{40}\0",
    "\u{41}\0",
    "\u{6a}",
    "\u{36}\u{2}\0",
    "\u{37}\u{3}\0",
    "\u{3}\u{40}",
    "\u{2}\u{40}",
    "\u{b}",
    "\u{10}\0",
];

fn check(input: &[u8]) -> Result<Ended, String> {
    let vetted = match vet(input, &Limits::V1) {
        Ok(vetted) => vetted,
        Err(error) if error.reason().is_empty() => return Err("a refusal without a name".into()),
        Err(error) => return bounded(&error),
    };
    let again =
        vet(input, &Limits::V1).map_err(|error| format!("refused at the second look: {error}"))?;
    if again.tier() != vetted.tier() || again.sha256() != vetted.sha256() || vetted.bytes() != input
    {
        return Err("two looks, two judgements".into());
    }
    match compile(&vetted) {
        Ok(_) => Ok(Ended::Taken),
        // A vetted module is valid: the compiler has no reason of its own, and marks change nothing else.
        Err(error) if ["compile", "rewrite", "tier", "engine"].contains(&error.reason()) => {
            Err(format!("vetted, but: {error}"))
        }
        Err(error) => bounded(&error),
    }
}
