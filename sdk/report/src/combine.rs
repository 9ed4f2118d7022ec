//! Adds nodes' released vectors lane by lane and remembers who stands behind the sum. It never
//! wraps, never counts a node twice and never passes a partial sum off as a whole one.

use cloister_terms::limits::PARTIES_MAX;
use cloister_terms::shape::ShapeError;
use cloister_terms::{Name, OutputShape};
use serde::Serialize;
use std::fmt;

/// Summed lanes, cell-major as [`OutputShape`] says, and the nodes they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    lanes: Vec<i128>,
    lanes_a_cell: usize,
    nodes: Vec<Name>,
    asked: usize,
}

/// How many of the partners that were asked stand behind a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Partners whose vector is in the sum.
    pub answered: usize,
    /// Partners that were asked.
    pub asked: usize,
}

/// Why vectors do not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// The shape is unusable.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Nobody answered.
    #[error("no partner's release has arrived: wait for one, or ask again")]
    NoVectors,
    /// The number of partners asked cannot be.
    #[error(
        "{asked} partners were asked and {answered} answered: give the number asked, from {answered} to {max}"
    )]
    Asked {
        /// Partners asked, as given.
        asked: usize,
        /// Vectors given.
        answered: usize,
        /// The limit.
        max: usize,
    },
    /// A node's vector is there twice.
    #[error("`{0}` is there twice: combine one release of each partner")]
    Duplicate(Name),
    /// A vector has not the shape's length.
    #[error(
        "the release of `{node}` has {found} integers, the approved shape {expected}: leave that partner out and report it"
    )]
    Length {
        /// The node.
        node: Name,
        /// Integers found.
        found: usize,
        /// Integers the shape has.
        expected: usize,
    },
    /// A sum leaves i128.
    #[error(
        "cell {cell}, lane {lane} leaves the range of whole numbers: a partner released an absurd figure"
    )]
    Overflow {
        /// The cell.
        cell: usize,
        /// The lane.
        lane: usize,
    },
}

impl Combined {
    /// Adds up `vectors`, one a node, each with `shape.vector_len()` integers; `asked` is how many partners
    /// were asked, whether they answered or not. Errors as [`CombineError`] says, never in part.
    pub fn new(
        shape: &OutputShape,
        asked: usize,
        vectors: &[(Name, Vec<i128>)],
    ) -> Result<Self, CombineError> {
        shape.check()?;
        let expected = shape.vector_len()?;
        let lanes_a_cell = shape.lanes.len();
        if vectors.is_empty() {
            return Err(CombineError::NoVectors);
        }
        if !(vectors.len()..=PARTIES_MAX).contains(&asked) {
            let answered = vectors.len();
            return Err(CombineError::Asked { asked, answered, max: PARTIES_MAX });
        }
        let nodes = distinct(vectors)?;
        let mut lanes = vec![0i128; expected];
        for (node, vector) in vectors {
            if vector.len() != expected {
                let (node, found) = (node.clone(), vector.len());
                return Err(CombineError::Length { node, found, expected });
            }
            for (index, (sum, value)) in lanes.iter_mut().zip(vector).enumerate() {
                *sum = sum.checked_add(*value).ok_or(CombineError::Overflow {
                    cell: index / lanes_a_cell,
                    lane: index % lanes_a_cell,
                })?;
            }
        }
        Ok(Self { lanes, lanes_a_cell, nodes, asked })
    }

    /// The sums, cell-major, in steps of each lane's grid.
    pub fn lanes(&self) -> &[i128] {
        &self.lanes
    }

    /// One sum, or `None` when there is no such cell or lane.
    pub fn lane(&self, cell: u64, lane: u32) -> Option<i128> {
        let (cell, lane) = (usize::try_from(cell).ok()?, usize::try_from(lane).ok()?);
        if lane >= self.lanes_a_cell {
            return None;
        }
        let index = cell.checked_mul(self.lanes_a_cell)?.checked_add(lane)?;
        self.lanes.get(index).copied()
    }

