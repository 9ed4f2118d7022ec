//! Entries made of the tables beside the code: every aggregate and every row-wise function, in a question
//! over the dataset their examples are written for. Nothing is said here that does not stand there.

use super::{Entry, Group};
use crate::{aggregate_notes, row_functions};
use std::borrow::Cow;

/// The entries of both tables.
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    let aggregates = aggregate_notes().iter().map(|note| Entry {
        group: Group::Aggregates,
        name: Cow::Owned(format!("`{}`", note.signature)),
        what: Cow::Owned(sentence(note.contract)),
        example: Cow::Owned(format!("SELECT {} AS figure FROM rides", note.example)),
        refused: None,
        is_module: false,
        delta: None,
    });
    let functions = row_functions().iter().map(|note| Entry {
        group: Group::RowFunctions,
        name: Cow::Owned(format!("`{}`", note.name)),
        what: Cow::Owned(format!("`{}`. {}", note.signature, sentence(note.contract))),
        example: Cow::Owned(format!("SELECT COUNT({}) AS known FROM rides", note.example)),
        refused: None,
        is_module: false,
        delta: None,
    });
    aggregates.chain(functions)
}

/// A contract as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>());
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{stop}", first.unwrap_or_default(), letters.as_str())
}
