//! Rows A13 to A16, A18, A28: whole runs on a virtual clock over neighbouring data. Everything that is seen
//! outside the node is put side by side; only the released integers may differ.

use cloister_dp::{Entropy, EntropyFault, SeededEntropy};
use cloister_net::Clock;
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::fixtures::{Federation, HandClock, HandPace, NOW_S, epsilon, key, name};
use cloister_node::ledger::{Charge, Ledger, Verdict};
use cloister_node::measure::{MeasureOptions, measure};
use cloister_node::noise::{Noised, noise};
use cloister_node::run::{Runs, Work, WorkFault};
use cloister_node::slot::Pace;
use cloister_terms::{Body, Digest, Refusal, ReleaseRecord};
use cloister_wire::Envelope;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SLOT_MS: u64 = 30_000;
/// A question that fails on some rows wherever engines may fail.
const HOLES: &str = "SELECT city, COUNT(*) AS trips, SUM(clamp(1 / (distance_km - 7), -9, 9)) AS a, \
    COUNT(CAST(city AS BIGINT)) AS b, SUM(clamp(LN(distance_km), -9, 9)) AS c, \
    COUNT(SQRT(distance_km) / 0) AS d FROM trips GROUP BY city";

/// A partner's table as text, and the rest of the node's way from a charge to noise.
#[derive(Debug)]
struct Table {
    catalog: Catalog,
    seed: u64,
    pace: Arc<HandPace>,
    /// Random bytes that the noise took.
    took: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Table {
    fn new(rows: &str, seed: u64, pace: Arc<HandPace>, took: Arc<AtomicU64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("person_id,city,distance_km\n{rows}");
        std::fs::write(folder.path().join("trips.csv"), text).unwrap();
        let source: SourceConfig = toml::from_str(
            "dataset = \"trips\"\nformat = \"csv\"\npath = \"x\"\n\
             csv = { types = { person_id = \"int64\", distance_km = \"float64\" } }\n\
             [columns]\nperson_id = \"person_id\"\ncity = \"city\"\ndistance_km = \"distance_km\"\n",
        )
        .unwrap();
        let source = SourceConfig { path: folder.path().to_owned(), ..source };
        let dictionary = cloister_node::fixtures::dictionary();
        let catalog = Catalog::open(&[source], &dictionary).unwrap();
        Self { catalog, seed, pace, took, _folder: folder }
    }
}

impl Work for Table {
    fn noised(&self, charge: Charge) -> BoxFuture<'_, Result<Noised, WorkFault>> {
        Box::pin(async move {
            let exact = measure(&charge, &self.catalog, &MeasureOptions::default()).await?;
            let mut metered = Metered { inner: SeededEntropy::new(self.seed), bytes: 0 };
            let noised = noise(exact, charge, &mut metered)?;
            self.took.store(metered.bytes, Ordering::SeqCst);
            // The draws themselves take as long as they have bytes.
            self.pace.until(Duration::from_millis(metered.bytes % (SLOT_MS / 2))).await;
            Ok(noised)
        })
    }
}

/// Counts what is drawn.
struct Metered {
    inner: SeededEntropy,
    bytes: u64,
}

impl Entropy for Metered {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyFault> {
        self.bytes += into.len() as u64;
        self.inner.fill(into)
    }
}

/// A node over one table.
struct Node {
    federation: Federation,
    pace: Arc<HandPace>,
    runs: Arc<Runs>,
    took: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

impl Node {
    fn new(rows: &str, seed: u64) -> Self {
        Self::over(tempfile::tempdir().unwrap(), rows, seed)
    }

    /// Started on the ledger in `folder`, over `rows`.
    fn over(folder: tempfile::TempDir, rows: &str, seed: u64) -> Self {
        let federation = Federation::new();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let (pace, took) = (Arc::new(HandPace::default()), Arc::new(AtomicU64::new(0)));
        let clock: Arc<dyn Clock> = Arc::new(HandClock::at(NOW_S));
        let runs = Runs::new(
            Arc::new(ledger),
            Arc::new(Table::new(rows, seed, pace.clone(), took.clone())),
            key("node:north"),
            clock,
            pace.clone(),
            federation.terms("north", epsilon("2"), SLOT_MS),
        );
        Self { federation, pace, runs: Arc::new(runs), took, folder }
    }

    /// Asks `sql` for the `nonce`th time.
    async fn ask(&self, sql: &str, nonce: u64) -> Result<Digest, Refusal> {
        let analysis = self.federation.analysis(|analysis| {
            analysis.name = name("holes");
            analysis.body = Body::Sql { text: sql.to_owned() };
        });
        self.federation.grant("north", &analysis, &self.runs.ledger);
        let papers = self.federation.papers(&analysis, nonce);
        let (runs, request) = (self.runs.clone(), papers.request_digest());
        let taken = tokio::task::spawn_blocking(move || runs.take(&papers.asking()));
        taken.await.unwrap().map(|()| request)
    }

    /// Waits until `count` answers may leave.
    async fn departed(&self, count: usize) -> Vec<Digest> {
        while self.runs.departures.due().len() < count {
            self.runs.departures.changed().await;
        }
        self.runs.departures.due()
    }

