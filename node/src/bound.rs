//! Bounds what one person contributes: row caps, rounding to the grid, clamping, the group cap. Only
//! this module makes a `Bounded`, and only a `Bounded` can be summed. `steps` rounds and clamps; `outputs` bounds what a
//! module returned.
//!
//! Guarantee: for every plan and whatever the rows or the module say, one person adds to at most
//! `group_cap` cells, to lane `l` of each at most `shape.lanes[l].sensitivity_steps` in absolute value,
//! and to all lanes of a group in each at most the group's total and norm; to each diagnostic 0 or 1, once. All of
//! it depends on that person's rows and the charge's secret alone: another person's rows, batch borders and
//! partitions change no bit. It must never look at two persons at once.

use crate::aggregate::{Exact, SumOverflow};
use crate::fault::Fault;
use crate::one_of::Groups;
use crate::private_cells::BatchKeys;
use crate::row_bytes::{CanonicalRows, RowBytes};
use crate::sample::{RowsOf, Sampler, keep_smallest};
use crate::told::Told;
use cloister_dp::{PrfKey, PrfStart, prf_wide};
use cloister_plan::ContributionPlan;
use datafusion::arrow::buffer::BooleanBuffer;
use std::ops::Range;
use std::sync::Arc;

mod outputs;
mod steps;

pub use outputs::OutputRanges;
pub use steps::{float_steps, int_steps, mark_floats, mark_ints};

/// The cell of a row whose key is null or outside the public domain: the row is dropped.
pub const NO_CELL: u32 = u32::MAX;

/// Cells that are ranked side by side.
const RANKED_AT_ONCE: usize = 4;

/// PRF domains of this file; those of `sample` are others. A secret is used in these only.
const DOMAIN_SECRET: u8 = 1;
const DOMAIN_CELL: u8 = 4;
const DOMAIN_KEY: u8 = 6;

/// What one person adds to one cell, after every cap: at most the lane's sensitivity each.
#[derive(Clone, Copy)]
pub struct Bounded<'a> {
    cell: CellOf<'a>,
    steps: &'a [i64],
}

/// What names a cell.
#[derive(Clone, Copy)]
pub enum CellOf<'a> {
    /// Its index in the public shape.
    Public(usize),
    /// The bytes of its private key.
    Private(&'a [u8]),
}

impl<'a> Bounded<'a> {
    /// The cell.
    pub fn cell(&self) -> CellOf<'a> {
        self.cell
    }

    /// One number of grid steps a lane.
    pub fn steps(&self) -> &'a [i64] {
        self.steps
    }
}

/// What each row of a batch adds to one lane, before any cap. No `Debug`: it holds records.
#[derive(Clone)]
pub enum LaneValues {
    /// 1 a row.
    EveryRow,
    /// 1 a person, however many rows.
    OncePerPerson,
    /// 1 a person with any row where set.
    OncePerPersonWith(BooleanBuffer),
    /// 1 where set.
    Counted(BooleanBuffer),
    /// Grid steps within the lane's clamping range, 0 for null.
    Steps(Vec<i64>),
}

/// Raw contributions of a batch: the cell of each row ([`NO_CELL`] for none), and its lanes.
/// No `Debug`: it holds records.
pub struct RowValues {
    /// One cell a row; where keys are private, the number of its key in `keys`.
    pub cells: Vec<u32>,
    /// The private keys of this batch alone.
    pub keys: Option<BatchKeys>,
    /// One a lane of the shape.
    pub lanes: Vec<LaneValues>,
    /// The rows with a value out of its range; empty where nobody asks, and for no such row.
    pub clipped: Vec<bool>,
}

impl RowValues {
    /// What names a cell of these rows; `None` for a number that no key has.
    fn cell(&self, cell: u32) -> Option<CellOf<'_>> {
        match &self.keys {
            None => Some(CellOf::Public(cell as usize)),
            Some(keys) => keys.bytes(cell).map(CellOf::Private),
        }
    }
}

/// The caps of one plan with the secret that decides what is kept.
pub struct Caps {
    table_row_caps: Vec<usize>,
    row_cap: usize,
    group_cap: usize,
    cells: u32,
    /// Which cells this partner answers; all of them without it.
    own: Option<Vec<bool>>,
    sensitivity_steps: Vec<i64>,
    groups: Groups,
    secret: Arc<PrfKey>,
}

