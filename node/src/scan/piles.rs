//! Rows of many streams, dealt to piles by their units: all rows of a person fall on one pile, so that the
//! persons of a pile are whole without any row being sorted or copied. What each row adds was worked out
//! when it was read, and only those numbers are dealt; the rows stay where they were read, to be asked for
//! their bytes where a cap must choose. A person is a set of rows here: what is made of it must not depend
//! on the order in which streams, batches and rows came.

use crate::bound::{LaneValues, RowValues};
use crate::catalog::function::TEXT_VALUE_BYTES_MAX;
use crate::fault::Fault;
use crate::mix::{mixed, mixed_bytes};
use crate::row_bytes::{CanonicalRows, TypedColumn};
use crate::scan::Layout;
use crate::scan::persons::{PersonLimits, typed};
use datafusion::arrow::array::{Array, RecordBatch};
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

/// The first bits of a unit's mixture name its pile.
const PILE_BITS: u32 = 7;
/// Piles that rows are dealt to.
pub const PILES: usize = 1 << PILE_BITS;
/// The bits behind them by which a pile is put in order first.
const HEAP_BITS: u32 = 12;
const HEAPS: usize = 1 << HEAP_BITS;

/// Rows of some streams on their piles. No `Debug`: it holds records.
pub struct Dealt {
    layout: Arc<Layout>,
    /// The columns of each batch, the unit first.
    batches: Vec<Vec<TypedColumn>>,
    piles: Vec<Pile>,
}

/// What is known of each row of a pile, side by side.
#[derive(Default)]
struct Pile {
    /// Mixture of the unit.
    keys: Vec<u64>,
    places: Vec<Place>,
    cells: Vec<u32>,
    lanes: Vec<LaneRows>,
    clipped: Vec<bool>,
}

/// Where a row was read.
#[derive(Clone, Copy)]
struct Place {
    batch: u32,
    row: u32,
}

/// [`LaneValues`] that can grow.
#[derive(Clone)]
enum LaneRows {
    EveryRow,
    OncePerPerson,
    OncePerPersonWith(Vec<bool>),
    Counted(Vec<bool>),
    Steps(Vec<i64>),
}

impl Dealt {
    /// No rows yet.
    pub fn new(layout: Arc<Layout>) -> Self {
        Self { layout, batches: Vec::new(), piles: Vec::new() }
    }

    /// Deals a batch of the scan, of which `values` were worked out with public keys; a row without a unit is
    /// dropped. Errors when a column has another type than the layout's.
    pub fn deal(&mut self, batch: &RecordBatch, values: &RowValues) -> Result<(), Fault> {
        let columns = typed(batch)?;
        let units = columns.first().ok_or(Fault::Layout { index: 0 })?;
        let keys = unit_keys(units);
        if self.piles.is_empty() {
            self.piles.resize_with(PILES, || Pile::like(values));
        }
        // Fewer batches than 2^32, of fewer rows.
        let number = self.batches.len() as u32;
        let (rows, ends) = by_pile(&keys, |row| !units.is_null(row));
        let mut start = 0;
        for (pile, end) in self.piles.iter_mut().zip(ends) {
            let here = rows.get(start..end).unwrap_or_default();
            if !here.is_empty() {
                pile.take(number, here, &keys, values);
            }
            start = end;
        }
        self.batches.push(columns);
        Ok(())
    }
}

