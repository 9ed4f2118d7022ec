//! Rows A14, A25, A27 at the ledger: what a node that refunds, or keeps an account for each dataset, would
//! give away. The honest ledger passes the same checks.

use cloister_dp::SystemEntropy;
use cloister_node::admit::admit;
use cloister_node::ledger::{Charge, Charged, Ledger, Room};
use cloister_node::mutant::Mutant;
use cloister_terms::{Analysis, Body, Cost, Refusal};
use cloister_tests::fixtures::{Federation, NOW_S, dictionary, epsilon, key, name};

/// Lifetime cap of the ledgers here, in epsilon; each charge costs 1.
const CAP: &str = "3";

/// One node's gate, with a ledger that may lack a defence.
struct Gate {
    federation: Federation,
    ledger: Ledger,
    _folder: tempfile::TempDir,
}

impl Gate {
    /// Under an agreement with two datasets of the same persons.
    fn new(lacks: Option<Mutant>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let ledger = match lacks {
            Some(mutant) => ledger.lacking(mutant),
            None => ledger,
        };
        let federation = Federation::with(|agreement| {
            let mut datasets = dictionary();
            let mut second = datasets.datasets[0].clone();
            second.name = name("stays");
            datasets.datasets.push(second);
            agreement.dictionary = datasets;
        });
        Self { federation, ledger, _folder: folder }
    }

    /// Charges question `number` of `who` about `dataset`.
    fn charge(&self, who: &str, dataset: &str, number: u64) -> Result<Charge, Refusal> {
        let analysis = self.federation.analysis(|analysis: &mut Analysis| {
            analysis.name = name(&format!("question-{number}"));
            analysis.researcher = name(who);
            analysis.body = Body::Sql {
                text: format!("SELECT COUNT(*) AS n FROM {dataset} WHERE distance_km > {number}"),
            };
        });
        self.federation.grant("north", &analysis, &self.ledger);
        let papers = self.federation.papers(&analysis, number);
        let terms = self.federation.terms("north", epsilon(CAP), 30_000);
        let admitted = admit(&papers.asking(), &terms, &self.ledger, NOW_S)?;
        match self.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new())? {
            Charged::Fresh(charge) => Ok(charge),
            Charged::Repeat(_) => panic!("every question here is new"),
        }
    }

    /// Lifetime accounts.
    fn lifetime(&self) -> Vec<Cost> {
        let accounts = self.ledger.view().unwrap().accounts;
        accounts.iter().filter(|a| a.kind == "lifetime").map(|a| a.spent).collect()
    }
}

/// Whether all charges about a person together stay within the cap, whoever asks about whichever dataset.
fn shared_account(lacks: Option<Mutant>) -> Result<(), String> {
    let gate = Gate::new(lacks);
    let mut charged = Cost::ZERO;
    for number in 0..10 {
        let (who, dataset) = (["ada", "bob"][number / 2 % 2], ["trips", "stays"][number % 2]);
        match gate.charge(who, dataset, number as u64) {
            Ok(_) => charged = charged.checked_add(epsilon("1")).unwrap(),
            Err(refusal) => assert_eq!(refusal, Refusal::OverBudget),
        }
    }
    assert!(epsilon(CAP).within(charged), "the cap was not tried");
    if charged.within(epsilon(CAP)) {
        return Ok(());
    }
    Err(format!("{charged:?} was charged about persons who may lose {CAP}"))
}

#[test]
fn a27_datasets_and_researchers_share_one_lifetime_account() {
    shared_account(None).unwrap();
}

#[test]
fn a25_an_account_for_each_dataset_is_caught() {
    shared_account(None).unwrap();
    assert!(shared_account(Some(Mutant::AccountPerDataset)).is_err());
}

/// Whether a run that fails leaves the same accounts as one that succeeds.
fn failure_costs_the_same(lacks: Option<Mutant>) -> Result<(), String> {
    let [good, bad] = [Gate::new(lacks), Gate::new(lacks)];
    let charge = good.charge("ada", "trips", 1).unwrap();
    let values = vec![0; charge.plan().shape.vector_len().unwrap()];
    good.ledger.release_for_tests(charge, values, &key("node:north"), NOW_S).unwrap();
    let charge = bad.charge("ada", "trips", 1).unwrap();
    bad.ledger.withhold(charge.id(), NOW_S).unwrap();
    let (good, bad) = (good.lifetime(), bad.lifetime());
    if good == bad { Ok(()) } else { Err(format!("{good:?} after a release, {bad:?} after none")) }
}

#[test]
fn a25_a_refund_on_failure_is_caught() {
    failure_costs_the_same(None).unwrap();
    assert!(failure_costs_the_same(Some(Mutant::RefundOnFailure)).is_err());
    // Failing on purpose then asks for ever; the honest cap ends it.
    let failures = |lacks| {
        let gate = Gate::new(lacks);
        let fails = |number: &u64| match gate.charge("ada", "trips", *number) {
            Ok(charge) => gate.ledger.withhold(charge.id(), NOW_S).is_ok(),
            Err(_) => false,
        };
        (0..8).take_while(fails).count()
    };
    assert_eq!((failures(None), failures(Some(Mutant::RefundOnFailure))), (3, 8));
}
