//! A federation played at one desk, for dry runs: partners, a researcher and a reviewer whose keys are made
//! here and go with it, and nodes with scratch ledgers that take every request through the whole gate, round
//! after round. It must never be given anybody's records: what they are charged here, no account remembers.
//!
//! - `trial`: how a module fared on made-up persons

mod trial;

pub(crate) use trial::MadeUpPersons;
pub use trial::ModuleTrial;

use crate::admit::{Asking, Terms, admit};
use crate::agreement::{NotOurAgreement, SignedAgreement};
use crate::ledger::{Charged, Ledger, LedgerError, Room};
use crate::run::{Tables, Work, WorkFault};
use cloister_dp::SystemEntropy;
use cloister_sandbox::CompileCache;
use cloister_terms::analysis::AnalysisError;
use cloister_terms::approval::Bound;
use cloister_terms::name::NotAName;
use cloister_terms::{
    Agreement, Analysis, Approval, Budget, Calendar, DOCUMENT_VERSION, Delta, Dictionary, Epsilon,
    Grant, Name, Party, Person, Quorum, Refusal, ReleaseRecord, Researcher, Rho, RunRequest,
    Verdict,
};
use cloister_wire::key::random_nonce;
use cloister_wire::{DsseError, Envelope, KeyError, Opened, ProofError, Round, SigningKey};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Length of an epoch, seconds; the agreement begins one before now and ends one after.
const EPOCH_S: u32 = 86_400;
/// What a scratch ledger holds in units of each measure: above every cost.
const SCRATCH_UNITS: u64 = 9_000_000_000_000_000_000;
/// What a played person writes where a reason is asked for.
const REASON: &str = "A dry run.";
/// Folder of compiled modules, beside the scratch ledger.
const MODULES: &str = "modules";

/// An analysis, approved under an agreement that nobody but this process has signed.
#[derive(Debug)]
pub struct Played {
    agreement: Envelope,
    analysis: Opened<Analysis>,
    approval: Opened<Approval>,
    researcher: SigningKey,
    partners: Vec<Partner>,
    now_s: i64,
}

#[derive(Debug)]
struct Partner {
    name: Name,
    steward: SigningKey,
    node: SigningKey,
}

/// The node of one played partner.
#[derive(Debug)]
pub struct PlayedNode<'p> {
    played: &'p Played,
    partner: &'p Partner,
    ledger: Ledger,
    tables: Tables,
    terms: Terms,
}

