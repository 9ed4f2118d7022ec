//! A module's raw contributions: each person's rows, in canonical order and within the row caps, go
//! through the sandbox; what comes back is bounded like everything else. It must never show a module
//! the unit, an order column, or two persons at once.

use crate::aggregate::Exact;
use crate::bound::{Bounder, Caps};
use crate::contribute::domain::{DomainIndex, NO_CODE};
use crate::evaluate::EvaluateError;
use crate::fault::Fault;
use crate::scan::persons::PersonBlock;
use crate::told::Told;
use cloister_plan::{ContributionPlan, ModuleColumnKind, ModuleContribution};
use cloister_sandbox::limits::{PERSONS_PER_BATCH_MAX, WATCHDOG_MS, WATCHDOG_MS_MAX};
use cloister_sandbox::{
    BatchError, ColumnData, ColumnKind, PersonBatch, PersonOutput, Runner, RunnerError, Setup,
    Shape, WorkerLease, Workers,
};
use cloister_terms::{Bounds, Name};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use std::sync::Arc;

/// Fuel that one batch may use in all, which bounds how long a batch takes.
const FUEL_PER_BATCH: u64 = 2_000_000_000;
/// Most persons in a batch here: the sandbox's own limit is higher, but waits longer.
const PERSONS_PER_BATCH: u64 = 4_096;
/// Fuel that even a slow machine uses in a millisecond; the watchdog waits for no slower one.
const FUEL_PER_MS_MIN: u64 = 20_000;

/// The sandbox's shape of a module plan: admission vets and compiles for the same. `None` for a SQL
/// plan. A module that returns more pairs than the group cap gives the default contribution.
pub fn module_shape(
    plan: &ContributionPlan,
) -> Option<Result<Shape, cloister_sandbox::ShapeError>> {
    let cloister_plan::Contribute::Module(module) = &plan.contribute else { return None };
    let kinds = module.columns.iter().map(|column| match column.kind {
        ModuleColumnKind::Int | ModuleColumnKind::Timestamp => ColumnKind::Int,
        ModuleColumnKind::Float => ColumnKind::Float,
        ModuleColumnKind::Code { .. } => ColumnKind::Code,
    });
    Some(Shape::new(plan.row_cap, kinds.collect(), plan.group_cap))
}

/// A module at work on one partition.
pub struct ModuleRows {
    columns: Arc<Vec<GuestColumn>>,
    value: Bounds,
    persons_max: usize,
    bounder: Bounder,
    /// Runner and batch, absent while a blocking thread holds them.
    job: Option<(Runner, PersonBatch)>,
    /// Units of the persons in the batch, in its order, and what happened to their rows.
    units: Vec<(Vec<u8>, Told)>,
    /// An abandoned run drops this, and the worker ends with it, though a thread still waits for it.
    _lease: WorkerLease,
}

/// A column that the guest sees.
struct GuestColumn {
    name: Name,
    kind: GuestKind,
}

enum GuestKind {
    Int,
    Timestamp,
    Float,
    Code(DomainIndex),
}

/// A guest column's values in every row of a block.
struct GuestValues {
    ints: Vec<i64>,
    floats: Vec<f64>,
    valid: Vec<bool>,
    kind: ColumnKind,
}

impl ModuleRows {
    /// Starts the sandbox with the module's bytes. Errors when it refuses them, or runs others.
    pub async fn start(
        plan: &ContributionPlan,
        module: &ModuleContribution,
        wasm: Vec<u8>,
        caps: Arc<Caps>,
        workers: Workers,
    ) -> Result<Self, Fault> {
        let shape = module_shape(plan).ok_or(Fault::PlanShape { what: "columns" })??;
        if plan.shape.lanes.len() != 1 {
            return Err(Fault::PlanShape { what: "lanes" });
        }
        let columns = module.columns.iter().map(|column| {
            let kind = match &column.kind {
                ModuleColumnKind::Int => GuestKind::Int,
                ModuleColumnKind::Timestamp => GuestKind::Timestamp,
                ModuleColumnKind::Float => GuestKind::Float,
                ModuleColumnKind::Code { domain } => GuestKind::Code(
                    DomainIndex::new(domain).ok_or(Fault::PlanShape { what: "domains" })?,
                ),
            };
            Ok(GuestColumn { name: column.column.clone(), kind })
        });
        let columns: Vec<_> = columns.collect::<Result<_, Fault>>()?;
        let fuel = module.fuel_per_person.max(1);
        let persons =
            (FUEL_PER_BATCH / fuel).clamp(1, PERSONS_PER_BATCH.min(PERSONS_PER_BATCH_MAX.into()));
        let longest_ms = fuel.saturating_mul(persons) / FUEL_PER_MS_MIN;
        let watchdog_ms = longest_ms.clamp(WATCHDOG_MS, WATCHDOG_MS_MAX);
        let batch = PersonBatch::new(&shape);
        let setup = Setup { wasm, shape, fuel_per_person: module.fuel_per_person, watchdog_ms };
        let runner = blocking(move || workers.start(&setup)).await??;
        if runner.module_sha256() != module.sha256.as_bytes() {
            return Err(Fault::OtherModule);
        }
        Ok(Self {
            columns: Arc::new(columns),
            value: module.value,
            persons_max: usize::try_from(persons).unwrap_or(1),
            bounder: Bounder::new(caps),
            _lease: runner.lease(),
            job: Some((runner, batch)),
            units: Vec::new(),
        })
    }

