//! Sorted batches become whole persons. A person whose rows straddle batches is carried over, so that
//! batch borders cannot be seen; a person too large for the memory set aside for one gives the
//! default contribution, which is none. That depends on the person's own rows alone.

use crate::evaluate::Columns;
use crate::fault::Fault;
use crate::row_bytes::{RowBytes, TypedColumn, known_text_bytes};
use crate::scan::Layout;
use crate::work::WORK_MAX;
use cloister_terms::Name;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, partition, take_record_batch};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

/// Most rows of one person that are held at once: the longest text a function makes on each of them
/// still fits one column.
pub const PERSON_ROWS_MAX: usize = 1 << 18;
/// Most bytes of one person's rows that are held at once: 8 a value, and the length of each text.
pub const PERSON_BYTES_MAX: usize = 256 << 20;
/// Bytes a value of any type but text is counted as.
const VALUE_BYTES: usize = 8;

/// Whole persons: a batch, and where each person's rows lie in it. No `Debug`: it holds records.
pub struct PersonBlock {
    layout: Arc<Layout>,
    batch: RecordBatch,
    bytes: RowBytes,
    order: Vec<TypedColumn>,
    persons: Vec<Whole>,
}

/// One person of a block.
struct Whole {
    rows: Range<usize>,
    /// Whether the limits hold them; of a person that they do not, some rows may be missing.
    fits: bool,
    /// Whether rows of hers were left out by a cap before.
    is_cut: bool,
}

/// Rows cut off a stream: whole persons, or what is left of one that is too large.
struct Cut {
    batch: RecordBatch,
    fits: bool,
}

impl PersonBlock {
    fn new(layout: &Arc<Layout>, cut: Cut, limits: PersonLimits) -> Result<Self, Fault> {
        let typed = typed(&cut.batch)?;
        let whole = |rows: Range<usize>| {
            let text = typed.iter().map(|column| column.text_bytes(rows.start, rows.end)).sum();
            let fits = cut.fits && limits.hold(rows.len(), text, typed.len());
            Whole { rows, fits, is_cut: false }
        };
        let persons = borders(&cut.batch)?.into_iter().map(whole).collect();
        Self::of(Arc::clone(layout), cut.batch, typed, persons)
    }

    fn of(
        layout: Arc<Layout>,
        batch: RecordBatch,
        typed: Vec<TypedColumn>,
        persons: Vec<Whole>,
    ) -> Result<Self, Fault> {
        let one = |index: usize| typed.get(index).cloned().ok_or(Fault::Layout { index });
        let columns = layout.columns().map(one).collect::<Result<_, _>>()?;
        let order = layout.order().iter().map(|index| one(*index)).collect::<Result<_, _>>()?;
        let bytes = RowBytes::new(one(0)?, columns);
        Ok(Self { layout, batch, bytes, order, persons })
    }

    /// The block with at most `cap` rows of each person, those that `keep` leaves, and without the persons
    /// that the limits do not hold: what nobody contributes need not be computed. `keep` is asked about
    /// persons over the cap alone, one at a time, who are marked.
    pub(crate) fn within(
        self,
        cap: usize,
        keep: &mut dyn FnMut(&mut Vec<usize>, &RowBytes),
    ) -> Result<Self, Fault> {
        if self.persons.iter().all(|person| person.fits && person.rows.len() <= cap) {
            return Ok(self);
        }
        let (mut taken, mut persons) = (Vec::new(), Vec::with_capacity(self.persons.len()));
        for person in self.persons() {
            let start = taken.len();
            let mut rows: Vec<usize> = person.collect();
            let is_cut = rows.len() > cap;
            if is_cut {
                keep(&mut rows, &self.bytes);
            }
            // A batch has fewer rows than 2^32: its texts are counted in 32 bits.
            taken.extend(rows.into_iter().filter_map(|row| u32::try_from(row).ok()));
            persons.push(Whole { rows: start..taken.len(), fits: true, is_cut });
        }
        self.taken(&UInt32Array::from(taken), persons)
    }

