//! The second vetting: rewritten bytes under their own profile, as if a stranger had written them.
//!
//! Must never use the rewriter's own encoding of a mark. What passes here is the vetted module and nothing
//! else, but for exported globals, one more memory, scratch locals, and before every write exactly the marks
//! of that write. So only marks name the second memory, and none is missing.

use wasmparser::{
    Export, ExternalKind, FunctionBody, MemArg, MemoryType, Operator, Parser, Payload, ValType,
    Validator, WasmFeatures,
};

use crate::limits::{PAGE_BYTES, REWRITTEN_BYTES_MAX, REWRITTEN_FUNCTION_BYTES_MAX};
use crate::rewrite::{GLOBAL, MARKS, MARKS_INDEX, MARKS_PAGES, SCRATCH, card_bytes_log2};
use crate::vet::{FEATURES, Vetted};
use crate::writes::{MemoryWrite, StoreFact, memory_write};

/// Why rewritten bytes are not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecheckError {
    /// They outgrew their limits: the module runs in fresh instances.
    TooLarge,
    /// They are not the vetted module with marks.
    Differs(String),
}

impl From<wasmparser::BinaryReaderError> for RecheckError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        RecheckError::Differs(error.to_string())
    }
}

/// Checks that `rewritten` is `vetted` with its mutable globals exported and, if `marks`, every write marked.
///
/// # Errors
/// [`RecheckError`] names the first difference.
pub(crate) fn recheck(vetted: &Vetted, rewritten: &[u8], marks: bool) -> Result<(), RecheckError> {
    if rewritten.len() > REWRITTEN_BYTES_MAX {
        return Err(RecheckError::TooLarge);
    }
    let multi_memory = if marks { WasmFeatures::MULTI_MEMORY } else { WasmFeatures::empty() };
    Validator::new_with_features(FEATURES.union(multi_memory)).validate_all(rewritten)?;
    let (before, after) = (Parts::of(vetted.bytes())?, Parts::of(rewritten)?);
    if before.copied != after.copied {
        return differs("a section");
    }
    check_memories(vetted, &before, &after, marks)?;
    check_exports(vetted, &before, &after, marks)?;
    if before.bodies.len() != after.bodies.len() {
        return differs("the number of functions");
    }
    let marked = marks.then(|| card_bytes_log2(vetted.memory_bytes()));
    for (nth, (before_body, after_body)) in before.bodies.iter().zip(&after.bodies).enumerate() {
        if after_body.range().len() > REWRITTEN_FUNCTION_BYTES_MAX {
            return Err(RecheckError::TooLarge);
        }
        match marked {
            None if before_body.as_bytes() == after_body.as_bytes() => {}
            None => return differs("a function"),
            Some(card_bytes_log2) => {
                let params = before.params.get(nth).copied();
                let params = params.ok_or(RecheckError::Differs("a type is missing".to_owned()))?;
                check_body(before_body, after_body, params, card_bytes_log2)?;
            }
        }
    }
    Ok(())
}

fn differs<T>(what: &str) -> Result<T, RecheckError> {
    Err(RecheckError::Differs(format!("{what} differs")))
}

/// A module taken apart.
#[derive(Default)]
struct Parts<'m> {
    /// Sections that must be the same byte for byte.
    copied: Vec<(u8, &'m [u8])>,
    memories: Vec<MemoryType>,
    exports: Vec<Export<'m>>,
    bodies: Vec<FunctionBody<'m>>,
    /// Parameters of each function.
    params: Vec<u32>,
}

