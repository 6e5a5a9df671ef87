//! One connection of the model server: bytes are cut into packets and given to whoever is in charge.
//!
//! ```text
//! Greeted ──response──▶ [Switched ──proof──▶] Session        any ──error at login, COM_QUIT──▶ closed
//! ```
//! While a statement runs nothing more is read: bytes wait in the inbox. (MySQL's documentation, "Connection Phase", "Command Phase".)

use super::prepared::Prepared;
use super::reply::{Outcome, Reply};
use super::select::Context;
use super::server::{Flavor, Shared, process_of};
use super::session::{Failure, Session};
use super::statements::{Statement, statement};
use crate::model::{ConnectionId, Next, Wait};
use forebay_mysql::password::Method;
use forebay_mysql::password::caching_sha2::{self, CachedHash};
use forebay_mysql::password::native::NativeHash;
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::greeting::{Greeting, NONCE_BYTES};
use forebay_mysql::wire::reply::ErrorPacket;
use forebay_mysql::wire::response::Response;
use forebay_mysql::wire::status::Status;
use forebay_mysql::wire::{self, auth, command, write};
use std::collections::BTreeMap;

/// What MySQL 9.7 can, less TLS.
const MYSQL: Capabilities = Capabilities(0xdfff_ffff & !Capabilities::SSL.0);
/// What MariaDB 10.11 can.
const MARIADB: Capabilities = Capabilities(0x0000_001d_81ff_f7fe);

#[derive(Debug)]
enum Phase {
    Greeted([u8; NONCE_BYTES]),
    /// Asked for a proof by the account's own method.
    Switched(Box<Session>, [u8; NONCE_BYTES]),
    Session(Box<Session>),
    /// Being changed.
    Between,
}

/// What runs, and how it goes on.
#[derive(Debug)]
struct Running {
    wait: Wait,
    statement: Statement,
    /// Statements behind it.
    rest: Option<String>,
    sequence: u8,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    phase: Phase,
    inbox: Vec<u8>,
    running: Option<Running>,
    pub(super) prepared: BTreeMap<u32, Prepared>,
    pub(super) last_prepared: u32,
    /// It has asked for something besides a KILL.
    is_pooled: bool,
    sequence: u8,
}

impl Connection {
    /// Greets.
    pub(super) fn new(id: ConnectionId, shared: &mut Shared, out: &mut Vec<u8>) -> Connection {
        let mut nonce = [0; NONCE_BYTES];
        nonce.fill_with(|| shared.rng.between(33, 126) as u8);
        let is_mariadb = shared.config.flavor == Flavor::MariaDb;
        let (version, capabilities, collation): (&[u8], _, _) = match is_mariadb {
            true => (b"5.5.5-10.11.19-MariaDB", MARIADB, 8),
            false => (b"9.7.4", MYSQL, 255),
        };
        Greeting {
            version,
            connection_id: process_of(id),
            nonce,
            collation,
            status: Status::AUTOCOMMIT,
            capabilities,
            plugin: method(shared).as_str().as_bytes(),
        }
        .write(out);
        Connection {
            id,
            phase: Phase::Greeted(nonce),
            inbox: Vec::new(),
            running: None,
            prepared: BTreeMap::new(),
            last_prepared: 0,
            is_pooled: false,
            sequence: 0,
        }
    }

    /// An error in place of a greeting.
    pub(super) fn refuse(code: u16, message: &str, out: &mut Vec<u8>) {
        let state = Some(*b"08004");
        let message = message.as_bytes();
        ErrorPacket {
            code,
            state,
            message,
        }
        .write(out, 0);
    }

