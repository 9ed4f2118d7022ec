//! Keys in words: the times of one key are all shown with their clock, or all as days, so that a midnight
//! among hours does not read as a whole day.

use crate::table::Report;
use cloister_terms::{KeyValue, Moment};

impl Report {
    /// For each key dimension, whether its times are shown with their clock: where one is not a midnight.
    pub(crate) fn clocks(&self) -> Vec<bool> {
        let mut clocks = vec![false; self.keys.len()];
        for row in &self.rows {
            for (clock, key) in clocks.iter_mut().zip(&row.keys) {
                *clock |= matches!(key, KeyValue::Timestamp(at) if Moment(*at).day_micros() != 0);
            }
        }
        clocks
    }
}

/// A key as it is shown, a midnight with its clock where the others of its dimension have one.
pub(crate) fn key_text(key: &KeyValue, has_clock: bool) -> String {
    match key {
        KeyValue::Timestamp(at) if has_clock && Moment(*at).day_micros() == 0 => {
            format!("{key} 00:00:00")
        }
        _ => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_midnight_among_hours_has_a_clock() {
        let midnight = KeyValue::Timestamp(1_561_939_200_000_000);
        assert_eq!(key_text(&midnight, false), "2019-07-01");
        assert_eq!(key_text(&midnight, true), "2019-07-01 00:00:00");
        let one = KeyValue::Timestamp(1_561_942_800_000_000);
        assert_eq!(key_text(&one, true), "2019-07-01 01:00:00");
        assert_eq!(key_text(&KeyValue::Text("2019-07-01".to_owned()), true), "2019-07-01");
    }
}
