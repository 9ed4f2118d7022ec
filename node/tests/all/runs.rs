//! Runs on a virtual clock: answers leave exactly at the slot, whatever the work did; failures are
//! all alike and none is early. Also the pushes of a hostile coordinator.

use super::*;
use cloister_net::Clock;
use cloister_node::catalog::Catalog;
use cloister_node::fixtures::{HandClock, HandPace, dictionary};
use cloister_node::ledger::journal::{ChainedRows, Entry, Head, Journal, Proved};
use cloister_node::ledger::{LedgerError, Verdict};
use cloister_node::noise::Noised;
use cloister_node::run::{RUNS_AT_ONCE_MAX, Runs, Tables, Work, WorkFault};
use cloister_node::serve::Node;
use cloister_node::slot::Pace;
use cloister_terms::Digest;
use cloister_wire::encode;
use cloister_wire::message::{FromNode, ToNode};
use futures::future::BoxFuture;
use rusqlite::{Connection, Transaction, ffi};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const SLOT_MS: u64 = 30_000;

/// What the work does before, or instead of, reading the (empty) tables.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    TakesMs(u64),
    Panics,
    Faults,
    /// Holds every thread that works until [`BUSY`] ends, whoever waits for one.
    HoldsThreads,
}

/// How many threads work holds, and whether it may go on.
static BUSY: (AtomicUsize, AtomicBool) = (AtomicUsize::new(0), AtomicBool::new(false));

/// Keeps a thread from doing anything else.
fn hold_this_thread() {
    BUSY.0.fetch_add(1, Ordering::SeqCst);
    while !BUSY.1.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[derive(Debug)]
struct Tampered {
    behaviour: Behaviour,
    pace: Arc<HandPace>,
    tables: Tables,
}

impl Work for Tampered {
    fn noised(&self, charge: Charge) -> BoxFuture<'_, Result<Noised, WorkFault>> {
        Box::pin(async move {
            match self.behaviour {
                // From the start of the pace, which is when the tests charge.
                Behaviour::TakesMs(ms) => self.pace.until(Duration::from_millis(ms)).await,
                Behaviour::Panics => panic!("on purpose"),
                Behaviour::HoldsThreads => {
                    // As a partition that works through one person's rows, on every thread there is.
                    let threads = std::thread::available_parallelism().map_or(1, usize::from);
                    (0..4 * threads).for_each(|_| drop(tokio::spawn(async { hold_this_thread() })));
                    hold_this_thread();
                }
                Behaviour::Faults => return Err(cloister_node::fault::Fault::Worker.into()),
            }
            self.tables.noised(charge).await
        })
    }
}

struct Runner {
    federation: Federation,
    pace: Arc<HandPace>,
    runs: Arc<Runs>,
    _folder: tempfile::TempDir,
}

/// A disk that can be full, and how often something was written to it in vain.
#[derive(Debug, Default)]
struct Disk {
    is_full: AtomicBool,
    failed: AtomicUsize,
}

