//! The macro that turns one safe function into a module's exports.
//!
//! Must never export more than the interface knows.

/// Declares a module: its buffers, its exports, and `Person`, the struct of its columns.
///
/// `rows_max` and the number of columns must be those of the job's shape: every offset follows from them.
/// Column kinds are [`Int`](crate::Int), [`Float`](crate::Float) and [`Code`](crate::Code). The function
/// named under `map` is a `fn(&Person<'_>, &mut Output<'_>)`. The crate is `#![no_std]`: the macro brings
/// the panic handler. `map_words` runs the same function on plain words, for tests on any machine.
#[macro_export]
macro_rules! person_map {
    (
        rows_max: $rows_max:expr,
        outputs_max: $outputs_max:expr,
        columns: { $($column:ident : $kind:ident),+ $(,)? },
        map: $map:path $(,)?
    ) => {
        /// Most rows that a person may have.
        pub const ROWS_MAX: usize = $rows_max;
        /// Most pairs that a person may contribute.
        pub const OUTPUTS_MAX: usize = $outputs_max;
        /// Number of input columns.
        pub const COLUMNS: usize = [$(stringify!($column)),+].len();
        /// 64-bit words of the input buffer.
        pub const INPUT_WORDS: usize = $crate::input_words(ROWS_MAX, COLUMNS);

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

        /// Runs the map on input words as the host writes them; returns what `person_map` returns.
        pub fn map_words(words: &[u64], rows: usize, pairs: &mut [$crate::Pair]) -> i32 {
            let mut columns = 0..COLUMNS;
            let mut next = || columns.next().unwrap_or(COLUMNS);
            let person = Person {
                rows: rows.min(ROWS_MAX),
                $($column: $crate::Column::cut(words, next(), rows, ROWS_MAX),)+
            };
            let mut out = $crate::Output::new(pairs);
            $map(&person, &mut out);
            out.finish()
        }

        #[cfg(target_arch = "wasm32")]
        mod exports {
            #![allow(unsafe_code, reason = "names that the host looks up, statics that it writes")]

            use super::{INPUT_WORDS, OUTPUTS_MAX};

            #[unsafe(no_mangle)]
            pub static CLOISTER_INPUT: $crate::InputBuffer<INPUT_WORDS> = $crate::InputBuffer::new();
            #[unsafe(no_mangle)]
            pub static CLOISTER_OUTPUT: $crate::OutputBuffer<OUTPUTS_MAX> =
                $crate::OutputBuffer::new();
            #[unsafe(no_mangle)]
            pub static CLOISTER_LAYOUT: [u32; 4] =
                [$crate::ABI_VERSION, INPUT_WORDS as u32 * 8, OUTPUTS_MAX as u32 * 16, 0];

            #[unsafe(no_mangle)]
            pub extern "C" fn person_map(rows: i32) -> i32 {
                let Ok(rows) = usize::try_from(rows) else { return $crate::DEFAULT_CONTRIBUTION };
                // SAFETY: one call an instance, and the host waits while it runs.
                let (words, pairs) = unsafe { (CLOISTER_INPUT.words(), CLOISTER_OUTPUT.pairs()) };
                super::map_words(words, rows, pairs)
            }

            #[panic_handler]
            fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
                $crate::stop()
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
}
