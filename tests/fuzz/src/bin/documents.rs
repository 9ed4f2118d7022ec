//! The JSON of a signed document, put into an envelope of every type, and envelopes as they come. What opens is its
//! own canonical form and passes through its checks without a panic; all else is refused in a text of bounded length.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cloister_fuzz::{Ended, Target, bounded};
use cloister_plan::draft::{agreement_from_toml, analysis_from_toml, document_of};
use cloister_plan::replan;
use cloister_terms::{Agreement, Analysis, Approval, Digest, Grant, ReleaseRecord, RunRequest};
use cloister_wire::{Bundle, Document, DsseError, Envelope, KeyFile, Opened, canonical};
use std::process::ExitCode;
use std::sync::LazyLock;

static AGREEMENT: LazyLock<Option<Agreement>> =
    LazyLock::new(|| agreement_from_toml(include_str!("../../seeds/agreement.toml")).ok());

fn main() -> ExitCode {
    Target { name: "documents", seeds, pieces: &PIECES, check }.main()
}

fn check(input: &[u8]) -> Result<Ended, String> {
    if let Err(error) = Bundle::parse(input) {
        bounded(&error)?;
    }
    if let Err(error) = KeyFile::parse(input) {
        bounded(&error)?;
    }
    if let Err(error) = Envelope::parse(input) {
        bounded(&error)?;
    }
    let opened = [
        open::<Agreement>(input, |document| document.check().map_err(|error| error.to_string()))?,
        open::<Analysis>(input, check_analysis)?,
        open::<Approval>(input, |_| Ok(()))?,
        open::<Grant>(input, |_| Ok(()))?,
        open::<RunRequest>(input, |_| Ok(()))?,
        open::<ReleaseRecord>(input, |_| Ok(()))?,
    ];
    Ok(if opened.contains(&Ended::Taken) { Ended::Taken } else { Ended::Refused })
}

/// Checked as a node does, and planned again when it is well formed.
fn check_analysis(analysis: &Analysis) -> Result<(), String> {
    analysis.check().map_err(|error| error.to_string())?;
    match &*AGREEMENT {
        Some(agreement) => {
            replan(&agreement.dictionary, analysis).map(drop).map_err(|error| error.to_string())
        }
        None => Ok(()),
    }
}

fn open<T: Document>(
    payload: &[u8],
    checks: fn(&T) -> Result<(), String>,
) -> Result<Ended, String> {
    let envelope = serde_json::json!({
        "payload": STANDARD.encode(payload), "payloadType": T::PAYLOAD_TYPE, "signatures": [],
    });
    let opened: Result<Opened<T>, DsseError> =
        Envelope::parse(envelope.to_string().as_bytes()).and_then(|envelope| envelope.open());
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return bounded(&error),
    };
    let again = canonical(opened.document()).map_err(|error| error.to_string())?;
    if again != payload {
        return Err("opened, but not in its canonical form".into());
    }
    match checks(opened.document()) {
        Ok(()) => Ok(Ended::Taken),
        Err(refused) => bounded(&refused),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let Some(agreement) = &*AGREEMENT else { return Vec::new() };
    let mut seeds = vec![canonical(agreement).unwrap_or_default()];
    let read = |_: &std::path::Path| Ok(vec![0; 8]);
    for draft in
        [include_str!("../../seeds/analysis.toml"), include_str!("../../seeds/manifest.toml")]
    {
        let draft = analysis_from_toml(draft, &agreement.dictionary, &read);
        let named = draft.ok().zip(agreement.researchers.first());
        let document = named.and_then(|(draft, researcher)| {
            document_of(&draft, agreement, Digest::new([1; 32]), &researcher.name).ok()
        });
        if let Some((analysis, _)) = document {
            seeds.push(canonical(&analysis).unwrap_or_default());
            seeds.extend(Envelope::unsigned(&analysis).map(|envelope| envelope.to_bytes()));
        }
    }
    seeds
}

const PIECES: [&str; 18] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "-1",
    "0.5",
    "18446744073709551615",
    "1e400",
    "\\u0000",
    "\\ud800",
    "\"version\":1",
    "\"0/1\"",
    "[[[[[[[[",
    "\u{202e}",
];
