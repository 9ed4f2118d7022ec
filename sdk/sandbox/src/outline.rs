//! What a vetted module shows of itself without an instance: its memory, its exports and its layout words as
//! its data segments write them. For its author; a job reads the words off an instance.

use wasmparser::{BinaryReaderError, ConstExpr, Data, DataKind, Operator, Parser, Payload};

use crate::limits::PAGE_BYTES;
use crate::vet::{VetError, Vetted};

/// Bytes of the four layout words.
const LAYOUT_BYTES: usize = 16;

/// A module from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Pages of 64 KiB of its memory.
    pub memory_pages: u64,
    /// The names of all exports, in their order.
    pub exports: Vec<String>,
    /// Interface version, bytes of input, bytes of output, signature.
    pub layout: [u32; 4],
}

impl Outline {
    /// Of a vetted module.
    ///
    /// # Errors
    /// [`VetError`] for bytes that are no module, which vetted ones never are.
    pub fn of(vetted: &Vetted) -> Result<Outline, VetError> {
        let reading = Reading::of(vetted)?;
        Ok(Outline {
            memory_pages: vetted.memory_bytes() / PAGE_BYTES,
            layout: [0, 1, 2, 3].map(|number| reading.word(number)),
            exports: reading.exports,
        })
    }
}

/// What is read on the way, section after section.
#[derive(Default)]
struct Reading {
    exports: Vec<String>,
    /// Address of the layout words.
    layout: u32,
    words: [u8; LAYOUT_BYTES],
}

impl Reading {
    fn of(vetted: &Vetted) -> Result<Self, BinaryReaderError> {
        let mut reading = Self { layout: vetted.layout(), ..Self::default() };
        for payload in Parser::new(0).parse_all(vetted.bytes()) {
            match payload? {
                Payload::ExportSection(exports) => {
                    for export in exports {
                        reading.exports.push(export?.name.to_owned());
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

    /// What a segment puts into the layout words when the module is instantiated. Data stands last.
    fn segment(&mut self, segment: &Data<'_>) -> Result<(), BinaryReaderError> {
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
fn constant(expression: &ConstExpr<'_>) -> Result<Option<u32>, BinaryReaderError> {
    match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Ok(Some(value.cast_unsigned())),
        _ => Ok(None),
    }
}
