//! What the surface leaves out, one row a construct: each is refused by name and says what to write
//! instead.

use super::{dictionary, error, planned, rho};
use crate::{Construct, PlanError, Question, Spend, plan};
use Construct as C;
use cloister_terms::Body;

/// Texts with the construct each is refused for.
const REFUSED: &[(&str, Construct)] = &[
    ("INSERT INTO trips VALUES (1)", C::Statement),
    ("UPDATE trips SET zone = 1", C::Statement),
    ("DELETE FROM trips", C::Statement),
    ("DROP TABLE trips", C::Statement),
    ("CREATE TABLE x AS SELECT 1", C::Statement),
    ("COPY trips TO 'x.csv'", C::Statement),
    ("SET a = 1", C::Statement),
    ("EXPLAIN SELECT COUNT(*) FROM trips", C::Statement),
    ("SHOW TABLES", C::Statement),
    ("VALUES (1)", C::Statement),
    ("SELECT COUNT(*) FROM trips; SELECT COUNT(*) FROM trips", C::SeveralStatements),
    ("SELECT COUNT(*) FROM trips; DROP TABLE trips", C::SeveralStatements),
    ("WITH t AS (SELECT 1) SELECT COUNT(*) FROM t", C::NoFrom),
    ("WITH RECURSIVE t AS (SELECT person_id FROM trips) SELECT COUNT(*) FROM t", C::Cte),
    ("SELECT COUNT(*) FROM trips UNION ALL SELECT COUNT(*) FROM trips", C::SetOperation),
    ("SELECT COUNT(*) FROM trips EXCEPT SELECT 1", C::SetOperation),
    ("(SELECT COUNT(*) FROM trips)", C::Subquery),
    ("SELECT (SELECT 1) AS x FROM trips", C::Subquery),
    ("SELECT COUNT(*) FROM trips WHERE zone IN (SELECT 1)", C::Subquery),
    ("SELECT COUNT(*) FROM trips WHERE EXISTS (SELECT 1)", C::Subquery),
    ("SELECT COUNT(*) FROM trips, bank", C::Join),
    ("SELECT COUNT(*) FROM trips a JOIN bank b ON a.person_id = b.person_id, bank c", C::Join),
    ("SELECT COUNT(*) FROM trips NATURAL JOIN bank", C::OtherJoin),
    ("SELECT COUNT(*) FROM trips CROSS JOIN bank", C::OtherJoin),
    ("SELECT COUNT(*) FROM trips a FULL JOIN bank b ON a.person_id = b.person_id", C::OtherJoin),
    ("SELECT COUNT(*) FROM trips a FULL OUTER JOIN bank b USING (person_id)", C::OtherJoin),
    ("SELECT COUNT(*) FROM trips a LEFT SEMI JOIN bank b USING (person_id)", C::OtherJoin),
    ("SELECT COUNT(*) FROM trips, LATERAL (SELECT * FROM bank) b", C::Join),
    ("SELECT COUNT(*) FROM trips JOIN LATERAL (SELECT * FROM bank) b ON true", C::Lateral),
    ("SELECT COUNT(*) FROM (VALUES (1)) v", C::Values),
    ("SELECT COUNT(*) FROM ((SELECT person_id FROM trips)) t", C::TableFunction),
    ("SELECT COUNT(*) FROM (trips JOIN bank USING (person_id))", C::TableFunction),
    ("SELECT COUNT(*) FROM UNNEST(trips)", C::TableFunction),
    ("SELECT COUNT(*) FROM trips TABLESAMPLE BERNOULLI (10)", C::TableOption),
    (
        "SELECT COUNT(*) FROM (SELECT person_id FROM trips INTERSECT SELECT person_id FROM bank) x",
        C::Intersect,
    ),
    (
        "SELECT COUNT(*) FROM (SELECT person_id FROM trips EXCEPT SELECT person_id FROM bank) x",
        C::Intersect,
    ),
    (
        "SELECT COUNT(*) FROM (SELECT person_id FROM trips UNION ALL (SELECT person_id FROM bank)) x",
        C::Operator,
    ),
    ("SELECT COUNT(*) FROM (SELECT person_id FROM trips LIMIT 5) t", C::InnerOrder),
    ("SELECT COUNT(*) FROM (SELECT person_id FROM trips ORDER BY zone) t", C::InnerOrder),
    (
        "SELECT COUNT(*) FROM (SELECT person_id, SUM(COUNT(*)) AS n FROM trips GROUP BY person_id) t",
        C::NestedAggregate,
    ),
    ("SELECT COUNT(*) FROM (SELECT person_id FROM trips WHERE COUNT(*) > 1) t", C::NestedAggregate),
    ("SELECT COUNT(*) FROM (SELECT person_id, LAG(zone) OVER w AS z FROM trips) t", C::NamedWindow),
    (
        "SELECT COUNT(*) FROM (SELECT person_id, SUM(DISTINCT zone) AS s FROM trips GROUP BY person_id) t",
        C::AggregateDistinct,
    ),
    (
        "SELECT zone, COUNT(*) AS n FROM trips a WHERE EXISTS (SELECT 1 FROM bank b WHERE b.person_id = a.person_id) GROUP BY zone",
        C::Subquery,
    ),
    ("SELECT COUNT(*) FROM read_csv('x.csv')", C::TableFunction),
    ("SELECT COUNT(*) FROM generate_series(1, 10)", C::TableFunction),
    ("SELECT COUNT(*) FROM 'x.parquet'", C::FileTable),
    ("SELECT COUNT(*) FROM information_schema.tables", C::Schema),
    ("SELECT COUNT(*) FROM public.trips", C::Schema),
    ("SELECT COUNT(*)", C::NoFrom),
    ("SELECT * FROM trips", C::Wildcard),
    ("SELECT trips.* FROM trips", C::Wildcard),
    ("SELECT SUM(*) AS s FROM trips", C::Wildcard),
    ("SELECT DISTINCT zone FROM trips", C::Distinct),
    ("SELECT SUM(DISTINCT duration_s) AS n FROM trips", C::AggregateDistinct),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING duration_s > 5", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING nowhere > 5", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING n > 'x'", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING n", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING zone", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING COUNT(*)", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING n LIKE 'x'", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING zone > n", C::KeyFigure),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING n / 2 > zone", C::KeyFigure),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING COUNT(*) > zone", C::KeyFigure),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING zone = zone", C::KeyFigure),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING zone = duration_s", C::KeyFigure),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING n + zone > 5", C::KeyFigure),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY n * zone", C::KeyFigure),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY 3", C::OrderByPlace),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY 0", C::OrderByPlace),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY -zone", C::OrderBy),
    (
        "SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY CASE WHEN n > 1 THEN 1 END",
        C::Figure,
    ),
    ("SELECT 'all' AS what, COUNT(*) AS n FROM trips", C::ConstantColumn),
    ("SELECT zone, 1 AS one, COUNT(*) AS n FROM trips GROUP BY zone", C::ConstantColumn),
    ("SELECT COUNT(*) > 5 AS many FROM trips", C::Figure),
    ("SELECT FLOOR(AVG(duration_s)) AS a FROM trips", C::Figure),
    ("SELECT LN(COUNT(*)) AS a FROM trips", C::Figure),
    ("SELECT NULLIF(COUNT(*), 0) AS a FROM trips", C::Figure),
    ("SELECT COALESCE(AVG(duration_s), COUNT(*)) AS a FROM trips", C::Figure),
    ("SELECT IF(COUNT(*) > 5, 1, 0) AS a FROM trips", C::Figure),
    ("SELECT CAST(AVG(duration_s) AS BIGINT) AS a FROM trips", C::Figure),
    ("SELECT COUNT(*) - LAG(COUNT(*)) OVER (ORDER BY zone) AS a FROM trips", C::Across),
    ("SELECT ROUND(AVG(duration_s)) OVER () AS a FROM trips", C::Across),
    ("SELECT COUNT(*) AS n FROM trips HAVING ABS(COUNT(*) - 100) > duration_s", C::Having),
    ("SELECT SUM(ROUND(COUNT(*), 1)) OVER () AS s FROM trips", C::Across),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone QUALIFY n > 5", C::Having),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY duration_s", C::OrderBy),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone ORDER BY n NULLS FIRST", C::OrderBy),
    ("SELECT COUNT(*) AS n FROM trips LIMIT 1.5", C::Limit),
    ("SELECT COUNT(*) AS n FROM trips LIMIT zone", C::Limit),
    ("SELECT COUNT(*) AS n FROM trips LIMIT 99999999999", C::Limit),
    ("SELECT COUNT(*) AS n FROM trips FETCH FIRST 1 ROWS ONLY", C::Limit),
    ("SELECT COUNT(*) OVER (PARTITION BY zone) AS n FROM trips", C::Window),
    ("SELECT COUNT(*) OVER w AS n FROM trips WINDOW w AS (ORDER BY zone)", C::Clause),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY ROLLUP(zone)", C::GroupingSets),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY CUBE(zone)", C::GroupingSets),
    ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY GROUPING SETS ((zone), ())", C::GroupingSets),
    ("SELECT COALESCE(zone, 1) FILTER (WHERE zone = 1) AS n FROM trips", C::Filter),
    ("SELECT SUM(duration_s) WITHIN GROUP (ORDER BY zone) AS n FROM trips", C::Argument),
    (
        "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY duration_s DESC) AS n FROM trips",
        C::OrderBy,
    ),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone = ?", C::Placeholder),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone = $1", C::Placeholder),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone = :zone", C::Placeholder),
    ("SELECT CASE WHEN COUNT(*) > 1 THEN 1 ELSE 0 END AS n FROM trips", C::Figure),
    ("SELECT SUM(COUNT(*)) AS n FROM trips", C::NestedAggregate),
    ("SELECT COUNT(*) AS n FROM trips WHERE COUNT(*) > 1", C::NestedAggregate),
    ("SELECT COUNT(*) AS n FROM trips GROUP BY n", C::NestedAggregate),
    ("SELECT COUNT(CAST(zone AS CHAR(3))) AS n FROM trips", C::Cast),
    ("SELECT COUNT(zone::varchar(3)) AS n FROM trips", C::Cast),
    ("SELECT COUNT(CAST(zone AS TIME)) AS n FROM trips", C::Cast),
    ("SELECT COUNT(CAST(start_city AS TIMESTAMP WITH TIME ZONE)) AS n FROM trips", C::Cast),
    ("SELECT COUNT(CONVERT(zone, CHAR)) AS n FROM trips", C::Cast),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_city LIKE end_city", C::Like),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_city LIKE 'a%' ESCAPE 'ab'", C::Like),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_city SIMILAR TO 'a'", C::Like),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_city RLIKE 'a'", C::Like),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_time_utc > INTERVAL '1' DAY", C::Interval),
    ("SELECT COUNT(start_time_utc + INTERVAL '1.5 days') AS n FROM trips", C::Interval),
    ("SELECT COUNT(start_time_utc + INTERVAL '1' DAY TO SECOND) AS n FROM trips", C::Interval),
    ("SELECT COUNT(start_time_utc + INTERVAL zone DAY) AS n FROM trips", C::Interval),
    ("SELECT COUNT(start_time_utc - start_time_local) AS n FROM trips", C::TimeDifference),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_time_utc > TIME '10:00:00'", C::TypedText),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_city = N'x'", C::StringKind),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_city = X'00'", C::StringKind),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone = NULL", C::NullValue),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone IN (1, NULL)", C::NullValue),
    ("SELECT COUNT(*) AS n FROM trips WHERE start_city IS NORMALIZED", C::IsForm),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone & 2 = 0", C::Operator),
    ("SELECT COUNT(start_time_utc AT TIME ZONE 'UTC') AS n FROM trips", C::Operator),
    ("SELECT COUNT(FLOOR(speed TO DAY)) AS n FROM trips", C::Argument),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone = ANY(zone)", C::Operator),
    ("SELECT COUNT(*) AS n FROM trips WHERE zone IN (zone)", C::ListElement),
    ("SELECT COUNT(person_id) AS n FROM trips", C::CountUnit),
    ("SELECT COUNT(*) AS n FROM trips WHERE (zone, zone) = (1, 2)", C::Expression),
    ("SELECT COUNT(*) AS n INTO x FROM trips", C::Clause),
    ("FROM trips SELECT COUNT(*)", C::Clause),
];

