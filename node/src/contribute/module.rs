//! A module's raw contributions: each person's rows, in canonical order and within the row caps, go
//! through the sandbox; what comes back is bounded like everything else. It must never show a module
//! the unit, an order column, or two persons at once.

use crate::aggregate::Exact;
use crate::bound::{Bounder, Caps, OutputRanges};
use crate::contribute::domain::{DomainIndex, NO_CODE};
use crate::evaluate::EvaluateError;
use crate::fault::Fault;
use crate::played::MadeUpPersons;
use crate::row_bytes::RowBytes;
use crate::scan::persons::PersonBlock;
use crate::told::{Told, too_large};
use cloister_plan::{ContributionPlan, ModuleColumnKind, ModuleContribution};
use cloister_sandbox::limits::{
    FUEL_PER_PERSON_MAX, PERSONS_PER_BATCH_MAX, WATCHDOG_MS, WATCHDOG_MS_MAX,
};
use cloister_sandbox::{
    BatchError, ColumnData, ColumnKind, Counters, DenseNumbers, OutputLayout, PersonBatch, Runner,
    Setup, Shape, WorkerLease, Workers,
};
use cloister_terms::{ModuleNumbers, ModuleOutputs, Name};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use std::ops::Range;
use std::sync::Arc;

/// Fuel that one batch may use in all, which bounds how long a batch takes. High enough that persons who
/// may use much, but seldom do, still come in large batches.
const FUEL_PER_BATCH: u64 = 4_000_000_000;
/// Most persons in a batch here: the sandbox's own limit is higher, but waits longer.
const PERSONS_PER_BATCH: u64 = 4_096;
/// Fuel that even a slow machine uses in a millisecond on its dearest instructions: the watchdog waits for no
/// slower one, and no slot is reckoned by a faster one. A chain of loads that miss every cache uses some
/// 6,000, first touches of a fresh instance's pages 3,000 (`cargo bench -p cloister-sandbox --bench persons`),
/// plain arithmetic a million.
pub const FUEL_PER_MS_MIN: u64 = 2_000;

/// What planning allows, the sandbox takes.
const _: () = {
    use cloister_plan::limits as planned;
    use cloister_sandbox::limits as taken;
    assert!(planned::FUEL_MAX == FUEL_PER_PERSON_MAX);
    assert!(planned::MODULE_ROWS_MAX == taken::ROW_CAP_MAX as u64);
    assert!(planned::MODULE_COLUMNS_MAX == taken::COLUMNS_MAX as u64);
    assert!(planned::MODULE_OUTPUTS_MAX == taken::OUTPUTS_MAX as u64);
    assert!(cloister_terms::limits::MODULE_BYTES_MAX == taken::MODULE_BYTES_MAX as usize);
};

/// Milliseconds that so much fuel may take on a machine that [`FUEL_PER_MS_MIN`] speaks of.
pub fn fuel_ms_max(fuel: u64) -> u64 {
    fuel.div_ceil(FUEL_PER_MS_MIN)
}

/// The sandbox's shape of a module plan: admission vets and compiles for the same. `None` for a SQL
/// plan. A module that returns more pairs than the group cap has lanes gives the default contribution.
pub fn module_shape(
    plan: &ContributionPlan,
) -> Option<Result<Shape, cloister_sandbox::ShapeError>> {
    let cloister_plan::Contribute::Module(module) = &plan.contribute else { return None };
    let kinds = module.columns.iter().map(|column| match column.kind {
        ModuleColumnKind::Int | ModuleColumnKind::Timestamp => ColumnKind::Int,
        ModuleColumnKind::Float => ColumnKind::Float,
        ModuleColumnKind::Code { .. } => ColumnKind::Code,
    });
    // Both caps are far below what a u32 holds: the planner keeps outputs within the sandbox's limit.
    let lanes = u32::try_from(module.values.len()).unwrap_or(u32::MAX);
    let cells = match module.outputs {
        ModuleOutputs::Sparse => plan.group_cap,
        ModuleOutputs::Dense => {
            plan.shape.cells().ok().and_then(|cells| cells.try_into().ok()).unwrap_or(u32::MAX)
        }
    };
    let shape = Shape::new(plan.row_cap, kinds.collect(), cells.saturating_mul(lanes));
    let layout = match (module.outputs, module.numbers) {
        (ModuleOutputs::Sparse, ModuleNumbers::Int) => OutputLayout::Pairs,
        (ModuleOutputs::Sparse, ModuleNumbers::Float) => OutputLayout::FloatPairs,
        (ModuleOutputs::Dense, ModuleNumbers::Int) => OutputLayout::Dense(DenseNumbers::Ints),
        (ModuleOutputs::Dense, ModuleNumbers::Float) => OutputLayout::Dense(DenseNumbers::Floats),
    };
    Some(shape.map(|shape| shape.with_layout(layout)))
}

