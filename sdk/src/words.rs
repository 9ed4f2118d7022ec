//! Documents in plain words, as reviewers and stewards read them before they sign, and what a proof holds.
//! Texts that others wrote are shown with control characters escaped.

use crate::answer::Answer;
use cloister_node::module_fuel::FuelTime;
use cloister_node::module_words::{module_groups, module_writes};
use cloister_report::{meaning, printable};
use cloister_terms::analysis::Body;
use cloister_terms::{Agreement, Analysis, Budget, Person};
use std::fmt::Write;

/// An agreement in plain words; `verbose` adds exact budgets.
pub fn agreement(agreement: &Agreement, verbose: bool) -> String {
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
    let spent = |what: &str, caps: Budget| {
        let exactly = if verbose { format!(" ({caps})") } else { String::new() };
        format!("by all that {what}{exactly}, {}", meaning(caps))
    };
    for party in &agreement.parties {
        line("partner", format!("{} ({})", party.partner, printable(&party.organisation)));
        line("", spent("may be spent here", party.caps));
    }
    for person in &agreement.researchers {
        line("researcher", format!("{} ({})", person.name, printable(&person.organisation)));
        line("", spent("this researcher may spend at a partner", person.caps));
    }
    for person in &agreement.reviewers {
        line("reviewer", reviewer(person));
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

fn reviewer(person: &Person) -> String {
    let organisation = printable(&person.organisation);
    let until = person.trained_until_s.map(|at_s| format!(", trained until {}", date(at_s)));
    format!("{} ({organisation}){}", person.name, until.unwrap_or_default())
}

/// An analysis in plain words; `verbose` adds its exact cost.
pub fn analysis(analysis: &Analysis, verbose: bool) -> String {
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
    line("cost of a run", meaning(cost).to_string());
    if verbose {
        line("exactly", cost.to_string());
    }
    line("runs", format!("at most {}", analysis.max_runs));
    line("dates", format!("{} to {}", date(analysis.not_before_s), date(analysis.not_after_s)));
    match &analysis.body {
        Body::Sql { text: sql } => {
            let _ = writeln!(text, "SQL:\n{}", indented(sql));
        }
        Body::Module(module) => {
            let _ = writeln!(text, "module         {}", module.sha256);
            let _ = writeln!(text, "rows it sees:\n{}", indented(&module.rows));
            let groups: Vec<_> = module.keys.iter().map(module_groups).collect();
            if !groups.is_empty() {
                let _ = writeln!(text, "groups it may name:\n{}", indented(&groups.join("\n")));
            }
            let gives = module.contributions().join("\n");
            let _ = writeln!(text, "what it gives of one person and group:\n{}", indented(&gives));
            let _ = writeln!(text, "it writes      {}", module_writes(module));
            let _ = writeln!(text, "fuel           {}", FuelTime::of(module.fuel_per_person));
        }
    }
    text
}

/// What stands behind a verified answer, in plain words; `verbose` adds the exact cost.
pub fn proof(answer: &Answer, verbose: bool) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<10} {value}");
    };
    let (agreement, analysis) = (&answer.agreement, answer.analysis.document());
    line("agreement", format!("{} ({})", agreement.document().name, agreement.digest().short()));
    line("analysis", format!("{} by {}", analysis.name, analysis.researcher));
    line("question", printable(&analysis.question));
    for release in &answer.used {
        let node = &release.document().node;
        line("built on", format!("{} of {node}, in the round before", release.digest().short()));
    }
    for release in &answer.releases {
        let release = release.document();
        line("release", format!("of {} (ledger head {})", release.node, release.charge.short()));
    }
    // The same at each of them, or the proof would not hold.
    let cost = answer.round.cost;
    let exactly = if verbose { format!(" ({cost})") } else { String::new() };
    line("charged", format!("by each of them{exactly}: {}", meaning(cost)));
    for node in &answer.missing {
        line("missing", node.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_told_as_what_they_mean_and_jargon_only_on_request() {
        let dictionary = cloister_plan::reference::dictionary().unwrap();
        let mut agreed = crate::dry_run::tests::agreement(&dictionary, &["north", "south"]);
        agreed.reviewers = vec![Person {
            name: "rita".parse().unwrap(),
            organisation: "city".to_owned(),
            key: agreed.parties[0].node_key,
            trained_until_s: Some(1_830_297_600),
        }];
        let plain = agreement(&agreed, false);
        assert_eq!(plain.matches("can become at most").count(), 3, "{plain}");
        assert!(plain.contains("rita (city), trained until 2028-01-01"), "{plain}");
        let exact = agreement(&agreed, true);
        assert!(exact.contains("by all that may be spent here (rho 1), someone"), "{exact}");
        let asked = crate::dry_run::tests::analysis(&agreed);
        let shown = analysis(&asked, false);
        assert!(shown.contains("cost of a run  someone 50 % sure"), "{shown}");
        assert!(analysis(&asked, true).contains("exactly        rho 0."));
        for jargon in ["rho", "L0", "lane", "grid", "PRF"] {
            assert!(!plain.contains(jargon) && !shown.contains(jargon), "{jargon}: {plain}{shown}");
        }
    }

    #[test]
    fn a_modules_fuel_is_told_to_those_who_sign_it() {
        let dictionary = cloister_plan::reference::dictionary().unwrap();
        let agreed = crate::dry_run::tests::agreement(&dictionary, &["north"]);
        let mut asked = crate::dry_run::tests::analysis(&agreed);
        assert!(!analysis(&asked, false).contains("fuel"));
        let module = serde_json::json!({ "module": {
            "sha256": asked.plan, "rows": "SELECT distance_km FROM trips", "keys": [], "lanes": [],
            "numbers": "int", "outputs": "sparse", "fuel_per_person": 1_000_000 } });
        asked.body = serde_json::from_value(module).unwrap();
        let shown = analysis(&asked, false);
        let line = format!("fuel           {}", FuelTime::of(1_000_000));
        assert!(shown.contains(&line) && line.contains("1000 persons"), "{shown}");
        assert!(shown.contains("it writes      integers, each with its place"), "{shown}");
        assert!(!shown.contains("groups"), "{shown}");
    }

    #[test]
    fn a_modules_groups_are_told_with_their_first_values_and_no_value_makes_a_line() {
        let dictionary = cloister_plan::reference::dictionary().unwrap();
        let agreed = crate::dry_run::tests::agreement(&dictionary, &["north"]);
        let mut asked = crate::dry_run::tests::analysis(&agreed);
        let texts = ["a\nb", "c", "d", "e"].map(|text| serde_json::json!({ "text": text }));
        let module = serde_json::json!({ "module": {
            "sha256": asked.plan, "rows": "SELECT distance_km FROM trips", "lanes": [],
            "keys": [
                { "name": "town", "values": texts },
                { "name": "band", "values": [{ "int": "7" }, { "int": "8" }] },
            ],
            "numbers": "float", "outputs": "dense", "fuel_per_person": 1_000_000 } });
        asked.body = serde_json::from_value(module).unwrap();
        let shown = analysis(&asked, false);
        let digest = format!("module         {}", asked.plan);
        for line in [
            digest.as_str(),
            "    town: 4 values: a\\u{a}b, c, d, ...",
            "    band: 2 values: 7, 8",
            "it writes      floats, for all places in order",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
        }
    }
}
