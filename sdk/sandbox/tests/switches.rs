//! What the engine is switched to, as a module finds it: one NaN in every lane of a vector too, and a stack of a
//! quarter of a MiB.
//!
//! Must never rest on what the engine says of itself: that is tested beside its settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with evil.rs, which uses the rest")]
mod crowd;

use cloister_sandbox::PersonOutput::Default as NoContribution;
use cloister_sandbox::{ColumnKind, Job, Outputs, Pair, PersonOutput, Setup, compile};
use crowd::{FUEL, batch, isolated, one, setup, vetted};

/// One column of four rows, two pairs, one function beside `person_map`.
fn module(function: &str, body: &str) -> Vec<u8> {
    let text = format!(
        "(module (memory (export \"memory\") 1 1)
          (global (export \"CLOISTER_INPUT\") i32 (i32.const 1024))
          (global (export \"CLOISTER_OUTPUT\") i32 (i32.const 2048))
          (global (export \"CLOISTER_LAYOUT\") i32 (i32.const 16))
          (data (i32.const 16) \"\\01\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00\\00\\00\\00\\00\")
          {function}
          (func (export \"person_map\") (param $rows i32) (result i32) (local $v v128)
            (local.set $v (v128.load (i32.const 1032)))
            {body}))"
    );
    wat::parse_str(text).unwrap()
}

/// Both halves of what an instruction makes of the first two rows.
fn lanes(instruction: &str) -> Vec<u8> {
    let body = format!(
        "(local.set $v {instruction})
         (i64.store (i32.const 2048) (i64.const 0))
         (i64.store (i32.const 2056) (i64x2.extract_lane 0 (local.get $v)))
         (i64.store (i32.const 2064) (i64.const 1))
         (i64.store (i32.const 2072) (i64x2.extract_lane 1 (local.get $v)))
         (i32.const 2)"
    );
    module("", &body)
}

#[test]
fn vectors_too_know_one_nan_alone() {
    let doubles = [0x7ff0_0000_0000_0001_u64, 0xfff8_dead_beef_0042].map(u64::cast_signed);
    let singles = [0xffc0_beef_7f80_0001_u64, 0x7fff_ffff_ff80_0002].map(u64::cast_signed);
    let (double, two_singles) = (0x7ff8_0000_0000_0000, 0x7fc0_0000_7fc0_0000);
    let mut instructions = vec![
        ("(f32x4.demote_f64x2_zero (local.get $v))".to_owned(), doubles, [two_singles, 0]),
        ("(f64x2.promote_low_f32x4 (local.get $v))".to_owned(), singles, [double; 2]),
    ];
    for (shape, ones, rows, nan) in
        [("f64x2", "1 1", doubles, double), ("f32x4", "1 1 1 1", singles, two_singles)]
    {
        for name in ["add", "sub", "mul", "div", "min", "max"] {
            let one = format!("(v128.const {shape} {ones})");
            let call = format!("({shape}.{name} (local.get $v) {one})");
            instructions.push((call, rows, [nan; 2]));
            let call = format!("({shape}.{name} {one} (local.get $v))");
            instructions.push((call, rows, [nan; 2]));
        }
        for name in ["sqrt", "ceil", "floor", "trunc", "nearest"] {
            let call = format!("({shape}.{name} (local.get $v))");
            instructions.push((call, rows, [nan; 2]));
        }
    }
    for (instruction, rows, [first, second]) in instructions {
        let wasm = lanes(&instruction);
        let Setup { shape, .. } = setup(&wasm, ColumnKind::Int, FUEL);
        let person = batch(&shape, &[rows.to_vec()]);
        let compiled = compile(&vetted(&wasm).unwrap()).unwrap();
        let mut job = Job::new(compiled, shape, FUEL).unwrap();
        let mut outputs = Outputs::default();
        job.run_batch(&person.persons(), &mut outputs).unwrap();
        let pairs = vec![Pair { index: 0, value: first }, Pair { index: 1, value: second }];
        assert_eq!(outputs.to_persons(), [PersonOutput::Pairs(pairs)], "{instruction}");
    }
}

/// Calls itself as often as the first row says, and keeps 256 numbers from before the call until after it: 2 KiB
/// of stack a call, and a little.
fn deep() -> Vec<u8> {
    const KEPT: usize = 256;
    let numbers = 0..KEPT;
    let locals = " i64".repeat(KEPT);
    let loads: String = numbers
        .clone()
        .map(|nth| {
            let (local, offset) = (nth + 1, 4096 + 8 * nth);
            format!("(local.set {local} (i64.load offset={offset} (i32.const 0)))")
        })
        .collect();
    let sums: String = numbers.map(|nth| format!("(i64.add (local.get {}))", nth + 1)).collect();
    let function = format!(
        "(func $down (param $left i32) (result i64) (local{locals})
           (if (i32.eqz (local.get $left)) (then (return (i64.const 5))))
           {loads}
           (call $down (i32.sub (local.get $left) (i32.const 1)))
           {sums})"
    );
    let body = "(i64.store (i32.const 2048) (i64.const 0))
        (i64.store (i32.const 2056) (call $down (i32.wrap_i64 (i64.load (i32.const 1032)))))
        (i32.const 1)";
    module(&function, body)
}

#[test]
fn the_stack_holds_a_quarter_of_a_mebibyte_and_no_more() {
    // 120 KiB and what calls need beside; 280 KiB and that.
    let persons = [vec![60], vec![140], vec![0]];
    let (outputs, counters) = isolated(&deep(), ColumnKind::Int, FUEL, &persons);
    assert_eq!(outputs, [one(5), NoContribution, one(5)]);
    assert_eq!((counters.stack_overflows, counters.out_of_fuel), (1, 0));
}
