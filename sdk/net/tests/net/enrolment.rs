//! B22: a join token lets one party in, once, under its own name, at its own coordinator; the
//! joiner's key stays with the joiner and its secret goes to nobody else.

use crate::world::{RawClient, World, any, issue, name, soon};
use cloister_net::{
    Ca, ConnectError, Dialer, EnrolError, EnrolRefusal, Enroller, Identity, Issued, Party, Role,
    SecretHash, Token, TokenRecord, TokenRefusal, TokenStore, enrol, enrol_at_each, judge,
};
use cloister_terms::Name;
use rustls::client::Resumption;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

#[derive(Default)]
struct Desk {
    tokens: Mutex<Vec<(SecretHash, TokenRecord)>>,
    issued: Mutex<Vec<Issued>>,
    alerts: Mutex<Vec<EnrolRefusal>>,
    asked: Mutex<usize>,
}

impl TokenStore for Desk {
    fn consume(
        &self,
        secret: &SecretHash,
        name: &Name,
        role: Role,
        now_s: u64,
    ) -> Result<(), EnrolRefusal> {
        *self.asked.lock().unwrap() += 1;
        let mut tokens = self.tokens.lock().unwrap();
        let held = tokens.iter_mut().find(|(hash, _)| hash == secret);
        let (_, token) = held.ok_or(TokenRefusal::Unknown)?;
        judge(token, name, role, now_s)?;
        token.used = true;
        Ok(())
    }
    fn issued(&self, certificate: &Issued) -> Result<(), EnrolRefusal> {
        self.issued.lock().unwrap().push(certificate.clone());
        Ok(())
    }
    fn refused(&self, _from: SocketAddr, refusal: EnrolRefusal) {
        self.alerts.lock().unwrap().push(refusal);
    }
}

struct Office {
    world: World,
    desk: Arc<Desk>,
    addr: SocketAddr,
}

impl Office {
    fn new() -> Self {
        let (world, desk) = (World::new(), Arc::new(Desk::default()));
        let enroller =
            Enroller::bind(any(), world.ca.clone(), &world.hub, desk.clone(), world.clock.clone())
                .unwrap();
        let addr = enroller.local_addr().unwrap();
        tokio::spawn(async move { enroller.run().await });
        Self { world, desk, addr }
    }

    /// A token for the node `north`, good for an hour.
    fn token(&self) -> Token {
        let token = Token::generate(self.world.ca.fingerprint()).unwrap();
        let expires_s = self.world.now_s() + 3600;
        let record = TokenRecord { name: name("north"), role: Role::Node, expires_s, used: false };
        self.desk.tokens.lock().unwrap().push((token.secret_hash(), record));
        // As the joiner gets it: through text.
        token.to_string().parse().unwrap()
    }

    async fn join(&self, token: &Token, text: &str, role: Role) -> Result<Identity, EnrolError> {
        soon(enrol(self.addr, token, &name(text), role, self.world.clock.clone())).await
    }

