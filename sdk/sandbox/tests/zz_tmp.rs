//! tmp
#![allow(clippy::unwrap_used)]
use cloister_sandbox::*;
use std::time::Instant;
const H: &str = r#"(memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\20\00\00\00\00\00\00\00")
  (func (export "person_map") (param $rows i32) (result i32) (i32.const 0))"#;
#[test]
fn bomb() {
    for (l, n, reps) in [(1000, 500, 1), (1000,500,8), (60, 8000, 1), (60,8000,8)] {
        let locals = " i64".repeat(l);
        let sets: String = (0..l).map(|n| format!("(local.set {n} (i64.const {n}))")).collect();
        let gets: String = (0..l).map(|n| format!("(drop (i64.add (local.get {n}) (local.get {n})))(local.set {n} (i64.add (local.get {n}) (i64.const 1)))")).collect();
        let loops = "(loop (br_if 0 (i32.const 0)))".repeat(n);
        let f = format!("(func (local{locals}) {sets} {loops} {gets} (i64.store (i32.const 0) (local.get 3)) {loops})", loops = &loops[..loops.len()/2/30*30]);
        let nested = f.replace("(drop", "(drop");
        let m = format!("(module {H} {})", nested.repeat(reps));
        let w = wat::parse_str(&m).unwrap();
        let t = Instant::now();
        let v = match vet(&w, &Limits::V1) { Ok(v) => v, Err(e) => { println!("{l} {n} {reps}: {e}"); continue } };
        let tv = t.elapsed();
        let t = Instant::now();
        let _c = compile(&v).unwrap();
        println!("{l} {n} {reps}: {} bytes, vet {tv:?} compile {:?}", w.len(), t.elapsed());
        println!("{}", std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap());
    }
    let w = wat::parse_str(&format!("(module {H})")).unwrap();
    let t = Instant::now();
    let shape = Shape::new(4, vec![ColumnKind::Int], 2).unwrap();
    let setup = Setup { wasm: w, shape, fuel_per_person: 1000, watchdog_ms: 100000 };
    let mut r = Runner::start(&setup).unwrap();
    println!("start {:?}", t.elapsed());
    let mut b = PersonBatch::new(r.shape());
    for _ in 0..20000 { b.push_person(2, &[ColumnData::Int { values: &[1,2], valid: &[true,true] }]).unwrap(); }
    for _ in 0..2 {
    let t = Instant::now();
    r.run_batch(&b).unwrap();
    println!("person {:?}", t.elapsed() / 20000);
    }
}
