//! Workers with their pools, a database that opens and closes connections, and the mail between them, in one thread.
//!
//! Obeys every order as the data plane would, each after a delay of its kind, and checks after each event what must always hold:
//! the pools' own invariants, one client per backend, the right pool's backend, and the counters that workers share.

use crate::*;
use forebay_core::snapshot::PoolLimits;
use forebay_core::{CloseReason, Instant, Refusal};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub(super) const TARGET: TargetId = TargetId(1);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delays {
    pub(super) dial: Duration,
    pub(super) close: Duration,
    pub(super) moving: Duration,
    pub(super) wake: Duration,
}

impl Default for Delays {
    fn default() -> Delays {
        let micros = Duration::from_micros;
        Delays {
            dial: micros(5_000),
            close: micros(100),
            moving: micros(50),
            wake: micros(20),
        }
    }
}

/// Something that will happen.
#[derive(Debug)]
enum Mail {
    Woken {
        worker: usize,
    },
    Dialed {
        worker: usize,
        pool: PoolId,
    },
    Closed {
        worker: usize,
        backend: BackendKey,
    },
    Adopted {
        worker: usize,
        backend: BackendKey,
        history: History,
    },
    Release {
        client: ClientKey,
    },
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Leased {
        backend: BackendKey,
        waited: Duration,
    },
    Refused(Refusal),
    Withdrawn,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) worker: usize,
    pub(super) user: u32,
    pub(super) asked_at: Instant,
    pub(super) answer: Option<Answer>,
    /// Has its backend now.
    pub(super) backend: Option<BackendKey>,
}

#[derive(Debug)]
pub(super) struct Backend {
    pub(super) worker: usize,
    pub(super) user: u32,
    pub(super) label: Label,
    pub(super) client: Option<ClientKey>,
    /// On its way to another worker.
    pub(super) in_mail: bool,
}

/// See the head of this file.
pub(super) struct Fleet {
    pub(super) now: Instant,
    pub(super) workers: Vec<Pools>,
    pub(super) budget: Arc<Budget>,
    pub(super) delays: Delays,
    pub(super) clients: BTreeMap<ClientKey, Client>,
    pub(super) backends: BTreeMap<BackendKey, Backend>,
    /// Closed so far, oldest first.
    pub(super) closed: Vec<(BackendKey, CloseReason)>,
    /// Clients in the order in which they were leased a backend.
    pub(super) leased: Vec<ClientKey>,
    /// What dials come to while this is set.
    pub(super) dials_fail: Option<Refusal>,
    /// The random number that a failed dial is reported with.
    pub(super) jitter: u16,
    /// Dials ordered so far, and moves, and wake-ups.
    pub(super) dials: u32,
    pub(super) moves: u32,
    pub(super) wakes: u32,
    /// A leased backend is released after this long, if set.
    pub(super) hold: Option<Duration>,
    /// Nobody may wait while nothing is under way, but for a pool's own timers up to this long.
    pub(super) quiet_max: Option<Duration>,
    mail: BTreeMap<(Instant, u64), Mail>,
    posted: u64,
    keys: u64,
    users: HashMap<(usize, PoolId), u32>,
    /// Backends that belong to no pool.
    apart: Vec<Apart>,
    /// The bound was lowered while more were open.
    pub(super) lowered: bool,
}

impl Fleet {
    /// `workers` workers on a database that takes `usable` connections.
    pub(super) fn new(workers: u16, usable: u32, limits: &PoolLimits) -> Fleet {
        let mut fleet = Fleet::unknown(workers, limits);
        fleet.set_usable(usable);
        fleet
    }

    /// The same before the database has told how many it takes.
    pub(super) fn unknown(workers: u16, limits: &PoolLimits) -> Fleet {
        let mut fleet = Fleet {
            now: Instant::from_nanos(1_000_000_000),
            workers: (0..workers).map(Pools::new).collect(),
            budget: Budget::new(),
            delays: Delays::default(),
            clients: BTreeMap::new(),
            backends: BTreeMap::new(),
            closed: Vec::new(),
            leased: Vec::new(),
            dials_fail: None,
            jitter: 0,
            dials: 0,
            moves: 0,
            wakes: 0,
            hold: None,
            quiet_max: None,
            mail: BTreeMap::new(),
            posted: 0,
            keys: 0,
            users: HashMap::new(),
            apart: Vec::new(),
            lowered: false,
        };
        fleet.set_limits(limits);
        fleet
    }

