//! The things in FROM: datasets, public tables, names of WITH, subqueries. Everything else that SQL
//! lets stand there must be refused here by name.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{FloatBits, IntText, Literal};
use crate::range::Range;
use crate::relate::{Builder, Env, Rows};
use crate::relation::{PublicColumn, PublicRows};
use crate::scope::{Role, ScopeColumn, Source, folded, place_of_ident};
use crate::text::place;
use cloister_terms::{Dataset, KeyValue, Name, PublicField, PublicTable, PublicValue};
use sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor, TableWithJoins,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many dataset names an error lists.
const NAMES_LISTED_MAX: usize = 8;

/// One thing in FROM.
pub(crate) enum Factor {
    /// Rows of one person.
    Private(Rows),
    /// A public table.
    Public(PublicSource),
}

/// A public table with the name the query gives it.
pub(crate) struct PublicSource {
    pub table: Name,
    pub called: String,
    pub rows: PublicRows,
    pub columns: Vec<ScopeColumn>,
    pub place: Place,
}

impl<'q> Builder<'q> {
    /// The rows of a FROM clause. Errors on everything but datasets, public tables and subqueries, joined.
    pub fn from(
        &mut self,
        from: &'q [TableWithJoins],
        env: &Env<'q>,
        select: Place,
    ) -> Result<Rows, PlanError> {
        let [TableWithJoins { relation, joins }] = from else {
            let construct = if from.is_empty() { Construct::NoFrom } else { Construct::Join };
            return Err(PlanError::refused(construct, select));
        };
        let mut left = self.factor(relation, env, select)?;
        for join in joins {
            left = self.join(left, join, env, select)?;
        }
        match left {
            Factor::Private(rows) => Ok(rows),
            Factor::Public(public) => {
                Err(PlanError::PublicAlone { name: excerpt(&public.called), place: public.place })
            }
        }
    }

    /// One thing in FROM.
    pub fn factor(
        &mut self,
        factor: &'q TableFactor,
        env: &Env<'q>,
        select: Place,
    ) -> Result<Factor, PlanError> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                let ident = single_name(name, select)?;
                let at = place_of_ident(ident);
                if args.is_some() {
                    return Err(PlanError::refused(Construct::TableFunction, at));
                }
                let has_option = !with_hints.is_empty()
                    || version.is_some()
                    || *with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || sample.is_some()
                    || !index_hints.is_empty();
                if has_option {
                    return Err(PlanError::refused(Construct::TableOption, at));
                }
                self.named(ident, alias.as_ref(), env)
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                self.derived(*lateral, subquery, alias.as_ref(), sample.is_some(), env, select)
            }
            _ => Err(PlanError::refused(Construct::TableFunction, select)),
        }
    }

    fn named(
        &mut self,
        ident: &Ident,
        alias: Option<&TableAlias>,
        env: &Env<'q>,
    ) -> Result<Factor, PlanError> {
        let (name, at) = (folded(ident), place_of_ident(ident));
        if ident.quote_style == Some('\'') {
            return Err(PlanError::refused(Construct::FileTable, at));
        }
        let called = called(alias)?.unwrap_or_else(|| name.clone());
        if let Some(frame) = env.find(&name) {
            return Ok(Factor::Private(self.cte(&frame, at)?.called(Some(called))));
        }
        self.step(at)?;
        if let Some(table) = self.dictionary.public_table(&name) {
            return self.public(table, called, at).map(Factor::Public);
        }
        let Some(dataset) = self.dictionary.dataset(&name) else {
            return Err(self.unknown(&name, at));
        };
        Ok(Factor::Private(self.table(dataset, called)))
    }

    fn derived(
        &mut self,
        is_lateral: bool,
        subquery: &'q Query,
        alias: Option<&TableAlias>,
        has_sample: bool,
        env: &Env<'q>,
        select: Place,
    ) -> Result<Factor, PlanError> {
        let at = alias.map_or(select, |alias| place_of_ident(&alias.name));
        if is_lateral {
            return Err(PlanError::refused(Construct::Lateral, at));
        }
        if has_sample {
            return Err(PlanError::refused(Construct::TableOption, at));
        }
        let called = called(alias)?;
        Ok(Factor::Private(self.query(subquery, env, at)?.called(called)))
    }

    fn table(&mut self, dataset: &'q Dataset, called: String) -> Rows {
        let columns = dataset.columns.iter();
        let columns = columns.map(|column| ScopeColumn::of_dataset(dataset, column)).collect();
        Rows {
            relation: self.tables.add(dataset),
            sources: vec![Source { called: Some(called), columns }],
            rows_max: dataset.rows_per_unit_max.into(),
        }
    }

    fn public(
        &mut self,
        table: &PublicTable,
        called: String,
        place: Place,
    ) -> Result<PublicSource, PlanError> {
        self.cells(table.rows.len().saturating_mul(table.columns.len()), place)?;
        let fields = table.columns.iter().enumerate();
        let columns = fields.map(|(index, field)| self.public_column(table, index, field));
        let columns = columns.collect();
        let named = |field: &PublicField| PublicColumn {
            name: field.name.clone(),
            column_type: field.column_type,
        };
        let row = |row: &Vec<Option<PublicValue>>| {
            row.iter().map(|value| value.as_ref().and_then(literal)).collect()
        };
        let rows = PublicRows {
            columns: table.columns.iter().map(named).collect(),
            rows: table.rows.iter().map(row).collect(),
        };
        Ok(PublicSource { table: table.name.clone(), called, rows, columns, place })
    }

    fn public_column(
        &mut self,
        table: &PublicTable,
        index: usize,
        field: &PublicField,
    ) -> ScopeColumn {
        let values: Vec<Option<Literal>> =
            table.values(index).map(|value| value.and_then(literal)).collect();
        let range = match field.bounds {
            Some(bounds) => Some(Range::declared(bounds, field.column_type)),
            None => Range::union(values.iter().flatten().map(Range::constant)),
        };
        let domain = match &field.domain {
            Some(domain) => Some(Arc::from(domain.as_slice())),
            None if self.listed(values.len()) => different(values.iter().flatten()).map(Arc::from),
            None => None,
        };
        ScopeColumn {
            called: field.name.to_string(),
            name: field.name.clone(),
            column_type: field.column_type,
            range,
            domain,
            never_null: values.iter().all(Option::is_some),
            role: Role::Plain,
            is_hidden: false,
        }
    }

    fn unknown(&self, name: &str, place: Place) -> PlanError {
        let datasets = self.dictionary.datasets.iter().map(|dataset| &dataset.name);
        let tables = self.dictionary.public_tables.iter().map(|table| &table.name);
        let known = datasets.chain(tables).take(NAMES_LISTED_MAX);
        let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        let known = format!("the dictionary has {}", known.join(", "));
        PlanError::NoDataset { name: excerpt(name), place, known }
    }
}

