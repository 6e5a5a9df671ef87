//! What belongs to one database connection from dial to close, and moves with it to another worker.

use crate::backend_login::BackendLogin;
use crate::exchange::Exchange;
use crate::judging::Said;
use crate::left_behind::{Captured, Kind, Standing};
use crate::reading_back::ReadingBack;
use crate::server::Server;
use crate::sql::{Charset, Dialect, Modes};
use crate::statements::{PreparedOn, Statement};
use crate::wire::capability::Capabilities;
use crate::wire::status::Status;
use forebay_core::Instant;
use forebay_core::settings::{Map, Settings, Value};
use std::collections::VecDeque;
use std::sync::Arc;

/// One database connection.
pub struct Backend {
    /// How far it has come.
    pub stage: Stage,
    /// What was agreed on with the server.
    pub capabilities: Capabilities,
    /// The number by which its statement can be killed.
    pub process: u32,
    /// What is under way.
    pub exchange: Exchange,
    /// What the client's statements under way will have done, one after the other.
    pub said: VecDeque<Said>,
    /// The settings that were sent to it and that it confirmed, the database among them.
    pub label: Arc<Settings>,
    /// What its sessions begin with.
    pub beginning: Beginning,
    /// What a client's own `COM_RESET_CONNECTION` leaves.
    pub after_reset: Arc<AfterReset>,
    /// Who may have changed it in ways that the label does not show.
    pub suspect: Option<Mark>,
    /// Whose statement ran last, and how many that session had run then: what it left behind is still there.
    pub last: Option<Mark>,
    /// Whose `LAST_INSERT_ID()` it has; where it is nobody's, it is 0.
    pub insert_id_of: Option<Mark>,
    /// What its pool runs on each new backend, and behind each reset; empty for nothing.
    pub init_query: Arc<str>,
    /// The last statement left warnings or failed: others must not be shown that.
    pub is_warned: bool,
    /// Nothing of ours ran since the last statement, which would have changed the counts that it left.
    pub has_counts: bool,
    /// What kind of a statement the client's is that is under way.
    pub kind: Kind,
    /// Conditions that its client's statement left, as they come.
    pub captured: Captured,
    /// What the client reads in place of the rows of the answer under way.
    pub standing: Option<Standing>,
    /// Statements that it has.
    pub prepared: PreparedOn,
    /// The label's `wait_timeout` was taken off.
    pub waits_as_usual: bool,
    /// Its session keeps it across boundaries.
    pub pinned: bool,
    /// The answer to a command of ours is awaited before the client's bytes are sent.
    pub holding: bool,
    /// Who its server is.
    pub server: Server,
    /// When the client's command under way came.
    pub asked_at: Instant,
    /// The text of the client's command under way and how it is read, for people, where it may have to be told.
    pub shape_text: Option<(Box<[u8]>, Dialect)>,
    /// What is to be asked, or is, of the client's settings.
    pub reading_back: ReadingBack,
    /// Code failed that may have changed the session: that is told with the next OK packet (MySQL), whatever that answers.
    pub is_report_due: bool,
    /// What is being prepared for the client.
    pub preparing: Option<(Statement, Arc<[Said]>)>,
    /// The client's command makes the connection new.
    pub resets: bool,
    /// The client's statement that is being executed.
    pub executing: Option<u32>,
    /// The client was answered by us: the backend may have nothing more to do.
    pub may_part: bool,
    /// What the packet under way is part of passes to the client.
    pub passes: bool,
    /// What is the answer to the client's command, which must not be sent.
    pub give_error: Option<Box<[u8]>>,
}

/// What a pool's connections begin with and `COM_RESET_CONNECTION` may not bring back: the operator's query has run on them, if there
/// is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beginning {
    /// `character_set_client`.
    pub client: Box<str>,
    /// `collation_connection`.
    pub connection: Box<str>,
    /// `character_set_results`; NULL is none.
    pub results: Option<Box<str>>,
    /// `sql_mode`.
    pub sql_mode: Box<str>,
    /// The roles in force, as SQL writes them.
    pub role: Box<str>,
    /// Those of them, by their variables, that `DEFAULT` does not bring back: the values that it does give.
    pub globals: Map,
    /// How texts are read by it.
    pub modes: Modes,
    /// How texts are read by `client`.
    pub charset: Charset,
}

impl Beginning {
    /// Its character sets, by their variables.
    pub fn charsets(&self) -> [(&'static str, Value); 3] {
        let quoted = |text: &str| Value::Sql(format!("'{text}'").into());
        let results = self.results.as_deref();
        [
            ("character_set_client", quoted(&self.client)),
            ("collation_connection", quoted(&self.connection)),
            (
                "character_set_results",
                results.map_or(Value::Sql("NULL".into()), quoted),
            ),
        ]
    }
}

/// What a session has after a `COM_RESET_CONNECTION` of its own.
#[derive(Debug, Default)]
pub struct AfterReset {
    /// Settings in which it differs from a new session.
    pub settings: Map,
    /// Its status.
    pub status: Status,
}

/// Who may have changed a backend in ways that its label does not show. Only a session's latest mark is good for that session: when it
/// has changed another backend since, what it left on this one is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The session.
    pub session: u64,
    /// Marks that it has made.
    pub count: u32,
}

impl Mark {
    /// Nobody knows what the backend holds.
    pub const NOBODY: Mark = Mark {
        session: 0,
        count: 0,
    };
}

/// How far a database connection has come.
pub enum Stage {
    /// It logs in, carries a request to kill, or only listens to the greeting.
    Login(Box<BackendLogin>),
    /// It serves.
    Ready,
}
