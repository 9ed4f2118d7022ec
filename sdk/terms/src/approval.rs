//! What people sign about an analysis: a reviewer's approval or rejection, a steward's grant. An
//! approval repeats everything it binds (DESIGN section 8), so that it reads alone and any changed
//! byte of the analysis voids it.

use crate::analysis::{Analysis, Body, KeysRound};
use crate::shape::OutputShape;
use crate::{Cost, DOCUMENT_VERSION, Digest, Name, Nonce};
use serde::{Deserialize, Serialize};

/// What a reviewer signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// [`DOCUMENT_VERSION`].
    pub version: u32,
    /// Who signs.
    pub reviewer: Name,
    /// Approve or reject.
    pub verdict: Verdict,
    /// Why, in the reviewer's words; never empty.
    pub reason: String,
    /// What is approved.
    pub bound: Bound,
    /// Makes each approval a document of its own.
    pub nonce: Nonce,
}

/// A reviewer's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// May run.
    Approve,
    /// Must not run.
    Reject,
}

/// Everything an approval binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The study: name and researcher.
    pub study: Name,
    /// Who asks.
    pub researcher: Name,
    /// Digest of the signed analysis document.
    pub analysis: Digest,
    /// Digest of the agreement document.
    pub agreement: Digest,
    /// Datasets read.
    pub datasets: Vec<Name>,
    /// Purpose IRI.
    pub purpose: String,
    /// The SQL text or the module with its manifest.
    pub body: Body,
    /// Digest of the contribution plan.
    pub plan: Digest,
    /// Rounds a run has.
    pub rounds: u32,
    /// Shape of the released vector.
    pub shape: OutputShape,
    /// The first of two rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_round: Option<KeysRound>,
    /// Cost of one round at each node.
    pub cost_per_round: Cost,
    /// Cost of everything at each node.
    pub cost_total: Cost,
    /// Partners asked.
    pub nodes: Vec<Name>,
    /// Who receives the answer.
    pub recipients: Vec<Name>,
    /// Runs in all.
    pub max_runs: u32,
    /// First second (UTC) it may run.
    pub not_before_s: i64,
    /// First second (UTC) it may run no more.
    pub not_after_s: i64,
}

impl Bound {
    /// What an approval of `analysis` (whose document has digest `digest`) must bind. `None` when
    /// the total cost overflows; [`Analysis::check`] refuses such an analysis.
    pub fn of(analysis: &Analysis, digest: Digest) -> Option<Self> {
        Some(Self {
            study: analysis.name.clone(),
            researcher: analysis.researcher.clone(),
            analysis: digest,
            agreement: analysis.agreement,
            datasets: analysis.datasets(),
            purpose: analysis.purpose.clone(),
            body: analysis.body.clone(),
            plan: analysis.plan,
            rounds: analysis.rounds,
            shape: analysis.shape.clone(),
            keys_round: analysis.keys_round.clone(),
            cost_per_round: analysis.cost_per_round,
            cost_total: analysis.cost_total()?,
            nodes: analysis.nodes.clone(),
            recipients: analysis.recipients.clone(),
            max_runs: analysis.max_runs,
            not_before_s: analysis.not_before_s,
            not_after_s: analysis.not_after_s,
        })
    }
}

/// What a steward signs: this partner's own leave to run an analysis on its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// [`DOCUMENT_VERSION`].
    pub version: u32,
    /// The partner.
    pub partner: Name,
    /// Digest of the analysis document.
    pub analysis: Digest,
    /// Digest of the agreement document.
    pub agreement: Digest,
    /// Leave or refusal.
    pub verdict: Verdict,
    /// Why, in the steward's words.
    pub reason: String,
    /// When it was signed, seconds since 1970 UTC.
    pub signed_at_s: i64,
    /// First second (UTC) at which the grant no longer holds.
    pub not_after_s: i64,
    /// Makes each grant a document of its own.
    pub nonce: Nonce,
}

impl Grant {
    /// Whether the document is of this version of Cloister.
    pub fn is_current_version(&self) -> bool {
        self.version == DOCUMENT_VERSION
    }
}
