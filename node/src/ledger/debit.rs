//! The transaction that charges: nonce, repeat look-up, run count, every account, the open charge
//! and its journal entry together, on disk before a `Charge` exists. Refused or failed, it leaves
//! nothing behind.

use super::accounts::{Account, debit};
use super::fault::{LedgerError, Stop};
use super::journal::Entry;
use super::{Charge, ChargeId, ChargeTerms, Ledger, digest, raise_high_water, steward};
use crate::admit::Admitted;
use cloister_dp::{Entropy, PrfKey};
use cloister_terms::{Digest, Refusal};
use cloister_wire::{canonical, sha256};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// What became of an admitted request. One a request, taken apart at once: its size is no matter.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Charged {
    /// Charged: run it.
    Fresh(Charge),
    /// The same question was charged in this epoch already: its answer, stored or still on its way,
    /// is this request's answer too. Nothing was debited, no run was used.
    Repeat(ChargeId),
}

/// Whether the node has room for one more run. Decided before anything is charged, and from the
/// number of slots not yet reached and from whether changed files were found good, never from how fast a run
/// was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Free,
    /// A fresh run is refused as busy; a repeat is still answered.
    Full,
    /// Its tables do not stand as they were checked: a fresh run is refused, a repeat is still answered.
    Unchecked,
}

impl Ledger {
    /// Charges an admitted request in one transaction, or finds that it was charged before.
    ///
    /// # Errors
    /// [`Refusal`]: replayed nonce, no runs left, over budget, busy, changed tables, paused, frozen, or a
    /// ledger that cannot be written; nothing is charged by a refused request. Where a commit's outcome is
    /// unknown the refusal says that the ledger is unavailable, and a charge that did reach the disk
    /// stays and runs after the next start.
    pub fn charge(
        &self,
        admitted: Admitted,
        room: Room,
        entropy: &mut dyn Entropy,
    ) -> Result<Charged, Refusal> {
        let charged = PrfKey::from_entropy(entropy)
            .map_err(|fault| Stop::Fault(fault.into()))
            .and_then(|prf_key| self.charge_or_stop(admitted, room, prf_key));
        charged.map_err(|stop| match stop {
            Stop::Refused(refusal) => refusal,
            Stop::Fault(fault) => {
                tracing::error!(%fault, "nothing was charged");
                fault.refusal()
            }
        })
    }

    fn charge_or_stop(
        &self,
        admitted: Admitted,
        room: Room,
        prf_key: PrfKey,
    ) -> Result<Charged, Stop> {
        let question = question(&admitted.terms)?;
        let charged = self.write(|transaction| {
            recheck(transaction, &admitted)?;
            consume_nonce(transaction, &admitted)?;
            if let Some(earlier) = earlier(transaction, question)? {
                self.attach(transaction, &admitted, earlier)?;
                return Ok(Err(earlier));
            }
            if room == Room::Full {
                return Err(Stop::Refused(Refusal::Busy));
            }
            count_run(transaction, &admitted)?;
            let terms = &admitted.terms;
            let namespace = &terms.unit_namespace;
            #[cfg(feature = "for-tests")]
            let namespace = self.lifetime_holder(namespace, &admitted.plan);
            let accounts =
                Account::all(namespace, terms.agreement, terms.analysis, &admitted.researcher);
            debit(transaction, &accounts, &admitted.caps, terms.cost)?;
            // Last: nobody whose runs or budget are used up is told when files change.
            if room == Room::Unchecked {
                return Err(Stop::Refused(Refusal::TablesChanged));
            }
            raise_high_water(transaction, admitted.now_s)?;
            Ok(Ok(self.open_charge(transaction, &admitted, question)?))
        })?;
        Ok(match charged {
            Err(earlier) => Charged::Repeat(earlier),
            Ok(id) => {
                let Admitted { plan, module, terms, .. } = admitted;
                Charged::Fresh(Charge::paid(id, plan, module, prf_key, terms))
            }
        })
    }

