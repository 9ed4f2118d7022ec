//! The analysis: the question a researcher signs, whole. Its digest is what reviewers approve, and
//! every node plans it again from this text and compares plan, shape and cost.

use crate::limits::{
    ANSWER_VALUES_MAX, GROUP_CAP_MAX, ROUNDS_MAX, ROW_CAP_MAX, RUNS_MAX, TEXT_BYTES_MAX,
};
use crate::shape::{KeyDimension, OutputShape, ShapeError};
use crate::value::Bounds;
use crate::{Cost, DOCUMENT_VERSION, Delta, Digest, Name};
use serde::{Deserialize, Serialize};

/// What a researcher signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// [`DOCUMENT_VERSION`].
    pub version: u32,
    /// Short name, unique to the researcher.
    pub name: Name,
    /// Who asks.
    pub researcher: Name,
    /// The agreement it stands under.
    pub agreement: Digest,
    /// The question in plain words.
    pub question: String,
    /// Purpose, one of the agreement's IRIs.
    pub purpose: String,
    /// What runs.
    pub body: Body,
    /// Columns it reads, by dataset, each needed; nothing else is read.
    pub columns: Vec<ColumnUse>,
    /// Partners asked, sorted, distinct.
    pub nodes: Vec<Name>,
    /// Who receives the answer, sorted, distinct.
    pub recipients: Vec<Name>,
    /// Rows one person contributes at most, at most the dataset's own maximum.
    pub row_cap: u32,
    /// Cells one person contributes to at most (L0).
    pub group_cap: u32,
    /// Whether its answer counts the people whom the limits touched, at a part of its cost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub diagnostics: bool,
    /// Cost of one round at each node (see [`Self::cost_of`]).
    pub cost_per_round: Cost,
    /// Rounds a run has: 2 where one finds private keys and the next one answers them all.
    pub rounds: u32,
    /// Runs in all; the whole study may cost [`Self::cost_total`] at each node.
    pub max_runs: u32,
    /// First second (UTC) it may run.
    pub not_before_s: i64,
    /// First second (UTC) it may run no more.
    pub not_after_s: i64,
    /// Digest of the contribution plan.
    pub plan: Digest,
    /// Shape of the released vector.
    pub shape: OutputShape,
    /// The first of two rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_round: Option<KeysRound>,
}

/// The round that finds which private keys there are; the other one answers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysRound {
    /// Digest of its contribution plan.
    pub plan: Digest,
    /// Shape of its released vector.
    pub shape: OutputShape,
}

/// What runs at the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Body {
    /// One SQL query over the dictionary.
    Sql {
        /// Its text.
        text: String,
    },
    /// A person-map module over rows chosen by SQL.
    Module(ModuleBody),
}

/// A person-map module and everything the host needs to run and bound it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleBody {
    /// SHA-256 of the module's bytes.
    pub sha256: Digest,
    /// `SELECT columns FROM dataset WHERE ...`: the rows of each person, in canonical order, one
    /// guest column for each selected column.
    pub rows: String,
    /// Key dimensions; an output's index counts their cells in mixed radix, the last fastest, and within a
    /// cell its lanes.
    pub keys: Vec<KeyDimension>,
    /// What is summed in each cell.
    pub lanes: Vec<ModuleLane>,
    /// What the module's values are.
    pub numbers: ModuleNumbers,
    /// How the module writes them.
    pub outputs: ModuleOutputs,
    /// The largest Euclidean norm of one person's values in the lanes of one cell, from 1 step of their one
    /// grid; a longer vector is scaled down. Lanes are then charged together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_max_steps: Option<u64>,
    /// Fuel for each person.
    pub fuel_per_person: u64,
}

