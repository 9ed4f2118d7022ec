//! The two casts of the tour, which tests measure too: four made-up partners with four schemas, or the four mobility partners
//! of the developer data. A cast says who takes part, how each partner maps its tables, and what is
//! asked; it computes nothing.

use crate::scenario::mapping;
use crate::scenario::population::REGIONS;
use crate::scenario::{PartnerKind, SourceLayout};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Towns of the mobility records, in the order of the module's codes.
pub const TOWNS: [&str; 6] =
    ["Amherst", "Easthampton", "Holyoke", "Northampton", "South Hadley", "Springfield"];
/// The two seasons that the SQL question on made-up sightings is about, as an SQL condition.
pub const SEASONS: &str =
    "(event_time >= TIMESTAMP '2024-01-01' AND event_time < TIMESTAMP '2024-04-01')
   OR (event_time >= TIMESTAMP '2024-07-01' AND event_time < TIMESTAMP '2024-10-01')";

/// Everything that differs between the two casts.
pub struct Cast {
    /// One line about the data.
    pub about: String,
    /// The question in plain words.
    pub question: &'static str,
    /// The partners.
    pub partners: Vec<Partner>,
    /// The shared dictionary, as part of an agreement's draft.
    pub dictionary: String,
    /// The SQL analysis.
    pub sql: Question,
    /// The module analysis.
    pub module: Question,
    /// Where the data comes from.
    pub data: Data,
    /// SQL that gives the truth's rows from a partner's mapped table: person, order, columns.
    pub truth: TruthKind,
}

/// Where the data comes from.
pub enum Data {
    /// The generator.
    MadeUp {
        /// People a partner.
        people: u32,
        /// Seed.
        seed: u64,
    },
    /// Files in a folder.
    Real,
}

/// Which fold gives the exact answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TruthKind {
    /// Regions and seasons.
    Regions,
    /// Towns.
    Towns,
}

/// One partner.
pub struct Partner {
    /// Its name.
    pub name: &'static str,
    /// Its organisation.
    pub organisation: &'static str,
    /// What the generator makes for it.
    pub kind: Option<PartnerKind>,
    /// Its file, for real data.
    pub file: Option<PathBuf>,
    /// Dictionary column and the SQL expression over the partner's own columns.
    pub columns: Vec<(String, String)>,
}

/// One analysis.
pub struct Question {
    /// Its name.
    pub name: &'static str,
    /// Its TOML.
    pub toml: String,
    /// Rows one person counts with.
    pub row_cap: u32,
    /// Cells one person counts in.
    pub group_cap: u32,
}

/// The made-up cast.
pub fn made_up(people: u32, seed: u64) -> Cast {
    let organisations = ["North Mobile", "South Mobile", "River Bank", "Corner Shops"];
    let partner = |(kind, organisation): (PartnerKind, &'static str)| Partner {
        name: kind.name(),
        organisation,
        kind: Some(kind),
        file: None,
        columns: owned(mapping::mapping(kind)),
    };
    let sql = Question {
        name: "where-people-are",
        row_cap: 20,
        group_cap: 4,
        toml: format!(
            "name = \"where-people-are\"\n\
             question = \"How many people are seen, and how often, in each region in each season?\"\n\
             purpose = \"https://w3id.org/dpv#ScientificResearch\"\n\
             row_cap = 20\ngroup_cap = 4\nmax_runs = 3\n\
             spend = {{ rho = \"0.03\" }}\n\
             sql = \"\"\"\nSELECT region,\n       CASE WHEN event_time < TIMESTAMP '2024-04-01' THEN 'winter' ELSE 'summer' END AS season,\n       COUNT(DISTINCT person_id) AS people, COUNT(*) AS events\nFROM events\nWHERE {SEASONS}\nGROUP BY region, season\n\"\"\"\n"
        ),
    };
    let module = Question {
        name: "who-moved-where",
        row_cap: 512,
        group_cap: 1,
        toml: module_toml(
            "who-moved-where",
            "How many people moved their usual region between winter and summer, and from where to where?",
            "usual-region.wasm",
            "SELECT event_time, region FROM events WHERE event_time >= TIMESTAMP '2024-01-01' AND event_time < TIMESTAMP '2024-10-01'",
            ("events.region", 512, 1, "0.02"),
        ),
    };
    Cast {
        about: format!(
            "{people} made-up people at each of two mobile operators, a bank and a retailer; four schemas, with real-life dirt"
        ),
        question: "How many people moved their usual region between two seasons, and between which regions?",
        partners: PartnerKind::ALL.into_iter().zip(organisations).map(partner).collect(),
        dictionary: events_dictionary(),
        sql,
        module,
        data: Data::MadeUp { people, seed },
        truth: TruthKind::Regions,
    }
}

