//! Groups of messages: transactions, the extended protocol in its many orders, pipelines, COPY, sleeps.
//!
//! Rule kept everywhere: before `Await` stands something that makes the server answer (Query, Sync, Flush,
//! FunctionCall), so that no program waits for what the server may hold back.

use super::super::super::frontend::Named::{Portal, Statement};
use super::super::script::{Act, Message, Step};
use super::Writer;
use super::vocabulary::{PORTALS, PREPARED, SAVEPOINTS, STATEMENTS};

impl Writer<'_> {
    pub(super) fn single(&mut self) {
        let acts = self.acts();
        self.send(Message::Query(acts));
        self.perhaps_wait();
    }

    pub(super) fn transaction(&mut self) {
        let read_only = *self.rng.pick(&[None, None, None, Some(false), Some(true)]);
        self.play(Act::Begin { read_only });
        for _ in 0..self.rng.between(1, 8) {
            match self.rng.below(10) {
                0..2 => self.savepoint(),
                2 => self.extended_group(),
                3 => self.copy(),
                4 => self.single(),
                5 => self.portal_in_parts(),
                _ => {
                    let act = self.any_act();
                    self.play(act);
                }
            }
        }
        let chain = self.rng.chance(15);
        let commit = self.rng.chance(65);
        self.play(if commit {
            Act::Commit { chain }
        } else {
            Act::Rollback { chain }
        });
        if chain {
            self.play(Act::Rollback { chain: false });
        }
    }

    fn savepoint(&mut self) {
        let name = self.rng.word(SAVEPOINTS);
        let act = match self.rng.below(6) {
            0..3 => Act::Savepoint(name),
            3..5 => Act::RollbackTo(name),
            _ => Act::Release(name),
        };
        self.play(act);
    }

    /// One act without parameters, by either protocol.
    pub(super) fn play(&mut self, act: Act) {
        if self.rng.chance(65) {
            self.send(Message::Query(vec![act]));
        } else {
            self.one_shot(act);
            self.send(Message::Sync);
        }
        self.perhaps_wait();
    }

    /// Parse, Bind, Describe, Execute without names; no Sync.
    fn one_shot(&mut self, act: Act) {
        let params = self.params(&act);
        self.parse("", act);
        if self.rng.chance(30) {
            self.describe(Statement, "");
        }
        self.bind("", "", params);
        if self.rng.chance(50) {
            self.describe(Portal, "");
        }
        self.execute("", 0);
    }

    fn params(&mut self, act: &Act) -> Vec<String> {
        match act {
            Act::InsertParam => vec![self.me.clone(), self.serial().to_string()],
            act => (0..act.parameters()).map(|_| self.tag()).collect(),
        }
    }

    pub(super) fn extended_group(&mut self) {
        match self.rng.below(8) {
            0 => {
                let act = self.extended_act();
                self.one_shot(act);
            }
            1 => self.named(),
            2 => self.unnamed_across_syncs(),
            3 => self.with_flush(),
            4 => self.portal_in_parts(),
            5 => self.handles(),
            6 => self.mixed_names(),
            _ => self.empty_statement(),
        }
        self.sync();
    }

    fn empty_statement(&mut self) {
        self.send(Message::Parse {
            name: "",
            act: None,
        });
        self.bind("", "", Vec::new());
        self.execute("", 0);
    }

    /// Prepares a name, perhaps for the second time, and runs it several times.
    fn named(&mut self) {
        let name = self.rng.word(STATEMENTS);
        let act = self.extended_act();
        if self.rng.chance(30) {
            self.send(Message::Close {
                what: Statement,
                name,
            });
        }
        self.parse(name, act.clone());
        if self.rng.chance(30) {
            self.describe(Statement, name);
            self.sync();
        }
        for _ in 0..self.rng.between(1, 3) {
            let params = self.params(&act);
            self.bind("", name, params);
            self.execute("", 0);
            if self.rng.chance(50) {
                self.sync();
            }
        }
    }

    /// The unnamed statement lives on after Sync, until the next Query.
    fn unnamed_across_syncs(&mut self) {
        let act = self.extended_act();
        let params = self.params(&act);
        self.parse("", act);
        self.describe(Statement, "");
        self.sync();
        if self.rng.chance(25) {
            let tag = self.tag();
            self.send(Message::Query(vec![Act::Tag(tag)]));
        }
        self.bind("", "", params);
        self.execute("", 0);
    }

    fn with_flush(&mut self) {
        for _ in 0..self.rng.between(1, 3) {
            let act = self.extended_act();
            self.one_shot(act);
            self.send(Message::Flush);
            self.wait();
        }
    }

    /// A result read in parts through a portal. The unnamed one is not read on after Sync: when its Bind failed, what
    /// stands under its name may be left from a failed Query, and running that crashes PostgreSQL 18.
    fn portal_in_parts(&mut self) {
        let portal = self.rng.word(PORTALS);
        let rows = self.rng.below(12) as u32;
        let tag = self.tag();
        self.parse(
            "",
            Act::Generate {
                rows,
                size: 30,
                tag,
            },
        );
        self.bind(portal, "", Vec::new());
        for _ in 0..self.rng.between(1, 4) {
            let rows = self.rng.below(6) as i32;
            self.execute(portal, rows);
            match self.rng.below(4) {
                0 => {
                    self.send(Message::Flush);
                    self.wait();
                }
                1 if !portal.is_empty() => self.sync(),
                _ => {}
            }
        }
        if self.rng.chance(30) {
            self.send(Message::Close {
                what: Portal,
                name: portal,
            });
        }
        self.sync();
    }

    /// Names used in any order, right or wrong.
    fn handles(&mut self) {
        for _ in 0..self.rng.between(1, 5) {
            let name = self.rng.word(STATEMENTS);
            let portal = self.rng.word(PORTALS);
            match self.rng.below(7) {
                0 => self.describe(Statement, name),
                1 => self.describe(Portal, portal),
                2 => self.send(Message::Close {
                    what: Statement,
                    name,
                }),
                3 => self.send(Message::Close {
                    what: Portal,
                    name: portal,
                }),
                4 => self.bind(portal, name, Vec::new()),
                5 if !portal.is_empty() => self.execute(portal, 0),
                _ => {
                    let act = self.extended_act();
                    self.parse(name, act);
                }
            }
        }
    }

    /// Names of SQL's prepared statements, given and used by either protocol.
    fn mixed_names(&mut self) {
        for _ in 0..self.rng.between(1, 5) {
            let name = self.rng.word(PREPARED);
            match self.rng.below(7) {
                0 => {
                    let tag = self.tag();
                    let act = if self.rng.chance(70) {
                        Act::Tag(tag)
                    } else {
                        Act::TagParam
                    };
                    self.parse(name, act);
                }
                1 => self.describe(Statement, name),
                2 => self.send(Message::Close {
                    what: Statement,
                    name,
                }),
                3 => {
                    self.bind("", name, Vec::new());
                    self.execute("", 0);
                }
                _ => {
                    let act = self.prepared_act();
                    self.one_shot(act);
                }
            }
            if self.rng.chance(40) {
                self.sync();
            }
        }
    }

    /// Segments without waiting, with anything in them.
    pub(super) fn pipeline(&mut self) {
        for _ in 0..self.rng.between(2, 8) {
            for _ in 0..self.rng.between(1, 3) {
                let act = match self.rng.below(12) {
                    0 => Act::Begin { read_only: None },
                    1 => Act::Commit { chain: false },
                    2 => Act::Rollback { chain: false },
                    _ => self.extended_act(),
                };
                self.one_shot(act);
            }
            match self.rng.below(10) {
                // Never a Query before Sync: PostgreSQL 18 loses the transaction then ("unexpected state STARTED").
                0 => {
                    let acts = self.acts();
                    self.send(Message::Sync);
                    self.send(Message::Query(acts));
                }
                1 => self.send(Message::Flush),
                _ => self.send(Message::Sync),
            }
        }
        self.send(Message::Sync);
        self.send(Message::Query(vec![Act::Rollback { chain: false }]));
        self.wait();
    }

    pub(super) fn copy(&mut self) {
        if self.rng.chance(40) {
            let rows = self.rng.below(50) as u32;
            let tag = self.tag();
            return self.play(Act::CopyOut { rows, tag });
        }
        let extended = self.rng.chance(40);
        if extended {
            self.one_shot(Act::CopyIn);
        } else {
            let mut acts = vec![Act::CopyIn];
            if self.rng.chance(20) {
                acts.push(self.quick_act());
            }
            self.send(Message::Query(acts));
        }
        // Some drivers send Sync at once: during COPY it is ignored.
        if extended && self.rng.chance(30) {
            self.send(Message::Sync);
        } else if self.rng.chance(60) {
            if extended {
                self.send(Message::Flush);
            }
            self.wait();
        }
        self.copy_data();
        if extended {
            self.send(Message::Sync);
        }
        self.perhaps_wait();
    }

    fn copy_data(&mut self) {
        for _ in 0..self.rng.below(4) {
            let rows = (0..self.rng.below(20)).map(|_| self.serial()).collect();
            self.send(Message::CopyData(rows));
        }
        let good = self.rng.chance(80);
        self.send(if good {
            Message::CopyDone
        } else {
            Message::CopyFail
        });
    }

    pub(super) fn settings_group(&mut self) {
        for _ in 0..self.rng.between(1, 4) {
            let act = self.setting_act();
            self.play(act);
        }
        self.play(Act::WhoAmI);
    }

    pub(super) fn function_call(&mut self) {
        let (left, right) = (self.tag(), self.tag());
        self.send(Message::FunctionCall { left, right });
        self.perhaps_wait();
    }

    /// A statement that runs until somebody ends it, perhaps by a cancel.
    pub(super) fn sleep(&mut self) {
        self.wait();
        if self.rng.chance(70) {
            let mut acts = vec![Act::Sleep];
            if self.rng.chance(20) {
                acts.push(self.quick_act());
            }
            self.send(Message::Query(acts));
        } else {
            self.one_shot(Act::Sleep);
            self.send(Message::Sync);
        }
        if self.rng.chance(60) {
            self.think();
            self.steps.push(Step::Cancel);
        }
        self.wait();
    }

    /// COPY messages when no COPY runs: the server must ignore them.
    pub(super) fn stray(&mut self) {
        let rows = vec![self.serial()];
        self.send(Message::CopyData(rows));
        self.send(Message::CopyDone);
        let tag = self.tag();
        self.send(Message::Query(vec![Act::Tag(tag)]));
        self.perhaps_wait();
    }
}
