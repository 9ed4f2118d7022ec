//! The command line as a steward uses it: keys, agreement, decisions, accounts, and mistakes that end
//! in one line which says what to do.

use super::*;
use cloister_net::{Clock, SystemClock};
use cloister_node::admit::admit_offer;
use cloister_node::catalog::Catalog;
use cloister_node::config::{Config, SAMPLE};
use cloister_node::fixtures::{HandPace, dictionary, digest_of};
use cloister_node::run::{Runs, Tables};
use cloister_node::serve::Node;
use cloister_node::start;
use cloister_node::state::StateFolder;
use cloister_terms::{Agreement, PublicKey, Verdict};
use cloister_wire::encode;
use cloister_wire::message::{FromNode, ToNode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const PASSPHRASE: &str = "correct horse battery";

/// A folder in which `cloister-node` is run.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cloister-node"))
            .args(args)
            .current_dir(self.folder.path())
            .env("CLOISTER_PASSPHRASE", PASSPHRASE)
            .output()
            .unwrap()
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.command(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(args)).unwrap()
    }

    /// The one line that a failing command ends in.
    fn bad(&self, args: &[&str]) -> String {
        let output = self.command(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(error.starts_with("cloister-node: "), "{error}");
        error
    }
}

/// `init`, and an agreement with the keys it made.
fn initialised() -> (Desk, Federation) {
    initialised_with(|_| ())
}

/// As [`initialised`], with the agreement changed before it is signed.
fn initialised_with(edit: impl FnOnce(&mut Agreement)) -> (Desk, Federation) {
    let desk = Desk::new();
    let made = desk.json(&["init", "--name", "north", "--json"]);
    let public = |which: &str| made[which].as_str().unwrap().parse::<PublicKey>().unwrap();
    let mut federation = Federation::with(|agreement| {
        agreement.parties[0].steward_key = public("steward_key");
        agreement.parties[0].node_key = public("node_key");
        // The commands go by the machine's own clock.
        agreement.not_before_s = agreement.calendar.start_s;
        agreement.not_after_s += 1_000_000_000;
        edit(agreement);
    });
    let state = StateFolder::open(&desk.path("state")).unwrap();
    let steward = state.steward_key_file().unwrap().open(PASSPHRASE).unwrap();
    let mut agreement = Envelope::unsigned(&federation.document).unwrap();
    agreement.add_signature(&steward).unwrap();
    agreement.add_signature(&key("steward:south")).unwrap();
    federation.agreement = agreement;
    std::fs::write(desk.path("agreement.json"), federation.agreement.to_bytes()).unwrap();
    (desk, federation)
}

/// An analysis that lasts by the machine's own clock.
fn lasting(analysis: &mut Analysis) {
    (analysis.not_before_s, analysis.not_after_s) = (0, NOW_S + 1_000_000_000);
}

/// The node's ledger and terms, as it runs with them.
fn opened(desk: &Desk) -> (Ledger, Terms) {
    let config = Config::load(&desk.path("node.toml")).unwrap();
    let state = StateFolder::open(&config.state).unwrap();
    let ledger = Ledger::open(&state.ledger_path()).unwrap();
    let agreement = start::agreement(&config, &state).unwrap().unwrap();
    let terms = start::terms(&config, agreement, &ledger, NOW_S).unwrap();
    (ledger, terms)
}

/// Keeps an offer as a running node does.
fn offer(desk: &Desk, papers: &Papers) {
    let (ledger, terms) = opened(desk);
    let analysis = admit_offer(&papers.analysis, None, &papers.approvals, &terms).unwrap();
    ledger.keep_offer(&analysis, None, &papers.approvals, NOW_S).unwrap();
}

