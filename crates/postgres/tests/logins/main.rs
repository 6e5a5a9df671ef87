//! Both logins from outside: `client.rs` and `backend.rs` are tables of one machine against scripted bytes, `both.rs` lets the two
//! machines log in to each other, `hostile.rs` throws random bytes at them. `support.rs` obeys orders as a worker would, and checks
//! that they make sense.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

mod backend;
mod both;
mod client;
mod hostile;
mod sasl_faults;
mod support;
