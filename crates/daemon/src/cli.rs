//! The command line. Its help is the reference; `docs/operating/running.md` tells the rest.

use crate::sessions::BaseUrl;
use clap::{Args, Parser, Subcommand, ValueEnum};
use forebay_control::config;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// An open, self-hosted database proxy with the contract of Amazon RDS Proxy.
///
/// Applications connect to Forebay instead of to their database; it lends each of them one of a few warm database connections for as long as a
/// transaction takes.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  forebay run postgres://app:secret@db.example.org:5432/orders
  forebay check --config forebay.toml
  forebay serve --config forebay.toml
  forebay sessions --pinned
  forebay explain \"SELECT set_tenant(7)\"

SIGHUP reads the configuration file again; SIGTERM lets transactions end and stops.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stand in front of one database with one user: no file needed.
    Run(Box<RunArgs>),
    /// Serve what a configuration file says.
    Serve(ServeArgs),
    /// Check a configuration file: says everything that is wrong with it, and starts nothing.
    Check(CheckArgs),
    /// Ask a running Forebay who is connected, what they do, and what keeps a database connection to itself.
    Sessions(SessionsArgs),
    /// Say how SQL would be treated, and why: what follows the client, what pins, what the database is asked about.
    Explain(ExplainArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  forebay run postgres://app:secret@127.0.0.1:5432/orders
  forebay run mysql://app:secret@127.0.0.1:3306/orders
  PGPASSWORD=secret forebay run postgres://app@db.example.org/orders --listen 0.0.0.0:6432
  forebay run 'postgres://app:secret@db.example.org/orders?sslmode=verify-full&sslrootcert=ca.pem'

Clients log in with the same user and password, to any database that this user may use.";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…, or mysql://… or mariadb://…
    ///
    /// Characters such as @ : / in user or password are written %40 %3A %2F. Without a password, PGPASSWORD is taken from the environment, where
    /// other users of the machine cannot see it. Known parameters: sslmode, sslrootcert, sslcert, sslkey, with libpq's meanings.
    pub url: String,
    /// Where clients connect; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:6432", value_parser = address)]
    pub listen: SocketAddr,
    /// Most database connections in all; by default as many as the database allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: Option<u32>,
    /// Database connections kept open for each user and database even when nobody asks
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub pool_size_min: u32,
    /// Most database connections of each user in each database; by default as many as there may be in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub pool_size_max: Option<u32>,
    /// Which idle database connection is lent first; rotate is an aid for tests
    #[arg(long, value_enum, default_value_t = LeaseOrder::Recent)]
    pub lease_order: LeaseOrder,
    /// Refuse clients that do not use TLS
    #[arg(long, requires = "tls_cert")]
    pub require_tls: bool,
    /// Certificate for TLS with clients (PEM, with its chain)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Close clients that send nothing for this long, 1s to 8h
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    pub idle_client_timeout: Duration,
    /// How long a client waits for a database connection, 0s to 1h
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration)]
    pub borrow_timeout: Duration,
    /// How clients prove that they know the password [default: scram for postgres://, caching-sha2 for mysql://, native for mariadb://]
    #[arg(long, value_enum)]
    pub client_auth: Option<ClientAuth>,
    /// How long SIGTERM waits for transactions to end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Settings of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Settings of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

const SESSIONS_EXAMPLES: &str = "\
Examples:
  forebay sessions
  forebay sessions --pinned --sort age
  forebay sessions --json --limit 10000 --url http://127.0.0.1:9432

A pin is shown with its reason, its age, and fingerprint and text of the statement that began it, without the statement's constants.";

