//! A coordinator on loopback over a folder of its own, and persons who talk to it as the command
//! line does: enrolled with real one-time tokens, over real QUIC. Waits are bounded only so that a
//! broken test ends.

use crate::fixtures::{HandClock, NOW_S, name};
use crate::scripted::{Script, ScriptedNode};
use crate::study::Study;
use cloister_coordinator::config::{Config, Folder};
use cloister_coordinator::serve::{self, Running};
use cloister_coordinator::store::Store;
use cloister_net::{
    Ca, Clock, ConnectError, Connection, Dialer, EnrolError, Identity, REVOCATION_SWEEP_S, Role,
    Token, enrol,
};
use cloister_terms::Digest;
use cloister_wire::message::{FromPerson, RunFile, RunProgress, ToPerson};
use cloister_wire::{decode, encode};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const FRAME_MAX: usize = 64 << 20;
/// Stops a broken test; no test may come near it.
const AT_MOST: Duration = Duration::from_secs(120);
/// What a busy machine may need beside the sweep for revoked parties itself.
const SWEEP_MARGIN: Duration = Duration::from_secs(15);
/// Pause between two looks at something that will come.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running coordinator.
pub struct Hub {
    /// The clock of everyone in the test.
    pub clock: Arc<HandClock>,
    /// Its certificate authority.
    pub ca: Ca,
    /// Its folder's paths.
    pub folder: Folder,
    running: Running,
    _kept: tempfile::TempDir,
}

/// A person's connection.
#[derive(Debug)]
pub struct Person(pub Connection);

impl Hub {
    /// Makes a folder and listens.
    pub async fn start() -> Self {
        Self::start_at(NOW_S).await
    }

    /// As [`Hub::start`], with its clock at `now_s`.
    pub async fn start_at(now_s: i64) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock::at(now_s));
        let folder = Folder::new(kept.path().join("hub"));
        let ca = folder.init(&name("hub"), &*clock).unwrap();
        let running = listen(&folder, clock.clone()).await;
        Self { clock, ca, folder, running, _kept: kept }
    }

    /// Ends the coordinator and starts another on its folder; addresses change.
    pub async fn restart(mut self) -> Self {
        let running = self.running;
        running.stop().await;
        self.running = listen(&self.folder, self.clock.clone()).await;
        self
    }

    /// Where nodes and persons connect.
    pub fn address(&self) -> SocketAddr {
        self.running.listen
    }

    /// Where tokens are exchanged.
    pub fn enrol_address(&self) -> SocketAddr {
        self.running.enrol
    }

    /// A handle of its own on the store, as the command line beside the process has.
    pub fn store(&self) -> Store {
        Store::open(&self.folder.store()).unwrap()
    }

    /// A token for `who`, good until `expires_s`, as it arrives: through text.
    pub fn token(&self, who: &str, role: Role, expires_s: u64) -> Token {
        let token = Token::generate(self.ca.fingerprint()).unwrap();
        let now_s = self.clock.now_unix_s();
        self.store().invite(&token.secret_hash(), &name(who), role, expires_s, now_s).unwrap();
        token.to_string().parse().unwrap()
    }

    /// Enrols with a token at hand.
    pub async fn enrol_with(
        &self,
        token: &Token,
        who: &str,
        role: Role,
    ) -> Result<Identity, EnrolError> {
        soon(enrol(self.running.enrol, token, &name(who), role, self.clock.clone())).await
    }

    /// Invites and enrols.
    pub async fn enrolled(&self, who: &str, role: Role) -> Identity {
        let token = self.token(who, role, self.clock.now_unix_s() + 3_600);
        self.enrol_with(&token, who, role).await.unwrap()
    }

    /// Connects with a certificate.
    pub async fn dial(&self, identity: &Identity) -> Result<Connection, ConnectError> {
        let dialer = Dialer::new(identity, self.clock.clone()).unwrap().with_deadline(AT_MOST);
        dialer.dial(self.address()).await
    }

    /// A person, enrolled and connected.
    pub async fn person(&self, who: &str) -> Person {
        let identity = self.enrolled(who, Role::Person).await;
        Person(self.dial(&identity).await.unwrap())
    }

    /// A scripted node, enrolled and connected.
    pub async fn node(&self, partner: &'static str, script: Script) -> ScriptedNode {
        let identity = self.enrolled(partner, Role::Node).await;
        self.known_node(&identity, partner, script).await
    }

    /// A scripted node with a certificate at hand.
    pub async fn known_node(
        &self,
        identity: &Identity,
        partner: &'static str,
        script: Script,
    ) -> ScriptedNode {
        ScriptedNode::serve(self.dial(identity).await.unwrap(), partner, script).await
    }

    /// Publishes, submits and approves the study; Ada's connection.
    pub async fn approved(&self, study: &Study) -> Person {
        let ada = self.person("ada").await;
        let agreement = study.federation.agreement.to_bytes();
        ada.stored(&FromPerson::Publish { agreement }).await;
        let analysis = study.analysis.to_bytes();
        ada.stored(&FromPerson::Submit { analysis, module: None }).await;
        for (who, approval) in ["rita", "rosa"].iter().zip(&study.approvals) {
            let reviewer = self.person(who).await;
            reviewer.stored(&FromPerson::Review { approval: approval.to_bytes() }).await;
        }
        ada
    }

    /// The texts of what an operator should look at, newest first.
    pub fn alerts(&self) -> Vec<String> {
        self.store().alerts(100).unwrap().into_iter().map(|(_, what)| what).collect()
    }
}

