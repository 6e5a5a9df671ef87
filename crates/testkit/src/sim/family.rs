//! What the simulation asks of a protocol family: its engine, a model of its server and of its clients, and what these put up with.
//!
//! World, network, driver and faults are the same for all; a family is one file here (`postgres.rs`, `mysql.rs`) and its models in
//! [`crate::model`]. Everything is deterministic: what is random comes from the numbers that are handed in.

use super::scenario::{Faults, Scenario};
use crate::model::client::{Order, Violation};
use crate::model::{Availability, ConnectionId, Ledger, Next, SplitMix64, Wait};
use forebay_core::engine::Engine;
use forebay_core::snapshot::{ClientAuth, EngineFamily};
use std::fmt;

/// A protocol family.
pub(super) trait Family: 'static {
    /// The engine under test.
    type Engine: Engine;
    /// The model of the server.
    type Database: Database;
    /// The model of a client.
    type Client: Client;
    /// What a client does.
    type Program;

    /// Its name.
    const FAMILY: EngineFamily;
    /// Whether a connection besides the pools' listens for all clients of a database.
    const LISTENS: bool;

    /// The program that belongs to a number.
    fn program(seed: u64, client: u32, scenario: &Scenario) -> Self::Program;
    /// How clients prove their password.
    fn client_auth(scenario: &Scenario) -> ClientAuth;
    /// The server of a scenario; these can log in.
    fn database(scenario: &Scenario, users: Vec<String>) -> Self::Database;
    /// A client with its program.
    fn client(scenario: &Scenario, who: Who, program: Self::Program) -> Self::Client;
    /// Errors that clients must put up with under these faults.
    fn tolerated(faults: &Faults) -> Vec<&'static str>;
    /// One that connects to cancel what `asked` names, as [`Order::Cancel`] has it; what it says first goes to `out`.
    fn canceller(who: &Who, asked: &[u8], out: &mut Vec<u8>) -> Box<dyn Canceller>;
}

/// Who a client is.
#[derive(Debug, Clone)]
pub(super) struct Who {
    /// Its number, from 1.
    pub(super) id: u32,
    /// The user.
    pub(super) user: String,
    /// The database.
    pub(super) database: String,
}

/// The password of all users.
pub(super) const PASSWORD: &str = "secret";

/// A model server: bytes and facts in, bytes out.
pub(super) trait Database {
    /// A network connection has been made; a server that speaks first does.
    fn accept(&mut self, out: &mut Vec<u8>) -> (ConnectionId, Next);
    /// Bytes have arrived, cut anywhere.
    fn on_bytes(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Vec<u8>) -> Next;
    /// The peer is gone.
    fn on_disconnect(&mut self, id: ConnectionId);
    /// An administrator ends the connection.
    fn terminate(&mut self, id: ConnectionId, out: &mut Vec<u8>);
    /// Says something that belongs to no statement, if the family has such a thing.
    fn send_notice(&mut self, id: ConnectionId, out: &mut Vec<u8>);
    /// Connections whose statement runs, and what each waits for.
    fn waits(&self) -> Vec<(ConnectionId, Wait)>;
    /// Whether that wait could end now.
    fn may_finish(&self, wait: Wait) -> bool;
    /// Ends the wait.
    fn finish(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next;
    /// Connections that somebody has asked to cancel.
    fn pending_cancels(&self) -> Vec<ConnectionId>;
    /// The signal arrives.
    fn deliver_cancel(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next;
    /// Whether the connection takes bytes off the network now.
    fn is_reading(&self, id: ConnectionId) -> bool;
    /// Connections that hold a place.
    fn connections(&self) -> usize;
    /// Whether it has logged in for a pool.
    fn is_pooled(&self, id: ConnectionId) -> bool;
    /// Whether it is idle and no transaction is open.
    fn is_idle(&self, id: ConnectionId) -> bool;
    /// Lets connections in, or refuses them.
    fn set_availability(&mut self, availability: Availability);
    /// Starts again with so many places.
    fn set_max_connections(&mut self, max: u32);
    /// How many transactions wrote.
    fn commits(&self) -> usize;
    /// Rows of a client in the log.
    fn committed(&self, client: &str) -> &[i64];
    /// A promise that was seen to be broken from here: a transaction of several clients.
    fn broken(&self) -> Option<String>;
}

/// A model client: orders out, facts in; it checks every reply.
pub(super) trait Client: fmt::Debug {
    /// Its tag, as in `c7`.
    fn tag(&self) -> &str;
    /// Its program is over.
    fn is_done(&self) -> bool;
    /// The next thing to do.
    fn next_order(&mut self) -> Option<Order>;
    /// The connection stands.
    fn on_connected(&mut self);
    /// The think time is over.
    fn on_thought(&mut self) -> Result<(), Violation>;
    /// Bytes have come.
    fn on_bytes(&mut self, bytes: &[u8]) -> Result<(), Violation>;
    /// The connection has ended.
    fn on_closed(&mut self) -> Result<(), Violation>;
    /// Its account of what it wrote.
    fn ledger(&self) -> &Ledger;
    /// Replies that were right.
    fn replies(&self) -> u64;
    /// Connections refused at login, connections lost later.
    fn mishaps(&self) -> (u64, u64);
}

/// A connection that carries a request to cancel.
pub(super) trait Canceller {
    /// Bytes have come; what it answers goes to `out`. False when it is done and closes.
    fn on_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool;
}

/// A value in `0..bound` from a number of one's own: what is drawn so shifts nothing else of its seed.
pub(super) fn drawn(seed: u64, what: u64, bound: u64) -> u64 {
    SplitMix64::new(seed ^ what.rotate_left(17)).below(bound)
}
