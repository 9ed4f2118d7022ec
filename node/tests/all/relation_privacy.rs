//! What one person can change through a relation: at most the declared sensitivity in at most the
//! declared number of cells, and nothing of anybody else (A3, A8, A14, A26).

use crate::relation_world::*;
use crate::world::{Draws, options};
use cloister_node::measure::MeasureOptions;
use cloister_node::scan::persons::PersonLimits;
use cloister_node::scan::rule_names;
use cloister_plan::*;
use cloister_terms::ColumnType;
use std::collections::BTreeSet;
use std::ops::Range;

const PERSONS: Range<i64> = 0..9;

/// A random relation with at most `depth` steps on top of each other: its columns with their types.
/// Names are numbered, so that no two columns share one.
struct Builder {
    draws: Draws,
    named: usize,
    /// Whether the lowest table's rows are first looked up in a public one.
    looks_up: bool,
}

type Columns = Vec<(String, ColumnType)>;

impl Builder {
    fn new(seed: u64) -> Self {
        Self { draws: Draws(seed), named: 0, looks_up: false }
    }

    fn looking_up(seed: u64) -> Self {
        Self { looks_up: true, ..Self::new(seed) }
    }

    fn fresh(&mut self) -> String {
        self.named += 1;
        format!("c{}", self.named)
    }

    fn pick(&mut self, columns: &Columns, wanted: ColumnType) -> Option<Expr> {
        let fitting: Vec<_> = columns.iter().filter(|(_, of)| *of == wanted).collect();
        (!fitting.is_empty()).then(|| col(&fitting[self.draws.below(fitting.len())].0))
    }

    fn any(&mut self, columns: &Columns) -> (Expr, ColumnType) {
        let (of, column_type) = &columns[self.draws.below(columns.len())];
        (col(of), *column_type)
    }

    fn table(&mut self) -> (Relation, Columns) {
        use ColumnType::{Float64, Int64, Text};
        let place = [0, 0, 1, 1, 2, 3][self.draws.below(6)];
        let own = [("k", Int64), ("g", Text), ("v", Float64)];
        let columns: Columns = own.iter().map(|(_, of)| (self.fresh(), *of)).collect();
        let pairs: Vec<(&str, Expr)> =
            columns.iter().zip(own).map(|((to, _), (from, _))| (to.as_str(), col(from))).collect();
        (named(table(place), &pairs), columns)
    }

    fn measure(&mut self, columns: &Columns) -> (Measure, ColumnType) {
        let (of, column_type) = self.any(columns);
        let number = self.pick(columns, ColumnType::Float64).unwrap_or_else(|| int(3));
        let float = if matches!(number, Expr::Column { .. }) {
            ColumnType::Float64
        } else {
            ColumnType::Int64
        };
        match self.draws.below(6) {
            0 => (Measure::CountRows, ColumnType::Int64),
            1 => (Measure::CountDistinct { of }, ColumnType::Int64),
            2 => (Measure::Max { of }, column_type),
            3 => (Measure::Avg { of: number }, ColumnType::Float64),
            4 => (Measure::Min { of }, column_type),
            _ => (Measure::Sum { of: number }, float),
        }
    }

    fn build(&mut self, depth: usize) -> (Relation, Columns) {
        if depth == 0 {
            let (table, columns) = self.table();
            let looks_up = self.looks_up;
            return if looks_up { self.looked_up(table, columns) } else { (table, columns) };
        }
        let (below, columns) = self.build(depth - 1);
        let of = Box::new(below);
        match self.draws.below(7) {
            0 => {
                let bound = self.pick(&columns, ColumnType::Int64).unwrap_or_else(|| int(1));
                (
                    Relation::Filter { of, condition: compare(bound, CompareOp::Less, int(3)) },
                    columns,
                )
            }
            1 => self.joined(of, columns),
            2 => {
                let other = self.table();
                let to = |columns: &Columns| {
                    let place = |wanted| columns.iter().find(|(_, of)| *of == wanted);
                    let text = place(ColumnType::Text).map(|(name, _)| col(name));
                    let float = place(ColumnType::Float64).map(|(name, _)| col(name));
                    let null = |column_type| Expr::Null { column_type };
                    [
                        ("ug", text.unwrap_or(null(ColumnType::Text))),
                        ("uv", float.unwrap_or(null(ColumnType::Float64))),
                    ]
                };
                let parts = vec![named(*of, &to(&columns)), named(other.0, &to(&other.1))];
                let columns = [("ug", ColumnType::Text), ("uv", ColumnType::Float64)];
                let renamed: Columns = columns.iter().map(|(_, of)| (self.fresh(), *of)).collect();
                let pairs: Vec<_> = renamed
                    .iter()
                    .zip(columns)
                    .map(|((to, _), (from, _))| (to.as_str(), col(from)))
                    .collect();
                (named(Relation::Union { of: parts }, &pairs), renamed)
            }
            3 => (Relation::Distinct { of }, columns),
            4 => self.grouped(of, columns),
            _ => self.windowed(of, columns),
        }
    }

