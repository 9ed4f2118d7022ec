//! The reference page of the SQL surface, made from code: each function and construct with an example
//! that a test runs through the planner. An entry that says what the planner does not do fails that
//! test, so the page can never promise more than the code keeps.
//!
//! - `noted`: aggregates and row-wise functions, from the tables beside their code
//! - `allowed`: shapes, each with a text that plans
//! - `refused`: what is left out, each with a text and the very refusal it must end in
//!
//! To add to the page, add a row to a table there, or extend `entries` by a table kept elsewhere.

mod allowed;
mod noted;
mod refused;

use crate::draft::{DictionaryDraft, DraftError};
use crate::error::PlanError;
use crate::limits::{
    CTES_MAX, DOMAIN_STEPS_MAX, EXPRESSION_DEPTH_MAX, LIST_TERMS_MAX, LITERAL_BYTES_MAX,
    NESTING_MAX, OPERATORS_MAX, QUERY_DEPTH_MAX, RESULT_COLUMNS_MAX, STEPS_MAX, TOKENS_MAX,
};
use crate::{Planned, Question, Spend, plan};
use cloister_terms::analysis::{Body, ModuleBody, ModuleLane, ModuleNumbers, ModuleOutputs};
use cloister_terms::limits::{DIMENSIONS_MAX, DOMAIN_VALUES_MAX, LANES_MAX, SQL_BYTES_MAX};
use cloister_terms::{Bounds, Dictionary, Digest, KeyDimension, KeyValue};
use std::borrow::Cow;
use std::fmt::Write;

/// The dictionary of every example, as people write it.
pub const DICTIONARY: &str = include_str!("dictionary.toml");
/// Rows of one person that each example may use.
const ROW_CAP: u32 = 20;
/// Groups that one person counts in, in each example.
const GROUP_CAP: u32 = 3;
/// What each example may cost, in units of 10^-9.
const RHO_UNITS: u64 = 100_000_000;
/// Fuel of each person in examples of modules.
const FUEL: u64 = 1_000_000;
/// The invisible character of an example, and how the page shows it.
const INVISIBLE: (char, &str) = ('\u{200b}', "<U+200B>");

/// Where an entry stands on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What is computed over people.
    Aggregates,
    /// What is computed in one row.
    RowFunctions,
    /// Clauses and operators.
    Shapes,
    /// Clauses and operators that are left out.
    RefusedShapes,
    /// Functions and columns that are left out.
    RefusedNames,
}

/// One function or construct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub group: Group,
    /// How it is written.
    pub name: Cow<'static, str>,
    /// What it does, in plain words; empty where the refusal says it all.
    pub what: Cow<'static, str>,
    /// A whole text that uses it.
    pub example: Cow<'static, str>,
    /// The refusal the text ends in ([`refusal_name`]); `None` when it plans.
    pub refused: Option<&'static str>,
    /// Whether the text chooses the rows of a module, instead of being the whole analysis.
    pub is_module: bool,
    /// The delta that the example spends, for private keys.
    pub delta: Option<&'static str>,
}

/// Why the page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The examples' dictionary is unusable.
    #[error("the dictionary of the examples is unusable: {0}")]
    Dictionary(#[from] DraftError),
    /// An example plans that should be refused, or the other way round.
    #[error("the example of `{name}` does not end as the page says: {found}")]
    Untrue {
        /// The entry.
        name: String,
        /// How it ends.
        found: String,
    },
}

/// Every entry, group by group.
pub fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        noted::entries().chain(allowed::entries()).chain(refused::entries()).collect();
    entries.sort_by_key(|entry| entry.group);
    entries
}

/// The dictionary of the examples.
pub fn dictionary() -> Result<Dictionary, DraftError> {
    let draft: DictionaryDraft =
        toml::from_str(DICTIONARY).map_err(|error| DraftError::Toml(Box::new(error)))?;
    draft.document()
}

