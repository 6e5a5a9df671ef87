//! What statements do that define, lock, show or administer. Like those of `statement`, every function leaves the reader at the end.

use super::compound;
use super::fact::Fact;
use super::lexer::{Kind, Token};
use super::prepared;
use super::reader::Reader;
use super::scan::{Scan, begins_query};
use super::statement::{at_end_of, insert, query};
use super::watch::Watch;
use super::words::keys;
use super::{Effect, Kill, Killed, Lock, Name, WithTable};

/// By the first word, which is behind us.
pub(super) fn by_keyword<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
    word: u128,
) -> Effect {
    match word {
        keys::SHOW => show(reader, scan, first),
        keys::EXPLAIN | keys::DESCRIBE | keys::DESC => explain(reader, scan, first),
        keys::ANALYZE => analyze(reader, scan, first),
        keys::CREATE => create(reader, scan, first),
        keys::DROP => drop_objects(reader, scan, first),
        keys::ALTER => alter(reader, scan, first),
        keys::RENAME => rename(reader, scan, first),
        keys::TRUNCATE | keys::CHECK | keys::CHECKSUM | keys::OPTIMIZE | keys::REPAIR => {
            commits(reader, scan, first)
        }
        keys::LOCK => lock(reader, scan, first),
        keys::UNLOCK => unlock(reader),
        keys::FLUSH => flush(reader, scan, first),
        keys::BACKUP => backup(reader, scan, first),
        keys::HANDLER => handler(reader, scan),
        keys::KILL => kill(reader, scan),
        keys::GET => diagnostics(reader, scan, first),
        keys::SIGNAL | keys::HELP => {
            scan.rest(reader);
            Effect::Plain
        }
        keys::GRANT | keys::REVOKE => {
            scan.note(Fact::ChangesAccounts, first, first);
            commits(reader, scan, first)
        }
        keys::BINLOG => {
            scan.note(Fact::Replicates, first, first);
            scan.rest(reader);
            Effect::Opaque
        }
        keys::INSTALL
        | keys::UNINSTALL
        | keys::SHUTDOWN
        | keys::RESTART
        | keys::CHANGE
        | keys::STOP
        | keys::RESET
        | keys::PURGE
        | keys::CACHE
        | keys::CLONE
        | keys::IMPORT => administers(reader, scan, first),
        _ => {
            scan.rest(reader);
            Effect::Opaque
        }
    }
}

/// Changes the server, not the session.
pub(super) fn administers<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Effect {
    scan.note(Fact::Administers, first, first);
    commits(reader, scan, first)
}

/// Defines something that is no session's own, or checks it.
fn commits<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    scan.note(Fact::CommitsImplicitly, first, first);
    reader.skip_statement();
    Effect::Plain
}

fn show<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    let what = reader.token;
    let of_session = matches!(reader.word(), keys::SESSION | keys::LOCAL);
    if of_session {
        reader.advance();
    }
    match reader.word() {
        keys::WARNINGS | keys::ERRORS | keys::COUNT => {
            scan.note(Fact::ReadsDiagnostics, first, what);
            scan.note(Fact::KeepsDiagnostics, first, what);
        }
        keys::STATUS | keys::PROFILE | keys::PROFILES => {
            scan.note(Fact::ReadsCounters, first, reader.token);
        }
        keys::VARIABLES => scan.note(Fact::ReadsSystemVariable, first, reader.token),
        keys::PROCESSLIST | keys::FULL => scan.note(Fact::ReadsConnectionId, first, reader.token),
        // Names of accounts look like user variables.
        keys::GRANTS | keys::CREATE => reader.skip_statement(),
        _ => {}
    }
    scan.rest(reader);
    Effect::Plain
}