async fn listen(folder: &Folder, clock: Arc<HandClock>) -> Running {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = Config { name: name("hub"), listen: any, enrol_listen: any };
    serve::start(folder, &config, clock).await.unwrap()
}

impl Person {
    /// One message, one answer.
    pub async fn ask(&self, message: &FromPerson) -> ToPerson {
        let answer = self.0.call(&encode(message).unwrap(), FRAME_MAX, AT_MOST).await.unwrap();
        decode(&answer).unwrap()
    }

    /// A message that must be taken in.
    pub async fn stored(&self, message: &FromPerson) -> Digest {
        match self.ask(message).await {
            ToPerson::Stored { digest } => digest,
            other => panic!("not stored: {other:?}"),
        }
    }

    /// Asks for the study's run.
    pub async fn run(&self, study: &Study) -> Digest {
        self.stored(&FromPerson::Run { request: study.request.to_bytes() }).await
    }

    /// Follows a run to its end: every state that was told, the last with `done`.
    pub async fn watched(&self, request: Digest) -> Vec<RunProgress> {
        soon(async {
            let mut stream = self.0.open_bi().await.unwrap();
            stream.write_frame(&encode(&FromPerson::Watch { request }).unwrap()).await.unwrap();
            stream.finish().unwrap();
            let mut told = Vec::new();
            loop {
                match decode(&stream.read_frame(FRAME_MAX).await.unwrap()).unwrap() {
                    ToPerson::Progress(progress) => told.push(progress),
                    other => panic!("no progress: {other:?}"),
                }
                if told.last().is_some_and(|progress| progress.done) {
                    return told;
                }
            }
        })
        .await
    }

    /// The run's file, once `releases` of them are there.
    pub async fn results(&self, request: Digest, releases: usize) -> RunFile {
        let mut found = None;
        until(async || {
            let ToPerson::Results(file) = self.ask(&FromPerson::Results { request }).await else {
                panic!("no results");
            };
            let enough = file.releases.len() >= releases;
            found = Some(file);
            enough
        })
        .await;
        found.unwrap()
    }
}

/// A wait that must end.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_MOST, what).await.expect("must end")
}

/// A wait for what the sweep for revoked parties does: fails when it takes longer than row B21 says.
pub async fn swept<T>(what: impl Future<Output = T>) -> T {
    let promised = Duration::from_secs(REVOCATION_SWEEP_S) + SWEEP_MARGIN;
    tokio::time::timeout(promised, what).await.expect("must end within the sweep's time")
}

/// Looks again and again until it holds, which it must.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}
