//! One logged-in session of the model server: what it holds, and the small verbs the other files are written in
//! (send, flush, settings, identities, locks).
//!
//! What a transaction can undo is one value, [`Undoable`]; `xact.rs` copies and restores it. Output is held back
//! as PostgreSQL holds it: until Sync, Flush, ReadyForQuery, an error or notice, or 8 kB are there. A proxy that
//! loses a Flush is found that way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::backend::{Backend, Column};
use super::error::PgError;
use super::evaluate::{Rows, Value};
use super::gucs;
use super::server::{ConnectionId, Shared, Wait};
use super::settings::{Baseline, Layers, Target, target};
use super::sql::{Scope, Statement, Type};
use super::xact::Xact;

/// Bytes after which PostgreSQL sends its buffer unasked (`PQ_SEND_BUFFER_SIZE`).
const SEND_BUFFER_BYTES: usize = 8192;

/// A prepared statement; `None` inside is the empty statement.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) statement: Option<Statement>,
    pub(crate) types: Vec<Type>,
    /// PREPARE made it, not Parse.
    pub(crate) from_sql: bool,
}

/// How far a portal has run.
#[derive(Debug)]
pub(crate) enum Progress {
    Ready,
    Rows(Rows),
    Done,
}

/// A portal: a statement with its parameters, perhaps half read.
#[derive(Debug)]
pub(crate) struct Portal {
    pub(crate) statement: Option<Statement>,
    pub(crate) params: Vec<Value>,
    pub(crate) columns: Option<Vec<Column>>,
    pub(crate) progress: Progress,
    /// Savepoints open when it was made: rolling back to an earlier one takes it along.
    pub(crate) depth: usize,
    /// A failure has taken its plan: it does not even count as the end of a transaction any more.
    pub(crate) stripped: bool,
}

impl Portal {
    /// One that cannot be run again.
    pub(crate) fn spent(statement: Statement, columns: Option<Vec<Column>>, depth: usize) -> Self {
        Self {
            statement: Some(statement),
            params: Vec::new(),
            columns,
            progress: Progress::Done,
            depth,
            stripped: false,
        }
    }
}

/// What the session is in the middle of, when a statement had to stop.
#[derive(Debug)]
pub(crate) enum Work {
    /// Between messages.
    None,
    /// A Query message with the statements not yet finished; the first is the one that stopped.
    Simple(SimpleWork),
    /// An Execute message.
    Execute { portal: String, rows: i32 },
}

/// The rest of a Query message.
#[derive(Debug)]
pub(crate) struct SimpleWork {
    pub(crate) rest: VecDeque<Statement>,
    /// More than one statement: they share an implicit transaction block.
    pub(crate) several: bool,
}

/// Why the work stands still.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nothing stops it.
    No,
    /// A running statement.
    Waiting(Wait),
    /// COPY FROM STDIN, with what arrived so far; a cancel takes effect at the next message.
    CopyIn { data: Vec<u8>, canceled: bool },
}

/// Everything a transaction undoes when it fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Undoable {
    pub(crate) layers: Layers,
    pub(crate) temp_tables: BTreeSet<String>,
    /// Rows written to the log, not yet visible to others.
    pub(crate) rows: Vec<(String, i64)>,
    /// LISTEN and UNLISTEN take effect at commit.
    pub(crate) listens: Vec<Listen>,
    pub(crate) read_only: bool,
    pub(crate) isolation: String,
}

/// A change to the listened channels.
#[derive(Debug, Clone)]
pub(crate) enum Listen {
    Add(String),
    Remove(String),
    RemoveAll,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: ConnectionId,
    pub(crate) pid: u32,
    pub(crate) login_user: String,
    pub(crate) baseline: Baseline,
    pub(crate) undoable: Undoable,
    pub(crate) xact: Xact,
    pub(crate) statements: BTreeMap<String, Prepared>,
    pub(crate) portals: BTreeMap<String, Portal>,
    /// The portal that an Execute is running: CLOSE ALL spares it.
    pub(crate) executing: Option<String>,
    /// Session-level advisory locks and how often each is held.
    pub(crate) locks: BTreeMap<i64, u32>,
    pub(crate) channels: BTreeSet<String>,
    pub(crate) skip_to_sync: bool,
    pub(crate) work: Work,
    pub(crate) stop: Stop,
    /// The wait that just ended, so that the statement is run again and passes it.
    pub(crate) waited: bool,
    /// What the next statement fails with, because a test wants it so.
    pub(crate) injected: Option<PgError>,
    reported: BTreeMap<&'static str, String>,
    held: Vec<u8>,
    flushed: usize,
}

