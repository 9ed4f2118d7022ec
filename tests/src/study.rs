//! Four partners under one agreement, an analysis with its quorum, a request and signed releases:
//! the chain that everything else checks. Made with real keys, by the planner and the signer that
//! people use; only the released figures are made up.

use crate::fixtures::{Federation, NOW_S, key, name};
use cloister_terms::release::Int;
use cloister_terms::{
    Agreement, Analysis, DOCUMENT_VERSION, Digest, Name, Party, ReleaseRecord, RunRequest, Verdict,
};
use cloister_wire::message::{NodeState, RunFile, RunProgress};
use cloister_wire::{Envelope, Opened, proof};

/// The partners, sorted.
pub const PARTNERS: [&str; 4] = ["east", "north", "south", "west"];

/// The four partners' names.
pub fn partners() -> Vec<Name> {
    PARTNERS.map(name).to_vec()
}

/// An agreement of the four partners, changed before it is signed.
pub fn federation(edit: impl FnOnce(&mut Agreement)) -> Federation {
    Federation::with(|agreement| {
        let caps = agreement.parties[0].caps;
        let party = |partner: &str| Party {
            partner: name(partner),
            organisation: format!("{partner} ltd"),
            steward_key: key(&format!("steward:{partner}")).public_key(),
            node_key: key(&format!("node:{partner}")).public_key(),
            unit_namespace: namespace(partner),
            caps,
        };
        agreement.parties = PARTNERS.map(party).to_vec();
        edit(agreement);
    })
}

/// The namespace that a partner's ledger is for.
fn namespace(partner: &str) -> Name {
    name(&format!("{partner}-persons"))
}

/// Everything from agreement to request; releases are made by [`Study::release`].
#[derive(Debug)]
pub struct Study {
    /// The agreement, signed by all four.
    pub federation: Federation,
    /// Ada's signed analysis at all four.
    pub analysis: Envelope,
    /// Rita's and Rosa's approvals.
    pub approvals: Vec<Envelope>,
    /// Ada's request.
    pub request: Envelope,
}

impl Study {
    /// The study with an agreement changed before it is signed.
    pub fn with(edit: impl FnOnce(&mut Agreement)) -> Self {
        let federation = federation(edit);
        let analysis = federation.analysis(|analysis| analysis.nodes = partners());
        let vote = |who| federation.vote(who, &analysis, Verdict::Approve);
        let approvals = ["rita", "rosa"].map(vote).to_vec();
        let request = federation.request(&analysis, &approvals, 1, NOW_S);
        Self { federation, analysis, approvals, request }
    }

    /// The study as it is.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// The agreement, opened.
    pub fn agreement(&self) -> Opened<Agreement> {
        proof::open_agreement(&self.federation.agreement).unwrap()
    }

    /// The analysis, opened.
    pub fn opened_analysis(&self) -> Opened<Analysis> {
        proof::open_analysis(&self.agreement(), &self.analysis).unwrap()
    }

    /// Digest of the analysis.
    pub fn analysis_digest(&self) -> Digest {
        self.opened_analysis().digest()
    }

    /// The record that `partner` would sign for this request, with its [`figures`].
    pub fn record(&self, partner: &str) -> ReleaseRecord {
        record(&self.analysis, &self.request, partner)
    }

    /// A partner's signed release.
    pub fn release(&self, partner: &str) -> Envelope {
        Envelope::sign(&self.record(partner), &key(&format!("node:{partner}"))).unwrap()
    }

    /// The sums of these partners' figures, lane by lane.
    fn sums(&self, answered: &[&str]) -> Vec<i128> {
        let mut sums = Vec::new();
        for partner in answered {
            let values = self.record(partner).values;
            sums.resize(values.len(), 0);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value.0);
        }
        sums
    }

    /// What the coordinator sends a recipient when these partners have answered.
    pub fn run_file(&self, answered: &[&str]) -> RunFile {
        let bytes = |envelopes: &[Envelope]| envelopes.iter().map(Envelope::to_bytes).collect();
        let releases: Vec<_> = answered.iter().map(|partner| self.release(partner)).collect();
        let nodes = answered.iter().map(|partner| (name(partner), NodeState::Released)).collect();
        RunFile {
            agreement: self.federation.agreement.to_bytes(),
            analysis: self.analysis.to_bytes(),
            approvals: bytes(&self.approvals),
            request: self.request.to_bytes(),
            used: vec![],
            releases: bytes(&releases),
            combined: self.sums(answered),
            progress: RunProgress { nodes, done: true },
        }
    }
}

impl Default for Study {
    fn default() -> Self {
        Self::new()
    }
}

/// The record that `partner` would sign for `request`, with its [`figures`].
pub fn record(analysis: &Envelope, request: &Envelope, partner: &str) -> ReleaseRecord {
    let analysis = analysis.open::<Analysis>().unwrap();
    let request = request.open::<RunRequest>().unwrap();
    let (asked, request) = (analysis.document(), request.document());
    ReleaseRecord {
        version: DOCUMENT_VERSION,
        node: name(partner),
        unit_namespace: namespace(partner),
        agreement: asked.agreement,
        analysis: analysis.digest(),
        plan: asked.plan,
        parameters: request.parameters,
        round: request.round,
        // Epoch 0 starts 40 days before `NOW_S`, and an epoch is a day.
        epoch: 40,
        cost: asked.cost_per_round,
        charge: Digest::new([3; 32]),
        keys: vec![],
        values: figures(partner, asked.shape.vector_len().unwrap()).into_iter().map(Int).collect(),
    }
}

/// Made-up noised figures: the k-th of partner i is `1000 (i + 1) + k`, so that every sum tells who
/// is in it.
pub fn figures(partner: &str, length: usize) -> Vec<i128> {
    let place = PARTNERS.iter().position(|p| *p == partner).unwrap() as i128;
    (0..length as i128).map(|k| 1_000 * (place + 1) + k).collect()
}
