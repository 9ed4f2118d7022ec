//! From a question to a plan: the body's front end, then caps, noise and shape in one place for both.
//! Pure and deterministic: the same dictionary and question give the same plan everywhere, and a plan
//! made again from its own analysis is that plan.

use crate::error::{Place, PlanError, excerpt};
use crate::figure_notes::figure_notes;
use crate::ir::{Contribute, ContributionPlan, PLAN_VERSION};
use crate::keys_round::keys_draft;
use crate::limits::SENSITIVITY_STEPS_MAX;
use crate::noise::{Chosen, Need, Spend, choose};
use crate::notes;
use crate::people::{choose_with, kinds, people_notes};
use crate::pointed::Places;
use crate::relate::Read;
use crate::served::served;
use crate::sql::Unlisted;
use crate::told::LookedUp;
use crate::{module, sql};
use cloister_dp::key_threshold;
use cloister_terms::analysis::ColumnUse;
use cloister_terms::limits::{GROUP_CAP_MAX, PRIVATE_SUMS_MAX, ROUNDS_MAX, ROW_CAP_MAX};
use cloister_terms::private_keys::PrivateKeysError;
use cloister_terms::shape::ShapeError;
use cloister_terms::{
    Analysis, Body, ColumnType, Cost, Delta, Dictionary, Digest, Epsilon, KeyDimension,
    KeyThreshold, KeysRound, LaneShape, Name, OneOf, OutputShape, PrivateKeys, Recipe,
    ResultColumn, Rho,
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
    /// Rounds of a run: 2 where one finds private keys and the next one answers them all, 1 otherwise.
    pub rounds: u32,
}

/// A plan with what people and nodes need to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The plan, with the shape of the answer inside.
    pub plan: ContributionPlan,
    /// The plan of the round before, where there are two.
    pub keys_plan: Option<ContributionPlan>,
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
    /// The noise, why, and how the cost is split, in plain words.
    pub choice: String,
    digest: Digest,
    keys_round: Option<KeysRound>,
    /// Row cap and group cap as they were asked for.
    caps_asked: (u32, u32),
    /// The public tables that are read, by name.
    looked_up: Vec<LookedUp>,
}

impl Planned {
    /// The digest of the plan.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What all rounds of one run cost at each node; that of one where the sum leaves its range.
    pub fn cost_per_run(&self) -> Cost {
        let second = Cost { delta: Delta::ZERO, ..self.cost };
        let both = self.keys_plan.as_ref().and_then(|_| self.cost.checked_add(second));
        both.unwrap_or(self.cost)
    }

    /// The round before, as the analysis names it.
    pub fn keys_round(&self) -> Option<&KeysRound> {
        self.keys_round.as_ref()
    }

    /// The plan of a round, from 1, over the cells of `shape`, which is the round's own with the keys that
    /// an earlier one found.
    pub fn of_round(&self, round: u32, shape: &OutputShape) -> ContributionPlan {
        let plan = match &self.keys_plan {
            Some(first) if round == 1 => first,
            _ => &self.plan,
        };
        ContributionPlan { shape: shape.clone(), ..plan.clone() }
    }

    /// What is dropped, kept, rounded and capped, in plain words. Made when asked for: expected errors take
    /// longer than the plan, and no node needs them.
    pub fn notes(&self) -> Vec<String> {
        let keys_plan = self.keys_plan.as_ref();
        let mut notes = notes::notes(&self.plan, keys_plan, self.caps_asked, &self.looked_up);
        notes.extend(figure_notes(&self.plan.shape));
        notes.extend(people_notes(&self.plan.shape));
        notes
    }
}

/// What a front end makes of a body, before noise.
pub(crate) struct Draft {
    pub tables: Read,
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
    /// Where refusals of the whole question point.
    pub places: Places,
}

/// Private keys without their threshold.
pub(crate) struct DraftPrivate {
    /// The type of each key.
    pub types: Vec<ColumnType>,
    /// The lane that counts people; none where an earlier round has found the keys.
    pub persons_lane: Option<u32>,
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
    /// Where its value stands in the text.
    pub place: Place,
}

