//! Arithmetic on aggregates in SELECT, HAVING and ORDER BY, and functions of them: post-processing of released
//! figures. Each leaf is an aggregate, a constant or, outside SELECT, a column of the answer; a column of a row
//! must not get in.

use crate::across_groups::{self, AcrossGroups};
use crate::aggregates::{Aggregate, is_aggregate, of_item};
use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::figure_calls::{as_float, coalesces, function_of, null_if_zero, parts_of};
use crate::lanes::{Lanes, real};
use crate::limits::EXPRESSION_DEPTH_MAX;
use crate::literal::literal;
use crate::scope::{Scope, folded};
use crate::syntax::{place_of, unwrapped};
use crate::typed::Typed;
use cloister_terms::{FigureFunction, FigureOp, Formula, Real, ResultColumn};
use sqlparser::ast::{BinaryOperator, Expr as Ast, Function, UnaryOperator, Value};

/// A figure of the answer before its lanes are known.
#[derive(Debug, Clone)]
pub(crate) enum Figure {
    /// An aggregate.
    Aggregate(Aggregate),
    /// A constant.
    Constant(Real),
    /// Arithmetic.
    Arithmetic(FigureOp, Box<Figure>, Box<Figure>),
    /// A sum over the groups of the answer.
    Across(AcrossGroups),
    /// A function of a figure.
    Called(FigureFunction, Box<Figure>),
    /// A figure, or a constant where it is not defined.
    Coalesced(Box<Figure>, Real),
    /// A column of the answer that was named by its heading.
    Column(Formula),
}

/// Where figures are read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a, 's> {
    /// What aggregates read.
    pub scope: &'a Scope<'s>,
    /// The columns of the answer, which bare names may mean; none in SELECT, which makes them.
    pub columns: &'a [ResultColumn],
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
            Self::Across(across) => across.heading(scope),
            Self::Called(function, of) => {
                let of = of.heading(scope);
                match function {
                    FigureFunction::Round { digits: 0 } => format!("round({of})"),
                    FigureFunction::Round { digits } => format!("round({of}, {digits})"),
                    FigureFunction::Absolute => format!("abs({of})"),
                    FigureFunction::SquareRoot => format!("sqrt({of})"),
                }
            }
            Self::Coalesced(of, otherwise) => {
                format!("coalesce({}, {})", of.heading(scope), otherwise.value())
            }
            Self::Column(_) => "a column of the answer".to_owned(),
        }
    }

    /// The figures it is made of, one level down, from left to right.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Aggregate(_) | Self::Constant(_) | Self::Column(_) => Vec::new(),
            Self::Arithmetic(_, left, right) => vec![&**left, &**right],
            Self::Across(across) => vec![&*across.of],
            Self::Called(_, of) | Self::Coalesced(of, _) => vec![&**of],
        }
    }

    /// Calls `seen` with every aggregate in it.
    pub fn each_aggregate(&self, seen: &mut dyn FnMut(&Aggregate)) {
        let mut waiting = vec![self];
        while let Some(figure) = waiting.pop() {
            if let Self::Aggregate(aggregate) = figure {
                seen(aggregate);
            }
            waiting.extend(figure.parts());
        }
    }

    /// Where the first sum over the groups of the answer in it stands.
    pub fn across(&self) -> Option<Place> {
        let mut waiting = vec![self];
        while let Some(figure) = waiting.pop() {
            if let Self::Across(across) = figure {
                return Some(across.place);
            }
            waiting.extend(figure.parts().into_iter().rev());
        }
        None
    }

    /// Its formula in an answer grouped by `group_by`, adding what lanes it lacks.
    pub fn formula(
        &self,
        lanes: &mut Lanes,
        scope: &Scope<'_>,
        group_by: &[Typed],
    ) -> Result<Formula, PlanError> {
        Ok(match self {
            Self::Aggregate(aggregate) => lanes.formula(aggregate, scope)?,
            Self::Constant(value) => Formula::Constant { value: *value },
            Self::Arithmetic(op, left, right) => {
                let left = left.formula(lanes, scope, group_by)?;
                Formula::arithmetic(*op, left, right.formula(lanes, scope, group_by)?)
            }
            Self::Across(across) => across.formula(lanes, scope, group_by)?,
            Self::Called(function, of) => {
                let of = Box::new(of.formula(lanes, scope, group_by)?);
                Formula::Call { function: *function, of }
            }
            Self::Coalesced(of, otherwise) => {
                let of = of.formula(lanes, scope, group_by)?;
                if is_always_defined(&of) {
                    return Ok(of);
                }
                Formula::Coalesce { of: Box::new(of), otherwise: *otherwise }
            }
            Self::Column(formula) => formula.clone(),
        })
    }
}

/// Whether a figure is defined whatever the noise: counts, sums and what is made of them without a division by
/// another figure. Recursion is bounded by the depth of what was read.
fn is_always_defined(formula: &Formula) -> bool {
    match formula {
        Formula::Total { .. }
        | Formula::Constant { .. }
        | Formula::Distinct { .. }
        | Formula::Across { .. }
        | Formula::Coalesce { .. } => true,
        Formula::Arithmetic { op: FigureOp::Divide, left, right } => {
            matches!(&**right, Formula::Constant { .. }) && is_always_defined(left)
        }
        Formula::Arithmetic { left, right, .. } => {
            is_always_defined(left) && is_always_defined(right)
        }
        Formula::Call { function, of } => {
            *function != FigureFunction::SquareRoot && is_always_defined(of)
        }
        Formula::Key { .. }
        | Formula::Ratio { .. }
        | Formula::Variance { .. }
        | Formula::Pair { .. }
        | Formula::Quantile(_) => false,
    }
}

