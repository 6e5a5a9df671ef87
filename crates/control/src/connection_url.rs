//! `forebay run postgres://user:password@host:5432/db?sslmode=…` (or `mysql://`, `mariadb://`): a URL and a few options, as a snapshot with
//! one proxy.
//!
//! The URL is libpq's, as far as it tells how to reach the database (PostgreSQL documentation, "Connection URIs"). Its database is only the
//! default that is printed: clients choose any. Parameters that shape a client's own session are ignored with a warning, unknown ones are
//! errors: a misspelt `sslmode` must not go unnoticed. Messages never repeat the URL, because it holds the password.

mod parameters;
mod percent;

use crate::certificates;
use crate::config::error::{ConfigErrors, Warning};
use crate::config::report::{Place, Report};
use crate::config::{Environment, ServerConfig};
use crate::config::{collide, is_listener, proxy_defaults, values};
use forebay_core::snapshot::{
    ClientAuth, Credential, Endpoint, EngineFamily, LeaseOrder, PoolLimits, Proxy, ServerTls,
    Snapshot, Target, TargetGroup, TargetRole, TargetTls,
};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// What the command line says beside the URL.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Most backends in all; `None`: as many as the database allows.
    pub connections_max: Option<u32>,
    /// Backends a pool keeps ready.
    pub pool_size_min: u32,
    /// Most backends of a pool; `None`: as many as there may be in all.
    pub pool_size_max: Option<u32>,
    /// Which idle backend is lent first.
    pub lease_order: LeaseOrder,
    /// Refuse clients without TLS.
    pub require_tls: bool,
    /// PEM file with the certificate shown to clients.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with its key.
    pub tls_key: Option<PathBuf>,
    /// `IdleClientTimeout`.
    pub idle_client_timeout: Duration,
    /// `ConnectionBorrowTimeout`.
    pub borrow_timeout: Duration,
    /// How clients prove that they know the password; `None`: as the servers of the family would have it.
    pub client_auth: Option<ClientAuth>,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 6432)),
            metrics: ServerConfig::default().metrics,
            connections_max: None,
            pool_size_min: 0,
            pool_size_max: None,
            lease_order: LeaseOrder::Recent,
            require_tls: false,
            tls_certificate: None,
            tls_key: None,
            idle_client_timeout: proxy_defaults::IDLE_CLIENT_TIMEOUT,
            borrow_timeout: PoolLimits::default().borrow_timeout,
            client_auth: None,
        }
    }
}

/// What a URL means.
#[derive(Debug)]
pub struct FromUrl {
    /// The protocol family.
    pub engine: EngineFamily,
    /// What the workers run on: the proxy `default` with the endpoint `default`.
    pub snapshot: Snapshot,
    /// The database user.
    pub user: String,
    /// The database of the URL, or the user's name as with libpq.
    pub database: String,
    /// What is allowed but should be looked at.
    pub warnings: Vec<Warning>,
}

/// Reads a URL. `PGPASSWORD` of `environment` stands in for a password that the URL lacks. `generation` becomes the snapshot's.
///
/// # Errors
/// Everything that is wrong with the URL, the options, or the files they name.
pub fn read(
    url: &str,
    options: &RunOptions,
    generation: u64,
    environment: Environment<'_>,
) -> Result<FromUrl, ConfigErrors> {
    let report = Report::new("URL", Path::new(""), false);
    let parts = Parts::read(url, &report, environment);
    let (parts, mut warnings) = report.finish(parts)?;
    let parts = parts.expect("parts are only absent after an error");
    let report = Report::new("command line", Path::new(""), false);
    let tls = server_tls(options, &report);
    check_durations(options, &report);
    check_addresses(&parts.target, options, &report);
    check_sizes(options, &report);
    check_auth(parts.scheme, options, &report);
    let (tls, more) = report.finish(tls)?;
    warnings.extend(more);
    let proxy = proxy(&parts, options, tls);
    Ok(FromUrl {
        snapshot: Snapshot {
            generation,
            proxies: vec![Arc::new(proxy)],
        },
        engine: parts.scheme.engine(),
        user: parts.user,
        database: parts.database,
        warnings,
    })
}

/// What a URL begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Postgres,
    Mysql,
    Mariadb,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::Postgres => "postgres",
            Scheme::Mysql => "mysql",
            Scheme::Mariadb => "mariadb",
        }
    }

    fn engine(self) -> EngineFamily {
        match self {
            Scheme::Postgres => EngineFamily::Postgres,
            Scheme::Mysql | Scheme::Mariadb => EngineFamily::Mysql,
        }
    }

    /// Where the family's own tools look for a password.
    fn password_variable(self) -> &'static str {
        match self.engine() {
            EngineFamily::Postgres => "PGPASSWORD",
            EngineFamily::Mysql => "MYSQL_PWD",
        }
    }

    /// What servers ask for where nobody says otherwise.
    fn client_auth(self) -> ClientAuth {
        match self {
            Scheme::Postgres => ClientAuth::ScramSha256,
            Scheme::Mysql => ClientAuth::CachingSha2,
            Scheme::Mariadb => ClientAuth::NativePassword,
        }
    }
}

