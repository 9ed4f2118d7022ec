//! One partner alone: a steward asks her own tables, through the same gate, ledger and pipeline as any
//! analysis. Every answer is charged to the same lifetime account and noised; none is ever sent, so
//! that no quorum and no release slot is needed. It must never be a cheaper way to the same figures.
//!
//! - `local`: what such questions stand under

mod local;

pub use local::{LocalConfig, LocalError, LocalTerms};

use crate::admit::{Asking, Terms, admit};
use crate::agreement::NotOurAgreement;
use crate::catalog::CatalogError;
use crate::ledger::{
    Charge, ChargeId, ChargeTerms, Charged, Delivery, Ledger, LedgerError, Room, Verdict,
};
use crate::run::{Tables, Work, WorkFault};
use cloister_dp::SystemEntropy;
use cloister_plan::Planned;
use cloister_plan::draft::{AnalysisDraft, DraftError, document_of};
use cloister_report::{CombineError, Combined, Report, ReportError};
use cloister_terms::{
    Act, Agreement, Analysis, Budget, Cost, DOCUMENT_VERSION, Digest, Grant, OutsideDates, Refusal,
    ReleaseRecord, RunRequest, check_dates,
};
use cloister_wire::{DsseError, Envelope, KeyError, Opened, SigningKey, sha256};
use std::sync::Arc;

/// The one round of a question without parameters.
const ROUND: u32 = 1;
/// Digest input of a round without parameters: the empty object in canonical JSON.
const NO_PARAMETERS: &[u8] = b"{}";

/// A node that answers its steward, and nobody else.
#[derive(Debug)]
pub struct Alone {
    ledger: Ledger,
    tables: Tables,
    terms: Terms,
    steward: SigningKey,
    node_key: SigningKey,
}

/// An answer with what it cost.
#[derive(Debug)]
pub struct Answered {
    /// The table.
    pub report: Report,
    /// The noised sums behind it.
    pub combined: Combined,
    /// The signed release behind it.
    pub release: Opened<ReleaseRecord>,
    /// Whether the question was charged before in its epoch: these are the same bytes, at no cost.
    pub is_repeat: bool,
    /// What this asking was charged: nothing for a repeat.
    pub charged: Cost,
    /// What is left of the lifetime account.
    pub left: Budget,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The ledger is unusable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Agreement of one and key do not fit.
    #[error(transparent)]
    Agreement(#[from] NotOurAgreement),
    /// A document could not be signed.
    #[error(transparent)]
    Signing(#[from] DsseError),
    /// No nonce.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The question's own dates; nothing was signed.
    #[error("nothing was signed or charged: {0}")]
    Dates(#[from] OutsideDates),
    /// The gate says no; nothing was charged.
    #[error("the node refuses, and nothing was charged: {}", own_words(*.0))]
    Refused(Refusal),
    /// A file of the tables is missing, or changed and malformed.
    #[error("nothing was charged: {0}")]
    Files(#[from] CatalogError),
    /// The run failed after its charge.
    #[error(
        "the run failed and is withheld; its cost stays spent, since a failure too may depend on the records: {0}"
    )]
    Failed(Box<WorkFault>),
    /// The question was withheld before.
    #[error(
        "an earlier run of this question failed and was withheld: look for its cause (`cloister-node check`), then ask with --again; it is charged anew"
    )]
    Withheld,
    /// The release does not carry the node's signature, or is of another question.
    #[error("the stored release is not this node's own: keep the state folder as evidence")]
    NotOurs,
    /// The sums do not make a table.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// The table cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// What a refusal means to a steward who asks herself.
fn own_words(refusal: Refusal) -> String {
    match refusal {
        Refusal::NoRunsLeft => {
            "all runs of this analysis are used: raise `max_runs` in its file".to_owned()
        }
        Refusal::Paused => {
            "the node is paused: resume it with `cloister-node pause --resume`".to_owned()
        }
        Refusal::WrongPurpose => {
            "the purpose is none of the agreement's or of `[local]` in node.toml: name one of those"
                .to_owned()
        }
        // Such a question is signed at the moment it is asked: only the ledger can have seen a later one.
        Refusal::ClockSkew => {
            "the ledger has seen a later time than this machine's clock shows: correct the clock; if it once stood ahead, ask again after that time"
                .to_owned()
        }
        Refusal::OverBudget => {
            "what is left of `lifetime_caps` does not cover the cost: ask for less".to_owned()
        }
        other => other.to_string(),
    }
}

impl Alone {
    /// Puts the parts together. `tables` must have been opened for the dictionary of `local`.
    ///
    /// # Errors
    /// [`AloneError::Ledger`] when the ledger counts another unit namespace, or cannot be written.
    pub fn new(
        ledger: Ledger,
        tables: Tables,
        local: &LocalTerms,
        lifetime_caps: Budget,
        steward: SigningKey,
        node_key: SigningKey,
        now_s: i64,
    ) -> Result<Self, AloneError> {
        let agreement = local.agreement(lifetime_caps, &steward, node_key.public_key())?;
        ledger.check_namespace(&local.unit_namespace)?;
        ledger.note_lifetime_caps(&local.unit_namespace, lifetime_caps, now_s)?;
        // The time an answer takes tells the steward nothing that her own tables do not.
        let workers = tables.options.workers.clone();
        let terms = Terms {
            agreement,
            lifetime_caps,
            release_slot_ms: 0,
            workers,
            remembered: Arc::default(),
        };
        Ok(Self { ledger, tables, terms, steward, node_key })
    }

