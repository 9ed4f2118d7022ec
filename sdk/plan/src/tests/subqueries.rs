//! Per-person subqueries, windows over one person's rows, names of WITH.

use super::{of_several, related};
use crate::{Construct, Expr, LaneExpr, Measure, PlanError, Relation, WindowFunction};
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

fn bounds(text: &str) -> (f64, f64, u8) {
    let lanes = related(text).0.lanes;
    let found = lanes.iter().find_map(|lane| match lane {
        LaneExpr::SumClamped { bounds, .. } => {
            Some((bounds.min(), bounds.max(), bounds.grid_bits()))
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{text}: no sum"))
}

#[test]
fn an_average_over_persons_is_one_row_a_person() {
    let (sql, planned) = related(
        "SELECT AVG(n) AS trips FROM (SELECT person_id, COUNT(*) n FROM mob GROUP BY person_id) s",
    );
    let Relation::PerPerson { of, keys, measures } = &sql.relation else {
        panic!("{:?}", sql.relation)
    };
    assert!(keys.is_empty() && matches!(of.as_ref(), Relation::Table { table: 0 }));
    assert_eq!((measures[0].name.as_str(), &measures[0].measure), ("n", &Measure::CountRows));
    assert_eq!(planned.plan.row_cap, 1);
    assert_eq!(sql.lanes.len(), 2);
    assert_eq!(sql.lanes[1], LaneExpr::CountRows, "a count is NULL on no row");
    assert!(
        planned.plan.tables[0].columns.is_empty()
            && planned.plan.tables[0].order_columns.is_empty()
    );
    // Without a name, as in the text of a hurry.
    let short = "SELECT AVG(n) FROM (SELECT person_id, COUNT(*) n FROM mob GROUP BY person_id)";
    assert_eq!(related(short).0.relation, sql.relation);
}

/// The third question of the sample data.
#[test]
fn q3_sums_what_each_person_spent() {
    let (sql, planned) = related(
        "WITH s AS (SELECT country, person_id, SUM(amount_gbp) AS spend FROM ret
           WHERE person_id IS NOT NULL AND invoice_time >= TIMESTAMP '2011-09-01'
             AND invoice_time < TIMESTAMP '2011-12-01'
           GROUP BY country, person_id)
         SELECT country, COUNT(*) AS customers, SUM(spend) AS spend,
                SUM(LEAST(GREATEST(spend, 0), 2000)) AS spend_clipped FROM s GROUP BY country",
    );
    let Relation::PerPerson { keys, measures, .. } = &sql.relation else { panic!() };
    assert_eq!((keys[0].name.as_str(), measures[0].name.as_str()), ("country", "spend"));
    let table = &planned.plan.tables[0];
    let read: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(read, ["invoice_time", "country", "amount_gbp"]);
    assert_eq!(table.order_columns.len(), 1, "float sums see the order of rows");
    assert!(matches!(&table.filter, Some(Expr::And { all }) if all.len() == 2));
    assert_eq!(planned.plan.row_cap, 4, "three countries and NULL");
    let Some(LaneExpr::SumClamped { bounds, .. }) = sql.lanes.get(1) else { panic!() };
    assert_eq!((bounds.min(), bounds.max()), (-2_000.0, 20_000.0), "20 rows of -100 to 1000");
}

#[test]
fn measures_have_the_ranges_of_what_they_measure() {
    let of = |measure: &str| {
        bounds(&format!(
            "SELECT SUM(x) AS s FROM (SELECT person_id, {measure} AS x FROM ret GROUP BY person_id) s"
        ))
    };
    assert_eq!(of("COUNT(*)"), (0.0, 20.0, 0));
    assert_eq!(of("COUNT(DISTINCT country)"), (0.0, 20.0, 0));
    assert_eq!(of("SUM(quantity)"), (-200.0, 2_000.0, 0));
    assert_eq!(of("MIN(quantity)"), (-10.0, 100.0, 0));
    assert_eq!(of("MAX(amount_gbp)"), (-100.0, 1_000.0, 4));
    assert_eq!(of("AVG(quantity)"), (-10.0, 100.0, 20), "a mean is no whole number");
    assert_eq!(of("MAX(quantity) - MIN(quantity)"), (-110.0, 110.0, 0));
    assert_eq!(of("COALESCE(MAX(quantity), 0)"), (-10.0, 100.0, 0));
    let open =
        "SELECT SUM(x) AS s FROM (SELECT person_id, MAX(speed) AS x FROM mob GROUP BY person_id) s";
    assert!(matches!(refused(open), PlanError::Unbounded { .. }));
}

#[test]
fn a07_a_column_redefined_in_a_subquery_loses_its_bounds() {
    let of = |expression: &str| {
        format!(
            "SELECT SUM(distance_m) AS s FROM (SELECT person_id, {expression} AS distance_m FROM mob) s"
        )
    };
    assert_eq!(bounds(&of("distance_m")), (0.0, 50_000.0, 2));
    assert_eq!(bounds(&of("distance_m * 1000")), (0.0, 50_000_000.0, 2));
    assert!(matches!(refused(&of("speed")), PlanError::Unbounded { .. }));
    assert!(matches!(refused(&of("speed * 1000")), PlanError::Unbounded { .. }));
    let city = "SELECT city, COUNT(*) AS n FROM (SELECT person_id, station AS city FROM mob) s GROUP BY city";
    assert!(matches!(refused(city), PlanError::NoDomain { .. }));
    // A key of a group under the name of another column is that key.
    let swapped = "SELECT city, COUNT(*) AS n FROM (SELECT person_id, CASE WHEN month = 1 THEN 'x' ELSE 'y' END AS city, \
                   COUNT(*) AS c FROM mob GROUP BY person_id, 2) s GROUP BY city";
    let domain = &related(swapped).0.keys[0].domain;
    assert_eq!(domain, &["x", "y"].map(|text| KeyValue::Text(text.to_owned())));
}

#[test]
fn counts_of_a_person_can_be_grouped_by() {
    let (sql, _) = related(
        "SELECT n, COUNT(*) AS people FROM (SELECT person_id, COUNT(*) AS n FROM bank GROUP BY person_id) s GROUP BY n",
    );
    assert_eq!(sql.keys[0].domain, [1, 2, 3, 4, 5, 6].map(KeyValue::Int));
}

#[test]
fn a_filter_of_a_persons_aggregate_is_a_case_inside_it() {
    let of = |measure: &str| {
        format!(
            "SELECT SUM(x) AS s, COUNT(x) AS n FROM (SELECT person_id, {measure} AS x FROM ret GROUP BY person_id) s"
        )
    };
    let same = |filtered: &str, cased: &str| {
        assert_eq!(related(&of(filtered)).0, related(&of(cased)).0, "{filtered}");
    };
    for (aggregate, argument) in [
        ("COUNT", "country"),
        ("SUM", "quantity"),
        ("AVG", "amount_gbp"),
        ("MIN", "quantity"),
        ("MAX", "amount_gbp"),
    ] {
        same(
            &format!("{aggregate}({argument}) FILTER (WHERE month = 2)"),
            &format!("{aggregate}(CASE WHEN month = 2 THEN {argument} END)"),
        );
    }
    let rows = "COUNT(CASE WHEN month = 2 THEN TRUE END)";
    same("COUNT(*) FILTER (WHERE month = 2)", rows);
    same("COUNT(person_id) FILTER (WHERE month = 2)", rows);
    same(
        "COUNT(DISTINCT country) FILTER (WHERE month = 2)",
        "COUNT(DISTINCT CASE WHEN month = 2 THEN country END)",
    );
    // After grouping a window reads aggregates, in its filter too.
    let window = |call: &str| {
        let text = format!(
            "SELECT SUM(x) AS s FROM (SELECT person_id, month, {call} OVER (PARTITION BY person_id) AS x \
             FROM mob GROUP BY person_id, month) s"
        );
        related(&text).0
    };
    assert_eq!(
        window("SUM(COUNT(*)) FILTER (WHERE COUNT(*) > 2)"),
        window("SUM(CASE WHEN COUNT(*) > 2 THEN COUNT(*) END)")
    );
    let having = |condition: &str| {
        let of = "SELECT person_id FROM mob GROUP BY person_id HAVING";
        related(&format!("SELECT COUNT(*) AS n FROM ({of} {condition} >= 3) s")).0
    };
    assert_eq!(
        having("COUNT(*) FILTER (WHERE month = 1)"),
        having("COUNT(CASE WHEN month = 1 THEN TRUE END)")
    );
}

/// The rows that a filter leaves may be none: then a count is 0 and a sum is missing.
#[test]
fn a07_filtered_aggregates_of_a_person_keep_to_the_ranges_of_some_or_none_of_the_rows() {
    let of = |measure: &str| {
        bounds(&format!(
            "SELECT SUM(x) AS s FROM (SELECT person_id, {measure} FILTER (WHERE month = 2) AS x FROM ret GROUP BY person_id) s"
        ))
    };
    assert_eq!(of("COUNT(*)"), (0.0, 20.0, 0));
    assert_eq!(of("COUNT(DISTINCT country)"), (0.0, 20.0, 0));
    assert_eq!(of("SUM(quantity)"), (-200.0, 2_000.0, 0));
    assert_eq!(of("MIN(quantity)"), (-10.0, 100.0, 0));
    assert_eq!(of("MAX(amount_gbp)"), (-100.0, 1_000.0, 4));
    assert_eq!(of("AVG(quantity)"), (-10.0, 100.0, 20));
    let counted = |measure: &str| {
        let text = format!(
            "SELECT COUNT(x) AS n FROM (SELECT person_id, {measure} FILTER (WHERE month = 2) AS x FROM ret GROUP BY person_id) s"
        );
        related(&text).0.lanes
    };
    assert_eq!(counted("COUNT(*)"), [LaneExpr::CountRows], "a count is missing for nobody");
    assert!(matches!(counted("SUM(quantity)")[..], [LaneExpr::CountNonNull { .. }]));
    let (sql, _) = related(
        "SELECT n, COUNT(*) AS people FROM (SELECT person_id, COUNT(*) FILTER (WHERE month = 5) AS n \
         FROM bank GROUP BY person_id) s GROUP BY n",
    );
    assert_eq!(sql.keys[0].domain, [0, 1, 2, 3, 4, 5, 6].map(KeyValue::Int));
}

#[test]
fn filters_of_a_persons_aggregates_read_rows_of_values_alone() {
    let of = |call: &str| {
        refused(&format!(
            "SELECT COUNT(x) AS n FROM (SELECT person_id, {call} AS x FROM mob GROUP BY person_id) s"
        ))
    };
    for (call, construct) in [
        ("COUNT(*) FILTER (WHERE COUNT(*) > 1)", Construct::NestedAggregate),
        (
            "COUNT(*) FILTER (WHERE ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY month) = 1)",
            Construct::Window,
        ),
        ("ABS(month) FILTER (WHERE month = 1)", Construct::Filter),
        (
            "ROW_NUMBER() FILTER (WHERE month = 1) OVER (PARTITION BY person_id ORDER BY month)",
            Construct::Filter,
        ),
        ("SUM(month) WITHIN GROUP (ORDER BY month)", Construct::Argument),
    ] {
        let error = of(call);
        assert!(
            matches!(&error, PlanError::Refused { construct: c, .. } if *c == construct),
            "{call}: {error}"
        );
    }
    let error = of("COUNT(*) FILTER (WHERE month)");
    assert!(matches!(error, PlanError::Type { .. }), "{error}");
    let error = of("COUNT(*) FILTER (WHERE person_id = 1)");
    assert!(matches!(error, PlanError::UnitColumn { .. }), "{error}");
    let error = of("COUNT(*) FILTER (WHERE trip_id = 1)");
    assert!(matches!(error, PlanError::Identifier { .. }), "{error}");
}

#[test]
fn having_filters_groups_and_distinct_makes_rows_different() {
    let (sql, _) = related(
        "SELECT COUNT(*) AS n FROM (SELECT person_id, city FROM mob GROUP BY person_id, city \
         HAVING COUNT(*) >= 3 AND MAX(distance_m) > 10) s",
    );
    let Relation::Filter { of, condition: Expr::And { all } } = &sql.relation else { panic!() };
    assert_eq!(all.len(), 2);
    let Relation::PerPerson { keys, measures, .. } = of.as_ref() else { panic!() };
    assert_eq!((keys.len(), measures.len()), (1, 2));
    let (sql, planned) =
        related("SELECT COUNT(*) AS n FROM (SELECT DISTINCT person_id, city FROM mob) s");
    let Relation::Distinct { of } = &sql.relation else { panic!() };
    assert!(matches!(of.as_ref(), Relation::Table { table: 0 }), "{of:?}");
    assert_eq!(planned.plan.tables[0].columns.len(), 1);
    // A filter goes through, but what it reads may not make rows different.
    let (sql, _) = related(
        "SELECT COUNT(*) AS n FROM (SELECT DISTINCT person_id, city FROM mob WHERE month = 1) s WHERE city = 'Holyoke'",
    );
    let Relation::Distinct { of } = &sql.relation else { panic!("{:?}", sql.relation) };
    assert!(matches!(of.as_ref(), Relation::Project { columns, .. } if columns.len() == 1));
}

#[test]
fn subqueries_across_units_are_refused_with_what_to_write() {
    for text in [
        "SELECT AVG(n) AS a FROM (SELECT city, COUNT(*) AS n FROM mob GROUP BY city) s",
        "SELECT AVG(n) AS a FROM (SELECT COUNT(*) AS n FROM mob) s",
        "SELECT COUNT(*) AS a FROM (SELECT person_id, COUNT(*) AS n FROM mob GROUP BY city) s",
        "SELECT COUNT(*) AS a FROM (SELECT city FROM mob GROUP BY city) s",
        "SELECT COUNT(*) AS a FROM (SELECT person_id FROM mob HAVING COUNT(*) > 1) s",
    ] {
        let error = refused(text);
        assert!(matches!(error, PlanError::AcrossUnits { .. }), "{text}: {error}");
        assert!(error.to_string().contains("`person_id`"), "{error}");
    }
    for text in [
        "SELECT COUNT(*) AS n FROM (SELECT city FROM mob) s",
        "SELECT COUNT(*) AS n FROM (SELECT DISTINCT city FROM mob) s",
        "SELECT COUNT(*) AS n FROM (SELECT city, COUNT(*) AS c FROM mob GROUP BY person_id, city) s",
    ] {
        let error = refused(text);
        assert!(matches!(error, PlanError::UnitLeftOut { .. }), "{text}: {error}");
    }
    let error = refused(
        "SELECT COUNT(*) AS n FROM (SELECT person_id, city, COUNT(*) AS c FROM mob GROUP BY person_id) s",
    );
    assert!(matches!(error, PlanError::NotGrouped { .. }), "{error}");
    let error = refused(
        "SELECT COUNT(*) AS n FROM (SELECT person_id, month + 1 AS m FROM mob GROUP BY person_id, city) s",
    );
    assert!(matches!(error, PlanError::NotGrouped { .. }), "{error}");
    let error = refused("SELECT COUNT(*) AS n FROM (SELECT person_id, city, city FROM mob) s");
    assert!(matches!(error, PlanError::Twice { .. }), "{error}");
}

#[test]
fn windows_are_cut_by_person() {
    let (sql, planned) = related(
        "SELECT AVG(CASE WHEN next = month + 1 THEN 1 ELSE 0 END) AS again, COUNT(*) AS n FROM (
           SELECT person_id, month, LEAD(month) OVER (PARTITION BY person_id ORDER BY month DESC) AS next,
                  ROW_NUMBER() OVER (PARTITION BY person_id, city ORDER BY start) AS place,
                  SUM(duration_s) OVER (PARTITION BY person_id ORDER BY month DESC ROWS UNBOUNDED PRECEDING) AS so_far
           FROM mob WHERE distance_m > 200) s WHERE place = 1 AND month = 2",
    );
    let Relation::Filter { of, condition: Expr::And { all } } = &sql.relation else {
        panic!("{:?}", sql.relation)
    };
    assert_eq!(all.len(), 2, "no filter passes a window");
    let Relation::Project { of, .. } = of.as_ref() else { panic!("{of:?}") };
    let Relation::Window { of, partition, order, columns } = of.as_ref() else { panic!("{of:?}") };
    assert_eq!((partition.as_slice(), columns.len()), (&[column("city")][..], 1));
    assert!(!order[0].descending && !order[0].nulls_first);
    let Relation::Window { of, partition, order, columns } = of.as_ref() else { panic!("{of:?}") };
    assert!(partition.is_empty() && order[0].descending && order[0].nulls_first);
    assert_eq!(columns.len(), 1, "what nothing reads is left out");
    assert!(matches!(&columns[0].function, WindowFunction::Lead { offset: 1, .. }));
    assert!(matches!(of.as_ref(), Relation::Table { .. }));
    let order: Vec<_> = planned.plan.tables[0].order_columns.iter().map(Name::as_str).collect();
    assert_eq!(order, ["start", "trip_id"], "ties break by canonical order");
}

#[test]
fn windows_over_groups_read_keys_and_measures() {
    let (sql, _) = related(
        "SELECT SUM(clamp(d, -50, 50)) AS change FROM (
           SELECT person_id, month, COUNT(*) - LAG(COUNT(*), 2) OVER (PARTITION BY person_id ORDER BY month) AS d
           FROM mob GROUP BY person_id, month) s",
    );
    let Relation::Project { of, columns } = &sql.relation else { panic!("{:?}", sql.relation) };
    assert_eq!(columns.len(), 1);
    let Relation::Window { of, columns, .. } = of.as_ref() else { panic!("{of:?}") };
    let WindowFunction::Lag { of: lagged, offset: 2 } = &columns[0].function else { panic!() };
    assert_eq!(*lagged, column("count"));
    assert!(matches!(of.as_ref(), Relation::PerPerson { measures, .. } if measures.len() == 1));
}

