//! `bodies::client_login` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::bodies::client_login(data));
