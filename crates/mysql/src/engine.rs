//! MySQL's side of the engine contract: which machine a fact concerns, and what happens where two of them meet (admission, lease,
//! farewell).

use crate::backend::{self, AfterReset, Backend, Mark};
use crate::backend_login::BackendLogin;
use crate::client_login::{Admitted, ClientLogin};
use crate::errors;
use crate::exchange::{Exchange, Shape, Whose};
use crate::from_backend::{FromBackend, boundary};
use crate::from_client::FromClient;
use crate::left_behind::{Captured, Kind};
use crate::login_cache::{self, Done, LoginCache, Work};
use crate::parting;
use crate::reading_back::ReadingBack;
use crate::server::{Family, Server};
use crate::session::{Session, Stage};
use crate::statements::{DATABASE, PreparedOn, ROLE};
use crate::tracking::{self, Replay, There};
use crate::unleased;
use crate::wire::capability::Capabilities;
use crate::wire::compression::{Compressed, Workbench};
use crate::wire::reply::{ErrorPacket, OkPacket};
use crate::wire::status::Status;
use crate::wire::tracker::Change;
use crate::wire::{self, HEADER_BYTES, command, write};
use forebay_core::engine::{
    BackendFacts, ClientFacts, Engine, Farewell, Household, Purpose, TlsFacts,
};
use forebay_core::notification::{Notification, Round};
use forebay_core::orders::{CancelKey, Order, Orders};
use forebay_core::sessions::{SessionFacts, SessionState};
use forebay_core::settings::{Interner, Map, Value};
use forebay_core::{Instant, Refusal};
use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::Arc;

/// The engine of MySQL and MariaDB.
#[derive(Debug)]
pub struct Mysql;

/// What one worker keeps for all its sessions and backends.
pub struct Shared {
    /// Settings in use.
    pub settings: Interner,
    /// Names prepared statements; the same on all workers.
    pub hasher: RandomState,
    /// What logins take long to make.
    pub logins: LoginCache,
    /// What compressed connections are packed and unpacked with.
    pub workbench: Workbench,
}

/// The login is complete.
fn welcome(
    workbench: &Workbench,
    session: &mut Session,
    admitted: &Admitted,
    orders: &mut Orders<Work>,
) {
    let ok = OkPacket {
        status: session.status,
        info: admitted
            .certificate_proof
            .as_ref()
            .map_or(b"", |it| &it[..]),
        ..OkPacket::default()
    };
    // Servers tell the database there.
    let mut block = Vec::new();
    if let Some(database) = &admitted.database {
        Change::Schema(database.as_bytes()).write(&mut block);
    }
    let ok = ok.with_changes(&block);
    let capabilities = session.capabilities;
    orders.to_client(|out| {
        ok.write(out, admitted.sequence, capabilities);
    });
    session.stage = Stage::Ready;
    session.sequence = 0;
    if let Some(compression) = admitted.compression {
        session.is_compressed = true;
        let frames = Compressed::new(compression, workbench);
        orders.push(Order::Frame(Box::new(frames)));
    }
    orders.push(Order::ClientReady);
}

/// `COM_CHANGE_USER`: a login on a connection that has had one, whose session and backend are no more.
pub fn change_user(
    shared: &mut Shared,
    session: &mut Session,
    payload: &[u8],
    orders: &mut Orders<Work>,
) {
    let Some(entrance) = session.entrance.take() else {
        return orders.push(Order::Bug("a client changes its user before it has one"));
    };
    session.turns = session.turns.wrapping_add(1);
    session.forget();
    session.marks = session.marks.wrapping_add(1);
    // It may begin otherwise, and have other backends.
    let after = session.after_reset.take();
    session.status = after.map_or(Status::AUTOCOMMIT, |after| after.status);
    session.settings = shared.settings.empty();
    parting::tell_limit(session, orders);
    let entropy = shared.logins.entropy(session.id, session.turns);
    let mut login = ClientLogin::again(*entrance, entropy);
    session.user = Box::default();
    login.on_change_user(&shared.logins, payload, orders);
    session.stage = Stage::Login(Box::new(login));
}

