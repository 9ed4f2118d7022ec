//! Functions of released figures as they are written: ROUND, ABS, SQRT, COALESCE, and what changes no figure.
//! Reads the parser's tree alone; a function that is not named here must not pass for one of figures.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::Literal;
use crate::functions::{refuse_function, row_function};
use crate::literal::literal;
use crate::scope::folded;
use crate::syntax::{call, place_of, unwrapped};
use crate::text::place;
use cloister_terms::FigureFunction;
use cloister_terms::limits::FORMULA_DIGITS_MAX;
use sqlparser::ast::{
    DataType, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    ObjectNamePart, UnaryOperator, Value,
};

/// The function of a figure that a call is, with the figure; `None` of any other call that may still be one of
/// figures. Errors on wrong arguments, on windows and on what is no function of an analysis at all.
pub(crate) fn function_of(
    function: &Function,
) -> Result<Option<(FigureFunction, &Ast)>, PlanError> {
    let (name, at, args) = arguments(function)?;
    let takes = |wanted| PlanError::Arguments { name: excerpt(&name), wanted, place: at };
    Ok(Some(match (name.as_str(), args.as_slice()) {
        ("round", [of]) => (FigureFunction::Round { digits: 0 }, *of),
        ("round", [of, digits]) => {
            let wrong = || takes("a figure, and digits from -15 to 15 as a constant");
            (FigureFunction::Round { digits: constant_digits(digits).ok_or_else(wrong)? }, *of)
        }
        ("abs", [of]) => (FigureFunction::Absolute, *of),
        ("sqrt", [of]) => (FigureFunction::SquareRoot, *of),
        ("round", _) => return Err(takes("a figure, and perhaps digits")),
        ("abs" | "sqrt", _) => return Err(takes("one figure")),
        _ => return Ok(None),
    }))
}

/// The figure and the constant of `COALESCE(figure, constant)`; `None` of any other call. Errors as
/// [`function_of`].
pub(crate) fn coalesces(function: &Function) -> Result<Option<(&Ast, &Ast)>, PlanError> {
    let (name, at, args) = arguments(function)?;
    match (name.as_str(), args.as_slice()) {
        ("coalesce" | "ifnull" | "nvl", [of, otherwise]) => Ok(Some((*of, *otherwise))),
        ("coalesce" | "ifnull" | "nvl", _) => {
            let wanted = "a figure, and one number for where it is not defined";
            Err(PlanError::Arguments { name: excerpt(&name), wanted, place: at })
        }
        _ => Ok(None),
    }
}

/// The name of a call, its place and its arguments.
fn arguments(function: &Function) -> Result<(String, Place, Vec<&Ast>), PlanError> {
    if function.over.is_some() {
        let at = function.name.0.first().and_then(ObjectNamePart::as_ident);
        let at = at.map(|ident| place(ident.span.start)).unwrap_or_default();
        return Err(PlanError::refused(Construct::Across, at));
    }
    let call = call(function)?;
    let at = place(call.name.span.start);
    if call.name.quote_style.is_some() || row_function(&call.name.value).is_none() {
        return Err(refuse_function(&call.name.value, at));
    }
    let args = call.args.into_iter().map(|arg| match arg {
        FunctionArgExpr::Expr(arg) => Ok(arg),
        _ => Err(PlanError::refused(Construct::Wildcard, at)),
    });
    Ok((folded(call.name), at, args.collect::<Result<_, _>>()?))
}

/// Digits as a constant, written with a minus sign before it or not.
fn constant_digits(ast: &Ast) -> Option<i8> {
    let (value, is_negative) = match unwrapped(ast) {
        Ast::Value(value) => (value, false),
        Ast::UnaryOp { op: UnaryOperator::Minus, expr } => match unwrapped(expr) {
            Ast::Value(value) => (value, true),
            _ => return None,
        },
        _ => return None,
    };
    match literal(&value.value, is_negative, place_of(ast)) {
        Ok(Literal::Int(digits)) => {
            i8::try_from(digits.0).ok().filter(|digits| digits.unsigned_abs() <= FORMULA_DIGITS_MAX)
        }
        _ => None,
    }
}

/// The aggregate that an expression shows rounded, without a sign, or with a constant for what is not defined;
/// the expression itself where it is no such function.
pub(crate) fn shown(ast: &Ast) -> &Ast {
    let mut ast = unwrapped(ast);
    loop {
        let inner = match ast {
            Ast::Function(function) => first_of_shown(function),
            other => as_float(other),
        };
        match inner {
            Some(inner) => ast = unwrapped(inner),
            None => return ast,
        }
    }
}

fn first_of_shown(function: &Function) -> Option<&Ast> {
    let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let is_shown = matches!(
        ident.value.to_ascii_lowercase().as_str(),
        "round" | "abs" | "sqrt" | "coalesce" | "ifnull" | "nvl"
    );
    match list.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(of)))
            if is_shown && ident.quote_style.is_none() =>
        {
            Some(of)
        }
        _ => None,
    }
}

/// What a cast to float64 is of: figures are that already.
pub(crate) fn as_float(ast: &Ast) -> Option<&Ast> {
    let Ast::Cast { kind: _, expr, data_type, array: false, format: None } = ast else {
        return None;
    };
    use DataType::{Dec, Decimal, Double, DoublePrecision, Float, Float8, Float64, Numeric, Real};
    let is_float = matches!(
        data_type,
        Double(_)
            | DoublePrecision
            | Float(_)
            | Float8
            | Float64
            | Real
            | Dec(_)
            | Decimal(_)
            | Numeric(_)
    );
    is_float.then_some(&**expr)
}

/// The expression inside `NULLIF(expression, 0)`.
pub(crate) fn null_if_zero(ast: &Ast) -> Option<&Ast> {
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

/// The parts of an expression in which a figure may stand, one level down: those of arithmetic, and those of
/// what is refused over figures, so that it is refused as that.
pub(crate) fn parts_of(ast: &Ast) -> Vec<&Ast> {
    match ast {
        Ast::BinaryOp { left, right, .. } => vec![&**left, &**right],
        Ast::UnaryOp { expr, .. }
        | Ast::Cast { expr, .. }
        | Ast::Floor { expr, .. }
        | Ast::Ceil { expr, .. }
        | Ast::IsNull(expr)
        | Ast::IsNotNull(expr)
        | Ast::IsTrue(expr)
        | Ast::IsFalse(expr) => vec![&**expr],
        Ast::Between { expr, low, high, .. } => vec![&**expr, &**low, &**high],
        Ast::InList { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
        Ast::Case { operand, conditions, else_result, .. } => {
            let ends = operand.as_deref().into_iter().chain(else_result.as_deref());
            let branches = conditions.iter().flat_map(|branch| [&branch.condition, &branch.result]);
            ends.chain(branches).collect()
        }
        Ast::Function(function) => {
            let FunctionArguments::List(list) = &function.args else { return Vec::new() };
            let args = list.args.iter().filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Some(arg),
                _ => None,
            });
            args.collect()
        }
        _ => Vec::new(),
    }
}