impl ModuleBody {
    /// What one person may bring to a cell, for people: a line a lane, and one for the norm. Names are as the
    /// researcher wrote them.
    pub fn contributions(&self) -> Vec<String> {
        let lane = |lane: &ModuleLane| format!("{} within {}", lane.name, lane.value);
        let mut lines: Vec<String> = self.lanes.iter().map(lane).collect();
        let grid_bits = self.lanes.first().map_or(0, |lane| lane.value.grid_bits());
        let norm = self.norm_max_steps.and_then(|steps| i64::try_from(steps).ok());
        let norm = norm.and_then(|steps| Bounds::from_steps(0, steps, grid_bits).ok());
        lines.extend(
            norm.map(|norm| format!("all together, as a vector, of a length within {norm}")),
        );
        lines
    }
}

/// A lane of a module's outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleLane {
    /// Heading of the sums in the answer.
    pub name: String,
    /// Range and grid of one person's value in one cell.
    pub value: Bounds,
}

/// What the 8 bytes of a module's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleNumbers {
    /// i64, in steps of the lane's grid.
    Int,
    /// f64, rounded to the nearest step of the lane's grid, ties to even; what is no number or infinite
    /// is 0.
    Float,
}

/// How a module writes its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleOutputs {
    /// (index, value) pairs, as many as it says.
    Sparse,
    /// The values of all lanes of all cells in order.
    Dense,
}

/// Columns of one dataset that an analysis reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnUse {
    /// The dataset.
    pub dataset: Name,
    /// Its columns, in dictionary order, without the unit column.
    pub columns: Vec<Name>,
}