    pub(super) fn set_limits(&mut self, limits: &PoolLimits) {
        self.lowered = true;
        for worker in 0..self.workers.len() {
            let budget = Arc::clone(&self.budget);
            self.workers[worker].set_target(self.now, TARGET, limits.clone(), budget);
            self.obey(worker);
        }
    }

    pub(super) fn remove_target(&mut self, refusal: &Refusal, reason: CloseReason) {
        for worker in 0..self.workers.len() {
            self.workers[worker].remove_target(self.now, TARGET, refusal, reason);
            self.obey(worker);
        }
    }

    pub(super) fn remove_pool(&mut self, user: u32, refusal: &Refusal, reason: CloseReason) {
        for worker in 0..self.workers.len() {
            self.workers[worker].remove_pool(self.now, &Fleet::key(user), refusal, reason);
            self.obey(worker);
        }
    }

    pub(super) fn set_usable(&mut self, usable: u32) {
        self.lowered = true;
        self.workers[0].on_limits(self.now, TARGET, usable);
        self.obey(0);
    }

    /// A backend that belongs to no pool is opened.
    pub(super) fn open_apart(&mut self) {
        // More may be open than there may be from now on.
        self.lowered = true;
        self.apart.push(self.budget.open_apart());
    }

    /// One of those is closed by this worker, if there is any.
    pub(super) fn close_apart(&mut self, worker: usize) {
        if let Some(place) = self.apart.pop() {
            self.workers[worker].on_closed_apart(self.now, TARGET, place);
            self.obey(worker);
        }
    }

    pub(super) fn key(user: u32) -> PoolKey {
        PoolKey {
            target: TARGET,
            user: format!("user{user}").into(),
            database: "db".into(),
            handshake: 0,
        }
    }

    pub(super) fn pool(&mut self, worker: usize, user: u32) -> PoolId {
        let pool = self.workers[worker]
            .pool(self.now, &Fleet::key(user))
            .expect("the target is configured");
        self.users.insert((worker, pool), user);
        self.obey(worker);
        pool
    }

    pub(super) fn stats(&mut self, worker: usize, user: u32) -> PoolStats {
        let pool = self.pool(worker, user);
        self.workers[worker].stats(pool).expect("just found")
    }

    // --- What clients do ---

    pub(super) fn request(&mut self, worker: usize, user: u32) -> ClientKey {
        self.request_labelled(worker, user, UNLABELLED)
    }

    pub(super) fn request_labelled(&mut self, worker: usize, user: u32, label: Label) -> ClientKey {
        let pool = self.pool(worker, user);
        let client = ClientKey(self.next_key());
        self.clients.insert(
            client,
            Client {
                worker,
                user,
                asked_at: self.now,
                answer: None,
                backend: None,
            },
        );
        self.workers[worker]
            .request(self.now, pool, client, label)
            .expect("just found");
        self.obey(worker);
        client
    }

    pub(super) fn withdraw(&mut self, client: ClientKey) {
        let known = self.clients.get_mut(&client).expect("a client of ours");
        let worker = known.worker;
        let waited = self.workers[worker].withdraw(self.now, client);
        assert_eq!(
            waited,
            known.answer.is_none(),
            "{client:?}: {:?}",
            known.answer
        );
        if waited {
            known.answer = Some(Answer::Withdrawn);
        }
        self.obey(worker);
    }

    pub(super) fn release(&mut self, client: ClientKey) {
        self.release_labelled(client, UNLABELLED);
    }

    pub(super) fn release_labelled(&mut self, client: ClientKey, label: Label) {
        let backend = self
            .clients
            .get_mut(&client)
            .and_then(|client| client.backend.take());
        let Some(backend) = backend else { return };
        let known = self
            .backends
            .get_mut(&backend)
            .expect("leased backends exist");
        known.client = None;
        known.label = label;
        let worker = known.worker;
        self.workers[worker].on_released(self.now, backend, label);
        self.obey(worker);
    }

