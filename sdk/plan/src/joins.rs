//! Joins: of private tables on the person and further keys, of public tables on any key. A join that
//! could bring two persons' rows together must be refused here.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{Expr, Literal};
use crate::from::{Factor, PublicSource, place_of_factor};
use crate::lower::{condition, lower};
use crate::relate::{Builder, Env, Rows};
use crate::relation::{JoinKey, JoinKind, NamedExpr, PublicRows, Relation};
use crate::scope::{Role, Scope, ScopeColumn, Source, folded, fresh, place_of_ident};
use crate::steps::{all_of, reads, terms};
use crate::syntax::{place_of, unwrapped};
use crate::told::LookedUp;
use crate::typed::unify_pair;
use crate::work::Work;
use cloister_terms::{ColumnType, Name};
use sqlparser::ast::{
    BinaryOperator, Expr as Ast, Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart,
};
use std::collections::{BTreeMap, BTreeSet};

/// What ON or USING says.
#[derive(Default)]
struct Conditions {
    /// Types of the unit columns that it equates.
    units: Option<(ColumnType, ColumnType)>,
    keys: Vec<JoinKey>,
    others: Vec<(Expr, Place)>,
    /// Names of the right side that USING hides behind those of the left.
    hidden: Vec<String>,
}

/// Two sides, the left sources first.
struct Sides<'s> {
    scope: Scope<'s>,
    /// How many sources are of the left side.
    left: usize,
    /// Whether the right side is a public table.
    is_public: bool,
}

impl<'q> Builder<'q> {
    /// What is joined so far, joined with one thing more.
    pub fn join(
        &mut self,
        left: Factor,
        join: &'q Join,
        env: &Env<'q>,
        select: Place,
    ) -> Result<Factor, PlanError> {
        let Join { relation, global, join_operator } = join;
        let at = place_of_factor(relation).unwrap_or(select);
        let (kind, is_swapped, constraint) = operator(join_operator, *global, at)?;
        let right = self.factor(relation, env, at)?;
        self.step(at)?;
        let (left, right) = if is_swapped { (right, left) } else { (left, right) };
        let rows = match (left, right) {
            (Factor::Private(left), Factor::Private(right)) => {
                self.on_unit(left, right, kind, constraint, at)
            }
            (Factor::Private(left), Factor::Public(right)) => {
                self.lookup(left, right, kind, constraint, at)
            }
            (Factor::Public(left), Factor::Private(right)) if kind == JoinKind::Inner => {
                self.lookup(right, left, kind, constraint, at)
            }
            (Factor::Public(public), _) => {
                Err(PlanError::PublicAlone { name: excerpt(&public.called), place: public.place })
            }
        };
        rows.map(Factor::Private)
    }

    /// Rows of the same person.
    fn on_unit(
        &mut self,
        left: Rows,
        right: Rows,
        kind: JoinKind,
        constraint: &JoinConstraint,
        at: Place,
    ) -> Result<Rows, PlanError> {
        distinct_names(&left.sources, &right.sources, at)?;
        let (mut right, marker) = self.beside(&left, right, kind);
        let sides = Sides::of(&left.sources, &right.sources, false, &self.work);
        let mut found = conditions(&sides, constraint, at)?;
        let Some((left_type, right_type)) = found.units else {
            let unit = |sources: &[Source]| {
                let scope = Scope::of(sources, &self.work);
                let called = sources.first().and_then(|source| source.called.clone());
                excerpt(&match called {
                    Some(called) => format!("{called}.{}", scope.unit_called()),
                    None => scope.unit_called().to_owned(),
                })
            };
            let (left, right) = (unit(&left.sources), unit(&right.sources));
            return Err(PlanError::UnitNotJoined {
                left,
                right,
                place: constraint_place(constraint, at),
            });
        };
        if left_type != right_type {
            return Err(PlanError::UnitTypes { left: left_type, right: right_type, place: at });
        }
        let mut above = Vec::new();
        for (term, place) in std::mem::take(&mut found.others) {
            if kind == JoinKind::Inner {
                above.push(term);
            } else if self.tables.reads_only(&term, &right.relation) {
                right.relation = self.tables.filtered(right.relation, term);
            } else {
                return Err(PlanError::JoinCondition { place });
            }
        }
        if let Some(marker) = marker {
            optional(&mut right.sources, &marker);
        }
        hide(&mut right.sources, &found.hidden);
        let pairs = match kind {
            JoinKind::Inner => right.rows_max,
            JoinKind::Left => right.rows_max.max(1),
        };
        let relation = Relation::Join {
            left: Box::new(left.relation),
            right: Box::new(right.relation),
            kind,
            on: found.keys,
        };
        Ok(Rows {
            relation: self.kept(relation, above),
            sources: left.sources.into_iter().chain(right.sources).collect(),
            rows_max: left.rows_max.saturating_mul(pairs),
        })
    }

