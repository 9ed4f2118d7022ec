//! Which approvals of an analysis count. One small exact rule, used by every node before it runs, by
//! the coordinator to show progress, and by anyone who checks a proof bundle: count distinct
//! registered and trained reviewers whose own key signed an approval that binds exactly this analysis.

use crate::dsse::{Envelope, Opened};
use cloister_terms::approval::Bound;
use cloister_terms::{
    Agreement, Analysis, Approval, DOCUMENT_VERSION, Digest, Name, Person, Quorum, Refusal, Verdict,
};
use std::collections::BTreeSet;

/// Most approvals looked at for one analysis; more than the reviewers of any agreement.
pub const APPROVALS_MAX: usize = 2_000;

/// How far an analysis is from its quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumState {
    approved_by: BTreeSet<Name>,
    organisations: BTreeSet<String>,
    rejected_by: BTreeSet<Name>,
    counted: BTreeSet<Digest>,
    is_met: bool,
}

impl QuorumState {
    /// Reviewers whose approval counts.
    pub fn approved_by(&self) -> &BTreeSet<Name> {
        &self.approved_by
    }

    /// Reviewers who rejected.
    pub fn rejected_by(&self) -> &BTreeSet<Name> {
        &self.rejected_by
    }

    /// Organisations behind the approvals that count.
    pub fn organisations(&self) -> &BTreeSet<String> {
        &self.organisations
    }

    /// Digests of the approvals that count, sorted.
    pub fn counted(&self) -> &BTreeSet<Digest> {
        &self.counted
    }

    /// Whether enough reviewers of enough organisations approved.
    pub fn is_met(&self) -> bool {
        self.is_met
    }
}

/// The valid votes on an analysis. They follow from the documents alone; whose training holds, and so which
/// of them count, is a question of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Votes {
    quorum: Quorum,
    /// Approvals of reviewers who did not reject.
    approvals: Vec<(Person, Digest)>,
    rejected_by: BTreeSet<Name>,
}

impl Votes {
    /// How far the analysis is from its quorum at `at_s`: an approval counts while its reviewer's training
    /// holds.
    pub fn counted_at(&self, at_s: i64) -> QuorumState {
        let mut state = QuorumState {
            approved_by: BTreeSet::new(),
            organisations: BTreeSet::new(),
            rejected_by: self.rejected_by.clone(),
            counted: BTreeSet::new(),
            is_met: false,
        };
        for (reviewer, digest) in &self.approvals {
            if reviewer.is_trained_at(at_s) {
                state.approved_by.insert(reviewer.name.clone());
                state.organisations.insert(reviewer.organisation.clone());
                state.counted.insert(*digest);
            }
        }
        state.is_met = state.approved_by.len() >= self.quorum.approvals as usize
            && state.organisations.len() >= self.quorum.organisations as usize;
        state
    }
}

/// Counts `approvals` of `analysis` under `agreement`, as [`Votes::counted_at`] does at `at_s`. For a run
/// that is the time at which its request was signed, so that everybody counts alike.
///
/// # Errors
/// As [`verify_votes`].
pub fn count_approvals(
    agreement: &Agreement,
    analysis: &Opened<Analysis>,
    approvals: &[Envelope],
    at_s: i64,
) -> Result<QuorumState, Refusal> {
    Ok(verify_votes(agreement, analysis, approvals)?.counted_at(at_s))
}

/// Verifies votes on `analysis` under `agreement`.
///
/// A vote is valid when its signer is registered as a reviewer, her own key signed it, and it binds exactly
/// [`Bound::of`] the analysis. An approval may count unless she is the author or shares the author's key. One
/// person counts once, whatever she signed; a reviewer who also rejected counts as rejecting.
///
/// # Errors
/// The first misdeed found: a document that is no approval, an unknown or wrong signer, or one that
/// binds something else. A set with a bad document is refused whole, so that nobody can hide one.
pub fn verify_votes(
    agreement: &Agreement,
    analysis: &Opened<Analysis>,
    approvals: &[Envelope],
) -> Result<Votes, Refusal> {
    if approvals.len() > APPROVALS_MAX {
        return Err(Refusal::Malformed);
    }
    let wanted = Bound::of(analysis.document(), analysis.digest()).ok_or(Refusal::Malformed)?;
    let author = agreement.researcher(&analysis.document().researcher);
    let mut votes =
        Votes { quorum: agreement.quorum, approvals: Vec::new(), rejected_by: BTreeSet::new() };
    for envelope in approvals {
        let opened = envelope.open::<Approval>().map_err(refusal_of)?;
        let vote = opened.document();
        let reviewer = agreement.reviewers.iter().find(|person| person.name == vote.reviewer);
        let reviewer = reviewer.ok_or(Refusal::BadSignature)?;
        if vote.version != DOCUMENT_VERSION || vote.reason.trim().is_empty() {
            return Err(Refusal::Malformed);
        }
        if !opened.is_signed_by(&reviewer.key) {
            return Err(Refusal::BadSignature);
        }
        if vote.bound != wanted {
            return Err(Refusal::DigestMismatch);
        }
        let is_author = vote.reviewer == analysis.document().researcher
            || author.is_some_and(|author| author.key == reviewer.key);
        match vote.verdict {
            // An author's vote is valid but never counts.
            Verdict::Approve if is_author => {}
            Verdict::Approve => votes.approvals.push((reviewer.clone(), opened.digest())),
            Verdict::Reject => {
                votes.rejected_by.insert(reviewer.name.clone());
            }
        }
    }
    let Votes { approvals, rejected_by, .. } = &mut votes;
    approvals.retain(|(reviewer, _)| !rejected_by.contains(&reviewer.name));
    Ok(votes)
}

/// The refusal that a document which does not open earns.
pub fn refusal_of(error: crate::dsse::DsseError) -> Refusal {
    match error {
        crate::dsse::DsseError::WrongType { .. } => Refusal::WrongPayloadType,
        _ => Refusal::Malformed,
    }
}
