//! Random queries over several tables: whatever plans is well formed. Every step reads columns that the
//! step below has, names are distinct, parts of a union agree, and no unit or identifier is read.

use super::of_several;
use crate::{Contribute, ContributionPlan, Expr, JoinKey, Relation, SqlContribution};
use cloister_terms::{ColumnType, Name};
use std::collections::BTreeSet;

type Columns = Vec<(Name, ColumnType)>;

fn type_of(expr: &Expr, of: &Columns, text: &str) -> ColumnType {
    expr.each_column(&mut |read| {
        assert!(of.iter().any(|(name, _)| name == read), "`{read}` is not below: {text}");
    });
    let find = |read: &Name| of.iter().find(|(name, _)| name == read).map(|(_, kind)| *kind);
    expr.column_type(&find).unwrap()
}

fn distinct(columns: Columns, text: &str) -> Columns {
    let names: BTreeSet<&Name> = columns.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), columns.len(), "names stand twice: {columns:?} in {text}");
    columns
}

fn keys(on: &[JoinKey], left: &Columns, right: &Columns, text: &str) {
    for key in on {
        assert_eq!(type_of(&key.left, left, text), type_of(&key.right, right, text), "{text}");
    }
}

/// The columns of a step, all below it checked.
fn columns(plan: &ContributionPlan, relation: &Relation, text: &str) -> Columns {
    let below = |of: &Relation| columns(plan, of, text);
    let found = match relation {
        Relation::Table { table } => {
            let rows = &plan.tables[*table as usize];
            let read = rows.columns.iter().map(|read| (read.name.clone(), read.column_type));
            read.collect()
        }
        Relation::Filter { of, condition } => {
            let of = below(of);
            assert_eq!(type_of(condition, &of, text), ColumnType::Bool);
            of
        }
        Relation::Project { of, columns } => {
            let of = below(of);
            assert!(!columns.is_empty(), "{text}");
            columns.iter().map(|c| (c.name.clone(), type_of(&c.expr, &of, text))).collect()
        }
        Relation::Join { left, right, on, .. } => {
            let (left, right) = (below(left), below(right));
            keys(on, &left, &right, text);
            [left, right].concat()
        }
        Relation::Lookup { of, public, on, .. } => {
            let of = below(of);
            let right: Columns =
                public.columns.iter().map(|c| (c.name.clone(), c.column_type)).collect();
            assert!(!on.is_empty());
            assert!(public.rows.iter().all(|row| row.len() == right.len()), "{text}");
            keys(on, &of, &right, text);
            [of, right].concat()
        }
        Relation::Union { of } => {
            let parts: Vec<Columns> = of.iter().map(below).collect();
            assert!(
                parts.len() > 1 && parts.iter().all(|part| *part == parts[0]),
                "{text}: {parts:?}"
            );
            parts[0].clone()
        }
        Relation::Distinct { of } => below(of),
        Relation::PerPerson { of, keys, measures } => {
            let of = below(of);
            let find =
                |read: &Name| of.iter().find(|(name, _)| name == read).map(|(_, kind)| *kind);
            assert!(keys.len() + measures.len() > 0);
            let keys = keys.iter().map(|key| (key.name.clone(), type_of(&key.expr, &of, text)));
            let measures = measures.iter().map(|measure| {
                measure.measure.of().map(|expr| type_of(expr, &of, text));
                (measure.name.clone(), measure.measure.column_type(&find).unwrap())
            });
            keys.chain(measures).collect()
        }
        Relation::Window { of, partition, order, columns } => {
            let mut of = below(of);
            let find =
                |read: &Name| of.iter().find(|(name, _)| name == read).map(|(_, kind)| *kind);
            partition.iter().chain(order.iter().map(|key| &key.expr)).for_each(|expr| {
                type_of(expr, &of, text);
            });
            assert!(!columns.is_empty());
            let new: Columns = columns
                .iter()
                .map(|column| (column.name.clone(), column.function.column_type(&find).unwrap()))
                .collect();
            of.extend(new);
            of
        }
    };
    distinct(found, text)
}