/// The database that a client named was chosen on this backend, or refused.
pub fn finish_admission(
    workbench: &Workbench,
    session: &mut Session,
    backend: &mut Backend,
    orders: &mut Orders<Work>,
) {
    let Stage::Admission(admitted) = &session.stage else {
        return;
    };
    let sequence = admitted.sequence;
    if let Some(error) = backend.give_error.take() {
        session.stage = Stage::Over;
        orders.to_client(|out| {
            write::packet(out, sequence, |out| out.extend_from_slice(&error));
        });
        // What the backend has chosen is what it had chosen before, whatever that was.
        backend.suspect = Some(Mark::NOBODY);
        let refusal = match ErrorPacket::read(&error) {
            Ok(error) => {
                let message = String::from_utf8_lossy(error.message);
                errors::target_refused(error.code, message.as_ref().into())
            }
            Err(error) => Refusal::ProtocolViolation(error.as_str()),
        };
        return orders.refuse(refusal);
    }
    let admitted = admitted.clone();
    welcome(workbench, session, &admitted, orders);
    boundary(Some(session), backend, orders);
}

/// Sends roles, a database and a SET that go ahead of something.
pub fn send(replay: &Replay, exchange: &mut Exchange, orders: &mut Orders<Work>) {
    if let Some(role) = &replay.role {
        let text = format!("SET ROLE {role}");
        orders.to_backend(|out| write::query(out, text.as_bytes()));
        exchange.push(Whose::Replay, Shape::Simple);
    }
    // A name is read in the character set of the connection, which the SET may have to change first. It goes behind otherwise: choosing a
    // database sets what belongs to that.
    let is_ascii = replay.database.as_ref().is_none_or(|name| name.is_ascii());
    if is_ascii {
        send_database(replay, exchange, orders);
    }
    if let Some(set) = &replay.set {
        orders.to_backend(|out| write::query(out, set.as_bytes()));
        exchange.push(Whose::Replay, Shape::Simple);
    }
    if !is_ascii {
        send_database(replay, exchange, orders);
    }
}

fn send_database(replay: &Replay, exchange: &mut Exchange, orders: &mut Orders<Work>) {
    if let Some(database) = &replay.database {
        orders.to_backend(|out| write::command(out, command::INIT_DB, database.as_bytes()));
        exchange.push(Whose::Database, Shape::Simple);
    }
}

/// Sends the difference between what the backend holds and what the session wants, ahead of everything else.
fn replay(session: &Session, backend: &mut Backend, orders: &mut Orders<Work>) {
    let in_doubt = backend.suspect.is_some_and(|mark| mark != session.mark());
    if !in_doubt && !backend.waits_as_usual && Arc::ptr_eq(&backend.label, &session.settings) {
        return;
    }
    let replay = tracking::replay(
        &There {
            map: &parting::held(backend),
            in_doubt,
            beginning: &backend.beginning,
            has_init_query: !backend.init_query.is_empty(),
            tracks: backend.capabilities.has(Capabilities::SESSION_TRACK),
            stays: false,
            resets_charsets: backend.server.family == Family::MariaDb,
        },
        session.settings.map(),
    );
    backend.label = Arc::clone(&session.settings);
    backend.waits_as_usual = false;
    if replay.is_empty() {
        return;
    }
    // What the statement before left behind is not there any more.
    backend.last = None;
    if replay.resets {
        backend.suspect = None;
        backend.insert_id_of = None;
        backend.prepared.clear();
        let init_query = Arc::clone(&backend.init_query);
        orders.to_backend(|out| write::command(out, command::RESET_CONNECTION, b""));
        backend.exchange.push(Whose::Reset, Shape::Simple);
        if !init_query.is_empty() {
            orders.to_backend(|out| write::query(out, init_query.as_bytes()));
            backend.exchange.push(Whose::Reset, Shape::Results);
        }
    }
    send(&replay, &mut backend.exchange, orders);
    // Whether a database or a role is still there is not known: what the client asks must not be done elsewhere, or as another.
    backend.holding |= replay.database.is_some() || session.settings.map().contains_key(ROLE);
    orders.push(Order::Replayed);
}

impl Engine for Mysql {
    type Session = Session;
    type Backend = Backend;
    type Shared = Shared;
    type Work = Work;
    type Done = Done;

    fn shared(household: Household) -> Shared {
        Shared {
            settings: Interner::new(household.hasher.clone()),
            hasher: household.hasher,
            logins: LoginCache::new(household.secret),
            workbench: Workbench::default(),
        }
    }

    fn session(shared: &mut Shared, facts: ClientFacts, orders: &mut Orders<Work>) -> Session {
        let rules = Arc::clone(&facts.proxy.target_group.rules);
        let (id, process) = (facts.session, facts.process);
        let login = ClientLogin::new(facts, orders);
        Session::new(id, process, login, &shared.settings.empty(), rules)
    }

    fn on_learned(
        _: &mut Shared,
        session: &mut Session,
        said: &Arc<[u8]>,
        orders: &mut Orders<Work>,
    ) {
        if let Stage::Login(login) = &mut session.stage {
            login.on_learned(said, orders);
        }
    }

