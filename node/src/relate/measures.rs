//! Values over several rows of one person: counts, sums, means, least and largest. The rows come one
//! by one in an order that depends on that person's rows alone; a state is cleared between groups, and
//! nothing of one group may be left in it for the next.

use crate::relate::RelationError;
use crate::relate::keys::Keys;
use crate::relate::rows::{
    BLOCK_TEXT_BYTES_MAX, NO_ROW, PersonRows, StepStop, take_rows, text_bytes, texts_of,
};
use crate::row_bytes::TypedColumn;
use crate::work;
use cloister_plan::{Expr, Measure};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::arrow::row::Row;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

/// A measure with the value of every row of a block. No `Debug`: it holds records.
pub enum Measured {
    /// Number of rows.
    CountRows,
    /// Number of rows with a value.
    CountNonNull(Option<NullBuffer>),
    /// Number of different values.
    CountDistinct(Keys),
    /// Exact sum of integers.
    SumInt(Int64Array),
    /// Sum of floats in row order.
    SumFloat(Float64Array),
    /// Mean of integers.
    AvgInt(Int64Array),
    /// Mean of floats.
    AvgFloat(Float64Array),
    /// The value that stands so to every other.
    Extreme(ArrayRef, TypedColumn, Ordering),
}

impl Measured {
    /// Errors on an expression that does not fit the columns, and on a sum or mean of no number.
    pub fn new(measure: &Measure, rows: &PersonRows) -> Result<Self, StepStop> {
        rows.spend(work::of_rows(rows.rows(), 1, 0))?;
        let number = RelationError::Type { what: "a sum or a mean", expected: "of numbers" };
        let extreme = |of: &Expr, order: Ordering| -> Result<Self, StepStop> {
            let array = rows.value(of)?;
            rows.spend_keys(std::slice::from_ref(&array))?;
            let typed = TypedColumn::new(&array, 0)?;
            Ok(Self::Extreme(array, typed, order))
        };
        let ints = |array: &ArrayRef| array.as_primitive_opt::<Int64Type>().cloned();
        let floats = |array: &ArrayRef| array.as_primitive_opt::<Float64Type>().cloned();
        Ok(match measure {
            Measure::CountRows => Self::CountRows,
            Measure::CountNonNull { of } => Self::CountNonNull(rows.value(of)?.nulls().cloned()),
            Measure::CountDistinct { of } => {
                let values = [rows.value(of)?];
                rows.spend_keys(&values)?;
                Self::CountDistinct(Keys::of(&values)?)
            }
            Measure::Sum { of } => {
                let array = rows.value(of)?;
                match (ints(&array), floats(&array)) {
                    (Some(ints), _) => Self::SumInt(ints),
                    (_, Some(floats)) => Self::SumFloat(floats),
                    (None, None) => return Err(number.into()),
                }
            }
            Measure::Avg { of } => {
                let array = rows.value(of)?;
                match (ints(&array), floats(&array)) {
                    (Some(ints), _) => Self::AvgInt(ints),
                    (_, Some(floats)) => Self::AvgFloat(floats),
                    (None, None) => return Err(number.into()),
                }
            }
            Measure::Min { of } => extreme(of, Ordering::Less)?,
            Measure::Max { of } => extreme(of, Ordering::Greater)?,
        })
    }

    /// A state over no row.
    pub fn start(&self) -> Running<'_> {
        Running {
            measured: self,
            count: 0,
            int: 0,
            float: Some(0.0),
            best: NO_ROW,
            seen: HashSet::new(),
        }
    }
}

/// A measure over the rows told since it was last cleared.
pub struct Running<'a> {
    measured: &'a Measured,
    /// Rows counted, or values that are not NULL.
    count: i64,
    int: i128,
    /// `None` once a sum left the finite floats.
    float: Option<f64>,
    /// Where the best value stands.
    best: u32,
    seen: HashSet<Row<'a>>,
}

