//! Further columns over a person's rows in an order: row numbers, neighbours, measures over the whole
//! partition or up to a row. A partition never holds rows of two persons.

use crate::relate::distinct::grouped;
use crate::relate::keys::{Groups, KeyCoder, Keys};
use crate::relate::measures::{Measured, Values};
use crate::relate::rows::{NO_ROW, PersonRows, Room, StepStop, take_rows};
use crate::relate::{RelationError, Step, distinct_names};
use crate::work;
use cloister_plan::{Expr, Measure, NamedWindow, OrderKey, WindowFunction};
use cloister_terms::Name;
use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::compute::SortOptions;
use std::sync::Arc;

/// A window made ready.
pub struct Window {
    partition: Vec<Expr>,
    order: Vec<OrderKey>,
    columns: Vec<NamedWindow>,
    names: Arc<[Name]>,
}

impl Window {
    /// Errors on names that stand twice, without new columns, and on an offset of 0.
    pub fn new(
        below: &PersonRows,
        partition: &[Expr],
        order: &[OrderKey],
        columns: &[NamedWindow],
    ) -> Result<Self, RelationError> {
        if columns.is_empty() {
            return Err(RelationError::Lacks("columns"));
        }
        let is_still = |column: &NamedWindow| {
            use WindowFunction::{Lag, Lead};
            matches!(&column.function, Lag { offset: 0, .. } | Lead { offset: 0, .. })
        };
        if columns.iter().any(is_still) {
            return Err(RelationError::Type { what: "an offset", expected: "at least 1" });
        }
        let own = columns.iter().map(|column| &column.name);
        let names = distinct_names(below.names().iter().chain(own))?;
        let (partition, order, columns) = (partition.to_vec(), order.to_vec(), columns.to_vec());
        Ok(Self { partition, order, columns, names })
    }

    fn partitions(&self, below: &PersonRows) -> Result<Groups, StepStop> {
        let keys = self.partition.iter().map(|key| below.value(key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        below.spend_keys(&keys)?;
        let keys = Keys::of(&keys)?;
        let (mut groups, _) = grouped(below, &keys)?;
        if !self.order.is_empty() {
            let arrays = self.order.iter().map(|key| below.value(&key.expr));
            let arrays = arrays.collect::<Result<Vec<ArrayRef>, StepStop>>()?;
            below.spend_keys(&arrays)?;
            let of = |(array, key): (&ArrayRef, &OrderKey)| {
                let options =
                    SortOptions { descending: key.descending, nulls_first: key.nulls_first };
                (array.data_type().clone(), options)
            };
            let columns: Vec<_> = arrays.iter().zip(&self.order).map(of).collect();
            groups.sort_each(&KeyCoder::new(&columns)?.keys(&arrays)?);
        }
        Ok(groups)
    }
}

impl Step for Window {
    fn run(&self, below: &[PersonRows], _: &mut Room) -> Result<PersonRows, StepStop> {
        let [below] = below else { return Err(RelationError::Lacks("rows").into()) };
        let groups = self.partitions(below)?;
        let mut arrays = below.arrays().to_vec();
        for column in &self.columns {
            below.spend(work::of_rows(below.rows(), 1, 0))?;
            arrays.push(match &column.function {
                WindowFunction::RowNumber => row_numbers(&groups, below.rows()),
                WindowFunction::Lag { of, offset } => {
                    let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
                    neighbours(of, &groups, below, |place| place.checked_sub(offset))?
                }
                WindowFunction::Lead { of, offset } => {
                    let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
                    neighbours(of, &groups, below, |place| place.checked_add(offset))?
                }
                WindowFunction::Whole { measure } => over(measure, &groups, below, false)?,
                WindowFunction::Running { measure } => over(measure, &groups, below, true)?,
            });
        }
        Ok(PersonRows::new(Arc::clone(&self.names), arrays, Arc::clone(below.borders()))?)
    }
}

fn row_numbers(partitions: &Groups, rows: usize) -> ArrayRef {
    let mut numbers = vec![0i64; rows];
    for partition in partitions.groups() {
        for (row, number) in partition.iter().zip(1..) {
            if let Some(place) = numbers.get_mut(*row as usize) {
                *place = number;
            }
        }
    }
    Arc::new(Int64Array::from(numbers))
}

/// The value of the row that `from` names by the place of each row in its partition.
fn neighbours(
    of: &Expr,
    partitions: &Groups,
    below: &PersonRows,
    from: impl Fn(usize) -> Option<usize>,
) -> Result<ArrayRef, StepStop> {
    let mut picked = vec![NO_ROW; below.rows()];
    for partition in partitions.groups() {
        for (place, row) in partition.iter().enumerate() {
            let neighbour = from(place).and_then(|place| partition.get(place));
            if let (Some(slot), Some(neighbour)) = (picked.get_mut(*row as usize), neighbour) {
                *slot = *neighbour;
            }
        }
    }
    let values = [below.value(of)?];
    below.spend_keys(&values)?;
    let taken = take_rows(&values, picked)?;
    Ok(taken.into_iter().next().ok_or(RelationError::Lacks("columns"))?)
}

/// A measure over each partition: up to each row, or the whole of it on every row.
fn over(
    measure: &Measure,
    partitions: &Groups,
    below: &PersonRows,
    up_to_row: bool,
) -> Result<ArrayRef, StepStop> {
    let measured = Measured::new(measure, below)?;
    let mut values = Values::new(&measured, below.rows());
    let mut running = measured.start();
    for partition in partitions.groups() {
        running.clear();
        for row in partition {
            running.add(*row);
            if up_to_row {
                values.set(*row as usize, &running);
            }
        }
        if !up_to_row {
            partition.iter().for_each(|row| values.set(*row as usize, &running));
        }
    }
    values.into_array(&measured)
}