    // --- What the database does ---

    /// The backend dies, whatever it is doing.
    pub(super) fn kill(&mut self, backend: BackendKey) {
        let Some(known) = self.backends.get(&backend) else {
            return;
        };
        if known.in_mail {
            return;
        }
        let (worker, client) = (known.worker, known.client);
        if let Some(client) = client.and_then(|client| self.clients.get_mut(&client)) {
            client.backend = None;
        }
        self.closed_now(worker, backend);
    }

    fn closed_now(&mut self, worker: usize, backend: BackendKey) {
        if self.backends.remove(&backend).is_some() {
            self.workers[worker].on_closed(self.now, backend);
            self.obey(worker);
        }
    }

    // --- Time ---

    /// Lets time pass, with all that happens in it.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            if let Some(quiet_max) = self.quiet_max
                && self.mail.is_empty()
                && self.clients_waiting()
            {
                let quiet = at.since(self.now);
                assert!(
                    quiet <= quiet_max,
                    "somebody waits and nothing happens for {quiet:?}"
                );
            }
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    pub(super) fn pass_millis(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    fn clients_waiting(&self) -> bool {
        let mut pools = self.workers.iter().flat_map(Pools::pools);
        pools.any(|(_, _, stats)| stats.waiting > 0)
    }

    fn next_at(&self) -> Option<Instant> {
        let mail = self.mail.keys().next().map(|key| key.0);
        self.workers
            .iter()
            .filter_map(Pools::deadline)
            .chain(mail)
            .min()
    }

    /// One event: the first mail, else the worker whose deadline has come.
    fn step(&mut self) {
        if let Some(entry) = self
            .mail
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            let mail = entry.remove();
            return self.deliver(mail);
        }
        for worker in 0..self.workers.len() {
            self.workers[worker].on_time(self.now);
            let deadline = self.workers[worker].deadline();
            assert!(
                deadline.is_none_or(|at| at > self.now),
                "a deadline in the past after it was kept"
            );
            self.obey(worker);
        }
    }

    fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::Woken { worker } => {
                self.workers[worker].on_woken(self.now);
                self.obey(worker);
            }
            Mail::Dialed { worker, pool } => self.dialed(worker, pool),
            Mail::Closed { worker, backend } => self.closed_now(worker, backend),
            Mail::Adopted {
                worker,
                backend,
                history,
            } => self.adopted(worker, backend, history),
            Mail::Release { client } => self.release(client),
        }
    }

    fn dialed(&mut self, worker: usize, pool: PoolId) {
        match &self.dials_fail {
            Some(refusal) => {
                self.workers[worker].on_dial_failed(self.now, pool, refusal, self.jitter)
            }
            None => {
                let backend = BackendKey(self.next_key());
                let user = self.users[&(worker, pool)];
                let new = Backend {
                    worker,
                    user,
                    label: UNLABELLED,
                    client: None,
                    in_mail: false,
                };
                self.backends.insert(backend, new);
                self.workers[worker].on_dialed(self.now, pool, backend, UNLABELLED, 0);
            }
        }
        self.obey(worker);
    }

    fn adopted(&mut self, worker: usize, backend: BackendKey, history: History) {
        let user = self.backends[&backend].user;
        let pool = self.pool(worker, user);
        let known = self
            .backends
            .get_mut(&backend)
            .expect("moved backends exist");
        known.in_mail = false;
        known.worker = worker;
        assert_eq!(known.label, history.label, "the label moves along");
        self.workers[worker]
            .on_adopted(self.now, pool, backend, history)
            .expect("just found");
        self.obey(worker);
    }

    // --- Orders ---

    fn obey(&mut self, worker: usize) {
        while let Some(order) = self.workers[worker].next_order() {
            match order {
                Order::Lease {
                    client,
                    backend,
                    waited_since,
                } => self.lease(worker, client, backend, waited_since),
                Order::Refuse { client, refusal } => self.answer(client, Answer::Refused(refusal)),
                Order::Dial { pool } => {
                    self.dials += 1;
                    self.send(self.delays.dial, Mail::Dialed { worker, pool });
                }
                Order::Close { backend, reason } => {
                    let known = &self.backends[&backend];
                    assert!(
                        known.client.is_none() && !known.in_mail,
                        "{backend:?} is in use"
                    );
                    self.closed.push((backend, reason));
                    self.send(self.delays.close, Mail::Closed { worker, backend });
                }
                Order::Move {
                    backend,
                    to_worker,
                    history,
                } => {
                    let known = self
                        .backends
                        .get_mut(&backend)
                        .expect("ordered backends exist");
                    assert!(
                        known.client.is_none() && !known.in_mail,
                        "{backend:?} is in use"
                    );
                    known.in_mail = true;
                    self.moves += 1;
                    self.workers[worker].on_moved(self.now, backend);
                    self.send(
                        self.delays.moving,
                        Mail::Adopted {
                            worker: to_worker.into(),
                            backend,
                            history,
                        },
                    );
                }
                Order::WakeOthers => {
                    self.wakes += 1;
                    for other in (0..self.workers.len()).filter(|other| *other != worker) {
                        self.send(self.delays.wake, Mail::Woken { worker: other });
                    }
                }
            }
        }
        self.check();
    }

    fn lease(
        &mut self,
        worker: usize,
        client: ClientKey,
        backend: BackendKey,
        waited_since: Instant,
    ) {
        let known = self
            .backends
            .get_mut(&backend)
            .expect("leased backends exist");
        assert!(
            known.client.is_none() && !known.in_mail,
            "{backend:?} is leased to one client at a time"
        );
        assert_eq!(
            known.worker, worker,
            "{backend:?} belongs to the worker that leases it"
        );
        known.client = Some(client);
        let user = known.user;
        let waited = self.now.since(waited_since);
        self.answer(client, Answer::Leased { backend, waited });
        let leased = self.clients.get_mut(&client).expect("just answered");
        assert_eq!(
            (leased.worker, leased.user),
            (worker, user),
            "{client:?} gets a backend of its own user"
        );
        assert_eq!(leased.asked_at, waited_since);
        leased.backend = Some(backend);
        self.leased.push(client);
        if let Some(hold) = self.hold {
            self.send(hold, Mail::Release { client });
        }
    }

    fn answer(&mut self, client: ClientKey, answer: Answer) {
        let known = self.clients.get_mut(&client).expect("a client of ours");
        assert_eq!(
            known.answer, None,
            "{client:?} is answered once, not also {answer:?}"
        );
        known.answer = Some(answer);
    }

    fn send(&mut self, delay: Duration, mail: Mail) {
        self.posted += 1;
        self.mail.insert((self.now + delay, self.posted), mail);
    }

    fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    // --- What tests ask ---

    pub(super) fn answer_of(&self, client: ClientKey) -> Option<&Answer> {
        self.clients[&client].answer.as_ref()
    }

    pub(super) fn backend_of(&self, client: ClientKey) -> Option<BackendKey> {
        self.clients[&client].backend
    }

    pub(super) fn is_waiting(&self, client: ClientKey) -> bool {
        self.clients[&client].answer.is_none()
    }

    pub(super) fn refusal_of(&self, client: ClientKey) -> Option<&Refusal> {
        match self.answer_of(client) {
            Some(Answer::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    pub(super) fn close_reasons(&self) -> Vec<CloseReason> {
        self.closed.iter().map(|(_, reason)| *reason).collect()
    }

    /// Clients of this worker and user get a backend each, opened for them, and keep it.
    pub(super) fn busy(&mut self, worker: usize, user: u32, clients: u32) -> Vec<ClientKey> {
        let clients: Vec<ClientKey> = (0..clients).map(|_| self.request(worker, user)).collect();
        self.pass_millis(100);
        for client in &clients {
            assert!(
                self.backend_of(*client).is_some(),
                "{client:?}: {:?}",
                self.answer_of(*client)
            );
        }
        clients
    }

    /// So many idle backends of this worker and user.
    pub(super) fn warm_up(&mut self, worker: usize, user: u32, backends: u32) {
        for client in self.busy(worker, user, backends) {
            self.release(client);
        }
    }
}
