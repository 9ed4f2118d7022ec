//! Keys that no document lists: a node shows those behind which its noised count of people reaches a
//! threshold, fixed before any row is read; in a second round every node answers those that any has
//! shown. An approved shape must never name one: which keys exist is part of the answer.

use crate::limits::{
    CELLS_MAX, KEYS_SHOWN_MAX, PRIVATE_KEY_BYTES_MAX, SHOWN_VALUES_MAX, VECTOR_MAX,
};
use crate::shape::{KeyDimension, OutputShape};
use crate::value::{ColumnType, KeyValue};
use crate::{Delta, ReleaseRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One cell's key: a value a dimension.
pub type Key = Vec<KeyValue>;

/// How the cells of an answer come about where keys are private.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateKeys {
    /// The type of each dimension. A dimension with public values keeps to them.
    pub types: Vec<ColumnType>,
    /// When a node shows a cell. None in the round after: every node then answers every cell of `found`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<KeyThreshold>,
    /// Cells shown, ascending. Empty in every signed document; filled from releases (see
    /// [`OutputShape::found_in`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Key>,
}

/// What a cell with a private key must reach to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyThreshold {
    /// The lane that counts each person of a cell once, in steps of one person.
    pub persons_lane: u32,
    /// A node releases a cell when its noised count of people is at least this.
    pub people: u64,
    /// The chance, at each node, that a person who is alone in each of their cells has any of them shown.
    pub delta: Delta,
}

/// Why private keys are unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeysError {
    /// There is no key, or not one type for each.
    #[error("private keys need one type for each key, at least one: plan the analysis again")]
    Types,
    /// Public values are not of the dimension's type.
    #[error("key `{0}` has values of another type: plan the analysis again")]
    Values(String),
    /// The lane of people is missing or is no count of people.
    #[error("no lane counts each person of a group once: plan the analysis again")]
    PersonsLane,
    /// A threshold of nothing.
    #[error("a threshold or delta of `0` cannot protect a private key: plan the analysis again")]
    Threshold,
    /// Partners with keys of their own beside private keys.
    #[error("private keys cannot be assigned to partners beforehand: plan the analysis again")]
    Served,
    /// Keys shown that are out of order, or not of the shape.
    #[error("the keys shown are not distinct, ascending and of the shape's types")]
    Found,
    /// Partners show more keys together than one answer may have.
    #[error(
        "the partners show more than {0} groups together: ask fewer partners at once, or for fewer keys, fewer figures a group or larger groups (a smaller `delta`)"
    )]
    TooMany(usize),
}

impl PrivateKeys {
    /// Checks these keys against the shape they belong to.
    pub(crate) fn check(&self, shape: &OutputShape) -> Result<(), PrivateKeysError> {
        if self.types.is_empty() || self.types.len() != shape.keys.len() {
            return Err(PrivateKeysError::Types);
        }
        for (dimension, column_type) in shape.keys.iter().zip(&self.types) {
            let is_alike = dimension.values.iter().all(|value| value.column_type() == *column_type);
            if !is_alike || *column_type == ColumnType::Float64 {
                return Err(PrivateKeysError::Values(dimension.name.clone()));
            }
        }
        if let Some(KeyThreshold { persons_lane, people, delta }) = self.threshold {
            let persons = usize::try_from(persons_lane).ok().and_then(|at| shape.lanes.get(at));
            if !persons.is_some_and(|lane| lane.grid_bits == 0 && lane.sensitivity_steps == 1) {
                return Err(PrivateKeysError::PersonsLane);
            }
            if people == 0 || delta == Delta::ZERO {
                return Err(PrivateKeysError::Threshold);
            }
        }
        if !shape.served.is_empty() {
            return Err(PrivateKeysError::Served);
        }
        let public = public_values(&shape.keys);
        let is_good = self.found.is_sorted_by(|left, right| left < right)
            && self.found.iter().all(|key| self.is_of_shape(key, &public));
        if is_good { Ok(()) } else { Err(PrivateKeysError::Found) }
    }

