//! Adds nodes' released vectors lane by lane and remembers who stands behind the sum. It never
//! wraps, never counts a node twice and never passes a partial sum off as a whole one.

use cloister_terms::limits::PARTIES_MAX;
use cloister_terms::shape::ShapeError;
use cloister_terms::{Key, Name, OutputShape, ReleaseRecord};
use serde::Serialize;
use std::fmt;

/// Summed lanes, cell-major as [`OutputShape`] says, diagnostics behind them, and the nodes they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    lanes: Vec<i128>,
    lanes_a_cell: usize,
    /// Lanes before the diagnostics.
    cells_len: usize,
    /// Partners behind the diagnostics.
    told: usize,
    nodes: Vec<Name>,
    asked: usize,
    /// Partners behind each cell, where they differ; empty when all nodes stand behind all cells.
    behind: Vec<Behind>,
    /// The keys of the cells, ascending, where they are private.
    found: Vec<Key>,
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
    /// A release that is not of the approved shape.
    #[error(
        "the release of `{0}` is not of the approved shape: leave that partner out and report it"
    )]
    Unfit(Name),
    /// A node answered that was not asked.
    #[error("`{0}` answered and was not asked: leave that release out and report it")]
    NotAsked(Name),
    /// A sum of diagnostics leaves i128.
    #[error(
        "diagnostic {0} leaves the range of whole numbers: a partner released an absurd figure"
    )]
    Diagnostic(usize),
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
    /// Adds up releases under the approved `shape`. Where keys are private the cells are those that any
    /// release shows, and behind each stand the partners that show it; in the round after, those of the shape,
    /// and behind each stands everybody. Errors as [`Combined::new`], and
    /// where a release does not fit.
    pub fn of_releases<'r>(
        shape: &OutputShape,
        asked: &[Name],
        releases: impl IntoIterator<Item = &'r ReleaseRecord> + Clone,
    ) -> Result<Self, CombineError> {
        for release in releases.clone() {
            if !release.fits(shape)? {
                return Err(CombineError::Unfit(release.node.clone()));
            }
        }
        let is_asked = shape.private_keys.is_some() && shape.key_threshold().is_none();
        let found = if is_asked {
            shape.clone()
        } else {
            shape.found_in(releases.clone()).map_err(ShapeError::from)?
        };
        let Some(private) = &found.private_keys else {
            let values =
                |release: &ReleaseRecord| release.values.iter().map(|value| value.0).collect();
            let own = |release: &ReleaseRecord| (release.node.clone(), values(release));
            return Self::new(shape, asked, &releases.into_iter().map(own).collect::<Vec<_>>());
        };
        found.check()?;
        let names = releases.clone().into_iter().map(|release| release.node.clone());
        let nodes = checked_nodes(asked, names.collect())?;
        let lanes_a_cell = shape.lanes.len();
        let mut lanes = vec![0i128; found.vector_len()?];
        let cells_len = found.cells_len()?;
        let mut behind = vec![Behind { answered: 0, asked: asked.len() }; private.found.len()];
        for release in releases {
            let keys = private.keys_of(release);
            let in_cells = keys.len().saturating_mul(lanes_a_cell);
            let (in_cells, closing) =
                release.values.split_at_checked(in_cells).unwrap_or((&release.values, &[]));
            add_closing(&mut lanes, cells_len, closing.iter().map(|value| value.0))?;
            let vectors = in_cells.chunks(lanes_a_cell.max(1));
            for (key, values) in keys.iter().zip(vectors) {
                // Found in these very releases, or asked for.
                let Ok(cell) = private.found.binary_search(key) else { continue };
                behind.get_mut(cell).into_iter().for_each(|behind| behind.answered += 1);
                let sums = lanes.get_mut(cell.saturating_mul(lanes_a_cell)..).unwrap_or_default();
                for (lane, (sum, value)) in sums.iter_mut().zip(values).enumerate() {
                    let overflow = CombineError::Overflow { cell, lane };
                    *sum = sum.checked_add(value.0).ok_or(overflow)?;
                }
            }
        }
        let (asked, found, told) = (asked.len(), private.found.clone(), nodes.len());
        Ok(Self { lanes, lanes_a_cell, cells_len, told, nodes, asked, behind, found })
    }

    /// The approved shape, with the cells that these sums are of.
    pub(crate) fn shape_of(&self, approved: &OutputShape) -> OutputShape {
        let mut shape = approved.clone();
        shape.private_keys.iter_mut().for_each(|private| private.found.clone_from(&self.found));
        shape
    }

    /// Adds up `vectors`, one a node, each with as many integers as the shape gives that node; `asked`
    /// are the partners that were asked, whether they answered or not. Errors as [`CombineError`] says,
    /// never in part.
    pub fn new(
        shape: &OutputShape,
        asked: &[Name],
        vectors: &[(Name, Vec<i128>)],
    ) -> Result<Self, CombineError> {
        shape.check()?;
        let lanes_a_cell = shape.lanes.len();
        let nodes = checked_nodes(asked, vectors.iter().map(|(node, _)| node.clone()).collect())?;
        let mut lanes = vec![0i128; shape.vector_len()?];
        let (cells_len, mut told) = (shape.cells_len()?, 0);
        for (node, vector) in vectors {
            let (found, expected) = (vector.len(), shape.vector_len_of(node)?);
            if found != expected {
                return Err(CombineError::Length { node: node.clone(), found, expected });
            }
            let cells = shape.cells_of(node)?;
            let closing = if vector.is_empty() { 0 } else { shape.diagnostics.len() };
            told += usize::from(!vector.is_empty());
            let (in_cells, closing) =
                vector.split_at_checked(vector.len().saturating_sub(closing)).unwrap_or_default();
            add_closing(&mut lanes, cells_len, closing.iter().copied())?;
            for (place, value) in in_cells.iter().enumerate() {
                let (nth, lane) = (place / lanes_a_cell, place % lanes_a_cell);
                let cell = match &cells {
                    None => nth,
                    Some(cells) => cells.get(nth).map_or(usize::MAX, |cell| *cell as usize),
                };
                let index = cell.saturating_mul(lanes_a_cell).saturating_add(lane);
                let overflow = CombineError::Overflow { cell, lane };
                let sum = lanes.get_mut(index).ok_or_else(|| overflow.clone())?;
                *sum = sum.checked_add(*value).ok_or(overflow)?;
            }
        }
        let behind = behind(shape, asked, &nodes)?;
        let found = Vec::new();
        let asked = asked.len();
        Ok(Self { lanes, lanes_a_cell, cells_len, told, nodes, asked, behind, found })
    }

    /// The sums, cell-major, in steps of each lane's grid; then the diagnostics.
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
        self.lanes.get(..self.cells_len)?.get(index).copied()
    }

    /// The summed diagnostics, in the shape's order.
    pub fn diagnostics(&self) -> &[i128] {
        self.lanes.get(self.cells_len..).unwrap_or_default()
    }

    /// How many partners' diagnostics are in the sum.
    pub fn told(&self) -> usize {
        self.told
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

    /// How many partners stand behind a cell: those that released it, where keys are private; `None` when
    /// there is no such cell.
    pub fn behind(&self, cell: u64) -> Option<Behind> {
        self.lane(cell, 0)?;
        let all = Behind { answered: self.nodes.len(), asked: self.asked };
        if self.behind.is_empty() {
            return Some(all);
        }
        self.behind.get(usize::try_from(cell).ok()?).copied()
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

/// Adds one partner's diagnostics to those behind the cells.
fn add_closing(
    lanes: &mut [i128],
    cells_len: usize,
    closing: impl Iterator<Item = i128>,
) -> Result<(), CombineError> {
    let sums = lanes.get_mut(cells_len..).unwrap_or_default();
    for (nth, (sum, value)) in sums.iter_mut().zip(closing).enumerate() {
        *sum = sum.checked_add(value).ok_or(CombineError::Diagnostic(nth))?;
    }
    Ok(())
}

/// Who stands behind each cell; empty where everybody answers all.
fn behind(
    shape: &OutputShape,
    asked: &[Name],
    nodes: &[Name],
) -> Result<Vec<Behind>, CombineError> {
    if shape.served.is_empty() {
        return Ok(Vec::new());
    }
    let cells = usize::try_from(shape.cells()?).unwrap_or(0);
    let mut behind = vec![Behind { answered: 0, asked: 0 }; cells];
    for partner in asked {
        let answered = usize::from(nodes.binary_search(partner).is_ok());
        for cell in shape.cells_of(partner)?.unwrap_or_default() {
            if let Some(one) = behind.get_mut(usize::try_from(cell).unwrap_or(usize::MAX)) {
                one.asked += 1;
                one.answered += answered;
            }
        }
    }
    Ok(behind)
}

/// The nodes that answered, sorted, each once and asked.
fn checked_nodes(asked: &[Name], mut nodes: Vec<Name>) -> Result<Vec<Name>, CombineError> {
    if nodes.is_empty() {
        return Err(CombineError::NoVectors);
    }
    if !(nodes.len()..=PARTIES_MAX).contains(&asked.len()) {
        let (asked, answered) = (asked.len(), nodes.len());
        return Err(CombineError::Asked { asked, answered, max: PARTIES_MAX });
    }
    nodes.sort();
    let twice = nodes.iter().zip(nodes.iter().skip(1)).find(|(a, b)| a == b);
    if let Some((node, _)) = twice {
        return Err(CombineError::Duplicate(node.clone()));
    }
    match nodes.iter().find(|node| !asked.contains(node)) {
        Some(node) => Err(CombineError::NotAsked(node.clone())),
        None => Ok(nodes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::limits::{CELLS_MAX, KEYS_SHOWN_MAX};
    use cloister_terms::private_keys::PrivateKeysError;
    use cloister_terms::release::Int;
    use cloister_terms::{
        ColumnType, Cost, Digest, KeyDimension, KeyThreshold, KeyValue, LaneShape, Noise,
        PrivateKeys, Ratio,
    };

    fn shape(lanes: usize) -> OutputShape {
        let noise = Noise::DiscreteLaplace { scale: Ratio::new(1, 1).unwrap() };
        let lane =
            LaneShape { name: "n".into(), grid_bits: 0, sensitivity_steps: 1, noise, one_of: None };
        OutputShape {
            keys: vec![],
            lanes: vec![lane; lanes],
            columns: vec![],
            served: vec![],
            recipe: Default::default(),
            private_keys: None,
            diagnostics: vec![],
        }
    }

    fn from(node: &str, lanes: &[i128]) -> (Name, Vec<i128>) {
        (Name::new(node).unwrap(), lanes.to_vec())
    }

    fn asked(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| Name::new(*name).unwrap()).collect()
    }

    #[test]
    fn lanes_add_up_and_missing_partners_are_named() {
        let vectors = [from("b", &[1, -5]), from("a", &[2, 3])];
        let sum = Combined::new(&shape(2), &asked(&["a", "b", "c"]), &vectors).unwrap();
        assert_eq!(sum.lanes(), [3, -2]);
        assert_eq!((sum.lane(0, 1), sum.lane(0, 2), sum.lane(1, 0)), (Some(-2), None, None));
        assert_eq!(sum.lane(u64::MAX, u32::MAX), None);
        assert_eq!(sum.behind(0).unwrap().to_string(), "2 of 3");
        assert!(sum.is_partial() && sum.behind(1).is_none());
        assert_eq!(sum.nodes()[0].as_str(), "a");
    }

    #[test]
    fn a_cell_counts_the_partners_that_serve_it() {
        let mut shape = shape(1);
        let values = (0..3).map(cloister_terms::KeyValue::Int).collect();
        shape.keys = vec![cloister_terms::KeyDimension { name: "k".into(), values }];
        let serve = |partner: &str, positions: &[u32]| cloister_terms::Served {
            partner: Name::new(partner).unwrap(),
            positions: vec![positions.to_vec()],
        };
        shape.served = vec![serve("a", &[0, 1]), serve("b", &[1]), serve("c", &[1])];
        let names = asked(&["a", "b", "c"]);
        let vectors = [from("a", &[5, 6]), from("b", &[7])];
        let sum = Combined::new(&shape, &names, &vectors).unwrap();
        assert_eq!(sum.lanes(), [5, 13, 0]);
        let behind = [0, 1, 2].map(|cell| sum.behind(cell).unwrap().to_string());
        assert_eq!(behind, ["1 of 1", "2 of 3", "0 of 0"]);
        let long = [from("b", &[7, 8, 9])];
        assert!(matches!(
            Combined::new(&shape, &names, &long),
            Err(CombineError::Length { expected: 1, .. })
        ));
    }

    #[test]
    fn hostile_vectors_are_refused() {
        let combine =
            |names: &[&str], vectors: &[_]| Combined::new(&shape(1), &asked(names), vectors);
        assert_eq!(combine(&["a"], &[]), Err(CombineError::NoVectors));
        let twice = [from("a", &[1]), from("b", &[1]), from("a", &[1])];
        let names = ["a", "b", "c"];
        assert!(
            matches!(combine(&names, &twice), Err(CombineError::Duplicate(n)) if n.as_str() == "a")
        );
        for wrong in [&[][..], &[1, 2]] {
            let vectors = [from("a", wrong)];
            assert!(matches!(combine(&["a"], &vectors), Err(CombineError::Length { .. })));
        }
        let one = [from("a", &[1])];
        assert!(matches!(combine(&[], &one), Err(CombineError::Asked { .. })));
        assert!(matches!(combine(&["b"], &one), Err(CombineError::NotAsked(_))));
        let crowd = vec!["a"; PARTIES_MAX + 1];
        assert!(matches!(combine(&crowd, &one), Err(CombineError::Asked { .. })));
        for (a, b) in [(i128::MAX, 1), (i128::MIN, -1)] {
            let vectors = [from("a", &[a]), from("b", &[b])];
            let overflow = CombineError::Overflow { cell: 0, lane: 0 };
            assert_eq!(combine(&["a", "b"], &vectors), Err(overflow));
        }
        let most = combine(&["a", "b"], &[from("a", &[i128::MAX]), from("b", &[i128::MIN])]);
        assert_eq!(most.unwrap().lanes(), [-1]);
        assert!(matches!(
            Combined::new(&shape(0), &asked(&["a"]), &[from("a", &[])]),
            Err(CombineError::Shape(_))
        ));
    }

    /// A hundred and one partners with groups of their own, as many each as one may show.
    #[test]
    fn more_groups_than_an_answer_may_have_are_refused_before_any_is_added_up() {
        let threshold = KeyThreshold { persons_lane: 0, people: 1, delta: "0.1".parse().unwrap() };
        let (types, found) = (vec![ColumnType::Int64], vec![]);
        let shape = OutputShape {
            keys: vec![KeyDimension { name: "k".into(), values: vec![] }],
            private_keys: Some(PrivateKeys { types, threshold: Some(threshold), found }),
            ..shape(1)
        };
        let digest = Digest::new([0; 32]);
        let release = |partner: usize| {
            let node = Name::new(format!("p{partner:03}")).unwrap();
            let numbers = partner * KEYS_SHOWN_MAX..(partner + 1) * KEYS_SHOWN_MAX;
            ReleaseRecord {
                version: 1,
                unit_namespace: node.clone(),
                node,
                agreement: digest,
                analysis: digest,
                plan: digest,
                parameters: digest,
                round: 1,
                epoch: 0,
                cost: Cost::ZERO,
                charge: digest,
                keys: numbers.map(|number| vec![KeyValue::Int(number as i64)]).collect(),
                values: vec![Int(1); KEYS_SHOWN_MAX],
            }
        };
        let releases: Vec<ReleaseRecord> = (0..101).map(release).collect();
        let names: Vec<Name> = releases.iter().map(|release| release.node.clone()).collect();
        let too_many = PrivateKeysError::TooMany(CELLS_MAX as usize);
        let refused = Combined::of_releases(&shape, &names, &releases);
        assert_eq!(refused, Err(CombineError::Shape(too_many.into())));
        let few = Combined::of_releases(&shape, &names, &releases[..2]).unwrap();
        assert_eq!(few.lanes().len(), 2 * KEYS_SHOWN_MAX);
    }
}
