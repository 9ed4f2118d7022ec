//! Row-wise functions in a plan: what they become, the constants they need, the ranges they keep, and how
//! they read.

use super::{error, lanes, planned, rho};
use crate::function_notes::row_functions;
use crate::{Construct, Expr, LaneExpr, Literal, PlanError};
use cloister_terms::ColumnType;

/// The expression of `COUNT(text)`.
fn lowered(text: &str) -> Expr {
    match lanes(&format!("SELECT COUNT({text}) AS n FROM trips")).remove(0) {
        LaneExpr::CountNonNull { expr } => expr,
        other => panic!("{text}: {other:?}"),
    }
}

/// The bounds and grid of `SUM(text)`.
fn bounds(text: &str) -> (f64, f64, u8) {
    match lanes(&format!("SELECT SUM({text}) AS s FROM trips")).remove(0) {
        LaneExpr::SumClamped { bounds, .. } => (bounds.min(), bounds.max(), bounds.grid_bits()),
        other => panic!("{text}: {other:?}"),
    }
}

fn refused(text: &str) -> PlanError {
    error(&format!("SELECT COUNT({text}) AS n FROM trips"))
}

#[test]
fn every_example_of_the_reference_plans() {
    for note in row_functions() {
        let text = format!("SELECT COUNT({}) AS n FROM trips", note.example);
        if let Err(error) = planned(&text, rho("1")) {
            panic!("{}: {error}", note.name);
        }
        assert!(note.contract.ends_with('.') && !note.signature.is_empty(), "{}", note.name);
    }
}

#[test]
fn one_spelling_is_shown_for_each_form() {
    for (written, shown) in [
        ("least( zone , ping_count )", "least(zone, ping_count)"),
        ("MOD(duration_s, 60)", "duration_s % 60"),
        ("duration_s + zone * 2", "duration_s + (zone * 2)"),
        ("ROUND(speed)", "round(speed)"),
        ("ROUND(speed, 2)", "round(speed, 2)"),
        ("CEILING(speed)", "ceil(speed)"),
        ("LOG(speed)", "log10(speed)"),
        ("start_city::bigint", "cast(start_city as bigint)"),
        ("TRY_CAST(speed AS INT)", "cast(speed as bigint)"),
        ("CAST(start_time_utc AS DATE)", "date_trunc('day', start_time_utc)"),
        ("CAST(start_city AS DATE)", "date_trunc('day', cast(start_city as timestamp))"),
        ("EXTRACT(DOW FROM start_time_utc)", "extract(dow from start_time_utc)"),
        ("date_part('Hour', start_time_utc)", "extract(hour from start_time_utc)"),
        ("TRIM(BOTH 'x' FROM start_city)", "trim(start_city, 'x')"),
        ("RTRIM(start_city)", "rtrim(start_city)"),
        ("SUBSTRING(start_city FROM 2 FOR 3)", "substr(start_city, 2, 3)"),
        ("SUBSTRING(start_city FOR 3)", "substr(start_city, 1, 3)"),
        ("POSITION('a' IN start_city)", "strpos(start_city, 'a')"),
        ("start_city || '-' || end_city", "start_city || '-' || end_city"),
        ("start_city NOT ILIKE 'a%'", "start_city not ilike 'a%'"),
        ("start_city LIKE 'a!%' ESCAPE '!'", "start_city like 'a!%' escape '!'"),
        ("start_time_utc - INTERVAL '1' YEAR", "start_time_utc + interval '-1 years'"),
        (
            "INTERVAL '1 month 2 days' + start_time_utc",
            "start_time_utc + interval '1 months 2 days'",
        ),
        ("start_time_utc + INTERVAL 90 MINUTE", "start_time_utc + interval '90 minutes'"),
        (
            "date_diff('week', start_time_utc, start_time_local)",
            "date_diff('week', start_time_utc, start_time_local)",
        ),
        ("IF(is_member, zone, 0)", "case when is_member then zone else 0 end"),
        ("IFNULL(speed, zone)", "coalesce(speed, zone)"),
        ("-duration_s", "0 - duration_s"),
        ("width_bucket(speed, 0, 12.5, 4)", "width_bucket(speed, 0.0, 12.5, 4)"),
    ] {
        assert_eq!(lowered(written).to_string(), shown, "{written}");
    }
    for (written, shown) in [
        ("is_member IS TRUE", "is_member is true"),
        ("is_member IS NOT FALSE", "is_member is not false"),
        ("zone IS DISTINCT FROM 1", "zone is distinct from 1"),
        ("is_member IS UNKNOWN", "is_member is null"),
    ] {
        let text = format!("SELECT {written} AS k, COUNT(*) AS n FROM trips GROUP BY 1");
        let plan = planned(&text, rho("1")).unwrap().plan;
        let crate::Contribute::Sql(sql) = plan.contribute else { panic!() };
        assert_eq!(sql.keys[0].expr.to_string(), shown, "{written}");
    }
}

