//! One partner alone: the steward's own questions pass the same gate and are charged to the same
//! account; the same question in the same epoch gives the same bytes; nothing of them is ever sent.

use cloister_node::alone::{Alone, AloneError, LocalConfig, LocalTerms};
use cloister_node::catalog::{Catalog, CatalogError};
use cloister_node::ledger::{Ledger, LedgerError};
use cloister_node::measure::MeasureOptions;
use cloister_node::run::Tables;
use cloister_plan::draft::{AnalysisDraft, analysis_from_toml};
use cloister_terms::{Analysis, Budget, Cost, Refusal};
use cloister_wire::SigningKey;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PASSPHRASE: &str = "correct horse battery";
/// Well inside an epoch.
const NOW_S: i64 = 1_790_000_000;
const EPOCH_S: i64 = 30 * 86_400;

const QUESTION: &str = r#"
name = "fares"
question = "Who travels where?"
purpose = "https://w3id.org/dpv#ScientificResearch"
row_cap = 4
group_cap = 3
max_runs = 2
spend = { rho = "0.25" }
sql = "SELECT town, COUNT(DISTINCT rider) AS people, SUM(fare) AS fares FROM events GROUP BY town"
"#;

/// A folder with one CSV file, as a steward has it on day one.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        let towns = ["Ashford", "Bramley", "Coldmere"];
        let rows = (0..3_000).map(|i: usize| {
            let (rider, town) = (i * 7 % 900, towns[i % 5 % 3]);
            format!("r{rider},2024-03-{:02} 08:00:00,{town},{}.25\n", 1 + i % 28, i % 11)
        });
        let csv = format!("rider,day,town,fare\n{}", rows.collect::<String>());
        std::fs::write(desk.path("trips.csv"), csv).unwrap();
        std::fs::write(desk.path("fares.toml"), QUESTION).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cloister-node"))
            .args(args)
            .current_dir(self.folder.path())
            .env("CLOISTER_PASSPHRASE", PASSPHRASE)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.command(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(args)).unwrap()
    }

    fn bad(&self, args: &[&str]) -> String {
        let output = self.command(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The draft that `describe` makes, unchanged.
    fn described(self) -> Self {
        let draft = self.good(&["describe", "trips.csv"]);
        std::fs::write(self.path("local.toml"), draft).unwrap();
        self
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&self.path("ledger.sqlite")).unwrap()
    }

    /// The library's view of the same desk, with a ledger of its own.
    fn alone(&self, caps: Budget) -> Result<(Alone, AnalysisDraft), AloneError> {
        self.alone_named(caps, None)
    }

    fn alone_named(
        &self,
        caps: Budget,
        unit_namespace: Option<&str>,
    ) -> Result<(Alone, AnalysisDraft), AloneError> {
        self.alone_with(caps, unit_namespace, MeasureOptions::default())
    }

    fn alone_with(
        &self,
        caps: Budget,
        unit_namespace: Option<&str>,
        options: MeasureOptions,
    ) -> Result<(Alone, AnalysisDraft), AloneError> {
        let config = LocalConfig {
            file: self.path("local.toml"),
            unit_namespace: unit_namespace.map(|name| name.parse().unwrap()),
            ..LocalConfig::default()
        };
        let (local, sources) = LocalTerms::of_file(&"north".parse().unwrap(), &config).unwrap();
        let catalog = Catalog::open(&sources, &local.dictionary).unwrap();
        let tables = Tables { catalog, options };
        let read = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let draft = analysis_from_toml(QUESTION, &local.dictionary, &read).unwrap();
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).unwrap();
        let alone = Alone::new(self.ledger(), tables, &local, caps, key(1), key(2), NOW_S)?;
        Ok((alone, draft))
    }
}

fn rho(text: &str) -> Cost {
    Cost { rho: text.parse().unwrap(), ..Cost::ZERO }
}

