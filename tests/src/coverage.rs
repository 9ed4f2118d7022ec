//! How often the 95 % intervals of an answer hold the figure they are about. The exact lanes come
//! from the node's own measurement with an injected secret, once; noise is drawn from the mechanism
//! of the shape again and again, for every node's own cells; intervals are the report's. Nothing here
//! knows what an interval should be.
//!
//! The figure is the exact bounded one, or one that came from elsewhere (`Measured::truth`).
//!
//! An interval counts when every lane behind it has a combined standard deviation of at least
//! `SIGMA_STEPS_MIN` steps (below, integers make intervals hold far more often than they say), and
//! no draw of noise stands behind two counted intervals, so that they are independent.

use crate::cohort::Cohort;
use cloister_dp::{PrfKey, SeededEntropy, sample_vector};
use cloister_node::catalog::Catalog;
use cloister_node::fixtures::thread_workers;
use cloister_node::ledger::Charge;
use cloister_node::measure::{MeasureOptions, measure};
use cloister_node::noise::noise;
use cloister_plan::ContributionPlan;
use cloister_report::{Combined, Report, report};
use cloister_terms::release::Int;
use cloister_terms::{
    ColumnType, Cost, DOCUMENT_VERSION, Digest, FigureOp, Formula, Key, KeyDimension, KeyValue,
    Name, OutputShape, ReleaseRecord, ResultColumn,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Within these shares a 95 % interval passes.
pub const SHARES: std::ops::RangeInclusive<f64> = 0.93..=0.97;
/// Fewest intervals that say something.
pub const INTERVALS_MIN: usize = 2_000;
/// Least combined standard deviation of a lane, in steps.
pub const SIGMA_STEPS_MIN: f64 = 3.0;
/// Rows of one report at most, and reports of one question at most.
const ROWS_MAX: usize = 12_000;
const REPORTS_MAX: u64 = 16;
/// The injected secret: which rows and cells a person over a cap keeps.
const SECRET: [u8; 16] = *b"cloister-covers!";

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// The question's name.
    pub question: String,
    /// Intervals counted.
    pub intervals: usize,
    /// Of these, how many hold the exact figure.
    pub held: usize,
    /// Figures without an interval: their error is unbounded (Fieller 1954). Not counted.
    pub unbounded: usize,
    /// Figures left out because a lane's noise is finer than [`SIGMA_STEPS_MIN`] steps.
    pub too_fine: usize,
    /// Ratios that have no exact figure, since nobody is in the cell.
    pub undefined: usize,
    /// By the column's heading: intervals counted and those that hold.
    pub columns: BTreeMap<String, (usize, usize)>,
}

impl Coverage {
    /// Share of the counted intervals that hold.
    pub fn share(&self) -> f64 {
        self.held as f64 / self.intervals as f64
    }

    /// Whether the intervals of every column hold about as often as they say, where at least
    /// `intervals` of it were looked at.
    pub fn is_as_promised_by_column(&self, intervals: usize) -> bool {
        let looked_at = self.columns.values().filter(|(counted, _)| *counted >= intervals);
        looked_at.clone().count() > 0
            && looked_at
                .clone()
                .all(|(counted, held)| SHARES.contains(&(*held as f64 / *counted as f64)))
    }

    /// Whether enough intervals hold about as often as they say.
    pub fn is_as_promised(&self) -> bool {
        self.intervals >= INTERVALS_MIN && SHARES.contains(&self.share())
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} intervals hold ({:.2} %); left out: {} unbounded, {} too fine, {} undefined",
            self.question,
            self.held,
            self.intervals,
            100.0 * self.share(),
            self.unbounded,
            self.too_fine,
            self.undefined
        )?;
        for (column, (counted, held)) in &self.columns {
            let share = 100.0 * *held as f64 / *counted as f64;
            write!(f, "; {column} {held} of {counted} ({share:.2} %)")?;
        }
        Ok(())
    }
}

/// A question measured at its nodes: what noise is drawn on again and again.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The question's name.
    pub question: String,
    /// The shape of its answer.
    pub shape: OutputShape,
    /// Each node with its exact bounded lanes, of all cells of the shape.
    pub nodes: Vec<(Name, Vec<i128>)>,
    /// Which figures the intervals should hold: one list a cell, one figure a column that is no key;
    /// `None` where there is no such figure. The bounded ones, unless somebody knows better.
    pub truth: Vec<Vec<Option<f64>>>,
}

/// Measures both questions of `cohort` and looks at `intervals` intervals of each, at least.
pub async fn of(cohort: &Cohort, intervals: usize, seed: u64) -> Vec<Coverage> {
    let mut covered = Vec::new();
    for asked in &cohort.questions {
        let nodes = (0..).map(|node: u32| Name::new(format!("node-{node}")).unwrap());
        let nodes: Vec<_> = nodes.zip(&cohort.catalogs).collect();
        let measured = measured(asked.name, &asked.plan, asked.module.as_deref(), &nodes).await;
        covered.push(measured.covered(intervals, seed));
    }
    covered
}

