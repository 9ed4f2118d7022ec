;; Passes its input through float arithmetic as the payload of a NaN; one NaN must come out.
(module
  (memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  ;; version 1, input 40 bytes (one column, four rows), output 32 bytes (two pairs), signature 0: not said
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\20\00\00\00\00\00\00\00")
  (func $first (result i64) (i64.load (i32.const 1032)))
  (func (export "person_map") (param $rows i32) (result i32)
    (i64.store (i32.const 2056)
      (i64.reinterpret_f64 (f64.add (f64.reinterpret_i64 (call $first)) (f64.const 0))))
    (i32.store (i32.const 2064) (i32.const 1))
    (i64.store (i32.const 2072)
      (i64.extend_i32_u
        (i32.reinterpret_f32
          (f32.mul (f32.reinterpret_i32 (i32.load (i32.const 1040))) (f32.const 1)))))
    (i32.const 2)))
