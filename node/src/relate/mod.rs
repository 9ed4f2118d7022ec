//! Makes the rows that a plan's relation asks for: of each person's rows in the private tables, and of
//! public tables. Steps work on blocks of many persons at once, but within the borders between them:
//! what a step makes of one person's rows must never depend on another's.
//!
//! Limits give the person they concern the default contribution, none; nothing that rows hold can
//! end in an error. What can be wrong with a plan is found by `check`, without a row.
//!
//! - `error`: what can be wrong with a relation
//! - `rows`: rows with borders between persons; limits
//! - `keys`: equal keys among one person's rows
//! - `pairs`: pairs of rows of one person
//! - `tables`: each table's rows, capped and in order
//! - then one file a step, and `measures` over several rows

mod distinct;
mod error;
mod filter;
mod join;
mod keys;
mod lookup;
mod measures;
mod pairs;
mod per_person;
mod project;
pub mod rows;
mod tables;
mod union;
mod window;

pub use error::RelationError;

use crate::bound::Caps;
use crate::contribute::sql::SqlRows;
use crate::evaluate::arrow_type;
use crate::fault::Fault;
use crate::scan::merge::Gathering;
use crate::scan::persons::{PERSON_BYTES_MAX, PersonLimits};
use crate::work;
use cloister_dp::PrfKey;
use cloister_plan::{Contribute, ContributionPlan, Expr, Measure, Relation, WindowFunction};
use cloister_terms::Name;
use datafusion::arrow::array::new_empty_array;
use rows::{PersonRows, Room, StepStop};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tables::{TableStep, order_matters};

/// Parts that a block is cut in.
const PARTS_A_CUT: usize = 16;
/// Deepest nesting of steps.
pub const RELATION_DEPTH_MAX: usize = 64;
/// Most steps of one plan.
pub const RELATION_STEPS_MAX: usize = 512;
/// Deepest nesting of one expression; the planner makes shallower ones.
pub const EXPRESSION_DEPTH_MAX: usize = 128;

/// A step above others. `below` holds what those gave, for the same persons.
trait Step: Send + Sync {
    /// What the step makes of every person's rows. Must look at one person's rows at a time.
    fn run(&self, below: &[PersonRows], room: &mut Room) -> Result<PersonRows, StepStop>;
}

/// A relation made ready.
enum Prepared {
    Table(usize),
    Step { step: Box<dyn Step>, of: Vec<Prepared> },
}

/// Makes the rows of one partition's persons.
pub struct Relator {
    tables: Vec<TableStep>,
    prepared: Prepared,
    limits: PersonLimits,
    /// What is worked out of the rows afterwards: keys and lanes.
    summed: Vec<Expr>,
    /// What the relation makes of no person.
    nothing: PersonRows,
}

/// What a relation made of some persons' rows.
pub struct Made {
    /// The rows; persons who give the default contribution have none.
    pub rows: PersonRows,
    /// Which persons of the gathering they are.
    pub persons: Range<usize>,
    /// Of each, whether a limit left out rows of theirs: a table's row cap, or the size of one person.
    pub cut: Vec<bool>,
}

/// Whether the relation is the plan's one table as it is, which needs none of this.
pub fn is_plain(plan: &ContributionPlan, relation: &Relation) -> bool {
    matches!(relation, Relation::Table { table: 0 }) && plan.tables.len() == 1
}

/// Checks that a SQL plan can be executed whatever the rows hold: tables, names, types, keys, lanes and
/// shape fit each other. Reads no record and needs no charge; admission may call it.
///
/// # Errors
/// The first thing that does not fit.
pub fn check(plan: &ContributionPlan) -> Result<(), Fault> {
    let Contribute::Sql(sql) = &plan.contribute else { return Ok(()) };
    // No row is kept by it: there is none.
    let caps = Caps::new(plan, &PrfKey::from_bytes([0; 16]))?;
    let values = SqlRows::new(sql, &plan.shape)?;
    check_size(&sql.relation)?;
    let keys = sql.keys.iter().map(|key| &key.expr);
    let lanes = sql.lanes.iter().filter_map(|lane| lane.expr());
    keys.chain(lanes).try_for_each(check_depth)?;
    let (_, rows) = Relator::prepare(plan, &sql.relation, &caps, PersonLimits::default())?;
    values.values(rows.columns())?;
    Ok(())
}

impl Relator {
    /// Makes a plan's relation ready. Errors as [`check`] does.
    pub fn new(
        plan: &ContributionPlan,
        relation: &Relation,
        caps: &Caps,
        limits: PersonLimits,
    ) -> Result<Self, Fault> {
        check_size(relation)?;
        Self::prepare(plan, relation, caps, limits).map(|(relator, _)| relator)
    }

