//! The table `[server]`: how the process itself runs. A reload does not change these; the command line may override them.

use super::reader::Table;
use super::values;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Most worker threads one process may have.
pub const WORKERS_MAX: usize = 512;

/// What the workers' event loops run on (`--driver`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// The best that works here.
    #[default]
    Auto,
    /// io_uring, or nothing.
    Uring,
    /// Readiness through epoll or kqueue.
    Epoll,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Who may ask who is connected, at `/sessions` beside the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionsAudience {
    /// Nobody.
    Off,
    /// Who comes from this machine.
    #[default]
    Loopback,
    /// Whoever reaches the port.
    Any,
}

/// Settings of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Number of worker threads; `None`: one per core.
    pub workers: Option<NonZeroUsize>,
    /// What their event loops run on.
    pub driver: Driver,
    /// Where metrics and health are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Who may ask there who is connected.
    pub sessions_audience: SessionsAudience,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// How long a drain waits for clients to reach the end of their transaction.
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            workers: None,
            driver: Driver::Auto,
            metrics: Some(SocketAddr::from(([127, 0, 0, 1], 9432))),
            sessions_audience: SessionsAudience::Loopback,
            log_format: LogFormat::Text,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

pub(super) fn read(root: &Table<'_>) -> ServerConfig {
    let default = ServerConfig::default();
    let Some(table) = root.table("server") else {
        return default;
    };
    table.allow(&[
        "workers",
        "driver",
        "metrics",
        "sessions_audience",
        "log_format",
        "drain_timeout",
    ]);
    let drivers = [
        ("auto", Driver::Auto),
        ("uring", Driver::Uring),
        ("epoll", Driver::Epoll),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let audiences = [
        ("off", SessionsAudience::Off),
        ("loopback", SessionsAudience::Loopback),
        ("any", SessionsAudience::Any),
    ];
    let audience = table.choice("sessions_audience", &audiences, default.sessions_audience);
    let drain = Duration::ZERO..=Duration::from_secs(3600);
    ServerConfig {
        workers: workers(&table),
        driver: table.choice("driver", &drivers, default.driver),
        metrics: metrics(&table, default.metrics),
        sessions_audience: audience,
        log_format: table.choice("log_format", &formats, default.log_format),
        drain_timeout: table.duration("drain_timeout", drain, default.drain_timeout),
    }
}

fn workers(table: &Table<'_>) -> Option<NonZeroUsize> {
    let fix = format!("must be 1 to {WORKERS_MAX}; leave it out for one per core");
    let workers = table.integer_or("workers", 1..=WORKERS_MAX as u64, &fix)?;
    usize::try_from(workers).ok().and_then(NonZeroUsize::new)
}

fn metrics(table: &Table<'_>, default: Option<SocketAddr>) -> Option<SocketAddr> {
    let Some((text, field)) = table.text("metrics") else {
        return default;
    };
    if text == "off" {
        return None;
    }
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            table.wrong(
                &field,
                format!("must be \"off\" or {}", values::ADDRESS_RULE),
            );
            None
        }
    }
}
