//! `run`: asks for an approved analysis, round after round. Each round is signed by the researcher, the
//! second one over the releases of the first.

use super::analysis::{follow, followed};
use super::{CliError, PersonArguments, connected, now_s};
use crate::answer::answer_of;
use crate::client::{Client, ClientError};
use clap::Args;
use cloister_terms::{
    Act, Agreement, Analysis, DOCUMENT_VERSION, Digest, Name, ReleaseRecord, RunRequest,
    check_dates,
};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{AnalysisLine, FromPerson, RunFile, ToPerson};
use cloister_wire::proof::{open_agreement, open_analysis};
use cloister_wire::{ProofError, Round, Votes, verify_votes};

#[derive(Args)]
pub(super) struct RunArguments {
    /// The analysis' name, or eight digits of its digest.
    analysis: String,
    /// Do not wait for the partners.
    #[arg(long)]
    no_wait: bool,
    /// Of an analysis with two rounds, begin with the first, although an earlier run has found groups that
    /// nobody was asked for yet.
    #[arg(long)]
    anew: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    person: &PersonArguments,
    arguments: &RunArguments,
) -> Result<(), CliError> {
    connected(person, async |client| run_on(client, person, arguments).await).await
}

async fn run_on(
    client: &Client,
    person: &PersonArguments,
    arguments: &RunArguments,
) -> Result<(), CliError> {
    let study = Study::of(client, &arguments.analysis).await?;
    let analysis = study.analysis.document();
    let has_second = analysis.rounds > 1;
    let found = match has_second && !arguments.anew {
        true => study.found_before(client).await?,
        false => None,
    };
    let found = match found {
        Some(found) => {
            tell!("an earlier run has found groups: asking for those (round 2 of 2)");
            found
        }
        None => {
            let request = study.signed(person, &Round::first(analysis)?, &[])?;
            let run = client.store(&FromPerson::Run { request: request.to_bytes() }).await?;
            if arguments.no_wait {
                say!("{run}");
                if has_second {
                    tell!(
                        "this is round 1 of 2: once it is done, `cloister run {}` asks for the groups that it finds",
                        analysis.name
                    );
                }
                return Ok(());
            }
            if !has_second {
                return follow(client, run, arguments.json).await;
            }
            followed(client, run, arguments.json).await?;
            answer_of(&results(client, run).await?)?.releases
        }
    };
    let named = |node: &&Name| !found.iter().any(|release| release.document().node == **node);
    let missing: Vec<_> = analysis.nodes.iter().filter(named).map(Name::to_string).collect();
    if !missing.is_empty() {
        tell!("{} showed no groups; all partners are asked for those found", missing.join(", "));
    }
    let releases = found.iter().map(Opened::document);
    let round = Round::second(analysis, releases).map_err(|error| match error {
        ProofError::NoKeys => CliError::NoGroups,
        other => other.into(),
    })?;
    let request = study.signed(person, &round, &found)?;
    let run = client.store(&FromPerson::Run { request: request.to_bytes() }).await?;
    if arguments.no_wait {
        say!("{run}");
        return Ok(());
    }
    follow(client, run, arguments.json).await
}

/// An analysis and what a request of it names.
struct Study {
    line: AnalysisLine,
    agreement: Opened<Agreement>,
    analysis: Opened<Analysis>,
    votes: Votes,
}

impl Study {
    async fn of(client: &Client, wanted: &str) -> Result<Self, CliError> {
        let line = client.analysis(wanted).await?;
        let ToPerson::Analysis(file) =
            client.ask(&FromPerson::Show { analysis: line.analysis }).await?
        else {
            return Err(ClientError::Unexpected.into());
        };
        let agreement = open_agreement(&Envelope::parse(&file.agreement)?)?;
        let analysis = open_analysis(&agreement, &Envelope::parse(&file.analysis)?)?;
        let votes = file.approvals.iter().map(|bytes| Envelope::parse(bytes));
        let votes = votes.collect::<Result<Vec<_>, _>>()?;
        let votes =
            verify_votes(agreement.document(), &analysis, &votes).map_err(ProofError::Approvals)?;
        Ok(Self { line, agreement, analysis, votes })
    }

    /// The signed request for a round that builds on these releases.
    fn signed(
        &self,
        person: &PersonArguments,
        round: &Round,
        used: &[Opened<ReleaseRecord>],
    ) -> Result<Envelope, CliError> {
        let mut releases_used: Vec<_> = used.iter().map(Opened::digest).collect();
        releases_used.sort();
        let researcher = person.home().profile()?.name;
        if self.agreement.document().researcher(&researcher).is_none() {
            return Err(crate::draft::DraftError::Stranger(researcher, "researchers").into());
        }
        // The time of the signature: whoever types a passphrase may take long over it.
        let key = person.signing_key()?;
        let now_s = now_s();
        let act = Act::Run { round: round.number, slot_ms: 0 };
        let analysis = self.analysis.document();
        check_dates(self.agreement.document(), Some(analysis), act, now_s)?;
        let request = RunRequest {
            version: DOCUMENT_VERSION,
            researcher,
            analysis: self.analysis.digest(),
            // Those that count now, sorted.
            approvals: self.votes.counted_at(now_s).counted().iter().copied().collect(),
            round: round.number,
            parameters: round.parameters,
            releases_used,
            requested_at_s: now_s,
            nonce: cloister_wire::key::random_nonce()?,
        };
        Ok(Envelope::sign(&request, &key)?)
    }

    /// The releases of the latest first round that found groups, where no second round has answered them:
    /// what was paid for is not paid for again.
    async fn found_before(
        &self,
        client: &Client,
    ) -> Result<Option<Vec<Opened<ReleaseRecord>>>, CliError> {
        for run in self.line.runs.iter().rev() {
            let file = results(client, *run).await?;
            let request = Envelope::parse(&file.request)?.open::<RunRequest>()?;
            if !file.progress.done {
                return Err(CliError::StillRunning(self.line.name.clone()));
            }
            match (request.document().round, file.releases.is_empty()) {
                (1, true) => {}
                (1, false) => {
                    let found = answer_of(&file)?.releases;
                    if found.iter().any(|release| !release.document().keys.is_empty()) {
                        return Ok(Some(found));
                    }
                }
                // Nobody has answered: the round before still stands.
                (_, true) => {
                    let used = file.used.iter().map(|bytes| Envelope::parse(bytes));
                    let used = used.collect::<Result<Vec<_>, _>>()?;
                    Round::of(&self.agreement, &self.analysis, request.document(), &used)?;
                    let opened = used.iter().map(Envelope::open).collect::<Result<_, _>>()?;
                    return Ok(Some(opened));
                }
                (_, false) => return Ok(None),
            }
        }
        Ok(None)
    }
}

async fn results(client: &Client, request: Digest) -> Result<RunFile, CliError> {
    match client.ask(&FromPerson::Results { request }).await? {
        ToPerson::Results(file) => Ok(file),
        _ => Err(ClientError::Unexpected.into()),
    }
}
