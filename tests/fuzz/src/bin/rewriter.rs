//! A module as text or bytes: in every tier that it can run in, the rewritten module is valid and does to each
//! person what the original does in an instance of its own. It must never differ but for the fuel that marks use.

use cloister_fuzz::{Ended, Target, bounded, seeds};
use cloister_sandbox::{
    ColumnData, ColumnKind, Compiled, Job, Limits, Outputs, PersonBatch, PersonOutput, Shape, Tier,
    Vetted, compile_in, vet,
};
use std::process::ExitCode;

/// Enough for every seed; small, since mutated loops use all of it.
const FUEL: u64 = 200_000;
const TEXT_BYTES_MAX: usize = 1 << 15;
/// First values of persons; 66 is the one whom the seeds look for.
const PERSONS: [&[i64]; 7] =
    [&[10, 11], &[66, 67, 68], &[], &[12], &[66, 3], &[-1, i64::MAX, 4096, 65_535], &[10, 11]];

fn main() -> ExitCode {
    Target { name: "rewriter", seeds: all_seeds, pieces: &PIECES, check }.main()
}

fn all_seeds() -> Vec<Vec<u8>> {
    [seeds::evil_texts(), seeds::modules()].concat()
}

const PIECES: [&str; 26] = [
    "(i32.const 0)",
    "(i32.const 65528)",
    "(i32.const -1)",
    "(i32.const 511)",
    "(local.get 0)",
    "(i64.store (local.get 0) (i64.const 7))",
    "(i64.store offset=4090 (i32.shl (local.get 0) (i32.const 9)) (i64.const -1))",
    "(i32.store8 (i32.const 1535) (i32.const 1))",
    "(v128.store (i32.const 4088) (v128.const i64x2 1 2))",
    "(memory.fill (i32.const 4000) (local.get 0) (i32.const 1000))",
    "(memory.copy (i32.const 9000) (i32.const 0) (i32.const 2000))",
    "(block ",
    "(loop ",
    "(br 0)",
    "(br_if 0 (local.get 0))",
    "(if (local.get 0) (then ",
    ")",
    "(drop ",
    "(unreachable)",
    "(return (i32.const 1))",
    "(global $g (mut i64) (i64.const 3))",
    "(global.set 3 (i64.const 9))",
    "(func (param i32) (result i32) (local.get 0))",
    "offset=65535",
    "1024",
    "(call 0 (local.get 0))",
];

fn check(input: &[u8]) -> Result<Ended, String> {
    let wasm = if input.starts_with(b"\0asm") || input.len() > TEXT_BYTES_MAX {
        input.to_vec()
    } else {
        match wat::parse_bytes(input) {
            Ok(wasm) => wasm.into_owned(),
            Err(_) => return Ok(Ended::Refused),
        }
    };
    let vetted = match vet(&wasm, &Limits::V1) {
        Ok(vetted) => vetted,
        Err(error) => return bounded(&error),
    };
    let mut ended = Ended::Refused;
    let mut want: Option<Seen> = None;
    // Fresh first: the module's own bytes, an instance a person.
    for tier in Tier::ALL.into_iter().rev().filter(|tier| vetted.can_run_in(*tier)) {
        let Some(found) = seen(&vetted, tier)? else { continue };
        ended = Ended::Taken;
        match &want {
            None => want = Some(found),
            // Marks use fuel: whoever ran out of it there need not here.
            Some(want) if want.out_of_fuel + found.out_of_fuel > 0 => {}
            Some(want) if want.outputs == found.outputs => {}
            Some(want) => {
                let (own, other) = (&want.outputs, &found.outputs);
                return Err(format!("`{tier}` gives {other:?}, the module itself {own:?}"));
            }
        }
    }
    Ok(ended)
}

struct Seen {
    outputs: Vec<PersonOutput>,
    out_of_fuel: u64,
}

/// What all persons give in a tier, which must be what they give there each in an instance of its own.
/// `None` when the module was built for other rows.
fn seen(vetted: &Vetted, tier: Tier) -> Result<Option<Seen>, String> {
    let compiled = match compile_in(vetted, tier) {
        Ok(compiled) => compiled,
        Err(error) if ["compile", "rewrite", "tier", "engine"].contains(&error.reason()) => {
            return Err(format!("vetted for `{tier}`, but: {error}"));
        }
        Err(_) => return Ok(None),
    };
    let Some(kept) = run(compiled.clone())? else { return Ok(None) };
    let Some(afresh) = run(compiled.afresh())? else { return Ok(None) };
    if kept.outputs != afresh.outputs || kept.out_of_fuel != afresh.out_of_fuel {
        let (kept, afresh) = (&kept.outputs, &afresh.outputs);
        return Err(format!(
            "`{tier}` gives {kept:?}, fresh instances of the same code {afresh:?}"
        ));
    }
    Ok(Some(kept))
}

fn run(compiled: Compiled) -> Result<Option<Seen>, String> {
    let shape = Shape::new(4, vec![ColumnKind::Int], 2).map_err(|error| error.to_string())?;
    let mut batch = PersonBatch::new(&shape);
    for values in PERSONS {
        let valid = vec![true; values.len()];
        let column = ColumnData::Int { values, valid: &valid };
        batch.push_person(values.len(), &[column]).map_err(|error| error.to_string())?;
    }
    let Ok(job) = Job::new(compiled, shape, FUEL) else { return Ok(None) };
    let mut job = job.compared_every(1);
    let mut outputs = Outputs::default();
    job.run_batch(&batch.persons(), &mut outputs).map_err(|error| error.to_string())?;
    Ok(Some(Seen { outputs: outputs.to_persons(), out_of_fuel: job.counters().out_of_fuel }))
}