/// Row numbers pile by pile, and where each pile ends among them.
fn by_pile(keys: &[u64], is_known: impl Fn(usize) -> bool) -> (Vec<u32>, [usize; PILES]) {
    let pile = |key: &u64| (key >> (u64::BITS - PILE_BITS)) as usize;
    let mut ends = [0usize; PILES];
    for key in keys {
        if let Some(count) = ends.get_mut(pile(key)) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for end in &mut ends {
        // Where the pile begins, for now.
        sum += std::mem::replace(end, sum);
    }
    let mut rows = vec![0u32; keys.len()];
    let mut unknown = false;
    for (row, key) in keys.iter().enumerate() {
        let Some(next) = ends.get_mut(pile(key)) else { continue };
        if let Some(place) = rows.get_mut(*next) {
            *place = row as u32;
        }
        *next += 1;
        unknown |= !is_known(row);
    }
    if unknown {
        let mut kept = 0;
        let mut known = Vec::with_capacity(rows.len());
        for end in &mut ends {
            let here = rows.get(kept..*end).unwrap_or_default();
            kept = *end;
            known.extend(here.iter().filter(|row| is_known(**row as usize)));
            *end = known.len();
        }
        rows = known;
    }
    (rows, ends)
}

/// The keys of one pile in order, each with its place. Counted into heaps first: mostly a heap then holds
/// one key.
fn in_order(keys: &[u64]) -> Vec<(u64, usize)> {
    let heap = |key: u64| (key << PILE_BITS >> (u64::BITS - HEAP_BITS)) as usize;
    let mut starts = vec![0usize; HEAPS];
    for key in keys {
        if let Some(count) = starts.get_mut(heap(*key)) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += std::mem::replace(start, sum);
    }
    let mut keyed = vec![(0u64, 0usize); keys.len()];
    for (place, key) in keys.iter().enumerate() {
        let Some(next) = starts.get_mut(heap(*key)) else { continue };
        if let Some(slot) = keyed.get_mut(*next) {
            *slot = (*key, place);
        }
        *next += 1;
    }
    for heap in keyed.chunk_by_mut(|left, right| heap(left.0) == heap(right.0)) {
        if heap.first().is_some_and(|first| heap.iter().any(|other| other.0 != first.0)) {
            heap.sort_unstable_by_key(|(key, _)| *key);
        }
    }
    keyed
}

/// A mixture of each unit; equal units share it.
fn unit_keys(units: &TypedColumn) -> Vec<u64> {
    let of_int = |value: &i64| mixed(value.cast_unsigned());
    match units {
        TypedColumn::Int(column) => column.values().iter().map(of_int).collect(),
        TypedColumn::Timestamp(column) => column.values().iter().map(of_int).collect(),
        TypedColumn::Float(column) => {
            column.values().iter().map(|value| mixed((value + 0.0).to_bits())).collect()
        }
        TypedColumn::Text(column) => {
            (0..column.len()).map(|row| mixed_bytes(0, column.value(row).as_bytes())).collect()
        }
        TypedColumn::Bool(column) => {
            (0..column.len()).map(|row| mixed(u64::from(column.value(row)))).collect()
        }
    }
}

/// Whether different units of this type never share a mixture.
fn has_own_keys(units: &TypedColumn) -> bool {
    matches!(units, TypedColumn::Int(_) | TypedColumn::Timestamp(_))
}

/// The items at these places.
fn picked<T: Copy + Default>(from: &[T], places: impl Iterator<Item = usize>) -> Vec<T> {
    places.map(|place| from.get(place).copied().unwrap_or_default()).collect()
}

impl Pile {
    /// An empty pile of rows of this kind.
    fn like(values: &RowValues) -> Self {
        let lane = |lane: &LaneValues| match lane {
            LaneValues::EveryRow => LaneRows::EveryRow,
            LaneValues::OncePerPerson => LaneRows::OncePerPerson,
            LaneValues::OncePerPersonWith(_) => LaneRows::OncePerPersonWith(Vec::new()),
            LaneValues::Counted(_) => LaneRows::Counted(Vec::new()),
            LaneValues::Steps(_) => LaneRows::Steps(Vec::new()),
        };
        Self { lanes: values.lanes.iter().map(lane).collect(), ..Self::default() }
    }

    fn take(&mut self, batch: u32, rows: &[u32], keys: &[u64], values: &RowValues) {
        let place = |row: &u32| *row as usize;
        self.keys.extend(rows.iter().map(|row| keys.get(place(row)).copied().unwrap_or(0)));
        self.places.extend(rows.iter().map(|row| Place { batch, row: *row }));
        let cells = &values.cells;
        let cell = |row: &u32| cells.get(place(row)).copied().unwrap_or(crate::bound::NO_CELL);
        self.cells.extend(rows.iter().map(cell));
        for (lane, from) in self.lanes.iter_mut().zip(&values.lanes) {
            match (lane, from) {
                (LaneRows::Steps(lane), LaneValues::Steps(from)) => {
                    lane.extend(rows.iter().map(|row| from.get(place(row)).copied().unwrap_or(0)));
                }
                (LaneRows::Counted(lane), LaneValues::Counted(from))
                | (LaneRows::OncePerPersonWith(lane), LaneValues::OncePerPersonWith(from)) => {
                    let is_set = |row: &u32| place(row) < from.len() && from.value(place(row));
                    lane.extend(rows.iter().map(is_set));
                }
                // One plan gives all batches: the others hold nothing a row.
                _ => {}
            }
        }
        if !values.clipped.is_empty() {
            let clipped = &values.clipped;
            let is_clipped = |row: &u32| clipped.get(place(row)) == Some(&true);
            self.clipped.extend(rows.iter().map(is_clipped));
        }
    }

    /// This pile's rows behind those of `whole`.
    fn append_to(&self, whole: &mut Self) {
        if whole.lanes.is_empty() {
            whole.lanes.clone_from(&self.lanes);
        } else {
            for (lane, more) in whole.lanes.iter_mut().zip(&self.lanes) {
                match (lane, more) {
                    (LaneRows::Steps(lane), LaneRows::Steps(more)) => lane.extend_from_slice(more),
                    (LaneRows::Counted(lane), LaneRows::Counted(more))
                    | (LaneRows::OncePerPersonWith(lane), LaneRows::OncePerPersonWith(more)) => {
                        lane.extend_from_slice(more);
                    }
                    _ => {}
                }
            }
        }
        whole.cells.extend_from_slice(&self.cells);
        whole.clipped.extend_from_slice(&self.clipped);
    }

    /// What the rows at these places add, in this order.
    fn values(&self, order: &[usize]) -> RowValues {
        let order = || order.iter().copied();
        let lane = |lane: &LaneRows| match lane {
            LaneRows::EveryRow => LaneValues::EveryRow,
            LaneRows::OncePerPerson => LaneValues::OncePerPerson,
            LaneRows::OncePerPersonWith(set) => {
                LaneValues::OncePerPersonWith(picked(set, order()).into())
            }
            LaneRows::Counted(set) => LaneValues::Counted(picked(set, order()).into()),
            LaneRows::Steps(steps) => LaneValues::Steps(picked(steps, order())),
        };
        let clipped =
            if self.clipped.is_empty() { Vec::new() } else { picked(&self.clipped, order()) };
        RowValues {
            cells: picked(&self.cells, order()),
            keys: None,
            lanes: self.lanes.iter().map(lane).collect(),
            clipped,
        }
    }
}

/// The whole persons of one pile. Rows are numbered person by person. No `Debug`: it holds records.
pub struct PilePersons<'a> {
    dealt: &'a [Dealt],
    /// Which pile.
    pile: usize,
    /// The rows' places among those of all [`Dealt`], one behind the other.
    order: Vec<usize>,
    persons: Vec<Range<usize>>,
    values: RowValues,
}

