//! A node on a real connection, with a coordinator of this file's own: hello, offers, decisions,
//! runs, answers, and a coordinator that goes away before it took one.

use super::*;
use cloister_net::{
    Ca, Clock, CloseReason, Connection, Dialer, Identity, JoinKey, RevocationList, Role, Serial,
    Server, SystemClock,
};
use cloister_node::catalog::Catalog;
use cloister_node::fixtures::{HandClock, HandPace, dictionary, name};
use cloister_node::run::{Runs, Tables};
use cloister_node::serve::{Displaced, Node};
use cloister_node::state::StateFolder;
use cloister_terms::ReleaseRecord;
use cloister_wire::message::{FromNode, NodeReport, Outcome, ReportTaken, ToNode};
use cloister_wire::{decode, encode};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const SLOT_MS: u64 = 30_000;
const PUSH_DEADLINE: Duration = Duration::from_secs(60);

/// A coordinator's certificate authority with one node under it.
fn authority() -> (Ca, Identity) {
    let now_s = SystemClock.now_unix_s();
    let ca = Ca::generate(&name("hub"), now_s).unwrap();
    let join = JoinKey::generate().unwrap();
    let (serial, from_s, to_s) = (Serial::random().unwrap(), now_s - 60, now_s + 3_600);
    let certificate =
        ca.sign_csr(join.csr_der(), &name("north"), Role::Node, serial, from_s, to_s).unwrap();
    let node = join.into_identity(&certificate, &ca.cert_pem()).unwrap();
    (ca, node)
}

/// A coordinator of `ca`, whose certificate ends `for_s` seconds from now.
fn hub_of(ca: &Ca, for_s: i64) -> Identity {
    let now_s = SystemClock.now_unix_s();
    let (from_s, to_s) = (now_s - 7_200, now_s.saturating_add_signed(for_s));
    ca.issue_server(&name("hub"), Serial::random().unwrap(), from_s, to_s).unwrap()
}

/// The next connection of the node, and its reports; each is taken but the answers, when told so.
async fn accept(
    server: &Server,
    takes_answers: bool,
) -> (Connection, mpsc::UnboundedReceiver<NodeReport>) {
    let (peer, connection) = server.accept().await.unwrap();
    assert_eq!((peer.name().as_str(), peer.role()), ("north", Role::Node));
    let (heard, reports) = mpsc::unbounded_channel();
    let listening = connection.clone();
    tokio::spawn(async move {
        while let Ok(mut stream) = listening.accept_bi().await {
            let frame = stream.read_last_frame(1 << 20).await.unwrap();
            let report: NodeReport = decode(&frame).unwrap();
            let is_answer = matches!(report, NodeReport::Outcome { .. });
            heard.send(report).unwrap();
            if takes_answers || !is_answer {
                stream.answer(&encode(&ReportTaken).unwrap()).await.unwrap();
            }
        }
    });
    (connection, reports)
}

async fn push(connection: &Connection, push: &ToNode) -> FromNode {
    let answer = connection.call(&encode(push).unwrap(), 64, PUSH_DEADLINE).await.unwrap();
    decode(&answer).unwrap()
}

fn runs(rig: Rig, pace: Arc<HandPace>) -> (Arc<Runs>, tempfile::TempDir, Federation) {
    let Rig { federation, ledger, folder, .. } = rig;
    let catalog = Catalog::open(&[], &dictionary()).unwrap();
    let runs = Runs::new(
        Arc::new(ledger),
        Arc::new(Tables { catalog, options: Default::default() }),
        key("node:north"),
        Arc::new(HandClock::at(NOW_S)),
        pace,
        federation.terms("north", generous(), SLOT_MS),
    );
    (Arc::new(runs), folder, federation)
}

