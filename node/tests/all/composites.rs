//! Composites at the node: histograms, people by value, squares and products of deviations, filters. One
//! person changes a group of lanes by its total at most (A4, A9), and without noise the figures are the
//! plain ones (A22).

use crate::world::*;
use cloister_report::{Combined, report};
use cloister_terms::{Name, Noise, OutputShape, Ratio};

const COMPOSITES: &str = "SELECT MEDIAN(n) AS m, COUNT(DISTINCT town) AS t, VAR_POP(n) AS v, \
     CORR(n, clamp(x, 0, 100)) AS r, AVG(clamp(x, 0, 100)) AS a, \
     COUNT(DISTINCT rider) FILTER (WHERE n = 5) AS f, COUNT(*) FILTER (WHERE n = 5) AS g FROM trips";

/// The largest change in one cell, by lane and by group, is what the shape says.
fn assert_bounded(shape: &OutputShape, with: &[i128], without: &[i128]) {
    let changes: Vec<u128> = with.iter().zip(without).map(|(a, b)| a.abs_diff(*b)).collect();
    for (lane, change) in shape.lanes.iter().zip(&changes) {
        assert!(*change <= u128::from(lane.sensitivity_steps), "{}: {change}", lane.name);
    }
    for one_of in shape.lanes.iter().filter_map(|lane| lane.one_of) {
        let inside = shape.lanes.iter().zip(&changes);
        let inside: Vec<u128> = inside
            .filter(|(lane, _)| lane.one_of == Some(one_of))
            .map(|(_, change)| *change)
            .collect();
        assert!(inside.iter().sum::<u128>() <= u128::from(one_of.total_steps));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a09_one_person_changes_a_group_of_lanes_by_its_total_at_most() {
    let rows = Draws(11).rows(1..25, 9);
    let (mut changed, mut whole) = (0, Vec::new());
    for out in 0..25 {
        let kept: Vec<Row> = rows.iter().filter(|row| row.rider != Some(out)).copied().collect();
        let world = World::new(&kept, 2, 10);
        let plan = world.plan(COMPOSITES, 3, 1);
        let found = lanes(&plan, &world.catalog, &options(2, 7), 1).await;
        if out == 0 {
            // Nobody has that number: all are in.
            whole = found;
            continue;
        }
        assert_bounded(&plan.shape, &whole, &found);
        changed += usize::from(whole != found);
    }
    assert!(changed > 15, "{changed} persons were seen at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_composites_without_noise_are_the_plain_figures() {
    let values = |i: i64| (i * i % 701 - 300, (i % 90) as f64 + 0.0);
    let rows: Vec<Row> = (0..400)
        .map(|i| Row {
            n: Some(values(i).0),
            x: Some(values(i).1),
            town: Some(TOWNS[(i % 3) as usize]),
            ..row(i / 2)
        })
        .collect();
    let world = World::new(&rows, 3, 10);
    let text = COMPOSITES.replace("n = 5", "n > 0");
    let plan = world.plan(&text, 2, 1);
    let exact = lanes(&plan, &world.catalog, &options(2, 50), 1).await;
    let mut shape = plan.shape.clone();
    // Noise that is never drawn.
    let sigma_sq = Ratio::new(1, 1 << 40).unwrap();
    shape.lanes.iter_mut().for_each(|lane| lane.noise = Noise::DiscreteGaussian { sigma_sq });
    let north = Name::new("north").unwrap();
    let vectors = [(north.clone(), exact)];
    let answer = report(&shape, &Combined::new(&shape, &[north], &vectors).unwrap()).unwrap();
    let found: Vec<f64> =
        answer.rows[0].figures.iter().map(|cell| cell.estimate().unwrap().value).collect();
    let n: Vec<f64> = rows.iter().filter_map(|row| row.n).map(|n| n as f64).collect();
    let x: Vec<f64> = rows.iter().filter_map(|row| row.x).collect();
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (mn, mx) = (mean(&n), mean(&x));
    let sum = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
    };
    let (nn, xx, nx) = (sum(&n, mn, &n, mn), sum(&x, mx, &x, mx), sum(&n, mn, &x, mx));
    let mut sorted = n.clone();
    sorted.sort_by(f64::total_cmp);
    let people = |rider: i64| (0..2).any(|i| values(2 * rider + i).0 > 0);
    let close = |found: f64, expected: f64, error: f64| {
        assert!((found - expected).abs() <= error, "{found} against {expected}");
    };
    close(found[0], sorted[200], 2_001.0 / 64.0 + 1.0);
    close(found[1], 3.0, 0.0);
    close(found[2], nn / 400.0, nn / 400.0 * 1e-3);
    close(found[3], nx / (nn * xx).sqrt(), 1e-3);
    close(found[4], mx, 1e-9);
    close(found[5], (0..200).filter(|rider| people(*rider)).count() as f64, 0.0);
    close(found[6], n.iter().filter(|n| **n > 0.0).count() as f64, 0.0);
}
