//! The HTTP side of Forebay: metrics, health, who is connected. Serves nothing that needs a secret, decides nothing about connections.
//!
//! | module | answers |
//! | --- | --- |
//! | `server` | which path leads where; start and stop of the thread |
//! | `bounded` | how many connections, how long and how large a request |
//! | `metrics` | the text of `/metrics` |
//! | `sessions` | who is connected, and who may ask that |
//!
//! Invariants: one thread with its own runtime, which no query ever waits for; figures are read when they are asked for, from blocks that
//! the workers write.

mod bounded;
mod metrics;
mod server;
mod sessions;

pub use server::{Server, StartError};
pub use sessions::{Asker, Audience, Sessions};
