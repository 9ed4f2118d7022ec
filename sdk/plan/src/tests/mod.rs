//! Tests of the planner on a dictionary for the mobility sample. They read no record: a plan never
//! depends on one.

mod across;
mod advice;
mod computed;
mod diagnostics;
mod digests;
mod domains;
mod explained;
mod figures;
mod formed;
mod functions;
mod hostile;
mod modules;
mod private_keys;
mod questions;
mod refusals;
mod relations;
mod subqueries;
mod work;

use crate::{Contribute, LaneExpr, PlanError, Planned, Question, Spend, plan};
use cloister_terms::{Body, Dictionary};

/// The first question of the sample data: cross-town mobility.
pub(super) const Q1: &str =
    "SELECT start_city, COUNT(DISTINCT person_id) AS riders, COUNT(*) AS trips,
       AVG(CASE WHEN end_city <> start_city THEN 1.0 ELSE 0.0 END) AS cross_share
FROM trips
WHERE start_time_local >= TIMESTAMP '2019-07-01' AND start_time_local < TIMESTAMP '2019-10-01'
  AND start_city IS NOT NULL AND end_city IS NOT NULL AND distance_m >= 200
GROUP BY start_city";

const CITIES: &str = r#"[{"text":"Amherst"},{"text":"Easthampton"},{"text":"Holyoke"},
    {"text":"Northampton"},{"text":"South Hadley"},{"text":"Springfield"}]"#;

