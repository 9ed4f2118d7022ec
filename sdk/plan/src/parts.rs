//! The clauses of a subquery. Query and SELECT are taken apart field by field, so that a clause a newer
//! parser learns does not compile here until it is allowed or refused.

use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::limits::{LIST_TERMS_MAX, RESULT_COLUMNS_MAX};
use crate::text::place;
use sqlparser::ast::{
    Distinct, Expr as Ast, GroupByExpr, Query, Select, SelectFlavor, SelectItem, SetExpr,
    TableWithJoins, WildcardAdditionalOptions, With,
};

/// What is allowed of a query inside a query.
pub(crate) struct QueryParts<'q> {
    pub with: Option<&'q With>,
    pub body: &'q SetExpr,
}

/// The allowed clauses of a SELECT inside a query.
pub(crate) struct SelectParts<'q> {
    pub is_distinct: bool,
    pub items: &'q [SelectItem],
    pub from: &'q [TableWithJoins],
    pub filter: Option<&'q Ast>,
    pub group_by: &'q [Ast],
    pub having: Option<&'q Ast>,
    pub place: Place,
}

/// Takes a query inside a query apart. Errors on every clause it may not have.
pub(crate) fn query_parts(query: &Query, at: Place) -> Result<QueryParts<'_>, PlanError> {
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
    let other = !locks.is_empty()
        || for_clause.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || !pipe_operators.is_empty();
    refuse_any(
        at,
        &[
            (order_by.is_some(), Construct::InnerOrder),
            (limit_clause.is_some() || fetch.is_some(), Construct::InnerOrder),
            (other, Construct::Clause),
        ],
    )?;
    Ok(QueryParts { with: with.as_ref(), body })
}

/// Takes a SELECT inside a query apart. Errors on every clause it may not have.
pub(crate) fn select_parts(select: &Select) -> Result<SelectParts<'_>, PlanError> {
    let Select {
        select_token,
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
    let at = place(select_token.0.span.start);
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
        || matches!(distinct, Some(Distinct::On(_)))
        || !matches!(flavor, SelectFlavor::Standard);
    refuse_any(
        at,
        &[
            (top.is_some() || !sort_by.is_empty(), Construct::InnerOrder),
            (qualify.is_some(), Construct::Qualify),
            (!named_window.is_empty(), Construct::NamedWindow),
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
    Ok(SelectParts {
        is_distinct: matches!(distinct, Some(Distinct::Distinct)),
        items: projection,
        from,
        filter: selection.as_ref(),
        group_by,
        having: having.as_ref(),
        place: at,
    })
}

/// Whether `*` stands alone, without the extras of other dialects.
pub(crate) fn is_plain_wildcard(options: &WildcardAdditionalOptions) -> bool {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none()
}

fn refuse_any(place: Place, found: &[(bool, Construct)]) -> Result<(), PlanError> {
    match found.iter().find(|(is_found, _)| *is_found) {
        Some((_, construct)) => Err(PlanError::refused(*construct, place)),
        None => Ok(()),
    }
}
