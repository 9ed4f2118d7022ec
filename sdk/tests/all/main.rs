//! `cloister` as people run it: a process, its exit code, and what it says. Nothing here needs a
//! coordinator.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod modules;

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn cloister(home: &Path, args: &[&str], out: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloister"))
        .arg("--home")
        .arg(home)
        .args(args)
        .env("CLOISTER_PASSPHRASE", "correct horse battery")
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

/// A draft of an agreement of one partner, whose steward has this key.
fn draft(steward: &str, until: &str) -> String {
    let [node, ada, rita] = ["a", "b", "c"].map(|digit| digit.repeat(64));
    format!(
        r#"
name = "mobility"
charter = "How people travel."
purposes = ["https://w3id.org/dpv#ScientificResearch"]
from = "2001-01-01"
until = "{until}"
epoch_days = 30
coordinator = "hub"
run_time_max_s = 60
quorum = {{ approvals = 1, organisations = 1 }}

[[parties]]
partner = "north"
organisation = "North Ltd"
steward_key = "{steward}"
node_key = "{node}"
unit_namespace = "north-persons"
caps = {{ rho = "1" }}

[[researchers]]
name = "ada"
organisation = "University"
key = "{ada}"
caps = {{ rho = "1" }}

[[reviewers]]
name = "rita"
organisation = "City"
key = "{rita}"
trained_until = "2030-06-30"

[[dictionary.datasets]]
name = "trips"
description = "one trip"
unit_column = "person_id"
rows_per_unit_max = 20
columns = [
  {{ name = "person_id", type = "text", description = "rider", identifier = true }},
  {{ name = "town", type = "text", description = "start", domain = ["Ashford", "Bramley"] }},
]
"#
    )
}

const QUESTION: &str = r#"
name = "towns"
question = "How many trips begin where?"
purpose = "https://w3id.org/dpv#ScientificResearch"
row_cap = 5
group_cap = 2
spend = { rho = "0.1" }
sql = "SELECT town, COUNT(*) AS trips FROM trips GROUP BY town"
"#;

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

#[test]
fn a_key_is_rotated_and_the_old_one_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| cloister(folder.path(), args, Stdio::piped());
    let none = run(&["key", "rotate"]);
    assert!(!none.status.success());
    assert!(String::from_utf8_lossy(&none.stderr).contains("cloister key new"));
    assert!(run(&["key", "new"]).status.success());
    assert!(!run(&["key", "new"]).status.success(), "never over a key");
    let old = said(&run(&["key", "show"]));
    let rotated = run(&["key", "rotate"]);
    assert!(rotated.status.success());
    let new = said(&rotated);
    assert_ne!(new, old);
    assert_eq!(said(&run(&["key", "show"])), new);
    let kept = folder.path().join(format!("key.{}.json", &old[..8]));
    assert!(std::fs::read_to_string(kept).unwrap().contains(&old));
}

#[test]
fn a_rotation_that_was_killed_is_made_good_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| cloister(folder.path(), args, Stdio::piped());
    assert!(run(&["key", "new"]).status.success());
    let old = said(&run(&["key", "show"]));
    // Before the new key took its place: the old one is copied already, the new one half written.
    let (key, kept) = (folder.path().join("key.json"), format!("key.{}.json", &old[..8]));
    std::fs::copy(&key, folder.path().join(&kept)).unwrap();
    for left in [format!("{kept}.new"), "key.json.new".to_owned()] {
        std::fs::write(folder.path().join(left), "{").unwrap();
    }
    assert_eq!(said(&run(&["key", "show"])), old, "there is a key at each moment");
    let rotated = run(&["key", "rotate"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert_eq!(said(&run(&["key", "show"])), said(&rotated));
    assert!(std::fs::read_to_string(folder.path().join(&kept)).unwrap().contains(&old));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left lying about");
    // Another file of that name is nobody's to replace.
    let now = said(&run(&["key", "show"]));
    std::fs::write(folder.path().join(format!("key.{}.json", &now[..8])), "mine").unwrap();
    assert!(!run(&["key", "rotate"]).status.success());
    assert_eq!(said(&run(&["key", "show"])), now);
}

#[test]
fn a_new_key_that_was_killed_half_written_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.json.new"), "{").unwrap();
    let made = cloister(folder.path(), &["key", "new"], Stdio::piped());
    assert!(made.status.success());
    assert_eq!(said(&cloister(folder.path(), &["key", "show"], Stdio::piped())), said(&made));
}

#[test]
fn b07_nothing_is_signed_under_an_expired_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let run = |args: &[&str]| cloister(&home, args, Stdio::piped());
    let steward = said(&run(&["key", "new"]));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (written, agreement) = (at("agreement.toml"), at("agreement.json"));
    let drafted = |until: &str| {
        std::fs::write(&written, draft(&steward, until)).unwrap();
        assert!(run(&["agreement", "draft", &written, "--out", &agreement]).status.success());
        (run(&["agreement", "sign", &agreement]), std::fs::read_to_string(&agreement).unwrap())
    };
    let (refused, file) = drafted("2002-01-01");
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("nothing was signed: the agreement leaves no time"), "{error}");
    assert!(!refused.status.success() && file.contains("\"signatures\":[]"), "{file}");
    let (signed, _) = drafted("2999-01-01");
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let shown = said(&run(&["agreement", "show", &agreement]));
    assert!(shown.contains("rita (City), trained until 2030-06-30"), "{shown}");
    assert!(shown.contains("by all that may be spent here, someone"), "{shown}");
    assert!(!shown.contains("rho"), "{shown}");
    let exact = said(&run(&["agreement", "show", &agreement, "--verbose"]));
    assert!(exact.contains("by all that may be spent here (rho 1), someone"), "{exact}");
}

