//! What one person's rows may cost to work out. Rows alone decide how much work they are, counted before it is
//! done, so that nobody's rows hold up a run: whoever's are too much gives the default contribution, as who is
//! too large does. Nothing here may look at a clock.

use crate::evaluate::Columns;
use crate::relate::rows::STEP_ROWS_MAX;
use crate::row_bytes::known_text_bytes;
use crate::scan::persons::PERSON_BYTES_MAX;
use cloister_plan::limits::LIKE_STEPS_GONE_BACK_MAX;
use cloister_plan::{Contribute, ContributionPlan, Expr, Function, LaneExpr, Literal, Relation};
use cloister_terms::{ColumnType, Name};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most units of work for one person's rows, and for a block of several persons' before it is cut. A unit is
/// about a nanosecond on a fast machine.
pub const WORK_MAX: u64 = 1 << 26;
/// Units that even a slow machine does in a millisecond: slots are reckoned by it.
pub const WORK_PER_MS_MIN: u64 = 250_000;
/// How often a person's work may be begun anew, when the blocks she stands in are cut in 16 parts each: those of
/// several tables hold the most persons.
const BEGUN_MAX: u64 = 6;

/// Units of the cheapest part of an expression on one row, of one that compares or computes, and of a call of a
/// function.
const PART: u64 = 1;
const KERNEL: u64 = 4;
const CALL: u64 = 64;
/// Units of a function for each byte of its constants on one row: searchers are made anew for each.
const CONSTANT: u64 = 8;
/// Units of a pattern for each byte of text, beside one for 64 of its own; for each step where it goes back; and for
/// each of its runs, which are made ready once a row on texts that are not short.
const LIKE: u64 = 4;
const LIKE_STEP: u64 = 4;
const LIKE_STEP_ANY_CASE: u64 = 12;
const LIKE_RUN: u64 = 400;
/// Bytes of text that are compared or copied in a unit.
const TEXT_BYTES_A_UNIT: u64 = 8;
/// Most bytes of text that a function makes of one row, and of a number.
const MADE_BYTES: u64 = cloister_plan::limits::MADE_TEXT_BYTES_MAX as u64;
const NUMBER_BYTES: u64 = 32;
/// Most bytes of one text that is read.
const TEXT_BYTES_MAX: u64 = crate::catalog::function::TEXT_VALUE_BYTES_MAX as u64;
/// Units of a row that a step copies, and for each halving of the rows where it sorts or compares them.
const ROW: u64 = 32;
const SORTED: u64 = 8;

/// Work done on one block's rows so far. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Option<Arc<AtomicU64>>);

impl Meter {
    /// One that counts.
    pub fn started() -> Self {
        Self(Some(Arc::default()))
    }

    /// Counts more work; false when it is too much, which must then not be done.
    pub fn spend(&self, units: u64) -> bool {
        let Some(spent) = &self.0 else { return true };
        // One thread works on a block.
        let all = spent.load(Ordering::Relaxed).saturating_add(units);
        spent.store(all, Ordering::Relaxed);
        all <= WORK_MAX
    }
}

/// Units of an expression over these rows: never less for more rows or longer texts, and over the rows of
/// several persons never less than over one's. Recursion is bounded by the depth of a checked plan.
pub(crate) fn of_expr(expr: &Expr, columns: Columns<'_>) -> u64 {
    cost(expr, columns.rows as u64, &|name| texts(name, columns)).units
}

/// Units of keys and lanes over these rows; a clamp's inside may be looked at once more, to tell who is clipped.
pub(crate) fn of_lanes<'e>(exprs: impl Iterator<Item = &'e Expr>, columns: Columns<'_>) -> u64 {
    let twice = |expr: &Expr| {
        let inside = clamped(expr).into_iter().map(|of| of_expr(of, columns));
        inside.fold(of_expr(expr, columns), u64::saturating_add)
    };
    exprs.map(twice).fold(0, u64::saturating_add)
}

/// Units of rows that a step gives: they are copied.
pub(crate) fn of_rows(rows: usize, columns: usize, text_bytes: usize) -> u64 {
    let values =
        (rows as u64).saturating_mul(ROW.saturating_add(KERNEL.saturating_mul(columns as u64)));
    values.saturating_add(text_bytes as u64)
}

/// Units of columns whose values are sorted, hashed or compared with each other's.
pub(crate) fn of_keys(arrays: &[ArrayRef]) -> u64 {
    let each = |array: &ArrayRef| {
        let rows = array.len() as u64;
        let halvings = u64::from(rows.checked_ilog2().unwrap_or(0)) + 1;
        let text = array.as_string_opt::<i32>();
        let text = text.map_or(0, |texts| known_text_bytes(texts, 0..texts.len()) as u64);
        let own = rows.saturating_mul(SORTED).saturating_add(text / TEXT_BYTES_A_UNIT);
        own.saturating_mul(halvings).saturating_add(text)
    };
    arrays.iter().map(each).fold(0, u64::saturating_add)
}

