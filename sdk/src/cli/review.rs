//! `review list | show | approve | reject`.

use super::{CliError, PersonArguments, connected, now_s, write};
use crate::client::{Client, ClientError};
use clap::{Args, Subcommand};
use cloister_terms::approval::Bound;
use cloister_terms::{
    Act, Agreement, Analysis, Approval, Body, DOCUMENT_VERSION, Verdict, check_dates,
};
use cloister_wire::ProofError;
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{FromPerson, ToPerson};
use std::path::PathBuf;

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
        /// Show the exact cost too.
        #[arg(long)]
        verbose: bool,
        /// Write its module's bytes, checked against the digest, to this file.
        #[arg(long, value_name = "FILE")]
        save_module: Option<PathBuf>,
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
        ReviewCommand::Show { analysis, verbose, save_module } => {
            let Fetched { analysis, decisions, module, .. } = fetch(client, analysis).await?;
            say!("digest         {}", analysis.digest());
            super::out(&crate::words::analysis(analysis.document(), *verbose));
            for (node, granted) in decisions {
                let word = if granted { "granted" } else { "declined" };
                say!("partner        {node} has {word} it");
            }
            match (save_module, module) {
                (Some(file), Some(wasm)) => write(file, &wasm),
                (Some(_), None) => {
                    tell!("it has no module, so no file was written");
                    Ok(())
                }
                (None, _) => Ok(()),
            }
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

/// An analysis with what it stands under, its module's bytes, and what stewards decided.
struct Fetched {
    agreement: Opened<Agreement>,
    analysis: Opened<Analysis>,
    module: Option<Vec<u8>>,
    decisions: Vec<(cloister_terms::Name, bool)>,
}

/// Fetches an analysis and checks it against its own signatures.
async fn fetch(client: &Client, wanted: &str) -> Result<Fetched, CliError> {
    let line = client.analysis(wanted).await?;
    let message = FromPerson::Show { analysis: line.analysis };
    let ToPerson::Analysis(file) = client.ask(&message).await? else {
        return Err(ClientError::Unexpected.into());
    };
    let agreement = cloister_wire::proof::open_agreement(&Envelope::parse(&file.agreement)?)?;
    let analysis =
        cloister_wire::proof::open_analysis(&agreement, &Envelope::parse(&file.analysis)?)?;
    // A reviewer signs what nodes will run: the plan must be what this text plans to.
    crate::answer::check_plan(agreement.document(), analysis.document())?;
    check_module(&analysis.document().body, file.module.as_deref())?;
    Ok(Fetched { agreement, analysis, module: file.module, decisions: file.decisions })
}

/// A module is approved by its digest, so the bytes that came must be the ones it names.
fn check_module(body: &Body, wasm: Option<&[u8]>) -> Result<(), ProofError> {
    let is_named = match (body, wasm) {
        (Body::Sql { .. }, None) => true,
        (Body::Module(module), Some(wasm)) => cloister_wire::sha256(wasm) == module.sha256,
        _ => false,
    };
    let (link, field) = ("analysis", "module");
    if is_named { Ok(()) } else { Err(ProofError::Mismatch { link, field }) }
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
    let Fetched { agreement, analysis, .. } = fetch(client, &vote.analysis).await?;
    let approval = Approval {
        version: DOCUMENT_VERSION,
        reviewer: person.home().profile()?.name,
        verdict,
        reason: vote.reason.clone(),
        bound: Bound::of(analysis.document(), analysis.digest()).ok_or(CliError::Bound)?,
        nonce: cloister_wire::key::random_nonce()?,
    };
    let documents = (agreement.document(), analysis.document());
    let envelope = signed(person, &approval, documents, now_s)?;
    client.store(&FromPerson::Review { approval: envelope.to_bytes() }).await?;
    let word = if verdict == Verdict::Approve { "approved" } else { "rejected" };
    tell!("{word} `{}` ({})", analysis.document().name, analysis.digest().short());
    Ok(())
}

/// The vote, signed. What has ended may still be rejected; no approval is signed that could not count.
pub(super) fn signed(
    person: &PersonArguments,
    vote: &Approval,
    (agreement, analysis): (&Agreement, &Analysis),
    now_s: impl FnOnce() -> i64,
) -> Result<Envelope, CliError> {
    // First the key: whoever types a passphrase may take long over it.
    let key = person.signing_key()?;
    if vote.verdict == Verdict::Approve {
        let now_s = now_s();
        check_dates(agreement, Some(analysis), Act::Sign, now_s)?;
        let own = agreement.reviewers.iter().find(|reviewer| reviewer.name == vote.reviewer);
        let lapsed = own.filter(|own| !own.is_trained_at(now_s));
        if let Some(until_s) = lapsed.and_then(|own| own.trained_until_s) {
            return Err(CliError::TrainingLapsed(crate::words::date(until_s)));
        }
    }
    Ok(Envelope::sign(vote, &key)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_other_than_the_one_that_is_named_is_not_shown_to_a_reviewer() {
        let (named, other) = (b"named".as_slice(), b"other".as_slice());
        let module = serde_json::json!({ "module": {
            "sha256": cloister_wire::sha256(named), "rows": "SELECT n FROM trips", "keys": [],
            "lanes": [], "numbers": "int", "outputs": "sparse", "fuel_per_person": 1 } });
        let module: Body = serde_json::from_value(module).unwrap();
        let sql = Body::Sql { text: String::new() };
        assert!(check_module(&module, Some(named)).is_ok());
        assert!(check_module(&sql, None).is_ok());
        for (body, wasm) in [(&module, Some(other)), (&module, None), (&sql, Some(named))] {
            let error = check_module(body, wasm).unwrap_err();
            assert!(error.to_string().contains("`module`"), "{error}");
        }
    }
}
