//! Forms of SQL with words of their own between their parts: `IS TRUE`, `LIKE`, `CAST`, `EXTRACT`,
//! `SUBSTRING ... FROM`, `TRIM`. Each becomes what the same thing written as a call would; none may be
//! read otherwise than a reader of SQL reads it.

use crate::construct::Construct;
use crate::error::PlanError;
use crate::expr::{CompareOp, Expr, Literal};
use crate::function::{Function as Called, TrimSide};
use crate::lower::{Lowering, negated};
use crate::lower_calls::{
    Called as By, Lowered, called, cast, cast_null, constant, like, substring, trim, whole,
};
use crate::lower_times::date_field;
use crate::syntax::place_of;
use crate::typed::Typed;
use cloister_terms::ColumnType;
use sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DataType, DateTimeField, Expr as Ast, TrimWhereField,
    UnaryOperator, Value, ValueWithSpan,
};

impl Lowering<'_, '_> {
    /// `IS TRUE`, `IS DISTINCT FROM` and their kin.
    pub(crate) fn test(&self, ast: &Ast, depth: usize) -> Lowered {
        match ast {
            Ast::IsTrue(inner) => self.is(inner, CompareOp::NotDistinct, true, depth),
            Ast::IsNotTrue(inner) => self.is(inner, CompareOp::Distinct, true, depth),
            Ast::IsFalse(inner) => self.is(inner, CompareOp::NotDistinct, false, depth),
            Ast::IsNotFalse(inner) => self.is(inner, CompareOp::Distinct, false, depth),
            Ast::IsUnknown(inner) => Ok((self.is_unknown(inner, depth)?, ColumnType::Bool)),
            Ast::IsNotUnknown(inner) => {
                Ok((negated(self.is_unknown(inner, depth)?), ColumnType::Bool))
            }
            // The parser takes all that follows as the right side, `AND` included: readers do not.
            Ast::IsDistinctFrom(_, right) | Ast::IsNotDistinctFrom(_, right)
                if is_condition(right) =>
            {
                Err(PlanError::refused(Construct::OpenTest, place_of(ast)))
            }
            Ast::IsDistinctFrom(left, right) => {
                self.compare(CompareOp::Distinct, left, right, depth)
            }
            Ast::IsNotDistinctFrom(left, right) => {
                self.compare(CompareOp::NotDistinct, left, right, depth)
            }
            _ => Err(PlanError::refused(Construct::IsForm, place_of(ast))),
        }
    }

    fn is(&self, inner: &Ast, op: CompareOp, value: bool, depth: usize) -> Lowered {
        let left = Box::new(self.boxed(inner, depth)?.boolean()?);
        let right = Box::new(Expr::literal(Literal::Bool(value)));
        Ok((Expr::Compare { op, left, right }, ColumnType::Bool))
    }

    fn is_unknown(&self, inner: &Ast, depth: usize) -> Result<Expr, PlanError> {
        Ok(Expr::IsNull { of: Box::new(self.boxed(inner, depth)?.boolean()?) })
    }

    /// A cast; NULL is cast too.
    pub(crate) fn cast(&self, inner: &Ast, to: &DataType, depth: usize) -> Lowered {
        match self.result(inner, depth)? {
            Some(of) => cast(of, to),
            None => cast_null(to, place_of(inner)),
        }
    }

