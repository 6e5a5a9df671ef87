//! Counters, gauges and histograms that exactly one worker writes and anyone may read.
//!
//! A single writer needs no locked instruction: an update is a relaxed load and a relaxed store. Readers add up the blocks of all
//! workers at scrape time, so that every exporter tells the same figures. Names follow CloudWatch's per-proxy metrics of RDS Proxy;
//! `docs/ledger/metrics.md` maps them. Blocks outlive their connections: they are registered once per worker and label set.

use crate::snapshot::{EngineFamily, TargetRole};
use crate::{PinReason, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A number that only grows, or a gauge that its one writer moves both ways.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Subtracts `n` (gauges). Only the owning worker may call this.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_sub(n),
            Ordering::Relaxed,
        );
    }

    /// Sets the value (gauges). Only the owning worker may call this.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value as last written. Gauges may wrap below zero for an instant while blocks are summed: sum with wrapping.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets per power of two: a value is known to a quarter of its size.
const SUB_BUCKETS: usize = 4;
/// Groups of buckets: up to 2^29 µs (537 s) are told apart; longer falls into the last bucket.
const OCTAVES: usize = 28;
/// Number of buckets of a [`Histogram`].
pub const BUCKETS: usize = SUB_BUCKETS * OCTAVES;

/// A log-linear histogram of microseconds.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|_| Counter::default()),
            sum: Counter::default(),
        }
    }
}

impl Histogram {
    /// Counts one value. Only the owning worker may call this.
    #[inline]
    pub fn record(&self, micros: u64) {
        self.buckets[bucket_of(micros)].add(1);
        self.sum.add(micros);
    }

    /// Adds this histogram's figures to `sum`.
    pub fn add_to(&self, sum: &mut HistogramSum) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        sum.sum += self.sum.get();
    }
}

/// The sum of several histograms, as a reader sees it.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    /// Count per bucket; [`bucket_upper_bound`] tells what each covers.
    pub buckets: [u64; BUCKETS],
    /// Sum of all values in microseconds.
    pub sum: u64,
}

impl Default for HistogramSum {
    fn default() -> HistogramSum {
        HistogramSum {
            buckets: [0; BUCKETS],
            sum: 0,
        }
    }
}

impl HistogramSum {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < SUB_BUCKETS as u64 {
        return micros as usize;
    }
    let octave = 63 - micros.leading_zeros() as usize;
    let sub = (micros >> (octave - 2)) as usize & (SUB_BUCKETS - 1);
    ((octave - 1) * SUB_BUCKETS + sub).min(BUCKETS - 1)
}

/// The first value, in microseconds, that is above bucket `index`; the last bucket has no bound.
pub fn bucket_upper_bound(index: usize) -> u64 {
    if index < SUB_BUCKETS {
        return index as u64 + 1;
    }
    let octave = index / SUB_BUCKETS + 1;
    let sub = index % SUB_BUCKETS;
    (1 << octave) + ((sub as u64 + 1) << (octave - 2))
}

/// A counter for each kind of refusal, by its number.
#[derive(Debug)]
pub struct Refusals([Counter; Refusal::NAMES.len()]);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals(std::array::from_fn(|_| Counter::default()))
    }
}

impl std::ops::Index<usize> for Refusals {
    type Output = Counter;

    fn index(&self, number: usize) -> &Counter {
        &self.0[number]
    }
}

