//! HAVING, ORDER BY and LIMIT as a recipe over noised figures. They cost nothing but the figures they read
//! and never reach a node's rows: a condition on rows must stand in WHERE.

use crate::clauses::Clauses;
use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::expr::Literal;
use crate::figures::{figure, figure_or_constant};
use crate::lanes::Lanes;
use crate::limits::{EXPRESSION_DEPTH_MAX, LIST_TERMS_MAX};
use crate::literal::literal;
use crate::lower::lower;
use crate::scope::{Scope, folded};
use crate::syntax::{place_of, too_long, unwrapped};
use crate::typed::Typed;
use cloister_terms::{Condition, FigureCompare, Formula, Recipe, ResultColumn, SortKey};
use sqlparser::ast::{
    BinaryOperator, Expr as Ast, LimitClause, Offset, OrderByExpr, OrderByKind, OrderByOptions,
    UnaryOperator,
};

/// What a recipe may name: the columns of the answer and the keys.
pub(crate) struct Named<'a, 's> {
    pub scope: &'a Scope<'s>,
    pub columns: &'a [ResultColumn],
    pub group_by: &'a [Typed],
}

/// The recipe of a query, adding lanes for figures that only it reads.
pub(crate) fn recipe(
    clauses: &Clauses<'_>,
    named: &Named<'_, '_>,
    lanes: &mut Lanes,
) -> Result<Recipe, PlanError> {
    let having =
        clauses.having.map(|having| named.condition(having, false, 0, lanes)).transpose()?;
    let mut order = Vec::new();
    if let Some(order_by) = clauses.order_by {
        let refused = || PlanError::refused(Construct::OrderBy, clauses.place);
        let OrderByKind::Expressions(keys) = &order_by.kind else { return Err(refused()) };
        if order_by.interpolate.is_some() {
            return Err(refused());
        }
        if keys.len() > LIST_TERMS_MAX {
            return Err(too_long(clauses.place));
        }
        for key in keys {
            order.push(named.sort_key(key, lanes)?);
        }
    }
    let (limit, offset) = match clauses.limit {
        Some(clause) => limit(clause, clauses.place)?,
        None => (None, None),
    };
    Ok(Recipe { having, order, limit, offset })
}

impl Named<'_, '_> {
    /// A condition, or its negation: NOT moves inside, since a figure that is not defined meets neither.
    fn condition(
        &self,
        ast: &Ast,
        negated: bool,
        depth: usize,
        lanes: &mut Lanes,
    ) -> Result<Condition, PlanError> {
        let ast = unwrapped(ast);
        let place = place_of(ast);
        if depth >= EXPRESSION_DEPTH_MAX {
            return Err(PlanError::TooDeep { place });
        }
        let mut inner = |ast: &Ast, turned| self.condition(ast, negated ^ turned, depth + 1, lanes);
        match ast {
            Ast::UnaryOp { op: UnaryOperator::Not, expr } => inner(expr, true),
            Ast::BinaryOp { left, op: BinaryOperator::And, right } => {
                Ok(joined(true ^ negated, vec![inner(left, false)?, inner(right, false)?]))
            }
            Ast::BinaryOp { left, op: BinaryOperator::Or, right } => {
                Ok(joined(negated, vec![inner(left, false)?, inner(right, false)?]))
            }
            Ast::BinaryOp { left, op, right } => {
                let refused = || PlanError::refused(Construct::Having, place);
                let op = compare_op(op).ok_or_else(refused)?;
                let op = if negated { op.negated() } else { op };
                let (left, right) = (self.figure(left, lanes)?, self.figure(right, lanes)?);
                Ok(Condition::Compare { op, left, right })
            }
            Ast::Between { expr, negated: not, low, high } => {
                let of = self.figure(expr, lanes)?;
                let (low, high) = (self.figure(low, lanes)?, self.figure(high, lanes)?);
                let side = |op: FigureCompare, right| {
                    let op = if *not ^ negated { op.negated() } else { op };
                    Condition::Compare { op, left: of.clone(), right }
                };
                let sides = vec![
                    side(FigureCompare::GreaterOrEqual, low),
                    side(FigureCompare::LessOrEqual, high),
                ];
                Ok(joined(!(*not ^ negated), sides))
            }
            _ => Err(PlanError::refused(Construct::Having, place)),
        }
    }