#[tokio::test]
async fn an_answer_is_sent_again_until_it_is_taken() {
    let (server, node, clock) = coordinator().await;
    let address = server.local_addr().unwrap().to_string();

    let pace = Arc::new(HandPace::default());
    let (runs, _folder, federation) = runs(Rig::new(), pace.clone());
    let (stop, stopping) = watch::channel(false);
    let dialer = Dialer::new(&node, clock).unwrap();
    let serving = tokio::spawn({
        let node = Arc::new(Node::new(runs.clone()));
        async move { node.serve(&dialer, &address, || (), stopping).await }
    });

    let (connection, mut reports) = accept(&server, false).await;
    let hello = reports.recv().await.unwrap();
    assert!(matches!(hello, NodeReport::Hello { agreement: Some(a) } if a == federation.digest));

    // Offered, refused before the grant, granted by another process, told.
    let analysis = federation.analysis(|_| ());
    let papers = federation.papers(&analysis, 1);
    let Papers { analysis: text, module, approvals, request, used } = papers.clone();
    let offer = ToNode::Offer {
        analysis: text.clone(),
        module: module.clone(),
        approvals: approvals.clone(),
    };
    let run = ToNode::Run { analysis: text, module, approvals, request, used };
    assert_eq!(push(&connection, &offer).await, FromNode::Taken);
    assert_eq!(push(&connection, &run).await, FromNode::Refused(Refusal::NotGranted));
    let steward = Ledger::open(runs.ledger.path()).unwrap();
    federation.grant("north", &analysis, &steward);
    let decision = reports.recv().await.unwrap();
    assert!(matches!(decision, NodeReport::Decision { granted: true, .. }));

    // Charged, released, held until the slot, then sent but not taken: the line breaks.
    assert_eq!(push(&connection, &run).await, FromNode::Taken);
    assert_eq!(push(&connection, &run).await, FromNode::Refused(Refusal::Replay));
    while runs.ledger.view().unwrap().charges[0].state != "released" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(reports.try_recv().is_err(), "nothing leaves before the slot");
    pace.set_ms(SLOT_MS);
    let first = answer(reports.recv().await.unwrap(), &papers);
    connection.close(CloseReason::Shutdown);

    // The node dials again and sends the very same bytes.
    let (connection, mut reports) = accept(&server, true).await;
    assert!(matches!(reports.recv().await.unwrap(), NodeReport::Hello { .. }));
    assert_eq!(answer(reports.recv().await.unwrap(), &papers), first);
    let opened = Envelope::parse(&first).unwrap().open::<ReleaseRecord>().unwrap();
    assert!(opened.is_signed_by(&key("node:north").public_key()));
    assert_eq!(opened.document().values.len(), 6, "three cities, count and sum");
    while !runs.ledger.undelivered().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(true).unwrap();
    serving.await.unwrap().unwrap();
    connection.closed().await;
    server.shutdown().await;
}

/// A coordinator's end on loopback, its node's identity, and the clock of both.
async fn coordinator() -> (Server, Identity, Arc<dyn Clock>) {
    let (ca, node) = authority();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    (bound(&hub_of(&ca, 3_600), clock.clone()), node, clock)
}

/// A coordinator's end on loopback that goes by `clock`.
fn bound(hub: &Identity, clock: Arc<dyn Clock>) -> Server {
    let revocations = RevocationList::new(clock.clone());
    revocations.replace([], clock.now_unix_s()).unwrap();
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Server::bind(here, hub, revocations, clock).unwrap()
}

