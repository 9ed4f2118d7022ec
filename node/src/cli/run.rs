//! The node's main loop: opens everything, says once that it is ready, serves until told to stop. A
//! run under way when it stops is charged; it runs once more at the next start.

use super::opened::passphrase;
use super::{CliError, Printed, Shared};
use crate::config::Config;
use crate::serve::Displaced;
use crate::start::{Started, start};
use crate::state::StateFolder;
use clap::Args;
use cloister_net::SystemClock;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Longest wait for work under way once the node stops.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// Level of the log when `RUST_LOG` says nothing.
const LOG_DEFAULT: &str = "info,datafusion=warn,quinn=warn";

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Stop when standard input ends
    #[arg(long)]
    exit_with_stdin: bool,
}

impl Run {
    pub fn run(self, shared: &Shared) -> Printed {
        log_to_stderr();
        let config = Config::load(&shared.config)?;
        let state = StateFolder::open(&config.state)?;
        let node_key = state.node_key_file()?.open(&passphrase(shared)?)?;
        let runtime = runtime()?;
        let entered = runtime.enter();
        let started = start(&config, node_key, Arc::new(SystemClock))?;
        drop(entered);
        let (stop, stopping) = watch::channel(false);
        if self.exit_with_stdin {
            stop_with_stdin(stop.clone());
        }
        let served = runtime.block_on(serve(&config, started, stop, stopping));
        runtime.shutdown_timeout(STOP_DEADLINE);
        served.map_err(|Displaced| CliError::Displaced(config.state))?;
        Ok(String::new())
    }
}

/// The runtime of a command.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)
}

async fn serve(
    config: &Config,
    started: Started,
    stop: watch::Sender<bool>,
    stopping: watch::Receiver<bool>,
) -> Result<(), Displaced> {
    tokio::spawn(async move {
        told_to_stop().await;
        let _ = stop.send(true);
    });
    let mut said = false;
    let name = config.name.clone();
    let ready = || {
        if !std::mem::replace(&mut said, true) {
            let line = serde_json::json!({
                "ready": true, "node": name, "pid": std::process::id(),
            });
            let mut out = std::io::stdout();
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    };
    started.node.clone().serve(&started.dialer, &started.address, ready, stopping).await
}

/// Waits for ctrl-c or a request to terminate; for ever where signals cannot be watched.
async fn told_to_stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                terminated.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminated => {}
        () = interrupted => {}
    }
}

/// On a thread of its own: reading standard input cannot be cancelled.
fn stop_with_stdin(stop: watch::Sender<bool>) {
    std::thread::spawn(move || {
        let mut ignored = [0; 1024];
        let mut input = std::io::stdin();
        while input.read(&mut ignored).is_ok_and(|read| read > 0) {}
        let _ = stop.send(true);
    });
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_DEFAULT));
    // A second call in one process (the tour) keeps the first log. A terminal that is gone ends no run:
    // what cannot be logged is not told with `eprintln!`, which panics there.
    let _ = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}
