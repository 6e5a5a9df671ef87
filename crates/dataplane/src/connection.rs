//! What a worker knows of each connection, and the places they live in.
//!
//! A place's number is used again; its generation is not, so that an event, a letter or a pool's order that is late finds nobody
//! instead of somebody else.

use crate::driver::{Handle, Token};
use crate::hub::HubKey;
use crate::mailbox::{Asker, Ticket};
use crate::pins::Pin;
use crate::scope::{EndpointScope, Password, PoolScope};
use crate::silence::IdleLimit;
use crate::tls::Filter;
use crate::unframing::Frames;
use forebay_core::CloseReason;
use forebay_core::Instant;
use forebay_core::engine::{Engine, StartupParameters};
use forebay_core::metrics::Counter;
use forebay_core::notification::Channel;
use forebay_pool::{History, PoolId};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes that were received and not yet consumed.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Do not show them before there are so many.
    pub need: usize,
}

/// One client connection.
pub struct Client<E: Engine> {
    /// Its place.
    pub ticket: Ticket,
    /// Its connection in the driver.
    pub handle: Handle,
    /// Its session.
    pub session: E::Session,
    /// Its TLS.
    pub tls: Option<Box<Filter>>,
    /// Its TLS handshake is complete.
    pub secured: bool,
    /// What its messages are framed in, inside TLS.
    pub frames: Option<Box<Frames>>,
    /// What it sent and nobody consumed.
    pub inbox: Inbox,
    /// Where it came in.
    pub endpoint: Rc<EndpointScope>,
    /// Its pool, once it is admitted.
    pub pool: Option<Rc<PoolScope>>,
    /// Its backend.
    pub lease: Option<Ticket>,
    /// How far it has come; changed by `enter` alone.
    pub phase: Phase,
    /// Its input is not shown to the engine for the time being.
    pub paused: bool,
    /// It is not received from, because its backend or we ourselves cannot take more.
    pub throttled: bool,
    /// Its number in logs.
    pub number: u64,
    /// When it last sent or was answered something.
    pub active_at: Instant,
    /// When the request began that is not answered yet.
    pub asked_at: Option<Instant>,
    /// Why it is pinned, and since when.
    pub pin: Option<Box<Pin>>,
    /// How long it may be idle without a backend, where it has said so itself.
    pub idle_limit: Option<Box<IdleLimit>>,
    /// Startup parameters of the backend that is to be its own.
    pub dedicated: Option<StartupParameters>,
    /// The database whose notifications it hears, once it has asked.
    pub hub: Option<HubKey>,
    /// The channels that it hears.
    pub channels: BTreeSet<Channel>,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It logs in.
    Login,
    /// It is served, or waits for nothing.
    Ready,
    /// It waits for a backend; whether its login is complete is remembered.
    Waiting {
        /// Its login is complete.
        ready: bool,
    },
    /// It waits for the cancellation that it asked for; whether its login is complete is remembered.
    Cancelling {
        /// Its login is complete.
        ready: bool,
    },
}

impl Phase {
    /// Whether the login is not complete.
    pub fn is_in_setup(self) -> bool {
        matches!(
            self,
            Phase::Login | Phase::Cancelling { ready: false } | Phase::Waiting { ready: false }
        )
    }

    /// Whether it waits for a backend.
    pub fn is_waiting(self) -> bool {
        matches!(self, Phase::Waiting { .. })
    }
}

impl<E: Engine> Client<E> {
    /// The door to every phase: what is counted of phases is counted here.
    #[inline]
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.count_out();
        self.phase = phase;
        let block = &self.endpoint.block;
        block.clients_waiting.add(phase.is_waiting().into());
        block
            .client_connections_in_setup
            .add(phase.is_in_setup().into());
    }

    /// It is no longer counted in any phase.
    #[inline]
    pub(crate) fn count_out(&self) {
        let block = &self.endpoint.block;
        block.clients_waiting.sub(self.phase.is_waiting().into());
        block
            .client_connections_in_setup
            .sub(self.phase.is_in_setup().into());
    }
}

