//! One TLS connection without its socket: which plaintext the bytes from the wire hold, and which bytes plaintext becomes.
//!
//! ```text
//!   Handshaking --last handshake message--> Open --close_notify or alert of either side--> Closed
//!        \---------------- anything that is not proper TLS ----------------------------------^
//! ```
//!
//! The connection keeps no buffer of its own while no record is half received. Timeouts and the end of the stream are the
//! caller's: a peer that closes its socket without `close_notify` is just gone.

use super::config::{ClientSettings, ServerSettings};
use super::{TlsError, server_end_point};
use forebay_core::engine::TlsFacts;
use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use std::ops::Deref;
use std::sync::Arc;

/// Most bytes of an unfinished handshake message (or record) that are kept.
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// Plaintext bytes of a full record (RFC 8446, 5.1).
const RECORD_PLAINTEXT_MAX: usize = 16 * 1024;

/// What a record is larger than its plaintext, at most: header 5, explicit nonce 8 (TLS 1.2), inner type 1 (TLS 1.3), tag 16.
const RECORD_OVERHEAD_MAX: usize = 30;

/// One connection, either side of it.
pub struct Filter {
    connection: Connection,
    /// The beginning of a record whose end has not come.
    inbox: Vec<u8>,
    phase: Phase,
    /// Of our own certificate, until it is told with the facts.
    end_point: Option<Arc<[u8]>>,
}

/// What bytes from the wire led to.
#[derive(Debug, Default)]
pub struct Progress {
    /// The handshake ended with these bytes; any plaintext came after it.
    pub handshake_done: Option<TlsFacts>,
    /// The peer said that it will send no more.
    pub peer_closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshaking,
    Open,
    /// The peer will send nothing more; we still may.
    PeerClosed,
    Closed,
}

