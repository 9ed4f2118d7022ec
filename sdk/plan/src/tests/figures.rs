//! Aggregates beyond counts and sums, filters, arithmetic on figures, HAVING, ORDER BY and LIMIT: what they
//! plan to, what they are charged, and that without noise the answer is the textbook's (row A22).

use super::{dictionary, epsilon, error, lanes, planned, rho};
use crate::{LaneExpr, PlanError, Planned, aggregate_notes, explain};
use cloister_report::{Cell, Combined, Report, report};
use cloister_terms::shape::ShapeError;
use cloister_terms::{
    Condition, Cost, FigureCompare, Formula, LaneShape, Name, PairStatistic, Rho, Spread,
};

/// The texts of every aggregate's example.
fn examples() -> Vec<String> {
    let notes = aggregate_notes().iter();
    notes.map(|note| format!("SELECT {} AS x FROM trips", note.example)).collect()
}

fn formula(item: &str) -> Formula {
    let planned = planned(&format!("SELECT {item} AS x FROM trips"), rho("1")).unwrap();
    planned.plan.shape.columns[0].formula.clone()
}

#[test]
fn every_aggregate_of_the_reference_plans_and_is_explained() {
    for text in examples() {
        let planned = planned(&text, rho("0.1")).unwrap();
        assert!(planned.plan.shape.check().is_ok(), "{text}");
        let told = explain(&planned, 3, None);
        assert_eq!(told.accuracy.len(), 1, "{text}");
        let plain = told.to_string();
        for word in ["rho", "L0", "lane", "grid 2^", "epsilon", "inf", "NaN"] {
            assert!(!plain.contains(word), "`{word}` in: {plain}");
        }
    }
    for note in aggregate_notes() {
        assert!(!note.signature.is_empty() && note.contract.len() > 3, "{note:?}");
    }
}

#[test]
fn a09_composites_are_charged_the_sum_of_their_primitive_releases() {
    let texts = examples().into_iter().chain([
        "SELECT zone, MEDIAN(duration_s) AS m, COUNT(*) AS n, AVG(distance_m) AS d FROM trips GROUP BY zone".to_owned(),
        "SELECT COUNT(DISTINCT end_city) AS c, STDDEV(distance_m) AS s, \
         PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY distance_m) AS p FROM trips".to_owned(),
    ]);
    for text in texts {
        for (spend, units) in [(rho("0.3"), 300_000_000), (epsilon("0.9"), 900_000_000)] {
            let planned = planned(&text, spend).unwrap();
            let (l0, lanes) = (planned.plan.group_cap, &planned.plan.shape.lanes);
            let whole = cloister_dp::cost_of_lanes(l0, lanes).unwrap();
            assert!(whole.within(planned.cost), "{text}");
            let total = |cost: Cost| cost.rho.units() + cost.epsilon.units();
            assert_eq!(total(planned.cost), units);
            assert!(total(whole) + 1 >= units, "{text}: {whole}");
            // Group by group and lane by lane, each rounded up alone.
            let mut sum = 0;
            let mut rest: &[LaneShape] = lanes;
            while let Some(first) = rest.first() {
                let own = |l: &&LaneShape| first.one_of.is_some() && l.one_of == first.one_of;
                let size = rest.iter().take_while(own).count().max(1);
                sum += total(cloister_dp::cost_of_lanes(l0, &rest[..size]).unwrap());
                rest = &rest[size..];
            }
            assert!((total(whole)..=total(whole) + lanes.len() as u64).contains(&sum), "{text}");
        }
    }
}

#[test]
fn a_histogram_costs_what_one_count_does() {
    let noise = |text: &str| planned(text, rho("0.1")).unwrap().plan.shape.lanes;
    let leaves = noise("SELECT MEDIAN(duration_s) AS m FROM trips");
    let count = noise("SELECT COUNT(*) AS n FROM trips");
    assert_eq!(leaves.len(), 64);
    assert!(leaves.iter().all(|leaf| leaf.noise == count[0].noise && leaf.one_of.is_some()));
    // Two quantiles of one column share it.
    let text =
        "SELECT MEDIAN(duration_s) AS m, APPROX_PERCENTILE_CONT(duration_s, .9) AS p FROM trips";
    assert_eq!(noise(text).len(), 64);
    // People by value: each counts once a value, in no more values than she has rows.
    let values = noise("SELECT COUNT(DISTINCT start_city) AS n FROM trips");
    assert_eq!(values.len(), 6);
    assert!(values.iter().all(|v| (v.sensitivity_steps, v.one_of.unwrap().total_steps) == (1, 6)));
}