impl Disk {
    /// Waits until so many writes failed.
    async fn has_failed(&self, times: usize) {
        while self.failed.load(Ordering::SeqCst) < times {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The journal on such a disk: what every transaction ends with.
#[derive(Debug)]
struct JournalOn(Arc<Disk>);

impl Journal for JournalOn {
    fn append(&self, to: &Transaction<'_>, entry: &Entry) -> Result<Head, LedgerError> {
        if self.0.is_full.load(Ordering::SeqCst) {
            self.0.failed.fetch_add(1, Ordering::SeqCst);
            let full = ffi::Error::new(ffi::SQLITE_FULL);
            return Err(rusqlite::Error::SqliteFailure(full, None).into());
        }
        ChainedRows.append(to, entry)
    }

    fn head(&self, of: &Connection) -> Result<Head, LedgerError> {
        ChainedRows.head(of)
    }

    fn prove(&self, of: &Connection) -> Result<Proved, LedgerError> {
        ChainedRows.prove(of)
    }
}

impl Runner {
    fn new(behaviour: Behaviour) -> Self {
        Self::with(behaviour, Rig::new())
    }

    fn with(behaviour: Behaviour, rig: Rig) -> Self {
        let Rig { federation, ledger, folder, .. } = rig;
        let catalog = Catalog::open(&[], &dictionary()).unwrap();
        let tables = Tables { catalog, options: Default::default() };
        let clock: Arc<dyn Clock> = Arc::new(HandClock::at(NOW_S));
        let pace = Arc::new(HandPace::default());
        let runs = Runs::new(
            Arc::new(ledger),
            Arc::new(Tampered { behaviour, pace: pace.clone(), tables }),
            key("node:north"),
            clock,
            pace.clone(),
            federation.terms("north", generous(), SLOT_MS),
        );
        Self { federation, pace, runs: Arc::new(runs), _folder: folder }
    }

    /// Takes ada's question number `i`, asked the `nonce`th time.
    async fn take(&self, i: usize, nonce: u64) -> Result<Digest, Refusal> {
        let analysis = self.federation.analysis(numbered(i));
        self.federation.grant("north", &analysis, &self.runs.ledger);
        let papers = self.federation.papers(&analysis, nonce);
        let runs = self.runs.clone();
        let request = papers.request_digest();
        let taken = tokio::task::spawn_blocking(move || runs.take(&papers.asking()));
        taken.await.unwrap().map(|()| request)
    }

    /// Waits until every answer of `count` requests may leave.
    async fn departed(&self, count: usize) -> Vec<Digest> {
        loop {
            self.runs.departures.changed().await;
            let due = self.runs.departures.due();
            if due.len() >= count {
                return due;
            }
        }
    }

    /// Waits until `count` releases are committed; the pace stands still meanwhile.
    async fn committed(&self, count: usize) {
        let released = || {
            let view = self.runs.ledger.view().unwrap();
            view.charges.iter().filter(|charge| charge.state == "released").count()
        };
        while released() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn verdict(&self, request: Digest) -> Verdict {
        self.runs.ledger.delivery(request).unwrap().unwrap().verdict
    }

    fn due(&self) -> Vec<Digest> {
        self.runs.departures.due()
    }

    /// Everything that was journaled, oldest first.
    fn journal(&self) -> Vec<Entry> {
        let spare = Connection::open(self.runs.ledger.path()).unwrap();
        let mut entries = spare.prepare("SELECT entry FROM journal ORDER BY seq").unwrap();
        let entries = entries.query_map([], |row| row.get::<_, String>(0)).unwrap();
        entries.map(|entry| serde_json::from_str(&entry.unwrap()).unwrap()).collect()
    }
}

fn sorted<const N: usize>(mut requests: [Digest; N]) -> [Digest; N] {
    requests.sort();
    requests
}

#[tokio::test]
async fn a13_fast_and_slow_answers_leave_exactly_at_the_slot() {
    for ms in [0, 1, 12_345, SLOT_MS - 1] {
        let runner = Runner::new(Behaviour::TakesMs(ms));
        let request = runner.take(1, 1).await.unwrap();
        runner.pace.set_ms(SLOT_MS - 1);
        runner.committed(1).await;
        assert!(runner.due().is_empty(), "work of {ms} ms left early");
        runner.pace.set_ms(SLOT_MS);
        assert_eq!(runner.departed(1).await, [request]);
        assert!(matches!(runner.verdict(request), Verdict::Released(_)), "work of {ms} ms");
    }
}

/// Work that never gives its threads back does not hold up the slot: were it to, the answer below would never
/// leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a13_work_that_holds_its_threads_does_not_hold_up_the_slot() {
    let runner = Runner::new(Behaviour::HoldsThreads);
    let request = runner.take(1, 1).await.unwrap();
    while BUSY.0.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    runner.pace.set_ms(SLOT_MS);
    assert_eq!(runner.departed(1).await, [request]);
    assert!(matches!(runner.verdict(request), Verdict::Withheld));
    BUSY.1.store(true, Ordering::SeqCst);
}

#[tokio::test]
async fn a14_every_failure_is_one_withheld_answer_at_the_slot() {
    for behaviour in [Behaviour::Panics, Behaviour::Faults, Behaviour::TakesMs(SLOT_MS * 3)] {
        let runner = Runner::new(behaviour);
        let request = runner.take(1, 1).await.unwrap();
        runner.pace.set_ms(SLOT_MS - 1);
        // Just before the slot nothing outside can tell: the same question is still taken.
        let early = runner.take(1, 2).await.unwrap();
        assert!(runner.due().is_empty());
        assert_eq!(runner.runs.ledger.view().unwrap().charges[0].state, "open");
        runner.pace.set_ms(SLOT_MS);
        assert_eq!(runner.departed(2).await, sorted([request, early]), "{behaviour:?}");
        assert_eq!(runner.verdict(request), Verdict::Withheld);
        assert_eq!(runner.verdict(early), Verdict::Withheld);
        let view = runner.runs.ledger.view().unwrap();
        assert_eq!(view.accounts[0].spent, epsilon("1"));
        assert_eq!(view.charges[0].state, "withheld");
        // Work that ends after its slot finds the charge settled.
        runner.pace.set_ms(SLOT_MS * 4);
        assert_eq!(runner.verdict(request), Verdict::Withheld);
    }
}

#[tokio::test]
async fn a14_a_full_disk_at_the_release_ends_in_one_withheld_answer_once_it_is_freed() {
    let disk = Arc::new(Disk::default());
    let Rig { federation, terms, ledger, folder } = Rig::new();
    let path = ledger.path().to_owned();
    drop(ledger);
    let ledger = Ledger::open_with(&path, Box::new(JournalOn(disk.clone()))).unwrap();
    let runner = Runner::with(Behaviour::TakesMs(10), Rig { federation, terms, ledger, folder });
    let request = runner.take(1, 1).await.unwrap();
    let charged = runner.journal();
    disk.is_full.store(true, Ordering::SeqCst);
    // The release finds no room, and at the slot the withholding finds none either.
    runner.pace.set_ms(SLOT_MS - 1);
    disk.has_failed(1).await;
    runner.pace.set_ms(SLOT_MS);
    disk.has_failed(2).await;
    assert!(runner.due().is_empty(), "nothing is sent that is not on disk");
    assert_eq!(runner.runs.ledger.delivery(request).unwrap(), None);
    let view = runner.runs.ledger.view().unwrap();
    assert_eq!((view.charges[0].state.as_str(), view.accounts[0].spent), ("open", epsilon("1")));
    assert_eq!(runner.journal(), charged);
    disk.is_full.store(false, Ordering::SeqCst);
    assert_eq!(runner.departed(1).await, [request]);
    assert_eq!(runner.verdict(request), Verdict::Withheld);
    let view = runner.runs.ledger.view().unwrap();
    assert_eq!(
        (view.charges[0].state.as_str(), view.accounts[0].spent),
        ("withheld", epsilon("1"))
    );
    let journal = runner.journal();
    assert_eq!(journal.len(), charged.len() + 1, "one verdict");
    assert!(matches!(journal.last(), Some(Entry::Withheld { .. })), "{journal:?}");
}

#[tokio::test]
async fn b20_a_charge_that_waited_out_a_pause_runs_once_it_is_asked_for_again() {
    let rig = Rig::new();
    let analysis = rig.federation.analysis(numbered(1));
    rig.federation.grant("north", &analysis, &rig.ledger);
    let papers = rig.federation.papers(&analysis, 1);
    let first = papers.request_digest();
    // A crash right after the charge; the steward pauses the node before it starts again.
    drop(rig.fresh(&papers));
    rig.ledger.set_paused(true, NOW_S).unwrap();
    let runner = Runner::with(Behaviour::TakesMs(10), rig);
    runner.runs.resume().unwrap();
    runner.pace.set_ms(SLOT_MS * 2);
    assert!(runner.due().is_empty());
    runner.runs.ledger.set_paused(false, NOW_S).unwrap();
    let second = runner.take(1, 2).await.unwrap();
    runner.pace.set_ms(SLOT_MS * 2 + SLOT_MS / 2);
    runner.committed(1).await;
    // Whoever asks meanwhile attaches to it.
    let third = runner.take(1, 3).await.unwrap();
    assert!(runner.due().is_empty());
    runner.pace.set_ms(SLOT_MS * 3);
    assert_eq!(runner.departed(3).await, sorted([first, second, third]));
    assert_eq!(runner.verdict(first), runner.verdict(second));
    let view = runner.runs.ledger.view().unwrap();
    assert_eq!((view.charges.len(), view.accounts[0].spent), (1, epsilon("1")));
}

#[tokio::test]
async fn a18_a_repeat_never_leaves_before_the_first_answer() {
    let runner = Runner::new(Behaviour::TakesMs(10));
    let first = runner.take(1, 1).await.unwrap();
    runner.pace.set_ms(SLOT_MS / 2);
    runner.committed(1).await;
    // The release is committed by now, but its slot is not reached.
    let second = runner.take(1, 2).await.unwrap();
    assert!(runner.due().is_empty());
    runner.pace.set_ms(SLOT_MS);
    assert_eq!(runner.departed(2).await, sorted([first, second]));
    assert_eq!(runner.verdict(first), runner.verdict(second));
    // Past the slot a repeat leaves at once.
    let third = runner.take(1, 3).await.unwrap();
    assert!(runner.due().contains(&third));
    assert_eq!(runner.verdict(first), runner.verdict(third));
}

#[tokio::test]
async fn a17_busy_is_said_before_charging_and_until_the_slot() {
    let runner = Runner::new(Behaviour::TakesMs(1));
    for i in 0..RUNS_AT_ONCE_MAX {
        runner.take(i, i as u64).await.unwrap();
    }
    // All work is long done; the slots are not reached.
    runner.pace.set_ms(SLOT_MS - 1);
    runner.committed(RUNS_AT_ONCE_MAX).await;
    let spent = runner.runs.ledger.view().unwrap().accounts[0].spent;
    assert_eq!(runner.take(100, 100).await.unwrap_err(), Refusal::Busy);
    assert_eq!(runner.runs.ledger.view().unwrap().accounts[0].spent, spent);
    runner.pace.set_ms(SLOT_MS);
    runner.departed(RUNS_AT_ONCE_MAX).await;
    while let Err(refusal) = runner.take(100, 100).await {
        // The last room is given back just after its answer left.
        assert_eq!(refusal, Refusal::Busy);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn b20_a_restart_sends_what_was_stored_and_runs_what_was_open() {
    let runner = Runner::new(Behaviour::TakesMs(5));
    let analysis = runner.federation.analysis(numbered(7));
    runner.federation.grant("north", &analysis, &runner.runs.ledger);
    let papers = runner.federation.papers(&analysis, 7);
    let ledger = &runner.runs.ledger;
    let admitted = admit(&papers.asking(), &runner.runs.terms, ledger, NOW_S).unwrap();
    drop(fresh(ledger.charge(admitted, Room::Free, &mut SystemEntropy::new())));
    let resume = || {
        let runs = runner.runs.clone();
        tokio::task::spawn_blocking(move || runs.resume())
    };
    resume().await.unwrap().unwrap();
    runner.pace.set_ms(SLOT_MS - 1);
    runner.committed(1).await;
    assert!(runner.due().is_empty());
    runner.pace.set_ms(SLOT_MS);
    assert_eq!(runner.departed(1).await, [papers.request_digest()]);
    let released = runner.verdict(papers.request_digest());
    assert!(matches!(released, Verdict::Released(_)));
    // A second start sends the same bytes, no sooner than the second after the slot.
    runner.runs.departures.gone(papers.request_digest());
    resume().await.unwrap().unwrap();
    runner.pace.set_ms(2 * SLOT_MS);
    assert!(runner.due().is_empty());
    runner.pace.set_ms(2 * SLOT_MS + 1_000);
    assert_eq!(runner.departed(1).await, [papers.request_digest()]);
    assert_eq!(runner.verdict(papers.request_digest()), released);
}

#[tokio::test]
async fn b01_a_push_with_an_approval_by_an_unknown_key_is_refused_and_journaled() {
    let runner = Runner::new(Behaviour::TakesMs(1));
    let node = Node::new(runner.runs.clone());
    let analysis = runner.federation.analysis(numbered(1));
    runner.federation.grant("north", &analysis, &runner.runs.ledger);
    let approve = cloister_terms::Verdict::Approve;
    let stranger = key("person:mallory");
    let forged = runner.federation.vote_signed_by("rosa", &analysis, approve, &stranger);
    let papers = runner.federation.papers(&analysis, 1);
    let asked = papers.request_digest();
    let Papers { analysis, module, mut approvals, request, used } = papers;
    approvals[1] = forged.to_bytes();
    let run = encode(&ToNode::Run { analysis, module, approvals, request, used }).unwrap();
    let before = runner.journal();
    assert_eq!(node.judge(&run), FromNode::Refused(Refusal::BadSignature));
    let refused =
        Entry::Refused { at_s: NOW_S, request: Some(asked), refusal: Refusal::BadSignature };
    assert_eq!(runner.journal(), [before, vec![refused]].concat(), "one entry, and no other");
    let view = runner.runs.ledger.view().unwrap();
    assert!(view.charges.is_empty() && view.accounts.is_empty(), "nothing is charged");
}

#[tokio::test]
async fn hostile_pushes_end_in_a_journaled_refusal() {
    let runner = Runner::new(Behaviour::TakesMs(1));
    let node = Arc::new(Node::new(runner.runs.clone()));
    let malformed = FromNode::Refused(Refusal::Malformed);
    for frame in [&b""[..], &[0xff; 100], &[1; 5]] {
        assert_eq!(node.judge(frame), malformed);
    }
    let mut push = encode(&ToNode::Offer {
        analysis: b"{".to_vec(),
        module: None,
        approvals: vec![vec![]; 3],
    })
    .unwrap();
    assert_eq!(node.judge(&push), malformed);
    push.push(0);
    assert_eq!(node.judge(&push), malformed);
    let before = runner.runs.ledger.head().unwrap();
    let analysis = runner.federation.analysis(numbered(1));
    let Papers { analysis, module, approvals, request, used } =
        runner.federation.papers(&analysis, 1);
    let run = encode(&ToNode::Run { analysis, module, approvals, request, used }).unwrap();
    assert_eq!(node.judge(&run), FromNode::Refused(Refusal::NotGranted));
    assert_eq!(runner.runs.ledger.head().unwrap().size, before.size + 1);
    // Without an agreement everything is refused.
    let alone = Node::without_agreement(runner.runs.ledger.clone(), runner.runs.clock.clone());
    assert_eq!(alone.judge(&run), FromNode::Refused(Refusal::UnknownAgreement));
}