impl<'m> Parts<'m> {
    fn of(bytes: &'m [u8]) -> Result<Parts<'m>, RecheckError> {
        let mut parts = Parts::default();
        let mut types = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::TypeSection(section) => {
                    for ty in section.clone().into_iter_err_on_gc_types() {
                        types.push(ty?.params().len() as u32);
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section.clone() {
                        parts.params.extend(types.get(ty? as usize));
                    }
                }
                _ => {}
            }
            match payload {
                Payload::MemorySection(section) => {
                    parts.memories = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::ExportSection(section) => {
                    parts.exports = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::CodeSectionStart { .. } | Payload::CustomSection(_) => {}
                Payload::CodeSectionEntry(body) => parts.bodies.push(body),
                other => {
                    if let Some((id, range)) = other.as_section() {
                        parts.copied.push((id, bytes.get(range).unwrap_or_default()));
                    }
                }
            }
        }
        Ok(parts)
    }
}

fn check_memories(
    vetted: &Vetted,
    before: &Parts<'_>,
    after: &Parts<'_>,
    marks: bool,
) -> Result<(), RecheckError> {
    let fixed = |pages: u64| MemoryType {
        memory64: false,
        shared: false,
        initial: pages,
        maximum: Some(pages),
        page_size_log2: None,
    };
    let mut want = vec![fixed(vetted.memory_bytes() / PAGE_BYTES)];
    if before.memories != want {
        return differs("the vetted memory");
    }
    want.extend(marks.then(|| fixed(MARKS_PAGES)));
    if after.memories == want { Ok(()) } else { differs("a memory") }
}

fn check_exports(
    vetted: &Vetted,
    before: &Parts<'_>,
    after: &Parts<'_>,
    marks: bool,
) -> Result<(), RecheckError> {
    let globals = vetted.mutable_globals();
    let names: Vec<String> = globals.iter().map(|index| format!("{GLOBAL}{index}")).collect();
    let mut want = before.exports.clone();
    for (name, index) in names.iter().zip(globals) {
        want.push(Export { name, kind: ExternalKind::Global, index: *index });
    }
    if marks {
        want.push(Export { name: MARKS, kind: ExternalKind::Memory, index: MARKS_INDEX });
    }
    if after.exports == want { Ok(()) } else { differs("an export") }
}

/// Same locals, then scratch; same operators, with marks before writes.
fn check_body(
    before: &FunctionBody<'_>,
    after: &FunctionBody<'_>,
    params: u32,
    card_bytes_log2: u32,
) -> Result<(), RecheckError> {
    let groups = |body: &FunctionBody<'_>| -> Result<Vec<(u32, ValType)>, RecheckError> {
        Ok(body.get_locals_reader()?.into_iter().collect::<Result<_, _>>()?)
    };
    let mut want = groups(before)?;
    let own = want.iter().fold(params, |sum, (count, _)| sum.saturating_add(*count));
    want.extend(SCRATCH.map(|ty| (1, ty)));
    if groups(after)? != want {
        return differs("a local");
    }
    let mut operators = after.get_operators_reader()?;
    let mut same = |want: &Operator<'_>| match operators.read() {
        Ok(found) if found == *want => Ok(()),
        Ok(_) => differs("an operator"),
        Err(error) => Err(error.into()),
    };
    let mut originals = before.get_operators_reader()?;
    while !originals.eof() {
        let operator = originals.read()?;
        for mark in marks_before(&operator, own, card_bytes_log2) {
            same(&mark)?;
        }
        same(&operator)?;
    }
    if operators.eof() { Ok(()) } else { differs("a function's end") }
}

/// The operators that must stand before this one, operands on the stack, scratch locals from `own` on.
fn marks_before(operator: &Operator<'_>, own: u32, card_bytes_log2: u32) -> Vec<Operator<'static>> {
    match memory_write(operator) {
        None => Vec::new(),
        Some(MemoryWrite::Store(store)) => before_store(&store, own, card_bytes_log2),
        Some(MemoryWrite::Bulk) => before_bulk(own, card_bytes_log2),
    }
}

/// i64 address -> 1 in its card's byte.
fn mark_card(card_bytes_log2: u32) -> [Operator<'static>; 5] {
    let memarg = MemArg { align: 0, max_align: 0, offset: 0, memory: MARKS_INDEX };
    [
        Operator::I64Const { value: card_bytes_log2.into() },
        Operator::I64ShrU,
        Operator::I32WrapI64,
        Operator::I32Const { value: 1 },
        Operator::I32Store8 { memarg },
    ]
}

/// First the card of the first byte, then that of the last.
fn before_store(store: &StoreFact, own: u32, card_bytes_log2: u32) -> Vec<Operator<'static>> {
    let value = match store.value {
        ValType::I32 => own,
        ValType::I64 => own + 1,
        ValType::F32 => own + 2,
        ValType::F64 => own + 3,
        _ => own + 4,
    };
    let (address, first_byte) = (own + 5, own + 7);
    let mut marks = vec![
        Operator::LocalSet { local_index: value },
        Operator::LocalTee { local_index: address },
        Operator::I64ExtendI32U,
    ];
    if store.offset != 0 {
        marks.push(Operator::I64Const { value: store.offset.cast_signed() });
        marks.push(Operator::I64Add);
    }
    if store.bytes != 1 {
        marks.push(Operator::LocalTee { local_index: first_byte });
    }
    marks.extend(mark_card(card_bytes_log2));
    if store.bytes != 1 {
        marks.push(Operator::LocalGet { local_index: first_byte });
        marks.push(Operator::I64Const { value: store.bytes.cast_signed().saturating_sub(1) });
        marks.push(Operator::I64Add);
        marks.extend(mark_card(card_bytes_log2));
    }
    marks.push(Operator::LocalGet { local_index: address });
    marks.push(Operator::LocalGet { local_index: value });
    marks
}

