//! `module`: a module by itself, before there is an analysis, an agreement or a key. It is vetted and
//! compiled as every node will, and never run.

use super::analysis::{of_the_module, refusal_json};
use super::{CliError, read};
use clap::{Args, Subcommand};
use cloister_node::module_facts::ModuleFacts;
use cloister_node::module_fit::module_compiles_here;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum ModuleCommand {
    /// Vet and compile it as every node will, and show what it was built for.
    Check(CheckArguments),
}

#[derive(Args)]
pub(super) struct CheckArguments {
    /// The module, in WebAssembly.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn module(command: &ModuleCommand) -> Result<(), CliError> {
    let ModuleCommand::Check(arguments) = command;
    match checked(&read(&arguments.file)?) {
        Ok(facts) if arguments.json => say!("{}", serde_json::json!(facts)),
        Ok(facts) => super::out(&in_words(&facts)),
        Err(error) => {
            if arguments.json {
                say!("{}", refusal_json(&error));
            }
            return Err(error);
        }
    }
    Ok(())
}

fn checked(wasm: &[u8]) -> Result<ModuleFacts, CliError> {
    let facts = ModuleFacts::of(wasm).map_err(CliError::ModuleAlone)?;
    of_the_module(module_compiles_here(wasm)).map_err(CliError::ModuleAlone)?;
    Ok(facts)
}

fn in_words(facts: &ModuleFacts) -> String {
    let ModuleFacts { sha256, module_bytes, memory_pages, tier, exports, .. } = facts;
    let (pairs, values) = (facts.output_bytes / 16, facts.output_bytes / 8);
    let signature = match &facts.signature {
        Some(digits) => format!("{digits}: runs over columns and outputs of this signature alone"),
        None => "0: the module does not say for which columns and outputs it was built".to_owned(),
    };
    let lines = [
        ("module", format!("{sha256}, {module_bytes} bytes")),
        ("memory", format!("{} KiB", memory_pages.saturating_mul(64))),
        ("tier", format!("{tier}: how nodes undo what it wrote for one person")),
        ("exports", exports.join(", ")),
        ("interface", format!("version {}", facts.abi_version)),
        ("input", format!("{} bytes: what row cap and columns must make", facts.input_bytes)),
        ("output", format!("{} bytes: {pairs} pairs, or {values} values", facts.output_bytes)),
        ("signature", signature),
    ];
    let lines = lines.map(|(what, value)| format!("{what:<14} {value}\n"));
    let end = "It breaks no rule. Whether it fits an analysis, `cloister explain` tells.\n";
    lines.concat() + end
}
