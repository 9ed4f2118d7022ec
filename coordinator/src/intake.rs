//! Which documents are taken in, and from whom. The coordinator checks what it can so that people
//! learn of mistakes early; nodes never rely on it and check everything again.

use crate::opened::AskedRound;
use crate::store::{RunPut, Store, StoreError, StoredVote};
use cloister_terms::analysis::Body;
use cloister_terms::limits::{MODULE_BYTES_MAX, PARTIES_MAX};
use cloister_terms::{
    Act, Agreement, Analysis, Approval, Digest, Name, OutsideDates, Refusal, ReleaseRecord,
    RunRequest, Verdict, check_dates,
};
use cloister_wire::Round;
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{AnalysisLine, Rejection};
use cloister_wire::proof::{ProofError, open_agreement, open_analysis, open_request};
use cloister_wire::quorum::{count_approvals, verify_votes};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most analyses a researcher may have open at once.
const OPEN_ANALYSES_MAX: u64 = 1_000;

/// Most bytes of the releases that a round builds on: with the other documents of a run they must fit one
/// message to a node.
const USED_BYTES_MAX: usize = 32 << 20;

/// A run that may be dispatched.
#[derive(Debug)]
pub struct AcceptedRun {
    /// Digest of the request document.
    pub request: Digest,
    /// Nodes asked.
    pub nodes: Vec<Name>,
    /// When missing nodes count as late, milliseconds since 1970 UTC.
    pub deadline_ms: i64,
}

impl From<StoreError> for RejectionOr {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "store");
        Self(Rejection::Unavailable)
    }
}

/// A rejection, made from whatever went wrong.
#[derive(Debug)]
pub struct RejectionOr(pub Rejection);

impl From<Rejection> for RejectionOr {
    fn from(rejection: Rejection) -> Self {
        Self(rejection)
    }
}

impl From<ProofError> for RejectionOr {
    fn from(error: ProofError) -> Self {
        Self(match error {
            ProofError::BadSignature(_) | ProofError::NotSignedByParty(_) => {
                Rejection::BadSignature
            }
            ProofError::BelowQuorum => Rejection::BelowQuorum,
            ProofError::Approvals(refusal) => rejection_of(refusal),
            ProofError::TooManyKeys => Rejection::TooLarge,
            _ => Rejection::Malformed,
        })
    }
}

impl From<OutsideDates> for RejectionOr {
    fn from(_: OutsideDates) -> Self {
        Self(Rejection::OutsideDates)
    }
}

fn rejection_of(refusal: Refusal) -> Rejection {
    match refusal {
        Refusal::BadSignature => Rejection::BadSignature,
        Refusal::BelowQuorum => Rejection::BelowQuorum,
        _ => Rejection::Malformed,
    }
}

fn parse(bytes: &[u8]) -> Result<Envelope, Rejection> {
    Envelope::parse(bytes).map_err(|_| Rejection::Malformed)
}

/// Takes in an agreement that every party signed.
pub fn publish(store: &Store, coordinator: &Name, bytes: &[u8]) -> Result<Digest, RejectionOr> {
    let opened = open_agreement(&parse(bytes)?)?;
    if opened.document().coordinator != *coordinator {
        return Err(Rejection::Malformed.into());
    }
    // Publishing twice is harmless: the digest names the same document.
    store.put_agreement(opened.digest(), &opened.envelope().to_bytes())?;
    Ok(opened.digest())
}

/// Takes in an analysis from its own researcher.
pub fn submit(
    store: &Store,
    sender: &Name,
    bytes: &[u8],
    module: Option<&[u8]>,
    now_s: i64,
) -> Result<Digest, RejectionOr> {
    let envelope = parse(bytes)?;
    let named = envelope.open::<Analysis>().map_err(|_| Rejection::Malformed)?;
    let agreement = agreement_of(store, named.document().agreement)?;
    let opened = open_analysis(&agreement, &envelope)?;
    let analysis = opened.document();
    if analysis.researcher != *sender {
        return Err(Rejection::NotAllowed.into());
    }
    check_dates(agreement.document(), Some(analysis), Act::Sign, now_s)?;
    let module_fits = match (&analysis.body, module) {
        (Body::Sql { .. }, None) => true,
        (Body::Module(body), Some(module)) => {
            module.len() <= MODULE_BYTES_MAX && cloister_wire::sha256(module) == body.sha256
        }
        _ => false,
    };
    if !module_fits {
        return Err(Rejection::ModuleMismatch.into());
    }
    if store.open_analyses_of(sender, now_s)? >= OPEN_ANALYSES_MAX {
        return Err(Rejection::Busy.into());
    }
    if !store.put_analysis(opened.digest(), analysis, &envelope.to_bytes(), module)? {
        // Where it is not there, another of the researcher's has its name.
        let is_there = store.analysis_envelope(opened.digest())?.is_some();
        let why = if is_there { Rejection::Duplicate } else { Rejection::NameTaken };
        return Err(why.into());
    }
    Ok(opened.digest())
}