    /// Also gives what the relation makes of no person, to know its columns by.
    fn prepare(
        plan: &ContributionPlan,
        relation: &Relation,
        caps: &Caps,
        limits: PersonLimits,
    ) -> Result<(Self, PersonRows), Fault> {
        let in_order = order_matters(relation);
        let (mut tables, mut empty) = (Vec::new(), Vec::new());
        for (table, place) in plan.tables.iter().zip(0u32..) {
            let names = distinct_names(table.columns.iter().map(|column| &column.name))?;
            let types = table.columns.iter().map(|column| arrow_type(column.column_type));
            let arrays: Vec<_> = types.map(|of| new_empty_array(&of)).collect();
            tables.push(TableStep::new(place, Arc::clone(&names), &arrays, caps, in_order));
            empty.push(PersonRows::new(names, arrays, vec![0])?);
            if let Some(filter) = &table.filter {
                check_depth(filter)?;
            }
        }
        let (prepared, rows) = prepare(relation, &empty).map_err(|stop| match stop {
            StepStop::Fault(fault) => fault,
            StepStop::Cut => RelationError::Lacks("room").into(),
        })?;
        let nothing = rows.clone();
        let summed = work::summed(plan).cloned().collect();
        Ok((Self { tables, prepared, limits, summed, nothing }, rows))
    }

    /// Makes the rows of all persons of a gathering, and hands them to `taken` in parts that are small
    /// enough. Which parts cannot be seen in them.
    pub fn make(
        &mut self,
        gathering: &Gathering,
        taken: &mut dyn FnMut(Made) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut waiting: Vec<Range<usize>> = std::iter::once(0..gathering.persons()).collect();
        while let Some(persons) = waiting.pop() {
            if persons.is_empty() {
                continue;
            }
            match self.part(gathering, persons.clone()) {
                Ok(made) => taken(made)?,
                Err(StepStop::Fault(fault)) => return Err(fault),
                // Too large all alone: the default contribution.
                Err(StepStop::Cut) if persons.len() == 1 => {
                    let rows = self.nothing.clone();
                    taken(Made { rows, persons, cut: vec![true] })?;
                }
                Err(StepStop::Cut) => {
                    // Few cuts to the one who is too much, since all before her is begun anew at each.
                    let size = persons.len().div_ceil(PARTS_A_CUT).max(1);
                    let parts = persons.clone().step_by(size);
                    waiting.extend(
                        parts.rev().map(|start| start..start.saturating_add(size).min(persons.end)),
                    );
                }
            }
        }
        Ok(())
    }

    fn part(&mut self, gathering: &Gathering, persons: Range<usize>) -> Result<Made, StepStop> {
        let part;
        let here = if persons.len() == gathering.persons() {
            gathering
        } else {
            part = gathering.slice(persons.clone());
            &part
        };
        let mut room = Room::new(self.limits, &here.fits);
        let mut tables = Vec::with_capacity(self.tables.len());
        let mut cut = vec![false; here.persons()];
        for (step, table) in self.tables.iter_mut().zip(&here.tables) {
            let rows = step.rows(table, &room, &mut cut)?;
            tables.push(room.settle(rows)?);
        }
        let rows = run(&self.prepared, &tables, &mut room)?;
        // Whoever left at a later step than one that had her rows has none here either.
        let rows = room.drop_gone(&rows)?;
        self.hold_sums(&rows)?;
        for (person, cut) in cut.iter_mut().enumerate() {
            *cut |= room.is_gone(person);
        }
        Ok(Made { rows, persons, cut })
    }
}

impl Relator {
    /// Stops when keys and lanes of the rows are too much work, or more numbers than one person may have bytes.
    fn hold_sums(&self, rows: &PersonRows) -> Result<(), StepStop> {
        rows.spend(work::of_lanes(self.summed.iter(), rows.columns()))?;
        let values = self.summed.len().saturating_mul(rows.rows());
        let bytes = values.saturating_mul(size_of::<i64>());
        if bytes <= PERSON_BYTES_MAX { Ok(()) } else { Err(StepStop::Cut) }
    }
}

/// The steps from the tables up; recursion is bounded by [`RELATION_DEPTH_MAX`].
fn run(
    prepared: &Prepared,
    tables: &[PersonRows],
    room: &mut Room,
) -> Result<PersonRows, StepStop> {
    match prepared {
        Prepared::Table(table) => {
            Ok(tables.get(*table).ok_or(RelationError::Lacks("tables"))?.clone())
        }
        Prepared::Step { step, of } => {
            let below = of.iter().map(|below| run(below, tables, room));
            let below = below.collect::<Result<Vec<_>, _>>()?;
            let rows = step.run(&below, room)?;
            room.settle(rows)
        }
    }
}

