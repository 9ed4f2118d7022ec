//! `Vetted` -> `Compiled`: machine code with fuel, and the module's buffers checked on a trial instance.
//!
//! Must never compile a module that the vetter has not seen, nor switch on a feature that it refuses.

use std::borrow::Cow;

use wasmtime::{
    Config, Enabled, Engine, Extern, InstanceAllocationStrategy, InstancePre, Linker, Module,
    ModuleExport, PoolingAllocationConfig, Store, WasmBacktraceDetails, WasmFeatures,
};

use crate::limits::{
    ABI_VERSION, MEMORY_PAGES_MAX, PAGE_BYTES, TABLE_ELEMENTS_MAX, WASM_STACK_BYTES,
};
use crate::recheck::{RecheckError, recheck};
use crate::rewrite::{GLOBAL, MARKS, RewriteError, rewrite};
use crate::shape::{OutputLayout, Shape};
use crate::tier::Tier;
use crate::vet::{FEATURES, MEMORY, PERSON_MAP, Vetted};

/// Bytes of the four layout words.
const LAYOUT_BYTES: usize = 16;
/// The first bytes of an instance's memory, and of its table, that are written back when it goes rather than
/// given back to the system: a page that is touched anew costs more than 4 KiB written.
const KEPT_MEMORY_BYTES: usize = PAGE_BYTES as usize;
const KEPT_TABLE_BYTES: usize = TABLE_ELEMENTS_MAX as usize * size_of::<usize>();
/// Instances of a store in the fresh tier, which are given back together. Each reserves more than 4 GiB of
/// addresses, of which a worker may have [`crate::limits::WORKER_ADDRESS_BYTES`].
const FRESH_INSTANCES: u32 = 8;
/// Fuel for the trial instance: it runs no code of the module.
const TRIAL_FUEL: u64 = 1_000_000;

/// A vetted module as machine code, ready to be instantiated. A clone shares the code and the pooled slots.
#[derive(Clone)]
pub struct Compiled {
    pub(crate) engine: Engine,
    pub(crate) ready: InstancePre<()>,
    pub(crate) memory: ModuleExport,
    pub(crate) person_map: ModuleExport,
    pub(crate) marks: Option<ModuleExport>,
    pub(crate) globals: Vec<ModuleExport>,
    pub(crate) restore: Restore,
    /// Instances that fit one store.
    pub(crate) instances: u32,
    tier: Tier,
    input: Buffer,
    output: Buffer,
    /// Of the shape it was built for; 0: not said.
    signature: u32,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled")
            .field("tier", &self.tier)
            .field("input", &self.input)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// How what a person's run wrote is undone after it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// It can write nothing.
    Nothing,
    /// Copy these ranges of memory, set the globals.
    Ranges(Vec<(usize, usize)>),
    /// Copy the marked cards, set the globals.
    Cards,
    /// Throw the instance away.
    Instance,
}

/// A static buffer in the module's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// First byte.
    pub start: usize,
    /// Number of bytes.
    pub bytes: usize,
}

