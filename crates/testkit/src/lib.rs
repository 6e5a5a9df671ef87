//! What the project's own tests run against: model databases and scripted peers, all deterministic.
//!
//! - [`model`]: a PostgreSQL server and its clients as pure state machines (bytes in, bytes out), for simulation.
//! - [`sim`]: the data plane's workers between those two, on a driver in memory, with virtual time and faults from a seed.
//! - [`oracle`]: session programs on a real server, directly and through the proxy, every reply compared.
//!
//! Nothing here is compiled into the proxy. Everything that could differ from run to run (time, order, randomness)
//! is an argument, so a seed repeats a run exactly; real servers in `oracle` are the exception.

pub mod model;
pub mod oracle;
pub mod sim;