#[test]
fn constructs_are_refused_by_name() {
    for (text, construct) in REFUSED {
        let error = error(text);
        assert!(
            matches!(&error, PlanError::Refused { construct: found, .. } if found == construct),
            "{text}: expected {construct:?}, got {error:?}"
        );
        assert!(error.to_string().contains(construct.instead()), "{error}");
    }
}

#[test]
fn functions_are_refused_by_kind() {
    let refused = |expression: &str| error(&format!("SELECT {expression} AS x FROM trips"));
    for extreme in ["MIN(zone)", "MAX(zone)", "max(duration_s)"] {
        let error = refused(extreme);
        assert!(matches!(error, PlanError::Extreme { .. }), "{extreme}");
        assert!(error.to_string().contains("APPROX_PERCENTILE_CONT"), "{error}");
    }
    for aggregate in
        ["approx_distinct(zone)", "percentile_disc(zone)", "regr_r2(zone, zone)", "array_agg(zone)"]
    {
        assert!(matches!(refused(aggregate), PlanError::Aggregate { .. }), "{aggregate}");
    }
    for volatile in ["RANDOM()", "now()", "current_timestamp", "CURRENT_DATE", "uuid()"] {
        let text = format!("SELECT COUNT(*) AS n FROM trips WHERE start_time_utc < {volatile}");
        assert!(matches!(error(&text), PlanError::Volatile { .. }), "{volatile}");
    }
    for other in [
        "to_timestamp('2019')",
        "regexp_like(start_city, 'a')",
        "pg_sleep(9)",
        "getenv('HOME')",
        "OVERLAY(start_city PLACING 'a' FROM 1)",
        "lpad(start_city, 9)",
        "repeat(start_city, 9)",
        "\"count\"(zone)",
        "\"lower\"(start_city)",
    ] {
        assert!(
            matches!(refused(other), PlanError::Function { .. }),
            "{other}: {:?}",
            refused(other)
        );
    }
    for wrong in
        ["clamp(zone, 1)", "clamp(zone, 1, zone)", "clamp(start_city, 'a', 'b')", "NULLIF(zone)"]
    {
        assert!(matches!(refused(wrong), PlanError::Arguments { .. }), "{wrong}");
    }
    assert!(matches!(refused("SUM(clamp(zone, 9, 1))"), PlanError::ClampReversed { .. }));
}

