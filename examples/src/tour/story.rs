//! The story, step by step. Every step is a command that a partner or a person would type; the tour
//! only reads what the commands print.

use crate::beside::beside;
use crate::book::Book;
use crate::cast::{Cast, Question, one_file};
use crate::folds::{self, Persons};
use crate::refusals;
use crate::setup::{self, Coordinator, RESEARCHER, REVIEWERS};
use crate::stage::{Stage, StageError, typed};
use crate::truth::{Figures, Truth, Which, truth};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest an offer may take to reach a node.
const OFFER_DEADLINE: Duration = Duration::from_secs(30);
/// Lines of each steward's description of its tables that are shown.
const DESCRIBED_LINES: usize = 6;

/// Why the tour stopped.
#[derive(Debug, thiserror::Error)]
pub enum TourError {
    /// A process did not do its part.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The scenario cannot be written.
    #[error(transparent)]
    Scenario(#[from] cloister_examples::scenario::ScenarioError),
    /// The exact answer cannot be computed.
    #[error("the exact answer cannot be computed: {0}")]
    Truth(#[from] datafusion::error::DataFusionError),
    /// Files.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The data folder is not the developer data.
    #[error("`{path}` is not there: --data needs the developer data folder", path = .0.display())]
    NoData(PathBuf),
    /// A step did something else than it should.
    #[error("{0}")]
    Unexpected(String),
}

/// Plays the whole story.
pub fn play(cast: &Cast, stage: &mut Stage, book: &mut Book) -> Result<(), TourError> {
    book.say(&format!("Cloister: {}", cast.question));
    book.say(&format!("Data: {}.", cast.about));
    let at = prepare(cast, stage, book)?;
    let asked = [(&cast.sql, Which::Sql), (&cast.module, Which::Module)];
    book.chapter("5. Two questions, explained before anything is spent, and reviewed");
    for (question, _) in asked {
        submit(stage, book, question)?;
        approve(stage, book, question.name, &REVIEWERS)?;
        grant(cast, stage, book, question.name, true)?;
    }
    let mut persons = None;
    for (question, which) in asked {
        answer(cast, stage, book, question, which, &mut persons)?;
    }
    book.chapter("8. What was spent, and what is left");
    spent(cast, stage, book)?;
    book.chapter("9. What is refused");
    refusals::play(cast, stage, book, &at)?;
    book.chapter("10. The same question again");
    refusals::again(cast, stage, book)?;
    book.say(&format!(
        "\nThe tour is over: every step did what it should ({:.0} s).",
        book.elapsed_s()
    ));
    Ok(())
}

fn prepare(cast: &Cast, stage: &mut Stage, book: &mut Book) -> Result<Coordinator, TourError> {
    book.chapter("1. Four partners, each with its own data");
    setup::data(cast, stage, book)?;
    book.chapter("2. A coordinator, and everyone joins with a one-time token");
    let at = book.step("the coordinator starts", || setup::coordinator(stage))?;
    let mut partners = Vec::new();
    for partner in &cast.partners {
        let text = format!("{} makes its keys at home and enrols its node", partner.name);
        partners.push(book.step(&text, || setup::partner(cast, stage, &at, partner))?);
    }
    if !cloister_node::start::kernel_isolates_modules() {
        book.say("  this kernel lacks landlock or seccomp: the nodes here are told to run modules without");
    }
    let mut people = Vec::new();
    for (name, organisation) in std::iter::once(&RESEARCHER).chain(&REVIEWERS) {
        let text = format!("{name} ({organisation}) makes a key and enrols");
        people.push(book.step(&text, || setup::person(stage, &at, name))?);
    }
    described(cast, stage, book)?;
    book.chapter("4. One agreement, signed by all four stewards");
    book.step("drafted, signed by every steward, published", || {
        setup::agreement(cast, stage, &partners, &people)
    })?;
    agreed(cast, stage, book)?;
    for partner in &cast.partners {
        book.step(&format!("the node of {} starts and dials out", partner.name), || {
            setup::start_node(stage, partner.name)
        })?;
    }
    if let Some(partner) = cast.partners.first() {
        let config = format!("{}/node.toml", partner.name);
        let said = book
            .step("the first steward checks configuration, data and connection", || {
                stage.run("node", &["--config", &config, "check"])
            })?;
        book.show("check", &head(&said, 14));
    }
    Ok(at)
}

fn described(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    book.chapter("3. Each steward describes its own tables");
    for partner in &cast.partners {
        let file = one_file(partner, &stage.root().join(partner.name).join("data"));
        let file = file.to_string_lossy().into_owned();
        let said = stage.run("node", &["describe", &file])?;
        book.say(&format!(
            "  {} runs `cloister-node describe` on its files (stays at home):",
            partner.name
        ));
        book.show("describe", &head(&said, DESCRIBED_LINES));
    }
    book.say("  Each maps its own columns onto one shared dictionary, row by row:");
    for partner in &cast.partners {
        let columns: Vec<_> = partner.columns.iter().filter(|(to, from)| to != from).collect();
        if columns.is_empty() {
            let all = partner.columns.len();
            book.say(&format!("    {:<14} its {all} columns, as they are", partner.name));
        }
        for (to, from) in columns.iter().take(3) {
            let short: String = from.chars().take(70).collect();
            book.say(&format!("    {:<14} {to:<11} = {short}", partner.name));
        }
    }
    Ok(())
}

/// Shows the agreement, and checks that nobody's signature is missing.
fn agreed(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    let said = stage.run("cloister", &["agreement", "show", "agreement.json"])?;
    book.show("agreement", &head(&said, 12));
    let told = stage.run_json("cloister", &["agreement", "show", "agreement.json", "--json"])?;
    let signed = told.get("signed_by").and_then(Value::as_array).map_or(0, Vec::len);
    if signed == cast.partners.len() {
        return Ok(());
    }
    let all = cast.partners.len();
    Err(TourError::Unexpected(format!("{signed} of {all} partners have signed the agreement")))
}

/// The researcher explains and submits.
pub fn submit(stage: &Stage, book: &mut Book, question: &Question) -> Result<(), TourError> {
    let file = format!("people/{}/{}.toml", RESEARCHER.0, question.name);
    stage.write(&file, &question.toml)?;
    for module in ["usual-region.wasm", "town-flows.wasm"] {
        let bytes = module_bytes(module);
        std::fs::write(stage.root().join("people").join(RESEARCHER.0).join(module), bytes)?;
    }
    let home = format!("people/{}", RESEARCHER.0);
    let args = ["--home", &home, "explain", &file, "--agreement", "agreement.json"];
    book.say(&format!(
        "\n  $ {}",
        typed("cloister", &["explain", &format!("{}.toml", question.name)])
    ));
    book.show("explain", &stage.run("cloister", &args)?);
    book.step(&format!("ada signs and submits `{}`", question.name), || {
        stage.run("cloister", &["--home", &home, "submit", &file])
    })?;
    Ok(())
}

/// The modules of the tour, built in.
fn module_bytes(name: &str) -> &'static [u8] {
    match name {
        "usual-region.wasm" => include_bytes!("../../modules/usual-region.wasm"),
        _ => include_bytes!("../../modules/town-flows.wasm"),
    }
}

/// Reviewers approve; the last of three is not needed for two approvals of two organisations.
pub fn approve(
    stage: &Stage,
    book: &mut Book,
    analysis: &str,
    reviewers: &[(&str, &str)],
) -> Result<(), TourError> {
    let enough: Vec<_> = reviewers.iter().filter(|(name, _)| *name != "alan").collect();
    for (name, organisation) in enough {
        let home = format!("people/{name}");
        let args = [
            "--home",
            &home,
            "review",
            "approve",
            analysis,
            "--reason",
            "needed, bounded, and worth its cost",
        ];
        book.step(&format!("{name} ({organisation}) reads it and approves"), || {
            stage.run("cloister", &args)
        })?;
    }
    Ok(())
}

/// Every steward looks at what is pending, and grants it.
pub fn grant(
    cast: &Cast,
    stage: &Stage,
    book: &mut Book,
    analysis: &str,
    show: bool,
) -> Result<(), TourError> {
    for (place, partner) in cast.partners.iter().enumerate() {
        let config = format!("{}/node.toml", partner.name);
        wait_for_offer(stage, &config, analysis)?;
        if show && place == 0 {
            book.say(&format!("  {} sees what waits for its decision:", partner.name));
            book.show("pending", &stage.run("node", &["--config", &config, "pending"])?);
        }
        let args = ["--config", &config, "grant", analysis, "--reason", "within our agreement"];
        book.step(&format!("the steward of {} grants it", partner.name), || {
            stage.run("node", &args)
        })?;
    }
    Ok(())
}

fn wait_for_offer(stage: &Stage, config: &str, analysis: &str) -> Result<(), TourError> {
    let began = Instant::now();
    while began.elapsed() < OFFER_DEADLINE {
        let pending = stage.run_json("node", &["--config", config, "pending", "--json"])?;
        if pending.to_string().contains(&format!("\"{analysis}\"")) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(TourError::Unexpected(format!("`{analysis}` was never offered to {config}")))
}

fn read(cast: &Cast, stage: &Stage) -> Result<Vec<Persons>, TourError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut all = Vec::new();
    for partner in &cast.partners {
        all.push(runtime.block_on(folds::read(cast, partner, stage.root()))?);
    }
    Ok(all)
}

fn answer(
    cast: &Cast,
    stage: &Stage,
    book: &mut Book,
    question: &Question,
    which: Which,
    persons: &mut Option<Vec<Persons>>,
) -> Result<(), TourError> {
    let (number, what) = if which == Which::Sql { (6, "SQL") } else { (7, "module") };
    book.chapter(&format!(
        "{number}. The {what} analysis runs: verify, charge, run, noise, release, combine"
    ));
    let home = format!("people/{}", RESEARCHER.0);
    let text = "four nodes check everything themselves, run, and release at their slots";
    let (run, truth) = book.step(text, || {
        let args = ["--home", &home, "run", question.name, "--json"];
        // While the nodes work, the tour reads the files that it can see, and computes its own answer.
        std::thread::scope(|scope| {
            let running = scope.spawn(|| stage.run_json("cloister", &args));
            if persons.is_none() {
                *persons = Some(read(cast, stage)?);
            }
            let seen = persons.as_deref().unwrap_or_default();
            let truth = truth(cast.truth, which, question, seen);
            let panicked = |_| TourError::Unexpected("the run panicked".into());
            Ok::<_, TourError>((running.join().map_err(panicked)??, truth))
        })
    })?;
    expect_all(&run, "released")?;
    let bundle = format!("{}.bundle.json", question.name);
    let mut args = vec!["--home", &home, "results", question.name, "--bundle", &bundle];
    if which == Which::Module {
        args.extend(["--matrix", "--no-plot"]);
    }
    book.say(&format!("\n  $ {}", typed("cloister", &["results", question.name])));
    book.show("results", &stage.run("cloister", &args)?);
    compare(stage, book, question, &truth)?;
    let proof = stage.run("cloister", &["verify", &bundle])?;
    book.say("  Anyone checks the answer's proof offline:");
    book.show("verify", &proof);
    refusals::tampered_bundle(stage, book, &bundle)
}

/// Checks that every node of a run ended in `state`.
pub fn expect_all(run: &Value, state: &str) -> Result<(), TourError> {
    let nodes = run.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |node: &Value| {
        node.get("state").is_some_and(|s| s.to_string().to_lowercase().contains(state))
    };
    if !nodes.is_empty() && nodes.iter().all(is) {
        return Ok(());
    }
    Err(TourError::Unexpected(format!("every partner should have `{state}`, but: {run}")))
}

/// Shows the answer beside what the tour computed, and fails when it cannot have come from the tables.
fn compare(
    stage: &Stage,
    book: &mut Book,
    question: &Question,
    truth: &Truth,
) -> Result<(), TourError> {
    let home = format!("people/{}", RESEARCHER.0);
    let args = ["--home", &home, "results", question.name, "--json"];
    let report = stage.run_json("cloister", &args)?;
    book.say("  Beside it, computed by the tour from the files it can see (never by a node):");
    let compared = beside(&report, truth);
    book.show("beside the exact answer", &compared.text);
    let (exact, bounded) = (by_cell(&truth.exact), by_cell(&truth.bounded));
    book.note(
        "answer",
        json!({ "analysis": question.name, "report": report, "exact": exact, "bounded": bounded }),
    );
    let Some(first) = compared.wrong.first() else { return Ok(()) };
    Err(TourError::Unexpected(format!(
        "the answer to `{}` is not what the partners' tables give, {} times; first: {first}",
        question.name,
        compared.wrong.len()
    )))
}

/// Figures as JSON, cell by cell.
fn by_cell<T: serde::Serialize>(figures: &Figures<T>) -> Value {
    figures.iter().map(|(cell, values)| json!({ "keys": cell, "figures": values })).collect()
}

fn spent(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    for partner in &cast.partners {
        let config = format!("{}/node.toml", partner.name);
        let said = stage.run("node", &["--config", &config, "ledger", "show"])?;
        book.say(&format!("  {}:", partner.name));
        book.show("ledger", &head(&said, 8));
    }
    Ok(())
}

fn head(text: &str, lines: usize) -> String {
    let mut shown: Vec<&str> = text.lines().take(lines).collect();
    if text.lines().count() > lines {
        shown.push("...");
    }
    shown.join("\n")
}
