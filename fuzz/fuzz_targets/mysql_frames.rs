//! `mysql::wire::compression` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::mysql::frames(data));
