//! The workers of one protocol family: their threads and mailboxes, and all families of a process.
//!
//! Each family has workers of its own, one per core: a process that serves two has two threads on each core, of which one sleeps while
//! the other works. They share what is no family's: counters, events, numbers of connections.

use crate::clock::Clock;
use crate::driver::Driver;
use crate::driver::epoll::Epoll;
#[cfg(target_os = "linux")]
use crate::driver::uring::Uring;
use crate::mailbox::{Letter, Mailbox};
use crate::plan::Plan;
use crate::plane::{NewEndpoint, StartError};
use crate::reporting::Subject;
use crate::sessions;
use crate::worker::{Crew, Worker};
use crate::workshop::Workshop;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use forebay_core::engine::{Engine, Household};
use forebay_core::event::{EventKind, EventSink};
use forebay_core::metrics::Registry;
use forebay_core::sessions::{SessionsAsked, SessionsReport};
use forebay_core::snapshot::EngineFamily;
use forebay_mysql::Mysql;
use forebay_postgres::Postgres;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

/// What can be asked of the workers of a family, whichever it is.
pub(crate) trait Family: Send + Sync {
    /// New configuration; `listeners` has a set for each worker.
    fn load(&self, plan: &Arc<Plan>, listeners: Vec<Vec<NewEndpoint>>, gone: &[u32]);
    /// Accept no more and end sessions at their next boundary.
    fn drain(&self);
    /// Close everything.
    fn stop(&self);
    /// Wait for the workers to end.
    fn join(&self);
    /// Whether a worker has ended.
    fn has_ended(&self) -> bool;
    /// Who is connected.
    fn ask(&self, asked: &SessionsAsked) -> SessionsReport;
}

/// The families that run; they only become more.
#[derive(Default)]
pub(crate) struct Families(RwLock<Vec<(EngineFamily, Arc<dyn Family>)>>);

impl Families {
    /// Its workers, if it runs.
    pub fn get(&self, engine: EngineFamily) -> Option<Arc<dyn Family>> {
        let families = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut families = families.iter();
        let found = families.find(|(known, _)| *known == engine);
        found.map(|(_, family)| Arc::clone(family))
    }

    /// The workers of all that run.
    pub fn all(&self) -> Vec<Arc<dyn Family>> {
        let families = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let families = families.iter();
        families.map(|(_, family)| Arc::clone(family)).collect()
    }

    /// It runs from now on.
    pub fn add(&self, engine: EngineFamily, family: Arc<dyn Family>) {
        let mut families = self.0.write().unwrap_or_else(PoisonError::into_inner);
        families.push((engine, family));
    }
}

/// Starts the workers of a family.
pub(crate) fn start(
    engine: EngineFamily,
    kit: &Kit,
    workers: usize,
    plan: &Arc<Plan>,
    listeners: Vec<Vec<NewEndpoint>>,
) -> Result<Arc<dyn Family>, StartError> {
    let given = (engine, kit);
    Ok(match engine {
        EngineFamily::Postgres => {
            Arc::new(Workers::<Postgres>::start(given, workers, plan, listeners)?)
        }
        EngineFamily::Mysql => Arc::new(Workers::<Mysql>::start(given, workers, plan, listeners)?),
    })
}

/// The workers of one family.
struct Workers<E: Engine> {
    mailboxes: Vec<Arc<Mailbox<E>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<E: Engine> Workers<E> {
    fn start(
        (engine, kit): (EngineFamily, &Kit),
        workers: usize,
        plan: &Arc<Plan>,
        listeners: Vec<Vec<NewEndpoint>>,
    ) -> Result<Workers<E>, StartError> {
        let workshop = Workshop::<E>::start().map_err(StartError::System)?;
        // Workers need each other's mailboxes, whose wakers their drivers make: each tells its own first.
        let (tell, told) = channel();
        let mut threads = Vec::new();
        let mut doors = Vec::new();
        for number in 0..workers {
            let (door, entry) = channel::<Start<E>>();
            doors.push(door);
            let (kit, workshop, tell) = (kit.clone(), workshop.clone(), tell.clone());
            let name = format!("{}-{number}", thread_name(engine));
            let builder = std::thread::Builder::new().name(name);
            let run = move || work(&kit, &workshop, (engine, number as u16), &tell, &entry);
            threads.push(builder.spawn(run).map_err(StartError::System)?);
        }
        drop(tell);
        let mailboxes = hear(workers, &told, kit.driver)?;
        for (door, listeners) in doors.into_iter().zip(listeners) {
            let start = Start {
                mailboxes: mailboxes.clone(),
                plan: Arc::clone(plan),
                listeners,
            };
            // A worker that died is noticed by `has_ended`.
            let _ = door.send(start);
        }
        Ok(Workers {
            mailboxes,
            threads: Mutex::new(threads),
        })
    }

    fn tell_all(&self, letter: impl Fn() -> Letter<E>) {
        for mailbox in &self.mailboxes {
            mailbox.send(letter());
        }
    }
}

/// Names of threads, 15 characters at most (Linux).
fn thread_name(engine: EngineFamily) -> &'static str {
    match engine {
        EngineFamily::Postgres => "forebay-pg",
        EngineFamily::Mysql => "forebay-my",
    }
}

