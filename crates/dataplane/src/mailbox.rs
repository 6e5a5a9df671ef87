//! Letters between threads: what reaches a worker from outside its own event loop.
//!
//! A letter wakes the worker's driver. Letters are rare (a moved backend, a finished derivation, a new configuration), so a plain
//! mutex around a queue is enough; no query ever takes it.

use crate::driver::{Socket, Wake};
use crate::plan::Plan;
use crate::plane::NewEndpoint;
use crate::sessions::PageAsked;
use crate::subscriptions::HubLetter;
use crate::tls::Filter;
use forebay_core::engine::Engine;
use forebay_core::orders::CancelKey;
use forebay_pool::{BackendKey, ClientKey, History, PoolKey};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// One letter.
pub enum Letter<E: Engine> {
    /// Another worker's pools changed in a way that may concern ours.
    Look,
    /// A backend moves here.
    Parcel(Box<Parcel<E>>),
    /// Slow work for a client is done.
    ClientWork(Ticket, E::Done),
    /// Slow work for a backend is done.
    BackendWork(Ticket, E::Done),
    /// A name was resolved for a dial.
    Resolved(Ticket, io::Result<Vec<SocketAddr>>),
    /// A client of ours is to be cancelled; tell the asking worker when that is done.
    Cancel {
        /// Whom, and the proof.
        key: CancelKey,
        /// Who asked.
        asker: Asker,
    },
    /// About the connection that listens for a database's clients.
    Hub(Box<HubLetter>),
    /// What a client asked to be cancelled is done with.
    Cancelled(Ticket, bool),
    /// To itself: a client of ours whose frames hold much has waited for the others.
    ReadOn(Ticket),
    /// New configuration.
    Load {
        /// The configuration.
        plan: Arc<Plan>,
        /// Endpoints that were not listened on before.
        listeners: Vec<NewEndpoint>,
        /// Listeners that are no longer wanted, by number.
        gone: Vec<u32>,
    },
    /// Somebody outside asks who is connected.
    Sessions(Box<PageAsked>),
    /// End sessions at their next boundary and accept no more.
    Drain,
    /// Close everything and end the thread.
    Stop,
}

/// A connection of a worker, safe against reuse of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Its place.
    pub index: u32,
    /// How often the place was used before, modulo 2^24.
    pub generation: u32,
}

impl Ticket {
    /// The largest generation.
    pub const GENERATIONS: u32 = 0xff_ffff;

    /// In 56 bits.
    #[inline]
    pub fn bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// From the lower 56 of these bits.
    #[inline]
    pub fn from_bits(bits: u64) -> Ticket {
        Ticket {
            index: bits as u32,
            generation: (bits >> 32) as u32 & Ticket::GENERATIONS,
        }
    }

    /// What pools call this client.
    #[inline]
    pub fn client_key(self) -> ClientKey {
        ClientKey(self.bits())
    }

    /// What pools call this backend.
    #[inline]
    pub fn backend_key(self) -> BackendKey {
        BackendKey(self.bits())
    }
}

impl From<ClientKey> for Ticket {
    fn from(key: ClientKey) -> Ticket {
        Ticket::from_bits(key.0)
    }
}

impl From<BackendKey> for Ticket {
    fn from(key: BackendKey) -> Ticket {
        Ticket::from_bits(key.0)
    }
}

/// Who asked for a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Its worker.
    pub worker: u16,
    /// Its connection there.
    pub ticket: Ticket,
    /// Number of the listener that it came through; the same on every worker.
    pub listener: u32,
}

/// A backend on its way from one worker to another.
pub struct Parcel<E: Engine> {
    /// Its pool.
    pub pool: PoolKey,
    /// Its socket.
    pub socket: Socket,
    /// Its TLS.
    pub tls: Option<Box<Filter>>,
    /// Its state.
    pub state: E::Backend,
    /// What the pool must know.
    pub history: History,
    /// Its number in logs.
    pub number: u64,
}

/// Where a worker's letters go.
pub struct Mailbox<E: Engine> {
    letters: Mutex<VecDeque<Letter<E>>>,
    waker: Arc<dyn Wake>,
}

impl<E: Engine> Mailbox<E> {
    /// A mailbox whose letters wake this driver.
    pub fn new(waker: Arc<dyn Wake>) -> Mailbox<E> {
        Mailbox {
            letters: Mutex::default(),
            waker,
        }
    }

    /// Puts a letter in and wakes the worker.
    pub fn send(&self, letter: Letter<E>) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let first = letters.is_empty();
        letters.push_back(letter);
        drop(letters);
        // Whoever put in the first letter has woken the worker, which takes them all.
        if first {
            self.waker.wake();
        }
    }

    /// Takes all letters.
    pub fn take(&self) -> VecDeque<Letter<E>> {
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
