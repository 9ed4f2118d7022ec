//! Whether the time at which an answer comes tells of the records behind it, on a real clock with a real
//! release slot. A13: a module that spins on Bob until his fuel ends, over neighbouring tables with and
//! without him, and beside it over one table twice, which is what chance alone gives. A16: whether the
//! time goes with the noise that was drawn, or with the number of rows. What the node's work took, which
//! the slot is to hide, is told too, so that one sees that there was something to hide. Prints figures
//! only: a time is a property of a machine.
//!
//! `cargo bench -p cloister-tests --bench slots` takes some minutes, most of them waiting for slots;
//! without `--bench` (as a test) it runs twice only.
#![allow(clippy::unwrap_used, reason = "test code")]

use cloister_node::contribute::module::FUEL_PER_MS_MIN;
use cloister_node::ledger::Charge;
use cloister_node::measure::MeasureOptions;
use cloister_node::noise::Noised;
use cloister_node::run::{Tables, Work, WorkFault};
use cloister_node::slot::PASSES_MAX;
use cloister_plan::ContributionPlan;
use cloister_sandbox::Workers;
use cloister_terms::{Body, ModuleBody};
use cloister_tests::fixtures::{Federation, epsilon, name};
use cloister_tests::live::{Live, NodeParts};
use cloister_tests::trips;
use cloister_wire::Envelope;
use cloister_wire::message::NodeState;
use futures::future::BoxFuture;
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The release slot.
const SLOT_MS: u64 = 2_000;
/// The most that may be declared with it: Bob spins as long as admission lets anyone.
const FUEL: u64 = SLOT_MS / PASSES_MAX * FUEL_PER_MS_MIN;
/// Runs over each of two tables that are compared, and over each of those of other sizes.
const RUNS: usize = 20;
const SIZE_RUNS: usize = 12;
/// Runs before them that do not count.
const WARM_UP: usize = 2;

/// Persons whom the module answers for at once, and whether Bob is there besides.
const TABLES: [(u32, bool); 4] = [(25, true), (25, false), (250, false), (2_500, false)];
/// Places of the neighbouring tables, and of those that differ in size.
const WITH_BOB: usize = 0;
const WITHOUT_BOB: usize = 1;
const SIZES: [usize; 3] = [WITHOUT_BOB, 2, 3];
/// Rows of each person: as many as the module is built for.
const ROWS_EACH: u32 = 4;
/// The one whom the module looks for, by this value, and a value of nobody's.
const BOB: i64 = 66;
const NOT_BOB: i64 = 1_000;
/// The partner whose node runs.
const PARTNER: &str = "north";
/// Cost of a run; its noise is wide.
const EPSILON: &str = "0.1";

/// Quantiles that are told.
const SHARES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// Correlations of independent figures lie within so much over the root of their number, 95 times in 100.
const CHANCE: f64 = 1.96;

fn main() -> ExitCode {
    // This program is its own module worker.
    if let Some(code) = cloister_node::worker_main_if_asked() {
        return code;
    }
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bench(is_bench));
    ExitCode::SUCCESS
}

async fn bench(is_bench: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut asker = Asker::start(folder.path()).await;
    if !is_bench {
        asker.series([WITH_BOB, WITHOUT_BOB], 1).await;
        return;
    }
    asker.series([WITH_BOB, WITHOUT_BOB], WARM_UP).await;
    let neighbours = asker.series([WITH_BOB, WITHOUT_BOB, WITHOUT_BOB], RUNS).await;
    let sizes = asker.series(SIZES, SIZE_RUNS).await;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("{profile} build, slot {SLOT_MS} ms, times in ms");
    print_neighbours(&neighbours);
    print_correlations(&neighbours, &sizes);
}

/// One run.
struct Run {
    /// From the request to the last word about it, at the recipient.
    took_ms: f64,
    /// What lies behind it; nothing where the answer was withheld, which overran the slot.
    behind: Option<Behind>,
}

/// What nobody outside the node may find in the time.
struct Behind {
    /// How long the work took.
    worked_ms: f64,
    /// How far the figures are from the exact ones, added up.
    noise: f64,
}

/// One node's tables, of which a run reads the one that was turned to: whatever else a time depends on is
/// then the same for all.
#[derive(Debug)]
struct Turned {
    tables: Vec<Tables>,
    to: AtomicUsize,
    /// How long the last work took that came to its end.
    worked: Mutex<Option<Duration>>,
}

impl Turned {
    fn turn(&self, table: usize) {
        self.to.store(table, Ordering::SeqCst);
    }

