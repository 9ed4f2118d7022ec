//! Sums over the groups of the answer, as shares of a total need them: `SUM(COUNT(*)) OVER ()`. They add up
//! released figures, so they cost nothing; they must never be a window over people's rows.

use crate::aggregates::aggregate_name;
use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::figures::{Figure, has_aggregate};
use crate::functions::AggregateName;
use crate::lanes::Lanes;
use crate::lower::lower;
use crate::scope::Scope;
use crate::syntax::{AggregateCall, aggregate_call, place_of};
use crate::typed::Typed;
use cloister_terms::{FigureOp, Formula, Real};
use sqlparser::ast::{
    Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments, WindowSpec, WindowType,
};

/// A figure added up over all groups of the answer that have the same keys.
#[derive(Debug, Clone)]
pub(crate) struct AcrossGroups {
    /// What is added up.
    pub of: Box<Figure>,
    /// PARTITION BY.
    by: Vec<Typed>,
    /// Where it stands.
    pub place: Place,
}

/// The figure and the window of `SUM(figure) OVER window`; `None` where no aggregate has an aggregate in its
/// argument, which is not a sum over groups.
pub(crate) fn call(ast: &Ast) -> Result<Option<(Ast, &WindowSpec)>, PlanError> {
    let Ast::Function(function) = ast else { return Ok(None) };
    let Some(window) = &function.over else { return Ok(None) };
    let Some(name) = aggregate_name(function).filter(|_| is_of_aggregates(function)) else {
        return Ok(None);
    };
    let place = place_of(ast);
    let refused = |construct| Err(PlanError::refused(construct, place));
    let bare = Function { over: None, ..function.clone() };
    let AggregateCall { call, filter, within_group } = aggregate_call(&bare)?;
    let [FunctionArgExpr::Expr(summed)] = call.args.as_slice() else {
        return refused(Construct::Across);
    };
    let is_plain = name == AggregateName::Sum && !call.distinct && within_group.is_empty();
    if !is_plain || filter.is_some() {
        return refused(Construct::Across);
    }
    let WindowType::WindowSpec(spec) = window else { return refused(Construct::NamedWindow) };
    Ok(Some(((*summed).clone(), spec)))
}

impl AcrossGroups {
    /// Errors on windows with an order or a frame, and on sums of such sums.
    pub fn new(
        scope: &Scope<'_>,
        of: Figure,
        window: &WindowSpec,
        place: Place,
    ) -> Result<Self, PlanError> {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = window;
        if window_name.is_some() {
            return Err(PlanError::refused(Construct::NamedWindow, place));
        }
        if !order_by.is_empty() || window_frame.is_some() || of.across().is_some() {
            return Err(PlanError::refused(Construct::Across, place));
        }
        let by = partition_by.iter().map(|key| lower(scope, key));
        let by = by.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { of: Box::new(of), by, place })
    }

    /// Its heading where the analysis gives none.
    pub fn heading(&self, scope: &Scope<'_>) -> String {
        let by: Vec<String> = self.by.iter().map(|key| key.expr.to_string()).collect();
        let partition = if by.is_empty() { "" } else { "partition by " };
        format!("sum({}) over ({partition}{})", self.of.heading(scope), by.join(", "))
    }

    /// Its formula in an answer grouped by `group_by`. Errors on parts that are no keys of the answer, and on
    /// figures that are no sums.
    pub fn formula(
        &self,
        lanes: &mut Lanes,
        scope: &Scope<'_>,
        group_by: &[Typed],
    ) -> Result<Formula, PlanError> {
        let dimension = |key: &Typed| {
            let at = group_by.iter().position(|other| other.expr == key.expr);
            let at = at.and_then(|at| u32::try_from(at).ok());
            at.ok_or(PlanError::refused(Construct::AcrossKey, key.place))
        };
        let mut by = self.by.iter().map(dimension).collect::<Result<Vec<_>, _>>()?;
        by.sort_unstable();
        by.dedup();
        let of = self.of.formula(lanes, scope, group_by)?;
        summed(&of, &by).ok_or(PlanError::refused(Construct::Across, self.place))
    }
}

/// The sum over groups of a figure that is a weighted sum of lanes; `None` of any other. Recursion is bounded
/// by the depth of what was read.
fn summed(of: &Formula, by: &[u32]) -> Option<Formula> {
    Some(match of {
        Formula::Total { lane } => Formula::Across { lane: *lane, by: by.to_vec() },
        // Zero is zero however often; any other constant would be as many as there are groups.
        Formula::Constant { value } if *value == Real::ZERO => of.clone(),
        Formula::Arithmetic { op, left, right } => {
            let (left, right) = match (op, &**left, &**right) {
                (FigureOp::Add | FigureOp::Subtract, left, right) => {
                    (summed(left, by)?, summed(right, by)?)
                }
                (FigureOp::Multiply, factor @ Formula::Constant { .. }, right) => {
                    (factor.clone(), summed(right, by)?)
                }
                (
                    FigureOp::Multiply | FigureOp::Divide,
                    left,
                    factor @ Formula::Constant { .. },
                ) => (summed(left, by)?, factor.clone()),
                _ => return None,
            };
            Formula::arithmetic(*op, left, right)
        }
        _ => return None,
    })
}

fn is_of_aggregates(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    list.args.iter().any(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => has_aggregate(arg),
        _ => false,
    })
}
