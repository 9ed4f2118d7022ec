//! Agreements, keys and signed documents for tests, made like real ones: planned by the planner,
//! signed by the keys the agreement names. Never in a shipped binary, and never a shortcut past a
//! check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test builds only

use crate::admit::Terms;
use crate::agreement::SignedAgreement;
use crate::ledger::Ledger;
use crate::slot::Pace;
use cloister_net::Clock;
use cloister_plan::{Question, Spend};
use cloister_sandbox::{WorkerKind, Workers};
use cloister_terms::approval::Bound;
use cloister_terms::{
    Agreement, Analysis, Approval, Body, Budget, Calendar, Cost, DOCUMENT_VERSION, Dictionary,
    Digest, Grant, Name, Nonce, Party, Person, Quorum, ReleaseRecord, Researcher, RunRequest,
    Verdict,
};
use cloister_wire::{Document, Envelope, Opened, Round, SigningKey, sha256};
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The second at which the documents of this file are made: 2026-09-21 14:13:20 UTC.
pub const NOW_S: i64 = 1_790_000_000;
/// Length of a release epoch in [`Federation::new`], seconds.
pub const EPOCH_S: i64 = 86_400;
/// A question over [`dictionary`].
pub const SQL: &str =
    "SELECT city, COUNT(*) AS trips, SUM(distance_km) AS km FROM trips GROUP BY city";

/// A clock that tests turn.
#[derive(Debug)]
pub struct HandClock(AtomicU64);

impl HandClock {
    /// A clock that stands at `now_s`.
    pub fn at(now_s: i64) -> Self {
        Self(AtomicU64::new(now_s.try_into().unwrap()))
    }

    /// Turns it to `now_s`.
    pub fn set(&self, now_s: i64) {
        self.0.store(now_s.try_into().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_unix_s(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A pace that tests turn: nothing waits longer or shorter than they say.
#[derive(Debug)]
pub struct HandPace(tokio::sync::watch::Sender<Duration>);

impl HandPace {
    /// Turns it to `ms` milliseconds after its start.
    pub fn set_ms(&self, ms: u64) {
        self.0.send_replace(Duration::from_millis(ms));
    }
}

impl Default for HandPace {
    fn default() -> Self {
        Self(tokio::sync::watch::Sender::new(Duration::ZERO))
    }
}

impl Pace for HandPace {
    fn now(&self) -> Duration {
        *self.0.borrow()
    }

    fn until(&self, at: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.0.subscribe().wait_for(|now| *now >= at).await.unwrap();
        })
    }
}

/// The key that a role's name stands for, always the same: `steward:north`, `node:north`,
/// `person:ada`.
pub fn key(role: &str) -> SigningKey {
    SigningKey::from_seed(sha256(role.as_bytes()).as_bytes()).unwrap()
}

/// Modules in a thread of the test: its binary is not made to be its own worker. Tests that are about
/// worker processes name a program.
pub fn thread_workers() -> Workers {
    Workers::new(WorkerKind::Thread)
}

/// A name.
pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A cost of pure epsilon, as text.
pub fn epsilon(text: &str) -> Cost {
    Cost { epsilon: text.parse().unwrap(), ..Cost::ZERO }
}

/// One dataset `trips`: person_id, city (public domain of three), distance_km (0 to 100), purpose_code.
pub fn dictionary() -> Dictionary {
    let json = r#"{"datasets":[{
        "name":"trips","description":"Journeys, one row each","unit_column":"person_id",
        "columns":[
          {"name":"person_id","type":"int64","description":"Rider","identifier":true},
          {"name":"city","type":"text","description":"Where it began",
           "domain":[{"text":"Ashford"},{"text":"Bramley"},{"text":"Corston"}]},
          {"name":"distance_km","type":"float64","description":"Length, km",
           "bounds":{"min":"0","max":"100","grid_bits":4}}],
        "rows_per_unit_max":50}]}"#;
    let dictionary: Dictionary = serde_json::from_str(json).unwrap();
    dictionary.check().unwrap();
    dictionary
}

/// An agreement with everybody's keys.
#[derive(Debug)]
pub struct Federation {
    /// The agreement, signed by every party.
    pub agreement: Envelope,
    /// Its document.
    pub document: Agreement,
    /// Its digest.
    pub digest: Digest,
}

