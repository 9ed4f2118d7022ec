//! The macros that turn one safe function into a module's exports.
//!
//! Must never export more than the interface knows.

/// Declares the module of a `#![no_std]` crate: its buffers, its exports, and `Person`, the struct of its
/// columns.
///
/// What it returns is either a few pairs (`outputs_max`, as below) or all values in order:
///
/// ```
/// mod module {
///     cloister_guest::person_map! {
///         rows_max: 64,
///         values: [f64; 2],
///         columns: { distance_m: Float, minutes: Float },
///         map: slope_and_level,
///     }
///
///     /// The gradient of the squared error of `minutes = 0 * distance + 0`, summed over the person's trips.
///     fn slope_and_level(person: &Person<'_>, gradient: &mut [f64; 2]) {
///         for (metres, minutes) in person.distance_m.iter().zip(person.minutes.iter()) {
///             let (Some(metres), Some(minutes)) = (metres, minutes) else { continue };
///             gradient[0] -= 2.0 * minutes * metres;
///             gradient[1] -= 2.0 * minutes;
///         }
///     }
/// }
/// # fn main() {}
/// ```
///
/// `rows_max` and the number of columns must be those of the job's shape: every offset follows from them.
/// Column kinds are [`Int`](crate::Int), [`Float`](crate::Float) and [`Code`](crate::Code). The function
/// named under `map` is a `fn(&Person<'_>, &mut Output<'_>)`, a `fn(&Person<'_>, &mut Output<'_, f64>)` where its
/// pairs hold floats, or a `fn(&Person<'_>, &mut [f64; N])` (or `i64`) whose values are zero before it runs. Which
/// of them it is goes into the module's signature, so that an analysis with other `numbers` or `outputs` is refused.
/// The macro brings the panic handler: who panics gets the default contribution. `map_words` runs the same function
/// on plain words, for tests on any machine. A crate with `std` uses [`person_map_std!`](crate::person_map_std).
#[macro_export]
macro_rules! person_map {
    ($($declared:tt)+) => {
        $crate::person_map_std! { $($declared)+ }

        #[cfg(target_arch = "wasm32")]
        mod panics {
            #[panic_handler]
            fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
                $crate::stop()
            }
        }
    };
}

