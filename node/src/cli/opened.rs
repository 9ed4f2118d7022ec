//! What most commands need, opened alike: configuration, state folder, ledger, agreement, passphrase.
//! A passphrase is wiped after use and never echoed.

use super::{CliError, Shared};
use crate::agreement::SignedAgreement;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::start::{self, StartError};
use crate::state::{StateFolder, read_bounded};
use cloister_net::{Clock, SystemClock};
use zeroize::Zeroizing;

/// Where a passphrase may be given instead of typed.
const PASSPHRASE_VARIABLE: &str = "CLOISTER_PASSPHRASE";
/// Largest passphrase file, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 64 * 1024;

/// A node's files, opened.
pub(super) struct Opened {
    pub config: Config,
    pub state: StateFolder,
    pub ledger: Ledger,
}

impl Opened {
    /// Opens the node that `--config` names.
    pub fn open(shared: &Shared) -> Result<Self, CliError> {
        let config = Config::load(&shared.config)?;
        let state = StateFolder::open(&config.state)?;
        let ledger = Ledger::open(&state.ledger_path())?;
        Ok(Self { config, state, ledger })
    }

    /// The agreement, pinned at its first use.
    pub fn agreement(&self) -> Result<SignedAgreement, CliError> {
        let agreement = start::agreement(&self.config, &self.state)?;
        let missing = || StartError::NoAgreement(self.config.agreement.display().to_string());
        let agreement = agreement.ok_or_else(missing)?;
        self.ledger.pin_first(agreement.digest(), now_s())?;
        Ok(agreement)
    }
}

/// Seconds since 1970 UTC.
pub(super) fn now_s() -> i64 {
    i64::try_from(SystemClock.now_unix_s()).unwrap_or(i64::MAX)
}

/// The passphrase of the keys: from the file, the environment, or the terminal.
pub(super) fn passphrase(shared: &Shared) -> Result<Zeroizing<String>, CliError> {
    match given(shared)? {
        Some(given) => Ok(given),
        None => prompt("Passphrase of this node's keys: "),
    }
}

/// A passphrase for new keys: typed ones are asked twice.
pub(super) fn new_passphrase(shared: &Shared) -> Result<Zeroizing<String>, CliError> {
    if let Some(given) = given(shared)? {
        return Ok(given);
    }
    let first = prompt("New passphrase for this node's keys: ")?;
    if *first == *prompt("The same passphrase again: ")? {
        return Ok(first);
    }
    Err(CliError::PassphrasesDiffer)
}

fn given(shared: &Shared) -> Result<Option<Zeroizing<String>>, CliError> {
    if let Some(path) = &shared.passphrase_file {
        let bytes = Zeroizing::new(read_bounded(path, PASSPHRASE_BYTES_MAX)?);
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| CliError::Passphrase(std::io::ErrorKind::InvalidData.into()))?;
        return Ok(Some(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())));
    }
    Ok(std::env::var(PASSPHRASE_VARIABLE).ok().map(Zeroizing::new))
}

fn prompt(text: &str) -> Result<Zeroizing<String>, CliError> {
    rpassword::prompt_password(text).map(Zeroizing::new).map_err(CliError::Passphrase)
}
