//! The workspace as cargo sees it, for tests of its structure. It only reads.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The workspace's folder.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// What cargo prints, asked offline first; the network is tried only when a registry is missing.
pub fn cargo(arguments: &[&str]) -> String {
    let ask = |offline: &[&str]| {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(arguments)
            .args(offline)
            .current_dir(root())
            .output()
            .unwrap()
    };
    let mut done = ask(&["--offline"]);
    if !done.status.success() {
        done = ask(&[]);
    }
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// `cargo metadata`, with the resolved graph.
pub fn metadata() -> Value {
    serde_json::from_str(&cargo(&["metadata", "--format-version", "1"])).unwrap()
}

/// A JSON array's items.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A JSON string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
