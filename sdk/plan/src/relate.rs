//! FROM, WITH and WHERE of a query as a relation: rows of one person, made step by step. Whatever would
//! let a step see two persons must be refused on the way.

use crate::clauses::Clauses;
use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::Expr;
use crate::ir::RowPlan;
use crate::keys;
use crate::limits::{
    CTES_MAX, DOMAIN_VALUES_IN_ALL_MAX, PUBLIC_CELLS_IN_ALL_MAX, QUERY_DEPTH_MAX, STEPS_MAX,
};
use crate::lower::condition;
use crate::parts::query_parts;
use crate::pinned::Pinned;
use crate::range::Range;
use crate::relation::{NamedExpr, Relation};
use crate::scope::{Scope, ScopeColumn, Source, folded, place_of_ident};
use crate::steps::{Tables, reads};
use crate::syntax::place_of;
use crate::told::LookedUp;
use crate::work::Work;
use cloister_terms::{Dataset, Dictionary, KeyValue, Name};
use sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, TableFactor, With};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// The rows of one person that a query reads.
pub(crate) struct Related<'q> {
    builder: Builder<'q>,
    rows: Rows,
    /// What WHERE says of them.
    pinned: Rc<Pinned>,
}

/// What is read of each table.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub tables: Vec<RowPlan>,
    /// What finding public values has cost so far: which of them a partner holds is found later.
    pub work: Work,
    /// The public tables among it.
    pub looked_up: Vec<LookedUp>,
}

/// Rows of one person, with what is known of their columns.
pub(crate) struct Rows {
    /// How they are made.
    pub relation: Relation,
    /// What they may be called by.
    pub sources: Vec<Source>,
    /// Rows of one person at most.
    pub rows_max: u64,
}

/// What is made while a query is read.
pub(crate) struct Builder<'q> {
    pub dictionary: &'q Dictionary,
    pub tables: Tables<'q>,
    /// What finding public values has cost so far.
    pub work: Work,
    /// The public tables joined so far.
    pub looked_up: Vec<LookedUp>,
    steps: usize,
    depth: usize,
    domain_values: usize,
    public_cells: usize,
}

/// The names that WITH has given so far.
#[derive(Clone, Default)]
pub(crate) struct Env<'q>(Option<Rc<Frame<'q>>>);

/// One name of WITH; its query may use those before it.
pub(crate) struct Frame<'q> {
    name: String,
    query: &'q Query,
    before: Env<'q>,
    is_used: Cell<bool>,
}

impl<'q> Related<'q> {
    /// The relation of a query. Errors on everything in FROM, WITH and WHERE that is not offered.
    pub fn of(dictionary: &'q Dictionary, clauses: &Clauses<'q>) -> Result<Self, PlanError> {
        let mut builder = Builder {
            dictionary,
            tables: Tables::default(),
            work: Work::default(),
            looked_up: Vec::new(),
            steps: 0,
            depth: 0,
            domain_values: 0,
            public_cells: 0,
        };
        let env = builder.bound(clauses.with, &Env::default())?;
        let mut rows = builder.from(clauses.from, &env, clauses.place)?;
        env.all_used(clauses.with)?;
        let mut pinned = Pinned::default();
        if let Some(filter) = clauses.filter {
            let kept = condition(&Scope::of(&rows.sources, &builder.work), filter)?;
            pinned = builder.pinned(&kept, place_of(filter))?;
            rows.relation = builder.tables.filtered(rows.relation, kept);
        }
        Ok(Self { builder, rows, pinned: Rc::new(pinned) })
    }

    /// The names that the query's expressions may use.
    pub fn scope(&self) -> Scope<'static> {
        let names = Scope::of(&self.rows.sources, &self.builder.work);
        Scope { pinned: Rc::clone(&self.pinned), ..names }
    }

    /// Rows of one person at most.
    pub fn rows_max(&self) -> u64 {
        self.rows.rows_max
    }

    /// The one dataset that is read as it is. `None` when FROM holds anything else.
    pub fn one_dataset(&self, clauses: &Clauses<'_>) -> Option<&'q Dataset> {
        match (clauses.with, clauses.from) {
            (None, [from])
                if from.joins.is_empty() && matches!(from.relation, TableFactor::Table { .. }) =>
            {
                self.builder.tables.dataset(0)
            }
            _ => None,
        }
    }

    /// The relation and what is read of each table, for expressions that read these columns.
    pub fn finish(self, exprs: &[&Expr]) -> (Relation, Read) {
        let mut needed: BTreeSet<Name> = BTreeSet::new();
        for expr in exprs {
            expr.each_column(&mut |name| {
                needed.insert(name.clone());
            });
        }
        let Builder { tables, work, looked_up, .. } = self.builder;
        let (relation, tables) = tables.finish(self.rows.relation, &needed);
        (relation, Read { tables, work, looked_up })
    }
}

impl Rows {
    /// The columns of a subquery.
    pub fn columns(&self) -> &[ScopeColumn] {
        self.sources.first().map(|source| source.columns.as_slice()).unwrap_or_default()
    }

