//! The only door for a module: bytes -> `Vetted`, or a named reason why not.
//!
//! Must never compile, instantiate or run anything, nor spend time or memory on a number that the
//! module merely states. `Vetted` has private fields: holding one proves that these checks passed.

use wasmparser::{
    CompositeInnerType, DataKind, ElementItems, Encoding, ExternalKind, Operator, Parser, Payload,
    SectionLimited, ValType, ValidPayload, Validator, WasmFeatures,
};

use crate::body::vet_body;
use crate::limits::{Limit, Limits, PAGE_BYTES};
use crate::vet_error::cut_name;
use crate::writes::Writes;

pub use crate::vet_error::VetError;

/// The WebAssembly features a module may use: everything else is off, whatever the engine could do.
///
/// Reference types stay off but for the longer `call_indirect` encoding that compilers emit.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG);

/// What every module begins with.
const MAGIC: &[u8] = b"\0asm";
/// Name of the one memory.
pub const MEMORY: &str = "memory";
/// Name of the one function.
pub const PERSON_MAP: &str = "person_map";
/// Names of the address globals: input buffer, output buffer, layout words.
pub const ADDRESSES: [&str; 3] = ["CLOISTER_INPUT", "CLOISTER_OUTPUT", "CLOISTER_LAYOUT"];
/// Constants that linkers export and that tell a host nothing.
const LINKER_GLOBALS: [&str; 2] = ["__heap_base", "__data_end"];

/// A module that passed the vetter. Only [`vet`] makes one.
#[derive(Clone)]
pub struct Vetted {
    bytes: Vec<u8>,
    sha256: [u8; 32],
    input: u32,
    output: u32,
    layout: u32,
    memory_bytes: u64,
    mutable_globals: Vec<u32>,
    writes: Writes,
}

impl Vetted {
    /// The module, byte for byte as it came in.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes: what an approval binds.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Address of the input buffer in the module's memory.
    pub(crate) fn input(&self) -> u32 {
        self.input
    }

    /// Address of the output buffer.
    pub(crate) fn output(&self) -> u32 {
        self.output
    }

    /// Address of the four layout words.
    pub(crate) fn layout(&self) -> u32 {
        self.layout
    }

    /// Bytes of the memory, which cannot grow.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Indices of the globals that code can change.
    pub(crate) fn mutable_globals(&self) -> &[u32] {
        &self.mutable_globals
    }

    /// What the code can write.
    pub(crate) fn writes(&self) -> &Writes {
        &self.writes
    }
}

impl std::fmt::Debug for Vetted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vetted").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Checks a module against person-map v1 (see `ABI.md`).
///
/// Time and memory are bounded by `limits`: sizes first, then section by section, each count before its
/// contents, one pass over the code.
///
/// # Errors
/// The first reason found, in file order; missing exports last.
pub fn vet(bytes: &[u8], limits: &Limits) -> Result<Vetted, VetError> {
    bounded(Limit::ModuleBytes, bytes.len() as u64, limits.module_bytes)?;
    if !bytes.starts_with(MAGIC) {
        return Err(VetError::NotWasm);
    }
    let mut walk = Walk::new(limits);
    for payload in Parser::new(0).parse_all(bytes) {
        walk.payload(&payload?)?;
    }
    let [input, output, layout] = walk.addresses()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.as_ref());
    let memory_bytes = walk.memory_bytes;
    let mutable_globals = walk.mutable_globals;
    // Without a function there is nothing that writes.
    let writes = walk.writes.unwrap_or(Writes::new(memory_bytes));
    let bytes = bytes.to_vec();
    Ok(Vetted { bytes, sha256, input, output, layout, memory_bytes, mutable_globals, writes })
}

/// Refuses a number past its limit.
pub(crate) fn bounded(limit: Limit, found: u64, max: u64) -> Result<(), VetError> {
    if found > max { Err(VetError::PastLimit { limit, found, max }) } else { Ok(()) }
}

/// What is known of a global: enough to accept it as an address.
#[derive(Clone, Copy)]
struct GlobalFact {
    constant_i32: Option<i32>,
}

/// What is known of a function type.
#[derive(Clone, Copy)]
struct TypeFact {
    params: u64,
    is_person_map: bool,
}

/// State of the walk over a module's sections.
struct Walk<'l> {
    limits: &'l Limits,
    validator: Validator,
    sections: u64,
    custom_bytes: u64,
    complexity: u64,
    types: Vec<TypeFact>,
    functions: Vec<u32>,
    bodies: usize,
    globals: Vec<GlobalFact>,
    mutable_globals: Vec<u32>,
    memories: u64,
    memory_bytes: u64,
    writes: Option<Writes>,
    has_memory_export: bool,
    has_function_export: bool,
    addresses: [Option<u32>; 3],
}

