//! Aggregates of SQL as lanes that add up over people: counts and clamped sums. Equal lanes are one,
//! so that nothing is paid for twice; an aggregate that is no sum over people must not pass.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::Expr;
use crate::functions::{AggregateName, aggregate};
use crate::ir::LaneExpr;
use crate::lower::lower;
use crate::range::Range;
use crate::scope::Scope;
use crate::syntax::{Call, call, unwrapped};
use crate::text::place;
use crate::typed::Typed;
use cloister_terms::limits::LANES_MAX;
use cloister_terms::{ColumnType, Formula};
use sqlparser::ast::{Expr as Ast, Function, FunctionArgExpr, ObjectNamePart};

/// An aggregate with its argument lowered.
#[derive(Debug, Clone)]
pub(crate) enum Aggregate {
    /// `COUNT(*)`
    Rows,
    /// `COUNT(DISTINCT unit)`
    Units,
    /// `COUNT(e)`
    NonNull(Expr),
    /// `SUM(e)`
    Sum(Typed),
    /// `AVG(e)`
    Avg(Typed),
}

impl Aggregate {
    /// Its heading where the analysis gives none.
    pub fn heading(&self, scope: &Scope<'_>) -> String {
        match self {
            Self::Rows => "count(*)".to_owned(),
            Self::Units => format!("count(distinct {})", scope.unit_called()),
            Self::NonNull(expr) => format!("count({expr})"),
            Self::Sum(typed) => format!("sum({})", typed.expr),
            Self::Avg(typed) => format!("avg({})", typed.expr),
        }
    }
}

/// The aggregate an expression is at its top; `None` when it is a row-wise expression.
pub(crate) fn of_item(scope: &Scope<'_>, ast: &Ast) -> Result<Option<Aggregate>, PlanError> {
    let Ast::Function(function) = unwrapped(ast) else { return Ok(None) };
    let Some(name) = aggregate_name(function) else { return Ok(None) };
    let call = call(function)?;
    let at = place(call.name.span.start);
    if call.distinct {
        return units(scope, name, &call, at).map(Some);
    }
    let [arg] = call.args.as_slice() else {
        let (name, wanted) = (excerpt(&call.name.value), "one argument");
        return Err(PlanError::Arguments { name, wanted, place: at });
    };
    let arg = match arg {
        FunctionArgExpr::Wildcard if name == AggregateName::Count => {
            return Ok(Some(Aggregate::Rows));
        }
        FunctionArgExpr::Expr(arg) => arg,
        _ => return Err(PlanError::refused(Construct::Wildcard, at)),
    };
    if name == AggregateName::Count && scope.is_unit(unwrapped(arg)) {
        return Err(PlanError::refused(Construct::CountUnit, at));
    }
    if let (AggregateName::Count, Some(found)) = (name, scope.unit_marker(arg)) {
        return Ok(Some(Aggregate::NonNull(found)));
    }
    let typed = lower(scope, arg)?;
    let is_number = matches!(typed.column_type, ColumnType::Int64 | ColumnType::Float64);
    match name {
        AggregateName::Count => Ok(Some(Aggregate::NonNull(typed.expr))),
        _ if !is_number => Err(PlanError::Type {
            found: typed.column_type,
            wanted: "a number",
            place: typed.place,
            instead: "write CASE WHEN condition THEN 1 ELSE 0 END to sum a condition",
        }),
        AggregateName::Sum => Ok(Some(Aggregate::Sum(typed))),
        AggregateName::Avg => Ok(Some(Aggregate::Avg(typed))),
    }
}

fn aggregate_name(function: &Function) -> Option<AggregateName> {
    let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else { return None };
    if ident.quote_style.is_some() { None } else { aggregate(&ident.value) }
}

fn units(
    scope: &Scope<'_>,
    name: AggregateName,
    call: &Call<'_>,
    at: Place,
) -> Result<Aggregate, PlanError> {
    match (name, call.args.as_slice()) {
        (AggregateName::Count, [FunctionArgExpr::Expr(arg)]) if scope.is_unit(unwrapped(arg)) => {
            Ok(Aggregate::Units)
        }
        _ => Err(PlanError::refused(Construct::AggregateDistinct, at)),
    }
}

