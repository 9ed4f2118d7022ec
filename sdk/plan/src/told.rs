//! A relation in plain words, for the notes on a plan: what is joined, united, windowed and made one row
//! a person. For people only, never part of a digest.

use crate::expr::Expr;
use crate::ir::ContributionPlan;
use crate::relation::{
    JoinKey, JoinKind, Measure, NamedExpr, NamedMeasure, PublicRows, Relation, WindowFunction,
};
use cloister_terms::Name;

/// Longest list of names in one note.
const NAMES_TOLD_MAX: usize = 6;

/// A public table that a query reads, by name: a plan holds its rows alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LookedUp {
    /// Its name in the dictionary.
    pub table: Name,
    /// How many rows it has.
    pub rows: usize,
    /// The names of its columns in the plan, each with its own.
    pub own: Vec<(Name, Name)>,
}

/// Notes on the steps of a relation, in the order in which rows go through them.
pub(crate) fn told(
    plan: &ContributionPlan,
    relation: &Relation,
    looked_up: &[LookedUp],
) -> Vec<String> {
    let plan = Told { plan, looked_up };
    let mut notes = Vec::new();
    if matches!(relation, Relation::Table { .. }) {
        return notes;
    }
    for rows in &plan.plan.tables {
        let cap = counted(rows.table_row_cap.into(), "row", "rows");
        let are = if rows.table_row_cap == 1 { "is" } else { "are" };
        push(&mut notes, format!("at most {cap} of `{}` {are} read of one person", rows.dataset));
    }
    step(plan, relation, &mut notes);
    notes
}

/// A plan with what is known of it besides.
#[derive(Clone, Copy)]
struct Told<'p> {
    plan: &'p ContributionPlan,
    looked_up: &'p [LookedUp],
}

impl LookedUp {
    /// Whether these are its rows.
    fn is(&self, public: &PublicRows) -> bool {
        let has = |name: &Name| self.own.iter().any(|(in_plan, _)| in_plan == name);
        public.rows.len() == self.rows && public.columns.iter().all(|column| has(&column.name))
    }

    /// What a join compares with, by the table's own names.
    fn named(&self, right: &Expr) -> String {
        let own = |name: &Name| {
            let own = self.own.iter().find(|(in_plan, _)| in_plan == name);
            own.map_or_else(|| name.clone(), |(_, own)| own.clone())
        };
        if let Expr::Column { name } = right {
            return format!("{}.{}", self.table, own(name));
        }
        let (mut right, mut waiting) = (right.clone(), Vec::new());
        waiting.push(&mut right);
        while let Some(expr) = waiting.pop() {
            if let Expr::Column { name } = expr {
                *name = own(name);
            } else {
                waiting.extend(expr.parts_mut());
            }
        }
        right.to_string()
    }
}

impl Told<'_> {
    fn lookup(self, public: &PublicRows, kind: JoinKind, on: &[JoinKey]) -> String {
        let kept = match kind {
            JoinKind::Inner => "rows without a match are dropped",
            JoinKind::Left => "rows without a match are kept, with nothing added",
        };
        let size = counted(public.rows.len() as u64, "row", "rows");
        let Some(known) = self.looked_up.iter().find(|known| known.is(public)) else {
            return format!("a public table of {size} is looked up where {}; {kept}", keys(on));
        };
        let on = on.iter().map(|key| format!("{} = {}", key.left, known.named(&key.right)));
        let on = listed(&on.collect::<Vec<_>>(), " and ");
        format!("the public table `{}` of {size} is looked up where {on}; {kept}", known.table)
    }
}

/// Equal notes say nothing twice.
fn push(notes: &mut Vec<String>, note: String) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

fn step(plan: Told<'_>, relation: &Relation, notes: &mut Vec<String>) {
    match relation {
        Relation::Table { .. } => {}
        Relation::Project { of, .. } => step(plan, of, notes),
        Relation::Filter { of, condition } => {
            step(plan, of, notes);
            push(notes, format!("then only rows where {condition} are used; unknown counts as no"));
        }
        Relation::Join { left, right, kind, on } => {
            step(plan, left, notes);
            step(plan, right, notes);
            push(notes, join(plan, left, right, *kind, on));
        }
        Relation::Lookup { of, kind, on, public } => {
            step(plan, of, notes);
            push(notes, plan.lookup(public, *kind, on));
        }
        Relation::Union { of } => {
            of.iter().for_each(|part| step(plan, part, notes));
            let parts: Vec<String> = of.iter().map(|part| sources(plan, part)).collect();
            push(notes, format!("rows of {} are put together", listed(&parts, " and ")));
        }
        Relation::Distinct { of } => {
            step(plan, of, notes);
            push(notes, "rows of one person that are the same are used once".to_owned());
        }
        Relation::PerPerson { of, keys, measures } => {
            step(plan, of, notes);
            push(notes, per_person(keys, measures));
        }
        Relation::Window { of, partition, columns, .. } => {
            step(plan, of, notes);
            let cut = match partition.as_slice() {
                [] => "of one person".to_owned(),
                partition => {
                    let names: Vec<String> =
                        partition.iter().map(|key| format!("`{key}`")).collect();
                    format!("of one person with the same {}", listed(&names, " and "))
                }
            };
            for column in columns {
                let what = function(&column.function);
                push(notes, format!("`{}` is {what}, among rows {cut}", column.name));
            }
        }
    }
}

