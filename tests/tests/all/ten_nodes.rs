//! Q1 to Q3 of the developer data's README through one federation: ten nodes of three partners under
//! one agreement, real QUIC, quorum, grants and ledgers, at a loss so large that noise is next to
//! nothing. Answers equal plain SQL over all tables together, cell by cell. The same code runs over the
//! developer data, where it is at hand, and over made-up tables of the same schemas.

use cloister::answer::{Answer, answer_of, verify_bundle};
use cloister_node::measure::MeasureOptions;
use cloister_node::run::Tables;
use cloister_plan::draft::{analysis_from_toml, document_of};
use cloister_terms::{Analysis, Budget, KeyValue, Party};
use cloister_tests::fixtures::{Federation, epsilon, key, name, thread_workers};
use cloister_tests::live::{Live, NodeParts};
use cloister_tests::readme::{Asked, Q3_SPEND, QUESTIONS};
use cloister_tests::ten::{self, Exact, FILES, MONEY_GRID_BITS, Ten};
use cloister_wire::Envelope;
use cloister_wire::message::NodeState;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Cost of each question: noise is 0 for all but sums of money.
const EPSILON: &str = "2000000000";
/// What an account may spend: all of them.
const EPSILON_CAP: &str = "9000000000";
/// Half-widths by which a figure may be off for its noise: Laplace noise is further with a chance
/// below 1e-10.
const HALF_WIDTHS: f64 = 8.0;
const SEED: u64 = 20_110_901;

