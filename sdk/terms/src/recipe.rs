//! Which rows of the answer are shown, and in which order: HAVING, ORDER BY and LIMIT over the noised
//! figures and the keys. Applied after everything else to what was released, so that it costs nothing and must
//! never reach a node's records.

use crate::Formula;
use crate::formula::FormulaError;
use crate::limits::{FORMULA_DEPTH_MAX, FORMULA_PARTS_MAX};
use crate::value::KeyValue;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What is done to the rows of the answer, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Rows are shown when this holds; all rows without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub having: Option<Condition>,
    /// Sort keys, the first one first; ties stay in the order of the public keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<SortKey>,
    /// Rows left out at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Rows shown at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A condition on noised figures and keys. One that compares a figure that is not defined does not hold, nor
/// does its negation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// A comparison of two figures.
    Compare {
        /// Which.
        op: FigureCompare,
        /// Left side.
        left: Formula,
        /// Right side.
        right: Formula,
    },
    /// All of them hold.
    And {
        /// The conditions.
        all: Vec<Condition>,
    },
    /// Any of them holds.
    Or {
        /// The conditions.
        any: Vec<Condition>,
    },
    /// A comparison of a row's key with a constant. Keys carry no noise. It does not hold where they are of
    /// two types.
    Key {
        /// Which.
        op: FigureCompare,
        /// Index into `keys`: the left side.
        dimension: u32,
        /// The right side.
        value: KeyValue,
    },
    /// Whether a figure is defined.
    Defined {
        /// The figure.
        of: Formula,
        /// Holds where it is; where it is not, when false.
        defined: bool,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureCompare {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// One sort key. Figures that are not defined come last, whichever way values run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SortKey {
    /// A key, by its value, or a figure.
    pub formula: Formula,
    /// Largest first.
    pub descending: bool,
}

impl Recipe {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its formulas.
    pub fn formulas(&self) -> Vec<&Formula> {
        let mut formulas = Vec::new();
        let mut waiting: Vec<&Condition> = self.having.iter().collect();
        while let Some(condition) = waiting.pop() {
            match condition {
                Condition::Compare { left, right, .. } => formulas.extend([left, right]),
                Condition::And { all: parts } | Condition::Or { any: parts } => {
                    waiting.extend(parts);
                }
                Condition::Key { .. } => {}
                Condition::Defined { of, .. } => formulas.push(of),
            }
        }
        formulas.extend(self.order.iter().map(|key| &key.formula));
        formulas
    }

    /// Checks depth, size, keys and every formula. Errors as [`FormulaError`] says; a key as a figure of a
    /// condition is [`FormulaError::Alone`].
    pub fn check(&self, keys: usize, lanes: usize) -> Result<(), FormulaError> {
        let mut waiting: Vec<(&Condition, usize)> = self.having.iter().map(|c| (c, 0)).collect();
        let mut parts = self.order.len();
        let figure = |formula: &Formula| match formula {
            Formula::Key { .. } => Err(FormulaError::Alone),
            formula => formula.check(keys, lanes),
        };
        while let Some((condition, depth)) = waiting.pop() {
            parts += 1;
            if depth >= FORMULA_DEPTH_MAX {
                return Err(FormulaError::Depth);
            }
            match condition {
                Condition::Compare { left, right, .. } => {
                    figure(left)?;
                    figure(right)?;
                }
                Condition::Key { dimension, .. } if *dimension as usize >= keys => {
                    return Err(FormulaError::Missing);
                }
                Condition::Key { .. } => {}
                Condition::Defined { of, .. } => figure(of)?,
                Condition::And { all: inner } | Condition::Or { any: inner } => {
                    waiting.extend(inner.iter().map(|condition| (condition, depth + 1)));
                }
            }
        }
        if parts > FORMULA_PARTS_MAX {
            return Err(FormulaError::Parts);
        }
        self.order.iter().try_for_each(|key| key.formula.check(keys, lanes))
    }
}

impl FigureCompare {
    /// Whether it holds between two numbers; false where either is NaN.
    pub fn holds(self, left: f64, right: f64) -> bool {
        left.partial_cmp(&right).is_some_and(|order| self.allows(order))
    }

    /// Whether it holds between two keys: whole numbers and times by size, texts by their UTF-8 bytes, FALSE
    /// before TRUE; false where they are of two types.
    pub fn holds_of_keys(self, left: &KeyValue, right: &KeyValue) -> bool {
        left.column_type() == right.column_type() && self.allows(left.cmp(right))
    }

    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The comparison that holds exactly where this one does not, between numbers.
    pub fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The comparison with its sides swapped.
    pub fn swapped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(lane: u32) -> Condition {
        let (left, right) = (Formula::Total { lane }, Formula::Total { lane: 0 });
        Condition::Compare { op: FigureCompare::Less, left, right }
    }

    #[test]
    fn an_empty_recipe_is_not_written() {
        assert_eq!(serde_json::to_string(&Recipe::default()).unwrap(), "{}");
        assert!(Recipe::default().is_empty());
        let recipe = Recipe { having: Some(compare(1)), limit: Some(0), ..Recipe::default() };
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        assert!(serde_json::from_str::<Recipe>(r#"{"sort":[]}"#).is_err());
    }

    #[test]
    fn hostile_recipes_are_refused() {
        let check = |having| Recipe { having: Some(having), ..Recipe::default() }.check(1, 2);
        assert_eq!(check(compare(1)), Ok(()));
        assert_eq!(check(compare(2)), Err(FormulaError::Missing));
        let many = Condition::Or { any: vec![compare(0); 1_000] };
        assert_eq!(check(many), Err(FormulaError::Parts));
        let mut deep = compare(0);
        for _ in 0..2_000 {
            deep = Condition::And { all: vec![deep] };
        }
        assert_eq!(check(deep), Err(FormulaError::Depth));
        let order = vec![SortKey { formula: Formula::Key { dimension: 1 }, descending: false }];
        let recipe = Recipe { order, ..Recipe::default() };
        assert_eq!(recipe.check(1, 2), Err(FormulaError::Missing));
    }

    fn of_key(dimension: u32, value: KeyValue) -> Condition {
        Condition::Key { op: FigureCompare::NotEqual, dimension, value }
    }

    #[test]
    fn hostile_conditions_on_keys_are_refused() {
        let check = |having| Recipe { having: Some(having), ..Recipe::default() }.check(1, 2);
        let defined = |of| Condition::Defined { of, defined: true };
        for dimension in [1, u32::MAX] {
            assert_eq!(check(of_key(dimension, KeyValue::Int(1))), Err(FormulaError::Missing));
        }
        assert_eq!(check(of_key(0, KeyValue::Text("a".repeat(1_000)))), Ok(()));
        assert_eq!(check(defined(Formula::Total { lane: 1 })), Ok(()));
        assert_eq!(check(defined(Formula::Total { lane: 2 })), Err(FormulaError::Missing));
        let key = Formula::Key { dimension: 0 };
        assert_eq!(check(defined(key.clone())), Err(FormulaError::Alone));
        let (op, left, right) = (FigureCompare::Less, key, Formula::Total { lane: 0 });
        assert_eq!(check(Condition::Compare { op, left, right }), Err(FormulaError::Alone));
        let many = Condition::And { all: vec![of_key(0, KeyValue::Bool(true)); 1_000] };
        assert_eq!(check(many), Err(FormulaError::Parts));
        let any = vec![of_key(0, KeyValue::Int(1)), defined(Formula::Total { lane: 0 })];
        let having = Some(Condition::Or { any });
        let recipe = Recipe { having, ..Recipe::default() };
        assert_eq!(recipe.formulas(), [&Formula::Total { lane: 0 }]);
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        assert!(serde_json::from_str::<Recipe>(&json.replace("\"1\"", "1")).is_err());
    }

    #[test]
    fn keys_compare_within_their_type() {
        use FigureCompare::{Equal, Greater, Less, NotEqual};
        let text = |text: &str| KeyValue::Text(text.to_owned());
        assert!(Less.holds_of_keys(&text("Ash"), &text("ash")));
        assert!(Greater.holds_of_keys(&KeyValue::Int(10), &KeyValue::Int(9)));
        assert!(Less.holds_of_keys(&KeyValue::Bool(false), &KeyValue::Bool(true)));
        assert!(Equal.holds_of_keys(&KeyValue::Timestamp(5), &KeyValue::Timestamp(5)));
        for op in [Equal, NotEqual, Less, Greater] {
            assert!(!op.holds_of_keys(&KeyValue::Int(5), &KeyValue::Timestamp(5)));
            assert!(!op.holds_of_keys(&KeyValue::Int(5), &text("5")));
        }
    }

    #[test]
    fn comparisons_turn_round() {
        use FigureCompare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        for op in [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual] {
            for (a, b) in [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)] {
                assert_ne!(op.holds(a, b), op.negated().holds(a, b));
                assert_eq!(op.holds(a, b), op.swapped().holds(b, a));
            }
            assert!(!op.holds(f64::NAN, 1.0));
        }
    }
}
