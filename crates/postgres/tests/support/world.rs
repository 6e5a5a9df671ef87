//! A worker without sockets, for any family (`kin` says which): keeps what was not consumed, shows it again, obeys orders, lends backends when told to. Follows the data
//! plane order by order, so that what goes wrong here goes wrong there.
//!
//! It checks on its own what must hold whatever happens: nothing is consumed that is not there, `Need` asks for more than there is,
//! made bytes are bounded, and after the end of a connection no order concerns it.

use super::kin::{Kind, Session, Shared, State, Work, waits};
use super::messages::{From, Line};
use forebay_core::engine::{ClientFacts, Engine, Farewell, TlsFacts};
use forebay_core::framing::Framing;
use forebay_core::notification::{Channel, Notification};
use forebay_core::orders::{Order, Orders};
use forebay_core::{CloseReason, Instant, Refusal, StatementShape};
use std::sync::Arc;

/// The pool that all sessions belong to.
pub const POOL: u64 = 1;

/// Bytes that an engine may make of its own in one call, beyond a multiple of what it was shown.
const MADE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One client and what its worker knows of it.
pub struct Client {
    pub session: Session,
    /// What its messages are framed in, and what of that was not read.
    pub framing: Option<Box<dyn Framing>>,
    pub unread: Vec<u8>,
    /// Shown and not consumed, or not shown yet.
    pub inbox: Vec<u8>,
    pub need: usize,
    pub paused: bool,
    /// It asked for a backend and has none yet.
    pub waiting: bool,
    pub lease: Option<usize>,
    /// Bytes for the client, until taken.
    pub sent: Vec<u8>,
    pub ready: bool,
    pub gone: bool,
    /// Questions of its session that are not answered, and who is to hear of what.
    pub questions: Vec<u32>,
}

/// One database connection and what its worker knows of it.
pub struct Backend {
    pub state: State,
    pub inbox: Vec<u8>,
    pub need: usize,
    pub client: Option<usize>,
    /// Bytes for the database, until taken.
    pub sent: Vec<u8>,
    pub gone: bool,
}

impl Client {
    /// Takes what has come out of its frames; whether there was anything.
    fn read_frames(&mut self) -> bool {
        let before = self.unread.len();
        let Some(framing) = &mut self.framing else {
            self.inbox.append(&mut self.unread);
            return before > 0;
        };
        let taken = framing.read(&self.unread, &mut self.inbox);
        self.unread.drain(..taken.expect("frames are good"));
        self.unread.len() < before
    }

