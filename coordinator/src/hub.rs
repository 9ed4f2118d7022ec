//! Nodes that are connected now, how far unfinished runs have come, and how to wake those who watch.
//! In memory only: whatever is lost with the process is rebuilt when nodes dial in again, so that a
//! run costs the store one write a node and no more.

use cloister_net::{CloseReason, Connection};
use cloister_terms::{Digest, Name};
use cloister_wire::message::{NodeState, RunProgress};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Live connections by node, and a counter that moves with every change of any run.
#[derive(Debug)]
pub struct Hub {
    nodes: Mutex<HashMap<Name, (u64, Connection)>>,
    next: std::sync::atomic::AtomicU64,
    steps: Mutex<HashMap<(Digest, Name), NodeState>>,
    turns: Mutex<HashMap<Name, Turn>>,
    changes: watch::Sender<u64>,
}

/// Whoever holds it may offer something to a node.
pub type Turn = Arc<tokio::sync::Mutex<()>>;

impl Default for Hub {
    fn default() -> Self {
        let changes = watch::Sender::new(0);
        Self {
            nodes: Mutex::default(),
            next: std::sync::atomic::AtomicU64::new(1),
            steps: Mutex::default(),
            turns: Mutex::default(),
            changes,
        }
    }
}

impl Hub {
    /// Takes in a node's connection and returns its ticket. A second live connection of one name
    /// takes the place of the first, which is told so. A node whose line broke dials again and
    /// never hears this on the connection that it has given up; one that does hear it knows that
    /// another process uses its certificate.
    pub fn join(&self, node: &Name, connection: Connection) -> u64 {
        let ticket = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let old = self.lock().insert(node.clone(), (ticket, connection));
        if let Some((_, old)) = old
            && old.close_reason().is_none()
        {
            tracing::warn!(%node, "connected again before its last connection ended, which is closed; if the node says that another machine took its place, stop one of the two");
            old.close(CloseReason::Displaced);
        }
        ticket
    }

    /// Forgets the connection of `ticket`; whether it was still the node's current one.
    pub fn leave(&self, node: &Name, ticket: u64) -> bool {
        let mut nodes = self.lock();
        let is_current = nodes.get(node).is_some_and(|(current, _)| *current == ticket);
        if is_current {
            nodes.remove(node);
        }
        is_current
    }

    /// The live connection of a node.
    pub fn node(&self, node: &Name) -> Option<Connection> {
        self.lock().get(node).map(|(_, connection)| connection.clone())
    }

    /// Offers go to a node one after the other: what was read from the store first must not arrive last.
    pub fn turn(&self, node: &Name) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(node.clone()).or_default())
    }

    /// Notes that a request was sent to, or admitted by, a node. Admitted it stays, whatever becomes of
    /// another push: the node has it.
    pub fn step(&self, request: Digest, node: &Name, state: NodeState) {
        {
            let mut steps = self.lock_steps();
            let step = steps.entry((request, node.clone())).or_insert(state);
            if *step != NodeState::Admitted {
                *step = state;
            }
        }
        self.changed();
    }

    /// Whether a node said that it admitted a request.
    pub fn is_admitted(&self, request: Digest, node: &Name) -> bool {
        self.lock_steps().get(&(request, node.clone())) == Some(&NodeState::Admitted)
    }

    /// `progress` as stored, with the steps of nodes that have not answered yet.
    pub fn with_steps(&self, request: Digest, mut progress: RunProgress) -> RunProgress {
        let steps = self.lock_steps();
        for (node, state) in &mut progress.nodes {
            if *state == NodeState::Away
                && let Some(step) = steps.get(&(request, node.clone()))
            {
                *state = *step;
            }
        }
        progress
    }

    /// Forgets the steps of a run that is done.
    pub fn forget(&self, request: Digest) {
        self.lock_steps().retain(|(of, _), _| *of != request);
    }

    /// Wakes everyone who watches.
    pub fn changed(&self) {
        self.changes.send_modify(|counter| *counter = counter.wrapping_add(1));
    }

    /// Follows changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock_steps(&self) -> MutexGuard<'_, HashMap<(Digest, Name), NodeState>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, (u64, Connection)>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