    fn joined(&mut self, left: Box<Relation>, mut columns: Columns) -> (Relation, Columns) {
        let (right, more) = self.table();
        let keys = [ColumnType::Int64, ColumnType::Text];
        let wanted = keys[self.draws.below(2)];
        let on = self.pick(&columns, wanted).zip(self.pick(&more, wanted));
        let on: Vec<_> = on.map(|(left, right)| JoinKey { left, right }).into_iter().collect();
        let kind = [JoinKind::Inner, JoinKind::Left][self.draws.below(2)];
        columns.extend(more);
        (Relation::Join { left, right: Box::new(right), kind, on }, columns)
    }

    /// Beside the public rows with the same number or group, of which there may be two, one or none; with NULL
    /// among keys and values.
    fn looked_up(&mut self, of: Relation, mut columns: Columns) -> (Relation, Columns) {
        use ColumnType::{Float64, Int64, Text};
        let [k, g, v] = [Int64, Text, Float64].map(|of| (self.fresh(), of));
        let text = |text: &str| Some(Literal::Text(text.into()));
        let float = |value| Some(Literal::Float(FloatBits::new(value).unwrap()));
        let rows = vec![
            vec![Some(Literal::int(1)), text(GROUPS[0]), float(0.5)],
            vec![Some(Literal::int(1)), None, float(-3.5)],
            vec![Some(Literal::int(3)), text(GROUPS[1]), None],
            vec![None, text(GROUPS[0]), float(2.0)],
            vec![Some(Literal::int(-4)), text(GROUPS[2]), float(1.5)],
            vec![Some(Literal::int(9)), text("elsewhere"), float(-1.0)],
        ];
        let wanted = [&k, &g][self.draws.below(2)];
        let left = self.pick(&columns, wanted.1).unwrap();
        let on = vec![JoinKey { left, right: col(&wanted.0) }];
        let kind = [JoinKind::Inner, JoinKind::Left][self.draws.below(2)];
        let public = [&k, &g, &v]
            .map(|(of, column_type)| PublicColumn { name: name(of), column_type: *column_type });
        let public = PublicRows { columns: public.to_vec(), rows };
        columns.extend([k, g, v]);
        (Relation::Lookup { of: Box::new(of), public, kind, on }, columns)
    }

    fn grouped(&mut self, of: Box<Relation>, columns: Columns) -> (Relation, Columns) {
        let (expr, key_type) = self.any(&columns);
        let (key, measured) = (self.fresh(), self.fresh());
        let (measure, measure_type) = self.measure(&columns);
        let keys = vec![NamedExpr { name: name(&key), expr }];
        let measures = vec![NamedMeasure { name: name(&measured), measure }];
        let columns = vec![(key, key_type), (measured, measure_type)];
        (Relation::PerPerson { of, keys, measures }, columns)
    }

