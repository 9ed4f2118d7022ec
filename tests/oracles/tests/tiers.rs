//! Every tier against the fresh oracle: evil modules, every writing instruction at every kind of border,
//! random modules, and a restore that is left out on purpose.
//!
//! Must never take a tier's own earlier run for the oracle: that runs each person in an instance of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with evil.rs, which uses the rest")]
#[path = "../../../sdk/sandbox/tests/crowd/mod.rs"]
mod crowd;
#[allow(dead_code, reason = "shared with hostile.rs, which uses the rest")]
mod smith;

use cloister_sandbox::{
    ColumnData, ColumnKind, Compiled, Counters, Job, JobError, Outputs, Pair, PersonBatch,
    PersonOutput, Shape, Tier, Vetted, compile, compile_in,
};
use crowd::{BOB, FUEL, batch, crowd, evil, evil_but, in_order, one, orders, vetted};
use smith::{Random, Reach, random_module};

fn shape() -> Shape {
    Shape::new(4, vec![ColumnKind::Int], 2).unwrap()
}

fn job(compiled: Compiled, fuel: u64) -> Job {
    job_over(compiled, shape(), fuel)
}

fn job_over(compiled: Compiled, shape: Shape, fuel: u64) -> Job {
    Job::new(compiled, shape, fuel).unwrap().compared_every(1)
}

fn run(job: &mut Job, persons: &[Vec<i64>]) -> Result<Vec<PersonOutput>, JobError> {
    let mut outputs = Outputs::default();
    let batch = batch(job.shape(), persons);
    job.run_batch(&batch.persons(), &mut outputs)?;
    Ok(outputs.to_persons())
}

/// What persons give, each in an instance of its own.
struct Alone {
    outputs: Vec<PersonOutput>,
    /// Whose fuel or stack came to its end.
    ended: Vec<bool>,
    counters: Counters,
}

impl Alone {
    fn persons(&self) -> impl Iterator<Item = (&PersonOutput, bool)> {
        self.outputs.iter().zip(self.ended.iter().copied())
    }
}

/// Each person in an instance of its own, by the very code that the tier runs.
fn oracle(compiled: &Compiled, fuel: u64, persons: &[Vec<i64>]) -> Alone {
    oracle_over(compiled, shape(), fuel, persons)
}

fn oracle_over(compiled: &Compiled, shape: Shape, fuel: u64, persons: &[Vec<i64>]) -> Alone {
    let mut job = job_over(compiled.clone().afresh(), shape, fuel);
    assert_eq!(job.tier(), Tier::Fresh);
    let ends = |counters: &Counters| counters.out_of_fuel + counters.stack_overflows;
    let (mut outputs, mut ended) = (Vec::new(), Vec::new());
    for person in persons {
        let before = ends(job.counters());
        outputs.extend(run(&mut job, std::slice::from_ref(person)).unwrap());
        ended.push(ends(job.counters()) > before);
    }
    Alone { outputs, ended, counters: *job.counters() }
}

fn tiers(vetted: &Vetted) -> Vec<Tier> {
    Tier::ALL.into_iter().filter(|tier| vetted.can_run_in(*tier)).collect()
}

/// Runs the persons in these orders in one job of this tier; each output must be the oracle's. So it must be when
/// the whole output buffer is read as values in order, what no pair of this person's filled included. Returns the
/// pairs.
fn same_as_oracle(
    vetted: &Vetted,
    tier: Tier,
    fuel: u64,
    persons: &[Vec<i64>],
    orders: &[Vec<usize>],
) -> Alone {
    let compiled = compile_in(vetted, tier).unwrap();
    let [alone, _] = [shape(), in_order()].map(|shape| {
        let alone = oracle_over(&compiled, shape.clone(), fuel, persons);
        let layout = shape.layout();
        let mut job = job_over(compiled.clone(), shape, fuel);
        for order in orders {
            let shuffled: Vec<_> = order.iter().map(|i| persons[*i].clone()).collect();
            let want: Vec<_> = order.iter().map(|i| alone.outputs[*i].clone()).collect();
            assert_eq!(run(&mut job, &shuffled).as_ref(), Ok(&want), "{tier} {layout:?} {order:?}");
        }
        alone
    });
    alone
}

