//! Prints how often the 95 % intervals hold the exact figure: the bounded one of the tour's questions,
//! and plain SQL's of Q1 to Q3 of the developer data's README over ten nodes. Of made-up people, or of
//! the developer data. Ends with status 1 when they do not.
//!
//! `cargo run -p cloister-tests --example coverage [-- DATA_FOLDER]`
#![allow(clippy::unwrap_used, reason = "test code")]

use cloister_tests::{cohort, coverage, ten};
use std::path::Path;
use std::process::ExitCode;

/// People at each partner, as in the tour.
const PEOPLE: u32 = 2_000;
/// Intervals aimed at, each question.
const INTERVALS: usize = 20_000;
const SEED: u64 = 7;

#[tokio::main]
async fn main() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let (cohort, ten) = match std::env::args().nth(1) {
        Some(data) => (cohort::mobility(Path::new(&data)), ten::Ten::over(Path::new(&data)).await),
        None => (cohort::made_up(PEOPLE, folder.path()), ten::Ten::made_up(SEED).await),
    };
    let mut covered = coverage::of(&cohort, INTERVALS, SEED).await;
    covered.extend(ten::covered(&ten, INTERVALS, SEED).await);
    let ten = ten.with_private_countries();
    covered.push(ten::covered_in_two_rounds(&ten, INTERVALS, SEED).await);
    for coverage in &covered {
        println!("{coverage}");
    }
    let (from, to) = (100.0 * coverage::SHARES.start(), 100.0 * coverage::SHARES.end());
    println!("promised: {from} to {to} % of at least {} intervals", coverage::INTERVALS_MIN);
    match covered.iter().all(coverage::Coverage::is_as_promised) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