impl<'a> PilePersons<'a> {
    /// The persons of one of the [`PILES`].
    pub fn new(dealt: &'a [Dealt], pile: usize) -> Self {
        let mut whole = Pile::default();
        let mut keys: Vec<u64> = Vec::new();
        for pile in dealt.iter().filter_map(|dealt| dealt.piles.get(pile)) {
            keys.extend_from_slice(&pile.keys);
            pile.append_to(&mut whole);
        }
        let keyed = in_order(&keys);
        let mut found = Self {
            dealt,
            pile,
            order: keyed.iter().map(|(_, place)| *place).collect(),
            persons: Vec::new(),
            values: RowValues { cells: vec![], keys: None, lanes: vec![], clipped: vec![] },
        };
        let is_own = found.unit_of(0).is_some_and(|(units, _)| has_own_keys(units));
        let mut start = 0;
        for same in keyed.chunk_by(|left, right| left.0 == right.0) {
            let rows = start..start + same.len();
            start = rows.end;
            if is_own {
                found.persons.push(rows);
            } else {
                found.part(rows);
            }
        }
        found.values = whole.values(&found.order);
        found
    }

    /// Takes rows whose units share a mixture apart, where they are not one person's.
    fn part(&mut self, rows: Range<usize>) {
        let is_one = rows.clone().all(|row| {
            let (first, other) = (self.unit_of(rows.start), self.unit_of(row));
            first.zip(other).is_some_and(|((first, at), (other, row))| {
                first.order_between(at, other, row) == Some(Ordering::Equal)
            })
        });
        if is_one {
            self.persons.push(rows);
            return;
        }
        let mut places = self.order.get(rows.clone()).unwrap_or_default().to_vec();
        places.sort_by(|left, right| self.unit_order(*left, *right));
        let same = places.chunk_by(|left, right| self.unit_order(*left, *right).is_eq());
        let counts: Vec<usize> = same.map(<[usize]>::len).collect();
        let mut start = rows.start;
        for count in counts {
            self.persons.push(start..start + count);
            start += count;
        }
        if let Some(order) = self.order.get_mut(rows) {
            order.copy_from_slice(&places);
        }
    }