impl Federation {
    /// Partners `north` and `south`, researchers `ada` and `bob`, reviewers `rita`, `ron` and
    /// `rosa` of two organisations, two approvals of two organisations; generous caps.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// As [`Federation::new`], changed before it is signed.
    pub fn with(edit: impl FnOnce(&mut Agreement)) -> Self {
        let caps = Budget { rho: "10".parse().unwrap(), ..epsilon("100") };
        let party = |partner: &str| Party {
            partner: name(partner),
            organisation: format!("{partner} ltd"),
            steward_key: key(&format!("steward:{partner}")).public_key(),
            node_key: key(&format!("node:{partner}")).public_key(),
            unit_namespace: name(&format!("{partner}-persons")),
            caps,
        };
        let researcher = |person: &str| Researcher {
            name: name(person),
            organisation: "university".into(),
            key: key(&format!("person:{person}")).public_key(),
            caps,
        };
        let reviewer = |person: &str, organisation: &str| Person {
            name: name(person),
            organisation: organisation.into(),
            key: key(&format!("person:{person}")).public_key(),
            trained_until_s: None,
        };
        let mut document = Agreement {
            version: DOCUMENT_VERSION,
            name: name("mobility"),
            charter: "Learn how people travel.".into(),
            purposes: vec!["https://w3id.org/dpv#AcademicResearch".into()],
            not_before_s: NOW_S - 30 * EPOCH_S,
            not_after_s: NOW_S + 300 * EPOCH_S,
            calendar: Calendar {
                start_s: NOW_S - 40 * EPOCH_S,
                length_s: EPOCH_S.try_into().unwrap(),
            },
            parties: vec![party("north"), party("south")],
            researchers: vec![researcher("ada"), researcher("bob")],
            reviewers: vec![
                reviewer("rita", "city"),
                reviewer("ron", "city"),
                reviewer("rosa", "citizens"),
            ],
            quorum: Quorum { approvals: 2, organisations: 2 },
            coordinator: name("hub"),
            run_time_max_ms: 600_000,
            dictionary: dictionary(),
        };
        edit(&mut document);
        document.check().unwrap();
        let mut agreement = Envelope::unsigned(&document).unwrap();
        for party in &document.parties {
            agreement.add_signature(&key(&format!("steward:{}", party.partner))).unwrap();
        }
        let digest = agreement.open::<Agreement>().unwrap().digest();
        Self { agreement, document, digest }
    }

    /// What partner `partner` holds askings against.
    pub fn terms(&self, partner: &str, lifetime_caps: Budget, release_slot_ms: u64) -> Terms {
        let agreement = SignedAgreement::open(
            &self.agreement.to_bytes(),
            &name(partner),
            &key(&format!("steward:{partner}")).public_key(),
            &key(&format!("node:{partner}")).public_key(),
        );
        let workers = thread_workers();
        Terms {
            agreement: agreement.unwrap(),
            lifetime_caps,
            release_slot_ms,
            workers,
            remembered: Arc::default(),
        }
    }

    /// Ada's analysis of [`SQL`] at both partners for epsilon 1 a run, at most 10 runs, changed
    /// before it is planned (body, caps, cost) and signed.
    pub fn analysis(&self, edit: impl FnOnce(&mut Analysis)) -> Envelope {
        let document = self.draft(edit);
        Envelope::sign(&document, &key(&format!("person:{}", document.researcher))).unwrap()
    }

    /// The document of [`Federation::analysis`], not signed.
    pub fn draft(&self, edit: impl FnOnce(&mut Analysis)) -> Analysis {
        let body = Body::Sql { text: SQL.into() };
        let spend = Spend { epsilon: Some("1".parse().unwrap()), rho: None, delta: None };
        let dictionary = &self.document.dictionary;
        let question = Question {
            body: &body,
            row_cap: 10,
            group_cap: 2,
            spend,
            diagnostics: false,
            rounds: 1,
        };
        let planned = cloister_plan::plan(dictionary, &question).unwrap();
        let mut document = Analysis {
            version: DOCUMENT_VERSION,
            name: name("trips-by-city"),
            researcher: name("ada"),
            agreement: self.digest,
            question: "How many journeys begin where, and how long are they?".into(),
            purpose: self.document.purposes[0].clone(),
            columns: planned.columns,
            nodes: vec![name("north"), name("south")],
            recipients: vec![name("ada")],
            row_cap: 10,
            group_cap: 2,
            diagnostics: false,
            cost_per_round: planned.cost,
            rounds: 1,
            max_runs: 10,
            not_before_s: NOW_S - EPOCH_S,
            not_after_s: NOW_S + 100 * EPOCH_S,
            plan: planned.plan.digest().unwrap(),
            shape: planned.plan.shape,
            keys_round: None,
            body,
        };
        edit(&mut document);
        // Whatever was changed, the document names the plan of its own text.
        if let Ok(planned) = cloister_plan::replan(dictionary, &document) {
            document.plan = planned.digest();
            document.shape = planned.plan.shape.clone();
            document.columns = planned.columns.clone();
            document.keys_round = planned.keys_round().cloned();
        }
        document
    }

    /// One reviewer's signed vote on `analysis`.
    pub fn vote(&self, reviewer: &str, analysis: &Envelope, verdict: Verdict) -> Envelope {
        self.vote_signed_by(reviewer, analysis, verdict, &key(&format!("person:{reviewer}")))
    }

    /// A vote in `reviewer`'s name, signed by `signer`.
    pub fn vote_signed_by(
        &self,
        reviewer: &str,
        analysis: &Envelope,
        verdict: Verdict,
        signer: &SigningKey,
    ) -> Envelope {
        let opened = analysis.open::<Analysis>().unwrap();
        let vote = Approval {
            version: DOCUMENT_VERSION,
            reviewer: name(reviewer),
            verdict,
            reason: "Looked at it.".into(),
            bound: Bound::of(opened.document(), opened.digest()).unwrap(),
            nonce: Nonce::new([9; 16]),
        };
        Envelope::sign(&vote, signer).unwrap()
    }

