//! Public domains of keys that are worked out from the text: by functions, by fields, by filters.

use super::{dictionary, error, planned, planned_over, rho};
use crate::{Contribute, PlanError};
use cloister_terms::KeyValue;

/// The values of the key of a query with a filter, as they are shown.
fn domain(key: &str, filter: &str) -> Vec<String> {
    let text = query(key, filter);
    let plan = planned(&text, rho("1")).unwrap_or_else(|error| panic!("{text}: {error}")).plan;
    let Contribute::Sql(sql) = plan.contribute else { panic!("SQL became a module") };
    sql.keys[0].domain.iter().map(KeyValue::to_string).collect()
}

fn query(key: &str, filter: &str) -> String {
    let filter = if filter.is_empty() { String::new() } else { format!(" WHERE {filter}") };
    format!("SELECT {key} AS k, COUNT(*) AS n FROM trips{filter} GROUP BY 1")
}

fn numbers(from: i64, to: i64) -> Vec<String> {
    (from..=to).map(|int| int.to_string()).collect()
}

#[test]
fn fields_buckets_and_remainders_have_domains_of_their_own() {
    for (key, from, to) in [
        ("EXTRACT(month FROM start_time_utc)", 1, 12),
        ("EXTRACT(dow FROM start_time_utc)", 0, 6),
        ("EXTRACT(isodow FROM start_time_utc)", 1, 7),
        ("date_part('hour', start_time_utc)", 0, 23),
        ("EXTRACT(week FROM start_time_utc)", 1, 53),
        ("EXTRACT(doy FROM start_time_utc)", 1, 366),
        ("width_bucket(speed, 0, 10, 3)", 0, 4),
        ("duration_s % 7", 0, 6),
        ("ping_count % 3", -2, 2),
    ] {
        assert_eq!(domain(key, ""), numbers(from, to), "{key}");
    }
    for key in ["start_city LIKE 'A%'", "CAST(zone AS BOOLEAN)", "STARTS_WITH(start_station, 'a')"]
    {
        assert_eq!(domain(key, ""), ["false", "true"], "{key}");
    }
}

#[test]
fn functions_map_the_domain_of_a_column() {
    let cities =
        ["Amherst", "Easthampton", "Holyoke", "Northampton", "South Hadley", "Springfield"];
    assert_eq!(domain("UPPER(start_city)", ""), cities.map(str::to_uppercase));
    assert_eq!(domain("LEFT(start_city, 1)", ""), ["A", "E", "H", "N", "S"]);
    assert_eq!(domain("zone + 1", ""), ["4", "2", "3"]);
    assert_eq!(domain("CAST(zone AS TEXT)", ""), ["3", "1", "2"]);
    // NULL is left out by CONCAT and LEAST, so what they give for it is a value as well.
    assert_eq!(domain("CONCAT('z', CAST(zone AS TEXT))", ""), ["z3", "z1", "z2", "z"]);
    assert_eq!(domain("LEAST(zone, 2)", ""), ["2", "1"]);
    let pairs = domain("start_city || ' to ' || end_city", "");
    assert_eq!(pairs.len(), 36);
    assert_eq!(pairs[1], "Amherst to Easthampton");
}

#[test]
fn a_filter_lists_the_values_of_a_key() {
    assert_eq!(domain("start_station", "start_station IN ('b', 'a', 'b')"), ["b", "a"]);
    assert_eq!(domain("start_station", "start_station = 'a' OR 'c' = start_station"), ["a", "c"]);
    assert_eq!(domain("LOWER(start_station)", "start_station IN ('B', 'a')"), ["b", "a"]);
    assert_eq!(domain("LOWER(start_station)", "LOWER(start_station) IN ('b')"), ["b"]);
    assert_eq!(domain("ping_count", "ping_count BETWEEN 3 AND 6 AND speed > 1"), numbers(3, 6));
    assert_eq!(domain("ping_count", "ping_count > 3 AND 6 >= ping_count"), numbers(4, 6));
    assert_eq!(domain("ping_count % 10 + ping_count", "ping_count IN (5, 10)"), ["10", "15", "5"]);
    // A column with a domain keeps its order, and only its own values.
    assert_eq!(domain("zone", "zone IN (1, 3, 9)"), ["3", "1"]);
    for filter in [
        "start_station <> 'a'",
        "start_station IN ('a') OR is_member",
        "NOT (start_station = 'a')",
        "start_station LIKE 'a%'",
        "end_city IN ('a')",
        "start_station IN ('a') OR start_city IN ('b')",
    ] {
        let error = error(&query("start_station", filter));
        assert!(matches!(error, PlanError::NoDomain { .. }), "{filter}: {error:?}");
    }
    for filter in [
        "ping_count > 3",
        "ping_count < 3",
        "ping_count BETWEEN zone AND 6",
        "ping_count > 6 AND ping_count < 2",
    ] {
        let error = error(&query("ping_count", filter));
        assert!(matches!(error, PlanError::NoDomain { .. }), "{filter}: {error:?}");
    }
    let error = error(&query("ping_count", "ping_count BETWEEN 0 AND 9000000000000000000"));
    assert!(matches!(error, PlanError::TooMany { .. }), "{error:?}");
}

