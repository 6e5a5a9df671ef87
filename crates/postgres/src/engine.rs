//! PostgreSQL's side of the engine contract: which machine a fact concerns, and what happens where two of them meet (admission,
//! lease, farewell).

use crate::backend::{self, Backend, Calling, PreparedOn};
use crate::backend_login::BackendLogin;
use crate::client_login::{ClientLogin, NO_STARTUP};
use crate::customs;
use crate::errors;
use crate::exchange::{Awaits, Exchange, Expect, Segment};
use crate::from_backend::{FromBackend, tell_reports};
use crate::from_client::FromClient;
use crate::listening::{self, Listening};
use crate::login_cache::{self, Done, LoginCache, Work};
use crate::parting;
use crate::pinning;
use crate::plain_names::PlainNames;
use crate::probe::Verdicts;
use crate::relay;
use crate::reports::{self, ReportInterner, Reports};
use crate::sequences::{self, Sequences};
use crate::session::{Admitting, Prepared, Session, Stage};
use crate::statements::Statements;
use crate::temporary;
use crate::tracking::{self, There, Tracker};
use crate::unleased;
use crate::welcome::welcome;
use crate::wire::{self, write};
use forebay_core::Pins;
use forebay_core::engine::{
    BackendFacts, ClientFacts, Engine, Farewell, Household, Purpose, TlsFacts,
};
use forebay_core::notification::{Notification, Round};
use forebay_core::orders::{CancelKey, Order, Orders};
use forebay_core::sessions::{SessionFacts, SessionState};
use forebay_core::settings::{Interner, Map, Value};
use forebay_core::{CloseReason, Instant, PinReason, Refusal};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// The PostgreSQL engine.
#[derive(Debug)]
pub struct Postgres;

/// What one worker keeps for all PostgreSQL sessions and backends.
#[derive(Debug)]
pub struct Shared {
    /// Settings in use.
    pub settings: Interner,
    /// Reported settings in use.
    pub reports: ReportInterner,
    /// Prepared statements in use.
    pub statements: Statements,
    /// What statements were seen to do whose text does not tell.
    pub verdicts: Verdicts,
    /// Keys derived from passwords.
    pub logins: LoginCache,
    /// What clients of a pool are told at login, by pool and label of their startup settings.
    welcomes: HashMap<(u64, u64), Arc<Reports>>,
}

/// The empty statement that guards what is sent ahead of a client's messages; it is there for as long as that.
const GUARD: &str = "fb_guard";

/// Different combinations of pool and startup settings that are remembered.
const WELCOMES_MAX: usize = 4096;

fn map_of(settings: &[(String, String)]) -> Map {
    settings
        .iter()
        .map(|(name, value)| (name.as_str().into(), Value::Literal(value.as_str().into())))
        .collect()
}

/// The proxy and the targets that a client came to.
fn home(facts: &ClientFacts) -> impl Hash {
    let targets = facts.proxy.target_group.targets.iter();
    let targets: Vec<_> = targets
        .map(|target| (Arc::clone(&target.host), target.port))
        .collect();
    (facts.proxy.name.clone(), targets)
}

/// The startup settings are in force on this backend, which now tells what clients that have them must hear. Whether session and backend
/// have parted with that.
pub fn finish_admission(
    shared: &mut Shared,
    session: &mut Session,
    backend: &mut Backend,
    orders: &mut Orders<Work>,
) -> bool {
    let reports = Arc::clone(&backend.reports);
    if let Stage::Admission(admitting) = &session.stage
        && session.pins.is_empty()
    {
        if shared.welcomes.len() >= WELCOMES_MAX {
            shared.welcomes.clear();
        }
        let key = (admitting.pool, session.tracker.committed().label());
        shared.welcomes.insert(key, Arc::clone(&reports));
    }
    welcome(session, &reports, orders);
    session.pins.is_empty()
        && backend.exchange.is_clean()
        && parting::part(backend, &mut shared.settings, orders)
}