    /// The right side of a join with names that the left side does not have and, for a left join, with
    /// a column that is NULL where no row was found.
    fn beside(&mut self, left: &Rows, mut right: Rows, kind: JoinKind) -> (Rows, Option<Name>) {
        let called = right.sources.first().and_then(|source| source.called.clone());
        let called = called.unwrap_or_else(|| "right".to_owned());
        let mut taken: BTreeSet<Name> = self.tables.outputs(&left.relation).into_iter().collect();
        let before = self.tables.outputs(&right.relation);
        let names = distinct_from(&mut taken, &before, &called);
        let mut columns: Vec<NamedExpr> = before
            .into_iter()
            .zip(&names)
            .map(|(before, name)| NamedExpr {
                name: name.clone(),
                expr: Expr::Column { name: before },
            })
            .collect();
        for source in &mut right.sources {
            rename_columns(&mut source.columns, &columns);
        }
        let marker = (kind == JoinKind::Left)
            .then(|| fresh(&format!("{called}_found"), |name| taken.contains(name)));
        if let Some(name) = marker.clone() {
            columns.push(NamedExpr { name, expr: Expr::literal(Literal::Bool(true)) });
        }
        if !columns.is_empty() {
            right.relation = Relation::Project { of: Box::new(right.relation), columns };
        }
        (right, marker)
    }

    /// Rows with what a public table says of them.
    fn lookup(
        &mut self,
        left: Rows,
        right: PublicSource,
        kind: JoinKind,
        constraint: &JoinConstraint,
        at: Place,
    ) -> Result<Rows, PlanError> {
        let PublicSource { table, called, rows: mut public, columns, place } = right;
        let mut sources = vec![Source { called: Some(called.clone()), columns }];
        distinct_names(&left.sources, &sources, at)?;
        let mut taken: BTreeSet<Name> = self.tables.outputs(&left.relation).into_iter().collect();
        let before: Vec<Name> = public.columns.iter().map(|column| column.name.clone()).collect();
        let names = distinct_from(&mut taken, &before, &called);
        let own = names.iter().cloned().zip(before.iter().cloned()).collect();
        self.looked_up.push(LookedUp { table, rows: public.rows.len(), own });
        let renamed = before.into_iter().zip(&names).map(|(before, name)| NamedExpr {
            name: name.clone(),
            expr: Expr::Column { name: before },
        });
        let renamed: Vec<NamedExpr> = renamed.collect();
        sources.iter_mut().for_each(|source| rename_columns(&mut source.columns, &renamed));
        for (column, name) in public.columns.iter_mut().zip(names) {
            column.name = name;
        }
        let sides = Sides::of(&left.sources, &sources, true, &self.work);
        let found = conditions(&sides, constraint, at)?;
        if !found.keys.iter().any(|key| sides.is_left(&key.left) == Some(true)) {
            let place = constraint_place(constraint, place);
            return Err(PlanError::NoJoinKey { table: excerpt(&called), place });
        }
        if let (JoinKind::Left, Some((_, place))) = (kind, found.others.first()) {
            return Err(PlanError::JoinCondition { place: *place });
        }
        if kind == JoinKind::Left {
            sources.iter_mut().flat_map(|source| &mut source.columns).for_each(|column| {
                column.never_null = false;
            });
        }
        hide(&mut sources, &found.hidden);
        let rows_max = left.rows_max.saturating_mul(matches_max(&public, &found.keys));
        let of = Box::new(left.relation);
        let relation = Relation::Lookup { of, public, kind, on: found.keys };
        let above = found.others.into_iter().map(|(term, _)| term).collect();
        Ok(Rows {
            relation: self.kept(relation, above),
            sources: left.sources.into_iter().chain(sources).collect(),
            rows_max,
        })
    }

    /// The rows where these conditions are TRUE.
    fn kept(&mut self, relation: Relation, conditions: Vec<Expr>) -> Relation {
        match all_of(conditions) {
            Some(condition) => self.tables.filtered(relation, condition),
            None => relation,
        }
    }
}

