//! Aggregates and windows over one person's rows, as they are met inside the expressions of a subquery.
//! Each becomes a column of a step below. A window that is not cut by person must be refused here.

use crate::aggregates::{only, truth};
use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{Expr, Literal};
use crate::functions::{
    aggregate, is_other_aggregate, refuse_aggregate_of_person, refuse_of_person,
};
use crate::lower::{condition, lower};
use crate::relation::{Measure, NamedMeasure, OrderKey, WindowFunction};
use crate::scope::{Scope, fresh};
use crate::syntax::{AggregateCall, Call, aggregate_call, call, unwrapped};
use crate::text::place;
use crate::typed::Typed;
use cloister_terms::limits::ROW_CAP_MAX;
use cloister_terms::{ColumnType, Name};
use sqlparser::ast::{
    Expr as Ast, Function, FunctionArgExpr, ObjectNamePart, OrderByExpr, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// The aggregates and windows of one SELECT, distinct, in the order in which they were met.
pub(crate) struct Calls {
    /// Aggregates, each with its place.
    pub measures: RefCell<Vec<(NamedMeasure, Place)>>,
    /// Windows.
    pub windows: RefCell<Vec<(Name, WindowOver)>>,
    taken: RefCell<BTreeSet<Name>>,
    wanted: RefCell<Option<String>>,
    inside: Cell<Inside>,
}

/// A window with what it is cut and sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowOver {
    pub partition: Vec<Expr>,
    pub order: Vec<OrderKey>,
    pub function: WindowFunction,
}

/// Where an expression stands that is being lowered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Where aggregates and windows may stand.
    Item,
    /// In a window or in HAVING: aggregates alone.
    Window,
    /// In an aggregate: neither.
    Aggregate,
}

impl Calls {
    /// None yet; new columns get none of the names taken.
    pub fn new(taken: impl IntoIterator<Item = Name>) -> Self {
        Self {
            measures: RefCell::default(),
            windows: RefCell::default(),
            taken: RefCell::new(taken.into_iter().collect()),
            wanted: RefCell::default(),
            inside: Cell::new(Inside::Item),
        }
    }

    /// Lowers a selected item; a call that is the whole item gets the name wanted, if it is free.
    pub fn item(&self, scope: &Scope<'_>, ast: &Ast, wanted: &str) -> Result<Typed, PlanError> {
        if matches!(unwrapped(ast), Ast::Function(_)) {
            self.wanted.replace(Some(wanted.to_owned()));
        }
        let lowered = lower(scope, ast);
        self.wanted.replace(None);
        lowered
    }

    /// Lowers what may hold aggregates but no windows.
    pub fn without_windows(&self, scope: &Scope<'_>, ast: &Ast) -> Result<Typed, PlanError> {
        self.within(Inside::Window, || lower(scope, ast))
    }

    /// Whether a name is that of an aggregate or a window met here.
    pub fn made(&self, name: &Name) -> bool {
        self.measures.borrow().iter().any(|(measure, _)| measure.name == *name)
            || self.windows.borrow().iter().any(|(window, _)| window == name)
    }

    /// A name that no column has.
    pub fn fresh(&self, wanted: &str) -> Name {
        let name = fresh(wanted, |name| self.taken.borrow().contains(name));
        self.taken.borrow_mut().insert(name.clone());
        name
    }

    fn within<T>(&self, inside: Inside, of: impl FnOnce() -> T) -> T {
        let before = self.inside.replace(inside);
        let done = of();
        self.inside.set(before);
        done
    }

    fn windowed(&self, window: WindowOver, wanted: &str) -> Name {
        let found = self.windows.borrow().iter().find(|(_, w)| *w == window).cloned();
        if let Some((known, _)) = found {
            return known;
        }
        let name = self.fresh(wanted);
        self.windows.borrow_mut().push((name.clone(), window));
        name
    }

    fn measured(&self, measure: Measure, wanted: &str, place: Place) -> Name {
        let found = self.measures.borrow().iter().find(|(m, _)| m.measure == measure).cloned();
        if let Some((known, _)) = found {
            return known.name;
        }
        let name = self.fresh(wanted);
        self.measures.borrow_mut().push((NamedMeasure { name: name.clone(), measure }, place));
        name
    }
}

