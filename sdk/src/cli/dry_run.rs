//! `dry-run`: the table as it would look, over made-up records. Every output says that it is mock;
//! nothing is asked of anybody and nothing is spent.

use super::analysis::{Prepared, QuestionArguments, prepared, refusal_json};
use super::{CliError, PersonArguments, now_s};
use crate::dry_run::{DryRunOptions, LABEL, MockAnswer, MockRound, dry_run};
use clap::Args;
use cloister_node::played::ModuleTrial;
use cloister_report::{TextOptions, meaning};

#[derive(Args)]
pub(super) struct DryRunArguments {
    #[command(flatten)]
    question: QuestionArguments,
    /// People at each mock partner.
    #[arg(long, default_value_t = DryRunOptions::default().people)]
    people: u32,
    /// The same seed makes the same records; the noise is drawn anew.
    #[arg(long, default_value_t = DryRunOptions::default().seed)]
    seed: u64,
    #[command(flatten)]
    adjusting: cloister_node::cli::Adjusting,
    /// Leave the plot out.
    #[arg(long)]
    no_plot: bool,
    /// Show the mathematics too.
    #[arg(long)]
    verbose: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    person: &PersonArguments,
    arguments: &DryRunArguments,
) -> Result<(), CliError> {
    let made = made(person, arguments).await;
    match made {
        Ok(answer) if arguments.json => say!("{}", answer.to_json()?),
        Ok(answer) => super::out(&in_words(&answer, arguments)),
        Err(error) => {
            if arguments.json {
                say!("{}", refusal_json(&error));
            }
            return Err(error);
        }
    }
    Ok(())
}

async fn made(
    person: &PersonArguments,
    arguments: &DryRunArguments,
) -> Result<MockAnswer, CliError> {
    let prepared = prepared(person, &arguments.question).await?;
    let Prepared { agreement, draft, analysis, .. } = &prepared;
    let options = DryRunOptions { people: arguments.people, seed: arguments.seed };
    let dictionary = &agreement.document().dictionary;
    let adjusting = arguments.adjusting.options()?;
    adjusting.check(&analysis.shape)?;
    let mut answer = dry_run(draft, analysis, dictionary, options, now_s()).await?;
    answer.adjust(analysis, &adjusting)?;
    Ok(answer)
}

fn in_words(answer: &MockAnswer, arguments: &DryRunArguments) -> String {
    let mut lines = Vec::new();
    for round in answer.first.iter().chain([&answer.last]) {
        if answer.rounds > 1 {
            lines.push(heading(answer, round, arguments.verbose));
        }
        let options = TextOptions {
            // Of the answer alone.
            plot: !arguments.no_plot && round.number == answer.rounds,
            verbose: arguments.verbose,
            ..TextOptions::default()
        };
        lines.extend(round.report.to_text(&options).lines().map(str::to_owned));
    }
    if answer.found_nothing() {
        lines.push(CliError::NoGroups.to_string());
    }
    lines.extend(answer.module.iter().flat_map(fared));
    // Each line of the table too, so that no part of it can be taken for an answer.
    let marked = lines.iter().map(|line| format!("{LABEL}  {line}").trim_end().to_owned());
    let marked: Vec<String> = marked.collect();
    format!("{}\n{}\n", answer.label(), marked.join("\n"))
}

/// What a round is for and what it would cost.
fn heading(answer: &MockAnswer, round: &MockRound, verbose: bool) -> String {
    let MockRound { number, cost, .. } = round;
    let what = match number {
        1 => "the groups that partners show",
        _ => "every partner is asked for all of them",
    };
    let mut heading = format!("round {number} of {}: {what}; at each partner", answer.rounds);
    if verbose {
        heading += &format!(" at a cost of {cost}");
    }
    format!("{heading}, {}", meaning(*cost))
}

/// How the module fared: of made-up people it may be told.
fn fared(trial: &ModuleTrial) -> [String; 2] {
    let ModuleTrial { persons, trapped, out_of_fuel, out_of_stack, bad_returns, .. } = trial;
    let fared = format!(
        "The module was called for {persons} people. {trapped} trapped, {out_of_fuel} ran out of fuel, {out_of_stack} out of stack, {bad_returns} gave what the interface does not allow: such people add nothing."
    );
    [fared, fuel(trial)]
}

/// What fuel to declare, as far as the trial can say.
fn fuel(trial: &ModuleTrial) -> String {
    let ModuleTrial { fuel, rows, row_cap, .. } = trial;
    match trial.fuel_enough {
        None if trial.out_of_fuel > 0 => format!(
            "A `fuel_per_person` of {fuel} is too little: declare more, or have the module do less."
        ),
        None => {
            "It ended well for nobody, so no `fuel_per_person` can be recommended: mend the module, or have its `rows` keep more."
                .to_owned()
        }
        Some(enough) => {
            let said = format!(
                "A `fuel_per_person` of {enough} is enough for each of them, who have at most {rows} rows each."
            );
            if *rows >= u64::from(*row_cap) {
                return said;
            }
            format!("{said} Somebody may have as many as {row_cap}: declare more in proportion.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuel_is_recommended_for_as_many_rows_as_were_tried_and_only_where_it_ended_well() {
        let good = ModuleTrial {
            persons: 9,
            trapped: 8,
            fuel: 700,
            fuel_enough: Some(700),
            rows: 30,
            row_cap: 30,
            ..ModuleTrial::default()
        };
        let all =
            "A `fuel_per_person` of 700 is enough for each of them, who have at most 30 rows each.";
        assert_eq!(fuel(&good), all);
        let more = format!("{all} Somebody may have as many as 64: declare more in proportion.");
        assert_eq!(fuel(&ModuleTrial { row_cap: 64, ..good }), more);
        let nobody = fuel(&ModuleTrial { trapped: 9, fuel_enough: None, ..good });
        assert!(nobody.contains("ended well for nobody") && !nobody.contains("700"), "{nobody}");
        let short = fuel(&ModuleTrial { out_of_fuel: 1, fuel_enough: None, ..good });
        assert!(short.contains("700 is too little: declare more"), "{short}");
    }
}
