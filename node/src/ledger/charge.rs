//! What was paid for, as a value: whoever holds a `Charge` holds proof that the ledger debited
//! every account and that the debit is on disk. It is made by the ledger alone, after the commit,
//! and cannot be copied, so that one charge pays for one release.

use cloister_dp::PrfKey;
use cloister_plan::ContributionPlan;
use cloister_terms::{Cost, Digest, Name};

/// Names a charge: the head of the ledger's journal just after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChargeId(pub(crate) Digest);

impl ChargeId {
    /// The journal head just after the charge, as the release names it.
    pub fn digest(self) -> Digest {
        self.0
    }
}

impl std::fmt::Display for ChargeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A durable charge with everything needed to run what it pays for. Private fields, not `Clone`.
pub struct Charge {
    pub(super) id: ChargeId,
    pub(super) plan: ContributionPlan,
    pub(super) module: Option<Vec<u8>>,
    pub(super) prf_key: PrfKey,
    pub(super) terms: ChargeTerms,
    /// The defence that this charge's run lacks.
    #[cfg(feature = "for-tests")]
    pub(super) mutant: Option<crate::mutant::Mutant>,
}

/// What a charge was made for; every field stands in the signed release.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChargeTerms {
    pub node: Name,
    pub unit_namespace: Name,
    pub agreement: Digest,
    pub analysis: Digest,
    pub plan: Digest,
    pub parameters: Digest,
    pub round: u32,
    pub epoch: u64,
    pub cost: Cost,
}

impl Charge {
    /// For the ledger alone, after its commit.
    pub(super) fn paid(
        id: ChargeId,
        plan: ContributionPlan,
        module: Option<Vec<u8>>,
        prf_key: PrfKey,
        terms: ChargeTerms,
    ) -> Self {
        Self {
            id,
            plan,
            module,
            prf_key,
            terms,
            #[cfg(feature = "for-tests")]
            mutant: None,
        }
    }

    /// The charge's name in journal and release.
    pub fn id(&self) -> ChargeId {
        self.id
    }

    /// The plan that was approved, planned again here and charged.
    pub fn plan(&self) -> &ContributionPlan {
        &self.plan
    }

    /// The partner whose node this is.
    pub fn node(&self) -> &Name {
        &self.terms.node
    }

    /// The vetted bytes of the module, for a plan that has one.
    pub fn module(&self) -> Option<&[u8]> {
        self.module.as_deref()
    }

    /// Secret of this attempt: decides which rows and groups of a person over a cap are kept.
    /// Fresh for each attempt, never stored.
    pub fn prf_key(&self) -> &PrfKey {
        &self.prf_key
    }

    /// A charge that no ledger made, with a secret of the caller's, for tests and benches of the
    /// stages behind the ledger. No ledger takes its release.
    #[cfg(feature = "for-tests")]
    pub fn for_tests(plan: ContributionPlan, module: Option<Vec<u8>>, prf_key: PrfKey) -> Self {
        let zero = Digest::new([0; 32]);
        #[allow(clippy::unwrap_used)] // a constant name, in test builds only
        let name = Name::new("for-tests").unwrap();
        let terms = ChargeTerms {
            node: name.clone(),
            unit_namespace: name,
            agreement: zero,
            analysis: zero,
            plan: zero,
            parameters: zero,
            round: 1,
            epoch: 0,
            cost: Cost::ZERO,
        };
        Self::paid(ChargeId(zero), plan, module, prf_key, terms)
    }

    /// The same charge at the node of `partner`, whose cells it then measures.
    #[cfg(feature = "for-tests")]
    pub fn at(mut self, partner: Name) -> Self {
        self.terms.node = partner;
        self
    }

    /// The same charge, whose run lacks a defence.
    #[cfg(feature = "for-tests")]
    pub fn lacking(self, mutant: crate::mutant::Mutant) -> Self {
        Self { mutant: Some(mutant), ..self }
    }

    /// The defence that this charge's run lacks.
    #[cfg(feature = "for-tests")]
    pub(crate) fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charge").field("id", &self.id).finish_non_exhaustive()
    }
}
