//! The model server: what its connections share, and the one door for bytes and facts.
//!
//! The caller owns time and the network, as for the model of PostgreSQL: it decides when a running statement ends, when a KILL arrives and
//! when a connection dies.

use super::connection::Connection;
use super::session::Failure;
use crate::model::{Availability, ConnectionId, Next, SplitMix64, Wait};
use std::collections::{BTreeMap, BTreeSet};

/// Which family of servers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL 9.
    MySql,
    /// MariaDB 10.11.
    MariaDb,
}

/// What the server starts with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Its family.
    pub flavor: Flavor,
    /// Users that exist.
    pub users: Vec<String>,
    /// The password of all of them.
    pub password: String,
    /// Whether they prove it by `caching_sha2_password`; by `mysql_native_password` if not.
    pub caching_sha2: bool,
    /// Connections that may be open at a time.
    pub max_connections: u32,
    /// Where nonces come from.
    pub seed: u64,
}

/// What connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: ServerConfig,
    pub(super) availability: Availability,
    /// Whose named locks are, and how often.
    pub(super) locks: BTreeMap<i64, (ConnectionId, u32)>,
    pub(super) rng: SplitMix64,
    log: BTreeMap<String, Vec<i64>>,
    commits: usize,
    insert_id: i64,
    broken: Option<String>,
    /// Connections there are, by their numbers.
    known: BTreeSet<u32>,
    kills: BTreeSet<(ConnectionId, bool)>,
}

/// The number by which clients know a connection.
pub(super) fn process_of(id: ConnectionId) -> u32 {
    id.0 + 10
}

impl Shared {
    /// A named lock as a number: the digits of its name.
    pub(super) fn lock_key(&self, name: &str) -> i64 {
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(-1)
    }

    /// All named locks of a connection are free; how many there were.
    pub(super) fn release_locks(&mut self, id: ConnectionId) -> i64 {
        let own = |(owner, _): &&(ConnectionId, u32)| owner == &id;
        let count: u32 = self.locks.values().filter(own).map(|it| it.1).sum();
        self.locks.retain(|_, (owner, _)| *owner != id);
        count.into()
    }

    pub(super) fn committed(&self, client: &str) -> &[i64] {
        self.log.get(client).map_or(&[], Vec::as_slice)
    }

    pub(super) fn commit(&mut self, rows: Vec<(String, i64)>) {
        self.commits += usize::from(!rows.is_empty());
        for (client, number) in rows {
            self.log.entry(client).or_default().push(number);
        }
    }

    pub(super) fn next_insert_id(&mut self) -> i64 {
        self.insert_id += 1;
        self.insert_id
    }

    /// A transaction has seen several clients.
    pub(super) fn mixed(&mut self, id: ConnectionId, clients: &BTreeSet<String>) {
        let text = format!("a transaction of several clients on {id:?}: {clients:?}");
        self.broken.get_or_insert(text);
    }

    pub(super) fn kill(&mut self, process: u32, query: bool) -> Result<(), Failure> {
        if !self.known.contains(&process) {
            let message = format!("Unknown thread id: {process}");
            return Err(Failure::new(1094, b"HY000", message));
        }
        self.kills.insert((ConnectionId(process - 10), query));
        Ok(())
    }
}

/// The model server.
#[derive(Debug)]
pub struct Server {
    shared: Shared,
    connections: BTreeMap<ConnectionId, Connection>,
    next_id: u32,
}

