//! Transactions of the model server: what begins one, what ends it, and who is seen in it.

use super::select::Value;
use super::server::Shared;
use super::session::{Failure, Session};
use std::collections::BTreeSet;

/// An open transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) read_only: bool,
    /// Client and number of each row, in the order of writing.
    rows: Vec<(String, i64)>,
    /// Name and how many rows there were.
    savepoints: Vec<(String, usize)>,
    /// Clients whose tags were seen in it.
    clients: BTreeSet<String>,
}

/// The client in a tag like `c7.12`.
fn client_of(text: &str) -> Option<&str> {
    let client = text.split('.').next()?;
    let number = client.strip_prefix('c')?;
    let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
    is_number.then_some(client)
}

impl Session {
    /// BEGIN: what is open is committed first.
    pub(super) fn begin(&mut self, shared: &mut Shared, read_only: bool) {
        self.commit(shared);
        self.open(read_only);
    }

    fn open(&mut self, read_only: bool) {
        let next = self.next_read_only.take();
        let usual = self.flag(self.read_only_name());
        self.transaction = Some(Transaction {
            read_only: read_only || next.unwrap_or(usual),
            ..Transaction::default()
        });
    }

    pub(super) fn read_only_name(&self) -> &'static str {
        match self.flavor {
            super::Flavor::MySql => "transaction_read_only",
            super::Flavor::MariaDb => "tx_read_only",
        }
    }

    /// A statement reads or writes tables: without autocommit a transaction begins.
    pub(super) fn touch_tables(&mut self) {
        if self.transaction.is_none() && !self.flag("autocommit") {
            self.open(false);
        }
    }

    /// The transaction's rows are everybody's.
    pub(super) fn commit(&mut self, shared: &mut Shared) {
        if let Some(transaction) = self.transaction.take() {
            shared.commit(transaction.rows);
        }
    }

    /// Nothing of the transaction is left.
    pub(super) fn roll_back(&mut self, shared: &mut Shared) {
        let _ = shared;
        self.transaction = None;
    }

    /// COMMIT or ROLLBACK; with a chain the next one begins as this one did.
    pub(super) fn end(&mut self, shared: &mut Shared, commits: bool, chain: bool) {
        let read_only = self.transaction.as_ref().is_some_and(|it| it.read_only);
        match commits {
            true => self.commit(shared),
            false => self.roll_back(shared),
        }
        if chain {
            self.transaction = Some(Transaction {
                read_only,
                ..Transaction::default()
            });
        }
    }

    /// A row for the log.
    pub(super) fn insert(
        &mut self,
        shared: &mut Shared,
        client: String,
        number: i64,
    ) -> Result<(), Failure> {
        self.touch_tables();
        self.note_client(shared, &[vec![Value::Text(client.clone())]]);
        let usual = self.flag(self.read_only_name());
        match &mut self.transaction {
            Some(transaction) if transaction.read_only => {
                let message = "Cannot execute statement in a READ ONLY transaction";
                return Err(Failure::new(1792, b"25006", message));
            }
            Some(transaction) => transaction.rows.push((client, number)),
            None if self.next_read_only.take().unwrap_or(usual) => {
                let message = "Cannot execute statement in a READ ONLY transaction";
                return Err(Failure::new(1792, b"25006", message));
            }
            None => shared.commit(vec![(client, number)]),
        }
        self.last_insert_id = shared.next_insert_id();
        Ok(())
    }

    /// Rows of a client that this transaction has written.
    pub(super) fn rows_of(&self, client: &str) -> usize {
        let rows = self.transaction.iter().flat_map(|it| &it.rows);
        rows.filter(|(known, _)| known == client).count()
    }

    pub(super) fn savepoint(&mut self, name: &str) {
        let Some(transaction) = &mut self.transaction else {
            // Nothing to come back to.
            return;
        };
        let rows = transaction.rows.len();
        transaction.savepoints.retain(|(known, _)| known != name);
        transaction.savepoints.push((name.into(), rows));
    }

    fn found(&mut self, name: &str) -> Result<(&mut Transaction, usize), Failure> {
        let missing = || {
            let message = format!("SAVEPOINT {name} does not exist");
            Failure::new(1305, b"42000", message)
        };
        let transaction = self.transaction.as_mut().ok_or_else(missing)?;
        let mut savepoints = transaction.savepoints.iter();
        let at = savepoints.position(|(known, _)| known == name);
        Ok((transaction, at.ok_or_else(missing)?))
    }

    pub(super) fn roll_back_to(&mut self, name: &str) -> Result<(), Failure> {
        let (transaction, at) = self.found(name)?;
        let rows = transaction.savepoints[at].1;
        transaction.rows.truncate(rows);
        transaction.savepoints.truncate(at + 1);
        Ok(())
    }

    pub(super) fn release(&mut self, name: &str) -> Result<(), Failure> {
        let (transaction, at) = self.found(name)?;
        transaction.savepoints.truncate(at);
        Ok(())
    }

    /// Whose values are seen: a transaction is one client's.
    pub(super) fn note_client(&mut self, shared: &mut Shared, rows: &[Vec<Value>]) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        for value in rows.iter().take(1).flatten() {
            if let Value::Text(text) = value
                && let Some(client) = client_of(text)
            {
                transaction.clients.insert(client.into());
            }
        }
        if transaction.clients.len() > 1 {
            shared.mixed(self.id, &transaction.clients);
        }
    }
}
