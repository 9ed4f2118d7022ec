//! What was found of documents before, by digest. What a document says never changes under its
//! digest, so what follows from its bytes alone need not be worked out each time it is handed in.
//! It must never hold what follows from anything else: a clock, votes to come, or a store.

use cloister_terms::Digest;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Largest document whose value is remembered, in bytes; what is larger is worked out each time.
pub const REMEMBERED_BYTES_MAX: usize = 1 << 20;
/// Bytes of all documents whose values one memory holds.
const ALL_BYTES_MAX: usize = 16 << 20;

/// The values of at most `most` documents of a bounded size in all; the one not asked for the longest
/// goes first.
#[derive(Debug)]
pub struct Recent<V> {
    most: usize,
    kept: Mutex<Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    /// The latest at the back. Few enough to be looked through.
    facts: VecDeque<Fact<V>>,
    bytes: usize,
}

#[derive(Debug)]
struct Fact<V> {
    of: Digest,
    bytes: usize,
    value: Arc<V>,
}

impl<V> Kept<V> {
    fn forget(&mut self, place: usize) -> Option<Fact<V>> {
        let fact = self.facts.remove(place)?;
        self.bytes = self.bytes.saturating_sub(fact.bytes);
        Some(fact)
    }

    fn keep(&mut self, fact: Fact<V>) {
        self.bytes = self.bytes.saturating_add(fact.bytes);
        self.facts.push_back(fact);
    }
}

impl<V> Recent<V> {
    /// An empty memory for the values of `most` documents.
    pub const fn new(most: usize) -> Self {
        Self { most, kept: Mutex::new(Kept { facts: VecDeque::new(), bytes: 0 }) }
    }

    /// The value of `digest`, if it is remembered.
    pub fn get(&self, digest: Digest) -> Option<Arc<V>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.facts.iter().position(|fact| fact.of == digest)?;
        let found = kept.forget(place)?;
        let value = Arc::clone(&found.value);
        kept.keep(found);
        Some(value)
    }

    /// Remembers the value of `digest`, in place of an earlier one. `bytes`: the size of what it follows
    /// from; nothing larger than [`REMEMBERED_BYTES_MAX`] is remembered.
    pub fn put(&self, digest: Digest, bytes: usize, value: Arc<V>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.facts.iter().position(|fact| fact.of == digest) {
            kept.forget(place);
        }
        if self.most == 0 || bytes > REMEMBERED_BYTES_MAX {
            return;
        }
        let is_full = |kept: &Kept<V>| {
            kept.facts.len() >= self.most || kept.bytes.saturating_add(bytes) > ALL_BYTES_MAX
        };
        while is_full(&kept) && kept.forget(0).is_some() {}
        kept.keep(Fact { of: digest, bytes, value });
    }

    /// The value of `digest`, as remembered or as `find` finds it now, with the size of what it follows
    /// from. What fails is not remembered.
    ///
    /// # Errors
    /// What `find` says.
    pub fn or_find<E>(
        &self,
        digest: Digest,
        bytes: impl FnOnce(&V) -> usize,
        find: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        if let Some(known) = self.get(digest) {
            return Ok(known);
        }
        let value = Arc::new(find()?);
        self.put(digest, bytes(&value), Arc::clone(&value));
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
        recent.put(digest(1), 3, Arc::new("one"));
        recent.put(digest(2), 3, Arc::new("two"));
        assert_eq!(recent.get(digest(1)).as_deref(), Some(&"one"));
        recent.put(digest(3), 5, Arc::new("three"));
        assert_eq!(recent.get(digest(2)), None, "the one not asked for the longest");
        assert_eq!(recent.get(digest(1)).as_deref(), Some(&"one"));
        recent.put(digest(1), 3, Arc::new("uno"));
        assert_eq!(recent.get(digest(1)).as_deref(), Some(&"uno"));
        assert_eq!(recent.get(digest(3)).as_deref(), Some(&"three"));
    }

    #[test]
    fn a_failure_is_tried_again_and_a_find_is_not() {
        let recent = Recent::new(2);
        assert_eq!(recent.or_find(digest(1), |_| 1, || Err("no")).unwrap_err(), "no");
        assert_eq!(*recent.or_find(digest(1), |_| 1, || Ok::<_, &str>(7)).unwrap(), 7);
        assert_eq!(*recent.or_find(digest(1), |_| 1, || Err("not asked")).unwrap(), 7);
        let none = Recent::new(0);
        none.put(digest(1), 1, Arc::new(1));
        assert_eq!(none.get(digest(1)), None);
    }

    #[test]
    fn large_documents_are_not_remembered_and_all_together_stay_small() {
        let recent = Recent::new(1_000);
        recent.put(digest(0), REMEMBERED_BYTES_MAX + 1, Arc::new(0));
        assert_eq!(recent.get(digest(0)), None);
        for number in 1..=100u8 {
            recent.put(digest(number), REMEMBERED_BYTES_MAX, Arc::new(number));
        }
        let kept: Vec<u8> = (1..=100).filter(|of| recent.get(digest(*of)).is_some()).collect();
        assert_eq!(kept, (85..=100).collect::<Vec<u8>>(), "16 MiB of the latest");
        // One that grew too large is forgotten, and makes room.
        recent.put(digest(100), usize::MAX, Arc::new(1));
        assert_eq!(recent.get(digest(100)), None);
        recent.put(digest(101), REMEMBERED_BYTES_MAX, Arc::new(101));
        assert!(recent.get(digest(85)).is_some() && recent.get(digest(101)).is_some());
    }
}
