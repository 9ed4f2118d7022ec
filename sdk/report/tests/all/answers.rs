//! What a reader sees: rows, words, CSV, bars and grids, with hostile names, extreme lanes and every
//! size. Nothing shown may steer a terminal, run in a spreadsheet, or hold NaN or an infinity.

use cloister_report::{
    Accuracy, Cell, Combined, Confidence, Report, ReportError, TextOptions, expected_plus_minus,
    report, report_at,
};
use cloister_terms::shape::ShapeError;
use cloister_terms::{
    Formula, KeyDimension, KeyValue, LaneShape, Name, Noise, OutputShape, Ratio, ResultColumn,
    Served,
};

fn texts(values: &[&str]) -> Vec<KeyValue> {
    values.iter().map(|text| KeyValue::Text((*text).into())).collect()
}

fn lane(name: &str, sigma: u128, grid_bits: u8) -> LaneShape {
    let noise = Noise::DiscreteGaussian { sigma_sq: Ratio::new(sigma * sigma, 1).unwrap() };
    LaneShape { name: name.into(), grid_bits, sensitivity_steps: 1, noise, one_of: None }
}

fn column(name: &str, formula: Formula) -> ResultColumn {
    ResultColumn { name: name.into(), formula }
}

/// Region -> people (lane 0), mean spend (lane 1 in quarters, by lane 0).
fn regions(values: Vec<KeyValue>) -> OutputShape {
    OutputShape {
        keys: vec![KeyDimension { name: "region".into(), values }],
        lanes: vec![lane("people", 12, 0), lane("spend", 100, 2)],
        columns: vec![
            column("region", Formula::Key { dimension: 0 }),
            column("people", Formula::Total { lane: 0 }),
            column("mean_spend", Formula::Ratio { numerator: 1, denominator: 0 }),
        ],
        served: vec![],
        recipe: Default::default(),
        private_keys: None,
        diagnostics: vec![],
    }
}

/// One vector at node `a`, and zeros at as many more nodes.
fn combined(shape: &OutputShape, lanes: &[i128], nodes: usize, asked: usize) -> Combined {
    let vectors: Vec<(Name, Vec<i128>)> = (0..nodes)
        .map(|node| {
            let own = if node == 0 { lanes.to_vec() } else { vec![0; lanes.len()] };
            (Name::new(format!("node-{node}")).unwrap(), own)
        })
        .collect();
    let asked: Vec<Name> =
        (0..asked).map(|node| Name::new(format!("node-{node}")).unwrap()).collect();
    Combined::new(shape, &asked, &vectors).unwrap()
}

fn answer(shape: &OutputShape, lanes: &[i128]) -> Report {
    report(shape, &combined(shape, lanes, 3, 4)).unwrap()
}

/// Trips from each place to each.
fn trips_between(places: &[&str]) -> OutputShape {
    let places = texts(places);
    OutputShape {
        keys: ["from", "to"]
            .map(|name| KeyDimension { name: name.into(), values: places.clone() })
            .to_vec(),
        lanes: vec![lane("trips", 12, 0)],
        columns: vec![
            column("from", Formula::Key { dimension: 0 }),
            column("to", Formula::Key { dimension: 1 }),
            column("trips", Formula::Total { lane: 0 }),
        ],
        served: vec![],
        recipe: Default::default(),
        private_keys: None,
        diagnostics: vec![],
    }
}

fn trips(lanes: &[i128]) -> Report {
    answer(&trips_between(&["north", "south", "east"]), lanes)
}

#[test]
fn a_table_says_figures_errors_partners_and_what_is_noise() {
    let shape = regions(texts(&["north", "south"]));
    let found = answer(&shape, &[1_753, 70_120, 3, 90]);
    assert!(found.partial && found.asked == 4 && found.rows.len() == 2);
    // Three Gaussians of deviation 12: 1.96 * 12 * sqrt(3) = 40.7, whole and outward.
    let Cell::Said(people) = found.rows[0].figures[0] else { panic!("must be said") };
    assert_eq!((people.value, people.plus_minus), (1_753.0, 41.0));
    assert_eq!((people.low, people.high), (1_712.0, 1_794.0));
    let Cell::Said(spend) = found.rows[0].figures[1] else { panic!("must be said") };
    assert!(spend.value == 10.0 && spend.low < 10.0 && spend.high > 10.0);
    assert!(found.rows[1].figures.iter().all(Cell::is_too_noisy));

    let text = found.to_text(&TextOptions::default());
    for words in [
        "region",
        "1,753",
        " 41 ",
        "1,712 to 1,794",
        "95 % interval",
        "3 of 4",
        "too noisy to say",
        "partial: 3 of 4 partners answered",
    ] {
        assert!(text.contains(words), "{words:?} is missing:\n{text}");
    }
    for machinery in ["lane", "grid", "sigma", "rho"] {
        assert!(!text.contains(machinery), "{machinery:?} needs `verbose`:\n{text}");
    }
    let verbose = found.to_text(&TextOptions { verbose: true, ..TextOptions::default() });
    assert!(verbose.contains("discrete Gaussian") && verbose.contains("too noisy to say (3)"));
}

