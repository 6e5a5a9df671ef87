//! `bodies::error_fields` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::bodies::error_fields(data));
