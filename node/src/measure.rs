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
use crate::measure_dealt::measure_dealt;
use crate::measure_standing::{measure_standing, reads_one_table};
use crate::relate::{Made, RelationError, Relator, check, is_plain};
use crate::row_bytes::{RowBytes, TypedColumn};
use crate::scan::merge::PersonMerge;
use crate::scan::persons::{PersonBlock, PersonBlocks, PersonLimits};
use crate::scan::planned::Shape;
use crate::scan::{EngineOptions, scan};
use crate::told::{Told, too_large};
use cloister_plan::{Contribute, ContributionPlan, RowPlan, SqlContribution};
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
/// each lane of them by at most its declared sensitivity and each group of lanes by at most its norm; no other person's contribution changes.
/// Errors are faults: they stay inside the node and end in one withheld answer.
pub async fn measure(
    charge: &Charge,
    catalog: &Catalog,
    options: &MeasureOptions,
) -> Result<Exact, Fault> {
    let plan = charge.plan().clone();
    #[cfg(feature = "for-tests")]
    let plan = crate::mutant::bounded(plan, charge.mutant());
    let plan = Arc::new(plan);
    let own = plan.shape.cells_of(charge.node())?;
    let caps = Arc::new(Caps::new(&plan, charge.prf_key())?.answering(own));
    let whole = Exact::zero(&plan.shape)?;
    let options = fitting(&plan, options)?;
    #[cfg(feature = "for-tests")]
    let options = EngineOptions { mutant: charge.mutant(), ..options };
    check(&plan)?;
    let files = catalog.checked_files(plan.tables.iter().map(|table| &table.dataset))?;
    let wasm = charge.module();
    if let Some(exact) = measure_standing(&plan, &caps, wasm, catalog, &options).await? {
        files.still()?;
        return Ok(exact);
    }
    if let Some(exact) = measure_dealt(&plan, &caps, catalog, &options).await? {
        files.still()?;
        return Ok(exact);
    }
    let mut tasks = JoinSet::new();
    for tables in partitions(&plan, catalog, &options).await? {
        let part = Part { plan: Arc::clone(&plan), caps: Arc::clone(&caps), tables };
        match &plan.contribute {
            Contribute::Sql(sql) if is_plain(&plan, &sql.relation) => tasks.spawn(part.plain()),
            Contribute::Sql(_) => tasks.spawn(part.related(options.person_limits)),
            Contribute::Module(_) => {
                let wasm = wasm.ok_or(Fault::NoModule)?.to_vec();
                tasks.spawn(part.module(wasm, options.workers.clone()))
            }
        };
    }
    let mut whole = whole;
    while let Some(part) = tasks.join_next().await {
        whole = whole.merge(part.map_err(|_| Fault::Worker)??)?;
    }
    files.still()?;
    Ok(whole)
}

/// The options of a run of this plan: no more partitions than their sums have room for.
fn fitting(plan: &ContributionPlan, options: &EngineOptions) -> Result<EngineOptions, Fault> {
    let fitting = SUMS_BYTES_MAX / SUM_BYTES / plan.shape.vector_len()?.max(1);
    Ok(EngineOptions { partitions: options.partitions.clamp(1, fitting.max(1)), ..options.clone() })
}

/// Plans the scan of a question that may be asked soon, as its run would first: by rows that lie person
/// by person. Reads no record. Errors as a run that cannot be planned.
pub async fn prepare(
    plan: &ContributionPlan,
    catalog: &Catalog,
    options: &MeasureOptions,
) -> Result<(), Fault> {
    let ([table], true) = (plan.tables.as_slice(), reads_one_table(plan)) else {
        return Ok(());
    };
    let options = fitting(plan, options)?;
    catalog.planned().prepare(catalog, table, Shape::AsTheyLie, &options).await
}

/// The streams of each partition, one a table of the plan: partition i of every table holds the same
/// persons, since all are split alike by units of one type.
async fn partitions(
    plan: &ContributionPlan,
    catalog: &Catalog,
    options: &EngineOptions,
) -> Result<Vec<Vec<PersonBlocks>>, Fault> {
    check_units(plan, catalog)?;
    let mut partitions: Vec<Vec<PersonBlocks>> = Vec::new();
    for table in &plan.tables {
        let streams = scan(catalog, table, options).await?;
        if partitions.is_empty() {
            partitions.resize_with(streams.len(), Vec::new);
        }
        if partitions.len() != streams.len() {
            return Err(Fault::PlanShape { what: "partitions" });
        }
        partitions.iter_mut().zip(streams).for_each(|(tables, stream)| tables.push(stream));
    }
    if partitions.is_empty() { Err(Fault::PlanShape { what: "tables" }) } else { Ok(partitions) }
}

/// Units of one type are split and sorted alike, whatever table they come from.
fn check_units(plan: &ContributionPlan, catalog: &Catalog) -> Result<(), RelationError> {
    let column = |table: &RowPlan| catalog.column(&table.dataset, &table.unit_column);
    let mut types = plan.tables.iter().filter_map(|table| column(table).map(|of| of.column_type));
    let first = types.next();
    let alike = types.all(|unit_type| Some(unit_type) == first);
    if alike { Ok(()) } else { Err(RelationError::UnitTypes) }
}

