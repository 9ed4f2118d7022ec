//! The example modules that ship as bytes: vetted, equal to plain Rust on random persons, not stale.
//!
//! Must never use the modules' own code as the oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cloister_sandbox::{
    ColumnData, ColumnKind, Counters, Job, Limits, Outputs, Pair, PersonBatch, PersonOutput,
    Runner, Setup, Shape, compile, vet,
};

const PERSONS: usize = 400;
const ROW_CAP: u32 = 512;
const FUEL: u64 = 200_000;

/// Two columns of one person; `None` is a row without a value.
type Person = [Vec<Option<i64>>; 2];

#[test]
fn town_flows_counts_the_first_four_distinct_flows() {
    let mut random = Random(1);
    let persons: Vec<Person> = (0..PERSONS)
        .map(|person| {
            // Codes outside the domain of six towns occur too.
            let rows = if person == 0 { ROW_CAP as usize } else { random.below(24) };
            let towns = 2 + random.below(6);
            let mut column = || (0..rows).map(|_| random.code(towns)).collect();
            [column(), column()]
        })
        .collect();
    let shape = Shape::new(ROW_CAP, vec![ColumnKind::Code; 2], 4).unwrap();
    let (outputs, counters) = run("town-flows", shape, &persons);
    for (person, output) in persons.iter().zip(&outputs) {
        let mut flows: Vec<i64> = Vec::new();
        for (start, end) in person[0].iter().zip(&person[1]) {
            let (Some(start @ 0..6), Some(end @ 0..6)) = (start, end) else { continue };
            let flow = start * 6 + end;
            if !flows.contains(&flow) && flows.len() < 4 {
                flows.push(flow);
            }
        }
        assert_eq!(*output, ones(&flows));
    }
    assert_eq!(counters, Counters { persons: PERSONS as u64, ..Counters::default() });
    let full =
        outputs.iter().filter(|o| matches!(o, PersonOutput::Pairs(p) if p.len() == 4)).count();
    assert!(full > PERSONS / 10, "{full}");
}

#[test]
fn usual_region_pairs_the_most_frequent_regions_of_two_seasons() {
    const DAY_US: i64 = 86_400_000_000;
    let new_year = 1_704_067_200_000_000_i64;
    let mut random = Random(2);
    let persons: Vec<Person> = (0..PERSONS)
        .map(|person| {
            let rows = if person == 0 { ROW_CAP as usize } else { random.below(40) };
            let regions = 2 + random.below(7);
            let mut day = 0;
            // Times in order, from before the year to its end, often exactly at a border.
            let times = (0..rows).map(|_| {
                day += random.below(20) as i64;
                let at = new_year - 10 * DAY_US + day * DAY_US;
                (random.below(20) > 0).then_some(at - (random.below(2) as i64))
            });
            let times = times.collect();
            [times, (0..rows).map(|_| random.code(regions)).collect()]
        })
        .collect();
    let shape = Shape::new(ROW_CAP, vec![ColumnKind::Int, ColumnKind::Code], 1).unwrap();
    let (outputs, counters) = run("usual-region", shape, &persons);
    // Days of 2024 since new year: 1 April is day 91, 1 July 182, 1 October 274.
    let season = |from: i64, to: i64| (new_year + from * DAY_US)..(new_year + to * DAY_US);
    let (winter, summer) = (season(0, 91), season(182, 274));
    for (person, output) in persons.iter().zip(&outputs) {
        let usual = |season: &std::ops::Range<i64>| {
            let seen: Vec<i64> = person[0]
                .iter()
                .zip(&person[1])
                .filter_map(|(time, region)| Some((time.as_ref()?, region.as_ref()?)))
                .filter(|(time, region)| season.contains(time) && (0..8).contains(*region))
                .map(|(_, region)| *region)
                .collect();
            let count = |region: &i64| seen.iter().filter(|r| *r == region).count();
            let most = seen.iter().map(count).max().filter(|_| seen.len() >= 3)?;
            seen.iter().copied().find(|region| count(region) == most)
        };
        let moved = usual(&winter).zip(usual(&summer)).map(|(from, to)| from * 8 + to);
        assert_eq!(*output, ones(moved.as_slice()));
    }
    assert_eq!(counters, Counters { persons: PERSONS as u64, ..Counters::default() });
    let moves = outputs.iter().filter(|o| **o != PersonOutput::Pairs(vec![])).count();
    assert!(moves > PERSONS / 20 && moves < PERSONS, "{moves}");
}

