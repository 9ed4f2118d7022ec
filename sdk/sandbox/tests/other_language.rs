//! The module that ships in C: its figures are those of a computation in Rust, bit by bit.
//!
//! Must never help the module along: the host does for it what it does for every other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cloister_sandbox::{
    ColumnData, ColumnKind, Counters, Job, Limits, Outputs, Pair, PersonBatch, PersonOutput,
    Runner, RunnerError, Setup, Shape, compile, vet,
};

const ROW_CAP: u32 = 512;
const FUEL: u64 = 100_000;
const BAND_ENDS_M: [f64; 7] = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5];

/// A row's place in metres; either half may be missing.
type Place = (Option<f64>, Option<f64>);

fn setup(row_cap: u32) -> Setup {
    let path = format!("{}/../../examples/modules/c-distance.wasm", env!("CARGO_MANIFEST_DIR"));
    let wasm = std::fs::read(path).unwrap();
    vet(&wasm, &Limits::V1).unwrap();
    let shape = Shape::new(row_cap, vec![ColumnKind::Float; 2], 1).unwrap();
    Setup { wasm, shape, fuel_per_person: FUEL }
}

/// As shipped, and once more with memory and globals compared with the image after every person.
fn run(persons: &[Vec<Place>]) -> (Vec<PersonOutput>, Counters) {
    let setup = setup(ROW_CAP);
    let mut runner = Runner::start(&setup).unwrap();
    let mut batch = PersonBatch::new(runner.shape());
    for person in persons {
        let column = |of: fn(&Place) -> Option<f64>| -> (Vec<f64>, Vec<bool>) {
            // What an invalid row holds must not matter.
            person.iter().map(|place| (of(place).unwrap_or(1e300), of(place).is_some())).unzip()
        };
        let (x, y) = (column(|place| place.0), column(|place| place.1));
        let columns = [x, y];
        let columns: Vec<_> =
            columns.iter().map(|(values, valid)| ColumnData::Float { values, valid }).collect();
        batch.push_person(person.len(), &columns).unwrap();
    }
    let outputs = runner.run_batch(&batch).unwrap();
    let compiled = compile(&vet(&setup.wasm, &Limits::V1).unwrap()).unwrap();
    let mut job = Job::new(compiled, setup.shape, FUEL).unwrap().compared_every(1);
    let mut compared = Outputs::default();
    job.run_batch(&batch.persons(), &mut compared).unwrap();
    assert_eq!(compared.to_persons(), outputs);
    (outputs, runner.finish().unwrap())
}

/// The same in Rust.
fn distance(person: &[Place]) -> PersonOutput {
    let places: Vec<(f64, f64)> = person
        .iter()
        .filter_map(|(x, y)| Some((x.as_ref()?, y.as_ref()?)))
        .map(|(x, y)| (*x, *y))
        .collect();
    let total_m: f64 = places
        .windows(2)
        .map(|leg| {
            let (dx, dy) = (leg[1].0 - leg[0].0, leg[1].1 - leg[0].1);
            (dx * dx + dy * dy).sqrt()
        })
        .fold(0.0, |sum, leg| sum + leg);
    if places.len() < 2 || !matches!(total_m, 0.0..9e18) {
        return PersonOutput::Pairs(vec![]);
    }
    let band = BAND_ENDS_M.iter().take_while(|end| total_m >= **end).count();
    PersonOutput::Pairs(vec![Pair { index: band as u32, value: total_m as i64 }])
}

#[test]
fn a_module_in_c_computes_what_rust_computes() {
    let mut random = Random(11);
    let mut persons: Vec<Vec<Place>> = (0..500)
        .map(|person| {
            let rows = if person == 0 { ROW_CAP as usize } else { random.below(20) as usize };
            let reach_m = [300.0, 3e3, 3e4][person % 3];
            (0..rows)
                .map(|_| {
                    let mut part = || {
                        let part = random.below(1 << 20) as f64 / f64::from(1 << 20) * reach_m;
                        (random.below(12) > 0).then_some(part)
                    };
                    (part(), part())
                })
                .collect()
        })
        .collect();
    let at = |x: f64, y: f64| (Some(x), Some(y));
    // At a band's end, just below it, nowhere, not a number, past every integer, no second place.
    persons.push(vec![at(0.0, 0.0), at(600.0, 800.0)]);
    persons.push(vec![at(0.0, 0.0), at(599.9, 800.0)]);
    persons.push(vec![at(5.0, 5.0); 3]);
    persons.push(vec![at(0.0, f64::NAN), at(1.0, 1.0)]);
    persons.push(vec![at(0.0, 0.0), at(f64::INFINITY, 1.0)]);
    persons.push(vec![at(0.0, 0.0), at(9e18, 9e18)]);
    persons.push(vec![at(0.0, 0.0), (None, Some(4.0))]);
    let (outputs, counters) = run(&persons);
    let want: Vec<_> = persons.iter().map(|person| distance(person)).collect();
    assert_eq!(outputs, want);
    assert_eq!(counters, Counters { persons: persons.len() as u64, ..Counters::default() });
    let bands: std::collections::BTreeSet<u32> = outputs
        .iter()
        .filter_map(|output| match output {
            PersonOutput::Pairs(pairs) => pairs.first().map(|pair| pair.index),
            PersonOutput::Default => None,
        })
        .collect();
    assert!(bands.len() >= 6, "{bands:?}");
}

#[test]
fn it_is_refused_for_other_rows_than_it_was_built_for() {
    match Runner::start(&setup(ROW_CAP / 2)) {
        Err(RunnerError::Refused(refusal)) => {
            assert_eq!(refusal.reason, "input_size");
            assert!(refusal.detail.contains("build the module"), "{}", refusal.detail);
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// A fixed sequence (Knuth's MMIX constants), good enough to vary persons.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}
