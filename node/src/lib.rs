//! A partner's node: keeps its records at home, checks everything itself, and lets only charged,
//! noised integers out. Nothing here may run on the coordinator's word, read a record before its
//! charge is durable, or let a figure out that was never charged.
//!
//! The modules stand in the order in which data flows; the types hold that order:
//! `admit` -> [`admit::Admitted`] -> [`ledger::Ledger::charge`] -> [`ledger::Charge`] -> measure ->
//! `Exact` -> noise -> `Noised` -> [`ledger::Ledger::release`] -> [`ledger::Release`].

/// `node.toml`, every key explained in the shipped sample.
pub mod config;
/// The state folder: keys, certificate, ledger file.
pub mod state;
/// The agreement, opened only with every party's signature.
pub mod agreement;
/// The whole admission; reads no record.
pub mod admit;
/// Accounts, charges, releases, grants and the hash-chained journal.
pub mod ledger;
/// The partner's tables as the dictionary's datasets.
pub mod catalog;
/// A draft of dictionary and mapping from files, for the steward alone.
pub mod describe;
/// A report on the quality of the mapped data, for the steward alone.
pub mod check_data;
/// A plan's expressions over columns.
pub mod evaluate;
/// Rows of a plan, one person contiguous.
pub mod scan;
/// Canonical bytes of rows and units.
pub mod row_bytes;
/// One person's rows -> raw contributions.
pub mod contribute;
/// Raw contributions -> bounded ones.
pub mod bound;
/// Bounded contributions -> exact sums, which never leave their type.
pub mod aggregate;
/// Scan, contribute, bound and aggregate in one.
pub mod measure;
/// Exact sums and their charge -> noised lanes.
pub mod noise;
/// What goes wrong after a charge; stays inside the node.
pub mod fault;
/// When an answer may leave.
pub mod slot;
/// One run: charge, measure, noise, release, wait for the slot.
pub mod run;
/// The QUIC loop: offers, runs, reports.
pub mod serve;
/// From configuration and keys to a node that serves.
pub mod start;
/// The command line of `cloister-node`.
pub mod cli;
/// Agreements, keys and signed analyses for tests.
#[cfg(feature = "for-tests")]
pub mod fixtures;
