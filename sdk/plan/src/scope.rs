//! The one dataset a text may read, and the resolution of names in it. An identifier column or the
//! unit column must never come out of here as an expression (row S21).

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::text::place;
use cloister_terms::{Column, Dataset, Dictionary, Name};
use sqlparser::ast::{
    Expr as Ast, Ident, ObjectName, ObjectNamePart, TableAlias, TableFactor, TableWithJoins,
};

/// How many dataset names an error lists.
const NAMES_LISTED_MAX: usize = 8;

/// The dataset of a query, with the name the query calls it by.
pub(crate) struct Scope<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    called: String,
}

/// The name an identifier stands for: unquoted ones fold to lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

impl<'a> Scope<'a> {
    /// The scope of a FROM clause. Errors unless it names one dataset of the dictionary and nothing
    /// else.
    pub fn of_from(
        dictionary: &'a Dictionary,
        from: &[TableWithJoins],
        select: Place,
    ) -> Result<Self, PlanError> {
        let refused = |construct, place| Err(PlanError::refused(construct, place));
        let [TableWithJoins { relation, joins }] = from else {
            let construct = if from.is_empty() { Construct::NoFrom } else { Construct::Join };
            return refused(construct, select);
        };
        if !joins.is_empty() {
            return refused(Construct::Join, select);
        }
        let TableFactor::Table {
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
        } = relation
        else {
            return refused(Construct::TableFunction, select);
        };
        let ident = single_name(name, select)?;
        let at = place(ident.span.start);
        if args.is_some() {
            return refused(Construct::TableFunction, at);
        }
        let has_option = !with_hints.is_empty()
            || version.is_some()
            || *with_ordinality
            || !partitions.is_empty()
            || json_path.is_some()
            || sample.is_some()
            || !index_hints.is_empty();
        if has_option {
            return refused(Construct::TableOption, at);
        }
        let dataset = find(dictionary, ident)?;
        Ok(Self { dataset, called: called(alias.as_ref(), ident)? })
    }

    /// The column an expression names, `None` when it is no bare column. Errors as [`Self::column`].
    pub fn named_column(&self, ast: &Ast) -> Option<Result<&'a Column, PlanError>> {
        match ast {
            Ast::Identifier(ident) => Some(self.column(ident)),
            Ast::CompoundIdentifier(parts) => Some(self.qualified(parts)),
            _ => None,
        }
    }

    /// A column that may be read. Errors on unknown names, identifier columns and the unit column.
    pub fn column(&self, ident: &Ident) -> Result<&'a Column, PlanError> {
        let at = place(ident.span.start);
        let name = folded(ident);
        let column = self.dataset.column(&name).ok_or_else(|| PlanError::NoColumn {
            dataset: self.dataset.name.clone(),
            name: excerpt(&name),
            place: at,
        })?;
        if column.name == self.dataset.unit_column {
            return Err(PlanError::UnitColumn { column: column.name.clone(), place: at });
        }
        if column.identifier {
            return Err(PlanError::Identifier { column: column.name.clone(), place: at });
        }
        Ok(column)
    }

    /// Whether an expression is the bare unit column.
    pub fn is_unit(&self, ast: &Ast) -> bool {
        let ident = match ast {
            Ast::Identifier(ident) => ident,
            Ast::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, ident] if folded(table) == self.called => ident,
                _ => return false,
            },
            _ => return false,
        };
        folded(ident) == self.dataset.unit_column.as_str()
    }

    /// Whether the dataset has a column of that name, readable or not.
    pub fn has_column(&self, name: &str) -> bool {
        self.dataset.column(name).is_some()
    }

    /// The dictionary's entry of a column an expression reads.
    pub fn entry(&self, name: &Name) -> Option<&'a Column> {
        self.dataset.column(name.as_str())
    }

    fn qualified(&self, parts: &[Ident]) -> Result<&'a Column, PlanError> {
        let at = parts.first().map(|part| place(part.span.start)).unwrap_or_default();
        match parts {
            [table, ident] if folded(table) == self.called => self.column(ident),
            [table, _] => Err(PlanError::NoDataset {
                name: excerpt(&table.value),
                place: at,
                known: format!("`{}` in this query", self.called),
            }),
            _ => Err(PlanError::refused(Construct::Schema, at)),
        }
    }
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

fn find<'a>(dictionary: &'a Dictionary, ident: &Ident) -> Result<&'a Dataset, PlanError> {
    let name = folded(ident);
    if ident.quote_style == Some('\'') {
        return Err(PlanError::refused(Construct::FileTable, place(ident.span.start)));
    }
    dictionary.dataset(&name).ok_or_else(|| {
        let names = dictionary.datasets.iter().take(NAMES_LISTED_MAX);
        let known: Vec<String> = names.map(|dataset| format!("`{}`", dataset.name)).collect();
        let place = place(ident.span.start);
        PlanError::NoDataset { name: excerpt(&name), place, known: known.join(", ") }
    })
}

fn called(alias: Option<&TableAlias>, ident: &Ident) -> Result<String, PlanError> {
    let Some(TableAlias { explicit: _, name, columns, at }) = alias else {
        return Ok(folded(ident));
    };
    if !columns.is_empty() || at.is_some() {
        return Err(PlanError::refused(Construct::TableOption, place(name.span.start)));
    }
    Ok(folded(name))
}
