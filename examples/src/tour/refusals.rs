//! What is refused, each with its message: the tour fails when one of these is let through.

use crate::book::Book;
use crate::cast::{Cast, Partner, Question};
use crate::setup::{self, Coordinator, RESEARCHER, REVIEWERS};
use crate::stage::Stage;
use crate::story::{TourError, approve, expect_all, grant};
use serde_json::Value;

/// Plays every refusal.
pub fn play(
    cast: &Cast,
    stage: &Stage,
    book: &mut Book,
    at: &Coordinator,
) -> Result<(), TourError> {
    unapproved(cast, stage, book)?;
    changed_module(cast, stage, book)?;
    over_budget(cast, stage, book)?;
    outsider(cast, stage, book, at)
}

fn home() -> String {
    format!("people/{}", RESEARCHER.0)
}

/// A copy of the SQL question under another name, with other spending.
fn variant(
    cast: &Cast,
    stage: &Stage,
    name: &str,
    rho: Option<&str>,
    nodes: &str,
) -> Result<String, TourError> {
    let Question { name: old, toml, .. } = &cast.sql;
    let mut text = toml.replacen(&format!("name = \"{old}\""), &format!("name = \"{name}\""), 1);
    if let Some(rho) = rho {
        let spend = format!("spend = {{ rho = \"{rho}\" }}");
        text = text
            .lines()
            .map(|line| if line.starts_with("spend") { spend.as_str() } else { line })
            .collect::<Vec<_>>()
            .join("\n");
    }
    let file = format!("{}/{name}.toml", home());
    stage.write(&file, &format!("{nodes}{text}"))?;
    Ok(file)
}

fn unapproved(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    // A smaller cost makes it another question: it must not be answered from stored bytes.
    let file = variant(cast, stage, "not-approved", Some("0.01"), "")?;
    stage.run("cloister", &["--home", &home(), "submit", &file])?;
    approve(stage, book, "not-approved", REVIEWERS.get(..1).unwrap_or_default())?;
    let said = stage.run_refused("cloister", &["--home", &home(), "run", "not-approved"])?;
    refused(book, "an analysis with one approval of two", &said);
    Ok(())
}

/// A coordinator that was taken over swaps one byte of the approved module.
fn changed_module(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    let store = stage.root().join("coordinator/coordinator.sqlite");
    let fault =
        |error: rusqlite::Error| TourError::Unexpected(format!("coordinator's store: {error}"));
    let open = || {
        let store = rusqlite::Connection::open(&store)?;
        store.busy_timeout(std::time::Duration::from_secs(10))?;
        Ok(store)
    };
    let connection = open().map_err(fault)?;
    let name = cast.module.name;
    let read = "SELECT module FROM analyses WHERE name = ?1";
    let approved: Vec<u8> = connection.query_row(read, [name], |row| row.get(0)).map_err(fault)?;
    let mut changed = approved.clone();
    if let Some(byte) = changed.last_mut() {
        *byte ^= 1;
    }
    let write = "UPDATE analyses SET module = ?2 WHERE name = ?1";
    connection.execute(write, rusqlite::params![name, changed]).map_err(fault)?;
    let run = stage.run_json("cloister", &["--home", &home(), "run", name, "--json"])?;
    connection.execute(write, rusqlite::params![name, approved]).map_err(fault)?;
    expect_all(&run, "module_mismatch")?;
    refused(book, "a module changed by one byte after approval", &words(&run));
    Ok(())
}

fn over_budget(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    let file = variant(cast, stage, "too-expensive", Some("0.49"), "")?;
    stage.run("cloister", &["--home", &home(), "submit", &file])?;
    approve(stage, book, "too-expensive", &REVIEWERS)?;
    grant(cast, stage, book, "too-expensive", false)?;
    let run = stage.run_json("cloister", &["--home", &home(), "run", "too-expensive", "--json"])?;
    expect_all(&run, "over_budget")?;
    refused(book, "a query over the partners' budgets", &words(&run));
    Ok(())
}

fn outsider(
    cast: &Cast,
    stage: &Stage,
    book: &mut Book,
    at: &Coordinator,
) -> Result<(), TourError> {
    let file = variant(cast, stage, "asks-outsider", None, "nodes = [\"outsider\"]\n")?;
    let said = stage.run_refused("cloister", &["--home", &home(), "submit", &file])?;
    refused(book, "an analysis that asks a node outside the agreement", &said);
    let outsider = Partner {
        name: "outsider",
        organisation: "Outsider",
        kind: None,
        file: Some(stage.root().join("none.parquet")),
        columns: vec![],
    };
    setup::partner(cast, stage, at, &outsider)?;
    let args = ["--config", "outsider/node.toml", "run", "--exit-with-stdin"];
    let said = stage.run_refused("node", &args)?;
    refused(book, "a node outside the agreement", last_line(&said));
    Ok(())
}

/// One flipped bit in the middle of a proof bundle.
pub fn tampered_bundle(stage: &Stage, book: &mut Book, bundle: &str) -> Result<(), TourError> {
    let mut bytes = std::fs::read(stage.root().join(bundle))?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    std::fs::write(stage.root().join("tampered.json"), bytes)?;
    let said = stage.run_refused("cloister", &["verify", "tampered.json"])?;
    refused(book, "the same proof with one changed bit", &said);
    Ok(())
}

/// The same question again: the same bytes, and nothing is charged.
pub fn again(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    let ledgers = |stage: &Stage| -> Result<Vec<Value>, TourError> {
        let mut all = Vec::new();
        for partner in &cast.partners {
            let config = format!("{}/node.toml", partner.name);
            let view =
                stage.run_json("node", &["--config", &config, "ledger", "show", "--json"])?;
            all.push(view.get("accounts").cloned().unwrap_or_default());
        }
        Ok(all)
    };
    let releases = |stage: &Stage, bundle: &str| -> Result<Option<Value>, TourError> {
        let bytes = std::fs::read(stage.root().join(bundle))?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(value.get("releases").cloned())
    };
    let name = cast.sql.name;
    let before = ledgers(stage)?;
    let run = book.step("ada asks the first question once more", || {
        stage.run_json("cloister", &["--home", &home(), "run", name, "--json"])
    })?;
    expect_all(&run, "released")?;
    let bundle = "again.bundle.json";
    stage
        .run("cloister", &["--home", &home(), "results", name, "--no-plot", "--bundle", bundle])?;
    let first = releases(stage, &format!("{name}.bundle.json"))?;
    if first.is_none() || first != releases(stage, bundle)? {
        return Err(TourError::Unexpected("the same question gave other bytes".into()));
    }
    if before != ledgers(stage)? {
        return Err(TourError::Unexpected("the same question was charged again".into()));
    }
    book.say("  The same signed bytes came back, and no account moved.");
    Ok(())
}

fn refused(book: &mut Book, what: &str, said: &str) {
    book.say(&format!("  \u{2713} refused: {what}"));
    book.show("refusal", said);
}

/// What the nodes of a run said, each message once.
fn words(run: &Value) -> String {
    let nodes = run.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut said: Vec<String> = nodes
        .iter()
        .filter_map(|node| node.get("words").and_then(Value::as_str))
        .map(str::to_owned)
        .collect();
    said.dedup();
    format!("{} nodes: {}", nodes.len(), said.join("; "))
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}
