//! What researchers, reviewers and auditors use: drafts in TOML become signed documents, documents
//! travel to the coordinator and back, answers are verified before they are shown. Nothing is
//! believed because the coordinator said it.

/// Answers, computed again from signed releases, and the proof bundle.
pub mod answer;
/// The command line.
mod cli;
/// The connection to the coordinator.
pub mod client;
/// Agreements and analyses as people write them, in TOML.
pub use cloister_plan::draft;
/// The node's own code over made-up records.
pub mod dry_run;
/// A person's folder: signing key, certificate, where the coordinator is.
pub mod home;
/// Passphrases, from a file, the environment or a prompt.
pub mod passphrase;
/// Documents in plain words.
pub mod words;

pub use cli::main;
