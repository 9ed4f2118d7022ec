//! Whatever streams, batches and mixtures bring rows together, a pile's persons are the sets of rows of one
//! unit each, with what those rows add.

use super::*;
use cloister_terms::Name;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::BooleanBuffer;
use std::collections::BTreeMap;

fn layout() -> Arc<Layout> {
    let names = vec![Name::new("n").unwrap()];
    Arc::new(Layout { names, order: vec![], is_unordered: false })
}

/// Deals rows `(unit, n)`, in batches of some rows, dealt to several in turn; row `n` adds `n` steps to cell
/// `n`.
fn dealt(units: &dyn Fn(&[i64]) -> ArrayRef, rows: &[(i64, i64)], at_once: usize) -> Vec<Dealt> {
    let mut all: Vec<Dealt> = (0..at_once).map(|_| Dealt::new(layout())).collect();
    for (turn, rows) in rows.chunks(7).enumerate() {
        let of: Vec<i64> = rows.iter().map(|(unit, _)| *unit).collect();
        let ns: Vec<i64> = rows.iter().map(|(_, n)| *n).collect();
        let n: ArrayRef = Arc::new(Int64Array::from(ns.clone()));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("unit", units(&of), true), ("n", n, true)]);
        let odd: BooleanBuffer = ns.iter().map(|n| n % 2 == 1).collect();
        let values = RowValues {
            cells: ns.iter().map(|n| *n as u32).collect(),
            keys: None,
            lanes: vec![
                LaneValues::Steps(ns.clone()),
                LaneValues::Counted(odd.clone()),
                LaneValues::OncePerPersonWith(odd),
                LaneValues::EveryRow,
                LaneValues::OncePerPerson,
            ],
            clipped: ns.iter().map(|n| n % 3 == 0).collect(),
        };
        all[turn % at_once].deal(&batch.unwrap(), &values).unwrap();
    }
    all
}

/// Each person's rows, by the bytes of her unit; checks that everything told of a row is that row's.
fn found(dealt: &[Dealt]) -> BTreeMap<Vec<u8>, Vec<i64>> {
    let mut persons = BTreeMap::new();
    for pile in 0..PILES {
        let rows = PilePersons::new(dealt, pile);
        let values = rows.values();
        let [
            LaneValues::Steps(steps),
            LaneValues::Counted(odd),
            LaneValues::OncePerPersonWith(with),
            LaneValues::EveryRow,
            LaneValues::OncePerPerson,
        ] = values.lanes.as_slice()
        else {
            assert_eq!(rows.persons(PersonLimits::default()).count(), 0);
            continue;
        };
        for (person, fits) in rows.persons(PersonLimits::default()) {
            let (mut unit, mut bytes, mut ns) = (vec![], vec![], vec![]);
            rows.unit(person.start, &mut unit);
            for row in person {
                let n = steps[row];
                rows.row(row, &mut bytes);
                assert_eq!(bytes[5..], n.to_le_bytes());
                let mut same = vec![];
                rows.unit(row, &mut same);
                assert_eq!(same, unit);
                assert_eq!(i64::from(values.cells[row]), n);
                assert_eq!((odd.value(row), with.value(row)), (n % 2 == 1, n % 2 == 1));
                assert_eq!(values.clipped[row], n % 3 == 0);
                ns.push(n);
            }
            ns.sort_unstable();
            assert!(fits && persons.insert(unit, ns).is_none(), "one person twice");
        }
    }
    persons
}

/// As if all units shared one mixture.
fn collided(mut dealt: Vec<Dealt>) -> Vec<Dealt> {
    for one in &mut dealt {
        let piles = std::mem::take(&mut one.piles);
        let mut whole = Pile::default();
        for pile in &piles {
            pile.append_to(&mut whole);
            whole.places.extend_from_slice(&pile.places);
        }
        whole.keys = vec![7; whole.places.len()];
        one.piles.push(whole);
    }
    dealt
}

