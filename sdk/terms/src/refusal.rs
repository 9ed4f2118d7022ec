//! The closed set of refusals that may be seen outside a node. None carries a figure computed from
//! records; anything else that goes wrong is a fault, and a fault stays in the node's own log.

use serde::{Deserialize, Serialize};

/// Why a node does not run a request. Depends on documents, clock and ledger only, and on whether files of its
/// tables stand as they were last checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The request was signed too long ago or ahead, or the node's clock went back.
    #[error(
        "the request's time and the node's clock are more than 120 s apart: check both clocks and ask again"
    )]
    ClockSkew,
    /// A document is not in canonical form, or not of this version.
    #[error(
        "a document is malformed or of another version: submit it again with this version of Cloister"
    )]
    Malformed,
    /// A document is of another type than the place it was offered in.
    #[error("a document of one type was offered as another: sign the right document")]
    WrongPayloadType,
    /// A signature does not verify, or its key is not registered for that role.
    #[error(
        "a signature is invalid or its signer is not registered in the agreement: sign with a registered key"
    )]
    BadSignature,
    /// Another agreement than the one this partner signed.
    #[error("the analysis stands under an agreement this partner has not signed: ask its steward")]
    UnknownAgreement,
    /// This partner is not in the agreement, or was not asked by the analysis.
    #[error(
        "this partner is not among the nodes of the agreement and the analysis: submit the analysis with the nodes it may ask"
    )]
    NotAParty,
    /// Before or after the dates of the agreement, analysis or grant, or too close to their end.
    #[error(
        "outside the dates of the agreement, analysis or grant, or too near their end: agree on new dates"
    )]
    OutsideDates,
    /// The purpose is not one of the agreement's.
    #[error("the purpose is not one the agreement allows: choose one of its purposes")]
    WrongPurpose,
    /// Too few valid approvals from too few organisations.
    #[error(
        "too few valid approvals: the agreement's quorum of reviewers and organisations must approve this very analysis"
    )]
    BelowQuorum,
    /// An approval binds something else than this analysis.
    #[error(
        "an approval does not match the analysis: anything changed after approval needs new approvals"
    )]
    DigestMismatch,
    /// The module's bytes are not the approved ones.
    #[error(
        "the module is not the one that was approved: submit the approved bytes, or have the new ones approved"
    )]
    ModuleMismatch,
    /// The module breaks a rule of person-map v1.
    #[error(
        "the module breaks a rule of person-map v1, or was built for another row cap, other columns or fewer outputs than it declares: the node's log names the rule, sdk/sandbox/ABI.md explains it"
    )]
    ModuleRejected,
    /// The steward has not granted the analysis.
    #[error(
        "the partner's steward has not granted this analysis yet: ask the steward to look at `cloister-node pending`"
    )]
    NotGranted,
    /// The steward declined the analysis.
    #[error("the partner's steward declined this analysis: ask the steward why")]
    Declined,
    /// The steward paused the node.
    #[error("the partner has paused its node: ask again when its steward resumes it")]
    Paused,
    /// Planning the approved text again gave another plan or shape.
    #[error(
        "planning the approved text gives another plan or shape at this node: submit it again with the same version of Cloister"
    )]
    PlanMismatch,
    /// The cost named is not the cost of the plan.
    #[error("the cost is not the cost of the approved plan: submit the analysis again")]
    CostMismatch,
    /// Round or parameters are not the approved ones.
    #[error(
        "the round or its parameters are not among the approved ones: ask for an approved round"
    )]
    WrongRound,
    /// The nonce was seen before.
    #[error("this request was seen before: sign a new request")]
    Replay,
    /// All approved runs are used.
    #[error("all approved runs are used: have more runs approved")]
    NoRunsLeft,
    /// A budget would be exceeded.
    #[error(
        "the privacy budget at this partner does not cover the cost: ask for less, or ask the data owner for a new allowance"
    )]
    OverBudget,
    /// An earlier run overran its slot or failed; people must look first.
    #[error(
        "the analysis is frozen after an earlier run was withheld: ask the partner's steward to look into it"
    )]
    Frozen,
    /// Too many runs are waiting at this node.
    #[error("the node has too many runs waiting: ask again later")]
    Busy,
    /// One person's worst case may outlast the slot after which this partner answers.
    #[error(
        "one person's rows alone may outlast this partner's release slot: declare less `fuel_per_person`, leave out joins or functions of texts, or ask its steward for a longer `release_slot_ms`; the node's log has the figures"
    )]
    SlotTooShort,
    /// The ledger cannot be written; nothing was charged and nothing ran.
    #[error(
        "the node cannot write its ledger: its steward must look at its disk; nothing was charged"
    )]
    LedgerUnavailable,
    /// Files of the tables that would be read changed, and are not checked yet or cannot be read.
    #[error(
        "this partner's tables changed and are checked before they are read; nothing was charged: ask again in a few minutes, and if it stays so, ask its steward, to whom the node's log and `cloister-node check` name the file"
    )]
    TablesChanged,
}
