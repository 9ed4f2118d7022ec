//! The whole admission of a run, in the order of DESIGN section 8: documents, clock and ledger
//! decide, and no record is read. Everything not expressly allowed is refused; a refusal depends on
//! no data, and nothing is charged here.

use crate::agreement::SignedAgreement;
use crate::contribute::module::fuel_ms_max;
use crate::ledger::{Caps, ChargeTerms, Ledger, Standing};
use crate::module_fit::module_fits;
use crate::relate;
use crate::remembered::Remembered;
use crate::slot::{PASSES_MAX, fits};
use crate::work;
use cloister_plan::{Contribute, ContributionPlan, Planned};
use cloister_sandbox::{Limits, Workers};
use cloister_terms::dates::{rounds_s, run_end_s};
use cloister_terms::limits::{CLOCK_SKEW_MAX_S, MODULE_BYTES_MAX, PARTIES_MAX};
use cloister_terms::{
    Act, Analysis, Body, Budget, DOCUMENT_VERSION, Digest, Grant, Name, Nonce, PublicKey, Refusal,
    RunRequest, Verdict, check_dates,
};
use cloister_wire::quorum::{APPROVALS_MAX, Votes, refusal_of, verify_votes};
use cloister_wire::{Envelope, Opened, ProofError, Round, sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The documents of one asking, as they came: nothing is believed of them.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The signed analysis (envelope).
    pub analysis: &'a [u8],
    /// The module's bytes.
    pub module: Option<&'a [u8]>,
    /// Approvals (envelopes).
    pub approvals: &'a [Vec<u8>],
    /// The researcher's signed request (envelope).
    pub request: &'a [u8],
    /// The releases of an earlier round that the request names (envelopes).
    pub used: &'a [Vec<u8>],
}

/// What this node holds every asking against.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The agreement this partner signed and pinned.
    pub agreement: SignedAgreement,
    /// The data owner's lifetime caps.
    pub lifetime_caps: Budget,
    /// From charge to answer, in milliseconds, as the steward declared it.
    pub release_slot_ms: u64,
    /// Where a module is compiled and tried before its run is charged.
    pub workers: Workers,
    /// What was found of documents before.
    pub remembered: Arc<Remembered>,
}

/// A request that may be charged. Private fields; only [`admit`] makes one.
#[derive(Debug)]
pub struct Admitted {
    pub(crate) terms: ChargeTerms,
    pub(crate) plan: ContributionPlan,
    pub(crate) module: Option<Vec<u8>>,
    pub(crate) caps: Caps,
    pub(crate) researcher: Name,
    pub(crate) recipients: Vec<Name>,
    pub(crate) max_runs: u32,
    pub(crate) request: Digest,
    pub(crate) nonce: Nonce,
    /// SHA-256 of the grant's envelope.
    pub(crate) grant: Digest,
    pub(crate) now_s: i64,
    /// The answer is the steward's own and is never sent.
    pub(crate) stays_home: bool,
    release_slot_ms: u64,
}

impl Admitted {
    /// Digest of the request document.
    pub fn request(&self) -> Digest {
        self.request
    }

    /// First second at which the answer may leave, whatever happens in between: never before the
    /// slot's own end, which is counted in finer steps.
    pub(crate) fn slot_at_s(&self) -> i64 {
        if self.release_slot_ms == 0 {
            return self.now_s;
        }
        run_end_s(self.now_s, self.release_slot_ms).saturating_add(1)
    }
}

/// Admits one asking at second `now_s`, or refuses it. Reads the ledger, changes nothing.
///
/// # Errors
/// The first [`Refusal`] in the order of the checks below.
pub fn admit(
    asking: &Asking<'_>,
    terms: &Terms,
    ledger: &Ledger,
    now_s: i64,
) -> Result<Admitted, Refusal> {
    let request = open::<RunRequest>(asking.request)?;
    let analysis = open_analysis(asking.analysis, terms)?;
    let standing = standing(ledger, analysis.digest())?;
    check_clock(request.document(), &standing, now_s)?;
    check_agreement(&analysis, terms)?;
    check_signatures(&analysis, &request, terms)?;
    remember(asking.analysis, &analysis, terms);
    check_quorum(&analysis, request.document(), asking.approvals, terms)?;
    let act = Act::Run { round: request.document().round, slot_ms: terms.release_slot_ms };
    check_time(analysis.document(), terms, act, now_s)?;
    check_scope(analysis.document(), terms)?;
    if standing.paused {
        return Err(Refusal::Paused);
    }
    if standing.frozen {
        return Err(Refusal::Frozen);
    }
    let run_s = rounds_s(terms.agreement.document(), Some(analysis.document()), act);
    let grant = check_grant(&standing, analysis.digest(), terms, run_s, now_s)?;
    let module = check_module(&analysis.document().body, asking.module)?;
    let planned = check_plan(&analysis, terms)?;
    check_slot(&planned.plan, terms)?;
    for plan in planned.keys_plan.iter().chain([&planned.plan]) {
        check_fit(plan, module.as_deref(), &terms.workers)?;
    }
    let round = check_round(&analysis, request.document(), asking.used, terms)?;
    let plan = planned.of_round(round.number, &round.shape);
    admitted(&analysis, &request, (round, plan), module, grant, terms, now_s)
}

