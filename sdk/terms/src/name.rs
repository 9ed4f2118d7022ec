//! Names of partners, people, datasets and columns: short, lower case, safe in paths, SQL and
//! certificates. A `Name` that exists is valid.

use crate::limits::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A valid name: `[a-z][a-z0-9_-]*`, 1 to 63 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a name: use 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter")]
pub struct NotAName {
    text: String,
}

impl Name {
    /// Checks `text`. Errors when it is not `[a-z][a-z0-9_-]{0,62}`.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAName> {
        let text = text.into();
        let mut bytes = text.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest_ok =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if first_ok && rest_ok && text.len() <= NAME_BYTES_MAX {
            return Ok(Self(text));
        }
        // A hostile text may be megabytes long: quote its beginning only.
        Err(NotAName { text: text.chars().take(NAME_BYTES_MAX + 1).collect() })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;
    fn try_from(text: String) -> Result<Self, NotAName> {
        Self::new(text)
    }
}

impl FromStr for Name {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padded where a width is asked for, so that tables line up.
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_line_up_in_tables() {
        let name = Name::new("ada").unwrap();
        assert_eq!(format!("{name:<5}|{name:>4}|{name}"), "ada  | ada|ada");
    }

    #[test]
    fn names_are_short_lower_case_words() {
        for good in ["a", "north-mobile", "person_id", &"x".repeat(63)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "1a", "-a", "a b", "a/b", "a.b", "é", "a\0", &"x".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad:?} must be refused");
        }
        assert!(Name::new("A".repeat(10_000_000)).unwrap_err().to_string().len() < 300);
    }
}
