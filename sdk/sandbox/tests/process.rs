//! The worker as a process of its own: what it can reach, what its death costs, what the compile cache
//! brings. This binary is its own worker, so it has a `main` of its own.
//!
//! Must never count a denied call as denied without looking at the error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Shared with the tests of evil modules.
mod crowd;
mod tries;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use cloister_sandbox::limits::WATCHDOG_MS;
use cloister_sandbox::{
    ColumnKind, CompileCache, Counters, PersonOutput, Protections, Runner, RunnerError, WorkerKind,
    WorkerProgram, Workers, worker_main_if_asked,
};
use crowd::{BOB, FUEL, batch, evil, evil_names, one, setup};

const TESTS: &[(&str, fn())] = &[
    ("a_process_runs_modules_like_a_thread", a_process_runs_modules_like_a_thread),
    ("a_process_holds_two_pipes_and_nothing_else", a_process_holds_two_pipes_and_nothing_else),
    ("nothing_can_be_opened_sent_or_started", nothing_can_be_opened_sent_or_started),
    ("before_persons_the_process_gives_up_more", before_persons_the_process_gives_up_more),
    ("landlock_alone_denies_files", landlock_alone_denies_files),
    ("a14_a_killed_worker_costs_the_job_alone", a14_a_killed_worker_costs_the_job_alone),
    ("a14_an_abandoned_job_keeps_no_core_busy", a14_an_abandoned_job_keeps_no_core_busy),
    (
        "a_batch_that_outlasts_its_time_ends_the_whole_job",
        a_batch_that_outlasts_its_time_ends_the_whole_job,
    ),
    ("a_dropped_runner_leaves_no_process", a_dropped_runner_leaves_no_process),
    (
        "nobody_who_returns_costs_a_system_call_or_a_page_fault",
        nobody_who_returns_costs_a_system_call_or_a_page_fault,
    ),
    ("a_refused_module_ends_its_worker", a_refused_module_ends_its_worker),
    ("hostile_modules_in_a_row_leave_no_trace", hostile_modules_in_a_row_leave_no_trace),
    ("another_program_is_no_worker", another_program_is_no_worker),
    ("missing_protections_are_refused_unless_allowed", missing_protections_are_refused),
    ("what_was_compiled_once_is_loaded", what_was_compiled_once_is_loaded),
    ("a_spoilt_cache_is_compiled_again", a_spoilt_cache_is_compiled_again),
];

fn main() -> ExitCode {
    if let Some(code) = worker_main_if_asked().or_else(tries::main_if_asked) {
        return code;
    }
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f));
    // A failed test panics: the message and a non-zero exit code are the runtime's.
    for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
        println!("test {name} ...");
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn processes() -> Workers {
    Workers::of_this_program(true)
}

fn workers(program: WorkerProgram, requires_isolation: bool) -> Workers {
    Workers::new(WorkerKind::Process { program, requires_isolation })
}

/// One pass over the usual crowd.
fn run(workers: &Workers, name: &str) -> (Vec<PersonOutput>, Counters) {
    let setup = setup(&evil(name), ColumnKind::Int, FUEL);
    let mut runner = workers.start(&setup, WATCHDOG_MS).unwrap();
    let outputs = runner.run_batch(&batch(&setup.shape, &crowd::crowd())).unwrap();
    (outputs, runner.finish().unwrap())
}

fn a_process_runs_modules_like_a_thread() {
    assert_eq!(processes().protections().unwrap(), Some(Protections::ALL));
    let threads = Workers::new(WorkerKind::Thread);
    assert_eq!(threads.protections().unwrap(), None);
    // Traps, fuel, stack, bulk memory, dropped segments, tables, data, nothing special.
    for name in [
        "state_memory",
        "state_table",
        "state_data_drop",
        "trap_if_bob",
        "spin_if_bob",
        "deep_recursion_if_bob",
        "bulk_bomb",
        "host_input_residue",
        "key_leak",
    ] {
        assert_eq!(run(&processes(), name), run(&threads, name), "{name}");
    }
}

