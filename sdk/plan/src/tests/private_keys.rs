//! Keys without a public list: private where the text pays a delta for them, refused otherwise.

use super::{Q1, dictionary, planned, rho, several};
use crate::{Contribute, LaneExpr, PlanError, Planned, Question, Spend, explain, plan};
use cloister_dp::key_threshold;
use cloister_terms::{Body, ColumnType, Delta, Formula, KeyValue};

const STATIONS: &str = "SELECT start_station, COUNT(*) AS n FROM trips GROUP BY start_station";

fn with_delta(text: &str) -> Spend {
    Spend { delta: Some(text.parse().unwrap()), ..rho("0.1") }
}

fn private(text: &str) -> Result<Planned, PlanError> {
    planned(text, with_delta("0.000001"))
}

#[test]
fn a_key_without_a_list_is_private_where_a_delta_is_spent() {
    let planned = private(STATIONS).unwrap();
    let shape = &planned.plan.shape;
    let keys = shape.private_keys.as_ref().unwrap();
    let threshold = keys.threshold.unwrap();
    assert_eq!((keys.types.as_slice(), keys.found.len()), (&[ColumnType::Text][..], 0));
    assert_eq!((shape.cells(), shape.keys[0].values.len()), (Ok(0), 0));
    // A lane of people comes with it, though the text does not ask for one.
    let Contribute::Sql(sql) = &planned.plan.contribute else { panic!("a module") };
    assert_eq!(sql.lanes, [LaneExpr::CountRows, LaneExpr::CountUnits]);
    assert_eq!(threshold.persons_lane, 1);
    let noise = &shape.lanes[1].noise;
    let least = key_threshold(noise, planned.plan.group_cap, threshold.delta).unwrap();
    assert_eq!(threshold.people, least);
    assert!(threshold.people > 1);
    assert_eq!((planned.plan.group_cap, planned.cost.delta), (6, "0.000001".parse().unwrap()));
    assert_eq!(planned.cost.rho, rho("0.1").rho.unwrap());
    assert_eq!(shape.columns[0].formula, Formula::Key { dimension: 0 });
    let json = serde_json::to_string(&planned.plan).unwrap();
    assert_eq!(serde_json::from_str::<crate::ContributionPlan>(&json).unwrap(), planned.plan);
}

#[test]
fn a_public_key_beside_a_private_one_keeps_to_its_values() {
    let text = "SELECT start_station, start_city, COUNT(DISTINCT person_id) AS n FROM trips \
                GROUP BY start_station, start_city";
    let shape = private(text).unwrap().plan.shape;
    assert_eq!(shape.key_threshold().unwrap().persons_lane, 0);
    let sizes: Vec<usize> = shape.keys.iter().map(|key| key.values.len()).collect();
    assert_eq!(sizes, [0, 6]);
    assert_eq!(shape.keys[1].values[0], KeyValue::Text("Amherst".into()));
    // Times and numbers may be private too, and what functions make of them.
    for key in ["date_trunc('day', start_time_utc)", "ping_count", "upper(start_station)"] {
        let text = format!("SELECT {key} AS k, COUNT(*) AS n FROM trips GROUP BY {key}");
        assert!(private(&text).unwrap().plan.shape.private_keys.is_some(), "{key}");
    }
}

#[test]
fn sums_over_groups_that_noise_chose_are_refused_in_one_round_and_planned_in_two() {
    let text = "SELECT start_station, COUNT(*) / SUM(COUNT(*)) OVER () AS share FROM trips \
                GROUP BY start_station";
    let order = format!("{STATIONS} ORDER BY SUM(COUNT(*)) OVER ()");
    for text in [text, &order] {
        let refused = private(text).unwrap_err().to_string();
        assert!(refused.contains("rounds = 2"), "{refused}");
    }
    let body = Body::Sql { text: text.to_owned() };
    let spend = with_delta("0.000001");
    let question =
        Question { body: &body, row_cap: 20, group_cap: 6, spend, diagnostics: false, rounds: 2 };
    let planned = plan(&dictionary(), &question).unwrap();
    assert!(planned.plan.shape.columns[1].formula.is_across());
    assert!(planned.keys_plan.unwrap().shape.columns.iter().all(|c| !c.formula.is_across()));
}

