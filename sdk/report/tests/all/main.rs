//! The crate through its public interface, in one binary: what a reader sees, and how often intervals
//! hold. Nothing here draws noise with production code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod across;
mod answers;
mod computed;
mod coverage;
mod figures;
mod people;
mod support;
