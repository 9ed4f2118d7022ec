//! From an open charge to its one end: the signed bytes committed before the first of them is sent,
//! or nothing for ever. After a crash an open charge runs once more with fresh noise, since before
//! the commit nobody saw anything; a charge is never refunded.

use super::debit::question;
use super::fault::LedgerError;
use super::journal::Entry;
use super::steward::{is_purged, standing};
use super::{Charge, ChargeId, ChargeTerms, Ledger, digest, digest_text, raise_high_water};
use crate::admit::{Terms, readmit};
use crate::noise::Noised;
use cloister_dp::{Entropy, PrfKey};
use cloister_plan::ContributionPlan;
use cloister_terms::release::Int;
use cloister_terms::{DOCUMENT_VERSION, Digest, Key, Refusal, ReleaseRecord};
use cloister_wire::{Envelope, SigningKey, round, sha256};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// Runs under one charge: the first, and one more after a crash.
pub const ATTEMPTS_MAX: u32 = 2;

/// A signed release as stored: the only bytes computed from records that may be sent. Made by the
/// ledger alone, from what it committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    envelope: Vec<u8>,
}

impl Release {
    /// The signed envelope, byte for byte as committed.
    pub fn bytes(&self) -> &[u8] {
        &self.envelope
    }
}

/// How a charge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its release was committed.
    Released,
    /// Nothing is ever released under it.
    Withheld,
}

/// What one request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Digest of the request document.
    pub request: Digest,
    /// The charge behind it.
    pub charge: ChargeId,
    /// The answer.
    pub verdict: Verdict,
}

/// The answer in a [`Delivery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The stored release.
    Released(Release),
    /// Withheld, whatever the cause.
    Withheld,
}

impl Ledger {
    /// Signs the noised vector and commits it in the transaction that moves its charge from open to
    /// released. Whatever fails, the charge stays spent.
    ///
    /// # Errors
    /// [`LedgerError::Settled`] for a charge that was withheld meanwhile, [`LedgerError::WrongShape`],
    /// and every failure to write.
    pub fn release(
        &self,
        noised: Noised,
        node_key: &SigningKey,
        now_s: i64,
    ) -> Result<Release, LedgerError> {
        let (charge, keys, values) = noised.into_parts();
        self.release_values(charge, keys, values, node_key, now_s)
    }

    /// As [`Ledger::release`], with values that no noise stage made.
    #[cfg(feature = "for-tests")]
    pub fn release_for_tests(
        &self,
        charge: Charge,
        values: Vec<i128>,
        node_key: &SigningKey,
        now_s: i64,
    ) -> Result<Release, LedgerError> {
        self.release_values(charge, Vec::new(), values, node_key, now_s)
    }

