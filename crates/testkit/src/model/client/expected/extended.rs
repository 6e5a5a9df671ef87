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
                spoiled: false,
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
        let portal = self.portals.get(name).ok_or("34000")?;
        let spoiled = portal.spoiled;
        let Some(act) = portal.act.clone() else {
            self.out.push(Expect::Empty);
            return Ok(());
        };
        self.begin_statement();
        if self.block == Block::Failed && (spoiled || !act.ends_failure()) {
            return Err("25P02");
        }
        let mut rows = match self.take_progress(name) {
            Progress::Rows(rows) => rows,
            // Also when it failed: nothing puts it back.
            Progress::Done => return Err("55000"),
            Progress::New => match self.first_run(name, &act)? {
                Some(rows) => rows,
                None => return Ok(()),
            },
        };
        let (some, full) = take_rows(&mut rows, max);
        self.put_progress(name, Progress::Rows(rows));
        let count = self.push_rows(some);
        if full {
            self.pipelined = true;
            self.out.push(Expect::Suspended);
        } else {
            self.executed(&act, rows_tag(&act, count));
        }
        Ok(())
    }

    /// Runs the portal's statement; `None` when nothing is left to do now.
    fn first_run(&mut self, name: &'static str, act: &Act) -> Outcome<Option<Rows>> {
        let portal = &self.portals[name];
        let (params, binary, depth) = (portal.params.clone(), portal.binary, portal.depth);
        match self.perform(act, &params, binary)? {
            Answer::Rows(rows) => return Ok(Some(rows)),
            Answer::Tag(tag) => {
                // Its own portal survives CLOSE ALL.
                if *act == Act::CloseAll {
                    self.portals.insert(name, Portal::done(act.clone(), depth));
                }
                self.executed(act, tag.to_owned());
            }
            Answer::Lines { tag, rows } => {
                let tag = self.push_lines(tag, rows);
                self.executed(act, tag);
            }
            Answer::CopyIn => {
                self.out.push(Expect::CopyIn);
                self.copying = Some(Vec::new());
                self.paused = Some(Paused::Execute { portal: name });
            }
            Answer::Sleep => {
                self.out.push(Expect::Sleep);
                self.paused = Some(Paused::Execute { portal: name });
            }
        }
        Ok(None)
    }

    fn take_progress(&mut self, name: &str) -> Progress {
        match self.portals.get_mut(name) {
            Some(portal) => std::mem::replace(&mut portal.progress, Progress::Done),
            None => Progress::Done,
        }
    }

    fn put_progress(&mut self, name: &str, progress: Progress) {
        if let Some(portal) = self.portals.get_mut(name) {
            portal.progress = progress;
        }
    }

    fn executed(&mut self, act: &Act, tag: String) {
        let at_once = matches!(act, Act::Vacuum | Act::Discard("ALL"));
        if act.is_transaction_control() || at_once {
            self.end_statement();
        } else {
            self.pipelined = true;
        }
        self.out.push(Expect::Tag(tag));
        let confirmed = std::mem::take(&mut self.confirm);
        if !confirmed.is_empty() {
            self.out.push(Expect::Confirm(confirmed));
        }
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
