//! Answers to the messages of the extended protocol: names, portals, rows in parts.

use super::super::super::frontend::Named;
use super::super::script::Act;
use super::query::rows_tag;
use super::{Answer, Block, Expect, Expected, Outcome, Paused, Portal, Progress, Rows};

impl Expected {
    pub(super) fn parse(&mut self, name: &'static str, act: Option<&Act>) -> Outcome<()> {
        self.begin_statement();
        if name.is_empty() {
            self.statements.remove("");
        }
        if act == Some(&Act::Nonsense) {
            return Err("42601");
        }
        if self.block == Block::Failed && act.is_some_and(|act| !act.ends_failure()) {
            return Err("25P02");
        }
        self.keep(name, act.cloned())
    }

    pub(super) fn keep(&mut self, name: &'static str, act: Option<Act>) -> Outcome<()> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err("42P05");
        }
        self.statements.insert(name, act);
        Ok(())
    }

    pub(super) fn bind(
        &mut self,
        portal: &'static str,
        statement: &str,
        params: &[String],
        binary: bool,
    ) -> Outcome<()> {
        self.begin_statement();
        let act = self.statements.get(statement).ok_or("26000")?.clone();
        if act.as_ref().map_or(0, Act::parameters) != params.len() {
            return Err("08P01");
        }
        if self.block == Block::Failed && !act.as_ref().is_some_and(Act::ends_failure) {
            return Err("25P02");
        }
        if !portal.is_empty() && self.portals.contains_key(portal) {
            return Err("42P03");
        }
        if act == Some(Act::InsertParam) && params[1].parse::<i64>().is_err() {
            return Err("22P02");
        }
        let depth = self.savepoints.len();
        let params = params.to_vec();
        self.portals.insert(
            portal,
            Portal {
                act,
                params,
                binary,
                depth,
                progress: Progress::New,
            },
        );
        Ok(())
    }

    pub(super) fn describe(&mut self, what: Named, name: &str) -> Outcome<()> {
        self.begin_statement();
        let act = match what {
            Named::Statement => self.statements.get(name).ok_or("26000")?.clone(),
            Named::Portal => self.portals.get(name).ok_or("34000")?.act.clone(),
        };
        let columns = act.as_ref().and_then(|act| self.columns(act));
        if columns.is_some() && self.block == Block::Failed {
            return Err("25P02");
        }
        if what == Named::Statement {
            let count = act.as_ref().map_or(0, Act::parameters);
            self.out.push(Expect::Parameters(count));
        }
        self.out
            .push(columns.map_or(Expect::NoData, Expect::Description));
        Ok(())
    }

    pub(super) fn execute(&mut self, name: &'static str, max: i32) -> Outcome<()> {
        let mut portal = self.portals.remove(name).ok_or("34000")?;
        let Some(act) = portal.act.clone() else {
            self.portals.insert(name, portal);
            self.out.push(Expect::Empty);
            return Ok(());
        };
        self.begin_statement();
        if self.block == Block::Failed && !act.ends_failure() {
            return Err("25P02");
        }
        if portal.progress == Progress::New {
            portal.progress = Progress::Done;
            match self.perform(&act, &portal.params.clone(), portal.binary)? {
                Answer::Tag(tag) => return self.executed(name, portal, &act, tag.to_owned()),
                Answer::Lines { tag, rows } => {
                    let tag = self.push_lines(tag, rows);
                    return self.executed(name, portal, &act, tag);
                }
                Answer::Rows(rows) => portal.progress = Progress::Rows(rows),
                Answer::CopyIn => {
                    self.out.push(Expect::CopyIn);
                    self.copying = Some(Vec::new());
                    self.portals.insert(name, portal);
                    self.paused = Some(Paused::Execute { portal: name });
                    return Ok(());
                }
                Answer::Sleep => {
                    self.out.push(Expect::Sleep);
                    self.portals.insert(name, portal);
                    self.paused = Some(Paused::Execute { portal: name });
                    return Ok(());
                }
            }
        }
        let Progress::Rows(rows) = &mut portal.progress else {
            return Err("55000");
        };
        let (some, full) = take_rows(rows, max);
        let count = self.push_rows(some);
        if full {
            self.portals.insert(name, portal);
            self.pipelined = true;
            self.out.push(Expect::Suspended);
            return Ok(());
        }
        self.executed(name, portal, &act, rows_tag(&act, count))
    }

    pub(super) fn executed(
        &mut self,
        name: &'static str,
        portal: Portal,
        act: &Act,
        tag: String,
    ) -> Outcome<()> {
        let at_once = matches!(act, Act::Vacuum | Act::Discard("ALL"));
        if act.is_transaction_control() || at_once {
            self.end_statement();
        } else {
            self.portals.insert(name, portal);
            self.pipelined = true;
        }
        self.out.push(Expect::Tag(tag));
        let confirmed = std::mem::take(&mut self.confirm);
        if !confirmed.is_empty() {
            self.out.push(Expect::Confirm(confirmed));
        }
        Ok(())
    }
}

/// Takes at most `max` rows (0 for all) and says whether it was a full measure.
fn take_rows(rows: &mut Rows, max: i32) -> (Rows, bool) {
    let max = u32::try_from(max).ok().filter(|max| *max > 0);
    match rows {
        Rows::One(row) => {
            let row = row.take();
            let full = row.is_some() && max == Some(1);
            (Rows::One(row), full)
        }
        Rows::Generated {
            tag,
            size,
            next,
            last,
        } => {
            let left = *last + 1 - *next;
            let taken = max.map_or(left, |max| left.min(max));
            let first = *next;
            *next += taken;
            let some = Rows::Generated {
                tag: tag.clone(),
                size: *size,
                next: first,
                last: first + taken - 1,
            };
            (some, max == Some(taken))
        }
    }
}
