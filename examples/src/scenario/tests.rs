//! Tests of the generator: sameness for a seed, shares of dirt, the heavy tail, and every
//! partner's view run by DataFusion over the files. They must never test a count that the
//! generator did not plant or tally.

use std::path::Path;

use datafusion::arrow::array::{Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};

use super::calendar::{SEASON_A, SEASON_B};
use super::events::{EventBlocks, Row, shares};
use super::mapping::{COLUMNS, DictionaryType, source_schema, view_sql};
use super::population::{REGIONS, STRONG_CORRIDORS};
use super::*;

const SIZE: ScenarioSize = ScenarioSize { people: 3_000, seed: 7 };

fn write(partner: PartnerKind, size: &ScenarioSize) -> (tempfile::TempDir, PartnerFiles) {
    let folder = tempfile::tempdir().unwrap();
    let files = write_partner(partner, size, folder.path()).unwrap();
    (folder, files)
}

fn rows_of(partner: PartnerKind, size: &ScenarioSize) -> Vec<Row> {
    let mut blocks = EventBlocks::new(partner, size);
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while blocks.fill(&mut block) {
        all.extend_from_slice(&block);
    }
    all
}

/// A session with the partner's files as `source` and its view as `events`.
async fn session(files: &PartnerFiles) -> SessionContext {
    let session = SessionContext::new();
    let schema = source_schema(files.partner);
    let [source] = files.sources.as_slice() else {
        panic!("one source each");
    };
    if files.layout == SourceLayout::CsvFolder {
        let options = CsvReadOptions::new().schema(&schema);
        session.register_csv("source", source, options).await.unwrap();
    } else {
        let partitions = files.partition_columns.iter();
        let options = ParquetReadOptions::default()
            .table_partition_cols(partitions.map(|c| (c.to_string(), DataType::Utf8)).collect());
        session.register_parquet("source", source, options).await.unwrap();
    }
    let view = format!("CREATE VIEW events AS {}", view_sql(files.partner, "source"));
    session.sql(&view).await.unwrap();
    session
}

async fn query(session: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    session.sql(sql).await.unwrap().collect().await.unwrap()
}

/// The one row of a query of counts.
async fn counts(session: &SessionContext, sql: &str) -> Vec<u64> {
    let batches = query(session, sql).await;
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).unwrap();
    let column = |array: &dyn Array| {
        let ints = array.as_any().downcast_ref::<Int64Array>().unwrap();
        u64::try_from(ints.value(0)).unwrap()
    };
    batch.columns().iter().map(|array| column(array)).collect()
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_another_seed_does_not() {
    let size = ScenarioSize { people: 300, seed: 1 };
    for partner in PartnerKind::ALL {
        let (_one, first) = write(partner, &size);
        let (_two, second) = write(partner, &size);
        let (_three, other) = write(partner, &ScenarioSize { seed: 2, ..size });
        let bytes = |files: &PartnerFiles| -> Vec<Vec<u8>> {
            files.files.iter().map(|f| fs::read(f).unwrap()).collect()
        };
        assert_eq!(bytes(&first), bytes(&second), "{partner}");
        assert_ne!(bytes(&first), bytes(&other), "{partner}");
    }
}

#[test]
fn a_smaller_run_leaves_nothing_of_a_larger_one() {
    for partner in PartnerKind::ALL {
        let (folder, _) = write(partner, &SIZE);
        let small = ScenarioSize { people: 5, seed: 1 };
        let again = write_partner(partner, &small, folder.path()).unwrap();
        let (_fresh, alone) = write(partner, &small);
        for (one, other) in again.files.iter().zip(&alone.files) {
            assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap());
        }
        assert_eq!(again.files.len(), files_below(folder.path()));
    }
}

fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn persons_do_not_depend_on_how_many_others_there_are() {
    let small = rows_of(PartnerKind::Bank, &ScenarioSize { people: 50, ..SIZE });
    let large = rows_of(PartnerKind::Bank, &SIZE);
    let sorted = |rows: &[Row]| {
        let own = |row: &&Row| row.person.is_some_and(|person| person < 50);
        let mut details: Vec<u64> = rows.iter().filter(own).map(|row| row.detail).collect();
        details.sort_unstable();
        details
    };
    assert_eq!(sorted(&small), sorted(&large));
}

