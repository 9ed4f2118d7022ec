//! `submit`, `status`, and the planning that comes before.

use super::{CliError, PersonArguments, connected, now_s, read, read_text};
use crate::client::{Client, ClientError};
use crate::draft::{AnalysisDraft, DraftError, analysis_from_toml, document_of};
use clap::Args;
use cloister_node::module_fit::{ModuleFitError, module_fits_here};
use cloister_node::module_fuel::{FuelTime, fuel_max};
use cloister_plan::{Contribute, Planned};
use cloister_report::printable;
use cloister_terms::{Act, Agreement, Analysis, Digest, Name, check_dates};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{FromPerson, NodeState, RunProgress, ToPerson};
use std::path::{Path, PathBuf};

/// Which question, under which agreement: what `explain` and `dry-run` take.
#[derive(Args)]
pub(super) struct QuestionArguments {
    /// The analysis, in TOML.
    analysis: PathBuf,
    /// The agreement it stands under (otherwise the coordinator is asked).
    #[arg(long)]
    agreement: Option<PathBuf>,
    /// Plan as this researcher (otherwise as your profile's name).
    #[arg(long)]
    researcher: Option<Name>,
}

#[derive(Args)]
pub(super) struct SubmitArguments {
    /// The analysis, in TOML.
    analysis: PathBuf,
    /// The agreement's name or digest, where the coordinator knows several.
    #[arg(long)]
    agreement: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct StatusArguments {
    /// Follow the latest run of this analysis.
    analysis: Option<String>,
    /// Stay until the run is done.
    #[arg(long, requires = "analysis")]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A draft, planned under its agreement.
pub(super) struct Prepared {
    pub agreement: Opened<Agreement>,
    pub researcher: Name,
    pub draft: AnalysisDraft,
    pub analysis: Analysis,
    pub planned: Planned,
}

/// Reads and plans a question; nothing is spent or sent.
pub(super) async fn prepared(
    person: &PersonArguments,
    arguments: &QuestionArguments,
) -> Result<Prepared, CliError> {
    let agreement = match &arguments.agreement {
        Some(path) => Envelope::parse(&read(path)?)?.open::<Agreement>()?,
        None => connected(person, async |client| Ok(client.agreement(None).await?)).await?,
    };
    let researcher = match &arguments.researcher {
        Some(name) => name.clone(),
        None => person.home().profile().map_err(CliError::NoResearcher)?.name,
    };
    plan(&arguments.analysis, agreement, researcher)
}

fn plan(path: &Path, agreement: Opened<Agreement>, researcher: Name) -> Result<Prepared, CliError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let dictionary = &agreement.document().dictionary;
    let module = |file: &Path| std::fs::read(folder.join(file));
    let draft = analysis_from_toml(&read_text(path)?, dictionary, &module)?;
    let (analysis, planned) =
        document_of(&draft, agreement.document(), agreement.digest(), &researcher)
            .map_err(|error| pointed(error, &draft))?;
    check_purpose(&analysis, agreement.document()).map_err(|error| pointed(error, &draft))?;
    check_fuel(&planned, agreement.document().run_time_max_ms)?;
    check_module(&planned, &draft)?;
    Ok(Prepared { agreement, researcher, draft, analysis, planned })
}

/// Every node refuses what nobody agreed on.
fn check_purpose(analysis: &Analysis, agreement: &Agreement) -> Result<(), DraftError> {
    if agreement.purposes.contains(&analysis.purpose) {
        return Ok(());
    }
    let known = agreement.purposes.iter().map(|purpose| format!("`{}`", printable(purpose)));
    let known = known.collect::<Vec<_>>().join(", ");
    Err(DraftError::Purpose { purpose: printable(&analysis.purpose), known })
}

/// What the module's fuel may come to, where there is a module.
pub(super) fn fuel(planned: &Planned) -> Option<FuelTime> {
    match &planned.plan.contribute {
        Contribute::Sql(_) => None,
        Contribute::Module(module) => Some(FuelTime::of(module.fuel_per_person)),
    }
}

/// No node's release slot is longer than a run may take: fuel that does not fit even that is admitted by none.
fn check_fuel(planned: &Planned, run_time_max_ms: u64) -> Result<(), CliError> {
    match fuel(planned) {
        Some(fuel) if !fuel.fits(run_time_max_ms) => {
            Err(CliError::Fuel { fuel, run_time_max_ms, most: fuel_max(run_time_max_ms) })
        }
        _ => Ok(()),
    }
}

/// Tries the module as every node will, so that its author learns of a broken rule before anybody approves it.
fn check_module(planned: &Planned, draft: &AnalysisDraft) -> Result<(), CliError> {
    let Some(wasm) = &draft.module else { return Ok(()) };
    of_the_module(module_fits_here(&planned.plan, wasm)).map_err(CliError::Module)
}

/// What was found of a module. What this machine could not try is told, and is the nodes' to find.
pub(super) fn of_the_module(tried: Result<(), ModuleFitError>) -> Result<(), ModuleFitError> {
    match tried {
        Err(error) if error.is_of_this_machine() => {
            tell!("warning: {error}; nodes will try it again");
            Ok(())
        }
        tried => tried,
    }
}

/// A refusal with the line it is about.
fn pointed(error: DraftError, draft: &AnalysisDraft) -> CliError {
    match error.pointed(draft) {
        Some(pointed) => CliError::Pointed { error: Box::new(error), pointed: Box::new(pointed) },
        None => error.into(),
    }
}

/// Why a question is refused, for scripts: what, where, and what to write.
pub(super) fn refusal_json(error: &CliError) -> serde_json::Value {
    let (message, place, kind) = match error {
        CliError::Pointed { error, pointed } => {
            (error.to_string(), Some(pointed), refusal_kind(error))
        }
        CliError::Draft(error) => (error.to_string(), None, refusal_kind(error)),
        CliError::Module(ModuleFitError::Refused { reason, .. })
        | CliError::ModuleAlone(ModuleFitError::Refused { reason, .. }) => {
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

pub(super) async fn submit(
    person: &PersonArguments,
    arguments: &SubmitArguments,
) -> Result<(), CliError> {
    connected(person, async |client| submit_to(client, person, arguments).await).await
}

async fn submit_to(
    client: &Client,
    person: &PersonArguments,
    arguments: &SubmitArguments,
) -> Result<(), CliError> {
    let home = person.home();
    let agreement = client.agreement(arguments.agreement.as_deref()).await?;
    let researcher = home.profile()?.name;
    if agreement.document().researcher(&researcher).is_none() {
        return Err(DraftError::Stranger(researcher, "researchers").into());
    }
    let Prepared { agreement, analysis, planned, draft, .. } =
        plan(&arguments.analysis, agreement, researcher)?;
    let module = draft.module;
    let envelope = signed(person, &analysis, agreement.document(), now_s)?;
    let digest =
        client.store(&FromPerson::Submit { analysis: envelope.to_bytes(), module }).await?;
    if arguments.json {
        say!("{}", serde_json::json!({ "analysis": digest, "cost": planned.cost }));
    } else {
        tell!("submitted; reviewers see it with `cloister review show {}`", analysis.name);
        say!("{digest}");
    }
    Ok(())
}

/// The analysis, signed: only while there is time to run it.
pub(super) fn signed(
    person: &PersonArguments,
    analysis: &Analysis,
    agreement: &Agreement,
    now_s: impl FnOnce() -> i64,
) -> Result<Envelope, CliError> {
    // First the key: whoever types a passphrase may take long over it.
    let key = person.signing_key()?;
    check_dates(agreement, Some(analysis), Act::Sign, now_s())?;
    Ok(Envelope::sign(analysis, &key)?)
}

pub(super) async fn status(
    person: &PersonArguments,
    arguments: &StatusArguments,
) -> Result<(), CliError> {
    connected(person, async |client| status_of(client, arguments).await).await
}

async fn status_of(client: &Client, arguments: &StatusArguments) -> Result<(), CliError> {
    if let Some(wanted) = &arguments.analysis {
        let line = client.analysis(wanted).await?;
        let run = *line.runs.last().ok_or(ClientError::NoRun)?;
        if arguments.watch {
            return follow(client, run, arguments.json).await;
        }
        let ToPerson::Results(file) = client.ask(&FromPerson::Results { request: run }).await?
        else {
            return Err(ClientError::Unexpected.into());
        };
        show(&file.progress, run, arguments.json);
        return Ok(());
    }
    let lines = client.analyses().await?;
    if arguments.json {
        let rows = lines.iter().map(|line| {
            serde_json::json!({
                "analysis": line.analysis, "name": line.name, "researcher": line.researcher,
                "question": line.question, "approvals": line.approvals,
                "rejections": line.rejections, "approved": line.approved, "runs": line.runs,
            })
        });
        say!("{}", serde_json::Value::from(rows.collect::<Vec<_>>()));
        return Ok(());
    }
    say!("{:<24} {:<16} {:<12} {:<5} QUESTION", "ANALYSIS", "RESEARCHER", "APPROVED", "RUNS");
    for line in lines {
        let approved = match (line.approved, line.rejections) {
            (true, _) => "yes".to_owned(),
            (false, 0) => format!("{} so far", line.approvals),
            (false, _) => format!("{} for, {} no", line.approvals, line.rejections),
        };
        let question = cloister_report::printable(&line.question);
        say!(
            "{:<24} {:<16} {approved:<12} {:<5} {question}",
            line.name,
            line.researcher,
            line.runs.len()
        );
    }
    Ok(())
}

/// Follows a run to its end and shows where it stands then.
pub(super) async fn follow(client: &Client, request: Digest, json: bool) -> Result<(), CliError> {
    let progress = followed(client, request, json).await?;
    show(&progress, request, json);
    Ok(())
}

/// Follows a run to its end, silently where the output is JSON.
pub(super) async fn followed(
    client: &Client,
    request: Digest,
    json: bool,
) -> Result<RunProgress, CliError> {
    let bar = (!json).then(indicatif::ProgressBar::new_spinner);
    if let Some(bar) = &bar {
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
    }
    let progress = client
        .watch(request, |progress| {
            if let Some(bar) = &bar {
                bar.set_message(summary(progress));
            }
        })
        .await?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(progress)
}

fn summary(progress: &RunProgress) -> String {
    let released = progress.nodes.iter().filter(|(_, s)| *s == NodeState::Released).count();
    format!("{released} of {} partners have released", progress.nodes.len())
}

fn show(progress: &RunProgress, request: Digest, json: bool) {
    if json {
        let nodes: Vec<_> = progress
            .nodes
            .iter()
            .map(|(node, state)| serde_json::json!({ "node": node, "state": state, "words": words(state) }))
            .collect();
        say!(
            "{}",
            serde_json::json!({ "request": request, "done": progress.done, "nodes": nodes })
        );
        return;
    }
    say!("run {}: {}", request.short(), summary(progress));
    for (node, state) in &progress.nodes {
        say!("  {node:<20} {}", words(state));
    }
}

fn words(state: &NodeState) -> String {
    match state {
        NodeState::Away => {
            "not connected; it gets the request if it connects within two minutes of it".into()
        }
        NodeState::Sent => "has the request".into(),
        NodeState::Admitted => "has admitted it; its release comes at its slot".into(),
        NodeState::Released => "released".into(),
        NodeState::Refused(refusal) => format!("refuses: {refusal}"),
        NodeState::Withheld => "withheld its answer and froze the analysis; ask its steward".into(),
        NodeState::Excluded => "sent a release that does not verify; it is excluded".into(),
        NodeState::Late => "did not answer before the deadline".into(),
    }
}