/// The mailboxes of all workers, in order.
fn hear<E: Engine>(
    workers: usize,
    told: &Receiver<Told<E>>,
    driver: &'static str,
) -> Result<Vec<Arc<Mailbox<E>>>, StartError> {
    let died = |_| StartError::System(io::Error::other("a worker died at its start"));
    let failed = |error| StartError::Driver {
        name: driver,
        error,
    };
    let mut mailboxes = Vec::new();
    for _ in 0..workers {
        mailboxes.push(told.recv().map_err(died)?.map_err(failed)?);
    }
    mailboxes.sort_by_key(|(number, _)| *number);
    Ok(mailboxes.into_iter().map(|(_, mailbox)| mailbox).collect())
}

impl<E: Engine> Family for Workers<E> {
    fn load(&self, plan: &Arc<Plan>, listeners: Vec<Vec<NewEndpoint>>, gone: &[u32]) {
        for (mailbox, listeners) in self.mailboxes.iter().zip(listeners) {
            mailbox.send(Letter::Load {
                plan: Arc::clone(plan),
                listeners,
                gone: gone.to_vec(),
            });
        }
    }

    fn drain(&self) {
        self.tell_all(|| Letter::Drain);
    }

    fn stop(&self) {
        self.tell_all(|| Letter::Stop);
    }

    fn join(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A worker that panicked has said so on its own.
            let _ = thread.join();
        }
    }

    fn has_ended(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().any(JoinHandle::is_finished)
    }

    fn ask(&self, asked: &SessionsAsked) -> SessionsReport {
        sessions::ask(&self.mailboxes, asked)
    }
}

/// What every worker thread is given, whatever its family.
#[derive(Clone)]
pub(crate) struct Kit {
    /// The driver's name.
    pub driver: &'static str,
    /// Why it was chosen.
    pub why: Arc<str>,
    /// The process's clock.
    pub clock: Clock,
    /// Where counters are registered.
    pub registry: Arc<Registry>,
    /// Where events go.
    pub events: EventSink,
    /// Numbers of connections, for logs.
    pub numbers: Arc<AtomicU64>,
    /// Clients of all workers.
    pub clients: Arc<AtomicUsize>,
    /// What engines have in common.
    pub household: Household,
    /// Why a worker ended that should not have.
    pub failed: Arc<Mutex<Option<String>>>,
}

/// What a worker thread is given when all have a mailbox.
struct Start<E: Engine> {
    mailboxes: Vec<Arc<Mailbox<E>>>,
    plan: Arc<Plan>,
    listeners: Vec<NewEndpoint>,
}

type Told<E> = io::Result<(u16, Arc<Mailbox<E>>)>;

/// A worker's thread.
fn work<E: Engine>(
    kit: &Kit,
    workshop: &Workshop<E>,
    number: (EngineFamily, u16),
    tell: &Sender<Told<E>>,
    entry: &Receiver<Start<E>>,
) {
    #[cfg(target_os = "linux")]
    if kit.driver == "io_uring" {
        return match Uring::new(kit.clock) {
            Ok(driver) => work_on(driver, kit, workshop, number, (tell, entry)),
            Err(error) => drop(tell.send(Err(error))),
        };
    }
    match Epoll::new(kit.clock) {
        Ok(driver) => work_on(driver, kit, workshop, number, (tell, entry)),
        Err(error) => drop(tell.send(Err(error))),
    }
}

fn work_on<D: Driver, E: Engine>(
    driver: D,
    kit: &Kit,
    workshop: &Workshop<E>,
    (engine, number): (EngineFamily, u16),
    (tell, entry): (&Sender<Told<E>>, &Receiver<Start<E>>),
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
        engine,
        number,
        mailboxes,
        workshop: Some(workshop.clone()),
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
    let mut worker: Worker<D, E> = Worker::new(driver, crew);
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
