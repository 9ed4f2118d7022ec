//! The coordinator: it keeps signed documents, shows them to the people they concern, pushes
//! approved runs to the nodes over the nodes' own connections, and verifies and gathers what they
//! release. It holds no key that could approve, grant or release, and no code that reads records or
//! samples noise.

/// The command line.
mod cli;
/// Adding up what nodes released.
pub mod combine;
/// The coordinator's folder and its one configuration file.
pub mod config;
/// Pushing offers and runs to nodes, and taking in what they report.
pub mod dispatch;
/// Nodes that are connected now, and how to wake those who watch.
pub mod hub;
/// Which documents are taken in, and from whom.
pub mod intake;
/// Stored documents that were opened and checked once.
mod opened;
/// Connections: who may say what.
pub mod serve;
/// What is kept, in SQLite.
pub mod store;

pub use cli::main;
