//! Inputs to begin with: what lies in the checkout already. It must never invent what a file there shows.

use std::path::{Path, PathBuf};

/// Every file of a folder of the project with this ending, in the order of names.
pub fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// The evil modules as text.
pub fn evil_texts() -> Vec<Vec<u8>> {
    files("tests/evil", "wat")
}

/// The evil modules and the examples, assembled.
pub fn modules() -> Vec<Vec<u8>> {
    let assembled =
        evil_texts().into_iter().filter_map(|text| wat::parse_bytes(&text).ok().map(Into::into));
    files("examples/modules", "wasm").into_iter().chain(assembled).collect()
}

/// One evil module, assembled; empty when it is not there.
pub fn evil(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../evil/{name}.wat"));
    wat::parse_file(path).unwrap_or_default()
}