/// A module at work on one partition.
pub struct ModuleRows {
    columns: Arc<Vec<GuestColumn>>,
    ranges: OutputRanges,
    persons_max: usize,
    bounder: Bounder,
    /// Runner and batch, absent while a blocking thread holds them.
    job: Option<(Runner, PersonBatch)>,
    /// Units of the persons in the batch, in its order, and whether a cap left out rows of theirs.
    units: Units,
    room: GatherRoom,
    /// Held as long as somebody wants the worker's answers.
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

/// A guest column's values in every row of a block: the scan's own, but for codes.
struct GuestValues {
    values: Values,
    valid: Vec<bool>,
}

enum Values {
    Ints(ScalarBuffer<i64>),
    Floats(ScalarBuffer<f64>),
    Codes(Vec<i64>),
}

/// Bytes of units, one after the other, and whether a cap left out rows of each.
#[derive(Default)]
struct Units {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    cut: Vec<bool>,
}

/// Persons whose rows lie one after the other in a block and go to the guest as they lie.
#[derive(Default)]
struct Run {
    start: usize,
    end: usize,
    /// Rows of each.
    counts: Vec<u32>,
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
        if plan.shape.lanes.len() != module.values.len() {
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
        let longest_ms = fuel_ms_max(fuel.saturating_mul(persons));
        let batch_ms_max = longest_ms.clamp(WATCHDOG_MS, WATCHDOG_MS_MAX);
        let batch = PersonBatch::new(&shape);
        let setup = Setup { wasm, shape, fuel_per_person: module.fuel_per_person };
        // An abandoned run drops the lease, and the worker ends with it, though a thread still waits for it.
        let starting = blocking(move || workers.begin()).await??;
        let lease = starting.lease();
        let runner = blocking(move || starting.set_up(&setup, batch_ms_max)).await??;
        if runner.module_sha256() != module.sha256.as_bytes() {
            return Err(Fault::OtherModule);
        }
        Ok(Self {
            columns: Arc::new(columns),
            ranges: OutputRanges::of(module),
            persons_max: usize::try_from(persons).unwrap_or(1),
            bounder: Bounder::new(caps),
            _lease: lease,
            job: Some((runner, batch)),
            units: Units::default(),
            room: GatherRoom::default(),
        })
    }

    /// Queues the persons of a block and runs every batch that fills up. Persons whose rows lie in
    /// canonical order already and are within the caps go in together, without a copy of their own.
    pub async fn add_block(&mut self, block: &PersonBlock, exact: &mut Exact) -> Result<(), Fault> {
        let columns = Arc::clone(&self.columns);
        let guest = columns.iter().map(|column| guest_values(column, block));
        let guest: Vec<GuestValues> = guest.collect::<Result<_, _>>()?;
        let mut run = Run::default();
        too_large(block, exact)?;
        for person in block.persons() {
            let within = self.bounder.keeps_all_rows(person.len());
            if within && block.is_in_order(person.clone()) {
                if run.end != person.start {
                    self.add_run(&mut run, block, &guest, exact).await?;
                    run.start = person.start;
                }
                run.end = person.end;
                run.counts.push(u32::try_from(person.len()).unwrap_or(u32::MAX));
                continue;
            }
            self.add_run(&mut run, block, &guest, exact).await?;
            self.add_person(person, block, &guest, exact).await?;
        }
        self.add_run(&mut run, block, &guest, exact).await
    }

