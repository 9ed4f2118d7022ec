//! Hostile numbers of modules on the whole way from files to sums (A15, list E): in every form that outputs may
//! have, each person adds what her rows and the ranges allow, and nothing where the module breaks a rule.

use crate::modules::sha256;
use crate::world::*;
use cloister_node::measure::measure;
use cloister_plan::ContributionPlan;
use cloister_terms::Body;

/// The one whom evil modules look for, by the first value.
const BOB: i64 = 66;
/// With this as Bob's second value, `key_leak` names the first cell beyond the two that there are.
const BEYOND: i64 = 0x2153_0002;
/// From here on floats lie two apart: 1 is lost beside it.
const BIG: f64 = 9_007_199_254_740_992.0;
/// What one person may add to one cell.
const LEAST: i64 = -3;
const MOST: i64 = 5;
/// What a person adds to four cells whose module broke a rule.
const NONE: [i128; 4] = [0; 4];
/// The bits of a NaN with a sign and a payload, and of one that signals.
const ODD_NANS: [u64; 2] = [0xfff8_dead_beef_0042, 0x7ff0_0000_0000_0001];

/// What a module is given, and how it gives its numbers.
#[derive(Clone, Copy)]
struct Form {
    column: &'static str,
    numbers: &'static str,
    outputs: &'static str,
}

const INTS: Form = Form { column: "n", numbers: "int", outputs: "sparse" };
const FLOATS: Form = Form { column: "n", numbers: "float", outputs: "sparse" };

impl Form {
    /// Over the column of floats.
    fn over_floats(self) -> Self {
        Self { column: "x", ..self }
    }

    fn in_order(self) -> Self {
        Self { outputs: "dense", ..self }
    }
}

/// A module of `tests/evil`, with pieces of its text replaced: one column, four rows, 32 bytes of outputs.
fn evil(name: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let path = format!("{}/../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for &(from, to) in changes {
        assert!(text.contains(from), "{name} does not contain {from}");
        text = text.replace(from, to);
    }
    wat::parse_str(text).unwrap()
}

/// What turns two pairs into values in order.
const IN_ORDER: (&str, &str) = ("(i32.const 2)))", "(i32.const 1)))");

/// `inf` that gives floats: infinity on Bob, else 1.
fn infinite_on_bob() -> Vec<u8> {
    let quotient = "(i64.trunc_f64_s (local.get $infinite))";
    let saturated = "(i64.trunc_sat_f64_s (local.get $infinite))";
    let changes = [
        (quotient, "(i64.reinterpret_f64 (local.get $infinite))"),
        (saturated, "(i64.reinterpret_f64 (f64.const 1))"),
    ];
    evil("inf", &changes)
}

/// One person's rows in the order of their times, who is still to be named.
fn ints(values: &[i64]) -> Vec<Row> {
    (0..).zip(values).map(|(at, value)| Row { n: Some(*value), at, ..row(0) }).collect()
}

fn floats(values: &[f64]) -> Vec<Row> {
    (0..).zip(values).map(|(at, value)| Row { x: Some(*value), at, ..row(0) }).collect()
}

fn planned(world: &World, wasm: &[u8], form: Form, cells: usize) -> ContributionPlan {
    let keys: Vec<_> =
        (0..cells).map(|cell| serde_json::json!({ "int": cell.to_string() })).collect();
    let body = serde_json::json!({ "module": {
        "sha256": sha256(wasm), "rows": format!("SELECT {} FROM trips", form.column),
        "keys": [{ "name": "cell", "values": keys }],
        "lanes": [{ "name": "sum", "value": { "min": LEAST.to_string(), "max": MOST.to_string() } }],
        "numbers": form.numbers, "outputs": form.outputs, "fuel_per_person": 100_000 } });
    let body: Body = serde_json::from_value(body).unwrap();
    plan_body(&world.dictionary, &body, 4, cells as u32)
}

