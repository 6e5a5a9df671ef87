//! What a scenario is made of in the proxy's own words: configuration and endpoint; and its clients.

use super::family::{Family, PASSWORD, Who};
use super::scenario::Scenario;
use super::world::Peer;
use crate::model::SplitMix64;
use forebay_core::Instant;
use forebay_core::snapshot::{
    Credential, Endpoint, PoolLimits, Proxy, Snapshot, Target, TargetGroup, TargetRole, TargetTls,
    TlsMode,
};
use forebay_dataplane::NewEndpoint;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// An endpoint that listens nowhere: the simulated driver needs no socket, and the null device stands in for it.
pub(super) fn new_endpoint() -> NewEndpoint {
    let null = std::fs::File::open("/dev/null").expect("every Unix has it");
    NewEndpoint {
        number: 0,
        listener: TcpListener::from(std::os::fd::OwnedFd::from(null)),
        proxy: "p".into(),
        endpoint: "default".into(),
    }
}

pub(super) fn users(scenario: &Scenario) -> Vec<String> {
    (0..scenario.users)
        .map(|number| format!("user{number}"))
        .collect()
}

pub(super) fn snapshot<F: Family>(
    scenario: &Scenario,
    limits: &PoolLimits,
    host: &str,
) -> Snapshot {
    let credentials = users(scenario).into_iter().map(|username| {
        Arc::new(Credential {
            username,
            password: PASSWORD.into(),
            client_auth: F::client_auth(scenario),
            previous: None,
        })
    });
    let target = Target {
        host: host.into(),
        port: 5432,
        tls: TargetTls {
            mode: TlsMode::Disable,
            ..TargetTls::default()
        },
    };
    let proxy = Proxy {
        name: "p".into(),
        engine: F::FAMILY,
        require_tls: false,
        idle_client_timeout: scenario.client_limits.idle_timeout,
        clients_max: scenario.client_limits.clients_max,
        connect_rate_max: scenario.client_limits.connect_rate_max,
        login_timeout: Duration::from_secs(3600),
        tls: None,
        credentials: credentials.collect(),
        endpoints: vec![Endpoint {
            name: "default".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 5432)),
            role: TargetRole::ReadWrite,
        }],
        target_group: TargetGroup {
            limits: limits.clone(),
            rules: Arc::default(),
            targets: vec![Arc::new(target)],
        },
    };
    Snapshot {
        generation: 1,
        proxies: vec![Arc::new(proxy)],
    }
}

pub(super) fn peer<F: Family>(
    scenario: &Scenario,
    id: u32,
    program: F::Program,
    rng: &mut SplitMix64,
) -> Peer<F> {
    let user = users(scenario).swap_remove(rng.below(scenario.users as u64) as usize);
    let database = format!("db{}", rng.below(scenario.databases as u64));
    let who = Who { id, user, database };
    Peer {
        client: F::client(scenario, who.clone(), program),
        who,
        link: None,
        is_slow: rng.chance(scenario.slow_percent),
        is_thinking: false,
        asked: None,
        was_answered: false,
        since: Instant::ZERO,
    }
}