    /// Writes journal entry, open charge and outbox row.
    fn open_charge(
        &self,
        transaction: &Transaction<'_>,
        admitted: &Admitted,
        question: Digest,
    ) -> Result<ChargeId, LedgerError> {
        let terms = &admitted.terms;
        let entry = Entry::Charge {
            at_s: admitted.now_s,
            node: terms.node.clone(),
            unit_namespace: terms.unit_namespace.clone(),
            agreement: terms.agreement,
            analysis: terms.analysis,
            researcher: admitted.researcher.clone(),
            recipients: admitted.recipients.clone(),
            request: admitted.request,
            plan: terms.plan,
            parameters: terms.parameters,
            round: terms.round,
            epoch: terms.epoch,
            cost: terms.cost,
        };
        let id = ChargeId(self.journal.append(transaction, &entry)?.hash);
        transaction
            .prepare_cached(
                "INSERT INTO charges(charge, state, attempt, question, analysis, terms, plan,
                   module, charged_at_s, slot_at_s) VALUES (?, 'open', 1, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                id.to_string(),
                question.to_string(),
                terms.analysis.to_string(),
                text(terms)?,
                text(&admitted.plan)?,
                admitted.module,
                admitted.now_s,
                admitted.slot_at_s(),
            ])?;
        put_in_outbox(transaction, admitted, id)?;
        Ok(id)
    }

    /// Lets an earlier charge answer this request too.
    fn attach(
        &self,
        transaction: &Transaction<'_>,
        admitted: &Admitted,
        earlier: ChargeId,
    ) -> Result<(), LedgerError> {
        raise_high_water(transaction, admitted.now_s)?;
        let entry = Entry::Repeat {
            at_s: admitted.now_s,
            request: admitted.request,
            charge: earlier.digest(),
            analysis: admitted.terms.analysis,
            recipients: admitted.recipients.clone(),
        };
        self.journal.append(transaction, &entry)?;
        put_in_outbox(transaction, admitted, earlier)
    }

    /// Whether this question was charged already and is answered, or will be, without another charge.
    pub(crate) fn is_charged(&self, terms: &ChargeTerms) -> Result<bool, LedgerError> {
        let question = question(terms)?;
        self.read(|connection| Ok(earlier(connection, question)?.is_some()))
    }
}

/// What names a stored answer: agreement (whose calendar numbers the epochs), plan, parameters,
/// round, epoch and cost. Never anything read off records or consents.
pub(super) fn question(terms: &ChargeTerms) -> Result<Digest, LedgerError> {
    #[derive(serde::Serialize)]
    struct Question<'a> {
        agreement: Digest,
        plan: Digest,
        parameters: Digest,
        round: u32,
        epoch: u64,
        cost: &'a cloister_terms::Cost,
    }
    Ok(sha256(&canonical(&Question {
        agreement: terms.agreement,
        plan: terms.plan,
        parameters: terms.parameters,
        round: terms.round,
        epoch: terms.epoch,
        cost: &terms.cost,
    })?))
}

/// The steward may have acted since the admission looked.
fn recheck(transaction: &Transaction<'_>, admitted: &Admitted) -> Result<(), Stop> {
    let standing = steward::standing(transaction, admitted.terms.analysis)?;
    // Another agreement than the one this node was started with may be pinned by now; a steward's with
    // herself never is.
    let is_pinned = standing.pinned.is_none_or(|pinned| pinned == admitted.terms.agreement);
    if !is_pinned && !admitted.stays_home {
        return Err(Refusal::UnknownAgreement.into());
    }
    if standing.paused {
        return Err(Refusal::Paused.into());
    }
    if standing.frozen {
        return Err(Refusal::Frozen.into());
    }
    match standing.grant.map(|bytes| sha256(&bytes)) {
        Some(found) if found == admitted.grant => Ok(()),
        _ => Err(Refusal::NotGranted.into()),
    }
}

fn consume_nonce(transaction: &Transaction<'_>, admitted: &Admitted) -> Result<(), Stop> {
    let new = transaction
        .prepare_cached(
            "INSERT INTO nonces(researcher, nonce, request) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            admitted.researcher.as_str(),
            admitted.nonce.to_string(),
            admitted.request.to_string()
        ])?;
    if new == 1 { Ok(()) } else { Err(Refusal::Replay.into()) }
}

/// A charge of the same question that is released or still open; a withheld one answers nothing.
fn earlier(transaction: &Connection, question: Digest) -> Result<Option<ChargeId>, LedgerError> {
    let found: Option<String> = transaction
        .prepare_cached(
            "SELECT charge FROM releases WHERE question = ?1
             UNION ALL SELECT charge FROM charges WHERE question = ?1 AND state = 'open' LIMIT 1",
        )?
        .query_row([question.to_string()], |row| row.get(0))
        .optional()?;
    found.map(|text| Ok(ChargeId(digest(&text, "charge")?))).transpose()
}

/// Each round of a run counts by itself: as many second rounds may be asked for as first ones.
fn count_run(transaction: &Transaction<'_>, admitted: &Admitted) -> Result<(), Stop> {
    let counted = transaction
        .prepare_cached(
            "INSERT INTO runs(analysis, round, count) VALUES (?1, ?2, 1)
             ON CONFLICT(analysis, round) DO UPDATE SET count = count + 1 WHERE count < ?3",
        )?
        .execute(params![
            admitted.terms.analysis.to_string(),
            admitted.terms.round,
            admitted.max_runs
        ])?;
    if counted == 1 { Ok(()) } else { Err(Refusal::NoRunsLeft.into()) }
}

/// What stays at home is never waiting to be sent.
fn put_in_outbox(
    transaction: &Transaction<'_>,
    admitted: &Admitted,
    charge: ChargeId,
) -> Result<(), LedgerError> {
    transaction
        .prepare_cached("INSERT INTO outbox(request, charge, delivered) VALUES (?, ?, ?)")?
        .execute(params![admitted.request.to_string(), charge.to_string(), admitted.stays_home])?;
    Ok(())
}

/// A value as stored. Not canonical: it is digested anew when it is read back.
fn text(value: &impl serde::Serialize) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|_| LedgerError::Stored { what: "document" })
}
