//! The lanes of a question: counts and clamped sums that add up over people, each paid for once however
//! many figures read it. Each lane remembers how much its noise matters, so that the budget is split by
//! the expected error of the figures and not by their number.

use crate::aggregates::Aggregate;
use crate::centred::Centred;
use crate::error::{Place, PlanError, excerpt};
use crate::expr::{ArithmeticOp, Branch, Expr};
use crate::ir::LaneExpr;
use crate::keys;
use crate::leaves::{leaves, value_lanes};
use crate::limits::{EXPRESSION_JSON_LEVELS_MAX, LANE_PARTS_MAX};
use crate::range::Range;
use crate::scope::Scope;
use crate::sql::Unlisted;
use crate::typed::Typed;
use cloister_terms::limits::LANES_MAX;
use cloister_terms::{
    Bounds, ColumnType, FigureOp, Formula, OneOf, PairLanes, PairStatistic, Quantile, Ratio, Real,
    Spread,
};

/// The weight of a lane that is a figure by itself, in twelfths of its squared sensitivity.
///
/// Weights say what a lane's noise adds to the squared error of a figure, relative to what one person can
/// change it by: a figure of one lane weighs 12. For composites they follow from the first-order error
/// with figures anywhere in their ranges, evenly (a mean square of a third of the squared half range):
/// - average: sum 12, count 4;
/// - variance: squares 12, sum 4, count 1 (the middle of the range is where both matter least);
/// - pairs: products 12, each sum and each sum of squares 4, count 1.
pub(crate) const FIGURE_WEIGHT: u32 = 12;
const SUM_WEIGHT: u32 = 4;
const COUNT_WEIGHT: u32 = 1;

/// A lane of a question.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub expr: LaneExpr,
    /// The group of lanes that share one person's rows.
    pub one_of: Option<OneOf>,
    /// How much its noise matters, in twelfths; a group's is its first lane's.
    pub weight: u32,
    /// Where the value stands that first needed it.
    pub place: Place,
}

/// The lanes of a query, distinct, in the order they were first needed.
pub(crate) struct Lanes {
    row_cap: u32,
    lanes: Vec<Lane>,
    groups: u32,
    parts: usize,
    /// Where the value stands that lanes are made for.
    place: Place,
    /// Expressions whose plain sums the query asks for: their averages share that sum.
    summed: Vec<Expr>,
    /// Histograms so far, by what they count.
    histograms: Vec<(Expr, Quantile)>,
    /// Groups of people by value so far.
    distinct: Vec<(Expr, u32, u32)>,
}

impl Lanes {
    /// No lanes yet; `row_cap` rows of one person are used at most.
    pub fn new(row_cap: u32) -> Self {
        let (lanes, summed, histograms, distinct) = Default::default();
        let (groups, parts, place) = (0, 0, Place::default());
        Self { row_cap, lanes, groups, parts, place, summed, histograms, distinct }
    }

    /// Says that the query asks for an aggregate somewhere, before any formula is made.
    pub fn expect(&mut self, aggregate: &Aggregate) {
        if let Aggregate::Sum(typed) = aggregate {
            self.summed.push(typed.expr.clone());
        }
    }

    /// The lanes.
    pub fn into_lanes(self) -> Vec<Lane> {
        self.lanes
    }

    /// The lane that counts each person of a cell once, made if need be.
    pub fn persons(&mut self) -> Result<u32, PlanError> {
        self.place = Place::default();
        let lane = self.index(LaneExpr::CountUnits)?;
        self.weigh(lane, FIGURE_WEIGHT);
        Ok(lane)
    }

