//! From a researcher's request to the last signed release: a small SQL analysis over four nodes on
//! one disk, loopback, each run a question of its own, admitted, charged and durable, with a release
//! slot of 0. An fsync of the same disk is measured beside it, run by run, since it decides. Real
//! slots are seconds long; this is what the machinery costs.
//!
//! `cargo bench -p cloister-tests --bench latency`; without `--bench` (as a test) it runs twice only.
#![allow(clippy::unwrap_used, reason = "test code")]

use cloister_net::{Dialer, Role};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::ledger::Ledger;
use cloister_node::measure::MeasureOptions;
use cloister_node::run::{Runs, Tables};
use cloister_node::serve::Node;
use cloister_node::slot::SystemPace;
use cloister_terms::{Body, Digest, Verdict};
use cloister_tests::fixtures::{Federation, NOW_S, epsilon, key, name};
use cloister_tests::hub::{Hub, Person, until};
use cloister_tests::study::{PARTNERS, federation, partners};
use cloister_wire::Envelope;
use cloister_wire::message::{FromPerson, NodeState};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

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
    let (hub, federation) = (Hub::start().await, federation(|_| ()));
    let (_stop, stopped) = watch::channel(false);
    let mut ledgers = Vec::new();
    for partner in PARTNERS {
        ledgers.push(start(&hub, &federation, partner, folder.path(), stopped.clone()).await);
    }
    let connected = |hub: &Hub| {
        let peers = hub.store().peers().unwrap();
        peers.iter().filter(|peer| peer.role == Role::Node && peer.connected).count()
    };
    until(async || connected(&hub) == PARTNERS.len()).await;
    let ada = hub.person("ada").await;
    let agreement = federation.agreement.to_bytes();
    ada.stored(&FromPerson::Publish { agreement }).await;
    let reviewers = [hub.person("rita").await, hub.person("rosa").await];
    let (mut took, mut fsyncs) = (Vec::new(), Vec::new());
    for number in 0..warm_up + runs {
        let request = approved(&federation, number, &ada, &reviewers, &ledgers).await;
        let fsync = fsync(folder.path());
        let began = Instant::now();
        let digest = ada.stored(&FromPerson::Run { request: request.to_bytes() }).await;
        let last = ada.watched(digest).await.pop().unwrap();
        let elapsed = began.elapsed();
        assert!(last.nodes.iter().all(|(_, state)| *state == NodeState::Released), "{last:?}");
        if number >= warm_up {
            took.push(elapsed);
            fsyncs.push(fsync);
        }
    }
    print(took, fsyncs);
}

/// A node with its own ledger and table, serving; its ledger.
async fn start(
    hub: &Hub,
    federation: &Federation,
    partner: &'static str,
    folder: &Path,
    stopped: watch::Receiver<bool>,
) -> Arc<Ledger> {
    let ledger = folder.join(format!("{partner}.sqlite"));
    let ledger = Arc::new(Ledger::open(&ledger).unwrap());
    let catalog = table(&folder.join(format!("{partner}.csv")), federation);
    let work = Tables { catalog, options: MeasureOptions::default() };
    let terms = federation.terms(partner, epsilon("1000"), 0);
    let pace = Arc::new(SystemPace::default());
    let node_key = key(&format!("node:{partner}"));
    let (work, clock) = (Arc::new(work), hub.clock.clone());
    let runs = Runs::new(ledger.clone(), work, node_key, clock.clone(), pace, terms);
    let identity = hub.enrolled(partner, Role::Node).await;
    let dialer = Dialer::new(&identity, clock).unwrap();
    let (node, address) = (Arc::new(Node::new(Arc::new(runs))), hub.address().to_string());
    tokio::spawn(async move { node.serve(&dialer, &address, || (), stopped).await });
    ledger
}

/// A partner's trips as CSV.
fn table(path: &Path, federation: &Federation) -> Catalog {
    let cities = ["Ashford", "Bramley", "Corston"];
    let mut text = String::from("person_id,city,distance_km\n");
    for row in 0..PERSONS * ROWS_EACH {
        let (person, city) = (row / ROWS_EACH, cities[row as usize % cities.len()]);
        writeln!(text, "{person},{city},{}", f64::from(row % 97) / 2.0).unwrap();
    }
    std::fs::write(path, text).unwrap();
    let source: SourceConfig = serde_json::from_value(json!({
        "dataset": "trips", "format": "csv", "path": path,
        "csv": { "types": { "person_id": "int64", "distance_km": "float64" } },
        "columns": { "person_id": "person_id", "city": "city", "distance_km": "distance_km" },
    }))
    .unwrap();
    Catalog::open(&[source], &federation.document.dictionary).unwrap()
}

/// Question number `number`, submitted, approved and granted everywhere; the request to send.
async fn approved(
    federation: &Federation,
    number: usize,
    ada: &Person,
    reviewers: &[Person; 2],
    ledgers: &[Arc<Ledger>],
) -> Envelope {
    let analysis = federation.analysis(|analysis| {
        analysis.name = name(&format!("question-{number}"));
        analysis.nodes = partners();
        // Each question is another one, or its answer would be a repeat without a charge.
        let text = format!(
            "SELECT city, COUNT(*) AS trips FROM trips WHERE distance_km > {number} GROUP BY city"
        );
        analysis.body = Body::Sql { text };
    });
    let submit = FromPerson::Submit { analysis: analysis.to_bytes(), module: None };
    let digest = ada.stored(&submit).await;
    let mut votes = Vec::new();
    for (who, reviewer) in ["rita", "rosa"].iter().zip(reviewers) {
        let vote = federation.vote(who, &analysis, Verdict::Approve);
        reviewer.stored(&FromPerson::Review { approval: vote.to_bytes() }).await;
        votes.push(vote);
    }
    for (partner, ledger) in PARTNERS.iter().zip(ledgers) {
        federation.grant(partner, &analysis, ledger);
    }
    quiet(digest, ledgers).await;
    federation.request(&analysis, &votes, number as u64, NOW_S)
}

/// Waits until every node has taken in both votes and reported its grant: in life both are done
/// long before a run is asked for.
async fn quiet(analysis: Digest, ledgers: &[Arc<Ledger>]) {
    let settled = |ledger: &Arc<Ledger>| {
        let offer = ledger.offer(analysis).unwrap();
        let votes = offer.map_or(0, |offer| offer.approvals.len());
        votes == 2 && ledger.decisions_to_report().unwrap().is_empty()
    };
    until(async || ledgers.iter().all(settled)).await;
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