/// Sends the difference between what the backend holds and what the session wants, ahead of everything else.
fn replay(
    shared: &mut Shared,
    session: &Session,
    backend: &mut Backend,
    orders: &mut Orders<Work>,
) -> bool {
    let wanted = session.tracker.committed();
    let in_doubt = backend.suspect.is_some_and(|mark| mark != session.mark());
    let lacks = customs::lacking(session, &backend.customs);
    if !in_doubt && lacks.is_empty() && Arc::ptr_eq(&backend.label, wanted) {
        return false;
    }
    let there = There {
        settings: &backend.label,
        in_doubt,
        init_query: &backend.init_query,
        reads_utf8: reports::reads_utf8(&backend.reports),
        lacks: &lacks,
    };
    let replay = tracking::replay(there, wanted);
    let hurried = is_hurried(backend.label.map()) || is_hurried(wanted.map());
    backend.label = Arc::clone(wanted);
    let names = customs::among(wanted.map()).chain(lacks);
    backend.note_customs(names, &mut shared.settings);
    if in_doubt {
        backend.suspect = None;
    }
    if replay.queries.is_empty() && replay.attempts.is_empty() {
        return false;
    }
    backend.unnamed = None;
    backend.holding = replay.wait || hurried || matches!(session.stage, Stage::Admission(_));
    match replay.queries.as_slice() {
        [query] if !backend.holding => guarded(query, backend, orders),
        queries => {
            backend.holding = true;
            for query in queries {
                backend.exchange.push(Expect::Replay);
                orders.to_backend(|out| write::query(out, query.as_bytes()));
            }
        }
    }
    for query in replay.attempts {
        backend.exchange.push(Expect::Attempt);
        orders.to_backend(|out| write::query(out, query.as_bytes()));
    }
    orders.push(Order::Replayed);
    true
}

/// Bounds of a statement's time below which nothing is sent along with the client's message: the server measures from the first message of
/// ours, by the bound that it finds.
const HURRIED_BELOW: Duration = Duration::from_secs(5);

fn is_hurried(settings: &Map) -> bool {
    ["statement_timeout", "transaction_timeout"]
        .iter()
        .filter_map(|name| parting::limit(settings.get(*name)?))
        .any(|limit| limit < HURRIED_BELOW)
}

/// Sends a query of ours, and behind it what makes the server skip the client's messages should it fail: a Parse of a name that is
/// taken unless the query was run to its end. An error in the extended protocol has everything skipped up to a Sync, a Query as well.
fn guarded(query: &str, backend: &mut Backend, orders: &mut Orders<Work>) {
    let query = format!("{query}DEALLOCATE {GUARD};");
    orders.to_backend(|out| {
        write::parse(out, GUARD.as_bytes(), b"", &[0; 2]);
        write::query(out, query.as_bytes());
        write::parse(out, GUARD.as_bytes(), b"", &[0; 2]);
        write::close(out, b'S', GUARD.as_bytes());
    });
    for expect in [Expect::GuardSet, Expect::Replay, Expect::Guard] {
        backend.exchange.push(expect);
    }
}

impl Engine for Postgres {
    type Session = Session;
    type Backend = Backend;
    type Shared = Shared;
    type Work = Work;
    type Done = Done;

    fn shared(household: Household) -> Shared {
        let Household {
            secret,
            hasher,
            schema_version,
        } = household;
        Shared {
            statements: Statements::new(secret, hasher.clone(), schema_version),
            settings: Interner::new(hasher),
            reports: ReportInterner::default(),
            verdicts: Verdicts::default(),
            logins: LoginCache::new(secret),
            welcomes: HashMap::new(),
        }
    }

