//! Clients and backends without a network: who may log in, what servers greet with, and a backend whose login is played.

use super::messages::{From, Line, Terms};
use super::talk::Talk;
use super::world::World;
use forebay_core::PinReason;
use forebay_core::engine::{BackendFacts, ClientFacts, Engine, Household, Purpose};
use forebay_core::orders::{Order, Orders};
use forebay_core::snapshot::{
    ClientAuth, Credential, EngineFamily, Identity, PoolLimits, Proxy, ServerTls, SessionRules,
    TargetGroup, TlsMode,
};
use forebay_mysql::Mysql;
use forebay_mysql::backend::Backend;
use forebay_mysql::engine::Shared;
use forebay_mysql::handshake;
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::greeting::Greeting;
use forebay_mysql::wire::status::Status;
use forebay_mysql::wire::{HEADER_BYTES, header};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

/// The first number that clients are shown.
pub const PROCESS_FIRST: u32 = (1 << 22) + 71;

/// What servers and clients here begin with.
const COLLATION: u8 = 45;

/// What is special about the server and the proxy.
#[derive(Debug, Clone, Copy)]
pub struct House {
    /// A result ends with an OK packet.
    pub is_new: bool,
    /// Clients' connections are compressed.
    pub is_compressed: bool,
    pub is_mariadb: bool,
    /// Clients ask to be told of changes.
    pub tracks: bool,
    pub client_auth: ClientAuth,
    pub tls: bool,
    pub require_tls: bool,
    /// The user's password was `older` until now.
    pub has_previous: bool,
    /// What SET does that cannot follow keeps no backend (`EXCLUDE_VARIABLE_SETS`).
    pub excludes_sets: bool,
}

impl House {
    /// As the words of a script say it.
    pub fn of(words: &[String], is_new: bool) -> House {
        let mut house = House {
            is_new,
            is_compressed: false,
            is_mariadb: false,
            tracks: false,
            client_auth: ClientAuth::NativePassword,
            tls: false,
            require_tls: false,
            has_previous: false,
            excludes_sets: false,
        };
        for word in words {
            match word.as_str() {
                "mariadb" => house.is_mariadb = true,
                "tracking" => house.tracks = true,
                "sha2" => house.client_auth = ClientAuth::CachingSha2,
                "tls" => house.tls = true,
                "require_tls" => house.require_tls = true,
                "previous" => house.has_previous = true,
                "exclude_variable_sets" => house.excludes_sets = true,
                other => panic!("with what? {other}"),
            }
        }
        house
    }

    fn server(&self) -> Capabilities {
        let all = match self.is_mariadb {
            true => Capabilities(0x001d_81ff_f7fe | Capabilities::SESSION_TRACK.0),
            false => Capabilities(0xdfff_ffff),
        };
        match self.is_new {
            true => all | Capabilities::DEPRECATE_EOF,
            false => all.without(Capabilities::DEPRECATE_EOF),
        }
    }

    /// What clients ask for.
    pub fn asked(&self) -> Capabilities {
        let mut asked = Capabilities::PROTOCOL_41
            | Capabilities::LONG_FLAG
            | Capabilities::TRANSACTIONS
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA
            | Capabilities::MULTI_STATEMENTS
            | Capabilities::MULTI_RESULTS
            | Capabilities::PS_MULTI_RESULTS
            | Capabilities::LOCAL_FILES;
        if self.is_new {
            asked = asked | Capabilities::DEPRECATE_EOF;
        }
        if self.is_compressed {
            asked = asked | Capabilities::COMPRESS;
        }
        if self.tracks {
            asked = asked | Capabilities::SESSION_TRACK;
        }
        asked
    }

    /// What a client and the proxy have agreed on.
    pub fn client_terms(&self) -> Terms {
        Terms {
            capabilities: self.asked(),
            ..Terms::default()
        }
    }

    fn handshake(&self) -> u32 {
        let offered = handshake::offered(self.server());
        handshake::number(handshake::agreed(self.asked(), offered), COLLATION)
    }

    /// What the proxy and the server have agreed on.
    pub fn backend_terms(&self) -> Terms {
        let (capabilities, _) = handshake::wanted(self.handshake(), self.server());
        Terms {
            capabilities,
            ..Terms::default()
        }
    }

    fn greeting(&self, process: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let greeting = Greeting {
            version: match self.is_mariadb {
                true => b"5.5.5-10.11.19-MariaDB",
                false => b"9.7.4",
            },
            connection_id: process,
            nonce: [b'n'; 20],
            collation: COLLATION,
            status: Status::AUTOCOMMIT,
            capabilities: self.server(),
            plugin: match self.client_auth {
                ClientAuth::CachingSha2 => b"caching_sha2_password",
                _ => b"mysql_native_password",
            },
        };
        greeting.write(&mut out);
        out
    }

    fn proxy(&self) -> Proxy {
        let identity = || Identity {
            chain: Vec::new(),
            key: Vec::new().into(),
        };
        let tls = || {
            Arc::new(ServerTls {
                identity: identity(),
                client_authorities: Vec::new(),
            })
        };
        Proxy {
            name: "p".into(),
            engine: EngineFamily::Mysql,
            require_tls: self.require_tls,
            idle_client_timeout: Duration::from_secs(1800),
            clients_max: u32::MAX,
            connect_rate_max: u32::MAX,
            login_timeout: Duration::from_secs(60),
            tls: self.tls.then(tls),
            credentials: vec![self.credential()],
            endpoints: Vec::new(),
            target_group: TargetGroup {
                limits: PoolLimits::default(),
                rules: Arc::new(self.rules()),
                targets: Vec::new(),
            },
        }
    }

