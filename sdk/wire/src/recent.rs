//! What was found of documents before, by digest. What a document says never changes under its
//! digest, so what follows from its bytes alone need not be worked out each time it is handed in.
//! It must never hold what follows from anything else: a clock, votes to come, or a store.

use cloister_terms::Digest;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The values of at most `most` digests; the one not asked for the longest goes first.
#[derive(Debug)]
pub struct Recent<V> {
    most: usize,
    /// The latest at the back. Few enough to be looked through.
    kept: Mutex<VecDeque<(Digest, Arc<V>)>>,
}

impl<V> Recent<V> {
    /// An empty memory for `most` values.
    pub const fn new(most: usize) -> Self {
        Self { most, kept: Mutex::new(VecDeque::new()) }
    }

    /// The value of `digest`, if it is remembered.
    pub fn get(&self, digest: Digest) -> Option<Arc<V>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(of, _)| *of == digest)?;
        let found = kept.remove(place)?;
        let value = Arc::clone(&found.1);
        kept.push_back(found);
        Some(value)
    }

    /// Remembers the value of `digest`, in place of an earlier one.
    pub fn put(&self, digest: Digest, value: Arc<V>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, _)| *of != digest);
        while kept.len() >= self.most {
            if kept.pop_front().is_none() {
                return;
            }
        }
        kept.push_back((digest, value));
    }

    /// The value of `digest`, as remembered or as `find` finds it now. What fails is not remembered.
    ///
    /// # Errors
    /// What `find` says.
    pub fn or_find<E>(
        &self,
        digest: Digest,
        find: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        if let Some(known) = self.get(digest) {
            return Ok(known);
        }
        let value = Arc::new(find()?);
        self.put(digest, Arc::clone(&value));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::new([number; 32])
    }

    #[test]
    fn the_values_asked_for_last_are_kept_and_no_more_of_them_than_allowed() {
        let recent = Recent::new(2);
        recent.put(digest(1), Arc::new("one"));
        recent.put(digest(2), Arc::new("two"));
        assert_eq!(recent.get(digest(1)).as_deref(), Some(&"one"));
        recent.put(digest(3), Arc::new("three"));
        assert_eq!(recent.get(digest(2)), None, "the one not asked for the longest");
        assert_eq!(recent.get(digest(1)).as_deref(), Some(&"one"));
        recent.put(digest(1), Arc::new("uno"));
        assert_eq!(recent.get(digest(1)).as_deref(), Some(&"uno"));
        assert_eq!(recent.get(digest(3)).as_deref(), Some(&"three"));
    }

    #[test]
    fn a_failure_is_tried_again_and_a_find_is_not() {
        let recent = Recent::new(2);
        assert_eq!(recent.or_find(digest(1), || Err("no")).unwrap_err(), "no");
        assert_eq!(*recent.or_find(digest(1), || Ok::<_, &str>(7)).unwrap(), 7);
        assert_eq!(*recent.or_find(digest(1), || Err("not asked")).unwrap(), 7);
        let none = Recent::new(0);
        none.put(digest(1), Arc::new(1));
        assert_eq!(none.get(digest(1)), None);
    }
}