impl Server {
    /// A server that has just started.
    pub fn new(config: ServerConfig) -> Server {
        let rng = SplitMix64::new(config.seed);
        Server {
            shared: Shared {
                config,
                availability: Availability::Up,
                locks: BTreeMap::new(),
                rng,
                log: BTreeMap::new(),
                commits: 0,
                insert_id: 0,
                broken: None,
                known: BTreeSet::new(),
                kills: BTreeSet::new(),
            },
            connections: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// A network connection has been made: it is greeted, or told why not.
    pub fn accept(&mut self, out: &mut Vec<u8>) -> (ConnectionId, Next) {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        let is_full = self.connections.len() >= self.shared.config.max_connections as usize;
        let refused = match self.shared.availability {
            Availability::Up if is_full => Some((1040, "Too many connections")),
            Availability::Up => None,
            _ => Some((1053, "Server shutdown in progress")),
        };
        if let Some((code, message)) = refused {
            Connection::refuse(code, message, out);
            return (id, Next::Close);
        }
        let connection = Connection::new(id, &mut self.shared, out);
        self.shared.known.insert(process_of(id));
        self.connections.insert(id, connection);
        (id, Next::Open)
    }

    /// Bytes have arrived, cut anywhere; replies are appended to `out`.
    pub fn on_bytes(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Vec<u8>) -> Next {
        self.with(id, |connection, shared| {
            connection.on_bytes(shared, bytes, out)
        })
    }

    /// The peer is gone; an open transaction is rolled back, locks are released.
    pub fn on_disconnect(&mut self, id: ConnectionId) {
        if self.connections.remove(&id).is_some() {
            self.shared.release_locks(id);
            self.shared.known.remove(&process_of(id));
            self.shared.kills.retain(|(victim, _)| *victim != id);
        }
    }

    /// Ends the connection as a shutdown does: what runs fails; one that is idle hears why, or nothing.
    pub fn terminate(&mut self, id: ConnectionId, out: &mut Vec<u8>) {
        let tells = self.shared.rng.chance(50);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.terminate(tells, out);
        }
        self.on_disconnect(id);
    }

    /// Connections whose statement is running, and what each waits for, in the order of their ids.
    pub fn waits(&self) -> Vec<(ConnectionId, Wait)> {
        let connections = self.connections.iter();
        connections
            .filter_map(|(id, connection)| Some((*id, connection.wait()?)))
            .collect()
    }

    /// Whether the wait could end now: always for a sleep, for a lock when nobody holds it.
    pub fn may_finish(&self, wait: Wait) -> bool {
        match wait {
            Wait::Sleep { .. } => true,
            Wait::Lock { key } => !self.shared.locks.contains_key(&key),
        }
    }

    /// Ends the wait of the running statement, if there is one.
    pub fn finish(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next {
        self.with(id, |connection, shared| connection.finish(shared, out))
    }

    /// Connections that a KILL named and that have not heard of it.
    pub fn pending_cancels(&self) -> Vec<ConnectionId> {
        self.shared.kills.iter().map(|(id, _)| *id).collect()
    }

    /// The KILL arrives: a running statement fails; without one nothing happens, unless the connection was meant.
    pub fn deliver_cancel(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next {
        let query = self.shared.kills.remove(&(id, true));
        if self.shared.kills.remove(&(id, false)) {
            self.terminate(id, out);
            return Next::Close;
        }
        self.with(id, |connection, shared| match query {
            true => connection.cancel(shared, out),
            false => Next::Open,
        })
    }

    /// Whether the connection takes bytes off the network now; false while its statement runs.
    pub fn is_reading(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(|connection| connection.wait().is_none())
    }

    /// Connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether it has asked for something besides a KILL.
    pub fn is_pooled(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(Connection::is_pooled)
    }

    /// Whether it has logged in, runs nothing and has no transaction open.
    pub fn is_idle(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(Connection::is_idle)
    }

    /// Lets new connections in, or refuses them.
    pub fn set_availability(&mut self, availability: Availability) {
        self.shared.availability = availability;
    }

    /// Starts again with another limit: the caller terminates the sessions that stand.
    pub fn set_max_connections(&mut self, max: u32) {
        self.shared.config.max_connections = max;
    }

    /// How many transactions wrote.
    pub fn commits(&self) -> usize {
        self.shared.commits
    }

    /// Numbers that `client` has in the log table, in the order of their commits.
    pub fn committed(&self, client: &str) -> &[i64] {
        self.shared.committed(client)
    }

    /// A promise that was broken, as seen from here: a transaction of several clients.
    pub fn broken(&self) -> Option<&str> {
        self.shared.broken.as_deref()
    }

    fn with(
        &mut self,
        id: ConnectionId,
        act: impl FnOnce(&mut Connection, &mut Shared) -> Next,
    ) -> Next {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Next::Close;
        };
        let next = act(connection, &mut self.shared);
        if next == Next::Close {
            self.on_disconnect(id);
        }
        next
    }
}
