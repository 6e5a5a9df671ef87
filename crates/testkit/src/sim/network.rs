//! The network of a simulation: links between the proxy and its peers, time, and what is to happen when.
//!
//! A link is one TCP connection. Each direction is a [`Pipe`]: bytes are cut at random, arrive in order after random delays, and
//! at most a window of them is under way. Nothing here knows who the peers are; the world does what [`Task`]s say.

use crate::model::{ConnectionId, SplitMix64};
use forebay_core::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

/// A link's number; never used twice.
pub(super) type LinkId = u32;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// From the proxy to a peer.
    Out,
    /// From a peer to the proxy.
    In,
}

/// Something that happens at a certain time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Task {
    /// What is due on a pipe arrives.
    Arrive(LinkId, Way),
    /// A dial of the proxy reaches the database.
    Dialed(LinkId),
    /// A peer's connection reaches the proxy.
    Connected(LinkId),
    /// A peer reads.
    Read(LinkId),
    /// A peer goes on writing.
    Write(LinkId),
    /// A client begins its program.
    Begin(usize),
    /// A client has thought.
    Thought(usize),
    /// A statement has run long enough.
    WaitOver(ConnectionId),
    /// The database is started again.
    Restart,
    /// Something goes wrong.
    Fault(usize),
    /// The watchdog looks.
    Watch,
}

/// Where the proxy's end of a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Near {
    /// In a listener's queue.
    Queued,
    /// In a driver's hands.
    Held(usize),
    /// On its way from one driver to another.
    Travelling,
    /// Closed.
    Closed,
}

#[derive(Debug)]
enum Item {
    Bytes(Vec<u8>),
    End,
}

/// One direction of a link.
#[derive(Debug)]
struct Pipe {
    flying: VecDeque<(Instant, Item)>,
    flying_bytes: usize,
    arrived: VecDeque<u8>,
    last_arrival: Instant,
    window: usize,
    closed: bool,
    ended: bool,
    /// The writer found the window full and waits for room.
    blocked: bool,
}

impl Pipe {
    fn new(window: usize) -> Pipe {
        Pipe {
            flying: VecDeque::new(),
            flying_bytes: 0,
            arrived: VecDeque::new(),
            last_arrival: Instant::ZERO,
            window,
            closed: false,
            ended: false,
            blocked: false,
        }
    }

    fn empty(&mut self) {
        self.flying.clear();
        self.flying_bytes = 0;
        self.arrived.clear();
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    out: Pipe,
    into: Pipe,
    /// Where the proxy's end is.
    pub(super) near: Near,
    /// Cut, by either side.
    pub(super) reset: bool,
    /// The proxy has closed its end, perhaps with bytes still to be taken.
    pub(super) leaving: bool,
    /// What became of the proxy's dial.
    pub(super) dialed: Option<Result<(), io::ErrorKind>>,
    /// The link's own slowness.
    delay: Duration,
}

impl Link {
    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Out => &mut self.out,
            Way::In => &mut self.into,
        }
    }
}

/// How the network behaves in one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// Longest delay of a piece.
    pub(super) delay_max: Duration,
    /// Longest time until a worker that has something to do does it.
    pub(super) lag_max: Duration,
    /// Smallest and largest window, in bytes.
    pub(super) window: (usize, usize),
    /// Percentage of pieces that are cut again.
    pub(super) cut_percent: u64,
}

/// The network.
pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) rng: SplitMix64,
    pub(super) habits: Habits,
    pub(super) links: Vec<Link>,
    /// Tasks of one instant in the order of their scheduling.
    agenda: BTreeMap<(Instant, u64), Task>,
    scheduled: u64,
    /// When each worker turns next.
    pub(super) turns: Vec<Instant>,
    /// Links that wait to be accepted, by worker.
    pub(super) queues: Vec<VecDeque<LinkId>>,
    /// Whether each worker listens.
    pub(super) listening: Vec<bool>,
}