#[test]
fn lanes_are_shared_and_averages_sum_deviations_only_beside_a_count() {
    let sums = |text: &str| {
        let lanes = lanes(&format!("SELECT {text} FROM trips"));
        lanes.iter().filter(|lane| matches!(lane, LaneExpr::SumClamped { .. })).count()
    };
    assert_eq!(
        sums("AVG(duration_s) AS a, VAR_POP(duration_s) AS v"),
        2,
        "one sum, one of squares"
    );
    assert_eq!(sums("VAR_POP(duration_s) AS v, STDDEV(duration_s) AS s"), 2);
    assert_eq!(sums("SUM(duration_s) AS t, AVG(duration_s) AS a"), 1, "the average takes the sum");
    assert!(matches!(formula("SUM(duration_s)"), Formula::Total { .. }));
    assert!(matches!(formula("AVG(duration_s)"), Formula::Arithmetic { .. }));
    let centred = "AVG(clamp(ping_count, -5, 5))";
    assert!(matches!(formula(centred), Formula::Ratio { .. }), "the middle is 0 already");
    let steps = |text: &str| planned(text, rho("1")).unwrap().plan.shape.lanes[0].clone();
    let (sum, mean) = (
        steps("SELECT SUM(duration_s) AS s FROM trips"),
        steps("SELECT AVG(duration_s) AS a FROM trips"),
    );
    assert_eq!(sum.sensitivity_steps, 2 * mean.sensitivity_steps);
}

#[test]
fn formulas_are_the_documented_ones() {
    assert!(matches!(
        formula("VARIANCE(duration_s)"),
        Formula::Variance { spread: Spread::VarianceSample, scale_bits: 0, .. }
    ));
    assert!(matches!(
        formula("REGR_SLOPE(distance_m, duration_s)"),
        Formula::Pair { statistic: PairStatistic::Slope, lanes } if lanes.x_mid.value() == 43_200.0
    ));
    // Squares that would leave exact sums are scaled, and the formula scales them back.
    let wide = formula("VAR_POP(clamp(ping_count, 0, 4000000000000))");
    assert!(matches!(wide, Formula::Variance { scale_bits, .. } if scale_bits > 0), "{wide:?}");
    let Formula::Quantile(quantile) = formula("MEDIAN(clamp(ping_count, 1, 10))") else { panic!() };
    assert_eq!((quantile.leaves, quantile.whole), (10, true), "one leaf a whole value");
    let Formula::Quantile(quantile) = formula("MEDIAN(clamp(speed, 0, 1))") else { panic!() };
    assert_eq!((quantile.leaves, quantile.whole), (64, false));
}

#[test]
fn filters_are_inside_what_is_counted() {
    let text = "SELECT COUNT(*) FILTER (WHERE zone = 1) AS a, SUM(duration_s) FILTER (WHERE is_member) AS b, \
                COUNT(DISTINCT person_id) FILTER (WHERE zone = 2) AS c, AVG(distance_m) FILTER (WHERE zone = 1) AS d \
                FROM trips";
    let lanes = lanes(text);
    assert_eq!(lanes.len(), 5);
    assert!(matches!(&lanes[0], LaneExpr::SumClamped { .. } | LaneExpr::CountNonNull { .. }));
    assert!(lanes.iter().any(|lane| matches!(lane, LaneExpr::CountUnitsWith { .. })));
    assert!(
        lanes.iter().all(|lane| lane.expr().is_some_and(|e| e.to_string().contains("case when")))
    );
    assert!(matches!(
        error("SELECT COUNT(*) FILTER (WHERE zone) AS n FROM trips"),
        PlanError::Type { .. }
    ));
    assert!(matches!(
        error("SELECT COUNT(*) FILTER (WHERE trip_id = 1) AS n FROM trips"),
        PlanError::Identifier { .. }
    ));
}

