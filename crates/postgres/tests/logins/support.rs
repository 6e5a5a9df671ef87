//! A worker in miniature for either machine: keeps what was not consumed, shows it again, obeys orders, does slow work at once
//! unless told to hold it.

use forebay_core::engine::{BackendFacts, ClientFacts, Purpose, TlsFacts};
use forebay_core::orders::{Admission, CancelKey, Order, Orders};
use forebay_core::snapshot::{
    ClientAuth, Credential, EngineFamily, Identity, PoolLimits, Proxy, ServerTls, TargetGroup,
    TlsMode,
};
use forebay_core::{CloseReason, Refusal};
use forebay_postgres::backend_login::BackendLogin;
use forebay_postgres::client_login::ClientLogin;
use forebay_postgres::login_cache::{Done, LoginCache, Work, work};
use forebay_postgres::wire::write;
use std::sync::Arc;
use std::time::Duration;

/// How a login ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Admitted(Admission),
    Refused(Refusal),
    Closed(CloseReason),
    Cancel(CancelKey),
    Ready { usable: u32, max: u32 },
    Failed(Refusal),
    Bug(&'static str),
}

/// What both machines have in common.
pub trait Machine {
    fn bytes(&mut self, cache: &mut LoginCache, input: &[u8], orders: &mut Orders<Work>);
    fn tls(&mut self, facts: &TlsFacts, orders: &mut Orders<Work>);
    fn done(&mut self, cache: &mut LoginCache, done: Done, orders: &mut Orders<Work>);
}

impl Machine for ClientLogin {
    fn bytes(&mut self, cache: &mut LoginCache, input: &[u8], orders: &mut Orders<Work>) {
        self.on_bytes(cache, input, orders);
    }

    fn tls(&mut self, facts: &TlsFacts, orders: &mut Orders<Work>) {
        self.on_tls(facts, orders);
    }

    fn done(&mut self, cache: &mut LoginCache, done: Done, orders: &mut Orders<Work>) {
        self.on_work(cache, done, orders);
    }
}

impl Machine for BackendLogin {
    fn bytes(&mut self, cache: &mut LoginCache, input: &[u8], orders: &mut Orders<Work>) {
        self.on_bytes(cache, input, orders);
    }

    fn tls(&mut self, facts: &TlsFacts, orders: &mut Orders<Work>) {
        self.on_tls(facts, orders);
    }

    fn done(&mut self, cache: &mut LoginCache, done: Done, orders: &mut Orders<Work>) {
        self.on_work(cache, done, orders);
    }
}

/// One machine and what its worker knows of it.
pub struct Side<M> {
    pub machine: M,
    pub cache: LoginCache,
    /// Bytes that were shown and not consumed.
    pub held: Vec<u8>,
    /// Bytes for the peer, until taken.
    pub sent: Vec<u8>,
    pub end: Option<End>,
    /// The machine ordered TLS and the handshake is not done.
    pub in_handshake: bool,
    /// Slow work is left in `held_work`.
    pub holds_work: bool,
    pub held_work: Vec<Work>,
    need: usize,
    /// It does not want to see more.
    pub paused: bool,
}

impl<M: Machine> Side<M> {
    pub fn new(machine: M, cache: LoginCache) -> Side<M> {
        Side {
            machine,
            cache,
            held: Vec::new(),
            sent: Vec::new(),
            end: None,
            in_handshake: false,
            holds_work: false,
            held_work: Vec::new(),
            need: 0,
            paused: false,
        }
    }

    /// Bytes arrive.
    pub fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        self.held.extend_from_slice(bytes);
        self.show();
        self
    }

    /// Bytes arrive one by one.
    pub fn drip(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.feed(&[*byte]);
        }
        self
    }

    /// The TLS handshake ends.
    pub fn handshake(&mut self, facts: &TlsFacts) -> &mut Self {
        assert!(
            std::mem::take(&mut self.in_handshake),
            "nobody asked for TLS"
        );
        let mut orders = Orders::default();
        self.machine.tls(facts, &mut orders);
        self.obey(orders);
        self.show();
        self
    }

    /// Does the work that was held.
    pub fn finish_work(&mut self) -> &mut Self {
        for order in std::mem::take(&mut self.held_work) {
            let mut orders = Orders::default();
            self.machine.done(&mut self.cache, work(order), &mut orders);
            self.obey(orders);
        }
        self.show();
        self
    }

    /// Takes what was sent.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    fn show(&mut self) {
        if self.held.len() < self.need
            || self.held.is_empty()
            || self.paused
            || self.in_handshake
            || self.end.is_some()
        {
            return;
        }
        self.need = 0;
        let mut orders = Orders::default();
        let input = std::mem::take(&mut self.held);
        self.machine.bytes(&mut self.cache, &input, &mut orders);
        self.held = input;
        self.obey(orders);
    }

    /// Obeys orders of the constructor, or of a call.
    pub fn obey(&mut self, orders: Orders<Work>) {
        let mut orders = orders;
        let (list, made) = orders.take();
        for order in list {
            assert_eq!(self.end, None, "{order:?} after the end");
            match order {
                Order::Swallow(len) => drop(self.held.drain(..len)),
                Order::ToClient(range) | Order::ToBackend(range) => {
                    self.sent.extend_from_slice(&made[range.start..range.end]);
                }
                Order::Need(len) => {
                    assert!(
                        len > self.held.len(),
                        "needs {len} and has {}",
                        self.held.len()
                    );
                    self.need = len;
                }
                Order::Pause => self.paused = true,
                Order::Resume => self.paused = false,
                Order::StartTls => self.in_handshake = true,
                Order::Work(work) => self.held_work.push(work),
                Order::Admit(admission) => self.end = Some(End::Admitted(*admission)),
                Order::Cancel(key) => self.end = Some(End::Cancel(*key)),
                Order::BackendReady {
                    connections_usable,
                    connections_max,
                } => {
                    self.end = Some(End::Ready {
                        usable: connections_usable,
                        max: connections_max,
                    });
                }
                Order::BackendFailed(refusal) => self.end = Some(End::Failed(*refusal)),
                Order::Refuse(refusal) => self.end = Some(End::Refused(*refusal)),
                Order::Close(reason) => self.end = Some(End::Closed(reason)),
                Order::Bug(text) => self.end = Some(End::Bug(text)),
                other => panic!("a login has no use for {other:?}"),
            }
        }
        if !self.holds_work && !self.held_work.is_empty() {
            self.finish_work();
        }
    }
}

