//! What a module returns: a number, and whatever its output buffer holds. The first byte says how many outputs are
//! declared and how they are written; the rest are persons, each the number and then the buffer. The host reads the
//! outputs that these bytes say, or gives the default contribution. It must never keep anything of a return that it
//! refused, nor read past the declared outputs.

use cloister_fuzz::{Ended, Target};
use cloister_sandbox::{
    ColumnData, ColumnKind, Compiled, DenseNumbers, Job, Limits, OutputLayout, Outputs, Pair,
    PersonBatch, PersonOutput, Shape, compile, vet,
};
use std::process::ExitCode;
use std::sync::LazyLock;

/// Outputs that the module's buffer has room for, as pairs.
const OUTPUTS: usize = 8;
/// 64-bit words of a pair.
const PAIR_WORDS: usize = 2;
/// 64-bit words of a person: the number, then the buffer.
const PERSON_WORDS: usize = 1 + PAIR_WORDS * OUTPUTS;
const WORD_BYTES: usize = 8;
/// Persons of one input, at most.
const PERSONS_MAX: usize = 1_000;
/// In the first byte: outputs are written in order.
const DENSE: u8 = 0x80;
const FUEL: u64 = 10_000;

/// Copies all its rows but the first into its output buffer, and returns that one. `OUTPUT` stands for the bytes
/// of the buffer.
const COPIER: &str = r#"(module (memory (export "memory") 1 1)
    (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
    (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
    (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
    (data (i32.const 16) "\01\00\00\00\90\00\00\00\OUTPUT\00\00\00\00\00\00\00")
    (func (export "person_map") (param i32) (result i32)
        (memory.copy (i32.const 2048) (i32.const 1040) (i32.const 128))
        (i32.wrap_i64 (i64.load (i32.const 1032)))))"#;

/// With room for all pairs.
static OF_PAIRS: LazyLock<Result<Compiled, String>> =
    LazyLock::new(|| copier(OUTPUTS * PAIR_WORDS * WORD_BYTES));
/// With room for one value in order, for two and so on: they must fill it.
static OF_VALUES: LazyLock<Vec<Result<Compiled, String>>> =
    LazyLock::new(|| (1..=OUTPUTS).map(|outputs| copier(outputs * WORD_BYTES)).collect());

fn copier(output_bytes: usize) -> Result<Compiled, String> {
    let text = COPIER.replace("OUTPUT\\00", &format!("{output_bytes:02x}\\00"));
    let wasm = wat::parse_str(text).map_err(|error| error.to_string())?;
    let vetted = vet(&wasm, &Limits::V1).map_err(|error| error.to_string())?;
    compile(&vetted).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    Target { name: "returns", seeds, pieces: &PIECES, check }.main()
}

fn check(input: &[u8]) -> Result<Ended, String> {
    let [head, persons @ ..] = input else { return Ok(Ended::Refused) };
    let (is_dense, outputs_max) = (head & DENSE != 0, 1 + usize::from(*head) % OUTPUTS);
    let shape = Shape::new(PERSON_WORDS as u32, vec![ColumnKind::Int], outputs_max as u32)
        .map_err(|error| error.to_string())?;
    let shape =
        if is_dense { shape.with_layout(OutputLayout::Dense(DenseNumbers::Ints)) } else { shape };
    let mut batch = PersonBatch::new(&shape);
    let mut want = Vec::new();
    for person in persons.chunks(PERSON_WORDS * WORD_BYTES).take(PERSONS_MAX) {
        let values: Vec<i64> = person.chunks(WORD_BYTES).map(word).collect();
        let valid = vec![true; values.len()];
        let column = ColumnData::Int { values: &values, valid: &valid };
        batch.push_person(values.len(), &[column]).map_err(|error| error.to_string())?;
        want.push(if is_dense { dense(&values, outputs_max) } else { pairs(&values, outputs_max) });
    }
    let compiled = match OF_VALUES.get(outputs_max - 1) {
        Some(compiled) if is_dense => compiled,
        _ => &*OF_PAIRS,
    };
    let compiled = compiled.as_ref().map_err(String::clone)?.clone();
    let job = Job::new(compiled, shape, FUEL).map_err(|error| error.to_string())?;
    let mut job = job.compared_every(1);
    let mut outputs = Outputs::default();
    job.run_batch(&batch.persons(), &mut outputs).map_err(|error| error.to_string())?;
    let found = outputs.to_persons();
    if found != want {
        return Err(format!("read {found:?} where {want:?} was returned"));
    }
    let refused = want.iter().filter(|output| **output == PersonOutput::Default).count();
    if job.counters().bad_returns != refused as u64 {
        return Err(format!("{refused} returns were refused, {:?}", job.counters()));
    }
    Ok(if refused < want.len() { Ended::Taken } else { Ended::Refused })
}

/// What a person's words say as pairs, read off ABI.md: u32 index, u32 zero, 8 bytes of value.
fn pairs(words: &[i64], outputs_max: usize) -> PersonOutput {
    let Some(count) = returned(words, outputs_max) else { return PersonOutput::Default };
    let pair = |nth: usize| {
        let head = buffer(words, 2 * nth).cast_unsigned();
        let index = u32::try_from(head).ok()?;
        Some(Pair { index, value: buffer(words, 2 * nth + 1) })
    };
    let pairs: Option<Vec<Pair>> = (0..count).map(pair).collect();
    pairs.map_or(PersonOutput::Default, PersonOutput::Pairs)
}

/// The same as values in order: 1 says that all are there, 0 that none is. Zeros add nothing.
fn dense(words: &[i64], outputs_max: usize) -> PersonOutput {
    let Some(count) = returned(words, 1) else { return PersonOutput::Default };
    let values =
        (0..(count * outputs_max) as u32).map(|index| (index, buffer(words, index as usize)));
    let there = values.filter(|(_, value)| *value != 0);
    PersonOutput::Pairs(there.map(|(index, value)| Pair { index, value }).collect())
}

/// The number that the module returns, the first word's lower half, if it lies within `0..=max`.
fn returned(words: &[i64], max: usize) -> Option<usize> {
    let count = words.first().map_or(0, |word| *word as i32);
    usize::try_from(count).ok().filter(|count| *count <= max)
}

/// A word of the output buffer; rows that a person does not have are 0.
fn buffer(words: &[i64], nth: usize) -> i64 {
    words.get(1 + nth).copied().unwrap_or(0)
}

fn word(bytes: &[u8]) -> i64 {
    let mut word = [0; WORD_BYTES];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    i64::from_le_bytes(word)
}

fn seeds() -> Vec<Vec<u8>> {
    let person = |count: i64, words: &[i64]| {
        let mut person = [&[count][..], words].concat();
        person.resize(PERSON_WORDS, 0);
        person.into_iter().flat_map(i64::to_le_bytes).collect::<Vec<u8>>()
    };
    let high = i64::from(u32::MAX);
    let good = person(2, &[1, -1, high, i64::MIN]);
    let zero_word = person(2, &[1, -1, high + 1, 5]);
    let values = person(1, &[0, 5, i64::MIN, 0, 7]);
    let (none, negative, past) = (person(0, &[9]), person(-1, &[9, 9]), person(9, &[0; 16]));
    let one_after_the_other = [good.clone(), negative, values.clone(), past, zero_word, none];
    let with = |head: u8, persons: &[u8]| [&[head][..], persons].concat();
    vec![
        with(7, &good),
        with(0, &good),
        with(7, &one_after_the_other.concat()),
        with(3, &one_after_the_other.concat()),
        with(DENSE | 4, &values),
        with(DENSE | 7, &one_after_the_other.concat()),
    ]
}

/// Numbers as a module may return them, and zeros for words that must be zero.
const PIECES: [&str; 5] = [
    "\0\0\0\0\0\0\0\0",
    "\u{1}\0\0\0\0\0\0\0",
    "\u{8}\0\0\0\0\0\0\0",
    "\u{9}\0\0\0\0\0\0\0",
    "\0\0\0\0",
];
