//! Explanations: plain by default, the mathematics on request.

use super::{Q1, planned, rho};
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