    /// Waits until `count` releases are on disk; the virtual clock stands still.
    async fn committed(&self, count: usize) {
        let released = || {
            let charges = self.runs.ledger.view().unwrap().charges;
            charges.iter().filter(|charge| charge.state == "released").count()
        };
        while released() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn bytes(&self, request: Digest) -> Vec<u8> {
        match self.runs.ledger.delivery(request).unwrap().unwrap().verdict {
            Verdict::Released(release) => release.bytes().to_vec(),
            Verdict::Withheld => panic!("withheld"),
        }
    }
}

/// What is seen outside of one whole run, and the integers it released.
#[derive(Debug, PartialEq)]
struct Outside {
    request: Digest,
    due_before_slot: usize,
    due_at_slot: Vec<Digest>,
    record: ReleaseRecord,
    ledger: serde_json::Value,
    refused_next: Vec<Refusal>,
}

async fn run(rows: &str) -> (Outside, Vec<i128>) {
    let node = Node::new(rows, 7);
    let request = node.ask(HOLES, 1).await.unwrap();
    node.pace.set_ms(SLOT_MS - 1);
    node.committed(1).await;
    let due_before_slot = node.runs.departures.due().len();
    node.pace.set_ms(SLOT_MS);
    let due_at_slot = node.departed(1).await;
    let envelope = Envelope::parse(&node.bytes(request)).unwrap();
    let mut record = envelope.open::<ReleaseRecord>().unwrap().document().clone();
    let values = std::mem::take(&mut record.values).into_iter().map(|int| int.0).collect();
    let mut refused_next = Vec::new();
    // A replay, and one question beyond what is left of the lifetime cap.
    refused_next.extend(node.ask(HOLES, 1).await.err());
    let more = |limit: u8| format!("SELECT COUNT(*) AS a FROM trips WHERE distance_km < {limit}");
    node.ask(&more(1), 2).await.unwrap();
    refused_next.extend(node.ask(&more(2), 3).await.err());
    node.committed(2).await;
    let mut ledger = serde_json::to_value(node.runs.ledger.view().unwrap()).unwrap();
    // Digests of what was released are part of the release.
    ledger["journal"]["hash"].take();
    for charge in ledger["charges"].as_array_mut().unwrap() {
        charge["release"].take();
    }
    // The second charge is named after a journal that holds the first release.
    ledger["charges"][1]["charge"].take();
    (Outside { request, due_before_slot, due_at_slot, record, ledger, refused_next }, values)
}

const OTHERS: &str = "1,Ashford,3.5\n1,Bramley,8\n2,Corston,0.25\n3,Ashford,99\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a28_nothing_seen_outside_differs_on_neighbouring_data_but_the_release() {
    let (without, released) = run(OTHERS).await;
    assert_eq!((without.due_before_slot, without.due_at_slot.len()), (0, 1));
    assert_eq!(without.refused_next, [Refusal::Replay, Refusal::OverBudget]);
    let many: String = (0..400).map(|i| format!("9,Ashford,{i}\n")).collect();
    for hers in ["9,Ashford,12\n", "9,Nowhere,7\n9,,\n", "9,Bramley,-1e308\n9,Bramley,NaN\n", &many]
    {
        let (with, values) = run(&format!("{OTHERS}{hers}")).await;
        assert_eq!(with, without, "with {hers:.40}");
        assert_eq!(values.len(), released.len());
    }
    // Nobody at all is no different either.
    assert_eq!(run("").await.0, without);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_a_row_that_every_function_fails_on_changes_figures_and_nothing_else() {
    let (without, before) = run(OTHERS).await;
    // Division by zero, a logarithm and a root below zero, texts that are no numbers, no number at all.
    for hers in ["9,Ashford,7\n", "9,Ashford,-3\n", "9,Ashford,abc\n", "9,Ashford,1e400\n"] {
        let (with, after) = run(&format!("{OTHERS}{hers}")).await;
        assert_eq!(with, without, "with {hers}");
        // The noise is the same, so the difference is what she adds: one trip, and no more than the bounds.
        assert_ne!(before, after, "with {hers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a16_an_answer_leaves_at_its_slot_however_long_its_noise_took() {
    let mut took = std::collections::BTreeSet::new();
    for seed in 0..6 {
        let node = Node::new(OTHERS, seed);
        let request = node.ask(HOLES, 1).await.unwrap();
        node.pace.set_ms(SLOT_MS - 1);
        node.committed(1).await;
        assert!(node.runs.departures.due().is_empty(), "left before the slot");
        took.insert(node.took.load(Ordering::SeqCst));
        node.pace.set_ms(SLOT_MS);
        assert_eq!(node.departed(1).await, [request]);
    }
    assert!(took.len() > 1, "the noise of every seed took the same {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_changed_data_give_the_same_bytes_for_nothing_within_an_epoch() {
    let node = Node::new(OTHERS, 1);
    let first = node.ask(HOLES, 1).await.unwrap();
    node.pace.set_ms(SLOT_MS - 1);
    node.committed(1).await;
    node.pace.set_ms(SLOT_MS);
    node.departed(1).await;
    let (bytes, spent) = (node.bytes(first), node.runs.ledger.view().unwrap().accounts);
    let Node { runs, folder, .. } = node;
    drop(runs);
    // Started anew over other records, with other noise.
    let node = Node::over(folder, "5,Bramley,1\n", 2);
    for nonce in 2..20 {
        let again = node.ask(HOLES, nonce).await.unwrap();
        assert_eq!(node.bytes(again), bytes);
    }
    assert_eq!(node.runs.ledger.view().unwrap().accounts, spent);
    assert_eq!(node.runs.ledger.view().unwrap().charges.len(), 1);
}
