//! A SELECT inside a query: plain rows, one person's groups, windows over her rows, distinct rows. The
//! unit column must come out of it, or it must be refused: rows that no person owns are rows of all.

use crate::calls::{Calls, WindowOver};
use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{Expr, Literal};
use crate::learnt::learn;
use crate::limits::{COUNTED_VALUES_MAX, RESULT_COLUMNS_MAX};
use crate::lower::{condition, lower};
use crate::parts::{SelectParts, is_plain_wildcard, select_parts};
use crate::pinned::Pinned;
use crate::range::Range;
use crate::relate::{Builder, Env, Rows};
use crate::relation::{
    Measure, NamedExpr, NamedMeasure, NamedWindow, OrderKey, Relation, WindowFunction,
};
use crate::scope::{Role, Scope, ScopeColumn, Source, folded, fresh, place_of_ident};
use crate::steps::reads;
use crate::syntax::{place_of, place_of_wildcard, unwrapped};
use crate::typed::Typed;
use crate::work::Work;
use cloister_terms::{ColumnType, KeyValue, Name};
use sqlparser::ast::{
    Expr as Ast, Ident, ObjectNamePart, Select, SelectItem, SelectItemQualifiedWildcardKind,
};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// One selected column.
struct Item {
    /// Its name in the text; empty without one.
    called: String,
    place: Place,
    kind: ItemKind,
}

enum ItemKind {
    /// The unit column, or one that may not be read, as it is.
    Kept(ScopeColumn),
    Value(Typed),
}

/// A key of GROUP BY besides the unit.
struct Key {
    name: Name,
    typed: Typed,
}

/// Values under names, which are computed step after step.
struct Steps {
    relation: Relation,
    columns: Vec<ScopeColumn>,
    rows_max: u64,
    /// What WHERE says of rows, where these are those rows.
    pinned: Rc<Pinned>,
    work: Work,
}

impl<'q> Builder<'q> {
    /// The rows of a SELECT inside a query: one source, whose columns are the step's in order.
    pub fn select(&mut self, select: &'q Select, env: &Env<'q>) -> Result<Rows, PlanError> {
        let parts = select_parts(select)?;
        let mut rows = self.from(parts.from, env, parts.place)?;
        let mut plain = Scope::of(&rows.sources, &self.work);
        if let Some(filter) = parts.filter {
            let kept = condition(&plain, filter)?;
            learn(&mut rows.sources, &kept);
            let pinned = Rc::new(self.pinned(&kept, place_of(filter))?);
            rows.relation = self.tables.filtered(rows.relation, kept);
            plain = Scope { pinned, ..Scope::of(&rows.sources, &self.work) };
        }
        let calls = Calls::new(self.tables.outputs(&rows.relation));
        let (pinned, work) = (Rc::clone(&plain.pinned), self.work.clone());
        let scope = Scope { sources: rows.sources, calls: Some(&calls), pinned, work };
        let mut items = items(&scope, &calls, &parts)?;
        let (keys, has_unit) = group_by(&plain, &calls, &parts, &items)?;
        let having = parts.having.map(|having| calls.without_windows(&scope, having));
        let having = having.transpose()?.map(Typed::boolean).transpose()?;
        let is_grouped =
            having.is_some() || !parts.group_by.is_empty() || !calls.measures.borrow().is_empty();
        if is_grouped && !has_unit {
            let unit = excerpt(plain.unit_called());
            return Err(PlanError::AcrossUnits { unit, place: parts.place });
        }
        let mut steps = Steps {
            relation: rows.relation,
            columns: plain.sources.iter().flat_map(|source| source.columns.clone()).collect(),
            rows_max: rows.rows_max,
            // What it pins is known of the groups' keys already.
            pinned: if is_grouped { Rc::default() } else { Rc::clone(&plain.pinned) },
            work: self.work.clone(),
        };
        if is_grouped {
            self.group(&mut steps, &plain, &keys, &calls, parts.place)?;
            items.iter_mut().try_for_each(|item| item.regroup(&keys, &steps, &calls))?;
        }
        if let Some(mut having) = having {
            regroup(&mut having, &keys);
            grouped(&having, &steps, &calls, parts.place)?;
            steps.relation = self.tables.filtered(steps.relation, having);
        }
        self.windows(&mut steps, &keys, &calls, is_grouped, parts.place)?;
        let rows = self.projected(steps, items, &parts, plain.unit_called())?;
        Ok(if parts.is_distinct { self.distinct(rows) } else { rows })
    }

