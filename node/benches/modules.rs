//! A module over a million persons and more, end to end: Parquet files whose rows lie person by person,
//! the node's own measuring, worker processes, noise. Prints persons a second, peak memory at a tenth and at
//! the whole, and what a person costs in faults and calls once everything runs.
//!
//! `--persons N` (default 1,000,000), `--profile` for the parts alone. Figures are the machine's. Every
//! measurement runs in a process of its own, so that none sees what another left.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use cloister_dp::{PrfKey, SeededEntropy};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::contribute::module::module_shape;
use cloister_node::ledger::Charge;
use cloister_node::measure::{MeasureOptions, measure};
use cloister_node::noise::noise;
use cloister_node::scan::scan_standing;
use cloister_plan::{ContributionPlan, Question, Spend, plan};
use cloister_sandbox::limits::WATCHDOG_MS;
use cloister_sandbox::{
    ColumnData, ColumnKind, PersonBatch, Setup, Shape, Workers, worker_main_if_asked,
};
use cloister_terms::{Body, Dictionary};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TOWN_FLOWS: &[u8] = include_bytes!("../../examples/modules/town-flows.wasm");
const ROWS_A_PERSON: i64 = 8;
const FILES: i64 = 4;
const TOWNS: u64 = 6;
const ROW_GROUP_ROWS: usize = 250_000;
const CHUNK_PERSONS: i64 = 10_000;
const FUEL: u64 = 1_000_000;
const TURNS: usize = 3;
const BATCH_PERSONS: usize = 4_096;
/// What the kernel counts processor time in.
const TICK_NS: f64 = 1e7;

fn main() -> ExitCode {
    if let Some(code) = worker_main_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    if let (Some(part), Some(folder)) = (value("--part"), value("--folder")) {
        let persons = value("--persons").and_then(|text| text.parse().ok()).expect("--persons");
        println!("{}", one(&part, Path::new(&folder), persons));
        return ExitCode::SUCCESS;
    }
    let persons = value("--persons").map_or(1_000_000, |text| text.parse().expect("a number"));
    compare(persons, arguments.iter().any(|argument| argument == "--profile"));
    ExitCode::SUCCESS
}

fn compare(persons: i64, with_parts: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let sizes = [persons / 10, persons].map(|persons| {
        let of_size = folder.path().join(persons.to_string());
        std::fs::create_dir(&of_size).expect("a folder");
        (0..FILES).for_each(|file| write(&of_size, file, persons));
        (of_size, persons)
    });
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{persons} persons of {ROWS_A_PERSON} rows, town-flows, {cores} cores, median of {TURNS}\n"
    );
    println!("persons    seconds  persons/s  peak MiB: node  workers");
    let mut found = Vec::new();
    for (folder, persons) in &sizes {
        let mut turns: Vec<Figures> =
            (0..TURNS).map(|_| apart("whole", folder, *persons)).collect();
        turns.sort_by(|one, other| one.get("seconds").total_cmp(&other.get("seconds")));
        let figures = turns.swap_remove(TURNS / 2);
        let (seconds, rate) = (figures.get("seconds"), *persons as f64 / figures.get("seconds"));
        let (node, workers) =
            (figures.get("node_kib") / 1024.0, figures.get("workers_kib") / 1024.0);
        println!("{persons:<10} {seconds:>7.2} {rate:>10.0} {node:>15.0} {workers:>8.0}");
        found.push((figures, *persons as f64));
    }
    let [(few, fewer), (all, more)] = found.as_slice() else { return };
    println!(
        "\na person, by the difference of the two sizes, so that what is done once cancels out"
    );
    for (name, what) in [
        ("node_ns", "processor nanoseconds of the node"),
        ("worker_ns", "processor nanoseconds of the workers"),
        ("node_faults", "page faults of the node, minor and major"),
        ("worker_faults", "page faults of the workers, minor and major"),
        ("node_calls", "read and write calls of the node (no other call is counted)"),
        (
            "worker_calls",
            "read and write calls of the workers, which make no others while persons run",
        ),
    ] {
        let each = (all.get(name) - few.get(name)) / (more - fewer);
        println!("{each:>11.5}  {what}");
    }
    if with_parts {
        println!("\nparts alone, seconds for {persons} persons on all cores");
        for part in ["scan", "sandbox"] {
            let (folder, persons) = &sizes[1];
            println!("{:>9.2}  {part}", apart(part, folder, *persons).get("seconds"));
        }
    }
}

