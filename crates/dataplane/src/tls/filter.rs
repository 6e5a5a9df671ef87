//! One TLS connection without its socket: which plaintext the bytes from the wire hold, and which bytes plaintext becomes.
//!
//! ```text
//!   Handshaking --its last message--> Open --the peer's close_notify--> PeerClosed
//!        |                             |                                    |
//!        '---- what is not proper TLS, an alert, our own close_notify ------'--> Closed
//! ```
//!
//! The connection keeps no buffer of its own while no record is half received. Timeouts and the end of the stream are the
//! caller's: a peer that closes its socket without `close_notify` is just gone.

use super::config::{ClientSettings, ServerSettings};
use super::drive::{Connection, Outgoing, Taken};
use super::{TlsError, server_end_point};
use forebay_core::engine::TlsFacts;
use rustls::SupportedCipherSuite;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use std::sync::Arc;

/// Most bytes of an unfinished handshake message (or record) that are kept.
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// One connection, either side of it.
pub struct Filter {
    connection: Connection,
    /// The beginning of a record whose end has not come.
    inbox: Vec<u8>,
    phase: Phase,
    /// Records of plaintext that we sent.
    records_sent: u64,
    /// Channel binding data of our own certificate, on the server side.
    end_point: Option<Arc<[u8]>>,
    fingerprint: Option<Arc<[u8; 32]>>,
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

impl Filter {
    /// The side of a client that connects to us.
    pub fn server(settings: &ServerSettings) -> Result<Filter, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&settings.config))
            .map_err(TlsError::of_settings)?;
        Ok(Filter {
            end_point: settings.end_point.clone(),
            fingerprint: settings.fingerprint.clone(),
            ..Filter::new(Connection::Server(Box::new(connection)))
        })
    }

    /// The side of a target that we connect to; [`Filter::start`] opens the conversation.
    pub fn client(settings: &ClientSettings) -> Result<Filter, TlsError> {
        let connection =
            UnbufferedClientConnection::new(Arc::clone(&settings.config), settings.name.clone())
                .map_err(TlsError::of_settings)?;
        Ok(Filter::new(Connection::Client(Box::new(connection))))
    }

    fn new(connection: Connection) -> Filter {
        Filter {
            connection,
            inbox: Vec::new(),
            phase: Phase::Handshaking,
            records_sent: 0,
            end_point: None,
            fingerprint: None,
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

    /// Whether half of what the keys may encrypt is used: close the connection when it is idle, for there are no new keys.
    ///
    /// Only ever so with AES-GCM of TLS 1.2, after some eight million records; TLS 1.3 changes its keys in time by itself.
    pub fn is_worn(&self) -> bool {
        let suite = self.connection.common().negotiated_cipher_suite();
        suite.is_some_and(|suite| self.records_sent > records_max(suite) / 2)
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
        let result = self.connection.take_in(input, plain, wire);
        if result.is_err() {
            self.enter(Phase::Closed);
        }
        result
    }

    fn write(&mut self, outgoing: Outgoing<'_>, wire: &mut Vec<u8>) -> Result<(), TlsError> {
        self.records_sent += outgoing.records();
        let result = self.connection.put_out(&mut self.inbox, wire, outgoing);
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

    fn facts(&self) -> TlsFacts {
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
            own_certificate: self.fingerprint.as_deref().copied(),
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

/// Most records that one key may encrypt where there is no other to follow it.
fn records_max(suite: SupportedCipherSuite) -> u64 {
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        SupportedCipherSuite::Tls13(_) => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::records_max;
    use rustls::crypto::aws_lc_rs::cipher_suite;

    #[test]
    fn only_aes_gcm_of_tls_1_2_wears_out() {
        let aes_12 = cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        let chacha_12 = cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256;
        assert_eq!(records_max(aes_12), 1 << 24);
        assert_eq!(records_max(chacha_12), u64::MAX);
        assert_eq!(
            records_max(cipher_suite::TLS13_AES_128_GCM_SHA256),
            u64::MAX
        );
    }
}