#[test]
fn what_cannot_be_a_private_key_is_refused() {
    assert!(matches!(planned(STATIONS, rho("0.1")), Err(PlanError::NoDomain { .. })));
    let hint = planned(STATIONS, rho("0.1")).unwrap_err().to_string();
    assert!(hint.contains("delta"), "{hint}");
    assert_eq!(private(Q1), Err(PlanError::DeltaUnused));
    assert_eq!(private("SELECT COUNT(*) AS n FROM trips"), Err(PlanError::DeltaUnused));
    // Identifiers name people (row S21), and no two doubles need be the same.
    let unit = private("SELECT person_id, COUNT(*) AS n FROM trips GROUP BY person_id");
    assert!(matches!(unit, Err(PlanError::UnitColumn { .. })), "{unit:?}");
    for key in ["bike_id", "trip_id"] {
        let text = format!("SELECT {key}, COUNT(*) AS n FROM trips GROUP BY {key}");
        assert!(matches!(private(&text), Err(PlanError::Identifier { .. })), "{key}");
    }
    let text = "SELECT speed, COUNT(*) AS n FROM trips GROUP BY speed";
    assert!(matches!(private(text), Err(PlanError::FractionKey { .. })));
    let text =
        "SELECT start_city, COUNT(DISTINCT start_station) AS n FROM trips GROUP BY start_city";
    assert!(matches!(private(text), Err(PlanError::NoDomain { .. })));
    // A delta that protects nobody, none at all, and noise too wide for any threshold.
    for delta in ["1", "2", "0"] {
        let refused = planned(STATIONS, with_delta(delta));
        assert!(matches!(refused, Err(PlanError::Threshold(_))), "{delta}: {refused:?}");
    }
    let spend = Spend { delta: with_delta("0.000001").delta, ..rho("0.000000002") };
    assert!(matches!(planned(STATIONS, spend), Err(PlanError::Threshold(_))));
}

#[test]
fn one_person_brings_no_more_sums_than_memory_is_planned_for() {
    let mut wide = dictionary();
    wide.datasets[0].rows_per_unit_max = 1_000_000;
    let text = "SELECT start_station, MEDIAN(distance_m) AS m FROM trips GROUP BY start_station";
    let of = |group_cap| {
        let body = Body::Sql { text: text.into() };
        let spend = Spend { delta: with_delta("0.000001").delta, ..rho("100000") };
        let (row_cap, diagnostics) = (1_000_000, false);
        plan(&wide, &Question { body: &body, row_cap, group_cap, spend, diagnostics, rounds: 1 })
    };
    let refused = of(1_000_000).unwrap_err();
    assert!(matches!(refused, PlanError::PrivateSums { found, .. } if found > 1 << 20));
    let pointed = refused.pointed(text).unwrap();
    assert_eq!(text.rfind("start_station"), Some(pointed.shown_column - 1));
    assert!(of(2).unwrap().plan.shape.private_keys.is_some());
}

#[test]
fn the_threshold_falls_with_delta_and_rises_with_groups() {
    let threshold = |delta: &str, group_cap| {
        let body = Body::Sql { text: STATIONS.into() };
        let question = Question {
            body: &body,
            row_cap: 20,
            group_cap,
            spend: with_delta(delta),
            diagnostics: false,
            rounds: 1,
        };
        plan(&dictionary(), &question).unwrap().plan.shape.key_threshold().unwrap().people
    };
    assert!(threshold("0.000000001", 2) > threshold("0.0001", 2));
    assert!(threshold("0.0001", 6) > threshold("0.0001", 1));
}

#[test]
fn people_are_told_what_is_left_out() {
    let planned = private(STATIONS).unwrap();
    let threshold = planned.plan.shape.key_threshold().unwrap().people;
    let told = explain(&planned, 3, None);
    assert_eq!((told.groups, told.shown_from), (0, Some(threshold)));
    let text = told.to_string();
    assert!(text.contains(&format!("from {threshold} people on")), "{text}");
    assert!(text.contains(&format!("about {threshold} people or more")), "{text}");
    assert!(text.contains("at most 10000 groups"), "{text}");
    assert!(!text.contains("every public group"), "{text}");
}

#[test]
fn partners_that_hold_nothing_of_it_are_not_asked() {
    let mut json = serde_json::to_value(several()).unwrap();
    json["holdings"] = serde_json::from_str(
        r#"[{"partner":"bikes","datasets":["mob"]},{"partner":"shop","datasets":["ret"]}]"#,
    )
    .unwrap();
    let dictionary = serde_json::from_value(json).unwrap();
    let of = |text: &str| {
        let body = Body::Sql { text: text.into() };
        let spend = with_delta("0.000001");
        plan(
            &dictionary,
            &Question {
                body: &body,
                row_cap: 20,
                group_cap: 6,
                spend,
                diagnostics: false,
                rounds: 1,
            },
        )
    };
    let planned = of("SELECT station, COUNT(*) AS n FROM mob GROUP BY station").unwrap();
    assert_eq!(planned.holders, Some(vec!["bikes".parse().unwrap()]));
    assert!(planned.plan.shape.served.is_empty());
    let nobody = of("SELECT visits, COUNT(*) AS n FROM clinic GROUP BY visits");
    assert_eq!(nobody, Err(PlanError::HeldByNobody));
    assert_eq!(planned.cost.delta, "0.000001".parse::<Delta>().unwrap());
}

