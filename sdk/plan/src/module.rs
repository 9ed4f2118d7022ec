//! The module front end: `SELECT columns FROM dataset WHERE ...` chooses what a person-map module
//! sees of one person. Text goes in as positions in a public domain; no identifier, no unit and no
//! free text may pass.

use crate::clauses::clauses;
use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::Expr;
use crate::headings::Headings;
use crate::ir::{Contribute, ModuleColumn, ModuleColumnKind, ModuleContribution};
use crate::lanes::FIGURE_WEIGHT;
use crate::limits::{
    FUEL_MAX, MODULE_COLUMNS_MAX, MODULE_OUTPUTS_MAX, MODULE_ROWS_MAX, RESULT_COLUMNS_MAX,
    SENSITIVITY_STEPS_MAX,
};
use crate::planned::{Draft, DraftLane};
use crate::pointed::Places;
use crate::relate::Related;
use crate::scope::{Scope, folded};
use crate::syntax::{place_of, unwrapped};
use crate::text::parse;
use cloister_terms::limits::{DIMENSIONS_MAX, DOMAIN_VALUES_MAX};
use cloister_terms::{
    Bounds, Column, ColumnType, Dataset, Dictionary, Formula, KeyDimension, KeyValue, ModuleBody,
    ModuleLane, ModuleOutputs, Name, OneOf, Recipe, ResultColumn,
};
use sqlparser::ast::{Expr as Ast, Ident};
use std::collections::BTreeSet;

/// Plans a module but for its noise. `caps_asked`: rows and groups of one person.
pub(crate) fn draft(
    dictionary: &Dictionary,
    body: &ModuleBody,
    caps_asked: (u32, u32),
) -> Result<Draft, PlanError> {
    let query = parse(&body.rows)?;
    let clauses = clauses(&query)?;
    clauses.refuse_module_clauses()?;
    let related = Related::of(dictionary, &clauses)?;
    let scope = related.scope();
    let Some(dataset) = related.one_dataset(&clauses) else {
        return Err(PlanError::refused(Construct::ModuleFrom, clauses.place));
    };
    if let Some(key) = clauses.group_by.first() {
        return Err(PlanError::refused(Construct::ModuleGroupBy, place_of(key)));
    }
    let columns = module_columns(&scope, dataset, &clauses.items)?;
    within("fuel_per_person", body.fuel_per_person, FUEL_MAX)?;
    within("columns of a module", columns.len() as u64, MODULE_COLUMNS_MAX)?;
    body.keys.iter().try_for_each(check_key)?;
    body.lanes.iter().try_for_each(check_lane)?;
    let (row_cap_asked, group_cap_asked) = caps_asked;
    let row_cap = row_cap_asked.min(dataset.rows_per_unit_max);
    within("row_cap of a module", row_cap.into(), MODULE_ROWS_MAX)?;
    let group_cap = group_cap_asked.min(dataset.groups_per_unit_max.unwrap_or(u32::MAX));
    within(
        "outputs of one person (groups times lanes)",
        outputs(body, group_cap),
        MODULE_OUTPUTS_MAX,
    )?;
    let selected: Vec<Expr> =
        columns.iter().map(|column| Expr::Column { name: column.column.clone() }).collect();
    let (_, mut tables) = related.finish(&selected.iter().collect::<Vec<_>>());
    for rows in &mut tables.tables {
        rows.order_columns = dataset.order_columns.clone();
    }
    let contribution = ModuleContribution {
        sha256: body.sha256,
        columns,
        fuel_per_person: body.fuel_per_person,
        values: body.lanes.iter().map(|lane| lane.value).collect(),
        numbers: body.numbers,
        outputs: body.outputs,
    };
    Ok(Draft {
        tables,
        contribute: Contribute::Module(contribution),
        keys: body.keys.clone(),
        lanes: lanes(body)?,
        columns: result_columns(body)?,
        recipe: Recipe::default(),
        private: None,
        row_cap,
        cells_per_person_max: u64::MAX,
        places: Places::default(),
    })
}

/// Refuses a range without 0: what a person who gives nothing adds, and what a number that is none becomes.
fn check_lane(lane: &ModuleLane) -> Result<(), PlanError> {
    if (lane.value.min_steps()..=lane.value.max_steps()).contains(&0) {
        return Ok(());
    }
    Err(PlanError::ModuleRange { lane: excerpt(&lane.name) })
}

fn within(what: &'static str, found: u64, max: u64) -> Result<(), PlanError> {
    if (1..=max).contains(&found) {
        Ok(())
    } else {
        Err(PlanError::OutOfRange { what, found, max })
    }
}

/// Most outputs of one person: all of them where they are written in order.
fn outputs(body: &ModuleBody, group_cap: u32) -> u64 {
    let sizes = body.keys.iter().map(|key| key.values.len() as u64);
    let cells = sizes.fold(1_u64, u64::saturating_mul);
    let written = match body.outputs {
        ModuleOutputs::Sparse => cells.min(group_cap.into()),
        ModuleOutputs::Dense => cells,
    };
    written.saturating_mul(body.lanes.len() as u64)
}

/// The lanes as they are charged: each by itself, or all together where their norm is clipped.
fn lanes(body: &ModuleBody) -> Result<Vec<DraftLane>, PlanError> {
    let magnitude = |value: &Bounds| value.magnitude_steps().max(1);
    let together = body.norm_max_steps.map(|norm| clipped(body, norm)).transpose()?;
    let lane = |lane: &ModuleLane| {
        let own = magnitude(&lane.value);
        DraftLane {
            name: lane.name.clone(),
            grid_bits: lane.value.grid_bits(),
            sensitivity_steps: Some(together.map_or(own, |(sensitivity, _)| sensitivity)),
            one_of: together.map(|(_, one_of)| one_of),
            weight: FIGURE_WEIGHT,
            place: Place::default(),
        }
    };
    Ok(body.lanes.iter().map(lane).collect())
}

