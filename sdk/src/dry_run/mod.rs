//! A dry run: the node's own code over made-up records, with scratch ledgers in folders that go.
//! It shows how an answer will look, never what it will be: no record of anybody is read, nothing is
//! spent, and everything that comes out is marked as mock.

mod mock;

use crate::answer::told;
use cloister_node::catalog::{Catalog, CatalogError};
use cloister_node::measure::MeasureOptions;
use cloister_node::module_fit::workers_here;
use cloister_node::played::{ModuleTrial, Played, PlayedError};
use cloister_node::run::Tables;
use cloister_plan::draft::AnalysisDraft;
use cloister_report::{CombineError, Combined, Report, ReportError, ReportOptions};
use cloister_terms::{Analysis, Cost, Dictionary, Name, OutputShape, ReleaseRecord};
use cloister_wire::{Opened, Round};

/// Most people at each mock partner.
pub const PEOPLE_MAX: u32 = 1_000_000;
/// Most partners that are played; an analysis that asks more is played with these many.
pub const PARTNERS_PLAYED_MAX: usize = 16;
/// What every output starts with.
pub const LABEL: &str = "MOCK";

/// What a dry run is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DryRunOptions {
    /// People at each partner.
    pub people: u32,
    /// The same seed makes the same records; the noise is drawn anew.
    pub seed: u64,
}

impl Default for DryRunOptions {
    fn default() -> Self {
        Self { people: 2_000, seed: 1 }
    }
}

/// A mock answer.
#[derive(Debug)]
pub struct MockAnswer {
    /// The round whose table is the answer; where no partner has shown a group, the first of two.
    pub last: MockRound,
    /// The round before, which found the private groups.
    pub first: Option<MockRound>,
    /// What it was made of.
    pub options: DryRunOptions,
    /// Partners that were played.
    pub partners: usize,
    /// Partners that the analysis asks.
    pub asked: usize,
    /// Rounds that a run of the analysis has.
    pub rounds: u32,
    /// How its module fared, where it has one.
    pub module: Option<ModuleTrial>,
}

/// One round of a mock answer.
#[derive(Debug)]
pub struct MockRound {
    /// From 1.
    pub number: u32,
    /// What it would cost at each partner.
    pub cost: Cost,
    /// The shape of its releases.
    pub shape: OutputShape,
    /// The noised sums.
    pub combined: Combined,
    /// The table, as it would look.
    pub report: Report,
}