    fn group(
        &mut self,
        steps: &mut Steps,
        scope: &Scope<'_>,
        keys: &[Key],
        calls: &Calls,
        place: Place,
    ) -> Result<(), PlanError> {
        self.step(place)?;
        let mut columns = Vec::new();
        let mut groups = Some(1u64);
        for key in keys {
            let column = self.known(&key.typed, scope, key.name.clone())?;
            let values = column.values_max();
            groups =
                groups.zip(values).map(|(groups, values)| groups.saturating_mul(values.max(1)));
            columns.push(column);
        }
        let mut measures: Vec<NamedMeasure> = Vec::new();
        for (measure, at) in calls.measures.borrow().iter() {
            columns.push(self.measured(measure, scope, steps.rows_max, *at)?);
            measures.push(measure.clone());
        }
        if keys.is_empty() && measures.is_empty() {
            // A step has a column, though nothing reads this one.
            let name = calls.fresh("rows");
            measures.push(NamedMeasure { name, measure: Measure::CountRows });
        }
        let named = |key: &Key| NamedExpr { name: key.name.clone(), expr: key.typed.expr.clone() };
        let keys = keys.iter().map(named).collect();
        let before = std::mem::replace(&mut steps.relation, Relation::Table { table: u32::MAX });
        steps.relation = Relation::PerPerson { of: Box::new(before), keys, measures };
        steps.columns = columns;
        steps.rows_max = steps.rows_max.min(groups.unwrap_or(u64::MAX));
        Ok(())
    }

    fn windows(
        &mut self,
        steps: &mut Steps,
        keys: &[Key],
        calls: &Calls,
        is_grouped: bool,
        place: Place,
    ) -> Result<(), PlanError> {
        type Cut = (Vec<Expr>, Vec<OrderKey>);
        let mut cuts: Vec<(Cut, Vec<NamedWindow>)> = Vec::new();
        for (name, window) in calls.windows.borrow().iter() {
            let WindowOver { mut partition, mut order, mut function } = window.clone();
            if is_grouped {
                let exprs = partition.iter_mut().chain(order.iter_mut().map(|key| &mut key.expr));
                for expr in exprs.chain(function.of_mut()) {
                    regroup(expr, keys);
                    grouped(expr, steps, calls, place)?;
                }
            }
            let column = NamedWindow { name: name.clone(), function };
            match cuts.iter_mut().find(|(cut, _)| (&cut.0, &cut.1) == (&partition, &order)) {
                Some((_, columns)) => columns.push(column),
                None => cuts.push(((partition, order), vec![column])),
            }
        }
        let scope = steps.scope();
        for ((partition, order), columns) in cuts {
            self.step(place)?;
            for column in &columns {
                steps.columns.push(self.windowed(column, &scope, steps.rows_max, place)?);
            }
            let before =
                std::mem::replace(&mut steps.relation, Relation::Table { table: u32::MAX });
            let of = Box::new(before);
            steps.relation = Relation::Window { of, partition, order, columns };
        }
        Ok(())
    }

    /// The selected columns, under names of their own.
    fn projected(
        &mut self,
        steps: Steps,
        items: Vec<Item>,
        parts: &SelectParts<'q>,
        unit: &str,
    ) -> Result<Rows, PlanError> {
        let scope = steps.scope();
        let (mut columns, mut known) = (Vec::new(), Vec::new());
        let (mut taken, mut called) = (BTreeSet::new(), BTreeSet::new());
        for item in items {
            if !item.called.is_empty() && !called.insert(item.called.clone()) {
                let name = excerpt(&item.called);
                return Err(PlanError::Twice { name, place: item.place });
            }
            let column = match item.kind {
                ItemKind::Kept(column) if parts.is_distinct && !column.is_unit() => {
                    let column = column.name;
                    return Err(PlanError::Identifier { column, place: item.place });
                }
                ItemKind::Kept(column) => ScopeColumn { is_hidden: false, ..column },
                ItemKind::Value(typed) => {
                    let wanted = if item.called.is_empty() { "column" } else { &item.called };
                    let name = fresh(wanted, |name| taken.contains(name));
                    taken.insert(name.clone());
                    columns.push(NamedExpr { name: name.clone(), expr: typed.expr.clone() });
                    self.known(&typed, &scope, name)?
                }
            };
            known.push(ScopeColumn { called: item.called, ..column });
        }
        if !known.iter().any(ScopeColumn::is_unit) {
            return Err(PlanError::UnitLeftOut { unit: excerpt(unit), place: parts.place });
        }
        if columns.is_empty() {
            // Rows without columns cannot be written: a constant stands in.
            let name = fresh("row", |_| false);
            columns.push(NamedExpr { name, expr: Expr::literal(Literal::Bool(true)) });
        }
        let relation = Relation::Project { of: Box::new(steps.relation), columns };
        let sources = vec![Source { called: None, columns: known }];
        Ok(Rows { relation, sources, rows_max: steps.rows_max })
    }