/// Plans a text as the examples are planned.
pub fn planned(
    dictionary: &Dictionary,
    text: &str,
    is_module: bool,
    delta: Option<&str>,
) -> Result<Planned, PlanError> {
    let body = match is_module {
        true => Body::Module(module(text)?),
        false => Body::Sql { text: text.to_owned() },
    };
    let rho = cloister_terms::Rho::from_units(RHO_UNITS).ok();
    let delta = delta.and_then(|delta| delta.parse().ok());
    let spend = Spend { rho, epsilon: None, delta };
    plan(
        dictionary,
        &Question {
            body: &body,
            row_cap: ROW_CAP,
            group_cap: GROUP_CAP,
            spend,
            diagnostics: false,
            rounds: 1,
        },
    )
}

/// The name of a refusal, as entries give it: the construct, or else the kind of error.
pub fn refusal_name(error: &PlanError) -> String {
    match error {
        PlanError::Refused { construct, .. } => format!("{construct:?}"),
        other => {
            let whole = format!("{other:?}");
            let end = whole.find(|c: char| !c.is_alphanumeric()).unwrap_or(whole.len());
            whole.get(..end).unwrap_or_default().to_owned()
        }
    }
}

/// The page, in Markdown. Errors when an entry is not true.
pub fn page() -> Result<String, ReferenceError> {
    let dictionary = dictionary()?;
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n```toml\n");
    page.push_str(DICTIONARY.trim_end());
    page.push_str("\n```\n");
    let mut group = None;
    for entry in entries() {
        if group.replace(entry.group) != Some(entry.group) {
            let (title, words) = heading(entry.group);
            // Writing to a String cannot fail.
            let _ = write!(page, "\n## {title}\n\n{words}\n");
        }
        let _ = write!(page, "\n### {}\n\n{}\n", entry.name, told(&dictionary, &entry)?);
        let shown = entry.example.trim().replace(INVISIBLE.0, INVISIBLE.1);
        let _ = write!(page, "\n```sql\n{shown}\n```\n");
    }
    page.push_str(&limits());
    Ok(page)
}

/// The limits of one text: what passes them is too large for an example.
fn limits() -> String {
    format!(
        "
## Limits

A text beyond one of these is refused, before anything is charged.

- the whole text: {SQL_BYTES_MAX} bytes, {TOKENS_MAX} words and signs, {OPERATORS_MAX} operators and keywords
- a constant or a name: {LITERAL_BYTES_MAX} bytes
- a list, such as that of `IN`, branches of `CASE`, arguments: {LIST_TERMS_MAX} terms
- an expression: {EXPRESSION_DEPTH_MAX} levels, chains of `AND` and of `OR` counted once; {NESTING_MAX} open parentheses and `CASE`
- `SELECT`: {RESULT_COLUMNS_MAX} columns
- `GROUP BY` of the answer: {DIMENSIONS_MAX} keys, each of at most {DOMAIN_VALUES_MAX} public values
- all figures together: {LANES_MAX} different counts, sums, leaves of histograms and values counted
- finding the public values of keys and computed columns: {DOMAIN_STEPS_MAX} steps in all, one for each value listed or tried, more for long texts
- `WITH`: {CTES_MAX} names
- `FROM`: {STEPS_MAX} tables, joins, subqueries, unions, groupings and windows in all, {QUERY_DEPTH_MAX} subqueries inside each other, those of `WITH` counted at each use
"
    )
}

/// What the page says of an entry: its own words, or the refusal that the planner gives.
fn told(dictionary: &Dictionary, entry: &Entry) -> Result<String, ReferenceError> {
    let untrue = |found: String| ReferenceError::Untrue { name: entry.name.to_string(), found };
    match (planned(dictionary, &entry.example, entry.is_module, entry.delta), entry.refused) {
        (Ok(_), None) => Ok(entry.what.to_string()),
        (Err(error), Some(name)) if refusal_name(&error) == name => {
            // Where it stands in the example is for the terminal.
            let place = error.place().map(|place| place.to_string()).unwrap_or_default();
            let message = error.to_string().replacen(&place, "", 1);
            let blank = if entry.what.is_empty() { "" } else { " " };
            Ok(format!("{}{blank}Refused: {message}.", entry.what))
        }
        (Ok(_), Some(name)) => Err(untrue(format!("it plans, and should be refused as {name}"))),
        (Err(error), _) => Err(untrue(format!("{}: {error}", refusal_name(&error)))),
    }
}

