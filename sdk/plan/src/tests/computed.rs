//! Functions of figures, arithmetic on quantiles and distinct counts, conditions on keys, headings in arithmetic:
//! what they plan to, that they cost nothing, and that no text loses its lanes by them.

use super::{error, lanes, planned, rho};
use crate::{LaneExpr, PlanError, explain};
use cloister_terms::{
    Condition, FigureCompare, FigureFunction, FigureOp, Formula, KeyValue, OutputShape, Real,
};

fn shape(text: &str) -> OutputShape {
    planned(text, rho("1")).unwrap_or_else(|error| panic!("{text}: {error}")).plan.shape
}

fn formula(item: &str) -> Formula {
    shape(&format!("SELECT {item} AS x FROM trips")).columns[0].formula.clone()
}

fn call(function: FigureFunction, of: Formula) -> Formula {
    Formula::Call { function, of: Box::new(of) }
}

fn number(value: f64) -> Formula {
    Formula::Constant { value: Real::new(value).unwrap() }
}

fn total(lane: u32) -> Formula {
    Formula::Total { lane }
}

fn having(condition: &str) -> Condition {
    let keys = "zone, is_member, start_city, date_trunc('month', start_time_utc) AS month";
    let range =
        "start_time_utc >= TIMESTAMP '2019-07-01' AND start_time_utc < TIMESTAMP '2019-10-01'";
    let text = format!(
        "SELECT {keys}, COUNT(*) AS n, AVG(duration_s) AS d FROM trips WHERE {range} GROUP BY 1, 2, 3, 4 HAVING {condition}"
    );
    shape(&text).recipe.having.unwrap()
}

fn key(op: FigureCompare, dimension: u32, value: KeyValue) -> Condition {
    Condition::Key { op, dimension, value }
}

fn int(value: i64) -> KeyValue {
    KeyValue::Int(value)
}

fn text(value: &str) -> KeyValue {
    KeyValue::Text(value.to_owned())
}

#[test]
fn functions_of_figures_are_read_as_they_are_written() {
    let round = |digits| FigureFunction::Round { digits };
    for (item, expected) in [
        ("ROUND(COUNT(*))", call(round(0), total(0))),
        ("round(COUNT(*), 2)", call(round(2), total(0))),
        ("ROUND((COUNT(*)), -3)", call(round(-3), total(0))),
        ("ROUND(COUNT(*)::numeric, 1)", call(round(1), total(0))),
        ("ABS(COUNT(*) - 5)", {
            let less = Formula::arithmetic(FigureOp::Subtract, total(0), number(5.0));
            call(FigureFunction::Absolute, less)
        }),
        ("SQRT(CAST(COUNT(*) AS DECIMAL(10, 2)))", call(FigureFunction::SquareRoot, total(0))),
        ("COALESCE(COUNT(*), 0)", total(0)),
        ("COALESCE(ROUND(COUNT(*) / 2, 1), 0)", {
            let half = Formula::arithmetic(FigureOp::Divide, total(0), number(2.0));
            call(round(1), half)
        }),
        ("IFNULL(SUM(duration_s), 7)", total(0)),
        ("NVL(COUNT(DISTINCT start_city), 0)", Formula::Distinct { first_lane: 0, values: 6 }),
    ] {
        assert_eq!(formula(item), expected, "{item}");
    }
    let Formula::Coalesce { of, otherwise } = formula("COALESCE(AVG(duration_s), -1)") else {
        panic!("an average may be undefined")
    };
    assert_eq!((*of, otherwise.value()), (formula("AVG(duration_s)"), -1.0));
    for undefined in ["SQRT(COUNT(*))", "COUNT(*) / SUM(duration_s)", "MEDIAN(duration_s)"] {
        let found = formula(&format!("COALESCE({undefined}, 0)"));
        assert!(matches!(found, Formula::Coalesce { .. }), "{undefined}");
    }
    let percent = formula("ROUND(100.0 * COUNT(*) FILTER (WHERE is_member) / COUNT(*), 1)");
    assert!(matches!(percent, Formula::Call { function: FigureFunction::Round { digits: 1 }, .. }));
    let own = shape(
        "SELECT ROUND(AVG(duration_s), 1), ABS(COUNT(*)), COALESCE(STDDEV(distance_m), 0.5) FROM trips",
    );
    let headings: Vec<_> = own.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        headings,
        ["round(avg(duration_s), 1)", "abs(count(*))", "coalesce(stddev_samp(distance_m), 0.5)"]
    );
}

