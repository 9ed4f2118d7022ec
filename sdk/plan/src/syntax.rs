//! Reading the parser's tree without lowering it: places, parentheses, calls. Whatever a call may
//! carry besides plain arguments must be refused here.

use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::functions::refuse_function;
use crate::limits::LIST_TERMS_MAX;
use crate::text::place;
use sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectNamePart, OrderByExpr, WildcardAdditionalOptions,
};

/// Arguments of a call, all of them plain expressions.
pub(crate) struct Call<'a> {
    pub name: &'a Ident,
    pub args: Vec<&'a FunctionArgExpr>,
    pub distinct: bool,
}

/// The expression inside any parentheses.
pub(crate) fn unwrapped(mut ast: &Ast) -> &Ast {
    while let Ast::Nested(inner) = ast {
        ast = inner;
    }
    ast
}

/// The one argument of a call such as `SUM(spend)`: a heading `spend` over it hides nothing.
pub(crate) fn argument(ast: &Ast) -> Option<&Ast> {
    let Ast::Function(Function { args: FunctionArguments::List(list), .. }) = unwrapped(ast) else {
        return None;
    };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] => Some(unwrapped(arg)),
        _ => None,
    }
}

/// Where an expression stands: the place of its leftmost name or constant. Iterative, since chains
/// of operators may be long.
pub(crate) fn place_of(mut ast: &Ast) -> Place {
    loop {
        ast = match ast {
            Ast::Identifier(ident) => return place(ident.span.start),
            Ast::CompoundIdentifier(parts) => {
                return parts.first().map(|part| place(part.span.start)).unwrap_or_default();
            }
            Ast::Value(value) => return place(value.span.start),
            Ast::TypedString(typed) => return place(typed.value.span.start),
            Ast::Case { case_token, .. } => return place(case_token.0.span.start),
            Ast::Function(function) => {
                let Some(ObjectNamePart::Identifier(ident)) = function.name.0.first() else {
                    return Place::default();
                };
                return place(ident.span.start);
            }
            Ast::BinaryOp { left: inner, .. }
            | Ast::Nested(inner)
            | Ast::UnaryOp { expr: inner, .. }
            | Ast::IsNull(inner)
            | Ast::IsNotNull(inner)
            | Ast::InList { expr: inner, .. }
            | Ast::Between { expr: inner, .. }
            | Ast::Cast { expr: inner, .. }
            | Ast::Like { expr: inner, .. }
            | Ast::ILike { expr: inner, .. }
            | Ast::SimilarTo { expr: inner, .. }
            | Ast::RLike { expr: inner, .. }
            | Ast::Collate { expr: inner, .. }
            | Ast::AtTimeZone { timestamp: inner, .. }
            | Ast::AnyOp { left: inner, .. }
            | Ast::AllOp { left: inner, .. }
            | Ast::InSubquery { expr: inner, .. }
            | Ast::InUnnest { expr: inner, .. }
            | Ast::IsNormalized { expr: inner, .. }
            | Ast::Convert { expr: inner, .. }
            | Ast::Overlay { expr: inner, .. }
            | Ast::IsTrue(inner)
            | Ast::IsNotTrue(inner)
            | Ast::IsFalse(inner)
            | Ast::IsNotFalse(inner)
            | Ast::IsUnknown(inner)
            | Ast::IsNotUnknown(inner)
            | Ast::IsDistinctFrom(inner, _)
            | Ast::IsNotDistinctFrom(inner, _)
            | Ast::Extract { expr: inner, .. }
            | Ast::Ceil { expr: inner, .. }
            | Ast::Floor { expr: inner, .. }
            | Ast::Position { expr: inner, .. }
            | Ast::Substring { expr: inner, .. }
            | Ast::Trim { expr: inner, .. } => inner,
            Ast::Wildcard(token) | Ast::QualifiedWildcard(_, token) => {
                return place(token.0.span.start);
            }
            Ast::Interval(interval) => &interval.value,
            Ast::Tuple(parts) => match parts.first() {
                Some(first) => first,
                None => return Place::default(),
            },
            _ => return Place::default(),
        };
    }
}

/// Where `*` stands; `otherwise` where the parser does not say.
pub(crate) fn place_of_wildcard(options: &WildcardAdditionalOptions, otherwise: Place) -> Place {
    let at = place(options.wildcard_token.0.span.start);
    if at.line > 0 { at } else { otherwise }
}

/// The call of an aggregate, with what aggregates alone may have.
pub(crate) struct AggregateCall<'a> {
    pub call: Call<'a>,
    /// `FILTER (WHERE ...)`.
    pub filter: Option<&'a Ast>,
    /// `WITHIN GROUP (ORDER BY ...)`.
    pub within_group: &'a [OrderByExpr],
}

/// The call of an aggregate. Errors as [`call`], but for filters and WITHIN GROUP.
pub(crate) fn aggregate_call(function: &Function) -> Result<AggregateCall<'_>, PlanError> {
    let call = plain_call(function)?;
    let filter = function.filter.as_deref();
    Ok(AggregateCall { call, filter, within_group: &function.within_group })
}

/// The call a function expression is. Errors on windows, filters, named arguments and other extras.
pub(crate) fn call(function: &Function) -> Result<Call<'_>, PlanError> {
    let plain = plain_call(function)?;
    let at = place(plain.name.span.start);
    if function.filter.is_some() {
        return Err(PlanError::refused(Construct::Filter, at));
    }
    if !function.within_group.is_empty() {
        return Err(PlanError::refused(Construct::Argument, at));
    }
    Ok(plain)
}

/// The call but for its filter and WITHIN GROUP, which the caller must refuse or read.
fn plain_call(function: &Function) -> Result<Call<'_>, PlanError> {
    let Function {
        name,
        uses_odbc_syntax,
        parameters,
        args,
        filter: _,
        null_treatment,
        over,
        within_group: _,
    } = function;
    let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else {
        return Err(PlanError::refused(Construct::Schema, Place::default()));
    };
    let at = place(name.span.start);
    let refused = |construct| Err(PlanError::refused(construct, at));
    if over.is_some() {
        return refused(Construct::Window);
    }
    let FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) = args
    else {
        return Err(refuse_function(&name.value, at));
    };
    let has_extras = *uses_odbc_syntax
        || !matches!(parameters, FunctionArguments::None)
        || null_treatment.is_some()
        || !clauses.is_empty();
    if has_extras {
        return refused(Construct::Argument);
    }
    if args.len() > LIST_TERMS_MAX {
        return Err(too_long(at));
    }
    let mut plain = Vec::with_capacity(args.len());
    for arg in args {
        match arg {
            FunctionArg::Unnamed(arg) => plain.push(arg),
            _ => return refused(Construct::Argument),
        }
    }
    // ALL is the default and means nothing; only DISTINCT does.
    let distinct =
        duplicate_treatment.is_some_and(|treatment| treatment == DuplicateTreatment::Distinct);
    Ok(Call { name, args: plain, distinct })
}

/// A list of more than [`LIST_TERMS_MAX`] terms.
pub(crate) fn too_long(place: Place) -> PlanError {
    PlanError::TooMany { what: "terms in a list", max: LIST_TERMS_MAX, place }
}
