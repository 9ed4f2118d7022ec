//! Measures plain SQL over rows in any order: what each row adds is worked out as it is read, column by
//! column, and only those numbers are brought together by person. The same sums to the last bit as over
//! sorted rows, since all of it is a function of each person's rows as a set. It must never hold more for a
//! row than a few numbers beside the row itself, nor work out before the caps what is dear.

use crate::aggregate::Exact;
use crate::bound::{Bounder, Caps};
use crate::catalog::Catalog;
use crate::contribute::sql::SqlRows;
use crate::evaluate::Columns;
use crate::fault::Fault;
use crate::relate::is_plain;
use crate::scan::persons::PersonLimits;
use crate::scan::piles::{Dealt, PILES, PilePersons};
use crate::scan::{EngineOptions, Layout, scan_loose};
use crate::told::Told;
use crate::work;
use cloister_plan::{Contribute, ContributionPlan, LaneExpr, SqlContribution};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Most lanes, and most sums among them: their numbers stay in memory for every row.
const LANES_MAX: usize = 16;
const SUMS_MAX: usize = 4;

/// The sums, or `None` when the rows must be sorted: the plan relates tables, its keys are private, it has
/// many lanes, or its expressions are dear, which rows over a cap must not cost, or somebody's could be too much
/// work, which is not counted here.
pub(crate) async fn measure_dealt(
    plan: &Arc<ContributionPlan>,
    caps: &Arc<Caps>,
    catalog: &Catalog,
    options: &EngineOptions,
) -> Result<Option<Exact>, Fault> {
    let ([table], Contribute::Sql(sql)) = (plan.tables.as_slice(), &plan.contribute) else {
        return Ok(None);
    };
    if !suits(plan, sql) {
        return Ok(None);
    }
    let rows = SqlRows::new(sql, &plan.shape)?;
    let (layout, streams) = scan_loose(catalog, table, options).await?;
    let at_once = options.partitions.clamp(1, PILES);
    let queue: Queue = Arc::new(Mutex::new(streams));
    let mut dealing = JoinSet::new();
    for _ in 0..at_once {
        dealing.spawn(deal(rows.clone(), Arc::clone(&layout), Arc::clone(&queue)));
    }
    let mut dealt = Vec::with_capacity(at_once);
    while let Some(part) = dealing.join_next().await {
        dealt.push(part.map_err(|_| Fault::Worker)??);
    }
    let (dealt, next) = (Arc::new(dealt), Arc::new(AtomicUsize::new(0)));
    let _given_up = NoMore(Arc::clone(&next));
    let mut bounding = JoinSet::new();
    for _ in 0..at_once {
        let piles = Piles { dealt: Arc::clone(&dealt), next: Arc::clone(&next) };
        let (caps, limits) = (Arc::clone(caps), options.person_limits);
        let exact = Exact::zero(&plan.shape)?;
        // A pile may take long, and nothing else may wait for it: off the runtime's own threads.
        bounding.spawn_blocking(move || piles.bound(caps, limits, exact));
    }
    let mut whole = Exact::zero(&plan.shape)?;
    while let Some(part) = bounding.join_next().await {
        whole = whole.merge(part.map_err(|_| Fault::Worker)??)?;
    }
    Ok(Some(whole))
}

fn suits(plan: &ContributionPlan, sql: &SqlContribution) -> bool {
    let is_dear = |lane: &LaneExpr| match lane {
        LaneExpr::CountRows | LaneExpr::CountUnits => false,
        LaneExpr::CountUnitsWith { expr }
        | LaneExpr::CountNonNull { expr }
        | LaneExpr::SumClamped { expr, .. } => expr.is_dear(),
    };
    let is_sum = |lane: &&LaneExpr| matches!(lane, LaneExpr::SumClamped { .. });
    is_plain(plan, &sql.relation)
        && work::is_never_too_much(plan)
        && plan.shape.private_keys.is_none()
        && sql.lanes.len() <= LANES_MAX
        && sql.lanes.iter().filter(is_sum).count() <= SUMS_MAX
        && !sql.keys.iter().any(|key| key.expr.is_dear())
        && !sql.lanes.iter().any(is_dear)
}

/// Streams that nobody has taken yet.
type Queue = Arc<Mutex<Vec<SendableRecordBatchStream>>>;

/// Deals the rows of one stream after the other.
async fn deal(sql: SqlRows, layout: Arc<Layout>, queue: Queue) -> Result<Dealt, Fault> {
    let mut dealt = Dealt::new(Arc::clone(&layout));
    loop {
        let stream = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(mut stream) = stream else { return Ok(dealt) };
        while let Some(batch) = stream.next().await.transpose()? {
            let arrays = batch.columns().get(layout.columns()).unwrap_or_default();
            let columns = Columns { names: layout.names(), arrays, rows: batch.num_rows() };
            dealt.deal(&batch, &sql.values(columns)?)?;
        }
    }
}

/// Piles, and the first that nobody has taken yet.
struct Piles {
    dealt: Arc<Vec<Dealt>>,
    next: Arc<AtomicUsize>,
}

/// Whoever still works on piles ends when this goes: with the run, at its end or when it is given up.
struct NoMore(Arc<AtomicUsize>);

impl Drop for NoMore {
    fn drop(&mut self) {
        self.0.store(PILES, Ordering::Relaxed);
    }
}

impl Piles {
    /// Adds the persons of pile after pile.
    fn bound(
        self,
        caps: Arc<Caps>,
        limits: PersonLimits,
        mut exact: Exact,
    ) -> Result<Exact, Fault> {
        let mut bounder = Bounder::new(caps);
        loop {
            let pile = self.next.fetch_add(1, Ordering::Relaxed);
            if pile >= PILES {
                return Ok(exact);
            }
            let rows = PilePersons::new(&self.dealt, pile);
            for (person, fits) in rows.persons(limits) {
                if fits {
                    let none = Told::default();
                    bounder.add_rows(&rows, person, rows.values(), none, &mut exact)?;
                } else {
                    exact.tell(Told::capped(true))?;
                }
            }
        }
    }
}
