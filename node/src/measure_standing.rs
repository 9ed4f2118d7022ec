//! Measures rows that the files hold person by person already, as they lie: no sort, so memory that does
//! not grow with the rows. The same sums to the last bit, or none: what turns out to lie otherwise is
//! measured again from the beginning, sorted. It must never add one attempt's sums to another's.

use crate::aggregate::Exact;
use crate::bound::{Bounder, Caps};
use crate::catalog::Catalog;
use crate::contribute::module::ModuleRows;
use crate::contribute::sql::SqlRows;
use crate::fault::Fault;
use crate::measure::add_block;
use crate::relate::is_plain;
use crate::scan::persons::PersonBlock;
use crate::scan::standing::{Ends, StandingPart};
use crate::scan::{EngineOptions, scan_standing};
use cloister_plan::{Contribute, ContributionPlan};
use cloister_sandbox::Workers;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// The sums, or `None` when the rows must be sorted: they lie otherwise, or the plan relates tables.
pub(crate) async fn measure_standing(
    plan: &Arc<ContributionPlan>,
    caps: &Arc<Caps>,
    wasm: Option<&[u8]>,
    catalog: &Catalog,
    options: &EngineOptions,
) -> Result<Option<Exact>, Fault> {
    let ([table], true) = (plan.tables.as_slice(), reads_one_table(plan)) else {
        return Ok(None);
    };
    let Some(mut standing) = scan_standing(catalog, table, options).await? else {
        return Ok(None);
    };
    let maker = Arc::new(Maker {
        plan: Arc::clone(plan),
        caps: Arc::clone(caps),
        wasm: wasm.map(<[u8]>::to_vec),
        workers: options.workers.clone(),
    });
    // Several sources have several streams each: no more of them are worked on at once than were asked for.
    let parts = std::mem::take(&mut standing.parts);
    let at_once = options.partitions.clamp(1, parts.len().max(1));
    let queue: Queue = Arc::new(Mutex::new(parts));
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        tasks.spawn(run_parts(Arc::clone(&maker), Arc::clone(&queue)));
    }
    let mut whole = Exact::zero(&plan.shape)?;
    let (mut works, mut ends) = (Vec::new(), Vec::new());
    while let Some(part) = tasks.join_next().await {
        // Whoever still runs is ended with the set.
        let Some((work, exact, kept)) = part.map_err(|_| Fault::Worker)?? else { return Ok(None) };
        works.extend(work);
        ends.extend(kept);
        whole = whole.merge(exact)?;
    }
    let Some(mut kept_back) = standing.kept_back(ends)? else { return Ok(None) };
    // One at least, whatever the rows: a module that cannot start must not show whether there are any.
    let mut work = match works.pop() {
        Some(work) => work,
        None => maker.work().await?,
    };
    while let Some(block) = kept_back.next().await? {
        work.add(block, &mut whole).await?;
    }
    works.push(work);
    for work in works {
        work.finish(&mut whole).await?;
    }
    Ok(Some(whole))
}

/// Modules and plain SQL read one table as it is.
pub(crate) fn reads_one_table(plan: &ContributionPlan) -> bool {
    match &plan.contribute {
        Contribute::Sql(sql) => is_plain(plan, &sql.relation),
        Contribute::Module(_) => true,
    }
}

/// Streams that nobody has taken yet.
type Queue = Arc<Mutex<Vec<StandingPart>>>;

/// What some streams gave: with what they were worked on, if there was anybody, and what they kept back.
type Parts = (Option<Work>, Exact, Vec<Ends>);

/// The persons between the ends of one stream after the other; `None` when rows lie otherwise.
async fn run_parts(maker: Arc<Maker>, queue: Queue) -> Result<Option<Parts>, Fault> {
    let mut exact = Exact::zero(&maker.plan.shape)?;
    let (mut work, mut ends) = (None, Vec::new());
    loop {
        let part = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(mut part) = part else { return Ok(Some((work, exact, ends))) };
        loop {
            let block = match part.blocks.next().await {
                Ok(block) => block,
                Err(_) if part.ends.is_broken() => return Ok(None),
                Err(fault) => return Err(fault),
            };
            let Some(block) = block else { break };
            let work = match &mut work {
                Some(work) => work,
                none => none.insert(maker.work().await?),
            };
            work.add(block, &mut exact).await?;
        }
        ends.push(part.ends);
    }
}

/// Makes what streams are worked on with.
struct Maker {
    plan: Arc<ContributionPlan>,
    caps: Arc<Caps>,
    wasm: Option<Vec<u8>>,
    workers: Workers,
}

/// What turns persons into sums; holds nothing of a person but those that a module still waits for.
enum Work {
    Plain { sql: Box<SqlRows>, bounder: Box<Bounder> },
    Module(Box<ModuleRows>),
}

impl Maker {
    async fn work(&self) -> Result<Work, Fault> {
        let caps = Arc::clone(&self.caps);
        match &self.plan.contribute {
            Contribute::Sql(sql) => {
                let sql = Box::new(SqlRows::new(sql, &self.plan.shape)?);
                Ok(Work::Plain { sql, bounder: Box::new(Bounder::new(caps)) })
            }
            Contribute::Module(module) => {
                let wasm = self.wasm.clone().ok_or(Fault::NoModule)?;
                let workers = self.workers.clone();
                let rows = ModuleRows::start(&self.plan, module, wasm, caps, workers).await?;
                Ok(Work::Module(Box::new(rows)))
            }
        }
    }
}

impl Work {
    async fn add(&mut self, block: PersonBlock, exact: &mut Exact) -> Result<(), Fault> {
        match self {
            Work::Plain { sql, bounder } => add_block(block, sql, bounder, exact),
            Work::Module(rows) => rows.add_block(&block, exact).await,
        }
    }

    async fn finish(self, exact: &mut Exact) -> Result<(), Fault> {
        match self {
            Work::Plain { .. } => Ok(()),
            Work::Module(rows) => rows.finish(exact).await,
        }
    }
}