/// Holds a charge that a crash left open against all that may have changed since its admission (P3, B7, B8). It
/// is paid for, so that agreement and grant need last no longer than its slot.
///
/// # Errors
/// The first [`Refusal`] found.
pub(crate) fn readmit(
    charge: &ChargeTerms,
    standing: &Standing,
    terms: &Terms,
    now_s: i64,
) -> Result<(), Refusal> {
    let agreement = terms.agreement.digest();
    if charge.agreement != agreement || standing.pinned.is_some_and(|pinned| pinned != agreement) {
        return Err(Refusal::UnknownAgreement);
    }
    check_high_water(standing, now_s)?;
    if standing.paused {
        return Err(Refusal::Paused);
    }
    if standing.frozen {
        return Err(Refusal::Frozen);
    }
    let (document, slot_s) = (terms.agreement.document(), run_end_s(0, terms.release_slot_ms));
    if now_s.saturating_add(slot_s) >= document.not_after_s {
        return Err(Refusal::OutsideDates);
    }
    // It was inside its dates when it was charged: only the clock can be wrong.
    if now_s < document.not_before_s {
        return Err(Refusal::ClockSkew);
    }
    check_grant(standing, charge.analysis, terms, slot_s, now_s)?;
    Ok(())
}

/// Whether an offered analysis is one that this partner's steward may be asked about: the same
/// checks as at a run, as far as they can be made before anybody approved.
///
/// # Errors
/// The first [`Refusal`] found.
pub fn admit_offer(
    bytes: &[u8],
    module: Option<&[u8]>,
    approvals: &[Vec<u8>],
    terms: &Terms,
) -> Result<Arc<Opened<Analysis>>, Refusal> {
    let analysis = open_analysis(bytes, terms)?;
    check_agreement(&analysis, terms)?;
    let document = analysis.document();
    let researcher = terms.agreement.document().researcher(&document.researcher);
    let researcher = researcher.ok_or(Refusal::BadSignature)?;
    if !is_signed_by(&analysis, &researcher.key, terms) {
        return Err(Refusal::BadSignature);
    }
    remember(bytes, &analysis, terms);
    check_scope(document, terms)?;
    check_module_bytes(&document.body, module)?;
    // The steward decides by what the document says it reads and costs: it must be so.
    let planned = check_plan(&analysis, terms)?;
    check_slot(&planned.plan, terms)?;
    // Votes are shown to the steward, so a set with a forged one is refused whole.
    verified(&analysis, &envelopes(approvals)?, terms)?;
    Ok(analysis)
}

/// Opened before, or now.
fn open_analysis(bytes: &[u8], terms: &Terms) -> Result<Arc<Opened<Analysis>>, Refusal> {
    match terms.remembered.analyses.get(sha256(bytes)) {
        Some(known) => Ok(known),
        None => open(bytes).map(Arc::new),
    }
}

/// For an analysis whose signature was found good: what anybody may send must not take room.
fn remember(bytes: &[u8], analysis: &Arc<Opened<Analysis>>, terms: &Terms) {
    terms.remembered.analyses.put(sha256(bytes), analysis.size(), Arc::clone(analysis));
}

fn open<T: cloister_wire::Document>(bytes: &[u8]) -> Result<Opened<T>, Refusal> {
    Envelope::parse(bytes).and_then(|envelope| envelope.open::<T>()).map_err(refusal_of)
}

fn standing(ledger: &Ledger, analysis: Digest) -> Result<Standing, Refusal> {
    ledger.standing(analysis).map_err(|fault| {
        tracing::error!(%fault, "nothing was admitted");
        fault.refusal()
    })
}

