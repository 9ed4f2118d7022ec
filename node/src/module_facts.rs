//! What a module says of itself, read off its bytes for its author before there is an analysis. It is vetted
//! first, and never run.

use crate::module_fit::ModuleFitError;
use cloister_sandbox::vet::ADDRESSES;
use cloister_sandbox::{Limits, VetError, vet};
use cloister_terms::Digest;
use serde::Serialize;
use wasmparser::{ConstExpr, Data, DataKind, Export, Operator, Parser, Payload};

/// Bytes of the four layout words.
const LAYOUT_BYTES: usize = 16;

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
        let reading = Reading::of(vetted.bytes())?;
        let signature = reading.word(3);
        Ok(Self {
            sha256: Digest::new(*vetted.sha256()),
            module_bytes: vetted.bytes().len(),
            memory_pages: reading.memory_pages,
            tier: vetted.tier().to_string(),
            abi_version: reading.word(0),
            input_bytes: reading.word(1),
            output_bytes: reading.word(2),
            signature: (signature != 0).then(|| format!("{signature:08x}")),
            exports: reading.exports,
        })
    }
}

/// What is read on the way, section after section.
#[derive(Default)]
struct Reading {
    memory_pages: u64,
    /// Addresses, where they are constants.
    globals: Vec<Option<u32>>,
    exports: Vec<String>,
    /// Address of the layout words.
    layout: u32,
    words: [u8; LAYOUT_BYTES],
}

impl Reading {
    fn of(wasm: &[u8]) -> Result<Self, VetError> {
        let mut reading = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        reading.memory_pages = memory?.initial;
                    }
                }
                Payload::GlobalSection(globals) => {
                    for global in globals {
                        reading.globals.push(constant(&global?.init_expr)?);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        reading.export(&export?);
                    }
                }
                Payload::DataSection(segments) => {
                    for segment in segments {
                        reading.segment(&segment?)?;
                    }
                }
                _ => {}
            }
        }
        Ok(reading)
    }

    /// The vetter knows every name, and that the addresses are constants.
    fn export(&mut self, export: &Export<'_>) {
        let [_, _, layout] = ADDRESSES;
        if export.name == layout {
            let global = self.globals.get(export.index as usize);
            self.layout = global.copied().flatten().unwrap_or_default();
        }
        self.exports.push(export.name.to_owned());
    }

    /// What a segment puts into the layout words when the module is instantiated. Data stands last.
    fn segment(&mut self, segment: &Data<'_>) -> Result<(), VetError> {
        let DataKind::Active { offset_expr, .. } = &segment.kind else { return Ok(()) };
        let start = u64::from(constant(offset_expr)?.unwrap_or_default());
        for (place, address) in self.words.iter_mut().zip(u64::from(self.layout)..) {
            let index = address.checked_sub(start).and_then(|index| usize::try_from(index).ok());
            if let Some(byte) = index.and_then(|index| segment.data.get(index)) {
                *place = *byte;
            }
        }
        Ok(())
    }

    /// A layout word, little-endian.
    fn word(&self, number: usize) -> u32 {
        let bytes = self.words.iter().skip(4 * number).take(4);
        bytes.rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
    }
}

/// The value of an initialiser that is a constant.
fn constant(expression: &ConstExpr<'_>) -> Result<Option<u32>, VetError> {
    match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Ok(Some(value.cast_unsigned())),
        _ => Ok(None),
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
