//! What the oracle plays: a program is a list of steps, each of one session, sent when the step before is answered.

use std::fmt;

use super::connection::framed;

/// A session of a program, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Played and compared on both sides.
    Client(u8),
    /// Played through Forebay only, to dirty backends.
    Neighbour(u8),
}

/// One message of the extended protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extended {
    /// Statement name, text.
    Parse(String, String),
    /// Portal, statement, parameters as text.
    Bind(String, String, Vec<Option<String>>),
    /// A statement's name.
    DescribeStatement(String),
    /// A portal's name.
    DescribePortal(String),
    /// Portal, and how many rows at most (0: all).
    Execute(String, u32),
    /// A statement's name.
    CloseStatement(String),
    /// A portal's name.
    ClosePortal(String),
    /// Flush.
    Flush,
    /// Sync.
    Sync,
}

/// What a session does in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Connects, with these startup parameters.
    Open(Vec<(String, String)>),
    /// Ends its connection.
    Close,
    /// One Query message.
    Query(String),
    /// Messages sent in one write.
    Extended(Vec<Extended>),
    /// A Query that may answer CopyInResponse; then these data follow, and CopyDone, or CopyFail with its reason.
    CopyIn {
        /// The statement.
        sql: String,
        /// All data, one message.
        data: String,
        /// Why it fails, if it shall.
        fail: Option<String>,
    },
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whose.
    pub who: Who,
    /// What it does.
    pub act: Act,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// In the order they are played.
    pub steps: Vec<Step>,
}

impl Act {
    /// A Query.
    pub fn query(sql: impl Into<String>) -> Act {
        Act::Query(sql.into())
    }
}

impl Extended {
    /// The message as it stands on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let kind = match self {
            Extended::Parse(name, text) => {
                texts(&mut body, &[name, text]);
                body.extend_from_slice(&[0, 0]);
                b'P'
            }
            Extended::Bind(portal, name, parameters) => {
                texts(&mut body, &[portal, name]);
                // No format codes: all text.
                body.extend_from_slice(&[0, 0]);
                bound(&mut body, parameters);
                body.extend_from_slice(&[0, 0]);
                b'B'
            }
            Extended::DescribeStatement(name) => named(&mut body, b'S', name, b'D'),
            Extended::DescribePortal(name) => named(&mut body, b'P', name, b'D'),
            Extended::CloseStatement(name) => named(&mut body, b'S', name, b'C'),
            Extended::ClosePortal(name) => named(&mut body, b'P', name, b'C'),
            Extended::Execute(portal, rows) => {
                texts(&mut body, &[portal]);
                body.extend_from_slice(&rows.to_be_bytes());
                b'E'
            }
            Extended::Flush => b'H',
            Extended::Sync => b'S',
        };
        framed(kind, &body)
    }
}

fn named(body: &mut Vec<u8>, what: u8, name: &str, kind: u8) -> u8 {
    body.push(what);
    texts(body, &[name]);
    kind
}

fn texts(body: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
}

fn bound(body: &mut Vec<u8>, parameters: &[Option<String>]) {
    let count = u16::try_from(parameters.len()).expect("a few parameters");
    body.extend_from_slice(&count.to_be_bytes());
    for parameter in parameters {
        let Some(text) = parameter else {
            body.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        };
        let length = i32::try_from(text.len()).expect("a short parameter");
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Client(number) => write!(f, "c{number}"),
            Who::Neighbour(number) => write!(f, "n{number}"),
        }
    }
}

impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Extended::Parse(name, text) => write!(f, "Parse {name:?} {text:?}"),
            Extended::Bind(portal, name, parameters) => {
                write!(f, "Bind {portal:?} {name:?}")?;
                parameters
                    .iter()
                    .try_for_each(|parameter| write!(f, " {parameter:?}"))
            }
            Extended::DescribeStatement(name) => write!(f, "Describe S {name:?}"),
            Extended::DescribePortal(name) => write!(f, "Describe P {name:?}"),
            Extended::Execute(portal, rows) => write!(f, "Execute {portal:?} {rows}"),
            Extended::CloseStatement(name) => write!(f, "Close S {name:?}"),
            Extended::ClosePortal(name) => write!(f, "Close P {name:?}"),
            Extended::Flush => f.write_str("Flush"),
            Extended::Sync => f.write_str("Sync"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Open(parameters) => write!(f, "open {parameters:?}"),
            Act::Close => f.write_str("close"),
            Act::Query(sql) => write!(f, "Query {sql:?}"),
            Act::Extended(messages) => {
                let texts: Vec<String> = messages.iter().map(Extended::to_string).collect();
                f.write_str(&texts.join(" · "))
            }
            Act::CopyIn { sql, data, fail } => {
                write!(f, "Query {sql:?} · CopyData {data:?}")?;
                match fail {
                    None => f.write_str(" · CopyDone"),
                    Some(reason) => write!(f, " · CopyFail {reason:?}"),
                }
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.act)
    }
}
