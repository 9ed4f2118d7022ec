//! Rows A17 and B20 by SIGKILL: this test binary runs itself once more as a node's process, which says
//! how far it has come and is killed there; what it left on disk is then opened anew. Nothing here
//! waits for a time: the child goes on only when told to, or is killed in the middle of its work.

use super::*;
use cloister_net::Clock;
use cloister_node::catalog::Catalog;
use cloister_node::fixtures::{HandClock, HandPace, dictionary};
use cloister_node::ledger::Verdict;
use cloister_node::noise::Noised;
use cloister_node::run::{Runs, Tables, Work, WorkFault};
use cloister_terms::Digest;
use futures::future::BoxFuture;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

/// Set for the child: the folder that it works in.
const FOLDER: &str = "CLOISTER_TESTS_KILLED_IN";
/// What a line of the child begins with; the test runner writes lines of its own.
const MARK: &str = "killed-child:";
const SIGKILL: i32 = 9;
const SLOT_MS: u64 = 30_000;
/// Questions that contend, and how many the lifetime cap pays for.
const ASKINGS: usize = 100;
const AFFORDED: usize = 7;

/// The folder of the child's work; `None` in the parent, which is every ordinary run of a test.
fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Says how far the child has come.
fn say(point: &str) {
    let mut out = std::io::stdout().lock();
    // On a line of its own, whatever the test runner wrote before.
    writeln!(out, "\n{MARK}{point}").and_then(|()| out.flush()).unwrap();
}

/// Says how far the child has come, and waits until it is told to go on.
fn stop_at(point: &str) {
    say(point);
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).unwrap();
    assert!(read > 0, "the parent is gone");
}

/// The child of one test.
struct Victim {
    process: Child,
    orders: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Victim {
    /// Runs the test `name` of this file again, in a process of its own, on `folder`.
    fn start(name: &str, folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("kills::{name}"), "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, orders, lines }
    }

    /// The next thing that the child says.
    fn next(&mut self) -> String {
        loop {
            let line = self.lines.next().expect("the child ended too soon").unwrap();
            if let Some(said) = line.strip_prefix(MARK) {
                return said.to_owned();
            }
        }
    }

    /// Waits until the child stands at `point`, and lets it go on from those before.
    fn run_to(&mut self, point: &str) -> String {
        loop {
            let said = self.next();
            if said.split(' ').next() == Some(point) {
                return said;
            }
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        self.orders.write_all(b"\n").unwrap();
    }

    /// Kills the child (SIGKILL); what it still said before it died.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "the child ended by itself: {status}");
        let rest = self.lines.map_while(Result::ok);
        rest.filter_map(|line| line.strip_prefix(MARK).map(str::to_owned)).collect()
    }
}

/// The node's own work over its (empty) tables; counted, and stopping where the child is told to.
#[derive(Debug)]
struct Watched {
    tables: Tables,
    began: AtomicUsize,
    stops: bool,
}

impl Work for Watched {
    fn noised(&self, charge: Charge) -> BoxFuture<'_, Result<Noised, WorkFault>> {
        Box::pin(async move {
            self.began.fetch_add(1, Ordering::SeqCst);
            if self.stops {
                stop_at(&format!("charged {}", charge.id()));
            }
            let noised = self.tables.noised(charge).await?;
            if self.stops {
                stop_at("noised");
            }
            Ok(noised)
        })
    }
}

/// A node on the ledger in a folder, on a clock and a pace that stand still.
struct Process {
    rig: Rig,
    runs: Arc<Runs>,
    work: Arc<Watched>,
    pace: Arc<HandPace>,
}

/// A gate whose ledger lies in `folder`, which outlives it.
fn rig_in(folder: &Path, lifetime_caps: Budget) -> Rig {
    let federation = Federation::new();
    let terms = federation.terms("north", lifetime_caps, SLOT_MS);
    let ledger = Ledger::open(&folder.join("ledger.sqlite")).unwrap();
    // A rig owns a folder; this one's own stays empty.
    Rig { federation, terms, ledger, folder: tempfile::tempdir().unwrap() }
}

impl Process {
    fn on(folder: &Path, stops: bool) -> Self {
        let rig = rig_in(folder, generous());
        let catalog = Catalog::open(&[], &dictionary()).unwrap();
        let tables = Tables { catalog, options: Default::default() };
        let work = Arc::new(Watched { tables, began: AtomicUsize::new(0), stops });
        let clock: Arc<dyn Clock> = Arc::new(HandClock::at(NOW_S));
        let pace = Arc::new(HandPace::default());
        let runs = Runs::new(
            Arc::new(Ledger::open(rig.ledger.path()).unwrap()),
            work.clone(),
            key("node:north"),
            clock,
            pace.clone(),
            rig.federation.terms("north", generous(), SLOT_MS),
        );
        Self { rig, runs: Arc::new(runs), work, pace }
    }

