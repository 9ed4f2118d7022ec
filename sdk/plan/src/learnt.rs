//! What a filter says of the columns it reads: a row that passed it has no NULL where something was
//! compared, and one of the values listed. It may only say what is so on every row that is left.

use crate::expr::{CompareOp, Expr, Literal};
use crate::scope::{ScopeColumn, Source};
use crate::steps::terms;
use cloister_terms::{ColumnType, KeyValue, Name};
use std::collections::BTreeSet;

/// Adds to columns what is so on every row where a condition is TRUE.
pub(crate) fn learn(sources: &mut [Source], condition: &Expr) {
    for term in terms(condition.clone()) {
        let Some((name, values)) = said(&term) else { continue };
        let columns = sources.iter_mut().flat_map(|source| &mut source.columns);
        for column in columns.filter(|column| column.is_plain() && column.name == *name) {
            column.never_null = true;
            list(column, &values);
        }
    }
}

/// The column that a term shows not to be NULL, with all its values when the term lists them.
fn said(term: &Expr) -> Option<(&Name, Vec<&Literal>)> {
    match term {
        Expr::Not { of } => match of.as_ref() {
            Expr::IsNull { of } => Some((column(of)?, Vec::new())),
            _ => None,
        },
        Expr::InList { of, list } => Some((column(of)?, list.iter().collect())),
        Expr::Between { of, .. } => Some((column(of)?, Vec::new())),
        Expr::Compare { op, left, right } => {
            let (name, other) = match (column(left), column(right)) {
                (Some(name), None) => (name, right),
                (None, Some(name)) => (name, left),
                _ => return None,
            };
            let value = match other.as_ref() {
                Expr::Literal { value } if *op == CompareOp::Equal => vec![value],
                _ => Vec::new(),
            };
            Some((name, value))
        }
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<&Name> {
    match expr {
        Expr::Column { name } => Some(name),
        _ => None,
    }
}

/// A column without public values has those listed. One that has keeps them: the agreement says which
/// groups are shown, and in which order.
fn list(column: &mut ScopeColumn, values: &[&Literal]) {
    // FALSE and TRUE are public as they are.
    let has_own = column.domain.is_some() || column.column_type == ColumnType::Bool;
    if has_own || values.is_empty() {
        return;
    }
    let keys: Option<Vec<KeyValue>> = values.iter().map(|value| value.key_value()).collect();
    let is_listed = |key: &KeyValue| key.column_type() == column.column_type;
    if let Some(keys) = keys.filter(|keys| keys.iter().all(is_listed)) {
        let mut seen = BTreeSet::new();
        let keys = keys.into_iter().filter(|key| seen.insert(key.clone()));
        column.domain = Some(keys.collect());
    }
}