#[test]
fn functions_of_figures_cost_nothing_and_are_told() {
    let by_zone = |item: &str| {
        planned(&format!("SELECT zone, {item} AS x FROM trips GROUP BY zone"), rho("1")).unwrap()
    };
    for (plain, computed) in [
        ("AVG(duration_s)", "ROUND(AVG(duration_s), 1)"),
        ("AVG(duration_s)", "COALESCE(AVG(duration_s), 0) / 60"),
        ("COUNT(*)", "ABS(SQRT(COUNT(*)) - 3)"),
        ("MEDIAN(duration_s)", "MEDIAN(duration_s) / 60"),
        ("COUNT(DISTINCT start_city)", "COUNT(DISTINCT start_city) * 2"),
    ] {
        let (plain, computed) = (by_zone(plain), by_zone(computed));
        assert_eq!(plain.cost, computed.cost);
        assert_eq!(plain.plan.shape.lanes, computed.plan.shape.lanes);
    }
    let told = explain(&by_zone("ROUND(MEDIAN(duration_s), 0)"), 3, None).to_string();
    assert!(told.contains("known within one band at best"), "{told}");
    assert!(told.contains("is a function of a released figure"), "{told}");
}

#[test]
fn quantiles_and_distinct_counts_are_computed_with() {
    let spread = shape(
        "SELECT APPROX_PERCENTILE_CONT(duration_s, 0.75) - APPROX_PERCENTILE_CONT(duration_s, 0.25) AS iqr, \
         COUNT(DISTINCT start_city) / COUNT(DISTINCT zone) AS each FROM trips",
    );
    assert_eq!(spread.lanes.len(), 64 + 6 + 3, "one histogram for both");
    let Formula::Arithmetic { op: FigureOp::Subtract, left, right } = &spread.columns[0].formula
    else {
        panic!("{:?}", spread.columns[0])
    };
    assert!(matches!((&**left, &**right), (Formula::Quantile(_), Formula::Quantile(_))));
    let many = ["COUNT(DISTINCT start_city)"; 10].join(" + ");
    assert_eq!(shape(&format!("SELECT {many} AS x FROM trips")).lanes.len(), 6);
}

#[test]
fn hostile_arguments_of_functions_are_refused() {
    let refused = |item: &str| error(&format!("SELECT {item} AS x FROM trips"));
    for item in [
        "ROUND(COUNT(*), 16)",
        "ROUND(COUNT(*), -16)",
        "ROUND(COUNT(*), 99999999999)",
        "ROUND(COUNT(*), 1.5)",
        "ROUND(COUNT(*), zone)",
        "ROUND(COUNT(*), 1, 2)",
        "ABS(COUNT(*), 1)",
        "SQRT(COUNT(*), 1)",
        "COALESCE(COUNT(*))",
        "COALESCE(COUNT(*), 0, 1)",
    ] {
        assert!(
            matches!(refused(item), PlanError::Arguments { .. }),
            "{item}: {:?}",
            refused(item)
        );
    }
    for item in ["COALESCE(AVG(duration_s), 1e31)", "COALESCE(AVG(duration_s), 1e999)"] {
        assert!(matches!(refused(item), PlanError::Number { .. }), "{item}");
    }
    assert!(matches!(refused("MAX(COUNT(*))"), PlanError::Extreme { .. }));
    let deep = format!("{}COUNT(*){}", "ROUND(".repeat(30), ")".repeat(30));
    assert!(matches!(refused(&deep), PlanError::TooDeep { .. }));
    let nested = format!("{}COUNT(*){}", "SQRT(".repeat(20), ")".repeat(20));
    assert!(planned(&format!("SELECT {nested} AS x FROM trips"), rho("1")).is_ok());
}

