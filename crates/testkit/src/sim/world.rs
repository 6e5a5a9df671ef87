//! Who acts next: the loop of a simulation, and what it holds.
//!
//! Either the network has a task due, or a worker turns, whichever is earlier. Everything random comes from the seed.

use super::driver::{Driver, Waker};
use super::family::{Canceller, Client as _, Database as _, Family, Who};
use super::network::{LinkId, Network, Task, Way};
use super::scenario::{Scenario, random_limits};
use super::setup::{new_endpoint, peer, snapshot, users};
use super::{Answer, Failure, Report};
use crate::model::{Availability, ConnectionId, SplitMix64};
use forebay_core::Instant;
use forebay_core::engine::Household;
use forebay_core::event::{Event as Told, EventSink};
use forebay_core::metrics::Registry;
use forebay_core::snapshot::PoolLimits;
use forebay_dataplane::driver::Driver as _;
use forebay_dataplane::mailbox::{Letter, Mailbox};
use forebay_dataplane::plan::{Plan, Planner};
use forebay_dataplane::worker::{Crew, Worker};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Who is at the far end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Far {
    /// A client.
    Client(usize),
    /// A connection with a request to cancel, since then.
    Canceller(Instant),
    /// The database.
    Database(ConnectionId),
    /// Nobody any more.
    Gone,
}

/// The far end of a link.
#[derive(Debug)]
pub(super) struct FarEnd {
    pub(super) peer: Far,
    /// What it has to say and the network did not take yet.
    pub(super) outbox: Vec<u8>,
    /// It ends when that is said.
    pub(super) closing: bool,
}

/// One client.
pub(super) struct Peer<F: Family> {
    pub(super) client: F::Client,
    pub(super) who: Who,
    pub(super) link: Option<LinkId>,
    pub(super) is_slow: bool,
    pub(super) is_thinking: bool,
    /// When it asked after its first thought; answered once.
    pub(super) asked: Option<Instant>,
    pub(super) was_answered: bool,
    /// When it last acted or heard something.
    pub(super) since: Instant,
}

/// How the database fails to take connections.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outage {
    /// Connections are refused.
    pub(super) refuses: bool,
    /// Nobody answers.
    pub(super) is_silent: bool,
    /// Logins are refused.
    pub(super) starts_up: bool,
}

/// What a run holds.
pub(super) struct World<F: Family> {
    pub(super) scenario: Scenario,
    pub(super) network: Rc<RefCell<Network>>,
    pub(super) workers: Vec<Worker<Driver, F::Engine>>,
    wakers: Vec<Arc<Waker>>,
    pub(super) mailboxes: Vec<Arc<Mailbox<F::Engine>>>,
    pub(super) registry: Arc<Registry>,
    told: Receiver<Told>,
    planner: Planner,
    pub(super) plan: Arc<Plan>,
    pub(super) server: F::Database,
    pub(super) database_links: BTreeMap<ConnectionId, LinkId>,
    pub(super) running: BTreeSet<ConnectionId>,
    pub(super) outage: Outage,
    pub(super) peers: Vec<Peer<F>>,
    pub(super) fars: Vec<FarEnd>,
    /// What the far ends do that carry requests to cancel.
    pub(super) cancellers: BTreeMap<LinkId, Box<dyn Canceller>>,
    pub(super) rng: SplitMix64,
    /// Faults come no more.
    pub(super) is_ending: bool,
    /// Highest `connections_max` there was.
    pub(super) limit_max: u32,
    /// The address of the target.
    host: &'static str,
    pub(super) report: Report,
    /// First answers after a thought, in order.
    pub(super) answers: Vec<Answer>,
    /// What workers told, and when; kept if asked for.
    pub(super) told_at: Option<Vec<(Instant, Told)>>,
    /// When clients begin, if not at once.
    pub(super) begins: Vec<Duration>,
    hasher: DefaultHasher,
    telling: usize,
    last: VecDeque<String>,
}

/// Addresses of the database.
const HOSTS: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

/// Steps after which a run is taken to move in circles.
const STEPS_MAX: u64 = 20_000_000;

/// Bytes as a line of a trace.
pub(super) fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(600)];
    format!("{} bytes: {}", bytes.len(), cut.escape_ascii())
}

impl<F: Family> World<F> {
    /// The world of a scenario; `telling` is how many of the last events a failure tells.
    pub(super) fn new(scenario: &Scenario, telling: usize) -> World<F> {
        let mut rng = SplitMix64::new(scenario.seed ^ 0x5eed);
        World::with_programs(scenario, telling, |id| {
            F::program(rng.next_u64(), id, scenario)
        })
    }