#[test]
fn s21_identifier_columns_and_the_unit_are_refused_everywhere() {
    for column in ["trip_id", "bike_id", "BIKE_ID", "\"trip_id\"", "trips.trip_id"] {
        for text in [
            format!("SELECT {column}, COUNT(*) AS n FROM trips GROUP BY {column}"),
            format!("SELECT COUNT(*) AS n FROM trips WHERE {column} IS NOT NULL"),
            format!("SELECT COUNT({column}) AS n FROM trips"),
            format!("SELECT SUM(CASE WHEN {column} = {column} THEN 1 ELSE 0 END) AS n FROM trips"),
            format!(
                "SELECT COUNT(*) AS n FROM trips WHERE zone BETWEEN 1 AND COALESCE(zone, {column})"
            ),
            format!("SELECT COUNT(*) AS n FROM trips GROUP BY {column}"),
        ] {
            assert!(matches!(error(&text), PlanError::Identifier { .. }), "{text}");
        }
        let text = format!("SELECT COUNT(DISTINCT {column}) AS n FROM trips");
        assert!(matches!(error(&text), PlanError::Identifier { .. }));
    }
    for text in [
        "SELECT person_id, COUNT(*) AS n FROM trips GROUP BY person_id",
        "SELECT SUM(person_id) AS n FROM trips",
        "SELECT COUNT(*) AS n FROM trips WHERE person_id = 12",
        "SELECT SUM(CASE WHEN person_id = 12 THEN 1 ELSE 0 END) AS n FROM trips",
        "SELECT COUNT(*) AS n FROM bank WHERE person_id = 12",
    ] {
        assert!(matches!(error(text), PlanError::UnitColumn { .. }), "{text}");
    }
    for unit in ["person_id", "PERSON_ID", "\"person_id\"", "trips.person_id", "(person_id)"] {
        let text = format!("SELECT COUNT(DISTINCT {unit}) AS people FROM trips");
        assert!(planned(&text, rho("1")).is_ok(), "{text}");
    }
}

