//! The SQL front end: one SELECT becomes keys, lanes and the columns of the answer. Every row goes to
//! the one cell its keys name; whatever would put a row or an unbounded value into the answer must be
//! refused here.

use crate::clauses::{Clauses, clauses};
use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{Expr, Literal};
use crate::figure_calls::shown;
use crate::figures::{Figure, Reading};
use crate::headings::Headings;
use crate::ir::{Contribute, KeyExpr, SqlContribution};
use crate::keys;
use crate::lanes::{Lane, Lanes};
use crate::lower::lower;
use crate::planned::{Draft, DraftLane, DraftPrivate};
use crate::pointed::Places;
use crate::recipe::{Named, recipe};
use crate::relate::Related;
use crate::scope::{Scope, folded};
use crate::syntax::{argument, place_of, unwrapped};
use crate::text::{parse, place};
use crate::typed::Typed;
use cloister_terms::limits::DIMENSIONS_MAX;
use cloister_terms::{Dictionary, Formula, KeyDimension, ResultColumn};
use sqlparser::ast::{Expr as Ast, Ident};

/// What becomes of keys without a public list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlisted {
    /// They are refused, whatever is spent.
    Never,
    /// They are refused, since nothing is spent on them.
    Refused,
    /// They are private, and each partner shows those that reach a threshold.
    Shown,
    /// They are private, and an earlier round finds those that are answered.
    Found,
}

/// Plans a SQL text but for its noise.
pub(crate) fn draft(
    dictionary: &Dictionary,
    text: &str,
    row_cap_asked: u32,
    unlisted: Unlisted,
) -> Result<Draft, PlanError> {
    let query = parse(text)?;
    let clauses = clauses(&query)?;
    let related = Related::of(dictionary, &clauses)?;
    let scope = related.scope();
    let row_cap = u32::try_from(related.rows_max()).unwrap_or(u32::MAX).min(row_cap_asked);
    let items = items(&scope, &clauses)?;
    if let Some(having) = clauses.having
        && items.iter().any(|item| item.across().is_some())
    {
        return Err(PlanError::refused(Construct::AcrossHaving, place_of(having)));
    }
    let group_by = group_by(&scope, clauses.group_by, &items)?;
    let keys = group_by.iter().map(|key| keys::key(key, &scope, unlisted));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let mut lanes = Lanes::new(row_cap);
    let columns = columns(&scope, &items, &group_by, &mut lanes)?;
    let named = Named { scope: &scope, columns: &columns, group_by: &group_by };
    let recipe = recipe(&clauses, &named, &mut lanes)?;
    let is_private = keys.iter().any(|key| key.domain.is_empty());
    let private = is_private.then(|| -> Result<_, PlanError> {
        let types = group_by.iter().map(|key| key.column_type).collect();
        let is_across = |formula: &Formula| formula.is_across();
        let sums = columns.iter().any(|column| is_across(&column.formula))
            || recipe.formulas().into_iter().any(is_across);
        if sums && unlisted == Unlisted::Shown {
            return Err(PlanError::refused(Construct::AcrossPrivate, clauses.place));
        }
        let persons_lane = (unlisted == Unlisted::Shown).then(|| lanes.persons()).transpose()?;
        Ok(DraftPrivate { types, persons_lane })
    });
    let private = private.transpose()?;
    let lanes = lanes.into_lanes();
    let dimensions = dimensions(&columns, &keys);
    let exprs = keys.iter().map(|key| &key.expr);
    let exprs: Vec<&Expr> = exprs.chain(lanes.iter().filter_map(|lane| lane.expr.expr())).collect();
    let (relation, tables) = related.finish(&exprs);
    let draft_lanes = lanes.iter().map(|lane| draft_lane(lane, row_cap)).collect();
    Ok(Draft {
        tables,
        keys: dimensions,
        lanes: draft_lanes,
        contribute: Contribute::Sql(SqlContribution {
            relation,
            keys,
            lanes: lanes.into_iter().map(|lane| lane.expr).collect(),
        }),
        columns,
        recipe,
        private,
        row_cap,
        // Each row is in one cell, so a person's rows reach no more cells than there are rows.
        cells_per_person_max: row_cap.into(),
        places: places(&clauses),
    })
}

/// Where refusals of the whole question point.
fn places(clauses: &Clauses<'_>) -> Places {
    let select = clauses.place;
    let first = clauses.group_by.first().map(place_of).filter(|place| place.line > 0);
    Places { select, groups: first.unwrap_or(select) }
}

/// A lane without its noise, for persons with at most `row_cap` rows.
pub(crate) fn draft_lane(lane: &Lane, row_cap: u32) -> DraftLane {
    let Lane { expr, one_of, weight, place } = lane;
    DraftLane {
        name: excerpt(&expr.label()),
        grid_bits: expr.grid_bits(),
        sensitivity_steps: expr.sensitivity_steps(row_cap),
        one_of: *one_of,
        weight: *weight,
        place: *place,
    }
}

/// One selected item.
struct Item {
    heading: String,
    place: Place,
    kind: ItemKind,
}

enum ItemKind {
    Key(Typed),
    Figure(Figure),
}

impl Item {
    /// Where a sum over the groups of the answer stands in it.
    fn across(&self) -> Option<Place> {
        match &self.kind {
            ItemKind::Key(_) => None,
            ItemKind::Figure(figure) => figure.across(),
        }
    }
}

fn items(scope: &Scope<'_>, clauses: &Clauses<'_>) -> Result<Vec<Item>, PlanError> {
    let mut headings = Headings::default();
    let items = clauses.items.iter().map(|(ast, alias)| item(scope, ast, *alias, &mut headings));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    if items.iter().any(|item| matches!(item.kind, ItemKind::Figure(_))) {
        return Ok(items);
    }
    Err(PlanError::NoAggregate { place: clauses.place })
}

