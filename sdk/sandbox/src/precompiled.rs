//! Machine code that travels between a worker and the compile cache: labelled, or compiled again.
//!
//! Must never run bytes that this engine did not make from this very module: the cache vouches that they
//! came from a worker of this node, the label that they fit module, engine version, settings and CPU.

// The engine's loader trusts what it maps as code, so it is `unsafe`; see `module_from`.
#![allow(unsafe_code)]

use std::hash::{DefaultHasher, Hash, Hasher};

use ring::digest::{Context, SHA256};
use wasmtime::{Engine, Module};

use crate::engine::{CompileError, Compiled, compile_by};
use crate::rewrite::REWRITE_VERSION;
use crate::tier::Tier;
use crate::vet::Vetted;

/// Bytes of a label.
const LABEL_BYTES: usize = 32;
/// Separates labels from every other digest.
const LABEL_DOMAIN: &[u8] = b"cloister machine code v2\0";

/// Loads `cached` when it was made from this module by an engine like this one, else compiles; the second
/// value is what to cache then.
///
/// `cached` must be empty, or come from [`crate::cache`], which takes nothing but what a worker of this node
/// gave it: see the note at the loader.
///
/// # Errors
/// [`CompileError`], as [`crate::compile`]. A cached artefact that does not fit is no error.
pub(crate) fn compile_or_load(
    vetted: &Vetted,
    cached: &[u8],
) -> Result<(Compiled, Option<Vec<u8>>), CompileError> {
    let label_of = |engine: &Engine, tier| label(engine, vetted, tier);
    let mut fresh = None;
    let load = |engine: &Engine, tier| {
        if cached.is_empty() { None } else { module_from(engine, &label_of(engine, tier), cached) }
    };
    let compiled = compile_by(vetted, vetted.tier(), load, |(engine, tier), module| {
        fresh = Some(module.serialize().map(|code| [&label_of(engine, tier)[..], &code].concat()));
    })?;
    let unwritten = |error: wasmtime::Error| CompileError::Compile { detail: error.to_string() };
    Ok((compiled, fresh.transpose().map_err(unwritten)?))
}

/// Machine code as this process made it: nobody else can make one.
#[cfg(feature = "for-tests")]
pub struct Artefact(Vec<u8>);

/// Compiles as a worker does, with what an earlier call made of the same module in place of the cache.
///
/// # Errors
/// [`CompileError`], as [`crate::compile`].
#[cfg(feature = "for-tests")]
pub fn compile_again(
    vetted: &Vetted,
    earlier: Option<&Artefact>,
) -> Result<(Compiled, Option<Artefact>), CompileError> {
    let earlier = earlier.map_or(&[][..], |artefact| &artefact.0);
    let (compiled, fresh) = compile_or_load(vetted, earlier)?;
    Ok((compiled, fresh.map(Artefact)))
}

/// The module of an artefact with the right label.
fn module_from(engine: &Engine, label: &[u8; LABEL_BYTES], cached: &[u8]) -> Option<Module> {
    let machine_code = cached.strip_prefix(label)?;
    // SAFETY: the loader needs the unchanged output of `Module::serialize`. The cache authenticates every
    // artefact with a key of this node's state folder, and it is given artefacts by workers alone, after
    // compilation and before any code of the module has run. The label binds them to this module and the way it
    // is rewritten, and to version, settings and CPU of this engine, which the loader compares once more.
    unsafe { Module::deserialize(engine, machine_code) }.ok()
}

/// What machine code depends on: the module, what is added to it in a tier; engine version, settings and CPU.
fn label(engine: &Engine, vetted: &Vetted, tier: Tier) -> [u8; LABEL_BYTES] {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut context = Context::new(&SHA256);
    context.update(LABEL_DOMAIN);
    context.update(&hasher.finish().to_le_bytes());
    context.update(&[REWRITE_VERSION, tier as u8]);
    context.update(vetted.bytes());
    let mut label = [0; LABEL_BYTES];
    label.copy_from_slice(context.finish().as_ref());
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, vet};

    fn vetted(name: &str) -> Vetted {
        let path = format!("{}/../../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
        vet(&wat::parse_file(path).unwrap(), &Limits::V1).unwrap()
    }

    #[test]
    fn an_artefact_serves_its_own_module_alone() {
        let (one, other) = (vetted("state_memory"), vetted("key_leak"));
        let (_, artefact) = compile_or_load(&one, &[]).unwrap();
        let artefact = artefact.unwrap();
        assert!(compile_or_load(&one, &artefact).unwrap().1.is_none());
        assert!(compile_or_load(&other, &artefact).unwrap().1.is_some());
    }

    #[test]
    fn a_label_of_another_engine_or_no_machine_code_is_compiled_again() {
        let one = vetted("state_memory");
        let artefact = compile_or_load(&one, &[]).unwrap().1.unwrap();
        let mut other_engine = artefact.clone();
        other_engine[0] ^= 1;
        let cut = &artefact[..LABEL_BYTES];
        for stale in [&other_engine[..], cut, &artefact[..7], b"\0asm"] {
            let fresh = compile_or_load(&one, stale).unwrap().1;
            assert_eq!(fresh.map(|fresh| fresh.len()), Some(artefact.len()));
        }
    }

    #[test]
    fn another_configuration_module_or_tier_has_another_label() {
        let engine = |fuel: bool| {
            let mut config = wasmtime::Config::new();
            config.consume_fuel(fuel);
            Engine::new(&config).unwrap()
        };
        let (one, other) = (vetted("state_memory"), vetted("key_leak"));
        let of = |fuel, vetted, tier| label(&engine(fuel), vetted, tier);
        let label = of(true, &one, Tier::Cards);
        assert_eq!(label, of(true, &one, Tier::Cards));
        assert_ne!(label, of(false, &one, Tier::Cards));
        assert_ne!(label, of(true, &other, Tier::Cards));
        assert_ne!(label, of(true, &one, Tier::Fresh));
    }

    /// Raise [`REWRITE_VERSION`] with this digest: machine code made the old way must not be loaded.
    #[test]
    fn what_is_added_to_a_module_changes_with_its_version_alone() {
        let mut context = Context::new(&SHA256);
        // Every module of the list that can be rewritten: bulk operations, vector lanes, globals.
        let folder = format!("{}/../../tests/evil", env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut rewritten = 0;
        for path in paths {
            let Ok(Ok(vetted)) = wat::parse_file(&path).map(|wasm| vet(&wasm, &Limits::V1)) else {
                continue;
            };
            for marks in [false, true].into_iter().filter(|_| vetted.can_run_in(Tier::Cards)) {
                context.update(&crate::rewrite::rewrite(&vetted, marks).unwrap());
                rewritten += 1;
            }
        }
        assert!(rewritten > 30, "{rewritten}");
        let digest: String =
            context.finish().as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!((REWRITE_VERSION, digest.as_str()), (1, "81f853acff87babf"));
    }

    #[test]
    fn machine_code_is_loaded_for_the_tier_it_was_made_for() {
        let one = vetted("state_memory");
        let artefact = compile_or_load(&one, &[]).unwrap().1.unwrap();
        let (loaded, fresh) = compile_or_load(&one, &artefact).unwrap();
        assert_eq!((loaded.tier(), fresh), (one.tier(), None));
    }
}
