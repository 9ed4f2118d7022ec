//! `results` and `verify`.

use super::{CliError, PersonArguments, connected, out, read, write};
use crate::answer::{Answer, answer_of, verify_bundle};
use crate::client::{Client, ClientError};
use clap::Args;
use cloister_report::TextOptions;
use cloister_wire::message::{FromPerson, ToPerson};
use std::path::PathBuf;

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
    let answer = connected(person, async |client| fetch(client, arguments).await).await?;
    if let Some(path) = &arguments.bundle {
        write(path, &answer.bundle()?.to_bytes())?;
        tell!(
            "answer and proof written to {}; anyone can check it with `cloister verify`",
            path.display()
        );
    }
    print(&answer, arguments)
}

async fn fetch(client: &Client, arguments: &ResultsArguments) -> Result<Answer, CliError> {
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
    Ok(answer_of(&file)?)
}

fn print(answer: &Answer, arguments: &ResultsArguments) -> Result<(), CliError> {
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
    if !answer.missing.is_empty() {
        let missing: Vec<_> = answer.missing.iter().map(ToString::to_string).collect();
        tell!("PARTIAL: {} did not answer", missing.join(", "));
    }
    Ok(())
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
