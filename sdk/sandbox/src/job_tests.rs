//! What the next person gets after a run that did not return: an instance as the image says, in every tier.
//!
//! Must never take the image from the job under test: an instance that has run nothing, of another
//! engine, says what it must be.

use super::*;
use crate::batch::{ColumnData, PersonBatch};
use crate::engine::{compile, compile_in};
use crate::limits::Limits;
use crate::outputs::{Pair, PersonOutput};
use crate::shape::ColumnKind;
use crate::vet::vet;

const FUEL: u64 = 100_000;
/// First values at which a module traps, spins, and recurses, once it has written what it can.
const TRAPS: i64 = 66;
const SPINS: i64 = 67;
const RECURSES: i64 = 68;

/// One column of four rows, two pairs. `write` writes what it can, and says in `$found` what it found there.
fn module(globals: &str, write: &str) -> String {
    format!(
        "(module (memory (export \"memory\") {SMALL}) {globals}
          (global (export \"CLOISTER_INPUT\") i32 (i32.const 1024))
          (global (export \"CLOISTER_OUTPUT\") i32 (i32.const 2048))
          (global (export \"CLOISTER_LAYOUT\") i32 (i32.const 16))
          (data (i32.const 16) \"\\01\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00\\00\\00\\00\\00\")
          (func $down (param i32) (result i32)
            (i32.add (call $down (local.get 0)) (i32.const 1)))
          (func (export \"person_map\") (param i32) (result i32) (local $value i64) (local $found i64)
            (local.set $value (i64.load (i32.const 1032)))
            {write}
            (if (i64.eq (local.get $value) (i64.const {TRAPS})) (then (unreachable)))
            (if (i64.eq (local.get $value) (i64.const {SPINS})) (then (loop (br 0))))
            (if (i64.eq (local.get $value) (i64.const {RECURSES})) (then (drop (call $down (i32.const 0)))))
            {RETURN}))"
    )
}

/// Pages of a memory that is copied back whole after a trap, and of one that is not.
const SMALL: &str = "3 3";
const LARGE: &str = "5 5";

/// A module that writes nothing returns no pair.
const RETURN: &str = "(i32.const 0)";
const RETURN_FOUND: &str = "(i64.store (i32.const 2048) (i64.const 0))
    (i64.store (i32.const 2056) (local.get $found)) (i32.const 1)";

/// A module for each tier.
fn modules() -> [(Tier, String); 4] {
    let global = "(global $seen (mut i64) (i64.const 5))";
    let count = "(local.set $found (global.get $seen))
        (global.set $seen (i64.add (global.get $seen) (i64.const 1)))";
    let writing = |globals: &str, write: &str| {
        let text = module(globals, write);
        // The last return alone.
        let at = text.rfind(RETURN).unwrap();
        format!("{}{RETURN_FOUND}{}", &text[..at], &text[at + RETURN.len()..])
    };
    let window = format!(
        "{count} (local.set $found (i64.add (local.get $found) (i64.load (i32.const 4096))))
         (i64.store (i32.const 4096) (i64.const 9))"
    );
    let cards = format!(
        "{count} (local.set $found (i64.add (local.get $found) (i64.load (i32.const 131064))))
         (memory.fill (i32.wrap_i64 (i64.shl (local.get $value) (i64.const 9))) (i32.const 3) (i32.const 700))
         (i64.store offset=65536 (i32.and (i32.wrap_i64 (local.get $value)) (i32.const 65528)) (i64.const -1))
         (i64.store (i32.sub (i32.const 131072) (i32.const 8)) (i64.const 11))"
    );
    let fresh = "(memory.init $once (i32.const 4096) (i32.const 0) (i32.const 8)) (data.drop $once)
         (local.set $found (i64.load (i32.const 4096)))";
    [
        (Tier::Pure, module("", "")),
        (Tier::Window, writing(global, &window)),
        (Tier::Cards, writing(global, &cards)),
        (Tier::Fresh, writing("(data $once \"eight by\")", fresh)),
    ]
}

fn job(text: &str) -> Job {
    let wasm = wat::parse_str(text).unwrap();
    let compiled = compile(&vet(&wasm, &Limits::V1).unwrap()).unwrap();
    Job::new(compiled, shape(), FUEL).unwrap()
}

fn shape() -> Shape {
    Shape::new(4, vec![ColumnKind::Int], 2).unwrap()
}

fn run(job: &mut Job, values: &[i64]) -> Vec<PersonOutput> {
    let mut outputs = Outputs::default();
    job.run_batch(&batch(values).persons(), &mut outputs).unwrap();
    outputs.to_persons()
}

/// A person for each value.
fn batch(values: &[i64]) -> PersonBatch {
    let mut batch = PersonBatch::new(&shape());
    for value in values {
        let column = ColumnData::Int { values: &[*value, 3], valid: &[true, true] };
        batch.push_person(2, &[column]).unwrap();
    }
    batch
}

#[test]
fn e_state_then_trap_leaves_the_image_in_every_tier() {
    let sizes = [SMALL, LARGE].map(|pages| modules().map(|(tier, text)| (tier, pages, text)));
    for (tier, pages, text) in sizes.into_iter().flatten() {
        let text = text.replace(
            &format!("(export \"memory\") {SMALL}"),
            &format!("(export \"memory\") {pages}"),
        );
        let mut oracle = job(&text);
        assert_eq!(oracle.tier(), tier);
        let mut untouched = oracle.start().unwrap();
        let image = Image::of(&mut untouched);
        drop(untouched);
        let mut job = job(&text);
        let alone = run(&mut job, &[10]);
        assert!(matches!(alone.as_slice(), [PersonOutput::Pairs(_)]), "{tier}: {alone:?}");
        for ends in [TRAPS, SPINS, RECURSES] {
            // In the middle of a batch, as its last person, and twice in turn.
            for values in [&[11, ends, 12][..], &[13, ends], &[ends, ends]] {
                let found = run(&mut job, values);
                for (value, output) in values.iter().zip(&found) {
                    let want = if *value == ends { &PersonOutput::Default } else { &alone[0] };
                    assert_eq!(output, want, "{tier}, {value}");
                }
                // Whoever trapped last may have left an instance that serves others.
                let keeps = pages == SMALL && !matches!(tier, Tier::Fresh);
                let ended_well = values.last().is_some_and(|value| *value < TRAPS);
                let serves = !matches!(tier, Tier::Fresh) && (keeps || ended_well);
                assert_eq!(job.live.is_some(), serves, "{tier}, {pages}");
                let mut next = match job.live.take() {
                    Some(live) => live,
                    None => job.start().unwrap(),
                };
                assert_eq!(next.globals.len(), image.globals_len(), "{tier}");
                assert!(image.matches(&mut next), "{tier} after {values:?}");
                // In it, then in another.
                job.live = serves.then_some(next);
                for _ in 0..2 {
                    assert_eq!(run(&mut job, &[10]), alone, "{tier} after {values:?}");
                    job.live = None;
                }
            }
        }
        let counters = job.counters();
        assert_eq!((counters.traps, counters.out_of_fuel), (4, 4), "{tier}: {counters:?}");
        assert_eq!(counters.stack_overflows, 4, "{tier}");
    }
}

#[test]
fn the_modules_of_the_tiers_would_show_what_a_person_left() {
    for (tier, text) in modules() {
        if !matches!(tier, Tier::Window | Tier::Cards) {
            continue;
        }
        // The first person of a job is always compared with the image: without a restore that fails.
        let mut batch = PersonBatch::new(&shape());
        batch.push_person(1, &[ColumnData::Int { values: &[10], valid: &[true] }]).unwrap();
        let mut outputs = Outputs::default();
        let ran = job(&text).keeping_state().run_batch(&batch.persons(), &mut outputs);
        assert!(matches!(ran, Err(JobError::Sandbox { .. })), "{tier}: {ran:?}");
        let found = PersonOutput::Pairs(vec![Pair { index: 0, value: 5 }]);
        assert_eq!(outputs.to_persons(), [found], "{tier}");
    }
}

#[test]
fn a_job_as_shipped_compares_its_first_person_and_then_one_in_a_sample() {
    // Writes for one value alone, so that a restore left out shows from that person on and not before.
    const WRITES: i64 = 7;
    let write = format!(
        "(if (i64.eq (local.get $value) (i64.const {WRITES})) (then
           (i64.store (i32.const 4096) (i64.const 9))))"
    );
    let vetted = vet(&wat::parse_str(module("", &write)).unwrap(), &Limits::V1).unwrap();
    let every = usize::try_from(COMPARED_EVERY).unwrap();
    for tier in [Tier::Window, Tier::Cards] {
        let compiled = compile_in(&vetted, tier).unwrap();
        let shipped = || Job::new(compiled.clone(), shape(), FUEL).unwrap();
        let mut outputs = Outputs::default();
        let mut ends = |job: &mut Job, values: &[i64]| {
            outputs.clear();
            job.run_batch(&batch(values).persons(), &mut outputs)
        };
        // The first is compared at once.
        let state_left = ends(&mut shipped().keeping_state(), &[WRITES]);
        assert!(matches!(state_left, Err(JobError::Sandbox { .. })), "{tier}: {state_left:?}");
        // The second and those after it are not, up to the end of the sample; whoever is next is.
        let mut values = vec![10; every];
        values[1] = WRITES;
        let mut job = shipped().keeping_state();
        assert_eq!(ends(&mut job, &values), Ok(()), "{tier}");
        let state_left = ends(&mut job, &[10]);
        assert!(matches!(state_left, Err(JobError::Sandbox { .. })), "{tier}: {state_left:?}");
        // And so on: two whole samples without a fault, then one.
        let mut job = shipped();
        assert_eq!(ends(&mut job, &values), Ok(()), "{tier}");
        assert_eq!(ends(&mut job, &values), Ok(()), "{tier}");
        let mut job = job.keeping_state();
        let state_left = ends(&mut job, &[WRITES]);
        assert!(matches!(state_left, Err(JobError::Sandbox { .. })), "{tier}: {state_left:?}");
    }
}
