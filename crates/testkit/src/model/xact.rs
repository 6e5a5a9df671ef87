//! Transaction blocks, after PostgreSQL's `xact.c`: when a transaction starts, what ends it, what it undoes.
//!
//! ```text
//! None ──start_command──▶ Started ──several statements / pipeline──▶ Implicit
//!                            │ BEGIN                                   │ BEGIN
//!                            ▼                                         ▼
//!                          Open ──error──▶ Failed ──ROLLBACK [TO]──▶ None / Open
//! ```
//! `Started` and `Implicit` end by themselves (end of the Query message, Sync); `Open` and `Failed` only by the
//! client. ReadyForQuery shows None and Started as `I`, Implicit and Open as `T`, Failed as `E`.

use std::collections::BTreeSet;

use super::error::PgError;
use super::server::{Commit, Mixed, Shared};
use super::session::{Listen, Session, Undoable};
use super::sql::Modes;

/// Where the session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Block {
    /// No transaction.
    #[default]
    None,
    /// The transaction of a single statement.
    Started,
    /// The transaction that the statements of one Query, or of one pipeline segment, share.
    Implicit,
    /// After BEGIN.
    Open,
    /// After an error inside a block.
    Failed,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    before: Undoable,
}

/// The transaction of one session.
#[derive(Debug, Default)]
pub(crate) struct Xact {
    block: Block,
    /// What ROLLBACK restores.
    before: Undoable,
    savepoints: Vec<Savepoint>,
    /// An Execute has finished without ending the transaction (`XACT_FLAGS_PIPELINING`).
    pipelined: bool,
    /// Clients whose tags were seen in this transaction; more than one is a proxy's mistake.
    owners: BTreeSet<String>,
}

impl Xact {
    /// The byte of ReadyForQuery.
    pub(crate) fn status(&self) -> u8 {
        match self.block {
            Block::None | Block::Started => b'I',
            Block::Implicit | Block::Open => b'T',
            Block::Failed => b'E',
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.block == Block::Failed
    }

    /// What `PreventInTransactionBlock` and its kin ask: is there more around this statement than itself?
    pub(crate) fn is_block(&self) -> bool {
        matches!(self.block, Block::Implicit | Block::Open)
    }

    pub(crate) fn depth(&self) -> usize {
        self.savepoints.len()
    }

    /// An Execute finished and its transaction goes on until Sync.
    pub(crate) fn note_pipelined(&mut self) {
        self.pipelined = true;
    }

    /// Notes whose tag a statement carried; `c7.3` and `c7` belong to client `c7`.
    pub(crate) fn note_owner(&mut self, text: &str) {
        let owner = text.split('.').next().unwrap_or_default();
        let number = owner.strip_prefix('c').unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            self.owners.insert(owner.to_owned());
        }
    }
}

impl Session {
    /// Before any statement: starts a transaction unless one is open.
    pub(crate) fn start_command(&mut self, shared: &Shared) {
        match self.xact.block {
            Block::None => self.start_transaction(shared, Block::Started),
            Block::Started if self.xact.pipelined => self.xact.block = Block::Implicit,
            _ => {}
        }
    }

    fn start_transaction(&mut self, shared: &Shared, block: Block) {
        self.undoable.read_only = self
            .setting(shared, "default_transaction_read_only")
            .as_deref()
            == Some("on");
        self.undoable.isolation = self
            .setting(shared, "default_transaction_isolation")
            .unwrap_or_default();
        self.xact.before = self.undoable.clone();
        self.xact.block = block;
    }

    /// Several statements share one transaction from here.
    pub(crate) fn begin_implicit(&mut self) {
        if self.xact.block == Block::Started {
            self.xact.block = Block::Implicit;
        }
    }

    /// Ends that sharing; [`Session::finish_command`] then commits.
    pub(crate) fn end_implicit(&mut self) {
        if self.xact.block == Block::Implicit {
            self.xact.block = Block::Started;
        }
    }

    /// After a statement: commits what was only its own transaction.
    pub(crate) fn finish_command(&mut self, shared: &mut Shared) {
        if self.xact.block == Block::Started {
            self.commit_now(shared);
        }
    }

    /// After an error: a block waits for its end, anything less is gone at once.
    pub(crate) fn abort(&mut self, shared: &mut Shared) {
        match self.xact.block {
            Block::Open => {
                self.undo_innermost();
                self.xact.block = Block::Failed;
                let depth = self.xact.depth();
                for portal in self.portals.values_mut() {
                    portal.stripped |= portal.depth >= depth;
                }
            }
            Block::Failed => {}
            Block::None | Block::Started | Block::Implicit => self.rollback_now(shared),
        }
    }

    fn undo_innermost(&mut self) {
        let before = match self.xact.savepoints.last() {
            Some(savepoint) => &savepoint.before,
            None => &self.xact.before,
        };
        self.undoable = before.clone();
    }

