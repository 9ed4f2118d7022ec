//! The data path from files to noised lanes: sources, caps, sums, modules, noise. Each test builds its
//! own small partner on disk; nothing here may depend on time, on chance without a seed, or on order.
#![cfg(feature = "for-tests")]
// The lints spare test functions only; what they call is test code as well.
#![allow(clippy::unwrap_used, clippy::panic)]

mod caps;
mod column_types;
mod composites;
mod local_reports;
mod modules;
mod sample_data;
mod sources;
mod sums;
mod world;
