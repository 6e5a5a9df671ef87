//! Conformance with tokio-postgres.
fn main() {}
