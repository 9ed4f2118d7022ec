//! Reads the rows of a plan: table scan, view, filter, projection, then hash partitioning and sorting
//! by person. The last two are appended to the finished physical plan, so that no optimizer rule ever
//! sees or moves them. It must never read a column that the plan does not name.
//!
//! - `filter`: a plan's filter as one opaque function of the engine
//! - `persons`: sorted batches become whole persons
//! - `merge`: the persons of several tables side by side
//! - `standing`: rows that lie person by person already, without a sort
//! - `planned`: scans planned before anybody asked for them
//! - `piles`: what rows add, dealt to piles of whole persons, without a sort of the rows

pub mod filter;
pub mod merge;
pub mod persons;
pub mod piles;
pub mod planned;
pub mod standing;

use crate::catalog::Catalog;
use crate::evaluate::arrow_type;
use crate::fault::Fault;
use cloister_plan::RowPlan;
use cloister_sandbox::Workers;
use cloister_terms::Name;
use datafusion::arrow::compute::SortOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::optimizer::Optimizer;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, Partitioning, execute_stream_partitioned,
};
use datafusion::prelude::SessionConfig;
use persons::{PersonBlocks, PersonLimits};
use planned::{PlannedScan, Shape};
use standing::Standing;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Rows a batch.
pub const BATCH_ROWS: usize = 8_192;
/// Settings by which a scan leaves rows in the order of the files, each file's with the stream it is given
/// to; a watch over the units does not rest on them.
const AS_THEY_LIE: [(&str, &str); 2] = [
    ("datafusion.optimizer.enable_round_robin_repartition", "false"),
    ("datafusion.execution.enable_file_stream_work_stealing", "false"),
];
/// The engine's logical rules that a scan needs: rows and columns that a plan does not name are not read.
/// The others are for texts that people write; what never sees a plan cannot change it.
const LOGICAL_RULES: [&str; 2] = ["push_down_filter", "optimize_projections"];
/// Most partitions a scan is split into.
pub const PARTITIONS_MAX: usize = 256;

/// How the engine runs. None of it may change an answer by a bit, and tests flip all of it.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Partitions, 1 to [`PARTITIONS_MAX`].
    pub partitions: usize,
    /// Rows a batch, at least 1.
    pub batch_rows: usize,
    /// How large one person may be.
    pub person_limits: PersonLimits,
    /// Settings of the engine, by name.
    pub settings: Vec<(String, String)>,
    /// Logical rules left out, by name. By default all that no scan needs.
    pub without_rules: BTreeSet<String>,
    /// Physical rules left out, by name.
    pub without_physical_rules: BTreeSet<String>,
    /// The defence that the run lacks; taken from the charge.
    #[cfg(feature = "for-tests")]
    pub mutant: Option<crate::mutant::Mutant>,
    /// Where modules run. By default in processes of this program, which its `main` must be made for.
    pub workers: Workers,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            batch_rows: BATCH_ROWS,
            person_limits: PersonLimits::default(),
            settings: Vec::new(),
            without_rules: needless_rules(),
            without_physical_rules: BTreeSet::new(),
            #[cfg(feature = "for-tests")]
            mutant: None,
            workers: Workers::of_this_program(true),
        }
    }
}

fn needless_rules() -> BTreeSet<String> {
    let (mut logical, _) = rule_names();
    logical.retain(|rule| !LOGICAL_RULES.contains(&rule.as_str()));
    logical
}

/// Names of every logical and every physical rule, for tests that leave each out.
pub fn rule_names() -> (BTreeSet<String>, BTreeSet<String>) {
    let logical = Optimizer::new().rules.iter().map(|rule| rule.name().to_owned()).collect();
    let physical =
        PhysicalOptimizer::new().rules.iter().map(|rule| rule.name().to_owned()).collect();
    (logical, physical)
}

/// Where the scan's columns stand: the unit, the approved columns, then order columns of their own.
#[derive(Debug, Clone)]
pub struct Layout {
    names: Vec<Name>,
    order: Vec<usize>,
    /// Leaves rows as the files have them.
    #[cfg(feature = "for-tests")]
    is_unordered: bool,
}

impl Layout {
    /// Names of the approved columns.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Places of the approved columns; the unit stands at 0.
    pub fn columns(&self) -> Range<usize> {
        1..1 + self.names.len()
    }

