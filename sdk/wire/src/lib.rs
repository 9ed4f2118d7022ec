//! Cloister's protocol without I/O: bytes in, checked values out. What is signed is canonical JSON
//! in DSSE envelopes; what travels is bincode frames that carry those envelopes unopened. Nothing
//! here reads a clock, a file or a socket.

/// An answer with its proof, in one file.
pub mod bundle;
/// Canonical JSON (RFC 8785) and SHA-256 digests.
pub mod canonical;
/// The frame codec; the only file that names bincode.
pub mod codec;
/// DSSE envelopes: what signs a document and what opening one proves.
pub mod dsse;
/// Ed25519 keys, and key files protected by a passphrase.
pub mod key;
/// Messages between persons, coordinator and nodes.
pub mod message;
/// The chain from agreement to release, checked link by link.
pub mod proof;
/// Which approvals count, and whether they make a quorum.
pub mod quorum;
/// What was found of documents before, by digest.
pub mod recent;
/// What the releases of a round must be.
pub mod round;

pub use bundle::Bundle;
pub use canonical::{canonical, sha256};
pub use codec::{CodecError, decode, encode};
pub use dsse::{Document, DsseError, Envelope, Opened};
pub use key::{KeyError, KeyFile, SigningKey};
pub use proof::ProofError;
pub use quorum::{QuorumState, Votes, count_approvals, verify_votes};
pub use recent::Recent;
pub use round::Round;
