//! The clauses of the one query a text may hold. Query and SELECT are taken apart field by field, so
//! that a clause a newer parser learns does not compile here until it is allowed or refused.

use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::limits::{LIST_TERMS_MAX, RESULT_COLUMNS_MAX};
use crate::syntax::place_of_wildcard;
use crate::text::place;
use sqlparser::ast::{
    Expr as Ast, GroupByExpr, Ident, LimitClause, OrderBy, Query, Select, SelectFlavor, SelectItem,
    SetExpr, TableWithJoins, With,
};

/// The allowed clauses of a query.
pub(crate) struct Clauses<'q> {
    /// WITH.
    pub with: Option<&'q With>,
    /// What is selected, with its alias.
    pub items: Vec<(&'q Ast, Option<&'q Ident>)>,
    /// FROM.
    pub from: &'q [TableWithJoins],
    /// WHERE.
    pub filter: Option<&'q Ast>,
    /// GROUP BY.
    pub group_by: &'q [Ast],
    /// HAVING; see [`Clauses::refuse_module_clauses`].
    pub having: Option<&'q Ast>,
    /// ORDER BY; see [`Clauses::refuse_module_clauses`].
    pub order_by: Option<&'q OrderBy>,
    /// LIMIT; see [`Clauses::refuse_module_clauses`].
    pub limit: Option<&'q LimitClause>,
    /// Where SELECT stands.
    pub place: Place,
}

impl Clauses<'_> {
    /// Refuses what only the answer of a whole question has: HAVING, ORDER BY, LIMIT. The rows of a
    /// module are no answer.
    pub fn refuse_module_clauses(&self) -> Result<(), PlanError> {
        let is_there = self.having.is_some() || self.order_by.is_some() || self.limit.is_some();
        refuse_any(self.place, &[(is_there, Construct::ModuleClause)])
    }
}

/// Takes a query apart. Errors on every clause an analysis may not have.
pub(crate) fn clauses(query: &Query) -> Result<Clauses<'_>, PlanError> {
    let Query {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let select = match body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { .. } => return refuse_body(Construct::SetOperation),
        SetExpr::Query(_) => return refuse_body(Construct::Subquery),
        _ => return refuse_body(Construct::Statement),
    };
    let at = place(select.select_token.0.span.start);
    let other = !locks.is_empty()
        || for_clause.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || !pipe_operators.is_empty();
    refuse_any(at, &[(fetch.is_some(), Construct::Limit), (other, Construct::Clause)])?;
    let clauses = of_select(select, with.as_ref(), at)?;
    Ok(Clauses { order_by: order_by.as_ref(), limit: limit_clause.as_ref(), ..clauses })
}

fn refuse_body<'q>(construct: Construct) -> Result<Clauses<'q>, PlanError> {
    Err(PlanError::refused(construct, Place { line: 1, column: 1 }))
}

fn refuse_any(place: Place, found: &[(bool, Construct)]) -> Result<(), PlanError> {
    match found.iter().find(|(is_found, _)| *is_found) {
        Some((_, construct)) => Err(PlanError::refused(*construct, place)),
        None => Ok(()),
    }
}

fn of_select<'q>(
    select: &'q Select,
    with: Option<&'q With>,
    at: Place,
) -> Result<Clauses<'q>, PlanError> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let other = !optimizer_hints.is_empty()
        || select_modifiers.is_some()
        || exclude.is_some()
        || into.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || !cluster_by.is_empty()
        || !distribute_by.is_empty()
        || value_table_mode.is_some()
        || !matches!(flavor, SelectFlavor::Standard);
    refuse_any(
        at,
        &[
            (distinct.is_some(), Construct::Distinct),
            (top.is_some(), Construct::Limit),
            (qualify.is_some(), Construct::Having),
            (!named_window.is_empty(), Construct::Window),
            (!sort_by.is_empty(), Construct::OrderBy),
            (other, Construct::Clause),
        ],
    )?;
    let GroupByExpr::Expressions(group_by, modifiers) = group_by else {
        return Err(PlanError::refused(Construct::GroupingSets, at));
    };
    refuse_any(at, &[(!modifiers.is_empty(), Construct::GroupingSets)])?;
    for (what, found, max) in [
        ("selected columns", projection.len(), RESULT_COLUMNS_MAX),
        ("group keys", group_by.len(), LIST_TERMS_MAX),
    ] {
        if found > max {
            return Err(PlanError::TooMany { what, max, place: at });
        }
    }
    let items = projection.iter().map(|item| of_item(item, at)).collect::<Result<_, _>>()?;
    let (filter, having) = (selection.as_ref(), having.as_ref());
    let (order_by, limit) = (None, None);
    Ok(Clauses { with, items, from, filter, group_by, having, order_by, limit, place: at })
}

fn of_item(item: &SelectItem, at: Place) -> Result<(&Ast, Option<&Ident>), PlanError> {
    match item {
        SelectItem::UnnamedExpr(expr) => Ok((expr, None)),
        SelectItem::ExprWithAlias { expr, alias } => Ok((expr, Some(alias))),
        SelectItem::ExprWithAliases { .. } => Err(PlanError::refused(Construct::Clause, at)),
        SelectItem::QualifiedWildcard(_, options) | SelectItem::Wildcard(options) => {
            Err(PlanError::refused(Construct::Wildcard, place_of_wildcard(options, at)))
        }
    }
}