fn in_two_rounds(text: &str, spend: Spend) -> Result<Planned, PlanError> {
    let body = Body::Sql { text: text.into() };
    let question =
        Question { body: &body, row_cap: 20, group_cap: 6, spend, diagnostics: false, rounds: 2 };
    plan(&dictionary(), &question)
}

#[test]
fn of_two_rounds_the_first_counts_people_alone_and_the_second_no_people_unasked() {
    let planned = in_two_rounds(STATIONS, with_delta("0.000001")).unwrap();
    let (first, answer) = (planned.keys_plan.as_ref().unwrap(), &planned.plan);
    let lanes = |plan: &crate::ContributionPlan| match &plan.contribute {
        Contribute::Sql(sql) => sql.lanes.clone(),
        Contribute::Module(_) => panic!("a module"),
    };
    assert_eq!(lanes(first), [LaneExpr::CountUnits]);
    assert_eq!(lanes(answer), [LaneExpr::CountRows]);
    // A person's rows are read and bounded alike, or keys would be found that nobody answers.
    assert_eq!(
        (&first.tables, first.row_cap, first.group_cap),
        (&answer.tables, answer.row_cap, answer.group_cap)
    );
    let threshold = first.shape.key_threshold().unwrap();
    assert_eq!(answer.shape.key_threshold(), None);
    // All that a round costs is spent on the one count, which shows keys sooner than one of two does.
    let one_round = private(STATIONS).unwrap().plan.shape.key_threshold().unwrap();
    assert!(threshold.people < one_round.people, "{} {}", threshold.people, one_round.people);
    assert_eq!(planned.cost, private(STATIONS).unwrap().cost);
    let round = planned.keys_round().unwrap();
    assert_eq!((&round.shape, round.plan), (&first.shape, first.digest().unwrap()));
    assert_ne!(round.plan, planned.digest());
    // Keys that were found are parameters of a round and no part of the question.
    let found = answer.shape.of_keys(vec![vec![KeyValue::Text("Hampden".into())]]);
    assert_eq!(planned.of_round(2, &found).digest().unwrap(), planned.digest());
    assert_eq!(planned.of_round(1, &first.shape), *first);
    let both = Spend { epsilon: Some("0.5".parse().unwrap()), ..with_delta("0.000001") };
    let chosen = in_two_rounds(STATIONS, both).unwrap();
    let noise = |plan: &crate::ContributionPlan| std::mem::discriminant(&plan.shape.lanes[0].noise);
    assert_eq!(noise(chosen.keys_plan.as_ref().unwrap()), noise(&chosen.plan), "one measure");
}

#[test]
fn two_rounds_over_public_keys_are_refused() {
    assert_eq!(in_two_rounds(Q1, rho("0.1")), Err(PlanError::RoundsUnused));
    assert_eq!(
        in_two_rounds("SELECT COUNT(*) AS n FROM trips", rho("0.1")),
        Err(PlanError::RoundsUnused)
    );
    assert!(matches!(in_two_rounds(STATIONS, rho("0.1")), Err(PlanError::NoDomain { .. })));
    let body = Body::Sql { text: STATIONS.into() };
    for rounds in [0, 3, u32::MAX] {
        let spend = with_delta("0.000001");
        let question =
            Question { body: &body, row_cap: 20, group_cap: 6, spend, diagnostics: false, rounds };
        let refused = plan(&dictionary(), &question);
        assert!(
            matches!(refused, Err(PlanError::OutOfRange { what: "rounds", .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn people_are_told_of_both_rounds() {
    let planned = in_two_rounds(STATIONS, with_delta("0.000001")).unwrap();
    let threshold = planned.keys_plan.as_ref().unwrap().shape.key_threshold().unwrap().people;
    let told = explain(&planned, 3, None);
    assert_eq!(told.shown_from, Some(threshold));
    let text = format!("{told:#}");
    assert!(
        text.contains(&format!(
            "in a first round each partner shows a group from {threshold} people on"
        )),
        "{text}"
    );
    assert!(text.contains("a run has two rounds"), "{text}");
    assert!(text.contains(&format!("tau {threshold}")), "{text}");
    // A budget must cover both rounds, or the first would be paid for nothing.
    let left = |rho: &str| cloister_terms::Budget {
        rho: rho.parse().unwrap(),
        delta: "0.000001".parse().unwrap(),
        ..cloister_terms::Budget::ZERO
    };
    let told = |rho| explain(&planned, 3, Some(left(rho))).cost.join("; ");
    assert!(told("0.15").contains("does not cover it"), "{}", told("0.15"));
    let once = told("0.2");
    assert!(once.split("; ").any(|line| line == "the budget left covers 1 such run"), "{once}");
}