    fn session(shared: &mut Shared, facts: ClientFacts, _: &mut Orders<Work>) -> Session {
        let rules = Arc::clone(&facts.proxy.target_group.rules);
        Session {
            id: facts.session,
            scope: shared.statements.scope(home(&facts)),
            stage: Stage::Login(Box::new(ClientLogin::new(facts))),
            process: 0,
            secret: Box::default(),
            tracker: Tracker::new(shared.settings.empty()),
            reports: shared.reports.intern(Vec::new()),
            welcome: shared.reports.intern(Vec::new()),
            prepared: Prepared::default(),
            unnamed: None,
            segment: Segment::FIRST,
            midway: false,
            ignored_left: 0,
            pins: Pins::default(),
            pins_kept: Pins::default(),
            pin_told: None,
            pin_said: None,
            settings_unknown: false,
            is_doubted: false,
            doubted_for: 0,
            marks: 0,
            rules,
            customs: shared.settings.empty(),
            sequences: Sequences::default(),
            listening: Listening::default(),
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
            (Stage::Login(login), _) => login.on_bytes(&mut shared.logins, input, orders),
            // Nothing is due from the client before it was told that it may begin.
            (Stage::Admission(_), _) => orders.push(Order::Pause),
            (Stage::Ready, None) => unleased::on_bytes(&shared.statements, session, input, orders),
            (Stage::Ready, Some(backend)) => {
                FromClient::new(shared, session, backend, now, orders).run(input)
            }
            (Stage::Relay, Some(backend)) => {
                relay::on_client_bytes(&mut backend.exchange, input, orders);
            }
            (Stage::Relay, None) => orders.push(Order::Pause),
        }
    }

    fn on_pool(shared: &mut Shared, session: &mut Session, pool: u64, orders: &mut Orders<Work>) {
        let Stage::Login(login) = std::mem::replace(&mut session.stage, Stage::Ready) else {
            return;
        };
        let Some(admitted) = login.into_admitted() else {
            return orders.push(Order::Bug(
                "a client was admitted before it had proven itself",
            ));
        };
        let dedicated = admitted.dedicated;
        if dedicated != Some(PinReason::ReplicationConnection) {
            let baseline = shared.settings.intern(map_of(&admitted.baseline));
            customs::add(
                &mut session.customs,
                customs::among(baseline.map()),
                &mut shared.settings,
            );
            session.tracker = Tracker::new(baseline);
        }
        let (user, database) = (&admitted.user, &admitted.database);
        session.scope = shared.statements.scope((session.scope, user, database));
        session.stage = Stage::Admission(Box::new(Admitting { admitted, pool }));
        let known = shared
            .welcomes
            .get(&(pool, session.tracker.committed().label()))
            .cloned();
        match known {
            Some(reports) if dedicated.is_none() => welcome(session, &reports, orders),
            _ => orders.push(Order::Lease),
        }
    }

    fn suits(session: &Session, backend: &Backend, input: &[u8]) -> bool {
        temporary::suit(session, backend, input) && customs::suit(session, &backend.customs, input)
    }

    fn prefers(session: &Session, backend: &Backend, input: &[u8]) -> bool {
        let is_home = backend.suspect == Some(session.mark());
        Self::suits(session, backend, input) && (is_home || !sequences::asks(session, input))
    }

    fn on_leased(
        shared: &mut Shared,
        session: &mut Session,
        backend: &mut Backend,
        _now: Instant,
        orders: &mut Orders<Work>,
    ) {
        let dedicated = match &session.stage {
            Stage::Admission(admitting) => admitting.admitted.dedicated,
            _ => None,
        };
        if let Some(reason) = dedicated {
            pinning::keep(session, backend, reason, None);
            pinning::tell(session, orders);
            if reason == PinReason::ReplicationConnection {
                welcome(session, &Arc::clone(&backend.reports), orders);
                session.stage = Stage::Relay;
                return;
            }
            // Beyond its start it is a backend like any other.
            backend.stage = backend::Stage::Ready;
        }
        backend.exchange.go_on_from(session.segment);
        if replay(shared, session, backend, orders) {
            return;
        }
        match session.stage {
            Stage::Admission(_) => {
                finish_admission(shared, session, backend, orders);
            }
            _ => tell_reports(session, backend, orders),
        }
    }