#[test]
fn a_complete_answer_names_nobody_as_missing() {
    let shape = regions(texts(&["north"]));
    let found = report(&shape, &combined(&shape, &[1_753, 70_120], 4, 4)).unwrap();
    assert!(!found.partial);
    let text = found.to_text(&TextOptions::default());
    assert!(text.contains("4 of 4") && !text.contains("partial"), "{text}");
}

#[test]
fn narrow_terminals_get_every_figure_within_their_width() {
    let shape = regions(texts(&["north", "south"]));
    let found = answer(&shape, &[1_753, 70_120, 2_000, 90_000]);
    for width in [200, 100, 74, 60] {
        let text = found.to_text(&TextOptions { width, ..TextOptions::default() });
        let table = text.split("\n\n").next().unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        assert!(table.contains("1,753") && table.contains("mean_spend"), "{width}:\n{text}");
    }
    assert!(!found.to_text(&TextOptions { width: 0, ..TextOptions::default() }).is_empty());
}

#[test]
fn json_and_csv_hold_full_numbers_without_separators() {
    let shape = regions(texts(&["north", "south"]));
    let found = answer(&shape, &[1_753, 70_120, 0, 90]);
    let json: serde_json::Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
    let row = &json["rows"][0];
    assert_eq!(
        (row["keys"][0].as_str(), row["behind"]["answered"].as_u64()),
        (Some("north"), Some(3))
    );
    assert_eq!(row["figures"][0]["value"].as_f64(), Some(1_753.0));
    assert_eq!(row["figures"][0]["too_noisy"].as_bool(), Some(false));
    assert!(json["rows"][1]["figures"][1]["low"].is_null());
    assert_eq!(json["partial"], true);
    let csv = found.to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with(
        "region,people,people_standard_error,people_plus_minus,people_low,people_high,people_too_noisy,mean_spend,"
    ));
    let error = row["figures"][0]["standard_error"].as_f64().unwrap();
    assert!((10.0..41.0).contains(&error), "below the half-width at 95 %: {error}");
    assert!(lines[1].starts_with(&format!("north,1753,{error},41,1712,1794,false,10,")), "{csv}");
    assert_eq!(lines[2], format!("south,0,{error},41,-41,41,true,,,,,,true,3,4"));
    let verbose = found.to_text(&TextOptions { verbose: true, ..TextOptions::default() });
    assert!(
        verbose.contains("std. error") && !found.to_text(&TextOptions::default()).contains("std.")
    );
}

#[test]
fn hostile_keys_and_headings_steer_nothing() {
    let hostile =
        ["\u{1b}[2J\u{9b}31m", "=cmd|' /C calc'!A0", "a,\"b\"\r\nc", "\u{202e}evil", "", "-1"];
    let mut shape = regions(texts(&hostile));
    shape.columns[1].name = "=HYPERLINK(\"x\")\u{1b}]0;t\u{7}".into();
    shape.lanes[0].name = "\u{1b}[31m".into();
    let found = answer(&shape, &[5_000; 12]);
    let options = TextOptions {
        plot: true,
        verbose: true,
        plot_column: Some("\u{1b}[0m".into()),
        ..TextOptions::default()
    };
    let bars = TextOptions { plot: true, ..TextOptions::default() };
    for shown in
        [found.to_text(&options), found.to_text(&bars), found.to_csv(), found.to_json().unwrap()]
    {
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.chars().any(steers), "{shown:?}");
    }
    let csv = found.to_csv();
    assert_eq!(csv.lines().count(), 7, "no key breaks its line");
    for line in csv.lines() {
        for field in line.split(',').filter(|field| field.parse::<f64>().is_err()) {
            let first = field.trim_start_matches('"').chars().next();
            assert!(!first.is_some_and(|c| "=+-@".contains(c)), "{field} would run");
        }
    }
    let back: serde_json::Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
    assert_eq!(back["rows"][0]["keys"][0].as_str(), Some(hostile[0]));
}

