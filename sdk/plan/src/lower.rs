//! From the parser's expressions to the plan's, by an allow-list: what is not named here is refused.
//! Every lowered expression is typed, total and free of identifiers.

use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::expr::{ArithmeticOp, Branch, CompareOp, Expr, Literal};
use crate::function::Function as Called;
use crate::functions::{RowFunction, aggregate, refuse_function, row_function};
use crate::limits::{EXPRESSION_DEPTH_MAX, LIST_TERMS_MAX};
use crate::literal::{literal, timestamp};
use crate::lower_calls::{Called as By, Lowered, called, constant, modulo, row_call};
use crate::lower_times::shift;
use crate::scope::{Scope, folded};
use crate::syntax::{call, place_of, too_long, unwrapped};
use crate::text::place;
use crate::typed::{Typed, unify, unify_pair, unify_results};
use cloister_terms::ColumnType;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr as Ast, Function, FunctionArgExpr, UnaryOperator, Value,
};

/// Lowers a row-wise expression. Errors on everything that is not on the list.
pub(crate) fn lower(scope: &Scope<'_>, ast: &Ast) -> Result<Typed, PlanError> {
    Lowering { scope }.at(ast, 0)
}

/// Lowers a condition. Errors when it is not true or false.
pub(crate) fn condition(scope: &Scope<'_>, ast: &Ast) -> Result<Expr, PlanError> {
    lower(scope, ast)?.boolean()
}

/// Lowers the parts of one expression.
pub(crate) struct Lowering<'s, 'a> {
    scope: &'s Scope<'a>,
}

