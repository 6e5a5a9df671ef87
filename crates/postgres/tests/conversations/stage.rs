//! Plays a script: sends what it sends, compares what everybody sees, ends it where a variation wants it to end.

use crate::script::{Script, Step};
use crate::server::{Debt, Ledger};
use crate::support::messages::{Field, From, Line};
use crate::support::world::World;
use forebay_core::Refusal;
use forebay_core::engine::Engine;
use forebay_core::notification::Notification;
use forebay_postgres::{Postgres, errors};
use std::collections::{HashMap, VecDeque};

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
    world: World,
    ledgers: Vec<Ledger>,
    /// Whether a session of this client is pinned.
    pinned: bool,
    noted: VecDeque<String>,
    /// Seen by clients and by backends, not yet compared.
    seen: HashMap<(From2, usize), VecDeque<Line>>,
    /// Half a message that somebody has seen so far.
    halves: HashMap<(From2, usize), Vec<u8>>,
    /// What stands for each `$name`.
    names: HashMap<String, Vec<u8>>,
    sent: usize,
    cut: Option<usize>,
    ending: Ending,
    line: usize,
}

/// Whose end it is, as a key.
type From2 = bool;

fn key(who: From, index: usize) -> (From2, usize) {
    (who == From::Client, index)
}

/// A NotificationResponse as the data plane hands it on.
fn notification(bytes: &[u8]) -> Notification {
    let (process, texts) = bytes[5..].split_first_chunk().unwrap();
    let mut texts = texts.split(|byte| *byte == 0);
    Notification {
        channel: texts.next().unwrap().into(),
        process: u32::from_be_bytes(*process),
        payload: texts.next().unwrap().into(),
    }
}

