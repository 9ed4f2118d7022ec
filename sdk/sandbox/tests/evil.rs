//! One test for each evil module of ACCEPTANCE.md, list E: refused by a named reason, or harmless.
//!
//! Must never accept "it did not crash": each test states the reason or every person's output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crowd;

use std::collections::BTreeSet;

use cloister_sandbox::PersonOutput::Default as NoContribution;
use cloister_sandbox::{
    ColumnKind, Job, Limit, Outputs, Pair, PersonOutput, Setup, Tier, VetError, compile_in,
};
use crowd::{
    BOB, FUEL, batch, crowd, crowd_of, evil, evil_but, evil_names, in_order, isolated, isolated_as,
    one, orders, refused, setup, start_refused, vetted,
};

/// List E of ACCEPTANCE.md.
const LISTED: &str = "state_memory state_global state_hidden_global state_straddle state_bulk state_table
    state_data_drop state_grow state_then_trap spin_if_bob deep_recursion_if_bob fuel_fence bulk_bomb
    trap_if_bob oom_if_bob log_if_bob clock random key_leak budget_probe nan_payload inf neg_zero ulp_sum
    out_of_range too_many_outputs out_overlap bad_ptr ret_negative host_input_residue simd_lane_straddle
    bulk_wraparound memory_init_after_drop indirect_store compile_bomb zipbomb_sections import_wasi
    start_function two_memories memory64 huge_table";

/// Everyone contributes 1 but Bob, who gets the default contribution.
fn all_but_bob() -> Vec<PersonOutput> {
    vec![one(1), NoContribution, one(1), one(1)]
}

fn all_the_same(value: i64) -> Vec<PersonOutput> {
    vec![one(value); 4]
}

#[track_caller]
fn import_refused(name: &str, module: &str, item: &str) {
    let want = VetError::Import { module: module.to_owned(), name: item.to_owned() };
    assert_eq!(refused(&evil(name)), want);
}

#[test]
fn each_evil_module_of_the_list_is_one_file_and_one_test() {
    let tests = include_str!("evil.rs");
    let listed: BTreeSet<&str> = LISTED.split_whitespace().collect();
    for name in &listed {
        assert!(tests.contains(&format!("#[test]\nfn e_{name}() {{")), "no test for `{name}`");
        assert!(tests.contains(&format!("\"{name}\"")), "`{name}` is not read");
    }
    let files = evil_names();
    assert!(files.iter().eq(&listed), "{files:?} are there, {listed:?} are listed");
}

#[test]
fn e_state_memory() {
    assert_eq!(crowd_of("state_memory").0, all_the_same(1));
}

#[test]
fn e_state_straddle() {
    assert_eq!(crowd_of("state_straddle").0, all_the_same((1 << 32) + 1));
}

#[test]
fn e_state_global() {
    assert_eq!(crowd_of("state_global").0, all_the_same(1));
    // The same global under an exported name is refused already by the vetter.
    let shown =
        evil_but("state_global", "(global $count (mut", "(global $count (export \"n\") (mut");
    assert_eq!(refused(&shown), VetError::ExportRefused { name: "n".to_owned() });
}

#[test]
fn e_state_hidden_global() {
    assert_eq!(crowd_of("state_hidden_global").0, all_the_same(0));
}

#[test]
fn e_state_bulk() {
    assert_eq!(crowd_of("state_bulk").0, all_the_same(0));
}

#[test]
fn e_state_table() {
    assert_eq!(crowd_of("state_table").0, all_the_same(1));
}

#[test]
fn e_state_data_drop() {
    assert_eq!(crowd_of("state_data_drop").0, all_the_same(7));
}

#[test]
fn e_state_grow() {
    assert!(matches!(refused(&evil("state_grow")), VetError::MemoryGrow { .. }));
    let may_grow = evil_but("state_grow", "(export \"memory\") 1 1", "(export \"memory\") 1 2");
    assert_eq!(refused(&may_grow), VetError::MemoryMayGrow { initial: 1 });
    let unbounded = evil_but("state_grow", "(export \"memory\") 1 1", "(export \"memory\") 1");
    assert_eq!(refused(&unbounded), VetError::MemoryMayGrow { initial: 1 });
}

#[test]
fn e_state_then_trap() {
    let (outputs, counters) = crowd_of("state_then_trap");
    assert_eq!(outputs, all_but_bob());
    assert_eq!((counters.persons, counters.traps), (4, 1));
}