    fn on_backend_bytes(
        shared: &mut Shared,
        backend: &mut Backend,
        session: Option<&mut Session>,
        now: Instant,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) {
        match &mut backend.stage {
            backend::Stage::Login(login) => {
                login.on_bytes(&mut shared.logins, input, orders);
                on_login_orders(shared, backend, orders);
            }
            backend::Stage::Ready => {
                FromBackend::new(shared, backend, session, now, orders).run(input)
            }
            backend::Stage::Relay => orders.forward(input.len()),
            backend::Stage::Listener(listener) => listener.on_bytes(input, orders),
        }
    }

    fn on_client_gone(backend: &mut Backend, orders: &mut Orders<Work>) -> Farewell {
        backend.holding = false;
        let parts = parting::is_due(backend);
        let exchange = &mut backend.exchange;
        // What it has committed may not have been told yet.
        backend.stirred |= std::mem::take(&mut exchange.notifies);
        if !matches!(backend.stage, backend::Stage::Ready) || backend.pinned {
            return if exchange.is_empty() {
                Farewell::Close
            } else {
                Farewell::CancelAndClose
            };
        }
        if exchange.is_clean() && !exchange.listens && !parts {
            return Farewell::Clean;
        }
        if exchange.is_parting() {
            return Farewell::Cleaning;
        }
        if exchange.is_asking() && !exchange.listens && !parts {
            // The answer is worth waiting for: without it nobody would ever learn what programs do that end right behind it.
            (exchange.settling, exchange.awaits) = (false, Awaits::Nothing);
            return Farewell::Cleaning;
        }
        if !exchange.is_empty() {
            return Farewell::CancelAndClose;
        }
        let whole = exchange.from_client_left == 0 && exchange.from_backend_left == 0;
        if !whole || exchange.open_segment || exchange.skipping || exchange.is_guarded() {
            return Farewell::Close;
        }
        // A transaction is open and nothing is under way.
        (exchange.settling, exchange.awaits) = (false, Awaits::Nothing);
        exchange.push(Expect::Cleaning);
        exchange.portals.clear();
        backend.unnamed = None;
        // What was committed before that transaction may have begun to listen, or have bounded the backend's idleness.
        let cleaning: &[u8] = match (std::mem::take(&mut exchange.listens), parts) {
            (_, true) => b"ROLLBACK;UNLISTEN *;RESET idle_session_timeout",
            (true, false) => b"ROLLBACK;UNLISTEN *",
            (false, false) => b"ROLLBACK",
        };
        if parts {
            // Its label says otherwise.
            backend.suspect = Some(backend::Mark::NOBODY);
        }
        orders.to_backend(|out| write::query(out, cleaning));
        Farewell::Cleaning
    }

    fn on_refused(session: &mut Session, refusal: &Refusal, orders: &mut Orders<Work>) {
        // An error inside of a message would be taken for its rest.
        let is_silent = matches!(refusal, Refusal::ProtocolViolation(what) if *what == NO_STARTUP);
        if !session.midway && !is_silent {
            orders.to_client(|out| errors::write(refusal, out));
        }
    }

    fn has_whole_request(session: &Session, input: &[u8]) -> bool {
        matches!(session.stage, Stage::Ready) && first_segment(input).is_some()
    }

    fn on_lease_refused(
        session: &mut Session,
        refusal: &Refusal,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) -> bool {
        let Stage::Ready = session.stage else {
            return false;
        };
        let Some((len, last)) = first_segment(input) else {
            return false;
        };
        if last == b'Q' {
            // A Query ends the unnamed statement, also one that fails before it is read (`exec_simple_query`).
            session.unnamed = None;
        }
        orders.swallow(len);
        orders.to_client(|out| {
            // The session goes on, whatever the refusal would say to one that ends.
            let words = errors::words(refusal);
            write::error(out, "ERROR", &words.code, &words.text);
            write::ready_for_query(out, b'I');
        });
        true
    }