#[test]
fn a_steward_asks_alone_on_day_one() {
    let desk = Desk::new();
    desk.good(&["init", "--name", "north"]);
    let early = desk.bad(&["answer", "fares.toml", "--yes"]);
    assert!(early.contains("cloister-node describe"), "{early}");
    let desk = desk.described();
    // Nobody agreed to the cost: nothing is charged.
    assert!(desk.bad(&["answer", "fares.toml"]).contains("nothing was charged"));
    assert_eq!(desk.json(&["ledger", "show", "--json"])["accounts"], serde_json::json!([]));

    let first = desk.json(&["answer", "fares.toml", "--yes", "--json"]);
    assert_eq!(
        (first["repeat"].clone(), first["charged"]["rho"].clone()),
        (false.into(), "0.25".into())
    );
    assert_eq!(first["unit_namespace"], "north-persons");
    assert_eq!(first["report"]["rows"].as_array().unwrap().len(), 3);
    let ledger = desk.json(&["ledger", "show", "--json"]);
    let lifetime = &ledger["accounts"][0];
    assert_eq!(
        (lifetime["kind"].clone(), lifetime["spent"]["rho"].clone()),
        ("lifetime".into(), "0.25".into())
    );
    assert_eq!(ledger["charges"][0]["state"], "released");

    // The same question again: the same bytes, no charge, and nobody needs to agree.
    let again = desk.json(&["answer", "fares.toml", "--json"]);
    assert_eq!(
        (again["repeat"].clone(), again["charged"]["rho"].clone()),
        (true.into(), "0".into())
    );
    for same in ["release", "charge", "report", "left"] {
        assert_eq!(first[same], again[same], "{same}");
    }
    let text = desk.good(&["answer", "fares.toml"]);
    for said in ["Ashford", "±", "nothing was charged", "Left of it: 87.5 %", "for you alone"] {
        assert!(text.contains(said), "`{said}` is missing in:\n{text}");
    }
    for jargon in ["rho", "L0", "lane", "PRF"] {
        assert!(!text.contains(jargon), "`{jargon}` stands in:\n{text}");
    }
    // It waits for nobody's decision and is offered to nobody.
    let state = Ledger::open(&desk.path("state/ledger.sqlite")).unwrap();
    assert!(state.decisions_to_report().unwrap().is_empty());
    assert!(state.undelivered().unwrap().is_empty());
}

#[test]
fn a09_diagnostics_are_charged_with_the_answer_and_stand_below_the_table() {
    let desk = Desk::new();
    desk.good(&["init", "--name", "north"]);
    let desk = desk.described();
    let told = QUESTION.replace("max_runs", "diagnostics = true\nmax_runs");
    std::fs::write(desk.path("told.toml"), told).unwrap();
    let first = desk.json(&["answer", "told.toml", "--yes", "--json"]);
    assert_eq!(first["charged"]["rho"], "0.25", "the whole spend, diagnostics included");
    let diagnostics = first["report"]["diagnostics"].as_array().unwrap();
    let kinds: Vec<_> = diagnostics.iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["contributing", "capped", "clipped"]);
    // Noise of a standard deviation below 8: a third of a tenth of the spend.
    let people = diagnostics[0]["value"].as_f64().unwrap();
    assert!((people - 900.0).abs() < 100.0, "{people}");
    assert!(diagnostics[0]["plus_minus"].as_f64().unwrap() > 10.0, "never exact");
    let text = desk.good(&["answer", "told.toml"]);
    assert!(text.contains("people who contributed: "), "{text}");
    assert!(text.contains("nothing was charged"), "the same bytes again: {text}");
    // Without diagnostics it is another question, paid for by itself.
    let plain = desk.json(&["answer", "fares.toml", "--yes", "--json"]);
    assert_eq!((&plain["repeat"], &plain["charged"]["rho"]), (&false.into(), &"0.25".into()));
    assert!(plain["report"].get("diagnostics").is_none());
    let ledger = desk.json(&["ledger", "show", "--json"]);
    assert_eq!(ledger["accounts"][0]["spent"]["rho"], "0.5");
}

