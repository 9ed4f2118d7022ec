//! One person's rows become raw contributions, by SQL or by a module. Nothing here is trusted to
//! keep a bound: that is the next stage's work, and only its results are summed.
//!
//! - `domain`: positions in public domains
//! - `sql`: cells and lanes of rows
//! - `module`: canonical rows to the sandbox and its outputs back

pub mod domain;
pub mod module;
pub mod sql;