/// Why a vetted module cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The engine could not be set up on this machine.
    #[error("the engine cannot start: {detail}; check the machine's address space limits")]
    Engine {
        /// The engine's words.
        detail: String,
    },
    /// The tier does not undo everything that the module can do.
    #[error("the module cannot run in the tier `{tier}`: take the one that the vetter chose")]
    Tier {
        /// As asked.
        tier: Tier,
    },
    /// The rewritten module is not the vetted one with marks.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// The compiler refused.
    #[error("the module does not compile: {detail}; build it again")]
    Compile {
        /// The compiler's words.
        detail: String,
    },
    /// The first instance failed: a data or element segment is out of bounds.
    #[error("the module cannot be instantiated: {detail}; check its data segments")]
    Instantiate {
        /// The engine's words.
        detail: String,
    },
    /// The layout words lie outside memory.
    #[error("`CLOISTER_LAYOUT` at `{address}` lies outside memory: export a static of four u32")]
    LayoutOutside {
        /// Its address.
        address: u32,
    },
    /// Another version of the interface.
    #[error(
        "the module was built for interface version `{found}`, not {ABI_VERSION}: build it again"
    )]
    AbiVersion {
        /// First layout word.
        found: u32,
    },
    /// The module says that it was built for columns of other kinds, or another way of writing outputs.
    #[error(
        "the module was built for columns of other kinds, or to write its outputs in another way (its signature is `{found:08x}`, the analysis makes `{want:08x}`): select the columns it was built for, in their order, set `numbers` and `outputs` to what it writes, or build it again"
    )]
    Signature {
        /// Fourth layout word.
        found: u32,
        /// [`Shape::signature`].
        want: u32,
    },
    /// A buffer does not lie in memory.
    #[error("`{name}` ({bytes} bytes at `{address}`) lies outside memory: export a static buffer")]
    BufferOutside {
        /// Which export.
        name: &'static str,
        /// Its address.
        address: u32,
        /// Its stated size.
        bytes: u32,
    },
    /// Two of input, output and layout share bytes.
    #[error("input, output and layout overlap: export separate statics")]
    BuffersOverlap,
    /// The input buffer is not what this shape needs: the module was built for other rows or columns.
    #[error(
        "the input buffer has {found} bytes, row cap and columns make {want}: this analysis gives {columns} columns of at most {row_cap} rows (the smaller of its `row_cap` and the dictionary's); build the module for these"
    )]
    InputSize {
        /// The module's.
        found: usize,
        /// The shape's.
        want: usize,
        /// The shape's columns.
        columns: usize,
        /// The shape's row cap.
        row_cap: u32,
    },
    /// The output buffer is not what values in order make: the module was built for other keys or lanes.
    #[error(
        "the output buffer has {found} bytes, values in order for these keys and lanes make {want}: declare the keys and lanes that the module was built for, or build it for these"
    )]
    OutputSize {
        /// The module's.
        found: usize,
        /// The shape's.
        want: usize,
    },
    /// The output buffer is smaller than the declared outputs as pairs.
    #[error(
        "the output buffer has {found} bytes, the declared outputs need {want}: enlarge it, or declare fewer"
    )]
    OutputTooSmall {
        /// The module's.
        found: usize,
        /// The shape's.
        want: usize,
    },
}

impl CompileError {
    /// A stable name for the reason.
    pub fn reason(&self) -> &'static str {
        match self {
            CompileError::Engine { .. } => "engine",
            CompileError::Tier { .. } => "tier",
            CompileError::Rewrite(_) => "rewrite",
            CompileError::Compile { .. } => "compile",
            CompileError::Instantiate { .. } => "instantiate",
            CompileError::LayoutOutside { .. } => "layout_outside",
            CompileError::AbiVersion { .. } => "abi_version",
            CompileError::Signature { .. } => "signature",
            CompileError::BufferOutside { .. } => "buffer_outside",
            CompileError::BuffersOverlap => "buffers_overlap",
            CompileError::InputSize { .. } => "input_size",
            CompileError::OutputSize { .. } => "output_size",
            CompileError::OutputTooSmall { .. } => "output_too_small",
        }
    }
}

/// Compiles a vetted module for the tier that the vetter chose, and checks its buffers on a trial instance.
///
/// # Errors
/// [`CompileError`]; the module's fault but for [`CompileError::Engine`] and [`CompileError::Rewrite`].
pub fn compile(vetted: &Vetted) -> Result<Compiled, CompileError> {
    compile_in(vetted, vetted.tier())
}

/// The same for a given tier. A module too large to be rewritten gets [`Tier::Fresh`] all the same.
///
/// # Errors
/// As [`compile`]; [`CompileError::Tier`] when the tier does not undo everything that the module can do.
pub fn compile_in(vetted: &Vetted, tier: Tier) -> Result<Compiled, CompileError> {
    if !vetted.can_run_in(tier) {
        return Err(CompileError::Tier { tier });
    }
    compile_by(vetted, tier, |_, _| None, |_, _| {})
}

/// As [`compile_in`], but for machine code that `cached` has for an engine and a tier; `fresh` sees what had to be
/// compiled. Both are the compile cache's. The tier undoes everything that the module can do.
pub(crate) fn compile_by(
    vetted: &Vetted,
    tier: Tier,
    cached: impl Fn(&Engine, Tier) -> Option<Module>,
    fresh: impl FnOnce((&Engine, Tier), &Module),
) -> Result<Compiled, CompileError> {
    // A module too large to be rewritten was compiled for the other tier.
    for tier in [tier, Tier::Fresh] {
        let engine = engine_for(tier)?;
        if let Some(module) = cached(&engine, tier) {
            return ready(vetted, tier, engine, &module);
        }
        if tier == Tier::Fresh {
            break;
        }
    }
    let (tier, code) = code_for(vetted, tier)?;
    let engine = engine_for(tier)?;
    let module = Module::new(&engine, &code).map_err(compile_error)?;
    fresh((&engine, tier), &module);
    ready(vetted, tier, engine, &module)
}

