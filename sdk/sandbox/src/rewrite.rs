//! Adds to a vetted module what its tier needs: exported mutable globals, and for dirty cards a mark before
//! every write, in a second memory that no instruction of the module can name.
//!
//! Must never change what the module computes, nor be trusted: `recheck` reads the result as if a stranger
//! had written it. Everything but memories, exports and code is copied byte for byte; custom sections go.

use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, Instruction, MemArg,
    MemorySection, MemoryType, RawSection, ValType,
};
use wasmparser::{FunctionBody, Parser, Payload};

use crate::limits::{CARD_BYTES_LOG2, GROUP_CARDS_LOG2, MEMORY_PAGES_MAX, PAGE_BYTES};
use crate::vet::Vetted;
use crate::writes::{MemoryWrite, StoreFact, memory_write};

/// Export name of the second memory: one byte a group of cards, then from [`MARKS_START`] on one byte a card,
/// 1 when the card, or a card of the group, may differ from the image.
pub(crate) const MARKS: &str = "cloister_marks";
/// Export name of a mutable global, followed by its index.
pub(crate) const GLOBAL: &str = "cloister_global_";
/// Raised with every change of what is added to a module, of what counts as a write and of what `recheck` asks for:
/// machine code cached before it is compiled again.
pub(crate) const REWRITE_VERSION: u8 = 1;
/// Index of the second memory.
pub(crate) const MARKS_INDEX: u32 = 1;
/// Where the marks of cards start; those of groups stand before.
pub(crate) const MARKS_START: u64 = 4096;
/// Pages of the second memory: more bytes than there are groups and cards.
pub(crate) const MARKS_PAGES: u64 = 2;

/// One card and its group past the end of the largest memory are marked before an empty range there.
const CARDS_MAX: u64 = ((MEMORY_PAGES_MAX * PAGE_BYTES) >> CARD_BYTES_LOG2) + 1;
const _: () = assert!(CARDS_MAX.div_ceil(1 << GROUP_CARDS_LOG2) <= MARKS_START);
const _: () = assert!(MARKS_START + CARDS_MAX <= MARKS_PAGES * PAGE_BYTES);

/// Types of the locals that each function gets beside its own, in this order.
pub(crate) const SCRATCH: [wasmparser::ValType; 10] = [
    wasmparser::ValType::I32,
    wasmparser::ValType::I64,
    wasmparser::ValType::F32,
    wasmparser::ValType::F64,
    wasmparser::ValType::V128,
    // Address, length, first and last card; in 64 bits the first byte's address.
    wasmparser::ValType::I32,
    wasmparser::ValType::I32,
    wasmparser::ValType::I32,
    wasmparser::ValType::I32,
    wasmparser::ValType::I64,
];

/// The module could not be taken apart: it is not the one that was vetted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the module cannot be rewritten: {0}; this is a fault of the sandbox, report it")]
pub struct RewriteError(pub(crate) String);

impl From<wasmparser::BinaryReaderError> for RewriteError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        RewriteError(error.to_string())
    }
}

/// The module with its mutable globals exported and, if `marks`, a mark before every write.
///
/// # Errors
/// [`RewriteError`], which a vetted module never gives.
pub(crate) fn rewrite(vetted: &Vetted, marks: bool) -> Result<Vec<u8>, RewriteError> {
    let bytes = vetted.bytes();
    let mut module = wasm_encoder::Module::new();
    let mut code = CodeSection::new();
    let mut bodies_left = 0;
    let mut types = FunctionTypes::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        types.note(&payload)?;
        match &payload {
            Payload::MemorySection(_) => {
                let mut memories = MemorySection::new();
                memories.memory(memory_of(vetted.memory_bytes() / PAGE_BYTES));
                if marks {
                    memories.memory(memory_of(MARKS_PAGES));
                }
                module.section(&memories);
            }
            Payload::ExportSection(exports) => {
                module.section(&export_all(exports, vetted, marks)?);
            }
            Payload::CodeSectionStart { count, .. } if marks => {
                bodies_left = *count;
                if *count == 0 {
                    module.section(&code);
                }
            }
            Payload::CodeSectionEntry(body) => {
                if marks {
                    let params = types.params(code.len())?;
                    code.function(&marked_function(bytes, body, params)?);
                    bodies_left = bodies_left.saturating_sub(1);
                    if bodies_left == 0 {
                        module.section(&code);
                    }
                }
            }
            Payload::CustomSection(_) => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data = bytes.get(range).ok_or_else(|| torn("section"))?;
                    module.section(&RawSection { id, data });
                }
            }
        }
    }
    Ok(module.finish())
}

