//! Runs a module over a few persons, alone and in every order, and insists that it makes no difference.
//!
//! Must never compare a run with itself: the oracle is a worker of its own for each person. Nor rest on outputs
//! alone: memory and globals are compared with the image after every person.

use cloister_sandbox::{
    ColumnData, ColumnKind, Counters, DenseNumbers, Job, Limits, OutputLayout, Outputs, Pair,
    PersonBatch, PersonOutput, Refusal, Runner, RunnerError, Setup, Shape, VetError, Vetted,
    compile, vet,
};

/// Fuel that every harmless module stays below.
pub const FUEL: u64 = 1_000_000;
/// The one whom evil modules look for, by this first value.
pub const BOB: i64 = 66;

/// Names of all files in `tests/evil`, in order.
pub fn evil_names() -> Vec<String> {
    let folder = format!("{}/../../tests/evil", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A module from `tests/evil`, assembled.
pub fn evil(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The same with one piece of its text replaced.
pub fn evil_but(name: &str, from: &str, to: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/evil/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{path} does not contain {from}");
    wat::parse_str(text.replace(from, to)).unwrap()
}

/// What the vetter says.
pub fn vetted(wasm: &[u8]) -> Result<Vetted, VetError> {
    vet(wasm, &Limits::V1)
}

/// Why the vetter refuses.
pub fn refused(wasm: &[u8]) -> VetError {
    vetted(wasm).expect_err("the vetter took it")
}

/// One pair at index 0.
pub fn one(value: i64) -> PersonOutput {
    PersonOutput::Pairs(vec![Pair { index: 0, value }])
}

/// Alice, Bob, Carol, and Dave who has no rows.
pub fn crowd() -> Vec<Vec<i64>> {
    vec![vec![10, 11], vec![BOB, 67, 68], vec![12], vec![]]
}

/// The setup of all evil modules: four rows, one column, two outputs.
pub fn setup(wasm: &[u8], kind: ColumnKind, fuel_per_person: u64) -> Setup {
    let shape = Shape::new(4, vec![kind], 2).unwrap();
    Setup { wasm: wasm.to_vec(), shape, fuel_per_person }
}

/// The shape of all evil modules, but that the 32 bytes of their two pairs are four values in order.
pub fn in_order() -> Shape {
    let shape = Shape::new(4, vec![ColumnKind::Int], 4).unwrap();
    shape.with_layout(OutputLayout::Dense(DenseNumbers::Ints))
}

/// Why the worker refuses.
pub fn start_refused(wasm: &[u8]) -> Refusal {
    match Runner::start(&setup(wasm, ColumnKind::Int, FUEL)) {
        Err(RunnerError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// A batch of these persons; for a float column the values are bits.
pub fn batch(shape: &Shape, persons: &[Vec<i64>]) -> PersonBatch {
    let mut batch = PersonBatch::new(shape);
    for values in persons {
        let valid = vec![true; values.len()];
        let floats: Vec<f64> = values.iter().map(|v| f64::from_bits(v.cast_unsigned())).collect();
        let column = match shape.columns()[0] {
            ColumnKind::Float => ColumnData::Float { values: &floats, valid: &valid },
            ColumnKind::Int => ColumnData::Int { values, valid: &valid },
            ColumnKind::Code => ColumnData::Code { values, valid: &valid },
        };
        batch.push_person(values.len(), &[column]).unwrap();
    }
    batch
}

/// Every person alone in a worker of its own (the oracle), then all in one job in every order, compared with
/// the image after every person: the outputs must be the oracle's. Then once as shipped, where a sample is
/// compared. Returns the outputs, and the counters of that last pass over the crowd.
pub fn isolated(
    wasm: &[u8],
    kind: ColumnKind,
    fuel: u64,
    persons: &[Vec<i64>],
) -> (Vec<PersonOutput>, Counters) {
    isolated_as(&setup(wasm, kind, fuel), persons)
}

/// The same for a setup of any shape with one column.
pub fn isolated_as(setup: &Setup, persons: &[Vec<i64>]) -> (Vec<PersonOutput>, Counters) {
    let mut oracle = Vec::new();
    for person in persons {
        let mut runner = Runner::start(setup).unwrap();
        let person = batch(&setup.shape, std::slice::from_ref(person));
        oracle.extend(runner.run_batch(&person).unwrap());
    }
    let compiled = compile(&vetted(&setup.wasm).unwrap()).unwrap();
    let (shape, fuel) = (setup.shape.clone(), setup.fuel_per_person);
    let job = Job::new(compiled, shape, fuel).unwrap();
    let mut job = job.compared_every(1);
    for order in orders(persons.len()) {
        let shuffled: Vec<_> = order.iter().map(|i| persons[*i].clone()).collect();
        let want: Vec<_> = order.iter().map(|i| oracle[*i].clone()).collect();
        let mut outputs = Outputs::default();
        job.run_batch(&batch(&setup.shape, &shuffled).persons(), &mut outputs).unwrap();
        assert_eq!(outputs.to_persons(), want, "{order:?}");
    }
    let mut runner = Runner::start(setup).unwrap();
    assert_eq!(runner.run_batch(&batch(&setup.shape, persons)).unwrap(), oracle);
    (oracle, runner.finish().unwrap())
}

/// [`isolated`] with the usual crowd, an integer column and enough fuel.
pub fn crowd_of(name: &str) -> (Vec<PersonOutput>, Counters) {
    isolated(&evil(name), ColumnKind::Int, FUEL, &crowd())
}

/// Every order of `0..count` (Heap's algorithm).
pub fn orders(count: usize) -> Vec<Vec<usize>> {
    fn permute(k: usize, order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if k <= 1 {
            all.push(order.clone());
            return;
        }
        for i in 0..k {
            permute(k - 1, order, all);
            order.swap(if k.is_multiple_of(2) { i } else { 0 }, k - 1);
        }
    }
    let mut all = Vec::new();
    permute(count, &mut (0..count).collect(), &mut all);
    assert_eq!(all.len(), (1..=count).product::<usize>());
    all
}
