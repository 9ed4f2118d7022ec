//! Measures what was charged: scan, contribute, bound and aggregate, partition beside partition. What
//! comes out is exact and must go to the noise stage alone.

use crate::aggregate::Exact;
use crate::bound::{Bounder, Caps};
use crate::catalog::Catalog;
use crate::contribute::module::ModuleRows;
use crate::contribute::sql::SqlRows;
use crate::evaluate::Columns;
use crate::fault::Fault;
use crate::ledger::Charge;
use crate::scan::persons::PersonBlocks;
use crate::scan::{EngineOptions, scan};
use cloister_plan::{Contribute, ContributionPlan};
use cloister_sandbox::Workers;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Bytes that all partitions' sums may take together; more partitions than fit are not made.
const SUMS_BYTES_MAX: usize = 1 << 30;
/// Bytes of one sum.
const SUM_BYTES: usize = 16;

/// How a measurement runs. None of it may change a bit of the result.
pub type MeasureOptions = EngineOptions;

/// The exact lanes of the charged plan over this partner's rows.
///
/// Guarantee: adding or removing one person with all their rows changes at most `group_cap` cells,
/// and each lane of them by at most its declared sensitivity; no other person's contribution changes.
/// Errors are faults: they stay inside the node and end in one withheld answer.
pub async fn measure(
    charge: &Charge,
    catalog: &Catalog,
    options: &MeasureOptions,
) -> Result<Exact, Fault> {
    let plan = Arc::new(charge.plan().clone());
    let caps = Arc::new(Caps::new(&plan, charge.prf_key())?);
    let whole = Exact::zero(&plan.shape)?;
    let fitting = SUMS_BYTES_MAX / SUM_BYTES / plan.shape.vector_len()?.max(1);
    let options = EngineOptions {
        partitions: options.partitions.clamp(1, fitting.max(1)),
        ..options.clone()
    };
    let streams = scan(catalog, &plan.rows, &options).await?;
    let mut tasks = JoinSet::new();
    for blocks in streams {
        let part = Part { plan: Arc::clone(&plan), caps: Arc::clone(&caps), blocks };
        match &plan.contribute {
            Contribute::Sql(_) => tasks.spawn(part.sql()),
            Contribute::Module(_) => {
                let wasm = charge.module().ok_or(Fault::NoModule)?.to_vec();
                tasks.spawn(part.module(wasm, options.workers.clone()))
            }
        };
    }
    let mut whole = whole;
    while let Some(part) = tasks.join_next().await {
        whole = whole.merge(part.map_err(|_| Fault::Worker)??)?;
    }
    Ok(whole)
}

/// One partition.
struct Part {
    plan: Arc<ContributionPlan>,
    caps: Arc<Caps>,
    blocks: PersonBlocks,
}

impl Part {
    async fn sql(mut self) -> Result<Exact, Fault> {
        let Contribute::Sql(sql) = &self.plan.contribute else {
            return Err(Fault::PlanShape { what: "contributions" });
        };
        let sql = SqlRows::new(sql, &self.plan.shape)?;
        let mut exact = Exact::zero(&self.plan.shape)?;
        let mut bounder = Bounder::new(self.caps);
        while let Some(block) = self.blocks.next().await? {
            let columns =
                Columns { names: block.names(), arrays: block.arrays(), rows: block.rows() };
            let values = sql.values(columns)?;
            for person in block.persons() {
                bounder.add_rows(block.row_bytes(), person, &values, &mut exact)?;
            }
        }
        Ok(exact)
    }

    async fn module(mut self, wasm: Vec<u8>, workers: Workers) -> Result<Exact, Fault> {
        let Contribute::Module(module) = &self.plan.contribute else {
            return Err(Fault::PlanShape { what: "contributions" });
        };
        let mut exact = Exact::zero(&self.plan.shape)?;
        let mut rows = ModuleRows::start(&self.plan, module, wasm, self.caps, workers).await?;
        while let Some(block) = self.blocks.next().await? {
            rows.add_block(&block, &mut exact).await?;
        }
        rows.finish(&mut exact).await?;
        Ok(exact)
    }
}
