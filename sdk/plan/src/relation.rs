//! How the rows of one person are made of her rows in the private tables: filters, projections, joins,
//! unions, windows, per-person grouping. Every step sees the rows of one person and public tables
//! alone; there is no step that could look at two persons, and there must never be one.
//!
//! Order: every step's rows stand in one order that depends on that person's rows alone. A table's
//! rows stand in canonical order (its order columns, then the row's canonical bytes); each step says
//! how it goes on from there. Names of a step's columns are distinct; expressions of a step read the
//! columns of the step below. All values keep the rules of [`crate::expr`]: total, settled, typed.
//!
//! A person whose rows at any step are more than a node holds for one person gives the default
//! contribution, which is none.

use crate::expr::{Expr, Literal};
use cloister_terms::{ColumnType, Name};
use serde::{Deserialize, Serialize};

/// A step and the steps below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Relation {
    /// The rows of one entry of `tables` of the plan, after its filter and its row cap, with its
    /// `columns`; in canonical order.
    Table {
        /// Index into `tables`.
        table: u32,
    },
    /// The rows whose condition is TRUE, in the same order.
    Filter {
        /// The step below.
        of: Box<Relation>,
        /// The condition.
        condition: Expr,
    },
    /// The same rows in the same order, with these columns.
    Project {
        /// The step below.
        of: Box<Relation>,
        /// Columns, at least one.
        columns: Vec<NamedExpr>,
    },
    /// Pairs of rows of the same person whose keys are equal, none NULL; without keys every pair.
    /// Left columns, then right ones. Pairs by left row, then by right row. A left join keeps each left
    /// row without a partner, in its place, with NULL for the right columns.
    Join {
        /// Left rows.
        left: Box<Relation>,
        /// Right rows.
        right: Box<Relation>,
        /// Inner or left.
        kind: JoinKind,
        /// Keys besides the unit.
        on: Vec<JoinKey>,
    },
    /// As `Join`, with a public table on the right, the same for every person. `on` has at least one key.
    Lookup {
        /// Left rows.
        of: Box<Relation>,
        /// The public rows.
        public: PublicRows,
        /// Inner or left.
        kind: JoinKind,
        /// Keys: `left` reads the step below, `right` the public table.
        on: Vec<JoinKey>,
    },
    /// All rows, those of the first part first; all parts have the same columns, names and types.
    Union {
        /// The parts, two or more.
        of: Vec<Relation>,
    },
    /// Each different row once, where it first stands. NULL equals NULL here, as in grouping.
    Distinct {
        /// The step below.
        of: Box<Relation>,
    },
    /// One row for each different combination of keys (NULL equals NULL) among the person's rows, in
    /// the order in which they first stand: keys, then measures. Without keys one row for a person
    /// with any row, and none for a person without.
    PerPerson {
        /// The step below.
        of: Box<Relation>,
        /// Keys besides the unit.
        keys: Vec<NamedExpr>,
        /// Measures over the rows of each group.
        measures: Vec<NamedMeasure>,
    },
    /// The same rows in the same order with further columns on the right. Within a partition rows count in
    /// the order given, ties by their order below.
    Window {
        /// The step below.
        of: Box<Relation>,
        /// Partition keys besides the unit; NULL equals NULL.
        partition: Vec<Expr>,
        /// The order within a partition.
        order: Vec<OrderKey>,
        /// The new columns.
        columns: Vec<NamedWindow>,
    },
}

/// A column with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedExpr {
    /// Its name.
    pub name: Name,
    /// Its value on each row.
    pub expr: Expr,
}

/// Which rows without a partner a join keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left side.
    Left,
}

/// Two expressions of one type that must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinKey {
    /// Over the left columns.
    pub left: Expr,
    /// Over the right columns.
    pub right: Expr,
}

/// The rows of a public table that a plan reads; they are part of the question's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicRows {
    /// Columns, names distinct.
    pub columns: Vec<PublicColumn>,
    /// Rows, one value a column; `None` is NULL.
    pub rows: Vec<Vec<Option<Literal>>>,
}

/// A column of a public table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicColumn {
    /// Its name in the plan.
    pub name: Name,
    /// Its type.
    pub column_type: ColumnType,
}

/// A per-person measure with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedMeasure {
    /// Its name.
    pub name: Name,
    /// The measure.
    pub measure: Measure,
}

/// A value over several rows of one person. NULLs are left out; over no value at all every measure but
/// the counts is NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// Number of rows, int64.
    CountRows,
    /// Number of rows where the value is not NULL, int64.
    CountNonNull {
        /// What is counted.
        of: Expr,
    },
    /// Number of different values, NULL left out, int64.
    CountDistinct {
        /// What is counted.
        of: Expr,
    },
    /// Sum. int64: exact, NULL when it leaves int64. float64: added in row order, each step settled,
    /// NULL once a step is.
    Sum {
        /// What is summed, int64 or float64.
        of: Expr,
    },
    /// Mean, float64: the sum by the rule above (of an int64 the exact sum to the nearest float64),
    /// divided by the number of values, settled.
    Avg {
        /// What is averaged, int64 or float64.
        of: Expr,
    },
    /// The smallest value, of any type.
    Min {
        /// Of what.
        of: Expr,
    },
    /// The largest value, of any type.
    Max {
        /// Of what.
        of: Expr,
    },
}

/// A sort key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderKey {
    /// The value.
    pub expr: Expr,
    /// Largest first.
    pub descending: bool,
    /// NULLs before all values, whichever way values run.
    pub nulls_first: bool,
}

/// A window column with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedWindow {
    /// Its name.
    pub name: Name,
    /// The function.
    pub function: WindowFunction,
}

/// A function over the rows of one partition of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WindowFunction {
    /// 1 for the first row, 2 for the next; int64.
    RowNumber,
    /// The value so many rows before this one; NULL where there is none.
    Lag {
        /// The value.
        of: Expr,
        /// Rows, at least 1.
        offset: u32,
    },
    /// The value so many rows after this one; NULL where there is none.
    Lead {
        /// The value.
        of: Expr,
        /// Rows, at least 1.
        offset: u32,
    },
    /// The measure over the whole partition, the same on each of its rows.
    Whole {
        /// The measure.
        measure: Measure,
    },
    /// The measure over the partition's rows from the first to this one.
    Running {
        /// The measure.
        measure: Measure,
    },
}
