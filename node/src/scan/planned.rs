//! Scans that were planned before anybody asked for their run: planning takes the engine longer than
//! reading a small table. Each is taken once, since an engine's plan keeps what it was run with, and only
//! while the files stand as they did. It must never read a record.

use crate::catalog::{Catalog, CheckedFiles};
use crate::fault::Fault;
use crate::scan::{AS_THEY_LIE, EngineOptions, Layout, engine_state, unsorted};
use cloister_plan::RowPlan;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Scans that are kept; the oldest goes first.
const KEPT_MAX: usize = 32;

/// How the rows of a scan come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each file's rows in one piece, as they lie.
    AsTheyLie,
    /// In no order.
    Loose,
}

/// A scan that is planned and not yet run.
#[derive(Debug)]
pub struct PlannedScan {
    /// Where its columns stand.
    pub layout: Arc<Layout>,
    physical: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

impl PlannedScan {
    /// Plans a scan. Errors on a plan that does not fit the catalog, and when the engine cannot plan it.
    pub async fn new(
        catalog: &Catalog,
        rows: &RowPlan,
        shape: Shape,
        options: &EngineOptions,
    ) -> Result<Self, Fault> {
        let mut options = options.clone();
        if shape == Shape::AsTheyLie {
            let settings = AS_THEY_LIE.map(|(name, value)| (name.to_owned(), value.to_owned()));
            options.settings.extend(settings);
        }
        let state = engine_state(&options)?;
        let (layout, physical) = unsorted(catalog, rows, &options, &state).await?;
        Ok(Self { layout, physical, context: state.task_ctx() })
    }

    /// Starts it: as many streams as the engine likes, at most the partitions asked for and one a source.
    pub fn streams(self) -> Result<Vec<SendableRecordBatchStream>, Fault> {
        Ok(execute_stream_partitioned(self.physical, self.context)?)
    }
}

/// Scans planned beforehand, by what they read.
#[derive(Debug, Default)]
pub struct PlannedScans(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    rows: RowPlan,
    shape: Shape,
    partitions: usize,
    files: CheckedFiles,
    scan: PlannedScan,
}

impl Kept {
    fn is_of(&self, rows: &RowPlan, shape: Shape, options: &EngineOptions) -> bool {
        (self.shape, self.partitions) == (shape, options.partitions) && self.rows == *rows
    }
}

impl PlannedScans {
    /// Plans a scan of these rows, if none is there. Errors as [`PlannedScan::new`], and on files that are
    /// missing or malformed.
    pub async fn prepare(
        &self,
        catalog: &Catalog,
        rows: &RowPlan,
        shape: Shape,
        options: &EngineOptions,
    ) -> Result<(), Fault> {
        if self.kept().iter().any(|kept| kept.is_of(rows, shape, options)) {
            return Ok(());
        }
        let files = catalog.checked_files([&rows.dataset].into_iter())?;
        let scan = PlannedScan::new(catalog, rows, shape, options).await?;
        let (rows, partitions) = (rows.clone(), options.partitions);
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept { rows, shape, partitions, files, scan });
        Ok(())
    }

    /// The scan of these rows that was planned beforehand, while its files stand as they did.
    pub fn take(
        &self,
        rows: &RowPlan,
        shape: Shape,
        options: &EngineOptions,
    ) -> Option<PlannedScan> {
        // A run that lacks a defence lacks it from the start.
        #[cfg(feature = "for-tests")]
        if options.mutant.is_some() {
            return None;
        }
        let mut kept = self.kept();
        let place = kept.iter().position(|kept| kept.is_of(rows, shape, options))?;
        let Kept { files, scan, .. } = kept.remove(place)?;
        files.still().is_ok().then_some(scan)
    }

    /// How many are kept, for tests.
    #[cfg(feature = "for-tests")]
    pub fn count_for_tests(&self) -> usize {
        self.kept().len()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