#[test]
fn constants_are_worked_out() {
    let value = |text: &str| lowered(&format!("CASE WHEN is_member THEN {text} END"));
    let constant = |text: &str| match value(text) {
        Expr::Case { branches, .. } => branches.into_iter().next().unwrap().then,
        other => panic!("{other:?}"),
    };
    let time = |text: &str| constant(&format!("TIMESTAMP '{text}'"));
    assert_eq!(constant("60 * 60 - 1"), Expr::literal(Literal::int(3_599)));
    assert_eq!(constant("DATE '2019-07-01'"), time("2019-07-01"));
    assert_eq!(constant("DATE '2019-07-31' - INTERVAL '1 month'"), time("2019-06-30"));
    assert_eq!(constant("CAST('2019-07-01' AS TIMESTAMP)"), time("2019-07-01"));
    assert_eq!(constant("UPPER('é') || 'x'"), Expr::literal(Literal::Text("Éx".into())));
    assert_eq!(constant("9223372036854775807 + 1"), Expr::Null { column_type: ColumnType::Int64 });
    assert_eq!(constant("CAST('x' AS BIGINT)"), Expr::Null { column_type: ColumnType::Int64 });
    assert_eq!(constant("CAST(NULL AS DATE)"), Expr::Null { column_type: ColumnType::Timestamp });
    assert_eq!(constant("ROUND(PI(), 2)").to_string(), "3.14");
}

#[test]
fn whole_numbers_stay_whole_but_in_quotients() {
    let is_int = |text: &str| {
        lowered(text).column_type(&|_| Some(ColumnType::Int64)) == Some(ColumnType::Int64)
    };
    for text in [
        "zone + 1",
        "zone * zone - 2",
        "-zone",
        "zone % 3",
        "ABS(zone)",
        "FLOOR(zone)",
        "ROUND(zone)",
    ] {
        assert!(is_int(text), "{text}");
    }
    for text in ["zone / 2", "zone + 1.5", "ROUND(zone, -1)", "SQRT(zone)"] {
        assert!(!is_int(text), "{text}");
    }
}

#[test]
fn a06_ranges_follow_functions() {
    for (text, low, high, grid_bits) in [
        ("LEAST(GREATEST(speed, 0), 2000)", 0.0, 2000.0, 10),
        ("GREATEST(LEAST(speed, 30), -1.5)", -1.5, 30.0, 10),
        ("LEAST(GREATEST(ping_count, 0), 9)", 0.0, 9.0, 0),
        ("ABS(duration_s - 86400)", 0.0, 86_400.0, 0),
        ("duration_s * 2 + 1", 1.0, 172_801.0, 0),
        ("duration_s % 60", 0.0, 59.0, 0),
        ("ping_count % 60", -59.0, 59.0, 0),
        ("SIGN(ping_count)", -1.0, 1.0, 0),
        ("ROUND(distance_m / 3)", 0.0, 16_667.0, 0),
        ("FLOOR(distance_m / 3)", 0.0, 16_666.0, 0),
        ("CAST(distance_m AS BIGINT)", 0.0, 50_000.0, 0),
        ("CAST(is_member AS BIGINT)", 0.0, 1.0, 0),
        ("EXTRACT(month FROM start_time_utc)", 1.0, 12.0, 0),
        ("EXTRACT(doy FROM start_time_utc)", 1.0, 366.0, 0),
        ("width_bucket(speed, 0, 10, 5)", 0.0, 6.0, 0),
        ("LEAST(LENGTH(start_station), 40)", 0.0, 40.0, 0),
        ("COS(speed)", -1.0, 1.0, 20),
        ("SQRT(duration_s + 14)", 3.741_657, 293.962583, 20),
        ("POWER(duration_s / 86400, 2)", 0.0, 1.0, 20),
        ("LN(duration_s + 1)", 0.0, 11.366755, 20),
        ("clamp(LN(duration_s), 0, 5)", 0.0, 5.0, 20),
    ] {
        let (found_low, found_high, found_bits) = bounds(text);
        assert!(
            (found_low - low).abs() < 1e-5 && (found_high - high).abs() < 1e-5,
            "{text}: {found_low} to {found_high}"
        );
        assert_eq!(found_bits, grid_bits, "{text}");
    }
    for text in [
        "LEAST(speed, 2000)",
        "GREATEST(speed, 0)",
        "LEAST(duration_s, ping_count)",
        "LN(duration_s)",
        "TAN(distance_m)",
        "LENGTH(start_city)",
        "EXTRACT(year FROM start_time_utc)",
        "EXTRACT(epoch FROM start_time_utc)",
        "CAST(start_city AS BIGINT)",
        "ping_count * 0",
        "date_diff('day', start_time_utc, start_time_local)",
        "EXP(speed)",
        "POWER(duration_s, -1)",
        // Any NULL leaves the other argument alone.
        "LEAST(duration_s, speed)",
        "GREATEST(NULLIF(0, zone), speed)",
    ] {
        let error = error(&format!("SELECT SUM({text}) AS s FROM trips"));
        assert!(matches!(error, PlanError::Unbounded { .. }), "{text}: {error:?}");
    }
}

