//! Tests of what is kept of a module's outputs, on hostile ones.

use super::super::Caps;
use super::super::float_steps;
use super::super::tests::{caps, empty, sums_of};
use super::*;
use crate::one_of::Groups;
use cloister_terms::{LaneShape, Noise, OneOf, OutputShape, Ratio};
use datafusion::arrow::array::Float64Array;
use std::sync::Arc;

fn ints(values: &[Bounds]) -> OutputRanges {
    OutputRanges { numbers: ModuleNumbers::Int, values: values.to_vec() }
}

fn floats(values: &[Bounds]) -> OutputRanges {
    OutputRanges { numbers: ModuleNumbers::Float, values: values.to_vec() }
}

fn pair(index: u32, value: f64) -> Pair {
    Pair { index, value: value.to_bits().cast_signed() }
}

/// What one person adds, lane by lane.
fn added(caps: Arc<Caps>, outputs: &[Pair], ranges: &OutputRanges) -> Vec<i128> {
    let mut exact = empty(ranges.values.len());
    Bounder::new(caps).add_outputs(b"unit", outputs, ranges, Told::default(), &mut exact).unwrap();
    sums_of(exact)
}

#[test]
fn module_outputs_are_merged_clamped_and_capped() {
    let bounds = Bounds::from_steps(-5, 7, 0).unwrap();
    let add = |pairs: &[(u32, i64)], group_cap: usize| {
        let pairs: Vec<Pair> =
            pairs.iter().map(|(index, value)| Pair { index: *index, value: *value }).collect();
        let mut exact = empty(1);
        Bounder::new(caps(1, group_cap, &[7], 3))
            .add_outputs(b"unit", &pairs, &ints(&[bounds]), Told::default(), &mut exact)
            .unwrap();
        sums_of(exact)
    };
    let sums = add(
        &[(3, i64::MAX), (3, i64::MAX), (1, i64::MIN), (2, 4), (2, 2), (1_000, 1), (u32::MAX, 1)],
        9,
    );
    assert_eq!(sums[..4], [0, -5, 6, 7]);
    assert_eq!(sums.iter().sum::<i128>(), 8);
    // The same with each index once.
    let once = add(&[(3, i64::MAX), (1, i64::MIN), (2, 6), (1_000, 1), (u32::MAX, 1)], 9);
    assert_eq!(once, sums);
    let many: Vec<(u32, i64)> = (0..900).map(|index| (index, 1)).collect();
    assert_eq!(add(&many, 5).iter().sum::<i128>(), 5);
    let mut turned = many.clone();
    turned.reverse();
    assert_eq!(add(&many, 5), add(&turned, 5));
}

#[test]
fn few_outputs_of_a_module_add_what_they_add_when_they_are_put_in_order() {
    let bounds = Bounds::from_steps(-5, 7, 0).unwrap();
    // A place that no plan has, twice: nothing is added there, but the outputs are no longer distinct.
    let twice = [Pair { index: u32::MAX, value: 1 }; 2];
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    let values = [i64::MIN, -6, -5, 0, 1, 7, 8, i64::MAX];
    for turn in 0..2_000 {
        let (count, group_cap) = ((next() % 10) as usize, [1, 2, 8, 9][turn % 4]);
        let pairs: Vec<Pair> = (0..count)
            .map(|_| Pair { index: (next() % 14) as u32, value: values[(next() % 8) as usize] })
            .collect();
        let cut = Told::capped(turn % 3 == 0);
        let add = |pairs: &[Pair]| {
            let caps = Arc::into_inner(caps(1, group_cap, &[7], 3)).unwrap();
            let caps = Arc::new(caps.answering(Some((0..12).collect())));
            let mut exact = empty(1);
            Bounder::new(caps)
                .add_outputs(b"unit", pairs, &ints(&[bounds]), cut, &mut exact)
                .unwrap();
            sums_of(exact)
        };
        let in_order: Vec<Pair> = pairs.iter().chain(&twice).copied().collect();
        assert_eq!(add(&pairs), add(&in_order), "{pairs:?}, {group_cap}");
    }
}

#[test]
fn a20_cells_that_the_partner_does_not_answer_take_no_place_of_its_own() {
    let own = Arc::into_inner(caps(1, 2, &[7], 3)).unwrap().answering(Some(vec![7, 9, 11]));
    let pairs: Vec<Pair> = (0..12).map(|index| Pair { index, value: 1 }).collect();
    let bounds = Bounds::from_steps(0, 7, 0).unwrap();
    let mut exact = empty(1);
    Bounder::new(Arc::new(own))
        .add_outputs(b"unit", &pairs, &ints(&[bounds]), Told::default(), &mut exact)
        .unwrap();
    let sums = sums_of(exact);
    assert_eq!(sums.iter().sum::<i128>(), 2, "two of the three own cells are kept");
    assert_eq!(sums[7] + sums[9] + sums[11], 2);
}

