//! Cloister's vocabulary as types. What people sign, charge, release and refuse is named here once,
//! in valid form only; this crate never does I/O, never computes on records and knows no engine.

/// The agreement that all partners sign.
pub mod agreement;
/// The analysis a researcher signs.
pub mod analysis;
/// What reviewers and stewards sign about an analysis.
pub mod approval;
/// Privacy loss in integer units, costs and budgets.
pub mod budget;
/// Fixed-size byte strings: digests, public keys, nonces.
pub mod bytes;
/// Whether dates leave time to sign and to run.
pub mod dates;
/// Exact decimal numbers, as budgets and bounds are written.
pub mod decimal;
/// Counts of people whom the limits touched.
pub mod diagnostics;
/// The shared data dictionary that an agreement pins.
pub mod dictionary;
/// How columns of the answer are computed from combined lanes.
pub mod formula;
/// What each partner holds.
pub mod holdings;
/// Every limit that more than one crate must agree on.
pub mod limits;
/// Timestamps as dates and clock times.
pub mod moment;
/// Validated names of partners, people, datasets and columns.
pub mod name;
/// Keys that no document lists, shown from a threshold on.
pub mod private_keys;
/// Public tables that everybody may read.
pub mod public;
/// Positive exact rationals: noise scales and variances.
pub mod ratio;
/// Finite numbers of formulas.
pub mod real;
/// Which rows of the answer are shown, and in which order.
pub mod recipe;
/// The closed set of refusals that may be seen outside a node.
pub mod refusal;
/// The record of a release, as a node signs it.
pub mod release;
/// The researcher's signed request for one round.
pub mod request;
/// Which cells each partner answers.
pub mod served;
/// The vector an analysis releases: keys, lanes, noise, and how it reads as a table.
pub mod shape;
/// Column types, key values, clamping ranges on a grid.
pub mod value;

pub use agreement::{Agreement, Calendar, Party, Person, Quorum, Researcher};
pub use analysis::{
    Analysis, Body, KeysRound, ModuleBody, ModuleLane, ModuleNumbers, ModuleOutputs,
};
pub use approval::{Approval, Grant, Verdict};
pub use budget::{Budget, Cost, Delta, Epsilon, Rho};
pub use bytes::{Digest, Nonce, PublicKey};
pub use dates::{Act, OutsideDates, check_dates};
pub use diagnostics::{DIAGNOSTIC_SENSITIVITY, Diagnostic, DiagnosticKind};
pub use dictionary::{Column, Dataset, Dictionary};
pub use formula::{FigureFunction, FigureOp, Formula, PairLanes, PairStatistic, Quantile, Spread};
pub use holdings::{Holdings, OwnDomain};
pub use moment::{Civil, Moment};
pub use name::Name;
pub use private_keys::{Key, KeyThreshold, PrivateKeys};
pub use public::{FloatText, PublicField, PublicTable, PublicValue};
pub use ratio::Ratio;
pub use real::Real;
pub use recipe::{Condition, FigureCompare, Recipe, SortKey};
pub use refusal::Refusal;
pub use release::ReleaseRecord;
pub use request::RunRequest;
pub use served::Served;
pub use shape::{KeyDimension, LaneShape, Noise, OneOf, OutputShape, ResultColumn};
pub use value::{Bounds, ColumnType, KeyValue};

/// The version every signed document of this crate carries; a reader refuses any other.
pub const DOCUMENT_VERSION: u32 = 1;