/// The lanes of a query, distinct, in the order they were first needed.
pub(crate) struct Lanes {
    row_cap: u32,
    lanes: Vec<LaneExpr>,
}

impl Lanes {
    /// No lanes yet; `row_cap` rows of one person are used at most.
    pub fn new(row_cap: u32) -> Self {
        Self { row_cap, lanes: Vec::new() }
    }

    /// The formula of an aggregate, adding what lanes it lacks. Errors on sums without bounds.
    pub fn formula(
        &mut self,
        aggregate: &Aggregate,
        scope: &Scope<'_>,
    ) -> Result<Formula, PlanError> {
        match aggregate {
            Aggregate::Rows => Ok(Formula::Total { lane: self.index(LaneExpr::CountRows)? }),
            Aggregate::Units => Ok(Formula::Total { lane: self.index(LaneExpr::CountUnits)? }),
            Aggregate::NonNull(expr) => Ok(Formula::Total { lane: self.count(expr, scope)? }),
            Aggregate::Sum(typed) => Ok(Formula::Total { lane: self.sum(typed, scope)? }),
            Aggregate::Avg(typed) => Ok(Formula::Ratio {
                numerator: self.sum(typed, scope)?,
                denominator: self.count(&typed.expr, scope)?,
            }),
        }
    }

    /// The lanes.
    pub fn into_lanes(self) -> Vec<LaneExpr> {
        self.lanes
    }

    fn count(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<u32, PlanError> {
        if scope.never_null(expr) {
            return self.index(LaneExpr::CountRows);
        }
        self.index(LaneExpr::CountNonNull { expr: expr.clone() })
    }

    fn sum(&mut self, typed: &Typed, scope: &Scope<'_>) -> Result<u32, PlanError> {
        let (expression, place) = (excerpt(&typed.expr.to_string()), typed.place);
        let Some(range) = Range::of(&typed.expr, scope) else {
            return Err(PlanError::Unbounded { expression, place });
        };
        let Some(bounds) = range.bounds(self.row_cap) else {
            return Err(PlanError::BoundsTooWide { expression, place });
        };
        self.index(LaneExpr::SumClamped { expr: typed.expr.clone(), bounds })
    }

    fn index(&mut self, lane: LaneExpr) -> Result<u32, PlanError> {
        let found = self.lanes.iter().position(|other| *other == lane);
        let index = found.unwrap_or_else(|| {
            self.lanes.push(lane);
            self.lanes.len() - 1
        });
        u32::try_from(index).ok().filter(|_| index < LANES_MAX).ok_or(PlanError::TooMany {
            what: "different counts and sums",
            max: LANES_MAX,
            place: Place::default(),
        })
    }
}

impl LaneExpr {
    /// What the lane sums, for people.
    pub fn label(&self) -> String {
        match self {
            Self::CountRows => "rows".to_owned(),
            Self::CountUnits => "people".to_owned(),
            Self::CountNonNull { expr } => format!("count({expr})"),
            Self::SumClamped { expr, .. } => format!("sum({expr})"),
        }
    }

    /// The expression it reads, if any.
    pub fn expr(&self) -> Option<&Expr> {
        match self {
            Self::CountRows | Self::CountUnits => None,
            Self::CountNonNull { expr } | Self::SumClamped { expr, .. } => Some(expr),
        }
    }

    /// The grid: one step is `2^-grid_bits`.
    pub fn grid_bits(&self) -> u8 {
        match self {
            Self::SumClamped { bounds, .. } => bounds.grid_bits(),
            Self::CountRows | Self::CountUnits | Self::CountNonNull { .. } => 0,
        }
    }

    /// The largest change, in steps, that one person's `row_cap` rows make in one cell. At least 1, so
    /// that a sum of zeros is noised like any other. `None` when it overflows.
    pub fn sensitivity_steps(&self, row_cap: u32) -> Option<u64> {
        match self {
            Self::CountUnits => Some(1),
            Self::CountRows | Self::CountNonNull { .. } => Some(row_cap.into()),
            Self::SumClamped { bounds, .. } => {
                Some(bounds.magnitude_steps().checked_mul(row_cap.into())?.max(1))
            }
        }
    }
}