#[test]
fn other_windows_are_refused() {
    let window = |window: &str| {
        format!("SELECT COUNT(*) AS n FROM (SELECT person_id, {window} AS w FROM mob) s")
    };
    for across in [
        "LAG(month) OVER (ORDER BY month)",
        "COUNT(*) OVER ()",
        "COUNT(*) OVER (PARTITION BY city)",
        "ROW_NUMBER() OVER (PARTITION BY city ORDER BY person_id)",
    ] {
        let error = refused(&window(across));
        assert!(
            matches!(error, PlanError::WindowAcrossUnits { .. } | PlanError::UnitColumn { .. }),
            "{across}: {error}"
        );
    }
    for frame in [
        "COUNT(*) OVER (PARTITION BY person_id ORDER BY month)",
        "SUM(month) OVER (PARTITION BY person_id ORDER BY month ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        "SUM(month) OVER (PARTITION BY person_id ORDER BY month RANGE UNBOUNDED PRECEDING)",
        "LAG(month) OVER (PARTITION BY person_id ORDER BY month ROWS UNBOUNDED PRECEDING)",
    ] {
        let error = refused(&window(frame));
        assert!(matches!(error, PlanError::WindowFrame { .. }), "{frame}: {error}");
    }
    let error = refused(&window("LAG(month) OVER (PARTITION BY person_id)"));
    assert!(matches!(error, PlanError::WindowOrder { .. }), "{error}");
    for wrong in [
        "LAG(month, 0)",
        "LAG(month, -1)",
        "LAG(month, month)",
        "LAG(month, 1, 0)",
        "ROW_NUMBER(1)",
        "LEAD()",
    ] {
        let error =
            refused(&window(&format!("{wrong} OVER (PARTITION BY person_id ORDER BY month)")));
        assert!(matches!(error, PlanError::Arguments { .. }), "{wrong}: {error}");
    }
    for (text, construct) in [
        (
            "LAG(LAG(month) OVER (PARTITION BY person_id ORDER BY month)) OVER (PARTITION BY person_id ORDER BY month)",
            Construct::Window,
        ),
        ("ROW_NUMBER()", Construct::Window),
    ] {
        let error = refused(&window(text));
        assert!(
            matches!(&error, PlanError::Refused { construct: c, .. } if *c == construct),
            "{text}: {error}"
        );
    }
}

