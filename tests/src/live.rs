//! A federation that is up, in real time: a coordinator, nodes with ledgers of their own, Ada and two
//! reviewers, over real QUIC. What a node reads and how long its release slot is, the caller says.

use crate::fixtures::{Federation, NOW_S, digest_of, key};
use crate::hub::{Hub, Person, until};
use cloister_net::{Dialer, Role};
use cloister_node::admit::Terms;
use cloister_node::ledger::Ledger;
use cloister_node::run::{Runs, Work};
use cloister_node::serve::Node;
use cloister_node::slot::SystemPace;
use cloister_terms::{Analysis, Digest, Name, Verdict};
use cloister_wire::Envelope;
use cloister_wire::message::{FromPerson, RunProgress};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Two of different organisations: a quorum.
const REVIEWERS: [&str; 2] = ["rita", "rosa"];

/// What one node is made of.
pub struct NodeParts {
    /// What reads its records.
    pub work: Arc<dyn Work>,
    /// What it holds askings against, and whose node it is.
    pub terms: Terms,
}

/// A federation that is up.
pub struct Live {
    /// The coordinator.
    pub hub: Hub,
    /// The agreement, which is published, and everybody's keys.
    pub federation: Federation,
    /// Ada's connection.
    pub ada: Person,
    reviewers: Vec<(&'static str, Person)>,
    ledgers: Vec<(Name, Arc<Ledger>)>,
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Live {
    /// Starts the coordinator and these nodes, and waits until all are connected.
    pub async fn start(federation: Federation, nodes: Vec<NodeParts>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub::start().await;
        let (stop, stopped) = watch::channel(false);
        let mut ledgers = Vec::new();
        for parts in nodes {
            ledgers.push(serve(&hub, parts, folder.path(), stopped.clone()).await);
        }
        until(async || {
            let peers = hub.store().peers().unwrap();
            let nodes = peers.iter().filter(|peer| peer.role == Role::Node && peer.connected);
            nodes.count() == ledgers.len()
        })
        .await;
        let ada = hub.person("ada").await;
        ada.stored(&FromPerson::Publish { agreement: federation.agreement.to_bytes() }).await;
        let mut reviewers = Vec::new();
        for who in REVIEWERS {
            reviewers.push((who, hub.person(who).await));
        }
        Self { hub, federation, ada, reviewers, ledgers, _stop: stop, _folder: folder }
    }

    /// Submits an analysis and has it approved by the reviewers and granted by every node it is for; a
    /// request of it, which `nonce` tells apart from others.
    pub async fn approved(
        &self,
        analysis: &Envelope,
        module: Option<Vec<u8>>,
        nonce: u64,
    ) -> Envelope {
        self.ada.stored(&FromPerson::Submit { analysis: analysis.to_bytes(), module }).await;
        let mut votes = Vec::new();
        for (who, reviewer) in &self.reviewers {
            let vote = self.federation.vote(who, analysis, Verdict::Approve);
            reviewer.stored(&FromPerson::Review { approval: vote.to_bytes() }).await;
            votes.push(vote);
        }
        for (node, ledger) in self.asked(analysis) {
            self.federation.grant(node.as_str(), analysis, ledger);
        }
        self.federation.request(analysis, &votes, nonce, NOW_S)
    }

    /// Waits until every node it is for has taken in both votes and reported its grant: in life both are
    /// done long before a run is asked for.
    pub async fn settled(&self, analysis: &Envelope) {
        let digest = digest_of::<Analysis>(analysis);
        let is_settled = |(_, ledger): &(Name, Arc<Ledger>)| {
            let offer = ledger.offer(digest).unwrap();
            let votes = offer.map_or(0, |offer| offer.approvals.len());
            votes == REVIEWERS.len() && ledger.decisions_to_report().unwrap().is_empty()
        };
        until(async || self.asked(analysis).all(is_settled)).await;
    }

    /// Asks for a run and follows it to its end: the request's digest, and where the run stood last.
    pub async fn run(&self, request: &Envelope) -> (Digest, RunProgress) {
        let digest = self.ada.stored(&FromPerson::Run { request: request.to_bytes() }).await;
        let last = self.ada.watched(digest).await.pop().unwrap();
        (digest, last)
    }

    /// The nodes that an analysis is for.
    fn asked(&self, analysis: &Envelope) -> impl Iterator<Item = &(Name, Arc<Ledger>)> {
        let nodes = analysis.open::<Analysis>().unwrap().document().nodes.clone();
        self.ledgers.iter().filter(move |(node, _)| nodes.contains(node))
    }
}

/// A node with a ledger of its own, serving; whose it is, and its ledger.
async fn serve(
    hub: &Hub,
    parts: NodeParts,
    folder: &Path,
    stopped: watch::Receiver<bool>,
) -> (Name, Arc<Ledger>) {
    let NodeParts { work, terms } = parts;
    let partner = terms.agreement.own().partner.clone();
    let ledger = Arc::new(Ledger::open(&folder.join(format!("{partner}.sqlite"))).unwrap());
    let (node_key, clock) = (key(&format!("node:{partner}")), hub.clock.clone());
    let pace = Arc::new(SystemPace::default());
    let runs = Runs::new(ledger.clone(), work, node_key, clock.clone(), pace, terms);
    let identity = hub.enrolled(partner.as_str(), Role::Node).await;
    let dialer = Dialer::new(&identity, clock).unwrap();
    let (node, address) = (Arc::new(Node::new(Arc::new(runs))), hub.address().to_string());
    tokio::spawn(async move { node.serve(&dialer, &address, || (), stopped).await });
    (partner, ledger)
}