#[test]
fn most_people_have_few_rows_and_a_few_have_thousands() {
    for partner in PartnerKind::ALL {
        let rows = rows_of(partner, &SIZE);
        let mut owned = vec![0_u64; SIZE.people as usize];
        for person in rows.iter().filter_map(|row| row.person) {
            owned[person as usize] += 1;
        }
        let usual = owned.iter().filter(|n| (4..=32).contains(*n)).count();
        let huge = owned.iter().filter(|n| **n > 900).count();
        assert!(usual * 100 >= owned.len() * 95, "{partner}: {usual}");
        assert!((1..=3).contains(&huge), "{partner}: {huge}");
        let mean = rows.len() as f64 / f64::from(SIZE.people);
        assert!((13.0..20.0).contains(&mean), "{partner}: {mean}");
        let largest = owned.iter().max().copied().unwrap();
        assert_eq!(largest, write(partner, &SIZE).1.rows_per_person_max);
    }
}

#[test]
fn nobodys_rows_lie_together() {
    let rows = rows_of(PartnerKind::OperatorNorth, &SIZE);
    let neighbours = rows.windows(2).filter(|w| w[0].person == w[1].person);
    assert!(neighbours.count() * 20 < rows.len());
}

#[test]
fn dirt_comes_in_its_stated_shares() {
    for partner in PartnerKind::ALL {
        let (_folder, files) = write(partner, &SIZE);
        let dirt = files.dirt;
        for (found, share) in [
            (dirt.null_person, shares::NULL_PERSON),
            (dirt.null_time, shares::NULL_TIME),
            (dirt.clock_error, shares::CLOCK_1970 + shares::CLOCK_2099),
            (dirt.null_region, shares::NULL_REGION),
            (dirt.unknown_region, shares::UNKNOWN_REGION),
            (dirt.negative_measure, shares::NEGATIVE_MEASURE),
            (dirt.absurd_measure, shares::ABSURD_MEASURE),
            (dirt.duplicate, shares::DUPLICATE),
        ] {
            let expected = files.rows as f64 * f64::from(share) / 10_000.0;
            // Six standard deviations, widened because duplicates repeat the dirt.
            let slack = 6.0 * (2.0 * expected).sqrt();
            let off = (found as f64 - expected).abs();
            assert!(off <= slack, "{partner}: {found} of {expected}");
        }
    }
}

#[test]
fn about_fifteen_in_a_hundred_move_along_strong_corridors() {
    let size = ScenarioSize { people: 20_000, seed: 3 };
    for partner in PartnerKind::ALL {
        let mut blocks = EventBlocks::new(partner, &size);
        let mut rows = Vec::new();
        while blocks.fill(&mut rows) {}
        let planted = blocks.into_totals().planted;
        assert_eq!(planted.iter().flatten().sum::<u64>(), 20_000);
        let stayed: u64 = (0..8).map(|r| planted[r][r]).sum();
        assert!((2_600..=3_400).contains(&(20_000 - stayed)), "{partner}");
        for (from, to) in STRONG_CORRIDORS {
            let leaving: u64 = planted[from].iter().sum::<u64>() - planted[from][from];
            assert!(planted[from][to] * 100 >= leaving * 45, "{partner}: {from} to {to}");
        }
    }
}

#[tokio::test]
async fn every_view_yields_the_dictionarys_types_and_the_tallied_rows() {
    for partner in PartnerKind::ALL {
        let (_folder, files) = write(partner, &SIZE);
        let session = session(&files).await;
        let view = session.sql("SELECT * FROM events").await.unwrap();
        for (field, (name, kind)) in view.schema().fields().iter().zip(COLUMNS) {
            let time = DataType::Timestamp(TimeUnit::Microsecond, None);
            let text = [DataType::Utf8, DataType::Utf8View];
            let fits = match kind {
                DictionaryType::Text => text.contains(field.data_type()),
                DictionaryType::TimestampMicros => *field.data_type() == time,
                DictionaryType::Float => *field.data_type() == DataType::Float64,
            };
            assert!(field.name() == name && fits, "{partner}: {field}");
        }
        assert_eq!(view.schema().fields().len(), COLUMNS.len());
        let found = counts(
            &session,
            "SELECT count(*), count(DISTINCT person_id),
                count(*) FILTER (WHERE person_id IS NULL),
                count(*) FILTER (WHERE event_time IS NULL),
                count(*) FILTER (WHERE region IS NULL),
                count(*) FILTER (WHERE event_time < TIMESTAMP '2000-01-01'
                    OR event_time > TIMESTAMP '2090-01-01')
            FROM events",
        )
        .await;
        let dirt = files.dirt;
        let no_region = dirt.null_region + dirt.unknown_region;
        let expected = [
            files.rows,
            files.persons,
            dirt.null_person,
            dirt.null_time,
            no_region,
            dirt.clock_error,
        ];
        assert_eq!(found, expected, "{partner}");
        let in_domain = format!("('{}')", REGIONS.join("', '"));
        let sql = format!(
            "SELECT count(DISTINCT region), count(*) FILTER (WHERE region NOT IN {in_domain}) \
             FROM events"
        );
        assert_eq!(counts(&session, &sql).await, [8, 0], "{partner}");
    }
}