#[test]
fn names_of_with_are_inlined_and_each_is_used() {
    let (sql, planned) = related(
        "WITH long AS (SELECT * FROM mob WHERE distance_m > 1000), \
              both AS (SELECT a.person_id, a.city, b.month FROM long a JOIN ret b ON a.person_id = b.person_id) \
         SELECT city, COUNT(*) AS n FROM both WHERE month = 2 GROUP BY city",
    );
    assert!(
        matches!(sql.relation, Relation::Project { .. } | Relation::Join { .. }),
        "{:?}",
        sql.relation
    );
    assert!(planned.plan.tables.iter().all(|table| table.filter.is_some()));
    let unused = "WITH a AS (SELECT person_id FROM mob), b AS (SELECT person_id FROM ret) SELECT COUNT(*) AS n FROM a";
    let error = refused(unused);
    assert!(
        error.to_string().contains("`b`") && matches!(error, PlanError::Unused { .. }),
        "{error}"
    );
    for twice in [
        "WITH mob AS (SELECT person_id FROM ret) SELECT COUNT(*) AS n FROM mob",
        "WITH a AS (SELECT person_id FROM ret), a AS (SELECT person_id FROM mob) SELECT COUNT(*) AS n FROM a",
        "WITH stations AS (SELECT person_id FROM ret) SELECT COUNT(*) AS n FROM stations",
    ] {
        assert!(matches!(refused(twice), PlanError::Twice { .. }), "{twice}");
    }
    // A name does not see itself or those after it.
    let later = "WITH a AS (SELECT person_id FROM b), b AS (SELECT person_id FROM mob) SELECT COUNT(*) AS n FROM a";
    assert!(matches!(refused(later), PlanError::NoDataset { .. }));
}