/// How clients prove a password must be something that the family has.
fn check_auth(scheme: Scheme, options: &RunOptions, report: &Report) {
    let Some(auth) = options.client_auth else {
        return;
    };
    if !auth.is_of(scheme.engine()) {
        let fix = format!("is not spoken by clients of {}://", scheme.as_str());
        report.error(&place("--client-auth"), None, fix);
    }
}

/// The pieces of a URL, decoded and checked.
struct Parts {
    scheme: Scheme,
    user: String,
    password: SecretString,
    database: String,
    target: Arc<Target>,
}

const ESCAPES: &str = "characters such as @ : / ? # % in user, password or database are written as %40 %3A %2F %3F %23 %25";

impl Parts {
    /// `None` after an error, which `report` then has.
    fn read(text: &str, report: &Report, environment: Environment<'_>) -> Option<Parts> {
        let whole = place("");
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => {
                report.error(&whole, None, format!("not a URL: {error}; expected postgres://user:password@host:5432/database, or mysql:// or mariadb://; {ESCAPES}"));
                return None;
            }
        };
        let scheme = check_shape(&url, report)?;
        // Without a user the parts are not what they seem: a bare ? or / in a password moves everything behind it.
        let user = user(scheme, &url, report)?;
        let password = password(scheme, &url, report, environment);
        let host = host(scheme, &url, report);
        let database = decoded(url.path().trim_start_matches('/'), "database", report);
        let tls = parameters::read(url.query().unwrap_or(""), report);
        let port = url.port().unwrap_or(scheme.engine().port());
        let database = database.filter(|name| !name.is_empty());
        Some(Parts {
            scheme,
            database: match scheme.engine() {
                EngineFamily::Postgres => database.unwrap_or(user.clone()),
                // A session need not have one.
                EngineFamily::Mysql => database.unwrap_or_default(),
            },
            user,
            password: password?,
            target: target(host?, port, tls),
        })
    }
}

fn target(host: String, port: u16, tls: TargetTls) -> Arc<Target> {
    Arc::new(Target {
        host: Arc::from(host),
        port,
        tls,
    })
}

/// Scheme and the absence of a fragment.
fn check_shape(url: &Url, report: &Report) -> Option<Scheme> {
    let text = Some(format!("{:?}", url.scheme()));
    let scheme = match url.scheme() {
        "postgres" | "postgresql" => Scheme::Postgres,
        "mysql" => Scheme::Mysql,
        "mariadb" => Scheme::Mariadb,
        "sqlserver" | "mssql" => {
            report.error(
                &place("scheme"),
                text,
                "not yet supported: only postgres://, mysql:// and mariadb:// are",
            );
            return None;
        }
        _ => {
            let fix = "must be postgres, postgresql, mysql or mariadb";
            report.error(&place("scheme"), text, fix);
            return None;
        }
    };
    if url.fragment().is_some() {
        report.error(&place(""), None, format!("holds a bare #; {ESCAPES}"));
        return None;
    }
    Some(scheme)
}

fn user(scheme: Scheme, url: &Url, report: &Report) -> Option<String> {
    if url.username().is_empty() {
        let fix = format!(
            "missing: {}://USER:password@host/database; {ESCAPES}",
            scheme.as_str()
        );
        report.error(&place("user"), None, fix);
        return None;
    }
    let user = decoded(url.username(), "user", report)?;
    if !values::is_user(&user) {
        report.error(
            &place("user"),
            None,
            "must be 1 to 128 characters without NUL",
        );
        return None;
    }
    Some(user)
}

fn password(
    scheme: Scheme,
    url: &Url,
    report: &Report,
    environment: Environment<'_>,
) -> Option<SecretString> {
    let given = match url.password() {
        Some(text) => decoded(text, "password", report).map(Zeroizing::new)?,
        None => Zeroizing::new(environment(scheme.password_variable()).unwrap_or_default()),
    };
    if given.is_empty() {
        let fix = format!(
            "missing: {}://user:PASSWORD@host/database, or the environment variable {}",
            scheme.as_str(),
            scheme.password_variable()
        );
        report.error(&place("password"), None, fix);
        return None;
    }
    if given.contains('\0') {
        report.error(&place("password"), None, "must not hold a NUL character");
        return None;
    }
    Some(SecretString::from(given.as_str()))
}

fn host(scheme: Scheme, url: &Url, report: &Report) -> Option<String> {
    let text = url.host_str().unwrap_or_default();
    if text.is_empty() {
        report.error(
            &place("host"),
            None,
            format!(
                "missing: {}://user:password@HOST:{}/database",
                scheme.as_str(),
                scheme.engine().port()
            ),
        );
        return None;
    }
    let text = text.trim_start_matches('[').trim_end_matches(']');
    let host = decoded(text, "host", report)?;
    let fix = if host.starts_with('/') {
        "is a Unix socket; only TCP is supported"
    } else if host.contains(',') {
        "must be one host; several need a file: forebay serve --config"
    } else if !values::is_host(&host) {
        "must be a host name or an IP address"
    } else {
        return Some(host);
    };
    report.error(&place("host"), Some(format!("{host:?}")), fix);
    None
}

