//! Shapes and releases with private keys, hostile ones among them.

use super::*;
use crate::release::Int;
use crate::{Cost, Digest, LaneShape, Name, Noise, Ratio, Recipe};

fn text(value: &str) -> KeyValue {
    KeyValue::Text(value.into())
}

fn shape() -> OutputShape {
    let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
    let lane = |sensitivity_steps| LaneShape {
        name: "n".into(),
        grid_bits: 0,
        sensitivity_steps,
        noise,
        one_of: None,
    };
    let key = |name: &str, values| KeyDimension { name: name.into(), values };
    OutputShape {
        keys: vec![key("town", vec![]), key("kind", vec![KeyValue::Int(1), KeyValue::Int(2)])],
        lanes: vec![lane(5), lane(1)],
        columns: vec![],
        served: vec![],
        recipe: Recipe::default(),
        private_keys: Some(PrivateKeys {
            types: vec![ColumnType::Text, ColumnType::Int64],
            threshold: Some(KeyThreshold {
                persons_lane: 1,
                people: 10,
                delta: "0.01".parse().unwrap(),
            }),
            found: vec![],
        }),
        diagnostics: vec![],
    }
}

fn release(keys: &[(&str, i64)], values: &[i128]) -> ReleaseRecord {
    let digest = Digest::new([0; 32]);
    let name = |text: &str| Name::new(text).unwrap();
    ReleaseRecord {
        version: 1,
        node: name("north"),
        unit_namespace: name("riders"),
        agreement: digest,
        analysis: digest,
        plan: digest,
        parameters: digest,
        round: 1,
        epoch: 0,
        cost: Cost::ZERO,
        charge: digest,
        keys: keys.iter().map(|(town, kind)| vec![text(town), KeyValue::Int(*kind)]).collect(),
        values: values.iter().map(|value| Int(*value)).collect(),
    }
}

#[test]
fn an_answer_has_the_cells_that_any_release_shows() {
    let open = shape();
    assert_eq!((open.check(), open.cells(), open.vector_len()), (Ok(()), Ok(0), Ok(0)));
    let (north, south) =
        (release(&[("a", 1), ("c", 2)], &[7, 10, 8, 11]), release(&[("c", 2)], &[9, 12]));
    assert_eq!((north.fits(&open), south.fits(&open)), (Ok(true), Ok(true)));
    let found = open.found_in([&south, &north]).unwrap();
    assert_eq!((found.check(), found.cells(), found.vector_len()), (Ok(()), Ok(2), Ok(4)));
    assert_eq!(found.key_of(1).unwrap(), [&text("c"), &KeyValue::Int(2)]);
    assert_eq!(found.key_of(2), None);
    let json = serde_json::to_string(&open).unwrap();
    assert!(!json.contains("found"));
    assert_eq!(serde_json::from_str::<OutputShape>(&json).unwrap(), open);
    assert_eq!(release(&[], &[]).fits(&open), Ok(true), "nothing reached the threshold");
}

/// Each partner shows few groups, but a hundred and one partners may show more than an answer has.
#[test]
fn the_groups_of_all_partners_together_are_bounded_before_they_are_gathered() {
    let shown = |numbers: std::ops::Range<u64>| {
        let keys = numbers.map(|number| vec![KeyValue::Int(number as i64)]).collect();
        ReleaseRecord { keys, ..release(&[], &[]) }
    };
    let all = [shown(0..CELLS_MAX), shown(3..7), shown(CELLS_MAX..CELLS_MAX + 1), shown(0..1)];
    // The one too many ends it: whoever comes after is not even looked at.
    let mut looked_at = 0;
    let refused = shape().found_in(all.iter().inspect(|_| looked_at += 1)).unwrap_err();
    assert_eq!((&refused, looked_at), (&PrivateKeysError::TooMany(CELLS_MAX as usize), 3));
    assert!(refused.to_string().contains("ask fewer partners at once"), "{refused}");
    // More figures a group, fewer groups.
    let mut wide = shape();
    wide.lanes = vec![wide.lanes.remove(1); 1_024];
    let most = SHOWN_VALUES_MAX / 1_024;
    let too_many = PrivateKeysError::TooMany(most as usize);
    assert_eq!(wide.found_in([&shown(0..most), &shown(most..most + 1)]), Err(too_many));
    let found = wide.found_in([&shown(0..most), &shown(3..7)]).unwrap();
    assert_eq!((found.cells(), found.vector_len()), (Ok(most), Ok(most as usize * 1_024)));
    // Those that every partner is to answer are no more than one release holds.
    let mut asked = wide.clone();
    asked.private_keys.as_mut().unwrap().threshold = None;
    let most = VECTOR_MAX / 1_024;
    let too_many = PrivateKeysError::TooMany(most as usize);
    assert_eq!(asked.found_in([&shown(0..most + 1)]), Err(too_many));
    // A public shape has its own cells, whatever a release names.
    let public = OutputShape { private_keys: None, ..shape() };
    assert_eq!(public.found_in(&all), Ok(public));
}