impl Lowering<'_, '_> {
    fn at(&self, ast: &Ast, depth: usize) -> Result<Typed, PlanError> {
        let ast = unwrapped(ast);
        if depth >= EXPRESSION_DEPTH_MAX {
            return Err(PlanError::TooDeep { place: place_of(ast) });
        }
        let refused = |construct| Err(PlanError::refused(construct, place_of(ast)));
        let (expr, column_type) = match ast {
            Ast::Identifier(_) | Ast::CompoundIdentifier(_) => return self.column(ast),
            Ast::Value(value) => {
                let value = literal(&value.value, false, place_of(ast))?;
                let column_type = value.column_type();
                (Expr::literal(value), column_type)
            }
            Ast::TypedString(typed) => {
                (Expr::literal(timestamp(typed, place_of(ast))?), ColumnType::Timestamp)
            }
            Ast::UnaryOp { op, expr } => self.unary(*op, expr, depth)?,
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right, depth)?,
            Ast::IsNull(inner) => (self.is_null(inner, depth)?, ColumnType::Bool),
            Ast::IsNotNull(inner) => (negated(self.is_null(inner, depth)?), ColumnType::Bool),
            Ast::InList { expr, list, negated } => {
                (self.in_list(expr, list, *negated, depth)?, ColumnType::Bool)
            }
            Ast::Between { expr, negated, low, high } => {
                (self.between([expr, low, high], *negated, depth)?, ColumnType::Bool)
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), depth)?
            }
            Ast::Function(function) => self.function(function, depth)?,
            Ast::Cast { expr, data_type, array: false, format: None, .. } => {
                self.cast(expr, data_type, depth)?
            }
            Ast::Like { .. } | Ast::ILike { .. } => (self.like(ast, depth)?, ColumnType::Bool),
            Ast::IsTrue(_)
            | Ast::IsNotTrue(_)
            | Ast::IsFalse(_)
            | Ast::IsNotFalse(_)
            | Ast::IsUnknown(_)
            | Ast::IsNotUnknown(_)
            | Ast::IsDistinctFrom(..)
            | Ast::IsNotDistinctFrom(..) => self.test(ast, depth)?,
            Ast::Extract { .. }
            | Ast::Ceil { .. }
            | Ast::Floor { .. }
            | Ast::Position { .. }
            | Ast::Substring { .. }
            | Ast::Trim { .. } => self.worded(ast, depth)?,
            Ast::Wildcard(_) | Ast::QualifiedWildcard(..) => return refused(Construct::Wildcard),
            Ast::Subquery(_) | Ast::Exists { .. } | Ast::InSubquery { .. } => {
                return refused(Construct::Subquery);
            }
            Ast::Cast { .. } | Ast::Convert { .. } => return refused(Construct::Cast),
            Ast::SimilarTo { .. } | Ast::RLike { .. } => return refused(Construct::Like),
            Ast::IsNormalized { .. } => return refused(Construct::IsForm),
            Ast::Interval(_) => return refused(Construct::Interval),
            Ast::GroupingSets(_) | Ast::Cube(_) | Ast::Rollup(_) => {
                return refused(Construct::GroupingSets);
            }
            Ast::AnyOp { .. } | Ast::AllOp { .. } | Ast::AtTimeZone { .. } => {
                return refused(Construct::Operator);
            }
            _ => return refused(Construct::Expression),
        };
        Ok(Typed { expr, column_type, place: place_of(ast) })
    }

    /// A part one level deeper.
    pub(crate) fn boxed(&self, ast: &Ast, depth: usize) -> Result<Typed, PlanError> {
        self.at(ast, depth + 1)
    }

    fn column(&self, ast: &Ast) -> Result<Typed, PlanError> {
        let Some(column) = self.scope.named_column(ast) else {
            return Err(PlanError::refused(Construct::Expression, place_of(ast)));
        };
        let column = column.map_err(|error| volatile_name(ast, error))?;
        let expr = Expr::Column { name: column.name.clone() };
        Ok(Typed { expr, column_type: column.column_type, place: place_of(ast) })
    }

    fn unary(
        &self,
        op: UnaryOperator,
        inner: &Ast,
        depth: usize,
    ) -> Result<(Expr, ColumnType), PlanError> {
        match (op, unwrapped(inner)) {
            (UnaryOperator::Not, inner) => {
                Ok((negated(self.boxed(inner, depth)?.boolean()?), ColumnType::Bool))
            }
            (UnaryOperator::Minus | UnaryOperator::Plus, Ast::Value(value)) => {
                let is_minus = op == UnaryOperator::Minus;
                let value = literal(&value.value, is_minus, place_of(inner))?;
                let column_type = value.column_type();
                Ok((Expr::literal(value), column_type))
            }
            (UnaryOperator::Minus, inner) => {
                let of = self.boxed(inner, depth)?;
                if of.column_type == ColumnType::Int64 {
                    let of = vec![Expr::literal(Literal::int(0)), of.expr];
                    return Ok(called(Called::Subtract, of, ColumnType::Int64));
                }
                Ok((Expr::Negate { of: Box::new(of.float()?) }, ColumnType::Float64))
            }
            _ => Err(PlanError::refused(Construct::Operator, place_of(inner))),
        }
    }

    fn binary(
        &self,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
        depth: usize,
    ) -> Result<(Expr, ColumnType), PlanError> {
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
            return Ok((self.chain(left, op, right, depth)?, ColumnType::Bool));
        }
        let compare = match op {
            BinaryOperator::Eq => Some(CompareOp::Equal),
            BinaryOperator::NotEq => Some(CompareOp::NotEqual),
            BinaryOperator::Lt => Some(CompareOp::Less),
            BinaryOperator::LtEq => Some(CompareOp::LessOrEqual),
            BinaryOperator::Gt => Some(CompareOp::Greater),
            BinaryOperator::GtEq => Some(CompareOp::GreaterOrEqual),
            _ => None,
        };
        if let Some(op) = compare {
            return self.compare(op, left, right, depth);
        }
        match op {
            BinaryOperator::Plus => self.arithmetic(ArithmeticOp::Add, left, right, depth),
            BinaryOperator::Minus => self.arithmetic(ArithmeticOp::Subtract, left, right, depth),
            BinaryOperator::Multiply => self.arithmetic(ArithmeticOp::Multiply, left, right, depth),
            BinaryOperator::Divide => self.arithmetic(ArithmeticOp::Divide, left, right, depth),
            BinaryOperator::Modulo => modulo(self.boxed(left, depth)?, self.boxed(right, depth)?),
            BinaryOperator::StringConcat => {
                let parts = self.terms(left, op, right, depth)?;
                let parts = parts.into_iter().map(|part| part.exactly(ColumnType::Text));
                Ok(called(Called::Join, parts.collect::<Result<_, _>>()?, ColumnType::Text))
            }
            _ => Err(PlanError::refused(Construct::Operator, place_of(left))),
        }
    }

    pub(crate) fn compare(&self, op: CompareOp, left: &Ast, right: &Ast, depth: usize) -> Lowered {
        let sides = (self.boxed(left, depth)?, self.boxed(right, depth)?);
        let (left, right, _) = unify_pair(sides.0, sides.1)?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok((Expr::Compare { op, left, right }, ColumnType::Bool))
    }

    /// Whole numbers stay whole but in a quotient; a time takes an interval.
    fn arithmetic(&self, op: ArithmeticOp, left: &Ast, right: &Ast, depth: usize) -> Lowered {
        let is_minus = op == ArithmeticOp::Subtract;
        let time = match (unwrapped(left), unwrapped(right), op) {
            (Ast::Interval(_), Ast::Interval(_), _) => None,
            (time, Ast::Interval(interval), ArithmeticOp::Add | ArithmeticOp::Subtract)
            | (Ast::Interval(interval), time, ArithmeticOp::Add) => Some((time, interval)),
            _ => None,
        };
        if let Some((time, interval)) = time {
            let time = self.boxed(time, depth)?;
            let function = shift(interval, is_minus, time.place)?;
            let of = vec![time.exactly(ColumnType::Timestamp)?];
            return Ok(called(function, of, ColumnType::Timestamp));
        }
        let (left, right) = (self.boxed(left, depth)?, self.boxed(right, depth)?);
        let function = match op {
            ArithmeticOp::Add => Some(Called::Add),
            ArithmeticOp::Subtract => Some(Called::Subtract),
            ArithmeticOp::Multiply => Some(Called::Multiply),
            ArithmeticOp::Divide => None,
        };
        match (left.column_type, right.column_type, function) {
            (ColumnType::Int64, ColumnType::Int64, Some(function)) => {
                Ok(called(function, vec![left.expr, right.expr], ColumnType::Int64))
            }
            (ColumnType::Timestamp, ColumnType::Timestamp, _) if is_minus => {
                Err(PlanError::refused(Construct::TimeDifference, left.place))
            }
            (ColumnType::Timestamp, _, _) => {
                Err(left.wrong("a number", "write time + INTERVAL '1 day'"))
            }
            _ => {
                let (left, right) = (Box::new(left.float()?), Box::new(right.float()?));
                Ok((Expr::Arithmetic { op, left, right }, ColumnType::Float64))
            }
        }
    }

    /// `a AND b AND c` as one list: chains are long in real filters, and lists cost no depth.
    fn chain(
        &self,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
        depth: usize,
    ) -> Result<Expr, PlanError> {
        let terms = self.terms(left, op, right, depth)?;
        let parts = terms.into_iter().map(Typed::boolean).collect::<Result<Vec<_>, _>>()?;
        Ok(match op {
            BinaryOperator::And => Expr::And { all: parts },
            _ => Expr::Or { any: parts },
        })
    }

    /// The operands of a chain of one operator, in order.
    fn terms(
        &self,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
        depth: usize,
    ) -> Result<Vec<Typed>, PlanError> {
        let mut terms = vec![right];
        let mut rest = left;
        while let Ast::BinaryOp { left, op: inner, right } = rest
            && inner == op
        {
            terms.push(right);
            rest = left;
        }
        terms.push(rest);
        terms.into_iter().rev().map(|term| self.boxed(term, depth)).collect()
    }

    fn is_null(&self, inner: &Ast, depth: usize) -> Result<Expr, PlanError> {
        if let Some(missing) = self.scope.unit_is_null(inner) {
            return Ok(missing);
        }
        Ok(Expr::IsNull { of: Box::new(self.boxed(inner, depth)?.expr) })
    }

    fn in_list(
        &self,
        of: &Ast,
        list: &[Ast],
        is_negated: bool,
        depth: usize,
    ) -> Result<Expr, PlanError> {
        let of = self.boxed(of, depth)?;
        if list.len() > LIST_TERMS_MAX {
            return Err(too_long(of.place));
        }
        let mut values = vec![of];
        for element in list {
            let element = self.boxed(element, depth)?;
            if !matches!(element.expr, Expr::Literal { .. }) {
                return Err(PlanError::refused(Construct::ListElement, element.place));
            }
            values.push(element);
        }
        let (mut values, _) = unify(values)?;
        let list = values.split_off(1).into_iter().map(constant);
        let list = list.collect::<Option<Vec<Literal>>>();
        match (values.pop(), list) {
            (Some(of), Some(list)) => {
                let expr = Expr::InList { of: Box::new(of), list };
                Ok(if is_negated { negated(expr) } else { expr })
            }
            _ => Err(PlanError::refused(Construct::ListElement, Place::default())),
        }
    }

    fn between(&self, parts: [&Ast; 3], is_negated: bool, depth: usize) -> Result<Expr, PlanError> {
        let lowered = parts.map(|part| self.boxed(part, depth));
        let values = lowered.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (values, _) = unify(values)?;
        let [of, low, high] = <[Expr; 3]>::try_from(values)
            .map_err(|_| PlanError::refused(Construct::Argument, Place::default()))?
            .map(Box::new);
        let expr = Expr::Between { of, low, high };
        Ok(if is_negated { negated(expr) } else { expr })
    }

    fn case(
        &self,
        operand: Option<&Ast>,
        conditions: &[CaseWhen],
        otherwise: Option<&Ast>,
        depth: usize,
    ) -> Result<(Expr, ColumnType), PlanError> {
        if let Some(over) = conditions.get(LIST_TERMS_MAX) {
            return Err(too_long(place_of(&over.condition)));
        }
        let (operand, whens) = self.whens(operand, conditions, depth)?;
        let mut results = Vec::new();
        for result in conditions.iter().map(|branch| &branch.result).chain(otherwise) {
            results.push(self.result(result, depth)?);
        }
        let (thens, column_type) = unify_results(results)?;
        let mut thens = thens.into_iter();
        let branches = whens
            .into_iter()
            .zip(thens.by_ref())
            .map(|(when, then)| Branch { when, then })
            .collect();
        // ELSE NULL says what leaving it out says, so that both are one question.
        let otherwise = thens.next().filter(|expr| !matches!(expr, Expr::Null { .. }));
        let otherwise = otherwise.map(Box::new);
        Ok((Expr::Case { operand, branches, otherwise }, column_type))
    }

    /// Conditions of a searched CASE, or the operand of a simple one with the values compared.
    fn whens(
        &self,
        operand: Option<&Ast>,
        conditions: &[CaseWhen],
        depth: usize,
    ) -> Result<(Option<Box<Expr>>, Vec<Expr>), PlanError> {
        let conditions = conditions.iter().map(|branch| self.boxed(&branch.condition, depth));
        let Some(operand) = operand else {
            let whens = conditions.map(|when| when?.boolean()).collect::<Result<_, _>>()?;
            return Ok((None, whens));
        };
        let mut values = vec![self.boxed(operand, depth)?];
        for value in conditions {
            values.push(value?);
        }
        let (mut values, _) = unify(values)?;
        let whens = values.split_off(1);
        Ok((values.pop().map(Box::new), whens))
    }

    /// A result of CASE; the NULL there has no type of its own.
    pub(crate) fn result(&self, ast: &Ast, depth: usize) -> Result<Option<Typed>, PlanError> {
        match unwrapped(ast) {
            Ast::Value(value) if value.value == Value::Null => Ok(None),
            other => self.boxed(other, depth).map(Some),
        }
    }

    fn function(&self, function: &Function, depth: usize) -> Result<(Expr, ColumnType), PlanError> {
        if let Some(Typed { expr, column_type, .. }) = self.scope.call(function)? {
            return Ok((expr, column_type));
        }
        let call = call(function)?;
        let at = place(call.name.span.start);
        let name = folded(call.name);
        if call.name.quote_style.is_none() && aggregate(&name).is_some() {
            return Err(PlanError::refused(Construct::NestedAggregate, at));
        }
        let known = row_function(&name).filter(|_| call.name.quote_style.is_none());
        let function: RowFunction = known.ok_or_else(|| refuse_function(&call.name.value, at))?;
        if call.distinct {
            return Err(PlanError::refused(Construct::AggregateDistinct, at));
        }
        let mut args = Vec::new();
        for arg in call.args {
            let FunctionArgExpr::Expr(arg) = arg else {
                return Err(PlanError::refused(Construct::Wildcard, at));
            };
            args.push(self.boxed(arg, depth)?);
        }
        row_call(function, args, By { name: &name, place: at })
    }
}

pub(crate) fn negated(expr: Expr) -> Expr {
    Expr::Not { of: Box::new(expr) }
}

/// `current_date` and its kin are written without parentheses and would read as unknown columns.
fn volatile_name(ast: &Ast, error: PlanError) -> PlanError {
    match (ast, &error) {
        (Ast::Identifier(ident), PlanError::NoColumn { .. }) if ident.quote_style.is_none() => {
            match refuse_function(&ident.value, place_of(ast)) {
                volatile @ PlanError::Volatile { .. } => volatile,
                _ => error,
            }
        }
        _ => error,
    }
}
