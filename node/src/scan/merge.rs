//! The persons of several tables side by side. Partition i of every table holds the same persons in
//! the order of their units; here each person's rows of each table come together, none where she has
//! none. How the tables' blocks are cut cannot be seen in what a person's rows are.

use crate::fault::Fault;
use crate::relate::RelationError;
use crate::row_bytes::TypedColumn;
use crate::scan::persons::{PersonBlock, PersonBlocks};
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::interleave;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

/// Whole persons with their rows of every table. No `Debug`: it holds records.
#[derive(Clone)]
pub struct Gathering {
    /// One unit a person, in ascending order.
    pub units: ArrayRef,
    /// Whether the limits hold the person's rows of every table.
    pub fits: Vec<bool>,
    /// One a table of the plan.
    pub tables: Vec<TableRows>,
}

/// Rows of one table.
#[derive(Clone)]
pub struct TableRows {
    /// Where they lie; `None` when nobody here has a row in it.
    pub block: Option<Arc<PersonBlock>>,
    /// Rows of each person, empty for none.
    pub persons: Vec<Range<usize>>,
}

impl Gathering {
    /// Number of persons.
    pub fn persons(&self) -> usize {
        self.fits.len()
    }

    /// Some of the persons, with all their rows.
    pub fn slice(&self, persons: Range<usize>) -> Self {
        let end = persons.end.min(self.fits.len());
        let persons = persons.start.min(end)..end;
        let tables = self.tables.iter().map(|table| TableRows {
            block: table.block.clone(),
            persons: table.persons.get(persons.clone()).unwrap_or_default().to_vec(),
        });
        Self {
            units: self.units.slice(persons.start, persons.len()),
            fits: self.fits.get(persons.clone()).unwrap_or_default().to_vec(),
            tables: tables.collect(),
        }
    }
}

/// Merges one partition of each table.
pub struct PersonMerge {
    tables: Vec<Cursor>,
}

/// Where one table stands.
struct Cursor {
    blocks: PersonBlocks,
    block: Option<Arc<PersonBlock>>,
    /// Persons of the block that were taken.
    taken: usize,
}

/// A person at the head of a table: unit and row of it.
#[derive(Clone, Copy)]
struct Head<'a> {
    units: &'a TypedColumn,
    row: usize,
}

impl PersonMerge {
    /// One stream a table, in the order of the plan.
    pub fn new(tables: Vec<PersonBlocks>) -> Self {
        let cursor = |blocks| Cursor { blocks, block: None, taken: 0 };
        Self { tables: tables.into_iter().map(cursor).collect() }
    }

    /// The next persons; `None` at the end. Errors when the engine does, and on units of different
    /// types.
    pub async fn next(&mut self) -> Result<Option<Gathering>, Fault> {
        for table in &mut self.tables {
            table.fill().await?;
        }
        // Up to the least of the last units every table's rows are at hand.
        let mut horizon: Option<Head<'_>> = None;
        for last in self.tables.iter().filter_map(Cursor::last) {
            horizon = match horizon {
                Some(least) if least.order(last)? != Ordering::Greater => Some(least),
                _ => Some(last),
            };
        }
        let Some(horizon) = horizon else { return Ok(None) };
        let mut ends = Vec::with_capacity(self.tables.len());
        for table in &self.tables {
            ends.push(table.end(horizon)?);
        }
        let (gathering, taken) = self.gather(&ends)?;
        for (table, taken) in self.tables.iter_mut().zip(taken) {
            table.taken = taken;
        }
        Ok(Some(gathering))
    }