/// Undoes percent-encoding; the text itself never gets into a message.
fn decoded(text: &str, part: &str, report: &Report) -> Option<String> {
    let text = percent::decode(text);
    if text.is_none() {
        report.error(
            &place(part),
            None,
            format!("not percent-encoded UTF-8; {ESCAPES}"),
        );
    }
    text
}

fn place(key: &str) -> Place {
    Place {
        key: key.to_owned(),
        line: None,
    }
}

fn proxy(parts: &Parts, options: &RunOptions, tls: Option<Arc<ServerTls>>) -> Proxy {
    let name: Arc<str> = Arc::from("default");
    Proxy {
        name: Arc::clone(&name),
        engine: parts.scheme.engine(),
        require_tls: options.require_tls,
        idle_client_timeout: options.idle_client_timeout,
        clients_max: u32::MAX,
        connect_rate_max: u32::MAX,
        login_timeout: proxy_defaults::LOGIN_TIMEOUT,
        tls,
        credentials: vec![Arc::new(Credential {
            username: parts.user.clone(),
            password: parts.password.clone(),
            client_auth: options.client_auth.unwrap_or(parts.scheme.client_auth()),
            previous: None,
        })],
        endpoints: vec![Endpoint {
            name,
            listen: options.listen,
            role: TargetRole::ReadWrite,
        }],
        target_group: TargetGroup {
            limits: PoolLimits {
                connections_max: options.connections_max.unwrap_or(u32::MAX),
                pool_size_min: options.pool_size_min,
                pool_size_max: options.pool_size_max.unwrap_or(u32::MAX),
                lease_order: options.lease_order,
                borrow_timeout: options.borrow_timeout,
                ..PoolLimits::default()
            },
            rules: Arc::default(),
            targets: vec![Arc::clone(&parts.target)],
        },
    }
}

fn server_tls(options: &RunOptions, report: &Report) -> Option<Arc<ServerTls>> {
    let (certificate, key) = match (&options.tls_certificate, &options.tls_key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => {
            if options.require_tls {
                report.error(
                    &place("--require-tls"),
                    None,
                    "needs --tls-cert FILE and --tls-key FILE",
                );
            }
            return None;
        }
        (Some(_), None) => {
            report.error(&place("--tls-cert"), None, "needs --tls-key FILE");
            return None;
        }
        (None, Some(_)) => {
            report.error(&place("--tls-key"), None, "needs --tls-cert FILE");
            return None;
        }
    };
    match certificates::identity(certificate, key) {
        Ok(loaded) => {
            if loaded.key_world_readable {
                let text = format!(
                    "every user of this machine may read {}: chmod 600",
                    key.display()
                );
                report.warning(&place("--tls-key"), text);
            }
            Some(Arc::new(ServerTls {
                identity: loaded.identity,
                client_authorities: Vec::new(),
            }))
        }
        Err(fix) => {
            report.error(&place("--tls-cert"), None, fix);
            None
        }
    }
}

/// Clients and metrics need a port each, and the database is somebody else.
fn check_addresses(target: &Target, options: &RunOptions, report: &Report) {
    if is_listener(&target.host, target.port, options.listen) {
        let fix = "is the database of the URL: choose another port for clients";
        report.error(&place("--listen"), Some(options.listen.to_string()), fix);
    }
    if let Some(metrics) = options.metrics
        && collide(options.listen, metrics)
    {
        let fix = format!("is taken by --metrics {metrics}: choose another port for one of them");
        report.error(&place("--listen"), Some(options.listen.to_string()), fix);
    }
}

fn check_sizes(options: &RunOptions, report: &Report) {
    let table = [
        ("--max-connections", options.connections_max),
        ("--pool-size-max", options.pool_size_max),
    ];
    for (option, max) in table {
        if let Some(max) = max.filter(|max| *max < options.pool_size_min) {
            let fix = format!("must be 0 to {option} ({max})");
            let min = options.pool_size_min.to_string();
            report.error(&place("--pool-size-min"), Some(min), fix);
        }
    }
}

fn check_durations(options: &RunOptions, report: &Report) {
    let table = [
        (
            "--idle-client-timeout",
            options.idle_client_timeout,
            proxy_defaults::IDLE_CLIENT_TIMEOUT_RANGE,
        ),
        (
            "--borrow-timeout",
            options.borrow_timeout,
            proxy_defaults::BORROW_TIMEOUT_RANGE,
        ),
    ];
    for (key, value, range) in table {
        if !range.contains(&value) {
            report.error(
                &place(key),
                Some(values::shown(value)),
                values::duration_rule(&range),
            );
        }
    }
}
