//! A snapshot made ready for workers: what they share (budgets, TLS settings, limits on clients) is made once, not per worker.

use crate::health::Health;
use crate::tls::{ClientSettings, ServerSettings, TlsError};
use forebay_core::snapshot::{Endpoint, EngineFamily, Proxy, Snapshot, Target};
use forebay_pool::{Budget, TargetId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A snapshot with what belongs to it.
pub struct Plan {
    /// Its proxies.
    pub proxies: Vec<Arc<ProxyPlan>>,
}

impl Plan {
    /// The part of one protocol family.
    pub fn of(&self, engine: EngineFamily) -> Plan {
        let proxies = self.proxies.iter();
        let own = proxies.filter(|plan| plan.proxy.engine == engine);
        Plan {
            proxies: own.cloned().collect(),
        }
    }
}

/// One proxy with what belongs to it.
pub struct ProxyPlan {
    /// Its configuration.
    pub proxy: Arc<Proxy>,
    /// What it shows to clients that ask for TLS.
    pub tls: Option<ServerSettings>,
    /// Its target.
    pub target: Arc<TargetPlan>,
    /// Its bounds on clients.
    pub gate: Arc<Gate>,
}

/// One target with what belongs to it.
pub struct TargetPlan {
    /// Its number in all workers.
    pub id: TargetId,
    /// Its configuration.
    pub target: Arc<Target>,
    /// `host:port`.
    pub name: Arc<str>,
    /// How to speak TLS with it.
    pub tls: Option<ClientSettings>,
    /// Its connections, over all workers.
    pub budget: Arc<Budget>,
    /// What is known of it, over all workers.
    pub health: Arc<Health>,
}

/// Bounds on the clients of one proxy, over all workers.
#[derive(Debug, Default)]
pub struct Gate {
    clients: AtomicU32,
    /// The second of the last connection in the upper half, connections in it in the lower.
    rate: AtomicU64,
}

impl Gate {
    /// One more client. Returns how many there are now.
    pub fn enter(&self) -> u32 {
        self.clients.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many clients there are.
    pub fn clients(&self) -> u32 {
        self.clients.load(Ordering::Relaxed)
    }

    /// One client less.
    pub fn leave(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// One more connection in this second; false when there were too many. A worker whose clock is a turn behind counts into the
    /// second that others have begun.
    pub fn admit(&self, second: u64, max: u32) -> bool {
        let next = |rate: u64| {
            let (begun, count) = match rate >> 32 {
                begun if begun >= second => (begun, rate & 0xffff_ffff),
                _ => (second, 0),
            };
            (count < u64::from(max)).then_some(begun << 32 | (count + 1))
        };
        max == u32::MAX
            || self
                .rate
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
                .is_ok()
    }
}

/// Why a snapshot cannot be run.
#[derive(Debug)]
pub struct PlanError {
    /// Which proxy.
    pub proxy: Arc<str>,
    /// Why.
    pub error: TlsError,
}

/// A proxy's name and `host:port`.
type TargetName = (Arc<str>, Arc<str>);

/// What outlives one plan: numbers and budgets of targets, gates of proxies.
#[derive(Default)]
pub struct Planner {
    targets: HashMap<TargetName, (TargetId, Arc<Budget>, Arc<Health>)>,
    next_target: u32,
    gates: HashMap<Arc<str>, Arc<Gate>>,
}

impl Planner {
    /// Makes a snapshot ready.
    pub fn plan(&mut self, snapshot: &Snapshot) -> Result<Arc<Plan>, PlanError> {
        let proxies = snapshot
            .proxies
            .iter()
            .map(|proxy| self.proxy(proxy).map(Arc::new));
        let plan = Plan {
            proxies: proxies.collect::<Result<_, _>>()?,
        };
        self.forget_others(&plan);
        Ok(Arc::new(plan))
    }

    /// What a plan no longer has begins anew if it comes again: a removed target's last backends count for the old budget alone.
    fn forget_others(&mut self, plan: &Plan) {
        let ids: Vec<TargetId> = plan.proxies.iter().map(|proxy| proxy.target.id).collect();
        self.targets.retain(|_, (id, ..)| ids.contains(id));
        self.gates
            .retain(|name, _| plan.proxies.iter().any(|proxy| proxy.proxy.name == *name));
    }

    fn proxy(&mut self, proxy: &Arc<Proxy>) -> Result<ProxyPlan, PlanError> {
        let fail = |error| PlanError {
            proxy: Arc::clone(&proxy.name),
            error,
        };
        let tls = proxy
            .tls
            .as_ref()
            .map(|tls| ServerSettings::new(tls))
            .transpose()
            .map_err(fail)?;
        let target = proxy
            .target_group
            .targets
            .first()
            .expect("control checks that there is a target");
        let name: Arc<str> = format!("{}:{}", target.host, target.port).into();
        let next_target = &mut self.next_target;
        let known = self
            .targets
            .entry((Arc::clone(&proxy.name), Arc::clone(&name)));
        let (id, budget, health) = known
            .or_insert_with(|| {
                *next_target += 1;
                (TargetId(*next_target), Budget::new(), Arc::default())
            })
            .clone();
        let client_tls = match target.tls.mode {
            forebay_core::snapshot::TlsMode::Disable => None,
            _ => Some(ClientSettings::new(&target.tls, &target.host).map_err(fail)?),
        };
        let gate = Arc::clone(self.gates.entry(Arc::clone(&proxy.name)).or_default());
        let target = TargetPlan {
            id,
            target: Arc::clone(target),
            name,
            tls: client_tls,
            budget,
            health,
        };
        Ok(ProxyPlan {
            proxy: Arc::clone(proxy),
            tls,
            target: Arc::new(target),
            gate,
        })
    }
}

impl ProxyPlan {
    /// The endpoint of this name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.proxy
            .endpoints
            .iter()
            .find(|endpoint| *endpoint.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_counts_clients_and_connections_per_second() {
        let gate = Gate::default();
        assert_eq!((gate.enter(), gate.enter()), (1, 2));
        gate.leave();
        assert_eq!(gate.clients(), 1);
        assert!(gate.admit(7, 2) && gate.admit(7, 2) && !gate.admit(7, 2));
        assert!(gate.admit(8, 2) && gate.admit(8, u32::MAX));
        // A worker that is still in the second before counts into this one.
        assert!(gate.admit(7, 2) && !gate.admit(7, 2) && !gate.admit(8, 2));
    }
}
