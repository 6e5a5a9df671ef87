//! What belongs to one client from accept to close. Small, because most clients are idle most of the time: whatever is only needed
//! while a backend works for it lives in that backend.

use crate::backend::{AfterReset, Backend, Mark};
use crate::client_login::{Admitted, ClientLogin, Entrance};
use crate::left_behind::LeftBehind;
use crate::login_cache::Work;
use crate::sql::{Name, Statement};
use crate::statements::Prepared;
use crate::wire::capability::Capabilities;
use crate::wire::reply::OkPacket;
use crate::wire::status::Status;
use forebay_core::Pins;
use forebay_core::orders::{Order, Orders};
use forebay_core::settings::Settings;
use forebay_core::snapshot::SessionRules;
use forebay_core::{PinReason, StatementShape};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

/// One client.
pub struct Session {
    /// How far it has come.
    pub stage: Stage,
    /// Never used twice in this process.
    pub id: u64,
    /// The number that its greeting showed, by which it can be killed.
    pub process: u32,
    /// Its user; empty before its login.
    pub user: Box<str>,
    /// What it agreed on, and its backends with it.
    pub capabilities: Capabilities,
    /// Its settings, its database among them.
    pub settings: Arc<Settings>,
    /// The status that it was last told, outside of transactions.
    pub status: Status,
    /// What a `COM_RESET_CONNECTION` of its own gives it; known when it has had a backend.
    pub after_reset: Option<Arc<AfterReset>>,
    /// Its prepared statements.
    pub prepared: Prepared,
    /// Why it keeps its backend.
    pub pins: Pins,
    /// Why, as it was told.
    pub pin_told: Option<PinReason>,
    /// The statement that began it, until it is told.
    pub pin_said: Option<Box<StatementShape>>,
    /// Backends that it has marked so far.
    pub marks: u32,
    /// What its last statement left for the next one to ask for.
    pub left: LeftBehind,
    /// What `LAST_INSERT_ID()` would say, where a statement of its own has changed it.
    pub last_insert_id: Option<u64>,
    /// How often that has changed; never begins anew.
    pub insert_ids: u32,
    /// Its connection is compressed.
    pub is_compressed: bool,
    /// It has been sent the beginning of a packet, and waits for the rest.
    pub is_midway: bool,
    /// The number of its next packet, where it is not the first of a command.
    pub sequence: u8,
    /// What it may share, and what keeps it from that.
    pub rules: Arc<SessionRules>,
    /// What its connection calls itself (`program_name`).
    pub program: Option<Box<str>>,
    /// How it came in, for when it logs in anew.
    pub entrance: Option<Box<Entrance>>,
    /// It reads what statements leave behind.
    pub reads_left_behind: bool,
    /// It reads `LAST_INSERT_ID()`.
    pub reads_insert_ids: bool,
    /// It wants to be told that something of it has changed.
    pub tracks: bool,
    /// The connection that it is killing.
    pub killing: Option<u64>,
    /// A transaction has begun since it set something for one alone.
    pub one_shot_began: bool,
    /// It has set something for one alone, and nothing else since.
    pub one_shot_waits: bool,
    /// How many seconds it may be silent, as it was told.
    pub idle_limit: Option<NonZeroU32>,
    /// Statements that it has run.
    pub turns: u32,
    /// How often it has sent other parameter types than before; never begins anew.
    pub types_sent: u32,
    /// What its pins are about; no memory while there is nothing.
    held: Option<Box<Held>>,
}

/// What a session holds that ends one by one.
#[derive(Debug, Default)]
pub struct Held {
    /// Temporary tables.
    pub temporary: HashSet<Name>,
    /// Tables open by HANDLER.
    pub handlers: HashSet<Name>,
    /// Statements that SQL gave names.
    pub prepared: HashMap<String, Statement>,
    /// Statements with a cursor, or with parameters that were sent ahead.
    pub cursors: HashSet<u32>,
}

