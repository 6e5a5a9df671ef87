//! Clients that listen, and the one connection of each database that listens for them.
//!
//! The connection belongs to one worker, which all others find by the name of the database; what goes between them are letters, in
//! order, so that an answer comes behind what was told before it. Each worker knows which of its own clients hear of a channel and is
//! told everything once, however many they are. `hub.rs` decides what the connection does.
//!
//! It belongs to no pool, and counts in the budget of them all.

use crate::connection::Role;
use crate::driver::{Driver, UNSENT_HIGH};
use crate::hub::{Act, Hub, HubKey, Question};
use crate::mailbox::{Letter, Ticket};
use crate::plan::ProxyPlan;
use crate::relay::{Side, Source};
use crate::scope::PoolScope;
use crate::worker::Worker;
use forebay_core::engine::{Engine, Purpose};
use forebay_core::notification::{Channel, Notification};
use forebay_core::orders::Admission;
use forebay_core::{CloseReason, Refusal};
use forebay_pool::Apart;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// What workers tell each other about one database.
pub struct HubLetter {
    /// Which database.
    pub key: HubKey,
    /// What about it.
    pub news: News,
}

/// What workers tell each other about what is heard.
pub enum News {
    /// To the owner: a client asks. The user may open the connection, where there is none.
    Ask(Question, Arc<str>),
    /// To the owner: this worker's clients need to hear nothing more of these.
    Unwanted(u16, Vec<Channel>),
    /// From the owner: this was told.
    Told(Vec<Arc<Notification>>),
    /// From the owner: a question is answered.
    Answered(Question, Result<(), Refusal>),
    /// From the owner: the connection was lost.
    Lost,
}

/// What a worker does for clients that listen.
#[derive(Default)]
pub(crate) struct Hearing {
    /// Connections that this worker owns.
    hubs: BTreeMap<HubKey, Owned>,
    /// Whose they are, and their places in the budget.
    by_backend: BTreeMap<Ticket, (HubKey, Apart)>,
    /// What clients of this worker hear.
    interests: BTreeMap<HubKey, BTreeMap<Channel, Interest>>,
    /// What this worker tells itself.
    own: VecDeque<HubLetter>,
    /// Connections that were told something in this turn.
    telling: Vec<Ticket>,
}

impl Hearing {
    /// Whose connection this is.
    fn key_of(&self, ticket: Ticket) -> Option<HubKey> {
        self.by_backend.get(&ticket).map(|(key, _)| key.clone())
    }
}

/// A connection that this worker owns.
struct Owned {
    hub: Hub,
    /// Its place, once it is being opened.
    backend: Option<Ticket>,
    /// What was told and not passed on, for each worker.
    told: BTreeMap<u16, Vec<Arc<Notification>>>,
}

/// Which clients of this worker hear of a channel.
#[derive(Default)]
struct Interest {
    clients: BTreeSet<Ticket>,
    /// Questions about it that are not answered.
    asked: usize,
}

// --- A client's worker ---

