//! Reads `SET`: what is set, to which value, and how to say the same to another backend. What it does not understand is
//! `Fact::SetsUnknown`: the server may understand it.
//!
//! Replayed text must be read alike under any modes and character sets, or a client could smuggle SQL into another session:
//! values are rebuilt from their tokens, and texts are written anew.

use super::Effect;
use super::constant;
use super::fact::Fact;
use super::lexer::{Kind, Token};
use super::quote::{quote_identifier, quote_literal};
use super::reader::Reader;
use super::scan::{Scan, is_scope};
use super::watch::Watch;
use super::words::{self, keys};

/// One of the things that a `SET` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What is set.
    pub target: Target,
    /// To which value.
    pub value: SetValue,
}

/// What is set. Names are in lower case, parts joined by dots; ASCII letters, digits, `_`, `.` and `$` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A variable of the session; also of a component's or a key cache's.
    Session(String),
    /// A variable of the next transaction alone: `SET @@transaction_isolation`, without `SESSION`.
    NextTransaction(String),
    /// A variable of the server, for sessions to come.
    Global(String),
    /// As `Global`, and kept for the server's next start; `PERSIST_ONLY` for that alone.
    Persisted(String),
    /// `@name`.
    User(String),
    /// `SET NAMES`: the character sets of client, connection and results; the value is the name of the set.
    Names {
        /// `COLLATE`, as a word.
        collation: Option<String>,
    },
    /// `SET CHARACTER SET`: those of client and results, and the database's for the connection.
    CharacterSet,
}

/// What something is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// A constant, to be written behind `=`; ASCII, and read alike under any modes.
    Sql(String),
    /// `DEFAULT`: what the server has for new sessions.
    Default,
    /// Only the server knows, now that it has been set.
    Asked,
}

/// `SET [scope] TRANSACTION …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Characteristics {
    /// For which transactions.
    pub scope: TransactionScope,
    /// `ISOLATION LEVEL …`, if it says so.
    pub isolation: Option<Isolation>,
    /// `READ ONLY` or `READ WRITE`, if it says so.
    pub read_only: Option<bool>,
}

/// Which transactions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionScope {
    /// The next alone.
    Next,
    /// All that follow in this session.
    Session,
    /// Those of sessions to come.
    Global,
}

/// The levels of isolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as SQL names them")]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// What `SET ROLE` makes active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// `NONE`.
    None,
    /// `DEFAULT`: what a login makes active.
    Default,
    /// `ALL`.
    All,
    /// These, to be written behind `SET ROLE`.
    Named(String),
}

/// `SET …`, after the word `SET`, which is `first`.
pub(super) fn set<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Effect {
    let effect = if assigns(reader) {
        assignments(reader, scan)
    } else {
        special(reader, scan, first)
    };
    if reader.at_end()
        && let Some(effect) = effect
    {
        return effect;
    }
    // Whatever else it is: what its expressions do counts as well.
    scan.rest(reader);
    scan.note(Fact::SetsUnknown, first, first);
    Effect::Opaque
}

fn special<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Option<Effect> {
    let second = reader.second_word();
    match reader.word() {
        keys::PASSWORD => accounts(reader, scan, first),
        keys::DEFAULT if second == keys::ROLE => accounts(reader, scan, first),
        keys::RESOURCE => {
            scan.note(Fact::ResourceGroup, reader.token, reader.token);
            reader.skip_statement();
            Some(Effect::Opaque)
        }
        keys::ROLE => role(reader),
        keys::TRANSACTION => transaction(reader, scan, TransactionScope::Next),
        keys::SESSION | keys::LOCAL if second == keys::TRANSACTION => {
            reader.advance();
            transaction(reader, scan, TransactionScope::Session)
        }
        keys::GLOBAL if second == keys::TRANSACTION => {
            reader.advance();
            transaction(reader, scan, TransactionScope::Global)
        }
        _ => assignments(reader, scan),
    }
}

fn accounts<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    first: Token,
) -> Option<Effect> {
    scan.note(Fact::ChangesAccounts, first, reader.token);
    scan.note(Fact::CommitsImplicitly, first, reader.token);
    reader.skip_statement();
    Some(Effect::Plain)
}

/// `SET STATEMENT name = value [, …] FOR statement`, after the word `STATEMENT`: reads through `FOR`. False if there is none.
pub(super) fn for_statement<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> bool {
    scan.until(reader, |depth, lexer, token| {
        depth == 0 && lexer.key(token) == keys::FOR
    });
    reader.takes(keys::FOR)
}

/// Whether the next token is itself assigned to, or begins the name of what is. `SET PASSWORD = …` is not such.
fn assigns(reader: &Reader<'_, '_>) -> bool {
    let second = reader.second();
    let bytes = reader.source().get(second.range()).unwrap_or_default();
    let password = reader.word() == keys::PASSWORD;
    !password && (matches!(second.kind, Kind::Assign | Kind::Dot) || bytes == b"=")
}

