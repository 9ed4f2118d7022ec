//! Digests are pinned: a change of this crate or of the parser that would ask old questions anew must
//! be seen here. A digest may change only together with `PLAN_VERSION`.

use super::{Q1, epsilon, planned, rho};
use crate::ContributionPlan;

/// Questions with their digests at caps of 20 rows and 6 groups.
const PINNED: [(&str, &str, &str); 4] = [
    (Q1, "rho", "c5d29e0be45140539edb828045ff4b0c955d7991dabc7a5d30e9fcf9ce9249ee"),
    (Q1, "epsilon", "b1a25f6d481f34c110d619c569a901a053dd8811ef9f50991fca5522f52e7348"),
    (
        "SELECT COUNT(DISTINCT person_id) AS people FROM trips",
        "rho",
        "94bd8132969f3bbfa96dae8d62f41e1013f565a49b14c9612033149acb0a9887",
    ),
    (
        "SELECT CASE WHEN distance_m < 1000 THEN 'short' ELSE 'long' END AS band, \
         AVG(clamp(speed, 0, 12.5) * 3.6) AS kmh, SUM(NULLIF(duration_s, 0) / 60) AS minutes \
         FROM trips WHERE zone IN (1, 2) OR NOT is_member OR speed BETWEEN 0.1 AND 9 \
         GROUP BY 1",
        "rho",
        "6242feadb0808ebf0a73d37dcda10fd711a481b98043edeeabd8172bd73a80bc",
    ),
];

#[test]
fn plan_digests_are_pinned() {
    let found = PINNED.map(|(text, measure, _)| {
        let spend = if measure == "rho" { rho("0.1") } else { epsilon("1") };
        planned(text, spend).unwrap().digest().to_string()
    });
    assert_eq!(found.each_ref().map(String::as_str), PINNED.map(|(_, _, digest)| digest));
}

#[test]
fn a_plan_survives_writing_and_holds_no_float() {
    for (text, _, _) in PINNED {
        let plan = planned(text, rho("0.1")).unwrap().plan;
        let json = serde_json::to_string(&plan).unwrap();
        let again: ContributionPlan = serde_json::from_str(&json).unwrap();
        assert_eq!(again, plan);
        assert_eq!(again.digest().unwrap(), plan.digest().unwrap());
        assert_no_float(&serde_json::from_str(&json).unwrap());
        let extra = json.replacen('{', r#"{"surprise":1,"#, 1);
        assert!(serde_json::from_str::<ContributionPlan>(&extra).is_err());
    }
}

#[test]
fn the_deepest_expression_is_still_readable() {
    let mut text = String::from("1");
    for _ in 0..22 {
        text = format!("CASE WHEN is_member THEN {text} ELSE 2 END");
    }
    let plan = planned(&format!("SELECT SUM({text}) AS s FROM trips"), rho("0.1")).unwrap().plan;
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<ContributionPlan>(&json).unwrap(), plan);
}

#[test]
fn the_expression_with_the_deepest_json_is_still_readable() {
    // The most JSON a level of expression becomes: NOT BETWEEN of a whole number read as a float, of CASE.
    let mut text = String::from("is_member");
    for _ in 0..11 {
        text = format!("CASE WHEN {text} THEN 1 ELSE 2 END NOT BETWEEN 0 AND 1.5");
    }
    let text = format!("SELECT SUM(CASE WHEN {text} THEN 1 ELSE 2 END) AS s FROM trips");
    let plan = planned(&text, rho("0.1")).unwrap().plan;
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<ContributionPlan>(&json).unwrap(), plan);
}

fn assert_no_float(value: &serde_json::Value) {
    match value {
        serde_json::Value::Number(number) => {
            assert!(number.as_u64().is_some_and(|n| n <= 1 << 53), "{number}");
        }
        serde_json::Value::Array(values) => values.iter().for_each(assert_no_float),
        serde_json::Value::Object(fields) => fields.values().for_each(assert_no_float),
        _ => {}
    }
}
