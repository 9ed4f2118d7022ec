//! Analysis and dictionary become a contribution plan, an output shape, a cost and an expected
//! accuracy. Researchers use it to explain, nodes to plan again and compare. Pure and deterministic:
//! no I/O, no records, no engine; what is not on its allow-list is refused.

/// Sums over the groups of the answer.
mod across_groups;
/// Names of aggregates, with their contracts.
mod aggregate_names;
/// Aggregates with their arguments lowered.
mod aggregates;
/// Aggregates and windows inside a subquery.
mod calls;
/// Deviations from the middle of a range.
mod centred;
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
/// Functions of released figures, as they are written.
mod figure_calls;
/// What computed figures give, in plain words.
mod figure_notes;
/// Arithmetic on aggregates.
mod figures;
/// Error against cost, before anything is spent.
pub mod forecast;
/// The things in FROM.
mod from;
/// The functions a plan may call.
pub mod function;
/// What people read about each function.
mod function_notes;
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
/// The first of two rounds.
mod keys_round;
/// The lanes of a question.
mod lanes;
/// What a filter says of columns.
mod learnt;
/// Leaves of histograms and public values, as lanes.
mod leaves;
/// Limits of the planner alone.
pub mod limits;
/// Constants.
mod literal;
/// Syntax tree to expressions.
mod lower;
/// Calls and casts to expressions.
mod lower_calls;
/// Times and intervals to expressions.
mod lower_times;
/// Forms with words between their parts to expressions.
mod lower_words;
/// The module front end.
mod module;
/// Noise from what a round may cost.
mod noise;
/// What a plan does, in plain words.
mod notes;
/// The clauses of a subquery.
mod parts;
/// Counts of the people whom the limits touched.
mod people;
/// What a filter says about the values of an expression.
mod pinned;
/// Question to plan.
mod planned;
/// The place of a refusal in the text.
pub mod pointed;
/// Ranges, clamping bounds and grids.
mod range;
/// Ranges of functions.
mod range_calls;
/// HAVING, ORDER BY and LIMIT as post-processing.
mod recipe;
/// The reference page: every construct with an example that is run.
pub mod reference;
/// FROM, WITH and WHERE as a relation.
mod relate;
/// How one person's rows are made of her rows in the tables.
pub mod relation;
/// What functions give, one value at a time.
pub mod row;
/// Names and what is known of them.
mod scope;
/// Which cells each partner answers.
mod served;
/// The SQL front end.
mod sql;
/// Filters, columns and order of a relation.
mod steps;
/// A SELECT inside a query.
mod subquery;
/// The values behind sums, as people wrote them.
mod summed;
/// Places, parentheses and calls in a syntax tree.
mod syntax;
/// Text to syntax tree, in bounded time and memory.
mod text;
/// What single tokens tell.
mod tokens;
/// A relation in plain words.
mod told;
/// Values made one type.
mod typed;
/// What a cell is taken to hold.
mod typical;
/// Expressions in words.
mod words;
/// Functions in words.
mod words_calls;
/// What finding public values may cost.
mod work;

/// Tests on the sample dictionary.
#[cfg(test)]
mod tests;

pub use aggregate_names::{AggregateNote, aggregate_notes};
pub use construct::Construct;
pub use error::{Place, PlanError};
pub use explain::{ColumnAccuracy, Explanation, explain, explain_at};
pub use expr::{ArithmeticOp, Branch, CompareOp, Expr, FloatBits, IntText, Literal};
pub use forecast::{Forecast, ForecastError, Proposal, Target, forecast, propose};
pub use function::{DateField, DateUnit, Function, TrimSide};
pub use function_notes::{FunctionNote, row_functions};
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
pub use typical::{TYPICAL_ROWS, count_column};
