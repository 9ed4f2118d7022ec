//! The work that finding public values takes, in steps: hostile texts of a few kilobytes end in a refusal
//! after as many steps as any other, and what they could make grow with a product or a power grows with a sum.

use super::{planned_over, rho, several};
use crate::limits::DOMAIN_STEPS_MAX;
use crate::served::served;
use crate::sql::{Unlisted, draft};
use crate::{Place, PlanError, Planned};
use cloister_terms::{Dictionary, KeyValue};

fn planned(dictionary: &Dictionary, text: &str) -> Result<Planned, PlanError> {
    planned_over(dictionary, text, rho("1"))
}

/// The steps that a text takes, those for what partners hold among them.
fn steps(dictionary: &Dictionary, text: &str) -> usize {
    let drafted = draft(dictionary, text, 20, Unlisted::Refused).unwrap();
    let work = drafted.tables.work;
    let plan = planned(dictionary, text).unwrap().plan;
    served(dictionary, &plan, &work).unwrap();
    work.taken()
}

/// Refused for its work, at a place of the text, in words that say what to do.
fn is_too_much(dictionary: &Dictionary, text: &str) -> bool {
    let error = planned(dictionary, text).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("WHERE column IN") && error.pointed(text).is_some(), "{told}");
    matches!(error, PlanError::TooMuchWork { .. })
}

/// Riders with two columns of 300 public numbers, one of 1,000 long public texts, and one of any text.
fn wide() -> Dictionary {
    let json = r#"{"datasets":[
      {"name":"rides","description":"","unit_column":"rider","rows_per_unit_max":20,"columns":[
        {"name":"rider","type":"int64","description":"","identifier":true},
        {"name":"a","type":"int64","description":""},
        {"name":"b","type":"int64","description":""},
        {"name":"town","type":"text","description":""},
        {"name":"note","type":"text","description":""}]}]}"#;
    let mut dictionary: Dictionary = serde_json::from_str(json).unwrap();
    let columns = &mut dictionary.datasets[0].columns;
    for column in &mut columns[1..=2] {
        column.domain = Some((1..=300).map(KeyValue::Int).collect());
    }
    let long = |i: usize| KeyValue::Text(format!("{i:0900}"));
    columns[3].domain = Some((0..1_000).map(long).collect());
    dictionary
}

#[test]
fn products_of_public_lists_are_paid_for_by_the_question_and_not_by_each_column() {
    let dictionary = wide();
    let text = |columns: usize| {
        let columns: String = (0..columns).map(|i| format!(", (a * b + 0) % 5 AS c{i}")).collect();
        format!("SELECT c0, COUNT(*) AS n FROM (SELECT rider{columns} FROM rides) AS t GROUP BY c0")
    };
    // 301 times 301 pairs, NULL among them, and their products twice more.
    let one = steps(&dictionary, &text(1));
    assert!((120_000..170_000).contains(&one), "{one}");
    assert!(is_too_much(&dictionary, &text(100)));
}

#[test]
fn columns_keys_and_figures_share_one_budget_in_which_long_texts_count_for_more() {
    let dictionary = wide();
    let text = |columns: usize, figures: usize| {
        let columns: String = (1..=columns).map(|i| format!(", LEFT(town, {i}) AS c{i}")).collect();
        let figures: String =
            (1..=figures).map(|i| format!(", COUNT(DISTINCT LEFT(town, {i})) AS d{i}")).collect();
        format!("SELECT COUNT(*) AS n{figures} FROM (SELECT rider, town{columns} FROM rides) AS t")
    };
    // Each lists and cuts 1,000 texts of 900 bytes.
    let few = steps(&dictionary, &text(10, 0));
    assert!((20_000..40_000).contains(&(few / 10)), "{few}");
    assert!(planned(&dictionary, &text(40, 0)).is_ok());
    assert!(planned(&dictionary, &text(0, 40)).is_ok());
    assert!(is_too_much(&dictionary, &text(40, 40)));
}

