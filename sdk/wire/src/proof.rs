//! The chain from agreement to release, checked link by link. Coordinator and offline checkers use
//! the same functions, so that what `cloister verify` accepts is what was accepted at the time.
//! (A node's admission has rules of its own beside these: it trusts its steward's pin, not a file.)

use crate::dsse::{DsseError, Envelope, Opened};
use crate::quorum::{QuorumState, count_approvals};
use crate::round::Round;
use cloister_terms::agreement::AgreementError;
use cloister_terms::analysis::AnalysisError;
use cloister_terms::limits::CLOCK_SKEW_MAX_S;
use cloister_terms::{
    Agreement, Analysis, Calendar, DOCUMENT_VERSION, Digest, Name, Refusal, ReleaseRecord,
    RunRequest,
};

/// The link of releases.
const RELEASE: &str = "release";

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
    /// The analysis has no such round.
    #[error("request: the analysis has no round {0}")]
    NoRound(u32),
    /// A second round without a key to ask for.
    #[error("request: the releases it builds on show no key")]
    NoKeys,
    /// More keys than one answer may have.
    #[error(
        "the partners show more groups than one answer may have: ask for fewer figures a group, or for larger groups with a smaller `delta`"
    )]
    TooManyKeys,
    /// What a round asks cannot be written down.
    #[error("request: the keys it asks for cannot be written down")]
    Unwritable,
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
/// approvals it names are among `approvals`, count, and make a quorum. What its round builds on is
/// [`Round::of`]'s to check.
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
    // At the time that the researcher signed: a reviewer whose training lapses later approved this run.
    let state = count_approvals(agreement.document(), analysis, &named, request.requested_at_s);
    let state = state.map_err(ProofError::Approvals)?;
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
    round: &Round,
    envelope: &Envelope,
) -> Result<Opened<ReleaseRecord>, ProofError> {
    let opened = open_used(agreement, analysis, round, envelope)?;
    let calendar = agreement.document().calendar;
    let epoch = opened.document().epoch;
    expect(may_answer_in(calendar, request.requested_at_s, epoch), RELEASE, "epoch")?;
    Ok(opened)
}

/// As [`open_release`], of whatever epoch: what a round builds on was asked for before it.
pub(crate) fn open_used(
    agreement: &Opened<Agreement>,
    analysis: &Opened<Analysis>,
    round: &Round,
    envelope: &Envelope,
) -> Result<Opened<ReleaseRecord>, ProofError> {
    const LINK: &str = RELEASE;
    let opened = open::<ReleaseRecord>(LINK, envelope)?;
    let (release, asked) = (opened.document(), analysis.document());
    let party = agreement.document().party(&release.node);
    let party = party.ok_or(ProofError::BadSignature(LINK))?;
    // By it alone: the same release under other signatures would be another envelope.
    if !opened.is_signed_by_exactly(&[party.node_key]) {
        return Err(ProofError::BadSignature(LINK));
    }
    expect(release.version == DOCUMENT_VERSION, LINK, "version")?;
    expect(asked.nodes.contains(&release.node), LINK, "node")?;
    expect(release.unit_namespace == party.unit_namespace, LINK, "unit_namespace")?;
    expect(release.agreement == agreement.digest(), LINK, "agreement")?;
    expect(release.plan == round.plan, LINK, "plan")?;
    expect(release.parameters == round.parameters, LINK, "parameters")?;
    expect(release.round == round.number, LINK, "round")?;
    expect(release.cost == round.cost, LINK, "cost")?;
    let fits = release.fits(&round.shape).map_err(AnalysisError::from)?;
    expect(fits, LINK, "values")?;
    Ok(opened)
}

/// Whether a release of `epoch` may answer a request signed at `requested_at_s`. The node's clock
/// decides the epoch, and it admits a request within the allowed skew only: an earlier epoch's release
/// answers no later question, however near the epochs are.
fn may_answer_in(calendar: Calendar, requested_at_s: i64, epoch: u64) -> bool {
    // No node admits before epoch 0, so its clock stands at its start at the earliest.
    let first_s = requested_at_s.saturating_sub(CLOCK_SKEW_MAX_S).max(calendar.start_s);
    let last_s = requested_at_s.saturating_add(CLOCK_SKEW_MAX_S);
    let epochs = calendar.epoch_at(first_s).zip(calendar.epoch_at(last_s));
    epochs.is_some_and(|(first, last)| (first..=last).contains(&epoch))
}

/// Whether `request` names this approval by digest: what a node is shown beside it.
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u32 = 86_400;

    #[test]
    fn b25_a_release_of_the_epoch_before_answers_no_request_made_well_inside_the_next() {
        let calendar = Calendar { start_s: 1_000, length_s: DAY_S };
        let border_s = 1_000 + 10 * i64::from(DAY_S);
        let noon_s = border_s + 43_200;
        assert!(may_answer_in(calendar, noon_s, 10));
        assert!(!may_answer_in(calendar, noon_s, 9), "an old answer replayed as a new one");
        assert!(!may_answer_in(calendar, noon_s, 11));
        // Within the skew of the border the node's clock may stand on either side.
        for (requested_at_s, epochs) in [
            (border_s + CLOCK_SKEW_MAX_S - 1, [true, true]),
            (border_s + CLOCK_SKEW_MAX_S, [false, true]),
            (border_s - CLOCK_SKEW_MAX_S, [true, true]),
            (border_s - CLOCK_SKEW_MAX_S - 1, [true, false]),
        ] {
            let found = [9, 10].map(|epoch| may_answer_in(calendar, requested_at_s, epoch));
            assert_eq!(found, epochs, "{}", requested_at_s - border_s);
        }
    }

    #[test]
    fn epochs_shorter_than_the_skew_and_the_first_one_are_answered() {
        let short = Calendar { start_s: 0, length_s: 1 };
        assert!(may_answer_in(short, 1_000, 1_120) && may_answer_in(short, 1_000, 880));
        assert!(!may_answer_in(short, 1_000, 1_121) && !may_answer_in(short, 1_000, 879));
        // The researcher's clock stands before epoch 0, the node's just inside it.
        let late = Calendar { start_s: 5_000, length_s: DAY_S };
        assert!(may_answer_in(late, 4_900, 0) && !may_answer_in(late, 4_900, 1));
        assert!(!may_answer_in(late, 4_879, 0));
        for extreme in [i64::MIN, i64::MAX] {
            assert!(!may_answer_in(late, extreme, 0));
        }
        assert!(!may_answer_in(Calendar { start_s: 0, length_s: 0 }, 5, 0));
    }
}