    fn windowed(&mut self, of: Box<Relation>, mut columns: Columns) -> (Relation, Columns) {
        let (value, value_type) = self.any(&columns);
        let (measure, measure_type) = self.measure(&columns);
        let (function, of_type) = match self.draws.below(5) {
            0 => (WindowFunction::RowNumber, ColumnType::Int64),
            1 => (WindowFunction::Lag { of: value, offset: 1 }, value_type),
            2 => (WindowFunction::Lead { of: value, offset: 2 }, value_type),
            3 => (WindowFunction::Whole { measure }, measure_type),
            _ => (WindowFunction::Running { measure }, measure_type),
        };
        let partition = if self.draws.below(2) == 0 { vec![] } else { vec![self.any(&columns).0] };
        let (expr, _) = self.any(&columns);
        let order =
            vec![OrderKey { expr, descending: self.draws.below(2) == 0, nulls_first: true }];
        let fresh = self.fresh();
        let window = vec![NamedWindow { name: name(&fresh), function }];
        columns.push((fresh, of_type));
        (Relation::Window { of, partition, order, columns: window }, columns)
    }

    /// With tight caps, and everything counted that can be.
    fn plan(&mut self) -> ContributionPlan {
        let depth = 1 + self.draws.below(4);
        let (relation, columns) = self.build(depth);
        let group = self.pick(&columns, ColumnType::Text);
        let number = self.pick(&columns, ColumnType::Float64);
        let count =
            self.pick(&columns, ColumnType::Int64).map(|of| Expr::ToFloat { of: Box::new(of) });
        let text = Expr::literal(Literal::Text(GROUPS[1].into()));
        let float = Expr::ToFloat { of: Box::new(int(1)) };
        let last = [("key", group.unwrap_or(text)), ("number", number.or(count).unwrap_or(float))];
        let mut plan = asked(named(relation, &last), Some(("key", "number")), 3, 1);
        plan.tables.iter_mut().for_each(|table| table.table_row_cap = 5);
        plan
    }
}

fn without(rows: &[Visit], who: i64) -> Vec<Visit> {
    rows.iter().filter(|row| row.who != who).copied().collect()
}

fn only(rows: &[Visit], who: i64) -> Vec<Visit> {
    rows.iter().filter(|row| row.who == who).copied().collect()
}