#[test]
fn arithmetic_on_figures_is_post_processing() {
    let share = planned(
        "SELECT COUNT(*) * 1.0 / SUM(duration_s), -COUNT(*) AS m, \
         100 * COUNT(*) FILTER (WHERE zone = 1) / NULLIF(COUNT(*), 0) AS percent FROM trips",
        rho("1"),
    )
    .unwrap();
    let shape = &share.plan.shape;
    assert_eq!(shape.columns[0].name, "(count(*) * 1) / sum(duration_s)");
    assert_eq!(shape.lanes.len(), 3);
    for (text, wanted) in [
        ("COUNT(*) + duration_s", "group by it"),
        ("COUNT(*) / 0", "divides by zero"),
        ("COUNT(*) / -0.0", "divides by zero"),
        ("COUNT(*) * 1e31", "not a number"),
        ("COUNT(*) || 'x'", "SUM(CASE WHEN"),
        ("COUNT(*) % 7", "SUM(CASE WHEN"),
        ("COUNT(*) + 'x'", "group by it"),
        ("COUNT(*) + SUM(speed)", "no bounds"),
    ] {
        let said = error(&format!("SELECT {text} AS x FROM trips")).to_string();
        assert!(said.contains(wanted), "{text}: {said}");
    }
    let deep = format!("SELECT {}COUNT(*){} AS x FROM trips", "-(".repeat(30), ")".repeat(30));
    assert!(matches!(error(&deep), PlanError::TooDeep { .. }));
    let long = format!("SELECT {} AS x FROM trips", vec!["COUNT(*)"; 400].join(" + "));
    assert!(matches!(error(&long), PlanError::TooDeep { .. }));
}

#[test]
fn choosing_and_ordering_rows_is_a_recipe() {
    let text = "SELECT start_city, COUNT(*) AS n, AVG(duration_s) AS d FROM trips GROUP BY start_city \
                HAVING n > 100 AND NOT (AVG(duration_s) < 60 OR COUNT(DISTINCT person_id) <= 5) \
                ORDER BY 2 DESC, start_city, SUM(distance_m) / COUNT(*) LIMIT 3 OFFSET 1";
    let plan = planned(text, rho("1")).unwrap().plan;
    let recipe = &plan.shape.recipe;
    let Some(Condition::And { all }) = &recipe.having else { panic!("{recipe:?}") };
    assert_eq!(all.len(), 3, "NOT (a OR b) joins the list as NOT a AND NOT b");
    assert!(matches!(all[1], Condition::Compare { op: FigureCompare::GreaterOrEqual, .. }));
    assert_eq!(recipe.order.len(), 3);
    assert!(recipe.order[0].descending);
    assert_eq!(recipe.order[0].formula, Formula::Total { lane: 0 });
    assert_eq!(recipe.order[1].formula, Formula::Key { dimension: 0 });
    assert_eq!((recipe.limit, recipe.offset), (Some(3), Some(1)));
    // What only the recipe reads is paid for; nodes see no more rows for it.
    assert_eq!(plan.shape.lanes.len(), 5);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<crate::ContributionPlan>(&json).unwrap(), plan);
    let between = "SELECT COUNT(*) AS n FROM trips HAVING COUNT(*) NOT BETWEEN 5 AND 10";
    let recipe = planned(between, rho("1")).unwrap().plan.shape.recipe;
    assert!(matches!(recipe.having, Some(Condition::Or { .. })));
}