/// A dictionary of two datasets; `trips` has six cities and at most 50 rows a person.
pub(super) fn dictionary() -> Dictionary {
    let column = |name: &str, kind: &str, more: &str| {
        format!(r#"{{"name":"{name}","type":"{kind}","description":""{more}}}"#)
    };
    let domain = format!(r#","domain":{CITIES}"#);
    let columns = [
        column("trip_id", "int64", r#","identifier":true"#),
        column("person_id", "int64", r#","identifier":true"#),
        column("bike_id", "text", r#","identifier":true"#),
        column("start_time_utc", "timestamp", ""),
        column("start_time_local", "timestamp", ""),
        column("duration_s", "int64", r#","bounds":{"min":"0","max":"86400"}"#),
        column("distance_m", "float64", r#","bounds":{"min":"0","max":"50000","grid_bits":2}"#),
        column("ping_count", "int64", ""),
        column("speed", "float64", ""),
        column("is_member", "bool", ""),
        column("start_city", "text", &domain),
        column("end_city", "text", &domain),
        column("start_station", "text", ""),
        column("zone", "int64", r#","domain":[{"int":"3"},{"int":"1"},{"int":"2"}]"#),
    ]
    .join(",");
    let json = format!(
        r#"{{"datasets":[
        {{"name":"trips","description":"","unit_column":"person_id","columns":[{columns}],
          "order_columns":["start_time_utc","trip_id"],"rows_per_unit_max":50}},
        {{"name":"bank","description":"","unit_column":"person_id","columns":[{}],"rows_per_unit_max":6}}]}}"#,
        [column("person_id", "int64", ""), column("age", "int64", "")].join(",")
    );
    serde_json::from_str(&json).unwrap()
}

pub(super) fn rho(text: &str) -> Spend {
    Spend { epsilon: None, rho: Some(text.parse().unwrap()), delta: None }
}

pub(super) fn epsilon(text: &str) -> Spend {
    Spend { epsilon: Some(text.parse().unwrap()), rho: None, delta: None }
}

/// Plans a text with caps of 20 rows and 6 groups.
pub(super) fn planned(text: &str, spend: Spend) -> Result<Planned, PlanError> {
    planned_over(&dictionary(), text, spend)
}

/// The same over another dictionary.
pub(crate) fn planned_over(
    dictionary: &Dictionary,
    text: &str,
    spend: Spend,
) -> Result<Planned, PlanError> {
    let body = Body::Sql { text: text.to_owned() };
    let question =
        Question { body: &body, row_cap: 20, group_cap: 6, spend, diagnostics: false, rounds: 1 };
    plan(dictionary, &question)
}

/// Two private tables with the same people, one of another unit type, and a public table.
pub(super) fn several() -> Dictionary {
    let json = r#"{"datasets":[
      {"name":"mob","description":"","unit_column":"person_id","rows_per_unit_max":50,
       "order_columns":["start","trip_id"],"columns":[
        {"name":"trip_id","type":"int64","description":"","identifier":true},
        {"name":"person_id","type":"int64","description":"","identifier":true},
        {"name":"start","type":"timestamp","description":""},
        {"name":"month","type":"int64","description":"","domain":[{"int":"1"},{"int":"2"},{"int":"3"}]},
        {"name":"city","type":"text","description":"","domain":[{"text":"Amherst"},{"text":"Holyoke"}]},
        {"name":"station","type":"text","description":""},
        {"name":"distance_m","type":"float64","description":"","bounds":{"min":"0","max":"50000","grid_bits":2}},
        {"name":"duration_s","type":"int64","description":"","bounds":{"min":"0","max":"86400"}},
        {"name":"speed","type":"float64","description":""}]},
      {"name":"ret","description":"","unit_column":"person_id","rows_per_unit_max":20,
       "order_columns":["invoice_time"],"columns":[
        {"name":"person_id","type":"int64","description":""},
        {"name":"invoice_time","type":"timestamp","description":""},
        {"name":"month","type":"int64","description":"","domain":[{"int":"2"},{"int":"4"}]},
        {"name":"country","type":"text","description":"","domain":[{"text":"France"},{"text":"Spain"},{"text":"Germany"}]},
        {"name":"quantity","type":"int64","description":"","bounds":{"min":"-10","max":"100"}},
        {"name":"amount_gbp","type":"float64","description":"","bounds":{"min":"-100","max":"1000","grid_bits":4}}]},
      {"name":"bank","description":"","unit_column":"person_id","rows_per_unit_max":6,
       "columns":[
        {"name":"person_id","type":"int64","description":""},
        {"name":"month","type":"int64","description":"","domain":[{"int":"5"}]},
        {"name":"statement_month","type":"timestamp","description":""},
        {"name":"paid","type":"float64","description":"","bounds":{"min":"0","max":"50000"}}]},
      {"name":"clinic","description":"","unit_column":"patient","rows_per_unit_max":3,
       "columns":[
        {"name":"patient","type":"text","description":""},
        {"name":"visits","type":"int64","description":""}]}],
      "public_tables":[
       {"name":"stations","description":"","columns":[
         {"name":"station","type":"text","description":""},
         {"name":"city","type":"text","description":""},
         {"name":"docks","type":"int64","description":""},
         {"name":"latitude","type":"float64","description":""}],
        "rows":[[{"text":"Main St"},{"text":"Holyoke"},{"int":"11"},{"float":"42.25"}],
                [{"text":"Pleasant St"},{"text":"Amherst"},{"int":"9"},null],
                [{"text":"Main St"},{"text":"Amherst"},{"int":"15"},{"float":"42.5"}]]}]}"#;
    serde_json::from_str(json).unwrap()
}

/// Plans a text over [`several`] with caps of 20 rows and 6 groups.
pub(super) fn of_several(text: &str) -> Result<Planned, PlanError> {
    let body = Body::Sql { text: text.to_owned() };
    let question = Question {
        body: &body,
        row_cap: 20,
        group_cap: 6,
        spend: rho("0.1"),
        diagnostics: false,
        rounds: 1,
    };
    plan(&several(), &question)
}

/// The SQL contribution of a text over [`several`] that plans.
pub(super) fn related(text: &str) -> (crate::SqlContribution, Planned) {
    let planned = of_several(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    match planned.plan.contribute.clone() {
        Contribute::Sql(sql) => (sql, planned),
        Contribute::Module(_) => panic!("SQL became a module"),
    }
}

/// The lanes of a text that plans.
pub(super) fn lanes(text: &str) -> Vec<LaneExpr> {
    match planned(text, rho("0.1")).unwrap().plan.contribute {
        Contribute::Sql(sql) => sql.lanes,
        Contribute::Module(_) => panic!("SQL became a module"),
    }
}

/// The error of a text that does not plan.
pub(super) fn error(text: &str) -> PlanError {
    match planned(text, rho("0.1")) {
        Ok(_) => panic!("{text:?} must be refused"),
        Err(error) => error,
    }
}