    pub(crate) fn begin(&mut self, modes: &Modes) {
        match self.xact.block {
            Block::Open => {
                let message = "there is already a transaction in progress";
                self.notice(PgError::warning("25001", message));
            }
            _ => self.xact.block = Block::Open,
        }
        self.set_modes(modes);
    }

    pub(crate) fn set_modes(&mut self, modes: &Modes) {
        if let Some(read_only) = modes.read_only {
            self.undoable.read_only = read_only;
        }
        if let Some(isolation) = modes.isolation {
            self.undoable.isolation = isolation.to_owned();
        }
    }

    /// COMMIT; the tag says what really happened.
    pub(crate) fn commit(
        &mut self,
        shared: &mut Shared,
        chain: bool,
    ) -> Result<&'static str, PgError> {
        match self.xact.block {
            Block::Failed => {
                self.end_block(shared, chain, Session::rollback_now);
                return Ok("ROLLBACK");
            }
            Block::Open => self.end_block(shared, chain, Session::commit_now),
            _ if chain => return Err(PgError::needs_block("COMMIT AND CHAIN")),
            _ => {
                self.warn_no_transaction();
                self.commit_now(shared);
            }
        }
        Ok("COMMIT")
    }

    /// ROLLBACK. Outside a block it warns, and still undoes an implicit transaction.
    pub(crate) fn rollback(&mut self, shared: &mut Shared, chain: bool) -> Result<(), PgError> {
        match self.xact.block {
            Block::Open | Block::Failed => {
                self.end_block(shared, chain, Session::rollback_now);
            }
            _ if chain => return Err(PgError::needs_block("ROLLBACK AND CHAIN")),
            _ => {
                self.warn_no_transaction();
                self.rollback_now(shared);
            }
        }
        Ok(())
    }

    /// Ends a block; the chained one keeps the modes of its forerunner.
    fn end_block(&mut self, shared: &mut Shared, chain: bool, end: fn(&mut Session, &mut Shared)) {
        let (read_only, isolation) = (self.undoable.read_only, self.undoable.isolation.clone());
        end(self, shared);
        if chain {
            self.start_transaction(shared, Block::Open);
            self.undoable.read_only = read_only;
            self.undoable.isolation = isolation;
        }
    }

    fn warn_no_transaction(&mut self) {
        self.notice(PgError::warning(
            "25P01",
            "there is no transaction in progress",
        ));
    }

    pub(crate) fn savepoint(&mut self, name: String) -> Result<(), PgError> {
        self.need_block("SAVEPOINT")?;
        let before = self.undoable.clone();
        self.xact.savepoints.push(Savepoint { name, before });
        Ok(())
    }

    pub(crate) fn release(&mut self, name: &str) -> Result<(), PgError> {
        self.need_block("RELEASE SAVEPOINT")?;
        let at = self.find_savepoint(name)?;
        self.xact.savepoints.truncate(at);
        for portal in self.portals.values_mut() {
            portal.depth = portal.depth.min(at);
        }
        Ok(())
    }

    /// ROLLBACK TO: undoes everything since the savepoint, which itself stays; a failed block works again.
    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<(), PgError> {
        self.need_block("ROLLBACK TO SAVEPOINT")?;
        let at = self.find_savepoint(name)?;
        self.xact.savepoints.truncate(at + 1);
        self.undoable = self.xact.savepoints[at].before.clone();
        self.portals.retain(|_, portal| portal.depth <= at);
        self.xact.block = Block::Open;
        Ok(())
    }

    fn need_block(&self, statement: &str) -> Result<(), PgError> {
        match self.xact.block {
            Block::Open | Block::Failed => Ok(()),
            _ => Err(PgError::needs_block(statement)),
        }
    }

    fn find_savepoint(&self, name: &str) -> Result<usize, PgError> {
        self.xact
            .savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| PgError::error("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    fn commit_now(&mut self, shared: &mut Shared) {
        self.undoable.layers.commit();
        let rows = std::mem::take(&mut self.undoable.rows);
        if !rows.is_empty() {
            shared.commit(Commit {
                connection: self.id,
                rows,
            });
        }
        for change in std::mem::take(&mut self.undoable.listens) {
            match change {
                Listen::Add(channel) => drop(self.channels.insert(channel)),
                Listen::Remove(channel) => drop(self.channels.remove(&channel)),
                Listen::RemoveAll => self.channels.clear(),
            }
        }
        self.end_transaction(shared);
    }

    pub(crate) fn rollback_now(&mut self, shared: &mut Shared) {
        if self.xact.block != Block::None {
            self.undoable = std::mem::take(&mut self.xact.before);
        }
        self.end_transaction(shared);
    }

    fn end_transaction(&mut self, shared: &mut Shared) {
        let xact = std::mem::take(&mut self.xact);
        if xact.owners.len() > 1 {
            shared.mixed.push(Mixed {
                connection: self.id,
                clients: xact.owners,
            });
        }
        self.portals.clear();
    }
}
