//! The data plane under simulation: the worker's own code on a third driver, in memory and virtual time, with faults from a seed.
//!
//! | file | answers |
//! | --- | --- |
//! | `scenario.rs` | what a seed stands for: workers, clients, limits, faults |
//! | `network.rs`, `driver.rs` | how bytes get from one to another; the `Driver` of a worker |
//! | `family.rs` | what a protocol family brings: engine, model server, model clients |
//! | `postgres.rs`, `mysql.rs` | the families |
//! | `setup.rs` | configuration and clients of a scenario |
//! | `world.rs` | who acts next: workers, clients, database, faults |
//! | `database.rs`, `clients.rs` | the model server and the scripted clients on the network |
//! | `arrivals.rs` | who is served when |
//! | `scripts.rs` | programs written by hand, and what workers tell meanwhile |
//! | `known.rs` | what the proxy is known not to do for PostgreSQL, and programs therefore avoid |
//! | `check.rs` | what must always be true, and what must be true at the end |
//!
//! One thread runs everything, turn by turn. Equal seeds give equal runs, in another process, too: [`Report::trace`] tells.
//!
//! Invariants checked: every reply is the predicted one (so no byte of another client, no lost setting or statement); no
//! transaction has statements of two clients; no acknowledged row is lost; the database never has more sessions than the budget;
//! every wait ends; the pools' own checks (builds with debug assertions); no incident; at the end gauges and pools agree with the
//! database.

mod arrivals;
mod check;
mod clients;
mod database;
mod driver;
mod family;
mod known;
mod mysql;
mod network;
mod postgres;
mod scenario;
mod scripts;
mod setup;
mod world;

pub use arrivals::{Answer, JITTER, RELEASE_MAX, arrivals_and_answers};
pub use driver::Driver;
pub use scenario::{ClientLimits, Faults, Scenario};
pub use scripts::{Played, Script, ask, play};
use world::World;

use forebay_core::snapshot::EngineFamily;

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Things that happened.
    pub steps: u64,
    /// Clients that played their programs.
    pub clients: u64,
    /// Replies that were compared and right.
    pub replies: u64,
    /// Connections refused at login, connections lost later.
    pub mishaps: (u64, u64),
    /// Faults injected.
    pub faults: u64,
    /// Transactions that wrote.
    pub commits: u64,
    /// Backends that moved between workers.
    pub moves: u64,
    /// Hash of all that happened, in order.
    pub trace: u64,
    /// Virtual time, in milliseconds.
    pub milliseconds: u64,
}

/// What went wrong in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What is wrong.
    pub problem: String,
    /// What happened last, oldest first; only of runs that were asked to tell.
    pub last: Vec<String>,
}

/// Runs a seed. `telling` keeps the last things that happened, for a failure.
///
/// # Errors
/// The first violation.
pub fn run(engine: EngineFamily, seed: u64, telling: usize) -> Result<Report, Failure> {
    let scenario = Scenario::random(seed);
    match engine {
        EngineFamily::Postgres => World::<postgres::Postgres>::new(&scenario, telling).run(),
        EngineFamily::Mysql => World::<mysql::Mysql>::new(&scenario, telling).run(),
    }
}