#[test]
fn a_count_of_people_over_case_is_that_with_a_filter() {
    let filtered =
        lanes("SELECT COUNT(DISTINCT person_id) FILTER (WHERE is_member) AS n FROM trips");
    assert!(matches!(filtered.as_slice(), [LaneExpr::CountUnitsWith { .. }]));
    for case in [
        "CASE WHEN is_member THEN person_id END",
        "(CASE WHEN (is_member) THEN (person_id) ELSE NULL END)",
    ] {
        let text = format!("SELECT COUNT(DISTINCT {case}) AS n FROM trips");
        assert_eq!(lanes(&text), filtered, "{case}");
    }
    let both = "SELECT COUNT(DISTINCT CASE WHEN zone = 1 THEN person_id END) FILTER (WHERE is_member) AS n FROM trips";
    assert!(matches!(lanes(both).as_slice(), [LaneExpr::CountUnitsWith { .. }]));
    for other in [
        "CASE WHEN is_member THEN person_id ELSE 5 END",
        "CASE is_member WHEN true THEN person_id END",
        "CASE WHEN is_member THEN person_id WHEN zone = 1 THEN person_id END",
        "CASE WHEN person_id = 5 THEN person_id END",
    ] {
        let text = format!("SELECT COUNT(DISTINCT {other}) AS n FROM trips");
        assert!(matches!(error(&text), PlanError::UnitColumn { .. }), "{other}");
    }
    let id = "SELECT COUNT(DISTINCT CASE WHEN is_member THEN trip_id END) AS n FROM trips";
    assert!(matches!(error(id), PlanError::Identifier { .. }));
}

#[test]
fn conditions_on_keys_are_exact_and_need_no_lane() {
    use FigureCompare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    for (condition, expected) in [
        ("start_city <> 'Amherst'", key(NotEqual, 2, text("Amherst"))),
        ("NOT start_city = 'Amherst'", key(NotEqual, 2, text("Amherst"))),
        ("trips.start_city < 'Holyoke'", key(Less, 2, text("Holyoke"))),
        ("2 >= zone", key(LessOrEqual, 0, int(2))),
        ("zone > 2.0", key(Greater, 0, int(2))),
        ("zone = 1 + 1", key(Equal, 0, int(2))),
        ("is_member", key(Equal, 1, KeyValue::Bool(true))),
        ("NOT is_member", key(Equal, 1, KeyValue::Bool(false))),
        ("is_member = FALSE", key(Equal, 1, KeyValue::Bool(false))),
        (
            "month >= '2019-08-01'",
            key(GreaterOrEqual, 3, KeyValue::Timestamp(1_564_617_600_000_000)),
        ),
        (
            "date_trunc('month', start_time_utc) >= TIMESTAMP '2019-08-01'",
            key(GreaterOrEqual, 3, KeyValue::Timestamp(1_564_617_600_000_000)),
        ),
        ("zone IS NOT NULL", Condition::And { all: vec![] }),
        ("NOT (zone IS NOT NULL)", Condition::Or { any: vec![] }),
        (
            "zone IN (3, 1)",
            Condition::Or { any: vec![key(Equal, 0, int(3)), key(Equal, 0, int(1))] },
        ),
        (
            "zone NOT IN (3, 1)",
            Condition::And { all: vec![key(NotEqual, 0, int(3)), key(NotEqual, 0, int(1))] },
        ),
        (
            "zone BETWEEN 1 AND 2",
            Condition::And {
                all: vec![key(GreaterOrEqual, 0, int(1)), key(LessOrEqual, 0, int(2))],
            },
        ),
        (
            "zone NOT BETWEEN 1 AND 2",
            Condition::Or { any: vec![key(Less, 0, int(1)), key(Greater, 0, int(2))] },
        ),
    ] {
        assert_eq!(having(condition), expected, "{condition}");
    }
    let plain = "SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone";
    let chosen = planned(&format!("{plain} HAVING zone <> 2"), rho("1")).unwrap();
    let plain = planned(plain, rho("1")).unwrap();
    assert_eq!((chosen.cost, chosen.plan.shape.lanes.len()), (plain.cost, 1));
    let wrong = |condition: &str| {
        error(&format!(
            "SELECT zone, start_city, COUNT(*) AS n FROM trips GROUP BY 1, 2 HAVING {condition}"
        ))
    };
    for condition in ["zone = 'x'", "zone = 1.5", "start_city = 3", "start_city IN ('a', 3)"] {
        assert!(matches!(wrong(condition), PlanError::Type { .. }), "{condition}");
    }
    assert!(matches!(wrong("zone = NULL"), PlanError::Refused { .. }));
    assert!(matches!(wrong("zone = nowhere"), PlanError::NoColumn { .. }));
}

