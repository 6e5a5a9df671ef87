//! Counters and gauges: one row each, with its name, its meaning and where it is read.
//!
//! Names are without the prefix `forebay_`; counters get the suffix `_total` when they are written. The first part of each table is
//! CloudWatch's, in its words; the rest is ours. Help texts end with the CloudWatch name where there is one.

use forebay_core::metrics::{Availability, EndpointBlock, TargetBlock, WorkerBlock};
use forebay_core::{PinReason, Refusal};
use prometheus_client::registry::Unit;

/// How figures of several workers become one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Only grows; the sum.
    Counter,
    /// Moves both ways; the sum.
    Gauge,
    /// Every worker writes what it knows of one shared figure: the largest, as it is shown; `None` while nobody knows.
    Shared(fn(u64) -> Option<u64>),
}

/// A figure with its name.
pub(super) struct Family<B> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) read: fn(&B) -> u64,
}

const fn counter<B>(name: &'static str, help: &'static str, read: fn(&B) -> u64) -> Family<B> {
    Family {
        name,
        help,
        kind: Kind::Counter,
        read,
    }
}

const fn gauge<B>(name: &'static str, help: &'static str, read: fn(&B) -> u64) -> Family<B> {
    Family {
        name,
        help,
        kind: Kind::Gauge,
        read,
    }
}

const fn shared<B>(
    name: &'static str,
    help: &'static str,
    read: fn(&B) -> u64,
    shown: fn(u64) -> Option<u64>,
) -> Family<B> {
    Family {
        name,
        help,
        kind: Kind::Shared(shown),
        read,
    }
}

/// A figure that is never zero once it is known.
fn unless_zero(figure: u64) -> Option<u64> {
    (figure > 0).then_some(figure)
}

/// 100, 0, or nothing before the first attempt.
fn percentage(availability: u64) -> Option<u64> {
    match availability {
        up if up == Availability::Up as u64 => Some(100),
        down if down == Availability::Down as u64 => Some(0),
        _ => None,
    }
}

/// Per endpoint (dimensions ProxyName, EndpointName).
pub(super) const ENDPOINT: &[Family<EndpointBlock>] = &[
    gauge(
        "client_connections",
        "Open client connections (ClientConnections).",
        |b| b.client_connections.get(),
    ),
    counter(
        "client_connections_closed",
        "Client connections that ended (ClientConnectionsClosed).",
        |b| b.client_connections_closed.get(),
    ),
    gauge(
        "client_connections_in_setup",
        "Open client connections that have not finished their login (ClientConnectionsInSetup).",
        |b| b.client_connections_in_setup.get(),
    ),
    gauge(
        "client_connections_no_tls",
        "Open client connections without TLS (ClientConnectionsNoTLS).",
        |b| {
            b.client_connections
                .get()
                .wrapping_sub(b.client_connections_tls.get())
        },
    ),
    gauge(
        "client_connections_tls",
        "Open client connections with TLS (ClientConnectionsTLS).",
        |b| b.client_connections_tls.get(),
    ),
    counter(
        "client_connections_received",
        "Client connections that were accepted (ClientConnectionsReceived).",
        |b| b.client_connections_received.get(),
    ),
    counter(
        "client_connections_setup_failed_auth",
        "Client logins that failed for authentication or TLS (ClientConnectionsSetupFailedAuth).",
        |b| b.client_connections_setup_failed_auth.get(),
    ),
    counter(
        "client_connections_setup_succeeded",
        "Client logins that succeeded (ClientConnectionsSetupSucceeded).",
        |b| b.client_connections_setup_succeeded.get(),
    ),
    counter(
        "client_connections_with_previous_password",
        "Client logins that proved the previous password of their user, while a secret has two.",
        |b| b.client_connections_with_previous_password.get(),
    ),
    counter(
        "query_requests",
        "Requests received, with and without TLS (QueryRequests).",
        |b| {
            b.query_requests_tls
                .get()
                .wrapping_add(b.query_requests_no_tls.get())
        },
    ),
    counter(
        "query_requests_no_tls",
        "Requests received without TLS (QueryRequestsNoTLS).",
        |b| b.query_requests_no_tls.get(),
    ),
    counter(
        "query_requests_tls",
        "Requests received with TLS (QueryRequestsTLS).",
        |b| b.query_requests_tls.get(),
    ),
    gauge(
        "clients_waiting",
        "Clients that wait for a database connection.",
        |b| b.clients_waiting.get(),
    ),
    counter(
        "clients_throttled",
        "Refusals because of a limit on clients, connection rate or queue.",
        |b| b.throttled.get(),
    ),
    counter(
        "borrow_timeouts",
        "Clients that got no database connection within ConnectionBorrowTimeout.",
        |b| b.borrow_timeouts.get(),
    ),
    counter(
        "session_unpins",
        "Pinned sessions that gave their database connection back before they ended.",
        |b| b.unpins.get(),
    ),
    counter(
        "cancels_delivered",
        "Cancel requests that reached a query or a waiting client.",
        |b| b.cancels_delivered.get(),
    ),
    counter(
        "cancels_unmatched",
        "Cancel requests that found nothing to cancel.",
        |b| b.cancels_unmatched.get(),
    ),
    gauge(
        "subscriptions",
        "Channels that clients listen on without a database connection of their own, each counted once for each client.",
        |b| b.subscriptions.get(),
    ),
    counter(
        "notifications_delivered",
        "Notifications sent to such clients.",
        |b| b.notifications_delivered.get(),
    ),
    counter(
        "client_bytes_received",
        "Bytes received from clients, inside TLS where there is TLS.",
        |b| b.bytes_received.get(),
    ),
    counter(
        "client_bytes_sent",
        "Bytes sent to clients, inside TLS where there is TLS.",
        |b| b.bytes_sent.get(),
    ),
];