    /// The persons from where each table stands up to its end in `ends`; and where each then stands.
    fn gather(&self, ends: &[usize]) -> Result<(Gathering, Vec<usize>), Fault> {
        let mut at: Vec<usize> = self.tables.iter().map(|table| table.taken).collect();
        let mut persons = vec![Vec::new(); self.tables.len()];
        let (mut fits, mut units) = (Vec::new(), Vec::new());
        loop {
            let mut least: Option<(usize, Head<'_>)> = None;
            let heads: Vec<Option<Head<'_>>> = self.heads(&at, ends);
            for (table, head) in heads.iter().enumerate() {
                let Some(head) = head else { continue };
                let is_less = match least {
                    Some((_, before)) => head.order(before)? == Ordering::Less,
                    None => true,
                };
                if is_less {
                    least = Some((table, *head));
                }
            }
            let Some((table, unit)) = least else { break };
            units.push((table, unit.row));
            let mut all_fit = true;
            let tables = self.tables.iter().zip(heads).zip(at.iter_mut().zip(&mut persons));
            for ((table, head), (at, persons)) in tables {
                let here = match head {
                    Some(head) => head.order(unit)? == Ordering::Equal,
                    None => false,
                };
                let person = if here { table.person(*at) } else { None };
                let (rows, fits) = person.unwrap_or((0..0, true));
                *at = at.saturating_add(usize::from(here));
                all_fit &= fits;
                persons.push(rows);
            }
            fits.push(all_fit);
        }
        let tables = self.tables.iter().zip(persons);
        let tables =
            tables.map(|(table, persons)| TableRows { block: table.block.clone(), persons });
        Ok((Gathering { units: self.units(&units)?, fits, tables: tables.collect() }, at))
    }

    fn heads(&self, at: &[usize], ends: &[usize]) -> Vec<Option<Head<'_>>> {
        let places = self.tables.iter().zip(at.iter().zip(ends));
        places.map(|(table, (at, end))| if at < end { table.head(*at) } else { None }).collect()
    }

    /// The units at these places: table and row.
    fn units(&self, places: &[(usize, usize)]) -> Result<ArrayRef, Fault> {
        let arrays = self.tables.iter().map(|table| table.block.as_ref().and_then(|b| b.units()));
        let known: Vec<(usize, &ArrayRef)> = arrays
            .enumerate()
            .filter_map(|(table, array)| array.map(|array| (table, array)))
            .collect();
        let place_of = |table: usize| known.iter().position(|(known, _)| *known == table);
        let places: Option<Vec<(usize, usize)>> =
            places.iter().map(|(table, row)| Some((place_of(*table)?, *row))).collect();
        let arrays: Vec<&dyn Array> = known.iter().map(|(_, array)| array.as_ref() as _).collect();
        let units = interleave(&arrays, &places.unwrap_or_default());
        units.map_err(|error| Fault::Scan(error.into()))
    }
}

impl Cursor {
    /// Has a person at hand, unless there is none left.
    async fn fill(&mut self) -> Result<(), Fault> {
        while self.block.as_ref().is_none_or(|block| self.taken >= block.count()) {
            self.taken = 0;
            match self.blocks.next().await? {
                Some(block) => self.block = Some(Arc::new(block)),
                None => {
                    self.block = None;
                    break;
                }
            }
        }
        Ok(())
    }

    fn person(&self, place: usize) -> Option<(Range<usize>, bool)> {
        self.block.as_ref()?.person(place)
    }

    fn head(&self, place: usize) -> Option<Head<'_>> {
        let block = self.block.as_ref()?;
        let (rows, _) = block.person(place)?;
        Some(Head { units: block.row_bytes().units(), row: rows.start })
    }

    fn last(&self) -> Option<Head<'_>> {
        self.head(self.block.as_ref()?.count().checked_sub(1)?)
    }

    /// The place behind the last person who does not stand behind `horizon`.
    fn end(&self, horizon: Head<'_>) -> Result<usize, Fault> {
        let count = self.block.as_ref().map_or(0, |block| block.count());
        let (mut low, mut high) = (self.taken, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(head) = self.head(middle) else { break };
            if head.order(horizon)? == Ordering::Greater { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }
}

impl Head<'_> {
    fn order(self, other: Head<'_>) -> Result<Ordering, RelationError> {
        self.units.order_between(self.row, other.units, other.row).ok_or(RelationError::UnitTypes)
    }
}
