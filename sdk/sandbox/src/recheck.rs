//! The second vetting: rewritten bytes under their own profile, as if a stranger had written them.
//!
//! Must never use the rewriter's own encoding of a mark. What passes here is the vetted module and nothing
//! else, but for exported globals, one more memory, scratch locals, and before every write exactly the marks
//! of that write. So only marks name the second memory, and none is missing.

use wasmparser::{
    BlockType, Export, ExternalKind, FunctionBody, MemArg, MemoryType, Operator, Parser, Payload,
    ValType, Validator, WasmFeatures,
};

use crate::limits::{
    CARD_BYTES_LOG2, GROUP_CARDS_LOG2, PAGE_BYTES, REWRITTEN_BYTES_MAX,
    REWRITTEN_FUNCTION_BYTES_MAX, STORE_BYTES_MAX,
};
use crate::rewrite::{GLOBAL, MARKS, MARKS_INDEX, MARKS_PAGES, MARKS_START, SCRATCH};
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
    for (nth, (before_body, after_body)) in before.bodies.iter().zip(&after.bodies).enumerate() {
        if after_body.range().len() > REWRITTEN_FUNCTION_BYTES_MAX {
            return Err(RecheckError::TooLarge);
        }
        if marks {
            let params = before.params.get(nth).copied();
            let params = params.ok_or(RecheckError::Differs("a type is missing".to_owned()))?;
            check_body(before_body, after_body, params)?;
        } else if before_body.as_bytes() != after_body.as_bytes() {
            return differs("a function");
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
        for mark in marks_before(&operator, own)? {
            same(&mark)?;
        }
        same(&operator)?;
    }
    if operators.eof() { Ok(()) } else { differs("a function's end") }
}

/// The operators that must stand before this one, operands on the stack, scratch locals from `own` on.
fn marks_before(operator: &Operator<'_>, own: u32) -> Result<Vec<Operator<'static>>, RecheckError> {
    match memory_write(operator) {
        None => Ok(Vec::new()),
        // The bytes that are restored behind a card would not hold all of it.
        Some(MemoryWrite::Store(store)) if store.bytes > STORE_BYTES_MAX as u64 => {
            differs("the width of a store")
        }
        Some(MemoryWrite::Store(store)) => Ok(before_store(&store, own)),
        Some(MemoryWrite::Bulk) => Ok(before_bulk(own)),
    }
}

fn get(local_index: u32) -> Operator<'static> {
    Operator::LocalGet { local_index }
}

fn tee(local_index: u32) -> Operator<'static> {
    Operator::LocalTee { local_index }
}

fn set(local_index: u32) -> Operator<'static> {
    Operator::LocalSet { local_index }
}

fn number(value: u64) -> Operator<'static> {
    Operator::I32Const { value: i32::try_from(value).unwrap_or(i32::MAX) }
}

/// i64 address -> its card in a local, 1 in the card's byte and in its group's.
fn mark_card(card: u32) -> [Operator<'static>; 11] {
    let one_at = |offset| {
        let memarg = MemArg { align: 0, max_align: 0, offset, memory: MARKS_INDEX };
        [number(1), Operator::I32Store8 { memarg }]
    };
    let ([one, mark], [again, mark_group]) = (one_at(MARKS_START), one_at(0));
    let shift = Operator::I64Const { value: CARD_BYTES_LOG2.into() };
    let [card_again, group_shift, to_group] = group_of(card);
    [
        shift,
        Operator::I64ShrU,
        Operator::I32WrapI64,
        tee(card),
        one,
        mark,
        card_again,
        group_shift,
        to_group,
        again,
        mark_group,
    ]
}

/// The group of the card in a local.
fn group_of(card: u32) -> [Operator<'static>; 3] {
    [get(card), number(GROUP_CARDS_LOG2.into()), Operator::I32ShrU]
}

/// The card of the first byte.
fn before_store(store: &StoreFact, own: u32) -> Vec<Operator<'static>> {
    let value = match store.value {
        ValType::I32 => own,
        ValType::I64 => own + 1,
        ValType::F32 => own + 2,
        ValType::F64 => own + 3,
        _ => own + 4,
    };
    let (address, card) = (own + 5, own + 7);
    let mut marks = vec![set(value), tee(address), Operator::I64ExtendI32U];
    if store.offset != 0 {
        marks.push(Operator::I64Const { value: store.offset.cast_signed() });
        marks.push(Operator::I64Add);
    }
    marks.extend(mark_card(card));
    marks.extend([get(address), get(value)]);
    marks
}

/// The cards of `to` and of `to + length`; when others lie between, one fill from the first card up to the
/// last and one from the first group up to the last, those last ones excluded: they are marked already.
fn before_bulk(own: u32) -> Vec<Operator<'static>> {
    let (source, address, length) = (own, own + 5, own + 6);
    let (first, last, first_byte) = (own + 7, own + 8, own + 9);
    let apart = || [get(last), get(first), Operator::I32Sub];
    let mut marks =
        vec![set(length), set(source), tee(address), Operator::I64ExtendI32U, tee(first_byte)];
    marks.extend(mark_card(first));
    marks.extend([get(first_byte), get(length), Operator::I64ExtendI32U, Operator::I64Add]);
    marks.extend(mark_card(last));
    marks.extend(apart());
    marks.extend([number(1), Operator::I32GtU, Operator::If { blockty: BlockType::Empty }]);
    marks.extend([get(first), number(MARKS_START), Operator::I32Add, number(1)]);
    marks.extend(apart());
    marks.push(Operator::MemoryFill { mem: MARKS_INDEX });
    marks.extend(group_of(first));
    marks.push(number(1));
    marks.extend(group_of(last));
    marks.extend(group_of(first));
    marks.extend([
        Operator::I32Sub,
        Operator::MemoryFill { mem: MARKS_INDEX },
        Operator::End,
        get(address),
        get(source),
        get(length),
    ]);
    marks
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