    /// Places of the order columns, in the dictionary's order.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    #[cfg(feature = "for-tests")]
    fn lacking(self, mutant: Option<crate::mutant::Mutant>) -> Self {
        let is_unordered = mutant == Some(crate::mutant::Mutant::CanonicalOrderOff);
        Self { is_unordered, ..self }
    }

    /// Whether rows stay as the files have them.
    #[cfg(feature = "for-tests")]
    pub(crate) fn is_unordered(&self) -> bool {
        self.is_unordered
    }
}

/// The persons of a plan's rows, one stream a partition: rows with a unit that the filter keeps,
/// one person's rows contiguous and in one stream. Errors on a plan that does not fit the catalog,
/// and when the engine cannot plan it.
pub async fn scan(
    catalog: &Catalog,
    rows: &RowPlan,
    options: &EngineOptions,
) -> Result<Vec<PersonBlocks>, Fault> {
    let state = engine_state(options)?;
    let (layout, physical) = unsorted(catalog, rows, options, &state).await?;
    let partitions = options.partitions.clamp(1, PARTITIONS_MAX);
    let sorted = by_person(physical, partitions)?;
    let streams = execute_stream_partitioned(sorted, state.task_ctx())?;
    let blocks = |stream| PersonBlocks::new(stream, Arc::clone(&layout), options.person_limits);
    Ok(streams.into_iter().map(blocks).collect())
}

/// The same persons without a sort, for rows that the files hold in the order of units; `None` when the
/// first rows show that they do not. The streams are as many as the engine likes, at most the partitions
/// asked for and one a source.
pub async fn scan_standing(
    catalog: &Catalog,
    rows: &RowPlan,
    options: &EngineOptions,
) -> Result<Option<Standing>, Fault> {
    let planned = planned_scan(catalog, rows, Shape::AsTheyLie, options).await?;
    let layout = Arc::clone(&planned.layout);
    Standing::open(planned.streams()?, layout, options.person_limits).await
}

/// The same rows in no order, as the files have them, for [`piles`]: the streams are as many as the engine
/// likes, at most the partitions asked for and one a source.
pub async fn scan_loose(
    catalog: &Catalog,
    rows: &RowPlan,
    options: &EngineOptions,
) -> Result<(Arc<Layout>, Vec<SendableRecordBatchStream>), Fault> {
    let planned = planned_scan(catalog, rows, Shape::Loose, options).await?;
    Ok((Arc::clone(&planned.layout), planned.streams()?))
}

/// Planned beforehand, or now.
async fn planned_scan(
    catalog: &Catalog,
    rows: &RowPlan,
    shape: Shape,
    options: &EngineOptions,
) -> Result<PlannedScan, Fault> {
    match catalog.planned().take(rows, shape, options) {
        Some(planned) => Ok(planned),
        None => PlannedScan::new(catalog, rows, shape, options).await,
    }
}

/// The rows of a plan as the files have them, and where their columns stand.
async fn unsorted(
    catalog: &Catalog,
    rows: &RowPlan,
    options: &EngineOptions,
    state: &SessionState,
) -> Result<(Arc<Layout>, Arc<dyn ExecutionPlan>), Fault> {
    let (layout, names) = layout(catalog, rows)?;
    let types = names.iter().map(|name| {
        let known = catalog.column(&rows.dataset, name);
        known.map(|column| arrow_type(column.column_type)).ok_or_else(|| unknown(rows, name))
    });
    let types: Vec<_> = types.collect::<Result<_, _>>()?;
    let logical = logical_plan(catalog, rows, &names)?;
    let physical = state.create_physical_plan(&logical).await?;
    let fields = physical.schema();
    for (index, wanted) in types.iter().enumerate() {
        if fields.fields().get(index).map(|field| field.data_type()) != Some(wanted) {
            return Err(Fault::Layout { index });
        }
    }
    #[cfg(feature = "for-tests")]
    let layout = layout.lacking(options.mutant);
    #[cfg(not(feature = "for-tests"))]
    let _ = options;
    Ok((Arc::new(layout), physical))
}

