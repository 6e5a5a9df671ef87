//! Plays a program on one side and keeps what was said, step by step.

use std::collections::BTreeMap;

use super::connection::{Address, Connection, Silence, framed};
use super::program::{Act, Program, Who};
use super::replies::{Due, shown};

/// What one side answered: for each step its replies as lines; nothing for a neighbour's.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// One list per step of the program.
    pub steps: Vec<Vec<String>>,
    /// Replies in all, those of neighbours included.
    pub replies: u64,
    /// A client waited in vain: what this says is of no use.
    pub hung: bool,
}

struct Session {
    connection: Connection,
    due: Due,
}

/// Where a program is played.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The server or the proxy.
    pub address: &'a Address,
    /// Whether neighbours play along.
    pub neighbours: bool,
}

/// Plays all of it; each step waits for its replies.
pub fn play(program: &Program, side: Side<'_>) -> Answers {
    let mut player = Player {
        side,
        sessions: BTreeMap::new(),
        answers: Answers::default(),
    };
    for step in &program.steps {
        let played = side.neighbours || matches!(step.who, Who::Client(_));
        let lines = if played {
            player.play(step.who, &step.act)
        } else {
            Vec::new()
        };
        player.answers.replies += lines.len() as u64;
        let kept = if let Who::Client(_) = step.who {
            lines
        } else {
            Vec::new()
        };
        player.answers.steps.push(kept);
        if player.answers.hung {
            break;
        }
    }
    let hung = player.answers.hung;
    for (_, session) in std::mem::take(&mut player.sessions) {
        // One that hangs would make us wait for its end, too.
        if !hung {
            session.connection.close();
        }
    }
    player.answers
}

struct Player<'a> {
    side: Side<'a>,
    sessions: BTreeMap<Who, Session>,
    answers: Answers,
}

impl Player<'_> {
    fn play(&mut self, who: Who, act: &Act) -> Vec<String> {
        if let Act::Open(parameters) = act {
            return self.open(who, parameters);
        }
        // A session may have ended by itself, or its opening may have been left out.
        let Some(mut session) = self.sessions.remove(&who) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        let copied = match act {
            Act::Open(_) => None,
            Act::Close => {
                session.connection.close();
                return lines;
            }
            Act::Query(sql) => {
                session.query(sql);
                None
            }
            Act::CopyIn { sql, data, fail } => {
                session.query(sql);
                Some((data.as_str(), fail.as_deref()))
            }
            Act::Extended(messages) => {
                messages
                    .iter()
                    .for_each(|message| session.due.extended(message));
                let bytes: Vec<u8> = messages
                    .iter()
                    .flat_map(|message| message.encode())
                    .collect();
                session.connection.send(&bytes);
                None
            }
        };
        match session.read(copied, &mut lines) {
            Ok(()) => {
                self.sessions.insert(who, session);
            }
            Err(silence) => {
                self.answers.hung |= silence == Silence::Hangs;
                lines.push(silence.to_string());
            }
        }
        in_order(&mut lines);
        lines
    }

    fn open(&mut self, who: Who, parameters: &[(String, String)]) -> Vec<String> {
        if let Some(old) = self.sessions.remove(&who) {
            old.connection.close();
        }
        let (said, end) = match Connection::open(self.side.address, parameters) {
            Ok((connection, said)) => {
                let due = Due::default();
                self.sessions.insert(who, Session { connection, due });
                (said, None)
            }
            Err((silence, said)) => {
                self.answers.hung |= silence == Silence::Hangs;
                (said, Some(silence))
            }
        };
        let mut lines: Vec<String> = said.iter().map(|message| shown(message, 0)).collect();
        in_order(&mut lines);
        lines.extend(end.map(|silence| silence.to_string()));
        lines
    }
}

impl Session {
    fn query(&mut self, sql: &str) {
        self.due.query();
        self.connection
            .send(&framed(b'Q', &[sql.as_bytes(), b"\0"].concat()));
    }

    /// Reads what is due. `copied` is what a CopyInResponse asks for; unasked, the copy is failed.
    fn read(
        &mut self,
        mut copied: Option<(&str, Option<&str>)>,
        lines: &mut Vec<String>,
    ) -> Result<(), Silence> {
        while !self.due.is_empty() {
            let message = self.connection.message()?;
            self.due.on_reply(message.kind);
            lines.push(shown(&message, self.connection.process));
            if message.kind == b'G' {
                let (data, fail) = copied.take().unwrap_or(("", Some("nothing to copy")));
                self.connection.send(&copy(data, fail));
            }
        }
        Ok(())
    }
}

fn copy(data: &str, fail: Option<&str>) -> Vec<u8> {
    let mut bytes = framed(b'd', data.as_bytes());
    bytes.extend(match fail {
        None => framed(b'c', &[]),
        Some(reason) => framed(b'f', &[reason.as_bytes(), b"\0"].concat()),
    });
    bytes
}

/// Reports of settings that come together come in any order.
fn in_order(lines: &mut [String]) {
    for run in lines.chunk_by_mut(|one, other| {
        one.starts_with("ParameterStatus ") && other.starts_with("ParameterStatus ")
    }) {
        run.sort_unstable();
    }
}
