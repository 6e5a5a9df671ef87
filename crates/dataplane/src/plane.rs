//! The data plane as a whole: binds endpoints, chooses the driver, starts and stops workers.

use crate::clock::Clock;
use crate::driver::Driver;
use crate::driver::epoll::Epoll;
#[cfg(target_os = "linux")]
use crate::driver::uring::Uring;
use crate::mailbox::{Letter, Mailbox};
use crate::plan::{Plan, PlanError, Planner, ProxyPlan};
use crate::reporting::Subject;
use crate::sessions;
use crate::socket;
use crate::worker::{Crew, Worker};
use crate::workshop::Workshop;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use forebay_core::engine::Household;
use forebay_core::event::{EventKind, EventSink};
use forebay_core::metrics::Registry;
use forebay_core::sessions::{SessionsAsked, SessionsReport};
use forebay_core::snapshot::Snapshot;
use forebay_postgres::Postgres;
use std::hash::RandomState;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Which driver to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverChoice {
    /// io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll (kqueue on macOS).
    Epoll,
}

/// How to run the data plane.
pub struct Options {
    /// Number of workers, at least 1.
    pub workers: usize,
    /// Which driver.
    pub driver: DriverChoice,
    /// Where events go.
    pub events: EventSink,
    /// Where counters are registered.
    pub metrics: Arc<Registry>,
}

/// Where an endpoint really listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointAddress {
    /// `DBProxyName`.
    pub proxy: Arc<str>,
    /// `DBProxyEndpointName`.
    pub endpoint: Arc<str>,
    /// Address and port.
    pub address: SocketAddr,
}