#[test]
fn hostile_shares_and_domains_are_refused() {
    for q in ["0", "1", "1.5", "-0.5", "zone", "0.00000000001", "1e-3", "'x'", "0.5 + 0.1"] {
        let text = format!("SELECT APPROX_PERCENTILE_CONT(duration_s, {q}) AS x FROM trips");
        let error = error(&text);
        assert!(
            matches!(error, PlanError::Share { .. } | PlanError::Number { .. }),
            "{q}: {error:?}"
        );
    }
    let refused = |item: &str| error(&format!("SELECT {item} AS x FROM trips"));
    assert!(matches!(refused("COUNT(DISTINCT start_station)"), PlanError::NoDomain { .. }));
    assert!(matches!(refused("MEDIAN(speed)"), PlanError::Unbounded { .. }));
    assert!(matches!(refused("STDDEV(ping_count)"), PlanError::Unbounded { .. }));
    assert!(matches!(refused("CORR(duration_s)"), PlanError::Arguments { .. }));
    assert!(matches!(refused("MEDIAN(start_city)"), PlanError::Type { .. }));
    assert!(matches!(refused("MEDIAN(duration_s, 1)"), PlanError::Arguments { .. }));
    let many: Vec<String> = (0..17).map(|i| format!("MEDIAN(duration_s + {i}) AS m{i}")).collect();
    let many = error(&format!("SELECT {} FROM trips", many.join(", ")));
    assert!(matches!(many, PlanError::TooMany { .. }), "{many:?}");
    let terms = vec!["zone"; 900].join(",");
    let large: Vec<String> =
        (0..9).map(|i| format!("MEDIAN(clamp(COALESCE({terms}, {i}), 0, 99)) AS m{i}")).collect();
    let large = error(&format!("SELECT {} FROM trips", large.join(", ")));
    assert!(matches!(large, PlanError::TooMany { .. }), "{large:?}");
}

/// A row of the little table below.
#[derive(Clone, Copy)]
struct Trip {
    duration_s: f64,
    distance_m: Option<f64>,
}

fn trips() -> Vec<Trip> {
    let mut state = 5u64;
    let mut unit = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let trip = |_| {
        let duration_s = (unit() * unit() * 7_000.0).round();
        let distance_m = (duration_s * 3.0 + unit() * 900.0).min(50_000.0);
        // On the column's grid of quarters, as the node rounds it.
        let distance_m = (unit() > 0.1).then_some((distance_m * 4.0).round() / 4.0);
        Trip { duration_s, distance_m }
    };
    (0..5_001).map(trip).collect()
}

/// An expression of a lane on one row; columns are floats here, which is all these lanes read.
fn evaluate(expr: &crate::Expr, trip: Trip) -> Option<f64> {
    use crate::{ArithmeticOp, CompareOp, Expr};
    let truth = |condition: bool| Some(f64::from(u8::from(condition)));
    match expr {
        Expr::Column { name } if name.as_str() == "duration_s" => Some(trip.duration_s),
        Expr::Column { name } if name.as_str() == "distance_m" => trip.distance_m,
        Expr::Literal { value } => value.number().or(Some(1.0)),
        Expr::ToFloat { of } => evaluate(of, trip),
        Expr::IsNull { of } => truth(evaluate(of, trip).is_none()),
        Expr::Not { of } => evaluate(of, trip).map(|x| 1.0 - x),
        Expr::And { all } => {
            all.iter().map(|part| evaluate(part, trip)).try_fold(1.0, |sum, x| Some(sum * x?))
        }
        Expr::Case { branches, otherwise: None, operand: None } => {
            let taken = branches.iter().find(|b| evaluate(&b.when, trip) == Some(1.0))?;
            evaluate(&taken.then, trip)
        }
        Expr::Clamp { of, low, high } => {
            Some(evaluate(of, trip)?.clamp(low.number().unwrap(), high.number().unwrap()))
        }
        Expr::Compare { op, left, right } => {
            let (left, right) = (evaluate(left, trip)?, evaluate(right, trip)?);
            truth(match op {
                CompareOp::GreaterOrEqual => left >= right,
                CompareOp::Less => left < right,
                other => panic!("{other:?} is in no leaf"),
            })
        }
        Expr::Arithmetic { op, left, right } => {
            let (left, right) = (evaluate(left, trip)?, evaluate(right, trip)?);
            Some(match op {
                ArithmeticOp::Subtract => left - right,
                ArithmeticOp::Multiply => left * right,
                other => panic!("{other:?} is in no lane"),
            })
        }
        other => panic!("{other:?} is in no lane"),
    }
}

