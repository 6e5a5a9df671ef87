//! What one statement does, by its first keyword: transactions, SET and their kin are read to the end, queries and the rest are
//! walked by `scan`. Every function here leaves the reader at the end of the statement.

use super::administration as admin;
use super::compound;
use super::constant;
use super::fact::Fact;
use super::lexer::{Kind, Lexer, Token};
use super::prepared;
use super::reader::Reader;
use super::scan::{Scan, begins_query};
use super::setting;
use super::watch::Watch;
use super::words::keys;
use super::{Completion, Effect, Statement, Xa};

/// What the statement beginning with `first` does, and what was noticed on the way. Leaves the lexer behind the statement's `;`.
pub(super) fn statement<W: Watch + Default>(lexer: &mut Lexer<'_>, first: Token) -> (Statement, W) {
    let mut scan = Scan::watched(W::default());
    let mut reader = Reader::after(lexer, first);
    let mut effect = by_keyword(&mut reader, &mut scan);
    reader.skip_statement();
    let notes = lexer.take_notes();
    if !notes.is_empty() {
        for fact in notes.iter() {
            scan.note(fact, Token::NONE, Token::NONE);
        }
        if notes.has(Fact::Unreadable) {
            effect = Effect::Opaque;
        }
    }
    let facts = scan.facts;
    (Statement { effect, facts }, scan.watch)
}

/// From the first word on.
pub(super) fn by_keyword<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Effect {
    let first = reader.token;
    let word = reader.word();
    match word {
        keys::SELECT | keys::WITH | keys::VALUES | keys::TABLE => return query(reader, scan),
        keys::UPDATE | keys::DELETE => return query(reader, scan),
        _ if first.kind != Kind::Word => return query(reader, scan),
        _ => {}
    }
    reader.advance();
    if reader.bytes() == b":" {
        // A label.
        return block(reader, scan, first);
    }
    match word {
        keys::INSERT | keys::REPLACE => insert(reader, scan, first),
        keys::SET if reader.word() == keys::STATEMENT && reader.dialect().is_mariadb() => {
            set_statement(reader, scan, first)
        }
        keys::SET => setting::set(reader, scan, first),
        keys::BEGIN => begin(reader, scan, first),
        keys::START => start(reader, scan, first),
        keys::COMMIT => commit(reader),
        keys::ROLLBACK => rollback(reader),
        keys::SAVEPOINT => named(reader, Effect::Savepoint),
        keys::RELEASE => release(reader),
        keys::XA => xa(reader),
        keys::PREPARE => prepared::prepare(reader, scan, first),
        keys::EXECUTE => prepared::execute(reader, scan),
        keys::DEALLOCATE => prepared::deallocate(reader),
        keys::USE => use_database(reader),
        keys::CALL => call(reader, scan),
        keys::DO => {
            scan.rest(reader);
            Effect::Plain
        }
        keys::LOAD => load(reader, scan, first),
        keys::IF
        | keys::CASE
        | keys::LOOP
        | keys::WHILE
        | keys::REPEAT
        | keys::FOR
        | keys::DECLARE => block(reader, scan, first),
        _ => admin::by_keyword(reader, scan, first, word),
    }
}

/// The effect if nothing more follows, else opaque: the server will refuse it.
pub(super) fn at_end_of(reader: &mut Reader<'_, '_>, effect: Option<Effect>) -> Effect {
    let complete = reader.at_end();
    reader.skip_statement();
    effect.filter(|_| complete).unwrap_or(Effect::Opaque)
}

/// A query, a change of data without a list of columns, or no statement at all.
pub(super) fn query<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Effect {
    let first = reader.token;
    let known = first.kind == Kind::Open || reader.word() != 0;
    scan.rest(reader);
    if known { Effect::Plain } else { Effect::Opaque }
}

/// `INSERT [options] [INTO] table [PARTITION (…)] [(columns)] …`, and REPLACE, after that word.
pub(super) fn insert<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Effect {
    scan.note(Fact::Writes, first, first);
    while matches!(
        reader.word(),
        keys::LOW_PRIORITY | keys::HIGH_PRIORITY | keys::DELAYED | keys::IGNORE
    ) {
        reader.advance();
    }
    reader.takes(keys::INTO);
    if reader.table().is_some() {
        if reader.takes(keys::PARTITION) {
            reader.skip_group();
        }
        let second = reader.second();
        let query = begins_query(reader.second_word()) || second.kind == Kind::Open;
        if reader.token.kind == Kind::Open && !query {
            reader.skip_group();
        }
        reader.takes(keys::VALUE);
    }
    scan.rest(reader);
    Effect::Plain
}

/// `SET STATEMENT … FOR statement`, from STATEMENT on.
fn set_statement<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Effect {
    scan.note(Fact::SetsForStatement, first, reader.token);
    reader.advance();
    if setting::for_statement(reader, scan) {
        return by_keyword(reader, scan);
    }
    reader.skip_statement();
    Effect::Opaque
}

/// A block of MariaDB's, which is run at once and may do anything.
fn block<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    scan.note(Fact::CallsUnknown, first, first);
    // What ends it is not followed where another vendor's grammar holds.
    let oracle = reader.dialect().modes.oracle;
    if oracle || reader.dialect().is_mariadb() {
        compound::skip_block(reader, first, oracle);
    }
    reader.skip_statement();
    Effect::Opaque
}

