//! Rows that the files hold person by person already, in the order of units, need no sort: they are
//! read as they lie, and only whole persons pass. Nothing is believed of the files: every unit is
//! compared with the one before, and what shows another order ends the attempt. It must never let a
//! person through whose rows might lie in two places.
//!
//! Why that holds: of each stream the first and the last person are kept back. All others stand strictly
//! between the two. When the kept persons of all streams, put side by side, are in order too, then the
//! streams meet at their ends alone, so nobody between them is anywhere else; and the kept ones are
//! joined where two streams end and begin with the same person.

use crate::fault::Fault;
use crate::row_bytes::TypedColumn;
use crate::scan::Layout;
use crate::scan::persons::{PersonBlocks, PersonLimits};
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Streams of persons, not yet known to be in order.
pub struct Standing {
    /// One a stream of the scan.
    pub parts: Vec<StandingPart>,
    layout: Arc<Layout>,
    limits: PersonLimits,
    schema: Option<SchemaRef>,
}

/// One stream: its persons but for the first and the last.
pub struct StandingPart {
    /// The persons between; an error when [`Ends::is_broken`].
    pub blocks: PersonBlocks,
    /// What is kept back.
    pub ends: Ends,
}

/// The first and the last person of a stream, known when the stream has ended. No `Debug`: it holds records.
#[derive(Clone, Default)]
pub struct Ends(Arc<Mutex<Kept>>);

/// Every batch holds rows of one person alone.
#[derive(Default)]
struct Kept {
    first: Vec<RecordBatch>,
    last: Vec<RecordBatch>,
    is_broken: bool,
}

impl Ends {
    /// Whether the stream showed rows in another order: then its error means that they must be sorted.
    pub fn is_broken(&self) -> bool {
        self.kept().is_broken
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self) -> DataFusionError {
        self.kept().is_broken = true;
        DataFusionError::Execution("the rows do not lie in the order of units".to_owned())
    }
}

impl Standing {
    /// Looks at the first rows of each stream; `None` when they show another order already.
    pub(super) async fn open(
        streams: Vec<SendableRecordBatchStream>,
        layout: Arc<Layout>,
        limits: PersonLimits,
    ) -> Result<Option<Self>, Fault> {
        let schema = streams.first().map(|stream| stream.schema());
        let mut watches = Vec::with_capacity(streams.len());
        for stream in streams {
            watches.push(Watch::open(stream, limits.rows).await?);
        }
        if !set_ceilings(&mut watches)? {
            return Ok(None);
        }
        let parts = watches.into_iter().map(|watch| {
            let ends = watch.ends.clone();
            let blocks = PersonBlocks::new(watch.stream(), Arc::clone(&layout), limits);
            StandingPart { blocks, ends }
        });
        Ok(Some(Self { parts: parts.collect(), layout, limits, schema }))
    }

    /// The persons that were kept back, once every stream has ended; `None` when they are not in order.
    pub fn kept_back(self, ends: Vec<Ends>) -> Result<Option<PersonBlocks>, Fault> {
        let Some(schema) = self.schema else { return Ok(None) };
        let mut streams = Vec::with_capacity(ends.len());
        for ends in &ends {
            let mut kept = ends.kept();
            if kept.is_broken {
                return Ok(None);
            }
            let batches: Vec<_> = kept.first.drain(..).collect();
            let batches: Vec<_> = batches.into_iter().chain(kept.last.drain(..)).collect();
            if let (Some(first), Some(last)) = (batches.first(), batches.last()) {
                streams.push((unit_at(first, 0)?, unit_at(last, 0)?, batches));
            }
        }
        streams.sort_by(|(first, last, _), (other_first, other_last, _)| {
            order(first, other_first).then_with(|| order(last, other_last))
        });
        let mut before: Option<TypedColumn> = None;
        let mut batches = Vec::new();
        for batch in streams.into_iter().flat_map(|(_, _, batches)| batches) {
            let unit = unit_at(&batch, 0)?;
            if before.is_some_and(|before| order(&before, &unit) == Ordering::Greater) {
                return Ok(None);
            }
            before = Some(unit);
            batches.push(batch);
        }
        let batches = stream::iter(batches.into_iter().map(Ok));
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, batches));
        Ok(Some(PersonBlocks::new(stream, self.layout, self.limits)))
    }
}