impl<D: Driver, E: Engine> Worker<D, E> {
    /// A session asks to hear something.
    pub(crate) fn subscribe(&mut self, ticket: Ticket, number: u32, channels: Vec<Channel>) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let Some(pool) = &client.pool else { return };
        let user = Arc::clone(&pool.key.user);
        let now = HubKey {
            target: pool.key.target,
            database: Arc::clone(&pool.key.database),
        };
        // What it hears from another target it hears until that is lost.
        let key = client.hub.take_if(|_| client.channels.is_empty());
        let key = client
            .hub
            .get_or_insert(key.filter(|key| *key == now).unwrap_or(now));
        let key = key.clone();
        let interests = self.hearing.interests.entry(key.clone()).or_default();
        for channel in &channels {
            let interest = interests.entry(Channel::clone(channel)).or_default();
            interest.asked += 1;
        }
        let question = Question {
            worker: self.crew.number,
            client: client.ticket,
            number,
            channels,
        };
        self.tell_owner(key, News::Ask(question, user));
    }

    /// A session needs to hear nothing more of these channels.
    pub(crate) fn unsubscribe(&mut self, ticket: Ticket, channels: &[Channel]) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let heard = channels
            .iter()
            .filter(|channel| client.channels.remove(*channel));
        let heard: Vec<Channel> = heard.cloned().collect();
        client.endpoint.block.subscriptions.sub(heard.len() as u64);
        if let Some(key) = client.hub.clone() {
            self.lose_interest(&key, &heard, |interest| {
                interest.clients.remove(&ticket);
            });
        }
    }

    /// A client is gone with all that it heard.
    pub(crate) fn forget_subscriptions(&mut self, client: &crate::connection::Client<E>) {
        let block = &client.endpoint.block;
        block.subscriptions.sub(client.channels.len() as u64);
        if let Some(key) = &client.hub {
            let channels: Vec<Channel> = client.channels.iter().cloned().collect();
            let ticket = client.ticket;
            self.lose_interest(key, &channels, |interest| {
                interest.clients.remove(&ticket);
            });
        }
    }

    /// Fewer need these channels: the owner hears of those that nobody needs.
    fn lose_interest(
        &mut self,
        key: &HubKey,
        channels: &[Channel],
        mut lose: impl FnMut(&mut Interest),
    ) {
        let Some(interests) = self.hearing.interests.get_mut(key) else {
            return;
        };
        let mut unwanted = Vec::new();
        for channel in channels {
            let Some(interest) = interests.get_mut(channel) else {
                continue;
            };
            lose(interest);
            if interest.clients.is_empty() && interest.asked == 0 {
                interests.remove(channel);
                unwanted.push(Channel::clone(channel));
            }
        }
        if interests.is_empty() {
            self.hearing.interests.remove(key);
        }
        if !unwanted.is_empty() {
            let news = News::Unwanted(self.crew.number, unwanted);
            self.tell_owner(key.clone(), news);
        }
    }

    fn on_answered_question(
        &mut self,
        key: &HubKey,
        question: &Question,
        result: Result<(), &Refusal>,
    ) {
        let ticket = question.client;
        if let (Some(client), Ok(())) = (self.clients.get_mut(ticket), result) {
            let interests = self.hearing.interests.entry(key.clone()).or_default();
            for channel in &question.channels {
                let interest = interests.entry(Channel::clone(channel)).or_default();
                interest.clients.insert(ticket);
                let new = client.channels.insert(Channel::clone(channel));
                client.endpoint.block.subscriptions.add(new.into());
            }
        }
        self.lose_interest(key, &question.channels, |interest| interest.asked -= 1);
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let lease = client.lease;
        E::on_subscribed(
            &mut client.session,
            question.number,
            result,
            &mut self.orders,
        );
        self.obey(Side::Client(ticket), &Source::Bytes(&[]), 0);
        if let Some(backend) = lease {
            self.feed_backend(backend, &Source::Bytes(&[]));
        }
        self.feed_client_inbox(ticket);
    }

    fn on_told(&mut self, key: &HubKey, told: &[Arc<Notification>]) {
        let Some(interests) = self.hearing.interests.get(key) else {
            return;
        };
        let (mut concerned, mut behind) = (BTreeSet::new(), Vec::new());
        for told in told {
            let Some(interest) = interests.get(&told.channel) else {
                continue;
            };
            for ticket in &interest.clients {
                if let Some(client) = self.clients.get_mut(*ticket) {
                    match E::on_notification(&mut client.session, told) {
                        Ok(()) => drop(concerned.insert(*ticket)),
                        Err(refusal) => behind.push((*ticket, refusal)),
                    }
                }
            }
        }
        for ticket in concerned {
            self.deliver(ticket);
        }
        for (ticket, refusal) in behind {
            self.refuse_client(ticket, &refusal);
        }
    }

    /// What was told goes to the client, if it takes it.
    pub(crate) fn deliver(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        if self.driver.unsent(client.handle) > UNSENT_HIGH {
            // It is looked at again when it has taken that.
            return;
        }
        let backend = client.lease.and_then(|lease| self.backends.get(lease));
        let state = backend.and_then(|backend| backend.state.as_ref());
        E::deliver(&mut client.session, state, &mut self.orders);
        self.obey(Side::Client(ticket), &Source::Bytes(&[]), 0);
    }

    /// The connection that listens was lost: its clients must not believe that nothing is told.
    fn on_hub_lost(&mut self, key: &HubKey) {
        let Some(interests) = self.hearing.interests.get_mut(key) else {
            return;
        };
        let mut clients = BTreeSet::new();
        interests.retain(|_, interest| {
            clients.append(&mut interest.clients);
            interest.asked > 0
        });
        for ticket in clients {
            let Some(client) = self.clients.get_mut(ticket) else {
                continue;
            };
            let heard = std::mem::take(&mut client.channels);
            client.endpoint.block.subscriptions.sub(heard.len() as u64);
            if E::is_listening(&client.session) {
                self.refuse_client(ticket, &Refusal::ListenerLost);
            }
        }
    }

    // --- Letters ---

    /// The worker that owns a database's listening connection.
    fn owner(&self, key: &HubKey) -> u16 {
        let owner = key.owner(self.crew.mailboxes.len());
        u16::try_from(owner).expect("there are at most 512 workers")
    }

    fn tell_owner(&mut self, key: HubKey, news: News) {
        let owner = self.owner(&key);
        self.tell_worker(owner, HubLetter { key, news });
    }

    fn tell_worker(&mut self, worker: u16, letter: HubLetter) {
        if worker == self.crew.number {
            self.hearing.own.push_back(letter);
        } else {
            self.mailbox(worker).send(Letter::Hub(Box::new(letter)));
        }
    }

    /// Reads what this worker has told itself; true if there was something.
    pub(crate) fn read_own_letter(&mut self) -> bool {
        self.pass_on();
        let Some(letter) = self.hearing.own.pop_front() else {
            return false;
        };
        self.on_hub_letter(letter);
        true
    }

    /// News about what is heard.
    pub(crate) fn on_hub_letter(&mut self, HubLetter { key, news }: HubLetter) {
        match news {
            News::Ask(question, user) => self.on_asked(&key, question, &user),
            News::Unwanted(worker, channels) => {
                let now = self.now;
                if let Some(owned) = self.hearing.hubs.get_mut(&key) {
                    let act = owned.hub.unwanted(now, worker, &channels);
                    self.act(&key, act);
                }
            }
            News::Told(told) => self.on_told(&key, &told),
            News::Answered(question, result) => {
                self.on_answered_question(&key, &question, result.as_ref().copied());
            }
            News::Lost => self.on_hub_lost(&key),
        }
    }
}

