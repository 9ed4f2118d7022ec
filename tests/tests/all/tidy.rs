//! House style as a test: every file says its idea, none is too long, nothing is left undone, unsafe
//! code and the frame codec stay where they belong. It reads the tree and changes nothing.

use crate::workspace::root;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Most lines of a file.
const LINES_MAX: usize = 600;
/// What may stand at the top, beside dot-files and `target`.
const TOP: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "node", "coordinator", "sdk", "tests", "examples", "README.md"];
const LICENCE: &str = "LICENSE";
/// Folders that hold nothing of ours.
const SKIPPED: [&str; 2] = ["target", ".git"];
/// Left undone. In two halves each, so that this file does not find itself.
const UNDONE: [(&str, &str); 5] =
    [("todo", "!("), ("unimplemented", "!("), ("#[ign", "ore"), ("FIX", "ME"), ("XX", "X")];
const CODEC: &str = "sdk/wire/src/codec.rs";
/// A guest's own crate, and the loader of machine code that this node compiled.
const UNSAFE: [&str; 2] = ["sdk/guest/", "sdk/sandbox/src/precompiled.rs"];

/// Every Rust file below the root, with its path from there and its text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &mut files);
    let relative = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let read = |path: PathBuf| (relative(&path), std::fs::read_to_string(&path).unwrap());
    let sources: Vec<_> = files.into_iter().map(read).collect();
    assert!(sources.iter().any(|(path, _)| path == CODEC), "the tree was not walked");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if path.is_dir() && !SKIPPED.contains(&name) {
            collect(&path, files);
        } else if path.extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
}

/// Fails with every file that breaks the rule.
fn none_of(misdeed: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{misdeed}:\n  {}", found.join("\n  "));
}

#[test]
fn every_file_opens_with_its_idea() {
    let silent = |(path, text): &(String, String)| {
        let first = text.lines().next().unwrap_or_default();
        (!first.starts_with("//! ") || first.len() < 12).then(|| path.clone())
    };
    none_of("files that do not open with `//!`", sources().iter().filter_map(silent).collect());
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let long = |(path, text): &(String, String)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{path} ({lines} lines)"))
    };
    none_of("files over the limit", sources().iter().filter_map(long).collect());
}

#[test]
fn nothing_is_left_undone() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if UNDONE.iter().any(|(a, b)| line.contains(&format!("{a}{b}"))) {
                found.push(format!("{path}:{}", number + 1));
            }
        }
    }
    none_of("stubs, ignored tests and notes to self", found);
}

#[test]
fn the_codec_is_named_by_one_file() {
    let names = |(path, text): &(String, String)| {
        let names = text.contains(concat!("bincode", "::"));
        (names && path != CODEC).then(|| path.clone())
    };
    none_of("files that name the frame codec", sources().iter().filter_map(names).collect());
}

#[test]
fn unsafe_code_is_in_the_guest_and_one_loader_only() {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (path, text) in sources() {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        for (number, code) in code.enumerate() {
            let is_unsafe = code.split(|c| !is_word(c)).any(|word| word == concat!("uns", "afe"));
            if is_unsafe && !UNSAFE.iter().any(|may| path.starts_with(may)) {
                found.push(format!("{path}:{}", number + 1));
            }
        }
    }
    none_of(
        "code that the compiler does not check, outside the guest's crate and the loader",
        found,
    );
}

#[test]
fn the_top_level_is_the_designs() {
    let names = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let known = |name: &str| {
        name.starts_with('.') || SKIPPED.contains(&name) || TOP.contains(&name) || name == LICENCE
    };
    none_of("names that do not belong at the top", names.filter(|name| !known(name)).collect());
}