#[test]
fn a_filter_says_what_values_are_left() {
    let text = |filter: &str| {
        format!(
            "SELECT s, COUNT(*) AS n, COUNT(v) AS known FROM (SELECT person_id, station AS s, speed AS v FROM mob WHERE {filter}) t GROUP BY s"
        )
    };
    let (sql, _) = related(&text("station IN ('Main St', 'Pleasant St', 'Main St') AND speed > 3"));
    assert_eq!(
        sql.keys[0].domain,
        ["Main St", "Pleasant St"].map(|t| KeyValue::Text(t.to_owned()))
    );
    assert_eq!(sql.lanes, [LaneExpr::CountRows], "what was compared is not NULL");
    let (sql, _) = related(&text("station = 'Main St'"));
    assert_eq!((sql.keys[0].domain.len(), sql.lanes.len()), (1, 2));
    for open in [
        "station IN ('Main St') OR speed > 3",
        "NOT (station IN ('Main St'))",
        "station <> 'Main St'",
        "COALESCE(station, 'Main St') = 'Main St'",
        "station IS NOT NULL",
    ] {
        assert!(matches!(refused(&text(open)), PlanError::NoDomain { .. }), "{open}");
    }
    // Of the agreement's own list a filter leaves what it lists.
    let city = "SELECT city, COUNT(*) AS n FROM mob WHERE city = 'Holyoke' GROUP BY city";
    assert_eq!(related(city).0.keys[0].domain.len(), 1);
    // What is known on the side that may be missing is known no more after the join.
    let left = "SELECT COUNT(b.speed) AS n FROM ret a LEFT JOIN \
                (SELECT person_id, speed FROM mob WHERE speed > 3) b ON a.person_id = b.person_id";
    assert!(matches!(related(left).0.lanes[..], [LaneExpr::CountNonNull { .. }]));
    // NULL is one of a person's groups, unless a filter says otherwise.
    let rows = |filter: &str| {
        let text = format!(
            "SELECT COUNT(*) AS n FROM (SELECT DISTINCT person_id, country FROM ret {filter}) s"
        );
        related(&text).1.plan.row_cap
    };
    assert_eq!((rows(""), rows("WHERE country IS NOT NULL")), (4, 3));
}