// --- The owner ---

impl<D: Driver, E: Engine> Worker<D, E> {
    fn on_asked(&mut self, key: &HubKey, question: Question, user: &Arc<str>) {
        let now = self.now;
        let owned = self
            .hearing
            .hubs
            .entry(key.clone())
            .or_insert_with(|| Owned {
                hub: Hub::new(now),
                backend: None,
                told: BTreeMap::new(),
            });
        match owned.hub.ask(now, question) {
            Act::Dial => self.dial_listener(key, user),
            act => self.act(key, act),
        }
    }

    fn dial_listener(&mut self, key: &HubKey, user: &Arc<str>) {
        let scope = match self.listener_scope(key, user) {
            Ok(scope) => scope,
            Err(refusal) => return self.lose_hub(key, &refusal),
        };
        let ticket = self.add_backend(&scope, Role::DialingListener);
        self.purposes.insert(ticket, Purpose::Listener);
        let place = scope.target().plan.budget.open_apart();
        self.hearing.by_backend.insert(ticket, (key.clone(), place));
        if let Some(owned) = self.hearing.hubs.get_mut(key) {
            owned.backend = Some(ticket);
        }
        self.start_dial(ticket);
    }

    fn listener_scope(&mut self, key: &HubKey, user: &str) -> Result<Rc<PoolScope>, Refusal> {
        let mut proxies = self
            .endpoints
            .values()
            .map(|scope| Arc::clone(&scope.proxy.borrow()));
        let proxy: Option<Arc<ProxyPlan>> = proxies.find(|proxy| proxy.target.id == key.target);
        let proxy = proxy.ok_or_else(|| Refusal::TargetUnreachable {
            detail: "its proxy is no longer configured".into(),
        })?;
        let wanted = Admission {
            user: user.to_owned(),
            database: key.database.to_string(),
            handshake: 0,
            dedicated: None,
            is_previous: false,
        };
        self.pool_scope_of(&proxy, &wanted)
    }

    fn act(&mut self, key: &HubKey, act: Act) {
        let backend = self.hearing.hubs.get(key).and_then(|owned| owned.backend);
        match (act, backend) {
            (Act::Nothing | Act::Dial, _) => {}
            (Act::Begin(round), Some(ticket)) => {
                let backend = self.backends.get_mut(ticket);
                if let Some(state) = backend.and_then(|backend| backend.state.as_mut()) {
                    E::listen(state, &round, &mut self.orders);
                    self.obey(Side::Backend(ticket), &Source::Bytes(&[]), 0);
                }
            }
            (Act::Close, Some(ticket)) => {
                self.close_backend(ticket, CloseReason::IdleTrimmed, "");
            }
            (Act::GiveUp, Some(ticket)) => {
                let why = "the connection that listens does not answer";
                self.close_backend(ticket, CloseReason::BackendGone, why);
            }
            (Act::Begin(_) | Act::Close | Act::GiveUp, None) => {}
        }
    }

