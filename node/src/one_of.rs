//! Groups of lanes that are charged once: what one person adds to all lanes of a group in one cell stays
//! within the group's norm and total. For rows the plan's conditions keep it there, and this makes it a fact that
//! does not rest on them; a module's vector is clipped here. It sees one person's sums alone.

use cloister_terms::OutputShape;
use std::ops::Range;

/// The groups of a shape.
#[derive(Debug, Clone, Default)]
pub struct Groups(Vec<Group>);

/// Places of a group's lanes, and its bounds in steps.
#[derive(Debug, Clone)]
struct Group {
    places: Range<usize>,
    total: u64,
    norm: Option<u64>,
}

impl Groups {
    /// The groups of a shape's lanes; lanes of a group stand side by side in a checked one.
    pub fn of(shape: &OutputShape) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut open: Option<u32> = None;
        for (place, lane) in shape.lanes.iter().enumerate() {
            let group = lane.one_of.map(|one_of| one_of.group);
            match (lane.one_of, groups.last_mut()) {
                (Some(own), Some(last)) if open == Some(own.group) => {
                    last.places.end = place + 1;
                    last.total = own.total_steps.min(last.total);
                    last.norm = match (last.norm, own.norm_steps) {
                        (Some(one), Some(other)) => Some(one.min(other)),
                        (one, other) => one.or(other),
                    };
                }
                (Some(own), _) => groups.push(Group {
                    places: place..place + 1,
                    total: own.total_steps,
                    norm: own.norm_steps,
                }),
                (None, _) => {}
            }
            open = group;
        }
        Self(groups)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cuts one person's sums in one cell, one a lane. Where a group has a norm, a longer vector is scaled
    /// down to it, toward zero; then the absolute sums of each group add up to its total at most, earlier lanes
    /// keeping theirs first; which those are depends on the plan alone. True: something was cut.
    pub fn cut(&self, steps: &mut [i64]) -> bool {
        let mut is_cut = false;
        for Group { places, total, norm } in &self.0 {
            let Some(sums) = steps.get_mut(places.clone()) else { continue };
            if let Some(norm) = norm {
                is_cut |= scale_down(sums, *norm);
            }
            let mut left = *total;
            for sum in sums {
                let kept = sum.unsigned_abs().min(left);
                is_cut |= kept < sum.unsigned_abs();
                left -= kept;
                // At most the magnitude of an i64, so the conversion only fails for i64::MIN.
                let kept = i64::try_from(kept).unwrap_or(i64::MAX);
                *sum = if *sum < 0 { -kept } else { kept };
            }
        }
        is_cut
    }
}

