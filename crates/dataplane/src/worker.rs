//! A worker: one thread, one event loop, its own clients, backends and pools.
//!
//! The loop turns the driver, hands each event to whom it concerns, obeys the pools, reads letters and looks at the clock:
//!
//! ```text
//!   turn ─► events ─► clients.rs / backends.rs ─► relay.rs (engine, orders) ─► leases.rs (pools) ─► turn
//! ```
//!
//! Nothing in here is shared; what crosses threads comes and goes by the mailbox. A worker runs the same on all drivers.

use crate::cancelling::Postponed;
use crate::connection::{Backend, Client, Places, Role, Whose, listener_token, whose};
use crate::driver::{Driver, Event};
use crate::mailbox::{Letter, Mailbox, Ticket};
use crate::plan::{Plan, ProxyPlan};
use crate::plane::NewEndpoint;
use crate::reporting::Subject;
use crate::scope::{EndpointScope, Password, PoolScope, TargetScope};
use crate::scouting::Scouting;
use crate::silence::Silences;
use crate::subscriptions::Hearing;
use crate::workshop::{Job, Workshop};
use forebay_core::engine::{Engine, Household, Purpose};
use forebay_core::event::{EventKind, EventSink};
use forebay_core::metrics::{Registry, WorkerBlock, WorkerLabels};
use forebay_core::orders::Orders;
use forebay_core::snapshot::EngineFamily;
use forebay_core::{CloseReason, Instant, Refusal};
use forebay_pool::{Order as PoolOrder, PoolId, PoolKey, Pools, TargetId};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How often timeouts of seconds are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long the end of a worker waits for the cancel requests that it asked for.
const STOPPING_MAX: Duration = Duration::from_secs(1);
/// How often timeouts are looked at while draining.
const SWEEP_EVERY_DRAINING: Duration = Duration::from_millis(50);

/// How often the log hears that connections cannot be accepted.
const ACCEPTS_FAIL_EVERY: Duration = Duration::from_secs(60);

/// Fills a buffer with random bytes.
pub type Random = Box<dyn FnMut(&mut [u8])>;

/// What all workers of a process have in common.
pub struct Crew<E: Engine> {
    /// Which family they serve.
    pub engine: EngineFamily,
    /// This worker's number.
    pub number: u16,
    /// All mailboxes, by number.
    pub mailboxes: Vec<Arc<Mailbox<E>>>,
    /// Where slow work is done; `None` does it at once (simulation).
    pub workshop: Option<Workshop<E>>,
    /// Where counters are registered.
    pub registry: Arc<Registry>,
    /// Where events go.
    pub events: EventSink,
    /// Numbers of connections, for logs.
    pub numbers: Arc<AtomicU64>,
    /// Clients of all workers.
    pub clients: Arc<AtomicUsize>,
    /// What engines of all workers have in common.
    pub household: Household,
    /// Fills a buffer with randomness.
    pub random: Random,
}

