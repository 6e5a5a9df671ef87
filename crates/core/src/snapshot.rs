//! The immutable configuration a worker runs on. Control makes snapshots, the data plane obeys them.
//!
//! Words are RDS's where RDS has one (`docs/operating/configuration.md` maps them to the file). A snapshot holds secrets, so
//! nothing in it that touches one has a `Debug` that shows it.

use crate::PinReason;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Everything a worker needs to know.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Grows by one with each snapshot.
    pub generation: u64,
    /// The proxies, each with a name of its own.
    pub proxies: Vec<Arc<Proxy>>,
}

/// A protocol family (`EngineFamily` in RDS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineFamily {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

impl EngineFamily {
    /// All of them.
    pub const ALL: [EngineFamily; 2] = [EngineFamily::Postgres, EngineFamily::Mysql];

    /// The name as RDS spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            EngineFamily::Postgres => "POSTGRESQL",
            EngineFamily::Mysql => "MYSQL",
        }
    }

    /// The port on which its servers listen by custom.
    pub fn port(self) -> u16 {
        match self {
            EngineFamily::Postgres => 5432,
            EngineFamily::Mysql => 3306,
        }
    }
}

/// One proxy: who may come in where, and what stands behind it.
#[derive(Debug)]
pub struct Proxy {
    /// `DBProxyName`.
    pub name: Arc<str>,
    /// `EngineFamily`.
    pub engine: EngineFamily,
    /// `RequireTLS`: clients without TLS are refused.
    pub require_tls: bool,
    /// `IdleClientTimeout`.
    pub idle_client_timeout: Duration,
    /// Most clients at one time; `u32::MAX` for no bound.
    pub clients_max: u32,
    /// Most new clients per second; `u32::MAX` for no bound.
    pub connect_rate_max: u32,
    /// Time a client has from connecting to the end of its login.
    pub login_timeout: Duration,
    /// What we show to clients that ask for TLS; `None` declines TLS.
    pub tls: Option<Arc<ServerTls>>,
    /// One for each database user that may log in.
    pub credentials: Vec<Arc<Credential>>,
    /// Where clients connect.
    pub endpoints: Vec<Endpoint>,
    /// What stands behind.
    pub target_group: TargetGroup,
}

impl Proxy {
    /// The credential of a user.
    pub fn credential(&self, user: &str) -> Option<&Arc<Credential>> {
        self.credentials
            .iter()
            .find(|credential| credential.username == user)
    }
}

/// How clients prove who they are (`ClientPasswordAuthType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// `POSTGRES_SCRAM_SHA_256`, with channel binding where TLS allows it.
    ScramSha256,
    /// `POSTGRES_MD5`.
    Md5,
    /// The password in clear, only ever asked for under TLS.
    ClearText,
    /// `MYSQL_NATIVE_PASSWORD`.
    NativePassword,
    /// `MYSQL_CACHING_SHA2_PASSWORD`.
    CachingSha2,
    /// MariaDB's `client_ed25519`.
    Ed25519,
    /// MariaDB's `parsec`.
    Parsec,
}

impl ClientAuth {
    /// Whether clients of this family speak it.
    pub fn is_of(self, engine: EngineFamily) -> bool {
        match self {
            ClientAuth::ScramSha256 | ClientAuth::Md5 => engine == EngineFamily::Postgres,
            ClientAuth::ClearText => true,
            ClientAuth::NativePassword
            | ClientAuth::CachingSha2
            | ClientAuth::Ed25519
            | ClientAuth::Parsec => engine == EngineFamily::Mysql,
        }
    }
}

/// A database user and its password.
#[derive(Debug)]
pub struct Credential {
    /// The user's name in the database.
    pub username: String,
    /// The password, for both legs.
    pub password: SecretString,
    /// How clients prove that they know it.
    pub client_auth: ClientAuth,
    /// The same user with the password of before, while a new one is being brought in: clients may prove either, and the database may
    /// know either.
    pub previous: Option<Arc<Credential>>,
}

impl Credential {
    /// The credential with each of its passwords, the current one first.
    pub fn versions(self: &Arc<Credential>) -> impl Iterator<Item = &Arc<Credential>> {
        std::iter::successors(Some(self), |version| version.previous.as_ref())
    }
}

/// Which role an endpoint leads to (`TargetRole`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetRole {
    /// `READ_WRITE`.
    ReadWrite,
    /// `READ_ONLY`.
    ReadOnly,
}

impl TargetRole {
    /// The name as RDS spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetRole::ReadWrite => "READ_WRITE",
            TargetRole::ReadOnly => "READ_ONLY",
        }
    }
}