    /// The same with programs of one's own, by the clients' numbers from 1.
    pub(super) fn with_programs(
        scenario: &Scenario,
        telling: usize,
        mut program: impl FnMut(u32) -> F::Program,
    ) -> World<F> {
        let mut rng = SplitMix64::new(scenario.seed ^ 0x5157_0000);
        let network = Network::new(rng.fork(), scenario.habits, scenario.workers);
        let network = Rc::new(RefCell::new(network));
        let registry = Arc::new(Registry::default());
        let (sink, told) = sync_channel(10_000);
        let sink = EventSink::new(sink);
        sink.set_details(telling > 0);
        let mut planner = Planner::default();
        let plan = planner
            .plan(&snapshot::<F>(scenario, &scenario.limits, HOSTS[0]))
            .expect("no TLS, so nothing to fail");
        let drivers: Vec<Driver> = (0..scenario.workers)
            .map(|number| Driver::new(number, &network))
            .collect();
        let wakers = drivers.iter().map(Driver::wake_flag).collect();
        let mailboxes: Vec<_> = drivers
            .iter()
            .map(|driver| Arc::new(Mailbox::new(driver.waker())))
            .collect();
        let (numbers, clients) = (Arc::default(), Arc::default());
        let mut secret = [0; 32];
        secret.fill_with(|| rng.next_u64() as u8);
        let household = Household {
            secret,
            hasher: RandomState::new(),
            schema_version: Arc::default(),
        };
        let workers = drivers.into_iter().enumerate().map(|(number, driver)| {
            let mut random = rng.fork();
            let crew = Crew {
                engine: F::FAMILY,
                number: number as u16,
                mailboxes: mailboxes.clone(),
                workshop: None,
                registry: Arc::clone(&registry),
                events: sink.clone(),
                numbers: Arc::clone(&numbers),
                clients: Arc::clone(&clients),
                household: household.clone(),
                random: Box::new(move |bytes| bytes.fill_with(|| random.next_u64() as u8)),
            };
            let mut worker = Worker::new(driver, crew);
            worker.load(&plan, vec![new_endpoint()], &[]);
            worker
        });
        let workers = workers.collect();
        let server = F::database(scenario, users(scenario));
        let peers = (1..=scenario.clients).map(|id| peer(scenario, id, program(id), &mut rng));
        let peers = peers.collect();
        World {
            scenario: scenario.clone(),
            network,
            workers,
            wakers,
            mailboxes,
            registry,
            told,
            planner,
            plan,
            server,
            database_links: BTreeMap::new(),
            running: BTreeSet::new(),
            outage: Outage::default(),
            peers,
            fars: Vec::new(),
            cancellers: BTreeMap::new(),
            rng,
            is_ending: false,
            limit_max: scenario.limits.connections_max,
            host: HOSTS[0],
            report: Report::default(),
            answers: Vec::new(),
            told_at: None,
            begins: Vec::new(),
            hasher: DefaultHasher::new(),
            telling,
            last: VecDeque::new(),
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first violation.
    pub(super) fn run(mut self) -> Result<Report, Failure> {
        let mut report = Report::default();
        self.play(&mut report)?;
        Ok(report)
    }

    /// Runs to the end and says what it came to.
    pub(super) fn play(&mut self, report: &mut Report) -> Result<(), Failure> {
        let result = self.try_run();
        self.report.trace = self.hasher.finish();
        *report = self.report.clone();
        result.map_err(|problem| Failure {
            seed: self.scenario.seed,
            problem,
            last: std::mem::take(&mut self.last).into(),
        })
    }

    fn try_run(&mut self) -> Result<(), String> {
        self.schedule_faults();
        let mut network = self.network.borrow_mut();
        network.schedule(Duration::from_secs(1), Task::Watch);
        if let Some((after, _)) = self.scenario.restart {
            network.schedule(after, Task::Restart);
        }
        for (at, after) in self.begins.iter().enumerate() {
            network.schedule(*after, Task::Begin(at));
        }
        drop(network);
        for at in self.begins.len()..self.peers.len() {
            self.obey_client(at);
        }
        while self.peers.iter().any(|peer| !peer.client.is_done()) {
            self.step()?;
        }
        // Time for farewells, rollbacks and what was cut off; then backends must not come and go while they are counted.
        self.is_ending = true;
        self.outage = Outage::default();
        self.server.set_availability(Availability::Up);
        self.pass(Duration::from_secs(35))?;
        self.load(&PoolLimits {
            pool_size_min: 0,
            lifetime_max: Duration::from_secs(1 << 20),
            idle_timeout: Duration::from_secs(1 << 20),
            ..self.scenario.limits.clone()
        });
        self.pass(Duration::from_secs(10))?;
        let start = Instant::from_nanos(1_000_000_000);
        self.report.milliseconds = self.network.borrow().now.micros_since(start) / 1000;
        self.check_end()
    }

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = self.network.borrow().now + time;
        while self.network.borrow().now < end {
            self.step()?;
        }
        Ok(())
    }

    /// Lets one thing happen.
    fn step(&mut self) -> Result<(), String> {
        self.report.steps += 1;
        if self.report.steps > STEPS_MAX {
            return Err("it moves in circles".into());
        }
        let (turn_at, worker) = self.next_turn();
        let task_at = self.network.borrow().next_task_at();
        if turn_at < task_at {
            let mut network = self.network.borrow_mut();
            network.now = network.now.max(turn_at);
            drop(network);
            self.turn(worker)?;
        } else {
            let task = self.network.borrow_mut().next_task();
            if let Some(task) = task {
                (self.network.borrow().now, task).hash(&mut self.hasher);
                self.act(task)?;
            }
        }
        self.after_step()
    }

    fn next_turn(&self) -> (Instant, usize) {
        let network = self.network.borrow();
        let turns = network.turns.iter().copied().zip(0..);
        turns.min().unwrap_or((Instant::FAR_FUTURE, 0))
    }

    fn turn(&mut self, number: usize) -> Result<(), String> {
        let now = self.network.borrow().now;
        self.network.borrow_mut().turns[number] = Instant::FAR_FUTURE;
        let worker = &mut self.workers[number];
        worker
            .turn(&mut Vec::new())
            .map_err(|error| format!("worker {number}: {error}"))?;
        let driver = worker.driver_mut();
        let (restless, until) = (driver.wants_turn(), driver.until());
        (now, number, restless, until).hash(&mut self.hasher);
        if restless || until <= now {
            self.network.borrow_mut().poke(number);
            // Time passes, or a worker with a deadline that stays would stop it.
            let mut network = self.network.borrow_mut();
            network.turns[number] = network.turns[number].max(now + Duration::from_nanos(200));
        } else {
            let mut network = self.network.borrow_mut();
            network.turns[number] = network.turns[number].min(until);
        }
        self.after_turn(number)
    }

    /// What the worker told, and what it left unchecked.
    fn after_turn(&mut self, number: usize) -> Result<(), String> {
        while let Ok(told) = self.told.try_recv() {
            self.note(|| {
                format!(
                    "worker {}: {:?} {:?} {:?}",
                    told.worker, told.client, told.backend, told.kind
                )
            });
            self.check_told(&told)?;
            let now = self.network.borrow().now;
            if let Some(kept) = &mut self.told_at {
                kept.push((now, told));
            }
        }
        self.check_turn(number)
    }

    fn after_step(&mut self) -> Result<(), String> {
        for number in 0..self.wakers.len() {
            let mut network = self.network.borrow_mut();
            let soon = network.now + network.habits.lag_max;
            // A second wake does not hurry it.
            if self.wakers[number].is_set() && network.turns[number] > soon {
                network.poke(number);
            }
        }
        self.check_step()
    }

    fn act(&mut self, task: Task) -> Result<(), String> {
        match task {
            Task::Arrive(link, way) => {
                let mut network = self.network.borrow_mut();
                network.arrive(link, way);
                match (way, network.link(link).near) {
                    (Way::In, super::network::Near::Held(worker)) => network.poke(worker),
                    (Way::In, _) => {}
                    (Way::Out, _) => network.schedule(Duration::ZERO, Task::Read(link)),
                }
            }
            Task::Dialed(link) => self.on_dialed(link),
            Task::Connected(link) => self.on_peer_connected(link)?,
            Task::Read(link) => self.far_reads(link)?,
            Task::Write(link) => {
                self.write_far(link);
                if matches!(self.far(link).peer, Far::Database(_)) {
                    self.database_wrote(link);
                }
            }
            Task::Begin(at) => self.obey_client(at),
            Task::Thought(at) => self.on_thought(at)?,
            Task::Restart => {
                if let Some((_, max)) = self.scenario.restart {
                    self.restart_database(max);
                }
            }
            Task::WaitOver(id) => self.on_wait_over(id),
            Task::Fault(kind) => self.on_fault(kind),
            Task::Watch => {
                self.check_watch()?;
                let mut network = self.network.borrow_mut();
                network.schedule(Duration::from_secs(1), Task::Watch);
            }
        }
        Ok(())
    }

    // --- Far ends ---

    /// The far end of a link.
    pub(super) fn far(&mut self, link: LinkId) -> &mut FarEnd {
        while self.fars.len() <= link as usize {
            self.fars.push(FarEnd {
                peer: Far::Gone,
                outbox: Vec::new(),
                closing: false,
            });
        }
        &mut self.fars[link as usize]
    }

    fn far_reads(&mut self, link: LinkId) -> Result<(), String> {
        match self.far(link).peer {
            Far::Client(at) => return self.client_reads(link, at),
            Far::Database(id) => {
                if self.network.borrow_mut().link(link).reset {
                    // Noticed at once only by one that reads; bytes that are not there end nothing else.
                    self.far(link).outbox.clear();
                }
                self.database_reads(link, id);
            }
            Far::Canceller(_) => self.canceller_reads(link),
            Far::Gone => {
                self.network.borrow_mut().read(link, Way::Out, usize::MAX);
            }
        }
        Ok(())
    }

    /// Gives the network what a far end has to say.
    pub(super) fn write_far(&mut self, link: LinkId) {
        self.far(link);
        let far = &mut self.fars[link as usize];
        let mut network = self.network.borrow_mut();
        let sent = network.send(link, Way::In, &far.outbox);
        far.outbox.drain(..sent);
        if far.outbox.is_empty() && far.closing {
            network.end(link, Way::In);
        }
    }

    // --- Faults ---

    fn schedule_faults(&mut self) {
        for kind in 0..6 {
            let mut network = self.network.borrow_mut();
            let after = Duration::from_micros(network.rng.between(100, 2_000_000));
            network.schedule(after, Task::Fault(kind));
        }
    }

    fn on_fault(&mut self, kind: usize) {
        let faults = self.scenario.faults;
        if self.is_ending && kind != 2 {
            return;
        }
        let on = [
            faults.kills,
            faults.resets,
            faults.outages,
            faults.notices,
            faults.reloads,
            faults.drain,
        ];
        if !on[kind] {
            return;
        }
        self.report.faults += 1;
        match kind {
            0 => self.kill_backend(),
            1 => self.reset_client(),
            2 => self.toggle_outage(),
            3 => self.send_notice(),
            4 => self.reload(),
            _ => return self.drain(),
        }
        let after = Duration::from_micros(self.rng.between(1_000, 1_500_000));
        self.network.borrow_mut().schedule(after, Task::Fault(kind));
    }

    fn reload(&mut self) {
        let mut limits = random_limits(&mut self.rng, &self.scenario.faults);
        limits.borrow_timeout = self.scenario.limits.borrow_timeout;
        if self.scenario.faults.replaces && self.rng.chance(50) {
            self.host = if self.host == HOSTS[0] {
                HOSTS[1]
            } else {
                HOSTS[0]
            };
        }
        let host = self.host;
        self.note(|| format!("fault: reload of {host} with {limits:?}"));
        self.load(&limits);
    }

    fn load(&mut self, limits: &PoolLimits) {
        self.limit_max = self.limit_max.max(limits.connections_max);
        let snapshot = snapshot::<F>(&self.scenario, limits, self.host);
        self.plan = self
            .planner
            .plan(&snapshot)
            .expect("no TLS, so nothing to fail");
        for mailbox in &self.mailboxes {
            mailbox.send(Letter::Load {
                plan: Arc::clone(&self.plan),
                listeners: Vec::new(),
                gone: Vec::new(),
            });
        }
    }

    fn drain(&mut self) {
        self.note(|| "fault: drain".into());
        for mailbox in &self.mailboxes {
            mailbox.send(Letter::Drain);
        }
    }

    // --- The trace ---

    /// Remembers what happened, if asked to.
    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.telling == 0 {
            return;
        }
        if self.last.len() == self.telling {
            self.last.pop_front();
        }
        let now = self
            .network
            .try_borrow()
            .map_or(0, |network| network.now.as_nanos());
        let line = format!("{:>12.6} {}", now as f64 / 1e9, text());
        self.last.push_back(line);
    }
}
