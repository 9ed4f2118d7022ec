//! What a steward agrees on with herself: dictionary, unit namespace, epochs. From the real agreement
//! where there is one, else from a local file; it must give the same digest each time, so that the
//! same question is the same question.

use crate::agreement::{NotOurAgreement, SignedAgreement};
use crate::catalog::SourceConfig;
use cloister_plan::draft::{DictionaryDraft, DraftError};
use cloister_terms::limits::DOCUMENT_BYTES_MAX;
use cloister_terms::{
    Agreement, Budget, Calendar, DOCUMENT_VERSION, Dictionary, Name, Party, PublicKey, Quorum,
    Researcher,
};
use cloister_wire::SigningKey;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// First second at which nothing may run under an agreement of one: 2100-01-01 UTC.
const LOCAL_END_S: i64 = 4_102_444_800;
/// Seconds of a day.
const DAY_S: u32 = 86_400;
/// Longest epoch, in days.
const EPOCH_DAYS_MAX: u32 = 36_600;
/// Purpose of a steward's own questions where none is named (W3C DPV).
const PURPOSE: &str = "https://w3id.org/dpv#ScientificResearch";

/// `[local]` of `node.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalConfig {
    /// Dictionary and sources, as `cloister-node describe` drafts them.
    pub file: PathBuf,
    /// The unit namespace whose account is charged; without it, the partner's name with `-persons`.
    pub unit_namespace: Option<Name>,
    /// Length of a release epoch, days.
    pub epoch_days: u32,
    /// Purposes that questions may have.
    pub purposes: Vec<String>,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            file: PathBuf::from("local.toml"),
            unit_namespace: None,
            epoch_days: 30,
            purposes: vec![PURPOSE.to_owned()],
        }
    }
}

/// What questions of one partner alone stand under.
#[derive(Debug, Clone)]
pub struct LocalTerms {
    /// The partner.
    pub partner: Name,
    /// The unit namespace whose account is charged.
    pub unit_namespace: Name,
    /// The dictionary.
    pub dictionary: Dictionary,
    /// Purposes that questions may have.
    pub purposes: Vec<String>,
    /// Release epochs.
    pub calendar: Calendar,
}

/// Why a local file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be read.
    #[error(
        "`{path}` cannot be read: {cause}; draft it with `cloister-node describe FILE > {path}`, correct it, and ask again",
        path = path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is no such TOML.
    #[error("`{path}` does not parse: {detail}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, key and what is wrong.
        detail: String,
    },
    /// The dictionary in it is unusable.
    #[error("`{path}`: {error}", path = path.display())]
    Dictionary {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<DraftError>,
    },
    /// The length of an epoch is out of range.
    #[error("`epoch_days` is {0}: it must be between 1 and {EPOCH_DAYS_MAX}")]
    Epoch(u32),
    /// No unit namespace can be made of the partner's name.
    #[error("`{0}` is too long to name a unit namespace after: set `unit_namespace` in [local]")]
    Namespace(Name),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalFile {
    dictionary: DictionaryDraft,
    #[serde(default)]
    source: Vec<SourceConfig>,
}

impl LocalTerms {
    /// From the agreement that the partner signed: same dictionary, same account.
    pub fn of_agreement(agreement: &SignedAgreement) -> Self {
        let (document, own) = (agreement.document(), agreement.own());
        Self {
            partner: own.partner.clone(),
            unit_namespace: own.unit_namespace.clone(),
            dictionary: document.dictionary.clone(),
            purposes: document.purposes.clone(),
            calendar: document.calendar,
        }
    }

    /// From a local file, with the sources that stand in it.
    pub fn of_file(
        partner: &Name,
        config: &LocalConfig,
    ) -> Result<(Self, Vec<SourceConfig>), LocalError> {
        let path = &config.file;
        let text = read(path)?;
        let file: LocalFile = toml::from_str(&text).map_err(|error| LocalError::Malformed {
            path: path.clone(),
            detail: error.to_string().trim().to_owned(),
        })?;
        let wrong = |error| LocalError::Dictionary { path: path.clone(), error: Box::new(error) };
        let dictionary = file.dictionary.document().map_err(wrong)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut sources = file.source;
        sources.iter_mut().for_each(|source| source.resolve(folder));
        if !(1..=EPOCH_DAYS_MAX).contains(&config.epoch_days) {
            return Err(LocalError::Epoch(config.epoch_days));
        }
        let unit_namespace = match &config.unit_namespace {
            Some(name) => name.clone(),
            None => Name::new(format!("{partner}-persons"))
                .map_err(|_| LocalError::Namespace(partner.clone()))?,
        };
        let length_s = config.epoch_days.saturating_mul(DAY_S);
        let terms = Self {
            partner: partner.clone(),
            unit_namespace,
            dictionary,
            purposes: config.purposes.clone(),
            calendar: Calendar { start_s: 0, length_s },
        };
        Ok((terms, sources))
    }

