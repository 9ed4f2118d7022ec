//! Where the time comes from: a value handed in, so that tests turn it. Nothing in this crate may
//! read the wall clock past this trait (deadlines of network waits are tokio's).

use std::{
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};

/// Wall-clock time.
pub trait Clock: Send + Sync + Debug + 'static {
    /// Seconds since 1970-01-01T00:00:00Z.
    fn now_unix_s(&self) -> u64;
}

/// The machine's clock. A clock set before 1970 reads 0: every certificate is then not yet valid.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_unix_s(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