    /// The agreement of one that questions stand under.
    pub fn agreement(&self) -> &Agreement {
        self.terms.agreement.document()
    }

    /// Plans a draft as a question of this partner's own.
    pub fn plan(&self, draft: &AnalysisDraft) -> Result<(Analysis, Planned), DraftError> {
        let partner = &self.terms.agreement.own().partner;
        let draft = draft.clone().of_one(partner)?;
        document_of(&draft, self.agreement(), self.terms.agreement.digest(), partner)
    }

    /// What is left of the lifetime account.
    pub fn left(&self) -> Result<Budget, LedgerError> {
        self.ledger.left(&self.terms.agreement.own().unit_namespace, self.terms.lifetime_caps)
    }

    /// Whether asking at `now_s` would cost nothing, since the epoch's answer is there already.
    pub fn is_charged(&self, analysis: &Analysis, now_s: i64) -> Result<bool, LedgerError> {
        let Some(epoch) = self.agreement().calendar.epoch_at(now_s) else { return Ok(false) };
        let own = self.terms.agreement.own();
        self.ledger.is_charged(&ChargeTerms {
            node: own.partner.clone(),
            unit_namespace: own.unit_namespace.clone(),
            agreement: self.terms.agreement.digest(),
            analysis: Digest::new([0; 32]),
            plan: analysis.plan,
            parameters: sha256(NO_PARAMETERS),
            round: ROUND,
            epoch,
            cost: analysis.cost_per_round,
        })
    }

    /// Asks: signs question, grant and request with the steward's key, passes the whole gate, charges,
    /// measures, noises and stores. `again` frees a question that was withheld. Call only once the steward
    /// has agreed to the cost.
    ///
    /// # Errors
    /// [`AloneError`]; a refused question is not charged, a failed run is.
    pub async fn ask(
        &self,
        analysis: &Analysis,
        module: Option<&[u8]>,
        again: bool,
        now_s: i64,
    ) -> Result<Answered, AloneError> {
        let act = Act::Run { round: ROUND, slot_ms: 0 };
        check_dates(self.agreement(), Some(analysis), act, now_s)?;
        let signed = Envelope::sign(analysis, &self.steward)?;
        let opened = signed.open::<Analysis>()?;
        self.grant(&opened, module, again, now_s)?;
        let request = Envelope::sign(&self.request(opened.digest(), now_s)?, &self.steward)?;
        let id = request.open::<RunRequest>()?.digest();
        let (question, request) = (signed.to_bytes(), request.to_bytes());
        let asking =
            Asking { analysis: &question, module, approvals: &[], request: &request, used: &[] };
        let admitted = admit(&asking, &self.terms, &self.ledger, now_s);
        if let Ok(admitted) = &admitted
            && !self.is_charged(analysis, now_s)?
        {
            // What a run could not read is found before it is paid for; a repeat reads nothing.
            let datasets = admitted.plan.tables.iter().map(|table| &table.dataset);
            self.tables.catalog.checked_files(datasets)?;
        }
        let charged = admitted.and_then(|admitted| {
            self.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new())
        });
        let (charge, is_repeat) = match charged {
            Ok(Charged::Fresh(charge)) => (Some(charge), false),
            Ok(Charged::Repeat(earlier)) => (self.left_open(id, earlier, now_s)?, true),
            Err(refusal) => {
                self.ledger.note_refusal(Some(id), refusal, now_s)?;
                return Err(AloneError::Refused(refusal));
            }
        };
        if let Some(charge) = charge {
            self.run(charge, now_s).await?;
        }
        let charged = if is_repeat { Cost::ZERO } else { analysis.cost_per_round };
        self.answered(analysis, id, is_repeat, charged)
    }

