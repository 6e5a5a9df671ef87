//! The data plane as a whole: binds endpoints, chooses the driver, and gives each protocol family its part of the configuration
//! (`family.rs` has their workers).

use crate::clock::Clock;
#[cfg(target_os = "linux")]
use crate::driver::Driver;
#[cfg(target_os = "linux")]
use crate::driver::uring::Uring;
use crate::family::{self, Families, Kit};
use crate::plan::{Plan, PlanError, Planner, ProxyPlan};
use crate::socket;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use forebay_core::engine::Household;
use forebay_core::event::EventSink;
use forebay_core::metrics::Registry;
use forebay_core::sessions::{ROWS_MAX, SessionsAsked, SessionsReport};
use forebay_core::snapshot::{EngineFamily, Snapshot};
use std::hash::RandomState;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    kit: Kit,
    workers: usize,
    families: Arc<Families>,
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
    families: Arc<Families>,
}

impl SessionsAsker {
    /// Who is connected and what for. Waits for the workers' answers, two seconds at most for each protocol family.
    pub fn ask(&self, asked: &SessionsAsked) -> SessionsReport {
        let mut report = SessionsReport::default();
        for family in self.families.all() {
            let more = family.ask(asked);
            report.clients += more.clients;
            report.matching += more.matching;
            report.workers_silent += more.workers_silent;
            report.rows.extend(more.rows);
        }
        report.arrange(&SessionsAsked {
            limit: asked.limit.clamp(1, ROWS_MAX),
            ..*asked
        });
        report
    }
}

impl DataPlane {
    /// Binds every endpoint, builds TLS and starts the workers of every protocol family that is configured.
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
        let listeners = state.bind(&plan, workers)?;
        let kit = Kit {
            driver: driver.0,
            why: driver.1,
            clock,
            registry: options.metrics,
            events: options.events,
            numbers: Arc::new(AtomicU64::new(1)),
            clients: Arc::default(),
            household: Household {
                secret: random_secret().map_err(StartError::System)?,
                hasher: RandomState::new(),
                schema_version: Arc::default(),
            },
            failed: Arc::default(),
        };
        let plane = DataPlane {
            kit,
            workers,
            families: Arc::default(),
            state: Mutex::new(state),
        };
        plane.give(&plan, listeners, &[])?;
        Ok(plane)
    }

    /// Gives every protocol family its part of a plan; one that was not there yet starts.
    fn give(
        &self,
        plan: &Plan,
        mut listeners: Vec<Vec<NewEndpoint>>,
        gone: &[u32],
    ) -> Result<(), StartError> {
        for engine in EngineFamily::ALL {
            let part = Arc::new(plan.of(engine));
            let own = listeners.iter_mut().map(|set| own(set, &part)).collect();
            match self.families.get(engine) {
                Some(family) => family.load(&part, own, gone),
                None if part.proxies.is_empty() => {}
                None => {
                    let family = family::start(engine, &self.kit, self.workers, &part, own)?;
                    self.families.add(engine, family);
                }
            }
        }
        Ok(())
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
        (self.kit.driver, &self.kit.why)
    }

    /// Takes a new configuration: new endpoints are bound first, so that a failure changes nothing.
    pub fn load(&self, snapshot: &Arc<Snapshot>) -> Result<(), StartError> {
        let mut state = self.state();
        let plan = state.planner.plan(snapshot).map_err(StartError::Plan)?;
        let gone = state.unwanted(&plan);
        let listeners = state.bind(&plan, self.workers)?;
        state
            .endpoints
            .retain(|bound| !gone.contains(&bound.number));
        self.give(&plan, listeners, &gone)
    }

    /// Whether clients can be served, and if not, why.
    pub fn ready(&self) -> Result<(), String> {
        let failed = self
            .kit
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(why) = failed {
            return Err(why);
        }
        match self.families.all().iter().any(|family| family.has_ended()) {
            true => Err("a worker has ended".to_owned()),
            false => Ok(()),
        }
    }

    /// Accepts no more and ends sessions at their next boundary.
    pub fn drain(&self) {
        self.families.all().iter().for_each(|family| family.drain());
    }

    /// Open client connections.
    pub fn clients(&self) -> usize {
        self.kit.clients.load(Ordering::Relaxed)
    }

    /// Whom to ask who is connected; may outlive the data plane, and then finds nobody.
    pub fn sessions_asker(&self) -> SessionsAsker {
        SessionsAsker {
            families: Arc::clone(&self.families),
        }
    }

    /// Closes everything and waits for the workers to end.
    pub fn stop(self) {
        let families = self.families.all();
        families.iter().for_each(|family| family.stop());
        families.iter().for_each(|family| family.join());
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listeners of one worker's set that belong to this part of a plan.
fn own(set: &mut Vec<NewEndpoint>, part: &Plan) -> Vec<NewEndpoint> {
    let is_own = |endpoint: &mut NewEndpoint| {
        let mut proxies = part.proxies.iter();
        proxies.any(|plan| plan.proxy.name == endpoint.proxy)
    };
    set.extract_if(.., is_own).collect()
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
