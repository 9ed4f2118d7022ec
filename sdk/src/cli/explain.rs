//! `explain`: what an analysis would read, cost and yield, before anything is spent. From the text, the
//! dictionary and earlier answers alone; a refusal is shown with the line it is about.

use super::analysis::{Prepared, prepared};
use super::{CliError, PersonArguments, read};
use crate::answer::{Answer, verify_bundle};
use clap::Args;
use cloister_node::module_fuel::FuelTime;
use cloister_plan::{
    Explanation, Forecast, Planned, Proposal, TYPICAL_ROWS, Target, forecast, propose,
};
use cloister_report::{HeadingKind, Report};
use cloister_terms::{Agreement, Budget, Cost, Digest, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    question: super::analysis::QuestionArguments,
    /// Propose the cost that reaches this error: `50`, or `5%` of what the column's cells typically hold.
    #[arg(long, value_name = "ERROR")]
    target_error: Option<TargetError>,
    /// The column the target is for (otherwise the first count or sum, or else the first figure).
    #[arg(long, requires = "target_error")]
    column: Option<String>,
    /// What a cell typically holds: a count or sum, for a target in percent of it; rows, for errors of
    /// averages, shares and the like (otherwise as in an earlier answer, or else 1000).
    #[arg(long, value_name = "N")]
    typical: Option<f64>,
    /// An earlier answer with its proof: tells what a cell typically holds, and what it cost.
    #[arg(long, value_name = "FILE")]
    bundle: Vec<PathBuf>,
    /// Show the mathematics too.
    #[arg(long)]
    verbose: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// An error aimed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TargetError {
    /// In the column's units.
    Absolute(f64),
    /// A share of what a cell typically holds.
    Relative(f64),
}

impl FromStr for TargetError {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no error: write 50, or 5%");
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let number: f64 = number.parse().map_err(|_| wrong())?;
        if !(number.is_finite() && number > 0.0) {
            return Err(wrong());
        }
        Ok(if text.ends_with('%') {
            Self::Relative(number / 100.0)
        } else {
            Self::Absolute(number)
        })
    }
}

/// Everything `explain` tells.
struct Explained {
    explanation: Explanation,
    fuel: Option<FuelTime>,
    share_of_left_percent: Option<f64>,
    left: Option<Budget>,
    spent_known: Cost,
    typical: Rows,
    forecast: Forecast,
    proposal: Option<Proposal>,
}

/// Rows that a cell is taken to hold, and who says so.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rows {
    number: f64,
    source: &'static str,
}

pub(super) async fn explain(
    person: &PersonArguments,
    arguments: &ExplainArguments,
) -> Result<(), CliError> {
    let told = tell(person, arguments).await;
    match told {
        Ok(told) if arguments.json => say!("{}", told.json()),
        Ok(told) => super::out(&told.in_words(arguments.verbose)),
        Err(error) => {
            if arguments.json {
                say!("{}", super::analysis::refusal_json(&error));
            }
            return Err(error);
        }
    }
    Ok(())
}