/// A worker.
pub struct Worker<D: Driver, E: Engine> {
    pub(crate) driver: D,
    pub(crate) crew: Crew<E>,
    pub(crate) shared: E::Shared,
    pub(crate) pools: Pools,
    pub(crate) clients: Places<Client<E>>,
    pub(crate) backends: Places<Backend<E>>,
    /// By listener number.
    pub(crate) endpoints: HashMap<u32, Rc<EndpointScope>>,
    pub(crate) targets: HashMap<TargetId, Rc<TargetScope>>,
    pub(crate) pool_scopes: HashMap<PoolKey, Rc<PoolScope>>,
    pub(crate) pools_by_id: HashMap<PoolId, Rc<PoolScope>>,
    pub(crate) orders: Orders<E::Work>,
    /// Pool orders that were read while looking for another.
    pub(crate) pool_orders: VecDeque<PoolOrder>,
    /// Backends released by the engine and not yet given to the pools.
    pub(crate) releasing: Vec<Ticket>,
    /// Cancel requests for backends that are not yet at what their clients have asked.
    pub(crate) postponed: Vec<Postponed>,
    /// Clients that kept input while they held a backend and have none now.
    pub(crate) refeed: Vec<Ticket>,
    /// Clients that listen.
    pub(crate) hearing: Hearing,
    /// Clients that cannot be spoken to before their target has said what it is.
    pub(crate) scouting: Scouting,
    /// What connections that are being opened are for, where that is no pool.
    pub(crate) purposes: HashMap<Ticket, Purpose>,
    /// Clients that bound their own idleness.
    pub(crate) silences: Silences,
    pub(crate) plain: Vec<u8>,
    pub(crate) wire: Vec<u8>,
    /// Out of a client's frames.
    pub(crate) unframed: Vec<u8>,
    /// Frames for a client.
    pub(crate) framed: Vec<u8>,
    pub(crate) block: Arc<WorkerBlock>,
    pub(crate) now: Instant,
    pub(crate) draining: bool,
    sweep_at: Instant,
    stopped: bool,
    drained_told: bool,
    /// When the log last heard that connections cannot be accepted.
    accepts_fail_told: Option<Instant>,
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// A worker that has nothing to do yet.
    pub fn new(driver: D, crew: Crew<E>) -> Worker<D, E> {
        let labels = WorkerLabels {
            engine: crew.engine,
            worker: crew.number,
            driver: driver.name(),
        };
        let now = driver.now();
        Worker {
            shared: E::shared(crew.household.clone()),
            pools: Pools::new(crew.number),
            clients: Places::default(),
            backends: Places::default(),
            endpoints: HashMap::new(),
            targets: HashMap::new(),
            pool_scopes: HashMap::new(),
            pools_by_id: HashMap::new(),
            orders: Orders::default(),
            pool_orders: VecDeque::new(),
            releasing: Vec::new(),
            postponed: Vec::new(),
            refeed: Vec::new(),
            hearing: Hearing::default(),
            scouting: Scouting::default(),
            purposes: HashMap::new(),
            silences: Silences::default(),
            plain: Vec::new(),
            wire: Vec::new(),
            unframed: Vec::new(),
            framed: Vec::new(),
            block: crew.registry.worker(labels),
            now,
            draining: false,
            sweep_at: now + SWEEP_EVERY,
            stopped: false,
            drained_told: false,
            accepts_fail_told: None,
            driver,
            crew,
        }
    }

    /// The driver, to give it listeners.
    pub fn driver_mut(&mut self) -> &mut D {
        &mut self.driver
    }

    /// Runs until told to stop.
    pub fn run(mut self) -> std::io::Result<()> {
        let mut events = Vec::new();
        while !self.stopped {
            self.turn(&mut events)?;
        }
        self.close_all();
        // The farewells leave with the first turn; queries that run on are cancelled, for which the database must be dialled.
        let end = self.driver.now() + STOPPING_MAX;
        loop {
            let cancelling = self.cancels_under_way();
            let until = if cancelling { end } else { self.driver.now() };
            self.driver.turn(Some(until), &mut events)?;
            self.now = self.driver.now();
            for event in events.drain(..) {
                self.on_event(event);
            }
            if !cancelling || self.now >= end {
                return Ok(());
            }
        }
    }

    /// Whether cancel requests are on their way.
    fn cancels_under_way(&self) -> bool {
        let tickets = self.backends.tickets();
        let mut backends = tickets
            .iter()
            .filter_map(|ticket| self.backends.get(*ticket));
        backends.any(|backend| matches!(backend.role, Role::Cancel { .. }))
    }

