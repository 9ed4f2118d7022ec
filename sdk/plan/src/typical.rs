//! What a cell is taken to hold where errors that depend on the data are told: so many rows, with values
//! spread evenly over their ranges. From the plan alone; it decides nothing.

use crate::ir::{Contribute, ContributionPlan, LaneExpr};
use cloister_report::{Expected, ReportError, TypicalCell, TypicalLane, expected_in};
use cloister_terms::{Bounds, Formula};
use std::collections::BTreeSet;

/// Rows that a cell is taken to hold where nobody says how many.
pub const TYPICAL_ROWS: f64 = 1_000.0;

/// What to expect of each column of a plan's answer in a cell of so many rows. Errors as
/// [`cloister_report::expected_plus_minus`].
pub(crate) fn expected(
    plan: &ContributionPlan,
    nodes: usize,
    rows: f64,
) -> Result<Vec<Expected>, ReportError> {
    expected_in(&plan.shape, nodes, TypicalCell { rows, lanes: &lanes(plan) })
}

/// The heading of the column that tells how many rows or people a cell held: the first that counts rows, else
/// the first that counts people or values.
pub fn count_column(plan: &ContributionPlan) -> Option<&str> {
    let Contribute::Sql(sql) = &plan.contribute else { return None };
    let counted = plan.shape.columns.iter().filter_map(|column| match column.formula {
        Formula::Total { lane } => Some((column.name.as_str(), sql.lanes.get(lane as usize)?)),
        _ => None,
    });
    let counted: Vec<_> =
        counted.filter(|(_, lane)| !matches!(lane, LaneExpr::SumClamped { .. })).collect();
    let rows = counted.iter().find(|(_, lane)| matches!(lane, LaneExpr::CountRows));
    rows.or(counted.first()).map(|(name, _)| *name)
}

/// What a row adds to each lane: a count one, a sum the middle of its range, a sum of squares what values
/// spread evenly around 0 come to.
fn lanes(plan: &ContributionPlan) -> Vec<TypicalLane> {
    let squares = squares(plan);
    match &plan.contribute {
        Contribute::Sql(sql) => {
            let lanes = (0u32..).zip(&sql.lanes);
            let typical = lanes.map(|(at, lane)| match lane {
                LaneExpr::SumClamped { bounds, .. } => summed(*bounds, squares.contains(&at)),
                LaneExpr::CountRows
                | LaneExpr::CountUnits
                | LaneExpr::CountUnitsWith { .. }
                | LaneExpr::CountNonNull { .. } => TypicalLane { value: 1.0, size: 1.0 },
            });
            typical.collect()
        }
        // As many people as rows.
        Contribute::Module(module) => {
            module.values.iter().map(|bounds| summed(*bounds, false)).collect()
        }
    }
}

fn summed(bounds: Bounds, is_square: bool) -> TypicalLane {
    let (low, high) = (bounds.min(), bounds.max());
    let value = if is_square { high / 3.0 } else { low + (high - low) / 2.0 };
    let step = 2f64.powi(-i32::from(bounds.grid_bits()));
    TypicalLane { value, size: low.abs().max(high.abs()).max(step) }
}

/// The lanes that sum squares.
fn squares(plan: &ContributionPlan) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&Formula> =
        plan.shape.columns.iter().map(|column| &column.formula).collect();
    while let Some(formula) = waiting.pop() {
        match formula {
            Formula::Variance { squares, .. } => {
                found.insert(*squares);
            }
            Formula::Pair { lanes, .. } => found.extend([lanes.x_squares, lanes.y_squares]),
            other => waiting.extend(other.parts()),
        }
    }
    found
}