#[tokio::test]
async fn a_displaced_node_ends_and_a_broken_line_is_dialled_again() {
    let (server, node, clock) = coordinator().await;
    let address = server.local_addr().unwrap().to_string();
    let (runs, _folder, _federation) = runs(Rig::new(), Arc::default());
    let (_stop, stopping) = watch::channel(false);
    let dialer = Dialer::new(&node, clock).unwrap();
    let serving = tokio::spawn(async move {
        Arc::new(Node::new(runs)).serve(&dialer, &address, || (), stopping).await
    });
    // Every other end is a reason to dial again.
    for reason in [CloseReason::Done, CloseReason::Shutdown, CloseReason::TooMany] {
        let (connection, mut reports) = accept(&server, true).await;
        assert!(matches!(reports.recv().await.unwrap(), NodeReport::Hello { .. }), "{reason:?}");
        connection.close(reason);
    }
    // As after a line that broke: the node has dialled again, and the old connection is closed then.
    let (old, mut reports) = accept(&server, true).await;
    assert!(matches!(reports.recv().await.unwrap(), NodeReport::Hello { .. }));
    old.close(CloseReason::Done);
    let (connection, mut reports) = accept(&server, true).await;
    assert!(matches!(reports.recv().await.unwrap(), NodeReport::Hello { .. }));
    old.close(CloseReason::Displaced);
    assert!(!serving.is_finished() && !connection.is_closed());
    // The connection in use is another one's now.
    connection.close(CloseReason::Displaced);
    assert_eq!(serving.await.unwrap(), Err(Displaced));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_state_folder_is_one_clear_error() {
    const PASSPHRASE: &str = "correct horse battery";
    let (server, node, _clock) = coordinator().await;
    let address = server.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let (state, ..) = StateFolder::create(&folder.path().join("state"), PASSPHRASE).unwrap();
    state.keep_identity(&node, &address).unwrap();
    let sample = cloister_node::config::sample_for(&name("north"));
    std::fs::write(folder.path().join("node.toml"), sample).unwrap();
    let run = || {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_cloister-node"))
            .arg("run")
            .current_dir(folder.path())
            .env("CLOISTER_PASSPHRASE", PASSPHRASE)
            .env("RUST_LOG", "off")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let process = run();
    let (connection, mut reports) = accept(&server, true).await;
    assert!(matches!(reports.recv().await.unwrap(), NodeReport::Hello { .. }));
    // Two on one folder is refused where it is seen; a copy elsewhere is seen by the coordinator.
    let second = run().wait_with_output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("stop it first"));
    connection.close(CloseReason::Displaced);
    let ended = process.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let error = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    for said in ["another machine took this node's place", "state", "stop one"] {
        assert!(error.contains(said), "`{said}` is missing in: {error}");
    }
    server.shutdown().await;
}

/// What `cloister-node check` says where the coordinator is looked for at `address`.
async fn checked(folder: &Path, address: SocketAddr) -> String {
    let sample = cloister_node::config::sample_for(&name("north"));
    let config = folder.join(format!("{}.toml", address.port()));
    std::fs::write(&config, format!("coordinator = \"{address}\"\n{sample}")).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_cloister-node"))
        .arg("check")
        .arg("--config")
        .arg(&config)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    // There is no agreement yet: one of the checks fails in any case.
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_what_keeps_the_coordinator_out_of_reach() {
    const APART_S: i64 = 600;
    let (ca, node) = authority();
    let now_s = i64::try_from(SystemClock.now_unix_s()).unwrap();
    let apart = |apart_s: i64| Arc::new(HandClock::at(now_s + apart_s));
    let hub = hub_of(&ca, 3_600);
    let good = bound(&hub, Arc::new(SystemClock));
    let ahead = bound(&hub, apart(APART_S));
    let behind = bound(&hub, apart(-APART_S));
    let ended = bound(&hub_of(&ca, -3_600), Arc::new(SystemClock));
    let other = bound(&hub_of(&authority().0, 3_600), Arc::new(SystemClock));
    // Bound, so that no error comes back either: as behind a firewall that drops UDP.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = (silent.local_addr().unwrap(), silent);

    let folder = tempfile::tempdir().unwrap();
    let (state, ..) = StateFolder::create(&folder.path().join("state"), "correct horse").unwrap();
    state.keep_identity(&node, "nowhere:1").unwrap();
    // Made before several processes open it at once.
    drop(Ledger::open(&state.ledger_path()).unwrap());
    let of = |server: &Server| server.local_addr().unwrap();
    let cases: [(SocketAddr, &[&str]); 6] = [
        (of(&good), &["ok       coordinator  `hub` at", "ok       clock"]),
        (of(&ahead), &["ok       coordinator", "PROBLEM  clock", "by NTP, at most 120 s"]),
        // The node's certificate is not valid yet there.
        (of(&behind), &["PROBLEM  coordinator", "the two clocks disagree: set both clocks right"]),
        (of(&ended), &["PROBLEM  coordinator", "has expired, or this machine's clock is ahead"]),
        (of(&other), &["PROBLEM  coordinator", "another authority", "join again with a new token"]),
        (
            silent.0,
            &["PROBLEM  coordinator", "no packet came back", "UDP is let through both ways"],
        ),
    ];
    let said = cases.map(|(address, _)| checked(folder.path(), address));
    let said = futures::future::join_all(said).await;
    for ((_, wanted), said) in cases.iter().zip(&said) {
        for words in *wanted {
            assert!(said.contains(words), "`{words}` is missing in:\n{said}");
        }
    }
}

fn answer(report: NodeReport, papers: &Papers) -> Vec<u8> {
    match report {
        NodeReport::Outcome { request, outcome: Outcome::Released(bytes) } => {
            assert_eq!(request, papers.request_digest());
            bytes
        }
        other => panic!("expected a release, found {other:?}"),
    }
}