impl Caps {
    /// From a plan and the charge's secret; an own secret is derived, so that partitions can share it.
    pub fn new(plan: &ContributionPlan, charge_key: &PrfKey) -> Result<Self, Fault> {
        let size = |cap: u32| usize::try_from(cap).unwrap_or(usize::MAX);
        let wrong = |what| move |_| Fault::PlanShape { what };
        let lanes = plan.shape.lanes.iter();
        let sensitivity_steps =
            lanes.map(|lane| i64::try_from(lane.sensitivity_steps)).collect::<Result<_, _>>();
        let derived = prf_wide(charge_key, DOMAIN_SECRET, &[b"caps"]);
        Ok(Self {
            table_row_caps: plan.tables.iter().map(|table| size(table.table_row_cap)).collect(),
            row_cap: size(plan.row_cap),
            group_cap: size(plan.group_cap),
            cells: match plan.shape.private_keys {
                None => u32::try_from(plan.shape.cells()?).map_err(wrong("cells"))?,
                // Every number of a batch's keys.
                Some(_) => NO_CELL,
            },
            own: None,
            sensitivity_steps: sensitivity_steps.map_err(wrong("sensitivities"))?,
            groups: Groups::of(&plan.shape),
            secret: Arc::new(PrfKey::from_bytes(derived.to_le_bytes())),
        })
    }

    /// The same for a partner that answers these cells alone, as the agreement says: what falls elsewhere
    /// is dropped before any cap counts it, like a key outside the public domain.
    pub fn answering(mut self, cells: Option<Vec<u64>>) -> Self {
        self.own = cells.map(|cells| {
            let mut own = vec![false; self.cells as usize];
            for cell in cells {
                if let Some(is_own) = own.get_mut(usize::try_from(cell).unwrap_or(usize::MAX)) {
                    *is_own = true;
                }
            }
            own
        });
        self
    }

    fn takes(&self, cell: u32) -> bool {
        let is_own = |own: &Vec<bool>| own.get(cell as usize).copied().unwrap_or(false);
        cell < self.cells && self.own.as_ref().is_none_or(is_own)
    }

    /// Rows of one person that are kept of a table; none of a table that the plan does not have.
    pub fn table_row_cap(&self, table: usize) -> usize {
        self.table_row_caps.get(table).copied().unwrap_or(0)
    }

    /// What decides which rows are kept.
    pub fn sampler(&self) -> Sampler {
        Sampler::new(Arc::clone(&self.secret))
    }
}

/// Bounds person after person; holds room that is used again, and reads nothing of an earlier person there.
pub struct Bounder {
    caps: Arc<Caps>,
    sampler: Sampler,
    unit: Vec<u8>,
    placed: Vec<(u32, usize)>,
    /// What public cells are ranked by, and their numbers.
    indexes: Vec<(u64, u32)>,
    ranked: Vec<(u128, u32)>,
    kept: Vec<u32>,
    steps: Vec<i64>,
    /// Sums of a module's outputs in one cell; none in a lane that it left out.
    sums: Vec<Option<i128>>,
}

impl Bounder {
    /// For one partition.
    pub fn new(caps: Arc<Caps>) -> Self {
        let (unit, placed, indexes, ranked, kept, steps, sums) = Default::default();
        let sampler = caps.sampler();
        Self { caps, sampler, unit, placed, indexes, ranked, kept, steps, sums }
    }

    /// Adds one person of a SQL plan that reads one table as it is to `exact`: rows `person` of the
    /// batch behind `bytes`, whose units are one a row. `cut`: what happened to her rows before.
    pub fn add_rows(
        &mut self,
        bytes: &dyn CanonicalRows,
        person: Range<usize>,
        values: &RowValues,
        cut: Told,
        exact: &mut Exact,
    ) -> Result<(), SumOverflow> {
        let (table_row_cap, of, unit_row) =
            (self.caps.table_row_cap(0), RowsOf::Table(0), person.start);
        if person.len() <= table_row_cap {
            let told = cut | self.add_kept(person, of, (bytes, unit_row), values, exact)?;
            return exact.tell(told);
        }
        bytes.unit(unit_row, &mut self.unit);
        let mut rows: Vec<usize> = person.collect();
        self.sampler.keep(&mut rows, table_row_cap, of, &self.unit, bytes);
        let told =
            cut | Told::capped(true) | self.add_kept(rows, of, (bytes, unit_row), values, exact)?;
        exact.tell(told)
    }