    /// The dictionary with this partner's holdings alone: others are no party to its own questions.
    fn own_dictionary(&self) -> Dictionary {
        let mut dictionary = self.dictionary.clone();
        dictionary.holdings.retain(|held| held.partner == self.partner);
        dictionary
    }

    /// The agreement of one, signed: the steward is its one researcher, and nobody reviews.
    pub(super) fn agreement(
        &self,
        caps: Budget,
        steward: &SigningKey,
        node_key: PublicKey,
    ) -> Result<SignedAgreement, NotOurAgreement> {
        let organisation = self.partner.to_string();
        let agreement = Agreement {
            version: DOCUMENT_VERSION,
            name: self.partner.clone(),
            charter: "One partner's own questions to its own tables; no answer is sent.".to_owned(),
            purposes: self.purposes.clone(),
            not_before_s: self.calendar.start_s,
            not_after_s: LOCAL_END_S,
            calendar: self.calendar,
            parties: vec![Party {
                partner: self.partner.clone(),
                organisation: organisation.clone(),
                steward_key: steward.public_key(),
                node_key,
                unit_namespace: self.unit_namespace.clone(),
                caps,
            }],
            researchers: vec![Researcher {
                name: self.partner.clone(),
                organisation,
                key: steward.public_key(),
                caps,
            }],
            reviewers: Vec::new(),
            quorum: Quorum { approvals: 0, organisations: 0 },
            coordinator: self.partner.clone(),
            run_time_max_ms: 1,
            dictionary: self.own_dictionary(),
        };
        SignedAgreement::of_one(agreement, steward)
    }
}

fn read(path: &Path) -> Result<String, LocalError> {
    let unreadable = |cause| LocalError::Unreadable { path: path.to_owned(), cause };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > DOCUMENT_BYTES_MAX as u64 {
        return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str, config: LocalConfig) -> Result<LocalTerms, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("local.toml");
        std::fs::write(&file, text).unwrap();
        let partner = "north".parse().unwrap();
        let found = LocalTerms::of_file(&partner, &LocalConfig { file, ..config });
        found.map(|(terms, _)| terms).map_err(|error| error.to_string())
    }

    const DATASET: &str = "[[dictionary.datasets]]\nname = \"trips\"\ndescription = \"\"\nunit_column = \"p\"\nrows_per_unit_max = 5\ncolumns = [{ name = \"p\", type = \"int64\", description = \"\" }]\n";

    #[test]
    fn a_local_file_gives_the_same_agreement_each_time() {
        let terms = of_text(DATASET, LocalConfig::default()).unwrap();
        assert_eq!(terms.unit_namespace.as_str(), "north-persons");
        let steward = SigningKey::from_seed(&[1; 32]).unwrap();
        let node = SigningKey::from_seed(&[2; 32]).unwrap().public_key();
        let made = || terms.agreement(Budget::ZERO, &steward, node).unwrap();
        assert_eq!(made().digest(), made().digest());
        assert!(made().is_of_one());
        // It can never pass for an agreement between partners.
        assert!(made().document().check().is_err());
    }

    #[test]
    fn hostile_files_are_refused_with_what_to_do() {
        let ask = |text: &str| of_text(text, LocalConfig::default()).unwrap_err();
        assert!(ask("datasets = 7").contains("does not parse"));
        assert!(ask(&format!("{DATASET}\nsurprise = 1")).contains("does not parse"));
        let days = |epoch_days| LocalConfig { epoch_days, ..LocalConfig::default() };
        for wrong in [0, u32::MAX] {
            assert!(of_text(DATASET, days(wrong)).unwrap_err().contains("epoch_days"));
        }
        let nowhere = LocalConfig { file: "/nowhere/local.toml".into(), ..LocalConfig::default() };
        let error = LocalTerms::of_file(&"north".parse().unwrap(), &nowhere).unwrap_err();
        assert!(error.to_string().contains("cloister-node describe"), "{error}");
    }
}