fn transaction<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    scope: TransactionScope,
) -> Option<Effect> {
    if scope == TransactionScope::Global {
        scan.note(Fact::Administers, reader.token, reader.token);
    }
    reader.advance();
    let mut characteristics = Characteristics {
        scope,
        isolation: None,
        read_only: None,
    };
    loop {
        if reader.takes(keys::ISOLATION) && reader.takes(keys::LEVEL) {
            characteristics.isolation = Some(isolation(reader)?);
        } else if reader.takes(keys::READ) {
            characteristics.read_only = Some(read_only(reader)?);
        } else {
            return None;
        }
        if !reader.takes_kind(Kind::Comma) {
            break;
        }
    }
    Some(Effect::SetTransaction(characteristics))
}

/// `ONLY` or `WRITE`, behind `READ`.
pub(super) fn read_only(reader: &mut Reader<'_, '_>) -> Option<bool> {
    if reader.takes(keys::ONLY) {
        return Some(true);
    }
    reader.takes(keys::WRITE).then_some(false)
}

fn isolation(reader: &mut Reader<'_, '_>) -> Option<Isolation> {
    if reader.takes(keys::READ) {
        if reader.takes(keys::COMMITTED) {
            return Some(Isolation::ReadCommitted);
        }
        return reader
            .takes(keys::UNCOMMITTED)
            .then_some(Isolation::ReadUncommitted);
    }
    if reader.takes(keys::REPEATABLE) {
        return reader
            .takes(keys::READ)
            .then_some(Isolation::RepeatableRead);
    }
    reader
        .takes(keys::SERIALIZABLE)
        .then_some(Isolation::Serializable)
}

fn role(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    reader.advance();
    let role = if reader.takes(keys::NONE) {
        Role::None
    } else if reader.takes(keys::DEFAULT) {
        Role::Default
    } else if reader.takes(keys::ALL) {
        Role::All
    } else {
        Role::Named(roles(reader)?)
    };
    Some(Effect::SetRole(role))
}

/// Names of roles. Those with a host are not replayed.
fn roles(reader: &mut Reader<'_, '_>) -> Option<String> {
    let mut roles = String::new();
    loop {
        let name = match reader.token.kind {
            Kind::Text => reader.text()?,
            _ => reader.name()?,
        };
        if name.is_empty() || !name.is_ascii() {
            return None;
        }
        roles.push_str(&quote_identifier(&name));
        if !reader.takes_kind(Kind::Comma) {
            return Some(roles);
        }
        roles.push_str(", ");
    }
}

/// Which variables a name without a scope means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// None was given so far.
    Unsaid,
    Session,
    Global,
    Persisted,
}

/// A list of assignments.
fn assignments<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>) -> Option<Effect> {
    let mut list = Vec::new();
    // GLOBAL holds for the names without a scope that follow it.
    let mut sticky = Scope::Unsaid;
    loop {
        list.push(assignment(reader, scan, &mut sticky)?);
        if !reader.takes_kind(Kind::Comma) {
            break;
        }
    }
    Some(Effect::Set(list))
}

fn assignment<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    sticky: &mut Scope,
) -> Option<Assignment> {
    if !assigns(reader) {
        match reader.word() {
            keys::NAMES => return names(reader),
            keys::CHARSET => return character_set(reader),
            keys::CHARACTER | keys::CHAR if reader.second_word() == keys::SET => {
                reader.advance();
                return character_set(reader);
            }
            _ => {}
        }
    }
    let target = target(reader, scan, sticky)?;
    if !reader.at_equals() && reader.token.kind != Kind::Assign {
        return None;
    }
    reader.advance();
    let of_user = matches!(target, Target::User(_));
    let mut value = value(reader, scan, of_user);
    let global = matches!(*sticky, Scope::Global | Scope::Persisted);
    if global && matches!(&target, Target::Session(_)) {
        // The server's, or the session's, as families and versions have it.
        value = SetValue::Asked;
    }
    Some(Assignment { target, value })
}

fn target<W: Watch>(
    reader: &mut Reader<'_, '_>,
    scan: &mut Scan<W>,
    sticky: &mut Scope,
) -> Option<Target> {
    if reader.token.kind == Kind::User {
        scan.note(Fact::WritesUserVariable, reader.token, reader.token);
        let name = constant::variable(reader.source(), reader.token)?;
        reader.advance();
        return Some(Target::User(name));
    }
    let first = reader.token;
    let ats = reader.takes_kind(Kind::System);
    let mut scope = Scope::Unsaid;
    let behind = reader.second();
    let scoped = if ats {
        behind.kind == Kind::Dot
    } else {
        matches!(behind.kind, Kind::Word | Kind::Quoted)
    };
    if scoped && is_scope(reader.word()) {
        scope = scope_of(reader.word());
        reader.advance();
        if ats {
            reader.advance();
        }
    }
    let name = variable_name(reader)?;
    if !ats && scope != Scope::Unsaid {
        *sticky = scope;
    }
    let global = matches!(scope, Scope::Global | Scope::Persisted);
    if global || *sticky == Scope::Global || *sticky == Scope::Persisted {
        scan.note(Fact::Administers, first, first);
    }
    Some(match scope {
        Scope::Global => Target::Global(name),
        Scope::Persisted => Target::Persisted(name),
        Scope::Unsaid if ats && is_of_transaction(&name) => Target::NextTransaction(name),
        Scope::Unsaid | Scope::Session => Target::Session(name),
    })
}