    fn backend(shared: &mut Shared, facts: BackendFacts, orders: &mut Orders<Work>) -> Backend {
        let calling = match facts.purpose {
            Purpose::Dedicated(_) => Calling::Dedicated,
            Purpose::Listener => Calling::Listener,
            Purpose::Pooled | Purpose::Scout | Purpose::Cancel { .. } => Calling::Pooled,
        };
        let init_query = Arc::clone(&facts.init_query);
        Backend {
            stage: backend::Stage::Login(Box::new(BackendLogin::new(facts, orders))),
            calling,
            exchange: Exchange::new(),
            process: 0,
            secret: Box::default(),
            label: shared.settings.empty(),
            customs: shared.settings.empty(),
            suspect: None,
            init_query,
            reports: shared.reports.intern(Vec::new()),
            prepared: PreparedOn::default(),
            plain: PlainNames::default(),
            unnamed: None,
            pinned: false,
            had_temporary: false,
            holding: false,
            stirred: false,
            replay_error: None,
            give_error: None,
        }
    }

    fn on_backend_tls(backend: &mut Backend, facts: &TlsFacts, orders: &mut Orders<Work>) {
        if let backend::Stage::Login(login) = &mut backend.stage {
            login.on_tls(facts, orders);
        }
    }

    fn is_version_in_doubt(backend: &Backend) -> bool {
        match &backend.stage {
            backend::Stage::Login(login) => login.is_version_in_doubt(),
            backend::Stage::Ready | backend::Stage::Relay | backend::Stage::Listener(_) => false,
        }
    }

