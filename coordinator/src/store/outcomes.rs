//! What nodes answered, written together: whoever comes while another commit is under way joins the
//! next one, so that a thousand answers at once cost a few commits and not a thousand. Each caller
//! returns when its own answer is on disk, and never before.

use super::runs::move_forward;
use super::{RunState, Store, StoreError};
use cloister_terms::{Digest, Name};
use rusqlite::{Connection, TransactionBehavior};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Outcomes that nobody has written yet.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Vec<Outcome>>);

#[derive(Debug)]
struct Outcome {
    request: Digest,
    node: Name,
    state: RunState,
    written: Arc<OnceLock<Result<bool, StoreError>>>,
}

impl Waiting {
    fn push(&self, outcome: Outcome) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
    }

    fn take(&self) -> Vec<Outcome> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store {
    /// Moves one node's state forward; whether it changed. Marks the run done when all are final. On
    /// disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]: neither this outcome nor those written with it are there.
    pub fn set_outcome(
        &self,
        request: Digest,
        node: &Name,
        state: &RunState,
    ) -> Result<bool, StoreError> {
        let written = Arc::new(OnceLock::new());
        let (node, state) = (node.clone(), state.clone());
        self.waiting.push(Outcome { request, node, state, written: Arc::clone(&written) });
        let mut connection = self.lock();
        if written.get().is_none() {
            // Outcomes are taken under this lock alone, so this one is still among them.
            write(&mut connection, &self.waiting.take());
        }
        drop(connection);
        // Whoever took it and did not come to the end wrote nothing.
        written.get().cloned().unwrap_or_else(|| Err(rusqlite::Error::UnwindingPanic.into()))
    }
}

/// Writes all of them in one transaction and tells each what came of it.
fn write(connection: &mut Connection, outcomes: &[Outcome]) {
    match write_all(connection, outcomes) {
        Ok(changed) => outcomes.iter().zip(changed).for_each(|(outcome, changed)| {
            let _ = outcome.written.set(Ok(changed));
        }),
        Err(error) => outcomes.iter().for_each(|outcome| {
            let _ = outcome.written.set(Err(error.clone()));
        }),
    }
}

fn write_all(connection: &mut Connection, outcomes: &[Outcome]) -> Result<Vec<bool>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let moved = outcomes
        .iter()
        .map(|outcome| move_forward(&transaction, outcome.request, &outcome.node, &outcome.state));
    let changed = moved.collect::<Result<Vec<_>, _>>()?;
    if changed.contains(&true) {
        transaction.commit()?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RunPut;
    use cloister_terms::{DOCUMENT_VERSION, Nonce, RunRequest};
    use cloister_wire::message::NodeState;

    const REQUEST: Digest = Digest::new([2; 32]);

    fn with_run(nodes: &[Name]) -> Store {
        let store = Store::in_memory().unwrap();
        // What the documents say is no matter here.
        store.lock().execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let asked = RunRequest {
            version: DOCUMENT_VERSION,
            researcher: "ada".parse().unwrap(),
            analysis: Digest::new([1; 32]),
            approvals: vec![],
            round: 1,
            parameters: Digest::new([0; 32]),
            releases_used: vec![],
            requested_at_s: 0,
            nonce: Nonce::new([3; 16]),
        };
        let put = store.put_run(REQUEST, &asked, b"request", nodes, 0).unwrap();
        assert_eq!(put, RunPut::Stored);
        store
    }

    fn names(count: usize) -> Vec<Name> {
        (0..count).map(|number| format!("node-{number:03}").parse().unwrap()).collect()
    }

    #[test]
    fn answers_that_come_all_at_once_are_all_there_when_each_is_told_so() {
        let nodes = names(64);
        let store = with_run(&nodes);
        std::thread::scope(|scope| {
            for node in &nodes {
                let store = store.clone();
                scope.spawn(move || {
                    let release = node.as_str().as_bytes().to_vec();
                    let state = RunState::Released(release.clone());
                    assert!(store.set_outcome(REQUEST, node, &state).unwrap());
                    let run = store.run(REQUEST).unwrap().unwrap();
                    assert!(run.releases.contains(&release), "told before it was written");
                    assert!(!store.set_outcome(REQUEST, node, &state).unwrap(), "moves once");
                });
            }
        });
        let run = store.run(REQUEST).unwrap().unwrap();
        assert!(run.progress.done);
        assert!(run.progress.nodes.iter().all(|(_, state)| *state == NodeState::Released));
    }

    #[test]
    fn a_store_that_fails_tells_every_one_who_waited_and_keeps_none_of_them() {
        let nodes = names(2);
        let store = with_run(&nodes);
        store.lock().execute_batch("ALTER TABLE runs RENAME TO lost").unwrap();
        let withheld = RunState::Plain(NodeState::Withheld);
        let outcome = |node: &Name| Outcome {
            request: REQUEST,
            node: node.clone(),
            state: withheld.clone(),
            written: Arc::default(),
        };
        let outcomes: Vec<Outcome> = nodes.iter().map(outcome).collect();
        write(&mut store.lock(), &outcomes);
        assert!(outcomes.iter().all(|of| matches!(of.written.get(), Some(Err(_)))));
        store.lock().execute_batch("ALTER TABLE lost RENAME TO runs").unwrap();
        let run = store.run(REQUEST).unwrap().unwrap();
        assert!(run.progress.nodes.iter().all(|(_, state)| *state == NodeState::Away));
        store.lock().execute_batch("ALTER TABLE outcomes RENAME TO lost").unwrap();
        assert!(store.set_outcome(REQUEST, &nodes[0], &withheld).is_err());
        store.lock().execute_batch("ALTER TABLE lost RENAME TO outcomes").unwrap();
        assert!(store.set_outcome(REQUEST, &nodes[0], &withheld).unwrap());
    }
}
