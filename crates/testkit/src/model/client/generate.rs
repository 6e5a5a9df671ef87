//! Programs from seeds: what a client does, drawn so that the rare orders of messages come often.
//!
//! The generator knows nothing about answers: it may end a transaction that failed, prepare a name twice or use one
//! that is missing. It only keeps the rules of the protocol that a client must keep: Sync before waiting, data only
//! where COPY can be, an end to every episode. `exchanges.rs` has the groups of messages, `acts.rs` the statements,
//! `vocabulary.rs` the words.

mod acts;
mod exchanges;
mod vocabulary;

use std::collections::BTreeMap;

use super::super::frontend::Named;
use super::super::rng::SplitMix64;
use super::script::{Act, Episode, Message, Program, Step};
use vocabulary::{SETTINGS, STARTUP};

/// What programs may contain.
#[derive(Debug, Clone)]
pub struct Style {
    /// Connections per program.
    pub episodes: u32,
    /// Most groups of steps per connection (each one a transaction, a pipeline, …).
    pub groups: u32,
    /// Percentage of connections that end at a random byte instead of with Terminate.
    pub vanish_percent: u64,
    /// Things that tie a session to its backend: temporary tables, advisory locks, LISTEN, SQL PREPARE.
    pub sticky: bool,
    /// `pg_sleep` and CancelRequest.
    pub sleeps: bool,
    /// Roles for SET ROLE.
    pub roles: Vec<String>,
    /// Most rows of one result.
    pub rows_max: u32,
    /// Longest think time in milliseconds.
    pub think_max: u32,
    /// Highest minor protocol version to ask for.
    pub minor_max: u16,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            episodes: 3,
            groups: 20,
            vanish_percent: 30,
            sticky: true,
            sleeps: true,
            roles: Vec::new(),
            rows_max: 200,
            think_max: 50,
            minor_max: 9,
        }
    }
}

/// Values of all settings that programs touch, on a fresh session of PostgreSQL 18 with an unchanged configuration;
/// lower-case names.
pub fn default_settings() -> BTreeMap<String, String> {
    let pair = |name: &str, value: &str| (name.to_ascii_lowercase(), value.to_owned());
    SETTINGS
        .iter()
        .map(|(name, default, _)| pair(name, default))
        .collect()
}

/// The program that belongs to a seed.
pub fn program(seed: u64, client: u32, style: &Style) -> Program {
    let mut writer = Writer {
        rng: SplitMix64::new(seed),
        me: format!("c{client}"),
        client,
        style,
        serial: 0,
        steps: Vec::new(),
    };
    Program {
        episodes: (0..style.episodes).map(|_| writer.episode()).collect(),
    }
}

/// A program under construction.
struct Writer<'a> {
    rng: SplitMix64,
    me: String,
    client: u32,
    style: &'a Style,
    /// The last number given out, for tags and rows alike: no two are equal.
    serial: i64,
    steps: Vec<Step>,
}

impl Writer<'_> {
    fn episode(&mut self) -> Episode {
        for _ in 0..self.rng.between(1, self.style.groups.into()) {
            self.group();
        }
        self.end();
        let minor = *self.rng.pick(&[0, 0, 2, 9]);
        Episode {
            minor: minor.min(self.style.minor_max),
            asks_encryption: self.rng.chance(30),
            settings: self.startup(),
            options: self.startup(),
            steps: std::mem::take(&mut self.steps),
        }
    }

    fn startup(&mut self) -> Vec<(&'static str, &'static str, &'static str)> {
        let mut found: Vec<(&str, &str, &str)> = Vec::new();
        for _ in 0..self.rng.below(3) {
            let candidate = *self.rng.pick(STARTUP);
            if found.iter().all(|(name, _, _)| *name != candidate.0) {
                found.push(candidate);
            }
        }
        found
    }

    /// Ends the episode with a goodbye, or in the middle of anything: with replies outstanding, inside a
    /// transaction, between COPY data.
    fn end(&mut self) {
        if !self.rng.chance(self.style.vanish_percent) {
            return self.steps.push(Step::Terminate);
        }
        if self.rng.chance(50) {
            self.group();
        }
        let last = self.steps.len() as u64;
        let cut = last - self.rng.below(last.min(4));
        self.steps.truncate(cut as usize);
        if self.rng.chance(50) {
            while self.steps.last() == Some(&Step::Await) {
                self.steps.pop();
            }
        }
        let act = self.any_act();
        let permille = self.rng.below(1000) as u32;
        self.steps.push(Step::Vanish {
            message: Message::Query(vec![act]),
            permille,
        });
    }

    fn group(&mut self) {
        match self.rng.below(100) {
            0..20 => self.single(),
            20..45 => self.transaction(),
            45..60 => self.extended_group(),
            60..68 => self.pipeline(),
            68..76 => self.copy(),
            76..84 => self.settings_group(),
            84..87 => self.function_call(),
            87..90 if self.style.sleeps => self.sleep(),
            90..93 => self.stray(),
            _ => {
                self.wait();
                self.think();
            }
        }
    }

    fn send(&mut self, message: Message) {
        self.steps.push(Step::Send(message));
    }

    fn parse(&mut self, name: &'static str, act: Act) {
        self.send(Message::Parse {
            name,
            act: Some(act),
        });
    }

    fn bind(&mut self, portal: &'static str, statement: &'static str, params: Vec<String>) {
        let binary = self.rng.chance(25);
        self.send(Message::Bind {
            portal,
            statement,
            params,
            binary,
        });
    }

    fn describe(&mut self, what: Named, name: &'static str) {
        self.send(Message::Describe { what, name });
    }

    fn execute(&mut self, portal: &'static str, rows: i32) {
        self.send(Message::Execute { portal, rows });
    }

    fn sync(&mut self) {
        self.send(Message::Sync);
        self.perhaps_wait();
    }

    fn wait(&mut self) {
        self.steps.push(Step::Await);
    }

    /// Waits now, or leaves the answer for later and pipelines.
    fn perhaps_wait(&mut self) {
        if self.rng.chance(70) {
            self.wait();
        }
    }

    fn think(&mut self) {
        let milliseconds = self.rng.below(self.style.think_max.into()) as u32;
        self.steps.push(Step::Think(milliseconds));
    }

    fn serial(&mut self) -> i64 {
        self.serial += 1;
        self.serial
    }

    fn tag(&mut self) -> String {
        let serial = self.serial();
        format!("{}.{serial}", self.me)
    }
}
