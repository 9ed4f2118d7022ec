//! What a module author links: columns of one person in; a few (index, value) pairs, or all values in order, out.
//!
//! Must never depend on anything, or reach outside its statics: the two buffers, and an [`Arena`] where the
//! author names one. The bytes are those of `sdk/sandbox/ABI.md`; [`person_map!`] writes the exports, the
//! author one safe function.
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
//!
//! Such a crate is `#![no_std]`, and most modules need no more. With the collections of `std` it is
//! [`person_map_std!`] and an [`Arena`] for its allocator.
#![no_std]

mod arena;
mod buffer;
mod columns;
mod output;
mod person_map;

pub use arena::Arena;
pub use buffer::{InputBuffer, OutputBuffer, ValueBuffer, bitmap_words, column_words, input_words};
pub use columns::{Code, Column, Float, Int};
pub use output::{Number, Output, Pair};

/// Version of the person-map interface that this crate speaks.
pub const ABI_VERSION: u32 = 1;
/// What a module returns when it has no contribution to give: the host takes the default one.
pub const DEFAULT_CONTRIBUTION: i32 = -1;

/// What a module says of the columns it was built for, by their [`Column::NUMBER`]s, and of its outputs
/// ([`Number::PAIRS`] or [`Number::IN_ORDER`]): the host refuses it over others. FNV-1a of 32 bits, never 0.
pub const fn signature(columns: &[u8], outputs: u8) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut at = 0;
    while at <= columns.len() {
        let byte = if at < columns.len() { columns[at] } else { outputs };
        hash = (hash ^ byte as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    if hash == 0 { 1 } else { hash }
}

/// Ends the run: the person gets the default contribution. Panics of a module come here.
#[cfg(target_arch = "wasm32")]
pub fn stop() -> ! {
    core::arch::wasm32::unreachable()
}
