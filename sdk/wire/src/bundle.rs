//! An answer with its proof, in one file: agreement, analysis, approvals, request, signed releases
//! (each names its charge) and the answer as shown. Whoever holds the file checks it offline.

use crate::dsse::Envelope;
use cloister_terms::Name;
use serde::{Deserialize, Serialize};

/// Version of the file's form.
pub const BUNDLE_VERSION: u32 = 1;
/// Largest bundle a reader takes, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`BUNDLE_VERSION`].
    pub version: u32,
    /// The agreement, signed by every party.
    pub agreement: Envelope,
    /// The analysis, signed by its researcher.
    pub analysis: Envelope,
    /// The approvals the request relies on.
    pub approvals: Vec<Envelope>,
    /// The researcher's request.
    pub request: Envelope,
    /// The releases of an earlier round that the request builds on, in the order it names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<Envelope>,
    /// One signed release a partner that answered; each names the charge it was paid by.
    pub releases: Vec<Envelope>,
    /// Partners that were asked and stand behind no cell.
    pub missing: Vec<Name>,
    /// The answer, as canonical JSON text of the report; a checker computes it again and compares.
    pub answer: String,
}

/// Why a file is not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Too large.
    #[error("the bundle is larger than {BUNDLE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a bundle.
    #[error("not a proof bundle: save one with `cloister results --bundle FILE`")]
    Malformed,
    /// Of another version.
    #[error("the bundle is of version {0}, this is version {BUNDLE_VERSION}")]
    Version(u32),
}

impl Bundle {
    /// Parses a bundle's JSON; proves nothing yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        let bundle: Self = serde_json::from_slice(bytes).map_err(|_| BundleError::Malformed)?;
        match bundle.version {
            BUNDLE_VERSION => Ok(bundle),
            other => Err(BundleError::Version(other)),
        }
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}
