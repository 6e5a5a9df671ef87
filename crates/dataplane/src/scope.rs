//! Where connections belong, on one worker: endpoints, targets and pools with their configuration and counters.

use crate::plan::{ProxyPlan, TargetPlan};
use forebay_core::metrics::{EndpointBlock, EndpointLabels, Registry, TargetBlock, TargetLabels};
use forebay_core::orders::Admission;
use forebay_core::snapshot::{Credential, Endpoint};
use forebay_pool::{PoolId, PoolKey};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// One endpoint on one worker.
pub struct EndpointScope {
    /// `EndpointName`.
    pub name: Arc<str>,
    /// Number of its listener; the same on every worker.
    pub listener: u32,
    /// Its proxy, as configured now.
    pub proxy: RefCell<Arc<ProxyPlan>>,
    /// Its counters.
    pub block: Arc<EndpointBlock>,
}

/// One of the passwords of a database user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Password {
    /// The one that it has, or will have in a moment.
    #[default]
    Current,
    /// The one that it had before.
    Previous,
}

impl Password {
    /// The other one.
    pub fn other(self) -> Password {
        match self {
            Password::Current => Password::Previous,
            Password::Previous => Password::Current,
        }
    }
}

/// One target on one worker.
pub struct TargetScope {
    /// Its proxy's name.
    pub proxy: Arc<str>,
    /// Its configuration.
    pub plan: Arc<TargetPlan>,
    /// Its counters.
    pub block: Arc<TargetBlock>,
}

/// One pool on one worker.
pub struct PoolScope {
    /// Its key.
    pub key: PoolKey,
    /// Its name in `forebay-pool`; changes when it was dropped for disuse.
    pub id: Cell<PoolId>,
    /// Who logs in.
    pub credential: RefCell<Arc<Credential>>,
    /// With which of its passwords, as the last login found.
    pub password: Cell<Password>,
    /// Where to, as configured now.
    pub target: RefCell<Rc<TargetScope>>,
    /// The target's counters.
    pub block: Arc<TargetBlock>,
    /// Its number, for engines.
    pub number: u64,
    /// Run once on each new backend.
    pub init_query: RefCell<Arc<str>>,
    /// Its target or its user is no longer configured.
    pub retired: Cell<bool>,
}

impl EndpointScope {
    /// The scope of an endpoint.
    pub fn new(
        worker: u16,
        listener: u32,
        plan: &Arc<ProxyPlan>,
        endpoint: &Endpoint,
        registry: &Registry,
    ) -> EndpointScope {
        let labels = EndpointLabels {
            worker,
            proxy: Arc::clone(&plan.proxy.name),
            endpoint: Arc::clone(&endpoint.name),
        };
        EndpointScope {
            name: Arc::clone(&endpoint.name),
            listener,
            proxy: RefCell::new(Arc::clone(plan)),
            block: registry.endpoint(labels),
        }
    }
}

impl PoolScope {
    /// What a client of this pool asks for.
    pub fn wanted(&self) -> Admission {
        Admission {
            user: self.key.user.to_string(),
            database: self.key.database.to_string(),
            handshake: self.key.handshake,
            dedicated: None,
            is_previous: false,
        }
    }

    /// The credential with this one of its passwords; with the current one if there is no other.
    pub fn credential_with(&self, password: Password) -> Arc<Credential> {
        let current = self.credential.borrow();
        match (password, &current.previous) {
            (Password::Previous, Some(previous)) => Arc::clone(previous),
            _ => Arc::clone(&current),
        }
    }

    /// Where to, as configured now.
    pub fn target(&self) -> Rc<TargetScope> {
        Rc::clone(&self.target.borrow())
    }
}

impl TargetScope {
    /// Whether backends that were opened for `other` do for this as well.
    pub fn serves_as(&self, other: &TargetScope) -> bool {
        self.plan.target == other.plan.target
    }

    /// The scope of a proxy's target.
    pub fn new(worker: u16, plan: &ProxyPlan, registry: &Registry) -> TargetScope {
        let role = plan
            .proxy
            .endpoints
            .first()
            .map_or(forebay_core::snapshot::TargetRole::ReadWrite, |endpoint| {
                endpoint.role
            });
        let labels = TargetLabels {
            worker,
            proxy: Arc::clone(&plan.proxy.name),
            target: Arc::clone(&plan.target.name),
            role,
        };
        TargetScope {
            proxy: Arc::clone(&plan.proxy.name),
            plan: Arc::clone(&plan.target),
            block: registry.target(labels),
        }
    }

    /// Shows what all workers know of the target.
    pub fn show(&self) {
        let budget = &self.plan.budget;
        let max = if budget.is_known() { budget.bound() } else { 0 };
        let block = &self.block;
        block.max_database_connections_allowed.set(u64::from(max));
        block.availability.set(self.plan.health.availability());
    }
}
