//! What a seed stands for: how many workers and clients, which limits, which faults, how the network behaves.
//!
//! Faults come in kinds, and a run has few kinds at a time, so that most runs can be strict about everything else. What clients
//! must then put up with follows from the kinds.

use super::family::Family;
use super::network::Habits;
use crate::model::client::Style;
use crate::model::{Protocol, SplitMix64};
use forebay_core::snapshot::{LeaseOrder, PoolLimits};
use std::sync::Arc;
use std::time::Duration;

/// Which faults a run has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Backends die: with FATAL 57P01, or without a word.
    pub kills: bool,
    /// Connections of clients are cut.
    pub resets: bool,
    /// The database refuses connections for a while, or does not answer.
    pub outages: bool,
    /// The database has fewer places than the proxy's limit.
    pub crowding: bool,
    /// Notices that nobody asked for.
    pub notices: bool,
    /// The configuration is loaded again, with other limits.
    pub reloads: bool,
    /// Some of these configurations name another target: the same database under another address.
    pub replaces: bool,
    /// The proxy drains before clients are done.
    pub drain: bool,
}

/// Bounds of the proxy on its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// How long a client may say nothing.
    pub idle_timeout: Duration,
    /// Most clients at a time.
    pub clients_max: u32,
    /// Most logins in a second.
    pub connect_rate_max: u32,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits {
            idle_timeout: Duration::from_secs(1800),
            clients_max: u32::MAX,
            connect_rate_max: u32::MAX,
        }
    }
}

/// Most places that a target may use.
const TARGET_PLACES_MAX: u32 = 12;

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where it comes from.
    pub seed: u64,
    /// Workers.
    pub workers: usize,
    /// Clients; each plays a program of its own.
    pub clients: u32,
    /// Users among which clients are divided, 1 to 3.
    pub users: usize,
    /// Databases among which clients are divided, 1 or 2.
    pub databases: usize,
    /// The pools' limits.
    pub limits: PoolLimits,
    /// Bounds on clients.
    pub client_limits: ClientLimits,
    /// Errors that clients put up with besides those of the faults.
    pub expected: &'static [&'static str],
    /// After this time the database is started again, with so many places.
    pub restart: Option<(Duration, u32)>,
    /// Places of the database.
    pub max_connections: u32,
    /// What the database makes of protocol 3.2.
    pub protocol: Protocol,
    /// What programs contain.
    pub style: Style,
    /// Percentage of clients that read slowly.
    pub slow_percent: u64,
    /// The faults.
    pub faults: Faults,
    /// The network.
    pub(super) habits: Habits,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn random(seed: u64) -> Scenario {
        let mut rng = SplitMix64::new(seed);
        let rng = &mut rng;
        let mut faults = random_faults(rng);
        // From numbers of its own, so that seeds keep what else they stand for.
        faults.replaces = faults.reloads && SplitMix64::new(seed ^ 0x7a67).chance(40);
        let limits = random_limits(rng, &faults);
        let usable = limits.connections_max;
        let max_connections = if faults.crowding {
            3 + rng.between(1, u64::from(usable)) as u32
        } else {
            // Each target has a budget of its own.
            usable + 3 + rng.below(10) as u32 + u32::from(faults.replaces) * TARGET_PLACES_MAX
        };
        let mut scenario = Scenario {
            seed,
            workers: rng.between(1, 4) as usize,
            clients: rng.between(1, 12) as u32,
            users: rng.between(1, 3) as usize,
            databases: rng.between(1, 2) as usize,
            limits,
            client_limits: ClientLimits::default(),
            expected: &[],
            restart: None,
            max_connections,
            protocol: random_protocol(seed),
            style: random_style(rng),
            slow_percent: if rng.chance(30) { 50 } else { 0 },
            faults,
            habits: random_habits(rng),
        };
        // One more of each database listens for all clients, and its successor.
        scenario.max_connections += 2 * scenario.databases as u32;
        scenario
    }

    /// One backend and nothing that disturbs: so many workers, so many clients of one pool.
    pub fn one_backend(seed: u64, workers: usize, clients: u32) -> Scenario {
        let limits = PoolLimits {
            connections_max: 1,
            idle_connections_max_percent: 100,
            ..PoolLimits::default()
        };
        Scenario {
            seed,
            workers,
            clients,
            users: 1,
            databases: 1,
            limits,
            client_limits: ClientLimits::default(),
            expected: &[],
            restart: None,
            max_connections: 10,
            protocol: Protocol::Newest,
            style: Style::default(),
            slow_percent: 0,
            faults: Faults::default(),
            habits: Habits {
                delay_max: Duration::from_micros(10),
                lag_max: Duration::from_micros(10),
                window: (10_000, 20_000),
                cut_percent: 0,
            },
        }
    }

    /// Errors that clients must put up with.
    pub(super) fn tolerated<F: Family>(&self) -> Vec<String> {
        let found = F::tolerated(&self.faults);
        let found = found.iter().chain(self.expected);
        found.map(|code| (*code).to_owned()).collect()
    }

    /// Whether connections may end without a word.
    pub(super) fn tolerates_close(&self) -> bool {
        // A message that is half sent when its backend dies is not followed by an error; nor is one to a client that listens, when the
        // connection that listens for all is taken away.
        let Faults {
            kills,
            resets,
            replaces,
            drain,
            ..
        } = self.faults;
        kills || resets || replaces || drain
    }
}