/// One database connection.
pub struct Backend<E: Engine> {
    /// Its place.
    pub ticket: Ticket,
    /// Its connection in the driver, once there is one.
    pub handle: Option<Handle>,
    /// Its state, once it is connected.
    pub state: Option<E::Backend>,
    /// Its TLS.
    pub tls: Option<Box<Filter>>,
    /// Its TLS handshake is complete.
    pub secured: bool,
    /// What it sent and nobody consumed.
    pub inbox: Inbox,
    /// What it is for.
    pub role: Role,
    /// Its pool.
    pub pool: Rc<PoolScope>,
    /// Its leaseholder.
    pub client: Option<Ticket>,
    /// When it was leased.
    pub leased_at: Instant,
    /// It is not received from, because its client cannot take more.
    pub throttled: bool,
    /// Its number in logs.
    pub number: u64,
    /// When its dial is given up.
    pub dial_deadline: Instant,
    /// Addresses still to be tried.
    pub addresses: Vec<SocketAddr>,
    /// It is dialled a second time, for the target may not know our newest protocol version.
    pub redialed: bool,
    /// With which of its user's passwords it logs in.
    pub password: Password,
    /// It is dialled again with that one, for the target refused the other.
    pub is_second_password: bool,
    /// Cancel requests under way that are meant for what it does now.
    pub cancels: u32,
    /// It was released while such requests were under way.
    pub release_deferred: bool,
    /// Since when a transaction is open, as last counted.
    pub transaction_since: Option<Instant>,
    /// Why it may serve no further session, found out while it served one.
    pub unfit: Option<CloseReason>,
    /// It is on its way to another worker.
    pub leaving: Option<(u16, History)>,
}

impl<E: Engine> Backend<E> {
    /// Why it may not serve another session, if it may not.
    pub(crate) fn unusable(&self) -> Option<(CloseReason, &'static str)> {
        match (self.unfit, &self.tls) {
            (Some(CloseReason::NotClean), _) => Some((
                CloseReason::NotClean,
                "a cancel request is still on its way",
            )),
            (Some(reason), _) => Some((reason, "")),
            // AES-GCM of TLS 1.2 encrypts only so many records.
            (None, Some(tls)) if tls.is_worn() => {
                Some((CloseReason::MaxAge, "its TLS keys are worn"))
            }
            _ => None,
        }
    }

    /// The gauge of backends that pinned sessions keep.
    pub(crate) fn pinned(&self) -> &Counter {
        let block = &self.pool.block;
        &block.database_connections_currently_session_pinned
    }
}

/// What a database connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is being opened for this pool.
    Dialing(PoolId),
    /// It belongs to a pool.
    Pooled,
    /// It is being opened for one client.
    DialingFor(Ticket),
    /// It is being opened in place of one that did not suit the client, who has waited since then. To its pool it is leased.
    Replacing {
        /// Whose it will be first.
        client: Ticket,
        /// Since when that one waits.
        since: Instant,
    },
    /// It belongs to one client.
    Dedicated,
    /// It is being opened to listen for all clients of its database.
    DialingListener,
    /// It listens for all clients of its database.
    Listener,
    /// It hears what the target says of itself, for clients that cannot be spoken to before.
    Scout,
    /// It carries a cancel request.
    Cancel {
        /// The backend whose query is to be cancelled, if it is not to be closed anyway.
        victim: Option<Ticket>,
        /// Who waits for it.
        asker: Option<Asker>,
    },
}

/// A peer's address for logs; empty when it is gone.
pub fn peer_text(peer: Option<SocketAddr>) -> Arc<str> {
    peer.map_or_else(|| "".into(), |peer| peer.to_string().into())
}

