//! Changes to the steps of a relation that keep what it means: filters go down to the tables, columns
//! that nothing reads go away, rows are ordered where order matters. A filter must never pass the side
//! of an outer join that may be missing, nor a step that looks at several rows.

use crate::expr::{Expr, Literal};
use crate::ir::{ReadColumn, RowPlan};
use crate::relation::{
    JoinKind, Measure, NamedExpr, NamedMeasure, PublicRows, Relation, WindowFunction,
};
use cloister_terms::{ColumnType, Dataset, Name};
use std::collections::{BTreeMap, BTreeSet};

/// The private tables of a query, in the order in which the text names them.
#[derive(Default)]
pub(crate) struct Tables<'q> {
    tables: Vec<TableDraft<'q>>,
}

struct TableDraft<'q> {
    dataset: &'q Dataset,
    filters: Vec<Expr>,
    /// All columns that may be read; once pruned, those that are.
    columns: Vec<ReadColumn>,
    is_ordered: bool,
}

impl<'q> Tables<'q> {
    /// Adds a table; its step.
    pub fn add(&mut self, dataset: &'q Dataset) -> Relation {
        let readable = dataset
            .columns
            .iter()
            .filter(|column| !column.identifier && column.name != dataset.unit_column);
        let columns = readable
            .map(|column| ReadColumn { name: column.name.clone(), column_type: column.column_type })
            .collect();
        let table = u32::try_from(self.tables.len()).unwrap_or(u32::MAX);
        self.tables.push(TableDraft { dataset, filters: Vec::new(), columns, is_ordered: false });
        Relation::Table { table }
    }

