//! Module bodies: what a guest may see and what it may release.

use super::{dictionary, rho};
use crate::{Construct, Contribute, ModuleColumnKind, PlanError, Planned, Question, plan};
use cloister_terms::{Body, Bounds, Digest, Formula, KeyDimension, KeyValue, ModuleBody};

const ROWS: &str = "SELECT start_city, end_city FROM trips WHERE distance_m >= 200";

fn body(rows: &str) -> ModuleBody {
    let cities = ["Amherst", "Holyoke"].map(|city| KeyValue::Text(city.to_owned())).to_vec();
    let key = |name: &str| KeyDimension { name: name.to_owned(), values: cities.clone() };
    ModuleBody {
        sha256: Digest::new([7; 32]),
        rows: rows.to_owned(),
        keys: vec![key("from"), key("to")],
        value: Bounds::from_steps(0, 1, 0).unwrap(),
        value_name: "riders".to_owned(),
        fuel_per_person: 1_000_000,
    }
}

fn planned(body: ModuleBody) -> Result<Planned, PlanError> {
    let body = Body::Module(body);
    plan(
        &dictionary(),
        &Question {
            body: &body,
            row_cap: 50,
            group_cap: 400,
            spend: rho("0.1"),
            diagnostics: false,
            rounds: 1,
        },
    )
}

#[test]
fn a_module_plans_to_guest_columns_and_one_lane() {
    let planned = planned(body(ROWS)).unwrap();
    let plan = &planned.plan;
    let Contribute::Module(module) = &plan.contribute else { panic!("SQL") };
    let kinds: Vec<_> = module.columns.iter().map(|c| (c.column.as_str(), &c.kind)).collect();
    assert!(matches!(
        kinds[..],
        [
            ("start_city", ModuleColumnKind::Code { .. }),
            ("end_city", ModuleColumnKind::Code { .. })
        ]
    ));
    let read: Vec<_> = plan.tables[0].columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(read, ["distance_m", "start_city", "end_city"], "the filter reads a column too");
    let order: Vec<_> = plan.tables[0].order_columns.iter().map(|name| name.as_str()).collect();
    assert_eq!(order, ["start_time_utc", "trip_id"]);
    assert_eq!(plan.group_cap, 4, "no more groups than the answer has");
    assert_eq!(plan.shape.lanes.len(), 1);
    assert_eq!(plan.shape.lanes[0].sensitivity_steps, 1);
    assert_eq!(plan.shape.columns[2].name, "riders");
    assert_eq!(plan.shape.columns[2].formula, Formula::Total { lane: 0 });
}

#[test]
fn guest_columns_keep_the_selected_order_and_their_types() {
    let rows = "SELECT zone, distance_m, start_time_local, is_member FROM trips";
    let Contribute::Module(module) = planned(body(rows)).unwrap().plan.contribute else { panic!() };
    let kinds: Vec<_> = module.columns.into_iter().map(|column| column.kind).collect();
    let domain = vec![KeyValue::Bool(false), KeyValue::Bool(true)];
    assert_eq!(
        kinds,
        [
            ModuleColumnKind::Int,
            ModuleColumnKind::Float,
            ModuleColumnKind::Timestamp,
            ModuleColumnKind::Code { domain }
        ]
    );
}

#[test]
fn s21_no_identifier_unit_or_free_text_reaches_a_module() {
    let error = |rows: &str| planned(body(rows)).unwrap_err();
    assert!(matches!(error("SELECT trip_id FROM trips"), PlanError::Identifier { .. }));
    assert!(matches!(error("SELECT person_id FROM trips"), PlanError::UnitColumn { .. }));
    assert!(matches!(
        error("SELECT zone FROM trips WHERE trip_id = 1"),
        PlanError::Identifier { .. }
    ));
    assert!(matches!(error("SELECT start_station FROM trips"), PlanError::NoDomain { .. }));
    assert!(matches!(error("SELECT zone, zone FROM trips"), PlanError::Twice { .. }));
    for (rows, construct) in [
        ("SELECT * FROM trips", Construct::Wildcard),
        ("SELECT zone + 1 FROM trips", Construct::ModuleExpression),
        ("SELECT zone AS z FROM trips", Construct::ModuleExpression),
        ("SELECT COUNT(*) FROM trips", Construct::ModuleExpression),
        ("SELECT zone FROM trips GROUP BY zone", Construct::ModuleGroupBy),
        ("SELECT zone FROM trips ORDER BY zone", Construct::OrderBy),
        ("SELECT zone FROM trips LIMIT 1", Construct::Limit),
    ] {
        assert!(
            matches!(error(rows), PlanError::Refused { construct: found, .. } if found == construct),
            "{rows}: {:?}",
            error(rows)
        );
    }
}

#[test]
fn hostile_module_bodies_are_refused() {
    let with = |change: fn(&mut ModuleBody)| {
        let mut body = body(ROWS);
        change(&mut body);
        planned(body).unwrap_err()
    };
    assert!(matches!(with(|b| b.fuel_per_person = 0), PlanError::OutOfRange { .. }));
    assert!(matches!(with(|b| b.fuel_per_person = u64::MAX), PlanError::OutOfRange { .. }));
    assert!(matches!(with(|b| b.value_name = "a\u{1b}[2J".to_owned()), PlanError::Heading { .. }));
    assert!(matches!(with(|b| b.value_name = "from".to_owned()), PlanError::Twice { .. }));
    assert!(matches!(with(|b| b.keys[0].values.clear()), PlanError::ModuleKey { .. }));
    assert!(matches!(
        with(|b| b.keys[0].values[1] = KeyValue::Int(1)),
        PlanError::ModuleKey { .. }
    ));
    let twice = |b: &mut ModuleBody| b.keys[0].values[1] = b.keys[0].values[0].clone();
    assert!(matches!(with(twice), PlanError::ModuleKey { .. }));
    let many = |b: &mut ModuleBody| b.keys[0].values = (0..600_000).map(KeyValue::Int).collect();
    assert!(matches!(with(many), PlanError::ModuleKey { .. }));
    let cells = |b: &mut ModuleBody| {
        b.keys.iter_mut().for_each(|key| key.values = (0..1_001).map(KeyValue::Int).collect());
    };
    assert!(matches!(with(cells), PlanError::Shape(_)));
}
