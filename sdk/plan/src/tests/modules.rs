//! Module bodies: what a guest may see and what it may release.

use super::{dictionary, rho};
use crate::draft::{DraftError, analysis_from_toml};
use crate::{Construct, Contribute, ModuleColumnKind, PlanError, Planned, Question, plan};
use cloister_terms::{
    Body, Bounds, Digest, Formula, KeyDimension, KeyValue, ModuleBody, ModuleLane, ModuleNumbers,
    ModuleOutputs, Noise, OneOf,
};

const ROWS: &str = "SELECT start_city, end_city FROM trips WHERE distance_m >= 200";

pub(super) fn body(rows: &str) -> ModuleBody {
    let cities = ["Amherst", "Holyoke"].map(|city| KeyValue::Text(city.to_owned())).to_vec();
    let key = |name: &str| KeyDimension { name: name.to_owned(), values: cities.clone() };
    ModuleBody {
        sha256: Digest::new([7; 32]),
        rows: rows.to_owned(),
        keys: vec![key("from"), key("to")],
        lanes: vec![ModuleLane {
            name: "riders".to_owned(),
            value: Bounds::from_steps(0, 1, 0).unwrap(),
        }],
        numbers: ModuleNumbers::Int,
        outputs: ModuleOutputs::Sparse,
        norm_max_steps: None,
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
    assert!(matches!(error("SELECT start_station FROM trips"), PlanError::ModuleText { .. }));
    assert!(matches!(error("SELECT zone, zone FROM trips"), PlanError::Twice { .. }));
    for (rows, construct) in [
        ("SELECT * FROM trips", Construct::Wildcard),
        ("SELECT zone + 1 FROM trips", Construct::ModuleExpression),
        ("SELECT zone AS z FROM trips", Construct::ModuleExpression),
        ("SELECT COUNT(*) FROM trips", Construct::ModuleExpression),
        ("SELECT zone FROM trips GROUP BY zone", Construct::ModuleGroupBy),
        ("SELECT zone FROM trips HAVING COUNT(*) > 1", Construct::ModuleClause),
        ("SELECT zone FROM trips ORDER BY zone", Construct::ModuleClause),
        ("SELECT zone FROM trips LIMIT 1", Construct::ModuleClause),
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
    assert!(matches!(
        with(|b| b.lanes[0].name = "a\u{1b}[2J".to_owned()),
        PlanError::Heading { .. }
    ));
    assert!(matches!(with(|b| b.lanes[0].name = "from".to_owned()), PlanError::Twice { .. }));
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
    assert!(matches!(with(cells), PlanError::Shape { .. }));
}

fn gradient(lanes: usize, grid_bits: u8) -> ModuleBody {
    let bounds = |_| Bounds::from_steps(-(1 << 20), 1 << 20, grid_bits).unwrap();
    let lane = |nth| ModuleLane { name: format!("g{nth}"), value: bounds(nth) };
    ModuleBody {
        keys: vec![],
        lanes: (0..lanes).map(lane).collect(),
        numbers: ModuleNumbers::Float,
        outputs: ModuleOutputs::Dense,
        ..body(ROWS)
    }
}

#[test]
fn lanes_are_charged_apart_and_a_clipped_vector_as_one() {
    let apart = planned(gradient(4, 3)).unwrap();
    let lanes = &apart.plan.shape.lanes;
    assert!(lanes.iter().all(|lane| lane.one_of.is_none() && lane.sensitivity_steps == 1 << 20));
    let headings: Vec<_> = apart.plan.shape.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(headings, ["g0", "g1", "g2", "g3"]);
    let clipped = planned(ModuleBody { norm_max_steps: Some(1_000), ..gradient(4, 3) }).unwrap();
    let lanes = &clipped.plan.shape.lanes;
    let one_of = OneOf { group: 0, total_steps: 2_000, norm_steps: Some(1_000) };
    assert!(
        lanes.iter().all(|lane| lane.one_of == Some(one_of) && lane.sensitivity_steps == 1_000)
    );
    let sigma_sq = |planned: &Planned| match planned.plan.shape.lanes[3].noise {
        Noise::DiscreteGaussian { sigma_sq } => sigma_sq.to_f64(),
        Noise::DiscreteLaplace { .. } => panic!("offered in rho"),
    };
    // rho = norm^2 / (2 sigma^2), all lanes together; apart each lane has a quarter of it for its whole range.
    assert!((sigma_sq(&clipped) / (1e6 / 0.2) - 1.0).abs() < 1e-6);
    assert!((sigma_sq(&apart) / (4.0 * 2f64.powi(40) / 0.2) - 1.0).abs() < 1e-6);
    let notes = clipped.notes().join("\n");
    assert!(notes.contains("scaled down to a length of 125 at most"), "{notes}");
    assert!(
        notes.contains("`g0`, `g1`, `g2`, `g3` is rounded to the grid and kept within"),
        "{notes}"
    );
    // A norm that no vector within the ranges can pass is what they can reach.
    let wide = planned(ModuleBody { norm_max_steps: Some(1 << 40), ..gradient(4, 3) }).unwrap();
    let one_of = wide.plan.shape.lanes[0].one_of.unwrap();
    assert_eq!((one_of.total_steps, one_of.norm_steps), (4 << 20, Some(2 << 20)));
    // And then it costs no more noise than the ranges apart do.
    assert!(sigma_sq(&wide) <= sigma_sq(&apart) * 1.000_001);
}

#[test]
fn a21_outputs_that_no_sandbox_takes_are_refused_when_they_are_planned() {
    let refused = |body: ModuleBody| planned(body).unwrap_err();
    let out_of_range = |body: ModuleBody| matches!(refused(body), PlanError::OutOfRange { .. });
    assert!(out_of_range(gradient(0, 3)) && out_of_range(gradient(200, 3)));
    for norm in [0, u64::MAX, (1 << 53) + 1, 1 << 53] {
        // The last is a norm itself, but not what absolute values may sum to.
        let wide = |nth| ModuleLane {
            name: format!("g{nth}"),
            value: Bounds::from_steps(-(1 << 53), 1 << 53, 3).unwrap(),
        };
        let lanes = (0..4).map(wide).collect();
        let body = ModuleBody { norm_max_steps: Some(norm), lanes, ..gradient(4, 3) };
        assert!(out_of_range(body), "{norm}");
    }
    let mut grids = ModuleBody { norm_max_steps: Some(9), ..gradient(2, 3) };
    grids.lanes[1].value = Bounds::from_steps(0, 1, 4).unwrap();
    assert_eq!(refused(grids.clone()), PlanError::ModuleGrids);
    assert!(planned(ModuleBody { norm_max_steps: None, ..grids }).is_ok());
    for (min, max) in [(1, 9), (-9, -1)] {
        let mut leaves_out_zero = gradient(2, 3);
        leaves_out_zero.lanes[1].value = Bounds::from_steps(min, max, 3).unwrap();
        let lane = "g1".to_owned();
        assert_eq!(refused(leaves_out_zero), PlanError::ModuleRange { lane });
    }
    let key = |values: i64| KeyDimension {
        name: "k".to_owned(),
        values: (0..values).map(KeyValue::Int).collect(),
    };
    let dense = |cells| ModuleBody { keys: vec![key(cells)], ..gradient(2, 3) };
    assert!(planned(dense(32_768)).is_ok() && out_of_range(dense(32_769)));
    // Pairs count by the group cap, here 400.
    let sparse = ModuleBody { outputs: ModuleOutputs::Sparse, ..dense(90_000) };
    assert!(planned(sparse).is_ok());
}

#[test]
fn a_draft_says_how_a_module_gives_its_numbers() {
    let draft = |module: &str| {
        let text = format!(
            "name = \"q\"\nquestion = \"?\"\npurpose = \"p\"\ngroup_cap = 1\n\
             spend = {{ rho = \"0.1\" }}\n[module]\nfile = \"m.wasm\"\n\
             rows = \"SELECT distance_m FROM trips\"\nfuel_per_person = 9\n{module}"
        );
        analysis_from_toml(&text, &dictionary(), &|_| Ok(vec![1]))
    };
    let range = "value = { min = \"-8\", max = \"8\", grid_bits = 2 }";
    let lanes = format!("lanes = [{{ name = \"a\", {range} }}, {{ name = \"b\", {range} }}]");
    let how = "numbers = \"float\"\noutputs = \"dense\"\nnorm_max = \"2.5\"";
    let draft_of = |text: &str| draft(text).unwrap();
    let found = draft_of(&format!("{lanes}\n{how}"));
    let Body::Module(module) = found.question().body else { panic!("SQL") };
    assert_eq!((module.numbers, module.outputs), (ModuleNumbers::Float, ModuleOutputs::Dense));
    assert_eq!((module.norm_max_steps, module.lanes.len()), (Some(10), 2));
    let found = draft_of(&lanes);
    let Body::Module(module) = found.question().body else { panic!("SQL") };
    assert_eq!((module.numbers, module.outputs), (ModuleNumbers::Int, ModuleOutputs::Sparse));
    assert_eq!(module.norm_max_steps, None);
    for off_grid in ["2.6", "-1", "x", ""] {
        let wrong = draft(&format!("{lanes}\nnorm_max = \"{off_grid}\""));
        assert!(matches!(wrong, Err(DraftError::Norm(_))), "{off_grid}");
    }
    assert!(matches!(draft(&format!("{lanes}\nnumbers = \"double\"")), Err(DraftError::Toml(_))));
}
