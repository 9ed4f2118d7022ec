//! Runs untrusted person-map modules: one person's rows in, a bounded number of integers out.
//!
//! Must never let anything of one person reach another, nor let a module see a clock, randomness,
//! a file, or how much fuel is left. What a module returns is raw: the node bounds, sums and noises it.
//!
//! The files, in the order in which data flows ([`ABI.md`](../ABI.md) is the contract with modules):
//! - [`limits`]: every number that bounds a module or a job
//! - `vet_error`: the named reasons for refusing a module
//! - `body`: the limits on one function's code
//! - `writes`: what the code can write
//! - [`vet()`]: bytes of a module -> [`Vetted`], or a named reason
//! - [`outline`]: what a vetted module shows of itself, for its author
//! - [`tier`]: what must be undone after each person, chosen from what the code can write
//! - `rewrite`: [`Vetted`] -> the same module with marks before its writes
//! - `recheck`: the rewritten bytes, read as if a stranger had written them
//! - [`shape`]: row cap, columns and outputs -> where each value lies in the module's buffers
//! - [`batch`]: the node's rows -> [`PersonBatch`]
//! - `persons`: a batch, checked once and then sliced
//! - [`engine`]: [`Vetted`] -> [`Compiled`]
//! - `image`: memory and globals as they must stand before each person
//! - `live`: one instance
//! - [`job`]: one person at a time, and the restore after each
//! - `outputs`: what a batch gave
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
mod image;
pub mod isolation;
pub mod job;
pub mod limits;
mod live;
pub mod outline;
mod outputs;
mod persons;
mod precompiled;
pub mod process;
mod recheck;
mod rewrite;
pub mod shape;
#[cfg(target_os = "linux")]
mod system_calls;
pub mod tier;
pub mod vet;
mod vet_error;
pub mod worker;
mod writes;

pub use batch::{BatchError, ColumnData, PersonBatch};
pub use cache::CompileCache;
pub use client::{Runner, RunnerError, Starting, WorkerKind, Workers};
pub use engine::{CompileError, Compiled, compile, compile_in};
pub use frames::{Counters, FrameError, Refusal, Setup};
pub use isolation::Protections;
pub use job::{Job, JobError};
pub use limits::{Limit, Limits};
pub use outline::Outline;
pub use outputs::{Outputs, Pair, PersonOutput};
pub use persons::Persons;
#[cfg(feature = "for-tests")]
pub use precompiled::{Artefact, compile_again};
pub use process::{WorkerLease, WorkerProgram, worker_main, worker_main_if_asked};
pub use rewrite::RewriteError;
pub use shape::{ColumnKind, DenseNumbers, OutputLayout, Shape, ShapeError};
pub use tier::Tier;
pub use vet::{VetError, Vetted, vet};
