//! Tests of the caps, the rounding and the clamping, on hostile values.

use super::*;
use crate::row_bytes::TypedColumn;
use cloister_terms::limits::BOUND_STEPS_MAX;
use cloister_terms::{Bounds, LaneShape, Noise, OutputShape, Ratio};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array};

pub(super) fn caps(row_cap: usize, group_cap: usize, limits: &[i64], secret: u8) -> Arc<Caps> {
    Arc::new(Caps {
        table_row_caps: vec![row_cap],
        row_cap,
        group_cap,
        cells: 1_000,
        own: None,
        sensitivity_steps: limits.to_vec(),
        groups: Groups::default(),
        secret: Arc::new(PrfKey::from_bytes([secret; 16])),
    })
}

/// An empty result of 1,000 cells, through a shape of that size.
pub(super) fn empty(lanes: usize) -> Exact {
    Exact::zero(&shape(1_000, lanes)).unwrap()
}

fn shape(cells: i64, lanes: usize) -> OutputShape {
    let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
    let lane =
        LaneShape { name: "n".into(), grid_bits: 0, sensitivity_steps: 1, noise, one_of: None };
    let values = (0..cells).map(cloister_terms::KeyValue::Int).collect();
    let keys = vec![cloister_terms::KeyDimension { name: "k".into(), values }];
    OutputShape {
        keys,
        lanes: vec![lane; lanes],
        columns: vec![],
        served: vec![],
        recipe: Default::default(),
        private_keys: None,
        diagnostics: vec![],
    }
}

pub(super) fn sums_of(exact: Exact) -> Vec<i128> {
    match exact.into_sums().0 {
        crate::aggregate::Sums::Public { sums, .. } => sums,
        crate::aggregate::Sums::Private(_) => panic!("public cells"),
    }
}

/// Rows of persons with these units, each row's bytes being its text.
fn rows(units: &[i64], texts: &[&str]) -> RowBytes {
    let typed = |array: ArrayRef| TypedColumn::new(&array, 0).unwrap();
    let units = typed(Arc::new(Int64Array::from(units.to_vec())));
    let texts = typed(Arc::new(datafusion::arrow::array::StringArray::from(texts.to_vec())));
    RowBytes::new(units, vec![texts])
}

fn kept(unit: i64, texts: &[&str], cap: usize, secret: u8) -> Vec<String> {
    let bytes = rows(&vec![unit; texts.len()], texts);
    let mut kept: Vec<usize> = (0..texts.len()).collect();
    Bounder::new(caps(cap, 1, &[1], secret)).cap_rows(&mut kept, &bytes);
    let mut kept: Vec<String> = kept.iter().map(|row| texts[*row].to_owned()).collect();
    kept.sort();
    kept
}

#[test]
fn a04_no_value_leaves_its_bounds() {
    let bounds = Bounds::from_steps(-BOUND_STEPS_MAX, BOUND_STEPS_MAX, 30).unwrap();
    let floats = Float64Array::from(vec![
        Some(1e308),
        Some(-1e308),
        Some(f64::MAX),
        Some(5e-324),
        Some(f64::NAN),
        Some(f64::INFINITY),
        None,
        Some(-0.0),
    ]);
    let max = BOUND_STEPS_MAX;
    assert_eq!(float_steps(&floats, bounds), [max, -max, max, 0, 0, max, 0, 0]);
    let ints = Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(1)]);
    assert_eq!(int_steps(&ints, bounds), [-max, max, 0, 1 << 30]);
    let tight = Bounds::parse("-1", "2.5", 1).unwrap();
    assert_eq!(int_steps(&ints, tight), [-2, 5, 0, 2]);
}

#[test]
fn a_value_is_marked_where_it_is_clamped_and_nowhere_else() {
    let bounds = Bounds::from_steps(-3, 5, 2).unwrap();
    let values =
        [0.0, -0.75, 1.25, 1.2501, -0.7501, 1e308, f64::MIN, f64::INFINITY, f64::NAN, -0.0];
    let floats: Float64Array = values.iter().copied().map(Some).chain([None]).collect();
    let mut clipped = vec![false; 11];
    mark_floats(&floats, bounds, &mut clipped);
    let wide = Bounds::from_steps(-BOUND_STEPS_MAX, BOUND_STEPS_MAX, 2).unwrap();
    let expected: Vec<bool> =
        values.iter().map(|value| *value < -0.75 || *value > 1.25).chain([false]).collect();
    assert_eq!(clipped, expected);
    // Whoever is clamped onto another step is marked.
    let pairs = float_steps(&floats, bounds).into_iter().zip(float_steps(&floats, wide));
    for ((near, far), clipped) in pairs.zip(&clipped) {
        assert!(near == far || *clipped);
    }
    let ints = Int64Array::from(vec![Some(1), Some(2), Some(i64::MAX), Some(i64::MIN), None]);
    let mut clipped = vec![false; 5];
    mark_ints(&ints, bounds, &mut clipped);
    assert_eq!(clipped, [false, true, true, true, false]);
    mark_ints(&ints, bounds, &mut []);
    mark_floats(&floats, bounds, &mut clipped[..2]);
}