    /// The dataset of a table.
    pub fn dataset(&self, index: usize) -> Option<&'q Dataset> {
        self.tables.get(index).map(|table| table.dataset)
    }

    /// The names of a step's columns, in order.
    pub fn outputs(&self, relation: &Relation) -> Vec<Name> {
        match relation {
            Relation::Table { table } => match self.tables.get(*table as usize) {
                Some(table) => table.columns.iter().map(|column| column.name.clone()).collect(),
                None => Vec::new(),
            },
            Relation::Filter { of, .. } | Relation::Distinct { of } => self.outputs(of),
            Relation::Project { columns, .. } => {
                columns.iter().map(|column| column.name.clone()).collect()
            }
            Relation::Join { left, right, .. } => {
                let mut names = self.outputs(left);
                names.extend(self.outputs(right));
                names
            }
            Relation::Lookup { of, public, .. } => {
                let mut names = self.outputs(of);
                names.extend(public.columns.iter().map(|column| column.name.clone()));
                names
            }
            Relation::Union { of } => of.first().map_or_else(Vec::new, |part| self.outputs(part)),
            Relation::PerPerson { keys, measures, .. } => {
                let keys = keys.iter().map(|key| key.name.clone());
                keys.chain(measures.iter().map(|measure| measure.name.clone())).collect()
            }
            Relation::Window { of, columns, .. } => {
                let mut names = self.outputs(of);
                names.extend(columns.iter().map(|column| column.name.clone()));
                names
            }
        }
    }

    /// The rows where a condition is TRUE: each of its terms as near to the tables as it may stand.
    pub fn filtered(&mut self, mut relation: Relation, condition: Expr) -> Relation {
        let mut kept = Vec::new();
        for term in terms(condition) {
            if self.reaches(&relation, &term) {
                self.sink(&mut relation, term);
            } else {
                kept.push(term);
            }
        }
        match all_of(kept) {
            Some(condition) => Relation::Filter { of: Box::new(relation), condition },
            None => relation,
        }
    }

    /// Whether a condition may stand at the tables below a step instead of above the step.
    fn reaches(&self, relation: &Relation, condition: &Expr) -> bool {
        match relation {
            Relation::Table { .. } => true,
            Relation::Filter { of, .. } | Relation::Distinct { of } => self.reaches(of, condition),
            Relation::Project { of, columns } => {
                let below = renamed_below(condition, columns);
                below.is_some_and(|condition| self.reaches(of, &condition))
            }
            Relation::Join { left, right, kind, .. } => {
                (self.reads_only(condition, left) && self.reaches(left, condition))
                    || (*kind == JoinKind::Inner
                        && self.reads_only(condition, right)
                        && self.reaches(right, condition))
            }
            Relation::Lookup { of, .. } => {
                self.reads_only(condition, of) && self.reaches(of, condition)
            }
            Relation::Union { of } => of.iter().all(|part| self.reaches(part, condition)),
            Relation::PerPerson { .. } | Relation::Window { .. } => false,
        }
    }

    /// Puts a condition where [`Self::reaches`] found that it may stand.
    fn sink(&mut self, relation: &mut Relation, condition: Expr) {
        match relation {
            Relation::Table { table } => {
                if let Some(table) = self.tables.get_mut(*table as usize) {
                    table.filters.push(condition);
                }
            }
            Relation::Filter { of, .. }
            | Relation::Distinct { of }
            | Relation::Lookup { of, .. } => self.sink(of, condition),
            Relation::Project { of, columns } => {
                if let Some(condition) = renamed_below(&condition, columns) {
                    self.sink(of, condition);
                }
            }
            Relation::Join { left, right, .. } => {
                let side = if self.reads_only(&condition, left) { left } else { right };
                self.sink(side, condition);
            }
            Relation::Union { of } => {
                of.iter_mut().for_each(|part| self.sink(part, condition.clone()));
            }
            Relation::PerPerson { .. } | Relation::Window { .. } => {}
        }
    }

    /// Whether an expression reads columns of one step alone.
    pub fn reads_only(&self, expr: &Expr, of: &Relation) -> bool {
        reads(expr).iter().all(|name| self.has(of, name))
    }

    /// Whether a step has a column of that name.
    fn has(&self, relation: &Relation, name: &Name) -> bool {
        match relation {
            Relation::Table { table } => {
                let table = self.tables.get(*table as usize);
                table.is_some_and(|table| table.columns.iter().any(|column| column.name == *name))
            }
            Relation::Filter { of, .. } | Relation::Distinct { of } => self.has(of, name),
            Relation::Project { columns, .. } => columns.iter().any(|column| column.name == *name),
            Relation::Join { left, right, .. } => self.has(left, name) || self.has(right, name),
            Relation::Lookup { of, public, .. } => {
                public.columns.iter().any(|column| column.name == *name) || self.has(of, name)
            }
            Relation::Union { of } => of.first().is_some_and(|part| self.has(part, name)),
            Relation::PerPerson { keys, measures, .. } => {
                keys.iter().any(|key| key.name == *name)
                    || measures.iter().any(|measure| measure.name == *name)
            }
            Relation::Window { of, columns, .. } => {
                columns.iter().any(|column| column.name == *name) || self.has(of, name)
            }
        }
    }

    /// Ends the changes: the relation with the columns that are needed and what they are made of, and
    /// what is read of each table.
    pub fn finish(
        mut self,
        relation: Relation,
        needed: &BTreeSet<Name>,
    ) -> (Relation, Vec<RowPlan>) {
        let relation = self.pruned(relation, needed);
        self.order(&relation, false);
        let tables = self.tables.into_iter().map(TableDraft::into_plan).collect();
        (relation, tables)
    }

    /// A step with as few columns as give the needed ones; it may have more.
    fn pruned(&mut self, relation: Relation, needed: &BTreeSet<Name>) -> Relation {
        match relation {
            Relation::Table { table } => {
                if let Some(table) = self.tables.get_mut(table as usize) {
                    table.prune(needed);
                }
                Relation::Table { table }
            }
            Relation::Filter { of, condition } => {
                let of = Box::new(self.pruned(*of, &with(needed, [&condition])));
                Relation::Filter { of, condition }
            }
            Relation::Project { of, columns } => self.pruned_project(*of, columns, needed),
            Relation::Join { left, right, kind, on } => {
                let below = with(needed, on.iter().flat_map(|key| [&key.left, &key.right]));
                let left = Box::new(self.exactly(*left, &below));
                let right = Box::new(self.exactly(*right, &below));
                Relation::Join { left, right, kind, on }
            }
            Relation::Lookup { of, public, kind, on } => {
                let below = with(needed, on.iter().flat_map(|key| [&key.left, &key.right]));
                let of = Box::new(self.exactly(*of, &below));
                Relation::Lookup { of, public: pruned_public(public, &below), kind, on }
            }
            Relation::Union { of } => {
                // Every part gives the same columns in the same order.
                let first = of.first().map_or_else(Vec::new, |part| self.outputs(part));
                let wanted: Vec<Name> =
                    first.iter().filter(|name| needed.contains(name)).cloned().collect();
                let below: BTreeSet<Name> = wanted.iter().cloned().collect();
                let stand_in = first.first().filter(|_| wanted.is_empty());
                let of = of.into_iter().map(|part| {
                    let part = self.pruned(part, &below);
                    match stand_in {
                        Some(name) => constant(part, name.clone()),
                        None => self.narrowed(part, &wanted),
                    }
                });
                Relation::Union { of: of.collect() }
            }
            Relation::Distinct { of } => {
                let all = self.outputs(&of).into_iter().collect();
                Relation::Distinct { of: Box::new(self.exactly(*of, &all)) }
            }
            Relation::PerPerson { of, keys, mut measures } => {
                keep_some(&mut measures, keys.is_empty(), needed);
                let exprs = keys.iter().map(|key| &key.expr);
                let exprs = exprs.chain(measures.iter().filter_map(|m| m.measure.of()));
                let of = Box::new(self.pruned(*of, &with(&BTreeSet::new(), exprs)));
                Relation::PerPerson { of, keys, measures }
            }
            Relation::Window { of, partition, order, mut columns } => {
                columns.retain(|column| needed.contains(&column.name));
                if columns.is_empty() {
                    return self.pruned(*of, needed);
                }
                let exprs = partition.iter().chain(order.iter().map(|key| &key.expr));
                let exprs = exprs.chain(columns.iter().filter_map(|c| c.function.of()));
                let mut below = with(needed, exprs);
                columns.iter().for_each(|column| {
                    below.remove(&column.name);
                });
                let of = Box::new(self.pruned(*of, &below));
                Relation::Window { of, partition, order, columns }
            }
        }
    }

    fn pruned_project(
        &mut self,
        of: Relation,
        mut columns: Vec<NamedExpr>,
        needed: &BTreeSet<Name>,
    ) -> Relation {
        columns.retain(|column| needed.contains(&column.name));
        if columns.is_empty() {
            return self.pruned(of, &BTreeSet::new());
        }
        let below = with(&BTreeSet::new(), columns.iter().map(|column| &column.expr));
        let of = self.pruned(of, &below);
        let is_same = |(column, name): (&NamedExpr, Name)| {
            column.name == name
                && matches!(&column.expr, Expr::Column { name: read } if *read == name)
        };
        let outputs = self.outputs(&of);
        if outputs.len() == columns.len() && columns.iter().zip(outputs).all(is_same) {
            return of;
        }
        Relation::Project { of: Box::new(of), columns }
    }

    /// A pruned step that has none but the needed columns.
    fn exactly(&mut self, relation: Relation, needed: &BTreeSet<Name>) -> Relation {
        let before = self.outputs(&relation);
        let wanted: Vec<Name> =
            before.iter().filter(|name| needed.contains(name)).cloned().collect();
        let relation = self.pruned(relation, needed);
        let after = self.outputs(&relation);
        if after.iter().all(|name| wanted.contains(name)) {
            return relation;
        }
        match before.into_iter().next() {
            Some(name) if wanted.is_empty() => constant(relation, name),
            _ => self.narrowed(relation, &wanted),
        }
    }

    /// A step with these columns of its own, in this order.
    fn narrowed(&self, relation: Relation, wanted: &[Name]) -> Relation {
        if self.outputs(&relation) == wanted {
            return relation;
        }
        let columns = wanted.iter().map(|name| NamedExpr {
            name: name.clone(),
            expr: Expr::Column { name: name.clone() },
        });
        Relation::Project { of: Box::new(relation), columns: columns.collect() }
    }

    /// Marks the tables whose rows must stand in canonical order.
    fn order(&mut self, relation: &Relation, is_seen: bool) {
        match relation {
            Relation::Table { table } => {
                if let Some(table) = self.tables.get_mut(*table as usize) {
                    table.is_ordered |= is_seen;
                }
            }
            Relation::Filter { of, .. }
            | Relation::Project { of, .. }
            | Relation::Lookup { of, .. }
            | Relation::Distinct { of } => self.order(of, is_seen),
            Relation::Join { left, right, .. } => {
                self.order(left, is_seen);
                self.order(right, is_seen);
            }
            Relation::Union { of } => of.iter().for_each(|part| self.order(part, is_seen)),
            Relation::PerPerson { of, measures, .. } => {
                let types = self.types(of);
                let sees = measures.iter().any(|m| adds_floats(&types, &m.measure));
                self.order(of, is_seen || sees);
            }
            Relation::Window { of, .. } => self.order(of, true),
        }
    }

    /// The types of a step's columns, those of each step below worked out once: columns that are used twice
    /// by columns that are used twice would double for ever.
    fn types(&self, relation: &Relation) -> Types {
        match relation {
            Relation::Table { table } => {
                let table = self.tables.get(*table as usize);
                let columns = table.into_iter().flat_map(|table| &table.columns);
                columns.map(|column| (column.name.clone(), column.column_type)).collect()
            }
            Relation::Filter { of, .. } | Relation::Distinct { of } => self.types(of),
            Relation::Project { of, columns } => {
                let below = self.types(of);
                columns
                    .iter()
                    .filter_map(|column| typed(&column.name, &column.expr, &below))
                    .collect()
            }
            Relation::Join { left, right, .. } => {
                let mut types = self.types(right);
                types.extend(self.types(left));
                types
            }
            Relation::Lookup { of, public, .. } => {
                let columns = public.columns.iter();
                let mut types: Types =
                    columns.map(|column| (column.name.clone(), column.column_type)).collect();
                types.extend(self.types(of));
                types
            }
            Relation::Union { of } => of.first().map(|part| self.types(part)).unwrap_or_default(),
            Relation::PerPerson { of, keys, measures } => {
                let below = self.types(of);
                let type_of = |name: &Name| below.get(name).copied();
                let measured = measures.iter().filter_map(|NamedMeasure { name, measure }| {
                    Some((name.clone(), measure.column_type(&type_of)?))
                });
                let keys = keys.iter().filter_map(|key| typed(&key.name, &key.expr, &below));
                measured.chain(keys).collect()
            }
            Relation::Window { of, columns, .. } => {
                let below = self.types(of);
                let type_of = |name: &Name| below.get(name).copied();
                let own = columns.iter().filter_map(|column| {
                    Some((column.name.clone(), column.function.column_type(&type_of)?))
                });
                let own: Types = own.collect();
                below.into_iter().chain(own).collect()
            }
        }
    }
}