/// Why an analysis is unusable, whatever the dictionary says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnalysisError {
    /// Written for another version of Cloister.
    #[error("analysis is of version {0}, this is version {DOCUMENT_VERSION}: submit it again")]
    Version(u32),
    /// A number is zero or beyond its limit.
    #[error("`{what}` is {found}: it must be between 1 and {max}")]
    OutOfRange {
        /// The field.
        what: &'static str,
        /// The number found.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A list is empty, unsorted or has a name twice.
    #[error("`{0}` must be a sorted list of distinct names, at least one")]
    List(&'static str),
    /// A text is too long.
    #[error("`{0}` is longer than {TEXT_BYTES_MAX} bytes: shorten it")]
    Text(&'static str),
    /// The dates leave no time to run.
    #[error("`not_before_s` is not before `not_after_s`: set dates that leave time to run")]
    Dates,
    /// An analysis that costs nothing would release exact figures.
    #[error("the analysis costs nothing: give it an epsilon or rho above 0")]
    Free,
    /// The total cost overflows.
    #[error("the total cost of all runs is beyond every budget: lower `max_runs` or the cost")]
    Total,
    /// Two rounds without private keys to find, or one that would leave them unfound.
    #[error(
        "two rounds are for private keys: the first shows them, the second answers them; plan the analysis again"
    )]
    Rounds,
    /// Nobody could ask the second round.
    #[error(
        "with two rounds the researcher asks for the groups that the first one shows: name the researcher among the recipients"
    )]
    Recipient,
    /// Private keys stand in the document itself.
    #[error("the analysis names keys that only its answer may show: plan it again")]
    KeysNamed,
    /// More than one answer holds.
    #[error(
        "all {nodes} partners together would release more than {ANSWER_VALUES_MAX} integers, which one answer does not hold: group by fewer values, or ask fewer partners at once"
    )]
    TooManyIntegers {
        /// Partners that are asked.
        nodes: usize,
    },
    /// The shape is unusable.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl Analysis {
    /// Cost of a round, from 1, at each node. A second round shows no key that was not shown before, and so
    /// spends no delta. `None` when there is no such round.
    pub fn cost_of(&self, round: u32) -> Option<Cost> {
        match (round, self.rounds) {
            (1, 1 | 2) => Some(self.cost_per_round),
            (2, 2) => Some(Cost { delta: Delta::ZERO, ..self.cost_per_round }),
            _ => None,
        }
    }

    /// Cost of all rounds of one run at one node, or `None` when it overflows.
    pub fn cost_per_run(&self) -> Option<Cost> {
        let rounds = (1..=self.rounds).map(|round| self.cost_of(round));
        rounds.reduce(|sum, cost| sum?.checked_add(cost?)).flatten()
    }

    /// Cost of all rounds of all runs at one node, or `None` when it overflows.
    pub fn cost_total(&self) -> Option<Cost> {
        self.cost_per_run()?.checked_mul(u64::from(self.max_runs))
    }

    /// Datasets it reads.
    pub fn datasets(&self) -> Vec<Name> {
        self.columns.iter().map(|used| used.dataset.clone()).collect()
    }

    /// Checks everything the type alone does not hold; the dictionary's part is the planner's.
    pub fn check(&self) -> Result<(), AnalysisError> {
        if self.version != DOCUMENT_VERSION {
            return Err(AnalysisError::Version(self.version));
        }
        for (what, found, max) in [
            ("row_cap", self.row_cap, ROW_CAP_MAX),
            ("group_cap", self.group_cap, GROUP_CAP_MAX),
            ("rounds", self.rounds, ROUNDS_MAX),
            ("max_runs", self.max_runs, RUNS_MAX),
        ] {
            if !(1..=max).contains(&found) {
                let (found, max) = (found.into(), max.into());
                return Err(AnalysisError::OutOfRange { what, found, max });
            }
        }
        for (what, list) in [("nodes", &self.nodes), ("recipients", &self.recipients)] {
            if list.is_empty() || !list.is_sorted_by(|a, b| a < b) {
                return Err(AnalysisError::List(what));
            }
        }
        for (what, text) in [("question", &self.question), ("purpose", &self.purpose)] {
            if text.len() > TEXT_BYTES_MAX {
                return Err(AnalysisError::Text(what));
            }
        }
        if self.not_before_s >= self.not_after_s {
            return Err(AnalysisError::Dates);
        }
        if self.cost_per_round.is_zero() {
            return Err(AnalysisError::Free);
        }
        self.cost_total().ok_or(AnalysisError::Total)?;
        self.check_rounds()?;
        let first = self.keys_round.as_ref().map(|round| &round.shape);
        for shape in first.into_iter().chain([&self.shape]) {
            if shape.private_keys.as_ref().is_some_and(|private| !private.found.is_empty()) {
                return Err(AnalysisError::KeysNamed);
            }
            shape.check()?;
            self.check_size(shape)?;
        }
        Ok(())
    }

    /// What no message could carry to those who may read it must not be charged. Private keys have limits of their
    /// own, once they are known.
    fn check_size(&self, shape: &OutputShape) -> Result<(), AnalysisError> {
        if shape.private_keys.is_some() {
            return Ok(());
        }
        if shape.integers_of(&self.nodes)? > ANSWER_VALUES_MAX {
            return Err(AnalysisError::TooManyIntegers { nodes: self.nodes.len() });
        }
        Ok(())
    }

    /// One round shows private keys by a threshold; the second of two answers those of the first.
    fn check_rounds(&self) -> Result<(), AnalysisError> {
        let has_threshold = |shape: &OutputShape| {
            shape.private_keys.as_ref().map(|private| private.threshold.is_some())
        };
        let fits = match (self.rounds, &self.keys_round) {
            (1, None) => has_threshold(&self.shape) != Some(false),
            (2, Some(first)) => {
                let own = self.shape.private_keys.as_ref().map(|private| &private.types);
                let before = first.shape.private_keys.as_ref().map(|private| &private.types);
                has_threshold(&first.shape) == Some(true)
                    && has_threshold(&self.shape) == Some(false)
                    && (own, &self.shape.keys) == (before, &first.shape.keys)
            }
            _ => false,
        };
        if !fits {
            return Err(AnalysisError::Rounds);
        }
        let can_ask = self.rounds == 1 || self.recipients.contains(&self.researcher);
        if can_ask { Ok(()) } else { Err(AnalysisError::Recipient) }
    }
}