#[test]
fn a_steward_sees_decides_and_accounts() {
    let (desk, federation) = initialised();
    assert!(desk.good(&["pending"]).contains("No analysis waits"));
    let analysis = federation.analysis(lasting);
    offer(&desk, &federation.papers(&analysis, 1));
    let text = desk.good(&["pending"]);
    for said in
        ["How many journeys", "trips: city, distance_km", "50 % sure", "rita, rosa", "enough"]
    {
        assert!(text.contains(said), "`{said}` is missing in:\n{text}");
    }
    for jargon in ["rho", "L0", "lane", "PRF"] {
        assert!(!text.contains(jargon), "`{jargon}` stands in:\n{text}");
    }
    let pending = desk.json(&["pending", "--json"]);
    assert_eq!(pending[0]["name"], "trips-by-city");
    assert_eq!(pending[0]["cost_per_run"]["epsilon"], "1");
    assert_eq!(pending[0]["granted"], Value::Null);
    assert!(desk.bad(&["grant", "trips-by-city", "--reason", " "]).contains("reason"));
    assert!(desk.bad(&["grant", "nothing", "--reason", "Yes."]).contains("pending"));
    let granted = desk.good(&["grant", "trips-by-city", "--reason", "Discussed."]);
    assert!(granted.contains("Granted"), "{granted}");
    assert!(desk.good(&["pending"]).contains("No analysis waits"));
    assert_eq!(desk.json(&["pending", "--all", "--json"])[0]["granted"], true);
    let digest = pending[0]["analysis"].as_str().unwrap();
    assert!(desk.good(&["decline", &digest[..8], "--reason", "No."]).contains("Declined"));
    assert!(desk.good(&["pause"]).contains("Paused"));
    let ledger = desk.json(&["ledger", "show", "--json"]);
    assert_eq!(ledger["paused"], true);
    assert_eq!(ledger["accounts"], serde_json::json!([]));
    assert!(desk.good(&["ledger", "show"]).contains("Nothing was spent yet"));
    assert!(desk.good(&["pause", "--resume"]).contains("Resumed"));
}

#[test]
fn b07_nothing_is_granted_that_could_not_run_any_more() {
    // In 2001, whatever the machine's clock says.
    const ENDED_S: i64 = 1_000_000_000;
    let ended = |agreement: &mut Agreement| {
        (agreement.calendar.start_s, agreement.not_before_s) = (0, 0);
        agreement.not_after_s = ENDED_S;
    };
    let old = |analysis: &mut Analysis| {
        (analysis.not_before_s, analysis.not_after_s) = (0, ENDED_S);
    };
    let cases = [
        (initialised_with(ended), lasting as fn(&mut Analysis), "agreement"),
        (initialised(), old as fn(&mut Analysis), "analysis"),
    ];
    for ((desk, federation), edit, document) in cases {
        let analysis = federation.analysis(edit);
        offer(&desk, &federation.papers(&analysis, 1));
        let refused = desk.bad(&["grant", "trips-by-city", "--reason", "Discussed."]);
        let said = format!("nothing was signed: the {document} leaves no time for a run");
        assert!(refused.contains(&said), "{refused}");
        assert_eq!(desk.json(&["pending", "--json"])[0]["granted"], Value::Null);
        let declined = desk.good(&["decline", "trips-by-city", "--reason", "Too late."]);
        assert!(declined.contains("Declined"), "{declined}");
    }
}

