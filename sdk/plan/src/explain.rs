//! A plan told to people before anything is spent: what is read, how one person is bounded, what it
//! costs and how close the answer will be. From the plan alone; it must never need a record.

use crate::forecast::{about, assumed, is_total};
use crate::ir::{Contribute, ContributionPlan};
use crate::people::name;
use crate::planned::Planned;
use crate::typical::{TYPICAL_ROWS, expected};
use cloister_report::{Accuracy, Expected, meaning, printable};
use cloister_terms::{Budget, Cost, KeyThreshold, Noise};
use serde::Serialize;
use std::fmt;

/// A plan in plain words. `{}` leaves `details` out, `{:#}` shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What is read.
    pub reads: Vec<String>,
    /// What is dropped, kept, rounded and capped.
    pub rules: Vec<String>,
    /// The answer's columns with their expected error.
    pub accuracy: Vec<ColumnAccuracy>,
    /// What a typical cell is taken to hold, where an error is told for one.
    pub typical: Option<String>,
    /// How many groups are answered; 0 where only the answer shows which groups there are.
    pub groups: u64,
    /// The noised count of people from which a group is shown, where groups are private.
    pub shown_from: Option<u64>,
    /// What one round costs and means.
    pub cost: Vec<String>,
    /// The mathematics, for those who ask: measure, caps, lanes, grids, digest.
    pub details: Vec<String>,
}

/// The expected error of a column of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnAccuracy {
    /// Its heading.
    pub column: String,
    /// Its error at 95 % confidence, in words.
    pub expected: String,
}

/// Explains a plan for `nodes` partners that answer; `left` is what the budget still holds. Errors that depend
/// on the data are told for a cell of [`TYPICAL_ROWS`].
pub fn explain(planned: &Planned, nodes: usize, left: Option<Budget>) -> Explanation {
    explain_at(planned, nodes, left, TYPICAL_ROWS)
}

/// As [`explain`], for cells of so many rows.
pub fn explain_at(planned: &Planned, nodes: usize, left: Option<Budget>, rows: f64) -> Explanation {
    let plan = &planned.plan;
    let (accuracy, is_typical) = accuracy(plan, nodes, rows);
    Explanation {
        reads: reads(plan),
        rules: rules(planned, nodes),
        accuracy,
        typical: is_typical.then(|| assumed(rows)),
        groups: plan.shape.cells().unwrap_or(0),
        shown_from: shown_from(planned).map(|threshold| threshold.people),
        cost: cost(planned, left),
        details: details(planned),
    }
}

fn rules(planned: &Planned, nodes: usize) -> Vec<String> {
    let mut rules: Vec<String> = planned.notes().iter().map(|note| printable(note)).collect();
    let behind = planned.plan.shape.partners_behind(nodes).unwrap_or((nodes, nodes));
    if let (fewest, most) = behind
        && most < nodes
    {
        let partners =
            if fewest == most { most.to_string() } else { format!("{fewest} to {most}") };
        rules.push(format!(
            "a group is answered by the partners that have it, {partners} of {nodes}; errors are told for {most}"
        ));
    }
    rules
}

/// What a group must reach to be shown, in the round that shows it.
fn shown_from(planned: &Planned) -> Option<KeyThreshold> {
    planned.keys_plan.as_ref().unwrap_or(&planned.plan).shape.key_threshold()
}

fn reads(plan: &ContributionPlan) -> Vec<String> {
    let mut reads = Vec::new();
    for rows in &plan.tables {
        let names: Vec<String> =
            rows.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        let columns = match names.is_empty() {
            true => format!("no column of `{}`: rows are only counted", rows.dataset),
            false => format!("of `{}`: {}", rows.dataset, names.join(", ")),
        };
        let unit = format!("`{}`, to tell people apart; it is never given out", rows.unit_column);
        for line in [columns, unit] {
            if !reads.contains(&line) {
                reads.push(line);
            }
        }
    }
    if let Contribute::Module(module) = &plan.contribute {
        reads
            .push(format!("the module {} sees one person's rows at a time", module.sha256.short()));
    }
    reads
}

/// The columns with their errors, and whether any is told for a typical cell.
fn accuracy(plan: &ContributionPlan, nodes: usize, rows: f64) -> (Vec<ColumnAccuracy>, bool) {
    let expected = match expected(plan, nodes, rows) {
        Ok(expected) => expected,
        Err(error) => {
            let expected = format!("cannot be told: {error}");
            return (vec![ColumnAccuracy { column: "all columns".to_owned(), expected }], false);
        }
    };
    let figures = expected.iter().filter(|expected| !matches!(expected.accuracy, Accuracy::Key));
    let is_typical = figures.clone().any(|one| one.typical.is_some() && !is_total(one));
    let told = figures.map(|expected| ColumnAccuracy {
        column: printable(&expected.column),
        expected: in_words(expected),
    });
    (told.collect(), is_typical)
}

