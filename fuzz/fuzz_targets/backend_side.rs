//! `bodies::backend_side` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::bodies::backend_side(data));