/// A figure for each of several reasons, per endpoint.
pub(super) struct ReasonFamily {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    /// Moves both ways.
    pub(super) is_gauge: bool,
    pub(super) reasons: fn() -> Vec<&'static str>,
    pub(super) read: fn(&EndpointBlock, usize) -> u64,
}

fn pin_reasons() -> Vec<&'static str> {
    PinReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .collect()
}

/// Per endpoint and reason.
pub(super) const BY_REASON: &[ReasonFamily] = &[
    ReasonFamily {
        name: "session_pins",
        help: "Sessions that began to keep their database connection between transactions, by reason.",
        unit: None,
        is_gauge: false,
        reasons: pin_reasons,
        read: |b, index| b.pins[index].get(),
    },
    ReasonFamily {
        name: "session_pins_ended",
        help: "Pins that ended, before their session or with it, by the reason that began them.",
        unit: None,
        is_gauge: false,
        reasons: pin_reasons,
        read: |b, index| b.pins_ended[index].get(),
    },
    ReasonFamily {
        name: "session_pins_current",
        help: "Sessions that keep their database connection between transactions, by the reason that began it.",
        unit: None,
        is_gauge: true,
        reasons: pin_reasons,
        read: |b, index| b.pins_current[index].get(),
    },
    ReasonFamily {
        name: "session_pinned",
        help: "How long pins that ended had lasted in all, by the reason that began them.",
        unit: Some(Unit::Seconds),
        is_gauge: false,
        reasons: pin_reasons,
        read: |b, index| b.pinned_micros[index].get(),
    },
    ReasonFamily {
        name: "client_refusals",
        help: "Clients that were told no by the proxy itself, by reason.",
        unit: None,
        is_gauge: false,
        reasons: || Refusal::NAMES.to_vec(),
        read: |b, index| b.refusals[index].get(),
    },
];

