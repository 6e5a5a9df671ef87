//! Programs from seeds: what a client does, drawn so that what is rare comes often.
//!
//! The generator knows nothing about answers: it may end a transaction that there is not or use a statement that was never prepared. It
//! only keeps to what clients must keep to: a statement's number is known before it is used; and to what the proxy says it does not do
//! (`docs/operating/mysql.md`, "Limits").

use super::script::{Act, Episode, Message, Param, Program, Step};
use super::vocabulary::{
    COLLATIONS, DATABASES, INVALID, NAMED, OF_MARIADB, OF_MYSQL, SAVEPOINTS, SETTINGS, STATEMENTS,
    TABLES, USERS,
};
use crate::model::SplitMix64;
use crate::model::client::Style;
use crate::model::mysql::Flavor;
use forebay_mysql::wire::capability::Capabilities;

/// The program that belongs to a seed.
pub fn program(seed: u64, client: u32, style: &Style, flavor: Flavor) -> Program {
    let mut writer = Writer {
        rng: SplitMix64::new(seed),
        client,
        style,
        flavor,
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
    client: u32,
    style: &'a Style,
    flavor: Flavor,
    /// The last number given out, for tags and rows alike: no two are equal.
    serial: i64,
    steps: Vec<Step>,
}

impl Writer<'_> {
    fn episode(&mut self) -> Episode {
        let optional = [
            Capabilities::DEPRECATE_EOF,
            Capabilities::SESSION_TRACK,
            Capabilities::MULTI_STATEMENTS,
        ];
        // Most are alike, so that they share backends.
        let mut capabilities = Capabilities(
            Capabilities::DEPRECATE_EOF.0
                | Capabilities::MULTI_STATEMENTS.0
                | Capabilities::MULTI_RESULTS.0
                | Capabilities::PS_MULTI_RESULTS.0,
        );
        for flag in optional {
            if self.rng.chance(25) {
                capabilities = match capabilities.has(flag) {
                    true => capabilities.without(flag),
                    false => capabilities | flag,
                };
            }
        }
        let collation = match self.rng.chance(75) {
            true => 45,
            false => self.rng.pick(&COLLATIONS[..5]).0,
        };
        let database = match self.rng.chance(80) {
            true => Some(self.rng.word(DATABASES)),
            false => None,
        };
        for _ in 0..self.rng.between(1, self.style.groups.into()) {
            self.group();
        }
        self.end();
        Episode {
            capabilities,
            collation,
            database,
            switches: self.rng.chance(20),
            steps: std::mem::take(&mut self.steps),
        }
    }

    /// Ends the episode with a goodbye, or in the middle of anything.
    fn end(&mut self) {
        if !self.rng.chance(self.style.vanish_percent) {
            return self.steps.push(Step::Quit);
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
        let message = Message::Query(vec![self.act()]);
        let permille = self.rng.below(1000) as u32;
        self.steps.push(Step::Vanish { message, permille });
    }

    fn group(&mut self) {
        match self.rng.below(100) {
            0..20 => self.single(),
            20..40 => self.transaction(),
            40..55 => self.settings(),
            55..70 => self.prepared(),
            70..76 => self.several(),
            76..80 => self.left_behind(),
            80..85 => self.connection(),
            85..90 if self.style.sticky => self.sticky(),
            90..93 if self.style.sleeps => self.sleep(),
            _ => {
                self.steps.push(Step::Await);
                self.think();
            }
        }
    }

    fn send(&mut self, message: Message) {
        self.steps.push(Step::Send(message));
    }

    fn query(&mut self, act: Act) {
        self.send(Message::Query(vec![act]));
        // Waits now, or leaves the answer for later.
        if self.rng.chance(70) {
            self.steps.push(Step::Await);
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
        format!("c{}.{serial}", self.client)
    }

    // --- Groups ---

    fn single(&mut self) {
        let act = self.act();
        self.query(act);
    }

    fn transaction(&mut self) {
        if self.rng.chance(20) {
            let read_only = self.rng.chance(50);
            // Right ahead of what it is for.
            self.send(Message::Query(vec![Act::SetTransaction {
                session: false,
                read_only,
            }]));
            self.send(Message::Query(vec![Act::Begin { read_only: false }]));
        } else {
            let read_only = self.rng.chance(15);
            self.query(Act::Begin { read_only });
        }
        for _ in 0..self.rng.below(5) {
            let act = match self.rng.below(10) {
                0..3 => Act::Insert(self.serial()),
                3 => Act::Savepoint(self.rng.word(SAVEPOINTS)),
                4 => Act::RollbackTo(self.rng.word(SAVEPOINTS)),
                5 => Act::Release(self.rng.word(SAVEPOINTS)),
                6 => Act::Count,
                _ => self.act(),
            };
            self.query(act);
        }
        let chain = self.rng.chance(10);
        match self.rng.below(10) {
            0..6 => self.query(Act::Commit { chain }),
            6..8 => self.query(Act::Rollback { chain }),
            8 => self.query(Act::Alter),
            _ => {}
        }
    }

    fn settings(&mut self) {
        for _ in 0..self.rng.between(1, 3) {
            let act = self.setting();
            self.query(act);
        }
        if self.rng.chance(60) {
            let names = self.names(7);
            self.query(Act::Get(names));
        }
    }

    fn prepared(&mut self) {
        let name = self.rng.word(STATEMENTS);
        if self.rng.chance(60) {
            let act = self.preparable();
            self.send(Message::Prepare { name, act });
            // Its number comes with the answer.
            self.steps.push(Step::Await);
        }
        for _ in 0..self.rng.below(4) {
            self.execution(name);
            if self.rng.chance(40) {
                let act = self.act();
                self.query(act);
            }
        }
        match self.rng.below(10) {
            0..2 => self.send(Message::StmtClose { name }),
            2 => self.send(Message::StmtReset { name }),
            _ => {}
        }
    }

    fn execution(&mut self, name: &'static str) {
        if self.rng.chance(10) {
            let text = self.tag();
            self.send(Message::LongData { name, text });
        }
        let param = match self.rng.below(5) {
            0 => Param::Null,
            1 => Param::Tiny(self.rng.below(100) as i8),
            2 => Param::Text(self.tag()),
            _ => Param::Long(self.serial()),
        };
        let cursor = self.rng.chance(15);
        self.send(Message::Execute {
            name,
            param: Some(param),
            types: true,
            cursor,
        });
        if self.rng.chance(70) {
            self.steps.push(Step::Await);
        }
        while self.rng.chance(25) {
            let rows = self.rng.between(1, 60) as u32;
            self.send(Message::Fetch { name, rows });
        }
    }

    fn several(&mut self) {
        let acts = (0..self.rng.between(2, 4)).map(|_| self.quiet());
        let acts = acts.collect();
        self.send(Message::Query(acts));
        self.steps.push(Step::Await);
    }

    /// A statement, and at once what it left behind.
    fn left_behind(&mut self) {
        let asks = match self.rng.below(3) {
            0 => Act::RowCount,
            1 => Act::LastInsertId,
            _ => Act::ShowWarnings,
        };
        let act = match self.rng.below(6) {
            0 | 1 => Act::Warn(self.tag()),
            2 => Act::Insert(self.serial()),
            3 => Act::Deadlock,
            4 => Act::Nonsense,
            // What others leave of the conditions, servers do not agree.
            _ if asks == Act::ShowWarnings => Act::Insert(self.serial()),
            _ => self.quiet(),
        };
        self.query(act);
        self.query(asks);
    }

    /// Commands about the connection itself.
    fn connection(&mut self) {
        let database = self.rng.word(DATABASES);
        let message = match self.rng.below(10) {
            0..3 => Message::Ping,
            3 => Message::Statistics,
            4..7 => Message::InitDb(database),
            7 => Message::InitDb("nowhere"),
            8 => Message::ResetConnection,
            _ => Message::ChangeUser {
                database: self.rng.chance(70).then_some(database),
            },
        };
        if let Message::ChangeUser { .. } = message {
            self.steps.push(Step::Await);
        }
        self.send(message);
        self.steps.push(Step::Await);
    }

    /// What ties a session to its backend, and mostly lets it go again.
    fn sticky(&mut self) {
        let number = self.rng.below(3) as u32;
        let (table, name) = (self.rng.word(TABLES), self.rng.word(NAMED));
        let user = self.rng.word(USERS);
        let (first, last) = match self.rng.below(7) {
            0 | 1 => (
                Act::CreateTemp(table),
                Act::DropTemp {
                    name: table,
                    if_exists: self.rng.chance(50),
                },
            ),
            2 => (Act::GetLock(number), Act::ReleaseAllLocks),
            3 => (Act::GetLock(number), Act::ReleaseLock(number)),
            4 => (Act::LockTables, Act::UnlockTables),
            5 => (
                Act::Prepare {
                    name,
                    tag: self.tag(),
                },
                Act::Deallocate(name),
            ),
            _ => (
                Act::AssignUser {
                    name: user,
                    tag: self.tag(),
                },
                Act::GetUser(user),
            ),
        };
        self.query(first);
        for _ in 0..self.rng.below(4) {
            let act = match self.rng.below(5) {
                0 => Act::InsertTemp {
                    name: table,
                    number: self.serial(),
                },
                1 => Act::CountTemp(table),
                2 => Act::Execute(name),
                _ => self.act(),
            };
            self.query(act);
        }
        if self.rng.chance(70) {
            self.query(last);
        }
    }

    fn sleep(&mut self) {
        self.steps.push(Step::Await);
        let tag = self.tag();
        self.send(Message::Query(vec![Act::Sleep(tag)]));
        if self.rng.chance(70) {
            self.think();
            self.steps.push(Step::Cancel);
        }
        self.steps.push(Step::Await);
    }

    // --- Statements ---

    /// Any statement.
    fn act(&mut self) -> Act {
        match self.rng.below(20) {
            0 => Act::Insert(self.serial()),
            1 => self.setting(),
            2 => Act::Backslash(self.tag()),
            3 if self.style.sticky => self.call(),
            4 => Act::CallRows(self.tag()),
            _ => self.quiet(),
        }
    }

    /// One that may stand among others.
    fn quiet(&mut self) -> Act {
        match self.rng.below(24) {
            0..4 => Act::Tag(self.tag()),
            4..6 => Act::Quoted(self.tag()),
            6 => Act::Touch(self.tag()),
            7 => Act::GetUser(self.rng.word(USERS)),
            8 => Act::Count,
            9..11 => Act::Numbers {
                rows: self.rng.between(1, self.style.rows_max.into()) as u32,
                tag: self.tag(),
            },
            11 => Act::Deadlock,
            12 => Act::Nonsense,
            13 => Act::CountTemp(self.rng.word(TABLES)),
            14 => Act::Use(match self.rng.chance(80) {
                true => self.rng.word(DATABASES),
                false => "nowhere",
            }),
            15 => Act::Database,
            16 => Act::WhereAmI,
            17 => Act::Collation,
            18 => Act::LastInsertId,
            19 => Act::Warn(self.tag()),
            20 => Act::SetUser {
                name: self.rng.word(USERS),
                tag: self.tag(),
            },
            21 => Act::Insert(self.serial()),
            22 => Act::Execute(self.rng.word(NAMED)),
            _ => Act::Get(self.names(3)),
        }
    }

    fn call(&mut self) -> Act {
        let (name, _, values) = *self.rng.pick(&SETTINGS[1..6]);
        let (written, shown) = *self.rng.pick(values);
        Act::CallSet {
            name,
            written,
            shown,
            fails: self.rng.chance(40),
        }
    }

    fn setting(&mut self) -> Act {
        match self.rng.below(12) {
            0 => {
                let (_, collation, charset) = *self.rng.pick(&COLLATIONS[..5]);
                let collation = self.rng.chance(50).then_some(collation);
                Act::SetNames { charset, collation }
            }
            1 => {
                let (_, collation, charset) = *self.rng.pick(&COLLATIONS[..5]);
                Act::SetCollation { charset, collation }
            }
            2 => {
                let (written, code) = *self.rng.pick(INVALID);
                Act::SetInvalid { written, code }
            }
            3 => Act::SetTransaction {
                session: true,
                read_only: self.rng.chance(30),
            },
            4 => Act::SetDefault(self.name(true)),
            _ => {
                let name = self.name(false);
                let found = SETTINGS.iter().find(|(known, ..)| *known == name);
                let values = found.map_or(&[][..], |(_, _, values)| values);
                let (written, shown) = *self.rng.pick(values);
                // Two `@` alone mean the next transaction, for some.
                let scope = self.rng.word(&["", "SESSION ", "@@session."]);
                Act::Set {
                    scope,
                    name,
                    written,
                    shown,
                }
            }
        }
    }

    /// A setting that this family has.
    fn name(&mut self, plain: bool) -> &'static str {
        let others = match self.flavor {
            Flavor::MySql => OF_MARIADB,
            Flavor::MariaDb => OF_MYSQL,
        };
        loop {
            let (name, ..) = *self.rng.pick(SETTINGS);
            let pins = name == "sql_log_bin" && !self.style.sticky;
            let is_charset = name.starts_with("character_set");
            let is_out = others.contains(&name) || pins || plain && is_charset;
            if !is_out {
                return name;
            }
        }
    }

    fn names(&mut self, most: u64) -> Vec<&'static str> {
        let count = self.rng.between(1, most);
        let mut found: Vec<&'static str> = (0..count).map(|_| self.name(false)).collect();
        if self.rng.chance(30) {
            found.push("collation_connection");
        }
        found
    }

    /// One that is prepared.
    fn preparable(&mut self) -> Act {
        match self.rng.below(16) {
            0..5 => Act::TagParam(self.tag()),
            5..7 => Act::InsertParam,
            7 => Act::Quoted(self.tag()),
            8 => Act::Backslash(self.tag()),
            9 => Act::WhereAmI,
            10 => Act::Collation,
            11 => Act::Numbers {
                rows: self.rng.between(1, self.style.rows_max.into()) as u32,
                tag: self.tag(),
            },
            12 => Act::SetUser {
                name: self.rng.word(USERS),
                tag: self.tag(),
            },
            13 => self.setting(),
            14 => Act::Count,
            _ => Act::Commit { chain: false },
        }
    }
}
