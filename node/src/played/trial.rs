//! How a module fared on made-up persons, for its author, before anybody is asked to approve it. What is
//! counted here depends on each person's rows, so it must never be counted on anybody's records: only a
//! played node gives it, since the leave to count is made in this file alone, and no stage of a real run
//! takes or gives one.

use super::{PlayedError, PlayedNode};
use crate::aggregate::Exact;
use crate::bound::Caps;
use crate::contribute::module::ModuleRows;
use crate::fault::Fault;
use crate::measure::MeasureOptions;
use crate::scan::scan;
use cloister_dp::PrfKey;
use cloister_plan::{Contribute, ContributionPlan};
use cloister_sandbox::Counters;
use cloister_terms::Refusal;
use serde::Serialize;
use std::sync::Arc;

/// The first try has this part of the fuel that is declared; each further one has twice the fuel.
const FIRST_PART: u64 = 1 << 10;

/// Leave to keep what a module's workers counted. Its field is private, so whoever is shown one was called
/// from here, over the tables of a played node.
pub(crate) struct MadeUpPersons(());

/// What became of the made-up persons that a module was called for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ModuleTrial {
    /// Persons.
    pub persons: u64,
    /// Of them, those on whom it trapped, but for the two below.
    pub trapped: u64,
    /// On whom it used up all the fuel that is declared.
    pub out_of_fuel: u64,
    /// On whom it used up its stack.
    pub out_of_stack: u64,
    /// For whom it returned what the interface does not allow.
    pub bad_returns: u64,
    /// Where nobody ran out: fuel that is enough for each, though about half of it is not, unless it is the
    /// least that is tried. Otherwise all that is declared.
    pub fuel: u64,
}

impl ModuleTrial {
    /// With the persons of one more partner, who had so much fuel each.
    fn and(self, counters: Counters, fuel: u64) -> Self {
        Self {
            persons: self.persons.saturating_add(counters.persons),
            trapped: self.trapped.saturating_add(counters.traps),
            out_of_fuel: self.out_of_fuel.saturating_add(counters.out_of_fuel),
            out_of_stack: self.out_of_stack.saturating_add(counters.stack_overflows),
            bad_returns: self.bad_returns.saturating_add(counters.bad_returns),
            fuel: self.fuel.max(fuel),
        }
    }
}

impl PlayedNode<'_> {
    /// Tries the module of the played analysis on this node's made-up persons; `so_far`: what came of those of
    /// the nodes before. More fuel than is enough changes nothing, so the first try in which nobody runs out
    /// tells everything.
    ///
    /// # Errors
    /// [`PlayedError::Refused`] where the analysis does not plan, [`PlayedError::Failed`] where the try fails.
    pub async fn tried(
        &self,
        wasm: &[u8],
        so_far: ModuleTrial,
    ) -> Result<ModuleTrial, PlayedError> {
        let dictionary = &self.terms.agreement.document().dictionary;
        let planned = cloister_plan::replan(dictionary, self.played.analysis.document());
        let plan = planned.map_err(|_| PlayedError::Refused(Refusal::PlanMismatch))?.plan;
        let tried = self.tried_on(plan, wasm, so_far).await;
        tried.map_err(|fault| PlayedError::Failed(Box::new(fault.into())))
    }

    async fn tried_on(
        &self,
        mut plan: ContributionPlan,
        wasm: &[u8],
        so_far: ModuleTrial,
    ) -> Result<ModuleTrial, Fault> {
        let Contribute::Module(module) = &plan.contribute else { return Ok(so_far) };
        let declared = module.fuel_per_person;
        let mut fuel = so_far.fuel.max(declared / FIRST_PART).max(1);
        loop {
            if let Contribute::Module(module) = &mut plan.contribute {
                module.fuel_per_person = fuel;
            }
            let counters = self.counted(&plan, wasm).await?;
            if counters.out_of_fuel == 0 || fuel >= declared {
                return Ok(so_far.and(counters, fuel));
            }
            fuel = fuel.saturating_mul(2).min(declared);
        }
    }

    /// What the module's worker counts over all persons; what they add up to is dropped.
    async fn counted(&self, plan: &ContributionPlan, wasm: &[u8]) -> Result<Counters, Fault> {
        let (Contribute::Module(module), [table]) = (&plan.contribute, plan.tables.as_slice())
        else {
            return Err(Fault::PlanShape { what: "contributions" });
        };
        let options = MeasureOptions { partitions: 1, ..self.tables.options.clone() };
        // No secret: nobody is behind these rows.
        let key = PrfKey::from_bytes([0; 16]);
        let own = plan.shape.cells_of(&self.partner.name)?;
        let caps = Arc::new(Caps::new(plan, &key)?.answering(own));
        let (wasm, workers) = (wasm.to_vec(), options.workers.clone());
        let mut rows = ModuleRows::start(plan, module, wasm, caps, workers).await?;
        let mut exact = Exact::zero(&plan.shape)?;
        for mut blocks in scan(&self.tables.catalog, table, &options).await? {
            while let Some(block) = blocks.next().await? {
                rows.add_block(&block, &mut exact).await?;
            }
        }
        rows.finish_counted(&mut exact, &MadeUpPersons(())).await
    }
}