#[test]
fn e_spin_if_bob() {
    let (outputs, counters) = crowd_of("spin_if_bob");
    assert_eq!(outputs, all_but_bob());
    assert_eq!(counters.out_of_fuel, 1);
}

#[test]
fn e_deep_recursion_if_bob() {
    let (outputs, counters) = crowd_of("deep_recursion_if_bob");
    assert_eq!(outputs, all_but_bob());
    assert_eq!((counters.stack_overflows, counters.out_of_fuel), (1, 0));
}

#[test]
fn e_fuel_fence() {
    // Everyone burns some 60,000 units, Bob some 120,000: any fuel carried over would show.
    let (outputs, counters) = isolated(&evil("fuel_fence"), ColumnKind::Int, 80_000, &crowd());
    assert_eq!(outputs, all_but_bob());
    assert_eq!(counters.out_of_fuel, 1);
    let (outputs, _) = isolated(&evil("fuel_fence"), ColumnKind::Int, 30_000, &crowd());
    assert_eq!(outputs, vec![NoContribution; 4]);
    let (outputs, _) = isolated(&evil("fuel_fence"), ColumnKind::Int, 150_000, &crowd());
    assert_eq!(outputs, all_the_same(1));
}

#[test]
fn e_bulk_bomb() {
    let (outputs, counters) = crowd_of("bulk_bomb");
    assert_eq!(outputs, all_but_bob());
    assert_eq!(counters.out_of_fuel, 1);
}

#[test]
fn e_trap_if_bob() {
    let kinds = (0..8).map(|kind| vec![BOB, kind]);
    for bob in kinds {
        let persons = [vec![10], bob, vec![12]];
        let (outputs, counters) = isolated(&evil("trap_if_bob"), ColumnKind::Int, FUEL, &persons);
        assert_eq!(outputs, [one(1), NoContribution, one(1)]);
        assert_eq!(counters.traps, 1);
    }
}

#[test]
fn e_oom_if_bob() {
    let (outputs, counters) = crowd_of("oom_if_bob");
    assert_eq!(outputs, all_but_bob());
    assert_eq!(counters.traps, 1);
}

#[test]
fn e_log_if_bob() {
    import_refused("log_if_bob", "env", "log");
}

#[test]
fn e_clock() {
    import_refused("clock", "env", "now_us");
}

#[test]
fn e_random() {
    import_refused("random", "env", "random");
}

#[test]
fn e_budget_probe() {
    import_refused("budget_probe", "cloister", "fuel_left");
}

#[test]
fn e_import_wasi() {
    import_refused("import_wasi", "wasi_snapshot_preview1", "fd_write");
}

#[test]
fn e_key_leak() {
    let leak = PersonOutput::Pairs(vec![Pair { index: 0xdead_0000 + 67, value: 1 }]);
    assert_eq!(crowd_of("key_leak").0, [one(1), leak, one(1), one(1)]);
}

#[test]
fn e_nan_payload() {
    // The first value is the bits of an f64 NaN, the second those of an f32 NaN, payloads and signs vary.
    let nans = [
        (0x7ff0_0000_0000_0001_u64, 0x7f80_0001_i64),
        (0xfff8_dead_beef_0042, 0xffc0_beef),
        (0x7ff8_0000_0000_0000, 0x7fc0_0000),
    ];
    let persons: Vec<_> = nans.map(|(wide, narrow)| vec![wide.cast_signed(), narrow]).into();
    let (outputs, _) = isolated(&evil("nan_payload"), ColumnKind::Int, FUEL, &persons);
    let wide = Pair { index: 0, value: 0x7ff8_0000_0000_0000 };
    let narrow = Pair { index: 1, value: 0x7fc0_0000 };
    assert_eq!(outputs, vec![PersonOutput::Pairs(vec![wide, narrow]); 3]);
}

#[test]
fn e_inf() {
    let (outputs, counters) = crowd_of("inf");
    assert_eq!(outputs, [one(i64::MAX), NoContribution, one(i64::MAX), one(i64::MAX)]);
    assert_eq!(counters.traps, 1);
}

#[test]
fn e_neg_zero() {
    let bits = |value: f64| vec![value.to_bits().cast_signed()];
    let persons = [bits(-0.0), bits(0.0), bits(1.0)];
    let (outputs, _) = isolated(&evil("neg_zero"), ColumnKind::Float, FUEL, &persons);
    assert_eq!(outputs, [one(0), one(0), one(1.0_f64.to_bits().cast_signed())]);
}

