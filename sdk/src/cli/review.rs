//! `review list | show | approve | reject`.

use super::{CliError, PersonArguments, connected};
use crate::client::{Client, ClientError};
use clap::{Args, Subcommand};
use cloister_terms::approval::Bound;
use cloister_terms::{Analysis, Approval, DOCUMENT_VERSION, Verdict};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{FromPerson, ToPerson};

#[derive(Subcommand)]
pub(super) enum ReviewCommand {
    /// Analyses and how far their review is.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// One analysis in plain words.
    Show {
        /// Its name, or eight digits of its digest.
        analysis: String,
    },
    /// Approve it.
    Approve(VoteArguments),
    /// Reject it.
    Reject(VoteArguments),
}

#[derive(Args)]
pub(super) struct VoteArguments {
    /// Its name, or eight digits of its digest.
    analysis: String,
    /// Why; logged and exported.
    #[arg(long, default_value = "")]
    reason: String,
}

pub(super) async fn review(
    person: &PersonArguments,
    command: &ReviewCommand,
) -> Result<(), CliError> {
    connected(person, async |client| act(person, client, command).await).await
}

async fn act(
    person: &PersonArguments,
    client: &Client,
    command: &ReviewCommand,
) -> Result<(), CliError> {
    match command {
        ReviewCommand::List { json } => list(client, *json).await,
        ReviewCommand::Show { analysis } => {
            let (opened, decisions) = fetch(client, analysis).await?;
            say!("digest         {}", opened.digest());
            super::out(&crate::words::analysis(opened.document()));
            for (node, granted) in decisions {
                let word = if granted { "granted" } else { "declined" };
                say!("partner        {node} has {word} it");
            }
            Ok(())
        }
        ReviewCommand::Approve(vote) => cast(person, client, vote, Verdict::Approve).await,
        ReviewCommand::Reject(vote) => cast(person, client, vote, Verdict::Reject).await,
    }
}

async fn list(client: &Client, json: bool) -> Result<(), CliError> {
    let lines = client.analyses().await?;
    if json {
        let rows = lines.iter().map(|line| {
            serde_json::json!({
                "analysis": line.analysis, "name": line.name, "approvals": line.approvals,
                "rejections": line.rejections, "approved": line.approved,
            })
        });
        say!("{}", serde_json::Value::from(rows.collect::<Vec<_>>()));
        return Ok(());
    }
    say!("{:<24} {:<16} {:>8} {:>9}", "ANALYSIS", "RESEARCHER", "FOR", "AGAINST");
    for line in lines {
        say!(
            "{:<24} {:<16} {:>8} {:>9}",
            line.name,
            line.researcher,
            line.approvals,
            line.rejections
        );
    }
    Ok(())
}

type Fetched = (Opened<Analysis>, Vec<(cloister_terms::Name, bool)>);

/// Fetches an analysis and checks it against its own signatures.
async fn fetch(client: &Client, wanted: &str) -> Result<Fetched, CliError> {
    let line = client.analysis(wanted).await?;
    let message = FromPerson::Show { analysis: line.analysis };
    let ToPerson::Analysis(file) = client.ask(&message).await? else {
        return Err(ClientError::Unexpected.into());
    };
    let agreement = cloister_wire::proof::open_agreement(&Envelope::parse(&file.agreement)?)?;
    let opened =
        cloister_wire::proof::open_analysis(&agreement, &Envelope::parse(&file.analysis)?)?;
    // A reviewer signs what nodes will run: the plan must be what this text plans to.
    crate::answer::check_plan(agreement.document(), opened.document())?;
    Ok((opened, file.decisions))
}

async fn cast(
    person: &PersonArguments,
    client: &Client,
    vote: &VoteArguments,
    verdict: Verdict,
) -> Result<(), CliError> {
    if vote.reason.trim().is_empty() {
        return Err(CliError::NoReason);
    }
    let (opened, _) = fetch(client, &vote.analysis).await?;
    let approval = Approval {
        version: DOCUMENT_VERSION,
        reviewer: person.home().profile()?.name,
        verdict,
        reason: vote.reason.clone(),
        bound: Bound::of(opened.document(), opened.digest()).ok_or(CliError::Bound)?,
        nonce: cloister_wire::key::random_nonce()?,
    };
    let envelope = Envelope::sign(&approval, &person.signing_key()?)?;
    client.store(&FromPerson::Review { approval: envelope.to_bytes() }).await?;
    let word = if verdict == Verdict::Approve { "approved" } else { "rejected" };
    eprintln!("{word} `{}` ({})", opened.document().name, opened.digest().short());
    Ok(())
}
