//! The vocabulary of programs: statements, commands, steps, and how each is written down as bytes.
//!
//! A statement here carries what the client needs to predict its answer, such as the form in which the server will show a setting. What the
//! answer is, `expected.rs` knows; which statements come, `generate.rs`.

use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::column::field_type;
use forebay_mysql::wire::statement::{self, Execute, LongData};
use forebay_mysql::wire::{command, write};
use std::collections::BTreeMap;

/// One SQL statement of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants' lines name their fields")]
pub enum Act {
    /// `SELECT 'tag'`: the answer shows whose question it was.
    Tag(String),
    /// `SELECT "tag"`: a text, or a name that there is not, as `sql_mode` has it.
    Quoted(String),
    /// `SELECT 'tag\'`: a whole text, or one without end.
    Backslash(String),
    /// `SELECT ?, 'tag'`.
    TagParam(String),
    /// `SELECT touch('tag')`: code that nobody knows.
    Touch(String),
    /// `SET name = written`; `shown` is what it makes of it.
    Set {
        scope: &'static str,
        name: &'static str,
        written: &'static str,
        shown: &'static str,
    },
    /// `SET NAMES`.
    SetNames {
        charset: &'static str,
        collation: Option<&'static str>,
    },
    /// `SET collation_connection`, of this character set.
    SetCollation {
        charset: &'static str,
        collation: &'static str,
    },
    /// `SET name = DEFAULT`.
    SetDefault(&'static str),
    /// A SET that fails with this error.
    SetInvalid { written: &'static str, code: u16 },
    /// `SET @name = 'tag'`.
    SetUser { name: &'static str, tag: String },
    /// `SELECT @name := 'tag'`.
    AssignUser { name: &'static str, tag: String },
    /// `SELECT 'tag' INTO @name`.
    IntoUser { name: &'static str, tag: String },
    /// `SELECT @name`.
    GetUser(&'static str),
    /// `SELECT @@…` of these.
    Get(Vec<&'static str>),
    /// `BEGIN`, or `START TRANSACTION READ ONLY`.
    Begin { read_only: bool },
    /// `COMMIT [AND CHAIN]`.
    Commit { chain: bool },
    /// `ROLLBACK [AND CHAIN]`.
    Rollback { chain: bool },
    /// `SAVEPOINT`.
    Savepoint(&'static str),
    /// `ROLLBACK TO SAVEPOINT`.
    RollbackTo(&'static str),
    /// `RELEASE SAVEPOINT`.
    Release(&'static str),
    /// `SET [SESSION] TRANSACTION READ ONLY`, or READ WRITE.
    SetTransaction { session: bool, read_only: bool },
    /// A row of this client in the log.
    Insert(i64),
    /// `INSERT INTO log VALUES ('c7', ?)`.
    InsertParam,
    /// How many rows this client has in the log.
    Count,
    /// So many rows.
    Numbers { rows: u32, tag: String },
    /// An error that rolls back.
    Deadlock,
    /// Not SQL.
    Nonsense,
    /// `CREATE TEMPORARY TABLE`.
    CreateTemp(&'static str),
    /// `DROP TEMPORARY TABLE [IF EXISTS]`.
    DropTemp { name: &'static str, if_exists: bool },
    /// A row for one.
    InsertTemp { name: &'static str, number: i64 },
    /// How many rows it has.
    CountTemp(&'static str),
    /// DDL: commits.
    Alter,
    /// `LOCK TABLES`: commits.
    LockTables,
    /// `UNLOCK TABLES`.
    UnlockTables,
    /// `SELECT GET_LOCK('c7_n', 50)`.
    GetLock(u32),
    /// `SELECT RELEASE_LOCK('c7_n')`.
    ReleaseLock(u32),
    /// `SELECT RELEASE_ALL_LOCKS()`.
    ReleaseAllLocks,
    /// `USE`.
    Use(&'static str),
    /// `SELECT DATABASE()`.
    Database,
    /// `SELECT name FROM whereami`: the database that the text meant.
    WhereAmI,
    /// `SELECT COLLATION('x')`.
    Collation,
    /// `SELECT LAST_INSERT_ID()`.
    LastInsertId,
    /// `SELECT ROW_COUNT()`.
    RowCount,
    /// `SELECT CAST('tag' AS SIGNED)`: warns.
    Warn(String),
    /// `SHOW WARNINGS`.
    ShowWarnings,
    /// `PREPARE name FROM 'SELECT "tag"'`, with quotes of texts.
    Prepare { name: &'static str, tag: String },
    /// SQL's `EXECUTE`.
    Execute(&'static str),
    /// `DEALLOCATE PREPARE`.
    Deallocate(&'static str),
    /// `CALL p_set(name, written)`; fails behind it if told so.
    CallSet {
        name: &'static str,
        written: &'static str,
        shown: &'static str,
        fails: bool,
    },
    /// `CALL p_rows('tag')`: a result and an OK.
    CallRows(String),
    /// `SELECT SLEEP(10), 'tag'`.
    Sleep(String),
}

impl Act {
    /// The statement as SQL, for the client `me` (as in `c7`).
    pub fn sql(&self, me: &str) -> String {
        let chain = |chain: &bool| if *chain { " AND CHAIN" } else { "" };
        let lock = |number: &u32| format!("'{me}_{number:02}'");
        match self {
            Act::Tag(tag) => format!("SELECT '{tag}'"),
            Act::Quoted(tag) => format!("SELECT \"{tag}\""),
            Act::Backslash(tag) => format!("SELECT '{tag}\\'"),
            Act::TagParam(tag) => format!("SELECT ?, '{tag}'"),
            Act::Touch(tag) => format!("SELECT touch('{tag}')"),
            Act::Set {
                scope,
                name,
                written,
                ..
            } => format!("SET {scope}{name} = {written}"),
            Act::SetNames {
                charset,
                collation: None,
            } => format!("SET NAMES {charset}"),
            Act::SetNames {
                charset,
                collation: Some(collation),
            } => format!("SET NAMES {charset} COLLATE {collation}"),
            Act::SetCollation { collation, .. } => {
                format!("SET collation_connection = {collation}")
            }
            Act::SetDefault(name) => format!("SET {name} = DEFAULT"),
            Act::SetInvalid { written, .. } => format!("SET {written}"),
            Act::SetUser { name, tag } => format!("SET @{name} = '{tag}'"),
            Act::AssignUser { name, tag } => format!("SELECT @{name} := '{tag}'"),
            Act::IntoUser { name, tag } => format!("SELECT '{tag}' INTO @{name}"),
            Act::GetUser(name) => format!("SELECT @{name}"),
            Act::Get(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("@@{name}")).collect();
                format!("SELECT {}", names.join(", "))
            }
            Act::Begin { read_only: false } => "BEGIN".into(),
            Act::Begin { read_only: true } => "START TRANSACTION READ ONLY".into(),
            Act::Commit { chain: it } => format!("COMMIT{}", chain(it)),
            Act::Rollback { chain: it } => format!("ROLLBACK{}", chain(it)),
            Act::Savepoint(name) => format!("SAVEPOINT {name}"),
            Act::RollbackTo(name) => format!("ROLLBACK TO SAVEPOINT {name}"),
            Act::Release(name) => format!("RELEASE SAVEPOINT {name}"),
            Act::SetTransaction { session, read_only } => {
                let session = if *session { "SESSION " } else { "" };
                let mode = if *read_only { "ONLY" } else { "WRITE" };
                format!("SET {session}TRANSACTION READ {mode}")
            }
            Act::Insert(number) => format!("INSERT INTO log VALUES ('{me}', {number})"),
            Act::InsertParam => format!("INSERT INTO log VALUES ('{me}', ?)"),
            Act::Count => format!("SELECT COUNT(*) FROM log WHERE client = '{me}'"),
            Act::Numbers { rows, tag } => {
                format!("SELECT '{tag}' FROM numbers WHERE n <= {rows}")
            }
            Act::Deadlock => "UPDATE log SET n = deadlock".into(),
            Act::Nonsense => "FROBNICATE 1".into(),
            Act::CreateTemp(name) => format!("CREATE TEMPORARY TABLE {name} (n INT)"),
            Act::DropTemp { name, if_exists } => {
                let if_exists = if *if_exists { "IF EXISTS " } else { "" };
                format!("DROP TEMPORARY TABLE {if_exists}{name}")
            }
            Act::InsertTemp { name, number } => format!("INSERT INTO {name} VALUES ({number})"),
            Act::CountTemp(name) => format!("SELECT COUNT(*) FROM {name}"),
            Act::Alter => format!("ALTER TABLE log COMMENT '{me}'"),
            Act::LockTables => "LOCK TABLES log WRITE".into(),
            Act::UnlockTables => "UNLOCK TABLES".into(),
            Act::GetLock(number) => format!("SELECT GET_LOCK({}, 50)", lock(number)),
            Act::ReleaseLock(number) => format!("SELECT RELEASE_LOCK({})", lock(number)),
            Act::ReleaseAllLocks => "SELECT RELEASE_ALL_LOCKS()".into(),
            Act::Use(name) => format!("USE {name}"),
            Act::Database => "SELECT DATABASE()".into(),
            Act::WhereAmI => "SELECT name FROM whereami".into(),
            Act::Collation => "SELECT COLLATION('x')".into(),
            Act::LastInsertId => "SELECT LAST_INSERT_ID()".into(),
            Act::RowCount => "SELECT ROW_COUNT()".into(),
            Act::Warn(tag) => format!("SELECT CAST('{tag}' AS SIGNED)"),
            Act::ShowWarnings => "SHOW WARNINGS".into(),
            Act::Prepare { name, tag } => format!("PREPARE {name} FROM 'SELECT ''{tag}'''"),
            Act::Execute(name) => format!("EXECUTE {name}"),
            Act::Deallocate(name) => format!("DEALLOCATE PREPARE {name}"),
            Act::CallSet {
                name,
                written,
                fails,
                ..
            } => {
                let procedure = if *fails { "p_fail" } else { "p_set" };
                format!("CALL {procedure}('{name}', {written})")
            }
            Act::CallRows(tag) => format!("CALL p_rows('{tag}')"),
            Act::Sleep(tag) => format!("SELECT SLEEP(10), '{tag}'"),
        }
    }

    /// Parameters the statement takes.
    pub fn parameters(&self) -> u16 {
        u16::from(matches!(self, Act::TagParam(_) | Act::InsertParam))
    }
}

/// A value for a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// NULL.
    Null,
    /// A TINYINT.
    Tiny(i8),
    /// A BIGINT.
    Long(i64),
    /// A text.
    Text(String),
    /// Was sent ahead.
    Ahead,
}

impl Param {
    /// Its type on the wire.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Param::Null | Param::Long(_) => field_type::LONGLONG,
            Param::Tiny(_) => field_type::TINY,
            Param::Text(_) | Param::Ahead => field_type::VAR_STRING,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Param::Null | Param::Ahead => {}
            Param::Tiny(number) => out.extend_from_slice(&number.to_le_bytes()),
            Param::Long(number) => out.extend_from_slice(&number.to_le_bytes()),
            Param::Text(text) => write::counted(out, text.as_bytes()),
        }
    }
}

/// One command of a program. A prepared statement goes by a name of the client's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "fields carry the names of the protocol documentation"
)]
pub enum Message {
    /// One statement or several.
    Query(Vec<Act>),
    InitDb(&'static str),
    Ping,
    Statistics,
    ResetConnection,
    /// A login anew, as the same user.
    ChangeUser {
        database: Option<&'static str>,
    },
    Prepare {
        name: &'static str,
        act: Act,
    },
    /// `types`: whether the types are said again.
    Execute {
        name: &'static str,
        param: Option<Param>,
        types: bool,
        cursor: bool,
    },
    Fetch {
        name: &'static str,
        rows: u32,
    },
    LongData {
        name: &'static str,
        text: String,
    },
    StmtReset {
        name: &'static str,
    },
    StmtClose {
        name: &'static str,
    },
}

/// A number that no statement has.
const NO_STATEMENT: u32 = 60_000;

impl Message {
    /// Appends the command as the client `me` sends it, who knows its statements by these numbers. `COM_CHANGE_USER` is a login's.
    pub fn encode(&self, me: &str, numbers: &BTreeMap<&'static str, u32>, out: &mut Vec<u8>) {
        let number = |name: &str| numbers.get(name).copied().unwrap_or(NO_STATEMENT);
        match self {
            Message::Query(acts) => {
                let texts: Vec<String> = acts.iter().map(|act| act.sql(me)).collect();
                write::query(out, texts.join("; ").as_bytes());
            }
            Message::InitDb(name) => write::command(out, command::INIT_DB, name.as_bytes()),
            Message::Ping => write::command(out, command::PING, b""),
            Message::Statistics => write::command(out, command::STATISTICS, b""),
            Message::ResetConnection => write::command(out, command::RESET_CONNECTION, b""),
            Message::ChangeUser { .. } => {}
            Message::Prepare { act, .. } => statement::prepare(out, act.sql(me).as_bytes()),
            Message::Execute {
                name,
                param,
                types,
                cursor,
            } => {
                let mut values = Vec::new();
                let kinds = param.as_ref().map(|param| [param.kind(), 0]);
                if let Some(param) = param {
                    param.put(&mut values);
                }
                let nulls: &[u8] = match param {
                    None => &[],
                    Some(Param::Null) => &[1],
                    Some(_) => &[0],
                };
                Execute {
                    statement: number(name),
                    flags: u8::from(*cursor),
                    iterations: 1,
                    nulls,
                    types: kinds.as_ref().map(|it| &it[..]).filter(|_| *types),
                    values: &values,
                }
                .write(out);
            }
            Message::Fetch { name, rows } => {
                let mut argument = number(name).to_le_bytes().to_vec();
                argument.extend_from_slice(&rows.to_le_bytes());
                write::command(out, command::STMT_FETCH, &argument);
            }
            Message::LongData { name, text } => LongData {
                statement: number(name),
                parameter: 0,
                data: text.as_bytes(),
            }
            .write(out),
            Message::StmtReset { name } => statement::reset(out, number(name)),
            Message::StmtClose { name } => statement::close(out, number(name)),
        }
    }

    /// Whether an answer comes.
    pub fn is_answered(&self) -> bool {
        !matches!(self, Message::LongData { .. } | Message::StmtClose { .. })
    }

    /// Whether somebody may have to end it.
    pub fn sleeps(&self) -> bool {
        matches!(self, Message::Query(acts) if acts.iter().any(|act| matches!(act, Act::Sleep(_))))
    }
}

/// One step of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send, and do not wait.
    Send(Message),
    /// Wait until everything sent so far is answered.
    Await,
    /// Do nothing for so many milliseconds.
    Think(u32),
    /// KILL QUERY of this session's own statement, over another connection.
    Cancel,
    /// Say goodbye and close.
    Quit,
    /// Close without a word after so many thousandths (below 1000) of one more command's bytes.
    Vanish {
        /// The command that will not be whole.
        message: Message,
        /// How much of it is sent.
        permille: u32,
    },
}

/// From one connect to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// What the client asks for, besides what every client does.
    pub capabilities: Capabilities,
    /// The number of the collation that it begins with.
    pub collation: u8,
    /// The database that it names.
    pub database: Option<&'static str>,
    /// It proves its password by another method first than it will be asked for.
    pub switches: bool,
    /// What happens after login; ends with `Quit` or `Vanish`.
    pub steps: Vec<Step>,
}

/// Everything one client does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// One connection after the other.
    pub episodes: Vec<Episode>,
}
