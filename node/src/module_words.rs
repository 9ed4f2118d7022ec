//! What a module can name and write, in the words that stewards and reviewers see alike.
//!
//! Must never let a value of a key break its line.

use cloister_report::printable;
use cloister_terms::{KeyDimension, ModuleBody, ModuleNumbers, ModuleOutputs};

/// Values of a key that are shown; their number is told.
const VALUES_SHOWN: usize = 3;

/// What a module's groups are told apart by, on one line: how many values, and the first of them.
pub fn module_groups(key: &KeyDimension) -> String {
    let (name, all) = (printable(&key.name), key.values.len());
    let first = key.values.iter().take(VALUES_SHOWN).map(|value| printable(&value.to_string()));
    let more = if all > VALUES_SHOWN { ", ..." } else { "" };
    format!("{name}: {all} values: {}{more}", first.collect::<Vec<_>>().join(", "))
}

/// What a module's values are, and how it hands them over.
pub fn module_writes(module: &ModuleBody) -> &'static str {
    match (module.numbers, module.outputs) {
        (ModuleNumbers::Int, ModuleOutputs::Sparse) => "integers, each with its place",
        (ModuleNumbers::Int, ModuleOutputs::Dense) => "integers, for all places in order",
        (ModuleNumbers::Float, ModuleOutputs::Sparse) => "floats, each with its place",
        (ModuleNumbers::Float, ModuleOutputs::Dense) => "floats, for all places in order",
    }
}
