//! How often the 95 % intervals of an answer hold the exact bounded figure. The exact lanes come
//! from the node's own measurement with an injected secret, once; noise is drawn from the mechanism
//! of the shape again and again, for four nodes; intervals are the report's. Nothing here knows what
//! an interval should be.
//!
//! An interval counts when every lane behind it has a combined standard deviation of at least
//! `SIGMA_STEPS_MIN` steps (below, integers make intervals hold far more often than they say), and
//! no draw of noise stands behind two counted intervals, so that they are independent.

use crate::cohort::{Asked, Cohort};
use cloister_dp::{PrfKey, SeededEntropy, sample_vector};
use cloister_node::fixtures::thread_workers;
use cloister_node::ledger::Charge;
use cloister_node::measure::{MeasureOptions, measure};
use cloister_report::{Combined, Report, report};
use cloister_terms::{FigureOp, Formula, KeyDimension, KeyValue, Name, OutputShape, ResultColumn};
use std::collections::BTreeSet;
use std::fmt;

/// Within these shares a 95 % interval passes.
pub const SHARES: std::ops::RangeInclusive<f64> = 0.93..=0.97;
/// Fewest intervals that say something.
pub const INTERVALS_MIN: usize = 2_000;
/// Least combined standard deviation of a lane, in steps.
pub const SIGMA_STEPS_MIN: f64 = 3.0;
/// The injected secret: which rows and cells a person over a cap keeps.
const SECRET: [u8; 16] = *b"cloister-covers!";

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// The question's name.
    pub question: String,
    /// Intervals counted.
    pub intervals: usize,
    /// Of these, how many hold the exact bounded figure.
    pub held: usize,
    /// Figures without an interval: their error is unbounded (Fieller 1954). Not counted.
    pub unbounded: usize,
    /// Figures left out because a lane's noise is finer than [`SIGMA_STEPS_MIN`] steps.
    pub too_fine: usize,
    /// Ratios that have no exact figure, since nobody is in the cell.
    pub undefined: usize,
}

impl Coverage {
    /// Share of the counted intervals that hold.
    pub fn share(&self) -> f64 {
        self.held as f64 / self.intervals as f64
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
        )
    }
}

/// Measures both questions of `cohort`, each over enough trials to reach `intervals`.
pub async fn of(cohort: &Cohort, intervals: usize, seed: u64) -> Vec<Coverage> {
    let mut covered = Vec::new();
    for asked in &cohort.questions {
        let exact = exact(cohort, asked).await;
        covered.push(trials(asked, &exact, intervals, seed));
    }
    covered
}

/// Exact bounded lanes of each partner.
async fn exact(cohort: &Cohort, asked: &Asked) -> Vec<Vec<i128>> {
    let mut lanes = Vec::new();
    for catalog in &cohort.catalogs {
        let (plan, module) = (asked.plan.clone(), asked.module.clone());
        let charge = Charge::for_tests(plan, module, PrfKey::from_bytes(SECRET));
        let options = MeasureOptions { workers: thread_workers(), ..MeasureOptions::default() };
        let exact = measure(&charge, catalog, &options).await.unwrap();
        lanes.push(exact.lanes_for_tests().to_vec());
    }
    lanes
}

/// Noises `exact` again and again and looks at every interval.
fn trials(asked: &Asked, exact: &[Vec<i128>], intervals: usize, seed: u64) -> Coverage {
    let shape = &asked.plan.shape;
    let cells = shape.cells().unwrap() as usize;
    let columns = shape.columns.iter().filter(|column| !is_key(column)).count();
    // At most one figure a column counts; the rest is for those that are left out.
    let trials = (2 * intervals).div_ceil(cells * columns.min(shape.lanes.len())).max(1);
    let all = repeated(shape, trials);
    let laws: Vec<_> = shape.lanes.iter().map(|lane| lane.noise).collect();
    let vectors: Vec<(Name, Vec<i128>)> = exact
        .iter()
        .enumerate()
        .map(|(node, lanes)| {
            let mut entropy = SeededEntropy::new(seed + node as u64);
            let mut noised = sample_vector(&laws, (cells * trials) as u64, &mut entropy).unwrap();
            noised.iter_mut().zip(lanes.iter().cycle()).for_each(|(noise, sum)| *noise += sum);
            (Name::new(format!("node-{node}")).unwrap(), noised)
        })
        .collect();
    let nodes: Vec<Name> = vectors.iter().map(|(node, _)| node.clone()).collect();
    let combined = Combined::new(&all, &nodes, &vectors).unwrap();
    let truth: Vec<i128> = (0..cells * shape.lanes.len())
        .map(|at| exact.iter().map(|lanes| lanes[at]).sum())
        .collect();
    count(asked, &report(&all, &combined).unwrap(), &truth, cells)
}