    /// Ada's question, asked the `nonce`th time.
    fn papers(&self, nonce: u64) -> Papers {
        self.rig.federation.papers(&self.rig.federation.analysis(|_| ()), nonce)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Arc<Runs>) -> T + Send + 'static,
    ) -> T {
        let runs = self.runs.clone();
        tokio::task::spawn_blocking(move || f(&runs)).await.unwrap()
    }

    async fn take(&self, papers: &Papers) {
        let papers = papers.clone();
        self.blocking(move |runs| runs.take(&papers.asking())).await.unwrap();
    }

    async fn resume(&self) {
        self.blocking(|runs| runs.resume()).await.unwrap();
    }

    /// Waits until the one charge left the state `open`.
    async fn settled(&self) -> String {
        loop {
            let state = self.rig.ledger.view().unwrap().charges[0].state.clone();
            if state != "open" {
                return state;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Past every slot: the requests that are answered then, once there are `count`.
    async fn answered(&self, count: usize) -> Vec<Digest> {
        self.pace.set_ms(4 * SLOT_MS);
        loop {
            let due = self.runs.departures.due();
            if due.len() >= count {
                return due;
            }
            self.runs.departures.changed().await;
        }
    }

    /// The bytes that answer a request.
    fn bytes(&self, request: Digest) -> Vec<u8> {
        match self.rig.ledger.delivery(request).unwrap().unwrap().verdict {
            Verdict::Released(release) => release.bytes().to_vec(),
            Verdict::Withheld => panic!("withheld"),
        }
    }
}

/// The child of B20: a node that is asked, or one that takes up what was left; then it stands still.
async fn serve_until_killed(folder: &Path, is_asked: bool) {
    let node = Process::on(folder, true);
    let papers = node.papers(1);
    match is_asked {
        true => node.take(&papers).await,
        false => node.resume().await,
    }
    assert_eq!(node.settled().await, "released");
    let bytes = node.bytes(papers.request_digest());
    // The pace stands still: nothing was sent, and nothing ever is by this process.
    assert!(node.runs.departures.due().is_empty());
    stop_at(&format!("committed {}", cloister_wire::sha256(&bytes)));
}

/// A folder with a ledger in which ada's question is granted.
fn granted_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    rig_in(folder.path(), generous()).granted(|_| ());
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b20_killed_before_the_commit_runs_once_more_under_the_same_charge() {
    const NAME: &str = "b20_killed_before_the_commit_runs_once_more_under_the_same_charge";
    if let Some(folder) = folder() {
        return serve_until_killed(&folder, true).await;
    }
    for point in ["charged", "noised"] {
        let folder = granted_folder();
        let mut victim = Victim::start(NAME, folder.path());
        let charge = victim.run_to("charged");
        if point != "charged" {
            victim.go_on();
            victim.run_to(point);
        }
        victim.kill();

        let node = Process::on(folder.path(), false);
        let view = node.rig.ledger.view().unwrap();
        assert_eq!((view.charges.len(), view.charges[0].state.as_str()), (1, "open"), "{point}");
        assert_eq!(node.rig.spent(), epsilon("1"));
        node.resume().await;
        // The pace stands still until the work is done: nothing overruns here.
        assert_eq!(node.settled().await, "released");
        let request = node.papers(1).request_digest();
        assert_eq!(node.answered(1).await, [request]);
        assert_eq!(node.work.began.load(Ordering::SeqCst), 1, "one rescan, killed when {point}");
        let delivery = node.rig.ledger.delivery(request).unwrap().unwrap();
        assert_eq!(format!("charged {}", delivery.charge), charge, "under the same charge");
        assert_eq!(node.rig.spent(), epsilon("1"));

        // From here on only those bytes: after another start, and to whoever asks the same.
        let bytes = node.bytes(request);
        drop(node);
        assert_only_these_are_sent(folder.path(), &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b20_killed_after_the_commit_sends_those_very_bytes_and_reads_nothing() {
    const NAME: &str = "b20_killed_after_the_commit_sends_those_very_bytes_and_reads_nothing";
    if let Some(folder) = folder() {
        return serve_until_killed(&folder, true).await;
    }
    let folder = granted_folder();
    let mut victim = Victim::start(NAME, folder.path());
    let committed = victim.run_to("committed");
    victim.kill();
    let node = Process::on(folder.path(), false);
    let bytes = node.bytes(node.papers(1).request_digest());
    assert_eq!(format!("committed {}", cloister_wire::sha256(&bytes)), committed);
    drop(node);
    assert_only_these_are_sent(folder.path(), &bytes).await;
}

/// A start on `folder` sends `bytes`, reads no record and charges nothing, for the first asking and
/// for a repeat.
async fn assert_only_these_are_sent(folder: &Path, bytes: &[u8]) {
    let node = Process::on(folder, false);
    let first = node.papers(1).request_digest();
    node.resume().await;
    assert_eq!(node.answered(1).await, [first]);
    let again = node.papers(2);
    node.take(&again).await;
    assert_eq!(node.answered(2).await.len(), 2);
    for request in [first, again.request_digest()] {
        assert_eq!(node.bytes(request), bytes);
    }
    assert_eq!(node.work.began.load(Ordering::SeqCst), 0, "no record is read again");
    assert_eq!(node.rig.spent(), epsilon("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b20_killed_in_the_rescan_too_is_withheld_for_good() {
    const NAME: &str = "b20_killed_in_the_rescan_too_is_withheld_for_good";
    if let Some(folder) = folder() {
        // The first process is asked; the second finds the open charge and takes it up.
        let is_first = rig_in(&folder, generous()).ledger.view().unwrap().charges.is_empty();
        return serve_until_killed(&folder, is_first).await;
    }
    let folder = granted_folder();
    let mut charges = Vec::new();
    for point in ["charged", "noised"] {
        let mut victim = Victim::start(NAME, folder.path());
        charges.push(victim.run_to("charged"));
        if point != "charged" {
            victim.go_on();
            victim.run_to(point);
        }
        victim.kill();
    }
    assert_eq!(charges[0], charges[1], "the rescan is under the same charge");
    let node = Process::on(folder.path(), false);
    node.resume().await;
    let request = node.papers(1).request_digest();
    assert_eq!(node.answered(1).await, [request]);
    assert_eq!(node.work.began.load(Ordering::SeqCst), 0, "there is no third run");
    let delivery = node.rig.ledger.delivery(request).unwrap().unwrap();
    assert_eq!(delivery.verdict, Verdict::Withheld);
    assert_eq!(node.rig.spent(), epsilon("1"));
    assert_eq!(node.rig.refusal(&node.papers(2)), Refusal::Frozen);
}

/// The child of A17: a hundred askings at once, over two handles, until it is killed or all are told.
fn contend_until_killed(folder: &Path) {
    let rig = rig_in(folder, epsilon("7.5"));
    let second = Ledger::open(rig.ledger.path()).unwrap();
    let papers = askings(&rig);
    let gate = Barrier::new(ASKINGS + 1);
    std::thread::scope(|scope| {
        for (i, papers) in papers.iter().enumerate() {
            let ledger = if i % 2 == 0 { &rig.ledger } else { &second };
            let (rig, gate) = (&rig, &gate);
            scope.spawn(move || {
                let admitted = rig.admit(papers).unwrap();
                gate.wait();
                match ledger.charge(admitted, Room::Free, &mut SystemEntropy::new()) {
                    Ok(Charged::Fresh(_)) => say("charged"),
                    Err(Refusal::OverBudget) => say("over"),
                    other => panic!("unexpected: {other:?}"),
                }
            });
        }
        gate.wait();
        say("contending");
    });
    stop_at("all");
}

/// A hundred questions of their own.
fn askings(rig: &Rig) -> Vec<Papers> {
    let papers = |i| rig.federation.papers(&rig.federation.analysis(numbered(i)), i as u64);
    (0..ASKINGS).map(papers).collect()
}

#[test]
fn a17_killed_while_a_hundred_contend_never_passes_the_cap() {
    const NAME: &str = "a17_killed_while_a_hundred_contend_never_passes_the_cap";
    if let Some(folder) = folder() {
        return contend_until_killed(&folder);
    }
    let prepared = tempfile::tempdir().unwrap();
    let rig = rig_in(prepared.path(), epsilon("7.5"));
    (0..ASKINGS).for_each(|i| drop(rig.granted(numbered(i))));
    let papers = askings(&rig);
    drop(rig);
    // Killed as they start, after each of these many charges were told, and when all were told.
    for heard_before in [0, 1, 3, AFFORDED, ASKINGS] {
        let folder = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(prepared.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let mut victim = Victim::start(NAME, folder.path());
        let mut heard = Vec::new();
        let enough = |heard: &[String]| match heard_before {
            ASKINGS => heard.iter().any(|said| said == "all"),
            before => {
                let told = heard.iter().filter(|said| *said == "charged").count();
                told >= before && heard.iter().any(|said| said == "contending")
            }
        };
        while !enough(&heard) {
            heard.push(victim.next());
        }
        heard.extend(victim.kill());
        let told = heard.iter().filter(|said| *said == "charged").count();

        let rig = rig_in(folder.path(), epsilon("7.5"));
        let charged = rig.ledger.view().unwrap().charges.len();
        // What was told is on disk; what is on disk may not have been told.
        assert!(told <= charged && charged <= AFFORDED, "{told} told, {charged} on disk");
        assert_eq!(rig.spent(), epsilon(&charged.to_string()));
        let open = rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap();
        assert_eq!(open.len(), charged, "each is run once more");
        assert_eq!(rig.spent(), epsilon(&charged.to_string()));
        // Asked again, all of them: what was charged is a replay, the rest fits or does not.
        let mut fresh = 0;
        for papers in &papers {
            match rig.charge(papers) {
                Ok(Charged::Fresh(_)) => fresh += 1,
                Err(Refusal::Replay | Refusal::OverBudget) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        assert_eq!(charged + fresh, AFFORDED);
        assert_eq!(rig.spent(), epsilon(&AFFORDED.to_string()));
    }
}