    /// Queues the persons of a run, which is empty afterwards.
    async fn add_run(
        &mut self,
        run: &mut Run,
        block: &PersonBlock,
        guest: &[GuestValues],
        exact: &mut Exact,
    ) -> Result<(), Fault> {
        let mut counts = run.counts.as_slice();
        while !counts.is_empty() {
            let room = self.persons_max.saturating_sub(self.units.len());
            let fitting = counts.get(..room).unwrap_or(counts);
            let taken = self.push(fitting, &slices(guest, run.start, rows_of(fitting)))?;
            if taken == 0 && self.units.is_empty() {
                return Err(Fault::Batch(BatchError::Full { persons: 0 }));
            }
            let (pushed, left) = counts.split_at_checked(taken).unwrap_or((counts, &[]));
            for rows in pushed {
                self.units.push(block.row_bytes(), run.start, false);
                run.start = run.start.saturating_add(*rows as usize);
            }
            counts = left;
            if !counts.is_empty() || self.units.len() >= self.persons_max {
                self.run_batch(exact).await?;
            }
        }
        run.counts.clear();
        (run.start, run.end) = (0, 0);
        Ok(())
    }

    /// Queues one person whose rows must be put in order or capped.
    async fn add_person(
        &mut self,
        person: Range<usize>,
        block: &PersonBlock,
        guest: &[GuestValues],
        exact: &mut Exact,
    ) -> Result<(), Fault> {
        let mut room = std::mem::take(&mut self.room);
        block.canonical_rows_into(person.clone(), &mut room.rows);
        self.bounder.cap_rows(&mut room.rows, block.row_bytes());
        let is_cut = room.rows.len() < person.len();
        let count = [u32::try_from(room.rows.len()).unwrap_or(u32::MAX)];
        let gathered = room.gather(guest);
        if self.push(&count, &gathered)? == 0 {
            self.run_batch(exact).await?;
            if self.push(&count, &gathered)? == 0 {
                return Err(Fault::Batch(BatchError::Full { persons: 0 }));
            }
        }
        drop(gathered);
        self.room = room;
        self.units.push(block.row_bytes(), person.start, is_cut);
        if self.units.len() >= self.persons_max {
            self.run_batch(exact).await?;
        }
        Ok(())
    }

    /// Runs what is still queued and ends the job.
    pub async fn finish(self, exact: &mut Exact) -> Result<(), Fault> {
        // The counters tell of the data; they are dropped here rather than logged.
        self.ended(exact).await.map(|_| ())
    }

    /// The same over persons whom nobody is: what the counters tell of them may be shown. A real run has no
    /// such leave, and no way to make one.
    pub(crate) async fn finish_counted(
        self,
        exact: &mut Exact,
        _: &MadeUpPersons,
    ) -> Result<Counters, Fault> {
        self.ended(exact).await
    }

    async fn ended(mut self, exact: &mut Exact) -> Result<Counters, Fault> {
        self.run_batch(exact).await?;
        let (runner, _) = self.job.take().ok_or(Fault::Worker)?;
        Ok(blocking(move || runner.finish()).await??)
    }