#[test]
fn e_ulp_sum() {
    let rows = |values: [f64; 3]| values.map(|v| v.to_bits().cast_signed()).to_vec();
    let big = 2.0_f64.powi(53);
    let persons = [rows([big, 1.0, 1.0]), rows([1.0, 1.0, big]), rows([0.1, 0.2, 0.3])];
    let (outputs, _) = isolated(&evil("ulp_sum"), ColumnKind::Float, FUEL, &persons);
    let sums = [big, big + 2.0, 0.1 + 0.2 + 0.3].map(|sum| one(sum.to_bits().cast_signed()));
    assert_eq!(outputs, sums);
}

#[test]
fn e_out_of_range() {
    let pairs = vec![Pair { index: u32::MAX, value: i64::MIN }, Pair { index: 0, value: i64::MAX }];
    assert_eq!(crowd_of("out_of_range").0, vec![PersonOutput::Pairs(pairs); 4]);
}

#[test]
fn e_too_many_outputs() {
    for count in [3, 1 << 16, i64::from(i32::MAX)] {
        let persons = [vec![10], vec![BOB, count], vec![12]];
        let wasm = evil("too_many_outputs");
        let (outputs, counters) = isolated(&wasm, ColumnKind::Int, FUEL, &persons);
        assert_eq!(outputs, [one(1), NoContribution, one(1)]);
        assert_eq!(counters.bad_returns, 1);
    }
}

#[test]
fn e_ret_negative() {
    let (outputs, counters) = crowd_of("ret_negative");
    assert_eq!(outputs, all_but_bob());
    assert_eq!(counters.bad_returns, 1);
}

#[test]
fn e_out_overlap() {
    assert_eq!(start_refused(&evil("out_overlap")).reason, "buffers_overlap");
    // Over the layout words.
    let over = evil_but("out_overlap", "(i32.const 1040)", "(i32.const 30)");
    assert_eq!(start_refused(&over).reason, "buffers_overlap");
}

#[test]
fn e_bad_ptr() {
    assert_eq!(start_refused(&evil("bad_ptr")).reason, "buffer_outside");
    let last = evil_but("bad_ptr", "(i32.const -16)", "(i32.const 65505)");
    assert_eq!(start_refused(&last).reason, "buffer_outside");
    let layout =
        evil_but("bad_ptr", "LAYOUT\") i32 (i32.const 16)", "LAYOUT\") i32 (i32.const 65530)");
    assert_eq!(start_refused(&layout).reason, "layout_outside");
}

#[test]
fn e_host_input_residue() {
    // The sum of the person's own bytes and bitmap: 0b11 + 10 + 11, 0b111 + 66 + 67 + 68, 1 + 12, 0.
    assert_eq!(crowd_of("host_input_residue").0, [one(24), one(208), one(13), one(0)]);
}

#[test]
fn e_simd_lane_straddle() {
    let (outputs, counters) = crowd_of("simd_lane_straddle");
    assert_eq!(outputs, [one(0), NoContribution, one(0), one(0)]);
    assert_eq!(counters.traps, 1);
}

#[test]
fn e_bulk_wraparound() {
    let (outputs, counters) = crowd_of("bulk_wraparound");
    assert_eq!(outputs, [one(0), NoContribution, one(0), one(0)]);
    assert_eq!(counters.traps, 1);
}

#[test]
fn e_memory_init_after_drop() {
    let (outputs, counters) = crowd_of("memory_init_after_drop");
    assert_eq!(outputs, [one(7), NoContribution, one(7), one(7)]);
    assert_eq!(counters.traps, 1);
}

#[test]
fn e_indirect_store() {
    assert_eq!(crowd_of("indirect_store").0, all_the_same(1));
}

#[test]
fn e_start_function() {
    assert_eq!(refused(&evil("start_function")), VetError::StartFunction);
}

#[test]
fn e_two_memories() {
    assert_eq!(refused(&evil("two_memories")), VetError::TwoMemories { count: 2 });
}

#[test]
fn e_memory64() {
    assert_eq!(refused(&evil("memory64")), VetError::Memory64);
}

#[test]
fn e_huge_table() {
    let want = VetError::PastLimit { limit: Limit::TableElements, found: 10_000_000, max: 4096 };
    assert_eq!(refused(&evil("huge_table")), want);
}

