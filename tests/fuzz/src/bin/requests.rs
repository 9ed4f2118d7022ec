//! A whole stream as a node sends it to a worker: set-up, batches, finish. The worker serves it or ends with a typed
//! error. It must never panic, hang, or answer more than was asked.

use cloister_fuzz::{Ended, Target, bounded, seeds as checkout};
use cloister_sandbox::worker::serve;
use std::process::ExitCode;

/// Most that a worker can have to say about what the driver sends.
const ANSWER_BYTES_MAX: usize = 1 << 22;
/// The tag of a refusal, behind the length word.
const REFUSED: u8 = 18;
/// How outputs are written: as pairs, or all in order.
const PAIRS: u8 = 1;
const DENSE: u8 = 2;

fn main() -> ExitCode {
    Target {
        name: "requests",
        seeds,
        pieces: &["\u{1}", "\u{2}", "\u{3}", "\0\0\0\0", "\u{1}\0\0\0\u{3}"],
        check,
    }
    .main()
}

fn check(input: &[u8]) -> Result<Ended, String> {
    let mut answers = Vec::new();
    let served = serve(input, &mut answers);
    if answers.len() > ANSWER_BYTES_MAX {
        return Err(format!("{} bytes of answers", answers.len()));
    }
    match served {
        // The first answer says that the module was refused: an end like another.
        Ok(()) if answers.get(4) == Some(&REFUSED) => Ok(Ended::Refused),
        Ok(()) => Ok(Ended::Taken),
        Err(error) => bounded(&error),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let names = ["state_memory", "state_global", "trap_if_bob", "ret_negative", "state_table"];
    let mut streams = names.map(|name| stream(&checkout::evil(name), PAIRS)).to_vec();
    streams.push(stream(&checkout::evil("state_memory"), DENSE));
    streams
}

/// Four rows of one integer column and 32 bytes of output in this layout, a batch of three persons twice, the end.
fn stream(wasm: &[u8], layout: u8) -> Vec<u8> {
    let outputs = if layout == DENSE { 4 } else { 2 };
    let word = |number: usize| (number as u32).to_le_bytes().to_vec();
    let long = |number: u64| number.to_le_bytes().to_vec();
    let setup = [
        vec![1],
        word(4),
        word(outputs),
        vec![layout],
        long(100_000),
        long(5_000),
        word(1),
        vec![1],
        word(wasm.len()),
        wasm.to_vec(),
    ];
    let values = [10_i64, 66, 67, 12].map(i64::to_le_bytes).concat();
    let all_valid = [vec![2], word(3), word(1), word(2), word(1), vec![0], values.clone()];
    let bitmap = [vec![2], word(3), word(1), word(2), word(1), vec![1], long(0b1011), values];
    let frames = [setup.concat(), all_valid.concat(), bitmap.concat(), vec![3]];
    frames.iter().flat_map(|frame| [word(frame.len()), frame.clone()].concat()).collect()
}
