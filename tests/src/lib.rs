//! What the tests, the benches and the example of this package share: a study of four partners with
//! real keys and documents, a coordinator on loopback with scripted nodes or with real ones, and the
//! coverage of intervals. Never a dependency of anything that is shipped, and never kinder to our code
//! than the network is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

/// Four partners' tables and two questions over them.
pub mod cohort;
/// How often intervals hold.
pub mod coverage;
/// A coordinator on loopback, and who talks to it.
pub mod hub;
/// The same with nodes that serve.
pub mod live;
/// Tables of the developer data's schemas, made up.
pub mod made_up;
/// The questions of the developer data's README.
pub mod readme;
/// Nodes that do as they are told.
pub mod scripted;
/// Four partners, an approved analysis, a request and releases.
pub mod study;
/// Ten nodes of three partners, and plain SQL over them all.
pub mod ten;
/// Rows of the fixtures' dataset as CSV.
pub mod trips;

pub use cloister_node::fixtures;
