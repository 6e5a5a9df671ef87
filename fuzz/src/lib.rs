//! What the fuzz targets call. The same functions are replayed over `corpus/` by the test `corpus` of `crates/postgres`, without a fuzzer.

pub mod bodies;
#[path = "../../crates/postgres/tests/support/mod.rs"]
pub mod support;
