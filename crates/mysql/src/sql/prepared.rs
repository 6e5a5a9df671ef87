//! `PREPARE`, `EXECUTE` and `DEALLOCATE`: which name a statement has, and what it does when it is run.
//!
//! What EXECUTE does is told by the statement of that name, which only the session knows. A text that is not written out, or a name
//! that another character set would read otherwise, is `Effect::Opaque`.

use std::ops::Range;

use super::constant;
use super::fact::Fact;
use super::lexer::{Kind, Token};
use super::reader::Reader;
use super::scan::Scan;
use super::watch::Watch;
use super::words::keys;
use super::{Effect, Facts, Statement, classify};

/// A statement that gives a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepares {
    /// The name in lower case; ASCII.
    pub name: String,
    /// What running the named statement does; `Opaque` where its text is not written out.
    pub body: Statement,
    /// The text of the named statement, where it is written out.
    pub text: Option<String>,
    /// Where the whole PREPARE is in the text it came in.
    pub at: Range<usize>,
}

/// `PREPARE name FROM {text | expression}`, after the word PREPARE, which is `first`.
pub(super) fn prepare<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Effect {
    let name = name_of(reader);
    if !reader.takes(keys::FROM) {
        reader.skip_statement();
        return Effect::Opaque;
    }
    let text = source(reader, scan);
    reader.skip_statement();
    let Some(name) = name else {
        return Effect::Opaque;
    };
    let body = match &text {
        Some(text) => body_of(text, reader),
        None => Statement::new(Effect::Opaque, Facts::NONE),
    };
    let at = first.range().start..reader.token.range().start;
    Effect::Prepare(Box::new(Prepares {
        name,
        body,
        text,
        at,
    }))
}

/// The text of a statement where it is one constant; otherwise what stands there is walked as an expression.
fn source<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Option<String> {
    let behind = reader.second();
    let alone = behind.ends_statement() || reader.second_word() == keys::USING;
    if alone && reader.token.kind == Kind::Text {
        // It stays where it is if it cannot be read.
        return reader.text();
    }
    scan.until(reader, |_, lexer, token| lexer.key(token) == keys::USING);
    None
}

/// What the only statement of `text` does; the servers refuse several.
fn body_of(text: &str, reader: &Reader<'_, '_>) -> Statement {
    match classify(text.as_bytes(), reader.dialect()) {
        super::Class::One(statement) => statement,
        super::Class::Several(_) => Statement::new(Effect::Opaque, Facts::NONE),
    }
}

/// What follows EXECUTE.
pub(super) fn execute<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Effect {
    if reader.word() == keys::IMMEDIATE && !reader.second().ends_statement() {
        return immediate(reader, scan);
    }
    let name = name_of(reader);
    arguments(reader, scan);
    name.map_or(Effect::Opaque, Effect::Execute)
}

/// `EXECUTE IMMEDIATE {text | expression} [USING …]`, from IMMEDIATE on: does what that statement does.
fn immediate<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Effect {
    let immediate = reader.token;
    reader.advance();
    let text = source(reader, scan);
    arguments(reader, scan);
    let Some(text) = text else {
        return Effect::Opaque;
    };
    let body = body_of(&text, reader);
    for fact in body.facts.iter() {
        scan.note(fact, immediate, immediate);
    }
    match body.effect {
        // The servers refuse these.
        Effect::Prepare(_) | Effect::Execute(_) | Effect::Deallocate(_) => Effect::Opaque,
        effect => effect,
    }
}

/// `[USING {@name | expression} [, …]]`: a variable may be given a value, too, where the statement calls a procedure.
fn arguments<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) {
    let using = reader.token;
    scan.rest(reader);
    if scan.facts.has(Fact::ReadsUserVariable) {
        scan.note(Fact::WritesUserVariable, using, using);
    }
}

/// `DEALLOCATE PREPARE name`, `DROP PREPARE name`: from PREPARE on.
pub(super) fn deallocate(reader: &mut Reader<'_, '_>) -> Effect {
    if !reader.takes(keys::PREPARE) {
        reader.skip_statement();
        return Effect::Opaque;
    }
    let name = name_of(reader).filter(|_| reader.at_end());
    reader.skip_statement();
    name.map_or(Effect::Opaque, Effect::Deallocate)
}

fn name_of(reader: &mut Reader<'_, '_>) -> Option<String> {
    match reader.name() {
        Some(name) => constant::folded(name),
        None => {
            // Whatever it is, what follows it is to be read.
            reader.advance();
            None
        }
    }
}
