//! Analysis and dictionary become a contribution plan, an output shape, a cost and an expected
//! accuracy. Researchers use it to explain, nodes to plan again and compare. Pure and deterministic:
//! no I/O, no records, no engine; what is not on its allow-list is refused.

/// Aggregates as lanes.
mod aggregates;
/// The clauses of the one query.
mod clauses;
/// SQL that is refused, and what to write instead.
pub mod construct;
/// A plan's digest.
mod digest;
/// Agreements, dictionaries and analyses as people write them, in TOML.
pub mod draft;
/// Why there is no plan.
pub mod error;
/// A plan told to people.
mod explain;
/// Row-wise expressions: total, typed, of no engine.
pub mod expr;
/// Error against cost, before anything is spent.
pub mod forecast;
/// Names of functions.
mod functions;
/// Headings of the answer.
mod headings;
/// The contribution plan.
pub mod ir;
/// Public domains of keys.
mod keys;
/// Limits of the planner alone.
pub mod limits;
/// Constants.
mod literal;
/// Syntax tree to expressions.
mod lower;
/// The module front end.
mod module;
/// Noise from what a round may cost.
mod noise;
/// What a plan does, in plain words.
mod notes;
/// Question to plan.
mod planned;
/// The place of a refusal in the text.
pub mod pointed;
/// Ranges, clamping bounds and grids.
mod range;
/// The reference page: every construct with an example that is run.
pub mod reference;
/// How one person's rows are made of her rows in the tables.
pub mod relation;
/// The one dataset and its names.
mod scope;
/// The SQL front end.
mod sql;
/// Places, parentheses and calls in a syntax tree.
mod syntax;
/// Text to syntax tree, in bounded time and memory.
mod text;
/// Values made one type.
mod typed;
/// Expressions in words.
mod words;

/// Tests on the sample dictionary.
#[cfg(test)]
mod tests;

pub use construct::Construct;
pub use error::{Place, PlanError};
pub use explain::{ColumnAccuracy, Explanation, explain};
pub use expr::{ArithmeticOp, Branch, CompareOp, Expr, FloatBits, IntText, Literal};
pub use forecast::{Forecast, ForecastError, Proposal, forecast, propose};
pub use ir::{
    Contribute, ContributionPlan, KeyExpr, LaneExpr, ModuleColumn, ModuleColumnKind,
    ModuleContribution, PLAN_VERSION, ReadColumn, RowPlan, SqlContribution,
};
pub use noise::Spend;
pub use planned::{Planned, Question, plan, replan};
pub use pointed::Pointed;
pub use relation::{
    JoinKey, JoinKind, Measure, NamedExpr, NamedMeasure, NamedWindow, OrderKey, PublicColumn,
    PublicRows, Relation, WindowFunction,
};
