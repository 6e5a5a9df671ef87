//! Plays a script: sends what it sends, compares what everybody sees, ends it where a variation wants it to end.

use crate::script::{Script, Step};
use crate::support::frames::Frames;
use crate::support::making::House;
use crate::support::messages::{Field, From, Line};
use crate::support::talk::{Debt, Talk};
use crate::support::world::World;
use forebay_core::Refusal;
use forebay_core::engine::Engine;
use forebay_core::snapshot::ClientAuth;
use forebay_mysql::Mysql;
use std::collections::{HashMap, VecDeque};

/// How a script is played.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Results end with an OK packet.
    pub is_new: bool,
    /// Clients' connections are compressed.
    pub is_compressed: bool,
    /// What is sent comes in two pieces around this byte.
    pub cut: Option<usize>,
    pub ending: Ending,
}

impl Run {
    /// As it is written.
    pub fn new(is_new: bool) -> Run {
        Run {
            is_new,
            is_compressed: false,
            cut: None,
            ending: Ending::Written,
        }
    }
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As written.
    Written,
    /// Behind so many bytes the clients vanish.
    Vanish(usize),
    /// Behind so many bytes the backends die.
    Die(usize),
}

/// A script being played.
pub struct Stage<'a> {
    script: &'a Script,
    house: House,
    world: World,
    /// Whether a session of this client is pinned.
    pinned: bool,
    noted: VecDeque<String>,
    /// What each end has said and heard.
    talks: HashMap<End, Talk>,
    /// Of clients that have logged in and are compressed.
    frames: HashMap<usize, Frames>,
    /// Seen by clients and by backends, not yet compared.
    seen: HashMap<End, VecDeque<Line>>,
    /// What stands for each `$name`.
    names: HashMap<String, Field>,
    sent: usize,
    run: Run,
    line: usize,
}

/// Whether it is a client's end, and which.
type End = (bool, usize);

fn end_of(who: From, index: usize) -> End {
    (who == From::Client, index)
}

