//! Plans that no planner makes: each ends in a typed fault that is known before a row is read, and
//! never in a panic.

use crate::relation_world::*;
use crate::world::{options, try_lanes};
use cloister_node::fault::Fault;
use cloister_node::relate::{
    EXPRESSION_DEPTH_MAX, RELATION_DEPTH_MAX, RELATION_STEPS_MAX, RelationError, check,
};
use cloister_plan::*;
use cloister_terms::ColumnType;

async fn fault_of(plan: &ContributionPlan) -> Fault {
    let known = check(plan).unwrap_err();
    let tables = Tables::new(&[visit(1), visit(2)], &[visit(1)], 1);
    let found = try_lanes(plan, &tables.catalog, &options(2, 8), 1).await.unwrap_err();
    assert_eq!(known.to_string(), found.to_string());
    found
}

async fn wrong(relation: Relation) -> RelationError {
    match fault_of(&asked(relation, None, 1, 1)).await {
        Fault::Relation(error) => error,
        other => panic!("{other}"),
    }
}

fn filter(of: Relation, condition: Expr) -> Relation {
    Relation::Filter { of: Box::new(of), condition }
}

fn text(value: &str) -> Expr {
    Expr::literal(Literal::Text(value.into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_tables_and_columns_are_typed_faults() {
    assert!(matches!(wrong(table(4)).await, RelationError::NoTable { table: 4, tables: 4 }));
    assert!(matches!(wrong(table(u32::MAX)).await, RelationError::NoTable { .. }));
    let strange = filter(table(0), compare(col("zz"), CompareOp::Equal, int(1)));
    assert!(matches!(fault_of(&asked(strange, None, 1, 1)).await, Fault::Evaluate(_)));
    // The unit is no column, and those of a step below the last are gone.
    for gone in ["who", "k"] {
        let relation = filter(items(), Expr::IsNull { of: Box::new(col(gone)) });
        assert!(matches!(fault_of(&asked(relation, None, 1, 1)).await, Fault::Evaluate(_)));
    }
    let mut lane = asked(items(), Some(("ig", "iv")), 1, 1);
    relation_of(&mut lane).keys[0].expr = col("g");
    assert!(matches!(fault_of(&lane).await, Fault::Evaluate(_)));
    let mut none = asked(table(0), None, 1, 1);
    none.tables.clear();
    assert!(matches!(fault_of(&none).await, Fault::Relation(RelationError::NoTable { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_types_are_typed_faults() {
    assert!(matches!(wrong(filter(table(0), int(1))).await, RelationError::Type { .. }));
    let keyed = join(table(0), items(), JoinKind::Inner, &[("k", "ig")]);
    assert!(matches!(wrong(keyed).await, RelationError::Differ(_)));
    let grouped = |measure| Relation::PerPerson {
        of: Box::new(table(0)),
        keys: vec![],
        measures: vec![NamedMeasure { name: name("m"), measure }],
    };
    for measure in [Measure::Sum { of: col("g") }, Measure::Avg { of: col("at") }] {
        assert!(matches!(wrong(grouped(measure)).await, RelationError::Type { .. }));
    }
    let part = |of: &str| named(table(0), &[("x", col(of))]);
    let union = Relation::Union { of: vec![part("k"), part("g")] };
    assert!(matches!(wrong(union).await, RelationError::Differ(_)));
    let mixed = filter(table(0), compare(col("k"), CompareOp::Equal, text("1")));
    assert!(matches!(fault_of(&asked(mixed, None, 1, 1)).await, Fault::Evaluate(_)));
    let sum = asked(table(0), Some(("g", "g")), 1, 1);
    assert!(matches!(fault_of(&sum).await, Fault::Evaluate(_)));
    let key = asked(table(0), Some(("k", "v")), 1, 1);
    assert!(matches!(fault_of(&key).await, Fault::Evaluate(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hollow_steps_and_names_that_stand_twice_are_typed_faults() {
    let of = || Box::new(table(0));
    assert!(matches!(wrong(named(table(0), &[])).await, RelationError::Lacks(_)));
    let twice = named(table(0), &[("x", col("k")), ("x", col("g"))]);
    assert!(matches!(wrong(twice).await, RelationError::Twice(_)));
    let both = join(table(0), table(2), JoinKind::Inner, &[]);
    assert!(matches!(wrong(both).await, RelationError::Twice(_)));
    for parts in [vec![], vec![table(0)]] {
        assert!(matches!(wrong(Relation::Union { of: parts }).await, RelationError::Lacks(_)));
    }
    let nothing = Relation::PerPerson { of: of(), keys: vec![], measures: vec![] };
    assert!(matches!(wrong(nothing).await, RelationError::Lacks(_)));
    let window = |columns| Relation::Window { of: of(), partition: vec![], order: vec![], columns };
    assert!(matches!(wrong(window(vec![])).await, RelationError::Lacks(_)));
    let still = WindowFunction::Lag { of: col("k"), offset: 0 };
    let still = NamedWindow { name: name("w"), function: still };
    assert!(matches!(wrong(window(vec![still])).await, RelationError::Type { .. }));
    let column = |column_type| PublicColumn { name: name("id"), column_type };
    let lookup = |columns, rows, on: &[(&str, &str)]| Relation::Lookup {
        of: of(),
        public: PublicRows { columns, rows },
        kind: JoinKind::Inner,
        on: on.iter().map(|(left, right)| JoinKey { left: col(left), right: col(right) }).collect(),
    };
    let ints = || vec![column(ColumnType::Int64)];
    let one = || vec![vec![Some(Literal::int(1))]];
    assert!(matches!(wrong(lookup(ints(), one(), &[])).await, RelationError::Lacks(_)));
    for rows in [vec![vec![]], vec![vec![None, None]], vec![vec![Some(Literal::Bool(true))]]] {
        assert!(matches!(
            wrong(lookup(ints(), rows, &[("k", "id")])).await,
            RelationError::PublicRows
        ));
    }
    assert!(matches!(wrong(lookup(ints(), one(), &[("g", "id")])).await, RelationError::Differ(_)));
    let twice = wrong(lookup([ints(), ints()].concat(), vec![], &[("k", "id")])).await;
    assert!(matches!(twice, RelationError::Twice(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_and_wide_plans_are_typed_faults() {
    let yes = || Expr::literal(Literal::Bool(true));
    let mut deep = table(0);
    for _ in 0..2_000 {
        deep = filter(deep, yes());
    }
    let deep = wrong(deep).await;
    assert!(matches!(deep, RelationError::Depth { max: RELATION_DEPTH_MAX, .. }));
    let wide = Relation::Union { of: vec![table(0); 10_000] };
    assert!(matches!(wrong(wide).await, RelationError::Steps { max: RELATION_STEPS_MAX }));
    let deep = || (0..2_000).fold(yes(), |of, _| Expr::Not { of: Box::new(of) });
    let depth = |error| matches!(error, RelationError::Depth { max: EXPRESSION_DEPTH_MAX, .. });
    assert!(depth(wrong(filter(table(0), deep())).await));
    let mut read = asked(table(0), None, 1, 1);
    read.tables[0].filter = Some(deep());
    assert!(matches!(fault_of(&read).await, Fault::Relation(error) if depth(error.clone())));
    let mut lane = asked(items(), Some(("ig", "iv")), 1, 1);
    relation_of(&mut lane).keys[0].expr = deep();
    assert!(matches!(fault_of(&lane).await, Fault::Relation(error) if depth(error.clone())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_of_two_types_are_a_typed_fault() {
    let mut mixed = asked(join(table(0), items(), JoinKind::Inner, &[]), None, 1, 1);
    mixed.tables[1].dataset = name("lettered");
    mixed.tables[1].unit_column = name("g");
    mixed.tables[1].columns.remove(1);
    relation_of(&mut mixed).relation =
        join(table(0), named(table(1), &[("ik", col("k"))]), JoinKind::Inner, &[]);
    let tables = Tables::new(&[visit(1)], &[visit(1)], 1);
    let found = try_lanes(&mixed, &tables.catalog, &options(1, 8), 1).await;
    assert!(matches!(found, Err(Fault::Relation(RelationError::UnitTypes))));
}
