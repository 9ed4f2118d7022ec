//! Aggregates of SQL with their arguments lowered: what a question counts, sums and compares over
//! people's rows. An aggregate that is no sum over people must not pass.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{Branch, Expr, Literal};
use crate::functions::{AggregateName, aggregate};
use crate::ir::LaneExpr;
use crate::limits::SHARE_DIGITS_MAX;
use crate::literal::literal;
use crate::lower::{condition, lower};
use crate::scope::Scope;
use crate::syntax::{AggregateCall, aggregate_call, place_of, unwrapped};
use crate::text::place;
use crate::typed::Typed;
use cloister_terms::decimal::Decimal;
use cloister_terms::{ColumnType, PairStatistic, Ratio, Spread};
use sqlparser::ast::{
    CaseWhen, Expr as Ast, Function, FunctionArgExpr, ObjectNamePart, OrderByExpr, OrderByOptions,
    Value,
};

/// An aggregate with its arguments lowered and its filter inside them.
#[derive(Debug, Clone)]
pub(crate) enum Aggregate {
    /// `COUNT(*)`
    Rows,
    /// `COUNT(DISTINCT unit)`
    Units,
    /// `COUNT(DISTINCT unit)` of those with a row where the expression is not NULL.
    UnitsWith(Expr),
    /// `COUNT(e)`
    NonNull(Expr),
    /// `COUNT(DISTINCT e)`
    Distinct(Typed),
    /// `SUM(e)`
    Sum(Typed),
    /// `AVG(e)`
    Avg(Typed),
    /// `VAR_POP(e)` and its kin.
    Spread(Spread, Typed),
    /// `CORR(y, x)` and its kin.
    Pair { statistic: PairStatistic, y: Typed, x: Typed },
    /// The value with a share q of all values at or below it.
    Quantile(Typed, Ratio),
}

impl Aggregate {
    /// Where its value stands; `None` of what only counts.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Rows | Self::Units | Self::UnitsWith(_) | Self::NonNull(_) => None,
            Self::Distinct(typed)
            | Self::Sum(typed)
            | Self::Avg(typed)
            | Self::Spread(_, typed)
            | Self::Quantile(typed, _)
            | Self::Pair { y: typed, .. } => Some(typed.place),
        }
    }

    /// Its heading where the analysis gives none.
    pub fn heading(&self, scope: &Scope<'_>) -> String {
        match self {
            Self::Rows => "count(*)".to_owned(),
            Self::Units => format!("count(distinct {})", scope.unit_called()),
            Self::UnitsWith(expr) => {
                format!("count(distinct {} with {expr})", scope.unit_called())
            }
            Self::NonNull(expr) => format!("count({expr})"),
            Self::Distinct(typed) => format!("count(distinct {})", typed.expr),
            Self::Sum(typed) => format!("sum({})", typed.expr),
            Self::Avg(typed) => format!("avg({})", typed.expr),
            Self::Spread(spread, typed) => {
                let name = match spread {
                    Spread::VariancePopulation => "var_pop",
                    Spread::VarianceSample => "var_samp",
                    Spread::DeviationPopulation => "stddev_pop",
                    Spread::DeviationSample => "stddev_samp",
                };
                format!("{name}({})", typed.expr)
            }
            Self::Pair { statistic, y, x } => {
                let name = match statistic {
                    PairStatistic::CovariancePopulation => "covar_pop",
                    PairStatistic::CovarianceSample => "covar_samp",
                    PairStatistic::Correlation => "corr",
                    PairStatistic::Slope => "regr_slope",
                    PairStatistic::Intercept => "regr_intercept",
                };
                format!("{name}({}, {})", y.expr, x.expr)
            }
            Self::Quantile(typed, q) if (q.numerator(), q.denominator()) == (1, 2) => {
                format!("median({})", typed.expr)
            }
            Self::Quantile(typed, q) => format!("percentile({}, {})", typed.expr, q.to_f64()),
        }
    }
}

/// The aggregate an expression is at its top; `None` when it is none.
pub(crate) fn of_item(scope: &Scope<'_>, ast: &Ast) -> Result<Option<Aggregate>, PlanError> {
    let Ast::Function(function) = unwrapped(ast) else { return Ok(None) };
    let Some(name) = aggregate_name(function) else { return Ok(None) };
    let AggregateCall { call, filter, within_group } = aggregate_call(function)?;
    let at = place(call.name.span.start);
    let filter = filter.map(|filter| condition(scope, filter)).transpose()?;
    let asked = Asked { scope, name: &call.name.value, at, filter };
    if !within_group.is_empty() && name != AggregateName::Percentile {
        return Err(PlanError::refused(Construct::Argument, at));
    }
    if call.distinct {
        return asked.distinct(name, &call.args).map(Some);
    }
    let aggregate = match name {
        AggregateName::Count => asked.count(&call.args)?,
        AggregateName::Sum => Aggregate::Sum(asked.number(&call.args)?),
        AggregateName::Avg => Aggregate::Avg(asked.number(&call.args)?),
        AggregateName::Spread(spread) => Aggregate::Spread(spread, asked.number(&call.args)?),
        AggregateName::Median => Aggregate::Quantile(asked.number(&call.args)?, half(at)?),
        AggregateName::Pair(statistic) => {
            let [y, x] = call.args.as_slice() else {
                return Err(asked.wrong("two numbers, y then x"));
            };
            let (y, x) = (asked.number(&[*y])?, asked.number(&[*x])?);
            Aggregate::Pair { statistic, y, x }
        }
        AggregateName::Percentile => asked.percentile(&call.args, within_group)?,
    };
    Ok(Some(aggregate))
}