#[test]
fn s02_only_the_columns_that_are_needed_are_read() {
    let plan = planned("SELECT COUNT(DISTINCT person_id) AS n FROM trips", rho("1")).unwrap().plan;
    assert!(plan.tables[0].columns.is_empty() && plan.tables[0].order_columns.is_empty());
}

#[test]
fn refusals_of_a_whole_question_point_at_its_keys_or_its_start() {
    let at = |error: &PlanError| error.place().map(|place| (place.line, place.column));
    let refused = error("-- what of it?\nSELECT zone\nFROM trips GROUP BY zone");
    assert!(matches!(refused, PlanError::NoAggregate { .. }), "{refused:?}");
    assert_eq!(at(&refused), Some((2, 1)));
    let keys = "start_city, end_city, zone, duration_s, ping_count";
    let list = (0..101).map(|value| value.to_string()).collect::<Vec<_>>().join(", ");
    let text = format!(
        "SELECT {keys}, COUNT(*) AS n FROM trips\nWHERE duration_s IN ({list}) AND ping_count IN ({list})\nGROUP BY {keys}"
    );
    let refused = error(&text);
    assert!(matches!(refused, PlanError::Shape { .. }), "{refused:?}");
    assert_eq!(at(&refused), Some((3, 10)));
    assert!(refused.to_string().ends_with(" (line 3, column 10)"), "{refused}");
}