    /// The block without the rows of persons whose rows are more work than one person's may be, who are marked.
    /// `work` is that of some columns' rows.
    pub(crate) fn affordable(self, work: &dyn Fn(Columns<'_>) -> u64) -> Result<Self, Fault> {
        let units =
            |arrays: &[ArrayRef], rows: usize| work(Columns { names: self.names(), arrays, rows });
        if units(self.arrays(), self.rows()) <= WORK_MAX {
            return Ok(self);
        }
        let is_too_much = |rows: &Range<usize>| {
            let arrays = self.arrays().iter().map(|array| array.slice(rows.start, rows.len()));
            units(&arrays.collect::<Vec<_>>(), rows.len()) > WORK_MAX
        };
        let (mut taken, mut persons) = (Vec::new(), Vec::with_capacity(self.persons.len()));
        for person in self.persons.iter().filter(|person| person.fits) {
            let start = taken.len();
            let is_too_much = is_too_much(&person.rows);
            if !is_too_much {
                taken.extend(person.rows.clone().filter_map(|row| u32::try_from(row).ok()));
            }
            let is_cut = person.is_cut || is_too_much;
            persons.push(Whole { rows: start..taken.len(), fits: true, is_cut });
        }
        self.taken(&UInt32Array::from(taken), persons)
    }

    fn taken(self, rows: &UInt32Array, persons: Vec<Whole>) -> Result<Self, Fault> {
        let batch = take_record_batch(&self.batch, rows);
        let batch = batch.map_err(|error| Fault::Scan(error.into()))?;
        let typed = typed(&batch)?;
        Self::of(self.layout, batch, typed, persons)
    }

    /// Rows of each person that the limits hold, in the order of the batch.
    pub fn persons(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.persons.iter().filter(|person| person.fits).map(|person| person.rows.clone())
    }

    /// The same with whether cutting the block to the caps left out rows of theirs.
    pub fn persons_cut(&self) -> impl Iterator<Item = (Range<usize>, bool)> + '_ {
        let held = self.persons.iter().filter(|person| person.fits);
        held.map(|person| (person.rows.clone(), person.is_cut))
    }

    /// How many persons the limits do not hold.
    pub fn too_large(&self) -> usize {
        self.persons.iter().filter(|person| !person.fits).count()
    }

    /// Number of persons, those too large to hold included; in the order of their units.
    pub(super) fn count(&self) -> usize {
        self.persons.len()
    }

    /// Rows of the person at a place, and whether the limits hold them.
    pub(super) fn person(&self, place: usize) -> Option<(Range<usize>, bool)> {
        self.persons.get(place).map(|person| (person.rows.clone(), person.fits))
    }

    /// The unit of each row, as an array.
    pub(super) fn units(&self) -> Option<&ArrayRef> {
        self.batch.columns().first()
    }

    /// A person's rows in canonical order: the dictionary's order columns, then the row's own bytes.
    /// Rows that tie are equal in everything that is contributed.
    pub fn canonical_rows(&self, person: Range<usize>) -> Vec<usize> {
        let mut rows = Vec::with_capacity(person.len());
        self.canonical_rows_into(person, &mut rows);
        rows
    }

    /// As [`PersonBlock::canonical_rows`], in place of what `rows` held.
    pub fn canonical_rows_into(&self, person: Range<usize>, rows: &mut Vec<usize>) {
        rows.clear();
        rows.extend(person.clone());
        if !self.is_in_order(person) {
            rows.sort_unstable_by(|left, right| self.row_order(*left, *right));
        }
    }

    /// Whether a person's rows lie in canonical order already.
    pub fn is_in_order(&self, person: Range<usize>) -> bool {
        #[cfg(feature = "for-tests")]
        if self.layout.is_unordered() {
            return true;
        }
        // Mostly the first column alone tells, without a look at any other.
        if self.order.first().is_some_and(|first| first.is_climbing(person.clone())) {
            return true;
        }
        let mut pairs = person.clone().zip(person.skip(1));
        pairs.all(|(left, right)| self.row_order(left, right) != Ordering::Greater)
    }

    /// Order of two of a person's rows.
    fn row_order(&self, left: usize, right: usize) -> Ordering {
        let mut columns = self.order.iter().map(|column| column.order(left, right));
        let order = columns.find(|order| *order != Ordering::Equal);
        order.unwrap_or_else(|| self.bytes.row_order(left, right))
    }

    /// Bytes of units and rows.
    pub fn row_bytes(&self) -> &RowBytes {
        &self.bytes
    }

    /// Names of the approved columns.
    pub fn names(&self) -> &[Name] {
        self.layout.names()
    }

    /// The approved columns, one a name.
    pub fn arrays(&self) -> &[ArrayRef] {
        self.batch.columns().get(self.layout.columns()).unwrap_or_default()
    }

    /// An approved column by name.
    pub fn column(&self, name: &Name) -> Option<&ArrayRef> {
        let place = self.names().iter().position(|known| known == name)?;
        self.arrays().get(place)
    }