enum Connection {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

impl Filter {
    /// The side of a client that connects to us.
    pub fn server(settings: &ServerSettings) -> Result<Filter, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&settings.config))
            .map_err(TlsError::of_settings)?;
        Ok(Filter::new(
            Connection::Server(Box::new(connection)),
            settings.end_point.clone(),
        ))
    }

    /// The side of a target that we connect to; [`Filter::start`] opens the conversation.
    pub fn client(settings: &ClientSettings) -> Result<Filter, TlsError> {
        let connection =
            UnbufferedClientConnection::new(Arc::clone(&settings.config), settings.name.clone())
                .map_err(TlsError::of_settings)?;
        Ok(Filter::new(Connection::Client(Box::new(connection)), None))
    }

    fn new(connection: Connection, end_point: Option<Arc<[u8]>>) -> Filter {
        Filter {
            connection,
            inbox: Vec::new(),
            phase: Phase::Handshaking,
            end_point,
        }
    }

    /// Appends what the client side must send first, its ClientHello. Nothing on the server side.
    pub fn start(&mut self, wire: &mut Vec<u8>) {
        // Without input there is nothing to fail on; if the library disagrees, the next call says so.
        let _ = self.on_wire(&[], &mut Vec::new(), wire);
    }

    /// Takes bytes from the wire. Appends the plaintext in them to `plain` and what must be sent in answer (handshake, alerts) to
    /// `wire`; after an error `wire` holds the alert, to be sent before closing.
    pub fn on_wire(
        &mut self,
        input: &[u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Progress, TlsError> {
        if !self.listens()? {
            return Ok(Progress::default());
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.extend_from_slice(input);
        let taken = self.take_in(&mut inbox, plain, wire)?;
        inbox.drain(..taken.len);
        // An idle connection owns no buffer.
        self.inbox = if inbox.is_empty() { Vec::new() } else { inbox };
        self.progress(taken.peer_closed)
    }

    /// As [`Filter::on_wire`], but decrypts where the bytes are (`input` is worthless afterwards), which saves a copy.
    pub fn on_wire_in_place(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Progress, TlsError> {
        if !self.inbox.is_empty() {
            return self.on_wire(input, plain, wire);
        }
        if !self.listens()? {
            return Ok(Progress::default());
        }
        let taken = self.take_in(input, plain, wire)?;
        self.inbox.extend_from_slice(&input[taken.len..]);
        self.progress(taken.peer_closed)
    }

    /// Takes plaintext to send and appends its records to `wire`.
    pub fn on_plain(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), TlsError> {
        match self.phase {
            Phase::Handshaking => return Err(TlsError::NotEstablished),
            Phase::Closed => return Err(TlsError::Closed),
            Phase::Open | Phase::PeerClosed => {}
        }
        self.write(Outgoing::Plain(plain), wire)
    }

    /// Says that we will send no more. Nothing is appended during a handshake: there the socket's end says it all.
    pub fn close_notify(&mut self, wire: &mut Vec<u8>) {
        if matches!(self.phase, Phase::Open | Phase::PeerClosed) {
            // It fails only on a connection that has failed before, which needs no farewell.
            let _ = self.write(Outgoing::CloseNotify, wire);
        }
        self.enter(Phase::Closed);
    }

    /// Whether the handshake is complete and neither side has closed.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether anything is still to come from the peer.
    fn listens(&self) -> Result<bool, TlsError> {
        match self.phase {
            Phase::Handshaking | Phase::Open => Ok(true),
            // RFC 8446, 6.1: what comes after close_notify is ignored.
            Phase::PeerClosed => Ok(false),
            Phase::Closed => Err(TlsError::Closed),
        }
    }

    fn take_in(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Taken, TlsError> {
        let result = match &mut self.connection {
            Connection::Server(server) => take_in(server.as_mut(), input, plain, wire),
            Connection::Client(client) => take_in(client.as_mut(), input, plain, wire),
        };
        if result.is_err() {
            self.enter(Phase::Closed);
        }
        result
    }

    fn write(&mut self, outgoing: Outgoing<'_>, wire: &mut Vec<u8>) -> Result<(), TlsError> {
        let inbox = &mut self.inbox;
        let result = match &mut self.connection {
            Connection::Server(server) => put_out(server.as_mut(), inbox, wire, outgoing),
            Connection::Client(client) => put_out(client.as_mut(), inbox, wire, outgoing),
        };
        if result.is_err() {
            self.enter(Phase::Closed);
        }
        result
    }

    fn progress(&mut self, peer_closed: bool) -> Result<Progress, TlsError> {
        if self.inbox.len() > HANDSHAKE_BYTES_MAX {
            self.enter(Phase::Closed);
            return Err(TlsError::Oversize);
        }
        let mut progress = Progress::default();
        if self.phase == Phase::Handshaking && !self.connection.common().is_handshaking() {
            progress.handshake_done = Some(self.facts());
            self.enter(Phase::Open);
        }
        if peer_closed {
            progress.peer_closed = true;
            self.enter(Phase::PeerClosed);
        }
        Ok(progress)
    }

    fn enter(&mut self, phase: Phase) {
        if matches!(phase, Phase::PeerClosed | Phase::Closed) {
            self.inbox = Vec::new();
        }
        self.phase = phase;
    }

    fn facts(&mut self) -> TlsFacts {
        let common = self.connection.common();
        let peer = common.peer_certificates().and_then(<[_]>::first);
        let is_server = matches!(self.connection, Connection::Server(_));
        TlsFacts {
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            server_end_point: match is_server {
                true => self.end_point.as_deref().map(<[u8]>::to_vec),
                false => peer.and_then(|certificate| server_end_point(certificate)),
            },
            client_certificate: is_server && peer.is_some(),
        }
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Connection {
    fn common(&self) -> &CommonState {
        match self {
            Connection::Server(server) => server,
            Connection::Client(client) => client,
        }
    }
}

/// What both sides of rustls have in common for us.
trait Side: Deref<Target: Deref<Target = CommonState>> {
    type Data;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

/// What an open connection is given to send.
#[derive(Clone, Copy)]
enum Outgoing<'a> {
    Plain(&'a [u8]),
    CloseNotify,
}

impl Outgoing<'_> {
    /// Most bytes it becomes on the wire.
    fn sealed_len_max(self) -> usize {
        match self {
            Outgoing::Plain(plain) => {
                plain.len() + (plain.len() / RECORD_PLAINTEXT_MAX + 1) * RECORD_OVERHEAD_MAX
            }
            Outgoing::CloseNotify => RECORD_OVERHEAD_MAX + 2,
        }
    }

    fn seal<Data>(
        self,
        traffic: &mut WriteTraffic<'_, Data>,
        room: &mut [u8],
    ) -> Result<usize, EncryptError> {
        match self {
            Outgoing::Plain(plain) => traffic.encrypt(plain, room),
            Outgoing::CloseNotify => traffic.queue_close_notify(room),
        }
    }
}

/// What became of bytes from the wire.
struct Taken {
    /// How many of them are done with; the rest is the beginning of a record or of a handshake message.
    len: usize,
    peer_closed: bool,
}

/// Processes all complete records of `input`.
fn take_in<S: Side>(
    side: &mut S,
    input: &mut [u8],
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> Result<Taken, TlsError> {
    let mut taken = Taken {
        len: 0,
        peer_closed: false,
    };
    loop {
        let UnbufferedStatus { mut discard, state } = side.process(&mut input[taken.len..]);
        let mut idle = false;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(TlsError::of_connection)?;
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(encode)) => append(encode, wire),
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            Ok(ConnectionState::PeerClosed) => taken.peer_closed = true,
            Ok(_) => idle = true,
            Err(error) => {
                append_alert(side, wire);
                return Err(TlsError::of_connection(error));
            }
        }
        taken.len += discard;
        if idle {
            return Ok(taken);
        }
    }
}

/// Appends the records of `outgoing`, after anything that was waiting to be sent.
fn put_out<S: Side>(
    side: &mut S,
    inbox: &mut Vec<u8>,
    wire: &mut Vec<u8>,
    outgoing: Outgoing<'_>,
) -> Result<(), TlsError> {
    loop {
        let UnbufferedStatus { discard, state } = side.process(inbox);
        match state {
            Ok(ConnectionState::WriteTraffic(traffic)) => {
                return append_sealed(traffic, wire, outgoing);
            }
            Ok(ConnectionState::EncodeTlsData(encode)) => append(encode, wire),
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            Ok(ConnectionState::PeerClosed) => {}
            Ok(_) => return Err(TlsError::Closed),
            Err(error) => return Err(TlsError::of_connection(error)),
        }
        inbox.drain(..discard);
    }
}

fn append_sealed<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    wire: &mut Vec<u8>,
    outgoing: Outgoing<'_>,
) -> Result<(), TlsError> {
    let start = wire.len();
    let mut room = outgoing.sealed_len_max();
    loop {
        wire.resize(start + room, 0);
        match outgoing.seal(&mut traffic, &mut wire[start..]) {
            Ok(written) => {
                wire.truncate(start + written);
                return Ok(());
            }
            // A message of the library's own (new keys) was waiting and takes room as well.
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                room = required_size;
            }
            Err(EncryptError::EncryptExhausted) => {
                wire.truncate(start);
                return Err(TlsError::KeysExhausted);
            }
        }
    }
}

/// Appends one message of the library's own.
fn append<Data>(mut encode: EncodeTlsData<'_, Data>, wire: &mut Vec<u8>) {
    let start = wire.len();
    // The size of the message is only to be had by refusing it once.
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
        encode.encode(&mut [])
    {
        wire.resize(start + required_size, 0);
        let written = encode.encode(&mut wire[start..]);
        wire.truncate(start + written.unwrap_or(0));
    }
}

/// Appends what a failed connection still has to say.
fn append_alert<S: Side>(side: &mut S, wire: &mut Vec<u8>) {
    while side.wants_write() {
        match side.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(encode)) => append(encode, wire),
            // Plaintext from before the failure stands in the way of the alert.
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while traffic.next_record().is_some() {}
            }
            _ => return,
        }
    }
}
