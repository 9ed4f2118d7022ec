//! What a module author links: columns of one person in, a few (index, value) pairs out.
//!
//! Must never depend on anything, allocate, or reach outside the two static buffers.
//! The bytes are those of `sdk/sandbox/ABI.md`; [`person_map!`] writes the exports, the author one safe
//! function.
//!
//! ```
//! mod module {
//!     cloister_guest::person_map! {
//!         rows_max: 64,
//!         outputs_max: 1,
//!         columns: { town: Code, distance_m: Float },
//!         map: longest,
//!     }
//!
//!     /// The length of the longest trip, whole metres.
//!     fn longest(person: &Person<'_>, out: &mut cloister_guest::Output<'_>) {
//!         let metres = person.distance_m.iter().flatten().fold(0.0, f64::max);
//!         out.emit(0, metres as i64);
//!     }
//! }
//! # fn main() {}
//! ```
#![no_std]

mod buffer;
mod columns;
mod output;
mod person_map;

pub use buffer::{InputBuffer, OutputBuffer, bitmap_words, column_words, input_words};
pub use columns::{Code, Column, Float, Int};
pub use output::{Output, Pair};

/// Version of the person-map interface that this crate speaks.
pub const ABI_VERSION: u32 = 1;
/// What a module returns when it has no contribution to give: the host takes the default one.
pub const DEFAULT_CONTRIBUTION: i32 = -1;

/// Ends the run: the person gets the default contribution. Panics of a module come here.
#[cfg(target_arch = "wasm32")]
pub fn stop() -> ! {
    core::arch::wasm32::unreachable()
}
