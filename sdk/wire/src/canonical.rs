//! Canonical JSON (RFC 8785) and SHA-256 digests: one value, one byte string. Documents hold no
//! floats and no integer beyond 2^53, so every reader of JSON agrees on them.

use cloister_terms::Digest;
use serde::Serialize;

/// A value that has no canonical JSON form; only a programming error makes one.
#[derive(Debug, thiserror::Error)]
#[error("the document has no canonical JSON form: {0}")]
pub struct NotCanonical(#[from] serde_json::Error);

/// The canonical JSON bytes of `value` (RFC 8785).
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, NotCanonical> {
    Ok(serde_json_canonicalizer::to_vec(value)?)
}

/// SHA-256 of `bytes` (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0u8; 32];
    out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    Digest::new(out)
}
