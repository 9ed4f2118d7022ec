//! The command line: `init | run | invite | revoke | status`. Data goes to standard output (JSON
//! with `--json`), everything else to standard error.

use crate::config::{ConfigError, Folder};
use crate::serve::{self, ServeError};
use crate::store::{InviteError, Revoked, Store, StoreError};
use clap::{Parser, Subcommand};
use cloister_net::{Clock, Role, SystemClock, Token};
use cloister_terms::Name;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// A line on standard output. A reader that closed the pipe has what it wanted: that is no error.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// A line on standard error. A terminal that is gone ends nothing.
macro_rules! tell {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// Most alerts `status` shows about strangers at the enrolment port, and about everything else.
const ALERTS_SHOWN: u32 = 10;
/// Longest life of a token, in minutes.
const TOKEN_MINUTES_MAX: u64 = 7 * 24 * 60;

#[derive(Parser)]
#[command(
    name = "cloister-coordinator",
    version,
    about = "Cloister's coordinator: dispatches approved runs, verifies and combines what nodes release."
)]
struct Arguments {
    /// The coordinator's folder.
    #[arg(long, global = true, default_value = "cloister-coordinator")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the folder: certificate authority, own certificate, sample configuration.
    Init {
        /// The coordinator's name, as agreements will have it.
        #[arg(long, default_value = "coordinator")]
        name: Name,
    },
    /// Listen for nodes and persons.
    Run {
        /// Listen here instead of the configuration's `listen`.
        #[arg(long)]
        listen: Option<std::net::SocketAddr>,
        /// Enrol here instead of the configuration's `enrol_listen`.
        #[arg(long)]
        enrol_listen: Option<std::net::SocketAddr>,
        /// End when standard input closes.
        #[arg(long)]
        exit_with_stdin: bool,
    },
    /// Print a one-time token with which a node or person enrols.
    Invite {
        /// The name it is bound to.
        name: Name,
        /// `node` or `person`.
        #[arg(long, default_value = "node")]
        role: Role,
        /// How long it can be used.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke the certificate and unused tokens of a node or person; live connections close within
    /// seconds.
    Revoke {
        /// The name.
        name: Name,
    },
    /// Who is enrolled and connected, analyses, runs, alerts.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Invite(#[from] InviteError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot invite a `coordinator`: roles are `node` and `person`")]
    Role,
    #[error("`--minutes` is {0}: it must be between 1 and {TOKEN_MINUTES_MAX}")]
    Minutes(u64),
    #[error(
        "nobody of the name `{0}` is enrolled or invited, or that is revoked already: look at `cloister-coordinator status`"
    )]
    NotEnrolled(Name),
    #[error("the system's random generator failed: nothing was written")]
    Entropy,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("analyses cannot be read: {0}")]
    Analyses(cloister_wire::message::Rejection),
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
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("cloister-coordinator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), CliError> {
    let folder = Folder::new(arguments.folder);
    match arguments.command {
        Command::Init { name } => init(&folder, &name),
        Command::Run { listen, enrol_listen, exit_with_stdin } => {
            let mut config = folder.load_config()?;
            config.listen = listen.unwrap_or(config.listen);
            config.enrol_listen = enrol_listen.unwrap_or(config.enrol_listen);
            listen_until_told(&folder, &config, exit_with_stdin)
        }
        Command::Invite { name, role, minutes, json } => {
            invite(&folder, &name, role, minutes, json)
        }
        Command::Revoke { name } => revoke(&folder, name),
        Command::Status { json } => status(&folder, json),
    }
}

fn init(folder: &Folder, name: &Name) -> Result<(), CliError> {
    let ca = folder.init(name, &SystemClock)?;
    Store::open(&folder.store())?;
    say!("coordinator `{name}` made; its CA has fingerprint {}", ca.fingerprint());
    say!("next: look at {}, then `cloister-coordinator run`", folder.config().display());
    Ok(())
}

fn listen_until_told(
    folder: &Folder,
    config: &crate::config::Config,
    exit_with_stdin: bool,
) -> Result<(), CliError> {
    // A terminal that is gone ends nothing: what cannot be logged is not told with `eprintln!`, which
    // panics there.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CLOISTER_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    match folder.renew(&config.name, &SystemClock) {
        Ok(None) => {}
        Ok(Some(until_s)) => {
            let until = moment(i64::try_from(until_s).unwrap_or(i64::MAX));
            tracing::info!(%until, "the coordinator's certificate was ending: it has a new one");
        }
        // The old one may count yet; where it does not, whoever dials in is told.
        Err(error) => {
            tracing::warn!(%error, "the coordinator's certificate is ending and was not renewed");
        }
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let running = serve::start(folder, config, Arc::new(SystemClock)).await?;
        let ready = serde_json::json!({
            "ready": true,
            "coordinator": config.name.as_str(),
            "listen": running.listen.to_string(),
            "enrol": running.enrol.to_string(),
        });
        say!("{ready}");
        std::io::stdout().flush()?;
        until_told(exit_with_stdin).await;
        running.stop().await;
        Ok(())
    })
}

