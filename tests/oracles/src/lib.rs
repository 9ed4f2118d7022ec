//! Nothing but tests: Cloister's samplers against independent ones (`tests/`). No other crate may
//! depend on this one or on what it compares with.
