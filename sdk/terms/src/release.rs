//! The record of a release, as a node signs it: the noised integers, and what they were charged to.
//! Nothing in it depends on the data but the noised vector itself.

use crate::limits::RELEASE_VALUE_MAX;
use crate::private_keys::Key;
use crate::shape::{OutputShape, ShapeError};
use crate::{Cost, Digest, Name};
use serde::{Deserialize, Serialize};

/// What a node signs and sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRecord {
    /// [`crate::DOCUMENT_VERSION`].
    pub version: u32,
    /// The partner.
    pub node: Name,
    /// The unit namespace that was charged.
    pub unit_namespace: Name,
    /// Digest of the agreement document.
    pub agreement: Digest,
    /// Digest of the analysis document.
    pub analysis: Digest,
    /// Digest of the contribution plan.
    pub plan: Digest,
    /// Digest of the round's parameters.
    pub parameters: Digest,
    /// Round, from 1.
    pub round: u32,
    /// Release epoch of the agreement's calendar.
    pub epoch: u64,
    /// What was charged for these bytes, once.
    pub cost: Cost,
    /// Head of the ledger's journal just after the charge.
    pub charge: Digest,
    /// The keys that this partner shows where keys are private, ascending; empty otherwise, and in a round
    /// whose parameters name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// The noised integers of this partner's cells, as decimal strings, cell-major (see
    /// [`OutputShape`]).
    pub values: Vec<Int>,
}

/// An i128 written as a decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Int(pub i128);

/// A text that is not a whole number in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number without padding")]
pub struct NotAnInt;

impl TryFrom<String> for Int {
    type Error = NotAnInt;
    fn try_from(text: String) -> Result<Self, NotAnInt> {
        let int: i128 = text.parse().map_err(|_| NotAnInt)?;
        if int.to_string() == text { Ok(Self(int)) } else { Err(NotAnInt) }
    }
}

impl From<Int> for String {
    fn from(int: Int) -> Self {
        int.0.to_string()
    }
}

impl ReleaseRecord {
    /// Whether keys and vector are those that the approved shape gives this partner, and no integer is beyond
    /// [`RELEASE_VALUE_MAX`].
    pub fn fits(&self, shape: &OutputShape) -> Result<bool, ShapeError> {
        shape.check()?;
        let is_within = |value: &Int| (-RELEASE_VALUE_MAX..=RELEASE_VALUE_MAX).contains(&value.0);
        if !self.values.iter().all(is_within) {
            return Ok(false);
        }
        match &shape.private_keys {
            Some(private) => Ok(private.allow(shape, self)),
            None => {
                Ok(self.keys.is_empty() && self.values.len() == shape.vector_len_of(&self.node)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        let parse = |text: &str| Int::try_from(text.to_owned());
        assert_eq!(parse("-170141183460469231731687303715884105728"), Ok(Int(i128::MIN)));
        for bad in ["", "-0", "+1", "01", "1.0", " 1", "170141183460469231731687303715884105728"] {
            assert!(parse(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
