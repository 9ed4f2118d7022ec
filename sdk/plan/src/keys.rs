//! Public domains of group keys, from the dictionary and the text alone. A key whose values are not
//! known before any row is read must be refused: which keys exist would itself be an answer.

use crate::error::{PlanError, excerpt};
use crate::expr::Expr;
use crate::ir::KeyExpr;
use crate::scope::Scope;
use crate::typed::Typed;
use cloister_terms::limits::DOMAIN_VALUES_MAX;
use cloister_terms::{ColumnType, KeyValue, Name};
use std::collections::BTreeSet;

/// A key with its public domain. Errors when it has none, an empty one or one too large.
pub(crate) fn key(typed: &Typed, scope: &Scope<'_>) -> Result<KeyExpr, PlanError> {
    let place = typed.place;
    let none = || PlanError::NoDomain { expression: excerpt(&typed.expr.to_string()), place };
    let mut domain = Domain::default();
    let is_key =
        matches!(typed.column_type, ColumnType::Text | ColumnType::Int64 | ColumnType::Bool);
    if !is_key || !domain.add(&typed.expr, scope) || domain.values.is_empty() {
        return Err(none());
    }
    if domain.values.len() > DOMAIN_VALUES_MAX {
        return Err(PlanError::TooMany { what: "values of a key", max: DOMAIN_VALUES_MAX, place });
    }
    Ok(KeyExpr { expr: typed.expr.clone(), domain: domain.values })
}

/// Every value an expression can have but NULL, when they are public and few enough for a key.
pub(crate) fn values(expr: &Expr, scope: &Scope<'_>) -> Option<Vec<KeyValue>> {
    let mut domain = Domain::default();
    let is_known = domain.add(expr, scope) && domain.values.len() <= DOMAIN_VALUES_MAX;
    is_known.then_some(domain.values)
}

/// Values in the order they first stand in the dictionary or the text.
#[derive(Default)]
struct Domain {
    values: Vec<KeyValue>,
    seen: BTreeSet<KeyValue>,
    /// Columns whose domain is in already: a short text may name a large one in each of many branches.
    columns: BTreeSet<Name>,
}

impl Domain {
    /// Adds every value an expression can have but NULL; false when they are not known.
    fn add(&mut self, expr: &Expr, scope: &Scope<'_>) -> bool {
        match expr {
            Expr::Column { name } => {
                if self.columns.contains(name) {
                    return true;
                }
                let Some(column) = scope.entry(name) else { return false };
                match (&column.domain, column.column_type) {
                    (Some(domain), _) => domain.iter().for_each(|value| self.push(value.clone())),
                    (None, ColumnType::Bool) => self.push_bools(),
                    (None, _) => return false,
                }
                self.columns.insert(name.clone());
                true
            }
            Expr::Literal { value } => match value.key_value() {
                Some(value) => {
                    self.push(value);
                    true
                }
                None => false,
            },
            Expr::Null { .. } => true,
            Expr::Case { branches, otherwise, .. } => {
                let thens = branches.iter().map(|branch| &branch.then);
                thens.chain(otherwise.as_deref()).all(|result| self.add(result, scope))
            }
            Expr::Coalesce { of } => of.iter().all(|value| self.add(value, scope)),
            Expr::NullIf { left, .. } => self.add(left, scope),
            Expr::Compare { .. }
            | Expr::And { .. }
            | Expr::Or { .. }
            | Expr::Not { .. }
            | Expr::IsNull { .. }
            | Expr::InList { .. }
            | Expr::Between { .. } => {
                self.push_bools();
                true
            }
            Expr::ToFloat { .. }
            | Expr::Negate { .. }
            | Expr::Arithmetic { .. }
            | Expr::Clamp { .. } => false,
        }
    }

    fn push_bools(&mut self) {
        self.push(KeyValue::Bool(false));
        self.push(KeyValue::Bool(true));
    }

    fn push(&mut self, value: KeyValue) {
        if self.seen.insert(value.clone()) {
            self.values.push(value);
        }
    }
}
