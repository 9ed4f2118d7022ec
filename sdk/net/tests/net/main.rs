//! The transport as its enemies meet it: every test runs a real server on loopback, under a clock
//! that the test turns. Nothing here may assert how long anything took.

// What the tests share stands outside `#[test]` functions and may fail as loudly as they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod enrolment;
mod faults;
mod frames;
mod peers;
mod revocation;
mod world;