impl Session {
    pub(crate) fn new(id: ConnectionId, pid: u32, login_user: String, baseline: Baseline) -> Self {
        Self {
            id,
            pid,
            login_user,
            baseline,
            undoable: Undoable::default(),
            xact: Xact::default(),
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            executing: None,
            locks: BTreeMap::new(),
            channels: BTreeSet::new(),
            skip_to_sync: false,
            work: Work::None,
            stop: Stop::No,
            waited: false,
            injected: None,
            reported: BTreeMap::new(),
            held: Vec::new(),
            flushed: 0,
        }
    }

    pub(crate) fn send(&mut self, message: &Backend) {
        message.encode(&mut self.held);
        if self.held.len() - self.flushed >= SEND_BUFFER_BYTES {
            self.flush();
        }
    }

    /// Lets everything sent so far leave.
    pub(crate) fn flush(&mut self) {
        self.flushed = self.held.len();
    }

    /// Hands over what may leave.
    pub(crate) fn take_flushed(&mut self, out: &mut Vec<u8>) {
        out.extend(self.held.drain(..self.flushed));
        self.flushed = 0;
    }

    pub(crate) fn notice(&mut self, notice: PgError) {
        self.send(&Backend::NoticeResponse(notice));
        self.flush();
    }

    /// Announces changed settings, then ReadyForQuery.
    pub(crate) fn ready(&mut self, shared: &Shared) {
        self.report_settings(shared);
        self.send(&Backend::ReadyForQuery(self.xact.status()));
        self.flush();
    }

    /// ParameterStatus for every reported setting the client knows with another value, or not at all.
    pub(crate) fn report_settings(&mut self, shared: &Shared) {
        for guc in gucs::GUCS.iter().filter(|guc| guc.report) {
            let value = self.setting(shared, guc.name).unwrap_or_default();
            if self.reported.get(guc.name) != Some(&value) {
                self.reported.insert(guc.name, value.clone());
                self.send(&Backend::ParameterStatus {
                    name: guc.name.to_owned(),
                    value,
                });
            }
        }
    }

    pub(crate) fn session_user(&self) -> &str {
        self.undoable
            .layers
            .get("session_authorization")
            .unwrap_or(&self.login_user)
    }

    pub(crate) fn role(&self) -> &str {
        self.undoable
            .layers
            .get("role")
            .or_else(|| self.baseline.get("role"))
            .unwrap_or("none")
    }

    pub(crate) fn current_user(&self) -> &str {
        match self.role() {
            "none" => self.session_user(),
            role => role,
        }
    }

    /// The value in force; `None` when nobody knows the name.
    pub(crate) fn setting(&self, shared: &Shared, name: &str) -> Option<String> {
        let key = name.to_ascii_lowercase();
        let on_off = |on: bool| Some(if on { "on" } else { "off" }.to_owned());
        match key.as_str() {
            "in_hot_standby" => on_off(shared.in_recovery),
            "is_superuser" => on_off(shared.is_superuser(self.current_user())),
            "session_authorization" => Some(self.session_user().to_owned()),
            "transaction_read_only" => on_off(self.undoable.read_only || shared.in_recovery),
            "transaction_isolation" => Some(self.undoable.isolation.clone()),
            key => self
                .undoable
                .layers
                .get(key)
                .or_else(|| self.baseline.get(key))
                .map(str::to_owned),
        }
    }