/// Plans a statement, or runs it, too, with ANALYZE; describes a table.
fn explain<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    let mut runs = false;
    loop {
        match reader.word() {
            keys::ANALYZE => runs = true,
            keys::EXTENDED | keys::PARTITIONS => {}
            keys::FORMAT => {
                reader.advance();
                if reader.at_equals() {
                    reader.advance();
                }
            }
            keys::INTO => {
                scan.note(Fact::WritesUserVariable, reader.token, reader.token);
                reader.advance();
            }
            keys::FOR => return explain_for(reader, scan, first),
            _ => break,
        }
        reader.advance();
    }
    explained(reader, scan, runs)
}

/// `EXPLAIN FOR CONNECTION n`, `EXPLAIN FOR SCHEMA name statement`.
fn explain_for<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    reader.advance();
    if reader.word() == keys::CONNECTION {
        scan.note(Fact::NamesConnection, first, reader.token);
        scan.rest(reader);
        return Effect::Plain;
    }
    reader.advance();
    reader.advance();
    explained(reader, scan, false)
}

/// What is explained.
fn explained<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, runs: bool) -> Effect {
    let first = reader.token;
    match reader.word() {
        keys::INSERT | keys::REPLACE => {
            reader.advance();
            insert(reader, scan, first)
        }
        word if begins_query(word) || matches!(word, keys::UPDATE | keys::DELETE) => {
            query(reader, scan)
        }
        _ if first.kind == Kind::Open => query(reader, scan),
        // The name of a table, with a column's or a pattern.
        _ if !runs => {
            scan.rest(reader);
            Effect::Plain
        }
        _ => {
            scan.rest(reader);
            Effect::Opaque
        }
    }
}

/// `ANALYZE TABLE`, and MariaDB's `ANALYZE statement`.
fn analyze<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    if reader.takes(keys::FORMAT) {
        reader.advance();
        reader.advance();
    }
    let runs = begins_query(reader.word()) && reader.word() != keys::TABLE
        || reader.token.kind == Kind::Open
        || matches!(
            reader.word(),
            keys::INSERT | keys::REPLACE | keys::UPDATE | keys::DELETE
        );
    if runs {
        return explained(reader, scan, true);
    }
    commits(reader, scan, first)
}

fn create<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    if reader.takes(keys::OR) {
        reader.takes(keys::REPLACE);
    }
    if reader.takes(keys::TEMPORARY) {
        return create_temporary(reader, scan, first);
    }
    definer(reader);
    reader.takes(keys::AGGREGATE);
    scan.note(Fact::CommitsImplicitly, first, first);
    match reader.word() {
        keys::PROCEDURE | keys::FUNCTION | keys::TRIGGER | keys::EVENT | keys::PACKAGE => {
            definition(reader)
        }
        keys::USER | keys::ROLE => commits_with(reader, scan, Fact::ChangesAccounts, first),
        keys::TABLE | keys::SEQUENCE => {
            reader.advance();
            table_name(reader);
            table_query(reader, scan);
            Effect::Plain
        }
        _ => {
            reader.skip_statement();
            Effect::Plain
        }
    }
}

fn commits_with<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    fact: Fact,
    first: Token,
) -> Effect {
    scan.note(fact, first, reader.token);
    commits(reader, scan, first)
}

/// `[DEFINER = account]`.
fn definer(reader: &mut Reader<'_, '_>) {
    if !reader.takes(keys::DEFINER) {
        return;
    }
    // `=`, and a name or a call.
    reader.advance();
    reader.advance();
    reader.skip_group();
    reader.takes_kind(Kind::User);
}

/// A routine, trigger, event or package, from that word on.
fn definition(reader: &mut Reader<'_, '_>) -> Effect {
    reader.advance();
    reader.takes(keys::BODY);
    table_name(reader);
    if reader.dialect().modes.oracle {
        while reader.token.kind != Kind::End {
            reader.pass();
        }
        reader.raise_trouble();
        return Effect::Opaque;
    }
    if compound::skip(reader) {
        // Should the end not be where it seems, more may have been run.
        return Effect::Opaque;
    }
    Effect::Plain
}