/// The types of columns.
type Types = BTreeMap<Name, ColumnType>;

/// A column with the type of its expression over columns of these types, where it is known.
fn typed(name: &Name, expr: &Expr, below: &Types) -> Option<(Name, ColumnType)> {
    Some((name.clone(), expr.column_type(&|name| below.get(name).copied())?))
}

/// Whether a measure of columns of these types depends on the order of rows: float sums do, by their roundings.
fn adds_floats(types: &Types, measure: &Measure) -> bool {
    match measure {
        Measure::Sum { of } | Measure::Avg { of } => {
            // What has no known type here is taken to be a float: order costs speed, never truth.
            of.column_type(&|name| types.get(name).copied()) != Some(ColumnType::Int64)
        }
        _ => false,
    }
}

impl TableDraft<'_> {
    fn prune(&mut self, needed: &BTreeSet<Name>) {
        let read = with(needed, &self.filters);
        self.columns.retain(|column| read.contains(&column.name));
    }

    fn into_plan(self) -> RowPlan {
        let order = if self.is_ordered { self.dataset.order_columns.clone() } else { Vec::new() };
        RowPlan {
            dataset: self.dataset.name.clone(),
            unit_column: self.dataset.unit_column.clone(),
            columns: self.columns,
            filter: all_of(self.filters),
            order_columns: order,
            table_row_cap: self.dataset.rows_per_unit_max,
        }
    }
}