async fn tell(
    person: &PersonArguments,
    arguments: &ExplainArguments,
) -> Result<Explained, CliError> {
    let Prepared { agreement, researcher, draft, analysis, planned } =
        prepared(person, &arguments.question).await?;
    let answers = arguments
        .bundle
        .iter()
        .map(|path| verify_bundle(&read(path)?).map_err(CliError::NotProven));
    let answers: Vec<Answer> = answers.collect::<Result<_, _>>()?;
    let document = agreement.document();
    let spent_known = spent(&answers, agreement.digest(), &researcher);
    let left = left(document, &researcher, spent_known);
    let nodes = analysis.nodes.len();
    let dictionary = &document.dictionary;
    let question = draft.question();
    if let Some(wrong) =
        arguments.typical.filter(|typical| !(typical.is_finite() && *typical > 0.0))
    {
        return Err(CliError::Typical(wrong));
    }
    let typical = rows(arguments, &planned, &answers);
    let wanted = match arguments.target_error {
        None => None,
        Some(TargetError::Absolute(error)) => Some(error),
        Some(TargetError::Relative(share)) => {
            Some(share * size(arguments, (&planned, nodes), typical.number, &answers)?)
        }
    };
    let propose_for = |wanted| {
        let column = arguments.column.as_deref();
        let target = Target { column, wanted, rows: typical.number };
        propose(dictionary, &question, &planned, nodes, target, left)
    };
    Ok(Explained {
        explanation: cloister_plan::explain_at(&planned, nodes, left, typical.number),
        fuel: super::analysis::fuel(&planned),
        share_of_left_percent: left
            .and_then(|left| cloister_plan::forecast::share_percent(planned.cost_per_run(), left)),
        left,
        spent_known,
        typical,
        forecast: forecast(dictionary, &question, &planned, nodes, left, Some(typical.number))
            .map_err(crate::draft::DraftError::from)?,
        proposal: wanted.map(propose_for).transpose()?,
    })
}

/// Rows of a typical cell: what is asked for, else what the latest earlier answer counts.
fn rows(arguments: &ExplainArguments, planned: &Planned, answers: &[Answer]) -> Rows {
    let counted =
        |column| answers.iter().rev().find_map(|answer| typical_of(&answer.report, column));
    let earlier = cloister_plan::count_column(&planned.plan).and_then(counted);
    match (arguments.typical, earlier) {
        (Some(number), _) => Rows { number, source: "as --typical says" },
        (None, Some(number)) => Rows { number, source: "as in the earlier answer" },
        (None, None) => Rows {
            number: TYPICAL_ROWS,
            source: "since nothing says how many: give --typical N, or --bundle FILE with an earlier answer",
        },
    }
}

/// What a target in percent is a share of: the column's figure in an earlier answer; a count or sum as
/// --typical says, any other figure as it is in a typical cell.
fn size(
    arguments: &ExplainArguments,
    (planned, nodes): (&Planned, usize),
    rows: f64,
    answers: &[Answer],
) -> Result<f64, CliError> {
    let wanted = arguments.column.as_deref();
    let column = cloister_plan::forecast::target_column(planned, nodes, wanted)?;
    let known = cloister_plan::forecast::typical_figure(planned, nodes, &column, rows);
    let is_total = cloister_plan::forecast::is_count_or_sum(planned, nodes, &column);
    let told = arguments.typical.filter(|_| is_total);
    let earlier = || answers.iter().rev().find_map(|answer| typical_of(&answer.report, &column));
    let none = if is_total { CliError::NoTypical } else { CliError::NoSize(column.clone()) };
    told.or_else(earlier).or(known).ok_or(none)
}

/// What earlier answers cost this researcher under this agreement, at the partner where it is most.
fn spent(answers: &[Answer], agreement: Digest, researcher: &Name) -> Cost {
    let mut seen = BTreeSet::new();
    let mut by_node: BTreeMap<Name, Cost> = BTreeMap::new();
    let own = answers.iter().filter(|answer| {
        answer.agreement.digest() == agreement
            && answer.analysis.document().researcher == *researcher
    });
    for release in own.flat_map(|answer| &answer.releases) {
        let release = release.document();
        // One charge may stand behind several answers.
        if seen.insert(release.charge) {
            let sum = by_node.entry(release.node.clone()).or_insert(Cost::ZERO);
            *sum = sum.checked_add(release.cost).unwrap_or(*sum);
        }
    }
    by_node.into_values().fold(Cost::ZERO, |most, cost| Cost {
        epsilon: most.epsilon.max(cost.epsilon),
        rho: most.rho.max(cost.rho),
        delta: most.delta.max(cost.delta),
    })
}

fn left(agreement: &Agreement, researcher: &Name, spent: Cost) -> Option<Budget> {
    agreement.researcher(researcher).map(|person| person.caps.left_after(spent))
}