/// `shape` with one more key: the trial.
fn repeated(shape: &OutputShape, trials: usize) -> OutputShape {
    let mut all = shape.clone();
    let values = (0..trials as i64).map(KeyValue::Int).collect();
    all.keys.insert(0, KeyDimension { name: "trial".into(), values });
    for column in &mut all.columns {
        if let Formula::Key { dimension } = &mut column.formula {
            *dimension += 1;
        }
    }
    all
}

fn count(asked: &Asked, report: &Report, truth: &[i128], cells: usize) -> Coverage {
    let shape = &asked.plan.shape;
    let figures: Vec<&ResultColumn> =
        shape.columns.iter().filter(|column| !is_key(column)).collect();
    let is_fine = |lane: &usize| {
        let steps = report.lanes[*lane].deviation * 2f64.powi(shape.lanes[*lane].grid_bits.into());
        steps < SIGMA_STEPS_MIN
    };
    let mut coverage = Coverage { question: asked.name.to_owned(), ..Coverage::default() };
    for (index, row) in report.rows.iter().enumerate() {
        let (trial, cell) = (index / cells, index % cells);
        let mut used = BTreeSet::new();
        // Another column first in each trial, so that ratios and totals get their turn.
        for step in 0..figures.len() {
            let at = (trial + step) % figures.len();
            let lanes = lanes_of(&figures[at].formula);
            if lanes.iter().any(|lane| used.contains(lane)) {
                continue;
            }
            used.extend(lanes.iter().copied());
            if lanes.iter().any(is_fine) {
                coverage.too_fine += 1;
                continue;
            }
            let Some(exact) = exact_figure(shape, &figures[at].formula, truth, cell) else {
                coverage.undefined += 1;
                continue;
            };
            match row.figures[at].estimate() {
                None => coverage.unbounded += 1,
                Some(estimate) => {
                    coverage.intervals += 1;
                    let holds = estimate.low <= exact && exact <= estimate.high;
                    coverage.held += usize::from(holds);
                }
            }
        }
    }
    coverage
}

fn is_key(column: &ResultColumn) -> bool {
    matches!(column.formula, Formula::Key { .. })
}

/// Lanes whose noise stands behind a figure.
fn lanes_of(formula: &Formula) -> Vec<usize> {
    formula.lanes().into_iter().map(|lane| lane as usize).collect()
}

/// The figure without noise; `None` where it is 0 divided by 0.
fn exact_figure(
    shape: &OutputShape,
    formula: &Formula,
    truth: &[i128],
    cell: usize,
) -> Option<f64> {
    let lane = |lane: u32| {
        let steps = truth[cell * shape.lanes.len() + lane as usize];
        steps as f64 / 2f64.powi(shape.lanes[lane as usize].grid_bits.into())
    };
    match formula {
        Formula::Key { .. } => None,
        Formula::Total { lane: index } => Some(lane(*index)),
        Formula::Ratio { numerator, denominator } => {
            let below = lane(*denominator);
            (below != 0.0).then(|| lane(*numerator) / below)
        }
        Formula::Constant { value } => Some(value.value()),
        Formula::Arithmetic { op: FigureOp::Add, left, right } => {
            let side = |formula| exact_figure(shape, formula, truth, cell);
            Some(side(left)? + side(right)?)
        }
        other => panic!("{other:?} is in none of the questions"),
    }
}