#[test]
fn a12_e_state_modules_are_harmless_in_every_tier_that_can_host_them() {
    use Tier::{Cards, Fresh, Window};
    let same = |value: i64| vec![one(value); 4];
    let but_bob = |value: i64| vec![one(value), PersonOutput::Default, one(value), one(value)];
    let all = [Window, Cards, Fresh].as_slice();
    let fresh = [Fresh].as_slice();
    let modules = [
        ("state_memory", all, same(1)),
        ("state_straddle", all, same((1 << 32) + 1)),
        ("state_global", all, same(1)),
        ("state_hidden_global", all, same(0)),
        ("state_bulk", all, same(0)),
        ("state_table", fresh, same(1)),
        ("state_data_drop", fresh, same(7)),
        ("state_then_trap", all, but_bob(1)),
        ("simd_lane_straddle", all, but_bob(0)),
        ("bulk_wraparound", all, but_bob(0)),
        ("memory_init_after_drop", fresh, but_bob(7)),
        ("indirect_store", all, same(1)),
        ("deep_recursion_if_bob", all, but_bob(1)),
        ("host_input_residue", all, vec![one(24), one(208), one(13), one(0)]),
    ];
    for (name, hosts, want) in modules {
        let vetted = vetted(&evil(name)).unwrap();
        assert_eq!(tiers(&vetted), hosts, "{name}");
        assert_eq!(vetted.tier(), hosts[0], "{name}");
        for tier in hosts {
            let outputs = same_as_oracle(&vetted, *tier, FUEL, &crowd(), &orders(4)).outputs;
            assert_eq!(outputs, want, "{name} {tier}");
            let compiled = compile_in(&vetted, *tier).unwrap();
            let values = oracle_over(&compiled, in_order(), FUEL, &crowd()).outputs;
            assert_eq!(values, want.iter().map(second).collect::<Vec<_>>(), "{name} {tier}");
        }
        for tier in Tier::ALL {
            let refused = compile_in(&vetted, tier).err().map(|error| error.reason());
            assert_eq!(refused.is_none(), hosts.contains(&tier), "{name} {tier} {refused:?}");
            assert!(refused.is_none_or(|reason| reason == "tier"));
        }
    }
}

