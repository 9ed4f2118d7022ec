//! What a batch gave: one count a person, all pairs in one array.
//!
//! Must never allocate for each person, nor hold a pair that the module did not return.

use crate::shape::{OutputLayout, PAIR_BYTES, VALUE_BYTES};

/// In place of a count: the default contribution.
pub(crate) const DEFAULT_COUNT: u32 = u32::MAX;

/// One contribution as the module wrote it: neither bounded nor clamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Index of the output cell; may lie outside every domain.
    pub index: u32,
    /// Its eight bytes as an i64; may be any. The bits of an f64 where the module returns floats.
    pub value: i64,
}

/// What came of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonOutput {
    /// The default contribution: the module trapped, ran out of fuel or stack, or returned nonsense.
    Default,
    /// The pairs that the module returned, at most `outputs_max`.
    Pairs(Vec<Pair>),
}

/// What came of all persons of a batch, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    counts: Vec<u32>,
    pairs: Vec<Pair>,
}

impl Pair {
    /// Bytes of a pair in an outputs frame.
    pub(crate) const ENCODED_BYTES: usize = 12;

    /// A pair from the module's memory; `None` when its zero word is not zero.
    fn from_module(bytes: &[u8; PAIR_BYTES]) -> Option<Pair> {
        let [i0, i1, i2, i3, 0, 0, 0, 0, value @ ..] = *bytes else { return None };
        Some(Pair { index: u32::from_le_bytes([i0, i1, i2, i3]), value: i64::from_le_bytes(value) })
    }
}

impl Outputs {
    /// Number of persons.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// True without persons.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Removes all persons, keeps the room.
    pub fn clear(&mut self) {
        self.counts.clear();
        self.pairs.clear();
    }

    /// Each person's pairs; `None` is the default contribution.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[Pair]>> {
        let mut rest = self.pairs.as_slice();
        self.counts.iter().map(move |count| {
            if *count == DEFAULT_COUNT {
                return None;
            }
            let (pairs, after) = rest.split_at_checked(*count as usize).unwrap_or((rest, &[]));
            rest = after;
            Some(pairs)
        })
    }

    /// The same, one value a person.
    pub fn to_persons(&self) -> Vec<PersonOutput> {
        let output = |pairs: Option<&[Pair]>| {
            pairs.map_or(PersonOutput::Default, |pairs| PersonOutput::Pairs(pairs.to_vec()))
        };
        self.iter().map(output).collect()
    }

    /// Adds a person with the default contribution.
    pub(crate) fn push_default(&mut self) {
        self.counts.push(DEFAULT_COUNT);
    }

    /// Adds a person from what the module returned and its output buffer, which holds `outputs_max` outputs.
    /// False, and the default contribution, when the count or a pair breaks the interface.
    pub(crate) fn push_returned(
        &mut self,
        count: i32,
        buffer: &[u8],
        layout: OutputLayout,
    ) -> bool {
        match layout {
            OutputLayout::Pairs | OutputLayout::FloatPairs => self.push_pairs(count, buffer),
            OutputLayout::Dense(_) => self.push_dense(count, buffer),
        }
    }

    /// Of values in order those that are not zero: zero adds nothing. A count of 1 says that they are there.
    fn push_dense(&mut self, count: i32, buffer: &[u8]) -> bool {
        let buffer = match count {
            0 => &[],
            1 => buffer,
            _ => {
                self.push_default();
                return false;
            }
        };
        let kept = self.pairs.len();
        let (values, _) = buffer.as_chunks::<VALUE_BYTES>();
        let numbered = (0..).zip(values.iter().map(|bytes| i64::from_le_bytes(*bytes)));
        let there = numbered.filter(|(_, value)| *value != 0);
        self.pairs.extend(there.map(|(index, value)| Pair { index, value }));
        // At most `outputs_max`, which fits.
        self.counts.push((self.pairs.len() - kept) as u32);
        true
    }

    fn push_pairs(&mut self, count: i32, buffer: &[u8]) -> bool {
        let kept = self.pairs.len();
        let (pairs, _) = buffer.as_chunks::<PAIR_BYTES>();
        let returned = usize::try_from(count).ok().and_then(|count| pairs.get(..count));
        let whole = returned.is_some_and(|pairs| {
            pairs.iter().all(|bytes| {
                let pair = Pair::from_module(bytes);
                self.pairs.extend(pair);
                pair.is_some()
            })
        });
        if whole {
            self.counts.push(count.cast_unsigned());
        } else {
            self.pairs.truncate(kept);
            self.push_default();
        }
        whole
    }

    /// Appends counts, then pairs, little-endian.
    pub(crate) fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(self.encoded_bytes());
        bytes.extend(self.counts.iter().flat_map(|count| count.to_le_bytes()));
        for pair in &self.pairs {
            let [i0, i1, i2, i3] = pair.index.to_le_bytes();
            let [v0, v1, v2, v3, v4, v5, v6, v7] = pair.value.to_le_bytes();
            bytes.extend_from_slice(&[i0, i1, i2, i3, v0, v1, v2, v3, v4, v5, v6, v7]);
        }
    }

    /// Bytes that [`Outputs::encode_into`] appends.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.counts.len() * 4 + self.pairs.len() * Pair::ENCODED_BYTES
    }

    /// Adds a count as it was encoded; its pairs follow by [`Outputs::push_encoded`].
    pub(crate) fn push_count(&mut self, count: u32) {
        self.counts.push(count);
    }

    /// Adds as many encoded pairs as the counts add up to.
    pub(crate) fn push_encoded(&mut self, pairs: &[[u8; Pair::ENCODED_BYTES]]) {
        let pairs = pairs.iter().map(|pair| {
            let [i0, i1, i2, i3, value @ ..] = *pair;
            let index = u32::from_le_bytes([i0, i1, i2, i3]);
            Pair { index, value: i64::from_le_bytes(value) }
        });
        self.pairs.extend(pairs);
    }
}