    /// The connection is logged in.
    pub(crate) fn on_listener_up(&mut self, ticket: Ticket) {
        let Some(key) = self.hearing.key_of(ticket) else {
            return;
        };
        if let Some(backend) = self.backends.get(ticket) {
            backend.pool.block.listeners.add(1);
        }
        let now = self.now;
        if let Some(owned) = self.hearing.hubs.get_mut(&key) {
            let act = owned.hub.on_up(now);
            self.act(&key, act);
        }
    }

    /// The connection is dialled again, at another place.
    pub(crate) fn on_listener_moved(&mut self, from: Ticket, to: Ticket) {
        if let Some(known) = self.hearing.by_backend.remove(&from) {
            if let Some(owned) = self.hearing.hubs.get_mut(&known.0) {
                owned.backend = Some(to);
            }
            self.hearing.by_backend.insert(to, known);
        }
    }

    /// The connection was told something.
    pub(crate) fn on_heard(&mut self, ticket: Ticket, told: &Arc<Notification>) {
        let Some((key, _)) = self.hearing.by_backend.get(&ticket) else {
            return;
        };
        if let Some(backend) = self.backends.get(ticket) {
            backend.pool.block.notifications_heard.add(1);
        }
        let Some(Owned {
            hub, told: list, ..
        }) = self.hearing.hubs.get_mut(key)
        else {
            return;
        };
        if list.is_empty() {
            self.hearing.telling.push(ticket);
        }
        for worker in hub.workers(&told.channel) {
            list.entry(worker).or_default().push(Arc::clone(told));
        }
    }

    /// What was told is passed on, once to each worker that has clients who hear it.
    fn pass_on(&mut self) {
        while let Some(ticket) = self.hearing.telling.pop() {
            let Some(key) = self.hearing.key_of(ticket) else {
                continue;
            };
            let Some(owned) = self.hearing.hubs.get_mut(&key) else {
                continue;
            };
            for (worker, told) in std::mem::take(&mut owned.told) {
                let (key, news) = (key.clone(), News::Told(told));
                self.tell_worker(worker, HubLetter { key, news });
            }
        }
    }

    /// A round is done.
    pub(crate) fn on_round_done(&mut self, ticket: Ticket, result: Result<(), &Refusal>) {
        let Some(key) = self.hearing.key_of(ticket) else {
            return;
        };
        self.pass_on();
        let now = self.now;
        let Some(owned) = self.hearing.hubs.get_mut(&key) else {
            return;
        };
        let (answers, act) = owned.hub.on_round_done(now, result);
        for (question, result) in answers {
            self.answer(&key, question, result);
        }
        self.act(&key, act);
    }

    fn answer(&mut self, key: &HubKey, question: Question, result: Result<(), Refusal>) {
        let (key, worker) = (key.clone(), question.worker);
        let news = News::Answered(question, result);
        self.tell_worker(worker, HubLetter { key, news });
    }

    /// The connection is gone, or was not to be had.
    pub(crate) fn on_listener_gone(&mut self, ticket: Ticket, refusal: &Refusal, was_up: bool) {
        self.pass_on();
        let Some((key, place)) = self.hearing.by_backend.remove(&ticket) else {
            return;
        };
        self.pools.on_closed_apart(self.now, key.target, place);
        if was_up && let Some(owned) = self.hearing.hubs.get(&key) {
            let lost = owned.hub.channels() > 0;
            if let Some(scope) = self.targets.get(&key.target) {
                scope.block.listeners.sub(1);
                scope.block.listeners_lost.add(lost.into());
            }
        }
        self.lose_hub(&key, refusal);
    }

    fn lose_hub(&mut self, key: &HubKey, refusal: &Refusal) {
        let Some(mut owned) = self.hearing.hubs.remove(key) else {
            return;
        };
        let (questions, workers) = owned.hub.on_lost();
        for question in questions {
            self.answer(key, question, Err(refusal.clone()));
        }
        for worker in workers {
            let (key, news) = (key.clone(), News::Lost);
            self.tell_worker(worker, HubLetter { key, news });
        }
    }

    /// Timeouts of listening connections.
    pub(crate) fn sweep_hubs(&mut self) {
        let keys: Vec<HubKey> = self.hearing.hubs.keys().cloned().collect();
        for key in keys {
            let now = self.now;
            if let Some(owned) = self.hearing.hubs.get_mut(&key) {
                let act = owned.hub.on_time(now);
                self.act(&key, act);
            }
        }
    }
}