/// The engine's state for one run. Its memory has no limit, so that nothing is ever spilled to disk:
/// a spilled record would lie there in the clear.
pub fn engine_state(options: &EngineOptions) -> Result<SessionState, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions.clamp(1, PARTITIONS_MAX))
        .with_batch_size(options.batch_rows.max(1));
    // From statistics the engine takes a column whose least value is its largest for a constant, and
    // Parquet's leave NaN out: one person's value would then depend on the others in the file.
    config.options_mut().set("datafusion.execution.collect_statistics", "false")?;
    // The rules that are used leave nothing for each other to do.
    config.options_mut().set("datafusion.optimizer.max_passes", "1")?;
    for (name, value) in &options.settings {
        config.options_mut().set(name, value)?;
    }
    // Without the engine's functions, formats and planners of SQL: a scan names none of them.
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| !options.without_rules.contains(rule.name()));
    let mut builder = SessionStateBuilder::new().with_config(config).with_optimizer_rules(rules);
    if !options.without_physical_rules.is_empty() {
        let mut rules = PhysicalOptimizer::new().rules;
        rules.retain(|rule| !options.without_physical_rules.contains(rule.name()));
        builder = builder.with_physical_optimizer_rules(rules);
    }
    Ok(builder.build())
}

fn unknown(rows: &RowPlan, column: &Name) -> Fault {
    Fault::UnknownColumn { dataset: rows.dataset.clone(), column: column.clone() }
}

/// Checks the plan's columns against the dictionary; the layout, and every name to project.
fn layout(catalog: &Catalog, rows: &RowPlan) -> Result<(Layout, Vec<Name>), Fault> {
    let mut names = vec![rows.unit_column.clone()];
    for read in &rows.columns {
        let known =
            catalog.column(&rows.dataset, &read.name).ok_or_else(|| unknown(rows, &read.name))?;
        if known.column_type != read.column_type {
            return Err(Fault::ColumnType { column: read.name.clone(), planned: read.column_type });
        }
        // A plan never reads the unit as a column: it would show it to a module.
        if names.contains(&read.name) {
            return Err(Fault::PlanShape { what: "columns" });
        }
        names.push(read.name.clone());
    }
    let columns = rows.columns.iter().map(|read| read.name.clone()).collect();
    let mut order = Vec::with_capacity(rows.order_columns.len());
    for name in &rows.order_columns {
        let place = names.iter().position(|known| known == name);
        order.push(place.unwrap_or(names.len()));
        if place.is_none() {
            names.push(name.clone());
        }
    }
    let layout = Layout {
        names: columns,
        order,
        #[cfg(feature = "for-tests")]
        is_unordered: false,
    };
    Ok((layout, names))
}

fn logical_plan(catalog: &Catalog, rows: &RowPlan, names: &[Name]) -> Result<LogicalPlan, Fault> {
    let read: Vec<_> =
        rows.columns.iter().map(|read| (read.name.clone(), read.column_type)).collect();
    let mut builder = LogicalPlanBuilder::from(catalog.view(&rows.dataset, names)?);
    builder = builder.filter(ident(rows.unit_column.as_str()).is_not_null())?;
    if let Some(filter) = &rows.filter {
        for condition in filter::conditions(filter, &read) {
            builder = builder.filter(condition)?;
        }
    }
    let projection: Vec<Expr> = names.iter().map(|name| ident(name.as_str())).collect();
    Ok(builder.project(projection)?.build()?)
}

/// Appends hash partitioning on the unit, and a sort of each partition by it.
fn by_person(
    input: Arc<dyn ExecutionPlan>,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let schema = input.schema();
    let unit_name = schema.fields().first().map_or("", |field| field.name());
    let unit = Arc::new(Column::new(unit_name, 0));
    let one = input.output_partitioning().partition_count() == 1 && partitions == 1;
    let hashed: Arc<dyn ExecutionPlan> = if one {
        input
    } else {
        Arc::new(RepartitionExec::try_new(
            input,
            Partitioning::Hash(vec![Arc::clone(&unit) as _], partitions),
        )?)
    };
    let by_unit = PhysicalSortExpr::new(unit, SortOptions::default());
    let ordering = LexOrdering::new(vec![by_unit])
        .ok_or_else(|| DataFusionError::Internal("an ordering of one column".to_owned()))?;
    Ok(Arc::new(SortExec::new(ordering, hashed).with_preserve_partitioning(true)))
}