/// Clock: near the signed request time, and not far behind what the ledger has seen (B12).
fn check_clock(request: &RunRequest, standing: &Standing, now_s: i64) -> Result<(), Refusal> {
    let apart = now_s.checked_sub(request.requested_at_s).and_then(i64::checked_abs);
    let near = apart.is_some_and(|apart_s| apart_s <= CLOCK_SKEW_MAX_S);
    if near { check_high_water(standing, now_s) } else { Err(Refusal::ClockSkew) }
}

/// Clock: not far behind what the ledger has seen. The refusal cannot say that this is the reason.
fn check_high_water(standing: &Standing, now_s: i64) -> Result<(), Refusal> {
    let seen_s = standing.high_water_s;
    if now_s >= seen_s.saturating_sub(CLOCK_SKEW_MAX_S) {
        return Ok(());
    }
    tracing::warn!(
        clock_s = now_s,
        seen_s,
        "the ledger has seen a later time than this clock shows: correct the clock; if it once stood ahead, nothing is admitted before that time"
    );
    Err(Refusal::ClockSkew)
}

/// Agreement: the analysis stands under the pinned one, and is well formed.
fn check_agreement(analysis: &Opened<Analysis>, terms: &Terms) -> Result<(), Refusal> {
    if analysis.document().agreement != terms.agreement.digest() {
        return Err(Refusal::UnknownAgreement);
    }
    analysis.document().check().map_err(|_| Refusal::Malformed)
}

/// Signatures: analysis and request by the same registered researcher, request for this analysis.
fn check_signatures(
    analysis: &Opened<Analysis>,
    request: &Opened<RunRequest>,
    terms: &Terms,
) -> Result<(), Refusal> {
    let asked = request.document();
    if asked.version != DOCUMENT_VERSION || !asked.approvals.is_sorted_by(|a, b| a < b) {
        return Err(Refusal::Malformed);
    }
    let name = &analysis.document().researcher;
    let researcher = terms.agreement.document().researcher(name).ok_or(Refusal::BadSignature)?;
    let signed =
        is_signed_by(analysis, &researcher.key, terms) && request.is_signed_by(&researcher.key);
    if !signed || asked.researcher != *name {
        return Err(Refusal::BadSignature);
    }
    if asked.analysis != analysis.digest() {
        return Err(Refusal::DigestMismatch);
    }
    Ok(())
}

/// Quorum: the approvals that the request names are here, are all that count, and suffice. They count at the
/// time of the request, which this node's clock has been held against, so that whoever checks the answer's
/// proof counts as this node did (B6).
fn check_quorum(
    analysis: &Opened<Analysis>,
    request: &RunRequest,
    approvals: &[Vec<u8>],
    terms: &Terms,
) -> Result<(), Refusal> {
    let votes = verified(analysis, &envelopes(approvals)?, terms)?;
    let state = votes.counted_at(request.requested_at_s);
    let named: BTreeSet<Digest> = request.approvals.iter().copied().collect();
    if !state.is_met() || *state.counted() != named {
        return Err(Refusal::BelowQuorum);
    }
    Ok(())
}

/// The valid votes, as found before or now.
fn verified(
    analysis: &Opened<Analysis>,
    approvals: &[Envelope],
    terms: &Terms,
) -> Result<Arc<Votes>, Refusal> {
    let of = (terms.agreement.digest(), analysis.digest());
    terms
        .remembered
        .votes(of, approvals, || verify_votes(terms.agreement.document(), analysis, approvals))
}

/// Whether a document is signed by `key`, as found before or now.
fn is_signed_by<T>(document: &Opened<T>, key: &PublicKey, terms: &Terms) -> bool {
    terms.remembered.is_signed(document.envelope(), key, || document.is_signed_by(key))
}

fn envelopes(approvals: &[Vec<u8>]) -> Result<Vec<Envelope>, Refusal> {
    if approvals.len() > APPROVALS_MAX {
        return Err(Refusal::Malformed);
    }
    approvals.iter().map(|bytes| Envelope::parse(bytes).map_err(refusal_of)).collect()
}

/// Dates: agreement and analysis hold now and for as long as the run may take, with each round that is still
/// to come: a first round is not charged whose second one would be refused (B7).
fn check_time(analysis: &Analysis, terms: &Terms, act: Act, now_s: i64) -> Result<(), Refusal> {
    check_dates(terms.agreement.document(), Some(analysis), act, now_s).map_err(|error| {
        tracing::warn!(%error, "outside its dates");
        Refusal::OutsideDates
    })
}