    /// What is known of a value, as a column of that name.
    fn known(
        &mut self,
        typed: &Typed,
        scope: &Scope<'_>,
        name: Name,
    ) -> Result<ScopeColumn, PlanError> {
        let place = typed.place;
        if let Expr::Column { name: read } = &typed.expr
            && let Some(column) = scope.entry(read)
        {
            // A filter may list values of a column, fewer than the dictionary does or where it has none.
            let is_listed = scope.pinned.values(&typed.expr).is_some();
            let domain = match &column.domain {
                Some(domain) if !is_listed => Some(domain.clone()),
                _ => self.values(&typed.expr, scope, place)?,
            };
            return Ok(ScopeColumn { name, is_hidden: false, domain, ..column.clone() });
        }
        Ok(ScopeColumn {
            called: String::new(),
            name,
            column_type: typed.column_type,
            range: Range::of(&typed.expr, scope),
            domain: self.values(&typed.expr, scope, place)?,
            never_null: scope.never_null(&typed.expr),
            role: Role::Plain,
            is_hidden: false,
        })
    }

    fn measured(
        &mut self,
        NamedMeasure { name, measure }: &NamedMeasure,
        scope: &Scope<'_>,
        rows_max: u64,
        place: Place,
    ) -> Result<ScopeColumn, PlanError> {
        let types = |name: &Name| scope.entry(name).map(|column| column.column_type);
        let column_type = measure.column_type(&types).unwrap_or(ColumnType::Float64);
        let range = measure.of().and_then(|of| Range::of(of, scope));
        let (range, domain) = match measure {
            Measure::CountRows => (Some(Range::whole(0, rows_max)), self.counts(1, rows_max)),
            Measure::CountNonNull { .. } | Measure::CountDistinct { .. } => {
                (Some(Range::whole(0, rows_max)), self.counts(0, rows_max))
            }
            Measure::Sum { .. } => (range.and_then(|range| range.summed(rows_max)), None),
            Measure::Avg { .. } => (range.map(Range::averaged), None),
            Measure::Min { of } | Measure::Max { of } => (range, self.values(of, scope, place)?),
        };
        let never_null = matches!(
            measure,
            Measure::CountRows | Measure::CountNonNull { .. } | Measure::CountDistinct { .. }
        );
        let (called, role, is_hidden) = (String::new(), Role::Plain, false);
        let name = name.clone();
        Ok(ScopeColumn { called, name, column_type, range, domain, never_null, role, is_hidden })
    }

    /// The numbers a count can be, where they are few.
    fn counts(&mut self, low: u64, high: u64) -> Option<Arc<[KeyValue]>> {
        if high > COUNTED_VALUES_MAX || !self.listed(usize::try_from(high).unwrap_or(usize::MAX)) {
            return None;
        }
        let (low, high) = (i64::try_from(low).ok()?, i64::try_from(high).ok()?);
        Some((low..=high).map(KeyValue::Int).collect())
    }