/// Takes in a reviewer's vote from that reviewer; the analysis it is about. What has ended is approved no
/// more, but may still be rejected.
pub fn review(
    store: &Store,
    sender: &Name,
    bytes: &[u8],
    now_s: i64,
) -> Result<(Digest, Digest), RejectionOr> {
    let envelope = parse(bytes)?;
    let vote = envelope.open::<Approval>().map_err(|_| Rejection::Malformed)?;
    if vote.document().reviewer != *sender {
        return Err(Rejection::NotAllowed.into());
    }
    let (agreement, analysis) = analysis_of(store, vote.document().bound.analysis)?;
    verify_votes(agreement.document(), &analysis, std::slice::from_ref(&envelope))
        .map_err(rejection_of)?;
    if vote.document().verdict == Verdict::Approve {
        check_dates(agreement.document(), Some(analysis.document()), Act::Sign, now_s)?;
    }
    let envelope = envelope.to_bytes();
    if !store.put_approval(vote.digest(), vote.document(), &envelope)? {
        return Err(Rejection::Duplicate.into());
    }
    Ok((vote.digest(), analysis.digest()))
}

/// Takes in a researcher's request for a run and stores it.
pub fn request(
    store: &Store,
    sender: &Name,
    bytes: &[u8],
    now_s: i64,
) -> Result<AcceptedRun, RejectionOr> {
    let envelope = parse(bytes)?;
    let named = envelope.open::<RunRequest>().map_err(|_| Rejection::Malformed)?;
    if named.document().researcher != *sender {
        return Err(Rejection::NotAllowed.into());
    }
    let (agreement, analysis) = analysis_of(store, named.document().analysis)?;
    let votes = store.votes(analysis.digest())?;
    let approvals = envelopes(&votes)?;
    let (opened, named) = open_request(&agreement, &analysis, &approvals, &envelope)?;
    let act = Act::Run { round: opened.document().round, slot_ms: 0 };
    check_dates(agreement.document(), Some(analysis.document()), act, now_s)?;
    // A vote that was taken back since, or came in since, changes what counts: ask again.
    let is_named = |vote: &StoredVote| opened.document().approvals.contains(&vote.digest);
    if !votes.iter().all(is_named) {
        let at_s = opened.document().requested_at_s;
        let all = count_approvals(agreement.document(), &analysis, &approvals, at_s);
        if all.map_err(rejection_of)?.counted() != named.counted() {
            return Err(Rejection::BelowQuorum.into());
        }
    }
    round_of(store, &agreement, &analysis, &opened)?;
    let time_max_ms = i64::try_from(agreement.document().run_time_max_ms).unwrap_or(i64::MAX);
    let deadline_ms = now_s.saturating_mul(1_000).saturating_add(time_max_ms);
    let nodes = analysis.document().nodes.clone();
    let bytes = envelope.to_bytes();
    match store.put_run(opened.digest(), opened.document(), &bytes, &nodes, deadline_ms)? {
        RunPut::Stored => {}
        RunPut::Known => return Err(Rejection::Duplicate.into()),
        RunPut::NonceUsed => return Err(Rejection::NonceUsed.into()),
    }
    let request = opened.digest();
    store.opened().requests.put(request, opened.size(), Arc::new(opened));
    Ok(AcceptedRun { request, nodes, deadline_ms })
}

/// One line for each analysis, with the votes that count at `now_s`.
pub fn list(store: &Store, now_s: i64) -> Result<Vec<AnalysisLine>, RejectionOr> {
    let mut lines = Vec::new();
    for digest in store.analyses(None)? {
        let (agreement, opened) = analysis_of(store, digest)?;
        let approvals = envelopes(&store.votes(digest)?)?;
        let state = count_approvals(agreement.document(), &opened, &approvals, now_s);
        let analysis = opened.document();
        lines.push(AnalysisLine {
            analysis: digest,
            name: analysis.name.clone(),
            researcher: analysis.researcher.clone(),
            question: analysis.question.clone(),
            approvals: state.as_ref().map_or(0, |s| s.approved_by().len() as u32),
            rejections: state.as_ref().map_or(0, |s| s.rejected_by().len() as u32),
            approved: state.as_ref().is_ok_and(|s| s.is_met()),
            runs: store.runs_of(digest)?,
        });
    }
    Ok(lines)
}