/// What one worker counts for one endpoint (dimensions ProxyName, EndpointName).
#[derive(Debug, Default)]
pub struct EndpointBlock {
    /// `ClientConnectionsReceived`.
    pub client_connections_received: Counter,
    /// `ClientConnectionsSetupSucceeded`.
    pub client_connections_setup_succeeded: Counter,
    /// `ClientConnectionsSetupFailedAuth`.
    pub client_connections_setup_failed_auth: Counter,
    /// Logins by a user's previous password, of those that were let in.
    pub client_connections_with_previous_password: Counter,
    /// `ClientConnectionsClosed`.
    pub client_connections_closed: Counter,
    /// `ClientConnections` (gauge): all open ones, in setup or not.
    pub client_connections: Counter,
    /// `ClientConnectionsInSetup` (gauge).
    pub client_connections_in_setup: Counter,
    /// `ClientConnectionsTLS` (gauge); `ClientConnectionsNoTLS` is the rest.
    pub client_connections_tls: Counter,
    /// `QueryRequestsTLS`.
    pub query_requests_tls: Counter,
    /// `QueryRequestsNoTLS`; `QueryRequests` is the sum.
    pub query_requests_no_tls: Counter,
    /// `QueryResponseLatency`, from request in to response out.
    pub query_response_latency: Histogram,
    /// `QueryDatabaseResponseLatency`.
    pub query_database_response_latency: Histogram,
    /// `DatabaseConnectionsBorrowLatency`: the time a session waited for its backend.
    pub database_connections_borrow_latency: Histogram,
    /// Clients that wait for a backend now (gauge).
    pub clients_waiting: Counter,
    /// Refusals, by their number.
    pub refusals: Refusals,
    /// Refusals because of a bound on clients, rate or queue.
    pub throttled: Counter,
    /// Borrow timeouts.
    pub borrow_timeouts: Counter,
    /// Sessions that became pinned, by reason.
    pub pins: [Counter; PinReason::ALL.len()],
    /// Pins that ended before their session did.
    pub unpins: Counter,
    /// Pins that ended, before their session or with it, by reason.
    pub pins_ended: [Counter; PinReason::ALL.len()],
    /// Pinned sessions, by reason (gauge).
    pub pins_current: [Counter; PinReason::ALL.len()],
    /// How long pins that ended had lasted in all, in microseconds, by reason.
    pub pinned_micros: [Counter; PinReason::ALL.len()],
    /// How long pins that ended had lasted.
    pub pin_duration: Histogram,
    /// Cancel requests that reached a query or a waiting client.
    pub cancels_delivered: Counter,
    /// Cancel requests with a key of nobody's, or of a client that neither waited nor had a backend.
    pub cancels_unmatched: Counter,
    /// Channels that clients listen on, each counted for each client (gauge).
    pub subscriptions: Counter,
    /// Notifications sent to clients that listen without a backend of their own.
    pub notifications_delivered: Counter,
    /// Bytes received from clients; with TLS, what was inside.
    pub bytes_received: Counter,
    /// Bytes sent to clients; with TLS, what is inside.
    pub bytes_sent: Counter,
}

/// What one worker counts for one target (dimensions ProxyName, TargetGroup, Target and ProxyName, TargetGroup, TargetRole).
#[derive(Debug, Default)]
pub struct TargetBlock {
    /// `DatabaseConnectionRequests`: attempts to open one.
    pub database_connection_requests: Counter,
    /// `DatabaseConnectionRequestsWithTLS`.
    pub database_connection_requests_with_tls: Counter,
    /// `DatabaseConnectionsSetupSucceeded`.
    pub database_connections_setup_succeeded: Counter,
    /// `DatabaseConnectionsSetupFailed`.
    pub database_connections_setup_failed: Counter,
    /// `DatabaseConnections` (gauge).
    pub database_connections: Counter,
    /// `DatabaseConnectionsWithTLS` (gauge).
    pub database_connections_with_tls: Counter,
    /// `DatabaseConnectionsCurrentlyBorrowed` (gauge).
    pub database_connections_currently_borrowed: Counter,
    /// `DatabaseConnectionsCurrentlyInTransaction` (gauge).
    pub database_connections_currently_in_transaction: Counter,
    /// `DatabaseConnectionsCurrentlySessionPinned` (gauge).
    pub database_connections_currently_session_pinned: Counter,
    /// `MaxDatabaseConnectionsAllowed` (gauge), 0 until the database has told its `max_connections`; every worker writes the same
    /// shared figure: take the maximum, not the sum.
    pub max_database_connections_allowed: Counter,
    /// `QueryDatabaseResponseLatency`.
    pub query_database_response_latency: Histogram,
    /// Backends that went to another worker.
    pub backends_moved: Counter,
    /// Times a backend's settings had to be changed before a lease.
    pub settings_replayed: Counter,
    /// Times that a database was asked what a session holds, because statements ran whose texts do not tell.
    pub sessions_probed: Counter,
    /// Statements prepared again on another backend.
    pub statements_reprepared: Counter,
    /// Backends closed because they could not be proven clean.
    pub backends_not_clean: Counter,
    /// Backends closed because the session that was to have them could have noticed who had them before.
    pub backends_unsuitable: Counter,
    /// Connections that listen for clients (gauge).
    pub listeners: Counter,
    /// Notifications that they were told.
    pub notifications_heard: Counter,
    /// Times such a connection was lost while clients listened.
    pub listeners_lost: Counter,
    /// An [`Availability`] (gauge); every worker writes the same shared figure: take the maximum.
    pub availability: Counter,
}

