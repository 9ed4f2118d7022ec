//! The names a query may use and what is known of each column: its type, range, public values, whether
//! it can be NULL. An identifier column or the unit column must never come out of here as an
//! expression (row S21).

use crate::calls::{self, Calls};
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{Expr, Literal};
use crate::pinned::Pinned;
use crate::range::{Range, is_never_null};
use crate::steps::reads;
use crate::syntax::unwrapped;
use crate::text::place;
use crate::typed::Typed;
use crate::work::{UsedUp, Work};
use cloister_terms::{Column, ColumnType, Dataset, KeyValue, Name};
use sqlparser::ast::{Expr as Ast, Function, Ident};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// How many names an error lists.
const NAMES_LISTED_MAX: usize = 8;

/// What the expressions of one query read.
pub(crate) struct Scope<'a> {
    /// Datasets, public tables and subqueries of FROM.
    pub sources: Vec<Source>,
    /// Aggregates and windows are met here; without it they are refused inside expressions.
    pub calls: Option<&'a Calls>,
    /// What the condition that WHERE keeps rows by pins: it is public.
    pub pinned: Rc<Pinned>,
    /// The work that finding public values has cost the question.
    pub work: Work,
}

/// One thing in FROM.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The name the query calls it by; a subquery may have none.
    pub called: Option<String>,
    /// Its columns.
    pub columns: Vec<ScopeColumn>,
}

/// What is known of a column. All of it belongs to the expression that makes the column, none of it to
/// its name (row A7).
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// Its name in the text; empty when it cannot be named.
    pub called: String,
    /// Its name in the plan.
    pub name: Name,
    /// Its type.
    pub column_type: ColumnType,
    /// What its values are expected to keep to.
    pub range: Option<Range>,
    /// Every value it can have but NULL, when they are public. FALSE and TRUE need no listing.
    pub domain: Option<Arc<[KeyValue]>>,
    /// Whether no row has NULL here.
    pub never_null: bool,
    /// Whether it may be read.
    pub role: Role,
    /// Whether it answers to its qualified name alone: the right side of `USING`.
    pub is_hidden: bool,
}

/// Whether a column may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// It may.
    Plain,
    /// It identifies people or records.
    Identifier,
    /// It tells people apart. It is no column of any step, since a step sees one person.
    Unit {
        /// Where a left join may have found no row of that person: a column that is NULL on such rows.
        marker: Option<Name>,
    },
}

/// The name an identifier stands for: unquoted ones fold to lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

impl ScopeColumn {
    /// A column of a dataset.
    pub fn of_dataset(dataset: &Dataset, column: &Column) -> Self {
        let role = match column.identifier {
            _ if column.name == dataset.unit_column => Role::Unit { marker: None },
            true => Role::Identifier,
            false => Role::Plain,
        };
        Self {
            called: column.name.to_string(),
            name: column.name.clone(),
            column_type: column.column_type,
            range: column.bounds.map(|bounds| Range::declared(bounds, column.column_type)),
            domain: column.domain.as_deref().map(Arc::from),
            never_null: false,
            role,
            is_hidden: false,
        }
    }

    /// Whether it is a column of a step.
    pub fn is_plain(&self) -> bool {
        self.role == Role::Plain
    }

    /// Whether it is the unit column.
    pub fn is_unit(&self) -> bool {
        matches!(self.role, Role::Unit { .. })
    }

    /// How many values it can have, NULL counted; `None` when that is not public.
    pub fn values_max(&self) -> Option<u64> {
        let values = match (&self.domain, self.column_type) {
            (Some(domain), _) => domain.len() as u64,
            (None, ColumnType::Bool) => 2,
            (None, _) => return None,
        };
        Some(values.saturating_add(u64::from(!self.never_null)))
    }
}