/// Each lane is the sum of what every person alone would add: so nobody's contribution depends on
/// another, and removing a person takes away hers and nothing else. Hers is within the bounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_a_relation_adds_up_person_by_person_within_the_sensitivity() {
    let mut draws = Draws(26);
    let (visits, items) = (draw(&mut draws, PERSONS, 9), draw(&mut draws, PERSONS, 6));
    let whole = Tables::new(&visits, &items, 2);
    let alone: Vec<Tables> =
        PERSONS.map(|who| Tables::new(&only(&visits, who), &only(&items, who), 1)).collect();
    let mut moved = 0;
    let plans = (0..16).map(Builder::new).chain((16..24).map(Builder::looking_up));
    for (seed, mut builder) in plans.enumerate() {
        let plan = builder.plan();
        let cut = every_cut();
        let lanes = whole.lanes(&plan, &cut[seed % 4]).await;
        let mut sum = vec![0; lanes.len()];
        for one in &alone {
            let hers = one.lanes(&plan, &options(1, 8_192)).await;
            let cells = hers.chunks(plan.shape.lanes.len());
            let touched = cells.clone().filter(|cell| cell.iter().any(|lane| *lane != 0));
            assert!(touched.count() <= plan.group_cap as usize, "seed {seed}: {hers:?}");
            for cell in cells {
                for (lane, shape) in cell.iter().zip(&plan.shape.lanes) {
                    assert!(lane.unsigned_abs() <= u128::from(shape.sensitivity_steps), "{seed}");
                }
            }
            moved += usize::from(hers.iter().any(|lane| *lane != 0));
            sum.iter_mut().zip(hers).for_each(|(sum, lane)| *sum += lane);
        }
        assert_eq!(lanes, sum, "seed {seed}: {plan:?}");
    }
    assert!(moved > 40, "most relations see most persons, not {moved}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_removing_a_person_moves_hers_alone() {
    let mut draws = Draws(7);
    let (visits, items) = (draw(&mut draws, PERSONS, 9), draw(&mut draws, PERSONS, 6));
    let whole = Tables::new(&visits, &items, 1);
    let plans = [3, 11, 17].map(Builder::new).into_iter();
    for (seed, mut builder) in plans.chain([4, 5].map(Builder::looking_up)).enumerate() {
        let plan = builder.plan();
        let before = whole.lanes(&plan, &options(2, 3)).await;
        for who in PERSONS {
            let fewer = Tables::new(&without(&visits, who), &without(&items, who), 2);
            let after = fewer.lanes(&plan, &options(1, 5)).await;
            let hers = Tables::new(&only(&visits, who), &only(&items, who), 1);
            let hers = hers.lanes(&plan, &options(1, 8)).await;
            let difference: Vec<i128> = before.iter().zip(after).map(|(b, a)| b - a).collect();
            assert_eq!(difference, hers, "plan {seed}, person {who}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_order_files_partitions_and_batches_change_no_bit_of_a_relation() {
    let mut draws = Draws(3);
    let (mut visits, mut items) = (draw(&mut draws, PERSONS, 9), draw(&mut draws, PERSONS, 6));
    let builders = (30..38).map(Builder::new).chain((38..41).map(Builder::looking_up));
    let plans: Vec<_> = builders.map(|mut builder| builder.plan()).collect();
    let mut expected: Option<Vec<Vec<i128>>> = None;
    for turn in 0..4 {
        let tables = Tables::new(&visits, &items, 1 + turn % 3);
        let cuts = [options(1, 8_192), options(2, 7), options(8, 1), options(1 + turn, 2)];
        for cut in &cuts[turn % 2..] {
            let mut found = Vec::new();
            for plan in &plans {
                found.push(tables.lanes(plan, cut).await);
            }
            assert_eq!(&found, expected.get_or_insert_with(|| found.clone()), "{turn} {cut:?}");
        }
        draws.shuffle(&mut visits);
        draws.shuffle(&mut items);
    }
}

/// Every visit beside every item, and that beside every visit.
fn explosive() -> Relation {
    let again = named(table(2), &[("ak", col("k"))]);
    join(join(table(0), items(), JoinKind::Left, &[]), again, JoinKind::Inner, &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_a_person_whose_join_explodes_adds_nothing_and_costs_bounded_memory() {
    // 2,000 rows in each table: 8 * 10^9 pairs, of which no more than 2^18 are ever held.
    let mut visits: Vec<Visit> = (0..2_000).map(|at| Visit { at, ..visit(5) }).collect();
    let items = visits.clone();
    visits.extend([visit(4), visit(6), visit(6)]);
    let tables = Tables::new(&visits, &items, 1);
    let plan = asked(explosive(), Some(("g", "v")), 1_000_000, 1);
    for options in [options(1, 8_192), options(2, 100)] {
        // Person 4 has one row; person 6 two rows, beside two rows of hers.
        let found = tables.lanes(&plan, &options).await;
        assert_eq!(found[..4], [5, 2, 5, 10]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_a_block_of_persons_too_large_together_is_cut_and_nobody_lost() {
    // 60 persons of 30 rows, 27,000 rows each: 1.6 million together, more than a block may have.
    let rows: Vec<Visit> =
        (0..60).flat_map(|who| (0..30).map(move |at| Visit { at, ..visit(who) })).collect();
    let tables = Tables::new(&rows, &rows, 1);
    let plan = asked(explosive(), Some(("g", "v")), 1_000_000, 1);
    let found = tables.lanes(&plan, &options(1, 8_192)).await;
    assert_eq!(found[..4], [60 * 27_000, 60, 60 * 27_000, 60 * 2 * 27_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_a_person_too_large_at_any_table_or_step_adds_nothing_whatever_the_batches() {
    let person = |who, rows| (0..rows).map(move |at| Visit { at, ..visit(who) });
    let visits: Vec<Visit> = person(1, 20).chain(person(2, 5)).chain(person(3, 6)).collect();
    let held: Vec<Visit> = person(1, 1).chain(person(2, 30)).chain(person(3, 9)).collect();
    let tables = Tables::new(&visits, &held, 2);
    let pairs = asked(join(table(0), items(), JoinKind::Left, &[]), Some(("g", "v")), 200, 1);
    // Person 2 has too many items, though `visits` alone are read; person 3 too many pairs.
    let plain = asked(table(0), Some(("g", "v")), 100, 1);
    for (partitions, batch_rows) in [(1, 8_192), (1, 1), (2, 4), (8, 3)] {
        let small = |rows| MeasureOptions {
            person_limits: PersonLimits { rows, ..PersonLimits::default() },
            ..options(partitions, batch_rows)
        };
        assert_eq!(tables.lanes(&pairs, &small(200)).await[..2], [224, 3], "{batch_rows}");
        assert_eq!(tables.lanes(&pairs, &small(53)).await[..2], [20, 1], "{batch_rows}");
        assert_eq!(tables.lanes(&plain, &small(29)).await[..2], [26, 2], "{batch_rows}");
        assert_eq!(tables.lanes(&plain, &small(19)).await[..2], [6, 1], "{batch_rows}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a08_caps_of_a_joined_plan_hold_under_every_optimizer() {
    let hers = |who| {
        let group = |at: i64| Some(GROUPS[at as usize % 3]);
        (0..40).map(move |at| Visit { at, k: Some(at % 4), g: group(at), ..visit(who) })
    };
    let rows: Vec<Visit> = (1..4).flat_map(hers).collect();
    let tables = Tables::new(&rows, &rows, 3);
    let joined = join(table(0), items(), JoinKind::Left, &[("k", "ik")]);
    let mut plan = asked(joined, Some(("ig", "iv")), 50, 2);
    // The others are not read.
    plan.tables.truncate(2);
    plan.tables.iter_mut().for_each(|table| table.table_row_cap = 20);
    plan.tables[0].filter = Some(compare(col("k"), CompareOp::Greater, int(0)));
    let expected = tables.lanes(&plan, &options(1, 8_192)).await;
    let mut sum = vec![0; expected.len()];
    for who in 1..4 {
        let hers = Tables::new(&only(&rows, who), &only(&rows, who), 2);
        let hers = hers.lanes(&plan, &options(2, 7)).await;
        let cells = hers.chunks(4);
        assert_eq!(cells.clone().filter(|cell| cell[1] != 0).count(), 2, "person {who}");
        assert!(cells.map(|cell| cell[0]).sum::<i128>() <= 50, "person {who}");
        sum.iter_mut().zip(hers).for_each(|(sum, lane)| *sum += lane);
    }
    assert_eq!(sum, expected);
    let (logical, physical) = rule_names();
    let mut tried = vec![options(1, 7), options(1, 1)];
    for rule in &logical {
        // All others are there, those that no scan needs included.
        let without_rules = BTreeSet::from([rule.clone()]);
        tried.push(MeasureOptions { without_rules, ..options(1, 9) });
    }
    for rule in &physical {
        let without_physical_rules = BTreeSet::from([rule.clone()]);
        tried.push(MeasureOptions { without_physical_rules, ..options(1, 9) });
    }
    let (without_rules, without_physical_rules) = (logical, physical);
    tried.push(MeasureOptions { without_rules, without_physical_rules, ..options(1, 5) });
    for one in tried {
        for partitions in [1, 2, 8] {
            let one = MeasureOptions { partitions, ..one.clone() };
            assert_eq!(tables.lanes(&plan, &one).await, expected, "{one:?}");
        }
    }
}

/// Rows that two tables' caps leave, and those that the plan's cap leaves, are chosen independently:
/// of equal persons, neither table's rows are kept more often in a union of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a20_samples_of_tables_and_of_the_relation_are_independent() {
    let rows: Vec<Visit> = (0..400)
        .flat_map(|who| (0..8).map(move |at| Visit { at, k: Some(at), ..visit(who) }))
        .collect();
    let tables = Tables::new(&rows, &rows[..0], 1);
    let part = |place, group: &str| {
        let group = Expr::literal(Literal::Text(group.into()));
        named(table(place), &[("g", group), ("v", col("v"))])
    };
    let union = Relation::Union { of: vec![part(0, GROUPS[0]), part(2, GROUPS[1])] };
    let mut plan = asked(union, Some(("g", "v")), 2, 2);
    // Two rows of eight are left of the first table and all of the other: two of ten are kept.
    plan.tables[0].table_row_cap = 2;
    let found = tables.lanes(&plan, &options(2, 500)).await;
    let (first, other) = (found[0], found[4]);
    assert_eq!(first + other, 800);
    // Of 800 rows 160 in expectation, sigma below 11.4: a false alarm has a chance below 1e-6.
    assert!((first - 160).abs() < 60, "{first}");
}