impl Session {
    /// What the statement does that SQL gave this name.
    pub fn named(&self, name: &str) -> Option<Statement> {
        self.held.as_ref()?.prepared.get(name).cloned()
    }

    /// What its pins are about.
    pub fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    /// The statement has a cursor, or parameters that were sent ahead.
    pub fn add_cursor(&mut self, id: u32) {
        self.held().cursors.insert(id);
    }

    /// It has none any more. Whether it had.
    pub fn remove_cursor(&mut self, id: u32) -> bool {
        let Some(held) = &mut self.held else {
            return false;
        };
        let removed = held.cursors.remove(&id);
        if removed && held.cursors.is_empty() {
            self.pins.remove(PinReason::Cursor);
        }
        removed
    }

    /// What a reset of the connection takes away, besides settings.
    pub fn forget(&mut self) {
        self.prepared.clear();
        self.pins = Pins::default();
        self.held = None;
        self.last_insert_id = None;
        self.insert_ids = self.insert_ids.wrapping_add(1);
        self.left = LeftBehind::default();
        self.reads_left_behind = false;
        self.tracks = false;
        self.one_shot_began = false;
        self.one_shot_waits = false;
    }
}

impl Session {
    /// A client that has just connected.
    pub fn new(
        id: u64,
        process: u32,
        login: ClientLogin,
        empty: &Arc<Settings>,
        rules: Arc<SessionRules>,
    ) -> Session {
        Session {
            stage: Stage::Login(Box::new(login)),
            id,
            process,
            user: Box::default(),
            capabilities: Capabilities::NONE,
            settings: Arc::clone(empty),
            status: Status::AUTOCOMMIT,
            after_reset: None,
            prepared: Prepared::default(),
            pins: Pins::default(),
            pin_told: None,
            pin_said: None,
            marks: 0,
            left: LeftBehind::default(),
            last_insert_id: None,
            insert_ids: 0,
            is_compressed: false,
            is_midway: false,
            sequence: 0,
            rules,
            program: None,
            entrance: None,
            reads_left_behind: false,
            reads_insert_ids: false,
            tracks: false,
            killing: None,
            one_shot_began: false,
            one_shot_waits: false,
            idle_limit: None,
            turns: 0,
            types_sent: 0,
            held: None,
        }
    }

    /// It has sent a command: whatever is said from here on answers that.
    pub fn begin(&mut self, orders: &mut Orders<Work>) {
        self.sequence = 1;
        if self.is_compressed {
            orders.push(Order::Answer);
        }
    }

    /// Answers its command with an OK packet of ours.
    pub fn write_ok(&self, status: Status, orders: &mut Orders<Work>) {
        let ok = OkPacket {
            status,
            ..OkPacket::default()
        };
        orders.to_client(|out| {
            ok.write(out, 1, self.capabilities);
        });
    }

    /// The mark of the backends where `LAST_INSERT_ID()` is what it is to the session now.
    pub fn insert_id_mark(&self) -> Mark {
        Mark {
            session: self.id,
            count: self.insert_ids,
        }
    }

    /// The mark of the backend that it last changed in ways that only the server knows.
    pub fn mark(&self) -> Mark {
        Mark {
            session: self.id,
            count: self.marks,
        }
    }

    /// It may change this backend in ways that only the server knows.
    pub fn suspect(&mut self, backend: &mut Backend) {
        if backend.suspect == Some(self.mark()) {
            return;
        }
        self.marks = self.marks.wrapping_add(1);
        backend.suspect = Some(self.mark());
    }
}

/// How far a client has come.
pub enum Stage {
    /// It proves who it is.
    Login(Box<ClientLogin>),
    /// It is known; the database that it named is being tried on a backend.
    Admission(Box<Admitted>),
    /// It is served.
    Ready,
    /// It was told no and hears nothing more.
    Over,
}