fn torn(what: &str) -> RewriteError {
    RewriteError(format!("a {what} lies outside its bytes"))
}

fn memory_of(pages: u64) -> MemoryType {
    MemoryType {
        minimum: pages,
        maximum: Some(pages),
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

/// The module's exports, then its mutable globals, then the marks.
fn export_all(
    exports: &wasmparser::ExportSectionReader<'_>,
    vetted: &Vetted,
    marks: bool,
) -> Result<ExportSection, RewriteError> {
    let mut section = ExportSection::new();
    for export in exports.clone() {
        let export = export?;
        let kind = match export.kind {
            wasmparser::ExternalKind::Func => ExportKind::Func,
            wasmparser::ExternalKind::Memory => ExportKind::Memory,
            wasmparser::ExternalKind::Global => ExportKind::Global,
            other => return Err(RewriteError(format!("an export is a {other:?}"))),
        };
        section.export(export.name, kind, export.index);
    }
    for index in vetted.mutable_globals() {
        section.export(&format!("{GLOBAL}{index}"), ExportKind::Global, *index);
    }
    if marks {
        section.export(MARKS, ExportKind::Memory, MARKS_INDEX);
    }
    Ok(section)
}

/// How many parameters each function has: its own locals start after them.
#[derive(Default)]
struct FunctionTypes {
    params: Vec<u32>,
    functions: Vec<u32>,
}

impl FunctionTypes {
    fn note(&mut self, payload: &Payload<'_>) -> Result<(), RewriteError> {
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.clone().into_iter_err_on_gc_types() {
                    self.params.push(ty?.params().len() as u32);
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions.clone() {
                    self.functions.push(ty?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn params(&self, function: u32) -> Result<u32, RewriteError> {
        let ty = self.functions.get(function as usize);
        ty.and_then(|ty| self.params.get(*ty as usize)).copied().ok_or_else(|| torn("function"))
    }
}

/// Indices of a function's scratch locals.
struct Scratch {
    first: u32,
}

impl Scratch {
    fn value(&self, ty: wasmparser::ValType) -> Result<u32, RewriteError> {
        let at = SCRATCH.iter().position(|scratch| *scratch == ty);
        at.map(|at| self.first + at as u32).ok_or_else(|| torn("operand"))
    }

    fn address(&self) -> u32 {
        self.first + 5
    }

    fn length(&self) -> u32 {
        self.first + 6
    }

    fn first_card(&self) -> u32 {
        self.first + 7
    }

    fn last_card(&self) -> u32 {
        self.first + 8
    }

    fn first_byte(&self) -> u32 {
        self.first + 9
    }
}

/// The body with scratch locals after its own and marks before its writes; all else byte for byte.
fn marked_function(
    bytes: &[u8],
    body: &FunctionBody<'_>,
    params: u32,
) -> Result<Function, RewriteError> {
    let mut groups = Vec::new();
    let mut locals = params;
    for group in body.get_locals_reader()? {
        let (count, ty) = group?;
        groups.push((count, value_type(ty)?));
        locals = locals.checked_add(count).ok_or_else(|| torn("local"))?;
    }
    for ty in SCRATCH {
        groups.push((1, value_type(ty)?));
    }
    let scratch = Scratch { first: locals };
    let mut function = Function::new(groups);
    let mut operators = body.get_operators_reader()?;
    let mut copied = operators.original_position();
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        let Some(write) = memory_write(&operator) else { continue };
        let before = bytes.get(copied..offset).ok_or_else(|| torn("function"))?;
        function.raw(before.iter().copied());
        let steps = match write {
            MemoryWrite::Store(store) => before_store(&store, &scratch)?,
            MemoryWrite::Bulk => before_bulk(&scratch)?,
        };
        for step in &steps {
            function.instruction(step);
        }
        copied = offset;
    }
    let rest = bytes.get(copied..body.range().end).ok_or_else(|| torn("function"))?;
    function.raw(rest.iter().copied());
    Ok(function)
}

/// Marks the card of the first byte; the restore takes the bytes behind a card with it, as far as one store
/// reaches. Addresses are 33 bits wide: in i64 nothing wraps.
fn before_store(
    store: &StoreFact,
    scratch: &Scratch,
) -> Result<Vec<Instruction<'static>>, RewriteError> {
    let value = scratch.value(store.value)?;
    let address = scratch.address();
    let mut steps = vec![
        Instruction::LocalSet(value),
        Instruction::LocalTee(address),
        Instruction::I64ExtendI32U,
    ];
    if store.offset > 0 {
        steps.extend([Instruction::I64Const(store.offset as i64), Instruction::I64Add]);
    }
    steps.extend(mark_card(scratch.first_card()));
    steps.extend([Instruction::LocalGet(address), Instruction::LocalGet(value)]);
    Ok(steps)
}

/// An address in i64 on the stack -> its card is in the local, and the bytes of card and group are 1.
fn mark_card(card: u32) -> [Instruction<'static>; 11] {
    let byte = |offset| MemArg { offset, align: 0, memory_index: MARKS_INDEX };
    [
        Instruction::I64Const(CARD_BYTES_LOG2.into()),
        Instruction::I64ShrU,
        Instruction::I32WrapI64,
        Instruction::LocalTee(card),
        Instruction::I32Const(1),
        Instruction::I32Store8(byte(MARKS_START)),
        Instruction::LocalGet(card),
        Instruction::I32Const(GROUP_CARDS_LOG2 as i32),
        Instruction::I32ShrU,
        Instruction::I32Const(1),
        Instruction::I32Store8(byte(0)),
    ]
}

/// Marks the card of the first byte and that of the byte after the last, and by two fills those between, if
/// any. An empty range marks one card too; a range past the end of memory traps here as it would below.
fn before_bulk(scratch: &Scratch) -> Result<Vec<Instruction<'static>>, RewriteError> {
    let source = scratch.value(wasmparser::ValType::I32)?;
    let (address, length) = (scratch.address(), scratch.length());
    let (first, last, first_byte) =
        (scratch.first_card(), scratch.last_card(), scratch.first_byte());
    let group = |card| {
        [
            Instruction::LocalGet(card),
            Instruction::I32Const(GROUP_CARDS_LOG2 as i32),
            Instruction::I32ShrU,
        ]
    };
    let cards_between =
        || [Instruction::LocalGet(last), Instruction::LocalGet(first), Instruction::I32Sub];
    let mut steps = vec![
        Instruction::LocalSet(length),
        Instruction::LocalSet(source),
        Instruction::LocalTee(address),
        Instruction::I64ExtendI32U,
        Instruction::LocalTee(first_byte),
    ];
    steps.extend(mark_card(first));
    steps.extend([
        Instruction::LocalGet(first_byte),
        Instruction::LocalGet(length),
        Instruction::I64ExtendI32U,
        Instruction::I64Add,
    ]);
    steps.extend(mark_card(last));
    steps.extend(cards_between());
    steps.extend([
        Instruction::I32Const(1),
        Instruction::I32GtU,
        Instruction::If(BlockType::Empty),
        Instruction::LocalGet(first),
        Instruction::I32Const(MARKS_START as i32),
        Instruction::I32Add,
        Instruction::I32Const(1),
    ]);
    steps.extend(cards_between());
    steps.push(Instruction::MemoryFill(MARKS_INDEX));
    steps.extend(group(first));
    steps.push(Instruction::I32Const(1));
    steps.extend(group(last));
    steps.extend(group(first));
    steps.extend([
        Instruction::I32Sub,
        Instruction::MemoryFill(MARKS_INDEX),
        Instruction::End,
        Instruction::LocalGet(address),
        Instruction::LocalGet(source),
        Instruction::LocalGet(length),
    ]);
    Ok(steps)
}

fn value_type(ty: wasmparser::ValType) -> Result<ValType, RewriteError> {
    match ty {
        wasmparser::ValType::I32 => Ok(ValType::I32),
        wasmparser::ValType::I64 => Ok(ValType::I64),
        wasmparser::ValType::F32 => Ok(ValType::F32),
        wasmparser::ValType::F64 => Ok(ValType::F64),
        wasmparser::ValType::V128 => Ok(ValType::V128),
        wasmparser::ValType::Ref(_) => Err(RewriteError("a local is a reference".to_owned())),
    }
}
