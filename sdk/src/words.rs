//! Documents in plain words, as reviewers and stewards read them before they sign. Texts that others
//! wrote are shown with control characters escaped.

use cloister_report::printable;
use cloister_terms::analysis::Body;
use cloister_terms::{Agreement, Analysis};
use std::fmt::Write;

/// An agreement in plain words.
pub fn agreement(agreement: &Agreement) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what:<14} {value}");
    };
    line("agreement", agreement.name.to_string());
    line("charter", printable(&agreement.charter));
    line("purposes", printable(&agreement.purposes.join(", ")));
    line("dates", format!("{} to {}", date(agreement.not_before_s), date(agreement.not_after_s)));
    line("epochs", format!("of {} days", agreement.calendar.length_s / 86_400));
    line(
        "approval by",
        format!(
            "{} reviewers of {} organisations",
            agreement.quorum.approvals, agreement.quorum.organisations
        ),
    );
    for party in &agreement.parties {
        let organisation = printable(&party.organisation);
        line("partner", format!("{} ({organisation}), may spend {}", party.partner, party.caps));
    }
    for person in &agreement.researchers {
        line("researcher", format!("{}, may spend {} a partner", person.name, person.caps));
    }
    for person in &agreement.reviewers {
        line("reviewer", format!("{} ({})", person.name, printable(&person.organisation)));
    }
    for dataset in &agreement.dictionary.datasets {
        line("dataset", format!("{}: {}", dataset.name, printable(&dataset.description)));
        for column in &dataset.columns {
            let bounds = column.bounds.map(|b| format!(", {b}")).unwrap_or_default();
            let domain = column.domain.as_ref().map(|d| format!(", {} public values", d.len()));
            line(
                "",
                format!(
                    "{} ({}{bounds}{}): {}",
                    column.name,
                    column.column_type,
                    domain.unwrap_or_default(),
                    printable(&column.description)
                ),
            );
        }
    }
    text
}

/// An analysis in plain words.
pub fn analysis(analysis: &Analysis) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<14} {value}");
    };
    line("analysis", format!("{} by {}", analysis.name, analysis.researcher));
    line("question", printable(&analysis.question));
    line("purpose", printable(&analysis.purpose));
    for used in &analysis.columns {
        let columns: Vec<_> = used.columns.iter().map(ToString::to_string).collect();
        line("reads", format!("{}: {}", used.dataset, columns.join(", ")));
    }
    line("partners", names(&analysis.nodes));
    line("recipients", names(&analysis.recipients));
    let (rows, cells) = (analysis.row_cap, analysis.group_cap);
    line("one person", format!("counts with at most {rows} records in at most {cells} cells"));
    if analysis.diagnostics {
        let what = "people who contribute, and people whom the limits touch, each with noise";
        line("also counts", what.to_owned());
    }
    if analysis.rounds > 1 {
        let what = "2: the first finds the groups, the second asks every partner for all of them";
        line("rounds", what.to_owned());
    }
    let cost = analysis.cost_per_run().unwrap_or(analysis.cost_per_round);
    line("cost of a run", cost.to_string());
    line("in words", cloister_report::meaning(cost).to_string());
    line("runs", format!("at most {}", analysis.max_runs));
    line("dates", format!("{} to {}", date(analysis.not_before_s), date(analysis.not_after_s)));
    match &analysis.body {
        Body::Sql { text: sql } => {
            let _ = writeln!(text, "SQL:\n{}", indented(sql));
        }
        Body::Module(module) => {
            let _ = writeln!(text, "module         {}", module.sha256);
            let _ = writeln!(text, "rows it sees:\n{}", indented(&module.rows));
        }
    }
    text
}

/// A time as a date, UTC.
pub fn date(at_s: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(at_s) {
        Ok(at) => format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day()),
        Err(_) => format!("second {at_s}"),
    }
}

fn names(names: &[cloister_terms::Name]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {}", printable(line))).collect::<Vec<_>>().join("\n")
}
