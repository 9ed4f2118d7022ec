//! The vetter and the interface checks beyond list E: every other reason, and bytes changed at random.
//!
//! Must never rest on a reason's wording.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with evil.rs, which uses the rest")]
mod crowd;

use cloister_sandbox::{
    ColumnKind, DenseNumbers, FrameError, OutputLayout, Runner, RunnerError, Setup, Shape,
    VetError, limits,
};
use crowd::{FUEL, batch, crowd, evil, evil_but, refused, setup, start_refused, vetted};

const HARMLESS: &str = "ret_negative";

#[test]
fn a_module_that_keeps_to_the_interface_is_vetted_with_its_digest() {
    let wasm = evil(HARMLESS);
    let vetted = vetted(&wasm).unwrap();
    assert_eq!(vetted.bytes(), wasm);
    let digest = ring::digest::digest(&ring::digest::SHA256, &wasm);
    assert_eq!(vetted.sha256(), digest.as_ref());
    let runner = Runner::start(&setup(&wasm, ColumnKind::Int, FUEL)).unwrap();
    assert_eq!(runner.module_sha256(), vetted.sha256());
}

#[test]
fn what_is_no_module_is_named_and_no_reason_shows_a_line_end() {
    for bytes in [&b""[..], b"\0as", b"(module)", b"\x7fELF\x02\x01\x01\0"] {
        assert_eq!(refused(bytes), VetError::NotWasm);
    }
    // The right first bytes, then a version that nobody has made, or nothing.
    for bytes in [&b"\0asm\xff\0\0\0"[..], b"\0asm"] {
        let reason = refused(bytes);
        assert!(matches!(reason, VetError::Invalid { .. }), "{reason:?}");
        let told = reason.to_string();
        assert!(!told.contains('\n') && !told.contains("\\n"), "{told}");
    }
}

#[test]
fn features_outside_the_list_are_refused_by_name() {
    let feature = |text: &str| match refused(&wat::parse_str(text).unwrap()) {
        VetError::FeatureRefused { feature } => feature,
        other => panic!("not a feature: {other:?}"),
    };
    assert_eq!(feature("(module (func (return_call 0)))"), "tail_call");
    assert_eq!(feature("(module (memory 1 1) (func (atomic.fence)))"), "threads");
    let relaxed =
        "(module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))))";
    assert_eq!(feature(relaxed), "relaxed_simd");
    assert!(feature("(module (func (drop (ref.null extern))))").contains("reference_types"));
    let set =
        "(module (table 1 1 funcref) (func (table.set (i32.const 0) (table.get (i32.const 0)))))";
    assert!(feature(set).contains("reference_types"));
    let sum = "(module (global i32 (i32.add (i32.const 1) (i32.const 1))))";
    assert_eq!(feature(sum), "extended_const");
    assert!(matches!(
        refused(&wat::parse_str("(module (type (struct)))").unwrap()),
        VetError::GcType { index: 0 }
    ));
    assert_eq!(refused(&wat::parse_str("(module (tag))").unwrap()), VetError::Exceptions);
    assert_eq!(refused(&wat::parse_str("(component)").unwrap()), VetError::Component);
    let shared = "(module (memory 1 1 shared))";
    assert_eq!(refused(&wat::parse_str(shared).unwrap()), VetError::SharedMemory);
    let tables = "(module (table 1 1 funcref) (table 1 1 funcref))";
    assert_eq!(refused(&wat::parse_str(tables).unwrap()), VetError::TwoTables { count: 2 });
    let small_pages = "(module (memory 1 1 (pagesize 1)))";
    assert_eq!(refused(&wat::parse_str(small_pages).unwrap()), VetError::CustomPageSize);
}

#[test]
fn exports_are_exactly_those_of_the_interface() {
    let missing = |from: &str, name: &'static str| {
        assert_eq!(refused(&evil_but(HARMLESS, from, "")), VetError::ExportMissing { name });
    };
    missing("(export \"memory\") ", "memory");
    missing("(export \"person_map\") ", "person_map");
    missing("(export \"CLOISTER_INPUT\") ", "CLOISTER_INPUT");
    missing("(export \"CLOISTER_OUTPUT\") ", "CLOISTER_OUTPUT");
    missing("(export \"CLOISTER_LAYOUT\") ", "CLOISTER_LAYOUT");
    let wrong = |from: &str, to: &str, name: &str| match refused(&evil_but(HARMLESS, from, to)) {
        VetError::ExportType { name: found, .. } => assert_eq!(found, name),
        other => panic!("not a type error: {other:?}"),
    };
    wrong("\"CLOISTER_INPUT\") i32", "\"CLOISTER_INPUT\") (mut i32)", "CLOISTER_INPUT");
    wrong("i32 (i32.const 1024)", "i64 (i64.const 1024)", "CLOISTER_INPUT");
    wrong("(func $first", "(func $first (export \"__heap_base\")", "__heap_base");
    wrong("(param $rows i32)", "(param $rows i32) (param i32)", "person_map");
    let more =
        |to: &str| refused(&evil_but(HARMLESS, "(func $first", &format!("(func $first {to}")));
    assert_eq!(more("(export \"extra\")"), VetError::ExportRefused { name: "extra".to_owned() });
    let table =
        evil_but("state_table", "(table 2 2", "(table (export \"__indirect_function_table\") 2 2");
    assert!(matches!(refused(&table), VetError::ExportRefused { .. }));
    let no_memory = wat::parse_str("(module)").unwrap();
    assert_eq!(refused(&no_memory), VetError::NoMemory);
}

