//! One defence left out, on purpose and by name, so that a test can show that the suite misses it. Only
//! in test builds: shipped binaries are built without the feature `for-tests` and have no such switch.

use cloister_plan::{Contribute, ContributionPlan, LaneExpr};
use cloister_terms::{Bounds, Noise, Ratio};

/// Steps of a sum to one step of the coarser lattice of [`Mutant::GridOff`].
pub const COARSE_STEPS: i128 = 256;
/// How far [`Mutant::ThresholdLowered`] lowers a threshold, in people.
pub const LOWER_BY: i128 = 5;
/// Widest range that a grid holds, in steps.
const WIDEST_STEPS: i64 = 1 << 53;

/// A defence that is left out (row A25). A charge or a ledger of a test lacks at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Noise of half the width that was charged.
    SigmaHalved,
    /// No cap on rows and groups.
    CapOff,
    /// Private keys shown from [`LOWER_BY`] people below the threshold on.
    ThresholdLowered,
    /// No clamping, of values or of a person's sums.
    ClampOff,
    /// A module's vector of any length.
    NormOff,
    /// Noise on a lattice [`COARSE_STEPS`] times coarser than that of the sums, whose low digits then
    /// pass through: what unrounded values would do.
    GridOff,
    /// One person's rows in the order of the files.
    CanonicalOrderOff,
    /// The lifetime account gets back what a withheld charge cost.
    RefundOnFailure,
    /// The lifetime account is that of the dataset, not of the unit namespace.
    AccountPerDataset,
}

/// The plan that the stages up to the sums work by.
pub(crate) fn bounded(mut plan: ContributionPlan, mutant: Option<Mutant>) -> ContributionPlan {
    match mutant {
        Some(Mutant::CapOff) => {
            plan.tables.iter_mut().for_each(|table| table.table_row_cap = u32::MAX);
            (plan.row_cap, plan.group_cap) = (u32::MAX, u32::MAX);
            widen(&mut plan);
        }
        Some(Mutant::ClampOff) => {
            if let Contribute::Sql(sql) = &mut plan.contribute {
                sql.lanes.iter_mut().for_each(unclamp);
            }
            widen(&mut plan);
        }
        Some(Mutant::NormOff) => {
            plan.shape.lanes.iter_mut().for_each(|lane| lane.one_of = None);
            widen(&mut plan);
        }
        _ => {}
    }
    plan
}

fn widen(plan: &mut ContributionPlan) {
    plan.shape.lanes.iter_mut().for_each(|lane| lane.sensitivity_steps = i64::MAX as u64);
}

fn unclamp(lane: &mut LaneExpr) {
    if let LaneExpr::SumClamped { bounds, .. } = lane {
        let widest = Bounds::from_steps(-WIDEST_STEPS, WIDEST_STEPS, bounds.grid_bits());
        *bounds = widest.unwrap_or(*bounds);
    }
}

/// The laws that noise is drawn from.
pub(crate) fn drawn(mut laws: Vec<Noise>, mutant: Option<Mutant>) -> Vec<Noise> {
    if mutant == Some(Mutant::SigmaHalved) {
        laws.iter_mut().for_each(halve);
    }
    laws
}

fn halve(noise: &mut Noise) {
    let by = |ratio: &mut Ratio, parts: u128| {
        let halved = ratio.denominator().checked_mul(parts);
        let halved = halved.and_then(|parts| Ratio::new(ratio.numerator(), parts).ok());
        *ratio = halved.unwrap_or(*ratio);
    };
    match noise {
        Noise::DiscreteLaplace { scale } => by(scale, 2),
        Noise::DiscreteGaussian { sigma_sq } => by(sigma_sq, 4),
    }
}

/// The noise that is added.
pub(crate) fn added(mut draws: Vec<i128>, mutant: Option<Mutant>) -> Vec<i128> {
    if mutant == Some(Mutant::GridOff) {
        draws.iter_mut().for_each(|draw| *draw = draw.saturating_mul(COARSE_STEPS));
    }
    draws
}

/// The count of people from which a private key is shown.
pub(crate) fn threshold(threshold: i128, mutant: Option<Mutant>) -> i128 {
    match mutant {
        Some(Mutant::ThresholdLowered) => threshold.saturating_sub(LOWER_BY),
        _ => threshold,
    }
}
