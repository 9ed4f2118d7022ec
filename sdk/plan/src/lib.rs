//! Analysis and dictionary become a contribution plan, an output shape, a cost and an expected
//! accuracy. Researchers use it to explain, nodes to plan again and compare. Pure and deterministic:
//! no I/O, no records, no engine; what is not on its allow-list is refused.

/// Aggregates as lanes.
mod aggregates;
/// Aggregates and windows inside a subquery.
mod calls;
/// The clauses of the one query.
mod clauses;
/// SQL that is refused, and what to write instead.
pub mod construct;
/// A plan's digest.
mod digest;
/// Why there is no plan.
pub mod error;
/// A plan told to people.
mod explain;
/// Row-wise expressions: total, typed, of no engine.
pub mod expr;
/// The things in FROM.
mod from;
/// Names of functions.
mod functions;
/// Headings of the answer.
mod headings;
/// The contribution plan.
pub mod ir;
/// Joins on the person, and with public tables.
mod joins;
/// Public domains of keys.
mod keys;
/// What a filter says of columns.
mod learnt;
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
/// The clauses of a subquery.
mod parts;
/// Question to plan.
mod planned;
/// Ranges, clamping bounds and grids.
mod range;
/// FROM, WITH and WHERE as a relation.
mod relate;
/// How one person's rows are made of her rows in the tables.
pub mod relation;
/// Names and what is known of them.
mod scope;
/// The SQL front end.
mod sql;
/// Filters, columns and order of a relation.
mod steps;
/// A SELECT inside a query.
mod subquery;
/// Places, parentheses and calls in a syntax tree.
mod syntax;
/// Text to syntax tree, in bounded time and memory.
mod text;
/// A relation in plain words.
mod told;
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
pub use ir::{
    Contribute, ContributionPlan, KeyExpr, LaneExpr, ModuleColumn, ModuleColumnKind,
    ModuleContribution, PLAN_VERSION, ReadColumn, RowPlan, SqlContribution,
};
pub use noise::Spend;
pub use planned::{Planned, Question, plan, replan};
pub use relation::{
    JoinKey, JoinKind, Measure, NamedExpr, NamedMeasure, NamedWindow, OrderKey, PublicColumn,
    PublicRows, Relation, WindowFunction,
};