impl Sides<'_> {
    fn of(left: &[Source], right: &[Source], is_public: bool, work: &Work) -> Self {
        let sources = left.iter().chain(right).cloned().collect();
        let scope = Scope { sources, ..Scope::of(&[], work) };
        Self { scope, left: left.len(), is_public }
    }

    /// Whether columns read are all of one side: `Some(true)` for the left. `None` when they are of
    /// both, or of neither.
    fn is_left(&self, expr: &Expr) -> Option<bool> {
        let (left, right) = self.scope.sources.split_at(self.left.min(self.scope.sources.len()));
        let has = |sources: &[Source], name: &Name| {
            sources.iter().flat_map(|source| &source.columns).any(|column| {
                column.name == *name && column.is_plain()
                    || column.role == Role::Unit { marker: Some(name.clone()) }
            })
        };
        let names = reads(expr);
        let all = |side: &[Source]| names.iter().all(|name| has(side, name));
        match (names.is_empty(), all(left), all(right)) {
            (false, true, false) => Some(true),
            (false, false, true) => Some(false),
            _ => None,
        }
    }
}

/// Which rows a join keeps, whether its sides change places, and its condition.
fn operator(
    operator: &JoinOperator,
    is_global: bool,
    at: Place,
) -> Result<(JoinKind, bool, &JoinConstraint), PlanError> {
    let (kind, is_swapped, constraint) = match operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
            (JoinKind::Inner, false, constraint)
        }
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
            (JoinKind::Left, false, constraint)
        }
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (JoinKind::Left, true, constraint)
        }
        _ => return Err(PlanError::refused(Construct::OtherJoin, at)),
    };
    if is_global || matches!(constraint, JoinConstraint::Natural) {
        return Err(PlanError::refused(Construct::OtherJoin, at));
    }
    Ok((kind, is_swapped, constraint))
}

fn constraint_place(constraint: &JoinConstraint, at: Place) -> Place {
    match constraint {
        JoinConstraint::On(condition) => place_of(unwrapped(condition)),
        JoinConstraint::Using(names) => match names.first().map(|name| name.0.as_slice()) {
            Some([ObjectNamePart::Identifier(ident), ..]) => place_of_ident(ident),
            _ => at,
        },
        _ => at,
    }
}

fn conditions(
    sides: &Sides<'_>,
    constraint: &JoinConstraint,
    at: Place,
) -> Result<Conditions, PlanError> {
    let mut found = Conditions::default();
    match constraint {
        JoinConstraint::On(condition) => {
            for term in conjuncts(condition) {
                found.add(sides, term)?;
            }
        }
        JoinConstraint::Using(names) => {
            for name in names {
                let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
                    return Err(PlanError::refused(Construct::Schema, at));
                };
                found.add_using(sides, ident)?;
            }
        }
        JoinConstraint::Natural | JoinConstraint::None => {}
    }
    Ok(found)
}

impl Conditions {
    fn add(&mut self, sides: &Sides<'_>, term: &Ast) -> Result<(), PlanError> {
        let scope = &sides.scope;
        let place = place_of(term);
        if let Ast::BinaryOp { left, op: BinaryOperator::Eq, right } = term {
            if let (Some(Ok((i, one))), Some(Ok((j, other)))) =
                (scope.resolved(left), scope.resolved(right))
                && one.is_unit()
                && other.is_unit()
            {
                return self.equate(sides, (i, one), (j, other), place);
            }
            let (one, other) = (lower(scope, left)?, lower(scope, right)?);
            let (one, other, _) = unify_pair(one, other)?;
            // A public table has no filter of its own: there a constant is a key like any other.
            let is_key = |expr: &Expr| sides.is_public && reads(expr).is_empty();
            match (sides.is_left(&one), sides.is_left(&other)) {
                (side, Some(false)) if side == Some(true) || is_key(&one) => {
                    self.keys.push(JoinKey { left: one, right: other });
                    return Ok(());
                }
                (Some(false), side) if side == Some(true) || is_key(&other) => {
                    self.keys.push(JoinKey { left: other, right: one });
                    return Ok(());
                }
                _ => {}
            }
        }
        // A term that is always TRUE says nothing.
        for term in terms(condition(scope, term)?) {
            self.others.push((term, place));
        }
        Ok(())
    }

    fn equate(
        &mut self,
        sides: &Sides<'_>,
        (i, one): (usize, &ScopeColumn),
        (j, other): (usize, &ScopeColumn),
        place: Place,
    ) -> Result<(), PlanError> {
        for unit in [one, other] {
            if unit.role != (Role::Unit { marker: None }) {
                let unit = excerpt(&unit.called);
                return Err(PlanError::UnitOptional { unit, place });
            }
        }
        match (i < sides.left, j < sides.left) {
            (true, false) => self.units = Some((one.column_type, other.column_type)),
            (false, true) => self.units = Some((other.column_type, one.column_type)),
            // Both name the same person already.
            _ => {}
        }
        Ok(())
    }

