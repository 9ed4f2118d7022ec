//! Diagnostics of an answer: how many people contributed, and how many the limits touched. Each is one
//! more count of people, noised and charged like any other figure; it must never be free or exact.

use crate::shape::{Noise, OutputShape, ShapeError};
use serde::{Deserialize, Serialize};

/// A further count that closes a released vector: a person adds 0 or 1 to it, once, whatever their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostic {
    /// Which people it counts.
    pub kind: DiagnosticKind,
    /// Noise that every node adds to it, in people.
    pub noise: Noise,
}

/// Which people a diagnostic counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiagnosticKind {
    /// Those who add to any cell.
    Contributing,
    /// Those of whom a limit left out any row or group: a row cap, the group cap, the size of one person.
    Capped,
    /// Those of whom a value that is added was outside its range.
    Clipped,
    /// Those for whom the module gave up; of modules alone.
    Trapped,
}

impl DiagnosticKind {
    /// All kinds of a question in SQL, in their order.
    pub const OF_SQL: &'static [Self] = &[Self::Contributing, Self::Capped, Self::Clipped];
    /// All kinds of a module, in their order.
    pub const OF_MODULE: &'static [Self] =
        &[Self::Contributing, Self::Capped, Self::Clipped, Self::Trapped];
}

/// What one person changes in one diagnostic at most, in people. It is one global cell: no cap on groups
/// multiplies it.
pub const DIAGNOSTIC_SENSITIVITY: u64 = 1;

impl OutputShape {
    /// Integers of the cells alone, without the diagnostics behind them. Errors as
    /// [`OutputShape::vector_len`].
    pub fn cells_len(&self) -> Result<usize, ShapeError> {
        // At least as long by definition.
        Ok(self.vector_len()?.saturating_sub(self.diagnostics.len()))
    }

    /// Length of the vector of a partner that answers `cells` cells: diagnostics close that of a partner
    /// with any cell.
    pub fn vector_len_with(&self, cells: usize) -> usize {
        let closing = if cells == 0 { 0 } else { self.diagnostics.len() };
        cells.saturating_mul(self.lanes.len()).saturating_add(closing)
    }

    /// Diagnostics stand in the order of their kinds, each once.
    pub(crate) fn check_diagnostics(&self) -> Result<(), ShapeError> {
        let kinds = self.diagnostics.iter().map(|diagnostic| diagnostic.kind);
        if kinds.is_sorted_by(|left, right| left < right) {
            Ok(())
        } else {
            Err(ShapeError::Diagnostics)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Int;
    use crate::{
        ColumnType, Cost, Digest, KeyDimension, KeyValue, LaneShape, PrivateKeys, Ratio,
        ReleaseRecord, Served,
    };

    const NOISE: fn() -> Noise = || Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };

    fn shape(kinds: &[DiagnosticKind]) -> OutputShape {
        let lane = LaneShape {
            name: "n".into(),
            grid_bits: 0,
            sensitivity_steps: 1,
            noise: NOISE(),
            one_of: None,
        };
        let values = (0..3).map(KeyValue::Int).collect();
        OutputShape {
            keys: vec![KeyDimension { name: "k".into(), values }],
            lanes: vec![lane.clone(), lane],
            columns: vec![],
            served: vec![],
            recipe: Default::default(),
            private_keys: None,
            diagnostics: kinds.iter().map(|k| Diagnostic { kind: *k, noise: NOISE() }).collect(),
        }
    }

    fn release(keys: &[i64], values: &[i128]) -> ReleaseRecord {
        let (name, digest) = (|text: &str| crate::Name::new(text).unwrap(), Digest::new([0; 32]));
        ReleaseRecord {
            version: 1,
            node: name("bank"),
            unit_namespace: name("riders"),
            agreement: digest,
            analysis: digest,
            plan: digest,
            parameters: digest,
            round: 1,
            epoch: 0,
            cost: Cost::ZERO,
            charge: digest,
            keys: keys.iter().map(|key| vec![KeyValue::Int(*key)]).collect(),
            values: values.iter().map(|value| Int(*value)).collect(),
        }
    }

    #[test]
    fn diagnostics_close_the_vector_once() {
        let plain = shape(&[]);
        let json = serde_json::to_string(&plain).unwrap();
        assert!(!json.contains("diagnostics"), "old documents keep their bytes");
        let mut told = shape(DiagnosticKind::OF_MODULE);
        assert_eq!((told.check(), told.vector_len(), told.cells_len()), (Ok(()), Ok(10), Ok(6)));
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<OutputShape>(&json).unwrap(), told);
        let name = |text: &str| crate::Name::new(text).unwrap();
        assert_eq!(told.vector_len_of(&name("bank")), Ok(10));
        told.served = vec![Served { partner: name("bank"), positions: vec![vec![1]] }];
        assert_eq!(told.vector_len_of(&name("bank")), Ok(6));
        assert_eq!(told.vector_len_of(&name("other")), Ok(0), "nobody asks a partner of no cell");
    }

    #[test]
    fn hostile_diagnostics_are_refused() {
        use DiagnosticKind::{Capped, Contributing};
        for wrong in [&[Capped, Contributing][..], &[Capped, Capped], &[Contributing; 9]] {
            assert_eq!(shape(wrong).check(), Err(ShapeError::Diagnostics), "{wrong:?}");
        }
        let json = serde_json::to_string(&shape(&[Capped])).unwrap();
        for (from, to) in [("\"capped\"", "\"everybody\""), ("\"kind\":\"capped\",", "")] {
            assert!(json.contains(from));
            assert!(serde_json::from_str::<OutputShape>(&json.replace(from, to)).is_err());
        }
        let mut wide = shape(&[Capped]);
        wide.keys = vec![1_000, 1_000]
            .into_iter()
            .map(|n| KeyDimension { name: "k".into(), values: (0..n).map(KeyValue::Int).collect() })
            .collect();
        wide.lanes = vec![wide.lanes[0].clone(); 64];
        let whole = wide.vector_len();
        assert!(whole.is_err() || whole == Ok(64_000_001), "counted with the rest");
    }

    #[test]
    fn a_block_of_another_length_does_not_fit() {
        let told = shape(DiagnosticKind::OF_SQL);
        for (length, fits) in [(9, true), (6, false), (8, false), (10, false), (0, false)] {
            assert_eq!(release(&[], &vec![1; length]).fits(&told), Ok(fits), "{length}");
        }
        let mut private = told.clone();
        private.keys[0].values.clear();
        private.private_keys = Some(PrivateKeys {
            types: vec![ColumnType::Int64],
            threshold: Some(crate::KeyThreshold {
                persons_lane: 0,
                people: 5,
                delta: "0.01".parse().unwrap(),
            }),
            found: vec![],
        });
        assert_eq!(private.check(), Ok(()));
        for (keys, values, fits) in [
            (&[][..], &[-1, 0, 1][..], true),
            (&[], &[], false),
            (&[7], &[5, 0, -1, 0, 1], true),
            (&[7], &[5, 0], false),
            (&[7], &[5, 0, 9, 9], false),
            (&[7], &[4, 0, -1, 0, 1], false),
            // The block behind the cells is no cell: it has no threshold to reach.
            (&[7, 8], &[5, 0, 6, 0, 0, 0, 0], true),
            (&[7, 8], &[5, 0, 4, 0, 9, 9, 9], false),
        ] {
            assert_eq!(release(keys, values).fits(&private), Ok(fits), "{keys:?} {values:?}");
        }
    }
}
