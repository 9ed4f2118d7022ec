//! One row for each different combination of keys among a person's rows, with measures over the rows
//! that have it. A group never holds rows of two persons.

use crate::relate::distinct::grouped;
use crate::relate::keys::Keys;
use crate::relate::measures::{Measured, Values};
use crate::relate::project::columns;
use crate::relate::rows::{PersonRows, Room, StepStop, take_rows};
use crate::relate::{RelationError, Step, distinct_names};
use cloister_plan::{NamedExpr, NamedMeasure};
use cloister_terms::Name;
use std::sync::Arc;

/// A grouping made ready.
pub struct PerPerson {
    keys: Vec<NamedExpr>,
    measures: Vec<NamedMeasure>,
    names: Arc<[Name]>,
}

impl PerPerson {
    /// Errors on names that stand twice, and with neither keys nor measures.
    pub fn new(keys: &[NamedExpr], measures: &[NamedMeasure]) -> Result<Self, RelationError> {
        let of_keys = keys.iter().map(|key| &key.name);
        let names = distinct_names(of_keys.chain(measures.iter().map(|measure| &measure.name)))?;
        if names.is_empty() {
            return Err(RelationError::Lacks("columns"));
        }
        Ok(Self { keys: keys.to_vec(), measures: measures.to_vec(), names })
    }
}

impl Step for PerPerson {
    fn run(&self, below: &[PersonRows], _: &mut Room) -> Result<PersonRows, StepStop> {
        let [below] = below else { return Err(RelationError::Lacks("rows").into()) };
        let keys = columns(&self.keys, below)?;
        below.spend_keys(&keys)?;
        let (groups, borders) = grouped(below, &Keys::of(&keys)?)?;
        let firsts = groups.groups().filter_map(|group| group.first().copied()).collect();
        let mut arrays = take_rows(&keys, firsts)?;
        for named in &self.measures {
            let measured = Measured::new(&named.measure, below)?;
            let mut values = Values::new(&measured, groups.count());
            let mut running = measured.start();
            for (slot, group) in groups.groups().enumerate() {
                running.clear();
                group.iter().for_each(|row| running.add(*row));
                values.set(slot, &running);
            }
            arrays.push(values.into_array(&measured)?);
        }
        Ok(PersonRows::new(Arc::clone(&self.names), arrays, borders)?)
    }
}