/// Why there is no dry run.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The number of people is out of range.
    #[error("a dry run has between 1 and {PEOPLE_MAX} people: {0} were asked for")]
    People(u32),
    /// The scratch folder cannot be written.
    #[error("the scratch folder cannot be written: {0}; look at the disk, or set TMPDIR")]
    Scratch(#[from] std::io::Error),
    /// The made-up tables do not open.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The nodes do not answer.
    #[error("on mock records, {0}")]
    Node(Box<PlayedError>),
    /// The mock releases do not combine.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// The table cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Plays `analysis`, planned from `draft`, at mock partners over `dictionary`, round after round. A second
/// round asks every partner for the private groups that the first one has shown.
pub async fn dry_run(
    draft: &AnalysisDraft,
    analysis: &Analysis,
    dictionary: &Dictionary,
    options: DryRunOptions,
    now_s: i64,
) -> Result<MockAnswer, DryRunError> {
    if !(1..=PEOPLE_MAX).contains(&options.people) {
        return Err(DryRunError::People(options.people));
    }
    let partners: Vec<Name> = analysis.nodes.iter().take(PARTNERS_PLAYED_MAX).cloned().collect();
    let played = Played::new(analysis, &partners, dictionary, now_s).map_err(boxed)?;
    let (module, round) = (draft.module.as_deref(), played.first().map_err(boxed)?);
    let (mut nodes, mut found, mut tried) = (Vec::new(), Vec::new(), None::<ModuleTrial>);
    for (number, partner) in (0u64..).zip(&partners) {
        let folder = tempfile::tempdir()?;
        let seed = options.seed.wrapping_mul(PARTNERS_PLAYED_MAX as u64).wrapping_add(number);
        let recipe = mock::Recipe { dictionary, sql: draft.sql(), people: options.people, seed };
        let sources = recipe.write(folder.path(), &analysis.datasets())?;
        let catalog = Catalog::open(&sources, dictionary)?;
        let options = MeasureOptions { workers: workers_here(), ..MeasureOptions::default() };
        let tables = Tables { catalog, options };
        let node = played.node(partner, folder.path(), tables).map_err(boxed)?;
        found.push(node.release(module, &round, &[]).await.map_err(boxed)?);
        if let Some(wasm) = module {
            let so_far = tried.unwrap_or_default();
            tried = Some(node.tried(wasm, so_far).await.map_err(boxed)?);
        }
        // Kept for a second round only: the records of many partners take room on the disk.
        if analysis.rounds > 1 {
            nodes.push((node, folder));
        }
    }
    let mut last = MockRound::of(&round, &partners, &found)?;
    let second = if analysis.rounds > 1 { played.second(&found).map_err(boxed)? } else { None };
    let mut first = None;
    if let Some(round) = second {
        let mut releases = Vec::new();
        for (node, _) in &nodes {
            releases.push(node.release(module, &round, &found).await.map_err(boxed)?);
        }
        let mut answer = MockRound::of(&round, &partners, &releases)?;
        answer.report = told(answer.report, analysis, found.len());
        first = Some(std::mem::replace(&mut last, answer));
    }
    let (partners, asked, rounds) = (partners.len(), analysis.nodes.len(), analysis.rounds);
    Ok(MockAnswer { last, first, options, partners, asked, rounds, module: tried })
}

fn boxed(error: PlayedError) -> DryRunError {
    DryRunError::Node(Box::new(error))
}

impl MockRound {
    fn of(
        round: &Round,
        partners: &[Name],
        releases: &[Opened<ReleaseRecord>],
    ) -> Result<Self, DryRunError> {
        let records = releases.iter().map(Opened::document);
        let combined = Combined::of_releases(&round.shape, partners, records)?;
        let report = cloister_report::report(&round.shape, &combined)?;
        let (number, cost, shape) = (round.number, round.cost, round.shape.clone());
        Ok(Self { number, cost, shape, combined, report })
    }
}

impl MockAnswer {
    /// What stands above and below every mock table.
    pub fn label(&self) -> String {
        let DryRunOptions { people, seed } = self.options;
        let partners = match (self.partners, self.asked) {
            (1, 1) => "1 partner".to_owned(),
            (played, asked) if played == asked => format!("each of {played} partners"),
            (played, asked) => format!("each of {played} partners ({asked} are asked)"),
        };
        format!(
            "{LABEL}: made-up records of {people} people at {partners}, seed {seed}. Nobody was asked, nothing was spent."
        )
    }

    /// Whether no partner has shown a group that a second round could ask for.
    pub fn found_nothing(&self) -> bool {
        self.last.number < self.rounds
    }

    /// Makes the table of `analysis` anew, with free post-processing. What a first round finds is left as it
    /// is. Errors on adjustments of figures that are not there.
    pub fn adjust(
        &mut self,
        analysis: &Analysis,
        options: &ReportOptions,
    ) -> Result<(), ReportError> {
        if self.found_nothing() {
            return Ok(());
        }
        let MockRound { shape, combined, .. } = &self.last;
        let report = cloister_report::report_with(shape, combined, options)?;
        let found_by = if self.first.is_some() { self.partners } else { 0 };
        self.last.report = told(report, analysis, found_by);
        Ok(())
    }

    /// The answer as JSON, marked.
    pub fn to_json(&self) -> Result<String, ReportError> {
        let first = self.first.as_ref().map(MockRound::json).transpose()?;
        let value = serde_json::json!({
            "mock": true,
            "label": self.label(),
            "people": self.options.people,
            "seed": self.options.seed,
            "partners_played": self.partners,
            "partners_asked": self.asked,
            "rounds": self.rounds,
            "spent": null,
            "module": self.module,
            "first_round": first,
            "round": self.last.number,
            "cost": self.last.cost,
            "report": self.last.report_json()?,
        });
        serde_json::to_string_pretty(&value).map_err(|_| ReportError::Json)
    }
}

impl MockRound {
    fn json(&self) -> Result<serde_json::Value, ReportError> {
        let report = self.report_json()?;
        Ok(serde_json::json!({ "round": self.number, "cost": self.cost, "report": report }))
    }

    fn report_json(&self) -> Result<serde_json::Value, ReportError> {
        serde_json::from_str(&self.report.to_json()?).map_err(|_| ReportError::Json)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use cloister_plan::draft::{DatasetDraft, DraftError, analysis_from_toml, datasets_of};
    use cloister_plan::reference;
    use cloister_terms::{Budget, Calendar, Epsilon, Rho};
    use cloister_wire::SigningKey;
    use std::path::Path;

    const NOW_S: i64 = 1_790_000_000;

    /// An agreement over `dictionary` under which `ada` may spend a rho of 1.
    pub(crate) fn agreement(
        dictionary: &Dictionary,
        partners: &[&str],
    ) -> cloister_terms::Agreement {
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).unwrap().public_key();
        let caps = Budget { rho: "1".parse().unwrap(), ..Budget::ZERO };
        let party = |(at, name): (usize, &&str)| cloister_terms::Party {
            partner: name.parse().unwrap(),
            organisation: (*name).to_owned(),
            steward_key: key(10 + at as u8),
            node_key: key(100 + at as u8),
            unit_namespace: format!("{name}-persons").parse().unwrap(),
            caps,
        };
        cloister_terms::Agreement {
            version: cloister_terms::DOCUMENT_VERSION,
            name: "mobility".parse().unwrap(),
            charter: String::new(),
            purposes: vec!["https://w3id.org/dpv#ScientificResearch".to_owned()],
            not_before_s: 0,
            not_after_s: 4_000_000_000,
            calendar: Calendar { start_s: 0, length_s: 86_400 },
            parties: partners.iter().enumerate().map(party).collect(),
            researchers: vec![cloister_terms::Researcher {
                name: "ada".parse().unwrap(),
                organisation: "university".to_owned(),
                key: key(1),
                caps,
            }],
            reviewers: vec![],
            quorum: cloister_terms::Quorum { approvals: 1, organisations: 1 },
            coordinator: "hub".parse().unwrap(),
            run_time_max_ms: 1,
            dictionary: dictionary.clone(),
        }
    }

    /// Ada's question under that agreement, for a rho of 0.1.
    pub(crate) fn analysis(agreement: &cloister_terms::Agreement) -> Analysis {
        let text = "name = \"q\"\nquestion = \"?\"\npurpose = \"https://w3id.org/dpv#ScientificResearch\"\nrow_cap = 5\ngroup_cap = 3\nspend = { rho = \"0.1\" }\nsql = \"SELECT town, COUNT(*) AS n FROM trips GROUP BY town\"";
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let draft = analysis_from_toml(text, &agreement.dictionary, &none).unwrap();
        let digest = cloister_terms::Digest::new([1; 32]);
        let ada = "ada".parse().unwrap();
        cloister_plan::draft::document_of(&draft, agreement, digest, &ada).unwrap().0
    }

    async fn played(sql: &str, partners: &[&str], people: u32) -> Result<MockAnswer, DryRunError> {
        let dictionary = reference::dictionary().unwrap();
        played_for(&dictionary, sql, partners, people, "rho = \"1\"").await
    }

    async fn played_for(
        dictionary: &Dictionary,
        sql: &str,
        partners: &[&str],
        people: u32,
        spend: &str,
    ) -> Result<MockAnswer, DryRunError> {
        let lines = format!("spend = {{ {spend} }}");
        played_with(dictionary, sql, partners, people, &lines).await
    }

    /// As [`played_for`], with these lines in the draft.
    async fn played_with(
        dictionary: &Dictionary,
        sql: &str,
        partners: &[&str],
        people: u32,
        lines: &str,
    ) -> Result<MockAnswer, DryRunError> {
        let text = format!(
            "name = \"q\"\nquestion = \"?\"\npurpose = \"https://w3id.org/dpv#ScientificResearch\"\nrow_cap = 10\ngroup_cap = 3\n{lines}\nsql = '''{sql}'''"
        );
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let draft = analysis_from_toml(&text, dictionary, &none).unwrap();
        let agreement = agreement(dictionary, partners);
        let digest = cloister_terms::Digest::new([1; 32]);
        let ada = "ada".parse().unwrap();
        let document = cloister_plan::draft::document_of(&draft, &agreement, digest, &ada);
        let (analysis, _) = document.unwrap();
        let options = DryRunOptions { people, seed: 7 };
        dry_run(&draft, &analysis, dictionary, options, NOW_S).await
    }

    /// A question with these further lines, planned under an agreement that `edit` changed.
    fn drafted(
        lines: &str,
        edit: &dyn Fn(&mut cloister_terms::Agreement),
    ) -> Result<(Analysis, cloister_plan::Planned), DraftError> {
        let mut agreement = agreement(&reference::dictionary().unwrap(), &["north", "south"]);
        edit(&mut agreement);
        let sql = "SELECT town, COUNT(*) AS n FROM trips GROUP BY town";
        let text = format!(
            "name = \"q\"\nquestion = \"?\"\npurpose = \"https://w3id.org/dpv#ScientificResearch\"\n{lines}\nsql = '''{sql}'''"
        );
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let draft = analysis_from_toml(&text, &agreement.dictionary, &none)?;
        let digest = cloister_terms::Digest::new([1; 32]);
        cloister_plan::draft::document_of(&draft, &agreement, digest, &"ada".parse().unwrap())
    }

    #[test]
    fn the_planner_chooses_among_the_measures_that_the_agreement_holds() {
        // With so much epsilon, Laplace noise is by far the smaller.
        let both = "row_cap = 5\ngroup_cap = 3\nspend = { epsilon = \"1000\", rho = \"0.1\" }";
        let with_epsilon = |agreement: &mut cloister_terms::Agreement, parties: usize| {
            let epsilon = "5000".parse().unwrap();
            agreement.researchers.iter_mut().for_each(|one| one.caps.epsilon = epsilon);
            agreement.parties.iter_mut().take(parties).for_each(|one| one.caps.epsilon = epsilon);
        };
        let measure = |edit: &dyn Fn(&mut cloister_terms::Agreement)| {
            let cost = drafted(both, edit).unwrap().0.cost_per_round;
            (cost.epsilon > Epsilon::ZERO, cost.rho > Rho::ZERO)
        };
        assert_eq!(measure(&|agreement| with_epsilon(agreement, 2)), (true, false));
        assert_eq!(
            measure(&|agreement| with_epsilon(agreement, 1)),
            (false, true),
            "south has none"
        );
        assert_eq!(measure(&|_| ()), (false, true), "nobody has any");
        let nothing = drafted(both, &|agreement| {
            agreement.researchers[0].caps = Budget::ZERO;
        });
        assert!(matches!(nothing, Err(DraftError::NoMeasure)), "{nothing:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_mock_answer_has_the_noise_that_was_chosen_under_the_agreement() {
        let sql = "SELECT town, COUNT(*) AS n FROM trips GROUP BY town";
        let dictionary = reference::dictionary().unwrap();
        let both = "epsilon = \"1000\", rho = \"0.1\"";
        // Nobody has any epsilon there.
        let answer = played_for(&dictionary, sql, &["north"], 40, both).await.unwrap();
        let noise = answer.last.shape.lanes[0].noise;
        assert!(matches!(noise, cloister_terms::Noise::DiscreteGaussian { .. }), "{noise:?}");
    }

    #[test]
    fn caps_come_from_the_dictionary_or_narrower_from_the_question() {
        let most = |edit: &dyn Fn(&mut cloister_terms::Agreement), lines: &str| {
            let (analysis, planned) =
                drafted(&format!("{lines}\nspend = {{ rho = \"0.1\" }}"), edit).unwrap();
            assert_eq!(planned.digest(), analysis.plan);
            (planned.plan.row_cap, planned.plan.group_cap)
        };
        let rows = reference::dictionary().unwrap().dataset("trips").unwrap().rows_per_unit_max;
        assert_eq!(most(&|_| (), ""), (rows, 3), "three towns");
        let two: &dyn Fn(&mut cloister_terms::Agreement) = &|agreement| {
            let datasets = &mut agreement.dictionary.datasets;
            datasets.iter_mut().for_each(|dataset| dataset.groups_per_unit_max = Some(2));
        };
        assert_eq!(most(two, ""), (rows, 2));
        assert_eq!(most(two, "row_cap = 7\ngroup_cap = 3"), (7, 2), "no question is wider");
        assert_eq!(most(two, "row_cap = 7\ngroup_cap = 1"), (7, 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_mock_answer_looks_like_an_answer_and_says_that_it_is_none() {
        let sql = "SELECT town, COUNT(DISTINCT person_id) AS riders, AVG(distance_km) AS km FROM trips WHERE started_at >= TIMESTAMP '2019-07-01' AND started_at < TIMESTAMP '2019-10-01' GROUP BY town";
        let answer = played(sql, &["north", "south"], 500).await.unwrap();
        assert_eq!((answer.partners, answer.last.report.rows.len()), (2, 3));
        assert!(answer.label().starts_with("MOCK") && answer.label().contains("nothing was spent"));
        // Dates in the question decide when the mock records lie: the filter keeps many of them.
        let riders: f64 = answer
            .last
            .report
            .rows
            .iter()
            .filter_map(|row| row.figures[0].estimate())
            .map(|estimate| estimate.value)
            .sum();
        assert!(riders > 200.0, "{riders}");
        let json: serde_json::Value = serde_json::from_str(&answer.to_json().unwrap()).unwrap();
        assert_eq!(json["mock"], true);
        assert!(json["label"].as_str().unwrap().starts_with("MOCK"));
        assert_eq!(json["report"]["rows"].as_array().unwrap().len(), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_allowed_example_of_the_reference_page_runs_on_mock_records() {
        let dictionary = reference::dictionary().unwrap();
        for entry in reference::entries() {
            if entry.refused.is_none() && !entry.is_module {
                let delta = entry.delta.map(|delta| format!(", delta = \"{delta}\""));
                let spend = format!("rho = \"1\"{}", delta.unwrap_or_default());
                let answer = played_for(&dictionary, &entry.example, &["north"], 40, &spend).await;
                assert!(answer.is_ok(), "`{}`: {:?}", entry.name, answer.err());
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_dry_run_reads_public_tables_as_the_agreement_has_them() {
        let by_region = "SELECT r.region, COUNT(DISTINCT t.person_id) AS riders FROM trips AS t JOIN regions AS r ON t.town = r.town GROUP BY r.region";
        let dictionary = reference::dictionary().unwrap();
        let table = dictionary.public_table("regions").unwrap();
        let riders = |answer: &MockAnswer| -> Vec<(String, f64, f64)> {
            let rows = answer.last.report.rows.iter().map(|row| {
                let figure = row.figures[0].estimate().unwrap();
                (row.keys[0].to_string(), figure.value, figure.plus_minus)
            });
            rows.collect()
        };
        let answer = played(by_region, &["north", "south"], 600).await.unwrap();
        let found = riders(&answer);
        let place = table.columns.iter().position(|c| c.name.as_str() == "region").unwrap();
        let regions: std::collections::BTreeSet<String> = table
            .rows
            .iter()
            .filter_map(|row| match &row[place] {
                Some(cloister_terms::PublicValue::Text(text)) => Some(text.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(
            found.iter().map(|(key, ..)| key.clone()).collect::<std::collections::BTreeSet<_>>(),
            regions
        );
        // Mock riders live in the dictionary's towns, so the public table leads many of them to regions.
        assert!(found.iter().any(|(_, value, half)| value > half), "{found:?}");
        // A public table whose towns nobody has: the same rows, noise alone, and no error.
        let mut elsewhere = dictionary.clone();
        let town = table.columns.iter().position(|c| c.name.as_str() == "town").unwrap();
        for (number, row) in elsewhere.public_tables[0].rows.iter_mut().enumerate() {
            row[town] = Some(cloister_terms::PublicValue::Text(format!("nowhere {number}")));
        }
        let nobody =
            played_for(&elsewhere, by_region, &["north"], 600, "rho = \"1\"").await.unwrap();
        let nobody = riders(&nobody);
        assert_eq!(nobody.len(), found.len());
        let most =
            nobody.iter().map(|(_, value, half)| value.abs() - 4.0 * half).fold(f64::MIN, f64::max);
        assert!(most < 0.0, "{nobody:?}");
    }

    /// By whole kilometres, of which the dictionary lists none.
    const BY_KM: &str = "SELECT CAST(distance_km AS BIGINT) AS km, COUNT(*) AS n FROM trips GROUP BY CAST(distance_km AS BIGINT)";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_question_of_two_rounds_is_played_in_two() {
        let dictionary = reference::dictionary().unwrap();
        let lines = "rounds = 2\nspend = { rho = \"1\", delta = \"0.000001\" }";
        let partners = ["north", "south"];
        let answer = played_with(&dictionary, BY_KM, &partners, 600, lines).await.unwrap();
        let first = answer.first.as_ref().unwrap();
        assert_eq!((first.number, answer.last.number, answer.rounds), (1, 2, 2));
        assert!(!answer.found_nothing());
        // The first counts people and pays for their keys, the second answers each of them.
        assert_eq!(first.cost.rho, answer.last.cost.rho);
        assert!(first.cost.delta > cloister_terms::Delta::ZERO);
        assert_eq!(answer.last.cost.delta, cloister_terms::Delta::ZERO);
        let names = |round: &MockRound| -> Vec<String> {
            round.report.columns.iter().map(|column| column.name.clone()).collect()
        };
        assert!(names(first).contains(&"people".to_owned()), "{:?}", names(first));
        assert!(names(&answer.last).contains(&"n".to_owned()), "{:?}", names(&answer.last));
        let keys = |round: &MockRound| -> std::collections::BTreeSet<String> {
            round.report.rows.iter().map(|row| row.keys[0].to_string()).collect()
        };
        assert!(!keys(first).is_empty());
        assert_eq!(keys(first), keys(&answer.last));
        let mut rows = answer.last.report.rows.iter();
        assert!(rows.all(|row| row.behind.answered == 2), "every partner is asked for all");
        let notes = answer.last.report.notes.join("\n");
        assert!(notes.contains("2 of 2 partners found in a first round"), "{notes}");
        let json: serde_json::Value = serde_json::from_str(&answer.to_json().unwrap()).unwrap();
        assert_eq!(json["round"], 2);
        assert_eq!(json["first_round"]["round"], 1);
        assert_eq!(json["spent"], serde_json::Value::Null);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn where_nobody_shows_a_group_there_is_no_second_round() {
        let dictionary = reference::dictionary().unwrap();
        let lines = "rounds = 2\nspend = { rho = \"0.001\", delta = \"0.000001\" }";
        let mut answer = played_with(&dictionary, BY_KM, &["north"], 3, lines).await.unwrap();
        assert!(answer.found_nothing() && answer.first.is_none());
        assert_eq!((answer.last.number, answer.last.report.rows.len()), (1, 0));
        let agreement = agreement(&dictionary, &["north"]);
        answer.adjust(&analysis(&agreement), &ReportOptions::default()).unwrap();
        assert_eq!(answer.last.number, 1);
    }

    #[tokio::test]
    async fn hostile_sizes_are_refused() {
        for people in [0, PEOPLE_MAX + 1] {
            let answer = played("SELECT COUNT(*) AS n FROM trips", &["north"], people).await;
            assert!(matches!(answer, Err(DryRunError::People(found)) if found == people));
        }
        assert!(toml::from_str::<DatasetDraft>("name = 1").is_err());
        assert!(datasets_of(vec![]).unwrap().check().is_err());
    }
}
