//! What refusals say and where they point: at the construct itself, with words that lead to a text that
//! plans.

use super::{error, of_several, planned, rho};
use crate::{Construct, PlanError};

/// The message of a refusal, and what stands from its caret on.
fn refused(text: &str) -> (String, String) {
    let error = error(text);
    let place = error.place().unwrap_or_else(|| panic!("{text}: {error} has no place"));
    let pointed = error.pointed(text).unwrap();
    assert_eq!(pointed.column, place.column, "{text}");
    let from_caret = pointed.text.chars().skip(pointed.shown_column - 1).collect();
    (error.to_string(), from_caret)
}

#[test]
fn the_caret_and_the_column_stand_at_the_construct() {
    for (text, from_caret) in [
        ("SELECT zone, mode(duration_s) AS m FROM trips", "mode("),
        ("SELECT every(is_member) AS m FROM trips", "every("),
        ("SELECT COUNT(*) AS n FROM trips WHERE YEAR(start_time_utc) = 2019", "YEAR("),
        ("SELECT COUNT(*) AS n FROM trips WHERE DATE(start_time_utc) = 1", "DATE("),
        ("SELECT regr_r2(zone, zone) AS r FROM trips", "regr_r2("),
        ("SELECT COUNT(*) AS n FROM trips a FULL JOIN bank b ON a.person_id = b.person_id", "FULL"),
        ("SELECT COUNT(*) AS n FROM trips CROSS JOIN bank", "CROSS"),
        ("SELECT COUNT(*) AS n FROM trips NATURAL JOIN bank", "NATURAL"),
        ("SELECT COUNT(*) AS n FROM trips JOIN bank", "bank"),
        ("SELECT COUNT(*) AS n FROM trips a JOIN bank b USING (zone)", "zone)"),
        ("SELECT zone, COUNT(*) AS n FROM trips GROUP BY ALL", "ALL"),
        ("SELECT COUNT(*) AS n FROM trips LIMIT 1 + 1", "+ 1"),
        ("SELECT COUNT(*) AS n FROM trips LIMIT 1, 2", ", 2"),
        ("SELECT TOP 5 COUNT(*) AS n FROM trips", "TOP 5"),
        ("SELECT COUNT(*) AS n FROM trips FETCH FIRST 1 ROWS ONLY", "FETCH"),
        ("SELECT zone, * FROM trips", "*"),
        ("SELECT trips.* FROM trips", "*"),
        (
            "SELECT COUNT(*) AS n FROM (SELECT person_id FROM trips INTERSECT SELECT person_id FROM bank) x",
            "INTERSECT",
        ),
        ("SELECT COUNT(*) AS n FROM trips WHERE start_city SIMILAR TO 'a'", "start_city"),
        ("SELECT COUNT(*) AS n FROM trips WHERE (zone, zone) IN ((1, 2))", "zone, zone"),
        ("SELECT COUNT(*) AS n FROM trips GROUP BY (zone, start_city)", "zone, start_city"),
        ("SELECT COUNT(*) AS n FROM trips WHERE start_city COLLATE x = 'a'", "start_city"),
        ("SELECT COUNT(*) AS n FROM trips WHERE", "WHERE"),
        ("SELECT COUNT(*) AS n, FROM trips", "FROM"),
        ("SELECT COUNT(*) AS n FROM trips WHERE duration_s DIV 60 = 1", "DIV"),
    ] {
        let (message, found) = refused(text);
        assert!(found.starts_with(from_caret), "{text}: at `{found}`: {message}");
        // The parser's own names for what it met are nobody's business.
        for own in ["Token", "Word", "Some(", "EOF", "Line:", "Column:"] {
            assert!(!message.contains(own), "{text}: {message}");
        }
    }
}

#[test]
fn advice_names_what_is_written_instead() {
    for (text, said) in [
        ("SELECT COUNT(*) AS n FROM trips WHERE COUNT(*) > 5", "choose groups with HAVING"),
        ("SELECT COUNT(*) AS n FROM trips WHERE YEAR(start_time_utc) = 2019", "EXTRACT(YEAR FROM"),
        ("SELECT COUNT(instr(start_city, 'a')) AS n FROM trips", "STRPOS(text, part)"),
        ("SELECT COUNT(*) / (SELECT COUNT(*) FROM trips) AS s FROM trips", "SUM(COUNT(*)) OVER ()"),
        ("SELECT COUNT(*) AS n FROM trips WHERE zon = 1", "use one of `zone`, "),
        ("SELECT COUNT(*) AS n FROM trips t WHERE trips.zone = 1", "calls what it reads `t`"),
        ("SELECT COUNT(*) AS n FROM `trips`", "write a name as it is"),
        ("SELECT COUNT(*) AS n FROM [trips]", "a square bracket"),
        ("SELECT COUNT(*) AS n FROM trips # all of them", "begin a comment with --"),
        (
            "SELECT COUNT(*) AS n FROM trips WHERE start_city = \u{2018}Holyoke\u{2019}",
            "'straight quotes'",
        ),
        (
            "SELECT SUM(n) AS n FROM (SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone) x",
            "HAVING or ORDER BY in one SELECT",
        ),
        (
            "WITH a(p, z) AS (SELECT person_id, zone FROM trips) SELECT COUNT(*) AS n FROM a",
            "with AS",
        ),
        ("SELECT COUNT(*) AS n FROM trips WHERE zone = 'x'", "a text value"),
        ("SELECT COUNT(*) AS n FROM trips WHERE zone AND is_member", "an int64 value"),
    ] {
        let (message, _) = refused(text);
        assert!(message.contains(said), "{text}: {message}");
    }
}