/// The largest change in one lane, and the bounds of all, when one person's values in a cell have a norm of
/// `norm` steps at most: absolute values of a vector of d numbers sum to `sqrt(d)` times its norm at most
/// (Cauchy and Schwarz), and to the sum of the ranges.
fn clipped(body: &ModuleBody, norm: u64) -> Result<(u64, OneOf), PlanError> {
    within("norm_max of a module in grid steps", norm, SENSITIVITY_STEPS_MAX)?;
    let grids: BTreeSet<u8> = body.lanes.iter().map(|lane| lane.value.grid_bits()).collect();
    if grids.len() > 1 {
        return Err(PlanError::ModuleGrids);
    }
    let magnitudes = body.lanes.iter().map(|lane| lane.value.magnitude_steps().max(1));
    let ranges = magnitudes.clone().fold(0_u64, u64::saturating_add);
    // The longest vector within the ranges, rounded up: at most 128 lanes of 2^53 steps.
    let squares = magnitudes.clone().map(|steps| u128::from(steps).pow(2));
    let squares = squares.fold(0_u128, u128::saturating_add);
    let longest = squares.isqrt() + u128::from(squares.isqrt().pow(2) < squares);
    let norm = norm.min(u64::try_from(longest).unwrap_or(u64::MAX));
    let spread = (u128::from(norm).pow(2)).saturating_mul(body.lanes.len() as u128).isqrt();
    let total_steps = u64::try_from(spread).unwrap_or(u64::MAX).min(ranges);
    within(
        "norm_max of a module times the root of its lanes, in grid steps",
        total_steps,
        SENSITIVITY_STEPS_MAX,
    )?;
    let sensitivity = magnitudes.max().unwrap_or(1).min(norm);
    Ok((sensitivity, OneOf { group: 0, total_steps, norm_steps: Some(norm) }))
}

fn module_columns(
    scope: &Scope<'_>,
    dataset: &Dataset,
    items: &[(&Ast, Option<&Ident>)],
) -> Result<Vec<ModuleColumn>, PlanError> {
    let mut seen: BTreeSet<Name> = BTreeSet::new();
    let mut columns = Vec::new();
    for (ast, alias) in items {
        let place = place_of(ast);
        let column = scope
            .named_column(unwrapped(ast))
            .unwrap_or(Err(PlanError::refused(Construct::ModuleExpression, place)))?;
        let Some(column) = dataset.column(column.name.as_str()) else {
            return Err(PlanError::refused(Construct::ModuleExpression, place));
        };
        if alias.is_some_and(|alias| folded(alias) != column.name.as_str()) {
            return Err(PlanError::refused(Construct::ModuleExpression, place));
        }
        if !seen.insert(column.name.clone()) {
            return Err(PlanError::Twice { name: column.name.to_string(), place });
        }
        columns.push(ModuleColumn { column: column.name.clone(), kind: kind(column, place)? });
    }
    Ok(columns)
}

fn kind(column: &Column, place: Place) -> Result<ModuleColumnKind, PlanError> {
    Ok(match (column.column_type, &column.domain) {
        (ColumnType::Int64, _) => ModuleColumnKind::Int,
        (ColumnType::Float64, _) => ModuleColumnKind::Float,
        (ColumnType::Timestamp, _) => ModuleColumnKind::Timestamp,
        (ColumnType::Text | ColumnType::Bool, Some(domain)) => {
            ModuleColumnKind::Code { domain: domain.clone() }
        }
        (ColumnType::Bool, None) => {
            ModuleColumnKind::Code { domain: vec![KeyValue::Bool(false), KeyValue::Bool(true)] }
        }
        (ColumnType::Text, None) => {
            return Err(PlanError::ModuleText { column: excerpt(column.name.as_str()), place });
        }
    })
}

fn check_key(key: &KeyDimension) -> Result<(), PlanError> {
    let mut seen = BTreeSet::new();
    let first = key.values.first().map(KeyValue::column_type);
    let is_good =
        |value: &KeyValue| Some(value.column_type()) == first && seen.insert(value.clone());
    let is_short = key.values.len() <= DOMAIN_VALUES_MAX;
    if first.is_some() && is_short && key.values.iter().all(is_good) {
        return Ok(());
    }
    Err(PlanError::ModuleKey { key: excerpt(&key.name) })
}

fn result_columns(body: &ModuleBody) -> Result<Vec<ResultColumn>, PlanError> {
    let place = Place::default();
    if body.keys.len() > DIMENSIONS_MAX {
        return Err(PlanError::TooMany { what: "keys", max: DIMENSIONS_MAX, place });
    }
    let mut headings = Headings::default();
    let mut columns = Vec::new();
    for (dimension, key) in (0u32..).zip(&body.keys) {
        let name = headings.give(key.name.clone(), place)?;
        columns.push(ResultColumn { name, formula: Formula::Key { dimension } });
    }
    let max = RESULT_COLUMNS_MAX.saturating_sub(body.keys.len());
    within("lanes of a module", body.lanes.len() as u64, max as u64)?;
    for (lane, one) in (0u32..).zip(&body.lanes) {
        let name = headings.give(one.name.clone(), place)?;
        columns.push(ResultColumn { name, formula: Formula::Total { lane } });
    }
    Ok(columns)
}