/// The four mobility partners of the developer data in `folder`.
pub fn real(folder: &Path) -> Cast {
    let towns = ["northampton", "amherst", "springfield", "holyoke"];
    let organisations =
        ["Northampton Bikes", "Amherst Bikes", "Springfield Bikes", "Holyoke Bikes"];
    let columns = [
        "person_id",
        "trip_id",
        "start_time_utc",
        "start_time_local",
        "distance_m",
        "start_city",
        "end_city",
    ];
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let partner = |(name, organisation): (&'static str, &'static str)| Partner {
        name,
        organisation,
        kind: None,
        file: Some(folder.join("mobility").join(format!("mobility_{name}.parquet"))),
        columns: columns.iter().map(|c| ((*c).to_owned(), (*c).to_owned())).collect(),
    };
    let rows = "start_time_local >= TIMESTAMP '2019-07-01' AND start_time_local < TIMESTAMP '2019-10-01'\n  AND start_city IS NOT NULL AND end_city IS NOT NULL AND distance_m >= 200";
    let sql = Question {
        name: "cross-town",
        row_cap: 30,
        group_cap: 6,
        toml: format!(
            "name = \"cross-town\"\n\
             question = \"How many riders start trips in each town, how many trips, and which share goes to another town?\"\n\
             purpose = \"https://w3id.org/dpv#ScientificResearch\"\n\
             row_cap = 30\ngroup_cap = 6\nmax_runs = 3\n\
             spend = {{ rho = \"0.3\" }}\n\
             sql = \"\"\"\nSELECT start_city, COUNT(DISTINCT person_id) AS riders, COUNT(*) AS trips,\n       AVG(CASE WHEN end_city <> start_city THEN 1.0 ELSE 0.0 END) AS cross_share\nFROM trips\nWHERE {rows}\nGROUP BY start_city\n\"\"\"\n"
        ),
    };
    let module = Question {
        name: "town-flows",
        row_cap: 512,
        group_cap: 4,
        toml: module_toml(
            "town-flows",
            "How many riders go from which town to which?",
            "town-flows.wasm",
            &format!("SELECT start_city, end_city FROM trips WHERE {}", rows.replace('\n', " ")),
            ("trips.start_city", 512, 4, "0.1"),
        ),
    };
    Cast {
        about: "real records: ValleyBike Share trips, Pioneer Valley, summer 2019 (MIT licence, Valleybike.org, N. Horton, M.-C. Gîrjău)".to_owned(),
        question: "How many riders cross town borders, and between which towns?",
        partners: towns.into_iter().zip(organisations).map(partner).collect(),
        dictionary: trips_dictionary(),
        sql,
        module,
        data: Data::Real,
        truth: TruthKind::Towns,
    }
}

fn module_toml(
    name: &str,
    question: &str,
    file: &str,
    rows: &str,
    (domain, row_cap, group_cap, rho): (&str, u32, u32, &str),
) -> String {
    format!(
        "name = \"{name}\"\nquestion = \"{question}\"\n\
         purpose = \"https://w3id.org/dpv#ScientificResearch\"\n\
         row_cap = {row_cap}\ngroup_cap = {group_cap}\nmax_runs = 3\nspend = {{ rho = \"{rho}\" }}\n\n\
         [module]\nfile = \"{file}\"\nrows = \"{rows}\"\n\
         lanes = [{{ name = \"people\", value = {{ min = \"0\", max = \"1\" }} }}]\n\
         fuel_per_person = 2000000\n\
         keys = [{{ name = \"from\", column = \"{domain}\" }}, {{ name = \"to\", column = \"{domain}\" }}]\n"
    )
}