    fn windowed(
        &mut self,
        NamedWindow { name, function }: &NamedWindow,
        scope: &Scope<'_>,
        rows_max: u64,
        place: Place,
    ) -> Result<ScopeColumn, PlanError> {
        let name = name.clone();
        if let WindowFunction::Whole { measure } | WindowFunction::Running { measure } = function {
            let measure = measure.clone();
            return self.measured(&NamedMeasure { name, measure }, scope, rows_max, place);
        }
        let types = |name: &Name| scope.entry(name).map(|column| column.column_type);
        let column_type = function.column_type(&types).unwrap_or(ColumnType::Int64);
        let (range, domain) = match function.of() {
            Some(of) => (Range::of(of, scope), self.values(of, scope, place)?),
            None => (Some(Range::whole(1, rows_max)), self.counts(1, rows_max)),
        };
        let never_null = matches!(function, WindowFunction::RowNumber);
        let (called, role, is_hidden) = (String::new(), Role::Plain, false);
        Ok(ScopeColumn { called, name, column_type, range, domain, never_null, role, is_hidden })
    }
}

impl Steps {
    fn scope(&self) -> Scope<'static> {
        let sources = vec![Source { called: None, columns: self.columns.clone() }];
        let (pinned, work) = (Rc::clone(&self.pinned), self.work.clone());
        Scope { sources, calls: None, pinned, work }
    }
}

impl Item {
    /// The item over the groups instead of the rows.
    fn regroup(&mut self, keys: &[Key], steps: &Steps, calls: &Calls) -> Result<(), PlanError> {
        match &mut self.kind {
            ItemKind::Kept(column) if column.is_unit() => Ok(()),
            ItemKind::Kept(column) => {
                Err(PlanError::Identifier { column: column.name.clone(), place: self.place })
            }
            ItemKind::Value(typed) => {
                regroup(&mut typed.expr, keys);
                grouped(&typed.expr, steps, calls, self.place)
            }
        }
    }
}

fn items(
    scope: &Scope<'_>,
    calls: &Calls,
    parts: &SelectParts<'_>,
) -> Result<Vec<Item>, PlanError> {
    let mut items = Vec::new();
    for item in parts.items {
        match item {
            SelectItem::UnnamedExpr(ast) => items.push(item_of(scope, calls, ast, None)?),
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(item_of(scope, calls, expr, Some(alias))?);
            }
            SelectItem::ExprWithAliases { .. } => {
                return Err(PlanError::refused(Construct::Clause, parts.place));
            }
            SelectItem::Wildcard(options) if is_plain_wildcard(options) => {
                items.extend(scope.sources.iter().flat_map(|s| all_of(s, parts.place)));
            }
            SelectItem::QualifiedWildcard(kind, options) if is_plain_wildcard(options) => {
                let source = qualified(scope, kind);
                let at = place_of_wildcard(options, parts.place);
                let source = source.ok_or_else(|| PlanError::refused(Construct::Wildcard, at))?;
                items.extend(all_of(source, parts.place));
            }
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                let at = place_of_wildcard(options, parts.place);
                return Err(PlanError::refused(Construct::Wildcard, at));
            }
        }
        if items.len() > RESULT_COLUMNS_MAX.saturating_mul(4) {
            let (what, max) = ("selected columns", RESULT_COLUMNS_MAX.saturating_mul(4));
            return Err(PlanError::TooMany { what, max, place: parts.place });
        }
    }
    Ok(items)
}

fn item_of(
    scope: &Scope<'_>,
    calls: &Calls,
    ast: &Ast,
    alias: Option<&Ident>,
) -> Result<Item, PlanError> {
    let place = alias.map_or_else(|| place_of(ast), place_of_ident);
    let called = match alias {
        Some(alias) => folded(alias),
        None => scope.called(ast).unwrap_or_default(),
    };
    if let Some(Ok((_, column))) = scope.resolved(ast)
        && let Role::Unit { marker } = &column.role
    {
        if marker.is_some() {
            return Err(PlanError::UnitOptional { unit: excerpt(&column.called), place });
        }
        return Ok(Item { called, place, kind: ItemKind::Kept(column.clone()) });
    }
    let typed = calls.item(scope, ast, &called)?;
    Ok(Item { called, place, kind: ItemKind::Value(typed) })
}

