//! What a plan does to the data, in plain words: what is dropped, kept, rounded and capped. For
//! people only, never part of a digest; no symbol of the privacy mathematics may appear here.

use crate::ir::{Contribute, ContributionPlan, LaneExpr, ModuleContribution, SqlContribution};
use crate::summed::Summed;
use crate::told::{LookedUp, told};
use cloister_terms::limits::PRIVATE_KEY_BYTES_MAX;
use cloister_terms::{Bounds, ModuleNumbers, OutputShape, PrivateKeys};

/// Notes on a plan, in the order in which data flows, with the round before it, if there is one; the caps
/// asked for (rows, groups) are told where they were lowered; `looked_up` names the public tables.
pub(crate) fn notes(
    plan: &ContributionPlan,
    keys_plan: Option<&ContributionPlan>,
    caps_asked: (u32, u32),
    looked_up: &[LookedUp],
) -> Vec<String> {
    let mut notes = Vec::new();
    tables(plan, &mut notes);
    if let Contribute::Sql(sql) = &plan.contribute {
        notes.extend(told(plan, &sql.relation, looked_up));
        keys(plan, sql, &mut notes);
    }
    caps(plan, caps_asked, &mut notes);
    match &plan.contribute {
        Contribute::Sql(sql) => lane_notes(sql, &plan.shape, &mut notes),
        Contribute::Module(module) => {
            notes.push("the module sees one person at a time".to_owned());
            notes.extend(module_notes(module, &plan.shape));
            let order = plan.first_table().map(|rows| rows.order_columns.as_slice());
            let order = order.unwrap_or_default();
            if !order.is_empty() {
                let names: Vec<_> = order.iter().map(|name| format!("`{name}`")).collect();
                notes.push(format!("it sees a person's rows in the order of {}", names.join(", ")));
            }
        }
    }
    let showing = keys_plan.unwrap_or(plan);
    if let Some(threshold) = showing.shape.key_threshold() {
        let people = threshold.people;
        notes.push(match keys_plan {
            None => format!(
                "which groups there are is private: each partner shows a group from {people} people on, counted with noise; smaller ones are left out there, also of sums over groups"
            ),
            Some(_) => format!(
                "which groups there are is private: in a first round each partner shows a group from {people} people on, counted with noise; in a second round every partner answers every group that any has shown"
            ),
        });
        notes.push(format!(
            "each partner shows at most {} groups, those with most people by its noised count",
            PrivateKeys::shown_max(showing.shape.lanes.len())
        ));
    } else if !plan.shape.keys.is_empty() {
        notes.push("every public group is answered, in the order of its public list, also those without people".to_owned());
    }
    notes.push(
        "each figure carries noise, so it can be below zero and sums need not match".to_owned(),
    );
    notes.push("a person at several partners counts at each of them".to_owned());
    notes
}

/// What is kept of a module's numbers; lanes with the same range are told together.
fn module_notes(module: &ModuleContribution, shape: &OutputShape) -> Vec<String> {
    let mut ranges: Vec<(Bounds, Vec<&str>)> = Vec::new();
    for (value, lane) in module.values.iter().zip(&shape.lanes) {
        match ranges.iter_mut().find(|(known, _)| known == value) {
            Some((_, names)) => names.push(&lane.name),
            None => ranges.push((*value, vec![&lane.name])),
        }
    }
    let rounded = match module.numbers {
        ModuleNumbers::Int => "",
        ModuleNumbers::Float => "rounded to the grid and ",
    };
    let told = ranges.into_iter().map(|(value, names)| {
        let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        format!(
            "what it gives of one person for {names} is {rounded}kept within {value} in each group"
        )
    });
    let mut told: Vec<String> = told.collect();
    let first = shape.lanes.first();
    let norm = first.and_then(|lane| Some((lane.grid_bits, lane.one_of?.norm_steps?)));
    if let Some((grid_bits, steps)) = norm {
        // Below 2^53 steps: exact.
        let length = steps as f64 / 2_f64.powi(grid_bits.into());
        told.push(format!(
            "these numbers of one person and group, taken as a vector, are scaled down to a length of {length} at most"
        ));
    }
    told
}

fn tables(plan: &ContributionPlan, notes: &mut Vec<String>) {
    let is_one = plan.tables.len() == 1;
    for rows in &plan.tables {
        let dataset = &rows.dataset;
        let unit = format!("rows of `{dataset}` without a `{}` are dropped", rows.unit_column);
        let used = match &rows.filter {
            Some(filter) if is_one => {
                format!("only rows where {filter} are used; unknown counts as no")
            }
            Some(filter) => {
                format!("of `{dataset}` only rows where {filter} are used; unknown counts as no")
            }
            None => format!("all rows of `{dataset}` are used"),
        };
        // A dataset that is read several times is told once, but for its filters.
        for note in [unit, used] {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
}

fn keys(plan: &ContributionPlan, sql: &SqlContribution, notes: &mut Vec<String>) {
    for (key, dimension) in sql.keys.iter().zip(&plan.shape.keys) {
        if key.domain.is_empty() {
            notes.push(format!(
                "rows whose `{}` is missing, or longer than {PRIVATE_KEY_BYTES_MAX} bytes, are dropped",
                dimension.name
            ));
            continue;
        }
        notes.push(format!(
            "rows whose `{}` is missing or not among its {} are dropped",
            dimension.name,
            counted(key.domain.len() as u64, "public value", "public values")
        ));
    }
}

fn caps(
    plan: &ContributionPlan,
    (row_cap_asked, group_cap_asked): (u32, u32),
    notes: &mut Vec<String>,
) {
    let rows = counted(plan.row_cap.into(), "row", "rows");
    notes.push(match plan.row_cap {
        1 => "at most 1 row of one person is used; of a person with more, one by a fair choice"
            .to_owned(),
        _ => format!(
            "at most {rows} of one person are used; of a person with more, a fair sample of {rows}"
        ),
    });
    if plan.row_cap < row_cap_asked {
        notes.push(format!(
            "the row cap was lowered from {row_cap_asked} to {}: one person cannot have more rows here",
            plan.row_cap
        ));
    }
    let cells = plan.shape.cells().unwrap_or(0);
    if plan.shape.private_keys.is_some() {
        let groups = counted(plan.group_cap.into(), "group", "groups");
        notes.push(format!(
            "one person counts in at most {groups}; of a person in more, a fair choice of {groups}"
        ));
    } else if u64::from(plan.group_cap) < cells {
        let groups = counted(plan.group_cap.into(), "group", "groups");
        notes.push(format!(
            "one person counts in at most {groups} of {cells}; of a person in more, a fair choice of {groups}"
        ));
    } else if cells > 1 {
        notes.push(format!("one person may count in each of the {cells} groups"));
    }
    if plan.group_cap < group_cap_asked {
        notes.push(format!(
            "the group cap was lowered from {group_cap_asked} to {}: one person's rows cannot reach, or the data owners do not allow, more groups",
            plan.group_cap
        ));
    }
}

/// How the values that sums are made of are rounded and bounded: those that people wrote, whatever is summed
/// of them.
fn lane_notes(sql: &SqlContribution, shape: &OutputShape, notes: &mut Vec<String>) {
    let summed = Summed::of(shape);
    for (lane, at) in sql.lanes.iter().zip(0u32..) {
        let LaneExpr::SumClamped { expr, bounds } = lane else { continue };
        let Some(kept) = summed.kept(at, expr, *bounds) else { continue };
        let note = format!("{kept}; a missing value adds nothing");
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
