//! Work too slow for an event loop, done by a few threads for all workers: deriving keys from passwords, resolving names.
//!
//! Each kind has its own queue and threads: while a name server does not answer, logins go on.

use crate::mailbox::{Letter, Mailbox, Ticket};
use forebay_core::engine::Engine;
use std::net::ToSocketAddrs;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Jobs of a kind that may wait; beyond that a login fails rather than the queue grows.
const JOBS_MAX: usize = 4096;
/// Threads of a kind. Two, so that one name server that does not answer need not delay every dial.
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
    keys: SyncSender<Order<E>>,
    names: SyncSender<Order<E>>,
}

impl<E: Engine> Clone for Workshop<E> {
    fn clone(&self) -> Workshop<E> {
        Workshop {
            keys: self.keys.clone(),
            names: self.names.clone(),
        }
    }
}

impl<E: Engine> Workshop<E> {
    /// Starts the threads; they end when the last clone is dropped.
    pub fn start() -> std::io::Result<Workshop<E>> {
        Ok(Workshop {
            keys: start_threads("forebay-keys")?,
            names: start_threads("forebay-names")?,
        })
    }

    /// Leaves a job whose result goes to `mailbox`; false when too many of its kind wait.
    pub fn leave(&self, job: Job<E>, mailbox: &Arc<Mailbox<E>>) -> bool {
        let queue = match job {
            Job::Client(..) | Job::Backend(..) => &self.keys,
            Job::Resolve(..) => &self.names,
        };
        !matches!(
            queue.try_send((job, Arc::clone(mailbox))),
            Err(TrySendError::Full(_))
        )
    }
}

/// Starts the threads of one kind of work.
fn start_threads<E: Engine>(name: &str) -> std::io::Result<SyncSender<Order<E>>> {
    let (jobs, queue) = sync_channel(JOBS_MAX);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..THREADS {
        let queue = Arc::clone(&queue);
        let builder = std::thread::Builder::new().name(name.into());
        // Not joined: a thread that waits for a name server must not hold up the end of the process.
        builder.spawn(move || work::<E>(&queue))?;
    }
    Ok(jobs)
}

fn work<E: Engine>(queue: &Mutex<Receiver<Order<E>>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((job, mailbox)) = next else { return };
        mailbox.send(job.run());
    }
}
