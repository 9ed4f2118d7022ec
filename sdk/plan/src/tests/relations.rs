//! Joins, unions and public tables, and what of them is refused.

use super::{of_several, related};
use crate::{Expr, JoinKind, LaneExpr, Literal, PlanError, Relation};
use cloister_terms::{KeyValue, Name};

fn column(text: &str) -> Expr {
    Expr::Column { name: Name::new(text).unwrap() }
}

fn refused(text: &str) -> PlanError {
    match of_several(text) {
        Ok(planned) => panic!("{text:?} must be refused, became {:?}", planned.plan.contribute),
        Err(error) => error,
    }
}

fn read(planned: &crate::Planned, table: usize) -> Vec<&str> {
    planned.plan.tables[table].columns.iter().map(|column| column.name.as_str()).collect()
}

/// The second question of the sample data, with the month as a column.
const Q2: &str = "WITH activity AS (
  SELECT 'mobility' AS partner, person_id, month AS m FROM mob WHERE distance_m >= 200
  UNION ALL SELECT 'retail', person_id, month FROM ret WHERE person_id IS NOT NULL AND quantity > 0
  UNION ALL SELECT 'bank', person_id, month FROM bank WHERE paid > 0),
pm AS (SELECT DISTINCT partner, person_id, m FROM activity)
SELECT a.partner, a.m, COUNT(*) AS active, COUNT(b.person_id) AS active_next
FROM pm a LEFT JOIN pm b ON a.partner = b.partner AND a.person_id = b.person_id AND b.m = a.m
GROUP BY 1, 2";

#[test]
fn q2_becomes_a_left_join_of_distinct_unions() {
    let (sql, planned) = related(Q2);
    let plan = &planned.plan;
    let datasets: Vec<_> = plan.tables.iter().map(|table| table.dataset.as_str()).collect();
    assert_eq!(datasets, ["mob", "ret", "bank", "mob", "ret", "bank"], "each use reads anew");
    assert_eq!(read(&planned, 0), ["month", "distance_m"]);
    assert!(
        matches!(plan.tables[1].filter, Some(Expr::Compare { .. })),
        "IS NOT NULL says nothing"
    );
    assert!(plan.tables.iter().all(|table| table.order_columns.is_empty()), "counts see no order");
    let Relation::Join { left, right, kind: JoinKind::Left, on } = &sql.relation else { panic!() };
    assert_eq!(on.len(), 2);
    assert_eq!((&on[0].left, &on[0].right), (&column("partner"), &column("b_partner")));
    assert_eq!((&on[1].left, &on[1].right), (&column("m"), &column("b_m")), "sides are sorted");
    let Relation::Distinct { of } = left.as_ref() else { panic!("{left:?}") };
    assert!(matches!(of.as_ref(), Relation::Union { of } if of.len() == 3));
    let Relation::Project { columns, .. } = right.as_ref() else { panic!("{right:?}") };
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["b_partner", "b_m", "b_found"]);
    assert_eq!(
        sql.lanes,
        [LaneExpr::CountRows, LaneExpr::CountNonNull { expr: column("b_found") }]
    );
    let text = |text: &str| KeyValue::Text(text.to_owned());
    assert_eq!(sql.keys[0].domain, [text("mobility"), text("retail"), text("bank")]);
    assert_eq!(sql.keys[1].domain, [1, 2, 3, 4, 5].map(KeyValue::Int));
    let names: Vec<_> = plan.shape.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["partner", "m", "active", "active_next"]);
    assert_eq!(planned.columns.len(), 3, "one entry a dataset");
}