#[test]
fn wrong_arguments_say_what_is_taken() {
    for text in [
        "ROUND(speed, zone)",
        "ROUND(speed, 16)",
        "ROUND(speed, 1, 2)",
        "LOG()",
        "POWER(speed)",
        "PI(1)",
        "width_bucket(speed, 10, 0, 5)",
        "width_bucket(speed, 0, 10, 0)",
        "width_bucket(speed, 0, zone, 3)",
        "width_bucket(speed, 0, 10, 99999)",
        "width_bucket(speed, -1e308, 1e308, 5)",
        "REPLACE(start_city, start_city, 'a')",
        "SPLIT_PART(start_city, ',', 0)",
        "SPLIT_PART(start_city, ',', zone)",
        "SUBSTR(start_city)",
        "LEFT(start_city)",
        "TRIM(start_city FROM end_city)",
        "date_trunc('decade', start_time_utc)",
        "date_trunc(start_city, start_time_utc)",
        "date_trunc('day')",
        "date_diff('day', start_time_utc)",
        "date_diff('day', start_time_utc, start_time_utc, start_time_utc)",
        "date_part('tz', start_time_utc)",
        "EXTRACT(century FROM start_time_utc)",
        "start_city LIKE 'a\\'",
        "LEAST()",
        "CONCAT()",
        "IF(is_member, 1)",
        "LOWER(start_city, 1)",
    ] {
        let error = refused(text);
        assert!(matches!(error, PlanError::Arguments { .. }), "{text}: {error:?}");
    }
    for text in [
        "LOWER(zone)",
        "CONCAT(start_city, zone)",
        "start_city || zone",
        "SUBSTR(start_city, 1.5)",
        "ABS(start_city)",
        "SQRT(is_member)",
        "FLOOR(start_city)",
        "zone % start_city",
        "LEAST(zone, start_city)",
        "date_trunc('day', start_city)",
        "EXTRACT(year FROM zone)",
        "start_time_utc + 1",
        "zone LIKE 'a'",
        "zone + INTERVAL '1' DAY",
        "CAST(start_time_utc AS BIGINT)",
        "CAST(zone AS TIMESTAMP)",
        "CAST(speed AS BOOLEAN)",
        "zone IS TRUE",
        "zone IS UNKNOWN",
        "IF(zone, 1, 2)",
        "LENGTH(zone)",
    ] {
        let error = refused(text);
        assert!(matches!(error, PlanError::Type { .. }), "{text}: {error:?}");
    }
    let error = refused("start_time_utc - start_time_local");
    assert!(error.to_string().contains("date_diff('second'"), "{error}");
    assert!(refused("age(start_time_utc)").to_string().contains("date_diff('day'"));
    assert!(matches!(refused("CURRENT_DATE"), PlanError::Volatile { .. }));
    assert!(matches!(
        refused("zone BETWEEN SYMMETRIC 3 AND 1"),
        PlanError::Syntax { .. } | PlanError::NoColumn { .. }
    ));
}

