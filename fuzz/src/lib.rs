//! What the fuzz targets call. The same functions are replayed over `corpus/` by the tests `corpus` of `crates/postgres` and
//! `crates/mysql`, without a fuzzer.

pub mod bodies;
pub mod mysql;
#[path = "../../crates/postgres/tests/support/mod.rs"]
pub mod support;