    /// Adds one person of any other SQL plan to `exact`: rows `person` that its relation made of her
    /// rows, of the batch behind `bytes`. Her unit stands at `unit_row` of its units. `cut`: what happened to
    /// her rows before.
    pub fn add_made(
        &mut self,
        bytes: &dyn CanonicalRows,
        unit_row: usize,
        person: Range<usize>,
        values: &RowValues,
        cut: Told,
        exact: &mut Exact,
    ) -> Result<(), SumOverflow> {
        let of = RowsOf::Relation;
        let told = cut | self.add_kept(person, of, (bytes, unit_row), values, exact)?;
        exact.tell(told)
    }

    /// Adds rows that are left of one person, whose unit stands at a row of `bytes`; what happened to her here.
    /// The unit is looked at where a cap chooses alone.
    fn add_kept(
        &mut self,
        rows: impl IntoIterator<Item = usize>,
        of: RowsOf,
        (bytes, unit_row): (&dyn CanonicalRows, usize),
        values: &RowValues,
        exact: &mut Exact,
    ) -> Result<Told, SumOverflow> {
        let cell_of = |row: usize| values.cells.get(row).copied().unwrap_or(NO_CELL);
        let Self { caps, placed, .. } = self;
        placed.clear();
        let rows = rows.into_iter().map(|row| (cell_of(row), row));
        placed.extend(rows.filter(|(cell, _)| caps.takes(*cell)));
        let count = placed.len();
        if count > caps.row_cap {
            let mut rows: Vec<usize> = placed.iter().map(|(_, row)| *row).collect();
            bytes.unit(unit_row, &mut self.unit);
            self.sampler.keep(&mut rows, caps.row_cap, of, &self.unit, bytes);
            placed.clear();
            placed.extend(rows.iter().map(|row| (cell_of(*row), *row)));
        }
        placed.sort_unstable_by_key(|(cell, _)| *cell);
        let is_over = self.is_over_groups();
        if is_over {
            bytes.unit(unit_row, &mut self.unit);
            self.choose_groups(|cell| values.cell(cell));
        }
        let mut told = Told::capped(self.placed.len() < count || is_over);
        for group in self.placed.chunk_by(|left, right| left.0 == right.0) {
            let Some((cell, _)) = group.first() else { continue };
            if is_over && self.kept.binary_search(cell).is_err() {
                continue;
            }
            let Some(cell) = values.cell(*cell) else { continue };
            self.steps.clear();
            for (lane, limit) in values.lanes.iter().zip(&self.caps.sensitivity_steps) {
                self.steps.push(within(sum_of(lane, group), *limit));
            }
            self.caps.groups.cut(&mut self.steps);
            exact.add(Bounded { cell, steps: &self.steps })?;
            let is_clipped = |(_, row): &(u32, usize)| values.clipped.get(*row) == Some(&true);
            told.contributing = true;
            told.clipped |= group.iter().any(is_clipped);
        }
        Ok(told)
    }

    /// Rows of one person that are kept of the plan's only table.
    pub fn table_row_cap(&self) -> usize {
        self.caps.table_row_cap(0)
    }

    /// Keeps at most the table's row cap of a person's `rows` of the plan's only table, in their order, as
    /// [`Bounder::add_rows`] would.
    pub fn cap_table_rows(&mut self, rows: &mut Vec<usize>, bytes: &RowBytes) {
        let Some(first) = rows.first() else { return };
        bytes.unit(*first, &mut self.unit);
        let cap = self.caps.table_row_cap(0);
        self.sampler.keep(rows, cap, RowsOf::Table(0), &self.unit, bytes);
    }