    /// The formula of an aggregate, adding what lanes it lacks. Errors on sums without bounds, and on
    /// values without a public list.
    pub fn formula(
        &mut self,
        aggregate: &Aggregate,
        scope: &Scope<'_>,
    ) -> Result<Formula, PlanError> {
        self.place = aggregate.place().unwrap_or_default();
        let lane = match aggregate {
            Aggregate::Rows => self.index(LaneExpr::CountRows)?,
            Aggregate::Units => self.index(LaneExpr::CountUnits)?,
            Aggregate::UnitsWith(expr) => {
                self.index(LaneExpr::CountUnitsWith { expr: expr.clone() })?
            }
            Aggregate::NonNull(expr) => self.count(expr, scope)?,
            Aggregate::Sum(typed) => self.sum(typed, scope)?,
            Aggregate::Avg(typed) => return self.average(typed, scope),
            Aggregate::Spread(spread, typed) => return self.variance(*spread, typed, scope),
            Aggregate::Pair { statistic, y, x } => return self.pair(*statistic, y, x, scope),
            Aggregate::Quantile(typed, q) => return self.quantile(typed, *q, scope),
            Aggregate::Distinct(typed) => return self.values(typed, scope),
        };
        self.weigh(lane, FIGURE_WEIGHT);
        Ok(Formula::Total { lane })
    }

    fn average(&mut self, typed: &Typed, scope: &Scope<'_>) -> Result<Formula, PlanError> {
        let centred = self.centred(typed, scope, false)?.filter(Centred::is_closer);
        let centred = centred.filter(|_| !self.summed.contains(&typed.expr));
        let Some(centred) = centred else {
            let (numerator, denominator) =
                (self.sum(typed, scope)?, self.count(&typed.expr, scope)?);
            self.weigh(numerator, FIGURE_WEIGHT);
            self.weigh(denominator, SUM_WEIGHT);
            return Ok(Formula::Ratio { numerator, denominator });
        };
        let too_wide = || too_wide(typed);
        let value = centred.mid().ok_or_else(too_wide)?;
        let numerator = self.deviations(&centred, centred.deviation(), typed)?;
        let denominator = self.count(&typed.expr, scope)?;
        self.weigh(numerator, FIGURE_WEIGHT);
        self.weigh(denominator, SUM_WEIGHT);
        let mean = Formula::Ratio { numerator, denominator };
        Ok(Formula::arithmetic(FigureOp::Add, Formula::Constant { value }, mean))
    }

    fn variance(
        &mut self,
        spread: Spread,
        typed: &Typed,
        scope: &Scope<'_>,
    ) -> Result<Formula, PlanError> {
        let centred = self.centred(typed, scope, true)?.ok_or_else(|| too_wide(typed))?;
        let count = self.count(&typed.expr, scope)?;
        let sum = self.deviations(&centred, centred.deviation(), typed)?;
        let squares = self.squares(&centred, centred.clamped(), typed)?;
        for (lane, weight) in [(squares, FIGURE_WEIGHT), (sum, SUM_WEIGHT), (count, COUNT_WEIGHT)] {
            self.weigh(lane, weight);
        }
        let scale_bits = centred.scale_bits;
        Ok(Formula::Variance { count, sum, squares, scale_bits, spread })
    }

