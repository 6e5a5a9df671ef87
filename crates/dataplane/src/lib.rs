//! Workers, drivers, TLS, sessions and backends: the only crate that moves client bytes.
//!
//! What crosses threads: immutable snapshots, the connection budget of each target, letters between workers (`mailbox`), results of
//! slow work (`workshop`), counters and events. Nothing else; a query touches one thread.

mod backends;
pub mod buffer;
mod cancelling;
mod clients;
pub mod clock;
pub mod connection;
mod decrypting;
mod dialing;
pub mod driver;
mod family;
mod feeding;
pub mod health;
pub mod hub;
mod leases;
pub mod mailbox;
pub mod pins;
pub mod plan;
mod plane;
mod process_number;
mod redialing;
mod relay;
mod replacing;
mod reporting;
mod scope;
mod scouting;
mod sending;
pub mod sessions;
pub mod silence;
mod socket;
mod subscriptions;
pub mod tls;
mod unframing;
pub mod worker;
pub mod workshop;

pub use plane::{
    DataPlane, DriverChoice, EndpointAddress, NewEndpoint, Options, SessionsAsker, StartError,
};