#[test]
fn a_self_join_has_two_tables_and_names_of_its_own() {
    let text = "SELECT COUNT(*) AS n FROM mob a JOIN mob b ON a.person_id = b.person_id \
                AND a.city = b.city WHERE a.month = 1 AND b.month = 2 AND a.speed < b.speed";
    let (sql, planned) = related(text);
    assert_eq!(planned.plan.tables.len(), 2);
    assert!(planned.plan.tables.iter().all(|table| table.filter.is_some()), "both go down");
    let Relation::Filter { of, condition } = &sql.relation else { panic!("{:?}", sql.relation) };
    assert!(matches!(condition, Expr::Compare { .. }), "what reads both sides stays above");
    let Relation::Join { left, right, kind: JoinKind::Inner, on } = of.as_ref() else { panic!() };
    assert_eq!(on.len(), 1);
    // `month` is read for the filters alone: it may not clash above.
    for (side, names) in [(left, ["city", "speed"]), (right, ["b_city", "b_speed"])] {
        let Relation::Project { columns, .. } = side.as_ref() else { panic!("{side:?}") };
        assert_eq!(columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), names);
    }
    assert_eq!(planned.plan.row_cap, 20, "50 times 50 rows, 20 asked");
}

#[test]
fn filters_stop_at_the_side_that_may_be_missing() {
    let join = "SELECT COUNT(*) AS n FROM mob a LEFT JOIN ret b ON a.person_id = b.person_id";
    let (sql, planned) = related(&format!("{join} WHERE a.month = 1 AND b.month = 2"));
    assert!(planned.plan.tables[0].filter.is_some() && planned.plan.tables[1].filter.is_none());
    assert!(matches!(&sql.relation, Relation::Filter { .. }));
    // A condition of ON on the right side alone chooses what may match.
    let (sql, planned) = related(&format!("{join} AND b.quantity > 0 WHERE b.person_id IS NULL"));
    assert!(planned.plan.tables[1].filter.is_some());
    let Relation::Filter { condition, .. } = &sql.relation else { panic!() };
    assert!(matches!(condition, Expr::IsNull { of } if **of == column("b_found")));
    for condition in ["a.month = 1", "a.month < b.month", "(a.month = 1 OR b.month = 1)"] {
        let error = refused(&format!("{join} AND {condition}"));
        assert!(matches!(error, PlanError::JoinCondition { .. }), "{condition}: {error}");
    }
    // An inner join takes any condition.
    let inner = join.replace("LEFT JOIN", "JOIN");
    let (_, planned) = related(&format!("{inner} AND a.month = 1 AND a.month < b.month"));
    assert!(planned.plan.tables[0].filter.is_some());
}

#[test]
fn a_right_join_is_a_left_join_with_its_sides_changed() {
    let (sql, planned) = related(
        "SELECT COUNT(*) AS n, COUNT(a.person_id) AS found FROM ret a RIGHT JOIN mob b USING (person_id)",
    );
    assert_eq!(planned.plan.tables[0].dataset.as_str(), "ret");
    let Relation::Join { left, kind: JoinKind::Left, .. } = &sql.relation else { panic!() };
    assert!(matches!(left.as_ref(), Relation::Table { table: 1 }), "{left:?}");
}

#[test]
fn private_tables_join_on_the_person_or_not_at_all() {
    for on in
        ["ON a.month = b.month", "ON true", "USING (month)", "", "ON a.person_id = a.person_id"]
    {
        let error = refused(&format!("SELECT COUNT(*) AS n FROM mob a JOIN ret b {on}"));
        assert!(matches!(error, PlanError::UnitNotJoined { .. }), "{on}: {error}");
        let said = error.to_string();
        assert!(said.contains("a.person_id = b.person_id"), "{said}");
    }
    for on in
        ["a.person_id = b.month", "a.person_id < b.person_id", "a.person_id + 1 = b.person_id"]
    {
        let error = refused(&format!("SELECT COUNT(*) AS n FROM mob a JOIN ret b ON {on}"));
        assert!(matches!(error, PlanError::UnitColumn { .. }), "{on}: {error}");
    }
    // The persons are equated under OR: nothing is equated.
    let or =
        "SELECT COUNT(*) AS n FROM mob a JOIN ret b ON a.person_id = b.person_id OR a.month = 1";
    assert!(matches!(refused(or), PlanError::UnitColumn { .. }));
    let types = "SELECT COUNT(*) AS n FROM mob a JOIN clinic b ON a.person_id = b.patient";
    assert!(matches!(refused(types), PlanError::UnitTypes { .. }));
    // The third joins on a person that may be missing.
    let optional = "SELECT COUNT(*) AS n FROM mob a LEFT JOIN ret b USING (person_id) \
                    JOIN bank c ON c.person_id = b.person_id";
    assert!(matches!(refused(optional), PlanError::UnitOptional { .. }));
    let three = "SELECT COUNT(DISTINCT person_id) AS n FROM mob a LEFT JOIN ret b USING (person_id) \
                 JOIN bank c USING (person_id)";
    assert_eq!(related(three).0.lanes, [LaneExpr::CountUnits]);
}

