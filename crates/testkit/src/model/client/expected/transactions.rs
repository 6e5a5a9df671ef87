//! The client's idea of transactions: what starts one, what ends it, what is taken back.
//!
//! A block is `Single` or `Implicit` while it ends by itself, `Open` after BEGIN, `Failed` after an error in it.

use super::{Block, Expect, Expected, Outcome};

impl Expected {
    pub(super) fn begin_statement(&mut self) {
        match self.block {
            Block::None => self.open(Block::Single),
            Block::Single if self.pipelined => self.block = Block::Implicit,
            _ => {}
        }
    }

    pub(super) fn open(&mut self, block: Block) {
        self.block = block;
        self.now.read_only = self.setting("default_transaction_read_only") == Some("on");
        self.start = self.now.clone();
    }

    pub(super) fn end_segment(&mut self) {
        if matches!(self.block, Block::Single | Block::Implicit) {
            self.commit();
        }
    }

    pub(super) fn end_statement(&mut self) {
        if self.block == Block::Single {
            self.commit();
        }
    }

    pub(super) fn commit(&mut self) {
        self.now.locals.clear();
        self.committed_change = self.changed();
        let rows = std::mem::take(&mut self.now.rows);
        self.committed += rows.len() as i64;
        self.confirm.extend(rows);
        self.close_block();
    }

    pub(super) fn roll_back(&mut self) {
        if self.block != Block::None {
            self.now = self.start.clone();
        }
        self.close_block();
    }

    pub(super) fn close_block(&mut self) {
        self.block = Block::None;
        self.pipelined = false;
        self.savepoints.clear();
        self.portals.clear();
    }

    pub(super) fn fail_block(&mut self) {
        self.undo_innermost();
        self.block = Block::Failed;
        let depth = self.savepoints.len();
        for portal in self.portals.values_mut() {
            portal.spoiled |= portal.depth >= depth;
        }
    }

    fn undo_innermost(&mut self) {
        self.now = self
            .savepoints
            .last()
            .map_or(&self.start, |(_, state)| state)
            .clone();
    }

    pub(super) fn chain(&mut self, chain: bool, read_only: bool) {
        if chain {
            self.open(Block::Open);
            self.now.read_only = read_only;
        }
    }

    pub(super) fn begin(&mut self, read_only: Option<bool>) {
        if self.block == Block::Open {
            self.out.push(Expect::Notice("25001"));
        }
        self.block = Block::Open;
        self.now.read_only = read_only.unwrap_or(self.now.read_only);
    }

    pub(super) fn end_block(&mut self, chain: bool, commit: bool) -> Outcome<&'static str> {
        let read_only = self.now.read_only;
        let done = match self.block {
            Block::Open if commit => {
                self.commit();
                "COMMIT"
            }
            Block::Open | Block::Failed => {
                self.roll_back();
                "ROLLBACK"
            }
            _ if chain => return Err("25P01"),
            _ => {
                self.out.push(Expect::Notice("25P01"));
                if commit {
                    self.commit()
                } else {
                    self.roll_back()
                }
                return Ok(if commit { "COMMIT" } else { "ROLLBACK" });
            }
        };
        self.chain(chain, read_only);
        Ok(done)
    }

    pub(super) fn savepoint_at(&self, name: &str) -> Outcome<usize> {
        if !self.is_open() {
            return Err("25P01");
        }
        self.savepoints
            .iter()
            .rposition(|(known, _)| *known == name)
            .ok_or("3B001")
    }

    pub(super) fn roll_back_to(&mut self, name: &str) -> Outcome<()> {
        let at = self.savepoint_at(name)?;
        self.savepoints.truncate(at + 1);
        self.now = self.savepoints[at].1.clone();
        self.portals.retain(|_, portal| portal.depth <= at);
        self.block = Block::Open;
        Ok(())
    }

    pub(super) fn release(&mut self, name: &str) -> Outcome<()> {
        let at = self.savepoint_at(name)?;
        self.savepoints.truncate(at);
        self.portals
            .values_mut()
            .for_each(|portal| portal.depth = portal.depth.min(at));
        Ok(())
    }
}
