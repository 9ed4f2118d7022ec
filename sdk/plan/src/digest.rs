//! The digest of a plan: SHA-256 of its canonical JSON (RFC 8785). It names the question; nothing
//! that does not change the question may be part of the plan.

use crate::error::{Place, PlanError};
use crate::ir::ContributionPlan;
use crate::limits::PLAN_JSON_DEPTH_MAX;
use cloister_terms::Digest;

impl ContributionPlan {
    /// SHA-256 of the plan in canonical JSON. Keys that an earlier round found are a round's parameters and
    /// no part of the question. Errors when the plan is nested so deeply that not every reader could read it.
    pub fn digest(&self) -> Result<Digest, PlanError> {
        let bytes = match &self.shape.private_keys {
            Some(private) if !private.found.is_empty() => {
                let shape = self.shape.of_keys(Vec::new());
                serde_json_canonicalizer::to_vec(&Self { shape, ..self.clone() })
            }
            _ => serde_json_canonicalizer::to_vec(self),
        };
        let bytes = bytes.map_err(|_| PlanError::Unwritable)?;
        if json_depth(&bytes) > PLAN_JSON_DEPTH_MAX {
            return Err(PlanError::PlanTooDeep { place: Place::default() });
        }
        sha256(&bytes).ok_or(PlanError::Unwritable)
    }
}

/// SHA-256 of bytes; always there.
pub(crate) fn sha256(bytes: &[u8]) -> Option<Digest> {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    hash.as_ref().try_into().ok().map(Digest::new)
}

/// How deeply arrays and objects of a JSON text stand inside each other.
fn json_depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0usize, 0usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::json_depth;

    #[test]
    fn depth_counts_brackets_outside_texts() {
        assert_eq!(json_depth(br#"{"a":[1,{"b":"[[{{\"["}],"c":{}}"#), 3);
        assert_eq!(json_depth(b"1"), 0);
    }
}
