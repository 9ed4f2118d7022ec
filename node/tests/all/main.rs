//! The node from outside, in one binary so that the stack is linked once: the gate (admission, ledger,
//! runs) against documents signed like real ones, and the data path from files to noised lanes. Every
//! test ends in a typed refusal, an exact sum or the same bytes; none may pass by chance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

// The gate.
mod accounts;
mod admission;
mod answer;
mod changed_files;
mod commands;
mod composites;
mod crashes;
mod csv_records;
mod kills;
mod module_gate;
mod network;
mod offers;
mod repeats;
mod rounds;
mod runs;

// The data path.
mod caps;
mod column_types;
mod dealt;
mod diagnostics;
mod heavy;
mod local_reports;
mod module_outputs;
mod module_values;
mod modules;
mod private_keys;
mod relation_hostile;
mod relation_privacy;
mod relation_steps;
mod relation_world;
mod sample_data;
mod sources;
mod standing;
mod sums;
mod world;

use cloister_dp::{SeededEntropy, SystemEntropy};
use cloister_node::admit::{Admitted, Terms, admit};
use cloister_node::fixtures::{Federation, NOW_S, Papers, epsilon, key};
use cloister_node::ledger::{Charge, Charged, Ledger, Release, Room};
use cloister_terms::{Analysis, Budget, Cost, Refusal, Rho};
use cloister_wire::Envelope;

/// One node's gate with a ledger in a folder of its own.
struct Rig {
    federation: Federation,
    terms: Terms,
    ledger: Ledger,
    folder: tempfile::TempDir,
}

/// Caps that no test reaches by accident.
fn generous() -> Budget {
    Budget { rho: "100".parse().unwrap(), ..epsilon("1000") }
}

impl Rig {
    fn new() -> Self {
        Self::with(Federation::new(), generous())
    }

    fn with(federation: Federation, lifetime_caps: Budget) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let terms = federation.terms("north", lifetime_caps, 30_000);
        Self { federation, terms, ledger, folder }
    }

    /// The same file, opened anew, as after a restart.
    fn reopen(self) -> Self {
        let Self { federation, terms, ledger, folder } = self;
        let path = ledger.path().to_owned();
        drop(ledger);
        Self { federation, terms, ledger: Ledger::open(&path).unwrap(), folder }
    }

    /// Ada's analysis, granted here.
    fn granted(&self, edit: impl FnOnce(&mut Analysis)) -> Envelope {
        let analysis = self.federation.analysis(edit);
        self.federation.grant("north", &analysis, &self.ledger);
        analysis
    }

    fn admit(&self, papers: &Papers) -> Result<Admitted, Refusal> {
        self.admit_at(papers, NOW_S)
    }

    fn admit_at(&self, papers: &Papers, now_s: i64) -> Result<Admitted, Refusal> {
        admit(&papers.asking(), &self.terms, &self.ledger, now_s)
    }

    fn refusal(&self, papers: &Papers) -> Refusal {
        let head = self.ledger.head().unwrap();
        let refusal = self.admit(papers).expect_err("must be refused");
        assert_eq!(self.ledger.head().unwrap(), head, "a refused request leaves no trace");
        refusal
    }

    fn charge(&self, papers: &Papers) -> Result<Charged, Refusal> {
        self.ledger.charge(self.admit(papers)?, Room::Free, &mut SystemEntropy::new())
    }

    fn fresh(&self, papers: &Papers) -> Charge {
        fresh(self.charge(papers))
    }

    fn release(&self, charge: Charge, seed: u64) -> Release {
        let values = values(&charge, seed);
        self.ledger.release_for_tests(charge, values, &key("node:north"), NOW_S).unwrap()
    }

    /// Lifetime spending.
    fn spent(&self) -> Cost {
        let view = self.ledger.view().unwrap();
        let lifetime: Vec<_> = view.accounts.iter().filter(|a| a.kind == "lifetime").collect();
        assert!(lifetime.len() <= 1);
        lifetime.first().map_or(Cost::ZERO, |account| account.spent)
    }
}

fn fresh(charged: Result<Charged, Refusal>) -> Charge {
    match charged {
        Ok(Charged::Fresh(charge)) => charge,
        other => panic!("expected a fresh charge, found {other:?}"),
    }
}

/// Any vector of the charge's shape; what the noise stage would make of some data.
fn values(charge: &Charge, seed: u64) -> Vec<i128> {
    use cloister_dp::Entropy;
    let mut entropy = SeededEntropy::new(seed);
    let length = charge.plan().shape.vector_len().unwrap();
    (0..length)
        .map(|_| {
            let mut bytes = [0; 4];
            entropy.fill(&mut bytes).unwrap();
            i128::from(i32::from_le_bytes(bytes))
        })
        .collect()
}

/// Ada's analysis number `i`: a question of its own, so that it is never a repeat.
fn numbered(i: usize) -> impl FnOnce(&mut Analysis) {
    move |analysis| {
        analysis.name = format!("question-{i}").parse().unwrap();
        analysis.body = cloister_terms::Body::Sql {
            text: format!("SELECT COUNT(*) AS n FROM trips WHERE distance_km > {i}"),
        };
    }
}

/// Whether an account column in rho was touched; tests here spend epsilon only.
fn no_rho(cost: Cost) -> bool {
    cost.rho == Rho::ZERO
}