    fn rules(&self) -> SessionRules {
        let excluded = [
            PinReason::UntrackedSetting,
            PinReason::UserVariable,
            PinReason::OneShotSetting,
            PinReason::UnexplainedReport,
        ];
        SessionRules {
            unpinned: match self.excludes_sets {
                true => excluded.into(),
                false => Vec::new(),
            },
            ..SessionRules::default()
        }
    }

    fn credential(&self) -> Arc<Credential> {
        let version = |password: &str, previous| {
            Arc::new(Credential {
                username: "u".to_owned(),
                password: password.into(),
                client_auth: self.client_auth,
                previous,
            })
        };
        let previous = self.has_previous.then(|| version("older", None));
        version("secret", previous)
    }
}

impl World {
    /// A worker with so many idle backends and no client.
    pub fn of(house: &House, backends: usize) -> World {
        let mut world = World::empty(shared());
        for _ in 0..backends {
            let process = 500 + world.backends.len() as u32;
            let state = backend(&mut world.shared, house, process);
            world.push_backend(state);
        }
        world
    }

    /// A client connects, and is greeted.
    pub fn add_client(&mut self, house: &House) -> usize {
        let number = self.clients.len() as u32;
        self.connect(ClientFacts {
            proxy: Arc::new(house.proxy()),
            process: PROCESS_FIRST + number,
            session: u64::from(number) + 1,
            target: Some(house.greeting(1)[HEADER_BYTES..].into()),
            entropy: std::array::from_fn(|n| n as u8 + 1),
        })
    }
}

fn shared() -> Shared {
    Mysql::shared(Household {
        secret: [7; 32],
        hasher: RandomState::new(),
        schema_version: Arc::default(),
    })
}

/// A backend that has logged in. What it is asked on the way it answers as a server would.
fn backend(shared: &mut Shared, house: &House, process: u32) -> Backend {
    let facts = BackendFacts {
        credential: house.credential(),
        database: "".into(),
        handshake: house.handshake(),
        tls: TlsMode::Disable,
        init_query: "".into(),
        purpose: Purpose::Pooled,
        oldest_version: false,
        entropy: [9; 32],
    };
    let mut orders = Orders::default();
    let mut backend = Mysql::backend(shared, facts, &mut orders);
    let mut talk = Talk::begun(house.backend_terms());
    let mut hello = house.greeting(process);
    talk.sent(&hello);
    for _ in 0..10 {
        let (asked, ready) = show(shared, &mut backend, &hello, &mut orders);
        if ready {
            return backend;
        }
        // The response to the greeting is the one that is not read as a command.
        let replies = match talk.received(&asked).first() {
            None => vec![Line::parse("Ok")],
            Some(asked) => answer(asked),
        };
        hello = talk.encode(From::Backend, &replies);
        talk.sent(&hello);
    }
    panic!("a backend's login did not end")
}

/// A server's answer to what a new connection is asked.
fn answer(asked: &Line) -> Vec<Line> {
    let text = asked.to_string();
    let Some((_, columns)) = text.split_once("SELECT ") else {
        return vec![Line::parse("Ok")];
    };
    let columns: Vec<&str> = columns.trim_end_matches('"').split(',').collect();
    let name = |column: &str| column.trim().trim_start_matches("@@").to_owned();
    let value = |column: &&str| match name(column)
        .trim_end_matches('"')
        .trim_start_matches("global.")
    {
        "max_connections" => "151",
        "max_user_connections" => "0",
        "collation_connection" => "utf8mb4_general_ci",
        "sql_mode" => "STRICT_TRANS_TABLES",
        name if name.starts_with("character_set") => "utf8mb4",
        "CURRENT_ROLE()" => "NONE",
        _ => "0",
    };
    let values = columns
        .iter()
        .map(|column| format!(" \"{}\"", value(column)));
    let row = format!("Row{}", values.collect::<String>());
    let mut lines = vec![format!("Columns {}", columns.len())];
    lines.extend(columns.iter().map(|_| "Column \"c\"".to_owned()));
    lines.extend(["ColumnsEnd".into(), row, "End".into()]);
    lines.iter().map(|line| Line::parse(line)).collect()
}

/// Shows bytes of a login until they are used up: what is sent, and whether the login is over.
fn show(
    shared: &mut Shared,
    backend: &mut Backend,
    bytes: &[u8],
    orders: &mut Orders<forebay_mysql::login_cache::Work>,
) -> (Vec<u8>, bool) {
    let (mut at, mut sent, mut ready) = (0, Vec::new(), false);
    while at < bytes.len() && !ready {
        let now = forebay_core::Instant::ZERO;
        Mysql::on_backend_bytes(shared, backend, None, now, &bytes[at..], orders);
        let before = at;
        let (list, made) = orders.take();
        for order in &list {
            match order {
                Order::Swallow(len) => at += len,
                Order::BackendReady { .. } => ready = true,
                Order::ToBackend(range) => sent.extend_from_slice(&made[range.start..range.end]),
                Order::Remember(_) => {}
                other => panic!("a login that goes well does not order {other:?}"),
            }
        }
        orders.reuse(list, made);
        assert!(at > before, "a login stands still");
    }
    assert!(sent.is_empty() || header(&sent).is_some());
    (sent, ready)
}