    /// A figure of a condition: a heading, an aggregate, a constant, or arithmetic on aggregates.
    fn figure(&self, ast: &Ast, lanes: &mut Lanes) -> Result<Formula, PlanError> {
        let ast = unwrapped(ast);
        match self.headed(ast) {
            Some(Formula::Key { .. }) => Err(PlanError::refused(Construct::Having, place_of(ast))),
            Some(formula) => Ok(formula),
            None => figure_or_constant(self.scope, ast)?.formula(lanes, self.scope),
        }
    }

    fn sort_key(&self, key: &OrderByExpr, lanes: &mut Lanes) -> Result<SortKey, PlanError> {
        let OrderByExpr { expr, options: OrderByOptions { asc, nulls_first }, with_fill } = key;
        let ast = unwrapped(expr);
        let place = place_of(ast);
        if *nulls_first == Some(true) || with_fill.is_some() {
            return Err(PlanError::refused(Construct::OrderBy, place));
        }
        let descending = *asc == Some(false);
        let formula = match self.headed(ast) {
            Some(formula) => formula,
            None => match figure(self.scope, ast)? {
                Some(figure) => figure.formula(lanes, self.scope)?,
                None => self.key_or_position(ast, place)?,
            },
        };
        Ok(SortKey { formula, descending })
    }

    /// The column of the answer that a bare name is the heading of.
    fn headed(&self, ast: &Ast) -> Option<Formula> {
        let Ast::Identifier(ident) = ast else { return None };
        let name = folded(ident);
        let column = self.columns.iter().find(|column| column.name == name)?;
        Some(column.formula.clone())
    }

    fn key_or_position(&self, ast: &Ast, place: Place) -> Result<Formula, PlanError> {
        let key = lower(self.scope, ast)?;
        if let Some(Literal::Int(position)) = constant(&key) {
            let index = usize::try_from(position.0).ok().and_then(|at| at.checked_sub(1));
            let column = index.and_then(|index| self.columns.get(index));
            let text = position.0.to_string();
            let column = column.ok_or(PlanError::Ordinal { text, place })?;
            return Ok(column.formula.clone());
        }
        let dimension = self.group_by.iter().position(|other| other.expr == key.expr);
        let dimension = dimension.and_then(|dimension| u32::try_from(dimension).ok());
        let dimension = dimension.ok_or(PlanError::refused(Construct::OrderBy, place))?;
        Ok(Formula::Key { dimension })
    }
}

fn constant(typed: &Typed) -> Option<&Literal> {
    match &typed.expr {
        crate::expr::Expr::Literal { value } => Some(value),
        _ => None,
    }
}

fn joined(all: bool, parts: Vec<Condition>) -> Condition {
    // Chains of the same word are one list, so that they cost no depth.
    let mut flat = Vec::new();
    for part in parts {
        match part {
            Condition::And { all: inner } if all => flat.extend(inner),
            Condition::Or { any: inner } if !all => flat.extend(inner),
            other => flat.push(other),
        }
    }
    if all { Condition::And { all: flat } } else { Condition::Or { any: flat } }
}

fn compare_op(op: &BinaryOperator) -> Option<FigureCompare> {
    Some(match op {
        BinaryOperator::Eq => FigureCompare::Equal,
        BinaryOperator::NotEq => FigureCompare::NotEqual,
        BinaryOperator::Lt => FigureCompare::Less,
        BinaryOperator::LtEq => FigureCompare::LessOrEqual,
        BinaryOperator::Gt => FigureCompare::Greater,
        BinaryOperator::GtEq => FigureCompare::GreaterOrEqual,
        _ => return None,
    })
}

fn limit(clause: &LimitClause, place: Place) -> Result<(Option<u32>, Option<u32>), PlanError> {
    let refused = || PlanError::refused(Construct::Limit, place);
    let count = |ast: &Ast| -> Result<u32, PlanError> {
        let Ast::Value(value) = unwrapped(ast) else { return Err(refused()) };
        match literal(&value.value, false, place_of(ast))? {
            Literal::Int(count) => u32::try_from(count.0).map_err(|_| refused()),
            _ => Err(refused()),
        }
    };
    match clause {
        LimitClause::LimitOffset { limit, offset, limit_by } if limit_by.is_empty() => {
            let offset = offset.as_ref().map(|Offset { value, .. }| count(value)).transpose()?;
            Ok((limit.as_ref().map(count).transpose()?, offset.filter(|offset| *offset > 0)))
        }
        _ => Err(refused()),
    }
}
