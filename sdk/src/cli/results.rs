//! `results` and `verify`.

use super::{CliError, PersonArguments, connected, out, read, write};
use crate::answer::{Answer, answer_of, verify_bundle};
use crate::client::{Client, ClientError};
use clap::Args;
use cloister_report::TextOptions;
use cloister_terms::Name;
use cloister_wire::message::{FromPerson, NodeState, RunProgress, ToPerson};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct ResultsArguments {
    /// The analysis' name, or eight digits of its digest.
    analysis: String,
    /// Which run, from 1 (otherwise the latest).
    #[arg(long)]
    run: Option<usize>,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV.
    #[arg(long)]
    csv: bool,
    /// Write the answer with its proof to this file.
    #[arg(long)]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    adjusting: cloister_node::cli::Adjusting,
    /// Leave the plot out.
    #[arg(long)]
    no_plot: bool,
    /// Plot this column (otherwise the first figure).
    #[arg(long)]
    plot: Option<String>,
    /// Show a two-key answer as a matrix.
    #[arg(long)]
    matrix: bool,
    /// Show the mathematics too.
    #[arg(long)]
    verbose: bool,
}

#[derive(Args)]
pub(super) struct VerifyArguments {
    /// The proof bundle.
    file: PathBuf,
    /// Show the exact cost too.
    #[arg(long)]
    verbose: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn results(
    person: &PersonArguments,
    arguments: &ResultsArguments,
) -> Result<(), CliError> {
    let (answer, progress) =
        connected(person, async |client| fetch(client, arguments).await).await?;
    if let Some(path) = &arguments.bundle {
        save(path, &answer, &progress)?;
        tell!(
            "answer and proof written to {}; anyone can check it with `cloister verify`",
            path.display()
        );
    }
    print(&answer, &progress, arguments)
}

/// Writes the proof of a run that is done: another would name partners as missing who answer later.
fn save(path: &Path, answer: &Answer, progress: &RunProgress) -> Result<(), CliError> {
    if !progress.done {
        return Err(CliError::UnderWay(answer.analysis.document().name.clone()));
    }
    write(path, &answer.bundle()?.to_bytes())
}

async fn fetch(
    client: &Client,
    arguments: &ResultsArguments,
) -> Result<(Answer, RunProgress), CliError> {
    let line = client.analysis(&arguments.analysis).await?;
    let run = match arguments.run {
        None => line.runs.last(),
        Some(number) => {
            let index = number.checked_sub(1).ok_or(CliError::NoSuchRun(number))?;
            Some(line.runs.get(index).ok_or(CliError::NoSuchRun(number))?)
        }
    };
    let request = *run.ok_or(ClientError::NoRun)?;
    let ToPerson::Results(file) = client.ask(&FromPerson::Results { request }).await? else {
        return Err(ClientError::Unexpected.into());
    };
    Ok((answer_of(&file)?, file.progress))
}

fn print(
    answer: &Answer,
    progress: &RunProgress,
    arguments: &ResultsArguments,
) -> Result<(), CliError> {
    // The proof holds the figures as released: adjustments are made anew by whoever wants them.
    let report = answer.report_with(&arguments.adjusting.options()?)?;
    if arguments.json {
        say!("{}", report.to_json()?);
        return Ok(());
    }
    if arguments.csv {
        out(&report.to_csv());
        return Ok(());
    }
    let options = TextOptions {
        plot: !arguments.no_plot,
        plot_column: arguments.plot.clone(),
        verbose: arguments.verbose,
        ..TextOptions::default()
    };
    if arguments.matrix {
        out(&report.to_matrix_text(&options)?);
    } else {
        out(&report.to_text(&options));
    }
    let analysis = answer.analysis.document();
    if answer.round.number < analysis.rounds {
        tell!(
            "round {} of {}: the groups that partners show; `cloister run {}` asks every partner for all of them",
            answer.round.number,
            analysis.rounds,
            analysis.name
        );
    }
    for line in missing_text(&answer.missing, progress) {
        tell!("{line}");
    }
    Ok(())
}

/// Who is not behind the answer: those who may yet be, and those who will not.
fn missing_text(missing: &[Name], progress: &RunProgress) -> Vec<String> {
    let may_answer = |node: &&Name| {
        let is_open = |state: &NodeState| {
            matches!(state, NodeState::Away | NodeState::Sent | NodeState::Admitted)
        };
        !progress.done && progress.nodes.iter().any(|(of, state)| of == *node && is_open(state))
    };
    let (later, never): (Vec<&Name>, Vec<&Name>) = missing.iter().partition(may_answer);
    let told = |nodes: Vec<&Name>, before: &str, after: &str| {
        let names: Vec<_> = nodes.into_iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("{before}: {} {after}", names.join(", ")))
    };
    let later = told(later, "still under way", "may yet answer");
    later.into_iter().chain(told(never, "PARTIAL", "did not answer")).collect()
}

pub(super) fn verify(arguments: &VerifyArguments) -> Result<(), CliError> {
    let answer = verify_bundle(&read(&arguments.file)?).map_err(CliError::NotProven)?;
    let analysis = answer.analysis.document();
    if arguments.json {
        let releases: Vec<_> = answer
            .releases
            .iter()
            .map(|release| release.document())
            .map(|r| serde_json::json!({ "node": r.node, "cost": r.cost, "charge": r.charge, "epoch": r.epoch }))
            .collect();
        let value = serde_json::json!({
            "holds": true, "analysis": answer.analysis.digest(), "name": analysis.name,
            "agreement": answer.agreement.digest(), "releases": releases,
            "missing": answer.missing, "round": answer.round.number,
            "releases_used": answer.request.document().releases_used,
        });
        say!("{value}");
        return Ok(());
    }
    say!("the proof holds: every signature, every link, and the answer itself");
    out(&crate::words::proof(&answer, arguments.verbose));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_yet_answer_is_not_told_as_missing() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let nodes = [
            ("east", NodeState::Released),
            ("north", NodeState::Sent),
            ("south", NodeState::Withheld),
            ("west", NodeState::Away),
        ];
        let nodes = nodes.map(|(node, state)| (name(node), state)).to_vec();
        let missing = ["north", "south", "west"].map(name);
        let told = |done| missing_text(&missing, &RunProgress { nodes: nodes.clone(), done });
        let under_way =
            ["still under way: north, west may yet answer", "PARTIAL: south did not answer"];
        assert_eq!(told(false), under_way);
        assert_eq!(told(true), ["PARTIAL: north, south, west did not answer"]);
        assert!(missing_text(&[], &RunProgress { nodes: vec![], done: true }).is_empty());
    }
}
