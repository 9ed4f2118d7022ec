//! Which cells each partner answers, where not every partner serves every key: a partner's name, the
//! countries it works in. A partner releases and noises its own cells only, and an answer says how many
//! partners stand behind each; a cell that a partner does not serve is never a silent zero.

use crate::Name;
use crate::shape::{OutputShape, ShapeError};
use serde::{Deserialize, Serialize};

/// The cells of one partner: every combination of the positions listed for each key dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// The partner.
    pub partner: Name,
    /// One list a key dimension: positions of the values the partner serves, ascending, at least one.
    pub positions: Vec<Vec<u32>>,
}

/// Why the cells of partners are unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServedError {
    /// Partners are not sorted, or one stands twice.
    #[error("the partners with keys of their own must be sorted and distinct")]
    Partners,
    /// A list does not fit its dimension.
    #[error(
        "the keys of `{0}` are not ascending positions of the answer's keys, at least one of each: plan the analysis again"
    )]
    Positions(Name),
}

impl Served {
    /// The partner's cells, ascending. Positions were checked by [`check`]; a wrong one yields no cell.
    fn cells(&self, shape: &OutputShape) -> Vec<u64> {
        let start = vec![0u64];
        self.positions.iter().zip(&shape.keys).fold(start, |cells, (positions, dimension)| {
            let radix = dimension.values.len() as u64;
            let of = |cell: u64| {
                positions.iter().map(move |position| {
                    // Products stay below the checked number of cells.
                    cell.saturating_mul(radix).saturating_add(u64::from(*position))
                })
            };
            cells.into_iter().flat_map(of).collect()
        })
    }
}

/// Checks lists against the shape they belong to.
pub(crate) fn check(served: &[Served], shape: &OutputShape) -> Result<(), ServedError> {
    let partners = served.iter().map(|served| &served.partner);
    if !partners.clone().is_sorted_by(|left, right| left < right) {
        return Err(ServedError::Partners);
    }
    for one in served {
        let fits = one.positions.len() == shape.keys.len()
            && one.positions.iter().zip(&shape.keys).all(|(positions, dimension)| {
                let last = positions.last().copied();
                let inside = last.is_some_and(|last| (last as usize) < dimension.values.len());
                inside && positions.is_sorted_by(|left, right| left < right)
            });
        if !fits {
            return Err(ServedError::Positions(one.partner.clone()));
        }
    }
    Ok(())
}

impl OutputShape {
    /// How many of `asked` partners answer a cell that any answers: the fewest and the most.
    ///
    /// # Errors
    /// As [`OutputShape::cells`].
    pub fn partners_behind(&self, asked: usize) -> Result<(usize, usize), ShapeError> {
        if self.served.is_empty() {
            return Ok((asked, asked));
        }
        // Checked sizes: at most 10^6 cells.
        let mut behind = vec![0usize; usize::try_from(self.cells()?).unwrap_or(0)];
        for cell in self.served.iter().flat_map(|one| one.cells(self)) {
            let place = usize::try_from(cell).unwrap_or(usize::MAX);
            behind.get_mut(place).into_iter().for_each(|count| *count += 1);
        }
        let answered = || behind.iter().copied().filter(|count| *count > 0);
        let most = answered().max().unwrap_or(0).min(asked);
        Ok((answered().min().unwrap_or(0).min(asked), most))
    }

    /// The cells a partner answers, ascending; `None` when every partner answers all. A partner that is
    /// not listed where others are answers none. Errors on an unusable shape.
    pub fn cells_of(&self, partner: &Name) -> Result<Option<Vec<u64>>, ShapeError> {
        self.check()?;
        if self.served.is_empty() {
            return Ok(None);
        }
        let own = self.served.iter().find(|served| served.partner == *partner);
        Ok(Some(own.map(|served| served.cells(self)).unwrap_or_default()))
    }

