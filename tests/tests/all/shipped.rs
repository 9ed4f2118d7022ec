//! The binaries that are shipped, and the tour's, are built without the feature `for-tests`: no
//! seeded entropy, no injected secrets, no slot of 0, no sight of exact lanes.

use crate::workspace::{cargo, root};
use std::collections::BTreeSet;

const FEATURE: &str = "for-tests";

/// `package [features]` a line, for everything that is built.
fn built(selected: &[&str], edges: &str) -> BTreeSet<String> {
    let tree = ["tree", "--prefix", "none", "--format", "{p} [{f}]", "--edges", edges];
    let text = cargo(&[&tree, selected].concat());
    text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// What a package's binaries are built with.
fn built_with(package: &str) -> BTreeSet<String> {
    built(&["--package", package], "normal,build")
}

fn with_feature(lines: &BTreeSet<String>) -> Vec<&String> {
    let has = |line: &&String| {
        let features = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        features.is_some_and(|(features, _)| features.split(',').any(|f| f == FEATURE))
    };
    lines.iter().filter(has).collect()
}

#[test]
fn shipped_binaries_are_built_without_test_features() {
    for package in ["cloister-node", "cloister-coordinator", "cloister", "cloister-examples"] {
        let lines = built_with(package);
        assert!(lines.iter().any(|line| line.starts_with("cloister-terms ")), "{lines:?}");
        let found = with_feature(&lines);
        assert!(found.is_empty(), "`{package}` is built with `{FEATURE}`: {found:?}");
    }
    assert!(
        built_with("cloister-node").iter().any(|line| line.starts_with("cloister-dp ")),
        "the sampler's crate was looked at"
    );
}

#[test]
fn the_look_for_test_features_finds_them_here() {
    let lines = built_with("cloister-tests");
    for package in ["cloister-node ", "cloister-dp "] {
        let found = with_feature(&lines);
        assert!(found.iter().any(|line| line.starts_with(package)), "{found:?}");
    }
}

#[test]
fn the_tests_recompile_no_third_party_crate_after_the_tour() {
    let root = root().display().to_string();
    let third_party = |lines: BTreeSet<String>| -> BTreeSet<String> {
        lines.into_iter().filter(|line| !line.contains(&root)).collect()
    };
    let tour = third_party(built_with("cloister-examples"));
    let all = third_party(built(&["--workspace"], "normal,build,dev"));
    assert!(tour.iter().any(|line| line.starts_with("datafusion ")), "the tree was not read");
    // The same versions with the same features: the same artefacts.
    let others: Vec<_> = tour.difference(&all).collect();
    assert!(others.is_empty(), "built twice, with other features: {others:?}");
    let name = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let of_tour: BTreeSet<_> = tour.iter().map(name).collect();
    let again: Vec<_> =
        all.difference(&tour).filter(|line| of_tour.contains(&name(line))).collect();
    assert!(again.is_empty(), "the tests build these once more: {again:?}");
}
