//! A query, or the rows of a module: it ends in a plan whose shape checks, or in a typed error of bounded length.
//! The first byte of an odd input chooses: `m` reads the rest as a module's rows.

use cloister_fuzz::{Ended, Target};
use cloister_plan::PlanError;
use cloister_plan::reference::{dictionary, entries, planned};
use cloister_terms::Dictionary;
use std::process::ExitCode;
use std::sync::LazyLock;

/// Longest message of a refusal with the place shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 2_000;

static DICTIONARY: LazyLock<Option<Dictionary>> = LazyLock::new(|| dictionary().ok());

fn main() -> ExitCode {
    Target { name: "planner", seeds, pieces: &PIECES, check }.main()
}

fn seeds() -> Vec<Vec<u8>> {
    let text = |entry: cloister_plan::reference::Entry| {
        let mark = if entry.is_module { "m" } else { "" };
        format!("{mark}{}", entry.example).into_bytes()
    };
    entries().into_iter().map(text).collect()
}

fn check(input: &[u8]) -> Result<Ended, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(Ended::Refused) };
    let dictionary = DICTIONARY.as_ref().ok_or("the dictionary of the examples is gone")?;
    let rows = text.strip_prefix('m');
    let text = rows.unwrap_or(text);
    let with = |delta| planned(dictionary, text, rows.is_some(), delta);
    let found = match with(None) {
        Err(PlanError::NoDomain { .. }) => with(Some("0.000001")),
        found => found,
    };
    match found {
        // A plan's canonical form is what nodes compare: it must exist and check.
        Ok(found) => match found.plan.shape.check() {
            Ok(()) => Ok(Ended::Taken),
            Err(error) => Err(format!("a plan of a bad shape: {error}")),
        },
        Err(error) => {
            let pointed = error.pointed(text).map(|pointed| pointed.to_string());
            let bytes = error.to_string().len() + pointed.unwrap_or_default().len();
            if bytes > MESSAGE_BYTES_MAX {
                return Err(format!("a message of {bytes} bytes"));
            }
            Ok(Ended::Refused)
        }
    }
}

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