    /// How many of the persons were taken; none when the batch must be run first.
    fn push(&mut self, rows: &[u32], columns: &[ColumnData<'_>]) -> Result<usize, Fault> {
        let (_, batch) = self.job.as_mut().ok_or(Fault::Worker)?;
        Ok(batch.push_persons(rows, columns)?)
    }

    async fn run_batch(&mut self, exact: &mut Exact) -> Result<(), Fault> {
        if self.units.is_empty() {
            return Ok(());
        }
        let (mut runner, mut batch) = self.job.take().ok_or(Fault::Worker)?;
        let run = move || {
            let outputs = runner.run_batch_flat(&batch);
            batch.clear();
            (runner, batch, outputs)
        };
        let (mut runner, batch, outputs) = blocking(run).await?;
        let outputs = outputs?;
        for ((unit, is_cut), pairs) in self.units.iter().zip(outputs.iter()) {
            let cut = Told::capped(is_cut);
            match pairs {
                Some(pairs) => self.bounder.add_outputs(unit, pairs, &self.ranges, cut, exact)?,
                // The default contribution is nothing: whatever went wrong, no one outside learns it, but
                // from a noised count of such persons where that was asked and paid for.
                None => exact.tell(Told { trapped: true, ..cut })?,
            }
        }
        self.units.clear();
        runner.give_back(outputs);
        self.job = Some((runner, batch));
        Ok(())
    }
}

impl Units {
    /// Adds the unit of a row.
    fn push(&mut self, bytes: &RowBytes, row: usize, is_cut: bool) {
        bytes.units().write(row, &mut self.bytes);
        self.ends.push(self.bytes.len());
        self.cut.push(is_cut);
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.cut.clear();
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let units = self.ends.iter().scan(0, |start, end| {
            let unit = self.bytes.get(*start..*end);
            *start = *end;
            unit
        });
        units.zip(self.cut.iter().copied())
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
    let values = match &column.kind {
        GuestKind::Int => {
            let ints = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong("int64"))?;
            Values::Ints(ints.values().clone())
        }
        GuestKind::Timestamp => {
            let times = array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(wrong("a timestamp"))?;
            Values::Ints(times.values().clone())
        }
        GuestKind::Float => {
            let floats = array.as_primitive_opt::<Float64Type>().ok_or_else(wrong("float64"))?;
            Values::Floats(floats.values().clone())
        }
        GuestKind::Code(domain) => {
            let codes = domain.codes(array)?;
            let valid = codes.iter().map(|code| *code != NO_CODE).collect();
            let values = Values::Codes(codes.into_iter().map(i64::from).collect());
            return Ok(GuestValues { values, valid });
        }
    };
    Ok(GuestValues { values, valid: known(array) })
}

fn known(array: &ArrayRef) -> Vec<bool> {
    match array.nulls() {
        Some(nulls) => nulls.iter().collect(),
        None => vec![true; array.len()],
    }
}

fn rows_of(counts: &[u32]) -> usize {
    counts.iter().fold(0, |sum, rows| sum.saturating_add(*rows as usize))
}

/// Rows of a block as they lie. Rows that the block does not have are refused by the batch.
fn slices(guest: &[GuestValues], start: usize, rows: usize) -> Vec<ColumnData<'_>> {
    let lie = start..start.saturating_add(rows);
    let columns = guest.iter().map(|GuestValues { values, valid }| {
        let valid = valid.get(lie.clone()).unwrap_or_default();
        match values {
            Values::Ints(values) => {
                ColumnData::Int { values: values.get(lie.clone()).unwrap_or_default(), valid }
            }
            Values::Floats(values) => {
                ColumnData::Float { values: values.get(lie.clone()).unwrap_or_default(), valid }
            }
            Values::Codes(values) => {
                ColumnData::Code { values: values.get(lie.clone()).unwrap_or_default(), valid }
            }
        }
    });
    columns.collect()
}

/// Room for one person's rows and columns, used again for the next.
#[derive(Default)]
struct GatherRoom {
    rows: Vec<usize>,
    columns: Vec<(Vec<i64>, Vec<f64>, Vec<bool>)>,
}

impl GatherRoom {
    fn gather(&mut self, guest: &[GuestValues]) -> Vec<ColumnData<'_>> {
        self.columns.resize_with(guest.len(), Default::default);
        for ((ints, floats, valid), column) in self.columns.iter_mut().zip(guest) {
            pick(&column.valid, &self.rows, valid);
            match &column.values {
                Values::Ints(values) => pick(values, &self.rows, ints),
                Values::Floats(values) => pick(values, &self.rows, floats),
                Values::Codes(values) => pick(values, &self.rows, ints),
            }
        }
        let pairs = self.columns.iter().zip(guest);
        let data = pairs.map(|((ints, floats, valid), column)| match column.values {
            Values::Ints(_) => ColumnData::Int { values: ints, valid },
            Values::Floats(_) => ColumnData::Float { values: floats, valid },
            Values::Codes(_) => ColumnData::Code { values: ints, valid },
        });
        data.collect()
    }
}

fn pick<T: Copy>(from: &[T], rows: &[usize], into: &mut Vec<T>) {
    into.clear();
    into.extend(rows.iter().filter_map(|row| from.get(*row).copied()));
}