    fn tables(&self) -> &Tables {
        &self.tables[self.to.load(Ordering::SeqCst)]
    }
}

impl Work for Turned {
    fn noised(&self, charge: Charge) -> BoxFuture<'_, Result<Noised, WorkFault>> {
        Box::pin(async move {
            let began = Instant::now();
            let noised = self.tables().noised(charge).await;
            *self.worked.lock().unwrap() = Some(began.elapsed());
            noised
        })
    }

    fn prepare(&self, plan: ContributionPlan) -> BoxFuture<'_, ()> {
        self.tables().prepare(plan)
    }
}

/// A federation with one node at work, and who asks it.
struct Asker {
    live: Live,
    turned: Arc<Turned>,
    wasm: Vec<u8>,
    asked: u64,
}

impl Asker {
    async fn start(folder: &Path) -> Self {
        let wasm = concat!(env!("CARGO_MANIFEST_DIR"), "/evil/spin_if_bob.wat");
        let wasm = wat::parse_file(wasm).unwrap();
        let federation = Federation::with(|agreement| {
            // The column that the module looks at.
            let n = json!({ "name": "n", "type": "int64", "description": "" });
            agreement.dictionary.datasets[0].columns.push(serde_json::from_value(n).unwrap());
        });
        // What the kernel lacks is no matter of time.
        let workers = Workers::of_this_program(false);
        let dictionary = &federation.document.dictionary;
        let tables = TABLES.iter().enumerate().map(|(place, (persons, has_bob))| {
            let path = folder.join(format!("{place}.csv"));
            let catalog = trips::catalog(&path, &text(*persons, *has_bob), dictionary);
            let options = MeasureOptions { workers: workers.clone(), ..MeasureOptions::default() };
            Tables { catalog, options }
        });
        let (tables, to) = (tables.collect(), AtomicUsize::new(WITHOUT_BOB));
        let turned = Arc::new(Turned { tables, to, worked: Mutex::default() });
        let mut terms = federation.terms(PARTNER, epsilon("1000"), SLOT_MS);
        terms.workers = workers;
        let node = NodeParts { work: turned.clone(), terms };
        Self { live: Live::start(federation, vec![node]).await, turned, wasm, asked: 0 }
    }

    /// So many runs over each of these tables, by turns and in changing order, so that what drifts, or lasts
    /// from one run to the next, is alike in all.
    async fn series<const N: usize>(&mut self, tables: [usize; N], runs: usize) -> [Vec<Run>; N] {
        let mut series: [Vec<Run>; N] = std::array::from_fn(|_| Vec::new());
        for round in 0..runs {
            for turn in 0..N {
                let step = if round % 2 == 0 { turn } else { N - 1 - turn };
                let place = (round + step) % N;
                series[place].push(self.run(tables[place]).await);
            }
        }
        series
    }

    async fn run(&mut self, table: usize) -> Run {
        self.turned.turn(table);
        self.asked += 1;
        let analysis = self.question();
        let request = self.live.approved(&analysis, Some(self.wasm.clone()), self.asked).await;
        self.live.settled(&analysis).await;
        let began = Instant::now();
        let (digest, last) = self.live.run(&request).await;
        let took_ms = ms(began.elapsed());
        let state = last.nodes[0].1;
        // A run that overran its slot is told and not failed: that is a time, too.
        assert!(matches!(state, NodeState::Released | NodeState::Withheld), "{last:?}");
        let worked = self.turned.worked.lock().unwrap().take();
        if state == NodeState::Withheld {
            return Run { took_ms, behind: None };
        }
        let released = self.live.ada.results(digest, 1).await.combined;
        // Everybody but Bob is counted in the first cell, and nobody in the other.
        let exact = [i128::from(TABLES[table].0), 0];
        assert_eq!(released.len(), exact.len());
        let noise = released.iter().zip(exact).map(|(noised, exact)| (noised - exact).abs());
        let noise = noise.sum::<i128>() as f64;
        Run { took_ms, behind: Some(Behind { worked_ms: ms(worked.unwrap()), noise }) }
    }

