//! Lists of operations, compared with the model: see src/operations.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rmon_fuzz::operations::run(bytes));
