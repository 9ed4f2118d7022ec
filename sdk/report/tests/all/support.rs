//! What tests of figures share: noises, formulas, one partner's answer, draws from a law's own definition.

use cloister_report::{Cell, Combined, Report, report};
use cloister_terms::{
    Bounds, FigureFunction, Formula, KeyDimension, KeyValue, LaneShape, Name, Noise, OutputShape,
    Quantile, Ratio, Real, Recipe, ResultColumn,
};

/// Trials of a coverage test.
pub const TRIALS: usize = 4_000;
/// 95 % less 5 standard deviations of a share of 4,000: false alarm below 1e-6 over seeds.
pub const COVERAGE_MIN: f64 = 0.95 - 0.0173;

pub fn gaussian(sigma_sq: u128) -> Noise {
    Noise::DiscreteGaussian { sigma_sq: Ratio::new(sigma_sq, 1).unwrap() }
}

pub fn laplace(scale: u128) -> Noise {
    Noise::DiscreteLaplace { scale: Ratio::new(scale, 1).unwrap() }
}

/// Noise so small that it is never drawn.
pub fn none() -> Noise {
    Noise::DiscreteGaussian { sigma_sq: Ratio::new(1, 1 << 40).unwrap() }
}

pub fn number(value: f64) -> Formula {
    Formula::Constant { value: Real::new(value).unwrap() }
}

pub fn total(lane: u32) -> Formula {
    Formula::Total { lane }
}

pub fn call(function: FigureFunction, of: Formula) -> Formula {
    Formula::Call { function, of: Box::new(of) }
}

pub fn coalesce(of: Formula, otherwise: f64) -> Formula {
    Formula::Coalesce { of: Box::new(of), otherwise: Real::new(otherwise).unwrap() }
}

pub fn combined(shape: &OutputShape, lanes: Vec<i128>) -> Combined {
    let north = Name::new("north").unwrap();
    Combined::new(shape, std::slice::from_ref(&north), &[(north.clone(), lanes)]).unwrap()
}

pub fn answer(shape: &OutputShape, lanes: Vec<i128>) -> Report {
    report(shape, &combined(shape, lanes)).unwrap()
}

/// splitmix64: a fixed sequence, so that a failure is found again.
pub struct Random(pub u64);

impl Random {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One draw of a discrete law, by its own definition, from its table of cumulative probabilities.
    pub fn draw(&mut self, table: &(i64, Vec<f64>)) -> i128 {
        let unit = self.unit();
        i128::from(table.1.partition_point(|c| *c < unit) as i64 - table.0)
    }
}

pub fn table(noise: Noise) -> (i64, Vec<f64>) {
    let (spread, weight): (f64, Box<dyn Fn(f64) -> f64>) = match noise {
        Noise::DiscreteLaplace { scale } => {
            let b = scale.to_f64();
            (b * 30.0, Box::new(move |x: f64| (-x.abs() / b).exp()))
        }
        Noise::DiscreteGaussian { sigma_sq } => {
            let v = sigma_sq.to_f64();
            (v.sqrt() * 9.0, Box::new(move |x: f64| (-x * x / (2.0 * v)).exp()))
        }
    };
    let reach = spread.ceil() as i64 + 2;
    let weights: Vec<f64> = (-reach..=reach).map(|x| weight(x as f64)).collect();
    let all: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let cumulative = weights.iter().map(|w| {
        sum += w / all;
        sum
    });
    (reach, cumulative.collect())
}

pub fn quantile(leaves: u32, q: (u128, u128), max: i64, whole: bool) -> Formula {
    let bounds = Bounds::from_steps(0, max, 0).unwrap();
    let q = Ratio::new(q.0, q.1).unwrap();
    Formula::Quantile(Quantile { first_lane: 0, leaves, q, bounds, whole })
}

pub fn shape(rows: usize, noises: &[(Noise, u8)], formulas: Vec<Formula>) -> OutputShape {
    let lane = |(noise, grid_bits): &(Noise, u8)| LaneShape {
        name: "lane".into(),
        grid_bits: *grid_bits,
        sensitivity_steps: 1,
        noise: *noise,
        one_of: None,
    };
    let values = (0..rows).map(|i| KeyValue::Int(i as i64)).collect();
    let key = ResultColumn { name: "row".into(), formula: Formula::Key { dimension: 0 } };
    let columns = formulas.into_iter().zip(0..);
    let columns = columns.map(|(formula, i)| ResultColumn { name: format!("f{i}"), formula });
    OutputShape {
        keys: vec![KeyDimension { name: "row".into(), values }],
        lanes: noises.iter().map(lane).collect(),
        columns: std::iter::once(key).chain(columns).collect(),
        served: vec![],
        recipe: Recipe::default(),
        private_keys: None,
        diagnostics: vec![],
    }
}

/// Share of trials whose interval holds the figure of the exact lanes, and the share without interval.
pub fn coverage(
    noises: &[(Noise, u8)],
    exact: &[i128],
    formula: &Formula,
    seed: u64,
) -> (f64, f64) {
    let quiet: Vec<(Noise, u8)> = noises.iter().map(|(_, bits)| (none(), *bits)).collect();
    let truth = answer(&shape(1, &quiet, vec![formula.clone()]), exact.to_vec());
    let truth = truth.rows[0].figures[0].estimate().unwrap().value;
    let shape = shape(TRIALS, noises, vec![formula.clone()]);
    let tables: Vec<_> = noises.iter().map(|(noise, _)| table(*noise)).collect();
    let mut random = Random(seed);
    let lanes = (0..TRIALS).flat_map(|_| exact.iter().zip(&tables).collect::<Vec<_>>());
    let lanes = lanes.map(|(lane, table)| lane + random.draw(table)).collect();
    let report = answer(&shape, lanes);
    let cells: Vec<&Cell> = report.rows.iter().map(|row| &row.figures[0]).collect();
    let held = |cell: &&&Cell| cell.estimate().is_none_or(|e| e.low <= truth && truth <= e.high);
    let silent = cells.iter().filter(|cell| cell.estimate().is_none()).count();
    let held = cells.iter().filter(held).count();
    (held as f64 / TRIALS as f64, silent as f64 / TRIALS as f64)
}