    /// Lanes over the rows where neither is NULL.
    fn pair(
        &mut self,
        statistic: PairStatistic,
        y: &Typed,
        x: &Typed,
        scope: &Scope<'_>,
    ) -> Result<Formula, PlanError> {
        let centred_x = self.centred(x, scope, true)?.ok_or_else(|| too_wide(x))?;
        let centred_y = self.centred(y, scope, true)?.ok_or_else(|| too_wide(y))?;
        let wide = || too_wide(x);
        let (u, v) = (centred_x.clamped().ok_or_else(wide)?, centred_y.clamped().ok_or_else(wide)?);
        let product = product(u.clone(), v.clone());
        let bounds = centred_x.product_bounds(&centred_y).ok_or_else(wide)?;
        let both = [&x.expr, &y.expr].into_iter().all(|expr| never_null(expr, scope));
        let counted = if both {
            LaneExpr::CountRows
        } else {
            LaneExpr::CountNonNull { expr: product.clone() }
        };
        let count = self.index(counted)?;
        let where_known = |value: Expr, other: &Typed| {
            if never_null(&other.expr, scope) { value } else { known(value, &other.expr) }
        };
        let deviation_x = centred_x.deviation().map(|expr| where_known(expr, y));
        let deviation_y = centred_y.deviation().map(|expr| where_known(expr, x));
        let x_sum = self.deviations(&centred_x, deviation_x, x)?;
        let y_sum = self.deviations(&centred_y, deviation_y, y)?;
        let products = self.index(LaneExpr::SumClamped { expr: product, bounds })?;
        let mut lanes = PairLanes {
            count,
            x: x_sum,
            y: y_sum,
            products,
            x_squares: count,
            y_squares: count,
            x_mid: centred_x.mid().ok_or_else(wide)?,
            y_mid: centred_y.mid().ok_or_else(wide)?,
            x_scale_bits: centred_x.scale_bits,
            y_scale_bits: centred_y.scale_bits,
        };
        use PairStatistic::{Correlation, Intercept, Slope};
        if matches!(statistic, Correlation | Slope | Intercept) {
            lanes.x_squares = self.squares(&centred_x, Some(where_known(u, y)), x)?;
            self.weigh(lanes.x_squares, SUM_WEIGHT);
        }
        if statistic == Correlation {
            lanes.y_squares = self.squares(&centred_y, Some(where_known(v, x)), y)?;
            self.weigh(lanes.y_squares, SUM_WEIGHT);
        }
        self.weigh(products, FIGURE_WEIGHT);
        self.weigh(x_sum, SUM_WEIGHT);
        self.weigh(y_sum, SUM_WEIGHT);
        self.weigh(count, COUNT_WEIGHT);
        Ok(Formula::Pair { statistic, lanes })
    }

    fn quantile(
        &mut self,
        typed: &Typed,
        q: Ratio,
        scope: &Scope<'_>,
    ) -> Result<Formula, PlanError> {
        let known = self.histograms.iter().find(|(expr, _)| *expr == typed.expr);
        let quantile = match known {
            Some((_, quantile)) => *quantile,
            None => {
                let bounds = self.range(typed, scope)?.bounds(1).ok_or_else(|| too_wide(typed))?;
                let (mut quantile, exprs) =
                    leaves(typed, bounds, q).ok_or_else(|| too_wide(typed))?;
                let counted = exprs.into_iter().map(|expr| LaneExpr::CountNonNull { expr });
                let rows = u64::from(self.row_cap);
                quantile.first_lane = self.group(counted.collect(), rows)?;
                self.histograms.push((typed.expr.clone(), quantile));
                quantile
            }
        };
        self.weigh(quantile.first_lane, FIGURE_WEIGHT);
        Ok(Formula::Quantile(Quantile { q, ..quantile }))
    }

    fn values(&mut self, typed: &Typed, scope: &Scope<'_>) -> Result<Formula, PlanError> {
        let known = self.distinct.iter().find(|(expr, ..)| *expr == typed.expr);
        let (first_lane, values) = match known {
            Some((_, first_lane, values)) => (*first_lane, *values),
            None => {
                let domain = keys::key(typed, scope, Unlisted::Never)?.domain;
                let values = u32::try_from(domain.len()).unwrap_or(u32::MAX);
                self.room(domain.len())?;
                // One person is in as many values as she has rows, at most.
                let total = u64::from(self.row_cap.min(values));
                let first_lane = self.group(value_lanes(&typed.expr, &domain), total)?;
                self.distinct.push((typed.expr.clone(), first_lane, values));
                (first_lane, values)
            }
        };
        self.weigh(first_lane, FIGURE_WEIGHT);
        Ok(Formula::Distinct { first_lane, values })
    }

