;; Burns most of the allowance on everyone and more than all of it on Bob: what one person leaves
;; or overdraws must not move the fence for the next.
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
    (local $left i32)
    (local.set $left (select (i32.const 20000) (i32.const 10000) (call $is_bob)))
    (loop $again
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $again (local.get $left)))
    (call $one (i64.const 1))))