/// From numbers of its own, so that everything else of a seed stays what it was.
fn random_protocol(seed: u64) -> Protocol {
    *SplitMix64::new(seed ^ 0x0320).pick(&[
        Protocol::Newest,
        Protocol::Newest,
        Protocol::Negotiated,
        Protocol::Refused,
        Protocol::Unanswered,
    ])
}

fn random_faults(rng: &mut SplitMix64) -> Faults {
    if rng.chance(30) {
        return Faults::default();
    }
    let mut faults = Faults::default();
    for _ in 0..rng.between(1, 3) {
        match rng.below(7) {
            0 => faults.kills = true,
            1 => faults.resets = true,
            2 => faults.outages = true,
            3 => faults.crowding = true,
            4 => faults.notices = true,
            5 => faults.reloads = true,
            _ => faults.drain = true,
        }
    }
    faults
}

pub(super) fn random_limits(rng: &mut SplitMix64, faults: &Faults) -> PoolLimits {
    let connections_max = *rng.pick(&[1, 1, 2, 3, 4, 6, TARGET_PLACES_MAX]);
    let seconds = |rng: &mut SplitMix64, low, high| Duration::from_secs(rng.between(low, high));
    PoolLimits {
        connections_max,
        idle_connections_max_percent: *rng.pick(&[0, 50, 100]),
        pool_size_min: *rng.pick(&[0, 0, 0, 1, 2]),
        pool_size_max: *rng.pick(&[u32::MAX, u32::MAX, 2]),
        // Long enough that only faults make it end; a session may keep a backend for seconds.
        borrow_timeout: if faults.outages || faults.crowding {
            seconds(rng, 1, 20)
        } else {
            Duration::from_secs(600)
        },
        init_query: Arc::from(""),
        idle_timeout: seconds(rng, 1, 300),
        lifetime_max: *rng.pick(&[1, 5, 3600, 3600]) * Duration::from_secs(1),
        dials_max: rng.between(1, 8) as u32,
        lease_order: *rng.pick(&[LeaseOrder::Recent, LeaseOrder::Recent, LeaseOrder::Rotate]),
        ..PoolLimits::default()
    }
}

fn random_style(rng: &mut SplitMix64) -> Style {
    Style {
        episodes: rng.between(1, 4) as u32,
        groups: rng.between(1, 20) as u32,
        vanish_percent: *rng.pick(&[0, 30, 60]),
        sticky: rng.chance(60),
        sleeps: rng.chance(70),
        roles: ["reader", "writer"].map(str::to_owned).to_vec(),
        rows_max: *rng.pick(&[10, 200, 200, 1000]),
        think_max: *rng.pick(&[1, 50, 500]),
        minor_max: *rng.pick(&[0, 2, 9, 9]),
    }
}

fn random_habits(rng: &mut SplitMix64) -> Habits {
    let micros = |rng: &mut SplitMix64, choices: &[u64]| Duration::from_micros(*rng.pick(choices));
    Habits {
        delay_max: micros(rng, &[10, 100, 2_000, 20_000]),
        lag_max: micros(rng, &[1, 50, 1_000]),
        window: *rng.pick(&[(200_000, 400_000), (1_000, 100_000), (100, 3_000)]),
        cut_percent: *rng.pick(&[0, 10, 50]),
    }
}
