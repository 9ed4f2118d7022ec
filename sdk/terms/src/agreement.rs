//! The agreement: who may ask what of whom, for which purposes, between which dates, at which cost.
//! Every partner signs the same bytes; a node refuses everything outside them.

use crate::dictionary::{Dictionary, DictionaryError};
use crate::limits::{PARTIES_MAX, PERSONS_MAX, TEXT_BYTES_MAX};
use crate::{Budget, DOCUMENT_VERSION, Name, PublicKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What all partners sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// [`DOCUMENT_VERSION`].
    pub version: u32,
    /// Short name.
    pub name: Name,
    /// Aims and limits in plain words.
    pub charter: String,
    /// Purposes allowed, as IRIs of a pinned vocabulary (W3C DPV).
    pub purposes: Vec<String>,
    /// First second (UTC) at which anything may run.
    pub not_before_s: i64,
    /// First second (UTC) at which nothing may run any more.
    pub not_after_s: i64,
    /// When release epochs open.
    pub calendar: Calendar,
    /// The partners, names and unit namespaces distinct.
    pub parties: Vec<Party>,
    /// Who may submit analyses.
    pub researchers: Vec<Researcher>,
    /// Who may approve them.
    pub reviewers: Vec<Person>,
    /// How many approvals count as approved.
    pub quorum: Quorum,
    /// The coordinator's name, as in its certificate.
    pub coordinator: Name,
    /// Longest time one run may take from request to release; a run that could end after
    /// `not_after_s` is refused. Milliseconds.
    pub run_time_max_ms: u64,
    /// The shared data dictionary.
    pub dictionary: Dictionary,
}

/// Release epochs: epoch n covers `[start_s + n * length_s, start_s + (n + 1) * length_s)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Start of epoch 0, seconds since 1970 UTC.
    pub start_s: i64,
    /// Length of an epoch, seconds, at least 1.
    pub length_s: u32,
}

impl Calendar {
    /// The epoch that `now_s` lies in; `None` before epoch 0.
    pub fn epoch_at(self, now_s: i64) -> Option<u64> {
        let since = u64::try_from(now_s.checked_sub(self.start_s)?).ok()?;
        since.checked_div(u64::from(self.length_s))
    }
}

/// One partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// The partner's name, also its node's.
    pub partner: Name,
    /// The organisation behind it.
    pub organisation: String,
    /// The key its data steward signs with.
    pub steward_key: PublicKey,
    /// The key its node signs releases with.
    pub node_key: PublicKey,
    /// The unit namespace whose one ledger this node keeps.
    pub unit_namespace: Name,
    /// What this agreement may spend of that namespace in all.
    pub caps: Budget,
}

/// A reviewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The person's name.
    pub name: Name,
    /// The organisation the person sits for.
    pub organisation: String,
    /// The key the person signs with.
    pub key: PublicKey,
    /// First second (UTC) at which the reviewer's training has lapsed, and votes no longer count. Absent
    /// where no training lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_until_s: Option<i64>,
}

impl Person {
    /// Whether the reviewer's training holds at `at_s`.
    pub fn is_trained_at(&self, at_s: i64) -> bool {
        self.trained_until_s.is_none_or(|until_s| at_s < until_s)
    }
}

/// A researcher, with what she may spend of each namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Researcher {
    /// The researcher's name.
    pub name: Name,
    /// The organisation the researcher sits for.
    pub organisation: String,
    /// The key the researcher signs with.
    pub key: PublicKey,
    /// Cap of this researcher's spending at each partner.
    pub caps: Budget,
}

/// How many approvals make a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// Distinct reviewers who must approve.
    pub approvals: u32,
    /// Distinct organisations they must sit for.
    pub organisations: u32,
}

/// Why an agreement is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// Written for another version of Cloister.
    #[error("agreement is of version {0}, this is version {DOCUMENT_VERSION}: draft it again")]
    Version(u32),
    /// The dictionary is unusable.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
    /// Two parties or persons share a name, key or namespace.
    #[error("{what} `{value}` stands twice: each must be of its own")]
    Twice {
        /// What is shared.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// A number of parties, persons or purposes is out of range.
    #[error("the agreement lists {found} {what}: it needs between 1 and {max}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many were found.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The quorum can never be met, or asks for nothing.
    #[error(
        "the quorum can never be met or is empty: ask for 1 to {reviewers} approvals from 1 to {organisations} organisations"
    )]
    Quorum {
        /// Reviewers there are.
        reviewers: usize,
        /// Organisations they sit for.
        organisations: usize,
    },
    /// Dates or calendar are in the wrong order or empty.
    #[error(
        "the agreement's dates leave no time to run: set `not_before_s` before `not_after_s`, and an epoch of at least 1 s that starts no later than `not_before_s`"
    )]
    Dates,
    /// An organisation is empty, or spelled in two ways that read the same.
    #[error(
        "organisation `{0}` is empty, padded, or spelled in two ways: spell each organisation in one way"
    )]
    Organisation(String),
    /// Holdings are listed for some parties only, or for somebody else.
    #[error(
        "what `{0}` holds is not listed, or it is no party: list the holdings of every party or of none"
    )]
    Holdings(Name),
    /// A text is too long.
    #[error("`{0}` is longer than {TEXT_BYTES_MAX} bytes: shorten it")]
    Text(&'static str),
}

impl Agreement {
    /// The partner of that name.
    pub fn party(&self, partner: &Name) -> Option<&Party> {
        self.parties.iter().find(|party| party.partner == *partner)
    }