/// One partition.
struct Part {
    plan: Arc<ContributionPlan>,
    caps: Arc<Caps>,
    /// One a table of the plan.
    tables: Vec<PersonBlocks>,
}

impl Part {
    fn sql(plan: &ContributionPlan) -> Result<&SqlContribution, Fault> {
        match &plan.contribute {
            Contribute::Sql(sql) => Ok(sql),
            Contribute::Module(_) => Err(Fault::PlanShape { what: "contributions" }),
        }
    }

    /// The plan's only table.
    fn only_table(tables: Vec<PersonBlocks>) -> Result<PersonBlocks, Fault> {
        let [table] =
            <[_; 1]>::try_from(tables).map_err(|_| Fault::PlanShape { what: "tables" })?;
        Ok(table)
    }

    /// One table as it is: its rows go straight to their cells.
    async fn plain(self) -> Result<Exact, Fault> {
        let sql = SqlRows::new(Self::sql(&self.plan)?, &self.plan.shape)?;
        let mut blocks = Self::only_table(self.tables)?;
        let mut exact = Exact::zero(&self.plan.shape)?;
        let mut bounder = Bounder::new(self.caps);
        while let Some(block) = blocks.next().await? {
            add_block(block, &sql, &mut bounder, &mut exact)?;
        }
        Ok(exact)
    }

    /// Any other relation: each person's rows of every table first become hers of the relation.
    async fn related(self, limits: PersonLimits) -> Result<Exact, Fault> {
        let sql = Self::sql(&self.plan)?;
        let mut relator = Relator::new(&self.plan, &sql.relation, &self.caps, limits)?;
        let sql = SqlRows::new(sql, &self.plan.shape)?;
        let mut exact = Exact::zero(&self.plan.shape)?;
        let mut bounder = Bounder::new(self.caps);
        let mut merge = PersonMerge::new(self.tables);
        while let Some(gathering) = merge.next().await? {
            let units = TypedColumn::new(&gathering.units, 0)?;
            relator.make(&gathering, &mut |made| {
                add_made(&made, &units, &sql, &mut bounder, &mut exact)
            })?;
        }
        Ok(exact)
    }

    async fn module(self, wasm: Vec<u8>, workers: Workers) -> Result<Exact, Fault> {
        let Contribute::Module(module) = &self.plan.contribute else {
            return Err(Fault::PlanShape { what: "contributions" });
        };
        let mut blocks = Self::only_table(self.tables)?;
        let mut exact = Exact::zero(&self.plan.shape)?;
        let mut rows = ModuleRows::start(&self.plan, module, wasm, self.caps, workers).await?;
        while let Some(block) = blocks.next().await? {
            rows.add_block(&block, &mut exact).await?;
        }
        rows.finish(&mut exact).await?;
        Ok(exact)
    }
}

/// Adds the persons of a block whose rows go straight to their cells.
pub(crate) fn add_block(
    block: PersonBlock,
    sql: &SqlRows,
    bounder: &mut Bounder,
    exact: &mut Exact,
) -> Result<(), Fault> {
    too_large(&block, exact)?;
    // First, so that the work of a person's rows is bounded by the cap, too.
    let row_cap = bounder.table_row_cap();
    let keep = &mut |rows: &mut Vec<usize>, bytes: &RowBytes| bounder.cap_table_rows(rows, bytes);
    let block = block.within(row_cap, keep)?;
    let block = block.affordable(&|columns| sql.work(columns))?;
    let columns = Columns { names: block.names(), arrays: block.arrays(), rows: block.rows() };
    let values = sql.values(columns)?;
    for (person, is_cut) in block.persons_cut() {
        if person.is_empty() {
            // Too much work.
            exact.tell(Told::capped(true))?;
            continue;
        }
        bounder.add_rows(block.row_bytes(), person, &values, Told::capped(is_cut), exact)?;
    }
    Ok(())
}

/// Adds some persons' rows, as a relation made them. `units` are those of the whole gathering.
fn add_made(
    made: &Made,
    units: &TypedColumn,
    sql: &SqlRows,
    bounder: &mut Bounder,
    exact: &mut Exact,
) -> Result<(), Fault> {
    if made.rows.rows() == 0 {
        made.cut.iter().try_for_each(|cut| exact.tell(Told::capped(*cut)))?;
        return Ok(());
    }
    let columns = made.rows.arrays().iter().enumerate();
    let columns = columns.map(|(index, array)| TypedColumn::new(array, index));
    let bytes = RowBytes::new(units.clone(), columns.collect::<Result<_, _>>()?);
    let values = sql.values(made.rows.columns())?;
    for (person, unit_row) in made.persons.clone().enumerate() {
        let rows = made.rows.person(person);
        let cut = Told::capped(made.cut.get(person).copied().unwrap_or(false));
        if rows.is_empty() {
            exact.tell(cut)?;
        } else {
            bounder.add_made(&bytes, unit_row, rows, &values, cut, exact)?;
        }
    }
    Ok(())
}