/// xorshift64*: a fixed sequence, so that a failure is found again.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    /// A subquery with the columns `person_id`, `month`, `x`.
    fn rows(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one(&[
                    "SELECT person_id, month, duration_s AS x FROM mob",
                    "SELECT person_id, month, quantity AS x FROM ret WHERE quantity > 3",
                    "SELECT p.person_id, month, 7 AS x FROM bank p WHERE person_id IS NOT NULL AND paid > 1",
                ])
                .to_owned();
        }
        let of = self.rows(depth - 1);
        match self.below(9) {
            0 => {
                let having =
                    self.one(&["", "HAVING COUNT(*) > 1", "HAVING MAX(x) > 2 AND month = 1"]);
                format!(
                    "SELECT person_id, month, SUM(x) AS x FROM ({of}) s GROUP BY person_id, month {having}"
                )
            }
            1 => format!("SELECT DISTINCT person_id, month, x FROM ({of}) s"),
            2 => {
                let (other, all) = (self.rows(depth - 1), self.one(&["ALL", ""]));
                format!("SELECT * FROM ({of} UNION {all} {other}) u")
            }
            3 | 4 => {
                let other = self.rows(depth - 1);
                let kind = self.one(&["", "LEFT", "RIGHT"]);
                let unit = if kind == "RIGHT" { "b" } else { "a" };
                let column = self.one(&["a", "b"]);
                let more = self.one(&["", "AND a.month = b.month", "AND a.x = b.x + 1"]);
                let filter = self.one(&["", "WHERE a.month = 1", "WHERE b.x > 2 AND a.x < b.x"]);
                format!(
                    "SELECT {unit}.person_id, {column}.month, a.x FROM ({of}) a {kind} JOIN ({other}) b \
                     ON a.person_id = b.person_id {more} {filter}"
                )
            }
            5 => {
                let kind = self.one(&["", "LEFT"]);
                format!(
                    "SELECT a.person_id, a.month, docks AS x FROM ({of}) a {kind} JOIN stations s ON a.x = s.docks"
                )
            }
            6 => {
                let order = self.one(&["month", "x DESC", "x + 1, month"]);
                let call = self.one(&["LAG(x)", "LEAD(x, 2)", "ROW_NUMBER()"]);
                format!(
                    "SELECT person_id, month, {call} OVER (PARTITION BY person_id, month ORDER BY {order}) AS x FROM ({of}) s"
                )
            }
            7 => format!(
                "SELECT person_id, MAX(month) AS month, COUNT(DISTINCT x) AS x FROM ({of}) s GROUP BY 1"
            ),
            _ => {
                let filter =
                    self.one(&["month = 1 AND x > 3", "x IS NOT NULL", "x > 3 OR month = 2"]);
                format!("SELECT * FROM ({of}) s WHERE {filter}")
            }
        }
    }
}

#[test]
fn whatever_plans_is_well_formed() {
    let mut sequence = Sequence(0x9E37_79B9_7F4A_7C15);
    let mut planned = 0;
    for round in 0..300 {
        let rows = sequence.rows(1 + round % 4);
        let top = sequence.one(&[
            "SELECT COUNT(*) AS n FROM",
            "SELECT COUNT(x) AS n FROM",
            "SELECT COUNT(DISTINCT person_id) AS n FROM",
            "SELECT SUM(clamp(x, 0, 9)) AS n, COUNT(*) AS c FROM",
        ]);
        let filter =
            sequence.one(&["", "WHERE month = 2", "WHERE x > 1", "WHERE person_id IS NOT NULL"]);
        let text = format!("{top} ({rows}) t {filter}");
        let plan = match of_several(&text) {
            Ok(planned) => planned.plan,
            Err(error) => {
                assert!(!matches!(error, crate::PlanError::Syntax { .. }), "{error}: {text}");
                continue;
            }
        };
        planned += 1;
        let Contribute::Sql(SqlContribution { relation, keys, lanes }) = &plan.contribute else {
            panic!("a module");
        };
        let columns = columns(&plan, relation, &text);
        keys.iter()
            .map(|key| &key.expr)
            .chain(lanes.iter().filter_map(|lane| lane.expr()))
            .for_each(|expr| {
                type_of(expr, &columns, &text);
            });
        for rows in &plan.tables {
            let read: Columns =
                rows.columns.iter().map(|c| (c.name.clone(), c.column_type)).collect();
            assert!(
                read.iter()
                    .all(|(name, _)| name.as_str() != "person_id" && name.as_str() != "trip_id")
            );
            rows.filter
                .iter()
                .for_each(|filter| assert_eq!(type_of(filter, &read, &text), ColumnType::Bool));
        }
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<ContributionPlan>(&json).unwrap(), plan);
    }
    assert!(planned > 200, "only {planned} of 300 planned");
}