    fn on_client_tls(session: &mut Session, facts: &TlsFacts, orders: &mut Orders<Work>) {
        if let Stage::Login(login) = &mut session.stage {
            login.on_tls(facts, orders);
        }
    }

    fn on_client_bytes(
        shared: &mut Shared,
        session: &mut Session,
        backend: Option<&mut Backend>,
        now: Instant,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) {
        match (&mut session.stage, backend) {
            (Stage::Login(login), _) => login.on_bytes(&shared.logins, input, orders),
            // Nothing is due from the client before it was told that it may begin.
            (Stage::Admission(_) | Stage::Over, _) => orders.push(Order::Pause),
            (Stage::Ready, None) => {
                unleased::on_bytes(shared, session, input, orders);
            }
            (Stage::Ready, Some(backend)) => {
                FromClient {
                    shared,
                    session,
                    backend,
                    now,
                    orders,
                    kind: 0,
                }
                .run(input);
                // While anything of ours is under way, that calls for the boundary when it ends.
                if backend.may_part && backend.exchange.is_empty() && !backend.holding {
                    backend.may_part = false;
                    boundary(Some(session), backend, orders);
                }
            }
        }
    }

    fn on_pool(shared: &mut Shared, session: &mut Session, _: u64, orders: &mut Orders<Work>) {
        let Stage::Login(login) = std::mem::replace(&mut session.stage, Stage::Over) else {
            return;
        };
        let Some(admitted) = login.into_admitted() else {
            return orders.push(Order::Bug(
                "a client was admitted before it had proven itself",
            ));
        };
        session.user.clone_from(&admitted.user);
        session.capabilities = admitted.capabilities;
        session.program.clone_from(&admitted.program);
        session.entrance = Some(Box::new(admitted.entrance.clone()));
        let Some(database) = &admitted.database else {
            return welcome(&shared.workbench, session, &admitted, orders);
        };
        let value = Value::Literal(database.clone());
        let map = Map::from([(DATABASE.into(), value)]);
        session.settings = shared.settings.intern(map);
        session.stage = Stage::Admission(Box::new(admitted));
        orders.push(Order::Lease);
    }

    /// A session without a database must not find itself in another's: there is no way out of one.
    fn suits(session: &Session, backend: &Backend, _: &[u8]) -> bool {
        session.settings.map().contains_key(DATABASE) || !backend.label.map().contains_key(DATABASE)
    }

    /// A session finds what it left behind where it was last, unless another has been there since.
    fn prefers(session: &Session, backend: &Backend, input: &[u8]) -> bool {
        let has_home = session.marks > 0 || session.reads_left_behind || session.reads_insert_ids;
        let is_home = backend.last == session.left.mark && backend.last.is_some();
        Self::suits(session, backend, input) && (is_home || !has_home)
    }

    fn on_leased(
        shared: &mut Shared,
        session: &mut Session,
        backend: &mut Backend,
        _: Instant,
        orders: &mut Orders<Work>,
    ) {
        if session.after_reset.is_none() {
            session.after_reset = Some(Arc::clone(&backend.after_reset));
        } else {
            // Until it is told: what is answered ahead of that is the session's own.
            backend.exchange.status = session.status;
        }
        backend.is_report_due = false;
        replay(session, backend, orders);
        if backend.exchange.is_empty() {
            finish_admission(&shared.workbench, session, backend, orders);
        }
    }

    fn on_backend_bytes(
        shared: &mut Shared,
        backend: &mut Backend,
        session: Option<&mut Session>,
        _: Instant,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) {
        match &mut backend.stage {
            backend::Stage::Login(login) => {
                if login.on_bytes(input, orders) {
                    log_in(backend);
                }
            }
            backend::Stage::Ready => FromBackend {
                shared,
                backend,
                session,
                orders,
            }
            .run(input),
        }
    }

    fn on_client_gone(backend: &mut Backend, orders: &mut Orders<Work>) -> Farewell {
        backend.holding = false;
        backend.give_error = None;
        backend.preparing = None;
        backend.reading_back = ReadingBack::default();
        backend.standing = None;
        let exchange = &mut backend.exchange;
        // The rest of a message that the server knows nothing of.
        exchange.from_client.take_if(|passing| passing.is_ignored);
        if !matches!(backend.stage, backend::Stage::Ready) || backend.pinned {
            return match exchange.is_empty() {
                true => Farewell::Close,
                false => Farewell::CancelAndClose,
            };
        }
        if exchange.is_clean() {
            return Farewell::Clean;
        }
        if !exchange.is_empty() {
            return Farewell::CancelAndClose;
        }
        if exchange.from_client.is_some() || exchange.from_backend_left > 0 {
            return Farewell::Close;
        }
        // A transaction is open and nothing is under way.
        roll_back(exchange, orders);
        Farewell::Cleaning
    }