#[test]
fn the_shipped_modules_are_those_that_digests_json_names() {
    let listed = std::fs::read_to_string(modules().join("digests.json")).unwrap();
    let mut want = String::from("{\n");
    for (nth, name) in
        ["c-distance", "speed-gradient", "town-flows", "usual-region"].into_iter().enumerate()
    {
        let wasm = sha256(&std::fs::read(modules().join(format!("{name}.wasm"))).unwrap());
        let comma = if nth == 0 { "" } else { ",\n" };
        let source = source_digest(name);
        write!(
            want,
            "{comma}  \"{name}\": {{\n    \"wasm_sha256\": \"{wasm}\",\n    \"source_sha256\": \"{source}\"\n  }}"
        )
        .unwrap();
    }
    want.push_str("\n}\n");
    assert_eq!(listed, want, "the modules are stale: run examples/modules/build.sh");
}

/// Vets the shipped bytes and runs every person in one batch: as shipped, and once more with memory and globals
/// compared with the image after every person.
fn run(name: &str, shape: Shape, persons: &[Person]) -> (Vec<PersonOutput>, Counters) {
    let wasm = std::fs::read(modules().join(format!("{name}.wasm"))).unwrap();
    let compiled = compile(&vet(&wasm, &Limits::V1).unwrap()).unwrap();
    let setup = Setup { wasm, shape, fuel_per_person: FUEL };
    let mut runner = Runner::start(&setup).unwrap();
    let mut batch = PersonBatch::new(runner.shape());
    for person in persons {
        let values =
            person.each_ref().map(|c| c.iter().map(|v| v.unwrap_or(-77)).collect::<Vec<_>>());
        let valid = person.each_ref().map(|c| c.iter().map(Option::is_some).collect::<Vec<_>>());
        let columns: Vec<_> = setup
            .shape
            .columns()
            .iter()
            .zip(values.iter().zip(&valid))
            .map(|(kind, (values, valid))| match kind {
                ColumnKind::Int => ColumnData::Int { values, valid },
                _ => ColumnData::Code { values, valid },
            })
            .collect();
        batch.push_person(person[0].len(), &columns).unwrap();
    }
    let outputs = runner.run_batch(&batch).unwrap();
    let mut job = Job::new(compiled, setup.shape.clone(), FUEL).unwrap().compared_every(1);
    let mut compared = Outputs::default();
    job.run_batch(&batch.persons(), &mut compared).unwrap();
    assert_eq!(compared.to_persons(), outputs);
    (outputs, runner.finish().unwrap())
}

fn ones(indices: &[i64]) -> PersonOutput {
    let pairs = indices.iter().map(|i| Pair { index: u32::try_from(*i).unwrap(), value: 1 });
    PersonOutput::Pairs(pairs.collect())
}

fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/modules")
}

/// As build.sh makes it: `sha256  path` lines in byte order of the path, hashed again.
fn source_digest(name: &str) -> String {
    if name == "c-distance" {
        return digest_of(["distance.c", "flags"].map(|file| format!("{name}/{file}")).into());
    }
    let mut paths: Vec<String> =
        [".cargo/config.toml", "Cargo.toml", "Cargo.lock", "../../sdk/guest/Cargo.toml"]
            .map(str::to_owned)
            .into();
    paths.push(format!("{name}/Cargo.toml"));
    for folder in [format!("{name}/src"), "../../sdk/guest/src".to_owned()] {
        for entry in std::fs::read_dir(modules().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            assert!(entry.file_type().unwrap().is_file(), "sources lie flat in src");
            paths.push(format!("{folder}/{}", entry.file_name().to_str().unwrap()));
        }
    }
    digest_of(paths)
}

fn digest_of(mut paths: Vec<String>) -> String {
    paths.sort();
    let lines = paths.iter().fold(String::new(), |mut lines, path| {
        let bytes = std::fs::read(modules().join(path)).unwrap();
        writeln!(lines, "{}  {path}", sha256(&bytes)).unwrap();
        lines
    });
    sha256(lines.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fixed sequence (Knuth's MMIX constants), good enough to vary persons.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    /// A code below `codes` or rarely outside any domain, or no value.
    fn code(&mut self, codes: usize) -> Option<i64> {
        match self.below(30) {
            0 => None,
            1 => Some([-1, 6, 8, 1 << 40][self.below(4)]),
            _ => Some(self.below(codes) as i64),
        }
    }
}
