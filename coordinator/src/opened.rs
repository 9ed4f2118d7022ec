//! Stored documents that were opened and checked once. A document never changes under its digest, and
//! the store takes in none that was not checked, so that what holds of one holds for good. It must never
//! keep what can change: votes, decisions and states are read from the store each time.

use cloister_terms::{Agreement, Analysis, RunRequest};
use cloister_wire::{Envelope, Opened, Recent, Round};

/// Agreements and requests that are kept; analyses are listed, so there are more of them.
const DOCUMENTS_MAX: usize = 64;
const ANALYSES_MAX: usize = 256;

/// Documents of the store, by their digest.
#[derive(Debug)]
pub(crate) struct OpenedDocuments {
    /// Agreements that every party signed.
    pub agreements: Recent<Opened<Agreement>>,
    /// Analyses that stand under theirs, signed by their researcher.
    pub analyses: Recent<Opened<Analysis>>,
    /// Requests with a quorum, signed by their researcher.
    pub requests: Recent<Opened<RunRequest>>,
    /// The rounds that requests ask for, by the request's digest.
    pub rounds: Recent<AskedRound>,
}

/// The round that a request asks for.
#[derive(Debug)]
pub struct AskedRound {
    /// What its releases must be.
    pub round: Round,
    /// The releases that it builds on.
    pub used: Vec<Envelope>,
}

impl Default for OpenedDocuments {
    fn default() -> Self {
        Self {
            agreements: Recent::new(DOCUMENTS_MAX),
            analyses: Recent::new(ANALYSES_MAX),
            requests: Recent::new(DOCUMENTS_MAX),
            rounds: Recent::new(DOCUMENTS_MAX),
        }
    }
}
