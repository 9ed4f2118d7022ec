//! Arithmetic on aggregates in SELECT, HAVING and ORDER BY: post-processing of released figures. Each
//! leaf is an aggregate or a constant; a column of a row must not get in.

use crate::aggregates::{Aggregate, is_aggregate, of_item};
use crate::error::{PlanError, excerpt};
use crate::lanes::{Lanes, real};
use crate::limits::EXPRESSION_DEPTH_MAX;
use crate::literal::literal;
use crate::scope::Scope;
use crate::syntax::{place_of, unwrapped};
use cloister_terms::{FigureOp, Formula, Real};
use sqlparser::ast::{
    BinaryOperator, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
    UnaryOperator, Value,
};

/// A figure of the answer before its lanes are known.
#[derive(Debug, Clone)]
pub(crate) enum Figure {
    /// An aggregate.
    Aggregate(Aggregate),
    /// A constant.
    Constant(Real),
    /// Arithmetic.
    Arithmetic(FigureOp, Box<Figure>, Box<Figure>),
}

/// The figure an expression is; `None` when no aggregate is in it, outside of what is no arithmetic.
pub(crate) fn figure(scope: &Scope<'_>, ast: &Ast) -> Result<Option<Figure>, PlanError> {
    if has_aggregate(ast) { read(scope, ast, 0).map(Some) } else { Ok(None) }
}

/// The figure an expression is, constants included. Errors when it is none.
pub(crate) fn figure_or_constant(scope: &Scope<'_>, ast: &Ast) -> Result<Figure, PlanError> {
    read(scope, ast, 0)
}

impl Figure {
    /// Its heading where the analysis gives none.
    pub fn heading(&self, scope: &Scope<'_>) -> String {
        match self {
            Self::Aggregate(aggregate) => aggregate.heading(scope),
            Self::Constant(value) => value.value().to_string(),
            Self::Arithmetic(op, left, right) => {
                let sign = match op {
                    FigureOp::Add => "+",
                    FigureOp::Subtract => "-",
                    FigureOp::Multiply => "*",
                    FigureOp::Divide => "/",
                };
                let inner = |figure: &Self| match figure {
                    Self::Arithmetic(..) => format!("({})", figure.heading(scope)),
                    _ => figure.heading(scope),
                };
                format!("{} {sign} {}", inner(left), inner(right))
            }
        }
    }

    /// Calls `seen` with every aggregate in it.
    pub fn each_aggregate(&self, seen: &mut dyn FnMut(&Aggregate)) {
        let mut waiting = vec![self];
        while let Some(figure) = waiting.pop() {
            match figure {
                Self::Aggregate(aggregate) => seen(aggregate),
                Self::Constant(_) => {}
                Self::Arithmetic(_, left, right) => waiting.extend([&**left, &**right]),
            }
        }
    }

    /// Its formula, adding what lanes it lacks.
    pub fn formula(&self, lanes: &mut Lanes, scope: &Scope<'_>) -> Result<Formula, PlanError> {
        Ok(match self {
            Self::Aggregate(aggregate) => lanes.formula(aggregate, scope)?,
            Self::Constant(value) => Formula::Constant { value: *value },
            Self::Arithmetic(op, left, right) => {
                let (left, right) = (left.formula(lanes, scope)?, right.formula(lanes, scope)?);
                Formula::arithmetic(*op, left, right)
            }
        })
    }
}

/// Whether an aggregate stands in the arithmetic of an expression. Iterative, since chains may be long.
fn has_aggregate(ast: &Ast) -> bool {
    let mut waiting = vec![ast];
    while let Some(ast) = waiting.pop() {
        match unwrapped(ast) {
            found if is_aggregate(found) => return true,
            Ast::BinaryOp { left, op, right } if figure_op(op).is_some() => {
                waiting.extend([&**left, &**right]);
            }
            Ast::UnaryOp { expr, .. } => waiting.push(expr),
            other => waiting.extend(null_if_zero(other)),
        }
    }
    false
}

fn read(scope: &Scope<'_>, ast: &Ast, depth: usize) -> Result<Figure, PlanError> {
    let ast = unwrapped(ast);
    let place = place_of(ast);
    if depth >= EXPRESSION_DEPTH_MAX {
        return Err(PlanError::TooDeep { place });
    }
    if let Some(aggregate) = of_item(scope, ast)? {
        return Ok(Figure::Aggregate(aggregate));
    }
    let constant = |value: &Value, negative| {
        let number = literal(value, negative, place)?.number();
        let number = number.ok_or_else(|| not_a_figure(ast))?;
        Ok(Figure::Constant(real(number, place)?))
    };
    match ast {
        Ast::Value(value) => constant(&value.value, false),
        Ast::UnaryOp { op: UnaryOperator::Plus, expr } => read(scope, expr, depth + 1),
        Ast::UnaryOp { op: UnaryOperator::Minus, expr } => match unwrapped(expr) {
            Ast::Value(value) => constant(&value.value, true),
            inner => {
                let (zero, inner) = (Figure::Constant(Real::ZERO), read(scope, inner, depth + 1)?);
                Ok(Figure::Arithmetic(FigureOp::Subtract, Box::new(zero), Box::new(inner)))
            }
        },
        Ast::BinaryOp { left, op, right } => {
            let op = figure_op(op).ok_or_else(|| not_a_figure(ast))?;
            let left = read(scope, left, depth + 1)?;
            // A division by zero is no figure, with NULLIF or without.
            let divisor = null_if_zero(unwrapped(right)).filter(|_| op == FigureOp::Divide);
            let right = read(scope, divisor.unwrap_or(right), depth + 1)?;
            Ok(Figure::Arithmetic(op, Box::new(left), Box::new(right)))
        }
        _ => Err(not_a_figure(ast)),
    }
}

fn not_a_figure(ast: &Ast) -> PlanError {
    let expression = match ast {
        Ast::Identifier(ident) => ident.value.clone(),
        _ => "this".to_owned(),
    };
    PlanError::NotGrouped { expression: excerpt(&expression), place: place_of(ast) }
}

fn figure_op(op: &BinaryOperator) -> Option<FigureOp> {
    Some(match op {
        BinaryOperator::Plus => FigureOp::Add,
        BinaryOperator::Minus => FigureOp::Subtract,
        BinaryOperator::Multiply => FigureOp::Multiply,
        BinaryOperator::Divide => FigureOp::Divide,
        _ => return None,
    })
}

/// The expression inside `NULLIF(expression, 0)`.
fn null_if_zero(ast: &Ast) -> Option<&Ast> {
    let Ast::Function(function) = ast else { return None };
    let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let [
        FunctionArg::Unnamed(FunctionArgExpr::Expr(of)),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Value(zero))),
    ] = list.args.as_slice()
    else {
        return None;
    };
    let is_zero = matches!(&zero.value, Value::Number(text, false) if text.parse() == Ok(0.0));
    let is_plain =
        ident.quote_style.is_none() && function.over.is_none() && function.filter.is_none();
    (is_plain && is_zero && ident.value.eq_ignore_ascii_case("nullif")).then_some(of)
}