#[test]
fn extreme_lanes_never_become_nan_or_infinity() {
    let extremes = [i128::MAX, i128::MIN, 0, 1, -1, i128::MAX - 1];
    let scales = [
        Ratio::new(0, 1).unwrap(),
        Ratio::new((1 << 127) - 1, 1).unwrap(),
        Ratio::new(1, (1 << 127) - 1).unwrap(),
    ];
    for scale in scales {
        for noise in [Noise::DiscreteLaplace { scale }, Noise::DiscreteGaussian { sigma_sq: scale }]
        {
            for grid_bits in [0, 30, 255] {
                let mut shape = regions((0..36).map(KeyValue::Int).collect());
                shape.lanes[0].noise = noise;
                shape.lanes[1] = LaneShape { grid_bits, noise, ..shape.lanes[1].clone() };
                shape.columns.push(column("same", Formula::Ratio { numerator: 0, denominator: 0 }));
                shape.columns.push(column("spend", Formula::Total { lane: 1 }));
                let pairs =
                    extremes.iter().flat_map(|a| extremes.iter().flat_map(move |b| [*a, *b]));
                let found = answer(&shape, &pairs.collect::<Vec<_>>());
                for cell in found.rows.iter().flat_map(|row| &row.figures) {
                    if let Some(e) = cell.estimate() {
                        let all = [e.value, e.plus_minus, e.low, e.high];
                        assert!(
                            all.iter().all(|n| n.is_finite())
                                && e.low <= e.value
                                && e.value <= e.high
                        );
                    }
                }
                let options = TextOptions {
                    plot: true,
                    plot_column: Some("spend".into()),
                    verbose: true,
                    width: 80,
                };
                let text = found.to_text(&options) + &found.to_csv();
                assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            }
        }
    }
}

#[test]
fn a_lane_by_itself_is_one_where_it_is_defined() {
    let mut shape = regions(texts(&["north", "south"]));
    shape.columns[2].formula = Formula::Ratio { numerator: 0, denominator: 0 };
    let found = answer(&shape, &[1_753, 0, 3, 0]);
    assert!(
        matches!(found.rows[0].figures[1], Cell::Said(e) if e.value == 1.0 && e.plus_minus == 0.0)
    );
    assert_eq!(found.rows[1].figures[1], Cell::TooNoisy(None));
}

#[test]
fn bars_grow_with_figures_and_mark_intervals() {
    let shape = regions(texts(&["north", "south", "east", "west"]));
    let found = answer(&shape, &[2_000, 1, 1_000, 1, -1_000, 1, 3, 1]);
    let text = found.to_text(&TextOptions { plot: true, width: 90, ..TextOptions::default() });
    let plot = text.split("\n\n").nth(1).unwrap();
    let bar = |key: &str| plot.lines().find(|line| line.starts_with(key)).unwrap();
    let blocks = |key: &str| bar(key).chars().filter(|c| *c == '█').count();
    assert!(blocks("north") > blocks("south") && blocks("south") > 5, "{plot}");
    assert!(bar("north").contains('├') && bar("north").contains('┤'), "{plot}");
    let first = |key: &str| bar(key).chars().position(|c| "█├│".contains(c)).unwrap();
    assert!(first("east") < first("north"), "negative bars start left of zero\n{plot}");
    assert!(blocks("west") == 0 && bar("west").ends_with("too noisy to say"), "{plot}");
    assert!(plot.lines().all(|line| line.chars().count() <= 90), "{plot}");
    let missing =
        TextOptions { plot: true, plot_column: Some("nowhere".into()), ..TextOptions::default() };
    assert!(found.to_text(&missing).contains("no figure called `nowhere`"));
    let ratio = TextOptions {
        plot: true,
        plot_column: Some("mean_spend".into()),
        ..TextOptions::default()
    };
    assert!(found.to_text(&ratio).contains("mean_spend (├ ┤"));
}

