//! A first draft of dictionary and mapping from a partner's files, for the steward to correct. It is
//! read off the data, so every line says "please confirm", and none may enter an agreement unread:
//! a bound or domain that follows the data tells of it.
//!
//! - `observe`: files -> what each column holds
//! - `draft`: that -> suggestions, as TOML

pub mod draft;
pub mod observe;

pub use draft::{Draft, describe};
pub use observe::DescribeError;
