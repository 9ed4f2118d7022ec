//! The contribution plan: which rows are read, how one person's rows become bounded contributions,
//! and the shape of what is released. It is ours: no type of any engine may ever appear in it, so
//! that its digest names the question whatever engine answers it.

use crate::expr::Expr;
use crate::relation::Relation;
use cloister_terms::{
    Bounds, ColumnType, Digest, KeyValue, ModuleNumbers, ModuleOutputs, Name, OutputShape,
};
use serde::{Deserialize, Serialize};

/// The version of this structure; part of every digest.
pub const PLAN_VERSION: u32 = 2;

/// Everything a node needs to answer a question, and the identity of that question.
///
/// For one person: take the rows of each table that its filter keeps, at most its row cap of them (fair
/// sample by keyed PRF); make rows of them as the relation says; drop those without a cell; keep at most
/// `row_cap` (by keyed PRF again); make contributions; keep at most `group_cap` cells of them (by
/// keyed PRF); sum over persons; add each lane's noise. A row without a unit is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContributionPlan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// The private tables that are read, in the order the text names them; the same dataset twice
    /// when it is read twice. A module has one.
    pub tables: Vec<RowPlan>,
    /// What one person's rows contribute.
    pub contribute: Contribute,
    /// Rows of one person used at most, all caps applied.
    pub row_cap: u32,
    /// Cells one person contributes to at most (L0), at most the number of cells.
    pub group_cap: u32,
    /// Shape of the released vector, noise included.
    pub shape: OutputShape,
}

/// Which rows of which dataset are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowPlan {
    /// The dataset.
    pub dataset: Name,
    /// Its unit column; read to tell persons apart, never contributed.
    pub unit_column: Name,
    /// The columns the plan reads, in dictionary order, without the unit column. Nothing else may be
    /// projected, but for `order_columns`. Row bytes (PRF, canonical order) are made of these.
    pub columns: Vec<ReadColumn>,
    /// Rows are kept when this is TRUE; all rows without it.
    pub filter: Option<Expr>,
    /// Columns whose order is the canonical order of one person's rows, ties broken by row bytes.
    /// Empty where order cannot matter: sums do not see it, modules do. Never shown to a guest.
    pub order_columns: Vec<Name>,
    /// The dictionary's `rows_per_unit_max`.
    pub table_row_cap: u32,
}

/// A column that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadColumn {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub column_type: ColumnType,
}

/// What one person's rows contribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Contribute {
    /// Each row adds to the lanes of the one cell its keys name.
    Sql(SqlContribution),
    /// A person-map module turns the person's rows into (index, value) outputs.
    Module(ModuleContribution),
}

/// Contributions of SQL: `lanes[i]` feeds `shape.lanes[i]`, `keys[d]` places a row in `shape.keys[d]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlContribution {
    /// The rows of one person, made of `tables`.
    pub relation: Relation,
    /// Keys; empty for one total.
    pub keys: Vec<KeyExpr>,
    /// Lanes, distinct.
    pub lanes: Vec<LaneExpr>,
}

/// One key of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyExpr {
    /// Text, int64, bool or timestamp.
    pub expr: Expr,
    /// Public values, of the expression's type, in the order answers show them. A row whose key is
    /// NULL or not among them is dropped before any cap counts it. Empty where the key is private: any
    /// value but NULL is one, and a text longer than `PRIVATE_KEY_BYTES_MAX` bytes counts as NULL.
    pub domain: Vec<KeyValue>,
}

/// What one row adds to a lane of its cell. Contributions are summed over a person's kept rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LaneExpr {
    /// 1 for every row. One person changes a cell by at most `row_cap`.
    CountRows,
    /// 1 for a person with any kept row in the cell, however many: at most 1.
    CountUnits,
    /// 1 for a person with any kept row in the cell where the expression is not NULL: at most 1.
    CountUnitsWith {
        /// What such a row has.
        expr: Expr,
    },
    /// 1 where the expression is not NULL: at most `row_cap`.
    CountNonNull {
        /// What is counted.
        expr: Expr,
    },
    /// The value rounded to the nearest grid step (ties to even), then clamped to the bounds; NULL
    /// adds 0. At most `row_cap * bounds.magnitude_steps()` steps.
    SumClamped {
        /// What is summed, int64 or float64.
        expr: Expr,
        /// Clamping range and grid.
        bounds: Bounds,
    },
}

/// Contributions of a person-map module. The host sums a person's outputs in each lane of each cell, clamps
/// each sum to its lane's range, clips the lanes of a cell to the norm of their group, if they are in one, and
/// keeps at most `group_cap` cells a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleContribution {
    /// SHA-256 of the module's bytes.
    pub sha256: Digest,
    /// Guest columns, in the order they are selected.
    pub columns: Vec<ModuleColumn>,
    /// Fuel for each person.
    pub fuel_per_person: u64,
    /// Range of one person's sum in one cell, one a lane.
    pub values: Vec<Bounds>,
    /// What the module's values are.
    pub numbers: ModuleNumbers,
    /// How the module writes them.
    pub outputs: ModuleOutputs,
}

/// One guest column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleColumn {
    /// The dataset's column.
    pub column: Name,
    /// How the guest sees it.
    pub kind: ModuleColumnKind,
}

/// How a guest sees a column; NULL is shown as NULL in each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModuleColumnKind {
    /// int64 as it is.
    Int,
    /// float64, settled (see [`crate::expr`]).
    Float,
    /// Timestamp as microseconds since 1970-01-01 00:00.
    Timestamp,
    /// The position of the value in the public domain, from 0; NULL when it is not in it.
    Code {
        /// The public domain: text, int64 or bool.
        domain: Vec<KeyValue>,
    },
}

impl ContributionPlan {
    /// The one table of a module's plan; the first of any other. `None` in a plan without tables, which
    /// no front end makes.
    pub fn first_table(&self) -> Option<&RowPlan> {
        self.tables.first()
    }
}

impl RowPlan {
    /// The type of a column the plan reads.
    pub fn column_type(&self, name: &Name) -> Option<ColumnType> {
        self.columns.iter().find(|column| column.name == *name).map(|column| column.column_type)
    }
}