#[test]
fn q2_months_come_from_the_range_of_times() {
    let months = ["2019-07-01", "2019-08-01", "2019-09-01"];
    let month = "date_trunc('month', start_time_local)";
    for filter in [
        "start_time_local >= TIMESTAMP '2019-07-01' AND start_time_local < TIMESTAMP '2019-10-01'",
        "start_time_local >= DATE '2019-07-15' AND start_time_local <= DATE '2019-09-01'",
        "start_time_local BETWEEN DATE '2019-07-01' AND DATE '2019-10-01' - INTERVAL '1 day'",
        "DATE '2019-07-01' <= start_time_local AND DATE '2019-07-01' + INTERVAL '3 months' > start_time_local",
        "date_trunc('month', start_time_local) IN (DATE '2019-07-01', DATE '2019-08-01', DATE '2019-09-01')",
        "date_trunc('month', start_time_local) >= DATE '2019-07-01' AND date_trunc('month', start_time_local) < DATE '2019-10-01'",
        "date_trunc('quarter', start_time_local) = DATE '2019-07-01'",
    ] {
        assert_eq!(domain(month, filter), months, "{filter}");
    }
    assert_eq!(domain(month, "EXTRACT(year FROM start_time_local) = 2019").len(), 12);
    assert_eq!(
        domain(
            "EXTRACT(year FROM start_time_utc)",
            "start_time_utc >= DATE '2018-06-28' AND start_time_utc < DATE '2020-01-01'"
        ),
        ["2018", "2019"]
    );
    let week = "start_time_utc >= DATE '2019-07-01' AND start_time_utc < DATE '2019-07-15'";
    assert_eq!(domain("date_trunc('week', start_time_utc)", week), ["2019-07-01", "2019-07-08"]);
    assert_eq!(domain("CAST(start_time_utc AS DATE)", week).len(), 14);
    assert_eq!(domain("date_trunc('month', CAST(start_time_utc AS DATE))", week), ["2019-07-01"]);
    assert_eq!(domain("date_trunc('hour', start_time_utc)", week)[1], "2019-07-01 01:00:00");
    assert_eq!(
        domain(
            "start_time_utc",
            "start_time_utc IN (DATE '2019-07-01', TIMESTAMP '2019-07-01 12:00:00')"
        ),
        ["2019-07-01", "2019-07-01 12:00:00"]
    );
    for filter in [
        "",
        "start_time_local >= DATE '2019-07-01'",
        "start_time_utc BETWEEN DATE '2019-07-01' AND DATE '2019-08-01'",
    ] {
        let error = error(&query(month, filter));
        assert!(matches!(error, PlanError::NoDomain { .. }), "{filter}: {error:?}");
    }
    let error = error(&query(
        "date_trunc('second', start_time_utc)",
        "EXTRACT(year FROM start_time_utc) = 2019",
    ));
    assert!(matches!(error, PlanError::TooMany { .. }), "{error:?}");
}

#[test]
fn a_short_text_cannot_make_a_long_search() {
    let mut branches = String::new();
    for i in 0..300 {
        branches.push_str(&format!(
            " WHEN zone = {i} THEN ping_count % 2 + ping_count - ping_count + {i} * 0"
        ));
    }
    let key = format!("CASE{branches} END");
    let error = error(&query(&key, "ping_count BETWEEN 0 AND 90000"));
    assert!(matches!(error, PlanError::TooMany { .. }), "{error:?}");
}

#[test]
fn a_time_column_may_have_a_domain_of_its_own() {
    let mut dictionary = dictionary();
    let columns = &mut dictionary.datasets[0].columns;
    let column =
        columns.iter_mut().find(|column| column.name.as_str() == "start_time_utc").unwrap();
    let days = [1_561_939_200_000_000, 1_562_025_600_000_000, 1_564_617_600_000_000];
    column.domain = Some(days.map(KeyValue::Timestamp).to_vec());
    for (key, values) in [
        ("start_time_utc", vec!["2019-07-01", "2019-07-02", "2019-08-01"]),
        ("date_trunc('month', start_time_utc)", vec!["2019-07-01", "2019-08-01"]),
        ("start_time_utc + INTERVAL '1 month'", vec!["2019-08-01", "2019-08-02", "2019-09-01"]),
    ] {
        let keys = planned_over(&dictionary, &query(key, ""), rho("1")).unwrap();
        let keys = keys.plan.shape.keys;
        let found: Vec<String> = keys[0].values.iter().map(KeyValue::to_string).collect();
        assert_eq!(found, values, "{key}");
    }
}
