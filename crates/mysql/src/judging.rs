//! What a text of a client's will have done to its session, should it succeed: the reader's findings (`sql/`) in the terms of tracking and
//! pinning.

use crate::backend::Beginning;
use crate::server::Server;
use crate::sql::{
    Assignment, Characteristics, Charset, Class, Dialect, Effect, Fact, Facts, Isolation, Kill,
    Lock, Modes, Name, Replay, Role, SetValue, Statement, Target, TransactionScope, WithTable,
    canonical, classify, fingerprint, normalized, variable,
};
use crate::statements::{DATABASE, ROLE};
use crate::told::STATE_CHANGE;
use crate::tracking::{is_reversed, text_of};
use forebay_core::settings::{Map, Value};
use forebay_core::{PinReason, StatementShape};
use std::sync::Arc;

/// What one statement will have done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// Settings that have other values from then on.
    pub changes: Vec<(Box<str>, Becomes)>,
    /// Settings that have values from then on that the text does not tell.
    pub computed: Vec<Box<str>>,
    /// Why the session keeps its backend from then on.
    pub pins: Vec<PinReason>,
    /// What no longer keeps it.
    pub unpins: Vec<PinReason>,
    /// A temporary table that exists from then on.
    pub creates: Option<Name>,
    /// Temporary tables that are gone, if they were any.
    pub drops: Vec<Name>,
    /// A table that is open by HANDLER from then on, or is closed.
    pub handler: Option<(Name, bool)>,
    /// It may have done what only the server knows.
    pub is_opaque: bool,
    /// It reads what the statement before it left behind.
    pub asks: Asks,
    /// It says what `LAST_INSERT_ID()` is from then on.
    pub sets_insert_id: bool,
    /// It leaves behind what is only of use to the next.
    pub counts_rows: bool,
    /// It leaves the warnings of the statement before as they are.
    pub keeps_diagnostics: bool,
    /// A name that SQL gives a statement from then on, and what that does.
    pub prepares: Option<(String, Box<Statement>)>,
    /// A name that means nothing any more.
    pub deallocates: Option<String>,
    /// It runs the statement of this name, besides what it is itself.
    pub executes: Option<(String, Box<Statement>)>,
    /// `KILL`.
    pub kills: Option<Kill>,
    /// It changes data, for which triggers may run.
    pub writes: bool,
    /// Servers report a change although none lasts, or none that matters.
    pub is_reported: bool,
    /// Whether the client wants to be told of changes from then on.
    pub tracks: Option<bool>,
}

impl Said {
    /// Whether it asks for what the statement before left.
    pub fn asks_left_behind(&self) -> bool {
        self.asks.counts || self.asks.conditions
    }

    /// Whether a report of a change is no news.
    pub fn explains(&self) -> bool {
        self.is_reported
            || self.tracks.is_some()
            || self.creates.is_some()
            || self.prepares.is_some()
            || self.deallocates.is_some()
            || self.handler.is_some()
            || !(self.changes.is_empty()
                && self.computed.is_empty()
                && self.pins.is_empty()
                && self.unpins.is_empty()
                && self.drops.is_empty())
    }
}

/// What becomes of a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Becomes {
    /// It has this value.
    Value(Value),
    /// It has the server's own value.
    Default,
    /// It has none of its own: another setting's decides.
    Nothing,
}

/// What a statement reads of the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asks {
    /// `LAST_INSERT_ID()`.
    pub last_insert_id: bool,
    /// `ROW_COUNT()`, `FOUND_ROWS()`.
    pub counts: bool,
    /// Warnings and errors.
    pub conditions: bool,
}

/// How a server reads a session's texts.
pub fn dialect(server: Server, settings: &Map, beginning: &Beginning) -> Dialect {
    let plain = |name: &str| {
        let text = settings.get(name).map(text_of)?;
        Some(text.trim_matches('\''))
    };
    Dialect {
        family: server.family,
        version: server.version,
        modes: plain("sql_mode").map_or(beginning.modes, Modes::of_sql_mode),
        charset: plain("character_set_client").map_or(beginning.charset, Charset::of_name),
    }
}

