//! From a question to a plan: the body's front end, then caps, noise and shape in one place for both.
//! Pure and deterministic: the same dictionary and question give the same plan everywhere, and a plan
//! made again from its own analysis is that plan.

use crate::error::{PlanError, excerpt};
use crate::figure_notes::figure_notes;
use crate::ir::{Contribute, ContributionPlan, PLAN_VERSION, RowPlan};
use crate::limits::SENSITIVITY_STEPS_MAX;
use crate::noise::{Need, Spend, choose};
use crate::notes;
use crate::served::served;
use crate::{module, sql};
use cloister_terms::analysis::ColumnUse;
use cloister_terms::limits::{GROUP_CAP_MAX, ROW_CAP_MAX};
use cloister_terms::{
    Analysis, Body, Cost, Delta, Dictionary, Digest, Epsilon, KeyDimension, LaneShape, OneOf,
    OutputShape, Recipe, ResultColumn, Rho,
};

/// What a researcher asks, and what it may cost.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What runs.
    pub body: &'a Body,
    /// Rows one person contributes at most, from 1.
    pub row_cap: u32,
    /// Cells one person contributes to at most (L0), from 1.
    pub group_cap: u32,
    /// What one round may cost.
    pub spend: Spend,
}

/// A plan with what people and nodes need to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The plan, with the shape of the answer inside.
    pub plan: ContributionPlan,
    /// The columns it reads, as the analysis names them.
    pub columns: Vec<ColumnUse>,
    /// What one round costs at each node.
    pub cost: Cost,
    /// What is dropped, kept, rounded and capped, in plain words.
    pub notes: Vec<String>,
    /// The noise, in words.
    pub mechanism: String,
    /// Why that noise.
    pub why: String,
    digest: Digest,
}

