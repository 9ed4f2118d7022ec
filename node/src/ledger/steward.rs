//! What the steward decided: grants and declines (signed), offers waiting for a decision, pause, the
//! pinned agreement, lifetime caps. The command line writes here while the node runs; the node reads
//! decisions, pause and the pinned agreement anew at each charge and never caches one. Lifetime caps are
//! journalled here alone: a node keeps to those of the node.toml that it was started with.

use super::fault::LedgerError;
use super::journal::{Entry, Head};
use super::{ChargeId, Ledger, digest, high_water_s, meta, raise_high_water, set_meta};
use cloister_terms::{Analysis, Budget, Digest, Grant, Name, Refusal};
use cloister_wire::{Envelope, Opened, canonical, sha256};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeSet;

/// Most analyses that may wait for a decision at once.
pub const OFFERS_MAX: u32 = 256;
/// Most analyses of one researcher that may wait for a decision at once, so that none crowds out
/// the others.
pub const OFFERS_PER_RESEARCHER_MAX: u32 = 32;

const PAUSED_KEY: &str = "paused";
const PINNED_KEY: &str = "agreement";
const CAPS_KEY: &str = "lifetime_caps";

/// What the ledger says about an analysis, for the admission.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// The steward paused the node.
    pub paused: bool,
    /// An earlier run of the analysis was withheld.
    pub frozen: bool,
    /// The steward's signed decision, envelope bytes.
    pub grant: Option<Vec<u8>>,
    /// The agreement the ledger is pinned to.
    pub pinned: Option<Digest>,
    /// The latest second the ledger has seen.
    pub high_water_s: i64,
}

/// An analysis as the coordinator offered it, checked but not decided.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Digest of the analysis document.
    pub analysis: Digest,
    /// The signed analysis (envelope).
    pub envelope: Vec<u8>,
    /// The module's bytes.
    pub module: Option<Vec<u8>>,
    /// Votes so far (envelopes).
    pub approvals: Vec<Vec<u8>>,
}

/// One offered analysis in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferLine {
    /// Digest of the analysis document.
    pub analysis: Digest,
    /// Its name.
    pub name: String,
    /// Granted, declined, or still to be decided.
    pub granted: Option<bool>,
    /// Whether an earlier run was withheld.
    pub frozen: bool,
}

/// Where it is kept that the released bytes of a charge were deleted.
fn purged_key(charge: &str) -> String {
    format!("purged {charge}")
}

/// Whether the released bytes of a charge were deleted.
pub(super) fn is_purged(connection: &Connection, charge: ChargeId) -> Result<bool, LedgerError> {
    Ok(meta(connection, &purged_key(&charge.to_string()))?.is_some())
}

impl Ledger {
    /// What the ledger says about an analysis.
    pub(crate) fn standing(&self, analysis: Digest) -> Result<Standing, LedgerError> {
        self.read(|connection| standing(connection, analysis))
    }

