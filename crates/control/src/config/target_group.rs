//! The table `target_group` of a proxy: RDS's `ConnectionPoolConfig`, our additions to it, and the databases behind.

use super::reader::Table;
use super::sites::Sites;
use super::{proxy_defaults, session_rules, tls, values};
use forebay_core::snapshot::{EngineFamily, LeaseOrder, PoolLimits, Target, TargetGroup};
use std::sync::Arc;
use std::time::Duration;

const KEYS: &[&str] = &[
    "max_connections_percent",
    "max_idle_connections_percent",
    "connection_borrow_timeout",
    "init_query",
    "max_connections",
    "pool_size_max",
    "min_connections",
    "backend_lifetime_max",
    "backend_idle_timeout",
    "queue_max",
    "dial_concurrency_max",
    "lease_order",
    "targets",
];

const SECOND: Duration = Duration::from_secs(1);
/// Most backends any bound may name: beyond any database's `max_connections` (262143 for PostgreSQL).
const BACKENDS_MAX: u32 = 1_000_000;
/// Longest initialization query: what also fits into the bound on a single statement.
const INIT_QUERY_BYTES_MAX: usize = 16 * 1024;
/// Longest time a backend may be told to live.
const LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads the target group of a proxy with so many users.
pub(super) fn read(
    proxy: &Table<'_>,
    engine: EngineFamily,
    users: usize,
    sites: &mut Sites,
) -> TargetGroup {
    let Some(table) = proxy.table("target_group") else {
        if proxy.field("target_group").is_none() {
            proxy.missing(
                "target_group",
                "a table with at least one [[proxies.target_group.targets]]",
            );
        }
        return TargetGroup {
            limits: PoolLimits::default(),
            rules: Arc::default(),
            targets: Vec::new(),
        };
    };
    let known: Vec<&str> = KEYS.iter().chain(&session_rules::KEYS).copied().collect();
    table.allow(&known);
    let limits = limits(&table);
    warn_of_what_has_no_effect(&table, &limits, users);
    TargetGroup {
        limits,
        rules: Arc::new(session_rules::read(&table)),
        targets: targets(&table, engine, sites),
    }
}

/// Bounds that another bound keeps from ever being reached.
fn warn_of_what_has_no_effect(table: &Table<'_>, limits: &PoolLimits, users: usize) {
    let warn = |key: &str, text: String| {
        if let Some(field) = table.field(key) {
            table.report.warning(&field.place, text);
        }
    };
    let most = limits.connections_max;
    if limits.pool_size_max != u32::MAX && limits.pool_size_max > most {
        let text = format!(
            "{} is never reached: max_connections is {most}",
            limits.pool_size_max
        );
        warn("pool_size_max", text);
    }
    let warm = u64::from(limits.pool_size_min) * users as u64;
    if limits.pool_size_min <= most && warm > u64::from(most) {
        let text = format!(
            "{} for each of {users} users makes {warm}, and max_connections is {most}: their pools will not all be warm; lower the one or raise the other",
            limits.pool_size_min
        );
        warn("min_connections", text);
    }
    let (idle, life) = (limits.idle_timeout, limits.lifetime_max);
    if idle >= life {
        let key = match table.field("backend_idle_timeout") {
            Some(_) => "backend_idle_timeout",
            None => "backend_lifetime_max",
        };
        let text = format!(
            "no backend is ever trimmed: backend_idle_timeout ({}) is not below backend_lifetime_max ({})",
            values::shown(idle),
            values::shown(life)
        );
        warn(key, text);
    }
}