#[test]
fn names_of_several_things_are_told_apart() {
    let join = "FROM mob a JOIN ret b ON a.person_id = b.person_id";
    let error = refused(&format!("SELECT COUNT(*) AS n {join} WHERE month = 1"));
    assert!(matches!(error, PlanError::Ambiguous { .. }), "{error}");
    let error = refused(&format!("SELECT COUNT(*) AS n {join} WHERE c.month = 1"));
    assert!(error.to_string().contains("calls what it reads `a`, `b`"), "{error}");
    let error = refused(&format!("SELECT COUNT(*) AS n {join} WHERE nowhere = 1"));
    assert!(matches!(error, PlanError::NoColumn { .. }), "{error}");
    let error = refused("SELECT COUNT(*) AS n FROM mob JOIN mob USING (person_id)");
    assert!(matches!(error, PlanError::Twice { .. }), "{error}");
    let (sql, _) = related(
        "SELECT month, COUNT(*) AS n FROM mob a JOIN ret b USING (person_id, month) GROUP BY month",
    );
    assert_eq!(sql.keys[0].domain, [1, 2, 3].map(KeyValue::Int), "the left one is meant");
}

#[test]
fn s21_unit_and_identifiers_stay_inside_whatever_they_are_called() {
    for text in [
        "SELECT p, COUNT(*) AS n FROM (SELECT person_id AS p FROM mob) s GROUP BY p",
        "SELECT COUNT(*) AS n FROM (SELECT person_id AS p FROM mob) s WHERE p = 12",
        "SELECT SUM(p) AS n FROM (SELECT person_id AS p FROM mob) s",
        "SELECT COUNT(*) AS n FROM (SELECT person_id + 1 AS q, person_id FROM mob) s",
        "SELECT COUNT(*) AS n FROM (SELECT person_id, MAX(person_id) AS q FROM mob GROUP BY person_id) s",
        "SELECT COUNT(*) AS n FROM (SELECT person_id, LAG(person_id) OVER (PARTITION BY person_id ORDER BY month) AS q FROM mob) s",
        "SELECT COUNT(*) AS n FROM mob JOIN stations s ON mob.person_id = s.docks",
    ] {
        let error = refused(text);
        assert!(matches!(error, PlanError::UnitColumn { .. }), "{text}: {error}");
    }
    for text in [
        "SELECT COUNT(*) AS n FROM (SELECT person_id, trip_id AS t FROM mob) s",
        "SELECT COUNT(*) AS n FROM (SELECT * FROM mob) s WHERE trip_id = 1",
        "SELECT COUNT(*) AS n FROM (SELECT DISTINCT * FROM mob) s",
        "SELECT COUNT(*) AS n FROM (SELECT person_id, MAX(trip_id) AS t FROM mob GROUP BY person_id) s",
        "SELECT COUNT(*) AS n FROM mob a JOIN mob b ON a.person_id = b.person_id AND a.trip_id = b.trip_id",
        "SELECT COUNT(*) AS n FROM mob a JOIN mob b USING (person_id, trip_id)",
        "SELECT COUNT(*) AS n FROM mob JOIN stations s ON mob.trip_id = s.docks",
    ] {
        let error = refused(text);
        assert!(matches!(error, PlanError::Identifier { .. }), "{text}: {error}");
    }
    let error = refused(
        "SELECT COUNT(DISTINCT b.person_id) AS n FROM mob a LEFT JOIN ret b USING (person_id)",
    );
    assert!(matches!(error, PlanError::Refused { .. } | PlanError::UnitColumn { .. }), "{error}");
}