/// A value of a public table as a constant of the plan.
fn literal(value: &PublicValue) -> Option<Literal> {
    Some(match value {
        PublicValue::Text(text) => Literal::Text(text.clone()),
        PublicValue::Int(int) => Literal::Int(IntText(*int)),
        PublicValue::Float(float) => Literal::Float(FloatBits::new(float.value())?),
        PublicValue::Bool(value) => Literal::Bool(*value),
        PublicValue::Timestamp(micros) => Literal::Timestamp(IntText(*micros)),
    })
}

/// Different key values in the order in which they first stand; `None` when one can be no key.
fn different<'v>(values: impl Iterator<Item = &'v Literal>) -> Option<Vec<KeyValue>> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for value in values {
        let value = value.key_value()?;
        if seen.insert(value.clone()) {
            all.push(value);
        }
    }
    Some(all)
}

fn single_name(name: &ObjectName, select: Place) -> Result<&Ident, PlanError> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(ident),
        [ObjectNamePart::Identifier(first), ..] => {
            Err(PlanError::refused(Construct::Schema, place(first.span.start)))
        }
        _ => Err(PlanError::refused(Construct::TableFunction, select)),
    }
}

/// Where a thing of FROM is named; `None` where it has no name.
pub(crate) fn place_of_factor(factor: &TableFactor) -> Option<Place> {
    match factor {
        TableFactor::Table { name, .. } => match name.0.first()? {
            ObjectNamePart::Identifier(ident) => Some(place_of_ident(ident)),
            ObjectNamePart::Function(_) => None,
        },
        TableFactor::Derived { alias, .. } => {
            alias.as_ref().map(|alias| place_of_ident(&alias.name))
        }
        _ => None,
    }
}

fn called(alias: Option<&TableAlias>) -> Result<Option<String>, PlanError> {
    let Some(TableAlias { explicit: _, name, columns, at }) = alias else { return Ok(None) };
    if !columns.is_empty() || at.is_some() {
        return Err(PlanError::refused(Construct::TableOption, place_of_ident(name)));
    }
    Ok(Some(folded(name)))
}
