//! The steward's two local reports: a check of the mapped data, and a draft from raw files.

use crate::sources::destroy_column;
use crate::world::*;
use cloister_node::catalog::{Catalog, Source, SourceConfig};
use cloister_node::check_data::check_data;
use cloister_node::describe::{DescribeError, Draft, describe};
use cloister_terms::Dictionary;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_counts_what_the_pipeline_drops_clamps_and_caps() {
    let mut rows: Vec<Row> = (0..7).map(|_| Row { n: Some(2_000), ..row(1) }).collect();
    rows.push(Row { rider: None, ..row(0) });
    rows.push(Row { town: Some("Nowhere"), x: Some(-0.5), ..row(2) });
    rows.push(Row { town: None, x: Some(f64::NAN), zone: Some(-1), ..row(2) });
    let world = World::new(&rows, 2, 5);
    let report = check_data(&world.catalog).await.unwrap();
    let trips = &report.datasets[0];
    assert_eq!((trips.rows, trips.rows_without_unit, trips.persons, trips.files), (10, 1, 2, 2));
    assert_eq!((trips.persons_over_cap, trips.rows_over_cap), (1, 2));
    let of = |name: &str| {
        let column = trips.columns.iter().find(|column| column.column.as_str() == name).unwrap();
        (column.nulls, column.outside_domain, column.outside_bounds)
    };
    assert_eq!(of("town"), (1, 1, 0));
    assert_eq!(of("zone"), (0, 1, 0));
    assert_eq!(of("n"), (3, 0, 7));
    assert_eq!(of("x"), (9, 0, 1));
    assert_eq!(report.datasets[1].sources, 0);
    assert!(report.datasets[0].empty_columns().is_empty());
    let text = report.to_string();
    assert!(
        text.contains("trips: 10 rows of 2 persons in 2 files")
            && text.contains("absent: no source"),
        "{text}"
    );
    assert!(serde_json::to_string(&report).unwrap().contains("\"rows_without_unit\":1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_columns_that_hold_nothing_though_they_are_mapped() {
    let rows: Vec<Row> = (0..5).map(|i| Row { n: Some(1), ..row(i) }).collect();
    let world = World::new(&rows, 1, 5);
    let of = async |column: &str, sql: &str| {
        let mut source = source(world.folder.path().to_owned());
        source.columns.insert("x".parse().unwrap(), "n".to_owned());
        source.columns.insert(column.parse().unwrap(), sql.to_owned());
        let catalog = Catalog::open(&[source], &world.dictionary).unwrap();
        let report = check_data(&catalog).await.unwrap();
        let empty = report.datasets[0].empty_columns();
        empty.into_iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert!(of("x", "n").await.is_empty());
    // A text that never is a number: every value is null.
    assert_eq!(of("x", "CAST(town AS DOUBLE)").await, ["x"]);
    // The partner says that it holds no such thing.
    assert!(of("x", "NULL").await.is_empty());
    assert!(of("x", " null ").await.is_empty());
    // But for the persons, without whom every row is dropped.
    assert_eq!(of("rider", "NULL").await, ["rider"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_the_file_that_cannot_be_read() {
    let rows: Vec<Row> = (0..50).map(|i| Row { n: Some(i * i % 17), ..row(i) }).collect();
    let world = World::new(&rows, 3, 5);
    destroy_column(&world.folder.path().join("1.parquet"), 3);
    let report = check_data(&world.catalog).await.unwrap();
    let unreadable = &report.datasets[0].unreadable;
    assert_eq!(unreadable.len(), 1);
    assert!(unreadable[0].path.ends_with("1.parquet"));
}

/// The dictionary of a draft, which has the form that agreements are drafted in: domains are plain
/// lists there.
fn dictionary_of(draft: &Draft) -> Dictionary {
    let mut table: toml::Table = toml::from_str(&draft.dictionary).unwrap();
    let mut dictionary = table.remove("dictionary").unwrap();
    for column in dictionary["datasets"][0]["columns"].as_array_mut().unwrap() {
        for value in column.get_mut("domain").into_iter().flat_map(|d| d.as_array_mut().unwrap()) {
            *value = toml::Table::from_iter([("text".to_owned(), value.clone())]).into();
        }
    }
    let dictionary: Dictionary = dictionary.try_into().unwrap();
    dictionary.check().unwrap();
    dictionary
}

#[derive(serde::Deserialize)]
struct Sources {
    source: Vec<SourceConfig>,
}

#[test]
fn a_draft_is_valid_once_confirmed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("rows.parquet");
    let rows: Vec<Row> = (0..400)
        .map(|i| Row { n: Some(i % 130), x: Some(0.25), zone: Some(i), ..row(i / 4) })
        .collect();
    write_parquet(&path, &batch(&rows), 100);
    let draft = describe(std::slice::from_ref(&path)).unwrap();
    assert_eq!(draft.person_column.as_deref(), Some("rider"));
    assert_eq!(draft.rows_per_person.last(), Some(&(4, 7, 100)));
    let dictionary = dictionary_of(&draft);
    let dataset = &dictionary.datasets[0];
    assert_eq!((dataset.unit_column.as_str(), dataset.rows_per_unit_max), ("rider", 8));
    // Rounded beyond the quantiles: the extremes of the data are not repeated.
    assert_eq!(dataset.column("n").unwrap().bounds.unwrap().to_string(), "0 to 200");
    assert_eq!(dataset.column("town").unwrap().domain.as_ref().unwrap().len(), 1);
    assert!(dataset.column("rider").unwrap().bounds.is_none());
    let sources: Sources = toml::from_str(&draft.source).unwrap();
    Catalog::open(&sources.source, &dictionary).unwrap();
    let text = draft.to_string();
    assert!(text.matches("please confirm").count() > 10 && text.contains("4-7"), "{text}");
}

#[test]
fn a_draft_reads_csv_and_odd_names() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("rows.csv");
    fs::write(&path, "Customer No,Ort\n1,\"a \"\"b\"\"\"\n1,c\n2,c\n2,\n").unwrap();
    let draft = describe(&[path]).unwrap();
    assert_eq!(draft.person_column.as_deref(), Some("Customer No"));
    let dictionary = dictionary_of(&draft);
    assert_eq!(dictionary.datasets[0].unit_column.as_str(), "customer_no");
    let sources: Sources = toml::from_str(&draft.source).unwrap();
    assert_eq!(sources.source[0].columns[&dictionary.datasets[0].unit_column], "\"Customer No\"");
    Catalog::open(&sources.source, &dictionary).unwrap();
}

#[test]
fn a28_a_draft_names_no_value_and_no_extreme_of_a_few_persons() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("visits.csv");
    let drafted = |people: usize, few: &str| {
        let visit = |i: usize| {
            let (person, ward) = (i / 3, ["east", "west"][i / 3 % 2]);
            format!("p{person},{ward},{}\n", 10 + i % 3)
        };
        let visits: String = (0..people * 3).map(visit).collect();
        fs::write(&path, format!("person_id,ward,cost\n{visits}{few}")).unwrap();
        let draft = describe(std::slice::from_ref(&path)).unwrap();
        assert_eq!(draft.person_column.as_deref(), Some("person_id"));
        dictionary_of(&draft);
        draft.dictionary
    };
    let plain = drafted(24, "");
    assert!(plain.contains(r#"domain = ["east", "west"]"#), "{plain}");
    assert!(plain.contains(r#"min = "0", max = "20""#) && plain.contains("_max = 4 "), "{plain}");
    assert!(plain.contains("fewer than 10 people") && plain.contains("from what you know"));
    // One person with most of the rows, in a ward of her own and at a price of her own; nine of them.
    let one = "p99,victim,7000\n".repeat(100);
    assert_eq!(drafted(24, &one), plain);
    let nine: String = (100..109).map(|i| format!("p{i},victim,-7000\n").repeat(20)).collect();
    assert_eq!(drafted(24, &nine), plain);
    // Ten have it together.
    let ten = drafted(24, &format!("{nine}p109,victim,-7000\n"));
    assert!(ten.contains("victim") && ten.contains(r#"min = "-10000""#), "{ten}");
    // Among nine nothing is of enough.
    let few = drafted(9, "");
    assert!(!few.contains("east") && !few.contains("min ="), "{few}");
    assert!(few.contains("# domain: no value") && few.contains("# bounds: none"), "{few}");
}

#[test]
fn a_draft_of_several_files_reads_each_of_them_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let text = "user_id,n\n1,2\n1,3\n2,4\n2,5\n";
    fs::create_dir(at("more")).unwrap();
    for name in ["a.csv", "b.csv", "more/c.csv", "more/d.csv"] {
        fs::write(at(name), text).unwrap();
    }
    let ints = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let columns = [("user_id", ints([1, 2])), ("n", ints([3, 4]))];
    write_parquet(&at("e.parquet"), &RecordBatch::try_from_iter(columns).unwrap(), 10);
    let drafted = |names: &[&str]| {
        let files: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
        let draft = describe(&files).unwrap();
        let sources = toml::from_str::<Sources>(&draft.source).unwrap().source;
        let catalog = Catalog::open(&sources, &dictionary_of(&draft)).unwrap();
        let events = "events".parse().unwrap();
        let mut read: Vec<&PathBuf> = catalog.sources(&events).flat_map(Source::paths).collect();
        read.sort();
        let given: BTreeSet<_> = files.iter().map(|file| fs::canonicalize(file).unwrap()).collect();
        assert_eq!(read, given.iter().collect::<Vec<_>>(), "{names:?}");
        sources.into_iter().map(|source| source.path).collect::<Vec<_>>()
    };
    // Together in their folder.
    assert_eq!(drafted(&["b.csv", "a.csv"]), [at("*.csv")]);
    assert_eq!(drafted(&["more/c.csv", "more/d.csv", "more/c.csv"]), [at("more/*.csv")]);
    // Some of a folder, or of several.
    assert_eq!(drafted(&["more/d.csv"]), [at("more/d.csv")]);
    assert_eq!(drafted(&["a.csv", "more/c.csv"]), [at("a.csv"), at("more/c.csv")]);
    fs::write(at("f.csv"), text).unwrap();
    assert_eq!(drafted(&["a.csv", "b.csv"]), [at("a.csv"), at("b.csv")]);
    // Of two kinds.
    assert_eq!(drafted(&["f.csv", "e.parquet"]), [at("e.parquet"), at("f.csv")]);
}

#[test]
fn hostile_files_are_not_described() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert!(matches!(describe(&[]), Err(DescribeError::NoFiles)));
    assert!(matches!(
        describe(&[at("a.parquet", b"PAR1junk")]),
        Err(DescribeError::Parquet { .. })
    ));
    assert!(matches!(describe(&[at("a.txt", b"")]), Err(DescribeError::Format { .. })));
    assert!(matches!(describe(&[root.path().join("none.csv")]), Err(DescribeError::Open { .. })));
    assert!(matches!(
        describe(&[at("a.csv", b"a,b\n1,2\n1,2,3\n")]),
        Err(DescribeError::Rows { .. })
    ));
    assert!(matches!(describe(&[at("e.csv", b"")]), Err(DescribeError::NoColumns { .. })));
    let two = [at("b.csv", b"a\n1\n"), at("c.csv", b"b\n1\n")];
    assert!(matches!(describe(&two), Err(DescribeError::Columns { .. })));
}

#[test]
fn what_opening_would_refuse_is_not_described() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("visits.csv");
    let body = (0..20).map(|n| format!("{},{n}\n", n % 4)).collect::<String>();
    let source = |draft: &Draft| toml::from_str::<Sources>(&draft.source).unwrap().source;
    let refused = |text: &str| {
        fs::write(&path, text).unwrap();
        let error = describe(std::slice::from_ref(&path)).unwrap_err();
        assert!(matches!(error, DescribeError::Record(_)), "{error:?}");
        // The same words as when the node opens it.
        let good = "user_id,n\n1,2\n1,3\n2,4\n2,5\n";
        fs::write(&path, good).unwrap();
        let draft = describe(std::slice::from_ref(&path)).unwrap();
        fs::write(&path, text).unwrap();
        let opened = Catalog::open(&source(&draft), &dictionary_of(&draft)).unwrap_err();
        assert_eq!(error.to_string(), opened.to_string());
        error.to_string()
    };
    let open = refused(&format!("user_id,n\n{body}1,\"2\n{body}"));
    assert!(open.contains("line 22") && open.contains("newlines = true"), "{open}");
    let quote = refused(&format!("user_id,n\n{body}1,\"2\"3\n"));
    assert!(quote.contains("line 22") && quote.contains("quote"), "{quote}");
    // Line ends inside of quotes are declared in the draft, which then opens.
    fs::write(&path, format!("user_id,n\n{body}1,\"2\n3\"\n{body}")).unwrap();
    let draft = describe(std::slice::from_ref(&path)).unwrap();
    assert!(draft.source.contains("newlines = true") && draft.source.contains("please confirm"));
    Catalog::open(&source(&draft), &dictionary_of(&draft)).unwrap();
}
