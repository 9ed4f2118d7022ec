//! From a researcher's request to the last signed release: a small SQL analysis over four nodes on
//! one disk, loopback, each run a question of its own, admitted, charged and durable, with a release
//! slot of 0. An fsync of the same disk is measured beside it, run by run, since it decides. Real
//! slots are seconds long; this is what the machinery costs.
//!
//! `cargo bench -p cloister-tests --bench latency`; without `--bench` (as a test) it runs twice only.
#![allow(clippy::unwrap_used, reason = "test code")]

use cloister_node::measure::MeasureOptions;
use cloister_node::run::Tables;
use cloister_terms::Body;
use cloister_tests::fixtures::{Federation, epsilon, name};
use cloister_tests::live::{Live, NodeParts};
use cloister_tests::study::{PARTNERS, federation, partners};
use cloister_tests::trips;
use cloister_wire::Envelope;
use cloister_wire::message::NodeState;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs that count, and runs before them that do not.
const RUNS: usize = 40;
const WARM_UP: usize = 4;
/// Persons and rows of each partner.
const PERSONS: u32 = 100;
const ROWS_EACH: u32 = 4;
/// The promise: this many fsyncs and so much beside, at the median.
const FSYNCS: u32 = 6;
const BESIDE: Duration = Duration::from_millis(10);
/// Bytes of one measured write.
const PAGE_BYTES: usize = 4096;

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (runs, warm_up) = if is_bench { (RUNS, WARM_UP) } else { (2, 0) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bench(runs, warm_up));
}

async fn bench(runs: usize, warm_up: usize) {
    let folder = tempfile::tempdir().unwrap();
    let federation = federation(|_| ());
    let nodes = PARTNERS.map(|partner| node(&federation, partner, folder.path()));
    let live = Live::start(federation, nodes.into()).await;
    let (mut took, mut fsyncs) = (Vec::new(), Vec::new());
    for number in 0..warm_up + runs {
        let analysis = question(&live.federation, number);
        let request = live.approved(&analysis, None, number as u64).await;
        live.settled(&analysis).await;
        let fsync = fsync(folder.path());
        let began = Instant::now();
        let (_, last) = live.run(&request).await;
        let elapsed = began.elapsed();
        assert!(last.nodes.iter().all(|(_, state)| *state == NodeState::Released), "{last:?}");
        if number >= warm_up {
            took.push(elapsed);
            fsyncs.push(fsync);
        }
    }
    print(took, fsyncs);
}

/// A partner's node: a table of its own, and no slot to wait for.
fn node(federation: &Federation, partner: &str, folder: &Path) -> NodeParts {
    let cities = ["Ashford", "Bramley", "Corston"];
    let mut text = String::from("person_id,city,distance_km\n");
    for row in 0..PERSONS * ROWS_EACH {
        let (person, city) = (row / ROWS_EACH, cities[row as usize % cities.len()]);
        writeln!(text, "{person},{city},{}", f64::from(row % 97) / 2.0).unwrap();
    }
    let path = folder.join(format!("{partner}.csv"));
    let catalog = trips::catalog(&path, &text, &federation.document.dictionary);
    let work = Tables { catalog, options: MeasureOptions::default() };
    NodeParts { work: Arc::new(work), terms: federation.terms(partner, epsilon("1000"), 0) }
}

/// Question number `number`, signed.
fn question(federation: &Federation, number: usize) -> Envelope {
    federation.analysis(|analysis| {
        analysis.name = name(&format!("question-{number}"));
        analysis.nodes = partners();
        // Each question is another one, or its answer would be a repeat without a charge.
        let text = format!(
            "SELECT city, COUNT(*) AS trips FROM trips WHERE distance_km > {number} GROUP BY city"
        );
        analysis.body = Body::Sql { text };
    })
}

/// One page, appended and synced.
fn fsync(folder: &Path) -> Duration {
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(folder.join("fsync")).unwrap();
    let began = Instant::now();
    file.write_all(&[7; PAGE_BYTES]).unwrap();
    file.sync_all().unwrap();
    began.elapsed()
}

fn print(mut took: Vec<Duration>, mut fsyncs: Vec<Duration>) {
    took.sort();
    fsyncs.sort();
    let (median, fsync) = (took[took.len() / 2], fsyncs[fsyncs.len() / 2]);
    let allowed = FSYNCS * fsync + BESIDE;
    let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("{profile} build, {} runs, {} nodes, slot 0", took.len(), PARTNERS.len());
    println!("fsync median    {:8.2} ms", ms(fsync));
    println!("latency median  {:8.2} ms", ms(median));
    println!(
        "allowed         {:8.2} ms = {FSYNCS} fsyncs + {} ms",
        ms(allowed),
        BESIDE.as_millis()
    );
    println!("ratio           {:8.2}", ms(median) / ms(allowed));
}
