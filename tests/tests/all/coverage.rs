//! The 95 % intervals of SQL and of a flow matrix hold the exact bounded figure as often as they say,
//! with the node's own measurement and noise of every node: over generated data, and over the mobility
//! records of the developer data where it is at hand.

use cloister_tests::cohort::{Cohort, made_up, mobility};
use cloister_tests::coverage::{Coverage, INTERVALS_MIN, of};
use cloister_tests::ten::sample_folder;

/// People at each partner: few, so that small cells are among those looked at.
const PEOPLE: u32 = 300;
/// Intervals aimed at. One standard deviation of a share is then below 0.0018, so both bounds of
/// [`cloister_tests::coverage::SHARES`] are more than 6 deviations from any coverage within 0.942 to
/// 0.959: false alarm below 1e-8 over seeds. Noise halved or doubled unnoticed (shares of 0.999 and
/// 0.67) is caught with a power above 1 - 1e-6. Seeds are fixed, so a failure is a defect.
const INTERVALS: usize = 15_000;
const SEED: u64 = 20_260_921;

#[tokio::test(flavor = "multi_thread")]
async fn intervals_hold_the_exact_bounded_answer_as_often_as_they_say() {
    let folder = tempfile::tempdir().unwrap();
    as_promised(&made_up(PEOPLE, folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_hold_the_exact_bounded_answer_over_real_trips() {
    // The generated data above stands in for the developer data where it is not at hand.
    if let Some(folder) = sample_folder() {
        as_promised(&mobility(&folder)).await;
    }
}

async fn as_promised(cohort: &Cohort) {
    let covered = of(cohort, INTERVALS, SEED).await;
    assert_eq!(covered.len(), 2, "SQL and the flow matrix");
    for coverage in covered {
        assert!(coverage.intervals >= INTERVALS, "{coverage}");
        assert!(coverage.is_as_promised(), "{coverage}");
    }
}

#[test]
fn too_few_or_too_wide_intervals_do_not_pass() {
    let of = |intervals, held| Coverage { intervals, held, ..Coverage::default() };
    assert!(of(INTERVALS_MIN, INTERVALS_MIN * 95 / 100).is_as_promised());
    assert!(!of(INTERVALS_MIN - 1, (INTERVALS_MIN - 1) * 95 / 100).is_as_promised());
    assert!(!of(INTERVALS_MIN, INTERVALS_MIN).is_as_promised());
    assert!(!of(INTERVALS_MIN, INTERVALS_MIN * 92 / 100).is_as_promised());
    assert!(!of(0, 0).is_as_promised());
    // However many hold: more figures without an interval than the noise explains do not pass.
    let left_out = |unbounded, unbounded_expected| {
        let held = of(INTERVALS_MIN, INTERVALS_MIN * 95 / 100);
        Coverage { unbounded, unbounded_expected, ..held }.is_as_promised()
    };
    assert!(left_out(0, 0.0) && left_out(10, 0.0) && left_out(1_100, 1_000.0));
    assert!(!left_out(11, 0.0) && !left_out(1_300, 1_000.0));
}
