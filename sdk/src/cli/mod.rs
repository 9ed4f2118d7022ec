//! The command line: arguments in, exit status out. Answers go to standard output (JSON with
//! `--json`), everything else to standard error.

/// A line on standard output, as `println!` writes it but for [`out`]'s manners.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::out(&(format!($($text)*) + "\n")) };
}

/// A line on standard error, as `eprintln!` writes it but for [`err`]'s manners.
macro_rules! tell {
    ($($text:tt)*) => { $crate::cli::err(&(format!($($text)*) + "\n")) };
}

mod agreement;
mod analysis;
#[cfg(test)]
mod dates_tests;
mod dry_run;
mod explain;
mod key;
mod module;
mod results;
mod review;
mod run;

use crate::answer::AnswerError;
use crate::client::{Client, ClientError};
use crate::draft::DraftError;
use crate::home::{Home, HomeError};
use crate::passphrase::PassphraseError;
use clap::{Parser, Subcommand};
use cloister_wire::SigningKey;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cloister",
    version,
    about = "Ask approved questions of partners who keep their records at home."
)]
struct Arguments {
    #[command(flatten)]
    person: PersonArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct PersonArguments {
    /// Your folder: key, certificate, profile.
    #[arg(long, global = true, env = "CLOISTER_HOME", default_value = ".cloister")]
    home: PathBuf,
    /// Read the passphrase from this file (otherwise from CLOISTER_PASSPHRASE, or a prompt).
    #[arg(long, global = true)]
    passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Make, replace or show your signing key.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Exchange a one-time token for a certificate.
    Enroll(key::EnrollArguments),
    /// Draft, sign, publish or show an agreement.
    #[command(subcommand)]
    Agreement(agreement::AgreementCommand),
    /// What an analysis would do, cost and yield; spends nothing.
    Explain(explain::ExplainArguments),
    /// The table as it would look, over made-up records; spends nothing.
    DryRun(dry_run::DryRunArguments),
    /// Check a module by itself, before there is an analysis.
    #[command(subcommand)]
    Module(module::ModuleCommand),
    /// Sign an analysis and submit it for review.
    Submit(analysis::SubmitArguments),
    /// Look at analyses and vote on them.
    #[command(subcommand)]
    Review(review::ReviewCommand),
    /// Ask the partners to run an approved analysis.
    Run(run::RunArguments),
    /// Where analyses and runs stand.
    Status(analysis::StatusArguments),
    /// The answer of a run, verified.
    Results(results::ResultsArguments),
    /// Check a proof bundle offline.
    Verify(results::VerifyArguments),
}

/// Everything that can go wrong at the prompt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    Key(#[from] cloister_wire::KeyError),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("{0}; or say whose question it is with --researcher NAME")]
    NoResearcher(HomeError),
    #[error("the module of this analysis would be refused by every node: {0}")]
    Module(cloister_node::module_fit::ModuleFitError),
    #[error("every node would refuse this module: {0}")]
    ModuleAlone(cloister_node::module_fit::ModuleFitError),
    #[error(
        "no partner may admit this `fuel_per_person`: {fuel}; a run has {run_time_max_ms} ms under the agreement, so declare {most} at most"
    )]
    Fuel { fuel: cloister_node::module_fuel::FuelTime, run_time_max_ms: u64, most: u64 },
    #[error(
        "nothing was signed: your training lapsed on {0} (UTC), so your approval would not count; renew it and have an agreement signed with the new date, or leave the approval to another reviewer"
    )]
    TrainingLapsed(String),
    #[error("nothing was signed: {0}")]
    Dates(#[from] cloister_terms::OutsideDates),
    #[error("{error}\n{pointed}")]
    Pointed { error: Box<DraftError>, pointed: Box<cloister_plan::Pointed> },
    #[error(transparent)]
    Forecast(#[from] cloister_plan::ForecastError),
    #[error(
        "a target in percent needs to know of what: add --typical N, or --bundle FILE with an earlier answer"
    )]
    NoTypical,
    #[error(
        "a target in percent of `{0}` needs a figure to take it of: give the error in the column's units, such as --target-error 0.05, or --bundle FILE with an earlier answer"
    )]
    NoSize(String),
    #[error("a cell cannot hold {0}: give --typical a number above 0")]
    Typical(f64),
    #[error(transparent)]
    DryRun(#[from] crate::dry_run::DryRunError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(
        "the proof does not hold: {0}; do not rely on this answer, and ask its sender for the file again"
    )]
    NotProven(AnswerError),
    #[error(transparent)]
    Dsse(#[from] cloister_wire::DsseError),
    #[error(transparent)]
    Proof(#[from] cloister_wire::ProofError),
    #[error(
        "the token is not one: {0}; copy the whole line that `cloister-coordinator invite` printed"
    )]
    Token(String),
    #[error("enrolment failed: {0}")]
    Enrol(#[from] cloister_net::EnrolError),
    #[error("cannot use `{path}`: {error}", path = path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("the key in {home} belongs to none of the agreement's parties: sign with a steward's key", home = .0.display())]
    NotAParty(PathBuf),
    #[error("a reason is needed: pass --reason \"...\"; it is logged and exported")]
    NoReason,
    #[error(
        "the latest run of `{0}` is still under way: follow it with `cloister status {0} --watch`, then ask again"
    )]
    StillRunning(cloister_terms::Name),
    #[error(
        "no proof was written: this run of `{0}` is still under way, and more partners may answer; ask again when it is done, which `cloister status {0} --watch` shows of the latest run"
    )]
    UnderWay(cloister_terms::Name),
    #[error(
        "no partner shows any group, so nothing is left to ask: expect more people a group, or spend more"
    )]
    NoGroups,
    #[error("there is no run {0}: look at `cloister status`")]
    NoSuchRun(usize),
    #[error(transparent)]
    Report(#[from] cloister_report::ReportError),
    #[error("{0}")]
    Runtime(std::io::Error),
    #[error("the analysis cannot be approved: its total cost overflows")]
    Bound,
}

