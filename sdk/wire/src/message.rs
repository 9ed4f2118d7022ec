//! Messages between persons, coordinator and nodes. They carry signed envelopes as opaque bytes:
//! what counts is in the envelopes, and every receiver opens and checks them itself. One request
//! frame, one answer frame, but for `FromPerson::Watch`, which is answered by a frame a change.

use cloister_terms::{Digest, Name, Refusal};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Most documents one list in a message holds: one a party of the largest agreement.
pub const DOCUMENTS_MAX: usize = cloister_terms::limits::PARTIES_MAX;

/// What a person's command line asks of the coordinator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromPerson {
    /// Publish a fully signed agreement (envelope).
    Publish {
        /// The envelope's bytes.
        agreement: Vec<u8>,
    },
    /// The agreements the coordinator knows.
    Agreements,
    /// Submit an analysis.
    Submit {
        /// The signed analysis (envelope).
        analysis: Vec<u8>,
        /// The module's bytes, for an analysis that has one.
        module: Option<Vec<u8>>,
    },
    /// All analyses, one line each.
    List,
    /// One analysis, whole.
    Show {
        /// Digest of the analysis document.
        analysis: Digest,
    },
    /// File a reviewer's signed vote (envelope).
    Review {
        /// The envelope's bytes.
        approval: Vec<u8>,
    },
    /// Ask for a run (signed request, envelope).
    Run {
        /// The envelope's bytes.
        request: Vec<u8>,
    },
    /// Follow a run: one [`ToPerson::Progress`] a change, the last with `done`.
    Watch {
        /// Digest of the request document.
        request: Digest,
    },
    /// Everything behind the answer of a run.
    Results {
        /// Digest of the request document.
        request: Digest,
    },
}

/// The coordinator's answer to a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToPerson {
    /// Done; the digest names what was stored.
    Stored {
        /// Digest of the document.
        digest: Digest,
    },
    /// Agreements (envelopes).
    Agreements(#[serde(deserialize_with = "documents")] Vec<Vec<u8>>),
    /// Analyses.
    List(Vec<AnalysisLine>),
    /// One analysis, whole.
    Analysis(AnalysisFile),
    /// Where a run stands.
    Progress(RunProgress),
    /// Everything behind an answer.
    Results(RunFile),
    /// Not done.
    Refused(Rejection),
}

/// Why the coordinator does not do what a person asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// A document is malformed.
    #[error(
        "the document is malformed or of another version: make it again with this version of Cloister"
    )]
    Malformed,
    /// A signature is missing or wrong, or the signer has no such role.
    #[error(
        "the document is not signed by the person or parties it names: sign it with the registered key"
    )]
    BadSignature,
    /// The sender may not do this.
    #[error("your certificate does not allow this: use the identity the document names")]
    NotAllowed,
    /// No such agreement, analysis or run, or none that the sender may see.
    #[error(
        "the coordinator knows no such agreement, analysis or run that you may see: look at `cloister status`"
    )]
    Unknown,
    /// The document is already there.
    #[error("the coordinator already has this document")]
    Duplicate,
    /// The module's bytes are not the ones the analysis names.
    #[error(
        "the module's bytes are not the ones the analysis names: submit the file that was signed"
    )]
    ModuleMismatch,
    /// The quorum is not met.
    #[error("the analysis has no quorum of approvals yet: look at `cloister review list`")]
    BelowQuorum,
    /// The coordinator cannot write its store.
    #[error("the coordinator cannot write its store: its operator must look at its disk")]
    Unavailable,
    /// More than one message holds.
    #[error(
        "there are more groups than one message holds: ask for larger ones (a smaller `delta`, fewer keys), or of fewer partners"
    )]
    TooLarge,
    /// Too much at once.
    #[error("the coordinator is busy: try again later")]
    Busy,
    /// Another request of the researcher has this nonce.
    #[error(
        "another of your requests has this nonce: run the analysis again, which draws a new one"
    )]
    NonceUsed,
    /// Agreement or analysis have ended, or end too soon for a run; or a run would come before they begin.
    #[error(
        "the dates of the agreement or the analysis do not allow it: nothing is signed or run once they leave no time for a run, and nothing runs before they begin; agree on new dates"
    )]
    OutsideDates,
    /// The researcher has another analysis of that name.
    #[error(
        "you already have another analysis of this name: give the corrected one another name, and submit it again"
    )]
    NameTaken,
}

/// One analysis in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnalysisLine {
    /// Digest of the analysis document.
    pub analysis: Digest,
    /// Its name.
    pub name: Name,
    /// Who asks.
    pub researcher: Name,
    /// The question in plain words.
    pub question: String,
    /// Approvals that count.
    pub approvals: u32,
    /// Rejections.
    pub rejections: u32,
    /// Whether the quorum is met.
    pub approved: bool,
    /// Runs asked for so far, digests of the requests, oldest first.
    pub runs: Vec<Digest>,
}