/// As [`person_map!`](crate::person_map), for a crate with `std`: `std` has a panic handler of its own, and
/// there too who panics gets the default contribution.
///
/// Its collections need memory of a fixed size: name an [`Arena`](crate::Arena) as the global allocator.
///
/// ```
/// mod module {
///     use std::collections::BTreeSet;
///
///     #[cfg(target_arch = "wasm32")]
///     #[global_allocator]
///     static ARENA: cloister_guest::Arena<{ 64 << 10 }> = cloister_guest::Arena::new();
///
///     cloister_guest::person_map_std! {
///         rows_max: 64,
///         outputs_max: 1,
///         columns: { town: Code },
///         map: towns_seen,
///     }
///
///     /// In how many towns the person was.
///     fn towns_seen(person: &Person<'_>, out: &mut cloister_guest::Output<'_>) {
///         let towns: BTreeSet<u32> = person.town.iter().flatten().collect();
///         out.emit(0, towns.len() as i64);
///     }
/// }
///
/// // A bitmap, then the values: three rows in towns 5, 7 and 5.
/// let mut words = [0; module::INPUT_WORDS];
/// words[..4].copy_from_slice(&[0b111, 5, 7, 5]);
/// let mut pairs = [cloister_guest::Pair::ZERO; module::OUTPUTS_MAX];
/// assert_eq!(module::map_words(&words, 3, &mut pairs), 1);
/// assert_eq!(pairs[0].value, 2);
/// ```
#[macro_export]
macro_rules! person_map_std {
    (
        rows_max: $rows_max:expr,
        outputs_max: $outputs_max:expr,
        columns: { $($column:ident : $kind:ident),+ $(,)? },
        map: $map:path $(,)?
    ) => {
        $crate::person_map_std! { @person $rows_max, $($column: $kind),+ }

        /// Most pairs that a person may contribute.
        pub const OUTPUTS_MAX: usize = $outputs_max;

        /// Runs the map on input words as the host writes them; returns what `person_map` returns.
        pub fn map_words(words: &[u64], rows: usize, pairs: &mut [$crate::Pair]) -> i32 {
            let mut out = $crate::Output::new(pairs);
            $map(&Person::cut(words, rows), &mut out);
            out.finish()
        }

        /// What the outputs are, for the module's signature: read off the type of the map.
        #[allow(dead_code, reason = "the layout words alone need it, which only a module has")]
        const OUTPUTS: u8 = {
            const fn pairs_of<N: $crate::Number>(
                _: fn(&Person<'_>, &mut $crate::Output<'_, N>),
            ) -> u8 {
                N::PAIRS
            }
            pairs_of($map)
        };

        $crate::person_map_std! {
            @exports $crate::OutputBuffer<{ super::OUTPUTS_MAX }>, pairs, super::OUTPUTS_MAX * 16
        }
    };
    (
        rows_max: $rows_max:expr,
        values: [$number:ty; $values:expr],
        columns: { $($column:ident : $kind:ident),+ $(,)? },
        map: $map:path $(,)?
    ) => {
        $crate::person_map_std! { @person $rows_max, $($column: $kind),+ }

        /// Number of values: lanes times cells of the analysis.
        pub const VALUES: usize = $values;

        /// Runs the map on input words as the host writes them; returns what `person_map` returns.
        pub fn map_words(words: &[u64], rows: usize, values: &mut [$number; VALUES]) -> i32 {
            $map(&Person::cut(words, rows), values);
            1
        }

        /// What the outputs are, for the module's signature.
        #[allow(dead_code, reason = "the layout words alone need it, which only a module has")]
        const OUTPUTS: u8 = <$number as $crate::Number>::IN_ORDER;

        $crate::person_map_std! {
            @exports $crate::ValueBuffer<$number, { super::VALUES }>, values, super::VALUES * 8
        }
    };
    (@exports $output:ty, $get:ident, $bytes:expr) => {
        #[cfg(target_arch = "wasm32")]
        mod exports {
            #![allow(unsafe_code, reason = "names that the host looks up, statics that it writes")]

            use super::{INPUT_WORDS, KINDS, OUTPUTS};

            #[unsafe(no_mangle)]
            pub static CLOISTER_INPUT: $crate::InputBuffer<INPUT_WORDS> = $crate::InputBuffer::new();
            #[unsafe(no_mangle)]
            pub static CLOISTER_OUTPUT: $output = <$output>::new();
            #[unsafe(no_mangle)]
            pub static CLOISTER_LAYOUT: [u32; 4] = [
                $crate::ABI_VERSION,
                INPUT_WORDS as u32 * 8,
                ($bytes) as u32,
                $crate::signature(&KINDS, OUTPUTS),
            ];

            #[unsafe(no_mangle)]
            pub extern "C" fn person_map(rows: i32) -> i32 {
                let Ok(rows) = usize::try_from(rows) else { return $crate::DEFAULT_CONTRIBUTION };
                // SAFETY: one call an instance, and the host waits while it runs.
                let (words, outputs) = unsafe { (CLOISTER_INPUT.words(), CLOISTER_OUTPUT.$get()) };
                super::map_words(words, rows, outputs)
            }
        }
    };
    (@person $rows_max:expr, $($column:ident : $kind:ident),+) => {
        /// Most rows that a person may have.
        pub const ROWS_MAX: usize = $rows_max;
        /// Number of input columns.
        pub const COLUMNS: usize = [$(stringify!($column)),+].len();
        /// 64-bit words of the input buffer.
        #[allow(dead_code, reason = "the exported buffer alone needs it, which only a module has")]
        pub const INPUT_WORDS: usize = $crate::input_words(ROWS_MAX, COLUMNS);
        /// The columns' kinds, for the module's signature.
        #[allow(dead_code, reason = "the layout words alone need it, which only a module has")]
        const KINDS: [u8; COLUMNS] =
            [$(<$crate::$kind<'static> as $crate::Column<'static>>::NUMBER),+];

        /// One person's rows, column by column.
        #[derive(Clone, Copy, Debug)]
        #[allow(dead_code, reason = "a module need not use every column")]
        pub struct Person<'a> {
            /// Number of rows.
            pub rows: usize,
            $(
                #[doc = concat!("Column `", stringify!($column), "`.")]
                pub $column: $crate::$kind<'a>,
            )+
        }

        impl<'a> Person<'a> {
            /// Cut out of input words as the host writes them.
            pub fn cut(words: &'a [u64], rows: usize) -> Self {
                let mut columns = 0..COLUMNS;
                let mut next = || columns.next().unwrap_or(COLUMNS);
                Person {
                    rows: rows.min(ROWS_MAX),
                    $($column: $crate::Column::cut(words, next(), rows, ROWS_MAX),)+
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::{Output, Pair};

    crate::person_map! {
        rows_max: 3,
        outputs_max: 2,
        columns: { town: Code, amount: Int },
        map: sum_by_first_town,
    }

    fn sum_by_first_town(person: &Person<'_>, out: &mut Output<'_>) {
        if let Some(town) = person.town.get(0) {
            out.emit(town, person.amount.iter().flatten().sum());
        }
    }

    #[test]
    fn the_map_sees_its_columns_at_the_fixed_offsets() {
        let words = [0b001, 5, 0, 0, 0b111, 1, 2, 4];
        assert_eq!(words.len(), INPUT_WORDS);
        let mut pairs = [Pair::ZERO; OUTPUTS_MAX];
        assert_eq!(map_words(&words, 3, &mut pairs), 1);
        assert_eq!(pairs[0], Pair { index: 5, zero: 0, value: 7 });
        assert_eq!(map_words(&words, 2, &mut pairs), 1);
        assert_eq!(pairs[0].value, 3);
        assert_eq!(map_words(&words, 0, &mut pairs), 0);
        assert_eq!(map_words(&words, usize::MAX, &mut pairs), 1);
    }
    mod dense {
        crate::person_map! {
            rows_max: 3,
            values: [f64; 2],
            columns: { amount: Int, share: Float },
            map: totals,
        }

        fn totals(person: &Person<'_>, values: &mut [f64; 2]) {
            values[0] = person.amount.iter().flatten().map(|amount| amount as f64).sum();
            values[1] = person.share.iter().flatten().sum();
        }

        #[test]
        fn values_stand_in_order_and_kinds_make_the_signature() {
            let words = [0b011, 1, 2, 4, 0b101, 1.5_f64.to_bits(), 0, (-4.0_f64).to_bits()];
            let mut values = [0.0; VALUES];
            assert_eq!(words.len(), INPUT_WORDS);
            assert_eq!(map_words(&words, 3, &mut values), 1);
            assert_eq!(values, [3.0, -2.5]);
            assert_eq!((KINDS, super::KINDS), ([1, 2], [3, 1]));
            assert_eq!((OUTPUTS, super::OUTPUTS), (3, 1));
            let all = [
                crate::signature(&KINDS, OUTPUTS),
                crate::signature(&KINDS, super::OUTPUTS),
                crate::signature(&super::KINDS, 3),
            ];
            assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
            assert_eq!(crate::signature(&[], 1), 0x811c_9dc4_u32.wrapping_mul(0x0100_0193));
        }
    }

    mod float_pairs {
        use crate::{Output, Pair};

        crate::person_map! {
            rows_max: 1,
            outputs_max: 1,
            columns: { share: Float, amount: Float },
            map: share,
        }

        fn share(person: &Person<'_>, out: &mut Output<'_, f64>) {
            out.emit(7, person.share.get(0).unwrap_or(0.0) / 2.0);
        }

        #[test]
        fn pairs_of_floats_are_signed_for_what_they_are() {
            let mut pairs = [Pair::ZERO; OUTPUTS_MAX];
            let words = [1, 5.0_f64.to_bits(), 0, 0];
            assert_eq!(map_words(&words, 1, &mut pairs), 1);
            assert_eq!(pairs[0], Pair { index: 7, zero: 0, value: 2.5_f64.to_bits() as i64 });
            assert_eq!((OUTPUTS, super::OUTPUTS), (4, 1));
            // Examples of ABI.md.
            let signatures = [1, 4, 3].map(|outputs| crate::signature(&KINDS, outputs));
            assert_eq!(signatures, [0x1383_518c, 0x1083_4cd3, 0x1583_54b2]);
        }
    }
}