/// A module whose rows a text chooses; its bytes are never looked at by the planner.
pub fn module(rows: &str) -> Result<ModuleBody, PlanError> {
    let town = |text: &str| KeyValue::Text(text.to_owned());
    let values = vec![town("Ashford"), town("Bramley"), town("Coldmere")];
    Ok(ModuleBody {
        sha256: Digest::new([7; 32]),
        rows: rows.to_owned(),
        keys: vec![KeyDimension { name: "town".to_owned(), values }],
        lanes: vec![ModuleLane {
            name: "people".to_owned(),
            // 0 and 1 are bounds of every grid.
            value: Bounds::from_steps(0, 1, 0).map_err(|_| PlanError::Unwritable)?,
        }],
        numbers: ModuleNumbers::Int,
        outputs: ModuleOutputs::Sparse,
        norm_max_steps: None,
        fuel_per_person: FUEL,
    })
}

fn heading(group: Group) -> (&'static str, &'static str) {
    match group {
        Group::Aggregates => (
            "Aggregates",
            "What is computed over people. Each is released with noise, an error and an interval.",
        ),
        Group::RowFunctions => (
            "Functions",
            "What is computed within one row. All are total: no value of any row makes one fail.",
        ),
        Group::Shapes => ("Clauses and operators", "How a question is put together."),
        Group::RefusedShapes => (
            "Clauses and operators that are refused",
            "Each with what to write instead. Nothing is charged for a refused text.",
        ),
        Group::RefusedNames => (
            "Names and values that are refused",
            "Functions, columns and constants, each with what to write instead.",
        ),
    }
}

const INTRODUCTION: &str = "# SQL in Cloister

This page is made from code: `cargo run -p cloister-plan --example reference` writes it, and a test runs
every example through the planner and compares the page. What is neither here nor made of what is here
is refused.

