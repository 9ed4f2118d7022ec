//! What is refused, each with its message: the tour fails when one of these is let through, is refused
//! for another reason than its own, or costs anybody anything.

use crate::book::Book;
use crate::cast::{Cast, Partner, Question, table_path};
use crate::setup::{self, Coordinator, RESEARCHER, REVIEWERS};
use crate::stage::Stage;
use crate::story::{TourError, approve, expect_all, grant};
use serde_json::Value;

/// Plays every refusal, and checks that nothing was charged for any.
pub fn play(
    cast: &Cast,
    stage: &Stage,
    book: &mut Book,
    at: &Coordinator,
) -> Result<(), TourError> {
    let before = ledgers(cast, stage)?;
    unapproved(cast, stage, book)?;
    unfit_module(cast, stage, book)?;
    changed_module(cast, stage, book)?;
    over_budget(cast, stage, book)?;
    outsider(cast, stage, book, at)?;
    if before != ledgers(cast, stage)? {
        return Err(TourError::Unexpected("a refused request was charged".into()));
    }
    book.say("  No refusal was charged: every account at every partner is as it was.");
    Ok(())
}

/// What every partner's ledger holds: its accounts, and how many charges were made.
fn ledgers(cast: &Cast, stage: &Stage) -> Result<Vec<(Value, usize)>, TourError> {
    let ledger = |partner: &Partner| {
        let config = format!("{}/node.toml", partner.name);
        let view = stage.run_json("node", &["--config", &config, "ledger", "show", "--json"])?;
        let accounts = view.get("accounts").cloned().unwrap_or_default();
        let charges = view.get("charges").and_then(Value::as_array).map_or(0, Vec::len);
        if accounts.as_array().is_none_or(Vec::is_empty) || charges == 0 {
            let text = format!("the ledger of {} shows nothing charged", partner.name);
            return Err(TourError::Unexpected(text));
        }
        Ok((accounts, charges))
    };
    cast.partners.iter().map(ledger).collect()
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
    let home = home();
    let args = ["--home", &home, "run", "not-approved"];
    let said = stage.run_refused("cloister", &args, "the analysis has no quorum of approvals")?;
    refused(book, "an analysis with one approval of two, by the coordinator already", &said);
    Ok(())
}

/// A module that was built for other rows, under another name.
fn unfit_module(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    let Question { name, toml, row_cap, .. } = &cast.module;
    let (named, capped) = (format!("name = \"{name}\""), format!("row_cap = {row_cap}"));
    let text = toml.replacen(&named, "name = \"other-rows\"", 1);
    let text = text.replacen(&capped, "row_cap = 7", 1);
    let file = format!("{}/other-rows.toml", home());
    stage.write(&file, &text)?;
    let args = ["--home", &home(), "submit", &file];
    let said = stage.run_refused("cloister", &args, "(`input_size`)")?;
    refused(book, "a module that was built for another row cap, by ada's program", &said);
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
    let home = home();
    let args = ["--home", &home, "submit", &file];
    let telling = "`outsider` is not among the agreement's partners";
    let said = stage.run_refused("cloister", &args, telling)?;
    refused(book, "an analysis that asks a node outside the agreement, by ada's program", &said);
    // With the first partner's table, which fits the dictionary: only the agreement keeps it out.
    let inside = cast.partners.first();
    let inside = inside.ok_or_else(|| TourError::Unexpected("the cast has no partner".into()))?;
    let outsider = Partner {
        name: "outsider",
        organisation: "Outsider",
        kind: inside.kind,
        file: Some(table_path(inside, &stage.root().join(inside.name).join("data"))),
        columns: inside.columns.clone(),
    };
    setup::partner(cast, stage, at, &outsider)?;
    let args = ["--config", "outsider/node.toml", "run", "--exit-with-stdin"];
    let telling = "`outsider` is not among the parties of the agreement";
    let said = stage.run_refused("node", &args, telling)?;
    refused(book, "a node outside the agreement, by itself", last_line(&said));
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
    let args = ["verify", "tampered.json"];
    let said = stage.run_refused("cloister", &args, "the proof does not hold")?;
    refused(book, "the same proof with one changed bit", &said);
    Ok(())
}

/// The same question again: the same bytes, and nothing is charged.
pub fn again(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    let releases = |stage: &Stage, bundle: &str| -> Result<Option<Value>, TourError> {
        let bytes = std::fs::read(stage.root().join(bundle))?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(value.get("releases").cloned())
    };
    let name = cast.sql.name;
    let before = ledgers(cast, stage)?;
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
    if before != ledgers(cast, stage)? {
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