    fn count(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<u32, PlanError> {
        if never_null(expr, scope) {
            return self.index(LaneExpr::CountRows);
        }
        self.index(LaneExpr::CountNonNull { expr: expr.clone() })
    }

    fn range(&self, typed: &Typed, scope: &Scope<'_>) -> Result<Range, PlanError> {
        if let Some(range) = Range::of(&typed.expr, scope) {
            return Ok(range);
        }
        let place = typed.place;
        // A public list bounds what nothing else does. No other range may rest on one, or questions that
        // were asked before would become others.
        let listing = scope.listing(&typed.expr).map_err(|used_up| used_up.at(place))?;
        let expression = excerpt(&kept(&typed.expr).to_string());
        Range::of(&typed.expr, &listing).ok_or(PlanError::Unbounded { expression, place })
    }

    fn sum(&mut self, typed: &Typed, scope: &Scope<'_>) -> Result<u32, PlanError> {
        let bounds = self.range(typed, scope)?.bounds(self.row_cap);
        let bounds = bounds.ok_or_else(|| too_wide(typed))?;
        self.index(LaneExpr::SumClamped { expr: typed.expr.clone(), bounds })
    }

    /// Deviations of a value; `None` where none fits. Errors on values without bounds.
    fn centred(
        &self,
        typed: &Typed,
        scope: &Scope<'_>,
        squared: bool,
    ) -> Result<Option<Centred>, PlanError> {
        let range = self.range(typed, scope)?;
        // Squares are scaled to fit, so that the range need not.
        let bounds = range.bounds(if squared { 1 } else { self.row_cap });
        let Some(bounds) = bounds else { return Err(too_wide(typed)) };
        let of = typed.clone().float()?;
        Ok(Centred::new(of, bounds, self.row_cap, squared))
    }

    fn deviations(
        &mut self,
        centred: &Centred,
        deviation: Option<Expr>,
        typed: &Typed,
    ) -> Result<u32, PlanError> {
        self.summed(deviation, centred.bounds(), typed)
    }

    fn squares(
        &mut self,
        centred: &Centred,
        deviation: Option<Expr>,
        typed: &Typed,
    ) -> Result<u32, PlanError> {
        let square = deviation.map(|deviation| product(deviation.clone(), deviation));
        self.summed(square, centred.square_bounds(), typed)
    }

    fn summed(
        &mut self,
        expr: Option<Expr>,
        bounds: Option<Bounds>,
        typed: &Typed,
    ) -> Result<u32, PlanError> {
        let (Some(expr), Some(bounds)) = (expr, bounds) else { return Err(too_wide(typed)) };
        self.index(LaneExpr::SumClamped { expr, bounds })
    }

    /// The place of a lane that is in no group, made if need be.
    fn index(&mut self, expr: LaneExpr) -> Result<u32, PlanError> {
        let found = self.lanes.iter().position(|l| l.one_of.is_none() && l.expr == expr);
        if let Some(index) = found {
            return u32::try_from(index).map_err(|_| too_many(self.place));
        }
        self.push(expr, None)
    }

    /// Lanes of a new group, side by side; the place of the first. `total`: the largest sum of changes
    /// that one person makes in all of them in one cell.
    fn group(&mut self, exprs: Vec<LaneExpr>, total: u64) -> Result<u32, PlanError> {
        let one_of = OneOf { group: self.groups, total_steps: total, norm_steps: None };
        self.groups += 1;
        let mut first = None;
        for expr in exprs {
            let index = self.push(expr, Some(one_of))?;
            first = first.or(Some(index));
        }
        first.ok_or_else(|| too_many(self.place))
    }

    fn push(&mut self, expr: LaneExpr, one_of: Option<OneOf>) -> Result<u32, PlanError> {
        self.room(1)?;
        if let Some(inner) = expr.expr() {
            let left = LANE_PARTS_MAX.saturating_sub(self.parts);
            self.parts += checked_parts(inner, left, self.place)?;
        }
        let index = u32::try_from(self.lanes.len()).map_err(|_| too_many(self.place))?;
        self.lanes.push(Lane { expr, one_of, weight: 0, place: self.place });
        Ok(index)
    }

    fn room(&self, more: usize) -> Result<(), PlanError> {
        if self.lanes.len().saturating_add(more) > LANES_MAX {
            return Err(too_many(self.place));
        }
        Ok(())
    }

    fn weigh(&mut self, lane: u32, weight: u32) {
        if let Some(lane) = self.lanes.get_mut(lane as usize) {
            lane.weight = lane.weight.saturating_add(weight);
        }
    }
}

fn too_many(place: Place) -> PlanError {
    let what = "different counts, sums, leaves and values";
    PlanError::TooMany { what, max: LANES_MAX, place }
}

fn too_wide(typed: &Typed) -> PlanError {
    let expression = excerpt(&kept(&typed.expr).to_string());
    PlanError::BoundsTooWide { expression, place: typed.place }
}

/// The value that a filter keeps, which is what people wrote: `FILTER (WHERE ...)` becomes a CASE around it.
fn kept(mut expr: &Expr) -> &Expr {
    while let Expr::Case { operand: None, branches, otherwise: None } = expr
        && let [Branch { then, .. }] = branches.as_slice()
    {
        expr = then;
    }
    expr
}

/// Whether an expression is NULL on no row of the scope.
fn never_null(expr: &Expr, scope: &Scope<'_>) -> bool {
    scope.never_null(expr)
}

fn product(left: Expr, right: Expr) -> Expr {
    let (left, right) = (Box::new(left), Box::new(right));
    Expr::Arithmetic { op: ArithmeticOp::Multiply, left, right }
}

/// The value where another is not NULL, else NULL.
fn known(value: Expr, other: &Expr) -> Expr {
    let is_null = Box::new(Expr::IsNull { of: Box::new(other.clone()) });
    let branches = vec![Branch { when: Expr::Not { of: is_null }, then: value }];
    Expr::Case { operand: None, branches, otherwise: None }
}

/// Counts an expression's parts. Errors beyond `left` of them, and on nesting that a plan's readers
/// would not follow.
fn checked_parts(expr: &Expr, left: usize, place: Place) -> Result<usize, PlanError> {
    let (mut waiting, mut parts) = (vec![(expr, 0usize)], 0usize);
    while let Some((expr, above)) = waiting.pop() {
        parts += 1;
        if parts > left {
            let what = "parts in all counts and sums together";
            return Err(PlanError::TooMany { what, max: LANE_PARTS_MAX, place });
        }
        let (own, to_parts) = json_levels(expr);
        if above + own > EXPRESSION_JSON_LEVELS_MAX {
            return Err(PlanError::TooDeep { place });
        }
        waiting.extend(expr.parts().into_iter().map(|part| (part, above + to_parts)));
    }
    Ok(parts)
}

/// Levels of JSON that an expression's own fields take, and those above its parts, at most.
fn json_levels(expr: &Expr) -> (usize, usize) {
    match expr {
        Expr::Case { .. } => (4, 4),
        Expr::InList { .. } => (4, 2),
        Expr::Clamp { .. } => (3, 2),
        Expr::Literal { .. } => (3, 3),
        Expr::Column { .. }
        | Expr::Null { .. }
        | Expr::ToFloat { .. }
        | Expr::Compare { .. }
        | Expr::Not { .. }
        | Expr::IsNull { .. }
        | Expr::Between { .. }
        | Expr::NullIf { .. }
        | Expr::Negate { .. }
        | Expr::Arithmetic { .. } => (2, 2),
        _ => (3, 3),
    }
}

/// Whether a column type has leaves of whole values.
pub(crate) fn is_whole(column_type: ColumnType) -> bool {
    column_type == ColumnType::Int64
}

/// A constant of a formula. Errors on numbers that no formula holds.
pub(crate) fn real(value: f64, place: Place) -> Result<Real, PlanError> {
    Real::new(value).map_err(|_| PlanError::Number { text: excerpt(&value.to_string()), place })
}
