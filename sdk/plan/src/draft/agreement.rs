//! The draft of an agreement: the document's fields with dates as people write them, budgets whose
//! absent columns are zero, and domains as plain lists.

use super::public::PublicDraft;
use super::{BudgetDraft, DraftError, key_values, moment, parse, seconds};
use cloister_terms::{
    Agreement, Bounds, Calendar, Column, ColumnType, DOCUMENT_VERSION, Dataset, Dictionary,
    Holdings, Name, OwnDomain, Party, Person, PublicKey, Quorum, Researcher,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgreementDraft {
    name: Name,
    charter: String,
    purposes: Vec<String>,
    from: String,
    until: String,
    epoch_days: u32,
    coordinator: Name,
    run_time_max_s: u64,
    quorum: Quorum,
    parties: Vec<PartyDraft>,
    researchers: Vec<ResearcherDraft>,
    reviewers: Vec<ReviewerDraft>,
    dictionary: DictionaryDraft,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyDraft {
    partner: Name,
    organisation: String,
    steward_key: PublicKey,
    node_key: PublicKey,
    unit_namespace: Name,
    caps: BudgetDraft,
    /// The datasets the partner holds; absent at every partner, each holds all.
    datasets: Option<Vec<Name>>,
    /// Public domains of which it serves a part only.
    #[serde(default)]
    domains: Vec<OwnDomainDraft>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnDomainDraft {
    dataset: Name,
    column: Name,
    values: Vec<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResearcherDraft {
    name: Name,
    organisation: String,
    key: PublicKey,
    caps: BudgetDraft,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewerDraft {
    name: Name,
    organisation: String,
    key: PublicKey,
    /// When the training for reviewers lapses; absent, it does not.
    trained_until: Option<String>,
}

/// Datasets and public tables as they are written in a draft.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DictionaryDraft {
    datasets: Vec<DatasetDraft>,
    #[serde(default)]
    public_tables: Vec<PublicDraft>,
}

/// One dataset as it is written in a draft; [`datasets_of`] makes the document's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetDraft {
    name: Name,
    description: String,
    unit_column: Name,
    #[serde(default)]
    order_columns: Vec<Name>,
    rows_per_unit_max: u32,
    groups_per_unit_max: Option<u32>,
    columns: Vec<ColumnDraft>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnDraft {
    name: Name,
    #[serde(rename = "type")]
    column_type: ColumnType,
    description: String,
    #[serde(default)]
    identifier: bool,
    bounds: Option<Bounds>,
    domain: Option<Vec<toml::Value>>,
}

/// The agreement that a TOML draft describes, checked whole.
pub fn agreement_from_toml(text: &str) -> Result<Agreement, DraftError> {
    let draft: AgreementDraft = parse(text)?;
    let (not_before_s, not_after_s) =
        (seconds("from", &draft.from)?, seconds("until", &draft.until)?);
    if not_before_s >= not_after_s {
        let (from, until) = (moment(not_before_s), moment(not_after_s));
        return Err(DraftError::NoTime { from, until });
    }
    let mut dictionary = draft.dictionary.document()?;
    dictionary.holdings = holdings(&draft.parties, &dictionary.datasets)?;
    let party = |party: PartyDraft| Party {
        partner: party.partner,
        organisation: party.organisation,
        steward_key: party.steward_key,
        node_key: party.node_key,
        unit_namespace: party.unit_namespace,
        caps: party.caps.into(),
    };
    let researcher = |person: ResearcherDraft| Researcher {
        name: person.name,
        organisation: person.organisation,
        key: person.key,
        caps: person.caps.into(),
    };
    let agreement = Agreement {
        version: DOCUMENT_VERSION,
        name: draft.name,
        charter: draft.charter,
        purposes: draft.purposes,
        not_before_s,
        not_after_s,
        calendar: Calendar {
            start_s: not_before_s,
            length_s: draft.epoch_days.saturating_mul(86_400),
        },
        parties: draft.parties.into_iter().map(party).collect(),
        researchers: draft.researchers.into_iter().map(researcher).collect(),
        reviewers: draft.reviewers.into_iter().map(reviewer).collect::<Result<_, _>>()?,
        quorum: draft.quorum,
        coordinator: draft.coordinator,
        run_time_max_ms: draft.run_time_max_s.saturating_mul(1_000),
        dictionary,
    };
    agreement.check()?;
    Ok(agreement)
}

fn reviewer(draft: ReviewerDraft) -> Result<Person, DraftError> {
    let until = draft.trained_until.as_deref();
    Ok(Person {
        name: draft.name,
        organisation: draft.organisation,
        key: draft.key,
        trained_until_s: until.map(|text| seconds("trained_until", text)).transpose()?,
    })
}

/// What each partner holds: all of it where the draft does not say, and no list where nobody says.
fn holdings(parties: &[PartyDraft], datasets: &[Dataset]) -> Result<Vec<Holdings>, DraftError> {
    let says = |party: &PartyDraft| party.datasets.is_some() || !party.domains.is_empty();
    if !parties.iter().any(says) {
        return Ok(Vec::new());
    }
    let all = || datasets.iter().map(|dataset| dataset.name.clone()).collect();
    let own = |own: &OwnDomainDraft| {
        let (dataset, column) = (own.dataset.clone(), own.column.clone());
        Ok(OwnDomain { dataset, column, values: key_values(&own.values)? })
    };
    let held = |party: &PartyDraft| {
        Ok(Holdings {
            partner: party.partner.clone(),
            datasets: party.datasets.clone().unwrap_or_else(all),
            domains: party.domains.iter().map(own).collect::<Result<_, DraftError>>()?,
        })
    };
    parties.iter().map(held).collect()
}

/// The dictionary alone: the `[[dictionary.datasets]]` blocks of a TOML draft, checked as part of an
/// agreement is.
pub fn dictionary_from_toml(text: &str) -> Result<Dictionary, DraftError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Alone {
        dictionary: DictionaryDraft,
    }
    let draft: Alone = parse(text)?;
    let dictionary = draft.dictionary.document()?;
    dictionary.check().map_err(cloister_terms::agreement::AgreementError::from)?;
    Ok(dictionary)
}

impl DictionaryDraft {
    /// The dictionary they make; it is checked by whoever signs it. Errors on values that fit no column.
    pub fn document(self) -> Result<Dictionary, DraftError> {
        let public_tables = self.public_tables.into_iter().map(PublicDraft::table);
        let public_tables = public_tables.collect::<Result<_, _>>()?;
        Ok(Dictionary { public_tables, ..datasets_of(self.datasets)? })
    }
}

/// The dictionary of drafted datasets. Errors on domain values of no key type; the dictionary itself is
/// checked by whoever signs it.
pub fn datasets_of(drafts: Vec<DatasetDraft>) -> Result<Dictionary, DraftError> {
    let datasets = drafts.into_iter().map(dataset).collect::<Result<_, _>>()?;
    Ok(Dictionary { datasets, holdings: Vec::new(), public_tables: Vec::new() })
}

fn dataset(draft: DatasetDraft) -> Result<Dataset, DraftError> {
    Ok(Dataset {
        name: draft.name,
        description: draft.description,
        unit_column: draft.unit_column,
        columns: draft.columns.into_iter().map(column).collect::<Result<_, _>>()?,
        order_columns: draft.order_columns,
        rows_per_unit_max: draft.rows_per_unit_max,
        groups_per_unit_max: draft.groups_per_unit_max,
    })
}

fn column(draft: ColumnDraft) -> Result<Column, DraftError> {
    Ok(Column {
        name: draft.name,
        column_type: draft.column_type,
        description: draft.description,
        identifier: draft.identifier,
        bounds: draft.bounds,
        domain: draft.domain.as_deref().map(key_values).transpose()?,
    })
}