/// Whether an aggregate stands in an expression, other than in the arguments of one.
pub(crate) fn has_aggregate(ast: &Ast) -> bool {
    any_part(ast, &is_aggregate)
}

/// Whether a part of an expression is so; the arguments of aggregates are of rows, and no parts. Iterative,
/// since chains may be long.
fn any_part(ast: &Ast, is_so: &dyn Fn(&Ast) -> bool) -> bool {
    let mut waiting = vec![ast];
    while let Some(ast) = waiting.pop() {
        let ast = unwrapped(ast);
        if is_so(ast) {
            return true;
        }
        if !is_aggregate(ast) {
            waiting.extend(parts_of(ast));
        }
    }
    false
}

impl<'a> Reading<'a, '_> {
    /// The figure an expression is; `None` when neither an aggregate nor a column of figures is in it.
    pub fn figure(&self, ast: &Ast) -> Result<Option<Figure>, PlanError> {
        if self.has_figure(ast) { self.read(ast, 0).map(Some) } else { Ok(None) }
    }

    /// Whether an aggregate or a column of figures is in an expression.
    pub fn has_figure(&self, ast: &Ast) -> bool {
        let is_column = |part: &Ast| {
            self.column(part).is_some_and(|formula| !matches!(formula, Formula::Key { .. }))
        };
        any_part(ast, &|part| is_aggregate(part) || is_column(part))
    }

    /// The figure an expression is, constants included. Errors when it is none.
    pub fn figure_or_constant(&self, ast: &Ast) -> Result<Figure, PlanError> {
        self.read(ast, 0)
    }

    /// The column of the answer that a bare name is the heading of.
    pub fn column(&self, ast: &Ast) -> Option<&'a Formula> {
        let Ast::Identifier(ident) = ast else { return None };
        let name = folded(ident);
        self.columns.iter().find(|column| column.name == name).map(|column| &column.formula)
    }

    fn read(&self, ast: &Ast, depth: usize) -> Result<Figure, PlanError> {
        let ast = unwrapped(ast);
        let place = place_of(ast);
        if depth >= EXPRESSION_DEPTH_MAX {
            return Err(PlanError::TooDeep { place });
        }
        match self.column(ast) {
            Some(Formula::Key { .. }) => {
                return Err(PlanError::refused(Construct::KeyFigure, place));
            }
            Some(formula) => return Ok(Figure::Column(formula.clone())),
            None => {}
        }
        if let Some((summed, window)) = across_groups::call(ast)? {
            let of = self.read(&summed, depth + 1)?;
            return AcrossGroups::new(self.scope, of, window, place).map(Figure::Across);
        }
        if let Some(aggregate) = of_item(self.scope, ast)? {
            return Ok(Figure::Aggregate(aggregate));
        }
        match ast {
            Ast::Value(value) => constant(ast, &value.value, false),
            Ast::UnaryOp { op: UnaryOperator::Plus, expr } => self.read(expr, depth + 1),
            Ast::UnaryOp { op: UnaryOperator::Minus, expr } => match unwrapped(expr) {
                Ast::Value(value) => constant(ast, &value.value, true),
                inner => {
                    let (zero, inner) =
                        (Figure::Constant(Real::ZERO), self.read(inner, depth + 1)?);
                    Ok(Figure::Arithmetic(FigureOp::Subtract, Box::new(zero), Box::new(inner)))
                }
            },
            Ast::BinaryOp { left, op, right } => {
                let op = figure_op(op).ok_or_else(|| not_a_figure(ast))?;
                let left = self.read(left, depth + 1)?;
                // A division by zero is no figure, with NULLIF or without.
                let divisor = null_if_zero(unwrapped(right)).filter(|_| op == FigureOp::Divide);
                let right = self.read(divisor.unwrap_or(right), depth + 1)?;
                Ok(Figure::Arithmetic(op, Box::new(left), Box::new(right)))
            }
            Ast::Function(function) => self.called(function, ast, depth),
            _ => match as_float(ast) {
                Some(inner) => self.read(inner, depth + 1),
                None => Err(not_a_figure(ast)),
            },
        }
    }

    /// A function of a figure. Errors on every other function.
    fn called(&self, function: &Function, ast: &Ast, depth: usize) -> Result<Figure, PlanError> {
        if let Some((function, of)) = function_of(function)? {
            return Ok(Figure::Called(function, Box::new(self.read(of, depth + 1)?)));
        }
        let Some((of, otherwise)) = coalesces(function)? else { return Err(not_a_figure(ast)) };
        let of = Box::new(self.read(of, depth + 1)?);
        match self.read(otherwise, depth + 1)? {
            Figure::Constant(otherwise) => Ok(Figure::Coalesced(of, otherwise)),
            _ => Err(PlanError::refused(Construct::Figure, place_of(otherwise))),
        }
    }
}

/// The constant that a figure is computed with. Errors on all but numbers.
fn constant(ast: &Ast, value: &Value, negative: bool) -> Result<Figure, PlanError> {
    let place = place_of(ast);
    let number = literal(value, negative, place)?.number().ok_or_else(|| not_a_figure(ast))?;
    Ok(Figure::Constant(real(number, place)?))
}

fn not_a_figure(ast: &Ast) -> PlanError {
    let place = place_of(ast);
    let expression = match ast {
        Ast::Identifier(ident) => ident.value.clone(),
        Ast::CompoundIdentifier(parts) => {
            parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
        }
        Ast::Value(value) => value.value.to_string(),
        _ => return PlanError::refused(Construct::Figure, place),
    };
    PlanError::NotGrouped { expression: excerpt(&expression), place }
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
