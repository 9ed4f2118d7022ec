//! Nodes that do as they are told: they dial with a real certificate and answer pushes by script.
//! They hold no records and draw no noise, so that the coordinator alone is under test.

use crate::fixtures::key;
use crate::study::record;
use cloister_net::{Connection, StreamError};
use cloister_terms::{Digest, Refusal, RunRequest};
use cloister_wire::message::{FromNode, NodeReport, Outcome, ReportTaken, ToNode};
use cloister_wire::{Envelope, SigningKey, decode, encode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

const FRAME_MAX: usize = 64 << 20;
const DEADLINE: Duration = Duration::from_secs(120);

/// What a scripted node does with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Takes it and sends a release signed with its own key.
    Release,
    /// Takes it and sends a release signed with a key that is not its own (B25).
    Forge,
    /// Takes it and sends another partner's genuine release.
    Borrow(&'static str),
    /// Takes it and withholds its answer.
    Withhold,
    /// Refuses it.
    Refuse(Refusal),
    /// Takes it and never answers; takes its time for offers, too.
    Ponder,
}

/// How long a node ponders an offer: longer than the next vote takes to come in.
const PONDERED: Duration = Duration::from_millis(300);

/// What a push was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An offered analysis, with this many votes.
    Offer(usize),
    /// An offer that came before the last one was answered: it may overtake it.
    OfferAmidOffer,
    /// A run, by the digest of its request.
    Run(Digest),
}

/// A node on its connection.
#[derive(Debug)]
pub struct ScriptedNode {
    /// Its connection.
    pub connection: Connection,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl ScriptedNode {
    /// Serves `connection` as `partner`; returns once the coordinator has taken its hello.
    pub async fn serve(connection: Connection, partner: &'static str, script: Script) -> Self {
        let (tell, seen) = mpsc::unbounded_channel();
        let serving = connection.clone();
        let offers = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            // Ends with its connection; what that means is the test's to say.
            while let Ok(stream) = serving.accept_bi().await {
                let (serving, offers) = (serving.clone(), offers.clone());
                tokio::spawn(push(serving, stream, partner, script, offers, tell.clone()));
            }
        });
        report(&connection, &NodeReport::Hello { agreement: None }).await.unwrap();
        Self { connection, seen }
    }

    /// The next push that came in.
    pub async fn next(&mut self) -> Seen {
        crate::hub::soon(self.seen.recv()).await.expect("the node lives")
    }

    /// Waits for a run, past any offers.
    pub async fn next_run(&mut self) -> Digest {
        loop {
            if let Seen::Run(request) = self.next().await {
                return request;
            }
        }
    }
}

async fn push(
    connection: Connection,
    mut stream: cloister_net::BiStream,
    partner: &'static str,
    script: Script,
    offers: Arc<AtomicUsize>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    let Ok(frame) = stream.read_last_frame(FRAME_MAX).await else { return };
    let (seen, answer, outcome) = match decode::<ToNode>(&frame).unwrap() {
        ToNode::Offer { approvals, .. } => {
            let is_alone = offers.fetch_add(1, Ordering::SeqCst) == 0;
            if script == Script::Ponder {
                tokio::time::sleep(PONDERED).await;
            }
            offers.fetch_sub(1, Ordering::SeqCst);
            let seen = if is_alone { Seen::Offer(approvals.len()) } else { Seen::OfferAmidOffer };
            (seen, FromNode::Taken, None)
        }
        ToNode::Run { analysis, request, .. } => {
            let analysis = Envelope::parse(&analysis).unwrap();
            let request = Envelope::parse(&request).unwrap();
            let digest = request.open::<RunRequest>().unwrap().digest();
            let release = |node: &str, key: &SigningKey| {
                let record = record(&analysis, &request, node);
                Outcome::Released(Envelope::sign(&record, key).unwrap().to_bytes())
            };
            let own = |node: &str| key(&format!("node:{node}"));
            let (answer, outcome) = match script {
                Script::Release => (FromNode::Taken, Some(release(partner, &own(partner)))),
                Script::Forge => (FromNode::Taken, Some(release(partner, &own("nobody")))),
                Script::Borrow(other) => (FromNode::Taken, Some(release(other, &own(other)))),
                Script::Withhold => (FromNode::Taken, Some(Outcome::Withheld)),
                Script::Refuse(refusal) => (FromNode::Refused(refusal), None),
                Script::Ponder => (FromNode::Taken, None),
            };
            (Seen::Run(digest), answer, outcome.map(|outcome| (digest, outcome)))
        }
    };
    if stream.answer(&encode(&answer).unwrap()).await.is_err() {
        return;
    }
    let _ = tell.send(seen);
    if let Some((request, outcome)) = outcome {
        // A connection that broke meanwhile is what some tests are about.
        let _ = report(&connection, &NodeReport::Outcome { request, outcome }).await;
    }
}

/// Sends one report and waits until the coordinator has taken it.
pub async fn report(connection: &Connection, report: &NodeReport) -> Result<(), StreamError> {
    let answer = connection.call(&encode(report).unwrap(), 64, DEADLINE).await?;
    let ReportTaken = decode(&answer).unwrap();
    Ok(())
}