/// Plans a question. Errors when the body is not of the surface that analyses may use, when a cap is
/// out of range, or when no noise fits what may be spent.
pub fn plan(dictionary: &Dictionary, question: &Question<'_>) -> Result<Planned, PlanError> {
    dictionary.check()?;
    in_range("row_cap", question.row_cap, ROW_CAP_MAX)?;
    in_range("group_cap", question.group_cap, GROUP_CAP_MAX)?;
    in_range("rounds", question.rounds, ROUNDS_MAX)?;
    let draft = match question.body {
        Body::Sql { text } => {
            let unlisted = match (question.spend.delta, question.rounds) {
                (None, _) => Unlisted::Refused,
                (Some(_), 1) => Unlisted::Shown,
                (Some(_), _) => Unlisted::Found,
            };
            sql::draft(dictionary, text, question.row_cap, unlisted)?
        }
        Body::Module(body) => {
            module::draft(dictionary, body, (question.row_cap, question.group_cap))?
        }
    };
    let places = draft.places;
    finish(draft, question, dictionary).map_err(|error| error.in_question(places))
}

/// Plans an analysis again from its own body, caps and cost, as every node does. A node compares the
/// plan's digest, shape, columns and cost with the analysis'. Errors as [`plan`], and when the cost
/// names not exactly one measure.
pub fn replan(dictionary: &Dictionary, analysis: &Analysis) -> Result<Planned, PlanError> {
    let delta = analysis.cost_per_round.delta;
    let delta = (delta > Delta::ZERO).then_some(delta);
    let spend = Spend { delta, ..measure_of(analysis.cost_per_round)? };
    let question = Question {
        body: &analysis.body,
        row_cap: analysis.row_cap,
        group_cap: analysis.group_cap,
        spend,
        diagnostics: analysis.diagnostics,
        rounds: analysis.rounds,
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
    let first = (question.rounds > 1).then(|| keys_draft(&draft)).transpose()?;
    let (work, looked_up) = (draft.tables.work.clone(), draft.tables.looked_up.clone());
    let (mut plan, chosen) = with_noise(draft, question, dictionary)?;
    let held = served(dictionary, &plan, &work);
    let held = held.map_err(|used_up| used_up.at(Place::default()))?;
    if held.is_empty() && !dictionary.holdings.is_empty() {
        return Err(PlanError::HeldByNobody);
    }
    let holders = (!dictionary.holdings.is_empty())
        .then(|| held.iter().map(|one| one.partner.clone()).collect());
    if plan.shape.private_keys.is_none() {
        plan.shape.served = held;
    }
    plan.shape.check()?;
    let delta = question.spend.delta;
    let spend = Spend { delta, ..measure_of(chosen.cost)? };
    let first = first.map(|draft| {
        // In the measure of the answer, so that one budget is charged.
        let question = Question { spend, diagnostics: false, ..*question };
        with_noise(draft, &question, dictionary).map(|(plan, _)| plan)
    });
    let keys_plan = first.transpose()?;
    let keys_round = keys_plan.as_ref().map(|plan| -> Result<_, PlanError> {
        Ok(KeysRound { plan: plan.digest()?, shape: plan.shape.clone() })
    });
    Ok(Planned {
        columns: columns_used(&plan),
        caps_asked: (question.row_cap, question.group_cap),
        looked_up,
        digest: plan.digest()?,
        keys_round: keys_round.transpose()?,
        cost: Cost { delta: delta.unwrap_or(Delta::ZERO), ..chosen.cost },
        holders,
        mechanism: chosen.mechanism,
        why: chosen.why,
        choice: chosen.plain,
        plan,
        keys_plan,
    })
}

/// The one measure that a cost is in. Errors when it names none or two.
fn measure_of(cost: Cost) -> Result<Spend, PlanError> {
    let (epsilon, rho) = (cost.epsilon, cost.rho);
    match (epsilon > Epsilon::ZERO, rho > Rho::ZERO) {
        (true, false) => Ok(Spend { epsilon: Some(epsilon), ..Spend::default() }),
        (false, true) => Ok(Spend { rho: Some(rho), ..Spend::default() }),
        _ => Err(PlanError::Measure),
    }
}

/// A draft with its noise, and the threshold of private keys.
fn with_noise(
    draft: Draft,
    question: &Question<'_>,
    dictionary: &Dictionary,
) -> Result<(ContributionPlan, Chosen), PlanError> {
    let Draft { tables, contribute, keys, lanes, columns, recipe, private, .. } = draft;
    let Draft { row_cap, cells_per_person_max, .. } = draft;
    let tables = tables.tables;
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
    // What the data owners allow for any table that is read.
    let datasets = tables.iter().filter_map(|table| dictionary.dataset(table.dataset.as_str()));
    let allowed = datasets.filter_map(|dataset| dataset.groups_per_unit_max).min();
    let asked = question.group_cap.min(allowed.unwrap_or(u32::MAX));
    let group_cap = u32::try_from(reach).unwrap_or(u32::MAX).min(asked);
    let mut needs = lanes.iter().map(need).collect::<Result<Vec<_>, _>>()?;
    for (need, figures) in needs.iter_mut().zip(read_by(&shape.columns, lanes.len())) {
        need.figures = figures;
    }
    let (chosen, diagnostics) = match kinds(question) {
        [] => (choose(group_cap, &needs, question.spend)?, Vec::new()),
        kinds => choose_with(kinds, group_cap, &needs, question.spend)?,
    };
    shape.diagnostics = diagnostics;
    let lanes = lanes.into_iter().zip(needs).zip(&chosen.noise);
    shape.lanes = lanes
        .map(|((lane, need), noise)| LaneShape {
            name: lane.name,
            grid_bits: lane.grid_bits,
            sensitivity_steps: need.sensitivity_steps,
            noise: *noise,
            one_of: lane.one_of,
        })
        .collect();
    let delta = question.spend.delta;
    shape.private_keys = private_keys_of(private, &shape.lanes, group_cap, delta)?;
    shape.check()?;
    let version = PLAN_VERSION;
    Ok((ContributionPlan { version, tables, contribute, row_cap, group_cap, shape }, chosen))
}

/// The threshold of private keys: the least that a person alone in each of their groups reaches with
/// probability delta at most, through the noise of the lane that counts people. None where an earlier
/// round has found the keys.
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
        return Err(PlanError::PrivateSums { found, place: Place::default() });
    }
    let threshold = persons_lane.map(|persons_lane| -> Result<_, PlanError> {
        let persons = usize::try_from(persons_lane).ok().and_then(|at| lanes.get(at));
        let persons = persons.ok_or(PrivateKeysError::PersonsLane).map_err(ShapeError::from)?;
        let people = key_threshold(&persons.noise, group_cap, delta)?;
        Ok(KeyThreshold { persons_lane, people, delta })
    });
    Ok(Some(PrivateKeys { types, threshold: threshold.transpose()?, found: Vec::new() }))
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