impl Scope<'_> {
    /// The names of these sources, without aggregates and without a filter.
    pub fn of(sources: &[Source], work: &Work) -> Self {
        let (calls, pinned) = (None, Rc::default());
        Self { sources: sources.to_vec(), calls, pinned, work: work.clone() }
    }

    /// The column an expression names, `None` when it is no bare column. Errors as [`Self::column`].
    pub fn named_column(&self, ast: &Ast) -> Option<Result<&ScopeColumn, PlanError>> {
        Some(self.resolved(ast)?.and_then(|(_, column)| readable(ast, column)))
    }

    /// The column an expression names, readable or not, with the index of its source; `None` when it
    /// is no bare column. Errors on unknown and ambiguous names.
    pub fn resolved(&self, ast: &Ast) -> Option<Result<(usize, &ScopeColumn), PlanError>> {
        match unwrapped(ast) {
            Ast::Identifier(ident) => Some(self.unqualified(ident)),
            Ast::CompoundIdentifier(parts) => Some(self.qualified(parts)),
            _ => None,
        }
    }

    /// Whether an expression is the bare unit column, and NULL on no row.
    pub fn is_unit(&self, ast: &Ast) -> bool {
        matches!(self.resolved(ast), Some(Ok((_, column))) if column.role == Role::Unit { marker: None })
    }

    /// The column that is NULL where this unit column is; `None` for anything but a unit column of
    /// the right side of a left join.
    pub fn unit_marker(&self, ast: &Ast) -> Option<Expr> {
        match self.resolved(ast)?.ok()?.1 {
            ScopeColumn { role: Role::Unit { marker: Some(name) }, .. } => {
                Some(Expr::Column { name: name.clone() })
            }
            _ => None,
        }
    }

    /// `unit IS NULL`: FALSE, since rows without a unit are dropped, but for the right side of a left
    /// join. `None` when the expression is no unit column.
    pub fn unit_is_null(&self, ast: &Ast) -> Option<Expr> {
        if let Some(marker) = self.unit_marker(ast) {
            return Some(Expr::IsNull { of: Box::new(marker) });
        }
        self.is_unit(ast).then(|| Expr::literal(Literal::Bool(false)))
    }

    /// The name of the first unit column, for headings and errors.
    pub fn unit_called(&self) -> &str {
        let mut columns = self.sources.iter().flat_map(|source| &source.columns);
        columns.find(|column| column.is_unit()).map_or("unit", |column| &column.called)
    }

    /// Whether a column of that name is there, readable or not.
    pub fn has_column(&self, name: &str) -> bool {
        self.columns().any(|column| column.called == name)
    }

    /// What is known of a column of the plan.
    pub fn entry(&self, name: &Name) -> Option<&ScopeColumn> {
        self.columns().find(|column| column.name == *name && column.is_plain())
    }

    /// The same names, where whole numbers that an expression reads keep to their public list, if they have one
    /// and no bounds; those beyond are clamped to it. Errors when that is more work than the question has left.
    pub fn listing(&self, expr: &Expr) -> Result<Scope<'static>, UsedUp> {
        let names = reads(expr);
        let mut scope = Scope::of(&self.sources, &self.work);
        for column in scope.sources.iter_mut().flat_map(|source| &mut source.columns) {
            if let (None, Some(domain)) = (column.range, &column.domain)
                && names.contains(&column.name)
            {
                self.work.take(domain.len())?;
                column.range = listed_range(domain);
            }
        }
        Ok(scope)
    }

    /// Whether an expression is NULL on no row.
    pub fn never_null(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Column { name } => self.entry(name).is_some_and(|column| column.never_null),
            _ => is_never_null(expr),
        }
    }

    /// The name a bare column goes by in the text.
    pub fn called(&self, ast: &Ast) -> Option<String> {
        Some(self.resolved(ast)?.ok()?.1.called.clone())
    }

    /// An aggregate or window as the column that will hold it; `None` for every other function.
    pub fn call(&self, function: &Function) -> Result<Option<Typed>, PlanError> {
        match self.calls {
            Some(calls) => calls::met(self, calls, function),
            None => Ok(None),
        }
    }

    fn columns(&self) -> impl Iterator<Item = &ScopeColumn> {
        self.sources.iter().flat_map(|source| &source.columns)
    }

    fn unqualified(&self, ident: &Ident) -> Result<(usize, &ScopeColumn), PlanError> {
        let name = folded(ident);
        let place = place(ident.span.start);
        let sources = self.sources.iter().enumerate();
        let found: Vec<(usize, &ScopeColumn)> = sources
            .flat_map(|(index, source)| source.columns.iter().map(move |column| (index, column)))
            .filter(|(_, column)| column.called == name && !column.is_hidden)
            .collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => {
                let (dataset, known) = (self.known(), known_columns(self.columns(), &name));
                Err(PlanError::NoColumn { dataset, name: excerpt(&name), place, known })
            }
            // All of them name the same person; the one that is always there speaks for them.
            [first, ..] if found.iter().all(|(_, column)| column.is_unit()) => {
                let is_certain = |column: &ScopeColumn| column.role == Role::Unit { marker: None };
                Ok(*found.iter().find(|(_, column)| is_certain(column)).unwrap_or(first))
            }
            _ => Err(PlanError::Ambiguous { name: excerpt(&name), place }),
        }
    }

    fn qualified(&self, parts: &[Ident]) -> Result<(usize, &ScopeColumn), PlanError> {
        let at = parts.first().map(|part| place(part.span.start)).unwrap_or_default();
        let [table, ident] = parts else {
            return Err(PlanError::refused(crate::Construct::Schema, at));
        };
        let (table, name) = (folded(table), folded(ident));
        let mut sources = self.sources.iter().enumerate();
        let Some((index, source)) =
            sources.find(|(_, source)| source.called.as_ref() == Some(&table))
        else {
            let known = format!("this query calls what it reads {}", self.known_quoted());
            return Err(PlanError::NoDataset { name: excerpt(&table), place: at, known });
        };
        let place = place(ident.span.start);
        let mut found = source.columns.iter().filter(|column| column.called == name);
        match found.next() {
            Some(column) => Ok((index, column)),
            None => {
                let (dataset, known) = (table, known_columns(source.columns.iter(), &name));
                Err(PlanError::NoColumn { dataset, name: excerpt(&name), place, known })
            }
        }
    }

    fn known(&self) -> String {
        let names = self.sources.iter().take(NAMES_LISTED_MAX);
        let names: Vec<&str> =
            names.map(|source| source.called.as_deref().unwrap_or("the subquery")).collect();
        names.join("`, `")
    }

    fn known_quoted(&self) -> String {
        format!("`{}`", self.known())
    }
}