fn limits(table: &Table<'_>) -> PoolLimits {
    let default = PoolLimits::default();
    let orders = [
        ("recent", LeaseOrder::Recent),
        ("rotate", LeaseOrder::Rotate),
    ];
    let (connections_max_percent, idle_connections_max_percent) = percents(table);
    let pool_size_max = table.bound("pool_size_max", BACKENDS_MAX);
    let connections_max = table.bound("max_connections", BACKENDS_MAX);
    PoolLimits {
        connections_max_percent,
        connections_max,
        idle_connections_max_percent,
        pool_size_max,
        pool_size_min: pool_size_min(table, pool_size_max, connections_max),
        borrow_timeout: table.duration(
            "connection_borrow_timeout",
            proxy_defaults::BORROW_TIMEOUT_RANGE,
            default.borrow_timeout,
        ),
        init_query: init_query(table),
        idle_timeout: table.duration(
            "backend_idle_timeout",
            SECOND..=LIFETIME_MAX,
            default.idle_timeout,
        ),
        lifetime_max: table.duration(
            "backend_lifetime_max",
            SECOND..=LIFETIME_MAX,
            default.lifetime_max,
        ),
        queue_max: small(table.integer("queue_max", 1..=1_000_000, u64::from(default.queue_max))),
        dials_max: small(table.integer(
            "dial_concurrency_max",
            1..=1000,
            u64::from(default.dials_max),
        )),
        lease_order: table.choice("lease_order", &orders, default.lease_order),
    }
}

/// The callers' ranges end far below `u32::MAX`.
fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// `MaxConnectionsPercent`, and `MaxIdleConnectionsPercent` with its default of half of that.
fn percents(table: &Table<'_>) -> (u8, u8) {
    let max = table.integer("max_connections_percent", 1..=100, 100);
    let fix = format!("must be 0 to max_connections_percent ({max})");
    let idle = table.integer_or("max_idle_connections_percent", 0..=max, &fix);
    let percent = |value: u64| u8::try_from(value).unwrap_or(100);
    (percent(max), percent(idle.unwrap_or(max / 2)))
}

fn pool_size_min(table: &Table<'_>, pool_size_max: u32, connections_max: u32) -> u32 {
    let (most, fix) = match (pool_size_max, connections_max) {
        (u32::MAX, u32::MAX) => (BACKENDS_MAX, format!("must be 0 to {BACKENDS_MAX}")),
        (size, all) if size <= all => (size, format!("must be 0 to pool_size_max ({size})")),
        (_, all) => (all, format!("must be 0 to max_connections ({all})")),
    };
    let min = table.integer_or("min_connections", 0..=u64::from(most), &fix);
    small(min.unwrap_or(0))
}

fn init_query(table: &Table<'_>) -> Arc<str> {
    let Some((text, field)) = table.text("init_query") else {
        return Arc::from("");
    };
    if text.len() > INIT_QUERY_BYTES_MAX || text.contains('\0') {
        let fix =
            format!("must be at most {INIT_QUERY_BYTES_MAX} bytes of SQL without a NUL character");
        table.wrong(&field, fix);
    }
    Arc::from(text.trim())
}

/// RDS lets a proxy have one database (or cluster); several instances belong to failover.
fn targets(table: &Table<'_>, engine: EngineFamily, sites: &mut Sites) -> Vec<Arc<Target>> {
    let fix = "at least one [[proxies.target_group.targets]] with a host";
    let tables = table.tables_required("targets", fix);
    if let Some(second) = tables.get(1) {
        let fix = "not yet supported: a target group has one target";
        table.report.error(&second.place, None, fix);
    }
    tables
        .iter()
        .filter_map(|table| target(table, engine, sites))
        .collect()
}

fn target(table: &Table<'_>, engine: EngineFamily, sites: &mut Sites) -> Option<Arc<Target>> {
    table.allow(&["host", "port", "tls"]);
    let tls = tls::read_target(table);
    let port = port(table, engine);
    let (host, field) = table.text_required("host", "the database's host name or address")?;
    if !values::is_host(host) {
        let fix = "must be a host name or an IP address, without a port";
        table.wrong(&field, fix);
    }
    sites.on_target(host, port, field.place);
    Some(Arc::new(Target {
        host: Arc::from(host),
        port,
        tls,
    }))
}

fn port(table: &Table<'_>, engine: EngineFamily) -> u16 {
    let port = table.integer("port", 1..=65535, engine.port().into());
    u16::try_from(port).unwrap_or(engine.port())
}