#[test]
fn of_one_persons_rows_other_aggregates_are_refused_as_such() {
    let of = |call: &str| {
        of_several(&format!(
            "SELECT COUNT(x) AS n FROM (SELECT person_id, {call} AS x FROM mob GROUP BY person_id) s"
        ))
        .unwrap_err()
        .to_string()
    };
    for call in ["MEDIAN(month)", "STDDEV(month)", "BOOL_OR(month = 1)", "CORR(month, month)"] {
        let message = of(call);
        assert!(message.contains("write COUNT, SUM, AVG, MIN or MAX"), "{call}: {message}");
    }
    for window in ["RANK()", "FIRST_VALUE(month)", "NTILE(4)"] {
        let message = of(&format!("{window} OVER (PARTITION BY person_id ORDER BY month)"));
        assert!(message.contains("ROW_NUMBER() OVER (PARTITION BY"), "{window}: {message}");
    }
    let median = of("MEDIAN(month) OVER (PARTITION BY person_id)");
    assert!(median.contains("write COUNT, SUM, AVG, MIN or MAX"), "{median}");
}

#[test]
fn advice_on_keys_with_fractions_leads_to_texts_that_plan() {
    let by = |key: &str, filter: &str| {
        let text = format!("SELECT {key} AS k, COUNT(*) AS n FROM trips {filter} GROUP BY 1");
        planned(&text, rho("1"))
    };
    let key = "FLOOR(duration_s / 600)";
    let Err(PlanError::FractionKey { expression, .. }) = by(key, "") else { panic!("{key}") };
    assert!(by("WIDTH_BUCKET(duration_s, 0, 60, 6)", "").is_ok());
    // The very words of the advice.
    let whole = format!("CAST({expression} AS BIGINT)");
    let found = by(&whole, &format!("WHERE {whole} BETWEEN 0 AND 9")).unwrap();
    assert_eq!(found.plan.shape.cells().unwrap(), 10);
}

#[test]
fn constant_texts_beside_times_are_times() {
    let filter = |text: &str| {
        let text = format!("SELECT COUNT(*) AS n FROM trips WHERE {text}");
        planned(&text, rho("1")).unwrap_or_else(|error| panic!("{text}: {error}")).digest()
    };
    for (texts, times) in [
        ("start_time_utc >= '2019-07-01'", "start_time_utc >= TIMESTAMP '2019-07-01'"),
        ("'2019-07-01 10:00' > start_time_utc", "TIMESTAMP '2019-07-01 10:00:00' > start_time_utc"),
        (
            "start_time_utc BETWEEN '2019-07-01' AND '2019-08-01 12:30'",
            "start_time_utc BETWEEN DATE '2019-07-01' AND TIMESTAMP '2019-08-01T12:30'",
        ),
        (
            "CAST(start_time_utc AS DATE) IN ('2019-07-01', '2019-07-02')",
            "CAST(start_time_utc AS DATE) IN (DATE '2019-07-01', DATE '2019-07-02')",
        ),
        (
            "date_diff('day', '2019-07-01', start_time_utc) > 3",
            "date_diff('day', DATE '2019-07-01', start_time_utc) > 3",
        ),
    ] {
        assert_eq!(filter(texts), filter(times), "{texts}");
    }
    let error = error("SELECT COUNT(*) AS n FROM trips WHERE start_time_utc > '1 July'");
    assert!(matches!(&error, PlanError::Timestamp { text, .. } if text == "1 July"), "{error}");
    // Two texts stay texts.
    assert!(
        planned("SELECT COUNT(*) AS n FROM trips WHERE start_city = '2019-07-01'", rho("1"))
            .is_ok()
    );
}

#[test]
fn whole_numbers_of_other_widths_are_whole_numbers() {
    let cast = |to: &str| {
        let text = format!("SELECT COUNT(CAST(speed AS {to})) AS n FROM trips");
        planned(&text, rho("1")).unwrap_or_else(|error| panic!("{text}: {error}")).digest()
    };
    for to in ["SMALLINT", "TINYINT", "INT2", "INT4", "INT8", "INT", "INTEGER"] {
        assert_eq!(cast(to), cast("BIGINT"), "{to}");
    }
}

#[test]
fn an_operator_of_another_system_is_refused_by_its_name() {
    let error = error("SELECT COUNT(*) AS n FROM trips WHERE duration_s DIV 60 = 1");
    let construct = Construct::Operator;
    assert!(matches!(error, PlanError::Refused { construct: found, .. } if found == construct));
}