/// Scales a vector to a Euclidean norm of at most `norm`, each part truncated toward zero. In integers
/// throughout: with N the norm rounded up, `|trunc(x n / N)| <= |x| n / N`, so the new norm is at most
/// `n * |x| / N <= n`. True when it was longer.
fn scale_down(vector: &mut [i64], norm: u64) -> bool {
    // So that squares and their sum stay in range: at most 2^10 lanes of at most 2^53 steps come here, and
    // whatever does not fit counts as too long by far.
    let squared = vector
        .iter()
        .try_fold(0_u128, |sum, part| sum.checked_add(u128::from(part.unsigned_abs()).pow(2)));
    let longest = u128::from(norm);
    if squared.is_some_and(|squared| squared <= longest.pow(2)) {
        return false;
    }
    let length = squared.map(|squared| {
        let root = squared.isqrt();
        if root.pow(2) < squared { root + 1 } else { root }
    });
    for part in vector {
        let scaled = length.and_then(|length| {
            u128::from(part.unsigned_abs()).checked_mul(longest)?.checked_div(length)
        });
        // Smaller than before, so it fits; what could not be reckoned becomes nothing.
        let size = scaled.and_then(|size| i64::try_from(size).ok()).unwrap_or(0);
        *part = if *part < 0 { -size } else { size };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::{LaneShape, Noise, OneOf, Ratio, Recipe};

    fn shape(groups: &[Option<(u32, u64)>]) -> OutputShape {
        let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
        let lane = |one_of: &Option<(u32, u64)>| LaneShape {
            name: "n".into(),
            grid_bits: 0,
            sensitivity_steps: 1,
            noise,
            one_of: one_of.map(|(group, total_steps)| OneOf {
                group,
                total_steps,
                norm_steps: None,
            }),
        };
        let lanes = groups.iter().map(lane).collect();
        OutputShape {
            keys: vec![],
            lanes,
            columns: vec![],
            served: vec![],
            recipe: Recipe::default(),
            private_keys: None,
            diagnostics: vec![],
        }
    }

    #[test]
    fn a04_one_person_never_passes_the_total_of_a_group() {
        let (a, b) = (Some((0, 5)), Some((1, 2)));
        let groups = Groups::of(&shape(&[None, a, a, a, b, b, None]));
        for (mut steps, expected) in [
            (vec![9, 1, 2, 2, 1, 1, 9], vec![9, 1, 2, 2, 1, 1, 9]),
            (vec![9, 4, 4, 4, 2, 1, -9], vec![9, 4, 1, 0, 2, 0, -9]),
            (vec![0, -9, 1, 1, i64::MIN, 1, 0], vec![0, -5, 0, 0, -2, 0, 0]),
        ] {
            groups.cut(&mut steps);
            assert_eq!(steps, expected);
        }
        // Fewer sums than lanes are left alone rather than read beyond their end.
        let mut short = vec![7, 7];
        groups.cut(&mut short);
        assert_eq!(short, [7, 7]);
        Groups::default().cut(&mut short);
        assert_eq!(short, [7, 7]);
    }
    #[test]
    fn a04_one_person_never_passes_the_norm_of_a_group_and_keeps_her_direction() {
        let mut clipped = shape(&[Some((0, 100)); 3]);
        for lane in &mut clipped.lanes {
            lane.one_of = Some(OneOf { group: 0, total_steps: 17, norm_steps: Some(10) });
        }
        // Lanes that disagree, which no checked shape has, are held to the stricter bound.
        clipped.lanes[1].one_of.as_mut().unwrap().norm_steps = None;
        clipped.lanes[2].one_of.as_mut().unwrap().norm_steps = Some(11);
        let groups = Groups::of(&clipped);
        let cut = |mut steps: Vec<i64>| {
            let is_cut = groups.cut(&mut steps);
            (steps, is_cut)
        };
        assert_eq!(cut(vec![6, -8, 0]), (vec![6, -8, 0], false), "just as long as allowed");
        assert_eq!(cut(vec![60, -80, 0]), (vec![6, -8, 0], true));
        assert_eq!(cut(vec![6, -8, 1]), (vec![5, -7, 0], true), "toward zero");
        assert_eq!(cut(vec![0, 0, 0]), (vec![0, 0, 0], false));
        let mut state = 5u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state as i64) >> (state >> 58)
        };
        for _ in 0..20_000 {
            let vector = vec![random(), random(), random()];
            let (found, _) = cut(vector.clone());
            assert!(found.iter().map(|part| part * part).sum::<i64>() <= 100, "{vector:?}");
            let same_sign = |(one, other): (&i64, &i64)| *one == 0 || (*one < 0) == (*other < 0);
            assert!(found.iter().zip(&vector).all(same_sign), "{vector:?} became {found:?}");
            let length = vector.iter().map(|part| (*part as f64).powi(2)).sum::<f64>().sqrt();
            let scale = (10.0 / length).min(1.0);
            for (part, was) in found.iter().zip(&vector) {
                assert!(
                    (*part as f64 - *was as f64 * scale).abs() < 2.0,
                    "{vector:?} became {found:?}"
                );
            }
        }
        for extreme in [i64::MIN, i64::MAX] {
            let (found, is_cut) = cut(vec![extreme; 3]);
            assert!(is_cut && found.iter().map(|part| part * part).sum::<i64>() <= 100);
        }
    }
}
