//! Diagnostics of an answer as figures: how many people contributed, and how many the limits touched. Noised
//! counts like all others, with the intervals of their own noise; they must never be mixed into the rows.

use crate::cell::Cell;
use crate::combine::Combined;
use crate::lane_error::LaneError;
use crate::quantile::{Confidence, NoiseError};
use crate::text::figure_text;
use cloister_terms::{DIAGNOSTIC_SENSITIVITY, Diagnostic, DiagnosticKind, LaneShape, OutputShape};
use serde::Serialize;

/// One diagnostic of the whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PeopleFigure {
    /// Which people it counts.
    pub kind: DiagnosticKind,
    /// How many, over all partners that answered.
    #[serde(flatten)]
    pub people: Cell,
}

/// The diagnostics of combined lanes, in the shape's order.
pub(crate) fn people(
    shape: &OutputShape,
    combined: &Combined,
    confidence: Confidence,
) -> Result<Vec<PeopleFigure>, NoiseError> {
    let figures = shape.diagnostics.iter().zip(combined.diagnostics());
    figures
        .map(|(diagnostic, sum)| {
            let error = LaneError::new(&lane(diagnostic), combined.told().max(1), confidence)?;
            let people = error.total(*sum).with_standard_error(error.deviation());
            Ok(PeopleFigure { kind: diagnostic.kind, people })
        })
        .collect()
}

/// A diagnostic's noise as that of a lane of counts.
fn lane(diagnostic: &Diagnostic) -> LaneShape {
    LaneShape {
        name: String::new(),
        grid_bits: 0,
        sensitivity_steps: DIAGNOSTIC_SENSITIVITY,
        noise: diagnostic.noise,
        one_of: None,
    }
}

/// A line a diagnostic, `people who contributed: 5,310 ± 40.`; nothing where nothing was asked.
pub(crate) fn people_text(figures: &[PeopleFigure]) -> String {
    let told = figures.iter().map(|PeopleFigure { kind, people }| {
        let what = match kind {
            DiagnosticKind::Contributing => "people who contributed",
            DiagnosticKind::Capped => "people of whom a limit left out rows or groups",
            DiagnosticKind::Clipped => "people with a value out of its range",
            DiagnosticKind::Trapped => "people for whom the module gave up",
        };
        format!("{what}: {}.\n", figure_text(Some(people), Some(0)))
    });
    told.collect()
}
