//! Sessions and backends that are ready for use. A backend's login is played; a session is put behind its login, because logins have
//! tests of their own.

use super::world::{POOL, World};
use forebay_core::PinReason;
use forebay_core::engine::{BackendFacts, ClientFacts, Engine, Household, Purpose};
use forebay_core::orders::{Order, Orders};
use forebay_core::settings::Value;
use forebay_core::snapshot::{
    ClientAuth, Credential, EngineFamily, PoolLimits, Proxy, TargetGroup, TlsMode,
};
use forebay_postgres::Postgres;
use forebay_postgres::backend::Backend;
use forebay_postgres::client_login::Admitted;
use forebay_postgres::engine::Shared;
use forebay_postgres::login_cache::Work;
use forebay_postgres::session::{Admitting, Session, Stage};
use forebay_postgres::tracking::Tracker;
use forebay_postgres::wire::write;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

/// What servers here report at login.
pub const REPORTS: [(&str, &str); 5] = [
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("server_encoding", "UTF8"),
    ("server_version", "18.6"),
    ("TimeZone", "UTC"),
];

impl World {
    /// A worker with so many idle backends and no client.
    pub fn new(backends: usize) -> World {
        let mut world = World::empty(shared());
        for _ in 0..backends {
            world.add_backend(false);
        }
        world
    }

    pub fn add_backend(&mut self, dedicated: bool) -> usize {
        let process = 500 + self.backends.len() as u32;
        let state = backend(&mut self.shared, process, dedicated);
        self.push_backend(state)
    }

    /// A client that has proven itself and waits for a backend to try its startup settings on.
    pub fn add_client(&mut self, baseline: &[(String, String)], dedicated: bool) -> usize {
        let number = self.clients.len() as u64 + 1;
        let session = session(&mut self.shared, number, baseline, dedicated);
        self.push_client(session, true)
    }
}

pub fn shared() -> Shared {
    Postgres::shared(Household {
        secret: [7; 32],
        hasher: RandomState::new(),
        schema_version: Arc::default(),
    })
}

pub fn client_facts(number: u64) -> ClientFacts {
    ClientFacts {
        proxy: Arc::new(proxy(Vec::new())),
        process: 70 + number as u32,
        session: number,
        target: None,
        entropy: std::array::from_fn(|n| n as u8),
    }
}

pub fn proxy(credentials: Vec<Arc<Credential>>) -> Proxy {
    Proxy {
        name: "p".into(),
        engine: EngineFamily::Postgres,
        require_tls: false,
        idle_client_timeout: Duration::from_secs(1800),
        clients_max: u32::MAX,
        connect_rate_max: u32::MAX,
        login_timeout: Duration::from_secs(60),
        tls: None,
        credentials,
        endpoints: Vec::new(),
        target_group: TargetGroup {
            limits: PoolLimits::default(),
            rules: Arc::default(),
            targets: Vec::new(),
        },
    }
}

pub fn backend_facts(purpose: Purpose) -> BackendFacts {
    BackendFacts {
        credential: credential(),
        database: "d".into(),
        handshake: 0,
        tls: TlsMode::Disable,
        init_query: "".into(),
        purpose,
        oldest_version: false,
        entropy: [9; 32],
    }
}

pub fn credential() -> Arc<Credential> {
    Arc::new(Credential {
        username: "u".to_owned(),
        password: "secret".into(),
        client_auth: ClientAuth::ScramSha256,
        previous: None,
    })
}

/// A session that has proven itself and now wants its startup settings tried on a backend.
pub fn session(
    shared: &mut Shared,
    number: u64,
    baseline: &[(String, String)],
    dedicated: bool,
) -> Session {
    let mut session = Postgres::session(shared, client_facts(number), &mut Orders::default());
    let map = baseline
        .iter()
        .map(|(name, value)| (name.as_str().into(), Value::Literal(value.as_str().into())));
    session.tracker = Tracker::new(shared.settings.intern(map.collect()));
    let admitted = Admitted {
        user: "u".to_owned(),
        database: "d".to_owned(),
        baseline: baseline.to_vec(),
        minor: 0,
        process: 70 + number as u32,
        session: number,
        secret: [1, 2, 3, number as u8].into(),
        dedicated: dedicated.then_some(PinReason::ReplicationConnection),
    };
    session.stage = Stage::Admission(Box::new(Admitting {
        admitted,
        pool: POOL,
    }));
    session
}

/// A backend that has logged in, for a pool or for one client alone.
pub fn backend(shared: &mut Shared, process: u32, dedicated: bool) -> Backend {
    let purpose = if dedicated {
        Purpose::Dedicated(vec![(b"replication".to_vec(), b"database".to_vec())])
    } else {
        Purpose::Pooled
    };
    let mut orders = Orders::default();
    let mut backend = Postgres::backend(shared, backend_facts(purpose), &mut orders);
    let mut hello = write::AUTHENTICATION_OK.to_vec();
    for (name, value) in REPORTS {
        write::parameter_status(&mut hello, name.as_bytes(), value.as_bytes());
    }
    write::backend_key_data(&mut hello, process, &[9, 9, 9, process as u8]);
    write::ready_for_query(&mut hello, b'I');
    let mut limits = Vec::new();
    write::message(&mut limits, b'D', |out| {
        out.extend_from_slice(&3_u16.to_be_bytes());
        for column in ["100", "3", "0"] {
            out.extend_from_slice(&(column.len() as u32).to_be_bytes());
            out.extend_from_slice(column.as_bytes());
        }
    });
    write::command_complete(&mut limits, b"SELECT 1");
    write::ready_for_query(&mut limits, b'I');
    let mut ready = show(shared, &mut backend, &hello, &mut orders);
    if !ready {
        ready = show(shared, &mut backend, &limits, &mut orders);
    }
    assert!(ready, "a backend's login did not end");
    backend
}

/// Shows bytes of a login until they are used up; whether the login is complete.
fn show(
    shared: &mut Shared,
    backend: &mut Backend,
    bytes: &[u8],
    orders: &mut Orders<Work>,
) -> bool {
    let mut at = 0;
    let mut ready = false;
    while at < bytes.len() {
        let now = forebay_core::Instant::ZERO;
        Postgres::on_backend_bytes(shared, backend, None, now, &bytes[at..], orders);
        let before = at;
        for order in orders.take().0 {
            match order {
                Order::Swallow(len) => at += len,
                Order::BackendReady { .. } => ready = true,
                Order::ToBackend(_) => {}
                other => panic!("a login that goes well does not order {other:?}"),
            }
        }
        assert!(at > before, "a login stands still");
    }
    ready
}
