#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dolmen::fuzzed::spill_frame(bytes));
