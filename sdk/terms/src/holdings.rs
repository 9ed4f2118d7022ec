//! What each partner holds, where partners differ: which datasets, and which values of a public domain.
//! It is signed with the agreement, so it is public before any row is read; a node's own tables never
//! change it.

use crate::dictionary::Dictionary;
use crate::value::KeyValue;
use crate::{Name, limits::PARTIES_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What one partner holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holdings {
    /// The partner.
    pub partner: Name,
    /// The datasets it holds, at least one; another one is an empty table there.
    pub datasets: Vec<Name>,
    /// Public domains of which it serves a part only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<OwnDomain>,
}

/// The part of a public domain that a partner serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDomain {
    /// The dataset.
    pub dataset: Name,
    /// Its column.
    pub column: Name,
    /// Values of the column's domain, distinct, at least one.
    pub values: Vec<KeyValue>,
}

/// Why holdings are unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldingsError {
    /// A partner stands twice, or there are too many.
    #[error(
        "the holdings of `{0}` stand twice, or of more than {PARTIES_MAX} partners: list each once"
    )]
    Partner(Name),
    /// A dataset is unknown or stands twice, or there is none.
    #[error("the datasets of `{0}` must be datasets of the dictionary, each once, at least one")]
    Datasets(Name),
    /// A part of a domain does not fit.
    #[error(
        "the values of `{column}` that `{partner}` serves must be values of its domain in a dataset it holds, each once, at least one"
    )]
    Domain {
        /// The partner.
        partner: Name,
        /// The column.
        column: Name,
    },
}

impl Holdings {
    /// Whether the partner holds a dataset.
    pub fn holds(&self, dataset: &Name) -> bool {
        self.datasets.contains(dataset)
    }

    /// The values of a column's domain that the partner serves; `None` when it serves the whole domain.
    pub fn values(&self, dataset: &Name, column: &Name) -> Option<&[KeyValue]> {
        let own = self.domains.iter().find(|own| own.dataset == *dataset && own.column == *column);
        own.map(|own| own.values.as_slice())
    }

    fn check(&self, dictionary: &Dictionary) -> Result<(), HoldingsError> {
        let distinct: BTreeSet<_> = self.datasets.iter().collect();
        let known = self.datasets.iter().all(|name| dictionary.dataset(name.as_str()).is_some());
        if self.datasets.is_empty() || distinct.len() != self.datasets.len() || !known {
            return Err(HoldingsError::Datasets(self.partner.clone()));
        }
        let mut columns = BTreeSet::new();
        for own in &self.domains {
            let column = dictionary
                .dataset(own.dataset.as_str())
                .filter(|_| self.holds(&own.dataset))
                .and_then(|dataset| dataset.column(own.column.as_str()));
            let domain = column.and_then(|column| column.domain.as_ref());
            let domain: BTreeSet<_> = domain.into_iter().flatten().collect();
            let values: BTreeSet<_> = own.values.iter().collect();
            let fits = !values.is_empty()
                && values.len() == own.values.len()
                && values.is_subset(&domain)
                && columns.insert((&own.dataset, &own.column));
            if !fits {
                let (partner, column) = (self.partner.clone(), own.column.clone());
                return Err(HoldingsError::Domain { partner, column });
            }
        }
        Ok(())
    }
}

/// Checks all holdings against the dictionary they stand in.
pub(crate) fn check(holdings: &[Holdings], dictionary: &Dictionary) -> Result<(), HoldingsError> {
    let mut partners = BTreeSet::new();
    for one in holdings {
        if !partners.insert(&one.partner) || partners.len() > PARTIES_MAX {
            return Err(HoldingsError::Partner(one.partner.clone()));
        }
        one.check(dictionary)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(holdings: &str) -> Result<(), String> {
        let dataset = |name: &str| {
            format!(
                r#"{{"name":"{name}","description":"","unit_column":"id","rows_per_unit_max":5,"columns":[
                {{"name":"id","type":"int64","description":"","identifier":true}},
                {{"name":"town","type":"text","description":"","domain":[{{"text":"a"}},{{"text":"b"}}]}}]}}"#
            )
        };
        let text = format!(
            r#"{{"datasets":[{},{}],"holdings":{holdings}}}"#,
            dataset("trips"),
            dataset("bills")
        );
        let parsed: Dictionary = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        parsed.check().map_err(|error| error.to_string())
    }

    #[test]
    fn holdings_name_what_the_dictionary_has() {
        let own = r#"{"dataset":"trips","column":"town","values":[{"text":"b"}]}"#;
        let good = format!(
            r#"[{{"partner":"p","datasets":["trips"],"domains":[{own}]}},{{"partner":"q","datasets":["bills","trips"]}}]"#
        );
        dictionary(&good).unwrap();
        dictionary("[]").unwrap();
        let twice = r#"{"partner":"p","datasets":["trips"]}"#;
        for bad in [
            format!("[{twice},{twice}]"),
            r#"[{"partner":"p","datasets":[]}]"#.to_owned(),
            r#"[{"partner":"p","datasets":["trips","trips"]}]"#.to_owned(),
            r#"[{"partner":"p","datasets":["other"]}]"#.to_owned(),
            format!(r#"[{{"partner":"p","datasets":["bills"],"domains":[{own}]}}]"#),
            format!(r#"[{{"partner":"p","datasets":["trips"],"domains":[{own},{own}]}}]"#),
            r#"[{"partner":"p","datasets":["trips"],"domains":[{"dataset":"trips","column":"town","values":[]}]}]"#.to_owned(),
            r#"[{"partner":"p","datasets":["trips"],"domains":[{"dataset":"trips","column":"town","values":[{"text":"c"}]}]}]"#.to_owned(),
            r#"[{"partner":"p","datasets":["trips"],"domains":[{"dataset":"trips","column":"id","values":[{"int":"1"}]}]}]"#.to_owned(),
        ] {
            assert!(dictionary(&bad).is_err(), "{bad}");
        }
    }
}