/// The shipped module over towns that are numbers already: the same code, signed for two integer columns, so
/// that what is measured is not the looking up of texts.
fn wasm() -> Vec<u8> {
    let signed = |kind| {
        let shape = Shape::new(512, vec![kind; 2], 4).expect("a shape");
        shape.signature().to_le_bytes()
    };
    let (codes, ints) = (signed(ColumnKind::Code), signed(ColumnKind::Int));
    let at = TOWN_FLOWS.windows(4).position(|word| word == codes).expect("a signature");
    [&TOWN_FLOWS[..at], &ints, &TOWN_FLOWS[at + 4..]].concat()
}

/// Figures by name, as one line of text between processes.
#[derive(Default)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(f64::NAN)
    }

    fn parse(text: &str) -> Figures {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        Figures(pairs.filter_map(|(name, text)| Some((name.into(), text.parse().ok()?))).collect())
    }
}

/// One part in a process of its own.
fn apart(part: &str, folder: &Path, persons: i64) -> Figures {
    let own = std::env::current_exe().expect("a path");
    let out = Command::new(own)
        .args(["--part", part, "--persons", &persons.to_string(), "--folder"])
        .arg(folder)
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("a process");
    assert!(out.status.success(), "{part} failed: {}", out.status);
    Figures::parse(&String::from_utf8_lossy(&out.stdout))
}

fn one(part: &str, folder: &Path, persons: i64) -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dictionary = dictionary();
    let catalog = Catalog::open(&[source(folder)], &dictionary).expect("a catalog");
    let plan = flow_plan(&dictionary);
    match part {
        "scan" => format!("seconds={}", runtime.block_on(scanned(&plan, &catalog, persons))),
        "sandbox" => format!("seconds={}", sandboxed(&plan, persons as usize)),
        _ => {
            let watch = Watch::start();
            let began = Instant::now();
            runtime.block_on(noised(&plan, &catalog));
            let seconds = began.elapsed().as_secs_f64();
            format!("seconds={seconds} {}", watch.end())
        }
    }
}

async fn noised(plan: &ContributionPlan, catalog: &Catalog) {
    let charge = Charge::for_tests(plan.clone(), Some(wasm()), PrfKey::from_bytes([1; 16]));
    let exact = measure(&charge, catalog, &options()).await.expect("lanes");
    noise(exact, charge, &mut SeededEntropy::new(1)).expect("noise");
}

/// Reads and cuts into persons, nothing else.
async fn scanned(plan: &ContributionPlan, catalog: &Catalog, persons: i64) -> f64 {
    let began = Instant::now();
    let standing = scan_standing(catalog, &plan.tables[0], &options()).await.expect("a scan");
    let mut tasks = tokio::task::JoinSet::new();
    for mut part in standing.expect("rows in order").parts {
        tasks.spawn(async move {
            let mut found = 0;
            while let Some(block) = part.blocks.next().await.expect("rows") {
                found += block.persons().count() as i64;
            }
            // The two that are kept back.
            found + 2
        });
    }
    let mut found = 0;
    while let Some(part) = tasks.join_next().await {
        found += part.expect("a part");
    }
    assert_eq!(found, persons);
    began.elapsed().as_secs_f64()
}