/// One fill over the cards from `to >> log2` up to `(to + length + card - 1) >> log2`, that one excluded.
fn before_bulk(own: u32, card_bytes_log2: u32) -> Vec<Operator<'static>> {
    let get = |local_index| Operator::LocalGet { local_index };
    let tee = |local_index| Operator::LocalTee { local_index };
    let set = |local_index| Operator::LocalSet { local_index };
    let (source, address, length, first_byte, first_card) =
        (own, own + 5, own + 6, own + 7, own + 8);
    let shift = || Operator::I64Const { value: card_bytes_log2.into() };
    let round_up = 1_i64.checked_shl(card_bytes_log2).unwrap_or(0).saturating_sub(1);
    vec![
        set(length),
        set(source),
        tee(address),
        Operator::I64ExtendI32U,
        tee(first_byte),
        shift(),
        Operator::I64ShrU,
        tee(first_card),
        Operator::I32WrapI64,
        Operator::I32Const { value: 1 },
        get(first_byte),
        get(length),
        Operator::I64ExtendI32U,
        Operator::I64Add,
        Operator::I64Const { value: round_up },
        Operator::I64Add,
        shift(),
        Operator::I64ShrU,
        get(first_card),
        Operator::I64Sub,
        Operator::I32WrapI64,
        Operator::MemoryFill { mem: MARKS_INDEX },
        get(address),
        get(source),
        get(length),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::rewrite::rewrite;
    use crate::vet::vet;

    fn evil(name: &str) -> Vetted {
        let path = format!("{}/../../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
        vet(&wat::parse_file(path).unwrap(), &Limits::V1).unwrap()
    }

    #[test]
    fn what_the_rewriter_makes_passes_and_any_changed_byte_does_not() {
        for name in ["state_global", "state_bulk", "simd_lane_straddle", "indirect_store"] {
            let vetted = evil(name);
            for marks in [false, true] {
                let rewritten = rewrite(&vetted, marks).unwrap();
                assert_eq!(recheck(&vetted, &rewritten, marks), Ok(()), "{name}");
                // Not what was asked for.
                assert!(recheck(&vetted, &rewritten, !marks).is_err(), "{name}");
                for at in 0..rewritten.len() {
                    for bit in [1, 2, 0x40, 0x80] {
                        let mut changed = rewritten.clone();
                        changed[at] ^= bit;
                        let found = recheck(&vetted, &changed, marks);
                        assert!(found.is_err(), "{name}: byte {at} of {}", rewritten.len());
                    }
                }
            }
        }
    }

    #[test]
    fn a_missing_or_foreign_mark_is_named() {
        let vetted = evil("state_straddle");
        // The module itself: neither the second memory nor a mark.
        let unmarked = recheck(&vetted, vetted.bytes(), true).unwrap_err();
        assert_eq!(unmarked, RecheckError::Differs("a memory differs".to_owned()));
        // Marks of another module.
        let other = rewrite(&evil("state_memory"), true).unwrap();
        assert!(recheck(&vetted, &other, true).is_err());
        assert_eq!(
            recheck(&vetted, &vec![0; REWRITTEN_BYTES_MAX + 1], true),
            Err(RecheckError::TooLarge)
        );
    }
}