/// The exact lanes of a question over the little table, as a node sums them.
fn exact(planned: &Planned, trips: &[Trip]) -> Vec<i128> {
    let crate::Contribute::Sql(sql) = &planned.plan.contribute else { panic!("a module") };
    let lane = |lane: &LaneExpr| match lane {
        LaneExpr::CountRows => trips.len() as i128,
        LaneExpr::CountNonNull { expr } => {
            trips.iter().filter(|trip| evaluate(expr, **trip).is_some()).count() as i128
        }
        LaneExpr::SumClamped { expr, bounds } => {
            let steps = (1u64 << bounds.grid_bits()) as f64;
            let rows = trips.iter().filter_map(|trip| evaluate(expr, *trip));
            let rounded = rows.map(|x| (x * steps).round_ties_even() as i64);
            rounded.map(|x| i128::from(x.clamp(bounds.min_steps(), bounds.max_steps()))).sum()
        }
        other => panic!("{other:?} needs people"),
    };
    sql.lanes.iter().map(lane).collect()
}

fn answer(text: &str, trips: &[Trip]) -> Report {
    let planned = planned(text, epsilon("1000000000")).unwrap();
    let north = Name::new("north").unwrap();
    let vector = (north.clone(), exact(&planned, trips));
    let shape = &planned.plan.shape;
    report(shape, &Combined::new(shape, &[north], &[vector]).unwrap()).unwrap()
}

#[test]
fn a22_without_noise_figures_are_the_textbook_ones() {
    let trips = trips();
    let text = "SELECT COUNT(*) AS n, COUNT(distance_m) AS c, SUM(distance_m) AS s, AVG(duration_s) AS a, \
                VAR_POP(duration_s) AS vp, VAR_SAMP(distance_m) AS vs, STDDEV_POP(distance_m) AS sp, \
                STDDEV(duration_s) AS ss, COVAR_POP(distance_m, duration_s) AS cp, \
                COVAR_SAMP(distance_m, duration_s) AS cs, CORR(distance_m, duration_s) AS r, \
                REGR_SLOPE(distance_m, duration_s) AS b, REGR_INTERCEPT(distance_m, duration_s) AS i, \
                AVG(distance_m) / AVG(duration_s) AS q FROM trips";
    let report = answer(text, &trips);
    let x: Vec<f64> = trips.iter().map(|trip| trip.duration_s).collect();
    let y: Vec<f64> = trips.iter().filter_map(|trip| trip.distance_m).collect();
    let pairs: Vec<(f64, f64)> =
        trips.iter().filter_map(|trip| Some((trip.duration_s, trip.distance_m?))).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let square = |values: &[f64]| {
        let m = mean(values);
        values.iter().map(|v| (v - m).powi(2)).sum::<f64>()
    };
    let px: Vec<f64> = pairs.iter().map(|p| p.0).collect();
    let py: Vec<f64> = pairs.iter().map(|p| p.1).collect();
    let (mx, my) = (mean(&px), mean(&py));
    let sxy: f64 = pairs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let (n, c, k) = (x.len() as f64, y.len() as f64, pairs.len() as f64);
    let slope = sxy / square(&px);
    // (figure, expected, relative error): lanes exactly, averages within their grid, the rest in 0.1 %.
    let expected = [
        (n, 0.0),
        (c, 0.0),
        (y.iter().sum(), 0.0),
        (mean(&x), 1e-9),
        (square(&x) / n, 1e-3),
        (square(&y) / (c - 1.0), 1e-3),
        ((square(&y) / c).sqrt(), 1e-3),
        ((square(&x) / (n - 1.0)).sqrt(), 1e-3),
        (sxy / k, 1e-3),
        (sxy / (k - 1.0), 1e-3),
        (sxy / (square(&px) * square(&py)).sqrt(), 1e-3),
        (slope, 1e-3),
        (my - slope * mx, 1e-3),
        (mean(&y) / mean(&x), 1e-9),
    ];
    for (index, (expected, error)) in expected.into_iter().enumerate() {
        let Cell::Said(found) = report.rows[0].figures[index] else {
            panic!("{} must be said", report.columns[index].name)
        };
        let off = (found.value - expected).abs();
        let name = &report.columns[index].name;
        assert!(off <= error * expected.abs(), "{name}: {} against {expected}", found.value);
    }
}

