//! A frame as a worker sends it to the node: two bytes say how many persons and outputs were asked for, the rest
//! is the frame. It is refused, or what was understood is those very bytes again. A worker that a module broke out
//! of must never find a second way to say a thing.

use cloister_fuzz::{Ended, Target, bounded};
use cloister_sandbox::frames::answer_again;
use std::process::ExitCode;

fn main() -> ExitCode {
    Target {
        name: "answers",
        seeds,
        pieces: &["\u{11}", "\u{12}", "\u{13}", "\u{14}", "\u{15}"],
        check,
    }
    .main()
}

fn check(input: &[u8]) -> Result<Ended, String> {
    let [persons, outputs_max, frame @ ..] = input else { return Ok(Ended::Refused) };
    match answer_again(frame, usize::from(*persons), u32::from(*outputs_max)) {
        Ok(again) if again == frame => Ok(Ended::Taken),
        Ok(again) => Err(format!("read from {} bytes, written in {}", frame.len(), again.len())),
        Err(error) => bounded(&error),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let ready = [&[0, 0, 17][..], &[7; 32]].concat();
    let word = |number: u32| number.to_le_bytes().to_vec();
    let text = |text: &str| [word(text.len() as u32), text.as_bytes().to_vec()].concat();
    let refused = [vec![0, 0, 18], text("import"), text("the module imports `env.log`")].concat();
    let pair = |index: u32, value: i64| [word(index), value.to_le_bytes().to_vec()].concat();
    let outputs = [
        vec![3, 2, 19],
        word(3),
        [word(2), word(u32::MAX), word(1)].concat(),
        [pair(0, 1), pair(7, i64::MIN), pair(u32::MAX, -1)].concat(),
    ];
    let finished = [vec![0, 0, 21], [9_u64, 1, 2, 3, 4].map(u64::to_le_bytes).concat()].concat();
    vec![ready, refused, outputs.concat(), vec![0, 0, 20, 1], vec![0, 0, 20, 3], finished]
}