/// All columns of one source, for `*`. A unit column that may be missing is left out: the one beside it
/// says who the row is about.
fn all_of(source: &Source, place: Place) -> impl Iterator<Item = Item> + '_ {
    let columns = source.columns.iter().filter(|column| {
        !column.is_hidden && !matches!(column.role, Role::Unit { marker: Some(_) })
    });
    columns.map(move |column| {
        let kind = if column.is_plain() {
            let expr = Expr::Column { name: column.name.clone() };
            ItemKind::Value(Typed { expr, column_type: column.column_type, place })
        } else {
            ItemKind::Kept(column.clone())
        };
        Item { called: column.called.clone(), place, kind }
    })
}

fn qualified<'s>(
    scope: &'s Scope<'_>,
    kind: &SelectItemQualifiedWildcardKind,
) -> Option<&'s Source> {
    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else { return None };
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return None };
    let name = folded(ident);
    scope.sources.iter().find(|source| source.called.as_ref() == Some(&name))
}

/// The keys of GROUP BY besides the unit, and whether the unit is among them.
fn group_by(
    scope: &Scope<'_>,
    calls: &Calls,
    parts: &SelectParts<'_>,
    items: &[Item],
) -> Result<(Vec<Key>, bool), PlanError> {
    let (mut keys, mut has_unit) = (Vec::<Key>::new(), false);
    for ast in parts.group_by {
        let Some(typed) = group_key(scope, calls, unwrapped(ast), items)? else {
            has_unit = true;
            continue;
        };
        if keys.iter().any(|key| key.typed.expr == typed.expr) {
            let name = excerpt(&typed.expr.to_string());
            return Err(PlanError::Twice { name, place: typed.place });
        }
        // A plain column keeps its name; nothing else may take the name of one.
        let name = match &typed.expr {
            Expr::Column { name } => name.clone(),
            expr => {
                let same = |item: &&Item| matches!(&item.kind, ItemKind::Value(typed) if typed.expr == *expr);
                let called = items.iter().find(same).map(|item| item.called.as_str());
                calls.fresh(called.filter(|called| !called.is_empty()).unwrap_or("key"))
            }
        };
        keys.push(Key { name, typed });
    }
    Ok((keys, has_unit))
}

/// One key; `None` when it is the unit.
fn group_key(
    scope: &Scope<'_>,
    calls: &Calls,
    ast: &Ast,
    items: &[Item],
) -> Result<Option<Typed>, PlanError> {
    let place = place_of(ast);
    let of_item = |item: Option<&Item>, text: String| match item.map(|item| &item.kind) {
        Some(ItemKind::Kept(column)) if column.is_unit() => Ok(None),
        Some(ItemKind::Value(typed)) if reads(&typed.expr).iter().any(|name| calls.made(name)) => {
            Err(PlanError::refused(Construct::NestedAggregate, place))
        }
        Some(ItemKind::Value(typed)) => Ok(Some(Typed { place, ..typed.clone() })),
        Some(ItemKind::Kept(_)) | None => Err(PlanError::Ordinal { text, place }),
    };
    if scope.is_unit(ast) {
        return Ok(None);
    }
    if let Ast::Identifier(ident) = ast
        && !scope.has_column(&folded(ident))
        && let Some(item) = items.iter().find(|item| item.called == folded(ident))
    {
        return of_item(Some(item), folded(ident));
    }
    let key = lower(scope, ast)?;
    if let Expr::Literal { value: Literal::Int(position) } = &key.expr {
        let index = usize::try_from(position.0).ok().and_then(|position| position.checked_sub(1));
        return of_item(index.and_then(|index| items.get(index)), position.0.to_string());
    }
    Ok(Some(key))
}

/// Every part that is a key becomes the key's column.
fn regroup(expr: &mut Expr, keys: &[Key]) {
    if let Some(key) = keys.iter().find(|key| key.typed.expr == *expr) {
        *expr = Expr::Column { name: key.name.clone() };
        return;
    }
    expr.parts_mut().into_iter().for_each(|part| regroup(part, keys));
}

/// Errors when an expression reads a column that is neither a key nor an aggregate nor a window.
fn grouped(expr: &Expr, steps: &Steps, calls: &Calls, place: Place) -> Result<(), PlanError> {
    let is_known =
        |name: &Name| calls.made(name) || steps.columns.iter().any(|column| column.name == *name);
    if reads(expr).iter().all(is_known) {
        return Ok(());
    }
    Err(PlanError::NotGrouped { expression: excerpt(&expr.to_string()), place })
}
