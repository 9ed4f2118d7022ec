;; Returns the most negative number on Bob.
(module
  (memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  ;; version 1, input 40 bytes (one column, four rows), output 32 bytes (two pairs), signature 0: not said
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\20\00\00\00\00\00\00\00")
  (func $first (result i64) (i64.load (i32.const 1032)))
  (func $is_bob (result i32) (i64.eq (call $first) (i64.const 66)))
  (func $one (param $value i64) (result i32)
    (i64.store (i32.const 2048) (i64.const 0))
    (i64.store (i32.const 2056) (local.get $value))
    (i32.const 1))
  (func (export "person_map") (param $rows i32) (result i32)
    (if (call $is_bob) (then (return (i32.const 0x80000000))))
    (call $one (i64.const 1))))