#[test]
fn s21_functions_never_read_identifiers() {
    for column in ["trip_id", "bike_id"] {
        for text in [
            "LEAST({}, {})",
            "CAST({} AS TEXT)",
            "{} IS DISTINCT FROM {}",
            "ABS({})",
            "COALESCE({}, {})",
            "LOWER({})",
            "SUBSTR({}, 1, 1)",
            "{} || 'x'",
            "{} LIKE 'a'",
            "LENGTH({})",
            "POSITION('a' IN {})",
            "TRIM({})",
            "IF({} IS NULL, 1, 2)",
            "{}::text",
            "width_bucket({}, 0, 9, 3)",
            "{} % 2",
            "FLOOR({})",
            "SPLIT_PART({}, '-', 1)",
            "CONCAT({})",
            "GREATEST({})",
            "MOD({}, 2)",
        ] {
            let error = refused(&text.replace("{}", column));
            assert!(matches!(error, PlanError::Identifier { .. }), "{text}: {error:?}");
        }
    }
    assert!(matches!(refused("person_id % 2"), PlanError::UnitColumn { .. }));
}

#[test]
fn from_of_a_test_begins_no_clause() {
    let text =
        "SELECT COUNT(*) AS n FROM trips WHERE zone IN (1, 2) AND zone IS NOT DISTINCT FROM 1 + 1";
    planned(text, rho("1")).unwrap();
    let text = "SELECT COUNT(zone IS DISTINCT FROM 1) AS n FROM trips, bank";
    assert!(matches!(error(text), PlanError::Refused { construct: Construct::Join, .. }));
    // The parser would read `(is_member AND speed > 1)` as what is compared.
    for rest in [
        "AND speed > 1",
        "OR speed > 1",
        "IS NULL",
        "= is_member",
        "IN (true)",
        "BETWEEN false AND true",
    ] {
        let text = format!(
            "SELECT COUNT(*) AS n FROM trips WHERE is_member IS DISTINCT FROM is_member {rest}"
        );
        let error = error(&text);
        assert!(
            matches!(error, PlanError::Refused { construct: Construct::OpenTest, .. }),
            "{rest}: {error:?}"
        );
    }
}

#[test]
fn nested_words_that_the_parser_retries_are_bounded() {
    for (open, close) in [
        ("CAST(", " AS BIGINT)"),
        ("TRIM(", ")"),
        ("POSITION('a' IN ", ")"),
        ("FLOOR(", ")"),
        ("EXTRACT(year FROM ", ")"),
        ("SUBSTR(", ", 1)"),
        ("ABS(", ")"),
        ("LEAST(", ")"),
    ] {
        for depth in [7, 31, 1_000] {
            for closed in [depth, 0] {
                let text = format!("{}speed{}", open.repeat(depth), close.repeat(closed));
                let given = planned(&format!("SELECT COUNT({text}) AS n FROM trips"), rho("1"));
                assert!(given.is_err() || open == "ABS(" || open == "LEAST(", "{open} {depth}");
            }
        }
    }
    assert!(matches!(
        refused(&format!("speed{}", "::bigint::double".repeat(40))),
        PlanError::TooDeep { .. }
    ));
}

#[test]
fn the_deepest_calls_are_still_readable() {
    // A float read from a whole number, cast back, in each of two levels.
    let mut text = String::from("zone");
    for _ in 0..10 {
        text = format!("CAST(ROUND(CASE WHEN is_member THEN {text} ELSE 1.5 END, 1) AS BIGINT)");
        if text.matches("CASE").count() >= 6 {
            break;
        }
    }
    let plan = planned(&format!("SELECT COUNT({text}) AS s FROM trips"), rho("0.1")).unwrap().plan;
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<crate::ContributionPlan>(&json).unwrap(), plan);
    let mut text = String::from("zone");
    for _ in 0..22 {
        text = format!("width_bucket({text}, 0, 9, 3)");
    }
    let plan = planned(&format!("SELECT SUM({text}) AS s FROM trips"), rho("0.1")).unwrap().plan;
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<crate::ContributionPlan>(&json).unwrap(), plan);
}
