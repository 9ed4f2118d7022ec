//! Leaves of a histogram and the values of a public list, as conditions of which each row meets at most
//! one: that is what one charge for all of them rests on, so it must hold by construction.

use crate::aggregates::truth;
use crate::expr::{Branch, CompareOp, Expr, FloatBits, IntText, Literal};
use crate::ir::LaneExpr;
use crate::lanes::is_whole;
use crate::limits::QUANTILE_LEAVES_MAX;
use crate::typed::Typed;
use cloister_terms::limits::{BOUND_STEPS_MAX, GRID_BITS_MAX};
use cloister_terms::{Bounds, KeyValue, Quantile, Ratio};

/// Steps a leaf of a float should have at least, so that all leaves are as good as equally wide.
const LEAF_STEPS_MIN: i128 = 1_024;

/// The leaves of a number over its bounds: at most [`QUANTILE_LEAVES_MAX`], equally wide but for whole
/// steps. Leaf i is NULL on every row but those whose value is in it; the first has also what is below,
/// the last what is above. `None` when the bounds leave no room.
pub(crate) fn leaves(typed: &Typed, bounds: Bounds, q: Ratio) -> Option<(Quantile, Vec<Expr>)> {
    let whole = is_whole(typed.column_type) && bounds.grid_bits() == 0;
    let bounds = if whole { bounds } else { finer(bounds)? };
    let span = i128::from(bounds.max_steps()) - i128::from(bounds.min_steps()) + i128::from(whole);
    let leaves = span.min(QUANTILE_LEAVES_MAX.into());
    let leaves = u32::try_from(leaves).ok().filter(|leaves| *leaves > 0)?;
    let quantile = Quantile { first_lane: 0, leaves, q, bounds, whole };
    let unit = (1u64 << bounds.grid_bits()) as f64;
    let edge = |leaf: u32| -> Option<Expr> {
        let steps = quantile.edge_steps(leaf);
        Some(Expr::literal(match is_whole(typed.column_type) && unit == 1.0 {
            true => Literal::int(steps),
            false => Literal::Float(FloatBits::new(steps as f64 / unit)?),
        }))
    };
    // An int64 over bounds off the whole numbers is compared as the float it is rounded as.
    let value = if whole { typed.expr.clone() } else { typed.clone().float().ok()? };
    let compare = |op, right: Expr| {
        let (left, right) = (Box::new(value.clone()), Box::new(right));
        Expr::Compare { op, left, right }
    };
    let leaf = |leaf: u32| -> Option<Expr> {
        let from = (leaf > 0)
            .then(|| edge(leaf))
            .map(|edge| Some(compare(CompareOp::GreaterOrEqual, edge?)));
        let below = (leaf + 1 < leaves).then(|| edge(leaf + 1));
        let below = below.map(|edge| Some(compare(CompareOp::Less, edge?)));
        let condition = match (from, below) {
            (Some(from), Some(below)) => Expr::And { all: vec![from?, below?] },
            (Some(one), None) | (None, Some(one)) => one?,
            (None, None) => {
                Expr::Not { of: Box::new(Expr::IsNull { of: Box::new(value.clone()) }) }
            }
        };
        Some(when(condition))
    };
    let exprs = (0..leaves).map(leaf).collect::<Option<Vec<_>>>()?;
    Some((quantile, exprs))
}

/// For each value of a public list the people with a row that has it.
pub(crate) fn value_lanes(of: &Expr, domain: &[KeyValue]) -> Vec<LaneExpr> {
    let lane = |value: &KeyValue| {
        let (left, right) = (Box::new(of.clone()), Box::new(Expr::literal(constant(value))));
        let expr = when(Expr::Compare { op: CompareOp::Equal, left, right });
        LaneExpr::CountUnitsWith { expr }
    };
    domain.iter().map(lane).collect()
}

/// TRUE where a condition holds, else NULL.
fn when(condition: Expr) -> Expr {
    let branches = vec![Branch { when: condition, then: truth() }];
    Expr::Case { operand: None, branches, otherwise: None }
}

fn constant(value: &KeyValue) -> Literal {
    match value {
        KeyValue::Text(text) => Literal::Text(text.clone()),
        KeyValue::Int(int) => Literal::int(*int),
        KeyValue::Bool(value) => Literal::Bool(*value),
        KeyValue::Timestamp(micros) => Literal::Timestamp(IntText(*micros)),
    }
}

/// The same range on a grid fine enough for equal leaves, or as fine as it goes; one step wider where
/// it has no width.
fn finer(bounds: Bounds) -> Option<Bounds> {
    let (min, max) = (i128::from(bounds.min_steps()), i128::from(bounds.max_steps()));
    let max = if min == max { max + 1 } else { max };
    let wanted = LEAF_STEPS_MIN * i128::from(QUANTILE_LEAVES_MAX);
    let most = u32::from(GRID_BITS_MAX - bounds.grid_bits());
    let magnitude = min.abs().max(max.abs());
    let is_fine = |bits: &u32| (max - min) << bits >= wanted;
    let fits = |bits: &u32| magnitude << bits <= i128::from(BOUND_STEPS_MAX);
    let bits = (0..=most).take_while(fits).find(is_fine);
    let bits = bits.or_else(|| (0..=most).take_while(fits).last())?;
    let steps = |end: i128| i64::try_from(end << bits).ok();
    let grid_bits = bounds.grid_bits() + u8::try_from(bits).ok()?;
    Bounds::from_steps(steps(min)?, steps(max)?, grid_bits).ok()
}
