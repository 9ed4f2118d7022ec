//! The pairs that one person contributes.
//!
//! Must never drop a pair in silence: one too many makes the whole person's contribution the default one.

use crate::DEFAULT_CONTRIBUTION;

/// One pair as the host reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Index of the output cell.
    pub index: u32,
    /// Always zero.
    pub zero: u32,
    /// Its value.
    pub value: i64,
}

impl Pair {
    /// An empty place.
    pub const ZERO: Pair = Pair { index: 0, zero: 0, value: 0 };
}

/// Takes the pairs of one person.
#[derive(Debug)]
pub struct Output<'a> {
    pairs: &'a mut [Pair],
    used: usize,
    given_up: bool,
}

impl<'a> Output<'a> {
    /// Writes into these places.
    pub fn new(pairs: &'a mut [Pair]) -> Self {
        Output { pairs, used: 0, given_up: false }
    }

    /// Contributes `value` to cell `index`. More pairs than `outputs_max` give the default contribution.
    pub fn emit(&mut self, index: u32, value: i64) {
        match self.pairs.get_mut(self.used) {
            Some(place) => {
                *place = Pair { index, zero: 0, value };
                self.used += 1;
            }
            None => self.given_up = true,
        }
    }

    /// Gives the default contribution, whatever was emitted.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// What `person_map` returns: the number of pairs, or negative for the default contribution.
    pub fn finish(self) -> i32 {
        match i32::try_from(self.used) {
            Ok(used) if !self.given_up => used,
            _ => DEFAULT_CONTRIBUTION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_too_many_is_the_default_contribution() {
        let mut places = [Pair::ZERO; 2];
        let mut out = Output::new(&mut places);
        out.emit(7, -1);
        out.emit(8, 2);
        assert_eq!(out.finish(), 2);
        assert_eq!(places[0], Pair { index: 7, zero: 0, value: -1 });
        let mut out = Output::new(&mut places);
        for index in 0..3 {
            out.emit(index, 1);
        }
        assert_eq!(out.finish(), DEFAULT_CONTRIBUTION);
    }

    #[test]
    fn giving_up_wins_over_pairs() {
        let mut places = [Pair::ZERO; 2];
        let mut out = Output::new(&mut places);
        out.emit(1, 1);
        out.give_up();
        assert_eq!(out.finish(), DEFAULT_CONTRIBUTION);
    }
}
