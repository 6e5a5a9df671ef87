//! How rustls' unbuffered connections are driven: records in and out, with buffers that are ours.
//!
//! The same for both sides. Whether a call makes sense at this time is decided in `filter`; here, a state of rustls leads to what
//! must be done about it, until there is nothing left to do without more input.

use super::TlsError;
use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use std::ops::Deref;

/// Plaintext bytes of a full record (RFC 8446, 5.1).
const RECORD_PLAINTEXT_MAX: usize = 16 * 1024;

/// What a record is larger than its plaintext, at most: header 5, explicit nonce 8 (TLS 1.2), inner type 1 (TLS 1.3), tag 16.
const RECORD_OVERHEAD_MAX: usize = 30;

/// A connection, either side of it.
pub(super) enum Connection {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

impl Connection {
    /// What is known of both sides.
    pub(super) fn common(&self) -> &CommonState {
        match self {
            Connection::Server(server) => server,
            Connection::Client(client) => client,
        }
    }

    /// Processes all complete records of `input`, in place. After an error `wire` ends with the alert that tells it to the peer.
    pub(super) fn take_in(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Taken, TlsError> {
        match self {
            Connection::Server(server) => take_in(server.as_mut(), input, plain, wire),
            Connection::Client(client) => take_in(client.as_mut(), input, plain, wire),
        }
    }

    /// Appends the records of `outgoing`, after anything that was waiting to be sent. `inbox` is what came and is not complete.
    pub(super) fn put_out(
        &mut self,
        inbox: &mut Vec<u8>,
        wire: &mut Vec<u8>,
        outgoing: Outgoing<'_>,
    ) -> Result<(), TlsError> {
        match self {
            Connection::Server(server) => put_out(server.as_mut(), inbox, wire, outgoing),
            Connection::Client(client) => put_out(client.as_mut(), inbox, wire, outgoing),
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
pub(super) enum Outgoing<'a> {
    Plain(&'a [u8]),
    CloseNotify,
}

impl Outgoing<'_> {
    /// How many records it becomes.
    pub(super) fn records(self) -> u64 {
        match self {
            Outgoing::Plain(plain) => plain.len().div_ceil(RECORD_PLAINTEXT_MAX) as u64,
            Outgoing::CloseNotify => 1,
        }
    }

    /// Most bytes it becomes on the wire.
    fn sealed_len_max(self) -> usize {
        match self {
            Outgoing::Plain(plain) => plain.len() + self.records() as usize * RECORD_OVERHEAD_MAX,
            Outgoing::CloseNotify => 2 + RECORD_OVERHEAD_MAX,
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
pub(super) struct Taken {
    /// How many of them are done with; the rest is the beginning of a record or of a handshake message.
    pub(super) len: usize,
    /// Whether the peer said that it will send no more.
    pub(super) peer_closed: bool,
}

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