/// Insists that each person adds to the cells what stands beside her rows.
async fn each_adds<const CELLS: usize>(
    what: &str,
    wasm: &[u8],
    form: Form,
    persons: &[(Vec<Row>, [i128; CELLS])],
) {
    let mut rows = Vec::new();
    let mut expected = [0i128; CELLS];
    for (rider, (own, adds)) in (1..).zip(persons) {
        rows.extend(own.iter().map(|row| Row { rider: Some(rider), ..*row }));
        expected.iter_mut().zip(adds).for_each(|(sum, add)| *sum += add);
    }
    Draws(15).shuffle(&mut rows);
    let world = World::new(&rows, 2, 600);
    let paid = charge(&planned(&world, wasm, form, CELLS), Some(wasm.to_vec()), 5);
    let exact = measure(&paid, &world.catalog, &options(2, 3)).await.unwrap();
    assert_eq!(exact.lanes_for_tests(), expected, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_e_pairs_of_integers_are_bounded_and_those_outside_are_nothing() {
    let persons = [
        (ints(&[10, 11]), [1, 0]),
        (ints(&[BOB, 67]), [0, 0]),
        (ints(&[BOB, BEYOND]), [0, 0]),
        (ints(&[BOB, BEYOND - 1]), [0, 1]),
        (ints(&[0]), [1, 0]),
    ];
    each_adds("key_leak", &evil("key_leak", &[]), INTS, &persons).await;

    for (index, adds) in [("-1", [5, 0]), ("1", [5, -3]), ("0", [-1, 0])] {
        let to = format!("(i32.const {index})");
        let wasm = evil("out_of_range", &[("(i32.const -1)", &to)]);
        let persons = [(ints(&[10]), adds), (ints(&[BOB]), adds)];
        each_adds(&format!("out_of_range, {index}"), &wasm, INTS, &persons).await;
    }

    let mut persons = vec![(ints(&[10]), [1, 0]), (ints(&[11]), [1, 0])];
    let counts = [3, 1 << 16, i64::from(i32::MAX), i64::from(i32::MIN), -1];
    persons.extend(counts.map(|count| (ints(&[BOB, count]), [0, 0])));
    each_adds("too_many_outputs", &evil("too_many_outputs", &[]), INTS, &persons).await;

    let persons = [(ints(&[10]), [5, 0]), (ints(&[BOB]), [0, 0]), (ints(&[12]), [5, 0])];
    each_adds("inf", &evil("inf", &[]), INTS, &persons).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_e_bits_of_floats_tell_nothing_that_their_numbers_do_not() {
    // As an integer a NaN with a sign would be negative, one with a payload would have low bits.
    let [odd, signalling] = ODD_NANS.map(u64::cast_signed);
    let persons = |adds| {
        let nans = [ints(&[odd, 0xffc0_beef]), ints(&[signalling, 0x7f80_0001])];
        let nans = nans.into_iter().map(move |rows| (rows, adds));
        nans.chain([(ints(&[10]), [5, 0])]).collect::<Vec<_>>()
    };
    each_adds("nan_payload", &evil("nan_payload", &[]), INTS, &persons([5, 5])).await;
    let number =
        "(i64.reinterpret_f64 (f64.add (f64.reinterpret_i64 (call $first)) (f64.const 0)))";
    let low_bits = format!("(i64.and (i64.const 0xffff) {number})");
    let wasm = evil("nan_payload", &[(number, &low_bits)]);
    each_adds("low bits of nan_payload", &wasm, INTS, &persons([0, 5])).await;

    let [odd, _] = ODD_NANS.map(f64::from_bits);
    let persons = [
        (floats(&[-0.0]), [0, 0]),
        (floats(&[0.0]), [0, 0]),
        (floats(&[odd]), [0, 0]),
        (floats(&[f64::NEG_INFINITY]), [0, 0]),
        (floats(&[-1.0]), [-3, 0]),
        (floats(&[1.0]), [5, 0]),
    ];
    each_adds("neg_zero", &evil("neg_zero", &[]), INTS.over_floats(), &persons).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_e_pairs_of_floats_are_rounded_and_bounded_and_what_is_no_number_is_nothing() {
    let persons = [(ints(&[10]), [1, 0]), (ints(&[BOB]), [0, 0]), (ints(&[12]), [1, 0])];
    each_adds("inf", &infinite_on_bob(), FLOATS, &persons).await;

    let [odd, signalling] = ODD_NANS.map(u64::cast_signed);
    let two = 2f64.to_bits().cast_signed();
    let persons = [
        (ints(&[odd, 0xffc0_beef]), [0, 0]),
        (ints(&[signalling]), [0, 0]),
        (ints(&[two]), [2, 0]),
    ];
    each_adds("nan_payload", &evil("nan_payload", &[]), FLOATS, &persons).await;

    // -0 and a NaN.
    let wasm = evil("out_of_range", &[("(i32.const -1)", "(i32.const 1)")]);
    each_adds("out_of_range", &wasm, FLOATS, &[(ints(&[10]), [0, 0])]).await;

    let persons = [
        (floats(&[-0.0]), [0, 0]),
        (floats(&[-0.5]), [0, 0]),
        (floats(&[1.5]), [2, 0]),
        (floats(&[2.5]), [2, 0]),
    ];
    each_adds("neg_zero", &evil("neg_zero", &[]), FLOATS.over_floats(), &persons).await;

    let persons = [
        // The order of the times shows in the last bits; that of the files does not.
        (floats(&[BIG, 1.0, 1.0, -BIG]), [0, 0]),
        (floats(&[1.0, 1.0, BIG, -BIG]), [2, 0]),
        (floats(&[0.1, 0.2, 0.3]), [1, 0]),
        (floats(&[1e308, 1e308]), [0, 0]),
        (floats(&[f64::NAN, 1.0]), [1, 0]),
        (floats(&[1e300]), [5, 0]),
        (floats(&[-1e300]), [-3, 0]),
    ];
    each_adds("ulp_sum", &evil("ulp_sum", &[]), FLOATS.over_floats(), &persons).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_e_integers_in_order_are_bounded_and_there_are_all_of_them_or_none() {
    let form = INTS.in_order();
    let persons = [(ints(&[10]), [5, -3, 0, 5]), (ints(&[BOB]), [5, -3, 0, 5])];
    each_adds("out_of_range", &evil("out_of_range", &[IN_ORDER]), form, &persons).await;
    // Two pairs where values in order belong.
    let persons = [(ints(&[10]), NONE), (ints(&[BOB]), NONE)];
    each_adds("out_of_range in pairs", &evil("out_of_range", &[]), form, &persons).await;

    let mut persons = vec![(ints(&[10]), [0, 1, 0, 0]), (ints(&[11]), [0, 1, 0, 0])];
    let counts = [0, 2, 4, 1 << 16, i64::from(i32::MIN), -1];
    persons.extend(counts.map(|count| (ints(&[BOB, count]), NONE)));
    each_adds("too_many_outputs", &evil("too_many_outputs", &[]), form, &persons).await;

    let persons = [(ints(&[10]), [0, 1, 0, 0]), (ints(&[BOB, 67]), [5, 1, 0, 0])];
    each_adds("key_leak", &evil("key_leak", &[]), form, &persons).await;

    let persons = [(ints(&[10]), [0, 5, 0, 0]), (ints(&[BOB]), NONE)];
    each_adds("inf", &evil("inf", &[]), form, &persons).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_e_floats_in_order_are_rounded_and_bounded_and_what_is_no_number_is_nothing() {
    let form = FLOATS.in_order();
    let persons = [(ints(&[10]), [0, 1, 0, 0]), (ints(&[BOB]), NONE)];
    each_adds("inf", &infinite_on_bob(), form, &persons).await;

    // A tiny number, -0, 0 and a NaN.
    let wasm = evil("out_of_range", &[IN_ORDER]);
    each_adds("out_of_range", &wasm, form, &[(ints(&[10]), NONE)]).await;

    let [odd, signalling] = ODD_NANS.map(u64::cast_signed);
    let two = 2f64.to_bits().cast_signed();
    let persons = [
        (ints(&[odd, 0xffc0_beef]), NONE),
        (ints(&[signalling]), NONE),
        (ints(&[two]), [0, 2, 0, 0]),
    ];
    each_adds("nan_payload", &evil("nan_payload", &[IN_ORDER]), form, &persons).await;

    let persons = [
        (floats(&[BIG, 1.0, 1.0, -BIG]), NONE),
        (floats(&[1.0, 1.0, BIG, -BIG]), [0, 2, 0, 0]),
        (floats(&[1e308, 1e308]), NONE),
        (floats(&[1e300]), [0, 5, 0, 0]),
        (floats(&[-1e300]), [0, -3, 0, 0]),
    ];
    each_adds("ulp_sum", &evil("ulp_sum", &[]), form.over_floats(), &persons).await;
}
