//! Runs untrusted person-map modules: one person's rows in, a bounded number of integers out.
//!
//! Must never let anything of one person reach another, nor let a module see a clock, randomness,
//! a file, or how much fuel is left. What a module returns is raw: the node bounds, sums and noises it.
//!
//! The files, in the order in which data flows ([`ABI.md`](../ABI.md) is the contract with modules):
//! - [`limits`]: every number that bounds a module or a job
//! - `vet_error`: the named reasons for refusing a module
//! - `body`: the limits on one function's code
//! - [`vet()`]: bytes of a module -> [`Vetted`], or a named reason
//! - [`shape`]: row cap, columns and outputs -> where each value lies in the module's buffers
//! - [`batch`]: the node's rows -> [`PersonBatch`]
//! - [`engine`]: [`Vetted`] -> [`Compiled`]
//! - [`job`]: one person at a time through a fresh instance
//! - `watchdog`: stops a job that hangs
//! - [`frames`]: what travels between client and worker
//! - [`worker`]: the side that holds the engine
//! - [`client`]: [`Runner`], the node's side

pub mod batch;
mod body;
pub mod client;
pub mod engine;
pub mod frames;
#[cfg(test)]
mod hostile_frames;
pub mod job;
pub mod limits;
pub mod shape;
pub mod vet;
mod vet_error;
mod watchdog;
pub mod worker;

pub use batch::{BatchError, ColumnData, PersonBatch};
pub use client::{Runner, RunnerError};
pub use engine::{CompileError, Compiled, compile};
pub use frames::{Counters, FrameError, Pair, PersonOutput, Refusal, Setup};
pub use limits::{Limit, Limits};
pub use shape::{ColumnKind, Shape, ShapeError};
pub use vet::{VetError, Vetted, vet};
