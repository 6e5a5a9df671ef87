//! One connection of the model server: bytes are cut into messages and given to whoever is in charge.
//!
//! ```text
//! Start ──startup packet──▶ Password ──right──▶ Session        any ──fatal, Terminate, CancelRequest──▶ closed
//!   └──────────── trust ───────────────────────────▲
//! ```
//! While a statement runs (`Stop::Waiting`) nothing more is read, as in PostgreSQL: bytes wait in the inbox.

use super::backend::Backend;
use super::error::{PgError, Severity};
use super::extended::Bind;
use super::frontend::Frontend;
use super::login::{self, Admission, Packet, Startup};
use super::server::{ConnectionId, Next, Shared, Wait};
use super::session::{Session, Stop, Work};
use super::wire::{DecodeError, split_frame};

/// Largest answer to an authentication request, in bytes (PostgreSQL's `PG_MAX_AUTH_TOKEN_LENGTH`).
const AUTH_BYTES_MAX: usize = 65_535;

#[derive(Debug)]
enum Phase {
    Start,
    Password(Startup),
    Session(Box<Session>),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    id: ConnectionId,
    phase: Phase,
    inbox: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId) -> Self {
        Self {
            id,
            phase: Phase::Start,
            inbox: Vec::new(),
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::Session(session) => Some(session),
            _ => None,
        }
    }

    /// What the connection's statement waits for.
    pub(crate) fn wait(&self) -> Option<Wait> {
        match self.session()?.stop {
            Stop::Waiting(wait) => Some(wait),
            _ => None,
        }
    }

    pub(crate) fn on_bytes(
        &mut self,
        shared: &mut Shared,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Next {
        self.inbox.extend_from_slice(bytes);
        self.drain(shared, out)
    }

    /// The running statement's wait is over.
    pub(crate) fn finish(&mut self, shared: &mut Shared, out: &mut Vec<u8>) -> Next {
        if let Phase::Session(session) = &mut self.phase
            && matches!(session.stop, Stop::Waiting(_))
        {
            session.resume(shared);
            session.take_flushed(out);
        }
        self.drain(shared, out)
    }

    /// The signal of a CancelRequest has arrived; without a running statement it is forgotten.
    pub(crate) fn cancel(&mut self, shared: &mut Shared, out: &mut Vec<u8>) -> Next {
        if let Phase::Session(session) = &mut self.phase {
            match &mut session.stop {
                Stop::No => {}
                Stop::Waiting(_) => session.fail_work(shared, PgError::canceled()),
                Stop::CopyIn { canceled, .. } => *canceled = true,
            }
            session.take_flushed(out);
        }
        self.drain(shared, out)
    }

    /// Makes the next statement fail.
    pub(crate) fn inject(&mut self, error: PgError) {
        if let Phase::Session(session) = &mut self.phase {
            session.injected = Some(error);
        }
    }

    /// The connection is gone: what it held is released, what it had open is rolled back.
    pub(crate) fn end(self, shared: &mut Shared) {
        if let Phase::Session(mut session) = self.phase {
            session.rollback_now(shared);
            session.unlock_all(shared);
        }
        shared.release(self.id);
    }

    /// Sends a message that nobody asked for.
    pub(crate) fn send_unasked(&mut self, message: &Backend, out: &mut Vec<u8>) {
        match &mut self.phase {
            Phase::Session(session) => {
                session.send(message);
                session.flush();
                session.take_flushed(out);
            }
            Phase::Start | Phase::Password(_) => message.encode(out),
        }
    }

    fn drain(&mut self, shared: &mut Shared, out: &mut Vec<u8>) -> Next {
        loop {
            match self.step(shared, out) {
                Ok(Some(Next::Open)) => {}
                Ok(Some(Next::Close)) => return Next::Close,
                Ok(None) => return Next::Open,
                Err(error) => {
                    self.send_unasked(&Backend::ErrorResponse(error), out);
                    return Next::Close;
                }
            }
        }
    }

    /// Takes one message; `None` when there is no whole one or nobody to take it now. Errors end the connection.
    fn step(&mut self, shared: &mut Shared, out: &mut Vec<u8>) -> Result<Option<Next>, PgError> {
        match &mut self.phase {
            Phase::Start => self.on_packet(shared, out),
            Phase::Password(_) => self.on_password(shared, out),
            Phase::Session(session) => {
                if matches!(session.stop, Stop::Waiting(_)) {
                    return Ok(None);
                }
                let frame = match split_frame(&self.inbox, shared.message_bytes_max()) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => return Ok(None),
                    // As PostgreSQL: an impossible length is logged and not answered.
                    Err(_) => return Ok(Some(Next::Close)),
                };
                let size = frame.size;
                let next = session.on_frame(shared, frame.kind, frame.body);
                session.take_flushed(out);
                self.inbox.drain(..size);
                next.map(Some)
            }
        }
    }

    fn on_packet(
        &mut self,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) -> Result<Option<Next>, PgError> {
        let (packet, size) = match login::split_packet(&self.inbox) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            // PostgreSQL does not answer what is no startup packet.
            Err(_) => return Ok(Some(Next::Close)),
        };
        self.inbox.drain(..size);
        match packet {
            Packet::Encryption => out.push(b'N'),
            Packet::Cancel { pid, key } => {
                shared.request_cancel(pid, &key);
                return Ok(Some(Next::Close));
            }
            Packet::Startup(startup) => {
                self.phase = match login::admit(shared, self.id, startup, out)? {
                    Admission::Silence => return Ok(Some(Next::Close)),
                    Admission::Password(startup) => Phase::Password(startup),
                    Admission::Session(session) => Phase::Session(session),
                };
            }
        }
        Ok(Some(Next::Open))
    }

    fn on_password(
        &mut self,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) -> Result<Option<Next>, PgError> {
        let Phase::Password(startup) = &self.phase else {
            return Ok(None);
        };
        let frame = match split_frame(&self.inbox, AUTH_BYTES_MAX) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(_) => return Ok(Some(Next::Close)),
        };
        if frame.kind != b'p' {
            let message = format!(
                "expected password response, got message type {}",
                frame.kind
            );
            return Err(PgError::fatal("08P01", message));
        }
        login::check_password(shared, startup, frame.body)?;
        let size = frame.size;
        let session = login::log_in(shared, self.id, startup, out)?;
        self.inbox.drain(..size);
        self.phase = Phase::Session(session);
        Ok(Some(Next::Open))
    }
}