/// Per target (dimensions ProxyName, TargetGroup, Target and ProxyName, TargetGroup, TargetRole).
pub(super) const TARGET: &[Family<TargetBlock>] = &[
    shared(
        "availability_percentage",
        "100 if the target answered at the last attempt to open a connection, otherwise 0; absent before the first (AvailabilityPercentage is its average).",
        |b| b.availability.get(),
        percentage,
    ),
    counter(
        "database_connection_requests",
        "Attempts to open a database connection (DatabaseConnectionRequests).",
        |b| b.database_connection_requests.get(),
    ),
    counter(
        "database_connection_requests_with_tls",
        "Attempts to open a database connection with TLS (DatabaseConnectionRequestsWithTLS).",
        |b| b.database_connection_requests_with_tls.get(),
    ),
    gauge(
        "database_connections",
        "Open database connections (DatabaseConnections).",
        |b| b.database_connections.get(),
    ),
    gauge(
        "database_connections_with_tls",
        "Open database connections with TLS (DatabaseConnectionsWithTLS).",
        |b| b.database_connections_with_tls.get(),
    ),
    gauge(
        "database_connections_currently_borrowed",
        "Database connections that a session holds (DatabaseConnectionsCurrentlyBorrowed).",
        |b| b.database_connections_currently_borrowed.get(),
    ),
    gauge(
        "database_connections_currently_in_transaction",
        "Database connections with an open transaction (DatabaseConnectionsCurrentlyInTransaction).",
        |b| b.database_connections_currently_in_transaction.get(),
    ),
    gauge(
        "database_connections_currently_session_pinned",
        "Database connections that a pinned session keeps (DatabaseConnectionsCurrentlySessionPinned).",
        |b| b.database_connections_currently_session_pinned.get(),
    ),
    counter(
        "database_connections_setup_failed",
        "Database connections that could not be set up (DatabaseConnectionsSetupFailed).",
        |b| b.database_connections_setup_failed.get(),
    ),
    counter(
        "database_connections_setup_succeeded",
        "Database connections that were set up (DatabaseConnectionsSetupSucceeded).",
        |b| b.database_connections_setup_succeeded.get(),
    ),
    shared(
        "max_database_connections_allowed",
        "Most database connections the proxy may open; absent until the database has told its own limit (MaxDatabaseConnectionsAllowed).",
        |b| b.max_database_connections_allowed.get(),
        unless_zero,
    ),
    counter(
        "backends_moved",
        "Database connections that went to another worker.",
        |b| b.backends_moved.get(),
    ),
    counter(
        "settings_replayed",
        "Times the settings of a database connection were changed for its next session.",
        |b| b.settings_replayed.get(),
    ),
    counter(
        "sessions_probed",
        "Times a database was asked what a session holds, because statements ran whose texts do not tell.",
        |b| b.sessions_probed.get(),
    ),
    counter(
        "statements_reprepared",
        "Statements prepared again on another database connection.",
        |b| b.statements_reprepared.get(),
    ),
    counter(
        "backends_not_clean",
        "Database connections closed because they could not be proven clean.",
        |b| b.backends_not_clean.get(),
    ),
    counter(
        "backends_unsuitable",
        "Database connections replaced because they knew custom settings that the session which was to have them never set.",
        |b| b.backends_unsuitable.get(),
    ),
    gauge(
        "listeners",
        "Database connections that listen for clients; they are not in the pools.",
        |b| b.listeners.get(),
    ),
    counter(
        "notifications_heard",
        "Notifications that those were told.",
        |b| b.notifications_heard.get(),
    ),
    counter(
        "listeners_lost",
        "Losses of such a connection while clients listened, who were told and closed.",
        |b| b.listeners_lost.get(),
    ),
];

/// Per worker.
pub(super) const WORKER: &[Family<WorkerBlock>] = &[
    counter("worker_loops", "Turns of the worker's event loop.", |b| {
        b.loops.get()
    }),
    counter(
        "worker_events",
        "Completions or readiness events that the worker handled.",
        |b| b.events.get(),
    ),
    counter(
        "worker_system_calls",
        "System calls of the worker's driver.",
        |b| b.system_calls.get(),
    ),
    counter(
        "worker_buffers_exhausted",
        "Receives that found no buffer.",
        |b| b.buffers_exhausted.get(),
    ),
    counter(
        "worker_accepts_failed",
        "Connections that could not be accepted for want of file descriptors or memory; tried again every 100 ms.",
        |b| b.accepts_failed.get(),
    ),
    counter(
        "bugs",
        "Incidents that cannot happen; each closed the two connections of one session.",
        |b| b.bugs.get(),
    ),
];