    /// Joining must fail so, with this alert, and nothing may be signed beyond `issued`.
    async fn refuses(&self, token: &Token, text: &str, role: Role, why: TokenRefusal) {
        let issued = self.desk.issued.lock().unwrap().len();
        let refused = self.join(token, text, role).await;
        let expected = EnrolRefusal::Token(why);
        assert!(
            matches!(&refused, Err(EnrolError::Refused(refusal)) if *refusal == expected),
            "{refused:?}"
        );
        assert_eq!(self.desk.alerts.lock().unwrap().last(), Some(&expected));
        assert_eq!(self.desk.issued.lock().unwrap().len(), issued);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_gets_in_and_can_be_revoked() {
    let office = Office::new();
    let world = &office.world;
    let identity = office.join(&office.token(), "north", Role::Node).await.unwrap();
    assert_eq!(identity.ca_fingerprint().unwrap(), world.ca.fingerprint());
    let issued = office.desk.issued.lock().unwrap().pop().unwrap();
    let claims = identity.claims().unwrap();
    assert_eq!(
        (&issued.name, issued.role, issued.serial),
        (&claims.name, claims.role, claims.serial)
    );
    assert!(office.desk.alerts.lock().unwrap().is_empty());
    // As it comes back from disk.
    let stored =
        Identity::from_pem(&identity.cert_chain_pem, &identity.key_pem, &identity.ca_pem).unwrap();
    let (_there, here) = world.pair(&stored).await;
    assert_eq!(here.peer().name(), &name("north"));
    world.list.revoke(issued.serial);
    let refused = world.dialer(&stored).dial(world.addr).await;
    assert!(matches!(refused, Err(ConnectError::Revoked)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_token_reused_refused() {
    let office = Office::new();
    let token = office.token();
    office.join(&token, "north", Role::Node).await.unwrap();
    office.refuses(&token, "north", Role::Node, TokenRefusal::Reused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_token_raced_lets_one_in() {
    let office = Office::new();
    let token = office.token();
    let join = || office.join(&token, "north", Role::Node);
    let (a, b, c, d) = tokio::join!(join(), join(), join(), join());
    assert_eq!([a, b, c, d].iter().filter(|joined| joined.is_ok()).count(), 1);
    assert_eq!(office.desk.issued.lock().unwrap().len(), 1);
    assert_eq!(office.desk.alerts.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_token_expired_refused() {
    let office = Office::new();
    let token = office.token();
    office.world.clock.forward(3600);
    office.refuses(&token, "north", Role::Node, TokenRefusal::Expired).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_token_wrong_name_refused() {
    let office = Office::new();
    let token = office.token();
    office.refuses(&token, "south", Role::Node, TokenRefusal::WrongName).await;
    office.refuses(&token, "north", Role::Person, TokenRefusal::WrongRole).await;
    // Neither attempt spent it.
    office.join(&token, "north", Role::Node).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_token_unknown_refused() {
    let office = Office::new();
    let token = Token::generate(office.world.ca.fingerprint()).unwrap();
    office.refuses(&token, "north", Role::Node, TokenRefusal::Unknown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_token_wrong_ca_refused() {
    let office = Office::new();
    let now_s = office.world.now_s();
    let other = Ca::generate(&name("study"), now_s).unwrap();
    let token = Token::generate(other.fingerprint()).unwrap();
    let refused = office.join(&token, "north", Role::Node).await;
    assert!(
        matches!(
            refused,
            Err(EnrolError::Connect(ConnectError::WrongCa { whose: Party::Coordinator }))
        ),
        "{refused:?}"
    );
    assert_eq!(*office.desk.asked.lock().unwrap(), 0, "the secret was sent to a stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_an_impostor_under_the_right_ca_gets_no_secret() {
    // A node's certificate is of the right authority, and its holder may even present the
    // authority's certificate: it is still not the coordinator.
    let office = Office::new();
    let world = &office.world;
    let node = issue(&world.ca, "evil", Role::Node, world.now_s(), world.now_s() + 60);
    let refused =
        Enroller::bind(any(), world.ca.clone(), &node, office.desk.clone(), world.clock.clone());
    assert!(refused.is_err());
    let impostor = crate::world::raw_enroller(&node);
    let addr = impostor.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let connecting = impostor.accept().await?.accept().ok()?;
        let quic = connecting.await.ok()?;
        quic.accept_bi().await.ok().map(|_| ())
    });
    let clock = world.clock.clone();
    // No packet can go to port 0, and this is told all the same.
    let addrs = [any(), addr, any()];
    let token = office.token();
    let refused = soon(enrol_at_each(&addrs, &token, &name("north"), Role::Node, clock)).await;
    assert!(
        matches!(refused, Err(EnrolError::Connect(ConnectError::NotTheCoordinator))),
        "{refused:?}"
    );
    assert_eq!(soon(heard).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_port_speaks_its_own_protocol_only() {
    let office = Office::new();
    let world = &office.world;
    let node = world.node("north");
    let dialler = Dialer::new(&node, world.clock.clone()).unwrap();
    let refused = dialler.dial(office.addr).await;
    assert!(matches!(refused, Err(ConnectError::AlpnMismatch)), "{refused:?}");
    let clock = world.clock.clone();
    let refused = soon(enrol(world.addr, &office.token(), &name("north"), Role::Node, clock)).await;
    assert!(matches!(refused, Err(EnrolError::Connect(_))), "{refused:?}");
    // A joiner's connection never reaches `accept`: the next one there is a verified node.
    let (_there, here) = world.pair(&node).await;
    assert_eq!(here.peer().name(), &name("north"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_get_one_answer_and_spend_nothing() {
    let office = Office::new();
    let mut oversized = 100_000_u32.to_le_bytes().to_vec();
    oversized.extend_from_slice(&[0; 100]);
    for bytes in [vec![], vec![1, 0, 0, 0, 9], oversized] {
        let world = &office.world;
        let config = RawClient {
            identity: None,
            alpn: Some(cloister_net::ALPN_ENROL),
            resumption: Resumption::disabled(),
        }
        .config(world);
        let endpoint = quinn::Endpoint::client(any()).unwrap();
        let connecting = endpoint.connect_with(config, office.addr, crate::world::HUB).unwrap();
        let quic = soon(connecting).await.unwrap();
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        let answer = soon(recv.read_to_end(64)).await.unwrap();
        assert_eq!(answer, [1, 0, 0, 0, 6], "a frame with the code for a malformed request");
    }
    assert_eq!(*office.desk.asked.lock().unwrap(), 0);
    assert_eq!(*office.desk.alerts.lock().unwrap(), [EnrolRefusal::BadRequest; 3]);
}