    /// What its statement waits for.
    pub(super) fn wait(&self) -> Option<Wait> {
        self.running.as_ref().map(|running| running.wait)
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    pub(super) fn is_idle(&self) -> bool {
        match &self.phase {
            Phase::Session(session) => self.running.is_none() && session.transaction.is_none(),
            _ => false,
        }
    }

    pub(super) fn on_bytes(
        &mut self,
        shared: &mut Shared,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Next {
        self.inbox.extend_from_slice(bytes);
        self.drain(shared, out)
    }

    fn drain(&mut self, shared: &mut Shared, out: &mut Vec<u8>) -> Next {
        while self.running.is_none() {
            let Ok(Ok(message)) = wire::message(&self.inbox) else {
                break;
            };
            let (len, payload) = (message.bytes.len(), message.payload().into_owned());
            self.sequence = message.sequence.wrapping_add(1);
            self.inbox.drain(..len);
            let next = self.on_packet(shared, &payload, out);
            if next == Next::Close {
                return next;
            }
        }
        Next::Open
    }

    fn on_packet(&mut self, shared: &mut Shared, payload: &[u8], out: &mut Vec<u8>) -> Next {
        match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Greeted(nonce) => self.on_response(shared, nonce, payload, out),
            Phase::Switched(session, nonce) => self.on_proof(shared, session, nonce, payload, out),
            Phase::Session(mut session) => {
                session.max_connections = shared.config.max_connections;
                let next = self.on_command(shared, &mut session, payload, out);
                self.phase = Phase::Session(session);
                next
            }
            Phase::Between => Next::Close,
        }
    }

    // --- Login ---

    fn on_response(
        &mut self,
        shared: &mut Shared,
        nonce: [u8; NONCE_BYTES],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Next {
        let Ok(response) = Response::read(payload) else {
            return self.deny(out);
        };
        let user = String::from_utf8_lossy(response.user).into_owned();
        if !shared.config.users.contains(&user) {
            return self.deny(out);
        }
        let offered = match shared.config.flavor {
            Flavor::MySql => MYSQL,
            Flavor::MariaDb => MARIADB,
        };
        let capabilities = response.opening.capabilities & offered;
        let flavor = shared.config.flavor;
        let mut session = Session::new(self.id, flavor, capabilities, response.opening.collation);
        if let Some(database) = response.database {
            session.database = Some(String::from_utf8_lossy(database).into_owned());
        }
        let own = method(shared).as_str().as_bytes();
        let session = Box::new(session);
        if response.plugin == Some(own) {
            return self.on_proof(shared, session, nonce, response.proof, out);
        }
        auth::switch_with_nonce(out, self.sequence, own, &nonce);
        self.phase = Phase::Switched(session, nonce);
        Next::Open
    }

    fn on_proof(
        &mut self,
        shared: &mut Shared,
        mut session: Box<Session>,
        nonce: [u8; NONCE_BYTES],
        proof: &[u8],
        out: &mut Vec<u8>,
    ) -> Next {
        let password = &shared.config.password;
        let is_right = match shared.config.caching_sha2 {
            true => CachedHash::of(password).verify(proof, &nonce),
            false => NativeHash::of(password).verify(proof, &nonce),
        };
        if !is_right {
            return self.deny(out);
        }
        if shared.config.caching_sha2 {
            self.sequence = auth::more(out, self.sequence, &[caching_sha2::ACCEPTED]);
        }
        session.noticed.schema = session.database.is_some();
        self.reply(out).ok(&mut session, (0, 0), false);
        self.phase = Phase::Session(session);
        Next::Open
    }

    fn deny(&mut self, out: &mut Vec<u8>) -> Next {
        let packet = ErrorPacket {
            code: 1045,
            state: Some(*b"28000"),
            message: b"Access denied",
        };
        packet.write(out, self.sequence);
        Next::Close
    }

    // --- Commands ---

    /// An answer to the packet that came last.
    pub(super) fn reply<'a>(&self, out: &'a mut Vec<u8>) -> Reply<'a> {
        Reply {
            out,
            sequence: self.sequence,
            binary: false,
        }
    }