fn begin<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    if reader.word() == keys::NOT || (reader.dialect().modes.oracle && !reader.at_end()) {
        return block(reader, scan, first);
    }
    reader.takes(keys::WORK);
    let begin = Effect::Begin {
        read_only: None,
        snapshot: false,
    };
    scan.note(Fact::CommitsImplicitly, first, first);
    at_end_of(reader, Some(begin))
}

/// `START TRANSACTION`; what else can be started is not of the session.
fn start<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    if !reader.takes(keys::TRANSACTION) {
        return admin::administers(reader, scan, first);
    }
    scan.note(Fact::CommitsImplicitly, first, first);
    let effect = characteristics(reader);
    at_end_of(reader, effect)
}

/// `[{READ ONLY | READ WRITE | WITH CONSISTENT SNAPSHOT} [, …]]`.
fn characteristics(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    let mut read_only = None;
    let mut snapshot = false;
    while !reader.at_end() {
        if reader.takes(keys::READ) {
            read_only = Some(setting::read_only(reader)?);
        } else if reader.takes(keys::WITH) && reader.takes(keys::CONSISTENT) {
            snapshot = reader.takes(keys::SNAPSHOT);
        } else {
            return None;
        }
        if !reader.takes_kind(Kind::Comma) {
            break;
        }
    }
    Some(Effect::Begin {
        read_only,
        snapshot,
    })
}

/// `[AND [NO] CHAIN] [[NO] RELEASE]`.
fn completion(reader: &mut Reader<'_, '_>) -> Option<Completion> {
    let mut completion = Completion::default();
    if reader.takes(keys::AND) {
        let no = reader.takes(keys::NO);
        completion.chain = reader.takes(keys::CHAIN).then_some(!no);
        completion.chain?;
    }
    if !reader.at_end() {
        let no = reader.takes(keys::NO);
        completion.release = reader.takes(keys::RELEASE).then_some(!no);
        completion.release?;
    }
    Some(completion)
}

fn commit(reader: &mut Reader<'_, '_>) -> Effect {
    reader.takes(keys::WORK);
    let effect = completion(reader).map(Effect::Commit);
    at_end_of(reader, effect)
}

fn rollback(reader: &mut Reader<'_, '_>) -> Effect {
    reader.takes(keys::WORK);
    if reader.takes(keys::TO) {
        if !reader.second().ends_statement() {
            reader.takes(keys::SAVEPOINT);
        }
        return named(reader, Effect::RollbackTo);
    }
    let effect = completion(reader).map(Effect::Rollback);
    at_end_of(reader, effect)
}

fn release(reader: &mut Reader<'_, '_>) -> Effect {
    if reader.takes(keys::SAVEPOINT) {
        return named(reader, Effect::Release);
    }
    at_end_of(reader, None)
}

/// A name and nothing more.
fn named(reader: &mut Reader<'_, '_>, effect: fn(String) -> Effect) -> Effect {
    let name = reader.name().and_then(constant::folded);
    at_end_of(reader, name.map(effect))
}

fn xa(reader: &mut Reader<'_, '_>) -> Effect {
    let effect = match reader.word() {
        keys::START | keys::BEGIN => Xa::Start,
        keys::END => Xa::End,
        keys::PREPARE => Xa::Prepare,
        keys::COMMIT => Xa::Commit,
        keys::ROLLBACK => Xa::Rollback,
        keys::RECOVER => Xa::Recover,
        _ => return at_end_of(reader, None),
    };
    reader.skip_statement();
    Effect::Xa(effect)
}

fn use_database(reader: &mut Reader<'_, '_>) -> Effect {
    let name = reader.name().filter(|name| !name.is_empty());
    at_end_of(reader, name.map(Effect::Use))
}

/// `CALL name [(…)]`: a variable that is an argument may be given a value.
fn call<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Effect {
    let first = reader.token;
    let mut last = first;
    while matches!(reader.token.kind, Kind::Word | Kind::Quoted | Kind::Dot) {
        last = reader.token;
        reader.advance();
    }
    scan.note(Fact::CallsUnknown, first, last);
    scan.rest(reader);
    if scan.facts.has(Fact::ReadsUserVariable) {
        scan.note(Fact::WritesUserVariable, first, last);
    }
    // Not `Opaque`: what a routine does to modes and to the client's character set is undone when it returns.
    Effect::Plain
}

/// `LOAD DATA`, `LOAD XML`; `LOAD INDEX` is administration.
fn load<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    if !matches!(reader.word(), keys::DATA | keys::XML) {
        return admin::administers(reader, scan, first);
    }
    scan.note(Fact::Writes, first, reader.token);
    // Up to the table's name; none of these words can be a name.
    while !reader.at_end() && !reader.takes(keys::INTO) {
        if reader.word() == keys::LOCAL {
            scan.note(Fact::ReadsClientFile, reader.token, reader.token);
        }
        reader.advance();
    }
    reader.takes(keys::TABLE);
    let table = reader.token;
    let _ = reader.table();
    scan.rest(reader);
    if scan.facts.has(Fact::ReadsUserVariable) {
        // In the list of columns it is written.
        scan.note(Fact::WritesUserVariable, table, table);
    }
    Effect::Plain
}
