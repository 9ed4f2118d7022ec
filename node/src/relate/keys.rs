//! Key values of rows as comparable bytes, and the groups of equal ones among one person's rows. Two
//! persons' rows are never compared: every function here is given one person's range.

use crate::fault::Fault;
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{Row, RowConverter, Rows, SortField};
use std::ops::Range;

/// Turns columns of known types into [`Keys`]; keys of one coder compare with each other.
pub struct KeyCoder {
    /// `None` without columns: then all rows are alike.
    converter: Option<RowConverter>,
}

/// The key of every row. No `Debug`: it holds records.
pub struct Keys {
    rows: Option<Rows>,
    has_null: Vec<bool>,
}

impl KeyCoder {
    /// For columns of these types, each in its order. Errors on a type the engine cannot order.
    pub fn new(columns: &[(DataType, SortOptions)]) -> Result<Self, Fault> {
        let fields = columns.iter();
        let fields = fields.map(|(of, order)| SortField::new_with_options(of.clone(), *order));
        let converter =
            if columns.is_empty() { None } else { Some(RowConverter::new(fields.collect())?) };
        Ok(Self { converter })
    }

    /// For the types of these columns, in ascending order.
    pub fn of(arrays: &[ArrayRef]) -> Result<Self, Fault> {
        let ascending = |array: &ArrayRef| (array.data_type().clone(), SortOptions::default());
        Self::new(&arrays.iter().map(ascending).collect::<Vec<_>>())
    }

    /// The keys of all rows. Errors on other types than the coder's.
    pub fn keys(&self, arrays: &[ArrayRef]) -> Result<Keys, Fault> {
        let rows = self
            .converter
            .as_ref()
            .map(|converter| converter.convert_columns(arrays))
            .transpose()?;
        let nullable = arrays.iter().filter_map(|array| array.nulls());
        let mut has_null = Vec::new();
        for nulls in nullable {
            has_null.resize(nulls.len(), false);
            for (one, known) in has_null.iter_mut().zip(nulls.iter()) {
                *one |= !known;
            }
        }
        Ok(Keys { rows, has_null })
    }
}

impl Keys {
    /// The keys of all rows, each column in ascending order.
    pub fn of(arrays: &[ArrayRef]) -> Result<Self, Fault> {
        KeyCoder::of(arrays)?.keys(arrays)
    }

    /// The key of a row, comparable by value; `None` for every row without columns.
    pub fn key(&self, row: usize) -> Option<Row<'_>> {
        let rows = self.rows.as_ref()?;
        (row < rows.num_rows()).then(|| rows.row(row))
    }

    /// Whether a part of the key is NULL.
    pub fn has_null(&self, row: usize) -> bool {
        self.has_null.get(row).copied().unwrap_or(false)
    }
}

/// Groups of rows: those of all persons one after the other. No `Debug`: it holds records.
#[derive(Default)]
pub struct Groups {
    rows: Vec<u32>,
    /// Where each group ends in `rows`.
    ends: Vec<usize>,
    /// Room for one person's rows and for her groups: first row, and place in `sorted`.
    sorted: Vec<u32>,
    starts: Vec<(u32, Range<usize>)>,
}

impl Groups {
    /// Adds the groups of one person's rows: equal keys together, NULL being equal to NULL, groups in
    /// the order of their first rows, rows in their order.
    pub fn add_person(&mut self, keys: &Keys, person: Range<u32>) {
        if person.is_empty() {
            return;
        }
        if keys.rows.is_none() || person.len() == 1 {
            self.rows.extend(person);
            self.ends.push(self.rows.len());
            return;
        }
        self.sorted.clear();
        self.sorted.extend(person);
        let key = |row: &u32| keys.key(*row as usize);
        // Stable, so that rows of one key keep their order.
        self.sorted.sort_by(|left, right| key(left).cmp(&key(right)));
        self.starts.clear();
        let mut at = 0;
        for group in self.sorted.chunk_by(|left, right| key(left) == key(right)) {
            let start = at;
            at += group.len();
            self.starts.extend(group.first().map(|first| (*first, start..at)));
        }
        self.starts.sort_unstable_by_key(|(first, _)| *first);
        for (_, group) in &self.starts {
            self.rows.extend_from_slice(self.sorted.get(group.clone()).unwrap_or_default());
            self.ends.push(self.rows.len());
        }
    }

    /// Number of groups so far.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The rows of each group.
    pub fn groups(&self) -> impl Iterator<Item = &[u32]> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends);
        ranges.map(|(start, end)| self.rows.get(start..*end).unwrap_or_default())
    }

    /// Sorts the rows of each group by `order`, ties as they stood.
    pub fn sort_each(&mut self, order: &Keys) {
        let mut start = 0;
        for end in &self.ends {
            let group = self.rows.get_mut(start..*end).unwrap_or_default();
            group.sort_by(|left, right| order.key(*left as usize).cmp(&order.key(*right as usize)));
            start = *end;
        }
    }
}
