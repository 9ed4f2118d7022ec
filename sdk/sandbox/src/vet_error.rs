//! The named reasons for which a module is refused.
//!
//! Must never repeat a module's own text at length or unescaped.

use wasmparser::BinaryReaderError;

use crate::limits::{Limit, PAGE_BYTES};

/// Names are cut to this many characters before they are repeated in an error.
const NAME_CHARS_MAX: usize = 64;

/// Why a module is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VetError {
    /// A size or count passes its limit.
    #[error(
        "module has {found} {limit}, at most {max} are allowed: make it smaller (strip it, split functions)"
    )]
    PastLimit {
        /// Which limit.
        limit: Limit,
        /// What the module has, or states.
        found: u64,
        /// What is allowed.
        max: u64,
    },
    /// Something else than WebAssembly.
    #[error(
        "this is no WebAssembly module, which begins with the bytes `\\0asm`: give the .wasm file that the build made, not its source or its text form"
    )]
    NotWasm,
    /// Not valid WebAssembly.
    #[error("not valid WebAssembly at byte {offset}: {detail}; build it again")]
    Invalid {
        /// Byte where validation stopped.
        offset: u64,
        /// The validator's words.
        detail: String,
    },
    /// A component, not a core module.
    #[error("a component was given: build a core module")]
    Component,
    /// An instruction or type of a feature that is off.
    #[error("feature `{feature}` is not allowed: build without it")]
    FeatureRefused {
        /// The proposal's name.
        feature: String,
    },
    /// Modules import nothing.
    #[error("import `{module}` `{name}` is not allowed: a module has no imports")]
    Import {
        /// Module part of the name.
        module: String,
        /// Item part of the name.
        name: String,
    },
    /// A required export is missing.
    #[error("export `{name}` is missing: link the guest crate's `person_map!`, or see ABI.md")]
    ExportMissing {
        /// Its name.
        name: &'static str,
    },
    /// An export that the interface does not know.
    #[error("export `{name}` is not part of the interface: do not export it")]
    ExportRefused {
        /// Its name.
        name: String,
    },
    /// A known export of the wrong kind or type.
    #[error("export `{name}` must be {want}")]
    ExportType {
        /// Its name.
        name: String,
        /// What it must be.
        want: &'static str,
    },
    /// Modules have no start function.
    #[error("a start function is not allowed: do all work in `person_map`")]
    StartFunction,
    /// No memory.
    #[error("the module has no memory: define one and export it as `memory`")]
    NoMemory,
    /// More than one memory.
    #[error("{count} memories are defined: use one")]
    TwoMemories {
        /// How many.
        count: u64,
    },
    /// More than one table.
    #[error("{count} tables are defined: use one")]
    TwoTables {
        /// How many.
        count: u64,
    },
    /// A 64-bit memory or table.
    #[error("64-bit memories and tables are not allowed: build for wasm32")]
    Memory64,
    /// A shared memory.
    #[error("shared memory is not allowed: build without threads")]
    SharedMemory,
    /// Pages of another size.
    #[error("custom page sizes are not allowed: use 64 KiB pages")]
    CustomPageSize,
    /// The memory's minimum is not its maximum.
    #[error(
        "the memory may grow from {initial} pages: set its maximum to its minimum (wasm-ld --initial-memory={bytes} --max-memory={bytes})",
        bytes = .initial.saturating_mul(PAGE_BYTES)
    )]
    MemoryMayGrow {
        /// Pages at start.
        initial: u64,
    },
    /// `memory.grow` in the code.
    #[error(
        "`memory.grow` at byte {offset} is not allowed: use static buffers; in Rust, where something allocates, name a `cloister_guest::Arena` as the global allocator"
    )]
    MemoryGrow {
        /// Where.
        offset: usize,
    },
    /// Struct, array or continuation types.
    #[error("type {index} is not a plain function type: build without garbage collection")]
    GcType {
        /// Index of the type group.
        index: u64,
    },
    /// Exception tags.
    #[error("exceptions are not allowed: build with panic=abort")]
    Exceptions,
}

impl VetError {
    /// A stable name for the reason, for logs and for the worker's refusal.
    pub fn reason(&self) -> &'static str {
        match self {
            VetError::PastLimit { .. } => "past_limit",
            VetError::NotWasm => "not_wasm",
            VetError::Invalid { .. } => "invalid",
            VetError::Component => "component",
            VetError::FeatureRefused { .. } => "feature_refused",
            VetError::Import { .. } => "import",
            VetError::ExportMissing { .. } => "export_missing",
            VetError::ExportRefused { .. } => "export_refused",
            VetError::ExportType { .. } => "export_type",
            VetError::StartFunction => "start_function",
            VetError::NoMemory => "no_memory",
            VetError::TwoMemories { .. } => "two_memories",
            VetError::TwoTables { .. } => "two_tables",
            VetError::Memory64 => "memory64",
            VetError::SharedMemory => "shared_memory",
            VetError::CustomPageSize => "custom_page_size",
            VetError::MemoryMayGrow { .. } => "memory_may_grow",
            VetError::MemoryGrow { .. } => "memory_grow",
            VetError::GcType { .. } => "gc_type",
            VetError::Exceptions => "exceptions",
        }
    }
}

impl From<BinaryReaderError> for VetError {
    fn from(error: BinaryReaderError) -> Self {
        match error.missing_wasm_feature() {
            Some(feature) => {
                let names: Vec<String> =
                    feature.iter_names().map(|(name, _)| name.to_lowercase()).collect();
                VetError::FeatureRefused { feature: names.join("+") }
            }
            None => VetError::Invalid {
                offset: error.offset() as u64,
                // Later lines are notes and numbers.
                detail: cut_name(error.message().lines().next().unwrap_or_default()),
            },
        }
    }
}

/// A hostile name, short and printable.
pub(crate) fn cut_name(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).flat_map(char::escape_debug).collect()
}