    /// What the rows add; they are numbered as in [`Self::persons`].
    pub fn values(&self) -> &RowValues {
        &self.values
    }

    /// The rows of each person, and whether the limits hold them.
    pub fn persons(&self, limits: PersonLimits) -> impl Iterator<Item = (Range<usize>, bool)> + '_ {
        self.persons.iter().map(move |rows| (rows.clone(), self.fits(rows.clone(), limits)))
    }

    fn fits(&self, rows: Range<usize>, limits: PersonLimits) -> bool {
        let some = self.dealt.iter().find_map(|dealt| dealt.batches.first());
        let columns = some.map_or(0, Vec::len);
        if !limits.hold(rows.len(), 0, columns) {
            return false;
        }
        // No value is longer, so mostly nothing need be counted.
        let most = rows.len().saturating_mul(columns).saturating_mul(TEXT_VALUE_BYTES_MAX);
        limits.hold(rows.len(), most, columns)
            || limits.hold(rows.len(), rows.map(|row| self.text_bytes(row)).sum(), columns)
    }

    fn text_bytes(&self, row: usize) -> usize {
        let Some((columns, row)) = self.row_of(row) else { return 0 };
        columns.iter().map(|column| column.text_bytes(row, row.saturating_add(1))).sum()
    }

    /// A row's columns, and where in them it stands.
    fn row_of(&self, row: usize) -> Option<(&'a [TypedColumn], usize)> {
        self.at(*self.order.get(row)?)
    }

    /// The same for a place.
    fn at(&self, mut place: usize) -> Option<(&'a [TypedColumn], usize)> {
        for dealt in self.dealt {
            let places = dealt.piles.get(self.pile).map_or(&[][..], |pile| &pile.places);
            match places.get(place) {
                Some(Place { batch, row }) => {
                    return Some((dealt.batches.get(*batch as usize)?, *row as usize));
                }
                None => place = place.saturating_sub(places.len()),
            }
        }
        None
    }

    fn unit_of(&self, row: usize) -> Option<(&'a TypedColumn, usize)> {
        let (columns, row) = self.row_of(row)?;
        Some((columns.first()?, row))
    }

    /// Order of the units at two places.
    fn unit_order(&self, left: usize, right: usize) -> Ordering {
        let unit = |place| self.at(place).and_then(|(columns, row)| Some((columns.first()?, row)));
        let both = unit(left).zip(unit(right));
        // All batches are of one layout.
        both.and_then(|((left, at), (right, row))| left.order_between(at, right, row))
            .unwrap_or(Ordering::Equal)
    }
}

impl CanonicalRows for PilePersons<'_> {
    fn unit(&self, row: usize, into: &mut Vec<u8>) {
        into.clear();
        if let Some((unit, row)) = self.unit_of(row) {
            unit.write(row, into);
        }
    }

    fn row(&self, row: usize, into: &mut Vec<u8>) {
        into.clear();
        let Some((columns, row)) = self.row_of(row) else { return };
        let Some(dealt) = self.dealt.first() else { return };
        for column in columns.get(dealt.layout.columns()).unwrap_or_default() {
            column.write(row, into);
        }
    }
}

#[cfg(test)]
#[path = "piles_tests.rs"]
mod tests;