impl Network {
    /// A quiet network of so many workers.
    pub(super) fn new(rng: SplitMix64, habits: Habits, workers: usize) -> Network {
        // As with real clocks, no instant of a run is zero.
        let now = Instant::from_nanos(1_000_000_000);
        Network {
            now,
            rng,
            habits,
            links: Vec::new(),
            agenda: BTreeMap::new(),
            scheduled: 0,
            turns: vec![now; workers],
            queues: vec![VecDeque::new(); workers],
            listening: vec![false; workers],
        }
    }

    // --- What happens next ---

    /// Puts a task on the agenda.
    pub(super) fn schedule(&mut self, after: Duration, task: Task) {
        self.scheduled += 1;
        let at = self.now + after;
        self.agenda.insert((at, self.scheduled), task);
    }

    /// When the next task is due.
    pub(super) fn next_task_at(&self) -> Instant {
        let first = self.agenda.first_key_value();
        first.map_or(Instant::FAR_FUTURE, |((at, _), _)| *at)
    }

    /// Takes the next task.
    pub(super) fn next_task(&mut self) -> Option<Task> {
        let ((at, _), task) = self.agenda.pop_first()?;
        self.now = self.now.max(at);
        Some(task)
    }

    /// A worker has something to do: it turns soon.
    pub(super) fn poke(&mut self, worker: usize) {
        let lag = self.random_time(self.habits.lag_max);
        let at = self.now + lag;
        self.turns[worker] = self.turns[worker].min(at);
    }

    /// A random time up to `max`, mostly much shorter.
    pub(super) fn random_time(&mut self, max: Duration) -> Duration {
        let max = max.as_nanos() as u64;
        let bound = if self.rng.chance(80) { max / 20 } else { max };
        Duration::from_nanos(self.rng.below(bound + 1))
    }

    // --- Links ---

    fn add_link(&mut self, near: Near) -> LinkId {
        let (low, high) = self.habits.window;
        let mut window = || self.rng.between(low as u64, high as u64) as usize;
        let (out, into) = (Pipe::new(window()), Pipe::new(window()));
        let delay = self.random_time(self.habits.delay_max);
        self.links.push(Link {
            out,
            into,
            near,
            reset: false,
            leaving: false,
            dialed: None,
            delay,
        });
        (self.links.len() - 1) as LinkId
    }

    /// A worker dials.
    pub(super) fn dial(&mut self, worker: usize) -> LinkId {
        let link = self.add_link(Near::Held(worker));
        let after = self.random_time(self.habits.delay_max);
        self.schedule(after, Task::Dialed(link));
        link
    }

    /// A peer connects to a worker; `None` when that does not listen.
    pub(super) fn connect(&mut self, worker: usize) -> Option<LinkId> {
        if !self.listening[worker] {
            return None;
        }
        let link = self.add_link(Near::Queued);
        self.queues[worker].push_back(link);
        let after = self.random_time(self.habits.delay_max);
        self.schedule(after, Task::Connected(link));
        self.poke(worker);
        Some(link)
    }

    /// A link by its number.
    pub(super) fn link(&mut self, link: LinkId) -> &mut Link {
        &mut self.links[link as usize]
    }

    /// Takes as many bytes as the window has room for.
    pub(super) fn send(&mut self, link: LinkId, way: Way, mut bytes: &[u8]) -> usize {
        let pipe = self.link(link).pipe(way);
        if pipe.closed {
            return bytes.len();
        }
        let room = pipe
            .window
            .saturating_sub(pipe.flying_bytes + pipe.arrived.len());
        pipe.blocked = room < bytes.len();
        bytes = &bytes[..room.min(bytes.len())];
        let taken = bytes.len();
        while !bytes.is_empty() {
            let cut = if self.rng.chance(self.habits.cut_percent) {
                self.rng.between(1, bytes.len() as u64) as usize
            } else {
                bytes.len()
            };
            self.launch(link, way, Item::Bytes(bytes[..cut].to_vec()));
            bytes = &bytes[cut..];
        }
        taken
    }

