//! What the releases of a round must be. A question over public keys, or one whose partners each show the
//! keys that reach a threshold, has one round. Where a second one follows, it asks every partner for the
//! union of what the first one showed: its request names those releases, and its parameters are their
//! keys. Keys reach it from signed releases of the first round and from nowhere else.

use crate::canonical::{canonical, sha256};
use crate::dsse::{Envelope, Opened};
use crate::proof::{ProofError, open_used};
use cloister_terms::limits::{ANSWER_VALUES_MAX, PARTIES_MAX};
use cloister_terms::{
    Agreement, Analysis, Cost, Digest, Key, OutputShape, ReleaseRecord, RunRequest,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// Largest parameters of a round, in bytes of canonical JSON.
pub const PARAMETERS_BYTES_MAX: usize = 8 << 20;

/// A round of an analysis, as its releases must name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// From 1.
    pub number: u32,
    /// Digest of its plan.
    pub plan: Digest,
    /// Its shape, with the keys it asks for.
    pub shape: OutputShape,
    /// Its cost at each node.
    pub cost: Cost,
    /// Digest of its parameters, see [`parameters`].
    pub parameters: Digest,
}

impl Round {
    /// The first round of an analysis, which builds on no release.
    ///
    /// # Errors
    /// [`ProofError::NoRound`] on an analysis that has none.
    pub fn first(analysis: &Analysis) -> Result<Self, ProofError> {
        let (plan, shape) = match &analysis.keys_round {
            Some(first) => (first.plan, &first.shape),
            None => (analysis.plan, &analysis.shape),
        };
        Self::new(analysis, 1, plan, shape.clone())
    }

    /// The round that `request` asks for; `used` are the releases that it names, each once, in any order.
    ///
    /// # Errors
    /// A round the analysis has not, releases that do not verify as those of the first round, are not the
    /// ones named, are two of one node or show no key, and parameters that are not their keys.
    pub fn of(
        agreement: &Opened<Agreement>,
        analysis: &Opened<Analysis>,
        request: &RunRequest,
        used: &[Envelope],
    ) -> Result<Self, ProofError> {
        let document = analysis.document();
        let first = Self::first(document)?;
        // One a partner at most.
        expect(request.releases_used.len() <= PARTIES_MAX, "releases_used")?;
        expect(used.len() <= PARTIES_MAX, "releases_used")?;
        let round = match request.round {
            1 => {
                named_are(request, &BTreeSet::new(), used.len())?;
                first
            }
            2 if document.keys_round.is_some() => {
                let opened = used.iter().map(|used| open_used(agreement, analysis, &first, used));
                let opened = opened.collect::<Result<Vec<_>, _>>()?;
                let digests = opened.iter().map(Opened::digest).collect();
                named_are(request, &digests, used.len())?;
                Self::second(document, opened.iter().map(Opened::document))?
            }
            other => return Err(ProofError::NoRound(other)),
        };
        expect(request.parameters == round.parameters, "parameters")?;
        Ok(round)
    }

    /// The second round, over the keys that these releases of the first one show.
    ///
    /// # Errors
    /// [`ProofError::NoKeys`] where they show none; [`ProofError::TooManyKeys`]; two releases of one node; an
    /// analysis without a second round.
    pub fn second<'r>(
        analysis: &Analysis,
        used: impl IntoIterator<Item = &'r ReleaseRecord> + Clone,
    ) -> Result<Self, ProofError> {
        let mut nodes = BTreeSet::new();
        expect(used.clone().into_iter().all(|one| nodes.insert(&one.node)), "releases_used")?;
        // No more than one release may hold: what cannot be answered must not be charged.
        let shape = analysis.shape.found_in(used).map_err(|_| ProofError::TooManyKeys)?;
        if shape.private_keys.as_ref().is_none_or(|private| private.found.is_empty()) {
            return Err(ProofError::NoKeys);
        }
        shape.check().map_err(cloister_terms::analysis::AnalysisError::from)?;
        // Nor more than one answer holds of all partners.
        let all = shape.integers_of(&analysis.nodes);
        if all.map_err(cloister_terms::analysis::AnalysisError::from)? > ANSWER_VALUES_MAX {
            return Err(ProofError::TooManyKeys);
        }
        Self::new(analysis, 2, analysis.plan, shape)
    }

    fn new(
        analysis: &Analysis,
        number: u32,
        plan: Digest,
        shape: OutputShape,
    ) -> Result<Self, ProofError> {
        let cost = analysis.cost_of(number).ok_or(ProofError::NoRound(number))?;
        let parameters = parameters(&shape)?;
        Ok(Self { number, plan, shape, cost, parameters })
    }
}

/// SHA-256 of a round's parameters in canonical JSON: the keys that every partner is asked for, or the empty
/// object where there are none.
///
/// # Errors
/// [`ProofError::TooManyKeys`] beyond [`PARAMETERS_BYTES_MAX`]; [`ProofError::Unwritable`], which no shape
/// that was read from a document is.
pub fn parameters(shape: &OutputShape) -> Result<Digest, ProofError> {
    #[derive(Serialize)]
    struct Parameters<'a> {
        #[serde(skip_serializing_if = "<[Key]>::is_empty")]
        keys: &'a [Key],
    }
    let keys = shape.private_keys.as_ref().map(|private| private.found.as_slice());
    let parameters = Parameters { keys: keys.unwrap_or_default() };
    let bytes = canonical(&parameters).map_err(|_| ProofError::Unwritable)?;
    if bytes.len() > PARAMETERS_BYTES_MAX {
        return Err(ProofError::TooManyKeys);
    }
    Ok(sha256(&bytes))
}

/// The request names these releases, in ascending order, and no other was handed over.
fn named_are(
    request: &RunRequest,
    digests: &BTreeSet<Digest>,
    handed_over: usize,
) -> Result<(), ProofError> {
    let same = request.releases_used.iter().eq(digests.iter()) && handed_over == digests.len();
    expect(same, "releases_used")
}

fn expect(holds: bool, field: &'static str) -> Result<(), ProofError> {
    if holds { Ok(()) } else { Err(ProofError::Mismatch { link: "request", field }) }
}
