//! Scans that were planned before anybody asked for their run: planning takes the engine longer than
//! reading a small table. Each is taken once, since an engine's plan keeps what it was run with, and only
//! while the files stand as they did. It must never read a record.

use crate::catalog::{Catalog, CheckedFiles};
use crate::fault::Fault;
use crate::scan::{AS_THEY_LIE, EngineOptions, Layout, engine_state, unsorted};
use cloister_plan::RowPlan;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Scans that are kept; the oldest goes first. Each names every file that it reads.
const KEPT_MAX: usize = 8;

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

/// Scans of one catalog planned beforehand, by what they read and how.
#[derive(Debug, Default)]
pub struct PlannedScans(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    rows: RowPlan,
    shape: Shape,
    how: How,
    files: CheckedFiles,
    scan: PlannedScan,
}

/// What of the options a plan depends on.
#[derive(Debug, PartialEq)]
struct How {
    partitions: usize,
    batch_rows: usize,
    settings: Vec<(String, String)>,
    without_rules: [BTreeSet<String>; 2],
}

impl How {
    fn of(options: &EngineOptions) -> Self {
        Self {
            partitions: options.partitions,
            batch_rows: options.batch_rows,
            settings: options.settings.clone(),
            without_rules: [options.without_rules.clone(), options.without_physical_rules.clone()],
        }
    }
}

impl PlannedScans {
    /// Plans a scan of these rows of `catalog`, which these scans are of, unless one is there. Leaves it where
    /// files are not those that were checked last: their run checks them, and reads them for that. Errors as
    /// [`PlannedScan::new`].
    pub async fn prepare(
        &self,
        catalog: &Catalog,
        rows: &RowPlan,
        shape: Shape,
        options: &EngineOptions,
    ) -> Result<(), Fault> {
        if let Some(kept) = self.take_out(rows, shape, options)
            && kept.files.still().is_ok()
        {
            self.keep(kept);
            return Ok(());
        }
        let Some(files) = catalog.files_as_checked(&rows.dataset) else { return Ok(()) };
        let scan = PlannedScan::new(catalog, rows, shape, options).await?;
        // Folders are listed while a scan is planned.
        if files.still().is_err() {
            return Ok(());
        }
        let (rows, how) = (rows.clone(), How::of(options));
        self.keep(Kept { rows, shape, how, files, scan });
        Ok(())
    }

    fn keep(&self, one: Kept) {
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(one);
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
        let Kept { files, scan, .. } = self.take_out(rows, shape, options)?;
        files.still().is_ok().then_some(scan)
    }

    fn take_out(&self, rows: &RowPlan, shape: Shape, options: &EngineOptions) -> Option<Kept> {
        let how = How::of(options);
        let mut kept = self.kept();
        let is_it = |kept: &Kept| kept.shape == shape && kept.rows == *rows && kept.how == how;
        let place = kept.iter().position(is_it)?;
        kept.remove(place)
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