#[test]
fn a22_without_noise_quantiles_are_within_one_leaf() {
    let trips = trips();
    let text = "SELECT MEDIAN(duration_s) AS m, APPROX_PERCENTILE_CONT(duration_s, 0.9) AS p, \
                PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY clamp(distance_m, 0, 30000)) AS d FROM trips";
    let report = answer(text, &trips);
    let at = |mut values: Vec<f64>, q: f64| {
        values.sort_by(f64::total_cmp);
        values[(q * (values.len() - 1) as f64).round() as usize]
    };
    let duration: Vec<f64> = trips.iter().map(|trip| trip.duration_s).collect();
    let distance: Vec<f64> =
        trips.iter().filter_map(|trip| trip.distance_m).map(|d| d.min(30_000.0)).collect();
    let expected = [
        (at(duration.clone(), 0.5), 86_401.0 / 64.0 + 1.0),
        (at(duration, 0.9), 86_401.0 / 64.0 + 1.0),
        (at(distance, 0.25), 30_000.0 / 64.0 + 1.0),
    ];
    for (index, (expected, leaf)) in expected.into_iter().enumerate() {
        let estimate = report.rows[0].figures[index].estimate().unwrap();
        assert!((estimate.value - expected).abs() <= leaf, "{estimate:?} against {expected}");
        assert!(estimate.low <= expected && expected <= estimate.high, "{estimate:?}: {expected}");
    }
}

#[test]
fn each_row_is_in_one_leaf_and_missing_values_in_none() {
    let trips = trips();
    for column in
        ["duration_s", "distance_m", "clamp(duration_s, 5, 9)", "clamp(duration_s, 0, 0.3)"]
    {
        let planned =
            planned(&format!("SELECT MEDIAN({column}) AS m FROM trips"), rho("1")).unwrap();
        let crate::Contribute::Sql(sql) = &planned.plan.contribute else { panic!("a module") };
        for trip in &trips {
            let inside = sql
                .lanes
                .iter()
                .filter(|lane| lane.expr().is_some_and(|expr| evaluate(expr, *trip).is_some()));
            let is_known = column != "distance_m" || trip.distance_m.is_some();
            assert_eq!(inside.count(), usize::from(is_known), "{column}");
        }
    }
}

#[test]
fn what_was_chosen_and_why_is_told() {
    let text = "SELECT VAR_POP(duration_s) AS v, MEDIAN(distance_m) AS m FROM trips";
    let planned = planned(text, rho("0.1")).unwrap();
    assert!(planned.why.contains("% for"), "{}", planned.why);
    let told = crate::explain(&planned, 3, None).to_string();
    assert!(told.contains("bell-shaped (Gaussian), which goes with the one measure"), "{told}");
    assert!(told.contains("% for"), "{told}");
    let both = crate::Spend { epsilon: Some("1000".parse().unwrap()), ..rho("0.1") };
    let chosen = super::planned("SELECT COUNT(*) AS n FROM trips", both).unwrap();
    let told = crate::explain(&chosen, 3, None).to_string();
    assert!(told.contains("(Laplace), chosen since its expected error is the smaller"), "{told}");
    let notes = planned.notes().join("\n");
    assert!(notes.contains("max(0, sum(d^2)/n - (sum(d)/n)^2)"), "{notes}");
    assert!(notes.contains("64 bands"), "{notes}");
    let distinct =
        super::planned("SELECT COUNT(DISTINCT zone) AS z FROM trips", rho("0.1")).unwrap();
    assert!(distinct.notes().join("\n").contains("mostly missed"));
}

#[test]
fn b24_a_composite_planned_again_is_the_same() {
    for text in examples() {
        let planned = planned(&text, rho("0.033333337")).unwrap();
        let again = super::planned(
            &text,
            crate::Spend {
                rho: Some(Rho::from_units(planned.cost.rho.units()).unwrap()),
                epsilon: None,
                delta: None,
            },
        );
        assert_eq!(again.unwrap(), planned);
    }
    assert!(dictionary().check().is_ok());
    let shape = planned("SELECT COUNT(*) / 2 AS x FROM trips", rho("1")).unwrap().plan.shape;
    let mut wrong = shape.clone();
    wrong.lanes.clear();
    assert!(matches!(wrong.check(), Err(ShapeError::Size { .. })));
}
