//! Each person's rows of one table as the first step sees them: at most the table's row cap, by keyed
//! PRF, in canonical order where order can matter. Neither depends on any other person's rows.

use crate::bound::Caps;
use crate::fault::Fault;
use crate::relate::RelationError;
use crate::relate::rows::{PersonRows, Room, StepStop, row_number, take_rows};
use crate::sample::{RowsOf, Sampler};
use crate::scan::merge::TableRows;
use cloister_plan::{Measure, Relation, WindowFunction};
use cloister_terms::Name;
use datafusion::arrow::array::{ArrayRef, new_empty_array};
use std::ops::Range;
use std::sync::Arc;

/// One table of the plan.
pub struct TableStep {
    names: Arc<[Name]>,
    /// No row of each column, to know its type by.
    empty: Vec<ArrayRef>,
    place: u32,
    row_cap: usize,
    in_order: bool,
    sampler: Sampler,
    unit: Vec<u8>,
}

impl TableStep {
    /// The table at `place` of the plan with these columns; `in_order` when order can matter.
    pub fn new(
        place: u32,
        names: Arc<[Name]>,
        empty: &[ArrayRef],
        caps: &Caps,
        in_order: bool,
    ) -> Self {
        let empty = empty.iter().map(|array| new_empty_array(array.data_type())).collect();
        let row_cap = caps.table_row_cap(usize::try_from(place).unwrap_or(usize::MAX));
        let (sampler, unit) = (caps.sampler(), Vec::new());
        Self { names, empty, place, row_cap, in_order, sampler, unit }
    }

    /// The rows of each person that the steps work on; marks in `cut` whom the table's cap takes rows.
    pub fn rows(
        &mut self,
        table: &TableRows,
        room: &Room,
        cut: &mut [bool],
    ) -> Result<PersonRows, StepStop> {
        let persons = table.persons.len();
        let Some(block) = &table.block else {
            let (names, empty) = (Arc::clone(&self.names), self.empty.clone());
            return Ok(PersonRows::new(names, empty, vec![0; persons.saturating_add(1)])?);
        };
        if block.names() != self.names.as_ref() {
            return Err(RelationError::Differ("the columns").into());
        }
        if let Some(rows) = self.as_they_stand(&table.persons, block.arrays(), room)? {
            return Ok(rows);
        }
        let bytes = block.row_bytes();
        let (mut picked, mut borders) = (Vec::new(), vec![0]);
        for (person, rows) in table.persons.iter().enumerate() {
            if !room.is_gone(person) && !rows.is_empty() {
                let is_over = rows.len() > self.row_cap;
                let mut kept = if self.in_order && rows.len() > 1 {
                    block.canonical_rows(rows.clone())
                } else {
                    rows.clone().collect()
                };
                if is_over {
                    bytes.unit(rows.start, &mut self.unit);
                    let of = RowsOf::Table(self.place);
                    self.sampler.keep(&mut kept, self.row_cap, of, &self.unit, bytes);
                    cut.iter_mut().skip(person).take(1).for_each(|cut| *cut = true);
                }
                for row in kept {
                    picked.push(row_number(row)?);
                }
            }
            borders.push(picked.len());
        }
        let arrays = take_rows(block.arrays(), picked)?;
        Ok(PersonRows::new(Arc::clone(&self.names), arrays, borders)?)
    }

    /// The block's own rows, when no person of it loses a row or must be put in order and all stand one
    /// behind the other.
    fn as_they_stand(
        &self,
        persons: &[Range<usize>],
        arrays: &[ArrayRef],
        room: &Room,
    ) -> Result<Option<PersonRows>, Fault> {
        let most = if self.in_order { self.row_cap.min(1) } else { self.row_cap };
        let mut borders = vec![0];
        let mut whole: Option<Range<usize>> = None;
        for (person, rows) in persons.iter().enumerate() {
            if !rows.is_empty() {
                if room.is_gone(person) || rows.len() > most {
                    return Ok(None);
                }
                whole = match whole {
                    None => Some(rows.clone()),
                    Some(before) if before.end == rows.start => Some(before.start..rows.end),
                    Some(_) => return Ok(None),
                };
            }
            borders.push(whole.as_ref().map_or(0, |whole| whole.len()));
        }
        let whole = whole.unwrap_or(0..0);
        let arrays = arrays.iter().map(|array| array.slice(whole.start, whole.len())).collect();
        Ok(Some(PersonRows::new(Arc::clone(&self.names), arrays, borders)?))
    }
}

/// Whether the order of a table's rows can be seen in what the relation makes of them: it has a
/// window, or a sum or mean per person, which may be of floats. All else is the same rows in any order,
/// and those who come after count rows by their values alone.
pub fn order_matters(relation: &Relation) -> bool {
    let mut waiting = vec![relation];
    while let Some(step) = waiting.pop() {
        match step {
            Relation::Table { .. } => {}
            Relation::Filter { of, .. }
            | Relation::Project { of, .. }
            | Relation::Lookup { of, .. }
            | Relation::Distinct { of } => waiting.push(of),
            Relation::Join { left, right, .. } => waiting.extend([left.as_ref(), right.as_ref()]),
            Relation::Union { of } => waiting.extend(of),
            Relation::PerPerson { of, measures, .. } => {
                let adds = |measure: &Measure| {
                    matches!(measure, Measure::Sum { .. } | Measure::Avg { .. })
                };
                if measures.iter().any(|named| adds(&named.measure)) {
                    return true;
                }
                waiting.push(of);
            }
            Relation::Window { of, columns, .. } => {
                let sees_rows_alone = |function: &WindowFunction| match function {
                    WindowFunction::Whole { measure } => {
                        !matches!(measure, Measure::Sum { .. } | Measure::Avg { .. })
                    }
                    _ => false,
                };
                if !columns.iter().all(|named| sees_rows_alone(&named.function)) {
                    return true;
                }
                waiting.push(of);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_plan::{NamedMeasure, NamedWindow};

    #[test]
    fn order_matters_where_rows_are_numbered_or_added() {
        let table = || Box::new(Relation::Table { table: 0 });
        let name: Name = "n".parse().unwrap();
        let of = || cloister_plan::Expr::Column { name: name.clone() };
        let per_person = |measure| Relation::PerPerson {
            of: table(),
            keys: vec![],
            measures: vec![NamedMeasure { name: name.clone(), measure }],
        };
        assert!(!order_matters(&table()));
        assert!(!order_matters(&per_person(Measure::CountDistinct { of: of() })));
        assert!(order_matters(&per_person(Measure::Avg { of: of() })));
        let window = |function| Relation::Window {
            of: Box::new(Relation::Distinct { of: table() }),
            partition: vec![],
            order: vec![],
            columns: vec![NamedWindow { name: name.clone(), function }],
        };
        assert!(order_matters(&window(WindowFunction::RowNumber)));
        assert!(!order_matters(&window(WindowFunction::Whole { measure: Measure::CountRows })));
        let deep = Relation::Union {
            of: vec![
                *table(),
                Relation::Filter {
                    of: Box::new(window(WindowFunction::RowNumber)),
                    condition: of(),
                },
            ],
        };
        assert!(order_matters(&deep));
    }
}