/// Why a question cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayedError {
    /// The scratch ledger is unusable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The agreement that is played under is unusable.
    #[error(transparent)]
    Agreement(#[from] NotOurAgreement),
    /// A document could not be signed.
    #[error(transparent)]
    Signing(#[from] DsseError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A played person has no name.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// The analysis is unusable.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// There is no such round.
    #[error(transparent)]
    Round(#[from] ProofError),
    /// A node was asked for that is not played.
    #[error("`{0}` is not played: ask one of the partners that are")]
    NotPlayed(Name),
    /// The gate says no.
    #[error("the node refuses: {0}")]
    Refused(Refusal),
    /// The run failed.
    #[error("the run failed: {0}")]
    Failed(Box<WorkFault>),
}

impl Played {
    /// `analysis` as these partners are asked it over `dictionary`. Its own dates are left aside: what runs
    /// later may be played now.
    ///
    /// # Errors
    /// [`PlayedError`] where a document cannot be made.
    pub fn new(
        analysis: &Analysis,
        partners: &[Name],
        dictionary: &Dictionary,
        now_s: i64,
    ) -> Result<Self, PlayedError> {
        // Holdings are listed for every party, asked or not.
        let held = dictionary.holdings.iter().map(|held| &held.partner);
        let names: BTreeSet<_> = partners.iter().chain(held).cloned().collect();
        let partners_made = names.into_iter().map(Partner::new).collect::<Result<Vec<_>, _>>()?;
        let (researcher, reviewer) = (SigningKey::generate()?, SigningKey::generate()?);
        let people = (
            person(analysis.researcher.clone(), &researcher),
            person(reviewer_beside(&analysis.researcher)?, &reviewer),
        );
        let document = agreement(analysis, dictionary, &partners_made, people, now_s);
        let mut agreement = Envelope::unsigned(&document)?;
        for partner in &partners_made {
            agreement.add_signature(&partner.steward)?;
        }
        let asked = Analysis {
            agreement: agreement.open::<Agreement>()?.digest(),
            nodes: partners.to_vec(),
            not_before_s: document.not_before_s,
            not_after_s: document.not_after_s,
            ..analysis.clone()
        };
        let analysis = Envelope::sign(&asked, &researcher)?.open::<Analysis>()?;
        let approval = Approval {
            version: DOCUMENT_VERSION,
            reviewer: reviewer_beside(&asked.researcher)?,
            verdict: Verdict::Approve,
            reason: REASON.to_owned(),
            bound: Bound::of(&asked, analysis.digest()).ok_or(AnalysisError::Total)?,
            nonce: random_nonce()?,
        };
        let approval = Envelope::sign(&approval, &reviewer)?.open::<Approval>()?;
        Ok(Self { agreement, analysis, approval, researcher, partners: partners_made, now_s })
    }

    /// The first round.
    ///
    /// # Errors
    /// [`PlayedError::Round`] on an analysis that has none.
    pub fn first(&self) -> Result<Round, PlayedError> {
        Ok(Round::first(self.analysis.document())?)
    }

    /// The round over the private keys that these releases of the first one show; `None` when they show none.
    ///
    /// # Errors
    /// As [`Round::second`].
    pub fn second(&self, found: &[Opened<ReleaseRecord>]) -> Result<Option<Round>, PlayedError> {
        let records = found.iter().map(Opened::document);
        match Round::second(self.analysis.document(), records) {
            Ok(round) => Ok(Some(round)),
            Err(ProofError::NoKeys) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The node of a partner over `tables`, its steward's leave given, with a new ledger in `folder`.
    ///
    /// # Errors
    /// [`PlayedError::NotPlayed`] for any other partner; a ledger that cannot be written.
    pub fn node(
        &self,
        name: &Name,
        folder: &Path,
        mut tables: Tables,
    ) -> Result<PlayedNode<'_>, PlayedError> {
        let partner = self.partners.iter().find(|partner| partner.name == *name);
        let partner = partner.ok_or_else(|| PlayedError::NotPlayed(name.clone()))?;
        let (steward_key, node_key) = (partner.steward.public_key(), partner.node.public_key());
        let agreement =
            SignedAgreement::open(&self.agreement.to_bytes(), name, &steward_key, &node_key)?;
        let ledger = Ledger::open(&folder.join("ledger.sqlite"))?;
        let grant = Grant {
            version: DOCUMENT_VERSION,
            partner: name.clone(),
            analysis: self.analysis.digest(),
            agreement: agreement.digest(),
            verdict: Verdict::Approve,
            reason: REASON.to_owned(),
            signed_at_s: self.now_s,
            not_after_s: agreement.document().not_after_s,
            nonce: random_nonce()?,
        };
        let grant = Envelope::sign(&grant, &partner.steward)?.open::<Grant>()?;
        ledger.decide(&grant, self.now_s)?;
        // As a node's own workers: what the gate compiled is loaded from then on.
        if let Ok(cache) = CompileCache::open(&folder.join(MODULES)) {
            tables.options.workers = tables.options.workers.with_cache(cache);
        }
        // No slot: what is timed here is made up.
        let terms = Terms {
            agreement,
            lifetime_caps: scratch_caps(),
            release_slot_ms: 0,
            workers: tables.options.workers.clone(),
            remembered: Arc::default(),
        };
        Ok(PlayedNode { played: self, partner, ledger, tables, terms })
    }

    /// The researcher's request for a round on these releases.
    fn request(
        &self,
        round: &Round,
        used: &[Opened<ReleaseRecord>],
    ) -> Result<Envelope, PlayedError> {
        let mut releases_used: Vec<_> = used.iter().map(Opened::digest).collect();
        releases_used.sort();
        let request = RunRequest {
            version: DOCUMENT_VERSION,
            researcher: self.analysis.document().researcher.clone(),
            analysis: self.analysis.digest(),
            approvals: vec![self.approval.digest()],
            round: round.number,
            parameters: round.parameters,
            releases_used,
            requested_at_s: self.now_s,
            nonce: random_nonce()?,
        };
        Ok(Envelope::sign(&request, &self.researcher)?)
    }
}

impl PlayedNode<'_> {
    /// What the node releases for a round that builds on the releases `used`.
    ///
    /// # Errors
    /// [`PlayedError::Refused`] by the gate, [`PlayedError::Failed`] behind it.
    pub async fn release(
        &self,
        module: Option<&[u8]>,
        round: &Round,
        used: &[Opened<ReleaseRecord>],
    ) -> Result<Opened<ReleaseRecord>, PlayedError> {
        let (played, now_s) = (self.played, self.played.now_s);
        let analysis = played.analysis.envelope().to_bytes();
        let approvals = [played.approval.envelope().to_bytes()];
        let request = played.request(round, used)?.to_bytes();
        let used: Vec<_> = used.iter().map(|release| release.envelope().to_bytes()).collect();
        let asking = Asking {
            analysis: &analysis,
            module,
            approvals: &approvals,
            request: &request,
            used: &used,
        };
        let charged = admit(&asking, &self.terms, &self.ledger, now_s).and_then(|admitted| {
            self.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new())
        });
        let charge = match charged {
            Ok(Charged::Fresh(charge)) => charge,
            // Each round is asked once.
            Ok(Charged::Repeat(_)) => return Err(PlayedError::Refused(Refusal::Replay)),
            Err(refusal) => return Err(PlayedError::Refused(refusal)),
        };
        let noised = self.tables.noised(charge).await;
        let noised = noised.map_err(|fault| PlayedError::Failed(Box::new(fault)))?;
        let release = self.ledger.release(noised, &self.partner.node, now_s)?;
        Ok(Envelope::parse(release.bytes())?.open::<ReleaseRecord>()?)
    }
}

impl Partner {
    fn new(name: Name) -> Result<Self, KeyError> {
        Ok(Self { name, steward: SigningKey::generate()?, node: SigningKey::generate()? })
    }
}

fn person(name: Name, key: &SigningKey) -> Person {
    let organisation = name.to_string();
    Person { name, organisation, key: key.public_key(), trained_until_s: None }
}

/// A name other than the researcher's: nobody's vote on her own question counts.
fn reviewer_beside(researcher: &Name) -> Result<Name, NotAName> {
    Name::new(if researcher.as_str() == "reviewer" { "colleague" } else { "reviewer" })
}

fn scratch_caps() -> Budget {
    Budget {
        epsilon: Epsilon::from_units(SCRATCH_UNITS).unwrap_or_default(),
        rho: Rho::from_units(SCRATCH_UNITS).unwrap_or_default(),
        delta: Delta::from_units(SCRATCH_UNITS).unwrap_or_default(),
    }
}

fn agreement(
    analysis: &Analysis,
    dictionary: &Dictionary,
    partners: &[Partner],
    (researcher, reviewer): (Person, Person),
    now_s: i64,
) -> Agreement {
    let caps = scratch_caps();
    let party = |partner: &Partner| Party {
        partner: partner.name.clone(),
        organisation: partner.name.to_string(),
        steward_key: partner.steward.public_key(),
        node_key: partner.node.public_key(),
        unit_namespace: partner.name.clone(),
        caps,
    };
    let not_before_s = now_s.saturating_sub(EPOCH_S.into());
    let Person { name, organisation, key, .. } = researcher;
    Agreement {
        version: DOCUMENT_VERSION,
        name: analysis.name.clone(),
        charter: "A dry run over made-up records: nobody has agreed to anything.".to_owned(),
        purposes: vec![analysis.purpose.clone()],
        not_before_s,
        not_after_s: now_s.saturating_add(EPOCH_S.into()),
        calendar: Calendar { start_s: not_before_s, length_s: EPOCH_S },
        parties: partners.iter().map(party).collect(),
        researchers: vec![Researcher { name, organisation, key, caps }],
        reviewers: vec![reviewer],
        quorum: Quorum { approvals: 1, organisations: 1 },
        coordinator: analysis.name.clone(),
        run_time_max_ms: 1,
        dictionary: dictionary.clone(),
    }
}