impl PersonArguments {
    fn home(&self) -> Home {
        Home::new(&self.home)
    }

    fn signing_key(&self) -> Result<SigningKey, CliError> {
        let passphrase = crate::passphrase::existing(self.passphrase_file.as_deref())?;
        Ok(self.home().key(&passphrase)?)
    }
}

/// Connects, does `work`, and takes leave whatever came of it.
async fn connected<T>(
    person: &PersonArguments,
    work: impl AsyncFnOnce(&Client) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let client = Client::connect(&person.home()).await?;
    let done = work(&client).await;
    client.close().await;
    done
}

/// Runs the command line with `args`, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nothing is left to be done when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("cloister: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), CliError> {
    let person = &arguments.person;
    // A thread beside this one keeps a connection alive while a module is tried here, or a passphrase typed.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    runtime.block_on(async {
        match &arguments.command {
            Command::Key(command) => key::key(person, command),
            Command::Enroll(arguments) => key::enroll(person, arguments).await,
            Command::Agreement(command) => agreement::agreement(person, command).await,
            Command::Explain(arguments) => explain::explain(person, arguments).await,
            Command::DryRun(arguments) => dry_run::run(person, arguments).await,
            Command::Module(command) => module::module(command),
            Command::Submit(arguments) => analysis::submit(person, arguments).await,
            Command::Review(command) => review::review(person, command).await,
            Command::Run(arguments) => run::run(person, arguments).await,
            Command::Status(arguments) => analysis::status(person, arguments).await,
            Command::Results(arguments) => results::results(person, arguments).await,
            Command::Verify(arguments) => results::verify(arguments),
        }
    })
}

/// Writes to standard output. A reader that closed the pipe has what it wanted: that is no error.
fn out(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes to standard error. A terminal that is gone ends nothing: what was asked for may be signed already.
fn err(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| CliError::File { path: path.to_owned(), error })
}

fn read_text(path: &Path) -> Result<String, CliError> {
    let error = |error| CliError::File { path: path.to_owned(), error };
    std::fs::read_to_string(path).map_err(error)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|error| CliError::File { path: path.to_owned(), error })
}

fn now_s() -> i64 {
    use cloister_net::Clock;
    i64::try_from(cloister_net::SystemClock.now_unix_s()).unwrap_or(i64::MAX)
}