fn engine_for(tier: Tier) -> Result<Engine, CompileError> {
    let instances = if tier == Tier::Fresh { FRESH_INSTANCES } else { 1 };
    Engine::new(&config(tier == Tier::Cards, instances))
        .map_err(|error| CompileError::Engine { detail: format!("{error:#}") })
}

fn compile_error(error: wasmtime::Error) -> CompileError {
    CompileError::Compile { detail: format!("{error:#}") }
}

/// Machine code of a module, made for a tier, with its buffers checked.
fn ready(
    vetted: &Vetted,
    tier: Tier,
    engine: Engine,
    module: &Module,
) -> Result<Compiled, CompileError> {
    let has_marks = tier == Tier::Cards;
    let instances = if tier == Tier::Fresh { FRESH_INSTANCES } else { 1 };
    let ready = Linker::new(&engine).instantiate_pre(module).map_err(compile_error)?;
    let export = |name: &str| {
        module.get_export_index(name).ok_or(CompileError::Compile { detail: name.to_owned() })
    };
    let (memory, person_map) = (export(MEMORY)?, export(PERSON_MAP)?);
    let marks = if has_marks { Some(export(MARKS)?) } else { None };
    let globals = match tier {
        Tier::Pure | Tier::Fresh => Vec::new(),
        Tier::Window | Tier::Cards => {
            let globals = vetted.mutable_globals().iter();
            globals.map(|index| export(&format!("{GLOBAL}{index}"))).collect::<Result<_, _>>()?
        }
    };
    let restore = match tier {
        Tier::Pure => Restore::Nothing,
        Tier::Window => Restore::Ranges(vetted.writes().window().unwrap_or_default()),
        Tier::Cards => Restore::Cards,
        Tier::Fresh => Restore::Instance,
    };
    let Layout { input, output, signature } = read_layout(&engine, &ready, &memory, vetted)?;
    Ok(Compiled {
        engine,
        ready,
        memory,
        person_map,
        marks,
        globals,
        restore,
        instances,
        tier,
        input,
        output,
        signature,
    })
}

/// The bytes to compile, vetted a second time when they are not the module's own.
fn code_for(vetted: &Vetted, tier: Tier) -> Result<(Tier, Cow<'_, [u8]>), CompileError> {
    let as_is = Cow::Borrowed(vetted.bytes());
    let has_marks = match tier {
        Tier::Pure | Tier::Fresh => return Ok((tier, as_is)),
        Tier::Window if vetted.mutable_globals().is_empty() => return Ok((tier, as_is)),
        Tier::Window => false,
        Tier::Cards => true,
    };
    let rewritten = rewrite(vetted, has_marks)?;
    match recheck(vetted, &rewritten, has_marks) {
        Ok(()) => Ok((tier, Cow::Owned(rewritten))),
        Err(RecheckError::TooLarge) => Ok((Tier::Fresh, as_is)),
        Err(RecheckError::Differs(detail)) => Err(CompileError::Rewrite(RewriteError(detail))),
    }
}

impl Compiled {
    /// How a job forgets one person before the next.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The same machine code, but every person in an instance of its own: the oracle for the other tiers.
    #[must_use]
    pub fn afresh(self) -> Compiled {
        Compiled { restore: Restore::Instance, tier: Tier::Fresh, ..self }
    }

    /// Where this shape's input and output lie.
    ///
    /// The input buffer must have exactly the shape's size: its offsets follow from the row cap, so a
    /// module built for another cap would read other values without noticing. Values in order fill the output
    /// buffer for the same reason: which lane of which cell a value is follows from its place.
    ///
    /// # Errors
    /// [`CompileError::InputSize`], [`CompileError::OutputSize`], [`CompileError::OutputTooSmall`] or
    /// [`CompileError::Signature`].
    pub(crate) fn buffers(&self, shape: &Shape) -> Result<(Buffer, Buffer), CompileError> {
        let want = shape.input_bytes();
        if self.input.bytes != want {
            let (columns, row_cap) = (shape.columns().len(), shape.row_cap());
            return Err(CompileError::InputSize {
                found: self.input.bytes,
                want,
                columns,
                row_cap,
            });
        }
        let (found, want) = (self.output.bytes, shape.output_bytes());
        match shape.layout() {
            OutputLayout::Dense(_) if found != want => {
                return Err(CompileError::OutputSize { found, want });
            }
            OutputLayout::Pairs | OutputLayout::FloatPairs if found < want => {
                return Err(CompileError::OutputTooSmall { found, want });
            }
            _ => {}
        }
        let signature = shape.signature();
        if self.signature != 0 && self.signature != signature {
            return Err(CompileError::Signature { found: self.signature, want: signature });
        }
        Ok((self.input, Buffer { start: self.output.start, bytes: want }))
    }
}

