//! Attacks on the mathematics, through the pipeline that partners run: plan, charge, measure, noise,
//! release. Each theme is a file. A check that the honest node passes is also run against a node that
//! lacks one defence (`a25_...`), and must fail there; what cannot fail is no test.

/// Losses audited from outside.
mod audit;
/// The same where lanes are charged once, keys are private, or people are counted.
mod audit_groups;
/// Bounds on chances from counts.
mod chance;
/// Accounts and refunds.
mod ledger;
/// Caps, clamping, grid and canonical order left out.
mod mutants;
/// Random tables and random questions.
mod property;
/// Random questions as text.
mod questions;
/// What is seen outside on neighbouring data, on a virtual clock.
mod seen;
/// One small partner.
mod world;
