//! From a question to a plan: the body's front end, then caps, noise and shape in one place for both.
//! Pure and deterministic: the same dictionary and question give the same plan everywhere, and a plan
//! made again from its own analysis is that plan.

use crate::error::{PlanError, excerpt};
use crate::figure_notes::figure_notes;
use crate::ir::{Contribute, ContributionPlan, PLAN_VERSION, RowPlan};
use crate::limits::SENSITIVITY_STEPS_MAX;
use crate::noise::{Need, Spend, choose};
use crate::notes;
use crate::people::{choose_with, kinds, people_notes};
use crate::served::served;
use crate::{module, sql};
use cloister_dp::key_threshold;
use cloister_terms::analysis::ColumnUse;
use cloister_terms::limits::{GROUP_CAP_MAX, PRIVATE_SUMS_MAX, ROW_CAP_MAX};
use cloister_terms::private_keys::PrivateKeysError;
use cloister_terms::shape::ShapeError;
use cloister_terms::{
    Analysis, Body, ColumnType, Cost, Delta, Dictionary, Digest, Epsilon, KeyDimension, LaneShape,
    Name, OneOf, OutputShape, PrivateKeys, Recipe, ResultColumn, Rho,
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
    /// Whether the answer also counts the people whom the limits touched, see [`cloister_terms::Diagnostic`].
    pub diagnostics: bool,
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
    /// The partners that can answer, sorted; `None` when all can.
    pub holders: Option<Vec<Name>>,
    /// The noise, in words.
    pub mechanism: String,
    /// Why that noise.
    pub why: String,
    digest: Digest,
    /// Row cap and group cap as they were asked for.
    caps_asked: (u32, u32),
}

impl Planned {
    /// The digest of the plan.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What is dropped, kept, rounded and capped, in plain words. Made when asked for: expected errors take
    /// longer than the plan, and no node needs them.
    pub fn notes(&self) -> Vec<String> {
        let (row_cap, group_cap) = self.caps_asked;
        let mut notes = notes::notes(&self.plan, row_cap, group_cap);
        notes.extend(figure_notes(&self.plan.shape));
        notes.extend(people_notes(&self.plan.shape));
        notes
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
    /// What is known of private keys, where there are any.
    pub private: Option<DraftPrivate>,
    /// Rows of one person used at most, all caps applied.
    pub row_cap: u32,
    /// Cells that the rows of one person can reach at most, whatever the group cap.
    pub cells_per_person_max: u64,
}

/// Private keys without their threshold.
pub(crate) struct DraftPrivate {
    /// The type of each key.
    pub types: Vec<ColumnType>,
    /// The lane that counts people.
    pub persons_lane: u32,
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
        Body::Sql { text } => {
            let may_hide_keys = question.spend.delta.is_some();
            sql::draft(dictionary, text, question.row_cap, may_hide_keys)?
        }
        Body::Module(body) => module::draft(dictionary, body, question.row_cap)?,
    };
    finish(draft, question, dictionary)
}

/// Plans an analysis again from its own body, caps and cost, as every node does. A node compares the
/// plan's digest, shape, columns and cost with the analysis'. Errors as [`plan`], and when the cost
/// names not exactly one measure.
pub fn replan(dictionary: &Dictionary, analysis: &Analysis) -> Result<Planned, PlanError> {
    let Cost { epsilon, rho, delta } = analysis.cost_per_round;
    let delta = (delta > Delta::ZERO).then_some(delta);
    let spend = match (epsilon > Epsilon::ZERO, rho > Rho::ZERO) {
        (true, false) => Spend { epsilon: Some(epsilon), rho: None, delta },
        (false, true) => Spend { epsilon: None, rho: Some(rho), delta },
        _ => return Err(PlanError::Measure),
    };
    let question = Question {
        body: &analysis.body,
        row_cap: analysis.row_cap,
        group_cap: analysis.group_cap,
        spend,
        diagnostics: analysis.diagnostics,
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
    let Draft { tables, contribute, keys, lanes, columns, recipe, private, .. } = draft;
    let Draft { row_cap, cells_per_person_max, .. } = draft;
    let mut shape = OutputShape {
        keys,
        lanes: Vec::new(),
        columns,
        served: Vec::new(),
        recipe,
        private_keys: None,
        diagnostics: Vec::new(),
    };
    let reach = match &private {
        None => shape.cells()?.min(cells_per_person_max),
        Some(_) => cells_per_person_max,
    };
    let group_cap = u32::try_from(reach).unwrap_or(u32::MAX).min(question.group_cap);
    let needs = lanes.iter().map(need).collect::<Result<Vec<_>, _>>()?;
    let (chosen, diagnostics) = match kinds(question) {
        [] => (choose(group_cap, &needs, question.spend)?, Vec::new()),
        kinds => choose_with(kinds, group_cap, &needs, question.spend)?,
    };
    shape.diagnostics = diagnostics;
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
    let delta = question.spend.delta;
    shape.private_keys = private_keys_of(private, &shape.lanes, group_cap, delta)?;
    shape.check()?;
    let version = PLAN_VERSION;
    let mut plan = ContributionPlan { version, tables, contribute, row_cap, group_cap, shape };
    let held = served(dictionary, &plan);
    if held.is_empty() && !dictionary.holdings.is_empty() {
        return Err(PlanError::HeldByNobody);
    }
    let holders = (!dictionary.holdings.is_empty())
        .then(|| held.iter().map(|one| one.partner.clone()).collect());
    if plan.shape.private_keys.is_none() {
        plan.shape.served = held;
    }
    plan.shape.check()?;
    Ok(Planned {
        columns: columns_used(&plan),
        caps_asked: (question.row_cap, question.group_cap),
        digest: plan.digest()?,
        cost: Cost { delta: delta.unwrap_or(Delta::ZERO), ..chosen.cost },
        holders,
        mechanism: chosen.mechanism,
        why: chosen.why,
        plan,
    })
}

/// The threshold of private keys: the least that a person alone in each of their groups reaches with
/// probability delta at most, through the noise of the lane that counts people.
fn private_keys_of(
    private: Option<DraftPrivate>,
    lanes: &[LaneShape],
    group_cap: u32,
    delta: Option<Delta>,
) -> Result<Option<PrivateKeys>, PlanError> {
    let (private, delta) = match (private, delta) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(PlanError::DeltaUnused),
        (Some(private), delta) => (private, delta.unwrap_or(Delta::ZERO)),
    };
    let DraftPrivate { types, persons_lane } = private;
    // What one person can bring to sums must stay small: no cell is known beforehand.
    let found = u64::from(group_cap).saturating_mul(lanes.len() as u64);
    if found > PRIVATE_SUMS_MAX {
        return Err(PlanError::PrivateSums { found });
    }
    let persons = usize::try_from(persons_lane).ok().and_then(|at| lanes.get(at));
    let persons = persons.ok_or(PrivateKeysError::PersonsLane).map_err(ShapeError::from)?;
    let threshold = key_threshold(&persons.noise, group_cap, delta)?;
    let found = Vec::new();
    Ok(Some(PrivateKeys { types, persons_lane, threshold, delta, found }))
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