    fn on_backend_closing(backend: &mut Backend, orders: &mut Orders<Work>) {
        let serves = matches!(backend.stage, backend::Stage::Ready) && backend.exchange.is_empty();
        if serves || matches!(backend.stage, backend::Stage::Listener(_)) {
            orders.to_backend(|out| out.extend_from_slice(write::TERMINATE));
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
        if let Stage::Login(login) = &mut session.stage {
            login.on_work(&mut shared.logins, done, orders);
        }
    }

    fn on_backend_work(
        shared: &mut Shared,
        backend: &mut Backend,
        done: Done,
        orders: &mut Orders<Work>,
    ) {
        if let backend::Stage::Login(login) = &mut backend.stage {
            login.on_work(&mut shared.logins, done, orders);
            on_login_orders(shared, backend, orders);
        }
    }

    fn is_clean(backend: &Backend) -> bool {
        matches!(backend.stage, backend::Stage::Ready)
            && backend.exchange.is_clean()
            && !backend.holding
            && !backend.pinned
    }

    fn in_transaction(backend: &Backend) -> bool {
        backend.exchange.status != b'I'
    }

    fn backend_label(backend: &Backend) -> u64 {
        if backend.suspect.is_some() {
            0
        } else {
            backend.label.label()
        }
    }

    fn session_label(session: &Session) -> u64 {
        session.tracker.committed().label()
    }

    fn is_idle(session: &Session, backend: Option<&Backend>) -> bool {
        match backend {
            None => true,
            Some(backend) => {
                !session.pins.contains(PinReason::ReplicationConnection)
                    && backend.exchange.is_clean()
            }
        }
    }

    fn describe(session: &Session, backend: Option<&Backend>) -> SessionFacts {
        let state = match backend.map(|backend| &backend.exchange) {
            _ if matches!(session.stage, Stage::Relay) => SessionState::Active,
            None => SessionState::Idle,
            Some(exchange) if !exchange.is_at_rest() => SessionState::Active,
            Some(exchange) if exchange.status != b'I' => SessionState::InTransaction,
            Some(_) => SessionState::Idle,
        };
        SessionFacts {
            application: reports::application(&session.reports),
            state,
            process: backend.map_or(0, |backend| backend.process),
        }
    }

    fn cancels(session: &Session, key: &CancelKey) -> bool {
        !session.secret.is_empty() && bool::from(session.secret.ct_eq(&key.secret))
    }

    /// A connection that carries a cancel request hears of its end by its own (PostgreSQL documentation, "Canceling Requests in
    /// Progress").
    fn on_cancelled(_: &mut Session, _: Option<&mut Backend>, _: bool, orders: &mut Orders<Work>) {
        orders.push(Order::Close(CloseReason::CancelDone));
    }

    /// Nothing: the client speaks first, and its parameters come from a backend of its own pool.
    fn on_learned(_: &mut Shared, _: &mut Session, _: &Arc<[u8]>, _: &mut Orders<Work>) {}

    fn is_preparing(backend: &Backend) -> bool {
        // At the guard behind a query of ours the database is at what the client asked: it keeps its answers to itself until it has more
        // to say.
        let front = backend.exchange.front();
        front.is_some_and(|expect| expect.is_ours() && !matches!(expect, Expect::Guard))
    }

    fn cancel(backend: &Backend) -> Option<Purpose> {
        let busy = !backend.exchange.is_empty() || matches!(backend.stage, backend::Stage::Relay);
        // A pooler in front of the database may have named no key.
        (busy && !backend.secret.is_empty()).then(|| Purpose::Cancel {
            process: backend.process,
            secret: backend.secret.to_vec(),
        })
    }

    fn on_subscribed(
        session: &mut Session,
        number: u32,
        result: Result<(), &Refusal>,
        orders: &mut Orders<Work>,
    ) {
        let active = session.tracker.channels();
        if session.listening.on_answer(number, result, active) {
            orders.push(Order::Resume);
        }
    }

    fn on_notification(session: &mut Session, told: &Arc<Notification>) -> Result<(), Refusal> {
        if session.listening.keep(told, session.tracker.channels()) {
            return Ok(());
        }
        let max = listening::KEPT_BYTES_MAX;
        Err(Refusal::TooFarBehind { max })
    }

    fn deliver(session: &mut Session, backend: Option<&Backend>, orders: &mut Orders<Work>) {
        if backend.is_none_or(|backend| backend.exchange.is_clean()) && !session.midway {
            listening::deliver(session, backend, orders);
        }
    }

    fn is_listening(session: &Session) -> bool {
        session.is_heard()
    }

    fn listen(backend: &mut Backend, round: &Round, orders: &mut Orders<Work>) {
        match &mut backend.stage {
            backend::Stage::Listener(listener) => listener.listen(round, orders),
            _ => orders.push(Order::Bug("a connection was to listen that does not")),
        }
    }

    fn on_backend_moved_in(shared: &mut Shared, backend: &mut Backend) {
        backend.label = shared.settings.intern(backend.label.map().clone());
        backend.customs = shared.settings.intern(backend.customs.map().clone());
        backend.reports = shared.reports.intern(Reports::clone(&backend.reports));
    }
}

/// Length of the messages up to and with the first that ReadyForQuery answers, and its kind; `None` when it is not whole.
fn first_segment(input: &[u8]) -> Option<(usize, u8)> {
    let mut len = 0;
    loop {
        let header = wire::header(&input[len..]).ok()??;
        len += header.len;
        if len > input.len() {
            return None;
        }
        if matches!(header.kind, b'Q' | b'S' | b'F') {
            return Some((len, header.kind));
        }
    }
}

/// Notices the end of a backend's login among the orders that it gave.
fn on_login_orders(shared: &mut Shared, backend: &mut Backend, orders: &mut Orders<Work>) {
    if !orders
        .list()
        .iter()
        .any(|order| matches!(order, Order::BackendReady { .. }))
    {
        return;
    }
    let next = match backend.calling {
        Calling::Dedicated => backend::Stage::Relay,
        Calling::Pooled => backend::Stage::Ready,
        Calling::Listener => backend::Stage::Listener(Box::default()),
    };
    let backend::Stage::Login(login) = std::mem::replace(&mut backend.stage, next) else {
        return;
    };
    let Some(logged_in) = login.into_logged_in() else {
        return orders.push(Order::Bug("a backend was ready before its login ended"));
    };
    backend.process = logged_in.process;
    backend.secret = logged_in.secret;
    backend.reports = shared.reports.intern(logged_in.parameters);
}
