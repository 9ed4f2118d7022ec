//! The tour's four partners as mapped tables, and its two questions, whose intervals are looked at:
//! made up by the scenario's generator, or the mobility records of the developer data. It reads what
//! it is given and asks nobody.

use cloister::draft::{analysis_from_toml, dictionary_from_toml};
use cloister_examples::cast::{self, Cast, SEASONS, source_toml};
use cloister_examples::scenario::{PartnerKind, ScenarioSize, write_partner};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_plan::{ContributionPlan, Question, Spend, plan};
use cloister_terms::{Body, Dictionary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Four partners and two questions.
#[derive(Debug)]
pub struct Cohort {
    /// The partners' tables.
    pub catalogs: Vec<Catalog>,
    /// SQL, then the flow matrix.
    pub questions: Vec<Asked>,
}

/// One planned question.
#[derive(Debug)]
pub struct Asked {
    /// Its name.
    pub name: &'static str,
    /// Its plan.
    pub plan: ContributionPlan,
    /// Its module.
    pub module: Option<Vec<u8>>,
}

/// Made-up people, `people` at each partner, written below `folder`. The SQL question is the tour's
/// in kind, with an average too, since an average's interval is a ratio's.
pub fn made_up(people: u32, folder: &Path) -> Cohort {
    let size = ScenarioSize { people, ..ScenarioSize::default() };
    for kind in PartnerKind::ALL {
        write_partner(kind, &size, &folder.join(kind.name())).unwrap();
    }
    let cast = cast::made_up(people, size.seed);
    let sql = format!(
        "SELECT region, COUNT(DISTINCT person_id) AS people, COUNT(*) AS events,
           AVG(CASE WHEN event_time < TIMESTAMP '2024-04-01' THEN 1.0 ELSE 0.0 END) AS in_winter
         FROM events WHERE {SEASONS} GROUP BY region"
    );
    let question = Question {
        body: &Body::Sql { text: sql },
        row_cap: cast.sql.row_cap,
        group_cap: cast.sql.group_cap,
        spend: Spend { epsilon: None, rho: Some("0.05".parse().unwrap()), delta: None },
        diagnostics: false,
        rounds: 1,
    };
    let dictionary = dictionary_from_toml(&cast.dictionary).unwrap();
    let plan = plan(&dictionary, &question).unwrap().plan;
    let sql = Asked { name: "people by region", plan, module: None };
    let questions = vec![sql, asked(&cast.module, &dictionary)];
    Cohort { catalogs: catalogs(&cast, &dictionary, folder), questions }
}

/// The mobility records in the developer data folder `data`, with the tour's questions on them.
pub fn mobility(data: &Path) -> Cohort {
    let cast = cast::real(data);
    let dictionary = dictionary_from_toml(&cast.dictionary).unwrap();
    let questions = [&cast.sql, &cast.module].map(|question| asked(question, &dictionary)).into();
    Cohort { catalogs: catalogs(&cast, &dictionary, data), questions }
}

fn asked(question: &cast::Question, dictionary: &Dictionary) -> Asked {
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/modules");
    let read = |path: &Path| std::fs::read(modules.join(path));
    let draft = analysis_from_toml(&question.toml, dictionary, &read).unwrap();
    let plan = draft.plan(dictionary).unwrap().plan;
    Asked { name: question.name, plan, module: draft.module }
}

/// Each partner's tables; made-up ones lie in `folder`, by the partner's name.
fn catalogs(cast: &Cast, dictionary: &Dictionary, folder: &Path) -> Vec<Catalog> {
    let open = |partner: &cast::Partner| {
        let text = source_toml(cast, partner, &folder.join(partner.name));
        let blocks: BTreeMap<String, Vec<SourceConfig>> = toml::from_str(&text).unwrap();
        Catalog::open(&blocks["source"], dictionary).unwrap()
    };
    cast.partners.iter().map(open).collect()
}
