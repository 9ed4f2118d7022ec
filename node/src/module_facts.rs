//! What a module says of itself, read off its bytes for its author before there is an analysis. It is vetted
//! first, and never run.

use crate::module_fit::ModuleFitError;
use cloister_sandbox::{Limits, Outline, vet};
use cloister_terms::Digest;
use serde::Serialize;

/// What a module is that the vetter takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleFacts {
    /// What an approval binds.
    pub sha256: Digest,
    /// Its length.
    pub module_bytes: usize,
    /// Its memory, in pages of 64 KiB.
    pub memory_pages: u64,
    /// How nodes undo what it wrote for one person.
    pub tier: String,
    /// Everything that it exports.
    pub exports: Vec<String>,
    /// The first layout word.
    pub abi_version: u32,
    /// The second: what row cap and columns make.
    pub input_bytes: u32,
    /// The third: what the outputs of one person take.
    pub output_bytes: u32,
    /// The fourth, as eight digits; `None` where it says nothing of what the module was built for.
    pub signature: Option<String>,
}

impl ModuleFacts {
    /// Vets and reads a module.
    ///
    /// # Errors
    /// [`ModuleFitError::Refused`] names the rule it breaks.
    pub fn of(wasm: &[u8]) -> Result<Self, ModuleFitError> {
        let vetted = vet(wasm, &Limits::V1)?;
        let Outline { memory_pages, exports, layout } = Outline::of(&vetted)?;
        let [abi_version, input_bytes, output_bytes, signature] = layout;
        Ok(Self {
            sha256: Digest::new(*vetted.sha256()),
            module_bytes: vetted.bytes().len(),
            memory_pages,
            tier: vetted.tier().to_string(),
            abi_version,
            input_bytes,
            output_bytes,
            signature: (signature != 0).then(|| format!("{signature:08x}")),
            exports,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = r#"(module
        (memory (export "memory") 2 2)
        (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
        (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
        (global (export "CLOISTER_LAYOUT") i32 (i32.const 64))
        (data (i32.const 60) "....\01\00\00\00\28\00\00\00\20\00\00")
        (data (i32.const 76) "\01\00\00\80....")
        (func (export "person_map") (param i32) (result i32) (i32.const 0)))"#;

    #[test]
    fn layout_words_are_read_across_segments() {
        let facts = ModuleFacts::of(&wat::parse_str(MODULE).unwrap()).unwrap();
        assert_eq!((facts.abi_version, facts.input_bytes, facts.output_bytes), (1, 40, 32));
        assert_eq!(facts.signature.as_deref(), Some("80000001"));
        assert_eq!((facts.memory_pages, facts.tier.as_str()), (2, "pure"));
        let exports =
            ["memory", "CLOISTER_INPUT", "CLOISTER_OUTPUT", "CLOISTER_LAYOUT", "person_map"];
        assert_eq!(facts.exports, exports);
        let silent = MODULE.replace("\\01\\00\\00\\80", "\\00\\00\\00\\00");
        assert_eq!(ModuleFacts::of(&wat::parse_str(silent).unwrap()).unwrap().signature, None);
    }

    #[test]
    fn a_module_that_breaks_a_rule_is_refused_by_its_name() {
        let grows = MODULE.replace("2 2", "2");
        let refused = ModuleFacts::of(&wat::parse_str(grows).unwrap()).unwrap_err();
        assert!(refused.to_string().ends_with("(`memory_may_grow`)"), "{refused}");
    }
}
