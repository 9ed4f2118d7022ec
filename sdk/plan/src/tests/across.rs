//! Sums over the groups of the answer: what they plan to, that they cost nothing, and what is no such sum.

use super::{error, planned, rho};
use crate::construct::Construct;
use crate::{PlanError, explain};
use cloister_terms::{FigureOp, Formula};

fn formulas(text: &str) -> Vec<Formula> {
    let planned = planned(text, rho("1")).unwrap();
    planned.plan.shape.columns.iter().map(|column| column.formula.clone()).collect()
}

fn refused(text: &str) -> Construct {
    match error(text) {
        PlanError::Refused { construct, place } => {
            assert!(place.line > 0, "{text}");
            construct
        }
        other => panic!("{text}: {other}"),
    }
}

fn across(lane: u32, by: &[u32]) -> Formula {
    Formula::Across { lane, by: by.to_vec() }
}

#[test]
fn a_share_of_the_total_reads_the_lane_of_its_part() {
    let texts = [
        "SELECT zone, 100.0 * COUNT(*) / SUM(COUNT(*)) OVER () AS share FROM trips GROUP BY zone",
        "SELECT zone, CAST(100 AS double) * COUNT(*)::DOUBLE PRECISION / CAST(SUM(COUNT(*)) OVER () AS FLOAT) AS share FROM trips GROUP BY zone",
        "SELECT zone, 100 * count(*) / NULLIF((sum(count(*)) over ()), 0) AS share FROM trips GROUP BY 1",
    ];
    for text in texts {
        let found = formulas(text);
        let times = Formula::arithmetic(
            FigureOp::Multiply,
            Formula::Constant { value: cloister_terms::Real::new(100.0).unwrap() },
            Formula::Total { lane: 0 },
        );
        assert_eq!(found[1], Formula::arithmetic(FigureOp::Divide, times, across(0, &[])));
    }
    let plain = planned("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone", rho("1")).unwrap();
    let shared = planned(texts[0], rho("1")).unwrap();
    assert_eq!(plain.cost, shared.cost);
    assert_eq!(plain.plan.shape.lanes, shared.plan.shape.lanes);
    let told = explain(&shared, 3, None).to_string();
    assert!(told.contains("adds up the noised figures of all groups"), "{told}");
}

#[test]
fn partitions_name_keys_and_sums_are_of_weighted_lanes() {
    let two = "FROM trips GROUP BY zone, end_city";
    let found = formulas(&format!(
        "SELECT zone, end_city, SUM(COUNT(*)) OVER (PARTITION BY end_city, end_city) AS a, \
         SUM(2 * SUM(distance_m) - COUNT(*) / 4) OVER (PARTITION BY end_city, zone) AS b, \
         -SUM(COUNT(end_city)) OVER () AS c {two} ORDER BY SUM(COUNT(*)) OVER (PARTITION BY zone)"
    ));
    assert_eq!(found[2], across(0, &[1]));
    assert!(matches!(&found[3], Formula::Arithmetic { op: FigureOp::Subtract, .. }));
    assert_eq!(found[3].lanes().len(), 2);
    assert!(found[3].is_across() && found[4].is_across() && !found[0].is_across());
}

#[test]
fn what_is_no_sum_over_groups_is_refused() {
    let by_zone = |item: &str| format!("SELECT zone, {item} AS x FROM trips GROUP BY zone");
    for item in [
        "SUM(AVG(distance_m)) OVER ()",
        "SUM(COUNT(*) + 1) OVER ()",
        "SUM(COUNT(*) / SUM(distance_m)) OVER ()",
        "SUM(MEDIAN(distance_m)) OVER ()",
        "AVG(COUNT(*)) OVER ()",
        "COUNT(COUNT(*)) OVER ()",
        "SUM(COUNT(*)) OVER (ORDER BY zone)",
        "SUM(COUNT(*)) OVER (ROWS UNBOUNDED PRECEDING)",
        "SUM(SUM(COUNT(*)) OVER ()) OVER ()",
        "SUM(COUNT(*)) FILTER (WHERE zone = 'x') OVER ()",
        "SUM(DISTINCT COUNT(*)) OVER ()",
    ] {
        assert_eq!(refused(&by_zone(item)), Construct::Across, "{item}");
    }
    assert_eq!(refused(&by_zone("SUM(COUNT(*)) OVER w")), Construct::NamedWindow);
    let other = by_zone("SUM(COUNT(*)) OVER (PARTITION BY end_city)");
    assert_eq!(refused(&other), Construct::AcrossKey);
    // Windows over people's rows stay what they were.
    for item in
        ["SUM(distance_m) OVER ()", "COUNT(*) OVER ()", "SUM(distance_m) OVER (PARTITION BY zone)"]
    {
        assert_eq!(refused(&by_zone(item)), Construct::Window, "{item}");
    }
    for tail in
        ["HAVING COUNT(*) > 5 ORDER BY SUM(COUNT(*)) OVER ()", "HAVING SUM(COUNT(*)) OVER () > 5"]
    {
        let text = format!("SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone {tail}");
        assert_eq!(refused(&text), Construct::AcrossHaving, "{tail}");
    }
    let beside = "SELECT zone, COUNT(*) / SUM(COUNT(*)) OVER () AS s FROM trips GROUP BY zone HAVING COUNT(*) > 5";
    assert_eq!(refused(beside), Construct::AcrossHaving);
}