#[test]
fn public_tables_are_looked_up_by_any_key() {
    let text = "SELECT s.city, COUNT(*) AS n, SUM(docks) AS docks FROM mob m \
                LEFT JOIN stations s ON m.station = s.station AND s.docks = 11 GROUP BY s.city";
    let (sql, planned) = related(text);
    let Relation::Lookup { public, kind: JoinKind::Left, on, .. } = &sql.relation else { panic!() };
    let names: Vec<_> = public.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["s_station", "s_city", "docks"], "what nothing reads is left out");
    assert_eq!(public.rows[1].len(), 3);
    assert_eq!(on.len(), 2);
    assert_eq!(on[1].left, Expr::literal(Literal::int(11)), "a constant is a key there");
    assert_eq!(planned.plan.tables.len(), 1);
}

#[test]
fn public_columns_have_a_public_domain_and_a_range() {
    let text = "SELECT s.city, COUNT(*) AS n, SUM(docks) AS d FROM stations s \
                JOIN mob m ON m.station = s.station AND s.docks > 9 GROUP BY s.city";
    let (sql, planned) = related(text);
    let text = |text: &str| KeyValue::Text(text.to_owned());
    assert_eq!(sql.keys[0].domain, [text("Holyoke"), text("Amherst")]);
    let Some(LaneExpr::SumClamped { bounds, .. }) = sql.lanes.get(1) else { panic!() };
    assert_eq!((bounds.min(), bounds.max()), (9.0, 15.0));
    assert_eq!(planned.plan.row_cap, 20);
    assert!(matches!(sql.relation, Relation::Filter { .. }), "an inner condition stays above");
    for alone in [
        "SELECT COUNT(*) AS n FROM stations",
        "SELECT COUNT(*) AS n FROM stations s LEFT JOIN mob m ON m.station = s.station",
        "SELECT COUNT(*) AS n FROM stations a JOIN stations b ON a.city = b.city",
        "SELECT COUNT(*) AS n FROM (SELECT city FROM stations) s",
    ] {
        assert!(matches!(refused(alone), PlanError::PublicAlone { .. }), "{alone}");
    }
    let no_key = refused("SELECT COUNT(*) AS n FROM mob m JOIN stations s ON s.docks > 3");
    assert!(matches!(no_key, PlanError::NoJoinKey { .. }), "{no_key}");
}

#[test]
fn rows_of_a_person_are_capped_by_what_the_steps_can_make() {
    let cap = |text: &str| {
        let body = cloister_terms::Body::Sql { text: text.to_owned() };
        let spend = super::rho("0.1");
        let question = crate::Question {
            body: &body,
            row_cap: 1_000_000,
            group_cap: 1_000,
            spend,
            diagnostics: false,
            rounds: 1,
        };
        let plan = crate::plan(&super::several(), &question).unwrap().plan;
        (plan.row_cap, plan.tables.iter().map(|table| table.table_row_cap).collect::<Vec<_>>())
    };
    let n = |from: &str| cap(&format!("SELECT COUNT(*) AS n FROM {from}"));
    assert_eq!(n("mob"), (50, vec![50]));
    assert_eq!(n("mob JOIN ret USING (person_id)"), (1_000, vec![50, 20]));
    assert_eq!(n("(SELECT person_id FROM mob UNION ALL SELECT person_id FROM ret) u").0, 70);
    assert_eq!(n("(SELECT DISTINCT person_id FROM mob) u").0, 1);
    assert_eq!(n("(SELECT DISTINCT person_id, city FROM mob) u").0, 3, "two cities and NULL");
    assert_eq!(n("(SELECT person_id FROM mob GROUP BY person_id) u").0, 1);
    assert_eq!(n("(SELECT person_id, station FROM mob GROUP BY person_id, station) u").0, 50);
    assert_eq!(n("mob m JOIN stations s ON m.station = s.station").0, 100, "a name stands twice");
    assert_eq!(n("mob m JOIN stations s ON m.station = s.station AND m.city = s.city").0, 50);
}

