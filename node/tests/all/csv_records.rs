//! CSV files that are not what they seem: whatever one record holds, the records of others are read as they
//! stand, or nothing is read at all.

use crate::world::*;
use cloister_node::catalog::{Catalog, CatalogError, RecordProblem, SourceConfig};
use cloister_node::fault::Fault;
use std::fs;
use std::path::Path;

const SQL: &str = "SELECT town, COUNT(*) AS rows, SUM(n) AS total FROM trips GROUP BY town";
const HEADER: &str = "rider,town,zone,n,x,at\n";
/// Ten good records of ten riders.
const RIDERS: i64 = 10;

fn good() -> String {
    (0..RIDERS).map(|rider| format!("{rider},\"Amherst\",1,{rider},0.5,\n")).collect()
}

fn source_of(path: &Path, options: &str) -> SourceConfig {
    let mut source = source(path.to_owned());
    let text =
        format!("dataset = \"trips\"\nformat = \"csv\"\npath = \"x\"\n{options}\n[columns]\n");
    let csv: SourceConfig = toml::from_str(&text).unwrap();
    (source.format, source.csv) = (csv.format, csv.csv);
    source
}

/// The lanes of a file with these records; `Err` where it is refused at open.
async fn lanes_of(records: &[u8], options: &str) -> Result<Vec<i128>, CatalogError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trips.csv");
    fs::write(&path, [HEADER.as_bytes(), records].concat()).unwrap();
    let dictionary = dictionary(100);
    let catalog = Catalog::open(&[source_of(&path, options)], &dictionary)?;
    let plan = plan_sql(&dictionary, SQL, 20, 3);
    let once = lanes(&plan, &catalog, &crate::world::options(1, 64), 4).await;
    assert_eq!(once, lanes(&plan, &catalog, &crate::world::options(3, 2), 4).await);
    Ok(once)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_a_malformed_record_is_refused_before_any_charge_with_its_line() {
    let clean = lanes_of(good().as_bytes(), "").await.unwrap();
    assert_eq!(clean[..2], [RIDERS.into(), (0..RIDERS).sum::<i64>().into()]);
    for bad in [
        "77,\"Amherst,1,1,0.5,\n",
        "77,Amherst,1,1,0.5,\"\n",
        "77,\"Amherst\"x,1,1,0.5,\n",
        "77,Amherst,1,1,0.5\n",
        "77\n",
        "77,Amherst,1,1,0.5,,\n",
        "77,\"Am\r\nherst\",1,1,0.5,\n",
    ] {
        let halves = good();
        let (before, after) = halves.split_at(halves.len() / 2);
        let (before, after) = match before.rfind('\n') {
            Some(end) => (&halves[..=end], &halves[end + 1..]),
            None => (before, after),
        };
        let line = 2 + before.lines().count() as u64;
        let file = format!("{before}{bad}{after}");
        let refused = lanes_of(file.as_bytes(), "").await;
        let Err(CatalogError::Record { line: found, .. }) = &refused else {
            panic!("`{bad}`: {refused:?}")
        };
        assert_eq!(*found, line, "`{bad}`");
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("trips.csv") && !text.contains("herst"), "{text}");
    }
    let invalid = [good().as_bytes(), b"77,\xff,1,1,0.5,\n"].concat();
    let refused = lanes_of(&invalid, "").await;
    let problem = RecordProblem::Encoding;
    let is_refused =
        matches!(&refused, Err(CatalogError::Record { line: 12, problem: p, .. }) if *p == problem);
    assert!(is_refused, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a26_odd_but_well_formed_records_change_nobody_elses_contribution() {
    let clean = lanes_of(good().as_bytes(), "").await.unwrap();
    for odd in [
        // Outside the domain, or without a rider: dropped.
        "77,\u{0}Amherst,1,1,0.5,\n",
        "77,\"Am\"\"herst\",1,1,0.5,\n",
        "77,Am\"herst,1,1,0.5,\n",
        "77,\"Amherst,1,1,0.5,\",1,1,0.5,\n",
        ",Amherst,1,1,0.5,\n",
        ",,,,,\n",
        "\n\r\n\n",
        "nobody,Amherst,1,1,0.5,\n",
    ] {
        let first = lanes_of(format!("{odd}{}", good()).as_bytes(), "").await.unwrap();
        let last = lanes_of(format!("{}{odd}", good()).as_bytes(), "").await.unwrap();
        assert_eq!((&first, &last), (&clean, &clean), "`{odd}`");
    }
    // Line ends in quotes where they were declared, other line ends, and none at the end.
    let several = "77,\"Am\r\nherst\",1,1,0.5,\n";
    let declared = "csv = { newlines = true }";
    let found = lanes_of(format!("{several}{}", good()).as_bytes(), declared).await.unwrap();
    assert_eq!(found, clean);
    for text in [good().replace('\n', "\r\n"), good().trim_end().to_owned()] {
        assert_eq!(lanes_of(text.as_bytes(), "").await.unwrap(), clean);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_went_away_or_broke_since_it_was_opened_is_a_fault_never_an_empty_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trips.csv");
    let write = |records: &str| fs::write(&path, format!("{HEADER}{records}")).unwrap();
    write(&good());
    let dictionary = dictionary(100);
    let catalog = Catalog::open(&[source_of(&path, "")], &dictionary).unwrap();
    let plan = plan_sql(&dictionary, SQL, 20, 3);
    let engine = options(2, 64);
    let clean = lanes(&plan, &catalog, &engine, 4).await;
    let broken: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::write(&path, "").unwrap(),
        &|| write("1,Amherst\n"),
        &|| write(&good().replacen("\",1", ",1", 1)),
    ];
    for (number, change) in broken.into_iter().enumerate() {
        change();
        let found = try_lanes(&plan, &catalog, &engine, 4).await;
        assert!(matches!(found, Err(Fault::Files(_))), "{number}: {found:?}");
        write(&good());
        assert_eq!(lanes(&plan, &catalog, &engine, 4).await, clean, "{number}: mended");
    }
    // More good records are read without opening the catalog again.
    write(&format!("{}99,Amherst,1,1,0.5,\n", good()));
    assert_eq!(lanes(&plan, &catalog, &engine, 4).await[0], clean[0] + 1);
    // A Parquet file that went away is a fault, too.
    let parquet = folder.path().join("rows.parquet");
    write_parquet(&parquet, &batch(&[row(1)]), 10);
    let catalog = Catalog::open(&[source(parquet.clone())], &dictionary).unwrap();
    fs::remove_file(&parquet).unwrap();
    let gone = try_lanes(&plan, &catalog, &engine, 4).await;
    assert!(matches!(gone, Err(Fault::Files(_))), "{gone:?}");
}

/// What is planned before a run is asked for is good for the files as they stood, once, and for no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_planned_beforehand_reads_what_the_file_holds_when_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trips.csv");
    let write = |records: &str| fs::write(&path, format!("{HEADER}{records}")).unwrap();
    write(&good());
    let dictionary = dictionary(100);
    let catalog = Catalog::open(&[source_of(&path, "")], &dictionary).unwrap();
    let plan = plan_sql(&dictionary, SQL, 20, 3);
    let options = crate::world::options(2, 4);
    let unprepared = lanes(&plan, &catalog, &crate::world::options(2, 4), 4).await;
    let prepare = async || {
        cloister_node::measure::prepare(&plan, &catalog, &options).await.unwrap();
        assert_eq!(catalog.planned().count_for_tests(), 1);
    };
    prepare().await;
    prepare().await;
    for _ in 0..2 {
        assert_eq!(lanes(&plan, &catalog, &options, 4).await, unprepared);
        assert_eq!(catalog.planned().count_for_tests(), 0, "taken once");
    }
    // More records, fewer, and other files in its place: each time those that are there.
    let row = "99,\"Amherst\",1,5,0.5,\n";
    for records in [good() + row, row.to_owned(), good() + row + row, String::new()] {
        prepare().await;
        write(&records);
        // Nobody reads what has changed before a run does, and what was planned of it goes.
        cloister_node::measure::prepare(&plan, &catalog, &options).await.unwrap();
        assert_eq!(catalog.planned().count_for_tests(), 0);
        let found = lanes(&plan, &catalog, &options, 4).await;
        assert_eq!(found, lanes(&plan, &catalog, &crate::world::options(2, 4), 4).await);
        assert_eq!(found[0], records.lines().count() as i128);
    }
    // Other questions, and other cuts of the same one, are not answered by it.
    prepare().await;
    let other = plan_sql(&dictionary, &SQL.replace("GROUP BY", "WHERE n > 3 GROUP BY"), 20, 3);
    lanes(&other, &catalog, &options, 4).await;
    let cut = cloister_node::measure::MeasureOptions { partitions: 3, ..options.clone() };
    lanes(&plan, &catalog, &cut, 4).await;
    assert_eq!(catalog.planned().count_for_tests(), 1);
}