#[test]
fn e_compile_bomb() {
    let want = Limit::FunctionComplexity;
    assert!(
        matches!(refused(&evil("compile_bomb")), VetError::PastLimit { limit, .. } if limit == want)
    );
    // Loops whose headers each carry every local: the compiler's SSA form would grow as the product.
    let locals = " i64".repeat(1000);
    let loops = "(loop (br_if 0 (i32.const 0)))".repeat(2000);
    let gets: String = (0..1000).map(|n| format!("(drop (local.get {n}))")).collect();
    let bomb = format!("(module (func (local{locals}) {loops} {gets}))");
    assert_eq!(past_limit(&bomb), Limit::FunctionComplexity);
    // The same work spread over many functions.
    let loops = "(loop (br_if 0 (i32.const 0)))".repeat(100);
    let bomb = format!("(module {})", format!("(func (local{locals}) {loops})").repeat(12));
    assert_eq!(past_limit(&bomb), Limit::ModuleComplexity);
    // Bulk operations, each a call with checks around it.
    let fills = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 129))".repeat(20);
    let bulk = |count| {
        let body = format!("(func (local{locals}) {fills})").repeat(count);
        format!("(module (memory 1 1) {body})")
    };
    assert_eq!(past_limit(&bulk(13)), Limit::ModuleComplexity);
    let locals = " i64".repeat(1025);
    assert_eq!(past_limit(&format!("(module (func (local{locals})))")), Limit::Locals);
    let nested = format!("(module (func {} {}))", "(block ".repeat(300), ")".repeat(300));
    assert_eq!(past_limit(&nested), Limit::Nesting);
    let long = "(drop (i32.const 1000000))".repeat(20_000);
    assert_eq!(past_limit(&format!("(module (func {long}))")), Limit::FunctionBytes);
    let wide = " i32".repeat(33);
    assert_eq!(past_limit(&format!("(module (func (param{wide})))")), Limit::Params);
    let loops = "(loop)".repeat(5000);
    assert_eq!(past_limit(&format!("(module (func {loops}))")), Limit::Branches);
    let table = format!("(br_table{} (i32.const 0))", " 0".repeat(5000));
    assert_eq!(past_limit(&format!("(module (func {table}))")), Limit::Branches);
}

#[test]
fn e_zipbomb_sections() {
    let many = refused(&evil("zipbomb_sections"));
    assert!(matches!(many, VetError::PastLimit { limit: Limit::Sections, .. }), "{many:?}");
    let header = b"\0asm\x01\0\0\0".to_vec();
    let with = |bytes: &[u8]| [&header, bytes].concat();
    let limit_of = |bytes: &[u8]| match refused(bytes) {
        VetError::PastLimit { limit, .. } => limit,
        other => panic!("not past a limit: {other:?}"),
    };
    let empty_custom = [0, 2, 1, b'x'];
    assert_eq!(limit_of(&with(&empty_custom.repeat(65))), Limit::Sections);
    let big_custom =
        |bytes: usize| [leb(0), leb(bytes + 2), vec![1, b'x'], vec![0; bytes]].concat();
    assert_eq!(limit_of(&with(&big_custom(70 << 10))), Limit::CustomBytes);
    assert_eq!(limit_of(&with(&big_custom(16 << 10).repeat(5))), Limit::CustomBytes);
    assert_eq!(limit_of(&with(&big_custom(2 << 20))), Limit::ModuleBytes);
    // Counts that lie: sections for types, functions, globals, exports, elements, data, code.
    let lies = [
        (1, Limit::Types),
        (3, Limit::Functions),
        (6, Limit::Globals),
        (7, Limit::Exports),
        (9, Limit::Segments),
        (11, Limit::Segments),
        (12, Limit::Segments),
    ];
    for (section, limit) in lies {
        let count = leb(u32::MAX as usize);
        let bytes = [leb(section), leb(count.len()), count].concat();
        assert_eq!(limit_of(&with(&bytes)), limit);
    }
    // A function that states four thousand million locals in a few bytes.
    let body = [leb(1), leb(u32::MAX as usize), vec![0x7e, 0x0b]].concat();
    let code = [leb(1), leb(body.len()), body].concat();
    let types = [1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0];
    let bytes = [&types[..], &leb(10), &leb(code.len()), &code].concat();
    assert_eq!(limit_of(&with(&bytes)), Limit::Locals);
    // A section that states more bytes than there are.
    let lie = [leb(1), leb(u32::MAX as usize)].concat();
    assert!(matches!(refused(&with(&lie)), VetError::Invalid { .. }));
}

