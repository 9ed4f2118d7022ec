//! The values behind sums, as people wrote them: averages and deviations sum distances from the middle of a
//! range, squares and products, which nobody wrote. For people only, never part of a digest.

use crate::expr::{ArithmeticOp, Expr, Literal};
use cloister_terms::{Bounds, FigureOp, Formula, OutputShape};
use std::collections::BTreeSet;
use std::fmt;

/// What the lanes of an answer sum, by what its columns make of them.
#[derive(Default)]
pub(crate) struct Summed {
    /// Lanes that sum distances from the middle of a range.
    distances: BTreeSet<u32>,
    /// Lanes that sum squares and products of such distances.
    products: BTreeSet<u32>,
}

/// A value with how it is rounded and bounded.
pub(crate) struct Kept<'e> {
    value: &'e Expr,
    /// What FILTER keeps rows by.
    filter: Option<&'e Expr>,
    step: f64,
    low: f64,
    high: f64,
}

impl Summed {
    /// Of a shape.
    pub fn of(shape: &OutputShape) -> Self {
        let mut summed = Self::default();
        let mut waiting: Vec<&Formula> =
            shape.columns.iter().map(|column| &column.formula).collect();
        waiting.extend(shape.recipe.formulas());
        while let Some(formula) = waiting.pop() {
            match formula {
                Formula::Variance { sum, squares, .. } => {
                    summed.distances.insert(*sum);
                    summed.products.insert(*squares);
                }
                Formula::Pair { lanes, .. } => {
                    summed.distances.extend([lanes.x, lanes.y]);
                    summed.products.extend([lanes.products, lanes.x_squares, lanes.y_squares]);
                }
                // The middle, and the average distance from it.
                Formula::Arithmetic { op: FigureOp::Add, left, right } => {
                    match (left.as_ref(), right.as_ref()) {
                        (Formula::Constant { .. }, Formula::Ratio { numerator, .. }) => {
                            summed.distances.insert(*numerator);
                        }
                        (left, right) => waiting.extend([left, right]),
                    }
                }
                other => waiting.extend(other.parts()),
            }
        }
        summed
    }

    /// The value behind a lane; `None` of squares and products, whose values are told as distances.
    pub fn kept<'e>(&self, lane: u32, expr: &'e Expr, bounds: Bounds) -> Option<Kept<'e>> {
        if self.products.contains(&lane) {
            return None;
        }
        let step = 2f64.powi(-i32::from(bounds.grid_bits()));
        let whole = Kept { value: expr, filter: None, step, low: bounds.min(), high: bounds.max() };
        let kept = if self.distances.contains(&lane) { whole.kept_from_zero() } else { whole };
        Some(kept.of_filter())
    }
}

impl Kept<'_> {
    /// A distance from the middle of a range, perhaps halved some times, as the value that it is the distance
    /// of.
    fn kept_from_zero(self) -> Self {
        let Kept { mut value, filter, mut step, mut low, mut high } = self;
        // Only where the other value of a pair is known.
        if let Expr::Case { operand: None, branches, otherwise: None } = value
            && let [branch] = branches.as_slice()
            && let Expr::Not { of } = &branch.when
            && matches!(of.as_ref(), Expr::IsNull { .. })
        {
            value = &branch.then;
        }
        if let Some((of, factor)) = with_constant(value, ArithmeticOp::Multiply)
            && factor > 0.0
        {
            value = of;
            (step, low, high) = (step / factor, low / factor, high / factor);
        }
        if let Some((of, middle)) = with_constant(value, ArithmeticOp::Subtract) {
            value = of;
            (low, high) = (low + middle, high + middle);
        }
        Kept { value, filter, step, low, high }
    }

    /// `CASE WHEN condition THEN value END` as the value, where the condition holds.
    fn of_filter(self) -> Self {
        let mut value = self.value;
        while let Expr::ToFloat { of } = value {
            value = of;
        }
        match value {
            Expr::Case { operand: None, branches, otherwise: None } => match branches.as_slice() {
                [branch] => Kept { value: &branch.then, filter: Some(&branch.when), ..self },
                _ => self,
            },
            _ => self,
        }
    }
}

/// The left side of arithmetic with a constant, and the constant.
fn with_constant(expr: &Expr, wanted: ArithmeticOp) -> Option<(&Expr, f64)> {
    match expr {
        Expr::Arithmetic { op, left, right } if *op == wanted => match right.as_ref() {
            Expr::Literal { value: Literal::Float(constant) } => {
                Some((left.as_ref(), constant.value()))
            }
            _ => None,
        },
        _ => None,
    }
}

impl fmt::Display for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, filter, step, low, high } = self;
        write!(f, "each value of {value}")?;
        if let Some(filter) = filter {
            write!(f, " where {filter}")?;
        }
        let step = *step;
        if step < 1.0 {
            write!(f, " is rounded to a multiple of 1/{}", 1.0 / step)?;
        } else if step > 1.0 {
            write!(f, " is rounded to a multiple of {step}")?;
        } else {
            f.write_str(" is rounded to a whole number")?;
        }
        write!(f, " and kept within {low} to {high}")
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{planned, rho};

    fn notes(select: &str) -> Vec<String> {
        let text = format!("SELECT {select} FROM trips");
        let notes = planned(&text, rho("0.1")).unwrap().notes();
        notes.into_iter().filter(|note| note.starts_with("each value of ")).collect()
    }

    #[test]
    fn values_are_told_as_they_were_written() {
        let duration = "each value of duration_s is rounded to a whole number and kept within 0 to 86400; a missing value adds nothing";
        for figure in ["SUM(duration_s)", "AVG(duration_s)", "2 * AVG(duration_s)"] {
            assert_eq!(notes(&format!("{figure} AS x")), [duration], "{figure}");
        }
        let filtered = notes("AVG(duration_s) FILTER (WHERE is_member) AS x");
        let [note] = filtered.as_slice() else { panic!("{filtered:?}") };
        assert!(note.starts_with("each value of duration_s where is_member is rounded"), "{note}");
        for figure in ["STDDEV(distance_m)", "CORR(distance_m, duration_s)"] {
            let told = notes(&format!("{figure} AS x"));
            assert!(told.iter().all(|note| !note.contains("case when")), "{told:?}");
            assert!(told.iter().any(|note| note.contains("distance_m is rounded")), "{told:?}");
            assert!(told.iter().any(|note| note.contains("kept within 0 to 50000")), "{told:?}");
        }
    }
}