/// Where clients connect.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `DBProxyEndpointName`; the first one of a proxy is `default`.
    pub name: Arc<str>,
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which role it leads to.
    pub role: TargetRole,
}

/// `ConnectionPoolConfig` and the targets.
#[derive(Debug)]
pub struct TargetGroup {
    /// Bounds and habits of its pools.
    pub limits: PoolLimits,
    /// What its sessions may share, and what keeps them from it.
    pub rules: Arc<SessionRules>,
    /// The databases; at least one.
    pub targets: Vec<Arc<Target>>,
}

/// What sessions may share with each other, one behind the other on one backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionRules {
    /// What does not pin although it would (`SessionPinningFilters`): it may then not follow its client, and is reset for the next one.
    pub unpinned: Vec<PinReason>,
    /// Who may have a backend that knows custom settings.
    pub custom_settings: CustomSettings,
    /// Functions that leave behind what nothing takes away, in lower case, without their schemas.
    pub tainting_functions: Vec<Box<str>>,
}

/// Who may have a backend that knows custom settings (`app.tenant`): the database never forgets their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CustomSettings {
    /// Only sessions that have set them all themselves.
    #[default]
    Strict,
    /// Any: to others than those who set them they are empty strings instead of absent.
    Shared,
}

/// Which idle backend is handed out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeaseOrder {
    /// The most recently used one.
    #[default]
    Recent,
    /// The longest idle one: an aid for tests, because a lone client on a last-in-first-out pool proves nothing.
    Rotate,
}

/// Bounds and habits of the pools of one target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLimits {
    /// `MaxConnectionsPercent`, 1 to 100, of the `max_connections` that the database reports.
    pub connections_max_percent: u8,
    /// An absolute bound that holds beside the percentage; `u32::MAX` for none.
    pub connections_max: u32,
    /// `MaxIdleConnectionsPercent`, 0 to `connections_max_percent`.
    pub idle_connections_max_percent: u8,
    /// Most backends of one pool (one user and database of a target); `u32::MAX` for none.
    pub pool_size_max: u32,
    /// Backends a pool keeps ready even when nobody asks.
    pub pool_size_min: u32,
    /// `ConnectionBorrowTimeout`.
    pub borrow_timeout: Duration,
    /// `InitQuery`, run once on each new backend; empty for none.
    pub init_query: Arc<str>,
    /// After this long without use a backend may be trimmed to `idle_connections_max_percent`.
    pub idle_timeout: Duration,
    /// A backend older than this (less up to a tenth, at random) is closed when nobody uses it.
    pub lifetime_max: Duration,
    /// Most clients waiting for a backend, per pool.
    pub queue_max: u32,
    /// Most backends being opened at once, per target.
    pub dials_max: u32,
    /// Which idle backend is handed out first.
    pub lease_order: LeaseOrder,
}

impl Default for PoolLimits {
    fn default() -> PoolLimits {
        PoolLimits {
            connections_max_percent: 100,
            connections_max: u32::MAX,
            idle_connections_max_percent: 50,
            pool_size_max: u32::MAX,
            pool_size_min: 0,
            borrow_timeout: Duration::from_secs(120),
            init_query: Arc::from(""),
            idle_timeout: Duration::from_secs(300),
            lifetime_max: Duration::from_secs(24 * 3600),
            queue_max: 10_000,
            dials_max: 8,
            lease_order: LeaseOrder::Recent,
        }
    }
}

/// One database server.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// The way to it.
    pub tls: TargetTls,
}

/// How much TLS a target must have; the words and meanings of libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TlsMode {
    /// Never TLS.
    Disable,
    /// TLS where the database offers it, no verification.
    #[default]
    Prefer,
    /// TLS or nothing, no verification.
    Require,
    /// TLS, and the certificate must come from a known authority.
    VerifyCa,
    /// As `VerifyCa`, and it must name the host.
    VerifyFull,
}

/// TLS towards a target.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TargetTls {
    /// How much is required.
    pub mode: TlsMode,
    /// Authorities, DER; empty means the system's.
    pub authorities: Vec<Vec<u8>>,
    /// Our own certificate, where the database asks for one.
    pub identity: Option<Identity>,
}

/// A certificate chain with its key.
#[derive(PartialEq, Eq)]
pub struct Identity {
    /// Certificates, DER, our own first.
    pub chain: Vec<Vec<u8>>,
    /// Private key, DER (PKCS#8, PKCS#1 or SEC1).
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// TLS towards clients.
#[derive(Debug)]
pub struct ServerTls {
    /// What we show.
    pub identity: Identity,
    /// Authorities of client certificates, DER; empty: none are asked for.
    pub client_authorities: Vec<Vec<u8>>,
}