#[test]
fn the_linkers_data_end_and_heap_base_may_be_exported_as_constants_and_change_nothing() {
    let with = |export: &str| evil_but(HARMLESS, "(func $first", &format!("{export} (func $first"));
    let want = crowd::crowd_of(HARMLESS);
    let both = "(global (export \"__data_end\") i32 (i32.const 4096))
        (global (export \"__heap_base\") i32 (i32.const -1))";
    let both = with(both);
    assert_eq!(vetted(&both).unwrap().tier(), vetted(&evil(HARMLESS)).unwrap().tier());
    assert_eq!(crowd::isolated(&both, ColumnKind::Int, FUEL, &crowd()), want);
    for name in ["__data_end", "__heap_base"] {
        let global = |rest: &str| refused(&with(&format!("(global (export \"{name}\") {rest})")));
        for rest in ["(mut i32) (i32.const 9)", "i64 (i64.const 9)"] {
            match global(rest) {
                VetError::ExportType { name: found, .. } => assert_eq!(found, name, "{rest}"),
                other => panic!("not a type error: {other:?}"),
            }
        }
    }
    // No other name of the linker's.
    for name in ["__stack_pointer", "__data_start", "__heap_end", "__heap_base_"] {
        let other = with(&format!("(global (export \"{name}\") i32 (i32.const 9))"));
        assert_eq!(refused(&other), VetError::ExportRefused { name: name.to_owned() });
    }
}

#[test]
fn the_layout_words_must_fit_the_shape() {
    let words = "\\01\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00\\00\\00\\00\\00";
    let reason = |to: &str| start_refused(&evil_but(HARMLESS, words, to)).reason;
    let version_2 = "\\02\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00\\00\\00\\00\\00";
    assert_eq!(reason(version_2), "abi_version");
    // The fourth word says nothing, or what the module was built for.
    let signed = |signature: u32| {
        let word = signature.to_le_bytes().map(|byte| format!("\\{byte:02x}")).concat();
        format!("\\01\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00{word}")
    };
    let shape = setup(&[], ColumnKind::Int, FUEL).shape;
    let own = evil_but(HARMLESS, words, &signed(shape.signature()));
    assert!(Runner::start(&setup(&own, ColumnKind::Int, FUEL)).is_ok());
    let floats = Shape::new(4, vec![ColumnKind::Float], 2).unwrap();
    let dense = shape.clone().with_layout(OutputLayout::Dense(DenseNumbers::Ints));
    let float_pairs = shape.clone().with_layout(OutputLayout::FloatPairs);
    for other in [1, floats.signature(), dense.signature(), float_pairs.signature()] {
        assert_eq!(reason(&signed(other)), "signature");
    }
    let other_rows = "\\01\\00\\00\\00\\30\\00\\00\\00\\20\\00\\00\\00\\00\\00\\00\\00";
    assert_eq!(reason(other_rows), "input_size");
    let short_output = "\\01\\00\\00\\00\\28\\00\\00\\00\\1f\\00\\00\\00\\00\\00\\00\\00";
    assert_eq!(reason(short_output), "output_too_small");
    let huge_input = "\\01\\00\\00\\00\\ff\\ff\\ff\\ff\\20\\00\\00\\00\\00\\00\\00\\00";
    assert_eq!(reason(huge_input), "buffer_outside");
    let outside = evil_but(HARMLESS, "(data (i32.const 16)", "(data (i32.const 65530)");
    assert_eq!(start_refused(&outside).reason, "instantiate");
    assert_eq!(start_refused(&evil("clock")).reason, "import");
    assert_eq!(start_refused(b"\0asm").reason, "invalid");
    assert_eq!(start_refused(&vec![0; 2 << 20]).reason, "past_limit");
}

/// Why the worker refuses a module over a shape; `None` when it takes it.
fn refused_over(wasm: &[u8], shape: Shape) -> Option<String> {
    match Runner::start(&Setup { shape, ..setup(wasm, ColumnKind::Int, FUEL) }) {
        Ok(_) => None,
        Err(RunnerError::Refused(refusal)) => Some(refusal.reason),
        Err(other) => panic!("{other}"),
    }
}

/// Four rows of an integer column, and so many outputs in this layout.
fn shape_of(outputs: u32, layout: OutputLayout) -> Shape {
    Shape::new(4, vec![ColumnKind::Int], outputs).unwrap().with_layout(layout)
}

#[test]
fn values_in_order_fill_the_output_buffer_and_pairs_leave_room() {
    let wasm = evil(HARMLESS);
    let (ints, floats) = (DenseNumbers::Ints, DenseNumbers::Floats);
    // Its buffer has 32 bytes.
    for layout in [OutputLayout::Dense(ints), OutputLayout::Dense(floats)] {
        assert_eq!(refused_over(&wasm, shape_of(4, layout)), None);
        for outputs in [1, 2, 3, 5, 8] {
            let reason = refused_over(&wasm, shape_of(outputs, layout));
            assert_eq!(reason.as_deref(), Some("output_size"), "{outputs} {layout:?}");
        }
    }
    for layout in [OutputLayout::Pairs, OutputLayout::FloatPairs] {
        for outputs in [1, 2] {
            assert_eq!(refused_over(&wasm, shape_of(outputs, layout)), None);
        }
        let reason = refused_over(&wasm, shape_of(3, layout));
        assert_eq!(reason.as_deref(), Some("output_too_small"), "{layout:?}");
    }
}

#[test]
fn a_signed_module_runs_over_its_own_kind_of_numbers_alone() {
    let layouts = [
        (2, OutputLayout::Pairs),
        (2, OutputLayout::FloatPairs),
        (4, OutputLayout::Dense(DenseNumbers::Ints)),
        (4, OutputLayout::Dense(DenseNumbers::Floats)),
    ];
    let words = "\\20\\00\\00\\00\\00\\00\\00\\00";
    for (outputs, own) in layouts {
        let word = shape_of(outputs, own).signature().to_le_bytes();
        let word = word.map(|byte| format!("\\{byte:02x}")).concat();
        let wasm = evil_but(HARMLESS, words, &format!("\\20\\00\\00\\00{word}"));
        for (outputs, layout) in layouts {
            let want = if layout == own { None } else { Some("signature") };
            let reason = refused_over(&wasm, shape_of(outputs, layout));
            assert_eq!(reason.as_deref(), want, "{own:?} over {layout:?}");
        }
    }
}

#[test]
fn a_pair_whose_zero_word_is_not_zero_is_no_contribution() {
    let wasm = evil_but(
        HARMLESS,
        "(i64.store (i32.const 2048) (i64.const 0))",
        "(i64.store (i32.const 2048) (i64.const 0x100000000))",
    );
    let (outputs, counters) = crowd::isolated(&wasm, ColumnKind::Int, FUEL, &crowd());
    assert_eq!(outputs, vec![cloister_sandbox::PersonOutput::Default; 4]);
    assert_eq!(counters.bad_returns, 4);
}

#[test]
fn a_job_asks_for_no_more_than_the_limits() {
    let mut greedy = setup(&evil(HARMLESS), ColumnKind::Int, limits::FUEL_PER_PERSON_MAX + 1);
    let refused = Runner::start(&greedy).map(|_| ());
    assert!(matches!(refused, Err(RunnerError::Frame(FrameError::TooMany { .. }))));
    greedy.fuel_per_person = FUEL;
    let mut runner = Runner::start(&greedy).unwrap();
    let other = Shape::new(5, vec![ColumnKind::Int], 2).unwrap();
    assert_eq!(runner.run_batch(&batch(&other, &crowd())), Err(RunnerError::OtherShape));
    assert_eq!(runner.run_batch(&batch(&greedy.shape, &crowd())).unwrap().len(), 4);
    assert!(runner.run_batch(&batch(&greedy.shape, &[])).unwrap().is_empty());
    assert_eq!(runner.finish().unwrap().persons, 4);
}

#[test]
fn bytes_changed_at_random_end_in_a_reason_or_in_a_module() {
    let mut state: u64 = 1;
    let mut random = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut taken, mut turned_away) = (0, 0);
    for name in ["state_table", "simd_lane_straddle", "trap_if_bob"] {
        let wasm = evil(name);
        // Cut between two sections after the exports, a module can still be whole.
        let whole = (0..wasm.len()).filter(|end| vetted(&wasm[..*end]).is_ok()).count();
        assert!(whole <= 3, "{name}: {whole} cuts were taken");
        for _ in 0..2000 {
            let mut bytes = wasm.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            match vetted(&bytes) {
                Ok(_) => taken += 1,
                Err(error) => {
                    assert!(!error.reason().is_empty());
                    turned_away += 1;
                }
            }
        }
    }
    assert!(taken > 0 && turned_away > 0, "{taken} taken, {turned_away} turned away");
}