/// The median size of the cells below a heading; `None` when the answer has no such figure.
fn typical_of(report: &Report, column: &str) -> Option<f64> {
    let is_figure = |kind: &HeadingKind| !matches!(kind, HeadingKind::Key(_));
    let figures = report.columns.iter().filter(|heading| is_figure(&heading.kind));
    let (place, _) = figures.enumerate().find(|(_, heading)| heading.name == column)?;
    let cells = report.rows.iter().filter_map(|row| row.figures.get(place)?.estimate());
    let mut sizes: Vec<f64> = cells.map(|estimate| estimate.value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).copied().filter(|size| *size > 0.0)
}

impl Explained {
    fn in_words(&self, verbose: bool) -> String {
        let mut text =
            if verbose { format!("{:#}", self.explanation) } else { self.explanation.to_string() };
        if let Some(fuel) = self.fuel {
            text += &format!("Fuel:\n  - {fuel}\n");
        }
        if let Some(share) = self.share_of_left_percent {
            let known = if self.spent_known.is_zero() {
                "what you may spend at each partner; name earlier answers with --bundle to count them"
            } else {
                "what is left for you at each partner after the answers named"
            };
            text += &if share > 100.0 {
                format!("One run takes more than all of {known}.\n")
            } else {
                format!("One run takes {share:.1} % of {known}.\n")
            };
        }
        text += &format!("\n{}", self.forecast);
        if self.explanation.typical.is_some() {
            let Rows { number, source } = self.typical;
            text += &format!("A cell is taken to hold about {number:.0} rows, {source}.\n");
        }
        if let Some(proposal) = &self.proposal {
            text += &format!("\n{proposal}");
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(&self.explanation).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            let extra = serde_json::json!({
                "fuel": self.fuel,
                "share_of_left_percent": self.share_of_left_percent,
                "left": self.left,
                "typical_rows": self.typical.number,
                "typical_rows_from": self.typical.source,
                "forecast": self.forecast,
                "proposal": self.proposal,
            });
            object.extend(extra.as_object().cloned().unwrap_or_default());
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command line of `explain` tells about a question, offline.
    async fn told(sql: &str, more: &[&str]) -> Result<Explained, CliError> {
        use clap::Parser;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let dictionary = cloister_plan::reference::dictionary().unwrap();
        let agreement = crate::dry_run::tests::agreement(&dictionary, &["north", "south"]);
        let envelope = cloister_wire::Envelope::unsigned(&agreement).unwrap();
        std::fs::write(at("agreement.json"), envelope.to_bytes()).unwrap();
        let text = format!(
            "name = \"q\"\nquestion = \"?\"\npurpose = \"https://w3id.org/dpv#ScientificResearch\"\n\
             row_cap = 4\ngroup_cap = 2\nspend = {{ rho = \"0.1\" }}\nsql = '''{sql}'''"
        );
        std::fs::write(at("q.toml"), text).unwrap();
        let (question, agreement) = (at("q.toml"), at("agreement.json"));
        let line = ["cloister", "explain", &question, "--agreement", &agreement];
        let line = line.iter().chain(&["--researcher", "ada"]).chain(more);
        let parsed = super::super::Arguments::try_parse_from(line).unwrap();
        let super::super::Command::Explain(arguments) = &parsed.command else { panic!() };
        tell(&parsed.person, arguments).await
    }

    const TOWNS: &str = "SELECT town, COUNT(*) AS trips FROM trips GROUP BY town";

    #[tokio::test]
    async fn shares_errors_and_the_cost_of_a_target_are_told_before_anything_is_spent() {
        let found = told(TOWNS, &["--target-error", "5%", "--typical", "2000"]).await.unwrap();
        assert_eq!(found.share_of_left_percent, Some(10.0));
        let proposal = found.proposal.as_ref().unwrap();
        assert!(proposal.wanted == 100.0 && proposal.plus_minus <= 100.0);
        let text = found.in_words(false);
        for said in ["One run takes 10.0 %", "x 1/4", "trips", "spend = { rho = ", "% sure"] {
            assert!(text.contains(said), "`{said}` not in:\n{text}");
        }
        let json = found.json();
        assert_eq!(json["forecast"]["options"].as_array().unwrap().len(), 5);
        assert_eq!(json["proposal"]["column"], "trips");
        assert!(json["reads"].is_array() && json["share_of_left_percent"] == 10.0);
        let nothing = told(TOWNS, &["--target-error", "5%"]).await;
        assert!(matches!(nothing, Err(CliError::NoTypical)));
        let wrong = told(TOWNS, &["--typical=-3"]).await;
        assert!(matches!(wrong, Err(CliError::Typical(_))));
    }

    #[tokio::test]
    async fn averages_and_statistics_have_an_expected_error_and_a_cost_for_a_target() {
        let mean = "SELECT town, AVG(minutes) AS m FROM trips GROUP BY town";
        let found = told(mean, &["--target-error", "5%", "--typical", "500"]).await.unwrap();
        let proposal = found.proposal.as_ref().unwrap();
        assert!(proposal.is_about && proposal.plus_minus <= proposal.wanted, "{proposal:?}");
        let text = found.in_words(false);
        for said in
            ["m: about ± ", "500 rows, as --typical says", "To have `m` within about ± ", "x 1/4"]
        {
            assert!(text.contains(said), "`{said}` not in:\n{text}");
        }
        let text = told(mean, &[]).await.unwrap().in_words(false);
        assert!(text.contains("1000 rows, since nothing says how many"), "{text}");
        let none = "SELECT CORR(minutes, distance_km) AS c FROM trips";
        let refused = told(none, &["--target-error", "5%"]).await.err().unwrap();
        assert!(matches!(&refused, CliError::NoSize(column) if column == "c"), "{refused}");
        let found = told(none, &["--target-error", "0.2", "--typical", "5000"]).await.unwrap();
        assert!(found.proposal.is_some_and(|proposal| proposal.plus_minus <= 0.2));
    }

    #[tokio::test]
    async fn a_refusal_shows_the_line_and_a_caret() {
        let refused = told("SELECT town,\n  MAX(minutes) AS m\nFROM trips", &[]).await;
        let error = refused.err().unwrap();
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].find("MAX"), lines[2].find('^'), "{text}");
        let refused = &super::super::analysis::refusal_json(&error)["refused"];
        assert_eq!(refused["kind"], "Extreme");
        assert_eq!(refused["place"]["line"], 2);
    }

