//! The draft of an analysis: the question, what runs, what it may cost. Planning it against the
//! agreement's dictionary gives the document that the researcher signs.

use super::{DraftError, key_values, moment, parse, seconds};
use crate::digest::sha256;
use crate::{PlanError, Planned, Question, Spend};
use cloister_terms::analysis::{Body, ModuleBody, ModuleLane, ModuleNumbers, ModuleOutputs};
use cloister_terms::limits::{MODULE_BYTES_MAX, ROUNDS_MAX};
use cloister_terms::{
    Agreement, Analysis, Bounds, DOCUMENT_VERSION, Delta, Dictionary, Digest, Epsilon,
    KeyDimension, Name, Rho,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `analysis.toml`, read.
#[derive(Debug, Clone)]
pub struct AnalysisDraft {
    form: Form,
    body: Body,
    row_cap: u32,
    group_cap: u32,
    /// As it was read: refusals point into it.
    pub(super) text: String,
    /// The module's bytes, where there is a module.
    pub module: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: Name,
    question: String,
    purpose: String,
    nodes: Option<Vec<Name>>,
    recipients: Option<Vec<Name>>,
    /// Rows of one person; without it, as many as the dictionary allows anywhere.
    row_cap: Option<u32>,
    /// Groups of one person; without it, one for each row.
    group_cap: Option<u32>,
    /// Counts of the people whom the limits touched, at a part of the cost.
    #[serde(default)]
    diagnostics: bool,
    #[serde(default = "one")]
    max_runs: u32,
    /// 2: the first round finds private keys, the second asks every partner for all of them.
    #[serde(default = "one")]
    rounds: u32,
    from: Option<String>,
    until: Option<String>,
    spend: SpendForm,
    sql: Option<String>,
    module: Option<ModuleForm>,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpendForm {
    epsilon: Option<Epsilon>,
    rho: Option<Rho>,
    delta: Option<Delta>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleForm {
    file: PathBuf,
    rows: String,
    fuel_per_person: u64,
    #[serde(default)]
    keys: Vec<KeyForm>,
    lanes: Vec<ModuleLane>,
    #[serde(default = "ints")]
    numbers: ModuleNumbers,
    #[serde(default = "sparse")]
    outputs: ModuleOutputs,
    /// The longest vector of one person's numbers in one group, a decimal on the lanes' grid.
    norm_max: Option<String>,
}

fn ints() -> ModuleNumbers {
    ModuleNumbers::Int
}

fn sparse() -> ModuleOutputs {
    ModuleOutputs::Sparse
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    name: String,
    /// `dataset.column`: take the dictionary's domain.
    column: Option<String>,
    values: Option<Vec<toml::Value>>,
}

/// Reads a TOML draft; `read` gives the bytes of a module's file, as the draft names it.
pub fn analysis_from_toml(
    text: &str,
    dictionary: &Dictionary,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
) -> Result<AnalysisDraft, DraftError> {
    let form: Form = parse(text)?;
    let (body, module) = match (&form.sql, &form.module) {
        (Some(sql), None) => (Body::Sql { text: sql.clone() }, None),
        (None, Some(module)) => {
            let path = module.file.display().to_string();
            let bytes = read(&module.file).map_err(|error| DraftError::File { path, error })?;
            if bytes.len() > MODULE_BYTES_MAX {
                return Err(DraftError::ModuleSize(bytes.len()));
            }
            (Body::Module(module_body(module, &bytes, dictionary)?), Some(bytes))
        }
        _ => return Err(DraftError::Body),
    };
    let allowed = dictionary.datasets.iter().map(|dataset| dataset.rows_per_unit_max).max();
    let row_cap = form.row_cap.or(allowed).unwrap_or(1);
    // Each row of SQL stands in one group, but a module fills as many as it likes. What the data owners
    // allow is the planner's to keep.
    let otherwise = if module.is_none() { Some(row_cap) } else { None };
    let group_cap = form.group_cap.or(otherwise).ok_or(DraftError::GroupCap)?;
    Ok(AnalysisDraft { form, body, row_cap, group_cap, text: text.to_owned(), module })
}

fn module_body(
    form: &ModuleForm,
    bytes: &[u8],
    dictionary: &Dictionary,
) -> Result<ModuleBody, DraftError> {
    let keys = form.keys.iter().map(|key| dimension(key, dictionary));
    Ok(ModuleBody {
        sha256: sha256(bytes).ok_or(DraftError::Digest)?,
        rows: form.rows.clone(),
        keys: keys.collect::<Result<_, _>>()?,
        lanes: form.lanes.clone(),
        numbers: form.numbers,
        outputs: form.outputs,
        norm_max_steps: form
            .norm_max
            .as_ref()
            .map(|norm| norm_steps(norm, &form.lanes))
            .transpose()?,
        fuel_per_person: form.fuel_per_person,
    })
}

/// A norm in steps of the first lane's grid; lanes on another one are the planner's to refuse.
fn norm_steps(norm: &str, lanes: &[ModuleLane]) -> Result<u64, DraftError> {
    let grid_bits = lanes.first().map_or(0, |lane| lane.value.grid_bits());
    let norm = Bounds::parse("0", norm, grid_bits).map_err(DraftError::Norm)?;
    Ok(norm.magnitude_steps())
}

fn dimension(key: &KeyForm, dictionary: &Dictionary) -> Result<KeyDimension, DraftError> {
    let none = |column: &str| DraftError::Domain { key: key.name.clone(), column: column.into() };
    let values = match (&key.column, &key.values) {
        (Some(path), None) => path
            .split_once('.')
            .and_then(|(dataset, column)| dictionary.dataset(dataset)?.column(column))
            .and_then(|column| column.domain.clone())
            .ok_or_else(|| none(path))?,
        (None, Some(values)) => key_values(values)?,
        _ => return Err(none("")),
    };
    Ok(KeyDimension { name: key.name.clone(), values })
}

impl AnalysisDraft {
    /// Plans what the draft asks over `dictionary`.
    pub fn plan(&self, dictionary: &Dictionary) -> Result<Planned, DraftError> {
        Ok(crate::plan(dictionary, &self.question())?)
    }

    /// The question it asks, with what it may cost.
    pub fn question(&self) -> Question<'_> {
        let SpendForm { epsilon, rho, delta } = self.form.spend;
        Question {
            body: &self.body,
            row_cap: self.row_cap,
            group_cap: self.group_cap,
            spend: Spend { epsilon, rho, delta },
            diagnostics: self.form.diagnostics,
            rounds: self.form.rounds,
        }
    }

    /// The SQL in it: the query, or what chooses a module's rows.
    pub fn sql(&self) -> &str {
        match &self.body {
            Body::Sql { text } => text,
            Body::Module(module) => &module.rows,
        }
    }

    /// Rounds of a run, as it is written.
    pub fn rounds(&self) -> u32 {
        self.form.rounds
    }

    /// The same question asked of one partner alone, who alone gets the answer. What a first round shows of
    /// private keys is all that there is then, so one is enough. Errors when it asks or tells anybody else,
    /// and on numbers of rounds that no run has.
    pub fn of_one(mut self, partner: &Name) -> Result<Self, DraftError> {
        let Form { rounds, nodes, recipients, .. } = &self.form;
        for (key, names) in [("nodes", nodes), ("recipients", recipients)] {
            if let Some(name) = names.iter().flatten().find(|name| *name != partner) {
                return Err(DraftError::NotAlone { key, name: name.clone() });
            }
        }
        if !(1..=ROUNDS_MAX).contains(rounds) {
            let (found, max) = ((*rounds).into(), ROUNDS_MAX.into());
            return Err(PlanError::OutOfRange { what: "rounds", found, max }.into());
        }
        self.form.rounds = 1;
        self.form.nodes = Some(vec![partner.clone()]);
        self.form.recipients = None;
        Ok(self)
    }
}

/// Plans the draft for `researcher` under `agreement` (whose document has `digest`).
///
/// Nodes default to every party that answers any cell, recipients to the researcher, dates to the agreement's.
pub fn document_of(
    draft: &AnalysisDraft,
    agreement: &Agreement,
    digest: Digest,
    researcher: &Name,
) -> Result<(Analysis, Planned), DraftError> {
    let form = &draft.form;
    let spend = usable(draft, agreement, researcher)?;
    let planned = crate::plan(&agreement.dictionary, &Question { spend, ..draft.question() })?;
    let holders = planned.holders.as_ref();
    let answers = |node: &Name| holders.is_none_or(|holders| holders.contains(node));
    let all = || {
        let parties = agreement.parties.iter().map(|party| party.partner.clone());
        parties.filter(answers).collect()
    };
    let nodes = sorted(form.nodes.clone().unwrap_or_else(all));
    if let Some(stranger) = nodes.iter().find(|node| agreement.party(node).is_none()) {
        return Err(DraftError::Stranger(stranger.clone(), "partners"));
    }
    if let Some(idle) = nodes.iter().find(|node| !answers(node)) {
        return Err(DraftError::Idle(idle.clone()));
    }
    let date = |key, text: &Option<String>, otherwise| match text {
        Some(text) => seconds(key, text),
        None => Ok(otherwise),
    };
    let not_before_s = date("from", &form.from, agreement.not_before_s)?;
    let not_after_s = date("until", &form.until, agreement.not_after_s)?;
    if not_before_s >= not_after_s {
        let (from, until) = (moment(not_before_s), moment(not_after_s));
        return Err(DraftError::NoTime { from, until });
    }
    let analysis = Analysis {
        version: DOCUMENT_VERSION,
        name: form.name.clone(),
        researcher: researcher.clone(),
        agreement: digest,
        question: form.question.clone(),
        purpose: form.purpose.clone(),
        body: draft.body.clone(),
        columns: planned.columns.clone(),
        nodes,
        recipients: sorted(form.recipients.clone().unwrap_or_else(|| vec![researcher.clone()])),
        row_cap: draft.row_cap,
        group_cap: draft.group_cap,
        diagnostics: form.diagnostics,
        cost_per_round: planned.cost,
        rounds: form.rounds,
        max_runs: form.max_runs,
        not_before_s,
        not_after_s,
        plan: planned.digest(),
        shape: planned.plan.shape.clone(),
        keys_round: planned.keys_round().cloned(),
    };
    analysis.check()?;
    Ok((analysis, planned))
}

/// What the draft may spend, but for a measure of two that the researcher or a partner who may be asked
/// cannot pay in: the planner chooses among what the agreement holds.
fn usable(
    draft: &AnalysisDraft,
    agreement: &Agreement,
    researcher: &Name,
) -> Result<Spend, DraftError> {
    let mut spend = draft.question().spend;
    if spend.epsilon.is_none() || spend.rho.is_none() {
        return Ok(spend);
    }
    let asked = |node: &Name| draft.form.nodes.as_ref().is_none_or(|nodes| nodes.contains(node));
    let parties = agreement.parties.iter().filter(|party| asked(&party.partner));
    let own = agreement.researcher(researcher).map(|person| person.caps);
    let caps: Vec<_> = parties.map(|party| party.caps).chain(own).collect();
    spend.epsilon = spend.epsilon.filter(|_| caps.iter().all(|cap| cap.epsilon > Epsilon::ZERO));
    spend.rho = spend.rho.filter(|_| caps.iter().all(|cap| cap.rho > Rho::ZERO));
    if spend.epsilon.is_none() && spend.rho.is_none() {
        return Err(DraftError::NoMeasure);
    }
    Ok(spend)
}

fn sorted(mut names: Vec<Name>) -> Vec<Name> {
    names.sort();
    names.dedup();
    names
}
