//! Every number that bounds a module, a job or a frame, in one place.
//!
//! Must never be widened from a request: a job may ask for less, never for more.

use std::fmt;

/// Version of the person-map interface, the first word of `CLOISTER_LAYOUT`.
pub const ABI_VERSION: u32 = 1;

/// Longest module, in bytes.
pub const MODULE_BYTES_MAX: u64 = 1 << 20;
/// Most sections in a module, custom sections included.
pub const SECTIONS_MAX: u64 = 64;
/// Most bytes in all custom sections together; a stripped module has a few hundred.
pub const CUSTOM_BYTES_MAX: u64 = 64 << 10;
/// Most function types.
pub const TYPES_MAX: u64 = 1024;
/// Most parameters of a function type, and most results.
pub const PARAMS_MAX: u64 = 32;
/// Most functions.
pub const FUNCTIONS_MAX: u64 = 4096;
/// Most globals.
pub const GLOBALS_MAX: u64 = 256;
/// Most exports; the interface knows seven.
pub const EXPORTS_MAX: u64 = 16;
/// Most data segments, and most element segments.
pub const SEGMENTS_MAX: u64 = 1024;
/// Most elements in the one table.
pub const TABLE_ELEMENTS_MAX: u64 = 4096;
/// Most pages (64 KiB each) in the one memory.
pub const MEMORY_PAGES_MAX: u64 = 256;
/// Most code bytes in one function.
pub const FUNCTION_BYTES_MAX: u64 = 64 << 10;
/// Most locals of one function, parameters included.
pub const LOCALS_MAX: u64 = 1024;
/// Deepest nesting of blocks in one function.
pub const NESTING_MAX: u64 = 256;
/// Most branch points of one function: compile time grows faster than their number.
pub const BRANCHES_MAX: u64 = 4096;
/// Branch points that one bulk memory operation is taken for: the compiler makes a call with checks of fuel
/// around it, and another one or two where it is marked.
pub const BULK_BRANCHES: u64 = 8;
/// Locals that every function is taken to have, when its complexity is reckoned.
pub const LOCALS_RECKONED: u64 = 16;
/// Most (branch points x locals) of one function: what the compiler's SSA form can grow to.
pub const FUNCTION_COMPLEXITY_MAX: u64 = 1 << 18;
/// The same, summed over all functions.
pub const MODULE_COMPLEXITY_MAX: u64 = 1 << 21;

/// Bytes of one wasm page.
pub const PAGE_BYTES: u64 = 64 << 10;
/// Largest memory that is copied back whole after a trap; of a larger one the system gives a new instance sooner.
pub const WHOLE_IMAGE_BYTES_MAX: usize = 256 << 10;
/// Most bytes that the window tier copies back after each person.
pub const WINDOW_BYTES_MAX: u64 = 16 << 10;
/// Bytes by which the window tier reckons what a write reaches.
pub const WINDOW_LINE_BYTES: u64 = 64;
/// log2 of the bytes of a card: what one mark stands for.
pub const CARD_BYTES_LOG2: u32 = 8;
/// log2 of the cards of a group: what one group's mark stands for, so that few bytes tell of all cards.
pub const GROUP_CARDS_LOG2: u32 = 5;
/// Most bytes that one store writes (a v128).
pub const STORE_BYTES_MAX: usize = 16;
/// Longest module after marks were added; a longer one runs in fresh instances instead.
pub const REWRITTEN_BYTES_MAX: usize = 4 << 20;
/// Most code bytes in one function after marks were added; a module past it runs in fresh instances.
pub const REWRITTEN_FUNCTION_BYTES_MAX: usize = 256 << 10;
/// One person in so many has memory and globals compared with the image after the restore, the first included.
pub const COMPARED_EVERY: u64 = 4093;

/// Most rows that one person may have.
pub const ROW_CAP_MAX: u32 = 1 << 16;
/// Most input columns.
pub const COLUMNS_MAX: usize = 64;
/// Most output pairs a person.
pub const OUTPUTS_MAX: u32 = 1 << 16;
/// Most fuel a person (about one unit an instruction, one a byte for bulk operations).
pub const FUEL_PER_PERSON_MAX: u64 = 1_000_000_000_000;
/// Most persons in a batch.
pub const PERSONS_PER_BATCH_MAX: u32 = 1 << 16;
/// Bytes that a pipe to or from a worker process holds where the system allows it (Linux lets anyone ask for
/// this much): a batch then goes over in one call rather than in one for each 64 KiB.
pub const PIPE_BYTES: usize = 1 << 20;
/// Longest frame either way, in bytes, after the length word.
pub const FRAME_BYTES_MAX: u32 = 64 << 20;
/// Longest text in a refusal, in bytes.
pub const REFUSAL_TEXT_BYTES_MAX: usize = 512;