    /// The same rows under another name.
    pub fn called(mut self, called: Option<String>) -> Self {
        self.sources.iter_mut().for_each(|source| source.called.clone_from(&called));
        self
    }
}

impl<'q> Builder<'q> {
    /// Counts a step. Errors when there are too many: a name of WITH that is used twice by one that is
    /// used twice would double for ever.
    pub fn step(&mut self, place: Place) -> Result<(), PlanError> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let what = "tables, joins and subqueries, those of WITH counted at each use";
            return Err(PlanError::TooMany { what, max: STEPS_MAX, place });
        }
        Ok(())
    }

    /// Every value an expression can have but NULL, where they are public and not too many in all. Errors
    /// when finding them is more work than the question has left.
    pub fn values(
        &mut self,
        expr: &Expr,
        scope: &Scope<'_>,
        place: Place,
    ) -> Result<Option<Arc<[KeyValue]>>, PlanError> {
        let columns = reads(expr);
        let domains = columns.iter().filter_map(|name| scope.entry(name)?.domain.as_ref());
        let count = domains.fold(1usize, |sum, domain| sum.saturating_add(domain.len()));
        if !self.listed(count) {
            return Ok(None);
        }
        let values = keys::values(expr, scope).map_err(|used_up| used_up.at(place))?;
        Ok(values.map(Arc::from))
    }

    /// What a filter says of the rows it keeps. Errors when reading it is more work than the question has
    /// left.
    pub fn pinned(&self, filter: &Expr, place: Place) -> Result<Pinned, PlanError> {
        Pinned::of(filter, &self.work).map_err(|used_up| used_up.at(place))
    }

    /// Whether so many more values may be listed.
    pub fn listed(&mut self, count: usize) -> bool {
        self.domain_values = self.domain_values.saturating_add(count);
        self.domain_values <= DOMAIN_VALUES_IN_ALL_MAX
    }

    /// Counts the cells of a public table that is read. Errors when they are too many in all.
    pub fn cells(&mut self, count: usize, place: Place) -> Result<(), PlanError> {
        self.public_cells = self.public_cells.saturating_add(count);
        if self.public_cells > PUBLIC_CELLS_IN_ALL_MAX {
            let (what, max) = ("values of public tables", PUBLIC_CELLS_IN_ALL_MAX);
            return Err(PlanError::TooMany { what, max, place });
        }
        Ok(())
    }

    /// The names of WITH added to those there are.
    fn bound(&mut self, with: Option<&'q With>, env: &Env<'q>) -> Result<Env<'q>, PlanError> {
        let mut env = env.clone();
        let Some(With { with_token, recursive, cte_tables }) = with else { return Ok(env) };
        let at = crate::text::place(with_token.0.span.start);
        if *recursive {
            return Err(PlanError::refused(Construct::Cte, at));
        }
        if cte_tables.len() > CTES_MAX {
            return Err(PlanError::TooMany { what: "names in WITH", max: CTES_MAX, place: at });
        }
        for cte in cte_tables {
            let place = place_of_ident(&cte.alias.name);
            let has_options = cte.from.is_some() || cte.materialized.is_some();
            if has_options || !cte.alias.columns.is_empty() || cte.alias.at.is_some() {
                return Err(PlanError::refused(Construct::TableOption, place));
            }
            let name = folded(&cte.alias.name);
            // One name means one thing to whoever reads the text.
            let is_known = env.find(&name).is_some()
                || self.dictionary.dataset(&name).is_some()
                || self.dictionary.public_table(&name).is_some();
            if is_known {
                return Err(PlanError::Twice { name: excerpt(&name), place });
            }
            let is_used = Cell::new(false);
            let frame = Frame { name, query: &cte.query, before: env, is_used };
            env = Env(Some(Rc::new(frame)));
        }
        Ok(env)
    }

    /// The rows of a name of WITH, read anew at each use.
    pub fn cte(&mut self, frame: &Frame<'q>, at: Place) -> Result<Rows, PlanError> {
        frame.is_used.set(true);
        self.query(frame.query, &frame.before, at)
    }

    /// The rows of a query inside a query: one source, whose columns are the step's in order.
    pub fn query(&mut self, query: &'q Query, env: &Env<'q>, at: Place) -> Result<Rows, PlanError> {
        self.step(at)?;
        if self.depth >= QUERY_DEPTH_MAX {
            let what = "subqueries inside each other, those of WITH counted";
            return Err(PlanError::TooMany { what, max: QUERY_DEPTH_MAX, place: at });
        }
        self.depth += 1;
        let parts = query_parts(query, at)?;
        let env = self.bound(parts.with, env)?;
        let rows = self.body(parts.body, &env, at)?;
        env.all_used(parts.with)?;
        self.depth -= 1;
        Ok(rows)
    }

    fn body(&mut self, body: &'q SetExpr, env: &Env<'q>, at: Place) -> Result<Rows, PlanError> {
        match body {
            SetExpr::Select(select) => self.select(select, env),
            SetExpr::SetOperation { .. } => self.union(body, env, at),
            SetExpr::Query(_) => Err(PlanError::refused(Construct::SetOperation, at)),
            SetExpr::Values(_) => Err(PlanError::refused(Construct::Values, at)),
            _ => Err(PlanError::refused(Construct::Statement, at)),
        }
    }

    /// `UNION ALL`, or `UNION` of everything.
    fn union(&mut self, body: &'q SetExpr, env: &Env<'q>, at: Place) -> Result<Rows, PlanError> {
        let (mut branches, mut kinds, mut rest) = (Vec::new(), BTreeSet::new(), body);
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = rest {
            let is_all = match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All) => true,
                (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => false,
                _ => return Err(PlanError::refused(Construct::Intersect, at)),
            };
            kinds.insert(is_all);
            branches.push(right.as_ref());
            rest = left;
        }
        branches.push(rest);
        if kinds.len() > 1 {
            return Err(PlanError::refused(Construct::SetOperation, at));
        }
        self.step(at)?;
        let parts = branches.into_iter().rev().map(|branch| self.body(branch, env, at));
        let parts = parts.collect::<Result<Vec<Rows>, _>>()?;
        let rows = self.united(parts, at)?;
        Ok(if kinds.contains(&true) { rows } else { self.distinct(rows) })
    }

    fn united(&mut self, parts: Vec<Rows>, at: Place) -> Result<Rows, PlanError> {
        let mut columns = parts.first().map(|part| part.columns().to_vec()).unwrap_or_default();
        for (part, rows) in (1usize..).zip(&parts) {
            let is_same = |(one, other): (&ScopeColumn, &ScopeColumn)| {
                one.role == other.role && one.column_type == other.column_type
            };
            let others = rows.columns();
            if columns.len() != others.len() || !columns.iter().zip(others).all(is_same) {
                return Err(PlanError::UnionParts { part, place: at });
            }
        }
        for (index, column) in columns.iter_mut().enumerate() {
            let others = parts.iter().filter_map(|part| part.columns().get(index));
            let others: Vec<&ScopeColumn> = others.collect();
            column.range = Range::union(others.iter().map(|other| other.range));
            column.never_null = others.iter().all(|other| other.never_null);
            let count =
                others.iter().filter_map(|other| other.domain.as_ref()).map(|d| d.len()).sum();
            column.domain =
                self.listed(count).then(|| united_domain(&others)).flatten().map(Arc::from);
        }
        let rows_max = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.rows_max));
        // Steps of a union have the same names; those of the first part are taken.
        let names = parts.first().map(|part| self.tables.outputs(&part.relation));
        let names = names.unwrap_or_default();
        let of = parts.into_iter().map(|mut part| {
            if let Relation::Project { columns, .. } = &mut part.relation
                && columns.len() == names.len()
            {
                columns.iter_mut().zip(&names).for_each(|(column, name)| {
                    column.name.clone_from(name);
                });
                return part.relation;
            }
            let own = self.tables.outputs(&part.relation);
            let columns = names.iter().zip(own).map(|(name, own)| NamedExpr {
                name: name.clone(),
                expr: Expr::Column { name: own },
            });
            Relation::Project { columns: columns.collect(), of: Box::new(part.relation) }
        });
        let relation = Relation::Union { of: of.collect() };
        let sources = vec![Source { called: None, columns }];
        Ok(Rows { relation, sources, rows_max })
    }

    /// Each different row of a subquery once.
    pub fn distinct(&mut self, rows: Rows) -> Rows {
        let columns = rows.columns().iter().filter(|column| column.is_plain());
        let different = columns
            .map(ScopeColumn::values_max)
            .try_fold(1u64, |product, values| Some(product.saturating_mul(values?.max(1))));
        let rows_max = rows.rows_max.min(different.unwrap_or(u64::MAX));
        let relation = Relation::Distinct { of: Box::new(rows.relation) };
        Rows { relation, sources: rows.sources, rows_max }
    }
}

impl<'q> Env<'q> {
    /// What a name stands for.
    pub fn find(&self, name: &str) -> Option<Rc<Frame<'q>>> {
        let mut frame = self.0.as_ref();
        while let Some(found) = frame {
            if found.name == name {
                return Some(Rc::clone(found));
            }
            frame = found.before.0.as_ref();
        }
        None
    }

    /// Errors on a name of WITH that nothing used: nobody checked what it says.
    fn all_used(&self, with: Option<&With>) -> Result<(), PlanError> {
        for cte in with.map(|with| with.cte_tables.as_slice()).unwrap_or_default() {
            let name = folded(&cte.alias.name);
            if self.find(&name).is_none_or(|frame| !frame.is_used.get()) {
                let place = place_of_ident(&cte.alias.name);
                return Err(PlanError::Unused { name: excerpt(&name), place });
            }
        }
        Ok(())
    }
}

/// Every value of several columns, in the order in which they first stand; `None` when one is open.
fn united_domain(columns: &[&ScopeColumn]) -> Option<Vec<KeyValue>> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for column in columns {
        for value in column.domain.as_deref()? {
            if seen.insert(value) {
                all.push(value.clone());
            }
        }
    }
    Some(all)
}
