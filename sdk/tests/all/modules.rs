//! Modules at their author's prompt: what every node would refuse is refused here, with its reason, and how a
//! module fared is told of made-up people alone. Each is tried in worker processes of the very program.

use super::{cloister, draft, said};
use cloister_node::module_fuel::{FuelTime, fuel_max};
use serde_json::Value;
use std::process::{Output, Stdio};

/// A run of the agreement may take so long.
const RUN_TIME_MS: u64 = 60_000;
/// Bytes of the sample module's input: two columns of 512 rows.
const INPUT_BYTES: u32 = 8_320;

const QUESTION: &str = r#"
name = "bands"
question = "How far do people travel?"
purpose = "https://w3id.org/dpv#ScientificResearch"
row_cap = 512
group_cap = 1
spend = { rho = "0.1" }

[module]
file = "distance.wasm"
rows = "SELECT x_m, y_m FROM trips"
fuel_per_person = 100000
keys = [{ name = "band", values = [0, 1, 2, 3, 4, 5, 6, 7] }]
lanes = [{ name = "metres", value = { min = "0", max = "1000000" } }]
"#;

/// The line of it that declares fuel.
const FUEL: &str = "fuel_per_person = 100000";

/// A folder with an agreement over places, and a module in C beside the question.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        let places = ["x_m", "y_m"].map(|name| {
            format!(
                "  {{ name = \"{name}\", type = \"float64\", description = \"place\", bounds = {{ min = \"0\", max = \"100000\", grid_bits = 0 }} }},\n"
            )
        });
        let drafted = draft(&"d".repeat(64), "2999-01-01")
            .replace("rows_per_unit_max = 20", "rows_per_unit_max = 512")
            .replace("\n]\n", &format!("\n{}]\n", places.concat()));
        std::fs::write(desk.at("agreement.toml"), drafted).unwrap();
        let (from, to) = (desk.at("agreement.toml"), desk.at("agreement.json"));
        let made = desk.run(&["agreement", "draft", &from, "--out", &to]);
        assert!(made.status.success(), "{}", error_of(&made));
        std::fs::write(desk.at("distance.wasm"), distance()).unwrap();
        desk
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, args: &[&str]) -> Output {
        cloister(&self.folder.path().join("home"), args, Stdio::piped())
    }

    /// A command on the question, one piece of its text replaced.
    fn ask(&self, command: &str, from: &str, to: &str, more: &[&str]) -> Output {
        assert!(QUESTION.contains(from), "{from}");
        let (asked, agreement) = (self.at("bands.toml"), self.at("agreement.json"));
        std::fs::write(&asked, QUESTION.replace(from, to)).unwrap();
        let line = [command, &asked, "--agreement", &agreement, "--researcher", "ada"];
        self.run(&[&line[..], more].concat())
    }

    /// How the module fares with so much fuel.
    fn tried(&self, fuel: u64) -> Value {
        let to = format!("fuel_per_person = {fuel}");
        let more = ["--people", "60", "--json"];
        let played = self.ask("dry-run", FUEL, &to, &more);
        assert!(played.status.success(), "{}", error_of(&played));
        json_of(&played)["module"].clone()
    }
}

fn distance() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/modules/c-distance.wasm");
    std::fs::read(path).unwrap()
}

/// A module without anything.
fn empty() -> &'static [u8] {
    b"\0asm\x01\0\0\0"
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_refused_module_is_told_with_its_reason() {
    let desk = Desk::new();
    std::fs::write(desk.at("empty.wasm"), empty()).unwrap();
    let cases = [
        ("row_cap = 512", "row_cap = 256", "input_size", "2 columns of at most 256 rows"),
        ("distance.wasm", "empty.wasm", "no_memory", "define one and export it as `memory`"),
    ];
    for (from, to, reason, words) in cases {
        for command in ["explain", "dry-run"] {
            let refused = desk.ask(command, from, to, &["--json"]);
            let error = error_of(&refused);
            assert_eq!(refused.status.code(), Some(1), "{command}: {error}");
            assert!(error.contains(words), "{command}: {error}");
            assert!(error.contains(&format!("(`{reason}`)")), "{command}: {error}");
            assert_eq!(json_of(&refused)["refused"]["kind"], reason, "{command}");
        }
    }
}