/// Whether an expression is a call of an aggregate.
pub(crate) fn is_aggregate(ast: &Ast) -> bool {
    matches!(ast, Ast::Function(function) if aggregate_name(function).is_some())
}

/// The aggregate that a call is of, by its name alone.
pub(crate) fn aggregate_name(function: &Function) -> Option<AggregateName> {
    let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else { return None };
    if ident.quote_style.is_some() { None } else { aggregate(&ident.value) }
}

/// One call that is being lowered.
struct Asked<'a, 'd> {
    scope: &'a Scope<'d>,
    name: &'a str,
    at: Place,
    filter: Option<Expr>,
}

impl Asked<'_, '_> {
    fn wrong(&self, wanted: &'static str) -> PlanError {
        PlanError::Arguments { name: excerpt(self.name), wanted, place: self.at }
    }

    /// The one argument that is a plain expression.
    fn argument<'q>(&self, args: &[&'q FunctionArgExpr]) -> Result<&'q Ast, PlanError> {
        match args {
            [FunctionArgExpr::Expr(arg)] => Ok(arg),
            [_] => Err(PlanError::refused(Construct::Wildcard, self.at)),
            _ => Err(self.wrong("one argument")),
        }
    }

    fn count(&self, args: &[&FunctionArgExpr]) -> Result<Aggregate, PlanError> {
        if let [FunctionArgExpr::Wildcard] = args {
            return Ok(match &self.filter {
                None => Aggregate::Rows,
                Some(filter) => Aggregate::NonNull(only(filter, truth())),
            });
        }
        let arg = self.argument(args)?;
        if self.scope.is_unit(unwrapped(arg)) {
            return Err(PlanError::refused(Construct::CountUnit, self.at));
        }
        if let Some(found) = self.scope.unit_marker(arg) {
            let place = self.at;
            let found = Typed { expr: found, column_type: ColumnType::Bool, place };
            return Ok(Aggregate::NonNull(self.filtered(found).expr));
        }
        Ok(Aggregate::NonNull(self.filtered(lower(self.scope, arg)?).expr))
    }

    fn distinct(
        &self,
        name: AggregateName,
        args: &[&FunctionArgExpr],
    ) -> Result<Aggregate, PlanError> {
        let (AggregateName::Count, [FunctionArgExpr::Expr(arg)]) = (name, args) else {
            return Err(PlanError::refused(Construct::AggregateDistinct, self.at));
        };
        if let Some(when) = self.unit_where(unwrapped(arg)) {
            let when = condition(self.scope, when)?;
            let all = match &self.filter {
                None => when,
                Some(filter) => Expr::And { all: vec![filter.clone(), when] },
            };
            return Ok(Aggregate::UnitsWith(only(&all, truth())));
        }
        if !self.scope.is_unit(unwrapped(arg)) {
            return Ok(Aggregate::Distinct(self.filtered(lower(self.scope, arg)?)));
        }
        Ok(match &self.filter {
            None => Aggregate::Units,
            Some(filter) => Aggregate::UnitsWith(only(filter, truth())),
        })
    }

    /// The condition of `CASE WHEN condition THEN unit END`: over it, COUNT(DISTINCT ...) is COUNT(DISTINCT unit)
    /// with that filter.
    fn unit_where<'q>(&self, arg: &'q Ast) -> Option<&'q Ast> {
        let Ast::Case { operand: None, conditions, else_result, .. } = arg else { return None };
        let [CaseWhen { condition, result }] = conditions.as_slice() else { return None };
        let is_null =
            |ast: &Ast| matches!(unwrapped(ast), Ast::Value(value) if value.value == Value::Null);
        let is_bare = else_result.as_deref().is_none_or(is_null);
        (is_bare && self.scope.is_unit(result)).then_some(condition)
    }

    fn number(&self, args: &[&FunctionArgExpr]) -> Result<Typed, PlanError> {
        let typed = lower(self.scope, self.argument(args)?)?;
        if matches!(typed.column_type, ColumnType::Int64 | ColumnType::Float64) {
            return Ok(self.filtered(typed));
        }
        Err(PlanError::Type {
            found: typed.column_type,
            wanted: "a number",
            place: typed.place,
            instead: "write CASE WHEN condition THEN 1 ELSE 0 END to sum a condition",
        })
    }

    fn percentile(
        &self,
        args: &[&FunctionArgExpr],
        within_group: &[OrderByExpr],
    ) -> Result<Aggregate, PlanError> {
        let ordered = match within_group {
            [] => None,
            [OrderByExpr { expr, options, with_fill: None }] => match options {
                OrderByOptions { asc: None | Some(true), nulls_first: None } => Some(expr),
                _ => return Err(PlanError::refused(Construct::OrderBy, place_of(expr))),
            },
            _ => return Err(self.wrong("one column in ORDER BY")),
        };
        match (args, ordered) {
            ([FunctionArgExpr::Expr(q)], Some(of)) => {
                let of = FunctionArgExpr::Expr(of.clone());
                Ok(Aggregate::Quantile(self.number(&[&of])?, share(q)?))
            }
            ([of, FunctionArgExpr::Expr(q)], None) => {
                Ok(Aggregate::Quantile(self.number(&[*of])?, share(q)?))
            }
            _ => Err(self.wrong("a column and a share, or a share WITHIN GROUP (ORDER BY column)")),
        }
    }

    /// The value where the filter holds, else NULL.
    fn filtered(&self, typed: Typed) -> Typed {
        match &self.filter {
            None => typed,
            Some(filter) => Typed { expr: only(filter, typed.expr), ..typed },
        }
    }
}