/// `[IF [NOT] EXISTS] name`.
fn table_name(reader: &mut Reader<'_, '_>) -> Option<Name> {
    if reader.word() == keys::IF && matches!(reader.second_word(), keys::NOT | keys::EXISTS) {
        reader.advance();
        reader.takes(keys::NOT);
        reader.takes(keys::EXISTS);
    }
    reader.table()
}

/// Behind `CREATE [OR REPLACE] TEMPORARY`.
fn create_temporary<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Effect {
    if !reader.takes(keys::TABLE) && !reader.takes(keys::SEQUENCE) {
        scan.note(Fact::CommitsImplicitly, first, first);
        reader.skip_statement();
        return Effect::Opaque;
    }
    let name = table_name(reader);
    table_query(reader, scan);
    name.map_or(Effect::Opaque, Effect::CreateTemporary)
}

/// The query that a table is made from, if there is one. What its columns have before it is run only later.
fn table_query<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) {
    if reader.token.kind == Kind::Open {
        let second = reader.second();
        if second.kind == Kind::Open || begins_query(reader.second_word()) {
            return scan.rest(reader);
        }
        reader.skip_group();
    }
    while !reader.at_end() {
        let query = match reader.word() {
            keys::SELECT | keys::WITH | keys::TABLE => true,
            keys::VALUES => reader.second_word() == keys::ROW,
            _ => reader.token.kind == Kind::Open && begins_query(reader.second_word()),
        };
        if query {
            return scan.rest(reader);
        }
        reader.advance();
    }
}

/// `DROP …`: tables, prepared statements, and what is no session's own.
fn drop_objects<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    if reader.word() == keys::PREPARE {
        return prepared::deallocate(reader);
    }
    let temporary = reader.takes(keys::TEMPORARY);
    if !temporary {
        scan.note(Fact::CommitsImplicitly, first, first);
    }
    match reader.word() {
        keys::TABLE | keys::TABLES | keys::SEQUENCE => drop_tables(reader, temporary),
        keys::USER | keys::ROLE => {
            scan.note(Fact::ChangesAccounts, first, reader.token);
            reader.skip_statement();
            Effect::Plain
        }
        _ => {
            reader.skip_statement();
            Effect::Plain
        }
    }
}

/// From TABLE on.
fn drop_tables(reader: &mut Reader<'_, '_>, temporary: bool) -> Effect {
    reader.advance();
    let mut names = Vec::new();
    loop {
        match table_name(reader) {
            Some(name) => names.push(name),
            None => return at_end_of(reader, None),
        }
        if !reader.takes_kind(Kind::Comma) {
            break;
        }
    }
    // RESTRICT, CASCADE, WAIT n, NOWAIT.
    reader.skip_statement();
    Effect::DropTables { names, temporary }
}

fn alter<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    scan.note(Fact::CommitsImplicitly, first, first);
    definer(reader);
    match reader.word() {
        keys::EVENT => return definition(reader),
        keys::USER => scan.note(Fact::ChangesAccounts, first, reader.token),
        keys::INSTANCE => scan.note(Fact::Administers, first, reader.token),
        _ => {}
    }
    while !reader.at_end() {
        let renames = reader.word() == keys::RENAME
            && !matches!(reader.second_word(), keys::COLUMN | keys::INDEX | keys::KEY);
        if renames {
            scan.note(Fact::RenamesTables, first, reader.token);
        }
        reader.advance();
    }
    Effect::Plain
}

fn rename<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    let fact = match reader.word() {
        keys::USER => Fact::ChangesAccounts,
        _ => Fact::RenamesTables,
    };
    commits_with(reader, scan, fact, first)
}

fn lock<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    let lock = match reader.word() {
        keys::TABLE | keys::TABLES => {
            scan.note(Fact::CommitsImplicitly, first, first);
            Lock::Tables
        }
        keys::INSTANCE => Lock::Instance,
        _ => return at_end_of(reader, None),
    };
    reader.skip_statement();
    Effect::Lock(lock)
}

fn unlock(reader: &mut Reader<'_, '_>) -> Effect {
    let lock = match reader.word() {
        keys::TABLE | keys::TABLES => Lock::Tables,
        keys::INSTANCE => Lock::Instance,
        _ => return at_end_of(reader, None),
    };
    reader.advance();
    at_end_of(reader, Some(Effect::Unlock(lock)))
}