    /// The researcher of that name.
    pub fn researcher(&self, name: &Name) -> Option<&Researcher> {
        self.researchers.iter().find(|researcher| researcher.name == *name)
    }

    /// Checks everything the type alone does not hold. A signed agreement that fails is refused whole.
    pub fn check(&self) -> Result<(), AgreementError> {
        if self.version != DOCUMENT_VERSION {
            return Err(AgreementError::Version(self.version));
        }
        if self.charter.len() > TEXT_BYTES_MAX {
            return Err(AgreementError::Text("charter"));
        }
        if self.purposes.iter().any(|purpose| purpose.len() > TEXT_BYTES_MAX) {
            return Err(AgreementError::Text("purposes"));
        }
        let starts = self.calendar.epoch_at(self.not_before_s).is_some();
        if !starts || self.not_before_s >= self.not_after_s {
            return Err(AgreementError::Dates);
        }
        count("parties", self.parties.len(), PARTIES_MAX)?;
        count("researchers", self.researchers.len(), PERSONS_MAX)?;
        count("reviewers", self.reviewers.len(), PERSONS_MAX)?;
        count("purposes", self.purposes.len(), PERSONS_MAX)?;
        self.check_distinct()?;
        self.check_organisations()?;
        self.check_quorum()?;
        self.dictionary.check()?;
        self.check_holdings()
    }

    /// Where partners hold different things, each says what: a forgotten one would answer nothing.
    fn check_holdings(&self) -> Result<(), AgreementError> {
        let holdings = &self.dictionary.holdings;
        if holdings.is_empty() {
            return Ok(());
        }
        let listed: BTreeSet<_> = holdings.iter().map(|one| &one.partner).collect();
        let parties: BTreeSet<_> = self.parties.iter().map(|party| &party.partner).collect();
        match listed.symmetric_difference(&parties).next() {
            None => Ok(()),
            Some(partner) => Err(AgreementError::Holdings((*partner).clone())),
        }
    }

    fn check_distinct(&self) -> Result<(), AgreementError> {
        distinct("partner", self.parties.iter().map(|p| p.partner.to_string()))?;
        distinct("unit namespace", self.parties.iter().map(|p| p.unit_namespace.to_string()))?;
        distinct("researcher", self.researchers.iter().map(|p| p.name.to_string()))?;
        distinct("reviewer", self.reviewers.iter().map(|p| p.name.to_string()))?;
        // One key in two roles would let a signature made for one be offered as the other's.
        let keys = self.parties.iter().flat_map(|p| [p.steward_key, p.node_key]);
        let keys = keys.chain(self.researchers.iter().map(|p| p.key));
        distinct("key", keys.chain(self.reviewers.iter().map(|p| p.key)).map(|k| k.to_string()))
    }

    /// A quorum counts organisations by their spelling, so each may have one only.
    fn check_organisations(&self) -> Result<(), AgreementError> {
        let reviewers = self.reviewers.iter().map(|person| &person.organisation);
        let parties = self.parties.iter().map(|party| &party.organisation);
        let mut spellings = std::collections::BTreeMap::new();
        for organisation in reviewers.chain(parties) {
            let folded = organisation.to_lowercase();
            let first = spellings.entry(folded).or_insert(organisation);
            if organisation.is_empty()
                || organisation.trim() != organisation
                || *first != organisation
            {
                return Err(AgreementError::Organisation(organisation.chars().take(80).collect()));
            }
        }
        Ok(())
    }

    fn check_quorum(&self) -> Result<(), AgreementError> {
        let organisations: BTreeSet<_> = self.reviewers.iter().map(|p| &p.organisation).collect();
        let possible = |wanted: u32, there: usize| wanted >= 1 && wanted as usize <= there;
        if possible(self.quorum.approvals, self.reviewers.len())
            && possible(self.quorum.organisations, organisations.len())
            && self.quorum.organisations <= self.quorum.approvals
        {
            return Ok(());
        }
        Err(AgreementError::Quorum {
            reviewers: self.reviewers.len(),
            organisations: organisations.len(),
        })
    }
}

fn count(what: &'static str, found: usize, max: usize) -> Result<(), AgreementError> {
    if (1..=max).contains(&found) {
        Ok(())
    } else {
        Err(AgreementError::Count { what, found, max })
    }
}

fn distinct(
    what: &'static str,
    values: impl Iterator<Item = String>,
) -> Result<(), AgreementError> {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            return Err(AgreementError::Twice { what, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_the_calendar_alone() {
        let calendar = Calendar { start_s: 100, length_s: 10 };
        assert_eq!(calendar.epoch_at(99), None);
        assert_eq!(calendar.epoch_at(100), Some(0));
        assert_eq!(calendar.epoch_at(109), Some(0));
        assert_eq!(calendar.epoch_at(110), Some(1));
        assert_eq!(calendar.epoch_at(i64::MIN), None);
        assert_eq!(Calendar { start_s: 0, length_s: 0 }.epoch_at(5), None);
    }

    #[test]
    fn b06_training_that_lapses_does_so_to_the_second_and_none_is_written_as_ever() {
        let json = format!(r#"{{"name":"rita","organisation":"city","key":"{}"}}"#, "a".repeat(64));
        let untold: Person = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&untold).unwrap(), json);
        assert!(untold.is_trained_at(i64::MAX));
        let lapses = Person { trained_until_s: Some(100), ..untold };
        assert!(lapses.is_trained_at(99) && !lapses.is_trained_at(100));
    }
}