#[test]
fn a12_outputs_equal_the_fresh_instance_oracle_in_any_order() {
    let stateful = ["state_memory", "state_hidden_global", "state_table", "simd_lane_straddle"];
    let mut next: u64 = 7;
    for name in stateful {
        // Five persons, up to four rows each, every second one a Bob: 120 orders.
        let persons: Vec<Vec<i64>> = (0..5)
            .map(|person| {
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let rows = (next >> 60) as usize % 4 + 1;
                let mut values = vec![(next >> 33).cast_signed(); rows];
                if person % 2 == 0 {
                    values[0] = BOB;
                }
                values
            })
            .collect();
        isolated(&evil(name), ColumnKind::Int, FUEL, &persons);
    }
}

/// What the crowd gives when its 32 bytes of output are values in order: a pair's index and zero word are the
/// first value, which is 0, and its value is the second.
fn second(values: [Option<i64>; 4]) -> Vec<PersonOutput> {
    let output = |value: Option<i64>| match value {
        None => NoContribution,
        Some(0) => PersonOutput::Pairs(vec![]),
        Some(value) => PersonOutput::Pairs(vec![Pair { index: 1, value }]),
    };
    values.map(output).into()
}

/// Runs the crowd in every tier that can host the module, in every order, compared with the image after every
/// person; then against the oracle.
fn in_every_tier(wasm: &[u8], want: &[PersonOutput]) {
    let setup = Setup { shape: in_order(), ..setup(wasm, ColumnKind::Int, FUEL) };
    let (module, persons) = (vetted(wasm).unwrap(), crowd());
    for tier in Tier::ALL.into_iter().filter(|tier| module.can_run_in(*tier)) {
        let compiled = compile_in(&module, tier).unwrap();
        let job = Job::new(compiled, setup.shape.clone(), FUEL).unwrap();
        let mut job = job.compared_every(1);
        for order in orders(persons.len()) {
            let shuffled: Vec<_> = order.iter().map(|i| persons[*i].clone()).collect();
            let want: Vec<_> = order.iter().map(|i| want[*i].clone()).collect();
            let mut outputs = Outputs::default();
            job.run_batch(&batch(&setup.shape, &shuffled).persons(), &mut outputs).unwrap();
            assert_eq!(outputs.to_persons(), want, "{tier} {order:?}");
        }
    }
    assert_eq!(isolated_as(&setup, &persons).0, want);
}

#[test]
fn a12_values_in_order_equal_the_oracle_in_every_tier_and_order() {
    let same = |value| second([Some(value); 4]);
    let but_bob = |value| second([Some(value), None, Some(value), Some(value)]);
    let modules = [
        ("state_memory", same(1)),
        ("state_straddle", same((1 << 32) + 1)),
        ("state_global", same(1)),
        ("state_hidden_global", same(0)),
        ("state_bulk", same(0)),
        ("state_table", same(1)),
        ("state_data_drop", same(7)),
        ("state_then_trap", but_bob(1)),
        ("bulk_wraparound", but_bob(0)),
        ("spin_if_bob", but_bob(1)),
        ("deep_recursion_if_bob", but_bob(1)),
        ("ret_negative", but_bob(1)),
        ("too_many_outputs", but_bob(1)),
        ("host_input_residue", second([24, 208, 13, 0].map(Some))),
    ];
    for (name, want) in modules {
        in_every_tier(&evil(name), &want);
    }
    // A value that Bob alone writes: nobody else may find it in the buffer.
    let residue = evil_but(
        "ret_negative",
        "(return (i32.const 0x80000000))",
        "(i64.store (i32.const 2064) (i64.const 5))",
    );
    let mut want = same(1);
    want[1] = PersonOutput::Pairs(vec![Pair { index: 1, value: 1 }, Pair { index: 2, value: 5 }]);
    in_every_tier(&residue, &want);
}

/// The limit that a module passes.
#[track_caller]
fn past_limit(text: &str) -> Limit {
    match refused(&wat::parse_str(text).unwrap()) {
        VetError::PastLimit { limit, found, max } => {
            assert!(found > max);
            limit
        }
        other => panic!("not past a limit: {other:?}"),
    }
}

/// Unsigned LEB128, as sections state their numbers.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
