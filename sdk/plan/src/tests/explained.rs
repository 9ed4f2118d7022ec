//! Explanations: plain by default, the mathematics on request.

use super::{Q1, of_several, planned, rho};
use crate::explain;
use cloister_terms::Budget;

#[test]
fn an_explanation_is_plain_and_the_mathematics_is_on_request() {
    let planned = planned(Q1, rho("0.1")).unwrap();
    let left = Budget { rho: "0.35".parse().unwrap(), ..Budget::ZERO };
    let explanation = explain(&planned, 4, Some(left));
    let plain = explanation.to_string();
    for word in ["rho", "L0", "lane", "grid", "PRF", "epsilon"] {
        assert!(!plain.contains(word), "`{word}` in: {plain}");
    }
    for said in ["start_city", "riders", "±", "at most 20 rows", "covers 3 such rounds", "% sure"]
    {
        assert!(plain.contains(said), "`{said}` not in: {plain}");
    }
    assert_eq!(explanation.accuracy.len(), 3, "keys are exact and not listed");
    let verbose = format!("{explanation:#}");
    for said in ["rho 0.1", "L0", "lane `people`", "sigma", &planned.digest().to_string()] {
        assert!(verbose.contains(said), "`{said}` not in: {verbose}");
    }
    let short = explain(&planned, 4, Some(Budget::ZERO)).to_string();
    assert!(short.contains("does not cover"));
    assert!(explain(&planned, 0, None).accuracy[0].expected.contains("cannot be told"));
}

#[test]
fn joins_unions_windows_and_steps_a_person_are_told_in_plain_words() {
    let planned = of_several(
        "WITH both AS (SELECT person_id, month, 'mob' AS p FROM mob WHERE distance_m > 200 \
           UNION SELECT person_id, month, 'ret' FROM ret), \
         each AS (SELECT person_id, month, COUNT(*) AS n, MAX(p) AS p FROM both GROUP BY person_id, month) \
         SELECT COUNT(*) AS all_of_them, COUNT(m.person_id) AS rode FROM ( \
           SELECT person_id, n, LAG(n) OVER (PARTITION BY person_id ORDER BY month) AS before FROM each) e \
         LEFT JOIN mob m ON e.person_id = m.person_id AND e.before = m.month \
         JOIN stations s ON m.station = s.station WHERE e.n > 1",
    );
    let said = explain(&planned.unwrap(), 3, None).to_string();
    for words in [
        "at most 50 rows of `mob` are read of one person",
        "of `mob` only rows where distance_m > 200.0 are used",
        "rows of `mob` and `ret` are put together",
        "rows of one person that are the same are used once",
        "one row for each person and `month`: `n`, the number of rows",
        "`before` is n 1 row before, among rows of one person",
        "of the same person where before = month; rows of `mob` with `ret` without a partner are kept",
        "the public table `stations` of 3 rows is looked up where station = stations.station",
        "then only rows where n > 1 are used",
    ] {
        assert!(said.contains(words), "`{words}` not in: {said}");
    }
    for word in ["rho", "L0", "lane", "grid", "PRF"] {
        assert!(!said.contains(word), "`{word}` in: {said}");
    }
}