/// The range of the numbers of a public list; `None` where it lists others.
fn listed_range(values: &[KeyValue]) -> Option<Range> {
    Range::union(values.iter().map(|value| match value {
        KeyValue::Int(int) => Range::constant(&Literal::int(*int)),
        KeyValue::Text(_) | KeyValue::Bool(_) | KeyValue::Timestamp(_) => None,
    }))
}

/// What may be read instead of a column that is not there, the names that begin like it first.
fn known_columns<'c>(columns: impl Iterator<Item = &'c ScopeColumn>, name: &str) -> String {
    let alike = |other: &str| other.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    let readable = columns.filter(|column| column.is_plain() && !column.is_hidden);
    let names = readable.map(|column| column.called.as_str()).filter(|name| !name.is_empty());
    let mut seen = BTreeSet::new();
    let mut names: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
    names.sort_by_key(|other| std::cmp::Reverse(alike(other)));
    let listed = names.iter().take(NAMES_LISTED_MAX);
    let listed: Vec<String> = listed.map(|name| format!("`{}`", excerpt(name))).collect();
    match (listed.as_slice(), names.len() > NAMES_LISTED_MAX) {
        ([], _) => "it has none that may be read".to_owned(),
        (listed, false) => format!("use one of {}", listed.join(", ")),
        (listed, true) => format!("use one of {}, ...", listed.join(", ")),
    }
}

fn readable<'s>(ast: &Ast, column: &'s ScopeColumn) -> Result<&'s ScopeColumn, PlanError> {
    let place = crate::syntax::place_of(ast);
    match column.role {
        Role::Plain => Ok(column),
        Role::Unit { .. } => Err(PlanError::UnitColumn { column: column.name.clone(), place }),
        Role::Identifier => Err(PlanError::Identifier { column: column.name.clone(), place }),
    }
}

/// A name in a plan, made of a name in the text, that is none of those taken.
pub(crate) fn fresh(wanted: &str, taken: impl Fn(&Name) -> bool) -> Name {
    const STEM_CHARS_MAX: usize = 48;
    let clean = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_' | '-') => c,
        _ => '_',
    };
    let mut stem: String = wanted.chars().take(STEM_CHARS_MAX).map(clean).collect();
    if !stem.starts_with(|c: char| c.is_ascii_lowercase()) {
        stem.insert(0, 'c');
    }
    let mut number = 1u64;
    let mut text = stem.clone();
    loop {
        // A stem of such characters and a number is a name.
        if let Ok(name) = Name::new(text)
            && !taken(&name)
        {
            return name;
        }
        number += 1;
        text = format!("{stem}_{number}");
    }
}

/// The place of an identifier.
pub(crate) fn place_of_ident(ident: &Ident) -> Place {
    place(ident.span.start)
}