#[test]
fn headings_stand_in_arithmetic_and_lists() {
    let n = || total(0);
    let half = Formula::arithmetic(FigureOp::Divide, n(), number(2.0));
    let compare = |op, left, right| Condition::Compare { op, left, right };
    assert_eq!(having("n / 2 > 1000"), compare(FigureCompare::Greater, half, number(1_000.0)));
    let equal = |right| compare(FigureCompare::Equal, n(), number(right));
    assert_eq!(having("n IN (5, -6)"), Condition::Or { any: vec![equal(5.0), equal(-6.0)] });
    let unequal = |right| compare(FigureCompare::NotEqual, n(), number(right));
    assert_eq!(having("COUNT(*) NOT IN (5)"), Condition::And { all: vec![unequal(5.0)] });
    let Condition::Defined { of, defined: true } = having("d IS NOT NULL") else { panic!() };
    assert_eq!(of, formula_of_d());
    assert_eq!(having("NOT d IS NOT NULL"), Condition::Defined { of, defined: false });
    let less = Formula::arithmetic(FigureOp::Subtract, n(), number(100.0));
    let distance = call(FigureFunction::Absolute, less);
    assert_eq!(having("ABS(n - 100) > 5"), compare(FigureCompare::Greater, distance, number(5.0)));
    let order = |by: &str| {
        let text = format!(
            "SELECT zone, COUNT(*) AS n, SUM(duration_s) AS duration_s FROM trips GROUP BY zone ORDER BY {by}"
        );
        shape(&text).recipe.order[0].formula.clone()
    };
    assert_eq!(order("-n"), Formula::arithmetic(FigureOp::Subtract, number(0.0), n()));
    assert_eq!(
        order("duration_s / n NULLS LAST"),
        Formula::arithmetic(FigureOp::Divide, total(1), n())
    );
    assert_eq!(order("ROUND(n, -2) DESC"), call(FigureFunction::Round { digits: -2 }, n()));
    assert_eq!(order("2"), n());
    assert_eq!(order("zone"), Formula::Key { dimension: 0 });
}

/// The formula of `d` in [`having`].
fn formula_of_d() -> Formula {
    let text = "SELECT zone, COUNT(*) AS n, AVG(duration_s) AS d FROM trips GROUP BY zone";
    shape(text).columns[2].formula.clone()
}

#[test]
fn a_heading_may_be_the_column_that_a_function_shows() {
    let text = "SELECT zone, ROUND(AVG(duration_s), 1) AS duration_s FROM trips GROUP BY zone ORDER BY duration_s";
    let shape = shape(text);
    assert_eq!(shape.columns[1].name, "duration_s");
    assert_eq!(shape.recipe.order[0].formula, shape.columns[1].formula);
    for hidden in ["ROUND(AVG(distance_m), 1)", "ROUND(AVG(duration_s) / 2, 1)"] {
        let text = format!("SELECT {hidden} AS duration_s FROM trips");
        assert!(matches!(error(&text), PlanError::HeadingIsColumn { .. }), "{hidden}");
    }
}

#[test]
fn refusals_name_what_was_written_and_not_what_a_filter_becomes() {
    let said = |item: &str| error(&format!("SELECT {item} AS x FROM trips")).to_string();
    for item in [
        "AVG(speed) FILTER (WHERE speed BETWEEN 0 AND 50)",
        "SUM(CASE WHEN zone = 1 THEN speed END)",
        "MEDIAN(speed) FILTER (WHERE zone = 1)",
    ] {
        let said = said(item);
        assert!(said.contains("write clamp(speed, lo, hi)"), "{said}");
    }
    let constant = said("'all'");
    assert!(constant.contains("nothing is counted"), "{constant}");
    let constant = error("SELECT 'all' AS what, COUNT(*) AS n FROM trips");
    assert!(constant.to_string().contains("add it to GROUP BY"), "{constant}");
    let kept = shape("SELECT 'all' AS what, COUNT(*) AS n FROM trips GROUP BY what");
    assert_eq!(kept.keys[0].values, [text("all")]);
    for (text, column) in [
        ("SELECT COUNT(*) AS n, COUNT(*) - LAG(COUNT(*)) OVER (ORDER BY zone) AS d FROM trips", 34),
        ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY 7", 62),
        ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING zone > n", 67),
    ] {
        let place = error(text).place().unwrap();
        assert_eq!((place.line, place.column), (1, column), "{text}");
    }
}
