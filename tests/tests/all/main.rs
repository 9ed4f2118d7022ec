//! Tests across crates, in one binary so that the stack is linked once. No test here knows a secret
//! that a party in its place would not have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod arrows;
mod attack;
mod bundle;
mod coordinator;
mod coverage;
mod dates;
mod governance;
mod hostile;
mod membership;
mod people;
mod shipped;
mod ten_coverage;
mod ten_nodes;
mod tidy;
mod workspace;
