;; Sums floats in row order, where the order shows in the last bits. The column is a float column.
(module
  (memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  ;; version 1, input 40 bytes (one column, four rows), output 32 bytes (two pairs), signature 0: not said
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\20\00\00\00\00\00\00\00")
  (func $one (param $value i64) (result i32)
    (i64.store (i32.const 2048) (i64.const 0))
    (i64.store (i32.const 2056) (local.get $value))
    (i32.const 1))
  (func (export "person_map") (param $rows i32) (result i32)
    (local $sum f64)
    (local $row i32)
    (block $done
      (loop $again
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (local.set $sum
          (f64.add
            (local.get $sum)
            (f64.load offset=1032 (i32.shl (local.get $row) (i32.const 3)))))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $again)))
    (call $one (i64.reinterpret_f64 (local.get $sum)))))
