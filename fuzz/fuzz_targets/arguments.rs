//! Hostile arguments, compared with what rmon.h says: see src/arguments.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rmon_fuzz::arguments::run(bytes));
