//! The arrows of DESIGN section 4, read off `cargo metadata`: who may depend on whom, and what each
//! crate can therefore never do. A new crate or a new arrow must be entered here on purpose.

use crate::workspace::{list, metadata, root, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Every shipped crate and the crates of this workspace it may name.
const ARROWS: [(&str, &[&str]); 11] = [
    ("cloister-terms", &[]),
    ("cloister-guest", &[]),
    ("cloister-dp", &["cloister-terms"]),
    ("cloister-wire", &["cloister-terms"]),
    ("cloister-net", &["cloister-terms", "cloister-wire"]),
    ("cloister-report", &["cloister-terms"]),
    ("cloister-sandbox", &["cloister-terms"]),
    ("cloister-plan", &["cloister-terms", "cloister-dp", "cloister-report"]),
    (
        "cloister-coordinator",
        &["cloister-terms", "cloister-wire", "cloister-net", "cloister-report"],
    ),
    (
        "cloister-node",
        &[
            "cloister-terms",
            "cloister-dp",
            "cloister-plan",
            "cloister-sandbox",
            "cloister-wire",
            "cloister-net",
            "cloister-report",
        ],
    ),
    (
        "cloister",
        &[
            "cloister-terms",
            "cloister-wire",
            "cloister-net",
            "cloister-plan",
            "cloister-report",
            "cloister-node",
        ],
    ),
];
/// What is never shipped and may name anything.
const NOT_SHIPPED: [&str; 3] = ["cloister-tests", "cloister-fuzz", "cloister-examples"];
/// What the coordinator cannot do: read data, run modules, plan, sample noise.
const NOT_IN_COORDINATOR: [&str; 8] = [
    "cloister-dp",
    "cloister-plan",
    "cloister-sandbox",
    "cloister-node",
    "datafusion",
    "arrow",
    "parquet",
    "wasmtime",
];
/// What nobody may bring into the main workspace: oracles, and what needs more than a C compiler.
const NOWHERE: [&str; 9] = [
    "opendp",
    "prio",
    "openssl",
    "openssl-sys",
    "native-tls",
    "aws-lc-rs",
    "aws-lc-sys",
    "cmake",
    "protobuf-src",
];

/// Dependencies that a manifest names, by the workspace's packages.
fn named(metadata: &Value, kinds: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<_> = list(&metadata["workspace_members"]).iter().map(text).collect();
    list(&metadata["packages"])
        .iter()
        .filter(|package| members.contains(text(&package["id"])))
        .map(|package| {
            let counts = |d: &&Value| kinds.contains(&d["kind"].as_str().unwrap_or("normal"));
            let names = list(&package["dependencies"]).iter().filter(counts);
            let names = names.map(|d| text(&d["name"]).to_owned()).collect();
            (text(&package["name"]).to_owned(), names)
        })
        .collect()
}

/// Names of everything that `package` builds with, whatever the way, tests apart.
fn reached(metadata: &Value, package: &str) -> BTreeSet<String> {
    let names: BTreeMap<_, _> =
        list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let edges: BTreeMap<_, _> =
        list(&metadata["resolve"]["nodes"]).iter().map(|n| (text(&n["id"]), &n["deps"])).collect();
    let start = names.iter().find(|(_, name)| **name == package).unwrap().0;
    let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
    while let Some(id) = open.pop() {
        for edge in list(edges[id]) {
            let is_built = list(&edge["dep_kinds"]).iter().any(|k| k["kind"] != "dev");
            let to = text(&edge["pkg"]);
            if is_built && seen.insert(to) {
                open.push(to);
            }
        }
    }
    seen.into_iter().map(|id| names[id].to_owned()).collect()
}

#[test]
fn crates_name_only_what_the_design_lets_them() {
    let named = named(&metadata(), &["normal", "build", "dev"]);
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    for (package, dependencies) in &named {
        let package = package.as_str();
        if NOT_SHIPPED.contains(&package) {
            continue;
        }
        let allowed = allowed.get(package);
        let allowed = allowed.unwrap_or_else(|| panic!("`{package}` has no arrows declared here"));
        // A crate may name itself for its own tests, with more features.
        let others = dependencies.iter().filter(|d| *d != package);
        for dependency in others.filter(|d| d.starts_with("cloister")) {
            let may = allowed.contains(&dependency.as_str());
            assert!(may, "`{package}` must not depend on `{dependency}`");
        }
    }
    for (package, _) in ARROWS {
        assert!(named.contains_key(package), "`{package}` is gone: take it out of the arrows");
    }
    assert_eq!(named["cloister-guest"], BTreeSet::new(), "the guest's crate is a leaf");
}

#[test]
fn the_coordinator_can_neither_read_data_nor_sample_noise() {
    let metadata = metadata();
    let reached_by = |package| reached(&metadata, package);
    let coordinator = reached_by("cloister-coordinator");
    for never in NOT_IN_COORDINATOR {
        assert!(!coordinator.contains(never), "the coordinator is built with `{never}`");
    }
    assert!(!reached_by("cloister-node").contains("cloister-coordinator"));
    // The same walk finds them where they belong, so finding nothing means something.
    for there in ["cloister-dp", "cloister-plan", "cloister-sandbox", "datafusion", "wasmtime"] {
        assert!(
            reached_by("cloister-node").contains(there),
            "the node is not built with `{there}`"
        );
    }
    assert!(coordinator.contains("quinn"));
}

#[test]
fn engines_and_codecs_are_named_by_one_crate_each() {
    let named = named(&metadata(), &["normal", "build"]);
    let who = |wanted: &str| -> Vec<&str> {
        let has = |(_, names): &(&String, &BTreeSet<String>)| names.contains(wanted);
        named.iter().filter(has).map(|(package, _)| package.as_str()).collect()
    };
    assert_eq!(who("wasmtime"), ["cloister-sandbox"]);
    assert_eq!(who("bincode"), ["cloister-wire"]);
    assert_eq!(who("sqlparser"), ["cloister-plan"]);
    let only = |wanted, may: &[&str]| {
        for package in who(wanted) {
            let may = may.contains(&package) || NOT_SHIPPED.contains(&package);
            assert!(may, "`{package}` must not name `{wanted}`");
        }
    };
    only("datafusion", &["cloister-node"]);
    only("quinn", &["cloister-net"]);
    only("rustls", &["cloister-net"]);
    only("rusqlite", &["cloister-node", "cloister-coordinator"]);
}

#[test]
fn nothing_needs_more_than_rust_and_a_c_compiler() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let locked: BTreeSet<_> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(locked.contains("ring"), "the lock file was not read");
    for never in NOWHERE {
        assert!(!locked.contains(never), "`{never}` is in the main workspace's lock");
    }
}
