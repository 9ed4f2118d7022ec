//! Local reports for the steward: what files hold, whether they fit the dictionary, and whether the
//! coordinator can be reached. Exact figures are printed here and nowhere else; they are the
//! partner's own and never leave the machine.

use super::join::look_up;
use super::opened::Opened;
use super::{CliError, Printed, Shared};
use crate::check_data::check_data;
use crate::describe::{DescribeError, describe};
use crate::fault::Fault;
use crate::start;
use clap::Args;
use cloister_net::{CLOCK_SKEW_S, Clock, CloseReason, Dialer, SystemClock};
use std::path::PathBuf;
use std::sync::Arc;

/// Why a local report cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    #[error(transparent)]
    Describe(#[from] DescribeError),
    #[error(transparent)]
    Check(#[from] Fault),
}

#[derive(Debug, Args)]
pub(super) struct Describe {
    /// Parquet or CSV files of one table
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Describe {
    pub fn run(self) -> Printed {
        Ok(describe(&self.files).map_err(DataError::from)?.to_string())
    }
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Do not read the tables
    #[arg(long)]
    skip_data: bool,
    /// Do not dial the coordinator
    #[arg(long)]
    offline: bool,
}

/// What was checked, line by line.
#[derive(Default)]
struct Findings {
    text: String,
    failed: usize,
}

impl Findings {
    fn good(&mut self, what: &str, detail: impl std::fmt::Display) {
        self.text += &format!("ok       {what:<12} {detail}\n");
    }

    fn bad(&mut self, what: &str, detail: impl std::fmt::Display) {
        self.failed += 1;
        self.text += &format!("PROBLEM  {what:<12} {detail}\n");
    }
}

impl Check {
    pub fn run(self, shared: &Shared) -> Printed {
        let opened = Opened::open(shared)?;
        let mut findings = Findings::default();
        findings.good("config", shared.config.display());
        let head = opened.ledger.head()?;
        findings.good("ledger", format!("{} entries, unbroken", head.size));
        match start::workers(&opened.config, &opened.state).protections() {
            Ok(Some(on)) => findings.good("modules", format!("own process: {on}")),
            Ok(None) => findings.good("modules", "in this process"),
            Err(error) => findings.bad("modules", error),
        }
        let runtime = super::run::runtime()?;
        let report = self.agreement_and_data(&opened, &runtime, &mut findings);
        if !self.offline {
            runtime.block_on(coordinator(&opened, &mut findings));
        }
        let Findings { text, failed } = findings;
        let text = if report.is_empty() { text } else { format!("{text}\n{report}") };
        if failed == 0 {
            return Ok(text);
        }
        // The findings belong on stdout, whatever the exit code.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
        Err(CliError::ChecksFailed(failed))
    }

    /// Checks agreement, mapping and tables; returns the report on the data.
    fn agreement_and_data(
        &self,
        opened: &Opened,
        runtime: &tokio::runtime::Runtime,
        findings: &mut Findings,
    ) -> String {
        let agreement = match start::agreement(&opened.config, &opened.state) {
            Ok(Some(agreement)) => agreement,
            Ok(None) => {
                let path = opened.config.agreement.display();
                findings.bad("agreement", format!("`{path}` is not there yet"));
                return String::new();
            }
            Err(error) => {
                findings.bad("agreement", error);
                return String::new();
            }
        };
        findings.good("agreement", &agreement.document().name);
        if let Err(error) = start::check_slot(&opened.config, &agreement) {
            findings.bad("slot", error);
        }
        let tables = match start::tables(&opened.config, &agreement) {
            Ok(tables) => tables,
            Err(error) => {
                findings.bad("sources", error);
                return String::new();
            }
        };
        findings.good("sources", format!("{} mapped", opened.config.sources.len()));
        if self.skip_data {
            return String::new();
        }
        match runtime.block_on(check_data(&tables.catalog)) {
            Ok(report) => {
                let unreadable: usize = report.datasets.iter().map(|d| d.unreadable.len()).sum();
                match unreadable {
                    0 => findings.good("data", "every file was read to its end"),
                    files => findings.bad(
                        "data",
                        format!("{files} files cannot be read, see below: repair or remove them"),
                    ),
                }
                for dataset in &report.datasets {
                    for column in dataset.empty_columns() {
                        findings.bad(
                            "data",
                            format!("`{}.{column}` has no value in any row: correct its expression in node.toml (what cannot be converted is null), or the table", dataset.dataset),
                        );
                    }
                }
                report.to_string()
            }
            Err(error) => {
                findings.bad("data", error);
                String::new()
            }
        }
    }
}

/// Dials once; every way to fail has its own text that says what to do.
async fn coordinator(opened: &Opened, findings: &mut Findings) {
    let what = "coordinator";
    let identity = match opened.state.identity() {
        Ok(identity) => identity,
        Err(error) => return findings.bad(what, error),
    };
    let address = opened.config.coordinator.clone().or_else(|| opened.state.coordinator());
    let Some(address) = address else {
        return findings.bad(what, start::StartError::NoCoordinator);
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let found = match look_up(&address).await {
        Ok(found) => found,
        Err(error) => return findings.bad(what, error),
    };
    let dialled = match Dialer::new(&identity, clock.clone()) {
        Ok(dialer) => dialer.dial_each(&found).await,
        Err(error) => return findings.bad(what, error),
    };
    let connection = match dialled {
        Ok(connection) => connection,
        Err(error) => return findings.bad(what, error),
    };
    findings.good(what, format!("`{}` at {}", connection.peer().name(), connection.remote_addr()));
    let apart_s = connection.server_time_s().map(|theirs| theirs.abs_diff(clock.now_unix_s()));
    match apart_s {
        Some(apart_s) if apart_s > CLOCK_SKEW_S => findings.bad(
            "clock",
            format!("{apart_s} s apart from the coordinator's: set both clocks by NTP, at most {CLOCK_SKEW_S} s are allowed"),
        ),
        Some(apart_s) => findings.good("clock", format!("{apart_s} s apart from the coordinator's")),
        None => {}
    }
    connection.close_and_flush(CloseReason::Done).await;
}