#[test]
fn rounding_is_to_even_and_before_or_after_the_clamp_alike() {
    let halves = Bounds::parse("-2", "2", 0).unwrap();
    let floats = Float64Array::from(vec![0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 1.999]);
    assert_eq!(float_steps(&floats, halves), [0, 2, 2, 0, -2, 2, 2]);
    let steps = |value: f64| {
        let rounded = (value * 4.0).round_ties_even().clamp(-3.0, 5.0) as i64;
        (
            float_steps(&Float64Array::from(vec![value]), Bounds::from_steps(-3, 5, 2).unwrap()),
            vec![rounded],
        )
    };
    for step in -4_000..4_000 {
        let (clamped_first, rounded_first) = steps(f64::from(step) / 997.0);
        assert_eq!(clamped_first, rounded_first);
    }
}

#[test]
fn a_person_touches_at_most_the_group_cap_and_the_same_cells_each_time() {
    let row_count = 1_000;
    let texts: Vec<String> = (0..row_count).map(|row| row.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let values = RowValues {
        keys: None,
        cells: (0..row_count as u32).collect(),
        lanes: vec![LaneValues::EveryRow, LaneValues::OncePerPerson],
        clipped: vec![],
    };
    let cells_of = |unit: i64, secret: u8| {
        let mut exact = empty(2);
        let bytes = rows(&vec![unit; row_count], &texts);
        Bounder::new(caps(row_count, 5, &[1, 1], secret))
            .add_rows(&bytes, 0..row_count, &values, Told::default(), &mut exact)
            .unwrap();
        let sums = sums_of(exact);
        assert_eq!(sums.iter().sum::<i128>(), 10);
        sums.iter()
            .enumerate()
            .filter(|(_, sum)| **sum != 0)
            .map(|(place, _)| place / 2)
            .collect::<Vec<_>>()
    };
    assert_eq!(cells_of(1, 1), cells_of(1, 1));
    assert_ne!(cells_of(1, 1), cells_of(2, 1), "two persons' cells are independent");
    assert_ne!(cells_of(1, 1), cells_of(1, 2), "and depend on the secret");
}

#[test]
fn a20_which_rows_survive_is_fair_and_independent_of_their_order() {
    let texts = ["a", "b", "c", "d", "d", "d", "e", "f"];
    let mut turned = texts;
    for turn in 0..texts.len() {
        turned.rotate_left(1);
        assert_eq!(kept(7, &texts, 3, 1), kept(7, &turned, 3, 1), "turn {turn}");
    }
    // Over many secrets every row is kept about 3 times in 8; 400 trials, six sigma of slack.
    let mut seen = std::collections::BTreeMap::new();
    for secret in 0..=255u8 {
        for unit in 0..2 {
            for text in kept(unit, &texts, 3, secret) {
                *seen.entry(text).or_insert(0) += 1;
            }
        }
    }
    let expected = 512.0 * 3.0 / 8.0;
    for (text, count) in seen {
        let copies = if text == "d" { 3.0 } else { 1.0 };
        let far = (f64::from(count) - copies * expected).abs();
        assert!(far < copies * 70.0, "{text} was kept {count} times");
    }
}

#[test]
fn rows_of_no_cell_are_dropped_before_the_row_cap_counts_them() {
    let texts: Vec<String> = (0..100).map(|row| row.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let cells = (0..100).map(|row| if row < 97 { NO_CELL } else { 0 }).collect();
    let values =
        RowValues { keys: None, cells, lanes: vec![LaneValues::EveryRow], clipped: vec![] };
    let mut caps = caps(100, 1, &[3], 1);
    Arc::get_mut(&mut caps).unwrap().row_cap = 3;
    let mut exact = empty(1);
    Bounder::new(caps)
        .add_rows(&rows(&[1; 100], &texts), 0..100, &values, Told::default(), &mut exact)
        .unwrap();
    assert_eq!(sums_of(exact)[0], 3);
}

#[test]
fn a_sum_never_passes_the_declared_sensitivity() {
    let steps = vec![BOUND_STEPS_MAX; 4];
    let values = RowValues {
        keys: None,
        cells: vec![0; 4],
        lanes: vec![LaneValues::Steps(steps), LaneValues::EveryRow],
        clipped: vec![],
    };
    let mut exact = empty(2);
    // A sensitivity below what the caps allow cannot come from a plan; it must hold all the same.
    let caps = caps(4, 1, &[10, 2], 1);
    Bounder::new(caps)
        .add_rows(&rows(&[1; 4], &["a", "b", "c", "d"]), 0..4, &values, Told::default(), &mut exact)
        .unwrap();
    assert_eq!(sums_of(exact)[..2], [10, 2]);
}

#[test]
fn a_person_counts_once_where_any_of_her_rows_is_of_the_kind() {
    let set = BooleanBuffer::from(vec![false, true, true, false, false]);
    let values = RowValues {
        keys: None,
        cells: vec![0, 0, 0, 1, 2],
        lanes: vec![LaneValues::OncePerPersonWith(set)],
        clipped: vec![],
    };
    let mut exact = empty(1);
    let bytes = rows(&[1, 1, 1, 1, 2], &["a", "b", "c", "d", "e"]);
    let mut bounder = Bounder::new(caps(10, 5, &[1], 1));
    bounder.add_rows(&bytes, 0..4, &values, Told::default(), &mut exact).unwrap();
    bounder.add_rows(&bytes, 4..5, &values, Told::default(), &mut exact).unwrap();
    assert_eq!(sums_of(exact)[..3], [1, 0, 0]);
}

/// The sums over rows (unit, value) of a table: persons dealt to `partitions` by their units, the rows of each
/// side by side and otherwise in the order given, as a scan hands them on; the partitions' sums are put together
/// from the `first` one on.
fn summed(table: &[(i64, f64)], partitions: i64, first: i64, row_cap: usize) -> Vec<i128> {
    let bounds = Bounds::from_steps(0, BOUND_STEPS_MAX, 0).unwrap();
    let one_cell = shape(1, 1);
    let mut whole = Exact::zero(&one_cell).unwrap();
    for partition in (first..first + partitions).map(|place| place % partitions) {
        let mut here: Vec<(i64, f64)> =
            table.iter().filter(|(unit, _)| unit % partitions == partition).copied().collect();
        here.sort_by_key(|(unit, _)| *unit);
        let units: Vec<i64> = here.iter().map(|(unit, _)| *unit).collect();
        let texts: Vec<String> = here.iter().map(|(_, value)| value.to_string()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let floats: Float64Array = here.iter().map(|(_, value)| Some(*value)).collect();
        let values = RowValues {
            keys: None,
            cells: vec![0; here.len()],
            lanes: vec![LaneValues::Steps(float_steps(&floats, bounds))],
            clipped: vec![],
        };
        let bytes = rows(&units, &texts);
        let mut bounder = Bounder::new(caps(row_cap, 1, &[row_cap as i64 * BOUND_STEPS_MAX], 3));
        let mut part = Exact::zero(&one_cell).unwrap();
        let mut start = 0;
        for person in here.chunk_by(|one, next| one.0 == next.0) {
            let end = start + person.len();
            bounder.add_rows(&bytes, start..end, &values, Told::default(), &mut part).unwrap();
            start = end;
        }
        whole = whole.merge(part).unwrap();
    }
    sums_of(whole)
}

#[test]
fn a03_a_thousand_orders_on_1_2_and_8_partitions_give_the_same_bits() {
    let two_53 = 9_007_199_254_740_992.0;
    // One person with more rows than a cap of three keeps, and eight with one each.
    let mut table = [two_53, 1.0, 0.5, 1.5, two_53].map(|value| (1, value)).to_vec();
    table.extend((2..).zip([two_53, 1.0, 1.0, 0.5, 1.5, 3.0, two_53, 1.0]));
    let (all, capped) = (summed(&table, 1, 0, 5), summed(&table, 1, 0, 3));
    assert_eq!(all, [(1i128 << 55) + 11]);
    assert_ne!(capped, all, "the cap leaves rows out");
    let mut state = 3u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % end
    };
    for turn in 0..1_000 {
        for last in (1..table.len()).rev() {
            table.swap(last, below(last + 1));
        }
        for partitions in [1, 2, 8] {
            let found = |row_cap| summed(&table, partitions, turn % partitions, row_cap);
            assert_eq!(found(5), all, "turn {turn}, {partitions} partitions");
            assert_eq!(found(3), capped, "turn {turn}, {partitions} partitions, capped");
        }
    }
    // One person less changes the sum by at most the bound.
    for unit in 1..=9 {
        let fewer: Vec<_> = table.iter().filter(|row| row.0 != unit).copied().collect();
        let change = capped[0] - summed(&fewer, 2, 0, 3)[0];
        assert!((0..=3 * i128::from(BOUND_STEPS_MAX)).contains(&change), "person {unit}");
    }
}

#[test]
fn rounding_several_at_once_is_rounding_to_even() {
    let (wide, max) = (1i64 << 51, (1i64 << 51) - 1);
    let mut values: Vec<f64> = vec![0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 5e-324, 1e300, -1e300];
    for exponent in 0..52 {
        let power = (1u64 << exponent) as f64;
        values.extend([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0].map(|near| power + near));
    }
    values.extend((1..2_000).map(|n| f64::from(n) * 1_234.567_89 - 1e6));
    values.extend(values.clone().iter().map(|value| -value));
    values.extend([f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
    // Below 2^51 one way of rounding is taken, from there on another.
    for (low, high) in [(-max, max), (-wide, wide), (-3, max), (0, wide)] {
        for grid_bits in [0, 1, 7, 30] {
            let bounds = Bounds::from_steps(low, high, grid_bits).unwrap();
            let want = values.iter().map(|value| {
                let steps = (value * (1u64 << grid_bits) as f64).round_ties_even();
                if steps.is_nan() { 0 } else { steps.clamp(low as f64, high as f64) as i64 }
            });
            let found = float_steps(&Float64Array::from(values.clone()), bounds);
            assert_eq!(found, want.collect::<Vec<_>>(), "{low} to {high}, {grid_bits}");
        }
    }
}

/// Bytes of an integer's private key.
fn key_of(int: i64) -> Vec<u8> {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![int]));
    let mut rows = [Some(Vec::new())];
    crate::private_cells::append(&array, &mut rows).unwrap();
    rows[0].take().unwrap()
}

/// The private cells that are left of a person with a row in each of `keys`, in this order.
fn kept_keys(unit: i64, keys: &[i64], secret: u8) -> Vec<cloister_terms::Key> {
    let mut shape = OutputShape {
        keys: vec![],
        lanes: vec![],
        columns: vec![],
        served: vec![],
        recipe: Default::default(),
        private_keys: None,
        diagnostics: vec![],
    };
    shape.private_keys = Some(cloister_terms::PrivateKeys {
        types: vec![cloister_terms::ColumnType::Int64],
        threshold: Some(cloister_terms::KeyThreshold {
            persons_lane: 0,
            people: 1,
            delta: "0.01".parse().unwrap(),
        }),
        found: vec![],
    });
    let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
    shape.lanes = vec![LaneShape {
        name: "n".into(),
        grid_bits: 0,
        sensitivity_steps: 1,
        noise,
        one_of: None,
    }];
    let mut numbered = BatchKeys::default();
    let cells = keys.iter().map(|key| numbered.number(&key_of(*key))).collect();
    let values = RowValues {
        cells,
        keys: Some(numbered),
        lanes: vec![LaneValues::EveryRow],
        clipped: vec![],
    };
    let texts: Vec<&str> = keys.iter().map(|_| "x").collect();
    let mut exact = Exact::zero(&shape).unwrap();
    Bounder::new(caps(100, 3, &[1], secret))
        .add_rows(
            &rows(&vec![unit; keys.len()], &texts),
            0..keys.len(),
            &values,
            Told::default(),
            &mut exact,
        )
        .unwrap();
    match exact.into_sums().0 {
        crate::aggregate::Sums::Private(sums) => {
            sums.into_cells().unwrap().into_iter().map(|(key, _)| key).collect()
        }
        crate::aggregate::Sums::Public { .. } => panic!("private cells"),
    }
}

#[test]
fn a20_private_cells_are_ranked_by_their_keys_in_a_domain_of_their_own() {
    let mut others = 0;
    for unit in 0..20 {
        let mut keys: Vec<i64> = (0..12).map(|key| key * 31 + unit).collect();
        let smallest = |domain: u8| {
            let mut unit_bytes = vec![];
            rows(&[unit], &["x"]).unit(0, &mut unit_bytes);
            let secret = PrfKey::from_bytes([9; 16]);
            let rank = |key: &i64| prf_wide(&secret, domain, &[&unit_bytes, &key_of(*key)]);
            let mut ranked: Vec<_> = keys.iter().map(|key| (rank(key), *key)).collect();
            ranked.sort_unstable();
            let mut kept: Vec<i64> = ranked.into_iter().take(3).map(|(_, key)| key).collect();
            kept.sort_unstable();
            kept.into_iter().map(|key| vec![cloister_terms::KeyValue::Int(key)]).collect::<Vec<_>>()
        };
        let want = smallest(6);
        // The domains of rows, cells and secrets would choose otherwise.
        others += usize::from((1..6).all(|domain| smallest(domain) != want));
        assert_eq!(kept_keys(unit, &keys, 9), want, "{unit}");
        // Numbers in the batch, which tell of other rows, do not.
        keys.reverse();
        assert_eq!(kept_keys(unit, &keys, 9), want);
        keys.rotate_left(5);
        assert_eq!(kept_keys(unit, &keys, 9), want);
        assert_ne!(kept_keys(unit, &keys, 8), vec![] as Vec<cloister_terms::Key>);
    }
    assert!(others > 15, "{others}");
}