#[tokio::test]
async fn amounts_stand_only_with_the_partners_that_have_them() {
    let sql = "SELECT count(amount_eur), count(*) FILTER (WHERE amount_eur < 0),
        count(*) FILTER (WHERE abs(amount_eur) > 1e9) FROM events";
    for partner in PartnerKind::ALL {
        let (_folder, files) = write(partner, &SIZE);
        let found = counts(&session(&files).await, sql).await;
        let operator = matches!(partner, PartnerKind::OperatorNorth | PartnerKind::OperatorSouth);
        if operator {
            assert_eq!(found, [0, 0, 0], "{partner}");
        } else {
            let (negative, absurd) = (files.dirt.negative_measure, files.dirt.absurd_measure);
            assert_eq!(found[0], files.rows, "{partner}");
            assert!((negative..=negative + absurd).contains(&found[1]), "{partner}");
            assert_eq!(found[2], absurd, "{partner}");
        }
    }
}

#[tokio::test]
async fn the_question_finds_the_planted_moves_in_the_rows() {
    let usual = |season: calendar::Season| {
        format!(
            "SELECT person_id, region FROM (
                SELECT person_id, region, row_number() OVER (
                    PARTITION BY person_id ORDER BY count(*) DESC, region) AS place
                FROM events
                WHERE event_time >= TIMESTAMP '{}' AND event_time < TIMESTAMP '{}'
                    AND region IS NOT NULL AND person_id IS NOT NULL
                GROUP BY person_id, region) WHERE place = 1",
            season.start, season.end
        )
    };
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE a.region <> b.region),
            count(*) FILTER (WHERE a.region = 'Ashford' AND b.region = 'Fairhaven')
        FROM ({}) a JOIN ({}) b ON a.person_id = b.person_id",
        usual(SEASON_A),
        usual(SEASON_B)
    );
    for partner in PartnerKind::ALL {
        let (_folder, files) = write(partner, &SIZE);
        let found = counts(&session(&files).await, &sql).await;
        assert!(found[0] * 100 >= files.persons * 95, "{partner}: {found:?}");
        // Few rows blur some homes, so movers are found with some false ones among them.
        let movers = files.planted_movers();
        assert!((movers * 9 / 10..movers * 2).contains(&found[1]), "{partner}: {found:?}");
        let coast = files.planted[0][5];
        assert!(found[2] * 100 >= coast * 75, "{partner}: {found:?} {coast}");
    }
}

#[test]
fn sizes_and_folders_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for people in [0, PEOPLE_MAX + 1, u32::MAX] {
        let size = ScenarioSize { people, seed: 0 };
        let refused = write_partner(PartnerKind::Bank, &size, folder.path()).unwrap_err();
        assert!(matches!(refused, ScenarioError::People { .. }));
        assert!(refused.to_string().contains("ask for 1 to 10000000"));
    }
    let starred = folder.path().join("a*b");
    let refused = write_partner(PartnerKind::Retailer, &SIZE, &starred).unwrap_err();
    assert!(matches!(refused, ScenarioError::FolderName { .. }));
    assert!(refused.to_string().contains("`*?[]{}`"), "{refused}");
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for partner in PartnerKind::ALL {
        let refused = write_partner(partner, &SIZE, &file).unwrap_err();
        assert!(matches!(refused, ScenarioError::Write { .. }), "{refused}");
    }
    assert_eq!(files_below(folder.path()), 1);
}
