//! `cloister` as people run it: a process, its exit code, and what it says. Nothing here needs a
//! coordinator.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

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
fn a_reader_that_closed_the_pipe_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(cloister(folder.path(), &["key", "new"], Stdio::piped()).status.success());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = cloister(folder.path(), &["key", "show"], writer.into());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
}