/// An analysis with the agreement that it stands under, both opened.
pub type Documents = (Arc<Opened<Agreement>>, Arc<Opened<Analysis>>);

/// The documents of a stored analysis.
pub fn analysis_of(store: &Store, digest: Digest) -> Result<Documents, RejectionOr> {
    if let Some(analysis) = store.opened().analyses.get(digest) {
        return Ok((agreement_of(store, analysis.document().agreement)?, analysis));
    }
    let envelope = parse(&store.analysis_envelope(digest)?.ok_or(Rejection::Unknown)?)?;
    let named = envelope.open::<Analysis>().map_err(|_| Rejection::Malformed)?;
    let agreement = agreement_of(store, named.document().agreement)?;
    let analysis = Arc::new(open_analysis(&agreement, &envelope)?);
    store.opened().analyses.put(digest, analysis.size(), Arc::clone(&analysis));
    Ok((agreement, analysis))
}

/// A stored request.
pub fn request_of(store: &Store, digest: Digest) -> Result<Arc<Opened<RunRequest>>, RejectionOr> {
    store.opened().requests.or_find(digest, Opened::size, || {
        let run = store.run(digest)?.ok_or(Rejection::Unknown)?;
        let (agreement, analysis) = analysis_of(store, run.analysis)?;
        let approvals = envelopes(&store.votes(run.analysis)?)?;
        let (opened, _) = open_request(&agreement, &analysis, &approvals, &parse(&run.envelope)?)?;
        Ok(opened)
    })
}

/// The round that a request asks for, with the releases that it builds on as they are stored.
pub fn round_of(
    store: &Store,
    agreement: &Opened<Agreement>,
    analysis: &Opened<Analysis>,
    request: &Opened<RunRequest>,
) -> Result<Arc<AskedRound>, RejectionOr> {
    let bytes = |asked: &AskedRound| {
        let used: usize = asked.used.iter().map(|used| used.to_bytes().len()).sum();
        analysis.size().saturating_add(used)
    };
    store.opened().rounds.or_find(request.digest(), bytes, || {
        let named = &request.document().releases_used;
        // One a partner at most; what is more is not even looked for.
        if named.len() > PARTIES_MAX {
            return Err(Rejection::Malformed.into());
        }
        let used = releases_named(store, analysis.digest(), named)?;
        let round = Round::of(agreement, analysis, request.document(), &used)?;
        Ok(AskedRound { round, used })
    })
}

/// The stored releases of an analysis that have these digests, each once; those that are not there are
/// left out.
fn releases_named(
    store: &Store,
    analysis: Digest,
    named: &[Digest],
) -> Result<Vec<Envelope>, RejectionOr> {
    let mut wanted: BTreeSet<Digest> = named.iter().copied().collect();
    let (mut used, mut bytes) = (Vec::new(), 0usize);
    // The latest first: mostly it is the run just before.
    for run in store.runs_of(analysis)?.into_iter().rev() {
        if wanted.is_empty() {
            break;
        }
        for release in store.run(run)?.into_iter().flat_map(|run| run.releases) {
            let envelope = parse(&release)?;
            let opened = envelope.open::<ReleaseRecord>().map_err(|_| Rejection::Malformed)?;
            if wanted.remove(&opened.digest()) {
                bytes = bytes.saturating_add(release.len());
                if bytes > USED_BYTES_MAX {
                    return Err(Rejection::TooLarge.into());
                }
                used.push(envelope);
            }
        }
    }
    Ok(used)
}

fn envelopes(votes: &[StoredVote]) -> Result<Vec<Envelope>, Rejection> {
    votes.iter().map(|vote| parse(&vote.envelope)).collect()
}

fn agreement_of(store: &Store, digest: Digest) -> Result<Arc<Opened<Agreement>>, RejectionOr> {
    store.opened().agreements.or_find(digest, Opened::size, || {
        let bytes = store.agreement(digest)?.ok_or(Rejection::Unknown)?;
        Ok(open_agreement(&parse(&bytes)?)?)
    })
}
