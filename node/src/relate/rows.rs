//! Rows of many persons side by side with the borders between them, and the limits on one person's.
//! Steps work person by person within these borders; a column made for all rows at once must be
//! row-wise. What a person's rows become must depend on those rows alone.

use crate::evaluate::{Columns, evaluate};
use crate::fault::Fault;
use crate::relate::RelationError;
use crate::row_bytes::known_text_bytes;
use crate::scan::persons::{PERSON_BYTES_MAX, PersonLimits};
use crate::work::{self, Meter};
use cloister_plan::{Expr, Literal};
use cloister_terms::Name;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::error::ArrowError;
use std::ops::Range;
use std::sync::Arc;

/// Most rows of one person that a step may give. So few that one column of texts which functions make,
/// a few KiB each, stays within what Arrow's offsets can tell.
pub const STEP_ROWS_MAX: usize = 1 << 18;
/// Rows of all persons of a block that a step may give; beyond it the block is cut in two.
pub const BLOCK_ROWS_MAX: usize = STEP_ROWS_MAX;
/// Bytes of text of all persons of a block that a step may give; beyond it the block is cut in two.
pub const BLOCK_TEXT_BYTES_MAX: usize = 128 << 20;
/// Bytes of text that one expression may meet, each column and constant counted wherever it stands.
pub const EXPRESSION_TEXT_BYTES_MAX: usize = 512 << 20;
/// Most bytes that the columns one step makes take together, 8 a value and the length of each text.
pub const COLUMNS_BYTES_MAX: usize = 1 << 30;
/// Bytes a value of any type but text is counted as.
const VALUE_BYTES: usize = 8;
/// In a list of rows: no row, that is NULL in every column.
pub const NO_ROW: u32 = u32::MAX;

/// Why a step stops.
#[derive(Debug)]
pub enum StepStop {
    /// The block's persons together are too large: cut it in two and begin again. A person who is too
    /// large all alone gives the default contribution; in company she would have led to that as well,
    /// since no block is smaller than one of its persons.
    Cut,
    /// The plan does not fit, or the engine failed.
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for StepStop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        Self::Scan(error.into())
    }
}

/// Rows of many persons: those of person `p` stand between borders `p` and `p + 1`. No `Debug`: it
/// holds records.
#[derive(Clone)]
pub struct PersonRows {
    names: Arc<[Name]>,
    arrays: Vec<ArrayRef>,
    borders: Arc<[usize]>,
    /// What is worked out of them is counted here.
    meter: Meter,
}

impl PersonRows {
    /// From columns, all of them as long as the last border. Errors when there is another number of
    /// names or rows.
    pub fn new(
        names: Arc<[Name]>,
        arrays: Vec<ArrayRef>,
        borders: impl Into<Arc<[usize]>>,
    ) -> Result<Self, RelationError> {
        let borders = borders.into();
        let rows = borders.last().copied().unwrap_or(0);
        let fits = names.len() == arrays.len() && arrays.iter().all(|array| array.len() == rows);
        if fits {
            Ok(Self { names, arrays, borders, meter: Meter::default() })
        } else {
            Err(RelationError::Lacks("columns"))
        }
    }

    /// The same rows, the work on them counted here.
    pub(crate) fn metered(self, meter: &Meter) -> Self {
        Self { meter: meter.clone(), ..self }
    }

    /// Names of the columns.
    pub fn names(&self) -> &Arc<[Name]> {
        &self.names
    }

    /// The columns, one a name.
    pub fn arrays(&self) -> &[ArrayRef] {
        &self.arrays
    }

    /// Where persons begin and end.
    pub fn borders(&self) -> &Arc<[usize]> {
        &self.borders
    }

    /// Rows of all persons.
    pub fn rows(&self) -> usize {
        self.borders.last().copied().unwrap_or(0)
    }

    /// Number of persons.
    pub fn persons(&self) -> usize {
        self.borders.len().saturating_sub(1)
    }

    /// Rows of one person.
    pub fn person(&self, person: usize) -> Range<usize> {
        match (self.borders.get(person), self.borders.get(person.saturating_add(1))) {
            (Some(start), Some(end)) => *start..*end,
            _ => 0..0,
        }
    }

