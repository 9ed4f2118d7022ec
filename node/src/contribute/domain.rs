//! Public domains as look-up tables: a value's position, or none. It must never learn a value that
//! the agreement does not name.

use crate::evaluate::EvaluateError;
use crate::mix::{TextHash, packed};
use cloister_terms::KeyValue;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::collections::HashMap;

/// The code of a value that is null or outside the domain.
pub const NO_CODE: u32 = u32::MAX;

/// Positions of a domain's values.
#[derive(Debug, Clone)]
pub enum DomainIndex {
    /// Text values.
    Text(TextCodes),
    /// Integers.
    Int(HashMap<i64, u32>),
    /// Timestamps, in microseconds.
    Timestamp(HashMap<i64, u32>),
    /// Position of false, position of true.
    Bool([u32; 2]),
}

/// Positions of texts: short ones by numbers, which are compared faster.
#[derive(Debug, Clone, Default)]
pub struct TextCodes {
    short: HashMap<(u64, u64, u64), u32, TextHash>,
    long: HashMap<String, u32, TextHash>,
}

impl TextCodes {
    fn insert(&mut self, text: &str, code: u32) {
        match packed(text) {
            Some(packed) => self.short.insert(packed, code),
            None => self.long.insert(text.to_owned(), code),
        };
    }

    fn get(&self, text: &str) -> u32 {
        let code = match packed(text) {
            Some(packed) => self.short.get(&packed),
            None => self.long.get(text),
        };
        code.copied().unwrap_or(NO_CODE)
    }

    fn of_all(&self, texts: &StringArray) -> Vec<u32> {
        let mut codes = Vec::with_capacity(texts.len());
        match texts.nulls() {
            None => codes.extend((0..texts.len()).map(|row| self.get(texts.value(row)))),
            Some(nulls) => codes.extend(nulls.iter().enumerate().map(|(row, is_known)| {
                if is_known { self.get(texts.value(row)) } else { NO_CODE }
            })),
        }
        codes
    }
}

impl DomainIndex {
    /// From a domain; `None` when its values are of mixed types, which a checked dictionary excludes.
    pub fn new(domain: &[KeyValue]) -> Option<Self> {
        let numbered = || domain.iter().zip(0u32..);
        match domain.first()? {
            KeyValue::Text(_) => {
                let mut codes = TextCodes::default();
                for (value, code) in numbered() {
                    let KeyValue::Text(text) = value else { return None };
                    codes.insert(text, code);
                }
                Some(Self::Text(codes))
            }
            KeyValue::Int(_) => {
                let one = |(value, code): (&KeyValue, u32)| match value {
                    KeyValue::Int(int) => Some((*int, code)),
                    _ => None,
                };
                numbered().map(one).collect::<Option<_>>().map(Self::Int)
            }
            KeyValue::Timestamp(_) => {
                let one = |(value, code): (&KeyValue, u32)| match value {
                    KeyValue::Timestamp(micros) => Some((*micros, code)),
                    _ => None,
                };
                numbered().map(one).collect::<Option<_>>().map(Self::Timestamp)
            }
            KeyValue::Bool(_) => {
                let code = |wanted: bool| {
                    numbered()
                        .find(|(value, _)| **value == KeyValue::Bool(wanted))
                        .map_or(NO_CODE, |(_, code)| code)
                };
                let all = domain.iter().all(|value| matches!(value, KeyValue::Bool(_)));
                all.then(|| Self::Bool([code(false), code(true)]))
            }
        }
    }

    /// The position of each row's value, [`NO_CODE`] for null and unknown. Errors on another type.
    pub fn codes(&self, array: &ArrayRef) -> Result<Vec<u32>, EvaluateError> {
        match self {
            Self::Text(codes) => {
                let texts =
                    array.as_string_opt::<i32>().ok_or(EvaluateError::Type { expected: "text" })?;
                Ok(codes.of_all(texts))
            }
            Self::Int(codes) => {
                let ints = array
                    .as_primitive_opt::<Int64Type>()
                    .ok_or(EvaluateError::Type { expected: "int64" })?;
                let code = |int: Option<i64>| {
                    int.and_then(|int| codes.get(&int).copied()).unwrap_or(NO_CODE)
                };
                Ok(ints.iter().map(code).collect())
            }
            Self::Timestamp(codes) => {
                let times = array
                    .as_primitive_opt::<TimestampMicrosecondType>()
                    .ok_or(EvaluateError::Type { expected: "timestamp" })?;
                let code = |micros: Option<i64>| {
                    micros.and_then(|micros| codes.get(&micros).copied()).unwrap_or(NO_CODE)
                };
                Ok(times.iter().map(code).collect())
            }
            Self::Bool([no, yes]) => {
                let bools =
                    array.as_boolean_opt().ok_or(EvaluateError::Type { expected: "bool" })?;
                let code =
                    |bool: Option<bool>| bool.map_or(NO_CODE, |bool| if bool { *yes } else { *no });
                Ok(bools.iter().map(code).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    #[test]
    fn values_outside_the_domain_have_no_code() {
        let towns = ["Amherst", "Holyoke"].map(|town| KeyValue::Text(town.into()));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            Some("Holyoke"),
            None,
            Some("holyoke"),
            Some(""),
            Some("Amherst"),
        ]));
        let codes = DomainIndex::new(&towns).unwrap().codes(&texts).unwrap();
        assert_eq!(codes, [1, NO_CODE, NO_CODE, NO_CODE, 0]);
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(7), None]));
        let index = DomainIndex::new(&[KeyValue::Int(7), KeyValue::Int(i64::MIN)]).unwrap();
        assert_eq!(index.codes(&ints).unwrap(), [1, 0, NO_CODE]);
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
        assert_eq!(
            DomainIndex::new(&[KeyValue::Bool(true)]).unwrap().codes(&bools).unwrap(),
            [0, NO_CODE, NO_CODE]
        );
        assert!(index.codes(&bools).is_err());
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![Some(7), Some(i64::MIN), None, Some(0)]));
        assert!(index.codes(&times).is_err());
        let index =
            DomainIndex::new(&[KeyValue::Timestamp(0), KeyValue::Timestamp(i64::MIN)]).unwrap();
        assert_eq!(index.codes(&times).unwrap(), [NO_CODE, 1, NO_CODE, 0]);
    }

    #[test]
    fn an_empty_text_is_a_value_like_another() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["", "a", ""]));
        let index =
            DomainIndex::new(&[KeyValue::Text("a".into()), KeyValue::Text(String::new())]).unwrap();
        assert_eq!(index.codes(&texts).unwrap(), [1, 0, 1]);
    }

    #[test]
    fn mixed_and_empty_domains_are_refused() {
        assert!(DomainIndex::new(&[]).is_none());
        assert!(DomainIndex::new(&[KeyValue::Int(1), KeyValue::Bool(true)]).is_none());
    }
}