/// Batches that are ready through as many workers as there are cores, answers thrown away.
fn sandboxed(plan: &ContributionPlan, persons: usize) -> f64 {
    let shape: Shape = module_shape(plan).expect("a module").expect("a shape");
    let mut draws = Draws(7);
    let mut towns = || -> Vec<i64> {
        (0..BATCH_PERSONS * ROWS_A_PERSON as usize).map(|_| draws.below(TOWNS)).collect()
    };
    let (start, finish) = (towns(), towns());
    let valid = vec![true; start.len()];
    let columns = [&start, &finish].map(|values| ColumnData::Int { values, valid: &valid });
    let mut batch = PersonBatch::new(&shape);
    batch.push_persons(&[ROWS_A_PERSON as u32; BATCH_PERSONS], &columns).expect("a batch");
    let workers = Workers::of_this_program(false);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let setup = Setup { wasm: wasm(), shape, fuel_per_person: FUEL };
    let runners: Vec<_> =
        (0..cores).map(|_| workers.start(&setup, WATCHDOG_MS).expect("a worker")).collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for mut runner in runners {
            let batch = &batch;
            scope.spawn(move || {
                for _ in 0..persons / cores / BATCH_PERSONS {
                    runner.run_batch_flat(batch).expect("outputs");
                }
            });
        }
    });
    began.elapsed().as_secs_f64()
}

fn options() -> MeasureOptions {
    // What the kernel lacks is no matter of speed.
    MeasureOptions { workers: Workers::of_this_program(false), ..MeasureOptions::default() }
}

/// What was seen of each worker by its number, and of this process.
type Seen = (BTreeMap<u32, (f64, f64)>, f64);

/// Looks at the workers while they run, since nothing tells of them afterwards.
struct Watch {
    ended: Arc<AtomicBool>,
    thread: thread::JoinHandle<Seen>,
    before: (Own, f64),
}

impl Watch {
    fn start() -> Watch {
        let ended = Arc::new(AtomicBool::new(false));
        let seen_end = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut workers = BTreeMap::new();
            while !seen_end.load(Ordering::SeqCst) {
                for id in children() {
                    if let Some(kib) = peak_kib(&id.to_string()) {
                        workers.insert(id, (kib, calls(&id.to_string())));
                    }
                }
                thread::sleep(Duration::from_millis(10));
            }
            // What looking itself took.
            (workers, calls("thread-self"))
        });
        Watch { ended, thread, before: (Own::now(), calls("self")) }
    }

    fn end(self) -> String {
        self.ended.store(true, Ordering::SeqCst);
        let (workers, looks) = self.thread.join().expect("the watch");
        let (before, calls_before) = self.before;
        let now = Own::now();
        let sum = |of: fn(&(f64, f64)) -> f64| workers.values().map(of).sum::<f64>();
        format!(
            "node_kib={} workers_kib={} node_faults={} worker_faults={} node_calls={} worker_calls={} \
             node_ns={} worker_ns={}",
            peak_kib("self").unwrap_or(f64::NAN),
            sum(|(kib, _)| *kib),
            now.faults - before.faults,
            now.children_faults - before.children_faults,
            calls("self") - calls_before - looks,
            sum(|(_, calls)| *calls),
            (now.ticks - before.ticks) * TICK_NS,
            (now.children_ticks - before.children_ticks) * TICK_NS,
        )
    }
}

/// Ids of this process's children.
fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

fn peak_kib(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Page faults and processor time of this process, and of its children that have ended: `proc(5)`, fields 10 to 17
/// of `stat`.
struct Own {
    faults: f64,
    children_faults: f64,
    ticks: f64,
    children_ticks: f64,
}

impl Own {
    fn now() -> Own {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let field = |number: usize| -> f64 {
            // The state is field 3.
            let text = after_name.split_whitespace().nth(number - 3);
            text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
        };
        Own {
            faults: field(10) + field(12),
            children_faults: field(11) + field(13),
            ticks: field(14) + field(15),
            children_ticks: field(16) + field(17),
        }
    }
}

/// Read and write calls of a process so far.
fn calls(process: &str) -> f64 {
    let io = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let field = |name: &str| -> f64 {
        let text = io.lines().find_map(|line| line.strip_prefix(name));
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
    };
    field("syscr:") + field("syscw:")
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end).cast_signed()
    }
}