/// A federation of the ten that is up.
struct Up {
    live: Live,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q1_to_q3_over_ten_nodes_equal_plain_sql_of_made_up_tables() {
    let ten = Ten::made_up(SEED).await;
    let up = Up::start(&ten).await;
    for asked in QUESTIONS {
        let exact = ten.exact(&asked).await;
        let answer = up.answer(&asked).await;
        equals(&ten, &asked, &answer, &exact);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q1_to_q3_over_ten_nodes_equal_the_published_answers() {
    let Some(folder) = ten::sample_folder() else {
        // The made-up tables above stand in for the developer data.
        return;
    };
    let ten = Ten::over(&folder).await;
    let up = Up::start(&ten).await;
    for asked in QUESTIONS {
        let exact = ten.exact(&asked).await;
        let answer = up.answer(&asked).await;
        equals(&ten, &asked, &answer, &exact);
        for (keys, figures) in published(&asked) {
            let row = answer.report.rows.iter().find(|row| said(&row.keys) == keys).unwrap();
            let persons = row.figures[0].estimate().unwrap().value;
            for (place, (cell, (figure, digits))) in row.figures.iter().zip(figures).enumerate() {
                let found = cell.estimate().unwrap();
                // Figures are right to the last digit that is printed; money keeps noise and grid.
                let printed = 0.500_001 * 10f64.powi(-digits);
                let money = HALF_WIDTHS * found.plus_minus + grid_error(persons);
                let off = printed + if is_money(&asked, place) { money } else { 0.0 };
                let said = format!("{keys:?}, figure {place}: {found:?}, {figure} is published");
                assert!((found.value - figure).abs() <= off, "{said}");
            }
        }
    }
}

/// Delta of the question whose countries are private.
const DELTA: &str = "0.000001";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q3_with_private_countries_shows_those_that_enough_people_share() {
    private_countries(Ten::made_up(SEED).await).await;
    if let Some(folder) = ten::sample_folder() {
        private_countries(Ten::over(&folder).await).await;
    }
}

/// Each shop shows the countries in which its noised count of customers reaches the threshold, and the
/// answer adds up those alone: plain SQL over each shop's own table says which.
async fn private_countries(ten: Ten) {
    let ten = ten.with_private_countries();
    let up = Up::start(&ten).await;
    let spend = format!("epsilon = \"{EPSILON}\", delta = \"{DELTA}\"");
    let answer = up.answer_for(&Q3_SPEND, &spend).await;
    let private = answer.analysis.document().shape.key_threshold().unwrap();
    let shops = &answer.analysis.document().nodes;
    assert_eq!(shops.len(), 3, "the others hold no purchases");
    let mut wanted: BTreeMap<Vec<KeyValue>, (usize, Vec<f64>)> = BTreeMap::new();
    let mut hidden = 0;
    for shop in shops {
        for (keys, figures) in ten.exact_at(shop.as_str(), &Q3_SPEND).await {
            // Noise of counts is nothing at this loss.
            if figures[0].unwrap() < private.people as f64 {
                hidden += 1;
                continue;
            }
            let (behind, sums) = wanted.entry(keys).or_insert_with(|| (0, vec![0.0; 3]));
            *behind += 1;
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure.unwrap());
        }
    }
    let found: Vec<_> = answer.report.rows.iter().map(|row| &row.keys).collect();
    assert_eq!(found, wanted.keys().collect::<Vec<_>>(), "each country shown once, in order");
    assert!(wanted.len() >= 3 && hidden > 0, "{} shown, {hidden} hidden", wanted.len());
    for (row, (behind, sums)) in answer.report.rows.iter().zip(wanted.values()) {
        assert_eq!((row.behind.answered, row.behind.asked), (*behind, 3), "{row:?}");
        for (place, (cell, wanted)) in row.figures.iter().zip(sums).enumerate() {
            let found = cell.estimate().unwrap();
            let grid = if place > 0 { grid_error(sums[0]) } else { 0.0 };
            let off = HALF_WIDTHS * found.plus_minus + grid;
            assert!((found.value - wanted).abs() <= off, "{row:?}, figure {place}: {wanted}");
        }
    }
    assert_eq!(answer.report.shown_from, Some(private.people));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q3_in_two_rounds_has_every_shop_answer_every_country_that_any_has_shown() {
    all_countries(Ten::made_up(SEED).await).await;
    if let Some(folder) = ten::sample_folder() {
        all_countries(Ten::over(&folder).await).await;
    }
}

/// The first round shows the countries that enough customers of one shop share; in the second every shop
/// answers each of these, so that the sums are plain SQL's over all shops.
async fn all_countries(ten: Ten) {
    let ten = ten.with_private_countries();
    let up = Up::start(&ten).await;
    let spend = format!("epsilon = \"{EPSILON}\", delta = \"{DELTA}\"");
    let (first, answer) = up.answer_in_two(&Q3_SPEND, &spend).await;
    let shops = &answer.analysis.document().nodes;
    let threshold = first.report.shown_from.unwrap();
    let (mut sums, mut shown) = (BTreeMap::new(), BTreeMap::new());
    for shop in shops {
        for (keys, figures) in ten.exact_at(shop.as_str(), &Q3_SPEND).await {
            if figures[0].unwrap() >= threshold as f64 {
                *shown.entry(keys.clone()).or_insert(0) += 1;
            }
            let sums = sums.entry(keys).or_insert_with(|| vec![0.0; 3]);
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure.unwrap());
        }
    }
    let found: Vec<_> =
        first.report.rows.iter().map(|row| (&row.keys, row.behind.answered)).collect();
    assert_eq!(found, shown.iter().map(|(key, behind)| (key, *behind)).collect::<Vec<_>>());
    assert!(shown.values().any(|behind| *behind < shops.len()), "some shop hides one");
    let rows: Vec<_> = answer.report.rows.iter().map(|row| &row.keys).collect();
    assert_eq!(rows, shown.keys().collect::<Vec<_>>(), "those that were found, and no other");
    for row in &answer.report.rows {
        assert_eq!((row.behind.answered, row.behind.asked), (3, 3), "{row:?}");
        for (place, (cell, wanted)) in row.figures.iter().zip(&sums[&row.keys]).enumerate() {
            let found = cell.estimate().unwrap();
            let grid = if place > 0 { grid_error(sums[&row.keys][0]) } else { 0.0 };
            let off = HALF_WIDTHS * found.plus_minus + grid;
            assert!((found.value - wanted).abs() <= off, "{row:?}, figure {place}: {wanted}");
        }
    }
    // The proof holds both rounds: a file with a release of the first one less, or another, proves nothing.
    assert_eq!(answer.used.len(), shops.len());
    let bundle = answer.bundle().unwrap();
    let proves = |bundle: &cloister_wire::Bundle| verify_bundle(&bundle.to_bytes()).is_ok();
    assert!(proves(&bundle));
    let mut short = bundle.clone();
    short.used.pop();
    let mut swapped = bundle.clone();
    swapped.used[0] = bundle.releases[0].clone();
    let mut reversed = bundle.clone();
    reversed.used.reverse();
    for wrong in [short, swapped, reversed] {
        assert!(!proves(&wrong));
    }
}

/// What an account may spend.
fn cap() -> Budget {
    Budget { delta: DELTA.parse().unwrap(), ..epsilon(EPSILON_CAP) }
}

impl Up {
    async fn start(ten: &Ten) -> Self {
        let cap = cap();
        let party = |partner: &str| Party {
            partner: name(partner),
            organisation: partner.split('-').next().unwrap().to_owned(),
            steward_key: key(&format!("steward:{partner}")).public_key(),
            node_key: key(&format!("node:{partner}")).public_key(),
            unit_namespace: name(&format!("{partner}-persons")),
            caps: cap,
        };
        let federation = Federation::with(|agreement| {
            agreement.parties = FILES.map(|(partner, ..)| party(partner)).to_vec();
            agreement.researchers.iter_mut().for_each(|researcher| researcher.caps = cap);
            agreement.dictionary = ten.dictionary.clone();
        });
        let nodes = FILES.map(|(partner, ..)| node(&federation, ten, partner));
        Self { live: Live::start(federation, nodes.into()).await }
    }

    /// Submits a question once, has it approved and granted by every node it is for, runs it; the
    /// verified answer.
    async fn answer(&self, asked: &Asked) -> Answer {
        self.answer_for(asked, &format!("epsilon = \"{EPSILON}\"")).await
    }

    async fn answer_for(&self, asked: &Asked, spend: &str) -> Answer {
        let (analysis, request) = self.requested(asked, &format!("spend = {{ {spend} }}")).await;
        self.answer_to(&analysis, &request).await
    }

    /// The same in two rounds: what the first one found, and the answer.
    async fn answer_in_two(&self, asked: &Asked, spend: &str) -> (Answer, Answer) {
        let terms = format!("spend = {{ {spend} }}\nrounds = 2");
        let (analysis, request) = self.requested(asked, &terms).await;
        let first = self.answer_to(&analysis, &request).await;
        let used: Vec<_> = first.releases.iter().map(|one| one.envelope().clone()).collect();
        let request = self.live.federation.second_request(&analysis, &request, &used, 1_000);
        (first, self.answer_to(&analysis, &request).await)
    }

    /// A question approved and granted by every node it is for, and a request of it.
    async fn requested(&self, asked: &Asked, terms: &str) -> (Envelope, Envelope) {
        let document = self.drafted(asked, terms);
        let analysis = Envelope::sign(&document, &key("person:ada")).unwrap();
        // A request of its own for each question.
        let nonce = QUESTIONS.iter().position(|one| one.name == asked.name).unwrap() as u64;
        let request = self.live.approved(&analysis, None, nonce).await;
        (analysis, request)
    }

    /// The verified answer to a request of it, by every node.
    async fn answer_to(&self, analysis: &Envelope, request: &Envelope) -> Answer {
        let nodes = analysis.open::<Analysis>().unwrap().document().nodes.clone();
        let (digest, last) = self.live.run(request).await;
        assert_eq!(last.nodes.len(), nodes.len());
        assert!(last.nodes.iter().all(|(_, state)| *state == NodeState::Released), "{last:?}");
        let answer = answer_of(&self.live.ada.results(digest, nodes.len()).await).unwrap();
        assert!(answer.missing.is_empty() && !answer.report.partial);
        verify_bundle(&answer.bundle().unwrap().to_bytes()).unwrap();
        // Nobody answers cells that are not its own, not even with noise.
        let shape = &answer.round.shape;
        for release in &answer.releases {
            let record = release.document();
            if let Some(private) = &shape.private_keys {
                let cells = private.keys_of(record).len();
                assert_eq!(record.values.len(), cells * shape.lanes.len());
                continue;
            }
            let own = shape.vector_len_of(&record.node).unwrap();
            assert_eq!(record.values.len(), own, "{}", record.node);
        }
        assert!(self.live.hub.alerts().is_empty());
        answer
    }

    /// The analysis as Ada writes it; which nodes it is for follows from what the agreement says that
    /// each holds.
    fn drafted(&self, asked: &Asked, terms: &str) -> Analysis {
        let Asked { name: question, sql, row_cap, group_cap, .. } = asked;
        let purpose = &self.live.federation.document.purposes[0];
        let text = format!(
            "name = \"{question}\"\nquestion = \"See the README.\"\npurpose = \"{purpose}\"\n\
             row_cap = {row_cap}\ngroup_cap = {group_cap}\nmax_runs = 1\n\
             {terms}\nsql = \"\"\"\n{sql}\n\"\"\"\n"
        );
        let agreement = &self.live.federation.document;
        let read = |path: &Path| panic!("{path:?}: no question has a module");
        let draft = analysis_from_toml(&text, &agreement.dictionary, &read).unwrap();
        document_of(&draft, agreement, self.live.federation.digest, &name("ada")).unwrap().0
    }
}

/// A partner's node: its own tables, and no slot to wait for.
fn node(federation: &Federation, ten: &Ten, partner: &str) -> NodeParts {
    let options = MeasureOptions { workers: thread_workers(), ..MeasureOptions::default() };
    let work = Tables { catalog: ten.catalog(&name(partner)), options };
    NodeParts { work: Arc::new(work), terms: federation.terms(partner, cap(), 0) }
}

/// Every cell of the answer says how many nodes stand behind it and what plain SQL says; a cell that no
/// node serves says nothing.
fn equals(ten: &Ten, asked: &Asked, answer: &Answer, exact: &Exact) {
    let analysis = answer.analysis.document();
    let wanted = ten.by_cell(&analysis.shape, exact);
    assert_eq!(answer.report.rows.len(), wanted.len());
    let (mut told, mut served) = (0, 0);
    for (row, wanted) in answer.report.rows.iter().zip(&wanted) {
        let (question, keys) = (asked.name, said(&row.keys));
        let behind = ten.serving(asked, &row.keys);
        assert_eq!(
            (row.behind.answered, row.behind.asked),
            (behind, behind),
            "{question} {keys:?}"
        );
        assert_eq!(row.figures.len(), wanted.len());
        if behind == 0 {
            assert!(row.figures.iter().all(|cell| cell.estimate().is_none()), "{row:?}");
            assert!(!exact.contains_key(&row.keys), "{question} {keys:?} is left out");
            continue;
        }
        served += 1;
        let persons = wanted[0].unwrap();
        for (place, (cell, wanted)) in row.figures.iter().zip(wanted).enumerate() {
            let said =
                format!("{question} {keys:?}, figure {place}: {cell:?}, plain SQL says {wanted:?}");
            let Some(wanted) = wanted else {
                assert!(cell.is_too_noisy(), "{said}");
                continue;
            };
            let found = cell.estimate().expect(&said);
            let grid =
                if is_money(asked, place) { grid_error(persons) } else { 1e-12 * wanted.abs() };
            let off = HALF_WIDTHS * found.plus_minus + grid;
            assert!(is_money(asked, place) || off < 1e-6, "{said} leaves room for noise");
            assert!((found.value - wanted).abs() <= off, "{said}");
            told += usize::from(*wanted != 0.0);
        }
    }
    // Keys outside the public domain are in no cell; every other row of plain SQL is.
    let cells: Vec<_> = answer.report.rows.iter().map(|row| &row.keys).collect();
    let outside: Vec<_> = exact.keys().filter(|keys| !cells.contains(keys)).collect();
    assert!(outside.iter().all(|keys| keys[0].to_string() == "Elsewhere"), "{outside:?}");
    assert!(told >= 3 * served.min(exact.len()) / 2, "{} says next to nothing: {told}", asked.name);
}

/// Whether a figure sums money, whose bounds are so wide that noise is left even here.
fn is_money(asked: &Asked, place: usize) -> bool {
    asked.name == Q3_SPEND.name && place > 0
}

/// What rounding each person's money to the grid can do to a sum over so many.
fn grid_error(persons: f64) -> f64 {
    persons.max(1.0) * 0.5 / 2f64.powi(MONEY_GRID_BITS.into())
}

fn said(keys: &[KeyValue]) -> Vec<String> {
    keys.iter().map(KeyValue::to_string).collect()
}

/// A printed row: its keys, and each figure with its digits after the point.
type Published = (Vec<String>, Vec<(f64, i32)>);

/// The README's own table, for what is in it.
fn published(asked: &Asked) -> Vec<Published> {
    let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    match asked.name {
        "q1" => [
            ("Northampton", 1_750, 10_495, 0.1328),
            ("Amherst", 1_475, 11_209, 0.0623),
            ("Springfield", 616, 5_404, 0.0115),
            ("Easthampton", 599, 1_953, 0.3963),
            ("Holyoke", 447, 4_899, 0.0267),
            ("South Hadley", 61, 160, 0.3063),
        ]
        .map(|(town, riders, trips, share)| {
            (owned(&[town]), vec![(f64::from(riders), 0), (f64::from(trips), 0), (share, 4)])
        })
        .to_vec(),
        "q2" => [
            ("mobility", "2019-07-01", 1_829, 566, 0.3095),
            ("mobility", "2019-08-01", 1_979, 561, 0.2835),
            ("mobility", "2019-09-01", 1_570, 565, 0.3599),
            ("retail", "2011-07-01", 949, 388, 0.4089),
            ("retail", "2011-08-01", 935, 425, 0.4545),
            ("retail", "2011-09-01", 1_266, 489, 0.3863),
            ("bank", "2005-06-01", 23_592, 21_003, 0.8903),
            ("bank", "2005-07-01", 24_032, 21_667, 0.9016),
            ("bank", "2005-08-01", 24_604, 22_001, 0.8942),
        ]
        .map(|(partner, month, active, next, share)| {
            (
                owned(&[partner, month]),
                vec![(f64::from(active), 0), (f64::from(next), 0), (share, 4)],
            )
        })
        .to_vec(),
        "q3-spend" => [
            ("United Kingdom", 2_597, 2_515_417.38, 1_744_734.33),
            ("Germany", 69, 74_378.93, 61_876.76),
            ("France", 62, 78_506.80, 56_446.48),
            ("Spain", 21, 18_776.26, 14_944.07),
        ]
        .map(|(country, customers, spend, clipped)| {
            (owned(&[country]), vec![(f64::from(customers), 0), (spend, 2), (clipped, 2)])
        })
        .to_vec(),
        "q3-stress" => [
            ("21-29", 9_618, 0.2407, 4_093.82),
            ("30-39", 11_238, 0.2149, 5_296.85),
            ("40-49", 6_464, 0.2195, 5_189.57),
            ("50-59", 2_341, 0.2443, 4_576.50),
            ("60+", 339, 0.2861, 4_595.90),
        ]
        .map(|(band, customers, behind, payment)| {
            (owned(&[band]), vec![(f64::from(customers), 0), (behind, 4), (payment, 2)])
        })
        .to_vec(),
        other => panic!("nothing is published of {other}"),
    }
}