fn scope_of(word: u128) -> Scope {
    match word {
        keys::GLOBAL => Scope::Global,
        keys::PERSIST | keys::PERSIST_ONLY => Scope::Persisted,
        _ => Scope::Session,
    }
}

/// Behind `@@` without a scope these mean the next transaction.
fn is_of_transaction(name: &str) -> bool {
    matches!(
        name,
        "transaction_isolation" | "tx_isolation" | "transaction_read_only" | "tx_read_only"
    )
}

/// A variable's name in lower case, the parts joined by dots.
fn variable_name(reader: &mut Reader<'_, '_>) -> Option<String> {
    let mut name = reader.name()?;
    while reader.takes_kind(Kind::Dot) {
        name.push('.');
        name.push_str(&reader.name()?);
    }
    name.make_ascii_lowercase();
    constant::is_simple(&name).then_some(name)
}

/// `NAMES {name | DEFAULT} [COLLATE name]`.
fn names(reader: &mut Reader<'_, '_>) -> Option<Assignment> {
    reader.advance();
    let value = charset(reader)?;
    let collation = if reader.takes(keys::COLLATE) {
        Some(charset_name(reader)?)
    } else {
        None
    };
    Some(Assignment {
        target: Target::Names { collation },
        value,
    })
}

/// `CHARSET {name | DEFAULT}`; the word comes next.
fn character_set(reader: &mut Reader<'_, '_>) -> Option<Assignment> {
    reader.advance();
    Some(Assignment {
        target: Target::CharacterSet,
        value: charset(reader)?,
    })
}

fn charset(reader: &mut Reader<'_, '_>) -> Option<SetValue> {
    if reader.takes(keys::DEFAULT) {
        return Some(SetValue::Default);
    }
    charset_name(reader).map(SetValue::Sql)
}

/// The name of a character set or collation, as a word or as a text, in lower case.
fn charset_name(reader: &mut Reader<'_, '_>) -> Option<String> {
    let mut name = match reader.token.kind {
        Kind::Text => reader.text()?,
        _ => reader.name()?,
    };
    name.make_ascii_lowercase();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(good)).then_some(name)
}

/// Reads up to the comma or the end of the statement.
fn value<W: Watch>(reader: &mut Reader<'_, '_>, scan: &mut Scan<W>, of_user: bool) -> SetValue {
    if let Some(value) = constant_value(reader, of_user) {
        return value;
    }
    scan.expression(reader);
    SetValue::Asked
}

/// A value of one token, or a number with its sign; it is then behind us. Otherwise nothing is read.
fn constant_value(reader: &mut Reader<'_, '_>, of_user: bool) -> Option<SetValue> {
    let sign = match reader.bytes() {
        b"-" => "-",
        b"+" => "+",
        _ => "",
    };
    let signed = usize::from(!sign.is_empty());
    let mut ahead = reader.ahead();
    let mut token = reader.token;
    for _ in 0..signed {
        token = ahead.next();
    }
    let behind = ahead.next();
    if !behind.ends_statement() && behind.kind != Kind::Comma {
        return None;
    }
    let value = match token.kind {
        Kind::Number => {
            let digits = std::str::from_utf8(reader.source().get(token.range())?).ok()?;
            // `\N` is NULL.
            let sql = if digits == "\\N" { "NULL" } else { digits };
            SetValue::Sql(format!("{sign}{sql}"))
        }
        _ if signed > 0 => return None,
        Kind::Text => {
            let text = constant::text(reader.source(), token, reader.dialect())?;
            SetValue::Sql(quote_literal(&text)?)
        }
        Kind::Word => word_value(reader, token, of_user)?,
        _ => return None,
    };
    for _ in 0..=signed {
        reader.advance();
    }
    Some(value)
}

/// A word is a text for the variables of the server, but for those that are calls.
fn word_value(reader: &Reader<'_, '_>, token: Token, of_user: bool) -> Option<SetValue> {
    let written = std::str::from_utf8(reader.source().get(token.range())?).ok()?;
    let word = words::key(written.as_bytes());
    let of_grammar = matches!(word, keys::TRUE | keys::FALSE | keys::NULL);
    if of_grammar {
        return Some(SetValue::Sql(written.to_ascii_uppercase()));
    }
    if of_user {
        return None;
    }
    if word == keys::DEFAULT {
        return Some(SetValue::Default);
    }
    let spoken = matches!(
        word,
        keys::ON | keys::ALL | keys::BINARY | keys::SYSTEM | keys::ROW
    );
    let reserved = words::facts(written.as_bytes()).is_reserved();
    let good = constant::is_simple(written) && !written.contains('.');
    ((spoken || !reserved) && good && !reader.dialect().modes.oracle)
        .then(|| SetValue::Sql(written.to_owned()))
}