    /// `LIKE` and `ILIKE`, with NOT or without.
    pub(crate) fn like(&self, ast: &Ast, depth: usize) -> Result<Expr, PlanError> {
        let ignore_case = matches!(ast, Ast::ILike { .. });
        let (Ast::Like { negated: not, any: false, expr, pattern, escape_char }
        | Ast::ILike { negated: not, any: false, expr, pattern, escape_char }) = ast
        else {
            return Err(PlanError::refused(Construct::Like, place_of(ast)));
        };
        let of = self.boxed(expr, depth)?;
        let refused = || PlanError::refused(Construct::Like, of.place);
        let Some(Literal::Text(pattern)) = constant(self.boxed(pattern, depth)?.expr) else {
            return Err(refused());
        };
        let escape = match escape_char {
            // As PostgreSQL has it.
            None => Some('\\'),
            Some(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
                let mut letters = text.chars();
                let first = letters.next();
                if letters.next().is_some() {
                    return Err(refused());
                }
                first
            }
            Some(_) => return Err(refused()),
        };
        let expr = like(of, &pattern, escape, ignore_case)?;
        Ok(if *not { negated(expr) } else { expr })
    }

    /// Functions that are written with words between their arguments.
    pub(crate) fn worded(&self, ast: &Ast, depth: usize) -> Lowered {
        let by = |name| By { name, place: place_of(ast) };
        let of = |part: &Ast| self.boxed(part, depth);
        match ast {
            Ast::Extract { field, expr, .. } => {
                let (function, column_type) = date_field(&field.to_string(), by("EXTRACT"))?;
                let time = of(expr)?.exactly(ColumnType::Timestamp)?;
                Ok(called(function, vec![time], column_type))
            }
            Ast::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.whole(Called::Ceiling, expr, depth)
            }
            Ast::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.whole(Called::Floor, expr, depth)
            }
            Ast::Position { expr, r#in } => {
                let text = of(r#in)?.exactly(ColumnType::Text)?;
                let part = of(expr)?.exactly(ColumnType::Text)?;
                Ok(called(Called::Position, vec![text, part], ColumnType::Int64))
            }
            Ast::Substring { expr, substring_from, substring_for, .. }
                if substring_from.is_some() || substring_for.is_some() =>
            {
                let mut args = vec![of(expr)?];
                let start = substring_from.as_deref().map(of).transpose()?;
                let one = Typed {
                    expr: Expr::literal(Literal::int(1)),
                    column_type: ColumnType::Int64,
                    place: place_of(ast),
                };
                args.push(start.unwrap_or(one));
                args.extend(substring_for.as_deref().map(of).transpose()?);
                substring(args, by("SUBSTRING"))
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let side = match trim_where {
                    None | Some(TrimWhereField::Both) => TrimSide::Both,
                    Some(TrimWhereField::Leading) => TrimSide::Leading,
                    Some(TrimWhereField::Trailing) => TrimSide::Trailing,
                };
                let what = trim_what.as_deref().map(of).transpose()?;
                trim(side, of(expr)?, what, by("TRIM"))
            }
            Ast::Substring { .. } => {
                Err(by("SUBSTRING").takes("a text, a start from 1 and perhaps a length"))
            }
            _ => Err(PlanError::refused(Construct::Argument, place_of(ast))),
        }
    }

    fn whole(&self, function: Called, of: &Ast, depth: usize) -> Lowered {
        let of = self.boxed(of, depth)?;
        if !of.is_number() {
            return Err(of.wrong("a number", "use number columns and number constants"));
        }
        whole(function, of)
    }
}

/// Whether an expression without parentheses binds less tightly than a comparison.
fn is_condition(ast: &Ast) -> bool {
    match ast {
        Ast::BinaryOp { op, .. } => !matches!(
            op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo
                | BinaryOperator::StringConcat
        ),
        Ast::UnaryOp { op, .. } => *op == UnaryOperator::Not,
        Ast::Identifier(_)
        | Ast::CompoundIdentifier(_)
        | Ast::Value(_)
        | Ast::TypedString(_)
        | Ast::Nested(_)
        | Ast::Function(_)
        | Ast::Cast { .. }
        | Ast::Case { .. }
        | Ast::Extract { .. }
        | Ast::Ceil { .. }
        | Ast::Floor { .. }
        | Ast::Position { .. }
        | Ast::Substring { .. }
        | Ast::Trim { .. } => false,
        _ => true,
    }
}