    fn on_command(
        &mut self,
        shared: &mut Shared,
        session: &mut Session,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Next {
        let Some((&kind, argument)) = payload.split_first() else {
            return Next::Close;
        };
        let text = String::from_utf8_lossy(argument).into_owned();
        match kind {
            command::QUIT => return Next::Close,
            command::QUERY => {
                self.is_pooled |= !text.starts_with("KILL");
                let mut reply = self.reply(out);
                self.query(shared, session, Some(text), &mut reply);
            }
            command::INIT_DB => match session.change_database(&text) {
                Ok(()) => self.reply(out).ok(session, (0, 0), false),
                Err(failure) => self.reply(out).error(session, &failure),
            },
            command::PING => {
                session.row_count = 0;
                self.reply(out).ok(session, (0, 0), false);
            }
            command::STATISTICS => {
                write::packet(out, self.sequence, |out| {
                    out.extend_from_slice(b"Uptime: 1")
                });
            }
            command::RESET_CONNECTION => {
                session.reset(shared);
                session.max_connections = shared.config.max_connections;
                self.prepared.clear();
                self.reply(out).ok(session, (0, 0), false);
            }
            command::STMT_PREPARE
            | command::STMT_EXECUTE
            | command::STMT_FETCH
            | command::STMT_RESET
            | command::STMT_CLOSE
            | command::STMT_SEND_LONG_DATA => {
                self.on_statement_command(shared, session, payload, out);
            }
            _ => {
                let failure = Failure::new(1047, b"08S01", "Unknown command");
                self.reply(out).error(session, &failure);
            }
        }
        Next::Open
    }

    /// Runs the statements of a text, one after the other, until one fails or waits.
    fn query(
        &mut self,
        shared: &mut Shared,
        session: &mut Session,
        mut text: Option<String>,
        reply: &mut Reply<'_>,
    ) {
        while let Some(now) = text.take() {
            let several = session.capabilities.has(Capabilities::MULTI_STATEMENTS);
            let read = statement(&now, session.modes()).ok();
            let read = read.filter(|(_, rest, _)| rest.is_none() || several);
            let Some((statement, rest, _)) = read else {
                session.refuse(&Failure::syntax());
                return reply.error(session, &Failure::syntax());
            };
            let rest = rest.map(str::to_owned);
            if !self.step(shared, session, &statement, rest.clone(), reply) {
                return;
            }
            text = rest;
        }
    }

    /// Runs one statement. False where it failed or waits.
    fn step(
        &mut self,
        shared: &mut Shared,
        session: &mut Session,
        statement: &Statement,
        rest: Option<String>,
        reply: &mut Reply<'_>,
    ) -> bool {
        let context = Context {
            params: &[],
            database: session.database.clone(),
            collation: session.shown("collation_connection").to_owned(),
        };
        match session.run(shared, statement, &context) {
            Ok(Outcome::Wait(wait)) => {
                self.running = Some(Running {
                    wait,
                    statement: statement.clone(),
                    rest,
                    sequence: reply.sequence,
                });
                false
            }
            Ok(outcome) => {
                reply.outcome(session, &outcome, rest.is_some());
                true
            }
            Err(failure) => {
                reply.error(session, &failure);
                false
            }
        }
    }

    // --- What others do to it ---

    /// The running statement's wait is over.
    pub(super) fn finish(&mut self, shared: &mut Shared, out: &mut Vec<u8>) -> Next {
        if let Some(running) = self.running.take()
            && let Phase::Session(mut session) = std::mem::replace(&mut self.phase, Phase::Between)
        {
            session.has_slept = matches!(running.wait, Wait::Sleep { .. });
            let mut reply = Reply {
                out,
                sequence: running.sequence,
                binary: false,
            };
            let rest = running.rest;
            if self.step(
                shared,
                &mut session,
                &running.statement,
                rest.clone(),
                &mut reply,
            ) {
                self.query(shared, &mut session, rest, &mut reply);
            }
            session.has_slept = false;
            self.phase = Phase::Session(session);
        }
        self.drain(shared, out)
    }

    /// A KILL of the statement has arrived.
    pub(super) fn cancel(&mut self, shared: &mut Shared, out: &mut Vec<u8>) -> Next {
        if let Some(running) = self.running.take()
            && let Phase::Session(session) = &mut self.phase
        {
            let failure = Failure::new(1317, b"70100", "Query execution was interrupted");
            let message = failure.message.clone();
            session.warnings.push(("Error", failure.code, message));
            let mut reply = Reply {
                out,
                sequence: running.sequence,
                binary: false,
            };
            reply.error(session, &failure);
        }
        self.drain(shared, out)
    }

    /// The connection ends: what runs fails; one that is idle hears why if `tells`.
    pub(super) fn terminate(&mut self, tells: bool, out: &mut Vec<u8>) {
        let is_logged_in = matches!(self.phase, Phase::Session(_));
        let sequence = self.running.as_ref().map(|running| running.sequence);
        let (code, sequence) = match sequence {
            Some(sequence) => (1053, sequence),
            None if tells && is_logged_in && self.inbox.is_empty() => (4031, 0),
            None => return,
        };
        ErrorPacket {
            code,
            state: Some(*b"08S01"),
            message: b"The connection ends",
        }
        .write(out, sequence);
    }
}

fn method(shared: &Shared) -> Method {
    match shared.config.caching_sha2 {
        true => Method::CachingSha2,
        false => Method::Native,
    }
}