#[test]
fn keys_and_columns_that_do_not_match_are_refused() {
    let check = |text: &str, is_expected: fn(&PlanError) -> bool| {
        let error = error(text);
        assert!(is_expected(&error), "{text}: {error:?}");
    };
    check("SELECT zone, COUNT(*) AS n FROM trips", |e| matches!(e, PlanError::NotGrouped { .. }));
    check("SELECT COUNT(*) AS n FROM trips GROUP BY zone", |e| {
        matches!(e, PlanError::KeyNotShown { .. })
    });
    check("SELECT zone FROM trips GROUP BY zone", |e| matches!(e, PlanError::NoAggregate { .. }));
    check("SELECT zone, COUNT(*) AS n FROM trips GROUP BY 3", |e| {
        matches!(e, PlanError::Ordinal { .. })
    });
    check("SELECT zone, COUNT(*) AS n FROM trips GROUP BY 0", |e| {
        matches!(e, PlanError::Ordinal { .. })
    });
    check("SELECT zone, COUNT(*) AS n FROM trips GROUP BY -1", |e| {
        matches!(e, PlanError::Ordinal { .. })
    });
    check("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone, 1", |e| {
        matches!(e, PlanError::Twice { .. })
    });
    check("SELECT COUNT(*), COUNT(*) FROM trips", |e| matches!(e, PlanError::Twice { .. }));
    check("SELECT COUNT(*) AS \"\" FROM trips", |e| matches!(e, PlanError::Heading { .. }));
    for key in [
        "start_station",
        "duration_s",
        "start_time_utc",
        "duration_s + 1",
        "CAST(FLOOR(duration_s / 60) AS BIGINT)",
    ] {
        let text = format!("SELECT {key} AS k, COUNT(*) AS n FROM trips GROUP BY k");
        check(&text, |e| matches!(e, PlanError::NoDomain { .. }));
    }
    for key in ["speed", "CASE WHEN zone = 1 THEN 1.5 END", "FLOOR(duration_s / 60)", "zone / 2"] {
        let text = format!("SELECT {key} AS k, COUNT(*) AS n FROM trips GROUP BY k");
        check(&text, |e| matches!(e, PlanError::FractionKey { .. }));
    }
    check("SELECT COUNT(*) AS n FROM trips WHERE zone", |e| matches!(e, PlanError::Type { .. }));
    check("SELECT COUNT(*) AS n FROM trips WHERE zone = 'x'", |e| {
        matches!(e, PlanError::Type { .. })
    });
    check("SELECT COUNT(*) AS n FROM trips WHERE start_time_utc > 'in 2019'", |e| {
        matches!(e, PlanError::Timestamp { .. })
    });
    check("SELECT COUNT(*) AS n FROM trips WHERE start_time_utc > start_city", |e| {
        matches!(e, PlanError::Type { .. })
    });
    check("SELECT SUM(is_member) AS n FROM trips", |e| matches!(e, PlanError::Type { .. }));
    check("SELECT COUNT(*) AS n FROM trips WHERE zone = 99999999999999999999", |e| {
        matches!(e, PlanError::Number { .. })
    });
    check("SELECT COUNT(*) AS n FROM trips WHERE speed = 1e999", |e| {
        matches!(e, PlanError::Number { .. })
    });
    check("SELECT COUNT(*) AS n FROM trips WHERE start_time_utc > TIMESTAMP '2019'", |e| {
        matches!(e, PlanError::Timestamp { .. })
    });
    check("SELECT COUNT(*) AS n FROM riders", |e| matches!(e, PlanError::NoDataset { .. }));
    check("SELECT COUNT(*) AS n FROM trips WHERE bank.zone = 1", |e| {
        matches!(e, PlanError::NoDataset { .. })
    });
}