#[test]
fn a_reader_that_closed_the_pipe_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let steward = said(&cloister(&home, &["key", "new"], Stdio::piped()));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (written, agreement) = (at("agreement.toml"), at("agreement.json"));
    let (asked, refused) = (at("towns.toml"), at("refused.toml"));
    std::fs::write(&written, draft(&steward, "2999-01-01")).unwrap();
    std::fs::write(&asked, QUESTION).unwrap();
    std::fs::write(&refused, QUESTION.replace("COUNT(*)", "MAX(town)")).unwrap();
    let line = ["agreement", "draft", &written, "--out", &agreement];
    assert!(cloister(&home, &line, Stdio::piped()).status.success());
    let unread = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = cloister(&home, args, writer.into());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let under = ["--agreement", &agreement, "--researcher", "ada"];
    let commands: [&[&str]; 6] = [
        &["key", "show"],
        &["agreement", "show", &agreement],
        &["explain", &asked],
        &["explain", &asked, "--json"],
        &["dry-run", &asked, "--people", "20"],
        &["dry-run", &asked, "--people", "20", "--json"],
    ];
    for command in commands {
        let offline = matches!(command, ["explain" | "dry-run", ..]);
        let more = if offline { &under[..] } else { &[] };
        assert_eq!(unread(&[command, more].concat()), (Some(0), String::new()), "{command:?}");
    }
    for command in ["explain", "dry-run"] {
        let (code, error) = unread(&[&[command, &refused, "--json"][..], &under].concat());
        assert!(code == Some(1) && error.contains("MAX"), "{error}");
    }
}

#[test]
fn what_no_node_would_run_is_refused_before_it_is_submitted() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let steward = said(&cloister(&home, &["key", "new"], Stdio::piped()));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (written, agreement, asked) = (at("agreement.toml"), at("agreement.json"), at("q.toml"));
    std::fs::write(&written, draft(&steward, "2999-01-01")).unwrap();
    let line = ["agreement", "draft", &written, "--out", &agreement];
    assert!(cloister(&home, &line, Stdio::piped()).status.success());
    let explained = |from: &str, to: &str, more: &[&str]| {
        std::fs::write(&asked, QUESTION.replacen(from, to, 1)).unwrap();
        let line = ["explain", &asked, "--agreement", &agreement];
        cloister(&home, &[&line[..], more].concat(), Stdio::piped())
    };
    let ada = ["--researcher", "ada", "--json"];
    let refused = explained("ScientificResearch", "Marketing", &ada);
    assert!(!refused.status.success());
    let json: serde_json::Value = serde_json::from_str(&said(&refused)).unwrap();
    let message = json["refused"]["message"].as_str().unwrap();
    assert!(message.contains("Marketing` is no purpose of the agreement"), "{message}");
    assert!(message.contains("name one of `https://w3id.org/dpv#ScientificResearch`"), "{message}");
    assert_eq!(json["refused"]["place"]["line"], 4);
    let refused = explained("row_cap = 5", "until = \"2000-01-01\"\nrow_cap = 5", &ada);
    let message = said(&refused);
    assert!(
        message.contains("`until` (2000-01-01) must come after `from` (2001-01-01)"),
        "{message}"
    );
    // Without a profile somebody must say whose question it is.
    let nobody = explained("", "", &[]);
    let error = String::from_utf8_lossy(&nobody.stderr);
    assert!(!nobody.status.success() && error.contains("--researcher NAME"), "{error}");
}
