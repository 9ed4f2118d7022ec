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
    /// The fuel that each of them had in the end.
    pub fuel: u64,
    /// The same where it is enough for each, though about half of it is not, unless it is the least that is
    /// tried. None where somebody ran out, or it ended well for nobody: then nothing is known to be enough.
    pub fuel_enough: Option<u64>,
    /// The most rows that one of them had.
    pub rows: u64,
    /// The most rows that anybody may have.
    pub row_cap: u32,
}

impl ModuleTrial {
    /// With the persons of one more partner, who had so much fuel each.
    fn and(self, counted: Counted, fuel: u64) -> Self {
        let Counted { counters, rows, row_cap } = counted;
        let sum = Self {
            persons: self.persons.saturating_add(counters.persons),
            trapped: self.trapped.saturating_add(counters.traps),
            out_of_fuel: self.out_of_fuel.saturating_add(counters.out_of_fuel),
            out_of_stack: self.out_of_stack.saturating_add(counters.stack_overflows),
            bad_returns: self.bad_returns.saturating_add(counters.bad_returns),
            fuel: self.fuel.max(fuel),
            fuel_enough: None,
            rows: self.rows.max(rows),
            row_cap,
        };
        let is_enough = sum.out_of_fuel == 0 && sum.persons > sum.in_vain();
        Self { fuel_enough: is_enough.then_some(sum.fuel), ..sum }
    }

    /// Persons for whom it did not end well.
    fn in_vain(&self) -> u64 {
        let all = [self.trapped, self.out_of_fuel, self.out_of_stack, self.bad_returns];
        all.into_iter().fold(0, u64::saturating_add)
    }
}

/// What one try found.
struct Counted {
    counters: Counters,
    rows: u64,
    row_cap: u32,
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
            let counted = self.counted(&plan, wasm).await?;
            if counted.counters.out_of_fuel == 0 || fuel >= declared {
                return Ok(so_far.and(counted, fuel));
            }
            fuel = fuel.saturating_mul(2).min(declared);
        }
    }

    /// What the module's worker counts over all persons; what they add up to is dropped.
    async fn counted(&self, plan: &ContributionPlan, wasm: &[u8]) -> Result<Counted, Fault> {
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
        let mut most = 0;
        for mut blocks in scan(&self.tables.catalog, table, &options).await? {
            while let Some(block) = blocks.next().await? {
                for person in block.persons() {
                    most = most.max(person.len());
                }
                rows.add_block(&block, &mut exact).await?;
            }
        }
        let counters = rows.finish_counted(&mut exact, &MadeUpPersons(())).await?;
        let row_cap = plan.row_cap;
        let rows = u64::try_from(most).unwrap_or(u64::MAX).min(row_cap.into());
        Ok(Counted { counters, rows, row_cap })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuel_is_enough_where_nobody_ran_out_and_it_ended_well_for_somebody() {
        let of = |persons: u64, traps: u64, out_of_fuel: u64| {
            let counters = Counters { persons, traps, out_of_fuel, ..Counters::default() };
            Counted { counters, rows: persons, row_cap: 8 }
        };
        let none = ModuleTrial::default();
        assert_eq!(none.and(of(0, 0, 0), 5).fuel_enough, None);
        assert_eq!(none.and(of(3, 3, 0), 5).fuel_enough, None);
        assert_eq!(none.and(of(3, 0, 1), 5).fuel_enough, None);
        let some = none.and(of(3, 2, 0), 5);
        assert_eq!((some.fuel_enough, some.rows, some.row_cap), (Some(5), 3, 8));
        // The next partner's persons may all be in vain, but may not run out.
        let more = some.and(of(2, 2, 0), 9);
        assert_eq!((more.fuel_enough, more.rows, more.fuel), (Some(9), 3, 9));
        assert_eq!(more.and(of(1, 0, 1), 9).fuel_enough, None);
    }
}
