//! The data path from files to noised lanes: sources, caps, sums, modules, noise. Each test builds its
//! own small partner on disk; nothing here may depend on time, on chance without a seed, or on order.
#![cfg(feature = "for-tests")]

mod caps;
mod local_reports;
mod modules;
mod sample_data;
mod sources;
mod sums;
mod world;
