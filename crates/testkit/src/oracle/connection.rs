//! A blocking PostgreSQL client of whole messages: log in, send bytes, take the next message or learn that none comes.
//!
//! It knows nothing of what messages mean beyond the login (protocol documentation, chapter "Message Flow").

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use forebay_postgres::scram::{
    ClientBinding, ClientFirst, ClientKeys, ITERATIONS_MAX_DEFAULT, NONCE_BYTES,
};

/// The longest wait for one message; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest message taken, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Protocol version 3.0.
const VERSION: u32 = 3 << 16;

/// Who logs in where.
#[derive(Debug, Clone)]
pub struct Address {
    /// A server or a proxy.
    pub at: SocketAddr,
    /// The role.
    pub user: String,
    /// Its database.
    pub database: String,
    /// Its password, made for the run.
    pub password: String,
}

/// One message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The type byte.
    pub kind: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// Why there is no next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nothing came for ten seconds.
    Hangs,
    /// The connection is closed.
    Closed,
    /// What came is no message.
    Garbage,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Silence::Hangs => "(nothing more for ten seconds)",
            Silence::Closed => "(connection closed)",
            Silence::Garbage => "(no message of the protocol)",
        })
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of `input` that are taken.
    taken: usize,
    /// The process number that the server gave, 0 before it did.
    pub process: u32,
}

type Keys = HashMap<(Vec<u8>, u32, String), ClientKeys>;

thread_local! {
    // A derivation costs as much as some hundred queries.
    static KEYS: RefCell<Keys> = RefCell::default();
}

impl Connection {
    /// Connects and logs in; gives what the server said, up to ReadyForQuery or its refusal.
    ///
    /// # Errors
    /// The silence in which it ended, when there is no connection to go on with; the messages that came before it.
    pub fn open(
        address: &Address,
        parameters: &[(String, String)],
    ) -> Result<(Connection, Vec<Message>), (Silence, Vec<Message>)> {
        let none = |silence| (silence, Vec::new());
        let stream = TcpStream::connect(address.at).map_err(|_| none(Silence::Closed))?;
        let set = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        set.map_err(|_| none(Silence::Closed))?;
        let mut connection = Connection {
            stream,
            input: Vec::new(),
            taken: 0,
            process: 0,
        };
        let mut said = Vec::new();
        match connection.log_in(address, parameters, &mut said) {
            Ok(()) => Ok((connection, said)),
            Err(silence) => Err((silence, said)),
        }
    }

    fn log_in(
        &mut self,
        address: &Address,
        parameters: &[(String, String)],
        said: &mut Vec<Message>,
    ) -> Result<(), Silence> {
        let _ = self.stream.write_all(&startup_message(address, parameters));
        let mut nonce = [0; NONCE_BYTES];
        nonce[..4].copy_from_slice(&std::process::id().to_be_bytes());
        let mut first = Some(ClientFirst::new(&nonce, ClientBinding::None));
        let mut last = None;
        loop {
            let message = self.message()?;
            let code = message.body.get(..4).map(number);
            match (message.kind, code) {
                (b'R', Some(10)) => {
                    let first = first.as_ref().ok_or(Silence::Garbage)?;
                    self.send(&sasl_initial(first));
                }
                (b'R', Some(11)) => {
                    let first = first.take().ok_or(Silence::Garbage)?;
                    let asked = first.on_server_first(&message.body[4..], ITERATIONS_MAX_DEFAULT);
                    let asked = asked.map_err(|_| Silence::Garbage)?;
                    let keys = keys(&address.password, asked.salt(), asked.iterations());
                    let (proof, server) = asked.with_keys(&keys);
                    last = Some(server);
                    self.send(&framed(b'p', &proof));
                }
                (b'R', Some(12)) => {
                    let server = last.take().ok_or(Silence::Garbage)?;
                    let signed = server.on_server_final(&message.body[4..]);
                    signed.map_err(|_| Silence::Garbage)?;
                }
                (b'R', Some(0)) => {}
                (b'K', Some(process)) => self.process = process,
                (b'E', _) => {
                    said.push(message);
                    return Err(Silence::Closed);
                }
                (b'Z', _) => return Ok(()),
                _ => said.push(message),
            }
        }
    }

    /// Sends bytes; a connection that is gone shows when it is read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next message.
    ///
    /// # Errors
    /// Why there is none.
    pub fn message(&mut self) -> Result<Message, Silence> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.receive()?;
        }
    }

    fn buffered(&mut self) -> Result<Option<Message>, Silence> {
        let rest = &self.input[self.taken..];
        let [kind, length @ ..] = rest else {
            return Ok(None);
        };
        let Some(length) = length.get(..4).map(|bytes| number(bytes) as usize) else {
            return Ok(None);
        };
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(Silence::Garbage);
        }
        let Some(body) = rest.get(5..=length) else {
            return Ok(None);
        };
        let message = Message {
            kind: *kind,
            body: body.to_vec(),
        };
        self.taken += length + 1;
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
        Ok(Some(message))
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
        self.send(&framed(b'X', &[]));
        while self.message().is_ok() {}
    }

    /// Runs SQL for its effect.
    ///
    /// # Errors
    /// What the server said against it.
    pub fn run(&mut self, sql: &str) -> Result<(), String> {
        self.send(&framed(b'Q', &[sql.as_bytes(), b"\0"].concat()));
        let mut refused = None;
        loop {
            match self.message() {
                Ok(Message { kind: b'E', body }) => {
                    refused = Some(String::from_utf8_lossy(&body).replace('\0', " "));
                }
                Ok(Message { kind: b'Z', .. }) => break,
                Ok(_) => {}
                Err(silence) => return Err(format!("{}: {silence}", head(sql))),
            }
        }
        refused.map_or(Ok(()), |said| Err(format!("{}: {said}", head(sql))))
    }
}

/// As much of a text as a line of an error takes.
fn head(sql: &str) -> &str {
    sql.trim().lines().next().unwrap_or_default()
}

/// A message as it stands on the wire.
pub fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(body.len() + 5);
    message.push(kind);
    message.extend_from_slice(&length(body.len() + 4).to_be_bytes());
    message.extend_from_slice(body);
    message
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a program's messages are small")
}

/// Four bytes as the protocol writes numbers; shorter input counts as if zeros stood before it.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn startup_message(address: &Address, parameters: &[(String, String)]) -> Vec<u8> {
    let mut body = VERSION.to_be_bytes().to_vec();
    let named = [("user", &address.user), ("database", &address.database)];
    let more = parameters.iter().map(|(name, value)| (&**name, value));
    for (name, value) in named.into_iter().chain(more) {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    [&length(body.len() + 4).to_be_bytes()[..], &body].concat()
}

fn sasl_initial(first: &ClientFirst) -> Vec<u8> {
    let message = first.message();
    let mut body = first.mechanism().as_str().as_bytes().to_vec();
    body.push(0);
    body.extend_from_slice(&length(message.len()).to_be_bytes());
    body.extend_from_slice(&message);
    framed(b'p', &body)
}

fn keys(password: &str, salt: &[u8], iterations: std::num::NonZeroU32) -> ClientKeys {
    KEYS.with_borrow_mut(|known| {
        let key = (salt.to_vec(), iterations.get(), password.to_owned());
        let derive = || ClientKeys::derive(password, salt, iterations);
        known.entry(key).or_insert_with(derive).clone()
    })
}