/// No stream may reach past the first unit of the next one. False when one does already.
fn set_ceilings(watches: &mut [Watch]) -> Result<bool, Fault> {
    let mut firsts = Vec::with_capacity(watches.len());
    for (place, watch) in watches.iter().enumerate() {
        if let Some(batch) = &watch.pending {
            firsts.push((unit_at(batch, 0)?, place));
        }
    }
    firsts.sort_by(|(unit, _), (other, _)| order(unit, other));
    for pair in firsts.windows(2) {
        let [(_, place), (next, _)] = pair else { continue };
        if let Some(watch) = watches.get_mut(*place) {
            watch.ceiling = Some(next.clone());
        }
    }
    for watch in watches {
        if let Some(batch) = &watch.pending
            && !watch.is_in_order(&TypedColumn::new(batch.column(0), 0)?, batch.num_rows())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One stream under watch.
struct Watch {
    source: SendableRecordBatchStream,
    ends: Ends,
    rows_max: usize,
    /// Read, but not looked at yet.
    pending: Option<RecordBatch>,
    /// First unit of the next stream.
    ceiling: Option<TypedColumn>,
    /// Unit of the row that was last looked at.
    before: Option<TypedColumn>,
    is_past_first: bool,
    /// Rows of the person that the rows so far end with, once that is not the first.
    held: Vec<RecordBatch>,
    /// Rows of the open person, the first included.
    open_rows: usize,
    ready: VecDeque<RecordBatch>,
}

impl Watch {
    async fn open(
        mut source: SendableRecordBatchStream,
        rows_max: usize,
    ) -> Result<Self, DataFusionError> {
        let mut pending = None;
        while let Some(batch) = source.next().await.transpose()? {
            if batch.num_rows() > 0 {
                pending = Some(batch);
                break;
            }
        }
        Ok(Self {
            source,
            ends: Ends::default(),
            rows_max,
            pending,
            ceiling: None,
            before: None,
            is_past_first: false,
            held: Vec::new(),
            open_rows: 0,
            ready: VecDeque::new(),
        })
    }

    /// The rows between the first and the last person.
    fn stream(self) -> SendableRecordBatchStream {
        let schema = self.source.schema();
        let rows = stream::try_unfold(self, |mut watch| async move {
            let batch = watch.next().await?;
            Ok(batch.map(|batch| (batch, watch)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let batch = match self.pending.take() {
                Some(batch) => Some(batch),
                None => self.source.next().await.transpose()?,
            };
            let Some(batch) = batch else {
                self.ends.kept().last = std::mem::take(&mut self.held);
                return Ok(None);
            };
            if batch.num_rows() > 0 {
                self.take(batch)?;
            }
        }
    }

    /// Looks at a batch that is not empty: the open person's rows, the persons between, the next open one.
    fn take(&mut self, batch: RecordBatch) -> Result<(), DataFusionError> {
        let rows = batch.num_rows();
        let units = TypedColumn::new(batch.column(0), 0)
            .map_err(|fault| DataFusionError::External(Box::new(fault)))?;
        if !self.is_in_order(&units, rows) {
            return Err(self.ends.broken());
        }
        let continues = self
            .before
            .as_ref()
            .is_none_or(|before| before.order_between(0, &units, 0) == Some(Ordering::Equal));
        self.before = unit_at(&batch, rows.saturating_sub(1)).ok();
        let mut start = 0;
        if continues {
            start = (0..rows).find(|row| units.order(0, *row) != Ordering::Equal).unwrap_or(rows);
            self.keep(batch.slice(0, start))?;
            if start == rows {
                return Ok(());
            }
        }
        self.is_past_first = true;
        self.open_rows = 0;
        self.ready.extend(self.held.drain(..));
        let last = rows.saturating_sub(1);
        let tail = (start..last).rev().find(|row| units.order(*row, last) != Ordering::Equal);
        let tail = tail.map_or(start, |row| row.saturating_add(1));
        if tail > start {
            self.ready.push_back(batch.slice(start, tail.saturating_sub(start)));
        }
        self.keep(batch.slice(tail, rows.saturating_sub(tail)))
    }

    /// Keeps rows of the open person. One who is too large is left to the sort, which can drop her.
    fn keep(&mut self, rows: RecordBatch) -> Result<(), DataFusionError> {
        self.open_rows = self.open_rows.saturating_add(rows.num_rows());
        if self.open_rows > self.rows_max {
            return Err(self.ends.broken());
        }
        if self.is_past_first {
            self.held.push(rows);
        } else {
            self.ends.kept().first.push(rows);
        }
        Ok(())
    }

    /// Whether no unit stands behind a greater one, as far as was looked, nor behind the ceiling.
    fn is_in_order(&self, units: &TypedColumn, rows: usize) -> bool {
        let not_after = |one: &TypedColumn, row, other: &TypedColumn, other_row| {
            let order = one.order_between(row, other, other_row);
            order.is_some_and(|order| order != Ordering::Greater)
        };
        let last = rows.saturating_sub(1);
        self.before.as_ref().is_none_or(|before| not_after(before, 0, units, 0))
            && self.ceiling.as_ref().is_none_or(|ceiling| not_after(units, last, ceiling, 0))
            && units.is_ascending()
    }
}

/// The unit of one row, as a column of one.
fn unit_at(batch: &RecordBatch, row: usize) -> Result<TypedColumn, Fault> {
    TypedColumn::new(&batch.column(0).slice(row, 1), 0)
}

/// Order of two columns of one row; all units are of one type.
fn order(one: &TypedColumn, other: &TypedColumn) -> Ordering {
    one.order_between(0, other, 0).unwrap_or(Ordering::Equal)
}