impl<'l> Walk<'l> {
    fn new(limits: &'l Limits) -> Self {
        Walk {
            limits,
            validator: Validator::new_with_features(FEATURES),
            sections: 0,
            custom_bytes: 0,
            complexity: 0,
            types: Vec::new(),
            functions: Vec::new(),
            bodies: 0,
            globals: Vec::new(),
            mutable_globals: Vec::new(),
            memories: 0,
            memory_bytes: 0,
            writes: None,
            has_memory_export: false,
            has_function_export: false,
            addresses: [None; 3],
        }
    }

    /// One step: our own checks first, since they bound counts, then the validator's.
    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), VetError> {
        if !matches!(payload, Payload::CodeSectionEntry(_)) {
            self.sections += 1;
            // The header and the end are payloads too.
            bounded(Limit::Sections, self.sections.saturating_sub(2), self.limits.sections)?;
        }
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                return Err(VetError::Component);
            }
            Payload::TypeSection(types) => self.type_section(types)?,
            Payload::ImportSection(imports) => {
                if let Some(import) = imports.clone().into_imports().next() {
                    let import = import?;
                    return Err(VetError::Import {
                        module: cut_name(import.module),
                        name: cut_name(import.name),
                    });
                }
            }
            Payload::FunctionSection(functions) => {
                bounded(Limit::Functions, functions.count().into(), self.limits.functions)?;
                for index in functions.clone() {
                    self.functions.push(index?);
                }
            }
            Payload::TableSection(tables) => self.table_section(tables)?,
            Payload::MemorySection(memories) => self.memory_section(memories)?,
            Payload::TagSection(_) => return Err(VetError::Exceptions),
            Payload::GlobalSection(globals) => self.global_section(globals)?,
            Payload::ExportSection(exports) => self.export_section(exports)?,
            Payload::StartSection { .. } => return Err(VetError::StartFunction),
            Payload::ElementSection(elements) => self.element_section(elements)?,
            Payload::DataCountSection { count, .. } => {
                bounded(Limit::Segments, (*count).into(), self.limits.segments)?;
            }
            Payload::DataSection(data) => self.data_section(data)?,
            Payload::CodeSectionStart { count, .. } => {
                bounded(Limit::Functions, (*count).into(), self.limits.functions)?;
            }
            Payload::CustomSection(custom) => {
                let bytes = custom.data().len() as u64;
                self.custom_bytes = self.custom_bytes.saturating_add(bytes);
                bounded(Limit::CustomBytes, self.custom_bytes, self.limits.custom_bytes)?;
            }
            _ => {}
        }
        if let ValidPayload::Func(function, body) = self.validator.payload(payload)? {
            let type_index = self.functions.get(self.bodies).copied();
            let params =
                type_index.and_then(|t| self.types.get(t as usize)).map_or(0, |t| t.params);
            self.bodies += 1;
            // Memories stand before code.
            let writes = self.writes.get_or_insert_with(|| Writes::new(self.memory_bytes));
            let complexity = vet_body(function, &body, params, self.limits, writes)?;
            self.complexity = self.complexity.saturating_add(complexity);
            bounded(Limit::ModuleComplexity, self.complexity, self.limits.module_complexity)?;
        }
        Ok(())
    }

    fn type_section(&mut self, types: &wasmparser::TypeSectionReader<'_>) -> Result<(), VetError> {
        bounded(Limit::Types, types.count().into(), self.limits.types)?;
        for (index, group) in types.clone().into_iter().enumerate() {
            let group = group?;
            let refused = VetError::GcType { index: index as u64 };
            if group.is_explicit_rec_group() {
                return Err(refused);
            }
            for ty in group.types() {
                let CompositeInnerType::Func(function) = &ty.composite_type.inner else {
                    return Err(refused);
                };
                let (params, results) = (function.params(), function.results());
                let widest = params.len().max(results.len()) as u64;
                bounded(Limit::Params, widest, self.limits.params)?;
                let is_person_map = params == [ValType::I32] && results == [ValType::I32];
                self.types.push(TypeFact { params: params.len() as u64, is_person_map });
            }
        }
        Ok(())
    }

    fn table_section(&self, tables: &wasmparser::TableSectionReader<'_>) -> Result<(), VetError> {
        if tables.count() > 1 {
            return Err(VetError::TwoTables { count: tables.count().into() });
        }
        for table in tables.clone() {
            let ty = table?.ty;
            if ty.table64 {
                return Err(VetError::Memory64);
            }
            bounded(Limit::TableElements, ty.initial, self.limits.table_elements)?;
        }
        Ok(())
    }

    fn memory_section(
        &mut self,
        memories: &wasmparser::MemorySectionReader<'_>,
    ) -> Result<(), VetError> {
        if memories.count() > 1 {
            return Err(VetError::TwoMemories { count: memories.count().into() });
        }
        for memory in memories.clone() {
            let ty = memory?;
            if ty.memory64 {
                return Err(VetError::Memory64);
            }
            if ty.shared {
                return Err(VetError::SharedMemory);
            }
            if ty.page_size_log2.is_some() {
                return Err(VetError::CustomPageSize);
            }
            bounded(Limit::MemoryPages, ty.initial, self.limits.memory_pages)?;
            if ty.maximum != Some(ty.initial) {
                return Err(VetError::MemoryMayGrow { initial: ty.initial });
            }
            self.memories += 1;
            self.memory_bytes = ty.initial.saturating_mul(PAGE_BYTES);
        }
        Ok(())
    }

    fn global_section(
        &mut self,
        globals: &wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), VetError> {
        bounded(Limit::Globals, globals.count().into(), self.limits.globals)?;
        for (index, global) in (0_u32..).zip(globals.clone()) {
            let global = global?;
            if global.ty.mutable {
                self.mutable_globals.push(index);
            }
            let plain =
                global.ty.content_type == ValType::I32 && !global.ty.mutable && !global.ty.shared;
            let constant_i32 = if plain { plain_i32(&global.init_expr)? } else { None };
            self.globals.push(GlobalFact { constant_i32 });
        }
        Ok(())
    }

    fn export_section(
        &mut self,
        exports: &wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), VetError> {
        bounded(Limit::Exports, exports.count().into(), self.limits.exports)?;
        for export in exports.clone() {
            let export = export?;
            let wrong = |want| VetError::ExportType { name: cut_name(export.name), want };
            if export.name == MEMORY {
                if export.kind != ExternalKind::Memory {
                    return Err(wrong("the memory"));
                }
                self.has_memory_export = true;
            } else if export.name == PERSON_MAP {
                let ty = self.functions.get(export.index as usize);
                let fact = ty.and_then(|t| self.types.get(*t as usize));
                if export.kind != ExternalKind::Func || !fact.is_some_and(|t| t.is_person_map) {
                    return Err(wrong("a function (param i32) (result i32)"));
                }
                self.has_function_export = true;
            } else if let Some(slot) = ADDRESSES.iter().position(|name| *name == export.name) {
                let address =
                    self.constant(&export).ok_or_else(|| wrong("an immutable i32 constant"))?;
                if let Some(place) = self.addresses.get_mut(slot) {
                    *place = Some(address);
                }
            } else if LINKER_GLOBALS.contains(&export.name) {
                self.constant(&export).ok_or_else(|| wrong("an immutable i32 constant"))?;
            } else {
                return Err(VetError::ExportRefused { name: cut_name(export.name) });
            }
        }
        Ok(())
    }

    /// The value of an exported global, if it is a plain i32 constant; addresses are unsigned.
    fn constant(&self, export: &wasmparser::Export<'_>) -> Option<u32> {
        if export.kind != ExternalKind::Global {
            return None;
        }
        self.globals.get(export.index as usize)?.constant_i32.map(i32::cast_unsigned)
    }

    fn element_section(
        &self,
        elements: &wasmparser::ElementSectionReader<'_>,
    ) -> Result<(), VetError> {
        bounded(Limit::Segments, elements.count().into(), self.limits.segments)?;
        let mut total: u64 = 0;
        for element in elements.clone() {
            let count = match element?.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            total = total.saturating_add(count.into());
            bounded(Limit::TableElements, total, self.limits.table_elements)?;
        }
        Ok(())
    }

    fn data_section(
        &self,
        data: &SectionLimited<'_, wasmparser::Data<'_>>,
    ) -> Result<(), VetError> {
        bounded(Limit::Segments, data.count().into(), self.limits.segments)?;
        for segment in data.clone() {
            // Offsets are checked when the trial instance is made: a segment out of bounds is refused there.
            if let DataKind::Active { memory_index, .. } = segment?.kind
                && memory_index != 0
            {
                return Err(VetError::TwoMemories { count: u64::from(memory_index) + 1 });
            }
        }
        Ok(())
    }

    /// The three addresses, once every required export was seen.
    fn addresses(&self) -> Result<[u32; 3], VetError> {
        if self.memories == 0 {
            return Err(VetError::NoMemory);
        }
        if !self.has_memory_export {
            return Err(VetError::ExportMissing { name: MEMORY });
        }
        if !self.has_function_export {
            return Err(VetError::ExportMissing { name: PERSON_MAP });
        }
        let mut found = [0; 3];
        for ((place, address), name) in found.iter_mut().zip(self.addresses).zip(ADDRESSES) {
            *place = address.ok_or(VetError::ExportMissing { name })?;
        }
        Ok(found)
    }
}

/// The value of an initialiser that is one `i32.const`.
fn plain_i32(expression: &wasmparser::ConstExpr<'_>) -> Result<Option<i32>, VetError> {
    let mut operators = expression.get_operators_reader();
    let Operator::I32Const { value } = operators.read()? else { return Ok(None) };
    Ok(operators.is_end_then_eof().then_some(value))
}