/// Arguments of `sessions`.
#[derive(Debug, Args)]
#[command(after_help = SESSIONS_EXAMPLES)]
pub struct SessionsArgs {
    /// Where the running Forebay serves its metrics
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9432")]
    pub url: BaseUrl,
    /// Only sessions that keep their database connection between transactions
    #[arg(long)]
    pub pinned: bool,
    /// Which come first
    #[arg(long, value_enum, default_value_t = SessionsSort::Client)]
    pub sort: SessionsSort,
    /// Most sessions to show
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// As JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `--sort`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SessionsSort {
    /// Those that connected first
    Client,
    /// Those whose state has lasted longest; with --pinned, whose pin has
    Age,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  forebay explain \"SET search_path TO app; SELECT f(1)\"
  forebay explain --json - < migration.sql

Nothing is sent to any database. The text is read as that of a query; views, triggers and functions of your
database may do more than it tells.";

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArgs {
    /// One or several statements, or - to read them from standard input
    pub sql: String,
    /// Whose statements they are
    #[arg(long, value_enum, default_value_t = ExplainEngine::Postgres)]
    pub engine: ExplainEngine,
    /// One JSON object for each statement, in an array
    #[arg(long)]
    pub json: bool,
    /// Read backslashes in plain strings as with standard_conforming_strings = off
    #[arg(long)]
    pub backslash_escapes: bool,
    /// The sql_mode under which statements of MySQL and MariaDB are read
    #[arg(long, value_name = "MODES", default_value = "")]
    pub sql_mode: String,
}

/// `--engine` of `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainEngine {
    /// PostgreSQL
    Postgres,
    /// MySQL
    Mysql,
    /// MariaDB
    Mariadb,
}

/// Settings of the process; given ones win over the configuration file.
#[derive(Debug, Args)]
pub struct ProcessArgs {
    /// Threads that move bytes; by default one per core
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<NonZeroUsize>,
    /// What they run on; auto takes io_uring where the kernel allows it
    #[arg(long, value_enum)]
    pub driver: Option<Driver>,
    /// Where metrics and health are served, or off [default: 127.0.0.1:9432]
    #[arg(long, value_name = "HOST:PORT|off", value_parser = metrics)]
    pub metrics: Option<MetricsAddress>,
    /// How log lines are written to standard error [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged; debug shows each connection
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// Let a crash write a core file, which would hold passwords and clients' data
    #[arg(long)]
    pub allow_core: bool,
}

/// `--driver`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Driver {
    /// The best that works here
    Auto,
    /// io_uring, or do not start
    Uring,
    /// epoll
    Epoll,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// `--log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Bugs and what stops us
    Error,
    /// Also pins and refusals
    Warn,
    /// Also start, reload and drain
    Info,
    /// Also each connection
    Debug,
    /// Everything
    Trace,
}

/// `--client-auth`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ClientAuth {
    /// SCRAM-SHA-256
    Scram,
    /// MD5: for clients that know nothing better
    Md5,
    /// caching_sha2_password, MySQL's usual one
    #[value(name = "caching-sha2")]
    CachingSha2,
    /// mysql_native_password, MariaDB's usual one
    Native,
    /// MariaDB's client_ed25519
    Ed25519,
    /// MariaDB's parsec
    Parsec,
}

/// `--lease-order`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LeaseOrder {
    /// The one used last
    Recent,
    /// The one idle for longest
    Rotate,
}

/// `--metrics`; clap takes an option of an option for something else.
#[derive(Debug, Clone, Copy)]
pub enum MetricsAddress {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let mut addresses = text
        .to_socket_addrs()
        .map_err(|_| "expected HOST:PORT such as 127.0.0.1:6432".to_owned())?;
    addresses
        .next()
        .ok_or_else(|| "the host has no address".to_owned())
}

fn metrics(text: &str) -> Result<MetricsAddress, String> {
    match text {
        "off" => Ok(MetricsAddress::Off),
        _ => address(text).map(MetricsAddress::At),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected seconds, or a number with ms, s, m or h, such as 90s".to_owned();
    config::duration(text).ok_or_else(expected)
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().and_then(NonZeroUsize::new);
    let number = number.filter(|number| number.get() <= config::WORKERS_MAX);
    number.ok_or_else(|| format!("expected 1 to {}", config::WORKERS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_may_be_a_port_alone() {
        assert_eq!(address("0"), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert_eq!(address("[::1]:80").map(|address| address.port()), Ok(80));
        assert!(address("here").is_err());
        assert!(address("127.0.0.1").is_err());
    }

    #[test]
    fn a_duration_needs_a_known_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert!(duration("30 minutes").is_err());
    }

    #[test]
    fn workers_are_counted_from_one() {
        assert!(workers("0").is_err());
        assert!(workers("513").is_err());
        assert_eq!(workers("2").map(NonZeroUsize::get), Ok(2));
    }
}
