//! Each step of a relation against plain SQL over the same small random tables: the same rows, whatever
//! the partitions and batches. No cap binds here.

use crate::relation_world::*;
use crate::world::Draws;
use cloister_plan::*;
use cloister_terms::{Body, ColumnType};

/// Random tables, some persons in one of them only.
fn worlds() -> Vec<Tables> {
    let one = |seed: u64| {
        let mut draws = Draws(seed);
        let visits = draw(&mut draws, 0..20, 8);
        let items = draw(&mut draws, 4..24, 6);
        Tables::new(&visits, &items, 2)
    };
    vec![one(1), one(2), Tables::new(&[], &one(3).items, 1)]
}

async fn same(relation: &Relation, sql: &str) {
    for (turn, tables) in worlds().iter().enumerate() {
        let expected = tables.sql(sql).await;
        assert!(turn != 0 || !expected.is_empty(), "{sql}");
        for options in every_cut() {
            let found = tables.made(relation, &options).await;
            assert_eq!(found, expected, "{sql} in world {turn}, {options:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_projections_are_those_of_sql() {
    let condition = compare(col("k"), CompareOp::Greater, int(1));
    let filter = Relation::Filter { of: Box::new(table(0)), condition };
    same(&filter, "SELECT * FROM visits WHERE k > 1").await;
    let double = Expr::Arithmetic {
        op: ArithmeticOp::Add,
        left: Box::new(col("v")),
        right: Box::new(col("v")),
    };
    let nothing = Expr::IsNull { of: Box::new(col("g")) };
    let project = named(filter, &[("x", double), ("y", nothing), ("z", int(7))]);
    same(&project, "SELECT who, v + v, g IS NULL, 7 FROM visits WHERE k > 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_are_those_of_sql_within_a_person() {
    let on = [("k", "ik"), ("g", "ig")];
    let select = "SELECT a.*, b.k, b.g, b.v FROM visits a";
    for (kind, word) in [(JoinKind::Inner, "JOIN"), (JoinKind::Left, "LEFT JOIN")] {
        for (keys, also) in [(0, ""), (1, " AND a.k = b.k"), (2, " AND a.k = b.k AND a.g = b.g")] {
            let relation = join(table(0), items(), kind, &on[..keys]);
            same(&relation, &format!("{select} {word} items b ON a.who = b.who{also}")).await;
        }
    }
    let absent = named(table(3), &[("ik", col("k")), ("ig", col("g")), ("iv", col("v"))]);
    let left = join(table(0), absent.clone(), JoinKind::Left, &on[..1]);
    same(&left, "SELECT *, NULL AS x, NULL AS y, NULL AS z FROM visits").await;
    let tables = &worlds()[0];
    let inner = join(table(0), absent, JoinKind::Inner, &on[..1]);
    assert!(tables.made(&inner, &every_cut()[1]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_of_public_tables_are_joins_of_sql() {
    let text = |value: &str| Some(Literal::Text(value.into()));
    let rows = vec![
        vec![Some(Literal::int(1)), text("one")],
        vec![Some(Literal::int(3)), text("three")],
        vec![Some(Literal::int(1)), None],
        vec![None, text("nothing")],
        vec![Some(Literal::int(-4)), text("minus four")],
    ];
    let column = |of: &str, column_type| PublicColumn { name: name(of), column_type };
    let columns = vec![column("id", ColumnType::Int64), column("word", ColumnType::Text)];
    let public = "(VALUES (1, 'one'), (3, 'three'), (1, NULL), (NULL, 'nothing'), \
         (-4, 'minus four')) AS p(id, word)";
    for (kind, word) in [(JoinKind::Inner, "JOIN"), (JoinKind::Left, "LEFT JOIN")] {
        let relation = Relation::Lookup {
            of: Box::new(table(0)),
            public: PublicRows { columns: columns.clone(), rows: rows.clone() },
            kind,
            on: vec![JoinKey { left: col("k"), right: col("id") }],
        };
        same(&relation, &format!("SELECT a.*, p.* FROM visits a {word} {public} ON a.k = p.id"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unions_and_distinct_rows_are_those_of_sql() {
    let part = |of| named(of, &[("k", col("k")), ("g", col("g")), ("v", col("v"))]);
    let union = Relation::Union { of: vec![part(table(0)), part(table(1)), part(table(2))] };
    let sql = "SELECT who, k, g, v FROM visits UNION ALL SELECT who, k, g, v FROM items \
         UNION ALL SELECT who, k, g, v FROM visits";
    same(&union, sql).await;
    let distinct = Relation::Distinct { of: Box::new(union) };
    same(&distinct, &format!("SELECT DISTINCT * FROM ({sql})")).await;
}

fn measure(of: &str, measure: Measure) -> NamedMeasure {
    NamedMeasure { name: name(of), measure }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_within_a_person_are_those_of_sql() {
    let measures = vec![
        measure("m1", Measure::CountRows),
        measure("m2", Measure::CountNonNull { of: col("v") }),
        measure("m3", Measure::CountDistinct { of: col("k") }),
        measure("m4", Measure::Sum { of: col("k") }),
        measure("m5", Measure::Sum { of: col("v") }),
        measure("m6", Measure::Avg { of: col("k") }),
        measure("m7", Measure::Avg { of: col("v") }),
        measure("m8", Measure::Min { of: col("v") }),
        measure("m9", Measure::Max { of: col("g") }),
        measure("m10", Measure::Min { of: col("b") }),
        measure("m11", Measure::Max { of: col("at") }),
    ];
    let list = "COUNT(*), COUNT(v), COUNT(DISTINCT k), SUM(k), SUM(v), AVG(k), AVG(v), MIN(v), \
         MAX(g), MIN(b), MAX(at)";
    let keys = |names: &[&str]| {
        let keys = names.iter();
        keys.map(|of| NamedExpr { name: name(of), expr: col(of) }).collect::<Vec<_>>()
    };
    for (names, sql) in [(&[][..], ""), (&["g"], ", g"), (&["g", "b"], ", g, b")] {
        let relation = Relation::PerPerson {
            of: Box::new(table(0)),
            keys: keys(names),
            measures: measures.clone(),
        };
        let sql = format!("SELECT who{sql}, {list} FROM visits GROUP BY who{sql}");
        same(&relation, &sql).await;
    }
    let first = Relation::PerPerson { of: Box::new(table(0)), keys: keys(&["g"]), measures };
    let again = Relation::PerPerson {
        of: Box::new(first),
        keys: vec![],
        measures: vec![
            measure("n", Measure::CountRows),
            measure("most", Measure::Max { of: col("m1") }),
        ],
    };
    let inner = "SELECT who, g, COUNT(*) AS m1 FROM visits GROUP BY who, g";
    same(&again, &format!("SELECT who, COUNT(*), MAX(m1) FROM ({inner}) GROUP BY who")).await;
}

/// From the text on: what a filter leaves out counts for nothing, and where it leaves no row a count is 0
/// and all else is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filtered_aggregates_of_a_person_are_those_of_sql() {
    const MEASURES: [&str; 10] = [
        "COUNT(*) FILTER (WHERE k > 1)",
        "COUNT(v) FILTER (WHERE b)",
        "COUNT(DISTINCT k) FILTER (WHERE v < 1)",
        "SUM(k) FILTER (WHERE g = 'north')",
        "SUM(v) FILTER (WHERE b IS NOT TRUE)",
        "AVG(v) FILTER (WHERE k <= 2 OR b)",
        "MIN(v) FILTER (WHERE NOT b)",
        "MAX(k) FILTER (WHERE k IN (1, 3))",
        "COUNT(*) FILTER (WHERE k > 9)",
        "SUM(v) FILTER (WHERE k > 9)",
    ];
    let of = MEASURES.iter().enumerate();
    let list: Vec<String> = of.map(|(at, measure)| format!("{measure} AS m{at}")).collect();
    let each = format!("SELECT who, {} FROM visits GROUP BY who", list.join(", "));
    // What nothing reads is left out, so all of it is read.
    let sums = (0..MEASURES.len()).map(|at| format!("SUM(clamp(m{at}, -99, 99)) AS s{at}"));
    let text = format!("SELECT {} FROM ({each}) AS t", sums.collect::<Vec<_>>().join(", "));
    let body = Body::Sql { text };
    let spend = Spend { epsilon: None, rho: Some("1".parse().unwrap()), delta: None };
    let question =
        Question { body: &body, row_cap: 1, group_cap: 1, spend, diagnostics: false, rounds: 1 };
    let mut planned = plan(&dictionary(), &question).unwrap();
    same(&relation_of(&mut planned.plan).relation, &each).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_within_a_person_are_those_of_sql() {
    let order =
        |of: &str, descending, nulls_first| OrderKey { expr: col(of), descending, nulls_first };
    let column = |of: &str, function| NamedWindow { name: name(of), function };
    let whole = |measure| WindowFunction::Whole { measure };
    let running = |measure| WindowFunction::Running { measure };
    let columns = vec![
        column("w1", WindowFunction::RowNumber),
        column("w2", WindowFunction::Lag { of: col("v"), offset: 1 }),
        column("w3", WindowFunction::Lead { of: col("g"), offset: 2 }),
        column("w4", WindowFunction::Lead { of: col("k"), offset: u32::MAX }),
        column("w5", whole(Measure::Sum { of: col("v") })),
        column("w6", whole(Measure::Min { of: col("g") })),
        column("w7", running(Measure::Sum { of: col("k") })),
        column("w8", running(Measure::CountNonNull { of: col("v") })),
        column("w9", running(Measure::Max { of: col("v") })),
        column("w10", running(Measure::Avg { of: col("v") })),
    ];
    for (partition, keys) in [(vec![], "who"), (vec![col("g")], "who, g")] {
        for (orders, by) in [
            (vec![order("at", false, false)], "at"),
            (vec![order("k", true, false), order("at", false, true)], "k DESC NULLS LAST, at"),
            (vec![order("v", false, true), order("at", true, true)], "v NULLS FIRST, at DESC"),
        ] {
            let relation = Relation::Window {
                of: Box::new(table(0)),
                partition: partition.clone(),
                order: orders,
                columns: columns.clone(),
            };
            let over = format!("OVER (PARTITION BY {keys} ORDER BY {by})");
            let all = format!("OVER (PARTITION BY {keys})");
            let up_to = format!(
                "OVER (PARTITION BY {keys} ORDER BY {by} ROWS BETWEEN UNBOUNDED PRECEDING AND \
                 CURRENT ROW)"
            );
            let sql = format!(
                "SELECT *, ROW_NUMBER() {over}, LAG(v, 1) {over}, LEAD(g, 2) {over}, NULL, \
                 SUM(v) {all}, MIN(g) {all}, SUM(k) {up_to}, COUNT(v) {up_to}, MAX(v) {up_to}, \
                 AVG(v) {up_to} FROM visits"
            );
            same(&relation, &sql).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_upon_steps_are_those_of_sql() {
    // Each person's last visit to each group, beside what she holds there.
    let last = Relation::Filter {
        of: Box::new(Relation::Window {
            of: Box::new(table(0)),
            partition: vec![col("g")],
            order: vec![OrderKey { expr: col("at"), descending: true, nulls_first: false }],
            columns: vec![NamedWindow { name: name("n"), function: WindowFunction::RowNumber }],
        }),
        condition: compare(col("n"), CompareOp::Equal, int(1)),
    };
    let held = Relation::PerPerson {
        of: Box::new(items()),
        keys: vec![NamedExpr { name: name("hg"), expr: col("ig") }],
        measures: vec![measure("held", Measure::Sum { of: col("iv") })],
    };
    let both = named(
        join(last, held, JoinKind::Left, &[("g", "hg")]),
        &[("g", col("g")), ("k", col("k")), ("held", col("held"))],
    );
    let sql = "SELECT l.who, l.g, l.k, h.held FROM (SELECT * FROM (SELECT *, ROW_NUMBER() OVER \
         (PARTITION BY who, g ORDER BY at DESC) AS n FROM visits) WHERE n = 1) l LEFT JOIN (SELECT \
         who, g, SUM(v) AS held FROM items GROUP BY who, g) h ON l.who = h.who AND l.g = h.g";
    same(&both, sql).await;
}

/// A sum of floats is made in the order of the rows, which is canonical: not that of the files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_float_sums_of_a_person_do_not_depend_on_the_order_of_rows() {
    let values = [1e16, 1.0, -1e16, 1.0, 0.1, 3.0, -0.1];
    let mut rows: Vec<Visit> = (0..values.len())
        .map(|i| Visit { v: Some(values[i]), at: i as i64 % 3, ..visit(1) })
        .collect();
    let sum = Relation::PerPerson {
        of: Box::new(table(0)),
        keys: vec![],
        measures: vec![measure("sum", Measure::Sum { of: col("v") })],
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut draws = Draws(5);
    for turn in 0..8 {
        let tables = Tables::new(&rows, &[], 1 + turn % 3);
        for options in every_cut() {
            seen.extend(tables.made(&sum, &options).await);
        }
        draws.shuffle(&mut rows);
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}
