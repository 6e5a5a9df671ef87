//! The driver of a simulation: the interface of the real ones over the [`Network`], without waiting.
//!
//! A turn sends what fits, takes what has come, and returns at once; [`Driver::wants_turn`] and [`Driver::until`] tell the world
//! when the next one is due. It behaves like the io_uring driver where that is a choice: several events of one connection in one
//! turn, bytes that come although receiving was just switched off, sends dropped once the peer has ended.

use super::network::{LinkId, Near, Network, Way};
use crate::model::SplitMix64;
use forebay_core::Instant;
use forebay_dataplane::buffer::{BufferPool, Chunk};
use forebay_dataplane::driver::{self, Counters, Event, Handle, Socket, Token, UNSENT_HIGH, Wake};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Receive buffers of one worker; few, so that they run out now and then.
const BUFFERS: u16 = 24;
/// Size of a receive buffer.
const BUFFER_BYTES: usize = 16 * 1024;
/// A closing connection gets this long to take what it is still sent, and to close its side.
const CLOSING_MAX: Duration = Duration::from_secs(3);

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Free,
    Open,
    Detaching,
    /// Waits for its unsent bytes to leave.
    Lingering(Instant),
    /// Waits for the peer to close.
    Closing(Instant),
}

#[derive(Debug)]
struct Place {
    generation: u32,
    link: LinkId,
    token: Token,
    life: Life,
    connecting: bool,
    wants_receive: bool,
    peer_ended: bool,
    outbox: VecDeque<Chunk>,
    tense: bool,
}

impl Place {
    fn unsent(&self) -> usize {
        self.outbox.iter().map(|chunk| chunk.len()).sum()
    }

    fn is_live(&self) -> bool {
        matches!(self.life, Life::Open | Life::Detaching)
    }
}

/// Marks a worker as having letters.
#[derive(Debug, Default)]
pub struct Waker(AtomicBool);

impl Waker {
    /// Whether somebody woke the worker; forgets it.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// Whether somebody woke the worker.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Waker {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The driver of one simulated worker.
pub struct Driver {
    worker: usize,
    network: Rc<RefCell<Network>>,
    places: Vec<Place>,
    free: Vec<u32>,
    listener: Option<Token>,
    buffers: BufferPool,
    waker: Arc<Waker>,
    now: Instant,
    until: Instant,
    /// Something was asked for, or left undone, since the last turn.
    restless: bool,
    rng: SplitMix64,
    counters: Counters,
}

impl Driver {
    /// The driver of this worker.
    pub(super) fn new(worker: usize, network: &Rc<RefCell<Network>>) -> Driver {
        let rng = network.borrow_mut().rng.fork();
        let now = network.borrow().now;
        Driver {
            worker,
            network: Rc::clone(network),
            places: Vec::new(),
            free: Vec::new(),
            listener: None,
            buffers: BufferPool::new(BUFFERS, BUFFER_BYTES),
            waker: Arc::default(),
            now,
            until: now,
            restless: false,
            rng,
            counters: Counters::default(),
        }
    }