    /// Keeps at most the table's and the plan's row cap of a person's `rows`, in their order. The
    /// order given must be canonical, since copies of equal rows are numbered by it.
    pub fn cap_rows(&mut self, rows: &mut Vec<usize>, bytes: &RowBytes) {
        if self.keeps_all_rows(rows.len()) {
            return;
        }
        let Some(first) = rows.first() else { return };
        bytes.unit(*first, &mut self.unit);
        self.sampler.keep(rows, self.smaller_row_cap(), RowsOf::Table(0), &self.unit, bytes);
    }

    /// Whether [`Bounder::cap_rows`] leaves so many rows of one person as they are.
    pub fn keeps_all_rows(&self, rows: usize) -> bool {
        rows <= self.smaller_row_cap()
    }

    /// The same ranks decide both caps, so the smaller one alone decides.
    fn smaller_row_cap(&self) -> usize {
        self.caps.table_row_cap(0).min(self.caps.row_cap)
    }

    /// Whether `placed` touches more cells than the group cap.
    fn is_over_groups(&self) -> bool {
        // Fewer rows touch fewer cells.
        let cap = self.caps.group_cap;
        let distinct = self.placed.chunk_by(|left, right| left.0 == right.0);
        self.placed.len() > cap && distinct.take(cap.saturating_add(1)).count() > cap
    }

    /// Fills `kept` with the cells of `placed` to keep, sorted: those with the smallest PRF of (`unit`, cell),
    /// a private cell by the bytes of its key, since its number tells of other persons' rows.
    fn choose_groups<'k>(&mut self, name: impl Fn(u32) -> Option<CellOf<'k>>) {
        let Self { caps, unit, placed, indexes, ranked, kept, .. } = self;
        let distinct = placed.chunk_by(|left, right| left.0 == right.0);
        let start = |domain| PrfStart::new(&caps.secret, domain, &[unit]);
        let mut of_keys = None;
        ranked.clear();
        indexes.clear();
        for (cell, _) in distinct.filter_map(|group| group.first()) {
            match name(*cell) {
                Some(CellOf::Public(index)) => indexes.push((index as u64, *cell)),
                Some(CellOf::Private(key)) => {
                    let of_keys = of_keys.get_or_insert_with(|| start(DOMAIN_KEY));
                    ranked.push((of_keys.ended(key), *cell));
                }
                None => {}
            }
        }
        if !indexes.is_empty() {
            let of_cells = start(DOMAIN_CELL);
            let (fours, rest) = indexes.as_chunks::<RANKED_AT_ONCE>();
            for four in fours {
                let ranks = of_cells.ended_each(four.map(|(index, _)| index));
                ranked.extend(ranks.into_iter().zip(four.iter().map(|(_, cell)| *cell)));
            }
            for (index, cell) in rest {
                ranked.extend(of_cells.ended_each([*index]).map(|rank| (rank, *cell)));
            }
        }
        keep_smallest(ranked, caps.group_cap);
        kept.clear();
        kept.extend(ranked.iter().map(|(_, cell)| *cell));
        kept.sort_unstable();
    }
}

/// Sum of a lane over the rows of one group; at most 2^20 rows of 2^53 steps, so i128 holds it.
fn sum_of(lane: &LaneValues, group: &[(u32, usize)]) -> i128 {
    match lane {
        LaneValues::EveryRow => group.len() as i128,
        LaneValues::OncePerPerson => 1,
        LaneValues::OncePerPersonWith(set) => {
            i128::from(group.iter().any(|(_, row)| *row < set.len() && set.value(*row)))
        }
        LaneValues::Counted(set) => {
            group.iter().filter(|(_, row)| *row < set.len() && set.value(*row)).count() as i128
        }
        LaneValues::Steps(steps) => {
            let values = group.iter().filter_map(|(_, row)| steps.get(*row));
            values.map(|steps| i128::from(*steps)).sum()
        }
    }
}

/// Within `-limit..=limit`. The caps before it keep every sum there; this one makes it a fact that
/// does not rest on them.
fn within(sum: i128, limit: i64) -> i64 {
    let limit = i128::from(limit.max(0));
    i64::try_from(sum.clamp(-limit, limit)).unwrap_or(0)
}

#[cfg(test)]
#[path = "bound_tests.rs"]
mod tests;