    fn on_refused(session: &mut Session, refusal: &Refusal, orders: &mut Orders<Work>) {
        let sequence = match &session.stage {
            Stage::Login(login) => login.sequence(),
            Stage::Admission(admitted) => admitted.sequence,
            // Within a packet there is no place for an error.
            Stage::Ready if session.is_midway => return,
            Stage::Ready => session.sequence,
            Stage::Over => return,
        };
        if session.is_compressed && sequence <= 1 {
            // Nothing of an answer has gone out: what is told stands for it, or is found in its place.
            orders.push(Order::Answer);
        }
        orders.to_client(|out| errors::write(refusal, sequence, out));
    }

    fn has_whole_request(session: &Session, input: &[u8]) -> bool {
        matches!(session.stage, Stage::Ready) && first_command(input).is_some()
    }

    fn on_lease_refused(
        session: &mut Session,
        refusal: &Refusal,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) -> bool {
        let (Stage::Ready, Some(len)) = (&session.stage, first_command(input)) else {
            return false;
        };
        orders.swallow(len);
        if command::has_answer(input[HEADER_BYTES]) {
            orders.to_client(|out| errors::write(refusal, 1, out));
        }
        session.sequence = 0;
        true
    }

    fn backend(shared: &mut Shared, facts: BackendFacts, _: &mut Orders<Work>) -> Backend {
        let empty = shared.settings.empty();
        Backend {
            stage: backend::Stage::Login(Box::new(BackendLogin::new(facts))),
            capabilities: Capabilities::NONE,
            process: 0,
            exchange: Exchange::default(),
            said: VecDeque::new(),
            label: empty,
            beginning: backend::Beginning::default(),
            after_reset: Arc::default(),
            suspect: None,
            last: None,
            insert_id_of: None,
            is_warned: false,
            has_counts: false,
            kind: Kind::default(),
            captured: Captured::default(),
            standing: None,
            init_query: "".into(),
            prepared: PreparedOn::default(),
            waits_as_usual: false,
            pinned: false,
            holding: false,
            server: Server::default(),
            asked_at: Instant::ZERO,
            shape_text: None,
            reading_back: ReadingBack::default(),
            is_report_due: false,
            preparing: None,
            resets: false,
            executing: None,
            may_part: false,
            passes: false,
            give_error: None,
        }
    }

    fn on_backend_tls(backend: &mut Backend, facts: &TlsFacts, orders: &mut Orders<Work>) {
        if let backend::Stage::Login(login) = &mut backend.stage {
            login.on_tls(facts, orders);
        }
    }

    /// Never: the server says its version first.
    fn is_version_in_doubt(_: &Backend) -> bool {
        false
    }

    fn on_backend_closing(backend: &mut Backend, orders: &mut Orders<Work>) {
        if matches!(backend.stage, backend::Stage::Ready) && backend.exchange.is_empty() {
            orders.to_backend(|out| write::command(out, command::QUIT, b""));
        }
    }

    fn work(work: Work) -> Done {
        login_cache::work(work)
    }

    fn on_client_work(
        shared: &mut Shared,
        session: &mut Session,
        done: Done,
        orders: &mut Orders<Work>,
    ) {
        shared.logins.learn(&done);
        if let Stage::Login(login) = &mut session.stage {
            login.on_work(&done, &shared.logins, orders);
        }
    }

    fn on_backend_work(
        _: &mut Shared,
        backend: &mut Backend,
        done: Done,
        orders: &mut Orders<Work>,
    ) {
        if let backend::Stage::Login(login) = &mut backend.stage {
            login.on_work(done, orders);
        }
    }

    fn is_clean(backend: &Backend) -> bool {
        matches!(backend.stage, backend::Stage::Ready)
            && backend.exchange.is_clean()
            && !backend.holding
            && !backend.pinned
            && backend.give_error.is_none()
    }

    fn in_transaction(backend: &Backend) -> bool {
        backend.exchange.in_transaction()
    }

    fn backend_label(backend: &Backend) -> u64 {
        match backend.suspect {
            Some(_) => 0,
            None => backend.label.label(),
        }
    }

    fn session_label(session: &Session) -> u64 {
        session.settings.label()
    }

    fn is_idle(_: &Session, backend: Option<&Backend>) -> bool {
        backend.is_none_or(|backend| backend.exchange.is_clean())
    }