    /// How many integers these partners release together, sorted as they are; at most `u64::MAX`.
    ///
    /// # Errors
    /// As [`OutputShape::vector_len`].
    pub fn integers_of(&self, partners: &[Name]) -> Result<u64, ShapeError> {
        let whole = self.vector_len()? as u64;
        if self.served.is_empty() {
            return Ok(whole.saturating_mul(partners.len() as u64));
        }
        let own = self.served.iter().filter(|one| partners.binary_search(&one.partner).is_ok());
        let lengths = own.map(|one| {
            let cells = one.positions.iter().map(Vec::len).fold(1, usize::saturating_mul);
            self.vector_len_with(cells) as u64
        });
        Ok(lengths.fold(0, u64::saturating_add))
    }

    /// Length of the vector that a partner releases. Errors on an unusable shape.
    pub fn vector_len_of(&self, partner: &Name) -> Result<usize, ShapeError> {
        let whole = self.vector_len()?;
        let own = self.cells_of(partner)?;
        Ok(own.map_or(whole, |cells| self.vector_len_with(cells.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyDimension, KeyValue, LaneShape, Noise, Ratio};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn shape(served: &[(&str, &[&[u32]])]) -> OutputShape {
        let values = |n: i64| (0..n).map(KeyValue::Int).collect();
        let key = |n: i64| KeyDimension { name: "k".into(), values: values(n) };
        let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
        let served = served.iter().map(|(partner, positions)| Served {
            partner: name(partner),
            positions: positions.iter().map(|list| list.to_vec()).collect(),
        });
        OutputShape {
            keys: vec![key(2), key(3)],
            lanes: vec![LaneShape {
                name: "n".into(),
                grid_bits: 0,
                sensitivity_steps: 1,
                noise,
                one_of: None,
            }],
            columns: vec![],
            served: served.collect(),
            recipe: crate::Recipe::default(),
            private_keys: None,
            diagnostics: vec![],
        }
    }

    #[test]
    fn cells_are_the_product_of_the_positions() {
        let shape = shape(&[("bank", &[&[1], &[0, 2]]), ("shop", &[&[0, 1], &[1]])]);
        let partners = |names: &[&str]| names.iter().map(|one| name(one)).collect::<Vec<_>>();
        // Of a partner who is not asked, or serves nothing, nothing.
        assert_eq!(shape.integers_of(&partners(&["bank", "shop"])), Ok(4));
        assert_eq!(shape.integers_of(&partners(&["bank", "zoo"])), Ok(2));
        assert_eq!(shape.cells_of(&name("bank")).unwrap(), Some(vec![3, 5]));
        assert_eq!(shape.cells_of(&name("shop")).unwrap(), Some(vec![1, 4]));
        assert_eq!(shape.cells_of(&name("other")).unwrap(), Some(vec![]));
        assert_eq!(shape.vector_len_of(&name("bank")), Ok(2));
        let everyone = self::shape(&[]);
        assert_eq!(everyone.cells_of(&name("bank")).unwrap(), None);
        assert_eq!(everyone.vector_len_of(&name("bank")), Ok(6));
    }

    #[test]
    fn hostile_lists_are_refused() {
        for positions in [
            &[&[0u32][..]][..],
            &[&[0], &[]],
            &[&[0], &[3]],
            &[&[0], &[1, 0]],
            &[&[0], &[1, 1]],
            &[&[0], &[u32::MAX]],
            &[&[0], &[0], &[0]],
        ] {
            let error = shape(&[("bank", positions)]).check().unwrap_err();
            assert!(
                matches!(error, ShapeError::Served(ServedError::Positions(_))),
                "{positions:?}"
            );
        }
        let all: &[&[u32]] = &[&[0], &[0]];
        for partners in [["shop", "bank"], ["bank", "bank"]] {
            let error = shape(&partners.map(|partner| (partner, all))).check().unwrap_err();
            assert_eq!(error, ShapeError::Served(ServedError::Partners));
        }
    }
}