/// Stack of the running module, in bytes.
pub const WASM_STACK_BYTES: usize = 256 << 10;
/// Stack of the worker's thread, in bytes: compiler, module and host together.
pub const WORKER_STACK_BYTES: usize = 16 << 20;
/// Private memory of a worker process, in bytes: two frames, their persons, compiler and module.
pub const WORKER_DATA_BYTES: u64 = 1 << 30;
/// Address space of a worker process, in bytes. Most of it is the engine's empty reservations (4.3 GiB a
/// memory, measured), which take no memory: that is [`WORKER_DATA_BYTES`]' to bound.
pub const WORKER_ADDRESS_BYTES: u64 = 48 << 30;
/// Processor time of a worker process, in seconds.
pub const WORKER_CPU_S_MAX: u64 = WATCHDOG_MS_MAX / 1000;
/// Most descriptors of a worker process: its streams, and the engine's memory files.
pub const WORKER_DESCRIPTORS_MAX: u64 = 32;
/// How long a worker process may take to start, vet and compile.
pub const SETUP_MS_MAX: u64 = 60_000;
/// How long a worker process may take to end a job.
pub const FINISH_MS_MAX: u64 = 10_000;

/// How long one batch may take, unless its fuel is reckoned to take longer, before its worker is killed.
pub const WATCHDOG_MS: u64 = 60_000;
/// Longest that a batch may take, whatever its fuel.
pub const WATCHDOG_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// The bounds that [`crate::vet()`] holds a module to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the module.
    pub module_bytes: u64,
    /// Sections, custom ones included.
    pub sections: u64,
    /// Bytes in custom sections.
    pub custom_bytes: u64,
    /// Function types.
    pub types: u64,
    /// Parameters or results of a function type.
    pub params: u64,
    /// Functions.
    pub functions: u64,
    /// Globals.
    pub globals: u64,
    /// Exports.
    pub exports: u64,
    /// Data segments, and element segments.
    pub segments: u64,
    /// Elements in the table, and in all element segments.
    pub table_elements: u64,
    /// Pages of the memory.
    pub memory_pages: u64,
    /// Code bytes in one function.
    pub function_bytes: u64,
    /// Locals of one function.
    pub locals: u64,
    /// Nesting of blocks.
    pub nesting: u64,
    /// Branch points in one function.
    pub branches: u64,
    /// Branch points x locals in one function.
    pub function_complexity: u64,
    /// Branch points x locals in the module.
    pub module_complexity: u64,
}

impl Limits {
    /// The limits of person-map v1.
    pub const V1: Limits = Limits {
        module_bytes: MODULE_BYTES_MAX,
        sections: SECTIONS_MAX,
        custom_bytes: CUSTOM_BYTES_MAX,
        types: TYPES_MAX,
        params: PARAMS_MAX,
        functions: FUNCTIONS_MAX,
        globals: GLOBALS_MAX,
        exports: EXPORTS_MAX,
        segments: SEGMENTS_MAX,
        table_elements: TABLE_ELEMENTS_MAX,
        memory_pages: MEMORY_PAGES_MAX,
        function_bytes: FUNCTION_BYTES_MAX,
        locals: LOCALS_MAX,
        nesting: NESTING_MAX,
        branches: BRANCHES_MAX,
        function_complexity: FUNCTION_COMPLEXITY_MAX,
        module_complexity: MODULE_COMPLEXITY_MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::V1
    }
}

/// Which limit a module passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Bytes of the module.
    ModuleBytes,
    /// Number of sections.
    Sections,
    /// Bytes in custom sections.
    CustomBytes,
    /// Function types.
    Types,
    /// Parameters or results of a function type.
    Params,
    /// Functions.
    Functions,
    /// Globals.
    Globals,
    /// Exports.
    Exports,
    /// Data or element segments.
    Segments,
    /// Elements in the table or its segments.
    TableElements,
    /// Pages of memory.
    MemoryPages,
    /// Code bytes in one function.
    FunctionBytes,
    /// Locals of one function.
    Locals,
    /// Nesting of blocks.
    Nesting,
    /// Branch points in one function.
    Branches,
    /// Branch points x locals in one function.
    FunctionComplexity,
    /// Branch points x locals in the module.
    ModuleComplexity,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::ModuleBytes => "module bytes",
            Limit::Sections => "sections",
            Limit::CustomBytes => "custom section bytes",
            Limit::Types => "types",
            Limit::Params => "parameters of a type",
            Limit::Functions => "functions",
            Limit::Globals => "globals",
            Limit::Exports => "exports",
            Limit::Segments => "segments",
            Limit::TableElements => "table elements",
            Limit::MemoryPages => "memory pages",
            Limit::FunctionBytes => "code bytes of a function",
            Limit::Locals => "locals of a function",
            Limit::Nesting => "nested blocks",
            Limit::Branches => "branches of a function",
            Limit::FunctionComplexity => "branches x locals of a function",
            Limit::ModuleComplexity => "branches x locals of the module",
        })
    }
}