impl Planned {
    /// The digest of the plan.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// What a front end makes of a body, before noise.
pub(crate) struct Draft {
    pub tables: Vec<RowPlan>,
    pub contribute: Contribute,
    pub keys: Vec<KeyDimension>,
    pub lanes: Vec<DraftLane>,
    pub columns: Vec<ResultColumn>,
    /// Which rows are shown, and in which order.
    pub recipe: Recipe,
    /// Rows of one person used at most, all caps applied.
    pub row_cap: u32,
    /// Cells that the rows of one person can reach at most, whatever the group cap.
    pub cells_per_person_max: u64,
}

/// A lane without its noise.
pub(crate) struct DraftLane {
    pub name: String,
    pub grid_bits: u8,
    /// `None` when it overflows.
    pub sensitivity_steps: Option<u64>,
    /// The group of lanes that share one person's rows.
    pub one_of: Option<OneOf>,
    /// How much its noise matters, see [`crate::lanes::FIGURE_WEIGHT`].
    pub weight: u32,
}

/// Plans a question. Errors when the body is not of the surface that analyses may use, when a cap is
/// out of range, or when no noise fits what may be spent.
pub fn plan(dictionary: &Dictionary, question: &Question<'_>) -> Result<Planned, PlanError> {
    dictionary.check()?;
    in_range("row_cap", question.row_cap, ROW_CAP_MAX)?;
    in_range("group_cap", question.group_cap, GROUP_CAP_MAX)?;
    let draft = match question.body {
        Body::Sql { text } => sql::draft(dictionary, text, question.row_cap)?,
        Body::Module(body) => module::draft(dictionary, body, question.row_cap)?,
    };
    finish(draft, question, dictionary)
}

/// Plans an analysis again from its own body, caps and cost, as every node does. A node compares the
/// plan's digest, shape, columns and cost with the analysis'. Errors as [`plan`], and when the cost
/// names not exactly one measure.
pub fn replan(dictionary: &Dictionary, analysis: &Analysis) -> Result<Planned, PlanError> {
    let Cost { epsilon, rho, delta } = analysis.cost_per_round;
    let spend = match (epsilon > Epsilon::ZERO, rho > Rho::ZERO, delta > Delta::ZERO) {
        (true, false, false) => Spend { epsilon: Some(epsilon), rho: None },
        (false, true, false) => Spend { epsilon: None, rho: Some(rho) },
        _ => return Err(PlanError::Measure),
    };
    let question = Question {
        body: &analysis.body,
        row_cap: analysis.row_cap,
        group_cap: analysis.group_cap,
        spend,
    };
    plan(dictionary, &question)
}

fn in_range(what: &'static str, found: u32, max: u32) -> Result<(), PlanError> {
    if (1..=max).contains(&found) {
        return Ok(());
    }
    Err(PlanError::OutOfRange { what, found: found.into(), max: max.into() })
}

fn finish(
    draft: Draft,
    question: &Question<'_>,
    dictionary: &Dictionary,
) -> Result<Planned, PlanError> {
    let Draft { tables, contribute, keys, lanes, columns, recipe, row_cap, cells_per_person_max } =
        draft;
    let mut shape = OutputShape { keys, lanes: Vec::new(), columns, served: Vec::new(), recipe };
    let reach = shape.cells()?.min(cells_per_person_max);
    let group_cap = u32::try_from(reach).unwrap_or(u32::MAX).min(question.group_cap);
    let needs = lanes.iter().map(need).collect::<Result<Vec<_>, _>>()?;
    let chosen = choose(group_cap, &needs, question.spend)?;
    let lanes = lanes.into_iter().zip(needs).zip(chosen.noise);
    shape.lanes = lanes
        .map(|((lane, need), noise)| LaneShape {
            name: lane.name,
            grid_bits: lane.grid_bits,
            sensitivity_steps: need.sensitivity_steps,
            noise,
            one_of: lane.one_of,
        })
        .collect();
    shape.check()?;
    let version = PLAN_VERSION;
    let mut plan = ContributionPlan { version, tables, contribute, row_cap, group_cap, shape };
    plan.shape.served = served(dictionary, &plan);
    if plan.shape.served.is_empty() && !dictionary.holdings.is_empty() {
        return Err(PlanError::HeldByNobody);
    }
    plan.shape.check()?;
    let mut notes = notes::notes(&plan, question.row_cap, question.group_cap);
    notes.extend(figure_notes(&plan.shape));
    Ok(Planned {
        columns: columns_used(&plan),
        notes,
        digest: plan.digest()?,
        cost: chosen.cost,
        mechanism: chosen.mechanism,
        why: chosen.why,
        plan,
    })
}

/// The columns each dataset is read for, in the order the datasets are first read. Columns of a dataset
/// that is read twice are joined, each table's in dictionary order.
fn columns_used(plan: &ContributionPlan) -> Vec<ColumnUse> {
    let mut used: Vec<ColumnUse> = Vec::new();
    for table in &plan.tables {
        let names = table.columns.iter().map(|column| column.name.clone());
        match used.iter_mut().find(|known| known.dataset == table.dataset) {
            None => {
                used.push(ColumnUse { dataset: table.dataset.clone(), columns: names.collect() });
            }
            Some(known) => {
                for name in names {
                    if !known.columns.contains(&name) {
                        known.columns.push(name);
                    }
                }
            }
        }
    }
    used
}

fn need(lane: &DraftLane) -> Result<Need, PlanError> {
    let is_exact = |steps: &u64| *steps <= SENSITIVITY_STEPS_MAX;
    let too_sensitive = || PlanError::TooSensitive {
        lane: excerpt(&lane.name),
        steps: lane.sensitivity_steps.map_or_else(|| "2^64".to_owned(), |steps| steps.to_string()),
    };
    let sensitivity_steps = lane.sensitivity_steps.filter(is_exact).ok_or_else(too_sensitive)?;
    Ok(Need {
        name: lane.name.clone(),
        sensitivity_steps,
        one_of: lane.one_of,
        weight: lane.weight,
    })
}