    /// SET and `set_config`: `None` stands for DEFAULT.
    pub(crate) fn assign(
        &mut self,
        shared: &Shared,
        scope: Scope,
        name: &str,
        raw: Option<String>,
    ) -> Result<(), PgError> {
        let key = name.to_ascii_lowercase();
        let value = match (target(name)?, raw) {
            (Target::Custom, raw) => {
                self.baseline.note_custom(&key);
                raw
            }
            (Target::Known(guc), raw) => {
                guc.check_context(shared.is_superuser(self.current_user()))?;
                let now = self.setting(shared, name).unwrap_or_default();
                raw.map(|raw| guc.canonical(&raw, &now)).transpose()?
            }
        };
        match key.as_str() {
            "role" => self.check_role(shared, value.as_deref())?,
            "session_authorization" => {
                self.check_authorization(shared, value.as_deref())?;
                self.put(scope, "role", None);
            }
            "transaction_read_only" => {
                self.undoable.read_only = value.as_deref() == Some("on");
                return Ok(());
            }
            "transaction_isolation" => {
                self.undoable.isolation = value.unwrap_or_else(|| "read committed".into());
                return Ok(());
            }
            _ => {}
        }
        self.put(scope, &key, value);
        Ok(())
    }

    fn put(&mut self, scope: Scope, key: &str, value: Option<String>) {
        match (scope, value) {
            (_, Some(value)) => self.undoable.layers.put(scope, key, value),
            (Scope::Session, None) => self.undoable.layers.reset(key),
            (Scope::Local, None) => {
                let default = match key {
                    "session_authorization" => self.login_user.clone(),
                    key => self.baseline.get(key).unwrap_or_default().to_owned(),
                };
                self.undoable.layers.put(scope, key, default);
            }
        }
    }

    fn check_role(&self, shared: &Shared, role: Option<&str>) -> Result<(), PgError> {
        let Some(role) = role.filter(|role| *role != "none") else {
            return Ok(());
        };
        shared.require_user(role)?;
        if shared.may_become(self.session_user(), role) {
            return Ok(());
        }
        Err(PgError::error(
            "42501",
            format!("permission denied to set role \"{role}\""),
        ))
    }

    fn check_authorization(&self, shared: &Shared, user: Option<&str>) -> Result<(), PgError> {
        let Some(user) = user else { return Ok(()) };
        shared.require_user(user)?;
        if user == self.login_user || shared.is_superuser(&self.login_user) {
            return Ok(());
        }
        let message = format!("permission denied to set session authorization \"{user}\"");
        Err(PgError::error("42501", message))
    }

    /// Lets go of every session-level advisory lock.
    pub(crate) fn unlock_all(&mut self, shared: &mut Shared) {
        for key in std::mem::take(&mut self.locks).into_keys() {
            shared.locks.remove(&key);
        }
    }

    /// Everything of the session that a later borrower of this connection could notice, in one line, for
    /// comparison with what its client expects: identities, settings that differ from the server's, temporary
    /// tables, advisory locks, channels.
    pub(crate) fn whoami(&self, shared: &Shared) -> String {
        let mut names = self.undoable.layers.keys();
        names.extend(self.baseline.keys());
        let settings: Vec<String> = names
            .into_iter()
            .filter(|key| !matches!(*key, "role" | "session_authorization"))
            .filter_map(|key| {
                let value = self.setting(shared, key)?;
                (self.baseline.configured(key).unwrap_or_default() != value)
                    .then(|| format!("{key}={value}"))
            })
            .collect();
        let temp: Vec<&str> = self
            .undoable
            .temp_tables
            .iter()
            .map(String::as_str)
            .collect();
        let locks: Vec<String> = self.locks.keys().map(i64::to_string).collect();
        format!(
            "user={} role={} set=[{}] temp=[{}] locks=[{}]",
            self.session_user(),
            self.role(),
            settings.join(";"),
            temp.join(","),
            locks.join(","),
        )
    }

    /// The channels that it listens on.
    pub(crate) fn listens(&self) -> String {
        let channels: Vec<&str> = self.channels.iter().map(String::as_str).collect();
        channels.join(",")
    }
}