#[test]
fn a12_a_module_that_cannot_write_is_pure() {
    // Its one pair lies in its file: nothing to restore but the input.
    let text = |body: &str| {
        let module = format!(
            "(module (memory (export \"memory\") 1 1)
              (global (export \"CLOISTER_INPUT\") i32 (i32.const 1024))
              (global (export \"CLOISTER_OUTPUT\") i32 (i32.const 2048))
              (global (export \"CLOISTER_LAYOUT\") i32 (i32.const 16))
              (data (i32.const 16) \"\\01\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00\\00\\00\\00\\00\")
              (data (i32.const 2048) \"\\09\\00\\00\\00\\00\\00\\00\\00\\05\")
              {body})"
        );
        vetted(&wat::parse_str(module).unwrap()).unwrap()
    };
    let body = "(func (export \"person_map\") (param i32) (result i32)
        (i64.eq (i64.load (i32.const 1032)) (i64.const 66)))";
    let pure = text(body);
    assert_eq!(tiers(&pure), Tier::ALL);
    for tier in Tier::ALL {
        let outputs = same_as_oracle(&pure, tier, FUEL, &crowd(), &orders(4)).outputs;
        let empty = PersonOutput::Pairs(vec![]);
        let pair = Pair { index: 9, value: 5 };
        let bob = PersonOutput::Pairs(vec![pair]);
        assert_eq!(outputs, [empty.clone(), bob, empty.clone(), empty]);
    }
    let with_global = text(&format!("(global (mut i32) (i32.const 0)) {body}"));
    assert_eq!(with_global.tier(), Tier::Window);
    let with_store =
        text(&format!("{body} (func (param i32) (i32.store8 (local.get 0) (i32.const 1)))"));
    assert_eq!(with_store.tier(), Tier::Cards);
    let with_fill = text(&format!(
        "{body} (func (param i32) (memory.fill (local.get 0) (i32.const 1) (local.get 0)))"
    ));
    assert_eq!(with_fill.tier(), Tier::Cards);
    let with_drop = text(&format!("{body} (func (data.drop 0))"));
    assert_eq!(with_drop.tier(), Tier::Fresh);
}

/// The pair of [`one`] when its bytes are values in order: an index and a zero word that are 0, then its value.
fn second(pairs: &PersonOutput) -> PersonOutput {
    let PersonOutput::Pairs(pairs) = pairs else { return PersonOutput::Default };
    let values = pairs.iter().filter(|pair| pair.value != 0);
    PersonOutput::Pairs(values.map(|pair| Pair { index: 1, value: pair.value }).collect())
}

/// A module that writes once at the address in its first row, and first sums all memory past 4 KiB.
fn writes_anywhere(write: &str) -> Vec<u8> {
    let text = format!(
        "(module (memory (export \"memory\") 1 1)
          (global (export \"CLOISTER_INPUT\") i32 (i32.const 1024))
          (global (export \"CLOISTER_OUTPUT\") i32 (i32.const 2048))
          (global (export \"CLOISTER_LAYOUT\") i32 (i32.const 16))
          (data (i32.const 16) \"\\01\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00\\00\\00\\00\\00\")
          (func (export \"person_map\") (param $rows i32) (result i32)
            (local $at i32) (local $sum i64) (local $to i32)
            (local.set $at (i32.const 4096))
            (loop $again
              (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
              (local.set $at (i32.add (local.get $at) (i32.const 8)))
              (br_if $again (i32.lt_u (local.get $at) (i32.const 65536))))
            (local.set $to (i32.wrap_i64 (i64.load (i32.const 1032))))
            {write}
            (i64.store (i32.const 2048) (i64.const 0))
            (i64.store (i32.const 2056) (local.get $sum))
            (i32.const 1)))"
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn a12_every_write_at_every_border_is_undone() {
    let lane = |bits: u32| {
        format!("(v128.store{bits}_lane 1 (local.get $to) (i8x16.splat (i32.const -1)))")
    };
    let mut writes: Vec<String> = [
        "(i32.store (local.get $to) (i32.const -1))",
        "(i64.store (local.get $to) (i64.const -1))",
        "(f32.store (local.get $to) (f32.const -1))",
        "(f64.store (local.get $to) (f64.const -1))",
        "(i32.store8 (local.get $to) (i32.const -1))",
        "(i32.store16 (local.get $to) (i32.const -1))",
        "(i64.store8 (local.get $to) (i64.const -1))",
        "(i64.store16 (local.get $to) (i64.const -1))",
        "(i64.store32 (local.get $to) (i64.const -1))",
        "(v128.store (local.get $to) (i8x16.splat (i32.const -1)))",
        "(i64.store offset=5 (local.get $to) (i64.const -1))",
        "(i32.store offset=0xfffffffc (local.get $to) (i32.const -1))",
        "(i64.store8 offset=0xffffffff (local.get $to) (i64.const -1))",
        "(memory.fill (local.get $to) (i32.const 7) (i32.const 1))",
        "(memory.fill (local.get $to) (i32.const 7) (i32.const 0))",
        "(memory.fill (local.get $to) (i32.const 7) (i32.const 1024))",
        "(memory.fill (local.get $to) (i32.const 7) (local.get $to))",
        "(memory.fill (local.get $to) (i32.const 7) (i32.const -1))",
        "(memory.copy (local.get $to) (i32.const 1024) (i32.const 40))",
        "(memory.copy (local.get $to) (i32.const 1032) (i32.const 4000))",
        // The input buffer itself, past the person's rows.
        "(i64.store (i32.add (local.get $to) (i32.const -65000)) (i64.const -1))",
    ]
    .map(str::to_owned)
    .into();
    writes.extend([8, 16, 32, 64].map(lane));
    let mut places: Vec<i64> = vec![0, 1, 1040, 1056, 32768, 0x7fff_ffff, 0xffff_ffff, 0xffff_fff8];
    // Borders of cards, of groups of them, of both, and the end.
    for border in [4096, 4352, 4608, 5120, 8192, 32_768, 33_280, 65_024, 65_536] {
        places.extend((-17..=1).map(|off| border + off));
    }
    let persons: Vec<Vec<i64>> = places.iter().map(|place| vec![*place, -1]).collect();
    let order: Vec<usize> = (0..persons.len()).collect();
    let back: Vec<usize> = order.iter().rev().copied().collect();
    for write in writes {
        let vetted = vetted(&writes_anywhere(&write)).unwrap();
        // Offsets past all memory are proven to trap.
        let traps = write.contains("offset=0xfffff");
        assert_eq!(vetted.tier(), if traps { Tier::Window } else { Tier::Cards }, "{write}");
        let orders = [order.clone(), back.clone()];
        let outputs = same_as_oracle(&vetted, Tier::Cards, FUEL, &persons, &orders).outputs;
        // A write below the output buffer may have changed the pair, but never for another person.
        let plain = outputs.iter().filter(|output| **output == one(0)).count();
        let traps = outputs.iter().filter(|output| **output == PersonOutput::Default).count();
        assert!(plain + traps >= persons.len() - 2, "{write}: {plain} plain, {traps} traps");
        // Marks change no result: the module as it came in says the same.
        let original = compile_in(&vetted, Tier::Fresh).unwrap();
        assert_eq!(oracle(&original, FUEL, &persons).outputs, outputs, "{write}");
    }
}

/// How random modules ended.
#[derive(Default, Debug)]
struct Census {
    modules: usize,
    refused: usize,
    pairs: usize,
    defaults: usize,
    /// Persons whom a tier's code and the original were both run for to their end.
    compared: usize,
    /// Modules that a tier can host.
    by_tier: [usize; 4],
    /// Modules whose cheapest tier it is.
    chosen: [usize; 4],
}

#[test]
fn a12_random_modules_and_persons_agree_with_the_oracle_in_any_order() {
    use Reach::{HalfPage, Near, ReadOnly};
    let mut random = Random(12);
    let mut census = Census::default();
    while census.modules < 80 {
        // Any store to half a page forces cards: as many modules write near by, and some nothing at all.
        let reach = [HalfPage, Near, HalfPage, Near, ReadOnly][census.modules % 5];
        let wasm = random_module(&mut random, reach);
        let Ok(vetted) = vetted(&wasm) else {
            census.refused += 1;
            assert!(census.refused < 60, "{census:?}");
            continue;
        };
        census.modules += 1;
        let persons: Vec<Vec<i64>> = (0..5)
            .map(|_| {
                let rows = random.below(5);
                (0..rows).map(|_| random_value(&mut random)).collect()
            })
            .collect();
        agree(&vetted, &persons, &mut census);
    }
    // The random modules must be worth something: most run through, many need cards, each tier is some's own.
    assert!(census.pairs > 80 && census.by_tier[2] > 40, "{census:?}");
    assert!(census.compared > 100, "{census:?}");
    assert!(census.chosen.iter().all(|modules| *modules > 3), "{census:?}");
}

/// Runs five persons in every tier that can host the module, against the oracle and against the module as it
/// came in.
fn agree(vetted: &Vetted, persons: &[Vec<i64>], census: &mut Census) {
    let orders = [vec![0, 1, 2, 3, 4], vec![4, 3, 2, 1, 0], vec![2, 2, 0, 4, 1, 3, 3]];
    let fuel = 100_000;
    let original = oracle(&compile_in(vetted, Tier::Fresh).unwrap(), fuel, persons);
    for (nth, tier) in Tier::ALL.into_iter().enumerate() {
        census.chosen[nth] += usize::from(vetted.tier() == tier);
        census.by_tier[nth] += usize::from(vetted.can_run_in(tier));
        if tier == Tier::Fresh || !vetted.can_run_in(tier) {
            continue;
        }
        let hosted = same_as_oracle(vetted, tier, fuel, persons, &orders);
        for ((own, own_ended), (output, ended)) in original.persons().zip(hosted.persons()) {
            // What the rewriter adds uses fuel and stack; short of their ends it changes nothing.
            if !own_ended && !ended {
                assert_eq!(output, own, "{tier}");
                census.compared += 1;
            }
        }
    }
    let outputs = &original.outputs;
    let defaults = outputs.iter().filter(|output| **output == PersonOutput::Default).count();
    census.defaults += defaults;
    census.pairs += outputs.len() - defaults;
}

fn random_value(random: &mut Random) -> i64 {
    match random.below(4) {
        0 => BOB,
        1 => random.below(1 << 16) as i64,
        _ => i64::from_le_bytes(random.bytes(8).try_into().unwrap()),
    }
}

#[test]
fn a12_a_module_with_std_collections_and_a_heap_runs_on_dirty_cards() {
    let path =
        format!("{}/../../sdk/guest/benches/std_map/module.wasm", env!("CARGO_MANIFEST_DIR"));
    let vetted = vetted(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(tiers(&vetted), [Tier::Cards, Tier::Fresh]);
    let shape = Shape::new(8, vec![ColumnKind::Int; 2], 5).unwrap();
    let mut random = Random(3);
    let (mut persons, mut want) = (PersonBatch::new(&shape), Vec::new());
    for _ in 0..500 {
        let rows = random.below(9);
        let cells: Vec<i64> = (0..rows).map(|_| random.below(7) as i64).collect();
        let amounts: Vec<i64> = (0..rows).map(|_| random.below(9) as i64 - 4).collect();
        let valid: Vec<bool> = (0..rows).map(|_| random.below(9) > 0).collect();
        let all = vec![true; rows];
        let int = |values, valid| ColumnData::Int { values, valid };
        persons.push_person(rows, &[int(&cells, &valid), int(&amounts, &all)]).unwrap();
        let mut sums = std::collections::BTreeMap::<i64, i64>::new();
        for ((cell, amount), _) in cells.iter().zip(&amounts).zip(&valid).filter(|(_, v)| **v) {
            *sums.entry(*cell).or_default() += amount;
        }
        let distinct = Pair { index: u32::MAX, value: sums.len() as i64 };
        let pairs =
            sums.iter().take(4).map(|(cell, sum)| Pair { index: *cell as u32, value: *sum });
        want.push(PersonOutput::Pairs(pairs.chain([distinct]).collect()));
    }
    let compiled = compile(&vetted).unwrap();
    for compiled in [compiled.clone().afresh(), compiled] {
        let mut job = Job::new(compiled, shape.clone(), FUEL).unwrap().compared_every(1);
        let mut outputs = Outputs::default();
        job.run_batch(&persons.persons(), &mut outputs).unwrap();
        assert_eq!(outputs.to_persons(), want, "{}", job.tier());
    }
}

#[test]
fn a25_state_kept_is_caught_in_every_tier_that_restores() {
    for (name, tier) in [
        ("state_memory", Tier::Window),
        ("state_memory", Tier::Cards),
        ("state_hidden_global", Tier::Window),
        ("state_hidden_global", Tier::Cards),
        ("state_bulk", Tier::Cards),
        ("simd_lane_straddle", Tier::Cards),
    ] {
        let vetted = vetted(&evil(name)).unwrap();
        let mut mutant = job(compile_in(&vetted, tier).unwrap(), FUEL).keeping_state();
        let error = run(&mut mutant, &crowd()).unwrap_err();
        assert!(matches!(error, JobError::Sandbox { .. }), "{name} {tier}: {error}");
        // As shipped, the first person is compared; later ones on a sample.
        let mut shipped =
            Job::new(compile_in(&vetted, tier).unwrap(), shape(), FUEL).unwrap().keeping_state();
        assert!(run(&mut shipped, &crowd()).is_err(), "{name} {tier}");
    }
    for tier in [Tier::Window, Tier::Cards] {
        let vetted = vetted(&evil("state_then_trap")).unwrap();
        let mut mutant = job(compile_in(&vetted, tier).unwrap(), FUEL).keeping_state_of_traps();
        let error = run(&mut mutant, &crowd()).unwrap_err();
        assert!(matches!(error, JobError::Sandbox { .. }), "{tier}: {error}");
    }
}

#[test]
fn a12_fuel_is_the_same_for_each_person_whoever_came_before() {
    let fence = vetted(&evil("fuel_fence")).unwrap();
    for tier in tiers(&fence) {
        let alone = same_as_oracle(&fence, tier, 80_000, &crowd(), &orders(4));
        assert_eq!(alone.outputs, [one(1), PersonOutput::Default, one(1), one(1)], "{tier}");
        assert_eq!(alone.ended, [false, true, false, false], "{tier}");
        assert_eq!(alone.counters.out_of_fuel, 1);
    }
    // The last unit counts: one less is too little, in every order.
    let vetted = vetted(&evil("state_memory")).unwrap();
    let compiled = compile_in(&vetted, Tier::Cards).unwrap();
    let enough = (1..500)
        .find(|fuel| oracle(&compiled, *fuel, &crowd()).counters.out_of_fuel == 0)
        .expect("little fuel is enough");
    for fuel in [enough, enough - 1] {
        same_as_oracle(&vetted, Tier::Cards, fuel, &crowd(), &orders(4));
    }
}

#[test]
fn a_large_memory_has_more_cards_and_a_module_past_the_limits_gets_fresh_instances() {
    // 16 MiB: 65,536 cards of 256 bytes.
    let large =
        evil_but("state_straddle", "(export \"memory\") 1 1", "(export \"memory\") 256 256");
    let large = vetted(&large).unwrap();
    for tier in [Tier::Window, Tier::Cards] {
        let outputs = same_as_oracle(&large, tier, FUEL, &crowd(), &orders(3)).outputs;
        assert_eq!(outputs, vec![one((1 << 32) + 1); 4]);
    }
    // A function that marks make too long.
    let stores = "(i32.store (local.get $rows) (i32.const 1))".repeat(8_000);
    let call = "(func (export \"person_map\") (param $rows i32) (result i32)";
    let dense = evil_but("state_memory", call, &format!("{call} {stores}"));
    let dense = vetted(&dense).unwrap();
    assert_eq!(dense.tier(), Tier::Cards);
    assert_eq!(compile_in(&dense, Tier::Cards).unwrap().tier(), Tier::Fresh);
}