/// The column that will hold a call's value; `None` when it is neither an aggregate nor a window.
pub(crate) fn met(
    scope: &Scope<'_>,
    calls: &Calls,
    function: &Function,
) -> Result<Option<Typed>, PlanError> {
    let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else { return Ok(None) };
    let wanted = calls.wanted.take();
    if ident.quote_style.is_some() {
        return Ok(None);
    }
    let name = ident.value.to_ascii_lowercase();
    let at = place(ident.span.start);
    let wanted = wanted.as_deref().unwrap_or(&name);
    let (column, column_type) = match &function.over {
        Some(over) => {
            if calls.inside.get() != Inside::Item {
                return Err(PlanError::refused(Construct::Window, at));
            }
            let met = calls.within(Inside::Window, || window(scope, &name, function, over, at));
            let (met, column_type) = met?;
            (calls.windowed(met, wanted), column_type)
        }
        None => {
            if matches!(name.as_str(), "row_number" | "lag" | "lead") {
                return Err(PlanError::refused(Construct::Window, at));
            }
            if !is_measure(&name) {
                return match aggregate(&name) {
                    Some(_) => Err(refuse_aggregate_of_person(&name, at)),
                    None if is_other_aggregate(&name) => Err(refuse_of_person(&ident.value, at)),
                    None => Ok(None),
                };
            }
            if calls.inside.get() == Inside::Aggregate {
                return Err(PlanError::refused(Construct::NestedAggregate, at));
            }
            let (measure, column_type) =
                calls.within(Inside::Aggregate, || measure(scope, &name, function))?;
            (calls.measured(measure, wanted, at), column_type)
        }
    };
    Ok(Some(Typed { expr: Expr::Column { name: column }, column_type, place: at }))
}

fn is_measure(name: &str) -> bool {
    matches!(name, "count" | "sum" | "avg" | "min" | "max")
}

/// An aggregate of one person's rows, with its filter inside what it is of.
fn measure(
    scope: &Scope<'_>,
    name: &str,
    function: &Function,
) -> Result<(Measure, ColumnType), PlanError> {
    let AggregateCall { call, filter, within_group } = aggregate_call(function)?;
    let at = place(call.name.span.start);
    if !within_group.is_empty() {
        return Err(PlanError::refused(Construct::Argument, at));
    }
    let filter = filter.map(|filter| condition(scope, filter)).transpose()?;
    let kept = |of: Expr| match &filter {
        None => of,
        Some(filter) => only(filter, of),
    };
    let [arg] = call.args.as_slice() else {
        return Err(PlanError::Arguments {
            name: name.to_owned(),
            wanted: "one argument",
            place: at,
        });
    };
    let arg = match arg {
        FunctionArgExpr::Wildcard if name == "count" && !call.distinct => {
            return Ok((present(scope, kept(truth())), ColumnType::Int64));
        }
        FunctionArgExpr::Expr(arg) => arg,
        _ => return Err(PlanError::refused(Construct::Wildcard, at)),
    };
    if name == "count" {
        let of = kept(counted(scope, unwrapped(arg), call.distinct, at)?);
        let measure =
            if call.distinct { Measure::CountDistinct { of } } else { present(scope, of) };
        return Ok((measure, ColumnType::Int64));
    }
    if call.distinct && !matches!(name, "min" | "max") {
        return Err(PlanError::refused(Construct::AggregateDistinct, at));
    }
    let Typed { expr, column_type, place } = lower(scope, arg)?;
    let of = kept(expr);
    let is_number = matches!(column_type, ColumnType::Int64 | ColumnType::Float64);
    match name {
        "min" => Ok((Measure::Min { of }, column_type)),
        "max" => Ok((Measure::Max { of }, column_type)),
        _ if !is_number => Err(PlanError::Type {
            found: column_type,
            wanted: "a number",
            place,
            instead: "write CASE WHEN condition THEN 1 ELSE 0 END to sum a condition",
        }),
        "sum" => Ok((Measure::Sum { of }, column_type)),
        _ => Ok((Measure::Avg { of }, ColumnType::Float64)),
    }
}

/// What a count looks at: the unit is missing on no row but where a join found none.
fn counted(scope: &Scope<'_>, arg: &Ast, is_distinct: bool, at: Place) -> Result<Expr, PlanError> {
    let (is_unit, marker) = (scope.is_unit(arg), scope.unit_marker(arg));
    if is_distinct && (is_unit || marker.is_some()) {
        return Err(PlanError::refused(Construct::CountUnit, at));
    }
    match marker {
        Some(marker) => Ok(marker),
        None if is_unit => Ok(truth()),
        None => Ok(lower(scope, arg)?.expr),
    }
}

/// A count of the rows where an expression is not NULL.
fn present(scope: &Scope<'_>, of: Expr) -> Measure {
    if scope.never_null(&of) { Measure::CountRows } else { Measure::CountNonNull { of } }
}

