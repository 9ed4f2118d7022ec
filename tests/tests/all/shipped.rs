//! The binaries that are shipped, and the tour's, are built without the feature `for-tests`: no
//! seeded entropy, no injected secrets, no slot of 0, no sight of exact lanes.

use crate::workspace::cargo;

const FEATURE: &str = "for-tests";

/// `package features` a line, for everything that the package is built with.
fn built_with(package: &str) -> Vec<String> {
    let tree = cargo(&[
        "tree",
        "--package",
        package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p} [{f}]",
    ]);
    tree.lines().map(str::to_owned).collect()
}

fn with_feature(lines: &[String]) -> Vec<&String> {
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
