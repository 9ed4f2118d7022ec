//! Questions that plan, and what they plan to.

use super::{Q1, dictionary, epsilon, error, lanes, planned, rho};
use crate::{
    ArithmeticOp, Branch, CompareOp, Contribute, Expr, LaneExpr, Literal, PlanError, Question,
    Spend, plan, replan,
};
use cloister_terms::analysis::AnalysisError;
use cloister_terms::shape::ShapeError;
use cloister_terms::{
    Analysis, Body, Bounds, ColumnType, Digest, FigureOp, Formula, KeyValue, Name, Noise, Real,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn column(text: &str) -> Expr {
    Expr::Column { name: name(text) }
}

#[test]
fn q1_plans_as_expected() {
    let planned = planned(Q1, rho("0.1")).unwrap();
    let plan = &planned.plan;
    let read: Vec<_> = plan.tables[0].columns.iter().map(|read| read.name.as_str()).collect();
    assert_eq!(read, ["start_time_local", "distance_m", "start_city", "end_city"]);
    assert_eq!(planned.columns.len(), 1);
    assert_eq!(planned.columns[0].columns.len(), 4);
    assert_eq!(plan.tables[0].unit_column.as_str(), "person_id");
    assert_eq!((plan.row_cap, plan.group_cap, plan.tables[0].table_row_cap), (20, 6, 50));
    let Contribute::Sql(sql) = &plan.contribute else { panic!("a module") };
    assert_eq!(sql.keys[0].expr, column("start_city"));
    assert_eq!(sql.keys[0].domain.len(), 6);
    let Some(Expr::And { all }) = &plan.tables[0].filter else { panic!("no AND") };
    assert_eq!(all.len(), 5);
    let crossing = Expr::Case {
        operand: None,
        branches: vec![Branch {
            when: Expr::Compare {
                op: CompareOp::NotEqual,
                left: Box::new(column("end_city")),
                right: Box::new(column("start_city")),
            },
            then: float(1.0),
        }],
        otherwise: Some(Box::new(float(0.0))),
    };
    // The average sums deviations from the middle of 0 to 1, which one row changes by half as much.
    let bounds = Bounds::from_steps(-1, 1, 1).unwrap();
    let crossing = Expr::Arithmetic {
        op: ArithmeticOp::Subtract,
        left: Box::new(crossing),
        right: Box::new(float(0.5)),
    };
    // The average shares the count of rows: its CASE is NULL on no row.
    assert_eq!(
        sql.lanes,
        [
            LaneExpr::CountUnits,
            LaneExpr::CountRows,
            LaneExpr::SumClamped { expr: crossing, bounds }
        ]
    );
    let shape = &plan.shape;
    let sensitivities: Vec<_> = shape.lanes.iter().map(|lane| lane.sensitivity_steps).collect();
    assert_eq!(sensitivities, [1, 20, 20]);
    let formulas: Vec<_> = shape.columns.iter().map(|column| column.formula.clone()).collect();
    let mid = Formula::Constant { value: Real::new(0.5).unwrap() };
    let mean = Formula::Ratio { numerator: 2, denominator: 1 };
    assert_eq!(
        formulas,
        [
            Formula::Key { dimension: 0 },
            Formula::Total { lane: 0 },
            Formula::Total { lane: 1 },
            Formula::arithmetic(FigureOp::Add, mid, mean)
        ]
    );
    assert_eq!(shape.columns[3].name, "cross_share");
    assert_eq!(shape.cells().unwrap(), 6);
}

fn float(value: f64) -> Expr {
    Expr::literal(Literal::Float(crate::FloatBits::new(value).unwrap()))
}

pub(super) fn analysis(
    planned: &crate::Planned,
    text: &str,
    row_cap: u32,
    group_cap: u32,
) -> Analysis {
    Analysis {
        version: cloister_terms::DOCUMENT_VERSION,
        name: name("cross-town"),
        researcher: name("ada"),
        agreement: Digest::new([1; 32]),
        question: String::new(),
        purpose: String::new(),
        body: Body::Sql { text: text.to_owned() },
        columns: planned.columns.clone(),
        nodes: vec![name("north")],
        recipients: vec![name("ada")],
        row_cap,
        group_cap,
        diagnostics: false,
        cost_per_round: planned.cost,
        rounds: 1,
        max_runs: 1,
        not_before_s: 0,
        not_after_s: 1,
        plan: planned.digest(),
        shape: planned.plan.shape.clone(),
        keys_round: planned.keys_round().cloned(),
    }
}

#[test]
fn what_no_message_carries_is_refused_before_it_is_charged() {
    let body = Body::Sql { text: Q1.to_owned() };
    let spend = epsilon("1");
    let question =
        Question { body: &body, row_cap: 20, group_cap: 6, spend, diagnostics: false, rounds: 1 };
    let planned = plan(&dictionary(), &question).unwrap();
    let mut asked = analysis(&planned, Q1, 20, 6);
    asked.nodes = ["east", "north", "west"].map(name).to_vec();
    assert_eq!(asked.check(), Ok(()));
    // One partner's release fits; those of three do not fit together.
    let lane = asked.shape.lanes[0].clone();
    let values = (0..900_000).map(KeyValue::Int).collect();
    let key = asked.shape.keys[0].clone();
    asked.shape.keys = vec![cloister_terms::KeyDimension { values, ..key }];
    asked.shape.lanes = vec![lane];
    asked.shape.columns.clear();
    asked.shape.recipe = Default::default();
    assert_eq!(asked.check(), Err(AnalysisError::TooManyIntegers { nodes: 3 }));
    asked.nodes.pop();
    assert_eq!(asked.check(), Ok(()));
    asked.shape.lanes.push(asked.shape.lanes[0].clone());
    assert!(matches!(asked.check(), Err(AnalysisError::Shape(ShapeError::Size { .. }))));
}

#[test]
fn b24_a_node_that_plans_again_gets_the_same_plan_shape_and_cost() {
    let both = Spend { epsilon: epsilon("1").epsilon, rho: rho("0.033333337").rho, delta: None };
    let dictionary = dictionary();
    for spend in [epsilon("0.777777777"), rho("0.100000001"), both] {
        for (row_cap, group_cap) in [(20, 6), (1_000_000, 1_000_000), (1, 1), (7, 3)] {
            let body = Body::Sql { text: Q1.to_owned() };
            let question =
                Question { body: &body, row_cap, group_cap, spend, diagnostics: false, rounds: 1 };
            let planned = plan(&dictionary, &question).unwrap();
            let analysis = analysis(&planned, Q1, row_cap, group_cap);
            let again = replan(&dictionary, &analysis).unwrap();
            assert_eq!(again.plan, planned.plan);
            assert_eq!(again.digest(), analysis.plan);
            assert_eq!(again.plan.shape, analysis.shape);
            assert_eq!(again.columns, analysis.columns);
            assert_eq!(again.cost, analysis.cost_per_round);
        }
    }
}

#[test]
fn b24_a_changed_cost_cap_or_text_gives_another_plan() {
    let dictionary = dictionary();
    let planned = planned(Q1, rho("0.1")).unwrap();
    let approved = analysis(&planned, Q1, 20, 6);
    let changes: [fn(&mut Analysis); 4] = [
        |a| a.cost_per_round.rho = "0.2".parse().unwrap(),
        |a| a.row_cap = 21,
        |a| a.group_cap = 5,
        |a| a.body = Body::Sql { text: Q1.replace("200", "201") },
    ];
    for change in changes {
        let mut changed = approved.clone();
        change(&mut changed);
        assert_ne!(replan(&dictionary, &changed).unwrap().digest(), approved.plan);
    }
    let mut free = approved.clone();
    free.cost_per_round = cloister_terms::Cost::ZERO;
    assert_eq!(replan(&dictionary, &free), Err(PlanError::Measure));
    let mut both = approved;
    both.cost_per_round.epsilon = "1".parse().unwrap();
    assert_eq!(replan(&dictionary, &both), Err(PlanError::Measure));
}

#[test]
fn caps_are_lowered_to_what_the_dictionary_and_the_answer_allow() {
    let dictionary = dictionary();
    let caps = |text: &str, row_cap, group_cap| {
        let body = Body::Sql { text: text.to_owned() };
        let planned = plan(
            &dictionary,
            &Question {
                body: &body,
                row_cap,
                group_cap,
                spend: rho("1"),
                diagnostics: false,
                rounds: 1,
            },
        );
        let planned = planned.unwrap();
        (planned.plan.row_cap, planned.plan.group_cap, planned.notes().join("\n"))
    };
    let (rows, groups, notes) = caps(Q1, 500, 500);
    assert_eq!((rows, groups), (50, 6));
    assert!(notes.contains("row cap was lowered from 500 to 50"));
    assert!(notes.contains("group cap was lowered from 500 to 6"));
    assert_eq!(caps(Q1, 4, 6).1, 4, "four rows reach four groups at most");
    assert_eq!(caps("SELECT COUNT(*) FROM trips", 20, 6).1, 1);
}

#[test]
fn equal_lanes_are_one_and_averages_count_what_they_average() {
    let text = "SELECT COUNT(*) AS a, COUNT(*) AS b, COUNT(1) AS c, AVG(distance_m) AS d, \
                COUNT(distance_m) AS e, SUM(distance_m) AS f FROM trips";
    let lanes = lanes(text);
    assert_eq!(lanes.len(), 3);
    assert_eq!(lanes[0], LaneExpr::CountRows);
    assert!(matches!(&lanes[2], LaneExpr::CountNonNull { expr } if *expr == column("distance_m")));
    let two = super::lanes("SELECT AVG(CASE WHEN zone = 1 THEN 1 END) AS share FROM trips");
    assert!(matches!(&two[1], LaneExpr::CountNonNull { .. }), "a CASE without ELSE may be NULL");
}

fn domain(text: &str) -> Vec<KeyValue> {
    planned(text, rho("0.1")).unwrap().plan.shape.keys.remove(0).values
}

#[test]
fn keys_have_public_domains_in_the_order_they_are_written() {
    let text = |value: &str| KeyValue::Text(value.to_owned());
    let bands = "CASE WHEN distance_m < 1000 THEN 'short' WHEN distance_m < 5000 THEN 'mid' \
                 WHEN distance_m < 9000 THEN 'short' ELSE 'long' END";
    for group in ["1", "band", bands] {
        let sql = format!("SELECT {bands} AS band, COUNT(*) AS n FROM trips GROUP BY {group}");
        assert_eq!(domain(&sql), [text("short"), text("mid"), text("long")], "{group}");
    }
    let no_else = "SELECT CASE WHEN zone = 1 THEN 'one' ELSE NULL END AS k, COUNT(*) AS n FROM trips GROUP BY k";
    assert_eq!(domain(no_else), [text("one")]);
    let zones = "SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone";
    assert_eq!(domain(zones), [KeyValue::Int(3), KeyValue::Int(1), KeyValue::Int(2)]);
    let bools = "SELECT is_member, COUNT(*) AS n FROM trips GROUP BY is_member";
    assert_eq!(domain(bools), [KeyValue::Bool(false), KeyValue::Bool(true)]);
    let filled =
        "SELECT COALESCE(start_city, 'nowhere') AS city, COUNT(*) AS n FROM trips GROUP BY city";
    assert_eq!(domain(filled).last(), Some(&text("nowhere")));
}

/// A large domain named in each of many branches is one domain: without that, planning one short text
/// would walk 10^8 values.
#[test]
fn a_column_named_often_adds_its_domain_once() {
    let mut dictionary = super::dictionary();
    let zone =
        dictionary.datasets[0].columns.iter_mut().find(|c| c.name.as_str() == "zone").unwrap();
    zone.domain = Some((0..100_000).map(KeyValue::Int).collect());
    let branches = "WHEN is_member THEN zone ".repeat(950);
    let text =
        format!("SELECT CASE {branches} ELSE 7 END AS z, COUNT(*) AS n FROM trips GROUP BY 1");
    let body = Body::Sql { text };
    let question = Question {
        body: &body,
        row_cap: 1,
        group_cap: 1,
        spend: rho("1"),
        diagnostics: false,
        rounds: 1,
    };
    let planned = plan(&dictionary, &question).unwrap();
    assert_eq!(planned.plan.shape.cells().unwrap(), 100_000);
}

fn bounds(expression: &str) -> Bounds {
    match super::lanes(&format!("SELECT SUM({expression}) AS s FROM trips")).remove(0) {
        LaneExpr::SumClamped { bounds, .. } => bounds,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ranges_and_grids_follow_the_expression() {
    for (expression, min, max, bits) in [
        ("distance_m", "0", "50000", 2),
        ("duration_s", "0", "86400", 0),
        ("-duration_s", "-86400", "0", 0),
        ("distance_m - duration_s", "-86400", "50000", 2),
        ("duration_s * 0.5", "0", "43200", 1),
        ("duration_s / 2", "0", "43200", 20),
        ("clamp(ping_count, 0, 100)", "0", "100", 0),
        ("clamp(ping_count, 0, 0.5)", "0", "0.5", 10),
        ("clamp(speed, -1.25, 3)", "-1.25", "3", 10),
        ("clamp(distance_m, 100, 200)", "100", "200", 2),
        ("CASE WHEN zone = 1 THEN duration_s WHEN zone = 2 THEN -5 END", "-5", "86400", 0),
        ("CASE zone WHEN 1 THEN 0.25 ELSE 7 END", "0.25", "7", 2),
        ("COALESCE(distance_m, -1)", "-1", "50000", 2),
        ("NULLIF(duration_s, 0)", "0", "86400", 0),
        ("duration_s * duration_s", "0", "7464960000", 0),
        ("0", "0", "0", 0),
        // A public list bounds what has no bounds, and nothing that a clamp bounds already.
        ("zone", "1", "3", 0),
        ("CASE WHEN is_member THEN zone * 2 ELSE 0 END", "0", "6", 0),
        ("clamp(zone, 0, 9)", "0", "9", 0),
    ] {
        assert_eq!(bounds(expression), Bounds::parse(min, max, bits).unwrap(), "{expression}");
    }
    // 0.1 is on no binary grid; its range is the fine step above and below it.
    assert_eq!(bounds("CASE WHEN zone = 1 THEN 0.1 ELSE 0 END").grid_bits(), 20);
}

#[test]
fn grids_are_coarsened_before_a_sum_could_leave_exact_integers() {
    let wide = bounds("clamp(speed, 0, 100000000000000.5)");
    assert_eq!(wide.grid_bits(), 2, "2^53 / 20 rows leaves two bits beside 10^14");
    assert!(matches!(
        error("SELECT SUM(clamp(speed, 0, 9007199254740992.0)) AS s FROM trips"),
        PlanError::BoundsTooWide { .. }
    ));
}

#[test]
fn a06_a_sum_without_bounds_is_refused_with_the_fix_named() {
    for sum in [
        "SUM(ping_count)",
        "AVG(speed)",
        "SUM(distance_m + speed)",
        "SUM(1 / distance_m)",
        "SUM(CASE WHEN zone = 1 THEN speed ELSE 0 END)",
        "SUM(COALESCE(speed, 0))",
        "SUM(distance_m / speed)",
        "AVG(NULLIF(ping_count, 3))",
        "SUM(zone * ping_count)",
    ] {
        let error = error(&format!("SELECT COUNT(*) AS n,\n  {sum} AS s FROM trips"));
        assert!(matches!(&error, PlanError::Unbounded { place, .. } if place.line == 2), "{sum}");
        let said = error.to_string();
        assert!(
            said.contains("declare bounds in the dictionary") && said.contains("clamp("),
            "{said}"
        );
    }
}

#[test]
fn a07_a_bound_belongs_to_the_expression_and_not_to_its_name() {
    // A heading that hides the column is refused, whatever it would be bounded by.
    for text in [
        "SELECT SUM(clamp(speed, 0, 9)) AS distance_m FROM trips",
        "SELECT zone AS start_city, COUNT(*) AS n FROM trips GROUP BY start_city",
        "SELECT COUNT(*) AS person_id FROM trips",
        "SELECT COUNT(DISTINCT person_id) AS person_id FROM trips",
    ] {
        assert!(matches!(error(text), PlanError::HeadingIsColumn { .. }), "{text}");
    }
    // A column made a thousand times larger is charged a thousand times the change.
    let steps =
        |text: &str| planned(text, rho("0.1")).unwrap().plan.shape.lanes[0].sensitivity_steps;
    let plain = steps("SELECT SUM(duration_s) AS s FROM trips");
    assert_eq!(plain, 20 * 86_400);
    assert_eq!(steps("SELECT SUM(duration_s * 1000) AS s FROM trips"), 1000 * plain);
    // Clamping first and scaling after is bounded by what comes out.
    assert_eq!(steps("SELECT SUM(clamp(ping_count, 0, 5) * 1000) AS s FROM trips"), 20 * 5_000);
}

#[test]
fn a09_each_lane_is_charged_and_nothing_more() {
    for (text, lanes) in [("COUNT(*)", 1), ("AVG(distance_m)", 2), ("COUNT(*) AS n, AVG(1)", 2)] {
        let planned = planned(&format!("SELECT {text} AS x FROM trips"), rho("0.3")).unwrap();
        assert_eq!(planned.plan.shape.lanes.len(), lanes, "{text}");
        assert_eq!(planned.cost.to_string(), "rho 0.3");
        let drawn: Vec<_> = planned
            .plan
            .shape
            .lanes
            .iter()
            .map(|lane| (lane.sensitivity_steps, lane.noise))
            .collect();
        let cost = cloister_dp::cost_of(planned.plan.group_cap, &drawn).unwrap();
        assert_eq!(cost, planned.cost);
    }
}

#[test]
fn the_mechanism_offered_or_the_closer_one_is_taken() {
    let noise = |spend| planned(Q1, spend).unwrap().plan.shape.lanes[0].noise;
    assert!(matches!(noise(epsilon("1")), Noise::DiscreteLaplace { .. }));
    assert!(matches!(noise(rho("0.1")), Noise::DiscreteGaussian { .. }));
    let both =
        |e: &str, r: &str| Spend { epsilon: epsilon(e).epsilon, rho: rho(r).rho, delta: None };
    assert!(matches!(noise(both("100", "0.01")), Noise::DiscreteLaplace { .. }));
    assert!(matches!(noise(both("0.1", "1")), Noise::DiscreteGaussian { .. }));
}

#[test]
fn names_fold_and_quoted_names_match_exactly() {
    let one = planned("SELECT COUNT(*) AS N FROM Trips T WHERE t.Zone = 1", rho("1")).unwrap();
    let two = planned("select count(*) as n from \"trips\" where ((\"zone\" = +1)) -- x", rho("1"));
    assert_eq!(one.digest(), two.unwrap().digest(), "spelling is not part of the question");
    assert!(matches!(
        error("SELECT COUNT(*) AS n FROM trips WHERE \"Zone\" = 1"),
        PlanError::NoColumn { .. }
    ));
    assert!(matches!(error("SELECT COUNT(*) AS n FROM \"Trips\""), PlanError::NoDataset { .. }));
}

#[test]
fn types_are_settled_by_the_planner() {
    let filter = |text: &str| {
        let planned = planned(&format!("SELECT COUNT(*) AS n FROM trips WHERE {text}"), rho("1"));
        planned.unwrap().plan.tables[0].filter.clone().unwrap()
    };
    let Expr::Compare { left, right, .. } = filter("duration_s >= 1.5") else { panic!() };
    assert!(matches!(*left, Expr::ToFloat { .. }));
    assert_eq!(*right, float(1.5));
    let Expr::InList { list, .. } = filter("distance_m IN (1, 2.5)") else { panic!() };
    assert!(list.iter().all(|value| value.column_type() == ColumnType::Float64));
    let Expr::Between { low, .. } = filter("duration_s BETWEEN -5 AND 5") else { panic!() };
    assert_eq!(*low, Expr::literal(Literal::int(-5)));
}