    /// What wakes this driver.
    pub(super) fn wake_flag(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Whether the next turn is due at once.
    pub(super) fn wants_turn(&self) -> bool {
        self.restless
    }

    /// When the next turn is due if nothing happens before.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Connections that are not closed.
    pub(super) fn open_connections(&self) -> usize {
        let open = |place: &&Place| place.life != Life::Free;
        self.places.iter().filter(open).count()
    }

    /// Whether all receive buffers are free.
    pub(super) fn has_all_buffers(&self) -> bool {
        let mut taken = Vec::new();
        while let Some(id) = self.buffers.take() {
            taken.push(id);
        }
        let all = taken.len() == usize::from(BUFFERS);
        taken
            .into_iter()
            .rev()
            .for_each(|id| self.buffers.put_back(id));
        all
    }

    fn add(&mut self, link: LinkId, token: Token) -> Handle {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 0,
                link: 0,
                token: 0,
                life: Life::Free,
                connecting: false,
                wants_receive: false,
                peer_ended: false,
                outbox: VecDeque::new(),
                tense: false,
            });
            (self.places.len() - 1) as u32
        });
        let place = &mut self.places[index as usize];
        *place = Place {
            generation: place.generation + 1,
            link,
            token,
            life: Life::Open,
            connecting: false,
            wants_receive: false,
            peer_ended: false,
            outbox: VecDeque::new(),
            tense: false,
        };
        self.restless = true;
        Handle::new(index, place.generation)
    }

    fn get(&mut self, handle: Handle) -> Option<&mut Place> {
        let (index, generation) = handle.parts();
        self.restless = true;
        self.places
            .get_mut(index as usize)
            .filter(|place| place.generation == generation && place.life != Life::Free)
    }

    fn release(&mut self, index: usize) {
        self.places[index].life = Life::Free;
        self.places[index].outbox.clear();
        self.free.push(index as u32);
        self.restless = true;
    }

    // --- One connection in one turn ---

    fn serve(&mut self, index: usize, events: &mut Vec<Event>) {
        if self.places[index].life == Life::Free {
            return;
        }
        if self.places[index].connecting && !self.finish_dial(index, events) {
            return;
        }
        self.flush(index, events);
        match self.places[index].life {
            Life::Free => {}
            Life::Open => {
                if self.places[index].wants_receive {
                    self.receive_from(index, events);
                }
            }
            Life::Detaching => self.finish_detach(index, events),
            Life::Lingering(until) => {
                let place = &mut self.places[index];
                if place.outbox.is_empty() || self.now >= until {
                    place.outbox.clear();
                    place.life = Life::Closing(until);
                    self.network.borrow_mut().end(place.link, Way::Out);
                    self.finish_close(index, until);
                } else {
                    self.until = self.until.min(until);
                }
            }
            Life::Closing(until) => self.finish_close(index, until),
        }
    }

    /// True when the connection stands.
    fn finish_dial(&mut self, index: usize, events: &mut Vec<Event>) -> bool {
        let place = &mut self.places[index];
        let Some(result) = self.network.borrow_mut().link(place.link).dialed else {
            return false;
        };
        place.connecting = false;
        place.peer_ended = result.is_err();
        let token = place.token;
        if place.life == Life::Open {
            let result = result.map_err(io::Error::from);
            events.push(Event::Connected { token, result });
        }
        true
    }

    fn flush(&mut self, index: usize, events: &mut Vec<Event>) {
        let place = &mut self.places[index];
        let mut network = self.network.borrow_mut();
        if network.link(place.link).reset && !place.outbox.is_empty() {
            place.outbox.clear();
            if !place.peer_ended && place.is_live() {
                place.peer_ended = true;
                let error = Some(io::ErrorKind::ConnectionReset.into());
                let token = place.token;
                events.push(Event::Ended { token, error });
            }
        }
        while let Some(mut chunk) = place.outbox.pop_front() {
            let sent = network.send(place.link, Way::Out, &chunk);
            chunk.advance(sent);
            if !chunk.is_empty() {
                // Buffers must not wait for slow peers.
                place.outbox.push_front(Chunk::owned(chunk.to_vec()));
                break;
            }
        }
        for chunk in &mut place.outbox {
            *chunk = Chunk::owned(chunk.to_vec());
        }
        if place.tense && place.unsent() <= UNSENT_HIGH / 2 {
            place.tense = false;
            if place.life == Life::Open {
                let token = place.token;
                events.push(Event::Relaxed { token });
            }
        }
    }

    fn receive_from(&mut self, index: usize, events: &mut Vec<Event>) {
        loop {
            let place = &mut self.places[index];
            let mut network = self.network.borrow_mut();
            let (link, token) = (place.link, place.token);
            let readable = network.readable(link, Way::In).min(BUFFER_BYTES);
            if readable == 0 {
                if network.has_ended(link, Way::In) && !place.peer_ended {
                    place.peer_ended = true;
                    let reset = network.link(link).reset;
                    let error = reset.then(|| io::ErrorKind::ConnectionReset.into());
                    events.push(Event::Ended { token, error });
                }
                return;
            }
            let Some(id) = self.buffers.take() else {
                self.counters.buffers_exhausted += 1;
                self.restless = true;
                return;
            };
            let cut = if self.rng.chance(30) {
                self.rng.between(1, readable as u64) as usize
            } else {
                readable
            };
            let bytes = network.read(link, Way::In, cut);
            // SAFETY: the buffer was just taken, nobody else has it, and `cut` is at most its size.
            unsafe {
                let address = self.buffers.address(id);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), address, bytes.len());
            }
            let bytes = self.buffers.filled(id, bytes.len());
            events.push(Event::Received { token, bytes });
            if self.rng.chance(40) {
                // The rest, and the end, come with another turn.
                self.restless = true;
                return;
            }
        }
    }

    fn finish_detach(&mut self, index: usize, events: &mut Vec<Event>) {
        if self.rng.chance(20) {
            // Received before the wish to detach was heard.
            self.receive_from(index, events);
        }
        let place = &self.places[index];
        if !place.outbox.is_empty() || place.peer_ended {
            return;
        }
        let (link, token) = (place.link, place.token);
        self.network.borrow_mut().link(link).near = Near::Travelling;
        let socket = Socket::Simulated(u64::from(link));
        events.push(Event::Detached { token, socket });
        self.release(index);
    }

    fn finish_close(&mut self, index: usize, until: Instant) {
        let link = self.places[index].link;
        let mut network = self.network.borrow_mut();
        let _discarded = network.read(link, Way::In, usize::MAX);
        if network.has_ended(link, Way::In) || self.now >= until {
            network.close_near(link);
            drop(network);
            self.release(index);
        } else {
            self.until = self.until.min(until);
        }
    }

    fn accept(&mut self, events: &mut Vec<Event>) {
        let Some(listener) = self.listener else {
            return;
        };
        loop {
            let link = self.network.borrow_mut().queues[self.worker].pop_front();
            let Some(link) = link else { return };
            self.network.borrow_mut().link(link).near = Near::Held(self.worker);
            let connection = self.add(link, 0);
            events.push(Event::Accepted {
                listener,
                connection,
            });
        }
    }

    fn push(&mut self, handle: Handle, chunk: Chunk) {
        let Some(place) = self.get(handle) else {
            return;
        };
        if place.peer_ended || chunk.is_empty() {
            return;
        }
        place.outbox.push_back(chunk);
        place.tense |= place.unsent() > UNSENT_HIGH;
    }
}