/// Why the data plane cannot start, or cannot take a configuration.
#[derive(Debug)]
pub enum StartError {
    /// An endpoint's address cannot be listened on.
    Listen {
        /// Which proxy.
        proxy: Arc<str>,
        /// Which endpoint.
        endpoint: Arc<str>,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A proxy's TLS settings cannot be used.
    Plan(PlanError),
    /// The driver that was asked for is not to be had.
    Driver {
        /// Its name.
        name: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// A thread cannot be started, or the system gives no randomness.
    System(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Listen {
                proxy,
                endpoint,
                address,
                error,
            } => {
                write!(
                    f,
                    "proxy {proxy}, endpoint {endpoint}: cannot listen on {address}: {error}"
                )?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => f.write_str(
                        " (another program has this port: stop it or choose another port)",
                    ),
                    io::ErrorKind::PermissionDenied => {
                        f.write_str(" (ports below 1024 need a privilege: choose another port)")
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        f.write_str(" (this machine does not have this address)")
                    }
                    _ => Ok(()),
                }
            }
            StartError::Plan(PlanError { proxy, error }) => {
                write!(f, "proxy {proxy}: TLS: {error}")
            }
            StartError::Driver { name, error } => {
                write!(
                    f,
                    "driver {name} is not available here: {error} (use --driver auto)"
                )
            }
            StartError::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// The running data plane.
pub struct DataPlane {
    driver: (&'static str, Arc<str>),
    mailboxes: Vec<Arc<Mailbox<Postgres>>>,
    threads: Vec<JoinHandle<()>>,
    clients: Arc<AtomicUsize>,
    failed: Arc<Mutex<Option<String>>>,
    state: Mutex<State>,
}

struct State {
    planner: Planner,
    endpoints: Vec<Bound>,
    next_listener: u32,
}

/// An endpoint that is listened on.
struct Bound {
    address: EndpointAddress,
    wanted: SocketAddr,
    number: u32,
}

/// A listener on its way to a worker.
pub struct NewEndpoint {
    /// Its number in all workers.
    pub number: u32,
    /// The worker's own listener.
    pub listener: TcpListener,
    /// Whose it is.
    pub proxy: Arc<str>,
    /// Which one.
    pub endpoint: Arc<str>,
}

/// Asks the workers who is connected.
#[derive(Clone)]
pub struct SessionsAsker {
    mailboxes: Vec<Arc<Mailbox<Postgres>>>,
}

impl SessionsAsker {
    /// Who is connected and what for. Waits for the workers' answers, two seconds at most.
    pub fn ask(&self, asked: &SessionsAsked) -> SessionsReport {
        sessions::ask(&self.mailboxes, asked)
    }
}

impl DataPlane {
    /// Binds every endpoint, builds TLS and starts the workers.
    pub fn start(options: Options, snapshot: &Arc<Snapshot>) -> Result<DataPlane, StartError> {
        let clock = Clock::new();
        let driver = choose(options.driver, clock)?;
        let workers = options.workers.clamp(1, 512);
        let mut state = State {
            planner: Planner::default(),
            endpoints: Vec::new(),
            next_listener: 0,
        };
        let plan = state.planner.plan(snapshot).map_err(StartError::Plan)?;
        let mut listeners = state.bind(&plan, workers)?;
        let workshop = Workshop::<Postgres>::start().map_err(StartError::System)?;
        let clients = Arc::new(AtomicUsize::new(0));
        let kit = Kit {
            driver: driver.0,
            why: Arc::clone(&driver.1),
            clock,
            workshop,
            registry: options.metrics,
            events: options.events,
            numbers: Arc::new(AtomicU64::new(1)),
            clients: Arc::clone(&clients),
            household: Household {
                secret: random_secret().map_err(StartError::System)?,
                hasher: RandomState::new(),
                schema_version: Arc::default(),
            },
            failed: Arc::default(),
        };
        // Workers need each other's mailboxes, whose wakers their drivers make: each tells its own first.
        let (tell, told) = channel();
        let mut threads = Vec::new();
        let mut doors = Vec::new();
        for number in 0..workers {
            let (door, entry) = channel::<Start>();
            doors.push(door);
            let (kit, tell) = (kit.clone(), tell.clone());
            let builder = std::thread::Builder::new().name(format!("forebay-{number}"));
            let run = move || work(&kit, number as u16, &tell, &entry);
            threads.push(builder.spawn(run).map_err(StartError::System)?);
        }
        drop(tell);
        let mut mailboxes: Vec<(u16, Arc<Mailbox<Postgres>>)> = Vec::new();
        for _ in 0..workers {
            let told = told
                .recv()
                .map_err(|_| StartError::System(io::Error::other("a worker died at its start")))?;
            mailboxes.push(told.map_err(|error| StartError::Driver {
                name: driver.0,
                error,
            })?);
        }
        mailboxes.sort_by_key(|(number, _)| *number);
        let mailboxes: Vec<_> = mailboxes.into_iter().map(|(_, mailbox)| mailbox).collect();
        for door in doors {
            let listeners = listeners.pop().expect("one set for each worker");
            let start = Start {
                mailboxes: mailboxes.clone(),
                plan: Arc::clone(&plan),
                listeners,
            };
            // A worker that died is noticed by `ready`.
            let _ = door.send(start);
        }
        let failed = Arc::clone(&kit.failed);
        let state = Mutex::new(state);
        Ok(DataPlane {
            driver,
            mailboxes,
            threads,
            clients,
            failed,
            state,
        })
    }

    /// Where endpoints listen.
    pub fn endpoints(&self) -> Vec<EndpointAddress> {
        self.state()
            .endpoints
            .iter()
            .map(|bound| bound.address.clone())
            .collect()
    }

    /// Which driver runs, and why that one.
    pub fn driver(&self) -> (&'static str, &str) {
        (self.driver.0, &self.driver.1)
    }

    /// Takes a new configuration: new endpoints are bound first, so that a failure changes nothing.
    pub fn load(&self, snapshot: &Arc<Snapshot>) -> Result<(), StartError> {
        let mut state = self.state();
        let plan = state.planner.plan(snapshot).map_err(StartError::Plan)?;
        let gone = state.unwanted(&plan);
        let mut listeners = state.bind(&plan, self.mailboxes.len())?;
        state
            .endpoints
            .retain(|bound| !gone.contains(&bound.number));
        for mailbox in &self.mailboxes {
            let listeners = listeners.pop().expect("one set for each worker");
            mailbox.send(Letter::Load {
                plan: Arc::clone(&plan),
                listeners,
                gone: gone.clone(),
            });
        }
        Ok(())
    }

    /// Whether clients can be served, and if not, why.
    pub fn ready(&self) -> Result<(), String> {
        let failed = self
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(why) = failed {
            return Err(why);
        }
        match self.threads.iter().any(JoinHandle::is_finished) {
            true => Err("a worker has ended".to_owned()),
            false => Ok(()),
        }
    }

    /// Accepts no more and ends sessions at their next boundary.
    pub fn drain(&self) {
        self.mailboxes
            .iter()
            .for_each(|mailbox| mailbox.send(Letter::Drain));
    }

    /// Open client connections.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Whom to ask who is connected; may outlive the data plane, and then finds nobody.
    pub fn sessions_asker(&self) -> SessionsAsker {
        SessionsAsker {
            mailboxes: self.mailboxes.clone(),
        }
    }

    /// Closes everything and waits for the workers to end.
    pub fn stop(self) {
        self.mailboxes
            .iter()
            .for_each(|mailbox| mailbox.send(Letter::Stop));
        for thread in self.threads {
            // A worker that panicked has said so on its own.
            let _ = thread.join();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Listeners that the plan no longer has.
    fn unwanted(&self, plan: &Plan) -> Vec<u32> {
        let wanted = |bound: &Bound| {
            plan.proxies.iter().any(|proxy| {
                proxy.proxy.name == bound.address.proxy
                    && proxy
                        .endpoint(&bound.address.endpoint)
                        .is_some_and(|e| e.listen == bound.wanted)
            })
        };
        self.endpoints
            .iter()
            .filter(|bound| !wanted(bound))
            .map(|bound| bound.number)
            .collect()
    }

    /// Binds what is not bound yet: a listener of its own for each worker, all on one port.
    fn bind(&mut self, plan: &Plan, workers: usize) -> Result<Vec<Vec<NewEndpoint>>, StartError> {
        let mut sets: Vec<Vec<NewEndpoint>> = (0..workers).map(|_| Vec::new()).collect();
        let mut bound = Vec::new();
        let mut number = self.next_listener;
        for proxy in &plan.proxies {
            for endpoint in &proxy.proxy.endpoints {
                let known = self.endpoints.iter().any(|bound| {
                    bound.address.proxy == proxy.proxy.name
                        && bound.address.endpoint == endpoint.name
                        && bound.wanted == endpoint.listen
                });
                if known {
                    continue;
                }
                let held = self
                    .endpoints
                    .iter()
                    .any(|bound| bound.wanted == endpoint.listen);
                let address = bind_endpoint(proxy, endpoint, (number, held), &mut sets)?;
                bound.push(Bound {
                    address,
                    wanted: endpoint.listen,
                    number,
                });
                number += 1;
            }
        }
        self.next_listener = number;
        self.endpoints.extend(bound);
        Ok(sets)
    }
}

/// `held`: we listen there already, for an endpoint whose place this one takes.
fn bind_endpoint(
    proxy: &ProxyPlan,
    endpoint: &forebay_core::snapshot::Endpoint,
    (number, held): (u32, bool),
    sets: &mut [Vec<NewEndpoint>],
) -> Result<EndpointAddress, StartError> {
    let fail = |error| StartError::Listen {
        proxy: Arc::clone(&proxy.proxy.name),
        endpoint: Arc::clone(&endpoint.name),
        address: endpoint.listen,
        error,
    };
    // Sharing a port among our own workers must not hide that another program has it.
    if endpoint.listen.port() != 0 && !held {
        drop(socket::listener(endpoint.listen, false).map_err(fail)?);
    }
    let mut address = endpoint.listen;
    for set in sets {
        let listener = socket::listener(address, true).map_err(fail)?;
        address = listener.local_addr().map_err(fail)?;
        set.push(NewEndpoint {
            number,
            listener,
            proxy: Arc::clone(&proxy.proxy.name),
            endpoint: Arc::clone(&endpoint.name),
        });
    }
    Ok(EndpointAddress {
        proxy: Arc::clone(&proxy.proxy.name),
        endpoint: Arc::clone(&endpoint.name),
        address,
    })
}

fn random_secret() -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(secret)
}

/// The driver's name and why it was chosen.
fn choose(choice: DriverChoice, clock: Clock) -> Result<(&'static str, Arc<str>), StartError> {
    match choice {
        DriverChoice::Epoll => Ok(("epoll", "as asked".into())),
        #[cfg(target_os = "linux")]
        DriverChoice::Uring => match try_uring(clock) {
            Ok(()) => Ok(("io_uring", "as asked".into())),
            Err(error) => Err(StartError::Driver {
                name: "io_uring",
                error,
            }),
        },
        #[cfg(target_os = "linux")]
        DriverChoice::Auto => match try_uring(clock) {
            Ok(()) => Ok(("io_uring", "the kernel allows it".into())),
            Err(error) => Ok((
                "epoll",
                format!("io_uring is not available: {error}").into(),
            )),
        },
        #[cfg(not(target_os = "linux"))]
        DriverChoice::Uring => {
            let error = io::Error::other("io_uring is a Linux interface");
            Err(StartError::Driver {
                name: "io_uring",
                error,
            })
        }
        #[cfg(not(target_os = "linux"))]
        DriverChoice::Auto => Ok(("epoll", "io_uring is a Linux interface".into())),
    }
}

/// Whether a ring can be had and entered: a policy may allow the one call and not the other.
#[cfg(target_os = "linux")]
fn try_uring(clock: Clock) -> io::Result<()> {
    let mut ring = Uring::new(clock)?;
    let now = ring.now();
    ring.turn(Some(now), &mut Vec::new())
}

/// What every worker thread is given.
struct Kit {
    driver: &'static str,
    why: Arc<str>,
    clock: Clock,
    workshop: Workshop<Postgres>,
    registry: Arc<Registry>,
    events: EventSink,
    numbers: Arc<AtomicU64>,
    clients: Arc<AtomicUsize>,
    household: Household,
    failed: Arc<Mutex<Option<String>>>,
}

impl Clone for Kit {
    fn clone(&self) -> Kit {
        Kit {
            driver: self.driver,
            why: Arc::clone(&self.why),
            clock: self.clock,
            workshop: self.workshop.clone(),
            registry: Arc::clone(&self.registry),
            events: self.events.clone(),
            numbers: Arc::clone(&self.numbers),
            clients: Arc::clone(&self.clients),
            household: self.household.clone(),
            failed: Arc::clone(&self.failed),
        }
    }
}

/// What a worker thread is given when all have a mailbox.
struct Start {
    mailboxes: Vec<Arc<Mailbox<Postgres>>>,
    plan: Arc<Plan>,
    listeners: Vec<NewEndpoint>,
}

type Told = io::Result<(u16, Arc<Mailbox<Postgres>>)>;

/// A worker's thread.
fn work(kit: &Kit, number: u16, tell: &Sender<Told>, entry: &std::sync::mpsc::Receiver<Start>) {
    #[cfg(target_os = "linux")]
    if kit.driver == "io_uring" {
        return match Uring::new(kit.clock) {
            Ok(driver) => work_on(driver, kit, number, tell, entry),
            Err(error) => drop(tell.send(Err(error))),
        };
    }
    match Epoll::new(kit.clock) {
        Ok(driver) => work_on(driver, kit, number, tell, entry),
        Err(error) => drop(tell.send(Err(error))),
    }
}

fn work_on<D: Driver>(
    driver: D,
    kit: &Kit,
    number: u16,
    tell: &Sender<Told>,
    entry: &std::sync::mpsc::Receiver<Start>,
) {
    let mailbox = Arc::new(Mailbox::new(driver.waker()));
    if tell.send(Ok((number, mailbox))).is_err() {
        return;
    }
    let Ok(Start {
        mailboxes,
        plan,
        listeners,
    }) = entry.recv()
    else {
        return;
    };
    let random = SystemRandom::new();
    let crew = Crew {
        number,
        mailboxes,
        workshop: Some(kit.workshop.clone()),
        registry: Arc::clone(&kit.registry),
        events: kit.events.clone(),
        numbers: Arc::clone(&kit.numbers),
        clients: Arc::clone(&kit.clients),
        household: kit.household.clone(),
        random: Box::new(move |bytes| {
            random
                .fill(bytes)
                .expect("randomness was there at the start and does not go away");
        }),
    };
    let mut worker: Worker<D, Postgres> = Worker::new(driver, crew);
    worker.report(
        Subject::worker(),
        EventKind::WorkerStarted {
            driver: kit.driver,
            why: Arc::clone(&kit.why),
        },
    );
    worker.load(&plan, listeners, &[]);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run()));
    let why = match result {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("worker {number} failed: {error}"),
        Err(_) => format!("worker {number} panicked"),
    };
    *kit.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
}
