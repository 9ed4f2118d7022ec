//! The chain from agreement to release, checked link by link. Coordinator and offline checkers use
//! the same functions, so that what `cloister verify` accepts is what was accepted at the time.
//! (A node's admission has rules of its own beside these: it trusts its steward's pin, not a file.)

use crate::dsse::{DsseError, Envelope, Opened};
use crate::quorum::{QuorumState, count_approvals};
use cloister_terms::agreement::AgreementError;
use cloister_terms::analysis::AnalysisError;
use cloister_terms::{
    Agreement, Analysis, DOCUMENT_VERSION, Digest, Name, Refusal, ReleaseRecord, RunRequest,
};

/// Why a chain does not hold; each names its link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// An envelope does not open.
    #[error("{link}: {error}")]
    Envelope {
        /// Which document.
        link: &'static str,
        /// Why.
        error: DsseError,
    },
    /// The agreement's content is unusable.
    #[error("agreement: {0}")]
    Agreement(#[from] AgreementError),
    /// The analysis' content is unusable.
    #[error("analysis: {0}")]
    Analysis(#[from] AnalysisError),
    /// A party's steward has not signed.
    #[error("agreement: the steward of `{0}` has not signed it")]
    NotSignedByParty(Name),
    /// The signer is not who the document names, or not registered.
    #[error("{0}: not signed by the registered key of the person or node it names")]
    BadSignature(&'static str),
    /// A link points elsewhere.
    #[error("{link}: its `{field}` does not match the document it stands under")]
    Mismatch {
        /// Which document.
        link: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// The approvals do not stand.
    #[error("approvals: {0}")]
    Approvals(Refusal),
    /// The quorum is not met by the approvals the request names.
    #[error("approvals: the quorum is not met")]
    BelowQuorum,
}

/// Opens an agreement that every party's steward signed.
pub fn open_agreement(envelope: &Envelope) -> Result<Opened<Agreement>, ProofError> {
    let opened = open::<Agreement>("agreement", envelope)?;
    opened.document().check()?;
    for party in &opened.document().parties {
        if !opened.is_signed_by(&party.steward_key) {
            return Err(ProofError::NotSignedByParty(party.partner.clone()));
        }
    }
    Ok(opened)
}

/// Opens an analysis under `agreement`, signed by its researcher.
pub fn open_analysis(
    agreement: &Opened<Agreement>,
    envelope: &Envelope,
) -> Result<Opened<Analysis>, ProofError> {
    const LINK: &str = "analysis";
    let opened = open::<Analysis>(LINK, envelope)?;
    let analysis = opened.document();
    analysis.check()?;
    let terms = agreement.document();
    expect(analysis.agreement == agreement.digest(), LINK, "agreement")?;
    expect(analysis.nodes.iter().all(|node| terms.party(node).is_some()), LINK, "nodes")?;
    expect(terms.purposes.contains(&analysis.purpose), LINK, "purpose")?;
    let researcher = terms.researcher(&analysis.researcher);
    let researcher = researcher.ok_or(ProofError::BadSignature(LINK))?;
    if !opened.is_signed_by(&researcher.key) {
        return Err(ProofError::BadSignature(LINK));
    }
    Ok(opened)
}

/// Opens a request for a round of `analysis`, signed by its researcher, and checks that the
/// approvals it names are among `approvals`, count, and make a quorum.
pub fn open_request(
    agreement: &Opened<Agreement>,
    analysis: &Opened<Analysis>,
    approvals: &[Envelope],
    envelope: &Envelope,
) -> Result<(Opened<RunRequest>, QuorumState), ProofError> {
    const LINK: &str = "request";
    let opened = open::<RunRequest>(LINK, envelope)?;
    let request = opened.document();
    expect(request.version == DOCUMENT_VERSION, LINK, "version")?;
    expect(request.analysis == analysis.digest(), LINK, "analysis")?;
    expect(request.researcher == analysis.document().researcher, LINK, "researcher")?;
    expect((1..=analysis.document().rounds).contains(&request.round), LINK, "round")?;
    let researcher = agreement.document().researcher(&request.researcher);
    let researcher = researcher.ok_or(ProofError::BadSignature(LINK))?;
    if !opened.is_signed_by(&researcher.key) {
        return Err(ProofError::BadSignature(LINK));
    }
    let named: Vec<Envelope> =
        approvals.iter().filter(|approval| names(request, approval)).cloned().collect();
    let state =
        count_approvals(agreement.document(), analysis, &named).map_err(ProofError::Approvals)?;
    expect(request.approvals.iter().eq(state.counted().iter()), LINK, "approvals")?;
    if state.is_met() { Ok((opened, state)) } else { Err(ProofError::BelowQuorum) }
}

/// Opens a release that answers `request`, signed by its node's registered key. The same plan,
/// parameters and cost in one epoch have one release, so the release may name another analysis of
/// the same plan (DESIGN promise 5).
pub fn open_release(
    agreement: &Opened<Agreement>,
    analysis: &Opened<Analysis>,
    request: &RunRequest,
    envelope: &Envelope,
) -> Result<Opened<ReleaseRecord>, ProofError> {
    const LINK: &str = "release";
    let opened = open::<ReleaseRecord>(LINK, envelope)?;
    let (release, asked) = (opened.document(), analysis.document());
    let party = agreement.document().party(&release.node);
    let party = party.ok_or(ProofError::BadSignature(LINK))?;
    if !opened.is_signed_by(&party.node_key) {
        return Err(ProofError::BadSignature(LINK));
    }
    expect(release.version == DOCUMENT_VERSION, LINK, "version")?;
    expect(asked.nodes.contains(&release.node), LINK, "node")?;
    expect(release.unit_namespace == party.unit_namespace, LINK, "unit_namespace")?;
    expect(release.agreement == agreement.digest(), LINK, "agreement")?;
    expect(release.plan == asked.plan, LINK, "plan")?;
    expect(release.parameters == request.parameters, LINK, "parameters")?;
    expect(release.round == request.round, LINK, "round")?;
    expect(release.cost == asked.cost_per_round, LINK, "cost")?;
    // The node's clock decides the epoch; it may stand up to the allowed skew across a border.
    let epoch = agreement.document().calendar.epoch_at(request.requested_at_s);
    expect(epoch.is_some_and(|epoch| epoch.abs_diff(release.epoch) <= 1), LINK, "epoch")?;
    let fits = release.fits(&asked.shape).map_err(AnalysisError::from)?;
    expect(fits, LINK, "values")?;
    Ok(opened)
}

/// Whether `request` names this approval by digest.
fn names(request: &RunRequest, approval: &Envelope) -> bool {
    let digest: Option<Digest> =
        approval.open::<cloister_terms::Approval>().ok().map(|opened| opened.digest());
    digest.is_some_and(|digest| request.approvals.contains(&digest))
}

fn open<T: crate::dsse::Document>(
    link: &'static str,
    envelope: &Envelope,
) -> Result<Opened<T>, ProofError> {
    envelope.open::<T>().map_err(|error| ProofError::Envelope { link, error })
}

fn expect(holds: bool, link: &'static str, field: &'static str) -> Result<(), ProofError> {
    if holds { Ok(()) } else { Err(ProofError::Mismatch { link, field }) }
}
