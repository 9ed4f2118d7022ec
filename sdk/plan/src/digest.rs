//! The digest of a plan: SHA-256 of its canonical JSON (RFC 8785). It names the question; nothing
//! that does not change the question may be part of the plan.

use crate::error::PlanError;
use crate::ir::ContributionPlan;
use cloister_terms::Digest;

impl ContributionPlan {
    /// SHA-256 of the plan in canonical JSON. Errors only if the plan cannot be written, which no plan
    /// made by this crate is.
    pub fn digest(&self) -> Result<Digest, PlanError> {
        let bytes = serde_json_canonicalizer::to_vec(self).map_err(|_| PlanError::Unwritable)?;
        sha256(&bytes).ok_or(PlanError::Unwritable)
    }
}

/// SHA-256 of bytes; always there.
pub(crate) fn sha256(bytes: &[u8]) -> Option<Digest> {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    hash.as_ref().try_into().ok().map(Digest::new)
}