    /// Lanes of each cell.
    pub fn lanes_a_cell(&self) -> usize {
        self.lanes_a_cell
    }

    /// The nodes in the sum, sorted.
    pub fn nodes(&self) -> &[Name] {
        &self.nodes
    }

    /// Partners asked.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// How many partners stand behind a cell; `None` when there is no such cell.
    pub fn behind(&self, cell: u64) -> Option<Behind> {
        self.lane(cell, 0)?;
        Some(Behind { answered: self.nodes.len(), asked: self.asked })
    }

    /// Whether fewer partners answered than were asked.
    pub fn is_partial(&self) -> bool {
        self.nodes.len() < self.asked
    }
}

impl Behind {
    /// Whether somebody who was asked is missing.
    pub fn is_partial(self) -> bool {
        self.answered < self.asked
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.answered, self.asked)
    }
}

fn distinct(vectors: &[(Name, Vec<i128>)]) -> Result<Vec<Name>, CombineError> {
    let mut nodes: Vec<Name> = vectors.iter().map(|(node, _)| node.clone()).collect();
    nodes.sort();
    let twice = nodes.iter().zip(nodes.iter().skip(1)).find(|(a, b)| a == b);
    match twice {
        Some((node, _)) => Err(CombineError::Duplicate(node.clone())),
        None => Ok(nodes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::{LaneShape, Noise, Ratio};

    fn shape(lanes: usize) -> OutputShape {
        let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
        let lane =
            LaneShape { name: "n".into(), grid_bits: 0, sensitivity_steps: 1, noise, one_of: None };
        OutputShape {
            keys: vec![],
            lanes: vec![lane; lanes],
            columns: vec![],
            recipe: Default::default(),
        }
    }

    fn from(node: &str, lanes: &[i128]) -> (Name, Vec<i128>) {
        (Name::new(node).unwrap(), lanes.to_vec())
    }

    #[test]
    fn lanes_add_up_and_missing_partners_are_named() {
        let sum = Combined::new(&shape(2), 3, &[from("b", &[1, -5]), from("a", &[2, 3])]).unwrap();
        assert_eq!(sum.lanes(), [3, -2]);
        assert_eq!((sum.lane(0, 1), sum.lane(0, 2), sum.lane(1, 0)), (Some(-2), None, None));
        assert_eq!(sum.lane(u64::MAX, u32::MAX), None);
        assert_eq!(sum.behind(0).unwrap().to_string(), "2 of 3");
        assert!(sum.is_partial() && sum.behind(1).is_none());
        assert_eq!(sum.nodes()[0].as_str(), "a");
    }

    #[test]
    fn hostile_vectors_are_refused() {
        let combine = |asked, vectors: &[_]| Combined::new(&shape(1), asked, vectors);
        assert_eq!(combine(1, &[]), Err(CombineError::NoVectors));
        let twice = [from("a", &[1]), from("b", &[1]), from("a", &[1])];
        assert!(matches!(combine(3, &twice), Err(CombineError::Duplicate(n)) if n.as_str() == "a"));
        for wrong in [&[][..], &[1, 2]] {
            let vectors = [from("a", wrong)];
            assert!(matches!(combine(1, &vectors), Err(CombineError::Length { .. })));
        }
        for asked in [0, PARTIES_MAX + 1, usize::MAX] {
            let vectors = [from("a", &[1])];
            assert!(matches!(combine(asked, &vectors), Err(CombineError::Asked { .. })));
        }
        for (a, b) in [(i128::MAX, 1), (i128::MIN, -1)] {
            let vectors = [from("a", &[a]), from("b", &[b])];
            assert_eq!(combine(2, &vectors), Err(CombineError::Overflow { cell: 0, lane: 0 }));
        }
        let most = combine(2, &[from("a", &[i128::MAX]), from("b", &[i128::MIN])]).unwrap();
        assert_eq!(most.lanes(), [-1]);
        assert!(matches!(
            Combined::new(&shape(0), 1, &[from("a", &[])]),
            Err(CombineError::Shape(_))
        ));
    }
}
