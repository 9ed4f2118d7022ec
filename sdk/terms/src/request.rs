//! The researcher's signed request for one round of an approved analysis. Each asking has its own
//! nonce; the same nonce twice is a replay.

use crate::{Digest, Name, Nonce};
use serde::{Deserialize, Serialize};

/// What a researcher signs each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// [`crate::DOCUMENT_VERSION`].
    pub version: u32,
    /// Who asks.
    pub researcher: Name,
    /// Digest of the analysis document.
    pub analysis: Digest,
    /// Digests of the approvals it relies on, sorted, distinct.
    pub approvals: Vec<Digest>,
    /// Round, from 1.
    pub round: u32,
    /// Digest of the round's parameters (of the empty object where the analysis has none).
    pub parameters: Digest,
    /// Digests of earlier releases this round builds on.
    pub releases_used: Vec<Digest>,
    /// When it was signed, seconds since 1970 UTC.
    pub requested_at_s: i64,
    /// Used once.
    pub nonce: Nonce,
}
