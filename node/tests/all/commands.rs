//! The command line as a steward uses it: keys, agreement, decisions, accounts, and mistakes that end
//! in one line which says what to do.

use super::*;
use cloister_node::admit::admit_offer;
use cloister_node::config::{Config, SAMPLE};
use cloister_node::start;
use cloister_node::state::StateFolder;
use cloister_terms::PublicKey;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
    let desk = Desk::new();
    let made = desk.json(&["init", "--name", "north", "--json"]);
    let public = |which: &str| made[which].as_str().unwrap().parse::<PublicKey>().unwrap();
    let mut federation = Federation::with(|agreement| {
        agreement.parties[0].steward_key = public("steward_key");
        agreement.parties[0].node_key = public("node_key");
        // The commands go by the machine's own clock.
        agreement.not_before_s = agreement.calendar.start_s;
        agreement.not_after_s += 1_000_000_000;
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

/// Keeps an offer as a running node does.
fn offer(desk: &Desk, papers: &Papers) {
    let config = Config::load(&desk.path("node.toml")).unwrap();
    let state = StateFolder::open(&config.state).unwrap();
    let ledger = Ledger::open(&state.ledger_path()).unwrap();
    let agreement = start::agreement(&config, &state).unwrap().unwrap();
    let terms = start::terms(&config, agreement, &ledger, NOW_S).unwrap();
    let analysis = admit_offer(&papers.analysis, None, &papers.approvals, &terms).unwrap();
    ledger.keep_offer(&analysis, None, &papers.approvals, NOW_S).unwrap();
}

#[test]
fn a_steward_sees_decides_and_accounts() {
    let (desk, federation) = initialised();
    assert!(desk.good(&["pending"]).contains("No analysis waits"));
    let analysis = federation.analysis(|_| ());
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
    let analysis = federation.analysis(|_| ());
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
