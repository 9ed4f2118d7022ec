//! Which rows of the answer are shown, and in which order: HAVING, ORDER BY and LIMIT over the noised
//! figures and the keys, after everything else. Without a recipe the rows stand in the order of the public keys; no
//! order here can depend on anything but released figures.

use crate::figure::Figure;
use crate::lane_error::LaneError;
use crate::table::Row;
use cloister_terms::{Condition, FigureCompare, Formula, KeyValue, Recipe};
use std::cmp::Ordering;

/// A recipe made ready for all rows with as many partners behind them.
pub(crate) struct Choice {
    having: Option<Having>,
    order: Vec<SortBy>,
}

/// A row with what the recipe needs of it.
pub(crate) struct Placed {
    row: Row,
    is_shown: bool,
    places: Vec<Place>,
}

enum SortBy {
    Key(u32),
    Figure(Figure),
}

impl Choice {
    pub(crate) fn new(recipe: &Recipe, figure: &dyn Fn(&Formula) -> Figure) -> Self {
        let order = recipe.order.iter().map(|key| match &key.formula {
            Formula::Key { dimension } => SortBy::Key(*dimension),
            formula => SortBy::Figure(figure(formula)),
        });
        let having = recipe.having.as_ref().map(|having| Having::new(having, figure));
        Self { having, order: order.collect() }
    }

    /// Where a row with these lanes stands.
    pub(crate) fn place(
        &self,
        row: Row,
        errors: &[LaneError],
        steps: &dyn Fn(u32) -> Option<i128>,
    ) -> Placed {
        let is_answered = row.behind.answered > 0;
        let value = |figure: &Figure| {
            figure.cell(errors, steps).filter(|_| is_answered).and_then(|cell| cell.value())
        };
        let places = self.order.iter().map(|by| match by {
            SortBy::Key(dimension) => Place::Key(row.keys.get(*dimension as usize).cloned()),
            SortBy::Figure(figure) => Place::Figure(value(figure)),
        });
        let places = places.collect();
        let is_shown = self.having.as_ref().is_none_or(|having| having.holds(&row.keys, &value));
        Placed { row, is_shown, places }
    }
}

/// The rows that are shown, in order.
pub(crate) fn chosen(recipe: &Recipe, mut rows: Vec<Placed>) -> Vec<Row> {
    rows.retain(|placed| placed.is_shown);
    if recipe.limit.is_some() || recipe.offset.is_some() {
        // A key that nobody who answered holds takes no row's place.
        rows.retain(|placed| placed.row.behind.answered > 0);
    }
    // The sort is stable: ties stay in the order of the public keys.
    rows.sort_by(|left, right| compare(recipe, &left.places, &right.places));
    let skipped = recipe.offset.map_or(0, |offset| offset as usize);
    let shown = recipe.limit.map_or(usize::MAX, |limit| limit as usize);
    rows.into_iter().skip(skipped).take(shown).map(|placed| placed.row).collect()
}

/// Where a row stands by one sort key.
enum Place {
    Key(Option<KeyValue>),
    Figure(Option<f64>),
}

fn compare(recipe: &Recipe, left: &[Place], right: &[Place]) -> Ordering {
    let pairs = recipe.order.iter().zip(left.iter().zip(right));
    let mut orders = pairs.map(|(key, (left, right))| {
        let turned = |order: Ordering| if key.descending { order.reverse() } else { order };
        match (left, right) {
            (Place::Key(left), Place::Key(right)) => turned(left.cmp(right)),
            (Place::Figure(left), Place::Figure(right)) => match (left, right) {
                (Some(left), Some(right)) => turned(left.total_cmp(right)),
                // What is not defined comes last, whichever way values run.
                _ => left.is_none().cmp(&right.is_none()),
            },
            _ => Ordering::Equal,
        }
    });
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// A condition made ready for all rows. Recursion is bounded by the depth a checked shape allows.
enum Having {
    Compare(FigureCompare, Box<[Figure; 2]>),
    And(Vec<Having>),
    Or(Vec<Having>),
    Key(FigureCompare, u32, KeyValue),
    Defined(Box<Figure>, bool),
}

impl Having {
    fn new(condition: &Condition, figure: &dyn Fn(&Formula) -> Figure) -> Self {
        let each = |parts: &[Condition]| parts.iter().map(|part| Self::new(part, figure)).collect();
        match condition {
            Condition::Compare { op, left, right } => {
                Self::Compare(*op, Box::new([figure(left), figure(right)]))
            }
            Condition::And { all } => Self::And(each(all)),
            Condition::Or { any } => Self::Or(each(any)),
            Condition::Key { op, dimension, value } => Self::Key(*op, *dimension, value.clone()),
            Condition::Defined { of, defined } => Self::Defined(Box::new(figure(of)), *defined),
        }
    }

    fn holds(&self, keys: &[KeyValue], value: &dyn Fn(&Figure) -> Option<f64>) -> bool {
        match self {
            Self::Compare(op, sides) => {
                let [left, right] = sides.as_ref();
                value(left).zip(value(right)).is_some_and(|(left, right)| op.holds(left, right))
            }
            Self::And(all) => all.iter().all(|part| part.holds(keys, value)),
            Self::Or(any) => any.iter().any(|part| part.holds(keys, value)),
            Self::Key(op, dimension, right) => {
                keys.get(*dimension as usize).is_some_and(|key| op.holds_of_keys(key, right))
            }
            Self::Defined(of, defined) => value(of).is_some() == *defined,
        }
    }
}