impl Measure {
    /// What it is taken of; `None` for a count of rows.
    pub fn of(&self) -> Option<&Expr> {
        match self {
            Self::CountRows => None,
            Self::CountNonNull { of }
            | Self::CountDistinct { of }
            | Self::Sum { of }
            | Self::Avg { of }
            | Self::Min { of }
            | Self::Max { of } => Some(of),
        }
    }

    /// As [`Self::of`], to be changed in place.
    pub(crate) fn of_mut(&mut self) -> Option<&mut Expr> {
        match self {
            Self::CountRows => None,
            Self::CountNonNull { of }
            | Self::CountDistinct { of }
            | Self::Sum { of }
            | Self::Avg { of }
            | Self::Min { of }
            | Self::Max { of } => Some(of),
        }
    }

    /// Its type, given the types of the columns it reads; `None` when it names an unknown column.
    pub fn column_type(&self, of: &dyn Fn(&Name) -> Option<ColumnType>) -> Option<ColumnType> {
        match self {
            Self::CountRows | Self::CountNonNull { .. } | Self::CountDistinct { .. } => {
                Some(ColumnType::Int64)
            }
            Self::Avg { .. } => Some(ColumnType::Float64),
            Self::Sum { of: expr } | Self::Min { of: expr } | Self::Max { of: expr } => {
                expr.column_type(of)
            }
        }
    }
}