/// What depends on the data is told for a typical cell, with what it is made of.
fn in_words(expected: &Expected) -> String {
    match (expected.accuracy, expected.typical) {
        (accuracy @ Accuracy::Total { .. }, _) | (accuracy, None) => accuracy.to_string(),
        (accuracy, Some(typical)) => {
            format!("{} in a typical cell; {accuracy}", about(typical.plus_minus))
        }
    }
}

fn cost(planned: &Planned, left: Option<Budget>) -> Vec<String> {
    let cost = planned.cost_per_run();
    let mut words = match &planned.keys_plan {
        None => vec![format!("each round, at each partner: {}", meaning(cost))],
        Some(_) => vec![
            "a run has two rounds: one finds the groups, one answers them".to_owned(),
            format!("each run of both, at each partner: {}", meaning(cost)),
        ],
    };
    words.push(printable(&planned.choice));
    if let Some(left) = left {
        words.push(match (cost.within(left), times_left(cost, left)) {
            (false, _) => "the budget left does not cover it: ask for less".to_owned(),
            (true, Some(runs)) if planned.keys_plan.is_some() => {
                let word = if runs == 1 { "run" } else { "runs" };
                format!("the budget left covers {runs} such {word}")
            }
            (true, Some(1)) => "the budget left covers 1 such round".to_owned(),
            (true, Some(rounds)) => format!("the budget left covers {rounds} such rounds"),
            (true, None) => "the budget left covers it".to_owned(),
        });
    }
    words
}

/// How often a budget covers a cost; `None` when the cost is nothing.
fn times_left(cost: Cost, left: Budget) -> Option<u64> {
    let times = [
        left.epsilon.units().checked_div(cost.epsilon.units()),
        left.rho.units().checked_div(cost.rho.units()),
        left.delta.units().checked_div(cost.delta.units()),
    ];
    times.into_iter().flatten().min()
}

fn details(planned: &Planned) -> Vec<String> {
    let plan = &planned.plan;
    let mut details = vec![
        format!("cost of one round: {}", planned.cost),
        format!("mechanism: {}; {}", planned.mechanism, planned.why),
        format!("L0 (cells a person): {}, rows a person: {}", plan.group_cap, plan.row_cap),
        format!("cells: {}, lanes: {}", plan.shape.cells().unwrap_or(0), plan.shape.lanes.len()),
    ];
    details.extend(plan.shape.lanes.iter().map(|lane| {
        let noise = noise(lane.noise);
        let (name, bits, steps) = (printable(&lane.name), lane.grid_bits, lane.sensitivity_steps);
        format!("lane `{name}`: grid 2^-{bits}, sensitivity {steps} steps, {noise} steps")
    }));
    details.extend(plan.shape.diagnostics.iter().map(|one| {
        format!("diagnostic `{}`: sensitivity 1, {} steps", name(one.kind), noise(one.noise))
    }));
    if let Some(KeyThreshold { people: tau, delta, .. }) = shown_from(planned) {
        details
            .push(format!("private keys: tau {tau} on the noised count of units, delta {delta}"));
    }
    details.push(format!("plan: {}", planned.digest()));
    details
}

fn noise(noise: Noise) -> String {
    match noise {
        Noise::DiscreteLaplace { scale } => format!("scale {:.4}", scale.to_f64()),
        Noise::DiscreteGaussian { sigma_sq } => format!("sigma {:.4}", sigma_sq.to_f64().sqrt()),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        section(f, "It reads", &self.reads)?;
        section(f, "Rules", &self.rules)?;
        let groups = match (self.shown_from, self.groups) {
            (Some(people), _) => {
                format!("the groups of about {people} people or more at a partner")
            }
            (None, 1) => "1 row".to_owned(),
            (None, rows) => format!("{rows} rows"),
        };
        writeln!(f, "The answer has {groups}. Expected error, 95 times in 100 at most:")?;
        for ColumnAccuracy { column, expected } in &self.accuracy {
            writeln!(f, "  {column}: {expected}")?;
        }
        if let Some(typical) = &self.typical {
            writeln!(f, "  (a typical cell: {typical})")?;
        }
        section(f, "Cost", &self.cost)?;
        if f.alternate() { section(f, "Details", &self.details) } else { Ok(()) }
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    writeln!(f, "{title}:")?;
    lines.iter().try_for_each(|line| writeln!(f, "  - {line}"))
}
