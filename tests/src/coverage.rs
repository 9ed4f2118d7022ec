//! How often the 95 % intervals of an answer hold the figure they are about. The exact lanes come
//! from the node's own measurement with an injected secret, once; the node's own noise stage noises them
//! again and again; intervals are the report's. Nothing here knows what an interval should be, but that
//! every figure has one, and a ratio too unless what it is divided by may be 0.
//!
//! The figure is the exact bounded one, or one that came from elsewhere (`Measured::truth`).
//!
//! An interval counts when every lane behind it has a combined standard deviation of at least
//! `SIGMA_STEPS_MIN` steps (below, integers make intervals hold far more often than they say), and
//! no draw of noise stands behind two counted intervals, so that they are independent.

use crate::cohort::Cohort;
use cloister_dp::{PrfKey, SeededEntropy};
use cloister_node::aggregate::Exact;
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
/// Half-width of a 95 % interval in standard deviations, of noise that is as good as normal.
const HALF_WIDTH: f64 = 1.96;
/// By so many standard deviations, and so many figures, those without an interval may be more than the noise
/// explains: what chance adds to any expected number of them is less with a probability above 1 - 1e-8.
const UNBOUNDED_DEVIATIONS: f64 = 6.0;
const UNBOUNDED_FIGURES: f64 = 10.0;
/// Rows of one report at most, and reports of one question at most.
const ROWS_MAX: usize = 12_000;
const REPORTS_MAX: u64 = 16;
/// The injected secret: which rows and cells a person over a cap keeps.
const SECRET: [u8; 16] = *b"cloister-covers!";

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Coverage {
    /// The question's name.
    pub question: String,
    /// Intervals counted.
    pub intervals: usize,
    /// Of these, how many hold the exact figure.
    pub held: usize,
    /// Figures without an interval: their error is unbounded (Fieller 1954). Not counted.
    pub unbounded: usize,
    /// How many of those the noise explains: the sum, over all figures looked at, of the chance that the 95 %
    /// interval of what the figure is divided by is not above 0.
    pub unbounded_expected: f64,
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

    /// Whether enough intervals hold about as often as they say, and no more figures are without one than
    /// the noise explains: an answer that calls whatever is hard too noisy holds nothing.
    pub fn is_as_promised(&self) -> bool {
        self.intervals >= INTERVALS_MIN
            && SHARES.contains(&self.share())
            && self.unbounded as f64 <= self.unbounded_max()
    }

    /// Most figures without an interval.
    pub fn unbounded_max(&self) -> f64 {
        let chance = UNBOUNDED_DEVIATIONS * self.unbounded_expected.sqrt() + UNBOUNDED_FIGURES;
        self.unbounded_expected + chance
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} intervals hold ({:.2} %); left out: {} unbounded (at most {:.0}), {} too fine, {} undefined",
            self.question,
            self.held,
            self.intervals,
            100.0 * self.share(),
            self.unbounded,
            self.unbounded_max(),
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
#[derive(Debug)]
pub struct Measured {
    /// The question's name.
    pub question: String,
    /// What was measured, with the noise that is drawn.
    pub plan: ContributionPlan,
    /// Each node with its exact bounded sums.
    pub nodes: Vec<(Name, Exact)>,
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

/// The exact bounded sums of each node, from the node's own code.
pub async fn measured(
    question: &str,
    plan: &ContributionPlan,
    module: Option<&[u8]>,
    nodes: &[(Name, &Catalog)],
) -> Measured {
    let mut sums = Vec::new();
    for (node, catalog) in nodes {
        let exact = measure(&charge(plan, module, node), catalog, &options()).await.unwrap();
        sums.push((node.clone(), exact));
    }
    let (question, plan) = (question.to_owned(), plan.clone());
    let mut measured = Measured { question, plan, nodes: sums, truth: Vec::new() };
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
        let shape = &self.plan.shape;
        let of_cell = |lanes: &[i128]| {
            let figures = figures(shape).into_iter();
            figures.map(|column| exact_figure(shape, &column.formula, lanes)).collect()
        };
        self.sums().chunks(shape.lanes.len()).map(of_cell).collect()
    }

    /// The exact bounded lanes of all nodes together: of all cells, or, where keys are private, of those that
    /// were found.
    fn sums(&self) -> Vec<i128> {
        let a_cell = self.plan.shape.lanes.len();
        let mut sums = vec![0; self.cells() * a_cell];
        for (_, exact) in &self.nodes {
            // Nobody may be in a cell that another node has shown.
            let of_key = |key: &Key| match exact.cell_for_tests(key) {
                Some(lanes) => lanes.to_vec(),
                None => vec![0; a_cell],
            };
            let own: Vec<i128> = match &self.plan.shape.private_keys {
                Some(private) => private.found.iter().flat_map(of_key).collect(),
                None => exact.lanes_for_tests().to_vec(),
            };
            assert_eq!(own.len(), sums.len());
            sums.iter_mut().zip(own).for_each(|(sum, lane)| *sum += lane);
        }
        sums
    }

    /// Noises the lanes until `intervals` intervals were looked at, or `REPORTS_MAX` reports.
    pub fn covered(&self, intervals: usize, seed: u64) -> Coverage {
        let columns = figures(&self.plan.shape).len().min(self.plan.shape.lanes.len());
        // At most one figure a column counts; the rest is for those that are left out.
        let wanted = (2 * intervals).div_ceil(self.cells() * columns);
        let trials = wanted.min(ROWS_MAX / self.cells()).max(1);
        let sums = self.sums();
        let mut coverage = Coverage { question: self.question.clone(), ..Coverage::default() };
        for round in 0..REPORTS_MAX {
            if coverage.intervals >= intervals {
                break;
            }
            let report = self.noised(trials, seed + round * self.nodes.len() as u64);
            self.count(&report, &sums, &mut coverage);
        }
        coverage
    }

    fn cells(&self) -> usize {
        self.plan.shape.cells().unwrap() as usize
    }

    /// The report of `trials` answers, each noised anew by every node's own noise stage.
    fn noised(&self, trials: usize, seed: u64) -> Report {
        let all = repeated(&self.plan.shape, trials);
        let release = |(at, (node, exact)): (usize, &(Name, Exact))| {
            let mut entropy = SeededEntropy::new(seed + at as u64);
            let mut values = Vec::new();
            // The trial is the slowest key, so one answer stands behind the other.
            for _ in 0..trials {
                let paid = charge(&self.plan, None, node);
                let noised = noise(exact.copy_for_tests(), paid, &mut entropy).unwrap();
                values.extend_from_slice(noised.lanes_for_tests());
            }
            released(node, values)
        };
        let releases: Vec<_> = self.nodes.iter().enumerate().map(release).collect();
        let nodes: Vec<Name> = self.nodes.iter().map(|(node, _)| node.clone()).collect();
        report(&all, &Combined::of_releases(&all, &nodes, &releases).unwrap()).unwrap()
    }

    fn count(&self, report: &Report, sums: &[i128], coverage: &mut Coverage) {
        let shape = &self.plan.shape;
        let figures = figures(shape);
        for (index, row) in report.rows.iter().enumerate() {
            let (trial, cell) = (index / self.cells(), index % self.cells());
            if row.behind.answered == 0 {
                assert!(row.figures.iter().all(|figure| figure.estimate().is_none()), "{row:?}");
                continue;
            }
            // The report tells the deviation of all nodes' noise; fewer stand behind some cells.
            let part = (row.behind.answered as f64 / self.nodes.len() as f64).sqrt();
            let steps = |lane: usize| 2f64.powi(shape.lanes[lane].grid_bits.into());
            let deviation = |lane: usize| report.lanes[lane].deviation * part;
            let is_fine = |lane: &usize| deviation(*lane) * steps(*lane) < SIGMA_STEPS_MIN;
            let exact = &sums[cell * shape.lanes.len()..][..shape.lanes.len()];
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
                let Some(figure) = self.truth[cell][at] else {
                    coverage.undefined += 1;
                    continue;
                };
                if let Some(below) = denominator(&figures[at].formula) {
                    // A lattice makes half-widths up to a step wider, whichever lane's is the widest.
                    let in_steps = lanes.iter().map(|lane| deviation(*lane) * steps(*lane));
                    let factor = HALF_WIDTH + 1.0 / in_steps.fold(f64::INFINITY, f64::min);
                    // Half a step, by which the normal law is off on a lattice.
                    let value = (exact[below] as f64 - 0.5) / steps(below);
                    coverage.unbounded_expected += normal_below(factor - value / deviation(below));
                }
                match row.figures[at].estimate() {
                    None => coverage.unbounded += 1,
                    Some(estimate) => {
                        coverage.intervals += 1;
                        let holds = estimate.low <= figure && figure <= estimate.high;
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

/// The lane that a figure is divided by, if it is.
fn denominator(formula: &Formula) -> Option<usize> {
    match formula {
        Formula::Ratio { denominator, .. } => Some(*denominator as usize),
        Formula::Arithmetic { op: FigureOp::Divide, left, right } => match right.as_ref() {
            Formula::Total { lane } => Some(*lane as usize),
            Formula::Constant { .. } => denominator(left),
            other => panic!("to divide by {other:?} is in none of the questions"),
        },
        Formula::Arithmetic { left, right, .. } => denominator(left).or_else(|| denominator(right)),
        _ => None,
    }
}

/// The chance that a standard normal is at most `x`, within 1e-7 (Abramowitz, Stegun 26.2.17).
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let terms: [f64; 5] =
        [0.319_381_53, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = terms.iter().rev().fold(0.0f64, |sum, term| (sum + *term) * t);
    let above = sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if x >= 0.0 { 1.0 - above } else { above }
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
