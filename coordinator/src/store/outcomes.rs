//! What nodes answered, written together: whoever comes while another commit is under way joins the
//! next one, so that a thousand answers at once cost a few commits and not a thousand. Each caller
//! returns when its own answer is on disk, and never before.

use super::runs::move_forward;
use super::{Moved, RunState, Store, StoreError};
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
    written: Arc<OnceLock<Result<Moved, StoreError>>>,
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
    /// Moves one node's state forward. Marks the run done when all are final. On disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]: this outcome is not there.
    pub fn set_outcome(
        &self,
        request: Digest,
        node: &Name,
        state: &RunState,
    ) -> Result<Moved, StoreError> {
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

/// Writes all of them in one transaction and tells each what came of it. One that cannot be written
/// must not keep the others back: then each is tried alone.
fn write(connection: &mut Connection, outcomes: &[Outcome]) {
    let tell = |outcome: &Outcome, moved| {
        let _ = outcome.written.set(moved);
    };
    match write_all(connection, outcomes) {
        Ok(moved) => outcomes.iter().zip(moved).for_each(|(one, moved)| tell(one, Ok(moved))),
        Err(_) => outcomes.iter().for_each(|one| {
            let alone = write_all(connection, std::slice::from_ref(one));
            let moved = alone.map(|moved| moved.first().copied().unwrap_or(Moved::Unknown));
            tell(one, moved);
        }),
    }
}

fn write_all(connection: &mut Connection, outcomes: &[Outcome]) -> Result<Vec<Moved>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let moved = outcomes
        .iter()
        .map(|outcome| move_forward(&transaction, outcome.request, &outcome.node, &outcome.state));
    let moved = moved.collect::<Result<Vec<_>, _>>()?;
    if moved.contains(&Moved::Forward) {
        transaction.commit()?;
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RunPut;
    use cloister_terms::{DOCUMENT_VERSION, Nonce, RunRequest};
    use cloister_wire::message::NodeState;

    const REQUEST: Digest = Digest::new([2; 32]);
    const OTHER: Digest = Digest::new([5; 32]);

    fn with_run(nodes: &[Name]) -> Store {
        let store = Store::in_memory().unwrap();
        // What the documents say is no matter here.
        store.lock().execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        put(&store, REQUEST, nodes);
        store
    }

    fn put(store: &Store, request: Digest, nodes: &[Name]) {
        let asked = RunRequest {
            version: DOCUMENT_VERSION,
            researcher: "ada".parse().unwrap(),
            analysis: Digest::new([1; 32]),
            approvals: vec![],
            round: 1,
            parameters: Digest::new([0; 32]),
            releases_used: vec![],
            requested_at_s: 0,
            nonce: Nonce::new([request.as_bytes()[0]; 16]),
        };
        let put = store.put_run(request, &asked, b"request", nodes, 0).unwrap();
        assert_eq!(put, RunPut::Stored);
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
                    assert_eq!(store.set_outcome(REQUEST, node, &state).unwrap(), Moved::Forward);
                    let run = store.run(REQUEST).unwrap().unwrap();
                    assert!(run.releases.contains(&release), "told before it was written");
                    let again = store.set_outcome(REQUEST, node, &state).unwrap();
                    assert_eq!(again, Moved::Not, "moves once");
                });
            }
        });
        let run = store.run(REQUEST).unwrap().unwrap();
        assert!(run.progress.done);
        assert!(run.progress.nodes.iter().all(|(_, state)| *state == NodeState::Released));
    }

    #[test]
    fn one_that_cannot_be_written_keeps_no_other_back_and_is_told_so() {
        let nodes = names(1);
        let store = with_run(&nodes);
        put(&store, OTHER, &nodes);
        let damage = format!("UPDATE outcomes SET state = 'torn' WHERE request = '{REQUEST}'");
        store.lock().execute_batch(&damage).unwrap();
        let outcome = |request| Outcome {
            request,
            node: nodes[0].clone(),
            state: RunState::Plain(NodeState::Withheld),
            written: Arc::default(),
        };
        let outcomes = [outcome(OTHER), outcome(REQUEST)];
        write(&mut store.lock(), &outcomes);
        let told = outcomes.each_ref().map(|of| of.written.get().unwrap().clone());
        assert!(matches!(told, [Ok(Moved::Forward), Err(_)]), "{told:?}");
        assert!(store.run(OTHER).unwrap().unwrap().progress.done);
        store.lock().execute_batch("ALTER TABLE outcomes RENAME TO lost").unwrap();
        let withheld = RunState::Plain(NodeState::Withheld);
        assert!(store.set_outcome(REQUEST, &nodes[0], &withheld).is_err());
        store.lock().execute_batch("ALTER TABLE lost RENAME TO outcomes").unwrap();
    }

    #[test]
    fn an_answer_to_a_run_that_is_not_there_is_not_said_to_be_taken() {
        let nodes = names(2);
        let store = with_run(&nodes[..1]);
        let withheld = RunState::Plain(NodeState::Withheld);
        let other = Digest::new([9; 32]);
        assert_eq!(store.set_outcome(other, &nodes[0], &withheld).unwrap(), Moved::Unknown);
        assert_eq!(store.set_outcome(REQUEST, &nodes[1], &withheld).unwrap(), Moved::Not);
    }
}
