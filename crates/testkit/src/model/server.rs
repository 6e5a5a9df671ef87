//! The model server: what its connections share, and the one door for bytes and facts.
//!
//! The caller owns time and the network. It calls `on_bytes` with what arrived, cut anywhere; it decides when a
//! running statement ends (`finish`), when the signal of a CancelRequest arrives (`deliver_cancel`) and when a
//! connection dies (`terminate`, `on_disconnect`). Invariants read `commits`, `mixed`, `connections`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::backend::Backend;
use super::connection::Connection;
use super::error::PgError;
use super::rng::SplitMix64;

/// Names a connection for as long as the server lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// What the caller does with the connection after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a connection that the server has closed must be closed on the network, too"]
pub enum Next {
    /// It stays.
    Open,
    /// The server is done with it: send what is in `out`, then close. The id is no longer known.
    Close,
}

/// What a running statement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// `pg_sleep`: over when the caller says so.
    Sleep {
        /// What the client asked for, in whole seconds.
        seconds: i64,
    },
    /// An advisory lock that another connection holds.
    Lock {
        /// The lock's number.
        key: i64,
    },
}

/// Whether new connections are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Availability {
    /// As usual.
    #[default]
    Up,
    /// Refused with 57P03.
    StartingUp,
    /// Refused with 57P03.
    ShuttingDown,
}

/// What the server does with a startup message of protocol 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Speaks it, as PostgreSQL 18.
    #[default]
    Newest,
    /// Offers 3.0 instead, as PostgreSQL 9.4 to 17.
    Negotiated,
    /// Refuses it with an error, as PostgreSQL did before and some poolers do.
    Refused,
    /// Closes the connection without a word, as other poolers do.
    Unanswered,
}

/// A role that can log in.
#[derive(Clone, Default)]
pub struct User {
    /// The role's name.
    pub name: String,
    /// Asked for in clear text; `None` is trust.
    pub password: Option<String>,
    /// May do everything.
    pub superuser: bool,
    /// Roles it may SET ROLE to.
    pub member_of: Vec<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = if self.password.is_some() {
            "required"
        } else {
            "none"
        };
        f.debug_struct("User")
            .field("name", &self.name)
            .field("password", &password)
            .field("superuser", &self.superuser)
            .field("member_of", &self.member_of)
            .finish()
    }
}

/// What the server starts with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Roles that exist.
    pub users: Vec<User>,
    /// Databases that exist; empty for "any".
    pub databases: Vec<String>,
    /// Connections that may be open at a time.
    pub max_connections: u32,
    /// How many of them only superusers get.
    pub superuser_reserved_connections: u32,
    /// Settings that differ from PostgreSQL's defaults, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// Largest message body in bytes; longer ones end the connection without an answer, as in PostgreSQL.
    pub message_bytes_max: usize,
    /// Where cancel keys come from.
    pub seed: u64,
    /// What protocol 3.2 is answered with.
    pub protocol: Protocol,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            databases: Vec::new(),
            max_connections: 100,
            superuser_reserved_connections: 3,
            settings: Vec::new(),
            message_bytes_max: 64 << 20,
            seed: 1,
            protocol: Protocol::Newest,
        }
    }
}

/// One committed transaction that wrote to the log table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The connection that committed.
    pub connection: ConnectionId,
    /// Client tag and number of each row, in the order of writing.
    pub rows: Vec<(String, i64)>,
}

/// A transaction in which tags of more than one client were seen: a proxy's gravest mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixed {
    /// The connection it happened on.
    pub connection: ConnectionId,
    /// The clients' tags, as in `c7`.
    pub clients: BTreeSet<String>,
}

/// What connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    config: ServerConfig,
    pub(crate) configured: BTreeMap<String, String>,
    pub(crate) availability: Availability,
    pub(crate) in_recovery: bool,
    pub(crate) locks: BTreeMap<i64, ConnectionId>,
    pub(crate) mixed: Vec<Mixed>,
    log: BTreeMap<String, Vec<i64>>,
    log_rows: usize,
    commits: Vec<Commit>,
    slots: BTreeSet<ConnectionId>,
    keys: BTreeMap<u32, (ConnectionId, Vec<u8>)>,
    cancels: BTreeSet<ConnectionId>,
    rng: SplitMix64,
}

impl Shared {
    fn new(config: ServerConfig) -> Self {
        let mut configured: BTreeMap<String, String> = config
            .settings
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        for (name, value) in [
            ("max_connections", config.max_connections),
            (
                "superuser_reserved_connections",
                config.superuser_reserved_connections,
            ),
        ] {
            configured.insert(name.to_owned(), value.to_string());
        }
        let rng = SplitMix64::new(config.seed);
        Self {
            config,
            configured,
            availability: Availability::Up,
            in_recovery: false,
            locks: BTreeMap::new(),
            mixed: Vec::new(),
            log: BTreeMap::new(),
            log_rows: 0,
            commits: Vec::new(),
            slots: BTreeSet::new(),
            keys: BTreeMap::new(),
            cancels: BTreeSet::new(),
            rng,
        }
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.config.users.iter().find(|user| user.name == name)
    }

