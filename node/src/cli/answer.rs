//! `answer`: the steward asks her own tables, without a coordinator, and sees the table at once. The
//! cost is told and agreed to before anything is charged; what is printed is noised and charged, as
//! any release is.

use super::opened::{Opened, now_s, passphrase};
use super::words::{list, percent, share_percent};
use super::{CliError, Printed, Shared};
use crate::alone::{Alone, AloneError, Answered, LocalTerms};
use crate::catalog::Catalog;
use crate::measure::MeasureOptions;
use crate::module_fit::{ModuleFitError, module_fits};
use crate::run::Tables;
use crate::start;
use crate::state::read_bounded;
use clap::Args;
use cloister_plan::draft::{AnalysisDraft, DraftError, analysis_from_toml};
use cloister_plan::{Planned, Pointed};
use cloister_report::{TextOptions, meaning, report_with};
use cloister_terms::limits::MODULE_BYTES_MAX;
use cloister_terms::{Analysis, Budget};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Largest file of an analysis, in bytes.
const ANALYSIS_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Answer {
    /// The analysis, in TOML
    analysis: PathBuf,
    /// Agree to the cost without being asked
    #[arg(long)]
    yes: bool,
    /// Ask once more after a run that failed; it is charged anew
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    adjusting: super::Adjusting,
    /// Leave the plot out
    #[arg(long)]
    no_plot: bool,
    /// Show the mathematics too
    #[arg(long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What becomes of two rounds.
const ONE_ROUND: &str = "`rounds = 2` is one round here: of one partner alone, the first shows all groups that there are.";

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(transparent)]
    Alone(Box<AloneError>),
    #[error(transparent)]
    Local(#[from] crate::alone::LocalError),
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("{error}\n{pointed}")]
    Pointed { error: Box<DraftError>, pointed: Box<Pointed> },
    #[error("nothing was charged: {0}")]
    Module(#[from] ModuleFitError),
    #[error("the answer cannot be shown: {0}")]
    Report(#[from] cloister_report::ReportError),
    #[error("`{0}` is not UTF-8 text: give an analysis in TOML")]
    Text(PathBuf),
    #[error("nothing was charged: agree to the cost by typing y, or with --yes")]
    NotAgreed,
}

impl Answer {
    pub fn run(self, shared: &Shared) -> Printed {
        let answered = self.answered(shared);
        if let (true, Err(error)) = (self.json, &answered) {
            // For scripts; people read the line on standard error.
            let _ = writeln!(std::io::stdout(), "{}", refusal_json(error));
        }
        answered
    }

    fn answered(&self, shared: &Shared) -> Printed {
        let opened = Opened::open(shared)?;
        let _lock = opened.state.lock_answer()?;
        let agreement = start::agreement(&opened.config, &opened.state)?;
        let (local, sources) = match &agreement {
            Some(agreement) => (LocalTerms::of_agreement(agreement), opened.config.sources.clone()),
            None => {
                let found = LocalTerms::of_file(&opened.config.name, &opened.config.local);
                let (local, sources) = found.map_err(AnswerError::from)?;
                let all = sources.into_iter().chain(opened.config.sources.iter().cloned());
                (local, all.collect())
            }
        };
        let catalog = Catalog::open(&sources, &local.dictionary).map_err(AnswerError::from)?;
        let workers = start::workers(&opened.config, &opened.state);
        let options = MeasureOptions { workers: workers.clone(), ..MeasureOptions::default() };
        let tables = Tables { catalog, options };
        let draft = self.draft(&local)?;
        let passphrase = passphrase(shared)?;
        let steward = opened.state.steward_key_file()?.open(&passphrase)?;
        let node_key = opened.state.node_key_file()?.open(&passphrase)?;
        let caps = opened.config.lifetime_caps;
        let alone = Alone::new(opened.ledger, tables, &local, caps, steward, node_key, now_s());
        let alone = alone.map_err(in_a_box)?;
        let (analysis, planned) = alone.plan(&draft).map_err(|error| pointed(error, &draft))?;
        let adjusting = self.adjusting.options().map_err(AnswerError::from)?;
        adjusting.check(&analysis.shape).map_err(AnswerError::from)?;
        if draft.rounds() > 1 {
            let _ = writeln!(std::io::stderr(), "{ONE_ROUND}");
        }
        let module = draft.module.as_deref();
        if let Some(wasm) = module {
            // The gate tries it too, but says no more than what others may read.
            module_fits(&planned.plan, wasm, &workers).map_err(AnswerError::from)?;
        }
        if !alone.is_charged(&analysis, now_s())? && !self.yes {
            agree(&planned, alone.left()?, &local)?;
        }
        let mut answered = super::run::runtime()?
            .block_on(alone.ask(&analysis, module, self.again, now_s()))
            .map_err(in_a_box)?;
        let report = report_with(&analysis.shape, &answered.combined, &adjusting);
        answered.report = report.map_err(AnswerError::from)?;
        if self.json {
            return Ok(format!("{}\n", json(&answered, &analysis, &local, caps)?));
        }
        Ok(self.in_words(&answered, &local, caps))
    }

    fn draft(&self, local: &LocalTerms) -> Result<AnalysisDraft, CliError> {
        let bytes = read_bounded(&self.analysis, ANALYSIS_BYTES_MAX)?;
        let text =
            String::from_utf8(bytes).map_err(|_| AnswerError::Text(self.analysis.clone()))?;
        let folder = self.analysis.parent().unwrap_or(Path::new(""));
        let read = |file: &Path| {
            read_bounded(&folder.join(file), MODULE_BYTES_MAX as u64)
                .map_err(|error| std::io::Error::other(error.to_string()))
        };
        let draft = analysis_from_toml(&text, &local.dictionary, &read);
        Ok(draft.map_err(AnswerError::from)?)
    }

    fn in_words(&self, answered: &Answered, local: &LocalTerms, caps: Budget) -> String {
        let options =
            TextOptions { plot: !self.no_plot, verbose: self.verbose, ..TextOptions::default() };
        let mut text = answered.report.to_text(&options);
        let whose = list([&local.unit_namespace]);
        text += &if answered.is_repeat {
            "\nAsked before in this epoch: the same answer, and nothing was charged.\n".to_owned()
        } else {
            let share = percent(share_percent(answered.charged, caps));
            let said = meaning(answered.charged);
            format!("\nCharged {share} of what may ever be spent of `{whose}`: {said}.\n")
        };
        // Spent since the first question, whoever asked.
        let spent = share_percent(caps.left_after(answered.left), caps);
        let left = percent(spent.map(|spent| (100.0 - spent).max(0.0)));
        text += &format!("Left of it: {left}. `cloister-node ledger show` lists every charge.\n");
        if self.verbose {
            let record = answered.release.document();
            text += &format!("Exactly: {} charged, {} left\n", answered.charged, answered.left);
            text += &format!("Charge {}, epoch {}\n", record.charge, record.epoch);
        }
        text + "This answer was shown as soon as it was ready, since it is for you alone: how long it took\ndepends on your records. Pass on the table, not the time.\n"
    }
}

/// Errors travel in boxes, since some are large.
fn in_a_box(error: AloneError) -> AnswerError {
    AnswerError::Alone(Box::new(error))
}

/// A refusal with the line it is about.
fn pointed(error: DraftError, draft: &AnalysisDraft) -> AnswerError {
    match error.pointed(draft) {
        Some(pointed) => {
            AnswerError::Pointed { error: Box::new(error), pointed: Box::new(pointed) }
        }
        None => error.into(),
    }
}

/// Why there is no answer, for scripts: what, where, and what to write.
fn refusal_json(error: &CliError) -> serde_json::Value {
    let (message, place, kind) = match error {
        CliError::Answer(AnswerError::Pointed { error, pointed }) => {
            (error.to_string(), Some(pointed), refusal_kind(error))
        }
        CliError::Answer(AnswerError::Draft(error)) => {
            (error.to_string(), None, refusal_kind(error))
        }
        CliError::Answer(AnswerError::Module(ModuleFitError::Refused { reason, .. })) => {
            (error.to_string(), None, Some(reason.clone()))
        }
        other => (other.to_string(), None, None),
    };
    serde_json::json!({ "refused": { "kind": kind, "message": message, "place": place } })
}

/// The name the reference page gives a refusal of the planner.
fn refusal_kind(error: &DraftError) -> Option<String> {
    match error {
        DraftError::Plan(error) => Some(cloister_plan::reference::refusal_name(error)),
        _ => None,
    }
}

/// Tells the cost and waits for a yes.
fn agree(planned: &Planned, left: Budget, local: &LocalTerms) -> Result<(), CliError> {
    let mut out = std::io::stderr();
    let share = percent(share_percent(planned.cost, left));
    let whose = list([&local.unit_namespace]);
    let told = format!(
        "{}This question takes {share} of what is left of `{whose}`, for good. Go on? [y/N] ",
        cloister_plan::explain(planned, 1, None),
    );
    // Nobody can agree to what was not told.
    let told = out.write_all(told.as_bytes()).and_then(|()| out.flush());
    let input = std::io::stdin();
    if told.is_err() || !input.is_terminal() {
        let _ = writeln!(out);
        return Err(AnswerError::NotAgreed.into());
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    match (read, line.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(AnswerError::NotAgreed.into()),
    }
}

fn json(
    answered: &Answered,
    analysis: &Analysis,
    local: &LocalTerms,
    caps: Budget,
) -> Result<String, CliError> {
    let report = answered.report.to_json().map_err(AnswerError::from)?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let record = answered.release.document();
    let value = serde_json::json!({
        "name": analysis.name,
        "partner": local.partner,
        "unit_namespace": local.unit_namespace,
        "repeat": answered.is_repeat,
        "charged": answered.charged,
        "meaning": meaning(answered.charged).to_string(),
        "left": answered.left,
        "lifetime_cap": caps,
        "charge": record.charge,
        "epoch": record.epoch,
        "release": answered.release.digest(),
        "report": report,
    });
    Ok(serde_json::to_string_pretty(&value)?)
}