    /// A repeated question whose first run a crash cut short runs once more, under the same charge. A starting
    /// node leaves it alone.
    fn left_open(
        &self,
        request: Digest,
        earlier: ChargeId,
        now_s: i64,
    ) -> Result<Option<Charge>, AloneError> {
        if self.ledger.delivery(request)?.is_some() {
            return Ok(None);
        }
        Ok(self.ledger.recover_one(earlier, &mut SystemEntropy::new(), now_s)?)
    }

    /// The steward's leave, signed and journalled like any other; one that stands is kept.
    fn grant(
        &self,
        analysis: &Opened<Analysis>,
        module: Option<&[u8]>,
        again: bool,
        now_s: i64,
    ) -> Result<(), AloneError> {
        let standing = self.ledger.standing(analysis.digest())?;
        if standing.frozen && !again {
            return Err(AloneError::Withheld);
        }
        if standing.grant.is_some() && !standing.frozen {
            return Ok(());
        }
        let own = self.terms.agreement.own();
        let grant = Grant {
            version: DOCUMENT_VERSION,
            partner: own.partner.clone(),
            analysis: analysis.digest(),
            agreement: self.terms.agreement.digest(),
            verdict: cloister_terms::Verdict::Approve,
            reason: "The steward's own question; the answer stays here.".to_owned(),
            signed_at_s: now_s,
            not_after_s: self.agreement().not_after_s,
            nonce: cloister_wire::key::random_nonce()?,
        };
        let grant = Envelope::sign(&grant, &self.steward)?.open::<Grant>()?;
        self.ledger.keep_offer(analysis, module, &[], now_s)?;
        self.ledger.decide_at_home(&grant, now_s)?;
        Ok(())
    }

    fn request(&self, analysis: Digest, now_s: i64) -> Result<RunRequest, AloneError> {
        Ok(RunRequest {
            version: DOCUMENT_VERSION,
            researcher: self.terms.agreement.own().partner.clone(),
            analysis,
            approvals: Vec::new(),
            round: ROUND,
            parameters: sha256(NO_PARAMETERS),
            releases_used: Vec::new(),
            requested_at_s: now_s,
            nonce: cloister_wire::key::random_nonce()?,
        })
    }

    /// Measures, noises and stores what `charge` paid for; what fails is withheld.
    async fn run(&self, charge: Charge, now_s: i64) -> Result<(), AloneError> {
        let id = charge.id();
        match self.tables.noised(charge).await {
            Ok(noised) => {
                self.ledger.release(noised, &self.node_key, now_s)?;
                Ok(())
            }
            Err(fault) => {
                self.ledger.withhold(id, now_s)?;
                Err(AloneError::Failed(Box::new(fault)))
            }
        }
    }

    fn answered(
        &self,
        analysis: &Analysis,
        request: Digest,
        is_repeat: bool,
        charged: Cost,
    ) -> Result<Answered, AloneError> {
        let Some(Delivery { verdict: Verdict::Released(release), .. }) =
            self.ledger.delivery(request)?
        else {
            return Err(AloneError::Withheld);
        };
        let release = Envelope::parse(release.bytes())?.open::<ReleaseRecord>()?;
        let record = release.document();
        let is_ours = release.is_signed_by(&self.node_key.public_key());
        if !is_ours || record.plan != analysis.plan {
            return Err(AloneError::NotOurs);
        }
        let combined = Combined::of_releases(&analysis.shape, &analysis.nodes, [record])?;
        let report = cloister_report::report(&analysis.shape, &combined)?;
        Ok(Answered { report, combined, release, is_repeat, charged, left: self.left()? })
    }
}