/// The exact bounded lanes of each node, from the node's own code: of all cells, or, where keys are private,
/// of those that were found.
pub async fn measured(
    question: &str,
    plan: &ContributionPlan,
    module: Option<&[u8]>,
    nodes: &[(Name, &Catalog)],
) -> Measured {
    let mut lanes = Vec::new();
    for (node, catalog) in nodes {
        let exact = measure(&charge(plan, module, node), catalog, &options()).await.unwrap();
        // Nobody may be in a cell that another node has shown.
        let of_key = |key: &Key| match exact.cell_for_tests(key) {
            Some(lanes) => lanes.to_vec(),
            None => vec![0; plan.shape.lanes.len()],
        };
        let own: Vec<i128> = match &plan.shape.private_keys {
            Some(private) => private.found.iter().flat_map(of_key).collect(),
            None => exact.lanes_for_tests().to_vec(),
        };
        lanes.push((node.clone(), own));
    }
    let (question, shape) = (question.to_owned(), plan.shape.clone());
    let mut measured = Measured { question, shape, nodes: lanes, truth: Vec::new() };
    measured.truth = measured.bounded();
    measured
}

/// The private keys that a node shows in the first of two rounds, with noise of that seed.
pub async fn shown(
    plan: &ContributionPlan,
    (node, catalog): (&Name, &Catalog),
    seed: u64,
) -> Vec<Key> {
    let charge = || charge(plan, None, node);
    let exact = measure(&charge(), catalog, &options()).await.unwrap();
    let noised = noise(exact, charge(), &mut SeededEntropy::new(seed)).unwrap();
    noised.keys_for_tests().to_vec()
}

fn charge(plan: &ContributionPlan, module: Option<&[u8]>, node: &Name) -> Charge {
    let key = PrfKey::from_bytes(SECRET);
    Charge::for_tests(plan.clone(), module.map(<[u8]>::to_vec), key).at(node.clone())
}

fn options() -> MeasureOptions {
    MeasureOptions { workers: thread_workers(), ..MeasureOptions::default() }
}

impl Measured {
    /// The exact bounded figures, in the form of [`Measured::truth`].
    pub fn bounded(&self) -> Vec<Vec<Option<f64>>> {
        let a_cell = self.shape.lanes.len();
        let sum = |at: usize| self.nodes.iter().map(|(_, lanes)| lanes[at]).sum();
        let sums: Vec<i128> = (0..self.cells() * a_cell).map(sum).collect();
        let of_cell = |lanes: &[i128]| {
            let figures = figures(&self.shape).into_iter();
            figures.map(|column| exact_figure(&self.shape, &column.formula, lanes)).collect()
        };
        sums.chunks(a_cell).map(of_cell).collect()
    }

    /// Noises the lanes until `intervals` intervals were looked at, or `REPORTS_MAX` reports.
    pub fn covered(&self, intervals: usize, seed: u64) -> Coverage {
        let columns = figures(&self.shape).len().min(self.shape.lanes.len());
        // At most one figure a column counts; the rest is for those that are left out.
        let wanted = (2 * intervals).div_ceil(self.cells() * columns);
        let trials = wanted.min(ROWS_MAX / self.cells()).max(1);
        let mut coverage = Coverage { question: self.question.clone(), ..Coverage::default() };
        for round in 0..REPORTS_MAX {
            if coverage.intervals >= intervals {
                break;
            }
            let report = self.noised(trials, seed + round * self.nodes.len() as u64);
            self.count(&report, &mut coverage);
        }
        coverage
    }

    fn cells(&self) -> usize {
        self.shape.cells().unwrap() as usize
    }

    /// The report of `trials` answers, each with noise of its own on every node's own cells.
    fn noised(&self, trials: usize, seed: u64) -> Report {
        let all = repeated(&self.shape, trials);
        let laws: Vec<_> = all.lanes.iter().map(|lane| lane.noise).collect();
        let vector = |(at, (node, exact)): (usize, &(Name, Vec<i128>))| {
            let own = all.cells_of(node).unwrap();
            let own = own.unwrap_or_else(|| (0..all.cells().unwrap()).collect());
            let mut entropy = SeededEntropy::new(seed + at as u64);
            let mut noised = sample_vector(&laws, own.len() as u64, &mut entropy).unwrap();
            for (noised, cell) in noised.chunks_mut(laws.len()).zip(&own) {
                let start = *cell as usize % self.cells() * laws.len();
                let sums = &exact[start..start + laws.len()];
                noised.iter_mut().zip(sums).for_each(|(noise, sum)| *noise += sum);
            }
            released(node, noised)
        };
        let releases: Vec<_> = self.nodes.iter().enumerate().map(vector).collect();
        let nodes: Vec<Name> = self.nodes.iter().map(|(node, _)| node.clone()).collect();
        report(&all, &Combined::of_releases(&all, &nodes, &releases).unwrap()).unwrap()
    }