fn join(
    plan: Told<'_>,
    left: &Relation,
    right: &Relation,
    kind: JoinKind,
    on: &[JoinKey],
) -> String {
    let (left, right) = (sources(plan, left), sources(plan, right));
    let on = match on {
        [] => String::new(),
        on => format!(" where {}", keys(on)),
    };
    match kind {
        JoinKind::Inner => {
            format!(
                "rows of {left} and of {right} of the same person are joined{on}; rows without a partner are dropped"
            )
        }
        JoinKind::Left => {
            format!(
                "rows of {left} are joined with those of {right} of the same person{on}; rows of {left} without a partner are kept"
            )
        }
    }
}

fn per_person(keys: &[NamedExpr], measures: &[NamedMeasure]) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
    let each = match names.as_slice() {
        [] => "one row for each person".to_owned(),
        names => format!("one row for each person and {}", listed(names, " and ")),
    };
    let measures: Vec<String> = measures
        .iter()
        .map(|measure| format!("`{}`, {}", measure.name, self::measure(&measure.measure)))
        .collect();
    match measures.as_slice() {
        [] => each,
        measures => format!("{each}: {}", listed(measures, "; ")),
    }
}

fn measure(measure: &Measure) -> String {
    match measure {
        Measure::CountRows => "the number of rows".to_owned(),
        Measure::CountNonNull { of } => format!("how many values of {of} are known"),
        Measure::CountDistinct { of } => format!("how many different values of {of} there are"),
        Measure::Sum { of } => format!("the sum of {of}"),
        Measure::Avg { of } => format!("the average of {of}"),
        Measure::Min { of } => format!("the smallest {of}"),
        Measure::Max { of } => format!("the largest {of}"),
    }
}

fn function(function: &WindowFunction) -> String {
    match function {
        WindowFunction::RowNumber => "the number of the row".to_owned(),
        WindowFunction::Lag { of, offset } => format!("{of} {} before", rows(*offset)),
        WindowFunction::Lead { of, offset } => format!("{of} {} after", rows(*offset)),
        WindowFunction::Whole { measure: of } => measure(of),
        WindowFunction::Running { measure: of } => format!("{} so far", measure(of)),
    }
}

fn rows(offset: u32) -> String {
    counted(offset.into(), "row", "rows")
}

fn keys(on: &[JoinKey]) -> String {
    let keys: Vec<String> = on.iter().map(|key| format!("{} = {}", key.left, key.right)).collect();
    listed(&keys, " and ")
}

/// The datasets below a step, each once.
fn sources(plan: Told<'_>, relation: &Relation) -> String {
    let mut found: Vec<&Name> = Vec::new();
    let mut waiting = vec![relation];
    while let Some(relation) = waiting.pop() {
        match relation {
            Relation::Table { table } => {
                let dataset = plan.plan.tables.get(*table as usize).map(|rows| &rows.dataset);
                found.extend(dataset.filter(|dataset| !found.contains(dataset)));
            }
            Relation::Filter { of, .. }
            | Relation::Project { of, .. }
            | Relation::Lookup { of, .. }
            | Relation::Distinct { of }
            | Relation::PerPerson { of, .. }
            | Relation::Window { of, .. } => waiting.push(of),
            Relation::Join { left, right, .. } => waiting.extend([right.as_ref(), left.as_ref()]),
            Relation::Union { of } => waiting.extend(of.iter().rev()),
        }
    }
    let names: Vec<String> = found.iter().map(|name| format!("`{name}`")).collect();
    listed(&names, " with ")
}

fn listed(names: &[String], between: &str) -> String {
    let shown = names.iter().take(NAMES_TOLD_MAX).cloned().collect::<Vec<_>>().join(between);
    if names.len() > NAMES_TOLD_MAX { format!("{shown}, ...") } else { shown }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
