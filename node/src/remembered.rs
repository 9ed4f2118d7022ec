//! What admission found of documents before, so that an analysis that was offered and looked at is not
//! planned and verified from the start when it runs. Each fact follows from the bytes that name it and
//! from nothing else: who signed them, how votes count under an agreement, what an approved text plans
//! to. It must never hold what clock, ledger, grant or request decide; those are looked at each time.

use cloister_plan::Planned;
use cloister_terms::{Analysis, Digest, Grant, PublicKey};
use cloister_wire::{Envelope, Opened, Recent, Votes, sha256};
use std::sync::Arc;

/// Facts of each kind that are kept.
const FACTS_MAX: usize = 64;

/// What a verified vote takes, about.
const VOTE_BYTES: usize = 256;

/// Facts of documents, by digests of all that they follow from.
#[derive(Debug)]
pub struct Remembered {
    /// Analyses that their researcher signed, as opened, by SHA-256 of their envelope's bytes.
    pub(crate) analyses: Recent<Opened<Analysis>>,
    /// Grants of the ledger, likewise.
    pub(crate) grants: Recent<Opened<Grant>>,
    signed: Recent<()>,
    votes: Recent<Votes>,
    planned: Recent<Planned>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            analyses: Recent::new(FACTS_MAX),
            grants: Recent::new(FACTS_MAX),
            // Of an analysis and of a grant.
            signed: Recent::new(2 * FACTS_MAX),
            votes: Recent::new(FACTS_MAX),
            planned: Recent::new(FACTS_MAX),
        }
    }
}

impl Remembered {
    /// Whether the document in `envelope` is signed by `key`, which `verify` finds out.
    pub(crate) fn is_signed(
        &self,
        envelope: &Envelope,
        key: &PublicKey,
        verify: impl FnOnce() -> bool,
    ) -> bool {
        // Of the whole envelope: other signatures over the same document are another fact.
        let fact = named("signed", &[sha256(&envelope.to_bytes()), sha256(key.as_bytes())]);
        self.signed.or_find(fact, |()| 0, || if verify() { Ok(()) } else { Err(()) }).is_ok()
    }

    /// The valid votes on an analysis under an agreement, which `verify` finds out. What is refused is
    /// verified anew each time; which of them count at a time is nothing to remember.
    pub(crate) fn votes<E>(
        &self,
        (agreement, analysis): (Digest, Digest),
        approvals: &[Envelope],
        verify: impl FnOnce() -> Result<Votes, E>,
    ) -> Result<Arc<Votes>, E> {
        let votes = approvals.iter().map(|vote| sha256(&vote.to_bytes()));
        let of: Vec<Digest> = [agreement, analysis].into_iter().chain(votes).collect();
        let bytes = of.len().saturating_mul(VOTE_BYTES);
        self.votes.or_find(named("votes", &of), |_| bytes, verify)
    }

    /// What the text of an analysis under an agreement plans to, which `plan` finds out.
    pub(crate) fn planned<E>(
        &self,
        agreement: Digest,
        analysis: &Opened<Analysis>,
        plan: impl FnOnce() -> Result<Planned, E>,
    ) -> Result<Arc<Planned>, E> {
        self.planned.or_find(plan_of(agreement, analysis), |_| analysis.size(), plan)
    }

    /// The same, if it is known.
    pub(crate) fn known_plan(
        &self,
        agreement: Digest,
        analysis: &Opened<Analysis>,
    ) -> Option<Arc<Planned>> {
        self.planned.get(plan_of(agreement, analysis))
    }
}

fn plan_of(agreement: Digest, analysis: &Opened<Analysis>) -> Digest {
    named("planned", &[agreement, analysis.digest()])
}

/// The digest of a fact: its kind and all that it follows from, each of one length.
fn named(kind: &str, of: &[Digest]) -> Digest {
    let mut bytes = sha256(kind.as_bytes()).as_bytes().to_vec();
    of.iter().for_each(|digest| bytes.extend_from_slice(digest.as_bytes()));
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Federation, NOW_S, key};
    use cloister_terms::{Refusal, Verdict};

    #[test]
    fn b05_a_signature_that_was_found_good_is_so_for_its_key_and_its_envelope_alone() {
        let (federation, remembered) = (Federation::new(), Remembered::default());
        let analysis = federation.analysis(|_| ());
        let (ada, eve) = (key("person:ada").public_key(), key("person:eve").public_key());
        let verify = |envelope: &Envelope, by: &PublicKey| {
            let opened = envelope.open::<Analysis>().unwrap();
            remembered.is_signed(envelope, by, || opened.is_signed_by(by))
        };
        assert!(verify(&analysis, &ada));
        assert!(remembered.is_signed(&analysis, &ada, || false), "known by now");
        assert!(!verify(&analysis, &eve), "another key");
        let document = analysis.open::<Analysis>().unwrap().document().clone();
        let forged = Envelope::sign(&document, &key("person:eve")).unwrap();
        assert!(!verify(&forged, &ada), "the same document, another signature");
        assert!(!verify(&forged, &ada), "a bad signature is never remembered as good");
    }

    #[test]
    fn b01_votes_that_were_counted_count_for_those_very_votes_alone() {
        let (federation, remembered) = (Federation::new(), Remembered::default());
        let analysis = federation.analysis(|_| ()).open::<Analysis>().unwrap();
        let vote = |who| federation.vote(who, analysis.envelope(), Verdict::Approve);
        let votes = [vote("rita"), vote("rosa")];
        let of = (federation.digest, analysis.digest());
        let verify = |votes: &[Envelope]| {
            remembered.votes(of, votes, || {
                cloister_wire::verify_votes(&federation.document, &analysis, votes)
            })
        };
        let is_met = |votes: &[Envelope]| verify(votes).unwrap().counted_at(NOW_S).is_met();
        assert!(is_met(&votes));
        assert!(!is_met(&votes[..1]), "one vote less is another count");
        let eve = [
            votes[0].clone(),
            federation.vote_signed_by("rosa", analysis.envelope(), Verdict::Approve, &key("eve")),
        ];
        assert_eq!(verify(&eve).unwrap_err(), Refusal::BadSignature);
        let kept = remembered.votes(of, &votes, || Err(Refusal::Malformed));
        assert!(kept.unwrap().counted_at(NOW_S).is_met(), "known by now");
        let other = (federation.digest, Digest::new([9; 32]));
        let refused = remembered.votes(other, &votes, || Err(Refusal::Malformed));
        assert_eq!(refused.unwrap_err(), Refusal::Malformed, "another analysis");
    }
}