    /// Ends one direction after what was sent.
    pub(super) fn end(&mut self, link: LinkId, way: Way) {
        let pipe = self.link(link).pipe(way);
        if !pipe.closed {
            pipe.closed = true;
            self.launch(link, way, Item::End);
        }
    }

    fn launch(&mut self, link: LinkId, way: Way, item: Item) {
        let after = self.random_time(self.habits.delay_max) + self.links[link as usize].delay;
        let at = self.now + after;
        let now = self.now;
        let pipe = self.link(link).pipe(way);
        let at = at.max(pipe.last_arrival);
        pipe.last_arrival = at;
        if let Item::Bytes(bytes) = &item {
            pipe.flying_bytes += bytes.len();
        }
        pipe.flying.push_back((at, item));
        self.schedule(at - now, Task::Arrive(link, way));
    }

    /// What is due on a pipe becomes readable.
    pub(super) fn arrive(&mut self, link: LinkId, way: Way) {
        let now = self.now;
        let pipe = self.link(link).pipe(way);
        while pipe.flying.front().is_some_and(|(at, _)| *at <= now) {
            match pipe.flying.pop_front() {
                Some((_, Item::Bytes(bytes))) => {
                    pipe.flying_bytes -= bytes.len();
                    pipe.arrived.extend(bytes);
                }
                Some((_, Item::End)) => pipe.ended = true,
                None => {}
            }
        }
    }

    /// Cuts a link: what is under way is lost, both sides hear of it.
    pub(super) fn reset(&mut self, link: LinkId) {
        let found = self.link(link);
        if found.reset {
            return;
        }
        found.reset = true;
        for way in [Way::Out, Way::In] {
            let pipe = found.pipe(way);
            pipe.empty();
            pipe.closed = true;
            pipe.ended = true;
        }
        if let Near::Held(worker) = found.near {
            self.poke(worker);
        }
        self.schedule(Duration::ZERO, Task::Read(link));
    }

    /// Whether the writer of one direction has said that no more will come.
    pub(super) fn is_ended(&self, link: LinkId, way: Way) -> bool {
        let link = &self.links[link as usize];
        match way {
            Way::Out => link.out.closed,
            Way::In => link.into.closed,
        }
    }

    /// How many bytes can be read.
    pub(super) fn readable(&self, link: LinkId, way: Way) -> usize {
        let link = &self.links[link as usize];
        match way {
            Way::Out => link.out.arrived.len(),
            Way::In => link.into.arrived.len(),
        }
    }

    /// Whether there is nothing more to read and never will be.
    pub(super) fn has_ended(&self, link: LinkId, way: Way) -> bool {
        let link = &self.links[link as usize];
        let pipe = match way {
            Way::Out => &link.out,
            Way::In => &link.into,
        };
        pipe.ended && pipe.arrived.is_empty()
    }

    /// Reads up to `max` bytes; a writer that waits for room hears of it.
    pub(super) fn read(&mut self, link: LinkId, way: Way, max: usize) -> Vec<u8> {
        let pipe = self.link(link).pipe(way);
        let take = max.min(pipe.arrived.len());
        let bytes: Vec<u8> = pipe.arrived.drain(..take).collect();
        if !bytes.is_empty() && std::mem::take(&mut pipe.blocked) {
            match (way, self.link(link).near) {
                (Way::Out, Near::Held(worker)) => self.poke(worker),
                (Way::Out, _) => {}
                (Way::In, _) => self.schedule(Duration::ZERO, Task::Write(link)),
            }
        }
        bytes
    }

    /// The proxy closes its end and reads no more.
    pub(super) fn close_near(&mut self, link: LinkId) {
        let unread = !self.link(link).into.arrived.is_empty();
        self.link(link).near = Near::Closed;
        if unread && self.rng.chance(50) {
            // What TCP does when bytes were left unread.
            return self.reset(link);
        }
        self.end(link, Way::Out);
        let into = self.link(link).pipe(Way::In);
        into.empty();
        into.window = usize::MAX;
        self.schedule(Duration::ZERO, Task::Write(link));
    }
}
