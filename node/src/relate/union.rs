//! The rows of several parts, person by person: hers of the first part, then hers of the next. No row
//! changes place across a border between persons.

use crate::relate::rows::{PersonRows, Room, StepStop, text_bytes};
use crate::relate::{RelationError, Step};
use datafusion::arrow::array::Array;
use datafusion::arrow::compute::interleave;
use std::sync::Arc;

/// A union made ready: nothing is left to know.
pub struct Union;

impl Union {
    /// Errors with fewer than two parts, and when their columns differ in name or type.
    pub fn new(parts: &[PersonRows]) -> Result<Self, RelationError> {
        let Some((first, rest)) = parts.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err(RelationError::Lacks("second part of a union"));
        };
        let types = |rows: &PersonRows| {
            rows.arrays().iter().map(|array| array.data_type().clone()).collect::<Vec<_>>()
        };
        let alike =
            |part: &PersonRows| part.names() == first.names() && types(part) == types(first);
        if rest.iter().all(alike) { Ok(Self) } else { Err(RelationError::Differ("the parts")) }
    }
}

impl Step for Union {
    fn run(&self, below: &[PersonRows], room: &mut Room) -> Result<PersonRows, StepStop> {
        let first = below.first().ok_or(RelationError::Lacks("second part of a union"))?;
        let texts: Vec<_> = below.iter().map(PersonRows::texts).collect();
        let (mut places, mut borders, mut all_text) = (Vec::new(), vec![0], 0usize);
        for person in 0..first.persons() {
            let start = places.len();
            let mut text = 0usize;
            for (part, (rows, texts)) in below.iter().zip(&texts).enumerate() {
                for row in rows.person(person) {
                    places.push((part, row));
                    text = text.saturating_add(text_bytes(texts, row));
                }
            }
            let columns = first.arrays().len();
            if room.stays(person, places.len() - start, text, columns) {
                all_text = all_text.saturating_add(text);
            } else {
                places.truncate(start);
            }
            room.hold(places.len(), all_text)?;
            borders.push(places.len());
        }
        let columns = (0..first.arrays().len()).map(|column| {
            let parts: Option<Vec<&dyn Array>> = below
                .iter()
                .map(|rows| rows.arrays().get(column).map(|array| array.as_ref()))
                .collect();
            let parts = parts.ok_or(RelationError::Differ("the parts"))?;
            Ok::<_, StepStop>(interleave(&parts, &places)?)
        });
        let arrays = columns.collect::<Result<_, _>>()?;
        Ok(PersonRows::new(Arc::clone(first.names()), arrays, borders)?)
    }
}
