//! The journal: one hash-chained row for everything that was charged, released, withheld, granted,
//! declined or refused, written in the transaction of the thing itself. Rows are never changed; a
//! transparency log takes this file's place behind the same trait.

use super::accounts::Account;
use super::fault::LedgerError;
use cloister_terms::{Cost, Digest, Name, Refusal};
use cloister_wire::{canonical, sha256};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Hash before the first entry.
pub const JOURNAL_START: Digest = Digest::new([0; 32]);

/// One thing that happened, as canonical JSON in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // the fields are the words of DESIGN section 5
pub enum Entry {
    /// Every account was debited.
    Charge {
        at_s: i64,
        node: Name,
        unit_namespace: Name,
        agreement: Digest,
        analysis: Digest,
        researcher: Name,
        recipients: Vec<Name>,
        request: Digest,
        plan: Digest,
        parameters: Digest,
        round: u32,
        epoch: u64,
        cost: Cost,
    },
    /// The same question within its epoch: answered by an earlier charge, nothing debited.
    Repeat { at_s: i64, request: Digest, charge: Digest, analysis: Digest, recipients: Vec<Name> },
    /// A charge left open by a crash runs again under the same charge.
    Retry { at_s: i64, charge: Digest, attempt: u32 },
    /// The noised vector is fixed: `release` is the SHA-256 of the signed envelope's bytes.
    Release { at_s: i64, charge: Digest, release: Digest },
    /// The steward had the released bytes deleted: nobody gets them again, and the question costs anew.
    Purged { at_s: i64, charge: Digest },
    /// Nothing is released under this charge, and its analysis is frozen.
    Withheld { at_s: i64, charge: Digest, analysis: Digest },
    /// A request was refused.
    Refused { at_s: i64, request: Option<Digest>, refusal: Refusal },
    /// The steward granted an analysis; an analysis that was frozen is free again.
    Granted { at_s: i64, analysis: Digest, grant: Digest, unfrozen: bool },
    /// The steward declined an analysis.
    Declined { at_s: i64, analysis: Digest, grant: Digest },
    /// The steward paused or resumed the node.
    Paused { at_s: i64, paused: bool },
    /// The steward adopted an agreement.
    Pinned { at_s: i64, agreement: Digest },
    /// The data owner's lifetime caps, when first seen and when changed.
    LifetimeCaps { at_s: i64, unit_namespace: Name, caps: Cost },
}

/// The journal's last entry: its number (from 1; 0 when empty) and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Entries so far.
    pub size: i64,
    /// Hash of the last one.
    pub hash: Digest,
}

/// What a whole, unbroken journal says.
#[derive(Debug, Default)]
pub struct Proved {
    /// Sum of the charges, account by account.
    pub spent: BTreeMap<Account, Cost>,
    /// Cost of each charge.
    pub charges: BTreeMap<Digest, Cost>,
    /// Hash of the released bytes, charge by charge.
    pub releases: BTreeMap<Digest, Digest>,
    /// Charges whose released bytes were deleted since.
    pub purged: BTreeSet<Digest>,
}

/// An append-only record. `append` runs inside the caller's transaction, so that an entry is on disk
/// exactly when the thing it records is.
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Appends one entry and returns the new head.
    fn append(&self, to: &Transaction<'_>, entry: &Entry) -> Result<Head, LedgerError>;
    /// The head at present.
    fn head(&self, of: &Connection) -> Result<Head, LedgerError>;
    /// Reads everything from the start. Errors on the first entry that does not follow.
    fn prove(&self, of: &Connection) -> Result<Proved, LedgerError>;
}

/// The journal as a table: `hash = SHA-256(previous hash || entry)`, the head also kept apart, so
/// that an entry cut off at the end is missed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChainedRows;

impl Journal for ChainedRows {
    fn append(&self, to: &Transaction<'_>, entry: &Entry) -> Result<Head, LedgerError> {
        let before = self.head(to)?;
        let text = canonical(entry)?;
        let head = Head { size: before.size.saturating_add(1), hash: link(before.hash, &text) };
        let text = String::from_utf8(text).map_err(|_| LedgerError::Stored { what: "entry" })?;
        to.prepare_cached("INSERT INTO journal(seq, previous, entry, hash) VALUES (?, ?, ?, ?)")?
            .execute(params![head.size, before.hash.to_string(), text, head.hash.to_string()])?;
        to.prepare_cached(
            "INSERT INTO meta(key, value) VALUES ('journal_head', ?1)
             ON CONFLICT(key) DO UPDATE SET value = ?1",
        )?
        .execute([head.hash.to_string()])?;
        Ok(head)
    }

    fn head(&self, of: &Connection) -> Result<Head, LedgerError> {
        let last = of
            .prepare_cached("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .optional()?;
        let Some((size, hash)) = last else {
            return Ok(Head { size: 0, hash: JOURNAL_START });
        };
        let hash = hash.parse().map_err(|_| LedgerError::BrokenChain { seq: size })?;
        Ok(Head { size, hash })
    }

    fn prove(&self, of: &Connection) -> Result<Proved, LedgerError> {
        let mut proved = Proved::default();
        let mut head = Head { size: 0, hash: JOURNAL_START };
        let mut rows = of.prepare("SELECT seq, previous, entry, hash FROM journal ORDER BY seq")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (seq, previous): (i64, String) = (row.get(0)?, row.get(1)?);
            let (text, hash): (String, String) = (row.get(2)?, row.get(3)?);
            let broken = || LedgerError::BrokenChain { seq };
            let next = link(head.hash, text.as_bytes());
            let follows = Some(seq) == head.size.checked_add(1)
                && previous == head.hash.to_string()
                && hash == next.to_string();
            if !follows {
                return Err(broken());
            }
            let entry: Entry = serde_json::from_str(&text).map_err(|_| broken())?;
            proved.take(next, entry).ok_or_else(broken)?;
            head = Head { size: seq, hash: next };
        }
        let kept: Option<String> = of
            .query_row("SELECT value FROM meta WHERE key = 'journal_head'", [], |row| row.get(0))
            .optional()?;
        if kept.unwrap_or_else(|| JOURNAL_START.to_string()) != head.hash.to_string() {
            return Err(LedgerError::BrokenChain { seq: head.size.saturating_add(1) });
        }
        Ok(proved)
    }
}

impl Proved {
    /// Adds one entry; `None` when it cannot stand where it stands.
    fn take(&mut self, hash: Digest, entry: Entry) -> Option<()> {
        match entry {
            Entry::Charge { unit_namespace, agreement, analysis, researcher, cost, .. } => {
                let holders = Account::all(&unit_namespace, agreement, analysis, &researcher);
                for account in holders {
                    let spent = self.spent.entry(account).or_insert(Cost::ZERO);
                    *spent = spent.checked_add(cost)?;
                }
                self.charges.insert(hash, cost);
            }
            Entry::Release { charge, release, .. } => {
                self.charges.get(&charge)?;
                // A second release under one charge would be two answers for one price.
                if self.releases.insert(charge, release).is_some() {
                    return None;
                }
            }
            Entry::Purged { charge, .. } => {
                self.releases.get(&charge)?;
                if !self.purged.insert(charge) {
                    return None;
                }
            }
            _ => {}
        }
        Some(())
    }
}

fn link(previous: Digest, entry: &[u8]) -> Digest {
    let mut bytes = previous.as_bytes().to_vec();
    bytes.extend_from_slice(entry);
    sha256(&bytes)
}