/// Places with generations.
#[derive(Debug)]
pub struct Places<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Places<T> {
    fn default() -> Places<T> {
        Places {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Places<T> {
    /// Puts in what `make` makes of its place.
    pub fn insert(&mut self, make: impl FnOnce(Ticket) -> T) -> Ticket {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.0 = (slot.0 + 1) & Ticket::GENERATIONS;
        let ticket = Ticket {
            index,
            generation: slot.0,
        };
        slot.1 = Some(make(ticket));
        self.len += 1;
        ticket
    }

    /// Whose ticket this is.
    #[inline]
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        match self.slots.get(ticket.index as usize)? {
            (generation, here) if *generation == ticket.generation => here.as_ref(),
            _ => None,
        }
    }

    /// Whose ticket this is.
    #[inline]
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        match self.slots.get_mut(ticket.index as usize)? {
            (generation, here) if *generation == ticket.generation => here.as_mut(),
            _ => None,
        }
    }

    /// Whether the one with this ticket is still there.
    #[inline]
    pub fn holds(&self, ticket: Ticket) -> bool {
        self.get(ticket).is_some()
    }

    /// Takes out whose ticket this is.
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let (generation, here) = self.slots.get_mut(ticket.index as usize)?;
        let taken = here.take_if(|_| *generation == ticket.generation)?;
        self.free.push(ticket.index);
        self.len -= 1;
        Some(taken)
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.len
    }

    /// The tickets of all who are there now, for walking while changing.
    pub fn tickets(&self) -> Vec<Ticket> {
        let slots = self.slots.iter().zip(0..);
        slots
            .filter(|((_, here), _)| here.is_some())
            .map(|(&(generation, _), index)| Ticket { index, generation })
            .collect()
    }

    /// How many places there are, taken or not.
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The ticket of whoever is in this place now.
    pub fn ticket_at(&self, index: u32) -> Option<Ticket> {
        let (generation, here) = self.slots.get(index as usize)?;
        here.is_some().then_some(Ticket {
            index,
            generation: *generation,
        })
    }
}

const CLIENT: u64 = 1;
const BACKEND: u64 = 2;
const LISTENER: u64 = 3;

/// The token of a connection that is only there to be closed.
pub const NOBODYS: Token = 0;

/// What a driver's token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A client.
    Client(Ticket),
    /// A backend.
    Backend(Ticket),
    /// A listener, by its number.
    Listener(u32),
    /// Nothing we know.
    Nobody,
}

/// The token of a client.
pub fn client_token(ticket: Ticket) -> Token {
    CLIENT << 56 | ticket.bits()
}

/// The token of a backend.
pub fn backend_token(ticket: Ticket) -> Token {
    BACKEND << 56 | ticket.bits()
}

/// The token of a listener.
pub fn listener_token(number: u32) -> Token {
    LISTENER << 56 | u64::from(number)
}

/// What a token stands for.
#[inline]
pub fn whose(token: Token) -> Whose {
    let ticket = Ticket::from_bits(token);
    match token >> 56 {
        CLIENT => Whose::Client(ticket),
        BACKEND => Whose::Backend(ticket),
        LISTENER => Whose::Listener(token as u32),
        _ => Whose::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_ticket_finds_nobody() {
        let mut places = Places::default();
        let first = places.insert(|ticket| ticket);
        assert_eq!(places.get(first), Some(&first));
        places.remove(first);
        assert!(!places.holds(first));
        let second = places.insert(|ticket| ticket);
        assert_eq!(second.index, first.index, "the place is used again");
        assert!(!places.holds(first) && places.get_mut(first).is_none());
        assert!(places.remove(first).is_none());
        assert_eq!(places.tickets(), [second]);
        assert_eq!(whose(client_token(second)), Whose::Client(second));
        assert_eq!(whose(backend_token(second)), Whose::Backend(second));
        assert_eq!(Ticket::from(second.client_key()), second);
        assert_eq!(Ticket::from(second.backend_key()), second);
    }
}
