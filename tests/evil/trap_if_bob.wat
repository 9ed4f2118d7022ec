;; Traps on Bob, in the way that his second value says (0 to 7).
(module
  (memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  ;; version 1, input 40 bytes (one column, four rows), output 32 bytes (two pairs), signature 0: not said
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\20\00\00\00\00\00\00\00")
  (type $answer (func (result i32)))
  (type $other (func (result i64)))
  (table 2 2 funcref)
  (elem (i32.const 0) func $honest)
  (func $honest (result i32) (i32.const 1))
  (func $first (result i64) (i64.load (i32.const 1032)))
  (func $is_bob (result i32) (i64.eq (call $first) (i64.const 66)))
  (func $one (param $value i64) (result i32)
    (i64.store (i32.const 2048) (i64.const 0))
    (i64.store (i32.const 2056) (local.get $value))
    (i32.const 1))
  (func (export "person_map") (param $rows i32) (result i32)
    (local $nought i32)
    (if (call $is_bob)
      (then
        (block $float
          (block $signature
            (block $null
              (block $table
                (block $memory
                  (block $overflow
                    (block $zero
                      (block $unreachable
                        (br_table $unreachable $zero $overflow $memory $table $null $signature $float
                          (i32.wrap_i64 (i64.load (i32.const 1040)))))
                      (unreachable))
                    (return (i32.div_s (i32.const 1) (local.get $nought))))
                  (return (i32.div_s (i32.const 0x80000000) (i32.sub (local.get $nought) (i32.const 1)))))
                (return (i32.load (i32.const 65534))))
              (return (call_indirect (type $answer) (i32.const 9))))
            (return (call_indirect (type $answer) (i32.const 1))))
          (return (i32.wrap_i64 (call_indirect (type $other) (i32.const 0)))))
        (return (i32.trunc_f64_s (f64.const nan)))))
    (call $one (i64.const 1))))
