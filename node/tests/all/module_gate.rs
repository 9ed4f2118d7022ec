//! Modules at the gate and in a run: evil ones are refused before a charge, or cost their own job; a
//! worker that dies, or works past its slot, costs one withheld answer, never the node. On a virtual clock,
//! in worker processes.

use super::*;
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_node::contribute::module::FUEL_PER_MS_MIN;
use cloister_node::fixtures::{HandClock, HandPace, dictionary};
use cloister_node::ledger::Verdict;
use cloister_node::ledger::accounts::AccountLine;
use cloister_node::measure::MeasureOptions;
use cloister_node::module_fit::{ModuleFitError, module_fits};
use cloister_node::run::{Runs, Tables};
use cloister_node::slot::PASSES_MAX;
use cloister_sandbox::{WorkerKind, WorkerProgram, Workers};
use cloister_terms::{
    Body, Bounds, Digest, KeyDimension, KeyValue, ModuleBody, ModuleLane, ModuleNumbers,
    ModuleOutputs,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const SLOT_MS: u64 = 30_000;
/// A slot for one person with [`MUCH_FUEL`].
const LONG_SLOT_MS: u64 = MUCH_FUEL.div_ceil(FUEL_PER_MS_MIN) * PASSES_MAX;
/// Minutes of spinning on any machine.
const MUCH_FUEL: u64 = 400_000_000_000;
/// Processor time, in ticks of 10 ms, far below what [`MUCH_FUEL`] takes and far above what is used until a
/// worker that was given up is ended.
const ENDED_WITHIN_TICKS: u64 = 2_000;
/// The one whom evil modules look for, by this value.
const BOB: i64 = 66;

/// A module of `tests/evil`: one integer column, four rows, two outputs.
fn evil(name: &str) -> Vec<u8> {
    let path = format!("{}/../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    wat::parse_file(path).unwrap()
}

/// The same with one piece of its text replaced.
fn evil_but(name: &str, from: &str, to: &str) -> Vec<u8> {
    let path = format!("{}/../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{name} does not contain {from}");
    wat::parse_str(text.replace(from, to)).unwrap()
}

/// Partners whose trips have a column of integers besides.
fn federation() -> Federation {
    let mut dictionary = serde_json::to_value(dictionary()).unwrap();
    let n = serde_json::json!({ "name": "n", "type": "int64", "description": "" });
    dictionary["datasets"][0]["columns"].as_array_mut().unwrap().push(n);
    let dictionary = serde_json::from_value(dictionary).unwrap();
    Federation::with(|agreement| agreement.dictionary = dictionary)
}

/// Asks for `wasm` over `n`.
fn asks(wasm: &[u8], fuel_per_person: u64) -> impl FnOnce(&mut Analysis) {
    let body = ModuleBody {
        sha256: cloister_wire::sha256(wasm),
        rows: "SELECT n FROM trips".into(),
        keys: vec![KeyDimension {
            name: "cell".into(),
            values: vec![KeyValue::Int(0), KeyValue::Int(1)],
        }],
        lanes: vec![ModuleLane {
            name: "people".into(),
            value: Bounds::from_steps(0, 1, 0).unwrap(),
        }],
        numbers: ModuleNumbers::Int,
        outputs: ModuleOutputs::Sparse,
        norm_max_steps: None,
        fuel_per_person,
    };
    |analysis| {
        analysis.row_cap = 4;
        analysis.body = Body::Module(body);
    }
}

/// A program that does as the node's own until `dies` is there; then its workers greet, take a module and end
/// without a word.
fn mortal_program(folder: &Path, dies: &Path) -> WorkerProgram {
    let worker = format!("'{}' --module-worker", env!("CARGO_BIN_EXE_cloister-node"));
    // The greeting has 9 bytes.
    let text = format!(
        "if [ -e '{}' ]; then {worker} | head -c 9; else exec {worker}; fi\n",
        dies.display()
    );
    let script = folder.join("worker.sh");
    std::fs::write(&script, text).unwrap();
    // Read by a shell, not executed: another test that starts a process meanwhile may still hold it open.
    WorkerProgram::at("/bin/sh").with_argument(script)
}

/// The node's program under a name of its own, so that a test finds its own workers and no other's.
fn named_program(folder: &Path) -> PathBuf {
    let program = folder.join("worker");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cloister-node"), &program).unwrap();
    program
}

fn processes(program: WorkerProgram) -> Workers {
    Workers::new(WorkerKind::Process { program, requires_isolation: false })
}

/// A node with one table of (person, n), whose workers run `program`.
struct Partner {
    federation: Federation,
    pace: Arc<HandPace>,
    runs: Arc<Runs>,
    _folder: tempfile::TempDir,
}

impl Partner {
    fn new(rows: &[(i64, i64)], program: WorkerProgram, slot_ms: u64) -> Self {
        let Rig { federation, ledger, folder, mut terms } = Rig::with(federation(), generous());
        let workers = processes(program);
        let options =
            MeasureOptions { partitions: 1, workers: workers.clone(), ..Default::default() };
        let catalog = table(&folder.path().join("trips.csv"), rows, &federation);
        terms.workers = workers;
        terms.release_slot_ms = slot_ms;
        let pace = Arc::new(HandPace::default());
        let runs = Runs::new(
            Arc::new(ledger),
            Arc::new(Tables { catalog, options }),
            key("node:north"),
            Arc::new(HandClock::at(NOW_S)),
            pace.clone(),
            terms,
        );
        Self { federation, pace, runs: Arc::new(runs), _folder: folder }
    }

    fn of_the_node(rows: &[(i64, i64)]) -> Self {
        Self::new(rows, WorkerProgram::at(env!("CARGO_BIN_EXE_cloister-node")), SLOT_MS)
    }

    async fn take(
        &self,
        module: Option<&[u8]>,
        edit: impl FnOnce(&mut Analysis),
    ) -> Result<Digest, Refusal> {
        let analysis = self.federation.analysis(edit);
        self.federation.grant("north", &analysis, &self.runs.ledger);
        self.ask(&analysis, module, 1).await
    }

    async fn ask(
        &self,
        analysis: &Envelope,
        module: Option<&[u8]>,
        nonce: u64,
    ) -> Result<Digest, Refusal> {
        let papers = self.federation.papers(analysis, nonce);
        let papers = Papers { module: module.map(<[u8]>::to_vec), ..papers };
        let (runs, request) = (self.runs.clone(), papers.request_digest());
        let taken = tokio::task::spawn_blocking(move || runs.take(&papers.asking()));
        taken.await.unwrap().map(|()| request)
    }

    async fn departed(&self, count: usize) {
        while self.runs.departures.due().len() < count {
            self.runs.departures.changed().await;
        }
    }

    async fn committed(&self, count: usize) {
        while self.states().iter().filter(|state| *state == "released").count() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn states(&self) -> Vec<String> {
        let charges = self.runs.ledger.view().unwrap().charges;
        charges.into_iter().map(|charge| charge.state).collect()
    }

    fn verdict(&self, request: Digest) -> Verdict {
        self.runs.ledger.delivery(request).unwrap().unwrap().verdict
    }

    fn accounts(&self) -> Vec<AccountLine> {
        self.runs.ledger.view().unwrap().accounts
    }

    /// Insists that the first run, which cannot end well any more, is told at its slot and no sooner, by one
    /// withheld answer; what it cost stays spent.
    async fn withholds_at_the_slot(&self, request: Digest, charged: &[AccountLine]) {
        assert!(!charged.is_empty() && charged.iter().all(|account| account.spent != Cost::ZERO));
        self.pace.set_ms(LONG_SLOT_MS - 1);
        assert!(self.runs.departures.due().is_empty());
        assert_eq!(self.states(), ["open"], "nothing is told before the slot");
        self.pace.set_ms(LONG_SLOT_MS);
        self.departed(1).await;
        assert_eq!(self.verdict(request), Verdict::Withheld);
        assert_eq!(self.states(), ["withheld"]);
        assert_eq!(self.accounts(), charged);
    }

    /// Insists that after this the analysis is frozen at no cost, and that the next question is answered.
    async fn goes_on_without(&self, analysis: &Envelope, wasm: &[u8]) {
        let charged = self.accounts();
        assert_eq!(self.ask(analysis, Some(wasm), 2).await, Err(Refusal::Frozen));
        assert_eq!(self.accounts(), charged);
        let harmless = evil("state_memory");
        let next = self.federation.analysis(asks(&harmless, 1_000));
        self.federation.grant("north", &next, &self.runs.ledger);
        let next = self.ask(&next, Some(&harmless), 3).await.unwrap();
        self.committed(1).await;
        self.pace.set_ms(2 * LONG_SLOT_MS);
        self.departed(2).await;
        assert!(matches!(self.verdict(next), Verdict::Released(_)));
    }
}

fn table(path: &Path, rows: &[(i64, i64)], federation: &Federation) -> Catalog {
    let lines = rows.iter().map(|(person, n)| format!("{person},Ashford,1.5,{n}\n"));
    let text = std::iter::once("person_id,city,distance_km,n\n".to_owned()).chain(lines);
    std::fs::write(path, text.collect::<String>()).unwrap();
    let source: SourceConfig = serde_json::from_value(serde_json::json!({
        "dataset": "trips", "format": "csv", "path": path,
        "csv": { "types": { "person_id": "int64", "distance_km": "float64", "n": "int64" } },
        "columns": { "person_id": "person_id", "city": "city", "distance_km": "distance_km", "n": "n" },
    }))
    .unwrap();
    Catalog::open(&[source], &federation.document.dictionary).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a14_a15_a16_a_module_busy_or_failing_on_one_person_shows_nowhere() {
    let others = [(2, 10), (3, 11), (4, 12)];
    let with_bob = [&[(1, BOB)][..], &others].concat();
    for evil_name in [
        "spin_if_bob",
        "trap_if_bob",
        "deep_recursion_if_bob",
        "oom_if_bob",
        "key_leak",
        "ret_negative",
        "inf",
    ] {
        let wasm = evil(evil_name);
        let mut ledgers = Vec::new();
        for rows in [&with_bob[..], &others] {
            let partner = Partner::of_the_node(rows);
            let request = partner.take(Some(&wasm), asks(&wasm, 1_000_000)).await.unwrap();
            partner.pace.set_ms(SLOT_MS - 1);
            // Noise is drawn and stored, and still nothing leaves before the slot.
            partner.committed(1).await;
            assert!(partner.runs.departures.due().is_empty(), "{evil_name} left early");
            partner.pace.set_ms(SLOT_MS);
            partner.departed(1).await;
            assert!(matches!(partner.verdict(request), Verdict::Released(_)), "{evil_name}");
            let view = partner.runs.ledger.view().unwrap();
            let charge = &view.charges[0];
            ledgers.push((
                serde_json::to_value(&view.accounts).unwrap(),
                (charge.state.clone(), charge.cost, charge.attempt, charge.requests),
                view.journal.size,
            ));
        }
        assert_eq!(ledgers[0], ledgers[1], "{evil_name}");
        assert!(!ledgers[0].0.as_array().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_a_killed_worker_is_one_withheld_answer_and_the_node_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = named_program(folder.path());
    let partner = Partner::new(&[(1, BOB), (2, 10)], WorkerProgram::at(&program), LONG_SLOT_MS);
    let wasm = evil("spin_if_bob");
    let analysis = partner.federation.analysis(asks(&wasm, MUCH_FUEL));
    partner.federation.grant("north", &analysis, &partner.runs.ledger);
    let request = partner.ask(&analysis, Some(&wasm), 1).await.unwrap();
    let charged = partner.accounts();
    let worker = busy_worker(&program).await;
    let killed = Command::new("kill").args(["-9", &worker.to_string()]).status().unwrap();
    assert!(killed.success());
    while !workers_of(&program).is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    partner.withholds_at_the_slot(request, &charged).await;
    partner.goes_on_without(&analysis, &wasm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a14_a_module_still_at_work_at_its_slot_is_one_withheld_answer_and_its_worker_ends() {
    let folder = tempfile::tempdir().unwrap();
    let program = named_program(folder.path());
    let partner = Partner::new(&[(1, BOB), (2, 10)], WorkerProgram::at(&program), LONG_SLOT_MS);
    let wasm = evil("spin_if_bob");
    let analysis = partner.federation.analysis(asks(&wasm, MUCH_FUEL));
    partner.federation.grant("north", &analysis, &partner.runs.ledger);
    let request = partner.ask(&analysis, Some(&wasm), 1).await.unwrap();
    let charged = partner.accounts();
    let worker = busy_worker(&program).await;
    partner.withholds_at_the_slot(request, &charged).await;
    // Nobody waits for the worker any more: it is ended, not left to use up its fuel.
    let used = cpu_ticks(worker);
    while workers_of(&program).contains(&worker) {
        let more = cpu_ticks(worker).saturating_sub(used);
        assert!(more < ENDED_WITHIN_TICKS, "the worker goes on, {more} ticks after its slot");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    partner.goes_on_without(&analysis, &wasm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_a_module_is_compiled_in_a_worker_whose_death_is_a_refusal_and_the_node_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let dies = folder.path().join("dies");
    std::fs::write(&dies, "").unwrap();
    let program = mortal_program(folder.path(), &dies);
    let partner = Partner::new(&[(1, 10), (2, 11)], program.clone(), SLOT_MS);
    let wasm = evil("state_memory");
    let analysis = partner.federation.analysis(asks(&wasm, 1_000));
    partner.federation.grant("north", &analysis, &partner.runs.ledger);
    let head = partner.runs.ledger.head().unwrap();
    let refused = partner.ask(&analysis, Some(&wasm), 1).await;
    assert_eq!(refused, Err(Refusal::ModuleRejected), "what was compiled in the node would pass");
    assert_eq!(partner.runs.ledger.head().unwrap(), head, "a refused request leaves no trace");
    // Whoever tries the module at their own prompt is told that it is the module's compiling.
    let draft = partner.federation.draft(asks(&wasm, 1_000));
    let dictionary = &partner.federation.document.dictionary;
    let plan = cloister_plan::replan(dictionary, &draft).unwrap().plan;
    let error = module_fits(&plan, &wasm, &processes(program)).unwrap_err();
    assert!(matches!(error, ModuleFitError::Compiling(_)), "{error}");
    assert!(!error.is_of_this_machine(), "{error}");
    // The very same question passes once workers live through it.
    std::fs::remove_file(&dies).unwrap();
    let request = partner.ask(&analysis, Some(&wasm), 2).await.unwrap();
    partner.committed(1).await;
    partner.pace.set_ms(SLOT_MS);
    partner.departed(1).await;
    assert!(matches!(partner.verdict(request), Verdict::Released(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_a_machine_that_starts_no_worker_is_busy_and_the_module_is_not_blamed() {
    let wasm = evil("state_memory");
    for program in ["/bin/true", "/does/not/exist"] {
        let partner = Partner::new(&[(1, 10)], WorkerProgram::at(program), SLOT_MS);
        let refused = partner.take(Some(&wasm), asks(&wasm, 1_000)).await;
        assert_eq!(refused, Err(Refusal::Busy), "{program}");
        assert!(partner.states().is_empty(), "nothing was charged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a16_fuel_that_may_outlast_the_slot_is_refused_before_a_charge() {
    let partner = Partner::of_the_node(&[(1, 10)]);
    let wasm = evil("state_memory");
    // As many passes over one person as a run may take, on the slowest machine.
    let most = SLOT_MS / PASSES_MAX * FUEL_PER_MS_MIN;
    for fuel in [most + 1, MUCH_FUEL, cloister_plan::limits::FUEL_MAX] {
        let refused = partner.take(Some(&wasm), asks(&wasm, fuel)).await;
        assert_eq!(refused, Err(Refusal::SlotTooShort), "{fuel}");
    }
    assert!(partner.states().is_empty());
    let said = Refusal::SlotTooShort.to_string();
    assert!(said.contains("`fuel_per_person`") && said.contains("`release_slot_ms`"));
    partner.take(Some(&wasm), asks(&wasm, most)).await.unwrap();
}

/// Ids of running workers started as `program`.
fn workers_of(program: &Path) -> Vec<u32> {
    let named = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.starts_with(program.to_str().unwrap().as_bytes())
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(named)
        .collect()
}

/// The worker of `program` that is in the middle of its batch: it has used more time than starting takes.
async fn busy_worker(program: &Path) -> u32 {
    loop {
        if let Some(busy) = workers_of(program).into_iter().find(|id| cpu_ticks(*id) > 30) {
            return busy;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// User time of a process, in ticks of 10 ms.
fn cpu_ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_modules_that_break_a_rule_are_refused_before_they_are_charged() {
    let partner = Partner::of_the_node(&[]);
    let layout = "\\01\\00\\00\\00\\28\\00\\00\\00\\20\\00\\00\\00";
    let old = layout.replacen("\\01", "\\00", 1);
    let newer = layout.replacen("\\01", "\\02", 1);
    let other_rows = layout.replacen("\\28", "\\18", 1);
    let few_outputs = layout.replacen("\\20", "\\10", 1);
    let with = |to: &str| evil_but("state_memory", layout, to);
    let mut huge = evil("state_memory");
    // One custom section, well formed, that makes the module longer than any may be.
    huge.extend([0, 0xff, 0xff, 0x7f, 1, b'x']);
    huge.resize(huge.len() + (1 << 21) - 1 - 2, 0);
    let cut = evil("state_memory");
    let cases = [
        ("an older interface", with(&old)),
        ("a newer interface", with(&newer)),
        ("built for another row cap", with(&other_rows)),
        ("room for fewer outputs", with(&few_outputs)),
        ("imports", evil("import_wasi")),
        ("a start function", evil("start_function")),
        ("memory that grows", evil("state_grow")),
        ("buffers on top of each other", evil("out_overlap")),
        ("a buffer outside memory", evil("bad_ptr")),
        ("too long", huge),
        ("cut off", cut[..cut.len() / 2].to_vec()),
        ("no module", b"SELECT 1".to_vec()),
        ("nothing", vec![]),
    ];
    for (what, wasm) in &cases {
        let refused = partner.take(Some(wasm), asks(wasm, 1_000)).await;
        assert_eq!(refused, Err(Refusal::ModuleRejected), "{what}");
    }
    assert!(Refusal::ModuleRejected.to_string().contains("row cap"));
    // Numbers of the manifest: signed and granted, and still not planned.
    let wasm = evil("state_memory");
    let edits: [fn(&mut ModuleBody); 5] = [
        |body| body.fuel_per_person = 0,
        |body| body.fuel_per_person = cloister_plan::limits::FUEL_MAX + 1,
        |body| body.keys[0].values.clear(),
        |body| body.rows = "SELECT person_id FROM trips".into(),
        |body| body.rows = "DROP TABLE trips".into(),
    ];
    for edit in edits {
        let refused = partner.take(Some(&wasm), |analysis| {
            asks(&wasm, 1_000)(analysis);
            if let Body::Module(body) = &mut analysis.body {
                edit(body);
            }
        });
        assert_eq!(refused.await, Err(Refusal::PlanMismatch));
    }
    // A manifest whose caps are not those the module was built for.
    for row_cap in [1, 3, 5] {
        let refused = partner.take(Some(&wasm), |analysis| {
            asks(&wasm, 1_000)(analysis);
            analysis.row_cap = row_cap;
        });
        assert_eq!(refused.await, Err(Refusal::ModuleRejected), "row cap {row_cap}");
    }
    let spent = partner.runs.ledger.view().unwrap();
    assert!(spent.charges.is_empty(), "nothing was charged");
    partner.take(Some(&wasm), asks(&wasm, 1_000)).await.unwrap();
}