/// Purpose and parties: an allowed purpose, this partner asked, and nobody asked from outside.
fn check_scope(analysis: &Analysis, terms: &Terms) -> Result<(), Refusal> {
    let agreement = terms.agreement.document();
    if !agreement.purposes.contains(&analysis.purpose) {
        return Err(Refusal::WrongPurpose);
    }
    let asked = analysis.nodes.contains(&terms.agreement.own().partner);
    let all_parties = analysis.nodes.iter().all(|node| agreement.party(node).is_some());
    if asked && all_parties { Ok(()) } else { Err(Refusal::NotAParty) }
}

/// Grant: this steward's own signed leave for this analysis under this agreement, which lasts `run_s` more.
fn check_grant(
    standing: &Standing,
    analysis: Digest,
    terms: &Terms,
    run_s: i64,
    now_s: i64,
) -> Result<Digest, Refusal> {
    let bytes = standing.grant.as_ref().ok_or(Refusal::NotGranted)?;
    // The ledger took it from this steward alone.
    let found = || open::<Grant>(bytes);
    let grant = terms.remembered.grants.or_find(sha256(bytes), Opened::size, found)?;
    let own = terms.agreement.own();
    if !is_signed_by(&grant, &own.steward_key, terms) {
        return Err(Refusal::BadSignature);
    }
    let document = grant.document();
    let ours = document.is_current_version()
        && document.partner == own.partner
        && document.analysis == analysis
        && document.agreement == terms.agreement.digest();
    if !ours {
        return Err(Refusal::NotGranted);
    }
    if document.verdict != Verdict::Approve {
        return Err(Refusal::Declined);
    }
    let signed_ahead = document.signed_at_s > now_s.saturating_add(CLOCK_SKEW_MAX_S);
    if signed_ahead || now_s.saturating_add(run_s) >= document.not_after_s {
        return Err(Refusal::OutsideDates);
    }
    Ok(sha256(bytes))
}

/// Module: the approved bytes, vetted here.
fn check_module(body: &Body, bytes: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(bytes) = check_module_bytes(body, bytes)? else {
        return Ok(None);
    };
    let vetted = cloister_sandbox::vet(bytes, &Limits::V1).map_err(|error| {
        tracing::warn!(%error, "module rejected");
        Refusal::ModuleRejected
    })?;
    Ok(Some(vetted.bytes().to_vec()))
}

/// Slot: one person's worst case fits it, by public numbers alone. How many persons there are is none of
/// them: the steward sizes the slot for all.
fn check_slot(plan: &ContributionPlan, terms: &Terms) -> Result<(), Refusal> {
    let person_ms = match &plan.contribute {
        Contribute::Module(module) => fuel_ms_max(module.fuel_per_person),
        Contribute::Sql(_) => work::person_ms_max(plan),
    };
    let slot_ms = terms.release_slot_ms;
    if fits(person_ms, slot_ms) {
        return Ok(());
    }
    tracing::warn!(
        person_ms,
        passes = PASSES_MAX,
        release_slot_ms = slot_ms,
        "one person's rows may outlast the release slot: raise `release_slot_ms`, or have a module's fuel, or a question's joins and functions of texts, left out"
    );
    Err(Refusal::SlotTooShort)
}

/// Module: compiles here, and its buffers fit the plan's rows and outputs, so that no run is charged
/// that could not start.
fn check_fit(
    plan: &ContributionPlan,
    module: Option<&[u8]>,
    workers: &Workers,
) -> Result<(), Refusal> {
    if let Err(fault) = relate::check(plan) {
        tracing::warn!(%fault, "the approved plan cannot be executed");
        return Err(Refusal::PlanMismatch);
    }
    let Some(wasm) = module else { return Ok(()) };
    module_fits(plan, wasm, workers).map_err(|error| {
        tracing::warn!(%error, "module rejected");
        // This machine's own trouble passes; the module's does not.
        if error.is_of_this_machine() { Refusal::Busy } else { Refusal::ModuleRejected }
    })
}

