//! Work too slow for an event loop, done by one thread for all workers: deriving keys from passwords, resolving names.

use crate::mailbox::{Letter, Mailbox, Ticket};
use forebay_core::engine::Engine;
use std::net::ToSocketAddrs;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Jobs that may wait; beyond that a login fails rather than the queue grows.
const JOBS_MAX: usize = 4096;
/// Threads. Two, so that a name server that does not answer delays no login.
const THREADS: usize = 2;

/// A job and whom its result concerns.
pub enum Job<E: Engine> {
    /// For a client.
    Client(Ticket, E::Work),
    /// For a backend.
    Backend(Ticket, E::Work),
    /// The addresses of a target.
    Resolve(Ticket, Arc<str>, u16),
}

impl<E: Engine> Job<E> {
    /// Does it.
    pub fn run(self) -> Letter<E> {
        match self {
            Job::Client(ticket, work) => Letter::ClientWork(ticket, E::work(work)),
            Job::Backend(ticket, work) => Letter::BackendWork(ticket, E::work(work)),
            Job::Resolve(ticket, host, port) => {
                let addresses = (&*host, port).to_socket_addrs().map(Iterator::collect);
                Letter::Resolved(ticket, addresses)
            }
        }
    }
}

type Order<E> = (Job<E>, Arc<Mailbox<E>>);

/// Where workers leave jobs; cheap to clone.
pub struct Workshop<E: Engine> {
    jobs: SyncSender<Order<E>>,
}

impl<E: Engine> Clone for Workshop<E> {
    fn clone(&self) -> Workshop<E> {
        Workshop {
            jobs: self.jobs.clone(),
        }
    }
}

impl<E: Engine> Workshop<E> {
    /// Starts the threads; they end when the last clone is dropped.
    pub fn start() -> std::io::Result<(Workshop<E>, Vec<JoinHandle<()>>)> {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let queue = Arc::clone(&queue);
            let builder = std::thread::Builder::new().name("forebay-workshop".into());
            threads.push(builder.spawn(move || work::<E>(&queue))?);
        }
        Ok((Workshop { jobs }, threads))
    }

    /// Leaves a job whose result goes to `mailbox`; false when too many wait.
    pub fn leave(&self, job: Job<E>, mailbox: &Arc<Mailbox<E>>) -> bool {
        !matches!(
            self.jobs.try_send((job, Arc::clone(mailbox))),
            Err(TrySendError::Full(_))
        )
    }
}

fn work<E: Engine>(queue: &Mutex<Receiver<Order<E>>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((job, mailbox)) = next else { return };
        mailbox.send(job.run());
    }
}