    fn release_values(
        &self,
        charge: Charge,
        keys: Vec<Key>,
        values: Vec<i128>,
        node_key: &SigningKey,
        now_s: i64,
    ) -> Result<Release, LedgerError> {
        let Charge { id, plan, terms, .. } = charge;
        let question = question(&terms)?;
        let record = record(id, terms, keys, values);
        if !record.fits(&plan.shape).unwrap_or(false) {
            return Err(LedgerError::WrongShape(id.digest()));
        }
        let envelope = Envelope::sign(&record, node_key)?.to_bytes();
        let signed = sha256(&envelope);
        self.write(|transaction| {
            if !settle(transaction, id, "released")? {
                return Err(LedgerError::Settled(id.digest()));
            }
            transaction
                .prepare_cached(
                    "INSERT INTO releases(question, charge, digest, envelope) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    question.to_string(),
                    id.to_string(),
                    signed.to_string(),
                    envelope
                ])?;
            let entry = Entry::Release { at_s: now_s, charge: id.digest(), release: signed };
            self.journal.append(transaction, &entry)?;
            raise_high_water(transaction, now_s)
        })?;
        Ok(Release { envelope })
    }

    /// Ends an open charge without a release and freezes its analysis. A charge that was released
    /// stays released: what is committed is what is sent.
    pub fn withhold(&self, charge: ChargeId, now_s: i64) -> Result<Settled, LedgerError> {
        self.write(|transaction| self.withhold_in(transaction, charge, now_s))
    }

    fn withhold_in(
        &self,
        transaction: &Transaction<'_>,
        charge: ChargeId,
        now_s: i64,
    ) -> Result<Settled, LedgerError> {
        let (state, analysis): (String, String) = transaction.query_row(
            "SELECT state, analysis FROM charges WHERE charge = ?",
            [charge.to_string()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if state == "released" {
            return Ok(Settled::Released);
        }
        if !settle(transaction, charge, "withheld")? {
            return Ok(Settled::Withheld);
        }
        transaction.execute(
            "INSERT INTO frozen(analysis, charge, since_s) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            params![analysis, charge.to_string(), now_s],
        )?;
        #[cfg(feature = "for-tests")]
        self.refund(transaction, charge)?;
        let analysis = digest(&analysis, "charge")?;
        let entry = Entry::Withheld { at_s: now_s, charge: charge.digest(), analysis };
        self.journal.append(transaction, &entry)?;
        raise_high_water(transaction, now_s)?;
        Ok(Settled::Withheld)
    }

    /// At the start of a node: open charges that a crash left behind, each with a fresh secret and
    /// its attempt counted on disk first. One that failed [`ATTEMPTS_MAX`] times, cannot be read back, or
    /// would no longer be admitted under `terms`, is withheld and its analysis frozen; while the node is
    /// paused, or its clock is behind, it is left open. Must not be called while runs are under way.
    pub fn recover(
        &self,
        terms: &Terms,
        entropy: &mut dyn Entropy,
        now_s: i64,
    ) -> Result<Vec<Charge>, LedgerError> {
        self.write(|transaction| {
            let mut charges = Vec::new();
            // The steward's own are asked for again by whoever asked: that process may be at it now.
            for open in open_charges(transaction)?.into_iter().filter(|open| !open.stays_home) {
                let id = open.id;
                match still_stands(transaction, &open, terms, now_s)? {
                    Ok(()) => charges.extend(self.run_again(transaction, open, entropy, now_s)?),
                    Err(refusal @ (Refusal::Paused | Refusal::ClockSkew)) => {
                        tracing::warn!(charge = %id, %refusal, "stays open: start the node again once it may run");
                    }
                    Err(refusal) => {
                        tracing::error!(charge = %id, %refusal, "left open by a crash and no longer admitted: withheld");
                        self.withhold_in(transaction, id, now_s)?;
                    }
                }
            }
            Ok(charges)
        })
    }

    /// As [`Ledger::recover`], for one charge of a question that this process alone may run; `None` when
    /// it is not open, or was withheld for good.
    pub(crate) fn recover_one(
        &self,
        charge: ChargeId,
        entropy: &mut dyn Entropy,
        now_s: i64,
    ) -> Result<Option<Charge>, LedgerError> {
        self.write(|transaction| {
            let open = open_charges(transaction)?.into_iter().find(|open| open.id == charge);
            open.map_or(Ok(None), |open| self.run_again(transaction, open, entropy, now_s))
        })
    }

    /// Charges that nobody settled and that do not stay at home: while no run is under way, those that
    /// [`Ledger::recover`] left open.
    pub(crate) fn left_open(&self) -> Result<Vec<ChargeId>, LedgerError> {
        let open = self.read(open_charges)?;
        Ok(open.into_iter().filter(|open| !open.stays_home).map(|open| open.id).collect())
    }

    /// The charge with a fresh secret and one more attempt counted, or `None` once it is withheld.
    fn run_again(
        &self,
        transaction: &Transaction<'_>,
        open: OpenCharge,
        entropy: &mut dyn Entropy,
        now_s: i64,
    ) -> Result<Option<Charge>, LedgerError> {
        let attempt = open.attempt.saturating_add(1);
        let charge = match open.read_back() {
            Some((plan, terms)) if attempt <= ATTEMPTS_MAX => {
                let prf_key = PrfKey::from_entropy(entropy)?;
                Charge::paid(open.id, plan, open.module, prf_key, terms)
            }
            _ => {
                self.withhold_in(transaction, open.id, now_s)?;
                return Ok(None);
            }
        };
        transaction.execute(
            "UPDATE charges SET attempt = ? WHERE charge = ?",
            params![attempt, open.id.to_string()],
        )?;
        let entry = Entry::Retry { at_s: now_s, charge: open.id.digest(), attempt };
        self.journal.append(transaction, &entry)?;
        Ok(Some(charge))
    }

    /// What a request is answered with; `None` while its charge is open, once its answer was purged, and for an
    /// unknown request.
    pub fn delivery(&self, request: Digest) -> Result<Option<Delivery>, LedgerError> {
        self.read(|connection| {
            let found = connection
                .prepare_cached(
                    "SELECT outbox.charge, state, releases.digest, envelope FROM outbox
                     JOIN charges ON charges.charge = outbox.charge
                     LEFT JOIN releases ON releases.charge = outbox.charge
                     WHERE request = ?",
                )?
                .query_row([request.to_string()], |row| {
                    let named: (String, String) = (row.get(0)?, row.get(1)?);
                    Ok((named, row.get::<_, Option<String>>(2)?, row.get::<_, Option<Vec<u8>>>(3)?))
                })
                .optional()?;
            let Some(((charge, state), signed, envelope)) = found else {
                return Ok(None);
            };
            let charge = ChargeId(digest(&charge, "charge")?);
            let verdict = match (state.as_str(), signed, envelope) {
                ("withheld", None, None) => Verdict::Withheld,
                ("released", Some(signed), Some(envelope)) if digest_text(&envelope) == signed => {
                    Verdict::Released(Release { envelope })
                }
                ("open", None, None) => return Ok(None),
                ("released", None, None) if is_purged(connection, charge)? => return Ok(None),
                _ => return Err(LedgerError::ChargeMismatch { charge: charge.to_string() }),
            };
            Ok(Some(Delivery { request, charge, verdict }))
        })
    }

    /// Requests that wait for the answer of `charge`, delivered ones aside.
    pub fn waiting_for(&self, charge: ChargeId) -> Result<Vec<Digest>, LedgerError> {
        self.read(|connection| {
            let mut rows = connection.prepare_cached(
                "SELECT request FROM outbox WHERE charge = ? AND delivered = 0 ORDER BY request",
            )?;
            let rows = rows.query_map([charge.to_string()], |row| row.get::<_, String>(0))?;
            rows.map(|request| digest(&request?, "request")).collect()
        })
    }

    /// Settled charges with requests still to be answered, and the second at which each may leave.
    pub fn undelivered(&self) -> Result<Vec<(ChargeId, i64)>, LedgerError> {
        self.read(|connection| {
            let mut rows = connection.prepare(
                "SELECT DISTINCT charges.charge, slot_at_s FROM outbox
                 JOIN charges ON charges.charge = outbox.charge
                 WHERE delivered = 0 AND state <> 'open' ORDER BY slot_at_s",
            )?;
            let rows =
                rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            rows.map(|row| {
                let (charge, slot_at_s) = row?;
                Ok((ChargeId(digest(&charge, "charge")?), slot_at_s))
            })
            .collect()
        })
    }

    /// The coordinator holds the answer to this request. Not synced on its own: forgotten in a
    /// crash, the same bytes are sent once more.
    pub fn delivered(&self, request: Digest) -> Result<(), LedgerError> {
        self.read(|connection| {
            connection.execute_batch("PRAGMA synchronous = NORMAL")?;
            let marked = connection.execute(
                "UPDATE outbox SET delivered = 1 WHERE request = ?",
                [request.to_string()],
            );
            connection.execute_batch("PRAGMA synchronous = FULL")?;
            marked?;
            Ok(())
        })
    }
}

/// A charge that a crash left open.
struct OpenCharge {
    id: ChargeId,
    attempt: u32,
    /// Whether nobody waits for its answer but the steward who asked herself.
    stays_home: bool,
    terms: String,
    plan: Option<String>,
    module: Option<Vec<u8>>,
}

impl OpenCharge {
    /// Plan and terms as they were charged; `None` when they are not.
    fn read_back(&self) -> Option<(ContributionPlan, ChargeTerms)> {
        let terms: ChargeTerms = serde_json::from_str(&self.terms).ok()?;
        let plan: ContributionPlan = serde_json::from_str(self.plan.as_ref()?).ok()?;
        let same = plan.digest().ok()? == terms.plan
            && round::parameters(&plan.shape).ok()? == terms.parameters;
        same.then_some((plan, terms))
    }
}

/// Whether an open charge would still be admitted. What cannot be read back is left to
/// [`Ledger::run_again`], which withholds it.
fn still_stands(
    transaction: &Transaction<'_>,
    open: &OpenCharge,
    terms: &Terms,
    now_s: i64,
) -> Result<Result<(), Refusal>, LedgerError> {
    let Ok(charge) = serde_json::from_str::<ChargeTerms>(&open.terms) else { return Ok(Ok(())) };
    let standing = standing(transaction, charge.analysis)?;
    Ok(readmit(&charge, &standing, terms, now_s))
}

fn open_charges(connection: &Connection) -> Result<Vec<OpenCharge>, LedgerError> {
    let mut rows = connection.prepare(
        "SELECT charge, attempt, terms, plan, module, NOT EXISTS(
           SELECT 1 FROM outbox WHERE outbox.charge = charges.charge AND delivered = 0)
         FROM charges WHERE state = 'open' ORDER BY charged_at_s, charge",
    )?;
    let rows = rows.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            OpenCharge {
                id: ChargeId(Digest::new([0; 32])),
                attempt: row.get(1)?,
                terms: row.get(2)?,
                plan: row.get(3)?,
                module: row.get(4)?,
                stays_home: row.get(5)?,
            },
        ))
    })?;
    rows.map(|row| {
        let (charge, open) = row?;
        Ok(OpenCharge { id: ChargeId(digest(&charge, "charge")?), ..open })
    })
    .collect()
}

/// Moves a charge out of `open`, once; what was kept for a rescan goes. False when it was settled.
fn settle(
    transaction: &Transaction<'_>,
    charge: ChargeId,
    state: &str,
) -> Result<bool, LedgerError> {
    let moved = transaction
        .prepare_cached(
            "UPDATE charges SET state = ?, plan = NULL, module = NULL
             WHERE charge = ? AND state = 'open'",
        )?
        .execute([state, charge.to_string().as_str()])?;
    Ok(moved == 1)
}

fn record(id: ChargeId, terms: ChargeTerms, keys: Vec<Key>, values: Vec<i128>) -> ReleaseRecord {
    ReleaseRecord {
        version: DOCUMENT_VERSION,
        node: terms.node,
        unit_namespace: terms.unit_namespace,
        agreement: terms.agreement,
        analysis: terms.analysis,
        plan: terms.plan,
        parameters: terms.parameters,
        round: terms.round,
        epoch: terms.epoch,
        cost: terms.cost,
        charge: id.digest(),
        keys,
        values: values.into_iter().map(Int).collect(),
    }
}
