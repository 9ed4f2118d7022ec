//! One instance of a compiled module, with what a job needs of it at hand.
//!
//! Must never serve anybody after a trap unless the whole image was put back; else the job throws the instance
//! away, and the store that held it.

use wasmtime::{Extern, Global, Memory, ModuleExport, Store, TypedFunc};

use crate::engine::{Compiled, Restore};
use crate::job::JobError;
use crate::limits::FUEL_PER_PERSON_MAX;

/// An instance in a store of its own.
pub(crate) struct Live {
    pub(crate) store: Store<()>,
    pub(crate) memory: Memory,
    /// The second memory of the dirty-cards tier.
    pub(crate) marks: Option<Memory>,
    /// The mutable globals, in the module's order; none when the instance serves one person.
    pub(crate) globals: Vec<Global>,
    pub(crate) person_map: TypedFunc<i32, i32>,
    /// Rows of the last person that still stand in the input buffer.
    pub(crate) rows_left: usize,
    /// Instances that the store still has room for.
    room: u32,
}

/// A store whose instances have served their persons, with room for more: setting one up anew costs a fifth
/// of a fresh instance. An instance sees no other, since nothing is imported or shared.
pub(crate) struct Spare {
    store: Store<()>,
    room: u32,
}

impl Live {
    /// A fresh instance, in a store that was left over or in one of its own.
    ///
    /// # Errors
    /// [`JobError::Sandbox`] when the engine cannot give one.
    pub(crate) fn start(compiled: &Compiled, spare: Option<Spare>) -> Result<Live, JobError> {
        let Spare { mut store, room } = spare.unwrap_or_else(|| Spare {
            store: Store::new(&compiled.engine, ()),
            room: compiled.instances,
        });
        // Setting up memory uses fuel, which is not the person's; the job sets the allowance before each call.
        store.set_fuel(FUEL_PER_PERSON_MAX).map_err(sandbox)?;
        let instance = compiled.ready.instantiate(&mut store).map_err(sandbox)?;
        let gone = || JobError::Sandbox { detail: "an export is gone".to_owned() };
        let mut export = |name: &ModuleExport| instance.get_module_export(&mut store, name);
        let Some(Extern::Memory(memory)) = export(&compiled.memory) else { return Err(gone()) };
        let Some(Extern::Func(function)) = export(&compiled.person_map) else { return Err(gone()) };
        let (mut marks, mut globals) = (None, Vec::new());
        if !matches!(compiled.restore, Restore::Instance) {
            if let Some(name) = &compiled.marks {
                let Some(Extern::Memory(memory)) = export(name) else { return Err(gone()) };
                marks = Some(memory);
            }
            for name in &compiled.globals {
                let Some(Extern::Global(global)) = export(name) else { return Err(gone()) };
                globals.push(global);
            }
        }
        let person_map = function.typed::<i32, i32>(&store).map_err(sandbox)?;
        let room = room.saturating_sub(1);
        Ok(Live { store, memory, marks, globals, person_map, rows_left: 0, room })
    }

    /// What is left of an instance that ended well, where another still fits beside it.
    pub(crate) fn spare(self) -> Option<Spare> {
        (self.room > 0).then_some(Spare { store: self.store, room: self.room })
    }
}

/// The engine's failure, in its words.
pub(crate) fn sandbox(error: wasmtime::Error) -> JobError {
    JobError::Sandbox { detail: format!("{error:#}") }
}