/// The expressions of a SQL plan's keys and lanes.
pub(crate) fn summed(plan: &ContributionPlan) -> impl Iterator<Item = &Expr> {
    let sql = match &plan.contribute {
        Contribute::Sql(sql) => Some(sql),
        Contribute::Module(_) => None,
    };
    sql.into_iter().flat_map(|sql| {
        let keys = sql.keys.iter().map(|key| &key.expr);
        keys.chain(sql.lanes.iter().filter_map(LaneExpr::expr))
    })
}

/// Whether nobody's rows of the plan's only table can be too much work once the table's cap has cut them, which is
/// when they are counted: a way that does not count gives the same then. The plan's own cap comes later.
pub(crate) fn is_never_too_much(plan: &ContributionPlan) -> bool {
    let [table] = plan.tables.as_slice() else { return false };
    let rows = u64::from(table.table_row_cap);
    let has_text = table.columns.iter().any(|column| column.column_type == ColumnType::Text);
    let text = if has_text { text_max(rows) } else { 0 };
    let exprs = summed(plan).flat_map(|expr| clamped(expr).into_iter().chain([expr]));
    let units = exprs.map(|expr| cost(expr, rows, &|_| text).units);
    units.fold(0, u64::saturating_add) <= WORK_MAX
}

/// Milliseconds that one person's rows may take in a question where they may be more work than reading them:
/// where they are related, or an expression is dear. None in any other.
pub(crate) fn person_ms_max(plan: &ContributionPlan) -> u64 {
    let Contribute::Sql(sql) = &plan.contribute else { return 0 };
    let filters = plan.tables.iter().filter_map(|table| table.filter.as_ref());
    let is_metered = summed(plan).chain(filters).any(Expr::is_dear)
        || !crate::relate::is_plain(plan, &sql.relation);
    let units = if is_metered { most(plan, &sql.relation) } else { 0 };
    units.saturating_mul(BEGUN_MAX).div_ceil(WORK_PER_MS_MIN)
}

/// The most work that one person's rows may be, by the plan alone; [`WORK_MAX`] where texts are looked at, or rows
/// meet rows of a public table.
fn most(plan: &ContributionPlan, relation: &Relation) -> u64 {
    let has_text = plan
        .tables
        .iter()
        .any(|table| table.columns.iter().any(|column| column.column_type == ColumnType::Text));
    let Some((rows, below)) = relation_work(plan, relation).filter(|_| !has_text) else {
        return WORK_MAX;
    };
    let exprs = summed(plan).flat_map(|expr| clamped(expr).into_iter().chain([expr]));
    let units = exprs.map(|expr| cost(expr, rows, &|_| 0).units);
    units.fold(below, u64::saturating_add).min(WORK_MAX)
}

/// The most rows of one person, and what all steps up to here cost. Recursion is bounded by the depth of a checked
/// plan.
fn relation_work(plan: &ContributionPlan, relation: &Relation) -> Option<(u64, u64)> {
    let below = crate::relate::parts(relation).into_iter().map(|part| relation_work(plan, part));
    let below = below.collect::<Option<Vec<_>>>()?;
    let units = below.iter().map(|(_, units)| *units).fold(0, u64::saturating_add);
    let first = below.first().map_or(0, |(rows, _)| *rows);
    let rows = match relation {
        Relation::Table { table } => {
            plan.tables.get(usize::try_from(*table).ok()?)?.table_row_cap.into()
        }
        Relation::Lookup { .. } => return None,
        Relation::Join { .. } => below.iter().map(|(rows, _)| *rows).fold(1, u64::saturating_mul),
        Relation::Union { .. } => below.iter().map(|(rows, _)| *rows).fold(0, u64::saturating_add),
        _ => first,
    };
    let rows = rows.min(STEP_ROWS_MAX as u64);
    let worked = rows.max(below.iter().map(|(rows, _)| *rows).max().unwrap_or(0));
    let halvings = u64::from(worked.checked_ilog2().unwrap_or(0)) + 1;
    let own = crate::relate::expressions(relation)
        .into_iter()
        .map(|expr| cost(expr, worked, &|_| 0).units.saturating_add(worked * SORTED * halvings));
    let own = own.fold(worked.saturating_mul(2 * ROW + CALL), u64::saturating_add);
    Some((rows, units.saturating_add(own)))
}

