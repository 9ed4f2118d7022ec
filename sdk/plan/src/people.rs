//! Diagnostics of a question that asks for them: which people are counted, and what these counts cost. They
//! are paid from the question's own spend, in the measure of its figures; none may be free.

use crate::error::PlanError;
use crate::noise::{Chosen, Need, Spend, choose};
use crate::planned::Question;
use cloister_terms::{
    Body, Cost, DIAGNOSTIC_SENSITIVITY, Diagnostic, DiagnosticKind, Epsilon, OutputShape, Rho,
};

/// Diagnostics take one part in this many of what a round may cost, whole units rounded down.
pub(crate) const SPEND_PART: u64 = 10;
/// A person is in the one cell of a diagnostic, whatever the cap on groups.
const L0: u32 = 1;

/// The diagnostics of a question, in the order of a shape; none where it asks for none.
pub(crate) fn kinds(question: &Question<'_>) -> &'static [DiagnosticKind] {
    match (question.diagnostics, question.body) {
        (false, _) => &[],
        (true, Body::Sql { .. }) => DiagnosticKind::OF_SQL,
        (true, Body::Module(_)) => DiagnosticKind::OF_MODULE,
    }
}

/// Chooses the noise of lanes for persons in at most `l0` cells, and that of diagnostics. The charge is the
/// offer, all of it: what diagnostics take and what is left for the lanes add up to it exactly, so that a
/// plan made again from its own cost is that plan. Errors as [`choose`], and where the part of the
/// diagnostics has less than one unit of the measure for each.
pub(crate) fn choose_with(
    kinds: &[DiagnosticKind],
    l0: u32,
    needs: &[Need],
    spend: Spend,
) -> Result<(Chosen, Vec<Diagnostic>), PlanError> {
    let mut chosen = choose(l0, needs, rest(spend)?)?;
    // The lanes' measure is that of all.
    let spend = match chosen.cost.rho > Rho::ZERO {
        true => Spend { rho: part(spend)?.rho, ..Spend::default() },
        false => Spend { epsilon: part(spend)?.epsilon, ..Spend::default() },
    };
    let units = spend.rho.map_or(0, Rho::units).max(spend.epsilon.map_or(0, Epsilon::units));
    if units < kinds.len() as u64 {
        return Err(PlanError::SpendTooSmall { lanes: kinds.len() });
    }
    let people = kinds.iter().map(|kind| Need {
        name: name(*kind).to_owned(),
        figures: String::new(),
        sensitivity_steps: DIAGNOSTIC_SENSITIVITY,
        one_of: None,
        weight: 0,
    });
    let of_people = choose(L0, &people.collect::<Vec<_>>(), spend)?;
    chosen.cost = sum(chosen.cost, of_people.cost)?;
    let pairs = kinds.iter().zip(of_people.noise);
    let diagnostics = pairs.map(|(kind, noise)| Diagnostic { kind: *kind, noise }).collect();
    Ok((chosen, diagnostics))
}

/// What a plan with diagnostics says of them, in plain words.
pub(crate) fn people_notes(shape: &OutputShape) -> Vec<String> {
    if shape.diagnostics.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = shape.diagnostics.iter().map(|one| name(one.kind)).collect();
    vec![format!(
        "it also counts {}, each person once and with noise: one part in {SPEND_PART} of the cost goes to these counts",
        names.join(", "),
    )]
}

/// What a diagnostic counts, for people.
pub(crate) fn name(kind: DiagnosticKind) -> &'static str {
    match kind {
        DiagnosticKind::Contributing => "people who contribute",
        DiagnosticKind::Capped => "people of whom a limit leaves out rows or groups",
        DiagnosticKind::Clipped => "people with a value out of its range",
        DiagnosticKind::Trapped => "people for whom the module gives up",
    }
}

/// The part of diagnostics, of each measure that is offered.
fn part(spend: Spend) -> Result<Spend, PlanError> {
    each(spend, |units| units / SPEND_PART)
}

/// What is left for lanes.
fn rest(spend: Spend) -> Result<Spend, PlanError> {
    each(spend, |units| units - units / SPEND_PART)
}

fn each(spend: Spend, of: impl Fn(u64) -> u64) -> Result<Spend, PlanError> {
    // Never more than what was offered, which is a cost.
    let beyond = |_| PlanError::CostAboveSpend;
    let epsilon = spend.epsilon.map(|epsilon| Epsilon::from_units(of(epsilon.units())));
    let rho = spend.rho.map(|rho| Rho::from_units(of(rho.units())));
    Ok(Spend {
        epsilon: epsilon.transpose().map_err(beyond)?,
        rho: rho.transpose().map_err(beyond)?,
        delta: spend.delta,
    })
}

fn sum(one: Cost, other: Cost) -> Result<Cost, PlanError> {
    one.checked_add(other).ok_or(PlanError::CostAboveSpend)
}