    fn add_using(&mut self, sides: &Sides<'_>, ident: &Ident) -> Result<(), PlanError> {
        let (left, right) = sides.scope.sources.split_at(sides.left.min(sides.scope.sources.len()));
        let work = &sides.scope.work;
        let (left, right) = (Scope::of(left, work), Scope::of(right, work));
        let ast = Ast::Identifier(ident.clone());
        let place = place_of_ident(ident);
        let resolved = |scope: &Scope<'_>| match scope.resolved(&ast) {
            Some(Ok((_, column))) => Ok(column.clone()),
            Some(Err(error)) => Err(error),
            None => Err(PlanError::refused(Construct::OtherJoin, place)),
        };
        let (one, other) = (resolved(&left)?, resolved(&right)?);
        self.hidden.push(folded(ident));
        if one.is_unit() && other.is_unit() {
            return self.equate(sides, (0, &one), (sides.left, &other), place);
        }
        let (left, right, _) = unify_pair(lower(&left, &ast)?, lower(&right, &ast)?)?;
        self.keys.push(JoinKey { left, right });
        Ok(())
    }
}

/// The terms of `a AND b AND c`.
fn conjuncts(condition: &Ast) -> Vec<&Ast> {
    let (mut waiting, mut found) = (vec![condition], Vec::new());
    while let Some(ast) = waiting.pop() {
        match unwrapped(ast) {
            Ast::BinaryOp { left, op: BinaryOperator::And, right } => {
                waiting.push(right);
                waiting.push(left);
            }
            term => found.push(term),
        }
    }
    found
}

fn distinct_names(left: &[Source], right: &[Source], place: Place) -> Result<(), PlanError> {
    for source in right {
        let Some(called) = &source.called else { continue };
        if left.iter().any(|other| other.called.as_ref() == Some(called)) {
            return Err(PlanError::Twice { name: excerpt(called), place });
        }
    }
    Ok(())
}

/// Names for the right side's columns, none of those taken, which they are then.
fn distinct_from(taken: &mut BTreeSet<Name>, before: &[Name], called: &str) -> Vec<Name> {
    let own: BTreeSet<&Name> = before.iter().collect();
    let mut names = Vec::new();
    for name in before {
        let name = if taken.contains(name) {
            fresh(&format!("{called}_{name}"), |name| taken.contains(name) || own.contains(name))
        } else {
            name.clone()
        };
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

fn rename_columns(columns: &mut [ScopeColumn], renamed: &[NamedExpr]) {
    let mut names: BTreeMap<&Name, &Name> = BTreeMap::new();
    for NamedExpr { name, expr } in renamed {
        if let Expr::Column { name: before } = expr {
            names.insert(before, name);
        }
    }
    for column in columns {
        let read = match &mut column.role {
            Role::Plain => &mut column.name,
            Role::Unit { marker: Some(marker) } => marker,
            Role::Unit { marker: None } | Role::Identifier => continue,
        };
        if let Some(name) = names.get(read) {
            *read = (*name).clone();
        }
    }
}

/// Columns of the side of a left join where a row may be missing.
fn optional(sources: &mut [Source], found: &Name) {
    for column in sources.iter_mut().flat_map(|source| &mut source.columns) {
        column.never_null = false;
        if column.role == (Role::Unit { marker: None }) {
            column.role = Role::Unit { marker: Some(found.clone()) };
        }
    }
}

fn hide(sources: &mut [Source], names: &[String]) {
    for column in sources.iter_mut().flat_map(|source| &mut source.columns) {
        column.is_hidden |= names.contains(&column.called);
    }
}

/// Most rows of a public table that one row can meet, at least 1: rows with the same key, where the key
/// is made of plain columns.
fn matches_max(public: &PublicRows, keys: &[JoinKey]) -> u64 {
    let place = |key: &JoinKey| match &key.right {
        Expr::Column { name } => public.columns.iter().position(|column| column.name == *name),
        _ => None,
    };
    let all = public.rows.len() as u64;
    let Some(places) = keys.iter().map(place).collect::<Option<Vec<usize>>>() else { return all };
    let mut counts: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for row in &public.rows {
        let key = places.iter().map(|place| {
            let value = row.get(*place).and_then(Option::as_ref)?;
            Some(value.to_string())
        });
        // A row with NULL in its key meets none.
        if let Some(key) = key.collect::<Option<Vec<String>>>() {
            *counts.entry(key).or_default() += 1;
        }
    }
    counts.into_values().max().unwrap_or(0).max(1)
}