    #[test]
    fn an_earlier_answer_tells_what_a_cell_holds() {
        let dictionary = cloister_plan::reference::dictionary().unwrap();
        let planned = cloister_plan::reference::planned(&dictionary, TOWNS, false, None).unwrap();
        let shape = &planned.plan.shape;
        let vector: [(cloister_terms::Name, Vec<i128>); 1] =
            [("north".parse().unwrap(), vec![100, -900, 300])];
        let combined =
            cloister_report::Combined::new(shape, &[vector[0].0.clone()], &vector).unwrap();
        let report = cloister_report::report(shape, &combined).unwrap();
        assert_eq!(typical_of(&report, "trips"), Some(300.0));
        assert_eq!(typical_of(&report, "town"), None);
    }

    #[test]
    fn targets_are_absolute_or_relative_and_hostile_ones_are_refused() {
        assert_eq!("50".parse(), Ok(TargetError::Absolute(50.0)));
        assert_eq!("5%".parse(), Ok(TargetError::Relative(0.05)));
        assert_eq!("2.5 %".parse(), Ok(TargetError::Relative(0.025)));
        for wrong in ["", "%", "0", "-5%", "nan", "inf%", "5%%", "five"] {
            assert!(wrong.parse::<TargetError>().is_err(), "{wrong}");
        }
    }
}