#[test]
fn origins_and_destinations_make_a_grid() {
    let found = trips(&[1_753, 900, 3, 400, 500, 600, 700, -2, 12_345]);
    let grid = found.to_matrix_text(&TextOptions::default()).unwrap();
    let lines: Vec<&str> = grid.lines().collect();
    assert!(lines[0].contains("trips") && lines[1].starts_with("from \\ to"), "{grid}");
    assert!(lines[3].contains("1,753 ± 41") && lines[3].ends_with("too noisy"), "{grid}");
    assert!(lines[5].starts_with("east") && lines[5].ends_with("12,345 ± 41"), "{grid}");
    let folded =
        found.to_matrix_text(&TextOptions { width: 40, ..TextOptions::default() }).unwrap();
    assert!(folded.lines().filter(|line| line.starts_with("east")).count() > 1, "{folded}");
    let table = answer(&regions(texts(&["north"])), &[1, 1]);
    let error = table.to_matrix_text(&TextOptions::default()).unwrap_err();
    assert_eq!(error, ReportError::NotAMatrix { keys: 1, figures: 2 });
}

#[test]
fn unusable_reports_are_refused() {
    let shape = regions(texts(&["north"]));
    let sums = combined(&shape, &[1, 1], 1, 1);
    let other = regions(texts(&["north", "south"]));
    assert!(matches!(report(&other, &sums), Err(ReportError::Mismatch { found: 2, expected: 4 })));
    let mut transposed = shape.clone();
    transposed.keys[0].values = texts(&["north", "south"]);
    transposed.lanes.pop();
    transposed.columns.truncate(2);
    assert!(
        matches!(report(&transposed, &sums), Err(ReportError::Mismatch { .. })),
        "same length, other lanes"
    );
    let mut wrong = shape.clone();
    wrong.columns[1].formula = Formula::Total { lane: 9 };
    assert!(matches!(report(&wrong, &sums), Err(ReportError::Shape(_))));
    assert!(matches!(expected_plus_minus(&wrong, 1), Err(ReportError::Shape(_))));
    for count in [0, 257, 100_000] {
        let mut wrong = shape.clone();
        wrong.columns = vec![column("n", Formula::Total { lane: 0 }); count];
        assert_eq!(report(&wrong, &sums), Err(ReportError::Columns { found: count }));
        assert_eq!(expected_plus_minus(&wrong, 1), Err(ReportError::Columns { found: count }));
    }
    let mut wide = regions((0..100_000).map(KeyValue::Int).collect());
    wide.columns = vec![column("n", Formula::Total { lane: 0 }); 100];
    // Before anybody is asked, and so before it is charged.
    let too_wide = ShapeError::Size { what: "figures", found: 10_000_000, max: 8_000_000 };
    assert_eq!(wide.check(), Err(too_wide));
}

#[test]
fn answers_of_every_size_are_shown() {
    let single = OutputShape {
        keys: vec![],
        columns: vec![column("n", Formula::Total { lane: 0 })],
        recipe: Default::default(),
        ..regions(vec![])
    };
    let found = answer(&single, &[1_000, 5]);
    let text = found.to_text(&TextOptions { plot: true, ..TextOptions::default() });
    assert!(text.contains("1,000") && text.contains('█'), "{text}");
    let large = regions((0..50_000).map(KeyValue::Int).collect());
    let found = answer(&large, &(0..100_000).collect::<Vec<_>>());
    assert_eq!(found.rows.len(), 50_000);
    assert_eq!(found.to_csv().lines().count(), 50_001);
    assert!(found.to_text(&TextOptions::default()).lines().count() > 50_000);
}

#[test]
fn what_is_expected_is_what_is_reported() {
    let shape = regions(texts(&["north"]));
    for nodes in [1, 3, 50] {
        let expected = expected_plus_minus(&shape, nodes).unwrap();
        assert_eq!(expected[0].accuracy, Accuracy::Key);
        let found = report(&shape, &combined(&shape, &[100_000, 5], nodes, nodes)).unwrap();
        let Cell::Said(people) = found.rows[0].figures[0] else { panic!("must be said") };
        assert_eq!(expected[1].accuracy, Accuracy::Total { plus_minus: people.plus_minus });
        assert!(
            matches!(expected[2].accuracy, Accuracy::Ratio { denominator_plus_minus, .. } if denominator_plus_minus == people.plus_minus)
        );
    }
    assert_eq!(expected_plus_minus(&shape, 3).unwrap()[1].accuracy.to_string(), "± 41");
    assert!(expected_plus_minus(&shape, 0).is_err());
}

