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
//! - `precompiled`: machine code with a label, loaded instead of compiled
//! - [`cache`]: machine code kept between runs, authenticated
//! - [`frames`]: what travels between client and worker
//! - [`isolation`]: what a worker process gives up; `system_calls`: its seccomp filters
//! - [`worker`]: the side that holds the engine
//! - [`process`]: the worker as a process of its own
//! - [`client`]: [`Workers`] and [`Runner`], the node's side

pub mod batch;
mod body;
pub mod cache;
pub mod client;
pub mod engine;
pub mod frames;
#[cfg(test)]
mod hostile_frames;
pub mod isolation;
pub mod job;
pub mod limits;
mod precompiled;
pub mod process;
pub mod shape;
#[cfg(target_os = "linux")]
mod system_calls;
pub mod vet;
mod vet_error;
mod watchdog;
pub mod worker;

pub use batch::{BatchError, ColumnData, PersonBatch};
pub use cache::CompileCache;
pub use client::{Runner, RunnerError, WorkerKind, Workers};
pub use engine::{CompileError, Compiled, compile};
pub use frames::{Counters, FrameError, Pair, PersonOutput, Refusal, Setup};
pub use isolation::Protections;
pub use limits::{Limit, Limits};
pub use process::{WorkerProgram, worker_main, worker_main_if_asked};
pub use shape::{ColumnKind, Shape, ShapeError};
pub use vet::{VetError, Vetted, vet};