/// What stands inside clamps, in the arithmetic that makes a number.
fn clamped(expr: &Expr) -> Vec<&Expr> {
    let (mut waiting, mut found) = (vec![expr], Vec::new());
    while let Some(part) = waiting.pop() {
        match part {
            Expr::Clamp { of, .. } => {
                found.push(of.as_ref());
                waiting.push(of);
            }
            Expr::Arithmetic { left, right, .. } => waiting.extend([left.as_ref(), right]),
            Expr::ToFloat { of } | Expr::Negate { of } => waiting.push(of),
            _ => {}
        }
    }
    found
}

/// Most bytes of text in so many rows of one person.
fn text_max(rows: u64) -> u64 {
    rows.saturating_mul(TEXT_BYTES_MAX).min(PERSON_BYTES_MAX as u64)
}

/// What an expression costs over some rows.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    units: u64,
    /// Most bytes of text that its values have together.
    text: u64,
}

fn cost(expr: &Expr, rows: u64, texts: &dyn Fn(&Name) -> u64) -> Cost {
    let parts = expr.parts();
    let below = parts.iter().map(|part| cost(part, rows, texts));
    let below = below.fold(Cost::default(), |all, part| Cost {
        units: all.units.saturating_add(part.units),
        text: all.text.saturating_add(part.text),
    });
    let copied = below.text / TEXT_BYTES_A_UNIT;
    let (each, of_text, text) = match expr {
        Expr::Column { name } => (PART, 0, texts(name)),
        Expr::Literal { value: Literal::Text(text) } => {
            (PART, 0, rows.saturating_mul(text.len() as u64))
        }
        Expr::Literal { .. } | Expr::Null { .. } => (PART, 0, 0),
        Expr::InList { list, .. } => (KERNEL.saturating_add(list.len() as u64), copied, 0),
        // What is left is copied at every branch.
        Expr::Case { .. } | Expr::Coalesce { .. } => {
            let branches = parts.len() as u64;
            (KERNEL.saturating_mul(branches), copied.saturating_mul(branches), below.text)
        }
        Expr::Call { function, .. } => {
            let constants = constant_bytes(function).saturating_mul(CONSTANT);
            let each = CALL.saturating_add(constants).saturating_add(PART * parts.len() as u64);
            (each, of_function(function, below.text, rows), made(function, below.text, rows))
        }
        _ => (KERNEL.saturating_mul(parts.len() as u64), copied, below.text),
    };
    let units = below.units.saturating_add(of_text).saturating_add(rows.saturating_mul(each));
    Cost { units, text }
}

/// Units of a function for the texts it is given.
fn of_function(function: &Function, text: u64, rows: u64) -> u64 {
    let Function::Like { pattern, ignore_case, .. } = function else {
        return text.saturating_mul(2);
    };
    let (bytes, runs) = (pattern.len() as u64, pattern.matches('%').count() as u64 + 1);
    let step = if *ignore_case { LIKE_STEP_ANY_CASE } else { LIKE_STEP };
    let steps = text.saturating_mul(bytes);
    // Texts that are short beside the pattern go back, at most so far; there are no more others than fill the rest.
    let short =
        steps.min(rows.saturating_mul(LIKE_STEPS_GONE_BACK_MAX as u64)).saturating_mul(step);
    let long = text.saturating_mul(LIKE.saturating_add(bytes.div_ceil(64)));
    let ready = (steps / (LIKE_STEPS_GONE_BACK_MAX as u64))
        .min(rows)
        .saturating_mul(runs * LIKE_RUN + bytes);
    short.saturating_add(long).saturating_add(ready)
}

/// Bytes of a function's own constants.
fn constant_bytes(function: &Function) -> u64 {
    match function {
        Function::Trim { characters, .. } => characters.len() as u64,
        Function::Replace { from, to } => (from.len() + to.len()) as u64,
        Function::SplitPart { delimiter, .. } => delimiter.len() as u64,
        Function::Like { pattern, .. } => pattern.len() as u64 / CONSTANT,
        _ => 0,
    }
}

/// Most bytes of text that a function makes of so many.
fn made(function: &Function, text: u64, rows: u64) -> u64 {
    let most = rows.saturating_mul(MADE_BYTES);
    match function {
        Function::Replace { from, to } => {
            let times = (to.len() as u64).div_ceil((from.len() as u64).max(1)).max(1);
            text.saturating_mul(times).min(most.max(text))
        }
        // Some letters have a longer other case.
        Function::Lower | Function::Upper => text.saturating_mul(3).min(most.max(text)),
        Function::Cast { .. } => text.saturating_add(rows.saturating_mul(NUMBER_BYTES)),
        _ => text,
    }
}

fn texts(name: &Name, columns: Columns<'_>) -> u64 {
    let place = columns.names.iter().position(|known| known == name);
    let array = place.and_then(|place| columns.arrays.get(place));
    let texts = array.and_then(|array| array.as_string_opt::<i32>());
    texts.map_or(0, |texts| known_text_bytes(texts, 0..texts.len()) as u64)
}