/// A client's side before a proxy that has these credentials.
#[derive(Clone)]
pub struct ProxyOf {
    pub credentials: Vec<Arc<Credential>>,
    pub tls: bool,
    pub require_tls: bool,
}

impl ProxyOf {
    pub fn one(user: &str, password: &str, auth: ClientAuth) -> ProxyOf {
        ProxyOf {
            credentials: vec![credential(user, password, auth)],
            tls: true,
            require_tls: false,
        }
    }

    pub fn side(&self) -> Side<ClientLogin> {
        let facts = ClientFacts {
            proxy: Arc::new(self.proxy()),
            process: 77,
            session: 5,
            target: None,
            entropy: std::array::from_fn(|n| n as u8),
        };
        Side::new(ClientLogin::new(facts), LoginCache::new([3; 32]))
    }

    fn proxy(&self) -> Proxy {
        let identity = Identity {
            chain: Vec::new(),
            key: Vec::new().into(),
        };
        let tls = ServerTls {
            identity,
            client_authorities: Vec::new(),
        };
        Proxy {
            name: "p".into(),
            engine: EngineFamily::Postgres,
            require_tls: self.require_tls,
            idle_client_timeout: Duration::from_secs(1800),
            clients_max: u32::MAX,
            connect_rate_max: u32::MAX,
            login_timeout: Duration::from_secs(60),
            tls: self.tls.then(|| Arc::new(tls)),
            credentials: self.credentials.clone(),
            endpoints: Vec::new(),
            target_group: TargetGroup {
                limits: PoolLimits::default(),
                rules: Arc::default(),
                targets: Vec::new(),
            },
        }
    }
}

pub fn credential(user: &str, password: &str, client_auth: ClientAuth) -> Arc<Credential> {
    Arc::new(Credential {
        username: user.to_owned(),
        password: password.into(),
        client_auth,
        previous: None,
    })
}

/// A credential whose password was another until now.
pub fn credential_with_previous(
    user: &str,
    [password, previous]: [&str; 2],
    client_auth: ClientAuth,
) -> Arc<Credential> {
    Arc::new(Credential {
        username: user.to_owned(),
        password: password.into(),
        client_auth,
        previous: Some(credential(user, previous, client_auth)),
    })
}

/// A backend's side that logs in as `u` with this password.
pub fn backend_side(
    password: &str,
    tls: TlsMode,
    purpose: Purpose,
    init_query: &str,
) -> Side<BackendLogin> {
    let credential = credential("u", password, ClientAuth::ScramSha256);
    backend_side_of(credential, tls, purpose, init_query)
}

/// A backend's side that logs in with this credential.
pub fn backend_side_of(
    credential: Arc<Credential>,
    tls: TlsMode,
    purpose: Purpose,
    init_query: &str,
) -> Side<BackendLogin> {
    side_of(BackendFacts {
        credential,
        database: "d".into(),
        handshake: 0,
        tls,
        init_query: init_query.into(),
        purpose,
        oldest_version: false,
        entropy: [9; 32],
    })
}

/// A backend's side, in clear, for a database that refused the newest protocol version.
pub fn backend_side_of_oldest_version() -> Side<BackendLogin> {
    side_of(BackendFacts {
        credential: credential("u", "pencil", ClientAuth::ScramSha256),
        database: "d".into(),
        handshake: 0,
        tls: TlsMode::Disable,
        init_query: "".into(),
        purpose: Purpose::Pooled,
        oldest_version: true,
        entropy: [9; 32],
    })
}

fn side_of(facts: BackendFacts) -> Side<BackendLogin> {
    let mut orders = Orders::default();
    let login = BackendLogin::new(facts, &mut orders);
    let mut side = Side::new(login, LoginCache::new([4; 32]));
    side.obey(orders);
    side
}

pub fn tls_facts(server_end_point: Option<&[u8]>) -> TlsFacts {
    TlsFacts {
        alpn: None,
        server_end_point: server_end_point.map(<[u8]>::to_vec),
        client_certificate: false,
        own_certificate: None,
    }
}

/// A typed message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(&mut out, kind, |out| out.extend_from_slice(body));
    out
}

/// A startup message.
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    write::startup(&mut out, version, parameters.iter().copied());
    out
}

/// `AuthenticationX`.
pub fn authentication(kind: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), data].concat())
}

/// `ReadyForQuery`, idle.
pub const READY: &[u8] = b"Z\0\0\0\x05I";

/// A row that answers the question for limits.
pub fn limits_row(columns: [&str; 3]) -> Vec<u8> {
    let mut body = 3_u16.to_be_bytes().to_vec();
    for column in columns {
        body.extend_from_slice(&(column.len() as u32).to_be_bytes());
        body.extend_from_slice(column.as_bytes());
    }
    message(b'D', &body)
}