    /// The researcher's signed request of `analysis`; `nonce` tells askings apart.
    pub fn request(
        &self,
        analysis: &Envelope,
        approvals: &[Envelope],
        nonce: u64,
        requested_at_s: i64,
    ) -> Envelope {
        let opened = analysis.open::<Analysis>().unwrap();
        let mut approvals: Vec<_> = approvals.iter().map(digest_of::<Approval>).collect();
        approvals.sort();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&nonce.to_le_bytes());
        let round = Round::first(opened.document()).unwrap();
        let request = RunRequest {
            version: DOCUMENT_VERSION,
            researcher: opened.document().researcher.clone(),
            analysis: opened.digest(),
            approvals,
            round: round.number,
            parameters: round.parameters,
            releases_used: vec![],
            requested_at_s,
            nonce: Nonce::new(bytes),
        };
        Envelope::sign(&request, &key(&format!("person:{}", request.researcher))).unwrap()
    }

    /// The request of `first`, asked again as a second round on the keys of these releases.
    pub fn second_request(
        &self,
        analysis: &Envelope,
        first: &Envelope,
        used: &[Envelope],
        nonce: u64,
    ) -> Envelope {
        let analysis = analysis.open::<Analysis>().unwrap();
        let opened: Vec<_> =
            used.iter().map(|used| used.open::<ReleaseRecord>().unwrap()).collect();
        // Of whatever they show, however much it is: hostile releases are the gate's to refuse.
        let shown = opened.iter().flat_map(|used| used.document().keys.clone());
        let keys = shown.collect::<BTreeSet<_>>().into_iter().collect();
        let shape = analysis.document().shape.of_keys(keys);
        let mut request = first.open::<RunRequest>().unwrap().document().clone();
        request.round = 2;
        request.parameters = cloister_wire::round::parameters(&shape).unwrap();
        request.releases_used = opened.iter().map(Opened::digest).collect();
        request.releases_used.sort();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&nonce.to_le_bytes());
        request.nonce = Nonce::new(bytes);
        Envelope::sign(&request, &key(&format!("person:{}", request.researcher))).unwrap()
    }

    /// A steward's signed decision on `analysis`, made at [`NOW_S`].
    pub fn decision(&self, partner: &str, analysis: &Envelope, verdict: Verdict) -> Envelope {
        let opened = analysis.open::<Analysis>().unwrap();
        let grant = Grant {
            version: DOCUMENT_VERSION,
            partner: name(partner),
            analysis: opened.digest(),
            agreement: self.digest,
            verdict,
            reason: "Discussed.".into(),
            signed_at_s: NOW_S,
            not_after_s: opened.document().not_after_s,
            nonce: Nonce::new([7; 16]),
        };
        Envelope::sign(&grant, &key(&format!("steward:{partner}"))).unwrap()
    }

    /// Grants `analysis` in a ledger of `partner`.
    pub fn grant(&self, partner: &str, analysis: &Envelope, ledger: &Ledger) {
        let grant = self.decision(partner, analysis, Verdict::Approve);
        ledger.decide(&grant.open::<Grant>().unwrap(), NOW_S).unwrap();
    }

    /// Everything a run needs: two votes that make a quorum, and a request at [`NOW_S`].
    pub fn papers(&self, analysis: &Envelope, nonce: u64) -> Papers {
        let votes = ["rita", "rosa"].map(|who| self.vote(who, analysis, Verdict::Approve));
        let request = self.request(analysis, &votes, nonce, NOW_S);
        Papers {
            analysis: analysis.to_bytes(),
            module: None,
            approvals: votes.iter().map(Envelope::to_bytes).collect(),
            request: request.to_bytes(),
            used: vec![],
        }
    }
}

impl Default for Federation {
    fn default() -> Self {
        Self::new()
    }
}

/// Digest of the document in an envelope.
pub fn digest_of<T: Document>(envelope: &Envelope) -> Digest {
    envelope.open::<T>().unwrap().digest()
}

/// The documents of one asking, as bytes.
#[derive(Debug, Clone)]
pub struct Papers {
    /// The signed analysis.
    pub analysis: Vec<u8>,
    /// The module's bytes.
    pub module: Option<Vec<u8>>,
    /// The votes.
    pub approvals: Vec<Vec<u8>>,
    /// The signed request.
    pub request: Vec<u8>,
    /// The releases it builds on.
    pub used: Vec<Vec<u8>>,
}

impl Papers {
    /// As the gate takes them.
    pub fn asking(&self) -> crate::admit::Asking<'_> {
        crate::admit::Asking {
            analysis: &self.analysis,
            module: self.module.as_deref(),
            approvals: &self.approvals,
            request: &self.request,
            used: &self.used,
        }
    }

    /// Digest of the request document.
    pub fn request_digest(&self) -> Digest {
        digest_of::<RunRequest>(&Envelope::parse(&self.request).unwrap())
    }
}