impl<'a> Stage<'a> {
    pub fn play(script: &'a Script, cut: Option<usize>, ending: Ending) {
        let mut stage = Stage {
            script,
            world: World::new(script.backends),
            ledgers: Vec::new(),
            pinned: false,
            noted: VecDeque::new(),
            seen: HashMap::new(),
            halves: HashMap::new(),
            names: HashMap::new(),
            sent: 0,
            cut,
            ending,
            line: 0,
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.run()));
        if let Err(panic) = result {
            let Stage { line, .. } = stage;
            let name = &script.name;
            eprintln!(
                "scenarios/{name}/postgres.txt:{line} ({ending:?}, cut {cut:?})\n\
                 repeat: FOREBAY_SCENARIO={name} cargo test -p forebay-postgres --test conversations"
            );
            std::panic::resume_unwind(panic);
        }
    }

    fn run(&mut self) {
        self.admit();
        for (line, step) in &self.script.steps {
            self.line = *line;
            if self.is_parted() || self.step(step) {
                return;
            }
        }
        self.settled();
        assert_eq!(
            self.world.stuck(),
            None,
            "a client is never looked at again"
        );
    }

    /// A cut within what comes behind a boundary costs the backend: half a message belongs to nobody.
    fn is_parted(&self) -> bool {
        self.cut.is_some() && self.noted.iter().any(|order| order == "NotClean")
    }

    /// Every client hears its welcome on the first backend, which takes all startup settings.
    fn admit(&mut self) {
        for baseline in &self.script.clients {
            let client = self.world.add_client(baseline, self.script.dedicated);
            let backend = if self.script.dedicated {
                self.world.add_backend(true)
            } else {
                0
            };
            self.world.lease(client, backend);
            self.answer_all(backend);
            assert!(
                self.world.clients[client].ready,
                "a client was not admitted"
            );
        }
        for client in &mut self.world.clients {
            client.sent.clear();
        }
        for backend in &mut self.world.backends {
            backend.sent.clear();
            self.ledgers.push(Ledger::default());
        }
        self.world.noted.clear();
    }

    /// A server that takes every query of the proxy's own.
    fn answer_all(&mut self, backend: usize) {
        let sent = std::mem::take(&mut self.world.backends[backend].sent);
        let (lines, _) = Line::decode_all(From::Client, &sent);
        for line in lines {
            let replies: &[&str] = match line.name.as_str() {
                "Query" => &["CommandComplete \"SET\"", "ReadyForQuery I"],
                "Parse" => &["ParseComplete"],
                "Close" => &["CloseComplete"],
                other => panic!("before a client's own comes {other}"),
            };
            for reply in replies {
                let bytes = Line::parse(reply).encode(From::Backend);
                self.world.backend_bytes(backend, &bytes);
            }
        }
    }

    /// Does one step; whether the run has ended with it.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Send { who, index, lines } => {
                self.settled();
                let bytes: Vec<u8> = lines.iter().flat_map(|line| line.encode(*who)).collect();
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
            Step::Probe { backend, held } => return self.probe(*backend, held),
            Step::Answer { client, heard } => {
                self.settled();
                let message = "cannot execute LISTEN during recovery";
                let refusal = errors::target_refused("25006".into(), message.into());
                let result = if *heard { Ok(()) } else { Err(&refusal) };
                self.world.answer(*client, result);
            }
            Step::Tell { client, line } => {
                self.settled();
                let bytes = line.encode(From::Backend);
                self.world.tell(*client, notification(&bytes));
            }
            Step::Cancelled { .. } => panic!("cancel requests have connections of their own here"),
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
        }
        self.collect();
        false
    }

    /// Answers the proxy's question of what the session holds; whether the run has ended with that.
    fn probe(&mut self, backend: usize, held: &[String]) -> bool {
        self.order("Probed");
        let seen = self.seen.entry((false, backend)).or_default();
        let asked = seen.iter().position(|line| line.name == "Sync");
        let asked = asked.expect("the backend is not asked what the session holds");
        let asked: Vec<Line> = seen.drain(..=asked).collect();
        self.settled();
        let gone = |held: &&String| *held == "vanished";
        if let Some(client) = self.world.backends[backend].client
            && held.iter().any(|held| gone(&held))
        {
            self.world.vanish(client);
            self.collect();
            self.order("Farewell Cleaning");
        }
        let held = held.iter().filter(|held| !gone(held));
        let (told, held): (Vec<_>, Vec<_>) = held.partition(|held| *held == "notified");
        let told = told
            .iter()
            .map(|_| "NotificationResponse 7 \"c\" \"meanwhile\"".into());
        let mut told = told.chain(["ReadyForQuery I".into()]);
        let mut rows = held.iter().map(|held| match held.split_once('=') {
            Some((name, value)) => format!("DataRow \"s\" \"{name}\" \"{value}\" \"{value}\""),
            None => format!("DataRow \"o\" \"{held}\" NULL NULL"),
        });
        let mut bytes = Vec::new();
        for line in asked {
            let replies: Vec<String> = match line.name.as_str() {
                "Parse" => vec!["ParseComplete".into()],
                "Bind" => vec!["BindComplete".into()],
                "Execute" => rows
                    .by_ref()
                    .chain(["CommandComplete \"SELECT 0\"".into()])
                    .collect(),
                "Close" => vec!["CloseComplete".into()],
                "Sync" => told.by_ref().collect(),
                other => panic!("a question of ours has no {other}"),
            };
            let replies = replies
                .iter()
                .flat_map(|reply| Line::parse(reply).encode(From::Backend));
            bytes.extend(replies);
        }
        let ended = self.send(From::Backend, backend, &bytes);
        if !ended {
            self.collect();
        }
        ended
    }

    /// Sends bytes, in two parts where the cut is; whether the run has ended with them.
    fn send(&mut self, who: From, index: usize, bytes: &[u8]) -> bool {
        let end = match self.ending {
            Ending::Vanish(at) | Ending::Die(at) => Some(at),
            Ending::Written => None,
        };
        let within = |at: Option<usize>| at.and_then(|at| at.checked_sub(self.sent));
        let inside = |at: &usize| *at <= bytes.len() && *at > 0;
        let (cut, end) = (within(self.cut).filter(inside), within(end).filter(inside));
        let stop = end.unwrap_or(bytes.len());
        let cut = cut.unwrap_or(stop).min(stop);
        for part in [&bytes[..cut], &bytes[cut..stop]] {
            match who {
                From::Client => self.world.client_bytes(index, part),
                From::Backend => {
                    self.ledgers[index].sent(part);
                    self.world.backend_bytes(index, part);
                }
            }
            self.collect();
        }
        self.sent += bytes.len();
        if end.is_some() {
            match self.ending {
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
            self.ledgers[index].received(&bytes);
            self.halves.entry((false, index)).or_default().extend(bytes);
        }
        for (index, client) in self.world.clients.iter_mut().enumerate() {
            let bytes = std::mem::take(&mut client.sent);
            self.halves.entry((true, index)).or_default().extend(bytes);
        }
        for (key, half) in &mut self.halves {
            // A backend sees what clients send, and the other way round.
            let from = if key.0 { From::Backend } else { From::Client };
            let (lines, rest) = Line::decode_all(from, half);
            *half = rest.to_vec();
            self.seen.entry(*key).or_default().extend(lines);
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
        let seen = self.seen.entry(key(who, index)).or_default().pop_front();
        let seen = seen.unwrap_or_else(|| panic!("{who:?} does not see {wanted}"));
        let same = seen.name == wanted.name && seen.fields.len() == wanted.fields.len();
        let mut pairs = seen.fields.iter().zip(&wanted.fields);
        let same = same
            && pairs.all(|(seen, wanted)| match (seen, wanted) {
                (Field::Text(text), Field::Word(name)) if name.starts_with('$') => {
                    self.names
                        .entry(name.clone())
                        .or_insert_with(|| text.clone())
                        == text
                }
                (seen, wanted) => seen == wanted,
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
        for name in self.names.values() {
            assert_ne!(name.len(), 0, "a name of ours is empty");
        }
    }

    fn all_vanish(&mut self) {
        for client in 0..self.world.clients.len() {
            let lease = self.world.clients[client].lease;
            self.world.noted.clear();
            self.world.vanish(client);
            if let Some(backend) = lease {
                self.farewell_is_right(backend);
            }
        }
        for backend in 0..self.world.backends.len() {
            self.next_client_is_served(backend);
        }
    }

    fn farewell_is_right(&mut self, backend: usize) {
        let farewell = self.world.noted.join(", ");
        let debt = self.ledgers[backend].debt();
        let half_way = !self.world.backends[backend].inbox.is_empty();
        let closed = self.world.backends[backend].gone;
        // The engine has begun to clean it for the next one before its client vanished, or to ask what it left.
        let exchange = &self.world.backends[backend].state.exchange;
        let asking = exchange.is_asking();
        let parting = asking || exchange.is_parting();
        if half_way {
            // The engine has not looked at it yet: the data plane lends nothing with bytes lying there.
            return assert!(closed || !Postgres::is_clean(&self.world.backends[backend].state));
        }
        let right = match debt {
            _ if self.pinned || self.script.dedicated => closed,
            Debt::Hopeless => closed || (parting && farewell == "Farewell Cleaning"),
            Debt::None => farewell == "Farewell Clean",
            Debt::Rollback => farewell == "Farewell Cleaning",
        };
        assert!(
            right,
            "the server owes {debt:?}, and the engine says {farewell}"
        );
        if farewell != "Farewell Cleaning" {
            return;
        }
        self.collect();
        self.seen.clear();
        self.reply(
            backend,
            &["CommandComplete \"ROLLBACK\"", "ReadyForQuery I"],
        );
        let last = self.noted.back().map(String::as_str);
        // It may have told already that something is left.
        let closed = asking && last == Some("Close NotClean");
        assert!(closed || last == Some("Release"), "{last:?}");
    }

    fn reply(&mut self, backend: usize, replies: &[&str]) {
        for reply in replies {
            let bytes = Line::parse(reply).encode(From::Backend);
            self.world.backend_bytes(backend, &bytes);
        }
        self.collect();
    }

    /// Whoever gets this backend next sees its own answer and nothing else, and finds nobody's settings or statements.
    fn next_client_is_served(&mut self, backend: usize) {
        let its = &self.world.backends[backend];
        if its.gone || its.client.is_some() || !its.inbox.is_empty() || self.script.dedicated {
            return;
        }
        if !Postgres::is_clean(&its.state) {
            // The rollback for a client that the script itself sent away, or half a notice.
            let exchange = &its.state.exchange;
            assert!(!exchange.is_empty() || exchange.from_backend_left > 0);
            return;
        }
        let client = self.world.add_client(&[], false);
        self.world.lease(client, backend);
        self.answer_all(backend);
        self.world.clients[client].sent.clear();
        let request: Vec<u8> = ["Bind \"\" \"\"", "Sync", "Query \"select 1\""]
            .iter()
            .flat_map(|line| Line::parse(line).encode(From::Client))
            .collect();
        self.world.client_bytes(client, &request);
        self.world.lease(client, backend);
        let sent = std::mem::take(&mut self.world.backends[backend].sent);
        let (lines, rest) = Line::decode_all(From::Client, &sent);
        assert!(rest.is_empty());
        let replies = lines.iter().flat_map(|line| match line.name.as_str() {
            "Bind" => vec!["ErrorResponse ERROR 26000 \"no statement\""],
            "Sync" => vec!["ReadyForQuery I"],
            "Close" => vec!["CloseComplete"],
            "Query" => vec!["CommandComplete \"SELECT 1\"", "ReadyForQuery I"],
            other => panic!("the next client did not ask for {other}"),
        });
        for reply in replies {
            let bytes = Line::parse(reply).encode(From::Backend);
            self.world.backend_bytes(backend, &bytes);
        }
        let sent = std::mem::take(&mut self.world.clients[client].sent);
        let (lines, _) = Line::decode_all(From::Backend, &sent);
        let seen: Vec<_> = lines
            .iter()
            .map(|line| line.name.as_str())
            .filter(|name| *name != "ParameterStatus")
            .collect();
        let wanted = [
            "ErrorResponse",
            "ReadyForQuery",
            "CommandComplete",
            "ReadyForQuery",
        ];
        assert_eq!(seen, wanted, "the next client sees what is not its own");
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
            assert!(
                self.world.clients[client].gone,
                "a client was left without its backend"
            );
            let half_seen = !self.ledgers[backend].sent_whole();
            let lines = self.seen.remove(&(true, client)).unwrap_or_default();
            // Within a message there is no place for an error.
            if !half_seen {
                let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
                let wanted =
                    "ErrorResponse FATAL 08006 \"The connection to the database was lost.\"";
                assert_eq!(lines, [wanted]);
            }
        }
    }
}