/// One analysis with everything a reviewer needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnalysisFile {
    /// The agreement (envelope).
    pub agreement: Vec<u8>,
    /// The signed analysis (envelope).
    pub analysis: Vec<u8>,
    /// The module's bytes.
    pub module: Option<Vec<u8>>,
    /// Votes filed so far (envelopes).
    #[serde(deserialize_with = "documents")]
    pub approvals: Vec<Vec<u8>>,
    /// What each asked partner's steward decided so far.
    pub decisions: Vec<(Name, bool)>,
}

/// Where a run stands. Contains only what nodes said over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProgress {
    /// State of each asked node.
    pub nodes: Vec<(Name, NodeState)>,
    /// Whether nothing more will come: all answered, or the deadline passed.
    pub done: bool,
}

/// State of one node in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// Not connected; it gets the request if it dials in while nodes may still take it (two minutes).
    Away,
    /// The request was sent.
    Sent,
    /// The node admitted it; its release comes at the slot.
    Admitted,
    /// Its release is here.
    Released,
    /// It refused.
    Refused(Refusal),
    /// It withheld its answer.
    Withheld,
    /// Its release did not verify and is excluded (an incident).
    Excluded,
    /// It did not answer before the deadline.
    Late,
}

/// Everything behind the answer of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunFile {
    /// The agreement (envelope).
    pub agreement: Vec<u8>,
    /// The signed analysis (envelope).
    pub analysis: Vec<u8>,
    /// Approvals the request relies on (envelopes).
    #[serde(deserialize_with = "documents")]
    pub approvals: Vec<Vec<u8>>,
    /// The signed request (envelope).
    pub request: Vec<u8>,
    /// The releases of an earlier round that the request names (envelopes).
    #[serde(deserialize_with = "documents")]
    pub used: Vec<Vec<u8>>,
    /// Signed releases (envelopes).
    #[serde(deserialize_with = "documents")]
    pub releases: Vec<Vec<u8>>,
    /// Their sums, cell-major, as the coordinator combined them; a recipient adds up again.
    pub combined: Vec<i128>,
    /// Where the run stands.
    pub progress: RunProgress,
}

/// What the coordinator pushes to a node over the node's own connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToNode {
    /// An analysis that names this node: its steward may look at it and decide.
    Offer {
        /// The signed analysis (envelope).
        analysis: Vec<u8>,
        /// The module's bytes.
        module: Option<Vec<u8>>,
        /// Votes so far (envelopes).
        #[serde(deserialize_with = "documents")]
        approvals: Vec<Vec<u8>>,
    },
    /// Run an approved analysis.
    Run {
        /// The signed analysis (envelope).
        analysis: Vec<u8>,
        /// The module's bytes.
        module: Option<Vec<u8>>,
        /// Approvals (envelopes).
        #[serde(deserialize_with = "documents")]
        approvals: Vec<Vec<u8>>,
        /// The researcher's signed request (envelope).
        request: Vec<u8>,
        /// The releases of an earlier round that the request names (envelopes).
        #[serde(deserialize_with = "documents")]
        used: Vec<Vec<u8>>,
    },
}

/// The node's immediate answer to a push; the release follows as a [`NodeReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNode {
    /// Taken in.
    Taken,
    /// Refused; nothing was charged by it.
    Refused(Refusal),
}

/// What a node tells the coordinator on its own initiative; answered by [`ReportTaken`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum NodeReport {
    /// First message of a connection: the agreement this partner signed.
    Hello {
        /// Digest of the agreement document, once the partner has one.
        agreement: Option<Digest>,
    },
    /// The steward decided.
    Decision {
        /// Digest of the analysis document.
        analysis: Digest,
        /// Granted or declined.
        granted: bool,
    },
    /// The outcome of a run.
    Outcome {
        /// Digest of the request document.
        request: Digest,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What came of a run at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The signed release (envelope).
    Released(Vec<u8>),
    /// One answer for every failure after the charge: nothing is said of why.
    Withheld,
}

/// The coordinator has durably taken in a report; the node need not send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportTaken;

/// A list of documents, refused beyond [`DOCUMENTS_MAX`] while it is read: an empty document takes
/// one byte on the wire and many times that in memory.
fn documents<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
    struct Documents;

    impl<'de> Visitor<'de> for Documents {
        type Value = Vec<Vec<u8>>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {DOCUMENTS_MAX} documents")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut documents = Vec::new();
            while let Some(document) = list.next_element()? {
                if documents.len() >= DOCUMENTS_MAX {
                    return Err(A::Error::custom("too many documents"));
                }
                documents.push(document);
            }
            Ok(documents)
        }
    }

    from.deserialize_seq(Documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_many_empty_documents_is_refused() {
        let offer = |count: usize| ToNode::Offer {
            analysis: vec![],
            module: None,
            approvals: vec![vec![]; count],
        };
        let decoded = |count| crate::decode::<ToNode>(&crate::encode(&offer(count)).unwrap());
        assert!(decoded(DOCUMENTS_MAX).is_ok());
        assert_eq!(decoded(DOCUMENTS_MAX + 1).unwrap_err(), crate::CodecError::Unknown);
    }
}
