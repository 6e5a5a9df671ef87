//! The two ends of a TLS connection in memory: our filter, and a plain rustls connection as somebody else's.

use forebay_core::engine::TlsFacts;
use forebay_dataplane::tls::{ClientSettings, Filter, Progress, ServerSettings, TlsError};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig};
use rustls::{ServerConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::sync::Arc;

use crate::certificates::Authority;
use forebay_core::snapshot::Identity;

/// One end of a connection.
pub struct End {
    pub side: Side,
    /// Plaintext received.
    pub plain: Vec<u8>,
    /// Bytes to be moved to the other end.
    pub wire: Vec<u8>,
    /// Of our filter.
    pub facts: Option<TlsFacts>,
    pub peer_closed: bool,
    pub error: Option<Failure>,
    /// Our filter is given bytes in one way and the other by turns.
    turns: usize,
}

pub enum Side {
    Ours(Filter),
    Theirs(Box<Connection>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    Ours(TlsError),
    Theirs(rustls::Error),
}

impl End {
    pub fn server(settings: &ServerSettings) -> End {
        End::new(Side::Ours(Filter::server(settings).unwrap()))
    }

    pub fn client(settings: &ClientSettings) -> End {
        let mut end = End::new(Side::Ours(Filter::client(settings).unwrap()));
        if let Side::Ours(filter) = &mut end.side {
            filter.start(&mut end.wire);
        }
        end
    }

    /// Somebody else's client.
    pub fn their_client(config: ClientConfig, host: &str) -> End {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut end = End::new(Side::Theirs(Box::new(connection.into())));
        end.flush();
        end
    }

    /// Somebody else's server.
    pub fn their_server(config: ServerConfig) -> End {
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        End::new(Side::Theirs(Box::new(connection.into())))
    }

    fn new(side: Side) -> End {
        End {
            side,
            plain: Vec::new(),
            wire: Vec::new(),
            facts: None,
            peer_closed: false,
            error: None,
            turns: 0,
        }
    }

    /// Bytes from the other end.
    pub fn take(&mut self, bytes: &[u8]) {
        match &mut self.side {
            Side::Ours(filter) => match either_way(
                filter,
                bytes,
                &mut self.turns,
                &mut self.plain,
                &mut self.wire,
            ) {
                Ok(progress) => {
                    assert!(progress.handshake_done.is_none() || self.facts.is_none());
                    self.facts = self.facts.take().or(progress.handshake_done);
                    self.peer_closed |= progress.peer_closed;
                }
                Err(error) => self.error = self.error.take().or(Some(Failure::Ours(error))),
            },
            Side::Theirs(_) => self.take_theirs(bytes),
        }
    }

    fn take_theirs(&mut self, mut bytes: &[u8]) {
        let Side::Theirs(connection) = &mut self.side else {
            unreachable!("the caller looked")
        };
        while !bytes.is_empty() && self.error.is_none() {
            connection.read_tls(&mut bytes).unwrap();
            match connection.process_new_packets() {
                Ok(state) => self.peer_closed |= state.peer_has_closed(),
                Err(error) => self.error = Some(Failure::Theirs(error)),
            }
            // At its end a closed connection reads as empty, an open one as an error.
            let _ = connection.reader().read_to_end(&mut self.plain);
        }
        self.flush();
    }

    /// Plaintext to the other end.
    pub fn send(&mut self, plain: &[u8]) {
        match &mut self.side {
            Side::Ours(filter) => filter.on_plain(plain, &mut self.wire).unwrap(),
            Side::Theirs(connection) => {
                for part in plain.chunks(16 * 1024) {
                    connection.writer().write_all(part).unwrap();
                    while connection.wants_write() {
                        connection.write_tls(&mut self.wire).unwrap();
                    }
                }
            }
        }
    }

    pub fn close(&mut self) {
        match &mut self.side {
            Side::Ours(filter) => filter.close_notify(&mut self.wire),
            Side::Theirs(connection) => {
                connection.send_close_notify();
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if let Side::Theirs(connection) = &mut self.side {
            while connection.wants_write() {
                connection.write_tls(&mut self.wire).unwrap();
            }
        }
    }

    pub fn filter(&mut self) -> &mut Filter {
        match &mut self.side {
            Side::Ours(filter) => filter,
            Side::Theirs(_) => panic!("this end is not ours"),
        }
    }

    pub fn theirs(&mut self) -> &mut Connection {
        match &mut self.side {
            Side::Theirs(connection) => connection,
            Side::Ours(_) => panic!("this end is ours"),
        }
    }

    pub fn our_error(&self) -> Option<&TlsError> {
        match &self.error {
            Some(Failure::Ours(error)) => Some(error),
            _ => None,
        }
    }
}

/// Both ways to give bytes to a filter, by turns.
fn either_way(
    filter: &mut Filter,
    bytes: &[u8],
    turns: &mut usize,
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> Result<Progress, TlsError> {
    *turns += 1;
    match *turns % 2 {
        0 => filter.on_wire(bytes, plain, wire),
        _ => filter.on_wire_in_place(&mut bytes.to_vec(), plain, wire),
    }
}

/// Moves bytes both ways, `cut` at a time, until none are left.
pub fn exchange(a: &mut End, b: &mut End, cut: usize) {
    while !a.wire.is_empty() || !b.wire.is_empty() {
        for piece in std::mem::take(&mut a.wire).chunks(cut) {
            b.take(piece);
        }
        for piece in std::mem::take(&mut b.wire).chunks(cut) {
            a.take(piece);
        }
    }
}

/// Moves all bytes both ways in as few pieces as possible.
pub fn settle(a: &mut End, b: &mut End) {
    exchange(a, b, usize::MAX);
}

pub type Versions = &'static [&'static SupportedProtocolVersion];

pub const TLS12: Versions = &[&rustls::version::TLS12];
pub const TLS13: Versions = &[&rustls::version::TLS13];

/// A client of somebody else, which believes `authority` and offers `alpn`.
pub fn their_client_config(
    versions: Versions,
    authority: &Authority,
    alpn: &[&str],
) -> ClientConfig {
    let mut config = their_client_builder(versions, authority).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// The same with a certificate to show.
pub fn their_client_with(
    versions: Versions,
    authority: &Authority,
    identity: &Identity,
) -> ClientConfig {
    let (chain, key) = theirs(identity);
    their_client_builder(versions, authority)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

fn their_client_builder(
    versions: Versions,
    authority: &Authority,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der())).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}

/// A server of somebody else, which shows what it is given, however wrong.
pub fn their_server_config(versions: Versions, identity: &Identity, alpn: &[&str]) -> ServerConfig {
    let (chain, key) = theirs(identity);
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub fn theirs(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = identity.chain.iter().cloned().map(CertificateDer::from);
    let key = PrivateKeyDer::try_from(identity.key.to_vec()).unwrap();
    (chain.collect(), key)
}
