//! What `currval` and `lastval` tell: the values of sequences that a session made, which only the backend remembers on which it made them.
//!
//! A session that asks gets that backend if it is idle and nobody had it since; elsewhere the server answers with an error (55000), never
//! with another session's value, because whatever may have made one has the backend reset for the next session. Behind such an error
//! statements like the one that made the value keep their backend until the next transaction, so that the question finds it.
//! Most of them are never asked about, so no other does. (`src/backend/commands/sequence.c`, `last_used_seq`.)

use crate::session::{Session, Stage};
use crate::sql::{Effect, Fingerprint};
use crate::statements;
use crate::wire::read::Fields;
use crate::wire::{self, HEADER_BYTES};
use forebay_core::PinReason;
use memchr::{memchr_iter, memmem};

/// Longest first message that is looked into.
const REQUEST_BYTES_MAX: usize = 1024;

/// Statements of a session that are remembered as those which may have made a value.
const MAKERS_MAX: usize = 3;

/// What is known of a session's values.
#[derive(Debug, Default)]
pub struct Sequences {
    /// The last statements that may have made one, the latest first.
    makers: [Option<Fingerprint>; MAKERS_MAX],
    /// It has asked: it may ask again at any time.
    pub asked: bool,
}

impl Sequences {
    /// A statement was sent that may make a value.
    pub fn made_by(&mut self, statement: Fingerprint) {
        let known = self.makers.iter().position(|it| *it == Some(statement));
        self.makers[..=known.unwrap_or(MAKERS_MAX - 1)].rotate_right(1);
        self.makers[0] = Some(statement);
    }

    /// Those that may have made one last.
    pub fn makers(&self) -> impl Iterator<Item = Fingerprint> {
        self.makers.into_iter().flatten()
    }
}

/// Whether this asks for values that only one backend remembers.
pub fn is_question(effect: &Effect) -> bool {
    effect.pins().contains(&PinReason::SequenceState)
}

/// Whether an error says that one of them has nothing to tell: in every language it names the function.
pub fn is_unmet(message: &[u8]) -> bool {
    [&b"currval"[..], b"lastval"]
        .iter()
        .any(|function| memmem::find(message, function).is_some())
}

/// Whether a session begins what it asks for with such a question, and may have made values.
pub fn asks(session: &Session, input: &[u8]) -> bool {
    session.sequences.makers[0].is_some()
        && matches!(session.stage, Stage::Ready)
        && first_message(input).is_some_and(|(kind, body)| match kind {
            b'Q' => speaks_of_values(body),
            b'P' => speaks_of_values(body),
            b'B' => binds_question(session, body),
            _ => false,
        })
}

/// Kind and body of the first message, if it is whole and short.
fn first_message(input: &[u8]) -> Option<(u8, &[u8])> {
    let header = wire::header(input).ok()??;
    let len = header.len.max(HEADER_BYTES);
    let whole = len <= input.len().min(REQUEST_BYTES_MAX);
    whole.then(|| (header.kind, &input[HEADER_BYTES..len]))
}

/// Whether a text calls a function whose name ends like these two, as far as a glance tells; then whether it really does.
fn speaks_of_values(body: &[u8]) -> bool {
    let is_call = |at: usize| {
        let before = body[..at].trim_ascii_end();
        before.len() >= 3 && before[before.len() - 3..].eq_ignore_ascii_case(b"val")
    };
    if !memchr_iter(b'(', body).any(is_call) {
        return false;
    }
    let mut fields = Fields(body);
    let first = fields.string().unwrap_or_default();
    // Of a Parse, the name came first.
    let text = fields.string().unwrap_or(first);
    match statements::judge(text, None) {
        crate::sql::Class::Statements(effects) => effects.iter().any(is_question),
        crate::sql::Class::Pure => false,
    }
}

fn binds_question(session: &Session, body: &[u8]) -> bool {
    let mut fields = Fields(body);
    let (Ok(_portal), Ok(name)) = (fields.string(), fields.string()) else {
        return false;
    };
    let statement = if name.is_empty() {
        session.unnamed.as_ref()
    } else {
        session.prepared.get(name)
    };
    statement.is_some_and(|statement| is_question(&statement.effect))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write;

    fn query(sql: &str) -> bool {
        let mut input = Vec::new();
        write::query(&mut input, sql.as_bytes());
        first_message(&input).is_some_and(|(_, body)| speaks_of_values(body))
    }

    #[test]
    fn the_last_few_statements_are_remembered_once_each() {
        let mut sequences = Sequences::default();
        for number in [1, 2, 1, 3, 3, 4] {
            sequences.made_by(Fingerprint(number));
        }
        let makers: Vec<_> = sequences.makers().map(|maker| maker.0).collect();
        assert_eq!(makers, [4, 3, 1]);
    }

    #[test]
    fn questions_are_told_from_what_looks_like_them() {
        for sql in [
            "select lastval()",
            "SELECT LASTVAL ()",
            "select pg_catalog.currval('s')",
            "begin; select currval('s')",
        ] {
            assert!(query(sql), "{sql}");
        }
        for sql in [
            "select nextval('s')",
            "select 'lastval()'",
            "select 1",
            "select interval (2) '1 s'",
        ] {
            assert!(!query(sql), "{sql}");
        }
    }

    #[test]
    fn what_is_parsed_is_looked_into_as_well() {
        let mut input = Vec::new();
        write::parse(&mut input, b"name", b"select lastval()", &[0; 2]);
        let (_, body) = first_message(&input).expect("it is whole");
        assert!(speaks_of_values(body));
        for len in 0..input.len() {
            assert!(first_message(&input[..len]).is_none());
        }
    }
}