impl Running<'_> {
    /// Over no row again.
    pub fn clear(&mut self) {
        (self.count, self.int, self.float, self.best) = (0, 0, Some(0.0), NO_ROW);
        self.seen.clear();
    }

    /// Counts one more row of the block.
    pub fn add(&mut self, row: u32) {
        let at = row as usize;
        // At most 2^18 rows of one person: the count and the sum of integers are far from their ends.
        match self.measured {
            Measured::CountRows => self.count += 1,
            Measured::CountNonNull(nulls) => {
                let is_known =
                    nulls.as_ref().is_none_or(|nulls| at < nulls.len() && nulls.is_valid(at));
                self.count += i64::from(is_known);
            }
            Measured::CountDistinct(keys) => {
                if let (false, Some(key)) = (keys.has_null(at), keys.key(at)) {
                    self.count += i64::from(self.seen.insert(key));
                }
            }
            Measured::SumInt(ints) | Measured::AvgInt(ints) => {
                if at < ints.len() && ints.is_valid(at) {
                    self.count += 1;
                    self.int += i128::from(ints.value(at));
                }
            }
            Measured::SumFloat(floats) | Measured::AvgFloat(floats) => {
                if at < floats.len() && floats.is_valid(at) {
                    self.count += 1;
                    self.float = self.float.and_then(|sum| settled(sum + floats.value(at)));
                }
            }
            Measured::Extreme(_, typed, wanted) => {
                let is_better =
                    self.best == NO_ROW || typed.order(at, self.best as usize) == *wanted;
                if !typed.is_null(at) && is_better {
                    self.best = row;
                }
            }
        }
    }

    fn int(&self) -> Option<i64> {
        match self.measured {
            Measured::SumInt(_) if self.count == 0 => None,
            Measured::SumInt(_) => i64::try_from(self.int).ok(),
            _ => Some(self.count),
        }
    }

    fn float(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        match self.measured {
            Measured::AvgInt(_) => settled(self.int as f64 / self.count as f64),
            Measured::AvgFloat(_) => self.float.and_then(|sum| settled(sum / self.count as f64)),
            _ => self.float,
        }
    }
}

/// NaN and infinities are NULL, -0 is 0.
fn settled(value: f64) -> Option<f64> {
    value.is_finite().then_some(value + 0.0)
}

/// A measure's values in the making, one a slot. No `Debug`: it holds records.
pub enum Values {
    /// Counts, and sums of integers.
    Ints(Vec<Option<i64>>),
    /// Means, and sums of floats.
    Floats(Vec<Option<f64>>),
    /// Where the value of a slot stands.
    Rows(Vec<u32>),
}

impl Values {
    /// So many slots, all NULL.
    pub fn new(measured: &Measured, slots: usize) -> Self {
        match measured {
            Measured::CountRows
            | Measured::CountNonNull(_)
            | Measured::CountDistinct(_)
            | Measured::SumInt(_) => Self::Ints(vec![None; slots]),
            Measured::SumFloat(_) | Measured::AvgInt(_) | Measured::AvgFloat(_) => {
                Self::Floats(vec![None; slots])
            }
            Measured::Extreme(..) => Self::Rows(vec![NO_ROW; slots]),
        }
    }

    /// Writes what a measure is now.
    pub fn set(&mut self, slot: usize, running: &Running<'_>) {
        match self {
            Self::Ints(ints) => set(ints, slot, running.int()),
            Self::Floats(floats) => set(floats, slot, running.float()),
            Self::Rows(rows) => set(rows, slot, running.best),
        }
    }

    /// The slots as a column.
    pub fn into_array(self, measured: &Measured) -> Result<ArrayRef, StepStop> {
        Ok(match (self, measured) {
            (Self::Ints(ints), _) => Arc::new(Int64Array::from(ints)),
            (Self::Floats(floats), _) => Arc::new(Float64Array::from(floats)),
            (Self::Rows(rows), Measured::Extreme(array, _, _)) => {
                // The same long text may be the largest on every row of a window.
                let texts = texts_of(std::slice::from_ref(array));
                let text = rows.iter().filter(|row| **row != NO_ROW);
                let text: usize = text.map(|row| text_bytes(&texts, *row as usize)).sum();
                if text > BLOCK_TEXT_BYTES_MAX {
                    return Err(StepStop::Cut);
                }
                let taken = take_rows(std::slice::from_ref(array), rows)?;
                taken.into_iter().next().ok_or(RelationError::Lacks("columns"))?
            }
            (Self::Rows(_), _) => return Err(RelationError::Lacks("columns").into()),
        })
    }
}

fn set<T>(slots: &mut [T], slot: usize, value: T) {
    if let Some(place) = slots.get_mut(slot) {
        *place = value;
    }
}