fn a_process_holds_two_pipes_and_nothing_else() {
    // Open in the node, and no worker's business.
    let _ledger = fs::File::open("/etc/passwd").unwrap();
    let setup = setup(&evil("state_memory"), ColumnKind::Int, FUEL);
    let mut runner = processes().start(&setup, WATCHDOG_MS).unwrap();
    runner.run_batch(&batch(&setup.shape, &crowd::crowd())).unwrap();
    let process = format!("/proc/{}", runner.process_id().unwrap());
    let process = Path::new(&process);
    // What whoever started the tests left open for every child; see the tries below.
    let left_open = left_open();
    let held: Vec<String> = fs::read_dir(process.join("fd"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !left_open.contains(&entry.file_name().into_string().unwrap()))
        .map(|entry| fs::read_link(entry.path()).unwrap().display().to_string())
        .collect();
    let pipes: BTreeSet<_> = held.iter().filter(|held| held.starts_with("pipe:")).collect();
    assert_eq!(pipes.len(), 2, "{held:?}");
    let image = |held: &String| held.starts_with("/memfd:wasm");
    let others: Vec<_> =
        held.iter().filter(|held| !held.starts_with("pipe:") && !image(held)).collect();
    assert_eq!(others, ["/dev/null"], "{held:?}");
    assert_eq!(fs::read(process.join("environ")).unwrap(), b"");
    assert_eq!(fs::read_link(process.join("cwd")).unwrap(), Path::new("/"));
    let status = fs::read_to_string(process.join("status")).unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert!(limit("Max core file size") <= 1);
    assert_eq!(limit("Max cpu time"), cloister_sandbox::limits::WORKER_CPU_S_MAX);
    assert_eq!(limit("Max data size"), cloister_sandbox::limits::WORKER_DATA_BYTES);
    assert_eq!(limit("Max address space"), cloister_sandbox::limits::WORKER_ADDRESS_BYTES);
    runner.finish().unwrap();
}

fn nothing_can_be_opened_sent_or_started() {
    let found = tries::outcomes(tries::BEFORE_SETUP);
    // 1 is EPERM, from the filter; threads are the engine's.
    for what in [
        "open a file",
        "open itself",
        "make a file",
        "list a folder",
        "udp socket",
        "tcp socket",
        "unix socket",
        "start a program",
        "read the environment of its parent",
        "read another descriptor",
        "write another descriptor",
        "ask for the flags of a descriptor",
    ] {
        assert_eq!(found[what], "denied 1", "{what}");
    }
    assert_eq!(found["copy a descriptor"], "done");
    assert_eq!(found["protections"], "landlock, seccomp, resource limits");
    assert_eq!(found["start a thread"], "done");
    assert_eq!(found["2 GiB of memory"], "denied");
    assert_eq!(found["1 MiB of memory"], "done");
}

fn before_persons_the_process_gives_up_more() {
    let found = tries::outcomes(tries::BEFORE_PERSONS);
    for what in [
        "open a file",
        "udp socket",
        "start a program",
        "read another descriptor",
        "write another descriptor",
        "copy a descriptor",
        "ask for the flags of a descriptor",
    ] {
        assert_eq!(found[what], "denied 1", "{what}");
    }
    assert_ne!(found["start a thread"], "done");
    assert_eq!(found["1 MiB of memory"], "done");
}

fn landlock_alone_denies_files() {
    let found = tries::outcomes(tries::LANDLOCK);
    // 13 is EACCES, from landlock.
    for what in ["open a file", "open itself", "make a file", "list a folder"] {
        assert_eq!(found[what], "denied 13", "{what}");
    }
    // Which the filter would have denied: what was measured above is landlock.
    assert_eq!(found["udp socket"], "done");
}

fn a14_a_killed_worker_costs_the_job_alone() {
    let workers = processes();
    let spinning = setup(&evil("spin_if_bob"), ColumnKind::Int, 1_000_000_000_000);
    let mut runner = workers.start(&spinning, WATCHDOG_MS).unwrap();
    let id = runner.process_id().unwrap();
    let bob = batch(&spinning.shape, &[vec![BOB]]);
    let said = std::thread::scope(|scope| {
        let running = scope.spawn(|| runner.run_batch(&bob));
        // In the middle of the batch: it has used more time than starting takes.
        while !running.is_finished() && cpu_ticks(id) < 50 {
            std::thread::yield_now();
        }
        kill(id);
        running.join().unwrap()
    });
    assert_eq!(said, Err(RunnerError::Closed));
    assert_eq!(runner.run_batch(&bob), Err(RunnerError::Over));
    drop(runner);
    assert!(is_gone(id));
    assert_eq!(run(&workers, "state_memory").0, vec![one(1); 4]);
}

fn a14_an_abandoned_job_keeps_no_core_busy() {
    let spinning = setup(&evil("spin_if_bob"), ColumnKind::Int, 1_000_000_000_000);
    let starting = processes().begin().unwrap();
    let lease = starting.lease();
    let mut runner = starting.set_up(&spinning, WATCHDOG_MS).unwrap();
    let id = runner.process_id().unwrap();
    let bob = batch(&spinning.shape, &[vec![BOB]]);
    let said = std::thread::scope(|scope| {
        let running = scope.spawn(|| runner.run_batch(&bob));
        while !running.is_finished() && cpu_ticks(id) < 50 {
            std::thread::yield_now();
        }
        // Nobody waits for the answer any more; the call itself is still there.
        drop(lease);
        running.join().unwrap()
    });
    assert_eq!(said, Err(RunnerError::Closed));
    drop(runner);
    assert!(is_gone(id));
    // Held until the end of a job that ends well, it harms nobody.
    let starting = processes().begin().unwrap();
    let lease = starting.lease();
    let runner = starting.set_up(&spinning, WATCHDOG_MS).unwrap();
    runner.finish().unwrap();
    drop(lease);
    // Nor does the worker live on that nobody wants before it knows its module.
    let starting = processes().begin().unwrap();
    drop(starting.lease());
    let said = starting.set_up(&spinning, WATCHDOG_MS).map(|_| ());
    assert!(matches!(said, Err(RunnerError::Closed | RunnerError::Io(_))), "{said:?}");
    assert_eq!(children(), BTreeSet::new());
}

fn a_batch_that_outlasts_its_time_ends_the_whole_job() {
    // Fuel for many minutes: only the node can end this.
    let spinning = setup(&evil("spin_if_bob"), ColumnKind::Int, 1_000_000_000_000);
    let mut runner = processes().start(&spinning, 20).unwrap();
    let id = runner.process_id().unwrap();
    let persons = batch(&spinning.shape, &crowd::crowd());
    assert_eq!(runner.run_batch(&persons), Err(RunnerError::Silent { waited_ms: 20 }));
    assert_eq!(runner.run_batch(&persons), Err(RunnerError::Over));
    assert_eq!(runner.finish(), Err(RunnerError::Over));
    assert!(is_gone(id));
    assert_eq!(children(), BTreeSet::new());
}

fn a_dropped_runner_leaves_no_process() {
    let spinning = setup(&evil("spin_if_bob"), ColumnKind::Int, 1_000_000_000_000);
    let idle = processes().start(&spinning, WATCHDOG_MS).unwrap();
    let id = idle.process_id().unwrap();
    assert!(!is_gone(id));
    drop(idle);
    assert!(is_gone(id));
    // One that ended by itself is waited for too.
    let runner = processes().start(&spinning, WATCHDOG_MS).unwrap();
    let id = runner.process_id().unwrap();
    runner.finish().unwrap();
    assert!(is_gone(id));
    assert_eq!(children(), BTreeSet::new());
}

fn nobody_who_returns_costs_a_system_call_or_a_page_fault() {
    let said = |argument| String::from_utf8(tries::said(argument).stdout).unwrap();
    assert_eq!(said(tries::WITHOUT_CALLS), "ran without a call, faults 0 and 0");
    // Whoever makes one says nothing any more.
    assert_eq!(said(tries::WITH_A_CALL), "");
}

fn a_refused_module_ends_its_worker() {
    for (name, reason) in [("import_wasi", "import"), ("bad_ptr", "buffer_outside")] {
        match processes().start(&setup(&evil(name), ColumnKind::Int, FUEL), WATCHDOG_MS) {
            Err(RunnerError::Refused(refusal)) => assert_eq!(refusal.reason, reason),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(children(), BTreeSet::new());
}

fn hostile_modules_in_a_row_leave_no_trace() {
    const MODULES: usize = 200;
    let names = evil_names();
    let mut state: u64 = 200;
    let mut random = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut ran, mut refused) = (0, 0);
    // What one job opens once and for all is open then.
    run(&processes(), "state_memory");
    let open = descriptors();
    for nth in 0..MODULES {
        let mut wasm = evil(&names[nth % names.len()]);
        // Every fourth as it lies in its folder.
        let changes = if nth.is_multiple_of(4) { 0 } else { 1 + random(3) };
        for _ in 0..changes {
            let at = random(wasm.len());
            wasm[at] = random(256) as u8;
        }
        let setup = setup(&wasm, ColumnKind::Int, 20_000);
        match processes().start(&setup, 10_000) {
            Ok(mut runner) => {
                let outputs = runner.run_batch(&batch(&setup.shape, &crowd::crowd())).unwrap();
                assert_eq!(outputs.len(), 4);
                ran += 1;
                // The others are dropped in the middle of their job.
                if nth.is_multiple_of(2) {
                    runner.finish().unwrap();
                }
            }
            Err(RunnerError::Refused(_)) => refused += 1,
            Err(other) => panic!("module {nth}: {other}"),
        }
    }
    assert!(ran > 30 && refused > 30, "{ran} ran, {refused} were refused");
    assert_eq!(children(), BTreeSet::new());
    assert_eq!(descriptors(), open);
}

fn another_program_is_no_worker() {
    let start = |program| {
        workers(program, true)
            .start(&setup(&evil("key_leak"), ColumnKind::Int, FUEL), WATCHDOG_MS)
            .unwrap_err()
    };
    assert_eq!(start(WorkerProgram::at("/bin/echo")), RunnerError::NotAWorker);
    assert_eq!(start(WorkerProgram::at("/bin/true")), RunnerError::NotAWorker);
    let missing = WorkerProgram::at("/does/not/exist");
    assert_eq!(start(missing), RunnerError::Io(std::io::ErrorKind::NotFound));
    assert_eq!(children(), BTreeSet::new());
}

fn missing_protections_are_refused() {
    let old = || WorkerProgram::this_one().with_argument(tries::BARE_WORKER);
    let refused = workers(old(), true).protections().unwrap_err();
    assert_eq!(refused, RunnerError::NotIsolated { missing: "landlock, seccomp".to_owned() });
    assert!(refused.to_string().contains("require_kernel_isolation = false"), "{refused}");
    let allowed = workers(old(), false);
    let found = allowed.protections().unwrap().unwrap();
    assert_eq!(found, Protections { limits: true, ..Protections::default() });
}

/// Files with a folder's artefacts, without the key.
fn artefacts(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>, std::time::SystemTime)> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "machine"))
        .map(|path| {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), fs::read(&path).unwrap(), modified)
        })
        .collect()
}

