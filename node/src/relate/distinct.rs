//! Each different row of a person once, where it first stands. Equal rows of two persons both stay:
//! only rows between one person's borders are compared.

use crate::relate::keys::{Groups, Keys};
use crate::relate::rows::{PersonRows, Room, StepStop, row_number};
use crate::relate::{RelationError, Step};

/// The step; it has no settings.
pub struct Distinct;

impl Step for Distinct {
    fn run(&self, below: &[PersonRows], _: &mut Room) -> Result<PersonRows, StepStop> {
        let [below] = below else { return Err(RelationError::Lacks("rows").into()) };
        below.spend_keys(below.arrays())?;
        let keys = Keys::of(below.arrays())?;
        let (groups, borders) = grouped(below, &keys)?;
        let firsts = groups.groups().filter_map(|group| group.first().copied()).collect();
        Ok(below.take(firsts, borders)?)
    }
}

/// The groups of every person's rows, and the borders between persons, counted in groups.
pub fn grouped(below: &PersonRows, keys: &Keys) -> Result<(Groups, Vec<usize>), RelationError> {
    let (mut groups, mut borders) = (Groups::default(), vec![0]);
    for person in 0..below.persons() {
        let rows = below.person(person);
        groups.add_person(keys, row_number(rows.start)?..row_number(rows.end)?);
        borders.push(groups.count());
    }
    Ok((groups, borders))
}