#[test]
fn places_are_told() {
    let error = error("SELECT COUNT(*) AS n\nFROM trips\nWHERE zone = 1 AND  nowhere = 2");
    assert!(error.to_string().contains("(line 3, column 21)"), "{error}");
}

#[test]
fn caps_and_offers_out_of_range_are_refused() {
    let body = Body::Sql { text: "SELECT COUNT(*) AS n FROM trips".to_owned() };
    let dictionary = dictionary();
    for (row_cap, group_cap) in [(0, 1), (1, 0), (u32::MAX, 1), (1, u32::MAX)] {
        let question = Question {
            body: &body,
            row_cap,
            group_cap,
            spend: rho("1"),
            diagnostics: false,
            rounds: 1,
        };
        assert!(matches!(plan(&dictionary, &question), Err(PlanError::OutOfRange { .. })));
    }
    let question = Question {
        body: &body,
        row_cap: 1,
        group_cap: 1,
        spend: Spend::default(),
        diagnostics: false,
        rounds: 1,
    };
    assert_eq!(plan(&dictionary, &question), Err(PlanError::NoSpend));
}

#[test]
fn answers_beyond_the_limits_are_refused() {
    let keys: Vec<String> = (0..9).map(|i| format!("zone = {i} AS k{i}")).collect();
    let by: Vec<String> = (0..9).map(|i| format!("k{i}")).collect();
    let text =
        format!("SELECT {}, COUNT(*) AS n FROM trips GROUP BY {}", keys.join(", "), by.join(", "));
    assert!(matches!(error(&text), PlanError::TooMany { what: "group keys", .. }));
    let sums: Vec<String> = (0..129).map(|i| format!("SUM(duration_s + {i}) AS s{i}")).collect();
    let text = format!("SELECT {} FROM trips", sums.join(", "));
    assert!(matches!(error(&text), PlanError::TooMany { .. }));
}
