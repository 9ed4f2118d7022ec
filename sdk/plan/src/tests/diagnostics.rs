//! Diagnostics in a plan: which there are, what they cost, and that a plan without them is the plan it was.

use super::modules::body;
use super::{Q1, dictionary, epsilon, planned, rho};
use crate::draft::analysis_from_toml;
use crate::tests::questions::analysis;
use crate::{PlanError, Planned, Question, Spend, plan, replan};
use cloister_dp::{cost_of, cost_of_lanes};
use cloister_terms::{
    Analysis, Body, Cost, Diagnostic, DiagnosticKind, KeyDimension, KeyValue, ModuleBody, Noise,
};

fn told(text: &str, spend: Spend) -> Result<Planned, PlanError> {
    let body = Body::Sql { text: text.to_owned() };
    let question =
        Question { body: &body, row_cap: 20, group_cap: 6, spend, diagnostics: true, rounds: 1 };
    plan(&dictionary(), &question)
}

fn kinds(planned: &Planned) -> Vec<DiagnosticKind> {
    planned.plan.shape.diagnostics.iter().map(|one| one.kind).collect()
}

/// What the noise of a plan costs, worked out from its shape alone: lanes, and diagnostics in one cell.
fn drawn(planned: &Planned) -> (Cost, Cost) {
    let shape = &planned.plan.shape;
    let lanes = cost_of_lanes(planned.plan.group_cap, &shape.lanes).unwrap();
    let people: Vec<(u64, Noise)> = shape.diagnostics.iter().map(|one| (1, one.noise)).collect();
    (lanes, cost_of(1, &people).unwrap())
}

#[test]
fn a09_diagnostics_are_charged_and_the_cost_is_the_sum_of_all() {
    let units = |cost: Cost| cost.rho.units() + cost.epsilon.units();
    for spend in [epsilon("1"), epsilon("0.777777777"), rho("0.1"), rho("0.033333337")] {
        let offered = spend.epsilon.map_or(0, |e| e.units()) + spend.rho.map_or(0, |r| r.units());
        let found = told(Q1, spend).unwrap();
        assert_eq!(kinds(&found), DiagnosticKind::OF_SQL);
        assert_eq!(units(found.cost), offered, "all of the offer and no more");
        let (lanes, people) = drawn(&found);
        assert!(lanes.checked_add(people).unwrap().within(found.cost));
        assert!(units(people) <= offered / 10 && units(people) + 3 >= offered / 10, "{people}");
        assert!(units(lanes) + 5 >= offered - offered / 10);
        // The same lanes as for nine tenths alone; with the noise of the same law.
        let noise = |one: &Diagnostic| matches!(one.noise, Noise::DiscreteLaplace { .. });
        assert_eq!(found.plan.shape.diagnostics.iter().all(noise), spend.epsilon.is_some());
        assert!(found.notes().iter().any(|note| note.contains("one part in 10 of the cost")));
    }
}

#[test]
fn without_diagnostics_a_plan_is_what_it_was() {
    for spend in [epsilon("1"), rho("0.1")] {
        let (without, with) = (planned(Q1, spend).unwrap(), told(Q1, spend).unwrap());
        assert_ne!(without.digest(), with.digest());
        assert!(without.plan.shape.diagnostics.is_empty());
        let json = serde_json::to_string(&without.plan).unwrap();
        assert!(!json.contains("diagnostics"));
        let document = serde_json::to_string(&analysis(&without, Q1, 20, 6)).unwrap();
        assert!(!document.contains("diagnostics"), "nor is its digest another");
        let read: Analysis = serde_json::from_str(&document).unwrap();
        assert!(!read.diagnostics);
    }
}

#[test]
fn b24_a_node_that_plans_diagnostics_again_gets_the_same_plan_and_cost() {
    let both = Spend { epsilon: epsilon("1").epsilon, rho: rho("0.033333337").rho, delta: None };
    for spend in [epsilon("0.777777777"), rho("0.100000001"), both] {
        let found = told(Q1, spend).unwrap();
        let mut document = analysis(&found, Q1, 20, 6);
        document.diagnostics = true;
        let again = replan(&dictionary(), &document).unwrap();
        assert_eq!((&again.plan, again.cost), (&found.plan, document.cost_per_round));
        assert_eq!(again.digest(), document.plan);
        document.diagnostics = false;
        let other = replan(&dictionary(), &document).unwrap();
        assert_ne!(other.plan.shape, document.shape, "asked for in words, or not at all");
    }
}

#[test]
fn a_part_too_small_for_each_diagnostic_is_refused() {
    let count = "SELECT COUNT(*) AS n FROM trips WHERE distance_m >= 200";
    for spend in [rho("0.000000029"), rho("0.000000009")] {
        assert!(planned(count, spend).is_ok());
        assert_eq!(told(count, spend).err(), Some(PlanError::SpendTooSmall { lanes: 3 }));
    }
    assert!(told(count, rho("0.00000003")).is_ok());
    assert_eq!(told(count, Spend::default()).err(), Some(PlanError::NoSpend));
}

#[test]
fn a_module_counts_whom_it_gives_up_on() {
    let body = Body::Module(ModuleBody {
        keys: vec![KeyDimension {
            name: "city".to_owned(),
            values: vec![KeyValue::Text("Amherst".to_owned())],
        }],
        ..body("SELECT start_city FROM trips")
    });
    let spend = rho("0.1");
    let question =
        Question { body: &body, row_cap: 5, group_cap: 1, spend, diagnostics: true, rounds: 1 };
    let found = plan(&dictionary(), &question).unwrap();
    assert_eq!(kinds(&found), DiagnosticKind::OF_MODULE);
    let explained = crate::explain(&found, 3, None);
    assert_eq!(explained.details.iter().filter(|line| line.starts_with("diagnostic ")).count(), 4);
}

#[test]
fn a_draft_asks_for_diagnostics() {
    let draft = |line: &str| {
        let text = format!(
            "name = \"q\"\nquestion = \"?\"\npurpose = \"p\"\nrow_cap = 4\ngroup_cap = 2\n{line}\n\
             spend = {{ rho = \"0.1\" }}\nsql = \"SELECT COUNT(*) AS n FROM trips\""
        );
        analysis_from_toml(&text, &dictionary(), &|_| unreachable!("no module"))
    };
    let shape = |line: &str| draft(line).unwrap().plan(&dictionary()).unwrap().plan.shape;
    assert_eq!(shape("diagnostics = true").diagnostics.len(), 3);
    assert!(shape("diagnostics = false").diagnostics.is_empty());
    assert!(shape("").diagnostics.is_empty());
    assert!(draft("diagnostics = 1").is_err());
}