/// What a text will have done, statement by statement; nothing at all where none does anything that a session could notice.
pub fn judge(text: &[u8], dialect: Dialect) -> Arc<[Said]> {
    let class = classify(text, dialect);
    if class.is_pure() {
        // Nearly all that is sent: nothing is kept of it.
        return Arc::default();
    }
    let said = class
        .statements()
        .iter()
        .map(|statement| of_statement(statement, dialect));
    let said: Vec<Said> = said.collect();
    match (&class, said.iter().any(|said| said.is_opaque)) {
        // Code that is called may answer with any number of results: which of them is whose cannot be told.
        (Class::Several(_), true) => [together(&said)].into(),
        _ => said.into(),
    }
}

/// What a statement will have done.
pub fn of_statement(statement: &Statement, dialect: Dialect) -> Said {
    let mut said = of_effect(&statement.effect, dialect);
    add_facts(&mut said, statement.facts);
    said.is_opaque |= statement.is_opaque();
    if let Effect::Execute(name) = &statement.effect {
        said.executes = Some((name.clone(), Box::new(statement.clone())));
    }
    said
}

/// What is left to say where it is not known which statements have run.
fn together(all: &[Said]) -> Said {
    // What others ask for is left by those ahead of them.
    let asks = all.first().map_or(Asks::default(), |said| said.asks);
    let mut whole = Said {
        is_opaque: true,
        asks,
        ..Said::default()
    };
    for said in all {
        // What of it was done is not known, nor when it ends.
        let lasts = !said.changes.is_empty()
            || !said.computed.is_empty()
            || said.creates.is_some()
            || said.prepares.is_some()
            || said.handler.is_some()
            || said.tracks.is_some()
            || !said.pins.is_empty();
        if lasts {
            whole.pins.push(PinReason::UntrackedSetting);
        }
        whole.asks.last_insert_id |= said.asks.last_insert_id;
        whole.sets_insert_id |= said.sets_insert_id;
        whole.counts_rows |= said.counts_rows;
        whole.writes |= said.writes;
    }
    whole
}

fn of_effect(effect: &Effect, dialect: Dialect) -> Said {
    let mut said = Said::default();
    match effect {
        Effect::Set(assignments) => assignments
            .iter()
            .for_each(|assignment| of_assignment(&mut said, assignment, dialect)),
        Effect::SetTransaction(characteristics) => {
            of_characteristics(&mut said, characteristics, dialect);
        }
        Effect::SetRole(role) => {
            let text = match role {
                Role::None => "NONE",
                Role::Default => "DEFAULT",
                Role::All => "ALL",
                Role::Named(names) => names,
            };
            let value = Becomes::Value(Value::Sql(text.into()));
            said.changes.push((ROLE.into(), value));
        }
        Effect::Use(name) => {
            let value = Value::Literal(name.as_str().into());
            said.changes.push((DATABASE.into(), Becomes::Value(value)));
        }
        Effect::Prepare(prepares) => {
            said.prepares = Some((prepares.name.clone(), Box::new(prepares.body.clone())));
        }
        // What runs is looked up where the session is known.
        Effect::Opaque | Effect::Execute(_) => said.is_opaque = true,
        Effect::CreateTemporary(name) => said.creates = Some(name.clone()),
        Effect::DropTables { names, .. } => said.drops.clone_from(names),
        Effect::Lock(_) => said.pins.push(PinReason::TableLock),
        Effect::Unlock(Lock::Tables | Lock::Global) => said.unpins.push(PinReason::TableLock),
        Effect::Handler { name, does } => match does {
            WithTable::Open => said.handler = Some((name.clone(), true)),
            WithTable::Close => said.handler = Some((name.clone(), false)),
            WithTable::Read => {}
        },
        Effect::Kill(kill) => said.kills = Some(*kill),
        Effect::Deallocate(name) => said.deallocates = Some(name.clone()),
        // Other locks are not told apart: what began with one of them ends with the session.
        Effect::Unlock(_)
        | Effect::Plain
        | Effect::Begin { .. }
        | Effect::Commit(_)
        | Effect::Rollback(_)
        | Effect::Savepoint(_)
        | Effect::RollbackTo(_)
        | Effect::Release(_)
        | Effect::Xa(_) => {}
    }
    said
}

