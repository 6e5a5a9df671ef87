//! A database that takes every query for granted, or has its reasons not to, and tells what it was sent.

use forebay_postgres::md5_password::Md5Hash;
use forebay_postgres::wire::startup::{First, first, pairs};
use forebay_postgres::wire::{HEADER_BYTES, header, write};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Its process number, of every connection.
pub const PROCESS: u32 = 4711;
/// What its cancel keys are made of.
pub const SECRET_BYTE: u8 = 0xa5;

/// How it answers startup messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It speaks 3.2.
    Serves,
    /// It offers 3.0.
    NegotiatesOldest,
    /// An error for anything but 3.0.
    RefusesNewest,
    /// No word for anything but 3.0.
    HangsUpOnNewest,
    /// The credentials are wrong.
    RefusesPassword,
    /// It asks for the password in clear text, without TLS.
    WantsClearText,
    /// It asks for this password by MD5.
    Knows(&'static str),
    /// There is no place left.
    IsFull,
    /// The user may not set what it asks for.
    RefusesSettings,
}

/// What it was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Startup(u32, Vec<(String, String)>),
    Cancel(u32, Vec<u8>),
    Query(String),
    Goodbye,
    /// A connection ended without a goodbye, or after its query.
    End,
}

/// The running database.
pub struct Database {
    pub port: u16,
    seen: Receiver<Seen>,
}

impl Database {
    /// Starts one.
    pub fn start(manner: Manner) -> Database {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (sender, seen) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut connection = Connection {
                        stream,
                        held: Vec::new(),
                        sender,
                    };
                    connection.serve(manner);
                });
            }
        });
        Database { port, seen }
    }

    /// What it is sent next.
    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("something is sent")
    }

    /// The next startup message.
    pub fn startup(&self) -> (u32, Vec<(String, String)>) {
        loop {
            match self.next() {
                Seen::Startup(version, parameters) => return (version, parameters),
                Seen::End => {}
                other => panic!("{other:?} instead of a startup message"),
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    held: Vec<u8>,
    sender: Sender<Seen>,
}

impl Connection {
    fn tell(&self, seen: Seen) {
        let _ = self.sender.send(seen);
    }

    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        let _ = self.stream.write_all(&out);
    }

    /// Whether more came.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let len = self.stream.read(&mut buffer).unwrap_or(0);
        self.held.extend_from_slice(&buffer[..len]);
        len > 0
    }

    fn serve(&mut self, manner: Manner) {
        let Some(version) = self.begin() else { return };
        if self.greet(manner, version) {
            while self.obey() {}
        }
    }

    /// The first packet; the version of a startup message.
    fn begin(&mut self) -> Option<u32> {
        loop {
            match first(&self.held).expect("the proxy sends proper packets") {
                Ok((First::Cancel { process, secret }, _)) => {
                    let secret = secret.to_vec();
                    self.tell(Seen::Cancel(process, secret));
                    return None;
                }
                Ok((
                    First::Startup {
                        version,
                        parameters,
                    },
                    len,
                )) => {
                    let pairs = pairs(parameters).expect("names and values");
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let pairs = pairs.into_iter().map(|(n, v)| (text(n), text(v)));
                    let pairs = pairs.collect();
                    self.tell(Seen::Startup(version, pairs));
                    self.held.drain(..len);
                    return Some(version);
                }
                Ok((First::Ssl | First::Gss, _)) => panic!("TLS is disabled"),
                Err(_need) => {}
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// Answers the startup message; whether the session goes on.
    fn greet(&mut self, manner: Manner, version: u32) -> bool {
        let newer = version > 3 << 16;
        let refusal = match manner {
            Manner::RefusesNewest if newer => Some(("08P01", "bad packet header")),
            Manner::RefusesPassword => Some(("28P01", "password authentication failed")),
            Manner::RefusesSettings => Some(("42501", "permission denied to set parameter")),
            Manner::IsFull => Some(("53300", "sorry, too many clients already")),
            _ => None,
        };
        if let Some((code, text)) = refusal {
            self.say(|out| write::error(out, "FATAL", code, text));
            return false;
        }
        match manner {
            Manner::HangsUpOnNewest if newer => return false,
            Manner::NegotiatesOldest => {
                self.say(|out| out.extend(b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0"))
            }
            Manner::Knows(password) if !self.hears(password) => {
                let text = "password authentication failed";
                self.say(|out| write::error(out, "FATAL", "28P01", text));
                return false;
            }
            Manner::WantsClearText => {
                self.say(|out| out.extend(b"R\0\0\0\x08\0\0\0\x03"));
                return true;
            }
            _ => {}
        }
        let long = newer && manner == Manner::Serves;
        let secret = vec![SECRET_BYTE; if long { 32 } else { 4 }];
        self.say(|out| {
            out.extend_from_slice(write::AUTHENTICATION_OK);
            write::backend_key_data(out, PROCESS, &secret);
            write::ready_for_query(out, b'I');
        });
        true
    }

    /// Whether it is given the password, by MD5.
    fn hears(&mut self, password: &str) -> bool {
        const SALT: [u8; 4] = *b"salt";
        self.say(|out| {
            out.extend(b"R\0\0\0\x0c\0\0\0\x05");
            out.extend(SALT);
        });
        let answer = self.message();
        let answer = answer.as_deref().unwrap_or_default();
        let answer = answer.get(HEADER_BYTES..).unwrap_or_default();
        let answer = answer.strip_suffix(b"\0").unwrap_or_default();
        Md5Hash::of("app", password).verify_response(answer, SALT)
    }

    /// The next message, if there is one.
    fn message(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(header) = header(&self.held).expect("a message")
                && header.len <= self.held.len()
            {
                return Some(self.held.drain(..header.len).collect());
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// One message; whether the session goes on.
    fn obey(&mut self) -> bool {
        let Some(message) = self.message() else {
            self.tell(Seen::End);
            return false;
        };
        match message[0] {
            b'X' => {
                self.tell(Seen::Goodbye);
                false
            }
            b'Q' => {
                let text = &message[HEADER_BYTES..message.len() - 1];
                self.answer(&String::from_utf8_lossy(text));
                true
            }
            other => panic!("the tests send no {}", other.escape_ascii()),
        }
    }

    fn answer(&mut self, text: &str) {
        let limits = text.contains("max_connections");
        if !limits {
            self.tell(Seen::Query(text.to_owned()));
        }
        if text == "sleep" {
            return;
        }
        self.say(|out| {
            if limits {
                write::message(out, b'D', |out| {
                    out.extend(b"\0\x03\0\0\0\x03100\0\0\0\x013\0\0\0\x010");
                });
            }
            write::command_complete(out, b"SELECT 1");
            write::ready_for_query(out, b'I');
        });
    }
}
