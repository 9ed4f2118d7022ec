//! Diagnostics behind the table: their own sums, their own intervals, and no row of it.

use cloister_report::{CombineError, Combined, TextOptions, report};
use cloister_terms::{
    Diagnostic, DiagnosticKind, Formula, KeyDimension, KeyValue, LaneShape, Name, Noise,
    OutputShape, Ratio, ResultColumn, Served,
};

fn laplace(scale: u128) -> Noise {
    Noise::DiscreteLaplace { scale: Ratio::new(scale, 1).unwrap() }
}

/// Three cells of one count, with the noise that every diagnostic has as well.
fn shape(kinds: &[DiagnosticKind]) -> OutputShape {
    let lane = LaneShape {
        name: "n".into(),
        grid_bits: 0,
        sensitivity_steps: 1,
        noise: laplace(9),
        one_of: None,
    };
    let values = (0..3).map(KeyValue::Int).collect();
    OutputShape {
        keys: vec![KeyDimension { name: "k".into(), values }],
        lanes: vec![lane],
        columns: vec![ResultColumn { name: "n".into(), formula: Formula::Total { lane: 0 } }],
        served: vec![],
        recipe: Default::default(),
        private_keys: None,
        diagnostics: kinds.iter().map(|k| Diagnostic { kind: *k, noise: laplace(9) }).collect(),
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn from(node: &str, lanes: &[i128]) -> (Name, Vec<i128>) {
    (name(node), lanes.to_vec())
}

#[test]
fn diagnostics_add_up_and_have_the_intervals_of_their_own_noise() {
    let shape = shape(DiagnosticKind::OF_MODULE);
    let asked = ["a", "b", "c"].map(name);
    let vectors = [from("b", &[800, 2, 3, 800, 20, 0, -4]), from("a", &[10, 2, 3, 10, 1, 0, 1])];
    let sum = Combined::new(&shape, &asked, &vectors).unwrap();
    assert_eq!(sum.lanes(), [810, 4, 6, 810, 21, 0, -3]);
    assert_eq!((sum.diagnostics(), sum.told()), (&[810, 21, 0, -3][..], 2));
    assert_eq!((sum.lane(2, 0), sum.lane(3, 0), sum.behind(3)), (Some(6), None, None));
    let found = report(&shape, &sum).unwrap();
    assert_eq!(found.rows.len(), 3, "diagnostics are no rows");
    assert_eq!(found.diagnostics[0].people, found.rows[0].figures[0], "one law, one interval");
    let text = found.to_text(&TextOptions::default());
    for said in
        ["people who contributed: 810 ± ", "rows or groups: too noisy", "gave up: too noisy"]
    {
        assert!(text.contains(said), "`{said}` not in:\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
    assert_eq!(json["diagnostics"][0]["kind"], "contributing");
    assert_eq!(json["diagnostics"][0]["value"], 810.0);
    assert_eq!(json["diagnostics"][3]["too_noisy"], true);
    assert_eq!(found.to_csv().lines().count(), 4);
}

#[test]
fn an_answer_without_diagnostics_says_nothing_of_them() {
    let shape = shape(&[]);
    let sum = Combined::new(&shape, &[name("a")], &[from("a", &[1, 2, 3])]).unwrap();
    let found = report(&shape, &sum).unwrap();
    assert!(found.diagnostics.is_empty() && sum.diagnostics().is_empty());
    assert!(!found.to_json().unwrap().contains("diagnostics"));
    assert!(!found.to_text(&TextOptions::default()).contains("contributed"));
}

#[test]
fn a_partner_of_some_cells_tells_its_own_and_one_of_none_nothing() {
    let mut shape = shape(DiagnosticKind::OF_SQL);
    shape.served = vec![Served { partner: name("a"), positions: vec![vec![1]] }];
    let asked = ["a", "b"].map(name);
    let sum = Combined::new(&shape, &asked, &[from("a", &[7, 70, 1, 2]), from("b", &[])]).unwrap();
    assert_eq!(sum.lanes(), [0, 7, 0, 70, 1, 2]);
    assert_eq!(sum.told(), 1);
    let alone = report(&shape, &sum).unwrap().diagnostics[0].people;
    let both = [from("a", &[7, 70, 1, 2])];
    let same = Combined::new(&shape, &asked, &both).unwrap();
    assert_eq!(report(&shape, &same).unwrap().diagnostics[0].people, alone);
}

#[test]
fn hostile_diagnostics_are_refused() {
    let shape = shape(DiagnosticKind::OF_SQL);
    let asked = ["a", "b"].map(name);
    for length in [0, 3, 4, 5, 7, 9] {
        let wrong = [from("a", &vec![1; length])];
        let expected = CombineError::Length { node: name("a"), found: length, expected: 6 };
        assert_eq!(Combined::new(&shape, &asked, &wrong), Err(expected));
    }
    for (one, more) in [(i128::MAX, 1), (i128::MIN, -1)] {
        let vectors = [from("a", &[0, 0, 0, 0, one, 0]), from("b", &[0, 0, 0, 0, more, 0])];
        assert_eq!(Combined::new(&shape, &asked, &vectors), Err(CombineError::Diagnostic(1)));
    }
}