    fn send(&mut self, bytes: &[u8]) {
        match &mut self.framing {
            Some(framing) => framing.write(bytes, &mut self.sent),
            None => self.sent.extend_from_slice(bytes),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client(usize),
    Backend(usize),
}

#[derive(Default)]
struct Outcome {
    consumed: usize,
    need: usize,
}

/// The worker.
pub struct World {
    pub shared: Shared,
    pub clients: Vec<Client>,
    pub backends: Vec<Backend>,
    /// Orders that matter to a conversation, in its words, since last taken.
    pub noted: Vec<String>,
    /// A `Bug` was ordered.
    pub bug: Option<&'static str>,
    /// The statement that the last pin was told of.
    pub pinned_by: Option<Box<StatementShape>>,
    orders: Orders<Work>,
    releasing: Vec<usize>,
    /// Clients that kept input while they held a backend and have none now.
    refeed: Vec<usize>,
}

impl World {
    /// A worker without backends and clients.
    pub fn empty(shared: Shared) -> World {
        World {
            shared,
            clients: Vec::new(),
            backends: Vec::new(),
            noted: Vec::new(),
            bug: None,
            pinned_by: None,
            orders: Orders::default(),
            releasing: Vec::new(),
            refeed: Vec::new(),
        }
    }

    /// A database connection that has logged in.
    pub fn push_backend(&mut self, state: State) -> usize {
        self.backends.push(Backend {
            state,
            inbox: Vec::new(),
            need: 0,
            client: None,
            sent: Vec::new(),
            gone: false,
        });
        self.backends.len() - 1
    }

    /// A client whose session this is; whether it waits for a backend.
    pub fn push_client(&mut self, session: Session, waiting: bool) -> usize {
        self.clients.push(Client {
            session,
            framing: None,
            unread: Vec::new(),
            inbox: Vec::new(),
            need: 0,
            paused: false,
            waiting,
            lease: None,
            sent: Vec::new(),
            ready: false,
            gone: false,
            questions: Vec::new(),
        });
        self.clients.len() - 1
    }

    /// A client connects.
    pub fn connect(&mut self, facts: ClientFacts) -> usize {
        let session = Kind::session(&mut self.shared, facts, &mut self.orders);
        let client = self.push_client(session, false);
        self.obey(Side::Client(client), &[]);
        client
    }

    /// Messages, a line each, arrive from a client at once.
    pub fn client_says(&mut self, client: usize, lines: &[impl AsRef<str>]) {
        self.client_bytes(client, &encoded(lines, From::Client));
    }

    /// Messages, a line each, arrive from a database at once.
    pub fn backend_says(&mut self, backend: usize, lines: &[impl AsRef<str>]) {
        self.backend_bytes(backend, &encoded(lines, From::Backend));
    }

    /// Bytes arrive from a client.
    pub fn client_bytes(&mut self, client: usize, bytes: &[u8]) {
        if self.clients[client].gone {
            return;
        }
        self.clients[client].unread.extend_from_slice(bytes);
        while self.clients[client].read_frames() {
            self.show_client(client);
            self.settle();
        }
    }

    /// Bytes arrive from a database.
    pub fn backend_bytes(&mut self, backend: usize, bytes: &[u8]) {
        if self.backends[backend].gone {
            return;
        }
        self.backends[backend].inbox.extend_from_slice(bytes);
        self.show_backend(backend);
        self.finish_releases();
        // The answer to a replay may have made the client's input welcome again.
        if let Some(client) = self.backends[backend].client {
            self.show_client(client);
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.finish_releases();
        while let Some(client) = self.refeed.pop() {
            self.show_client(client);
            self.finish_releases();
        }
    }

    /// A waiting client gets this backend.
    pub fn lease(&mut self, client: usize, backend: usize) {
        let (its, other) = (&mut self.clients[client], &mut self.backends[backend]);
        assert!(its.waiting && !its.gone, "the client waits for no backend");
        assert!(
            other.client.is_none() && !other.gone,
            "the backend is not free"
        );
        (its.waiting, its.paused) = (false, false);
        (its.lease, other.client) = (Some(backend), Some(client));
        Kind::on_leased(
            &mut self.shared,
            &mut its.session,
            &mut other.state,
            Instant::ZERO,
            &mut self.orders,
        );
        self.obey(Side::Client(client), &[]);
        self.finish_releases();
        self.show_client(client);
        self.settle();
    }

    /// A waiting client gets no backend. Returns whether it stays.
    pub fn refuse_lease(&mut self, client: usize, refusal: &Refusal) -> bool {
        let its = &mut self.clients[client];
        assert!(
            std::mem::take(&mut its.waiting),
            "the client waits for no backend"
        );
        let mut input = std::mem::take(&mut its.inbox);
        let whole = Kind::has_whole_request(&its.session, &input);
        let stays = its.ready
            && Kind::on_lease_refused(&mut its.session, refusal, &input, &mut self.orders);
        assert_eq!(stays, its.ready && whole, "whole requests are answered");
        if !stays {
            self.refuse(client, refusal);
            return false;
        }
        let outcome = self.obey(Side::Client(client), &input);
        input.drain(..outcome.consumed);
        self.clients[client].inbox = input;
        self.show_client(client);
        true
    }

    /// The oldest question of this client's session is answered.
    pub fn answer(&mut self, client: usize, result: Result<(), &Refusal>) {
        let its = &mut self.clients[client];
        if its.gone {
            return;
        }
        let number = its.questions.remove(0);
        Kind::on_subscribed(&mut its.session, number, result, &mut self.orders);
        self.obey(Side::Client(client), &[]);
        if let Some(backend) = self.clients[client].lease {
            self.show_backend(backend);
            self.finish_releases();
        }
        self.show_client(client);
        self.settle();
    }

    /// What this client asked to cancel was found, or not.
    pub fn cancelled(&mut self, client: usize, found: bool) {
        let its = &mut self.clients[client];
        let backend = its.lease.map(|backend| &mut self.backends[backend].state);
        Kind::on_cancelled(&mut its.session, backend, found, &mut self.orders);
        self.obey(Side::Client(client), &[]);
        self.finish_releases();
        self.show_client(client);
        self.settle();
    }

    /// Something is told to this client's session.
    pub fn tell(&mut self, client: usize, told: Notification) {
        let its = &mut self.clients[client];
        if its.gone {
            return;
        }
        Kind::on_notification(&mut its.session, &Arc::new(told)).expect("little is told here");
        let backend = its.lease.map(|backend| &self.backends[backend].state);
        Kind::deliver(&mut its.session, backend, &mut self.orders);
        self.obey(Side::Client(client), &[]);
    }

    /// The client's connection ends without a word.
    pub fn vanish(&mut self, client: usize) {
        let its = &mut self.clients[client];
        if std::mem::replace(&mut its.gone, true) {
            return;
        }
        its.waiting = false;
        if let Some(backend) = its.lease {
            self.part(backend);
        }
        self.finish_releases();
    }

    /// The database's connection ends without a word.
    pub fn die(&mut self, backend: usize) {
        if !self.backends[backend].gone {
            self.close_backend(backend, CloseReason::BackendGone);
        }
    }

    /// Clients whose bytes lie there although nothing is waited for: nobody would ever look at them again.
    pub fn stuck(&self) -> Option<usize> {
        self.clients.iter().position(|client| {
            let shown = client.inbox.len() >= client.need.max(1);
            let awaited = client.lease.is_some_and(|backend| {
                let exchange = &self.backends[backend].state.exchange;
                !exchange.is_empty()
            });
            shown && !client.gone && !client.waiting && !awaited && client.questions.is_empty()
        })
    }

    fn show_client(&mut self, index: usize) {
        loop {
            let client = &mut self.clients[index];
            let listening = !client.gone && !client.waiting && !client.paused;
            if !listening || client.inbox.is_empty() || client.inbox.len() < client.need {
                return;
            }
            client.need = 0;
            let mut input = std::mem::take(&mut client.inbox);
            let backend = client.lease.map(|lease| &mut self.backends[lease].state);
            Kind::on_client_bytes(
                &mut self.shared,
                &mut client.session,
                backend,
                Instant::ZERO,
                &input,
                &mut self.orders,
            );
            let outcome = self.obey(Side::Client(index), &input);
            input.drain(..outcome.consumed);
            let client = &mut self.clients[index];
            client.inbox = input;
            client.need = outcome.need;
            let left = client.inbox.len();
            assert!(
                outcome.need == 0 || outcome.need > left,
                "needs {} and has {left}",
                outcome.need
            );
            self.finish_releases();
            let client = &self.clients[index];
            if outcome.need > 0 || (outcome.consumed == 0 && !client.waiting) {
                let said = outcome.need > 0
                    || client.paused
                    || client.gone
                    || left == 0
                    || waits(
                        &client.inbox,
                        client.lease.map(|lease| &self.backends[lease].state),
                    );
                assert!(
                    said,
                    "a client's bytes were neither consumed nor asked to wait"
                );
                return;
            }
        }
    }

    fn show_backend(&mut self, index: usize) {
        loop {
            let backend = &mut self.backends[index];
            if backend.gone || backend.inbox.is_empty() || backend.inbox.len() < backend.need {
                return;
            }
            backend.need = 0;
            let mut input = std::mem::take(&mut backend.inbox);
            let session = backend.client.map(|c| &mut self.clients[c].session);
            Kind::on_backend_bytes(
                &mut self.shared,
                &mut backend.state,
                session,
                Instant::ZERO,
                &input,
                &mut self.orders,
            );
            let outcome = self.obey(Side::Backend(index), &input);
            input.drain(..outcome.consumed);
            let backend = &mut self.backends[index];
            backend.inbox = input;
            backend.need = outcome.need;
            let left = backend.inbox.len();
            assert!(
                outcome.need == 0 || outcome.need > left,
                "needs {} and has {left}",
                outcome.need
            );
            if outcome.need > 0 || outcome.consumed == 0 {
                let asks = |client: usize| !self.clients[client].questions.is_empty();
                let asked = backend.client.is_some_and(asks);
                let said = outcome.need > 0
                    || backend.gone
                    || left == 0
                    || asked
                    || waits(&backend.inbox, None);
                assert!(
                    said,
                    "a backend's bytes were neither consumed nor asked to wait"
                );
                return;
            }
        }
    }

    /// Does what was ordered about `input`.
    fn obey(&mut self, side: Side, input: &[u8]) -> Outcome {
        let (mut list, made) = self.orders.take();
        assert!(
            made.len() <= MADE_BYTES_MAX + 4 * input.len(),
            "{} bytes made",
            made.len()
        );
        let mut outcome = Outcome::default();
        // The ends are fixed at the start: a release or a close in between must not turn bytes to anybody else.
        let (client, backend) = match side {
            Side::Client(client) => (Some(client), self.clients[client].lease),
            Side::Backend(backend) => (self.backends[backend].client, Some(backend)),
        };
        let mut ended = false;
        for order in list.drain(..) {
            let metric = matches!(
                order,
                Order::Requests(_) | Order::Answered { .. } | Order::Need(_)
            );
            assert!(
                !ended || metric,
                "{order:?} after the end of the connection"
            );
            ended |= matches!(
                order,
                Order::Refuse(_) | Order::Close(_) | Order::CloseBoth(_) | Order::Bug(_)
            );
            match order {
                Order::Forward(len) => {
                    let range = outcome.consumed..outcome.consumed + len;
                    assert!(range.end <= input.len(), "forwards what is not there");
                    outcome.consumed = range.end;
                    match side {
                        Side::Client(_) => {
                            let backend =
                                backend.expect("forwarding takes two ends, and there is no lease");
                            self.backends[backend].sent.extend_from_slice(&input[range]);
                        }
                        Side::Backend(_) => {
                            let client =
                                client.expect("forwarding takes two ends, and there is no client");
                            self.clients[client].send(&input[range]);
                        }
                    }
                }
                Order::Swallow(len) => {
                    outcome.consumed += len;
                    assert!(
                        outcome.consumed <= input.len(),
                        "swallows what is not there"
                    );
                }
                Order::ToClient(range) => {
                    let client = client.expect("bytes for a client, and there is none");
                    self.clients[client].send(&made[range.start..range.end]);
                }
                Order::ToBackend(range) => {
                    let backend = backend.expect("bytes for a backend, and there is none");
                    self.backends[backend]
                        .sent
                        .extend_from_slice(&made[range.start..range.end]);
                }
                Order::Need(len) => outcome.need = len,
                order => self.obey_rare(side, (client, backend), order),
            }
        }
        self.orders.reuse(list, made);
        outcome
    }

    fn obey_rare(
        &mut self,
        side: Side,
        (client, backend): (Option<usize>, Option<usize>),
        order: Order<Work>,
    ) {
        match (order, client, backend) {
            (Order::Pause, Some(client), _) => self.clients[client].paused = true,
            (Order::Resume, Some(client), _) => self.clients[client].paused = false,
            (Order::Frame(framing), Some(client), _) => {
                let client = &mut self.clients[client];
                assert!(client.inbox.is_empty(), "a client spoke before its time");
                client.framing = Some(framing);
            }
            (Order::Answer, Some(client), _) => {
                let framing = self.clients[client].framing.as_mut();
                framing.expect("there are frames to number").on_answer();
            }
            (Order::Lease, Some(client), None) => {
                self.note("Lease");
                self.clients[client].waiting = true;
            }
            (Order::Release, _, Some(backend)) => {
                self.note("Release");
                self.forget_lease(backend);
                self.releasing.push(backend);
            }
            (Order::Pin(reason, statement), Some(_), Some(_)) => {
                self.pinned_by = statement;
                self.note(format!("Pin {reason:?}"));
            }
            (Order::Unpin, Some(_), Some(_)) => self.note("Unpin"),
            (Order::ClientReady, Some(client), _) => {
                let client = &mut self.clients[client];
                (client.ready, client.paused) = (true, false);
            }
            (Order::Admit(_), Some(client), _) => {
                self.note("Admit");
                let session = &mut self.clients[client].session;
                Kind::on_pool(&mut self.shared, session, POOL, &mut self.orders);
                self.obey(side, &[]);
            }
            (Order::StartTls, Some(client), _) => {
                self.note("StartTls");
                let session = &mut self.clients[client].session;
                Kind::on_client_tls(session, &TlsFacts::default(), &mut self.orders);
                self.obey(side, &[]);
            }
            (Order::Work(work), Some(client), _) => {
                let done = Kind::work(work);
                let session = &mut self.clients[client].session;
                Kind::on_client_work(&mut self.shared, session, done, &mut self.orders);
                self.obey(side, &[]);
            }
            (Order::Cancel(key), Some(_), _) => {
                let ends = if key.ends { " ends" } else { "" };
                self.note(format!("Cancel {}{ends}", key.process));
            }
            (Order::Subscribe { number, channels }, Some(client), _) => {
                self.note(format!("Subscribe {}", names(&channels)).trim_end());
                self.clients[client].questions.push(number);
            }
            (Order::Unsubscribe(channels), Some(_), _) => {
                self.note(format!("Unsubscribe {}", names(&channels)));
            }
            (Order::Notified(_), Some(_), _) => {}
            (Order::Replayed, _, Some(_)) => self.note("Replayed"),
            (Order::Probed, _, Some(_)) => self.note("Probed"),
            (Order::Reprepared, _, Some(_)) => self.note("Reprepared"),
            (Order::IdleLimit(limit), Some(_), _) => self.note(format!("IdleLimit {limit:?}")),
            (Order::Answered { .. } | Order::Requests(_), ..) => {}
            (Order::Refuse(refusal), Some(client), _) => {
                self.note(format!("Refuse {}", refusal.as_str()));
                self.refuse(client, &refusal);
            }
            (Order::Close(reason), ..) => {
                self.note(format!("Close {reason:?}"));
                match side {
                    Side::Client(client) => self.vanish(client),
                    Side::Backend(backend) => self.close_backend(backend, reason),
                }
            }
            (Order::CloseBoth(reason), client, Some(backend)) => {
                self.note(format!("CloseBoth {reason:?}"));
                self.forget_lease(backend);
                self.close_backend(backend, reason);
                if let Some(client) = client {
                    self.vanish(client);
                }
            }
            (Order::Bug(what), client, backend) => {
                self.note(format!("Bug {what}"));
                self.bug = Some(what);
                if let Some(backend) = backend {
                    self.forget_lease(backend);
                    self.close_backend(backend, CloseReason::Bug);
                }
                if let Some(client) = client {
                    self.refuse(client, &Refusal::Bug { incident: 1 });
                }
            }
            (order, client, backend) => {
                panic!("nobody can obey {order:?} for client {client:?} and backend {backend:?}")
            }
        }
    }

    fn note(&mut self, order: impl Into<String>) {
        self.noted.push(order.into());
    }

    fn refuse(&mut self, client: usize, refusal: &Refusal) {
        if self.clients[client].gone {
            return;
        }
        Kind::on_refused(&mut self.clients[client].session, refusal, &mut self.orders);
        let (list, made) = self.orders.take();
        for order in &list {
            let its = &mut self.clients[client];
            match order {
                Order::ToClient(range) => its.send(&made[range.start..range.end]),
                Order::Answer => its.framing.as_mut().expect("it has frames").on_answer(),
                _ => {}
            }
        }
        self.vanish(client);
    }

    /// The client of this backend is gone.
    fn part(&mut self, backend: usize) {
        self.forget_lease(backend);
        let farewell = Kind::on_client_gone(&mut self.backends[backend].state, &mut self.orders);
        self.note(format!("Farewell {farewell:?}"));
        match farewell {
            Farewell::Clean => self.releasing.push(backend),
            Farewell::Cleaning => drop(self.obey(Side::Backend(backend), &[])),
            Farewell::Close => self.close_backend(backend, CloseReason::ClientGoneMidway),
            Farewell::CancelAndClose => {
                let cancel = Kind::cancel(&self.backends[backend].state);
                assert!(cancel.is_some(), "there is nothing that could be cancelled");
                self.close_backend(backend, CloseReason::ClientGoneMidway);
            }
        }
    }

    fn forget_lease(&mut self, backend: usize) {
        if let Some(client) = self.backends[backend].client.take() {
            let its = &mut self.clients[client];
            its.lease = None;
            if !its.inbox.is_empty() {
                self.refeed.push(client);
            }
        }
    }

    fn close_backend(&mut self, backend: usize, reason: CloseReason) {
        let client = self.backends[backend].client;
        self.forget_lease(backend);
        if reason != CloseReason::BackendGone {
            Kind::on_backend_closing(&mut self.backends[backend].state, &mut self.orders);
            self.obey(Side::Backend(backend), &[]);
        }
        self.backends[backend].gone = true;
        if let Some(client) = client {
            self.refuse(client, &Refusal::BackendLost);
        }
    }

    fn finish_releases(&mut self) {
        while let Some(index) = self.releasing.pop() {
            let backend = &self.backends[index];
            if backend.gone {
                continue;
            }
            let clean = backend.client.is_none()
                && backend.inbox.is_empty()
                && Kind::is_clean(&backend.state);
            if !clean {
                self.note("NotClean");
                self.close_backend(index, CloseReason::NotClean);
            }
        }
    }
}

fn names(channels: &[Channel]) -> String {
    let names = channels
        .iter()
        .map(|channel| String::from_utf8_lossy(channel).into_owned());
    names.collect::<Vec<_>>().join(",")
}

/// Messages, a line each, as bytes.
pub fn encoded(lines: &[impl AsRef<str>], from: From) -> Vec<u8> {
    let messages = lines
        .iter()
        .flat_map(|line| Line::parse(line.as_ref()).encode(from));
    messages.collect()
}
