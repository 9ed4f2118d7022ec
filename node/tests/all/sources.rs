//! The same rows from every layout give the same lanes; every mistake in a source is one typed error
//! that names the file, the column and what to do.

use crate::world::*;
use cloister_node::catalog::{Catalog, CatalogError, SourceConfig};
use cloister_node::config::{Config, SAMPLE};
use cloister_node::fault::Fault;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const SQL: &str = "SELECT town, COUNT(*) AS rows, COUNT(DISTINCT rider) AS riders, COUNT(n) AS known, SUM(n) AS n_total, \
     SUM(CLAMP(x, 0, 100000)) AS x_total FROM trips WHERE zone < 900 GROUP BY town";

fn csv_text(rows: &[Row], delimiter: char) -> String {
    let mut text = ["rider", "town", "zone", "n", "x", "at"].join(&delimiter.to_string()) + "\n";
    let shown = |value: Option<String>| value.unwrap_or_default();
    for row in rows {
        let fields = [
            shown(row.rider.map(|v| v.to_string())),
            shown(row.town.map(|v| format!("\"{v}\""))),
            shown(row.zone.map(|v| v.to_string())),
            shown(row.n.map(|v| v.to_string())),
            shown(row.x.map(|v| v.to_string())),
            // Microseconds after 1970-01-01.
            format!("1970-01-01 00:00:00.{:06}", row.at),
        ];
        writeln!(text, "{}", fields.join(&delimiter.to_string())).unwrap();
    }
    text
}

fn csv_source(path: &Path, options: &str) -> SourceConfig {
    let mut source = source(path.to_owned());
    let text =
        format!("dataset = \"trips\"\nformat = \"csv\"\npath = \"x\"\n{options}\n[columns]\n");
    let csv: SourceConfig = toml::from_str(&text).unwrap();
    (source.format, source.csv) = (csv.format, csv.csv);
    source
}