    /// The columns by name, for expressions.
    pub fn columns(&self) -> Columns<'_> {
        Columns { names: &self.names, arrays: &self.arrays, rows: self.rows() }
    }

    /// The value of an expression on every row. Stops when it meets more text than
    /// [`EXPRESSION_TEXT_BYTES_MAX`], since what it makes could leave the size of an array, and when it is more
    /// work than [`work::WORK_MAX`] leaves.
    pub fn value(&self, expr: &Expr) -> Result<ArrayRef, StepStop> {
        self.spend(work::of_expr(expr, self.columns()))?;
        if text_met(expr, self) > EXPRESSION_TEXT_BYTES_MAX {
            return Err(StepStop::Cut);
        }
        Ok(evaluate(expr, self.columns())?)
    }

    /// Counts work on these rows, before it is done. Stops when it is too much.
    pub(crate) fn spend(&self, units: u64) -> Result<(), StepStop> {
        if self.meter.spend(units) { Ok(()) } else { Err(StepStop::Cut) }
    }

    /// The value of each expression on every row. Stops as soon as they take more room together than a
    /// block may, or of one person's rows than [`PERSON_BYTES_MAX`]: one expression is bounded by
    /// [`EXPRESSION_TEXT_BYTES_MAX`], many are not.
    pub fn values<'e>(
        &self,
        exprs: impl Iterator<Item = &'e Expr>,
    ) -> Result<Vec<ArrayRef>, StepStop> {
        let (mut arrays, mut bytes) = (Vec::new(), 0usize);
        for expr in exprs {
            let array = self.value(expr)?;
            let text = array.as_string_opt::<i32>();
            let text = text.map_or(0, |texts| known_text_bytes(texts, 0..texts.len()));
            bytes = bytes.saturating_add(text).saturating_add(array.len() * VALUE_BYTES);
            arrays.push(array);
            if bytes > COLUMNS_BYTES_MAX
                || (bytes > PERSON_BYTES_MAX && self.has_too_large(&arrays))
            {
                return Err(StepStop::Cut);
            }
        }
        Ok(arrays)
    }

    /// Whether the values of one person take more room than one may, whoever stands beside her.
    fn has_too_large(&self, arrays: &[ArrayRef]) -> bool {
        let texts = texts_of(arrays);
        (0..self.persons()).any(|person| {
            let rows = self.person(person);
            let values = rows.len().saturating_mul(arrays.len()).saturating_mul(VALUE_BYTES);
            values.saturating_add(range_text(&texts, &rows)) > PERSON_BYTES_MAX
        })
    }

    /// Counts the work of columns whose values are sorted, hashed or compared with each other's.
    pub(crate) fn spend_keys(&self, arrays: &[ArrayRef]) -> Result<(), StepStop> {
        self.spend(work::of_keys(arrays))
    }

    /// The columns of text.
    pub fn texts(&self) -> Vec<&StringArray> {
        texts_of(&self.arrays)
    }

    /// Only some rows of each person: `picked` stand in the order of persons, between `borders`.
    pub fn take(&self, picked: Vec<u32>, borders: Vec<usize>) -> Result<Self, Fault> {
        let arrays = take_rows(&self.arrays, picked)?;
        Ok(Self::new(Arc::clone(&self.names), arrays, borders)?.metered(&self.meter))
    }
}

/// The rows at these places, [`NO_ROW`] being NULL everywhere.
pub fn take_rows(arrays: &[ArrayRef], picked: Vec<u32>) -> Result<Vec<ArrayRef>, Fault> {
    let picked: UInt32Array = if picked.contains(&NO_ROW) {
        picked.into_iter().map(|row| (row != NO_ROW).then_some(row)).collect()
    } else {
        picked.into()
    };
    let taken = arrays.iter().map(|array| take(array.as_ref(), &picked, None));
    Ok(taken.collect::<Result<_, ArrowError>>()?)
}

/// The columns of text among these.
pub fn texts_of(arrays: &[ArrayRef]) -> Vec<&StringArray> {
    arrays.iter().filter_map(|array| array.as_string_opt::<i32>()).collect()
}

/// Bytes of text in one row.
pub fn text_bytes(texts: &[&StringArray], row: usize) -> usize {
    texts.iter().map(|texts| known_text_bytes(texts, row..row.saturating_add(1))).sum()
}

/// Which persons of a block are still counted, and how large they may be.
pub struct Room {
    limits: PersonLimits,
    gone: Vec<bool>,
    meter: Meter,
}