#[test]
fn lists_of_a_filter_are_read_once_for_all_columns() {
    let dictionary = wide();
    let values: Vec<String> = (0..1_000).map(|i| format!("'v{i}'")).collect();
    let list = format!("note IN ({})", values.join(","));
    let text = |columns: usize, lists: usize| {
        let columns: String = (0..columns).map(|i| format!(", note AS c{i}")).collect();
        let filter = vec![list.as_str(); lists].join(" AND ");
        format!(
            "SELECT c0, COUNT(*) AS n FROM (SELECT rider{columns} FROM rides WHERE {filter}) AS t GROUP BY c0"
        )
    };
    let of = |columns, lists| steps(&dictionary, &text(columns, lists));
    // A column more costs its thousand values, whatever the lists; a list more costs its thousand terms.
    let column = of(2, 4) - of(1, 4);
    assert_eq!(column, of(2, 1) - of(1, 1));
    assert!((1_000..1_100).contains(&column), "{column}");
    assert!(of(1, 4) - of(1, 3) < 1_100);
    assert!(of(120, 4) < 130_000);
}

#[test]
fn values_that_are_listed_again_count_again() {
    let dictionary = super::dictionary();
    let clamped = "clamp(ping_count, 0, 90000)";
    let text = |branches: usize| {
        let branches: String =
            (0..branches).map(|i| format!(" WHEN zone = {i} THEN {clamped}")).collect();
        format!(
            "SELECT CASE{branches} END AS k, COUNT(*) AS n FROM trips WHERE {clamped} BETWEEN 0 AND 90000 GROUP BY 1"
        )
    };
    assert!(steps(&dictionary, &text(2)) > 180_000);
    assert!(is_too_much(&dictionary, &text(30)));
}

/// The dictionary of several tables, of which each of so many partners holds one.
fn held(partners: usize) -> Dictionary {
    let mut json = serde_json::to_value(several()).unwrap();
    let partner = |i: usize| serde_json::json!({"partner": format!("p{i}"), "datasets": ["mob"]});
    json["holdings"] = (0..partners).map(partner).collect();
    serde_json::from_value(json).unwrap()
}

/// A column that is one of `branches` results, each of them that column of the step below.
fn nested(depth: usize, branches: usize) -> String {
    let branches = " WHEN month = 1 THEN c".repeat(branches);
    let mut text = "SELECT person_id, month, city AS c FROM mob".to_owned();
    for i in 0..depth {
        text = format!("SELECT person_id, month, CASE{branches} END AS c FROM ({text}) AS t{i}");
    }
    format!("SELECT c, COUNT(*) AS n FROM ({text}) AS t GROUP BY c")
}

#[test]
fn what_partners_hold_is_found_within_the_same_budget() {
    let deep = nested(9, 8);
    assert!(planned(&held(0), &deep).is_ok());
    // 8 to the power of 9 ways down.
    let error = planned(&held(1), &deep).unwrap_err();
    let groups = Place { line: 1, column: deep.rfind('c').unwrap() as u64 + 1 };
    assert_eq!(error, PlanError::TooMuchWork { place: groups });
    let shape = planned(&held(3), &nested(3, 3)).unwrap().plan.shape;
    assert!(shape.served.len() == 3 && shape.served.iter().all(|one| one.positions == [[0, 1]]));
}

#[test]
fn partners_who_hold_the_same_share_the_work() {
    let text = "SELECT UPPER(city) AS c, COUNT(*) AS n FROM mob GROUP BY 1";
    let (one, many) = (steps(&held(1), text), steps(&held(50), text));
    assert!(many > one && many - one < 50 * 4, "{one} {many}");
    assert!(many < DOMAIN_STEPS_MAX / 1_000);
}

/// Types are worked out below sums: 8 to the power of 10 times, were each use of a name followed.
#[test]
fn names_that_are_used_many_times_are_followed_once() {
    let mut text = "SELECT person_id, duration_s AS c FROM mob".to_owned();
    for i in 0..10 {
        text =
            format!("SELECT person_id, LEAST(c, c, c, c, c, c, c, c) AS c FROM ({text}) AS t{i}");
    }
    let text = format!(
        "SELECT SUM(clamp(s, 0, 10)) AS total FROM (
           SELECT person_id, SUM(c) AS s FROM ({text}) AS t GROUP BY person_id) AS u"
    );
    let plan = planned(&several(), &text).unwrap().plan;
    // Sums of whole numbers need no order.
    assert!(plan.tables[0].order_columns.is_empty());
}