    pub(crate) fn is_superuser(&self, name: &str) -> bool {
        self.user(name).is_some_and(|user| user.superuser)
    }

    pub(crate) fn may_become(&self, name: &str, role: &str) -> bool {
        name == role
            || self.user(name).is_some_and(|user| {
                user.superuser || user.member_of.iter().any(|member| member == role)
            })
    }

    pub(crate) fn require_user(&self, name: &str) -> Result<(), PgError> {
        match self.user(name) {
            Some(_) => Ok(()),
            None => Err(PgError::error(
                "22023",
                format!("role \"{name}\" does not exist"),
            )),
        }
    }

    /// Whether the password question is asked. Unknown users are asked, too, so that names cannot be probed.
    pub(crate) fn asks_password(&self, name: &str) -> bool {
        match self.user(name) {
            Some(user) => user.password.is_some(),
            None => self.config.users.iter().any(|user| user.password.is_some()),
        }
    }

    pub(crate) fn is_password(&self, name: &str, given: &[u8]) -> bool {
        let password = self.user(name).and_then(|user| user.password.as_deref());
        password.is_some_and(|password| password.as_bytes() == given)
    }

    pub(crate) fn check_database(&self, name: &str) -> Result<(), PgError> {
        let known = self.config.databases.is_empty()
            || self
                .config
                .databases
                .iter()
                .any(|database| database == name);
        if known {
            return Ok(());
        }
        Err(PgError::fatal(
            "3D000",
            format!("database \"{name}\" does not exist"),
        ))
    }

    pub(crate) fn take_slot(&mut self, id: ConnectionId) -> Result<(), PgError> {
        if self.slots.len() >= self.config.max_connections as usize {
            return Err(PgError::fatal("53300", "sorry, too many clients already"));
        }
        self.slots.insert(id);
        Ok(())
    }

    /// The last slots are for superusers; the caller's own slot is already counted.
    pub(crate) fn check_reserved(&self, user: &str) -> Result<(), PgError> {
        let free = self.config.max_connections as usize - self.slots.len();
        if free < self.config.superuser_reserved_connections as usize && !self.is_superuser(user) {
            let message =
                "remaining connection slots are reserved for roles with the SUPERUSER attribute";
            return Err(PgError::fatal("53300", message));
        }
        Ok(())
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.config.protocol
    }

    pub(crate) fn message_bytes_max(&self) -> usize {
        self.config.message_bytes_max
    }

    pub(crate) fn new_key(&mut self, id: ConnectionId, bytes: usize) -> (u32, Vec<u8>) {
        let pid = 1000 + id.0;
        let key: Vec<u8> = (0..bytes).map(|_| self.rng.next_u64() as u8).collect();
        self.keys.insert(pid, (id, key.clone()));
        (pid, key)
    }

    pub(crate) fn request_cancel(&mut self, pid: u32, key: &[u8]) {
        if let Some((id, known)) = self.keys.get(&pid)
            && known == key
        {
            self.cancels.insert(*id);
        }
    }

    /// Rows in the log table that everybody sees.
    pub(crate) fn log_len(&self) -> usize {
        self.log_rows
    }

    pub(crate) fn log_rows(&self) -> impl Iterator<Item = (&str, i64)> {
        self.commits
            .iter()
            .flat_map(|c| c.rows.iter().map(|row| (row.0.as_str(), row.1)))
    }