An analysis is one `SELECT` over the agreement's dictionary. Unknown (`NULL`) counts as no in `WHERE`,
and adds nothing to sums. The examples use this dictionary:
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_example_plans_or_ends_in_exactly_its_refusal() {
        let dictionary = dictionary().unwrap();
        dictionary.check().unwrap();
        let wrong: Vec<String> = entries()
            .iter()
            .filter_map(|entry| told(&dictionary, entry).err())
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let allowed = entries().iter().filter(|entry| entry.refused.is_none()).count();
        assert!(allowed >= 25, "{allowed}");
    }

    #[test]
    fn the_page_is_the_one_that_the_code_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SQL.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let same = kept == page().unwrap();
        assert!(same, "{path} is stale: run `cargo run -p cloister-plan --example reference`");
    }

    #[test]
    fn every_construct_that_is_refused_by_name_has_an_entry() {
        let source = include_str!("../construct.rs");
        let start = source.find("pub enum Construct {").unwrap();
        let body = &source[start..];
        let body = &body[..body.find("\n}").unwrap()];
        let declared: BTreeSet<String> = body
            .lines()
            .skip(1)
            .map(str::trim)
            .filter(|line| !line.starts_with("//") && !line.is_empty())
            .map(|line| line.trim_end_matches(',').to_owned())
            .collect();
        assert!(declared.contains("Statement"), "the constructs were not found");
        let shown: BTreeSet<String> =
            entries().iter().filter_map(|entry| entry.refused).map(str::to_owned).collect();
        let missing = declared.difference(&shown);
        let missing: Vec<_> =
            missing.filter(|name| !BESIDE_THE_TEXT.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "constructs without an example on the page: {missing:?}");
    }

    /// Refusals that no short text ends in: of what is asked for beside the text, of noise that does not fit,
    /// and of limits that the end of the page lists.
    const BESIDE_THE_TEXT: [&str; 23] = [
        "AcrossPrivate",
        "HeldByNobody",
        "TextTooLong",
        "LongLiteral",
        "TooMuchWork",
        "Refused",
        "Dictionary",
        "PlanTooDeep",
        "Shape",
        "OutOfRange",
        "TooSensitive",
        "NoSpend",
        "Measure",
        "RoundsUnused",
        "PrivateSums",
        "Threshold",
        "SpendTooSmall",
        "Calibrate",
        "CostAboveSpend",
        "ModuleKey",
        "ModuleGrids",
        "ModuleRange",
        "Unwritable",
    ];

    #[test]
    fn every_refusal_of_a_text_has_an_entry() {
        let source = include_str!("../error.rs");
        let start = source.find("pub enum PlanError {").unwrap();
        let body = &source[start..];
        let body = &body[..body.find("\n}").unwrap()];
        let declared: BTreeSet<String> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
            .map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect())
            .collect();
        assert!(declared.contains("UnionParts"), "the refusals were not found");
        let shown: BTreeSet<String> =
            entries().iter().filter_map(|entry| entry.refused).map(str::to_owned).collect();
        let missing = declared.difference(&shown);
        let missing: Vec<_> =
            missing.filter(|name| !BESIDE_THE_TEXT.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "refusals without an example on the page: {missing:?}");
    }

    /// The names that stand before `=>` in a part of a source.
    fn names_of(source: &str, from: &str, to: &str) -> BTreeSet<String> {
        let start = source.find(from).unwrap();
        let body = &source[start..];
        let body = &body[..body.find(to).unwrap()];
        let arms = body.lines().filter_map(|line| line.split_once(" => "));
        let names = arms.flat_map(|(names, _)| names.split('"').skip(1).step_by(2));
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_function_that_is_accepted_has_an_entry() {
        let functions = include_str!("../functions.rs");
        let functions = names_of(functions, "fn row_function(", "const OTHER_AGGREGATES");
        let aggregates = include_str!("../aggregate_names.rs");
        let aggregates = names_of(aggregates, "fn aggregate(", "pub struct AggregateNote");
        let is_found = functions.contains("coalesce") && functions.contains("contains");
        assert!(is_found && aggregates.contains("corr"), "the names were not found");
        for (group, names) in [(Group::RowFunctions, functions), (Group::Aggregates, aggregates)] {
            let mut shown = BTreeSet::new();
            for entry in entries().iter().filter(|entry| entry.group == group) {
                let words = entry.name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                shown.extend(words.map(str::to_ascii_lowercase));
            }
            let missing: Vec<_> = names.difference(&shown).collect();
            assert!(missing.is_empty(), "functions without an entry on the page: {missing:?}");
        }
    }

    #[test]
    fn entries_are_told_apart_and_refusals_point_at_their_place() {
        let mut seen = BTreeSet::new();
        let dictionary = dictionary().unwrap();
        for entry in entries() {
            assert!(
                seen.insert((entry.group, entry.name.clone())),
                "`{}` stands twice",
                entry.name
            );
            assert_eq!(entry.refused.is_some(), entry.group >= Group::RefusedShapes);
            assert!(entry.refused.is_some() || entry.what.ends_with('.'), "`{}`", entry.name);
            let Err(error) = planned(&dictionary, &entry.example, entry.is_module, entry.delta)
            else {
                continue;
            };
            let is_placed = error.to_string().contains("(line ");
            let is_pointed = error.pointed(&entry.example).is_some();
            assert!(is_pointed || !is_placed, "`{}` has a place but no caret: {error}", entry.name);
        }
    }

    #[test]
    fn a_page_that_promises_too_much_is_not_made() {
        let dictionary = dictionary().unwrap();
        let entry = entries().first().unwrap().clone();
        let wrong = Entry { example: "SELECT 1".into(), ..entry.clone() };
        assert!(matches!(told(&dictionary, &wrong), Err(ReferenceError::Untrue { .. })));
        let wrong = Entry { refused: Some("Join"), ..entry };
        assert!(matches!(told(&dictionary, &wrong), Err(ReferenceError::Untrue { .. })));
    }
}
