//! Plays a program on one side and keeps what was said, step by step.
//!
//! Programs say `db_` where the two sides have databases, locks and statements of their own; here that becomes the side's mark, which is
//! as long, and back in what is kept.

use std::collections::BTreeMap;

use forebay_mysql::wire::{command, statement, write};

use super::connection::{Connection, Said};
use super::program::{Act, Opening, Program, Value, Who};
use super::replies::{self, Kept, Shape, Types};
use crate::oracle::connection::{Address, Silence};
use crate::oracle::player::Answers;

/// What programs say where sides differ.
pub const MARK: &str = "db_";

/// The first of the numbers that no server gives to a statement.
const NO_STATEMENT: u32 = 0x7fff_0000;

struct Session {
    connection: Connection,
    prepared: BTreeMap<u8, Prepared>,
}

/// A statement of a session's.
#[derive(Debug, Clone, Default)]
struct Prepared {
    id: u32,
    parameters: u16,
    /// The columns of what its cursor gives.
    types: Types,
}

/// Where a program is played.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The server or the proxy.
    pub address: &'a Address,
    /// What stands for [`MARK`]; as long.
    pub mark: &'a str,
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
        let is_client = matches!(step.who, Who::Client(_));
        let lines = if side.neighbours || is_client {
            player.play(step.who, &step.act)
        } else {
            Vec::new()
        };
        player.answers.replies += lines.len() as u64;
        let kept = if is_client { lines } else { Vec::new() };
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
        let mut lines = Vec::new();
        match act {
            Act::Open(opening) => self.open(who, opening, &mut lines),
            // A session may have ended by itself, or its opening may have been left out.
            act => {
                if let Some(session) = self.sessions.remove(&who) {
                    self.go_on(who, session, act, &mut lines);
                }
            }
        }
        for line in &mut lines {
            if line.contains(self.side.mark) {
                *line = line.replace(self.side.mark, MARK);
            }
        }
        lines
    }

    fn go_on(&mut self, who: Who, mut session: Session, act: &Act, lines: &mut Vec<String>) {
        if *act == Act::Close {
            return session.connection.close();
        }
        let own = |text: &str| text.replace(MARK, self.side.mark);
        match session.act(act, &own, lines) {
            Ok(()) => {
                self.sessions.insert(who, session);
            }
            Err(silence) => {
                self.answers.hung |= silence == Silence::Hangs;
                lines.push(silence.to_string());
            }
        }
    }

    fn open(&mut self, who: Who, opening: &Opening, lines: &mut Vec<String>) {
        if let Some(old) = self.sessions.remove(&who) {
            old.connection.close();
        }
        let database = opening.database.as_deref();
        let database = database.map(|name| name.replace(MARK, self.side.mark));
        let opened = Connection::open(self.side.address, opening, database.as_deref());
        let (said, end, capabilities) = match opened {
            Ok((connection, said)) => {
                let capabilities = connection.capabilities;
                let prepared = BTreeMap::new();
                self.sessions.insert(
                    who,
                    Session {
                        connection,
                        prepared,
                    },
                );
                (said, None, capabilities)
            }
            Err((silence, said)) => {
                self.answers.hung |= silence == Silence::Hangs;
                (said, Some(silence), opening.capabilities())
            }
        };
        let Said {
            greeting,
            end: last,
        } = said;
        lines.extend(greeting.map(|(version, collation)| {
            format!("Greeting {} collation={collation}", replies::text(&version))
        }));
        lines.extend(last.map(|packet| {
            let line = replies::ending(&packet.payload, capabilities).0;
            // MariaDB's proof of its certificate.
            let is_kept = |word: &&str| !word.starts_with("info=");
            let words: Vec<&str> = line.split(' ').filter(is_kept).collect();
            words.join(" ")
        }));
        lines.extend(end.map(|silence| silence.to_string()));
    }
}