    pub(crate) fn committed(&self, client: &str) -> &[i64] {
        self.log.get(client).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn commit(&mut self, commit: Commit) {
        for (client, number) in &commit.rows {
            self.log.entry(client.clone()).or_default().push(*number);
        }
        self.log_rows += commit.rows.len();
        self.commits.push(commit);
    }

    pub(crate) fn release(&mut self, id: ConnectionId) {
        self.slots.remove(&id);
        self.cancels.remove(&id);
        self.keys.retain(|_, (owner, _)| *owner != id);
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
    pub fn new(config: ServerConfig) -> Self {
        Self {
            shared: Shared::new(config),
            connections: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// A network connection has been made.
    pub fn accept(&mut self) -> ConnectionId {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        self.connections.insert(id, Connection::new(id));
        id
    }

    /// Bytes have arrived, cut anywhere; replies are appended to `out`.
    pub fn on_bytes(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Vec<u8>) -> Next {
        self.with(id, |connection, shared| {
            connection.on_bytes(shared, bytes, out)
        })
    }

    /// The peer is gone; an open transaction is rolled back, locks are released.
    pub fn on_disconnect(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            connection.end(&mut self.shared);
        }
    }

    /// Ends the connection as `pg_terminate_backend` does: FATAL 57P01.
    pub fn terminate(&mut self, id: ConnectionId, out: &mut Vec<u8>) {
        let message = "terminating connection due to administrator command";
        if let Some(connection) = self.connections.get_mut(&id) {
            let error = PgError::fatal("57P01", message);
            connection.send_unasked(&Backend::ErrorResponse(error), out);
        }
        self.on_disconnect(id);
    }

    /// Makes the next statement of a logged-in connection fail, whatever it is: a serialization failure, a full disk.
    pub fn inject_error(&mut self, id: ConnectionId, code: &str, message: &str) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.inject(PgError::error(code.to_owned(), message));
        }
    }

    /// Sends a notice that belongs to no statement; clients must bear it at any time.
    pub fn send_notice(&mut self, id: ConnectionId, message: &str, out: &mut Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let notice = PgError::warning("01000", message);
            connection.send_unasked(&Backend::NoticeResponse(notice), out);
        }
    }

    /// Connections whose statement is running, and what each waits for, in the order of their ids.
    pub fn waits(&self) -> Vec<(ConnectionId, Wait)> {
        self.connections
            .iter()
            .filter_map(|(id, c)| Some((*id, c.wait()?)))
            .collect()
    }

    /// Whether the wait could end now: always for a sleep, for a lock when nobody holds it.
    pub fn may_finish(&self, wait: Wait) -> bool {
        match wait {
            Wait::Sleep { .. } => true,
            Wait::Lock { key } => !self.shared.locks.contains_key(&key),
        }
    }

    /// Ends the wait of the running statement, if there is one. A lock still held is waited for again.
    pub fn finish(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next {
        self.with(id, |connection, shared| connection.finish(shared, out))
    }

    /// Connections that a CancelRequest named and whose signal has not been delivered.
    ///
    /// PostgreSQL delivers it before it closes the connection that carried the request, mostly.
    pub fn pending_cancels(&self) -> Vec<ConnectionId> {
        self.shared.cancels.iter().copied().collect()
    }

    /// Delivers the signal of a CancelRequest. Without a running statement nothing happens.
    pub fn deliver_cancel(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next {
        if !self.shared.cancels.remove(&id) {
            return if self.connections.contains_key(&id) {
                Next::Open
            } else {
                Next::Close
            };
        }
        self.with(id, |connection, shared| connection.cancel(shared, out))
    }

    /// Whether the connection takes bytes off the network now; false while its statement runs.
    pub fn is_reading(&self, id: ConnectionId) -> bool {
        self.connections
            .get(&id)
            .is_some_and(|connection| connection.wait().is_none())
    }

    /// Connections that hold a slot of `max_connections`.
    pub fn connections(&self) -> usize {
        self.shared.slots.len()
    }

    /// Lets new connections in, or refuses them.
    pub fn set_availability(&mut self, availability: Availability) {
        self.shared.availability = availability;
    }

    /// Starts again with another limit: the caller terminates the sessions that stand.
    pub fn set_max_connections(&mut self, max: u32) {
        self.shared.config.max_connections = max;
        let name = "max_connections".to_owned();
        self.shared.configured.insert(name, max.to_string());
    }

    /// Makes the server a standby or a primary; sessions hear of it before their next ReadyForQuery.
    pub fn set_in_recovery(&mut self, in_recovery: bool) {
        self.shared.in_recovery = in_recovery;
    }

    /// Committed transactions that wrote, in order.
    pub fn commits(&self) -> &[Commit] {
        &self.shared.commits
    }

    /// Numbers that `client` (as in `c7`) has in the log table, in the order of their commits.
    pub fn committed(&self, client: &str) -> &[i64] {
        self.shared.committed(client)
    }

    /// Transactions that held statements of several clients.
    pub fn mixed(&self) -> &[Mixed] {
        &self.shared.mixed
    }

    /// What `SELECT whoami()` would say on this connection, and what it listens on; `None` before it has logged in.
    pub fn whoami(&self, id: ConnectionId) -> Option<String> {
        let session = self.connections.get(&id)?.session()?;
        let (line, listens) = (session.whoami(&self.shared), session.listens());
        Some(format!("{line} listens=[{listens}]"))
    }

    /// The transaction status byte of a connection; `None` before it has logged in.
    pub fn status(&self, id: ConnectionId) -> Option<u8> {
        Some(self.connections.get(&id)?.session()?.xact.status())
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