/// `CASE WHEN condition THEN value END`.
pub(crate) fn only(condition: &Expr, value: Expr) -> Expr {
    let branches = vec![Branch { when: condition.clone(), then: value }];
    Expr::Case { operand: None, branches, otherwise: None }
}

/// What is counted where only being there counts.
pub(crate) fn truth() -> Expr {
    Expr::literal(Literal::Bool(true))
}

fn half(place: Place) -> Result<Ratio, PlanError> {
    Ratio::new(1, 2).map_err(|_| PlanError::Share { place })
}

/// A share written as a constant above 0 and below 1, exactly.
fn share(ast: &Ast) -> Result<Ratio, PlanError> {
    let place = place_of(ast);
    let wrong = || PlanError::Share { place };
    let Ast::Value(value) = unwrapped(ast) else { return Err(wrong()) };
    let Value::Number(text, false) = &value.value else { return Err(wrong()) };
    literal(&value.value, false, place)?;
    // `.5` is SQL; decimals of documents have a digit before the point.
    let text = if text.starts_with('.') { format!("0{text}") } else { text.clone() };
    let units = Decimal::parse(&text).ok().and_then(|q| q.in_units(SHARE_DIGITS_MAX));
    let whole = 10u128.pow(SHARE_DIGITS_MAX);
    let units = units.and_then(|units| u128::try_from(units).ok());
    let units = units.filter(|units| (1..whole).contains(units)).ok_or_else(wrong)?;
    Ratio::new(units, whole).map_err(|_| wrong())
}

impl LaneExpr {
    /// What the lane sums, for people.
    pub fn label(&self) -> String {
        match self {
            Self::CountRows => "rows".to_owned(),
            Self::CountUnits => "people".to_owned(),
            Self::CountUnitsWith { expr } => format!("people({expr})"),
            Self::CountNonNull { expr } => format!("count({expr})"),
            Self::SumClamped { expr, .. } => format!("sum({expr})"),
        }
    }

    /// The expression it reads, if any.
    pub fn expr(&self) -> Option<&Expr> {
        match self {
            Self::CountRows | Self::CountUnits => None,
            Self::CountUnitsWith { expr }
            | Self::CountNonNull { expr }
            | Self::SumClamped { expr, .. } => Some(expr),
        }
    }

    /// The grid: one step is `2^-grid_bits`.
    pub fn grid_bits(&self) -> u8 {
        match self {
            Self::SumClamped { bounds, .. } => bounds.grid_bits(),
            Self::CountRows
            | Self::CountUnits
            | Self::CountUnitsWith { .. }
            | Self::CountNonNull { .. } => 0,
        }
    }

    /// The largest change, in steps, that one person's `row_cap` rows make in one cell. At least 1, so
    /// that a sum of zeros is noised like any other. `None` when it overflows.
    pub fn sensitivity_steps(&self, row_cap: u32) -> Option<u64> {
        match self {
            Self::CountUnits | Self::CountUnitsWith { .. } => Some(1),
            Self::CountRows | Self::CountNonNull { .. } => Some(row_cap.into()),
            Self::SumClamped { bounds, .. } => {
                Some(bounds.magnitude_steps().checked_mul(row_cap.into())?.max(1))
            }
        }
    }
}
