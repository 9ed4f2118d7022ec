//! Files that change under a running node: a question that reads them is refused before it is charged, until
//! they were checked again; what was asked before is answered from the ledger.

use super::*;
use cloister_net::Clock;
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::fixtures::{HandClock, HandPace, dictionary};
use cloister_node::ledger::Verdict;
use cloister_node::run::{Runs, Tables};
use cloister_terms::Digest;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const SLOT_MS: u64 = 30_000;
const GOOD: &str = "person_id,city,distance_km\n1,Ashford,3.5\n2,Corston,0.25\n";

/// A node over one CSV file.
struct Node {
    federation: Federation,
    pace: Arc<HandPace>,
    runs: Arc<Runs>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let Rig { federation, ledger, folder, .. } = Rig::new();
        let file = folder.path().join("trips.csv");
        std::fs::write(&file, GOOD).unwrap();
        let source: SourceConfig = toml::from_str(
            "dataset = \"trips\"\nformat = \"csv\"\npath = \"x\"\n\
             csv = { types = { person_id = \"int64\", distance_km = \"float64\" } }\n\
             [columns]\nperson_id = \"person_id\"\ncity = \"city\"\ndistance_km = \"distance_km\"\n",
        )
        .unwrap();
        let source = SourceConfig { path: file.clone(), ..source };
        let catalog = Catalog::open(&[source], &dictionary()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(HandClock::at(NOW_S));
        let pace = Arc::new(HandPace::default());
        let runs = Runs::new(
            Arc::new(ledger),
            Arc::new(Tables { catalog, options: Default::default() }),
            key("node:north"),
            clock,
            pace.clone(),
            federation.terms("north", generous(), SLOT_MS),
        );
        Self { federation, pace, runs: Arc::new(runs), file, _folder: folder }
    }

    /// Puts other records into the file. Of another length each time: clocks of file systems are coarse.
    fn write(&self, more: &str) {
        std::fs::write(&self.file, format!("{GOOD}{more}")).unwrap();
    }

    /// Takes ada's question number `i`, asked the `nonce`th time.
    async fn take(&self, i: usize, nonce: u64) -> Result<Digest, Refusal> {
        let analysis = self.federation.analysis(numbered(i));
        self.federation.grant("north", &analysis, &self.runs.ledger);
        let papers = self.federation.papers(&analysis, nonce);
        let (runs, request) = (self.runs.clone(), papers.request_digest());
        let taken = tokio::task::spawn_blocking(move || runs.take(&papers.asking()));
        taken.await.unwrap().map(|()| request)
    }

    /// As [`Node::take`], once the file was checked: each refusal has it checked.
    async fn taken_soon(&self, i: usize, nonce: u64) -> Digest {
        loop {
            match self.take(i, nonce).await {
                Ok(request) => return request,
                Err(refusal) => assert_eq!(refusal, Refusal::TablesChanged),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Checks what changed, as a node does by itself.
    async fn look_again(&self) {
        let runs = self.runs.clone();
        tokio::task::spawn_blocking(move || runs.work.look_again()).await.unwrap();
    }

    /// Waits until so many releases are on disk; the virtual clock stands still.
    async fn released(&self, count: usize) {
        let released = || {
            let charges = self.runs.ledger.view().unwrap().charges;
            charges.iter().filter(|charge| charge.state == "released").count()
        };
        while released() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn charges(&self) -> usize {
        self.runs.ledger.view().unwrap().charges.len()
    }
}

#[tokio::test]
async fn a_changed_file_is_refused_before_the_charge_and_read_once_it_was_checked() {
    let node = Node::new();
    node.take(1, 1).await.unwrap();
    node.released(1).await;
    let spent = node.runs.ledger.view().unwrap().accounts;
    node.write("3,Bramley,8\n");
    assert_eq!(node.take(2, 2).await.unwrap_err(), Refusal::TablesChanged);
    let view = node.runs.ledger.view().unwrap();
    assert_eq!((view.charges.len(), view.accounts), (1, spent));
    for said in ["nothing was charged", "ask again", "cloister-node check"] {
        assert!(Refusal::TablesChanged.to_string().contains(said), "{said}");
    }
    // The refused request was not used up, and nothing is frozen.
    node.taken_soon(2, 2).await;
    node.released(2).await;
    assert_eq!(node.charges(), 2);
}

#[tokio::test]
async fn a_question_that_was_charged_is_answered_whatever_became_of_the_file() {
    let node = Node::new();
    let first = node.take(1, 1).await.unwrap();
    node.released(1).await;
    std::fs::remove_file(&node.file).unwrap();
    assert_eq!(node.take(2, 2).await.unwrap_err(), Refusal::TablesChanged);
    let again = node.take(1, 3).await.unwrap();
    node.pace.set_ms(SLOT_MS);
    while node.runs.departures.due().len() < 2 {
        node.runs.departures.changed().await;
    }
    let verdict = |request| node.runs.ledger.delivery(request).unwrap().unwrap().verdict;
    assert!(matches!(verdict(first), Verdict::Released(_)));
    assert_eq!(verdict(first), verdict(again));
    assert_eq!(node.charges(), 1);
}

#[tokio::test]
async fn a_malformed_file_is_refused_until_somebody_mended_it() {
    let node = Node::new();
    // A field too few.
    node.write("3,Bramley\n");
    for nonce in 1..4 {
        assert_eq!(node.take(1, nonce).await.unwrap_err(), Refusal::TablesChanged);
        node.look_again().await;
    }
    assert_eq!(node.charges(), 0);
    node.write("3,Bramley,8.25\n");
    node.taken_soon(1, 4).await;
    node.released(1).await;
}