impl Session {
    fn act(
        &mut self,
        act: &Act,
        own: &dyn Fn(&str) -> String,
        lines: &mut Vec<String>,
    ) -> Result<(), Silence> {
        let mut out = Vec::new();
        let mut simple = |kind, argument: &[u8]| {
            write::command(&mut out, kind, argument);
            Some(Shape::Simple)
        };
        let shape = match act {
            Act::Open(_) | Act::Close => None,
            Act::Query(sql) => simple(command::QUERY, own(sql).as_bytes()).map(|_| Shape::Text),
            Act::InitDb(name) => simple(command::INIT_DB, own(name).as_bytes()),
            Act::Ping => simple(command::PING, &[]),
            Act::Reset => {
                self.prepared.clear();
                simple(command::RESET_CONNECTION, &[])
            }
            Act::SetOption(is_on) => simple(command::SET_OPTION, &[u8::from(!is_on), 0]),
            Act::FieldList(table) => {
                let argument = [own(table).as_bytes(), b"\0"].concat();
                simple(command::FIELD_LIST, &argument).map(|_| Shape::Columns)
            }
            Act::Prepare(_, sql) => {
                simple(command::STMT_PREPARE, own(sql).as_bytes()).map(|_| Shape::Prepare)
            }
            Act::Execute { .. } => {
                self.execute(act, own, &mut out);
                Some(Shape::Binary)
            }
            Act::LongData(number, parameter, data) => {
                statement::LongData {
                    statement: self.statement(*number).id,
                    parameter: *parameter,
                    data: data.as_bytes(),
                }
                .write(&mut out);
                None
            }
            Act::StatementReset(number) => simple(
                command::STMT_RESET,
                &self.statement(*number).id.to_le_bytes(),
            ),
            Act::StatementClose(number) => {
                let id = self.statement(*number).id;
                statement::close(&mut out, id);
                None
            }
            Act::Fetch(number, rows) => return self.fetch(*number, *rows, lines),
        };
        self.connection.send(&out);
        let Some(shape) = shape else {
            return Ok(());
        };
        let kept = replies::read(&mut self.connection, shape, lines)?;
        self.keep(act, kept);
        Ok(())
    }

    fn keep(&mut self, act: &Act, kept: Kept) {
        match act {
            Act::Prepare(number, _) => {
                let Some((id, parameters)) = kept.prepared else {
                    return;
                };
                let types = Types::new();
                let prepared = Prepared {
                    id,
                    parameters,
                    types,
                };
                self.prepared.insert(*number, prepared);
            }
            Act::Execute { statement, .. } => {
                if let Some(prepared) = self.prepared.get_mut(statement) {
                    prepared.types = kept.types;
                }
            }
            _ => {}
        }
    }

    fn statement(&self, number: u8) -> Prepared {
        let none = || Prepared {
            id: NO_STATEMENT + u32::from(number),
            ..Prepared::default()
        };
        self.prepared.get(&number).cloned().unwrap_or_else(none)
    }

    fn execute(&self, act: &Act, own: &dyn Fn(&str) -> String, out: &mut Vec<u8>) {
        let Act::Execute {
            statement,
            values,
            types,
            cursor,
        } = act
        else {
            return;
        };
        let prepared = self.statement(*statement);
        let count = usize::from(prepared.parameters);
        let mut nulls = vec![0_u8; count.div_ceil(8)];
        let (mut kinds, mut bytes) = (Vec::new(), Vec::new());
        for at in 0..count {
            let value = match values.get(at) {
                Some(Value::Text(text)) => Value::Text(own(text)),
                Some(value) => value.clone(),
                None => Value::Null,
            };
            if value == Value::Null {
                nulls[at / 8] |= 1 << (at % 8);
            }
            kinds.extend_from_slice(&[value.kind(), 0]);
            value.write(&mut bytes);
        }
        statement::Execute {
            statement: prepared.id,
            flags: u8::from(*cursor) * command::CURSOR_READ_ONLY,
            iterations: 1,
            nulls: &nulls,
            types: types.then_some(&kinds),
            values: &bytes,
        }
        .write(out);
    }

    fn fetch(&mut self, number: u8, rows: u32, lines: &mut Vec<String>) -> Result<(), Silence> {
        let prepared = self.statement(number);
        let argument = [prepared.id.to_le_bytes(), rows.to_le_bytes()].concat();
        let mut out = Vec::new();
        write::command(&mut out, command::STMT_FETCH, &argument);
        self.connection.send(&out);
        replies::read_rows(&mut self.connection, &prepared.types, lines)
    }
}