/// A partner's table as a `[[source]]` block of `node.toml`.
pub fn source_toml(cast: &Cast, partner: &Partner, data: &Path) -> String {
    let mut text = String::new();
    let dataset = if cast.truth == TruthKind::Regions { mapping::DATASET } else { "trips" };
    let layout = partner.kind.map_or(SourceLayout::ParquetFile, PartnerKind::layout);
    let (format, path) = match (layout, &partner.file) {
        (_, Some(file)) => ("parquet", file.clone()),
        (SourceLayout::CsvFolder, None) => ("csv", data.join("card")),
        (SourceLayout::HiveParquet, None) => ("parquet", data.join("traces")),
        (SourceLayout::ParquetFile, None) => ("parquet", data.join("pings.parquet")),
        (SourceLayout::ParquetFolder, None) => ("parquet", data.join("sales")),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\n[[source]]\ndataset = \"{dataset}\"\nformat = \"{format}\"\npath = \"{}\"",
        path.display()
    );
    if layout == SourceLayout::HiveParquet {
        let _ = writeln!(text, "hive_partitions = {{ month = \"text\" }}");
    }
    if layout == SourceLayout::CsvFolder {
        let _ = writeln!(text, "csv = {{ types = {{ amount_eur = \"float64\" }} }}");
    }
    let _ = writeln!(text, "\n[source.columns]");
    for (column, expression) in &partner.columns {
        let _ = writeln!(text, "{column} = \"{}\"", expression.replace('"', "\\\""));
    }
    text
}

/// One file that a steward would look at with `cloister-node describe`.
pub fn one_file(partner: &Partner, data: &Path) -> PathBuf {
    let mut path = table_path(partner, data);
    // Folders hold folders (Hive) or files; the first by name will do.
    while let Ok(entries) = std::fs::read_dir(&path) {
        match entries.filter_map(Result::ok).map(|entry| entry.path()).min() {
            Some(first) => path = first,
            None => break,
        }
    }
    path
}

/// Where a partner's table lies.
pub fn table_path(partner: &Partner, data: &Path) -> PathBuf {
    match (&partner.file, partner.kind.map(PartnerKind::layout)) {
        (Some(file), _) => file.clone(),
        (None, Some(SourceLayout::CsvFolder)) => data.join("card"),
        (None, Some(SourceLayout::HiveParquet)) => data.join("traces"),
        (None, Some(SourceLayout::ParquetFolder)) => data.join("sales"),
        (None, _) => data.join("pings.parquet"),
    }
}

fn owned(columns: Vec<(&'static str, &'static str)>) -> Vec<(String, String)> {
    columns.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn events_dictionary() -> String {
    let regions = REGIONS.iter().map(|r| format!("\"{r}\"")).collect::<Vec<_>>().join(", ");
    format!(
        "[[dictionary.datasets]]\nname = \"events\"\n\
         description = \"one sighting of a person: a ping, a card payment or a purchase\"\n\
         unit_column = \"person_id\"\norder_columns = [\"event_time\"]\nrows_per_unit_max = 2000\n\
         columns = [\n\
         \x20 {{ name = \"person_id\", type = \"text\", description = \"the partner's own pseudonym\", identifier = true }},\n\
         \x20 {{ name = \"event_time\", type = \"timestamp\", description = \"when, UTC\" }},\n\
         \x20 {{ name = \"region\", type = \"text\", description = \"region of the sighting\", domain = [{regions}] }},\n\
         \x20 {{ name = \"amount_eur\", type = \"float64\", description = \"amount in euro, where there is one\", bounds = {{ min = \"0\", max = \"500\", grid_bits = 7 }} }},\n]\n"
    )
}

fn trips_dictionary() -> String {
    let towns = TOWNS.iter().map(|r| format!("\"{r}\"")).collect::<Vec<_>>().join(", ");
    format!(
        "[[dictionary.datasets]]\nname = \"trips\"\n\
         description = \"one bike trip\"\n\
         unit_column = \"person_id\"\norder_columns = [\"start_time_utc\", \"trip_id\"]\nrows_per_unit_max = 2000\n\
         columns = [\n\
         \x20 {{ name = \"person_id\", type = \"int64\", description = \"rider's pseudonym, local to the partner\", identifier = true }},\n\
         \x20 {{ name = \"trip_id\", type = \"int64\", description = \"unique number of the trip\" }},\n\
         \x20 {{ name = \"start_time_utc\", type = \"timestamp\", description = \"start, UTC\" }},\n\
         \x20 {{ name = \"start_time_local\", type = \"timestamp\", description = \"start, local wall time\" }},\n\
         \x20 {{ name = \"distance_m\", type = \"float64\", description = \"length in metres\", bounds = {{ min = \"0\", max = \"50000\", grid_bits = 0 }} }},\n\
         \x20 {{ name = \"start_city\", type = \"text\", description = \"town of the start\", domain = [{towns}] }},\n\
         \x20 {{ name = \"end_city\", type = \"text\", description = \"town of the end\", domain = [{towns}] }},\n]\n"
    )
}