fn cached(folder: &Path) -> Workers {
    processes().with_cache(CompileCache::open(folder).unwrap())
}

fn what_was_compiled_once_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let want = run(&processes(), "state_memory");
    assert_eq!(run(&cached(folder.path()), "state_memory"), want);
    let first = artefacts(folder.path());
    assert_eq!(first.len(), 1);
    // Loaded, not made again: nothing is stored anew, also after a restart.
    assert_eq!(run(&cached(folder.path()), "state_memory"), want);
    assert_eq!(artefacts(folder.path()), first);
    run(&cached(folder.path()), "key_leak");
    assert_eq!(artefacts(folder.path()).len(), 2);
    // A module that is refused leaves nothing.
    let wasm = evil("bad_ptr");
    let refused: Result<Runner, _> =
        cached(folder.path()).start(&setup(&wasm, ColumnKind::Int, FUEL), WATCHDOG_MS);
    assert!(matches!(refused, Err(RunnerError::Refused(_))));
    assert_eq!(artefacts(folder.path()).len(), 2);
}

fn a_spoilt_cache_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let want = run(&cached(folder.path()), "state_memory");
    run(&cached(other.path()), "state_memory");
    let (path, good, _) = artefacts(folder.path()).remove(0);
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let foreign = artefacts(other.path()).remove(0).1;
    for spoilt in [&changed[..], &foreign, &good[..good.len() / 2], b""] {
        fs::write(&path, spoilt).unwrap();
        assert_eq!(run(&cached(folder.path()), "state_memory"), want);
        assert_ne!(fs::read(&path).unwrap(), spoilt, "made again");
    }
    // A cache that cannot be written costs time alone.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(run(&cached(folder.path()), "state_memory"), want);
}

/// Numbers of this process's descriptors that its children inherit, but for the standard ones.
fn left_open() -> BTreeSet<String> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let listed = fs::read_dir("/proc/self/fdinfo").unwrap();
    listed
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let info = fs::read_to_string(entry.path()).ok()?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            let name = entry.file_name().into_string().unwrap();
            let is_inherited = flags & CLOSE_ON_EXEC == 0 && name.parse::<u32>().unwrap() > 2;
            is_inherited.then_some(name)
        })
        .collect()
}

fn kill(id: u32) {
    let killed = Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
    assert!(killed.success());
}

/// True when there is no such process, not even a zombie.
fn is_gone(id: u32) -> bool {
    !Path::new(&format!("/proc/{id}")).exists()
}

/// User time of a process, in ticks of 10 ms.
fn cpu_ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

/// How many descriptors this process holds.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Ids of this process's children, zombies included.
fn children() -> BTreeSet<u32> {
    let own = std::process::id().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|id: &u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(own.as_str())
        })
        .collect()
}
