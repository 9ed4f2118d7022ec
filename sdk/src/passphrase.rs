//! Passphrases, from a file, the environment or a prompt, in this order. Never from an argument,
//! which every process on the machine could read.

use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The environment variable that may hold the passphrase.
pub const VARIABLE: &str = "CLOISTER_PASSPHRASE";

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The file cannot be read.
    #[error("cannot read the passphrase from `{path}`: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is no terminal to ask at.
    #[error("no passphrase: set {VARIABLE}, pass --passphrase-file, or run at a terminal ({0})")]
    NoTerminal(std::io::Error),
    /// The two entries differ.
    #[error("the two passphrases differ: try again")]
    Differ,
}

/// The passphrase of an existing key.
pub fn existing(file: Option<&Path>) -> Result<Zeroizing<String>, PassphraseError> {
    match given(file)? {
        Some(passphrase) => Ok(passphrase),
        None => prompt("passphrase: "),
    }
}

/// The passphrase of a new key; at a prompt it is asked twice.
pub fn chosen(file: Option<&Path>) -> Result<Zeroizing<String>, PassphraseError> {
    if let Some(passphrase) = given(file)? {
        return Ok(passphrase);
    }
    let first = prompt("choose a passphrase: ")?;
    if prompt("again: ")? == first { Ok(first) } else { Err(PassphraseError::Differ) }
}

fn given(file: Option<&Path>) -> Result<Option<Zeroizing<String>>, PassphraseError> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| PassphraseError::File { path: path.to_owned(), error })?;
        let text = Zeroizing::new(text);
        return Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())));
    }
    Ok(std::env::var(VARIABLE).ok().map(Zeroizing::new))
}

fn prompt(text: &str) -> Result<Zeroizing<String>, PassphraseError> {
    rpassword::prompt_password(text).map(Zeroizing::new).map_err(PassphraseError::NoTerminal)
}