fn window(
    scope: &Scope<'_>,
    name: &str,
    function: &Function,
    over: &WindowType,
    at: Place,
) -> Result<(WindowOver, ColumnType), PlanError> {
    let WindowType::WindowSpec(spec) = over else {
        return Err(PlanError::refused(Construct::NamedWindow, at));
    };
    let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
    if window_name.is_some() {
        return Err(PlanError::refused(Construct::NamedWindow, at));
    }
    let (mut partition, mut has_unit) = (Vec::new(), false);
    for key in partition_by {
        if scope.is_unit(unwrapped(key)) {
            has_unit = true;
        } else {
            partition.push(lower(scope, key)?.expr);
        }
    }
    if !has_unit {
        let unit = scope.unit_called().to_owned();
        return Err(PlanError::WindowAcrossUnits { unit, place: at });
    }
    let order = order_by.iter().map(|key| order_key(scope, key, at));
    let order = order.collect::<Result<Vec<_>, _>>()?;
    let plain = Function { over: None, ..function.clone() };
    let (function, column_type) = if matches!(name, "row_number" | "lag" | "lead") {
        if window_frame.is_some() {
            return Err(PlanError::WindowFrame { place: at });
        }
        if order.is_empty() {
            return Err(PlanError::WindowOrder { name: name.to_owned(), place: at });
        }
        placed(scope, name, &call(&plain)?, at)?
    } else if is_measure(name) {
        // Windows come after grouping, so their arguments may hold aggregates.
        let (measure, column_type) = measure(scope, name, &plain)?;
        match is_running(window_frame.as_ref(), order.is_empty()) {
            Some(true) => (WindowFunction::Running { measure }, column_type),
            Some(false) => (WindowFunction::Whole { measure }, column_type),
            None => return Err(PlanError::WindowFrame { place: at }),
        }
    } else if aggregate(name).is_some() {
        return Err(refuse_aggregate_of_person(name, at));
    } else {
        return Err(PlanError::refused(Construct::Window, at));
    };
    Ok((WindowOver { partition, order, function }, column_type))
}

fn order_key(scope: &Scope<'_>, key: &OrderByExpr, at: Place) -> Result<OrderKey, PlanError> {
    let OrderByExpr { expr, options, with_fill } = key;
    if with_fill.is_some() {
        return Err(PlanError::refused(Construct::Clause, at));
    }
    let descending = options.asc == Some(false);
    // NULLs are above all values where the text does not say, as PostgreSQL and DataFusion have it.
    let nulls_first = options.nulls_first.unwrap_or(descending);
    Ok(OrderKey { expr: lower(scope, expr)?.expr, descending, nulls_first })
}

/// `ROW_NUMBER()`, `LAG(x, n)`, `LEAD(x, n)`.
fn placed(
    scope: &Scope<'_>,
    name: &str,
    call: &Call<'_>,
    at: Place,
) -> Result<(WindowFunction, ColumnType), PlanError> {
    let wrong = |wanted| PlanError::Arguments { name: excerpt(name), wanted, place: at };
    if call.distinct {
        return Err(PlanError::refused(Construct::AggregateDistinct, at));
    }
    let (value, offset) = match call.args.as_slice() {
        [] if name == "row_number" => return Ok((WindowFunction::RowNumber, ColumnType::Int64)),
        _ if name == "row_number" => return Err(wrong("no argument")),
        [FunctionArgExpr::Expr(value)] => (value, 1),
        [FunctionArgExpr::Expr(value), FunctionArgExpr::Expr(offset)] => {
            let offset = match lower(scope, offset)?.expr {
                Expr::Literal { value: Literal::Int(offset) } => u32::try_from(offset.0).ok(),
                _ => None,
            };
            let offset = offset.filter(|offset| (1..=ROW_CAP_MAX).contains(offset));
            (value, offset.ok_or_else(|| wrong("a value and a whole number of rows, from 1"))?)
        }
        _ => {
            return Err(wrong(
                "a value and a number of rows; write COALESCE around it for a default",
            ));
        }
    };
    let Typed { expr: of, column_type, .. } = lower(scope, value)?;
    match name {
        "lag" => Ok((WindowFunction::Lag { of, offset }, column_type)),
        _ => Ok((WindowFunction::Lead { of, offset }, column_type)),
    }
}

/// Whether a frame is the rows so far (else the whole partition); `None` for every other frame. With an
/// order and no frame SQL means the rows so far and their peers, which is neither.
fn is_running(frame: Option<&WindowFrame>, is_unordered: bool) -> Option<bool> {
    let Some(WindowFrame { units, start_bound, end_bound }) = frame else {
        return is_unordered.then_some(false);
    };
    let starts_first = matches!(start_bound, WindowFrameBound::Preceding(None));
    match end_bound {
        Some(WindowFrameBound::Following(None)) if starts_first => Some(false),
        None | Some(WindowFrameBound::CurrentRow)
            if starts_first && *units == WindowFrameUnits::Rows && !is_unordered =>
        {
            Some(true)
        }
        _ => None,
    }
}
