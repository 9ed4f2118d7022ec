;; Sums every byte of the input buffer, rows past the last included. Its file fills that buffer beforehand:
;; neither that nor an earlier person may show.
(module
  (memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  ;; version 1, input 40 bytes (one column, four rows), output 32 bytes (two pairs), signature 0: not said
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\20\00\00\00\00\00\00\00")
  (data (i32.const 1024) "\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff")
  (func $one (param $value i64) (result i32)
    (i64.store (i32.const 2048) (i64.const 0))
    (i64.store (i32.const 2056) (local.get $value))
    (i32.const 1))
  (func (export "person_map") (param $rows i32) (result i32)
    (local $at i32)
    (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (i64.load8_u offset=1024 (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 40))))
    (call $one (local.get $sum))))
