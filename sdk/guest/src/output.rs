//! The outputs that one person contributes: pairs, or values in order.
//!
//! Must never drop a pair in silence: one too many makes the whole person's contribution the default one.

use core::marker::PhantomData;

use crate::DEFAULT_CONTRIBUTION;

/// One pair as the host reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Index of the output cell.
    pub index: u32,
    /// Always zero.
    pub zero: u32,
    /// Its value; the bits of an f64 where the module's numbers are floats.
    pub value: i64,
}

impl Pair {
    /// An empty place.
    pub const ZERO: Pair = Pair { index: 0, zero: 0, value: 0 };
}

/// Takes the pairs of one person: `Output<'_>` whole numbers, `Output<'_, f64>` floats, which the analysis must
/// say too (`numbers`).
#[derive(Debug)]
pub struct Output<'a, N: Number = i64> {
    pairs: &'a mut [Pair],
    used: usize,
    given_up: bool,
    numbers: PhantomData<N>,
}

impl<'a, N: Number> Output<'a, N> {
    /// Writes into these places.
    pub fn new(pairs: &'a mut [Pair]) -> Self {
        Output { pairs, used: 0, given_up: false, numbers: PhantomData }
    }

    /// Contributes `value` to cell `index`. More pairs than `outputs_max` give the default contribution.
    pub fn emit(&mut self, index: u32, value: N) {
        match self.pairs.get_mut(self.used) {
            Some(place) => {
                *place = Pair { index, zero: 0, value: value.word() };
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

/// What outputs may be: 8 bytes each.
pub trait Number: Copy + sealed::Sealed {
    /// Zero, which adds nothing.
    const ZERO: Self;
    /// In a module's signature: the outputs are pairs of such values.
    const PAIRS: u8;
    /// In a module's signature: the outputs are such values in order.
    const IN_ORDER: u8;

    /// The value as it stands in a pair.
    fn word(self) -> i64;
}

impl Number for i64 {
    const ZERO: i64 = 0;
    const PAIRS: u8 = 1;
    const IN_ORDER: u8 = 2;

    fn word(self) -> i64 {
        self
    }
}

impl Number for f64 {
    const ZERO: f64 = 0.0;
    const PAIRS: u8 = 4;
    const IN_ORDER: u8 = 3;

    fn word(self) -> i64 {
        self.to_bits() as i64
    }
}

mod sealed {
    /// The host reads 8 bytes a value: nobody else may say what a number is.
    pub trait Sealed {}
    impl Sealed for i64 {}
    impl Sealed for f64 {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_travel_as_their_bits() {
        let mut places = [Pair::ZERO; 1];
        let mut out = Output::<f64>::new(&mut places);
        out.emit(3, -2.5);
        assert_eq!(out.finish(), 1);
        assert_eq!(f64::from_bits(places[0].value as u64), -2.5);
    }

    #[test]
    fn one_pair_too_many_is_the_default_contribution() {
        let mut places = [Pair::ZERO; 2];
        let mut out = Output::<i64>::new(&mut places);
        out.emit(7, -1);
        out.emit(8, 2);
        assert_eq!(out.finish(), 2);
        assert_eq!(places[0], Pair { index: 7, zero: 0, value: -1 });
        let mut out = Output::<i64>::new(&mut places);
        for index in 0..3 {
            out.emit(index, 1);
        }
        assert_eq!(out.finish(), DEFAULT_CONTRIBUTION);
    }

    #[test]
    fn giving_up_wins_over_pairs() {
        let mut places = [Pair::ZERO; 2];
        let mut out = Output::<i64>::new(&mut places);
        out.emit(1, 1);
        out.give_up();
        assert_eq!(out.finish(), DEFAULT_CONTRIBUTION);
    }
}
