//! A partner's node: keeps its records at home, checks everything itself, and lets only charged,
//! noised integers out. Nothing here may run on the coordinator's word, read a record before its
//! charge is durable, or let a figure out that was never charged.
//!
//! The modules stand in the order in which data flows; the types hold that order:
//! `admit` -> [`admit::Admitted`] -> [`ledger::Ledger::charge`] -> [`ledger::Charge`] -> measure ->
//! `Exact` -> noise -> `Noised` -> [`ledger::Ledger::release`] -> [`ledger::Release`].

/// The whole admission; reads no record.
pub mod admit;
/// Bounded contributions -> exact sums, which never leave their type.
pub mod aggregate;
/// The agreement, opened only with every party's signature.
pub mod agreement;
/// One partner alone: the same gate, ledger and pipeline without a coordinator.
pub mod alone;
/// Raw contributions -> bounded ones.
pub mod bound;
/// The partner's tables as the dictionary's datasets.
pub mod catalog;
/// A report on the quality of the mapped data, for the steward alone.
pub mod check_data;
/// The command line of `cloister-node`.
pub mod cli;
/// `node.toml`, every key explained in the shipped sample.
pub mod config;
/// One person's rows -> raw contributions.
pub mod contribute;
/// A draft of dictionary and mapping from files, for the steward alone.
pub mod describe;
/// A plan's expressions over columns.
pub mod evaluate;
/// What goes wrong after a charge; stays inside the node.
pub mod fault;
/// Agreements, keys and signed analyses for tests.
#[cfg(feature = "for-tests")]
pub mod fixtures;
/// Accounts, charges, releases, grants and the hash-chained journal.
pub mod ledger;
/// Scan, contribute, bound and aggregate in one.
pub mod measure;
/// The same for plain SQL over rows in any order, with numbers dealt out in place of rows sorted.
mod measure_dealt;
/// The same over rows that lie person by person already, without a sort.
mod measure_standing;
/// Bits mixed, for tables and piles.
mod mix;
/// What a module says of itself, for its author.
pub mod module_facts;
/// Whether a module can answer a plan.
pub mod module_fit;
/// A module's fuel as time.
pub mod module_fuel;
/// What a module can name and write, in words.
pub mod module_words;
/// Defences left out on purpose, for the tests that must miss them.
#[cfg(feature = "for-tests")]
pub mod mutant;
/// Exact sums and their charge -> noised lanes.
pub mod noise;
/// Groups of lanes that are charged once.
pub mod one_of;
/// A federation played at one desk, for dry runs over made-up records.
pub mod played;
/// Private keys of cells, and sums by them.
pub mod private_cells;
/// One person's rows of several tables -> the rows that a plan's relation makes of them.
pub mod relate;
/// What admission found of documents before.
pub mod remembered;
/// Canonical bytes of rows and units.
pub mod row_bytes;
/// One run: charge, measure, noise, release, wait for the slot.
pub mod run;
/// A fair sample of one person's rows.
pub mod sample;
/// Rows of a plan, one person contiguous.
pub mod scan;
/// The QUIC loop: offers, runs, reports.
pub mod serve;
/// When an answer may leave.
pub mod slot;
/// From configuration and keys to a node that serves.
pub mod start;
/// The state folder: keys, certificate, ledger file.
pub mod state;
/// What happened to one person, for diagnostics.
pub mod told;
/// What one person's rows may cost to work out.
pub mod work;

/// Call first in the `main` of every program that runs a node: it is its own module worker.
pub use cloister_sandbox::worker_main_if_asked;