/// The bytes an analysis names, or none for one that has no module.
fn check_module_bytes<'a>(
    body: &Body,
    bytes: Option<&'a [u8]>,
) -> Result<Option<&'a [u8]>, Refusal> {
    match (body, bytes) {
        (Body::Sql { .. }, None) => Ok(None),
        (Body::Module(module), Some(bytes)) => {
            if sha256(bytes) != module.sha256 {
                return Err(Refusal::ModuleMismatch);
            }
            if bytes.len() > MODULE_BYTES_MAX {
                tracing::warn!(bytes = bytes.len(), max = MODULE_BYTES_MAX, "module rejected");
                return Err(Refusal::ModuleRejected);
            }
            Ok(Some(bytes))
        }
        (Body::Sql { .. }, Some(_)) | (Body::Module(_), None) => Err(Refusal::ModuleMismatch),
    }
}

/// Plan: planned again from the approved text; plan, shape, columns and cost are the approved ones
/// (B24).
fn check_plan(analysis: &Opened<Analysis>, terms: &Terms) -> Result<Arc<Planned>, Refusal> {
    let opened = analysis;
    let analysis = opened.document();
    let dictionary = &terms.agreement.document().dictionary;
    let planned = terms.remembered.planned(terms.agreement.digest(), opened, || {
        cloister_plan::replan(dictionary, analysis).map_err(|error| {
            tracing::warn!(%error, "the approved text cannot be planned");
            Refusal::PlanMismatch
        })
    })?;
    if planned.cost != analysis.cost_per_round {
        return Err(Refusal::CostMismatch);
    }
    // A node that the agreement gives no cell of this question has nothing to answer.
    let own = planned.plan.shape.cells_of(&terms.agreement.own().partner);
    if own.is_ok_and(|cells| cells.is_some_and(|cells| cells.is_empty())) {
        return Err(Refusal::PlanMismatch);
    }
    let same = planned.digest() == analysis.plan
        && planned.plan.shape == analysis.shape
        && planned.keys_round() == analysis.keys_round.as_ref()
        && planned.columns == analysis.columns;
    if same { Ok(planned) } else { Err(Refusal::PlanMismatch) }
}

/// Round: one of the analysis', on releases that verify, with their keys as its parameters.
fn check_round(
    analysis: &Opened<Analysis>,
    request: &RunRequest,
    used: &[Vec<u8>],
    terms: &Terms,
) -> Result<Round, Refusal> {
    // One a partner at most; what is more is not even looked at.
    if used.len() > PARTIES_MAX {
        return Err(Refusal::WrongRound);
    }
    let used = used.iter().map(|bytes| Envelope::parse(bytes).map_err(refusal_of));
    let used = used.collect::<Result<Vec<_>, _>>()?;
    Round::of(terms.agreement.opened(), analysis, request, &used).map_err(|error| {
        tracing::warn!(%error, "the round is not an approved one");
        match error {
            ProofError::BadSignature(_) => Refusal::BadSignature,
            _ => Refusal::WrongRound,
        }
    })
}

fn admitted(
    analysis: &Opened<Analysis>,
    request: &Opened<RunRequest>,
    (round, plan): (Round, ContributionPlan),
    module: Option<Vec<u8>>,
    grant: Digest,
    terms: &Terms,
    now_s: i64,
) -> Result<Admitted, Refusal> {
    let (agreement, own) = (terms.agreement.document(), terms.agreement.own());
    let document = analysis.document();
    let researcher = agreement.researcher(&document.researcher).ok_or(Refusal::BadSignature)?;
    let caps = Caps {
        lifetime: terms.lifetime_caps,
        agreement: own.caps,
        study: document.cost_total().ok_or(Refusal::Malformed)?,
        researcher: researcher.caps,
    };
    let epoch = agreement.calendar.epoch_at(now_s).ok_or(Refusal::OutsideDates)?;
    let charge = ChargeTerms {
        node: own.partner.clone(),
        unit_namespace: own.unit_namespace.clone(),
        agreement: terms.agreement.digest(),
        analysis: analysis.digest(),
        plan: round.plan,
        parameters: round.parameters,
        round: round.number,
        epoch,
        cost: round.cost,
    };
    Ok(Admitted {
        terms: charge,
        plan,
        module,
        caps,
        researcher: researcher.name.clone(),
        recipients: document.recipients.clone(),
        max_runs: document.max_runs,
        request: request.digest(),
        nonce: request.document().nonce,
        grant,
        now_s,
        stays_home: terms.agreement.is_of_one(),
        release_slot_ms: terms.release_slot_ms,
    })
}
