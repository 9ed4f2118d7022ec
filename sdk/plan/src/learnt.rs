//! What a filter says of the columns it reads: a row that passed it has no NULL where something was
//! compared. It may only say what is so on every row that is left.

use crate::expr::{CompareOp, Expr};
use crate::scope::Source;
use crate::steps::terms;
use cloister_terms::Name;

/// Adds to columns what is so on every row where a condition is TRUE.
pub(crate) fn learn(sources: &mut [Source], condition: &Expr) {
    for term in terms(condition.clone()) {
        let Some(name) = present(&term) else { continue };
        let columns = sources.iter_mut().flat_map(|source| &mut source.columns);
        for column in columns.filter(|column| column.is_plain() && column.name == *name) {
            column.never_null = true;
        }
    }
}

/// The column that is not NULL where a term is TRUE.
fn present(term: &Expr) -> Option<&Name> {
    let is_null_aware = |op: CompareOp| matches!(op, CompareOp::Distinct | CompareOp::NotDistinct);
    match term {
        Expr::Not { of } => match of.as_ref() {
            Expr::IsNull { of } => column(of),
            _ => None,
        },
        Expr::InList { of, .. } | Expr::Between { of, .. } => column(of),
        Expr::Compare { op, left, right } if !is_null_aware(*op) => {
            column(left).or_else(|| column(right))
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
