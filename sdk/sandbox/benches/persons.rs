//! What a person costs in every tier, beside the same function in native Rust: medians over rounds, of
//! processor time where the system tells it, so that a busy machine does not blur them; and the best single
//! run on the wall, which is what the machine gives when nobody else uses it.
//!
//! `--only TEXT` runs the cases whose names hold the text.
//!
//! Must never compare a tier with work that it does not do: every case reads the same eight rows a person.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::time::Instant;

use cloister_sandbox::{
    ColumnData, ColumnKind, Compiled, Job, Limits, Outputs, PersonBatch, Shape, Tier, compile,
    compile_again, compile_in, limits, vet,
};

/// One column of eight rows: 72 bytes of input; one pair.
macro_rules! skeleton {
    ($pages:literal, $body:literal) => {
        concat!(
            "(module (memory (export \"memory\") ", $pages, " ", $pages, ")
              (global (export \"CLOISTER_INPUT\") i32 (i32.const 1024))
              (global (export \"CLOISTER_OUTPUT\") i32 (i32.const 2048))
              (global (export \"CLOISTER_LAYOUT\") i32 (i32.const 16))
              (data (i32.const 16) \"\\01\\00\\00\\00\\48\\00\\00\\00\\10\\00\\00\\00\\00\\00\\00\\00\")
              (func $sum (param $rows i32) (result i64) (local $at i32) (local $sum i64)
                (if (local.get $rows) (then (loop $again
                  (local.set $sum (i64.add (local.get $sum)
                    (i64.load offset=1032 (i32.shl (local.get $at) (i32.const 3)))))
                  (local.set $at (i32.add (local.get $at) (i32.const 1)))
                  (br_if $again (i32.lt_u (local.get $at) (local.get $rows))))))
                (local.get $sum))
              (func $down (param $n i32) (result i32)
                (i32.add (call $down (local.get $n)) (i32.const 1)))
              (func (export \"person_map\") (param $rows i32) (result i32) (local $sum i64)
                (local.set $sum (call $sum (local.get $rows)))",
            $body,
            "(i64.store (i32.const 2048) (i64.const 0))
             (i64.store (i32.const 2056) (local.get $sum))
             (i32.const 1)))"
        )
    };
}

const ROWS: usize = 8;
const PERSONS: usize = 10_000;
const ROUNDS: usize = 9;
/// A round repeats its work for this long: the system's clock of processor time moves in ticks.
const ROUND_NS: f64 = 60e6;
const FUEL: u64 = 1_000_000;

fn main() {
    let people = People::new(PERSONS);
    println!("{PERSONS} persons a round, {ROWS} rows each, median of {ROUNDS} rounds, one core\n");
    println!(
        "{:<56} {:>9} {:>12} {:>9} {:>12}",
        "case", "ns/person", "persons/s", "best ns", "best/s"
    );
    let sum = native("native: sum of one column", PERSONS, || people.sums());
    let window = module(SUM, "window, 4 KiB (sum of one column)", Tier::Window, &people, 1);
    let cards = module(EIGHT_CARDS, "dirty cards, 1 MiB, 8 cards", Tier::Cards, &people, 1);
    module(SCATTERED, "dirty cards, 1 MiB, 8 cards anywhere", Tier::Cards, &people, 1);
    module(SUM, "dirty cards, 64 KiB, 2 cards (same sum)", Tier::Cards, &people, 1);
    module(SUM, "fresh instance, 64 KiB (same sum)", Tier::Fresh, &people, 1);
    module(EIGHT_CARDS, "fresh instance, 1 MiB, 8 cards", Tier::Fresh, &people, 1);
    let map = native("native: HashMap and BTreeMap", PERSONS, || people.maps());
    let std_map =
        run_module("Rust module with std collections", compiled(STD_MAP, None), &people, 2, 5);
    run_shape(
        "town-flows, 512 rows at most",
        compiled(FLOWS, None),
        &people.flows(),
        people.rows.len(),
    );
    println!("\nagainst native, best runs");
    println!("{:<44} {:>9.1} ns more", "window, sum of one column", window - sum);
    println!("{:<44} {:>9.1} ns more", "dirty cards, eight stores", cards - sum);
    println!("{:<44} {:>9.2} x, {:.1} ns more", "std collections", std_map / map, std_map - map);
    println!("\nfailures (the whole person, the restore included)");
    let image = vec![1_u8; limits::PAGE_BYTES as usize];
    let mut memory = image.clone();
    let restore = native("the restore: a copy of 64 KiB", 1, || {
        memory.copy_from_slice(black_box(&image));
    });
    for (name, text) in [("trap, 64 KiB", TRAP), ("stack exhaustion, 64 KiB", RECURSION)] {
        let whole = module(text, name, Tier::Window, &people, 1);
        println!("{:<44} {:>9.1} ns more than the restore, best runs", "", whole - restore);
    }
    println!("\nthe dearest fuel: units a millisecond, by which nodes reckon slots");
    dearest("a chain of loads through 8 MiB", CHAIN, None, CHAIN_FUEL);
    dearest("first touches of 4,095 pages, fresh instance", TOUCH, Some(Tier::Fresh), FUEL);
    println!("\ngrowth");
    for persons in [1_000, 10_000, 60_000] {
        let people = People::new(persons);
        let name = format!("dirty cards, 1 MiB, {persons} persons a batch");
        module(EIGHT_CARDS, &name, Tier::Cards, &people, 1);
    }
    if !is_asked("admission") {
        return;
    }
    admission();
}

/// What one person's fuel gives who uses it on the dearest instructions there are.
fn dearest(name: &str, text: &str, tier: Option<Tier>, fuel: u64) {
    if !is_asked(name) {
        return;
    }
    let compiled = compiled(&wat::parse_str(text).unwrap(), tier);
    let people = People::new(8);
    let batch = people.batch(1, 1);
    let mut job = Job::new(compiled, batch.shape().clone(), fuel).unwrap();
    let (persons, mut outputs) = (batch.persons(), Outputs::default());
    let time = measure(|| {
        outputs.clear();
        job.run_batch(&persons, &mut outputs).unwrap();
    })
    .each(persons.len());
    let used = if job.counters().out_of_fuel > 0 { fuel } else { TOUCH_FUEL };
    let per_ms = used as f64 / (time.median_ns / 1e6);
    println!("{name:<56} {per_ms:>12.0} units/ms, {:>8.1} ms a person", time.median_ns / 1e6);
}

fn admission() {
    println!("\nadmission: vet, rewrite, vet again, compile or load machine code, trial instance");
    println!("{:<44} {:>9} {:>9} {:>12} {:>9}", "ms", "compiled", "best", "machine code", "best");
    let large = wat::parse_str(large()).unwrap();
    for (name, wasm) in
        [("town-flows", FLOWS), ("std collections", STD_MAP), ("many functions", &large)]
    {
        let compiled = measure(|| {
            black_box(compile(&vet(wasm, &Limits::V1).unwrap()).unwrap());
        });
        let first = compile_again(&vet(wasm, &Limits::V1).unwrap(), None).unwrap();
        let artefact = first.1.unwrap();
        let loaded = measure(|| {
            let vetted = vet(wasm, &Limits::V1).unwrap();
            assert!(compile_again(&vetted, Some(&artefact)).unwrap().1.is_none());
        });
        let [compiled, loaded] =
            [compiled, loaded].map(|time| (time.median_ns / 1e6, time.best_ns / 1e6));
        println!(
            "{:<44} {:>9.2} {:>9.2} {:>12.2} {:>9.2}",
            format!("{name}, {} bytes", wasm.len()),
            compiled.0,
            compiled.1,
            loaded.0,
            loaded.1
        );
    }
}

/// A module of some 25 KB: functions that loop, read and write, each calling the one before.
fn large() -> String {
    let functions: String = (1..260)
        .map(|nth| {
            format!(
                "(func $f{nth} (param $n i32) (param $x i64) (result i64) (local $at i32)
                  (loop $again
                    (local.set $x (i64.add (i64.mul (local.get $x) (i64.const {nth}))
                      (i64.load offset=1032 (i32.shl (local.get $at) (i32.const 3)))))
                    (if (i64.gt_s (local.get $x) (i64.const 1000)) (then
                      (i64.store offset=4096 (i32.shl (local.get $at) (i32.const 3)) (local.get $x))))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $at) (local.get $n))))
                  (call $f{} (local.get $n) (local.get $x)))",
                nth - 1
            )
        })
        .collect();
    let last = "(local.set $sum (call $f259 (local.get $rows) (local.get $sum)))";
    skeleton!("1", "LAST").replace("LAST", last).replace(
        "(func $down",
        &format!("(func $f0 (param i32 i64) (result i64) (local.get 1)) {functions} (func $down"),
    )
}

/// (cell, amount) rows of each person.
struct People {
    cells: Vec<i64>,
    amounts: Vec<i64>,
    valid: Vec<bool>,
    rows: Vec<u32>,
}

impl People {
    fn new(persons: usize) -> People {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % below) as i64
        };
        let rows = persons * ROWS;
        People {
            cells: (0..rows).map(|_| random(6)).collect(),
            amounts: (0..rows).map(|_| random(1000)).collect(),
            valid: vec![true; rows],
            rows: vec![ROWS as u32; persons],
        }
    }

    fn batch(&self, columns: usize, pairs: u32) -> PersonBatch {
        let shape = Shape::new(ROWS as u32, vec![ColumnKind::Int; columns], pairs).unwrap();
        let mut batch = PersonBatch::new(&shape);
        let both = [
            ColumnData::Int { values: &self.cells, valid: &self.valid },
            ColumnData::Int { values: &self.amounts, valid: &self.valid },
        ];
        let taken = batch.push_persons(&self.rows, both.get(2 - columns..).unwrap()).unwrap();
        assert_eq!(taken, self.rows.len());
        batch
    }

    /// What town-flows reads: two columns of towns.
    fn flows(&self) -> PersonBatch {
        let shape = Shape::new(512, vec![ColumnKind::Code; 2], 4).unwrap();
        let mut batch = PersonBatch::new(&shape);
        let finish: Vec<i64> = self.amounts.iter().map(|amount| amount % 6).collect();
        let both =
            [&self.cells, &finish].map(|values| ColumnData::Code { values, valid: &self.valid });
        assert_eq!(batch.push_persons(&self.rows, &both).unwrap(), self.rows.len());
        batch
    }

    fn sums(&self) -> Vec<(u32, i64)> {
        let rows = self.amounts.chunks(ROWS).zip(self.valid.chunks(ROWS));
        rows.map(|(amounts, valid)| {
            let valid = amounts.iter().zip(valid).filter(|(_, valid)| **valid);
            (0, valid.map(|(amount, _)| *amount).sum())
        })
        .collect()
    }

    fn maps(&self) -> Vec<(u32, i64)> {
        let mut pairs = Vec::new();
        for (cells, amounts) in self.cells.chunks(ROWS).zip(self.amounts.chunks(ROWS)) {
            let mut sums: BTreeMap<u64, i64> = BTreeMap::new();
            let mut counts: HashMap<u64, u32> = HashMap::new();
            for (cell, amount) in cells.iter().zip(amounts) {
                *sums.entry(cell.cast_unsigned()).or_default() += amount;
                *counts.entry(cell.cast_unsigned()).or_default() += 1;
            }
            pairs.extend(sums.into_iter().take(4).map(|(cell, sum)| (cell as u32, sum)));
            pairs.push((u32::MAX, counts.len() as i64));
        }
        pairs
    }
}

/// Whether a case was asked for.
fn is_asked(name: &str) -> bool {
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    only.is_none_or(|only| name.contains(&only))
}

fn native<T>(name: &str, of: usize, mut run: impl FnMut() -> T) -> f64 {
    if !is_asked(name) {
        return f64::NAN;
    }
    let time = measure(|| {
        black_box(run());
    })
    .each(of);
    line(name, time);
    time.best_ns
}

fn module(text: &str, name: &str, tier: Tier, people: &People, columns: usize) -> f64 {
    let wasm = wat::parse_str(text).unwrap();
    run_module(name, compiled(&wasm, Some(tier)), people, columns, 1)
}

fn compiled(wasm: &[u8], tier: Option<Tier>) -> Compiled {
    let vetted = vet(wasm, &Limits::V1).unwrap();
    compile_in(&vetted, tier.unwrap_or(vetted.tier())).unwrap()
}

fn run_module(name: &str, compiled: Compiled, people: &People, columns: usize, pairs: u32) -> f64 {
    let batch = people.batch(columns, pairs);
    run_shape(name, compiled, &batch, people.rows.len())
}

fn run_shape(name: &str, compiled: Compiled, batch: &PersonBatch, want: usize) -> f64 {
    if !is_asked(name) {
        return f64::NAN;
    }
    let tier = compiled.tier();
    let mut job = Job::new(compiled, batch.shape().clone(), FUEL).unwrap();
    let (persons, mut outputs) = (batch.persons(), Outputs::default());
    let time = measure(|| {
        outputs.clear();
        job.run_batch(&persons, &mut outputs).unwrap();
    })
    .each(persons.len());
    assert_eq!(outputs.len(), want);
    line(&format!("{name} [{tier}]"), time);
    time.best_ns
}

/// Nanoseconds of one piece of work.
#[derive(Clone, Copy)]
struct Time {
    /// Of processor time, the median of the rounds' means.
    median_ns: f64,
    /// On the wall, of the fastest run.
    best_ns: f64,
}

impl Time {
    fn each(self, of: usize) -> Time {
        let of = of as f64;
        Time { median_ns: self.median_ns / of, best_ns: self.best_ns / of }
    }
}

fn measure(mut work: impl FnMut()) -> Time {
    let mut best_ns = f64::INFINITY;
    let mut round = || {
        let (start, mut times) = (Clock::now(), 0);
        loop {
            let run = Instant::now();
            work();
            best_ns = best_ns.min(run.elapsed().as_secs_f64() * 1e9);
            times += 1;
            let ns = start.elapsed_ns();
            if ns >= ROUND_NS {
                return ns / f64::from(times);
            }
        }
    };
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    Time { median_ns: rounds[ROUNDS / 2], best_ns }
}

/// This thread's processor time, or else the time on the wall.
struct Clock {
    wall: Instant,
    processor_ns: Option<f64>,
}

impl Clock {
    fn now() -> Clock {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let processor_ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
        Clock { wall: Instant::now(), processor_ns }
    }

    fn elapsed_ns(&self) -> f64 {
        match (self.processor_ns, Clock::now().processor_ns) {
            (Some(start), Some(now)) => now - start,
            _ => self.wall.elapsed().as_secs_f64() * 1e9,
        }
    }
}

fn line(name: &str, Time { median_ns, best_ns }: Time) {
    let (median_rate, best_rate) = (1e9 / median_ns, 1e9 / best_ns);
    println!("{name:<56} {median_ns:>9.1} {median_rate:>12.0} {best_ns:>9.1} {best_rate:>12.0}");
}

const FLOWS: &[u8] = include_bytes!("../../../examples/modules/town-flows.wasm");
const STD_MAP: &[u8] = include_bytes!("../../guest/benches/std_map/module.wasm");

/// Writes its sum also into one of 512 places: a window of 4 KiB and a line.
const SUM: &str = skeleton!(
    "1",
    "(i64.store offset=4096 (i32.and (i32.wrap_i64 (local.get $sum)) (i32.const 4088)) (local.get $sum))"
);

/// Writes at seven places all over 1 MiB, each time the same but unknown to the vetter; the output is the
/// eighth card. So a stack and a heap are used.
const EIGHT_CARDS: &str = skeleton!(
    "16",
    "(local.set $rows (i32.const 7))
     (loop $more
       (i64.store offset=65536 (i32.shl (local.get $rows) (i32.const 16)) (local.get $sum))
       (br_if $more (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))"
);

/// The same, but every person's rows choose among 7 x 64 cards.
const SCATTERED: &str = skeleton!(
    "16",
    "(local.set $rows (i32.const 7))
     (loop $more
       (i64.store offset=65536
         (i32.add (i32.shl (local.get $rows) (i32.const 16))
           (i32.shl (i32.wrap_i64 (i64.load offset=1032 (i32.shl (local.get $rows) (i32.const 3)))) (i32.const 5)))
         (local.get $sum))
       (br_if $more (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))"
);

const TRAP: &str = skeleton!("1", "(unreachable)");

const RECURSION: &str = skeleton!("1", "(drop (call $down (local.get $rows)))");

/// Fuel for the chain: its making is a small part of it.
const CHAIN_FUEL: u64 = 40_000_000;
/// Fuel that [`TOUCH`] uses: nine instructions a page.
const TOUCH_FUEL: u64 = 9 * 4_095;

/// Makes a chain of lines, each naming one far away, and follows it until the fuel ends: every load waits for the
/// one before, and misses.
const CHAIN: &str = skeleton!(
    "256",
    "(local.set $rows (i32.const 0))
     (loop $made
       (i32.store offset=8388608 (local.get $rows) (i32.add (i32.const 8388608)
         (i32.and (i32.add (local.get $rows) (i32.const 3342400)) (i32.const 8388607))))
       (br_if $made (i32.lt_u (local.tee $rows (i32.add (local.get $rows) (i32.const 64))) (i32.const 8388608))))
     (local.set $rows (i32.const 8388608))
     (loop $more
       (local.set $rows
         (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load
         (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load
         (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load
         (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load (i32.load
         (local.get $rows))))))))))))))))))))))))))))))))))
       (br $more))"
);

/// Writes into each page of 16 MiB.
const TOUCH: &str = skeleton!(
    "256",
    "(local.set $rows (i32.const 4096))
     (loop $more
       (i32.store8 offset=3000 (local.get $rows) (i32.const 1))
       (br_if $more (i32.lt_u (local.tee $rows (i32.add (local.get $rows) (i32.const 4096))) (i32.const 16773120))))"
);