#[test]
fn a10_a_release_shows_no_key_below_the_threshold_and_none_of_another_shape() {
    let shape = shape();
    for wrong in [
        release(&[("a", 1)], &[7, 9]),
        release(&[("a", 1)], &[7]),
        release(&[("a", 1)], &[7, 10, 8]),
        release(&[("a", 3)], &[7, 10]),
        release(&[("c", 1), ("a", 1)], &[7, 10, 7, 10]),
        release(&[("a", 1), ("a", 1)], &[7, 10, 7, 10]),
        release(&[], &[7, 10]),
    ] {
        assert_eq!(wrong.fits(&shape), Ok(false), "{wrong:?}");
    }
    let mut short = release(&[("a", 1)], &[7, 10]);
    short.keys[0].pop();
    let mut other = release(&[("a", 1)], &[7, 10]);
    other.keys[0][0] = KeyValue::Int(1);
    assert_eq!((short.fits(&shape), other.fits(&shape)), (Ok(false), Ok(false)));
    let mut long = release(&[("a", 1)], &[7, 10]);
    long.keys[0][0] = text(&"a".repeat(PRIVATE_KEY_BYTES_MAX + 1));
    assert_eq!(long.fits(&shape), Ok(false));
    let mut absurd = release(&[("a", 1)], &[7, 10]);
    absurd.values[0] = Int(crate::limits::RELEASE_VALUE_MAX + 1);
    assert_eq!(absurd.fits(&shape), Ok(false), "no partner may make the sum over all overflow");
    let mut public = shape.clone();
    public.private_keys = None;
    public.keys.truncate(0);
    let mut named = release(&[], &[7, 10]);
    assert_eq!(named.fits(&public), Ok(true));
    named.keys = vec![vec![]];
    assert_eq!(named.fits(&public), Ok(false), "a public answer names no keys");
}

#[test]
fn a_second_round_answers_the_keys_that_were_found_and_no_other() {
    let mut asked = shape();
    asked.private_keys.as_mut().unwrap().threshold = None;
    let key = |town: &str| vec![text(town), KeyValue::Int(1)];
    let found = asked.of_keys(vec![key("a"), key("b")]);
    assert_eq!((found.check(), found.vector_len()), (Ok(()), Ok(4)));
    let whole = release(&[], &[7, -3, 8, 0]);
    assert_eq!(whole.fits(&found), Ok(true), "few people or none are answered, too");
    let keys = found.private_keys.as_ref().unwrap().keys_of(&whole);
    assert_eq!(keys, [key("a"), key("b")]);
    for wrong in [
        release(&[], &[]),
        release(&[], &[7, 9]),
        release(&[], &[7, 9, 7]),
        release(&[], &[7, 9, 7, 9, 7, 9]),
        release(&[("a", 1), ("b", 1)], &[7, 9, 7, 9]),
    ] {
        assert_eq!(wrong.fits(&found), Ok(false), "{wrong:?}");
    }
    assert_eq!(release(&[], &[]).fits(&asked), Ok(false), "nothing is answered before it is found");
}

#[test]
fn hostile_shapes_are_refused() {
    let changes: [fn(&mut OutputShape, &mut PrivateKeys); 10] = [
        |_, private| private.types.truncate(1),
        |shape, private| {
            shape.keys.clear();
            private.types.clear();
        },
        |_, private| private.types[0] = ColumnType::Float64,
        |_, private| private.types[1] = ColumnType::Text,
        |_, private| private.threshold.as_mut().unwrap().persons_lane = 0,
        |_, private| private.threshold.as_mut().unwrap().persons_lane = u32::MAX,
        |_, private| private.threshold.as_mut().unwrap().people = 0,
        |_, private| private.threshold.as_mut().unwrap().delta = Delta::ZERO,
        |_, private| private.found = vec![vec![text("a")]],
        |_, private| {
            let key = |town| vec![text(town), KeyValue::Int(1)];
            private.found = vec![key("b"), key("a")];
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut wrong = shape();
        let mut private = wrong.private_keys.take().unwrap();
        change(&mut wrong, &mut private);
        wrong.private_keys = Some(private);
        assert!(wrong.check().is_err(), "change {number}");
    }
}
