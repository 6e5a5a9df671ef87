//! Words and contracts of Forebay: what every other crate may say to every other. Knows none of ours, does no I/O.
//!
//! | module | answers |
//! | --- | --- |
//! | `clock` | what an instant is for code that must not read a clock |
//! | `engine` | what a protocol family must offer to the data plane |
//! | `orders` | what an engine may tell the data plane to do with bytes |
//! | `snapshot` | the immutable configuration a worker runs on |
//! | `refusal`, `close_reason`, `pin_reason` | the names of every "no", every ending and every pin |
//! | `event` | what workers report upwards |
//! | `statement_shape` | a statement as people may see it |
//! | `sessions` | who is connected and what for, as operators ask for it |
//! | `metrics` | counters and histograms that one worker writes and anyone may read |
//! | `notification` | what a database tells apart from answers |
//! | `framing` | what may lie between a client's connection and its messages |
//! | `settings` | the interned value of what a session has set |
//!
//! Invariants: no module here reads a clock, a socket, randomness or global state; secrets have no `Debug`.

mod clock;
mod close_reason;
pub mod engine;
pub mod event;
pub mod framing;
pub mod metrics;
pub mod notification;
pub mod orders;
mod pin_reason;
mod refusal;
pub mod sessions;
pub mod settings;
pub mod snapshot;
mod statement_shape;

pub use clock::Instant;
pub use close_reason::CloseReason;
pub use pin_reason::{PinReason, Pins};
pub use refusal::{Refusal, TargetRefusal};
pub use statement_shape::StatementShape;