/// Units of one type from numbers.
type UnitsOf<'a> = &'a dyn Fn(&[i64]) -> ArrayRef;

#[test]
fn a26_every_person_is_whole_and_alone_whatever_the_type_of_units() {
    // 400 rows of 37 units and of none, in no order.
    let rows: Vec<(i64, i64)> = (0..400).map(|n| (n * 7_919 % 38, n)).collect();
    let known =
        |of: &[i64]| of.iter().map(|unit| (*unit != 37).then_some(*unit)).collect::<Vec<_>>();
    let kinds: [(UnitsOf, bool); 5] = [
        (&|of| Arc::new(Int64Array::from(known(of))), true),
        (&|of| Arc::new(TimestampMicrosecondArray::from(known(of))), true),
        (
            &|of| {
                let float = |unit: Option<i64>| unit.map(|unit| unit as f64 / 4.0);
                Arc::new(known(of).into_iter().map(float).collect::<Float64Array>())
            },
            false,
        ),
        (
            &|of| {
                let text = |unit: Option<i64>| unit.map(|unit| "x".repeat(unit as usize));
                Arc::new(known(of).into_iter().map(text).collect::<StringArray>())
            },
            false,
        ),
        (
            &|of| {
                let bool = |unit: Option<i64>| unit.map(|unit| unit % 2 == 0);
                Arc::new(known(of).into_iter().map(bool).collect::<BooleanArray>())
            },
            false,
        ),
    ];
    for (nth, (units, is_own)) in kinds.iter().enumerate() {
        let mut want: BTreeMap<Vec<u8>, Vec<i64>> = BTreeMap::new();
        for (unit, n) in rows.iter().filter(|(unit, _)| *unit != 37) {
            let mut bytes = vec![];
            TypedColumn::new(&units(&[*unit]), 0).unwrap().write(0, &mut bytes);
            want.entry(bytes).or_default().push(*n);
        }
        assert_eq!(want.len(), if nth == 4 { 2 } else { 37 });
        let mut other = rows.clone();
        other.reverse();
        other.rotate_left(131);
        for (rows, at_once) in [(&rows, 1), (&rows, 3), (&other, 1), (&other, 2)] {
            assert_eq!(found(&dealt(units, rows, at_once)), want, "type {nth}");
            if !is_own {
                // Units that share a mixture are told apart by themselves.
                let dealt = collided(dealt(units, rows, at_once));
                assert_eq!(found(&dealt), want, "type {nth}, all in one");
            }
        }
    }
}

#[test]
fn a26_the_limits_of_a_person_count_her_rows_alone() {
    let texts = |of: &[i64]| {
        let text = |unit: &i64| Some("x".repeat(*unit as usize));
        Arc::new(of.iter().map(text).collect::<StringArray>()) as ArrayRef
    };
    // Units of 1 and 30 bytes, 40 and 20 rows.
    let rows: Vec<(i64, i64)> = (0..60).map(|n| (if n % 3 == 0 { 30 } else { 1 }, n)).collect();
    let held = |rows_max, bytes_max| {
        let limits = PersonLimits { rows: rows_max, bytes: bytes_max };
        let dealt = dealt(&texts, &rows, 2);
        let mut held: Vec<usize> = Vec::new();
        for pile in 0..PILES {
            let persons = PilePersons::new(&dealt, pile);
            held.extend(
                persons.persons(limits).filter(|(_, fits)| *fits).map(|(rows, _)| rows.len()),
            );
        }
        held.sort_unstable();
        held
    };
    // Two columns of 8 bytes a row, and the texts.
    assert_eq!(held(40, usize::MAX), [20, 40]);
    assert_eq!(held(39, usize::MAX), [20]);
    assert_eq!(held(40, 20 * (16 + 30)), [20, 40]);
    assert_eq!(held(40, 20 * (16 + 30) - 1), [40]);
    assert_eq!(held(40, 40 * 17 - 1), [0usize; 0]);
}
