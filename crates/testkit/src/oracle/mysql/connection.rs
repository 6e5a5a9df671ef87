//! A blocking MySQL client of whole packets: log in, send bytes, take the next packet or learn that none comes.
//!
//! It proves passwords by `mysql_native_password` and `caching_sha2_password`, the latter without TLS by the server's key. What answers
//! mean is for `replies` (MySQL's documentation, "Connection Phase").

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use forebay_mysql::password::caching_sha2::{self, ExpectVerdict, REQUEST_KEY, Verdict};
use forebay_mysql::password::rsa::ExpectKey;
use forebay_mysql::password::{Method, native};
use forebay_mysql::wire::auth::{AuthPacket, nonce_of};
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::greeting::{Greeting, NONCE_BYTES};
use forebay_mysql::wire::reply::{ErrorPacket, OkPacket};
use forebay_mysql::wire::response::{Opening as Start, Response};
use forebay_mysql::wire::{self, HEADER_BYTES, auth, command, write};

use super::program::Opening;
use crate::oracle::connection::{Address, Silence};

/// The longest wait for one packet; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// One packet of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its number within its exchange.
    pub sequence: u8,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of `input` that are taken.
    taken: usize,
    /// What both ends agreed on.
    pub capabilities: Capabilities,
}

/// What a login showed.
#[derive(Debug, Default)]
pub struct Said {
    /// The greeting's version and collation.
    pub greeting: Option<(Vec<u8>, u8)>,
    /// The packet that ended it.
    pub end: Option<Packet>,
}

impl Connection {
    /// Connects and logs in; gives what the server said.
    ///
    /// # Errors
    /// The silence in which it ended, when there is no connection to go on with; what came before it.
    pub fn open(
        address: &Address,
        opening: &Opening,
        database: Option<&str>,
    ) -> Result<(Connection, Said), (Silence, Said)> {
        let none = |silence| (silence, Said::default());
        let stream = TcpStream::connect(address.at).map_err(|_| none(Silence::Closed))?;
        let set = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        set.map_err(|_| none(Silence::Closed))?;
        let mut connection = Connection {
            stream,
            input: Vec::new(),
            taken: 0,
            capabilities: Capabilities::NONE,
        };
        let mut said = Said::default();
        match connection.log_in(address, opening, database, &mut said) {
            Ok(()) => Ok((connection, said)),
            Err(silence) => Err((silence, said)),
        }
    }

    fn log_in(
        &mut self,
        address: &Address,
        opening: &Opening,
        database: Option<&str>,
        said: &mut Said,
    ) -> Result<(), Silence> {
        let first = self.packet()?;
        let Ok(greeting) = Greeting::read(&first.payload) else {
            said.end = Some(first);
            return Err(Silence::Closed);
        };
        said.greeting = Some((greeting.version.to_vec(), greeting.collation));
        let method = Method::from_wire(greeting.plugin).unwrap_or(Method::Native);
        self.capabilities = opening.capabilities() & greeting.capabilities;
        let nonce = greeting.nonce;
        let mut out = Vec::new();
        let response = Response {
            opening: Start {
                capabilities: self.capabilities,
                message_bytes_max: 1 << 30,
                collation: opening.collation,
            },
            user: address.user.as_bytes(),
            proof: &proof(method, &address.password, &nonce)?,
            database: database.map(str::as_bytes),
            plugin: Some(method.as_str().as_bytes()),
            attributes: &[],
            zstd_level: None,
        };
        let written = response.write(&mut out, first.sequence.wrapping_add(1));
        written.ok_or(Silence::Garbage)?;
        self.send(&out);
        self.prove(address, nonce, said)
    }

    /// What the server asks for until it accepts or refuses.
    fn prove(
        &mut self,
        address: &Address,
        mut nonce: [u8; NONCE_BYTES],
        said: &mut Said,
    ) -> Result<(), Silence> {
        let mut key: Option<ExpectKey> = None;
        loop {
            let packet = self.packet()?;
            let answer = match AuthPacket::read(&packet.payload) {
                Ok(AuthPacket::Ok) => {
                    said.end = Some(packet);
                    return Ok(());
                }
                Ok(AuthPacket::Error) => {
                    said.end = Some(packet);
                    return Err(Silence::Closed);
                }
                Ok(AuthPacket::Switch { plugin, data }) => {
                    nonce = nonce_of(data).map_err(|_| Silence::Garbage)?;
                    let method = Method::from_wire(plugin).ok_or(Silence::Garbage)?;
                    proof(method, &address.password, &nonce)?
                }
                Ok(AuthPacket::More(data)) => match key.take() {
                    Some(key) => key
                        .on_key(data, &address.password)
                        .map_err(|_| Silence::Garbage)?,
                    None => match ExpectVerdict::new(nonce, false).on_more(data) {
                        Ok(Verdict::Accepted) => continue,
                        Ok(Verdict::AskForKey(expect)) => {
                            key = Some(expect);
                            vec![REQUEST_KEY]
                        }
                        _ => return Err(Silence::Garbage),
                    },
                },
                _ => return Err(Silence::Garbage),
            };
            let mut out = Vec::new();
            auth::answer(&mut out, packet.sequence.wrapping_add(1), &answer);
            self.send(&out);
        }
    }

    /// Sends bytes; a connection that is gone shows when it is read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next packet.
    ///
    /// # Errors
    /// Why there is none.
    pub fn packet(&mut self) -> Result<Packet, Silence> {
        loop {
            let rest = &self.input[self.taken..];
            if let Some(header) = wire::header(rest)
                && let Some(packet) = rest.get(HEADER_BYTES..header.len)
            {
                let packet = Packet {
                    sequence: header.sequence,
                    payload: packet.to_vec(),
                };
                self.taken += header.len;
                if self.taken == self.input.len() {
                    self.input.clear();
                    self.taken = 0;
                }
                return Ok(packet);
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<(), Silence> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(Silence::Closed),
                Ok(count) => {
                    self.input.extend_from_slice(&bytes[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(Silence::Hangs);
                }
                Err(_) => return Err(Silence::Closed),
            }
        }
    }

    /// Says goodbye and waits until the other end has closed, so that what it still does is done.
    pub fn close(mut self) {
        let mut out = Vec::new();
        write::command(&mut out, command::QUIT, &[]);
        self.send(&out);
        while self.packet().is_ok() {}
    }

    /// Runs one statement for its effect.
    ///
    /// # Errors
    /// What the server said against it.
    pub fn run(&mut self, sql: &str) -> Result<(), String> {
        let mut out = Vec::new();
        write::query(&mut out, sql.as_bytes());
        self.send(&out);
        let head = sql.trim().lines().next().unwrap_or_default();
        let packet = self
            .packet()
            .map_err(|silence| format!("{head}: {silence}"))?;
        if OkPacket::read(&packet.payload, self.capabilities).is_ok() {
            return Ok(());
        }
        match ErrorPacket::read(&packet.payload) {
            Ok(error) => Err(format!(
                "{head}: {}",
                String::from_utf8_lossy(error.message)
            )),
            Err(_) => Err(format!("{head}: no statement without a result")),
        }
    }
}

fn proof(method: Method, password: &str, nonce: &[u8; NONCE_BYTES]) -> Result<Vec<u8>, Silence> {
    match method {
        Method::Native => Ok(native::answer(password, nonce)),
        Method::CachingSha2 => Ok(caching_sha2::answer(password, nonce)),
        _ => Err(Silence::Garbage),
    }
}