    /// Queues the persons of a block and runs every batch that fills up.
    pub async fn add_block(&mut self, block: &PersonBlock, exact: &mut Exact) -> Result<(), Fault> {
        let bytes = block.row_bytes();
        let columns = Arc::clone(&self.columns);
        let guest = columns.iter().map(|column| guest_values(column, block));
        let guest: Vec<GuestValues> = guest.collect::<Result<_, _>>()?;
        let mut room = GatherRoom::default();
        for person in block.persons() {
            let mut rows = block.canonical_rows(person.clone());
            self.bounder.cap_rows(&mut rows, bytes);
            let cut = Told::capped(rows.len() < person.len());
            let gathered = room.gather(&guest, &rows);
            let mut unit = Vec::new();
            bytes.unit(person.start, &mut unit);
            if !self.push(rows.len(), &gathered)? {
                self.run_batch(exact).await?;
                if !self.push(rows.len(), &gathered)? {
                    return Err(Fault::Batch(BatchError::Full { persons: 0 }));
                }
            }
            self.units.push((unit, cut));
            if self.units.len() >= self.persons_max {
                self.run_batch(exact).await?;
            }
        }
        Ok(())
    }

    /// Runs what is still queued and ends the job.
    pub async fn finish(mut self, exact: &mut Exact) -> Result<(), Fault> {
        self.run_batch(exact).await?;
        let (runner, _) = self.job.take().ok_or(Fault::Worker)?;
        // The counters tell of the data; they are dropped here rather than logged.
        blocking(move || runner.finish()).await??;
        Ok(())
    }

    /// False when the batch must be run first.
    fn push(&mut self, rows: usize, columns: &[ColumnData<'_>]) -> Result<bool, Fault> {
        let (_, batch) = self.job.as_mut().ok_or(Fault::Worker)?;
        match batch.push_person(rows, columns) {
            Ok(()) => Ok(true),
            Err(BatchError::Full { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    async fn run_batch(&mut self, exact: &mut Exact) -> Result<(), Fault> {
        if self.units.is_empty() {
            return Ok(());
        }
        let (mut runner, mut batch) = self.job.take().ok_or(Fault::Worker)?;
        let run = move || {
            let outputs = runner.run_batch(&batch);
            batch.clear();
            (runner, batch, outputs)
        };
        let (runner, batch, outputs): (_, _, Result<Vec<PersonOutput>, RunnerError>) =
            blocking(run).await?;
        self.job = Some((runner, batch));
        for ((unit, cut), output) in self.units.iter().zip(outputs?) {
            match output {
                PersonOutput::Pairs(pairs) => {
                    self.bounder.add_outputs(unit, &pairs, self.value, *cut, exact)?;
                }
                // The default contribution is nothing: whatever went wrong, no one outside learns it, but
                // from a noised count of such persons where that was asked and paid for.
                PersonOutput::Default => exact.tell(Told { trapped: true, ..*cut })?,
            }
        }
        self.units.clear();
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Fault::Worker)
}

fn guest_values(column: &GuestColumn, block: &PersonBlock) -> Result<GuestValues, EvaluateError> {
    let array =
        block.column(&column.name).ok_or_else(|| EvaluateError::NoColumn(column.name.clone()))?;
    let wrong = |expected| move || EvaluateError::Type { expected };
    let mut values = GuestValues {
        ints: Vec::new(),
        floats: Vec::new(),
        valid: known(array),
        kind: ColumnKind::Int,
    };
    match &column.kind {
        GuestKind::Int => {
            let ints = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong("int64"))?;
            values.ints = ints.values().to_vec();
        }
        GuestKind::Timestamp => {
            let times = array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(wrong("a timestamp"))?;
            values.ints = times.values().to_vec();
        }
        GuestKind::Float => {
            let floats = array.as_primitive_opt::<Float64Type>().ok_or_else(wrong("float64"))?;
            values.floats = floats.values().to_vec();
            values.kind = ColumnKind::Float;
        }
        GuestKind::Code(domain) => {
            let codes = domain.codes(array)?;
            values.valid = codes.iter().map(|code| *code != NO_CODE).collect();
            values.ints = codes.into_iter().map(i64::from).collect();
            values.kind = ColumnKind::Code;
        }
    }
    Ok(values)
}

fn known(array: &ArrayRef) -> Vec<bool> {
    match array.nulls() {
        Some(nulls) => nulls.iter().collect(),
        None => vec![true; array.len()],
    }
}

/// Room for one person's columns, used again for the next.
#[derive(Default)]
struct GatherRoom {
    columns: Vec<(Vec<i64>, Vec<f64>, Vec<bool>)>,
}

impl GatherRoom {
    fn gather<'a>(&'a mut self, guest: &[GuestValues], rows: &[usize]) -> Vec<ColumnData<'a>> {
        self.columns.resize_with(guest.len(), Default::default);
        for ((ints, floats, valid), values) in self.columns.iter_mut().zip(guest) {
            pick(&values.ints, rows, ints);
            pick(&values.floats, rows, floats);
            pick(&values.valid, rows, valid);
        }
        let pairs = self.columns.iter().zip(guest);
        let data = pairs.map(|((ints, floats, valid), values)| match values.kind {
            ColumnKind::Int => ColumnData::Int { values: ints, valid },
            ColumnKind::Float => ColumnData::Float { values: floats, valid },
            ColumnKind::Code => ColumnData::Code { values: ints, valid },
        });
        data.collect()
    }
}

fn pick<T: Copy>(from: &[T], rows: &[usize], into: &mut Vec<T>) {
    into.clear();
    into.extend(rows.iter().filter_map(|row| from.get(*row).copied()));
}