/// Makes each step ready on no row at all, which tells the columns of the step above.
fn prepare(relation: &Relation, tables: &[PersonRows]) -> Result<(Prepared, PersonRows), StepStop> {
    let of = parts(relation).into_iter().map(|part| prepare(part, tables));
    let (of, below): (Vec<_>, Vec<_>) = of.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let lacks = || RelationError::Lacks("rows");
    let first = || below.first().ok_or_else(lacks);
    let step: Box<dyn Step> = match relation {
        Relation::Table { table } => {
            let place = usize::try_from(*table).unwrap_or(usize::MAX);
            let wrong = RelationError::NoTable { table: *table, tables: tables.len() };
            let rows = tables.get(place).ok_or(wrong)?;
            return Ok((Prepared::Table(place), rows.clone()));
        }
        Relation::Filter { condition, .. } => Box::new(filter::Filter::new(condition, first()?)?),
        Relation::Project { columns, .. } => Box::new(project::Project::new(columns)?),
        Relation::Join { kind, on, .. } => {
            let right = below.get(1).ok_or_else(lacks)?;
            Box::new(join::Join::new(*kind, on, first()?, right)?)
        }
        Relation::Lookup { public, kind, on, .. } => {
            Box::new(lookup::Lookup::new(*kind, on, first()?, public)?)
        }
        Relation::Union { .. } => Box::new(union::Union::new(&below)?),
        Relation::Distinct { .. } => Box::new(distinct::Distinct),
        Relation::PerPerson { keys, measures, .. } => {
            Box::new(per_person::PerPerson::new(keys, measures)?)
        }
        Relation::Window { partition, order, columns, .. } => {
            Box::new(window::Window::new(first()?, partition, order, columns)?)
        }
    };
    let rows = step.run(&below, &mut Room::new(PersonLimits::default(), &[]))?;
    Ok((Prepared::Step { step, of }, rows))
}

/// The steps directly below one.
pub(crate) fn parts(relation: &Relation) -> Vec<&Relation> {
    match relation {
        Relation::Table { .. } => Vec::new(),
        Relation::Filter { of, .. }
        | Relation::Project { of, .. }
        | Relation::Lookup { of, .. }
        | Relation::Distinct { of }
        | Relation::PerPerson { of, .. }
        | Relation::Window { of, .. } => vec![of],
        Relation::Join { left, right, .. } => vec![left, right],
        Relation::Union { of } => of.iter().collect(),
    }
}

/// The expressions of one step.
pub(crate) fn expressions(relation: &Relation) -> Vec<&Expr> {
    match relation {
        Relation::Filter { condition, .. } => vec![condition],
        Relation::Project { columns, .. } => columns.iter().map(|column| &column.expr).collect(),
        Relation::Join { on, .. } | Relation::Lookup { on, .. } => {
            on.iter().flat_map(|key| [&key.left, &key.right]).collect()
        }
        Relation::PerPerson { keys, measures, .. } => {
            let measured = measures.iter().filter_map(|named| of_measure(&named.measure));
            keys.iter().map(|key| &key.expr).chain(measured).collect()
        }
        Relation::Window { partition, order, columns, .. } => {
            let own = columns.iter().filter_map(|named| match &named.function {
                WindowFunction::RowNumber => None,
                WindowFunction::Lag { of, .. } | WindowFunction::Lead { of, .. } => Some(of),
                WindowFunction::Whole { measure } | WindowFunction::Running { measure } => {
                    of_measure(measure)
                }
            });
            partition.iter().chain(order.iter().map(|key| &key.expr)).chain(own).collect()
        }
        Relation::Table { .. } | Relation::Union { .. } | Relation::Distinct { .. } => Vec::new(),
    }
}

fn of_measure(measure: &Measure) -> Option<&Expr> {
    match measure {
        Measure::CountRows => None,
        Measure::CountNonNull { of }
        | Measure::CountDistinct { of }
        | Measure::Sum { of }
        | Measure::Avg { of }
        | Measure::Min { of }
        | Measure::Max { of } => Some(of),
    }
}

/// Bounds the recursion of everything that walks a relation, without recursion.
fn check_size(relation: &Relation) -> Result<(), RelationError> {
    let (mut waiting, mut steps) = (vec![(relation, 1usize)], 0usize);
    while let Some((step, depth)) = waiting.pop() {
        steps += 1;
        if depth > RELATION_DEPTH_MAX {
            return Err(RelationError::Depth { what: "steps", max: RELATION_DEPTH_MAX });
        }
        if steps > RELATION_STEPS_MAX {
            return Err(RelationError::Steps { max: RELATION_STEPS_MAX });
        }
        expressions(step).into_iter().try_for_each(check_depth)?;
        waiting.extend(parts(step).into_iter().map(|part| (part, depth + 1)));
    }
    Ok(())
}

fn check_depth(expr: &Expr) -> Result<(), RelationError> {
    let mut waiting = vec![(expr, 1usize)];
    while let Some((part, depth)) = waiting.pop() {
        if depth > EXPRESSION_DEPTH_MAX {
            return Err(RelationError::Depth { what: "expressions", max: EXPRESSION_DEPTH_MAX });
        }
        waiting.extend(part.parts().into_iter().map(|part| (part, depth + 1)));
    }
    Ok(())
}

/// Names of a step's columns. Errors when one stands twice.
fn distinct_names<'a>(names: impl Iterator<Item = &'a Name>) -> Result<Arc<[Name]>, RelationError> {
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for name in names {
        if !seen.insert(name) {
            return Err(RelationError::Twice(name.clone()));
        }
        all.push(name.clone());
    }
    Ok(all.into())
}