#[test]
fn higher_confidence_is_wider() {
    let shape = regions(texts(&["north"]));
    let sums = combined(&shape, &[1_000, 5], 1, 1);
    let width = |level| {
        let level = Confidence::new(level).unwrap();
        report_at(&shape, &sums, level).unwrap().rows[0].figures[0].estimate().unwrap().plus_minus
    };
    assert!(width(0.5) < width(0.95) && width(0.95) < width(0.999));
}

#[test]
fn where_figures_drown_in_noise_the_share_of_intervals_is_told_of_all() {
    let shape = regions(texts(&["north", "south"]));
    let noisy = answer(&shape, &[1_753, 70_120, 3, 90]);
    let [note] = noisy.notes.as_slice() else { panic!("{:?}", noisy.notes) };
    assert!(note.contains("fewer than 95 of 100") && note.contains("too noisy to say"), "{note}");
    assert!(noisy.to_text(&TextOptions::default()).contains(&format!("{note}.\n")));
    let json: serde_json::Value = serde_json::from_str(&noisy.to_json().unwrap()).unwrap();
    assert_eq!(json["notes"][0], note.as_str());
    // Where every figure is said, nothing is left out, and nothing of it is told.
    let clear = answer(&shape, &[1_753, 70_120, 2_000, 90_000]);
    assert!(clear.notes.is_empty() && !clear.to_json().unwrap().contains("notes"));
    assert!(!clear.to_text(&TextOptions::default()).contains("fewer than"));
}

/// The trips of [`trips`], of which `a` holds those from the north and `b`, who does not answer, those from
/// the south.
fn trips_of_partners() -> Report {
    let mut shape = regions(texts(&["north", "south", "east"]));
    let serve = |partner: &str, positions: &[u32]| Served {
        partner: Name::new(partner).unwrap(),
        positions: vec![positions.to_vec()],
    };
    shape.served = vec![serve("a", &[0]), serve("b", &[1])];
    let names = ["a", "b"].map(|name| Name::new(name).unwrap());
    let [a, _] = &names;
    let sums = Combined::new(&shape, &names, &[(a.clone(), vec![1_753, 70_120])]).unwrap();
    report(&shape, &sums).unwrap()
}

#[test]
fn keys_that_no_partner_holds_are_counted_beside_the_table() {
    let found = trips_of_partners();
    let note = "2 keys have no figure: no partner that answered holds them";
    assert_eq!(found.notes, [note], "nothing that has a partner is noisy");
    for plot in [false, true] {
        let text = found.to_text(&TextOptions { plot, ..TextOptions::default() });
        assert!(text.contains("1 of 1") && text.contains(note), "{text}");
        for word in ["0 of", "south", "east", "too noisy to say:"] {
            assert!(!text.contains(word), "{word:?}:\n{text}");
        }
    }
    let narrow = found.to_text(&TextOptions { width: 40, ..TextOptions::default() });
    assert!(narrow.contains("figure") && !narrow.contains("south"), "{narrow}");
    // Programs get every public key, and who stands behind it.
    assert_eq!(found.rows.len(), 3);
    let json: serde_json::Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
    assert_eq!(
        (json["rows"][2]["behind"]["answered"].as_u64(), json["notes"][0].as_str()),
        (Some(0), Some(note))
    );
    assert_eq!(found.to_csv().lines().count(), 4);
}

#[test]
fn a_grid_keeps_its_shape_and_says_none_where_no_partner_holds_a_key() {
    let mut shape = trips_between(&["north", "south"]);
    let a = Name::new("a").unwrap();
    shape.served = vec![Served { partner: a.clone(), positions: vec![vec![0], vec![0, 1]] }];
    let sums =
        Combined::new(&shape, std::slice::from_ref(&a), &[(a.clone(), vec![500, 700])]).unwrap();
    let grid = report(&shape, &sums).unwrap().to_matrix_text(&TextOptions::default()).unwrap();
    assert!(grid.contains("500") && grid.contains("2 keys have no figure"), "{grid}");
    let south = grid.lines().find(|line| line.starts_with("south")).unwrap();
    assert_eq!(south.split_whitespace().collect::<Vec<_>>(), ["south", "none", "none"]);
}
