//! The server's table of live connections, and the sweep that closes those whose certificate was
//! revoked or has expired. A connection that is not in this table was never handed out.

use crate::{
    connection::CloseReason,
    identity::{PeerIdentity, Serial},
    limits::{CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX},
    revocation::RevocationList,
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
pub(crate) struct Live {
    table: Mutex<HashMap<usize, Entry>>,
}

#[derive(Debug)]
struct Entry {
    serial: Serial,
    not_after_s: u64,
    quic: quinn::Connection,
}

impl Live {
    pub(crate) fn is_full(&self) -> bool {
        self.table().len() >= CONNECTIONS_MAX
    }

    /// Enters a verified connection, or says why not.
    pub(crate) fn enter(
        &self,
        peer: &PeerIdentity,
        quic: &quinn::Connection,
    ) -> Result<(), CloseReason> {
        let mut table = self.table();
        let same = table.values().filter(|entry| entry.serial == peer.serial()).count();
        if same >= CONNECTIONS_PER_PEER_MAX || table.len() >= CONNECTIONS_MAX {
            return Err(CloseReason::TooMany);
        }
        let entry =
            Entry { serial: peer.serial(), not_after_s: peer.not_after_s(), quic: quic.clone() };
        table.insert(quic.stable_id(), entry);
        Ok(())
    }

    pub(crate) fn leave(&self, quic: &quinn::Connection) {
        self.table().remove(&quic.stable_id());
    }

    /// Closes every connection that has lost its right by `now_s` (unix seconds).
    pub(crate) fn sweep(&self, revocations: &RevocationList, now_s: u64) {
        self.table().retain(|_, entry| {
            let reason = if revocations.is_revoked(entry.serial) {
                CloseReason::Revoked
            } else if now_s > entry.not_after_s {
                CloseReason::Expired
            } else {
                return true;
            };
            tracing::warn!(serial = %entry.serial, %reason, "live connection closed");
            entry.quic.close(reason.code(), b"");
            false
        });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<usize, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