/// One file of a whole range of persons, piece by piece, so that writing takes no memory either.
fn write(folder: &Path, file: i64, persons: i64) {
    let (first, end) = (persons * file / FILES, persons * (file + 1) / FILES);
    let mut draws = Draws(file.cast_unsigned());
    let piece = |from: i64, draws: &mut Draws| {
        let to = (from + CHUNK_PERSONS).min(end);
        let rows = (to - from) * ROWS_A_PERSON;
        let rider = (from..to).flat_map(|person| (0..ROWS_A_PERSON).map(move |_| person));
        let at = (0..rows).map(|row| Some(from * 1_000 + row * 60_000_000));
        let mut towns = || (0..rows).map(|_| draws.below(TOWNS)).collect::<Int64Array>();
        let columns: [(&str, ArrayRef); 4] = [
            ("rider", Arc::new(rider.collect::<Int64Array>())),
            ("at", Arc::new(at.collect::<TimestampMicrosecondArray>())),
            ("start", Arc::new(towns())),
            ("finish", Arc::new(towns())),
        ];
        RecordBatch::try_from_iter(columns).expect("a batch")
    };
    let path = folder.join(format!("{file}.parquet"));
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
    let schema = piece(end, &mut Draws(0)).schema();
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).expect("a writer");
    let mut from = first;
    while from < end {
        writer.write(&piece(from, &mut draws)).expect("rows");
        from += CHUNK_PERSONS;
    }
    writer.close().expect("a footer");
}

fn towns() -> Vec<serde_json::Value> {
    (0..TOWNS).map(|town| serde_json::json!({ "int": town.to_string() })).collect()
}

fn dictionary() -> Dictionary {
    let dictionary = serde_json::json!({ "datasets": [{
        "name": "trips", "description": "", "unit_column": "rider", "order_columns": ["at"],
        "rows_per_unit_max": 512, "columns": [
            { "name": "rider", "type": "int64", "description": "", "identifier": true },
            { "name": "at", "type": "timestamp", "description": "" },
            { "name": "start", "type": "int64", "description": "", "domain": towns() },
            { "name": "finish", "type": "int64", "description": "", "domain": towns() } ] }] });
    serde_json::from_value(dictionary).expect("a dictionary")
}

fn flow_plan(dictionary: &Dictionary) -> ContributionPlan {
    let body = serde_json::json!({ "module": {
        "sha256": cloister_wire::sha256(&wasm()), "rows": "SELECT start, finish FROM trips",
        "keys": [{ "name": "from", "values": towns() }, { "name": "to", "values": towns() }],
        "lanes": [{ "name": "riders", "value": { "min": "0", "max": "1" } }],
        "numbers": "int", "outputs": "sparse", "fuel_per_person": FUEL } });
    let body: Body = serde_json::from_value(body).expect("a body");
    let spend = Spend { epsilon: Some("1".parse().unwrap()), rho: None, delta: None };
    let question =
        Question { body: &body, row_cap: 512, group_cap: 4, spend, diagnostics: false, rounds: 1 };
    plan(dictionary, &question).expect("a plan").plan
}

fn source(folder: &Path) -> SourceConfig {
    let columns: String =
        ["rider", "at", "start", "finish"].map(|name| format!("{name} = \"{name}\"\n")).concat();
    let text =
        format!("dataset = \"trips\"\nformat = \"parquet\"\npath = \"x\"\n[columns]\n{columns}");
    SourceConfig { path: folder.to_owned(), ..toml::from_str(&text).expect("a source") }
}
