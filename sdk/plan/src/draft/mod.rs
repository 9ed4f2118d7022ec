//! Agreements, dictionaries and analyses as people write them, in TOML. A draft is turned into a
//! document once; what is signed is always the document, never the draft. Files are read by the caller.

mod agreement;
mod analysis;
mod pointed;
mod public;

pub use agreement::{
    DatasetDraft, DictionaryDraft, agreement_from_toml, datasets_of, dictionary_from_toml,
};
pub use analysis::{AnalysisDraft, analysis_from_toml, document_of};

use cloister_terms::{Budget, Delta, Epsilon, KeyValue, Moment, Rho};
use serde::Deserialize;

/// Why a draft is not a document.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Not TOML of the wanted form; the text names line and key.
    #[error("the draft does not parse: {}", short(&.0.to_string()))]
    Toml(#[from] Box<toml::de::Error>),
    /// A date is not one.
    #[error("`{key} = {text:?}` is no date: write `2026-01-31` or `2026-01-31T12:00:00Z`")]
    Date {
        /// The key.
        key: &'static str,
        /// What it holds.
        text: String,
    },
    /// Dates between which nothing can run.
    #[error(
        "nothing could run: `until` ({until}) must come after `from` ({from}); a question's draft that leaves one out has the agreement's"
    )]
    NoTime {
        /// The first.
        from: String,
        /// The last.
        until: String,
    },
    /// A purpose that nobody agreed on.
    #[error("`{}` is no purpose of the agreement: name one of {known}", short(purpose))]
    Purpose {
        /// As written.
        purpose: String,
        /// The agreement's.
        known: String,
    },
    /// Others are asked, or told, by a draft that one partner asks alone.
    #[error(
        "`{key}` names `{name}`, but a partner alone asks and tells nobody else: leave `{key}` out here"
    )]
    NotAlone {
        /// The key.
        key: &'static str,
        /// Who else.
        name: cloister_terms::Name,
    },
    /// The agreement is unusable.
    #[error(transparent)]
    Agreement(#[from] cloister_terms::agreement::AgreementError),
    /// The analysis is unusable.
    #[error(transparent)]
    Analysis(#[from] cloister_terms::analysis::AnalysisError),
    /// The question cannot be planned.
    #[error("{0}")]
    Plan(#[from] crate::PlanError),
    /// A module without a limit on groups.
    #[error(
        "a module may fill as many groups as it likes: set `group_cap`, the most that one person counts in"
    )]
    GroupCap,
    /// Two measures, of which the agreement holds neither for all who would pay.
    #[error(
        "the agreement gives no measure of `spend` to you and every partner: offer one that all of them hold"
    )]
    NoMeasure,
    /// Neither or both of SQL and module.
    #[error("a draft holds either `sql` or a `[module]` table: write exactly one")]
    Body,
    /// A key takes its values from a column that has no public domain.
    #[error(
        "key `{}`: `{}` is no column with a public domain in the dictionary; write `column = \"dataset.column\"` or `values = [...]`",
        short(key),
        short(column)
    )]
    Domain {
        /// The key.
        key: String,
        /// The column as written.
        column: String,
    },
    /// The longest vector of a module is no decimal on its lanes' grid.
    #[error("`norm_max` of the module: {0}")]
    Norm(cloister_terms::value::BoundsError),
    /// The module is too large.
    #[error("the module has {0} bytes: at most {max} are allowed", max = cloister_terms::limits::MODULE_BYTES_MAX)]
    ModuleSize(usize),
    /// A domain value is no text, integer, truth value or time without a zone.
    #[error(
        "`{0}` cannot be a value of a public domain: use texts, integers, true/false or times without a zone"
    )]
    Value(String),
    /// A value of a public table is not of its column's type.
    #[error(
        "`{0}` in a public table is not of its column's type: correct it, or write {{}} for a missing value"
    )]
    PublicValue(String),
    /// The name is none of the agreement's.
    #[error(
        "`{0}` is not among the agreement's {1}: `cloister agreement show` lists them; correct the name, or agree on a new agreement"
    )]
    Stranger(cloister_terms::Name, &'static str),
    /// A partner that is asked holds nothing of what is read.
    #[error("`{0}` holds none of what this question reads: leave it out of `nodes`")]
    Idle(cloister_terms::Name),
    /// The plan cannot be digested; only a programming error makes one.
    #[error("the plan has no canonical form")]
    Digest,
}

/// Bytes of what a draft holds that an error shows.
const SHOWN_BYTES_MAX: usize = 600;

/// The beginning of a text, all of it when it is short: a line of a draft may be of any length.
fn short(text: &str) -> String {
    match text.get(..text.floor_char_boundary(SHOWN_BYTES_MAX)) {
        Some(start) if start.len() < text.len() => format!("{start} ..."),
        _ => text.to_owned(),
    }
}

/// A budget as written: absent columns are zero.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BudgetDraft {
    epsilon: Epsilon,
    rho: Rho,
    delta: Delta,
}

impl From<BudgetDraft> for Budget {
    fn from(draft: BudgetDraft) -> Self {
        Self { epsilon: draft.epsilon, rho: draft.rho, delta: draft.delta }
    }
}

/// Seconds since 1970 UTC of a date or a time as written.
fn seconds(key: &'static str, text: &str) -> Result<i64, DraftError> {
    use time::format_description::well_known::Rfc3339;
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    time::OffsetDateTime::parse(&whole, &Rfc3339)
        .map(time::OffsetDateTime::unix_timestamp)
        .map_err(|_| DraftError::Date { key, text: text.chars().take(40).collect() })
}

/// A time in words, for an error.
fn moment(at_s: i64) -> String {
    Moment(at_s.saturating_mul(1_000_000)).to_string()
}

fn key_values(values: &[toml::Value]) -> Result<Vec<KeyValue>, DraftError> {
    let refused =
        |value: &toml::Value| DraftError::Value(value.to_string().chars().take(40).collect());
    let value = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(KeyValue::Text(text.clone())),
        toml::Value::Integer(int) => Ok(KeyValue::Int(*int)),
        toml::Value::Boolean(bool) => Ok(KeyValue::Bool(*bool)),
        toml::Value::Datetime(time) => crate::row::parse_time(&time.to_string())
            .map(KeyValue::Timestamp)
            .ok_or_else(|| refused(value)),
        // As `cloister-node describe` and the signed document write it: `{ text = "..." }`.
        toml::Value::Table(_) => value.clone().try_into().map_err(|_| refused(value)),
        other => Err(refused(other)),
    };
    values.iter().map(value).collect()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, DraftError> {
    toml::from_str(text).map_err(|error| DraftError::Toml(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_beginning_of_a_long_line_alone() {
        let long = format!("name = tion{}", "\u{e9} = tion".repeat(20_000));
        let said = agreement_from_toml(&long).unwrap_err().to_string();
        assert!(said.len() < 2 * SHOWN_BYTES_MAX && said.ends_with(" ..."), "{}", said.len());
        let key = DraftError::Domain { key: "k".repeat(9_000), column: "c".repeat(9_000) };
        assert!(key.to_string().len() < 3 * SHOWN_BYTES_MAX);
        let plain = agreement_from_toml("name = 3").unwrap_err().to_string();
        assert!(plain.contains("name = 3") && !plain.ends_with("..."), "{plain}");
    }
}