impl driver::Driver for Driver {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn listen(&mut self, _listener: TcpListener, token: Token) -> io::Result<()> {
        self.listener = Some(token);
        self.network.borrow_mut().listening[self.worker] = true;
        Ok(())
    }

    fn unlisten(&mut self, token: Token) {
        if self.listener != Some(token) {
            return;
        }
        self.listener = None;
        let mut network = self.network.borrow_mut();
        network.listening[self.worker] = false;
        while let Some(link) = network.queues[self.worker].pop_front() {
            network.link(link).near = Near::Closed;
            network.reset(link);
        }
    }

    fn connect(&mut self, _address: SocketAddr, token: Token) -> io::Result<Handle> {
        let link = self.network.borrow_mut().dial(self.worker);
        let handle = self.add(link, token);
        self.places[handle.parts().0 as usize].connecting = true;
        Ok(handle)
    }

    fn attach(&mut self, socket: Socket, token: Token) -> Handle {
        let Socket::Simulated(link) = socket else {
            unreachable!("the simulation has no sockets of the operating system");
        };
        let link = link as LinkId;
        self.network.borrow_mut().link(link).near = Near::Held(self.worker);
        self.add(link, token)
    }

    fn detach(&mut self, connection: Handle) {
        if let Some(place) = self.get(connection) {
            place.life = Life::Detaching;
            place.wants_receive = false;
        }
    }

    fn set_token(&mut self, connection: Handle, token: Token) {
        if let Some(place) = self.get(connection) {
            place.token = token;
        }
    }

    fn receive(&mut self, connection: Handle, on: bool) {
        if let Some(place) = self.get(connection) {
            place.wants_receive = on;
        }
    }

    fn send(&mut self, connection: Handle, chunk: Chunk) {
        self.push(connection, chunk);
    }

    fn send_copy(&mut self, connection: Handle, bytes: &[u8]) {
        self.push(connection, Chunk::owned(bytes.to_vec()));
    }

    fn unsent(&self, connection: Handle) -> usize {
        let (index, generation) = connection.parts();
        let place = self.places.get(index as usize);
        place
            .filter(|place| place.generation == generation)
            .map_or(0, Place::unsent)
    }

    fn close(&mut self, connection: Handle, after_sending: bool) {
        let until = self.now + CLOSING_MAX;
        let Some(place) = self.get(connection) else {
            return;
        };
        place.wants_receive = false;
        let (link, index) = (place.link, connection.parts().0 as usize);
        if after_sending && !place.peer_ended && !place.connecting {
            place.life = Life::Lingering(until);
            self.network.borrow_mut().link(link).leaving = true;
            return;
        }
        self.network.borrow_mut().close_near(link);
        self.release(index);
    }

    fn peer(&self, _connection: Handle) -> Option<SocketAddr> {
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }

    fn turn(&mut self, until: Option<Instant>, events: &mut Vec<Event>) -> io::Result<()> {
        self.now = self.network.borrow().now;
        self.until = until.unwrap_or(Instant::FAR_FUTURE);
        self.restless = false;
        let before = events.len();
        if self.waker.take() {
            events.push(Event::Woken);
        }
        let count = self.places.len();
        let first = self.rng.below(count.max(1) as u64) as usize;
        for index in 0..count {
            self.serve((first + index) % count, events);
        }
        self.accept(events);
        self.restless |= events.len() > before;
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