    fn is_of_shape(&self, key: &Key, public: &[BTreeSet<&KeyValue>]) -> bool {
        let parts = || key.iter().zip(&self.types).zip(public);
        key.len() == self.types.len()
            && parts().all(|((value, column_type), public)| {
                value.column_type() == *column_type
                    && (public.is_empty() || public.contains(value))
                    && !matches!(value, KeyValue::Text(text) if text.len() > PRIVATE_KEY_BYTES_MAX)
            })
    }

    /// The keys of the cells that a release has figures for.
    pub fn keys_of<'k>(&'k self, release: &'k ReleaseRecord) -> &'k [Key] {
        if self.threshold.is_some() { &release.keys } else { &self.found }
    }

    /// Most cells that a partner shows of an answer with so many lanes.
    pub fn shown_max(lanes: usize) -> usize {
        KEYS_SHOWN_MAX.min(VECTOR_MAX as usize / lanes.max(1))
    }

    /// Whether a release shows only what it may: at most [`Self::shown_max`] keys of the shape,
    /// ascending, each with as many people as the threshold asks for, and behind them the diagnostics.
    /// Without a threshold, figures for those that were found: which these are stands in the round's
    /// parameters, and is not said again.
    pub(crate) fn allow(&self, shape: &OutputShape, release: &ReleaseRecord) -> bool {
        let lanes = shape.lanes.len();
        let cells = if self.threshold.is_some() { release.keys.len() } else { self.found.len() };
        let in_cells = cells.saturating_mul(lanes);
        if release.values.len() != in_cells.saturating_add(shape.diagnostics.len()) {
            return false;
        }
        let Some(threshold) = self.threshold else {
            return !self.found.is_empty() && release.keys.is_empty();
        };
        let public = public_values(&shape.keys);
        let cells = release.values.iter().take(in_cells);
        let people = cells.skip(threshold.persons_lane as usize).step_by(lanes.max(1));
        release.keys.len() <= Self::shown_max(lanes)
            && release.keys.is_sorted_by(|left, right| left < right)
            && release.keys.iter().all(|key| self.is_of_shape(key, &public))
            && people.into_iter().all(|people| people.0 >= i128::from(threshold.people))
    }
}

fn public_values(keys: &[KeyDimension]) -> Vec<BTreeSet<&KeyValue>> {
    keys.iter().map(|dimension| dimension.values.iter().collect()).collect()
}

impl OutputShape {
    /// The shape of the answer that these releases make together: with the cells that any of them shows,
    /// where keys are private and shown; itself otherwise. Errors on the first key beyond what an answer may
    /// have, before any is copied: each partner shows few, but partners may be many.
    pub fn found_in<'r>(
        &self,
        releases: impl IntoIterator<Item = &'r ReleaseRecord>,
    ) -> Result<Self, PrivateKeysError> {
        if self.private_keys.is_none() {
            return Ok(self.clone());
        }
        let most = self.found_max();
        let mut found: BTreeSet<&Key> = BTreeSet::new();
        for key in releases.into_iter().flat_map(|release| &release.keys) {
            found.insert(key);
            if found.len() > most {
                return Err(PrivateKeysError::TooMany(most));
            }
        }
        Ok(self.of_keys(found.into_iter().cloned().collect()))
    }

    /// Most integers of this shape: of one release, or where each partner shows groups of its own by a threshold,
    /// of all of them.
    pub(crate) fn values_max(&self) -> u64 {
        if self.key_threshold().is_some() { SHOWN_VALUES_MAX } else { VECTOR_MAX }
    }

    /// Most cells with private keys that an answer of this shape may have.
    fn found_max(&self) -> usize {
        let lanes = (self.lanes.len() as u64).max(1);
        let room = self.values_max().saturating_sub(self.diagnostics.len() as u64);
        usize::try_from(CELLS_MAX.min(room / lanes)).unwrap_or(usize::MAX)
    }

    /// This shape with these cells, where keys are private; itself otherwise.
    #[must_use]
    pub fn of_keys(&self, found: Vec<Key>) -> Self {
        let mut shape = self.clone();
        if let Some(private) = &mut shape.private_keys {
            private.found = found;
        }
        shape
    }

    /// The threshold from which a node shows a cell, where there is one.
    pub fn key_threshold(&self) -> Option<KeyThreshold> {
        self.private_keys.as_ref()?.threshold
    }
}

#[cfg(test)]
#[path = "private_keys_tests.rs"]
mod tests;
