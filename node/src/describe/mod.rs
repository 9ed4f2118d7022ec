//! A first draft of dictionary and mapping from a partner's files, for the steward to correct. It is
//! read off the data, so every line says "please confirm", and none may enter an agreement unread:
//! a bound or domain that follows the data tells of it. What only a few persons have is left out.
//!
//! - `observe`: files -> what each column holds
//! - `shared`: files, and who names persons -> what enough of them share
//! - `draft`: that -> suggestions, as TOML

pub mod draft;
pub mod observe;
mod shared;

pub use draft::{Draft, describe};
pub use observe::DescribeError;