#[test]
fn unions_fit_or_are_refused() {
    let union = |first: &str, second: &str| {
        format!(
            "SELECT COUNT(*) AS n FROM (SELECT {first} FROM mob UNION ALL SELECT {second} FROM ret) u"
        )
    };
    assert!(of_several(&union("person_id, month", "person_id, month")).is_ok());
    for (first, second) in [
        ("person_id, month", "person_id"),
        ("person_id, month", "month, person_id"),
        ("person_id, month", "person_id, country"),
        ("person_id, distance_m", "person_id, quantity"),
    ] {
        let error = refused(&union(first, second));
        assert!(matches!(error, PlanError::UnionParts { part: 2, .. }), "{first}: {error}");
    }
    let clinic = "SELECT COUNT(*) AS n FROM (SELECT person_id FROM mob UNION ALL SELECT patient FROM clinic) u";
    assert!(matches!(refused(clinic), PlanError::UnionParts { .. }));
    assert!(matches!(refused(&union("month", "month")), PlanError::UnitLeftOut { .. }));
    let distinct = union("person_id, month", "person_id, month").replace("UNION ALL", "UNION");
    let (sql, planned) = related(&distinct);
    assert!(matches!(sql.relation, Relation::Distinct { .. }));
    assert_eq!(planned.plan.row_cap, 5, "1, 2, 3, 4 and NULL");
    // Range and domain are of all parts.
    let text = "SELECT SUM(x) AS s FROM (SELECT person_id, duration_s AS x FROM mob UNION ALL SELECT person_id, quantity FROM ret) u";
    let LaneExpr::SumClamped { bounds, .. } = related(text).0.lanes.remove(0) else { panic!() };
    assert_eq!((bounds.min(), bounds.max()), (-10.0, 86_400.0));
    let open = text.replace("quantity", "quantity * 1.0").replace("duration_s", "speed");
    assert!(matches!(refused(&open), PlanError::Unbounded { .. }));
}

#[test]
fn literals_of_parts_keep_their_own_value() {
    let text = "SELECT p, COUNT(*) AS n FROM (SELECT person_id, 'a' AS p FROM mob UNION ALL \
                SELECT person_id, 'b' FROM ret) u WHERE p = 'b' GROUP BY p";
    let (sql, _) = related(text);
    let Relation::Filter { of, .. } = &sql.relation else { panic!("{:?}", sql.relation) };
    let Relation::Union { of } = of.as_ref() else { panic!() };
    let values: Vec<_> = of
        .iter()
        .map(|part| match part {
            Relation::Project { columns, .. } => columns[0].expr.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, ["a", "b"].map(|text| Expr::literal(Literal::Text(text.to_owned()))));
}

/// The second question of the sample data as it is written, its months named by filters.
#[test]
fn q2_with_months_of_timestamps_plans() {
    let (sql, planned) = related(
        "WITH activity AS (
  SELECT 'mobility' AS partner, person_id, date_trunc('month', start) AS m FROM mob
    WHERE distance_m >= 200 AND start >= TIMESTAMP '2019-07-01' AND start < TIMESTAMP '2019-11-01'
  UNION ALL SELECT 'retail', person_id, date_trunc('month', invoice_time) FROM ret
    WHERE person_id IS NOT NULL AND quantity > 0
      AND invoice_time >= TIMESTAMP '2011-07-01' AND invoice_time < TIMESTAMP '2011-11-01'
  UNION ALL SELECT 'bank', person_id, statement_month FROM bank
    WHERE paid > 0 AND statement_month IN (TIMESTAMP '2005-06-01', TIMESTAMP '2005-07-01')),
pm AS (SELECT DISTINCT partner, person_id, m FROM activity)
SELECT a.partner, a.m, COUNT(*) AS active, COUNT(b.person_id) AS active_next
FROM pm a LEFT JOIN pm b ON a.partner = b.partner AND a.person_id = b.person_id AND b.m = a.m + INTERVAL '1' MONTH
GROUP BY 1, 2",
    );
    assert_eq!(sql.keys[1].domain.len(), 4 + 4 + 2, "the months of three filters");
    let Relation::Join { on, kind: JoinKind::Left, .. } = &sql.relation else { panic!() };
    assert_eq!(on.len(), 2);
    assert!(matches!(&on[1].left, Expr::Call { .. }) && on[1].right == column("b_m"));
    let filters = planned.plan.tables.iter().filter(|table| table.filter.is_some());
    assert_eq!(filters.count(), 6, "every filter goes down to its table");
}