/// One engine a job: no feature that the vetter refuses, as many pooled slots as a store has instances, fuel,
/// one NaN. A second memory only where marks need it.
fn config(has_marks: bool, instances: u32) -> Config {
    let memories = if has_marks { 2 } else { 1 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances)
        .total_memories(memories * instances)
        .total_tables(instances)
        .max_memories_per_module(memories)
        .max_tables_per_module(1)
        .max_memory_size((MEMORY_PAGES_MAX * PAGE_BYTES) as usize)
        .table_elements(TABLE_ELEMENTS_MAX as usize)
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(KEPT_MEMORY_BYTES)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .pagemap_scan(Enabled::No);
    // Memory protection keys are off because the crate feature is.
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .wasm_multi_memory(has_marks)
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        .memory_init_cow(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What the layout words say.
struct Layout {
    input: Buffer,
    output: Buffer,
    signature: u32,
}

/// Reads the four layout words from a trial instance and checks the buffers against its memory.
fn read_layout(
    engine: &Engine,
    ready: &InstancePre<()>,
    memory: &ModuleExport,
    vetted: &Vetted,
) -> Result<Layout, CompileError> {
    let failed =
        |error: wasmtime::Error| CompileError::Instantiate { detail: format!("{error:#}") };
    let mut store = Store::new(engine, ());
    store.set_fuel(TRIAL_FUEL).map_err(failed)?;
    let instance = ready.instantiate(&mut store).map_err(failed)?;
    let Some(Extern::Memory(memory)) = instance.get_module_export(&mut store, memory) else {
        return Err(CompileError::Instantiate { detail: MEMORY.to_owned() });
    };
    let data = memory.data(&store);
    let address = vetted.layout();
    let layout = Buffer { start: address as usize, bytes: LAYOUT_BYTES };
    let words = data
        .get(layout.start..)
        .and_then(|rest| rest.first_chunk::<LAYOUT_BYTES>())
        .ok_or(CompileError::LayoutOutside { address })?;
    let (words, _) = words.as_chunks::<4>();
    let [version, input_bytes, output_bytes, signature] = words else {
        return Err(CompileError::LayoutOutside { address });
    };
    let (version, signature) = (u32::from_le_bytes(*version), u32::from_le_bytes(*signature));
    if version != ABI_VERSION {
        return Err(CompileError::AbiVersion { found: version });
    }
    let inside = |name, address: u32, bytes: [u8; 4]| {
        let bytes = u32::from_le_bytes(bytes);
        let end = u64::from(address) + u64::from(bytes);
        if end > data.len() as u64 {
            return Err(CompileError::BufferOutside { name, address, bytes });
        }
        Ok(Buffer { start: address as usize, bytes: bytes as usize })
    };
    let input = inside("CLOISTER_INPUT", vetted.input(), *input_bytes)?;
    let output = inside("CLOISTER_OUTPUT", vetted.output(), *output_bytes)?;
    if input.meets(&output) || input.meets(&layout) || output.meets(&layout) {
        return Err(CompileError::BuffersOverlap);
    }
    Ok(Layout { input, output, signature })
}

impl Buffer {
    /// True when the two share a byte; both lie in memory, so their ends fit.
    fn meets(&self, other: &Buffer) -> bool {
        self.start < other.start + other.bytes && other.start < self.start + self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_switched_as_abi_md_says_and_reaches_no_further_into_the_system() {
        for (has_marks, instances) in [(false, 1), (true, 1), (false, FRESH_INSTANCES)] {
            let engine = Engine::new(&config(has_marks, instances)).unwrap();
            let pool = engine.get_pooling_config().unwrap();
            // It would open the process's page map, and keep it open.
            assert_eq!(pool.get_pagemap_scan(), Enabled::No);
            // Memories would then share one region, told apart by keys that code may change.
            assert_eq!(pool.get_memory_protection_keys(), Enabled::No);
            assert_eq!(engine.get_max_wasm_stack(), 256 << 10);
            assert_eq!(engine.get_cranelift_nan_canonicalization(), Some(true));
            // What stops a person is fuel; what stops a worker is the node (`process`), so no loop asks the time.
            assert!(engine.get_consume_fuel() && !engine.get_epoch_interruption());
        }
    }
}
