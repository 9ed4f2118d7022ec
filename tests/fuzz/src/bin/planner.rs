//! A query, or the rows of a module: it ends in a plan whose shapes check, or in a typed error of bounded length.
//! The first bytes of an odd input choose: one from `0` to `?` what is asked besides the text, bit by bit, then `m`
//! that the rest is a module's rows.

use cloister_fuzz::{Ended, Target};
use cloister_plan::reference::{dictionary, entries, module};
use cloister_plan::{PlanError, Planned, Question, Spend, plan};
use cloister_terms::{Body, Delta, Dictionary, Holdings, Rho};
use std::process::ExitCode;
use std::sync::LazyLock;

/// Longest message of a refusal with the place shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 2_000;
/// The byte that chooses nothing, and what its last bits choose: that partners hold different things, a delta for
/// private keys, two rounds, and counts of the people whom the limits touched.
const PLAIN: u8 = b'0';
const HELD: u8 = 1;
const DELTA: u8 = 2;
const TWO_ROUNDS: u8 = 4;
const DIAGNOSTICS: u8 = 8;
const CHOICES: u8 = 16;
/// What partners hold where they differ.
const HOLDINGS: &str = r#"[
    {"partner":"bus","datasets":["trips","rides"],"domains":[
        {"dataset":"trips","column":"town","values":[{"text":"Ashford"},{"text":"Bramley"}]},
        {"dataset":"rides","column":"zone","values":[{"int":"2"}]}]},
    {"partner":"tram","datasets":["trips"],"domains":[
        {"dataset":"trips","column":"town","values":[{"text":"Coldmere"}]}]},
    {"partner":"bank","datasets":["payments","visits"]}]"#;

/// The dictionary of the examples, and the same where partners hold different things.
static DICTIONARIES: LazyLock<Option<(Dictionary, Dictionary)>> = LazyLock::new(|| {
    let whole = dictionary().ok()?;
    let holdings: Vec<Holdings> = serde_json::from_str(HOLDINGS).ok()?;
    Some((whole.clone(), Dictionary { holdings, ..whole }))
});

fn main() -> ExitCode {
    Target { name: "planner", seeds, pieces: &PIECES, check }.main()
}

/// Every example as it is, and with one choice each.
fn seeds() -> Vec<Vec<u8>> {
    let texts = entries().into_iter().map(|entry| {
        let mark = if entry.is_module { "m" } else { "" };
        format!("{mark}{}", entry.example).into_bytes()
    });
    let texts: Vec<Vec<u8>> = texts.collect();
    let choices = (PLAIN..PLAIN + CHOICES).cycle();
    let chosen = choices.zip(&texts);
    let chosen = chosen.map(|(choice, text)| std::iter::once(choice).chain(text.clone()).collect());
    let chosen: Vec<Vec<u8>> = chosen.collect();
    texts.into_iter().chain(chosen).collect()
}

fn check(input: &[u8]) -> Result<Ended, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(Ended::Refused) };
    let (choice, text) = chosen(text);
    let rows = text.strip_prefix('m');
    let text = rows.unwrap_or(text);
    let body = match rows {
        Some(rows) => Body::Module(module(rows).map_err(|error| error.to_string())?),
        None => Body::Sql { text: text.to_owned() },
    };
    let found = match planned(&body, choice)? {
        Err(PlanError::NoDomain { .. }) => planned(&body, choice | DELTA)?,
        found => found,
    };
    match found {
        // A plan's canonical form is what nodes compare: it must exist and check.
        Ok(found) => {
            let plans = [Some(&found.plan), found.keys_plan.as_ref()];
            let bad = plans.into_iter().flatten().find_map(|plan| plan.shape.check().err());
            bad.map_or(Ok(Ended::Taken), |error| Err(format!("a plan of a bad shape: {error}")))
        }
        Err(error) => {
            let pointed = error.pointed(text).map(|pointed| pointed.to_string());
            let bytes = error.to_string().len() + pointed.unwrap_or_default().len();
            if bytes > MESSAGE_BYTES_MAX {
                return Err(format!("a message of {bytes} bytes"));
            }
            Ok(Ended::Refused)
        }
    }
}

/// The choice before a text, and the text.
fn chosen(text: &str) -> (u8, &str) {
    let choice = text.bytes().next().and_then(|byte| byte.checked_sub(PLAIN));
    match (choice.filter(|choice| *choice < CHOICES), text.get(1..)) {
        (Some(choice), Some(text)) => (choice, text),
        _ => (0, text),
    }
}

/// Plans a body with what was chosen. Errors when what all inputs share is broken.
fn planned(body: &Body, choice: u8) -> Result<Result<Planned, PlanError>, String> {
    let is = |bit: u8| choice & bit != 0;
    let (whole, held) = DICTIONARIES.as_ref().ok_or("the dictionary of the examples is gone")?;
    let delta = is(DELTA).then(|| "0.000001".parse::<Delta>()).transpose();
    let delta = delta.map_err(|error| error.to_string())?;
    let rho = "0.1".parse::<Rho>().map_err(|error| error.to_string())?;
    let question = Question {
        body,
        row_cap: 20,
        group_cap: 3,
        spend: Spend { rho: Some(rho), epsilon: None, delta },
        diagnostics: is(DIAGNOSTICS),
        rounds: if is(TWO_ROUNDS) { 2 } else { 1 },
    };
    Ok(plan(if is(HELD) { held } else { whole }, &question))
}

const PIECES: [&str; 28] = [
    "(",
    ")",
    "((((((((",
    "NOT (",
    "CASE WHEN ",
    " END ",
    "SELECT ",
    " FROM ",
    " UNION ALL ",
    " OVER (",
    "PARTITION BY person_id",
    "person_id",
    "ticket_no",
    "'",
    "\"",
    "--",
    "/*",
    "*/",
    ";",
    "1e308",
    "-9223372036854775808",
    "NULL",
    "::",
    "INTERVAL '1' DAY",
    "\u{202e}",
    "\u{0}",
    " AND 1=1",
    ",",
];