impl<'a> Stage<'a> {
    pub fn play(script: &'a Script, run: Run) {
        let house = House {
            is_compressed: run.is_compressed,
            ..House::of(&script.settings, run.is_new)
        };
        let mut stage = Stage {
            script,
            house,
            world: World::of(&house, script.backends),
            pinned: false,
            noted: VecDeque::new(),
            talks: HashMap::new(),
            frames: HashMap::new(),
            seen: HashMap::new(),
            names: HashMap::new(),
            sent: 0,
            run,
            line: 0,
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.run()));
        if let Err(panic) = result {
            let (name, line) = (&script.name, stage.line);
            eprintln!(
                "scenarios/{name}/mysql.txt:{line} ({run:?})\n\
                 repeat: FOREBAY_SCENARIO={name} cargo test -p forebay-mysql --test conversations"
            );
            std::panic::resume_unwind(panic);
        }
    }

    fn run(&mut self) {
        for backend in 0..self.script.backends {
            let talk = Talk::ready(self.house.backend_terms());
            self.talks.insert((false, backend), talk);
        }
        self.admit();
        for (line, step) in &self.script.steps {
            self.line = *line;
            if self.is_parted() || self.step(step) {
                return;
            }
        }
        self.settled();
        let stuck = self.world.stuck();
        assert_eq!(stuck, None, "a client is never looked at again");
    }

    /// A cut within what comes behind a boundary costs the backend: half a packet belongs to nobody.
    fn is_parted(&self) -> bool {
        self.run.cut.is_some() && self.noted.iter().any(|order| order == "NotClean")
    }

    /// Every client logs in; a database that it names is chosen on the first backend.
    fn admit(&mut self) {
        for settings in &self.script.clients {
            let client = self.connect();
            if self.script.logins {
                continue;
            }
            let database = settings.iter().find(|(name, _)| name == "database");
            let database = database.map(|(_, value)| value.as_str());
            self.log_in(client, database, 0);
        }
        if !self.script.logins {
            self.seen.clear();
            self.noted.clear();
        }
    }

    fn connect(&mut self) -> usize {
        let client = self.world.add_client(&self.house);
        let talk = Talk::begun(self.house.client_terms());
        self.talks.insert((true, client), talk);
        self.collect();
        client
    }

    fn log_in(&mut self, client: usize, database: Option<&str>, backend: usize) {
        if self.house.require_tls {
            self.say(From::Client, client, "SslRequest");
        }
        let database = database.map(|name| format!(" \"{name}\""));
        let method = match self.house.client_auth {
            ClientAuth::CachingSha2 => "sha2",
            _ => "native",
        };
        let database = database.unwrap_or_default();
        let response = format!("Response \"u\" {method} \"secret\"{database}");
        self.say(From::Client, client, &response);
        if self.world.clients[client].waiting {
            self.world.lease(client, backend);
            self.answer_all(backend);
        }
        let is_ready = self.world.clients[client].ready;
        assert!(is_ready, "a client was not admitted");
    }

    fn say(&mut self, who: From, index: usize, line: &str) {
        let end = end_of(who, index);
        let bytes = self.talks[&end].encode(who, &[Line::parse(line)]);
        self.pass(who, index, &bytes);
        self.collect();
    }

    /// Bytes arrive from this end.
    fn pass(&mut self, who: From, index: usize, bytes: &[u8]) {
        let talk = self.talks.get_mut(&end_of(who, index)).unwrap();
        match who {
            From::Client => match self.frames.get_mut(&index) {
                Some(frames) => {
                    let wire = frames.wrap(bytes, talk);
                    self.world.client_bytes(index, &wire);
                }
                None => {
                    talk.received(bytes);
                    self.world.client_bytes(index, bytes);
                }
            },
            From::Backend => {
                talk.sent(bytes);
                self.world.backend_bytes(index, bytes);
            }
        }
    }

    /// A server that takes everything. The commands that it took.
    fn answer_all(&mut self, backend: usize) -> Vec<Line> {
        let mut all = Vec::new();
        loop {
            self.collect();
            let asked = self.seen.remove(&(false, backend)).unwrap_or_default();
            if asked.is_empty() {
                return all;
            }
            for line in asked {
                if !matches!(line.name.as_str(), "StmtClose" | "Quit") {
                    self.say(From::Backend, backend, "Ok");
                }
                all.push(line);
            }
        }
    }

    /// Does one step; whether the run has ended with it.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Send { who, index, lines } => {
                self.settled();
                let bytes = self.talks[&end_of(*who, *index)].encode(*who, lines);
                return self.send(*who, *index, &bytes);
            }
            Step::Lease { client, backend } => {
                self.settled();
                self.world.lease(*client, *backend);
            }
            Step::RefuseLease { client, refusal } => {
                self.settled();
                let refusal = match refusal.as_str() {
                    "BorrowTimeout" => Refusal::BorrowTimeout,
                    "Cancelled" => Refusal::Cancelled,
                    other => panic!("no refusal {other}"),
                };
                self.world.refuse_lease(*client, &refusal);
            }
            Step::Cancelled { client, found } => {
                self.settled();
                self.world.cancelled(*client, *found);
            }
            Step::Part => self.settled(),
            Step::Vanish(client) => {
                self.settled();
                self.world.vanish(*client);
            }
            Step::Die(backend) => {
                self.settled();
                self.world.die(*backend);
            }
            Step::See { who, index, line } => self.see(*who, *index, line),
            Step::Order(order) => self.order(order),
            Step::Probe { .. } | Step::Answer { .. } | Step::Tell { .. } => {
                panic!("nothing is asked and told here")
            }
        }
        self.collect();
        false
    }

    /// Sends bytes, in two parts where the cut is; whether the run has ended with them.
    fn send(&mut self, who: From, index: usize, bytes: &[u8]) -> bool {
        let end = match self.run.ending {
            Ending::Vanish(at) | Ending::Die(at) => Some(at),
            Ending::Written => None,
        };
        let within = |at: Option<usize>| at.and_then(|at| at.checked_sub(self.sent));
        let inside = |at: &usize| *at <= bytes.len() && *at > 0;
        let cut = within(self.run.cut).filter(inside);
        let end = within(end).filter(inside);
        let stop = end.unwrap_or(bytes.len());
        let cut = cut.unwrap_or(stop).min(stop);
        for part in [&bytes[..cut], &bytes[cut..stop]] {
            self.pass(who, index, part);
            self.collect();
        }
        self.sent += bytes.len();
        if end.is_some() {
            match self.run.ending {
                Ending::Die(_) => self.all_die(),
                _ => self.all_vanish(),
            }
        }
        end.is_some()
    }

    /// Takes in what was sent and ordered.
    fn collect(&mut self) {
        for (index, backend) in self.world.backends.iter_mut().enumerate() {
            let bytes = std::mem::take(&mut backend.sent);
            let talk = self.talks.get_mut(&(false, index)).unwrap();
            let seen = self.seen.entry((false, index)).or_default();
            seen.extend(talk.received(&bytes));
        }
        for (index, client) in self.world.clients.iter_mut().enumerate() {
            let bytes = std::mem::take(&mut client.sent);
            let Some(talk) = self.talks.get_mut(&(true, index)) else {
                client.sent = bytes;
                continue;
            };
            let seen = self.seen.entry((true, index)).or_default();
            match self.frames.get_mut(&index) {
                Some(frames) => seen.extend(frames.unwrap(&bytes, talk)),
                None => seen.extend(talk.sent(&bytes)),
            }
            // The packet that ended the login was the last one without a frame.
            if client.framing.is_some() {
                self.frames.entry(index).or_default();
            }
        }
        for order in self.world.noted.drain(..) {
            match order.split(' ').next() {
                Some("Pin") => self.pinned = true,
                Some("Unpin") => self.pinned = false,
                _ => {}
            }
            self.noted.push_back(order);
        }
    }

    fn see(&mut self, who: From, index: usize, wanted: &Line) {
        if wanted.name == "ColumnsEnd" && self.run.is_new {
            return;
        }
        let seen = self.seen.entry(end_of(who, index)).or_default().pop_front();
        let seen = seen.unwrap_or_else(|| panic!("{who:?} does not see {wanted}"));
        let same = seen.name == wanted.name && seen.fields.len() == wanted.fields.len();
        let mut pairs = seen.fields.iter().zip(&wanted.fields);
        let same = same
            && pairs.all(|(seen, wanted)| match wanted {
                Field::Word(name) if name.starts_with('$') => {
                    let known = self.names.entry(name.clone());
                    known.or_insert_with(|| seen.clone()) == seen
                }
                wanted => seen == wanted,
            });
        assert!(same, "{who:?} sees {seen}\n   instead of {wanted}");
    }

    fn order(&mut self, wanted: &str) {
        match self.noted.pop_front() {
            Some(order) => assert_eq!(order, wanted, "another order was given"),
            None => panic!("the order {wanted} was not given"),
        }
    }

    /// Everything that happened was expected.
    fn settled(&mut self) {
        for ((client, index), lines) in &self.seen {
            if let Some(line) = lines.front() {
                let who = if *client { "client" } else { "backend" };
                panic!("{who}{} sees {line}, which is not written", index + 1);
            }
        }
        if let Some(order) = self.noted.front() {
            panic!("the order {order} is not written");
        }
    }

    fn all_vanish(&mut self) {
        for client in 0..self.world.clients.len() {
            let lease = self.world.clients[client].lease;
            self.world.noted.clear();
            self.world.vanish(client);
            if let Some(backend) = lease {
                self.farewell_is_right(client, backend);
            }
        }
        for backend in 0..self.world.backends.len() {
            self.next_client_is_served(backend);
        }
    }

    fn farewell_is_right(&mut self, client: usize, backend: usize) {
        let farewell = self.world.noted.join(", ");
        let debt = self.talks[&(false, backend)].debt();
        let half_way = !self.world.backends[backend].inbox.is_empty();
        let closed = self.world.backends[backend].gone;
        if half_way {
            // The engine has not looked at it yet: the data plane lends nothing with bytes lying there.
            return assert!(closed || !Mysql::is_clean(&self.world.backends[backend].state));
        }
        let right = match debt {
            _ if self.pinned => closed,
            Debt::Hopeless => closed,
            // What is not a client's own question may be answered yet.
            Debt::Afterthought => closed || farewell == "Farewell Cleaning",
            Debt::None => farewell == "Farewell Clean" || closed,
            // Half a command that is answered already costs the backend, too.
            Debt::Rollback if !self.talks[&(true, client)].received_whole() => {
                closed || farewell == "Farewell Cleaning"
            }
            Debt::Rollback => farewell == "Farewell Cleaning",
        };
        assert!(
            right,
            "the server owes {debt:?}, and the engine says {farewell}"
        );
        if farewell != "Farewell Cleaning" || debt == Debt::Afterthought {
            return;
        }
        self.seen.clear();
        let asked = self.answer_all(backend);
        assert_eq!(asked[0].to_string(), "Query \"ROLLBACK\"");
        assert_eq!(self.noted.back().map(String::as_str), Some("Release"));
    }

    /// Whoever gets this backend next sees its own answer and nothing else.
    fn next_client_is_served(&mut self, backend: usize) {
        let its = &self.world.backends[backend];
        if its.gone || its.client.is_some() || !its.inbox.is_empty() {
            return;
        }
        if !Mysql::is_clean(&its.state) {
            // The rollback for a client that the script itself sent away, or half a packet.
            let exchange = &its.state.exchange;
            assert!(!exchange.is_empty() || exchange.from_backend_left > 0);
            return;
        }
        self.world.bug = None;
        let client = self.connect();
        self.log_in(client, Some("next"), backend);
        self.seen.clear();
        self.say(From::Client, client, "Query \"select 1\"");
        self.world.lease(client, backend);
        let asked = self.answer_all(backend);
        let last = asked.last().map(ToString::to_string);
        assert_eq!(last.as_deref(), Some("Query \"select 1\""));
        let seen = self.seen.remove(&(true, client)).unwrap_or_default();
        let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
        assert_eq!(seen, ["Ok"], "the next client sees what is not its own");
        assert_eq!(self.world.bug, None);
    }

    fn all_die(&mut self) {
        for backend in 0..self.world.backends.len() {
            let Some(client) = self.world.backends[backend].client else {
                continue;
            };
            self.seen.clear();
            self.world.die(backend);
            self.collect();
            let is_gone = self.world.clients[client].gone;
            assert!(is_gone, "a client was left without its backend");
            let lines = self.seen.remove(&(true, client)).unwrap_or_default();
            // Within a packet there is no place for an error.
            if self.talks[&(true, client)].sent_whole() {
                let lines = lines.iter().map(ToString::to_string);
                let lines: Vec<_> = lines.collect();
                let wanted = "Error 9503 08S01 \"The connection to the database was lost\"";
                assert_eq!(lines, [wanted]);
            }
        }
    }
}