impl WindowFunction {
    /// What it is taken of, if anything.
    pub fn of(&self) -> Option<&Expr> {
        match self {
            Self::RowNumber => None,
            Self::Lag { of, .. } | Self::Lead { of, .. } => Some(of),
            Self::Whole { measure } | Self::Running { measure } => measure.of(),
        }
    }

    /// As [`Self::of`], to be changed in place.
    pub(crate) fn of_mut(&mut self) -> Option<&mut Expr> {
        match self {
            Self::RowNumber => None,
            Self::Lag { of, .. } | Self::Lead { of, .. } => Some(of),
            Self::Whole { measure } | Self::Running { measure } => measure.of_mut(),
        }
    }

    /// Its type, given the types of the columns it reads; `None` when it names an unknown column.
    pub fn column_type(&self, of: &dyn Fn(&Name) -> Option<ColumnType>) -> Option<ColumnType> {
        match self {
            Self::RowNumber => Some(ColumnType::Int64),
            Self::Lag { of: expr, .. } | Self::Lead { of: expr, .. } => expr.column_type(of),
            Self::Whole { measure } | Self::Running { measure } => measure.column_type(of),
        }
    }
}

/// The same rows when nothing of them is needed: a constant stands in for their columns.
fn constant(relation: Relation, name: Name) -> Relation {
    let columns = vec![NamedExpr { name, expr: Expr::literal(Literal::Bool(true)) }];
    Relation::Project { of: Box::new(relation), columns }
}

/// The columns an expression reads.
pub(crate) fn reads(expr: &Expr) -> BTreeSet<Name> {
    with(&BTreeSet::new(), [expr])
}

/// Names and those that expressions read.
fn with<'e>(names: &BTreeSet<Name>, exprs: impl IntoIterator<Item = &'e Expr>) -> BTreeSet<Name> {
    let mut all = names.clone();
    for expr in exprs {
        expr.each_column(&mut |name| {
            if !all.contains(name) {
                all.insert(name.clone());
            }
        });
    }
    all
}

/// Gives columns other names in an expression.
pub(crate) fn rename(expr: &mut Expr, names: &BTreeMap<Name, Name>) {
    if let Expr::Column { name } = expr {
        if let Some(other) = names.get(name) {
            *name = other.clone();
        }
        return;
    }
    expr.parts_mut().into_iter().for_each(|part| rename(part, names));
}

/// The terms of a condition that must each be TRUE, without those that always are.
pub(crate) fn terms(condition: Expr) -> Vec<Expr> {
    let is_true = |expr: &Expr| match expr {
        Expr::Literal { value } => *value == Literal::Bool(true),
        Expr::Not { of } => **of == Expr::literal(Literal::Bool(false)),
        _ => false,
    };
    let mut terms = match condition {
        Expr::And { all } => all,
        other => vec![other],
    };
    terms.retain(|term| !is_true(term));
    terms
}

/// One condition of several; `None` of none.
pub(crate) fn all_of(mut terms: Vec<Expr>) -> Option<Expr> {
    match terms.len() {
        0 | 1 => terms.pop(),
        _ => Some(Expr::And { all: terms }),
    }
}

/// A condition on a projection as one on the step below; `None` when it reads anything computed.
fn renamed_below(condition: &Expr, columns: &[NamedExpr]) -> Option<Expr> {
    let mut names = BTreeMap::new();
    for read in reads(condition) {
        let column = columns.iter().find(|column| column.name == read)?;
        let Expr::Column { name } = &column.expr else { return None };
        names.insert(read, name.clone());
    }
    let mut condition = condition.clone();
    rename(&mut condition, &names);
    Some(condition)
}

/// Keeps the measures that are needed, or one where a step would be left without a column.
fn keep_some(measures: &mut Vec<NamedMeasure>, is_keyless: bool, needed: &BTreeSet<Name>) {
    let first = measures.first().map(|measure| measure.name.clone());
    measures.retain(|measure| needed.contains(&measure.name));
    if let (true, true, Some(name)) = (measures.is_empty(), is_keyless, first) {
        measures.push(NamedMeasure { name, measure: Measure::CountRows });
    }
}

fn pruned_public(mut public: PublicRows, needed: &BTreeSet<Name>) -> PublicRows {
    let is_kept: Vec<bool> =
        public.columns.iter().map(|column| needed.contains(&column.name)).collect();
    let mut keep = is_kept.iter();
    public.columns.retain(|_| keep.next().copied().unwrap_or(false));
    for row in &mut public.rows {
        let mut keep = is_kept.iter();
        row.retain(|_| keep.next().copied().unwrap_or(false));
    }
    public
}
