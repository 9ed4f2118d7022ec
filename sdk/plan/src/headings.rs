//! Headings of the answer: short, printable, distinct, and none that hides a column of the dataset.

use crate::error::{Place, PlanError, excerpt};
use crate::limits::HEADING_BYTES_MAX;
use std::collections::BTreeSet;

/// The headings given so far.
#[derive(Default)]
pub(crate) struct Headings {
    given: BTreeSet<String>,
}

impl Headings {
    /// Gives a heading out once. Errors when it is empty, too long, unprintable or given before.
    pub fn give(&mut self, name: String, place: Place) -> Result<String, PlanError> {
        let is_printable = !name.chars().any(char::is_control);
        if name.trim().is_empty() || name.len() > HEADING_BYTES_MAX || !is_printable {
            return Err(PlanError::Heading { name: excerpt(&name), place });
        }
        if !self.given.insert(name.clone()) {
            return Err(PlanError::Twice { name: excerpt(&name), place });
        }
        Ok(name)
    }
}
