//! What the command line and the file come to: the settings of the process, the first snapshot, and where to reload it from.

use crate::cli::{self, MetricsAddress, ProcessArgs, RunArgs, ServeArgs};
use anyhow::Result;
use forebay_control::Warning;
use forebay_control::config::{self, Driver, LogFormat, ServerConfig};
use forebay_control::connection_url::{self, RunOptions};
use forebay_core::snapshot::{ClientAuth, EngineFamily, LeaseOrder, Snapshot};
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Everything that is known before anything is started.
pub struct Plan {
    pub server: ServerConfig,
    pub log_level: LevelFilter,
    pub allow_core: bool,
    pub snapshot: Snapshot,
    pub warnings: Vec<Warning>,
    pub origin: Origin,
}

/// Where the snapshot comes from.
pub enum Origin {
    /// A file, which SIGHUP reads again, and what it said of the process itself.
    File { path: PathBuf, server: ServerConfig },
    /// The command line; family, user and database for the example that is printed.
    Url {
        engine: EngineFamily,
        user: String,
        database: String,
    },
}

/// The plan of `forebay run`.
pub fn from_url(args: &RunArgs) -> Result<Plan> {
    let server = ServerConfig {
        drain_timeout: args.drain_timeout,
        ..ServerConfig::default()
    };
    let server = overridden(server, &args.process);
    let options = RunOptions {
        listen: args.listen,
        metrics: server.metrics,
        connections_max: args.max_connections,
        pool_size_min: args.pool_size_min,
        pool_size_max: args.pool_size_max,
        lease_order: match args.lease_order {
            cli::LeaseOrder::Recent => LeaseOrder::Recent,
            cli::LeaseOrder::Rotate => LeaseOrder::Rotate,
        },
        require_tls: args.require_tls,
        tls_certificate: args.tls_cert.clone(),
        tls_key: args.tls_key.clone(),
        idle_client_timeout: args.idle_client_timeout,
        borrow_timeout: args.borrow_timeout,
        client_auth: args.client_auth.map(|auth| match auth {
            cli::ClientAuth::Scram => ClientAuth::ScramSha256,
            cli::ClientAuth::Md5 => ClientAuth::Md5,
            cli::ClientAuth::CachingSha2 => ClientAuth::CachingSha2,
            cli::ClientAuth::Native => ClientAuth::NativePassword,
            cli::ClientAuth::Ed25519 => ClientAuth::Ed25519,
            cli::ClientAuth::Parsec => ClientAuth::Parsec,
        }),
    };
    let read = connection_url::read(&args.url, &options, 1, &environment)?;
    Ok(Plan {
        server,
        log_level: log_level(args.process.log_level),
        allow_core: args.process.allow_core,
        snapshot: read.snapshot,
        warnings: read.warnings,
        origin: Origin::Url {
            engine: read.engine,
            user: read.user,
            database: read.database,
        },
    })
}

/// The plan of `forebay serve`.
pub fn from_file(args: &ServeArgs) -> Result<Plan> {
    let loaded = config::load(&args.config, 1, &environment)?;
    Ok(Plan {
        server: overridden(loaded.server.clone(), &args.process),
        log_level: log_level(args.process.log_level),
        allow_core: args.process.allow_core,
        snapshot: loaded.snapshot,
        warnings: loaded.warnings,
        origin: Origin::File {
            path: args.config.clone(),
            server: loaded.server,
        },
    })
}

/// A variable of this process's environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn overridden(mut server: ServerConfig, args: &ProcessArgs) -> ServerConfig {
    server.workers = args.workers.or(server.workers);
    match args.driver {
        Some(cli::Driver::Auto) => server.driver = Driver::Auto,
        Some(cli::Driver::Uring) => server.driver = Driver::Uring,
        Some(cli::Driver::Epoll) => server.driver = Driver::Epoll,
        None => {}
    }
    match args.metrics {
        Some(MetricsAddress::Off) => server.metrics = None,
        Some(MetricsAddress::At(address)) => server.metrics = Some(address),
        None => {}
    }
    match args.log_format {
        Some(cli::LogFormat::Text) => server.log_format = LogFormat::Text,
        Some(cli::LogFormat::Json) => server.log_format = LogFormat::Json,
        None => {}
    }
    server
}

fn log_level(level: cli::LogLevel) -> LevelFilter {
    match level {
        cli::LogLevel::Error => LevelFilter::ERROR,
        cli::LogLevel::Warn => LevelFilter::WARN,
        cli::LogLevel::Info => LevelFilter::INFO,
        cli::LogLevel::Debug => LevelFilter::DEBUG,
        cli::LogLevel::Trace => LevelFilter::TRACE,
    }
}