    /// Rows in the batch, rows of dropped persons included.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}

/// How large one person may be.
#[derive(Debug, Clone, Copy)]
pub struct PersonLimits {
    /// Rows.
    pub rows: usize,
    /// Bytes, counted from values and text lengths alone.
    pub bytes: usize,
}

impl Default for PersonLimits {
    fn default() -> Self {
        Self { rows: PERSON_ROWS_MAX, bytes: PERSON_BYTES_MAX }
    }
}

impl PersonLimits {
    /// Whether so many rows of so many columns, with so many bytes of text in all, are within them.
    pub(crate) fn hold(self, rows: usize, text_bytes: usize, columns: usize) -> bool {
        let values = rows.saturating_mul(columns).saturating_mul(VALUE_BYTES);
        rows <= self.rows && values.saturating_add(text_bytes) <= self.bytes
    }
}

/// The columns of a batch.
pub(super) fn typed(batch: &RecordBatch) -> Result<Vec<TypedColumn>, Fault> {
    let columns = batch.columns().iter().enumerate();
    columns.map(|(index, array)| TypedColumn::new(array, index)).collect()
}

/// Rows of each unit in a sorted batch.
fn borders(batch: &RecordBatch) -> Result<Vec<Range<usize>>, Fault> {
    let unit = batch.columns().first().ok_or(Fault::Layout { index: 0 })?;
    let borders =
        partition(std::slice::from_ref(unit)).map_err(|error| Fault::Scan(error.into()))?;
    Ok(borders.ranges())
}

/// Bytes of text in all columns of a batch.
fn text_bytes(batch: &RecordBatch) -> usize {
    let texts = batch.columns().iter().filter_map(|array| array.as_string_opt::<i32>());
    texts.map(|texts| known_text_bytes(texts, 0..texts.len())).sum()
}

/// The persons of one partition, block by block.
pub struct PersonBlocks {
    stream: SendableRecordBatchStream,
    layout: Arc<Layout>,
    limits: PersonLimits,
    /// Rows of the person that the last batch ended with.
    open: Vec<RecordBatch>,
    open_rows: usize,
    open_text_bytes: usize,
    /// Blocks cut and not yet taken.
    ready: Vec<Cut>,
}

impl PersonBlocks {
    pub(super) fn new(
        stream: SendableRecordBatchStream,
        layout: Arc<Layout>,
        limits: PersonLimits,
    ) -> Self {
        Self {
            stream,
            layout,
            limits,
            open: Vec::new(),
            open_rows: 0,
            open_text_bytes: 0,
            ready: Vec::new(),
        }
    }

    /// The next block of whole persons; `None` at the end. Errors when the engine does.
    pub async fn next(&mut self) -> Result<Option<PersonBlock>, Fault> {
        loop {
            if let Some(cut) = self.ready.pop() {
                return PersonBlock::new(&self.layout, cut, self.limits).map(Some);
            }
            match self.stream.next().await {
                Some(batch) => self.cut(batch?)?,
                None => {
                    let last = self.close()?;
                    return last
                        .map(|cut| PersonBlock::new(&self.layout, cut, self.limits))
                        .transpose();
                }
            }
        }
    }

    /// Cuts a batch: the rest of the open person, the whole persons, the next open one.
    fn cut(&mut self, batch: RecordBatch) -> Result<(), Fault> {
        let borders = borders(&batch)?;
        let (Some(first), Some(last)) = (borders.first().cloned(), borders.last().cloned()) else {
            return Ok(());
        };
        let continues = self.open.first().is_some_and(|open| same_unit(open, &batch));
        let head = if continues { first.end } else { 0 };
        if continues {
            self.hold(batch.slice(0, head));
            if head == batch.num_rows() {
                return Ok(());
            }
        }
        let closed = self.close()?;
        if last.start > head {
            let batch = batch.slice(head, last.start - head);
            self.ready.push(Cut { batch, fits: true });
        }
        self.ready.extend(closed);
        self.hold(batch.slice(last.start, last.len()));
        Ok(())
    }

    fn hold(&mut self, rows: RecordBatch) {
        self.open_rows = self.open_rows.saturating_add(rows.num_rows());
        self.open_text_bytes = self.open_text_bytes.saturating_add(text_bytes(&rows));
        // Over the cap the person is dropped anyway: one batch stays, to know the unit by.
        if self.open.is_empty() || self.fits(rows.num_columns()) {
            self.open.push(rows);
        } else {
            self.open.truncate(1);
        }
    }

    fn fits(&self, columns: usize) -> bool {
        self.limits.hold(self.open_rows, self.open_text_bytes, columns)
    }

    /// The open person's rows in one batch, one row to tell the unit when they are too many; `None`
    /// when there is no open person.
    fn close(&mut self) -> Result<Option<Cut>, Fault> {
        let open = std::mem::take(&mut self.open);
        let Some(first) = open.first() else { return Ok(None) };
        let fits = self.fits(first.num_columns());
        self.open_rows = 0;
        self.open_text_bytes = 0;
        if !fits {
            return Ok(Some(Cut { batch: first.slice(0, 1.min(first.num_rows())), fits }));
        }
        let batch = concat_batches(&first.schema(), &open);
        batch.map(|batch| Some(Cut { batch, fits })).map_err(|error| Fault::Scan(error.into()))
    }
}

/// Whether both batches start with the same unit.
fn same_unit(open: &RecordBatch, batch: &RecordBatch) -> bool {
    let first = |batch: &RecordBatch| {
        let unit = batch.columns().first()?;
        Some(unit.slice(0, 1.min(unit.len())))
    };
    first(open).zip(first(batch)).is_some_and(|(open, next)| *open == *next)
}
