//! Answers to Query and FunctionCall, and to the data of a COPY.

use std::collections::VecDeque;

use super::super::script::{Act, Message};
use super::{Answer, Block, Expect, Expected, Outcome, Paused, Portal, Progress, Rows};

impl Expected {
    pub(super) fn query(&mut self, acts: &[Act]) {
        self.begin_statement();
        self.statements.remove("");
        if acts.contains(&Act::Nonsense) {
            return self.fail_query("42601");
        }
        if acts.is_empty() {
            self.end_statement();
            self.out.push(Expect::Empty);
            return self.ready();
        }
        self.run(acts.iter().cloned().collect(), acts.len() > 1);
    }

    pub(super) fn run(&mut self, mut rest: VecDeque<Act>, several: bool) {
        while let Some(act) = rest.pop_front() {
            match self.run_one(&act, several) {
                Ok(Some(tag)) => self.complete(&act, &rest, several, tag),
                Ok(None) => {
                    self.paused = Some(Paused::Simple { rest, several });
                    return;
                }
                Err(code) => return self.fail_query(code),
            }
        }
        self.ready();
    }

    pub(super) fn run_one(&mut self, act: &Act, several: bool) -> Outcome<Option<String>> {
        if self.block == Block::Failed && !act.ends_failure() {
            return Err("25P02");
        }
        self.begin_statement();
        if several && self.block == Block::Single {
            self.block = Block::Implicit;
        }
        // The portal the statement runs in; if it fails, a block keeps it.
        self.portals
            .insert("", Portal::done(act.clone(), self.savepoints.len()));
        if let Some(columns) = self.columns(act) {
            self.out.push(Expect::Description(columns));
        }
        match self.perform(act, &[], false)? {
            Answer::Tag(tag) => Ok(Some(tag.to_owned())),
            Answer::Rows(rows) => {
                let count = self.push_rows(rows);
                Ok(Some(rows_tag(act, count)))
            }
            Answer::Lines { tag, rows } => Ok(Some(self.push_lines(tag, rows))),
            Answer::CopyIn => {
                self.out.push(Expect::CopyIn);
                self.copying = Some(Vec::new());
                Ok(None)
            }
            Answer::Sleep => {
                self.out.push(Expect::Sleep);
                Ok(None)
            }
        }
    }

    pub(super) fn complete(&mut self, act: &Act, rest: &VecDeque<Act>, several: bool, tag: String) {
        self.portals.remove("");
        if rest.is_empty() && several {
            self.end_segment();
        } else if rest.is_empty() || act.is_transaction_control() {
            self.end_statement();
        }
        self.out.push(Expect::Tag(tag));
        let confirmed = std::mem::take(&mut self.confirm);
        if !confirmed.is_empty() {
            self.out.push(Expect::Confirm(confirmed));
        }
    }

    pub(super) fn push_rows(&mut self, rows: Rows) -> u32 {
        match rows {
            Rows::One(Some(row)) => {
                self.out.push(Expect::Row(row));
                1
            }
            Rows::One(None) => 0,
            Rows::Generated {
                tag,
                size,
                next,
                last,
            } => {
                if next <= last {
                    self.out.push(Expect::Generated {
                        tag,
                        size,
                        next,
                        last,
                    });
                }
                last + 1 - next
            }
        }
    }

    pub(super) fn push_lines(&mut self, tag: String, rows: u32) -> String {
        self.out.push(Expect::CopyOut);
        if rows > 0 {
            self.out.push(Expect::Lines {
                tag,
                next: 1,
                last: rows,
            });
        }
        self.out.push(Expect::CopyDone);
        format!("COPY {rows}")
    }

    pub(super) fn columns(&self, act: &Act) -> Option<usize> {
        match act {
            Act::Execute(name) => self.statements.get(name)?.as_ref()?.columns(),
            act => act.columns(),
        }
    }

    pub(super) fn function_call(&mut self, left: &str, right: &str) {
        self.begin_statement();
        if self.block == Block::Failed {
            return self.fail_query("25P02");
        }
        self.out.push(Expect::Function(format!("{left}{right}")));
        self.end_statement();
        self.ready();
    }

    pub(super) fn during_copy(&mut self, message: &Message) {
        match message {
            Message::CopyData(numbers) => self
                .copying
                .iter_mut()
                .for_each(|rows| rows.extend(numbers)),
            Message::CopyDone => {
                let rows = self.copying.take().unwrap_or_default();
                let tag = format!("COPY {}", rows.len());
                self.now.rows.extend(rows);
                match self.paused.take() {
                    Some(Paused::Simple { rest, several }) => {
                        self.complete(&Act::CopyIn, &rest, several, tag);
                        self.run(rest, several);
                    }
                    Some(Paused::Execute { portal }) => {
                        if let Some(portal) = self.portals.get_mut(portal) {
                            portal.progress = Progress::Done;
                        }
                        self.pipelined = true;
                        self.out.push(Expect::Tag(tag));
                    }
                    None => {}
                }
            }
            Message::Sync | Message::Flush => {}
            other => {
                self.copying = None;
                let code = if *other == Message::CopyFail {
                    "57014"
                } else {
                    "08P01"
                };
                match self.paused.take() {
                    Some(Paused::Execute { .. }) => self.fail_segment(code),
                    _ => self.fail_query(code),
                }
            }
        }
    }
}

/// The tag of a statement that sent `count` rows.
pub(super) fn rows_tag(act: &Act, count: u32) -> String {
    match act {
        Act::Show(_) => "SHOW".into(),
        _ => format!("SELECT {count}"),
    }
}
