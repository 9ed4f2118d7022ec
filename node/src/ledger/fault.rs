//! Why the ledger does not answer. Every text says what the steward does next; none is ever sent
//! outside the node, where all of them are one refusal.

use cloister_terms::{Digest, Refusal};

/// What can be wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite could not read or write.
    #[error(
        "the ledger cannot be read or written: {0}; look at disk space and permissions of the state folder"
    )]
    Sqlite(#[from] rusqlite::Error),
    /// A commit failed, and whether it took effect is unknown: it counts as charged.
    #[error(
        "a commit to the ledger failed: {0}; what it charged counts as charged; look at the disk, then start the node again"
    )]
    CommitUnknown(#[source] rusqlite::Error),
    /// No released bytes are kept of this charge.
    #[error(
        "nothing is kept of charge {charge}: `cloister-node ledger show --verbose` lists charges and what was released"
    )]
    NothingToPurge {
        /// As given.
        charge: cloister_terms::Digest,
    },
    /// Somebody has yet to get the answer.
    #[error(
        "{waiting} requests still wait for the answer of charge {charge}: purge it once the coordinator has taken it"
    )]
    StillWaiting {
        /// As given.
        charge: cloister_terms::Digest,
        /// How many.
        waiting: i64,
    },
    /// The file is another database.
    #[error(
        "`{path}` is not a Cloister ledger: point `state` at the folder that `cloister-node init` made"
    )]
    NotALedger {
        /// The file.
        path: String,
    },
    /// There was a ledger here, and it is gone or empty.
    #[error(
        "the ledger `{path}` is gone: put that very file back; none is made anew, since it would forget what was spent, and a backup forgets what was spent since it was made"
    )]
    Missing {
        /// The file.
        path: String,
    },
    /// It cannot be noted that the ledger was made.
    #[error(
        "`{path}` cannot be written: {cause}; look at disk space and permissions of its folder"
    )]
    Marker {
        /// The note.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Written by another version.
    #[error(
        "the ledger is of version {found}, this program reads version {wanted}: use the program that wrote it"
    )]
    Version {
        /// Version of the file.
        found: i64,
        /// Version of this program.
        wanted: i64,
    },
    /// The chain of hashes does not hold.
    #[error(
        "the ledger's journal is broken at entry {seq}: somebody changed the file; stop this node, keep the file as evidence, and settle with the partners what was spent"
    )]
    BrokenChain {
        /// First entry that does not follow from the one before.
        seq: i64,
    },
    /// Accounts and journal disagree.
    #[error(
        "account `{kind} {holder}` does not equal the sum of the journal's charges: somebody changed the file; stop this node, keep the file as evidence, and settle with the partners what was spent"
    )]
    SpentMismatch {
        /// Kind of the account.
        kind: String,
        /// Whose it is.
        holder: String,
    },
    /// Charges and journal disagree.
    #[error(
        "charge `{charge}` does not stand in the journal as the ledger shows it: somebody changed the file; stop this node and keep the file as evidence"
    )]
    ChargeMismatch {
        /// The charge.
        charge: String,
    },
    /// A stored document does not parse.
    #[error(
        "a stored {what} cannot be read: somebody changed the file, or another version wrote it; keep the file and restore from a backup only with the partners' consent"
    )]
    Stored {
        /// What was stored.
        what: &'static str,
    },
    /// A charge is not open: it was released or withheld already.
    #[error("charge `{0}` is settled already: nothing more may be released under it")]
    Settled(Digest),
    /// The vector does not have the charged plan's shape.
    #[error(
        "the vector for charge `{0}` does not have the shape of its plan: nothing was released"
    )]
    WrongShape(Digest),
    /// The release could not be signed.
    #[error("the release could not be signed: {0}")]
    Signing(#[from] cloister_wire::DsseError),
    /// A value has no canonical form; only a programming error makes one.
    #[error(transparent)]
    NotCanonical(#[from] cloister_wire::canonical::NotCanonical),
    /// Another agreement is pinned.
    #[error(
        "the ledger is pinned to agreement `{pinned}`, the file holds `{found}`: restore the signed file, or adopt the new agreement with `cloister-node pin FILE`"
    )]
    OtherAgreement {
        /// The pinned one.
        pinned: Digest,
        /// The one offered.
        found: Digest,
    },
    /// Another unit namespace was charged here before.
    #[error(
        "this ledger counts what is spent of `{counted}`, and `{found}` would count the same persons anew: name `{counted}` as the unit namespace"
    )]
    OtherNamespace {
        /// The one charged so far.
        counted: String,
        /// The one named now.
        found: cloister_terms::Name,
    },
    /// The secure generator gave nothing.
    #[error(transparent)]
    Entropy(#[from] cloister_dp::EntropyFault),
    /// Too many analyses are waiting for a decision.
    #[error("{0} analyses wait for a decision already: grant or decline some first")]
    TooManyOffers(u32),
}

impl LedgerError {
    /// The one refusal seen outside: nothing was charged by it.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::TooManyOffers(_) => Refusal::Busy,
            _ => Refusal::LedgerUnavailable,
        }
    }
}

/// Why a charge is not made: a refusal to send, or a fault of the ledger to log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Fault(#[from] LedgerError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}