#[test]
fn figures_are_adjusted_on_request_and_free_and_a_wrong_heading_costs_nothing() {
    let desk = Desk::new();
    desk.good(&["init", "--name", "north"]);
    let desk = desk.described();
    for (wrong, said) in [
        (["--non-negative", "town"], "no figure `town`"),
        (["--share-within", "share"], "no figure `share`"),
        (["--share-within", "people"], "`people` is no share"),
        (["--adds-up", "fares"], "total=part+part"),
        (["--adds-up", "fares=fares"], "names a figure twice"),
    ] {
        let refused = desk.bad(&[&["answer", "fares.toml", "--yes"], &wrong[..]].concat());
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!(desk.json(&["ledger", "show", "--json"])["accounts"], serde_json::json!([]));
    let plain = desk.json(&["answer", "fares.toml", "--yes", "--json"]);
    let args = ["answer", "fares.toml", "--json", "--non-negative", "people", "--adds-up"];
    let made = desk.json(&[&args[..], &["fares=people"]].concat());
    assert_eq!((made["repeat"].clone(), made["charged"]["rho"].clone()), (true.into(), "0".into()));
    assert_eq!(plain["release"], made["release"], "the same noised bytes");
    assert_eq!(made["report"]["adjusted"].as_array().unwrap().len(), 3);
    for (row, before) in made["report"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .zip(plain["report"]["rows"].as_array().unwrap())
    {
        let value = |row: &Value, at: usize| row["figures"][at]["value"].as_f64().unwrap();
        assert!((value(row, 0) - value(row, 1)).abs() < 1e-9 && value(before, 0) != value(row, 0));
        assert_ne!(value(before, 1), value(row, 1));
    }
    let text = desk.good(&["answer", "fares.toml", "--non-negative", "people"]);
    assert!(text.contains("`people` is not below 0") && text.contains("hold only if"), "{text}");
}

#[test]
fn refusals_point_at_their_place_and_cost_nothing() {
    let desk = Desk::new();
    desk.good(&["init", "--name", "north"]);
    let desk = desk.described();
    let ask = |from: &str, to: &str| {
        std::fs::write(desk.path("fares.toml"), QUESTION.replacen(from, to, 1)).unwrap();
        desk.bad(&["answer", "fares.toml", "--yes"])
    };
    let pointed = ask("SUM(fare)", "MAX(fare)");
    let lines: Vec<&str> = pointed.lines().collect();
    assert_eq!(lines[1].find("MAX"), lines[2].find('^'), "{pointed}");
    assert!(ask("ScientificResearch", "Marketing").contains("[local]"));
    assert!(ask("rho = \"0.25\"", "rho = \"3\"").contains("lifetime_caps"));
    desk.good(&["pause"]);
    assert!(ask("fares", "fares").contains("pause --resume"));
    // As a command leaves it that once ran under a clock far ahead.
    let state = Ledger::open(&desk.path("state/ledger.sqlite")).unwrap();
    state.note_time(4_000_000_000).unwrap();
    assert!(ask("fares", "fares").contains("the ledger has seen a later time"));
    assert_eq!(desk.json(&["ledger", "show", "--json"])["accounts"], serde_json::json!([]));
}

#[test]
fn a_refused_module_is_told_with_its_reason_and_costs_nothing() {
    let desk = Desk::new();
    desk.good(&["init", "--name", "north"]);
    let desk = desk.described();
    // On any kernel: what is refused here never runs.
    let config = std::fs::read_to_string(desk.path("node.toml")).unwrap();
    let is_required = "require_kernel_isolation = ";
    let config = config.replace(&format!("{is_required}true"), &format!("{is_required}false"));
    std::fs::write(desk.path("node.toml"), config).unwrap();
    // Built for 512 rows of two columns.
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/modules/c-distance.wasm");
    std::fs::copy(sample, desk.path("sample.wasm")).unwrap();
    std::fs::write(desk.path("empty.wasm"), b"\0asm\x01\0\0\0").unwrap();
    for (file, reason, words) in [
        ("sample.wasm", "input_size", "row cap and columns make"),
        ("empty.wasm", "no_memory", "define one and export it as `memory`"),
    ] {
        let asked = format!(
            r#"
name = "far"
question = "How far?"
purpose = "https://w3id.org/dpv#ScientificResearch"
row_cap = 4
group_cap = 1
spend = {{ rho = "0.25" }}

[module]
file = "{file}"
rows = "SELECT fare FROM events"
fuel_per_person = 1000000
keys = [{{ name = "band", values = [0, 1] }}]
lanes = [{{ name = "people", value = {{ min = "0", max = "1" }} }}]
"#
        );
        std::fs::write(desk.path("far.toml"), asked).unwrap();
        let refused = desk.bad(&["answer", "far.toml", "--yes"]);
        for said in ["nothing was charged", words, &format!("(`{reason}`)")] {
            assert!(refused.contains(said), "`{said}` is missing in: {refused}");
        }
        let output = desk.command(&["answer", "far.toml", "--yes", "--json"]);
        assert_eq!(output.status.code(), Some(1));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["refused"]["kind"], reason, "{json}");
    }
    assert_eq!(desk.json(&["ledger", "show", "--json"])["accounts"], serde_json::json!([]));
}

#[test]
fn scripts_read_why_a_question_is_refused_and_nothing_in_it_is_passed_over() {
    let desk = Desk::new();
    desk.good(&["init", "--name", "north"]);
    let desk = desk.described();
    let ask = |from: &str, to: &str| {
        std::fs::write(desk.path("fares.toml"), QUESTION.replacen(from, to, 1)).unwrap();
        let output = desk.command(&["answer", "fares.toml", "--yes", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{to}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["refused"].clone()
    };
    let refused = ask("SUM(fare)", "MAX(fare)");
    assert_eq!((&refused["kind"], &refused["place"]["line"]), (&"Extreme".into(), &1.into()));
    for (line, said) in [
        ("nodes = [\"elsewhere\"]", "`nodes` names `elsewhere`"),
        ("recipients = [\"ada\"]", "`recipients` names `ada`"),
        ("rounds = 3", "between 1 and 2"),
    ] {
        let refused = ask("row_cap", &format!("{line}\nrow_cap"));
        assert!(refused["message"].as_str().unwrap().contains(said), "{refused}");
        assert_eq!(refused["place"]["line"], 5, "{refused}");
    }
    assert_eq!(desk.json(&["ledger", "show", "--json"])["accounts"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_alone_too_an_epoch_has_one_answer_and_the_next_is_charged_in_full() {
    let desk = Desk::new().described();
    let caps = rho("1");
    let (alone, draft) = desk.alone(caps).unwrap();
    let (analysis, _) = alone.plan(&draft).unwrap();
    assert!(!alone.is_charged(&analysis, NOW_S).unwrap());
    let first = alone.ask(&analysis, None, false, NOW_S).await.unwrap();
    assert!(alone.is_charged(&analysis, NOW_S).unwrap());
    let again = alone.ask(&analysis, None, false, NOW_S + 60).await.unwrap();
    assert_eq!(first.release.envelope().to_bytes(), again.release.envelope().to_bytes());
    assert_eq!((first.charged, again.charged), (rho("0.25"), Cost::ZERO));
    assert_eq!(again.left, rho("0.75"));
    // A later epoch is a charge of its own, and `max_runs` counts.
    let later = alone.ask(&analysis, None, false, NOW_S + EPOCH_S).await.unwrap();
    assert_ne!(later.release.digest(), first.release.digest());
    assert_eq!(later.left, rho("0.5"));
    let third = alone.ask(&analysis, None, false, NOW_S + 2 * EPOCH_S).await;
    let is_used = matches!(third, Err(AloneError::Refused(Refusal::NoRunsLeft)));
    assert!(is_used, "{:?}", third.map(|_| ()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b07_alone_too_nothing_is_signed_for_a_question_that_has_ended() {
    let desk = Desk::new().described();
    let (alone, draft) = desk.alone(rho("1")).unwrap();
    let (planned, _) = alone.plan(&draft).unwrap();
    let head = desk.ledger().head().unwrap();
    // A run of one partner alone takes a second at most.
    for (from_s, until_s) in [(0, NOW_S), (0, NOW_S + 1), (NOW_S + 1, NOW_S + 100)] {
        let (mut analysis, dates) = (planned.clone(), (from_s, until_s));
        (analysis.not_before_s, analysis.not_after_s) = dates;
        let refused = alone.ask(&analysis, None, false, NOW_S).await;
        let is_outside = matches!(refused, Err(AloneError::Dates(_)));
        assert!(is_outside, "{dates:?}: {:?}", refused.map(|_| ()));
    }
    assert_eq!(desk.ledger().head().unwrap(), head, "no grant was signed either");
    let open = Analysis { not_after_s: NOW_S + 2, ..planned };
    alone.ask(&open, None, false, NOW_S).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_the_lifetime_account_is_the_only_one_and_has_one_name() {
    let desk = Desk::new().described();
    let (alone, draft) = desk.alone(rho("0.3")).unwrap();
    let (mut analysis, _) = alone.plan(&draft).unwrap();
    alone.ask(&analysis, None, false, NOW_S).await.unwrap();
    // Another question of the same persons: the account does not cover it.
    analysis.group_cap = 2;
    let planned = cloister_plan::replan(&alone.agreement().dictionary, &analysis).unwrap();
    (analysis.plan, analysis.shape) = (planned.digest(), planned.plan.shape.clone());
    let over = alone.ask(&analysis, None, false, NOW_S).await;
    let is_over = matches!(over, Err(AloneError::Refused(Refusal::OverBudget)));
    assert!(is_over, "{:?}", over.map(|_| ()));
    // Under another name the same persons would have a second allowance.
    let renamed = desk.alone_named(rho("0.3"), Some("others")).map(|_| ());
    let other = matches!(renamed, Err(AloneError::Ledger(LedgerError::OtherNamespace { .. })));
    assert!(other, "{renamed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b20_a_failed_run_is_withheld_and_asked_again_only_on_purpose() {
    let desk = Desk::new().described();
    // An engine that starts no scan: nobody knows before the charge.
    let settings = vec![("nothing".to_owned(), "1".to_owned())];
    let broken = MeasureOptions { settings, ..MeasureOptions::default() };
    let (alone, draft) = desk.alone_with(rho("1"), None, broken).unwrap();
    let (analysis, _) = alone.plan(&draft).unwrap();
    let failed = alone.ask(&analysis, None, false, NOW_S).await;
    let is_failed = matches!(failed, Err(AloneError::Failed(_)));
    assert!(is_failed, "{:?}", failed.map(|_| ()));
    assert_eq!(alone.left().unwrap(), rho("0.75"), "a charge is never refunded");
    drop(alone);
    let (alone, _) = desk.alone(rho("1")).unwrap();
    let frozen = alone.ask(&analysis, None, false, NOW_S).await;
    let is_frozen = matches!(frozen, Err(AloneError::Withheld));
    assert!(is_frozen, "{:?}", frozen.map(|_| ()));
    let freed = alone.ask(&analysis, None, true, NOW_S).await.unwrap();
    assert_eq!((freed.is_repeat, freed.left), (false, rho("0.5")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_broke_or_went_away_is_refused_before_the_charge() {
    let desk = Desk::new().described();
    let (alone, draft) = desk.alone(rho("1")).unwrap();
    let (analysis, _) = alone.plan(&draft).unwrap();
    let file = desk.path("trips.csv");
    let kept = std::fs::read(&file).unwrap();
    // Damaged between opening and asking.
    std::fs::write(&file, b"rider,day,town,fare\nr1\n\xff\xff,a,b,c,d,e,f\n").unwrap();
    let broken = alone.ask(&analysis, None, false, NOW_S).await.map(|_| ()).unwrap_err();
    let is_found = matches!(&broken, AloneError::Files(CatalogError::Record { line: 2, .. }));
    assert!(is_found, "{broken:?}");
    for said in ["nothing was charged", "trips.csv", "line 2", "correct the file"] {
        assert!(broken.to_string().contains(said), "`{said}` is missing in: {broken}");
    }
    std::fs::remove_file(&file).unwrap();
    let gone = alone.ask(&analysis, None, false, NOW_S).await.map(|_| ()).unwrap_err();
    assert!(matches!(&gone, AloneError::Files(CatalogError::Path { .. })), "{gone:?}");
    assert_eq!(alone.left().unwrap(), rho("1"));
    // Nothing is frozen by it, and what was answered once needs no file.
    std::fs::write(&file, kept).unwrap();
    let first = alone.ask(&analysis, None, false, NOW_S).await.unwrap();
    assert_eq!((first.is_repeat, first.left), (false, rho("0.75")));
    std::fs::remove_file(&file).unwrap();
    let again = alone.ask(&analysis, None, false, NOW_S).await.unwrap();
    assert_eq!((again.is_repeat, again.left), (true, rho("0.75")));
    assert_eq!(again.release.digest(), first.release.digest());
}