    /// One turn of the loop.
    pub fn turn(&mut self, events: &mut Vec<Event>) -> std::io::Result<()> {
        let deadlines = [self.pools.deadline(), self.silences.deadline()];
        let deadline = deadlines
            .into_iter()
            .flatten()
            .fold(self.sweep_at, Instant::min);
        self.driver.turn(Some(deadline), events)?;
        self.now = self.driver.now();
        self.block.loops.add(1);
        self.block.events.add(events.len() as u64);
        for event in events.drain(..) {
            self.on_event(event);
            self.settle();
        }
        if self
            .pools
            .deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.pools.on_time(self.now);
            self.settle();
        }
        if self.silences.deadline().is_some_and(|at| at <= self.now) {
            self.end_silences();
            self.settle();
        }
        if self.sweep_at <= self.now {
            self.sweep();
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Received { token, bytes } => match whose(token) {
                Whose::Client(ticket) if self.clients.holds(ticket) => {
                    self.on_client_received(ticket, bytes)
                }
                Whose::Backend(ticket) if self.backends.holds(ticket) => {
                    self.on_backend_received(ticket, bytes);
                }
                _ => {}
            },
            Event::Ended { token, error } => match whose(token) {
                Whose::Client(ticket) if self.clients.holds(ticket) => self.on_client_ended(ticket),
                Whose::Backend(ticket) if self.backends.holds(ticket) => {
                    self.on_backend_ended(ticket, error.as_ref());
                }
                _ => {}
            },
            Event::Relaxed { token } => match whose(token) {
                Whose::Client(ticket) if self.clients.holds(ticket) => {
                    self.on_client_relaxed(ticket)
                }
                Whose::Backend(ticket) if self.backends.holds(ticket) => {
                    self.on_backend_relaxed(ticket)
                }
                _ => {}
            },
            Event::Connected { token, result } => {
                if let Whose::Backend(ticket) = whose(token)
                    && self.backends.holds(ticket)
                {
                    self.on_connected(ticket, result);
                }
            }
            Event::Detached { token, socket } => {
                if let Whose::Backend(ticket) = whose(token)
                    && self.backends.holds(ticket)
                {
                    self.on_detached(ticket, socket);
                }
            }
            Event::Accepted {
                listener,
                connection,
            } => {
                if let Whose::Listener(number) = whose(listener) {
                    self.on_accepted(number, connection);
                }
            }
            Event::Woken => self.read_letters(),
        }
    }

    fn read_letters(&mut self) {
        let mailbox = Arc::clone(&self.crew.mailboxes[usize::from(self.crew.number)]);
        for letter in mailbox.take() {
            self.on_letter(letter);
            self.settle();
        }
    }

    fn on_letter(&mut self, letter: Letter<E>) {
        match letter {
            Letter::Look => self.pools.on_woken(self.now),
            Letter::Parcel(parcel) => self.on_parcel(*parcel),
            Letter::ClientWork(ticket, done) if self.clients.holds(ticket) => {
                self.on_client_work(ticket, done);
            }
            Letter::BackendWork(ticket, done) if self.backends.holds(ticket) => {
                self.on_backend_work(ticket, done);
            }
            Letter::ReadOn(ticket) => self.bound_client_inbox(ticket),
            Letter::Resolved(ticket, result) if self.backends.holds(ticket) => {
                self.on_resolved(ticket, result);
            }
            Letter::ClientWork(..) | Letter::BackendWork(..) | Letter::Resolved(..) => {}
            Letter::Cancel { key, asker } => self.on_cancel(&key, asker),
            Letter::Cancelled(ticket, found) => self.on_cancelled(ticket, found),
            Letter::Hub(letter) => self.on_hub_letter(*letter),
            Letter::Load {
                plan,
                listeners,
                gone,
            } => self.load(&plan, listeners, &gone),
            Letter::Sessions(asked) => self.on_page_asked(&asked),
            Letter::Drain => self.drain(),
            Letter::Stop => self.stopped = true,
        }
    }

    /// New configuration: limits hold at once, endpoints keep their clients.
    pub fn load(&mut self, plan: &Arc<Plan>, listeners: Vec<NewEndpoint>, gone: &[u32]) {
        for number in gone {
            self.driver.unlisten(listener_token(*number));
            // Its clients keep it as long as they stay.
            self.endpoints.remove(number);
        }
        for new in listeners {
            self.add_endpoint(plan, new);
        }
        for proxy in &plan.proxies {
            self.load_proxy(proxy);
        }
        let wanted = plan.proxies.iter().map(|proxy| proxy.target.id);
        let wanted: Vec<TargetId> = wanted.collect();
        let known = self.targets.keys().copied();
        let gone: Vec<TargetId> = known.filter(|id| !wanted.contains(id)).collect();
        for id in gone {
            self.remove_target(id);
        }
        self.settle();
    }

    /// Puts a proxy's configuration into effect.
    fn load_proxy(&mut self, proxy: &Arc<ProxyPlan>) {
        let id = proxy.target.id;
        let target_before = self.targets.get(&id).cloned();
        let target = self.target_scope(proxy);
        let group = &proxy.proxy.target_group;
        let budget = Arc::clone(&proxy.target.budget);
        self.pools
            .set_target(self.now, id, group.limits.clone(), budget);
        for scope in self.endpoints.values() {
            if scope.proxy.borrow().proxy.name == proxy.proxy.name {
                *scope.proxy.borrow_mut() = Arc::clone(proxy);
            }
        }
        let mut removed = Vec::new();
        for scope in self.pool_scopes.values() {
            if scope.key.target != id {
                continue;
            }
            match proxy.proxy.credential(&scope.key.user) {
                Some(credential) => {
                    *scope.credential.borrow_mut() = Arc::clone(credential);
                    scope.password.set(Password::Current);
                }
                None => removed.push(scope.key.clone()),
            }
            *scope.target.borrow_mut() = Rc::clone(&target);
            *scope.init_query.borrow_mut() = Arc::clone(&group.limits.init_query);
        }
        for key in removed {
            self.remove_pool(&key);
        }
        if target_before.is_some_and(|before| !target.serves_as(&before)) {
            self.renew_backends(|pool| pool.key.target == id);
            self.close_listeners(|pool| pool.key.target == id);
        }
    }

    /// Nobody may log in to this pool any more.
    fn remove_pool(&mut self, key: &PoolKey) {
        let refusal = Refusal::NoCredentials {
            user: key.user.to_string(),
        };
        self.close_listeners(|pool| pool.key == *key);
        self.pools
            .remove_pool(self.now, key, &refusal, CloseReason::Reconfigured);
        if let Some(scope) = self.pool_scopes.remove(key) {
            scope.retired.set(true);
            self.pools_by_id.remove(&scope.id.get());
        }
    }

    fn remove_target(&mut self, id: TargetId) {
        self.targets.remove(&id);
        let refusal = Refusal::TargetUnreachable {
            detail: "the target was removed".into(),
        };
        self.close_listeners(|pool| pool.key.target == id);
        self.pools
            .remove_target(self.now, id, &refusal, CloseReason::Reconfigured);
        self.pools_by_id.retain(|_, scope| scope.key.target != id);
        self.pool_scopes.retain(|key, scope| {
            scope.retired.set(scope.retired.get() || key.target == id);
            !scope.retired.get()
        });
    }

    fn add_endpoint(&mut self, plan: &Plan, new: NewEndpoint) {
        let proxy = plan
            .proxies
            .iter()
            .find(|proxy| proxy.proxy.name == new.proxy);
        let Some((proxy, endpoint)) =
            proxy.and_then(|proxy| Some((proxy, proxy.endpoint(&new.endpoint)?)))
        else {
            return;
        };
        let scope = EndpointScope::new(
            self.crew.number,
            new.number,
            proxy,
            endpoint,
            &self.crew.registry,
        );
        if self
            .driver
            .listen(new.listener, listener_token(new.number))
            .is_ok()
        {
            self.endpoints.insert(new.number, Rc::new(scope));
        }
    }

    /// The scope of a proxy's target, as it is now.
    pub(crate) fn target_scope(&mut self, proxy: &ProxyPlan) -> Rc<TargetScope> {
        let id = proxy.target.id;
        if let Some(scope) = self.targets.get(&id)
            && Arc::ptr_eq(&scope.plan, &proxy.target)
        {
            return Rc::clone(scope);
        }
        let scope = Rc::new(TargetScope::new(
            self.crew.number,
            proxy,
            &self.crew.registry,
        ));
        self.targets.insert(id, Rc::clone(&scope));
        scope
    }

    fn sweep(&mut self) {
        self.sweep_at = self.now
            + if self.draining {
                SWEEP_EVERY_DRAINING
            } else {
                SWEEP_EVERY
            };
        for ticket in self.clients.tickets() {
            self.sweep_client(ticket);
        }
        for ticket in self.backends.tickets() {
            self.sweep_backend(ticket);
        }
        self.sweep_hubs();
        self.settle();
        let counters = self.driver.counters();
        self.block.system_calls.set(counters.system_calls);
        self.block.buffers_exhausted.set(counters.buffers_exhausted);
        if counters.accepts_failed > self.block.accepts_failed.get() {
            self.block.accepts_failed.set(counters.accepts_failed);
            let told = self.accepts_fail_told;
            if told.is_none_or(|told| told + ACCEPTS_FAIL_EVERY <= self.now) {
                self.accepts_fail_told = Some(self.now);
                self.report(Subject::worker(), EventKind::AcceptsFail);
            }
        }
        self.targets.values().for_each(|scope| scope.show());
        self.forget_pools();
        if self.draining && self.clients.count() == 0 && !self.drained_told {
            self.drained_told = true;
            self.report(Subject::worker(), EventKind::Drained);
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        self.sweep_at = self.now;
        for number in self.endpoints.keys() {
            self.driver.unlisten(listener_token(*number));
        }
    }

    fn close_all(&mut self) {
        self.drain();
        for ticket in self.clients.tickets() {
            if self.clients.get(ticket).is_some() {
                self.refuse_client(ticket, &Refusal::ShuttingDown);
            }
        }
        for ticket in self.backends.tickets() {
            if self.backends.get(ticket).is_some() {
                self.close_backend(ticket, CloseReason::Drain, "");
            }
        }
    }

    /// Leaves slow work; false when too much of it waits.
    pub(crate) fn leave_job(&self, job: Job<E>) -> bool {
        let mailbox = self.mailbox(self.crew.number);
        match &self.crew.workshop {
            Some(workshop) => workshop.leave(job, mailbox),
            None => {
                mailbox.send(job.run());
                true
            }
        }
    }

    /// A number for logs, unique in this process.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.crew.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A random number that spreads what would otherwise happen at one time.
    pub(crate) fn jitter(&mut self) -> u16 {
        let mut jitter = [0; 2];
        (self.crew.random)(&mut jitter);
        u16::from_le_bytes(jitter)
    }

    /// Tells all other workers to look at what is shared.
    pub(crate) fn wake_others(&self) {
        for (number, mailbox) in self.crew.mailboxes.iter().enumerate() {
            if number != usize::from(self.crew.number) {
                mailbox.send(Letter::Look);
            }
        }
    }

    /// The mailbox of a worker; our own for a number that does not exist.
    pub(crate) fn mailbox(&self, worker: u16) -> &Arc<Mailbox<E>> {
        let own = usize::from(self.crew.number);
        self.crew
            .mailboxes
            .get(usize::from(worker))
            .unwrap_or(&self.crew.mailboxes[own])
    }

    /// Who may use which backend, to be looked at.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// How many clients there are.
    pub fn client_count(&self) -> usize {
        self.clients.count()
    }
}