impl Room {
    /// For persons of whom those that do not fit give nothing already.
    pub fn new(limits: PersonLimits, fits: &[bool]) -> Self {
        let limits = PersonLimits { rows: limits.rows.min(STEP_ROWS_MAX), ..limits };
        let gone = fits.iter().map(|fits| !fits).collect();
        Self { limits, gone, meter: Meter::started() }
    }

    /// Whether this person gives the default contribution.
    pub fn is_gone(&self, person: usize) -> bool {
        self.gone.get(person).copied().unwrap_or(true)
    }

    /// Most rows one person may have.
    pub fn rows_max(&self) -> usize {
        self.limits.rows
    }

    /// Whether a person with so many rows and bytes of text stays. From the first step where she does
    /// not, she gives the default contribution.
    pub fn stays(&mut self, person: usize, rows: usize, text: usize, columns: usize) -> bool {
        let stays = !self.is_gone(person) && self.limits.hold(rows, text, columns);
        if let Some(gone) = self.gone.get_mut(person) {
            *gone = !stays;
        }
        stays
    }

    /// Stops when all persons so far have more rows or text than a block may have.
    pub fn hold(&self, rows: usize, text: usize) -> Result<(), StepStop> {
        let fits = rows <= BLOCK_ROWS_MAX && text <= BLOCK_TEXT_BYTES_MAX;
        if fits { Ok(()) } else { Err(StepStop::Cut) }
    }

    /// Measures what a step gave: drops the rows of persons too large. Stops when the block is. Work on the rows
    /// counts here from now on; to bring each person's together is some, too.
    pub fn settle(&mut self, rows: PersonRows) -> Result<PersonRows, StepStop> {
        let rows = rows.metered(&self.meter);
        let text = range_text(&rows.texts(), &(0..rows.rows()));
        rows.spend(work::of_rows(rows.rows(), rows.arrays.len(), text))?;
        let (mut all_text, mut dropped) = (0usize, false);
        let columns = rows.arrays.len();
        {
            let texts = rows.texts();
            for person in 0..rows.persons() {
                let range = rows.person(person);
                if range.is_empty() {
                    continue;
                }
                let text = range_text(&texts, &range);
                all_text = all_text.saturating_add(text);
                dropped |= !self.stays(person, range.len(), text, columns);
            }
        }
        if dropped {
            self.drop_gone(&rows)
        } else {
            self.hold(rows.rows(), all_text).map(|()| rows)
        }
    }

    /// The rows without those of persons who are gone.
    pub fn drop_gone(&self, rows: &PersonRows) -> Result<PersonRows, StepStop> {
        let mut persons = 0..rows.persons();
        if !persons.any(|person| self.is_gone(person) && !rows.person(person).is_empty()) {
            return Ok(rows.clone());
        }
        let (mut picked, mut borders) = (Vec::new(), vec![0]);
        for person in 0..rows.persons() {
            if !self.is_gone(person) {
                for row in rows.person(person) {
                    picked.push(row_number(row)?);
                }
            }
            borders.push(picked.len());
        }
        let kept = rows.take(picked, borders)?;
        let text = range_text(&kept.texts(), &(0..kept.rows()));
        self.hold(kept.rows(), text)?;
        Ok(kept)
    }
}

/// A row's number as lists of rows hold it; below [`NO_ROW`], since Arrow's offsets are.
pub fn row_number(row: usize) -> Result<u32, RelationError> {
    u32::try_from(row).ok().filter(|row| *row != NO_ROW).ok_or(RelationError::Lacks("room"))
}

fn range_text(texts: &[&StringArray], range: &Range<usize>) -> usize {
    texts.iter().map(|texts| known_text_bytes(texts, range.clone())).sum()
}

/// Bytes of every text that an expression meets in all rows, wherever it stands.
fn text_met(expr: &Expr, rows: &PersonRows) -> usize {
    let (mut waiting, mut bytes) = (vec![expr], 0usize);
    while let Some(part) = waiting.pop() {
        let here = match part {
            Expr::Column { name } => {
                let place = rows.names.iter().position(|known| known == name);
                let array = place.and_then(|place| rows.arrays.get(place));
                let texts = array.and_then(|array| array.as_string_opt::<i32>());
                texts.map_or(0, |texts| range_text(&[texts], &(0..rows.rows())))
            }
            Expr::Literal { value: Literal::Text(text) } => text.len().saturating_mul(rows.rows()),
            _ => 0,
        };
        bytes = bytes.saturating_add(here);
        waiting.extend(part.parts());
    }
    bytes
}
