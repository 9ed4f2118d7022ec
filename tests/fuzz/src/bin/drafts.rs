//! What people write by hand: the drafts of an agreement and of an analysis, a module's manifest among them. Each is
//! read into a document that checks, or refused in a text of bounded length.

use cloister_fuzz::{Ended, Target, bounded};
use cloister_plan::draft::{agreement_from_toml, analysis_from_toml};
use cloister_plan::reference::dictionary;
use cloister_terms::Dictionary;
use std::process::ExitCode;
use std::sync::LazyLock;

static DICTIONARY: LazyLock<Option<Dictionary>> = LazyLock::new(|| dictionary().ok());

fn main() -> ExitCode {
    Target { name: "drafts", seeds, pieces: &PIECES, check }.main()
}

fn seeds() -> Vec<Vec<u8>> {
    let drafts = [
        include_str!("../../seeds/agreement.toml"),
        include_str!("../../seeds/analysis.toml"),
        include_str!("../../seeds/manifest.toml"),
    ];
    drafts.map(|draft| draft.as_bytes().to_vec()).to_vec()
}

fn check(input: &[u8]) -> Result<Ended, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(Ended::Refused) };
    let agreement = agreement_from_toml(text);
    if let Ok(agreement) = &agreement {
        agreement.check().map_err(|error| format!("an agreement that does not check: {error}"))?;
        return Ok(Ended::Taken);
    }
    let dictionary = DICTIONARY.as_ref().ok_or("the dictionary of the examples is gone")?;
    // A module's file is not read from disk, whatever the draft names.
    let read = |_: &std::path::Path| Ok(vec![0; 8]);
    match analysis_from_toml(text, dictionary, &read) {
        Ok(draft) => match draft.plan(dictionary) {
            Ok(_) => Ok(Ended::Taken),
            Err(error) => bounded(&error),
        },
        Err(error) => {
            if let Err(other) = agreement {
                bounded(&other)?;
            }
            bounded(&error)
        }
    }
}

const PIECES: [&str; 20] = [
    "\n",
    "[[parties]]\n",
    "[module]\n",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\"\"\"",
    " = ",
    "-1",
    "18446744073709551616",
    "1e999",
    "\"1/3\"",
    "\"2026-02-30\"",
    "\"9999-12-31\"",
    "\"0\"",
    "true",
    "inf",
    "\u{202e}",
];
