//! Groups of lanes that are charged once: what one person adds to all lanes of a group in one cell stays
//! within the group's total. The plan's conditions keep it there; this makes it a fact that does not rest
//! on them. It sees one person's sums alone.

use cloister_terms::OutputShape;
use std::ops::Range;

/// The groups of a shape: places of their lanes, and their totals in steps.
#[derive(Debug, Clone, Default)]
pub struct Groups(Vec<(Range<usize>, u64)>);

impl Groups {
    /// The groups of a shape's lanes; lanes of a group stand side by side in a checked one.
    pub fn of(shape: &OutputShape) -> Self {
        let mut groups: Vec<(Range<usize>, u64)> = Vec::new();
        let mut open: Option<u32> = None;
        for (place, lane) in shape.lanes.iter().enumerate() {
            let group = lane.one_of.map(|one_of| one_of.group);
            match (lane.one_of, groups.last_mut()) {
                (Some(own), Some((places, total))) if open == Some(own.group) => {
                    places.end = place + 1;
                    *total = own.total_steps.min(*total);
                }
                (Some(own), _) => groups.push((place..place + 1, own.total_steps)),
                (None, _) => {}
            }
            open = group;
        }
        Self(groups)
    }

    /// Cuts one person's sums in one cell, one a lane, so that the absolute sums of each group add up to
    /// its total at most. Earlier lanes keep theirs first; which those are depends on the plan alone.
    pub fn cut(&self, steps: &mut [i64]) {
        for (places, total) in &self.0 {
            let mut left = *total;
            for sum in steps.get_mut(places.clone()).into_iter().flatten() {
                let kept = sum.unsigned_abs().min(left);
                left -= kept;
                // At most the magnitude of an i64, so the conversion only fails for i64::MIN.
                let kept = i64::try_from(kept).unwrap_or(i64::MAX);
                *sum = if *sum < 0 { -kept } else { kept };
            }
        }
    }
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
            one_of: one_of.map(|(group, total_steps)| OneOf { group, total_steps }),
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
}