/// `FLUSH [LOCAL] TABLES [names] {WITH READ LOCK | FOR EXPORT}` holds locks; other forms do not.
fn flush<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    scan.note(Fact::CommitsImplicitly, first, first);
    scan.note(Fact::Administers, first, first);
    // LOCAL or NO_WRITE_TO_BINLOG.
    if matches!(reader.second_word(), keys::TABLE | keys::TABLES) {
        reader.advance();
    }
    if !reader.takes(keys::TABLES) && !reader.takes(keys::TABLE) {
        reader.skip_statement();
        return Effect::Plain;
    }
    let mut named = false;
    while !reader.at_end() {
        match reader.word() {
            keys::WITH if reader.second_word() == keys::READ => {
                reader.skip_statement();
                return Effect::Lock(if named { Lock::Tables } else { Lock::Global });
            }
            keys::FOR if reader.second_word() == keys::EXPORT => {
                reader.skip_statement();
                return Effect::Lock(Lock::Tables);
            }
            _ => named = true,
        }
        reader.advance();
    }
    Effect::Plain
}

/// MariaDB's `BACKUP STAGE`, `BACKUP LOCK` and `BACKUP UNLOCK`.
fn backup<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    scan.note(Fact::Administers, first, first);
    let effect = match reader.word() {
        keys::STAGE if reader.second_word() == keys::END => Effect::Unlock(Lock::BackupStage),
        keys::STAGE => Effect::Lock(Lock::BackupStage),
        keys::LOCK => Effect::Lock(Lock::BackupTable),
        keys::UNLOCK => Effect::Unlock(Lock::BackupTable),
        _ => Effect::Opaque,
    };
    reader.skip_statement();
    effect
}

/// `HANDLER name {OPEN [[AS] name] | READ … | CLOSE}`.
fn handler<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Effect {
    let Some(mut name) = reader.table() else {
        return at_end_of(reader, None);
    };
    let does = match reader.word() {
        keys::OPEN => WithTable::Open,
        keys::READ => WithTable::Read,
        keys::CLOSE => WithTable::Close,
        _ => return at_end_of(reader, None),
    };
    reader.advance();
    if does == WithTable::Open {
        reader.takes(keys::AS);
        if let Some(alias) = reader.name() {
            name = Name {
                database: None,
                name: alias,
            };
        }
    }
    scan.rest(reader);
    Effect::Handler { name, does }
}

/// `KILL [HARD | SOFT] [CONNECTION | QUERY [ID]] {number | expression | USER name}`.
fn kill<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Effect {
    let _ = reader.takes(keys::HARD) || reader.takes(keys::SOFT);
    let query_only = reader.takes(keys::QUERY);
    let _ = !query_only && reader.takes(keys::CONNECTION);
    let by_query = query_only && reader.takes(keys::ID);
    let whom = if reader.takes(keys::USER) {
        reader.skip_statement();
        Killed::User
    } else {
        let number = match reader.token.kind {
            Kind::Number if reader.second().ends_statement() => std::str::from_utf8(reader.bytes())
                .ok()
                .and_then(|digits| digits.parse().ok()),
            _ => None,
        };
        scan.rest(reader);
        match number {
            Some(number) if by_query => Killed::Query(number),
            Some(number) => Killed::Connection(number),
            None => Killed::Computed,
        }
    };
    Effect::Kill(Kill { query_only, whom })
}

/// `GET [CURRENT | STACKED] DIAGNOSTICS @name = item [, …]`.
fn diagnostics<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, first: Token) -> Effect {
    const DOES: [Fact; 3] = [
        Fact::ReadsDiagnostics,
        Fact::KeepsDiagnostics,
        Fact::WritesUserVariable,
    ];
    for fact in DOES {
        scan.note(fact, first, first);
    }
    scan.rest(reader);
    Effect::Plain
}