/// Waits for ctrl-c, a termination signal, or the end of standard input.
async fn until_told(exit_with_stdin: bool) {
    let stdin = async {
        if !exit_with_stdin {
            return std::future::pending().await;
        }
        let mut sink = tokio::io::sink();
        // An error of standard input ends the process as its end does.
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut sink).await;
    };
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = stdin => {}
    }
}

fn invite(
    folder: &Folder,
    name: &Name,
    role: Role,
    minutes: u64,
    json: bool,
) -> Result<(), CliError> {
    if role == Role::Coordinator {
        return Err(CliError::Role);
    }
    if !(1..=TOKEN_MINUTES_MAX).contains(&minutes) {
        return Err(CliError::Minutes(minutes));
    }
    let ca = folder.load_ca()?;
    let token = Token::generate(ca.fingerprint()).map_err(|_| CliError::Entropy)?;
    let now_s = SystemClock.now_unix_s();
    let expires_s = now_s.saturating_add(minutes * 60);
    Store::open(&folder.store())?.invite(&token.secret_hash(), name, role, expires_s, now_s)?;
    if json {
        let line = serde_json::json!({
            "name": name.as_str(), "role": role.to_string(),
            "token": token.to_string(), "expires_s": expires_s,
        });
        say!("{line}");
    } else {
        tell!(
            "one-time token for the {role} `{name}`, good for {minutes} min; pass it on in private:"
        );
        say!("{token}");
    }
    Ok(())
}

fn revoke(folder: &Folder, name: Name) -> Result<(), CliError> {
    folder.load_config()?;
    let revoked = Store::open(&folder.store())?.revoke(&name)?;
    if revoked == (Revoked { certificates: 0, tokens: 0 }) {
        return Err(CliError::NotEnrolled(name));
    }
    if revoked.certificates > 0 {
        say!(
            "`{name}` is revoked; its live connections close within {} s",
            cloister_net::REVOCATION_SWEEP_S
        );
    }
    if revoked.tokens > 0 {
        say!("unused join tokens of `{name}` that no longer let in: {}", revoked.tokens);
    }
    Ok(())
}

fn status(folder: &Folder, json: bool) -> Result<(), CliError> {
    // Opening the store makes one: only where there is a coordinator.
    folder.load_config()?;
    let store = Store::open(&folder.store())?;
    let peers = store.peers()?;
    let now_s = i64::try_from(SystemClock.now_unix_s()).unwrap_or(i64::MAX);
    let lines = crate::intake::list(&store, now_s).map_err(|e| CliError::Analyses(e.0))?;
    let alerts = store.alerts(ALERTS_SHOWN)?;
    if json {
        let state = serde_json::json!({
            "peers": peers.iter().map(|peer| serde_json::json!({
                "name": peer.name.as_str(), "role": peer.role.to_string(),
                "connected": peer.connected, "revoked": peer.revoked,
                "certificate_ends_s": peer.not_after_s, "seen_s": peer.seen_s,
            })).collect::<Vec<_>>(),
            "analyses": lines.iter().map(|line| serde_json::json!({
                "analysis": line.analysis, "name": line.name, "researcher": line.researcher,
                "approvals": line.approvals, "approved": line.approved, "runs": line.runs,
            })).collect::<Vec<_>>(),
            "alerts": alerts,
        });
        say!("{state}");
        return Ok(());
    }
    say!("{:<24} {:<8} STATE", "NAME", "ROLE");
    for peer in &peers {
        let state = match (peer.revoked, peer.connected) {
            (true, _) => "revoked",
            (false, true) => "connected",
            (false, false) => "away",
        };
        say!("{:<24} {:<8} {state}", peer.name, peer.role);
    }
    say!("\n{:<24} {:<16} {:<10} RUNS", "ANALYSIS", "RESEARCHER", "APPROVED");
    for line in &lines {
        let approved =
            if line.approved { "yes".into() } else { format!("{} so far", line.approvals) };
        say!("{:<24} {:<16} {approved:<10} {}", line.name, line.researcher, line.runs.len());
    }
    for (at_s, what) in &alerts {
        say!("alert of {}: {what}", moment(*at_s));
    }
    Ok(())
}

/// A second since 1970 as people read it, in UTC.
fn moment(at_s: i64) -> String {
    use time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::from_unix_timestamp(at_s).ok();
    let text = moment.and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| at_s.to_string())
}