fn of_assignment(said: &mut Said, assignment: &Assignment, dialect: Dialect) {
    let value = match &assignment.value {
        SetValue::Sql(text) => Some(Becomes::Value(Value::Sql(text.as_str().into()))),
        SetValue::Default => Some(Becomes::Default),
        SetValue::Asked => None,
    };
    match (&assignment.target, value) {
        (Target::Session(name), Some(value)) if name == STATE_CHANGE => {
            let wants = match &value {
                Becomes::Value(value) => text_of(value).trim_matches('\''),
                Becomes::Default | Becomes::Nothing => "",
            };
            said.tracks = Some(wants == "1" || wants.eq_ignore_ascii_case("ON"));
        }
        // What `IS NULL` then finds is on the connection of the last INSERT.
        (Target::Session(name), value)
            if name == "sql_auto_is_null" && !value.as_ref().is_some_and(is_off) =>
        {
            said.pins.push(PinReason::UntrackedSetting);
        }
        (Target::Session(name), value) => {
            let replay = variable(name, dialect).map(|variable| variable.replay);
            match (replay, value) {
                (
                    Some(
                        Replay::Tracked
                        | Replay::CharacterSet
                        | Replay::Autocommit
                        | Replay::Timeout
                        | Replay::Tracking,
                    ),
                    Some(value),
                ) => {
                    set(said, canonical(name, dialect), value, dialect);
                }
                (
                    Some(
                        Replay::Tracked
                        | Replay::CharacterSet
                        | Replay::Autocommit
                        | Replay::Timeout
                        | Replay::Tracking,
                    ),
                    None,
                ) => {
                    said.computed.push(canonical(name, dialect).into());
                }
                // The server refuses it.
                (Some(Replay::ReadOnly), _) => {}
                _ => said.pins.push(PinReason::UntrackedSetting),
            }
        }
        (Target::User(name), Some(value @ Becomes::Value(_))) => {
            said.changes.push((format!("@{name}").into(), value));
        }
        (Target::User(_), _) => said.pins.push(PinReason::UserVariable),
        (Target::Names { collation }, Some(set @ Becomes::Value(_))) => {
            let (charset, collation) = match collation {
                Some(collation) => {
                    let value = Value::Sql(collation.as_str().into());
                    (Becomes::Nothing, Becomes::Value(value))
                }
                None => (set.clone(), Becomes::Nothing),
            };
            said.changes.extend([
                ("character_set_client".into(), set.clone()),
                ("character_set_results".into(), set),
                ("character_set_connection".into(), charset),
                ("collation_connection".into(), collation),
            ]);
        }
        (Target::NextTransaction(_), _) => said.pins.push(PinReason::OneShotSetting),
        // What they come to depends on the database, and on the server's own.
        (Target::Names { .. } | Target::CharacterSet, _) => {
            let names = [
                "character_set_client",
                "character_set_results",
                "collation_connection",
            ];
            said.computed.extend(names.map(Into::into));
        }
        (Target::Global(_) | Target::Persisted(_), _) => said.is_reported = true,
    }
}

/// A session's variable is set.
fn set(said: &mut Said, name: &str, value: Becomes, dialect: Dialect) {
    let (name, value) = match (name, value) {
        // The collation is what has a default.
        ("character_set_connection", Becomes::Default) => {
            ("collation_connection", Becomes::Default)
        }
        // Another value than new sessions have is one of its own.
        (name, Becomes::Default) if !dialect.is_mariadb() && is_reversed(name) => {
            (name, Becomes::Value(Value::Sql("DEFAULT".into())))
        }
        named => named,
    };
    said.changes.push((name.into(), value));
    // The one of these that is set last counts.
    let other = match name {
        "character_set_connection" => Some("collation_connection"),
        "collation_connection" => Some("character_set_connection"),
        _ => None,
    };
    let other = other.map(|other| (other.into(), Becomes::Nothing));
    said.changes.extend(other);
}

