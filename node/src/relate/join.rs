//! Pairs of rows of the same person with equal keys. Only rows between one person's borders meet; the
//! unit is a key that is never written down.

use crate::fault::Fault;
use crate::relate::keys::{KeyCoder, Keys};
use crate::relate::pairs::{Pen, Right, pairs};
use crate::relate::rows::{NO_ROW, PersonRows, Room, StepStop};
use crate::relate::{RelationError, Step, distinct_names};
use cloister_plan::{Expr, JoinKey, JoinKind};
use cloister_terms::Name;
use datafusion::arrow::array::{Array, ArrayRef};
use std::ops::Range;
use std::sync::Arc;

/// A join made ready.
pub struct Join {
    kind: JoinKind,
    on: Vec<JoinKey>,
    coder: KeyCoder,
    names: Arc<[Name]>,
}

impl Join {
    /// Checks names and key types against the columns of both sides.
    pub fn new(
        kind: JoinKind,
        on: &[JoinKey],
        left: &PersonRows,
        right: &PersonRows,
    ) -> Result<Self, StepStop> {
        let names = distinct_names(left.names().iter().chain(right.names().iter()))?;
        let (here, there) =
            (values(on, left, |key| &key.left)?, values(on, right, |key| &key.right)?);
        let coder = coder(&here, &there)?;
        Ok(Self { kind, on: on.to_vec(), coder, names })
    }
}

impl Step for Join {
    fn run(&self, below: &[PersonRows], room: &mut Room) -> Result<PersonRows, StepStop> {
        let [left, right] = below else { return Err(RelationError::Lacks("sides").into()) };
        let here = self.coder.keys(&values(&self.on, left, |key| &key.left)?)?;
        let there = self.coder.keys(&values(&self.on, right, |key| &key.right)?)?;
        let keys = (&here, &there);
        let mut sorted = Vec::new();
        pairs(left, Right::Persons(right), &self.names, room, |mine, partners, pen| {
            if self.on.is_empty() {
                every_pair(mine, partners, self.kind, pen);
            } else {
                equal_pairs(mine, partners, self.kind, keys, &mut sorted, pen);
            }
        })
    }
}

/// A coder for keys of both sides. Errors when their types differ.
pub fn coder(left: &[ArrayRef], right: &[ArrayRef]) -> Result<KeyCoder, Fault> {
    let alike = left.iter().zip(right).all(|(left, right)| left.data_type() == right.data_type());
    if alike { KeyCoder::of(left) } else { Err(RelationError::Differ("join keys").into()) }
}

/// The key columns of one side.
pub fn values(
    on: &[JoinKey],
    rows: &PersonRows,
    side: impl Fn(&JoinKey) -> &Expr,
) -> Result<Vec<ArrayRef>, StepStop> {
    let values = on.iter().map(|key| rows.value(side(key)));
    let values = values.collect::<Result<Vec<_>, StepStop>>()?;
    rows.spend_keys(&values)?;
    Ok(values)
}

fn every_pair(mine: Range<u32>, partners: Range<u32>, kind: JoinKind, pen: &mut Pen) {
    for left in mine {
        if partners.is_empty() && kind == JoinKind::Left && !pen.pair(left, NO_ROW) {
            return;
        }
        for right in partners.clone() {
            if !pen.pair(left, right) {
                return;
            }
        }
    }
}

/// By left row, then by right row: the right rows are sorted once, ties as they stood.
fn equal_pairs(
    mine: Range<u32>,
    partners: Range<u32>,
    kind: JoinKind,
    (here, there): (&Keys, &Keys),
    sorted: &mut Vec<u32>,
    pen: &mut Pen,
) {
    sorted.clear();
    sorted.extend(partners.filter(|row| !there.has_null(*row as usize)));
    let key = |row: &u32| there.key(*row as usize);
    sorted.sort_by(|left, right| key(left).cmp(&key(right)));
    for left in mine {
        let wanted = here.key(left as usize);
        let found = if here.has_null(left as usize) {
            0..0
        } else {
            let start = sorted.partition_point(|row| key(row) < wanted);
            start..sorted.partition_point(|row| key(row) <= wanted)
        };
        if found.is_empty() && kind == JoinKind::Left && !pen.pair(left, NO_ROW) {
            return;
        }
        for right in sorted.get(found).unwrap_or_default() {
            if !pen.pair(left, *right) {
                return;
            }
        }
    }
}