#[test]
fn a_steward_sees_what_is_left_of_the_account_that_ends_first() {
    let (desk, federation) = initialised_with(|agreement| {
        (agreement.calendar.start_s, agreement.not_before_s) = (0, 0);
        agreement.parties[0].caps.epsilon = "4".parse().unwrap();
    });
    let analysis = federation.analysis(lasting);
    offer(&desk, &federation.papers(&analysis, 1));
    let left = |percent: &str| {
        let text = desk.good(&["pending", "--all"]);
        let said = format!("{percent} % is left of what the agreement may spend here");
        assert!(text.contains(&said), "`{said}` is missing in:\n{text}");
        let pending = desk.json(&["pending", "--all", "--json"]);
        assert_eq!(pending[0]["ends_first"]["account"], "agreement");
        pending[0]["ends_first"]["left"]["epsilon"].clone()
    };
    assert_eq!(left("100.0"), "4");
    desk.good(&["grant", "trips-by-city", "--reason", "Discussed."]);
    // One run is charged, as by a running node.
    let (ledger, terms) = opened(&desk);
    let now_s = i64::try_from(SystemClock.now_unix_s()).unwrap();
    let votes = ["rita", "rosa"].map(|who| federation.vote(who, &analysis, Verdict::Approve));
    let request = federation.request(&analysis, &votes, 1, now_s).to_bytes();
    let papers = Papers { request, ..federation.papers(&analysis, 1) };
    let admitted = admit(&papers.asking(), &terms, &ledger, now_s).unwrap();
    ledger.charge(admitted, Room::Free, &mut SystemEntropy::new()).unwrap();
    assert_eq!(left("75.0"), "3");
    let text = desk.good(&["pending", "--all", "--verbose"]);
    let exact = "epsilon 3, rho 10 left of what the agreement may spend here";
    assert!(text.contains(exact), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_a_decline_stop_the_node_that_runs() {
    let (desk, federation) = initialised_with(|agreement| {
        (agreement.calendar.start_s, agreement.not_before_s) = (0, 0);
    });
    let (ledger, terms) = opened(&desk);
    let state = StateFolder::open(&desk.path("state")).unwrap();
    let node_key = state.node_key_file().unwrap().open(PASSPHRASE).unwrap();
    let catalog = Catalog::open(&[], &dictionary()).unwrap();
    let tables = Arc::new(Tables { catalog, options: Default::default() });
    let (clock, pace) = (Arc::new(SystemClock), Arc::new(HandPace::default()));
    let runs = Arc::new(Runs::new(Arc::new(ledger), tables, node_key, clock, pace, terms));
    let node = Node::new(runs.clone());

    let analysis = federation.analysis(lasting);
    let votes = ["rita", "rosa"].map(|who| federation.vote(who, &analysis, Verdict::Approve));
    let Papers { analysis: text, approvals, .. } = federation.papers(&analysis, 1);
    let offer = ToNode::Offer { analysis: text, module: None, approvals };
    assert_eq!(node.judge(&encode(&offer).unwrap()), FromNode::Taken);
    let asked = |nonce: u64| {
        let now_s = i64::try_from(SystemClock.now_unix_s()).unwrap();
        let request = federation.request(&analysis, &votes, nonce, now_s).to_bytes();
        let papers = federation.papers(&analysis, nonce);
        let Papers { analysis, module, approvals, used, .. } = papers;
        node.judge(&encode(&ToNode::Run { analysis, module, approvals, request, used }).unwrap())
    };
    assert_eq!(asked(1), FromNode::Refused(Refusal::NotGranted));
    desk.good(&["grant", "trips-by-city", "--reason", "Discussed."]);
    desk.good(&["pause"]);
    assert_eq!(asked(2), FromNode::Refused(Refusal::Paused));
    desk.good(&["pause", "--resume"]);
    assert_eq!(asked(3), FromNode::Taken);
    desk.good(&["decline", "trips-by-city", "--reason", "No more."]);
    assert_eq!(asked(4), FromNode::Refused(Refusal::Declined));
    assert_eq!(runs.ledger.view().unwrap().charges.len(), 1);
    // The coordinator is told of the latest word.
    let told = (digest_of::<Analysis>(&analysis), false);
    assert_eq!(runs.ledger.decisions_to_report().unwrap(), [told]);
}

#[test]
fn mistakes_end_in_one_line_that_says_what_to_do() {
    let desk = Desk::new();
    assert!(desk.bad(&["pending"]).contains("cloister-node init"));
    std::fs::write(desk.path("node.toml"), "name = \"north\"\nstate = 7\n").unwrap();
    let error = desk.bad(&["pending"]);
    assert!(error.contains("line 2") && error.contains("node.sample.toml"), "{error}");
    std::fs::write(desk.path("node.toml"), SAMPLE).unwrap();
    assert!(desk.bad(&["pending"]).contains("holds no keys"));
    assert!(desk.bad(&["init", "--name", "north"]).contains("never overwritten"));
    assert_eq!(desk.command(&["init", "--name", "North Mobile"]).status.code(), Some(2));

    let (desk, federation) = initialised();
    assert!(desk.bad(&["run"]).contains("cloister-node enroll"));
    let token = ["enroll", "--token", "x", "--coordinator", "h:1", "--enrol-addr", "h:2"];
    assert!(desk.bad(&token).contains("join token"));
    let checked = desk.command(&["check", "--skip-data", "--offline"]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && !said.contains("PROBLEM"), "{said}");
    // A passphrase that is not the keys', and an agreement that lost a signature.
    let analysis = federation.analysis(lasting);
    offer(&desk, &federation.papers(&analysis, 1));
    std::fs::write(desk.path("wrong"), "another passphrase\n").unwrap();
    let wrong = ["--passphrase-file", "wrong", "grant", "trips-by-city", "--reason", "Yes."];
    assert!(desk.bad(&wrong).contains("passphrase"));
    let unsigned = Envelope::unsigned(&federation.document).unwrap().to_bytes();
    std::fs::write(desk.path("agreement.json"), unsigned).unwrap();
    assert!(desk.bad(&["pending"]).contains("not signed"));
    std::fs::remove_file(desk.path("agreement.json")).unwrap();
    assert!(desk.bad(&["pending"]).contains("agreement.json"));
}

#[test]
fn an_init_that_was_killed_is_run_again() {
    let init = ["init", "--name", "north", "--json"];
    let desk = Desk::new();
    // Between the two keys.
    std::fs::create_dir(desk.path("state")).unwrap();
    for left in ["state/node.key.json.new", "state/steward.key.json", "node.toml.new"] {
        std::fs::write(desk.path(left), "{").unwrap();
    }
    assert!(desk.bad(&["pending"]).contains("cloister-node init"));
    let made = desk.json(&init);
    // Before its configuration was there: the keys stand, and nobody is asked for a passphrase.
    std::fs::remove_file(desk.path("node.toml")).unwrap();
    assert_eq!(desk.json(&init), made);
    assert!(desk.bad(&init).contains("never overwritten"));
    assert!(desk.good(&["ledger", "show"]).contains("Nothing was spent yet"));
}

#[test]
fn a_check_finds_what_would_stop_or_spoil_a_run() {
    let (desk, _federation) = initialised();
    std::fs::write(desk.path("trips.csv"), "rider,start,km\n1,Ashford,2.5\n2,Bramley,3\n").unwrap();
    let sample = std::fs::read_to_string(desk.path("node.toml")).unwrap();
    let mapped = |distance: &str| {
        format!(
            "{sample}\n[[source]]\ndataset = \"trips\"\nformat = \"csv\"\npath = \"trips.csv\"\n\
             [source.columns]\nperson_id = \"rider\"\ncity = \"start\"\ndistance_km = \"{distance}\"\n"
        )
    };
    let checked = |config: &str| {
        std::fs::write(desk.path("node.toml"), config).unwrap();
        let output = desk.command(&["check", "--offline"]);
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (good, said) = checked(&mapped("km"));
    assert!(good && !said.contains("PROBLEM"), "{said}");
    for (config, wanted) in [
        // A text where a number is wanted: every value would be null in silence.
        (mapped("start"), "`trips.distance_km` has no value in any row"),
        (mapped("kilometres"), "the source has no column `kilometres`"),
        (
            mapped("km").replace("person_id = \"rider\"", ""),
            "column `person_id` (int64) is not mapped",
        ),
        (
            mapped("km").replace("\"rider\"", "\"NULL\""),
            "`trips.person_id` has no value in any row",
        ),
        (mapped("km").replace("30000", "700000"), "lower the slot"),
        (format!("coordinator = \"nonsense\"\n{}", mapped("km")), "host:port"),
    ] {
        let (good, said) = checked(&config);
        assert!(!good && said.contains(wanted), "`{wanted}` is missing in:\n{said}");
    }
    std::fs::write(desk.path("trips.parquet"), [0x5a; 3_000]).unwrap();
    let (good, said) = checked(&mapped("km").replace("csv", "parquet"));
    assert!(!good && said.contains("is not a readable Parquet file"), "{said}");
    std::fs::write(desk.path("empty.csv"), "").unwrap();
    for (file, wanted) in [
        ("trips.parquet", "not readable Parquet"),
        ("empty.csv", "holds no column"),
        ("none.csv", "cannot be read"),
    ] {
        let error = desk.bad(&["describe", file]);
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn another_agreement_needs_the_stewards_word() {
    let (desk, federation) = initialised();
    desk.good(&["pending"]);
    let state = StateFolder::open(&desk.path("state")).unwrap();
    let steward = state.steward_key_file().unwrap().open(PASSPHRASE).unwrap();
    let mut document = federation.document.clone();
    document.charter.push_str(" And more.");
    let mut other = Envelope::unsigned(&document).unwrap();
    other.add_signature(&steward).unwrap();
    other.add_signature(&key("steward:south")).unwrap();
    std::fs::write(desk.path("agreement.json"), other.to_bytes()).unwrap();
    assert!(desk.bad(&["pending"]).contains("cloister-node pin"));
    assert!(desk.good(&["pin", "agreement.json"]).contains("Adopted"));
    desk.good(&["pending"]);
    assert!(Path::new(&desk.path("state/ledger.sqlite")).exists());
}
