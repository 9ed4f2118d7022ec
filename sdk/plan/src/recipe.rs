//! HAVING, ORDER BY and LIMIT as a recipe over noised figures and keys. They cost nothing but the figures they
//! read and never reach a node's rows: a condition on rows must stand in WHERE.

use crate::clauses::Clauses;
use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::expr::Literal;
use crate::figures::Reading;
use crate::lanes::Lanes;
use crate::limits::{EXPRESSION_DEPTH_MAX, LIST_TERMS_MAX};
use crate::literal::{literal, time_in};
use crate::lower::lower;
use crate::scope::Scope;
use crate::syntax::{place_of, too_long, unwrapped};
use crate::typed::Typed;
use cloister_terms::{
    ColumnType, Condition, FigureCompare, Formula, KeyValue, Recipe, ResultColumn, SortKey,
};
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
            order.push(named.sort_key(key, clauses.having.is_some(), lanes)?);
        }
    }
    let (limit, offset) = match clauses.limit {
        Some(clause) => limit(clause, clauses.place)?,
        None => (None, None),
    };
    Ok(Recipe { having, order, limit, offset })
}

/// What a condition compares: its left side, made once however often it is read.
enum Compared {
    /// A key of the answer, by its dimension.
    Key(u32),
    Figure(Formula),
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
        let turned = |op: FigureCompare, turn: bool| if turn { op.negated() } else { op };
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
                let op = turned(compare_op(op).ok_or_else(refused)?, negated);
                // A key may stand on either side.
                if self.key(left).is_none() && self.key(right).is_some() {
                    let of = self.compared(right, lanes)?;
                    return self.against(op.swapped(), &of, left, lanes);
                }
                let of = self.compared(left, lanes)?;
                self.against(op, &of, right, lanes)
            }
            Ast::Between { expr, negated: not, low, high } => {
                let turn = *not ^ negated;
                let of = self.compared(expr, lanes)?;
                let ends =
                    [(FigureCompare::GreaterOrEqual, low), (FigureCompare::LessOrEqual, high)];
                let sides = ends.map(|(op, end)| self.against(turned(op, turn), &of, end, lanes));
                Ok(joined(!turn, sides.into_iter().collect::<Result<_, _>>()?))
            }
            Ast::InList { expr, list, negated: not } => {
                if list.len() > LIST_TERMS_MAX {
                    return Err(too_long(place));
                }
                let turn = *not ^ negated;
                let (of, op) = (self.compared(expr, lanes)?, turned(FigureCompare::Equal, turn));
                let each = list.iter().map(|value| self.against(op, &of, value, lanes));
                Ok(joined(turn, each.collect::<Result<_, _>>()?))
            }
            Ast::IsNull(of) => self.defined(of, negated, lanes),
            Ast::IsNotNull(of) => self.defined(of, !negated, lanes),
            other => self.truth(other, negated),
        }
    }

    /// A comparison with what stands on its right side.
    fn against(
        &self,
        op: FigureCompare,
        of: &Compared,
        other: &Ast,
        lanes: &mut Lanes,
    ) -> Result<Condition, PlanError> {
        Ok(match of {
            Compared::Key(dimension) => {
                let (dimension, value) = (*dimension, self.key_value(*dimension, other)?);
                Condition::Key { op, dimension, value }
            }
            Compared::Figure(left) => {
                Condition::Compare { op, left: left.clone(), right: self.figure(other, lanes)? }
            }
        })
    }

    fn compared(&self, ast: &Ast, lanes: &mut Lanes) -> Result<Compared, PlanError> {
        match self.key(ast) {
            Some(dimension) => Ok(Compared::Key(dimension)),
            None => self.figure(ast, lanes).map(Compared::Figure),
        }
    }

    /// `IS NOT NULL`, or its opposite. A key is on no row NULL.
    fn defined(&self, ast: &Ast, defined: bool, lanes: &mut Lanes) -> Result<Condition, PlanError> {
        Ok(match self.compared(ast, lanes)? {
            Compared::Key(_) => joined(defined, Vec::new()),
            Compared::Figure(of) => Condition::Defined { of, defined },
        })
    }

    /// A key that is a truth value by itself. Errors on everything else.
    fn truth(&self, ast: &Ast, negated: bool) -> Result<Condition, PlanError> {
        let refused = || PlanError::refused(Construct::Having, place_of(ast));
        let dimension = self.key(ast).ok_or_else(refused)?;
        if self.key_type(dimension) != Some(ColumnType::Bool) {
            return Err(refused());
        }
        let (op, value) = (FigureCompare::Equal, KeyValue::Bool(!negated));
        Ok(Condition::Key { op, dimension, value })
    }

    /// The key of the answer that an expression is, by its heading or as GROUP BY has it.
    fn key(&self, ast: &Ast) -> Option<u32> {
        let ast = unwrapped(ast);
        match self.reading().column(ast) {
            Some(Formula::Key { dimension }) => return Some(*dimension),
            Some(_) => return None,
            None => {}
        }
        let key = lower(self.scope, ast).ok()?;
        if constant(&key).is_some() { None } else { self.dimension(&key) }
    }

    fn dimension(&self, key: &Typed) -> Option<u32> {
        let dimension = self.group_by.iter().position(|other| other.expr == key.expr)?;
        u32::try_from(dimension).ok()
    }

    fn key_type(&self, dimension: u32) -> Option<ColumnType> {
        self.group_by.get(dimension as usize).map(|key| key.column_type)
    }

    /// The constant that a key is compared with, of the key's own type. Errors on everything else.
    fn key_value(&self, dimension: u32, ast: &Ast) -> Result<KeyValue, PlanError> {
        let place = place_of(ast);
        let refused = || PlanError::refused(Construct::KeyFigure, place);
        if self.reading().has_figure(ast) || self.key(ast).is_some() {
            return Err(refused());
        }
        let typed = lower(self.scope, ast)?;
        let value = constant(&typed).ok_or_else(refused)?;
        let wanted = self.key_type(dimension).ok_or_else(refused)?;
        let read = match (wanted, value) {
            (ColumnType::Timestamp, Literal::Text(text)) => time_in(text, place)?.key_value(),
            // 3.0 is the whole number 3; a conversion saturates, and what is beyond is no key.
            (ColumnType::Int64, Literal::Float(float)) if float.value().fract() == 0.0 => {
                Some(KeyValue::Int(float.value() as i64))
            }
            _ => value.key_value().filter(|value| value.column_type() == wanted),
        };
        read.ok_or_else(|| {
            typed.wrong("a value of the key's own type", "compare the key with its own values")
        })
    }

    /// A figure of HAVING: a heading, an aggregate, a constant, or what is computed from them.
    fn figure(&self, ast: &Ast, lanes: &mut Lanes) -> Result<Formula, PlanError> {
        let figure = self.reading().figure_or_constant(ast).map_err(|error| match error {
            // Beside figures that would be a row's value; here, rows are not even there.
            PlanError::NotGrouped { place, .. } => PlanError::refused(Construct::Having, place),
            other => other,
        })?;
        if let Some(place) = figure.across() {
            return Err(PlanError::refused(Construct::AcrossHaving, place));
        }
        figure.formula(lanes, self.scope, self.group_by)
    }

    fn sort_key(
        &self,
        key: &OrderByExpr,
        is_chosen: bool,
        lanes: &mut Lanes,
    ) -> Result<SortKey, PlanError> {
        let OrderByExpr { expr, options: OrderByOptions { asc, nulls_first }, with_fill } = key;
        let ast = unwrapped(expr);
        let place = place_of(ast);
        if *nulls_first == Some(true) || with_fill.is_some() {
            return Err(PlanError::refused(Construct::OrderBy, place));
        }
        let descending = *asc == Some(false);
        let reading = self.reading();
        let formula = match reading.column(ast) {
            Some(formula) => formula.clone(),
            None => match reading.figure(ast)? {
                Some(figure) if is_chosen && figure.across().is_some() => {
                    return Err(PlanError::refused(Construct::AcrossHaving, place));
                }
                Some(figure) => figure.formula(lanes, self.scope, self.group_by)?,
                None => self.key_or_position(ast, place)?,
            },
        };
        Ok(SortKey { formula, descending })
    }

    fn reading(&self) -> Reading<'_, '_> {
        Reading { scope: self.scope, columns: self.columns }
    }

    fn key_or_position(&self, ast: &Ast, place: Place) -> Result<Formula, PlanError> {
        let key = lower(self.scope, ast)?;
        if let Some(Literal::Int(position)) = constant(&key) {
            let index = usize::try_from(position.0).ok().and_then(|at| at.checked_sub(1));
            let column = index.and_then(|index| self.columns.get(index));
            let column = column.ok_or(PlanError::refused(Construct::OrderByPlace, place))?;
            return Ok(column.formula.clone());
        }
        let dimension =
            self.dimension(&key).ok_or(PlanError::refused(Construct::OrderBy, place))?;
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