    /// Keeps a checked offer; one that is already there gets the newer votes. Votes are never taken back,
    /// so an offer with some of the known ones alone comes late and changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::TooManyOffers`] beyond [`OFFERS_MAX`] or [`OFFERS_PER_RESEARCHER_MAX`].
    pub fn keep_offer(
        &self,
        analysis: &Opened<Analysis>,
        module: Option<&[u8]>,
        approvals: &[Vec<u8>],
        now_s: i64,
    ) -> Result<(), LedgerError> {
        let (id, document) = (analysis.digest().to_string(), analysis.document());
        let named: Vec<String> = approvals.iter().map(hex::encode).collect();
        let votes = canonical(&named)?;
        self.write(|transaction| {
            let known: Option<Vec<u8>> = transaction
                .query_row("SELECT approvals FROM offers WHERE analysis = ?", [&id], |row| {
                    row.get(0)
                })
                .optional()?;
            if let Some(known) = known {
                let known: BTreeSet<String> = serde_json::from_slice(&known)
                    .map_err(|_| LedgerError::Stored { what: "approvals" })?;
                if !named.iter().all(|vote| known.contains(vote)) {
                    transaction.execute(
                        "UPDATE offers SET approvals = ? WHERE analysis = ?",
                        params![votes, id],
                    )?;
                }
                return Ok(());
            }
            let undecided = "SELECT count(*) FROM offers
                WHERE analysis NOT IN (SELECT analysis FROM grants)";
            let all: u32 = transaction.query_row(undecided, [], |row| row.get(0))?;
            let own: u32 = transaction.query_row(
                &format!("{undecided} AND researcher = ?"),
                [document.researcher.as_str()],
                |row| row.get(0),
            )?;
            for (found, max) in [(all, OFFERS_MAX), (own, OFFERS_PER_RESEARCHER_MAX)] {
                if found >= max {
                    return Err(LedgerError::TooManyOffers(found));
                }
            }
            transaction.execute(
                "INSERT INTO offers(analysis, researcher, name, envelope, module, approvals,
                   received_at_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    id,
                    document.researcher.as_str(),
                    document.name.as_str(),
                    analysis.envelope().to_bytes(),
                    module,
                    votes,
                    now_s
                ],
            )?;
            Ok(())
        })
    }

    /// Every offered analysis, oldest first.
    pub fn offers(&self) -> Result<Vec<OfferLine>, LedgerError> {
        self.read(|connection| {
            let mut rows = connection.prepare(
                "SELECT offers.analysis, name, granted, frozen.analysis IS NOT NULL FROM offers
                 LEFT JOIN grants ON grants.analysis = offers.analysis
                 LEFT JOIN frozen ON frozen.analysis = offers.analysis
                 ORDER BY received_at_s, offers.analysis",
            )?;
            let rows = rows.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            rows.map(|row| {
                let (analysis, name, granted, frozen) = row?;
                Ok(OfferLine { analysis: digest(&analysis, "offer")?, name, granted, frozen })
            })
            .collect()
        })
    }

    /// One offered analysis, whole.
    pub fn offer(&self, analysis: Digest) -> Result<Option<Offer>, LedgerError> {
        self.read(|connection| {
            let found = connection
                .query_row(
                    "SELECT envelope, module, approvals FROM offers WHERE analysis = ?",
                    [analysis.to_string()],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)),
                )
                .optional()?;
            let Some((envelope, module, votes)) = found else {
                return Ok(None);
            };
            let wrong = || LedgerError::Stored { what: "offer" };
            let votes: Vec<String> = serde_json::from_slice(&votes).map_err(|_| wrong())?;
            let approvals = votes.iter().map(hex::decode).collect::<Result<_, _>>();
            let approvals = approvals.map_err(|_| wrong())?;
            Ok(Some(Offer { analysis, envelope, module, approvals }))
        })
    }

    /// Records the steward's signed decision; a later one replaces it. A grant frees an analysis
    /// that was frozen: the steward looked.
    pub fn decide(&self, grant: &Opened<Grant>, now_s: i64) -> Result<Head, LedgerError> {
        self.record_decision(grant, now_s, false)
    }

    /// As [`Ledger::decide`], for an analysis that nobody else knows of: the coordinator is not told.
    pub(crate) fn decide_at_home(
        &self,
        grant: &Opened<Grant>,
        now_s: i64,
    ) -> Result<Head, LedgerError> {
        self.record_decision(grant, now_s, true)
    }

    fn record_decision(
        &self,
        grant: &Opened<Grant>,
        now_s: i64,
        reported: bool,
    ) -> Result<Head, LedgerError> {
        let document = grant.document();
        let granted = document.verdict == cloister_terms::Verdict::Approve;
        let analysis = document.analysis;
        let envelope = grant.envelope().to_bytes();
        let signed = sha256(&envelope);
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO grants(analysis, granted, envelope, reported) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT(analysis) DO UPDATE SET granted = ?2, envelope = ?3, reported = ?4",
                params![analysis.to_string(), granted, envelope, reported],
            )?;
            let entry = if granted {
                let freed = transaction
                    .execute("DELETE FROM frozen WHERE analysis = ?", [analysis.to_string()])?;
                Entry::Granted { at_s: now_s, analysis, grant: signed, unfrozen: freed > 0 }
            } else {
                Entry::Declined { at_s: now_s, analysis, grant: signed }
            };
            raise_high_water(transaction, now_s)?;
            self.journal.append(transaction, &entry)
        })
    }

    /// Decisions that the coordinator does not hold yet.
    pub fn decisions_to_report(&self) -> Result<Vec<(Digest, bool)>, LedgerError> {
        self.read(|connection| {
            let mut rows = connection
                .prepare_cached("SELECT analysis, granted FROM grants WHERE reported = 0")?;
            let rows =
                rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
            rows.map(|row| {
                let (analysis, granted) = row?;
                Ok((digest(&analysis, "grant")?, granted))
            })
            .collect()
        })
    }

    /// The coordinator holds this decision.
    pub fn decision_reported(&self, analysis: Digest, granted: bool) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE grants SET reported = 1 WHERE analysis = ? AND granted = ?",
                params![analysis.to_string(), granted],
            )?;
            Ok(())
        })
    }

    /// Pauses or resumes the node.
    pub fn set_paused(&self, paused: bool, now_s: i64) -> Result<Head, LedgerError> {
        self.write(|transaction| {
            set_meta(transaction, PAUSED_KEY, if paused { "yes" } else { "no" })?;
            raise_high_water(transaction, now_s)?;
            self.journal.append(transaction, &Entry::Paused { at_s: now_s, paused })
        })
    }

    /// Deletes the released bytes of a charge: nobody gets them again, and the same question is charged in
    /// full. What was charged stays charged, and the journal keeps the hash of what was released. The file's
    /// pages are overwritten. True: so is the write-ahead log that held them; false while another process reads
    /// the ledger.
    ///
    /// # Errors
    /// [`LedgerError::NothingToPurge`], and [`LedgerError::StillWaiting`] before every request has its answer.
    pub fn purge(&self, charge: Digest, now_s: i64) -> Result<bool, LedgerError> {
        let id = charge.to_string();
        self.write(|transaction| {
            let waiting: i64 = transaction.query_row(
                "SELECT count(*) FROM outbox WHERE charge = ? AND delivered = 0",
                [&id],
                |row| row.get(0),
            )?;
            if transaction.execute("DELETE FROM releases WHERE charge = ?", [&id])? == 0 {
                return Err(LedgerError::NothingToPurge { charge });
            }
            if waiting > 0 {
                return Err(LedgerError::StillWaiting { charge, waiting });
            }
            set_meta(transaction, &purged_key(&id), "yes")?;
            raise_high_water(transaction, now_s)?;
            self.journal.append(transaction, &Entry::Purged { at_s: now_s, charge })
        })?;
        // It is purged by now, whatever becomes of the log.
        let is_busy = self.read(|connection| {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            Ok(connection.query_row(sql, [], |row| row.get::<_, bool>(0))?)
        });
        Ok(matches!(is_busy, Ok(false)))
    }

    /// Whether the node is paused.
    pub fn is_paused(&self) -> Result<bool, LedgerError> {
        self.read(|connection| Ok(meta(connection, PAUSED_KEY)?.as_deref() == Some("yes")))
    }

    /// The agreement this ledger is pinned to.
    pub fn pinned(&self) -> Result<Option<Digest>, LedgerError> {
        self.read(pinned)
    }

    /// Pins the agreement at its first use; later only the pinned one passes.
    ///
    /// # Errors
    /// [`LedgerError::OtherAgreement`].
    pub fn pin_first(&self, agreement: Digest, now_s: i64) -> Result<(), LedgerError> {
        if self.pinned()? == Some(agreement) {
            return Ok(());
        }
        self.write(|transaction| match pinned(transaction)? {
            Some(pinned) if pinned == agreement => Ok(()),
            Some(pinned) => Err(LedgerError::OtherAgreement { pinned, found: agreement }),
            None => self.pin_in(transaction, agreement, now_s),
        })
    }

    /// Adopts another agreement, at the steward's word.
    pub fn pin(&self, agreement: Digest, now_s: i64) -> Result<(), LedgerError> {
        self.write(|transaction| self.pin_in(transaction, agreement, now_s))
    }

    fn pin_in(
        &self,
        transaction: &Transaction<'_>,
        agreement: Digest,
        now_s: i64,
    ) -> Result<(), LedgerError> {
        set_meta(transaction, PINNED_KEY, &agreement.to_string())?;
        raise_high_water(transaction, now_s)?;
        self.journal.append(transaction, &Entry::Pinned { at_s: now_s, agreement })?;
        Ok(())
    }

    /// Journals the data owner's lifetime caps when they are new or changed.
    pub fn note_lifetime_caps(
        &self,
        unit_namespace: &Name,
        caps: Budget,
        now_s: i64,
    ) -> Result<(), LedgerError> {
        let text = String::from_utf8(canonical(&(unit_namespace, caps))?)
            .map_err(|_| LedgerError::Stored { what: "caps" })?;
        if self.read(|connection| meta(connection, CAPS_KEY))? == Some(text.clone()) {
            return Ok(());
        }
        self.write(|transaction| {
            set_meta(transaction, CAPS_KEY, &text)?;
            let unit_namespace = unit_namespace.clone();
            let entry = Entry::LifetimeCaps { at_s: now_s, unit_namespace, caps };
            self.journal.append(transaction, &entry)?;
            Ok(())
        })
    }

    /// Journals a refusal, so that attempts can be audited.
    pub fn note_refusal(
        &self,
        request: Option<Digest>,
        refusal: Refusal,
        now_s: i64,
    ) -> Result<(), LedgerError> {
        self.write(|transaction| {
            let entry = Entry::Refused { at_s: now_s, request, refusal };
            self.journal.append(transaction, &entry)?;
            Ok(())
        })
    }

    /// Raises the clock's high-water mark; it never falls.
    pub fn note_time(&self, now_s: i64) -> Result<(), LedgerError> {
        self.write(|transaction| raise_high_water(transaction, now_s))
    }
}

pub(super) fn standing(connection: &Connection, analysis: Digest) -> Result<Standing, LedgerError> {
    let id = analysis.to_string();
    let frozen: bool = connection
        .prepare_cached("SELECT EXISTS(SELECT 1 FROM frozen WHERE analysis = ?)")?
        .query_row([&id], |row| row.get(0))?;
    let grant = connection
        .prepare_cached("SELECT envelope FROM grants WHERE analysis = ?")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    Ok(Standing {
        paused: meta(connection, PAUSED_KEY)?.as_deref() == Some("yes"),
        frozen,
        grant,
        pinned: pinned(connection)?,
        high_water_s: high_water_s(connection)?,
    })
}

pub(super) fn pinned(connection: &Connection) -> Result<Option<Digest>, LedgerError> {
    meta(connection, PINNED_KEY)?.map(|text| digest(&text, "agreement")).transpose()
}

impl Offer {
    /// The votes as envelopes; ones that do not parse are left out, since they count for nothing.
    pub fn votes(&self) -> Vec<Envelope> {
        self.approvals.iter().filter_map(|bytes| Envelope::parse(bytes).ok()).collect()
    }
}