#[test]
fn floats_of_a_module_are_rounded_as_those_of_a_column_and_what_is_no_number_is_nothing() {
    let bounds = Bounds::from_steps(-9, 1 << 40, 3).unwrap();
    let mut values =
        vec![0.0, -0.0, 0.0625, 0.1875, -0.0625, 1e-310, 3.3, -7.0, 1e300, -1e300, 1e12];
    values.extend((0..500).map(|n| f64::from(n) * 0.031_25));
    let want = float_steps(&Float64Array::from(values.clone()), bounds);
    for (value, want) in values.iter().zip(want) {
        // Once by the short way, once with another output in the same cell.
        for outputs in [vec![pair(5, *value)], vec![pair(5, *value), pair(5, 0.0)]] {
            let sums = added(caps(1, 4, &[1 << 40], 3), &outputs, &floats(&[bounds]));
            assert_eq!((sums[5], sums.iter().sum::<i128>()), (want.into(), want.into()), "{value}");
        }
    }
    for value in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let sums = added(caps(1, 4, &[1 << 40], 3), &[pair(5, value)], &floats(&[bounds]));
        assert!(sums.iter().all(|sum| *sum == 0), "{value}");
    }
}

#[test]
fn an_index_counts_cells_and_in_each_its_lanes_and_every_lane_has_its_own_range() {
    let ranges =
        ints(&[Bounds::from_steps(0, 5, 0).unwrap(), Bounds::from_steps(-100, 3, 2).unwrap()]);
    let outputs =
        [(0, 9), (1, -7), (4, 2), (5, 9), (5, -50), (1_999, 1), (2_000, 1), (u32::MAX, 1)];
    let outputs = outputs.map(|(index, value)| Pair { index, value });
    let sums = added(caps(1, 9, &[5, 100], 3), &outputs, &ranges);
    assert_eq!(sums[..6], [5, -7, 0, 0, 2, -41]);
    assert_eq!((sums[1_998], sums[1_999]), (0, 1));
    assert_eq!(sums.iter().sum::<i128>(), 5 - 7 + 2 - 41 + 1);
    // Two of the three cells: both lanes of each are kept, or none.
    let sums = added(caps(1, 2, &[5, 100], 3), &outputs, &ranges);
    let cells = [(5, -7), (2, -41), (0, 1)];
    let kept = cells
        .iter()
        .zip([0, 2, 999])
        .filter(|(_, cell)| (sums[2 * cell], sums[2 * cell + 1]) != (0, 0));
    let whole = kept
        .clone()
        .all(|((one, other), cell)| (sums[2 * cell], sums[2 * cell + 1]) == (*one, *other));
    assert!(whole && kept.count() == 2);
}

#[test]
fn a04_a_vector_of_a_module_never_passes_its_norm_whatever_it_holds() {
    let noise = Noise::DiscreteGaussian { sigma_sq: Ratio::new(1, 1).unwrap() };
    let one_of = Some(OneOf { group: 0, total_steps: 17, norm_steps: Some(10) });
    let lane = |n: usize| LaneShape {
        name: format!("g{n}"),
        grid_bits: 0,
        sensitivity_steps: 10,
        noise,
        one_of,
    };
    let shape = OutputShape {
        keys: vec![],
        lanes: (0..3).map(lane).collect(),
        columns: vec![],
        served: vec![],
        recipe: Default::default(),
        private_keys: None,
        diagnostics: vec![],
    };
    let caps = || {
        let caps = Arc::into_inner(caps(1, 9, &[10; 3], 3)).unwrap();
        Arc::new(Caps { groups: Groups::of(&shape), ..caps })
    };
    let ranges = floats(&[Bounds::from_steps(-(1 << 53), 1 << 53, 0).unwrap(); 3]);
    let (huge, nan) = (f64::MAX, f64::NAN);
    for (values, want) in [
        ([3.0, 4.0, 0.0], [3, 4, 0]),
        ([6.0, 8.0, 0.0], [6, 8, 0]),
        ([60.0, 80.0, 0.0], [6, 8, 0]),
        ([-60.0, 80.0, nan], [-6, 8, 0]),
        ([0.0, -huge, 0.0], [0, -10, 0]),
        ([huge, huge, huge], [5, 5, 5]),
        ([f64::INFINITY, 1.0, nan], [0, 1, 0]),
    ] {
        let outputs: Vec<Pair> =
            (0..).zip(values).map(|(lane, value)| pair(6 + lane, value)).collect();
        let sums = added(caps(), &outputs, &ranges);
        assert_eq!(sums[6..9], want, "{values:?}");
        assert_eq!(sums.iter().sum::<i128>(), want.iter().sum::<i128>());
        // Alone in its cell a lane is clipped as well: no short way around the norm.
        let sums = added(caps(), &[pair(6, huge)], &ranges);
        assert_eq!((sums[6], sums.iter().sum::<i128>()), (10, 10));
    }
}
