//! The command line of `cloister-node`. Every command ends in what it did or in one line that says
//! what to do; it never prints a secret, a record or a figure computed from records.

/// Pause, pin and `ledger show`.
mod account;
/// Free adjustments of an answer's figures, on request.
mod adjusting;
/// The steward's own questions, without a coordinator.
mod answer;
/// Checks of configuration, tables and network before a node runs.
mod check;
/// Pending analyses, grants and declines.
mod decide;
/// Keys, folders and enrolment.
mod join;
/// Configuration, state and passphrase, opened for the other commands.
mod opened;
/// The node's main loop.
mod run;
/// Dates, shares of budgets and names in words.
mod words;

pub use adjusting::Adjusting;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// A partner's node: answers approved analyses from its own tables, and lets only charged, noised
/// figures out.
#[derive(Debug, Parser)]
#[command(name = "cloister-node", version)]
struct Arguments {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Shared {
    /// The node's configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// File whose first line is the passphrase of the keys (else CLOISTER_PASSPHRASE, else asked)
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make keys, state folder and a sample configuration
    Init(join::Init),
    /// Join a coordinator with a one-time token
    Enroll(join::Enroll),
    /// Show what data files hold: columns, types, extremes (a local report)
    Describe(check::Describe),
    /// Check configuration, tables and connection before running
    Check(check::Check),
    /// Ask your own tables alone: charged and noised as any analysis, without a coordinator
    Answer(answer::Answer),
    /// Run the node
    Run(run::Run),
    /// Show the analyses that wait for your decision
    Pending(decide::Pending),
    /// Allow an analysis to run on your data
    Grant(decide::Decision),
    /// Do not allow an analysis, or take a grant back
    Decline(decide::Decision),
    /// Refuse every run until resumed
    Pause(account::Pause),
    /// Adopt a new signed agreement
    Pin(account::Pin),
    /// What was spent and released
    #[command(subcommand)]
    Ledger(account::LedgerCommand),
}

/// Runs one command. Exit code 0, 1 for an error (one line on stderr), 2 for wrong arguments.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Arguments { shared, command } = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, on stdout and with exit code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match command {
        Command::Init(init) => init.run(&shared),
        Command::Enroll(enroll) => enroll.run(&shared),
        Command::Describe(describe) => describe.run(),
        Command::Check(check) => check.run(&shared),
        Command::Answer(answer) => answer.run(&shared),
        Command::Run(run) => run.run(&shared),
        Command::Pending(pending) => pending.run(&shared),
        Command::Grant(decision) => decision.run(&shared, true),
        Command::Decline(decision) => decision.run(&shared, false),
        Command::Pause(pause) => pause.run(&shared),
        Command::Pin(pin) => pin.run(&shared),
        Command::Ledger(command) => command.run(&shared),
    };
    match done {
        Ok(text) => {
            // A reader that closed the pipe has what it wanted.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cloister-node: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    #[error(transparent)]
    Start(#[from] crate::start::StartError),
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    #[error(transparent)]
    Agreement(#[from] crate::agreement::NotOurAgreement),
    #[error(transparent)]
    Key(#[from] cloister_wire::KeyError),
    #[error(transparent)]
    Signing(#[from] cloister_wire::DsseError),
    #[error(transparent)]
    Enrol(#[from] cloister_net::EnrolError),
    #[error(
        "`{0}` is not a join token: copy the whole token that the coordinator's operator gave you"
    )]
    Token(String),
    #[error("`{path}` cannot be {verb}: {cause}")]
    File { path: PathBuf, verb: &'static str, cause: std::io::Error },
    #[error("`{0}` is there already and is never overwritten: choose another --folder")]
    ConfigExists(PathBuf),
    #[error(
        "the passphrase cannot be read: {0}; give --passphrase-file or set CLOISTER_PASSPHRASE"
    )]
    Passphrase(std::io::Error),
    #[error("the two passphrases differ: type the same one twice")]
    PassphrasesDiffer,
    #[error("`{0}` cannot be looked up: give host:port")]
    Address(String),
    #[error("no analysis `{0}` was offered to this node: look at `cloister-node pending`")]
    NoSuchAnalysis(String),
    #[error("`{given}` names {found} analyses: give more digits of the digest")]
    Ambiguous { given: String, found: usize },
    #[error(
        "the reason is empty or longer than {} bytes: say why in a sentence",
        cloister_terms::limits::TEXT_BYTES_MAX
    )]
    Reason,
    #[error("the offered analysis no longer stands: {0}")]
    Offer(cloister_terms::Refusal),
    #[error("nothing was signed: {0}")]
    Dates(#[from] cloister_terms::OutsideDates),
    #[error("{0} of the checks failed: see above")]
    ChecksFailed(usize),
    #[error(
        "another machine took this node's place: is a copy of `{0}` running elsewhere? stop one, then start this node again"
    )]
    Displaced(PathBuf),
    #[error("the runtime cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("the answer cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the system's random generator failed: nothing was signed")]
    Entropy,
    #[error(transparent)]
    Data(#[from] check::DataError),
    #[error(transparent)]
    Answer(#[from] answer::AnswerError),
}

/// What a command prints when it is done.
type Printed = Result<String, CliError>;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