    fn count(&self, report: &Report, coverage: &mut Coverage) {
        let figures = figures(&self.shape);
        for (index, row) in report.rows.iter().enumerate() {
            let (trial, cell) = (index / self.cells(), index % self.cells());
            if row.behind.answered == 0 {
                assert!(row.figures.iter().all(|figure| figure.estimate().is_none()), "{row:?}");
                continue;
            }
            // The report tells the deviation of all nodes' noise; fewer stand behind some cells.
            let part = (row.behind.answered as f64 / self.nodes.len() as f64).sqrt();
            let is_fine = |lane: &usize| {
                let steps = 2f64.powi(self.shape.lanes[*lane].grid_bits.into());
                report.lanes[*lane].deviation * part * steps < SIGMA_STEPS_MIN
            };
            let mut used = BTreeSet::new();
            // Another column first in each trial, so that ratios and totals get their turn.
            for step in 0..figures.len() {
                let at = (trial + step) % figures.len();
                let lanes = lanes_of(&figures[at].formula);
                if lanes.iter().any(|lane| used.contains(lane)) {
                    continue;
                }
                if lanes.iter().any(is_fine) {
                    coverage.too_fine += 1;
                    continue;
                }
                used.extend(lanes.iter().copied());
                let Some(exact) = self.truth[cell][at] else {
                    coverage.undefined += 1;
                    continue;
                };
                match row.figures[at].estimate() {
                    None => coverage.unbounded += 1,
                    Some(estimate) => {
                        coverage.intervals += 1;
                        let holds = estimate.low <= exact && exact <= estimate.high;
                        coverage.held += usize::from(holds);
                        let column = coverage.columns.entry(figures[at].name.clone()).or_default();
                        *column = (column.0 + 1, column.1 + usize::from(holds));
                    }
                }
            }
        }
    }
}

/// What a node releases, but for the documents that it would stand on.
fn released(node: &Name, noised: Vec<i128>) -> ReleaseRecord {
    let nothing = Digest::new([0; 32]);
    ReleaseRecord {
        version: DOCUMENT_VERSION,
        node: node.clone(),
        unit_namespace: node.clone(),
        agreement: nothing,
        analysis: nothing,
        plan: nothing,
        parameters: nothing,
        round: 1,
        epoch: 0,
        cost: Cost::ZERO,
        charge: nothing,
        keys: Vec::new(),
        values: noised.into_iter().map(Int).collect(),
    }
}

/// `shape` with one more key: the trial.
fn repeated(shape: &OutputShape, trials: usize) -> OutputShape {
    let mut all = shape.clone();
    let values = (0..trials as i64).map(KeyValue::Int).collect();
    all.keys.insert(0, KeyDimension { name: "trial".into(), values });
    for served in &mut all.served {
        served.positions.insert(0, (0..trials as u32).collect());
    }
    if let Some(private) = &mut all.private_keys {
        private.types.insert(0, ColumnType::Int64);
        let keys = std::mem::take(&mut private.found);
        let of_trial = |trial: i64| {
            let keyed = move |key: &Key| [&[KeyValue::Int(trial)][..], key.as_slice()].concat();
            keys.iter().map(keyed)
        };
        private.found = (0..trials as i64).flat_map(of_trial).collect();
    }
    for column in &mut all.columns {
        if let Formula::Key { dimension } = &mut column.formula {
            *dimension += 1;
        }
    }
    all
}

/// The columns of an answer that are no keys.
pub fn figures(shape: &OutputShape) -> Vec<&ResultColumn> {
    shape.columns.iter().filter(|column| !is_key(column)).collect()
}

fn is_key(column: &ResultColumn) -> bool {
    matches!(column.formula, Formula::Key { .. })
}

/// Lanes whose noise stands behind a figure.
fn lanes_of(formula: &Formula) -> Vec<usize> {
    formula.lanes().into_iter().map(|lane| lane as usize).collect()
}

/// The figure without noise over one cell's `lanes`; `None` where it is 0 divided by 0.
fn exact_figure(shape: &OutputShape, formula: &Formula, lanes: &[i128]) -> Option<f64> {
    let lane = |lane: u32| {
        let steps = lanes[lane as usize] as f64;
        steps / 2f64.powi(shape.lanes[lane as usize].grid_bits.into())
    };
    let divided = |above: f64, below: f64| (below != 0.0).then(|| above / below);
    match formula {
        Formula::Key { .. } => None,
        Formula::Total { lane: index } => Some(lane(*index)),
        Formula::Ratio { numerator, denominator } => divided(lane(*numerator), lane(*denominator)),
        Formula::Constant { value } => Some(value.value()),
        Formula::Arithmetic { op, left, right } => {
            let side = |formula| exact_figure(shape, formula, lanes);
            let (left, right) = (side(left)?, side(right)?);
            match op {
                FigureOp::Add => Some(left + right),
                FigureOp::Multiply => Some(left * right),
                FigureOp::Divide => divided(left, right),
                other => panic!("{other:?} is in none of the questions"),
            }
        }
        other => panic!("{other:?} is in none of the questions"),
    }
}