/// Whether a switch is off, as it is where nobody has touched it.
fn is_off(value: &Becomes) -> bool {
    match value {
        Becomes::Value(value) => {
            let text = text_of(value).trim_matches('\'');
            text == "0" || text.eq_ignore_ascii_case("OFF") || text.eq_ignore_ascii_case("FALSE")
        }
        Becomes::Default | Becomes::Nothing => true,
    }
}

fn of_characteristics(said: &mut Said, characteristics: &Characteristics, dialect: Dialect) {
    match characteristics.scope {
        TransactionScope::Next => return said.pins.push(PinReason::OneShotSetting),
        TransactionScope::Global => return,
        TransactionScope::Session => {}
    }
    if let Some(isolation) = characteristics.isolation {
        let level = match isolation {
            Isolation::ReadUncommitted => "'READ-UNCOMMITTED'",
            Isolation::ReadCommitted => "'READ-COMMITTED'",
            Isolation::RepeatableRead => "'REPEATABLE-READ'",
            Isolation::Serializable => "'SERIALIZABLE'",
        };
        let value = Becomes::Value(Value::Sql(level.into()));
        let name = canonical("tx_isolation", dialect);
        said.changes.push((name.into(), value));
    }
    if let Some(read_only) = characteristics.read_only {
        let value = if read_only { "1" } else { "0" };
        let value = Becomes::Value(Value::Sql(value.into()));
        let name = canonical("tx_read_only", dialect);
        said.changes.push((name.into(), value));
    }
}

fn add_facts(said: &mut Said, facts: Facts) {
    let pins = [
        (Fact::WritesUserVariable, PinReason::UserVariable),
        (Fact::SetsUnknown, PinReason::UntrackedSetting),
        (Fact::TakesNamedLock, PinReason::NamedLock),
        (Fact::TakesServiceLock, PinReason::NamedLock),
        (Fact::Replicates, PinReason::ReplicationState),
        (Fact::ResourceGroup, PinReason::UntrackedSetting),
        (Fact::ReadsSequence, PinReason::SequenceState),
        (Fact::SetsLastInsertId, PinReason::UntrackedSetting),
    ];
    // A SET whose user variables are all constants says so by its assignments.
    let is_tracked = said.changes.iter().any(|(name, _)| name.starts_with('@'));
    for (fact, reason) in pins {
        let is_said = reason == PinReason::UserVariable && is_tracked;
        if facts.has(fact) && !is_said && !said.pins.contains(&reason) {
            said.pins.push(reason);
        }
    }
    if facts.has(Fact::ReleasesNamedLocks) {
        said.unpins.push(PinReason::NamedLock);
    }
    said.asks.last_insert_id = facts.has(Fact::ReadsLastInsertId);
    said.sets_insert_id = facts.has(Fact::SetsLastInsertId);
    said.asks.counts = facts.has(Fact::ReadsRowCount) || facts.has(Fact::ReadsFoundRows);
    said.asks.conditions = facts.has(Fact::ReadsDiagnostics);
    said.keeps_diagnostics = facts.has(Fact::KeepsDiagnostics);
    said.counts_rows = facts.has(Fact::CountsFoundRows);
    said.writes = facts.has(Fact::Writes);
    said.is_reported |= facts.has(Fact::SetsForStatement);
}

/// A text as people may see it.
pub fn shape(text: &[u8], dialect: Dialect) -> Box<StatementShape> {
    Box::new(StatementShape {
        fingerprint: fingerprint(text, dialect).0,
        text: normalized(text, dialect, StatementShape::TEXT_BYTES_MAX).into(),
    })
}
