;; Gives the widest index and values there are. They leave raw; the node clamps.
(module
  (memory (export "memory") 1 1)
  (global (export "CLOISTER_INPUT") i32 (i32.const 1024))
  (global (export "CLOISTER_OUTPUT") i32 (i32.const 2048))
  (global (export "CLOISTER_LAYOUT") i32 (i32.const 16))
  ;; version 1, input 40 bytes (one column, four rows), output 32 bytes (two pairs), signature 0: not said
  (data (i32.const 16) "\01\00\00\00\28\00\00\00\20\00\00\00\00\00\00\00")
  (func (export "person_map") (param $rows i32) (result i32)
    (i32.store (i32.const 2048) (i32.const -1))
    (i64.store (i32.const 2056) (i64.const 0x8000000000000000))
    (i64.store (i32.const 2072) (i64.const 0x7fffffffffffffff))
    (i32.const 2)))