/// What the last attempt to open a connection to a target came to, as [`TargetBlock::availability`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u64)]
pub enum Availability {
    /// There was none.
    #[default]
    Unknown = 0,
    /// It was not reached, or is starting up or shutting down.
    Down = 1,
    /// It answered, if only that it is full or does not know the user.
    Up = 2,
}

/// What one worker counts for itself.
#[derive(Debug, Default)]
pub struct WorkerBlock {
    /// Turns of the event loop.
    pub loops: Counter,
    /// Completions or readiness events handled.
    pub events: Counter,
    /// System calls that the driver knows it made (`io_uring_enter`, or each call of epoll's driver).
    pub system_calls: Counter,
    /// Receives that found no buffer.
    pub buffers_exhausted: Counter,
    /// Accepts that failed for want of descriptors or memory.
    pub accepts_failed: Counter,
    /// Incidents ("cannot happen").
    pub bugs: Counter,
}

/// Label sets and their blocks, one entry per worker.
#[derive(Debug, Default)]
pub struct Registry {
    endpoints: Mutex<Vec<(EndpointLabels, Arc<EndpointBlock>)>>,
    targets: Mutex<Vec<(TargetLabels, Arc<TargetBlock>)>>,
    workers: Mutex<Vec<(WorkerLabels, Arc<WorkerBlock>)>>,
}

/// Labels of an [`EndpointBlock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLabels {
    /// Which worker.
    pub worker: u16,
    /// `ProxyName`.
    pub proxy: Arc<str>,
    /// `EndpointName`.
    pub endpoint: Arc<str>,
}

/// Labels of a [`TargetBlock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetLabels {
    /// Which worker.
    pub worker: u16,
    /// `ProxyName`.
    pub proxy: Arc<str>,
    /// `Target`, as `host:port`.
    pub target: Arc<str>,
    /// `TargetRole`.
    pub role: TargetRole,
}

/// Labels of a [`WorkerBlock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLabels {
    /// Whose worker; the figures of two families on one core are added where they are read.
    pub engine: EngineFamily,
    /// Which worker.
    pub worker: u16,
    /// `io_uring`, `epoll` or `sim`.
    pub driver: &'static str,
}

impl Registry {
    /// The block of these labels, made at first use.
    pub fn endpoint(&self, labels: EndpointLabels) -> Arc<EndpointBlock> {
        find_or_add(&self.endpoints, labels)
    }

    /// The block of these labels, made at first use.
    pub fn target(&self, labels: TargetLabels) -> Arc<TargetBlock> {
        find_or_add(&self.targets, labels)
    }

    /// The block of these labels, made at first use.
    pub fn worker(&self, labels: WorkerLabels) -> Arc<WorkerBlock> {
        find_or_add(&self.workers, labels)
    }

    /// All endpoint blocks, for a reader.
    pub fn endpoints(&self) -> Vec<(EndpointLabels, Arc<EndpointBlock>)> {
        lock(&self.endpoints).clone()
    }

    /// All target blocks, for a reader.
    pub fn targets(&self) -> Vec<(TargetLabels, Arc<TargetBlock>)> {
        lock(&self.targets).clone()
    }

    /// All worker blocks, for a reader.
    pub fn workers(&self) -> Vec<(WorkerLabels, Arc<WorkerBlock>)> {
        lock(&self.workers).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A reader that panicked left the list whole: entries are only ever appended.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn find_or_add<L: PartialEq, B: Default>(list: &Mutex<Vec<(L, Arc<B>)>>, labels: L) -> Arc<B> {
    let mut list = lock(list);
    if let Some((_, block)) = list.iter().find(|(known, _)| *known == labels) {
        return Arc::clone(block);
    }
    let block = Arc::new(B::default());
    list.push((labels, Arc::clone(&block)));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_below_its_buckets_bound_and_not_below_the_one_before() {
        for value in (0..5_000).chain([1 << 20, (1 << 20) + 1, (1 << 27) - 1]) {
            let bucket = bucket_of(value);
            assert!(value < bucket_upper_bound(bucket), "{value}");
            assert!(
                bucket == 0 || value >= bucket_upper_bound(bucket - 1),
                "{value}"
            );
        }
    }

    #[test]
    fn values_beyond_the_range_are_counted_in_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn blocks_of_equal_labels_are_one() {
        let registry = Registry::default();
        let labels = || WorkerLabels {
            engine: EngineFamily::Postgres,
            worker: 3,
            driver: "sim",
        };
        registry.worker(labels()).loops.add(2);
        registry.worker(labels()).loops.add(3);
        assert_eq!(registry.worker(labels()).loops.get(), 5);
        assert_eq!(registry.workers().len(), 1);
    }
}