#[test]
fn a16_fuel_that_no_node_may_admit_is_refused_at_the_prompt() {
    let desk = Desk::new();
    let most = fuel_max(RUN_TIME_MS);
    let explain = |fuel: u64| {
        let to = format!("fuel_per_person = {fuel}");
        desk.ask("explain", FUEL, &to, &[])
    };
    let explained = explain(most);
    assert!(explained.status.success(), "{}", error_of(&explained));
    let told = FuelTime::of(most).to_string();
    assert!(said(&explained).contains(&told), "{}", said(&explained));
    for fuel in [most + 1, cloister_plan::limits::FUEL_MAX] {
        let refused = explain(fuel);
        let error = error_of(&refused);
        assert_eq!(refused.status.code(), Some(1), "{fuel}: {error}");
        assert!(error.contains("`fuel_per_person`"), "{error}");
        assert!(error.contains(&format!("declare {most} at most")), "{error}");
    }
}

#[test]
fn a_dry_run_tells_how_the_module_fared_on_made_up_people() {
    let desk = Desk::new();
    let plenty = desk.tried(100_000);
    let persons = plenty["persons"].as_u64().unwrap();
    assert!((30..=60).contains(&persons), "{plenty}");
    for none in ["trapped", "out_of_fuel", "out_of_stack", "bad_returns"] {
        assert_eq!(plenty[none], 0, "{plenty}");
    }
    let enough = plenty["fuel"].as_u64().unwrap();
    // More than the first try has, and less than is declared: half of it is too little for somebody.
    assert!((98..100_000).contains(&enough), "{plenty}");
    assert_eq!(plenty["fuel_enough"], enough, "{plenty}");
    assert_eq!(plenty["row_cap"], 512, "{plenty}");
    assert!((1..=512).contains(&plenty["rows"].as_u64().unwrap()), "{plenty}");
    let half = desk.tried(enough / 2);
    assert!(half["fuel_enough"].is_null(), "{half}");
    assert!(half["out_of_fuel"].as_u64().unwrap() > 0, "{half}");
    assert_eq!((&half["persons"], &half["fuel"]), (&persons.into(), &(enough / 2).into()));
    let none = desk.tried(10);
    assert_eq!((&none["out_of_fuel"], &none["fuel"]), (&persons.into(), &10.into()));
    let played = desk.ask("dry-run", FUEL, "fuel_per_person = 10", &["--people", "60"]);
    let text = said(&played);
    assert!(text.contains(&format!("{persons} ran out of fuel")), "{text}");
    assert!(text.contains("declare more"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("MOCK")), "{text}");
}

#[test]
fn a_module_is_checked_by_itself() {
    let desk = Desk::new();
    let file = desk.at("distance.wasm");
    let shown = desk.run(&["module", "check", &file]);
    assert!(shown.status.success(), "{}", error_of(&shown));
    for word in ["8320 bytes", "person_map", "version 1", "1 pairs", "signature"] {
        assert!(said(&shown).contains(word), "`{word}` is missing in:\n{}", said(&shown));
    }
    let facts = json_of(&desk.run(&["module", "check", &file, "--json"]));
    assert_eq!(facts["input_bytes"], INPUT_BYTES);
    assert_eq!((&facts["output_bytes"], &facts["abi_version"]), (&16.into(), &1.into()));
    assert_eq!(facts["module_bytes"].as_u64(), Some(distance().len() as u64));
    assert!(facts["memory_pages"].as_u64().unwrap() > 0);
    assert!(facts["exports"].as_array().unwrap().contains(&"CLOISTER_LAYOUT".into()));
    // Valid, but of another version: a worker finds that once it has compiled the module.
    let mut newer = distance();
    let words = [1_u32.to_le_bytes(), INPUT_BYTES.to_le_bytes()].concat();
    let layout = newer.windows(words.len()).position(|found| found == words).unwrap();
    newer[layout] = 2;
    let cut = distance();
    let cases =
        [(empty(), "no_memory"), (&newer[..], "abi_version"), (&cut[..cut.len() / 2], "invalid")];
    for (wasm, reason) in cases {
        std::fs::write(&file, wasm).unwrap();
        let refused = desk.run(&["module", "check", &file, "--json"]);
        let error = error_of(&refused);
        assert_eq!(refused.status.code(), Some(1), "{reason}");
        assert!(error.contains("every node would refuse this module"), "{error}");
        assert!(error.contains(&format!("(`{reason}`)")), "{error}");
        assert_eq!(json_of(&refused)["refused"]["kind"], reason);
    }
    let missing = desk.run(&["module", "check", &desk.at("none.wasm")]);
    assert!(error_of(&missing).contains("none.wasm"), "{}", error_of(&missing));
}