async fn lanes_of(sources: &[SourceConfig]) -> Vec<i128> {
    let dictionary = dictionary(100);
    let catalog = Catalog::open(sources, &dictionary).unwrap();
    lanes(&plan_sql(&dictionary, SQL, 20, 3), &catalog, &options(2, 64), 4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_layout_of_the_same_rows_gives_the_same_lanes() {
    let rows = Draws(8).rows(0..40, 30);
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    write_parquet(&at("one.parquet"), &batch(&rows), 100);
    for (part, here) in rows.chunks(97).enumerate() {
        write_parquet(&at(&format!("folder/sub/{part}.parquet")), &batch(here), 10);
        fs::create_dir_all(at("csv")).unwrap();
        fs::write(at(&format!("csv/{part}.csv")), csv_text(here, ',')).unwrap();
    }
    fs::write(at("semicolons.txt"), csv_text(&rows, ';')).unwrap();
    for town in [Some("Amherst"), Some("Holyoke"), Some("Springfield"), Some("Nowhere"), None] {
        let here: Vec<Row> = rows.iter().filter(|row| row.town == town).copied().collect();
        let bare = batch(&here).project(&[0, 2, 3, 4, 5]).unwrap();
        write_parquet(&at(&format!("hive/place={}/rows.parquet", town.unwrap_or("-"))), &bare, 50);
    }
    let expected = lanes_of(&[source(at("one.parquet"))]).await;
    assert!(expected.iter().filter(|lane| **lane != 0).count() > 8);
    let mut hive = source(at("hive"));
    hive.hive_partitions.insert("place".into(), cloister_terms::ColumnType::Text);
    hive.columns.insert("town".parse().unwrap(), "NULLIF(place, '-')".into());
    let mut typed = csv_source(&at("csv"), "csv = { types = { n = \"int64\", x = \"float64\" } }");
    typed.columns.insert("n".parse().unwrap(), "n + 0".into());
    let layouts = [
        vec![source(at("folder"))],
        vec![source(at("fold*/s?b/*.parquet"))],
        vec![source(at("**/sub/*.parquet"))],
        vec![hive],
        vec![csv_source(&at("csv"), "")],
        vec![typed],
        vec![csv_source(&at("semicolons.txt"), "csv = { delimiter = \";\" }")],
        // Two sources of different kinds that share the rows.
        vec![
            only(source(at("one.parquet")), "rider < 20"),
            only(csv_source(&at("csv"), ""), "CAST(rider AS BIGINT) >= 20"),
        ],
    ];
    for sources in layouts {
        assert_eq!(lanes_of(&sources).await, expected, "{:?}", sources[0].path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_of_the_sample_reads_its_files_once_it_is_uncommented() {
    let root = tempfile::tempdir().unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("rider", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("origin_city", Arc::new(StringArray::from(vec!["Ashford", "Bramley", "Ashford"]))),
        ("distance_m", Arc::new(Float64Array::from(vec![2_500.0, 1_000.0, 9_000.0]))),
        ("cancelled", Arc::new(BooleanArray::from(vec![false, false, true]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    write_parquet(&root.path().join("data/trips/month=2026-01/rows.parquet"), &rows, 10);
    let header = "rider;origin_city;distance_m;cancelled;note\n";
    // What the keys of the sample are for, each once.
    let first = "1;'Ashford';2500;false;'a \\'b\\'; c'\n2;Bramley;1000;false;'two\nlines'\n";
    fs::write(root.path().join("data/trips-1.csv"), format!("{header}{first}")).unwrap();
    fs::write(root.path().join("data/trips-2.csv"), format!("{header}3;Ashford;9e3;true;\n"))
        .unwrap();

    let blocks: Vec<&str> =
        SAMPLE.split("\n\n").filter(|block| block.starts_with("# [[source]]")).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let plain = |line: &str| line.trim_start_matches("# ").trim_start_matches('#').to_owned();
        let block: Vec<String> = block.lines().map(plain).collect();
        let text = format!("{SAMPLE}\n{}\n", block.join("\n"));
        let config = Config::parse(&text, &root.path().join("node.toml")).unwrap();
        let dictionary = cloister_node::fixtures::dictionary();
        let catalog = Catalog::open(&config.sources, &dictionary).unwrap();
        let plan = plan_sql(&dictionary, cloister_node::fixtures::SQL, 10, 2);
        // Journeys and sixteenths of a kilometre in three cities; what was cancelled does not count.
        let found = lanes(&plan, &catalog, &options(2, 64), 4).await;
        assert_eq!(found, [1, 40, 1, 16, 0, 0], "{text}");
    }
}

fn only(mut source: SourceConfig, condition: &str) -> SourceConfig {
    source.only_where = Some(condition.to_owned());
    source
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_only_approved_columns_are_read() {
    // A column whose pages are destroyed does no harm as long as no approved column needs it.
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("rows.parquet");
    let rows: Vec<Row> =
        (0..500).map(|i| Row { x: Some(i as f64), n: Some(1), ..row(i) }).collect();
    write_parquet(&path, &batch(&rows), 1_000);
    let catalog = Catalog::open(&[source(path.clone())], &dictionary(10)).unwrap();
    destroy_column(&path, 4);
    let read = |sql: &str| plan_sql(&dictionary(10), sql, 1, 1);
    assert_eq!(
        lanes(&read("SELECT SUM(n) AS total FROM trips"), &catalog, &options(1, 100), 1).await,
        [500]
    );
    let fault =
        try_lanes(&read("SELECT SUM(x) AS total FROM trips"), &catalog, &options(1, 100), 1).await;
    assert!(matches!(fault, Err(Fault::Scan(_))), "{fault:?}");
}

/// Overwrites the pages of a column; the footer stays whole.
pub fn destroy_column(path: &Path, column: usize) {
    use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let (start, length) = reader.metadata().row_group(0).column(column).byte_range();
    let mut bytes = fs::read(path).unwrap();
    bytes[start as usize..(start + length) as usize].fill(0xff);
    fs::write(path, bytes).unwrap();
}

/// One person's rows have more text than is copied at a time, and none of it is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_long_texts_in_a_parquet_file_are_null_and_change_nobody_elses_figures() {
    let long: &'static str = "y".repeat(1 << 20).leak();
    let others: Vec<Row> = (0..40).map(|rider| Row { n: Some(1), ..row(rider) }).collect();
    let hers = vec![Row { town: Some(long), ..row(77) }; 70];
    let plan = plan_sql(
        &dictionary(10),
        "SELECT town, COUNT(*) AS rows, SUM(n) AS total FROM trips GROUP BY town",
        10,
        3,
    );
    let mut found = Vec::new();
    for rows in [others.clone(), [others, hers].concat()] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("rows.parquet");
        write_parquet(&path, &batch(&rows), 1_000);
        let catalog = Catalog::open(&[source(path)], &dictionary(10)).unwrap();
        found.push(lanes(&plan, &catalog, &options(1, 8_192), 1).await);
    }
    assert_eq!(found[0][..2], [40, 40]);
    assert_eq!(found[0], found[1]);
}

/// A mistake, made to a source whose files lie in a folder.
type Change = Box<dyn FnOnce(&Path, &mut SourceConfig)>;

fn refused(change: impl FnOnce(&Path, &mut SourceConfig)) -> (CatalogError, String) {
    let root = tempfile::tempdir().unwrap();
    write_parquet(&root.path().join("a.parquet"), &batch(&[row(1), row(2)]), 10);
    let mut source = source(root.path().to_owned());
    change(root.path(), &mut source);
    let error = Catalog::open(&[source], &dictionary(10)).unwrap_err();
    let text = error.to_string();
    (error, text)
}

fn set(source: &mut SourceConfig, column: &str, sql: &str) {
    source.columns.insert(column.parse().unwrap(), sql.to_owned());
}

#[test]
fn hostile_files_are_typed_errors_at_open() {
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", &[0xff; 4_096], b"PAR1\xff\xff\xff\x7fPAR1"] {
        let (error, text) = refused(|root, _| fs::write(root.join("b.parquet"), bytes).unwrap());
        assert!(
            matches!(error, CatalogError::Unreadable { .. }) && text.contains("b.parquet"),
            "{text}"
        );
    }
    // Every truncation of a real file.
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.parquet");
    write_parquet(&path, &batch(&[row(1)]), 10);
    let whole = fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(61) {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(matches!(
            Catalog::open(&[source(path.clone())], &dictionary(10)),
            Err(CatalogError::Unreadable { .. })
        ));
    }
    let (error, text) = refused(|root, source| source.path = root.join("gone.parquet"));
    assert!(matches!(error, CatalogError::Path { .. }) && text.contains("gone.parquet"), "{text}");
    let (error, _) = refused(|root, source| source.path = root.join("*.csv"));
    assert!(matches!(error, CatalogError::NoFiles { .. }));
}

#[test]
fn files_that_disagree_are_named_once_a_column_is_used() {
    let texts = |rider: ArrayRef, name: &str| {
        let columns: Vec<(&str, ArrayRef)> =
            vec![("rider", rider), (name, Arc::new(StringArray::from(vec!["1"])))];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let unmapped = |source: &mut SourceConfig, names: &[&str]| {
        names.iter().for_each(|name| set(source, name, "NULL"))
    };
    let (error, text) = refused(|root, source| {
        write_parquet(
            &root.join("b.parquet"),
            &texts(Arc::new(Int64Array::from(vec![1])), "n"),
            10,
        );
        unmapped(source, &["town", "zone", "x", "at"]);
    });
    assert!(
        matches!(error, CatalogError::Differs { .. })
            && text.contains("b.parquet")
            && text.contains("`n`"),
        "{text}"
    );
    let (error, text) = refused(|root, source| {
        write_parquet(
            &root.join("b.parquet"),
            &texts(Arc::new(Int32Array::from(vec![1])), "other"),
            10,
        );
        unmapped(source, &["town", "zone", "x", "at", "n"]);
    });
    assert!(
        matches!(error, CatalogError::Differs { .. }) && text.contains("`rider` is Int32"),
        "{text}"
    );
    let (error, text) = refused(|root, source| {
        *source = csv_source(root, "");
        fs::write(root.join("a.csv"), "rider,town,zone,n,x,at\n").unwrap();
        fs::write(root.join("b.csv"), "rider,town,zone,x,n,at\n").unwrap();
    });
    assert!(matches!(error, CatalogError::Differs { .. }) && text.contains("number 4"), "{text}");
}

#[test]
fn mistakes_in_a_source_say_what_to_do() {
    let cases: [(&str, Change, &str); 9] = [
        (
            "unknown column",
            Box::new(|_, source| set(source, "n", "kilometres")),
            "has no column `kilometres`",
        ),
        ("wrong type", Box::new(|_, source| set(source, "n", "town")), "TRY_CAST(... AS BIGINT)"),
        (
            "unit not mapped",
            Box::new(|_, source| drop(source.columns.remove(&"rider".parse().unwrap()))),
            "`rider` (int64) is not mapped",
        ),
        (
            "no such dictionary column",
            Box::new(|_, source| set(source, "colour", "town")),
            "no column `colour`",
        ),
        (
            "no such dataset",
            Box::new(|_, source| source.dataset = "flights".parse().unwrap()),
            "it has `trips`, `absent`",
        ),
        (
            "aggregate",
            Box::new(|_, source| set(source, "n", "sum(n)")),
            "aggregate `sum` is not allowed",
        ),
        (
            "condition",
            Box::new(|_, source| source.only_where = Some("n + 1".into())),
            "the dictionary says bool",
        ),
        (
            "csv options for parquet",
            Box::new(|_, source| source.csv = Some(Default::default())),
            "remove one of them",
        ),
        (
            "partitions",
            Box::new(|_, source| {
                source.hive_partitions =
                    [("month".to_owned(), cloister_terms::ColumnType::Text)].into()
            }),
            "`month=...`",
        ),
    ];
    for (what, change, expected) in cases {
        let (_, text) = refused(change);
        assert!(text.contains(expected), "{what}: {text}");
        assert!(
            text.chars().next().is_some_and(|first| first == '`' || first.is_lowercase()),
            "{text}"
        );
    }
}

#[test]
fn hostile_csv_is_refused_or_read_as_text() {
    let (error, _) = refused(|root, source| {
        *source = csv_source(root, "");
        fs::write(root.join("a.csv"), "").unwrap();
    });
    assert!(matches!(error, CatalogError::Unreadable { .. }), "{error}");
    let (error, text) = refused(|root, source| {
        *source = csv_source(root, "");
        fs::write(root.join("a.csv"), "rider,rider\n1,2\n").unwrap();
    });
    assert!(matches!(error, CatalogError::Unreadable { .. }) && text.contains("twice"), "{text}");
    let (error, _) = refused(|root, source| {
        *source = csv_source(root, "csv = { delimiter = \"→\" }");
        fs::write(root.join("a.csv"), "rider\n").unwrap();
    });
    assert!(matches!(error, CatalogError::Option { .. }), "{error}");
    let (error, text) = refused(|root, source| {
        *source = csv_source(root, "csv = { types = { speed = \"float64\" } }");
        fs::write(root.join("a.csv"), "rider,town,zone,n,x,at\n").unwrap();
    });
    assert!(matches!(error, CatalogError::Option { .. }) && text.contains("speed"), "{text}");
}