impl FromIterator<PersonOutput> for Outputs {
    fn from_iter<I: IntoIterator<Item = PersonOutput>>(persons: I) -> Outputs {
        let mut outputs = Outputs::default();
        for person in persons {
            match person {
                PersonOutput::Default => outputs.push_default(),
                PersonOutput::Pairs(pairs) => {
                    // A person has at most `OUTPUTS_MAX` pairs, far below the mark.
                    outputs.counts.push(pairs.len() as u32);
                    outputs.pairs.extend(pairs);
                }
            }
        }
        outputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::DenseNumbers;

    fn encoded(index: u32, zero: u32, value: i64) -> Vec<u8> {
        [index.to_le_bytes().to_vec(), zero.to_le_bytes().to_vec(), value.to_le_bytes().to_vec()]
            .concat()
    }

    #[test]
    fn hostile_returns_give_the_default_and_leave_no_pair_behind() {
        let buffer = [encoded(1, 0, -1), encoded(2, 1, 5)].concat();
        let mut outputs = Outputs::default();
        for count in [-1, i32::MIN, 3, i32::MAX, 2] {
            assert!(!outputs.push_returned(count, &buffer, OutputLayout::Pairs), "{count}");
        }
        assert!(outputs.push_pairs(1, &buffer) && outputs.push_pairs(0, &buffer));
        let pair = Pair { index: 1, value: -1 };
        let mut want = vec![PersonOutput::Default; 5];
        want.extend([PersonOutput::Pairs(vec![pair]), PersonOutput::Pairs(vec![])]);
        assert_eq!(outputs.to_persons(), want);
        assert_eq!(outputs.pairs, [pair]);
        assert_eq!(want.into_iter().collect::<Outputs>(), outputs);
    }

    #[test]
    fn values_in_order_become_the_pairs_that_are_not_zero() {
        let values = [0_i64, 5, i64::MIN, 0, (-0.0_f64).to_bits().cast_signed()];
        let buffer = values.map(i64::to_le_bytes).concat();
        let mut outputs = Outputs::default();
        let layout = OutputLayout::Dense(DenseNumbers::Ints);
        let mut push = |count| outputs.push_returned(count, &buffer, layout);
        assert!(push(1) && push(0));
        assert!([2, -1, 5, i32::MAX, i32::MIN].iter().all(|count| !push(*count)));
        let pairs = [(1, 5), (2, i64::MIN), (4, i64::MIN)];
        let pairs = pairs.map(|(index, value)| Pair { index, value }).to_vec();
        let mut want = vec![PersonOutput::Pairs(pairs), PersonOutput::Pairs(vec![])];
        want.extend(vec![PersonOutput::Default; 5]);
        assert_eq!(outputs.to_persons(), want);
    }

    #[test]
    fn any_bytes_and_any_count_are_read_without_a_fault() {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let mut outputs = Outputs::default();
        let (mut taken, mut turned_away) = (0_usize, 0_usize);
        for _ in 0..20_000 {
            let mut buffer: Vec<u8> = (0..random() % 100).map(|_| random() as u8).collect();
            // Zero words that hold, often enough.
            if random() % 2 == 0 {
                buffer
                    .chunks_mut(16)
                    .for_each(|pair| pair.iter_mut().skip(4).take(4).for_each(|b| *b = 0));
            }
            let count = [random() as i32, (random() % 8) as i32][random() as usize % 2];
            let before = outputs.pairs.len();
            if outputs.push_returned(count, &buffer, OutputLayout::Pairs) {
                assert_eq!(outputs.pairs.len() - before, count as usize);
                assert!(count as usize * PAIR_BYTES <= buffer.len());
                taken += 1;
            } else {
                assert_eq!(outputs.pairs.len(), before);
                turned_away += 1;
            }
        }
        assert!(taken > 1000 && turned_away > 1000, "{taken} {turned_away}");
        assert_eq!(outputs.iter().count(), taken + turned_away);
    }
}