    /// The next question, signed. By its fuel it is another one, or its answer would be a repeat.
    fn question(&self) -> Envelope {
        let body: ModuleBody = serde_json::from_value(json!({
            "sha256": cloister_wire::sha256(&self.wasm),
            "rows": "SELECT n FROM trips",
            "keys": [{ "name": "cell", "values": [{ "int": "0" }, { "int": "1" }] }],
            "lanes": [{ "name": "people", "value": { "min": "0", "max": "1" } }],
            "numbers": "int",
            "outputs": "sparse",
            "fuel_per_person": FUEL - self.asked,
        }))
        .unwrap();
        self.live.federation.analysis(|analysis| {
            analysis.name = name(&format!("question-{}", self.asked));
            analysis.nodes = vec![name(PARTNER)];
            analysis.row_cap = ROWS_EACH;
            analysis.cost_per_round = epsilon(EPSILON);
            analysis.body = Body::Module(body);
        })
    }
}

/// A table as CSV.
fn text(persons: u32, has_bob: bool) -> String {
    let mut text = String::from("person_id,city,distance_km,n\n");
    for person in 0..persons + u32::from(has_bob) {
        let n = if person < persons { NOT_BOB } else { BOB };
        for _ in 0..ROWS_EACH {
            writeln!(text, "{person},Ashford,1.5,{n}").unwrap();
        }
    }
    text
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn print_neighbours([with, without, again]: &[Vec<Run>; 3]) {
    println!("\nA13: from request to release, at the recipient, {} runs each", with.len());
    let heads = SHARES.map(|share| format!("{:>8.0} %", share * 100.0)).concat();
    println!("{:<20}{heads}{:>12}{:>10}", "", "work, 50 %", "withheld");
    let series = [("with Bob", with), ("without Bob", without), ("without Bob, again", again)];
    for (what, runs) in series {
        let took = quantiles(runs).map(|took_ms| format!("{took_ms:>10.2}")).concat();
        let worked = sorted(runs.iter().filter_map(|run| Some(run.behind.as_ref()?.worked_ms)));
        let withheld = runs.iter().filter(|run| run.behind.is_none()).count();
        println!("{what:<20}{took}{:>12.2}{withheld:>10}", quantile(&worked, 0.5));
    }
    let (neighbours, chance) =
        (largest_difference(with, without), largest_difference(again, without));
    println!("largest difference of quantiles: {neighbours:.2} with and without Bob");
    println!("                                 {chance:.2} over one table, by chance alone");
    println!("ratio                            {:.2}", neighbours / chance);
}

fn print_correlations([_, without, again]: &[Vec<Run>; 3], sizes: &[Vec<Run>; 3]) {
    println!("\nA16: correlations, and within what chance alone leaves them 95 times in 100");
    let by_noise = without.iter().chain(again);
    let by_noise = by_noise.filter_map(|run| Some((run.behind.as_ref()?.noise, run.took_ms)));
    print_correlation("size of the noise and time of release", &by_noise.collect::<Vec<_>>());
    let by_rows: Vec<(f64, &Run)> = SIZES
        .iter()
        .zip(sizes)
        .flat_map(|(table, runs)| {
            let rows = f64::from(TABLES[*table].0 * ROWS_EACH);
            runs.iter().map(move |run| (rows, run))
        })
        .collect();
    let took: Vec<_> = by_rows.iter().map(|(rows, run)| (*rows, run.took_ms)).collect();
    print_correlation("number of rows and time of release", &took);
    let worked = by_rows.iter().filter_map(|(rows, run)| {
        let behind = run.behind.as_ref()?;
        Some((*rows, behind.worked_ms))
    });
    print_correlation("number of rows and work, hidden", &worked.collect::<Vec<_>>());
    for (table, runs) in SIZES.iter().zip(sizes) {
        let (rows, took) = (TABLES[*table].0 * ROWS_EACH, quantiles(runs));
        println!("{rows:>8} rows, release at 50 % {:>10.2}", took[2]);
    }
}

fn print_correlation(what: &str, pairs: &[(f64, f64)]) {
    let chance = CHANCE / (pairs.len() as f64).sqrt();
    println!("{what:<40}{:>6.2}   ±{chance:.2}", correlation(pairs));
}

/// Pearson's; no number where one side never changes.
fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let (mean_x, mean_y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut both, mut own_x, mut own_y) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mean_x, y - mean_y);
        both += x * y;
        own_x += x * x;
        own_y += y * y;
    }
    both / (own_x * own_y).sqrt()
}

fn largest_difference(one: &[Run], other: &[Run]) -> f64 {
    let differences = quantiles(one).into_iter().zip(quantiles(other));
    differences.map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

/// The times of release at [`SHARES`].
fn quantiles(runs: &[Run]) -> [f64; SHARES.len()] {
    let took = sorted(runs.iter().map(|run| run.took_ms));
    SHARES.map(|share| quantile(&took, share))
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// A quantile of sorted figures, between neighbours in proportion; no number of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}