    fn describe(session: &Session, backend: Option<&Backend>) -> SessionFacts {
        let state = match backend.map(|backend| &backend.exchange) {
            None => SessionState::Idle,
            Some(exchange) if !exchange.is_empty() => SessionState::Active,
            Some(exchange) if exchange.in_transaction() => SessionState::InTransaction,
            Some(_) => SessionState::Idle,
        };
        SessionFacts {
            application: session.program.clone(),
            state,
            process: backend.map_or(0, |backend| backend.process),
        }
    }

    /// One's own sessions may be ended without a privilege (MySQL documentation, "KILL Statement").
    fn cancels(session: &Session, key: &CancelKey) -> bool {
        session.process == key.process
            && !session.user.is_empty()
            && session.user.as_bytes() == key.secret
    }

    fn on_cancelled(
        session: &mut Session,
        backend: Option<&mut Backend>,
        found: bool,
        orders: &mut Orders<Work>,
    ) {
        let Some(number) = session.killing.take() else {
            return;
        };
        match found {
            true => session.write_ok(session.status, orders),
            // ER_NO_SUCH_THREAD
            false => orders.to_client(|out| {
                let message = format!("Unknown thread id: {number}");
                ErrorPacket {
                    code: 1094,
                    state: Some(*b"HY000"),
                    message: message.as_bytes(),
                }
                .write(out, 1);
            }),
        }
        session.sequence = 0;
        if let Some(backend) = backend {
            boundary(Some(session), backend, orders);
        }
    }

    fn is_preparing(backend: &Backend) -> bool {
        let front = backend.exchange.front();
        front.is_some_and(|due| due.whose != Whose::Client)
    }

    fn cancel(backend: &Backend) -> Option<Purpose> {
        (!backend.exchange.is_empty()).then_some(Purpose::Cancel {
            process: backend.process,
            secret: Vec::new(),
        })
    }

    /// Nothing: the family has no channels to listen on.
    fn on_subscribed(_: &mut Session, _: u32, _: Result<(), &Refusal>, _: &mut Orders<Work>) {}

    fn on_notification(_: &mut Session, _: &Arc<Notification>) -> Result<(), Refusal> {
        Ok(())
    }

    fn deliver(_: &mut Session, _: Option<&Backend>, _: &mut Orders<Work>) {}

    fn is_listening(_: &Session) -> bool {
        false
    }

    fn listen(_: &mut Backend, _: &Round, orders: &mut Orders<Work>) {
        orders.push(Order::Bug("a connection of MySQL's was to listen"));
    }

    fn on_backend_moved_in(shared: &mut Shared, backend: &mut Backend) {
        backend.label = shared.settings.intern(backend.label.map().clone());
    }
}

/// What a vanished client left open is rolled back.
pub fn roll_back(exchange: &mut Exchange, orders: &mut Orders<Work>) {
    exchange.push(Whose::Rollback, Shape::Simple);
    orders.to_backend(|out| write::query(out, b"ROLLBACK"));
}

/// The length of the command at the start of what a client sent, if it is whole.
fn first_command(input: &[u8]) -> Option<usize> {
    let message = wire::message(input).ok()?.ok()?;
    (message.bytes.len() > HEADER_BYTES).then_some(message.bytes.len())
}

/// The backend's login is over.
fn log_in(backend: &mut Backend) {
    let backend::Stage::Login(login) = std::mem::replace(&mut backend.stage, backend::Stage::Ready)
    else {
        return;
    };
    let learned = login.into_logged_in();
    backend.capabilities = learned.capabilities;
    backend.process = learned.process;
    backend.server = learned.server.unwrap_or_default();
    // MariaDB brings back what the handshake chose, but for IGNORE_SPACE; MySQL that alone.
    let keeps_space = learned.capabilities.has(Capabilities::IGNORE_SPACE);
    let is_back = |name: &str| match (backend.server.family, name) {
        (Family::MariaDb, name) => name != "sql_mode",
        (Family::MySql, "sql_mode") => keeps_space,
        (Family::MySql, _) => false,
    };
    let globals = learned.beginning.globals.iter();
    let mut settings: Map = globals
        .filter(|(name, _)| !is_back(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if settings.keys().any(|name| &**name != "sql_mode") {
        // Set together they are what the server's own are, with the collation that results have by them.
        for (name, value) in learned.beginning.charsets() {
            settings.entry(name.into()).or_insert(value);
        }
    }
    backend.after_reset = Arc::new(AfterReset {
        settings,
        status: learned.status,
    });
    backend.beginning = learned.beginning;
    backend.init_query = learned.init_query;
    backend.exchange.status = learned.status;
}