/// The headings of the columns that read each lane, for people.
fn read_by(columns: &[ResultColumn], lanes: usize) -> Vec<String> {
    let mut headings: Vec<Vec<String>> = vec![Vec::new(); lanes];
    for column in columns {
        for lane in column.formula.lanes() {
            if let Some(headings) = headings.get_mut(lane as usize) {
                headings.push(format!("`{}`", excerpt(&column.name)));
            }
        }
    }
    let told = headings.into_iter().map(|headings| match headings.as_slice() {
        [] => "what no column shows".to_owned(),
        [first, second, more, ..] => {
            let others = headings.len() - 2;
            let others = if others == 1 { more.clone() } else { format!("{others} more") };
            format!("{first}, {second} and {others}")
        }
        few => few.join(" and "),
    });
    told.collect()
}

fn need(lane: &DraftLane) -> Result<Need, PlanError> {
    let is_exact = |steps: &u64| *steps <= SENSITIVITY_STEPS_MAX;
    let too_sensitive = || PlanError::TooSensitive {
        lane: excerpt(&lane.name),
        steps: lane.sensitivity_steps.map_or_else(|| "2^64".to_owned(), |steps| steps.to_string()),
        place: lane.place,
    };
    let sensitivity_steps = lane.sensitivity_steps.filter(is_exact).ok_or_else(too_sensitive)?;
    Ok(Need {
        name: lane.name.clone(),
        figures: String::new(),
        sensitivity_steps,
        one_of: lane.one_of,
        weight: lane.weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranges are made so that sums fit: this is what stands behind them.
    #[test]
    fn a_lane_that_is_too_sensitive_is_pointed_at() {
        let text = "SELECT SUM(km) AS km FROM trips";
        let place = Place { line: 1, column: 12 };
        for sensitivity_steps in [None, Some(SENSITIVITY_STEPS_MAX + 1)] {
            let (name, one_of) = ("sum(km)".to_owned(), None);
            let lane =
                DraftLane { name, grid_bits: 0, sensitivity_steps, one_of, weight: 1, place };
            let refused = need(&lane).err().unwrap();
            assert!(matches!(refused, PlanError::TooSensitive { .. }), "{refused:?}");
            assert_eq!(refused.pointed(text).unwrap().shown_column, 12);
        }
    }
}