impl Session {
    /// The wait is over: the statement runs again and passes it.
    fn resume(&mut self, shared: &mut Shared) {
        self.stop = Stop::No;
        self.waited = true;
        match std::mem::replace(&mut self.work, Work::None) {
            Work::Simple(work) => self.run_simple(shared, work),
            Work::Execute { portal, rows } => {
                self.extended(shared, |session, shared| {
                    session.on_execute(shared, &portal, rows)
                });
            }
            Work::None => {}
        }
        self.waited = false;
    }

    /// One message with its type byte. Errors end the connection.
    fn on_frame(&mut self, shared: &mut Shared, kind: u8, body: &[u8]) -> Result<Next, PgError> {
        if !b"QPBDECHSFdcfX".contains(&kind) {
            return Err(DecodeError::UnknownType(kind).into());
        }
        if self.skip_to_sync && !matches!(kind, b'S' | b'X') {
            return Ok(Next::Open);
        }
        match Frontend::decode(kind, body) {
            Ok(message) => Ok(self.on_message(shared, kind, message)),
            Err(problem) => {
                let error = match PgError::from(problem) {
                    fatal if fatal.severity == Severity::Fatal => return Err(fatal),
                    error => error,
                };
                if matches!(kind, b'Q' | b'F') {
                    self.fail_simple(shared, error);
                } else {
                    self.fail_extended(shared, error);
                }
                Ok(Next::Open)
            }
        }
    }

    fn on_message(&mut self, shared: &mut Shared, kind: u8, message: Frontend) -> Next {
        if matches!(self.stop, Stop::CopyIn { .. }) && message != Frontend::Terminate {
            self.on_copy_message(shared, kind, message);
            return Next::Open;
        }
        match message {
            Frontend::Query(text) => self.on_query(shared, &text),
            Frontend::Parse { name, text, types } => {
                self.extended(shared, |s, shared| s.on_parse(shared, &name, &text, &types));
            }
            Frontend::Bind {
                portal,
                statement,
                formats,
                params,
                results,
            } => {
                let bind = Bind {
                    portal,
                    statement,
                    formats,
                    params,
                    results,
                };
                self.extended(shared, |s, shared| s.on_bind(shared, bind));
            }
            Frontend::Describe { what, name } => {
                self.extended(shared, |s, shared| s.on_describe(shared, what, &name));
            }
            Frontend::Execute { portal, rows } => {
                self.extended(shared, |s, shared| s.on_execute(shared, &portal, rows));
            }
            Frontend::Close { what, name } => self.on_close(what, &name),
            Frontend::Flush => self.flush(),
            Frontend::Sync => self.on_sync(shared),
            Frontend::FunctionCall { oid, args, .. } => self.on_function_call(shared, oid, &args),
            Frontend::Terminate => return Next::Close,
            // A COPY that failed leaves its client still sending: the protocol says to ignore it.
            Frontend::CopyData(_)
            | Frontend::CopyDone
            | Frontend::CopyFail(_)
            | Frontend::Password(_) => {}
        }
        Next::Open
    }
}