fn item(
    scope: &Scope<'_>,
    ast: &Ast,
    alias: Option<&Ident>,
    headings: &mut Headings,
) -> Result<Item, PlanError> {
    let kind = match (Reading { scope, columns: &[] }).figure(ast)? {
        Some(figure) => ItemKind::Figure(figure),
        None => ItemKind::Key(lower(scope, ast)?),
    };
    let own = match &kind {
        ItemKind::Figure(figure) => figure.heading(scope),
        ItemKind::Key(typed) => scope.called(ast).unwrap_or_else(|| typed.expr.to_string()),
    };
    let place = alias.map_or_else(|| place_of(ast), |alias| place(alias.span.start));
    let heading = match alias {
        Some(alias) => folded(alias),
        None => own.clone(),
    };
    // A heading that names a column but holds something else would be read as that column (row A7).
    let is_that_column = match &kind {
        ItemKind::Key(_) => heading == own,
        ItemKind::Figure(_) => {
            let column = argument(shown(ast)).and_then(|arg| scope.named_column(arg));
            matches!(column, Some(Ok(column)) if column.called == heading)
        }
    };
    if scope.has_column(&heading) && !is_that_column {
        return Err(PlanError::HeadingIsColumn { name: excerpt(&heading), place });
    }
    Ok(Item { heading: headings.give(heading, place)?, place, kind })
}

/// The keys of GROUP BY, each an expression, an alias or a position among the selected columns.
fn group_by(scope: &Scope<'_>, group_by: &[Ast], items: &[Item]) -> Result<Vec<Typed>, PlanError> {
    if group_by.len() > DIMENSIONS_MAX {
        let place = group_by.get(DIMENSIONS_MAX).map(place_of).unwrap_or_default();
        return Err(PlanError::TooMany { what: "group keys", max: DIMENSIONS_MAX, place });
    }
    let mut keys: Vec<Typed> = Vec::new();
    for ast in group_by {
        let key = group_key(scope, unwrapped(ast), items)?;
        let name = || excerpt(&key.expr.to_string());
        let place = key.place;
        if keys.iter().any(|other| other.expr == key.expr) {
            return Err(PlanError::Twice { name: name(), place });
        }
        let is_shown = |item: &Item| matches!(&item.kind, ItemKind::Key(k) if k.expr == key.expr);
        if !items.iter().any(is_shown) {
            return Err(PlanError::KeyNotShown { expression: name(), place });
        }
        keys.push(key);
    }
    Ok(keys)
}

fn group_key(scope: &Scope<'_>, ast: &Ast, items: &[Item]) -> Result<Typed, PlanError> {
    let place = place_of(ast);
    let of_item = |item: Option<&Item>, text: String| match item.map(|item| &item.kind) {
        Some(ItemKind::Key(typed)) => Ok(Typed { place, ..typed.clone() }),
        Some(ItemKind::Figure(_)) => Err(PlanError::refused(Construct::NestedAggregate, place)),
        None => Err(PlanError::Ordinal { text, place }),
    };
    // A column goes before an alias of the same name; such an alias was refused already.
    if let Ast::Identifier(ident) = ast
        && !scope.has_column(&folded(ident))
        && let Some(item) = items.iter().find(|item| item.heading == folded(ident))
    {
        return of_item(Some(item), folded(ident));
    }
    let key = lower(scope, ast)?;
    if let Expr::Literal { value: Literal::Int(position) } = &key.expr {
        let index = usize::try_from(position.0).ok().and_then(|position| position.checked_sub(1));
        return of_item(index.and_then(|index| items.get(index)), position.0.to_string());
    }
    Ok(key)
}

/// The columns of the answer; adds the lanes they need.
fn columns(
    scope: &Scope<'_>,
    items: &[Item],
    group_by: &[Typed],
    lanes: &mut Lanes,
) -> Result<Vec<ResultColumn>, PlanError> {
    for item in items {
        if let ItemKind::Figure(figure) = &item.kind {
            figure.each_aggregate(&mut |aggregate| lanes.expect(aggregate));
        }
    }
    let mut columns = Vec::new();
    for item in items {
        let formula = match &item.kind {
            ItemKind::Figure(figure) => figure.formula(lanes, scope, group_by)?,
            ItemKind::Key(typed) => {
                let dimension = group_by.iter().position(|key| key.expr == typed.expr);
                let dimension = dimension.and_then(|dimension| u32::try_from(dimension).ok());
                let dimension = dimension.ok_or_else(|| not_grouped(typed, item.place))?;
                Formula::Key { dimension }
            }
        };
        columns.push(ResultColumn { name: item.heading.clone(), formula });
    }
    Ok(columns)
}

/// The refusal of a selected expression that is neither a figure nor a key.
fn not_grouped(typed: &Typed, place: Place) -> PlanError {
    match &typed.expr {
        Expr::Literal { .. } | Expr::Null { .. } => {
            PlanError::refused(Construct::ConstantColumn, typed.place)
        }
        expr => PlanError::NotGrouped { expression: excerpt(&expr.to_string()), place },
    }
}

/// The public keys, each under the heading of the first column that shows it.
fn dimensions(columns: &[ResultColumn], keys: &[KeyExpr]) -> Vec<KeyDimension> {
    let named = |index: usize| {
        let shows = |column: &&ResultColumn| matches!(column.formula, Formula::Key { dimension } if dimension as usize == index);
        columns.iter().find(shows).map(|column| column.name.clone()).unwrap_or_default()
    };
    let keys = keys.iter().enumerate();
    keys.map(|(index, key)| KeyDimension { name: named(index), values: key.domain.clone() })
        .collect()
}
