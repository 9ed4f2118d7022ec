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
use crate::limits::FUEL_MAX;
use crate::planned::{Draft, DraftLane};
use crate::relate::Related;
use crate::scope::{Scope, folded};
use crate::syntax::{place_of, unwrapped};
use crate::text::parse;
use cloister_terms::limits::{DIMENSIONS_MAX, DOMAIN_VALUES_MAX};
use cloister_terms::{
    Column, ColumnType, Dataset, Dictionary, Formula, KeyDimension, KeyValue, ModuleBody, Name,
    Recipe, ResultColumn,
};
use sqlparser::ast::{Expr as Ast, Ident};
use std::collections::BTreeSet;

/// Plans a module but for its noise.
pub(crate) fn draft(
    dictionary: &Dictionary,
    body: &ModuleBody,
    row_cap_asked: u32,
) -> Result<Draft, PlanError> {
    let query = parse(&body.rows)?;
    let clauses = clauses(&query)?;
    clauses.refuse_recipe()?;
    let related = Related::of(dictionary, &clauses)?;
    let scope = related.scope();
    let Some(dataset) = related.one_dataset(&clauses) else {
        return Err(PlanError::refused(Construct::ModuleFrom, clauses.place));
    };
    if let Some(key) = clauses.group_by.first() {
        return Err(PlanError::refused(Construct::ModuleGroupBy, place_of(key)));
    }
    let columns = module_columns(&scope, dataset, &clauses.items)?;
    if !(1..=FUEL_MAX).contains(&body.fuel_per_person) {
        let found = body.fuel_per_person;
        return Err(PlanError::OutOfRange { what: "fuel_per_person", found, max: FUEL_MAX });
    }
    body.keys.iter().try_for_each(check_key)?;
    let selected: Vec<Expr> =
        columns.iter().map(|column| Expr::Column { name: column.column.clone() }).collect();
    let (_, mut tables) = related.finish(&selected.iter().collect::<Vec<_>>());
    for rows in &mut tables {
        rows.order_columns = dataset.order_columns.clone();
    }
    let contribution = ModuleContribution {
        sha256: body.sha256,
        columns,
        fuel_per_person: body.fuel_per_person,
        value: body.value,
    };
    Ok(Draft {
        tables,
        contribute: Contribute::Module(contribution),
        keys: body.keys.clone(),
        lanes: vec![DraftLane {
            name: body.value_name.clone(),
            grid_bits: body.value.grid_bits(),
            sensitivity_steps: Some(body.value.magnitude_steps().max(1)),
            one_of: None,
            weight: FIGURE_WEIGHT,
        }],
        columns: result_columns(body)?,
        recipe: Recipe::default(),
        private: None,
        row_cap: row_cap_asked.min(dataset.rows_per_unit_max),
        cells_per_person_max: u64::MAX,
    })
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
            let expression = excerpt(column.name.as_str());
            return Err(PlanError::NoDomain { expression, place, otherwise: "" });
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
    let name = headings.give(body.value_name.clone(), place)?;
    columns.push(ResultColumn { name, formula: Formula::Total { lane: 0 } });
    Ok(columns)
}
